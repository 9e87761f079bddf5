//! From a speaking service's audio to a prompt: what it is asked to say, and what is made of its answer.
//!
//! The words are a prompt's own. A mark before each sentence comes back with its time, so that the manifest can say where
//! each key is named. Level and silence are those of the shipped prompts.

use quick_xml::escape::escape;
use serde::Deserialize;

use super::g711;
use super::prompts::{Line, PROMPT_SAMPLES_MAX, Prompt, PromptRow, Sentence, sha256};

/// Silence before the first word and after the last.
const LEAD_SAMPLES: usize = 800;
const TAIL_SAMPLES: usize = 1_600;
/// Between the sentences of a question, which want to be told apart, and of another line.
const GAP_MS: [u32; 2] = [450, 200];
/// What is quieter at the ends is not speech: -60 dBov.
const QUIET: u16 = 32;
/// Kept of the quiet before and behind it, for breath and reverberation.
const BEFORE_SAMPLES: usize = 160;
const BEHIND_SAMPLES: usize = 400;
/// Active speech level (ITU-T P.56), dBov, where professional prompts sit; and the highest peak.
const LEVEL_DBOV: f64 = -20.0;
const PEAK_DBOV: f64 = -1.0;

/// Why an answer makes no prompt.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpeechError {
    /// Not 16-bit PCM.
    #[error("its audio is not 16-bit PCM")]
    Pcm,
    /// Nothing is said.
    #[error("its audio is silent")]
    Silent,
    /// More than a prompt may be.
    #[error("its audio is longer than a prompt may be")]
    Long,
    /// The marks are not what they should be.
    #[error("its speech marks cannot be read: {0}")]
    Marks(String),
    /// A sentence's beginning is not known.
    #[error("its speech marks do not say where sentence {0} begins")]
    Unmarked(usize),
}

/// What a service is asked to say for a prompt, in SSML.
#[must_use]
pub fn ssml(prompt: &Prompt) -> String {
    let gap_ms = GAP_MS[usize::from(prompt.line != Line::Consent)];
    let gap = format!(r#"<break time="{gap_ms}ms"/>"#);
    let sentences = prompt.sentences.iter().enumerate();
    let said: Vec<String> =
        sentences.map(|(at, sentence)| format!(r#"<mark name="{}"/>{}"#, mark(at), escape(sentence.text.as_str()))).collect();
    format!("<speak>{}</speak>", said.join(&gap))
}

/// The prompt that says what `script` says, spoken in `pcm` (8 kHz, 16 bits, little-endian) with these speech marks: its
/// line of the manifest, and its audio.
///
/// # Errors
/// [`SpeechError`].
pub fn spoken(script: &Prompt, pcm: &[u8], marks: &str) -> Result<(PromptRow, Vec<u8>), SpeechError> {
    let (pairs, rest) = pcm.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(SpeechError::Pcm);
    }
    let samples: Vec<i16> = pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    let loud = |sample: &i16| sample.unsigned_abs() > QUIET;
    let (Some(first), Some(last)) = (samples.iter().position(loud), samples.iter().rposition(loud)) else {
        return Err(SpeechError::Silent);
    };
    let from = first.saturating_sub(BEFORE_SAMPLES);
    let speech = &samples[from..(last + 1 + BEHIND_SAMPLES).min(samples.len())];
    if LEAD_SAMPLES + speech.len() + TAIL_SAMPLES > PROMPT_SAMPLES_MAX {
        return Err(SpeechError::Long);
    }
    let gain = gain(speech);
    let mut codes = vec![g711::SILENCE; LEAD_SAMPLES];
    #[expect(clippy::cast_possible_truncation, reason = "the gain keeps the peak below full scale")]
    codes.extend(speech.iter().map(|sample| g711::encode((f64::from(*sample) * gain).round() as i16)));
    codes.resize(codes.len() + TAIL_SAMPLES, g711::SILENCE);

    let starts = starts(script.sentences.len(), marks)?;
    let sentences: Vec<Sentence> = script
        .sentences
        .iter()
        .zip(starts)
        .map(|(sentence, start)| Sentence { sample: (start + LEAD_SAMPLES).saturating_sub(from).max(LEAD_SAMPLES), ..sentence.clone() })
        .collect();
    let file = format!("{}/{}/{}.ulaw", script.language.code(), script.version, script.line.word());
    let row = PromptRow {
        file,
        language: script.language,
        version: script.version.clone(),
        line: script.line,
        samples: codes.len(),
        sha256: sha256(&codes),
        sentences,
    };
    Ok((row, codes))
}

/// The sample of the audio at which each sentence begins: its first word, not its mark, which may stand in the pause before.
/// A key counts once it is being named, and not sooner.
fn starts(sentences: usize, marks: &str) -> Result<Vec<usize>, SpeechError> {
    #[derive(Deserialize)]
    struct Mark {
        time: usize,
        #[serde(rename = "type")]
        kind: String,
        value: String,
    }
    let marks: Vec<Mark> = marks
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).map_err(|why| SpeechError::Marks(why.to_string())))
        .collect::<Result<_, _>>()?;
    let marked = |at: usize| marks.iter().find(|found| found.kind == "ssml" && found.value == mark(at)).map(|found| found.time);
    let first_word = |at: usize| {
        let (from, to) = (marked(at)?, marked(at + 1).unwrap_or(usize::MAX));
        let words = marks.iter().filter(|found| found.kind == "word" && (from..to).contains(&found.time));
        words.map(|word| word.time).min()
    };
    (0..sentences).map(|at| first_word(at).and_then(|ms| ms.checked_mul(8)).ok_or(SpeechError::Unmarked(at + 1))).collect()
}

fn mark(at: usize) -> String {
    format!("s{at}")
}

/// What brings speech to the level of the shipped prompts, its peak not above the highest.
fn gain(speech: &[i16]) -> f64 {
    let peak = speech.iter().map(|sample| f64::from(*sample).abs()).fold(0.0, f64::max) / 32_768.0;
    let to_level = 10f64.powf((LEVEL_DBOV - active_level_dbov(speech)) / 20.0);
    to_level.min(10f64.powf(PEAK_DBOV / 20.0) / peak)
}

/// Active speech level by ITU-T P.56, method B, in dB relative to a full-scale square wave.
fn active_level_dbov(speech: &[i16]) -> f64 {
    const MARGIN_DB: f64 = 15.9;
    const HANGOVER: usize = 1_600;
    let smooth = (-1.0f64 / (0.03 * 8_000.0)).exp();
    let thresholds: [f64; 16] = std::array::from_fn(|at| 2f64.powi(i32::try_from(at).unwrap_or(0) - 15));
    let mut active = [0u32; 16];
    let mut since = [HANGOVER + 1; 16];
    let (mut once, mut twice, mut energy) = (0.0, 0.0, 0.0);
    for sample in speech {
        let x = f64::from(*sample) / 32_768.0;
        energy += x * x;
        once = smooth * once + (1.0 - smooth) * x.abs();
        twice = smooth * twice + (1.0 - smooth) * once;
        for (at, threshold) in thresholds.iter().enumerate() {
            since[at] = if twice >= *threshold { 0 } else { since[at] + 1 };
            active[at] += u32::from(since[at] <= HANGOVER);
        }
    }
    let level = |at: usize| 10.0 * (energy / f64::from(active[at].max(1))).log10();
    let above = |at: usize| level(at) - 20.0 * thresholds[at].log10();
    let Some(at) = (0..16).find(|at| above(*at) <= MARGIN_DB) else { return level(15) };
    let Some(before) = at.checked_sub(1) else { return level(0) };
    let share = (above(before) - MARGIN_DB) / (above(before) - above(at));
    level(before) + share * (level(at) - level(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::audio::prompts::{Language, library};

    fn consent() -> &'static Prompt {
        library().prompt(Language::ES, Line::Consent)
    }

    /// A second of quiet, then `ms` of a tone, then a second of quiet.
    fn tone(ms: usize, amplitude: f64) -> Vec<u8> {
        let tone = (0..ms * 8).map(|n| (amplitude * (n as f64 * 0.4).cos()) as i16);
        std::iter::repeat_n(0, 8_000).chain(tone).chain(std::iter::repeat_n(0, 8_000)).flat_map(i16::to_le_bytes).collect()
    }

    const MARKS: &str = r#"{"time":0,"type":"ssml","start":7,"end":24,"value":"s0"}
{"time":1006,"type":"word","start":24,"end":28,"value":"Esta"}
{"time":2000,"type":"ssml","start":100,"end":117,"value":"s1"}
{"time":2450,"type":"word","start":117,"end":125,"value":"Presione"}
{"time":2900,"type":"word","start":126,"end":127,"value":"1"}
{"time":3400,"type":"ssml","start":170,"end":187,"value":"s2"}
{"time":3850,"type":"word","start":187,"end":195,"value":"Presione"}
"#;

    #[test]
    fn the_words_are_the_scripts_own_with_a_mark_before_each_sentence() {
        let granted = library().prompt(Language::EN, Line::Granted);
        assert_eq!(
            ssml(granted),
            r#"<speak><mark name="s0"/>Thank you.<break time="200ms"/><mark name="s1"/>Your call is being connected.</speak>"#
        );
        assert!(ssml(consent()).contains(r#"mejor.<break time="450ms"/><mark name="s1"/>Presione 1"#));
    }

    #[test]
    fn a_prompt_begins_and_ends_as_the_shipped_ones_do_and_says_where_each_key_is_named() {
        let (row, codes) = spoken(consent(), &tone(4_000, 3_000.0), MARKS).unwrap();
        assert_eq!((row.samples, codes.len()), (codes.len(), LEAD_SAMPLES + 160 + 32_000 + 400 + TAIL_SAMPLES));
        assert!(codes[..LEAD_SAMPLES + 160].iter().chain(&codes[codes.len() - TAIL_SAMPLES..]).all(|code| *code == g711::SILENCE));
        // A second of quiet was cut away before, but for 20 ms, and 100 ms were put there.
        let at = |ms: usize| (ms - 1_000) * 8 + 160 + LEAD_SAMPLES;
        assert_eq!(row.sentences.iter().map(|sentence| sentence.sample).collect::<Vec<_>>(), [at(1_006), at(2_450), at(3_850)]);
        assert_eq!(row.sentences.iter().map(|sentence| sentence.key).collect::<Vec<_>>(), [None, Some('1'), Some('2')]);
        assert_eq!((row.file.as_str(), row.sha256), ("es/v1/consent.ulaw", sha256(&codes)));
    }

    #[test]
    fn quiet_and_loud_voices_come_out_at_the_level_of_the_shipped_prompts() {
        let level = |codes: &[u8]| active_level_dbov(&codes.iter().map(|code| g711::decode(*code)).collect::<Vec<_>>());
        let shipped = level(consent().codes);
        assert!((shipped - LEVEL_DBOV).abs() < 0.2, "{shipped} dBov");
        for amplitude in [500.0, 3_000.0, 20_000.0] {
            let (_, codes) = spoken(consent(), &tone(4_000, amplitude), MARKS).unwrap();
            assert!((level(&codes) - LEVEL_DBOV).abs() < 0.3, "{amplitude}: {} dBov", level(&codes));
        }
    }

    #[test]
    fn an_answer_that_makes_no_prompt_has_a_name() {
        let refused = |pcm: &[u8], marks: &str| spoken(consent(), pcm, marks).unwrap_err();
        assert_eq!(refused(&[0; 3], MARKS), SpeechError::Pcm);
        assert_eq!((refused(&[0; 16_000], MARKS), refused(&[], MARKS)), (SpeechError::Silent, SpeechError::Silent));
        assert_eq!(refused(&tone(60_000, 3_000.0), MARKS), SpeechError::Long);
        assert!(matches!(refused(&tone(4_000, 3_000.0), "no JSON"), SpeechError::Marks(_)));
        assert_eq!(refused(&tone(4_000, 3_000.0), &MARKS.replace("s1", "other")), SpeechError::Unmarked(2));
        assert_eq!(
            refused(&tone(4_000, 3_000.0), &MARKS.replace("3850,\"type\":\"word\"", "3850,\"type\":\"viseme\"")),
            SpeechError::Unmarked(3)
        );
        assert_eq!(refused(&tone(4_000, 3_000.0), ""), SpeechError::Unmarked(1));
    }
}
