//! Scenarios: what a caller does and what must come of it, as small TOML files that can be read aloud.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

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
    /// What happens, in order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expect: Expect,
}

/// One thing that happens. Exactly one of its first group of fields is given.
#[derive(Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// Say this fixture.
    pub say: Option<String>,
    /// Press this key.
    pub key: Option<char>,
    /// Be quiet so long.
    pub quiet_ms: Option<u64>,
    /// Be quiet until: `prompt-heard`, `decided`, `closing-heard`, `closed`.
    pub until: Option<String>,
    /// Frames that get lost.
    pub lose_frames: Option<u64>,
    /// The next so many frames come twice.
    pub double_frames: Option<u64>,
    /// The next so many pairs of frames come in the wrong order.
    pub swap_frames: Option<u64>,
    /// Nothing comes any more, for so long; the socket stays open.
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
    /// `CLIENT_OPT_OUT`, …
    pub reason: Option<String>,
    /// Everything after the decision is in the recording, up to the last key press if this is set, or to the end.
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

/// Scenarios that are part of the program, in the order of the demo.
const BUILT_IN: &[(&str, &str)] = built_in! {
    "presses-one" "stays-on-the-line" "presses-two" "spanish-then-one" "hangs-up-in-the-prompt" "two-by-tone-in-the-prompt"
    "opts-out-by-tone" "line-goes-dead" "voicemail" "one-then-two" "opts-out-by-event" "types-a-card-number" "lossy-line" "two-tracks"
    "digital-silence" "consent-only"
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
        let within = |what: &str, value: &str, allowed: &[&str]| {
            if allowed.contains(&value) { Ok(()) } else { Err(wrong(format!("{what} {value:?} is none of {}", allowed.join(", ")))) }
        };
        within("mode", &scenario.mode, &["consent", "stay", "capture"])?;
        within("direction", &scenario.direction, &["INBOUND", "OUTBOUND"])?;
        for (n, step) in scenario.steps.iter().enumerate() {
            let kinds = [
                step.say.is_some(),
                step.key.is_some(),
                step.quiet_ms.is_some(),
                step.until.is_some(),
                step.lose_frames.is_some(),
                step.double_frames.is_some(),
                step.swap_frames.is_some(),
                step.dead_ms.is_some(),
                step.hang_up,
                step.drop_socket,
            ];
            if kinds.into_iter().filter(|kind| *kind).count() != 1 {
                return Err(wrong(format!("step {} must do exactly one thing", n + 1)));
            }
            if let Some(until) = &step.until {
                within("until", until, &["prompt-heard", "decided", "closing-heard", "closed"])?;
            }
            if let Some(by) = &step.by {
                within("by", by, &["event", "tone", "both"])?;
            }
            if let Some(say) = &step.say {
                within("say", say, &super::line::FIXTURES.map(|(name, _)| name))?;
            }
            if let Some(key) = step.key
                && crate::engine::audio::key::Key::from_symbol(key).is_none()
            {
                return Err(wrong(format!("step {}: no telephone has this key", n + 1)));
            }
        }
        Ok(scenario)
    }

    /// All that are part of the program.
    ///
    /// # Errors
    /// None that a test of this module would let pass.
    pub fn built_in() -> Result<Vec<Arc<Self>>, ScenarioError> {
        BUILT_IN.iter().map(|(name, text)| Self::read(name, text).map(Arc::new)).collect()
    }
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
    Ok(found)
}

fn from_file(path: &Path) -> Result<Scenario, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
    Scenario::read(&path.display().to_string(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_scenarios_can_all_be_read() {
        assert_eq!(Scenario::built_in().unwrap().len(), BUILT_IN.len());
    }

    #[test]
    fn a_wrong_scenario_says_what_is_wrong_and_where() {
        let why = |text: &str| Scenario::read("x.toml", text).unwrap_err().to_string();
        assert!(why("name = \"n\"\nstep = []\nexpekt = 1").contains("expekt"));
        assert!(why("name = \"n\"\nmode = \"listen\"\nstep = []\n[expect]").contains("none of consent, stay, capture"));
        assert!(why("name = \"n\"\n[[step]]\nkey = \"1\"\nhang_up = true\n[expect]").contains("step 1 must do exactly one thing"));
        assert!(why("name = \"n\"\n[[step]]\nsay = \"nonsense\"\n[expect]").contains("client-en"));
    }
}
