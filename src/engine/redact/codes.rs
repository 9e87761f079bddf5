//! Codes of letters and digits, spelled or written: IBAN, India's PAN, and whatever a cue announces.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::checksum;
use super::cue::{Cue, Strength};
use super::entity::Entity;
use super::lexicon::is_common;
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
    if lone_pan(scene.ahead)? {
        return Ok(Some(Match::new(Entity::Pan, Confidence::Shape, 2)));
    }
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
    for said in scene.live().into_iter().filter(|said| scene.awaits(said) && (said.strength == Strength::Begun || scene.is_due(said))) {
        let found = match said.cue {
            Cue::Iban => Some(Entity::Iban),
            Cue::Pan if code.text.len() >= 6 => Some(Entity::Pan),
            Cue::Record => Some(Entity::MedicalRecord),
            Cue::Account => Some(Entity::BankAccount),
            Cue::OneTimeCode => Some(Entity::OneTimeCode),
            Cue::Pin => Some(Entity::Pin),
            Cue::Password | Cue::AskedPassword => Some(Entity::Password),
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
            | Cue::AskedName
            | Cue::Harmless
            | Cue::Figures
            | Cue::Else
            | Cue::Turned => None,
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
        && bytes[2..4].iter().all(is_figure)
        && bytes[4..].iter().filter(|byte| is_figure(byte)).count() >= 8
}

fn is_pan(code: &str) -> bool {
    let bytes = code.as_bytes();
    bytes.len() == 10
        && bytes[..5].iter().all(u8::is_ascii_uppercase)
        && bytes[5..9].iter().all(is_figure)
        && (bytes[9].is_ascii_uppercase() || bytes[9] == b'0')
}

/// A nought is often said, and written, as the letter.
const fn is_figure(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'O'
}

/// "ABCDE 1234F" without capitals: five letters that are no word anybody knows, and the rest.
fn lone_pan(ahead: Ahead<'_>) -> Result<bool, More> {
    let five = ahead.is(0, |token| token.folded.len() == 5 && token.folded.bytes().all(|byte| byte.is_ascii_lowercase()))?;
    let rest = |token: &Token| {
        let bytes = token.folded.as_bytes();
        bytes.len() == 5 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4].is_ascii_lowercase()
    };
    Ok(five && ahead.is(1, rest)?)
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
    // What has been read, of which a word such as "a" may turn out not to belong.
    let mut text = String::new();
    let (mut at, mut bridge, mut letters) = (0, 0, 0);
    while text.len() < CODE_CHARS_MAX {
        let Some(token) = ahead.at(at)? else { break };
        let letter = token.letter().or_else(|| spoken_letter(token));
        // A number that somebody sighed after is not the beginning of a code.
        if letters == 0 && bridge > 0 && (letter.is_some() || is_block(token) || token.kind == Kind::Mixed) {
            break;
        }
        // "it's a four hour drive": after a filler, a word that is a letter is a word.
        let word = letter.is_some() && token.kind == Kind::Bridge;
        if word && bridge > 0 && !ahead.is(at + 1, |next| next.letter().is_some())? {
            break;
        }
        if let Some(letter) = letter {
            text.push(letter);
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
            // "a", "y" and their like end no code, but for a PAN: they are words.
            let capital = token.capital && letter == 'A' && ahead.is(at, Token::may_be_numeric)?;
            if matches!(token.kind, Kind::Bridge | Kind::Oh) && !capital && !is_pan(&text) {
                continue;
            }
            letters += 1;
        } else if token.kind == Kind::Mixed
            || is_block(token)
            || (letters > 0 && token.kind == Kind::Guarded && token.folded.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        {
            text.extend(token.folded.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()));
            at += 1;
            letters += 1;
        } else if matches!(token.kind, Kind::Repeat(_)) && ahead.is(at + 1, |next| next.letter().is_some())? {
            let times = if token.kind == Kind::Repeat(3) { 3 } else { 2 };
            let letter = ahead.at(at + 1)?.and_then(Token::letter);
            text.extend(letter.into_iter().cycle().take(times));
            at += 2;
            letters += 1;
        } else if let Some(run) = Run::read(ahead, at)? {
            text.push_str(&run.digits);
            at = run.words;
        } else if at == 1 && ahead.is(0, is_block)? {
            // "the EBT is".
            break;
        } else if at > 0 && bridge < BRIDGE_WORDS_MAX && matches!(token.kind, Kind::Bridge | Kind::Separator | Kind::Mark) {
            bridge += 1;
            at += 1;
            continue;
        } else {
            break;
        }
        bridge = 0;
        code = Code { text: text.clone(), words: at };
        if is_pan(&text) {
            break;
        }
    }
    Ok((letters > 0 && code.words > 0).then_some(code))
}

/// Letters that recognisers write as a block: "ABCDE", "NWBK". Capitals tell them from words.
fn is_block(token: &Token) -> bool {
    const WORDS: [&str; 22] = [
        "pan", "cvv", "cvc", "id", "iban", "mrn", "ssn", "pin", "otp", "itin", "aba", "dob", "exp", "nip", "atm", "ok", "us", "usa", "er",
        "hr", "tv", "icu",
    ];
    let short = token.shouts && token.kind == Kind::Plain && (2..=6).contains(&token.folded.len());
    short && token.folded.bytes().all(|byte| byte.is_ascii_lowercase()) && !token.is_any(&WORDS) && !is_common(&token.folded)
}

/// The letters' names on the radio.
fn spoken_letter(token: &Token) -> Option<char> {
    const NAMES: [&str; 26] = [
        "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima", "mike", "november",
        "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray", "yankee", "zulu",
    ];
    (token.is_any(&NAMES) && !matches!(token.kind, Kind::Month(_)))
        .then(|| token.folded.chars().next().map(|letter| letter.to_ascii_uppercase()))
        .flatten()
}
