//! Places as a policy knows them: countries and American states, by name or by a telephone number.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Serialize;

/// A country of ISO 3166-1 (`FR`), or a state of the United States (`US-CA`). Made only of what the table knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Region(&'static str);

/// E.164 numbers have at most so many digits.
const DIGITS_MAX: usize = 15;
/// No beginning in the table is longer.
const PREFIX_MAX: usize = 4;

impl Region {
    /// By its code. `US` alone is none: which law holds there is a matter of the state.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        table().names.get(code.trim().to_ascii_uppercase().as_str()).map(|code| Self(code))
    }

    /// Where a number in E.164 belongs. Toll-free numbers, satellites, withheld numbers and `client:ID` belong nowhere.
    #[must_use]
    pub fn of_number(number: &str) -> Option<Self> {
        let digits = number.strip_prefix('+')?;
        if digits.len() > DIGITS_MAX || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let longest = (1..=PREFIX_MAX.min(digits.len())).rev();
        longest.into_iter().find_map(|length| table().numbers.get(&digits[..length])).copied()
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.0
    }

    /// Whether it is a state of the United States.
    pub(super) fn is_american(self) -> bool {
        self.0.starts_with("US-")
    }
}

struct Table {
    numbers: BTreeMap<&'static str, Region>,
    /// Every code by itself.
    names: BTreeMap<&'static str, &'static str>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Table { numbers: BTreeMap::new(), names: BTreeMap::new() };
        for line in NUMBERS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some(prefix) = words.next() else { continue };
            for (at, code) in words.enumerate() {
                table.names.insert(code, code);
                if at == 0 {
                    table.numbers.insert(prefix, Region(code));
                }
            }
        }
        table
    })
}

const NUMBERS: &str = include_str!("../../../assets/policy/number-regions.txt");

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: &str) -> Option<&'static str> {
        Region::of_number(number).map(Region::code)
    }

    #[test]
    fn a_number_belongs_where_its_beginning_says() {
        let known = [
            ("+16175550123", "US-MA"),
            ("+12125550123", "US-NY"),
            ("+12065550123", "US-WA"),
            ("+18025550123", "US-VT"),
            ("+17025550123", "US-NV"),
            ("+12025550123", "US-DC"),
            ("+14165550123", "CA"),
            ("+18675550123", "CA"),
            ("+18765550123", "JM"),
            ("+18095550123", "DO"),
            ("+17875550123", "PR"),
            ("+33123456789", "FR"),
            ("+442079460000", "GB"),
            ("+35312345678", "IE"),
            ("+262262123456", "RE"),
        ];
        for (number, region) in known {
            assert_eq!(of(number), Some(region), "{number}");
        }
    }

    #[test]
    fn what_belongs_nowhere_is_unknown() {
        let unknown =
            ["+18005550123", "+18885550123", "+19005550123", "+80012345678", "+881612345678", "+", "+1", "", "anonymous", "client:maria"];
        for number in unknown.into_iter().chain(["6175550123", "+1617555012345678", "+1617555O123", "sip:+16175550123@example.com"]) {
            assert_eq!(of(number), None, "{number}");
        }
    }

    #[test]
    fn places_have_names_and_the_united_states_are_no_single_place() {
        assert_eq!(Region::parse(" us-ca ").map(Region::code), Some("US-CA"));
        assert_eq!(Region::parse("AX").map(Region::code), Some("AX"), "named, though its numbers count as Finland's");
        for none in ["", "US", "US-XX", "USA", "ZZ", "CA-ON", "California"] {
            assert_eq!(Region::parse(none), None, "{none}");
        }
        let states = table().names.keys().filter(|code| code.starts_with("US-")).count();
        assert_eq!((states, table().numbers.len() > 600), (51, true), "fifty states and the capital");
        assert!(table().numbers.keys().all(|prefix| (1..=PREFIX_MAX).contains(&prefix.len())));
    }
}
