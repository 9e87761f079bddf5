//! What can be handed to the ledger, and how it is answered.

use crate::engine::call::NotSealed;
use crate::engine::consent::{ConsentRecord, Grant, Receipt};
use crate::engine::ledger::{Committed, Event};

use super::acts::{Act, Acted};
use super::calls::{Answer, Placed, Placement};
use super::checkpoints::CheckpointRow;
use super::outbox::{OutboxWork, Post};
use super::read::{CallRow, RecordingRow};
use super::transcripts::TranscriptRow;
use super::{retention, tasks};

/// What to do once it is durable, or will never be. Called on the ledger's task; must not block.
pub type Then<T> = Box<dyn FnOnce(T) + Send>;

/// Something to be made durable.
pub enum Work {
    /// A yes. Refused if the client has revoked since `grant.seen` was counted.
    Grant(Grant, Then<Result<Receipt<Grant>, NotSealed>>),
    /// The standing yes of a client, for a call that need not ask again.
    Recall {
        /// Whose organisation.
        org_id: String,
        /// Whose.
        client_id: String,
        /// The call that rests on it.
        call_id: String,
        /// The answer.
        then: Then<Result<Receipt<Grant>, NotSealed>>,
    },
    /// Lines for the chain. Without a listener they are kept, within a bound, until the database takes them.
    Audit(Event, Option<Then<bool>>),
    /// A call as it stands. Kept until the database takes it.
    Call(Box<CallRow>),
    /// What somebody does about a client's data. `None` if it is not durable.
    Act(Act, Then<Option<Acted>>),
    /// A call that somebody asks for, before Twilio is asked; or the answer that its key was given before. `None` if it is not durable.
    Place(Box<Placement>, Then<Option<Placed>>),
    /// What a key was answered. Kept until the database takes it.
    Answer(Box<Answer>),
    /// A checkpoint that the object store holds. Kept until the database takes it.
    Checkpoint(Box<CheckpointRow>),
    /// A transcript as it stands, and the line that says so. Kept until the database takes it.
    Transcript(Box<(TranscriptRow, Event)>),
    /// Posts claimed, settled or put off.
    Outbox(OutboxWork),
    /// A recording as it stands. Answered `false` if it is not durable in time, and kept all the same.
    Recording(Box<RecordingRow>, Option<Then<bool>>),
}

/// What became of a piece of work inside a transaction. It is true once that transaction is committed, not before.
pub(super) enum Written {
    /// It stands in the chain, at this number.
    Entry(u64),
    /// A yes older than a no, or no yes at all: nothing was written.
    Superseded,
    /// The yes of before was none: nothing was written.
    Annulled,
    /// A yes that stands: the record, how many records there were, and its entry.
    Standing(Box<ConsentRecord>, u64, u64),
    /// A call was placed, or had been.
    Placed(Placed),
    /// A row was written.
    Row,
    /// The call is another gateway's now: nothing was written.
    NotOurs,
    /// It was done.
    Acted(Box<Acted>),
    /// Posts that are ours for a while.
    Claimed(Vec<Post>),
    /// The database refused this piece and took the others.
    Failed,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Grant(..) => "Grant",
            Self::Recall { .. } => "Recall",
            Self::Audit(..) => "Audit",
            Self::Call(_) => "Call",
            Self::Act(..) => "Act",
            Self::Place(..) => "Place",
            Self::Answer(_) => "Answer",
            Self::Recording(..) => "Recording",
            Self::Outbox(_) => "Outbox",
            Self::Checkpoint(_) => "Checkpoint",
            Self::Transcript(_) => "Transcript",
        })
    }
}

impl Work {
    /// The organisation whose chain it writes to, if to one: the writer holds that chain before it asks anything.
    pub(super) fn chain(&self) -> Option<&str> {
        match self {
            Self::Grant(grant, _) => Some(&grant.record.org_id),
            Self::Audit(event, _) => Some(&event.org_id),
            Self::Act(act, _) => act.chain(),
            Self::Call(row) => tasks::is_to_be_logged(row).then_some(&row.org_id),
            Self::Recording(row, _) => retention::may_come_late(row).then_some(&row.org_id),
            Self::Place(placement, _) => Some(&placement.event.org_id),
            Self::Transcript(told) => Some(&told.1.org_id),
            Self::Recall { .. } | Self::Answer(_) | Self::Checkpoint(_) | Self::Outbox(_) => None,
        }
    }

    /// The call whose owner alone may have it written.
    pub(super) fn call_owned(&self) -> Option<&str> {
        match self {
            Self::Call(row) => Some(&row.id),
            Self::Grant(grant, _) => grant.record.call_id.as_deref(),
            Self::Recall { call_id, .. } => Some(call_id),
            Self::Audit(..)
            | Self::Act(..)
            | Self::Recording(..)
            | Self::Place(..)
            | Self::Answer(_)
            | Self::Checkpoint(_)
            | Self::Transcript(_)
            | Self::Outbox(_) => None,
        }
    }

    /// The decision that it is, if it is one.
    pub(super) fn decision(&self) -> Option<&ConsentRecord> {
        match self {
            Self::Grant(grant, _) => Some(&grant.record),
            Self::Act(..) => self.refusal(),
            Self::Recall { .. }
            | Self::Audit(..)
            | Self::Call(_)
            | Self::Recording(..)
            | Self::Place(..)
            | Self::Answer(_)
            | Self::Checkpoint(_)
            | Self::Transcript(_)
            | Self::Outbox(_) => None,
        }
    }

    /// The no that it is, if it is one: handed in twice it is written once.
    pub(super) fn refusal(&self) -> Option<&ConsentRecord> {
        match self {
            Self::Act(Act::Revoke(revocation), _) => Some(&revocation.record),
            Self::Grant(..)
            | Self::Recall { .. }
            | Self::Audit(..)
            | Self::Act(..)
            | Self::Call(_)
            | Self::Recording(..)
            | Self::Place(..)
            | Self::Answer(_)
            | Self::Checkpoint(_)
            | Self::Transcript(_)
            | Self::Outbox(_) => None,
        }
    }

    /// Tells whoever waits what a COMMIT has made true. `commit` makes the proof; the ledger lends it.
    pub(super) fn answer(self, written: Written, commit: fn(u64, Option<String>) -> Committed) {
        let receipt = |grant: Grant, seq| {
            let commit = commit(seq, Some(grant.record.id.clone()));
            Receipt::of(grant, &commit).map_err(|_| NotSealed::Unavailable)
        };
        match (self, written) {
            (Self::Grant(grant, then), Written::Entry(seq)) => then(receipt(grant, seq)),
            (Self::Recall { then, .. }, Written::Standing(record, seen, seq)) => then(receipt(Grant { record: record.into(), seen }, seq)),
            (Self::Grant(_, then) | Self::Recall { then, .. }, Written::Superseded) => then(Err(NotSealed::Superseded)),
            (Self::Recall { then, .. }, Written::Annulled) => then(Err(NotSealed::Annulled)),
            (Self::Grant(_, then) | Self::Recall { then, .. }, _) => then(Err(NotSealed::Unavailable)),
            (Self::Audit(_, Some(then)), written) => then(matches!(written, Written::Entry(_))),
            (Self::Recording(_, Some(then)), written) => then(matches!(written, Written::Row)),
            (Self::Act(_, then), Written::Acted(acted)) => then(Some(*acted)),
            (Self::Act(_, then), _) => then(None),
            (Self::Place(_, then), Written::Placed(placed)) => then(Some(placed)),
            (Self::Place(_, then), _) => then(None),
            (Self::Outbox(work), written) => work.answer(written),
            (
                Self::Audit(_, None)
                | Self::Recording(_, None)
                | Self::Call(_)
                | Self::Answer(_)
                | Self::Checkpoint(_)
                | Self::Transcript(_),
                _,
            ) => {}
        }
    }

    /// Tells whoever waits that it is not durable, and gives back what is worth trying again: what nobody else will.
    pub(super) fn refuse(self) -> Option<Self> {
        match self {
            Self::Grant(_, then) | Self::Recall { then, .. } => {
                then(Err(NotSealed::Unavailable));
                None
            }
            Self::Audit(_, Some(then)) => {
                then(false);
                None
            }
            Self::Act(_, then) => {
                then(None);
                None
            }
            Self::Recording(row, Some(then)) => {
                then(false);
                Some(Self::Recording(row, None))
            }
            Self::Place(_, then) => {
                then(None);
                None
            }
            Self::Outbox(work) => {
                work.refuse();
                None
            }
            Self::Audit(_, None)
            | Self::Recording(_, None)
            | Self::Call(_)
            | Self::Answer(_)
            | Self::Checkpoint(_)
            | Self::Transcript(_) => Some(self),
        }
    }
}
