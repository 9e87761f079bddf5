//! One call's scribe: hands audio to a recogniser a party, takes their words, and stores what may be kept of them.

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::feed::ToScribe;
use super::{Desk, Fate, LastWords, PAUSE_FIRST, TRIES};
use crate::engine::audio::frame::{Channel, Place, StreamNo};
use crate::engine::call::{RecordingEnd, RecordingState};
use crate::engine::consent::{Actor, Admitted, ConsentRecord, ConsentStatus, Method, Queues};
use crate::engine::ledger::{EventKind, Position};
use crate::engine::redact::Speaker;
use crate::engine::time::SAMPLES_PER_MS;
use crate::engine::transcript::{Decided, Document, Origins, Redaction, Transcript};
use crate::io::clock::wall;
use crate::io::database::{Revocation, Work};
use crate::io::recording::{LateCut, Silence};
use crate::io::transcriber::{Behind, Listener, Order, Told};
use crate::server::live::{event, submit, write};
use crate::server::media::{MediaHandle, ToMedia};
use crate::server::registry::Shown;

/// After a pause begins, frames that had been taken in before it still come for so long.
const STRAGGLERS_FOR: Duration = Duration::from_millis(700);
/// After the recording's end the recognisers have so long for their last words.
const STREAMS_END_WITHIN: Duration = Duration::from_secs(20);
/// What both listeners may have told and nobody has taken yet.
const TOLD_MAX: usize = 64;

struct Scribe {
    desk: Desk,
    owner: MediaHandle,
    transcript: Transcript,
    origins: Origins,
    parties: [Party; 2],
    tell: mpsc::Sender<(Speaker, Told)>,
    listeners: JoinSet<()>,
    /// What Twilio calls the streams.
    sids: Vec<(StreamNo, String)>,
    /// Where the client was heard to say no, until the call has gone back there.
    no: Option<(StreamNo, Place)>,
    /// Why something was missed, the last time.
    missed: Option<String>,
    /// Why it failed, if it did: the rest of it is not transcribed, and its state says so.
    failed: Option<String>,
}

/// One of the two, and who listens to them.
#[derive(Default)]
struct Party {
    listener: Option<Listener>,
    /// Nobody listens to them any more, from there on.
    deaf_from_ms: Option<u64>,
    /// Where their next frame lies at the earliest, on the call's line.
    next: u64,
    /// Orders to finish that are not answered yet.
    finishing: u32,
    /// Frames handed over since the last of them.
    fed: bool,
    /// Up to where their words were told.
    told_ms: u64,
    /// This batch's frames.
    frames: Vec<(u64, Admitted)>,
}

pub(super) async fn run(
    desk: Desk,
    owner: MediaHandle,
    mut words: mpsc::Receiver<ToScribe>,
    last: oneshot::Sender<LastWords>,
    fate: oneshot::Receiver<Fate>,
) {
    let (tell, mut told) = mpsc::channel(TOLD_MAX);
    desk.show(RecordingState::Active);
    let mut scribe = Scribe {
        transcript: Transcript::new(desk.scribes.policy),
        desk,
        owner,
        origins: Origins::default(),
        parties: Default::default(),
        tell,
        listeners: JoinSet::new(),
        sids: Vec::new(),
        no: None,
        missed: None,
        failed: None,
    };
    let mut finish_at = None;
    let end = loop {
        tokio::select! {
            word = words.recv() => match word {
                Some(ToScribe::Audio(batch)) => scribe.audio(batch),
                Some(ToScribe::Stream(stream, offset_ms, sid)) => {
                    scribe.origins.began(stream, offset_ms);
                    scribe.sids.push((stream, sid));
                }
                Some(ToScribe::Paused) => {
                    finish_at = Some(Instant::now() + STRAGGLERS_FOR);
                    scribe.show(RecordingState::Paused);
                }
                Some(ToScribe::Resumed(stream, at)) => {
                    if finish_at.take().is_some() {
                        scribe.finish();
                    }
                    scribe.goes_on(stream, at);
                }
                Some(ToScribe::CutBack(stream, at)) => scribe.cut_back(stream, at),
                Some(ToScribe::End(end)) => break Some(end),
                None => break None,
            },
            Some((speaker, said)) = told.recv() => scribe.hear(speaker, said),
            () = tokio::time::sleep_until(finish_at.unwrap_or_else(Instant::now)), if finish_at.is_some() => {
                finish_at = None;
                scribe.finish();
            }
        }
    };
    match end {
        Some(RecordingEnd::Keep) => {
            scribe.last_words(&mut told).await;
            scribe.conclude(last, fate).await;
        }
        Some(RecordingEnd::Discard) => scribe.discard().await,
        None => {
            scribe.fail("the gateway was too busy to transcribe the call".to_owned());
            scribe.last_words(&mut told).await;
            scribe.conclude(last, fate).await;
        }
    }
}

const fn speaker(channel: Channel) -> Speaker {
    match channel {
        Channel::Client => Speaker::Client,
        Channel::Other => Speaker::Other,
    }
}

impl Scribe {
    fn show(&self, state: RecordingState) {
        if self.failed.is_none() {
            self.desk.show(state);
        }
    }

    // === audio in ===

    fn audio(&mut self, mut batch: Vec<Admitted>) {
        for frame in batch.drain(..) {
            let Some(in_call) = self.origins.in_call(frame.stream(), frame.at()) else { continue };
            let end = in_call + frame.codes().len() as u64;
            self.origins.reached(end);
            let party = &mut self.parties[speaker(frame.channel()).index()];
            // What came out of order is in the recording; a recogniser hears only forwards.
            if in_call >= party.next {
                party.next = end;
                party.frames.push((in_call, frame));
            }
        }
        self.desk.scribes.pool.give_back(batch);
        for channel in Channel::BOTH {
            let frames = std::mem::take(&mut self.parties[speaker(channel).index()].frames);
            if !frames.is_empty() {
                self.hand(channel, frames);
            }
        }
    }

    fn hand(&mut self, channel: Channel, frames: Vec<(u64, Admitted)>) {
        let party = &mut self.parties[speaker(channel).index()];
        if party.deaf_from_ms.is_some() {
            return;
        }
        let listener = party.listener.get_or_insert_with(|| {
            let language = &self.desk.head.consent.language_code;
            let (listener, life) = self.desk.scribes.transcriber.listen(speaker(channel), language, self.tell.clone());
            self.listeners.spawn(life);
            listener
        });
        party.fed = true;
        if let Err(Behind) = listener.hand(Order::Audio(frames)) {
            self.deafen(speaker(channel), Behind.to_string());
        }
    }

    /// The gate is shut, for a while or for good: the recognisers' streams end, and what they know they tell.
    fn finish(&mut self) {
        for channel in Channel::BOTH {
            let party = &mut self.parties[speaker(channel).index()];
            let Some(listener) = party.listener.as_ref().filter(|_| std::mem::take(&mut party.fed)) else { continue };
            match listener.hand(Order::Finish) {
                Ok(()) => party.finishing += 1,
                Err(Behind) => self.deafen(speaker(channel), Behind.to_string()),
            }
        }
    }

    fn goes_on(&mut self, stream: StreamNo, at: Place) {
        if let Some(in_call) = self.origins.in_call(stream, at) {
            self.transcript.goes_on(in_call / SAMPLES_PER_MS);
        }
        self.show(RecordingState::Active);
    }

    fn cut_back(&mut self, stream: StreamNo, at: Place) {
        self.no = None;
        // A stream that nobody has told of was sent nothing of.
        if let Some(in_call) = self.origins.in_call(stream, at) {
            self.transcript.withhold(in_call / SAMPLES_PER_MS);
            self.desk.call.show([Shown::Withdrawn(in_call / SAMPLES_PER_MS)]);
        }
    }

    // === words out ===

    fn hear(&mut self, from: Speaker, told: Told) {
        match told {
            Told::Final(utterance) => {
                self.parties[from.index()].told_ms = utterance.end_ms;
                if let Some(no_ms) = self.transcript.take(utterance)
                    && let Some((stream, at)) = self.origins.in_stream(no_ms * SAMPLES_PER_MS)
                {
                    tracing::info!(call.id = %self.desk.head.call_id, "transcript: the client was heard to say no");
                    self.no.get_or_insert((stream, at));
                    self.owner.send(ToMedia::Objected(self.desk.head.call_id.clone(), stream, at));
                }
            }
            Told::Reached(ms) => {
                self.parties[from.index()].told_ms = ms;
                self.transcript.heard_until(from, ms);
            }
            Told::Missed(start_ms, end_ms, why) => {
                self.transcript.missed(from, start_ms, end_ms);
                self.missed = Some(why);
            }
            Told::Finished => {
                let party = &mut self.parties[from.index()];
                party.finishing = party.finishing.saturating_sub(1);
            }
            Told::GaveUp(why) => self.deafen(from, why.to_string()),
        }
        // After a no nothing is shown until it is known what of it is withheld.
        if self.no.is_none() {
            self.desk.call.show(self.transcript.captions().map(Shown::Caption));
        }
    }

    /// Nobody listens to this party any more.
    fn deafen(&mut self, whom: Speaker, why: String) {
        let party = &mut self.parties[whom.index()];
        party.listener = None;
        party.finishing = 0;
        party.deaf_from_ms.get_or_insert(party.told_ms);
        self.fail(why);
    }

    fn fail(&mut self, why: String) {
        if self.failed.is_none() {
            tracing::warn!(call.id = %self.desk.head.call_id, why, "transcript: failed; the call and its recording go on");
            self.desk.show(RecordingState::Failed);
            submit(&self.desk.world, self.desk.line(RecordingState::Failed, None, Some(&why), false));
            self.failed = Some(why);
        }
    }

    // === to its end ===

    /// Waits for what the recognisers still know, and no longer than they are given.
    async fn last_words(&mut self, told: &mut mpsc::Receiver<(Speaker, Told)>) {
        if self.desk.call.is_halted() {
            self.show(RecordingState::Halted);
        }
        self.finish();
        let until = Instant::now() + STREAMS_END_WITHIN;
        while self.parties.iter().any(|party| party.finishing > 0) {
            match tokio::time::timeout_at(until, told.recv()).await {
                Ok(Some((speaker, said))) => self.hear(speaker, said),
                Ok(None) | Err(_) => break,
            }
        }
        let end_ms = self.origins.newest() / SAMPLES_PER_MS;
        for whom in [Speaker::Client, Speaker::Other] {
            let party = &self.parties[whom.index()];
            let late = (party.finishing > 0).then_some(party.told_ms);
            if let Some(from_ms) = party.deaf_from_ms.or(late) {
                self.transcript.missed(whom, from_ms.min(end_ms), end_ms);
            }
            if late.is_some() {
                self.fail("the recogniser did not tell its last words in time".to_owned());
            }
        }
        self.parties = Default::default();
        self.listeners.abort_all();
    }

    /// The client said no at the very end: the recogniser told it when the call was over, and nobody else goes back for it.
    fn last_no(&mut self) -> Option<LateCut> {
        let (stream, at) = self.no.take()?;
        let (_, stream_sid) = self.sids.iter().find(|(known, _)| *known == stream)?;
        if let Some(in_call) = self.origins.in_call(stream, at) {
            self.transcript.withhold(in_call / SAMPLES_PER_MS);
        }
        Some(LateCut { stream_sid: stream_sid.clone(), at })
    }

    /// Where the recording is to be silent.
    fn silences(&self, decided: &Decided) -> Vec<Silence> {
        let place = |ms: u64| self.origins.in_stream(ms * SAMPLES_PER_MS);
        let silence = |(start_ms, end_ms): (u64, u64)| {
            let ((stream, from), (last, to)) = (place(start_ms)?, place(end_ms)?);
            // Into a later stream it does not reach: then the rest of this one is meant.
            let to = if last == stream { to } else { Place(u64::MAX / 2) };
            Some(Silence { stream, from, to })
        };
        decided.silences().into_iter().filter_map(silence).collect()
    }

    async fn conclude(mut self, last: oneshot::Sender<LastWords>, fate: oneshot::Receiver<Fate>) {
        let cut = self.last_no();
        let decided = std::mem::replace(&mut self.transcript, Transcript::new(self.desk.scribes.policy)).finish();
        let silences = if self.desk.scribes.audio { self.silences(&decided) } else { Vec::new() };
        let all_heard = self.desk.scribes.audio.then(|| decided.is_complete() && self.failed.is_none());
        // First of all the sealer, who waits.
        let waited = last.send(LastWords { cut: cut.clone(), silences, all_heard }).is_ok();
        if let Some(cut) = &cut {
            self.desk.refuse(&cut.stream_sid, cut.at, waited);
        }
        match fate.await {
            Ok(Fate::Kept(plan)) => {
                let finished = decided.placed(|ms| {
                    let (stream, at) = self.origins.in_stream(ms * SAMPLES_PER_MS)?;
                    plan.ms_of(stream, at)
                });
                // Something was missed, and nothing told: that is no transcript.
                if finished.lines.is_empty()
                    && let Some(why) = self.missed.take()
                {
                    self.fail(why);
                }
                if let (true, Some(why)) = (finished.lines.is_empty(), &self.failed) {
                    // The line in the chain says so already.
                    self.desk.settle(RecordingState::Failed, Some(why)).await;
                    return;
                }
                let head = &self.desk.head;
                let complete = finished.complete && self.failed.is_none();
                let document = Document {
                    transcript_id: self.desk.transcript_id.clone(),
                    version: 1,
                    redaction: Redaction::Redacted,
                    policy: finished.policy,
                    recording_id: head.recording_id.clone(),
                    call_id: head.call_id.clone(),
                    client_id: head.client_id.clone(),
                    org_id: head.org_id.clone(),
                    ledger_seq: head.grant_seq,
                    language_code: head.consent.language_code.clone(),
                    recogniser: self.desk.scribes.transcriber.protocol().word().to_owned(),
                    created_at: self.desk.began.to_string(),
                    complete,
                    missed: finished.missed,
                    utterances: finished.lines,
                };
                self.desk.store(&document, self.failed.as_deref()).await;
            }
            Ok(Fate::Discarded) => self.discard().await,
            Ok(Fate::Failed) | Err(_) => {
                let why = "its recording could not be stored";
                self.desk.note(RecordingState::Failed, None, Some(why), false).await;
                self.desk.settle(RecordingState::Failed, Some(why)).await;
            }
        }
    }

    async fn discard(self) {
        let Self { desk, listeners, .. } = self;
        drop(listeners);
        desk.note(RecordingState::Discarded, None, None, false).await;
        desk.settle(RecordingState::Discarded, None).await;
    }
}

impl Desk {
    /// A no that was heard after the call: where the recording ends, and the client's record. Nobody can ask the client any more, so
    /// it stands. `in_time`: the recording was not stored yet, and ends there; one that was is nobody's to hear any more.
    fn refuse(&self, stream_sid: &str, at: Place, in_time: bool) {
        let detail = json!({ "cutAtMs": at.media_time(), "heardAfterTheCall": true, "carriedOut": in_time });
        let mut halted = event(&self.head, EventKind::RecordingHalted, detail);
        halted.position = Some(Position { stream_sid: stream_sid.to_owned(), sequence: 0, timestamp_ms: at.media_time().0 });
        submit(&self.world, Work::Audit(halted, None));
        if !self.call.said_no() {
            return;
        }
        write(&self.world, &self.call);
        let consent = &self.head.consent;
        let record = ConsentRecord {
            id: format!("{}-heard", self.head.call_id),
            call_id: Some(self.head.call_id.clone()),
            status: ConsentStatus::Revoked,
            method: Method::Verbal,
            actor: Actor::Client { id: self.head.client_id.clone() },
            at: wall(),
            reason: None,
            evidence: json!({ "position": { "streamSid": stream_sid, "timestampMs": at.media_time() }, "language": consent.language_code })
                .into(),
            ..(**consent).clone()
        };
        let queues = if in_time {
            Queues::of(&record, self.world.decline_queues)
        } else {
            tracing::error!(recording.id = %self.head.recording_id, "transcript: a no was told after its recording was stored: the whole recording is queued for deletion");
            Queues::Everything
        };
        drop(self.world.noes.keep(Revocation { record, queues })); // it is written whoever waits for it
    }

    /// Stores it; says FAILED if it cannot be, or if a part of it has `failed` before.
    async fn store(&self, document: &Document, failed: Option<&str>) {
        let (key, json) = (self.key(), document.to_json());
        let mut pause = PAUSE_FIRST;
        let mut tried = 1;
        let stored = loop {
            match self.scribes.objects.put_bytes(&key, "application/json", json.clone().into()).await {
                Ok(stored) => break Ok(stored),
                Err(why) if tried < TRIES && why.is_retryable() => {
                    tracing::warn!(transcript.id = %self.transcript_id, error = %why, "transcript: not stored yet; trying again in {pause:?}");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    tried += 1;
                }
                Err(why) => break Err(why),
            }
        };
        match stored {
            Ok(stored) => {
                let state = if failed.is_some() { RecordingState::Failed } else { RecordingState::Finished };
                self.note(state, Some((stored.sha256, stored.bytes)), failed, document.complete).await;
                self.settle(state, failed).await;
            }
            Err(why) => {
                let why = format!("the transcript could not be stored: {why}");
                self.note(RecordingState::Failed, None, Some(&why), false).await;
                self.settle(RecordingState::Failed, Some(&why)).await;
            }
        }
    }
}
