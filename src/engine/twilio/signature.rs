//! `X-Twilio-Signature`: base64 of HMAC-SHA1 under the account's auth token, over the URL as Twilio asked for it and
//! the form's parameters (Twilio, "Webhooks security").
//!
//! Twilio's back end is not of one mind about ports and slashes, so a request is accepted if any of a small fixed
//! list of spellings of the *configured public* URL matches. `Host` and forwarding headers are never asked.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Signs `url` with the parameters of a form (none for GET, WebSocket and JSON).
#[must_use]
pub fn sign<K: AsRef<str>, V: AsRef<str>>(auth_token: &str, url: &str, parameters: &[(K, V)]) -> String {
    let mut sorted: Vec<(&str, &str)> = parameters.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    // By key, then value; a key that comes twice with one value counts once.
    sorted.sort_unstable();
    sorted.dedup();
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else {
        return String::new(); // HMAC takes keys of any length
    };
    mac.update(url.as_bytes());
    for (key, value) in sorted {
        mac.update(key.as_bytes());
        mac.update(value.as_bytes());
    }
    base64_simd::STANDARD.encode_to_string(mac.finalize().into_bytes())
}

/// Whether `signature` is right for a form POST or a GET to `path_and_query` (raw, as on the request line).
#[must_use]
pub fn form_is_signed<K: AsRef<str>, V: AsRef<str>>(
    auth_token: &str,
    public_url: &str,
    path_and_query: &str,
    parameters: &[(K, V)],
    signature: &str,
) -> bool {
    any_matches(auth_token, &webhook_spellings(public_url, path_and_query), parameters, signature)
}

/// Whether `signature` is right for a JSON POST: over the URL alone, whose `bodySHA256` must be the raw body's.
#[must_use]
pub fn body_is_signed(auth_token: &str, public_url: &str, path_and_query: &str, body: &[u8], signature: &str) -> bool {
    let told = path_and_query.split(['?', '&']).find_map(|pair| pair.strip_prefix("bodySHA256="));
    let Some(told) = told else { return false };
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let same_body: bool = digest.as_bytes().ct_eq(told.to_ascii_lowercase().as_bytes()).into();
    same_body & any_matches(auth_token, &webhook_spellings(public_url, path_and_query), NO_PARAMETERS, signature)
}

/// Whether `signature` is right for the WebSocket handshake of `path`.
#[must_use]
pub fn handshake_is_signed(auth_token: &str, public_url: &str, path: &str, signature: &str) -> bool {
    any_matches(auth_token, &handshake_spellings(public_url, path), NO_PARAMETERS, signature)
}

const NO_PARAMETERS: &[(&str, &str)] = &[];

fn any_matches<K: AsRef<str>, V: AsRef<str>>(auth_token: &str, urls: &[String], parameters: &[(K, V)], signature: &str) -> bool {
    // Every spelling is tried whichever matches: the time taken tells nothing.
    urls.iter().fold(false, |found, url| {
        let same: bool = sign(auth_token, url, parameters).as_bytes().ct_eq(signature.as_bytes()).into();
        found | same
    })
}

/// The spellings of a webhook's URL: without port, with the public URL's own, with the scheme's default; the query as
/// it came and with `'` percent-encoded, as older Twilio back ends sign it.
fn webhook_spellings(public_url: &str, path_and_query: &str) -> Vec<String> {
    let (scheme, host, port, base) = split(public_url);
    let tail = format!("{base}{path_and_query}");
    let mut tails = vec![tail.clone()];
    if tail.contains('\'') {
        tails.push(tail.replace('\'', "%27"));
    }
    let default = if scheme == "https" { "443" } else { "80" };
    let mut urls = Vec::new();
    for tail in tails {
        urls.push(format!("{scheme}://{host}{tail}"));
        urls.push(format!("{scheme}://{host}:{default}{tail}"));
        if let Some(port) = port.filter(|port| *port != default) {
            urls.push(format!("{scheme}://{host}:{port}{tail}"));
        }
    }
    urls
}

/// The spellings of a handshake's URL: `wss` as in the TwiML, with and without a trailing slash and the port, then
/// the same as `https`, which is what a server sees.
fn handshake_spellings(public_url: &str, path: &str) -> Vec<String> {
    let (scheme, host, port, base) = split(public_url);
    let (socket, default) = if scheme == "https" { ("wss", "443") } else { ("ws", "80") };
    let path = format!("{base}{}", path.trim_end_matches('/'));
    let mut urls = Vec::new();
    for scheme in [socket, scheme] {
        for port in [None, Some(default), port.filter(|port| *port != default)] {
            let port = match port {
                Some(port) => format!(":{port}"),
                None if urls.iter().any(|url: &String| url.starts_with(&format!("{scheme}:"))) => continue,
                None => String::new(),
            };
            urls.push(format!("{scheme}://{host}{port}{path}"));
            urls.push(format!("{scheme}://{host}{port}{path}/"));
        }
    }
    urls
}

/// Scheme, host, port and path of a base URL. Never through a URL type: normalising changes what was signed.
fn split(url: &str) -> (&str, &str, Option<&str>, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    (scheme, host, port, path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    //! The vectors are those of Twilio's own helper libraries (node, python, go, java), all under token `12345`.
    use super::*;

    const TOKEN: &str = "12345";
    const U: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const BASE: &str = "https://mycompany.com";
    const PATH: &str = "/myapp.php?foo=1&bar=2";
    const B: &str = r#"{"property": "value", "boolean": true}"#;
    const B_SHA: &str = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    const P: &[(&str, &str)] = &[
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ];

    #[test]
    fn every_published_vector_signs_as_published() {
        let with_port = U.replace(".com/", ".com:443/");
        let plain = U.replace("https://mycompany.com", "http://mycompany.com:80");
        let none = NO_PARAMETERS;
        let more: Vec<_> = P.iter().copied().chain([("Reason", "Participant"), ("ReasonConferenceEnded", "test")]).collect();
        let repeated = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")];
        let empty = [("Digits", ""), ("CallSid", "CA1234567890ABCDE"), ("EmptyParam", "")];
        let cases = [("callSid", "lowercase"), ("CallSid", "uppercase"), ("CALLSID", "allcaps")];
        let signs = [("Message", "Hello & goodbye! @#$%^*()"), ("From", "+1 (415) 867-5309"), ("Special", "unicode: ñáéíóú")];
        let empty_sha = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        for (number, url, parameters, signature) in [
            (1, U.to_owned(), P, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            (2, with_port.clone(), P, "kvajT1Ptam85bY51eRf/AJRuM3w="),
            (3, plain, P, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
            (4, format!("{U}&bodySHA256={B_SHA}"), none, "a9nBmqA0ju/hNViExpshrM61xv4="),
            (5, format!("https://mycompany.com/myapp.php?bodySHA256={B_SHA}"), none, "y77kIzt2vzLz71DgmJGsen2scGs="),
            (6, U.to_owned(), &repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
            (7, U.to_owned(), &more, "vOEb5UThFn24KEfnOFLQY2AE5FY="),
            (8, format!("{U}&Body=It%27s+amazing"), P, "TfZzewPq8wqrGlMfyAud8+/IvJ0="),
            (9, U.to_owned(), none, "zYQTYrRWXE7LtzbG4PfP7/bkkGo="),
            (10, U.to_owned(), &empty, "9HHp/OqQMEwdrVebHDdA/+tqjX8="),
            (11, U.to_owned(), &cases, "jDK7WKT8wiNrwggd4ceTv4e1MJ4="),
            (12, U.to_owned(), &signs, "dCPiR4WtQ6QFN6pJh81CtlCcWLQ="),
            (13, format!("{with_port}&bodySHA256={empty_sha}"), none, "Ldidvp12m26NI7eqEvxnEpkd9Hc="),
        ] {
            assert_eq!(sign(TOKEN, &url, parameters), signature, "vector {number}");
        }
    }

    #[test]
    fn a_request_passes_in_every_spelling_twilio_uses_and_in_no_other() {
        let form = |base: &str, path: &str, signature: &str| form_is_signed(TOKEN, base, path, P, signature);
        assert!(form(BASE, PATH, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        assert!(form(BASE, PATH, "kvajT1Ptam85bY51eRf/AJRuM3w="), "vector 2: signed with :443");
        assert!(form("http://mycompany.com", PATH, "0ZXoZLH/DfblKGATFgpif+LLRf4="), "vector 3: signed with :80");
        assert!(form(BASE, &format!("{PATH}&Body=It's+amazing"), "TfZzewPq8wqrGlMfyAud8+/IvJ0="), "vector 8: shown decoded");
        assert!(form("https://mycompany.com:8443", PATH, "RSOYDt4T1cUTdK1PDd93/VVr8B8="), "an inner port is dropped");
        assert!(!form(BASE, "/myapp.php?foo=1&bar=3", "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        assert!(!form("https://elsewhere.com", PATH, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        assert!(!form(BASE, PATH, ""));
        assert!(!form_is_signed(TOKEN, BASE, PATH, &P[1..], "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
        assert!(!form_is_signed("12346", BASE, PATH, P, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
    }

    #[test]
    fn a_json_body_is_bound_by_its_digest() {
        let path = format!("{PATH}&bodySHA256={B_SHA}");
        assert!(body_is_signed(TOKEN, BASE, &path, B.as_bytes(), "a9nBmqA0ju/hNViExpshrM61xv4="));
        assert!(!body_is_signed(TOKEN, BASE, &path, B.replace(' ', "").as_bytes(), "a9nBmqA0ju/hNViExpshrM61xv4="));
        assert!(!body_is_signed(TOKEN, BASE, PATH, B.as_bytes(), "zYQTYrRWXE7LtzbG4PfP7/bkkGo="), "no digest, no body");
        let empty = format!("{PATH}&bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        assert!(body_is_signed(TOKEN, BASE, &empty, b"{}", "Ldidvp12m26NI7eqEvxnEpkd9Hc="), "vector 13: only with :443");
    }

    #[test]
    fn a_handshake_passes_as_wss_or_https_with_slash_or_port() {
        for signature in
            ["pDBx1McycDg2sIBUyP9v+49T2ok=", "9+lhcuN5bumb61ewvDdxyWjPdxs=", "ElCQCV8lSj5cO/gr7Da+ze7cqzI=", "+uQ8waFGMx1MMpE/VohJJRFVnpw="]
        {
            assert!(handshake_is_signed(TOKEN, "https://media.example.com", "/twilio/stream", signature), "{signature}");
            assert!(!handshake_is_signed(TOKEN, "https://media.example.com", "/twilio/other", signature));
        }
        let local = sign(TOKEN, "ws://127.0.0.1:8080/twilio/media", NO_PARAMETERS);
        assert!(handshake_is_signed(TOKEN, "http://127.0.0.1:8080", "/twilio/media", &local));
    }
}
