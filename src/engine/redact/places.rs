//! Street addresses, as far as rules go: a number and a street's name with its kind, in English and in Spanish; after a cue
//! also without the kind. An address that is said to be an office's stays.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::cue::Cue;
use super::entity::Entity;
use super::lexicon::{CALLES, DOORS, OFFICES, STREETS, UNITS};
use super::number::Run;
use super::rules::{Match, Scene};
use super::token::{Kind, Token};

/// Words of a street's name.
pub const STREET_WORDS_MAX: usize = 4;
/// House numbers have no more digits.
const HOUSE_DIGITS_MAX: usize = 6;
/// Whose address it is stands within so many words before it.
const OWNER_WORDS: usize = 9;

pub(super) fn find(scene: &Scene<'_>) -> Found<Match> {
    let ahead = scene.ahead;
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    let end = if first.is_any(CALLES) {
        spanish(ahead)?
    } else if first.is_numeric() || matches!(first.kind, Kind::Mixed | Kind::Oh) {
        english(scene)?
    } else {
        None
    };
    let Some((end, confidence)) = end else { return Ok(None) };
    if is_office(scene) {
        return Ok(None);
    }
    Ok(Some(Match::new(Entity::Address, confidence, door_end(ahead, end)?)))
}

fn english(scene: &Scene<'_>) -> Found<(usize, Confidence)> {
    let ahead = scene.ahead;
    let house = match Run::read(ahead, 0)? {
        Some(run) if run.digits.len() <= HOUSE_DIGITS_MAX || run.corrected && run.digits.len() <= 2 * HOUSE_DIGITS_MAX => run.words,
        Some(_) => return Ok(None),
        None => 1,
    };
    let announced = scene.hears(&[Cue::Address]);
    let mut end = None;
    for n in 0..=STREET_WORDS_MAX {
        let Some(token) = ahead.at(house + n)? else { break };
        if n > 0 && token.is_any(STREETS) {
            return Ok(Some((house + n + 1, Confidence::Shape)));
        }
        let of_a_name = token.is_free()
            || matches!(token.kind, Kind::Ordinal(_) | Kind::Month(_) | Kind::Letter(_) | Kind::Mixed)
            || token.is_numeric()
            || token.is_any(&[
                "north", "south", "east", "west", "old", "new", "park", "high", "saint", "of", "de", "la", "el", "los", "first", "state",
                "church", "school", "county", "forest", "mill", "river", "lake", "hill", "spring", "center", "college", "union", "court",
                "market",
            ]);
        if !of_a_name || token.is_any(UNITS) {
            break;
        }
        if announced && token.is_free() {
            end = Some((house + n + 1, Confidence::Cue));
        }
        if token.stops {
            break;
        }
    }
    Ok(end)
}

/// "calle Hidalgo número cuarenta y dos".
fn spanish(ahead: Ahead<'_>) -> Found<(usize, Confidence)> {
    let mut end = None;
    let mut at = 1;
    while at <= STREET_WORDS_MAX + 3 {
        let Some(token) = ahead.at(at)? else { break };
        if let Some(run) = Run::read(ahead, at)? {
            // "5 de mayo" is a street's name.
            let date =
                ahead.is(run.words, |token| token.is("de"))? && ahead.is(run.words + 1, |token| matches!(token.kind, Kind::Month(_)))?;
            at = run.words + if date { 2 } else { 0 };
            if !date {
                end = Some((at, Confidence::Shape));
                break;
            }
        } else if token.kind == Kind::Plain && !token.is_any(UNITS)
            || matches!(token.kind, Kind::Bridge | Kind::Ordinal(_) | Kind::Month(_) | Kind::Mark | Kind::Letter(_))
        {
            at += 1;
        } else {
            break;
        }
    }
    Ok(end)
}

/// "…, apartment 4B".
fn door_end(ahead: Ahead<'_>, street_end: usize) -> Result<usize, More> {
    let mut at = street_end;
    if ahead.is(at, |token| {
        token.is_any(&[
            "north",
            "south",
            "east",
            "west",
            "northwest",
            "northeast",
            "southwest",
            "southeast",
            "norte",
            "sur",
            "oriente",
            "poniente",
        ])
    })? {
        at += 1;
    }
    let end = at;
    if !ahead.is(at, |token| token.is_any(DOORS))? {
        return Ok(end);
    }
    at += 1;
    if ahead.is(at, |token| token.is_any(&["number", "numero"]))? {
        at += 1;
    }
    let mut door = match Run::read(ahead, at)? {
        Some(run) => run.words,
        None if ahead.is(at, |token| token.letter().is_some() || token.has_digits())? => at + 1,
        None => return Ok(end),
    };
    if ahead.is(door, |token: &Token| token.letter().is_some() && token.kind != Kind::Bridge)? {
        door += 1;
    }
    Ok(door)
}

/// The sentence says so, and nobody asked for an address since.
fn is_office(scene: &Scene<'_>) -> bool {
    let sentence = || scene.sentence().take(OWNER_WORDS);
    sentence().any(|past| past.token.is_any(OFFICES))
        && !sentence()
            .any(|past| past.token.is_any(&["live", "living", "vivo", "home", "my", "mi", "casa", "moved", "staying", "domicilio"]))
}
