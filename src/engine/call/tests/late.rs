//! What must hold of a no that comes when the recording has ended already, and may be stored: nobody can cut it any more.

use super::rig::Rig;
use super::stories::user;
use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::call::{Effect, Input, Mode, OnOptOut, PAUSE_MAX_MS, Party, PartyKind, Phase, RecordingState, Settings};
use crate::engine::consent::ConsentStatus;
use crate::engine::time::WallTime;

const TAKEN_BACK: &str = ", and takes the recording back";

/// A placed call in a fork: ten seconds of it are captured.
fn talked(on_opt_out: OnOptOut) -> Rig {
    let mut rig = Rig::made_with(Settings { on_opt_out, ..Settings::default() }, ConsentStatus::Granted);
    rig.step(Input::PutThrough);
    rig.start_with(Mode::Capture, [true, true], None).quiet(10_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

/// The call was handed over, and no stream came for the new party.
fn left(on_opt_out: OnOptOut) -> Rig {
    let mut rig = talked(on_opt_out);
    rig.step(Input::Transfer { by: user("cm"), to: Party { kind: PartyKind::Agent, to: "client:anna".into() } });
    rig.stop();
    rig.pass(40_000);
    ended_by_us(&rig, 500);
    rig
}

/// Somebody forgot to resume.
fn forgotten(on_opt_out: OnOptOut) -> Rig {
    let mut rig = talked(on_opt_out);
    rig.step(Input::Pause { by: user("cm"), reason: "PAYMENT".into() });
    rig.quiet(PAUSE_MAX_MS + 1_000);
    ended_by_us(&rig, 500);
    rig
}

fn ended_by_us(rig: &Rig, captured: usize) {
    let state = rig.state();
    assert_eq!((state.phase, state.recording, state.consent.status), (Phase::Connected, RecordingState::Halted, ConsentStatus::Granted));
    assert_eq!((rig.captured.len(), rig.trace.contains("ends Keep")), (captured, true), "it is on its way to the store: {}", rig.trace);
}

fn says_no(rig: &mut Rig, ago_ms: Option<i64>) {
    let since = ago_ms.map(|ago_ms| WallTime(rig.now().wall.0 - ago_ms));
    rig.step(Input::OptOut { actor: user("cm"), reason: None, since });
}

/// Whether all of the recording is to be deleted, as the ledger and everybody else are told.
fn is_taken_back(rig: &Rig, refusals: u64) -> bool {
    let state = rig.state();
    assert_eq!((state.consent.status, rig.refusals), (ConsentStatus::Revoked, refusals), "{}", rig.trace);
    assert_eq!(rig.trace.matches(TAKEN_BACK).count(), usize::from(state.taken_back), "said once: {}", rig.trace);
    state.taken_back
}

#[test]
fn one_that_reaches_into_it_takes_all_of_it() {
    for (end, quiet_ms) in [(left as fn(OnOptOut) -> Rig, 40_000), (forgotten, 901_000)] {
        for (ago_ms, taken_back) in [(quiet_ms + 3_000, true), (quiet_ms + 60_000, true), (quiet_ms - 2_000, false)] {
            let mut rig = end(OnOptOut::KeepConsented);
            says_no(&mut rig, Some(ago_ms));
            assert_eq!(is_taken_back(&rig, 1), taken_back, "{ago_ms} ms ago, {quiet_ms} ms after the last frame: {}", rig.trace);
            assert_eq!(rig.state().consent.effective_at, Some(WallTime(rig.now().wall.0 - ago_ms)));
        }
        let mut rig = end(OnOptOut::KeepConsented);
        says_no(&mut rig, None);
        assert!(!is_taken_back(&rig, 1), "what was captured was consented to: {}", rig.trace);
    }
}

#[test]
fn where_an_opt_out_discards_each_takes_all_of_it() {
    type Way = (&'static str, fn(&mut Rig));
    let refuse: [Way; 3] = [
        ("through the API", |rig| says_no(rig, None)),
        ("by a key", |rig| {
            rig.key('2').quiet(3_000);
        }),
        ("in words", |rig| rig.step(Input::Objected { stream: StreamNo(0), at: Place(80_000) })),
    ];
    for (how, says_no) in refuse {
        let mut rig = forgotten(OnOptOut::DiscardCall);
        says_no(&mut rig);
        assert!(is_taken_back(&rig, 1), "{how}: {}", rig.trace);
    }
}

#[test]
fn words_that_were_said_while_it_was_captured_take_it_and_words_of_after_it_do_not() {
    for (at_ms, taken_back) in [(5_000, true), (60_000, false)] {
        let mut rig = forgotten(OnOptOut::KeepConsented);
        rig.step(Input::Objected { stream: StreamNo(0), at: Place(at_ms * 8) });
        assert_eq!(is_taken_back(&rig, 1), taken_back, "said at {at_ms} ms: {}", rig.trace);
    }
}

#[test]
fn an_opt_out_that_is_said_to_have_held_earlier_is_not_answered_with_nothing() {
    let mut rig = talked(OnOptOut::KeepConsented);
    says_no(&mut rig, None);
    assert!(!is_taken_back(&rig, 1));
    rig.pass(1_000);
    // The same once more, and from the moment on at which it was said.
    says_no(&mut rig, None);
    says_no(&mut rig, Some(1_000));
    assert!(!is_taken_back(&rig, 1), "{}", rig.trace);
    says_no(&mut rig, Some(4_000));
    assert!(is_taken_back(&rig, 2), "three seconds of it came after the no: {}", rig.trace);
    for ago_ms in [4_000, 6_000] {
        says_no(&mut rig, Some(ago_ms));
        assert!(is_taken_back(&rig, 2), "nothing is left to take: {}", rig.trace);
    }
    // Words on the stream before the last had cut it back to there.
    let mut rig = talked(OnOptOut::KeepConsented);
    rig.step(Input::Transfer { by: user("cm"), to: Party { kind: PartyKind::Agent, to: "client:anna".into() } });
    rig.stop();
    rig.start_with(Mode::Capture, [true, true], None).quiet(5_000);
    rig.step(Input::Objected { stream: StreamNo(0), at: Place(4_000 * 8) });
    says_no(&mut rig, None);
    for (ago_ms, taken_back, refusals) in [(8_000, false, 1), (12_000, true, 2)] {
        says_no(&mut rig, Some(ago_ms));
        assert_eq!(is_taken_back(&rig, refusals), taken_back, "{ago_ms} ms ago: {}", rig.trace);
    }
    // One that was cut in time leaves nothing to take, said twice.
    let mut rig = talked(OnOptOut::KeepConsented);
    says_no(&mut rig, Some(4_000));
    rig.pass(700);
    says_no(&mut rig, Some(4_700));
    assert!(!is_taken_back(&rig, 1), "{}", rig.trace);
}

#[test]
fn the_chain_says_that_nothing_could_be_cut() {
    let mut rig = left(OnOptOut::KeepConsented);
    let (now, mut out) = (rig.now(), std::mem::take(&mut rig.out));
    rig.call.step(now, Input::OptOut { actor: user("cm"), reason: None, since: Some(WallTime(now.wall.0 - 44_000)) }, &mut out);
    let halted = out.effects.iter().find_map(|effect| match effect {
        Effect::Audit(event) if event.kind.word() == "recording.halted" => Some((event.position.clone()?.stream_sid, event.detail.clone())),
        _ => None,
    });
    let (sid, detail) = halted.expect("a line of its own");
    let cut_ms = detail["cutAtMs"].as_u64().unwrap();
    assert!(sid == "MZ0" && detail["carriedOut"] == false && (6_100..=6_200).contains(&cut_ms), "{detail}");
}
