//! Posts events to the main app: what the outbox holds, each at least once, those of a call in order. Tried again, ever
//! more slowly, through outages and restarts; given up after [`GIVE_UP_AFTER`], loudly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

use super::ids;
use super::live::submit;
use super::metrics::Outcome;
use super::world::World;
use crate::engine::time::WallTime;
use crate::engine::webhook::body;
use crate::io::clock::wall;
use crate::io::database::{OutboxWork, Post, Verdict, Work};
use crate::io::webhook::{NotTaken, TAKEN_WITHIN, Webhook};

/// Posts under way at once.
const AT_ONCE: usize = 8;
/// Pauses double from the one to the other.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// An event that nobody took for so long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// A claim holds so long: a try, and the ledger's answer. Then its process is taken for dead.
const CLAIM_FOR: Duration = Duration::from_secs(TAKEN_WITHIN.as_secs() + 20);
/// What is due is looked for this often, if no bell rings.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Posts until it is told to stop.
pub(super) struct Poster {
    world: World,
    webhook: Webhook,
    /// What this process claims as.
    me: String,
    permits: Arc<Semaphore>,
    /// A post is settled: its call's next may go.
    settled: Notify,
    /// The last try failed; told once.
    failing: AtomicBool,
}

impl Poster {
    pub(super) fn new(world: World, webhook: Webhook) -> Arc<Self> {
        Arc::new(Self {
            world,
            webhook,
            me: ids::fresh("poster"),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            settled: Notify::new(),
            failing: AtomicBool::new(false),
        })
    }

    /// From here on events are written for posting. Claims of a process that is no more are let go.
    pub(super) fn begin(&self) {
        let database = &self.world.database;
        database.ledger().audience().post_events();
        if database.is_ours_alone() {
            submit(&self.world, Work::Outbox(OutboxWork::Release { by: self.me.clone() }));
        }
    }

    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let audience = Arc::clone(self.world.database.ledger().audience());
        while !*stop.borrow_and_update() {
            let posts = self.claim().await;
            let nothing = posts.is_empty();
            for post in posts {
                let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
                let poster = Arc::clone(&self);
                tokio::spawn(async move {
                    poster.post(post).await;
                    drop(permit);
                    poster.settled.notify_one();
                });
            }
            if nothing {
                tokio::select! {
                    () = audience.posted() => {}
                    () = self.settled.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    gone = stop.changed() => if gone.is_err() { return },
                }
            }
        }
    }

    /// Waits until what is due now is posted, or `bound` is over: the gateway stops.
    pub(super) async fn finish(&self, bound: Duration) {
        let deadline = tokio::time::Instant::now() + bound;
        while tokio::time::Instant::now() < deadline {
            let under_way = self.permits.available_permits() < AT_ONCE;
            if !under_way && !matches!(self.world.database.posts_are_due(wall()).await, Ok(true)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tracing::info!("webhook: not everything is posted; the rest is at the next start");
    }

    async fn claim(&self) -> Vec<Post> {
        let now = wall();
        let room = u32::try_from(self.permits.available_permits()).unwrap_or(0);
        match self.world.database.posts_are_due(now).await {
            Ok(true) if room > 0 => {}
            Ok(_) => return Vec::new(),
            Err(why) => {
                tracing::warn!(error = %why, "webhook: the outbox cannot be read; trying again");
                return Vec::new();
            }
        }
        let (done, claimed) = oneshot::channel();
        let work = OutboxWork::Claim {
            by: self.me.clone(),
            now,
            until: later(now, CLAIM_FOR),
            limit: room,
            then: Box::new(move |posts| drop(done.send(posts))),
        };
        submit(&self.world, Work::Outbox(work));
        claimed.await.unwrap_or_default()
    }

    async fn post(&self, post: Post) {
        let now = wall();
        let tried = self.webhook.post(&post.id, now.0 / 1_000, body(&post.kind, post.at, &post.state)).await;
        let verdict = self.judge(&post, tried);
        let outcome = match &verdict {
            Verdict::Delivered => "delivered",
            Verdict::Again { .. } => "again",
            Verdict::Failed { .. } => "failed",
        };
        self.world.metrics.posts.get_or_create(&Outcome { outcome }).inc();
        let (done, written) = oneshot::channel();
        let then = Box::new(move |written| {
            let _ = done.send(written);
        });
        submit(&self.world, Work::Outbox(OutboxWork::Settle { id: post.id.clone(), by: self.me.clone(), now: wall(), verdict, then }));
        if written.await != Ok(true) {
            tracing::warn!(event.id = %post.id, "webhook: what became of a post cannot be written; it may be posted once more");
        }
    }

    fn judge(&self, post: &Post, tried: Result<(), NotTaken>) -> Verdict {
        let Err(why) = tried else {
            if self.failing.swap(false, Ordering::Relaxed) {
                tracing::warn!("webhook: the receiver takes events again");
            }
            return Verdict::Delivered;
        };
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(event.id = %post.id, "webhook: the receiver takes no events: {why}; they are kept and tried again. Look at CALLGATE_WEBHOOK_URL");
        }
        let now = wall();
        if now >= later(post.at, GIVE_UP_AFTER) {
            tracing::error!(event.id = %post.id, call.id = %post.call_id, tries = post.tries + 1, "webhook: given up: {why}; the main app has missed a {}", post.kind);
            return Verdict::Failed { why: why.to_string() };
        }
        let wanted = if let NotTaken::Status { retry_after, .. } = &why { *retry_after } else { None };
        let pause = pause(post.tries, rand::rng().random_range(0.5..1.0)).max(wanted.unwrap_or_default()).min(PAUSE_MAX);
        Verdict::Again { due: later(now, pause), why: why.to_string() }
    }
}

/// The pause after so many tries, of which `share` is taken, so that those who failed together do not come back together.
fn pause(tries: u32, share: f64) -> Duration {
    PAUSE_FIRST.saturating_mul(1 << tries.min(16)).min(PAUSE_MAX).mul_f64(share)
}

fn later(at: WallTime, by: Duration) -> WallTime {
    WallTime(at.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_never_all_end_together() {
        assert_eq!(pause(0, 1.0), PAUSE_FIRST);
        assert_eq!(pause(3, 1.0), PAUSE_FIRST * 8);
        assert_eq!(pause(3, 0.5), PAUSE_FIRST * 4);
        assert_eq!(pause(u32::MAX, 1.0), PAUSE_MAX);
    }
}
