//! A gateway of its own for each test, and a caller at its socket.
#![allow(dead_code, reason = "every test binary uses its own part")]

#[cfg(feature = "kms")]
pub mod kms_server;
pub mod recogniser;
#[macro_use]
pub mod databases;
pub mod s3_server;
#[cfg(any(feature = "kms", feature = "transcribe"))]
pub mod sigv4;
pub mod sse;
pub mod talk;
#[cfg(feature = "transcribe")]
pub mod transcribe_server;
pub mod twilio;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callgate::engine::consent::{Actor, ConsentRecord, ConsentStatus, Method, Queues};
use callgate::io::clock::wall;
use callgate::io::database::{Act, Acted, Database, Revocation, Revoked, VerifyReport, Work};
use callgate::replay::{Scenario, Target, play};
use callgate::server::{Claims, Gateway, Given};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const PERMISSIONS: [&str; 4] = ["canViewClients", "canEditClients", "canViewRecordings", "canViewAuditLogs"];

/// A gateway in this process, with a folder that goes with it.
pub struct Rig {
    pub gateway: Gateway,
    pub folder: TempDir,
    pub token: String,
}

/// Where a gateway is asked, in whatever process it runs.
#[derive(Clone, Copy)]
pub struct Door<'a> {
    pub address: SocketAddr,
    pub folder: &'a Path,
    pub token: &'a str,
}

impl<'a> From<&'a Rig> for Door<'a> {
    fn from(rig: &'a Rig) -> Self {
        Self { address: rig.address(), folder: rig.folder.path(), token: &rig.token }
    }
}

/// Waits until something is so, for a minute at most.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(60), "never came to be: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

impl Door<'_> {
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(path, Some(self.token)).await
    }

    pub async fn get_as(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A client's lines of the chain, once everything handed in before is written.
    pub async fn chain(&self, client: &str) -> Vec<Value> {
        let (status, log) = self.get(&format!("/api/audit?limit=1000&clientId={client}")).await;
        assert_eq!(status, 200, "{log}");
        log["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()).collect()
    }

    /// The call with this sid, once it is as wanted.
    pub async fn call(&self, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..400 {
            let (_, found) = self.get(&format!("/api/calls?callSid={sid}")).await;
            if !found["calls"][0].is_null() && wanted(&found["calls"][0]) {
                return found["calls"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the call never came to be as wanted: {}", self.get(&format!("/api/calls?callSid={sid}")).await.1);
    }
}

impl Rig {
    pub async fn start(given: Given) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(config(folder.path(), given)).await.unwrap();
        // A gateway with a key set mints none: its test brings its own.
        let token = gateway.tokens().mint(&claims(&PERMISSIONS, &["*"], "default")).unwrap_or_default();
        Self { gateway, folder, token }
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as(path, Some(&self.token)).await
    }

    pub async fn get_as(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        Door::from(self).get_as(path, token).await
    }

    /// A token of somebody else.
    pub fn token_of(&self, sub: &str, name: &str, permissions: &[&str], clients: &[&str]) -> String {
        let claims = Claims { sub: sub.into(), name: name.into(), ..claims(permissions, clients, "default") };
        self.gateway.tokens().mint(&claims).unwrap()
    }

    pub async fn post_as(&self, path: &str, body: Value, token: &str) -> (u16, Value) {
        self.ask(reqwest::Method::POST, path, body.to_string(), token).await
    }

    /// Any request with any body.
    pub async fn ask(&self, method: reqwest::Method, path: &str, body: String, token: &str) -> (u16, Value) {
        let request = reqwest::Client::new().request(method, format!("http://{}{path}", self.address()));
        let answer = request.bearer_auth(token).header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// A client's lines of the chain, once everything handed in before is written.
    pub async fn chain(&self, client: &str) -> Vec<Value> {
        Door::from(self).chain(client).await
    }

    /// A whole call of a client who presses 1, talks, and hangs up: the id of its stored recording.
    pub async fn recorded(&self, sid: &str, client: &str) -> String {
        let mut caller = Caller::talking_as(self, sid, client).await;
        caller.frames(50).await;
        caller.stop().await;
        let call = self.call(sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
        call["recording"]["recordingId"].as_str().unwrap().to_owned()
    }

    /// The call with this sid, once it is as wanted.
    pub async fn call(&self, sid: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        Door::from(self).call(sid, wanted).await
    }
}

pub fn config(folder: &Path, given: Given) -> callgate::server::Config {
    let defaults = Given {
        listen: Some("127.0.0.1:0".into()),
        data_dir: Some(folder.display().to_string()),
        database_url: Some(database_url(folder)),
        clock: Some("media".into()),
        // Tests ask as fast as they can.
        rate_limit: Some("none".into()),
        ..Given::default()
    };
    given.over(defaults).meant().unwrap()
}

pub fn claims(permissions: &[&str], clients: &[&str], org: &str) -> Claims {
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    Claims { sub: "tester".into(), name: "Tester".into(), org: org.into(), permissions: text(permissions), clients: text(clients), exp }
}

/// The real binary, to be killed.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
    said: Arc<Mutex<String>>,
    /// Who reads its log as it comes: a pipe that nobody empties would stop it.
    reader: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(folder: &Path, more: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_callgate")).arg("serve"), folder, more)
    }

    /// By a command that ends in `callgate serve`.
    pub fn spawn(command: &mut Command, folder: &Path, more: &[(&str, &str)]) -> Self {
        command
            .env("CALLGATE_LISTEN", "127.0.0.1:0")
            .env("CALLGATE_DATA_DIR", folder)
            .env("CALLGATE_CLOCK", "media")
            .env("CALLGATE_RATE_LIMIT", "none");
        command.env("CALLGATE_DATABASE_URL", database_url(folder));
        command.envs(more.iter().copied()).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (log, told) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&said));
        let reader = std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| *told.lock().unwrap() += &(line + "\n")));
        Self { child, address, said, reader: Some(reader) }
    }

    /// A token of all permissions, for the gateway of this folder.
    pub fn token(folder: &Path) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.args(["token", "--sub", "tester", "--permissions", &PERMISSIONS.join(","), "--clients", "*"]);
        let minted = command.env("CALLGATE_DATA_DIR", folder).output().unwrap();
        String::from_utf8(minted.stdout).unwrap().trim().to_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What it wrote to its log so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// What it wrote to its log, once it is over.
    pub fn log(mut self) -> String {
        self.reader.take().unwrap().join().unwrap();
        self.child.wait().unwrap();
        self.said()
    }
}

impl Drop for Served {
    /// A test that fails leaves no gateway behind: it would hold on to whatever it has inherited.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A caller who says what a test tells it to, as fast as it is told.
pub struct Caller {
    pub web: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
    pub sid: String,
    sequence: u64,
    pub chunk: u64,
    pub heard: Vec<Value>,
}

/// A frame that no other frame is like: number `n` in quiet noise.
pub fn numbered(n: u64) -> [u8; 160] {
    let mut seed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::array::from_fn(|_| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        callgate::engine::audio::g711::encode((((seed >> 33) % 61) as i16) - 30)
    })
}

impl Caller {
    pub async fn connect(address: SocketAddr, sid: &str, parameters: Value) -> Self {
        Self::over(format!("ws://{address}/twilio/media").into_client_request().unwrap(), sid, parameters).await
    }

    /// Over a handshake of its own.
    pub async fn over(request: tokio_tungstenite::tungstenite::handshake::client::Request, sid: &str, parameters: Value) -> Self {
        let (web, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Self::on(web, sid, parameters).await
    }

    /// On a socket that is open already.
    pub async fn on(web: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>, sid: &str, parameters: Value) -> Self {
        Self::of_tracks(web, sid, parameters, &["inbound"]).await
    }

    /// The same with the other party on a track of its own.
    pub async fn with_both_tracks(address: SocketAddr, sid: &str, parameters: Value) -> Self {
        let (web, _) = tokio_tungstenite::connect_async(format!("ws://{address}/twilio/media")).await.unwrap();
        Self::of_tracks(web, sid, parameters, &["inbound", "outbound"]).await
    }

    async fn of_tracks(web: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>, sid: &str, parameters: Value, tracks: &[&str]) -> Self {
        let mut caller = Self { web, sid: sid.to_owned(), sequence: 1, chunk: 0, heard: Vec::new() };
        caller.say(json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
        caller
            .say(json!({ "event": "start", "sequenceNumber": "1", "streamSid": format!("MZ{sid}"), "start": {
                "accountSid": "AC1", "streamSid": format!("MZ{sid}"), "callSid": sid, "tracks": tracks,
                "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 }, "customParameters": parameters } }))
            .await;
        // The prompt's first words: the gateway listens.
        caller.listen(Duration::from_millis(500)).await;
        caller
    }

    pub async fn say(&mut self, message: Value) {
        let _ = self.web.send(Message::text(message.to_string())).await;
    }

    pub async fn raw(&mut self, message: Message) {
        let _ = self.web.send(message).await;
    }

    pub async fn frame(&mut self, codes: &[u8]) {
        self.chunk += 1;
        self.media("inbound", self.chunk, self.now_ms(), codes).await;
    }

    /// The other party says something, at the time of the client's last frame.
    pub async fn other_frame(&mut self, codes: &[u8]) {
        self.media("outbound", self.chunk, self.now_ms(), codes).await;
    }

    /// A frame that others overtake, by its number: [`Self::comes_late`].
    pub fn overtaken(&mut self) -> u64 {
        self.sequence += 1;
        self.chunk += 1;
        self.chunk
    }

    /// Now it comes, numbered as it was.
    pub async fn comes_late(&mut self, chunk: u64) {
        self.media("inbound", chunk, 100 + (chunk - 1) * 20, &numbered(chunk)).await;
    }

    /// A numbered frame with a timestamp that is none.
    pub async fn frame_at(&mut self, timestamp: u64) {
        self.chunk += 1;
        self.media("inbound", self.chunk, timestamp, &numbered(self.chunk)).await;
    }

    /// When the client's last frame was said.
    fn now_ms(&self) -> u64 {
        100 + (self.chunk - 1) * 20
    }

    async fn media(&mut self, track: &str, chunk: u64, timestamp: u64, codes: &[u8]) {
        self.sequence += 1;
        let payload = base64_simd::STANDARD.encode_to_string(codes);
        let (sequence, sid) = (self.sequence.to_string(), format!("MZ{}", self.sid));
        self.say(json!({ "event": "media", "sequenceNumber": sequence, "streamSid": sid,
                         "media": { "track": track, "chunk": chunk.to_string(), "timestamp": timestamp.to_string(), "payload": payload } }))
            .await;
    }

    /// Numbered frames, as fast as they go.
    pub async fn frames(&mut self, count: u64) {
        for _ in 0..count {
            let codes = numbered(self.chunk + 1);
            self.frame(&codes).await;
        }
    }

    pub async fn key(&mut self, digit: &str) {
        self.sequence += 1;
        let (sequence, sid) = (self.sequence.to_string(), format!("MZ{}", self.sid));
        self.say(
            json!({ "event": "dtmf", "streamSid": sid, "sequenceNumber": sequence, "dtmf": { "track": "inbound_track", "digit": digit } }),
        )
        .await;
    }

    pub async fn stop(&mut self) {
        self.sequence += 1;
        let (sequence, sid) = (self.sequence.to_string(), format!("MZ{}", self.sid));
        self.say(
            json!({ "event": "stop", "sequenceNumber": sequence, "streamSid": sid, "stop": { "accountSid": "AC1", "callSid": self.sid } }),
        )
        .await;
    }

    /// Takes in what the gateway says, until it is quiet for `span` or closes.
    pub async fn listen(&mut self, span: Duration) -> bool {
        loop {
            match tokio::time::timeout(span, self.web.next()).await {
                Err(_) => return true,
                Ok(Some(Ok(Message::Text(text)))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let first = self.heard.is_empty();
                    self.heard.push(message);
                    if first {
                        return true;
                    }
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return false,
                Ok(Some(Ok(_))) => {}
            }
        }
    }

    /// A caller who pressed 1 and talks: `consented` frames are on their way into a recording.
    pub async fn talking(rig: &Rig, sid: &str) -> Self {
        Self::talking_as(rig, sid, &format!("client-{sid}")).await
    }

    /// The same of a client by id.
    pub async fn talking_as(rig: &Rig, sid: &str, client: &str) -> Self {
        let mut caller = Self::connect(rig.address(), sid, json!({ "mode": "stay", "clientId": client })).await;
        caller.frames(250).await;
        caller.key("1").await;
        rig.call(sid, |call| call["recording"]["state"] == "ACTIVE").await;
        caller
    }
}

/// The left channel of a WAV, as mu-law.
pub fn left(wav: &[u8]) -> Vec<u8> {
    let samples = hound::WavReader::new(std::io::Cursor::new(wav)).unwrap().into_samples::<i16>();
    samples.map(Result::unwrap).step_by(2).map(callgate::engine::audio::g711::encode).collect()
}

/// Which numbered frames lie in a recording.
pub fn frames_in(codes: &[u8], of: u64) -> Vec<u64> {
    (1..=of)
        .filter(|n| {
            let wanted: Vec<u8> = numbered(*n)
                .iter()
                .map(|code| callgate::engine::audio::g711::encode(callgate::engine::audio::g711::decode(*code)))
                .collect();
            codes.windows(160).any(|window| window == wanted)
        })
        .collect()
}

/// Plays every built-in scenario against this gateway, opens every recording, and drains it. Tells how its chain stands then.
pub async fn every_scenario_comes_out(rig: Rig, database_url: &str) -> VerifyReport {
    let target = Target {
        url: format!("ws://{}/twilio/media", rig.address()),
        api: format!("http://{}", rig.address()),
        token: Some(rig.token.clone()),
        auth_token: None,
        speed: 2.0,
        seed: 7,
    };
    let scenarios = Scenario::built_in().unwrap();
    let outcomes = play(&target, &scenarios, scenarios.len(), 100.0, usize::MAX, |_, _| {}).await;
    let failures: Vec<_> =
        outcomes.iter().flat_map(|outcome| outcome.failures.iter().map(|why| format!("{}: {why}", outcome.scenario.name))).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(outcomes.len(), scenarios.len());
    rig.gateway.drain(Duration::from_secs(5)).await;
    let report = VerifyReport::of(database_url).await.unwrap();
    assert_eq!(report.broken, None);
    assert!(report.entries > 30);
    assert!(files(&rig.folder.path().join("spool")).is_empty(), "stored and proven, nothing is left in the spool");
    report
}

/// By the real binary's own word, over the whole chain.
pub fn chain_holds(folder: &Path) {
    let verify = Command::new(env!("CARGO_BIN_EXE_callgate"))
        .args(["audit", "verify"])
        .env("CALLGATE_DATA_DIR", folder)
        .env("CALLGATE_DATABASE_URL", database_url(folder))
        .output()
        .unwrap();
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

/// Whether anything that the gateway wrote says this.
pub fn is_written<'a>(by: impl Into<Door<'a>>, text: &str) -> bool {
    files(by.into().folder).iter().any(|file| tells(&std::fs::read(file).unwrap_or_default(), text))
}

/// Whether these bytes do, in whatever case. Digits must stand alone: ids are full of such that say nothing.
pub fn tells(bytes: &[u8], text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let part = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.windows(text.len()).enumerate().any(|(at, window)| {
        let inside = part(at.checked_sub(1).and_then(|before| bytes.get(before))) || part(bytes.get(at + text.len()));
        !(digits && inside) && window.eq_ignore_ascii_case(text.as_bytes())
    })
}

/// All files under a folder.
pub fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Whether these stories take place on PostgreSQL: `CALLGATE_TEST_DATABASE=postgres`, as `scripts/test` runs them once more.
pub fn on_postgres() -> bool {
    std::env::var_os("CALLGATE_TEST_DATABASE").is_some_and(|name| name == "postgres")
}

/// The database of a data folder: the same one for whoever asks again.
pub fn database_url(folder: &Path) -> String {
    static MADE: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());
    if !on_postgres() {
        return format!("sqlite://{}/callgate.db", folder.display());
    }
    let mut made = MADE.lock().unwrap();
    let make = || {
        // A runtime of its own: whoever asks may stand in one, and may not wait in it.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime().block_on(databases::fresh())).join().unwrap()
    };
    made.entry(folder.to_owned()).or_insert_with(make).clone()
}

/// A connection to the database of a data folder that knows nothing of callgate.
pub async fn raw(folder: &Path) -> databases::Raw {
    databases::raw(&database_url(folder)).await
}

/// A revocation by another process on the same database.
pub async fn revoke_elsewhere(folder: &Path, client: &str) -> Revoked {
    let database = Database::open(&database_url(folder)).await.unwrap();
    let record = ConsentRecord {
        id: format!("elsewhere-{client}"),
        org_id: "default".into(),
        client_id: client.into(),
        call_id: None,
        status: ConsentStatus::Revoked,
        method: Method::Written,
        language_code: "en".into(),
        prompt_version: "v1".into(),
        actor: Actor::User { id: "elsewhere".into(), name: String::new() },
        at: wall(),
        reason: None,
        evidence: json!({}).into(),
        policy_version: None,
        policy_basis: None,
    };
    let (done, acted) = tokio::sync::oneshot::channel();
    let act = Act::Revoke(Box::new(Revocation { record, queues: Queues::Everything }));
    assert!(database.ledger().append(Work::Act(act, Box::new(move |acted| done.send(acted).unwrap()))).is_ok());
    let Some(Acted::Revoked(revoked)) = acted.await.unwrap() else { panic!("not revoked") };
    revoked
}
