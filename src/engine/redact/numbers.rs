//! What a number is: by what was asked, by what is said of it, by how long it is, by its check digits.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::checksum;
use super::cue::{CUE_WORDS_MAX, Cue, Said, Strength, ended_by};
use super::entity::Entity;
use super::lexicon::{LEADS, UNITS};
use super::number::{Awaited, Run};
use super::rules::{Decision, Match, Scene};
use super::token::{Kind, Token};

/// A shorter number is nothing without a cue; so many digits always are something.
const BARE_DIGITS_MIN: usize = 7;
/// So many digits are a card's, whatever was said before.
const CARD_DIGITS_MIN: usize = 13;
/// `strict` masks from here on.
const STRICT_DIGITS_MIN: usize = 3;
/// How far after a number "is my PIN" may end.
const AFTER_WORDS_MAX: usize = CUE_WORDS_MAX + 3;

pub(super) fn find(scene: &Scene<'_>) -> Found<Decision> {
    let Some(run) = Run::read_awaited(scene.ahead, 0, awaited(scene))? else { return Ok(None) };
    if run.interrupted {
        if let Some(found @ Decision::Mask(_)) = judge(scene, &run)? {
            return Ok(Some(found));
        }
        // What the aside led to is no part of it, and may be something else.
        let Some(run) = Run::read(scene.ahead, 0)? else { return Ok(None) };
        return judge(scene, &run);
    }
    judge(scene, &run)
}

fn judge(scene: &Scene<'_>, run: &Run) -> Found<Decision> {
    let ahead = scene.ahead;
    if let Some(words) = quantity_before_rest(scene, run)? {
        return Ok(Some(Decision::Clear(words)));
    }
    if scene.policy.strict
        && let Some(words) = run.before_last_group()
        && ahead.is(run.words, is_priced)?
    {
        // Only the last number before "percent" is one.
        let digits: usize = run.parts.iter().filter(|part| part.from < words).map(|part| part.digits.len()).sum();
        let found = Match::new(Entity::Number, Confidence::Shape, words);
        return Ok(Some(if digits >= STRICT_DIGITS_MIN { Decision::Mask(found) } else { Decision::Clear(words) }));
    }
    let quantity = is_quantity(scene, run)?;
    let found = match sensitive(scene, run, quantity)? {
        Some(found) if scene.policy.masks(found.entity) => Some(found),
        _none if scene.policy.strict && run.digits.len() >= STRICT_DIGITS_MIN && !(quantity && is_exempt(scene, run)?) => {
            Some(Match::new(Entity::Number, Confidence::Shape, run.words))
        }
        _none => None,
    };
    Ok(Some(found.map_or(Decision::Clear(run.words), Decision::Mask)))
}

fn sensitive(scene: &Scene<'_>, run: &Run, quantity: bool) -> Found<Match> {
    let total = run.digits.len();
    let first = scene.ahead.seen(0, 1).first();
    let (seq, start_ms) = first.map_or((0, 0), |first| (first.seq, first.start_ms));
    if total >= CARD_DIGITS_MIN && !is_series(run) {
        let account = scene
            .live()
            .iter()
            .find(|said| matches!(said.cue, Cue::Account | Cue::Card | Cue::Iban))
            .is_some_and(|said| said.cue == Cue::Account);
        if account && !checksum::luhn(&run.digits) {
            return Ok(Some(Match { gives: Some(Cue::Account), ..Match::new(Entity::BankAccount, Confidence::Cue, run.words) }));
        }
        let confidence = if checksum::luhn(&run.digits) { Confidence::Checksum } else { Confidence::Shape };
        return Ok(Some(Match { gives: Some(Cue::Card), ..Match::new(Entity::CardNumber, confidence, run.words) }));
    }
    if !quantity {
        for said in scene.live() {
            let full_only = scene.is_given(&said, seq, start_ms);
            let password = [Cue::Password, Cue::AskedPassword];
            if password.contains(&said.cue)
                && scene.own_cue_just_ended(&password).is_none()
                && !scene.is_first_answer_to(Cue::AskedPassword)
            {
                continue;
            }
            let close = scene.own_cue_just_ended(&[said.cue]).is_some() || scene.is_first_answer_to(said.cue);
            match meaning(&said, run, full_only, close) {
                Meaning::Of(entity, whole) => {
                    let entity = if said.cue == Cue::LastFour && scene.hears(&[Cue::Ssn]) { Entity::Ssn } else { entity };
                    let (begins, gives) = if whole { (None, Some(said.cue)) } else { (Some(said.cue), None) };
                    return Ok(Some(Match { begins, gives, ..Match::new(entity, confidence(entity, run), run.words) }));
                }
                Meaning::Harmless => return Ok(None),
                Meaning::Other => {}
            }
        }
        if total >= 3
            && let Some(cue) = cue_after(scene.ahead, run.words)?
            && let Meaning::Of(entity, _) =
                meaning(&Said { cue, speaker: scene.speaker, seq, end_ms: start_ms, strength: Strength::Named }, run, false, false)
        {
            return Ok(Some(Match::new(entity, confidence(entity, run), run.words)));
        }
    }
    if total < BARE_DIGITS_MIN || is_series(run) || is_round(run) || is_date(&run.digits) || (quantity && run.parts.len() == 1) {
        return Ok(None);
    }
    let entity = by_length(&run.digits);
    let gives = (entity == Entity::Phone).then_some(Cue::Phone);
    Ok(Some(Match { gives, ..Match::new(entity, confidence(entity, run), run.words) }))
}

fn by_length(digits: &str) -> Entity {
    match digits.len() {
        ..=7 | 10 => Entity::Phone,
        11 if digits.starts_with('1') => Entity::Phone,
        9 if is_itin(digits) => Entity::Itin,
        9 if checksum::aba(digits) => Entity::RoutingNumber,
        9 => Entity::Ssn,
        12 if checksum::verhoeff(digits) => Entity::Aadhaar,
        _length => Entity::BankAccount,
    }
}

fn confidence(entity: Entity, run: &Run) -> Confidence {
    let checked = (entity == Entity::CardNumber && checksum::luhn(&run.digits))
        || (entity == Entity::RoutingNumber && checksum::aba(&run.digits))
        || (entity == Entity::Aadhaar && checksum::verhoeff(&run.digits));
    if checked { Confidence::Checksum } else { Confidence::Cue }
}

/// 9xx with a group of 50–65, 70–88, 90–92 or 94–99.
fn is_itin(digits: &str) -> bool {
    let group = digits.get(3..5).and_then(|group| group.parse::<u32>().ok());
    digits.starts_with('9') && group.is_some_and(|group| matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99))
}

/// What a cue makes of a number.
enum Meaning {
    /// It is that, whole or in part.
    Of(Entity, bool),
    /// Anybody may know it.
    Harmless,
    /// The cue was for something else.
    Other,
}

/// `full_only`: a part of it is no more expected. `close`: nothing was said between the cue and the number, so that it need not be
/// as long as it should.
fn meaning(said: &Said, run: &Run, full_only: bool, close: bool) -> Meaning {
    let total = run.digits.len();
    // Second thoughts make a number longer.
    let most = |digits: usize| if run.corrected { digits * 2 + 2 } else { digits };
    let (entity, least, whole, longest): (Entity, usize, usize, usize) = match said.cue {
        Cue::Harmless => return if total < CARD_DIGITS_MIN { Meaning::Harmless } else { Meaning::Other },
        Cue::Iban => (Entity::Iban, 6, 15, most(34)),
        Cue::Card => (Entity::CardNumber, 4, 12, most(19)),
        Cue::Cvv => (Entity::Cvv, 3, 3, most(4)),
        Cue::Expiry => (Entity::Expiry, 3, 3, most(6)),
        Cue::LastFour => (Entity::CardNumber, 4, 4, most(4)),
        Cue::Account => (Entity::BankAccount, 4, 7, most(17)),
        Cue::Routing => (Entity::RoutingNumber, 4, 9, most(9)),
        Cue::Ssn => (Entity::Ssn, 4, 9, most(9)),
        Cue::Itin => (Entity::Itin, 4, 9, most(9)),
        Cue::Pin => (Entity::Pin, 3, 4, most(12)),
        Cue::OneTimeCode => (Entity::OneTimeCode, 3, 4, most(10)),
        Cue::Password | Cue::AskedPassword => (Entity::Password, 3, 3, most(12)),
        Cue::Birth => (Entity::DateOfBirth, 3, 4, most(8)),
        Cue::Phone => (Entity::Phone, 7, 7, most(15)),
        Cue::Record => (Entity::MedicalRecord, 3, 4, most(14)),
        Cue::Aadhaar => (Entity::Aadhaar, 4, 12, most(12)),
        Cue::Zip => (Entity::Address, 3, 5, most(9)),
        Cue::Pan | Cue::Address | Cue::Name | Cue::AskedName => return Meaning::Other,
    };
    let least = match said.strength {
        Strength::Begun => 2,
        Strength::Named | Strength::Mentioned if full_only => whole,
        Strength::Named | Strength::Mentioned => least,
    };
    // Four digits of a longer number are seldom all that is said in a breath; a year or a time is.
    let of_many = whole >= 5 && said.strength != Strength::Begun && (is_year(&run.digits) || is_time(&run.digits));
    if of_many {
        return Meaning::Other;
    }
    // "thirty, uh, five" reads as three digits where two were meant, "ninety eight" as two where three were.
    let (least, longest) = if close { (least.saturating_sub(1).max(2), longest + 2) } else { (least, longest) };
    if (least..=longest).contains(&total) { Meaning::Of(entity, total >= whole) } else { Meaning::Other }
}

/// How long the number is that is asked for, or announced. Nothing of a number that nobody spoke of.
fn awaited(scene: &Scene<'_>) -> Awaited {
    let of = |least, most| Awaited { least, most, unasked: false };
    let Some(said) = scene.live().into_iter().find(|said| !matches!(said.cue, Cue::Name | Cue::AskedName | Cue::Address | Cue::Zip)) else {
        return Awaited { least: 0, most: 16, unasked: true };
    };
    match said.cue {
        Cue::Card => of(15, 16),
        Cue::Cvv => of(3, 4),
        Cue::Expiry | Cue::LastFour => of(4, 4),
        Cue::Account => of(8, 12),
        Cue::Routing | Cue::Ssn | Cue::Itin => of(9, 9),
        Cue::Pin => of(4, 6),
        Cue::OneTimeCode => of(5, 6),
        Cue::Phone => of(10, 10),
        Cue::Record => of(6, 8),
        Cue::Aadhaar => of(12, 12),
        Cue::Birth => of(6, 8),
        Cue::Harmless
        | Cue::Iban
        | Cue::Pan
        | Cue::Password
        | Cue::AskedPassword
        | Cue::Address
        | Cue::Zip
        | Cue::Name
        | Cue::AskedName => of(0, 0),
    }
}

/// What "… is my PIN" says of the number before it.
pub(super) fn cue_after(ahead: Ahead<'_>, at: usize) -> Found<Cue> {
    if !ahead.is(at, |token| token.is_any(&["is", "es", "thats", "was", "its", "fue", "ese", "that"]))? {
        return Ok(None);
    }
    let mut words = Vec::new();
    for n in 1..=AFTER_WORDS_MAX {
        let Some(token) = ahead.at(at + n)? else { break };
        if token.may_be_numeric() {
            break;
        }
        words.push(token.folded.as_str());
        if let Some((cue, _)) = ended_by(&words.iter().copied()) {
            return Ok(Some(cue));
        }
        if token.stops {
            break;
        }
    }
    Ok(None)
}

/// "at five forty." and, after a rest, another number: the first is no part of it.
fn quantity_before_rest(scene: &Scene<'_>, run: &Run) -> Found<usize> {
    let cued = scene.sentence().next().is_some_and(|past| past.cue.is_some());
    let led = scene.lead().is_some_and(|token| token.is_any(LEADS));
    let dated = scene.lead().is_some_and(|token| token.is_any(&["in", "en", "or", "was", "of", "de", "del", "o"]));
    if cued || !led && !dated {
        return Ok(None);
    }
    let mut digits = String::new();
    for pair in run.parts.windows(2) {
        let [part, next] = pair else { break };
        digits.push_str(&part.digits);
        let end = part.from + part.words;
        let rests = scene.ahead.seen(end, next.from + 1).iter().any(|held| held.rested);
        if rests {
            let counts = if led { digits.len() <= 4 } else { is_year(&digits) || is_time(&digits) };
            return Ok((counts && !scene.policy.strict).then_some(end));
        }
    }
    Ok(None)
}

/// How many, how much, when, which room: a short number that is nobody's secret.
fn is_quantity(scene: &Scene<'_>, run: &Run) -> Result<bool, More> {
    if scene.ahead.is(run.words, |token| token.is_any(UNITS))? {
        return Ok(true);
    }
    if is_series(run) {
        return Ok(true);
    }
    let total = run.digits.len();
    let cued = scene.sentence().next().is_some_and(|past| past.cue.is_some());
    let led = !cued && scene.lead().is_some_and(|token| token.is_any(LEADS));
    if led && total <= 4 && run.parts.iter().all(|part| !part.dated) {
        return Ok(true);
    }
    let in_year = scene.lead().is_some_and(|token| token.is_any(&["in", "en", "of", "del"]));
    if in_year && is_year(&run.digits) {
        return Ok(true);
    }
    // "they are 44, 65 and 12"
    let mut back = scene.sentence();
    let be = back.next().is_some_and(|past| past.token.is_any(&["are", "is", "was", "were"]));
    let of_people = be && back.next().is_some_and(|past| past.token.is_any(&["they", "he", "she", "we", "kids", "who"]));
    let ages =
        run.parts.len() <= 4 && run.parts.iter().all(|part| part.digits.len() <= 2) && run.parts.iter().any(|part| part.digits.len() == 2);
    if of_people && ages {
        return Ok(true);
    }
    let told = scene.sentence().take(4).any(|past| past.cue.is_some());
    if be && !told && total <= 3 && scene.lead().is_some_and(|token| token.is_any(&["was", "were"])) {
        return Ok(true);
    }
    let was = scene.lead().is_some_and(|token| token.is_any(&["was", "or", "fue", "o", "and", "y", "a"]));
    let announced = scene.sentence().take(2).any(|past| past.cue.is_some());
    if was && !announced && is_year(&run.digits) {
        return Ok(true);
    }
    let at_time = scene.lead().is_some_and(|token| token.is_any(&["for", "or", "and", "to", "by", "a", "de", "o", "y"]));
    if at_time && is_time(&run.digits) {
        return Ok(true);
    }
    let asked = scene.live().first().is_some_and(|said| scene.is_first_answer_to(said.cue));
    Ok(run.parts.len() == 1 && is_round(run) && !told && !asked)
}

/// `strict` lets times, prices, percentages and ordinals through, not how many and which.
fn is_exempt(scene: &Scene<'_>, run: &Run) -> Result<bool, More> {
    Ok(scene.ahead.is(run.words, is_priced)? || run.groups().iter().all(|group| is_time(group)))
}

fn is_priced(token: &Token) -> bool {
    token.is_any(&[
        "dollars", "dollar", "bucks", "cents", "cent", "percent", "grand", "euros", "pesos", "rupees", "dolares", "dolar", "centavos",
        "oclock", "am", "pm", "a.m", "p.m",
    ])
}

fn is_round(run: &Run) -> bool {
    run.parts.iter().all(|part| part.cardinal && part.digits.ends_with("00"))
}

fn is_year(digits: &str) -> bool {
    digits.len() == 4 && digits.parse().is_ok_and(|year: u32| (1900..2070).contains(&year))
}

fn is_time(digits: &str) -> bool {
    let (hour, minute) = digits.split_at(digits.len().saturating_sub(2));
    (3..=4).contains(&digits.len())
        && hour.parse().is_ok_and(|hour: u32| (1..=12).contains(&hour))
        && minute.parse().is_ok_and(|minute: u32| minute < 60 && minute.is_multiple_of(5))
}

/// Years or times, one after the other: "two thirty, three fifteen and four forty five".
fn is_series(run: &Run) -> bool {
    let groups = run.groups();
    let pairs = run.parts.len() == groups.len() * 2;
    let single = run.parts.len() == groups.len();
    groups.len() > 1
        && (groups.iter().all(|group| is_year(group)) && (pairs || single) || pairs && groups.iter().all(|group| is_time(group)))
}

/// Eight digits that are a date of our times: month first, or day first.
fn is_date(digits: &str) -> bool {
    let at = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let (first, second) = (at(0, 2), at(2, 4));
    digits.len() == 8
        && (1900..2070).contains(&at(4, 8))
        && (1..=31).contains(&first)
        && (1..=31).contains(&second)
        && first.min(second) <= 12
}

/// Kinds of word that a partial result shows as bullets, whatever they may become.
pub(super) fn is_shown_as_bullets(token: &Token) -> bool {
    token.may_be_numeric() || matches!(token.kind, Kind::Email | Kind::Mixed)
}
