//! Checkpoints: a chain's size and Merkle root, signed. The format is C2SP's signed note and checkpoint (Ed25519), which
//! others' tools read: origin, size, root in base64, an empty line, and a line for each signature.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::Hash;

/// The signature type of Ed25519 in C2SP's signed notes.
const ED25519: u8 = 1;
/// What a signature's line begins with: an em dash.
const DASH: &str = "\u{2014} ";
/// No checkpoint is longer.
pub const NOTE_MAX: usize = 16 * 1024;

/// Signs notes in a name. Does not print.
#[derive(Clone)]
pub struct NoteSigner {
    name: String,
    key: SigningKey,
}

/// Verifies notes signed in a name: what may be handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteVerifier {
    name: String,
    key: VerifyingKey,
}

/// How far a chain went, and what it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Whose chain, in the world's words: the signer's name and the organisation.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
}

/// Why a note proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotProven {
    /// It is no note.
    #[error("it is no signed note: {0}")]
    Malformed(&'static str),
    /// Nobody known signed it.
    #[error("it is not signed by {0}: give the public key of the gateway that wrote it")]
    Unknown(String),
    /// Somebody changed it.
    #[error("its signature by {0} does not hold: it was changed, or forged")]
    Forged(String),
    /// The key is none.
    #[error("the public key is none; one looks like NAME+HASH+BASE64")]
    Key,
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.name)
    }
}

impl NoteSigner {
    /// Signs in `name` by the key that `seed` is. A name has neither space nor plus.
    #[must_use]
    pub fn new(name: &str, seed: &[u8; 32]) -> Option<Self> {
        is_name(name).then(|| Self { name: name.to_owned(), key: SigningKey::from_bytes(seed) })
    }

    /// What verifies what this signs.
    #[must_use]
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// In whose name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `text`, which ends with a line break, and its signature.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.verifier().id().to_vec();
        bytes.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("{text}\n{DASH}{} {}\n", self.name, base64_simd::STANDARD.encode_to_string(bytes))
    }
}

impl NoteVerifier {
    /// Reads `NAME+HASH+BASE64`.
    ///
    /// # Errors
    /// [`NotProven::Key`].
    pub fn parse(text: &str) -> Result<Self, NotProven> {
        let parts = text.trim().split_once('+').and_then(|(name, rest)| Some((name, rest.split_once('+')?)));
        let (name, (id, key)) = parts.ok_or(NotProven::Key)?;
        let bytes = base64_simd::STANDARD.decode_to_vec(key).map_err(|_| NotProven::Key)?;
        let key: &[u8; 32] = match bytes.split_first() {
            Some((&ED25519, key)) => key.try_into().map_err(|_| NotProven::Key)?,
            _ => return Err(NotProven::Key),
        };
        let verifier = Self { name: name.to_owned(), key: VerifyingKey::from_bytes(key).map_err(|_| NotProven::Key)? };
        if is_name(name) && hex(verifier.id()) == id { Ok(verifier) } else { Err(NotProven::Key) }
    }

    /// Whose notes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The note's text, if this key signed it.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NotProven> {
        if note.len() > NOTE_MAX || note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(NotProven::Malformed("it is too long, or has control characters"));
        }
        let at = note.rfind("\n\n").ok_or(NotProven::Malformed("it has no signatures"))?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        if signatures.is_empty() || !signatures.ends_with('\n') {
            return Err(NotProven::Malformed("its last line is not whole"));
        }
        let mut ours = None;
        for line in signatures.lines() {
            let line = line.strip_prefix(DASH).and_then(|line| line.split_once(' '));
            let (name, bytes) = line.ok_or(NotProven::Malformed("a line that should be a signature is none"))?;
            let bytes = base64_simd::STANDARD.decode_to_vec(bytes).map_err(|_| NotProven::Malformed("a signature is not base64"))?;
            // Those of others are passed over, as the format wants it.
            if let Some((id, signature)) = bytes.split_first_chunk::<4>()
                && name == self.name
                && *id == self.id()
            {
                ours = Some(signature.to_vec());
            }
        }
        let signature = ours.ok_or_else(|| NotProven::Unknown(self.to_string()))?;
        let forged = || NotProven::Forged(self.name.clone());
        let signature = Signature::from_slice(&signature).map_err(|_| forged())?;
        self.key.verify_strict(text.as_bytes(), &signature).map_err(|_| forged())?;
        Ok(text)
    }

    /// The first bytes of a hash over name and key, by which a signature says whose it is.
    fn id(&self) -> [u8; 4] {
        let mut digest = Sha256::new();
        digest.update(self.name.as_bytes());
        digest.update([b'\n', ED25519]);
        digest.update(self.key.as_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519];
        key.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(self.id()), base64_simd::STANDARD.encode_to_string(key))
    }
}

impl Checkpoint {
    /// Of an organisation's chain, signed in `name`.
    #[must_use]
    pub fn of(name: &str, org: &str, size: u64, root: Hash) -> Self {
        Self { origin: format!("{name}/{}", escaped(org)), size, root }
    }

    /// Whose chain it is, if its origin is one of `name`'s.
    #[must_use]
    pub fn org(&self, name: &str) -> Option<String> {
        unescaped(self.origin.strip_prefix(name)?.strip_prefix('/')?)
    }

    /// Where it lies in an object store.
    #[must_use]
    pub fn object_key(&self, name: &str) -> String {
        let org = self.origin.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&self.origin);
        format!("checkpoints/{org}/{}.txt", self.size)
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64_simd::STANDARD.encode_to_string(self.root.0))
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// [`NotProven`].
    pub fn open(note: &str, by: &NoteVerifier) -> Result<Self, NotProven> {
        let text = by.open(note)?;
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NotProven::Malformed("a checkpoint has three lines"));
        };
        let number: u64 = size.parse().map_err(|_| NotProven::Malformed("its size is no number"))?;
        let root = base64_simd::STANDARD.decode_to_vec(root).ok().and_then(|bytes| bytes.try_into().ok());
        let root = root.ok_or(NotProven::Malformed("its root is no hash"))?;
        if origin.is_empty() || number.to_string() != size {
            return Err(NotProven::Malformed("its origin or size is not written as a checkpoint has it"));
        }
        Ok(Self { origin: origin.to_owned(), size: number, root: Hash(root) })
    }
}

/// An organisation's id as part of a line and of an object's key: what is neither letter, digit, dash nor underscore by
/// its bytes, and so are the dots of a name that is nothing but dots.
fn escaped(org: &str) -> String {
    let dots = org.chars().all(|c| c == '.');
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        b'.' if !dots => ".".to_owned(),
        other => format!("%{other:02X}"),
    };
    org.bytes().map(byte).collect()
}

fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    // One name, one text.
    String::from_utf8(bytes).ok().filter(|org| escaped(org) == text)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('+') && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn hex(bytes: [u8; 4]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// golang.org/x/mod/sumdb/note's own example: key, text and signature.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNED: &str =
        "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_that_others_signed_is_read_and_signed_the_same() {
        let peter = NoteVerifier::parse(PETER).unwrap();
        assert_eq!(peter.to_string(), PETER);
        let note = format!("{TEXT}\n{SIGNED}");
        assert_eq!(peter.open(&note).unwrap(), TEXT);
        // PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz
        let seed = base64_simd::STANDARD.decode_to_vec("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").unwrap();
        let signer = NoteSigner::new("PeterNeumann", seed[1..].try_into().unwrap()).unwrap();
        assert_eq!((signer.verifier(), signer.sign(TEXT)), (peter, note));
    }

    fn signer() -> NoteSigner {
        NoteSigner::new("gate.example.com", &[7; 32]).unwrap()
    }

    #[test]
    fn every_byte_of_a_checkpoint_counts() {
        let checkpoint = Checkpoint { origin: "gate.example.com/org".into(), size: 257, root: Hash([9; 32]) };
        let note = signer().sign(&checkpoint.text());
        let by = signer().verifier();
        assert_eq!(Checkpoint::open(&note, &by), Ok(checkpoint));
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&changed, &by).is_err(), "byte {at}: {changed}");
            }
            assert!(note.get(..at).is_none_or(|cut| Checkpoint::open(cut, &by).is_err()), "cut at {at}");
        }
    }

    #[test]
    fn any_organisation_has_one_origin_and_a_key_of_its_own() {
        for org in ["default", "..", ".", "a/b", "a b\n", "Ö+%", "", "x.y"] {
            let checkpoint = Checkpoint::of("gate", org, 3, Hash([1; 32]));
            assert_eq!(checkpoint.org("gate").as_deref(), Some(org));
            let key = checkpoint.object_key("gate");
            assert!(!checkpoint.origin.contains(char::is_whitespace) && !key.contains("/./") && !key.contains("/../"), "{key}");
            assert_eq!(key.matches('/').count(), 2, "{key}");
        }
        let default = Checkpoint::of("gate", "default", 3, Hash([1; 32]));
        assert_eq!((default.object_key("gate").as_str(), default.org("other")), ("checkpoints/default/3.txt", None));
        assert_eq!(Checkpoint { origin: "gate/%64efault".into(), ..default }.org("gate"), None, "another text for the same is none");
    }

    #[test]
    fn a_wrong_key_an_unknown_one_and_no_key_are_told_apart() {
        let note = signer().sign("a\n1\n");
        let other = NoteSigner::new("gate.example.com", &[8; 32]).unwrap().verifier();
        assert!(matches!(other.open(&note), Err(NotProven::Unknown(_))));
        let named = NoteSigner::new("other.example.com", &[7; 32]).unwrap().verifier();
        assert!(matches!(named.open(&note), Err(NotProven::Unknown(_))));
        assert!(matches!(signer().verifier().open(&note.replace("a\n1", "a\n2")), Err(NotProven::Forged(_))));
        // Another's signature beside ours is passed over.
        let both = format!("{note}{}", signer().sign("x\n").lines().last().unwrap().replace("gate", "gone")) + "\n";
        assert_eq!(signer().verifier().open(&both), Ok("a\n1\n"));
        for wrong in ["", "a+b", "gate+00000000+AQ==", &PETER.replace("c74f20a3", "c74f20a4"), &PETER.replace("Peter", "Paul")] {
            assert_eq!(NoteVerifier::parse(wrong), Err(NotProven::Key), "{wrong}");
        }
        for wrong in ["", "a b", "a+b", "a\n"] {
            assert!(NoteSigner::new(wrong, &[7; 32]).is_none(), "{wrong}");
        }
        let by = signer().verifier();
        for (text, why) in
            [("a\n1\n", "three lines"), ("a\nx\nAA==\n", "no number"), ("a\n01\nAA==\n", "no hash"), ("a\n1\nAA==\n", "no hash")]
        {
            let broken = Checkpoint::open(&signer().sign(text), &by).unwrap_err().to_string();
            assert!(broken.contains(why), "{broken}");
        }
    }
}
