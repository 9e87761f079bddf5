//! Calls that we had no part in: announced, and nothing more was heard of them; or put through past us. Nothing of them is
//! captured, nothing of them waits here for ever, and that they were is written.

use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::http::App;
use super::live::submit;
use super::registry::{Announced, row_of};
use super::world::World;
use crate::engine::call::{Call, Effect, Input, Now, Outbox, Standing, TALK_MAX_MS, Unreached};
use crate::engine::consent::{Actor, ConsentStatus};
use crate::engine::ledger::{Event, EventKind};
use crate::engine::time::WallTime;
use crate::io::clock::wall;
use crate::io::database::Work;

/// Calls that never came are looked for this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Twilio ends every call after this: then nothing of one that was announced can come any more.
const COMES_WITHIN_MS: i64 = TALK_MAX_MS.cast_signed();
/// Calls about which the database is asked later, at once; more are only logged.
const LATER_MAX: usize = 1_024;
static LATER: Semaphore = Semaphore::const_new(LATER_MAX);
/// Pauses between such questions double from the one to the other, for so long in all.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const LATER_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// One of them.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// Forgets what never came, again and again.
pub(super) async fn sweep(app: App) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        forget(&app, wall());
    }
}

/// Forgets calls that were announced too long ago, and of which nothing was heard: neither a stream nor a status.
fn forget(app: &App, now: WallTime) {
    for (announced, since) in app.registry.never_came(WallTime(now.0 - COMES_WITHIN_MS)) {
        let identity = &announced.identity;
        app.registry.forget(&identity.call_id, &identity.call_sid);
        // A row of one that we made is there already, and was its machine's to end.
        if announced.made.is_none() {
            tracing::warn!(call.id = %identity.call_id, "call: announced, and nothing was heard of it since; does the number's status callback lead here?");
            close(&app.world, &announced, since, Input::Unreached(Unreached::Unheard));
        }
    }
}

/// People are put through past us, now, for this reason.
pub(super) fn passed_on(world: &World, announced: &Announced, why: &'static str) {
    close(world, announced, wall(), Input::PassedOn(why));
}

/// A call's whole life in one input: its row, and its line in the chain.
fn close(world: &World, announced: &Announced, since: WallTime, how: Input<'_>) {
    let now = world.clocks.now();
    let began = Now { wall: since, ..now };
    let standing = Standing { status: ConsentStatus::Pending, seen: 0 };
    let mut call = Call::new(announced.identity.clone(), world.settings, standing, began).under(announced.ruling.clone()).told_of();
    let mut outbox = Outbox::default();
    call.step(now, how, &mut outbox);
    for effect in outbox.effects.drain(..) {
        if let Effect::Audit(event) = effect {
            submit(world, Work::Audit(*event, None));
        }
    }
    submit(world, Work::Call(Box::new(row_of(&call.snapshot()))));
}

/// The database did not tell in time which call it was, and its people were connected: the chain says so once it does.
pub(super) fn tell_later(app: &App, call_id: &str, call_sid: &str) {
    let Ok(place) = LATER.try_acquire() else {
        tracing::error!(
            call.id = call_id,
            call.sid = call_sid,
            "call: put through past us, and too many wait for the database to be written"
        );
        return;
    };
    let (world, call_id, call_sid, at) = (app.world.clone(), call_id.to_owned(), call_sid.to_owned(), wall());
    tokio::spawn(async move {
        let deadline = Instant::now() + LATER_WITHIN;
        let mut pause = PAUSE_FIRST;
        while Instant::now() < deadline {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            let Ok(Ok(row)) = timeout(ASKED_WITHIN, world.database.call(&call_id)).await else { continue };
            // Nobody's: whoever asked made the id up.
            let Some(row) = row else { break };
            let why = "the database did not tell in time which call it was: its people were connected past us";
            let event = Event {
                org_id: row.org_id,
                kind: EventKind::CallUnrecorded,
                actor: Actor::System,
                call_id: Some(row.id),
                client_id: Some(row.client_id),
                at,
                position: None,
                detail: json!({ "reason": "SYSTEM_ERROR", "why": why, "callSid": call_sid }),
            };
            submit(&world, Work::Audit(event, None));
            break;
        }
        drop(place);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Gateway, Given};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_was_announced_and_never_came_is_forgotten_after_four_hours_and_its_record_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let given = Given {
            listen: Some("127.0.0.1:0".into()),
            data_dir: Some(folder.path().display().to_string()),
            inbound_route: Some("client:anna".into()),
            ..Given::default()
        };
        let gateway = Gateway::start(given.meant().unwrap()).await.unwrap();
        let app = &gateway.app;
        let voice = async || {
            let form = [("CallSid", "CAnever"), ("Direction", "inbound"), ("clientId", "c")];
            let request = reqwest::Client::new().post(format!("http://{}/api/webhooks/twilio/voice", gateway.address())).form(&form);
            request.send().await.unwrap().text().await.unwrap()
        };
        let twiml = voice().await;
        let id = app.registry.id_of("CAnever").unwrap();
        let after = |ms: i64| WallTime(wall().0 + ms);
        forget(app, after(COMES_WITHIN_MS - 60_000));
        assert_eq!(voice().await, twiml, "for four hours it may come");
        forget(app, after(COMES_WITHIN_MS));
        assert!(app.registry.announced(&id).is_none() && app.registry.id_of("CAnever").is_none() && !app.registry.expects_any());
        app.world.database.ledger().flush().await;
        let row = app.world.database.call(&id).await.unwrap().unwrap();
        assert_eq!(
            (row.phase.as_str(), row.is_recorded, row.state["unrecordedReason"].as_str()),
            ("ENDED", false, Some("SYSTEM_ERROR")),
            "{row:?}"
        );
        assert!(row.ended_at.is_some() && row.state["connectedAt"].is_null(), "nobody is known to have talked: {row:?}");
        let chain = app.world.database.audit("default", Some("c"), Some(&id), 0, 10).await.unwrap();
        assert!(chain.len() == 1 && chain[0].2.contains("call.unreached") && chain[0].2.contains("UNHEARD"), "{chain:?}");
        forget(app, after(COMES_WITHIN_MS));
        gateway.drain(Duration::from_secs(5)).await;
    }
}
