//! Recognisers of speech, one stream a party: audio that the gate let out goes in, words placed in the call come out.
//!
//! A recogniser is somebody else's machine and may be slow, dead, or talk nonsense. Whoever feeds a [`Listener`] never waits for it
//! (the queue is bounded, a full one is an answer), what it says is read within bounds, and a connection that fails is made anew,
//! with growing pauses, until it has failed [`TRIES`] times on end. `listen` is the life of a stream, `line` what it is carried by: a
//! WebSocket (`socket`, in which `vosk` and `deepgram` are what differs), or an event stream of Amazon Transcribe (`amazon`).

#[cfg(feature = "transcribe")]
mod amazon;
mod deepgram;
mod line;
mod listen;
mod socket;
mod vosk;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use tokio::sync::mpsc;

pub use listen::{GaveUp, Told};

use super::http::{is_here, is_plain};
use crate::engine::audio::g711;
use crate::engine::consent::Admitted;
use crate::engine::redact::Speaker;
use crate::engine::time::SAMPLES_PER_MS;
use line::Lines;

/// Batches of 200 ms that may wait for one party's recogniser: a minute. One that is further behind has failed.
pub const BEHIND_MAX: usize = 300;
/// Attempts on end that may fail before a party's transcript is given up.
pub const TRIES: u32 = 8;
/// The pause after the first of them, doubled each time.
pub const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// It grows no longer than this.
pub const PAUSE_MAX: Duration = Duration::from_secs(8);
/// A connection must stand, and each message must be taken, within this.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// After the last audio its words must come within this.
pub const FINAL_WITHIN: Duration = Duration::from_secs(8);
/// A stream that gets no audio for so long is ended; the next audio begins another.
pub const IDLE_AFTER: Duration = Duration::from_secs(4);
/// The longest message that is read: an utterance of minutes with every word's times.
pub const MESSAGE_MAX: usize = 1024 * 1024;

/// Which recogniser, and how it is reached (`CALLGATE_TRANSCRIBER`).
#[derive(Clone, Debug)]
pub struct TranscriberSpec {
    reach: Reach,
    key: Option<SecretString>,
}

/// Where it is.
#[derive(Clone, Debug)]
enum Reach {
    /// Behind a WebSocket.
    Socket(Dialect, Url),
    /// Amazon Transcribe, in a region of AWS.
    Region(String),
}

/// What is spoken over a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    Vosk,
    Deepgram,
}

/// What a recogniser speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// That of vosk-server.
    Vosk,
    /// Deepgram's live audio.
    Deepgram,
    /// Amazon Transcribe's streams.
    Aws,
}

/// Audio for a recogniser, or the end of it.
pub enum Order {
    /// Frames that consent covers, each with its place in the call, in samples.
    Audio(Vec<(u64, Admitted)>),
    /// Nothing follows for a while: what was sent is to be told in full, and the stream is over.
    Finish,
}

/// One party's recogniser. Dropping it ends it.
pub struct Listener {
    orders: mpsc::Sender<Order>,
}

/// A recogniser that cannot keep up, or is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the recogniser is more than {} seconds behind", BEHIND_MAX / 5)]
pub struct Behind;

/// Makes listeners.
#[derive(Clone)]
pub struct Transcriber {
    spec: Arc<TranscriberSpec>,
    lines: Arc<Lines>,
}

impl TranscriberSpec {
    /// What may stand in `CALLGATE_TRANSCRIBER`.
    pub const ALLOWED: &'static str = "none, vosk+ws://HOST:PORT, vosk+wss://HOST, deepgram+wss://HOST (deepgram+ws:// on loopback), without a user name, or aws://REGION with a region of AWS like us-east-1";

    /// Reads `vosk+ws://…`, `vosk+wss://…`, `deepgram+wss://…`, `deepgram+ws://…` with a loopback host, or `aws://REGION`.
    #[must_use]
    pub fn parse(text: &str, key: Option<SecretString>) -> Option<Self> {
        if let Some(region) = text.strip_prefix("aws://") {
            return is_region(region).then(|| Self { reach: Reach::Region(region.to_owned()), key });
        }
        let (dialect, url) = text.split_once('+')?;
        let dialect = match dialect {
            "vosk" => Dialect::Vosk,
            "deepgram" => Dialect::Deepgram,
            _ => return None,
        };
        let url = Url::parse(url).ok().filter(is_plain)?;
        let fits = match (dialect, url.scheme()) {
            (Dialect::Vosk | Dialect::Deepgram, "wss") | (Dialect::Vosk, "ws") => true,
            (Dialect::Deepgram, "ws") => is_here(&url),
            (Dialect::Vosk | Dialect::Deepgram, _) => false,
        };
        fits.then_some(Self { reach: Reach::Socket(dialect, url), key })
    }

    /// What it speaks.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match &self.reach {
            Reach::Socket(Dialect::Vosk, _) => Protocol::Vosk,
            Reach::Socket(Dialect::Deepgram, _) => Protocol::Deepgram,
            Reach::Region(_) => Protocol::Aws,
        }
    }

    /// Whether this callgate was built with what speaks it.
    #[must_use]
    pub const fn is_built(&self) -> bool {
        match self.protocol() {
            Protocol::Vosk | Protocol::Deepgram => true,
            Protocol::Aws => cfg!(feature = "transcribe"),
        }
    }

    /// Whether the key is there that its protocol asks for.
    #[must_use]
    pub const fn has_its_key(&self) -> bool {
        match self.protocol() {
            // Amazon's credentials are found where its SDK looks for them.
            Protocol::Vosk | Protocol::Aws => true,
            Protocol::Deepgram => self.key.is_some(),
        }
    }

    /// Whether it has one.
    #[must_use]
    pub const fn has_a_key(&self) -> bool {
        self.key.is_some()
    }

    /// For people: without what stands behind a question mark, which may be secret.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.reach {
            Reach::Socket(_, url) => {
                let mut url = url.clone();
                url.set_query(None);
                format!("{}+{url}", self.protocol().word())
            }
            Reach::Region(region) => format!("{}://{region}", self.protocol().word()),
        }
    }
}

impl Protocol {
    /// Its word in configuration and in transcripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Vosk => "vosk",
            Self::Deepgram => "deepgram",
            Self::Aws => "aws",
        }
    }
}

impl Transcriber {
    /// With this recogniser.
    #[must_use]
    pub fn new(spec: TranscriberSpec) -> Self {
        let spec = Arc::new(spec);
        Self { lines: Arc::new(Lines::to(Arc::clone(&spec))), spec }
    }

    /// What its recogniser speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.spec.protocol()
    }

    /// Listens to one party, who speaks `language`. What is heard is told to `tell`; the future is the listener's life.
    pub fn listen(
        &self,
        speaker: Speaker,
        language: &str,
        tell: mpsc::Sender<(Speaker, Told)>,
    ) -> (Listener, impl Future<Output = ()> + Send + use<>) {
        let (orders, taken) = mpsc::channel(BEHIND_MAX);
        let life = listen::run(Arc::clone(&self.lines), speaker, language.to_owned(), taken, tell);
        (Listener { orders }, life)
    }
}

impl Listener {
    /// Hands over audio, or its end. Never waits.
    ///
    /// # Errors
    /// [`Behind`]: the recogniser cannot keep up, and this was not taken.
    pub fn hand(&self, order: Order) -> Result<(), Behind> {
        self.orders.try_send(order).map_err(|_| Behind)
    }
}

impl fmt::Debug for Transcriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcriber({})", self.spec.shown())
    }
}

/// What a recogniser said, in seconds of its own stream. Nothing of it prints itself.
struct Said {
    text: String,
    /// Of all of it, where its words have no times.
    between: Option<(f64, f64)>,
    words: Vec<SaidWord>,
    alternatives: Vec<(String, Vec<SaidWord>, f32)>,
}

struct SaidWord {
    text: String,
    start: f64,
    end: f64,
    confidence: f32,
}

/// What one message of a recogniser is.
enum Message {
    /// Words that stand.
    Final(Said),
    /// Words that may change, or something about the stream.
    Passing,
}

/// What came is not of this protocol. Never quotes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it sent what is no message of its protocol; is the address one of this protocol's server?")]
struct Nonsense;

/// Whether this is how AWS names a region: `us-east-1`, `us-gov-west-1`. There are more of them every year.
fn is_region(text: &str) -> bool {
    let Some((place, number)) = text.rsplit_once('-') else { return false };
    let Some((land, side)) = place.rsplit_once('-') else { return false };
    let is_word = |word: &str| (2..=4).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_side = |side: &str| {
        let towards = ["north", "south", "east", "west", "northeast", "northwest", "southeast", "southwest"];
        side == "central" || towards.contains(&side)
    };
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    land.split('-').all(is_word) && land.split('-').count() <= 2 && is_side(side) && is_number
}

/// Appends a frame as 16-bit little-endian PCM.
fn put_pcm(codes: &[u8], to: &mut Vec<u8>) {
    for code in codes {
        to.extend_from_slice(&g711::decode(*code).to_le_bytes());
    }
}

/// How sure a recogniser is. Some tell scores of any size.
const fn unit(confidence: f32) -> f32 {
    if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) }
}

const fn seconds(samples: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "hours of samples")]
    let samples = samples as f64;
    samples / (SAMPLES_PER_MS * 1_000) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recogniser_is_named_by_its_protocol_and_address() {
        let spec = |text: &str| TranscriberSpec::parse(text, None);
        for (text, protocol) in [
            ("vosk+ws://127.0.0.1:2700", Protocol::Vosk),
            ("vosk+wss://speech.example.com/en", Protocol::Vosk),
            ("deepgram+wss://api.deepgram.com", Protocol::Deepgram),
            ("deepgram+ws://localhost:99", Protocol::Deepgram),
            ("aws://us-east-1", Protocol::Aws),
            ("aws://us-gov-west-1", Protocol::Aws),
            ("aws://ap-southeast-2", Protocol::Aws),
            ("aws://eusc-de-east-1", Protocol::Aws),
        ] {
            assert_eq!(spec(text).unwrap().protocol(), protocol, "{text}");
        }
        for wrong in [
            "vosk",
            "ws://127.0.0.1:2700",
            "vosk+http://127.0.0.1",
            "vosk+ws://",
            "deepgram+ws://api.deepgram.com",
            "deepgram+wss://key@api.deepgram.com",
            "whisper+ws://127.0.0.1",
            "aws://",
            "aws://us-eats-1",
            "aws://us-east",
            "aws://us-east-1a",
            "aws://east-1",
            "aws://us-east-1/",
            "aws://US-EAST-1",
            "aws://key:secret@us-east-1",
            "aws+wss://us-east-1",
        ] {
            assert!(spec(wrong).is_none(), "{wrong}");
        }
        assert_eq!(
            spec("deepgram+wss://api.deepgram.com/v1/listen?token=secret").unwrap().shown(),
            "deepgram+wss://api.deepgram.com/v1/listen"
        );
        assert_eq!(spec("aws://eu-west-1").unwrap().shown(), "aws://eu-west-1");
    }

    #[test]
    fn audio_is_sixteen_bit_little_endian() {
        let mut pcm = Vec::new();
        put_pcm(&[0xff, 0x80], &mut pcm);
        assert_eq!(pcm, [0, 0, 0x7c, 0x7d], "silence, and the loudest");
    }
}
