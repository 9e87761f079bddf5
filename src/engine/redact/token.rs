//! A word as the rules see it: folded to plain small letters, and known by what it can be part of.

use super::lexicon;

/// The longest word that is looked into; of a longer one the rules see this much, and it is masked where it has digits.
pub(super) const WORD_CHARS_MAX: usize = 128;

/// What a word can be part of.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Digits as written, without what stood between them.
    Digits(String),
    /// Digits with slashes, as dates are written.
    Dated(String),
    /// "1,250": a quantity, as written.
    Grouped(String),
    /// zero … nine.
    Unit(u8),
    /// ten … nineteen, and veintiuno … veintinueve: two digits in a word.
    Teen(u8),
    /// twenty … ninety.
    Tens(u8),
    /// ciento, doscientos … novecientos.
    Hundreds(u16),
    /// hundred.
    Hundred,
    /// thousand, mil.
    Thousand,
    /// million, millón.
    Million,
    /// "oh", a nought among numbers and a sigh elsewhere.
    Oh,
    /// "once", eleven among Spanish numbers and a time elsewhere.
    Once,
    /// double, triple.
    Repeat(u8),
    /// A letter by itself.
    Letter(char),
    /// Letters and digits in one word.
    Mixed,
    /// Written whole: with an @.
    Email,
    /// first … thirty-first, 1st … 31st.
    Ordinal(u8),
    /// A month's name.
    Month(u8),
    /// A price, time or percentage, as written: never part of a number.
    Guarded,
    /// dash, dot, slash, and their like.
    Separator,
    /// "uh", "okay", "sorry", "and": goes on in the middle of a number.
    Bridge,
    /// Nothing but punctuation.
    Mark,
    /// Any other.
    Plain,
}

/// Words that the rules know with their "'s".
const CONTRACTED_WHOLE: [&str; 12] = ["its", "thats", "whats", "hes", "shes", "whos", "wheres", "hows", "lets", "heres", "theres", "whens"];

/// A word, looked into.
#[derive(Clone)]
pub(super) struct Token {
    /// In small letters, without accents and outer punctuation.
    pub(super) folded: String,
    pub(super) kind: Kind,
    /// Capitals throughout, two or more.
    pub(super) shouts: bool,
    /// Begins with a capital.
    pub(super) capital: bool,
    /// A comma or a full stop comes after it.
    pub(super) pauses: bool,
    /// A full stop, question or exclamation mark comes after it.
    pub(super) stops: bool,
    /// A question mark.
    pub(super) asks: bool,
    /// "'s" ended it, and was taken from it: "my PIN's" tells what "my PIN is" does.
    pub(super) contracted: bool,
}

impl Token {
    pub(super) fn new(word: &str) -> Self {
        let word = word.trim();
        let word = word.char_indices().nth(WORD_CHARS_MAX).map_or(word, |(end, _)| &word[..end]);
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && !matches!(c, '$' | '€' | '£' | '₹' | '%' | '+' | '#' | '_' | '-'));
        let bare = bare.trim_matches(|c: char| matches!(c, '-' | '_' | '#'));
        let folded: String = bare.chars().flat_map(char::to_lowercase).filter_map(plain).collect();
        let base = bare.strip_suffix("'s").or_else(|| bare.strip_suffix("’s")).filter(|base| base.len() > 1);
        let contracted = base.is_some() && !CONTRACTED_WHOLE.contains(&folded.as_str());
        let folded = if contracted { folded[..folded.len() - 1].to_owned() } else { folded };
        let kind = kind(&folded);
        let last = word.chars().next_back().unwrap_or(' ');
        // "p.m." and "Mr." end no sentence.
        let short = folded.contains('.') || matches!(folded.as_str(), "mr" | "mrs" | "ms" | "dr" | "st" | "sr" | "sra");
        let stops = matches!(last, '?' | '!') || last == '.' && !short;
        let shouts = bare.chars().filter(|c| c.is_alphabetic()).count() > 1 && !bare.chars().any(char::is_lowercase);
        Self {
            kind,
            shouts,
            capital: bare.starts_with(char::is_uppercase),
            pauses: stops || matches!(last, ',' | ';' | ':'),
            stops,
            asks: last == '?',
            contracted,
            folded,
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.folded == word
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.contains(&self.folded.as_str())
    }

    /// Part of a number, wherever it stands.
    pub(super) const fn is_numeric(&self) -> bool {
        matches!(
            self.kind,
            Kind::Digits(_)
                | Kind::Dated(_)
                | Kind::Grouped(_)
                | Kind::Unit(_)
                | Kind::Teen(_)
                | Kind::Tens(_)
                | Kind::Hundreds(_)
                | Kind::Hundred
                | Kind::Thousand
                | Kind::Million
                | Kind::Repeat(_)
        )
    }

    /// Numeric, or a word that is so among numbers, or has digits in it.
    pub(super) fn may_be_numeric(&self) -> bool {
        self.is_numeric() || matches!(self.kind, Kind::Oh | Kind::Once) || self.folded.contains(|c: char| c.is_numeric())
    }

    /// "42nd": of a day or of a street.
    pub(super) fn is_ordinal(&self) -> bool {
        self.has_digits()
            && ["st", "nd", "rd", "th"]
                .iter()
                .any(|end| self.folded.strip_suffix(end).is_some_and(|head| head.bytes().all(|byte| byte.is_ascii_digit())))
    }

    pub(super) fn has_digits(&self) -> bool {
        self.folded.contains(|c: char| c.is_numeric())
    }

    /// After one of these "one" is no figure, unless another follows.
    pub(super) fn leads_to_one(&self) -> bool {
        #[rustfmt::skip]
        const WORDS: &[&str] = &[
            "that", "this", "the", "which", "right", "any", "each", "another", "other", "every", "longer", "new", "old", "same", "last", "first", "next", "wrong",
        ];
        self.is_any(WORDS)
    }

    /// Between what a number is and the number.
    pub(super) fn announces(&self) -> bool {
        self.contracted || self.is_any(&["is", "es", "its", "was", "son", "number", "numero", "be", "says", "dice"])
    }

    /// A word that could be somebody's name or a part of an address.
    pub(super) fn is_free(&self) -> bool {
        self.kind == Kind::Plain && !lexicon::is_common(&self.folded)
    }

    /// The letter that it is, spelled: also where the same sound is a word ("a", "y", "o").
    pub(super) fn letter(&self) -> Option<char> {
        let mut letters = self.folded.chars();
        let letter = letters.next().filter(char::is_ascii_alphabetic)?;
        letters.next().is_none().then(|| letter.to_ascii_uppercase())
    }
}

/// The letter without its accent; apostrophes fall away.
pub(in crate::engine) const fn plain(c: char) -> Option<char> {
    Some(match c {
        'á' | 'à' | 'â' | 'ä' | 'ã' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'ö' | 'õ' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ñ' => 'n',
        'ç' => 'c',
        '\'' | '’' | '\u{301}' | '\u{303}' => return None,
        other => other,
    })
}

fn kind(folded: &str) -> Kind {
    if folded.is_empty() {
        return Kind::Mark;
    }
    let digits: String = folded.chars().filter_map(|c| c.to_digit(10)).filter_map(|digit| char::from_digit(digit, 10)).collect();
    if !digits.is_empty() {
        return written(folded, digits);
    }
    if folded.contains('@') {
        return Kind::Email;
    }
    // "mmm", "uhh", "hmmmm".
    if folded.len() > 1
        && folded.trim_start_matches(['u', 'e', 'a']).trim_start_matches(['h', 'm']).is_empty()
        && folded.ends_with(['h', 'm'])
    {
        return Kind::Bridge;
    }
    if let Some(kind) = lexicon::kind(folded) {
        return kind;
    }
    let mut letters = folded.chars();
    if let (Some(letter), None) = (letters.next(), letters.next())
        && letter.is_ascii_alphabetic()
    {
        return Kind::Letter(letter.to_ascii_uppercase());
    }
    // "forty-one", "4-1-one" and "uh-huh" are known by their parts.
    if let Some((head, tail)) = folded.split_once('-')
        && let (Kind::Tens(tens), Kind::Unit(unit)) = (kind(head), kind(tail))
        && unit > 0
    {
        return Kind::Teen(tens + unit);
    }
    if folded.contains('-') {
        let said: Option<String> = folded.split('-').map(|part| said_digit(&kind(part))).collect();
        if let Some(said) = said {
            return Kind::Digits(said);
        }
    }
    Kind::Plain
}

const fn said_digit(kind: &Kind) -> Option<char> {
    if let Kind::Unit(unit) = kind {
        return Some((b'0' + *unit) as char);
    }
    if matches!(kind, Kind::Oh) { Some('0') } else { None }
}

/// A word with digits in it.
fn written(folded: &str, digits: String) -> Kind {
    if folded.contains('@') {
        return Kind::Email;
    }
    if folded.contains(['$', '€', '£', '₹', '%']) {
        return Kind::Guarded;
    }
    let letters: String = folded.chars().filter(|c| c.is_alphabetic()).collect();
    if !letters.is_empty() {
        let leads = folded.starts_with(|c: char| c.is_ascii_digit());
        return match letters.as_str() {
            "st" | "nd" | "rd" | "th" | "o" | "a" if leads && digits.len() <= 2 => {
                digits.parse().ok().filter(|day| (1..=31).contains(day)).map_or(Kind::Guarded, Kind::Ordinal)
            }
            "st" | "nd" | "rd" | "th" | "am" | "pm" if leads => Kind::Guarded,
            // "40s", "1990s"
            "s" if leads && digits.len() <= 4 && digits.ends_with('0') => Kind::Guarded,
            _ => Kind::Mixed,
        };
    }
    if folded.contains(':') {
        return Kind::Guarded;
    }
    if folded.contains('/') && digits.len() <= 8 {
        return Kind::Dated(digits);
    }
    let grouped = folded
        .split(',')
        .enumerate()
        .all(|(n, part)| part.bytes().all(|b| b.is_ascii_digit()) && if n == 0 { part.len() <= 3 } else { part.len() == 3 });
    if folded.contains(',') && grouped {
        return Kind::Grouped(digits);
    }
    // "45.20", "3.5": a price or a measure. More points than one, or more digits after it, are no decimals.
    if let Some((whole, part)) = folded.split_once('.')
        && whole.len() <= 4
        && part.len() <= 2
        && !part.contains('.')
    {
        return Kind::Guarded;
    }
    Kind::Digits(digits)
}
