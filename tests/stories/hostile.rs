//! Bad input on the stream, through a real socket: what is broken is let pass or closes its own stream with a reason, and
//! the call, and everybody else's, goes on.

use std::time::Duration;

use crate::common::{Caller, Rig};
use callgate::server::Given;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

/// What the gateway's close frame says.
async fn closed(caller: &mut Caller) -> CloseFrame {
    loop {
        match tokio::time::timeout(Duration::from_secs(12), caller.web.next()).await.expect("it is closed in time") {
            Some(Ok(Message::Close(Some(frame)))) => return frame,
            Some(Ok(_)) => {}
            other => panic!("closed without a reason: {other:?}"),
        }
    }
}

fn frame(opcode: Data, last: bool, bytes: &[u8]) -> Message {
    let header = FrameHeader { is_final: last, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
    Message::Frame(Frame::from_payload(header, bytes.to_vec().into()))
}

fn is_finished(call: &Value) -> bool {
    call["recording"]["state"] == "FINISHED" && call["phase"] == "ENDED"
}

async fn malformed(rig: &Rig) -> u64 {
    let metrics = reqwest::get(format!("http://{}/metrics", rig.address())).await.unwrap().text().await.unwrap();
    metrics.lines().find_map(|line| line.strip_prefix("callgate_messages_malformed_total ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_media_stream_is_closed_with_its_reason_and_the_rest_of_the_call_goes_unrecorded() {
    let rig = Rig::start(Given::default()).await;
    let text = |length: usize| Message::text("x".repeat(length));
    let large = (CloseCode::Size, "a message is larger than 64 KiB");
    let broken = [
        ("CAmessage", vec![text(65_537)], large),
        ("CApieces", (0..40).map(|n| frame(if n == 0 { Data::Text } else { Data::Continue }, false, &[b'x'; 4_096])).collect(), large),
        ("CAbinary", vec![Message::binary(vec![0; 70_000])], large),
        ("CAutf8", vec![frame(Data::Text, true, b"{\"event\":\"\xFF\xFE\"}")], (CloseCode::Invalid, "a text message is not UTF-8")),
        ("CAorphan", vec![frame(Data::Continue, true, b"of nothing")], (CloseCode::Protocol, "what came was no WebSocket frame")),
        ("CAopcode", vec![frame(Data::Reserved(5), true, b"?")], (CloseCode::Protocol, "what came was no WebSocket frame")),
    ];
    for (sid, messages, (code, reason)) in broken {
        let mut caller = Caller::talking(&rig, sid).await;
        caller.frames(50).await;
        for message in messages {
            caller.raw(message).await;
        }
        caller.frames(5).await; // too late, and not understood any more
        let said = closed(&mut caller).await;
        assert_eq!((said.code, said.reason.as_str()), (code, reason), "{sid}");
        let call = rig.call(sid, is_finished).await;
        assert_eq!(call["recording"]["framesCaptured"]["inbound"], 50, "{sid}: what was consented to is kept");
        assert_eq!((call["isRecorded"].as_bool(), call["unrecordedReason"].as_str()), (Some(true), Some("SYSTEM_ERROR")), "{call}");
    }

    // While the question is open: no answer, no hang-up.
    let mut caller = Caller::connect(rig.address(), "CAasked", json!({ "mode": "consent" })).await;
    caller.frames(50).await;
    caller.raw(text(100_000)).await;
    assert_eq!(closed(&mut caller).await.code, CloseCode::Size);
    let call = rig.call("CAasked", |call| call["phase"] == "ENDED").await;
    assert_eq!((call["consent"]["status"].as_str(), call["unrecordedReason"].as_str()), (Some("PENDING"), Some("SYSTEM_ERROR")), "{call}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_is_let_pass_and_not_a_frame_is_lost_by_it() {
    let rig = Rig::start(Given::default()).await;
    let mut caller = Caller::talking(&rig, "CAodd").await;
    let before = malformed(&rig).await;
    caller.frames(20).await;
    caller.raw(Message::binary(vec![0; 500])).await;
    for n in 0..5_000u32 {
        caller.raw(Message::Ping(n.to_le_bytes().to_vec().into())).await;
    }
    // A message in pieces is a message.
    let at = 100 + caller.chunk * 20;
    let payload = base64_simd::STANDARD.encode_to_string([0x7E; 160]);
    let whole = format!(r#"{{"event":"media","media":{{"chunk":{},"timestamp":{at},"payload":"{payload}"}}}}"#, caller.chunk + 1);
    for (n, piece) in whole.as_bytes().chunks(7).enumerate() {
        let opcode = if n == 0 { Data::Text } else { Data::Continue };
        caller.raw(frame(opcode, (n + 1) * 7 >= whole.len(), piece)).await;
    }
    caller.chunk += 1;
    let media = |sid: &str, track: &str, timestamp: &str, payload: &str| {
        json!({ "event": "media", "sequenceNumber": "9", "streamSid": sid,
                "media": { "track": track, "chunk": "9", "timestamp": timestamp, "payload": payload } })
    };
    let mine = "MZCAodd";
    let odd = [
        media("MZelse", "inbound", "1", &payload),
        media(mine, "sideways", "1", &payload),
        media(mine, "inbound", "18446744073709551615", &payload),
        media(mine, "inbound", "-1", &payload),
        media(mine, "inbound", "1", ""),
        media(mine, "inbound", "1", &payload[..payload.len() - 1]),
        json!({ "event": "dtmf", "streamSid": "MZelse", "sequenceNumber": "9", "dtmf": { "digit": "2" } }),
        json!({ "event": "stop", "streamSid": "MZelse" }),
    ];
    let broken = odd.len() as u64 + 1;
    for message in odd {
        caller.say(message).await;
    }
    // A second start on the same socket, of another call: it is this call's stream and no other's.
    let start = json!({ "streamSid": "MZsecond", "callSid": "CAsecond", "tracks": ["inbound"], "customParameters": { "clientId": "x" } });
    caller.say(json!({ "event": "start", "sequenceNumber": "1", "streamSid": "MZsecond", "start": start })).await;
    caller.say(json!({ "event": "future", "sequenceNumber": {}, "media": 5, "start": [] })).await;
    caller.frames(20).await;
    caller.stop().await;
    caller.stop().await;
    caller.frames(5).await;
    let call = rig.call("CAodd", is_finished).await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 41, "{call}");
    assert_eq!(call["unrecordedReason"], Value::Null);
    assert_eq!(malformed(&rig).await - before, broken);
    assert_eq!(rig.get("/api/calls?callSid=CAsecond").await.1["calls"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_before_the_start_is_nobodys_and_the_start_still_counts() {
    let rig = Rig::start(Given::default()).await;
    let url = format!("ws://{}/twilio/media", rig.address());
    let (mut web, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    for text in [
        r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"//8="},"streamSid":"MZCAearly"}"#,
        r#"{"event":"dtmf","streamSid":"MZCAearly","sequenceNumber":"1","dtmf":{"digit":"1"}}"#,
        r#"{"event":"stop","streamSid":"MZCAearly"}"#,
    ] {
        web.send(Message::text(text)).await.unwrap();
    }
    let mut caller = Caller::on(web, "CAearly", json!({ "mode": "stay" })).await;
    caller.frames(250).await;
    let call = rig.call("CAearly", |call| call["phase"] == "PROMPTING").await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 0);
    caller.key("1").await;
    rig.call("CAearly", |call| call["recording"]["state"] == "ACTIVE").await;

    // One that never says who it is does not stay.
    let (mut mute, _) = tokio_tungstenite::connect_async(url.as_str()).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(13), mute.next()).await.expect("closed in time");
    assert!(!matches!(ended, Some(Ok(Message::Text(_)))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_ids_that_nothing_could_hold_is_refused() {
    let rig = Rig::start(Given::default()).await;
    let long = "x".repeat(200);
    for (sid, parameters) in [
        ("CAclient", json!({ "clientId": long })),
        ("CAmanager", json!({ "caseManagerId": "a\u{7}b" })),
        ("CAorg", json!({ "orgId": "../../etc" })),
        ("CAgateway", json!({ "orgId": "callgate" })),
        (long.as_str(), json!({})),
    ] {
        let mut caller = Caller::connect(rig.address(), sid, parameters).await;
        assert!(!caller.listen(Duration::from_secs(3)).await, "closed");
        assert_eq!(rig.get(&format!("/api/calls?callSid={sid}")).await.1["calls"], json!([]));
    }
}

/// Twilio's POST: status, content type, TwiML.
async fn twilio_asks(rig: &Rig, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
    let url = format!("http://{}/api/webhooks/twilio/{path}", rig.address());
    let answer = reqwest::Client::new().post(url).form(form).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_form_names_an_id_that_cannot_be_kept_is_put_through_unrecorded_and_the_chain_says_so_without_it() {
    let rig = Rig::start(Given { inbound_route: Some("client:anna".into()), ..Given::default() }).await;
    let long = "kx".repeat(250);
    let unfit = [
        ("orgId", ".."),
        ("orgId", "nested/folder"),
        ("orgId", "callgate"),
        ("orgId", "/callgate"),
        ("orgId", long.as_str()),
        ("clientId", long.as_str()),
        ("clientId", "broken\nline"),
        ("caseManagerId", "be\u{7}ll"),
    ];
    for (n, (field, id)) in unfit.into_iter().enumerate() {
        let sid = format!("CAunfit{n}");
        // Asked twice, it is one call, and one line.
        for _ in 0..2 {
            let form = [("CallSid", sid.as_str()), ("From", "+16175550123"), ("To", "+16175550100"), ("Direction", "inbound"), (field, id)];
            let (status, _, twiml) = twilio_asks(&rig, "voice", &form).await;
            assert_eq!(status, 200, "{field}: {twiml}");
            assert!(twiml.contains("<Dial><Client>anna</Client></Dial>") && !twiml.contains("<Stream"), "{field}: {twiml}");
            rig.call(&sid, |call| call["phase"] == "ENDED").await;
        }
        let call = rig.call(&sid, |_| true).await;
        assert_eq!((call["isRecorded"].as_bool(), call["unrecordedReason"].as_str()), (Some(false), Some("SYSTEM_ERROR")), "{call}");
        let (_, log) = rig.get(&format!("/api/audit?limit=1000&callId={}", call["callId"].as_str().unwrap())).await;
        let told = log["entries"].as_array().unwrap().iter().map(|line| &line["entry"]);
        let told: Vec<_> = told.filter(|entry| entry["kind"] == "call.unrecorded").collect();
        let [line] = told.as_slice() else { panic!("one line: {log}") };
        let why = line["detail"]["why"].as_str().unwrap();
        assert!(why.starts_with("its form named") && why.contains(field), "{why}");
        assert_ne!(call[field], id, "{call}");
        assert!(id.len() < 12 || !format!("{call}{log}").contains(id), "{field}: {log}");
    }
    // One that can be kept is asked as ever.
    let form = [("CallSid", "CAfit"), ("Direction", "inbound"), ("orgId", "default"), ("clientId", "c/1"), ("caseManagerId", "m")];
    assert!(twilio_asks(&rig, "voice", &form).await.2.contains("<Connect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_whose_query_makes_no_sense_is_answered_with_twiml_all_the_same() {
    let rig = Rig::start(Given { inbound_route: Some("client:anna".into()), ..Given::default() }).await;
    let queries = [
        "plays=abc",
        "plays=-1",
        "plays=99999999999",
        "plays=1&plays=x",
        "plays=",
        "lang=xx&plays=%00",
        "lang=%ff%fe",
        "&&=&%",
        "relay=nobody",
    ];
    for (n, query) in queries.into_iter().enumerate() {
        for path in ["consent", "connected", "voice"] {
            let sid = format!("CAquery{path}{n}");
            let form = [("CallSid", sid.as_str()), ("Direction", "inbound"), ("Digits", "")];
            let (status, kind, twiml) = twilio_asks(&rig, &format!("{path}?{query}"), &form).await;
            assert!(status == 200 && kind.starts_with("text/xml"), "{path}?{query}: {status} {kind} {twiml}");
            assert!(twiml.contains("<Client>anna</Client>"), "{path}?{query}: and the people are connected in the end: {twiml}");
        }
        let (status, _, said) = twilio_asks(&rig, &format!("party?{query}"), &[]).await;
        assert!(status == 200 && said.contains("<Response>"), "{query}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_falls_silent_or_breaks_off_keeps_what_was_said() {
    let rig = Rig::start(Given::default()).await;
    let mut silent = Caller::talking(&rig, "CAsilent").await;
    silent.frames(50).await;
    // Half open: nothing comes, not even an end. What waits in the delay line was consented to.
    let call = rig.call("CAsilent", |call| call["recording"]["framesCaptured"]["inbound"] == 50).await;
    assert_eq!((call["phase"].as_str(), call["recording"]["state"].as_str()), (Some("CONNECTED"), Some("ACTIVE")));

    let mut broken = Caller::talking(&rig, "CAbroken").await;
    broken.frames(50).await;
    let tokio_tungstenite::MaybeTlsStream::Plain(tcp) = broken.web.get_mut() else { panic!("no TLS here") };
    tcp.shutdown().await.unwrap();
    let call = rig.call("CAbroken", is_finished).await;
    assert_eq!(call["recording"]["framesCaptured"]["inbound"], 50);
}
