//! Makers for tests: a record, a receipt that a test's own ledger has committed.

use super::{Actor, ConsentRecord, ConsentStatus, Grant, Method, Receipt};
use crate::engine::ledger::Committed;
use crate::engine::time::WallTime;

/// A yes by key.
pub(crate) fn record(id: &str) -> ConsentRecord {
    ConsentRecord {
        id: id.to_owned(),
        org_id: "org".into(),
        client_id: "client".into(),
        call_id: Some("call".into()),
        status: ConsentStatus::Granted,
        method: Method::Keypress,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::Client { id: "client".into() },
        at: WallTime(1_790_000_000_000),
        reason: None,
        evidence: serde_json::Value::Null.into(),
        policy_version: None,
        policy_basis: None,
    }
}

/// Its receipt.
pub(crate) fn receipt(id: &str) -> Receipt<Grant> {
    let grant = Grant { record: record(id).into(), seen: 0 };
    Receipt::of(grant, &Committed::after_fsync(1, Some(id.to_owned()))).unwrap_or_else(|_| unreachable!("the commit is of this record"))
}

/// Frames admitted by a real gate: `count` of 20 ms on the client's channel from `from_ms` on, frame `n` made by `codes`.
#[cfg(feature = "server")]
pub(crate) fn admitted(from_ms: u64, count: u64, codes: impl Fn(u64) -> Vec<u8>) -> super::Batch {
    use crate::engine::audio::frame::{Channel, Frame, Place, StreamNo};
    use crate::engine::time::MediaTime;
    let mut gate = super::Gate::open(receipt("record"));
    let mut batch = super::Batch::default();
    for n in 0..count {
        let at = MediaTime(from_ms + n * 20);
        let _ = gate.admit(Frame::new(Channel::Client, StreamNo(0), Place::of(at), at, &codes(n)), &mut batch);
    }
    gate.let_out_all(&mut batch);
    batch
}
