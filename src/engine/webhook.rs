//! Standard Webhooks: what an event is signed with, and what it looks like on the wire. A receiver checks it with any of
//! the scheme's libraries (standardwebhooks.com).

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::time::WallTime;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the scheme.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What gateway and receiver share. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    /// Reads `whsec_` and base64 of 24 to 64 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = base64_simd::STANDARD.decode_to_vec(text.strip_prefix(PREFIX)?).ok()?;
        SECRET_BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The `webhook-signature` of a body sent at `seconds` since 1970 under an id.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        // A key of any length is one.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes()))
    }
}

/// The body of an event.
#[must_use]
pub fn body(kind: &str, at: WallTime, state: &Value) -> String {
    json!({ "type": kind, "timestamp": at, "data": state }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemes_own_example_has_its_own_signature() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
    }

    #[test]
    fn a_secret_is_long_enough_or_none() {
        let of = |bytes: usize| format!("whsec_{}", base64_simd::STANDARD.encode_to_string(vec![7; bytes]));
        assert!(WebhookSecret::parse(&of(24)).is_some() && WebhookSecret::parse(&of(64)).is_some());
        for wrong in [of(23), of(65), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), "whsec_?".into(), "whsec_".into(), String::new()] {
            assert!(WebhookSecret::parse(&wrong).is_none(), "{wrong}");
        }
    }
}
