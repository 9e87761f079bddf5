//! The voice bots that calls can be relayed to: tables `[relay.NAME]` of the TOML file, and one by the environment.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Wrong, truth, wrong};
use crate::engine::call::Bot;
use crate::engine::twilio::twiml::Route;
use crate::io::relay::BotUrl;

/// The name of the bot that the environment names.
pub const BY_ENVIRONMENT: &str = "default";
/// Bots at most.
const BOTS_MAX: usize = 256;
/// No name is longer: it stands in a `<Parameter>` and in a URL.
const NAME_MAX: usize = 64;

/// A bot as it was given.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GivenRelay {
    /// Where it listens.
    pub url: String,
    /// Whether it keeps what it hears.
    pub capture: bool,
    /// Where the call goes when it is gone.
    pub then: Option<String>,
}

/// A bot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relay {
    /// What the engine knows of it.
    pub bot: Bot,
    /// Where it listens.
    pub url: BotUrl,
    /// Where the call goes when it has hung up or is lost; without one the call ends then.
    pub then: Option<Route>,
}

/// All of them, by name.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Relays(BTreeMap<String, Relay>);

impl Relays {
    /// The bot with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Relay> {
        self.0.get(name)
    }

    pub(super) fn meant(
        tables: BTreeMap<String, GivenRelay>,
        url: Option<String>,
        capture: Option<String>,
        then: Option<String>,
    ) -> Result<Self, Wrong> {
        let mut given = tables;
        let capture = truth("CALLGATE_RELAY_CAPTURE", capture, false)?;
        match (url.filter(|url| !url.is_empty()), then.filter(|then| !then.is_empty())) {
            (Some(url), then) => {
                given.insert(BY_ENVIRONMENT.to_owned(), GivenRelay { url, capture, then });
            }
            (None, Some(then)) => return Err(wrong("CALLGATE_RELAY_THEN", &then, "without CALLGATE_RELAY_URL there is nothing to leave")),
            (None, None) => {}
        }
        if given.len() > BOTS_MAX {
            return Err(wrong("relay", &given.len().to_string(), "256 bots at most"));
        }
        given.into_iter().map(|(name, given)| Ok((name.clone(), relay(name, given)?))).collect::<Result<_, _>>().map(Self)
    }

    /// For the table of the configuration.
    pub(super) fn rows(&self) -> [(&'static str, String, &'static str); 4] {
        let by_environment = self.get(BY_ENVIRONMENT);
        let none = || "none".to_owned();
        let named: Vec<_> = self.0.values().filter(|relay| relay.bot.name != BY_ENVIRONMENT).map(Relay::shown).collect();
        [
            (
                "CALLGATE_RELAY_URL",
                by_environment.map_or_else(none, |relay| relay.url.shown()),
                "the voice bot `default`: a Media Streams application, spoken to as by Twilio",
            ),
            (
                "CALLGATE_RELAY_CAPTURE",
                by_environment.is_some_and(|relay| relay.bot.captures).to_string(),
                "whether it keeps what it hears: then it hears what consent covers, silence otherwise",
            ),
            (
                "CALLGATE_RELAY_THEN",
                by_environment.and_then(|relay| relay.then.as_ref()).map_or_else(none, shown),
                "where the call goes when it is gone; none: the call ends",
            ),
            ("relay", if named.is_empty() { none() } else { named.join("; ") }, "more bots: tables [relay.NAME] with url, capture, then"),
        ]
    }
}

impl Relay {
    fn shown(&self) -> String {
        let then = self.then.as_ref().map_or_else(|| "none".to_owned(), shown);
        format!("{}: {}, capture {}, then {then}", self.bot.name, self.url.shown(), self.bot.captures)
    }
}

fn shown(route: &Route) -> String {
    match route {
        Route::Number(number) => number.clone(),
        Route::Client(id) => format!("client:{id}"),
    }
}

fn relay(name: String, given: GivenRelay) -> Result<Relay, Wrong> {
    let (url_key, then_key) =
        if name == BY_ENVIRONMENT { ("CALLGATE_RELAY_URL", "CALLGATE_RELAY_THEN") } else { ("relay.NAME.url", "relay.NAME.then") };
    let fit = !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fit {
        return Err(wrong("relay", &name, "a name of letters, digits, - _ and ., 64 at most"));
    }
    let url =
        BotUrl::parse(&given.url).ok_or_else(|| wrong(url_key, &given.url, "a wss:// URL (ws:// on loopback) without a user name"))?;
    let then = match given.then.filter(|then| !then.is_empty()) {
        None => None,
        Some(then) => Some(Route::parse(&then).ok_or_else(|| wrong(then_key, &then, "a number like +16175550123, or client:ID"))?),
    };
    Ok(Relay { bot: Bot { name, captures: given.capture }, url, then })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Given, InboundRoute};

    fn meant(toml: &str) -> Result<Config, String> {
        Given::from_toml(toml).unwrap().meant().map_err(|why| why.to_string())
    }

    #[test]
    fn bots_are_tables_and_one_is_the_environments() {
        let config = meant(
            "inbound_route = \"relay:front\"\nrelay_url = \"wss://one.example.com/m?key=secret\"\nrelay_capture = true\n\
             [relay.front]\nurl = \"wss://bot.example.com/m\"\nthen = \"client:maria\"\n",
        )
        .unwrap();
        assert_eq!(config.inbound_route, Some(InboundRoute::Relay("front".into())));
        assert!(config.relays.get("default").unwrap().bot.captures && !config.relays.get("front").unwrap().bot.captures);
        let shown = format!("{:?}", config.relays.rows());
        assert!(shown.contains("front: wss://bot.example.com/m, capture false, then client:maria") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_wrong_bot_is_refused_with_what_is_allowed() {
        for (toml, told) in [
            ("relay_url = \"ws://bot.example.com/m\"", "CALLGATE_RELAY_URL"),
            ("relay_then = \"client:maria\"", "CALLGATE_RELAY_THEN"),
            ("relay_capture = \"perhaps\"", "CALLGATE_RELAY_CAPTURE"),
            ("[relay.front]\nurl = \"https://bot.example.com\"", "relay.NAME.url"),
            ("[relay.front]\nurl = \"wss://b/\"\nthen = \"maria\"", "relay.NAME.then"),
            ("[relay.\"a b\"]\nurl = \"wss://b/\"", "a name of letters"),
            ("inbound_route = \"relay:nobody\"", "CALLGATE_INBOUND_ROUTE"),
        ] {
            let why = meant(toml).map(|_| ()).unwrap_err();
            assert!(why.contains(told), "{toml}: {why}");
        }
        assert!(Given::from_toml("[relay.front]\nurl = \"wss://b/\"\nkeep = true").is_err(), "unknown keys are refused");
    }
}
