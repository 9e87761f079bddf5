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
        evidence: serde_json::Value::Null,
    }
}

/// Its receipt.
pub(crate) fn receipt(id: &str) -> Receipt<Grant> {
    let grant = Grant { record: record(id), seen: 0 };
    Receipt::of(grant, &Committed::after_fsync(1, Some(id.to_owned()))).unwrap_or_else(|_| unreachable!("the commit is of this record"))
}
