//! Stories of redaction. What is said is written `client: …` and `other: …`, a line a turn.

use proptest::prelude::*;

use super::mind::{Mind, Shared};
use super::token::Token;
use super::*;

/// The turns of a script: two words and a half a second, and half a second between turns.
fn turns(script: &str) -> Vec<Utterance> {
    let mut now_ms = 10_000;
    script.trim().lines().map(|line| turn(line.trim(), &mut now_ms, 700)).collect()
}

fn turn(line: &str, now_ms: &mut u64, pause_ms: u64) -> Utterance {
    let (speaker, text) = line.split_once(": ").unwrap();
    let speaker = if speaker == "client" { Speaker::Client } else { Speaker::Other };
    let start_ms = *now_ms;
    let words = text.split_whitespace().enumerate().map(|(n, text)| word(text, start_ms + n as u64 * 400)).collect::<Vec<_>>();
    let end_ms = words.last().map_or(start_ms, |word| word.end_ms);
    *now_ms = end_ms + pause_ms;
    Utterance { speaker, text: text.to_owned(), start_ms, end_ms, words, alternatives: Vec::new() }
}

fn word(text: &str, start_ms: u64) -> Word {
    Word { text: text.to_owned(), start_ms, end_ms: start_ms + 300, confidence: 0.9 }
}

fn redact(policy: Policy, utterances: impl IntoIterator<Item = Utterance>) -> Vec<Redacted> {
    let mut redactor = Redactor::new(policy);
    let mut out = Vec::new();
    for utterance in utterances {
        out.extend(redactor.redact(utterance).unwrap());
    }
    out.extend(redactor.finish());
    out
}

/// What the client's side of a script becomes.
fn client(policy: Policy, script: &str) -> String {
    let redacted = redact(policy, turns(script));
    let texts =
        redacted.iter().filter(|redacted| redacted.utterance.speaker == Speaker::Client).map(|redacted| redacted.utterance.text.as_str());
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" / ")
}

fn check(script: &str, expected: &str) {
    assert_eq!(client(Policy::default(), script), expected, "{script}");
}

#[test]
fn a_card_number_is_found_in_every_way_of_saying_it() {
    for number in [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "four one one one, one one one one. one one one one one one one one",
        "forty-one eleven eleven eleven eleven eleven eleven eleven",
        "four triple one double one double one four ones eleven eleven one one",
        "four thousand one hundred eleven one thousand one hundred eleven eleven eleven eleven eleven",
        "4111 one one one one uh 11 11 okay eleven eleven",
        "four one one two no sorry four one one one one one one one one one one one one one one one",
        "cuatro mil ciento once once once once once once once",
        "cuatro uno uno uno four one one one guion uno uno uno uno one one one one",
        "cuarenta y uno once doble uno once once once treinta y uno veintidós",
        "2221 0012 3412 3412",
    ] {
        check(&format!("client: so it's {number} thanks"), "so it's [CARD_NUMBER] thanks");
    }
}

#[test]
fn an_agent_who_says_okay_in_the_middle_changes_nothing() {
    check(
        "other: What's the card number?
         client: It's 4111 1111
         other: okay
         client: and then 1111
         other: mm-hmm
         client: 1111. Anything else?",
        "It's [CARD_NUMBER] / Anything else?",
    );
}

#[test]
fn what_was_asked_tells_what_a_short_number_is() {
    check("other: And the security code?\nclient: Four seven one.", "[CVV]");
    check("other: When does it expire?\nclient: Oh nine twenty seven.", "[EXPIRY]");
    check("other: ¿Cuál es su clave?\nclient: Es cuatro siete uno uno.", "Es [PIN]");
    check("client: I got the code, it's 48 12 77.", "I got the code, it's [ONE_TIME_CODE]");
    check("client: 4711 is my PIN.", "[PIN] is my PIN.");
    check("client: The last four of my social are 6 7 8 9.", "The last four of my social are [SSN]");
    check("other: How many are you?\nclient: Four, seven with the kids.", "Four, seven with the kids.");
}

#[test]
fn a_number_that_is_awaited_goes_on_after_a_sentence_or_begins_again() {
    check(
        "other: And your social?
         client: Okay it's one two three hold on somebody's at the door where was I four five six seven eight nine.",
        "Okay it's [SSN] hold on somebody's at the door where was I [SSN]",
    );
    check(
        "other: What's the security code?
         client: It's four no let me start over four seven one.",
        "It's [CVV] no let me start over [CVV]",
    );
    check(
        "other: What is your PIN?
         client: Let me get my glasses.
         client: Okay, four seven one one.",
        "Let me get my glasses. / Okay, [PIN]",
    );
}

#[test]
fn what_the_other_reads_back_is_masked_as_well() {
    let redacted = redact(
        Policy::default(),
        turns("other: What's the routing number?\nclient: It's zero two one\nother: zero two one okay\nclient: triple zero zero two one"),
    );
    let shown: Vec<&str> = redacted.iter().map(|redacted| redacted.utterance.text.as_str()).collect();
    assert!(shown.contains(&"[ROUTING_NUMBER] okay"), "{shown:?}");
    assert!(shown.iter().all(|text| !text.contains("two one")), "{shown:?}");
}

#[test]
fn a_quantity_stays_also_where_a_number_is_awaited() {
    for said in
        ["She was 110 before the stroke.", "There's five stairs in the front.", "It's six or seven blocks.", "No, they sent 250 of them."]
    {
        check(&format!("other: And the account number?\nclient: {said}"), said);
    }
    // What was asked for is not awaited any more.
    check(
        "other: Do you have your PIN?\nother: How many people live with you?\nclient: Four, seven with the kids.",
        "Four, seven with the kids.",
    );
}

#[test]
fn what_is_all_that_was_asked_for_is_it_whatever_is_said_around_it() {
    for (question, answer, expected) in [
        ("What is your PIN?", "4821 of course.", "[PIN] of course."),
        ("What is your PIN?", "In my room it's 4821.", "In my room it's [PIN]"),
        ("¿Cuál es su PIN?", "El 4821 de siempre.", "El [PIN] de siempre."),
        ("What's the security code?", "482 of course.", "[CVV] of course."),
        ("What's the number?", "I wrote it down, 4821 33.", "I wrote it down, [ONE_TIME_CODE]"),
        ("What is your PIN?", "no I think it's 4821", "no I think it's [PIN]"),
        ("The number on the strip?", "482", "[CVV]"),
    ] {
        check(&format!("other: {question}\nclient: {answer}"), expected);
    }
    check("client: It was four eight, let me see, two one for the PIN.", "It was [PIN] for the PIN.");
    check("client: No se vence hasta 09 27.", "No se vence hasta [EXPIRY]");
    check("client: Please reach my husband at 555 0199", "Please reach my husband at [PHONE]");
    check("client: el nombre del paciente es Ramiro Uriarte.", "el nombre del paciente es [NAME]");
    check("other: Your last name?\nclient: O ' C O N N O R", "[NAME]");
}

#[test]
fn a_question_in_the_middle_that_asks_for_nothing_ends_no_number() {
    for question in ["Could you please speak up?", "Can you hear me okay?", "Do you have the rest?", "and what comes next"] {
        let script =
            format!("other: What is your social?\nclient: one two three\nother: {question}\nclient: four five six seven eight nine");
        assert!(!client(Policy::default(), &script).contains("five"), "{question}");
    }
    check(
        "other: What is your card number?
         client: 4111 1111
         other: What did the doctor tell you about the stairs?
         client: I take 40 of them.",
        "[CARD_NUMBER] / I take 40 of them.",
    );
}

#[test]
fn pronouns_measures_and_everybodys_numbers_stay() {
    for said in
        ["That one is the right one.", "My temperature was 101 point three.", "Call 211 or 988.", "the three on the strip", "tres o cuatro"]
    {
        check(&format!("client: {said}"), said);
        check(&format!("other: What is your phone number?\nclient: {said}"), said);
    }
    check("other: And your pin?\nclient: 71\nother: okay\nclient: tres kilos", "[PIN] / tres kilos");
}

#[test]
fn every_entity_has_its_story() {
    for (script, expected) in [
        ("client: My social is 123 45 6789.", "My social is [SSN]"),
        ("client: My ITIN is 900 70 1234.", "My ITIN is [ITIN]"),
        ("client: The routing number is 021 000 021.", "The routing number is [ROUTING_NUMBER]"),
        ("client: My account number is 123 456 7890.", "My account number is [BANK_ACCOUNT]"),
        ("client: It's GB29 NWBK 6016 1331 9268 19 okay?", "It's [IBAN] okay?"),
        ("client: D E eight nine three seven oh four double zero four four oh five three two oh one three triple zero.", "[IBAN]"),
        ("client: My PAN is A B C D E one two three four F.", "My PAN is [PAN]"),
        ("client: Aadhaar is 2341 2341 2346.", "Aadhaar is [AADHAAR]"),
        ("client: The MRN is A 10 442.", "The MRN is [MEDICAL_RECORD]"),
        ("client: I was born March fifteenth nineteen eighty-five in Texas.", "I was born [DATE_OF_BIRTH] in Texas."),
        ("client: Nací el quince de marzo de mil novecientos ochenta y cinco.", "Nací el [DATE_OF_BIRTH]"),
        ("client: Call me at 415 555 2671 please.", "Call me at [PHONE] please."),
        ("client: It's maria dot lopez at gmail dot com and that's it.", "It's [EMAIL] and that's it."),
        ("client: Mi correo es maria guion bajo uno arroba salud punto com punto mx gracias", "Mi correo es [EMAIL] gracias"),
        ("client: My password is bluebird forty two.", "My password is [PASSWORD]"),
        ("client: I live at 42 Elm Street, apartment 4 now.", "I live at [ADDRESS] now."),
        ("client: Vivo en la calle Hidalgo número cuarenta y dos.", "Vivo en la [ADDRESS]"),
        ("client: My name is Maria Lopez and I need help.", "My name is [NAME] and I need help."),
    ] {
        check(script, expected);
    }
}

#[test]
fn ordinary_talk_stays_as_it_is() {
    for line in [
        "There are two of us, and it costs forty-five dollars and ten cents.",
        "The appointment is on March 15th, 2025 at ten thirty.",
        "Come at two thirty, three fifteen, or four forty five.",
        "Our office is at 1200 Market Street, suite 300.",
        "It was twenty nineteen, twenty twenty and twenty twenty one.",
        "We helped two hundred fifty thousand families and five hundred clients.",
        "Interest is 4.75 percent, that's $1,250.00 by the 1st.",
        "Abrimos de seis y diez a nueve y cuarenta y cinco.",
        "My social worker told me once in a while to call.",
        "I can't remember my password, can you reset it?",
        "Meet me at the library on Friday.",
    ] {
        check(&format!("client: {line}"), line);
        check(&format!("other: What's the card number and the security code?\nclient: {line}"), line);
    }
}

#[test]
fn a_name_once_told_is_masked_when_it_comes_again() {
    let script = "client: My name is Xochitl Okafor.\nother: Thank you. One moment, Xochitl.\nclient: Okafor with a k.";
    let redacted = redact(Policy::default(), turns(script));
    let other = redacted.iter().find(|redacted| redacted.utterance.speaker == Speaker::Other).unwrap();
    assert_eq!(other.utterance.text, "Thank you. One moment, [NAME]");
    check(script, "My name is [NAME] / [NAME] with a k.");
}

#[test]
fn each_entity_can_be_switched_and_strict_masks_the_rest() {
    let script = "client: Call 415 555 2671, case A, 204 people, at 10:30, room 204, 45 percent, the 3rd, code 847.";
    let without = |entity| Policy { entities: Entities::ALL.without(entity), strict: false };
    assert!(client(Policy::default(), script).starts_with("Call [PHONE]"));
    assert!(client(without(Entity::Phone), script).starts_with("Call 415 555 2671,"));
    let strict = client(Policy { strict: true, ..without(Entity::Phone) }, script);
    assert_eq!(strict, "Call [NUMBER] case A, [NUMBER] people, at 10:30, room [NUMBER] 45 percent, the 3rd, code [ONE_TIME_CODE]");
    let nothing = Policy { entities: Entities::NONE, strict: false };
    assert_eq!(client(nothing, "client: My PIN is 4711."), "My PIN is 4711.");
    for entity in Entity::ALL {
        assert_eq!(Entity::from_code(entity.code()), Some(entity));
    }
}

#[test]
fn the_audio_is_silenced_from_before_the_first_digit_to_the_next_word() {
    let redacted = redact(Policy::default(), turns("client: call 415 555 2671 please\nclient: my PIN is 4711"));
    let spans: Vec<&Span> = redacted.iter().flat_map(|redacted| &redacted.spans).collect();
    // "call" begins at 10,000 ms; each word 400 ms later, and 300 ms long.
    assert_eq!((spans[0].start_ms, spans[0].end_ms), (10_400 - SILENCE_PAD_MS, 11_600));
    assert_eq!((spans[0].entity, spans[0].words.clone()), (Entity::Phone, 1..4));
    assert_eq!((spans[1].start_ms, spans[1].end_ms), (13_800 - SILENCE_PAD_MS, 14_100 + SILENCE_TAIL_MS_MAX), "nobody speaks after it");
    assert_eq!(spans[1].words, 8..9);
}

#[test]
fn a_number_goes_on_in_the_next_turn_and_not_after_the_window() {
    let mut now_ms = 0;
    let mut say = |line: &str, pause_ms| turn(line, &mut now_ms, pause_ms);
    let within = [say("client: four one five five", TURN_WINDOW_MS - 1_000), say("client: five five two six seven one", 0)];
    assert_eq!(redact(Policy::default(), within)[0].spans[0].words, 0..10);
    let beyond = [say("client: four one five five", TURN_WINDOW_MS + 1_000), say("client: five five two six seven one", 0)];
    assert!(redact(Policy::default(), beyond).iter().all(|redacted| redacted.spans.is_empty()));
}

#[test]
fn check_digits_make_surer_and_are_never_needed() {
    let confidence = |script| redact(Policy::default(), turns(script))[0].spans[0].confidence;
    assert_eq!(confidence("client: 4111 1111 1111 1111"), Confidence::Checksum);
    assert_eq!(confidence("client: 4111 1111 1111 1117"), Confidence::Shape);
}

#[test]
fn every_form_of_an_utterance_is_masked_alike() {
    let mut now_ms = 0;
    let mut spoken = turn("client: it is four one one one one one one one one one one one one one one one yes", &mut now_ms, 0);
    spoken.text = "It is 4111 1111 1111 1111 yes".to_owned();
    let guess = |text: &str| Alternative { text: text.to_owned(), words: Vec::new(), confidence: 0.3 };
    spoken.alternatives = vec![
        guess("it is for one one won and one 1 1 one one one one one one one one yes"),
        guess("it is fortunate wonton yes"),
        Alternative { words: vec![word("it", 0), word("4111", 800)], ..guess("it 4111") },
    ];
    let redacted = redact(Policy::default(), [spoken]);
    let utterance = &redacted[0].utterance;
    assert_eq!(utterance.text, "It is [CARD_NUMBER] yes");
    assert!(utterance.words[2..18].iter().all(|word| word.text == "[CARD_NUMBER]"));
    assert_eq!(utterance.alternatives[0].text, "it is [CARD_NUMBER] yes");
    assert_eq!(utterance.alternatives[1].text, "it is [CARD_NUMBER] yes", "what the text hides, no alternative tells");
    assert_eq!(utterance.alternatives[2].words[1].text, "[CARD_NUMBER]");
}

#[test]
fn what_only_the_text_or_an_alternative_gives_away_is_masked_too() {
    let mut now_ms = 0;
    let mut spoken = turn("client: it is for won fun wonder one for", &mut now_ms, 0);
    spoken.text = "It is 4111 1111 1111 1111".to_owned();
    spoken.alternatives = vec![Alternative { text: "it is 4111 1111 1111 1111".to_owned(), ..Alternative::default() }];
    let redacted = redact(Policy::default(), [spoken]);
    assert_eq!(redacted[0].utterance.text, "It is [CARD_NUMBER]");
    assert_eq!(redacted[0].utterance.alternatives[0].text, "it is [CARD_NUMBER]");
    assert!(redacted[0].utterance.words[2..].iter().all(|word| word.text == "[CARD_NUMBER]"));
    assert_eq!(redacted[0].spans.len(), 1, "and the audio is silenced");
}

#[test]
fn a_partial_shows_bullets_for_digits() {
    let mut redactor = Redactor::new(Policy::default());
    let mut now_ms = 0;
    redactor.redact(turn("other: What's your name?", &mut now_ms, 500)).unwrap();
    let partial = redactor.preview(&turn("client: It's Xochitl and I have two 4711 forty-one uh A12", &mut now_ms, 0)).unwrap();
    assert_eq!(partial.text, "It's [NAME] and I have • • • uh •");
    assert_eq!(redactor.held_words(), 1, "the question mark waits for what follows; the partial left nothing behind");
}

#[test]
fn what_is_held_back_comes_out_when_the_recogniser_has_gone_past_it() {
    let mut redactor = Redactor::new(Policy::default());
    let mut now_ms = 0;
    let said = turn("client: we counted 415 555", &mut now_ms, 0);
    let end_ms = said.end_ms;
    assert!(redactor.redact(said).unwrap().is_empty());
    assert!(redactor.heard_until(Speaker::Client, end_ms + TURN_WINDOW_MS).is_empty());
    assert!(redactor.heard_until(Speaker::Other, end_ms + TURN_WINDOW_MS + 1).is_empty());
    assert_eq!(redactor.heard_until(Speaker::Client, end_ms + TURN_WINDOW_MS + 1)[0].utterance.text, "we counted 415 555");
    assert_eq!(redactor.held_words(), 0);
}

#[test]
fn whoever_never_stops_saying_digits_fills_no_memory() {
    let mut redactor = Redactor::new(Policy::default());
    let (mut now_ms, mut released) = (0, 0);
    for _ in 0..2_000 {
        released += redactor.redact(turn("client: one two three", &mut now_ms, 10)).unwrap().len();
        assert!(redactor.held_words() <= AHEAD_WORDS_MAX);
    }
    assert!(released >= 2_000 - AHEAD_WORDS_MAX, "{released}");
    assert!(redactor.finish().iter().all(|redacted| !redacted.utterance.text.contains("two")));
}

#[test]
fn unusable_utterances_are_refused_by_name() {
    let refused = |utterance| Redactor::new(Policy::default()).redact(utterance).unwrap_err();
    let many = Utterance { text: "a ".repeat(UTTERANCE_WORDS_MAX + 1), ..Utterance::default() };
    assert_eq!(refused(many), Unusable::TooManyWords(UTTERANCE_WORDS_MAX + 1));
    let long = Utterance { text: "a".repeat(WORD_BYTES_MAX + 1), ..Utterance::default() };
    assert_eq!(refused(long), Unusable::WordTooLong(WORD_BYTES_MAX + 1));
    let backwards = Utterance { words: vec![Word { start_ms: 5, end_ms: 4, ..word("a", 0) }], ..Utterance::default() };
    assert_eq!(refused(backwards), Unusable::EndsBeforeItBegins(0));
    let guesses = Utterance { alternatives: vec![Alternative::default(); ALTERNATIVES_MAX + 1], ..Utterance::default() };
    assert_eq!(refused(guesses), Unusable::TooManyAlternatives(ALTERNATIVES_MAX + 1));
    assert!(redact(Policy::default(), [Utterance::default()])[0].utterance.text.is_empty(), "nothing said is no mistake");
}

#[test]
fn nothing_prints_what_was_said() {
    let mut said = turns("client: xylophone 4711 zebra").remove(0);
    said.alternatives = vec![Alternative { text: "xylophone".to_owned(), words: said.words.clone(), confidence: 0.5 }];
    let mut redactor = Redactor::new(Policy::default());
    let partial = redactor.preview(&said).unwrap();
    let printed = format!("{said:?} {:?} {:?} {partial:?} {:?} {redactor:?}", said.words, said.alternatives, redactor.redact(said.clone()));
    for secret in ["xylophone", "zebra", "4711"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    assert!(format!("{:?}", redactor.finish()).contains("first_word"));
}

// === In whatever pieces it comes ===

/// All that came out, without its seams: words, texts, spans, of each speaker.
fn seamless(redacted: &[Redacted]) -> Vec<(Vec<String>, String, Vec<Span>)> {
    let of = |speaker| {
        let of = || redacted.iter().filter(move |redacted| redacted.utterance.speaker == speaker);
        let words = of().flat_map(|redacted| redacted.utterance.words.iter().map(|word| word.text.clone())).collect();
        let texts: Vec<&str> = of().map(|redacted| redacted.utterance.text.as_str()).filter(|text| !text.is_empty()).collect();
        (words, texts.join(" "), of().flat_map(|redacted| redacted.spans.clone()).collect())
    };
    vec![of(Speaker::Client), of(Speaker::Other)]
}

/// The utterance cut after each word whose bit is set.
fn cut(utterance: &Utterance, cuts: u64) -> Vec<Utterance> {
    let mut pieces = Vec::new();
    let mut words = Vec::new();
    for (n, word) in utterance.words.iter().enumerate() {
        words.push(word.clone());
        if cuts & (1 << n) != 0 || n + 1 == utterance.words.len() {
            let words = std::mem::take(&mut words);
            let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            let (start_ms, end_ms) = (words[0].start_ms, words[words.len() - 1].end_ms);
            pieces.push(Utterance { speaker: utterance.speaker, text, start_ms, end_ms, words, alternatives: Vec::new() });
        }
    }
    pieces
}

#[test]
fn every_way_to_cut_a_sentence_gives_the_same() {
    for line in [
        "client: uh forty-one eleven okay double one 1111 11 11 11 yes",
        "client: my PIN is 47 no 48 eleven and call 415 555 2671",
        "client: maria dot lopez at gmail dot com at nine thirty",
        "client: I live at forty two Elm Street apartment four B",
    ] {
        let whole = turns(line).remove(0);
        let expected = seamless(&redact(Policy::default(), [whole.clone()]));
        assert!(!expected[0].2.is_empty());
        for cuts in 0..1 << (whole.words.len() - 1) {
            assert_eq!(seamless(&redact(Policy::default(), cut(&whole, cuts))), expected, "{line}: cut {cuts:b}");
        }
    }
}

/// Words that rules begin, go on, end and are misled by.
const WORDS: &[&str] = &[
    "four",
    "one",
    "oh",
    "forty-one",
    "eleven",
    "double",
    "thousand",
    "hundred",
    "treinta",
    "y",
    "once",
    "mil",
    "4111",
    "11",
    "12/26",
    "uh",
    "okay",
    "no",
    "sorry",
    "a",
    "ver",
    "dash",
    "dot",
    "at",
    "arroba",
    "punto",
    "com",
    "gmail",
    "maria",
    "lopez",
    "my",
    "name",
    "is",
    "PIN",
    "card",
    "number",
    "security",
    "code",
    "social",
    "born",
    "March",
    "fifteenth",
    "de",
    "calle",
    "Elm",
    "Street",
    "apartment",
    "live",
    "office",
    "dollars",
    "people",
    "at",
    "or",
    "password",
    "your",
    "the",
    "what's",
    "phone",
    "G",
    "B",
    "D",
    "E",
    "ABCDE",
    "1234F",
    "$45",
    "one.",
    "five,",
    "IBAN",
    "yes?",
    "I",
    "el",
    "guion",
];

fn talk() -> impl Strategy<Value = Vec<(bool, Vec<&'static str>, u64)>> {
    let turn =
        (any::<bool>(), prop::collection::vec(prop::sample::select(WORDS), 1..14), prop::sample::select(vec![100u64, 700, 5_000, 25_000]));
    prop::collection::vec(turn, 1..8)
}

fn said(talk: &[(bool, Vec<&'static str>, u64)]) -> Vec<Utterance> {
    let mut now_ms = 0;
    talk.iter()
        .map(|(client, words, pause_ms)| {
            turn(&format!("{}: {}", if *client { "client" } else { "other" }, words.join(" ")), &mut now_ms, *pause_ms)
        })
        .collect()
}

type Shape = Vec<(Option<Entity>, Option<(u64, u64, u64)>)>;

/// What one speaker's words come to if each is decided as soon as it can be, and if all are heard first.
fn let_out(talk: &[(bool, Vec<&'static str>, u64)], strict: bool) -> (Shape, Shape) {
    let policy = Policy { strict, ..Policy::default() };
    let (mut early, mut early_shared) = (Mind::new(Speaker::Client), Shared::new(policy));
    let (mut late, mut late_shared) = (Mind::new(Speaker::Client), Shared::new(policy));
    let mut out = Vec::new();
    for word in said(talk).into_iter().flat_map(|utterance| utterance.words) {
        early.hear(&mut early_shared, Token::new(&word.text), word.start_ms, word.end_ms);
        out.extend(early.settle(&mut early_shared, false));
        late.hear(&mut late_shared, Token::new(&word.text), word.start_ms, word.end_ms);
    }
    out.extend(early.settle(&mut early_shared, true));
    let shape = |decided: Vec<Decided>| {
        decided.into_iter().map(|word| (word.masked, word.begins.map(|begins| (begins.start_ms, begins.end_ms, begins.words)))).collect()
    };
    (shape(out), shape(late.settle(&mut late_shared, true)))
}

#[test]
fn what_begins_a_turn_takes_nothing_back_of_the_turn_before() {
    let talk = [
        (false, vec!["four"; 5], 100),
        (false, vec!["four", "four", "four", "four", "PIN", "y", "uh", "sorry", "forty-one"], 700),
        (false, vec!["double", "double", "four", "four", "com"], 700),
        (false, vec!["four", "I"], 100),
    ];
    let (early, late) = let_out(&talk, false);
    assert_eq!(early, late);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn any_talk_cut_anyhow_gives_the_same(talk in talk(), cuts in prop::collection::vec(any::<u64>(), 8)) {
        let whole = said(&talk);
        let pieces: Vec<_> = whole.iter().zip(&cuts).flat_map(|(utterance, cuts)| cut(utterance, *cuts)).collect();
        prop_assert_eq!(seamless(&redact(Policy::default(), pieces)), seamless(&redact(Policy::default(), whole)));
    }

    /// What is let out early is what would have been let out if all had been known.
    #[test]
    fn holding_back_is_enough(talk in talk(), strict in any::<bool>()) {
        let (early, late) = let_out(&talk, strict);
        prop_assert_eq!(early, late);
    }

    #[test]
    fn no_input_breaks_it_and_no_word_is_lost(text in "\\PC{0,80}", guess in "\\PC{0,40}", client in any::<bool>()) {
        let speaker = if client { Speaker::Client } else { Speaker::Other };
        let words: Vec<Word> = text.split_whitespace().enumerate().map(|(n, text)| word(text, n as u64 * 400)).collect();
        let said = Utterance { speaker, text, end_ms: 60_000, words: words.clone(), ..Utterance::default() };
        let other = Utterance { text: guess.clone(), words, alternatives: vec![Alternative { text: guess, ..Alternative::default() }], start_ms: 70_000, end_ms: 90_000, speaker };
        let redacted = redact(Policy { strict: true, ..Policy::default() }, [said.clone(), other]);
        prop_assert_eq!(redacted.len(), 2);
        prop_assert_eq!(redacted[0].utterance.words.len(), said.words.len());
    }
}
