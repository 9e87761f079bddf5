//! Canonical bytes: RFC 8785 (JCS), so that anybody's JSON library comes to the same hash.
//!
//! Numbers are what ECMAScript makes of a double: an integer past 2^53 is rounded, so ids that large are strings.

use serde::Serialize;

/// The canonical JSON of a value: keys sorted by UTF-16, shortest numbers, no spaces.
///
/// # Errors
/// Only if the value holds what JSON cannot: a number that is not finite, a key that is not text.
pub fn canonical<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    serde_json_canonicalizer::to_string(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::canonical;

    #[test]
    fn the_vectors_of_rfc_8785_hold() {
        // Appendix B: the bits of a double and what stands for it.
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(canonical(&f64::from_bits(bits)).unwrap(), text, "{bits:016x}");
        }
        assert!(canonical(&f64::NAN).is_err() && canonical(&f64::INFINITY).is_err());
        // Section 3.2.3: keys by UTF-16, not by code point; the emoji's surrogates sort before U+FB33.
        let sorted = canonical(&json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis"
        }))
        .unwrap();
        let order =
            ["Carriage Return", "One", "Control", "Latin Small", "Euro Sign", "Emoji", "Hebrew"].map(|name| sorted.find(name).unwrap());
        assert!(order.is_sorted(), "{sorted}");
        // Section 3.2.2.
        let rfc: Value = serde_json::from_str(
            r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                 "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&rfc).unwrap(),
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
    }

    /// Any JSON as callgate may write it: integers below 2^53, finite doubles, any text.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53)..(1_i64 << 53)).prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(Map::from_iter(map))),
            ]
        })
    }

    /// Equal as ECMAScript sees it: 1 and 1.0 are one number.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Object(a), Value::Object(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
            (a, b) => a == b,
        }
    }

    fn keys_are_sorted(value: &Value, text: &str) -> bool {
        let Value::Object(map) = value else { return true };
        let mut keys: Vec<&String> = map.keys().collect();
        keys.sort_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
        let members: Vec<_> =
            keys.iter().map(|key| format!("{}:{}", canonical(key).unwrap(), canonical(&map[key.as_str()]).unwrap())).collect();
        text == format!("{{{}}}", members.join(","))
    }

    proptest! {
        #[test]
        fn canonical_json_says_the_same_and_is_its_own_canonical_form(value in any_json()) {
            let text = canonical(&value).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(same(&value, &read), "{value} became {text}");
            prop_assert!(canonical(&read).unwrap() == text, "{text} is not its own canonical form");
            prop_assert!(keys_are_sorted(&value, &text), "{}", text);
        }
    }
}
