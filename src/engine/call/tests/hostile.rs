//! Whatever a stream says, within what `twilio::message` lets through, the machine stands and its books are right.

use proptest::prelude::*;

use super::rig::Rig;
use crate::engine::call::{Input, Mode, Phase, RecordingState, Settings};
use crate::engine::consent::{ConsentStatus, Direction, UnrecordedReason};
use crate::engine::time::MediaTime;
use crate::engine::twilio::message::{NUMBER_MAX, Track};

#[derive(Clone, Debug)]
enum Said {
    Quiet(u64),
    Media { sequence: u64, chunk: u64, timestamp: u64, length: usize, outbound: bool },
    Key { sequence: u64, symbol: char },
    Mark(u32),
    Stop,
    Start,
    Wait(u64),
}

fn wild() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0u64..2_000, 1 => 0u64..=NUMBER_MAX, 1 => Just(NUMBER_MAX), 1 => Just(0)]
}

fn said() -> impl Strategy<Value = Said> {
    let length = prop_oneof![4 => Just(160usize), 2 => 1usize..4, 2 => 1usize..500, 1 => 500usize..49_152];
    prop_oneof![
        4 => (20u64..3_000).prop_map(Said::Quiet),
        8 => (wild(), wild(), wild(), length, any::<bool>())
            .prop_map(|(sequence, chunk, timestamp, length, outbound)| Said::Media { sequence, chunk, timestamp, length, outbound }),
        3 => (wild(), prop::sample::select("0123456789*#ABCD".chars().collect::<Vec<_>>())).prop_map(|(sequence, symbol)| Said::Key { sequence, symbol }),
        1 => any::<u32>().prop_map(Said::Mark),
        1 => Just(Said::Stop),
        1 => Just(Said::Start),
        1 => (0u64..70_000).prop_map(Said::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_brings_the_machine_down_or_its_books_out_of_order(
        granted in any::<bool>(), both in any::<bool>(), talk in prop::collection::vec(said(), 1..60)
    ) {
        let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending);
        rig.start_with(Mode::Stay, [true, both], None).quiet(6_000);
        if granted {
            rig.key('1').quiet(400);
        }
        for said in talk {
            match said {
                Said::Quiet(ms) => drop(rig.quiet(ms)),
                Said::Media { sequence, chunk, timestamp, length, outbound } => {
                    let codes: Vec<u8> = rig.floor().into_iter().cycle().take(length).collect();
                    rig.raw(sequence, chunk, MediaTime(timestamp), &codes, if outbound { Track::Outbound } else { Track::Inbound });
                }
                Said::Key { sequence, symbol } => drop(rig.key_at(sequence, symbol)),
                Said::Mark(play) => rig.step(Input::Mark { stream: crate::engine::audio::frame::StreamNo(0), play }),
                Said::Stop => drop(rig.stop()),
                Said::Start if rig.call.next_stream().is_some() => drop(rig.start(Mode::Stay)),
                Said::Start => {}
                Said::Wait(ms) => drop(rig.pass(ms)),
            }
            let state = rig.state();
            prop_assert_eq!(rig.too_early, 0);
            let kept = state.recording != RecordingState::Discarded;
            let inbound = rig.captured.iter().filter(|(channel, _, _)| channel.index() == 0).count() as u64;
            // A cut counts back over a few holes exactly, not over any number of odd lengths and leaps.
            let told = if kept && rig.cut_backs == 0 { state.captured.inbound } else { inbound };
            prop_assert_eq!(told, inbound, "{}", rig.trace);
        }
        rig.step(Input::Shutdown);
        prop_assert!(rig.over);
    }
}

#[test]
fn a_stream_that_is_none_any_more_is_no_hang_up() {
    let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(3_000);
    rig.step(Input::Garbled(crate::engine::audio::frame::StreamNo(0)));
    let state = rig.state();
    assert_eq!((state.phase, state.unrecorded_reason), (Phase::Ended, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
    assert_eq!((state.consent.status, rig.grants, rig.refusals), (ConsentStatus::Pending, 0, 0), "and no answer");
    assert!(!rig.trace.contains("abandoned"), "{}", rig.trace);

    let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(2_000);
    rig.step(Input::Garbled(crate::engine::audio::frame::StreamNo(0)));
    let state = rig.state();
    assert_eq!((state.is_recorded, state.unrecorded_reason), (true, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
    assert_eq!((rig.captured.len(), rig.over), (100, true), "what was consented to is kept, and nothing else is awaited");
}

#[test]
fn a_consent_stream_that_ends_badly_after_the_yes_takes_nothing_from_the_fork() {
    let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(500);
    rig.step(Input::Garbled(crate::engine::audio::frame::StreamNo(0)));
    rig.start(Mode::Capture).quiet(2_000);
    let state = rig.state();
    assert_eq!((state.is_recorded, state.unrecorded_reason), (true, None), "{}", rig.trace);
}
