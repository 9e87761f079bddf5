//! Consent: what a key means, the grant and its receipt, and THE GATE.
//!
//! *A gate that exists is open; a closed gate is one that does not exist.* The path is one-way and each step is
//! a value that only the step before it can make:
//!
//! ```text
//! Grant ──(ledger: append, fsync)──▶ Receipt<Grant> ──Gate::open──▶ Gate ──admit──▶ Admitted ──▶ sinks
//! ```
//!
//! Nothing here waits, and nothing here can be switched on by a flag.

mod gate;
mod grant;
pub mod keys;
mod record;
mod retention;
#[cfg(test)]
pub(crate) mod testing;

pub use gate::{Admitted, Batch, Cut, DELAY_LINE_MS, Gate, HOLD_MAX_MS};
pub use grant::{Grant, GrantSeq, Receipt};
pub use record::{Actor, Circumstances, ConsentRecord, ConsentStatus, Direction, Method, UnrecordedReason};
pub use retention::{QueuedCalls, Queues, RETENTION_DAYS, due};
