//! A call that is relayed to a voice bot: a real gateway, a real WebSocket server that believes it talks to Twilio.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::twilio::{PUBLIC, Phone, TOKEN, Twilio, attribute};
use crate::common::{Caller, Rig, frames_in, left, numbered};
use base64_simd::STANDARD;
use callgate::engine::twilio::signature;
use callgate::server::{Given, GivenRelay};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

/// Nothing that a test waits for takes longer.
const SOON: Duration = Duration::from_secs(10);

/// A voice bot's server.
struct Bots {
    listener: TcpListener,
    url: String,
}

/// One call at the bot's end.
struct Bot {
    web: WebSocketStream<TcpStream>,
    signature: Option<String>,
    sid: String,
    /// Everything it was told, as it was written.
    told: Vec<String>,
}

impl Bots {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/media", listener.local_addr().unwrap());
        Self { listener, url }
    }

    fn given(&self, capture: bool, then: Option<&str>) -> Given {
        let relay = GivenRelay { url: self.url.clone(), capture, then: then.map(str::to_owned) };
        Given { relay: BTreeMap::from([("front".to_owned(), relay)]), ..Given::default() }
    }

    #[expect(clippy::result_large_err, reason = "tungstenite's own callback")]
    async fn answer(&self) -> Bot {
        let (stream, _) = tokio::time::timeout(SOON, self.listener.accept()).await.expect("the bot is called").unwrap();
        let mut signature = None;
        let web = tokio_tungstenite::accept_hdr_async(stream, |request: &Request, response: Response| {
            signature = request.headers().get("x-twilio-signature").map(|value| value.to_str().unwrap().to_owned());
            Ok(response)
        });
        let web = web.await.unwrap();
        let mut bot = Bot { web, signature, sid: String::new(), told: Vec::new() };
        assert_eq!(bot.next().await["event"], "connected");
        let start = bot.next().await;
        bot.sid = start["streamSid"].as_str().unwrap().to_owned();
        bot
    }
}

impl Bot {
    async fn next(&mut self) -> Value {
        // Pings are no answer.
        let by = tokio::time::Instant::now() + SOON;
        loop {
            match tokio::time::timeout_at(by, self.web.next()).await.expect("something is said") {
                Some(Ok(Message::Text(text))) => {
                    self.told.push(text.to_string());
                    return serde_json::from_str(&text).unwrap();
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return json!({ "event": "(closed)" }),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message of this kind; what comes before it is kept in `told`.
    async fn next_of(&mut self, event: &str) -> Value {
        loop {
            let message = self.next().await;
            assert_ne!(message["event"], "(closed)", "while {event} was waited for: {:?}", self.told.last());
            if message["event"] == event {
                return message;
            }
        }
    }

    async fn says(&mut self, codes: &[u8]) {
        let payload = STANDARD.encode_to_string(codes);
        self.raw(json!({ "event": "media", "streamSid": self.sid, "media": { "payload": payload } })).await;
    }

    async fn marks(&mut self, name: &str) {
        self.raw(json!({ "event": "mark", "streamSid": self.sid, "mark": { "name": name } })).await;
    }

    async fn raw(&mut self, message: Value) {
        self.web.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Takes in what it is told until it is quiet.
    async fn catches_up(&mut self) {
        while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_millis(400), self.web.next()).await {
            if let Message::Text(text) = message {
                self.told.push(text.to_string());
            }
        }
    }

    /// Takes in what it is told until it has heard this.
    async fn hears(&mut self, codes: &[u8]) {
        let by = tokio::time::Instant::now() + SOON;
        while !self.heard().ends_with(codes) {
            assert!(tokio::time::Instant::now() < by, "it was never heard");
            self.next_of("media").await;
        }
    }

    /// All audio it was told.
    fn heard(&self) -> Vec<u8> {
        let payload = |text: &String| serde_json::from_str::<Value>(text).unwrap()["media"]["payload"].as_str().map(str::to_owned);
        self.told.iter().filter_map(payload).flat_map(|payload| STANDARD.decode_to_vec(payload).unwrap()).collect()
    }
}

impl Caller {
    /// Says of every mark it was sent that it has been played.
    async fn marks_back(&mut self) {
        self.listen(Duration::from_millis(400)).await;
        for mark in self.heard.iter().filter(|said| said["event"] == "mark").map(|said| said["mark"].clone()).collect::<Vec<_>>() {
            let sid = format!("MZ{}", self.sid);
            self.say(json!({ "event": "mark", "sequenceNumber": "9000", "streamSid": sid, "mark": mark })).await;
        }
    }
}

fn parameters(client: &str) -> Value {
    json!({ "mode": "stay", "relay": "front", "clientId": client, "theirs": "kept" })
}

/// A caller who was asked, pressed this, and heard the closing line out.
async fn answered(rig: &Rig, sid: &str, key: &str) -> Caller {
    let mut caller = Caller::connect(rig.address(), sid, parameters(&format!("client-{sid}"))).await;
    caller.frames(250).await;
    caller.key(key).await;
    rig.call(sid, |call| call["phase"] == "CONNECTED" && (key != "1" || call["recording"]["state"] == "ACTIVE")).await;
    // The closing line is over when its time has passed, mark or no mark.
    caller.frames(400).await;
    caller
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_is_spoken_to_exactly_as_by_twilio() {
    let bots = Bots::start().await;
    let rig = Rig::start(bots.given(false, None)).await;
    let mut caller = answered(&rig, "CAgold", "1").await;
    let mut bot = bots.answer().await;
    bot.catches_up().await;
    let first = caller.chunk + 1;
    caller.frames(50).await;
    bot.hears(&numbered(caller.chunk)).await;
    caller.key("5").await;
    bot.next_of("dtmf").await;
    bot.marks("said").await;
    caller.marks_back().await;
    bot.next_of("mark").await;
    caller.stop().await;
    bot.next_of("stop").await;
    assert_eq!(bot.next().await["event"], "(closed)");

    let call = rig.call("CAgold", |call| call["recording"]["state"] == "FINISHED").await;
    let call_id = call["callId"].as_str().unwrap();
    assert_eq!(bot.told[0], r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
    assert_eq!(
        bot.told[1],
        format!(
            concat!(
                r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC1","streamSid":"MZCAgold","callSid":"CAgold","#,
                r#""tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":"#,
                r#"{{"callId":"{}","clientId":"client-CAgold","consentStatus":"GRANTED","isRecorded":"true","theirs":"kept"}}}},"streamSid":"MZCAgold"}}"#
            ),
            call_id
        )
    );
    let media: Vec<Value> =
        bot.told.iter().map(|text| serde_json::from_str(text).unwrap()).filter(|message: &Value| message["event"] == "media").collect();
    for (n, message) in media.iter().enumerate() {
        // Field for field, each a string.
        let payload = message["media"]["payload"].as_str().unwrap();
        let timestamp: u64 = message["media"]["timestamp"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            *message,
            json!({ "event": "media", "sequenceNumber": (n + 2).to_string(), "streamSid": "MZCAgold",
                    "media": { "track": "inbound", "chunk": (n + 1).to_string(), "timestamp": (n * 20).to_string(), "payload": payload } }),
            "{timestamp}"
        );
    }
    let heard = bot.heard();
    for n in first..first + 50 {
        assert!(heard.windows(160).any(|window| window == numbered(n)), "frame {n} as it was sent");
    }
    let count = media.len();
    let tail: Vec<&String> = bot.told.iter().skip(count + 2).collect();
    assert_eq!(
        tail,
        [
            &format!(
                r#"{{"event":"dtmf","sequenceNumber":"{}","dtmf":{{"track":"inbound_track","digit":"5"}},"streamSid":"MZCAgold"}}"#,
                count + 2
            ),
            &format!(r#"{{"event":"mark","sequenceNumber":"{}","mark":{{"name":"said"}},"streamSid":"MZCAgold"}}"#, count + 3),
            &format!(
                r#"{{"event":"stop","sequenceNumber":"{}","stop":{{"accountSid":"AC1","callSid":"CAgold"}},"streamSid":"MZCAgold"}}"#,
                count + 4
            ),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bot_says_is_played_and_is_the_outbound_track() {
    let bots = Bots::start().await;
    let rig = Rig::start(Given { prompt_in_recording: Some("false".into()), ..bots.given(false, None) }).await;
    let mut caller = answered(&rig, "CAsays", "1").await;
    let mut bot = bots.answer().await;
    let said: Vec<u8> = (5_001..=5_050).flat_map(numbered).collect();
    // What is left of the closing line.
    caller.listen(Duration::from_millis(400)).await;
    caller.heard.clear();
    bot.says(&said).await;
    bot.marks("end").await;
    // Until it was sent on, and then as long as it takes to be played.
    let mut played = Vec::new();
    while played.len() < said.len() {
        caller.frames(1).await;
        caller.listen(Duration::from_millis(20)).await;
        played = caller
            .heard
            .iter()
            .filter_map(|said| said["media"]["payload"].as_str())
            .flat_map(|payload| STANDARD.decode_to_vec(payload).unwrap())
            .collect();
        assert!(caller.chunk < 5_000, "it never came");
    }
    assert_eq!(played, said);
    let marks: Vec<Value> = caller.heard.iter().filter(|said| said["event"] == "mark").map(|said| said["mark"].clone()).collect();
    let mark = marks.last().unwrap().clone();
    assert_ne!(mark["name"], "end", "the mark on Twilio's side is ours");
    // The line was quiet before: what was said then is played later by as much.
    caller.frames(120).await;
    caller.say(json!({ "event": "mark", "sequenceNumber": "9000", "streamSid": "MZCAsays", "mark": mark })).await;
    assert_eq!(bot.next_of("mark").await["mark"]["name"], "end");
    caller.stop().await;
    let call = rig.call("CAsays", |call| call["recording"]["state"] == "FINISHED").await;
    assert_eq!(call["recording"]["framesCaptured"]["outbound"], 50, "{call}");
    let wav = wav(&rig, &call).await;
    let samples = hound::WavReader::new(std::io::Cursor::new(&wav)).unwrap().into_samples::<i16>();
    let right: Vec<u8> = samples.map(Result::unwrap).skip(1).step_by(2).map(callgate::engine::audio::g711::encode).collect();
    let heard: Vec<u8> =
        said.iter().map(|code| callgate::engine::audio::g711::encode(callgate::engine::audio::g711::decode(*code))).collect();
    assert!(right.windows(heard.len()).any(|window| window == heard), "the bot's voice, in one piece, on the right");
    assert!(!frames_in(&left(&wav), caller.chunk).is_empty(), "the client's on the left");
}

async fn wav(rig: &Rig, call: &Value) -> Vec<u8> {
    let id = call["recording"]["recordingId"].as_str().unwrap();
    let request = reqwest::Client::new().get(format!("http://{}/api/recordings/{id}/audio", rig.address())).bearer_auth(&rig.token);
    request.send().await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_said_no_is_served_and_a_bot_that_keeps_hears_silence() {
    for capture in [false, true] {
        let bots = Bots::start().await;
        let rig = Rig::start(bots.given(capture, None)).await;
        let sid = if capture { "CAkeeps" } else { "CAserves" };
        let mut caller = answered(&rig, sid, "2").await;
        let mut bot = bots.answer().await;
        let start: Value = serde_json::from_str(&bot.told[1]).unwrap();
        let told = &start["start"]["customParameters"];
        assert_eq!((told["consentStatus"].as_str(), told["isRecorded"].as_str()), (Some("REVOKED"), Some("false")), "{start}");
        bot.catches_up().await;
        caller.frames(100).await;
        let before = caller.chunk;
        bot.catches_up().await;
        let heard = bot.heard();
        assert!(heard.len() >= 100 * 160, "{}", heard.len());
        let theirs = (before - 99..=before).filter(|n| heard.windows(160).any(|window| window == numbered(*n))).count();
        assert_eq!(theirs > 0, !capture, "{theirs} frames of the client");
        assert!(!capture || heard.iter().all(|code| *code == 0xFF), "silence, and nothing else");
        // It is served: the bot's voice reaches it, and it may press what it likes.
        bot.says(&numbered(7_000)).await;
        caller.key("2").await;
        assert_eq!(bot.next_of("dtmf").await["dtmf"]["digit"], "2");
        while !caller.heard.iter().any(|said| said["media"]["payload"] == json!(STANDARD.encode_to_string(numbered(7_000)))) {
            caller.frames(1).await;
            caller.listen(Duration::from_millis(20)).await;
            assert!(caller.chunk < 5_000, "it never came");
        }
        caller.stop().await;
        let call = rig.call(sid, |call| call["phase"] == "ENDED").await;
        assert_eq!(call["recording"]["framesCaptured"], json!({ "inbound": 0, "outbound": 0 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_opts_out_is_not_passed_on_and_ends_what_is_captured() {
    let bots = Bots::start().await;
    let rig = Rig::start(bots.given(true, None)).await;
    let mut caller = answered(&rig, "CAopts", "1").await;
    let mut bot = bots.answer().await;
    bot.catches_up().await;
    caller.frames(100).await;
    caller.key("*").await;
    caller.key("2").await;
    rig.call("CAopts", |call| call["consent"]["status"] == "REVOKED").await;
    caller.frames(100).await;
    caller.key("7").await;
    assert_eq!(bot.next_of("dtmf").await["dtmf"]["digit"], "7", "the first key that is the bot's");
    let heard = bot.heard();
    let after = (caller.chunk - 99..=caller.chunk).filter(|n| heard.windows(160).any(|window| window == numbered(*n))).count();
    assert_eq!(after, 0, "nothing of what was said after the no");
    caller.stop().await;
    assert_eq!(rig.call("CAopts", |call| call["phase"] == "ENDED").await["unrecordedReason"], "CLIENT_OPT_OUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_reads_nothing_never_holds_up_the_call() {
    let bots = Bots::start().await;
    let rig = Rig::start(bots.given(false, None)).await;
    let mut caller = answered(&rig, "CAslow", "1").await;
    let bot = bots.answer().await; // and is never read again
    // Far more than its queue, and than the kernel keeps for it: 20,000 frames are 8 MiB of JSON.
    let began = std::time::Instant::now();
    caller.frames(20_000).await;
    let sent = caller.chunk;
    // Every frame is heard by the machine, and captured but for those in the delay line.
    rig.call("CAslow", |call| call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(20_000)).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("callgate_relay_dropped_total ")).unwrap().parse::<u64>().unwrap();
    assert!(dropped > 0, "what the bot did not take is thrown away, and counted; {sent} sent");
    // It is given up after all, and the call is not: its stream is closed, and Twilio goes on with the next verb.
    let lost = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            caller.frames(5).await;
            if !caller.listen(Duration::from_millis(100)).await {
                return;
            }
        }
    });
    lost.await.expect("a bot that takes nothing is lost");
    drop(bot);
    let call = rig.call("CAslow", |call| call["recording"]["state"] == "FINISHED").await;
    assert!(rig.chain_of(&call["callId"]).await.iter().any(|entry| entry["kind"] == "call.relay_lost"), "a record says why");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_not_there_costs_nobody_the_call() {
    let bots = Bots::start().await;
    let given = bots.given(false, None);
    drop(bots);
    let rig = Rig::start(given).await;
    let mut caller = answered(&rig, "CAgone", "1").await;
    assert!(!caller.listen(Duration::from_secs(8)).await, "the stream is closed: Twilio goes on with the next verb");
    let call = rig.call("CAgone", |call| call["recording"]["state"] == "FINISHED").await;
    let chain = rig.chain_of(&call["callId"]).await;
    let lost = chain.iter().find(|entry| entry["kind"] == "call.relay_lost").unwrap();
    assert_eq!((lost["detail"]["bot"].as_str(), lost["detail"]["why"].as_str()), (Some("front"), Some("it cannot be reached")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_names_no_bot_of_ours_is_refused() {
    let bots = Bots::start().await;
    let rig = Rig::start(bots.given(false, None)).await;
    for wrong in [json!({ "mode": "stay", "relay": "nobody" }), json!({ "mode": "consent", "relay": "front" })] {
        let mut caller = Caller::connect(rig.address(), "CAwrong", wrong).await;
        assert!(caller.heard.is_empty() && !caller.listen(Duration::from_secs(3)).await);
    }
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("callgate_streams_refused_total 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbound_call_goes_to_the_bot_and_then_to_a_person_in_one_recording() {
    let (bots, twilio) = (Bots::start().await, Twilio::start().await);
    let relay = bots.given(false, Some("client:maria"));
    let rig = Rig::start(Given { inbound_route: Some("relay:front".into()), relay: relay.relay, ..twilio.given() }).await;
    let phone = Phone::inbound("CA0000000000000000000000000000beef");
    let twiml = phone.voice(&rig, &[("clientId", "client-beef")]).await;
    assert!(
        twiml.contains(r#"<Parameter name="mode" value="stay"/>"#) && twiml.contains(r#"<Parameter name="relay" value="front"/>"#),
        "{twiml}"
    );
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(250).await;
    caller.key("1").await;
    rig.call(&phone.sid, |call| call["recording"]["state"] == "ACTIVE").await;
    caller.frames(400).await;
    let mut bot = bots.answer().await;
    let none: &[(&str, &str)] = &[];
    assert_eq!(bot.signature.as_deref(), Some(signature::sign(TOKEN, &bots.url, none).as_str()), "signed as Twilio signs");
    caller.frames(100).await;
    bot.next_of("media").await;
    bot.web.close(None).await.unwrap();
    assert!(!caller.listen(Duration::from_secs(5)).await, "the bot hung up: the stream is closed");
    drop(caller);
    let action = attribute(&twiml, "Connect", "action");
    assert!(action.starts_with(PUBLIC) && action.contains("relay=front"), "{action}");
    let (status, next) = phone.ask(&rig, &action, &[]).await;
    assert_eq!(status, 200);
    assert!(next.contains(r#"<Start><Stream"#) && next.ends_with("<Dial><Client>maria</Client></Dial></Response>"), "{next}");
    let mut fork = phone.stream(&rig, &next).await;
    fork.frames(100).await;
    fork.stop().await;
    phone.status(&rig, "completed").await;
    let call = rig.call(&phone.sid, |call| call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED").await;
    assert!(call["recording"]["framesCaptured"]["inbound"].as_u64() >= Some(180), "what the bot heard, and what the person did: {call}");
    let kinds: Vec<Value> = rig.chain_of(&call["callId"]).await.iter().map(|entry| entry["kind"].clone()).collect();
    for kind in ["call.relayed", "call.relay_ended", "recording.finished"] {
        assert!(kinds.iter().any(|told| told == kind), "{kind} in {kinds:?}");
    }
    assert_eq!(kinds.iter().filter(|kind| *kind == "recording.started").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anybody_after_the_bot_the_call_ends() {
    let (bots, twilio) = (Bots::start().await, Twilio::start().await);
    let rig = Rig::start(Given { inbound_route: Some("relay:front".into()), relay: bots.given(false, None).relay, ..twilio.given() }).await;
    let phone = Phone::inbound("CA0000000000000000000000000000f00d");
    let twiml = phone.voice(&rig, &[]).await;
    let mut caller = phone.stream(&rig, &twiml).await;
    caller.frames(250).await;
    caller.key("2").await;
    rig.call(&phone.sid, |call| call["consent"]["status"] == "REVOKED").await;
    caller.frames(400).await;
    let mut bot = bots.answer().await;
    bot.web.close(None).await.unwrap();
    assert!(!caller.listen(Duration::from_secs(5)).await);
    let (_, next) = phone.ask(&rig, &attribute(&twiml, "Connect", "action"), &[]).await;
    assert!(next.ends_with("<Response><Hangup/></Response>"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_ours_is_heard_by_the_caller_and_the_bots_words_after_it() {
    use callgate::engine::audio::prompts::{Language, Line, library};
    let bots = Bots::start().await;
    let rig = Rig::start(Given { announce: Some("true".into()), ..bots.given(false, None) }).await;
    let mut caller = answered(&rig, "CAlines", "1").await;
    let mut bot = bots.answer().await;
    caller.listen(Duration::from_millis(400)).await;
    caller.heard.clear();
    let said: Vec<u8> = (5_001..=5_200).flat_map(numbered).collect();
    bot.says(&said).await;
    while !caller.heard.iter().any(|said| said["event"] == "media") {
        caller.frames(1).await;
        caller.listen(Duration::from_millis(20)).await;
        assert!(caller.chunk < 5_000, "the bot is not heard");
    }
    let call = rig.call("CAlines", |call| call["recording"]["state"] == "ACTIVE").await;
    let path = format!("/api/calls/{}/pause", call["callId"].as_str().unwrap());
    assert_eq!(rig.post_as(&path, json!({ "reason": "PAYMENT" }), &rig.token).await.0, 200);
    let line = library().prompt(Language::EN, Line::Paused).codes;
    let mut played: Vec<u8> = Vec::new();
    while played.len() < said.len() + line.len() {
        caller.frames(1).await;
        caller.listen(Duration::from_millis(5)).await;
        let payloads = caller.heard.iter().filter_map(|said| said["media"]["payload"].as_str());
        played = payloads.flat_map(|payload| STANDARD.decode_to_vec(payload).unwrap()).collect();
        assert!(caller.chunk < 5_000, "it never came");
    }
    let at = played.windows(line.len()).position(|window| window == line).expect("the line, in one piece");
    let bots_own: Vec<u8> = played[..at].iter().chain(&played[at + line.len()..]).copied().collect();
    assert_eq!(bots_own, said, "and every word of the bot's");
    bot.catches_up().await;
    assert!(bot.told.iter().all(|told| !told.contains("paused")), "the bot is told by what it hears alone");
    caller.stop().await;
}
