//! Stories of clients who say no in words.

use super::rig::Rig;
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::call::{Input, Mode, OnOptOut, PAUSE_MAX_MS, RecordingState, Settings};
use crate::engine::consent::{Actor, ConsentStatus, Direction, Method, UnrecordedReason};

fn talking(settings: Settings) -> Rig {
    let mut rig = Rig::new(settings, Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(5_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

/// The client said it three seconds ago, and a recogniser has only now told.
fn says_no(rig: &mut Rig) -> u64 {
    rig.quiet(5_000);
    let said_at = rig.captured.last().map(|(_, at, codes)| at + codes.len() as u64).unwrap() - 3_000 * 8;
    rig.step(Input::Objected { stream: StreamNo(0), at: Place(said_at) });
    said_at
}

fn ends_at(rig: &Rig) -> u64 {
    rig.captured.last().map(|(_, at, codes)| at + codes.len() as u64).unwrap()
}

fn cm() -> Actor {
    Actor::User { id: "cm".into(), name: String::new() }
}

/// The case manager says that it was no no.
fn heard() -> Input<'static> {
    Input::Resume { by: cm(), reason: Some("OPT_OUT_HEARD".into()) }
}

#[test]
fn it_closes_first_and_everything_from_the_phrase_on_leaves_every_sink() {
    let mut rig = talking(Settings::default());
    let said_at = says_no(&mut rig);
    rig.quiet(4_000);
    assert!(ends_at(&rig) <= said_at && ends_at(&rig) + 160 > said_at, "{} of {said_at}: {}", ends_at(&rig), rig.trace);
    let state = rig.state();
    assert_eq!((state.recording, state.pauses[0].reason.as_str()), (RecordingState::Paused, "OPT_OUT_HEARD"));
    assert_eq!((state.consent.status, rig.refusals), (ConsentStatus::Granted, 0), "whether it was one, somebody says");
    assert_eq!(state.captured.inbound, rig.captured.len() as u64);
}

#[test]
fn a_case_manager_confirms_it() {
    let mut rig = talking(Settings::default());
    let said_at = says_no(&mut rig);
    rig.quiet(1_000).step(Input::OptOut { actor: cm(), reason: None, since: None });
    rig.quiet(1_000).stop();
    let state = rig.state();
    assert_eq!((state.recording, state.consent.status, rig.refusals), (RecordingState::Halted, ConsentStatus::Revoked, 1), "{}", rig.trace);
    assert!(ends_at(&rig) <= said_at);
}

#[test]
fn a_case_manager_reopens_and_what_was_said_meanwhile_is_nowhere() {
    let mut rig = talking(Settings::default());
    let said_at = says_no(&mut rig);
    rig.quiet(2_000).step(heard());
    let resumed = ends_at(&rig);
    assert!(resumed <= said_at);
    rig.quiet(2_000).stop();
    let state = rig.state();
    assert_eq!((state.recording, state.consent.status, state.segments.len()), (RecordingState::Active, ConsentStatus::Granted, 2));
    assert!(rig.captured.iter().all(|(_, at, _)| *at < said_at || *at >= said_at + 5_000 * 8), "{}", rig.trace);
    assert_eq!(state.captured.inbound, rig.captured.len() as u64);
}

#[test]
fn nobody_takes_it_back_and_so_it_was_a_no() {
    for ending in 0..3 {
        let mut rig = talking(Settings::default());
        says_no(&mut rig);
        match ending {
            0 => {
                rig.quiet(1_000).stop();
            }
            1 => rig.step(Input::Shutdown),
            _ => {
                rig.quiet(PAUSE_MAX_MS + 1_000);
            }
        }
        let state = rig.state();
        assert_eq!((state.recording, state.consent.status), (RecordingState::Halted, ConsentStatus::Revoked), "{ending}: {}", rig.trace);
        assert_eq!((state.consent.method, rig.refusals), (Some(Method::Verbal), 1));
        assert_eq!(state.unrecorded_reason, Some(UnrecordedReason::ClientOptOut));
    }
}

#[test]
fn what_fails_meanwhile_does_not_make_a_yes_of_it() {
    for failing in [Input::SinkFailed, Input::LeaseLost] {
        let mut rig = talking(Settings::default());
        let said_at = says_no(&mut rig);
        rig.quiet(500).step(failing);
        let state = rig.state();
        assert_eq!((state.consent.status, rig.refusals), (ConsentStatus::Revoked, 1), "{}", rig.trace);
        assert!(ends_at(&rig) <= said_at);
    }
}

#[test]
fn where_an_opt_out_discards_a_confirmed_one_does() {
    let mut rig = talking(Settings { on_opt_out: OnOptOut::DiscardCall, ..Settings::default() });
    says_no(&mut rig);
    assert!(!rig.discarded);
    rig.quiet(500).stop();
    assert!(rig.discarded && rig.captured.is_empty(), "{}", rig.trace);
}

#[test]
fn it_lifts_nobody_elses_pause_and_is_not_lifted_with_it() {
    let mut rig = talking(Settings::default());
    rig.quiet(5_000);
    let said_at = ends_at(&rig) - 8_000;
    rig.step(Input::Pause { by: cm(), reason: "PAYMENT".into() });
    rig.quiet(1_000).step(Input::Objected { stream: StreamNo(0), at: Place(said_at) });
    assert!(ends_at(&rig) <= said_at, "said before the pause, told in it");
    // A retry, a double click, a resume of everything: whoever ends a pause of their own has judged nothing.
    for reason in [Some("PAYMENT"), Some("PAYMENT"), None, None] {
        rig.step(Input::Resume { by: cm(), reason: reason.map(str::to_owned) });
        assert_eq!((rig.state().recording, rig.state().pauses.len()), (RecordingState::Paused, 1), "{reason:?}: {}", rig.trace);
        assert_eq!(rig.state().pauses[0].reason, "OPT_OUT_HEARD");
    }
    rig.step(Input::Pause { by: cm(), reason: "PAYMENT".into() });
    rig.step(heard());
    assert_eq!(rig.state().pauses[0].reason, "PAYMENT", "judged while their own pause goes on: {}", rig.trace);
    rig.step(Input::Resume { by: cm(), reason: None });
    assert_eq!(rig.state().recording, RecordingState::Active);
}

#[test]
fn once_consent_is_gone_there_is_nothing_to_close() {
    let mut rig = talking(Settings::default());
    rig.quiet(2_000).key('2').quiet(3_000);
    let refusals = rig.refusals;
    rig.step(Input::Objected { stream: StreamNo(0), at: Place(0) });
    rig.step(Input::Objected { stream: StreamNo(7), at: Place(0) });
    assert_eq!((rig.refusals, rig.state().recording), (refusals, RecordingState::Halted), "{}", rig.trace);
}
