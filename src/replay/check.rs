//! The look afterwards: not only at what the gateway says of itself, but into the recording.
//!
//! What consent covers is worked out from what was sent, never from what the gateway says it decided: from the key that
//! grants, or the end of the ten seconds, to the key that withdraws, or the end of the call, less every sample
//! of a key tone.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::recording::{Contents, Piece};
use super::scenario::{Expect, Scenario};
use super::seen::{Press, Seen};
use super::{Failure, Trunk};
use crate::engine::twilio::message::Track;

const ASK_AGAIN: Duration = Duration::from_millis(100);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(2);
/// The ten seconds of silence, in frames, less the one in which the prompt's last sample sounded.
const WINDOW_FRAMES: usize = 499;
/// Capture begins so long after the grant at most, by the wall: the record has to become durable.
const BEGUN_WITHIN_MS: f64 = 2_000.0;
/// Of a key told by event alone, fragments of a tone are looked for so many frames around it.
const EVENT_FRAMES: usize = 12;
/// A socket that breaks takes with it what was under way.
const BROKEN_FRAMES: usize = 25;
/// A timestamp may be rounded.
const ROUNDED_MS: u64 = 2;
const FRAME_MS: u64 = 20;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// The call's JSON at the end.
    pub call: Option<Value>,
    /// The recording's.
    pub recording: Option<Value>,
    /// Why something could not be asked.
    pub trouble: Option<String>,
    /// What lies in the recording; `None` if it was not opened, or is no WAV.
    pub contents: Option<Contents>,
    /// Bytes of the recording.
    pub bytes: usize,
}

/// What consent covers of a call.
pub(super) struct Covered {
    frames: Range<usize>,
    presses: Vec<Press>,
}

impl Covered {
    pub(super) fn of(scenario: &Scenario, seen: &Seen) -> Self {
        let told = |n: Option<usize>| n.and_then(|n| n.checked_sub(1)).and_then(|n| seen.presses.get(n)).map(|press| press.at);
        let by_key =
            told(scenario.expect.granted_at_key).or_else(|| seen.presses.iter().find(|press| press.key == '1').map(|press| press.at));
        let from = match scenario.mode.as_str() {
            "capture" => 0,
            _ => by_key.or_else(|| seen.prompt_heard_at.map(|at| at + WINDOW_FRAMES)).unwrap_or(usize::MAX),
        };
        let end = usize::try_from(seen.sent).unwrap_or(usize::MAX);
        Self { frames: from..told(scenario.expect.cut_at_key).unwrap_or(end), presses: seen.presses.clone() }
    }

    /// Whether it covers nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn may(&self, piece: Piece) -> bool {
        self.frames.contains(&piece.frame) && !(piece.track == Track::Inbound && self.presses.iter().any(|press| piece.sounds_in(press)))
    }

    /// Frames of the inbound track of which something may be blank: key tones with a frame on either side, and where fragments
    /// of one were looked for.
    fn blanked(&self) -> HashSet<usize> {
        let around = |press: &Press| match press.tone_samples {
            0 => press.at.saturating_sub(EVENT_FRAMES)..press.at + EVENT_FRAMES,
            samples => press.at.saturating_sub(1)..press.at + samples.div_ceil(super::line::FRAME) + 1,
        };
        self.presses.iter().flat_map(around).collect()
    }
}

/// Asks, and opens the recording.
pub(super) async fn look(trunk: &Trunk, scenario: &Scenario, seen: &Arc<Seen>, inspect: bool) -> Found {
    let mut found = Found::default();
    let Some(token) = trunk.target.token.as_deref().filter(|_| seen.refused.is_none()) else { return found };
    let until = tokio::time::Instant::now() + trunk.stored_within;
    let ask = async |path: String| -> Result<reqwest::Response, String> {
        loop {
            let asked = trunk.client.get(format!("{}{path}", trunk.target.api)).bearer_auth(token).send();
            let answer = asked.await.map_err(|why| why.to_string())?;
            // Many calls end at once, and one bearer asks for all of them.
            let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            match wait.map(Duration::from_secs).filter(|_| answer.status().as_u16() == 429) {
                Some(wait) if tokio::time::Instant::now() + wait < until => tokio::time::sleep(wait).await,
                Some(_) | None if answer.status().is_success() => return Ok(answer),
                Some(_) | None => return Err(format!("{path} answers {}", answer.status())),
            }
        }
    };
    let mut again = ASK_AGAIN;
    loop {
        let asked = async {
            let calls: Value = ask(format!("/api/calls?callSid={}", seen.call_sid)).await?.json().await.map_err(|why| why.to_string())?;
            Ok::<_, String>(calls["calls"][0].clone())
        };
        match asked.await {
            Ok(call) => {
                let state = call["recording"]["state"].as_str().unwrap_or_default();
                // A call that was handed back goes on elsewhere, and nobody here sees its end.
                let handed_back = seen.closed_by_gateway && call["phase"] == "CONNECTED" && state == "NOT_STARTED";
                let over = !call["endedAt"].is_null() && !matches!(state, "ACTIVE" | "HALTED" | "PAUSED");
                let settled = over || handed_back;
                found.trouble = None;
                found.call = (!call.is_null()).then_some(call);
                if settled {
                    break;
                }
            }
            Err(why) => found.trouble = Some(why),
        }
        if tokio::time::Instant::now() >= until {
            found.trouble.get_or_insert_with(|| "the call did not settle".into());
            return found;
        }
        tokio::time::sleep(again).await;
        again = (again * 2).min(ASK_AGAIN_AT_MOST);
    }
    let Some(call) = found.call.as_ref().filter(|call| call["recording"]["state"] == "FINISHED" && inspect) else { return found };
    let Some(id) = call["recording"]["recordingId"].as_str() else {
        found.trouble = Some("the recording is FINISHED and has no recordingId".into());
        return found;
    };
    let opened = async {
        let row: Value = ask(format!("/api/recordings/{id}")).await?.json().await.map_err(|why| why.to_string())?;
        let bytes = ask(format!("/api/recordings/{id}/audio")).await?.bytes().await.map_err(|why| why.to_string())?;
        Ok::<_, String>((row, bytes))
    };
    match opened.await {
        Ok((row, bytes)) => {
            found.bytes = bytes.len();
            if bytes.starts_with(b"OggS") {
                // Opus changes every sample: what can be told is that there is something, and how long.
                found.trouble = (row["durationMs"].as_u64().unwrap_or(0) == 0).then(|| "the recording says no durationMs".into());
            } else {
                let _turn = trunk.searching.acquire().await;
                let (covered, seen) = (Covered::of(scenario, seen), Arc::clone(seen));
                let search = move || Contents::of(&bytes, &seen, |piece| covered.may(piece));
                match tokio::task::spawn_blocking(search).await.unwrap_or_else(|_| Err("the search itself failed".into())) {
                    Ok(contents) => found.contents = Some(contents),
                    Err(why) => found.trouble = Some(why),
                }
            }
            found.recording = Some(row);
        }
        Err(why) => found.trouble = Some(why),
    }
    found
}

/// What did not come true.
pub(super) fn failures(scenario: &Scenario, seen: &Seen, found: &Found, asked: bool) -> Vec<Failure> {
    let mut failures = at_the_socket(scenario, seen);
    if seen.refused.is_some() || !asked {
        return failures;
    }
    if let Some(why) = &found.trouble {
        failures.push(Failure::new("the API", "to tell how the call ended", why));
    }
    let Some(call) = &found.call else {
        failures.push(Failure::new("the call", "known to the gateway", "no such call"));
        return failures;
    };
    let Expect { consent, method, language, phase, recording, reason, .. } = &scenario.expect;
    for (what, expected, at) in [
        ("consent", consent, &call["consent"]["status"]),
        ("method", method, &call["consent"]["method"]),
        ("language", language, &call["consent"]["languageCode"]),
        ("phase", phase, &call["phase"]),
        ("recording", recording, &call["recording"]["state"]),
        ("reason", reason, &call["unrecordedReason"]),
    ] {
        let seen = at.as_str().unwrap_or("none");
        if let Some(expected) = expected.as_ref().filter(|expected| *expected != seen) {
            failures.push(Failure::new(what, expected, seen));
        }
    }
    let is = |expected: Option<bool>, seen: &Value| expected.filter(|expected| seen.as_bool() != Some(*expected));
    if let Some(expected) = is(scenario.expect.is_recorded, &call["isRecorded"]) {
        failures.push(Failure::new("isRecorded", expected, &call["isRecorded"]));
    }
    let captured = captured(call, Track::Inbound);
    if let Some(count) = scenario.expect.captured_frames.filter(|count| !count.holds(captured)) {
        failures.push(Failure::new("captured frames", format!("{count:?}"), captured));
    }
    match (&found.contents, call["recording"]["state"].as_str()) {
        (Some(contents), _) => recorded(scenario, seen, contents, call, &mut failures),
        // What is not stored cannot be opened, and so must not have been captured for keeping.
        (None, Some("NOT_STARTED")) if captured > 0 => failures.push(Failure::new("captured frames", "none without a recording", captured)),
        (None, state) if state != Some("FINISHED") && !scenario.expect.must_hear.is_empty() => {
            failures.push(Failure::new("heard", scenario.expect.must_hear.join(", "), "no recording"));
        }
        (None, _) => {}
    }
    failures
}

/// What the socket alone shows.
fn at_the_socket(scenario: &Scenario, seen: &Seen) -> Vec<Failure> {
    if let Some(why) = &seen.refused {
        return vec![Failure::new("the call", "to take place", why)];
    }
    let mut failures = Vec::new();
    let asks = scenario.mode != "capture" && scenario.answered_by.is_none();
    let decides = matches!(scenario.expect.consent.as_deref(), Some("GRANTED" | "REVOKED"));
    let handed_back = scenario.mode == "consent" && scenario.steps.iter().any(|step| step.until.as_deref() == Some("closed"));
    let hangs_up = scenario.steps.iter().any(|step| step.hang_up);
    for (wrong, what, expected, seen) in [
        (asks && seen.first_audio_ms.is_none(), "the prompt", "heard", "no audio came"),
        (asks && decides && !seen.reacted, "a reaction", "a clear, a closing line or the socket's end", "none"),
        (handed_back && !seen.closed_by_gateway, "the socket", "closed by the gateway", "left open"),
        (hangs_up && seen.closed_by_gateway, "the socket", "left open until the caller hangs up", "closed by the gateway"),
        (seen.stuck, "the socket", "read from", "nothing taken for 5 s"),
        (seen.overdue, "the call", "over in time", "still going on; see --timeout"),
        (seen.faults > 0, "messages", "media, mark and clear as Twilio takes them", "others"),
    ] {
        if wrong {
            failures.push(Failure::new(what, expected, seen));
        }
    }
    failures
}

fn captured(call: &Value, track: Track) -> u64 {
    call["recording"]["framesCaptured"][["inbound", "outbound"][track.index()]].as_u64().unwrap_or(0)
}

/// Whether exactly the frames that consent covers lie in the recording.
fn recorded(scenario: &Scenario, seen: &Seen, contents: &Contents, call: &Value, failures: &mut Vec<Failure>) {
    let covered = Covered::of(scenario, seen);
    let only = format!("only frames {} to {} and no key tone", covered.frames.start, covered.frames.end);
    if let Some((track, frame)) = contents.foreign.first() {
        failures.push(Failure::new("in the recording", only, format!("frame {frame}, {track:?} ({} in all)", contents.foreign.len())));
    }
    if let Some((track, frame)) = contents.crossed.first() {
        failures.push(Failure::new("channels", "each party on its own", format!("frame {frame}, {track:?}, on the other's")));
    }
    if let Some((channel, at)) = contents.tones.first() {
        let seen = format!("{}, the first on channel {channel} at {} ms", contents.tones.len(), at / 8);
        failures.push(Failure::new("key tones in the recording", "none", seen));
    }
    if let Some((track, frame, off)) = contents.off_place {
        failures.push(Failure::new("places", "all on one grid", format!("frame {frame}, {track:?}, {} ms off", off / 8)));
    }
    for track in Track::BOTH.into_iter().take(usize::from(scenario.tracks)) {
        complete(scenario, seen, contents, &covered, track, captured(call, track), failures);
    }
    if let (Some(first), Some(last)) = (contents.whole[0].first(), contents.whole[0].last()) {
        segments(seen, &covered, first.0, last.0, &call["recording"]["segments"], failures);
    }
    for (fixtures, must) in [(&scenario.expect.must_hear, true), (&scenario.expect.must_not_hear, false)] {
        for fixture in fixtures {
            let spoken: Vec<_> = seen.spoken.iter().filter(|spoken| spoken.fixture == *fixture).collect();
            let all: usize = spoken.iter().map(|spoken| (spoken.from..spoken.to).filter(|frame| !seen.lost.contains(frame)).count()).sum();
            let count = |frames: &dyn Fn(Track) -> HashSet<usize>| -> usize {
                spoken.iter().map(|spoken| (spoken.from..spoken.to).filter(|frame| frames(spoken.track).contains(frame)).count()).sum()
            };
            let whole = count(&|track| contents.whole[track.index()].iter().map(|(frame, _)| *frame).collect());
            let any = count(&|track| contents.any[track.index()].iter().copied().collect());
            if must && (all == 0 || whole * 20 < all * 19) {
                failures.push(Failure::new("heard", format!("{fixture}, {all} frames"), format!("{whole} of them")));
            } else if !must && any > 0 {
                failures.push(Failure::new("heard", format!("nothing of {fixture}"), format!("{any} of its {all} frames")));
            }
        }
    }
}

/// Whether all that consent covers of a track is there.
fn complete(
    scenario: &Scenario,
    seen: &Seen,
    contents: &Contents,
    covered: &Covered,
    track: Track,
    captured: u64,
    failures: &mut Vec<Failure>,
) {
    let whole: HashSet<usize> = contents.whole[track.index()].iter().map(|(frame, _)| *frame).collect();
    let (Some(first), Some(last)) = (whole.iter().min().copied(), whole.iter().max().copied()) else {
        failures.push(Failure::new("in the recording", format!("the caller's frames, {track:?}"), "none"));
        return;
    };
    let blanked = if track == Track::Inbound { covered.blanked() } else { HashSet::new() };
    let silent = |frame: usize| seen.frames[track.index()].get(frame).is_some_and(|codes| codes.iter().all(|code| *code == 0xFF));
    let excused = |frame: usize| blanked.contains(&frame) || seen.lost.contains(&frame) || silent(frame);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of frames")]
    let begun_within = (BEGUN_WITHIN_MS * seen.speed / FRAME_MS as f64) as usize;
    if first > covered.frames.start.saturating_add(begun_within) {
        failures.push(Failure::new("capture", format!("begun soon after frame {}", covered.frames.start), format!("begun at {first}")));
    }
    let missing: Vec<usize> = (first..=last).filter(|frame| !whole.contains(frame) && !excused(*frame)).collect();
    if let Some(frame) = missing.first() {
        let seen = format!("{} missing, the first is {frame}", missing.len());
        failures.push(Failure::new("in the recording", format!("every consented frame, {track:?}"), seen));
    }
    let may_lack = match scenario.expect.cut_at_key {
        Some(_) => usize::try_from(scenario.expect.lost_at_most).unwrap_or(usize::MAX),
        None if seen.dropped => BROKEN_FRAMES,
        None => 0,
    };
    let lacking = match scenario.expect.cut_at_key {
        Some(_) => covered.frames.end.saturating_sub(last + 1),
        None => (last + 1..covered.frames.end).filter(|frame| !excused(*frame)).count(),
    };
    if lacking > may_lack {
        let expected = format!("up to frame {}, {may_lack} may be lost, {track:?}", covered.frames.end);
        failures.push(Failure::new("captured", expected, format!("{lacking} lost, the last is {last}")));
    }
    let most = (last + 1 - first + (0..=covered.frames.end).filter(|frame| excused(*frame)).count()) as u64;
    if captured < whole.len() as u64 || captured > most {
        failures.push(Failure::new("framesCaptured", format!("{} as in the recording, {track:?}", whole.len()), captured));
    }
}

/// Whether the API's segments are where the recording's frames were.
fn segments(seen: &Seen, covered: &Covered, first: usize, last: usize, told: &Value, failures: &mut Vec<Failure>) {
    let told = told.as_array().map_or(&[][..], Vec::as_slice);
    let start = told.first().and_then(|segment| segment["startMs"].as_u64()).unwrap_or(u64::MAX);
    let end = told.last().and_then(|segment| segment["endMs"].as_u64()).unwrap_or(0);
    let starts = seen.timestamp(covered.frames.start).saturating_sub(ROUNDED_MS)..=seen.timestamp(first) + ROUNDED_MS;
    let ends = (seen.timestamp(last) + FRAME_MS).saturating_sub(ROUNDED_MS)..=seen.timestamp(covered.frames.end) + ROUNDED_MS;
    if !starts.contains(&start) || !ends.contains(&end) || told.iter().any(|segment| segment["streamSid"] != *seen.stream_sid) {
        let expected = format!("{} ms to {} ms of {}", seen.timestamp(first), seen.timestamp(last) + FRAME_MS, seen.stream_sid);
        failures.push(Failure::new("segments", expected, Value::from(told.to_vec())));
    }
}
