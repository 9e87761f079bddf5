//! Who waits for what commits bring: readers of a call's events, and the poster of webhooks. A bell says only that there
//! is something new; what it is, everybody reads from the database at their own pace. So nobody can hold up the writer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use tokio::sync::{Notify, mpsc, watch};

/// Bells of calls that somebody follows, and the poster's.
#[derive(Default)]
pub struct Audience {
    by_call: DashMap<String, watch::Sender<()>>,
    posts: AtomicBool,
    posted: Notify,
    /// Who is told of calls that turned out to be another gateway's.
    lost: OnceLock<mpsc::UnboundedSender<String>>,
}

/// Rings when a call's state was written. Forgotten when the last who listens is gone.
pub struct CallBell {
    audience: Arc<Audience>,
    call_id: String,
    rings: watch::Receiver<()>,
}

impl Audience {
    /// A bell of a call, whether or not there is such a call yet.
    #[must_use]
    pub fn follow(self: &Arc<Self>, call_id: &str) -> CallBell {
        let rings = self.by_call.entry(call_id.to_owned()).or_insert_with(|| watch::channel(()).0).subscribe();
        CallBell { audience: Arc::clone(self), call_id: call_id.to_owned(), rings }
    }

    /// From here on every event is written for the poster as well.
    pub fn post_events(&self) {
        self.posts.store(true, Ordering::Relaxed);
    }

    /// Waits until there may be something to post. One that rang before is not missed.
    pub async fn posted(&self) {
        self.posted.notified().await;
    }

    pub(super) fn posts(&self) -> bool {
        self.posts.load(Ordering::Relaxed)
    }

    /// Calls that were to be written and are another gateway's now, from here on. One listens.
    #[must_use]
    pub fn lost_calls(&self) -> mpsc::UnboundedReceiver<String> {
        let (tell, lost) = mpsc::unbounded_channel();
        let _ = self.lost.set(tell);
        lost
    }

    pub(super) fn call_lost(&self, call_id: &str) {
        if let Some(lost) = self.lost.get() {
            let _ = lost.send(call_id.to_owned());
        }
    }

    /// A call was written, here or by another gateway.
    pub fn call_changed(&self, call_id: &str) {
        if let Some(bell) = self.by_call.get(call_id) {
            bell.send_replace(());
        }
        if self.posts() {
            self.posted.notify_one();
        }
    }
}

impl CallBell {
    /// Waits until the call's state was written since the last time.
    pub async fn rung(&mut self) {
        // The sender lives as long as we listen.
        let _ = self.rings.changed().await;
    }
}

impl Drop for CallBell {
    fn drop(&mut self) {
        self.audience.by_call.remove_if(&self.call_id, |_, bell| bell.receiver_count() <= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bell_is_forgotten_with_the_last_who_listens() {
        let audience = Arc::<Audience>::default();
        let (mut one, other) = (audience.follow("call"), audience.follow("call"));
        audience.call_changed("call");
        audience.call_changed("nobody's");
        one.rung().await;
        drop(other);
        assert_eq!(audience.by_call.len(), 1);
        audience.call_changed("call");
        one.rung().await;
        drop(one);
        assert!(audience.by_call.is_empty());
    }
}
