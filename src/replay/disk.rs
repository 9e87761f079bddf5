//! The look onto the disk, where the gateway's own folder is at hand: what must not be there, whatever the gateway says of itself.
//!
//! Of a call without a recording no object lies there, no manifest and no spool; and of no call a piece of what it said while
//! consent did not cover it, in any file, as mu-law, as base64 of it, or as samples of one channel or of two.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::check::Covered;
use super::recording::{PIECE, Piece};
use super::{CallOutcome, Failure};
use crate::engine::audio::g711;
use crate::engine::twilio::message::Track;

/// A spool goes once its recording is stored; nothing is told when.
const SPOOL_GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// With fewer unlike codes a piece is no witness: a tone of a line, a table in a file may be alike.
const UNLIKE_MIN: usize = 5;
/// So many bytes of a piece are base64 of 32 letters, which lie there as they are when they begin with a group of three.
const IN_BASE64: usize = PIECE / 4 * 3;

/// What was found, by the call it is about.
#[derive(Default, Debug)]
pub(super) struct OnDisk {
    /// Calls without a recording.
    pub(super) unrecorded: usize,
    /// Files that were searched.
    pub(super) files: usize,
    /// What must not be there; `None` is of a call that nobody played.
    pub(super) failures: Vec<(Option<usize>, Failure)>,
}

/// Looks into a gateway's folder after all calls are over. Blocking.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn look(folder: &Path, outcomes: &[CallOutcome]) -> io::Result<OnDisk> {
    let mut found = OnDisk::default();
    let until = Instant::now() + SPOOL_GONE_WITHIN;
    let mut spools = files(&folder.join("spool"))?;
    while spools.iter().any(|file| is_spool(file)) && Instant::now() < until {
        std::thread::sleep(LOOK_AGAIN);
        spools = files(&folder.join("spool"))?;
    }
    for left in spools.iter().filter(|file| is_spool(file)) {
        found.failures.push((None, Failure::new("spool", "gone once every recording is stored", left.display())));
    }
    let recorded: HashSet<&str> = outcomes.iter().filter_map(recording).collect();
    let without: Vec<(usize, &str, &str)> =
        outcomes.iter().enumerate().filter(|(_, outcome)| recording(outcome).is_none()).map(ids).collect();
    found.unrecorded = without.len();
    let withheld = Withheld::of(outcomes);
    for file in files(folder)? {
        // What a database or a log puts away meanwhile is read where it went.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        found.files += 1;
        let shown = file.strip_prefix(folder).unwrap_or(&file);
        if shown.starts_with("objects/recordings") {
            let stem = shown.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()).unwrap_or_default();
            if !recorded.contains(stem) {
                found.failures.push((None, Failure::new("object", "of a call that was recorded", shown.display())));
            }
        }
        if shown.starts_with("objects/recordings") || shown.starts_with("objects/transcripts") {
            let names = |id: &str| !id.is_empty() && bytes.windows(id.len()).any(|window| window == id.as_bytes());
            for (call, ..) in without.iter().filter(|(_, id, sid)| names(id) || names(sid)) {
                found.failures.push((Some(*call), Failure::new("manifest", "none of a call without a recording", shown.display())));
            }
        }
        for (call, (track, frame, form)) in withheld.in_file(&bytes) {
            let seen = format!("frame {frame}, {track:?}, as {form} in {}", shown.display());
            found.failures.push((Some(call), Failure::new("on disk", "nothing that consent does not cover", seen)));
        }
    }
    Ok(found)
}

/// The recording that a call may have: one that the store holds, of a call that consent covers somewhere.
fn recording(outcome: &CallOutcome) -> Option<&str> {
    let call = outcome.found.call.as_ref().filter(|call| call["recording"]["state"] == "FINISHED")?;
    call["recording"]["recordingId"].as_str().filter(|_| !Covered::of(&outcome.scenario, &outcome.seen).is_empty())
}

fn ids((n, outcome): (usize, &CallOutcome)) -> (usize, &str, &str) {
    let id = outcome.found.call.as_ref().and_then(|call| call["callId"].as_str()).unwrap_or_default();
    (n, id, outcome.seen.call_sid.as_str())
}

/// A spool, or what became of one that could not be read.
fn is_spool(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "spool" || ending == "damaged")
}

/// All files under a folder, in order.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => return Err(why),
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// What was said while consent did not cover it.
struct Withheld {
    /// By codes, of which positive and negative zero are one; and by the letters of base64.
    codes: Pieces,
    letters: Pieces,
}

/// Pieces by their 32 bytes, with the call, and a sieve before them: most places of most files begin as no piece does.
struct Pieces {
    owners: HashMap<[u8; PIECE], (usize, Piece)>,
    sieve: Vec<u64>,
}

impl Pieces {
    fn new(owners: HashMap<[u8; PIECE], (usize, Piece)>) -> Self {
        let mut sieve = vec![0; 1 << 18];
        for piece in owners.keys() {
            let (word, bit) = Self::hole(piece);
            sieve[word] |= bit;
        }
        Self { owners, sieve }
    }

    /// Of the first four bytes.
    fn hole(piece: &[u8]) -> (usize, u64) {
        let first = piece.first_chunk::<4>().map_or(0, |first| u32::from_le_bytes(*first));
        let hash = first.wrapping_mul(0x9E37_79B1) >> 8;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }

    fn find(&self, window: &[u8]) -> Option<&(usize, Piece)> {
        let (word, bit) = Self::hole(window);
        if self.sieve[word] & bit == 0 {
            return None;
        }
        self.owners.get(<&[u8; PIECE]>::try_from(window).ok()?)
    }
}

impl Withheld {
    fn of(outcomes: &[CallOutcome]) -> Self {
        let (mut withheld, mut letters, mut covered) = (HashMap::new(), HashMap::new(), HashSet::new());
        for (call, outcome) in outcomes.iter().enumerate() {
            let may = Covered::of(&outcome.scenario, &outcome.seen);
            for track in Track::BOTH {
                for (frame, codes) in outcome.seen.frames[track.index()].iter().enumerate() {
                    for (n, sent) in codes.as_chunks::<PIECE>().0.iter().enumerate() {
                        let piece = Piece { track, frame, piece: n };
                        let like = sent.map(one_zero);
                        if may.may(piece) {
                            covered.insert(like);
                        } else if sent.iter().collect::<HashSet<_>>().len() >= UNLIKE_MIN {
                            withheld.insert(like, (call, piece, *sent));
                        }
                    }
                }
            }
        }
        // A fixture said twice, or two presses of a key, may have pieces alike: one that may be there is no witness.
        withheld.retain(|like, _| !covered.contains(like));
        for (call, piece, sent) in withheld.values() {
            for group in 0..3 {
                let text = base64_simd::STANDARD.encode_to_string(&sent[group..group + IN_BASE64]);
                letters.extend(<[u8; PIECE]>::try_from(text.as_bytes()).ok().map(|text| (text, (*call, *piece))));
            }
        }
        let codes = withheld.into_iter().map(|(like, (call, piece, _))| (like, (call, piece))).collect();
        Self { codes: Pieces::new(codes), letters: Pieces::new(letters) }
    }

    /// Of each call the first piece that lies in these bytes, and in what form.
    fn in_file(&self, bytes: &[u8]) -> BTreeMap<usize, (Track, usize, &'static str)> {
        let mut found = BTreeMap::new();
        let mut search = |pieces: &Pieces, bytes: &[u8], form: &'static str| {
            for (call, piece) in bytes.windows(PIECE).filter_map(|window| pieces.find(window)) {
                found.entry(*call).or_insert((piece.track, piece.frame, form));
            }
        };
        search(&self.letters, bytes, "base64");
        search(&self.codes, &bytes.iter().copied().map(one_zero).collect::<Vec<_>>(), "mu-law");
        for from in 0..bytes.len().min(2) {
            let samples: Vec<u8> = bytes[from..].as_chunks::<2>().0.iter().map(|pair| g711::encode(i16::from_le_bytes(*pair))).collect();
            search(&self.codes, &samples, "samples");
            for channel in 0..2 {
                search(&self.codes, &samples.iter().copied().skip(channel).step_by(2).collect::<Vec<_>>(), "samples");
            }
        }
        found
    }
}

/// Positive and negative zero are one sample.
fn one_zero(code: u8) -> u8 {
    g711::encode(g711::decode(code))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::replay::recording::tests::{sent, wav};
    use crate::replay::{Found, Press, Scenario};

    /// A call in which nobody said anything of consent, and one that pressed 1 at frame 20.
    fn outcomes() -> Vec<CallOutcome> {
        let scenario = Arc::new(Scenario::read("x.toml", "name = 'x'\nstep = []\n[expect]").unwrap());
        let call = |id: &str, sid: &str, state: &str, recording: Option<&str>, press: Option<usize>| {
            let mut seen = sent(60, press.map_or(7, |_| 8));
            seen.call_sid = sid.into();
            seen.presses.extend(press.map(|at| Press { key: '1', at, tone_samples: 0 }));
            let told = json!({ "callId": id, "recording": { "state": state, "recordingId": recording } });
            let found = Found { call: Some(told), ..Found::default() };
            CallOutcome { scenario: Arc::clone(&scenario), seen: Arc::new(seen), found, failures: Vec::new() }
        };
        vec![call("call_no", "CAno", "NOT_STARTED", None, None), call("call_yes", "CAyes", "FINISHED", Some("rec_yes"), Some(20))]
    }

    /// A folder as it should be after these calls: the covered frames of the second, and no more.
    fn folder(outcomes: &[CallOutcome]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "objects/recordings/default/rec_yes.wav", &wav(&outcomes[1].seen, 11, 20..60));
        write(&folder, "objects/recordings/default/rec_yes.json", br#"{"callId":"call_yes"}"#);
        write(&folder, "callgate.db", b"call_no has a row");
        folder
    }

    fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    fn told(folder: &tempfile::TempDir, outcomes: &[CallOutcome]) -> Vec<(Option<usize>, &'static str)> {
        look(folder.path(), outcomes).unwrap().failures.into_iter().map(|(call, failure)| (call, failure.what)).collect()
    }

    #[test]
    fn a_folder_with_what_consent_covers_is_as_it_should_be() {
        let outcomes = outcomes();
        let found = look(folder(&outcomes).path(), &outcomes).unwrap();
        assert!(found.failures.is_empty() && (found.unrecorded, found.files) == (1, 3), "{found:?}");
    }

    #[test]
    fn an_object_that_no_recorded_call_has_is_found_and_so_is_a_manifest_that_names_another() {
        let outcomes = outcomes();
        let stray = folder(&outcomes);
        write(&stray, "objects/recordings/default/rec_no.json", br#"{"callId":"call_no"}"#);
        assert_eq!(told(&stray, &outcomes), [(None, "object"), (Some(0), "manifest")]);
    }

    #[test]
    fn withheld_audio_is_found_in_every_form_and_at_every_alignment() {
        let outcomes = outcomes();
        let frame = outcomes[0].seen.frames[0][30];
        for lead in 0..7 {
            let before = vec![b'x'; lead];
            let mono: Vec<u8> = frame.iter().flat_map(|code| g711::decode(*code).to_le_bytes()).collect();
            let stereo: Vec<u8> = frame.iter().flat_map(|code| [g711::decode(*code), 77]).flat_map(i16::to_le_bytes).collect();
            let base64 = base64_simd::STANDARD.encode_to_string([&before, &frame[..]].concat()).into_bytes();
            let forms = [("mu-law", frame.to_vec()), ("samples", mono), ("samples", stereo), ("base64", base64)];
            for (form, bytes) in forms {
                let leaky = folder(&outcomes);
                write(&leaky, "callgate.log", &[&before[..], &bytes].concat());
                let found = look(leaky.path(), &outcomes).unwrap().failures;
                let [(Some(0), failure)] = found.as_slice() else { panic!("{form} after {lead}: {found:?}") };
                assert!(failure.seen.contains("frame 30, Inbound") && failure.seen.contains(form), "{failure}");
            }
        }
    }

    #[test]
    fn what_a_recorded_call_said_before_its_yes_is_withheld_as_well() {
        let outcomes = outcomes();
        let leaky = folder(&outcomes);
        write(&leaky, "objects/recordings/default/rec_yes.wav", &wav(&outcomes[1].seen, 0, 19..60));
        assert_eq!(told(&leaky, &outcomes), [(Some(1), "on disk")]);
    }

    #[test]
    fn a_spool_that_stays_is_found() {
        let outcomes = outcomes();
        let left = folder(&outcomes);
        write(&left, "spool/rec_no.spool.damaged", b"encrypted");
        assert_eq!(told(&left, &outcomes), [(None, "spool")]);
    }
}
