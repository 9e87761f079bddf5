//! What people and rules do about a client's data: each is one piece of work, with its chain entry in the same commit.

use super::append::{Batch, Heads};
use super::artifacts::{self, ArtifactRow, Registered};
use super::backend::Session;
use super::clients::{self, Hold, Revocation, Revoked};
use super::retention::{self, Claim, RetentionRow};
use super::tasks::{self, TaskRow};
use super::transcripts::{self, Begun, TranscriptRow};
use crate::engine::consent::Queues;
use crate::engine::ledger::Event;
use crate::engine::time::WallTime;

/// Something to be done.
#[derive(Debug)]
pub enum Act {
    /// A client's consent is withdrawn, and recordings are queued for deletion; or a yes is taken back that was none.
    Revoke(Box<Revocation>),
    /// Recordings of a client are kept while a dispute runs.
    PlaceHold(Box<Hold>, Event),
    /// They are so no more.
    LiftHold(Box<Hold>, Event),
    /// The next due recording is somebody's to delete.
    Claim(Claim),
    /// The deletion of a recording that `by` has claimed begins, unless a hold came first; then the claim is given back.
    BeginDeletion {
        /// Which.
        recording_id: String,
        /// Whose organisation: its holds are looked at.
        org_id: String,
        /// Who deletes it.
        by: String,
        /// When.
        at: WallTime,
    },
    /// A recording is deleted: seen to be gone. Does nothing unless it is claimed by `by`.
    Deleted {
        /// Which.
        recording_id: String,
        /// Who deleted it.
        by: String,
        /// When.
        at: WallTime,
        /// The line for the chain.
        event: Event,
    },
    /// A recording could not be deleted; the claim is given back.
    NotDeleted {
        /// Which.
        recording_id: String,
        /// Who tried.
        by: String,
        /// Why not.
        why: String,
    },
    /// Something was made of a call in another system.
    RegisterArtifact(Box<ArtifactRow>, Event),
    /// What an artifact was made of was discarded: it is due.
    QueueArtifact {
        /// Which.
        id: String,
        /// When.
        at: WallTime,
        /// The line for the chain.
        event: Event,
    },
    /// An artifact's owner has taken the request to delete it.
    ArtifactAsked {
        /// Which.
        id: String,
        /// How often it had before.
        asks: u64,
        /// When.
        at: WallTime,
        /// The line for the chain, the first time.
        event: Event,
    },
    /// It is told that an artifact is overdue.
    ArtifactAlarmed {
        /// Which.
        id: String,
        /// When.
        at: WallTime,
        /// The line for the chain, the first time.
        event: Event,
    },
    /// An artifact's owner says that it is deleted.
    ArtifactDeleted {
        /// Which.
        id: String,
        /// Who says so.
        by: String,
        /// When.
        at: WallTime,
        /// The line for the chain, unless it was said before.
        event: Event,
    },
    /// Somebody sets out to store a further version of a transcript.
    BeginVersion(Box<TranscriptRow>),
    /// It came to its end: with a line for the chain if it is stored.
    FinishVersion(Box<TranscriptRow>, Option<Event>),
    /// A case manager has documented a call.
    CompleteTask {
        /// Which task.
        id: String,
        /// When.
        at: WallTime,
        /// The line for the chain, unless it was complete before.
        event: Event,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum Acted {
    /// Consent is withdrawn.
    Revoked(Revoked),
    /// The hold in force, or the one that was lifted; none if there was none.
    Hold(Option<Hold>),
    /// The hold in force, and the recordings that it comes too late for: their deletion is under way.
    Held(Hold, Vec<String>),
    /// Claimed; none if nothing more is due.
    Claimed(Option<RetentionRow>),
    /// Whether it changed anything.
    Done(bool),
    /// What came of a registration.
    Registered(Registered),
    /// The artifact as it stands.
    Artifact(Option<ArtifactRow>),
    /// What came of setting out to store a version.
    Begun(Begun),
    /// The task as it stands.
    Task(Option<TaskRow>),
}

impl Act {
    /// Whether it looks at more than what the batch knows. A no by key does not: a thousand at once are a few statements.
    pub(super) fn rests_on_tables(&self) -> bool {
        match self {
            Self::Revoke(revocation) => revocation.record.call_id.is_none() || revocation.queues != Queues::Nothing || revocation.annuls(),
            Self::PlaceHold(..)
            | Self::LiftHold(..)
            | Self::Claim(_)
            | Self::BeginDeletion { .. }
            | Self::Deleted { .. }
            | Self::NotDeleted { .. }
            | Self::RegisterArtifact(..)
            | Self::QueueArtifact { .. }
            | Self::ArtifactAsked { .. }
            | Self::ArtifactAlarmed { .. }
            | Self::ArtifactDeleted { .. }
            | Self::BeginVersion(_)
            | Self::FinishVersion(..)
            | Self::CompleteTask { .. } => true,
        }
    }

    /// The organisation whose chain it writes to, if to one.
    pub(super) fn chain(&self) -> Option<&str> {
        match self {
            Self::Revoke(revocation) => Some(&revocation.record.org_id),
            Self::PlaceHold(_, event)
            | Self::LiftHold(_, event)
            | Self::Deleted { event, .. }
            | Self::RegisterArtifact(_, event)
            | Self::QueueArtifact { event, .. }
            | Self::ArtifactAsked { event, .. }
            | Self::ArtifactAlarmed { event, .. }
            | Self::ArtifactDeleted { event, .. }
            | Self::CompleteTask { event, .. } => Some(&event.org_id),
            Self::BeginDeletion { org_id, .. } => Some(org_id),
            Self::BeginVersion(row) | Self::FinishVersion(row, _) => Some(&row.org_id),
            Self::Claim(_) | Self::NotDeleted { .. } => None,
        }
    }
}

pub(super) async fn write<'w>(
    batch: &mut Batch<'w>,
    session: &mut Session<'_>,
    heads: &mut Heads,
    act: &'w Act,
) -> Result<Acted, sqlx::Error> {
    Ok(match act {
        Act::Revoke(revocation) => Acted::Revoked(clients::revoke(batch, session, heads, revocation).await?),
        Act::PlaceHold(hold, event) => {
            let (hold, too_late) = clients::place_hold(batch, session, heads, hold, event).await?;
            Acted::Held(hold, too_late)
        }
        Act::LiftHold(hold, event) => Acted::Hold(clients::lift_hold(batch, session, heads, hold, event).await?),
        Act::Claim(claim) => Acted::Claimed(retention::claim(session, claim).await?),
        Act::BeginDeletion { recording_id, org_id: _, by, at } => {
            let begun = retention::begin(session, recording_id, by, *at).await?;
            if !begun {
                retention::give_back(session, recording_id, by).await?;
            }
            Acted::Done(begun)
        }
        Act::Deleted { recording_id, by, at, event } => {
            let done = retention::deleted(session, recording_id, by, *at).await?;
            if done {
                batch.append(heads, event)?;
            }
            Acted::Done(done)
        }
        Act::NotDeleted { recording_id, by, why } => Acted::Done(retention::not_deleted(session, recording_id, by, why).await?),
        Act::RegisterArtifact(row, event) => {
            let registered = artifacts::register(session, row).await?;
            if matches!(registered, Registered::New(_)) {
                batch.append(heads, event)?;
            }
            Acted::Registered(registered)
        }
        Act::QueueArtifact { id, at, event } => {
            let done = artifacts::queue_one(session, id, *at).await?;
            if done {
                batch.append(heads, event)?;
            }
            Acted::Done(done)
        }
        Act::ArtifactAsked { id, asks, at, event } => {
            let done = artifacts::asked(session, id, *asks, *at).await?;
            if done && *asks == 0 {
                batch.append(heads, event)?;
            }
            Acted::Done(done)
        }
        Act::ArtifactAlarmed { id, at, event } => {
            let done = artifacts::alarmed(session, id, *at).await?;
            if done {
                batch.append(heads, event)?;
            }
            Acted::Done(done)
        }
        Act::ArtifactDeleted { id, by, at, event } => {
            if artifacts::deleted(session, id, by, *at).await? {
                batch.append(heads, event)?;
            }
            Acted::Artifact(artifacts::one(session, id).await?)
        }
        Act::BeginVersion(row) => Acted::Begun(transcripts::begin(session, row).await?),
        Act::FinishVersion(row, event) => {
            let done = transcripts::finish(session, row).await?;
            if let (true, Some(event)) = (done, event) {
                batch.append(heads, event)?;
            }
            Acted::Done(done)
        }
        Act::CompleteTask { id, at, event } => {
            if tasks::complete(session, id, *at).await? {
                batch.append(heads, event)?;
            }
            Acted::Task(tasks::one(session, id).await?)
        }
    })
}
