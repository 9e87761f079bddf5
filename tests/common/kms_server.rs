//! A stand-in for AWS KMS: its JSON protocol over HTTP, keys that really encrypt, and every signature checked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rand::Rng as _;
use serde_json::{Value, json};

use super::sigv4::{Signed, signed};

pub const ACCESS_KEY: &str = "AKIDKMSTEST";
pub const SECRET_KEY: &str = "a secret of the tests alone";

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Well,
    /// Takes questions and never answers.
    Hangs,
    /// An error of its own.
    Ails,
    /// The caller may not.
    Denies,
}

pub struct KmsServer {
    pub endpoint: String,
    pub state: Arc<Kms>,
}

#[derive(Default)]
pub struct Kms {
    /// Key material by id.
    keys: Mutex<HashMap<String, [u8; 32]>>,
    moods: Mutex<HashMap<&'static str, Mood>>,
    pub made: AtomicU32,
    pub opened: AtomicU32,
    /// The encryption contexts of all that was asked.
    pub contexts: Mutex<Vec<Value>>,
}

impl KmsServer {
    pub async fn start(keys: &[&str]) -> Self {
        let state = Arc::new(Kms::default());
        for key in keys {
            let mut material = [0; 32];
            rand::rng().fill_bytes(&mut material);
            state.keys.lock().unwrap().insert((*key).to_owned(), material);
        }
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, state }
    }

    pub fn set(&self, operations: &[&'static str], mood: Mood) {
        for operation in operations {
            self.state.moods.lock().unwrap().insert(operation, mood);
        }
    }

    /// What a gateway needs to find it.
    pub fn environment<'a>(&'a self, key: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            ("AWS_ENDPOINT_URL_KMS", &self.endpoint),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("CALLGATE_SPOOL_KMS_KEY", key),
        ]
    }
}

pub const MAKE: &str = "TrentService.GenerateDataKey";
pub const OPEN: &str = "TrentService.Decrypt";

async fn answer(State(kms): State<Arc<Kms>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let target = text("x-amz-target");
    if text("content-type") != "application/x-amz-json-1.1" || !is_signed(&headers, &body) {
        return failed(StatusCode::BAD_REQUEST, "InvalidSignatureException");
    }
    let mood = kms.moods.lock().unwrap().get(target.as_str()).copied().unwrap_or(Mood::Well);
    match mood {
        Mood::Well => {}
        Mood::Hangs => {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        Mood::Ails => return failed(StatusCode::INTERNAL_SERVER_ERROR, "KMSInternalException"),
        Mood::Denies => return failed(StatusCode::BAD_REQUEST, "AccessDeniedException"),
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let context = asked["EncryptionContext"].clone();
    kms.contexts.lock().unwrap().push(context.clone());
    match target.as_str() {
        MAKE => {
            let id = asked["KeyId"].as_str().unwrap();
            let Some(key) = kms.keys.lock().unwrap().get(id).copied() else {
                return failed(StatusCode::BAD_REQUEST, "NotFoundException");
            };
            assert_eq!(asked["KeySpec"], "AES_256");
            kms.made.fetch_add(1, Ordering::SeqCst);
            let (mut plain, mut nonce) = ([0; 32], [0; 12]);
            rand::rng().fill_bytes(&mut plain);
            rand::rng().fill_bytes(&mut nonce);
            let sealed = cipher(&key).encrypt(&Nonce::from(nonce), Payload { msg: &plain, aad: context.to_string().as_bytes() }).unwrap();
            let blob = [&[u8::try_from(id.len()).unwrap()], id.as_bytes(), &nonce, &sealed].concat();
            told(&json!({ "KeyId": id, "Plaintext": base64(&plain), "CiphertextBlob": base64(&blob) }))
        }
        OPEN => {
            let blob = base64_simd::STANDARD.decode_to_vec(asked["CiphertextBlob"].as_str().unwrap()).unwrap();
            let aad = context.to_string();
            let opened = (|| {
                let (length, rest) = blob.split_first()?;
                let (id, rest) = rest.split_at_checked(usize::from(*length))?;
                let (nonce, sealed) = rest.split_at_checked(12)?;
                let id = std::str::from_utf8(id).ok()?;
                let key = kms.keys.lock().unwrap().get(id).copied()?;
                let nonce: [u8; 12] = nonce.try_into().ok()?;
                let payload = Payload { msg: sealed, aad: aad.as_bytes() };
                Some((id.to_owned(), cipher(&key).decrypt(&Nonce::from(nonce), payload).ok()?))
            })();
            let Some((id, plain)) = opened else { return failed(StatusCode::BAD_REQUEST, "InvalidCiphertextException") };
            kms.opened.fetch_add(1, Ordering::SeqCst);
            told(&json!({ "KeyId": id, "Plaintext": base64(&plain), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT" }))
        }
        _ => failed(StatusCode::BAD_REQUEST, "UnknownOperationException"),
    }
}

fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    signed("kms", "/", headers, body, ACCESS_KEY, SECRET_KEY).is_some() && Signed::of_header(headers, "x-amz-target")
}

fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn told(answer: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/x-amz-json-1.1")], answer.to_string()).into_response()
}

fn failed(status: StatusCode, code: &str) -> Response {
    let told = json!({ "__type": code, "message": "as the test wants it" }).to_string();
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], told).into_response()
}
