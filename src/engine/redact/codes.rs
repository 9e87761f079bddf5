//! Codes of letters and digits, spelled or written: IBAN, India's PAN, and whatever a cue announces.

use super::Confidence;
use super::ahead::{Ahead, Found};
use super::checksum;
use super::cue::Cue;
use super::entity::Entity;
use super::number::{BRIDGE_WORDS_MAX, Run};
use super::rules::{Match, Scene};
use super::token::{Kind, Token};

/// The longest code that is put together; more characters end it.
const CODE_CHARS_MAX: usize = 64;

/// A code, as far as it goes.
struct Code {
    text: String,
    words: usize,
}

pub(super) fn find(scene: &Scene<'_>) -> Found<Match> {
    let Some(code) = read(scene.ahead)? else { return Ok(None) };
    let digits = code.text.bytes().filter(u8::is_ascii_digit).count();
    let letters = code.text.len() - digits;
    if letters == 0 {
        return Ok(None);
    }
    if is_iban(&code.text) {
        let confidence = if checksum::iban(&code.text) { Confidence::Checksum } else { Confidence::Shape };
        return Ok(Some(Match::new(Entity::Iban, confidence, code.words)));
    }
    if is_pan(&code.text) {
        return Ok(Some(Match::new(Entity::Pan, Confidence::Shape, code.words)));
    }
    if code.text.starts_with("MRN") && digits >= 3 {
        return Ok(Some(Match::new(Entity::MedicalRecord, Confidence::Cue, code.words)));
    }
    if digits < 2 || code.text.len() < 4 {
        return Ok(None);
    }
    for said in scene.live() {
        let found = match said.cue {
            Cue::Iban => Some(Entity::Iban),
            Cue::Pan if code.text.len() >= 6 => Some(Entity::Pan),
            Cue::Record => Some(Entity::MedicalRecord),
            Cue::Account => Some(Entity::BankAccount),
            Cue::OneTimeCode => Some(Entity::OneTimeCode),
            Cue::Pin => Some(Entity::Pin),
            Cue::Password => Some(Entity::Password),
            Cue::Card
            | Cue::Cvv
            | Cue::Expiry
            | Cue::LastFour
            | Cue::Routing
            | Cue::Ssn
            | Cue::Itin
            | Cue::Birth
            | Cue::Phone
            | Cue::Aadhaar
            | Cue::Pan
            | Cue::Address
            | Cue::Zip
            | Cue::Name
            | Cue::Harmless => None,
        };
        if let Some(entity) = found {
            let begins = matches!(entity, Entity::Iban | Entity::Pan).then_some(said.cue);
            return Ok(Some(Match { begins, ..Match::new(entity, Confidence::Cue, code.words) }));
        }
    }
    Ok(None)
}

fn is_iban(code: &str) -> bool {
    let bytes = code.as_bytes();
    (15..=36).contains(&bytes.len())
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit)
        && bytes[4..].iter().filter(|byte| byte.is_ascii_digit()).count() >= 8
}

fn is_pan(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 10
        && bytes[..5].iter().all(u8::is_ascii_uppercase)
        && bytes[5..9].iter().all(u8::is_ascii_digit)
        && bytes[9].is_ascii_uppercase()
}

/// The code that begins at the first word: letters by themselves, mixed words, numbers, "b as in boy", "double l".
fn read(ahead: Ahead<'_>) -> Found<Code> {
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    if first.letter().is_none()
        && first.kind != Kind::Mixed
        && !first.may_be_numeric()
        && !is_block(first)
        && spoken_letter(first).is_none()
    {
        return Ok(None);
    }
    let mut code = Code { text: String::new(), words: 0 };
    let (mut at, mut bridge) = (0, 0);
    while code.text.len() < CODE_CHARS_MAX {
        let Some(token) = ahead.at(at)? else { break };
        if let Some(letter) = token.letter().or_else(|| spoken_letter(token)) {
            code.text.push(letter);
            at += 1;
            let example = ahead.is(at, |next| next.is_any(&["as", "for", "de", "como", "like"]))?;
            if example {
                let skip = 1 + usize::from(ahead.is(at + 1, |next| next.is_any(&["in", "en"]))?);
                // An example begins with its letter; anything else goes on by itself.
                let begins = |next: &Token| next.letter().is_none() && next.folded.starts_with(letter.to_ascii_lowercase());
                if ahead.is(at + skip, begins)? {
                    at += skip + 1;
                }
            }
            // "a", "y" and their like end no code: they are words.
            if token.kind != Kind::Bridge {
                (code.words, bridge) = (at, 0);
            }
        } else if token.kind == Kind::Mixed || is_block(token) {
            code.text.extend(token.folded.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()));
            at += 1;
            (code.words, bridge) = (at, 0);
        } else if matches!(token.kind, Kind::Repeat(_)) && ahead.is(at + 1, |next| next.letter().is_some())? {
            let times = if token.kind == Kind::Repeat(3) { 3 } else { 2 };
            let letter = ahead.at(at + 1)?.and_then(Token::letter);
            code.text.extend(letter.into_iter().cycle().take(times));
            at += 2;
            (code.words, bridge) = (at, 0);
        } else if let Some(run) = Run::read(ahead, at)? {
            code.text.push_str(&run.digits);
            at = run.words;
            (code.words, bridge) = (at, 0);
        } else if at > 0 && bridge < BRIDGE_WORDS_MAX && matches!(token.kind, Kind::Bridge | Kind::Separator | Kind::Mark) {
            bridge += 1;
            at += 1;
        } else {
            break;
        }
    }
    Ok((code.words > 0).then_some(code))
}

/// Letters that recognisers write as a block: "ABCDE", "NWBK". Capitals tell them from words.
fn is_block(token: &Token) -> bool {
    token.shouts
        && token.kind == Kind::Plain
        && (2..=6).contains(&token.folded.len())
        && token.folded.bytes().all(|b| b.is_ascii_lowercase())
}

/// The letters' names on the radio.
fn spoken_letter(token: &Token) -> Option<char> {
    const NAMES: [&str; 26] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima", "mike", "november",
        "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray", "yankee", "zulu",
    ];
    token.is_any(&NAMES).then(|| token.folded.chars().next().map(|letter| letter.to_ascii_uppercase())).flatten()
}
