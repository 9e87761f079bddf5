//! A live call is handed over, by the gateway that has it. The gate is held first, then Twilio is asked; asked twice for one
//! party, it is handed over once, and asked for another meanwhile, to that one.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::http::App;
use super::media::ToMedia;
use super::placing::Told;
use super::problem::Problem;
use super::webhooks::{Handover, handed_over};
use crate::engine::call::{Handing, Party, PartyKind};
use crate::engine::consent::Actor;
use crate::engine::twilio::twiml::Route;
use crate::io::twilio_rest::CallError;

/// Twilio's codes for a call that is not there any more.
const GONE: [u32; 2] = [20404, 21220];

/// Hands it over, or says why not. Runs to its end whether or not somebody still waits for the answer.
pub(super) async fn hand_over(app: &App, id: &str, by: Actor, party: Party) -> Told {
    asked(app, id, by, party).await.map_or_else(Told::from, Told::done)
}

async fn asked(app: &App, id: &str, by: Actor, party: Party) -> Result<Value, Problem> {
    let bad = |why: &str| Problem::new(StatusCode::BAD_REQUEST, why);
    let route = match party.kind {
        PartyKind::Agent => {
            Some(Route::parse(&party.to).ok_or_else(|| bad("for an AGENT `to` is a number like +16175550123, or client:ID"))?)
        }
        PartyKind::Bot if app.world.relays.get(&party.to).is_none() => {
            return Err(bad("for a BOT `to` is the name of a bot in the configuration: `default`, or that of a table [relay.NAME]"));
        }
        PartyKind::Bot => None,
    };
    let live = app.registry.get(id).ok_or_else(over)?;
    let call_sid = live.call_sid();
    let Some(announced) = app.registry.announced(id).filter(|_| !call_sid.is_empty()) else {
        return Err(conflict("Twilio's webhooks have not told of this call, so its streams have no token; it cannot be handed over"));
    };
    let twilio = app.twilio.as_ref().map_err(|key| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("no call can be handed over: set {key}, and start callgate again"))
    })?;
    let bot = party.to.clone();
    // One after the other: who is asked for last is the one whom Twilio is told of last.
    let _turn = live.handing_over.lock().await;
    let (done, handing) = oneshot::channel();
    live.owner.send(ToMedia::Transfer(id.to_owned(), by, party, done));
    let (no, forks) = match handing.await.map_err(|_| over())?.map_err(|why| conflict(&why.to_string()))? {
        Handing::Again => return Ok(live.json()),
        Handing::Captured(no) => (no, true),
        Handing::Uncaptured(no) => (no, false),
    };
    let twiml = handed_over(app, &announced, route.map_or(Handover::Bot(&bot), Handover::Agent), no, forks);
    let failed = || live.owner.send(ToMedia::NotTransferred(id.to_owned(), no));
    match twilio.update(&call_sid, &twiml).await {
        Ok(()) => Ok(live.json()),
        Err(CallError::Refused { code, .. }) if GONE.contains(&code) => {
            failed();
            Err(over())
        }
        Err(CallError::Refused { status, code, message }) => {
            failed();
            tracing::warn!(call.id = id, status, twilio.code = code, "transfer: Twilio did not hand the call over");
            let detail = format!(
                "Twilio refused with status {status}, code {code}: {message} — see twilio.com/docs/api/errors for this code; the call goes on as it was"
            );
            Err(Problem::new(StatusCode::BAD_GATEWAY, detail).with("twilioCode", json!(code)))
        }
        Err(CallError::Unreachable(why)) => {
            failed();
            tracing::error!(call.id = id, error = %why, "transfer: Twilio cannot be reached; look at the network, or at CALLGATE_TWILIO_API_URL");
            Err(Problem::new(StatusCode::BAD_GATEWAY, "Twilio cannot be reached; the call goes on as it was, try again"))
        }
        Err(CallError::Unknown(why)) => {
            tracing::error!(call.id = id, error = %why, "transfer: nobody knows whether Twilio has handed the call over; the new stream will tell");
            Err(unknown(id))
        }
    }
}

/// There is no call to hand over any more.
pub(super) fn over() -> Problem {
    conflict("the call is over")
}

/// It may have been handed over.
pub(super) fn unknown(id: &str) -> Problem {
    let detail = format!("nobody told whether the call was handed over: look at GET /api/calls/{id} before you try again");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, detail)
}

fn conflict(why: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, why)
}
