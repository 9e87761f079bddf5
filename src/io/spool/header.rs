//! The front of a spool: whose it is, and how its key is found.
//!
//! Two forms that differ in who wraps. In both the wrapped key stands right behind the id, so that one way destroys both.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Its data key is wrapped by the key file.
const BY_FILE: &[u8; 8] = b"CGSPOOL1";
/// Its data key is wrapped by a key that AWS KMS wrapped in turn, which follows.
const BY_KMS: &[u8; 8] = b"CGSPOOL2";
/// Magic and length of the id.
const FRONT: usize = 10;
/// Bytes of a wrapped data key: nonce, key, tag.
pub(super) const WRAPPED: usize = 12 + 32 + 16;
/// The longest that AWS KMS takes for its `Decrypt`.
const OUTER_MAX: usize = 6_144;

/// The front of a spool.
pub(super) struct Header {
    /// The recording's id.
    pub(super) id: Vec<u8>,
    /// Its data key, wrapped.
    pub(super) wrapped: [u8; WRAPPED],
    /// What wraps it, if that is not the key file.
    pub(super) outer: Option<Outer>,
}

/// A key that wraps data keys, as AWS KMS wrapped it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Outer {
    /// The gateway it was made for: part of the encryption context.
    pub(super) gateway: String,
    /// What KMS is given to open.
    pub(super) wrapped: Vec<u8>,
}

/// Why a file does not begin as a spool does.
pub(super) enum NoHeader {
    /// It ends before its header does.
    Torn,
    /// It is something else.
    Foreign,
    /// The file system failed.
    Disk(io::Error),
}

impl Header {
    /// As it stands in the file.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let too_long = |_| io::Error::other("a recording id, a gateway's name or a wrapped key is too long for a spool");
        let magic = if self.outer.is_some() { BY_KMS } else { BY_FILE };
        let id_len = u16::try_from(self.id.len()).map_err(too_long)?.to_le_bytes();
        let mut bytes = [magic.as_slice(), &id_len, &self.id, &self.wrapped].concat();
        if let Some(outer) = &self.outer {
            bytes.push(u8::try_from(outer.gateway.len()).map_err(too_long)?);
            bytes.extend_from_slice(outer.gateway.as_bytes());
            bytes.extend_from_slice(&u16::try_from(outer.wrapped.len()).map_err(too_long)?.to_le_bytes());
            bytes.extend_from_slice(&outer.wrapped);
        }
        Ok(bytes)
    }

    /// Reads it; the file is left at its first chunk.
    pub(super) fn read(file: &mut File) -> Result<Self, NoHeader> {
        let (by_kms, id_len) = front(file)?;
        let mut id = vec![0; id_len];
        file.read_exact(&mut id).map_err(ended)?;
        let mut wrapped = [0; WRAPPED];
        file.read_exact(&mut wrapped).map_err(ended)?;
        let outer = if by_kms { Some(Outer::read(file)?) } else { None };
        Ok(Self { id, wrapped, outer })
    }

    /// The recording's id as text.
    pub(super) fn recording_id(&self) -> io::Result<&str> {
        std::str::from_utf8(&self.id).map_err(|_| NoHeader::Foreign.into())
    }

    /// Whether its key is destroyed.
    pub(super) fn is_shredded(&self) -> bool {
        self.wrapped.iter().all(|byte| *byte == 0)
    }
}

impl Outer {
    fn read(file: &mut File) -> Result<Self, NoHeader> {
        let mut gateway_len = [0; 1];
        file.read_exact(&mut gateway_len).map_err(ended)?;
        let mut gateway = vec![0; usize::from(gateway_len[0])];
        file.read_exact(&mut gateway).map_err(ended)?;
        let gateway = String::from_utf8(gateway).map_err(|_| NoHeader::Foreign)?;
        let mut wrapped_len = [0; 2];
        file.read_exact(&mut wrapped_len).map_err(ended)?;
        let wrapped_len = usize::from(u16::from_le_bytes(wrapped_len));
        if !(1..=OUTER_MAX).contains(&wrapped_len) {
            return Err(NoHeader::Foreign);
        }
        let mut wrapped = vec![0; wrapped_len];
        file.read_exact(&mut wrapped).map_err(ended)?;
        Ok(Self { gateway, wrapped })
    }
}

/// Where the wrapped key of a spool stands.
pub(super) fn key_at(file: &mut File) -> io::Result<u64> {
    let (_, id_len) = front(file)?;
    Ok((FRONT + id_len) as u64)
}

/// Whether KMS has a part in it, and the length of its id.
fn front(file: &mut File) -> Result<(bool, usize), NoHeader> {
    file.seek(SeekFrom::Start(0)).map_err(NoHeader::Disk)?;
    let mut front = [0; FRONT];
    file.read_exact(&mut front).map_err(ended)?;
    let [magic @ .., low, high] = front;
    let by_kms = match &magic {
        BY_FILE => false,
        BY_KMS => true,
        _ => return Err(NoHeader::Foreign),
    };
    Ok((by_kms, usize::from(u16::from_le_bytes([low, high]))))
}

fn ended(why: io::Error) -> NoHeader {
    if why.kind() == io::ErrorKind::UnexpectedEof { NoHeader::Torn } else { NoHeader::Disk(why) }
}

impl From<NoHeader> for io::Error {
    fn from(why: NoHeader) -> Self {
        match why {
            NoHeader::Torn | NoHeader::Foreign => Self::new(io::ErrorKind::InvalidData, "not a spool, or torn before its head was written"),
            NoHeader::Disk(why) => why,
        }
    }
}
