//! Against the loss of power: the spool's file system is flushed now and then, away from everybody who has a deadline.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::io::priority::give_way;

/// Between two flushes, while anything is written. One `syncfs` for all files: `fdatasync` of a thousand files, one after
/// the other, takes more than ten times as long (measured: `docs/spool.md`).
pub const SYNC_EVERY: Duration = Duration::from_millis(500);

/// Set by writers when there is something to flush. The thread ends with the last of them.
pub(super) type Written = Arc<AtomicBool>;

pub(super) fn start(folder: &Path) -> io::Result<Written> {
    let folder = File::open(folder)?;
    let written = Written::default();
    let seen = Arc::clone(&written);
    std::thread::Builder::new().name("spool-sync".to_owned()).spawn(move || {
        give_way();
        let mut failing = false;
        while Arc::strong_count(&seen) > 1 {
            std::thread::sleep(SYNC_EVERY);
            if !seen.swap(false, Ordering::Relaxed) {
                continue;
            }
            let synced = rustix::fs::syncfs(&folder);
            if let (Err(why), false) = (synced, failing) {
                tracing::error!(error = %why, "spool: cannot be flushed to the disk; a loss of power may lose more than a second");
            }
            failing = synced.is_err();
        }
    })?;
    Ok(written)
}
