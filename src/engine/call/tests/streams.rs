//! What must hold where a call goes from one stream to the next: each has a time line and numbers of its own, and what the
//! client pressed last on one is not lost in the other.

use super::rig::{LedgerMood, Rig};
use super::stories::tone;
use crate::engine::audio::frame::StreamNo;
use crate::engine::call::{Covers, Effect, Input, LAST_WORDS_MS, Mode, Party, PartyKind, Phase, RecordingState, Settings};
use crate::engine::consent::{Actor, ConsentStatus, Direction, UnrecordedReason};

fn manager() -> Actor {
    Actor::User { id: "cm".into(), name: String::new() }
}

/// A client of a placed call who stands as granted talks in a fork.
fn in_a_fork() -> Rig {
    let mut rig = Rig::made_with(Settings { transfer_covers: Covers::ALL, ..Settings::default() }, ConsentStatus::Granted);
    rig.step(Input::PutThrough);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

fn inbound() -> Rig {
    Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending)
}

/// The end of what was captured last, in milliseconds of its stream.
fn ends_at_ms(rig: &Rig) -> u64 {
    rig.captured.last().map_or(0, |(_, at, codes)| (at + codes.len() as u64) / 8)
}

fn is_refused(rig: &Rig) {
    assert_eq!((rig.state().consent.status, rig.refusals), (ConsentStatus::Revoked, 1), "{}", rig.trace);
}

#[test]
fn a_lone_two_on_the_fork_counts_whatever_was_pressed_before_it() {
    let mut rig = inbound();
    // An impatient finger: the second 1 is no answer to anything.
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(1_500).key('1').quiet(4_000).stop();
    rig.start(Mode::Capture).quiet(3_000).key('2').quiet(3_000);
    is_refused(&rig);
    assert!(ends_at_ms(&rig) <= 3_000, "{} ms", ends_at_ms(&rig));
}

#[test]
fn a_two_told_by_event_is_not_taken_for_one_that_was_heard_on_an_earlier_stream() {
    let mut rig = in_a_fork();
    rig.quiet(58_000);
    // A number with a 2 in it, which only events tell of: nothing is left of its tones.
    for key in ['4', '2', '5'] {
        rig.key(key).quiet(600);
    }
    rig.quiet(2_000);
    assert_eq!((rig.refusals, rig.state().consent.status), (0, ConsentStatus::Granted), "{}", rig.trace);
    rig.step(Input::Transfer { by: manager(), to: Party { kind: PartyKind::Agent, to: "client:maria".into() } });
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(3_000);
    let tone = tone('2', 100, 0);
    rig.say(&tone).quiet(3_000);
    is_refused(&rig);
}

#[test]
fn a_two_is_a_no_however_the_call_ends_after_it() {
    for end in [Input::HungUp, Input::Shutdown] {
        let mut rig = in_a_fork();
        rig.key('2').quiet(1_000);
        rig.step(end);
        rig.pass(LAST_WORDS_MS);
        is_refused(&rig);
        assert!(rig.over && ends_at_ms(&rig) <= 2_000, "{} ms: {}", ends_at_ms(&rig), rig.trace);
    }
}

#[test]
fn a_no_that_twilios_word_overtakes_is_a_no() {
    for stops in [true, false] {
        let mut rig = in_a_fork();
        rig.step(Input::HungUp);
        rig.key('2').quiet(LAST_WORDS_MS - 100);
        assert!(!rig.over, "it is heard out: {}", rig.trace);
        if stops {
            rig.stop();
        } else {
            rig.pass(100);
        }
        is_refused(&rig);
        assert!(rig.over && ends_at_ms(&rig) <= 2_000, "{} ms: {}", ends_at_ms(&rig), rig.trace);
    }
    for mut rig in [inbound(), Rig::told(ConsentStatus::Pending)] {
        rig.start(Mode::Consent).quiet(3_000);
        rig.step(Input::HungUp);
        rig.key('2').stop();
        is_refused(&rig);
        assert!(rig.over && rig.state().phase == Phase::Ended, "{}", rig.trace);
    }
}

#[test]
fn what_was_said_last_is_kept_when_twilios_word_overtakes_it() {
    let mut rig = in_a_fork();
    rig.step(Input::HungUp);
    rig.quiet(600).stop();
    assert_eq!((rig.over, rig.captured.len(), rig.state().unrecorded_reason), (true, 130, None), "{}", rig.trace);
}

#[test]
fn who_hung_up_in_the_question_is_not_waited_for_longer_than_their_stream_lasts() {
    for ends in [Some(Input::Stopped(StreamNo(0))), Some(Input::Lost(StreamNo(0))), None] {
        let mut rig = Rig::told(ConsentStatus::Pending);
        rig.start(Mode::Consent).quiet(3_000);
        rig.step(Input::HungUp);
        match ends {
            Some(end) => rig.step(end),
            None => drop(rig.pass(LAST_WORDS_MS)),
        }
        assert_eq!((rig.over, rig.state().phase), (true, Phase::Abandoned), "{}", rig.trace);
        assert!(rig.trace.contains("consent.abandoned") && !rig.trace.contains("call.unrecorded"), "{}", rig.trace);
    }
}

#[test]
fn a_two_just_before_the_next_party_comes_is_a_no() {
    let mut rig = in_a_fork();
    rig.key('2').quiet(400);
    rig.step(Input::Transfer { by: manager(), to: Party { kind: PartyKind::Agent, to: "client:maria".into() } });
    rig.start_with(Mode::Capture, [true, true], None).quiet(4_000);
    is_refused(&rig);
    assert!(ends_at_ms(&rig) <= 2_000, "nothing of the new party's stream: {}", rig.trace);
}

#[test]
fn an_opt_out_that_comes_while_a_two_is_open_cuts_at_the_two() {
    for since in [false, true] {
        let mut rig = in_a_fork();
        rig.key('2').quiet(1_000);
        let since = since.then(|| rig.now().wall);
        rig.step(Input::OptOut { actor: manager(), reason: None, since });
        is_refused(&rig);
        assert!(ends_at_ms(&rig) <= 2_000, "{} ms: {}", ends_at_ms(&rig), rig.trace);
    }
    let mut rig = in_a_fork();
    rig.key('2').quiet(1_000);
    rig.step(Input::Revoked { entry: None });
    assert!(ends_at_ms(&rig) <= 2_000, "and so does a revocation: {} ms", ends_at_ms(&rig));
}

#[test]
fn a_two_after_the_yes_could_not_be_made_durable_is_written() {
    for mood in [LedgerMood::Fails, LedgerMood::Silent] {
        let mut rig = inbound();
        rig.mood = mood;
        rig.start(Mode::Stay).quiet(6_000).key('1').quiet(4_000);
        assert_eq!(rig.state().unrecorded_reason, Some(UnrecordedReason::SystemError), "{}", rig.trace);
        rig.key('2').quiet(3_000);
        is_refused(&rig);
        assert!(rig.captured.is_empty());
    }
}

#[test]
fn a_one_before_the_new_languages_sentence_grants_nothing() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(1_000).key('9').quiet(200).key('1').quiet(1_000);
    assert_eq!(rig.grants, 0, "nobody had been told what a 1 means: {}", rig.trace);
    rig.quiet(4_000).key('1').quiet(1_000);
    assert_eq!(rig.grants, 1, "{}", rig.trace);
}

#[test]
fn a_two_on_the_stream_that_the_question_has_left_is_a_no() {
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(2_000).start(Mode::Consent).quiet(500);
    rig.step(Input::Dtmf { stream: StreamNo(0), sequence: 0, key: crate::engine::audio::key::Key::from_symbol('2').unwrap() });
    is_refused(&rig);
}

#[test]
fn a_key_early_on_a_later_stream_is_not_one_from_before_the_decision() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(4_000);
    rig.step(Input::Transfer { by: manager(), to: Party { kind: PartyKind::Agent, to: "client:maria".into() } });
    rig.start(Mode::Stay).quiet(1_000);
    let captured = rig.captured.len();
    // A card number: its numbers on this stream are smaller than that of the 1 on the first.
    for key in ['4', '2', '5'] {
        rig.key(key).quiet(600);
    }
    assert_eq!((rig.refusals, rig.discarded), (0, false), "{}", rig.trace);
    assert!(rig.captured.len() >= captured);
}

#[test]
fn an_opt_out_on_a_stream_of_which_nothing_was_taken_in_leaves_the_one_before_whole() {
    let mut rig = in_a_fork();
    rig.quiet(8_000);
    rig.step(Input::Pause { by: manager(), reason: "PAYMENT".into() });
    rig.quiet(1_000);
    rig.step(Input::Transfer { by: manager(), to: Party { kind: PartyKind::Agent, to: "client:maria".into() } });
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    rig.step(Input::OptOut { actor: manager(), reason: None, since: None });
    assert_eq!((rig.captured.len(), rig.cut_backs), (500, 0), "{}", rig.trace);
    assert_eq!(rig.state().captured.inbound, 500);
}

#[test]
fn an_opt_out_between_two_streams_holds_from_the_moment_it_names() {
    let mut rig = inbound();
    // Another time line than the fork's: what is true of the one is nowhere on the other.
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(20_000).stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(10_000);
    rig.step(Input::Transfer { by: manager(), to: Party { kind: PartyKind::Agent, to: "client:maria".into() } });
    rig.stop();
    rig.pass(500);
    let since = crate::engine::time::WallTime(rig.now().wall.0 - 6_000);
    let (now, mut out) = (rig.now(), std::mem::take(&mut rig.out));
    rig.call.step(now, Input::OptOut { actor: manager(), reason: None, since: Some(since) }, &mut out);
    let told = out.effects.iter().find_map(|effect| match effect {
        Effect::Audit(event) => Some((event.position.as_ref()?.stream_sid.clone(), event.detail["cutAtMs"].as_u64()?)),
        _ => None,
    });
    let (sid, cut_ms) = told.expect("the chain tells where the recording ends");
    assert!(sid == "MZ1" && (4_600..=4_660).contains(&cut_ms), "on the time line of the stream that it names: {cut_ms} ms of {sid}");
    let cut =
        out.effects.iter().find_map(|effect| if let Effect::CutBack { stream, at } = effect { Some((stream.0, at.0 / 8)) } else { None });
    assert_eq!(cut, Some((1, cut_ms)), "and every sink goes back as far");
    let state = rig.state();
    assert_eq!((state.recording, state.segments.len()), (RecordingState::Halted, 1));
    assert!(state.segments[0].end_ms.0 <= cut_ms && state.captured.inbound.abs_diff(225) <= 2, "{:?} {:?}", state.segments, state.captured);
}

#[test]
fn a_cut_that_goes_back_over_a_pause_says_so_everywhere() {
    let mut rig = in_a_fork();
    rig.quiet(8_000);
    rig.step(Input::Pause { by: manager(), reason: "PAYMENT".into() });
    rig.quiet(5_000);
    rig.step(Input::Resume { by: manager(), reason: None });
    rig.quiet(3_000);
    assert_eq!(rig.state().segments.len(), 2, "{}", rig.trace);
    let since = crate::engine::time::WallTime(rig.now().wall.0 - 10_000);
    rig.step(Input::OptOut { actor: manager(), reason: None, since: Some(since) });
    let state = rig.state();
    assert_eq!(state.segments.len(), 1, "{:?}", state.segments);
    let told = state.segments[0].end_ms.0;
    assert!((7_900..=8_160).contains(&told) && rig.call.captured_up_to() == state.segments[0].end_ms, "{told} ms");
    assert_eq!(state.captured.inbound, rig.captured.len() as u64);
    assert!(ends_at_ms(&rig) <= 8_155, "{} ms", ends_at_ms(&rig));
}

#[test]
fn what_is_written_of_a_call_names_the_stream_that_is_captured() {
    let mut rig = in_a_fork();
    rig.start_with(Mode::Capture, [true, true], None);
    // The second fork was turned away; the first one is talked in.
    let now = rig.now();
    let mut out = std::mem::take(&mut rig.out);
    rig.call.step(now, Input::OptOut { actor: manager(), reason: None, since: None }, &mut out);
    let named: Vec<_> = out
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Audit(event) => event.position.as_ref().map(|position| position.stream_sid.clone()),
            Effect::Refuse(record, _) => record.evidence.told()["position"]["streamSid"].as_str().map(str::to_owned),
            _ => None,
        })
        .collect();
    assert_eq!(named, ["MZ0", "MZ0"]);
}

#[test]
fn tones_of_one_stream_blank_nothing_of_the_next() {
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(6_000);
    let tone = tone('1', 400, 0);
    rig.say(&tone).quiet(4_000).stop();
    rig.start(Mode::Capture);
    let said: Vec<_> = (0..400).map(|_| rig.floor()).collect();
    for frame in &said {
        rig.frame(frame);
    }
    rig.stop();
    let captured: Vec<_> = rig.captured.iter().map(|(_, _, codes)| codes.clone()).collect();
    assert_eq!(captured, said, "to the last sample: {}", rig.trace);
}

#[test]
fn stars_without_end_cost_nothing() {
    let mut rig = in_a_fork();
    for _ in 0..12 {
        rig.key('*').quiet(1_400);
    }
    rig.quiet(4_000).stop();
    assert_eq!(rig.state().withheld.inbound, 0, "{}", rig.trace);
}

#[test]
fn whatever_an_unfinished_question_comes_to_the_chain_tells_what_was_asked_of_it() {
    for (key, hangs_up) in [(Some('2'), false), (None, true), (None, false)] {
        let mut rig = inbound();
        rig.start(Mode::Stay).quiet(3_000);
        let input = match (key, hangs_up) {
            (Some(key), _) => {
                Input::Dtmf { stream: StreamNo(0), sequence: 900, key: crate::engine::audio::key::Key::from_symbol(key).unwrap() }
            }
            (None, true) => Input::HungUp,
            (None, false) => Input::Garbled(StreamNo(0)),
        };
        let (now, mut out) = (rig.now(), std::mem::take(&mut rig.out));
        rig.call.step(now, input, &mut out);
        if hangs_up {
            rig.call.step(now, Input::Stopped(StreamNo(0)), &mut out);
        }
        let prompts: Vec<_> = out
            .effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Audit(event) => event.detail.get("prompt").cloned(),
                Effect::Refuse(record, _) => record.evidence.told().get("prompt").cloned(),
                _ => None,
            })
            .collect();
        assert_eq!(prompts.len(), 1, "{key:?} {hangs_up}");
        let played = prompts[0]["playedMs"].as_u64().unwrap();
        assert!((2_900..=3_000).contains(&played) && prompts[0]["sha256"].as_str().unwrap().len() == 64, "{prompts:?}");
    }
}
