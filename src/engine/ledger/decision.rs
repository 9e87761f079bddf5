//! A consent decision in the chain: what its entry says in clear, and what only a salted commitment to its record.
//!
//! Names and what people said never enter a link: the record keeps them, beside the salt, and the entry commits to the
//! record's bytes. So a chain can be handed out, and a record one day erased, and the chain still verifies.

use std::fmt;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::chain::{Hash, hex};
use super::{Event, EventKind, Position, canonical};
use crate::engine::consent::ConsentRecord;

/// Domain of a commitment, so that it is no leaf (0) and no node (1) of RFC 6962.
const COMMITMENT: u8 = 2;

/// Random bytes beside a value, without which a commitment to it tells nothing: 10^10 phone numbers are soon tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

impl Salt {
    /// Reads 32 hex digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        hex(text).map(Self)
    }
}

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// Binds to `value` without telling it.
#[must_use]
pub fn commitment(salt: Salt, value: &[u8]) -> Hash {
    let mut digest = Sha256::new();
    digest.update([COMMITMENT]);
    digest.update(salt.0);
    digest.update(value);
    Hash(digest.finalize().into())
}

/// A consent record ready to be written: its bytes, and the event that carries it.
#[derive(Debug)]
pub struct Decision {
    /// Canonical JSON of the whole record, to stand beside the salt.
    pub record: String,
    /// What enters the chain.
    pub event: Event,
}

impl Decision {
    /// Of a client's `version`th record.
    ///
    /// # Errors
    /// Only if the evidence holds what JSON cannot.
    pub fn of(record: &ConsentRecord, version: u64, salt: Salt) -> Result<Self, serde_json::Error> {
        let text = canonical(record)?;
        let position = serde_json::from_value::<Position>(record.evidence.told()["position"].take()).ok();
        let mut detail = json!({
            "recordId": record.id,
            "version": version,
            "commitment": commitment(salt, text.as_bytes()).to_string(),
            "status": record.status,
            "method": record.method,
            "languageCode": record.language_code,
            "promptVersion": record.prompt_version,
            "evidence": record.evidence,
        });
        // Places are the client's: they are committed to, and not told.
        if let Some(version) = &record.policy_version {
            detail["policyVersion"] = json!(version);
            if let Some(basis) = &record.policy_basis {
                detail["policyClass"] = json!(basis.class);
            }
        }
        let event = Event {
            org_id: record.org_id.clone(),
            kind: EventKind::of_decision(record.status),
            actor: record.actor.clone(),
            call_id: record.call_id.clone(),
            client_id: Some(record.client_id.clone()),
            at: record.at,
            position,
            detail,
        };
        Ok(Self { record: text, event })
    }
}

/// What a decision's entry says of its record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionTold {
    record_id: String,
    version: u64,
    commitment: String,
}

impl DecisionTold {
    /// Reads an entry's detail.
    #[must_use]
    pub fn read(detail: &str) -> Option<Self> {
        serde_json::from_str(detail).ok()
    }

    /// The record, if these stored bytes are the very ones the entry was made of.
    #[must_use]
    pub fn record(&self, stored: &[u8], salt: &[u8]) -> Option<ConsentRecord> {
        let salt = Salt::parse(salt)?;
        if Hash::parse(self.commitment.as_bytes()) != Some(commitment(salt, stored)) {
            return None;
        }
        serde_json::from_slice(stored).ok().filter(|record: &ConsentRecord| record.id == self.record_id)
    }

    /// Which of its client's records it is, from 1.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consent::{Actor, ConsentStatus, Method};
    use crate::engine::ledger::Head;
    use crate::engine::policy::{Basis, Class, Ground, Source};
    use crate::engine::time::WallTime;

    fn record() -> ConsentRecord {
        ConsentRecord {
            id: "record".into(),
            org_id: "org".into(),
            client_id: "client".into(),
            call_id: None,
            status: ConsentStatus::Revoked,
            method: Method::Written,
            language_code: "en".into(),
            prompt_version: "v1".into(),
            actor: Actor::User { id: "u1".into(), name: "Maria Canary".into() },
            at: WallTime(1_790_000_000_000),
            reason: Some("called from 555-0100".into()),
            evidence: json!({ "position": { "streamSid": "MZ1", "sequence": 7, "timestampMs": 140 } }).into(),
            policy_version: None,
            policy_basis: None,
        }
    }

    #[test]
    fn no_name_and_no_word_of_a_person_enters_a_link() {
        let decision = Decision::of(&record(), 1, Salt([7; 16])).unwrap();
        let entry = Head::default().follow(&decision.event).unwrap().canonical;
        assert!(decision.record.contains("Maria Canary") && decision.record.contains("555-0100"));
        assert!(!entry.contains("Canary") && !entry.contains("555"), "{entry}");
        assert!(entry.contains(r#""actor":{"id":"u1","kind":"USER"}"#) && entry.contains(r#""sequence":7"#), "{entry}");
    }

    #[test]
    fn the_class_of_a_call_is_told_and_the_places_it_was_decided_from_are_committed_to() {
        let ground = Ground { source: Source::ClientAddress, region: Some("US-CA".into()), class: Class::All };
        let basis = Basis { class: Class::All, grounds: vec![ground] };
        let record = ConsentRecord { policy_version: Some("p-1".into()), policy_basis: Some(basis), ..record() };
        let (salt, decision) = (Salt([7; 16]), Decision::of(&record, 1, Salt([7; 16])).unwrap());
        let entry = Head::default().follow(&decision.event).unwrap().canonical;
        assert!(entry.contains(r#""policyClass":"all","policyVersion":"p-1""#) && !entry.contains("US-CA"), "{entry}");
        assert!(
            decision.record.contains(r#""policyBasis":{"class":"all","grounds":[{"class":"all","region":"US-CA""#),
            "{}",
            decision.record
        );
        let told = DecisionTold::read(&decision.event.detail.to_string()).unwrap();
        assert_eq!(told.record(decision.record.as_bytes(), salt.to_string().as_bytes()), Some(record));
        let edited = decision.record.replace("US-CA", "US-VT");
        assert_eq!(told.record(edited.as_bytes(), salt.to_string().as_bytes()), None, "nobody moves a client unseen");
    }

    #[test]
    fn a_commitment_binds_to_every_byte_of_value_and_salt() {
        let salt = Salt([7; 16]);
        let decision = Decision::of(&record(), 3, salt).unwrap();
        let told = DecisionTold::read(&decision.event.detail.to_string()).unwrap();
        let stored = decision.record.as_bytes();
        assert_eq!(told.record(stored, salt.to_string().as_bytes()), Some(record()));
        assert_eq!(told.version(), 3);
        for at in 0..stored.len() {
            let mut edited = stored.to_vec();
            edited[at] ^= 1;
            assert_eq!(told.record(&edited, salt.to_string().as_bytes()), None);
        }
        for at in 0..16 {
            let mut other = salt;
            other.0[at] ^= 1;
            assert_eq!(told.record(stored, other.to_string().as_bytes()), None);
        }
        assert_eq!(format!("{salt:?}"), "Salt(…)");
    }
}
