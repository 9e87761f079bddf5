//! Signature Version 4, worked out again from a request as it came.

use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// A request's signature that is right, and what those after it are made with.
pub struct Signed {
    pub signature: String,
    /// Day, region, service.
    pub scope: String,
    key: Vec<u8>,
}

/// `None`: it is not signed, or by somebody else, or for something else.
pub fn signed(service: &str, path: &str, headers: &HeaderMap, body: &[u8], access_key: &str, secret_key: &str) -> Option<Signed> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim().to_owned();
    let authorization = text(header::AUTHORIZATION.as_str());
    let part = |name: &str| {
        let found = authorization.split([' ', ',']).find_map(|part| part.trim().strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    let (credential, names, signature) = (part("Credential="), part("SignedHeaders="), part("Signature="));
    let scope = credential.strip_prefix(&format!("{access_key}/"))?;
    let [date, region, asked, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else { return None };
    if asked != service || !["host", "x-amz-date"].iter().all(|name| names.split(';').any(|signed| signed == *name)) {
        return None;
    }
    let lines: String = names.split(';').map(|name| format!("{name}:{}\n", text(name))).collect();
    let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(body)));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", text("x-amz-date"), hex(&Sha256::digest(canonical)));
    let mut key = format!("AWS4{secret_key}").into_bytes();
    for word in [date, region, service, "aws4_request"] {
        key = keyed(&key, word);
    }
    (hex(&keyed(&key, &to_sign)) == signature).then(|| Signed { signature, scope: scope.to_owned(), key })
}

impl Signed {
    /// Whether the headers of a request were signed that have this name.
    pub fn of_header(headers: &HeaderMap, name: &str) -> bool {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let names = authorization.split([' ', ',']).find_map(|part| part.trim().strip_prefix("SignedHeaders=")).unwrap_or_default();
        names.split(';').any(|signed| signed == name)
    }

    /// Whether this is the signature of the next message, which rests on the one before. `date_header` is its date as it was encoded.
    pub fn goes_on(&mut self, signature: &[u8], date_time: &str, date_header: &[u8], payload: &[u8]) -> bool {
        let (date, payload) = (hex(&Sha256::digest(date_header)), hex(&Sha256::digest(payload)));
        let to_sign = format!("AWS4-HMAC-SHA256-PAYLOAD\n{date_time}\n{}\n{}\n{date}\n{payload}", self.scope, self.signature);
        self.signature = hex(&keyed(&self.key, &to_sign));
        self.signature == hex(signature)
    }
}

fn keyed(key: &[u8], word: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(word.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
