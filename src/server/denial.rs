//! Denials: somebody asked for what is not theirs. Each stands in the chain and the access log of the asker's own organisation, with
//! the client that it was about, where the route knows it and the client is that organisation's.

use std::time::Duration;

use axum::RequestPartsExt as _;
use axum::extract::RawPathParams;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::json;

use super::auth::{Claims, Permission};
use super::http::App;
use super::ids;
use super::live::submit;
use super::problem::Problem;
use crate::engine::consent::Actor;
use crate::engine::ledger::{Event, EventKind};
use crate::io::database::{DatabaseError, Work};

/// The database tells within this whom a denied request was about; later it is logged without.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What somebody asked for, as far as it is known, and their organisation's.
#[derive(Default)]
pub(super) struct Subject {
    pub(super) client_id: Option<String>,
    pub(super) call_id: Option<String>,
    pub(super) recording_id: Option<String>,
}

impl Subject {
    /// What a route without permission leads to. The permission was not asked of the thing: whose it is decides what is told of it.
    async fn of_route(app: &App, claims: &Claims, parts: &mut Parts) -> Self {
        let kind = parts.uri.path().split('/').nth(2).unwrap_or_default().to_owned();
        let Ok(named) = parts.extract::<RawPathParams>().await else { return Self::default() };
        let Some(id) = named.iter().next().map(|(_, id)| id.to_owned()).filter(|id| ids::is_fit(id)) else { return Self::default() };
        match tokio::time::timeout(TOLD_WITHIN, Self::find(app, claims, &kind, id)).await {
            Ok(Ok(found)) => found.unwrap_or_default(),
            Ok(Err(why)) => {
                tracing::warn!(error = %why, "api: a denial is logged without the client that it is about");
                Self::default()
            }
            Err(_) => Self::default(),
        }
    }

    async fn find(app: &App, claims: &Claims, kind: &str, id: String) -> Result<Option<Self>, DatabaseError> {
        let database = &app.world.database;
        let (org_id, found) = match kind {
            "clients" => return Ok(Some(Self { client_id: Some(id), ..Self::default() })),
            "calls" => match app.registry.get(&id) {
                Some(live) => (live.identity.org_id.clone(), Self::of_call(&live.identity.client_id, &id)),
                None => match database.call(&id).await? {
                    Some(row) => (row.org_id, Self::of_call(&row.client_id, &id)),
                    None => return Ok(None),
                },
            },
            "recordings" => match database.recording(&id).await? {
                Some(row) => (row.org_id, Self { recording_id: Some(id), ..Self::of_call(&row.client_id, &row.call_id) }),
                None => return Ok(None),
            },
            "artifacts" => match database.artifact(&id).await? {
                Some(row) => (row.org_id, Self::of_call(&row.client_id, &row.call_id)),
                None => return Ok(None),
            },
            "tasks" => match database.task(&id).await? {
                Some(row) => (row.org_id, Self::of_call(&row.client_id, &row.call_id)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        Ok((org_id == claims.org).then_some(found))
    }

    pub(super) fn of_call(client_id: &str, call_id: &str) -> Self {
        Self { client_id: Some(client_id.to_owned()), call_id: Some(call_id.to_owned()), recording_id: None }
    }
}

impl App {
    /// Somebody asked for what is not theirs: the chain keeps it.
    pub(super) fn denied(&self, claims: &Claims, needed: &str, what: &str, about: Subject) {
        let mut detail = json!({ "needed": needed, "asked": what });
        if let Some(recording_id) = about.recording_id {
            detail["recordingId"] = json!(recording_id);
        }
        let event = Event {
            org_id: claims.org.clone(),
            kind: EventKind::AccessDenied,
            actor: Actor::User { id: claims.sub.clone(), name: String::new() },
            call_id: about.call_id,
            client_id: about.client_id,
            at: crate::io::clock::wall(),
            position: None,
            detail,
        };
        submit(&self.world, Work::Audit(event, None));
    }

    /// The bearer lacks the permission that a route asks for.
    pub(super) async fn lacks<P: Permission>(&self, claims: &Claims, parts: &mut Parts) -> Problem {
        let about = Subject::of_route(self, claims, parts).await;
        self.denied(claims, P::NAME, parts.uri.path(), about);
        Problem::new(StatusCode::FORBIDDEN, format!("the token lacks the permission {}", P::NAME))
    }

    /// It is another organisation's: for the bearer it does not exist. Their own organisation's log tells that they asked for one of
    /// these, and nothing of what it is or whose.
    pub(super) fn another_organisations(&self, claims: &Claims, what: &str) -> Problem {
        self.denied(claims, "one of the own organisation", what, Subject::default());
        Problem::not_found(what)
    }
}
