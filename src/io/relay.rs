//! The line to a voice bot: a WebSocket on which we are Twilio. It never holds up whoever feeds it: what does not fit its
//! queue is thrown away, as Twilio does with a slow application; a bot that takes nothing, or from which nothing comes,
//! not even the answer to a ping, is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::http::{shown, url};
use crate::engine::call::ToBot;
use crate::engine::twilio::speaker::{FromBot, Speaker, decode, parse};

/// The bot answers within this, or is lost: the client hears nothing meanwhile.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Messages that wait for the bot: five seconds of audio.
const QUEUE_MAX: usize = 256;
/// What a bot has said and the call has not yet heard; then nothing more is read from it.
const IN_FLIGHT_MAX: usize = 32;
/// One message is taken within this.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// It is pinged this often.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Nothing came from it for so long, not even the answer to a ping.
const SILENT_MAX: Duration = Duration::from_secs(20);
/// After `stop` it may have so long to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// When it has said that it closes, its connection may take so long to end.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);
/// No message of a bot is longer.
const MESSAGE_MAX: usize = 1024 * 1024;
/// Small: a thousand bots are a thousand of them.
const BUFFER: usize = 4 * 1024;

type Web = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where a bot listens: `wss://`, or `ws://` on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BotUrl(Url);

/// Something that a bot said. Dropping it lets the next thing be read.
pub struct Heard {
    /// What.
    pub said: Said,
    _turn: Option<OwnedSemaphorePermit>,
}

/// What a bot said.
pub enum Said {
    /// mu-law.
    Audio(Vec<u8>),
    /// A mark.
    Mark(String),
    /// What it said is taken back.
    Clear,
    /// It hung up.
    Closed,
    /// It cannot be reached, or not any more, and why: our own words.
    Lost(&'static str),
}

/// A way to a bot. Dropping it hangs up.
pub struct BotLine {
    queue: mpsc::Sender<ToBot>,
}

impl BotUrl {
    /// Reads `wss://…`, or `ws://` with a loopback host. No user name, no fragment.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        url(text, "wss", "ws").map(Self)
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// As it may be shown: a query can be a secret.
    #[must_use]
    pub fn shown(&self) -> String {
        shown(&self.0)
    }
}

impl BotLine {
    /// Calls a bot, as Twilio would: `connected`, `start` with these parameters, then what it is sent. `hear` is told everything
    /// it says, and must not wait.
    pub fn call(
        runtime: &Handle,
        url: &BotUrl,
        signature: Option<String>,
        speaker: Speaker,
        parameters: BTreeMap<String, String>,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let url = url.clone();
        runtime.spawn(async move {
            // Whoever hung up does not want to hear that the line is gone.
            if let Some(end) = serve(&url, signature, speaker, &parameters, messages, &hear).await {
                hear(Heard { said: end, _turn: None });
            }
        });
        Self { queue }
    }

    /// Hands something on. `false` if it was thrown away.
    pub fn send(&self, message: ToBot) -> bool {
        self.queue.try_send(message).is_ok()
    }
}

/// Until one side hangs up: how it ended, if it was not we.
async fn serve(
    url: &BotUrl,
    signature: Option<String>,
    mut speaker: Speaker,
    parameters: &BTreeMap<String, String>,
    messages: mpsc::Receiver<ToBot>,
    hear: &(impl Fn(Heard) + Sync),
) -> Option<Said> {
    let web = match timeout(CONNECT_WITHIN, connect(url, signature)).await {
        Ok(Ok(web)) => web,
        Ok(Err(Error::Http(_))) => return Some(Said::Lost("it refused the WebSocket handshake")),
        Ok(Err(_)) => return Some(Said::Lost("it cannot be reached")),
        Err(_) => return Some(Said::Lost("it did not answer in time")),
    };
    let (mut sink, stream) = web.split();
    for text in [Speaker::connected(), speaker.start(parameters)] {
        if send(&mut sink, Message::text(text)).await.is_err() {
            return Some(Said::Lost("it broke off at the start"));
        }
    }
    let stream_sid = speaker.stream_sid().to_owned();
    let hung_up = AtomicBool::new(false);
    let writing = write(sink, speaker, messages, &hung_up);
    let reading = read(stream, &stream_sid, hear);
    tokio::pin!(reading);
    let written = tokio::select! {
        end = &mut reading => return (!hung_up.load(Ordering::Relaxed)).then_some(end),
        written = writing => written,
    };
    match written {
        Ok(()) => {
            // Its close frame is waited for, so that `stop` is read before the connection ends.
            let _ = timeout(CLOSE_WITHIN, reading).await;
            None
        }
        // A bot that has hung up takes nothing any more, and says how it ended.
        Err(why) => match timeout(CLOSE_WITHIN, reading).await {
            Ok(Said::Closed) => Some(Said::Closed),
            Ok(_) | Err(_) => Some(Said::Lost(why)),
        },
    }
}

async fn connect(url: &BotUrl, signature: Option<String>) -> Result<Web, Error> {
    let mut request = url.as_str().into_client_request()?;
    if let Some(signature) = signature.and_then(|signature| HeaderValue::from_str(&signature).ok()) {
        request.headers_mut().insert("x-twilio-signature", signature);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    // Without delay: frames are small and must not wait for each other.
    connect_async_with_config(request, Some(config), true).await.map(|(web, _)| web)
}

async fn send(sink: &mut SplitSink<Web, Message>, message: Message) -> Result<(), &'static str> {
    match timeout(SEND_WITHIN, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("its connection broke"),
        Err(_) => Err("it does not take what it is sent"),
    }
}

async fn write(
    mut sink: SplitSink<Web, Message>,
    mut speaker: Speaker,
    mut messages: mpsc::Receiver<ToBot>,
    hung_up: &AtomicBool,
) -> Result<(), &'static str> {
    let mut pings = interval(PING_EVERY);
    loop {
        let text = tokio::select! {
            message = messages.recv() => match message {
                Some(ToBot::Audio(piece)) => speaker.media(piece.timestamp, piece.codes()),
                Some(ToBot::Key(key)) => speaker.dtmf(key),
                Some(ToBot::Mark(name)) => speaker.mark(&name),
                Some(ToBot::Line(_)) => continue, // a bot hears the client, not us
                None => break,
            },
            _ = pings.tick() => {
                send(&mut sink, Message::Ping(Vec::new().into())).await?;
                continue;
            }
        };
        send(&mut sink, Message::text(text)).await?;
    }
    hung_up.store(true, Ordering::Relaxed);
    send(&mut sink, Message::text(speaker.stop())).await?;
    let _ = timeout(SEND_WITHIN, sink.close()).await;
    Ok(())
}

async fn read(mut stream: SplitStream<Web>, stream_sid: &str, hear: &(impl Fn(Heard) + Sync)) -> Said {
    let turns = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut last = Instant::now();
    loop {
        let message = match tokio::time::timeout_at(last + SILENT_MAX, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed))) => return Said::Closed,
            Ok(Some(Err(Error::Capacity(_)))) => return Said::Lost("a message of it is longer than a mebibyte"),
            Ok(Some(Err(_))) => return Said::Lost("its connection broke"),
            Err(_) => return Said::Lost("nothing comes from it, not even the answer to a ping"),
        };
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => {
                // Our own close frame goes out with the next look.
                let _ = timeout(CLOSED_WITHIN, stream.next()).await;
                return Said::Closed;
            }
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                last = Instant::now();
                continue;
            }
        };
        let said = match parse(&text, stream_sid) {
            Ok(FromBot::Media(payload)) => decode(&payload).map(Said::Audio),
            Ok(FromBot::Mark(name)) => Ok(Said::Mark(name.into_owned())),
            Ok(FromBot::Clear) => Ok(Said::Clear),
            Ok(FromBot::Unknown) => {
                tracing::debug!(stream.sid = %stream_sid, "relay: message of the bot let pass: it names another stream, or no event of Twilio's");
                last = Instant::now();
                continue;
            }
            Err(why) => Err(why),
        };
        match said {
            Ok(said) => {
                let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return Said::Closed };
                hear(Heard { said, _turn: Some(turn) });
            }
            Err(why) => tracing::debug!(stream.sid = %stream_sid, "relay: message of the bot let pass: {why}"),
        }
        // Waiting for its turn was not its silence.
        last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::BotUrl;

    #[test]
    fn plain_sockets_stay_on_this_machine() {
        for fine in ["wss://bot.example.com/media", "ws://127.0.0.1:9/m", "ws://localhost/m", "ws://[::1]:9/"] {
            assert!(BotUrl::parse(fine).is_some(), "{fine}");
        }
        for wrong in ["ws://bot.example.com/", "https://bot.example.com/", "wss://u:p@x/", "wss://x/#f", "bot.example.com"] {
            assert!(BotUrl::parse(wrong).is_none(), "{wrong}");
        }
        assert_eq!(BotUrl::parse("wss://x/?key=secret").unwrap().shown(), "wss://x/?masked");
    }
}
