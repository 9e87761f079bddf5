//! Opting out by a key's tone in the middle of a conversation: seeded calls against a gateway of their own, and what is stored of
//! them, told as docs/opt-out.md. `optout_eval [CALLS] [--report FILE]`
//!
//! Both people talk, on a track each; then the client presses a lone 2, or * and 2, somewhere, of some length, level, twist and
//! frequency. What was captured is taken from the stored recording and from the call's own state; the key's first sample is known.

#[path = "../tests/common/talk.rs"]
mod talk;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callgate::engine::audio::g711;
use callgate::engine::audio::keytone::{Detector, Heard};
use callgate::server::{Claims, Gateway, Given};
use serde_json::Value;
use talk::{FIRST_MS, FRAME, Press, Random, Talk, channels, coded, voice};

/// The 1 that grants is pressed by event after so many frames: it has been named.
const ASKED_FRAMES: usize = 250;
/// And until "Thank you…" is over a 2 answers the question.
const CLOSING_FRAMES: usize = 260;
/// Talked after the key.
const AFTER_FRAMES: usize = 150;
/// Calls at once.
const AT_ONCE: usize = 4;
const WITHIN: Duration = Duration::from_secs(20);

/// How the client talks while pressing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Under {
    /// The telephone mutes its microphone while a key is down, as nearly all do.
    Muted,
    /// It does not: speech goes on, 12 to 24 dB below the key's weaker tone.
    Speech,
}

struct Plan {
    seed: u64,
    under: Under,
    keys: &'static str,
    presses: Vec<Press>,
    client: Vec<u8>,
    other: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Outcome {
    under: Under,
    keys: &'static str,
    heard: bool,
    /// Frames captured that reach past the tone's first sample, of both tracks.
    past: i64,
    /// Frames of both people that end before it, and were not captured: of one track.
    lost: i64,
    /// Keys that the detector finds in what is stored.
    stored_keys: usize,
    /// Samples after the tone's first one that are found in the stored channels.
    leaked: usize,
    told: String,
}

fn plan(seed: u64) -> Plan {
    let mut random = Random(seed);
    let under = if seed.is_multiple_of(2) { Under::Muted } else { Under::Speech };
    let keys = if seed % 4 == 3 { "*2" } else { "2" };
    let before = CLOSING_FRAMES * FRAME + random.between(2_000.0 * 8.0, 8_000.0 * 8.0) as usize;
    let length = |random: &mut Random| if random.below(10) == 0 { 16_000 } else { random.between(60.0 * 8.0, 600.0 * 8.0) as usize };
    let twist = random.between(-8.0, 4.0);
    let strong = random.between(-25.0 + twist.abs(), 0.0);
    let dbm0 = if twist < 0.0 { [strong, strong + twist] } else { [strong - twist, strong] };
    let mut presses = Vec::new();
    let mut at = before;
    for key in keys.chars() {
        // A * that is held for two seconds is over before its 2: that is another gesture.
        let samples = if keys.len() > 1 { random.between(60.0 * 8.0, 300.0 * 8.0) as usize } else { length(&mut random) };
        let off = [random.between(0.985, 1.015), random.between(0.985, 1.015)];
        presses.push(Press { key, at, samples, dbm0, off });
        at += samples + random.between(80.0 * 8.0, 600.0 * 8.0) as usize;
    }
    let end = presses.iter().map(Press::end).max().unwrap_or(before);
    let samples = (end / FRAME + 1 + AFTER_FRAMES) * FRAME;
    let mut client = voice(&["client-en", "second-client-en"], random.below(100_000), samples, 0.0, &mut random);
    // A voice of the fixtures sits at -20 dBov, which is about -17 dBm0.
    let weaker = dbm0[0].min(dbm0[1]);
    let speech_gain = match under {
        Under::Muted => 0.0,
        Under::Speech => 10f64.powf((weaker - random.between(12.0, 24.0) + 17.0).min(0.0) / 20.0),
    };
    for press in &presses {
        for sample in &mut client[press.at..press.end()] {
            *sample *= speech_gain;
        }
        press.sound_on(&mut client);
    }
    let other = voice(&["agent-en", "agent-es"], random.below(100_000), samples, 0.0, &mut random);
    Plan { seed, under, keys, presses, client: coded(&client), other: coded(&other) }
}

struct Gate {
    address: SocketAddr,
    token: String,
    http: reqwest::Client,
}

impl Gate {
    async fn call(&self, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let url = format!("http://{}/api/calls?callSid={sid}", self.address);
            let found: Value = self.http.get(url).bearer_auth(&self.token).send().await.unwrap().json().await.unwrap();
            if !found["calls"][0].is_null() && wanted(&found["calls"][0]) {
                return found["calls"][0].clone();
            }
            assert!(began.elapsed() < WITHIN, "{sid} never came to be as wanted: {found}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn hold(&self, plan: Plan) -> Outcome {
        let sid = format!("CA{:032x}", plan.seed);
        let mut random = Random(!plan.seed);
        let mut quiet = || coded(&voice(&["room-noise"], 0, FRAME, -30.0, &mut random));
        let mut talk = Talk::begin(self.address, &sid).await;
        for _ in 0..ASKED_FRAMES {
            talk.frame(&quiet(), &quiet()).await;
        }
        talk.key("1").await;
        self.call(&sid, |call| call["recording"]["state"] == "ACTIVE").await;
        let began_ms = FIRST_MS + talk.frames * 20;
        talk.frames(&plan.client, &plan.other).await;
        talk.stop(&sid).await;
        let call = self.call(&sid, |call| call["phase"] == "ENDED" && call["recording"]["state"] != "ACTIVE").await;
        let heard = call["consent"]["status"] == "REVOKED";
        let id = call["recording"]["recordingId"].as_str().unwrap_or_default().to_owned();
        let wav = self.audio(&id).await;
        let [left, right] = channels(&wav);

        let onset = plan.presses[0].at;
        let onset_ms = began_ms as f64 + onset as f64 / 8.0;
        let segments = call["recording"]["segments"].as_array().unwrap();
        let end_ms = segments.last().unwrap()["endMs"].as_u64().unwrap();
        let frames = ((end_ms as f64 - onset_ms) / 20.0).ceil() as i64;
        let lost = ((onset_ms - end_ms as f64) / 20.0).floor() as i64;
        // In the bytes themselves: nothing of what was sent from the tone's first sample on lies at the end of either channel.
        let leaked = if heard { leak(&left, &plan.client[onset..]) + leak(&right, &plan.other[onset..]) } else { 0 };
        let stored_keys = [&left, &right].into_iter().map(|side| keys_in(side)).sum();
        let press = plan.presses[0];
        let told = format!(
            "seed {}: {} {:?}, {} ms, {:.1}/{:.1} dBm0, off {:.3}/{:.3}",
            plan.seed,
            plan.keys,
            plan.under,
            press.samples / 8,
            press.dbm0[0],
            press.dbm0[1],
            press.off[0],
            press.off[1]
        );
        Outcome { under: plan.under, keys: plan.keys, heard, past: frames.max(0) * 2, lost: lost.max(0), stored_keys, leaked, told }
    }

    async fn audio(&self, id: &str) -> Vec<u8> {
        let began = std::time::Instant::now();
        loop {
            let url = format!("http://{}/api/recordings/{id}/audio", self.address);
            let answer = self.http.get(url).bearer_auth(&self.token).send().await.unwrap();
            if answer.status().is_success() {
                return answer.bytes().await.unwrap().to_vec();
            }
            assert!(began.elapsed() < WITHIN, "{id} was never stored: {}", answer.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How many samples at the front of what must not be there are found together at the end of a channel.
fn leak(side: &[i16], forbidden: &[u8]) -> usize {
    let tail: Vec<u8> = side[side.len().saturating_sub(8_000)..].iter().map(|sample| g711::encode(*sample)).collect();
    let forbidden: Vec<u8> = forbidden.iter().map(|code| g711::encode(g711::decode(*code))).collect();
    (8..=160.min(forbidden.len())).rev().find(|length| tail.ends_with(&forbidden[..*length])).unwrap_or(0)
}

fn keys_in(side: &[i16]) -> usize {
    let (mut detector, mut keys) = (Detector::new(), 0);
    for piece in side.chunks(FRAME) {
        detector.feed(piece, |heard| keys += usize::from(matches!(heard, Heard::Began { .. })));
    }
    detector.finish(|heard| keys += usize::from(matches!(heard, Heard::Began { .. })));
    keys
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let report = arguments.iter().position(|argument| argument == "--report").map(|at| arguments[at + 1].clone());
    let calls: u64 = arguments.first().and_then(|count| count.parse().ok()).unwrap_or(200);
    let folder = tempfile::tempdir().expect("a folder");
    let given = Given {
        listen: Some("127.0.0.1:0".into()),
        data_dir: Some(folder.path().display().to_string()),
        clock: Some("media".into()),
        prompt_in_recording: Some("false".into()),
        ..Given::default()
    };
    let gateway = Gateway::start(given.meant().expect("a configuration")).await.expect("a gateway");
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs() + 3_600;
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let permissions = text(&["canViewClients", "canViewRecordings"]);
    let claims = Claims { sub: "eval".into(), name: String::new(), org: "default".into(), permissions, clients: text(&["*"]), exp };
    let token = gateway.tokens().mint(&claims).expect("a token");
    let gate = std::sync::Arc::new(Gate { address: gateway.address(), token, http: reqwest::Client::new() });
    let mut outcomes = Vec::new();
    let seeds: Vec<u64> = (0..calls).collect();
    for seeds in seeds.chunks(AT_ONCE) {
        let held = seeds.iter().map(|seed| {
            let (gate, seed) = (std::sync::Arc::clone(&gate), *seed);
            tokio::spawn(async move { gate.hold(plan(seed)).await })
        });
        for call in held.collect::<Vec<_>>() {
            outcomes.push(call.await.expect("a call"));
        }
    }
    gateway.drain(Duration::from_secs(5)).await;
    let text = table(&outcomes);
    println!("{text}");
    if let Some(file) = report {
        std::fs::write(&file, text).expect("the report");
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| client's microphone | keys | calls | opt-out heard | frames captured past the tone's first sample | frames lost before it: most, mean | keys in what is stored |\n|---|---|---|---|---|---|---|\n",
    );
    let mut groups: BTreeMap<(Under, &str), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        groups.entry((outcome.under, outcome.keys)).or_default().push(outcome);
    }
    let mut row = |name: String, group: &[&Outcome]| {
        let heard: Vec<_> = group.iter().filter(|outcome| outcome.heard).collect();
        let (past, most) = (heard.iter().map(|one| one.past).sum::<i64>(), heard.iter().map(|one| one.lost).max().unwrap_or(0));
        let mean = heard.iter().map(|one| one.lost).sum::<i64>() as f64 / heard.len().max(1) as f64;
        let keys = group.iter().map(|one| one.stored_keys).sum::<usize>();
        let _ = writeln!(text, "| {name} | {} | {} | {past} | {most}, {mean:.2} | {keys} |", group.len(), heard.len());
    };
    for ((under, keys), group) in &groups {
        let name = match under {
            Under::Muted => "muted while a key is down",
            Under::Speech => "open, speech 12 to 24 dB below the weaker tone",
        };
        row(format!("{name} | {keys}"), group);
    }
    row("all | ".to_owned(), &outcomes.iter().collect::<Vec<_>>());
    for outcome in outcomes.iter().filter(|one| !one.heard || one.past > 0 || one.leaked > 0 || one.lost > 2 || one.stored_keys > 0) {
        let _ = writeln!(
            text,
            "\n{}: heard {}, past {}, leaked samples {}, lost {}, keys stored {}",
            outcome.told, outcome.heard, outcome.past, outcome.leaked, outcome.lost, outcome.stored_keys
        );
    }
    text
}
