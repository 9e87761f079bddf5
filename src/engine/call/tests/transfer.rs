//! What must hold of a call that is handed over.

use super::rig::Rig;
use crate::engine::audio::frame::{Channel, Place, StreamNo};
use crate::engine::call::{
    Bot, BotSaid, Covers, HANDED_WITHIN_MS, Handing, Input, Mode, NotHanded, PAUSE_MAX_MS, Party, PartyKind, Phase, RecordingState,
    Settings, TransferNo,
};
use crate::engine::consent::{Actor, ConsentStatus, UnrecordedReason};

fn agent(to: &str) -> Party {
    Party { kind: PartyKind::Agent, to: to.into() }
}

fn manager() -> Actor {
    Actor::User { id: "cm".into(), name: String::new() }
}

fn hand(rig: &mut Rig, to: Party) {
    rig.step(Input::Transfer { by: manager(), to });
}

/// Consent stands, Twilio tells of the call, and two people talk in a fork.
fn talking(covers: Covers) -> Rig {
    let mut rig = Rig::made_with(Settings { transfer_covers: covers, ..Settings::default() }, ConsentStatus::Granted);
    rig.step(Input::PutThrough);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

#[test]
fn an_agent_hands_over_to_another_and_it_stays_one_call_and_one_recording() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(1_000);
    let (before, state) = (rig.captured.len(), rig.state());
    assert_eq!((before, state.recording), (100, RecordingState::Paused), "whoever is on the line meanwhile is not captured: {}", rig.trace);
    rig.stop();
    assert!(!rig.over, "somebody is about to come: {}", rig.trace);
    rig.pass(800);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    rig.hang_up();
    let state = rig.state();
    assert_eq!((rig.captured.len(), state.phase, state.unrecorded_reason), (200, Phase::Ended, None), "{}", rig.trace);
    assert_eq!((state.transfers.len(), state.transfers[0].kind, state.transfers[0].captured), (1, PartyKind::Agent, true));
    assert_eq!((rig.trace.matches(" records").count(), rig.trace.matches("plays").count()), (1, 0), "no second question: {}", rig.trace);
    assert!(rig.trace.contains("call.transferred") && rig.trace.contains("transfers to Agent"), "{}", rig.trace);
}

#[test]
fn a_fork_that_lives_on_makes_way_for_the_new_partys() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(500).start_with(Mode::Capture, [true, true], None).quiet(2_000);
    rig.hang_up();
    assert_eq!(rig.captured.len(), 200, "{}", rig.trace);
    assert_eq!(rig.trace.matches("closes").count(), 2, "the old one, and the new one at the end: {}", rig.trace);
}

#[test]
fn a_refusal_goes_along() {
    let mut rig = talking(Covers::ALL);
    rig.key('2').quiet(3_000);
    rig.step(Input::OptOut { actor: manager(), reason: None, since: None });
    let captured = rig.captured.len();
    assert_eq!(rig.call.handing(&agent("client:maria")), Ok(Handing::Uncaptured(TransferNo(1))));
    hand(&mut rig, agent("client:maria"));
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    assert_eq!((rig.captured.len(), rig.state().unrecorded_reason), (captured, Some(UnrecordedReason::ClientOptOut)), "{}", rig.trace);
    assert!(!rig.state().transfers[0].captured);
}

#[test]
fn a_no_while_the_call_is_handed_over_is_a_no() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(200);
    rig.step(Input::OptOut { actor: manager(), reason: None, since: None });
    let captured = rig.captured.len();
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    assert_eq!((rig.captured.len(), rig.state().consent.status), (captured, ConsentStatus::Revoked), "{}", rig.trace);
}

#[test]
fn a_call_that_ends_while_it_is_handed_over_is_no_no() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(500);
    rig.hang_up();
    let state = rig.state();
    assert_eq!((state.phase, state.consent.status, rig.refusals), (Phase::Ended, ConsentStatus::Granted, 0), "{}", rig.trace);
    assert_eq!((rig.captured.len(), state.recording), (100, RecordingState::Active), "{}", rig.trace);
}

#[test]
fn a_no_that_was_heard_is_not_lifted_by_whoever_comes_next() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(200);
    rig.step(Input::Objected { stream: StreamNo(0), at: Place(8_000) });
    let captured = rig.captured.len();
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    let state = rig.state();
    assert_eq!((rig.captured.len(), state.recording, state.pauses.len()), (captured, RecordingState::Paused, 1), "{}", rig.trace);
    assert_eq!(state.pauses[0].reason, "OPT_OUT_HEARD");
}

#[test]
fn nobodys_resuming_lets_in_a_party_that_is_not_covered() {
    let mut rig = talking(Covers { agent: false, bot: false });
    hand(&mut rig, agent("client:maria"));
    rig.stop();
    let captured = rig.captured.len();
    rig.start_with(Mode::Capture, [true, true], None).quiet(1_000);
    rig.step(Input::Pause { by: manager(), reason: "PAYMENT".into() });
    for _ in 0..2 {
        rig.step(Input::Resume { by: manager(), reason: None });
        rig.quiet(1_000);
        assert_eq!((rig.captured.len(), rig.state().recording), (captured, RecordingState::Paused), "{}", rig.trace);
    }
}

#[test]
fn a_party_that_is_not_covered_is_not_captured_until_one_comes_that_is() {
    let mut rig = talking(Covers { agent: true, bot: false });
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    hand(&mut rig, Party { kind: PartyKind::Bot, to: "front".into() });
    rig.stop();
    let captured = rig.captured.len();
    rig.start(Mode::Stay).quiet(PAUSE_MAX_MS + 60_000);
    assert!(rig.trace.contains("calls bot front") && !rig.trace.contains("pause_expired"), "{}", rig.trace);
    assert_eq!((rig.captured.len(), rig.state().recording), (captured, RecordingState::Paused), "however long it takes: {}", rig.trace);
    hand(&mut rig, agent("client:maria"));
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    rig.hang_up();
    assert_eq!(rig.captured.len(), captured + 100, "{}", rig.trace);
    let seen: Vec<_> = rig.state().transfers.iter().map(|view| (view.kind, view.captured)).collect();
    assert_eq!(seen, [(PartyKind::Bot, false), (PartyKind::Agent, true)]);
}

#[test]
fn a_bot_hands_over_to_an_agent_and_is_hung_up_on() {
    let mut rig = Rig::made_with(Settings::default(), ConsentStatus::Granted);
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    rig.start(Mode::Stay).quiet(2_000);
    rig.step(Input::Bot { stream: StreamNo(0), said: BotSaid::Audio(&[0x12; 8_000]) });
    hand(&mut rig, agent("client:maria"));
    rig.quiet(100).stop();
    assert!(rig.trace.contains("hangs up on the bot") && !rig.over, "{}", rig.trace);
    rig.start_with(Mode::Capture, [true, true], None).quiet(1_000);
    rig.hang_up();
    assert!(rig.captured.iter().filter(|(channel, ..)| *channel == Channel::Client).count() >= 140, "{}", rig.trace);
}

#[test]
fn asked_twice_it_is_handed_over_once_and_when_twilio_does_not_nothing_has_changed() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    assert_eq!(rig.call.handing(&agent("client:maria")), Ok(Handing::Again));
    hand(&mut rig, agent("client:maria"));
    assert_eq!(rig.state().transfers.len(), 1);
    rig.step(Input::NotTransferred(TransferNo(1)));
    rig.quiet(1_000);
    assert_eq!((rig.state().transfers.len(), rig.state().recording), (0, RecordingState::Active), "{}", rig.trace);
    assert!(rig.captured.len() >= 137 && rig.trace.contains("call.transfer_failed"), "{}: {}", rig.captured.len(), rig.trace);
    assert_eq!(rig.call.handing(&agent("client:maria")), Ok(Handing::Captured(TransferNo(2))), "it may be tried again");
}

#[test]
fn a_party_that_has_left_or_never_came_may_be_handed_to_again() {
    let pay = || Party { kind: PartyKind::Bot, to: "pay".into() };
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, pay());
    assert_eq!(rig.call.handing(&pay()), Ok(Handing::Again), "it is under way");
    rig.stop();
    rig.bot = Some(Bot { name: "pay".into(), captures: false });
    rig.start(Mode::Stay).quiet(1_000);
    assert_eq!(rig.call.handing(&pay()), Ok(Handing::Again), "it has the client");
    // The bot hangs up, and its `then` brings Maria, which is no transfer.
    rig.step(Input::Bot { stream: StreamNo(1), said: BotSaid::Closed });
    rig.start_with(Mode::Capture, [true, true], None).quiet(1_000);
    assert_eq!(rig.call.handing(&pay()), Ok(Handing::Captured(TransferNo(2))), "Maria is on the line: {}", rig.trace);
    hand(&mut rig, pay());
    assert_eq!(rig.state().transfers.len(), 2);
    // Twilio did not say, and nobody came with a stream.
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(HANDED_WITHIN_MS + 100);
    assert_eq!(rig.call.handing(&agent("client:maria")), Ok(Handing::Captured(TransferNo(2))), "{}", rig.trace);
}

/// The stream of the party of this transfer begins.
fn comes(rig: &mut Rig, no: u32) {
    rig.transfer = Some(TransferNo(no));
    rig.start_with(Mode::Capture, [true, true], None);
}

#[test]
fn who_was_asked_for_by_mistake_is_not_taken_for_who_was_asked_for_after_them() {
    // Anna by a slip of the finger, then the bot; what the client was told covers bots alone, and Anna has answered meanwhile.
    let mut rig = talking(Covers { agent: false, bot: true });
    hand(&mut rig, agent("client:anna"));
    rig.stop();
    let captured = rig.captured.len();
    hand(&mut rig, Party { kind: PartyKind::Bot, to: "front".into() });
    comes(&mut rig, 1);
    rig.quiet(1_000);
    let state = rig.state();
    assert_eq!((rig.captured.len(), state.recording), (captured, RecordingState::Paused), "nobody is captured but the bot: {}", rig.trace);
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    rig.transfer = Some(TransferNo(2));
    rig.start(Mode::Stay).quiet(1_000);
    assert!(rig.captured.len() > captured && rig.state().recording == RecordingState::Active, "{}", rig.trace);
    // Not even if her stream begins after the bot's.
    let captured = rig.state().captured.outbound;
    comes(&mut rig, 1);
    rig.quiet(1_000);
    assert!(rig.closed && rig.state().captured.outbound == captured, "{}", rig.trace);
}

#[test]
fn the_end_of_a_replaced_partys_stream_is_not_the_end_of_the_call() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:anna"));
    rig.stop();
    rig.pass(200);
    hand(&mut rig, agent("client:bob"));
    comes(&mut rig, 1);
    rig.quiet(1_000);
    let captured = rig.captured.len();
    rig.stop();
    assert!(!rig.over && rig.state().phase == Phase::Connected, "Bob is about to come: {}", rig.trace);
    comes(&mut rig, 2);
    rig.quiet(1_000);
    assert_eq!(
        (rig.captured.len(), rig.closed, rig.state().recording),
        (captured + 50 - 12, false, RecordingState::Active),
        "{}",
        rig.trace
    );
}

#[test]
fn when_the_second_of_two_is_refused_the_first_is_still_awaited() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:anna"));
    rig.stop();
    hand(&mut rig, agent("client:bob"));
    let captured = rig.captured.len();
    rig.step(Input::NotTransferred(TransferNo(2)));
    assert_eq!((rig.state().transfers.len(), rig.state().recording), (1, RecordingState::Paused), "{}", rig.trace);
    comes(&mut rig, 2);
    rig.quiet(1_000);
    assert_eq!(rig.captured.len(), captured, "Twilio said that Bob does not come: {}", rig.trace);
    comes(&mut rig, 1);
    rig.quiet(1_000);
    assert!(rig.captured.len() > captured && rig.state().recording == RecordingState::Active, "{}", rig.trace);
}

#[test]
fn where_nobody_knows_who_of_two_is_on_the_line_both_must_be_covered() {
    for (covers, captured) in [(Covers { agent: false, bot: true }, false), (Covers::ALL, true)] {
        let mut rig = talking(covers);
        hand(&mut rig, agent("client:anna"));
        rig.quiet(500);
        hand(&mut rig, Party { kind: PartyKind::Bot, to: "front".into() });
        let before = rig.captured.len();
        rig.quiet(HANDED_WITHIN_MS + 2_000);
        assert_eq!(rig.captured.len() > before, captured, "the fork of before lives on, and nobody came: {}", rig.trace);
        // The bot, late: nobody need guess any more.
        rig.bot = Some(Bot { name: "front".into(), captures: false });
        rig.start(Mode::Stay).quiet(1_000);
        assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    }
}

#[test]
fn a_new_party_without_a_stream_of_its_own_is_captured_in_the_one_that_lives() {
    let mut rig = talking(Covers::ALL);
    hand(&mut rig, agent("client:maria"));
    rig.quiet(HANDED_WITHIN_MS - 100);
    let captured = rig.captured.len();
    rig.quiet(2_000);
    assert!(rig.captured.len() >= captured + 80, "{}", rig.trace);
    // And without any stream it is told that the rest went unrecorded.
    hand(&mut rig, agent("client:ana"));
    rig.stop();
    rig.pass(HANDED_WITHIN_MS + 1_000);
    assert_eq!(rig.state().unrecorded_reason, Some(UnrecordedReason::SystemError), "{}", rig.trace);
}

#[test]
fn who_is_being_asked_and_who_is_gone_is_not_handed_over() {
    let mut rig = Rig::made_with(Settings::default(), ConsentStatus::Pending);
    assert_eq!(rig.call.handing(&agent("client:maria")), Err(NotHanded::Unanswered));
    rig.start(Mode::Consent).quiet(1_000);
    assert_eq!(rig.call.handing(&agent("client:maria")), Err(NotHanded::Unanswered));
    rig.stop().hang_up();
    assert_eq!(rig.call.handing(&agent("client:maria")), Err(NotHanded::Over));
    let mut rig = talking(Covers::ALL);
    for n in 0..7 {
        hand(&mut rig, agent(&format!("client:{n}")));
        rig.quiet(100).start_with(Mode::Capture, [true, true], None);
    }
    assert_eq!(rig.call.handing(&agent("client:maria")), Err(NotHanded::TooOften));
}
