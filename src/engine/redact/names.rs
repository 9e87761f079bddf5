//! Names and passwords: words that only what was said before tells from others.
//!
//! A name is masked after "my name is" and its like, after a title, as the first answer to the question for it, after
//! "this is" if it is written with a capital, and wherever a name once masked is said again in the call.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::cue::Cue;
use super::entity::Entity;
use super::lexicon::{CALLES, LEADS, TITLES, UNITS, is_function};
use super::number::Run;
use super::rules::{Match, Scene};
use super::token::{Kind, Token};

/// First, middle, and two last names.
pub const NAME_WORDS_MAX: usize = 5;
/// Names of one call that are remembered; of more the oldest is forgotten.
pub const NAMES_MAX: usize = 16;
/// Words of an answer that is taken for a password because nothing else is said.
const ANSWER_PASSWORD_WORDS_MAX: usize = 3;
/// Words of a passphrase.
pub const PASSWORD_WORDS_MAX: usize = 8;
/// Shorter words are remembered by nobody as names: too many others sound like them.
pub(super) const NAME_CHARS_MIN: usize = 3;

pub(super) fn find(scene: &Scene<'_>) -> Found<Match> {
    let ahead = scene.ahead;
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    if scene.hears(&[Cue::Name, Cue::AskedName])
        && let Some(end) = spelled_end(ahead)?
    {
        return Ok(Some(Match::new(Entity::Name, Confidence::Cue, end)));
    }
    let told = scene.own_cue_just_ended(&[Cue::Name, Cue::AskedName]).is_some();
    // "Bill" is a name where one is told, and a bill elsewhere.
    let named = first.capital || !first.stops && ahead.held(1)?.is_some_and(|next| !next.rested && is_name(&next.token));
    let asked = named
        && (is_name(first) || first.capital)
        && scene.awaited(&[Cue::AskedName, Cue::Name]).is_some_and(|said| said.speaker != scene.speaker)
        && scene.strange().count() <= 2
        && !scene.turn().any(|past| past.masked == Some(Entity::Name) && past.token.is_free())
        && answers_with_a_name(ahead)?;
    let answers = scene.is_first_answer_to(Cue::AskedName) && answers_with_a_name(ahead)?;
    let may_be = (told || introduces(scene) && !scene.before(1).is_some_and(|token| token.is("its")) || answers)
        && named
        && first.kind == Kind::Plain
        && !is_function(&first.folded);
    if !(is_name(first) || may_be) || begins_with_cue(scene) || first.asks {
        return Ok(None);
    }
    let titled = scene.lead().is_some_and(|token| token.is_any(TITLES));
    let introduced = introduces(scene) && (first.capital || is_all_of_a_name(ahead)?);
    if titled || introduced || told || asked || answers {
        return Ok(Some(Match::new(Entity::Name, Confidence::Cue, name_end(ahead)?)));
    }
    let known = scene.names.iter().any(|name| *name == first.folded);
    Ok(known.then(|| Match::new(Entity::Name, Confidence::Cue, 1)))
}

/// Two words with capitals, or nothing but a name till the turn ends.
fn answers_with_a_name(ahead: Ahead<'_>) -> Result<bool, More> {
    if ahead.is(0, |token| token.capital)? && ahead.is(1, |token| token.capital)? {
        return Ok(true);
    }
    let end = name_end(ahead)?;
    if ahead.is(end - 1, |token| token.asks)? {
        return Ok(false);
    }
    Ok(ahead.held(end)?.is_none_or(|next| next.rested) || ahead.is(end - 1, |token| token.stops)? || end > NAME_WORDS_MAX)
}

/// "my birthday" answers no question for a name.
fn begins_with_cue(scene: &Scene<'_>) -> bool {
    scene.ahead.seen(0, 1).iter().any(|held| held.cue.is_some())
}

fn is_name(token: &Token) -> bool {
    (token.is_free() || matches!(token.kind, Kind::Month(4 | 6 | 8) if token.capital)) && !token.is_any(UNITS) && !token.has_digits()
}

/// Two words that nobody uses, and then nothing: a name without capitals.
fn is_all_of_a_name(ahead: Ahead<'_>) -> Result<bool, More> {
    // Of three names the first may be two.
    let names = if ahead.is(2, is_name)? && ahead.held(2)?.is_some_and(|held| !held.rested) { 3 } else { 2 };
    let ends = ahead.held(names)?.is_none_or(|held| {
        held.rested
            || held.token.is_any(&["i", "im", "and", "llame", "por", "y", "about", "la", "el", "from", "calling", "de"])
            || held.token.letter().is_some()
            || matches!(held.token.kind, Kind::Bridge | Kind::Mark)
    });
    Ok(ends && ahead.is(1, is_name)? && !ahead.is(0, |token| token.stops)?)
}

/// "this is Maria", "soy María".
fn introduces(scene: &Scene<'_>) -> bool {
    let before = |n: usize, words: &[&str]| scene.before(n).is_some_and(|token| token.is_any(words));
    let its = before(1, &["its"]) && scene.turn().nth(1).is_none();
    its || before(1, &["with"]) && before(2, &["speaking", "talking"])
        || before(1, &["under"]) && before(2, &["its", "is", "be", "name", "case"])
        || before(1, &["im", "soy", "habla", "maam"])
        || before(1, &["is"]) && before(2, &["this", "name", "here"])
}

fn name_end(ahead: Ahead<'_>) -> Result<usize, More> {
    const PARTICLES: [&str; 8] = ["de", "la", "del", "los", "san", "van", "von", "y"];
    let mut end = 1;
    while end < NAME_WORDS_MAX {
        if ahead.is(end - 1, |token| token.stops && token.letter().is_none() && token.folded.len() > 2)? {
            break;
        }
        if ahead.held(end)?.is_some_and(|held| held.rested) {
            break;
        }
        let mut at = end;
        while at < end + 2 && ahead.is(at, |token| token.is_any(&PARTICLES))? {
            at += 1;
        }
        if let Some(letters) = spelled_end(ahead.after(at))? {
            return Ok(at + letters);
        }
        let initial = at == end && ahead.is(at, |token| matches!(token.kind, Kind::Letter(_)))?;
        if !initial && !ahead.is(at, is_name)? {
            break;
        }
        end = at + 1;
    }
    // "Maria, M A R I A".
    if let Some(letters) = spelled_end(ahead.after(end))? {
        end += letters;
    }
    Ok(end)
}

/// "S M I T H", "b as in boy", "double l": three letters or more.
fn spelled_end(ahead: Ahead<'_>) -> Found<usize> {
    let (mut at, mut letters) = (0, 0);
    while at < SPELLED_WORDS_MAX {
        let ends = at > 0 && (ahead.is(at - 1, |token| token.stops)? || ahead.held(at)?.is_some_and(|held| held.rested));
        let one_letter_is_a_word = ahead.is(at, |token| token.kind == Kind::Bridge)?;
        if ends && one_letter_is_a_word {
            break;
        }
        if ahead.is(at, |token| token.letter().is_some())? {
            letters += 1;
            at += 1;
            if ahead.is(at, |token| token.is_any(&["as", "like", "de", "for"]))? {
                let skip = 1 + usize::from(ahead.is(at + 1, |token| token.is("in"))?);
                if ahead.is(at + skip, |token| token.letter().is_none())? {
                    at += skip + 1;
                }
            }
        } else if letters > 0 && ahead.is(at, |token| token.kind == Kind::Mark)? && ahead.is(at + 1, |token| token.letter().is_some())? {
            // The apostrophe of "O'Connor".
            at += 1;
        } else if ahead.is(at, |token| matches!(token.kind, Kind::Repeat(_)))? && ahead.is(at + 1, |token| token.letter().is_some())? {
            letters += 2;
            at += 2;
        } else {
            break;
        }
    }
    Ok((letters >= SPELLED_LETTERS_MIN).then_some(at))
}

/// Words of a name spelled out.
const SPELLED_WORDS_MAX: usize = 64;
const SPELLED_LETTERS_MIN: usize = 3;

/// "my password is bluebird forty two".
pub(super) fn password(scene: &Scene<'_>) -> Found<Match> {
    let ahead = scene.ahead;
    let Some(first) = ahead.at(0)? else { return Ok(None) };
    let cues = [Cue::Password, Cue::AskedPassword];
    let ended = scene.own_cue_just_ended(&cues);
    // What is said last, and says nothing but itself.
    if let Some(said) = scene.awaited(&cues) {
        let own = said.speaker == scene.speaker;
        let near = if own { scene.turn().any(|past| past.seq == said.seq) } else { scene.strange().count() <= 2 };
        if near && let Some(end) = all_that_is_left(scene, own, ended == Some(true))? {
            return Ok(Some(Match::new(Entity::Password, Confidence::Cue, end)));
        }
    }
    let told = ended.is_some_and(|joined| joined || first.has_digits()) || is_set(scene);
    let asked = !told && scene.is_first_answer_to(Cue::AskedPassword);
    let spelled = first.letter().is_some() && ahead.is(1, |next| next.letter().is_some())?;
    let word = matches!(first.kind, Kind::Plain | Kind::Mixed | Kind::Month(_)) && !is_function(&first.folded);
    if !(told || asked) || begins_with_cue(scene) || !(word || spelled) || first.is_any(OF_A_PASSWORD) || first.is_any(LEADS) {
        return Ok(None);
    }
    let (mut end, mut figures) = (1, first.has_digits());
    while end < PASSWORD_WORDS_MAX + letters_at(ahead, 0)? && !ahead.is(end - 1, |token| token.pauses)? {
        if let Some(run) = Run::read(ahead, end)? {
            (end, figures) = (run.words, true);
            continue;
        }
        if ahead.is(end, |token| token.kind == Kind::Once)? {
            (end, figures) = (end + 1, true);
            continue;
        }
        let part = ahead.is(end, |token| {
            token.letter().is_some_and(|letter| !matches!(letter, 'A' | 'I' | 'Y'))
                || matches!(token.kind, Kind::Mixed | Kind::Separator | Kind::Repeat(_) | Kind::Month(_) | Kind::Ordinal(_))
                || token.kind == Kind::Plain && !token.contracted && !is_function(&token.folded) && !token.is_any(UNITS)
        })?;
        if !part || ahead.held(end)?.is_some_and(|held| held.rested) {
            break;
        }
        end += 1;
    }
    // An answer that does not call itself one is all of what is said, or has figures in it that count nothing.
    let alone = ahead.is(end - 1, |token| token.pauses && !token.asks)? || ahead.held(end)?.is_none_or(|next| next.rested);
    let counts = ahead.is(end, |token| token.is_any(UNITS))?;
    let strange = ahead.seen(0, end).iter().all(|held| held.token.is_free());
    let some_strange = ahead.seen(0, end).iter().any(|held| held.token.is_free());
    let of_oneself = scene.lead().is_some_and(|token| token.is_any(&["im", "soy", "this", "habla"]));
    let odd =
        !of_oneself && (strange || alone && some_strange && end <= ANSWER_PASSWORD_WORDS_MAX) || figures && (alone || first.is_free());
    let goes_on = ahead.is(end, |token| token.is_any(&["es", "is", "was", "are", "son", "has"]))?;
    if asked && (counts || goes_on || !odd) {
        return Ok(None);
    }
    Ok(Some(Match::new(Entity::Password, Confidence::Cue, end)))
}

/// The words to the end of the turn, if none of them joins a sentence: "… it's cowboys hallelujah", "tomcat treinta y seis".
fn all_that_is_left(scene: &Scene<'_>, own: bool, joined: bool) -> Found<usize> {
    let ahead = scene.ahead;
    let (mut end, mut words, mut figures, mut free) = (0, 0, false, 0);
    let of_a_thing =
        scene.lead().is_some_and(|token| token.is_any(&["la", "el", "the", "a", "in", "en", "at", "my", "su", "mi", "un", "una", "your"]));
    let of_a_thing = of_a_thing && !scene.before(2).is_some_and(|token| token.is_any(&["is", "es", "its", "sea"]));
    if of_a_thing || ahead.is(0, |token| token.is_any(OF_A_PASSWORD) || token.is_any(CALLES))? || begins_with_cue(scene) {
        return Ok(None);
    }
    while end < PASSWORD_WORDS_MAX + letters_at(ahead, 0)? {
        let Some(held) = ahead.held(end)? else { break };
        if end > 0 && (held.rested || ahead.is(end - 1, |token| token.stops)?) {
            break;
        }
        if let Some(run) = Run::read(ahead, end)? {
            if ahead.is(run.words, |token| token.is_any(UNITS))? || words == 0 {
                return Ok(None);
            }
            (end, figures) = (run.words, true);
            continue;
        }
        let token = &held.token;
        let spells = |at: usize| ahead.is(at, |token| token.letter().is_some());
        let letter = token.letter().is_some() && (spells(end + 1)? || end > 0 && spells(end - 1)?);
        free += usize::from(token.is_free());
        let word = matches!(token.kind, Kind::Plain | Kind::Mixed | Kind::Month(_)) && !is_function(&token.folded) && !token.is_any(UNITS);
        let before_a_comma = word && token.pauses && !token.stops;
        if !(word || letter) || token.asks || before_a_comma {
            return Ok(None);
        }
        figures |= token.has_digits();
        words += 1;
        end += 1;
    }
    let ends = ahead.held(end)?.is_none_or(|next| next.rested) || ahead.is(end - 1, |token| token.stops)?;
    let strange = if own && !joined && !figures {
        free == words
    } else {
        figures && (joined || ahead.is(0, |token| token.is_free() || token.letter().is_some() || token.has_digits())?)
            || free == words
            || free > 0 && words == 2
    };
    Ok((end > 0 && ends && strange && (figures || words >= 2)).then_some(end))
}

/// Letters that are spelled one by one: together they are one word.
fn letters_at(ahead: Ahead<'_>, from: usize) -> Result<usize, More> {
    let mut letters = 0;
    while letters < SPELLED_WORDS_MAX && ahead.is(from + letters, |token| token.letter().is_some())? {
        letters += 1;
    }
    Ok(letters)
}

/// "I changed my password to", "le puse de contraseña".
fn is_set(scene: &Scene<'_>) -> bool {
    let before = |n: usize, words: &[&str]| scene.before(n).is_some_and(|token| token.is_any(words));
    let set = ["changed", "change", "set", "reset", "made", "puse", "puso", "pusimos", "cambie", "tengo", "uso"];
    let english = before(1, &["to", "as"]) && before(2, &["password", "passphrase"]) && (3..=5).any(|n| before(n, &set));
    english
        || before(1, &["contrasena"]) && before(2, &["de", "como", "la"]) && before(3, &set)
        || before(1, &["a", "por"]) && before(2, &["contrasena"]) && (3..=5).any(|n| before(n, &set))
}

/// What is said of passwords, and is none.
#[rustfmt::skip]
const OF_A_PASSWORD: &[&str] = &[
    "reset", "incorrect", "expired", "forgotten", "required", "locked", "changed", "invalid", "missing", "blocked", "bloqueada", "incorrecta",
    "wrong", "old", "same", "different", "weak", "fine", "working", "right", "bad", "long", "short", "new", "always", "never", "mal", "equivocada", "vieja", "protected", "accepted", "rejected", "lost", "saved", "too",
];
