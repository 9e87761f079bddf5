//! What must hold of a socket, whatever comes over it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use proptest::prelude::*;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::frames::MESSAGE_MAX;
use super::*;
use crate::server::registry::Registry;

#[test]
fn one_that_never_stops_talking_does_not_take_the_others_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (metrics, place) = (Metrics::new(), Registry::default().take_place(1).unwrap());
    let mut socket = Socket::new(listener.accept().unwrap().0, Vec::new(), Arc::clone(&metrics), Clocks::default(), place).unwrap();
    // Empty binary messages, 6 bytes each: nobody waits for one, and still each is a message.
    let count = 2_000;
    caller.write_all(&[0x82, 0x80, 1, 2, 3, 4].repeat(count)).unwrap();
    let (mut turns, mut codes, mut desk) = (Vec::new(), Vec::new(), Desk::new());
    while (metrics.malformed.get() as usize) < count {
        socket.is_ready(false);
        socket.takes_its_turn(&mut desk);
        let before = metrics.malformed.get();
        assert!(matches!(socket.read(&mut desk, &mut codes), Ok(None)));
        turns.push(metrics.malformed.get() - before);
        assert_eq!(socket.has_more(), turns.last() == Some(&u64::from(MESSAGES_A_TURN)), "{turns:?}");
    }
    assert!(turns.iter().all(|turn| *turn <= u64::from(MESSAGES_A_TURN)) && turns.contains(&u64::from(MESSAGES_A_TURN)), "{turns:?}");
}

/// A connection's two ends.
fn ends() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    caller.set_nodelay(true).unwrap();
    (caller, listener.accept().unwrap().0)
}

fn opcode(kind: u8) -> OpCode {
    match kind {
        0 => OpCode::Data(Data::Continue),
        1 => OpCode::Data(Data::Binary),
        2 => OpCode::Control(Control::Ping),
        3 => OpCode::Control(Control::Pong),
        4 => OpCode::Control(Control::Close),
        _ => OpCode::Data(Data::Text),
    }
}

fn put(bytes: &mut Vec<u8>, header: &FrameHeader, payload: &[u8]) {
    header.format(payload.len() as u64, bytes).unwrap();
    let mask = header.mask.unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
}

/// Frames as a client may send them, well or badly.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        8 => "[a-z\u{e4}\u{260e}]{0,300}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => (100usize..140).prop_map(|length| vec![b'x'; length]),
        1 => (MESSAGE_MAX - 2..MESSAGE_MAX + 3).prop_map(|length| vec![b'x'; length]),
    ];
    let rarely = || prop::bool::weighted(0.02);
    let frame = (0u8..12, prop::bool::weighted(0.8), rarely(), rarely(), any::<[u8; 4]>(), payload).prop_map(
        |(kind, is_final, rsv1, bare, mask, payload)| {
            let mut bytes = Vec::new();
            put(
                &mut bytes,
                &FrameHeader { is_final, rsv1, opcode: opcode(kind), mask: (!bare).then_some(mask), ..FrameHeader::default() },
                &payload,
            );
            bytes
        },
    );
    (prop::collection::vec(frame, 1..12), prop::option::weighted(0.1, (any::<prop::sample::Index>(), any::<u8>()))).prop_map(
        |(frames, edit)| {
            let mut bytes = frames.concat();
            if let Some((at, with)) = edit {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            bytes
        },
    )
}

/// Bytes to read, and nowhere to write.
struct Tape<'a>(&'a [u8]);

impl Read for Tape<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(into) }
    }
}

impl Write for Tape<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite hears in them.
fn by_tungstenite(bytes: &[u8]) -> Vec<String> {
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let mut web = WebSocket::from_raw_socket(Tape(bytes), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        heard.push(match web.read() {
            Ok(Message::Text(text)) => text.to_string(),
            Ok(Message::Binary(_)) => "binary".to_owned(),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
            Ok(Message::Close(_)) => break,
            Err(Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => return heard,
            Err(_) => break,
        });
    }
    heard.push("gone".to_owned());
    heard
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_heard_as_tungstenite_hears_them_however_they_are_cut(
        bytes in conversation(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5), early in any::<prop::sample::Index>()
    ) {
        let early = early.index(bytes.len().min(1_000) + 1).min(bytes.len());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| early + cut.index(bytes.len() - early + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let ((mut caller, stream), mut desk, mut other) = (ends(), Desk::new(), Frames::new(ends().1, b"another's".to_vec()).unwrap());
        caller.set_nonblocking(true).unwrap();
        let mut frames = Frames::new(stream, bytes[..early].to_vec()).unwrap();
        let (mut heard, mut at, mut gone) = (Vec::new(), early, false);
        'cuts: for cut in cuts {
            // What is written and read back in one turn may be less than the cut: the turns go on until all of it was taken.
            loop {
                at += caller.write(&bytes[at..cut]).unwrap_or(0);
                let asleep = at < cut;
                frames.is_ready(false);
                Frames::sit_down(&mut desk);
                loop {
                    match frames.next(&mut desk) {
                        Ok(Some(Said::Text(text))) => heard.push(text.to_owned()),
                        Ok(Some(Said::Binary)) => heard.push("binary".to_owned()),
                        Ok(Some(Said::Nothing)) => {}
                        Ok(None) => break,
                        Err(_) => {
                            gone = true;
                            break 'cuts;
                        }
                    }
                }
                frames.stand_up(&mut desk);
                // Somebody else sits at the desk between two turns.
                Frames::sit_down(&mut desk);
                let _ = other.next(&mut desk);
                if !asleep {
                    break;
                }
            }
        }
        if gone {
            heard.push("gone".to_owned());
        }
        let wanted = by_tungstenite(&bytes);
        // A text in parts that is no UTF-8 is found so by tungstenite in its first bad part, by us when it is whole.
        let same = heard == wanted || (wanted.last().is_some_and(|last| last == "gone") && !gone && heard == wanted[..wanted.len() - 1]);
        prop_assert!(same, "{heard:?} {wanted:?}");
    }
}

#[test]
fn what_the_other_side_does_not_take_is_kept_within_bounds_and_then_sent_in_order() {
    let (mut caller, stream) = ends();
    let (mut frames, mut desk) = (Frames::new(stream, Vec::new()).unwrap(), Desk::new());
    let mut said = 0;
    while frames.texts(std::iter::once(format!("{said:01000}")), &mut desk) {
        said += 1;
    }
    assert!(said > 64, "the kernel takes some, we keep some: {said}");
    caller.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut web = WebSocket::from_raw_socket(&mut caller, Role::Client, None);
    for n in 0..said {
        frames.flush();
        assert_eq!(web.read().unwrap().into_text().unwrap().parse::<usize>().unwrap(), n);
    }
    assert!(frames.texts(std::iter::once("again".to_owned()), &mut desk), "there is room again");
    assert_eq!(web.read().unwrap().into_text().unwrap(), "again");
}

#[test]
fn a_ping_is_answered_and_a_close_is_answered_with_its_code() {
    let (mut caller, stream) = ends();
    let (mut frames, mut desk) = (Frames::new(stream, Vec::new()).unwrap(), Desk::new());
    caller.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut web = WebSocket::from_raw_socket(&mut caller, Role::Client, None);
    web.send(Message::Ping("here?".into())).unwrap();
    web.close(Some(CloseFrame { code: CloseCode::Away, reason: "bye".into() })).unwrap();
    let mut outcome = Ok(None);
    while matches!(outcome, Ok(None | Some(Said::Nothing))) {
        frames.is_ready(false);
        outcome = frames.next(&mut desk).map(|said| said.map(|_| Said::Nothing));
    }
    assert_eq!(outcome, Err(Gone::Closed));
    assert_eq!(web.read().unwrap(), Message::Pong("here?".into()));
    assert!(matches!(web.read().unwrap(), Message::Close(Some(CloseFrame { code: CloseCode::Away, .. }))));
}
