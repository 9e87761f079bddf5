//! Who may: API tokens, and permissions as extractor types, so that a handler cannot forget to ask.

use std::fs;
use std::io::Write as _;
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::http::App;
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
    /// Whether the bearer may see this client's things.
    #[must_use]
    pub fn is_assigned(&self, client_id: &str) -> bool {
        self.clients.iter().any(|client| client == "*" || client == client_id)
    }
}

/// The key of API tokens.
#[derive(Clone)]
pub struct TokenKey {
    secret: SecretString,
}

impl TokenKey {
    /// The given secret, or the development secret of this data folder, which is made on first use.
    ///
    /// # Errors
    /// If the development secret can be neither read nor made.
    pub fn open(given: Option<SecretString>, data_dir: &Path) -> std::io::Result<Self> {
        if let Some(secret) = given {
            return Ok(Self { secret });
        }
        let path = data_dir.join("keys/jwt.secret");
        match fs::read_to_string(&path) {
            Ok(secret) if secret.trim().len() >= 32 => Ok(Self { secret: secret.trim().to_owned().into() }),
            Ok(_) => Err(std::io::Error::other(format!("{} is not a secret of 32 characters or more", path.display()))),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(data_dir.join("keys"))?;
                let mut bytes = [0u8; 32];
                rand::rng().fill_bytes(&mut bytes);
                let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
                file.write_all(secret.as_bytes())?;
                file.sync_all()?;
                Ok(Self { secret: secret.into() })
            }
            Err(why) => Err(why),
        }
    }

    /// A token.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn mint(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(self.secret.expose_secret().as_bytes()))
    }

    fn read(&self, token: &str) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_aud = false;
        let key = DecodingKey::from_secret(self.secret.expose_secret().as_bytes());
        jsonwebtoken::decode::<Claims>(token, &key, &validation).ok().map(|token| token.claims)
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
    )* };
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
        if claims.permissions.iter().any(|permission| permission == P::NAME) {
            Ok(Self { claims, permission: PhantomData })
        } else {
            app.denied(&claims, P::NAME, parts.uri.path());
            Err(Problem::new(StatusCode::FORBIDDEN, format!("the token lacks the permission {}", P::NAME)))
        }
    }
}
