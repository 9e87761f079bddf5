//! A call that is being recorded, from the text of a media message to the spool: what a media thread does, without its sockets.
//! For the benchmark of the frame path and for the test that counts what it allocates.

use std::time::Duration;

use callgate::engine::audio::frame::{Channel, StreamNo};
use callgate::engine::audio::key::Key;
use callgate::engine::audio::prompts::{Language, Line, library};
use callgate::engine::call::{Call, CallIdentity, Effect, Input, Mode, Now, Outbox, Settings, Standing, StreamStart};
use callgate::engine::consent::{ConsentStatus, Direction};
use callgate::engine::time::{MediaTime, Tick, WallTime};
use callgate::engine::twilio::message::{self, Incoming, Track};
use callgate::io::database::{Database, Work};
use callgate::io::spool::{RecordingHead, SpoolFeed, SpoolKeys, SpoolStalled, SpoolWriters};

/// In so many ticks of 20 ms a chunk is handed to the spool.
pub const TICKS_A_CHUNK: u64 = 10;

/// A line with a person on it: our own prompt, as loud as a caller.
pub fn codes(n: u64) -> [u8; 160] {
    let voice = library().prompt(Language::ES, Line::Consent).codes;
    let from = (n as usize * 160) % (voice.len() - 160);
    std::array::from_fn(|at| voice[from + at])
}

/// Twilio's message of the `n`th frame of a track.
pub fn text(n: u64, track: Track) -> String {
    let payload = base64_simd::STANDARD.encode_to_string(codes(n));
    let timestamp = 100 + n * 20;
    let (name, sequence) = match track {
        Track::Inbound => ("inbound", n * 2),
        Track::Outbound => ("outbound", n * 2 + 1),
    };
    format!(
        r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"{name}","chunk":"{}","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"MZ0123456789abcdef0123456789abcdef"}}"#,
        sequence + 2,
        n + 1
    )
}

/// With a real grant in a real database and a real spool.
pub struct Recorded {
    call: Call,
    feed: SpoolFeed,
    out: Outbox,
    codes: Vec<u8>,
    n: u64,
    folder: tempfile::TempDir,
}

impl Recorded {
    pub fn new(tracks: [bool; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let identity = CallIdentity {
            call_id: "call".into(),
            call_sid: "CA1".into(),
            client_id: "client".into(),
            case_manager_id: String::new(),
            org_id: "org".into(),
            direction: Direction::Inbound,
        };
        let now = |ms: u64| Now { tick: Tick(1_000_000 + ms * 1_000), wall: WallTime(0) };
        let mut call = Call::new(identity, Settings::default(), Standing { status: ConsentStatus::Pending, seen: 0 }, now(0));
        let mut out = Outbox::default();
        let start = StreamStart {
            stream_sid: "MZ1".into(),
            mode: Mode::Stay,
            tracks,
            leg: Channel::Client,
            answered_by: None,
            bot: None,
            bridged: false,
            transfer: None,
        };
        call.step(now(0), Input::StreamStarted(start), &mut out);
        for n in 0..250 {
            let (timestamp, codes) = (MediaTime(100 + n * 20), codes(n));
            let (stream, track, sequence) = (StreamNo(0), Track::Inbound, n * 2 + 2);
            call.step(now(n * 20), Input::Media { stream, track, sequence, chunk: n + 1, timestamp, codes: &codes }, &mut out);
        }
        out.effects.clear();
        let key = Key::from_symbol('1').unwrap();
        call.step(now(5_000), Input::Dtmf { stream: StreamNo(0), sequence: 501, key }, &mut out);
        let grant = out.effects.drain(..).find_map(|effect| if let Effect::Seal(grant) = effect { Some(grant) } else { None }).unwrap();
        let record = grant.record.clone();
        let receipt = runtime.block_on(async {
            let database = Database::open(&format!("sqlite://{}/b.db", folder.path().display())).await.unwrap();
            let (done, answer) = tokio::sync::oneshot::channel();
            database.ledger().append(Work::Grant(grant, Box::new(move |receipt| drop(done.send(receipt))))).unwrap();
            answer.await.unwrap().unwrap()
        });
        call.step(now(5_000), Input::Sealed(receipt), &mut out);
        out.effects.clear();
        let keys = std::sync::Arc::new(SpoolKeys::in_file(&folder.path().join("key")).unwrap());
        let writers = SpoolWriters::start(&folder.path().join("spool"), &keys, 1, |_, _| ()).unwrap();
        let head = RecordingHead {
            recording_id: "rec".into(),
            call_id: "call".into(),
            call_sid: "CA1".into(),
            client_id: "client".into(),
            org_id: "org".into(),
            grant_seq: 1,
            consent: record,
            format: "wav".into(),
            started_at: String::new(),
            lead: None,
            pauses: Default::default(),
        };
        let feed = writers.begin(head, Tick(6_000_000)).unwrap();
        let mut recorded = Self { call, feed, out, codes: Vec::with_capacity(1_024), n: 250, folder };
        // The closing line plays, the delay line fills, every buffer finds its size; then the writers catch up.
        let mut written = recorded.written_beyond(0);
        for tick in 0..600 {
            for (track, _) in Track::BOTH.into_iter().zip(tracks).filter(|(_, is_sent)| *is_sent) {
                let text = recorded.next(track);
                let _ = recorded.frame(&text);
            }
            if tick > 300 && tick % TICKS_A_CHUNK == 0 {
                written = recorded.written_beyond(written);
            }
        }
        recorded
    }

    /// The next message of a track; a tick of 20 ms begins with the inbound one.
    pub fn next(&mut self, track: Track) -> String {
        self.n += u64::from(track == Track::Inbound);
        text(self.n, track)
    }

    /// Waits until the writers have written more than so many bytes, however busy the machine is: how many they have.
    pub fn written_beyond(&self, before: u64) -> u64 {
        loop {
            let written = std::fs::metadata(self.folder.path().join("spool/rec.spool")).map_or(0, |file| file.len());
            if written > before {
                return written;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// What a media thread does with a message: how many frames it hands to the spool.
    pub fn frame(&mut self, text: &str) -> Result<usize, SpoolStalled> {
        let now = Now { tick: Tick(1_000_000 + self.n * 20_000), wall: WallTime(0) };
        let Ok(Incoming::Media(media)) = message::parse(text, "") else { panic!("a media message") };
        message::decode_payload(&media.payload, &mut self.codes).unwrap();
        let input = Input::Media {
            stream: StreamNo(0),
            track: media.track,
            sequence: media.sequence,
            chunk: media.chunk,
            timestamp: MediaTime(media.timestamp_ms),
            codes: &self.codes,
        };
        self.call.step(now, input, &mut self.out);
        let pushed = self.feed.push(now.tick, &self.out.captured).map(|()| self.out.captured.len());
        self.out.captured.clear();
        self.out.effects.clear();
        pushed
    }
}
