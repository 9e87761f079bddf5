//! A database's URL, which may hold a password and never shows it.

use std::fmt;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

/// Where the database is. Shows itself without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// What a URL may look like.
    pub const ALLOWED: &'static str = "sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE";

    /// Reads a URL that there is a backend for.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let known = text.starts_with("sqlite://") || (postgres && PgConnectOptions::from_str(text).is_ok());
        known.then(|| Self(text.to_owned()))
    }

    /// All of it, for opening.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A URL for people: of a server, only where it is.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, _)) = url.split_once("://") else { return "…".to_owned() };
    if scheme == "sqlite" {
        return url.to_owned();
    }
    let plain = |text: &&str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    let told = PgConnectOptions::from_str(url).ok().filter(|_| scheme.starts_with("postgres"));
    match told {
        None => format!("{scheme}://…"),
        Some(told) => {
            // Parts of a URL that was put together wrongly may be parts of a password.
            let host = told.get_socket().map_or_else(|| told.get_host().to_owned(), |socket| socket.display().to_string());
            let host = if told.get_socket().is_none() && !plain(&host.as_str()) { "…".to_owned() } else { host };
            format!("postgres://{host}:{}/{}", told.get_port(), told.get_database().filter(plain).unwrap_or("…"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_and_never_who() {
        for (url, expected) in [
            ("sqlite:///var/lib/callgate.db", "sqlite:///var/lib/callgate.db"),
            ("postgres://u:hunter2@db.example:5433/calls?sslmode=verify-full", "postgres://db.example:5433/calls"),
            ("postgresql://u:hunter2@db.example/calls", "postgres://db.example:5432/calls"),
            ("postgres://u@localhost/calls?host=/run/postgresql&password=hunter2", "postgres:///run/postgresql:5432/calls"),
            ("postgres://u:hun/ter2@db.example/calls", "postgres://…"),
            ("postgres://u:12/hunter2@db.example", "postgres://u:12/…"),
            ("mysql://u:hunter2@h/d", "mysql://…"),
            ("hunter2", "…"),
        ] {
            assert_eq!(shown(url), expected);
            assert!(!shown(url).contains("hunter2") && !format!("{:?}", DatabaseUrl::parse(url)).contains("hunter2"), "{url}");
        }
        assert!(DatabaseUrl::parse("mysql://h/d").is_none() && DatabaseUrl::parse("postgres://u:hun/ter2@h/d").is_none());
    }
}
