//! The frame path: the text of a media message in, an admitted frame handed to the spool out, and its parts.
//! `cargo bench --bench frame_path`. Budget: 2 µs a frame on one core, no allocation in the steady state.

use std::cell::RefCell;

use callgate::engine::audio::frame::StreamNo;
use callgate::engine::audio::g711;
use callgate::engine::audio::keytone::Detector;
use callgate::engine::call::{Call, CallIdentity, Effect, Input, Mode, Now, Outbox, Settings, Standing, StreamStart};
use callgate::engine::consent::{ConsentStatus, Direction};
use callgate::engine::time::{MediaTime, Tick, WallTime};
use callgate::engine::twilio::message::{self, Incoming};
use callgate::io::database::{Database, Work};
use callgate::io::spool::{RecordingHead, SpoolFeed, SpoolKeys, SpoolWriters};

#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

/// A line with a person on it: our own prompt, as loud as a caller.
fn codes(n: u64) -> [u8; 160] {
    use callgate::engine::audio::prompts::{Language, Line, library};
    let voice = library().prompt(Language::ES, Line::Consent).codes;
    let from = (n as usize * 160) % (voice.len() - 160);
    std::array::from_fn(|at| voice[from + at])
}

fn text(n: u64) -> String {
    let payload = base64_simd::STANDARD.encode_to_string(codes(n));
    let timestamp = 100 + n * 20;
    format!(
        r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"inbound","chunk":"{}","timestamp":"{timestamp}","payload":"{payload}"}},"streamSid":"MZ0123456789abcdef0123456789abcdef"}}"#,
        n + 2,
        n + 1
    )
}

/// A call that is being recorded, with a real grant in a real database and a real spool.
struct Recorded {
    call: Call,
    feed: SpoolFeed,
    out: Outbox,
    codes: Vec<u8>,
    n: u64,
    _folder: tempfile::TempDir,
}

impl Recorded {
    fn new() -> Self {
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
            tracks: [true, false],
            leg: callgate::engine::audio::frame::Channel::Client,
            answered_by: None,
            bot: None,
            bridged: false,
        };
        call.step(now(0), Input::StreamStarted(start), &mut out);
        for n in 0..250 {
            let (timestamp, codes) = (MediaTime(100 + n * 20), codes(n));
            let media = Input::Media {
                stream: StreamNo(0),
                track: message::Track::Inbound,
                sequence: n + 2,
                chunk: n + 1,
                timestamp,
                codes: &codes,
            };
            call.step(now(n * 20), media, &mut out);
        }
        out.effects.clear();
        let key = callgate::engine::audio::key::Key::from_symbol('1').unwrap();
        call.step(now(5_000), Input::Dtmf { stream: StreamNo(0), sequence: 252, key }, &mut out);
        let grant = out.effects.drain(..).find_map(|effect| if let Effect::Seal(grant) = effect { Some(grant) } else { None }).unwrap();
        let record = std::sync::Arc::clone(&grant.record);
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
        let mut recorded = Self { call, feed, out, codes: Vec::with_capacity(1_024), n: 250, _folder: folder };
        // The closing line plays, the delay line fills, every buffer finds its size.
        for _ in 0..600 {
            let text = recorded.next();
            recorded.frame(&text);
        }
        recorded
    }

    fn next(&mut self) -> String {
        self.n += 1;
        text(self.n)
    }

    /// What a media thread does with a message.
    fn frame(&mut self, text: &str) {
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
        // Faster than real time by five orders of magnitude: the disk may not keep up, and is not what is measured.
        let _ = self.feed.push(now.tick, &self.out.captured);
        self.out.captured.clear();
        self.out.effects.clear();
    }
}

// A second of it: shorter runs are over before the machine has found its pace.
#[divan::bench(sample_count = 5000, sample_size = 100)]
fn whole(bencher: divan::Bencher) {
    let recorded = RefCell::new(Recorded::new());
    bencher.with_inputs(|| recorded.borrow_mut().next()).bench_local_refs(|text| recorded.borrow_mut().frame(text));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_1_parse(bencher: divan::Bencher) {
    let text = text(1_000);
    bencher.bench(|| matches!(message::parse(divan::black_box(&text), ""), Ok(Incoming::Media(_))));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_2_base64(bencher: divan::Bencher) {
    let payload = base64_simd::STANDARD.encode_to_string(codes(7));
    let codes = RefCell::new(Vec::with_capacity(1_024));
    bencher.bench_local(|| message::decode_payload(divan::black_box(&payload), &mut codes.borrow_mut()));
}

#[divan::bench(sample_count = 300, sample_size = 100)]
fn part_3_key_tones(bencher: divan::Bencher) {
    let detector = RefCell::new(Detector::new());
    let n = RefCell::new(0);
    let next = || {
        *n.borrow_mut() += 1;
        codes(*n.borrow()).map(g711::decode)
    };
    bencher.with_inputs(next).bench_local_refs(|samples| detector.borrow_mut().feed(samples, |_| ()));
}
