//! Whole calls made from a seed: ordinary talk, and secrets asked for, announced and said in every shape.

use super::random::Random;
use super::saying::{Piece, Shape, Tongue, cardinal, say};
use super::secrets::{self, OF_DIGITS, OTHERS, Phrases, stands_alone, wording};
use super::{fifth, fourth, sixth};
use callgate::engine::redact::{Entity, Speaker, Utterance, Word};

/// A word of a turn.
#[derive(Clone, Debug)]
pub struct Said {
    pub text: String,
    /// Which secret of the call it carries or lies in, and whether it carries it.
    pub secret: Option<(usize, bool)>,
}

/// What one speaker says in one go.
#[derive(Clone)]
pub struct Turn {
    pub speaker: Speaker,
    pub words: Vec<Said>,
    pub pause_ms: u64,
}

/// One secret of a call.
#[derive(Clone)]
pub struct Secret {
    pub entity: Entity,
    pub shape: String,
    pub tongue: Tongue,
}

/// A call.
pub struct Call {
    pub turns: Vec<Turn>,
    pub secrets: Vec<Secret>,
}

#[rustfmt::skip]
const PLAIN: [Phrases; 6] = [
    &[
        "The copay is going to be {price} for each visit.", "I have an appointment on {date} at {time}.", "There are {few} of us in the house.",
        "Our office is at {office}.", "We are open from {time} to {time} on weekdays.", "They raised it by {percent} last year.",
        "I have lived here since {year}.", "She is {age} years old and he is {age}.", "It takes about {minutes} minutes on the bus.",
        "The clinic is located at {office}, right by the park.", "I used to make {money} a month and now it is {money}.", "That was my {ordinal} time calling today.",
        "He takes {mg} milligrams {times} times a day.", "Could you send me the form again, I lost the letter?", "I'm really worried about the rent this month.",
        "Let me check the system, one moment please.", "Yes that would be great, thank you so much.", "The ride should pick you up at {time} on {date}.",
        "I think we need two bedrooms, maybe three.", "You can take the number {bus} bus downtown.", "My daughter is in {ordinal} grade now.",
        "It's a four or five hour drive from there.", "The benefit went from {money} to {money} in {year}.", "We can schedule you for {time} or {time}.",
        "I was in the hospital for {few} days in {month}.", "About {percent} of people qualify for that program.", "Is there anything else I can help you with today?",
        "Room {room} on the {ordinal} floor, and then check in at the front desk.", "I called twice and nobody answered.", "My case worker told me to call you about food stamps.",
        "I need help with transportation to the doctor.", "Your card will arrive in {few} to {few} business days.", "I paid with my card, it was {price}.",
        "The account was opened in {year} I believe.", "I can't remember my password, can you reset it?", "They said the code doesn't work anymore.",
        "No, I don't have a credit card, I only use cash.", "I got a phone call about my insurance yesterday.", "The social worker at the hospital gave me your information.",
        "My birthday is coming up soon so that would be nice.", "We served over {big} families in {year}.", "Your balance is {price} and the minimum is {price}.",
        "I will be there in {minutes} minutes or so.", "Press one for English or two for Spanish.", "The building has about {room} units in it.",
        "It was {year} or {year}, I don't really remember.", "I'm allergic to penicillin and a couple of other things.", "Okay, sounds good, I'll talk to you then.",
        "I have two kids, ages {age} and {age}.", "The application is {few} pages long and took {minutes} minutes.",
    ],
    &[
        "You would be paying {price} out of pocket.", "How about {date} around {time}, does that work?", "It's just the {few} of us since my mom moved out.",
        "You can come by our office at {office} any weekday.", "Lunch is served between {time} and {time}.", "My hours got cut by {percent}.",
        "I worked there from {year} until {year}.", "He turned {age} in {month}.", "The waiting list is {few} to {few} months.",
        "The pharmacy is at {office} next to the bank.", "They gave us {money} for the deposit.", "This is the {ordinal} letter I got about it.",
        "She weighs {mg} pounds and takes {few} pills at night.", "Please hold while I transfer you over to them.", "Honestly I've been feeling a lot better lately.",
        "I'm pulling up the calendar, bear with me.", "Perfect, I appreciate your help with everything.", "Be outside by {time}, the driver waits {few} minutes.",
        "We are looking for a place with three bedrooms.", "Take route {bus} and get off at the library.", "He just started {ordinal} grade.",
        "That's like six or seven blocks from the shelter.", "Rent went up from {money} to {money} this spring.", "There's an opening at {time} and another at {time}.",
        "I've been sober for {few} years now.", "Only {percent} of the applications get denied.", "Do you have any other questions for me?",
        "Go to suite {room}, it's past the elevators.", "The line was busy all morning.", "A friend told me that you help with utility bills.",
        "I can't drive because of my eyesight.", "The replacement card takes {few} weeks.", "They charged my card {price} by mistake.",
        "I closed that bank account back in {year}.", "The website says my password is wrong every time.", "I typed the code in but it expired.",
        "We don't take credit cards over the phone.", "What time do you want me to call you back tomorrow?", "My social life isn't what it used to be.",
        "She was born here and he was born in Texas.", "The county has about {big} people waiting.", "You owe {price} but they can take off {percent}.",
        "It's only {minutes} minutes by car.", "To repeat these options, press nine.", "There were maybe {room} people at the meeting.",
        "Sometime in {month}, two thousand nineteen or so.", "My blood sugar was {mg} this morning.", "All right, take care and have a good day.",
        "They are {age}, {age} and {age} now.", "I filled out {few} forms already this week.",
    ],
    &[
        "They want {price} up front and then {price} a month.", "My next visit is {date}, I think {time}.", "We've got {few} kids and a dog at home.",
        "You'll find us at {office}, second door on the left.", "The front desk is there from {time} until about {time}.", "My check went down {percent} since {month}.",
        "We came to this country in {year}.", "My mother is {age} and she lives with us.", "Give it {minutes} minutes and try again.",
        "The food bank over at {office} is open on Fridays.", "I owe {money} on the heating bill.", "This is my {ordinal} time filling this out.",
        "The dose went from {mg} to {mg} milligrams.", "Who do I talk to about the late fee?", "I'm calling because I never got my letter.",
        "Hang on, my other line is ringing.", "Wonderful, that's all I needed to know.", "Someone will come by on {date} between {time} and {time}.",
        "There's a unit opening up with {few} rooms.", "The {bus} runs every {minutes} minutes on weekends.", "He's repeating the {ordinal} grade this year.",
        "I walk {few} or {few} miles a day now.", "It used to be {money}, then {money}, now nobody knows.", "We could do {time} on {date} or {time} the day after.",
        "I had surgery in {month} of {year}.", "Something like {percent} of it is covered.", "Did I answer all of your questions?",
        "Your interview is in room {room}, bring an ID.", "Every number I called was disconnected.", "I saw the flyer at the library and thought I'd call.",
        "Does Medicaid pay for the ride or do I?", "The new card comes in {few} weeks by mail.", "The card reader at the store declined it.",
        "I opened the account there maybe {few} years back.", "It keeps asking me for a password I never made.", "The text with the code came too late.",
        "They took {price} out of my account twice.", "Could you call me back after {time} instead?", "She's very social and loves the day program.",
        "The school sent home a note on {date}.", "There are {room} people ahead of me on the list.", "The fee is {price}, waived if you make under {money}.",
        "Give me a second to find a pen.", "Dial {few} at any time to hear the menu again.", "I think page {room} of the booklet explains it.",
        "Back in {year} it was a different office.", "My pressure was {mg} over {bus} at the clinic.", "No worries, talk to you on {date}.",
        "The twins are {age} and the baby is {age} months.", "That's extension {few} if you need us again.",
    ],
    fourth::PLAIN,
    fifth::PLAIN,
    sixth::PLAIN,
];
#[rustfmt::skip]
const PLAIN_ES: [Phrases; 6] = [
    &[
        "La consulta cuesta {price_es} cada vez.", "Tengo una cita el {date_es} a las {time_es}.", "Somos {few_es} en la casa.", "Nuestra oficina está en {oficina}.",
        "Abrimos de {time_es} a {time_es} todos los días.", "Vivo aquí desde {year_es}.", "Tiene {age_es} años y va a la escuela.", "Se tarda como {minutes_es} minutos en el autobús.",
        "No me acuerdo de la contraseña, ¿me puede ayudar?", "Gracias, que tenga un buen día.", "Me dijeron que llamara para lo de la renta.", "Tomo {few_es} pastillas al día.",
        "Estoy preocupada por mi mamá.", "Un momento por favor, estoy buscando su expediente.", "Gano {money_es} dólares al mes.",
    ],
    &[
        "Le van a cobrar {price_es} nada más.", "¿Puede venir el {date_es} a las {time_es}?", "Nada más somos {few_es} personas.", "La clínica está en {oficina}.",
        "Estamos abiertos hasta las {time_es}.", "Trabajé allí hasta {year_es}.", "Mi hijo cumplió {age_es} años.", "Queda a {minutes_es} minutos caminando.",
        "El código ya no sirve, me dice la página.", "Muchas gracias por su ayuda.", "Necesito ayuda para pagar la luz.", "Lo vi hace {few_es} semanas.",
        "Mi esposo está enfermo y no puede trabajar.", "Permítame, lo voy a transferir.", "Pagamos {money_es} dólares de renta.",
    ],
    &[
        "Me piden {price_es} de depósito.", "La cita quedó para el {date_es} a las {time_es}.", "Vivimos {few_es} en el departamento.", "Estamos en {oficina}, frente al parque.",
        "El comedor abre a las {time_es} y cierra a las {time_es}.", "Llegamos en {year_es}.", "Mi suegra tiene {age_es} años.", "Espéreme unos {minutes_es} minutos.",
        "Se me olvidó la contraseña otra vez.", "Que le vaya muy bien, hasta luego.", "Llamo por la carta que me mandaron.", "Le toca cada {few_es} horas.",
        "Mi niña está enferma desde el {date_es}.", "Ahorita le paso con la trabajadora social.", "Me descuentan {money_es} dólares del cheque.",
    ],
    fourth::PLAIN_ES,
    fifth::PLAIN_ES,
    sixth::PLAIN_ES,
];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const MESES: [&str; 12] =
    ["enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"];
const ORDINALS: [&str; 9] = ["first", "second", "third", "fourth", "5th", "sixth", "7th", "eighth", "tenth"];
const OFFICES: [Phrases; 6] = [
    &["Market Street", "Broadway Avenue", "Main Street", "Capitol Avenue"],
    &["Jackson Boulevard", "State Street", "University Drive", "Grand Avenue"],
    &["Commerce Street", "Liberty Avenue", "Civic Center Drive", "Railroad Avenue"],
    fourth::OFFICES,
    fifth::OFFICES,
    sixth::OFFICES,
];
const OFICINAS: [Phrases; 6] = [
    &["la calle Central", "la avenida Madero", "la calle Norte"],
    &["la calle Sexta", "la avenida Colón", "la calle Real"],
    &["la calle Ocho", "la avenida Principal", "la calle del Mercado"],
    fourth::OFICINAS,
    fifth::OFICINAS,
    sixth::OFICINAS,
];

fn number(value: u32, spanish: bool, random: &mut Random) -> String {
    if random.chance(0.5) {
        return value.to_string();
    }
    let hyphens = random.chance(0.5);
    cardinal(value, spanish, hyphens).join(" ")
}

fn time(spanish: bool, random: &mut Random) -> String {
    let (hour, minute) = (1 + random.below(12) as u32, 5 * random.below(12) as u32);
    match (random.below(3), spanish) {
        (0, _) => format!("{hour}:{minute:02}"),
        (1, false) if minute == 0 => format!("{} o'clock", cardinal(hour, false, true).join(" ")),
        (1, false) => format!("{hour}:{minute:02} p.m."),
        (_, _) if minute < 10 => cardinal(hour, spanish, true).join(" "),
        (_, true) => format!("{} y {}", cardinal(hour, true, true).join(" "), cardinal(minute, true, true).join(" ")),
        (_, false) => format!("{} {}", cardinal(hour, false, true).join(" "), cardinal(minute, false, true).join(" ")),
    }
}

fn year(spanish: bool, random: &mut Random) -> String {
    let year = 1985 + random.below(40) as u32;
    match random.below(2) {
        0 => year.to_string(),
        _ if spanish || (2000..2010).contains(&year) => cardinal(year, spanish, true).join(" "),
        _ => {
            let low = if year.is_multiple_of(100) { "hundred".to_owned() } else { cardinal(year % 100, false, true).join(" ") };
            format!("{} {low}", cardinal(year / 100, false, true).join(" "))
        }
    }
}

fn fill(slot: &str, part: usize, random: &mut Random) -> String {
    let money = |random: &mut Random| [650, 820, 943, 1_100, 1_250, 1_480, 2_075, 3_600][random.below(8)];
    match slot {
        "price" => match random.below(3) {
            0 => format!("${}.{:02}", 5 + random.below(900), random.below(100)),
            1 => format!("{} dollars", number(5 + random.below(400) as u32, false, random)),
            _ => format!(
                "{} dollars and {} cents",
                number(5 + random.below(90) as u32, false, random),
                number(5 + random.below(90) as u32, false, random)
            ),
        },
        "price_es" => format!("{} dólares", number(5 + random.below(400) as u32, true, random)),
        "money" => {
            let money = money(random);
            match random.below(3) {
                0 => format!("${},{:03}", money / 1000, money % 1000).replace("$0,", "$"),
                1 => format!("{} dollars", number(money, false, random)),
                _ => format!("{money} dollars"),
            }
        }
        "money_es" => {
            let money = money(random);
            number(money, true, random)
        }
        "date" => {
            let (day, month) = (1 + random.below(28) as u32, MONTHS[random.below(12)]);
            match random.below(3) {
                0 => format!("{month} {day}"),
                1 => format!("{month} {day}, {}", 2024 + random.below(3)),
                _ => format!("the {} of {month}", random.pick(&ORDINALS)),
            }
        }
        "date_es" => format!("{} de {}", number(2 + random.below(27) as u32, true, random), MESES[random.below(12)]),
        "time" => time(false, random),
        "time_es" => time(true, random),
        "few" => number(2 + random.below(8) as u32, false, random),
        "few_es" => number(2 + random.below(8) as u32, true, random),
        "age" => number(3 + random.below(85) as u32, false, random),
        "age_es" => number(3 + random.below(85) as u32, true, random),
        "minutes" => number(5 * (1 + random.below(12) as u32), false, random),
        "minutes_es" => number(5 * (1 + random.below(12) as u32), true, random),
        "percent" => match random.below(2) {
            0 => format!("{}%", 1 + random.below(99)),
            _ => format!("{} percent", number(1 + random.below(99) as u32, false, random)),
        },
        "year" => year(false, random),
        "year_es" => year(true, random),
        "month" => MONTHS[random.below(12)].to_owned(),
        "ordinal" => (*random.pick(&ORDINALS)).to_owned(),
        "mg" => number([25, 50, 81, 110, 150, 250, 500][random.below(7)], false, random),
        "times" => (*random.pick(&["two", "three", "2", "3"])).to_owned(),
        "bus" => number(3 + random.below(90) as u32, false, random),
        "room" => number(101 + random.below(400) as u32, false, random),
        "big" => match random.below(2) {
            0 => format!("{},{:03}", 1 + random.below(90), random.below(1000)),
            _ => cardinal(1_000 * (2 + random.below(60) as u32) + 100 * random.below(10) as u32, false, true).join(" "),
        },
        "percent_es" => format!("{} por ciento", number(1 + random.below(99) as u32, true, random)),
        "mg_es" => number([25, 50, 81, 110, 150, 250, 500][random.below(7)], true, random),
        "bus_es" => number(3 + random.below(90) as u32, true, random),
        "room_es" => number(101 + random.below(400) as u32, true, random),
        "office" => format!("{} {}", 100 + random.below(4000), random.pick(OFFICES[part])),
        "oficina" => format!("{} {}", random.pick(OFICINAS[part]), 100 + random.below(900)),
        _ => unreachable!("no such slot: {slot}"),
    }
}

/// What one says, and what the other answers, if it is a question.
fn plain(tongue: Tongue, part: usize, random: &mut Random) -> Vec<Vec<Said>> {
    let spanish = tongue == Tongue::Spanish || tongue == Tongue::Both && random.chance(0.5);
    let template = *random.pick(if spanish { PLAIN_ES } else { PLAIN }[part]);
    let mut text = String::new();
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once('{') {
        let (slot, tail) = tail.split_once('}').unwrap();
        text.push_str(head);
        text.push_str(&fill(slot, part, random));
        rest = tail;
    }
    text.push_str(rest);
    text.split('|').map(words).collect()
}

fn words(text: &str) -> Vec<Said> {
    text.split_whitespace().map(|word| Said { text: word.to_owned(), secret: None }).collect()
}

/// A secret in the call: asked for or not, announced or not.
fn tell(call: &mut Call, entity: Entity, shape: Option<Shape>, tongue: Tongue, part: usize, random: &mut Random) {
    let (pieces, name) = match shape {
        Some(shape) => {
            let digits = secrets::digits(entity, random);
            (say(&digits, shape, tongue, part, random), format!("{shape:?}"))
        }
        None => {
            let (pieces, name) = secrets::other(entity, tongue, part, random);
            (pieces, name.to_owned())
        }
    };
    let wording = wording(entity, part);
    let spanish = tongue == Tongue::Spanish || tongue == Tongue::Both && random.chance(0.5);
    let (asks, tells) = if spanish { (wording.asks_es, wording.tells_es) } else { (wording.asks, wording.tells) };
    // The habits of that part; the first three had the same.
    let of_part = |first: [Phrases; 2], later: [[Phrases; 2]; 3]| if part < 3 { first } else { later[part - 3] }[usize::from(spanish)];
    let openings = of_part(
        [&["", "sure, ", "uh, it's ", "yes it's "], &["", "sí, ", "este, es "]],
        [fourth::OPENINGS, fifth::OPENINGS, sixth::OPENINGS],
    );
    let alone = of_part([&["okay {}", "ready? {}", "so {}"], &["okay {}"]], [fourth::ALONE, fifth::ALONE, sixth::ALONE]);
    let stalls = of_part([&[], &[]], [fourth::STALLS, fifth::STALLS, sixth::STALLS]);
    let on_file = of_part([&[], &[]], [fourth::ON_FILE, fifth::ON_FILE, sixth::ON_FILE]);
    let thanks = of_part([&["Thank you.", "Okay, thanks.", "Got it."], &["Gracias."]], [fourth::THANKS, fifth::THANKS, sixth::THANKS]);
    let way = random.below(if stands_alone(entity) { 4 } else { 3 });
    if way != 1 && way != 3 {
        call.turns.push(Turn { speaker: Speaker::Other, words: words(random.pick::<&str>(asks)), pause_ms: 600 });
    }
    // Who has it on file tells it, or the one who is asked has to look for it.
    let filed = way == 2 && stands_alone(entity) && !on_file.is_empty() && random.chance(0.4);
    if way != 1 && way != 3 && !filed && !stalls.is_empty() && random.chance(0.25) {
        let mut speaker = Speaker::Client;
        for said in random.pick::<&str>(stalls).split('|') {
            call.turns.push(Turn { speaker, words: words(said), pause_ms: 1_000 });
            speaker = turned(speaker);
        }
    }
    let teller = if filed { Speaker::Other } else { Speaker::Client };
    let told = match way {
        _ if filed => (*random.pick::<&str>(on_file)).to_owned(),
        0 => format!("{}{{}}", random.pick(openings)),
        3 => (*random.pick::<&str>(alone)).to_owned(),
        _ => (*random.pick::<&str>(tells)).to_owned(),
    };
    let (before, after) = told.split_once("{}").unwrap();
    let id = call.secrets.len();
    call.secrets.push(Secret { entity, shape: name, tongue });
    let last = pieces.iter().rposition(|piece| matches!(piece, Piece::Secret(_))).unwrap_or(0);
    let mut turn = Turn { speaker: teller, words: words(before), pause_ms: 700 };
    let begin = || Turn { speaker: teller, words: Vec::new(), pause_ms: 700 };
    for (n, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Secret(text) => turn.words.push(Said { text: text.clone(), secret: Some((id, carries(text))) }),
            Piece::Aside(text) => turn.words.push(Said { text: text.clone(), secret: (n < last).then_some((id, false)) }),
            Piece::Other(text) => {
                call.turns.push(std::mem::replace(&mut turn, begin()));
                call.turns.push(Turn { speaker: turned(teller), words: words(text), pause_ms: 200 });
            }
            Piece::OtherSecret(pieces) => {
                let said = pieces.iter().map(|piece| match piece {
                    Piece::Secret(text) => Said { text: text.clone(), secret: Some((id, carries(text))) },
                    Piece::Aside(text) | Piece::Other(text) => Said { text: text.clone(), secret: None },
                    Piece::OtherSecret(_) | Piece::Pause(_) => unreachable!("a part said again is words"),
                });
                let words = said.collect();
                call.turns.push(std::mem::replace(&mut turn, begin()));
                call.turns.push(Turn { speaker: turned(teller), words, pause_ms: 400 });
            }
            Piece::Pause(ms) => {
                turn.pause_ms = *ms;
                call.turns.push(std::mem::replace(&mut turn, begin()));
            }
        }
    }
    if after.is_empty()
        && let Some(word) = turn.words.last_mut()
    {
        word.text.push('.');
    }
    turn.words.extend(words(after));
    // Read back as the last thing that was told, nothing of it is left to say.
    if !turn.words.is_empty() {
        call.turns.push(turn);
    }
    if filed {
        let yes = if spanish { "Sí, así es." } else { "Yes, that's right." };
        call.turns.push(Turn { speaker: turned(teller), words: words(yes), pause_ms: 600 });
    } else if random.chance(0.3) {
        call.turns.push(Turn { speaker: Speaker::Other, words: words(random.pick::<&str>(thanks)), pause_ms: 600 });
    }
}

/// Who is spoken to.
fn turned(speaker: Speaker) -> Speaker {
    match speaker {
        Speaker::Client => Speaker::Other,
        Speaker::Other => Speaker::Client,
    }
}

/// Joints such as "y", "de" and "dot" carry nothing by themselves.
fn carries(text: &str) -> bool {
    let folded = text.to_lowercase();
    !matches!(
        folded.trim_matches(|c: char| !c.is_alphanumeric()),
        "y" | "de"
            | "del"
            | "at"
            | "dot"
            | "arroba"
            | "punto"
            | "com"
            | "org"
            | "net"
            | "slash"
            | "diagonal"
            | "po"
            | "box"
            | "underscore"
            | "guion"
            | "bajo"
            | "double"
            | "triple"
            | "doble"
            | "numero"
            | "número"
            | "calle"
            | "avenida"
            | ""
    )
}

impl Call {
    /// One call: some ordinary talk, and `secrets` in between.
    pub fn new(secrets: &[(Entity, Option<Shape>)], tongue: Tongue, part: usize, random: &mut Random) -> Self {
        let mut call = Self { turns: Vec::new(), secrets: Vec::new() };
        for (entity, shape) in secrets {
            for _ in 0..3 + random.below(5) {
                call.chat(tongue, part, random);
            }
            tell(&mut call, *entity, *shape, tongue, part, random);
        }
        for _ in 0..4 {
            call.chat(tongue, part, random);
        }
        if random.chance(0.35) {
            call.write_as_small_letters();
        }
        call
    }

    fn chat(&mut self, tongue: Tongue, part: usize, random: &mut Random) {
        let speaker = if random.chance(0.5) { Speaker::Client } else { Speaker::Other };
        let turns = plain(tongue, part, random);
        // Who is asked answers at once; a question is the case manager's.
        let mut speaker = if turns.len() > 1 { Speaker::Other } else { speaker };
        for words in turns {
            self.turns.push(Turn { speaker, words, pause_ms: 600 + 100 * random.below(20) as u64 });
            speaker = turned(speaker);
        }
    }

    /// As a recogniser without punctuation and capitals has it.
    fn write_as_small_letters(&mut self) {
        for word in self.turns.iter_mut().flat_map(|turn| &mut turn.words) {
            let small = word.text.to_lowercase();
            word.text = small.trim_matches(|c: char| matches!(c, '.' | ',' | '?' | '¿' | '!')).to_owned();
        }
    }

    /// The turns with times, as a recogniser tells them: it ends an utterance when it hears a pause, of half a second or more.
    pub fn utterances(&self) -> Vec<Utterance> {
        let mut now_ms = 1_000;
        self.turns
            .iter()
            .map(|turn| {
                let start_ms = now_ms;
                let words: Vec<Word> = turn
                    .words
                    .iter()
                    .map(|said| {
                        let word = Word { text: said.text.clone(), start_ms: now_ms, end_ms: now_ms + 260, confidence: 0.9 };
                        now_ms += 320;
                        word
                    })
                    .collect();
                let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                let utterance = Utterance { speaker: turn.speaker, text, start_ms, end_ms: now_ms, words, alternatives: Vec::new() };
                now_ms += turn.pause_ms;
                utterance
            })
            .collect()
    }
}

/// The whole set of one part: every entity in every shape in every language, `rounds` times.
pub fn calls(seed: u64, rounds: usize, part: usize) -> Vec<Call> {
    let mut random = Random::new(seed);
    let mut cases = Vec::new();
    for _ in 0..rounds {
        for tongue in [Tongue::English, Tongue::Spanish, Tongue::Both] {
            for entity in OF_DIGITS {
                cases.extend(Shape::of(part).iter().map(|shape| (entity, Some(*shape), tongue)));
            }
            for entity in OTHERS {
                cases.extend([(entity, None, tongue); 12]);
            }
        }
    }
    // Three secrets a call, of one language, in an order of chance.
    for n in (1..cases.len()).rev() {
        cases.swap(n, random.below(n + 1));
    }
    let mut calls = Vec::new();
    for tongue in [Tongue::English, Tongue::Spanish, Tongue::Both] {
        let of: Vec<_> = cases.iter().filter(|(_, _, spoken)| *spoken == tongue).map(|(entity, shape, _)| (*entity, *shape)).collect();
        calls.extend(of.chunks(3).map(|secrets| Call::new(secrets, tongue, part, &mut random)));
    }
    calls
}
