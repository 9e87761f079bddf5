//! Tokens signed by real keys of each kind, and each way in which one must not be believed.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::*;

/// Who signs tokens in the main app's place.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    fn rsa() -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // jsonwebtoken takes RSA keys as PKCS #1, which is what PKCS #8 wraps behind 26 bytes of header.
        Self { key: EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]), algorithm: Algorithm::RS256 }
    }

    fn ec() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), algorithm: Algorithm::ES256 }
    }

    fn ed() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self { key: EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()), algorithm: Algorithm::EdDSA }
    }

    fn public(&self, id: &str) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        jwk
    }

    fn sign(&self, id: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn set_of(keys: &[Value]) -> Result<TokenKey, TokenKeyError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    TokenKey::open(&TokenSource::KeySet(path), folder.path())
}

fn refused(keys: &[Value]) -> String {
    set_of(keys).err().expect("the set is refused").to_string()
}

/// Claims that are in force from `from` to `to` seconds from now.
fn in_force(from: i64, to: i64) -> Value {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    json!({ "sub": "maria", "permissions": ["canViewClients"], "clients": ["*"], "nbf": now + from, "exp": now + to })
}

/// A token put together by hand.
fn forged(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let part = |bytes: &[u8]| base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes);
    let message = format!("{}.{}", part(header.to_string().as_bytes()), part(claims.to_string().as_bytes()));
    let signature = part(&sign(&message));
    format!("{message}.{signature}")
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    aws_lc_rs::hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

#[test]
fn a_token_of_each_kind_of_key_is_believed_and_its_kid_selects_the_key() {
    let signers = [("rsa-1", Signer::rsa()), ("ec-1", Signer::ec()), ("ed-1", Signer::ed())];
    let keys = set_of(&signers.iter().map(|(id, signer)| signer.public(id)).collect::<Vec<_>>()).unwrap();
    for (id, signer) in &signers {
        let claims = keys.read(&signer.sign(Some(id), &in_force(-5, 60))).unwrap_or_else(|| panic!("{id}"));
        assert_eq!((claims.sub.as_str(), claims.org.as_str()), ("maria", "default"));
        for (other, _) in signers.iter().filter(|(other, _)| other != id) {
            assert!(keys.read(&signer.sign(Some(other), &in_force(-5, 60))).is_none(), "{id} in the name of {other}");
        }
        assert!(keys.read(&signer.sign(Some("nobody"), &in_force(-5, 60))).is_none(), "{id}: an unknown kid");
        assert!(keys.read(&signer.sign(None, &in_force(-5, 60))).is_none(), "{id}: no kid where there are several keys");
    }
}

#[test]
fn a_set_of_one_key_needs_no_kid() {
    let (signer, stranger) = (Signer::ec(), Signer::ec());
    let mut public = signer.public("only");
    public.as_object_mut().unwrap().remove("kid");
    public.as_object_mut().unwrap().remove("alg");
    let keys = set_of(&[public]).unwrap();
    assert!(keys.read(&signer.sign(None, &in_force(-5, 60))).is_some());
    assert!(keys.read(&stranger.sign(None, &in_force(-5, 60))).is_none(), "another's signature");
}

#[test]
fn the_algorithm_is_the_keys_and_never_the_tokens() {
    let rsa = Signer::rsa();
    let public = rsa.public("rsa-1");
    let keys = set_of(std::slice::from_ref(&public)).unwrap();
    let claims = in_force(-5, 60);
    assert!(keys.read(&rsa.sign(Some("rsa-1"), &claims)).is_some());
    // The same key signs RS384 and PS256 as well, but not for us.
    for algorithm in [Algorithm::RS384, Algorithm::PS256] {
        let header = Header { kid: Some("rsa-1".into()), ..Header::new(algorithm) };
        assert!(keys.read(&jsonwebtoken::encode(&header, &claims, &rsa.key).unwrap()).is_none(), "{algorithm:?}");
    }
    // HS256 keyed by what everybody can read.
    let modulus = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(public["n"].as_str().unwrap()).unwrap();
    for secret in [modulus.as_slice(), public["n"].as_str().unwrap().as_bytes(), public.to_string().as_bytes()] {
        let token = forged(&json!({ "alg": "HS256", "typ": "JWT", "kid": "rsa-1" }), &claims, |message| hmac(secret, message));
        assert!(keys.read(&token).is_none(), "HS256 by the public key");
    }
    for none in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": none, "kid": "rsa-1" });
        assert!(keys.read(&forged(&header, &claims, |_| Vec::new())).is_none(), "alg {none:?}");
        let signature = rsa.sign(Some("rsa-1"), &claims).rsplit('.').next().unwrap().to_owned();
        let borrowed = forged(&header, &claims, |_| base64_simd::URL_SAFE_NO_PAD.decode_to_vec(&signature).unwrap());
        assert!(keys.read(&borrowed).is_none(), "alg {none:?} with a signature");
    }
}

#[test]
fn with_a_secret_none_and_other_algorithms_are_refused_too() {
    let secret = "0123456789abcdef0123456789abcdef";
    let keys = TokenKey::open(&TokenSource::Secret(secret.into()), Path::new("/nowhere")).unwrap();
    let claims = in_force(-5, 60);
    assert!(keys.read(&forged(&json!({ "alg": "HS256" }), &claims, |message| hmac(secret.as_bytes(), message))).is_some());
    assert!(keys.read(&forged(&json!({ "alg": "none" }), &claims, |_| Vec::new())).is_none());
    let other = Header::new(Algorithm::HS512);
    assert!(keys.read(&jsonwebtoken::encode(&other, &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()).is_none());
}

#[test]
fn a_token_counts_from_its_nbf_to_its_exp_give_or_take_a_clock() {
    let signer = Signer::ed();
    let keys = set_of(&[signer.public("ed-1")]).unwrap();
    let believed = |from, to| keys.read(&signer.sign(Some("ed-1"), &in_force(from, to))).is_some();
    assert!(believed(-5, 60));
    assert!(believed(-60, -10) && believed(10, 60), "clocks differ by seconds");
    assert!(!believed(-600, -60), "expired");
    assert!(!believed(120, 600), "not yet");
    let mut endless = in_force(-5, 60);
    endless.as_object_mut().unwrap().remove("exp");
    assert!(keys.read(&signer.sign(Some("ed-1"), &endless)).is_none(), "a token without an end");
}

#[test]
fn a_changed_token_and_an_extension_that_must_be_understood_are_refused() {
    let signer = Signer::ec();
    let keys = set_of(&[signer.public("ec-1")]).unwrap();
    let token = signer.sign(Some("ec-1"), &in_force(-5, 60));
    let parts: Vec<_> = token.split('.').collect();
    let mut more = in_force(-5, 60);
    more["permissions"] = json!(["canViewAuditLogs"]);
    let payload = base64_simd::URL_SAFE_NO_PAD.encode_to_string(more.to_string());
    assert!(keys.read(&format!("{}.{payload}.{}", parts[0], parts[2])).is_none(), "other claims under the same signature");
    assert!(keys.read(&format!("{}.{}.", parts[0], parts[1])).is_none(), "no signature");
    let header = Header { kid: Some("ec-1".into()), crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::ES256) };
    assert!(keys.read(&jsonwebtoken::encode(&header, &in_force(-5, 60), &signer.key).unwrap()).is_none(), "crit");
}

#[test]
fn a_key_set_that_could_mint_or_check_nothing_is_refused_by_name() {
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(), Signer::ed());
    let with = |mut key: Value, name: &str, value: Value| {
        key[name] = value;
        key
    };
    assert!(refused(&[with(ec.public("ec-1"), "d", json!("AAAA"))]).contains("\"ec-1\" is private or symmetric"));
    assert!(refused(&[json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" })]).contains("private or symmetric"));
    assert!(refused(&[ec.public("same"), ed.public("same")]).contains("\"same\": among several keys"));
    let mut nameless = ed.public("x");
    nameless.as_object_mut().unwrap().remove("kid");
    assert!(refused(&[ec.public("ec-1"), nameless]).contains("without a kid"));
    assert!(refused(&[with(rsa.public("weak"), "n", json!("x".repeat(172)))]).contains("\"weak\" cannot be used: it is too short"));
    assert!(refused(&[with(ec.public("half"), "x", json!("AAAA"))]).contains("\"half\" cannot be used"));
    let mut damaged = ec.public("torn");
    damaged.as_object_mut().unwrap().remove("y");
    assert!(refused(&[damaged]).contains("\"torn\" cannot be used"));
    assert!(refused(&[]).contains("holds no key for RS256"));
    // What is for something else is passed over, and leaves nothing.
    let others = [
        with(rsa.public("enc"), "use", json!("enc")),
        with(rsa.public("pss"), "alg", json!("PS256")),
        json!({ "kty": "EC", "crv": "P-384", "kid": "p384", "x": "AA", "y": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA" }),
    ];
    assert!(refused(&others).contains("holds no key for RS256"));
    let one_good = set_of(&[&others[..], &[ed.public("ed-1")]].concat()).unwrap();
    assert!(one_good.read(&ed.sign(Some("ed-1"), &in_force(-5, 60))).is_some());
    let missing = TokenKey::open(&TokenSource::KeySet("/nowhere/keys.json".into()), Path::new("/nowhere")).err().unwrap().to_string();
    assert!(missing.contains("CALLGATE_JWKS_FILE /nowhere/keys.json cannot be read"), "{missing}");
}

#[test]
fn a_key_set_mints_no_token_and_says_why() {
    let keys = set_of(&[Signer::ed().public("ed-1")]).unwrap();
    let claims: Claims = serde_json::from_value(in_force(-5, 60)).unwrap();
    let why = keys.mint(&claims).unwrap_err().to_string();
    assert!(why.contains("cannot mint") && why.contains("CALLGATE_JWKS_FILE"), "{why}");
}
