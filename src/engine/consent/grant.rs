//! A grant before the ledger has it, and the receipt that only the ledger's fsync turns it into.

use std::sync::Arc;

use super::record::ConsentRecord;
use crate::engine::ledger::Committed;

/// The sequence number, in its organisation's chain, of the ledger entry that allows a capture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GrantSeq(pub u64);

/// A yes that was heard and is not durable yet. It opens nothing. Not `Clone`: one yes, one record.
#[derive(Debug, PartialEq, Eq)]
pub struct Grant {
    /// What will be written. Shared with the head of the recording that rests on it.
    pub record: Arc<ConsentRecord>,
    /// How many consent records of this client the call had seen when it began. If there is a newer revocation
    /// by the time of writing, the ledger refuses: a grant older than a revocation opens nothing.
    pub seen: u64,
}

/// Proof that `T` is durable: appended to its organisation's chain and fsynced. Eaten by `Gate::open`.
///
/// It has no public constructor, is not `Clone` and not `Default`: nothing but a commit makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt<T> {
    what: T,
    seq: GrantSeq,
}

impl Receipt<Grant> {
    /// Joins a grant with the commit that made it durable. The commit must name this very record.
    ///
    /// # Errors
    /// Gives the grant back when the commit is of another record.
    pub fn of(grant: Grant, commit: &Committed) -> Result<Self, Grant> {
        if commit.record_id() == Some(grant.record.id.as_str()) {
            Ok(Self { seq: GrantSeq(commit.seq()), what: grant })
        } else {
            Err(grant)
        }
    }

    /// The record that stands behind it.
    #[must_use]
    pub const fn record(&self) -> &Arc<ConsentRecord> {
        &self.what.record
    }

    /// Its place in the organisation's chain.
    #[must_use]
    pub const fn seq(&self) -> GrantSeq {
        self.seq
    }
}
