//! The ledger's truth: canonical bytes, the hash chain of an organisation, its verification.
//!
//! `io::database` appends and fsyncs; here stands what an entry's bytes are and what an unbroken chain is, so that
//! anybody can check one offline.

mod canonical;
mod chain;
mod decision;
mod event;
mod inclusion;
mod merkle;
mod note;

pub use canonical::canonical;
pub use chain::{Broken, Entry, Hash, Head, Link, Verifier};
pub use decision::{Decision, DecisionTold, Salt, commitment};
pub use event::{Action, Event, EventKind, Position, Severity};
pub use inclusion::{Inclusion, Prover};
pub use merkle::Merkle;
pub use note::{Checkpoint, NOTE_MAX, NotProven, NoteSigner, NoteVerifier};

/// Proof that an entry was appended to its organisation's chain and fsynced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    seq: u64,
    record_id: Option<String>,
}

impl Committed {
    /// To be called by `io::database` after COMMIT and by nothing else (`tests/engine/tidy.rs` looks).
    #[cfg_attr(not(any(test, feature = "server")), expect(dead_code, reason = "the engine alone has nothing that commits"))]
    pub(crate) const fn after_fsync(seq: u64, record_id: Option<String>) -> Self {
        Self { seq, record_id }
    }

    /// The entry's number in its organisation's chain.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The consent record that the entry carries, if it carries one.
    #[must_use]
    pub fn record_id(&self) -> Option<&str> {
        self.record_id.as_deref()
    }
}
