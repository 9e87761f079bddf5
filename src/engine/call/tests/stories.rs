//! What must hold of a call, from both ends of the keypad to a dead line.

use serde_json::json;

use super::rig::{LedgerMood, Rig};
use crate::engine::audio::frame::StreamNo;
use crate::engine::call::{Input, Mode, OnOptOut, Phase, RecordingState, Settings, Snapshot};
use crate::engine::consent::{Actor, ConsentStatus, Direction, GrantSeq, Method, UnrecordedReason};
use crate::engine::time::MediaTime;
use crate::engine::twilio::message::Track;

fn inbound() -> Rig {
    Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Pending)
}

pub(super) fn talking() -> Rig {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(5_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "{}", rig.trace);
    rig
}

const MUSIC: &[u8] = include_bytes!("../../../../fixtures/audio/hold-music.ulaw");
const RINGBACK: &[u8] = include_bytes!("../../../../fixtures/audio/ringback.ulaw");
const SCREENER: &[u8] = include_bytes!("../../../../fixtures/audio/screener-en.ulaw");

#[test]
fn a_new_client_presses_one_and_the_call_is_handed_back() {
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(5_000);
    let state = rig.state();
    assert_eq!((state.consent.status, state.consent.method), (ConsentStatus::Granted, Some(Method::Keypress)), "{}", rig.trace);
    assert!(rig.closed && rig.captured.is_empty(), "{}", rig.trace);
    rig.start(Mode::Capture).quiet(2_000).stop();
    assert_eq!(rig.captured.len(), 100, "{}", rig.trace);
    assert_eq!(rig.state().phase, Phase::Ended);
}

#[test]
fn staying_on_the_line_for_ten_seconds_grants() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(12_300);
    assert_eq!(rig.state().phase, Phase::AwaitingResponse, "{}", rig.trace);
    rig.quiet(9_800);
    assert_eq!(rig.grants, 0, "not a moment early: {}", rig.trace);
    rig.quiet(400);
    assert_eq!(rig.state().consent.method, Some(Method::SilenceTimeout), "{}", rig.trace);
    rig.quiet(1_000).stop();
    assert!(rig.captured.len() >= 49 && rig.too_early == 0);
}

#[test]
fn a_two_declines_from_the_first_instant() {
    for at in [20, 3_000, 8_000, 13_000, 20_000] {
        let mut rig = inbound();
        rig.start(Mode::Stay).quiet(at).key('2').quiet(30_000);
        let state = rig.state();
        assert_eq!((state.consent.status, state.unrecorded_reason), (ConsentStatus::Revoked, Some(UnrecordedReason::ClientOptOut)));
        assert_eq!((rig.captured.len(), rig.refusals, rig.grants), (0, 1, 0), "{}", rig.trace);
    }
}

#[test]
fn a_one_counts_once_its_sentence_has_begun() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(2_000).key('1').quiet(1_000);
    assert_eq!(rig.grants, 0);
    rig.quiet(2_000).key('1').quiet(20);
    assert_eq!(rig.grants, 1, "{}", rig.trace);
}

#[test]
fn nine_plays_spanish_and_three_plays_are_all() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(3_000).key('9').quiet(3_000).key('9').quiet(3_000).key('9').quiet(2_000);
    assert_eq!(rig.trace.matches("plays es Consent").count(), 2, "{}", rig.trace);
    rig.key('1').quiet(5_000);
    let state = rig.state();
    assert_eq!((state.consent.status, state.consent.language_code), (ConsentStatus::Granted, "es"));
    assert!(rig.trace.contains("plays es Granted"));
}

#[test]
fn p1_no_frame_is_captured_before_the_grant_is_durable() {
    let mut rig = inbound();
    rig.mood = LedgerMood::SlowMs(900);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(800);
    assert_eq!((rig.grants, rig.captured.len()), (0, 0));
    rig.quiet(2_000).stop();
    assert_eq!((rig.grants, rig.too_early), (1, 0));
    let first = rig.captured[0].1;
    assert!(first >= (155 + 6_000 + 880) * 8, "captured from after the receipt on: {first}");
}

/// A frame on its way that others overtake: what [`Rig::raw`] takes once it comes.
pub(super) fn overtaken(rig: &mut Rig) -> (u64, u64, MediaTime) {
    let message = (rig.sequence + 1, rig.chunk() + 1, MediaTime(rig.media_ms));
    rig.lose(20);
    message
}

pub(super) const CANARY: [u8; 160] = [0x33; 160];

#[test]
fn p1_what_was_said_before_the_yes_is_not_captured_however_late_it_comes() {
    for both in [false, true] {
        let mut rig = inbound();
        rig.start_with(Mode::Stay, [true, both], None).quiet(6_000);
        let (sequence, chunk, timestamp) = overtaken(&mut rig);
        rig.quiet(20).key('1').quiet(20);
        assert_eq!(rig.grants, 1, "{}", rig.trace);
        rig.raw(sequence, chunk, timestamp, &CANARY, Track::Inbound);
        if both {
            // The other party's track is behind the client's: this was said before the yes as well.
            rig.raw(sequence, chunk, timestamp, &CANARY, Track::Outbound);
        }
        rig.quiet(2_000).stop();
        assert!(rig.captured.iter().all(|(_, _, codes)| codes[..] != CANARY), "both tracks: {both}");
        let state = rig.state();
        assert_eq!((state.captured.inbound, state.withheld.inbound, state.withheld.outbound), (101, 302, u64::from(both)));
        assert!(state.segments[0].start_ms > timestamp + 20, "{:?}", state.segments);
    }
}

#[test]
fn p2_decline_wins_every_race() {
    // 1 then 2 while the grant is being written; 1 then 2 when it is written; a 2 that was sent before the 1.
    let mut rig = inbound();
    rig.mood = LedgerMood::SlowMs(500);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(200).key('2').quiet(3_000).stop();
    assert_eq!((rig.state().consent.status, rig.captured.len()), (ConsentStatus::Revoked, 0), "{}", rig.trace);

    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(1_500).key('2').quiet(3_000).stop();
    assert_eq!((rig.state().consent.status, rig.captured.len(), rig.discarded), (ConsentStatus::Revoked, 0, true), "{}", rig.trace);

    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).key('1');
    let earlier = rig.sequence - 1;
    rig.quiet(4_000).key_at(earlier, '2').quiet(1_000).stop();
    assert_eq!((rig.state().consent.status, rig.captured.len()), (ConsentStatus::Revoked, 0), "{}", rig.trace);

    // 2 and the deadline in one breath, in either order.
    for extra in [9_960, 9_980, 10_000, 10_020, 10_040] {
        let mut rig = inbound();
        rig.start(Mode::Stay).quiet(12_260).quiet(extra).key('2').quiet(2_000).stop();
        assert_eq!((rig.state().consent.status, rig.captured.len()), (ConsentStatus::Revoked, 0), "{extra}: {}", rig.trace);
    }

    // 2 then 1.
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).key('2').quiet(100).key('1').quiet(30_000).stop();
    assert_eq!((rig.state().consent.status, rig.grants), (ConsentStatus::Revoked, 0));
}

#[test]
fn an_opt_out_by_event_cuts_before_the_delay_line_and_only_if_the_two_is_alone() {
    let mut rig = talking();
    let before = rig.media_ms;
    rig.key('2').quiet(1_400);
    assert_eq!(rig.state().recording, RecordingState::Active, "still open whether it is alone");
    rig.quiet(3_000);
    assert_eq!(rig.state().recording, RecordingState::Halted, "{}", rig.trace);
    let last = rig.captured.last().unwrap();
    assert_eq!((last.1 + 160) / 8, before - 240);
    let state = rig.state();
    assert_eq!((state.is_recorded, state.unrecorded_reason), (true, Some(UnrecordedReason::ClientOptOut)));
    assert_eq!(state.captured.inbound, rig.captured.len() as u64);

    let mut rig = talking();
    for digit in "5222312".chars() {
        rig.key(digit).quiet(600);
    }
    rig.quiet(3_000).stop();
    assert_eq!(rig.state().recording, RecordingState::Active, "a number is not a no: {}", rig.trace);
    let state = rig.state();
    assert_eq!(state.withheld.inbound + state.captured.inbound, 300 + 250 + 7 * 30 + 150, "and loses nothing");
    assert_eq!(state.captured.inbound, 250 + 7 * 30 + 150);
}

#[test]
fn an_opt_out_can_discard_the_whole_call() {
    let settings = Settings { on_opt_out: OnOptOut::DiscardCall, ..Settings::default() };
    let mut rig = Rig::new(settings, Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(5_000).key('2').quiet(3_000).stop();
    let state = rig.state();
    assert!(rig.discarded && !state.is_recorded && state.segments.is_empty());
    assert_eq!((state.recording, state.captured.inbound), (RecordingState::Discarded, 0));
}

#[test]
fn p4_silence_without_a_listener_never_grants() {
    let never = |rig: &mut Rig, what: &str| {
        assert_eq!((rig.grants, rig.captured.len()), (0, 0), "{what}: {}", rig.trace);
        let state = rig.state();
        assert_ne!(state.consent.status, ConsentStatus::Granted, "{what}");
    };
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(4_000).pass(3_000);
    assert_eq!(rig.state().unrecorded_reason, Some(UnrecordedReason::SystemError), "{}", rig.trace);
    assert!(rig.closed, "the people go on talking");
    never(&mut rig, "a line that goes dead in the prompt");

    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(13_000);
    for _ in 0..20 {
        rig.lose(400).quiet(200);
    }
    never(&mut rig, "a line with holes");

    let mut rig = inbound();
    rig.marks_lie = true;
    rig.start(Mode::Stay).quiet(60_000);
    never(&mut rig, "a prompt whose mark comes back at once");

    for answered_by in ["machine_start", "fax", "unknown"] {
        let mut rig = inbound();
        rig.start_with(Mode::Stay, [true, false], Some(answered_by)).quiet(30_000);
        never(&mut rig, answered_by);
        assert!(rig.trace.contains("a machine answered"), "{}", rig.trace);
    }

    for (what, sound) in [("music on hold", MUSIC), ("ringback", RINGBACK)] {
        let mut rig = inbound();
        rig.start(Mode::Stay).quiet(11_000).say(&sound.repeat(10)[..8_000 * 50]);
        never(&mut rig, what);
        assert_eq!(rig.trace.matches("plays en Consent").count(), 2, "somebody may yet come: {}", rig.trace);
        assert!(rig.trace.contains("music or call progress tones"), "{}", rig.trace);
    }

    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).say(SCREENER).quiet(30_000);
    never(&mut rig, "a call screener that Twilio did not name");
    assert!(rig.trace.contains("talked on from the first moment"), "{}", rig.trace);
}

#[test]
fn who_says_hello_hums_for_a_moment_or_talks_in_the_wait_is_a_listener() {
    let voice: &[u8] = include_bytes!("../../../../fixtures/audio/second-client-en.ulaw");
    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).say(&voice[12_000..18_000]).quiet(30_000);
    assert_eq!(rig.grants, 1, "hello? {}", rig.trace);
    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).quiet(13_000).say(voice).quiet(10_000);
    assert_eq!(rig.grants, 1, "talk in the wait: {}", rig.trace);
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(13_000).say(&MUSIC[..3_200]).quiet(15_000);
    assert_eq!(rig.grants, 1, "a tune of 0.4 s: {}", rig.trace);
    let mut rig = inbound();
    rig.start(Mode::Stay).say(voice).quiet(30_000);
    assert_eq!(rig.grants, 1, "who calls us may talk first: {}", rig.trace);
}

#[test]
fn digital_silence_is_asked_once_more_and_then_not_granted() {
    let mut rig = inbound();
    rig.start(Mode::Stay).say(&vec![0xFF; 8_000 * 60]);
    assert_eq!(rig.trace.matches("plays en Consent").count(), 2, "{}", rig.trace);
    assert_eq!((rig.grants, rig.state().unrecorded_reason), (0, Some(UnrecordedReason::SystemError)));
    let settings = Settings { silence_needs_noise_floor: false, ..Settings::default() };
    let mut rig = Rig::new(settings, Direction::Inbound, ConsentStatus::Pending);
    rig.start(Mode::Stay).say(&vec![0xFF; 8_000 * 30]);
    assert_eq!(rig.grants, 1);
}

#[test]
fn p6_when_the_ledger_fails_the_call_goes_on_unrecorded() {
    for mood in [LedgerMood::Fails, LedgerMood::Silent] {
        let mut rig = inbound();
        rig.mood = mood;
        rig.start(Mode::Consent).quiet(6_000).key('1').quiet(9_000);
        let state = rig.state();
        assert_eq!(state.unrecorded_reason, Some(UnrecordedReason::SystemError), "{mood:?}: {}", rig.trace);
        assert!(rig.closed && rig.trace.contains("the grant could not be made durable"), "{}", rig.trace);
    }
    let mut rig = talking();
    rig.step(Input::SinkFailed);
    rig.quiet(1_000);
    assert!(!rig.closed, "the call goes on");
    assert_eq!(rig.state().unrecorded_reason, Some(UnrecordedReason::SystemError));
    // Nothing is captured any more, and still the client's no is a no.
    rig.key('2').quiet(3_000).key('2').quiet(3_000);
    assert_eq!((rig.refusals, rig.state().consent.status), (1, ConsentStatus::Revoked), "{}", rig.trace);
}

#[test]
fn p3_what_still_comes_on_the_consent_stream_is_no_part_of_the_recording() {
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(200);
    rig.start(Mode::Capture);
    let (fork, consent) = ([0x44; 160], [0x55; 160]);
    for n in 0..50 {
        for (stream, codes, chunk) in [(0, &consent, 400 + n), (1, &fork, 1 + n)] {
            let timestamp = MediaTime(chunk * 20);
            rig.step(Input::Media { stream: StreamNo(stream), track: Track::Inbound, sequence: chunk + 2, chunk, timestamp, codes });
        }
    }
    assert_eq!(rig.captured.len(), 38, "50 frames less the delay line's 12: {}", rig.trace);
    assert!(rig.captured.iter().all(|(_, _, codes)| codes[..] == fork), "and each of the fork");
}

#[test]
fn p3_a_second_fork_is_turned_away_and_takes_nothing_of_the_delay_line() {
    let mut rig = talking();
    rig.quiet(400);
    let (before, chunk, media_ms) = (rig.captured.len(), rig.chunk(), rig.media_ms);
    rig.start(Mode::Capture);
    assert!(rig.closed, "its socket is closed");
    let (ours, foreign) = (rig.floor(), [0x55; 160]);
    for n in 0..50 {
        for (stream, codes) in [(0, &ours[..]), (1, &foreign[..])] {
            let (chunk, timestamp) = (chunk + 1 + n, MediaTime(media_ms + n * 20));
            rig.step(Input::Media { stream: StreamNo(stream), track: Track::Inbound, sequence: 1_000 + n, chunk, timestamp, codes });
        }
    }
    assert_eq!(rig.captured.len() - before, 50, "as many as came: the delay line is as long as ever");
    assert!(rig.captured.iter().all(|(_, _, codes)| codes[..] != foreign), "and none of the other's");
    // One that has gone silent makes room.
    rig.pass(3_000).start(Mode::Capture).quiet(1_000);
    let fresh = rig.captured.len() - before;
    assert!(fresh > 50 + 30, "{fresh}: {}", rig.trace);
}

#[test]
fn hanging_up_in_the_prompt_leaves_consent_as_it_was() {
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(4_000).stop();
    let state = rig.state();
    assert_eq!((state.phase, state.consent.status, rig.refusals, rig.grants), (Phase::Abandoned, ConsentStatus::Pending, 0, 0));
    assert!(rig.trace.contains("consent.abandoned"));
}

#[test]
fn prior_consent_is_not_asked_again_on_the_way_out_and_always_on_the_way_in() {
    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Granted);
    rig.start(Mode::Stay).quiet(2_000).stop();
    assert!(!rig.trace.contains("plays") && rig.state().consent.prior, "{}", rig.trace);
    assert_eq!(rig.captured.len(), 100);
    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Revoked);
    rig.start(Mode::Stay).quiet(2_000).stop();
    assert!(!rig.trace.contains("plays"));
    assert_eq!((rig.captured.len(), rig.state().unrecorded_reason), (0, Some(UnrecordedReason::PriorOptOut)));
    let mut rig = Rig::new(Settings::default(), Direction::Inbound, ConsentStatus::Granted);
    rig.start(Mode::Stay).quiet(2_000);
    assert!(rig.trace.contains("plays en Consent"));
}

#[test]
fn a_conversation_that_goes_quiet_keeps_its_socket_and_goes_on() {
    let mut rig = talking();
    let captured = rig.captured.len();
    rig.pass(5_000);
    assert_eq!(rig.captured.len(), captured + 12, "what waited in the line was consented to");
    rig.media_ms += 5_000;
    rig.quiet(1_000).stop();
    assert_eq!(rig.state().segments.len(), 2, "{:?}", rig.state().segments);
    let mut rig = talking();
    rig.pass(61_000);
    assert!(rig.over && rig.closed, "half-open for a minute is gone");
}

#[test]
fn everything_that_was_heard_is_captured_or_withheld() {
    let mut rig = talking();
    rig.quiet(2_000).key('2').quiet(4_000).stop();
    let state = rig.state();
    assert_eq!(state.captured.inbound + state.withheld.inbound, (6_000 + 5_000 + 2_000 + 4_000) / 20);
    let segment = state.segments.last().unwrap();
    assert_eq!((segment.end_ms.0 - segment.start_ms.0) / 20, state.captured.inbound);
}

/// A key's tone as a handset makes it, over a quiet line.
pub(super) fn tone(symbol: char, ms: usize, lead: usize) -> Vec<u8> {
    let keypad = "123A456B789C*0#D";
    let at = keypad.find(symbol).unwrap();
    let low = [697.0, 770.0, 852.0, 941.0][at / 4];
    let high = [1_209.0, 1_336.0, 1_477.0, 1_633.0][at % 4];
    let turn = std::f64::consts::TAU / 8_000.0;
    let mut seed = 5u64;
    let total = (lead + ms * 8).next_multiple_of(160);
    (0..total)
        .map(|n| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = ((seed >> 33) % 61) as f64 - 30.0;
            let on = n >= lead && n < lead + ms * 8;
            let t = n as f64 * turn;
            let sound = if on { 5_000.0 * ((t * low).sin() + (t * high).sin()) } else { 0.0 };
            crate::engine::audio::g711::encode((sound + noise) as i16)
        })
        .collect()
}

#[test]
fn p3_the_cut_falls_at_the_finger() {
    for lead in [0, 30, 80, 120, 159] {
        for ms in [60, 100, 300] {
            let mut rig = talking();
            rig.quiet(2_000);
            let finger = rig.media_ms * 8 + lead as u64;
            rig.say(&tone('2', ms, lead)).quiet(3_000).stop();
            let end = rig.captured.iter().map(|(_, at, codes)| at + codes.len() as u64).max().unwrap();
            assert_eq!(rig.cut_backs, 0, "nothing past the finger ever left the gate, not even for a while");
            assert!(end <= finger, "{ms} ms from {lead}: captured up to {end}, the finger came down at {finger}");
            assert!(finger - end <= 2 * 160 + 160, "{ms} ms from {lead}: {} samples of consented audio are lost", finger - end);
            assert_eq!(rig.state().consent.status, ConsentStatus::Revoked);
            assert_eq!(rig.state().captured.inbound, rig.captured.len() as u64);
        }
    }
}

#[test]
fn a_tone_and_its_event_are_one_key_whichever_comes_first() {
    for event_first in [true, false] {
        let mut rig = talking();
        rig.quiet(2_000);
        let finger = rig.media_ms * 8;
        if event_first {
            rig.key('2').say(&tone('2', 100, 0));
        } else {
            rig.say(&tone('2', 100, 0)).key('2');
        }
        rig.quiet(3_000).stop();
        assert_eq!(rig.refusals, 1, "{}", rig.trace);
        let end = rig.captured.iter().map(|(_, at, codes)| at + codes.len() as u64).max().unwrap();
        assert!(end <= finger && finger - end <= 240 * 8, "event first: {event_first}; {end} against {finger}");
    }
}

#[test]
fn key_tones_never_reach_a_sink_and_nothing_else_is_lost() {
    let mut rig = talking();
    let mut expected = (6_000 + 5_000) / 20;
    for digit in "4060031".chars() {
        rig.say(&tone(digit, 80, 40)).quiet(400);
        expected += tone(digit, 80, 40).len() as u64 / 160 + 20;
    }
    rig.quiet(1_000).stop();
    assert_eq!(rig.state().captured.inbound + rig.state().withheld.inbound, expected + 50);
    let mut detector = crate::engine::audio::keytone::Detector::new();
    let mut loud = 0;
    for (_, _, codes) in &rig.captured {
        let samples: Vec<i16> = codes.iter().map(|code| crate::engine::audio::g711::decode(*code)).collect();
        loud += samples.iter().filter(|sample| sample.abs() > 500).count();
        detector.feed(&samples, |heard| panic!("a key can be heard in what was captured: {heard:?}"));
    }
    assert_eq!(loud, 0, "not even its first milliseconds");
}

/// The keys that can be heard on the client's channel of what was captured, laid out by place.
fn keys_captured(rig: &Rig) -> Vec<crate::engine::audio::keytone::Heard> {
    let end = rig.captured.iter().map(|(_, at, codes)| *at as usize + codes.len()).max().unwrap_or(0);
    let mut samples = vec![0i16; end];
    for (_, at, codes) in rig.captured.iter().filter(|(channel, _, _)| channel.index() == 0) {
        for (sample, code) in samples[*at as usize..].iter_mut().zip(codes) {
            *sample = crate::engine::audio::g711::decode(*code);
        }
    }
    let (mut detector, mut keys) = (crate::engine::audio::keytone::Detector::new(), Vec::new());
    detector.feed(&samples, |heard| keys.push(heard));
    keys
}

/// Says a tone of which some frames come `after_ms` later.
fn say_with_late(rig: &mut Rig, tone: &[u8], late: std::ops::Range<usize>, after_ms: u64) {
    let mut behind = Vec::new();
    for (n, codes) in tone.chunks(160).enumerate() {
        if late.contains(&n) {
            behind.push((overtaken(rig), codes));
        } else {
            rig.frame(codes);
        }
    }
    rig.quiet(after_ms);
    for ((sequence, chunk, timestamp), codes) in behind {
        rig.raw(sequence, chunk, timestamp, codes, Track::Inbound);
    }
}

#[test]
fn no_key_tone_reaches_a_sink_because_a_part_of_it_comes_late() {
    // What stands in order hides most of it: 300 ms with 80 missing; or hardly any: 80 ms with 40 missing.
    for (ms, late) in [(300, 5..9), (300, 8..14), (80, 1..3), (60, 1..2)] {
        for after_ms in [0, 20, 60, 100, 160, 240, 400, 900] {
            let mut rig = talking();
            rig.quiet(1_000);
            let (said, count) = (tone('5', ms, 0), late.len() as u64);
            say_with_late(&mut rig, &said, late.clone(), after_ms);
            rig.quiet(2_000).stop();
            let story = format!("{ms} ms, {late:?} late by {after_ms} ms");
            assert_eq!(keys_captured(&rig), [], "{story}");
            let state = rig.state();
            let heard = 300 + 250 + 50 + said.len() as u64 / 160 + after_ms / 20 + 100;
            assert_eq!(state.captured.inbound + state.withheld.inbound, heard, "{story}: and what is left out is counted");
            assert!(state.withheld.inbound <= 300 + count, "{story}");
        }
    }
}

#[test]
fn a_two_whose_middle_is_overtaken_is_a_no_at_the_finger() {
    for after_ms in [0, 20] {
        let mut rig = talking();
        rig.quiet(1_000);
        let finger = rig.media_ms * 8;
        say_with_late(&mut rig, &tone('2', 60, 0), 1..2, after_ms);
        rig.quiet(3_000);
        assert_eq!((rig.state().consent.status, rig.cut_backs), (ConsentStatus::Revoked, 0), "{after_ms}: {}", rig.trace);
        let end = rig.captured.iter().map(|(_, at, codes)| at + codes.len() as u64).max().unwrap();
        assert!(end <= finger && finger - end <= 480, "{after_ms}: captured up to {end}, the finger came down at {finger}");
    }
    // And so it is if nothing more comes after the frames that wait for it.
    let mut rig = talking();
    let two = tone('2', 100, 0);
    rig.quiet(1_000).lose(20).say(&two[..480]).pass(3_000);
    assert_eq!(rig.state().consent.status, ConsentStatus::Revoked, "{}", rig.trace);
}

#[test]
fn a_timestamp_that_leaps_loses_nothing_of_what_comes_after_it() {
    let mut rig = talking();
    rig.quiet(1_000);
    let (sequence, chunk, _) = overtaken(&mut rig);
    rig.raw(sequence, chunk, MediaTime(30_000_000), &CANARY, Track::Inbound);
    let end = rig.media_ms + 1_000;
    rig.quiet(1_000).stop();
    assert_eq!(rig.captured.len(), 250 + 50 + 1 + 50);
    assert!(rig.captured.iter().all(|(_, at, codes)| at + codes.len() as u64 <= end * 8), "no place is beyond what was said");
    let segments: Vec<_> = rig.state().segments.iter().map(|segment| segment.end_ms.0 - segment.start_ms.0).collect();
    assert_eq!(segments, [351 * 20]);
}

#[test]
fn a_two_stands_alone_by_the_wall_if_the_clients_track_goes_no_further() {
    for fails in [false, true] {
        let mut rig = inbound();
        rig.start_with(Mode::Stay, [true, true], None).quiet(6_000).key('1').quiet(5_000);
        if fails {
            rig.step(Input::SinkFailed);
        }
        rig.key('2');
        let (clock, chunk) = (rig.media_ms, rig.chunk());
        for n in 0..110 {
            rig.pass(20);
            let other = rig.floor();
            rig.raw(rig.sequence, chunk + 1 + n, MediaTime(clock + n * 20), &other, Track::Outbound);
            if n == 70 {
                assert_eq!(rig.refusals, 0, "another key may follow");
            }
        }
        assert_eq!((rig.refusals, rig.state().consent.status), (1, ConsentStatus::Revoked), "{}", rig.trace);
    }
}

#[test]
fn a_voicemail_and_a_fax_never_grant_by_silence() {
    let beep: Vec<u8> = (0..4_000)
        .map(|n| crate::engine::audio::g711::encode((9_000.0 * (f64::from(n) * std::f64::consts::TAU / 8.0).sin()) as i16))
        .collect();
    let mut rig = inbound();
    let greeting = crate::engine::audio::prompts::library()
        .prompt(crate::engine::audio::prompts::Language::ES, crate::engine::audio::prompts::Line::Declined)
        .codes;
    rig.start(Mode::Consent).say(greeting).say(&beep).quiet(30_000);
    assert_eq!((rig.grants, rig.state().unrecorded_reason), (0, Some(UnrecordedReason::SystemError)), "{}", rig.trace);
    assert!(rig.trace.contains("a machine was heard"), "{}", rig.trace);
}

#[test]
fn a_machine_that_is_known_late_takes_a_silent_grant_back_but_not_a_key() {
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(30_000);
    assert_eq!(rig.grants, 1, "{}", rig.trace);
    rig.step(Input::AnsweredBy("machine_start"));
    rig.quiet(1_000);
    let state = rig.state();
    assert!(rig.discarded && rig.captured.is_empty() && !rig.closed);
    assert_eq!((state.consent.status, state.unrecorded_reason), (ConsentStatus::Pending, Some(UnrecordedReason::SystemError)));
    assert_eq!(rig.refusals, 0, "a machine says no for nobody");
    let annulled = rig.annulled.pop().expect("nor a yes: the next call is not captured unasked");
    assert_eq!((annulled.status, annulled.method, annulled.actor), (ConsentStatus::Pending, Method::SilenceTimeout, Actor::System));
    assert_eq!(
        (&annulled.evidence.told()["annuls"], &annulled.evidence.told()["answeredBy"]),
        (&json!("call-c1"), &json!("machine_start"))
    );
    rig.step(Input::AnsweredBy("machine_end_beep"));
    assert!(rig.annulled.is_empty(), "taken back once: {}", rig.trace);
    let mut rig = talking();
    rig.step(Input::AnsweredBy("machine_start"));
    rig.quiet(1_000);
    assert_eq!(rig.state().recording, RecordingState::Active, "somebody pressed 1");
    assert!(rig.annulled.is_empty(), "{}", rig.trace);
}

#[test]
fn a_machines_silence_is_taken_back_whatever_has_become_of_the_call_meanwhile() {
    for (what, meanwhile) in [("the disk failed", Input::SinkFailed), ("the lease was lost", Input::LeaseLost)] {
        let mut rig = inbound();
        rig.start(Mode::Stay).quiet(30_000).step(meanwhile);
        rig.step(Input::AnsweredBy("machine_start"));
        assert_eq!((rig.annulled.len(), rig.state().consent.status), (1, ConsentStatus::Pending), "{what}: {}", rig.trace);
    }
    // The ledger was too slow for the call, and has the yes all the same.
    let mut rig = inbound();
    rig.mood = LedgerMood::SlowMs(5_000);
    rig.start(Mode::Stay).quiet(24_000);
    rig.step(Input::AnsweredBy("machine_start"));
    rig.quiet(6_000);
    assert_eq!((rig.grants, rig.annulled.len(), rig.captured.len()), (1, 1, 0), "{}", rig.trace);
    // Its next stream tells it.
    let mut rig = inbound();
    rig.start(Mode::Consent).quiet(40_000).stop();
    rig.start_with(Mode::Capture, [true, true], Some("machine_start")).quiet(2_000);
    assert_eq!((rig.grants, rig.annulled.len(), rig.captured.len()), (1, 1, 0), "{}", rig.trace);
    // One by which the client stood before is another call's, where somebody may have listened.
    let mut rig = Rig::new(Settings::default(), Direction::Outbound, ConsentStatus::Granted);
    rig.standing_by = Method::SilenceTimeout;
    rig.start(Mode::Stay).quiet(3_000).step(Input::AnsweredBy("machine_start"));
    assert!(rig.annulled.is_empty() && !rig.captured.is_empty(), "{}", rig.trace);
}

#[test]
fn a_cut_older_than_the_delay_line_counts_back_what_each_channel_had_past_it() {
    for quiet_ms in [300, 500, 990, 2_000] {
        let mut rig = inbound();
        rig.start_with(Mode::Stay, [true, true], None).quiet(6_000).key('1');
        let both = |rig: &mut Rig| {
            let (client, other) = (rig.floor(), rig.floor());
            let timestamp = MediaTime(rig.media_ms);
            rig.frame(&client);
            rig.raw(rig.sequence, rig.chunk(), timestamp, &other, Track::Outbound);
        };
        for _ in 0..100 {
            both(&mut rig);
        }
        // The client's track stops; the other party talks on, and leaves the line.
        let (clock, chunk) = (rig.media_ms, rig.chunk());
        for n in 0..quiet_ms / 20 {
            rig.pass(20);
            let other = rig.floor();
            rig.raw(rig.sequence, chunk + 1 + n, MediaTime(clock + n * 20), &other, Track::Outbound);
        }
        let before = rig.state();
        rig.step(Input::OptOut { actor: Actor::System, reason: None, since: None });
        let state = rig.state();
        assert_eq!(rig.cut_backs, u64::from(quiet_ms > 240), "{quiet_ms}");
        let of = |side| rig.captured.iter().filter(|(channel, _, _)| channel.index() == side).count() as u64;
        assert_eq!((state.captured.inbound, state.captured.outbound), (of(0), of(1)), "{quiet_ms}: counts are what the sink has");
        assert_eq!((of(0), of(1)), (100, 100), "{quiet_ms}: all that was said before the client's clock stood still, and not a frame more");
        let heard = |state: &Snapshot| state.captured.inbound + state.captured.outbound + state.withheld.inbound + state.withheld.outbound;
        assert_eq!(heard(&state), 300 + 200 + quiet_ms / 20, "and nothing is counted twice");
        assert!(before.captured.outbound >= of(1));
        assert_eq!(state.segments.last().unwrap().end_ms, MediaTime(clock), "{quiet_ms}");
    }
}

#[test]
fn a_revocation_from_outside_shuts_the_gate_and_leaves_its_record_to_who_revoked() {
    let mut rig = talking();
    rig.quiet(1_000);
    let said = rig.chunk();
    rig.step(Input::Revoked { entry: None });
    let captured = rig.captured.len();
    rig.quiet(2_000).stop();
    let state = rig.state();
    assert_eq!((state.consent.status, state.consent.method), (ConsentStatus::Revoked, Some(Method::Written)), "{}", rig.trace);
    assert_eq!((state.recording, state.unrecorded_reason), (RecordingState::Halted, Some(UnrecordedReason::ClientOptOut)));
    assert_eq!((rig.captured.len(), rig.refusals), (captured, 0), "not a frame more, and no record of the call's own");
    assert!(captured as u64 <= said && rig.over);
}

#[test]
fn p2_a_revocation_from_outside_wins_over_a_yes_that_is_on_its_way_and_not_over_a_newer_one() {
    // While the question is open, and while the yes is being written.
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(6_000).step(Input::Revoked { entry: None });
    rig.key('1').quiet(20_000).stop();
    assert_eq!((rig.state().consent.status, rig.grants, rig.captured.len()), (ConsentStatus::Revoked, 0, 0), "{}", rig.trace);
    let mut rig = inbound();
    rig.mood = LedgerMood::SlowMs(500);
    rig.start(Mode::Consent).quiet(6_000).key('1').quiet(200).step(Input::Revoked { entry: None });
    rig.quiet(9_000);
    assert_eq!((rig.state().consent.status, rig.captured.len()), (ConsentStatus::Revoked, 0), "{}", rig.trace);
    assert!(rig.closed, "handed back once the closing line was heard: {}", rig.trace);

    // The rig's only grant is entry 1 of its chain.
    let mut rig = talking();
    rig.step(Input::Revoked { entry: Some(GrantSeq(0)) });
    assert_eq!(rig.state().recording, RecordingState::Active, "a yes after that no stands");
    rig.step(Input::Revoked { entry: Some(GrantSeq(2)) });
    assert_eq!(rig.state().recording, RecordingState::Halted, "a yes before it does not");
    // A yes that was written before the no, and is told after it, opens nothing.
    let mut rig = inbound();
    rig.mood = LedgerMood::SlowMs(500);
    rig.start(Mode::Stay).quiet(6_000).key('1').quiet(200).step(Input::Revoked { entry: Some(GrantSeq(5)) });
    rig.quiet(9_000);
    assert_eq!((rig.grants, rig.captured.len()), (1, 0), "{}", rig.trace);
    // What only the ledger can tell, it tells: this call's yes may be newer.
    let mut rig = inbound();
    rig.start(Mode::Stay).quiet(3_000).step(Input::Revoked { entry: Some(GrantSeq(5)) });
    assert_eq!(rig.state().phase, Phase::Prompting);
}

pub(super) fn user(id: &str) -> Actor {
    Actor::User { id: id.into(), name: String::new() }
}

#[test]
fn an_opt_out_holds_from_the_moment_it_names() {
    let mut rig = talking();
    rig.quiet(10_000);
    let clock = rig.state().segments.last().unwrap().end_ms.0 + 240;
    let since = crate::engine::time::WallTime(rig.now().wall.0 - 4_000);
    rig.step(Input::OptOut { actor: user("cm"), reason: None, since: Some(since) });
    rig.quiet(1_000);
    let end = rig.state().segments.last().unwrap().end_ms.0;
    assert!((clock - 4_080..=clock - 4_000).contains(&end), "{end} of {clock}: {}", rig.trace);
    assert_eq!((rig.cut_backs, rig.captured.len() as u64), (1, rig.state().captured.inbound));
    assert_eq!(rig.state().recording, RecordingState::Halted);

    // Before the yes: nothing was consented to from then on.
    let mut rig = talking();
    rig.quiet(3_000);
    let since = crate::engine::time::WallTime(rig.now().wall.0 - 60_000);
    rig.step(Input::OptOut { actor: user("cm"), reason: None, since: Some(since) });
    assert!(rig.discarded && rig.state().captured.inbound == 0, "{}", rig.trace);
}
