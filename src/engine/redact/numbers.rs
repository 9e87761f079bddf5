//! What a number is: by what was asked, by what is said of it, by how long it is, by its check digits.

use super::Confidence;
use super::ahead::{Ahead, Found, More};
use super::checksum;
use super::cue::{CUE_WORDS_MAX, Cue, Said, Strength, ended_by};
use super::entity::Entity;
use super::lexicon::{LEADS, RATIOS, UNITS, is_function};
use super::number::{Run, is_year};
use super::rules::{Decision, Match, Scene, TO_QUANTITIES};
use super::token::{Kind, Token};

/// A shorter number is nothing without a cue; so many digits always are something.
const BARE_DIGITS_MIN: usize = 7;
/// So many digits are a card's, whatever was said before.
const CARD_DIGITS_MIN: usize = 13;
/// `strict` masks from here on.
const STRICT_DIGITS_MIN: usize = 3;
/// A social security number's.
const SHORTEST_WHOLE_DIGITS: usize = 9;
/// Words of a clause that a number is interrupted by.
const CLAUSE_WORDS_MAX: usize = 14;
/// How far after a number "is my PIN" may end.
const AFTER_WORDS_MAX: usize = CUE_WORDS_MAX + 3;

pub(super) fn find(scene: &Scene<'_>) -> Found<Decision> {
    let ahead = scene.ahead;
    if ahead.is(0, |token| token.is("one"))?
        && scene
            .lead()
            .is_some_and(|lead| lead.leads_to_one() || lead.kind == Kind::Plain && scene.before(2).is_some_and(Token::leads_to_one))
        && !ahead.is(1, Token::may_be_numeric)?
    {
        return Ok(Some(Decision::Clear(1)));
    }
    let awaited = scene.live().into_iter().find(|said| of(said.cue).is_some() && scene.awaits(said)).map(|said| said.cue);
    let Some(run) = Run::read_whole(scene.ahead, 0, whole(awaited))? else { return Ok(None) };
    let decision = judge(scene, &run)?;
    // With what comes after an aside it may be long enough to be something, or something longer.
    let is_masked = awaited.is_some() && matches!(decision, Some(Decision::Mask(_)));
    if !(is_masked || is_quantity(scene, &run)? || scene.lead().is_some_and(|token| token.is_any(TO_QUANTITIES)))
        && let Some(joined) = run.joined(scene.ahead)?
        && let Some(found @ Decision::Mask(_)) = judge(scene, &joined)?
    {
        return Ok(Some(found));
    }
    Ok(decision)
}

/// So many digits may be all of what is awaited, and a rest after them its end.
const fn whole(awaited: Option<Cue>) -> usize {
    match awaited {
        // These tell nothing of how long the number is: as without a cue, that of the shortest that needs none.
        None | Some(Cue::Password | Cue::AskedPassword | Cue::Zip | Cue::Figures | Cue::Pan) => SHORTEST_WHOLE_DIGITS,
        Some(cue) => match of(cue) {
            Some(number) => number.whole,
            None => SHORTEST_WHOLE_DIGITS,
        },
    }
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
    if is_either(scene.ahead, run)? {
        return Ok(None);
    }
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
    let counted = run.is_before(scene.ahead, |token| token.is_any(UNITS) || token.is_any(RATIOS))?
        || run.is_before(scene.ahead, |token| token.is("y"))?
            && scene.ahead.is(run.words + 1, |token| token.is_any(&["medio", "media"]))?
        || run.is_before(scene.ahead, |token| token.is("por"))? && scene.ahead.is(run.words + 1, |token| token.is("ciento"))?;
    let prose = counted || run.counts_something(scene.ahead)?;
    let counts = counted || run.is_of_things(scene.ahead)?;
    if !counted
        && !quantity
        && let Some(entity) = said_again(scene, run)
    {
        return Ok(Some(Match::new(entity, confidence(entity, run), run.words)));
    }
    let look =
        Look { quantity, counted, counts, prose, spelled: is_spelled(run), leads_in: scene.leads_in(), announced: scene.is_announced() };
    for said in scene.live() {
        if scene.is_given(&said, seq, start_ms) {
            continue;
        }
        let Some(place) = place(scene, run, &look, &said)? else { continue };
        if place != Place::Awaited && [Cue::Password, Cue::AskedPassword].contains(&said.cue) {
            continue;
        }
        match meaning(&said, run, place != Place::Later) {
            Meaning::Of(entity, whole) => {
                let entity = if said.cue == Cue::LastFour && scene.hears(&[Cue::Ssn]) { Entity::Ssn } else { entity };
                let (begins, gives) = if whole { (None, Some(said.cue)) } else { (Some(said.cue), None) };
                let told = said.told + total;
                return Ok(Some(Match { begins, told, gives, ..Match::new(entity, confidence(entity, run), run.words) }));
            }
            Meaning::Harmless => return Ok(None),
            Meaning::Other => {}
        }
    }
    if let Some((entity, rested)) = goes_on_from(scene)
        && !counts
        && !(rested && (quantity || total < 2 || prose || is_time(&run.digits) || !ends_turn(scene.ahead, run)?))
        && (ends_turn(scene.ahead, run)? || run.after_aside(scene.ahead)?.is_some())
    {
        return Ok(Some(Match::new(entity, confidence(entity, run), run.words)));
    }
    if (total >= 2 || run.after_aside(scene.ahead)?.is_some())
        && !counted
        && let Some(cue) = cue_after(scene.ahead, run.end_after_asides(scene.ahead)?)?
        && let Meaning::Of(entity, _) =
            meaning(&Said { cue, speaker: scene.speaker, seq, end_ms: start_ms, strength: Strength::Named, told: 0 }, run, total < 3)
    {
        return Ok(Some(Match::new(entity, confidence(entity, run), run.words)));
    }
    if total < BARE_DIGITS_MIN
        || is_series(run)
        || is_round(run)
        || is_date(&run.digits) && !is_birth_year(run.digits.get(4..).unwrap_or_default())
        || (quantity && run.parts.len() == 1)
    {
        return Ok(None);
    }
    if is_date(&run.digits) && is_birth_year(&run.digits[4..]) {
        return Ok(Some(Match::new(Entity::DateOfBirth, Confidence::Shape, run.words)));
    }
    let entity = by_length(&run.digits);
    let (begins, gives) = match (entity, total) {
        (Entity::Phone, ..=9) => (Some(Cue::Phone), None),
        (Entity::Phone, _) => (None, Some(Cue::Phone)),
        _other => (None, None),
    };
    Ok(Some(Match { begins, told: total, gives, ..Match::new(entity, confidence(entity, run), run.words) }))
}

/// What the words around a number make of it.
struct Look {
    /// How many, how much, when, which room.
    quantity: bool,
    /// A unit or a ratio comes after it.
    counted: bool,
    /// So does anything that can be counted.
    counts: bool,
    /// So does the rest of a sentence.
    prose: bool,
    /// Figure by figure.
    spelled: bool,
    /// The turn began as answers do.
    leads_in: bool,
    /// Or with so little else before a joint that it is as good.
    announced: bool,
}

/// Where a number stands that a cue may mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where it is awaited.
    Awaited,
    /// Where what was begun goes on.
    GoesOn,
    /// Some time after the cue.
    Later,
}

/// Where the number stands for `said`; `None` if there it is a quantity. The nearer it is awaited, the less it has to look like a secret.
fn place(scene: &Scene<'_>, run: &Run, look: &Look, said: &Said) -> Found<Place> {
    let total = run.digits.len();
    let Look { quantity, counted, counts, prose, spelled, leads_in, announced } = *look;
    let leads_in = leads_in || announced && said.speaker != scene.speaker;
    let awaited = scene.awaits(said);
    let begun = said.strength == Strength::Begun;
    if awaited && scene.own_cue_just_ended(&[said.cue]).is_some() {
        let fits = !(counted || counts && total <= 3 || prose && total == 1 || quantity && run.parts.len() == 1 && total <= 2);
        return Ok(fits.then_some(if begun { Place::GoesOn } else { Place::Awaited }));
    }
    // Nothing but "it's" and its like stands before it.
    if awaited && !begun && said.speaker != scene.speaker && leads_in {
        let fits = !quantity && !counts && !(prose && (total <= 2 || is_time(&run.digits) && run.parts.len() == 2));
        return Ok(fits.then_some(Place::Awaited));
    }
    let due = awaited && !begun && scene.is_due(said);
    if due || begun && awaited && (scene.goes_on() || scene.turn_joins() && ends_turn(scene.ahead, run)?) {
        // After a word that no answer begins with, it has to look like one.
        let strange = due && !leads_in && !scene.turn().any(|past| past.seq == said.seq);
        let code = said.cue == Cue::Cvv;
        let short = run.parts.len() < 2 && (total < if code { 3 } else { 4 } || !code && run.parts.iter().any(|part| part.cardinal));
        let odd = strange && (total <= 2 && counts || short && run.after_aside(scene.ahead)?.is_none() || is_year(&run.digits));
        // Whoever was told to go on says the rest first, and what he likes after it.
        let first = begun && scene.turn().next().is_none();
        let fits = !quantity && !counts && !odd && (!prose || spelled && total >= 3 || first);
        return Ok(fits.then_some(if due { Place::Awaited } else { Place::GoesOn }));
    }
    let fits = !quantity
        && !prose
        && spelled
        && (total >= 4 || run.parts.len() >= 3)
        && run.parts.iter().all(|part| !part.cardinal)
        && !is_time(&run.digits)
        && !is_year(&run.digits);
    Ok(fits.then_some(if begun && awaited { Place::GoesOn } else { Place::Later }))
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

/// `awaited`: it stands where the cue awaits it, so that it need be neither as long as it should nor as short.
fn meaning(said: &Said, run: &Run, awaited: bool) -> Meaning {
    let total = run.digits.len();
    // Second thoughts make a number longer.
    let most = |digits: usize| if run.corrected || awaited { digits * 2 + 2 } else { digits };
    if said.cue == Cue::Harmless {
        return if total < CARD_DIGITS_MIN { Meaning::Harmless } else { Meaning::Other };
    }
    // A PAN is of letters and figures: no number by itself.
    let number = of(said.cue).filter(|_| said.cue != Cue::Pan);
    let Some(Number { entity, least, whole, longest }) = number else { return Meaning::Other };
    // 211, 911 and 988 are everybody's.
    if said.cue == Cue::Phone && matches!(run.digits.as_bytes(), [b'2'..=b'9', b'1', b'1'] | b"988") {
        return Meaning::Other;
    }
    let (least, longest) = (if awaited { 1 } else { least }, most(longest));
    // Four digits of a longer number are seldom all that is said in a breath; a year or a time is.
    if !awaited && whole >= 5 && (is_year(&run.digits) || is_time(&run.digits)) {
        return Meaning::Other;
    }
    if (least..=longest).contains(&total) { Meaning::Of(entity, said.told + total >= whole) } else { Meaning::Other }
}

/// Nothing of the same turn comes after it.
fn ends_turn(ahead: Ahead<'_>, run: &Run) -> Result<bool, More> {
    Ok(ahead.seen(run.words - 1, run.words).iter().any(|held| held.token.stops) || ahead.held(run.words)?.is_none_or(|next| next.rested))
}

/// Figure by figure, as nobody says how many: three or more of them, or written in one piece of four that is no year.
fn is_spelled(run: &Run) -> bool {
    let single = run.parts.iter().filter(|part| !part.cardinal && !part.dated).count();
    single >= 3 && single == run.parts.len()
        || run.parts.iter().any(|part| !part.cardinal && part.written && part.digits.len() >= 3)
        || single == run.parts.len() && single == 2 && run.digits.len() >= 3
        || run.parts.len() == 1 && run.digits.len() >= 2 && run.parts.iter().all(|part| part.repeated)
}

/// This speaker's last number was masked a few words ago, in the same turn.
fn goes_on_from(scene: &Scene<'_>) -> Option<(Entity, bool)> {
    // In the same turn, or after "and then" in the next.
    if scene.ahead.seen(0, 1).first()?.rested || !scene.goes_on() {
        return None;
    }
    let mut rests = 0;
    for past in scene.past.iter().rev().take(CLAUSE_WORDS_MAX) {
        if past.masked.is_some() {
            let number = past.token.is_numeric() || past.token.kind == Kind::Oh;
            return past.masked.filter(|_| number).map(|entity| (entity, rests > 0));
        }
        rests += usize::from(past.rested);
        if rests > 1 || past.cue.is_some() || past.token.may_be_numeric() {
            return None;
        }
    }
    None
}

/// What the other speaker has just said, read back; or what this one has said, begun again.
fn said_again(scene: &Scene<'_>, run: &Run) -> Option<Entity> {
    let first = scene.ahead.seen(0, 1).first()?;
    let named = || scene.live().iter().find_map(|said| of(said.cue)).map_or(Entity::Phone, |number| number.entity);
    let digits = run.digits.as_bytes();
    if digits.len() >= 2 && first.others.recent(first.start_ms).is_some_and(|told| told.ends_with(digits)) {
        return Some(named());
    }
    let masked = scene.past.iter().rev().take(CLAUSE_WORDS_MAX).find_map(|past| past.masked.filter(|_| past.token.may_be_numeric()))?;
    let begins = digits.get(..3)?;
    first.own.recent(first.start_ms).is_some_and(|told| told.windows(3).any(|three| three == begins)).then_some(masked)
}

/// What a cue for a number awaits.
struct Number {
    entity: Entity,
    /// Fewer digits are none, where it is not awaited.
    least: usize,
    /// So many may be all of it.
    whole: usize,
    /// More are none.
    longest: usize,
}

/// `None`: no number answers it.
const fn of(cue: Cue) -> Option<Number> {
    let (entity, least, whole, longest) = match cue {
        Cue::Iban => (Entity::Iban, 6, 15, 34),
        Cue::Card => (Entity::CardNumber, 4, 15, 19),
        Cue::Cvv => (Entity::Cvv, 3, 3, 4),
        Cue::Expiry => (Entity::Expiry, 3, 3, 6),
        Cue::LastFour => (Entity::CardNumber, 4, 4, 4),
        Cue::Account => (Entity::BankAccount, 4, 8, 17),
        Cue::Routing => (Entity::RoutingNumber, 4, 9, 9),
        Cue::Ssn => (Entity::Ssn, 4, 9, 9),
        Cue::Itin => (Entity::Itin, 4, 9, 9),
        Cue::Pin => (Entity::Pin, 3, 4, 12),
        Cue::OneTimeCode => (Entity::OneTimeCode, 3, 5, 10),
        Cue::Password | Cue::AskedPassword => (Entity::Password, 3, 3, 12),
        Cue::Birth => (Entity::DateOfBirth, 4, 6, 8),
        Cue::Phone => (Entity::Phone, 7, 10, 15),
        Cue::Record => (Entity::MedicalRecord, 4, 6, 14),
        Cue::Aadhaar => (Entity::Aadhaar, 4, 12, 12),
        Cue::Pan => (Entity::Pan, 4, 10, 10),
        Cue::Zip => (Entity::Address, 3, 5, 9),
        Cue::Figures => (Entity::OneTimeCode, 3, 3, 10),
        Cue::Address | Cue::Name | Cue::AskedName | Cue::Harmless | Cue::Else | Cue::Turned => return None,
    };
    Some(Number { entity, least, whole, longest })
}

/// What "… is my PIN" says of the number before it.
pub(super) fn cue_after(ahead: Ahead<'_>, at: usize) -> Found<Cue> {
    let joint = ["is", "es", "thats", "was", "its", "fue", "ese", "that", "for", "as", "de", "on", "como"];
    let stops = ahead.seen(at.saturating_sub(1), at).iter().any(|held| held.token.stops);
    if stops || !ahead.held(at)?.is_some_and(|held| !held.rested && held.token.is_any(&joint)) {
        return Ok(None);
    }
    let mut words = Vec::new();
    for n in 1..=AFTER_WORDS_MAX {
        let Some(held) = ahead.held(at + n)? else { break };
        let token = &held.token;
        if token.may_be_numeric() || held.rested {
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
    if run.is_before(scene.ahead, |token| token.is_any(UNITS))? {
        return Ok(true);
    }
    if is_series(run) {
        return Ok(true);
    }
    let total = run.digits.len();
    // "six or seven", "three to four": and "twenty-four seven" is round the clock.
    let range =
        scene.ahead.is(run.words, |token| token.is_any(&["or", "to", "o", "a"]))? && scene.ahead.is(run.words + 1, Token::is_numeric)?;
    let few = run.parts.len() == 1 && total <= 2;
    let of_more = run.parts.len() == 1 && run.is_before(scene.ahead, |token| token.is_any(&["of", "de"]))?;
    // "4821 of course" and "in my room it's 4821" may be all that was asked for.
    let whole = scene.live().iter().any(|said| of(said.cue).is_some_and(|number| total >= number.whole) && scene.awaits(said));
    let of_a_thing = of_more
        && total <= 4
        && !whole
        && scene
            .ahead
            .held(run.words + 1)?
            .is_some_and(|held| held.cue.is_none() && held.token.kind == Kind::Plain && !is_function(&held.token.folded));
    // "the three on the strip", "el veinticuatro".
    let led_by = |words: &[&str]| scene.lead().is_some_and(|token| token.is_any(words));
    let of_them = few
        && led_by(&["the", "los", "las", "those"])
        && scene.ahead.is(run.words, |token| token.is_any(&["on", "of", "de", "that", "in", "at"]))?;
    let day = few
        && led_by(&["el"])
        && !scene.before(2).is_some_and(|token| token.is_any(&["es", "sea", "era", "son", "fue"]))
        && run.after_aside(scene.ahead)?.is_none();
    let measure = led_by(RATIOS) && scene.before(2).is_some_and(Token::may_be_numeric)
        || !whole && scene.sentence().take(3).any(|past| past.token.is_any(&["room", "cuarto", "salon", "lugar"]));
    if of_a_thing || of_them || day || measure {
        return Ok(true);
    }
    if of_more && few || range && total <= 4 || run.digits == "247" && run.parts.iter().map(|part| part.digits.len()).eq([2, 1]) {
        return Ok(true);
    }
    let cued = scene.sentence().next().is_some_and(|past| past.cue.is_some());
    let led = !cued && scene.lead().is_some_and(|token| token.is_any(LEADS));
    if led && total <= 4 && run.parts.iter().all(|part| !part.dated) {
        return Ok(true);
    }
    if led
        && scene.sentence().take(2).any(|past| past.token.is_any(&["ages", "age", "aged", "edades"]))
        && run.parts.iter().all(|part| part.digits.len() <= 2)
    {
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

/// "tres o cuatro": the "o" is no nought.
fn is_either(ahead: Ahead<'_>, run: &Run) -> Result<bool, More> {
    let neighbours = matches!(run.digits.as_bytes(), [low, b'0', high] if *high == low + 1);
    Ok(run.parts.len() == 3 && neighbours && ahead.is(run.words - 2, |token| token.is("o"))?)
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

/// A year in which people who call were born; nobody makes an appointment in it.
pub(super) fn is_birth_year(year: &str) -> bool {
    year.len() == 4 && year.parse().is_ok_and(|year: u32| (1900..2013).contains(&year))
}

/// Kinds of word that a partial result shows as bullets, whatever they may become.
pub(super) fn is_shown_as_bullets(token: &Token) -> bool {
    token.may_be_numeric() || matches!(token.kind, Kind::Email | Kind::Mixed)
}
