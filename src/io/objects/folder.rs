//! A folder as object store: written beside, fsynced, linked to its name, and every folder above it fsynced too, so that
//! an object is whole or not there, also when the power goes.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::{Deleted, Feed, ObjectError, Source, Stored, Tally, seen};

/// What a half-written object's name begins with.
const PARTIAL: &str = ".partial-";
const READ: usize = 64 * 1024;
/// A half-written object that nobody has written to for so long has no writer any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A folder of objects.
#[derive(Clone, Debug)]
pub struct Folder {
    root: Arc<Path>,
    next: Arc<AtomicU64>,
}

impl Folder {
    pub(super) fn open(root: PathBuf) -> Result<Self, ObjectError> {
        let swept = std::fs::create_dir_all(&root).and_then(|()| sweep(&root));
        swept.map_err(|why| store("open", &root.display().to_string(), &why))?;
        Ok(Self { root: root.into(), next: Arc::default() })
    }

    pub(super) async fn put(&self, key: &str, feed: Feed) -> Result<Stored, ObjectError> {
        let target = self.root.join(key);
        let failed = |why: &io::Error| store("write", key, why);
        let folder = target.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&folder).await.map_err(|why| failed(&why))?;
        let partial = folder.join(format!("{PARTIAL}{}-{}", std::process::id(), self.next.fetch_add(1, Ordering::Relaxed)));
        let written = write(&partial, key, feed).await;
        let sent = match written {
            Ok(sent) => sent,
            Err(why) => {
                let _ = fs::remove_file(&partial).await;
                return Err(why);
            }
        };
        // A hard link refuses to overwrite, where a rename would not ask.
        match fs::hard_link(&partial, &target).await {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => {
                let _ = fs::remove_file(&partial).await;
                return Err(failed(&why));
            }
        }
        let _ = fs::remove_file(&partial).await;
        self.sync(folder).await.map_err(|why| failed(&why))?;
        let there = match self.get(key, None).await? {
            Some(source) => seen(key, source).await?,
            None => return Err(ObjectError::Unproven(key.to_owned())),
        };
        if there == sent { Ok(there) } else { Err(ObjectError::Exists(key.to_owned())) }
    }

    pub(super) async fn get(&self, key: &str, range: Option<(u64, u64)>) -> Result<Option<Source>, ObjectError> {
        let mut file = match fs::File::open(self.root.join(key)).await {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(store("read", key, &why)),
        };
        let mut left = u64::MAX;
        if let Some((first, last)) = range {
            file.seek(SeekFrom::Start(first)).await.map_err(|why| store("read", key, &why))?;
            left = last.saturating_sub(first) + 1;
        }
        let (to, source) = mpsc::channel(4);
        tokio::spawn(async move {
            while left > 0 {
                let mut piece = BytesMut::zeroed(READ.min(usize::try_from(left).unwrap_or(READ)));
                let read = file.read(&mut piece).await;
                let piece = read.map(|count| {
                    piece.truncate(count);
                    left -= count as u64;
                    Bytes::from(piece)
                });
                let over = piece.as_ref().map_or(true, Bytes::is_empty);
                if matches!(&piece, Ok(bytes) if bytes.is_empty()) || to.send(piece).await.is_err() || over {
                    break;
                }
            }
        });
        Ok(Some(source))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<Deleted, ObjectError> {
        let path = self.root.join(key);
        let versions = match fs::remove_file(&path).await {
            Ok(()) => 1,
            Err(why) if why.kind() == io::ErrorKind::NotFound => 0,
            Err(why) => return Err(store("delete", key, &why)),
        };
        if versions > 0 {
            self.sync(path.parent().unwrap_or(&self.root).to_owned()).await.map_err(|why| store("delete", key, &why))?;
        }
        // A half-written object does not tell whose it is: what has long been left alone is nobody's.
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        let uploads = tokio::task::spawn_blocking(move || if folder.is_dir() { sweep(&folder) } else { Ok(0) })
            .await
            .map_err(io::Error::other)
            .and_then(|swept| swept)
            .map_err(|why| store("delete what was left half written beside", key, &why))?;
        let gone = !fs::try_exists(&path).await.unwrap_or(true);
        Ok(Deleted { versions, uploads, gone })
    }

    /// Makes the names in `folder`, and its own name in those above it, outlast the power.
    async fn sync(&self, folder: PathBuf) -> io::Result<()> {
        let root = Arc::clone(&self.root);
        let synced = tokio::task::spawn_blocking(move || {
            let ours = folder.ancestors().take_while(|folder| folder.starts_with(&root));
            ours.map(std::fs::File::open).try_for_each(|folder| folder?.sync_all())
        });
        synced.await.map_err(io::Error::other)?
    }

    pub(super) async fn ready(&self) -> bool {
        let probe = self.root.join(format!("{PARTIAL}ready"));
        fs::write(&probe, b"").await.is_ok() && fs::remove_file(&probe).await.is_ok()
    }
}

async fn write(partial: &Path, key: &str, mut feed: Feed) -> Result<Stored, ObjectError> {
    let failed = |why: io::Error| store("write", key, &why);
    let mut file = fs::File::create_new(partial).await.map_err(failed)?;
    let mut tally = Tally::default();
    while let Some(bytes) = feed.next(key, &mut tally).await? {
        file.write_all(&bytes).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    feed.whole(key, tally).await
}

/// Removes what a crash left half written: other gateways may be writing here too, so only what has long been left alone.
/// How much that was.
fn sweep(folder: &Path) -> io::Result<u32> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += sweep(&entry.path())?;
        } else if entry.file_name().to_string_lossy().starts_with(PARTIAL)
            && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > ABANDONED)
        {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn store(doing: &'static str, key: &str, why: &io::Error) -> ObjectError {
    ObjectError::Store { doing, key: key.to_owned(), why: why.to_string() }
}
