//! Live calls as anybody may ask for them. The media thread writes, everybody reads; nobody waits for the other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use serde_json::{Value, json};

use super::media::MediaHandle;
use crate::engine::call::{CallIdentity, RecordingState, Snapshot, Standing};
use crate::engine::time::WallTime;
use crate::engine::twilio::twiml::Route;
use crate::io::database::CallRow;

/// All live calls of this gateway.
#[derive(Default)]
pub struct Registry {
    by_id: DashMap<String, Arc<LiveCall>>,
    by_sid: DashMap<String, String>,
    announced: DashMap<String, Announced>,
    owners: DashMap<String, MediaHandle>,
    /// Media sockets; more than the limit are refused at the handshake.
    places: Arc<AtomicUsize>,
    /// Readers of event streams.
    readers: Arc<AtomicUsize>,
}

/// A place among a bounded number: a media socket's, or a reader's of an event stream.
pub struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let one_more = |taken: usize| (taken < limit).then_some(taken + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(Arc::clone(taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that Twilio's webhooks tell of: its streams come with its token.
#[derive(Clone)]
pub struct Announced {
    /// Who it is.
    pub identity: CallIdentity,
    /// The stream's token.
    pub token: String,
    /// If this gateway made it; else the client called.
    pub made: Option<Made>,
}

/// A call that this gateway made.
#[derive(Clone)]
pub struct Made {
    /// Where the client stood when it was made.
    pub standing: Standing,
    /// Whom the client is connected to; without it the call goes where inbound calls go.
    pub connect_to: Option<Route>,
    /// When.
    pub at: WallTime,
}

/// One live call.
pub struct LiveCall {
    /// Who it is; Twilio's id of it may be told later, see [`Self::call_sid`].
    pub identity: CallIdentity,
    /// The media thread that owns it.
    pub owner: MediaHandle,
    /// Captured and withheld, client's and other party's, and the end of the newest segment: written per frame,
    /// without a lock.
    counters: [AtomicU64; 5],
    view: Mutex<View>,
}

struct View {
    snapshot: Snapshot,
    recording_id: Option<String>,
    /// What became of the recording after the call let go of it.
    outcome: Option<(RecordingState, Option<String>)>,
    /// The call's thread has let go of it.
    let_go: bool,
}

impl Registry {
    /// A place for a media socket, unless `limit` are taken. Dropping it gives it back.
    pub fn take_place(&self, limit: usize) -> Option<Place> {
        Place::take(&self.places, limit)
    }

    /// The same for a reader of an event stream.
    pub fn take_reader(&self, limit: usize) -> Option<Place> {
        Place::take(&self.readers, limit)
    }

    /// Media sockets now.
    pub fn places(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }

    /// The thread that owns a call: `me`, unless another was first.
    pub fn claim(&self, identity: &CallIdentity, me: &MediaHandle) -> MediaHandle {
        self.owners.entry(identity.call_id.clone()).or_insert_with(|| me.clone()).value().clone()
    }

    /// The id under which a call of ours goes that Twilio calls `call_sid`: `fresh`, unless it has one already.
    pub fn name(&self, call_sid: &str, fresh: impl FnOnce() -> String) -> String {
        self.by_sid.entry(call_sid.to_owned()).or_insert_with(fresh).value().clone()
    }

    /// Announces a call that a stream may come for. Announced twice, the first holds.
    pub fn announce(&self, announced: Announced) -> Announced {
        let identity = &announced.identity;
        if !identity.call_sid.is_empty() {
            self.by_sid.insert(identity.call_sid.clone(), identity.call_id.clone());
        }
        self.announced.entry(identity.call_id.clone()).or_insert(announced).value().clone()
    }

    /// Twilio calls an announced call so. `false` if Twilio has called it otherwise before.
    pub fn named(&self, call_id: &str, call_sid: &str) -> bool {
        let Some(mut announced) = self.announced.get_mut(call_id) else { return true };
        let known = &mut announced.identity.call_sid;
        if known.is_empty() && !call_sid.is_empty() {
            call_sid.clone_into(known);
            self.by_sid.insert(call_sid.to_owned(), call_id.to_owned());
        }
        known.as_str() == call_sid
    }

    /// The thread that owns a call, if one does.
    pub fn owner(&self, call_id: &str) -> Option<MediaHandle> {
        self.owners.get(call_id).map(|found| found.value().clone())
    }

    /// Live calls now.
    pub fn live(&self) -> usize {
        self.by_id.len()
    }

    /// The announced call with this id.
    pub fn announced(&self, call_id: &str) -> Option<Announced> {
        self.announced.get(call_id).map(|found| found.value().clone())
    }

    /// The id of the call that Twilio calls `call_sid`.
    pub fn id_of(&self, call_sid: &str) -> Option<String> {
        self.by_sid.get(call_sid).map(|found| found.value().clone())
    }

    /// Forgets a call that was announced and never had a stream.
    pub fn forget(&self, call_id: &str, call_sid: &str) {
        self.announced.remove(call_id);
        self.by_sid.remove_if(call_sid, |_, id| id == call_id);
    }

    /// Registers a live call.
    pub fn insert(&self, call: Arc<LiveCall>) {
        if !call.identity.call_sid.is_empty() {
            self.by_sid.insert(call.identity.call_sid.clone(), call.identity.call_id.clone());
        }
        self.by_id.insert(call.identity.call_id.clone(), call);
    }

    /// A live call.
    pub fn get(&self, call_id: &str) -> Option<Arc<LiveCall>> {
        self.by_id.get(call_id).map(|found| Arc::clone(found.value()))
    }

    /// Every live call, in the order of their ids.
    pub fn all(&self) -> Vec<Arc<LiveCall>> {
        let mut calls: Vec<_> = self.by_id.iter().map(|found| Arc::clone(found.value())).collect();
        calls.sort_by(|one, other| one.identity.call_id.cmp(&other.identity.call_id));
        calls
    }

    /// Forgets a call that is over and stored.
    pub fn remove(&self, call: &LiveCall) {
        let call_id = &call.identity.call_id;
        self.by_id.remove(call_id);
        self.by_sid.remove_if(&call.call_sid(), |_, id| id == call_id);
        self.announced.remove(call_id);
        self.owners.remove(call_id);
    }
}

impl LiveCall {
    /// A call as it begins.
    #[must_use]
    pub fn new(snapshot: Snapshot, owner: MediaHandle) -> Self {
        Self {
            identity: snapshot.identity.clone(),
            owner,
            counters: Default::default(),
            view: Mutex::new(View { snapshot, recording_id: None, outcome: None, let_go: false }),
        }
    }

    /// Twilio's id of it; empty until Twilio tells.
    #[must_use]
    pub fn call_sid(&self) -> String {
        self.view().snapshot.identity.call_sid.clone()
    }

    /// Counts, once a frame.
    pub fn count(&self, captured: [u64; 2], withheld: [u64; 2], captured_up_to_ms: u64) {
        let values = [captured[0], captured[1], withheld[0], withheld[1], captured_up_to_ms];
        for (counter, value) in self.counters.iter().zip(values) {
            counter.store(value, Ordering::Relaxed);
        }
    }

    /// The machine's newest view.
    pub fn publish(&self, snapshot: Snapshot, recording_id: Option<&str>) {
        let mut view = self.view();
        view.snapshot = snapshot;
        view.recording_id = recording_id.map(str::to_owned);
    }

    /// What became of its recording. `true` if the call is over as well: then nobody needs it here any more.
    pub fn conclude(&self, state: RecordingState, reason: Option<String>) -> bool {
        let mut view = self.view();
        view.outcome = Some((state, reason));
        view.let_go
    }

    /// The call is over. `true` if its recording, if there is one, is settled as well.
    pub fn let_go(&self) -> bool {
        let mut view = self.view();
        view.let_go = true;
        view.recording_id.is_none() || view.outcome.is_some()
    }

    /// Whether the call's thread has let go of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.view().let_go
    }

    /// The JSON of `GET /api/calls/{callId}`.
    #[must_use]
    pub fn json(&self) -> Value {
        self.told(&self.view())
    }

    /// Gives the row of its call to `to`. Under the view's lock, so that rows come there in the order of their states,
    /// whoever hands them over: `to` must not wait.
    pub fn hand_over(&self, to: impl FnOnce(CallRow)) {
        let view = self.view();
        to(row(self.told(&view)));
    }

    fn told(&self, view: &View) -> Value {
        let mut snapshot = view.snapshot.clone();
        // A published snapshot may be older than the last frame.
        let counted = |n: usize| self.counters[n].load(Ordering::Relaxed);
        let discarded = snapshot.recording == RecordingState::Discarded;
        if !discarded && snapshot.ended_at.is_none() {
            snapshot.captured.inbound = snapshot.captured.inbound.max(counted(0));
            snapshot.captured.outbound = snapshot.captured.outbound.max(counted(1));
            snapshot.withheld.inbound = snapshot.withheld.inbound.max(counted(2));
            snapshot.withheld.outbound = snapshot.withheld.outbound.max(counted(3));
            if let Some(last) = snapshot.segments.last_mut().filter(|_| snapshot.recording == RecordingState::Active) {
                last.end_ms.0 = last.end_ms.0.max(counted(4));
            }
        }
        call_json(&snapshot, view.recording_id.as_deref(), view.outcome.as_ref())
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row of a call that nobody owns yet.
#[must_use]
pub fn row_of(snapshot: &Snapshot) -> CallRow {
    row(call_json(snapshot, None, None))
}

fn row(state: Value) -> CallRow {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let named = |key: &str| text(&state[key]).unwrap_or_default();
    CallRow {
        id: named("callId"),
        call_sid: named("callSid"),
        client_id: named("clientId"),
        case_manager_id: named("caseManagerId"),
        org_id: named("orgId"),
        direction: named("direction"),
        phase: named("phase"),
        consent_granted_at: text(&state["consent"]["grantedAt"]),
        consent_method: text(&state["consent"]["method"]),
        is_recorded: state["isRecorded"].as_bool().unwrap_or(false),
        recording_id: text(&state["recording"]["recordingId"]),
        started_at: named("startedAt"),
        ended_at: text(&state["endedAt"]),
        state,
    }
}

/// A call's JSON, live or past.
fn call_json(snapshot: &Snapshot, recording_id: Option<&str>, outcome: Option<&(RecordingState, Option<String>)>) -> Value {
    let identity = &snapshot.identity;
    let seconds = snapshot.ended_at.map(|end: WallTime| (end.0 - snapshot.started_at.0).max(0) / 1_000);
    let (state, reason) = outcome.map_or((snapshot.recording, None), |(state, reason)| (*state, reason.as_deref()));
    json!({
        "callId": identity.call_id,
        "callSid": identity.call_sid,
        "clientId": identity.client_id,
        "caseManagerId": identity.case_manager_id,
        "orgId": identity.org_id,
        "direction": identity.direction,
        "phase": snapshot.phase,
        "consent": snapshot.consent,
        "isRecorded": snapshot.is_recorded && state != RecordingState::Discarded,
        "unrecordedReason": snapshot.unrecorded_reason,
        "recording": {
            "state": state,
            "recordingId": recording_id,
            "reason": reason,
            "framesCaptured": snapshot.captured,
            "framesWithheld": snapshot.withheld,
            "segments": snapshot.segments,
            "pauses": snapshot.pauses,
        },
        "transcription": { "state": "NOT_STARTED", "transcriptId": null },
        "startedAt": snapshot.started_at,
        "connectedAt": snapshot.connected_at,
        "endedAt": snapshot.ended_at,
        "durationSeconds": seconds,
    })
}
