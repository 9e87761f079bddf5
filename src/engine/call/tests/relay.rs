//! What must hold of a call that a voice bot serves.

use super::rig::{Rig, prompt};
use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::prompts::Line;
use crate::engine::call::{Bot, BotSaid, Input, Mode, Phase, RecordingState, Settings, ToBot};
use crate::engine::consent::{Actor, ConsentStatus, DELAY_LINE_MS, Direction, UnrecordedReason};

const NO: StreamNo = StreamNo(0);

/// Asked, and answered with this key; then its bot has the word.
fn relayed(captures: bool, answer: char) -> Rig {
    relayed_with(Settings::default(), captures, answer)
}

fn relayed_with(settings: Settings, captures: bool, answer: char) -> Rig {
    let mut rig = Rig::new(settings, Direction::Inbound, ConsentStatus::Pending);
    rig.bot = Some(Bot { name: "front".into(), captures });
    rig.start(Mode::Stay).quiet(6_000).key(answer);
    assert!(!rig.trace.contains("calls bot"), "not before the closing line is over: {}", rig.trace);
    rig.quiet(5_000);
    assert!(rig.trace.contains("calls bot front"), "{}", rig.trace);
    rig.to_bot.clear();
    rig.said.clear();
    rig.captured.clear();
    rig
}

fn says(rig: &mut Rig, codes: &[u8]) {
    rig.step(Input::Bot { stream: NO, said: BotSaid::Audio(codes) });
}

fn marks(rig: &mut Rig, name: &str) {
    rig.step(Input::Bot { stream: NO, said: BotSaid::Mark(name.into()) });
}

/// A voice of which no two frames are alike.
fn voice(frames: usize) -> Vec<u8> {
    (0..frames * 160).map(|n| g711::encode(((n * 7_919) % 4_001) as i16 - 2_000)).collect()
}

fn heard(rig: &Rig) -> Vec<u8> {
    rig.to_bot.iter().flat_map(|told| if let ToBot::Audio(piece) = told { piece.codes() } else { &[] }.to_vec()).collect()
}

fn keys(rig: &Rig) -> String {
    rig.to_bot.iter().filter_map(|told| if let ToBot::Key(key) = told { Some(key.symbol()) } else { None }).collect()
}

fn marked(rig: &Rig) -> Vec<&str> {
    rig.to_bot.iter().filter_map(|told| if let ToBot::Mark(name) = told { Some(name.as_str()) } else { None }).collect()
}

fn captured(rig: &Rig, of: Channel) -> Vec<u8> {
    rig.captured.iter().filter(|(channel, ..)| *channel == of).flat_map(|(_, _, codes)| codes.clone()).collect()
}

#[test]
fn what_the_bot_says_is_played_and_captured_where_it_was_played() {
    let mut rig = relayed(false, '1');
    let said = voice(250);
    let from = rig.media_ms;
    // Five seconds at once, as from a speech synthesiser.
    says(&mut rig, &said);
    rig.quiet(7_000);
    assert_eq!(captured(&rig, Channel::Other), said, "every sample of it, once: {}", rig.trace);
    let places: Vec<u64> = rig.captured.iter().filter(|(channel, ..)| *channel == Channel::Other).map(|(_, at, _)| *at).collect();
    assert!((from * 8..=from * 8 + 160).contains(&places[0]), "{} of {}", places[0], from * 8);
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 160), "without a gap");
    let state = rig.state();
    assert_eq!((state.captured.outbound, state.recording), (250, RecordingState::Active));
}

#[test]
fn a_bot_that_talks_in_real_time_is_captured_without_gaps() {
    let mut rig = relayed(false, '1');
    let said = voice(100);
    for (n, piece) in said.chunks(160).enumerate() {
        // Now and then two come together, and none before.
        if n % 7 != 0 {
            rig.quiet(20);
        }
        says(&mut rig, piece);
        if n % 7 == 6 {
            rig.quiet(20);
        }
    }
    rig.quiet(1_000);
    assert_eq!(captured(&rig, Channel::Other), said);
    let places: Vec<u64> = rig.captured.iter().filter(|(channel, ..)| *channel == Channel::Other).map(|(_, at, _)| *at).collect();
    assert!(places.windows(2).all(|pair| pair[1] == pair[0] + 160), "{places:?}");
}

#[test]
fn a_bot_serves_whoever_said_no_and_nothing_is_captured() {
    let mut rig = relayed(false, '2');
    let floor: Vec<u8> = (0..50)
        .flat_map(|_| {
            let codes = rig.floor();
            rig.frame(&codes);
            codes
        })
        .collect();
    says(&mut rig, &voice(20));
    rig.key('2').key('5').quiet(1_000);
    assert!(heard(&rig).starts_with(&floor), "it hears the client as it is");
    assert_eq!(keys(&rig), "25", "the question is answered: all keys are the bot's");
    assert_eq!((rig.captured.len(), rig.state().unrecorded_reason), (0, Some(UnrecordedReason::ClientOptOut)));
    assert!(rig.state().withheld.outbound >= 20, "what the bot says is withheld as well");
}

#[test]
fn a_bot_that_keeps_what_it_hears_hears_silence_without_consent() {
    let mut rig = relayed(true, '2');
    rig.quiet(3_000);
    let told = heard(&rig);
    assert!(told.iter().all(|code| *code == g711::SILENCE) && told.len() >= 140 * 160, "{} samples", told.len());
}

#[test]
fn a_bot_that_keeps_what_it_hears_hears_what_the_gate_lets_out() {
    let mut rig = relayed(true, '1');
    rig.quiet(3_000);
    let told = heard(&rig);
    let captured = captured(&rig, Channel::Client);
    assert!(captured.len() >= 140 * 160 && told.ends_with(&captured), "{} of {}", told.len(), captured.len());
    rig.to_bot.clear();
    rig.step(Input::Pause { by: Actor::System, reason: "PAYMENT".into() });
    rig.quiet(2_000).key('4').quiet(2_000);
    let told = heard(&rig);
    let line = (DELAY_LINE_MS / 20) as usize * 160;
    assert!(told.len() >= 180 * 160, "time goes on");
    assert!(told[line + 160..].iter().all(|code| *code == g711::SILENCE), "a pause is silence");
    assert_eq!(keys(&rig), "", "nor are the keys of a pause told to whoever keeps them");
    rig.to_bot.clear();
    rig.captured.clear();
    rig.step(Input::Resume { by: Actor::System, reason: None });
    rig.quiet(2_000).key('4').quiet(2_000);
    assert!(heard(&rig).ends_with(&self::captured(&rig, Channel::Client)) && !rig.captured.is_empty());
    assert_eq!(keys(&rig), "4");
}

#[test]
fn after_an_opt_out_a_bot_that_keeps_what_it_hears_hears_nothing_of_it() {
    let mut rig = relayed(true, '1');
    rig.quiet(2_000).key('*').key('2');
    let admitted = captured(&rig, Channel::Client);
    rig.quiet(2_000);
    assert_eq!(captured(&rig, Channel::Client), admitted);
    let told = heard(&rig);
    let spoken = told.iter().rposition(|code| *code != g711::SILENCE).unwrap();
    assert!(told[..=spoken].ends_with(&admitted[..admitted.iter().rposition(|code| *code != g711::SILENCE).unwrap() + 1]));
    assert!(told.len() - spoken >= 80 * 160, "silence, and time goes on");
    assert_eq!(keys(&rig), "", "the keys that opted out are not the bot's");
}

#[test]
fn keys_are_the_bots_unless_they_opt_out() {
    let mut rig = relayed(false, '1');
    rig.quiet(2_000).key('5');
    assert_eq!(keys(&rig), "5", "at once");
    rig.quiet(2_000).key('2');
    assert_eq!(keys(&rig), "5", "it is open whether this is a no");
    rig.quiet(400).key('7');
    assert_eq!(keys(&rig), "527", "it was not");
    rig.quiet(2_000).key('2').quiet(2_000);
    assert_eq!((keys(&rig).as_str(), rig.state().consent.status), ("527", ConsentStatus::Revoked), "it was");
    rig.key('2');
    assert_eq!(keys(&rig), "5272", "after a no there is none left to say");
}

#[test]
fn a_clear_takes_back_what_nobody_has_heard_and_every_mark_comes_back_in_order() {
    let mut rig = relayed(false, '1');
    let said = voice(500);
    says(&mut rig, &said[..400 * 160]);
    marks(&mut rig, "first");
    says(&mut rig, &said[400 * 160..]);
    marks(&mut rig, "second");
    rig.quiet(2_000);
    assert!(marked(&rig).is_empty(), "not played yet");
    rig.step(Input::Bot { stream: NO, said: BotSaid::Clear });
    assert_eq!(marked(&rig), ["first", "second"], "{}", rig.trace);
    rig.quiet(2_000);
    let heard = captured(&rig, Channel::Other);
    assert!((99 * 160..=101 * 160).contains(&heard.len()) && said.starts_with(&heard), "two seconds of it: {}", heard.len());
    // And once more, played to its end.
    rig.to_bot.clear();
    says(&mut rig, &said[..160 * 10]);
    marks(&mut rig, "third");
    rig.quiet(100);
    assert!(marked(&rig).is_empty());
    rig.quiet(400);
    assert_eq!(marked(&rig), ["third"]);
}

#[test]
fn a_key_tone_in_what_the_bot_says_does_not_reach_the_recording() {
    let mut rig = relayed(false, '1');
    let tone: Vec<u8> = (0..1_600)
        .map(|n| {
            let wave = |hz: f64| (f64::from(n) * hz * std::f64::consts::TAU / 8_000.0).sin();
            g711::encode(((wave(770.0) + wave(1_336.0)) * 6_000.0) as i16)
        })
        .collect();
    says(&mut rig, &tone);
    rig.quiet(2_000);
    let heard = captured(&rig, Channel::Other);
    assert_eq!(heard.len(), tone.len());
    assert!(heard.iter().all(|code| g711::decode(*code).unsigned_abs() < 2_000), "blanked");
    assert_eq!(rig.state().consent.status, ConsentStatus::Granted, "and it is nobody's key");
}

#[test]
fn a_line_that_stalls_does_not_keep_the_client_from_hearing_the_bot() {
    let mut rig = relayed(false, '1');
    says(&mut rig, &voice(100));
    let before = rig.golden.told(&rig.call).matches("says 800 samples").count();
    assert_eq!(before, 10, "a second ahead");
    rig.pass(1_500);
    let after = rig.golden.told(&rig.call).matches("says 800 samples").count();
    assert_eq!(after, 20, "no media came, and still it is sent on");
}

#[test]
fn a_bot_that_is_lost_leaves_the_call_to_whoever_is_next() {
    for (said, line) in
        [(BotSaid::Lost("it cannot be reached"), "call.relay_lost it cannot be reached"), (BotSaid::Closed, "call.relay_ended")]
    {
        let mut rig = relayed(false, '1');
        rig.step(Input::Bot { stream: NO, said });
        assert!(rig.closed && rig.trace.contains(line), "{}", rig.trace);
        assert_eq!(rig.state().phase, Phase::Ended);
    }
}

#[test]
fn after_the_bot_a_person_goes_on_in_the_same_recording() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    rig.start(Mode::Stay).quiet(2_000);
    assert!(rig.trace.contains("calls bot front"), "{}", rig.trace);
    rig.step(Input::Bot { stream: NO, said: BotSaid::Closed });
    assert!(rig.closed && !rig.over, "Twilio is asked where the call goes: {}", rig.trace);
    rig.pass(1_000);
    rig.start_with(Mode::Capture, [true, true], None).quiet(2_000);
    rig.hang_up();
    let state = rig.state();
    assert_eq!((state.phase, state.segments.len(), state.unrecorded_reason), (Phase::Ended, 2, None));
    assert_eq!(rig.trace.matches(" records").count(), 1, "{}", rig.trace);
    assert_eq!(rig.captured.len(), 200);
}

#[test]
fn after_the_bot_a_call_that_ends_ends_well() {
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    rig.start(Mode::Stay).quiet(2_000).stop();
    assert!(!rig.over);
    rig.hang_up();
    assert_eq!((rig.state().phase, rig.state().unrecorded_reason, rig.state().is_recorded), (Phase::Ended, None, true));
    assert!(rig.trace.contains("ends Keep"), "{}", rig.trace);

    // Or nobody tells, and no fork comes.
    let mut rig = Rig::made(ConsentStatus::Granted);
    rig.bot = Some(Bot { name: "front".into(), captures: false });
    rig.start(Mode::Stay).quiet(2_000).stop();
    rig.pass(31_000);
    assert_eq!((rig.state().recording, rig.state().unrecorded_reason), (RecordingState::Halted, Some(UnrecordedReason::SystemError)));
    assert!(rig.trace.contains("ends Keep"), "what was captured is kept: {}", rig.trace);
}

#[test]
fn a_line_of_ours_comes_before_what_the_bot_has_still_to_say_and_is_nobodys_voice() {
    let mut rig = relayed_with(Settings { announces: true, ..Settings::default() }, false, '1');
    let said = voice(300);
    says(&mut rig, &said);
    rig.quiet(1_000);
    rig.key('*').key('2').quiet(12_000);
    let stopped = prompt(Line::Stopped);
    let at = rig.said.windows(stopped.len()).position(|window| window == stopped).unwrap_or_else(|| panic!("{}", rig.trace));
    assert!((1_000 * 8..=2_100 * 8).contains(&at), "after what was at Twilio already: {at}");
    let theirs: Vec<u8> = rig.said[..at].iter().chain(&rig.said[at + stopped.len()..]).copied().collect();
    assert_eq!(theirs, said, "the bot is heard out, later by as much");
    assert!(rig.to_bot.iter().all(|told| !matches!(told, ToBot::Line(_))), "the bot is told nothing of it");
}

#[test]
fn a_bot_that_takes_back_its_words_takes_back_none_of_ours() {
    let mut rig = relayed_with(Settings { announces: true, ..Settings::default() }, false, '1');
    rig.key('*').key('2').quiet(600);
    let before = rig.said.len();
    rig.step(Input::Bot { stream: NO, said: BotSaid::Clear });
    rig.quiet(8_000);
    let stopped = prompt(Line::Stopped);
    // What was at Twilio and not played when it was cleared is said again.
    let again = &rig.said[before..];
    assert!(stopped.ends_with(again) && again.len() > stopped.len() - before, "{} {} {}", stopped.len(), before, again.len());
    assert!(stopped.len() - again.len() <= 620 * 8, "{}", again.len());
}

#[test]
fn the_tone_sounds_while_a_bot_serves_and_its_words_lie_where_they_are_heard() {
    let settings = Settings { beep_every_ms: Some(12_000), ..Settings::default() };
    let mut rig = relayed_with(settings, false, '1');
    let beep = crate::engine::audio::beep::codes();
    assert_eq!(rig.trace.matches("beeps").count(), 1, "when its turn has come: {}", rig.trace);
    rig.quiet(6_000);
    (rig.said, rig.captured) = (Vec::new(), Vec::new());
    // Over the next tone, six seconds at once.
    let said = voice(300);
    says(&mut rig, &said);
    rig.quiet(9_000);
    let at = rig.said.windows(beep.len()).position(|window| window == beep).unwrap_or_else(|| panic!("{}", rig.trace));
    let heard: Vec<u8> =
        rig.said[..at].iter().copied().chain([g711::SILENCE; 1_600]).chain(rig.said[at + beep.len()..].iter().copied()).collect();
    let captured = captured(&rig, Channel::Other);
    assert_eq!(captured, heard, "word for word at its place, and the tone is silence");
    assert_eq!(rig.trace.matches("beeps").count(), 2, "{}", rig.trace);
}
