//! Transcripts of recordings: the newest version for who may read the recording, older ones for auditors, and a further version
//! where somebody has seen what one still shows. Masks only grow; nobody unmasks anything.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{Body, Path, Query};
use super::clients::{act, not_durable};
use super::recordings::{access, handed_out, readable, within_reach};
use super::{App, Claims, EditClients, May, Permission as _, Problem, ViewAuditLogs, ViewRecordings, written_down};
use crate::engine::call::RecordingState;
use crate::engine::ledger::EventKind;
use crate::engine::redact::{Entity, Policy};
use crate::engine::transcript::{Document, Redaction, SpokenSpan};
use crate::io::clock::wall;
use crate::io::database::{Act, Acted, Begun, RecordingRow, TranscriptRow, Work};
use crate::server::live::submit;

/// Stretches in one request.
const SPANS_MAX: usize = 1_000;
/// No transcript is longer: 200,000 words, as they are stored.
const BYTES_MAX: usize = 128 << 20;
/// The store has so long to take a version. Well under what others leave it for (`STORED_WITHIN_MS`).
const STORE_WITHIN: Duration = Duration::from_secs(30);
/// Where others store versions at the same time, it is looked again so often, and after such a pause.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(transcript)).routes(routes!(versions)).routes(routes!(redact))
}

/// Which version.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Which {
    /// 1 is the first; without it the newest. An older one may show what the newest masks: it needs `canViewAuditLogs` as well.
    version: Option<u32>,
}

/// The versions of a recording's transcript.
#[derive(Serialize, ToSchema)]
struct TranscriptVersions {
    /// The newest first.
    versions: Vec<TranscriptVersion>,
}

/// A version of a transcript, without its text.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TranscriptVersion {
    /// The transcript's id; all its versions have it.
    transcript_id: String,
    /// 1 is the first.
    version: u32,
    /// How it came to be masked.
    redaction: Redaction,
    /// Who had more masked than in the version before.
    redacted_by: Option<String>,
    /// Why.
    redacted_for: Option<String>,
    /// Whether everything that was captured was transcribed.
    complete: bool,
    /// Of what is stored.
    sha256: Option<String>,
    /// Its length.
    bytes: Option<u64>,
    /// When it was begun.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was stored.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
}

/// The body of a redaction: `spans` or `rules`.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedactionBody {
    /// What somebody saw: words that every version has at the same place.
    spans: Option<Vec<SpanBody>>,
    /// Today's rules, by a policy as `CALLGATE_REDACT` has it: `strict`, `all`, or names of entities. Whatever else the transcript's own policy
    /// masks is masked as well.
    rules: Option<String>,
    /// Why: by default `MISSED_BY_RULES` of spans, `RULES_CHANGED` of rules. One of these, since no free text may say what is to be masked.
    reason: Option<Why>,
}

/// Words of one utterance, counted from 0.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SpanBody {
    /// Which of `utterances`.
    utterance: usize,
    /// The first of its `words`.
    from_word: usize,
    /// The last of them.
    to_word: usize,
    /// What they are: `NAME`, `CARD_NUMBER`, …; `NUMBER` if nothing fits.
    entity: String,
}

/// Why more is masked.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Why {
    /// The recogniser wrote something else than was said.
    MissedByRecogniser,
    /// The rules did not know it.
    MissedByRules,
    /// Somebody on the call asked for it.
    AskedFor,
    /// The rules have become better.
    RulesChanged,
}

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::MissedByRecogniser => "MISSED_BY_RECOGNISER",
            Self::MissedByRules => "MISSED_BY_RULES",
            Self::AskedFor => "ASKED_FOR",
            Self::RulesChanged => "RULES_CHANGED",
        }
    }
}

/// What is to be masked.
#[derive(Clone)]
enum More {
    Spans(Vec<SpokenSpan>),
    Rules(Policy),
}

/// A redaction that somebody asks for.
#[derive(Clone)]
struct Asked {
    more: More,
    why: Why,
}

/// A recording's transcript, redacted
///
/// The newest version that is stored. Its times are those of the recording.
#[utoipa::path(get, path = "/api/recordings/{id}/transcript", operation_id = "getRecordingTranscript", tag = "recordings",
    extensions(("x-permission" = json!(ViewRecordings::NAME))),
    params(("id" = String, Path, description = "The recording."), Which),
    responses((status = 200, description = "The transcript.", body = Document),
        (status = 404, description = "There is no such recording, or it has no transcript, or not this version."),
        (status = 409, description = "There is none: not yet, or nothing of it is kept, or it failed."),
        (status = 410, description = "Consent was revoked: it is deleted, or will be, and then needs `canViewAuditLogs` as well.")))]
async fn transcript(
    State(app): State<App>,
    may: May<ViewRecordings>,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let (recording, _) = within_reach(&app, &may.claims, &id, "transcript").await?;
    let versions = app.world.database.transcripts(&recording.id).await.map_err(Problem::ours)?;
    let newest = newest(&versions)?;
    let wanted = which.version.unwrap_or(newest.version);
    let about = |kind, outcome| {
        let mut event = access(&may.claims, &recording, kind, "transcript", outcome);
        event.detail["version"] = json!(wanted);
        event
    };
    // Whoever may not read it is not told either whether it is there.
    if wanted < newest.version && !may.claims.may::<ViewAuditLogs>() {
        submit(&app.world, Work::Audit(about(EventKind::AccessDenied, "DENIED"), None));
        let why = "a newer version masks more: this one needs canViewAuditLogs as well";
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    let stored = versions.iter().find(|version| version.version == wanted && version.sha256.is_some());
    let stored = stored.ok_or_else(|| Problem::not_found("version of the transcript"))?;
    written_down(&app, about(EventKind::RecordingRead, "ALLOWED")).await?;
    let source = app.world_objects().get(&stored.object_key, None).await.map_err(Problem::ours)?;
    let source = source.ok_or_else(|| Problem::ours(format!("object {} is not in the store", stored.object_key)))?;
    Ok(handed_out(source, "application/json"))
}

/// The versions of a recording's transcript
///
/// Those that are stored: when, how each came to be masked, by whom and why. No text.
#[utoipa::path(get, path = "/api/recordings/{id}/transcript/versions", operation_id = "listTranscriptVersions", tag = "recordings",
    extensions(("x-permission" = json!(ViewRecordings::NAME))),
    params(("id" = String, Path, description = "The recording.")),
    responses((status = 200, description = "The versions; none if there is no transcript.", body = TranscriptVersions),
        (status = 404, description = "There is no such recording."),
        (status = 410, description = "Consent was revoked: it is deleted, or will be, and then needs `canViewAuditLogs` as well.")))]
async fn versions(State(app): State<App>, may: May<ViewRecordings>, Path(id): Path<String>) -> Result<Json<TranscriptVersions>, Problem> {
    let (recording, _) = readable(&app, &may.claims, &id, "transcript versions").await?;
    let rows = app.world.database.transcripts(&recording.id).await.map_err(Problem::ours)?;
    Ok(Json(TranscriptVersions { versions: rows.iter().filter(|row| row.sha256.is_some()).map(told).collect() }))
}

/// Masks more of a transcript
///
/// Somebody saw what it still shows, or the rules have become better. It is stored as a version of its own; what that masks is shown to nobody
/// by an older one, save with `canViewAuditLogs`. Masks only grow. What is masked already, asked for again, makes no version. Needs `canViewRecordings` as well.
/// The recording's sound is as it was.
#[utoipa::path(post, path = "/api/recordings/{id}/transcript/redactions", operation_id = "redactTranscript", tag = "recordings",
    extensions(("x-permission" = json!(EditClients::NAME)), ("x-permission-besides" = json!(ViewRecordings::NAME))),
    params(("id" = String, Path, description = "The recording.")),
    request_body = RedactionBody,
    responses((status = 201, description = "The version that is stored.", body = TranscriptVersion),
        (status = 200, description = "All of it was masked already: the newest version.", body = TranscriptVersion),
        (status = 404, description = "There is no such recording, or it has no transcript."),
        (status = 409, description = "There is no transcript: not yet, or nothing of it is kept, or it failed; or others store versions of it all the while."),
        (status = 410, description = "Consent was revoked: it is deleted, or will be, and then needs `canViewAuditLogs` as well."),
        (status = 422, description = "The transcript has no such words.")))]
async fn redact(
    State(app): State<App>,
    may: May<EditClients>,
    _besides: May<ViewRecordings>,
    Path(id): Path<String>,
    body: Result<Body<RedactionBody>, Problem>,
) -> Result<Response, Problem> {
    let claims = &may.claims;
    let (recording, _) = within_reach(&app, claims, &id, "redaction").await?;
    let asked = asked(body.ok().map(|Body(body)| body))?;
    for _ in 0..TRIES {
        if let Some((status, version)) = attempt(&app, claims, &recording, &asked).await? {
            return Ok((status, Json(told(&version))).into_response());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let why = "other versions of the transcript are being stored all the while; ask again in two minutes";
    Err(Problem::new(StatusCode::CONFLICT, why).retry_after(Duration::from_secs(120)))
}

/// What a body asks for.
fn asked(body: Option<RedactionBody>) -> Result<Asked, Problem> {
    let meant = || {
        let entities = Entity::ALL.map(Entity::code).join(" | ");
        let meant = format!(
            r#"the body must be {{"spans": [{{"utterance": n, "fromWord": a, "toWord": b, "entity": {entities}}}, … {SPANS_MAX} at most]}} or {{"rules": {}}}, and may have a "reason": MISSED_BY_RECOGNISER | MISSED_BY_RULES | ASKED_FOR | RULES_CHANGED"#,
            Policy::ALLOWED
        );
        Problem::new(StatusCode::BAD_REQUEST, meant)
    };
    match body {
        Some(RedactionBody { spans: Some(spans), rules: None, reason }) if (1..=SPANS_MAX).contains(&spans.len()) => {
            let span = |span: SpanBody| {
                let SpanBody { utterance, from_word, to_word, entity } = span;
                Some(SpokenSpan { utterance, from_word, to_word, entity: Entity::from_code(&entity)? })
            };
            let spans = spans.into_iter().map(span).collect::<Option<_>>().ok_or_else(meant)?;
            Ok(Asked { more: More::Spans(spans), why: reason.unwrap_or(Why::MissedByRules) })
        }
        Some(RedactionBody { spans: None, rules: Some(rules), reason }) => {
            let policy = Policy::parse(&rules).ok_or_else(meant)?;
            Ok(Asked { more: More::Rules(policy), why: reason.unwrap_or(Why::RulesChanged) })
        }
        Some(_) | None => Err(meant()),
    }
}

/// Masks the newest version further and stores what comes of it. None if somebody else came first: then there is another newest.
async fn attempt(
    app: &App,
    claims: &Claims,
    recording: &RecordingRow,
    asked: &Asked,
) -> Result<Option<(StatusCode, TranscriptRow)>, Problem> {
    let versions = app.world.database.transcripts(&recording.id).await.map_err(Problem::ours)?;
    let newest = newest(&versions)?;
    let json = read(app, &newest.object_key).await?;
    let (more, at) = (asked.more.clone(), wall());
    let masked = app.world.tokio.spawn_blocking(move || masked(&json, &more)).await.map_err(Problem::ours)??;
    let Some(mut document) = masked else { return Ok(Some((StatusCode::OK, newest.clone()))) };
    document.version = newest.version + 1;
    document.redaction = match asked.more {
        More::Spans(_) => Redaction::Reviewed,
        More::Rules(_) => Redaction::RedactedAgain,
    };
    document.created_at = at.to_string();
    let base = newest.object_key.strip_suffix(&format!(".v{}.json", newest.version));
    let base = base.ok_or_else(|| Problem::ours(format!("object {} is not named as a version of a transcript", newest.object_key)))?;
    let row = TranscriptRow {
        version: document.version,
        state: RecordingState::Active,
        redaction: document.redaction,
        redacted_by: Some(claims.sub.clone()),
        redacted_for: Some(asked.why.word().to_owned()),
        object_key: format!("{base}.v{}.json", document.version),
        sha256: None,
        bytes: None,
        reason: None,
        created_at: at.to_string(),
        finished_at: None,
        ..newest.clone()
    };
    match act(app, Act::BeginVersion(Box::new(row.clone()))).await {
        Some(Acted::Begun(Begun::Yes)) => {}
        Some(Acted::Begun(Begun::NotNewest)) => return Ok(None),
        Some(Acted::Begun(Begun::Deleted)) => {
            return Err(Problem::new(StatusCode::GONE, "consent was revoked: the recording is deleted, or is being deleted"));
        }
        Some(_) | None => return Err(not_durable()),
    }
    // Whoever asked may hang up: what was begun comes to its end all the same.
    let (app, recording, claims) = (app.clone(), recording.clone(), claims.clone());
    let stored = tokio::spawn(async move { store(&app, &claims, &recording, row, &document).await });
    stored.await.map_err(Problem::ours)?.map(|row| Some((StatusCode::CREATED, row)))
}

/// What comes of a stored version, if anything more of it is to be masked.
fn masked(json: &[u8], more: &More) -> Result<Option<Document>, Problem> {
    // Where it is wrong, never what stands there.
    let unreadable =
        |why: serde_json::Error| Problem::ours(format!("a stored transcript is none: line {}, column {}", why.line(), why.column()));
    let mut document = Document::parse(json).map_err(unreadable)?;
    let grown = match more {
        More::Spans(spans) => document.mask(spans).map_err(|why| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why.to_string()))?,
        More::Rules(policy) => document.redact_again(*policy).map_err(|why| Problem::ours(format!("a stored transcript: {why}")))?,
    };
    Ok(grown.then_some(document))
}

/// Stores a version whose row is there, and says in the chain that it is.
async fn store(
    app: &App,
    claims: &Claims,
    recording: &RecordingRow,
    mut row: TranscriptRow,
    document: &Document,
) -> Result<TranscriptRow, Problem> {
    let put = app.world_objects().put_bytes(&row.object_key, "application/json", document.to_json().into());
    let why = match tokio::time::timeout(STORE_WITHIN, put).await {
        Ok(Ok(stored)) => {
            row.state = RecordingState::Finished;
            row.sha256 = Some(stored.sha256);
            row.bytes = Some(stored.bytes);
            row.finished_at = Some(wall().to_string());
            let mut event = access(claims, recording, EventKind::TranscriptRedacted, "redaction", "ALLOWED");
            event.detail = json!({
                "transcriptId": row.id,
                "recordingId": row.recording_id,
                "version": row.version,
                "redaction": row.redaction,
                "key": row.object_key,
                "sha256": row.sha256,
                "complete": row.is_complete,
                "why": row.redacted_for,
            });
            return match act(app, Act::FinishVersion(Box::new(row.clone()), Some(event))).await {
                Some(Acted::Done(true)) => {
                    tracing::info!(call.id = %row.call_id, transcript.id = %row.id, version = row.version, "transcript: more of it is masked");
                    Ok(row)
                }
                Some(_) | None => Err(not_durable()),
            };
        }
        Ok(Err(why)) => {
            row.state = RecordingState::Failed;
            row.reason = Some(format!("the version could not be stored: {why}"));
            row.finished_at = Some(wall().to_string());
            act(app, Act::FinishVersion(Box::new(row.clone()), None)).await;
            why.to_string()
        }
        // It may come to be all the same: its row stays as it is, until nobody can be storing it any more.
        Err(_) => format!("the store did not take it within {STORE_WITHIN:?}"),
    };
    tracing::error!(transcript.id = %row.id, version = row.version, error = %why, "transcript: a version with more masked is not stored; the one before is still shown");
    let told = "the object store did not take the version: what was to be masked is still shown. Ask again in two minutes, and look at the object store";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, told).retry_after(Duration::from_secs(120)))
}

/// The newest version that is stored, or why there is none.
fn newest(versions: &[TranscriptRow]) -> Result<&TranscriptRow, Problem> {
    let stored = versions.iter().find(|version| version.sha256.is_some());
    stored.ok_or_else(|| match versions.first().map(|version| version.state) {
        None => Problem::new(StatusCode::NOT_FOUND, "the recording has no transcript: was CALLGATE_TRANSCRIBER set during the call?"),
        Some(RecordingState::Discarded) => Problem::new(StatusCode::CONFLICT, "the transcript was discarded: nothing of it is kept"),
        Some(RecordingState::Failed) => Problem::new(StatusCode::CONFLICT, "the transcript failed: its events say why"),
        Some(
            RecordingState::NotStarted
            | RecordingState::Active
            | RecordingState::Paused
            | RecordingState::Halted
            | RecordingState::Finished,
        ) => Problem::new(StatusCode::CONFLICT, "the transcript is not stored yet"),
    })
}

/// A whole object.
async fn read(app: &App, key: &str) -> Result<Vec<u8>, Problem> {
    let source = app.world_objects().get(key, None).await.map_err(Problem::ours)?;
    let mut source = source.ok_or_else(|| Problem::ours(format!("object {key} is not in the store")))?;
    let mut all = Vec::new();
    while let Some(bytes) = source.recv().await {
        all.extend_from_slice(&bytes.map_err(Problem::ours)?);
        if all.len() > BYTES_MAX {
            return Err(Problem::ours(format!("object {key} is longer than any transcript")));
        }
    }
    Ok(all)
}

fn told(row: &TranscriptRow) -> TranscriptVersion {
    TranscriptVersion {
        transcript_id: row.id.clone(),
        version: row.version,
        redaction: row.redaction,
        redacted_by: row.redacted_by.clone(),
        redacted_for: row.redacted_for.clone(),
        complete: row.is_complete,
        sha256: row.sha256.clone(),
        bytes: row.bytes,
        created_at: row.created_at.clone(),
        finished_at: row.finished_at.clone(),
    }
}
