//! Checkpoints: every chain's length and Merkle root, signed, copied out to the object store. A chain cannot see that its own
//! tail was cut off, nor that whoever holds the database has written it anew; a copy elsewhere can (`callgate audit verify
//! --checkpoint`).
//!
//! Nothing is signed that contradicts what was signed before: the chain is held against the newest checkpoint first.
//!
//! Whoever hands out evidence asks at the [`Desk`] for a checkpoint that covers it, and gets it at once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::live::submit;
use super::world::World;
use crate::engine::ledger::{Checkpoint, Hash, Merkle, NOTE_MAX, NoteSigner, NoteVerifier};
use crate::io::database::{CheckpointRow, DatabaseError, Work};
use crate::io::objects::{ObjectError, ObjectStore};
use crate::io::seed;

/// A chain is signed when it has so many entries that no checkpoint covers.
pub const ENTRIES_MAX: u64 = 256;
/// Or has had one for so long.
const UNSIGNED_MAX: Duration = Duration::from_secs(300);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Entries read at once.
const PAGE: u32 = 1_000;
/// What the key's name begins with; the rest is a hash of the key.
const NAME: &str = "callgate";
/// The key, under the data folder.
const KEY: &str = "keys/checkpoint.key";

/// Who may wait at the desk at once; one more is sent away.
const ASKS_MAX: usize = 32;

/// Signs.
pub(super) struct Notary {
    world: World,
    objects: Arc<ObjectStore>,
    signer: NoteSigner,
    books: BTreeMap<String, Book>,
    asks: mpsc::Receiver<Ask>,
}

/// Where a checkpoint is asked for.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Ask>);

/// Somebody needs a checkpoint of `org`'s chain that covers entry `seq`.
struct Ask {
    org: String,
    seq: u64,
    then: oneshot::Sender<Option<Signed>>,
}

/// A checkpoint that the object store holds.
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    pub(super) note: String,
    pub(super) key: NoteVerifier,
}

/// What is known of one chain.
struct Book {
    tree: Merkle,
    /// The newest checkpoint: what the chain must agree with, and how much of it is covered.
    signed: Option<(u64, Hash)>,
    /// Since when an entry is not covered.
    since: Option<Instant>,
    /// It contradicts what was signed: nothing of it is signed any more.
    broken: bool,
}

/// The signer whose key lies in a data folder, made on first use.
pub(super) fn signer(data_dir: &Path) -> io::Result<NoteSigner> {
    named(&seed::open(&data_dir.join(KEY))?)
}

/// The public half of the same; `None` if no gateway has made one yet.
///
/// # Errors
/// If the key file cannot be read.
pub fn checkpoint_key(data_dir: &Path) -> io::Result<Option<NoteVerifier>> {
    seed::read(&data_dir.join(KEY))?.map(|seed| Ok(named(&seed)?.verifier())).transpose()
}

/// The same; a key that is not there is made.
///
/// # Errors
/// As [`checkpoint_key`], or if it cannot be written.
pub fn open_checkpoint_key(data_dir: &Path) -> io::Result<NoteVerifier> {
    Ok(signer(data_dir)?.verifier())
}

/// A signer in a name that no other key has.
fn named(seed: &[u8; 32]) -> io::Result<NoteSigner> {
    let none = || io::Error::other("the checkpoint key has no name");
    let key = NoteSigner::new(NAME, seed).ok_or_else(none)?.verifier().to_string();
    let id = key.split('+').nth(1).ok_or_else(none)?;
    NoteSigner::new(&format!("{NAME}-{id}"), seed).ok_or_else(none)
}

impl Desk {
    /// The newest checkpoint, made if it does not cover entry `seq` yet. None if that cannot be signed, or not stored.
    pub(super) async fn sign(&self, org: &str, seq: u64) -> Option<Signed> {
        let (then, signed) = oneshot::channel();
        self.0.try_send(Ask { org: org.to_owned(), seq, then }).ok()?;
        signed.await.ok()?
    }
}

impl Notary {
    pub(super) fn new(world: World, objects: Arc<ObjectStore>, signer: NoteSigner) -> (Self, Desk) {
        let (desk, asks) = mpsc::channel(ASKS_MAX);
        (Self { world, objects, signer, books: BTreeMap::new(), asks }, Desk(desk))
    }

    /// Signs what is due until it is told to stop; then all that no checkpoint covers.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let stopping = *stop.borrow_and_update();
            if let Err(why) = self.round(stopping).await {
                tracing::warn!(error = %why, "checkpoint: the chains cannot be read; trying again");
            }
            if stopping {
                return;
            }
            let next = Instant::now() + LOOK_EVERY;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(next) => break,
                    gone = stop.changed() => if gone.is_err() { return } else { break },
                    Some(ask) = self.asks.recv() => self.attend(ask).await,
                }
            }
        }
    }

    async fn round(&mut self, all: bool) -> Result<(), DatabaseError> {
        for (org, length) in self.world.database.chains().await? {
            self.look(org, length, all).await?;
        }
        Ok(())
    }

    /// Reads a chain up to `length`, and signs it if that is due or wanted.
    async fn look(&mut self, org: String, length: u64, wanted: bool) -> Result<(), DatabaseError> {
        let mut book = match self.books.remove(&org) {
            Some(book) => book,
            None => Book { tree: Merkle::default(), signed: self.newest(&org).await?, since: None, broken: false },
        };
        let read = self.read(&org, &mut book, length).await;
        if read.is_ok() && !book.broken {
            self.sign(&org, &mut book, wanted).await;
        }
        self.books.insert(org, book);
        read
    }

    /// Answers somebody at the desk.
    async fn attend(&mut self, ask: Ask) {
        let Ask { org, seq, then } = ask;
        let covered = |books: &BTreeMap<String, Book>| {
            books.get(&org).filter(|book| !book.broken).and_then(|book| book.signed).filter(|(size, _)| *size >= seq)
        };
        if covered(&self.books).is_none()
            && let Err(why) = self.look(org.clone(), seq, true).await
        {
            tracing::warn!(error = %why, org.id = %org, "checkpoint: the chain cannot be read for one that is asked for");
        }
        let signed = covered(&self.books).map(|(size, root)| {
            let checkpoint = Checkpoint::of(self.signer.name(), &org, size, root);
            Signed { note: self.signer.sign(&checkpoint.text()), checkpoint, key: self.signer.verifier() }
        });
        // Who has gone away needs no answer.
        drop(then.send(signed));
    }

    /// The newest checkpoint of a chain, by the signed copy if the store has it.
    async fn newest(&self, org: &str) -> Result<Option<(u64, Hash)>, DatabaseError> {
        let Some(row) = self.world.database.newest_checkpoint(org).await? else { return Ok(None) };
        match self.copy(&row.key).await {
            Some(copy) if copy.org(self.signer.name()).as_deref() == Some(org) && copy.size == row.size => Ok(Some((copy.size, copy.root))),
            Some(_) | None => {
                tracing::warn!(object = %row.key, "checkpoint: its signed copy cannot be read, or is another key's; the database's word is taken");
                Ok(Some((row.size, row.root)))
            }
        }
    }

    async fn copy(&self, key: &str) -> Option<Checkpoint> {
        let mut source = self.objects.get(key, None).await.ok()??;
        let mut bytes = Vec::new();
        while let Some(piece) = source.recv().await {
            bytes.extend_from_slice(&piece.ok()?);
            if bytes.len() > NOTE_MAX {
                return None;
            }
        }
        Checkpoint::open(std::str::from_utf8(&bytes).ok()?, &self.signer.verifier()).ok()
    }

    /// Takes in a chain's entries up to `length`, and holds it against what was signed of it.
    async fn read(&self, org: &str, book: &mut Book, length: u64) -> Result<(), DatabaseError> {
        while book.tree.size() < length && !book.broken {
            let leaves = self.world.database.leaves(org, book.tree.size(), PAGE).await?;
            if leaves.is_empty() {
                break;
            }
            for (seq, leaf) in leaves {
                if seq != book.tree.size() + 1 {
                    self.refuse(org, book, "an entry is missing");
                    break;
                }
                book.tree.push(leaf);
                if let Some((size, root)) = book.signed
                    && size == seq
                    && root != book.tree.root()
                {
                    self.refuse(org, book, "it is not the history that was signed");
                    break;
                }
            }
        }
        let covered = book.signed.map_or(0, |(size, _)| size);
        if !book.broken && covered > book.tree.size() {
            self.refuse(org, book, "entries that were signed are gone from its end");
        }
        if book.tree.size() > covered {
            book.since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn refuse(&self, org: &str, book: &mut Book, why: &str) {
        book.broken = true;
        tracing::error!(
            org.id = %org,
            "checkpoint: the chain contradicts its newest checkpoint: {why}. Nothing more of it is signed; stop, keep the database, and run `callgate audit verify --checkpoint`"
        );
    }

    async fn sign(&self, org: &str, book: &mut Book, all: bool) {
        let size = book.tree.size();
        let covered = book.signed.map_or(0, |(size, _)| size);
        let due = size >= covered + ENTRIES_MAX || book.since.is_some_and(|since| since.elapsed() >= UNSIGNED_MAX);
        if size <= covered || !(due || all) {
            return;
        }
        let checkpoint = Checkpoint::of(self.signer.name(), org, size, book.tree.root());
        let key = checkpoint.object_key(self.signer.name());
        let note = self.signer.sign(&checkpoint.text());
        match self.objects.put_bytes(&key, "text/plain; charset=utf-8", note.into()).await {
            Ok(_) => {}
            // Another gateway, by its own key, signed the same; one that signed something else would be told by its reader.
            Err(ObjectError::Exists(_)) => {
                tracing::warn!(object = %key, "checkpoint: there is one by another gateway's key already; who verifies must be given the keys of all")
            }
            Err(why) => {
                tracing::warn!(error = %why, "checkpoint: not stored yet; trying again");
                return;
            }
        }
        let row = CheckpointRow { org_id: org.to_owned(), size, root: checkpoint.root, key };
        submit(&self.world, Work::Checkpoint(Box::new(row)));
        tracing::info!(org.id = %org, entries = size, "checkpoint: signed and stored");
        book.signed = Some((size, checkpoint.root));
        book.since = None;
    }
}
