//! Made-up secrets and how they are asked for, announced and said.

use super::random::Random;
use super::saying::{Piece, Shape, Tongue, cardinal, digit, say};
use super::{fifth, fourth, sixth};
use callgate::engine::redact::Entity;

/// Phrases of the first three parts.
type Parts = [Phrases; 3];
/// Of one part.
pub type Phrases = &'static [&'static str];

/// What is asked, and how an answer begins that announces itself. `{}` is the secret.
pub struct Lists {
    pub asks: Phrases,
    pub asks_es: Phrases,
    pub tells: Phrases,
    pub tells_es: Phrases,
}

fn luhn_digit(body: &str) -> char {
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(n, b)| {
            let d = u32::from(b - b'0');
            if n % 2 == 0 { [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][d as usize] } else { d }
        })
        .sum();
    char::from(b'0' + ((10 - sum % 10) % 10) as u8)
}

/// The digits of one, in the usual lengths; doubles come more often than chance has them.
pub fn digits(entity: Entity, random: &mut Random) -> String {
    let body = |random: &mut Random, count: usize| {
        let mut digits = random.digits(count).into_bytes();
        for n in 1..digits.len() {
            if random.chance(0.2) {
                digits[n] = digits[n - 1];
            }
        }
        String::from_utf8(digits).unwrap()
    };
    match entity {
        Entity::CardNumber => {
            let (prefix, length) =
                *random.pick(&[("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("37", 15), ("6011", 16), ("34", 15)]);
            let number = format!("{prefix}{}", body(random, length - 1 - prefix.len()));
            let check = luhn_digit(&number);
            format!("{number}{check}")
        }
        Entity::Cvv => {
            let count = if random.chance(0.8) { 3 } else { 4 };
            body(random, count)
        }
        Entity::BankAccount => {
            let count = 8 + random.below(5);
            body(random, count)
        }
        Entity::RoutingNumber => {
            let head = format!("{}{}", random.pick(&["01", "02", "06", "11", "12", "26", "31", "32"]), body(random, 6));
            let sum: u32 = head.bytes().zip([3, 7, 1, 3, 7, 1, 3, 7]).map(|(b, w)| u32::from(b - b'0') * w).sum();
            format!("{head}{}", (10 - sum % 10) % 10)
        }
        Entity::Ssn => format!("{}{}", 1 + random.below(7), body(random, 8)),
        Entity::Itin => format!("9{}7{}", body(random, 2), body(random, 5)),
        Entity::Pin => {
            let count = if random.chance(0.8) { 4 } else { 6 };
            body(random, count)
        }
        Entity::OneTimeCode => {
            let count = if random.chance(0.8) { 6 } else { 5 };
            body(random, count)
        }
        Entity::Phone => format!("{}{}", 2 + random.below(8), body(random, 9)),
        Entity::Aadhaar => format!("{}{}", 2 + random.below(8), body(random, 11)),
        Entity::MedicalRecord => {
            let count = 6 + random.below(3);
            body(random, count)
        }
        _ => unreachable!("not of digits"),
    }
}

/// Entities that are strings of digits, said in every shape.
pub const OF_DIGITS: [Entity; 11] = [
    Entity::CardNumber,
    Entity::Cvv,
    Entity::BankAccount,
    Entity::RoutingNumber,
    Entity::Ssn,
    Entity::Itin,
    Entity::Pin,
    Entity::OneTimeCode,
    Entity::Phone,
    Entity::Aadhaar,
    Entity::MedicalRecord,
];
/// Those that have shapes of their own.
pub const OTHERS: [Entity; 8] =
    [Entity::Expiry, Entity::Iban, Entity::Password, Entity::DateOfBirth, Entity::Email, Entity::Pan, Entity::Address, Entity::Name];

/// Long enough to be told without any cue.
pub const fn stands_alone(entity: Entity) -> bool {
    matches!(
        entity,
        Entity::CardNumber | Entity::Ssn | Entity::Itin | Entity::Phone | Entity::Aadhaar | Entity::Iban | Entity::Pan | Entity::Email
    )
}

fn secret(text: &str) -> Vec<Piece> {
    text.split_whitespace().map(|word| Piece::Secret(word.to_owned())).collect()
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const MESES: [&str; 12] =
    ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"];
const DAYS: [&str; 31] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty second",
    "twenty third",
    "twenty-fourth",
    "twenty fifth",
    "twenty-sixth",
    "twenty seventh",
    "twenty eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty first",
];
const FIRST: [Phrases; 6] = [
    &["Maria", "James", "Guadalupe", "Priya", "Robert", "Keisha", "Jose", "Linda", "Ahmed", "Carmen", "Tyrone", "Mei"],
    &["Xochitl", "Walter", "Deborah", "Raj", "Esperanza", "Dmitri", "Latoya", "Hector", "Fatima", "Bill", "Rosario", "Nguyen"],
    &["Yolanda", "Gregory", "Siobhan", "Kwame", "Itzel", "Harold", "Anjali", "Terrence", "Consuelo", "Wei", "Brenda", "Mohamed"],
    fourth::FIRST,
    fifth::FIRST,
    sixth::FIRST,
];
const LAST: [Phrases; 6] = [
    &["Lopez", "Smith", "Hernandez", "Patel", "Johnson", "Washington", "Garcia", "Kowalski", "Hassan", "Ruiz", "Brooks", "Chen"],
    &[
        "Quetzal",
        "Abernathy",
        "Okafor",
        "Krishnan",
        "Villanueva",
        "Petrov",
        "Jefferson",
        "Maldonado",
        "Rahimi",
        "Turner",
        "Fuentes",
        "Tran",
    ],
    &["Castellanos", "Gallagher", "Mensah", "Iyer", "Zamora", "Pruitt", "Nakamura", "Whitfield", "Delgado", "Zhang", "Ferguson", "Diallo"],
    fourth::LAST,
    fifth::LAST,
    sixth::LAST,
];
const STREETS: [Phrases; 6] = [
    &[
        "Maple Street",
        "Oak Avenue",
        "Martin Luther King Boulevard",
        "Fifth Street",
        "Sunset Drive",
        "Mission Road",
        "Elm Court",
        "Cedar Lane",
    ],
    &[
        "Willow Way",
        "Van Ness Avenue",
        "Second Avenue",
        "Harbor View Drive",
        "Los Robles Street",
        "Pine Terrace",
        "Lincoln Parkway",
        "Birch Circle",
    ],
    &[
        "Magnolia Street",
        "Tenth Avenue",
        "Old Mill Road",
        "Cesar Chavez Boulevard",
        "Juniper Place",
        "Ridgeview Court",
        "North Franklin Street",
        "Silver Creek Drive",
    ],
    fourth::STREETS,
    fifth::STREETS,
    sixth::STREETS,
];
const CALLES: [Phrases; 6] = [
    &["calle Hidalgo", "avenida Juárez", "calle Benito Juárez", "calle de la Rosa", "avenida Reforma", "calle Morelos"],
    &["calle Zaragoza", "avenida Insurgentes", "calle San Martín", "callejón del Beso", "calle Pino Suárez", "avenida Universidad"],
    &["calle Allende", "avenida Revolución", "calle Cinco de Mayo", "calle Las Palmas", "avenida del Sol", "calle Emiliano Zapata"],
    fourth::CALLES,
    fifth::CALLES,
    sixth::CALLES,
];
const WORDS: [Phrases; 6] = [
    &["bluebird", "sunshine", "tiger", "mustang", "pumpkin", "rainbow", "coyote", "lucky"],
    &["dragonfly", "marigold", "thunder", "pelican", "cinnamon", "galaxy", "walnut", "mariposa"],
    &["hummingbird", "waffles", "panther", "guitar", "october", "snowflake", "charlie", "estrella"],
    fourth::WORDS,
    fifth::WORDS,
    sixth::WORDS,
];

const HOSTS: [Phrases; 6] = [
    &["gmail", "yahoo", "county health", "outlook"],
    &["icloud", "hotmail", "sunrise clinic", "my school"],
    &["comcast", "proton", "live", "valley college"],
    fourth::HOSTS,
    fifth::HOSTS,
    sixth::HOSTS,
];

fn number_words(value: u32, spanish: bool, random: &mut Random) -> String {
    let hyphens = random.chance(0.5);
    cardinal(value, spanish, hyphens).join(" ")
}

fn year_words(year: u32, spanish: bool, random: &mut Random) -> String {
    if spanish || (2000..2010).contains(&year) {
        return number_words(year, spanish, random);
    }
    let low = year % 100;
    let low = if low < 10 { format!("oh {}", number_words(low, false, random)) } else { number_words(low, false, random) };
    format!("{} {low}", number_words(year / 100, false, random))
}

/// The other entities, each in one of its own shapes: what is said, and the shape's name.
pub fn other(entity: Entity, tongue: Tongue, part: usize, random: &mut Random) -> (Vec<Piece>, &'static str) {
    let spanish = match tongue {
        Tongue::English => false,
        Tongue::Spanish => true,
        Tongue::Both => random.chance(0.5),
    };
    match entity {
        Entity::DateOfBirth => {
            let (day, month, year) = (1 + random.below(28) as u32, 1 + random.below(12) as u32, 1930 + random.below(80) as u32);
            match random.below(if part < 3 { 4 } else { 5 }) {
                0 => (secret(&format!("{month:02}/{day:02}/{year}")), "written"),
                4 if spanish => {
                    let (day, month) = (number_words(day, true, random), number_words(month, true, random));
                    (secret(&format!("{day} del {month} del {}", number_words(year, true, random))), "numbers")
                }
                4 => {
                    let (day, month) = (number_words(day, false, random), number_words(month, false, random));
                    let year = if (2000..2010).contains(&year) { year } else { year % 100 };
                    (secret(&format!("{month} {day} {}", number_words(year, false, random))), "numbers")
                }
                1 if !spanish => (secret(&format!("{} {day}, {year}", MONTHS[month as usize - 1])), "month written"),
                2 => {
                    let figures = format!("{month:02}{day:02}{year}");
                    (say(&figures, Shape::Words, tongue, part, random), "digit words")
                }
                _ if spanish => {
                    let day_words = number_words(day, true, random);
                    let joint = random.pick(&["de", "del"]);
                    let year = year_words(year, true, random);
                    (secret(&format!("{day_words} de {} {joint} {year}", MESES[month as usize - 1])), "month said")
                }
                _ => {
                    let year = year_words(year, false, random);
                    (secret(&format!("{} {} {year}", MONTHS[month as usize - 1], DAYS[day as usize - 1])), "month said")
                }
            }
        }
        Entity::Expiry => {
            let (month, year) = (1 + random.below(12) as u32, 26 + random.below(9) as u32);
            match random.below(if part < 3 { 4 } else { 5 }) {
                0 => (secret(&format!("{month:02}/{year}")), "written"),
                4 => {
                    let year = number_words(if random.chance(0.5) { year } else { 2000 + year }, spanish, random);
                    let slash = if spanish { "diagonal" } else { "slash" };
                    (secret(&format!("{} {slash} {year}", number_words(month, spanish, random))), "slash")
                }
                1 => (say(&format!("{month:02}{year}"), Shape::Words, tongue, part, random), "digit words"),
                2 => {
                    let name = if spanish { MESES } else { MONTHS }[month as usize - 1];
                    let year = year_words(2000 + year, spanish, random);
                    let joint = if spanish { "del " } else { "" };
                    (secret(&format!("{name} {joint}{year}")), "month said")
                }
                _ => {
                    let (month, year) = (number_words(month, spanish, random), number_words(year, spanish, random));
                    (secret(&format!("{month} {year}")), "pairs")
                }
            }
        }
        Entity::Email => {
            let (first, last) = (random.pick(FIRST[part]).to_lowercase(), random.pick(LAST[part]).to_lowercase());
            let joined = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let host = *random.pick(HOSTS[part]);
            match random.below(if part < 3 { 4 } else { 5 }) {
                0 => (secret(&format!("{}.{}@{}.com", joined(&first), joined(&last), joined(host))), "written"),
                1 if spanish => (secret(&format!("{first} punto {last} arroba {host} punto com")), "said"),
                1 => (secret(&format!("{first} dot {last} at {host} dot com")), "said"),
                2 => {
                    let letters: Vec<String> = joined(&first).chars().map(String::from).collect();
                    let (at, dot) = if spanish { ("arroba", "punto") } else { ("at", "dot") };
                    (secret(&format!("{} {at} {host} {dot} com", letters.join(" "))), "spelled")
                }
                4 => {
                    let number = 10 + random.below(89) as u32;
                    let number = if random.chance(0.5) { number.to_string() } else { number_words(number, spanish, random) };
                    let (at, dot) = if spanish { ("arroba", "punto") } else { ("at", "dot") };
                    (secret(&format!("{last} {number} {at} {host} {dot} net")), "name and number")
                }
                _ => {
                    let number = number_words(10 + random.below(89) as u32, spanish, random);
                    let (at, dot, under) = if spanish { ("arroba", "punto", "guion bajo") } else { ("at", "dot", "underscore") };
                    (secret(&format!("{first} {under} {number} {at} {host} {dot} org")), "with number")
                }
            }
        }
        Entity::Iban | Entity::Pan => {
            let code = if entity == Entity::Pan {
                let letters: String = (0..5).map(|_| char::from(b'A' + random.below(26) as u8)).collect();
                format!("{letters}{}{}", random.digits(4), char::from(b'A' + random.below(26) as u8))
            } else {
                let (country, length) = *random.pick(&[("DE", 18), ("ES", 20), ("FR", 23), ("NL", 14)]);
                let check = random.digits(2);
                format!("{country}{check}{}", random.digits(length))
            };
            match random.below(3) {
                0 => (secret(&code), "written"),
                1 => {
                    let parts: Vec<String> = code
                        .as_bytes()
                        .chunks(if entity == Entity::Pan { 5 } else { 4 })
                        .map(|part| String::from_utf8(part.to_vec()).unwrap())
                        .collect();
                    (secret(&parts.join(" ")), "in groups")
                }
                _ => {
                    let mut pieces = Vec::new();
                    for c in code.chars() {
                        if c.is_ascii_digit() {
                            pieces.push(Piece::Secret(digit(c as u8, spanish, random)));
                        } else {
                            pieces.push(Piece::Secret(c.to_string()));
                        }
                    }
                    (pieces, "spelled")
                }
            }
        }
        Entity::Password => {
            let word = *random.pick(WORDS[part]);
            let value = 10 + random.below(89) as u32;
            match random.below(if part < 3 { 3 } else { 4 }) {
                0 => (secret(&format!("{word}{value}")), "written"),
                3 => {
                    let letters: Vec<String> = word.chars().map(String::from).collect();
                    (secret(&format!("{} {}", letters.join(" "), number_words(value, spanish, random))), "spelled")
                }
                1 => {
                    let number = number_words(value, spanish, random);
                    (secret(&format!("{word} {number}")), "words")
                }
                _ => {
                    let other = *random.pick(WORDS[part]);
                    (secret(&format!("{word} {other}")), "two words")
                }
            }
        }
        Entity::Address => {
            let number = 10 + random.below(9_900) as u32;
            if part >= 3 && !spanish && random.chance(0.12) {
                let number = if random.chance(0.5) { number.to_string() } else { number_words(number, false, random) };
                return (secret(&format!("PO Box {number}")), "box");
            }
            if spanish {
                let calle = *random.pick(CALLES[part]);
                let words = random.chance(0.5);
                let number = if words { number_words(number, true, random) } else { number.to_string() };
                let joint = random.pick(&["número ", "", "numero "]);
                return (secret(&format!("{calle} {joint}{number}")), if words { "calle said" } else { "calle written" });
            }
            let street = *random.pick(STREETS[part]);
            let written = random.chance(0.5);
            let house = if written {
                number.to_string()
            } else if number < 100 {
                number_words(number, false, random)
            } else {
                let low = number % 100;
                let low = if low == 0 {
                    "hundred".to_owned()
                } else if low < 10 {
                    format!("oh {}", number_words(low, false, random))
                } else {
                    number_words(low, false, random)
                };
                format!("{} {low}", number_words(number / 100, false, random))
            };
            let door = if random.chance(0.3) { format!(", apartment {}", 1 + random.below(40)) } else { String::new() };
            let text = format!("{house} {street}{door}").replace(" ,", ",");
            (secret(&text), if written { "number written" } else { "number said" })
        }
        Entity::Name => {
            let (first, last) = (*random.pick(FIRST[part]), *random.pick(LAST[part]));
            if part >= 3 && random.chance(0.15) {
                let (family, given) = if spanish { ("apellido", "nombre") } else { ("last name", "first name") };
                let mut pieces: Vec<Piece> = family.split(' ').map(|word| Piece::Aside(word.to_owned())).collect();
                pieces.extend(secret(last));
                pieces.extend(given.split(' ').map(|word| Piece::Aside(word.to_owned())));
                pieces.extend(secret(first));
                return (pieces, "last first");
            }
            if random.chance(0.25) {
                let letters: Vec<String> = last.chars().map(|c| c.to_uppercase().to_string()).collect();
                return (secret(&format!("{first} {last} {}", letters.join(" "))), "spelled");
            }
            (secret(&format!("{first} {last}")), "said")
        }
        _ => unreachable!("said in digits"),
    }
}

/// How people of that part talk of it.
#[rustfmt::skip]
pub fn wording(entity: Entity, part: usize) -> Lists {
    let w = |asks: Parts, asks_es: Parts, tells: Parts, tells_es: Parts| {
        Lists { asks: asks[part], asks_es: asks_es[part], tells: tells[part], tells_es: tells_es[part] }
    };
    match part {
        3 => return fourth::wording(entity),
        4 => return fifth::wording(entity),
        5 => return sixth::wording(entity),
        _ => {}
    }
    match entity {
        Entity::CardNumber => w(
            [&["Can I get the card number please?", "What is the number on your credit card?"], &["Go ahead and read me the long number across your debit card.", "Which card number would you like to use today?"], &["Okay, whenever you're ready, the sixteen digits on the front.", "Which card are we charging?"]],
            [&["¿Me da el número de tarjeta por favor?"], &["¿Cuál es el número de su tarjeta de crédito?"], &["¿Me puede leer los números de la tarjeta?"]],
            [&["my card number is {}", "sure the Visa is {}"], &["okay the card I want to use is {}", "it's a Mastercard number {}"], &["I'll put it on my Discover card, {}", "the number on the front says {}"]],
            [&["mi número de tarjeta es {}"], &["sí claro la tarjeta es la {}"], &["los números de la tarjeta son {}"]]),
        Entity::Cvv => w(
            [&["And the security code on the back?", "What's the CVV?"], &["I also need the three digit code on the back of it.", "Could you read me the CVC number?"], &["There should be three little numbers on the back.", "And the security number for that card?"]],
            [&["¿Y el código de seguridad?"], &["¿Me dice el código que está al reverso?"], &["¿Y los tres números de atrás?"]],
            [&["the security code is {}", "the CVV is {}"], &["the CVC on the back is {}", "and then the security code would be {}"], &["the three digits are {}", "my security number is {}"]],
            [&["el código de seguridad es {}"], &["y el código de seguridad que tiene es {}"], &["el CVV es el {}"]]),
        Entity::Expiry => w(
            [&["What is the expiration date?", "When does it expire?"], &["And it's good through when? The expiration date.", "Could I have the expiry on that?"], &["And when does that card run out?", "What month and year does it expire?"]],
            [&["¿Cuál es la fecha de vencimiento?"], &["¿Y cuándo vence?"], &["¿Hasta cuándo es válida la tarjeta?"]],
            [&["the expiration is {}", "it expires {}"], &["expiration date on it is {}", "it's good through {}"], &["the exp date is {}", "it's valid until {}"]],
            [&["vence en {}"], &["la fecha de vencimiento es {}"], &["es válida hasta {}"]]),
        Entity::BankAccount => w(
            [&["What's the account number?", "Can you read me your checking account number?"], &["Which bank account should we deposit into?", "I need the savings account number next."], &["So what account do you want it paid from? I need the number.", "Go ahead with the account, please."]],
            [&["¿Cuál es su número de cuenta?"], &["Dígame la cuenta bancaria por favor."], &["¿A qué cuenta le depositamos?"]],
            [&["my account number is {}", "the checking account is {}"], &["yes the bank account is {}", "so my savings account number would be {}"], &["the account number on the check is {}", "it goes to account {}"]],
            [&["mi número de cuenta es {}"], &["la cuenta es la {}"], &["mi cuenta de banco es {}"]]),
        Entity::RoutingNumber => w(
            [&["And the routing number?", "What is the routing number of your bank?"], &["I'll need the ABA number as well.", "Do you have the routing number handy?"], &["What's the nine digit routing at the bottom of the check?"]],
            [&["¿Y el número de ruta?"], &["¿Tiene el número de ruta del banco?"], &["¿Y cuál es la ruta del banco?"]],
            [&["the routing number is {}"], &["on the check the routing number says {}"], &["routing is {}"]],
            [&["el número de ruta es {}"], &["la ruta bancaria es {}"], &["el número de ruta del cheque es {}"]]),
        Entity::Ssn => w(
            [&["Can I have your social security number?", "What's your social?"], &["Please confirm your full social for me.", "May I get the SSN to pull up your file?"], &["I just need to verify your social.", "What is your social, ma'am?"]],
            [&["¿Me da su número de seguro social?"], &["¿Cuál es su seguro social?"], &["¿Me confirma su número de social?"]],
            [&["my social security number is {}", "my social is {}"], &["yeah social is {}", "the SSN is {}"], &["social security is {}", "here's my social, {}"]],
            [&["mi seguro social es {}"], &["mi número de seguro social es el {}"], &["mi social es el {}"]]),
        Entity::Itin => w(
            [&["Do you have an ITIN?", "What is your taxpayer identification number?"], &["Could you give me the ITIN number instead?", "I need your tax ID."], &["Do you file with an ITIN? What is it?"]],
            [&["¿Cuál es su ITIN?"], &["¿Tiene número de contribuyente?"], &["¿Me puede dar su número de ITIN?"]],
            [&["my ITIN is {}", "my tax ID is {}"], &["the ITIN they gave me is {}", "I only have an ITIN it's {}"], &["I file with my ITIN which is {}"]],
            [&["mi ITIN es {}"], &["mi número de contribuyente es {}"], &["el ITIN que tengo es {}"]]),
        Entity::Pin => w(
            [&["What is your PIN?", "Please tell me your four digit PIN."], &["I just need your security PIN first.", "Can you verify the passcode on the account?"], &["Please enter or say your PIN.", "What PIN did you set up for the EBT card?"]],
            [&["¿Cuál es su clave?", "¿Me da su PIN?"], &["Necesito su NIP por favor."], &["¿Qué PIN puso en la tarjeta?"]],
            [&["my PIN is {}", "the PIN is {}"], &["my PIN number should be {}", "the passcode is {}"], &["I set the PIN to {}", "our PIN is {}"]],
            [&["mi PIN es {}"], &["mi clave es {}"], &["el PIN de la tarjeta es {}"]]),
        Entity::OneTimeCode => w(
            [&["What is the verification code we sent you?", "Read me the code I sent to your phone."], &["You should have gotten a one-time passcode by text message.", "Can you tell me the six digit code?"], &["Did a code come through on your phone? What does it say?", "Please read back the access code."]],
            [&["¿Cuál es el código de verificación?"], &["¿Me dice el código que le llegó?"], &["¿Ya le llegó el código a su teléfono?"]],
            [&["the code is {}", "the verification code says {}"], &["okay it texted me {}", "I got the code it's {}"], &["it says your code is {}", "the access code is {}"]],
            [&["el código es {}"], &["me llegó el código {}"], &["el código que me mandaron es {}"]]),
        Entity::Phone => w(
            [&["What's the best phone number for you?", "Can I get your phone number?"], &["And a good call back number?", "Which cell phone should I text?"], &["What number can we reach you at?", "Is there another number on file?"]],
            [&["¿Cuál es su número de teléfono?"], &["¿A qué celular le llamo?"], &["¿A qué número la puedo llamar?"]],
            [&["my phone number is {}", "you can call me at {}"], &["my cell is {}", "reach me at {}"], &["my number is {}", "call my husband at {}"]],
            [&["mi teléfono es {}"], &["llámeme al {}"], &["mi número es el {}"]]),
        Entity::Aadhaar => w(
            [&["What is your Aadhaar number?"], &["May I have the Aadhaar please?"], &["Can you give me the twelve digit Aadhaar?"]],
            [&["¿Cuál es su número de Aadhaar?"], &["¿Me da el Aadhaar?"], &["¿Tiene a la mano su Aadhaar?"]],
            [&["my Aadhaar is {}", "my Aadhaar number is {}"], &["so the Aadhaar card says {}"], &["my Aadhaar card number is {}"]],
            [&["mi Aadhaar es {}"], &["el número de Aadhaar es {}"], &["mi número de Aadhaar es el {}"]]),
        Entity::MedicalRecord => w(
            [&["What's your medical record number?", "Do you have the MRN?"], &["Is there a chart number on the letter?", "Can you read the patient ID from your wristband?"], &["And your member number with the hospital? The MRN?", "What is the patient number on the label?"]],
            [&["¿Cuál es su número de expediente?"], &["¿Tiene su número de paciente?"], &["¿Cuál es el número de historia clínica?"]],
            [&["my medical record number is {}", "the MRN is {}"], &["the chart number they gave me is {}", "my patient ID is {}"], &["my MRN is {}", "the patient number is {}"]],
            [&["mi número de expediente es {}"], &["mi número de paciente es el {}"], &["mi número de historia clínica es {}"]]),
        Entity::Iban => w(
            [&["What's the IBAN?"], &["Please spell out the IBAN for me."], &["And the IBAN of the account abroad?"]], [&["¿Cuál es el IBAN?"], &["¿Me da su IBAN?"], &["¿Cuál es el IBAN de la cuenta?"]],
            [&["my IBAN is {}"], &["the IBAN for the transfer is {}"], &["IBAN is {}"]], [&["mi IBAN es {}"], &["el IBAN de la cuenta es {}"], &["el IBAN sería {}"]]),
        Entity::Pan => w(
            [&["What's your PAN number?"], &["Could you spell your PAN card number?"], &["And your PAN, please?"]], [&["¿Cuál es su número de PAN card?"], &["¿Tiene PAN card?"], &["¿Me dicta su PAN card?"]],
            [&["my PAN is {}"], &["the PAN card says {}"], &["my PAN card number is {}"]], [&["mi PAN card es {}"], &["el PAN number es {}"], &["mi PAN es {}"]]),
        Entity::Password => w(
            [&["What's your password?"], &["Can you tell me the password on the portal?"], &["What did you set as your password?"]], [&["¿Cuál es su contraseña?"], &["¿Me dice la contraseña?"], &["¿Qué contraseña le puso?"]],
            [&["my password is {}"], &["the password should be {}", "I think the password is {}"], &["I changed my password to {}", "the password is {}"]], [&["mi contraseña es {}"], &["la contraseña es {}"], &["le puse de contraseña {}"]]),
        Entity::DateOfBirth => w(
            [&["What is your date of birth?", "Can you verify your birthday?"], &["And when were you born?", "I'll need the DOB too."], &["What's your birthdate, please?", "And the child's date of birth?"]],
            [&["¿Cuál es su fecha de nacimiento?"], &["¿Cuándo nació?"], &["¿En qué fecha nació su hijo?"]],
            [&["my date of birth is {}", "I was born {}"], &["my birthday is {}", "born on {}"], &["my birthdate is {}", "he was born on {}"]],
            [&["nací el {}", "mi fecha de nacimiento es {}"], &["mi cumpleaños es el {}"], &["mi hija nació el {}"]]),
        Entity::Email => w(
            [&["What's your email?"], &["Where should I email the forms?"], &["What email address do you check the most?"]], [&["¿Cuál es su correo?"], &["¿A qué correo se lo mando?"], &["¿Tiene correo electrónico?"]],
            [&["my email is {}", "send it to {}"], &["the best email address is {}", "you can write me at {}"], &["you can reach me at {}", "email is {}"]], [&["mi correo es {}"], &["mándelo a {}"], &["mi correo electrónico es {}"]]),
        Entity::Address => w(
            [&["What is your address?", "What's your home address?"], &["Where do you live? The street address.", "Which mailing address should I use?"], &["Can you confirm the address we have for you?", "And where should we mail it?"]],
            [&["¿Cuál es su dirección?"], &["¿Dónde vive usted?"], &["¿A qué domicilio se lo enviamos?"]],
            [&["my address is {}", "I live at {}"], &["I'm staying at {}", "we moved to {}"], &["our new place is {}", "the address is {}", "mail it to {}"]],
            [&["vivo en {}", "mi dirección es {}"], &["mi domicilio es {}"], &["mándelo a {}", "mi casa está en {}"]]),
        Entity::Name => w(
            [&["What is your name?", "Can I have your full name?"], &["Who am I speaking with? Your first and last name?", "May I have your legal name please?"], &["And your name, sir?", "Who is the patient? First and last name."]],
            [&["¿Cuál es su nombre?"], &["¿Cómo se llama usted?"], &["¿Me regala su nombre completo?"]],
            [&["my name is {}", "yes my name is {}"], &["hi this is {}", "the name is {}"], &["yeah it's under {}", "my full name is {}", "you're speaking with {}"]],
            [&["me llamo {}", "mi nombre es {}"], &["soy {}", "buenas mi nombre completo es {}"], &["a nombre de {}", "habla {}"]]),
        Entity::Number => unreachable!("no entity that people tell"),
    }
}
