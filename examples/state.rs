//! How soon the state of a call is told. `state seed DATABASE_URL CALLS` writes past calls, each of a client of its own who once said
//! yes; `state ask ADDRESS TOKEN LIVE` then holds LIVE calls and asks, one question after the other, for live calls, for past ones and
//! for clients' histories. `scripts/bench-state` runs both.
//!
//! A call's audio comes in messages of a second, which is as legal as 20 ms and lets one generator hold thousands.

#[allow(dead_code, reason = "its calls speak in seconds and press nothing")]
mod wire;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Grant, Method};
use callgate::engine::time::WallTime;
use callgate::io::database::{CallRow, Database, Work};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const BEGAN: WallTime = WallTime(1_790_000_000_000);
/// Written before the answers are waited for.
const AT_ONCE: u64 = 2_000;
const QUESTIONS: usize = 5_000;
/// Asked before any is counted.
const WARM: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let told = arguments.iter().skip(1).map(String::as_str).collect::<Vec<_>>();
    match told[..] {
        ["seed", url, calls] => seed(url, calls.parse().expect("CALLS")),
        ["ask", address, token, live] => ask(address, token, live.parse().expect("LIVE")),
        _ => panic!("state seed DATABASE_URL CALLS | state ask ADDRESS TOKEN LIVE"),
    }
}

#[tokio::main]
async fn seed(url: &str, calls: u64) {
    let database = Database::open(url).await.expect("a database");
    for first in (0..calls).step_by(AT_ONCE as usize) {
        let mut answers = Vec::new();
        for n in first..calls.min(first + AT_ONCE) {
            let (done, answer) = oneshot::channel();
            let then = Box::new(move |receipt: Result<_, _>| {
                let _ = done.send(receipt.is_ok());
            });
            database.ledger().append(Work::Grant(Grant { record: record(n).into(), seen: 0 }, then)).expect("room in the queue");
            database.ledger().append(Work::Call(Box::new(row(n)))).expect("room in the queue");
            answers.push(answer);
        }
        for answer in answers {
            assert!(answer.await.expect("an answer"), "a grant is durable");
        }
        database.ledger().flush().await;
    }
}

fn record(n: u64) -> ConsentRecord {
    ConsentRecord {
        id: format!("past-{n}-c1"),
        org_id: "default".into(),
        client_id: format!("client-{n}"),
        call_id: Some(format!("past-{n}")),
        status: ConsentStatus::Granted,
        method: Method::Keypress,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: format!("client-{n}") },
        at: BEGAN,
        reason: None,
        evidence: json!({}).into(),
        policy_version: None,
        policy_basis: None,
    }
}

fn row(n: u64) -> CallRow {
    let (began, ended) = (WallTime(BEGAN.0 + n as i64 * 1_000), WallTime(BEGAN.0 + n as i64 * 1_000 + 60_000));
    let state = json!({ "callId": format!("past-{n}"), "callSid": format!("CApast{n}"), "clientId": format!("client-{n}"), "caseManagerId": "cm",
        "orgId": "default", "direction": "INBOUND", "phase": "ENDED", "startedAt": began, "endedAt": ended, "durationSeconds": 60, "isRecorded": false,
        "consent": { "status": "GRANTED", "method": "KEYPRESS", "languageCode": "en", "promptVersion": "v1", "grantedAt": began, "prior": false },
        "recording": { "state": "NOT_STARTED", "recordingId": null }, "unrecordedReason": "SYSTEM_ERROR" });
    CallRow {
        id: format!("past-{n}"),
        call_sid: format!("CApast{n}"),
        client_id: format!("client-{n}"),
        case_manager_id: "cm".into(),
        org_id: "default".into(),
        direction: "INBOUND".into(),
        phase: "ENDED".into(),
        consent_granted_at: Some(began.to_string()),
        consent_method: Some("KEYPRESS".into()),
        is_recorded: false,
        recording_id: None,
        started_at: began.to_string(),
        ended_at: Some(ended.to_string()),
        state,
    }
}

fn ask(address: &str, token: &str, live: usize) {
    let mut lines: Vec<TcpStream> = (0..live).map(|_| wire::handshake(address)).collect();
    for (n, line) in lines.iter_mut().enumerate() {
        say(line, wire::CONNECTED);
        say(line, &wire::start(n, &sid(n)));
    }
    let (over, second) = (Arc::new(AtomicBool::new(false)), base64_simd::STANDARD.encode_to_string([0x7F; 8_000]));
    let talking = std::thread::spawn({
        let over = Arc::clone(&over);
        move || talk(&mut lines, &second, &over)
    });
    let mut door = Door { stream: BufReader::new(wire::tcp(address)), token: token.to_owned() };
    std::thread::sleep(Duration::from_secs(3));
    let id = |door: &mut Door, n: usize| {
        let (_, status, found) = door.get(&format!("/api/calls?callSid=CA{n:032x}"));
        assert_eq!((status, &found["calls"][0]["endedAt"]), (200, &Value::Null), "call {n} is live");
        found["calls"][0]["callId"].as_str().expect("an id").to_owned()
    };
    let ids: Vec<String> = (0..live).step_by((live / 500).max(1)).map(|n| id(&mut door, n)).collect();
    let past = door.get("/api/calls/past-0").1 == 200;
    println!("{live} live calls; one question at a time over one connection, from before its write to after its answer; milliseconds");
    told("state of a live call", &mut door, |n| format!("/api/calls/{}", ids[n * 7 % ids.len()]));
    if past {
        told("state of a past call", &mut door, |n| format!("/api/calls/past-{}", n * 7_919 % 10_000));
        told("a client's consent and its history", &mut door, |n| format!("/api/clients/client-{}/consent", n * 7_919 % 10_000));
    }
    over.store(true, Ordering::Relaxed);
    talking.join().expect("the calls went on");
}

fn sid(n: usize) -> String {
    format!("MZ{n:032x}")
}

fn say(line: &mut TcpStream, text: &str) {
    let mut bytes = Vec::new();
    wire::frame(text, &mut bytes);
    line.write_all(&bytes).expect("the gateway reads");
}

/// A second of audio on each line in each second, evenly spread; what the gateway says is thrown away.
fn talk(lines: &mut [TcpStream], second: &str, over: &AtomicBool) {
    let (began, mut sink) = (Instant::now(), vec![0; 64 * 1024]);
    for line in lines.iter() {
        line.set_nonblocking(true).expect("nonblocking");
    }
    for turn in 0u32.. {
        for (n, line) in lines.iter_mut().enumerate() {
            let due = began + Duration::from_secs(1) * turn + Duration::from_secs(1) * n as u32 / 2_000;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            while line.read(&mut sink).is_ok_and(|count| count == sink.len()) {}
            line.set_nonblocking(false).expect("blocking");
            let (sequence, chunk) = (turn + 2, turn + 1);
            say(
                line,
                &format!(
                    r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{}","payload":"{second}"}},"streamSid":"{}"}}"#,
                    turn * 1_000,
                    sid(n)
                ),
            );
            line.set_nonblocking(true).expect("nonblocking");
            if over.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

struct Door {
    stream: BufReader<TcpStream>,
    token: String,
}

impl Door {
    fn get(&mut self, path: &str) -> (Duration, u16, Value) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        let since = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes()).expect("a request");
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("an answer");
            if status == 0 {
                status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            } else if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = told.trim().parse().expect("a length");
            } else if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        (since.elapsed(), status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

fn told(what: &str, door: &mut Door, path: impl Fn(usize) -> String) {
    let mut took: Vec<Duration> = (0..WARM + QUESTIONS)
        .map(|n| {
            let (took, status, body) = door.get(&path(n));
            assert_eq!(status, 200, "{body}");
            took
        })
        .skip(WARM)
        .collect();
    took.sort_unstable();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3);
    println!("{what:36} n {:5}  p50 {p50:7.3}  p99 {p99:7.3}  max {max:7.3}", took.len());
}
