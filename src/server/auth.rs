//! Who may: API tokens, and permissions as extractor types, so that a handler cannot forget to ask.

use std::fs;
use std::io::Write as _;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::http::App;
use super::ids;
use super::key_set::{KeySet, KeySetError};
use super::problem::Problem;

/// What a token says of its bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The person's id.
    pub sub: String,
    /// The person's name, as it is shown.
    #[serde(default)]
    pub name: String,
    /// The organisation.
    #[serde(default = "default_org")]
    pub org: String,
    /// What the person may.
    #[serde(default)]
    pub permissions: Vec<String>,
    /// Ids of assigned clients, or `*`.
    #[serde(default)]
    pub clients: Vec<String>,
    /// Seconds since 1970 after which it is void.
    pub exp: u64,
}

fn default_org() -> String {
    "default".to_owned()
}

impl Claims {
    /// What is wrong with who they say that the bearer is: nothing could be kept under such a name.
    #[must_use]
    pub fn unfit(&self) -> Option<String> {
        if !ids::is_org(&self.org) {
            Some(format!("the token's org is no organisation: {}", ids::ORG_MEANT))
        } else if self.sub.is_empty() || !ids::is_fit(&self.sub) {
            Some(format!("the token's sub is nobody: {}, and not empty", ids::ID_MEANT))
        } else if self.clients.iter().chain([&self.name]).any(|word| word.contains('\0')) {
            Some("the token's name or clients contain U+0000, which the database takes in no text".to_owned())
        } else {
            None
        }
    }

    /// Whether the bearer may see this client's things.
    #[must_use]
    pub fn is_assigned(&self, client_id: &str) -> bool {
        self.clients.iter().any(|client| client == "*" || client == client_id)
    }

    /// The clients whose things the bearer may see, unless they are all.
    pub(super) fn assigned(&self) -> Option<&[String]> {
        (!self.clients.iter().any(|client| client == "*")).then_some(&*self.clients)
    }

    /// Whether the bearer has permission `P` besides the one that a handler asks for.
    #[must_use]
    pub(super) fn may<P: Permission>(&self) -> bool {
        self.permissions.iter().any(|permission| permission == P::NAME)
    }
}

/// So far may the clocks of who signs a token and who checks it differ, in seconds.
const LEEWAY_S: u64 = 30;

/// What API tokens are checked by, and, with a secret, made by.
#[derive(Clone)]
pub struct TokenKey(Kind);

#[derive(Clone)]
enum Kind {
    Secret(SecretString),
    Set(Arc<KeySet>),
}

/// Where the key of API tokens comes from. There is one, so that it is never in doubt which of two lets somebody in.
#[derive(Clone, Debug, Default)]
pub enum TokenSource {
    /// The development secret of the data folder, which is made on first use.
    #[default]
    Development,
    /// `CALLGATE_JWT_SECRET`: HS256.
    Secret(SecretString),
    /// `CALLGATE_JWKS_FILE`: RS256, ES256, EdDSA.
    KeySet(PathBuf),
}

/// Why there is no key of API tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    /// The development secret.
    #[error("the development secret of API tokens cannot be opened: {0}")]
    Development(#[from] std::io::Error),
    /// The key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

/// Why no token is made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Only who holds the private keys can.
    #[error(
        "callgate cannot mint a token: with CALLGATE_JWKS_FILE it knows public keys only; get one from who signs them, or unset it and set CALLGATE_JWT_SECRET"
    )]
    KeySet,
    /// The key cannot sign.
    #[error("a token cannot be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl TokenKey {
    /// The key that `source` names.
    ///
    /// # Errors
    /// [`TokenKeyError`] says what to mend.
    pub fn open(source: &TokenSource, data_dir: &Path) -> Result<Self, TokenKeyError> {
        Ok(Self(match source {
            TokenSource::Development => Kind::Secret(development_secret(data_dir)?),
            TokenSource::Secret(secret) => Kind::Secret(secret.clone()),
            TokenSource::KeySet(path) => Kind::Set(Arc::new(KeySet::read(path)?)),
        }))
    }

    /// A token.
    ///
    /// # Errors
    /// [`MintError`]: a key set mints none.
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        match &self.0 {
            Kind::Set(_) => Err(MintError::KeySet),
            Kind::Secret(secret) => {
                let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
                Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key)?)
            }
        }
    }

    fn read(&self, token: &str) -> Option<Claims> {
        match &self.0 {
            Kind::Secret(secret) => checked(token, &DecodingKey::from_secret(secret.expose_secret().as_bytes()), Algorithm::HS256),
            Kind::Set(set) => {
                let header = jsonwebtoken::decode_header(token).ok()?;
                let (key, algorithm) = set.key_for(&header)?;
                checked(token, key, algorithm)
            }
        }
    }
}

/// The claims of a token, if `key` signed it by `algorithm`, whatever its header says, and it is in force.
fn checked(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Claims> {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    let token = jsonwebtoken::decode::<Claims>(token, key, &validation).ok()?;
    // RFC 7515 §4.1.11: extensions that must be understood, and none is understood here.
    token.header.crit.is_none().then_some(token.claims)
}

fn development_secret(data_dir: &Path) -> std::io::Result<SecretString> {
    let path = data_dir.join("keys/jwt.secret");
    match fs::read_to_string(&path) {
        Ok(secret) if secret.trim().len() >= 32 => Ok(secret.trim().to_owned().into()),
        Ok(_) => Err(std::io::Error::other(format!("{} is not a secret of 32 characters or more", path.display()))),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(data_dir.join("keys"))?;
            let mut bytes = [0u8; 32];
            rand::rng().fill_bytes(&mut bytes);
            let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(secret.as_bytes())?;
            file.sync_all()?;
            Ok(secret.into())
        }
        Err(why) => Err(why),
    }
}

/// A permission that a route asks for.
pub trait Permission: Send + Sync + 'static {
    /// Its name in a token.
    const NAME: &'static str;
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $type:ident = $name:literal),* $(,)?) => { $(
        $(#[$doc])*
        pub struct $type;
        impl Permission for $type {
            const NAME: &'static str = $name;
        }
    )*
        /// All there are.
        pub const PERMISSIONS: &[&str] = &[$($name),*];
    };
}

permissions! {
    /// See calls and where assigned clients stand.
    ViewClients = "canViewClients",
    /// Change them.
    EditClients = "canEditClients",
    /// Hear recordings.
    ViewRecordings = "canViewRecordings",
    /// See the audit chain.
    ViewAuditLogs = "canViewAuditLogs",
}

/// Routes that stop a capture: whoever polls too much may still say no.
const SHUTS: [&str; 3] = ["/api/calls/{callId}/opt-out", "/api/calls/{callId}/pause", "/api/clients/{clientId}/consent/revoke"];

/// A bearer who has permission `P`. Nothing else makes one.
pub struct May<P: Permission> {
    /// Who.
    pub claims: Claims,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequestParts<App> for May<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")));
        let Some(token) = token else {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "a bearer token is needed"));
        };
        let claims =
            app.tokens.read(token.trim()).ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "the token is wrong or has expired"))?;
        if let Some(why) = claims.unfit() {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, why));
        }
        let may = claims.may::<P>();
        // Before the permission: each denial is written into the chain. Who may shut a gate never waits for it.
        if !(may && parts.extensions.get::<MatchedPath>().is_some_and(|path| SHUTS.contains(&path.as_str()))) {
            app.limits.request(&claims)?;
        }
        if may { Ok(Self { claims, permission: PhantomData }) } else { Err(app.lacks::<P>(&claims, parts).await) }
    }
}

#[cfg(test)]
mod tests;
