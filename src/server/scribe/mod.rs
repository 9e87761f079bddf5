//! Transcripts of live calls: the media thread's feed in, recognisers beside, a stored object out.
//!
//! A transcript is a sink of the gate like the recording, and hangs on it: it is stored when its recording is sealed, on the
//! recording's own time line, and it is nowhere if the recording is nowhere. Nothing of it but redacted text leaves this process,
//! and no failure of it touches the call or the recording. `feed` is what a media thread holds, `work` the scribe of one call.

mod feed;
mod work;

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

pub(super) use feed::{ScribeBehind, ScribeFeed};

use super::ids;
use super::live::{event, submit, write};
use super::media::MediaHandle;
use super::registry::{LiveCall, Registry};
use super::world::World;
use crate::engine::call::RecordingState;
use crate::engine::ledger::EventKind;
use crate::engine::redact::Policy;
use crate::engine::time::{Tick, WallTime};
use crate::engine::transcript::Redaction;
use crate::io::clock::wall;
use crate::io::database::{LedgerFull, TranscriptRow, Work};
use crate::io::objects::ObjectStore;
use crate::io::recording::{LateCut, Plan, Silence};
use crate::io::spool::RecordingHead;
use crate::io::transcriber::Transcriber;
use feed::{Pool, QUEUE_MAX};

/// Tries to store a transcript, with doubling pauses from half a second on.
const TRIES: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// A recording is stored so long after its call at the latest, whatever its recogniser still says.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(8);
/// One that is to be silent of what they say waits for longer than its scribe waits for them.
const SILENCES_WITHIN: Duration = Duration::from_secs(25);
/// Its row is waited for so long before others see the state that it tells.
const ROW_WITHIN: Duration = Duration::from_secs(5);
/// The ledger's queue is waited for so often, and so long each time.
const NOTE_TRIES: u32 = 60;
const NOTE_PAUSE: Duration = Duration::from_secs(1);

/// Everything that scribes need, cheap to clone.
#[derive(Clone)]
pub struct Scribes {
    transcriber: Transcriber,
    policy: Policy,
    /// Whether recordings are silenced where their transcripts are masked.
    audio: bool,
    objects: Arc<ObjectStore>,
    registry: Arc<Registry>,
    pool: Pool,
    /// Who waits for what becomes of a recording, by its id.
    waiting: Arc<DashMap<String, oneshot::Sender<Fate>>>,
    /// Who will tell the recognisers' last words, by the recording's id.
    hearing: Arc<DashMap<String, oneshot::Receiver<LastWords>>>,
}

/// What became of a recording, and so of its transcript.
pub(super) enum Fate {
    /// It is stored; there lies what was said.
    Kept(Box<Plan>),
    /// It was destroyed.
    Discarded,
    /// It could not be stored, or not by this process.
    Failed,
}

/// What the recognisers told last of a call that is over.
#[derive(Clone, Default)]
pub(super) struct LastWords {
    /// Where the recording is to end, because the client was heard to say no when the call was over already.
    pub(super) cut: Option<LateCut>,
    /// What it is to be silent of.
    pub(super) silences: Vec<Silence>,
    /// Whether that is everything, and not only what was heard in time; nothing, if recordings are not silenced.
    pub(super) all_heard: Option<bool>,
}

/// A transcript on its way: who it is, and where others see it.
struct Desk {
    scribes: Scribes,
    world: World,
    head: Arc<RecordingHead>,
    call: Arc<LiveCall>,
    transcript_id: String,
    began: WallTime,
}

impl Scribes {
    pub(super) fn new(transcriber: Transcriber, policy: Policy, audio: bool, objects: Arc<ObjectStore>, registry: Arc<Registry>) -> Self {
        Self { transcriber, policy, audio, objects, registry, pool: Pool::default(), waiting: Arc::default(), hearing: Arc::default() }
    }

    /// A recording begins, and with it a transcript. Called on a media thread.
    pub(super) fn begin(
        &self,
        world: &World,
        head: &Arc<RecordingHead>,
        call: &Arc<LiveCall>,
        owner: &MediaHandle,
        now: Tick,
    ) -> ScribeFeed {
        let desk = Desk {
            scribes: self.clone(),
            world: world.clone(),
            head: Arc::clone(head),
            call: Arc::clone(call),
            transcript_id: ids::fresh("tr"),
            began: wall(),
        };
        let (queue, told) = mpsc::channel(QUEUE_MAX);
        let (decide, fate) = oneshot::channel();
        let (tell, last) = oneshot::channel();
        self.waiting.insert(head.recording_id.clone(), decide);
        self.hearing.insert(head.recording_id.clone(), last);
        call.transcribed_as(&desk.transcript_id);
        submit(world, desk.line(RecordingState::Active, None, None, true));
        world.tokio.spawn(work::run(desk, owner.clone(), told, tell, fate));
        ScribeFeed::new(queue, self.pool.clone(), now)
    }

    /// What a recording must not say: waits for its scribe to know.
    pub(super) async fn last_words(&self, recording_id: &str) -> LastWords {
        let Some((_, last)) = self.hearing.remove(recording_id) else { return self.unheard() };
        let within = if self.audio { SILENCES_WITHIN } else { LAST_WORDS_WITHIN };
        tokio::time::timeout(within, last).await.ok().and_then(Result::ok).unwrap_or_else(|| self.unheard())
    }

    /// Of a recording whose words nobody can tell.
    pub(super) fn unheard(&self) -> LastWords {
        LastWords { all_heard: self.audio.then_some(false), ..LastWords::default() }
    }

    /// Tells what became of a recording.
    pub(super) fn decided(&self, recording_id: &str, fate: Fate) {
        if let Some((_, waits)) = self.waiting.remove(recording_id) {
            let _ = waits.send(fate);
        }
        self.hearing.remove(recording_id);
    }
}

impl Desk {
    fn key(&self) -> String {
        let (year, month, day) = WallTime::parse(&self.head.started_at).unwrap_or_default().date();
        format!("transcripts/{}/{year:04}/{month:02}/{day:02}/{}.v1.json", self.head.org_id, self.transcript_id)
    }

    /// Others see the transcript so from here on.
    fn show(&self, state: RecordingState) {
        if self.call.transcription(state) {
            write(&self.world, &self.call);
        }
    }

    /// Writes its row and its line in the chain, as soon as the ledger takes them: a deletion finds what is stored by its row.
    async fn note(&self, state: RecordingState, stored: Option<(String, u64)>, reason: Option<&str>, complete: bool) {
        let mut work = self.line(state, stored, reason, complete);
        for _ in 0..NOTE_TRIES {
            match self.world.database.ledger().append(work) {
                Ok(()) => return,
                Err(LedgerFull(refused)) => work = *refused,
            }
            tokio::time::sleep(NOTE_PAUSE).await;
        }
        tracing::error!(transcript.id = %self.transcript_id, ?state, "transcript: the ledger takes no more; its row does not say what became of it");
    }

    fn line(&self, state: RecordingState, stored: Option<(String, u64)>, reason: Option<&str>, complete: bool) -> Work {
        let kind = match state {
            RecordingState::NotStarted | RecordingState::Active | RecordingState::Paused | RecordingState::Halted => {
                EventKind::TranscriptionStarted
            }
            RecordingState::Finished => EventKind::TranscriptionFinished,
            RecordingState::Discarded => EventKind::TranscriptionDiscarded,
            RecordingState::Failed => EventKind::TranscriptionFailed,
        };
        let over = state != RecordingState::Active;
        let (sha256, bytes) = stored.unzip();
        let detail = json!({
            "transcriptId": self.transcript_id,
            "recordingId": self.head.recording_id,
            "version": 1,
            "redaction": Redaction::Redacted,
            "key": sha256.as_ref().map(|_| self.key()),
            "sha256": sha256,
            "complete": over.then_some(complete),
            "why": reason,
        });
        let row = TranscriptRow {
            id: self.transcript_id.clone(),
            version: 1,
            recording_id: self.head.recording_id.clone(),
            call_id: self.head.call_id.clone(),
            org_id: self.head.org_id.clone(),
            client_id: self.head.client_id.clone(),
            state,
            redaction: Redaction::Redacted,
            redacted_by: None,
            redacted_for: None,
            language_code: self.head.consent.language_code.clone(),
            recogniser: self.scribes.transcriber.protocol().word().to_owned(),
            object_key: self.key(),
            is_complete: complete,
            sha256,
            bytes,
            reason: reason.map(str::to_owned),
            created_at: self.began.to_string(),
            finished_at: over.then(|| wall().to_string()),
        };
        Work::Transcript(Box::new((row, event(&self.head, kind, detail))))
    }

    /// It came to its end: nobody waits for it any more. What is stored is found from the moment on that others see it so.
    async fn settle(&self, state: RecordingState, reason: Option<&str>) {
        match reason {
            None => tracing::info!(call.id = %self.head.call_id, transcript.id = %self.transcript_id, ?state, "transcript: settled"),
            Some(why) => {
                tracing::warn!(call.id = %self.head.call_id, transcript.id = %self.transcript_id, ?state, why, "transcript: settled");
            }
        }
        let _ = tokio::time::timeout(ROW_WITHIN, self.world.database.ledger().flush()).await;
        let over = self.call.transcription_settled(state);
        write(&self.world, &self.call);
        if over {
            self.world.database.ledger().flush().await;
            self.scribes.registry.remove(&self.call);
        }
    }
}

/// Transcripts that were being made when their gateway died: their words died with it.
pub(super) async fn close_left_open(world: &World, open: Vec<TranscriptRow>) {
    let why = "the gateway died during the call; the recording is kept, its words are lost";
    for mut row in open {
        row.state = RecordingState::Failed;
        row.is_complete = false;
        row.reason = Some(why.to_owned());
        row.finished_at = Some(wall().to_string());
        let event = crate::engine::ledger::Event {
            org_id: row.org_id.clone(),
            kind: EventKind::TranscriptionFailed,
            actor: crate::engine::consent::Actor::System,
            call_id: Some(row.call_id.clone()),
            client_id: Some(row.client_id.clone()),
            at: wall(),
            position: None,
            detail: json!({ "transcriptId": row.id, "recordingId": row.recording_id, "version": row.version, "why": why }),
        };
        if let Ok(Some(mut call)) = world.database.call(&row.call_id).await {
            call.state["transcription"]["state"] = json!(RecordingState::Failed);
            submit(world, Work::Call(Box::new(call)));
        }
        submit(world, Work::Transcript(Box::new((row, event))));
    }
    world.database.ledger().flush().await;
}
