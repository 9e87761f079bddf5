//! Scenarios: what a caller does and what must come of it, as small TOML files that can be read aloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::line::FIXTURES;
use crate::engine::audio::key::Key;

/// A call to be played.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is called in tables.
    pub name: String,
    /// `consent`, `stay` or `capture`.
    #[serde(default = "stay")]
    pub mode: String,
    /// `INBOUND` or `OUTBOUND`.
    #[serde(default = "inbound")]
    pub direction: String,
    /// 1: inbound alone; 2: outbound as well.
    #[serde(default = "one")]
    pub tracks: u8,
    /// Twilio's `AnsweredBy`.
    pub answered_by: Option<String>,
    /// Our own prompt comes back into the line, so many dB quieter.
    pub echo_db: Option<f64>,
    /// The line is exactly silent where nobody speaks; otherwise it has the noise of a room.
    #[serde(default)]
    pub digital_silence: bool,
    /// What a reader should know who thinks that something else ought to come of it.
    pub limit: Option<String>,
    /// What happens, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expect: Expect,
}

/// One thing that happens. Exactly one of its first group of fields is given; the others go with one of those.
#[derive(Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Say this fixture.
    pub say: Option<String>,
    /// Press this key.
    pub key: Option<char>,
    /// Be quiet so long: the noise of a room.
    pub quiet_ms: Option<u64>,
    /// Be exactly silent so long, as a muted telephone is.
    pub silent_ms: Option<u64>,
    /// Be quiet until: `key-named` (the sentence that names the 1 begins), `prompt-heard`, `decided`, `closing-heard`, `closed`.
    pub until: Option<String>,
    /// Frames that get lost.
    pub lose_frames: Option<u64>,
    /// The next so many frames come twice.
    pub double_frames: Option<u64>,
    /// The next so many pairs of frames come in the wrong order.
    pub swap_frames: Option<u64>,
    /// The next so many frames are held up on the way and come all at once.
    pub burst_frames: Option<u64>,
    /// Nothing comes any more, for so long by the wall; the socket stays open, and what was queued is played.
    pub dead_ms: Option<u64>,
    /// Hang up: `stop` and the end of the socket.
    pub hang_up: bool,
    /// The socket breaks without a word.
    pub drop_socket: bool,

    /// Of a key: told by `event`, heard as a `tone`, or `both`.
    pub by: Option<String>,
    /// Of a key: how long.
    pub tone_ms: Option<u64>,
    /// Of a key: how loud each tone is.
    pub dbm0: Option<f64>,
    /// Of a key by `both`: the event comes so long after the tone began.
    pub event_delay_ms: Option<u64>,
    /// Of speech or quiet, on two tracks: what the other party says meanwhile.
    pub other_says: Option<String>,
}

/// A number, or `[least, most]`.
#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(untagged)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// From least to most.
    Between(u64, u64),
}

impl Count {
    pub(super) fn holds(self, seen: u64) -> bool {
        match self {
            Self::Exactly(count) => seen == count,
            Self::Between(least, most) => (least..=most).contains(&seen),
        }
    }
}

/// What must come of a call. What is not given is not checked.
#[derive(Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// `GRANTED`, `REVOKED`, `PENDING`.
    pub consent: Option<String>,
    /// `KEYPRESS`, `SILENCE_TIMEOUT`.
    pub method: Option<String>,
    /// `en`, `es`.
    pub language: Option<String>,
    /// `ENDED`, `ABANDONED`, …
    pub phase: Option<String>,
    /// `NOT_STARTED`, `FINISHED`, `DISCARDED`, …
    pub recording: Option<String>,
    /// `CLIENT_OPT_OUT`, …; `none` for a recorded call.
    pub reason: Option<String>,
    /// Whether the call is a recorded one.
    pub is_recorded: Option<bool>,
    /// Frames of the inbound track that the gateway says it captured.
    pub captured_frames: Option<Count>,
    /// Fixtures of which every word is in the recording.
    pub must_hear: Vec<String>,
    /// Fixtures of which not 4 ms are.
    pub must_not_hear: Vec<String>,
    /// Which key press, from 1, gave consent. If not told: the first press of 1; without one, the ten seconds.
    pub granted_at_key: Option<usize>,
    /// Which key press, from 1, withdrew it: not a sample from its first on is in the recording. If not told, the recording goes on to the end.
    pub cut_at_key: Option<usize>,
    /// So many consented frames may be missing before the cut.
    #[serde(default = "two")]
    pub lost_at_most: u64,
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not there.
    #[error("{0}: no such file, folder or built-in scenario; built in are: {1}")]
    Missing(String, String),
    /// A folder without one.
    #[error("{0}: no scenario (*.toml) in it")]
    Empty(String),
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a scenario.
    #[error("{name}: {why}")]
    Wrong {
        /// Which.
        name: String,
        /// Why.
        why: String,
    },
}

macro_rules! built_in {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../../fixtures/scenarios/", $name, ".toml")))),*] };
}

/// Scenarios that are part of the program, in the order of the demo: the answer, silence, the conversation.
const BUILT_IN: &[(&str, &str)] = built_in! {
    "presses-one" "stays-on-the-line" "presses-two" "one-then-two" "spanish-then-one" "two-by-tone-in-the-prompt" "hangs-up-in-the-prompt"
    "consent-only" "music-under-the-prompt" "rings-all-along" "rings-under-the-prompt"
    "room-noise" "digital-silence" "line-goes-dead" "dead-after-the-prompt" "voicemail" "fax-calls" "fax-answers" "text-telephone" "screener-known" "screener-unknown"
    "music-all-along" "says-no-aloud"
    "opts-out-by-tone" "opts-out-by-event" "opts-out-by-both" "opts-out-in-a-burst" "two-tracks" "two-tracks-es" "types-a-card-number"
    "muted-while-talking" "lossy-line" "socket-breaks" "fork-of-nothing"
};

fn stay() -> String {
    "stay".into()
}
fn inbound() -> String {
    "INBOUND".into()
}
fn one() -> u8 {
    1
}
fn two() -> u64 {
    2
}

impl Scenario {
    /// Reads one.
    ///
    /// # Errors
    /// [`ScenarioError::Wrong`] with line and column, or with what is allowed.
    pub fn read(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let wrong = |why: String| ScenarioError::Wrong { name: name.to_owned(), why };
        let scenario: Self = toml::from_str(text).map_err(|why| wrong(why.to_string()))?;
        scenario.sense(text).map_err(wrong)?;
        Ok(scenario)
    }

    /// What TOML's types cannot say. Errors begin with the line.
    fn sense(&self, text: &str) -> Result<(), String> {
        within(text, "mode", &self.mode, &["consent", "stay", "capture"])?;
        within(text, "direction", &self.direction, &["INBOUND", "OUTBOUND"])?;
        if !(1..=2).contains(&self.tracks) {
            return Err(format!("line {}: tracks is {}, and there can be 1 or 2", line(text, "tracks"), self.tracks));
        }
        for (n, step) in self.steps.iter().enumerate() {
            step.sense(self.tracks).map_err(|why| format!("line {}: step {} {why}", step_line(text, n), n + 1))?;
        }
        self.expect.sense(text, self.steps.iter().filter(|step| step.key.is_some()).count())
    }

    /// All that are part of the program.
    ///
    /// # Errors
    /// None that a test of this module would let pass.
    pub fn built_in() -> Result<Vec<Arc<Self>>, ScenarioError> {
        BUILT_IN.iter().map(|(name, text)| Self::read(name, text).map(Arc::new)).collect()
    }
}

impl Step {
    fn sense(&self, tracks: u8) -> Result<(), String> {
        let kinds = [
            self.say.is_some(),
            self.key.is_some(),
            self.quiet_ms.is_some(),
            self.silent_ms.is_some(),
            self.until.is_some(),
            self.lose_frames.is_some(),
            self.double_frames.is_some(),
            self.swap_frames.is_some(),
            self.burst_frames.is_some(),
            self.dead_ms.is_some(),
            self.hang_up,
            self.drop_socket,
        ];
        if kinds.into_iter().filter(|kind| *kind).count() != 1 {
            return Err(
                "must do exactly one thing: say, key, quiet_ms, silent_ms, until, lose_frames, double_frames, swap_frames, burst_frames, dead_ms, hang_up or drop_socket".into(),
            );
        }
        if let Some(until) = &self.until {
            one_of("waits until", until, &["key-named", "prompt-heard", "decided", "closing-heard", "closed"])?;
        }
        for fixture in self.say.iter().chain(&self.other_says) {
            one_of("says", fixture, &fixtures())?;
        }
        if self.other_says.is_some() && (tracks != 2 || (self.say.is_none() && self.quiet_ms.is_none())) {
            return Err("has other_says, which needs tracks = 2 and goes with say or quiet_ms".into());
        }
        let Some(key) = self.key else {
            let of_key = self.by.is_some() || self.tone_ms.is_some() || self.dbm0.is_some() || self.event_delay_ms.is_some();
            return if of_key { Err("has by, tone_ms, dbm0 or event_delay_ms, which go with a key".into()) } else { Ok(()) };
        };
        if Key::from_symbol(key).is_none() {
            return Err(format!("presses {key:?}, and a telephone has 0 to 9, *, #, A to D"));
        }
        one_of("is told by", self.by(), &["event", "tone", "both"])?;
        if self.by() == "event" && (self.tone_ms.is_some() || self.dbm0.is_some()) {
            return Err("has tone_ms or dbm0, and its key has no tone: by is \"event\"".into());
        }
        if self.by() != "both" && self.event_delay_ms.is_some() {
            return Err("has event_delay_ms, which needs by = \"both\"".into());
        }
        if self.tone_ms == Some(0) {
            return Err("has a tone of 0 ms".into());
        }
        Ok(())
    }

    /// Of a key: how it is told.
    pub(super) fn by(&self) -> &str {
        self.by.as_deref().unwrap_or("event")
    }
}

impl Expect {
    fn sense(&self, text: &str, keys: usize) -> Result<(), String> {
        for (key, value, allowed) in [
            ("consent", &self.consent, &["GRANTED", "REVOKED", "PENDING"][..]),
            ("method", &self.method, &["KEYPRESS", "SILENCE_TIMEOUT", "VERBAL", "WRITTEN", "none"]),
            ("phase", &self.phase, &["CREATED", "PROMPTING", "AWAITING_RESPONSE", "CONNECTED", "ENDED", "ABANDONED"]),
            ("recording", &self.recording, &["NOT_STARTED", "ACTIVE", "PAUSED", "HALTED", "FINISHED", "DISCARDED", "FAILED"]),
            ("reason", &self.reason, &["CLIENT_OPT_OUT", "PRIOR_OPT_OUT", "SYSTEM_ERROR", "MANUAL_OVERRIDE", "none"]),
        ] {
            if let Some(value) = value {
                within(text, key, value, allowed)?;
            }
        }
        for (key, names) in [("must_hear", &self.must_hear), ("must_not_hear", &self.must_not_hear)] {
            for fixture in names {
                within(text, key, fixture, &fixtures())?;
            }
        }
        for (key, press) in [("granted_at_key", self.granted_at_key), ("cut_at_key", self.cut_at_key)] {
            if press.is_some_and(|press| !(1..=keys).contains(&press)) {
                return Err(format!("line {}: {key} counts key presses from 1, and the scenario has {keys}", line(text, key)));
            }
        }
        Ok(())
    }
}

/// Names of the audio that can be said.
fn fixtures() -> Vec<&'static str> {
    FIXTURES.iter().map(|(name, _)| *name).collect()
}

fn one_of(what: &str, value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) { Ok(()) } else { Err(format!("{what} {value:?}, which is none of {}", allowed.join(", "))) }
}

fn within(text: &str, key: &str, value: &str, allowed: &[&str]) -> Result<(), String> {
    one_of(&format!("line {}: {key} is", line(text, key)), value, allowed)
}

/// The line on which a key is given.
fn line(text: &str, key: &str) -> usize {
    let is = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    text.lines().position(is).map_or(1, |at| at + 1)
}

/// The line on which step `n`, from 0, begins.
fn step_line(text: &str, n: usize) -> usize {
    text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("[[step]]")).nth(n).map_or(1, |(at, _)| at + 1)
}

/// Scenarios by file, folder or name.
pub(super) fn find(asked: &[String]) -> Result<Vec<Arc<Scenario>>, ScenarioError> {
    let mut found = Vec::new();
    for asked in asked {
        let path = Path::new(asked);
        if asked == "all" {
            found.extend(Scenario::built_in()?);
        } else if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| name == asked) {
            found.push(Arc::new(Scenario::read(name, text)?));
        } else if path.is_dir() {
            let read = |source| ScenarioError::Read { path: path.to_owned(), source };
            let mut files: Vec<_> = std::fs::read_dir(path).map_err(read)?.flatten().map(|entry| entry.path()).collect();
            files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
            files.sort();
            for file in files {
                found.push(Arc::new(from_file(&file)?));
            }
        } else if path.is_file() {
            found.push(Arc::new(from_file(path)?));
        } else {
            let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
            return Err(ScenarioError::Missing(asked.clone(), names.join(", ")));
        }
    }
    if found.is_empty() {
        return Err(ScenarioError::Empty(asked.join(", ")));
    }
    Ok(found)
}

fn from_file(path: &Path) -> Result<Scenario, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
    Scenario::read(&path.display().to_string(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the files in a folder of fixtures, in order.
    fn files(folder: &str, ending: &str) -> Vec<String> {
        let entries = std::fs::read_dir(format!("{}/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect();
        names.sort();
        names
    }

    #[test]
    fn every_scenario_in_the_folder_is_built_in_and_every_sound_is_heard_in_one() {
        let mut names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(names, files("scenarios", ".toml"));
        let scenarios = Scenario::built_in().unwrap();
        let said = |name: &str| {
            let mut steps = scenarios.iter().flat_map(|scenario| &scenario.steps);
            steps.any(|step| [&step.say, &step.other_says].into_iter().flatten().any(|said| said == name))
        };
        let silent: Vec<_> = files("audio", ".ulaw").into_iter().filter(|name| !said(name)).collect();
        assert_eq!(silent, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_scenario_says_what_is_wrong_and_where() {
        let why = |text: &str| Scenario::read("x.toml", text).unwrap_err().to_string();
        assert!(why("name = \"n\"\nstep = []\nexpekt = 1").contains("expekt"));
        let cases = [
            (
                "name = 'n'\nmode = 'listen'\nstep = []\n[expect]",
                "x.toml: line 2: mode is \"listen\", which is none of consent, stay, capture",
            ),
            ("name = 'n'\ntracks = 3\nstep = []\n[expect]", "x.toml: line 2: tracks is 3, and there can be 1 or 2"),
            ("name = 'n'\n[[step]]\nkey = '1'\nhang_up = true\n[expect]", "x.toml: line 2: step 1 must do exactly one thing: say, key, "),
            (
                "name = 'n'\n[[step]]\nquiet_ms = 1\n[[step]]\nsay = 'x'\n[expect]",
                "x.toml: line 4: step 2 says \"x\", which is none of client-en",
            ),
            ("name = 'n'\n[[step]]\nkey = 'x'\n[expect]", "x.toml: line 2: step 1 presses 'x', and a telephone has 0 to 9"),
            ("name = 'n'\n[[step]]\nquiet_ms = 1\ndbm0 = 1.0\n[expect]", "x.toml: line 2: step 1 has by, tone_ms, dbm0"),
            ("name = 'n'\n[[step]]\nkey = '1'\n[expect]\ncut_at_key = 0", "x.toml: line 5: cut_at_key counts key presses from 1"),
            ("name = 'n'\n[[step]]\nkey = '1'\n[expect]\ncut_at_key = 2", "x.toml: line 5: cut_at_key counts key presses from 1"),
            (
                "name = 'n'\nstep = []\n[expect]\nrecording = 'FINISH'",
                "x.toml: line 4: recording is \"FINISH\", which is none of NOT_STARTED",
            ),
        ];
        for (text, expected) in cases {
            assert!(why(text).starts_with(expected), "{}", why(text));
        }
    }
}
