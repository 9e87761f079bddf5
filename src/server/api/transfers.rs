//! A live call is handed over, whatever gateway has it ([`super::super::handover`]).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Path};
use super::calls::call_json;
use super::{App, EditClients, May, Permission as _, Problem};
use crate::engine::call::PartyKind;
use crate::engine::consent::Actor;
use crate::server::handover;
use crate::server::nodes::{self, Command, NotDone};
use crate::server::placing::Told;
use crate::server::registry::CallState;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(transfer))
}

/// The body of a transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    /// An agent's number in E.164 or `client:ID`; a bot's name in the configuration.
    to: String,
    /// What the new party is.
    kind: PartyKind,
}

/// Hands the call over
///
/// Consent goes along: a refusal stays one, a grant goes on without a second question where it covers the new party. From the answer
/// until the new party's stream begins nothing is captured. Asked again for the same party, nothing more happens.
#[utoipa::path(post, path = "/api/calls/{callId}/transfer", operation_id = "transferCall", tag = "calls",
    extensions(("x-permission" = json!(EditClients::NAME))),
    params(("callId" = String, Path, description = "The call.")),
    request_body = TransferBody,
    responses((status = 200, description = "Twilio has taken it; the call's state.", body = CallState),
        (status = 404, description = "There is no such call."),
        (status = 409, description = "The client is still being asked, the call is over or was handed over too often, or Twilio's webhooks do not tell of it."),
        (status = 502, description = "Twilio refused, or cannot be reached; the call goes on as it was."),
        (status = 503, description = "No call can be handed over: the gateway has no Twilio account."),
        (status = 504, description = "Twilio, or the gateway that has the call, did not tell whether it was done; look at the call before asking again.")))]
async fn transfer(
    State(app): State<App>,
    may: May<EditClients>,
    Path(id): Path<String>,
    body: Result<Body<TransferBody>, Problem>,
) -> Result<Told, Problem> {
    call_json(&app, &may.claims, &id).await?;
    let Body(body) = body.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is {\"to\": …, \"kind\": \"BOT\" or \"AGENT\"}"))?;
    let by = Actor::User { id: may.claims.sub, name: may.claims.name };
    let command = Command::Transfer { call_id: id.clone(), by, kind: body.kind, to: body.to };
    // To its end, whether or not somebody still waits for the answer.
    let done = tokio::spawn(async move { nodes::command(&app, command).await });
    match done.await.map_err(Problem::ours)? {
        Ok(told) => Told::read(told).ok_or_else(|| handover::unknown(&id)),
        Err(NotDone::Over) => Err(handover::over()),
        Err(NotDone::Unanswered) => Err(handover::unknown(&id)),
    }
}
