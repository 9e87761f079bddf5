//! An organisation's hash chain: what an entry's bytes are, and what an unbroken chain is.
//!
//! An entry is canonical JSON (RFC 8785) that names its number and the hash of the entry before it; its hash is
//! SHA-256 over a zero byte and those bytes (RFC 6962's leaf prefix, so that a Merkle tree over the same leaves needs
//! no second hashing). Verifying needs the bytes alone, entry by entry, in constant memory.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Event;

/// SHA-256 of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry names as the one before it.
    pub const GENESIS: Self = Self([0; 32]);

    /// Reads 64 hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Of an entry's canonical bytes.
    #[must_use]
    pub fn of_entry(canonical: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update([0]);
        digest.update(canonical);
        Self(digest.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The end of a chain: what the next entry must follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Number of the last entry, 0 for an empty chain.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// An entry's bytes, ready to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// Hash of the entry before it.
    pub prev: Hash,
    /// Its own.
    pub hash: Hash,
    /// The bytes that were hashed.
    pub canonical: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    seq: u64,
    prev: String,
    action: super::Action,
    severity: super::Severity,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    seq: u64,
    prev: String,
    org_id: String,
}

impl Head {
    /// The entry that `event` becomes after this head.
    ///
    /// # Errors
    /// Only if `event`'s detail holds what JSON cannot (a number that is not finite).
    pub fn follow(self, event: &Event) -> Result<Entry, serde_json::Error> {
        let seq = self.seq + 1;
        let shape = Shape { seq, prev: self.hash.to_string(), action: event.kind.action(), severity: event.kind.severity(), event };
        let canonical = serde_json_canonicalizer::to_string(&shape)?;
        Ok(Entry { seq, prev: self.hash, hash: Hash::of_entry(canonical.as_bytes()), canonical })
    }
}

/// The first link that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// Its bytes are not those its hash was made of.
    #[error("entry {seq} of {org} was changed: its bytes do not have the hash stored with it")]
    Flipped {
        /// Whose chain.
        org: String,
        /// Which entry.
        seq: u64,
    },
    /// A number is missing, or comes twice, or out of order.
    #[error("entry {expected} of {org} is missing: entry {found} stands in its place")]
    OutOfOrder {
        /// Whose chain.
        org: String,
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// It follows another entry than the one before it.
    #[error("entry {seq} of {org} does not follow entry {}: that one was changed, dropped or put in", seq - 1)]
    Unlinked {
        /// Whose chain.
        org: String,
        /// Which entry.
        seq: u64,
    },
    /// Its bytes are no entry of this chain.
    #[error("entry {seq} of {org} is not an entry of this chain")]
    Foreign {
        /// Whose chain.
        org: String,
        /// Which entry.
        seq: u64,
    },
    /// A consent record is not the one its entry was made of.
    #[error("consent record of entry {seq} of {org} was changed or removed")]
    Record {
        /// Whose chain.
        org: String,
        /// Which entry.
        seq: u64,
    },
}

/// Checks one organisation's chain, entry by entry.
#[derive(Debug)]
pub struct Verifier {
    org: String,
    head: Head,
}

impl Verifier {
    /// Expects the first entry of `org`.
    #[must_use]
    pub const fn new(org: String) -> Self {
        Self { org, head: Head { seq: 0, hash: Hash::GENESIS } }
    }

    /// Checks the next entry: the number and hash stored with it, and its bytes.
    ///
    /// # Errors
    /// [`Broken`] names it. What follows a broken link proves nothing.
    pub fn check(&mut self, seq: u64, stored: &str, canonical: &str) -> Result<(), Broken> {
        let org = || self.org.clone();
        let expected = self.head.seq + 1;
        if seq != expected {
            return Err(Broken::OutOfOrder { org: org(), expected, found: seq });
        }
        let hash = Hash::of_entry(canonical.as_bytes());
        if Hash::parse(stored) != Some(hash) || stored.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Broken::Flipped { org: org(), seq });
        }
        let link: Link = serde_json::from_str(canonical).map_err(|_| Broken::Foreign { org: org(), seq })?;
        if link.seq != seq || link.org_id != self.org {
            return Err(Broken::Foreign { org: org(), seq });
        }
        if Hash::parse(&link.prev) != Some(self.head.hash) {
            return Err(Broken::Unlinked { org: org(), seq });
        }
        self.head = Head { seq, hash };
        Ok(())
    }

    /// The last entry checked.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Whose chain it is.
    #[must_use]
    pub fn org(&self) -> &str {
        &self.org
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::consent::Actor;
    use crate::engine::ledger::EventKind;
    use crate::engine::time::WallTime;

    fn chain(length: u64) -> Vec<Entry> {
        let mut head = Head::default();
        (0..length)
            .map(|n| {
                let event = Event {
                    org_id: "org".into(),
                    kind: EventKind::ConsentGranted,
                    actor: Actor::System,
                    call_id: Some(format!("call{n}")),
                    client_id: None,
                    at: WallTime(1_790_000_000_000 - (n as i64) * 7),
                    position: None,
                    detail: serde_json::json!({ "ñ": 1.5, "b": [n, null], "a": "\u{7}" }),
                };
                let entry = head.follow(&event).unwrap();
                head = Head { seq: entry.seq, hash: entry.hash };
                entry
            })
            .collect()
    }

    fn verify(entries: &[Entry]) -> Result<Head, Broken> {
        let mut verifier = Verifier::new("org".into());
        for entry in entries {
            verifier.check(entry.seq, &entry.hash.to_string(), &entry.canonical)?;
        }
        Ok(verifier.head())
    }

    #[test]
    fn chains_of_every_size_verify() {
        for length in [0, 1, 2, 3, 255, 256, 257] {
            let entries = chain(length);
            let head = verify(&entries).unwrap();
            assert_eq!((head.seq, head.hash), (length, entries.last().map_or(Hash::GENESIS, |entry| entry.hash)));
        }
    }

    #[test]
    fn canonical_bytes_are_sorted_and_minimal() {
        let canonical = &chain(1)[0].canonical;
        assert!(canonical.starts_with(r#"{"action":"CREATE","actor":{"kind":"SYSTEM"},"at":"2026-"#), "{canonical}");
        assert!(canonical.contains(r#""detail":{"a":"\u0007","b":[0,null],"ñ":1.5}"#), "{canonical}");
    }

    #[test]
    fn dropped_doubled_swapped_and_forged_entries_are_named() {
        let good = chain(5);
        let mut dropped = good.clone();
        dropped.remove(2);
        assert_eq!(verify(&dropped), Err(Broken::OutOfOrder { org: "org".into(), expected: 3, found: 4 }));
        let mut doubled = good.clone();
        doubled.insert(2, good[1].clone());
        assert_eq!(verify(&doubled), Err(Broken::OutOfOrder { org: "org".into(), expected: 3, found: 2 }));
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        assert!(verify(&swapped).is_err());
        // A forger who also fixes the hash of the entry he changed breaks the next link.
        let mut forged = good.clone();
        forged[1].canonical = forged[1].canonical.replace("call1", "call9");
        assert_eq!(verify(&forged), Err(Broken::Flipped { org: "org".into(), seq: 2 }));
        forged[1].hash = Hash::of_entry(forged[1].canonical.as_bytes());
        assert_eq!(verify(&forged), Err(Broken::Unlinked { org: "org".into(), seq: 3 }));
        let mut renumbered = good;
        renumbered.remove(0);
        for (n, entry) in renumbered.iter_mut().enumerate() {
            entry.seq = n as u64 + 1;
        }
        assert_eq!(verify(&renumbered), Err(Broken::Foreign { org: "org".into(), seq: 1 }));
    }
}
