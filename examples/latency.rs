//! The generator of `scripts/bench-latency`: calls in real time, and how long a gateway takes to answer them.
//! `latency ADDRESS CALLS RAMP_MS [steady | TOKEN]`
//!
//! Every call sends a frame each 20 ms, evenly spread, begins with its own `start` within RAMP_MS, and presses a key in the
//! prompt six seconds later: 1 in even calls, 2 in odd ones. So all calls are in the prompt at once if the ramp is short, and two in ten
//! are probes. `steady` is a gateway that has as many calls all day: three quarters have begun and are recorded before the others, which
//! are the probes, begin within the ramp. A thread of their own carries the probes, which goes before the one that carries the others, so
//! that what waits in the generator is not taken for the gateway's.
//! Measured on the probes, from just before the write to just after the read: `start` to the first prompt audio, and the key to
//! the `clear` that the gateway sends once its machine has stepped, before anything is durable. With a TOKEN every call presses
//! 1, and when all have decided a thread that goes first as well opts half of them out through the API, one at a time: from just
//! before its request is written to its answer, which the gateway gives when the ledger has the record; and, as the gateway itself counts
//! it, from the request read to the gate shut. How late the probes' frames went out is told with them: figures near it mean nothing.

mod wire;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;

const FRAME: Duration = Duration::from_millis(20);
/// The key comes after so many frames: both keys are named by then, and the prompt still plays.
const KEY_AT: u64 = 300;
/// A call goes on for so long after its key, so that the last ones decide under the full load.
const FRAMES: u32 = 700;
const STRIDE: usize = 617;
/// Of ten calls, those whose answers are timed.
const PROBES_OF_TEN: usize = 2;
/// The calls of a steady gateway that came before: within so long, and recorded so long after.
const SETTLING: Duration = Duration::from_secs(4);
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// How a thread that goes first stands, as `nice` counts.
const FIRST: i32 = -20;
/// Between two looks at what the gateway says.
const SENT_AT_ONCE: usize = 8;
/// Between an answer and the next opt-out.
const OPT_OUTS_EVERY: Duration = Duration::from_millis(5);
/// The last call has decided so long after its key.
const DECIDED_MS: u64 = 2_000;
/// A latecomer's socket is there so long before its call begins, and whoever has nothing to do looks for it this often.
const CONNECTED_BEFORE: Duration = Duration::from_secs(2);
const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// A sleep ends on the next millisecond. If one frame in a hundred goes out later than this, the machine had other things to do.
const LATE_MAX: Duration = Duration::from_millis(2);
const MEDIA: &[u8] = br#"{"event":"media""#;
const CLEAR: &[u8] = br#"{"event":"clear""#;

struct Line {
    n: usize,
    stream: TcpStream,
    sid: String,
    frames: u64,
    waits: Option<(&'static [u8], Instant)>,
    heard: Vec<u8>,
    first_audio: Option<Duration>,
    decision: Option<Duration>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (Some([address, calls, ramp_ms]), last) = (arguments.get(1..4), arguments.get(4)) else {
        panic!("latency ADDRESS CALLS RAMP_MS [steady | TOKEN]")
    };
    let (steady, token) = (last.is_some_and(|last| last == "steady"), last.filter(|last| *last != "steady"));
    let (calls, ramp_ms): (usize, u64) = (calls.parse().expect("CALLS"), ramp_ms.parse().expect("RAMP_MS"));
    let pressing = if token.is_some() { ['1', '1'] } else { ['1', '2'] };
    let asking = Arc::new(AtomicBool::new(token.is_some()));
    let settled = if steady { calls * 3 / 4 } else { 0 };
    // Whoever does not begin within ten seconds is sent away.
    let early = if steady { settled } else { calls };
    let here: Vec<_> = (0..early).map(|n| (n, connected(address))).collect();
    let plan = Plan { began: Instant::now(), calls, settled, ramp: Duration::from_millis(ramp_ms), pressing, asking: Arc::clone(&asking) };
    let opting_out = token.map(|token| {
        let (address, token) = (address.clone(), token.clone());
        let wait = Duration::from_millis(ramp_ms + KEY_AT * 20 + DECIDED_MS);
        std::thread::spawn(move || {
            go_first();
            let told = opt_outs(&address, &token, calls, wait);
            asking.store(false, Ordering::Release);
            told
        })
    });
    let (probes, others): (Vec<_>, Vec<_>) = here.into_iter().partition(|(n, _)| plan.probes(*n));
    let (come, coming) = std::sync::mpsc::channel();
    std::thread::spawn({
        let (plan, address) = (plan.clone(), address.clone());
        move || {
            for n in early..calls {
                std::thread::sleep((plan.start(n) - CONNECTED_BEFORE).saturating_duration_since(Instant::now()));
                come.send((n, connected(&address))).expect("the probes");
            }
        }
    });
    let probing = std::thread::spawn({
        let plan = plan.clone();
        move || {
            go_first();
            carry(&plan, probes, &coming)
        }
    });
    let (_, late_others) = carry(&plan, others, &std::sync::mpsc::channel().1);
    let (lines, mut late) = probing.join().expect("the probes");
    late.sort_unstable();
    let own = late.get(late.len() * 99 / 100).copied().unwrap_or_default();
    let first: Vec<_> = lines.iter().filter_map(|line| line.first_audio).collect();
    let last: Vec<_> = lines[lines.len() * 3 / 4..].iter().filter_map(|line| line.first_audio).collect();
    let decided = |odd: usize| lines.iter().filter(|line| line.n % 2 == odd).filter_map(|line| line.decision).collect();
    println!(
        "calls {calls}, {settled} of them recorded before, starts spread over {ramp_ms} ms, a frame each 20 ms; milliseconds\n{}\n{}\n{}\n{}\n{}\n{}",
        told("start to the first prompt audio", first),
        told("  of these, the last quarter of calls", last),
        told("key 1 to clear (asks the ledger)", decided(0)),
        told("key 2 to clear (the gate is shut)", decided(1)),
        told("own lateness with a probe's frame", late),
        told("own lateness with another's frame", late_others)
    );
    if let Some(opting_out) = opting_out {
        let (took, refused, shut) = opting_out.join().expect("the thread that opts out");
        println!("{}\n{shut}", told("POST opt-out to its answer", took));
        assert_eq!(refused, 0, "opt-outs that were not answered with 200");
    }
    if own > LATE_MAX {
        println!("the probes themselves were late: figures of that size are no measure of the gateway; is the machine otherwise quiet?");
    }
    let mute = lines.iter().filter(|line| line.first_audio.is_none() || line.decision.is_none()).count();
    assert_eq!(mute, 0, "calls in which no audio or no clear came");
}

/// When a call begins, what it presses, and whether it is timed.
#[derive(Clone)]
struct Plan {
    began: Instant,
    calls: usize,
    /// The first so many came before.
    settled: usize,
    ramp: Duration,
    pressing: [char; 2],
    /// Opt-outs are still being asked for: nobody hangs up meanwhile.
    asking: Arc<AtomicBool>,
}

impl Plan {
    /// Starts are spread over their ramp, and the calls' frames evenly over the 20 ms.
    fn start(&self, n: usize) -> Instant {
        let (from, place, among, ramp) = match n.checked_sub(self.settled) {
            None => (self.began, n, self.settled, SETTLING),
            Some(late) => (self.latecomers_from(), late, self.calls - self.settled, self.ramp),
        };
        let whole = place as u128 * (ramp.as_millis() / FRAME.as_millis()) / among as u128;
        from + FRAME * whole as u32 + FRAME * (n * STRIDE % self.calls) as u32 / self.calls as u32
    }

    fn latecomers_from(&self) -> Instant {
        self.began + if self.settled == 0 { Duration::ZERO } else { SETTLING + SETTLED_AFTER }
    }

    fn end(&self) -> Instant {
        self.latecomers_from() + self.ramp + FRAME * FRAMES
    }

    fn presses(&self, n: usize) -> char {
        if n < self.settled { '1' } else { self.pressing[n % 2] }
    }

    fn probes(&self, n: usize) -> bool {
        if self.settled == 0 { n % 10 < PROBES_OF_TEN } else { n >= self.settled }
    }
}

/// The calling thread goes before the generator's others on its core. Who may not, measures with them.
fn go_first() {
    if let Err(why) = rustix::process::setpriority_process(None, FIRST) {
        println!("the probes cannot go first ({why}): run this as root");
    }
}

/// A call's socket, past its handshake.
fn connected(address: &str) -> TcpStream {
    let stream = wire::handshake(address);
    stream.set_nonblocking(true).expect("nonblocking");
    TcpStream::from_std(stream)
}

/// Carries calls to their end, those that are there and those that come: what they heard, and how late each of their frames went out.
fn carry(plan: &Plan, sockets: Vec<(usize, TcpStream)>, coming: &Receiver<(usize, TcpStream)>) -> (Vec<Line>, Vec<Duration>) {
    let mut poll = Poll::new().expect("a poller");
    let mut lines: Vec<Line> = Vec::new();
    let mut due: BinaryHeap<Reverse<(Instant, usize)>> = BinaryHeap::new();
    let mut here = sockets.into_iter();
    let payloads = wire::voice();
    let mut sink = vec![0; 64 * 1024];
    let mut events = Events::with_capacity(1_024);
    let mut late = Vec::with_capacity(here.len() * FRAMES as usize);
    let mut buffer = Vec::with_capacity(1_024);
    while Instant::now() < plan.end() || plan.asking.load(Ordering::Acquire) {
        for (n, stream) in here.by_ref().chain(coming.try_iter()) {
            let mut line = Line::new(n, stream);
            poll.registry().register(&mut line.stream, Token(lines.len()), Interest::READABLE).expect("a watched socket");
            due.push(Reverse((plan.start(n), lines.len())));
            lines.push(line);
        }
        for _ in 0..SENT_AT_ONCE {
            let now = Instant::now();
            let Some(Reverse((_, place))) = due.peek().copied().filter(|Reverse((at, _))| *at <= now) else { break };
            let Some(Reverse((at, _))) = due.pop() else { break };
            late.push(now - at);
            let line = &mut lines[place];
            line.speak(plan.presses(line.n), now, &payloads, &mut buffer);
            due.push(Reverse((at + FRAME, place)));
        }
        let wait = due.peek().map_or(LOOKS_EVERY, |Reverse((at, _))| at.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, Some(wait)).expect("the poller");
        for event in &events {
            lines[event.token().0].listen(&mut sink);
        }
    }
    (lines, late)
}

impl Line {
    fn new(n: usize, stream: TcpStream) -> Self {
        Self { n, stream, sid: format!("MZ{n:032x}"), frames: 0, waits: None, heard: Vec::new(), first_audio: None, decision: None }
    }

    /// The next frame, and what comes with it: before the first `start`, before one in the prompt a key.
    fn speak(&mut self, key: char, now: Instant, payloads: &[String], buffer: &mut Vec<u8>) {
        self.frames += 1;
        buffer.clear();
        if self.frames == 1 {
            wire::frame(wire::CONNECTED, buffer);
            wire::frame(&wire::start(self.n, &self.sid), buffer);
            self.waits = Some((MEDIA, now));
        }
        if self.frames == KEY_AT {
            self.heard.clear();
            wire::frame(&wire::key(&self.sid, self.frames + 1, key), buffer);
            self.waits = Some((CLEAR, now));
        }
        let sequence = self.frames + 1 + u64::from(self.frames >= KEY_AT);
        let payload = &payloads[self.frames as usize % payloads.len()];
        wire::frame(&wire::media(&self.sid, sequence, self.frames, payload), buffer);
        let written = self.stream.write(buffer).expect("the gateway reads");
        assert_eq!(written, buffer.len(), "the gateway reads");
    }

    /// Reads all there is, and looks for what is waited for.
    fn listen(&mut self, sink: &mut [u8]) {
        loop {
            match self.stream.read(sink) {
                Ok(0) => panic!("the gateway closed call {}", self.sid),
                Ok(count) => self.look(&sink[..count]),
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(why) => panic!("call {}: {why}", self.sid),
            }
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let Some((awaited, since)) = self.waits else { return };
        let took = since.elapsed();
        // The word may lie across two reads.
        self.heard.extend_from_slice(bytes);
        if self.heard.windows(awaited.len()).any(|window| window == awaited) {
            self.waits = None;
            if awaited == MEDIA { self.first_audio = Some(took) } else { self.decision = Some(took) }
        } else {
            self.heard.drain(..self.heard.len().saturating_sub(awaited.len()));
        }
    }
}

/// Opts every other call out, [`OPT_OUTS_EVERY`]: how long each took, how many were refused, and what the gateway counted.
fn opt_outs(address: &str, token: &str, calls: usize, wait: Duration) -> (Vec<Duration>, usize, String) {
    std::thread::sleep(wait);
    let mut door = BufReader::new(wire::tcp(address));
    let mut ask = |method: &str, path: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let since = Instant::now();
        door.get_mut().write_all(request.as_bytes()).expect("a request");
        let (status, body) = answer(&mut door);
        (since.elapsed(), status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let ids: Vec<String> = (0..calls)
        .step_by(2)
        .map(|n| {
            let (_, _, found) = ask("GET", &format!("/api/calls?callSid=CA{n:032x}"));
            found["calls"][0]["callId"].as_str().expect("a live call").to_owned()
        })
        .collect();
    let (mut took, mut refused) = (Vec::with_capacity(ids.len()), 0);
    for id in &ids {
        std::thread::sleep(OPT_OUTS_EVERY);
        let (span, status, call) = ask("POST", &format!("/api/calls/{id}/opt-out"));
        refused += usize::from(status != 200 || call["recording"]["state"] != "HALTED");
        took.push(span);
    }
    write!(door.get_mut(), "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n").expect("a request");
    let (_, metrics) = answer(&mut door);
    (took, refused, shut(&String::from_utf8_lossy(&metrics)))
}

/// The gateway's own histogram of opt-outs: how many gates were shut within each of its limits.
fn shut(metrics: &str) -> String {
    let mut line = "request read to gate shut, as the gateway counts".to_owned();
    for bucket in metrics.lines().filter_map(|line| line.strip_prefix("callgate_opt_out_seconds_bucket{le=\"")) {
        let (limit, count) = bucket.split_once("\"} ").expect("a bucket");
        match limit.parse::<f64>() {
            Ok(limit) if limit.is_finite() => line += &format!(", {count} within {} ms", limit * 1e3),
            _ => line += &format!(", {count} in all"),
        }
    }
    line
}

/// An answer of HTTP/1.1 with a length: its status, and its body.
fn answer(door: &mut BufReader<std::net::TcpStream>) -> (u16, Vec<u8>) {
    let mut line = String::new();
    door.read_line(&mut line).expect("an answer");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut length = 0;
    loop {
        line.clear();
        door.read_line(&mut line).expect("a header");
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", told)) => length = told.parse().expect("a length"),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    door.read_exact(&mut body).expect("a body");
    (status, body)
}

fn told(what: &str, mut values: Vec<Duration>) -> String {
    values.sort_unstable();
    let q = |q: f64| {
        values.get(((values.len().saturating_sub(1)) as f64 * q).round() as usize).map_or(f64::NAN, |value| value.as_secs_f64() * 1e3)
    };
    let [p50, p90, p99, p999, max] = [0.5, 0.9, 0.99, 0.999, 1.0].map(q);
    format!("{what:38} n {:7}  p50 {p50:8.3}  p90 {p90:8.3}  p99 {p99:8.3}  p99.9 {p999:8.3}  max {max:8.3}", values.len())
}
