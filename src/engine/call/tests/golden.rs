//! The full trace of a call: every effect with all that it carries, every frame let out, and how the call stands at its
//! end. What comes fifty times a second is told as stretches.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::engine::audio::frame::{Channel, StreamNo};
use crate::engine::call::{Call, Effect, Reach, RecordingEnd};
use crate::engine::consent::Admitted;

#[derive(Default)]
pub(crate) struct Golden {
    text: String,
    played: Option<Played>,
    captured: Option<Captured>,
    stood: String,
}

/// A stretch of a prompt that is still being played.
struct Played {
    at: u64,
    what: String,
    from: usize,
    to: usize,
}

/// A stretch of both channels, in the order let out: what is said twice belongs together.
struct Captured {
    at: u64,
    stream: StreamNo,
    from: [Option<u64>; 2],
    to: [u64; 2],
    frames: [u64; 2],
    digest: Sha256,
}

impl Golden {
    /// What is done to the machine.
    pub(crate) fn input(&mut self, line: &str) {
        self.end_runs();
        let _ = writeln!(self.text, "> {line}");
    }

    pub(crate) fn captured(&mut self, at: u64, frame: &Admitted) {
        let (side, start) = (frame.channel().index(), frame.at().0);
        let goes_on = |run: &&mut Captured| run.stream == frame.stream() && (run.from[side].is_none() || run.to[side] == start);
        if self.captured.is_some() && self.captured.as_mut().filter(goes_on).is_none() {
            self.end_runs();
        }
        let fresh = || Captured { at, stream: frame.stream(), from: [None; 2], to: [0; 2], frames: [0; 2], digest: Sha256::new() };
        let run = self.captured.get_or_insert_with(fresh);
        run.from[side].get_or_insert(start);
        run.to[side] = start + frame.codes().len() as u64;
        run.frames[side] += 1;
        run.digest.update([side as u8]);
        run.digest.update(frame.timestamp().0.to_le_bytes());
        run.digest.update(frame.codes());
    }

    pub(crate) fn effect(&mut self, at: u64, effect: &Effect, call: &Call) {
        if let Effect::Play { stream, prompt, from, to } = effect {
            let what = format!("stream {} plays {} {:?}", stream.0, prompt.language.code(), prompt.line);
            match &mut self.played {
                Some(run) if run.what == what && run.to == *from => run.to = *to,
                Some(_) => {
                    self.end_runs();
                    self.played = Some(Played { at, what, from: *from, to: *to });
                }
                None => self.played = Some(Played { at, what, from: *from, to: *to }),
            }
            return;
        }
        let told = match effect {
            Effect::Play { .. } => return,
            Effect::Beep { stream, at } => format!("stream {} beeps at sample {}", stream.0, at.0),
            Effect::Beeped { stream, at } => format!("stream {} was beeped into at sample {}", stream.0, at.0),
            Effect::Say { stream, said } => format!("stream {} says {} samples", stream.0, said.0.len()),
            Effect::RelayBegins { stream, bot } => format!("stream {} is relayed to {bot}", stream.0),
            Effect::PartyWanted { stream, here: true } => format!("stream {} waits for the other party", stream.0),
            Effect::PartyWanted { stream, here: false } => format!("stream {} is over, and the other party wanted behind it", stream.0),
            Effect::RelayEnds => "relay ends".to_owned(),
            Effect::Mark { stream, play } => format!("stream {} marks play {play}", stream.0),
            Effect::Clear { stream } => format!("stream {} clears", stream.0),
            Effect::Close { stream } => format!("stream {} closes", stream.0),
            Effect::Seal(grant) => format!("seals, having seen {}: {}", grant.seen, json(&*grant.record)),
            Effect::Recall => "recalls".to_owned(),
            Effect::Refuse(record, Reach::Cut) => format!("refuses: {}", json(record)),
            Effect::Refuse(record, Reach::Recording) => format!("refuses, and takes the recording back: {}", json(record)),
            Effect::Annul(record) => format!("annuls: {}", json(record)),
            Effect::Audit(event) => format!("audits: {}", json(event)),
            Effect::RecordingBegins { grant, record, lead } => {
                let lead = lead.map(|(prompt, samples)| format!("{} {:?}, {samples} samples", prompt.language.code(), prompt.line));
                format!("recording begins by entry {}, record {}, lead {lead:?}", grant.0, record.id)
            }
            Effect::RecordedStream { stream, stream_sid } => format!("stream {} is recorded: {stream_sid}", stream.0),
            Effect::Paused { stream, at, reason } => format!("stream {} pauses at sample {}: {reason}", stream.0, at.0),
            Effect::Resumed { stream, at } => format!("stream {} resumes at sample {}", stream.0, at.0),
            Effect::Transferred { stream, at, view } => {
                format!("stream {} is transferred at sample {} to {:?}, captured {}", stream.0, at.0, view.kind, view.captured)
            }
            Effect::CutBack { stream, at } => format!("stream {} is cut back to sample {}", stream.0, at.0),
            Effect::RecordingEnds(end) => match end {
                RecordingEnd::Keep => "recording ends and is kept".to_owned(),
                RecordingEnd::Discard => "recording ends and is discarded".to_owned(),
            },
            Effect::Changed => {
                let state = call.snapshot();
                let stands =
                    format!("stands {:?} {:?} {:?} {:?}", state.phase, state.consent.status, state.recording, state.unrecorded_reason);
                if self.stood == stands {
                    return;
                }
                self.stood.clone_from(&stands);
                stands
            }
            Effect::Over => "over".to_owned(),
        };
        self.end_runs();
        let _ = writeln!(self.text, "{at:>6} {told}");
    }

    /// The whole of it, with the call as it stands at the end.
    pub(crate) fn told(&mut self, call: &Call) -> String {
        self.end_runs();
        let state = call.snapshot();
        let end = serde_json::json!({
            "phase": state.phase, "consent": state.consent, "isRecorded": state.is_recorded, "unrecordedReason": state.unrecorded_reason,
            "recording": state.recording, "captured": state.captured, "withheld": state.withheld, "segments": state.segments,
            "startedAt": state.started_at, "connectedAt": state.connected_at, "endedAt": state.ended_at,
        });
        format!("{}= {}\n", self.text, serde_json::to_string_pretty(&end).unwrap())
    }

    fn end_runs(&mut self) {
        if let Some(run) = self.played.take() {
            let _ = writeln!(self.text, "{:>6} {}, samples {}..{}", run.at, run.what, run.from, run.to);
        }
        if let Some(run) = self.captured.take() {
            let _ = write!(self.text, "{:>6} stream {} captures", run.at, run.stream.0);
            for channel in Channel::BOTH {
                let side = channel.index();
                if let Some(from) = run.from[side] {
                    let _ = write!(self.text, " {channel:?} {from}..{} in {} frames,", run.to[side], run.frames[side]);
                }
            }
            let digest = run.digest.finalize();
            let _ = writeln!(self.text, " sha256 {:02x}{:02x}{:02x}{:02x}…", digest[0], digest[1], digest[2], digest[3]);
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}
