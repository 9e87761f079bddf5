//! Measures how well machines on the line are heard, and how often one is imagined: `scripts/line-eval`.
//!
//! What must be heard is made from seeds; what must not comes from folders of WAV (8 kHz, 16 bit) and mu-law files.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an evaluation, run by hand")]
#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "sound as numbers")]

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use callgate::engine::audio::g711;
use callgate::engine::audio::greeting::Greeting;
use callgate::engine::audio::line::{LineListener, LineTone};
use callgate::engine::audio::notes::HeldNotes;
use callgate::engine::audio::prompts::{Language, Line, library};

/// Trials of every kind of machine.
const TRIALS: u32 = 300;
/// The time from answer to decision in which one alarm would cost a silent grant.
const CALL_SAMPLES: usize = 25 * 8_000;
const FRAME: usize = 160;
/// The ten seconds after the prompt.
const WAIT_SAMPLES: usize = 10 * 8_000;

/// A seeded source of chance.
struct Random(u64);
impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }
    fn bell(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (TAU * self.next()).cos()
    }
}

/// Amplitude of a sine wave of this level; 0 dBov is a full-scale square wave.
fn amplitude(dbov: f64) -> f64 {
    32_768.0 * 10f64.powf(dbov / 20.0) * std::f64::consts::SQRT_2
}

fn sine(hz: f64, ms: f64, level: f64) -> Vec<f64> {
    (0..(ms * 8.0) as usize).map(|n| level * (TAU * hz * n as f64 / 8_000.0).sin()).collect()
}

fn prompt() -> Vec<f64> {
    library().prompt(Language::EN, Line::Consent).codes.iter().map(|code| f64::from(g711::decode(*code)) * 0.6).collect()
}

fn baudot(random: &mut Random, level: f64) -> Vec<f64> {
    let bit_samples = 8_000.0 / if random.next() < 0.5 { 45.45 } else { 50.0 };
    let (mut bits, mut phase) = (Vec::new(), 0.0f64);
    for _ in 0..16 {
        bits.push(false);
        bits.extend((0..5).map(|_| random.next() < 0.5));
        bits.extend([true, true]);
    }
    (0..(bits.len() as f64 * bit_samples) as usize)
        .map(|n| {
            phase += TAU * if bits[(n as f64 / bit_samples) as usize] { 1_400.0 } else { 1_800.0 } / 8_000.0;
            level * phase.sin()
        })
        .collect()
}

fn ansam(level: f64, modulated: bool, off_hz: f64) -> Vec<f64> {
    (0..16_000)
        .map(|n| {
            let t = f64::from(n) / 8_000.0;
            let turn = if modulated && (t / 0.45) as u32 % 2 == 1 { -1.0 } else { 1.0 };
            let swell = if modulated { 1.0 + 0.2 * (TAU * 15.0 * t).sin() } else { 1.0 };
            turn * swell * level * (TAU * (2_100.0 + off_hz) * t).sin()
        })
        .collect()
}

/// The tone, the sample after its onset at which it was known.
fn hear(before: &[f64], machine: &[f64], noise_dbov: f64, random: &mut Random) -> Option<(LineTone, f64)> {
    let deviation = 32_768.0 * 10f64.powf(noise_dbov / 20.0);
    let line: Vec<i16> = before
        .iter()
        .chain(machine)
        .chain(&[0.0; 8_000])
        .map(|x| g711::decode(g711::encode((x + deviation * random.bell()).clamp(-32_000.0, 32_000.0) as i16)))
        .collect();
    let mut listener = LineListener::new();
    for (n, frame) in line.chunks(FRAME).enumerate() {
        listener.feed(frame);
        if let Some(tone) = listener.tone() {
            return Some((tone, ((n + 1) * FRAME) as f64 - before.len() as f64));
        }
    }
    None
}

struct Machine {
    name: &'static str,
    wanted: LineTone,
    make: fn(&mut Random, f64) -> Vec<f64>,
    after_speech: bool,
}

const MACHINES: [Machine; 6] = [
    Machine {
        name: "voicemail beep, 440–1950 Hz, 0.25–1 s, after the prompt",
        wanted: LineTone::Beep,
        make: |random, level| sine(random.between(440.0, 1_950.0), random.between(250.0, 1_000.0), level),
        after_speech: true,
    },
    Machine {
        name: "the same, 0.2–0.25 s",
        wanted: LineTone::Beep,
        make: |random, level| sine(random.between(440.0, 1_950.0), random.between(210.0, 250.0), level),
        after_speech: true,
    },
    Machine {
        name: "fax calling (CNG 1100 ± 38 Hz, 0.5 s)",
        wanted: LineTone::FaxCalling,
        make: |random, level| sine(random.between(1_062.0, 1_138.0), random.between(425.0, 575.0), level),
        after_speech: false,
    },
    Machine {
        name: "fax answer (CED 2100 ± 15 Hz)",
        wanted: LineTone::FaxAnswer,
        make: |random, level| ansam(level, false, random.between(-15.0, 15.0)),
        after_speech: false,
    },
    Machine {
        name: "modem answer (ANSam: 15 Hz AM, phase reversals)",
        wanted: LineTone::FaxAnswer,
        make: |random, level| ansam(level, true, random.between(-1.0, 1.0)),
        after_speech: false,
    },
    Machine { name: "text telephone (Baudot, 45.45 and 50 baud)", wanted: LineTone::Tty, make: baudot, after_speech: false },
];

fn machines(report: &mut String) {
    let spoken = prompt();
    report.push_str(
        "| machine | noise −60 dBov | noise −45 dBov | 20 dB below the tone | other name given | median ms |\n|---|---|---|---|---|---|\n",
    );
    for machine in &MACHINES {
        let mut cells = String::new();
        let (mut renamed, mut late) = (0, Vec::new());
        for condition in 0..3 {
            let (mut random, mut heard) = (Random(735 + condition), 0);
            for _ in 0..TRIALS {
                let dbov = random.between(-32.0, -8.0);
                let noise = [-60.0, -45.0, dbov - 20.0][condition as usize];
                let sound = (machine.make)(&mut random, amplitude(dbov));
                let before = if machine.after_speech { &spoken[..] } else { &[0.0; 4_000][..] };
                let found = hear(before, &sound, noise, &mut random);
                if let Some((tone, after)) = found {
                    heard += 1;
                    renamed += u32::from(tone != machine.wanted);
                    late.push(after / 8.0);
                }
            }
            let _ = write!(cells, " {:.1} % |", f64::from(heard) * 100.0 / f64::from(TRIALS));
        }
        late.sort_by(f64::total_cmp);
        let median = late.get(late.len() / 2).copied().unwrap_or(f64::NAN);
        let _ = writeln!(report, "| {} |{cells} {renamed} | {median:.0} |", machine.name);
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.to_owned());
        return;
    }
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "wav" || ending == "ulaw") {
            files(&path, found);
        }
    }
}

/// As it would come off a telephone line: mu-law and back.
fn sound(path: &Path, gain: f64) -> Vec<i16> {
    let bytes = fs::read(path).unwrap();
    let linear: Vec<i16> = if path.extension().is_some_and(|ending| ending == "ulaw") {
        bytes.iter().map(|code| g711::decode(*code)).collect()
    } else {
        bytes[44.min(bytes.len())..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    linear.iter().map(|x| g711::decode(g711::encode((f64::from(*x) * gain).clamp(-32_768.0, 32_767.0) as i16))).collect()
}

/// Asterisk's sounds hold machines too; they are not speech.
fn is_a_machine(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    ["beep", "beeperr", "ascending-2tone", "descending-2tone"].contains(&name.as_ref()) || path.to_string_lossy().contains("/silence/")
}

/// One alarm ends a call; the next begins after it, in the middle of the sound.
fn false_alarms(report: &mut String, folders: &[String]) {
    report.push_str(
        "| sound | hours | beep | fax | text telephone | in an hour | calls of 25 s with an alarm |\n|---|---|---|---|---|---|---|\n",
    );
    for folder in folders {
        let mut paths = Vec::new();
        files(Path::new(folder), &mut paths);
        let (mut samples, mut counts, mut calls, mut alarmed) = (0usize, [0u32; 3], 0u32, 0u32);
        for gain in [1.0, 0.25, 0.063] {
            let mut listener = LineListener::new();
            let (mut in_call, mut rang) = (0, false);
            for path in paths.iter().filter(|path| !is_a_machine(path)) {
                for frame in sound(path, gain).chunks(FRAME) {
                    listener.feed(frame);
                    samples += frame.len();
                    in_call += frame.len();
                    if let Some(tone) = listener.tone() {
                        counts[match tone {
                            LineTone::Beep => 0,
                            LineTone::FaxCalling | LineTone::FaxAnswer => 1,
                            LineTone::Tty => 2,
                        }] += 1;
                        if env::var_os("LINE_EVAL_NAMES").is_some() {
                            println!("{tone:?} in {} at gain {gain}", path.display());
                        }
                        rang = true;
                        listener = LineListener::new();
                        // A listener that already heard a voice, as one in the middle of a call has.
                        listener.feed(&prompt()[..16_000].iter().map(|x| *x as i16).collect::<Vec<_>>());
                    }
                    if in_call >= CALL_SAMPLES {
                        calls += 1;
                        alarmed += u32::from(rang);
                        (in_call, rang) = (0, false);
                    }
                }
            }
        }
        let hours = samples as f64 / 8_000.0 / 3_600.0;
        let name = name(folder);
        let rate = f64::from(counts.iter().sum::<u32>()) / hours;
        let [beep, fax, tty] = counts;
        let share = f64::from(alarmed) * 100.0 / f64::from(calls.max(1));
        let _ = writeln!(report, "| {name} | {hours:.2} | {beep} | {fax} | {tty} | {rate:.1} | {alarmed} of {calls} ({share:.2} %) |");
    }
}

/// The speech or music of a folder, one file after another.
fn spoken(folder: &str, gain: f64) -> impl Iterator<Item = i16> {
    let mut paths = Vec::new();
    files(Path::new(folder), &mut paths);
    paths.into_iter().filter(|path| !is_a_machine(path)).flat_map(move |path| sound(&path, gain))
}

/// Ten seconds of waiting, full of this: is it taken for music or a call progress tone?
fn waits(report: &mut String, folders: &[String]) {
    report.push_str(
        "| sound | waits of 10 s | taken for music or tones | | held, median | 95 % of them below |\n|---|---|---|---|---|---|\n",
    );
    for folder in folders {
        let (mut shares, mut taken) = (Vec::new(), 0);
        for gain in [1.0, 0.25] {
            let mut sound = spoken(folder, gain);
            loop {
                let wait: Vec<i16> = sound.by_ref().take(WAIT_SAMPLES).collect();
                if wait.len() < WAIT_SAMPLES {
                    break;
                }
                let mut listener = LineListener::new();
                listener.restart_window();
                wait.chunks(FRAME).for_each(|frame| listener.feed(frame));
                let window = listener.window();
                taken += u32::from(window.is_played());
                shares.push(window.held_samples as f64 * 100.0 / WAIT_SAMPLES as f64);
            }
        }
        shares.sort_by(f64::total_cmp);
        let at = |part: f64| shares.get((shares.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        let _ = writeln!(
            report,
            "| {} | {} | {taken} | {:.1} % | {:.1} % | {:.1} % |",
            name(folder),
            shares.len(),
            f64::from(taken) * 100.0 / shares.len().max(1) as f64,
            at(0.5),
            at(0.95),
        );
    }
}

/// Who is called talks on for twelve seconds, or says a word of 0.4 to 1.2 s and listens, over the prompt's echo.
fn greetings(report: &mut String, folders: &[String]) {
    report.push_str("| voices of | | no echo | −30 dB | −20 dB | −10 dB | −6 dB |\n|---|---|---|---|---|---|---|\n");
    let spoken_prompt = library().prompt(Language::EN, Line::Consent).codes;
    for folder in folders {
        let mut random = Random(735);
        let voices: Vec<Vec<f64>> = {
            let mut sound = spoken(folder, 1.0);
            std::iter::from_fn(|| {
                Some(sound.by_ref().take(96_000).map(f64::from).collect::<Vec<_>>()).filter(|voice| voice.len() == 96_000)
            })
            .take(TRIALS as usize)
            .collect()
        };
        for long in [true, false] {
            let mut cells = String::new();
            for echo in [0.0, 0.032, 0.1, 0.316, 0.5] {
                let mut found = 0;
                for voice in &voices {
                    let lag = (random.between(10.0, 700.0) * 8.0) as usize;
                    let (level, noise) = (random.between(0.2, 1.0), 32_768.0 * 10f64.powf(random.between(-65.0, -50.0) / 20.0));
                    let (from, length) = (random.between(0.0, 8_000.0) as usize, random.between(3_200.0, 9_600.0) as usize);
                    let mut greeting = Greeting::new();
                    for at in (0..96_000).step_by(FRAME) {
                        let came: Vec<u8> = (at..at + FRAME)
                            .map(|n| {
                                let said = if long { n } else { n.wrapping_sub(from) };
                                let voice = if long || said < length { voice.get(said).copied().unwrap_or(0.0) } else { 0.0 };
                                let played = n.checked_sub(lag).and_then(|n| spoken_prompt.get(n));
                                let back = played.map_or(0.0, |code| f64::from(g711::decode(*code)) * echo);
                                g711::encode((voice * level + back + noise * random.bell()).clamp(-32_000.0, 32_000.0) as i16)
                            })
                            .collect();
                        let played = spoken_prompt.get(at..at + FRAME).unwrap_or(&[]);
                        greeting.feed(&came, played);
                    }
                    found += u32::from(greeting.is_heard());
                }
                let _ = write!(cells, " {found} |");
            }
            let what = if long { "talks on" } else { "says a word" };
            let _ = writeln!(report, "| {}, {} | {what} |{cells}", name(folder), voices.len());
        }
    }
}

fn name(folder: &str) -> String {
    let path = Path::new(folder);
    let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{}/{}", path.parent().map(last).unwrap_or_default(), last(path))
}

fn cost(report: &mut String) {
    let speech: Vec<i16> = prompt().iter().map(|x| *x as i16).collect();
    let best = |waits: bool| {
        (0..20).fold(f64::MAX, |best, _| {
            let mut listener = LineListener::new();
            if waits {
                listener.restart_window();
            }
            let from = Instant::now();
            speech.chunks(FRAME).for_each(|frame| listener.feed(frame));
            assert!(std::hint::black_box(listener.tone()).is_none());
            best.min(from.elapsed().as_nanos() as f64 / speech.len() as f64)
        })
    };
    let _ = writeln!(
        report,
        "{:.2} ns a sample on speech, {:.2} in the ten seconds (best of 20 runs each); a listener is {} bytes, and {} more in the ten seconds.",
        best(false),
        best(true),
        size_of::<LineListener>(),
        size_of::<HeldNotes>(),
    );
}

fn main() {
    let folders: Vec<String> = env::args().skip(1).collect();
    let mut report = String::new();
    machines(&mut report);
    report.push('\n');
    false_alarms(&mut report, &folders);
    report.push('\n');
    waits(&mut report, &folders);
    report.push('\n');
    greetings(&mut report, &folders);
    report.push('\n');
    cost(&mut report);
    println!("{report}");
}
