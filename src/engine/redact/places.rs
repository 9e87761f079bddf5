//! Street addresses, as far as rules go: a number and a street's name with its kind, in English and in Spanish; after a cue
//! also without the kind. An address that is said to be an office's stays.

use super::ahead::{Ahead, Found, More};
use super::cue::Cue;
use super::entity::Entity;
use super::lexicon::{CALLES, DOORS, LEADS, OFFICES, STREETS, UNITS, is_common, is_function};
use super::number::Run;
use super::rules::{Decision, Match, Scene};
use super::token::{Kind, Token};
use super::{Confidence, Speaker};

/// Words of a street's name.
pub const STREET_WORDS_MAX: usize = 4;
/// House numbers have no more digits.
const HOUSE_DIGITS_MAX: usize = 6;
/// Whose address it is stands within so many words before it.
const OWNER_WORDS: usize = 9;

pub(super) fn find(scene: &Scene<'_>) -> Found<Decision> {
    let ahead = scene.ahead;
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    let boxed = first.is_any(&["po", "p.o", "apartado"]) || first.is("p") && ahead.is(1, |token| token.is("o"))?;
    if boxed {
        let at = if first.is("p") { 2 } else { 1 };
        if ahead.is(at, |token| token.is_any(&["box", "postal"]))?
            && let Some(run) = Run::read(ahead, at + 1)?
        {
            return Ok(Some(Decision::Mask(Match::new(Entity::Address, Confidence::Shape, run.breath(ahead).1))));
        }
    }
    let end = if first.is_any(CALLES) {
        spanish(ahead)?
    } else if first.is_numeric() || matches!(first.kind, Kind::Mixed | Kind::Oh) {
        english(scene)?
    } else {
        None
    };
    let Some((end, confidence)) = end else { return Ok(None) };
    let end = door_end(ahead, end)?;
    // Its number joins no other.
    Ok(Some(if is_office(scene) { Decision::Clear(end) } else { Decision::Mask(Match::new(Entity::Address, confidence, end)) }))
}

fn english(scene: &Scene<'_>) -> Found<(usize, Confidence)> {
    let ahead = scene.ahead;
    let house = match Run::read(ahead, 0)? {
        Some(run) => {
            let (digits, end) = run.breath(ahead);
            if digits.len() > HOUSE_DIGITS_MAX && !(run.corrected && digits.len() <= 2 * HOUSE_DIGITS_MAX) {
                return Ok(None);
            }
            end
        }
        None => 1,
    };
    let led = scene.lead().is_some_and(|token| token.is_any(LEADS)) && !scene.sentence().take(1).any(|past| past.cue.is_some());
    let announced = scene
        .awaited(&[Cue::Address])
        .is_some_and(|said| if said.speaker == scene.speaker { scene.turn().any(|past| past.seq == said.seq) } else { scene.leads_in() })
        && !led;
    let (mut end, mut common) = (None, false);
    for n in 0..=STREET_WORDS_MAX {
        let Some(held) = ahead.held(house + n)? else { break };
        if held.rested {
            break;
        }
        let token = &held.token;
        // "one good way" is no street, "one good street" may be.
        if n > 0 && token.is_any(STREETS) && !(common && token.is_any(&["way", "place", "drive", "square", "trail", "loop", "circle"])) {
            // "County Road 12".
            let numbered = token.is_any(&["road", "highway", "route", "hwy", "rd"])
                && !token.pauses
                && ahead.held(house + n + 1)?.is_some_and(|next| !next.rested && next.token.is_numeric());
            let number = if numbered { Run::read(ahead, house + n + 1)?.map(|run| run.breath(ahead).1) } else { None };
            return Ok(Some((number.unwrap_or(house + n + 1), Confidence::Shape)));
        }
        let of_a_name = (token.kind == Kind::Plain && !is_function(&token.folded))
            || matches!(token.kind, Kind::Ordinal(_) | Kind::Month(_) | Kind::Letter(_) | Kind::Mixed)
            || token.is_numeric()
            || token.is_ordinal()
            || token.is_any(&["of", "de", "la", "el", "los", "las"]);
        common |= is_common(&token.folded);
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
            let (_, house) = run.breath(ahead);
            // "5 de mayo" is a street's name.
            let date = ahead.is(house, |token| token.is("de"))? && ahead.is(house + 1, |token| matches!(token.kind, Kind::Month(_)))?;
            if !date {
                end = Some((house, Confidence::Shape));
                break;
            }
            at = house + 2;
        } else if of_a_calle(token) && !ahead.is(at - 1, |before| before.stops)? {
            at += 1;
        } else {
            break;
        }
    }
    Ok(end)
}

fn of_a_calle(token: &Token) -> bool {
    let name = token.kind == Kind::Plain && !is_function(&token.folded);
    name || matches!(token.kind, Kind::Ordinal(_) | Kind::Month(_) | Kind::Mark | Kind::Letter(_))
        || token.is_any(&["de", "la", "el", "los", "las", "del", "y", "san", "numero", "no"])
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
        Some(run) => run.breath(ahead).1,
        None if ahead.is(at, |token| token.letter().is_some() || token.has_digits())? => at + 1,
        None => return Ok(end),
    };
    if ahead.is(door, |token: &Token| token.letter().is_some() && token.kind != Kind::Bridge)? {
        door += 1;
    }
    Ok(door)
}

/// The sentence says so; the nearest word that tells whose it is.
fn is_office(scene: &Scene<'_>) -> bool {
    const HOMES: [&str; 14] = [
        "place",
        "house",
        "apartment",
        "departamento",
        "live",
        "living",
        "vivo",
        "home",
        "my",
        "mi",
        "casa",
        "moved",
        "staying",
        "domicilio",
    ];
    if scene.awaited(&[Cue::Address]).is_some_and(|said| said.speaker != scene.speaker) && scene.leads_in() {
        return false;
    }
    // "the pantry's at", "la despensa está en": somebody who speaks of himself says I, my or we.
    let mut back = scene.sentence().map(|past| &past.token);
    let mut lead = back.next();
    while lead.is_some_and(|token| token.is_any(&["la", "el", "the", "over", "here", "aqui"])) {
        lead = back.next();
    }
    if lead.is_some_and(|token| token.is_any(&["at", "en", "on"])) {
        let verb = back.find(|token| !token.is_any(&["over", "located", "right", "aqui", "ahi", "out", "up", "down"]));
        let is = verb.is_some_and(|token| token.contracted || token.is_any(&["is", "are", "esta", "estan", "queda", "es"]));
        let of_oneself = scene
            .sentence()
            .any(|past| past.token.is_any(&HOMES) || past.token.is_any(&["i", "im", "me", "were", "we", "his", "her", "mama", "mom"]));
        if is && !of_oneself {
            return true;
        }
    }
    // "We're over at", says the client of his home and the case manager of the office.
    let office = |token: &Token| token.is_any(OFFICES) && !(scene.speaker == Speaker::Client && token.is_any(&["were", "our"]));
    let owner = scene.sentence().take(OWNER_WORDS).find(|past| office(&past.token) || past.token.is_any(&HOMES));
    owner.is_some_and(|past| office(&past.token))
}
