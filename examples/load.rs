//! The load generator of `scripts/bench-gateway`: calls that talk in real time, from one thread, and what a server spends on
//! them. `load ADDRESS PID CALLS SECONDS [raw]`
//!
//! Every call sends a frame each 20 ms, spread over the 20 ms; after five seconds each presses 1, and from then on is
//! recorded. A tenth of the calls comes first, and the others when that tenth is being recorded, one after the other: what the server's
//! process grows by then is what calls take, and not its code, its caches, its threads and what a crowd needs for a moment. What is measured is that growth and the CPU time over the last
//! SECONDS, by /proc.

mod wire;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

struct Line {
    stream: TcpStream,
    sid: String,
    frames: u64,
    backlog: Vec<u8>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, address, pid, calls, seconds, ..] = &arguments[..] else { panic!("load ADDRESS PID CALLS SECONDS [raw]") };
    let (calls, seconds): (usize, u64) = (calls.parse().expect("CALLS"), seconds.parse().expect("SECONDS"));
    let raw = arguments.get(5).is_some_and(|word| word == "raw");
    let idle_kib = resident_kib(pid);
    let first = calls.div_ceil(10);
    let mut lines: Vec<Line> = (0..first).map(|n| connect(address, n, raw)).collect();
    let mut first_kib = idle_kib;
    let payloads = wire::voice();
    let (began, mut tick, mut sent) = (Instant::now(), 0u64, 0u64);
    let (others_at, one_each, warm) = (8_000, 12, 28_000);
    let mut before = None;
    let mut sink = vec![0; 64 * 1024];
    while tick < warm + seconds * 1_000 {
        tick += 1;
        let due = began + Duration::from_millis(tick);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if tick == others_at {
            first_kib = resident_kib(pid);
        }
        if tick >= others_at && lines.len() < calls && tick % one_each == 0 {
            let n = lines.len();
            lines.push(connect(address, n, raw));
        }
        if tick == warm {
            before = Some((cpu_us(pid), sent, Instant::now()));
        }
        for line in lines.iter_mut().skip((tick % 20) as usize).step_by(20) {
            line.frames += 1;
            sent += 1;
            let (n, sid) = (line.frames, line.sid.clone());
            if n == 255 && !raw {
                line.say(&wire::key(&sid, n + 1, '1'));
            }
            line.say(&wire::media(&sid, n + 2, n, &payloads[(n as usize) % payloads.len()]));
            loop {
                match line.stream.read(&mut sink) {
                    Ok(count) if count == sink.len() => {}
                    Ok(0) => panic!("the server closed call {sid}"),
                    Ok(_) => break,
                    Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                    Err(why) => panic!("call {sid}: {why}"),
                }
            }
        }
    }
    let (cpu_before, sent_before, at) = before.expect("it was warm");
    let (cpu, frames) = (cpu_us(pid) - cpu_before, sent - sent_before);
    let late = began.elapsed().as_millis() as u64 - tick;
    let end_kib = resident_kib(pid);
    let grown = |from_kib: u64, calls: usize| (end_kib as f64 - from_kib as f64) / calls as f64;
    println!(
        "{{\"calls\":{calls},\"frames\":{frames},\"cpuUsPerFrame\":{:.3},\"cpuShare\":{:.4},\"residentKibPerCall\":{:.2},\"fromIdleKibPerCall\":{:.2},\"generatorLateMs\":{late}}}",
        cpu as f64 / frames as f64,
        cpu as f64 / at.elapsed().as_micros() as f64,
        grown(first_kib, calls - first),
        grown(idle_kib, calls)
    );
}

fn connect(address: &str, n: usize, raw: bool) -> Line {
    let stream = if raw { wire::tcp(address) } else { wire::handshake(address) };
    stream.set_nonblocking(true).expect("nonblocking");
    let sid = format!("MZ{n:032x}");
    let mut line = Line { stream, sid: sid.clone(), frames: 0, backlog: Vec::new() };
    line.say(wire::CONNECTED);
    line.say(&wire::start(n, &sid));
    line
}

impl Line {
    fn say(&mut self, text: &str) {
        wire::frame(text, &mut self.backlog);
        match self.stream.write(&self.backlog) {
            Ok(count) => drop(self.backlog.drain(..count)),
            Err(why) if why.kind() == ErrorKind::WouldBlock => assert!(self.backlog.len() < 1 << 20, "the server does not read"),
            Err(why) => panic!("{}: {why}", self.sid),
        }
    }
}

/// User and system time of a process, in microseconds.
fn cpu_us(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server lives");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0);
    ticks * 10_000
}

fn resident_kib(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server lives");
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
