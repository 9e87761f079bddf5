//! A line to a recogniser: audio goes out, what was said comes back. There are two kinds, a WebSocket and one of Amazon's event
//! streams; whoever holds a line does not ask which. Whatever is done over one is done within a bounded time.

use std::sync::Arc;

use tokio::time::timeout;
use tokio_tungstenite::tungstenite;

#[cfg(feature = "transcribe")]
use super::amazon;
use super::socket::Socket;
use super::{ANSWER_WITHIN, Nonsense, Reach, Said, TranscriberSpec};
use crate::engine::consent::Admitted;

/// How lines to the configured recogniser are opened.
pub(super) struct Lines {
    spec: Arc<TranscriberSpec>,
    /// Made once: its credentials and connections are every line's.
    #[cfg(feature = "transcribe")]
    amazon: tokio::sync::OnceCell<amazon::Client>,
}

/// One of them.
pub(super) enum Line {
    Socket(Box<Socket>),
    #[cfg(feature = "transcribe")]
    Amazon(Box<amazon::Stream>),
}

/// What came over a line.
pub(super) enum Heard {
    /// Words that stand, or none yet.
    Said(Vec<Said>),
    /// Nothing more will come.
    Over,
}

/// Why a line is none, or none any more. Quotes nothing that came over it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("{0}")]
    Socket(#[from] tungstenite::Error),
    #[cfg(feature = "transcribe")]
    #[error("Amazon Transcribe {0}")]
    Amazon(String),
    #[cfg(not(feature = "transcribe"))]
    #[error("this callgate was built without Amazon Transcribe")]
    NotBuilt,
    #[error("it did not answer within {ANSWER_WITHIN:?}")]
    Late,
    #[error("{0}")]
    Nonsense(#[from] Nonsense),
    #[error("it hung up in the middle")]
    HungUp,
}

impl Lines {
    pub(super) fn to(spec: Arc<TranscriberSpec>) -> Self {
        Self {
            spec,
            #[cfg(feature = "transcribe")]
            amazon: tokio::sync::OnceCell::new(),
        }
    }

    /// Opens one for a party who speaks `language`, and sends their first audio.
    pub(super) async fn open(&self, language: &str, first: &[(u64, Admitted)]) -> Result<Line, Broken> {
        match &self.spec.reach {
            Reach::Socket(dialect, url) => {
                let socket = in_time(Socket::open(*dialect, url, self.spec.key.as_ref(), language)).await?;
                let mut line = Line::Socket(Box::new(socket));
                line.send(first).await?;
                Ok(line)
            }
            #[cfg(feature = "transcribe")]
            Reach::Region(region) => {
                let client = self.amazon.get_or_init(|| amazon::client(region)).await;
                Ok(Line::Amazon(Box::new(in_time(amazon::Stream::open(client, language, first)).await?)))
            }
            #[cfg(not(feature = "transcribe"))]
            Reach::Region(_) => Err(Broken::NotBuilt),
        }
    }
}

impl Line {
    pub(super) async fn send(&mut self, frames: &[(u64, Admitted)]) -> Result<(), Broken> {
        // An empty message means "that was all" to most of them.
        if frames.iter().all(|(_, frame)| frame.codes().is_empty()) {
            return Ok(());
        }
        match self {
            Self::Socket(socket) => in_time(socket.send(frames)).await,
            #[cfg(feature = "transcribe")]
            Self::Amazon(stream) => in_time(stream.send(frames)).await,
        }
    }

    /// Tells that this was all: what was sent is to be answered in full, then the line is over.
    pub(super) async fn farewell(&mut self) -> Result<(), Broken> {
        match self {
            Self::Socket(socket) => in_time(socket.farewell()).await,
            #[cfg(feature = "transcribe")]
            Self::Amazon(stream) => {
                stream.farewell();
                Ok(())
            }
        }
    }

    /// What comes next. Whoever stops waiting loses nothing of it.
    pub(super) async fn hear(&mut self) -> Result<Heard, Broken> {
        match self {
            Self::Socket(socket) => socket.hear().await,
            #[cfg(feature = "transcribe")]
            Self::Amazon(stream) => stream.hear().await,
        }
    }
}

async fn in_time<T>(done: impl Future<Output = Result<T, Broken>>) -> Result<T, Broken> {
    timeout(ANSWER_WITHIN, done).await.unwrap_or(Err(Broken::Late))
}
