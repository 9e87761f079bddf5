//! An organisation's hash chain: what an entry's bytes are, and what an unbroken chain is.
//!
//! An entry is canonical JSON (RFC 8785) that names its number and the hash of the entry before it; its hash is
//! SHA-256 over a zero byte and those bytes (RFC 6962's leaf prefix, so that a Merkle tree over the same leaves needs
//! no second hashing). Verifying needs the bytes alone, entry by entry, in constant memory.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Action, Event, EventKind, Position, Severity, canonical};
use crate::engine::consent::Actor;
use crate::engine::time::WallTime;

/// SHA-256 of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first entry names as the one before it.
    pub const GENESIS: Self = Self([0; 32]);

    /// Reads 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        hex(text).map(Self)
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
    org_id: &'a str,
    kind: EventKind,
    action: Action,
    severity: Severity,
    actor: ActorTold<'a>,
    call_id: Option<&'a str>,
    client_id: Option<&'a str>,
    at: WallTime,
    position: Option<&'a Position>,
    detail: &'a Value,
}

/// An actor as a link names one: by opaque id. Names stand in records, which can be erased; links cannot.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
enum ActorTold<'a> {
    Client { id: &'a str },
    User { id: &'a str },
    System,
}

/// What an entry's bytes say, to be held against what is stored beside them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link<'a> {
    seq: u64,
    prev: Cow<'a, str>,
    org_id: Cow<'a, str>,
    /// What happened, in the word of [`EventKind`]; a newer callgate may know more of them.
    pub kind: Cow<'a, str>,
    /// About which client.
    pub client_id: Option<String>,
    /// On which call.
    pub call_id: Option<String>,
    /// When.
    pub at: Cow<'a, str>,
    /// The rest, as it stands.
    #[serde(borrow)]
    pub detail: &'a RawValue,
}

impl Head {
    /// The entry that `event` becomes after this head.
    ///
    /// # Errors
    /// Only if `event`'s detail holds what JSON cannot (a number that is not finite).
    pub fn follow(self, event: &Event) -> Result<Entry, serde_json::Error> {
        let seq = self.seq + 1;
        let canonical = canonical(&Shape {
            seq,
            prev: self.hash.to_string(),
            org_id: &event.org_id,
            kind: event.kind,
            action: event.kind.action(),
            severity: event.kind.severity(),
            actor: match &event.actor {
                Actor::Client { id } => ActorTold::Client { id },
                Actor::User { id, name: _ } => ActorTold::User { id },
                Actor::System => ActorTold::System,
            },
            call_id: event.call_id.as_deref(),
            client_id: event.client_id.as_deref(),
            at: event.at,
            position: event.position.as_ref(),
            detail: &event.detail,
        })?;
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
    /// What is stored beside the bytes, to find an entry by, is not what they say.
    #[error("entry {seq} of {org} was made to look like another: its columns do not say what its bytes say")]
    Mislabelled {
        /// Whose chain.
        org: String,
        /// Which entry.
        seq: u64,
    },
    /// Entries that a checkpoint counts are not there.
    #[error("the chain of {org} was cut: a checkpoint counts {size} entries, and there are {entries}")]
    Cut {
        /// Whose chain.
        org: String,
        /// Entries when it was signed.
        size: u64,
        /// Entries that are there.
        entries: u64,
    },
    /// The entries that a checkpoint counts are others.
    #[error("the first {size} entries of {org} are not those that a checkpoint was signed for: history was written anew")]
    Rewritten {
        /// Whose chain.
        org: String,
        /// Entries when it was signed.
        size: u64,
    },
    /// A consent record stands without the entry it was written with.
    #[error("entry {seq} of {org} was removed: a consent record was written with it")]
    Removed {
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

    /// Checks the next entry: the number and hash stored with it, and its bytes. Tells what they say.
    ///
    /// # Errors
    /// [`Broken`] names it. What follows a broken link proves nothing.
    pub fn check<'a>(&mut self, seq: u64, stored: &[u8], canonical: &'a [u8]) -> Result<Link<'a>, Broken> {
        let org = || self.org.clone();
        let expected = self.head.seq + 1;
        if seq != expected {
            return Err(Broken::OutOfOrder { org: org(), expected, found: seq });
        }
        let hash = Hash::of_entry(canonical);
        if Hash::parse(stored) != Some(hash) {
            return Err(Broken::Flipped { org: org(), seq });
        }
        let link: Link<'a> = serde_json::from_slice(canonical).map_err(|_| Broken::Foreign { org: org(), seq })?;
        if link.seq != seq || link.org_id != self.org {
            return Err(Broken::Foreign { org: org(), seq });
        }
        if Hash::parse(link.prev.as_bytes()) != Some(self.head.hash) {
            return Err(Broken::Unlinked { org: org(), seq });
        }
        self.head = Head { seq, hash };
        Ok(link)
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

/// Reads lower-case hex digits, exactly as many as fit: one value, one text.
pub(super) fn hex<const BYTES: usize>(text: &[u8]) -> Option<[u8; BYTES]> {
    let digit = |code: u8| match code {
        b'0'..=b'9' => Some(code - b'0'),
        b'a'..=b'f' => Some(code - b'a' + 10),
        _ => None,
    };
    if text.len() != BYTES * 2 {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            verifier.check(entry.seq, entry.hash.to_string().as_bytes(), entry.canonical.as_bytes())?;
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
    fn every_flipped_bit_of_an_entry_or_its_hash_is_named() {
        let good = chain(3);
        let check = |seq: u64, hash: &[u8], canonical: &[u8]| {
            let mut verifier = Verifier::new("org".into());
            for entry in &good[..seq as usize - 1] {
                verifier.check(entry.seq, entry.hash.to_string().as_bytes(), entry.canonical.as_bytes()).unwrap();
            }
            verifier.check(seq, hash, canonical).map(|_| ())
        };
        for entry in &good {
            let (hash, bytes) = (entry.hash.to_string().into_bytes(), entry.canonical.clone().into_bytes());
            let flipped = Err(Broken::Flipped { org: "org".into(), seq: entry.seq });
            for bit in 0..8 {
                for at in 0..bytes.len() {
                    let mut edited = bytes.clone();
                    edited[at] ^= 1 << bit;
                    assert_eq!(check(entry.seq, &hash, &edited), flipped, "byte {at}, bit {bit}");
                }
                for at in 0..hash.len() {
                    let mut edited = hash.clone();
                    edited[at] ^= 1 << bit;
                    assert_eq!(check(entry.seq, &edited, &bytes), flipped, "hash digit {at}, bit {bit}");
                }
            }
        }
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
