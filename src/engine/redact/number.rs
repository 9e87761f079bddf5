//! A number as people read it out: digit by digit, in pairs, with "double" and "triple", as cardinals, in digits as
//! written, in English or Spanish or both, with sighs and second thoughts in the middle.

use super::ahead::{Ahead, Found, Held, More};
use super::cue::{CUE_WORDS_MAX, Cue};
use super::lexicon::{LEADS, RATIOS, UNITS, is_function};
use super::rules::{THEN_WORDS_MAX, TO_QUANTITIES};
use super::token::{Kind, Token};

/// Words that are no part of a number may stand between two that are, this many in a row.
pub const BRIDGE_WORDS_MAX: usize = 8;
/// Words of any kind may stand between two parts of a number that is not whole yet, this many in a row.
const ASIDE_WORDS_MAX: usize = 13;
/// Words that make a sentence of what goes on after a number.
const PROSE_WORDS_MIN: usize = 2;
/// Asides in one number.
const ASIDES_MAX: usize = 4;
/// Digits of the numbers that need no cue.
const WHOLE_DIGITS: [usize; 5] = [9, 10, 12, 15, 16];
const SHORTEST_DIGITS: usize = WHOLE_DIGITS[0];
/// And with what was taken back.
const WHOLE_DIGITS_MAX: usize = 18;
/// Whoever has said more needs nobody to tell that it is a number.
const JOINED_DIGITS_MAX: usize = 13;

/// A piece of a number that was said in one breath: "four", "forty-one", "four thousand one hundred eleven", "4111".
#[derive(Clone)]
pub(super) struct Part {
    pub(super) digits: String,
    /// Said with hundred, thousand or million, or written "1,250".
    pub(super) cardinal: bool,
    /// Written with slashes.
    pub(super) dated: bool,
    /// In digits.
    pub(super) written: bool,
    /// With "double" or "triple".
    pub(super) repeated: bool,
    /// Where it begins, and how many words it has.
    pub(super) from: usize,
    pub(super) words: usize,
    /// A pause or a word that is no number comes before it.
    pub(super) apart: bool,
}

/// "one second" is no quantity where digits follow.
const WAITS: [&str; 12] =
    ["second", "sec", "moment", "minute", "just", "hang", "segundo", "segundito", "momento", "momentito", "more", "mas"];
/// After a number that says how many there are somewhere.
const PLACES: &[&str] = &["in", "on", "of", "at", "en", "de", "por"];
/// A whole number, as far as it goes.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) digits: String,
    pub(super) parts: Vec<Part>,
    /// To the end of its last part.
    pub(super) words: usize,
    /// The speaker took something back.
    pub(super) corrected: bool,
}

impl Run {
    /// The number that begins `from` words on.
    pub(super) fn read(ahead: Ahead<'_>, from: usize) -> Found<Self> {
        Self::read_whole(ahead, from, usize::MAX)
    }

    /// The same. Where the speaker has rested after `whole` digits, only more of them go on, and nothing else after them.
    pub(super) fn read_whole(ahead: Ahead<'_>, from: usize, whole: usize) -> Found<Self> {
        let mut run = Self { digits: String::new(), parts: Vec::new(), words: from, corrected: false };
        let (mut at, mut bridge, mut corrected) = (from, 0, false);
        loop {
            if let Some(mut part) = part(ahead, at, run.parts.last().is_some())? {
                let rests = run.digits.len() >= whole && ahead.seen(run.words, at + 1).iter().any(|held| held.rested);
                // "Son tres hojas" and "it's like six or seven" are sentences of their own.
                let turns = at > from && ahead.seen(run.words, at + 1).iter().any(|held| held.rested);
                if turns && begins_a_sentence(ahead, at, at + part.words)? {
                    break;
                }
                if rests && (bridge > 1 || !rests_after(ahead, at)?) {
                    break;
                }
                part.apart = bridge > 0 || (at > from && ahead.is(at - 1, |token| token.pauses)?);
                run.digits.push_str(&part.digits);
                at += part.words;
                run.words = at;
                run.corrected |= corrected;
                bridge = 0;
                run.parts.push(part);
            } else if !run.parts.is_empty() && bridge < BRIDGE_WORDS_MAX && goes_on(ahead, at)? {
                corrected |= ahead.is(at, takes_back)?;
                bridge += 1;
                at += 1;
            } else {
                break;
            }
        }
        Ok((!run.parts.is_empty()).then_some(run))
    }

    /// This number and what follows after asides of any words ("let me look", "somebody's at the door"), if all together have as many
    /// digits as the numbers that everybody knows, or what follows has them and begins again.
    pub(super) fn joined(&self, ahead: Ahead<'_>) -> Found<Self> {
        if !self.is_figures()
            || self.digits.len() >= JOINED_DIGITS_MAX
            || self.is_before(ahead, |token| token.is_any(UNITS) || token.is_any(RATIOS))?
            || self.digits.len() <= 2 && self.is_of_things(ahead)?
        {
            return Ok(None);
        }
        // Whoever was interrupted may have begun again: twice as many digits are no other number.
        let mut joined = Self { digits: self.digits.clone(), parts: self.parts.clone(), words: self.words, corrected: true };
        let (mut found, mut told, mut strong) = (None, self.digits.len(), self.strong_digits());
        for _ in 0..ASIDES_MAX {
            let Some(next) = joined.after_aside(ahead)? else { break };
            let first = next.parts.first().map_or(next.words, |part| part.from);
            let rests = ahead.seen(joined.words, first + 1).iter().any(|held| held.rested);
            if rests && (joined.strong_digits() < joined.digits.len() || next.strong_digits() == 0 && next.parts.len() < 2) {
                break;
            }
            let again = next.digits.starts_with(&self.digits) && WHOLE_DIGITS.contains(&next.digits.len());
            strong = if again { next.strong_digits() } else { strong + next.strong_digits() };
            told = if again { next.digits.len() } else { told + next.digits.len() };
            if told > WHOLE_DIGITS_MAX {
                break;
            }
            joined.digits.push_str(&next.digits);
            joined.words = next.words;
            joined.parts.extend(next.parts);
            // With what was taken back it has a digit or two too many; so many figures, one by one, count nothing.
            let figures = strong == told && told >= SHORTEST_DIGITS;
            if figures || WHOLE_DIGITS.contains(&told) && (told > 10 || self.digits.len() < 7) && strong * 3 >= told * 2 {
                found = Some(joined.clone());
            }
        }
        Ok(found)
    }

    /// The number that comes next, and counts nothing.
    pub(super) fn after_aside(&self, ahead: Ahead<'_>) -> Found<Self> {
        self.after_aside_at(ahead, ASIDES_MAX)
    }

    fn after_aside_at(&self, ahead: Ahead<'_>, depth: usize) -> Found<Self> {
        // "I'm on the phone" tells of no number; "my phone is" does.
        let (mut turn_words, mut cued) = (None, false);
        for at in self.words..self.words + ASIDE_WORDS_MAX {
            let Some(held) = ahead.held(at)? else { return Ok(None) };
            let token = &held.token;
            if held.rested {
                turn_words = Some(0);
            }
            if let Some(next) = Self::read(ahead, at)? {
                let no_more = |token: &Token| {
                    token.is_any(&WAITS) || token.is_any(UNITS) || token.is_any(RATIOS) || matches!(token.kind, Kind::Month(_))
                };
                let led = at > self.words
                    && ahead.is(at - 1, |token| {
                        (token.is_any(TO_QUANTITIES) || token.is_any(LEADS) || token.is("el") && next.digits.len() <= 2)
                            && !token.is_any(&["have", "tengo", "over", "under"])
                    })?;
                let of_month = ahead.is(next.words + 1, |token| matches!(token.kind, Kind::Month(_)))?;
                let dated = led || of_month || next.digits == "247" || ahead.is(next.words, no_more)?;
                let own = cued && ahead.seen(self.words, at).iter().rev().take(CUE_WORDS_MAX).any(|held| held.token.announces());
                let own = own || ahead.seen(at.saturating_sub(1), at).iter().any(is_named);
                let far = turn_words.is_some_and(|words| words > THEN_WORDS_MAX) && next.parts.len() < 3 && next.digits.len() < 5;
                return Ok(
                    (at > self.words && !own && !far && !dated && next.is_figures() && !next.is_counted(ahead, depth)?).then_some(next)
                );
            }
            cued |= is_named(held);
            turn_words = turn_words.map(|words: usize| words + 1);
            // Whoever has begun with four figures and more may say a sentence before he goes on.
            let begun = self.digits.len() >= 4 && self.strong_digits() > 0;
            let far = !begun && turn_words.is_some_and(|words| words > THEN_WORDS_MAX);
            if far || token.is_any(UNITS) || token.has_digits() || matches!(token.kind, Kind::Month(_) | Kind::Letter(_)) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// The same, where the figure that follows is no part of a number either: "20 of Lasix, 40 of Lipitor".
    pub(super) fn counts_something(&self, ahead: Ahead<'_>) -> Result<bool, More> {
        self.counts_at(ahead, ASIDES_MAX)
    }

    fn counts_at(&self, ahead: Ahead<'_>, depth: usize) -> Result<bool, More> {
        if self.is_in_prose(ahead)? {
            return Ok(true);
        }
        let goes_on = !ahead.seen(self.words - 1, self.words).iter().any(|held| held.token.pauses)
            && ahead.held(self.words)?.is_some_and(|next| !next.rested && next.token.kind != Kind::Bridge);
        for at in self.words..self.words + ASIDE_WORDS_MAX {
            let Some(held) = ahead.held(at)? else { break };
            if held.rested {
                break;
            }
            if held.token.may_be_numeric() {
                return Ok(goes_on && depth > 0 && self.after_aside_at(ahead, depth - 1)?.is_none());
            }
        }
        Ok(false)
    }

    /// Whether a sentence goes on after it, without a pause and without another figure: it counts something, or tells when.
    pub(super) fn is_in_prose(&self, ahead: Ahead<'_>) -> Result<bool, More> {
        if ahead.seen(self.words - 1, self.words).iter().any(|held| held.token.pauses) {
            return Ok(false);
        }
        let (mut plain, mut words) = (false, 0);
        for at in self.words..self.words + ASIDE_WORDS_MAX {
            let Some(held) = ahead.held(at)? else { break };
            if held.rested {
                break;
            }
            if held.token.may_be_numeric() && !held.token.is_any(&["one", "once", "o"]) {
                return Ok(at == self.words || ahead.is(self.words, |token| token.is_any(UNITS) || token.is_any(RATIOS))?);
            }
            // "for the PIN" says what it was.
            if held.cue.is_some() && at < self.words + CUE_WORDS_MAX {
                return Ok(false);
            }
            plain |= held.token.kind != Kind::Bridge && held.token.kind != Kind::Mark;
            words += 1;
        }
        // A word or two after it are an answer to what the other murmurs.
        Ok(plain && words >= PROSE_WORDS_MIN)
    }

    /// Where the last number of the turn ends that goes on with it.
    pub(super) fn end_after_asides(&self, ahead: Ahead<'_>) -> Result<usize, More> {
        let mut end = self.words;
        let mut last = self.clone();
        for _ in 0..ASIDES_MAX {
            let Some(next) = last.after_aside(ahead)? else { break };
            if ahead.seen(end, next.words).iter().any(|held| held.rested) {
                break;
            }
            end = next.words;
            last = next;
        }
        Ok(end)
    }

    /// Whether the next word of the same breath is such a one.
    pub(super) fn is_before(&self, ahead: Ahead<'_>, test: impl Fn(&Token) -> bool) -> Result<bool, More> {
        let stops = ahead.seen(self.words - 1, self.words).iter().any(|held| held.token.stops);
        Ok(!stops && ahead.held(self.words)?.is_some_and(|held| !held.rested && test(&held.token)))
    }

    /// "8 stairs", unless another figure goes on with it.
    pub(super) fn is_of_things(&self, ahead: Ahead<'_>) -> Result<bool, More> {
        self.is_counted(ahead, ASIDES_MAX)
    }

    /// Whether it counts what the next words name, and no other figure goes on with it.
    fn is_counted(&self, ahead: Ahead<'_>, depth: usize) -> Result<bool, More> {
        let mut named = false;
        for at in self.words..self.words + CUE_WORDS_MAX {
            named |= ahead.held(at)?.is_some_and(|held| held.cue.is_some());
        }
        if self.digits.len() <= 2 && !named && self.is_before(ahead, |token| token.is_any(PLACES))? {
            return Ok(true);
        }
        if !self.counts(ahead)? {
            return Ok(false);
        }
        let next = if depth == 0 { None } else { self.after_aside_at(ahead, depth - 1)? };
        let rests = |next: &Self| ahead.seen(self.words, next.parts.first().map_or(0, |part| part.from) + 1).iter().any(|held| held.rested);
        Ok(next.is_none_or(|next| rests(&next)))
    }

    /// Digits that nobody counts or tells a time with.
    fn strong_digits(&self) -> usize {
        let single = self.parts.iter().all(|part| part.digits.len() != 2);
        let grouped = self.groups().iter().all(|group| group.len() >= 3);
        let digits = self.digits.len();
        if digits >= 3 && (single || grouped) && !is_year(&self.digits) { digits } else { 0 }
    }

    /// Said figure by figure, or in pairs.
    fn is_figures(&self) -> bool {
        self.parts.iter().all(|part| !part.cardinal && !part.dated)
    }

    /// Whether the next word is what is counted: it follows at once and is none that sentences are joined with.
    pub(super) fn counts(&self, ahead: Ahead<'_>) -> Result<bool, More> {
        let pauses = ahead.seen(self.words - 1, self.words).iter().any(|held| held.token.pauses);
        let Some(next) = ahead.held(self.words)? else { return Ok(false) };
        Ok(!pauses && !next.rested && next.cue.is_none() && next.token.kind == Kind::Plain && !is_function(&next.token.folded))
    }

    /// The digits said in the first breath, and where it ends.
    pub(super) fn breath(&self, ahead: Ahead<'_>) -> (String, usize) {
        let mut digits = String::new();
        let mut end = 0;
        for part in &self.parts {
            let rests = ahead.seen(end, part.from + 1).iter().any(|held| held.rested);
            let stops = ahead.seen(end.saturating_sub(1), part.from).iter().any(|held| held.token.stops);
            if end > 0 && (rests || stops) {
                break;
            }
            digits.push_str(&part.digits);
            end = part.from + part.words;
        }
        (digits, end)
    }

    /// Where the last of several groups begins to be another number: the end of the one before it.
    pub(super) fn before_last_group(&self) -> Option<usize> {
        let last = self.parts.iter().rposition(|part| part.apart).filter(|last| *last > 0)?;
        self.parts.get(last - 1).map(|part| part.from + part.words)
    }

    /// The digits of its pieces, cut where the speaker paused.
    pub(super) fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for part in &self.parts {
            match groups.last_mut() {
                Some(group) if !part.apart => group.push_str(&part.digits),
                Some(_) | None => groups.push(part.digits.clone()),
            }
        }
        groups
    }
}

/// Four digits that are more often a year.
pub(super) fn is_year(digits: &str) -> bool {
    digits.len() == 4 && digits.parse().is_ok_and(|year: u32| (1900..2070).contains(&year))
}

/// Whether it names some other number: "ending in" and "the numbers" are of the same.
const fn is_named(held: &Held) -> bool {
    matches!(held.cue, Some(cue) if !matches!(cue, Cue::LastFour | Cue::Figures))
}

/// Whether what follows the number that ends `at` makes it a quantity.
fn begins_a_sentence(ahead: Ahead<'_>, from: usize, at: usize) -> Result<bool, More> {
    // "Del uno al diez", "it's twenty-four seven".
    let of = from > 0 && ahead.is(from - 1, |token| token.is_any(&["del", "de"]))?;
    if of || ahead.is(from, |token| matches!(token.kind, Kind::Teen(24)))? && ahead.is(at, |token| token.kind == Kind::Unit(7))? {
        return Ok(true);
    }
    let pauses = ahead.seen(at - 1, at).iter().any(|held| held.token.pauses);
    let Some(next) = ahead.held(at)?.filter(|next| !pauses && !next.rested) else { return Ok(false) };
    let range = next.token.is_any(&["or", "o", "to", "of", "de"]);
    Ok(range || next.token.is_any(UNITS) || next.token.kind == Kind::Plain && !is_function(&next.token.folded))
}

/// Whether the turn that begins `at` says nothing but digits.
fn rests_after(ahead: Ahead<'_>, at: usize) -> Result<bool, More> {
    for n in at..at + TURN_DIGITS_MAX {
        match ahead.held(n)? {
            Some(held) if n == at || !held.rested => {
                if !held.token.may_be_numeric() && held.token.kind != Kind::Bridge {
                    return Ok(false);
                }
            }
            Some(_) | None => break,
        }
    }
    Ok(true)
}

/// Words of such a turn that are looked at.
const TURN_DIGITS_MAX: usize = 8;

/// Whether a number may go on after this word, which is none of its own.
pub(super) fn goes_on(ahead: Ahead<'_>, at: usize) -> Result<bool, More> {
    if ahead.is(at, |token| token.is("one"))? {
        return is_waited_for(ahead, at);
    }
    // "101 point three" is a measure.
    if ahead.is(at, |token| token.is_any(RATIOS))? {
        return Ok(false);
    }
    // "a ver" is a sigh; "de seis a nueve" is no number.
    if ahead.is(at, |token| token.is("a"))? {
        return ahead.is(at + 1, |next| next.is("ver"));
    }
    // "el doce del tres del ochenta y cuatro".
    if ahead.is(at, |token| token.is("del"))? {
        return ahead.is(at + 1, |next| next.is_numeric() || next.kind == Kind::Once);
    }
    if ahead.is(at, |token| token.is("o"))? && ahead.is(at + 1, |next| next.is("sea"))? {
        return Ok(true);
    }
    ahead.is(at, |token| matches!(token.kind, Kind::Bridge | Kind::Separator | Kind::Mark | Kind::Oh) || token.is_any(&WAITS))
}

/// "one moment", where no figure comes before; "that one is", "the right one", where no figure comes next.
fn is_pronoun(ahead: Ahead<'_>, at: usize) -> Result<bool, More> {
    if !ahead.is(at, |token| token.is("one"))? {
        return Ok(false);
    }
    let described = at > 1 && ahead.is(at - 1, |token| token.kind == Kind::Plain)? && ahead.is(at - 2, Token::leads_to_one)?;
    let led = described || at > 0 && ahead.is(at - 1, Token::leads_to_one)?;
    let waits = (at == 0 || !ahead.is(at - 1, Token::may_be_numeric)?) && is_waited_for(ahead, at)?;
    Ok(waits || led && !ahead.is(at + 1, Token::may_be_numeric)?)
}

fn is_waited_for(ahead: Ahead<'_>, one: usize) -> Result<bool, More> {
    ahead.is(one + 1, |next| next.is_any(&["moment", "second", "sec", "minute"]))
}

fn takes_back(token: &Token) -> bool {
    token.is_any(&[
        "no",
        "wait",
        "sorry",
        "actually",
        "correction",
        "scratch",
        "mean",
        "oops",
        "pardon",
        "excuse",
        "perdon",
        "digo",
        "perdona",
        "perdone",
        "disculpe",
        "espere",
        "espera",
        "decir",
    ])
}

/// The part of a number at `at`; `inside`: a number is being read already.
fn part(ahead: Ahead<'_>, at: usize, inside: bool) -> Found<Part> {
    let Some(token) = ahead.at(at)? else { return Ok(None) };
    let plain = |digits: String, words| Part {
        digits,
        cardinal: false,
        dated: false,
        written: token.has_digits(),
        repeated: matches!(token.kind, Kind::Repeat(_)),
        from: at,
        words,
        apart: false,
    };
    if let Kind::Digits(digits) = &token.kind
        && (digits.len() > 3 || !ahead.is(at + 1, magnifies)?)
    {
        return Ok(Some(plain(digits.clone(), 1)));
    }
    if let Kind::Dated(digits) = &token.kind {
        return Ok(Some(Part { dated: true, ..plain(digits.clone(), 1) }));
    }
    if let Kind::Grouped(digits) = &token.kind {
        return Ok(Some(Part { cardinal: true, ..plain(digits.clone(), 1) }));
    }
    if let Kind::Repeat(times) = token.kind {
        return Ok(repeated(ahead, at, usize::from(times))?.map(|(digits, words)| plain(digits, words)));
    }
    if is_pronoun(ahead, at)? {
        return Ok(None);
    }
    // "o sea" is a sigh as well.
    if token.is("o") && ahead.is(at + 1, |next| next.is("sea"))? {
        return Ok(None);
    }
    if matches!(token.kind, Kind::Oh | Kind::Once) {
        let digits = if token.kind == Kind::Oh { "0" } else { "11" };
        return Ok((inside || leads_to_number(ahead, at)?).then(|| plain(digits.to_owned(), 1)));
    }
    if !token.is_numeric() {
        return Ok(None);
    }
    let (value, words, cardinal) = cardinal(ahead, at)?;
    Ok(Some(Part { cardinal, ..plain(value.to_string(), words) }))
}

/// Fillers between an "oh" and the next digit.
const SIGHS_MAX: usize = 4;

/// Whether an "oh" or a "once" begins a number: one follows, perhaps after a filler or two.
fn leads_to_number(ahead: Ahead<'_>, at: usize) -> Result<bool, More> {
    let mut next = at + 1;
    if ahead.is(next, |token| token.is_any(&["okay", "ok", "yes", "yeah", "sure", "right", "well"]))? {
        return Ok(false);
    }
    while next <= at + SIGHS_MAX && ahead.is(next, |token| token.kind == Kind::Bridge)? {
        next += 1;
    }
    ahead.is(next, |token| token.is_numeric() || matches!(token.kind, Kind::Oh | Kind::Separator))
}

fn magnifies(token: &Token) -> bool {
    matches!(token.kind, Kind::Hundred | Kind::Thousand | Kind::Million)
}

/// "double four", "triple oh", "double eleven", "double 4".
fn repeated(ahead: Ahead<'_>, at: usize, times: usize) -> Found<(String, usize)> {
    let Some(token) = ahead.at(at + 1)? else { return Ok(None) };
    let digits = if token.kind == Kind::Oh {
        "0".to_owned()
    } else if let Kind::Unit(digit) | Kind::Teen(digit) | Kind::Tens(digit) = token.kind {
        digit.to_string()
    } else if let Kind::Digits(digits) = &token.kind {
        digits.clone()
    } else {
        return Ok(None);
    };
    // "triple 555" is written by recognisers that were told "triple five".
    let digits = if digits.len() == times && digits.len() > 1 { digits } else { digits.repeat(times) };
    Ok(Some((digits, 2)))
}

/// The value at `at`, how many words it takes, and whether a magnitude was said.
fn cardinal(ahead: Ahead<'_>, at: usize) -> Result<(u64, usize, bool), More> {
    let (mut total, mut words, mut magnified) = (0u64, 0, false);
    if !ahead.is(at, |token| matches!(token.kind, Kind::Thousand | Kind::Million))? {
        (total, words, magnified) = below_thousand(ahead, at)?;
    }
    for (magnitude, kind) in [(1_000_000, Kind::Million), (1_000, Kind::Thousand)] {
        if !ahead.is(at + words, |token| token.kind == kind)? {
            continue;
        }
        magnified = true;
        words += 1;
        let (head, low) = if magnitude == 1_000 { (total / 1_000_000 * 1_000_000, total % 1_000_000) } else { (0, total) };
        total = head + low.max(1) * magnitude;
        let and = usize::from(ahead.is(at + words, |token| token.is("and"))?);
        if ahead.is(at + words + and, begins_below_thousand)? {
            let (rest, more, _) = below_thousand(ahead, at + words + and)?;
            let next_is_magnitude = ahead.is(at + words + and + more, |token| token.kind == Kind::Thousand)?;
            if magnitude == 1_000_000 && next_is_magnitude {
                total += rest * 1_000;
                words += and + more + 1;
                if ahead.is(at + words, begins_below_thousand)? {
                    let (rest, more, _) = below_thousand(ahead, at + words)?;
                    total += rest;
                    words += more;
                }
                break;
            }
            if !next_is_magnitude {
                total += rest;
                words += and + more;
            }
        }
    }
    Ok((total, words, magnified))
}

fn begins_below_thousand(token: &Token) -> bool {
    matches!(token.kind, Kind::Unit(_) | Kind::Teen(_) | Kind::Tens(_) | Kind::Hundreds(_) | Kind::Once)
}

fn below_thousand(ahead: Ahead<'_>, at: usize) -> Result<(u64, usize, bool), More> {
    let Some(token) = ahead.at(at)? else { return Ok((0, 0, false)) };
    if let Kind::Hundreds(hundreds) = token.kind {
        let (rest, words) = below_hundred(ahead, at + 1)?.unwrap_or((0, 0));
        return Ok((u64::from(hundreds) + rest, 1 + words, true));
    }
    let (value, words) = if token.kind == Kind::Hundred { (1, 0) } else { below_hundred(ahead, at)?.unwrap_or((0, 1)) };
    if !ahead.is(at + words, |token| token.kind == Kind::Hundred)? {
        return Ok((value, words, false));
    }
    let mut words = words + 1;
    let and = usize::from(ahead.is(at + words, |token| token.is("and"))?);
    let mut rest = 0;
    if let Some((more, more_words)) = below_hundred(ahead, at + words + and)? {
        // "eight hundred five five five" are six digits.
        let single = |token: &Token| matches!(token.kind, Kind::Unit(_) | Kind::Oh);
        let spelled = and == 0 && more < 10 && ahead.is(at + words + more_words, single)?;
        if !spelled {
            rest = more;
            words += and + more_words;
        }
    }
    Ok((value * 100 + rest, words, true))
}

/// "forty-one", "cuarenta y uno", "eleven", "seven", "12".
fn below_hundred(ahead: Ahead<'_>, at: usize) -> Found<(u64, usize)> {
    let Some(token) = ahead.at(at)? else { return Ok(None) };
    if let Kind::Unit(value) | Kind::Teen(value) = token.kind {
        return Ok(Some((u64::from(value), 1)));
    }
    if token.kind == Kind::Once {
        return Ok(Some((11, 1)));
    }
    if let Kind::Digits(digits) = &token.kind {
        return Ok(digits.parse().ok().map(|value| (value, 1)));
    }
    let Kind::Tens(tens) = token.kind else { return Ok(None) };
    if token.pauses {
        return Ok(Some((u64::from(tens), 1)));
    }
    let joint = usize::from(ahead.is(at + 1, |token| token.is("y"))?);
    let Some(next) = ahead.at(at + 1 + joint)? else { return Ok(Some((u64::from(tens), 1))) };
    if let Kind::Unit(unit @ 1..) = next.kind {
        return Ok(Some((u64::from(tens + unit), 2 + joint)));
    }
    Ok(Some((u64::from(tens), 1)))
}
