//! How people say numbers: made from digits by a grammar of its own, which knows nothing of the one that reads them.

use super::random::Random;
use super::secrets::Phrases;
use super::{fifth, fourth, sixth};

/// In which language.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tongue {
    English,
    Spanish,
    Both,
}

/// In which way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shape {
    /// 4111 1111 1111 1111, 4111-1111-…, or in one piece.
    Written,
    /// 4 1 1 1
    DigitByDigit,
    /// four one one one
    Words,
    /// forty-one eleven
    Pairs,
    /// four triple one
    Doubles,
    /// four thousand one hundred eleven
    Cardinals,
    /// four 1 one 11
    Mixed,
    /// four one, uh, one one
    Fillers,
    /// four, one, one. one
    Stops,
    /// four two, no sorry, four one one one
    Correction,
    /// four one one one okay one one one one
    OkayInside,
    /// The other speaker says okay, and the number goes on.
    OkayBetween,
    /// In several turns, with pauses.
    Turns,
    /// One digit is not what it was.
    Misheard,
    /// four one, let me start over, four one one one
    StartsOver,
    /// The other speaker says a part again, and the number goes on.
    ReadBack,
    /// A clause comes between two parts.
    TwoBreaths,
}

impl Shape {
    pub const ALL: [Self; 17] = [
        Self::Written,
        Self::DigitByDigit,
        Self::Words,
        Self::Pairs,
        Self::Doubles,
        Self::Cardinals,
        Self::Mixed,
        Self::Fillers,
        Self::Stops,
        Self::Correction,
        Self::OkayInside,
        Self::OkayBetween,
        Self::Turns,
        Self::Misheard,
        Self::StartsOver,
        Self::ReadBack,
        Self::TwoBreaths,
    ];

    /// Those of one part: the last three came with the fourth.
    pub fn of(part: usize) -> &'static [Self] {
        &Self::ALL[..if part < 3 { 14 } else { 17 }]
    }
}

/// A piece of what is said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Carries the secret.
    Secret(String),
    /// Said in the middle of it.
    Aside(String),
    /// The other speaker says something here.
    Other(String),
    /// The other speaker says a part of it here.
    OtherSecret(Vec<Piece>),
    /// The turn ends; so long a pause follows.
    Pause(u64),
}

const EN_ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const EN_TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const ES_ONES: [&str; 30] = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
];
const ES_TENS: [&str; 10] = ["", "", "", "treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"];
const ES_HUNDREDS: [&str; 10] =
    ["", "ciento", "doscientos", "trescientos", "cuatrocientos", "quinientos", "seiscientos", "setecientos", "ochocientos", "novecientos"];

/// A cardinal below a million, word by word.
pub fn cardinal(value: u32, spanish: bool, hyphens: bool) -> Vec<String> {
    let word = |word: &str| vec![word.to_owned()];
    match (value, spanish) {
        (0..20, false) => word(EN_ONES[value as usize]),
        (20..100, false) => {
            let (tens, one) = (EN_TENS[value as usize / 10], EN_ONES[value as usize % 10]);
            match (value % 10, hyphens) {
                (0, _) => word(tens),
                (_, true) => vec![format!("{tens}-{one}")],
                (_, false) => vec![tens.to_owned(), one.to_owned()],
            }
        }
        (100..1000, false) => {
            let mut words = vec![EN_ONES[value as usize / 100].to_owned(), "hundred".to_owned()];
            if !value.is_multiple_of(100) {
                words.extend(cardinal(value % 100, false, hyphens));
            }
            words
        }
        (_, false) => {
            let mut words = cardinal(value / 1000, false, hyphens);
            words.push("thousand".to_owned());
            if !value.is_multiple_of(1000) {
                words.extend(cardinal(value % 1000, false, hyphens));
            }
            words
        }
        (0..30, true) => word(ES_ONES[value as usize]),
        (30..100, true) => match value % 10 {
            0 => word(ES_TENS[value as usize / 10]),
            one => vec![ES_TENS[value as usize / 10].to_owned(), "y".to_owned(), ES_ONES[one as usize].to_owned()],
        },
        (100, true) => word("cien"),
        (101..1000, true) => {
            let mut words = word(ES_HUNDREDS[value as usize / 100]);
            if !value.is_multiple_of(100) {
                words.extend(cardinal(value % 100, true, hyphens));
            }
            words
        }
        (_, true) => {
            let mut words = if value / 1000 == 1 { Vec::new() } else { cardinal(value / 1000, true, hyphens) };
            words.push("mil".to_owned());
            if !value.is_multiple_of(1000) {
                words.extend(cardinal(value % 1000, true, hyphens));
            }
            words
        }
    }
}

/// One digit as a word.
pub fn digit(value: u8, spanish: bool, random: &mut Random) -> String {
    let value = usize::from(value - b'0');
    match (value, spanish) {
        (0, false) => (*random.pick(&["zero", "oh", "oh", "zero", "o", "nought"])).to_owned(),
        (_, false) => EN_ONES[value].to_owned(),
        (_, true) => ES_ONES[value].to_owned(),
    }
}

fn secret(words: Vec<String>) -> Vec<Piece> {
    words.into_iter().map(Piece::Secret).collect()
}

fn aside(text: &str) -> Vec<Piece> {
    text.split(' ').map(|word| Piece::Aside(word.to_owned())).collect()
}

fn words(digits: &str, tongue: Tongue, random: &mut Random) -> Vec<Piece> {
    let mut spanish = tongue == Tongue::Spanish;
    let mut pieces = Vec::new();
    for (n, value) in digits.bytes().enumerate() {
        if tongue == Tongue::Both && n % 4 == 0 {
            spanish = random.chance(0.5);
        }
        pieces.push(Piece::Secret(digit(value, spanish, random)));
    }
    pieces
}

/// Cuts digits to groups as people do.
pub fn groups(digits: &str, random: &mut Random) -> Vec<String> {
    let cuts: &[usize] = match digits.len() {
        9 => random.pick::<&[usize]>(&[&[3, 2, 4][..], &[3, 3, 3]]),
        10 => random.pick::<&[usize]>(&[&[3, 3, 4][..], &[3, 3, 2, 2]]),
        11 => &[1, 3, 3, 4],
        15 => &[4, 6, 5],
        3 => &[3],
        5 | 6 => random.pick::<&[usize]>(&[&[3, 3][..], &[2, 2, 2]]),
        7 => &[3, 4],
        _ => &[4],
    };
    let (mut rest, mut groups, mut n) = (digits, Vec::new(), 0);
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(cuts[n % cuts.len()].min(rest.len()));
        groups.push(head.to_owned());
        rest = tail;
        n += 1;
    }
    groups
}

fn spanish_now(tongue: Tongue, random: &mut Random) -> bool {
    match tongue {
        Tongue::English => false,
        Tongue::Spanish => true,
        Tongue::Both => random.chance(0.5),
    }
}

/// The digits, said in that shape, with the asides of that part.
pub fn say(digits: &str, shape: Shape, tongue: Tongue, part: usize, random: &mut Random) -> Vec<Piece> {
    let of_part = |en: [Phrases; 6], es: [Phrases; 6], spanish: bool, random: &mut Random| -> &'static str {
        let lists = if spanish { es } else { en };
        random.pick::<&str>(lists[part])
    };
    match shape {
        Shape::Written => {
            let groups = groups(digits, random);
            match random.below(3) {
                0 => secret(vec![groups.join("-")]),
                1 => secret(groups),
                _ => secret(vec![digits.to_owned()]),
            }
        }
        Shape::DigitByDigit => secret(digits.chars().map(String::from).collect()),
        Shape::Words => words(digits, tongue, random),
        Shape::Pairs => {
            let mut pieces = Vec::new();
            let mut rest = digits;
            while !rest.is_empty() {
                let spanish = spanish_now(tongue, random);
                let (head, tail) = rest.split_at(rest.len().min(2));
                rest = tail;
                if head.starts_with('0') || head.len() == 1 {
                    pieces.extend(words(head, if spanish { Tongue::Spanish } else { Tongue::English }, random));
                } else {
                    let hyphens = random.chance(0.5);
                    pieces.extend(secret(cardinal(head.parse().unwrap(), spanish, hyphens)));
                }
            }
            pieces
        }
        Shape::Doubles => {
            let bytes = digits.as_bytes();
            let (mut pieces, mut n) = (Vec::new(), 0);
            while n < bytes.len() {
                let spanish = spanish_now(tongue, random);
                let run = bytes[n..].iter().take_while(|byte| **byte == bytes[n]).count().min(3);
                match run {
                    3 => pieces.push(Piece::Secret("triple".to_owned())),
                    2 => pieces.push(Piece::Secret(if spanish { "doble" } else { "double" }.to_owned())),
                    _ => {}
                }
                pieces.push(Piece::Secret(digit(bytes[n], spanish, random)));
                n += run;
            }
            pieces
        }
        Shape::Cardinals => {
            let mut pieces = Vec::new();
            for group in groups(digits, random) {
                let spanish = spanish_now(tongue, random);
                if group.starts_with('0') || group.len() > 4 {
                    pieces.extend(words(&group, if spanish { Tongue::Spanish } else { Tongue::English }, random));
                } else {
                    pieces.extend(secret(cardinal(group.parse().unwrap(), spanish, true)));
                }
            }
            pieces
        }
        Shape::Mixed => {
            let mut pieces = Vec::new();
            let mut rest = digits;
            while !rest.is_empty() {
                let take = (1 + random.below(3)).min(rest.len());
                let (head, tail) = rest.split_at(take);
                rest = tail;
                if random.chance(0.5) {
                    pieces.push(Piece::Secret(head.to_owned()));
                } else {
                    let spanish = spanish_now(tongue, random);
                    pieces.extend(words(head, if spanish { Tongue::Spanish } else { Tongue::English }, random));
                }
            }
            pieces
        }
        Shape::Fillers => {
            let style = *random.pick(&[Shape::Words, Shape::Pairs, Shape::DigitByDigit, Shape::Written]);
            let pieces = say(digits, if style == Shape::Written { Shape::Mixed } else { style }, tongue, part, random);
            let spots = 1 + random.below(3);
            let mut out = pieces;
            for _ in 0..spots {
                let spanish = spanish_now(tongue, random);
                let filler = of_part(
                    [
                        &["uh", "um", "let me see", "hold on"],
                        &["er", "uh um", "hmm", "one second"],
                        &["ah", "let me look", "bear with me", "where is it"],
                        fourth::FILLERS[0],
                        fifth::FILLERS[0],
                        sixth::FILLERS[0],
                    ],
                    [
                        &["eh", "este", "a ver", "espere"],
                        &["pues", "mmm", "este a ver", "un momento"],
                        &["ay", "déjeme ver", "o sea", "tantito"],
                        fourth::FILLERS[1],
                        fifth::FILLERS[1],
                        sixth::FILLERS[1],
                    ],
                    spanish,
                    random,
                );
                // "one second" begins with a number word, as people will.
                let at = break_at(&out, random);
                let filler: Vec<Piece> = aside(filler);
                out.splice(at..at, filler);
            }
            out
        }
        Shape::Stops => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Pairs]);
            let mut out = say(digits, style, tongue, part, random);
            for piece in &mut out {
                if let Piece::Secret(word) = piece
                    && random.chance(0.4)
                {
                    word.push(*random.pick(&[',', '.', ',']));
                }
            }
            out
        }
        Shape::Correction => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Mixed]);
            let at = 1 + random.below(digits.len() - 1);
            let back = at.min(1 + random.below(2));
            let wrong: String = digits[at - back..at].bytes().map(|byte| char::from(b'0' + (byte - b'0' + 3) % 10)).collect();
            let spanish = spanish_now(tongue, random);
            let sorry = of_part(
                [
                    &["no wait", "sorry", "I mean", "no"],
                    &["actually no", "scratch that", "oops sorry", "no I mean"],
                    &["no no", "my bad", "wait no", "let me correct that"],
                    fourth::SORRY[0],
                    fifth::SORRY[0],
                    sixth::SORRY[0],
                ],
                [
                    &["perdón", "no perdón", "digo", "no espere"],
                    &["ay no", "disculpe", "no digo", "perdone"],
                    &["no no", "me equivoqué", "corrijo", "perdón me equivoqué"],
                    fourth::SORRY[1],
                    fifth::SORRY[1],
                    sixth::SORRY[1],
                ],
                spanish,
                random,
            );
            let mut out = say(&digits[..at - back], style, tongue, part, random);
            out.extend(say(&wrong, style, tongue, part, random));
            out.extend(aside(sorry));
            out.extend(say(&digits[at - back..], style, tongue, part, random));
            out
        }
        Shape::OkayInside | Shape::OkayBetween => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Pairs, Shape::Mixed]);
            let mut out = say(digits, style, tongue, part, random);
            let spots = 1 + random.below(2);
            for _ in 0..spots {
                let spanish = spanish_now(tongue, random);
                let okay = of_part(
                    [
                        &["okay", "uh-huh", "got it", "okay go ahead"],
                        &["mm-hmm", "yes", "alright", "okay and then"],
                        &["sure", "right", "I'm listening", "yep keep going"],
                        fourth::OKAY[0],
                        fifth::OKAY[0],
                        sixth::OKAY[0],
                    ],
                    [
                        &["sí", "ajá", "okay", "muy bien"],
                        &["vale", "claro", "siga", "correcto"],
                        &["sí dígame", "perfecto", "adelante", "mjm"],
                        fourth::OKAY[1],
                        fifth::OKAY[1],
                        sixth::OKAY[1],
                    ],
                    spanish,
                    random,
                );
                let at = break_at(&out, random);
                if shape == Shape::OkayInside {
                    out.splice(at..at, aside(okay));
                } else {
                    out.insert(at, Piece::Other(okay.to_owned()));
                }
            }
            out
        }
        Shape::Turns => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Pairs, Shape::Doubles]);
            let mut out = Vec::new();
            let groups = groups(digits, random);
            let count = groups.len();
            for (n, group) in groups.iter().enumerate() {
                out.extend(say(group, style, tongue, part, random));
                if n + 1 < count {
                    out.push(Piece::Pause(500 + 100 * random.below(90) as u64));
                    if random.chance(0.4) {
                        let spanish = spanish_now(tongue, random);
                        let then = of_part(
                            [
                                &["and then", "then", "and", "okay"],
                                &["next is", "now", "so then", "and it's"],
                                &["followed by", "after that", "then it goes", "plus"],
                                fourth::THEN[0],
                                fifth::THEN[0],
                                sixth::THEN[0],
                            ],
                            [
                                &["y", "luego", "después", "y luego"],
                                &["entonces", "y después", "ahora", "sigue"],
                                &["y de ahí", "a continuación", "y sigue", "más"],
                                fourth::THEN[1],
                                fifth::THEN[1],
                                sixth::THEN[1],
                            ],
                            spanish,
                            random,
                        );
                        out.extend(aside(then));
                    }
                }
            }
            out
        }
        Shape::Misheard => {
            let at = random.below(digits.len());
            let style = *random.pick(&[Shape::Words, Shape::Written, Shape::Pairs]);
            let mut heard = digits.to_owned();
            if digits.len() > 12 && random.chance(0.3) {
                heard.remove(at);
            } else {
                let other = char::from(b'0' + (heard.as_bytes()[at] - b'0' + 1 + random.below(8) as u8) % 10);
                heard.replace_range(at..=at, &other.to_string());
            }
            say(&heard, style, tongue, part, random)
        }
        Shape::StartsOver => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Mixed, Shape::Pairs]);
            let spanish = spanish_now(tongue, random);
            let over = random.pick::<&str>([fourth::OVER, fifth::OVER, sixth::OVER][part - 3][usize::from(spanish)]);
            let mut out = say(&digits[..1 + random.below(digits.len() - 1)], style, tongue, part, random);
            out.extend(aside(over));
            out.extend(say(digits, style, tongue, part, random));
            out
        }
        Shape::ReadBack => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Written, Shape::Pairs]);
            let groups = groups(digits, random);
            let at = random.below(groups.len());
            let mut out = Vec::new();
            for (n, group) in groups.iter().enumerate() {
                out.extend(say(group, style, tongue, part, random));
                if n == at {
                    let spanish = spanish_now(tongue, random);
                    let way = random.pick::<&str>([fourth::READ_BACK, fifth::READ_BACK, sixth::READ_BACK][part - 3][usize::from(spanish)]);
                    let (before, after) = way.split_once("{}").unwrap_or((way, ""));
                    let words = |text: &str| text.split_whitespace().map(|word| Piece::Aside(word.to_owned())).collect::<Vec<_>>();
                    let style = *random.pick(&[Shape::Words, Shape::DigitByDigit]);
                    out.push(Piece::OtherSecret([words(before), say(group, style, tongue, part, random), words(after)].concat()));
                }
            }
            out
        }
        Shape::TwoBreaths => {
            let style = *random.pick(&[Shape::Words, Shape::DigitByDigit, Shape::Written, Shape::Pairs]);
            let spanish = spanish_now(tongue, random);
            let breath = random.pick::<&str>([fourth::BREATH, fifth::BREATH, sixth::BREATH][part - 3][usize::from(spanish)]);
            let at = digits.len().div_ceil(2);
            let mut out = say(&digits[..at], style, tongue, part, random);
            if random.chance(0.3) {
                out.push(Piece::Pause(800 + 100 * random.below(30) as u64));
            }
            out.extend(aside(breath));
            out.extend(say(&digits[at..], style, tongue, part, random));
            out
        }
    }
}

/// Between two pieces, not in the middle of "treinta y uno".
fn break_at(pieces: &[Piece], random: &mut Random) -> usize {
    if pieces.len() < 2 {
        return pieces.len();
    }
    for _ in 0..8 {
        let at = 1 + random.below(pieces.len() - 1);
        // Nor in the middle of another aside.
        if matches!((&pieces[at - 1], &pieces[at]), (Piece::Aside(_), Piece::Aside(_))) {
            continue;
        }
        let glued = |piece: &Piece| matches!(piece, Piece::Secret(word) if matches!(word.as_str(), "y" | "double" | "doble" | "triple"));
        if !glued(&pieces[at - 1]) && !glued(&pieces[at]) {
            return at;
        }
    }
    pieces.len()
}
