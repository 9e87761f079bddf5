//! Pauses: who holds them, what falls into them, and how they end.

use super::rig::Rig;
use super::stories::{CANARY, overtaken, talking, user};
use crate::engine::call::{Input, PAUSE_MAX_MS, RecordingState};
use crate::engine::consent::{ConsentStatus, UnrecordedReason};
use crate::engine::twilio::message::Track;

#[test]
fn nothing_is_captured_in_a_pause_and_one_holder_does_not_lift_anothers() {
    let mut rig = talking();
    rig.quiet(2_000);
    let paused_at = rig.state().segments.last().unwrap().end_ms.0 + 240;
    rig.step(Input::Pause { by: user("cm"), reason: "PAYMENT".into() });
    rig.quiet(300);
    let before = rig.captured.len();
    rig.quiet(5_000);
    rig.step(Input::Pause { by: user("supervisor"), reason: "she reads her diagnosis".into() });
    rig.step(Input::Resume { by: user("cm"), reason: None });
    rig.quiet(3_000);
    let state = rig.state();
    assert_eq!((state.recording, state.pauses.len()), (RecordingState::Paused, 1), "{}", rig.trace);
    assert_eq!(rig.captured.len(), before, "what waited in the line was consented to; nothing since is in a sink");
    assert!(!rig.trace.contains("diagnosis"), "free text enters no link: {}", rig.trace);
    rig.step(Input::Resume { by: user("nobody"), reason: None });
    assert_eq!(rig.state().recording, RecordingState::Paused);
    let resumed_at = rig.chunk() * 20;
    rig.step(Input::Resume { by: user("supervisor"), reason: None });
    rig.quiet(2_000).stop();
    let state = rig.state();
    let segments: Vec<_> = state.segments.iter().map(|segment| (segment.start_ms.0, segment.end_ms.0)).collect();
    assert_eq!(segments.len(), 2, "{segments:?}");
    assert_eq!(segments[0].1.div_ceil(20), paused_at.div_ceil(20), "{segments:?}");
    assert!(segments[1].0 + 40 >= resumed_at && state.pauses.is_empty(), "{segments:?} {resumed_at}");
    assert_eq!(rig.captured.len() as u64, state.captured.inbound);
}

#[test]
fn what_was_said_in_a_pause_is_not_captured_however_late_it_comes() {
    // Of a short one, what was said before it is still on its way through the line when it is over.
    for pause_ms in [40, 100, 400, 3_000] {
        for after_ms in [0, 20, 40, 240] {
            let mut rig = talking();
            rig.quiet(1_000).step(Input::Pause { by: user("cm"), reason: "PAYMENT".into() });
            rig.quiet(pause_ms - 40);
            let (sequence, chunk, timestamp) = overtaken(&mut rig);
            rig.quiet(20).step(Input::Resume { by: user("cm"), reason: None });
            rig.quiet(after_ms).raw(sequence, chunk, timestamp, &CANARY, Track::Inbound);
            rig.quiet(1_000).stop();
            let story = format!("{pause_ms} ms, late by {after_ms}");
            assert!(rig.captured.iter().all(|(_, _, codes)| codes[..] != CANARY), "{story}: {}", rig.trace);
            let state = rig.state();
            let counts = (state.captured.inbound, state.withheld.inbound);
            assert_eq!(counts, (250 + 50 + after_ms / 20 + 50, 300 + pause_ms / 20), "{story}");
        }
    }
}

#[test]
fn one_persons_pauses_nest_and_the_same_asked_for_twice_is_one() {
    let mut rig = talking();
    let pause = |reason: &str| Input::Pause { by: user("the main app"), reason: reason.to_owned() };
    let resume = |reason: Option<&str>| Input::Resume { by: user("the main app"), reason: reason.map(str::to_owned) };
    for reason in ["PAYMENT", "MEDICAL", "PAYMENT", "she reads her diagnosis"] {
        rig.step(pause(reason));
    }
    rig.quiet(1_000);
    let reasons = |rig: &Rig| rig.state().pauses.iter().map(|pause| pause.reason.clone()).collect::<Vec<_>>();
    assert_eq!(reasons(&rig), ["PAYMENT", "MEDICAL", "she reads her diagnosis"], "in the order in which they began");
    let captured = rig.captured.len();
    for (reason, left) in [("MEDICAL", 2), ("MEDICAL", 2), ("IDENTITY", 2), ("she reads her diagnosis", 1)] {
        rig.step(resume(Some(reason)));
        rig.quiet(1_000);
        let state = rig.state();
        assert_eq!(
            (state.recording, state.pauses.len(), rig.captured.len()),
            (RecordingState::Paused, left, captured),
            "{reason}: {}",
            rig.trace
        );
    }
    rig.step(resume(Some("PAYMENT")));
    rig.quiet(1_000);
    assert!(rig.state().recording == RecordingState::Active && rig.captured.len() > captured, "{}", rig.trace);
    // Without a reason all of one's own, and nobody else's.
    rig.step(pause("PAYMENT"));
    rig.step(pause("MEDICAL"));
    rig.step(Input::Pause { by: user("supervisor"), reason: "PAYMENT".into() });
    rig.step(resume(None));
    assert_eq!(rig.state().pauses.iter().map(|pause| pause.by.clone()).collect::<Vec<_>>(), [user("supervisor")]);
}

#[test]
fn a_short_pause_is_a_new_segment_too() {
    let mut rig = talking();
    rig.quiet(1_000).step(Input::Pause { by: user("cm"), reason: "PAYMENT".into() });
    rig.quiet(200).step(Input::Resume { by: user("cm"), reason: None });
    rig.quiet(1_000).stop();
    assert_eq!(rig.state().segments.len(), 2);
}

#[test]
fn a_forgotten_pause_ends_closed_and_the_client_may_still_say_no() {
    let mut rig = talking();
    rig.quiet(1_000).step(Input::Pause { by: user("cm"), reason: "MEDICAL".into() });
    rig.quiet(PAUSE_MAX_MS + 1_000);
    let captured = rig.captured.len();
    let state = rig.state();
    assert_eq!((state.recording, state.unrecorded_reason), (RecordingState::Halted, Some(UnrecordedReason::ManualOverride)));
    assert_eq!(state.consent.status, ConsentStatus::Granted);
    assert!(rig.trace.contains("recording.pause_expired"), "{}", rig.trace);
    rig.step(Input::Resume { by: user("cm"), reason: None });
    rig.step(Input::Pause { by: user("cm"), reason: "MEDICAL".into() });
    rig.quiet(1_000).key('2').quiet(3_000);
    assert_eq!((rig.captured.len(), rig.state().consent.status), (captured, ConsentStatus::Revoked), "{}", rig.trace);
}

#[test]
fn a_no_in_a_pause_is_a_no_and_nothing_resumes_after_it() {
    let mut rig = talking();
    rig.quiet(1_000).step(Input::Pause { by: user("cm"), reason: "IDENTITY".into() });
    rig.quiet(1_000).key('2').quiet(3_000);
    let captured = rig.captured.len();
    rig.step(Input::Resume { by: user("cm"), reason: None });
    rig.quiet(2_000).stop();
    assert_eq!((rig.captured.len(), rig.state().recording), (captured, RecordingState::Halted), "{}", rig.trace);
}
