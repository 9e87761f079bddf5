//! THE GATE, with its delay line.
//!
//! A `Gate` exists only from a [`Receipt`] and so only after the consent record is durable (P1). It is the only
//! maker of [`Admitted`], and sinks take nothing else (P5). Frames stay in the line for [`DELAY_LINE_MS`]: when a
//! detector says that a key tone began 60 ms ago, the frames since then are still ours to drop or to blank (P3).
//!
//! A frame's place decides, never its arrival: the gate is open from a place on, and what was said before it is refused however
//! late it comes. Frames of one channel leave in the order in which they were said.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::grant::{Grant, GrantSeq, Receipt};
use super::keys::LONE_BY_WALL_MS;
use super::record::ConsentRecord;
use crate::engine::audio::frame::{Channel, FRAME_SAMPLES, Frame, Place, StreamNo};
use crate::engine::audio::g711;
use crate::engine::audio::key::Key;
use crate::engine::audio::keytone::is_fragment;
use crate::engine::time::MediaTime;

/// How long a frame waits before it is let out. Detectors know a key 55 ms after its onset at p95, hard ones later.
pub const DELAY_LINE_MS: u64 = 240;
/// How long, beyond the delay line, frames may be held back while it is open whether a key means "stop".
pub const HOLD_MAX_MS: u64 = LONE_BY_WALL_MS;
/// Audio blanked before a key tone's told onset, which may be up to 2 ms late.
const BLANK_LEAD_MS: u64 = 5;
/// Audio blanked after a key tone's told end.
const BLANK_TAIL_MS: u64 = 15;
/// Key tones remembered at once; more within one delay line are merged into the last.
const BLANKS_MAX: usize = 8;
/// Stretches remembered of what was let out of a channel. A cut that goes back over fewer holes counts every frame exactly; the
/// oldest stretch is then all that was before, its holes forgotten, and a cut into it counts no frame too few.
const STRETCHES: usize = 16;
/// Slots the line keeps allocated when it is not holding: 240 ms of one channel, and a few.
const SLOTS_KEPT: usize = 16;
/// The most frames that may wait: two channels, delay and hold, frames as short as 10 ms.
const SLOTS_MAX: usize = ((DELAY_LINE_MS + HOLD_MAX_MS) / 10 * 2) as usize + SLOTS_KEPT;

/// Open, by being there. Dropping it closes it; so does a panic, a lost task, a lost lease.
pub struct Gate {
    receipt: Receipt<Grant>,
    line: VecDeque<Frame>,
    /// Of which stream frames are taken in, and from which place of the client's and of the other party's channel on: never before
    /// what was let out of it.
    from: (StreamNo, [Place; 2]),
    /// Newest end seen on the stream that the line is filled from.
    clock: (StreamNo, Place),
    hold: Option<Place>,
    blanks: [Vec<Blank>; 2],
    /// How far any frame of a stream that was let out reaches.
    reached: Option<(StreamNo, Place)>,
    /// What each channel was let out of the stream that the line is filled from, newest last: for counting, where `reached` is
    /// for cutting.
    gone: [Vec<Stretch>; 2],
    /// Keys whose fragments are looked for, on which stream, and until where.
    wanted: [Option<(Key, StreamNo, Place)>; 2],
}

/// A frame that consent covers: blanked where a key sounded, readable, and tied to the entry that allows it.
#[derive(Clone)]
pub struct Admitted {
    frame: Frame,
    grant: GrantSeq,
}

/// Where `Gate::admit` puts what it lets out. Reused, so that a frame allocates nothing; only the gate fills it.
#[derive(Default)]
pub struct Batch {
    admitted: Vec<Admitted>,
}

/// What a closed gate leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cut {
    /// Frames dropped from the line, client's and other party's.
    pub dropped: [u64; 2],
    /// Set when frames past the cut had already been let out: sinks must go back to this place of this stream.
    pub back_to: Option<(StreamNo, Place)>,
    /// How many frames that reach past it had been let out, client's and other party's. Never too few: beyond sixteen stretches as if
    /// nothing were missing, so that nobody is told of more than was captured.
    pub let_out: [u64; 2],
    /// How many samples past it the last of them ends.
    pub past: u64,
}

#[derive(Clone, Copy)]
struct Blank {
    stream: StreamNo,
    from: Place,
    to: Option<Place>,
}

/// Frames that were let out one after the other.
#[derive(Clone, Copy)]
struct Stretch {
    from: Place,
    to: Place,
    frames: u64,
    /// Of the shortest of them.
    length: u64,
    /// All of that length, and nothing is missing between them.
    gapless: bool,
}

impl Stretch {
    fn of(frame: &Frame) -> Self {
        Self { from: frame.at, to: frame.end(), frames: 1, length: frame.len() as u64, gapless: true }
    }

    /// Takes in the frame that follows, if it does.
    fn takes(&mut self, frame: &Frame) -> bool {
        let follows = self.gapless && self.length == frame.len() as u64 && self.to == frame.at;
        if follows {
            self.frames += 1;
            self.to = frame.end();
        }
        follows
    }

    /// Both as one, whose holes are forgotten.
    fn joined(older: Self, newer: Self) -> Self {
        let length = older.length.min(newer.length);
        Self { from: older.from, to: newer.to, frames: older.frames + newer.frames, length, gapless: false }
    }

    /// Forgets what reaches past `at`, and how many frames that are; never too few.
    fn cut(&mut self, at: Place) -> u64 {
        if at >= self.to {
            return 0;
        }
        let past = if self.gapless {
            self.frames - at.0.saturating_sub(self.from.0).checked_div(self.length).unwrap_or(0).min(self.frames)
        } else if at <= self.from {
            self.frames
        } else {
            (self.to.0 - at.0).div_ceil(self.length.max(1)).min(self.frames)
        };
        self.frames -= past;
        self.to = if self.gapless { self.from.plus(self.frames * self.length) } else { at.max(self.from) };
        past
    }
}

impl Gate {
    /// Opens. The receipt is eaten: one record, one opening.
    #[must_use]
    pub fn open(receipt: Receipt<Grant>) -> Self {
        Self {
            receipt,
            line: VecDeque::with_capacity(SLOTS_KEPT),
            from: (StreamNo(0), [Place(0); 2]),
            clock: (StreamNo(0), Place(0)),
            hold: None,
            blanks: [Vec::new(), Vec::new()],
            reached: None,
            gone: [Vec::with_capacity(1), Vec::with_capacity(1)],
            wanted: [None; 2],
        }
    }

    /// The consent record it stands on.
    #[must_use]
    pub const fn record(&self) -> &Arc<ConsentRecord> {
        self.receipt.record()
    }

    /// The ledger entry it stands on.
    #[must_use]
    pub fn seq(&self) -> GrantSeq {
        self.receipt.seq()
    }

    /// The stream that the line is filled from.
    #[must_use]
    pub const fn stream(&self) -> StreamNo {
        self.clock.0
    }

    /// Takes in what was said on `stream` from these places of its two channels on, and nothing that was said before.
    pub const fn take_from(&mut self, stream: StreamNo, from: [Place; 2]) {
        self.from = (stream, from);
    }

    /// Takes a frame into the line and lets out what has waited long enough. Returns how many frames are not taken in: this
    /// one, if it was said where the gate was not open, or comes later than what was said after it has left; and those that had to
    /// be thrown away because the line was full: none, unless a hold was never lifted.
    pub fn admit(&mut self, mut frame: Frame, out: &mut Batch) -> u64 {
        let (stream, from) = self.from;
        if frame.stream != stream || frame.at < from[frame.channel.index()] {
            return 1;
        }
        if frame.stream != self.clock.0 {
            // A new stream's clock starts anew; what the old one left in the line has no cut left to wait for.
            self.let_out_all(out);
            self.clock = (frame.stream, frame.end());
            self.gone.iter_mut().for_each(Vec::clear);
        }
        self.clock.1 = self.clock.1.max(frame.end());
        match self.wanted[frame.channel.index()] {
            Some((key, stream, until)) if stream == frame.stream && frame.at <= until => blank_fragments(key, &mut frame),
            Some(_) => self.wanted[frame.channel.index()] = None,
            None => {}
        }
        let mut lost = 0;
        if self.line.len() == SLOTS_MAX {
            self.line.pop_front();
            lost = 1;
        }
        self.enqueue(frame);
        self.let_out_ripe(out);
        lost
    }

    /// At the end of the line, or before what was said after it on its channel.
    fn enqueue(&mut self, frame: Frame) {
        let follows = |waiting: &Frame| waiting.channel == frame.channel && waiting.stream == frame.stream && waiting.at > frame.at;
        let last = self.line.iter().rfind(|waiting| waiting.channel == frame.channel);
        match last.filter(|last| follows(last)).and_then(|_| self.line.iter().position(follows)) {
            Some(late) => self.line.insert(late, frame),
            None => self.line.push_back(frame),
        }
    }

    /// Time passes on `stream` without anything being taken in: what waits ripens and goes its way.
    pub fn pass(&mut self, stream: StreamNo, to: Place, out: &mut Batch) {
        if stream == self.clock.0 {
            self.clock.1 = self.clock.1.max(to);
            self.let_out_ripe(out);
        }
    }

    /// A key tone began on `channel`: everything of its stream from there on is blanked until [`Self::tone_ended`].
    pub fn tone_began(&mut self, stream: StreamNo, channel: Channel, onset: Place) {
        let blanks = &mut self.blanks[channel.index()];
        let from = onset.minus_ms(BLANK_LEAD_MS);
        if blanks.len() == BLANKS_MAX {
            blanks[BLANKS_MAX - 1].to = None;
        } else {
            blanks.push(Blank { stream, from, to: None });
        }
    }

    /// The key tone that sounded on `channel` is over.
    pub fn tone_ended(&mut self, stream: StreamNo, channel: Channel, end: Place) {
        if let Some(blank) = self.blanks[channel.index()].last_mut().filter(|blank| blank.stream == stream) {
            blank.to = Some(end.plus_ms(BLANK_TAIL_MS));
        }
    }

    /// Twilio's event told of a key at `at`, and its tone was not heard: what suppression left of it may lie anywhere
    /// near, too short to be known by itself. It is looked for in what waits, and in what comes until `until`.
    pub fn look_for(&mut self, stream: StreamNo, channel: Channel, key: Key, until: Place) {
        for frame in self.line.iter_mut().filter(|frame| frame.stream == stream && frame.channel == channel) {
            blank_fragments(key, frame);
        }
        self.wanted[channel.index()] = Some((key, stream, until));
    }

    /// Lets nothing out from `at` on, until [`Self::release`] or a cut: it is open whether a key means "stop". One key at a time
    /// is asked about: what an earlier one held goes its way.
    pub const fn hold(&mut self, at: Place) {
        self.hold = Some(at);
    }

    /// The key meant something else. What was held goes its way with the next frame.
    pub fn release(&mut self) {
        self.hold = None;
    }

    /// Whether it is open what a key means.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.hold.is_some()
    }

    /// Lets out everything that waits: the stream is over and nobody said no.
    pub fn let_out_all(&mut self, out: &mut Batch) {
        self.hold = None;
        while let Some(frame) = self.line.pop_front() {
            self.let_out(frame, out);
        }
    }

    /// The place of the oldest frame still in the line; without one, where the stream's clock stands.
    #[must_use]
    pub fn line_start(&self) -> Place {
        self.line.front().map_or(self.clock.1, |frame| frame.at)
    }

    /// How many frames wait, client's and other party's.
    #[must_use]
    pub fn waiting(&self) -> [u64; 2] {
        self.line.iter().fold([0; 2], |mut count, frame| {
            count[frame.channel.index()] += 1;
            count
        })
    }

    /// Closes for good. Frames of `stream` that end by `at` are let out; what reaches past it is dropped, and where it was
    /// already let out the answer says how far the sinks must go back. While it is open whether a key means "stop", nothing
    /// from that key on is let out by anybody's cut.
    #[must_use]
    pub fn cut(mut self, stream: StreamNo, at: Place, out: &mut Batch) -> Cut {
        self.cut_back(stream, at, out)
    }

    /// The same of what was taken in so far, and stays open for what comes.
    #[must_use]
    pub fn cut_back(&mut self, stream: StreamNo, at: Place, out: &mut Batch) -> Cut {
        let mut cut = Cut::default();
        if stream != self.clock.0 {
            // Nothing of it was taken in yet: what waits was said before it began.
            self.let_out_all(out);
            return cut;
        }
        let at = self.hold.take().map_or(at, |held| held.min(at));
        while let Some(frame) = self.line.pop_front() {
            if frame.end() <= at {
                self.let_out(frame, out);
            } else {
                cut.dropped[frame.channel.index()] += 1;
            }
        }
        for (let_out, gone) in cut.let_out.iter_mut().zip(&mut self.gone) {
            // What was cut once is not counted again by the next cut.
            *let_out += gone.iter_mut().map(|stretch| stretch.cut(at)).sum::<u64>();
        }
        let reached = self.reached.filter(|(reached, _)| *reached == stream).map_or(at, |(_, end)| end);
        cut.past = reached.0.saturating_sub(at.0);
        cut.back_to = (cut.past > 0).then_some((stream, at));
        if cut.past > 0 {
            self.reached = Some((stream, at));
        }
        cut
    }

    fn let_out_ripe(&mut self, out: &mut Batch) {
        let (_, clock) = self.clock;
        while let Some(frame) = self.line.front() {
            let ripe = clock.0.saturating_sub(frame.end().0) >= Place::default().plus_ms(DELAY_LINE_MS).0;
            let held = self.hold.is_some_and(|held| frame.end() > held);
            if !ripe || held {
                break;
            }
            if let Some(frame) = self.line.pop_front() {
                self.let_out(frame, out);
            }
        }
        if self.hold.is_none() && self.line.capacity() > SLOTS_KEPT * 2 && self.line.len() < SLOTS_KEPT {
            self.line.shrink_to(SLOTS_KEPT);
        }
    }

    fn let_out(&mut self, mut frame: Frame, out: &mut Batch) {
        let blanks = &mut self.blanks[frame.channel.index()];
        if !blanks.is_empty() {
            let (stream, start, end) = (frame.stream, frame.at.0, frame.end().0);
            for blank in blanks.iter().filter(|blank| blank.stream == stream) {
                let from = blank.from.0.clamp(start, end) - start;
                let to = blank.to.map_or(end, |to| to.0.clamp(start, end)) - start;
                if let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to))
                    && from < to
                {
                    frame.codes_mut()[from..to].fill(g711::SILENCE);
                }
            }
            // Frames of one channel leave in order, so a tone that ended a delay line ago touches nothing to come.
            let past = start.saturating_sub(Place::default().plus_ms(DELAY_LINE_MS).0);
            blanks.retain(|blank| match blank.stream.cmp(&stream) {
                Ordering::Less => false,
                Ordering::Equal => blank.to.is_none_or(|to| to.0 > past),
                Ordering::Greater => true,
            });
        }
        let end = frame.end();
        let (stream, from) = &mut self.from;
        if *stream == frame.stream {
            // What waited while the gate was shut, in a short pause, lies before it.
            let from = &mut from[frame.channel.index()];
            *from = end.max(*from);
        }
        if self.reached.is_none_or(|(stream, reached)| stream != frame.stream || reached < end) {
            self.reached = Some((frame.stream, end));
        }
        note(&mut self.gone[frame.channel.index()], &frame);
        out.admitted.push(Admitted { frame, grant: self.receipt.seq() });
    }
}

/// A frame was let out: it goes on with the newest stretch, or begins one. Of seventeen the two oldest become one.
fn note(gone: &mut Vec<Stretch>, frame: &Frame) {
    if gone.last_mut().is_some_and(|newest| newest.takes(frame)) {
        return;
    }
    if gone.len() == STRETCHES {
        let older = gone.remove(1);
        gone[0] = Stretch::joined(gone[0], older);
    }
    gone.push(Stretch::of(frame));
}

/// Blanks the halves of a frame in which a fragment of a key's tone may lie.
fn blank_fragments(key: Key, frame: &mut Frame) {
    let half = FRAME_SAMPLES / 2;
    for piece in frame.codes_mut().chunks_mut(half) {
        let mut samples = [0i16; FRAME_SAMPLES];
        for (sample, code) in samples.iter_mut().zip(piece.iter()) {
            *sample = g711::decode(*code);
        }
        if is_fragment(key, &samples[..piece.len()]) {
            piece.fill(g711::SILENCE);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate(entry {}, {} frames waiting)", self.receipt.seq().0, self.line.len())
    }
}

// === impl Admitted ===

impl Admitted {
    /// Whose voice.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.frame.channel
    }

    /// The stream it came on.
    #[must_use]
    pub const fn stream(&self) -> StreamNo {
        self.frame.stream
    }

    /// Place of its first sample on its stream's time line.
    #[must_use]
    pub const fn at(&self) -> Place {
        self.frame.at
    }

    /// Twilio's timestamp of it.
    #[must_use]
    pub const fn timestamp(&self) -> MediaTime {
        self.frame.timestamp
    }

    /// Its mu-law codes, key tones blanked.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        self.frame.codes()
    }

    /// The ledger entry that allows it.
    #[must_use]
    pub const fn grant(&self) -> GrantSeq {
        self.grant
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Admitted({:?} by entry {})", self.frame, self.grant.0)
    }
}

// === impl Batch ===

impl Batch {
    /// What was let out, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Admitted> {
        self.admitted.iter()
    }

    /// How many frames were let out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.admitted.len()
    }

    /// Whether nothing was let out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.admitted.is_empty()
    }

    /// Forgets what was let out and keeps the room.
    pub fn clear(&mut self) {
        self.admitted.clear();
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Admitted;
    type IntoIter = std::slice::Iter<'a, Admitted>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consent::testing;

    #[test]
    fn frames_of_a_channel_leave_in_the_order_in_which_they_were_said() {
        let frame = |n: u64| Frame::new(Channel::Client, StreamNo(0), Place(n * 160), MediaTime(n * 20), &[0x55; 160]);
        let (mut gate, mut out) = (Gate::open(testing::receipt("record")), Batch::default());
        let (soon, late) = ([35, 33], [5, 7, 28]);
        for n in (0..=40).filter(|n| !soon.contains(n) && !late.contains(n)).chain(soon) {
            assert_eq!(gate.admit(frame(n), &mut out), 0);
        }
        for n in late {
            assert_eq!(gate.admit(frame(n), &mut out), u64::from(n < 28), "{n}: what was said after 5 and 7 has left");
        }
        for n in 41..=52 {
            gate.admit(frame(n), &mut out);
        }
        let let_out: Vec<_> = out.iter().map(|frame| frame.at().0 / 160).collect();
        assert_eq!(let_out, (0..=40).filter(|n| ![5, 7].contains(n)).collect::<Vec<_>>());
        let cut = gate.cut(StreamNo(0), Place(30 * 160), &mut out);
        assert_eq!((cut.back_to, cut.past), (Some((StreamNo(0), Place(30 * 160))), 11 * 160), "sinks hold frames 30 to 40");
        assert_eq!((cut.let_out, cut.dropped), ([11, 0], [12, 0]));
    }

    #[test]
    fn what_was_said_before_the_gate_was_open_is_refused_however_late_it_comes() {
        let frame = |channel, stream, n: u64| Frame::new(channel, StreamNo(stream), Place(n * 160), MediaTime(n * 20), &[0x55; 160]);
        let (mut gate, mut out) = (Gate::open(testing::receipt("record")), Batch::default());
        gate.take_from(StreamNo(1), [Place(10 * 160), Place(12 * 160)]);
        for (n, refused) in [(11, [0, 1]), (9, [1, 1]), (10, [0, 1]), (12, [0, 0])] {
            let refusals = Channel::BOTH.map(|channel| gate.admit(frame(channel, 1, n), &mut out));
            assert_eq!(refusals, refused, "{n}");
        }
        assert_eq!(gate.admit(frame(Channel::Client, 0, 20), &mut out), 1, "another stream");
        gate.take_from(StreamNo(1), [Place(20 * 160); 2]);
        assert_eq!(gate.admit(frame(Channel::Client, 1, 15), &mut out), 1, "said in a pause");
        gate.let_out_all(&mut out);
        assert_eq!(out.iter().map(|frame| frame.at().0 / 160).collect::<Vec<_>>(), [10, 11, 12, 12]);
    }

    #[test]
    fn a_gate_that_was_cut_back_goes_on_and_counts_nothing_twice() {
        let frame = |n: u64| Frame::new(Channel::Client, StreamNo(0), Place(n * 160), MediaTime(n * 20), &[0x55; 160]);
        let (mut gate, mut out) = (Gate::open(testing::receipt("record")), Batch::default());
        for n in 0..=52 {
            gate.admit(frame(n), &mut out);
        }
        out.clear();
        let cut = gate.cut_back(StreamNo(0), Place(30 * 160), &mut out);
        assert_eq!((cut.let_out, cut.dropped, out.len()), ([11, 0], [12, 0], 0), "frames 30 to 40 were out, 41 to 52 waited");
        for n in 60..=80 {
            gate.admit(frame(n), &mut out);
        }
        let let_out: Vec<_> = out.iter().map(|frame| frame.at().0 / 160).collect();
        assert_eq!(let_out, (60..=68).collect::<Vec<_>>());
        let cut = gate.cut(StreamNo(0), Place(25 * 160), &mut out);
        assert_eq!(cut.let_out, [5 + 9, 0], "25 to 29 and what came after the first cut");
    }

    /// Frames 0 to 400 with a hole after every five, cut at `at`: what is counted back, and what was there to count.
    fn cut_over_holes(at: u64) -> (u64, u64) {
        let frame = |n: u64| Frame::new(Channel::Client, StreamNo(0), Place(n * 160), MediaTime(n * 20), &[0x55; 160]);
        let (mut gate, mut out) = (Gate::open(testing::receipt("record")), Batch::default());
        for n in (0..400).filter(|n| n % 6 != 5) {
            gate.admit(frame(n), &mut out);
        }
        let past = out.iter().filter(|frame| frame.at().0 >= at * 160).count() as u64;
        (gate.cut(StreamNo(0), Place(at * 160), &mut out).let_out[0], past)
    }

    #[test]
    fn a_cut_over_a_few_holes_counts_every_frame() {
        for at in 310..388 {
            let (counted, past) = cut_over_holes(at);
            assert_eq!(counted, past, "cut at frame {at}");
        }
    }

    #[test]
    fn a_cut_over_many_holes_never_leaves_more_counted_than_was_captured() {
        for at in 0..310 {
            let (counted, past) = cut_over_holes(at);
            let holes = (310 - at) / 6 + 1;
            assert!((past..=past + holes).contains(&counted), "cut at frame {at}: {counted} counted, {past} were past it");
        }
    }
}
