//! Seeded calls in which everything goes wrong at once, held against a small model of what may never happen. Every seed
//! is run twice: the same input gives the same bytes (P12).

use super::rig::{LedgerMood, Rig};
use super::stories::user;
use crate::engine::call::{Input, Mode, OnOptOut, Phase, Settings};
use crate::engine::consent::{ConsentStatus, Direction};
use crate::engine::time::MediaTime;
use crate::engine::twilio::message::Track;

const SEEDS: u64 = 400;

/// Xorshift: the same numbers from the same seed, wherever it runs.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % count
    }
}

/// What came of a seed, to the byte.
#[derive(PartialEq, Debug)]
struct Outcome {
    trace: String,
    captured: Vec<(u64, Vec<u8>)>,
}

fn pause() -> Input<'static> {
    Input::Pause { by: user("cm"), reason: "PAYMENT".into() }
}

fn resume() -> Input<'static> {
    Input::Resume { by: user("cm"), reason: None }
}

fn simulate(seed: u64) -> Outcome {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let settings =
        Settings { on_opt_out: if random.below(3) == 0 { OnOptOut::DiscardCall } else { OnOptOut::KeepConsented }, ..Settings::default() };
    let direction = if random.below(3) == 0 { Direction::Outbound } else { Direction::Inbound };
    let status = [ConsentStatus::Pending, ConsentStatus::Granted, ConsentStatus::Revoked][random.below(3) as usize];
    let mut rig = Rig::new(settings, direction, status);
    rig.mood = [LedgerMood::Prompt, LedgerMood::SlowMs(300), LedgerMood::SlowMs(2_500), LedgerMood::Fails, LedgerMood::Silent]
        [random.below(5) as usize];
    rig.marks_lie = random.below(10) == 0;
    let mode = if random.below(2) == 0 { Mode::Stay } else { Mode::Consent };
    rig.start_with(mode, [true, random.below(3) == 0], None);
    let mut declined = false;
    for _ in 0..random.below(60) + 10 {
        if rig.over {
            break;
        }
        match random.below(20) {
            0..=5 => drop(rig.quiet(random.below(2_000))),
            6 => drop(rig.lose(20 * random.below(20))),
            7 => {
                let symbol = b"1123456789*0#"[random.below(13) as usize] as char;
                // The model of the simplest promise: a 2 before any decision, or right after one, is a refusal.
                let asking = matches!(rig.state().phase, Phase::Prompting | Phase::AwaitingResponse);
                declined |= symbol == '2' && asking;
                rig.key(symbol);
            }
            8 => {
                // A frame once more, or from long ago.
                let codes = rig.floor();
                let ago = 20 * (1 + random.below(30));
                let (sequence, timestamp) = (rig.sequence, MediaTime(rig.media_ms.saturating_sub(ago)));
                rig.raw(sequence, 1, timestamp, &codes, Track::Inbound);
            }
            9 => {
                let codes = rig.floor();
                rig.media(&codes, Track::Outbound);
            }
            10 => {
                let long: Vec<u8> = (0..1 + random.below(40)).flat_map(|_| rig.floor()).collect();
                rig.frame(&long);
            }
            11 => drop(rig.pass(random.below(4_000))),
            12 if random.below(6) == 0 => drop(rig.stop()),
            13 if rig.closed && rig.call.next_stream().is_some() => drop(rig.start(Mode::Capture)),
            14 if random.below(10) == 0 => rig.step(Input::SinkFailed),
            15 | 16 => {
                // A frame comes after the ones that follow it, and after what somebody does meanwhile.
                let (sequence, chunk, timestamp, codes) = (rig.sequence + 1, rig.chunk() + 1, MediaTime(rig.media_ms), rig.floor());
                let streams = rig.call.next_stream();
                if random.below(2) == 0 {
                    rig.step(pause());
                }
                rig.lose(20).quiet(20 * (1 + random.below(3)));
                match random.below(5) {
                    0 => drop(rig.key('1')),
                    1 => rig.step(pause()),
                    2 | 3 => rig.step(resume()),
                    _ => {}
                }
                rig.quiet(20 * random.below(3));
                if rig.call.next_stream() == streams {
                    rig.raw(sequence, chunk, timestamp, &codes, Track::Inbound);
                }
            }
            17 => rig.step(if random.below(2) == 0 { pause() } else { resume() }),
            _ => drop(rig.quiet(400)),
        }
        let state = rig.state();
        assert_eq!(rig.too_early, 0, "seed {seed}: captured before a grant was durable\n{}", rig.trace);
        assert_eq!(rig.misplaced, 0, "seed {seed}: captured what was said before the grant, or in a pause\n{}", rig.trace);
        if state.captured.inbound + state.captured.outbound > 0 {
            assert!(rig.grants > 0, "seed {seed}: captured without a grant\n{}", rig.trace);
        }
        if declined {
            assert_eq!(state.captured.inbound, 0, "seed {seed}: a refusal was recorded\n{}", rig.trace);
            assert_eq!(state.consent.status, ConsentStatus::Revoked, "seed {seed}\n{}", rig.trace);
        }
        let of = |side| rig.captured.iter().filter(|(channel, _, _)| channel.index() == side).count() as u64;
        let counts = (state.captured.inbound, state.captured.outbound);
        assert_eq!(counts, (of(0), of(1)), "seed {seed}: counts are not what the sink has\n{}", rig.trace);
    }
    rig.step(Input::Shutdown);
    assert!(rig.over, "seed {seed}: a stopped gateway leaves no call\n{}", rig.trace);
    let captured = rig.captured.iter().map(|(_, at, codes)| (*at, codes.clone())).collect();
    Outcome { trace: rig.trace, captured }
}

#[test]
fn p12_same_input_same_bytes() {
    for seed in 1..=SEEDS {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}
