//! What a call's place changes: where silence is no consent, staying on the line grants nothing, and a key still does.

use super::rig::Rig;
use crate::engine::call::{Call, Mode, Settings, Standing};
use crate::engine::consent::{ConsentStatus, Direction, Method, UnrecordedReason};
use crate::engine::policy::{Class, Ruling};

fn under(class: Class, direction: Direction, status: ConsentStatus) -> Rig {
    let mut rig = Rig::new(Settings::default(), direction, status);
    let standing = Standing { status, seen: u64::from(status != ConsentStatus::Pending) };
    let call = Call::new(rig.call.identity().clone(), Settings::default(), standing, rig.now());
    rig.call = call.under(Ruling::of_placed("p-1".into(), class));
    rig
}

fn inbound(class: Class) -> Rig {
    under(class, Direction::Inbound, ConsentStatus::Pending)
}

#[test]
fn where_silence_is_no_consent_a_client_who_stays_on_the_line_is_asked_once_more_and_then_goes_unrecorded() {
    let mut rig = inbound(Class::Eu);
    rig.start(Mode::Stay).quiet(12_300).quiet(10_100);
    assert_eq!((rig.grants, rig.trace.matches("plays en Consent").count()), (0, 2), "{}", rig.trace);
    rig.quiet(12_300).quiet(10_100).quiet(20_000).stop();
    let state = rig.state();
    assert_eq!((state.consent.status, state.unrecorded_reason), (ConsentStatus::Pending, Some(UnrecordedReason::SystemError)));
    assert_eq!((rig.grants, rig.captured.len()), (0, 0), "{}", rig.trace);
    assert!(rig.trace.contains("audits call.unrecorded silence is no consent under the policy"), "{}", rig.trace);
    assert!(rig.trace.contains("plays en Declined"), "people are told that nothing is recorded: {}", rig.trace);
}

#[test]
fn a_key_grants_and_refuses_there_as_everywhere_in_the_first_play_and_in_the_second() {
    for wait in [6_000, 12_300 + 10_100 + 3_000] {
        let mut rig = inbound(Class::Eu);
        rig.start(Mode::Stay).quiet(wait).key('1').quiet(5_000).stop();
        let consent = rig.state().consent;
        assert_eq!((consent.status, consent.method), (ConsentStatus::Granted, Some(Method::Keypress)), "{wait}: {}", rig.trace);
        assert!(!rig.captured.is_empty());
        let mut rig = inbound(Class::Eu);
        rig.start(Mode::Stay).quiet(wait).key('2').quiet(5_000).stop();
        assert_eq!((rig.state().consent.status, rig.grants), (ConsentStatus::Revoked, 0), "{wait}: {}", rig.trace);
    }
}

#[test]
fn every_other_class_takes_ten_seconds_on_the_line_and_asks_all_the_same() {
    for class in [Class::None, Class::One, Class::All] {
        let mut rig = inbound(class);
        rig.start(Mode::Stay).quiet(12_300);
        assert_eq!(rig.grants, 0, "{class:?}: nobody is recorded unasked: {}", rig.trace);
        rig.quiet(10_100).quiet(2_000).stop();
        assert_eq!((rig.grants, rig.state().consent.method), (1, Some(Method::SilenceTimeout)), "{class:?}: {}", rig.trace);
    }
}

#[test]
fn a_silence_of_before_opens_nothing_where_silence_is_no_consent() {
    for (class, method, captured) in [
        (Class::Eu, Method::SilenceTimeout, false),
        (Class::Eu, Method::Keypress, true),
        (Class::Eu, Method::Written, true),
        (Class::All, Method::SilenceTimeout, true),
    ] {
        let mut rig = under(class, Direction::Outbound, ConsentStatus::Granted);
        rig.standing_by = method;
        rig.start_with(Mode::Capture, [true, true], None).quiet(2_000).stop();
        assert_eq!(!rig.captured.is_empty(), captured, "{class:?} {method:?}: {}", rig.trace);
        assert_eq!(rig.state().unrecorded_reason, (!captured).then_some(UnrecordedReason::SystemError), "{}", rig.trace);
    }
}
