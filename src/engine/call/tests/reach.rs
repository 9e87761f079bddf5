//! Calls that this gateway makes: rung, put through, asked by keypad, and never heard of again.

use super::rig::{LedgerMood, Rig};
use super::simulation::Random;
use super::stories::tone;
use crate::engine::audio::frame::StreamNo;
use crate::engine::audio::prompts::Language;
use crate::engine::call::{
    FORK_WITHIN_MS, HEARD_WITHIN_MS, Initiation, Input, Mode, PAUSE_MAX_MS, Phase, RecordingState, TALK_MAX_MS, Unreached, WORD_WITHIN_MS,
};
use crate::engine::consent::keys::Answer;
use crate::engine::consent::{Actor, ConsentStatus, Method, UnrecordedReason};

fn pad(rig: &mut Rig, answer: Answer) {
    rig.step(Input::Pad { language: Language::EN, answer });
}

#[test]
fn who_opted_out_is_called_only_by_somebody_who_was_warned() {
    use ConsentStatus::{Granted, Pending, Revoked};
    for (standing, acknowledged, wanted) in [
        (Pending, false, Initiation::Ask),
        (Pending, true, Initiation::Ask),
        (Granted, false, Initiation::PutThrough),
        (Granted, true, Initiation::PutThrough),
        (Revoked, false, Initiation::Warn),
        (Revoked, true, Initiation::PutThrough),
    ] {
        assert_eq!(Initiation::of(standing, acknowledged), wanted, "{standing:?}, {acknowledged}");
    }
}

#[test]
fn silence_on_a_call_of_ours_grants_only_when_a_person_is_known_to_have_answered() {
    for (by, grants) in [(Some("human"), 1), (None, 0), (Some("unknown"), 0), (Some("machine_end_beep"), 0)] {
        let mut rig = Rig::made(ConsentStatus::Pending);
        rig.start(Mode::Consent).quiet(4_000);
        if let Some(by) = by {
            rig.step(Input::AnsweredBy(by));
        }
        rig.quiet(30_000);
        assert_eq!(rig.grants, grants, "{by:?}: {}", rig.trace);
        let reason = (grants == 0).then_some(UnrecordedReason::SystemError);
        assert_eq!(rig.state().unrecorded_reason, reason, "{by:?}");
    }
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(6_000).key('1');
    assert_eq!(rig.grants, 1, "a key needs no screening: {}", rig.trace);
}

#[test]
fn a_machine_that_is_known_while_the_grant_is_written_opens_nothing() {
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.mood = LedgerMood::SlowMs(500);
    rig.start(Mode::Stay).quiet(4_000).step(Input::AnsweredBy("human"));
    rig.quiet(18_300);
    assert!(rig.call.is_sealing(), "{}", rig.trace);
    rig.step(Input::AnsweredBy("machine_start"));
    rig.quiet(5_000);
    assert_eq!((rig.grants, rig.captured.len(), rig.state().recording), (1, 0, RecordingState::NotStarted), "{}", rig.trace);
    assert_eq!(rig.state().unrecorded_reason, Some(UnrecordedReason::SystemError));
    assert_eq!((rig.annulled.len(), rig.state().consent.status), (1, ConsentStatus::Pending), "nor the next call: {}", rig.trace);
}

#[test]
fn prior_consent_is_recalled_when_the_client_answers_and_the_fork_is_captured() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.pass(20_000);
    assert_eq!(rig.state().phase, Phase::Created, "it rings");
    rig.step(Input::PutThrough);
    rig.step(Input::PutThrough);
    assert_eq!((rig.grants, rig.state().phase, rig.state().consent.prior), (1, Phase::Connected, true), "{}", rig.trace);
    rig.start(Mode::Capture).quiet(2_000).stop().hang_up();
    assert_eq!((rig.captured.len(), rig.state().phase), (100, Phase::Ended), "{}", rig.trace);
    assert!(!rig.trace.contains("plays"), "nobody is asked: {}", rig.trace);
}

#[test]
fn without_its_fork_a_call_goes_on_unrecorded_until_twilio_says_that_it_is_over() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.step(Input::PutThrough);
    rig.pass(FORK_WITHIN_MS + 100);
    let state = rig.state();
    assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
    assert_eq!(state.consent.status, ConsentStatus::Granted, "it is we who failed");
    rig.start(Mode::Capture).quiet(1_000);
    assert!(rig.captured.is_empty(), "too late is never: {}", rig.trace);
    rig.hang_up();
    assert!(rig.over && rig.state().phase == Phase::Ended);
}

/// Asked, and answered yes; the two talk beside a fork.
fn in_a_fork() -> Rig {
    let mut rig = Rig::told(ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(4_000).stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

#[test]
fn beside_a_fork_that_breaks_two_people_talk_on_unrecorded_and_their_no_is_a_no() {
    for broken in [Input::Lost as fn(StreamNo) -> Input<'static>, Input::Garbled] {
        for by_key in [true, false] {
            let mut rig = in_a_fork();
            rig.step(broken(StreamNo(1)));
            let state = rig.state();
            assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
            assert_eq!(state.consent.status, ConsentStatus::Granted, "it is we who failed");
            assert!(rig.trace.contains("call.unrecorded") && rig.trace.contains("ends Keep"), "{}", rig.trace);
            // Another fork is one of the same call, and nothing of it is captured.
            let captured = rig.captured.len();
            assert_eq!(captured, 100, "all of what went before: {}", rig.trace);
            rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
            if by_key {
                rig.key('2').quiet(3_000);
            } else {
                rig.step(Input::OptOut { actor: Actor::System, reason: None, since: None });
            }
            assert_eq!((rig.captured.len(), rig.refusals), (captured, 1), "{}", rig.trace);
            rig.pass(60 * 60 * 1_000);
            assert!(!rig.over, "they talk: {}", rig.trace);
            rig.hang_up();
            assert!(rig.over && rig.state().phase == Phase::Ended, "{}", rig.trace);
        }
    }
}

#[test]
fn a_fork_that_stops_is_no_end_twilio_says_whether_the_call_is_over() {
    // It is.
    let mut rig = in_a_fork();
    rig.stop().pass(WORD_WITHIN_MS - 1_000);
    assert!(!rig.over && rig.state().phase == Phase::Connected, "{}", rig.trace);
    rig.hang_up();
    assert_eq!((rig.over, rig.state().unrecorded_reason, rig.captured.len()), (true, None, 100), "{}", rig.trace);
    assert!(!rig.trace.contains("call.unrecorded"), "{}", rig.trace);
    // Another fork comes.
    let mut rig = in_a_fork();
    rig.stop().pass(WORD_WITHIN_MS - 1_000);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000).pass(2_000);
    assert_eq!((rig.captured.len(), rig.state().unrecorded_reason), (188, None), "less the delay line: {}", rig.trace);
    // Neither: the people talk on, and are not captured.
    rig.stop().pass(WORD_WITHIN_MS);
    let state = rig.state();
    assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
    assert!(rig.trace.contains("the captured stream stopped, and no other began"), "{}", rig.trace);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000).key('2').quiet(3_000);
    assert_eq!((rig.captured.len(), rig.refusals), (200, 1), "{}", rig.trace);
}

#[test]
fn a_question_whose_stream_breaks_is_no_hang_up_the_people_are_connected_unrecorded() {
    for mut rig in [Rig::told(ConsentStatus::Pending), Rig::made(ConsentStatus::Pending)] {
        rig.start(Mode::Consent).quiet(3_000).step(Input::Lost(StreamNo(0)));
        let state = rig.state();
        assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
        assert!(rig.trace.contains("call.unrecorded") && !rig.trace.contains("consent.abandoned"), "{}", rig.trace);
        rig.pass(60_000).hang_up();
        assert!(rig.over && rig.state().phase == Phase::Ended && rig.state().connected_at.is_some(), "{}", rig.trace);
    }
    let mut rig = Rig::told(ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(3_000);
    let tone = tone('2', 100, 0);
    rig.say(&tone).step(Input::Lost(StreamNo(0)));
    assert_eq!((rig.refusals, rig.state().unrecorded_reason), (1, Some(UnrecordedReason::ClientOptOut)), "a no is a no: {}", rig.trace);
}

#[test]
fn a_stop_in_the_question_is_a_hang_up_unless_twilio_connects_the_people() {
    let stopped = || {
        let mut rig = Rig::told(ConsentStatus::Pending);
        rig.start(Mode::Consent).quiet(3_000).stop();
        assert!(!rig.over && !rig.trace.contains("audits"), "nobody knows yet: {}", rig.trace);
        rig
    };
    let mut hung_up = stopped();
    hung_up.hang_up();
    let mut untold = stopped();
    untold.pass(WORD_WITHIN_MS);
    for rig in [hung_up, untold] {
        assert_eq!((rig.over, rig.state().phase), (true, Phase::Abandoned), "{}", rig.trace);
        assert!(rig.trace.contains("consent.abandoned"), "{}", rig.trace);
    }
    // Twilio asks where the call goes, and may do so before the socket has said that it stops.
    let mut early = Rig::told(ConsentStatus::Pending);
    early.start(Mode::Consent).quiet(3_000);
    for mut rig in [stopped(), early] {
        rig.step(Input::PutThrough);
        rig.step(Input::PutThrough);
        let state = rig.state();
        assert_eq!((state.phase, state.unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
        rig.stop().pass(WORD_WITHIN_MS);
        assert!(!rig.over && rig.trace.matches("call.unrecorded").count() == 1, "they talk: {}", rig.trace);
        rig.hang_up();
        assert!(rig.over && !rig.trace.contains("consent.abandoned"), "{}", rig.trace);
    }
}

#[test]
fn a_lone_2_is_a_no_on_whatever_stream_goes_on_after_we_have_failed() {
    type Failure = (&'static str, fn(&mut Rig));
    let failures: [Failure; 5] = [
        ("the fork comes too late", |rig| {
            rig.pass(FORK_WITHIN_MS + 100);
            rig.start(Mode::Capture).quiet(1_000);
        }),
        ("a machine is known late", |rig| {
            rig.start(Mode::Capture).quiet(2_000).step(Input::AnsweredBy("machine_start"));
        }),
        ("the disk is full", |rig| {
            rig.start(Mode::Capture).quiet(2_000).step(Input::SinkFailed);
        }),
        ("the lease is lost", |rig| {
            rig.start(Mode::Capture).quiet(2_000).step(Input::LeaseLost);
        }),
        ("a pause is forgotten", |rig| {
            rig.start(Mode::Capture).quiet(2_000).step(Input::Pause { by: Actor::System, reason: "PAYMENT".into() });
            rig.quiet(PAUSE_MAX_MS + 1_000);
        }),
    ];
    for (what, fail) in failures {
        let mut rig = Rig::made(ConsentStatus::Pending);
        rig.step(Input::AnsweredBy("human"));
        rig.start(Mode::Consent).quiet(40_000).stop();
        assert_eq!(rig.state().consent.method, Some(Method::SilenceTimeout), "{what}: {}", rig.trace);
        fail(&mut rig);
        let held = rig.captured.len();
        rig.key('2').quiet(3_000);
        let state = rig.state();
        assert_eq!((rig.refusals, state.consent.status, rig.captured.len()), (1, ConsentStatus::Revoked, held), "{what}: {}", rig.trace);
        assert_eq!((state.consent.method, rig.over), (Some(Method::Keypress), false), "{what}");
        rig.key('2').quiet(3_000);
        assert_eq!(rig.refusals, 1, "{what}: said twice, written once");
    }
}

#[test]
fn a_prior_refusal_needs_no_stream_and_ends_when_twilio_says_so_or_at_last_by_itself() {
    for told in [true, false] {
        let mut rig = Rig::made(ConsentStatus::Revoked);
        rig.step(Input::PutThrough);
        assert_eq!((rig.state().phase, rig.state().unrecorded_reason), (Phase::Connected, Some(UnrecordedReason::PriorOptOut)));
        rig.pass(TALK_MAX_MS - 1_000);
        assert!(!rig.over, "they talk");
        if told {
            rig.hang_up();
        } else {
            rig.pass(2_000);
        }
        assert!(rig.over && rig.state().phase == Phase::Ended && rig.state().connected_at.is_some(), "{}", rig.trace);
    }
}

#[test]
fn a_refused_call_lasts_beyond_its_consent_stream() {
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(3_000).key('2').quiet(6_000);
    assert!(rig.closed && !rig.over, "{}", rig.trace);
    rig.pass(60_000).step(Input::HungUp);
    let state = rig.state();
    assert!(rig.over && state.ended_at.unwrap().0 - state.started_at.0 > 60_000, "{}", rig.trace);
}

#[test]
fn a_no_while_it_rings_holds_whatever_comes_after() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.step(Input::OptOut { actor: Actor::System, reason: None, since: None });
    rig.step(Input::PutThrough);
    rig.start(Mode::Capture).quiet(1_000);
    assert_eq!((rig.grants, rig.refusals, rig.captured.len()), (0, 1, 0), "{}", rig.trace);
    rig.stop();
    assert!(!rig.over, "Twilio tells when it is over");
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.step(Input::OptOut { actor: Actor::System, reason: None, since: None });
    rig.step(Input::Unreached(Unreached::NoAnswer));
    assert!(rig.over && rig.state().connected_at.is_none(), "there was no conversation: {}", rig.trace);
}

#[test]
fn the_keypad_question_grants_by_a_key_alone() {
    let mut rig = Rig::made(ConsentStatus::Pending);
    pad(&mut rig, Answer::Accept);
    pad(&mut rig, Answer::Accept);
    assert_eq!(rig.grants, 1, "{}", rig.trace);
    rig.start(Mode::Capture).quiet(1_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);

    for answer in [Answer::Nothing, Answer::Speak(Language::ES)] {
        let mut rig = Rig::made(ConsentStatus::Pending);
        pad(&mut rig, answer);
        assert_eq!((rig.grants, rig.state().unrecorded_reason), (0, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
        rig.start(Mode::Capture).quiet(1_000);
        assert!(rig.captured.is_empty());
        pad(&mut rig, Answer::Decline);
        assert_eq!((rig.refusals, rig.state().consent.status), (1, ConsentStatus::Revoked), "a no is a no, whenever it comes");
    }

    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.mood = LedgerMood::SlowMs(500);
    pad(&mut rig, Answer::Accept);
    pad(&mut rig, Answer::Decline);
    rig.pass(1_000).start(Mode::Capture).quiet(1_000);
    assert_eq!((rig.refusals, rig.captured.len()), (1, 0), "decline wins: {}", rig.trace);

    let mut rig = Rig::made(ConsentStatus::Pending);
    pad(&mut rig, Answer::Accept);
    pad(&mut rig, Answer::Decline);
    rig.start(Mode::Capture).quiet(1_000);
    assert_eq!((rig.refusals, rig.captured.len()), (1, 0), "and a durable yes does not save it: {}", rig.trace);
}

#[test]
fn a_call_that_reaches_nobody_was_no_conversation() {
    for (why, reason) in [
        (Unreached::Busy, None),
        (Unreached::Canceled, None),
        (Unreached::Refused(21211), Some(UnrecordedReason::SystemError)),
        (Unreached::NotAsked, Some(UnrecordedReason::SystemError)),
    ] {
        let mut rig = Rig::made(ConsentStatus::Pending);
        rig.step(Input::Unreached(why));
        let state = rig.state();
        assert_eq!((state.phase, state.connected_at, state.unrecorded_reason), (Phase::Ended, None, reason), "{why:?}");
        assert!(rig.over && rig.trace.contains("call.unreached"), "{}", rig.trace);
    }
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.pass(HEARD_WITHIN_MS - 1_000);
    assert!(!rig.over);
    rig.pass(2_000);
    assert!(rig.over && rig.trace.contains("UNHEARD"), "{}", rig.trace);
}

#[test]
fn a_gateway_that_stops_leaves_a_ringing_call_to_the_next() {
    let mut rig = Rig::made(ConsentStatus::Pending);
    rig.step(Input::Shutdown);
    assert_eq!((rig.over, rig.state().phase, rig.state().ended_at), (true, Phase::Created, None));
    assert!(!rig.trace.contains("audits"), "{}", rig.trace);
}

#[test]
fn a_call_that_is_put_through_past_us_is_an_unrecorded_one_and_over() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.step(Input::PassedOn("the gateway is stopping"));
    let state = rig.state();
    assert_eq!((state.phase, state.unrecorded_reason, state.is_recorded), (Phase::Ended, Some(UnrecordedReason::SystemError), false));
    assert!(rig.over && state.connected_at.is_some() && rig.trace.contains("call.unrecorded"), "people talk: {}", rig.trace);
    rig.step(Input::PassedOn("the gateway is stopping"));
    assert_eq!(rig.trace.matches("call.unrecorded").count(), 1, "{}", rig.trace);
}

#[test]
fn however_its_streams_are_torn_twilios_word_ends_the_call_and_nothing_else_does_but_a_hang_up_in_the_question() {
    for seed in 1..=300u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut below = |count: u64| random.below(count);
        let mut rig = if below(2) == 0 { Rig::told(ConsentStatus::Pending) } else { Rig::made(ConsentStatus::Pending) };
        rig.mood = [LedgerMood::Prompt, LedgerMood::SlowMs(500), LedgerMood::Fails][below(3) as usize];
        rig.start(Mode::Consent).quiet(below(8_000));
        for _ in 0..below(40) {
            let stream = StreamNo(below(3) as u8);
            match below(14) {
                0..=3 => drop(rig.quiet(below(3_000))),
                4..=5 => drop(rig.key(b"1234"[below(4) as usize] as char)),
                6 if rig.call.next_stream().is_some() => drop(rig.start(Mode::Consent)),
                7..=8 if rig.call.next_stream().is_some() => drop(rig.start_with(Mode::Capture, [true, true], None)),
                9 => drop(rig.stop()),
                10 => rig.step(Input::Lost(stream)),
                11 => rig.step(Input::Garbled(stream)),
                12 => rig.step(Input::PutThrough),
                _ => drop(rig.pass(below(12_000))),
            }
            if rig.over {
                break;
            }
        }
        assert_eq!(rig.too_early, 0, "seed {seed}: {}", rig.trace);
        assert_eq!(rig.over, rig.state().phase == Phase::Abandoned, "seed {seed}: {}", rig.trace);
        let captured = rig.captured.len();
        if !rig.over {
            rig.hang_up();
        }
        assert!(rig.over, "seed {seed}: {}", rig.trace);
        assert!(rig.captured.len() <= captured + 24, "seed {seed}: no more than what waited: {}", rig.trace);
        let (abandoned, unrecorded) = (rig.trace.contains("consent.abandoned"), rig.trace.contains("call.unrecorded"));
        assert!(!(abandoned && unrecorded), "seed {seed}: it is one or the other: {}", rig.trace);
    }
}
