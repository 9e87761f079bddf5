//! Live calls as anybody may ask for them. The media thread writes, everybody reads; nobody waits for the other.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dashmap::DashMap;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use utoipa::ToSchema;

use super::media::MediaHandle;
use crate::engine::call::{CallIdentity, ConsentView, Frames, PauseView, Phase, RecordingState, Segment, Snapshot, Standing, TransferView};
use crate::engine::consent::{ConsentStatus, Direction, Method, UnrecordedReason};
use crate::engine::policy::Ruling;
use crate::engine::time::WallTime;
use crate::engine::transcript::Caption;
use crate::engine::twilio::twiml::Route;
use crate::io::clock::wall;
use crate::io::database::CallRow;

/// What becomes of a recording that had ended when a no came that reaches into it.
pub(super) const TAKEN_BACK: &str = "the client's no reaches into it and came when it had ended: all of it is queued for deletion";
/// What is said is kept for a follower that is behind by so many lines; of older ones it is told how many it missed.
const CAPTIONS_KEPT: usize = 64;

/// All live calls of this gateway.
#[derive(Default)]
pub struct Registry {
    by_id: DashMap<String, Arc<LiveCall>>,
    by_sid: DashMap<String, String>,
    /// And since when.
    announced: DashMap<String, (Announced, WallTime)>,
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
    /// The token of the other party's stream, if it comes on a leg of its own.
    pub party_token: String,
    /// What it is held to, by its places.
    pub ruling: Ruling,
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
    /// Who follows what is said, once somebody has.
    captions: OnceLock<broadcast::Sender<Shown>>,
    /// Another gateway has it: nothing is written of it here any more.
    disowned: AtomicBool,
    /// Held by who hands it over.
    pub(super) handing_over: tokio::sync::Mutex<()>,
    view: Mutex<View>,
}

/// What those who follow a call's words are told.
#[derive(Clone)]
pub enum Shown {
    /// Somebody said something.
    Caption(Caption),
    /// What was said from there on, in milliseconds of the call, may be shown no more.
    Withdrawn(u64),
}

struct View {
    snapshot: Snapshot,
    recording_id: Option<String>,
    /// What became of the recording after the call let go of it.
    outcome: Option<(RecordingState, Option<String>)>,
    /// Its transcript's id and state, if there is one, and whether that is its last.
    transcription: Option<(String, RecordingState, bool)>,
    /// The call's thread has let go of it.
    let_go: bool,
    /// Nothing of its recording is stored, and nobody is about to store it.
    lost: bool,
}

impl View {
    /// Nobody writes anything of it any more: nobody needs it here.
    fn is_settled(&self) -> bool {
        let recorded = self.recording_id.is_none() || self.outcome.is_some();
        let transcribed = self.transcription.as_ref().is_none_or(|(_, _, settled)| *settled);
        self.let_go && recorded && transcribed
    }
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
        self.announced.entry(identity.call_id.clone()).or_insert_with(|| (announced, wall())).value().0.clone()
    }

    /// Twilio calls an announced call so. `false` if Twilio has called it otherwise before.
    pub fn named(&self, call_id: &str, call_sid: &str) -> bool {
        let Some(mut announced) = self.announced.get_mut(call_id) else { return true };
        let known = &mut announced.0.identity.call_sid;
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
        self.announced.get(call_id).map(|found| found.value().0.clone())
    }

    /// The id of the call that Twilio calls `call_sid`.
    pub fn id_of(&self, call_sid: &str) -> Option<String> {
        self.by_sid.get(call_sid).map(|found| found.value().clone())
    }

    /// Whether a call lives, or was announced and may yet come.
    pub fn expects_any(&self) -> bool {
        self.by_id.iter().any(|found| !found.value().is_over()) || self.announced_only().next().is_some()
    }

    /// Calls that were announced before this time, and of which there is nothing but that.
    pub fn never_came(&self, before: WallTime) -> Vec<(Announced, WallTime)> {
        self.announced_only().filter(|(_, since)| *since <= before).collect()
    }

    /// Calls without a stream, a machine or a row of ours: nothing but a promise.
    fn announced_only(&self) -> impl Iterator<Item = (Announced, WallTime)> {
        // One map at a time.
        let all: Vec<_> = self.announced.iter().map(|found| found.value().clone()).collect();
        all.into_iter().filter(|(announced, _)| !self.by_id.contains_key(&announced.identity.call_id))
    }

    /// Forgets a call that was announced and never had a stream.
    pub fn forget(&self, call_id: &str, call_sid: &str) {
        let announced = self.announced.remove(call_id).map(|(_, (announced, _))| announced.identity.call_sid);
        self.owners.remove(call_id);
        for call_sid in [call_sid].into_iter().chain(announced.as_deref()) {
            self.by_sid.remove_if(call_sid, |_, id| id == call_id);
        }
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

    /// A live call that is this gateway's.
    pub fn owned(&self, call_id: &str) -> Option<Arc<LiveCall>> {
        self.get(call_id).filter(|live| !live.is_disowned())
    }

    /// Another gateway has this call: its streams' token is void, Twilio's word on it is not ours to answer. The call, the first time
    /// that it is said.
    pub fn disown(&self, call_id: &str) -> Option<Arc<LiveCall>> {
        self.announced.remove(call_id);
        self.by_sid.retain(|_, id| id != call_id);
        self.get(call_id).filter(|live| !live.disowned.swap(true, Ordering::AcqRel))
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
            captions: OnceLock::new(),
            disowned: AtomicBool::new(false),
            handing_over: tokio::sync::Mutex::default(),
            view: Mutex::new(View { snapshot, recording_id: None, outcome: None, transcription: None, let_go: false, lost: false }),
        }
    }

    /// Twilio's id of it; empty until Twilio tells.
    #[must_use]
    pub fn call_sid(&self) -> String {
        self.view().snapshot.identity.call_sid.clone()
    }

    /// What is said from here on, for one who follows it.
    pub fn captions(&self) -> broadcast::Receiver<Shown> {
        self.captions.get_or_init(|| broadcast::Sender::new(CAPTIONS_KEPT)).subscribe()
    }

    /// Tells those who follow what is said, if anybody does.
    pub fn show(&self, shown: impl IntoIterator<Item = Shown>) {
        if let Some(captions) = self.captions.get().filter(|captions| captions.receiver_count() > 0) {
            for shown in shown {
                let _ = captions.send(shown); // the last one has just left
            }
        }
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
        view.is_settled()
    }

    /// There is no recording of it, whatever was captured.
    pub fn lose(&self) {
        self.view().lost = true;
    }

    /// The call is over. `true` if its recording and its transcript, if there are any, are settled as well.
    pub fn let_go(&self) -> bool {
        let mut view = self.view();
        view.let_go = true;
        view.is_settled()
    }

    /// It is transcribed, under this id.
    pub fn transcribed_as(&self, transcript_id: &str) {
        self.view().transcription = Some((transcript_id.to_owned(), RecordingState::Active, false));
    }

    /// Where its transcript is. `true` if that is something new.
    pub fn transcription(&self, now: RecordingState) -> bool {
        let mut view = self.view();
        view.transcription.as_mut().is_some_and(|(_, state, _)| std::mem::replace(state, now) != now)
    }

    /// Where its transcript has come to its end. `true` if the call and its recording have as well.
    pub fn transcription_settled(&self, last: RecordingState) -> bool {
        let mut view = self.view();
        if let Some((_, state, settled)) = &mut view.transcription {
            (*state, *settled) = (last, true);
        }
        view.is_settled()
    }

    /// The client was heard to say no when the call was over. `false` if that is known.
    pub fn said_no(&self) -> bool {
        let mut view = self.view();
        let consent = &mut view.snapshot.consent;
        if consent.status == ConsentStatus::Revoked {
            return false;
        }
        (consent.status, consent.method, consent.granted_at) = (ConsentStatus::Revoked, Some(Method::Verbal), None);
        view.snapshot.unrecorded_reason = Some(UnrecordedReason::ClientOptOut);
        true
    }

    /// Whether another gateway has it.
    #[must_use]
    pub fn is_disowned(&self) -> bool {
        self.disowned.load(Ordering::Acquire)
    }

    /// Whether an opt-out has stopped its recording.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.view().snapshot.recording == RecordingState::Halted
    }

    /// Whether the call's thread has let go of it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.view().let_go
    }

    /// The JSON of `GET /api/calls/{callId}`.
    #[must_use]
    pub fn json(&self) -> Value {
        let view = self.view();
        told(&view, &self.counted(&view))
    }

    /// Gives the row of its call to `to`. Under the view's lock, so that rows come there in the order of their states,
    /// whoever hands them over: `to` must not wait. Nothing of a call that is another gateway's; and of what somebody said in words of
    /// their own only the kind, since rows become events (P11).
    pub fn hand_over(&self, to: impl FnOnce(CallRow)) {
        if self.is_disowned() {
            return;
        }
        let view = self.view();
        let mut snapshot = self.counted(&view);
        snapshot.pauses = snapshot.pauses.into_iter().map(PauseView::in_a_word).collect();
        to(row(told(&view, &snapshot)));
    }

    fn counted(&self, view: &View) -> Snapshot {
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
        snapshot
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(view: &View, snapshot: &Snapshot) -> Value {
    let transcription = view.transcription.as_ref().map(|(id, state, _)| (id.as_str(), *state));
    call_json(snapshot, view.recording_id.as_deref(), view.outcome.as_ref(), transcription, view.lost)
}

/// The row of a call that nobody owns yet.
#[must_use]
pub fn row_of(snapshot: &Snapshot) -> CallRow {
    row(call_json(snapshot, None, None, None, false))
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

/// A call, live or past.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallState<'a> {
    /// callgate's own id of it.
    call_id: &'a str,
    /// Twilio's; empty until Twilio tells.
    call_sid: &'a str,
    /// The client.
    client_id: &'a str,
    /// The case manager.
    case_manager_id: &'a str,
    /// The organisation.
    org_id: &'a str,
    /// Who called whom.
    direction: Direction,
    /// Where it is in its life.
    phase: Phase,
    /// Consent as it stands on this call.
    consent: &'a ConsentView,
    /// Whether anything of it is, or will be, in a recording.
    is_recorded: bool,
    /// Why not.
    unrecorded_reason: Option<UnrecordedReason>,
    /// Its recording.
    recording: CallRecording<'a>,
    /// To whom it was handed over, in order.
    transfers: &'a [TransferView],
    /// Its transcript.
    transcription: CallTranscription<'a>,
    /// When it began.
    started_at: WallTime,
    /// When it was decided, and people could talk.
    connected_at: Option<WallTime>,
    /// When it was over.
    ended_at: Option<WallTime>,
    /// How long it was, once it is over.
    duration_seconds: Option<i64>,
}

/// A call's recording.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallRecording<'a> {
    /// Where it is.
    state: RecordingState,
    /// Its id, once there is one.
    recording_id: Option<&'a str>,
    /// Why it is not finished, or why it does not stay.
    reason: Option<&'a str>,
    /// Frames that are in it.
    frames_captured: Frames,
    /// Frames that were heard and are not in it.
    frames_withheld: Frames,
    /// What was captured of which stream.
    segments: &'a [Segment],
    /// Pauses in force.
    pauses: &'a [PauseView],
}

/// A call's transcript.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CallTranscription<'a> {
    /// Where it is.
    state: RecordingState,
    /// Its id, once there is one.
    transcript_id: Option<&'a str>,
}

fn call_json(
    snapshot: &Snapshot,
    recording_id: Option<&str>,
    outcome: Option<&(RecordingState, Option<String>)>,
    transcription: Option<(&str, RecordingState)>,
    lost: bool,
) -> Value {
    let identity = &snapshot.identity;
    let (state, reason) = outcome.map_or((snapshot.recording, None), |(state, reason)| (*state, reason.as_deref()));
    let reason = if snapshot.taken_back { Some(TAKEN_BACK) } else { reason };
    json!(CallState {
        call_id: &identity.call_id,
        call_sid: &identity.call_sid,
        client_id: &identity.client_id,
        case_manager_id: &identity.case_manager_id,
        org_id: &identity.org_id,
        direction: identity.direction,
        phase: snapshot.phase,
        consent: &snapshot.consent,
        is_recorded: snapshot.is_recorded && state != RecordingState::Discarded && !lost,
        unrecorded_reason: snapshot.unrecorded_reason.or(lost.then_some(UnrecordedReason::SystemError)),
        recording: CallRecording {
            state,
            recording_id,
            reason,
            frames_captured: snapshot.captured,
            frames_withheld: snapshot.withheld,
            segments: &snapshot.segments,
            pauses: &snapshot.pauses,
        },
        transfers: &snapshot.transfers,
        transcription: CallTranscription {
            state: transcription.map_or(RecordingState::NotStarted, |(_, state)| state),
            transcript_id: transcription.map(|(id, _)| id),
        },
        started_at: snapshot.started_at,
        connected_at: snapshot.connected_at,
        ended_at: snapshot.ended_at,
        duration_seconds: snapshot.ended_at.map(|end| (end.0 - snapshot.started_at.0).max(0) / 1_000),
    })
}
