//! What must hold of a call whose two legs are joined here, and how much later one hears the other.

use super::rig::Rig;
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::g711;
use crate::engine::call::{BotSaid, Input, Leg, Mode, Phase, RecordingState, Settings};
use crate::engine::consent::{Actor, ConsentStatus, Direction, UnrecordedReason};
use crate::engine::time::MediaTime;

const NO: StreamNo = StreamNo(0);

/// Asked, and answered with this key; the other party is being called.
fn ringing(answer: char) -> Rig {
    let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending);
    rig.bridged = true;
    rig.start(Mode::Stay).quiet(6_000).key(answer);
    assert!(!rig.trace.contains("calls the other party"), "not before the closing line is over: {}", rig.trace);
    rig.quiet(5_000);
    assert!(rig.trace.contains("calls the other party"), "{}", rig.trace);
    rig
}

fn joined(answer: char) -> Rig {
    let mut rig = ringing(answer);
    rig.step(Input::Bot { stream: NO, said: BotSaid::HasCome });
    rig.captured.clear();
    rig.to_bot.clear();
    rig
}

fn said(rig: &mut Rig) -> usize {
    rig.golden.told(&rig.call).matches(" says ").count()
}

#[test]
fn it_rings_until_the_other_party_is_there() {
    let mut rig = ringing('1');
    let before = said(&mut rig);
    rig.quiet(1_000);
    assert!(said(&mut rig) >= before + 49, "it rings: {}", rig.trace);
    assert!(rig.to_bot.is_empty(), "and nobody is told anything");
    rig.step(Input::Bot { stream: NO, said: BotSaid::HasCome });
    assert!(rig.trace.contains("clears") && rig.trace.contains("call.bridged"), "{}", rig.trace);
    let before = said(&mut rig);
    rig.quiet(1_000);
    assert_eq!(said(&mut rig), before, "it rings no more");
    assert_eq!(rig.to_bot.len(), 50, "every frame of the client goes to the other party");
}

#[test]
fn both_voices_are_captured_by_one_gate_and_a_no_ends_both() {
    let mut rig = joined('1');
    for n in 0..100u8 {
        rig.quiet(20);
        rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(&[n | 1; 160]) });
    }
    rig.quiet(500);
    let of = |rig: &Rig, channel: Channel| rig.captured.iter().filter(|(of, ..)| *of == channel).count();
    assert_eq!(of(&rig, Channel::Other), 100, "{}", rig.trace);
    assert!(of(&rig, Channel::Client) >= 100);
    rig.key('*').key('2');
    let captured = rig.captured.len();
    for _ in 0..50 {
        rig.quiet(20);
        rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(&[7; 160]) });
    }
    assert_eq!((rig.captured.len(), rig.state().consent.status), (captured, ConsentStatus::Revoked), "{}", rig.trace);
    assert!(said(&mut rig) > 100 && !rig.closed, "they talk on");
}

#[test]
fn a_hang_up_of_either_ends_the_call() {
    let mut rig = joined('1');
    rig.step(Input::Bot { stream: NO, said: BotSaid::Closed });
    assert!(rig.closed && rig.state().phase == Phase::Ended, "{}", rig.trace);
    let mut rig = joined('1');
    rig.quiet(200).stop();
    assert!(rig.trace.contains("hangs up on the bot") && rig.state().phase == Phase::Ended, "{}", rig.trace);
    assert!(rig.to_bot.iter().all(|told| !format!("{told:?}").contains("Key")));
}

/// The same in a call of which Twilio's webhooks tell.
fn told_of() -> Rig {
    let mut rig = Rig::made_with(Settings::default(), ConsentStatus::Granted);
    rig.bridged = true;
    rig.start(Mode::Stay).quiet(2_000);
    rig.step(Input::Bot { stream: NO, said: BotSaid::HasCome });
    rig.quiet(1_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

#[test]
fn twilios_word_that_the_call_is_over_lets_the_other_party_go_as_a_stop_does() {
    let mut rig = told_of();
    rig.step(Input::HungUp);
    assert!(rig.trace.contains("hangs up on the bot") && rig.over, "{}", rig.trace);
}

#[test]
fn when_a_leg_breaks_the_two_talk_on_unrecorded_and_the_chain_says_why() {
    for client_breaks in [false, true] {
        let mut rig = told_of();
        let said = BotSaid::Lost("its leg broke");
        rig.step(if client_breaks { Input::Lost(NO) } else { Input::Bot { stream: NO, said } });
        let captured = rig.captured.len();
        assert!(captured > 0 && rig.trace.contains("call.unrecorded") && rig.trace.contains("hangs up on the bot"), "{}", rig.trace);
        let state = rig.state();
        assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
        rig.pass(60_000);
        assert!(!rig.over, "they talk on in the conference: {}", rig.trace);
        // A no that somebody tells of is taken.
        let by = Actor::User { id: "cm".into(), name: String::new() };
        rig.step(Input::OptOut { actor: by, reason: None, since: None });
        assert_eq!((rig.refusals, rig.state().consent.status), (1, ConsentStatus::Revoked), "{}", rig.trace);
        rig.step(Input::HungUp);
        assert_eq!((rig.over, rig.captured.len()), (true, captured), "{}", rig.trace);
    }
}

#[test]
fn a_leg_that_breaks_where_nobody_tells_when_it_is_over_ends_the_call_and_says_why() {
    let mut rig = joined('1');
    rig.step(Input::Lost(NO));
    let state = rig.state();
    assert_eq!((state.phase, state.unrecorded_reason), (Phase::Ended, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
}

#[test]
fn a_key_that_waits_when_a_leg_breaks_is_still_a_no() {
    let mut rig = told_of();
    rig.quiet(4_000).key('2').quiet(300);
    rig.step(Input::Bot { stream: NO, said: BotSaid::Lost("its leg broke") });
    assert_eq!((rig.refusals, rig.state().unrecorded_reason), (1, Some(UnrecordedReason::ClientOptOut)), "{}", rig.trace);
}

#[test]
fn keys_stay_on_the_clients_leg() {
    let mut rig = joined('1');
    rig.key('5').quiet(200).key('7').quiet(3_000);
    assert!(rig.to_bot.iter().all(|told| !format!("{told:?}").contains("Key")));
}

/// Half an hour of two people, by the media's clock. Frames come 20 ms apart, each up to `jitter_ms` late, now and then a burst
/// after a stall. Tells the delay of each frame, in ms, between when it came here and when it is played at the other leg, and how much
/// of what each said reached the other, of a thousand.
fn half_an_hour(jitter_ms: u64) -> (Vec<u64>, [u64; 2]) {
    let mut rig = joined('1');
    let spoken = rig.spoken;
    let mut seed = 7u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below.max(1)
    };
    // What Twilio has and has not yet played, in samples, to the client's ear.
    let (mut queued, mut delays) = (0u64, Vec::new());
    let frames = 30 * 60 * 50;
    let mut held = 0;
    for n in 0..frames {
        rig.frame(&[0x7E; 160]);
        queued = queued.saturating_sub(160);
        // A stall of up to 200 ms every minute or so, and jitter always.
        held += 1;
        if n % 3_000 < 10 || random(20) < jitter_ms {
            continue;
        }
        for _ in 0..std::mem::take(&mut held) {
            rig.out.effects.clear();
            let before = rig.spoken;
            rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(&[0x11; 160]) });
            queued += rig.spoken - before;
            delays.push(queued.saturating_sub(160) / 8);
        }
    }
    let said = delays.len() as u64 * 160;
    let reached = [(rig.spoken - spoken) * 1_000 / said, rig.to_bot.len() as u64 * 1_000 / frames];
    (delays, reached)
}

#[test]
fn the_other_is_heard_within_forty_milliseconds_and_the_delay_does_not_grow() {
    // What comes later than the backlog allows is dropped: little of it, unless every second frame is late.
    for (jitter_ms, floor) in [(0, 995), (2, 980), (8, 900)] {
        let (delays, reached) = half_an_hour(jitter_ms);
        assert!(reached[0] >= floor && reached[1] >= 999, "jitter {jitter_ms}: {reached:?} of a thousand are passed on");
        let at = |part: &[u64], percent: usize| {
            let mut sorted = part.to_vec();
            sorted.sort_unstable();
            sorted[sorted.len() * percent / 100]
        };
        let (early, late) = (&delays[..delays.len() / 10], &delays[delays.len() * 9 / 10..]);
        let told = format!(
            "jitter {jitter_ms}: p50 {} p99 {}, first tenth {} last tenth {}",
            at(&delays, 50),
            at(&delays, 99),
            at(early, 50),
            at(late, 50)
        );
        assert!(at(&delays, 50) <= 40 && at(&delays, 99) <= 60, "{told}");
        assert!(at(late, 50) <= at(early, 50) + 20, "{told}");
    }
}

#[test]
fn what_the_client_says_goes_to_the_other_leg_and_a_burst_leaves_no_delay_behind() {
    let mut rig = joined('1');
    let now = |rig: &Rig| rig.now().tick;
    let mut leg = Leg::new(now(&rig));
    let (mut played, mut chunk) = (0, 0);
    let mut pass = |rig: &mut Rig, leg: &mut Leg, says: usize| {
        rig.quiet(20);
        chunk += 1;
        assert!(leg.media(now(rig), chunk, MediaTime(100 + chunk * 20), 160));
        assert!(!leg.media(now(rig), chunk, MediaTime(100 + chunk * 20), 160), "not twice");
        for _ in 0..says {
            leg.hear(&[g711::SILENCE; 160]);
        }
        leg.due(now(rig), |said| played += said.0.len());
        played
    };
    for n in 1..=50 {
        assert_eq!(pass(&mut rig, &mut leg, 1), n * 160);
    }
    let before = pass(&mut rig, &mut leg, 0);
    let burst = pass(&mut rig, &mut leg, 20) - before;
    assert!(burst <= 320, "of 400 ms at once, 40 go there at once: {burst}");
    for _ in 0..3 {
        pass(&mut rig, &mut leg, 0);
    }
    let rest = pass(&mut rig, &mut leg, 0) - before;
    assert!(rest <= 480 && leg.dropped() >= 2_720, "20 more wait, the rest is old: {rest}, {}", leg.dropped());
}

#[test]
fn a_leg_whose_first_words_come_late_loses_nothing_of_what_follows() {
    let mut rig = joined('1');
    let mut leg = Leg::new(rig.now().tick);
    // Its stream has begun, and carries nothing for most of a second.
    rig.quiet(700);
    let (mut heard, mut played) = (0, 0);
    for chunk in 1..=100 {
        rig.quiet(20);
        leg.hear(&[g711::SILENCE; 160]);
        heard += 160;
        leg.due(rig.now().tick, |said| played += said.0.len());
        leg.media(rig.now().tick, chunk, MediaTime(100 + chunk * 20), 160);
        leg.due(rig.now().tick, |said| played += said.0.len());
    }
    assert!(heard - played <= 320, "{played} of {heard}");
}
