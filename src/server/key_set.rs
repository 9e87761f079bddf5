//! A key set (RFC 7517) by which API tokens are checked that somebody else signs: `CALLGATE_JWKS_FILE`.
//!
//! The key says which algorithm its tokens are signed with; what a token says of itself selects a key by `kid` and
//! nothing else. A set that could mint tokens (private or symmetric keys) is refused whole: it does not belong here.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde_json::Value;

/// No key set is longer.
const KEY_SET_MAX: u64 = 256 * 1024;
/// Shorter RSA keys are not safe, and aws-lc checks nothing with them: 2,048 bits.
const RSA_MODULUS_MIN: usize = 256;

/// Public keys, each with the one algorithm it is used by.
pub struct KeySet {
    keys: Vec<PublicKey>,
}

struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why a key set is refused.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// The file is not there, or may not be read.
    #[error("CALLGATE_JWKS_FILE {path} cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It is no key set.
    #[error("CALLGATE_JWKS_FILE is no JSON key set (RFC 7517, an object with \"keys\"): {0}")]
    NotASet(String),
    /// It holds what tokens are signed with.
    #[error("CALLGATE_JWKS_FILE: key {0} is private or symmetric; give callgate the public keys only, and count that one as disclosed")]
    Private(String),
    /// Two keys go by one name, or one has none among others.
    #[error("CALLGATE_JWKS_FILE: key {0}: among several keys each needs a kid of its own")]
    Ambiguous(String),
    /// A key is damaged or too weak.
    #[error("CALLGATE_JWKS_FILE: key {id} cannot be used: {why}")]
    Unusable {
        /// Its kid or place.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// None of its keys checks signatures that are known here.
    #[error("CALLGATE_JWKS_FILE holds no key for RS256, ES256 (P-256) or EdDSA (Ed25519)")]
    Empty,
}

impl KeySet {
    /// Reads the set at `path`.
    ///
    /// # Errors
    /// [`KeySetError`] says what to mend.
    pub fn read(path: &Path) -> Result<Self, KeySetError> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(KEY_SET_MAX + 1).read_to_string(&mut text));
        read.map_err(|source| KeySetError::Unreadable { path: path.to_owned(), source })?;
        if text.len() as u64 > KEY_SET_MAX {
            return Err(KeySetError::NotASet(format!("it is longer than {KEY_SET_MAX} bytes")));
        }
        Self::parse(&text)
    }

    /// Reads a set. Keys for encryption and of other kinds are passed over, as RFC 7517 §5 asks.
    fn parse(text: &str) -> Result<Self, KeySetError> {
        let set: Value = serde_json::from_str(text).map_err(|why| KeySetError::NotASet(why.to_string()))?;
        let rows = set["keys"].as_array().ok_or_else(|| KeySetError::NotASet("it has no list \"keys\"".to_owned()))?;
        let mut keys: Vec<PublicKey> = Vec::new();
        for (n, row) in rows.iter().enumerate() {
            let named = row["kid"].as_str().map_or_else(|| format!("number {}", n + 1), |id| format!("{id:?}"));
            if !row["d"].is_null() || !row["k"].is_null() {
                return Err(KeySetError::Private(named));
            }
            match PublicKey::of(row).map_err(|why| KeySetError::Unusable { id: named.clone(), why })? {
                Some(key) => keys.push(key),
                None => tracing::info!(key = %named, "tokens: a key of the key set is passed over: it is not for RS256, ES256 or EdDSA"),
            }
        }
        for (n, key) in keys.iter().enumerate() {
            let others = || keys.iter().enumerate().filter(|(other, _)| *other != n);
            if keys.len() > 1 && (key.id.is_none() || others().any(|(_, other)| other.id == key.id)) {
                return Err(KeySetError::Ambiguous(key.id.as_ref().map_or_else(|| "without a kid".to_owned(), |id| format!("{id:?}"))));
            }
        }
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// The key that a token's header asks for, and the only algorithm it is good for.
    pub(super) fn key_for(&self, header: &Header) -> Option<(&DecodingKey, Algorithm)> {
        let found = match (&header.kid, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_ref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.map(|key| (&key.key, key.algorithm))
    }
}

impl PublicKey {
    /// `None` if the key is for something else.
    fn of(row: &Value) -> Result<Option<Self>, String> {
        // A key of a kind that is not known here is for somebody else; one of ours with a member missing is damaged.
        let ours = matches!((row["kty"].as_str(), row["crv"].as_str()), (Some("RSA"), _) | (_, Some("P-256" | "Ed25519")));
        let otherwise = || if ours { Err("a member of it is missing or wrong".to_owned()) } else { Ok(None) };
        let Ok(jwk) = serde_json::from_value::<Jwk>(row.clone()) else { return otherwise() };
        let (algorithm, named) = if matches!(jwk.algorithm, AlgorithmParameters::RSA(_)) {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        } else if matches!(&jwk.algorithm, AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256) {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        } else if matches!(&jwk.algorithm, AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519) {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        } else {
            return otherwise();
        };
        let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        if !for_signatures || jwk.common.key_algorithm.is_some_and(|told| told != named) {
            return Ok(None);
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|why| why.to_string())?;
        let right_size = match key.kind() {
            jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } => n.len() >= RSA_MODULUS_MIN,
            jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes) if algorithm == Algorithm::ES256 => bytes.len() == 65,
            jsonwebtoken::DecodingKeyKind::SecretOrDer(bytes) => bytes.len() == 32,
        };
        if !right_size {
            return Err("it is too short (RSA needs 2,048 bits or more), or not a whole key".to_owned());
        }
        Ok(Some(Self { id: jwk.common.key_id, algorithm, key }))
    }
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.keys.len())
    }
}
