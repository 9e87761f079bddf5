//! Policy by place: which consent law a call is held to, and what that was decided from.
//!
//! A policy is data: a version, and for each class the places that have it. A call may have to do with several places; the
//! strictest class wins, and a place that nobody knows has the policy's class for that. Every call is asked, whatever its class:
//! a class takes silence away from those whose law does not take it for an answer, and else is evidence in the consent record.

mod region;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use region::Region;

/// How strict a place is, the least strict first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A recording needs nobody's consent.
    None,
    /// It needs one party's.
    One,
    /// It needs everybody's.
    All,
    /// It needs everybody's, given by an act: silence is none.
    Eu,
}

/// A policy as somebody wrote it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    version: String,
    us: Class,
    unknown: Class,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default)]
    one: Vec<String>,
    #[serde(default)]
    all: Vec<String>,
    #[serde(default)]
    eu: Vec<String>,
}

/// A policy, checked.
#[derive(PartialEq, Eq, Debug)]
pub struct Policy {
    version: String,
    us: Class,
    unknown: Class,
    named: BTreeMap<Region, Class>,
}

/// Why a policy is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// Nobody could tell which policy a record was made under.
    #[error("version {0:?} must be 1 to {VERSION_MAX} letters, digits, dots, hyphens or underscores")]
    Version(String),
    /// No such place.
    #[error("{0:?} is no place: name a country by ISO 3166 (FR), or an American state (US-CA)")]
    Region(String),
    /// Nobody could tell which of the two is meant.
    #[error("{0} is named twice: leave it in one list")]
    Twice(&'static str),
}

/// A version's length in bytes.
pub const VERSION_MAX: usize = 64;

/// What is known of a call's places.
#[derive(Clone, Copy, Default, Debug)]
pub struct Places<'a> {
    /// Where the client lives, if somebody told.
    pub client_region: Option<&'a str>,
    /// The client's number.
    pub client_number: Option<&'a str>,
    /// The number of ours that was called, or that calls.
    pub own_number: Option<&'a str>,
    /// Where the case managers sit.
    pub case_manager: Option<Region>,
}

/// What a place was told by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Source {
    /// The client's address, as the main app tells.
    ClientAddress,
    /// The client's telephone number.
    ClientNumber,
    /// Our own.
    OwnNumber,
    /// The case managers' place, as configured.
    CaseManagerPlace,
    /// What was decided when the call was placed: its numbers are kept nowhere.
    PlacedCall,
}

/// One of the things that a ruling was decided from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ground {
    /// What told.
    pub source: Source,
    /// The place, if it is one: never the number or the address itself.
    pub region: Option<String>,
    /// The class that it has.
    pub class: Class,
}

/// What a class was decided from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Basis {
    /// The class: the strictest of the grounds'.
    pub class: Class,
    /// Everything that was looked at, known or not.
    pub grounds: Vec<Ground>,
}

/// What a call is held to, by which policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruling {
    /// The policy's version.
    pub version: String,
    /// The class, and why.
    pub basis: Basis,
}

impl Policy {
    /// Checks what somebody wrote.
    ///
    /// # Errors
    /// [`PolicyError`] names what is wrong.
    pub fn checked(text: PolicyText) -> Result<Self, PolicyError> {
        let PolicyText { version, us, unknown, none, one, all, eu } = text;
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if version.is_empty() || version.len() > VERSION_MAX || !version.bytes().all(fit) {
            return Err(PolicyError::Version(version));
        }
        let mut named = BTreeMap::new();
        for (class, codes) in [(Class::None, none), (Class::One, one), (Class::All, all), (Class::Eu, eu)] {
            for code in codes {
                let region = Region::parse(&code).ok_or(PolicyError::Region(code))?;
                if named.insert(region, class).is_some() {
                    return Err(PolicyError::Twice(region.code()));
                }
            }
        }
        Ok(Self { version, us, unknown, named })
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What a call with these places is held to.
    #[must_use]
    pub fn ruling(&self, places: Places<'_>) -> Ruling {
        let grounds = [
            (Source::ClientAddress, places.client_region.and_then(Region::parse)),
            (Source::ClientNumber, places.client_number.and_then(Region::of_number)),
            (Source::OwnNumber, places.own_number.and_then(Region::of_number)),
            (Source::CaseManagerPlace, places.case_manager),
        ];
        let ground = |(source, region): (_, Option<Region>)| Ground {
            source,
            region: region.map(|region| region.code().to_owned()),
            class: self.class_of(region),
        };
        Ruling::of(self.version.clone(), grounds.map(ground).to_vec())
    }

    fn class_of(&self, region: Option<Region>) -> Class {
        let Some(region) = region else { return self.unknown };
        self.named.get(&region).copied().unwrap_or(if region.is_american() { self.us } else { self.unknown })
    }
}

impl Ruling {
    /// The strictest of its grounds; of no ground at all, the strictest there is.
    fn of(version: String, grounds: Vec<Ground>) -> Self {
        let class = grounds.iter().map(|ground| ground.class).max().unwrap_or(Class::Eu);
        Self { version, basis: Basis { class, grounds } }
    }

    /// What was decided when a call was placed, and then forgotten but for its class.
    #[must_use]
    pub fn of_placed(version: String, class: Class) -> Self {
        Self::of(version, vec![Ground { source: Source::PlacedCall, region: None, class }])
    }

    /// Whether staying on the line may be taken for a yes.
    #[must_use]
    pub const fn takes_silence(&self) -> bool {
        match self.basis.class {
            Class::None | Class::One | Class::All => true,
            Class::Eu => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = include_str!("../../../assets/policy/default.toml");

    fn policy(text: &str) -> Result<Policy, PolicyError> {
        Policy::checked(toml::from_str(text).unwrap())
    }

    fn class(places: Places<'_>) -> Class {
        policy(DEFAULT).unwrap().ruling(places).basis.class
    }

    fn at(region: &str) -> Class {
        let place = Region::parse(region);
        assert!(place.is_some(), "{region}");
        let policy = policy(DEFAULT).unwrap();
        policy.class_of(place)
    }

    #[test]
    fn the_shipped_policy_says_what_the_field_notes_say() {
        for state in "CA CT FL IL MD MA MT NH PA WA NV MI DE".split(' ') {
            assert_eq!(at(&format!("US-{state}")), Class::All, "{state}");
        }
        assert_eq!((at("US-VT"), at("US-NY"), at("US-TX"), at("US-DC")), (Class::None, Class::One, Class::One, Class::One));
        let members = "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE";
        assert_eq!(members.split(' ').count(), 27);
        for country in members.split(' ').chain(["IS", "LI", "NO", "GB"]) {
            assert_eq!(at(country), Class::Eu, "{country}");
        }
        assert_eq!((at("CA"), at("JM"), at("CH"), at("PR")), (Class::All, Class::All, Class::All, Class::All));
    }

    #[test]
    fn the_strictest_place_wins_whichever_told_it() {
        let vermont = Places {
            client_region: Some("US-VT"),
            client_number: Some("+18025550123"),
            own_number: Some("+18025550100"),
            case_manager: Region::parse("US-VT"),
        };
        assert_eq!(class(vermont), Class::None);
        for (region, number, wanted) in
            [("US-NY", "+12125550123", Class::One), ("US-CA", "+16195550123", Class::All), ("FR", "+33123456789", Class::Eu)]
        {
            for strict in [
                Places { client_region: Some(region), ..vermont },
                Places { client_number: Some(number), ..vermont },
                Places { own_number: Some(number), ..vermont },
                Places { case_manager: Region::parse(region), ..vermont },
            ] {
                assert_eq!(class(strict), wanted, "{strict:?}");
            }
        }
    }

    #[test]
    fn what_nobody_knows_is_held_to_the_policys_word_for_that_and_stands_in_the_basis() {
        let places = Places {
            client_region: Some("Springfield"),
            client_number: Some("+18005550123"),
            own_number: Some("+12125550100"),
            case_manager: None,
        };
        let ruling = policy(DEFAULT).unwrap().ruling(places);
        assert_eq!((ruling.version.as_str(), ruling.basis.class, ruling.takes_silence()), ("callgate-2026-11", Class::All, true));
        let told = serde_json::to_value(&ruling.basis).unwrap();
        assert_eq!(
            told,
            serde_json::json!({ "class": "all", "grounds": [
                { "source": "CLIENT_ADDRESS", "region": null, "class": "all" },
                { "source": "CLIENT_NUMBER", "region": null, "class": "all" },
                { "source": "OWN_NUMBER", "region": "US-NY", "class": "one" },
                { "source": "CASE_MANAGER_PLACE", "region": null, "class": "all" },
            ] }),
            "places, and neither numbers nor words of an address"
        );
        assert_eq!(Ruling::of_placed("v".into(), Class::One).basis.class, Class::One);
    }

    #[test]
    fn silence_is_an_answer_everywhere_but_under_the_eu_class() {
        for (class, silence) in [(Class::None, true), (Class::One, true), (Class::All, true), (Class::Eu, false)] {
            assert_eq!(Ruling::of_placed("v".into(), class).takes_silence(), silence, "{class:?}");
        }
    }

    #[test]
    fn a_wrong_policy_is_refused_by_the_name_of_what_is_wrong() {
        let with = |line: &str| format!("version = \"v1\"\nus = \"one\"\nunknown = \"all\"\n{line}");
        assert_eq!(policy(&with("")).map(|policy| policy.version), Ok("v1".to_owned()));
        let refused = |text: &str| policy(text).unwrap_err().to_string();
        assert!(refused(&with(r#"all = ["US-XX"]"#)).starts_with(r#""US-XX" is no place"#));
        assert!(refused(&with(r#"eu = ["US"]"#)).contains("American state"));
        assert_eq!(refused(&with("all = [\"US-CA\"]\none = [\"us-ca\"]")), "US-CA is named twice: leave it in one list");
        assert!(refused(&with("").replace("v1", "two words")).contains(r#"version "two words""#));
        assert!(refused(&with("").replace("v1", &"v".repeat(65))).contains("64"));
        // What serde says names the key and what is allowed.
        for (text, named) in [
            (with("some = []"), "some"),
            (with("").replace("\"one\"", "\"two\""), "two"),
            ("version = \"v\"\nus = \"one\"".to_owned(), "unknown"),
        ] {
            let why = toml::from_str::<PolicyText>(&text).unwrap_err().to_string();
            assert!(why.contains(named), "{why}");
        }
    }
}
