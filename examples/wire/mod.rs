//! What the generators of load put on a media socket, as cheaply as it can be done.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// A connection past its WebSocket handshake, still blocking.
pub fn handshake(address: &str) -> TcpStream {
    let mut stream = tcp(address);
    let request = "GET /twilio/media HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("a handshake");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// A connection that small messages leave at once.
pub fn tcp(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// Adds a text message in one frame, masked with zeros: legal, and free for the sender.
pub fn frame(text: &str, into: &mut Vec<u8>) {
    into.push(0x81);
    match text.len() {
        short @ 0..=125 => into.push(0x80 | short as u8),
        long => {
            into.push(0x80 | 126);
            into.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(text.as_bytes());
}

pub const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;

/// `start` of a call that stays on its socket.
pub fn start(n: usize, sid: &str) -> String {
    format!(
        r#"{{"event":"start","sequenceNumber":"1","streamSid":"{sid}","start":{{"accountSid":"AC1","streamSid":"{sid}","callSid":"CA{n:032x}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"mode":"stay"}}}}}}"#
    )
}

/// A key, as Twilio tells it.
pub fn key(sid: &str, sequence: u64, digit: char) -> String {
    format!(r#"{{"event":"dtmf","streamSid":"{sid}","sequenceNumber":"{sequence}","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#)
}

/// The `n`th frame of audio, from 1.
pub fn media(sid: &str, sequence: u64, n: u64, payload: &str) -> String {
    format!(
        r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{n}","timestamp":"{}","payload":"{payload}"}},"streamSid":"{sid}"}}"#,
        100 + n * 20
    )
}

/// A voice, a frame each, as base64.
pub fn voice() -> Vec<String> {
    use callgate::engine::audio::prompts::{Language, Line, library};
    library()
        .prompt(Language::ES, Line::Consent)
        .codes
        .chunks_exact(160)
        .map(|codes| base64_simd::STANDARD.encode_to_string(codes))
        .collect()
}
