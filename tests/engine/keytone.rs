//! What the key-tone detector must hear, and what it must not.

use callgate::engine::audio::g711;
use callgate::engine::audio::keytone::{Detector, Heard};

const KEYS: &str = "123A456B789C*0#D";
const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// A line to put sounds on, through mu-law as the gateway hears it.
#[derive(Default)]
struct Line(Vec<f64>);

impl Line {
    fn silence(mut self, ms: f64) -> Self {
        self.0.resize(self.0.len() + (ms * 8.0) as usize, 0.0);
        self
    }
    fn key(self, key: char, ms: f64) -> Self {
        self.tones(key, ms, [-8.0, -8.0], [1.0, 1.0])
    }
    fn tones(mut self, key: char, ms: f64, dbm0: [f64; 2], off: [f64; 2]) -> Self {
        let at = KEYS.find(key).unwrap();
        let amplitude = dbm0.map(|dbm0| 32_124.0 * 10f64.powf((dbm0 - 3.17) / 20.0));
        let hz = [LOW[at / 4] * off[0], HIGH[at % 4] * off[1]];
        let turn = std::f64::consts::TAU / 8_000.0;
        self.0.extend(
            (0..(ms * 8.0) as usize).map(|n| (0..2).map(|t| amplitude[t] * (turn * hz[t] * n as f64 + 0.3 + t as f64).sin()).sum::<f64>()),
        );
        self
    }
    /// Adds a tone to what is there, from one millisecond to another.
    fn add(mut self, hz: f64, amplitude: f64, ms: [usize; 2]) -> Self {
        for n in ms[0] * 8..ms[1] * 8 {
            self.0[n] += amplitude * (std::f64::consts::TAU / 8_000.0 * hz * n as f64).sin();
        }
        self
    }
    /// The same, dying away to half each so many milliseconds.
    fn add_dying(mut self, hz: f64, amplitude: f64, ms: [usize; 2], half_ms: f64) -> Self {
        for n in ms[0] * 8..ms[1] * 8 {
            let left = 0.5f64.powf((n - ms[0] * 8) as f64 / 8.0 / half_ms);
            self.0[n] += left * amplitude * (std::f64::consts::TAU / 8_000.0 * hz * n as f64).sin();
        }
        self
    }
    /// Loses a frame, counted from the line's beginning: the one before is heard once more, half as loud.
    fn lose(mut self, frame: usize) -> Self {
        for n in frame * 160..(frame + 1) * 160 {
            self.0[n] = self.0[n - 160] * 0.5;
        }
        self
    }
    fn samples(&self) -> Vec<i16> {
        self.0.iter().map(|x| g711::decode(g711::encode(x.clamp(-32_700.0, 32_700.0) as i16))).collect()
    }
    fn heard(&self, feed: usize) -> Vec<Heard> {
        let mut detector = Detector::new();
        let mut all = Vec::new();
        for piece in self.samples().chunks(feed) {
            detector.feed(piece, |heard| all.push(heard));
        }
        detector.finish(|heard| all.push(heard));
        all
    }
    fn keys(&self) -> String {
        self.heard(160).iter().filter_map(|heard| if let Heard::Began { key, .. } = heard { Some(key.symbol()) } else { None }).collect()
    }
}

#[test]
fn all_sixteen_keys_are_heard_at_every_level() {
    for dbm0 in [0.0, -10.0, -20.0, -25.0] {
        let mut line = Line::default().silence(50.0);
        for key in KEYS.chars() {
            line = line.tones(key, 40.0, [dbm0, dbm0], [1.0, 1.0]).silence(40.0);
        }
        assert_eq!(line.silence(100.0).keys(), KEYS, "{dbm0} dBm0, 40 ms on and off");
    }
}

#[test]
fn tones_without_any_noise_are_heard_too() {
    // Nothing is left over, or a rounding error less.
    for key in KEYS.chars() {
        for lead in 0..40 {
            let mut line = Line::default();
            line.0.resize(400 + lead * 3, 0.0);
            let line = line.tones(key, 60.0, [0.0, -1.0], [1.0, 1.0]).silence(100.0);
            let samples: Vec<i16> = line.0.iter().map(|x| x.round() as i16).collect();
            let mut heard = String::new();
            Detector::new().feed(&samples, |event| {
                if let Heard::Began { key, .. } = event {
                    heard.push(key.symbol());
                }
            });
            assert_eq!(heard, key.to_string(), "{lead}");
        }
    }
}

#[test]
fn twist_and_frequency_offset_within_the_standards_are_heard() {
    for dbm0 in [[-6.0, -14.0], [-12.0, -8.0], [-14.0, -6.0]] {
        for off in [[1.015, 1.015], [0.985, 1.015], [1.015, 0.985], [0.985, 0.985]] {
            let mut line = Line::default().silence(50.0);
            for key in KEYS.chars() {
                line = line.tones(key, 50.0, dbm0, off).silence(50.0);
            }
            assert_eq!(line.silence(100.0).keys(), KEYS, "{dbm0:?} {off:?}");
        }
    }
}

#[test]
fn what_is_no_key_is_not_heard() {
    for off in [[1.035, 1.0], [0.965, 1.0], [1.0, 1.035], [1.0, 0.965]] {
        assert_eq!(Line::default().silence(50.0).tones('5', 100.0, [-8.0, -8.0], off).silence(100.0).keys(), "", "{off:?}");
    }
    for off in [[0.98, 1.02], [1.02, 0.98], [1.02, 1.02], [0.98, 0.98]] {
        let line = Line::default().silence(50.0).tones('4', 100.0, [-8.0, -8.0], off).silence(100.0);
        assert_eq!(line.keys(), "", "both tones far off: G5 and D6 of an oboe {off:?}");
    }
    for ms in [15.0, 20.0, 23.0] {
        assert_eq!(Line::default().silence(50.0).key('2', ms).silence(100.0).keys(), "", "{ms} ms");
    }
    assert_eq!(Line::default().silence(50.0).tones('2', 100.0, [-55.0, -55.0], [1.0, 1.0]).silence(100.0).keys(), "", "-55 dBm0");
    assert_eq!(Line::default().silence(50.0).tones('2', 300.0, [-8.0, -90.0], [1.0, 1.0]).silence(100.0).keys(), "", "one tone alone");
    let mut noise = Line::default();
    let mut seed = 7u64;
    for _ in 0..400_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.0.push(((seed >> 40) % 8_000) as f64 - 4_000.0);
    }
    assert_eq!(noise.keys(), "");
}

#[test]
fn notes_that_ring_on_into_each_other_are_no_key() {
    // F5 and E6 lie 0.2 and 1.3 % from the tones of a 2, with a C7 above them; so do many chords in hold music.
    let chord = |f5_from: usize| {
        Line::default().silence(700.0).add(698.5, 2_000.0, [f5_from, 500]).add(1_318.5, 1_500.0, [300, 500]).add(2_093.0, 800.0, [300, 500])
    };
    assert_eq!(chord(100).keys(), "", "the F was there before");
    assert_eq!(chord(300).keys(), "2", "both at once could be a finger");
}

#[test]
fn notes_that_die_away_are_no_key() {
    let chord = |half_ms: f64| {
        [(698.5, 3_000.0), (1_318.5, 2_500.0), (2_093.0, 1_300.0)]
            .into_iter()
            .fold(Line::default().silence(900.0), |line, (hz, amplitude)| line.add_dying(hz, amplitude, [300, 700], half_ms))
            .keys()
    };
    // Slower ones do as a finger does: half as loud after 60 ms is a third quieter in the second half of 40 ms, as noise may be.
    for half_ms in [25.0, 40.0] {
        assert_eq!(chord(half_ms), "", "half as loud after {half_ms} ms");
    }
    assert_eq!(chord(1_000_000.0), "2", "what stands could be a finger");
}

#[test]
fn a_key_whose_frames_were_lost_is_cut_where_it_began() {
    for key in KEYS.chars() {
        for lead in [3, 70, 118] {
            let onset = 480 + lead;
            let mut line = Line::default();
            line.0.resize(onset, 0.0);
            // Of the key's frames the third and the fourth; the tones take up again in another phase than the concealed ones.
            let heard = line.key(key, 200.0).silence(100.0).lose(5).lose(6).heard(160);
            let [Heard::Began { key: which, onset: told }, Heard::Ended { .. }] = heard[..] else { panic!("{key}: {heard:?}") };
            let late_ms = (told as f64 - onset as f64) / 8.0;
            assert!(which.symbol() == key && (-15.0..=2.0).contains(&late_ms), "{key} at {onset}: told {late_ms} ms late");
        }
    }
}

#[test]
fn a_held_key_is_one_key_and_so_is_an_interrupted_one() {
    assert_eq!(Line::default().silence(50.0).key('2', 10_000.0).silence(100.0).keys(), "2");
    for gap in [5, 10, 15] {
        let mut line = Line::default().silence(50.0).key('2', 200.0).silence(100.0);
        line.0[1_100..1_100 + gap * 8].fill(0.0);
        assert_eq!(line.keys(), "2", "{gap} ms missing");
    }
    assert_eq!(Line::default().silence(50.0).key('2', 60.0).silence(40.0).key('2', 60.0).silence(100.0).keys(), "22", "two presses");
}

#[test]
fn the_onset_is_told_never_late_and_hardly_early() {
    for key in KEYS.chars() {
        for lead in 0..20 {
            let onset = 400 + lead * 9;
            let mut line = Line::default();
            line.0.resize(onset, 0.0);
            let line = line.key(key, 70.0).silence(100.0);
            let heard = line.heard(160);
            let [Heard::Began { onset: told, .. }, Heard::Ended { end, .. }] = heard[..] else { panic!("{key}: {heard:?}") };
            let late_ms = (told as f64 - onset as f64) / 8.0;
            assert!((-15.0..=2.0).contains(&late_ms), "{key} at {onset}: told {late_ms} ms late");
            let end_ms = (end as f64 - (onset + 560) as f64) / 8.0;
            assert!(end_ms.abs() <= 12.0, "{key}: ended {end_ms} ms off");
        }
    }
}

#[test]
fn any_way_of_cutting_the_line_into_feeds_is_heard_the_same() {
    let line = Line::default().silence(33.0).key('1', 70.0).silence(45.0).key('9', 300.0).silence(60.0).key('2', 44.0).silence(80.0);
    let whole = line.heard(usize::MAX);
    assert_eq!(whole.len(), 6);
    for feed in [1, 7, 39, 40, 41, 160, 163, 1_000] {
        assert_eq!(line.heard(feed), whole, "fed {feed} at a time");
    }
}

#[test]
fn which_key_it_was_is_in_no_debug_output() {
    let heard = Line::default().silence(50.0).key('7', 80.0).silence(80.0).heard(160);
    assert!(format!("{heard:?}").contains("Key(•)") && !format!("{heard:?}").contains("'7'"));
}
