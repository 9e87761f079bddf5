//! One grid for all: where each captured frame lies in the recording, and what lies between them.
//!
//! A frame's place on its stream's media time line decides, never its arrival. Holes are silence, repeats do not
//! double, a later stream lies where the wall says it began. Client left, other party right.

use std::io;

use serde::Serialize;

use crate::engine::audio::frame::{Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::call::PartyKind;
use crate::engine::time::SAMPLES_PER_MS;
use crate::io::spool::{PauseGaps, Record, SpooledFrame, SpooledPause, SpooledStream, SpooledTransfer};

/// Frames of two streams may be this far out of order; what comes later than that is dropped, and counted.
const WINDOW: usize = 2 * 8_000;
/// A stretch without frames longer than this begins a new segment.
const SEGMENT_GAP_MS: u64 = 1_000;
/// No recording is longer: four hours, Twilio's own limit of a call, and what a wild timestamp may add.
const SAMPLES_MAX: u64 = 6 * 3_600 * 8_000;

/// A stretch of one stream without a gap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stretch {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Twilio's timestamp of the first frame captured.
    pub start_ms: u64,
    /// Just past the last.
    pub end_ms: u64,
    /// Where it begins in the recording.
    pub at_ms: u64,
}

/// A pause: nothing was captured between its ends, each told in the milliseconds of its stream.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Where it began.
    pub start_ms: u64,
    /// Where it was over, if it ended before the recording did.
    pub end_ms: Option<u64>,
    /// `PAYMENT`, `IDENTITY`, `MEDICAL` or `OTHER`.
    pub reason: String,
    /// Where it lies in the recording.
    pub at_ms: u64,
}

/// The gate was shut as of here: what had been captured behind it, up to then, was taken back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Where on it.
    pub stream_ms: u64,
    /// Where that lies in the recording.
    pub at_ms: u64,
}

/// A tone that told of the recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beep {
    /// Twilio's id of the stream it was sent into.
    pub stream_sid: String,
    /// Where that stream stood then.
    pub start_ms: u64,
    /// Where that lies in the recording.
    pub at_ms: u64,
}

/// The call was handed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// When.
    pub at: String,
    /// To what.
    pub to: PartyKind,
    /// Whether the new party was captured.
    pub captured: bool,
    /// Twilio's id of the stream that was captured until then.
    pub stream_sid: String,
    /// Where on it, in milliseconds.
    pub stream_ms: u64,
    /// Where it lies in the recording.
    pub at_ms: u64,
}

/// What the first pass found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Samples of lead before the first captured frame.
    pub lead: u64,
    /// Length of the whole, lead included.
    pub samples: u64,
    /// Frames of the client and of the other party.
    pub frames: [u64; 2],
    /// What was captured of which stream.
    pub segments: Vec<Stretch>,
    /// The pauses in it.
    pub pauses: Vec<Pause>,
    /// The tones that told of it.
    pub beeps: Vec<Beep>,
    /// To whom the call was handed over meanwhile.
    pub transfers: Vec<Transfer>,
    /// Whether the spool was sealed; if not, a crash ended it.
    pub sealed: bool,
    /// Set if the spool is damaged: what came before is here. Set, too, if it holds frames for which there is no room.
    pub damage: Option<String>,
    /// Whether all that is to be silent of it is known; nothing, if recordings are not silenced.
    pub all_silenced: Option<bool>,
    /// Frames that lie beyond [`SAMPLES_MAX`], before the first one of their stream, or in what was written already.
    without_room: u64,
    /// What lies before is written when a frame is laid out.
    written: u64,
    streams: Vec<Origin>,
    /// Streams and places of the tones; of a place nothing is known before the first frame has one.
    beeped: Vec<(u8, u64)>,
    cuts: Vec<(u64, u8, u64)>,
    late: Option<LateCut>,
    gaps: PauseGaps,
    /// Stretches of time that are left out, if they are: where they would begin and end in the recording.
    left_out: Vec<(u64, u64)>,
    /// Stretches of it in which nothing is to be heard, in samples of the recording, in order.
    silent: Vec<(u64, u64)>,
    /// Where the pause in force began.
    pausing: Option<u64>,
    /// Where the last pause was over: stream and place. What comes from there on is a segment of its own.
    resumed: Option<(u8, u64)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Origin {
    spooled: SpooledStream,
    /// Place of its first frame, and where that lies in the recording.
    first: Option<(u64, u64)>,
}

/// A cut that the spool does not tell of, since it ends before it: see [`Plan::of`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LateCut {
    /// Twilio's id of the stream.
    pub stream_sid: String,
    /// Where.
    pub at: Place,
}

/// Something sensitive is said between these places: nothing of it is to be heard, on either channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// Of which stream.
    pub stream: StreamNo,
    /// From here.
    pub from: Place,
    /// Up to here.
    pub to: Place,
}

/// A stretch of the recording that was silenced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Silenced {
    /// From here.
    pub start_ms: u64,
    /// Up to here.
    pub end_ms: u64,
}

impl Plan {
    /// Measures a spool, in one pass, or two if something was cut from it; in memory that does not grow with its length.
    /// A damaged spool is measured as far as it is whole. `late` is for a spool that was not ended by its call: what
    /// the ledger knows to be cut, though the process did not live to write it here.
    ///
    /// # Errors
    /// If `records` cannot be begun.
    pub fn of<R: Iterator<Item = io::Result<Record>>>(
        records: impl Fn() -> io::Result<R>,
        lead: u64,
        late: Option<LateCut>,
    ) -> io::Result<Self> {
        let empty = Self { lead, late, written: lead, ..Self::default() };
        let plan = empty.clone().measured(records()?);
        if plan.cuts.is_empty() {
            return Ok(plan);
        }
        // A cut reaches back: only now is it known which frames count.
        let again = Self { cuts: plan.cuts, ..empty }.measured(records()?);
        Ok(again)
    }

    fn measured(mut self, records: impl Iterator<Item = io::Result<Record>>) -> Self {
        let known = self.cuts.len();
        for (index, record) in (0u64..).zip(records) {
            match record {
                Ok(Record::Head(head)) => self.gaps = head.pauses,
                Ok(Record::Pause(pause)) => self.pause(pause),
                Ok(Record::Transfer(transfer)) => self.transfer(transfer),
                Ok(Record::Stream(spooled)) => self.stream(spooled),
                Ok(Record::Frame(frame)) => self.frame(index, &frame),
                Ok(Record::Beep(stream, at)) if !self.is_cut(index, stream.0, at.0) => self.beeped.push((stream.0, at.0)),
                Ok(Record::Beep(..)) => {}
                Ok(Record::Cut(stream, at)) if known == 0 => self.cuts.push((index, stream.0, at.0)),
                Ok(Record::Cut(..)) => {}
                Ok(Record::Sealed) => self.sealed = true,
                Err(why) => {
                    self.damage = Some(why.to_string());
                    break;
                }
            }
        }
        if self.without_room > 0 && self.damage.is_none() {
            self.damage = Some(format!("there is no room in the recording for {} of its frames", self.without_room));
        }
        self.samples = self.samples.max(self.lead);
        self.beeps = self.beeped.iter().filter_map(|(stream, at)| self.beep(*stream, *at)).collect();
        self
    }

    /// Nothing is to be heard between these places of these streams; whether that is all there is to silence.
    #[must_use]
    pub fn silent(mut self, between: &[Silence], all: Option<bool>) -> Self {
        self.all_silenced = all;
        for silence in between {
            let places = (self.sample_of(silence.stream, silence.from), self.sample_of(silence.stream, silence.to));
            if let (Some(from), Some(to)) = places
                && from < to
            {
                self.silent.push((from.min(self.samples), to.min(self.samples)));
            }
        }
        self.silent.sort_unstable();
        self
    }

    /// Where something was cut, by an opt-out, a spoken no or a pause that began earlier.
    #[must_use]
    pub fn cut_at(&self) -> Vec<Cut> {
        let late = self.late.iter().filter_map(|cut| {
            let of_sid = self.streams.iter().find(|origin| origin.spooled.stream_sid == cut.stream_sid)?;
            Some((of_sid.spooled.stream, cut.at.0))
        });
        let places = self.cuts.iter().map(|(_, stream, at)| (*stream, *at)).chain(late);
        let told = |(stream, at): (u8, u64)| {
            let origin = self.streams.iter().find(|origin| origin.spooled.stream == stream)?;
            let place = self.sample_of(StreamNo(stream), Place(at)).map_or(self.lead, |place| place.min(self.samples));
            Some(Cut { stream_sid: origin.spooled.stream_sid.clone(), stream_ms: at / SAMPLES_PER_MS, at_ms: place / SAMPLES_PER_MS })
        };
        places.filter_map(told).collect()
    }

    /// The silences in milliseconds.
    #[must_use]
    pub fn silences(&self) -> Vec<Silenced> {
        let ms = |(from, to): &(u64, u64)| Silenced { start_ms: from / SAMPLES_PER_MS, end_ms: to.div_ceil(SAMPLES_PER_MS) };
        self.silent.iter().map(ms).collect()
    }

    fn sample_of(&self, stream: StreamNo, at: Place) -> Option<u64> {
        let origin = self.streams.iter().find(|origin| origin.spooled.stream == stream.0)?;
        let (first, start) = origin.first?;
        Some(self.kept((start + at.0).saturating_sub(first)))
    }

    fn frame(&mut self, index: u64, frame: &SpooledFrame) {
        let (stream, at, end) = (frame.stream.0, frame.at.0, frame.end().0);
        if self.is_cut(index, stream, end) {
            return;
        }
        let room = self.begin(stream, at).filter(|start| *start >= self.written && start + (end - at) <= SAMPLES_MAX);
        let Some(start) = room else {
            self.without_room += 1;
            return;
        };
        let stop = start + (end - at);
        self.written = Grid::written(self.written, stop);
        self.samples = self.samples.max(stop);
        self.frames[frame.channel.index()] += 1;
        let resumed = self.resumed.take_if(|(resumed, from)| *resumed == stream && at >= *from).is_some();
        self.stretch(stream, start, u64::from(frame.timestamp_ms), (end - at) / SAMPLES_PER_MS, resumed);
    }

    fn pause(&mut self, pause: SpooledPause) {
        let Some(origin) = self.streams.iter().find(|origin| origin.spooled.stream == pause.stream) else { return };
        let sid = origin.spooled.stream_sid.clone();
        // Before the first captured frame nothing has a place yet, and nothing is missing.
        let place = origin.first.and_then(|(first, start)| (start + pause.at).checked_sub(first));
        let ms = pause.at / SAMPLES_PER_MS;
        if let Some(reason) = pause.reason {
            let at_ms = place.map_or(self.lead, |place| self.kept(place)) / SAMPLES_PER_MS;
            self.pauses.push(Pause { stream_sid: sid, start_ms: ms, end_ms: None, reason, at_ms });
            self.pausing = place;
        } else if let Some(last) = self.pauses.last_mut() {
            last.end_ms = Some(ms);
            self.resumed = Some((pause.stream, pause.at));
            if let (PauseGaps::Cut, Some(from), Some(to)) = (self.gaps, self.pausing.take(), place) {
                self.left_out.push((from, to.max(from)));
            }
        }
    }

    /// A tone in what was captured.
    fn beep(&self, stream: u8, at: u64) -> Option<Beep> {
        let origin = self.streams.iter().find(|origin| origin.spooled.stream == stream)?;
        let (first, start) = origin.first?;
        let place = self.kept(start + at.saturating_sub(first));
        Some(Beep { stream_sid: origin.spooled.stream_sid.clone(), start_ms: at / SAMPLES_PER_MS, at_ms: place / SAMPLES_PER_MS })
    }

    fn transfer(&mut self, transfer: SpooledTransfer) {
        let Some(origin) = self.streams.iter().find(|origin| origin.spooled.stream == transfer.stream) else { return };
        let place = origin.first.and_then(|(first, start)| (start + transfer.at).checked_sub(first));
        let told = Transfer {
            at: transfer.time,
            to: transfer.to,
            captured: transfer.captured,
            stream_sid: origin.spooled.stream_sid.clone(),
            stream_ms: transfer.at / SAMPLES_PER_MS,
            at_ms: place.map_or(self.lead, |place| self.kept(place)) / SAMPLES_PER_MS,
        };
        self.transfers.push(told);
    }

    /// Where something lies once what is left out before it is.
    fn kept(&self, place: u64) -> u64 {
        place - self.left_out.iter().map(|(from, to)| place.min(*to).saturating_sub(*from)).sum::<u64>()
    }

    fn stream(&mut self, spooled: SpooledStream) {
        if !self.streams.iter().any(|origin| origin.spooled.stream == spooled.stream) {
            self.streams.push(Origin { spooled, first: None });
        }
    }

    /// Where the frame at `at` of `stream` begins in the recording; the first frame of a stream fixes its origin: where the wall says
    /// it began, and not in what was written already (media may come faster than the wall goes).
    fn begin(&mut self, stream: u8, at: u64) -> Option<u64> {
        let lead = self.lead;
        let written = self.written + self.left_out.iter().map(|(from, to)| to - from).sum::<u64>();
        let earliest = self.streams.iter().map(|origin| origin.spooled.offset_ms).min().unwrap_or(0);
        let origin = self.streams.iter_mut().find(|origin| origin.spooled.stream == stream)?;
        let offset = (origin.spooled.offset_ms - earliest) * SAMPLES_PER_MS;
        let (first, start) = *origin.first.get_or_insert((at, (lead + offset).max(written)));
        (start + at).checked_sub(first).map(|place| self.kept(place))
    }

    /// Where a place of a stream lies in the recording, in milliseconds; `None` where the recording has nothing.
    #[must_use]
    pub fn ms_of(&self, stream: StreamNo, at: Place) -> Option<u64> {
        let place = self.sample_of(stream, at)?;
        (place <= self.samples).then_some(place / SAMPLES_PER_MS)
    }

    /// Where a frame begins in the recording, by the origins of the first pass.
    fn place(&self, frame: &SpooledFrame) -> Option<u64> {
        let origin = self.streams.iter().find(|origin| origin.spooled.stream == frame.stream.0)?;
        let (first, start) = origin.first?;
        (start + frame.at.0).checked_sub(first).map(|place| self.kept(place))
    }

    fn is_cut(&self, index: u64, stream: u8, end: u64) -> bool {
        let late = self.late.as_ref().is_some_and(|cut| {
            let of_sid = self.streams.iter().find(|origin| origin.spooled.stream_sid == cut.stream_sid);
            // What came on a later stream came after it.
            of_sid.is_some_and(|of| stream > of.spooled.stream || (stream == of.spooled.stream && end > cut.at.0))
        });
        late || self.cuts.iter().any(|(cut_index, cut_stream, at)| *cut_index > index && *cut_stream == stream && end > *at)
    }

    fn stretch(&mut self, stream: u8, start: u64, timestamp_ms: u64, length_ms: u64, anew: bool) {
        let Some(origin) = self.streams.iter().find(|origin| origin.spooled.stream == stream) else { return };
        let sid = &origin.spooled.stream_sid;
        let end_ms = timestamp_ms + length_ms;
        // Streams of one call may overlap: each has its own last stretch.
        match self.segments.iter_mut().rev().find(|last| last.stream_sid == *sid) {
            Some(last) if !anew && timestamp_ms <= last.end_ms + SEGMENT_GAP_MS => last.end_ms = last.end_ms.max(end_ms),
            _ => self.segments.push(Stretch { stream_sid: sid.clone(), start_ms: timestamp_ms, end_ms, at_ms: start / SAMPLES_PER_MS }),
        }
    }
}

/// Hands the recording's samples on in order: `emit` gets left and right.
///
/// # Errors
/// What `emit` says.
pub(super) fn lay_out(
    plan: &Plan,
    lead: &[u8],
    records: impl Iterator<Item = io::Result<Record>>,
    mut emit: impl FnMut(&[[i16; 2]]) -> io::Result<()>,
) -> io::Result<()> {
    let mut grid = Grid { from: 0, window: vec![[0; 2]; WINDOW * 2] };
    let mut from = lead.len() as u64;
    // Our own prompt, on the right; never the client's audio from before the grant on the left.
    let silence = |code: &u8| [0, g711::decode(*code)];
    for piece in lead.chunks(WINDOW) {
        let piece: Vec<_> = piece.iter().map(silence).collect();
        emit(&piece)?;
    }
    grid.from = lead.len() as u64;
    let mut emit = |samples: &[[i16; 2]]| {
        let to = from + samples.len() as u64;
        let silent = plan.silent.iter().filter(|(begins, ends)| *begins < to && *ends > from);
        let silent: Vec<_> = silent.map(|(begins, ends)| (begins.saturating_sub(from), ends.min(&to) - from)).collect();
        from = to;
        if silent.is_empty() {
            return emit(samples);
        }
        let mut samples = samples.to_vec();
        for (begins, ends) in silent {
            if let (Ok(begins), Ok(ends)) = (usize::try_from(begins), usize::try_from(ends)) {
                samples[begins..ends].fill([0; 2]);
            }
        }
        emit(&samples)
    };
    for (index, record) in (0u64..).zip(records) {
        let frame = match record {
            Ok(Record::Frame(frame)) => frame,
            Ok(
                Record::Head(_)
                | Record::Stream(_)
                | Record::Cut(..)
                | Record::Pause(_)
                | Record::Beep(..)
                | Record::Transfer(_)
                | Record::Sealed,
            ) => continue,
            Err(_) => break, // the plan has told of the damage
        };
        if plan.is_cut(index, frame.stream.0, frame.end().0) {
            continue;
        }
        // What the plan has no room for, it has told of.
        if let Some(start) = plan.place(&frame).filter(|start| start + frame.codes.len() as u64 <= plan.samples) {
            grid.put(start, &frame, &mut emit)?;
        }
    }
    grid.flush_to(plan.samples, &mut emit)
}

/// A window of the recording that frames may still fall into.
struct Grid {
    from: u64,
    window: Vec<[i16; 2]>,
}

impl Grid {
    /// How far the recording is written, now that there must be room up to `stop`.
    const fn written(from: u64, stop: u64) -> u64 {
        if stop > from + 2 * WINDOW as u64 { stop - WINDOW as u64 } else { from }
    }

    fn put(&mut self, start: u64, frame: &SpooledFrame, emit: &mut impl FnMut(&[[i16; 2]]) -> io::Result<()>) -> io::Result<()> {
        let stop = start + frame.codes.len() as u64;
        self.flush_to(Self::written(self.from, stop), emit)?;
        let side = frame.channel.index();
        for (offset, code) in (0u64..).zip(&frame.codes) {
            if let Some(slot) = (start + offset).checked_sub(self.from).and_then(|at| usize::try_from(at).ok()) {
                self.window[slot][side] = g711::decode(*code);
            }
        }
        Ok(())
    }

    fn flush_to(&mut self, to: u64, emit: &mut impl FnMut(&[[i16; 2]]) -> io::Result<()>) -> io::Result<()> {
        while self.from < to {
            let count = usize::try_from(to - self.from).unwrap_or(usize::MAX).min(self.window.len());
            emit(&self.window[..count])?;
            self.window.copy_within(count.., 0);
            let kept = self.window.len() - count;
            self.window[kept..].fill([0; 2]);
            self.from += count as u64;
        }
        Ok(())
    }
}
