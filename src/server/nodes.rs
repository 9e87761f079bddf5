//! This gateway among others on one PostgreSQL database (design 7). One owns a call, any answers for it.
//!
//! The owner holds a lease. While it does, a revocation through another gateway waits for it; once the lease is over, no
//! gate of the owner is open: the media threads look at [`Lease`] themselves, by their own clock. What is asked of the
//! owner travels as a row of the database. Calls of a gateway that is gone are closed by another: sealed if its spool can
//! be reached from here, and said to be FAILED if not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::handover;
use super::http::App;
use super::ids;
use super::media::{MediaHandle, ToMedia};
use super::placing;
use super::registry::Registry;
use super::revocation;
use super::scribe;
use super::seal::Sealer;
use super::unserved;
use super::webhooks::{self, Asked, Form};
use super::world::World;
use crate::engine::call::{CallIdentity, Party, PartyKind};
use crate::engine::consent::{Actor, GrantSeq};
use crate::engine::time::{Tick, WallTime};
use crate::io::database::{Arrived, Bell, CallElsewhere, DatabaseError, GoneNode, LEASE, Nodes, Whose};
use crate::io::lock::{FolderLock, NotLocked};
use crate::io::spool::{SpoolKeys, spool_id};

/// A lease is renewed this often: three may fail before it is lost.
const RENEW_EVERY: Duration = Duration::from_secs(2);
/// Commands and answers are looked for this often even if no bell rings.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After the connection that hears bells broke.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);
/// Twilio waits for TwiML fifteen seconds in all.
const WEBHOOK_WITHIN: Duration = Duration::from_secs(5);
/// One peer has so long to take a new call: two of them are asked within [`WEBHOOK_WITHIN`].
const PEER_WITHIN: Duration = Duration::from_millis(2_500);
/// A state is worth so much waiting; then it is told as it was last written.
const STATE_WITHIN: Duration = Duration::from_millis(500);
/// What an owner that holds its lease does not do by then, it does not do.
const DONE_WITHIN: Duration = Duration::from_secs(5);
/// Twilio is asked meanwhile, who may take ten seconds.
const TRANSFERRED_WITHIN: Duration = Duration::from_secs(15);
/// A stopping gateway offers a new call to so many others at most, one after the other.
const PEERS_ASKED: u32 = 2;
/// Whoever is to be told of something is looked for so often: it may change hands meanwhile.
const LOOKS_MAX: u32 = 4;
/// Webhook answers are TwiML of a few kilobytes.
const ANSWER_MAX: usize = 256 * 1024;
/// The database tells within this whose a stream's call is, or the call begins without: it is not captured until somebody tells.
const WHOSE_WITHIN: Duration = Duration::from_secs(1);
/// And is asked again this often: every such call of an outage asks.
const WHOSE_AGAIN: Duration = Duration::from_secs(1);
/// Whoever takes a spool over holds its folder at most so long.
const SEALED_WITHIN: Duration = Duration::from_secs(600);

/// Until when gates may be open, on the clock of the media threads.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicU64>);

impl Lease {
    /// For who shares the database with nobody.
    #[must_use]
    pub fn for_ever() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// For who has still to take it.
    fn none() -> Self {
        Self(Arc::default())
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self, now: Tick) -> bool {
        now.0 < self.0.load(Ordering::Acquire)
    }

    fn renewed(&self, asked_at: Tick) {
        self.0.store(asked_at.0 + u64::try_from(LEASE.as_micros()).unwrap_or(0), Ordering::Release);
    }
}

/// What one gateway has another do.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Command {
    /// The client said no. `read_at` is when its request had been read; another gateway counts from when it takes the command up.
    OptOut {
        call_id: String,
        actor: Actor,
        reason: Option<String>,
        since: Option<WallTime>,
        #[serde(skip)]
        read_at: Option<Instant>,
    },
    /// What follows must not be captured.
    Pause { call_id: String, by: Actor, reason: String },
    /// A holder lets go, of what it holds for this reason or of all.
    Resume { call_id: String, by: Actor, reason: Option<String> },
    /// Consent was withdrawn, at this entry of the chain if it stands there yet.
    Revoked { call_id: String, entry: Option<u64> },
    /// The call goes to somebody else.
    Transfer { call_id: String, by: Actor, kind: PartyKind, to: String },
    /// How the call stands.
    State { call_id: String },
    /// Twilio's word on a call came to the wrong door.
    Webhook { path: String, query: String, form: Vec<(String, String)> },
    /// A new call came to a gateway that is stopping.
    NewCall { form: Vec<(String, String)> },
}

impl Command {
    fn call_id(&self) -> &str {
        match self {
            Self::OptOut { call_id, .. }
            | Self::Pause { call_id, .. }
            | Self::Resume { call_id, .. }
            | Self::Revoked { call_id, .. }
            | Self::Transfer { call_id, .. }
            | Self::State { call_id } => call_id,
            Self::Webhook { .. } | Self::NewCall { .. } => "",
        }
    }

    const fn within(&self) -> Duration {
        match self {
            Self::OptOut { .. } | Self::Pause { .. } | Self::Resume { .. } | Self::Revoked { .. } => DONE_WITHIN,
            Self::Transfer { .. } => TRANSFERRED_WITHIN,
            Self::State { .. } => STATE_WITHIN,
            Self::Webhook { .. } => WEBHOOK_WITHIN,
            Self::NewCall { .. } => PEER_WITHIN,
        }
    }
}

/// Why a command was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotDone {
    /// No gateway has the call: it is over.
    Over,
    /// The gateway that has it did not answer, and may hold its gate open.
    Unanswered,
}

/// This gateway's place among others.
pub(super) struct Node {
    nodes: Nodes,
    host: String,
    data_dir: String,
    answered: Notify,
}

impl Node {
    /// Takes the lease. Calls of whoever had this folder before are closed by [`Node::close_gone`].
    pub(super) async fn enter(nodes: Nodes, data_dir: &Path, app_clock: impl Fn() -> Tick) -> Result<(Arc<Self>, Lease), DatabaseError> {
        let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned()).display().to_string();
        let node = Self { nodes, host: host(), data_dir, answered: Notify::new() };
        let lease = Lease::none();
        let asked_at = app_clock();
        node.nodes.renew(&node.host, &node.data_dir).await?;
        lease.renewed(asked_at);
        tracing::info!(node.id = node.nodes.me(), "nodes: this gateway shares its database");
        Ok((Arc::new(node), lease))
    }

    /// Renews the lease, does what others ask, closes what others left, until it is told to stop; then gives the lease back.
    pub(super) async fn run(self: Arc<Self>, app: App, sealer: Sealer, mut stop: watch::Receiver<bool>) {
        let (renewing, listening) = (Arc::clone(&self), Arc::clone(&self));
        let listening = tokio::spawn(listening.listen(app.clone()));
        let losing = tokio::spawn(lose(app.clone()));
        let renewing = tokio::spawn(renewing.keep_alive(app, sealer));
        while !*stop.borrow_and_update() && stop.changed().await.is_ok() {}
        renewing.abort();
        listening.abort();
        losing.abort();
        if let Err(why) = self.nodes.leave().await {
            tracing::warn!(error = %why, "nodes: the lease cannot be given back; others wait until it is over");
        }
    }

    async fn keep_alive(self: Arc<Self>, app: App, sealer: Sealer) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let asked_at = app.world.clocks.tick();
            match self.nodes.renew(&self.host, &self.data_dir).await {
                Ok(taken) => {
                    if taken {
                        tracing::error!("nodes: others had taken this gateway for gone; its calls go on unrecorded");
                        app.media.lease_lost();
                    }
                    // Before a gate may open again: what others have taken over meanwhile is theirs.
                    match self.let_go(&app).await {
                        Ok(()) => app.world.lease.renewed(asked_at),
                        Err(why) => tracing::warn!(error = %why, "nodes: nobody can tell which calls are still ours; trying again"),
                    }
                }
                Err(why) => tracing::warn!(error = %why, "nodes: the lease is not renewed; trying again"),
            }
            if let Err(why) = self.close_gone(&app, &sealer).await {
                tracing::warn!(error = %why, "nodes: nobody can tell who is gone; trying again");
            }
        }
    }

    /// Calls that others have taken over are theirs: nothing of them is captured or written here any more.
    async fn let_go(&self, app: &App) -> Result<(), DatabaseError> {
        let calls: Vec<String> =
            app.registry.all().into_iter().filter(|live| !live.is_disowned()).map(|live| live.identity.call_id.clone()).collect();
        for call_id in self.nodes.lost(&calls).await? {
            disown(app, &call_id);
        }
        Ok(())
    }

    async fn listen(self: Arc<Self>, app: App) {
        loop {
            let mut bells = match self.nodes.bells().await {
                Ok(bells) => Some(bells),
                Err(why) => {
                    tracing::warn!(error = %why, "nodes: what other gateways do is not heard at once, only looked for");
                    None
                }
            };
            loop {
                self.look(&app).await;
                let rung = match &mut bells {
                    Some(bells) => timeout(LOOK_EVERY, bells.next()).await,
                    None => {
                        tokio::time::sleep(LISTEN_AGAIN).await;
                        break;
                    }
                };
                match rung {
                    Ok(Ok(Bell::Command)) | Err(_) => {}
                    Ok(Ok(Bell::Answer)) => self.answered.notify_waiters(),
                    Ok(Ok(Bell::Calls(ids))) => ids.iter().for_each(|id| app.world.database.ledger().audience().call_changed(id)),
                    Ok(Err(_)) => break,
                }
            }
        }
    }

    /// Does what waits to be done. Each on its own: one that takes long holds up no other.
    async fn look(self: &Arc<Self>, app: &App) {
        let commands = match self.nodes.commands().await {
            Ok(commands) => commands,
            Err(why) => {
                tracing::debug!(error = %why, "nodes: commands cannot be read");
                return;
            }
        };
        for (id, from, body) in commands {
            let (node, app) = (Arc::clone(self), app.clone());
            tokio::spawn(async move {
                let answer = match serde_json::from_value::<Command>(body) {
                    Ok(command) => perform(&app, command).await,
                    Err(why) => {
                        tracing::error!(error = %why, "nodes: a command is not understood; do all gateways have the same version?");
                        Value::Null
                    }
                };
                if let Err(why) = node.nodes.answer(&id, &from, &answer).await {
                    tracing::warn!(error = %why, "nodes: an answer cannot be given");
                }
            });
        }
    }

    /// Asks another gateway, and waits as long as it may still do it.
    async fn ask(&self, node_id: &str, command: &Command) -> Result<Value, NotDone> {
        let id = ids::fresh("cmd");
        let away = |why: DatabaseError| {
            tracing::warn!(error = %why, "nodes: another gateway cannot be asked");
            NotDone::Unanswered
        };
        let deadline = Instant::now() + command.within();
        let body = serde_json::to_value(command).map_err(|_| NotDone::Unanswered)?;
        self.nodes.ask(&id, node_id, &body).await.map_err(away)?;
        while Instant::now() < deadline {
            let answered = self.answered.notified();
            tokio::pin!(answered);
            // Registered before the look: a bell that rings between the two is not missed.
            answered.as_mut().enable();
            if let Some(answer) = self.nodes.answer_of(&id).await.map_err(away)? {
                return Ok(answer);
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_EVERY), answered).await;
        }
        tracing::warn!(node.id = node_id, "nodes: another gateway does not answer");
        Err(NotDone::Unanswered)
    }

    /// Closes what gateways that are gone have left.
    pub(super) async fn close_gone(&self, app: &App, sealer: &Sealer) -> Result<(), DatabaseError> {
        for gone in self.nodes.gone(&self.host, &self.data_dir).await? {
            if !self.nodes.claim(&gone).await? {
                continue;
            }
            let closed = self.close(app, sealer, &gone).await;
            self.nodes.release(&gone, closed).await?;
        }
        Ok(())
    }

    /// `false` if it lives: cut off, with every gate shut, and still the one that can seal what it captured.
    async fn close(&self, app: &App, sealer: &Sealer, gone: &GoneNode) -> bool {
        let failed = |why: &dyn std::fmt::Display| tracing::error!(node.id = %gone.id, error = %why, "nodes: what it left cannot be closed; trying again");
        let ours = gone.data_dir == self.data_dir && gone.host == self.host;
        let folder = Path::new(&gone.data_dir);
        let mut lock = None;
        if !ours && gone.host == self.host && folder.join("spool").is_dir() {
            match FolderLock::take(folder) {
                Ok(taken) => lock = Some(taken),
                Err(NotLocked::Taken(_)) => return false,
                Err(NotLocked::Disk(why)) => failed(&why),
            }
        }
        let reached = ours || lock.is_some();
        tracing::warn!(node.id = %gone.id, spool.reached = reached, "nodes: a gateway is gone; its calls are closed");
        // Read before the calls are closed: who closes them has them from then on. Closed before their recordings are
        // settled: whoever settles one says so in its call's row, and would be overwritten.
        let left = async {
            let unsettled = self.nodes.unsettled(&gone.id).await.map_err(|why| why.to_string())?;
            let transcripts = app.world.database.transcripts_left_open(Some(&gone.id)).await.map_err(|why| why.to_string())?;
            let unheard = placing::reopen(app, Some(&gone.id)).await.map_err(|why| why.to_string());
            sealer.close_left_open(Some(&gone.id)).await.map_err(|why| why.to_string())?;
            unheard.map(|()| (unsettled, transcripts))
        };
        let (unsettled, transcripts) = match left.await {
            Ok(left) => left,
            Err(why) => {
                failed(&why);
                return false;
            }
        };
        scribe::close_left_open(&app.world, transcripts).await;
        let sealed = match lock {
            Some(lock) => self.seal_spool(app, sealer, folder, lock).await.inspect_err(|why| failed(why)).is_ok(),
            // Our own folder is looked through at the start.
            None => ours,
        };
        for recording in unsettled.into_iter().filter(|_| !sealed) {
            let why = "the gateway that captured it is gone, and its spool cannot be reached from here; start it again on its data folder";
            sealer.fail(&recording, why.to_owned()).await;
        }
        true
    }

    /// Seals what lies in another gateway's folder, whose lock proves that nobody writes there any more.
    async fn seal_spool(&self, app: &App, sealer: &Sealer, folder: &Path, lock: FolderLock) -> Result<(), String> {
        let keys = SpoolKeys::open(&folder.join("keys/spool.key"), app.config.spool_kms.as_ref()).await.map_err(|why| why.to_string())?;
        let sealer = sealer.of_spool(&spool_id(folder).map_err(|why| why.to_string())?, Arc::new(keys));
        sealer.recover(PathBuf::from(folder).join("spool")).await.map_err(|why| why.to_string())?;
        tokio::spawn(async move {
            let deadline = Instant::now() + SEALED_WITHIN;
            while sealer.pending() > 0 && Instant::now() < deadline {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            drop(lock);
        });
        Ok(())
    }
}

/// Lets go of calls of which the database says, when they are to be written, that another gateway has them.
async fn lose(app: App) {
    let mut lost = app.world.database.ledger().audience().lost_calls();
    while let Some(call_id) = lost.recv().await {
        disown(&app, &call_id);
    }
}

fn disown(app: &App, call_id: &str) {
    if let Some(live) = app.registry.disown(call_id) {
        tracing::error!(call.id = call_id, "nodes: another gateway has taken this call over; here nothing of it is captured any more");
        live.owner.send(ToMedia::Disowned(call_id.to_owned()));
    }
}

/// What this machine is called. Two of one name that see each other's folders are one machine.
fn host() -> String {
    ["/etc/machine-id", "/etc/hostname"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .map(|text| text.trim().to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Does it on this gateway. The answer: how the call stands afterwards; null if it is not here.
async fn perform(app: &App, command: Command) -> Value {
    let (done, wait) = oneshot::channel();
    let call_id = command.call_id().to_owned();
    let mut no_read_at = None;
    let message = match command {
        Command::Webhook { path, query, form } => return answer_webhook(app, &path, &query, form).await,
        // Whoever cannot record it either says so, and another is asked.
        Command::NewCall { form } => {
            let takes = !app.is_draining() && app.world.lease.holds(app.world.clocks.tick());
            return if takes { answer_webhook(app, webhooks::VOICE, "", form).await } else { Value::Null };
        }
        Command::State { call_id } => return app.registry.owned(&call_id).map_or(Value::Null, |live| live.json()),
        Command::Transfer { call_id, by, kind, to } => {
            return handover::hand_over(app, &call_id, by, Party { kind, to }).await.json();
        }
        Command::OptOut { call_id, actor, reason, since, read_at } => {
            no_read_at = Some(read_at.unwrap_or_else(Instant::now));
            ToMedia::OptOut(call_id, actor, reason, since, done)
        }
        Command::Pause { call_id, by, reason } => ToMedia::Pause(call_id, by, reason, done),
        Command::Resume { call_id, by, reason } => ToMedia::Resume(call_id, by, reason, done),
        Command::Revoked { call_id, entry } => ToMedia::Revoked(call_id, entry.map(GrantSeq), done),
    };
    let Some(live) = app.registry.owned(&call_id) else { return Value::Null };
    live.owner.send(message);
    match wait.await {
        Ok(()) => match no_read_at {
            Some(read_at) => {
                app.world.metrics.opt_outs.observe(read_at.elapsed().as_secs_f64());
                revocation::told(app, &live).await
            }
            None => live.json(),
        },
        Err(_) => Value::Null,
    }
}

/// Has the gateway that owns a call do something; tells how the call stands then. Who owns it may change meanwhile: what is told is
/// told by whoever has it afterwards.
pub(super) async fn command(app: &App, command: Command) -> Result<Value, NotDone> {
    let told = |state: Value| if state.is_null() { Err(NotDone::Over) } else { Ok(state) };
    let call_id = command.call_id().to_owned();
    let here = match app.registry.owned(&call_id) {
        Some(_) => Some(perform(app, command.clone()).await),
        None => None,
    };
    let Some(node) = &app.node else { return here.map_or(Err(NotDone::Over), told) };
    if let Some(state) = &here
        // While the lease holds nobody else can have taken it over; and of a call whose streams are here nobody else captures
        // anything: its gate is shut now, whoever may close it.
        && (app.world.lease.holds(app.world.clocks.tick()) || matches!(command, Command::OptOut { .. }) && state["phase"] != "CREATED")
    {
        return told(state.clone());
    }
    let nobody_knows = |why: DatabaseError| {
        tracing::warn!(call.id = %call_id, error = %why, "nodes: nobody can tell whose a call is");
        NotDone::Unanswered
    };
    for _ in 0..LOOKS_MAX {
        match node.nodes.whose(&call_id, "").await.map_err(nobody_knows)? {
            Whose::Nobodys | Whose::Over => return Err(NotDone::Over),
            // Its gates were shut before anybody could say so.
            Whose::Left(_) => return Err(NotDone::Over),
            Whose::Rings if matches!(command, Command::State { .. }) => return Err(NotDone::Over),
            // Nobody answers for it: we do from here on.
            Whose::Rings => drop(placing::find(app, &call_id).await.map_err(nobody_knows)?),
            Whose::Ours => match here {
                Some(state) => return told(state),
                None if app.registry.owned(&call_id).is_some() => return told(perform(app, command).await),
                // Written, and not yet opened.
                None => tokio::time::sleep(LOOK_EVERY).await,
            },
            Whose::Theirs(owner) | Whose::Arrived(owner) => {
                let state = node.ask(&owner.node_id, &command).await?;
                if !state.is_null() {
                    return Ok(state);
                }
                // Not there yet, or not any more.
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
    Err(NotDone::Unanswered)
}

/// Twilio tells of a call that came in: whose it is to answer. `None`: nobody can tell.
pub(super) async fn arrives(app: &App, call_sid: &str) -> Option<Arrived> {
    let fresh = || ids::fresh("call");
    if call_sid.is_empty() {
        return Some(Arrived::Ours(fresh())); // no two of these are one call
    }
    let Some(node) = &app.node else { return Some(Arrived::Ours(app.registry.name(call_sid, fresh))) };
    let fresh = fresh();
    webhooks::patiently(call_sid, || node.nodes.arrives(call_sid, &fresh)).await.ok()
}

/// Shuts the gates of a client's live calls on other gateways, and returns when each is shut, or its owner's lease is over.
pub(super) async fn shut_elsewhere(app: &App, org_id: &str, client_id: &str, entry: Option<GrantSeq>) -> Result<(), NotDone> {
    let Some(node) = &app.node else { return Ok(()) };
    let calls = node.nodes.calls_of(org_id, client_id).await.map_err(|_| NotDone::Unanswered)?;
    let asked = calls.into_iter().map(|CallElsewhere { call_id, node_id }| async move {
        let command = Command::Revoked { call_id, entry: entry.map(|entry| entry.0) };
        match node.ask(&node_id, &command).await {
            Ok(_) => Ok(()),
            // Who did not answer may have been cut off: then its gates are shut by its own clock.
            Err(_) => match node.nodes.may_live(&node_id).await {
                Ok(false) => Ok(()),
                Ok(true) | Err(_) => Err(NotDone::Unanswered),
            },
        }
    });
    futures_util::future::join_all(asked).await.into_iter().collect()
}

/// Twilio's word on a call that another gateway owns: asked there, answered here. `None` if it is ours to answer.
pub(super) async fn answer_elsewhere(app: &App, uri: &Uri, form: &[(String, String)]) -> Option<Response> {
    let node = app.node.as_ref()?;
    let query = uri.query().unwrap_or_default();
    let asked: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let told = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let call_id = Some(told(&asked, "callId")).filter(|id| !id.is_empty()).unwrap_or_else(|| told(form, "callId"));
    let call_sid = told(form, "CallSid");
    let here = |id: &str| app.registry.owned(id).is_some() || app.registry.announced(id).is_some();
    if here(&call_id) || app.registry.id_of(&call_sid).is_some() {
        return None;
    }
    let path = uri.path();
    match webhooks::patiently(&call_id, || node.nodes.whose(&call_id, &call_sid)).await {
        Ok(Whose::Nobodys | Whose::Ours | Whose::Rings | Whose::Over) => None,
        Ok(Whose::Theirs(owner) | Whose::Arrived(owner)) => Some(ask_owner(app, &owner, path, query, form).await),
        Ok(Whose::Left(call_id)) => Some(webhooks::put_through(app, path, query, &call_id, form).await),
        // It may be another's: two must not answer for it. The people talk, unrecorded (P6), and that is written once it can be.
        Err(_) => {
            if !call_id.is_empty() && [webhooks::VOICE, webhooks::CONNECTED, webhooks::CONSENT].contains(&path) {
                unserved::tell_later(app, &call_id, &call_sid);
            }
            Some(webhooks::put_through(app, path, query, &call_id, form).await)
        }
    }
}

/// Has the owner of a call answer Twilio. If it does not, the people talk, unrecorded (P6), and of a call that nobody has written of
/// that is written.
pub(super) async fn ask_owner(app: &App, owner: &CallElsewhere, path: &str, query: &str, form: &[(String, String)]) -> Response {
    let command = Command::Webhook { path: path.to_owned(), query: query.to_owned(), form: form.to_vec() };
    let answer = match &app.node {
        Some(node) => node.ask(&owner.node_id, &command).await,
        None => Err(NotDone::Over),
    };
    if let Some(answer) = answer.ok().and_then(|answer| answered(&answer)) {
        return answer;
    }
    if path == webhooks::VOICE {
        webhooks::note_unserved(app, &owner.call_id, form).await;
    }
    webhooks::put_through(app, path, query, &owner.call_id, form).await
}

/// A new call came here, and this gateway is stopping: the answer of one that is not, whose call it is then. `None` if no other takes it
/// in time. Who is slow to take it and does after all is asked by whoever takes it next: the first has it.
pub(super) async fn taken_by_a_peer(app: &App, form: &[(String, String)]) -> Option<Response> {
    let node = app.node.as_ref()?;
    let command = Command::NewCall { form: form.to_vec() };
    let asked = async {
        for peer in node.nodes.peers(PEERS_ASKED).await.unwrap_or_default() {
            if let Some(answer) = node.ask(&peer, &command).await.ok().and_then(|answer| answered(&answer)) {
                tracing::info!(node.id = %peer, "webhook: a new call, and this gateway is stopping; another has it");
                return Some(answer);
            }
        }
        None
    };
    timeout(WEBHOOK_WITHIN, asked).await.ok().flatten()
}

/// What another gateway answered to Twilio, if it answered.
fn answered(answer: &Value) -> Option<Response> {
    let status = u16::try_from(answer["status"].as_u64()?).ok().and_then(|status| StatusCode::from_u16(status).ok());
    let kind = answer["contentType"].as_str().unwrap_or("text/plain").to_owned();
    let body = answer["body"].as_str().unwrap_or_default().to_owned();
    Some((status.unwrap_or(StatusCode::BAD_GATEWAY), [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// Whose the call of a stream is that came without a word from a webhook of ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Streams {
    /// This gateway's: it saw the CallSid first, or is alone.
    Here,
    /// This other gateway's.
    There(String),
    /// The database has not told yet.
    Unknown,
}

/// Asks whose the call of such a stream is: off the media threads, and no longer than [`WHOSE_WITHIN`].
pub(super) async fn streams(world: &World, told: &str, identity: &CallIdentity) -> Streams {
    let Some(nodes) = &world.nodes else { return Streams::Here };
    match timeout(WHOSE_WITHIN, nodes.streams(told, &identity.call_sid, &identity.call_id)).await {
        Ok(Ok(None)) => Streams::Here,
        Ok(Ok(Some(node_id))) => Streams::There(node_id),
        Ok(Err(why)) => {
            tracing::warn!(call.id = %identity.call_id, error = %why, "nodes: nobody can tell whose a call is; until somebody can, nothing of it is captured");
            Streams::Unknown
        }
        Err(_) => Streams::Unknown,
    }
}

/// The same, until it is told, or the call is over.
pub(super) async fn streams_at_last(world: World, registry: Arc<Registry>, told: String, identity: CallIdentity, me: MediaHandle) {
    while registry.get(&identity.call_id).is_some_and(|live| !live.is_over()) {
        tokio::time::sleep(WHOSE_AGAIN).await;
        match streams(&world, &told, &identity).await {
            Streams::Unknown => {}
            Streams::Here => return me.send(ToMedia::IsOurs(identity.call_id)),
            Streams::There(node_id) => {
                strayed(&identity.call_sid, &node_id);
                return me.send(ToMedia::Disowned(identity.call_id));
            }
        }
    }
}

/// A stream has come to a gateway that does not have its call: what to set, so that the next one does not.
pub(super) fn strayed(call_sid: &str, node_id: &str) {
    tracing::error!(
        call.sid = call_sid,
        node.id = node_id,
        "nodes: a stream of another gateway's call came here, and is not captured: let callgate write the TwiML, with CALLGATE_STREAM_URL \
         set to each gateway's own address, or have the load balancer send all streams of a CallSid to one gateway"
    );
}

/// Whether a call that rings is ours from here on. Who shares the database with nobody has them all.
pub(super) async fn claim(app: &App, call_id: &str) -> Result<bool, DatabaseError> {
    match &app.node {
        Some(node) => node.nodes.claim_call(call_id).await,
        None => Ok(true),
    }
}

async fn answer_webhook(app: &App, path: &str, query: &str, form: Vec<(String, String)>) -> Value {
    let (app, asked, form) = (State(app.clone()), Asked::of(query), Extension(Form::from_elsewhere(form)));
    let response = match path {
        webhooks::VOICE => webhooks::voice(app, asked, form).await,
        webhooks::CONNECTED => webhooks::connected(app, asked, form).await,
        webhooks::CONSENT => webhooks::consent(app, asked, form).await,
        webhooks::STATUS => webhooks::status(app, asked, form).await.into_response(),
        webhooks::PARTY => webhooks::party(app, asked).await,
        webhooks::PARTY_STATUS => webhooks::party_status(app, asked, form).await.into_response(),
        _ => return Value::Null,
    };
    let status = response.status().as_u16();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let Ok(body) = axum::body::to_bytes(response.into_body(), ANSWER_MAX).await else { return Value::Null };
    json!({ "status": status, "contentType": kind, "body": String::from_utf8_lossy(&body) })
}
