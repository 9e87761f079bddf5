//! What must hold of a call whose two legs are joined here, and how much later one hears the other.

use super::rig::{Rig, prompt};
use super::simulation::Random;
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::prompts::Line;
use crate::engine::call::{BotSaid, Input, Leg, Mode, Phase, RecordingState, Settings, ToBot};
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
    rig.hang_up();
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
        rig.hang_up();
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

/// How the frames of two people come to us, by the media's clock. A frame is late by whole frames, and never overtakes another.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Of a hundred frames of the other party, so many are late by one.
    late: u64,
    /// The same of the client's: by their coming we know how far Twilio has played.
    client_late: u64,
    /// Of a hundred, so many are late by one, as many of those by another one, and so on without a bound.
    unbounded: u64,
    /// 200 ms of nothing once a minute, and then all of it.
    stalls: bool,
    /// The other's clock is fast by a frame in so many.
    fast_by_one_in: u64,
    slow_by_one_in: u64,
}

/// What half an hour on such a way comes to: of each frame that was played, how long after its coming, in ms; and frames that were
/// said and not played, of the other party's and of what went on to it of the client's.
fn half_an_hour(way: Way) -> (Vec<u64>, [u64; 2]) {
    let mut rig = joined('1');
    rig.said.clear();
    let mut random = Random(7);
    let mut of_a_hundred = |share: u64| random.below(100) < share;
    const FRAMES: u64 = 30 * 60 * 50;
    // What Twilio has and has not yet played to the client; when each frame of the other's came; how many wait on either way.
    let (mut queued, mut came, mut delays) = (0u64, Vec::new(), Vec::new());
    let (mut waiting, mut clients) = (0u64, 0u64);
    for tick in 0..FRAMES {
        rig.pass(20);
        clients += 1;
        if !of_a_hundred(way.client_late) || clients > 1 {
            for _ in 0..std::mem::take(&mut clients) {
                rig.media(&[0x7E; 160], crate::engine::twilio::message::Track::Inbound);
            }
        }
        queued = queued.saturating_sub(160);
        let drifts = |every: u64| u64::from(every > 0 && tick % every == every - 1);
        waiting += (1 + drifts(way.fast_by_one_in)) - drifts(way.slow_by_one_in);
        let stalls = way.stalls && tick % 3_000 >= 1_500 && tick % 3_000 < 1_510;
        let late = (of_a_hundred(way.late) && waiting == 1) || of_a_hundred(way.unbounded);
        if !stalls && !late {
            for _ in 0..std::mem::take(&mut waiting) {
                // Loud, so that nothing of it is silence that nobody misses; and numbered.
                let mut codes = [0x11; 160];
                let n = came.len();
                (codes[0], codes[1], codes[2]) = (n as u8, (n >> 8) as u8, (n >> 16) as u8);
                came.push(tick);
                rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(&codes) });
            }
        }
        for said in std::mem::take(&mut rig.said).chunks(160) {
            let n = usize::from(said[0]) | usize::from(said[1]) << 8 | usize::from(said[2]) << 16;
            delays.push((tick - came[n]) * 20 + queued / 8);
            queued += said.len() as u64;
        }
    }
    let lost = [(came.len() - delays.len()) as u64, FRAMES - rig.to_bot.len() as u64];
    (delays, lost)
}

fn at(delays: &[u64], percent: usize) -> u64 {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * percent / 100]
}

#[test]
fn on_a_jittery_line_nothing_is_lost_and_the_other_is_heard_within_forty_milliseconds() {
    for line in [
        Way::default(),
        Way { late: 50, ..Way::default() },
        Way { client_late: 50, ..Way::default() },
        Way { late: 50, client_late: 50, ..Way::default() },
    ] {
        let (delays, lost) = half_an_hour(line);
        assert!(lost[0] <= 3 && lost[1] <= 1, "{line:?}: {lost:?}, and what is still on its way at the end is not lost");
        assert!(at(&delays, 50) <= 40 && at(&delays, 99) <= 60, "{line:?}: {} {}", at(&delays, 50), at(&delays, 99));
    }
}

#[test]
fn with_stalls_and_clocks_that_drift_the_delay_stays_in_its_bound_and_does_not_grow() {
    // A stall's frames are old when they come: of 30 stalls of ten frames most are lost, and of a drift what it brings.
    let stalls = 300;
    for (line, most) in [
        (Way { stalls: true, ..Way::default() }, stalls),
        (Way { stalls: true, late: 50, client_late: 50, fast_by_one_in: 10_000, ..Way::default() }, stalls + 30),
        (Way { stalls: true, late: 50, client_late: 50, slow_by_one_in: 10_000, ..Way::default() }, stalls + 30),
        (Way { fast_by_one_in: 1_000, ..Way::default() }, 90),
        (Way { stalls: true, unbounded: 10, ..Way::default() }, 900),
        // Of a line on which two of five frames are late and one of forty by four, no bound of 60 ms keeps everything.
        (Way { stalls: true, unbounded: 40, ..Way::default() }, 5_400),
    ] {
        let (delays, lost) = half_an_hour(line);
        let (early, late) = (&delays[..delays.len() / 10], &delays[delays.len() * 9 / 10..]);
        let told = format!(
            "{line:?}: lost {lost:?}, p50 {} p99 {} max {}, first tenth {} last tenth {}",
            at(&delays, 50),
            at(&delays, 99),
            delays.iter().max().unwrap(),
            at(early, 50),
            at(late, 50)
        );
        assert!(lost[0] <= most && lost[1] <= 1, "{told}");
        assert!(at(&delays, 50) <= 40 && at(&delays, 99) <= 60, "{told}");
        assert!(at(late, 50) <= at(early, 50) + 20, "{told}");
    }
}

#[test]
fn what_nobody_came_to_need_goes_and_silence_goes_first() {
    for (code, from_ms, to_ms) in [(0x11, 100, 160), (g711::SILENCE, 60, 100)] {
        let mut rig = joined('1');
        let mut leg = Leg::new(rig.now().tick);
        // 80 ms at once, and then frame by frame: 40 of them wait here.
        let mut passed = 0;
        for chunk in 1.. {
            rig.quiet(20);
            leg.media(rig.now().tick, chunk, MediaTime(100 + chunk * 20), 160);
            for _ in 0..if chunk == 1 { 4 } else { 1 } {
                leg.hear(&[code; 160]);
            }
            leg.due(rig.now().tick, |_| ());
            if leg.dropped() > 0 {
                break;
            }
            passed += 20;
            assert!(passed <= to_ms, "{code:x}: the delay stays");
        }
        assert!(passed >= from_ms, "{code:x}: {passed}");
        assert_eq!(leg.dropped(), 320, "{code:x}: all of it");
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
    assert!(rest <= 640 && leg.dropped() >= 2_560, "40 more wait, the rest is old: {rest}, {}", leg.dropped());
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

// === lines of ours, and the tone ===

fn announcing() -> Settings {
    Settings { announces: true, beep_every_ms: Some(12_000), ..Settings::default() }
}

/// Two people who talk, the first tone behind them.
fn talking(settings: Settings) -> Rig {
    let mut rig = Rig::made_with(settings, ConsentStatus::Granted);
    rig.bridged = true;
    rig.start(Mode::Stay).quiet(2_000);
    assert!(!rig.trace.contains("beeps"), "nobody is called while it rings: {}", rig.trace);
    rig.step(Input::Bot { stream: NO, said: BotSaid::HasCome });
    both_talk(&mut rig, 2_000);
    (rig.said, rig.to_bot) = (Vec::new(), Vec::new());
    rig.captured.clear();
    rig
}

/// For so long each says something in every frame. What the other says is loud and their own.
fn both_talk(rig: &mut Rig, ms: u64) {
    for _ in 0..ms / 20 {
        rig.quiet(20);
        rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(&[0x11; 160]) });
    }
}

fn lines_to_party(rig: &Rig) -> Vec<&'static [u8]> {
    rig.to_bot.iter().filter_map(|told| if let ToBot::Line(codes) = told { Some(*codes) } else { None }).collect()
}

#[test]
fn a_line_is_heard_by_both_and_nothing_comes_later_for_it() {
    let by = || Actor::User { id: "cm".into(), name: String::new() };
    let mut rig = talking(Settings { announces: true, ..Settings::default() });
    rig.step(Input::Pause { by: by(), reason: "PAYMENT".into() });
    both_talk(&mut rig, 6_000);
    let paused = prompt(Line::Paused);
    assert_eq!(lines_to_party(&rig), [paused]);
    assert_eq!(rig.said.len(), 300 * 160, "as much is sent as ever: no backlog and no delay");
    let begins = rig.said.iter().position(|code| *code != 0x11).unwrap();
    assert!(begins <= 2 * 160, "at once: {begins}");
    assert_eq!(&rig.said[begins..begins + paused.len()], paused, "in one piece");
    assert!(rig.said[begins + paused.len()..].iter().all(|code| *code == 0x11), "then the other is heard again");
    // And what the other says below a line goes on to be captured.
    rig.step(Input::Resume { by: by(), reason: None });
    rig.captured.clear();
    both_talk(&mut rig, 6_000);
    rig.quiet(500);
    let others: Vec<u8> = rig.captured.iter().filter(|(of, ..)| *of == Channel::Other).flat_map(|(_, _, codes)| codes.clone()).collect();
    assert!(others.len() >= 298 * 160 && others.iter().all(|code| *code == 0x11), "{} samples", others.len());
    rig.key('*').key('2');
    both_talk(&mut rig, 6_000);
    assert_eq!(lines_to_party(&rig), [paused, prompt(Line::Resumed), prompt(Line::Stopped)]);
    assert!(rig.said.windows(prompt(Line::Stopped).len()).any(|said| said == prompt(Line::Stopped)), "{}", rig.trace);
}

#[test]
fn without_anybody_who_wants_it_nothing_is_said() {
    let mut rig = talking(Settings::default());
    rig.step(Input::Pause { by: Actor::System, reason: "PAYMENT".into() });
    both_talk(&mut rig, 20_000);
    assert!(lines_to_party(&rig).is_empty() && rig.said.iter().all(|code| *code == 0x11));
}

#[test]
fn the_tone_sounds_for_both_at_its_interval_and_its_times_are_told() {
    let mut rig = talking(announcing());
    assert_eq!(rig.trace.matches("beeps").count(), 1, "when the other party has come: {}", rig.trace);
    both_talk(&mut rig, 36_000);
    let beep = crate::engine::audio::beep::codes();
    assert_eq!(lines_to_party(&rig), [beep; 3], "{}", rig.trace);
    assert_eq!(rig.said.windows(beep.len()).filter(|said| *said == beep).count(), 3);
    let golden = rig.golden.told(&rig.call);
    let told: Vec<u64> = golden.lines().filter_map(|line| line.split_once("was beeped into at sample ")?.1.parse().ok()).collect();
    assert!(told.len() == 4 && told.windows(2).all(|pair| (96_000..=96_320).contains(&(pair[1] - pair[0]))), "{told:?}");
    rig.step(Input::Pause { by: Actor::System, reason: "PAYMENT".into() });
    both_talk(&mut rig, 30_000);
    assert_eq!(lines_to_party(&rig).iter().filter(|line| **line == beep).count(), 3, "not in a pause");
}

#[test]
fn a_line_needs_nobody_who_talks_below_it() {
    let mut rig = talking(Settings { announces: true, ..Settings::default() });
    // The other's leg carries nothing.
    rig.quiet(1_000);
    rig.said.clear();
    rig.step(Input::Pause { by: Actor::System, reason: "PAYMENT".into() });
    rig.quiet(5_000);
    let paused = prompt(Line::Paused);
    assert_eq!(&rig.said[..paused.len()], paused, "{}", rig.said.len());
    assert!(rig.said.len() < paused.len() + 160, "and then nothing: {}", rig.said.len());
}

#[test]
fn the_other_leg_hears_a_line_over_the_client_and_nothing_later_for_it() {
    let mut rig = joined('1');
    let mut leg = Leg::new(rig.now().tick);
    let stopped = prompt(Line::Stopped);
    let mut played: Vec<u8> = Vec::new();
    for chunk in 1..=400 {
        rig.quiet(20);
        leg.media(rig.now().tick, chunk, MediaTime(100 + chunk * 20), 160);
        if chunk == 50 {
            leg.speak_over(stopped);
        }
        leg.hear(&[0x22; 160]);
        leg.due(rig.now().tick, |said| played.extend(&said.0));
    }
    assert!(played.len() >= 399 * 160 && leg.dropped() == 0, "{} {}", played.len(), leg.dropped());
    let begins = played.iter().position(|code| *code != 0x22).unwrap();
    assert_eq!((begins, &played[begins..begins + stopped.len()]), (49 * 160, stopped));
    assert!(played[begins + stopped.len()..].iter().all(|code| *code == 0x22));
}

// === a stream that breaks before the two are joined ===

/// A call of which Twilio tells, whose client is being asked.
fn asked_of() -> Rig {
    let mut rig = Rig::made_with(Settings::default(), ConsentStatus::Pending);
    rig.bridged = true;
    rig.start(Mode::Stay).quiet(3_000);
    assert_eq!(rig.state().phase, Phase::Prompting);
    rig
}

#[test]
fn when_the_clients_stream_breaks_in_the_question_they_are_put_through_unrecorded_and_have_not_abandoned_anything() {
    type Break = fn(&mut Rig);
    let breaks: [(&str, Break); 3] = [
        ("its leg breaks", |rig| rig.step(Input::Lost(NO))),
        ("it carries what no stream carries", |rig| rig.step(Input::Garbled(NO))),
        ("it carries nothing", |rig| {
            rig.pass(3_000);
        }),
    ];
    for (how, breaks) in breaks {
        let mut rig = asked_of();
        breaks(&mut rig);
        let state = rig.state();
        assert_eq!(
            (state.phase, state.unrecorded_reason, state.consent.status),
            (Phase::Connected, Some(UnrecordedReason::SystemError), ConsentStatus::Pending),
            "{how}: {}",
            rig.trace
        );
        assert_eq!(rig.trace.matches("calls the other party elsewhere").count(), 1, "{how}: {}", rig.trace);
        assert_eq!(rig.trace.matches("call.unrecorded").count(), 1, "{how}: {}", rig.trace);
        assert!(!rig.trace.contains("consent.abandoned"), "{how}: {}", rig.trace);
        rig.pass(60_000);
        assert!(!rig.over, "{how}: they talk in the conference: {}", rig.trace);
        rig.step(Input::OptOut { actor: Actor::System, reason: None, since: None });
        assert_eq!(rig.refusals, 1, "{how}: a no that somebody tells of is taken");
        rig.hang_up();
        assert_eq!((rig.over, rig.state().phase, rig.captured.len()), (true, Phase::Ended, 0), "{how}: {}", rig.trace);
    }
}

#[test]
fn a_client_who_hangs_up_in_the_question_has_abandoned_it_and_nobody_is_called() {
    let mut rig = asked_of();
    rig.stop().hang_up();
    assert!(rig.state().phase == Phase::Abandoned && rig.trace.contains("consent.abandoned"), "{}", rig.trace);
    assert!(!rig.trace.contains("calls the other party"), "{}", rig.trace);
}

#[test]
fn a_stream_that_breaks_while_the_answer_is_written_or_thanked_for_is_no_end_of_the_call_either() {
    for (mood, answer, waits_ms) in [
        (super::rig::LedgerMood::SlowMs(500), '1', 100),
        (super::rig::LedgerMood::Prompt, '1', 400),
        (super::rig::LedgerMood::Prompt, '2', 400),
    ] {
        let mut rig = asked_of();
        rig.mood = mood;
        rig.quiet(4_000).key(answer).quiet(waits_ms);
        assert!(!rig.trace.contains("calls the other party"), "{}", rig.trace);
        rig.step(Input::Lost(NO));
        rig.pass(5_000);
        let reason = if answer == '2' { UnrecordedReason::ClientOptOut } else { UnrecordedReason::SystemError };
        assert_eq!((rig.state().phase, rig.state().unrecorded_reason), (Phase::Connected, Some(reason)), "{}", rig.trace);
        assert_eq!(rig.trace.matches("calls the other party elsewhere").count(), 1, "{}", rig.trace);
        let captured = rig.captured.len();
        rig.pass(10_000);
        assert!(!rig.over && rig.captured.len() == captured, "{}", rig.trace);
    }
}

#[test]
fn a_no_that_waits_when_the_stream_breaks_in_the_question_is_a_no() {
    let mut rig = asked_of();
    rig.key('2');
    rig.step(Input::Lost(NO));
    assert_eq!((rig.refusals, rig.state().unrecorded_reason), (1, Some(UnrecordedReason::ClientOptOut)), "{}", rig.trace);
    assert!(rig.trace.contains("calls the other party elsewhere"), "declining never costs the service: {}", rig.trace);
}
