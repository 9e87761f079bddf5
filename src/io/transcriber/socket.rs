//! A line that is a WebSocket, in the dialects that are spoken over one.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::line::{Broken, Heard};
use super::{Dialect, MESSAGE_MAX, Message, Nonsense, deepgram, put_pcm, vosk};
use crate::engine::consent::Admitted;

pub(super) struct Socket {
    web: WebSocketStream<MaybeTlsStream<TcpStream>>,
    dialect: Dialect,
}

impl Socket {
    pub(super) async fn open(dialect: Dialect, url: &Url, key: Option<&SecretString>, language: &str) -> Result<Self, Broken> {
        let request = request(dialect, url, key, language)?;
        let (web, _) = tokio_tungstenite::connect_async_with_config(request, Some(limits()), true).await?;
        let mut socket = Self { web, dialect };
        if dialect == Dialect::Vosk {
            socket.web.send(Frame::text(vosk::greeting(language))).await?;
        }
        Ok(socket)
    }

    pub(super) async fn send(&mut self, frames: &[(u64, Admitted)]) -> Result<(), Broken> {
        let mut bytes = Vec::new();
        for (_, frame) in frames {
            match self.dialect {
                Dialect::Vosk => put_pcm(frame.codes(), &mut bytes),
                Dialect::Deepgram => bytes.extend_from_slice(frame.codes()),
            }
        }
        Ok(self.web.send(Frame::binary(bytes)).await?)
    }

    pub(super) async fn farewell(&mut self) -> Result<(), Broken> {
        let farewell = match self.dialect {
            Dialect::Vosk => vosk::FAREWELL,
            Dialect::Deepgram => deepgram::FAREWELL,
        };
        Ok(self.web.send(Frame::text(farewell)).await?)
    }

    pub(super) async fn hear(&mut self) -> Result<Heard, Broken> {
        loop {
            let text = match self.web.next().await {
                Some(Ok(Frame::Text(text))) => text,
                Some(Ok(Frame::Close(_))) | None => return Ok(Heard::Over),
                Some(Ok(Frame::Binary(_))) => return Err(Nonsense.into()),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => continue,
                Some(Err(why)) => return Err(why.into()),
            };
            let message = match self.dialect {
                Dialect::Vosk => vosk::parse(&text)?,
                Dialect::Deepgram => deepgram::parse(&text)?,
            };
            return Ok(Heard::Said(match message {
                Message::Final(said) => vec![said],
                Message::Passing => Vec::new(),
            }));
        }
    }
}

fn request(dialect: Dialect, url: &Url, key: Option<&SecretString>, language: &str) -> Result<Request, tungstenite::Error> {
    match dialect {
        Dialect::Vosk => url.as_str().into_client_request(),
        Dialect::Deepgram => {
            let mut request = deepgram::address(url, language).as_str().into_client_request()?;
            if let Some(key) = key {
                let mut value = HeaderValue::from_str(&format!("Token {}", key.expose_secret())).map_err(tungstenite::http::Error::from)?;
                value.set_sensitive(true);
                request.headers_mut().insert("authorization", value);
            }
            Ok(request)
        }
    }
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(256 * 1024)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
}
