//! Keys in a conversation on two tracks: what is stored of it holds no key tone, whoever pressed, however long, however weak; and an
//! opt-out by tone takes away everything from the tone's first sample on.

use crate::common::Rig;
use crate::common::talk::{FIRST_MS, FRAME, KEYS, Press, Random, Talk, channels, coded, voice};
use callgate::engine::audio::g711;
use callgate::engine::audio::keytone::{Detector, Heard};
use callgate::server::Given;

/// A 1 counts by then, and "Thank you…" is over so much later.
const ASKED: usize = 250 * FRAME;
const CLOSING: usize = 260 * FRAME;

/// The keys that can be heard in a channel, and where.
fn keys_in(side: &[i16]) -> Vec<(char, u64)> {
    let (mut detector, mut keys) = (Detector::new(), Vec::new());
    let mut hear = |heard| {
        if let Heard::Began { key, onset } = heard {
            keys.push((key.symbol(), onset / 8));
        }
    };
    for piece in side.chunks(FRAME) {
        detector.feed(piece, &mut hear);
    }
    detector.finish(&mut hear);
    keys
}

async fn audio(rig: &Rig, id: &str) -> Vec<u8> {
    let url = format!("http://{}/api/recordings/{id}/audio", rig.address());
    reqwest::Client::new().get(url).bearer_auth(&rig.token).send().await.unwrap().bytes().await.unwrap().to_vec()
}

/// Both channels of an Ogg/Opus recording, at 8 kHz.
fn decoded(bytes: &[u8]) -> [Vec<i16>; 2] {
    let mut packets = ogg::PacketReader::new(std::io::Cursor::new(bytes));
    let mut decoder = audiopus::coder::Decoder::new(audiopus::SampleRate::Hz8000, audiopus::Channels::Stereo).unwrap();
    let (mut sides, mut pcm, mut number) = ([Vec::new(), Vec::new()], vec![0i16; 960 * 2], 0);
    while let Some(packet) = packets.read_packet().unwrap() {
        if number >= 2 {
            let count =
                decoder.decode(Some(packet.data.as_slice().try_into().unwrap()), pcm.as_mut_slice().try_into().unwrap(), false).unwrap();
            for pair in pcm[..count * 2].chunks(2) {
                sides[0].push(pair[0]);
                sides[1].push(pair[1]);
            }
        }
        number += 1;
    }
    sides
}

/// Keys on both tracks, of every length and level, while both people talk and where their microphones are muted: `keys` counts them.
fn pressed_by_both(seed: u64) -> ([Vec<u8>; 2], usize) {
    let mut random = Random(seed);
    let samples = 60 * 8_000;
    let mut keys = 0;
    let names: [&[&str]; 2] = [&["client-en", "second-client-en"], &["agent-en", "agent-es"]];
    let tracks = names.map(|names| {
        let mut track = voice(names, random.below(100_000), samples, 0.0, &mut random);
        let mut at = CLOSING + random.below(8_000);
        while at < samples - 24_000 {
            let length = [480, 800, 1_600, 4_000, 16_000][random.below(5)];
            let weaker = [-3.0, -10.0, -18.0, -25.0][random.below(4)];
            let dbm0 = [weaker, weaker + random.between(0.0, 4.0)];
            // No 2 and no *: nobody opts out. Some microphones stay open, 15 dB below the key.
            let key = KEYS.chars().filter(|key| !"2*".contains(*key)).nth(random.below(14)).unwrap();
            let press = Press { key, at, samples: length, dbm0, off: [random.between(0.985, 1.015), random.between(0.985, 1.015)] };
            let gain = if random.below(2) == 0 { 0.0 } else { 10f64.powf((weaker - 15.0 + 17.0_f64).min(0.0) / 20.0) };
            track[at..press.end()].iter_mut().for_each(|sample| *sample *= gain);
            press.sound_on(&mut track);
            keys += 1;
            at = press.end() + 2_400 + random.below(12_000);
        }
        coded(&track)
    });
    (tracks, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_can_be_heard_in_any_stored_byte() {
    for (format, seed) in [("wav", 1), ("wav", 2), ("opus", 3)] {
        let rig = Rig::start(Given { capture_format: Some(format.into()), ..Given::default() }).await;
        let ([client, other], keys) = pressed_by_both(seed);
        let sent = [&client, &other].map(|codes| codes.iter().map(|code| callgate::engine::audio::g711::decode(*code)).collect::<Vec<_>>());
        let heard: usize = sent.iter().map(|side| keys_in(side).len()).sum();
        assert!(keys > 40 && heard * 100 >= keys * 95, "{heard} of {keys} keys can be heard in what was sent");
        let sid = format!("CAkeys{seed}");
        let room = coded(&voice(&["room-noise"], 0, ASKED, -30.0, &mut Random(seed)));
        // From here on the line must not fall silent, or it is taken for dead.
        let mut talk = Talk::begin(rig.address(), &sid).await;
        // The gateway listens: frames that come before would be none of the prompt's time.
        rig.call(&sid, |call| call["phase"] == "PROMPTING").await;
        talk.frames(&room, &room).await;
        talk.key("1").await;
        rig.call(&sid, |call| call["recording"]["state"] == "ACTIVE").await;
        talk.frames(&client, &other).await;
        talk.stop(&sid).await;
        let call = rig.call(&sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
        assert_eq!(call["consent"]["status"], "GRANTED", "nobody opted out: {call}");
        let bytes = audio(&rig, call["recording"]["recordingId"].as_str().unwrap()).await;
        let stored = if format == "opus" { decoded(&bytes) } else { channels(&bytes) };
        for (side, samples) in ["client", "other"].into_iter().zip(&stored) {
            assert!(samples.len() >= client.len(), "{} samples of {}", samples.len(), client.len());
            assert_eq!(keys_in(samples), [], "{format}, seed {seed}: on the channel of the {side}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_by_tone_under_speech_on_both_tracks_takes_nothing_from_its_first_sample_on() {
    // Without our own prompt at its beginning, the recording is what was captured and nothing else.
    let rig = Rig::start(Given { prompt_in_recording: Some("false".into()), ..Given::default() }).await;
    for (seed, keys, length) in [(1, "2", 640), (2, "2", 16_000), (3, "*2", 800), (4, "2", 1_600)] {
        let mut random = Random(seed);
        let mut presses = Vec::new();
        let mut at = CLOSING + 20_000 + random.below(20_000);
        for key in keys.chars() {
            presses.push(Press { key, at, samples: length, dbm0: [-12.0, -10.0], off: [1.0, 1.0] });
            at += length + 2_000;
        }
        let samples = (at / FRAME + 150) * FRAME;
        let mut client = voice(&["client-en"], random.below(50_000), samples, 0.0, &mut random);
        let other = coded(&voice(&["agent-en"], random.below(50_000), samples, 0.0, &mut random));
        for press in &presses {
            client[press.at..press.end()].fill(0.0);
            press.sound_on(&mut client);
        }
        let sid = format!("CAout{seed}");
        let room = coded(&voice(&["room-noise"], 0, ASKED, -30.0, &mut random));
        let client = coded(&client);
        let mut talk = Talk::begin(rig.address(), &sid).await;
        // The gateway listens: frames that come before would be none of the prompt's time.
        rig.call(&sid, |call| call["phase"] == "PROMPTING").await;
        talk.frames(&room, &room).await;
        talk.key("1").await;
        rig.call(&sid, |call| call["recording"]["state"] == "ACTIVE").await;
        let began_ms = FIRST_MS + talk.frames * 20;
        talk.frames(&client, &other).await;
        talk.stop(&sid).await;
        let call = rig.call(&sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
        assert_eq!((&call["consent"]["status"], &call["consent"]["method"]), (&"REVOKED".into(), &"KEYPRESS".into()), "{keys}: {call}");
        let end_ms = call["recording"]["segments"].as_array().unwrap().last().unwrap()["endMs"].as_u64().unwrap();
        let onset_ms = began_ms as f64 + presses[0].at as f64 / 8.0;
        assert!(end_ms as f64 <= onset_ms, "{keys}, {length} samples: captured up to {end_ms} ms, the tone began at {onset_ms}");
        assert!(onset_ms - (end_ms as f64) < 60.0, "at most two frames of what was consented to are lost: {end_ms}, {onset_ms}");
        let stored = channels(&audio(&rig, call["recording"]["recordingId"].as_str().unwrap()).await);
        assert!(stored.iter().all(|side| keys_in(side).is_empty()));
        // Not by what the gateway says of itself: what is stored ends with what the other said before the tone.
        let last = &stored[1][stored[1].len() - 1_600..];
        let sent: Vec<i16> = other.iter().map(|code| g711::decode(*code)).collect();
        let at = sent.windows(last.len()).position(|window| window == last).expect("the end of what is stored was said");
        assert!(at + last.len() <= presses[0].at, "stored up to sample {}, the tone began at {}", at + last.len(), presses[0].at);
        assert!(stored[0].len().abs_diff(stored[1].len()) <= FRAME, "both channels end there");
    }
}
