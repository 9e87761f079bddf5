//! What an opt-out cut back leaves the disk: not by being overwritten, which no file system promises, but by a key that
//! no longer exists.
//!
//! The frames that stay are written anew under a key of their own, the new file takes the old one's name, and the old one's
//! wrapped key is zeroed. Until that is done the cut stands in the old file as a record, so that a crash anywhere in
//! between publishes nothing that was cut.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

use super::CHUNK_ROOM;
use super::format::{self, Record};
use super::keys::SpoolKeys;
use super::read::SpoolFile;
use super::write::{Target, shred};
use crate::engine::audio::frame::{Place, StreamNo};

/// What a rewritten spool is called until it takes the old one's name.
pub(super) const FRESH: &str = "fresh";

impl SpoolFile {
    /// Makes what was cut unreadable for good. Nothing to do is fine; so is doing it again.
    ///
    /// # Errors
    /// What the file system says, or that the spool is damaged: then everything stays as it was, the cut among it.
    pub fn shed_cuts(&self, keys: &SpoolKeys) -> io::Result<()> {
        let mut cuts: Vec<(usize, StreamNo, Place)> = Vec::new();
        let mut sealed = false;
        for (index, record) in self.records(keys)?.enumerate() {
            match record? {
                Record::Cut(stream, at) => cuts.push((index, stream, at)),
                Record::Sealed => sealed = true,
                Record::Head(_) | Record::Stream(_) | Record::Frame(_) | Record::Pause(_) | Record::Beep(..) | Record::Transfer(_) => {}
            }
        }
        if cuts.is_empty() {
            return Ok(());
        }
        let mut old = OpenOptions::new().read(true).write(true).open(self.path())?;
        let fresh = self.fresh();
        match fs::remove_file(&fresh) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        if let Err(why) = self.rewrite(keys, &cuts, sealed) {
            let _ = fs::remove_file(&fresh);
            return Err(why);
        }
        fs::rename(&fresh, self.path())?;
        // First the new name for good, then the old key: a loss of power in between must not leave the name on noise.
        if let Some(folder) = self.path().parent() {
            File::open(folder)?.sync_all()?;
        }
        shred(&mut old)
    }

    fn fresh(&self) -> PathBuf {
        self.path().with_extension(FRESH)
    }

    fn rewrite(&self, keys: &SpoolKeys, cuts: &[(usize, StreamNo, Place)], sealed: bool) -> io::Result<()> {
        let head = self.look(keys).map_err(io::Error::other)?;
        let mut target = Target::create(&self.fresh(), &head.recording_id, keys)?;
        let (mut chunk, mut out) = (Vec::with_capacity(CHUNK_ROOM * 5), Vec::new());
        for (index, record) in self.records(keys)?.enumerate() {
            match record? {
                Record::Head(head) => format::put_head(&mut chunk, &head),
                Record::Stream(stream) => format::put_stream(&mut chunk, &stream),
                Record::Pause(pause) => format::put_pause(&mut chunk, &pause),
                Record::Transfer(transfer) => format::put_transfer(&mut chunk, &transfer),
                Record::Frame(frame) => {
                    let is_cut = cuts.iter().any(|(cut, stream, at)| *cut > index && *stream == frame.stream && frame.end() > *at);
                    if !is_cut {
                        format::put_spooled(&mut chunk, &frame);
                    }
                }
                Record::Beep(stream, at) => format::put_beep(&mut chunk, stream, at),
                Record::Cut(..) | Record::Sealed => continue,
            }
            if chunk.len() >= CHUNK_ROOM * 4 {
                target.write(&chunk, &mut out)?;
                chunk.clear();
            }
        }
        if sealed {
            format::put_sealed(&mut chunk);
        }
        target.write(&chunk, &mut out)?;
        target.sync()
    }
}
