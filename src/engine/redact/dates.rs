//! Dates with a month's name. Only a cue makes one a birthday or a card's expiry; any other is let through whole, so that
//! its digits join no number.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::cue::Cue;
use super::entity::Entity;
use super::number::{BRIDGE_WORDS_MAX, Run, goes_on};
use super::numbers::{cue_after, is_birth_year};
use super::rules::{Decision, Match, Scene};
use super::token::{Kind, Token};

/// Takings-back and pieces of one date.
const DATE_PIECES_MAX: usize = 12;

pub(super) fn find(scene: &Scene<'_>) -> Found<Decision> {
    let ahead = scene.ahead;
    let Some(end) = date_end(ahead)? else { return Ok(None) };
    let first = ahead.seen(0, 1).first().map_or((0, 0), |first| (first.seq, first.start_ms));
    // A card expires in a month, on no day of it.
    let has_day = !ahead.is(0, is_month)? || day_end(ahead, 1)? == Some(end);
    // "valid until" is a cue.
    let told = scene.own_cue_just_ended(&[Cue::Birth, Cue::Expiry]).is_some();
    let of_things_to_come = !told && scene.sentence().take(OF_WORDS).any(|past| past.token.is_any(OF_THINGS_TO_COME));
    let cue = scene.live().into_iter().filter(|said| !of_things_to_come && !scene.is_given(said, first.0, first.1));
    let cue = cue
        .filter(|said| (told || scene.awaits(said)) && !(said.cue == Cue::Expiry && has_day))
        .map(|said| said.cue)
        .find(|cue| matches!(cue, Cue::Birth | Cue::Expiry));
    let after = if cue.is_none() { cue_after(ahead, end)?.filter(|cue| *cue == Cue::Birth) } else { None };
    // The day on which somebody was born, whoever asked for it: of any other so old a day people tell the year.
    let of_birth = !of_things_to_come && is_whole_and_old(ahead, end)?;
    let Some(cue) = cue.or(after).or(of_birth.then_some(Cue::Birth)) else { return Ok(Some(Decision::Clear(end))) };
    let entity = if cue == Cue::Birth { Entity::DateOfBirth } else { Entity::Expiry };
    let end = if after.is_some() { end } else { loose_end(ahead, end)? };
    Ok(Some(Decision::Mask(Match { gives: Some(cue), ..Match::new(entity, Confidence::Cue, end) })))
}

/// A date of such a sentence is nobody's birthday.
const OF_THINGS_TO_COME: &[&str] = &[
    "appointment",
    "appointments",
    "scheduled",
    "schedule",
    "available",
    "due",
    "deadline",
    "visit",
    "cita",
    "citas",
    "venir",
    "ride",
    "pick",
    "sometime",
    "about",
    "around",
    "until",
    "till",
    "by",
    "back",
    "desde",
    "since",
    "surgery",
    "note",
    "talk",
    "hasta",
    "meeting",
];
/// So near to it.
const OF_WORDS: usize = 8;

/// "March fifteenth nineteen eighty five", "the 4th of July", "quince de marzo del ochenta y cinco", "December 2026".
fn date_end(ahead: Ahead<'_>) -> Found<usize> {
    let mut at = 0;
    if ahead.is(at, is_month)? {
        at += 1;
        at += usize::from(ahead.is(at, |token| token.is_any(&["the", "el"]))?);
        // "January two thousand nineteen" has no second of January.
        let whole_year =
            Run::read(ahead, at)?.is_some_and(|run| run.parts.first().is_some_and(|part| part.cardinal && part.digits.len() == 4));
        let day = if whole_year { None } else { day_end(ahead, at)? };
        let Some(end) = year_end(ahead, day.unwrap_or(at))?.or(day) else { return Ok(None) };
        return Ok(Some(end));
    }
    let Some(mut at) = day_end(ahead, at)? else { return Ok(None) };
    at += usize::from(ahead.is(at, |token| token.is_any(&["of", "de"]))?);
    if !ahead.is(at, is_month)? {
        return Ok(None);
    }
    at += 1;
    Ok(Some(year_end(ahead, at)?.unwrap_or(at)))
}

/// A day, a month and a year in which people who call were born.
fn is_whole_and_old(ahead: Ahead<'_>, end: usize) -> Result<bool, More> {
    let words = ahead.seen(0, end);
    let Some(month) = words.iter().position(|held| is_month(&held.token)) else { return Ok(false) };
    let mut from = month + 1;
    if month == 0 {
        from += usize::from(words.get(from).is_some_and(|held| held.token.is_any(&["the", "el"])));
        let Some(day) = day_end(ahead, from)? else { return Ok(false) };
        from = day;
    }
    while words.get(from).is_some_and(|held| held.token.is_any(&["of", "de", "del", "in"])) {
        from += 1;
    }
    Ok(from < end && Run::read(ahead, from)?.is_some_and(|run| run.digits.get(..4).is_some_and(is_birth_year)))
}

fn is_month(token: &Token) -> bool {
    matches!(token.kind, Kind::Month(_))
}

fn day_end(ahead: Ahead<'_>, at: usize) -> Found<usize> {
    let Some(token) = ahead.at(at)? else { return Ok(None) };
    if let Kind::Ordinal(_) = token.kind {
        return Ok(Some(at + 1));
    }
    if let Kind::Tens(20 | 30) = token.kind {
        let joint = usize::from(ahead.is(at + 1, |next| next.is("y"))?);
        let more = ahead.is(at + 1 + joint, |next| matches!(next.kind, Kind::Unit(1..) | Kind::Ordinal(1..=9)))?;
        return Ok(Some(if more { at + 2 + joint } else { at + 1 }));
    }
    let written = matches!(&token.kind, Kind::Digits(digits) if digits.parse().is_ok_and(|day: u32| (1..=31).contains(&day)));
    let is_day = written || matches!(token.kind, Kind::Unit(1..) | Kind::Teen(10..=31) | Kind::Once);
    Ok(is_day.then_some(at + 1))
}

fn year_end(ahead: Ahead<'_>, at: usize) -> Found<usize> {
    let at = at + usize::from(ahead.is(at, |token| token.is_any(&["of", "de", "del", "in"]))?);
    let Some(token) = ahead.at(at)? else { return Ok(None) };
    if let Kind::Digits(digits) = &token.kind {
        return Ok((digits.len() == 2 || digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"))).then_some(at + 1));
    }
    let Some(run) = Run::read(ahead, at)? else { return Ok(None) };
    let mut digits = String::new();
    for part in &run.parts {
        if part.apart && !digits.is_empty() {
            break;
        }
        digits.push_str(&part.digits);
        if digits.len() >= 4 {
            return Ok((digits.len() == 4 && (digits.starts_with("19") || digits.starts_with("20"))).then_some(part.from + part.words));
        }
    }
    // "del ochenta y cinco": without a century.
    let first = run.parts.first().filter(|part| part.digits.len() == 2);
    Ok(first.map(|part| part.from + part.words))
}

/// Where a date that was announced ends, with all second thoughts and single digits.
fn loose_end(ahead: Ahead<'_>, strict_end: usize) -> Result<usize, More> {
    let (mut end, mut at, mut bridge) = (strict_end, strict_end, 0);
    for _ in 0..DATE_PIECES_MAX {
        if let Some(run) = Run::read(ahead, at)? {
            (end, at, bridge) = (run.words, run.words, 0);
        } else if ahead.is(at, |token| matches!(token.kind, Kind::Month(_) | Kind::Ordinal(_)))? {
            (end, at, bridge) = (at + 1, at + 1, 0);
        } else if bridge < BRIDGE_WORDS_MAX
            && (goes_on(ahead, at)? || ahead.is(at, |token| token.is_any(&["of", "de", "del", "the", "el"]))?)
        {
            bridge += 1;
            at += 1;
        } else {
            break;
        }
    }
    Ok(end)
}
