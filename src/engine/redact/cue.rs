//! Cues: what somebody asks for, or says that he is about to give.

use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use super::Speaker;
use super::lexicon::is_function;
use super::token::{Kind, Token};

/// For how long a cue tells what a number is.
pub const CUE_WINDOW_MS: u64 = 25_000;
/// For how long a mere mention does.
pub const MENTION_WINDOW_MS: u64 = 15_000;
/// For how long "reference number" tells that one is harmless.
pub const BRIEF_WINDOW_MS: u64 = 6_000;
/// Cues remembered; of more the oldest is forgotten.
pub const CUES_MAX: usize = 48;
/// The longest cue, in words.
pub(super) const CUE_WORDS_MAX: usize = 4;

/// What is to come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    Card,
    Cvv,
    Expiry,
    LastFour,
    Account,
    Routing,
    Iban,
    Ssn,
    Itin,
    Pin,
    OneTimeCode,
    Password,
    /// "your password?"
    AskedPassword,
    Birth,
    Phone,
    Record,
    Aadhaar,
    Pan,
    Address,
    Zip,
    Name,
    /// "your name?"
    AskedName,
    /// A number that anybody may know.
    Harmless,
    /// "the numbers": of something.
    Figures,
    /// Something else: what was asked for before is not awaited any more.
    Else,
    /// A whole question for something else: nor does what was begun go on.
    Turned,
}

/// A cue, and when it was said by whom.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) cue: Cue,
    pub(super) speaker: Speaker,
    pub(super) seq: u64,
    pub(super) end_ms: u64,
    pub(super) strength: Strength,
    /// Digits of it that have been told.
    pub(super) told: usize,
}

/// How much a cue says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Part of the thing itself was said: the rest may be short.
    Begun,
    /// It was named in so many words.
    Named,
    /// A word that is said of other things as often: it tells of what follows at once.
    Mentioned,
}

/// The last cues of a call.
#[derive(Clone)]
pub(super) struct Cues {
    said: VecDeque<Said>,
}

impl Cues {
    /// None yet.
    pub(super) const NONE: Self = Self { said: VecDeque::new() };

    pub(super) fn add(&mut self, said: Said) {
        if self.said.len() == CUES_MAX {
            self.said.pop_front();
        }
        self.said.push_back(said);
    }

    /// The word before `seq` asked for nothing: "what I've got here is". An older one has told already what stands behind it.
    pub(super) fn retract(&mut self, speaker: Speaker, seq: u64) {
        self.said.pop_back_if(|said| said.cue == Cue::Else && said.speaker == speaker && said.seq + 1 == seq);
    }

    /// Whether `speaker` gave one after the word `seq`.
    pub(super) fn came_from(&self, speaker: Speaker, seq: u64) -> bool {
        self.said.iter().rev().take_while(|said| said.seq > seq).any(|said| said.speaker == speaker && said.cue != Cue::Else)
    }

    /// Those that were said before the word `seq`, which begins at `at_ms`, and still hold: the newest first.
    pub(super) fn live(&self, seq: u64, at_ms: u64) -> impl Iterator<Item = &Said> {
        self.said.iter().rev().filter(move |said| {
            let window = match (said.cue, said.strength) {
                (Cue::Harmless, _) => BRIEF_WINDOW_MS,
                (_, Strength::Mentioned) => MENTION_WINDOW_MS,
                (_, Strength::Begun | Strength::Named) => CUE_WINDOW_MS,
            };
            said.seq < seq && at_ms.saturating_sub(said.end_ms) <= window
        })
    }
}

/// Whoever begins a turn so asks for something: for something else, if it is nothing that the cues know.
#[rustfmt::skip]
const QUESTIONS: &[&str] = &[
    "what", "whats", "how", "hows", "which", "who", "whos", "when", "whens", "where", "wheres", "why", "cual", "cuanto", "cuanta", "cuantos", "cuantas",
];
/// So only with its first word.
#[rustfmt::skip]
const QUESTIONS_AT_ONCE: &[&str] = &[
    "did", "do", "does", "are", "is", "can", "could", "would", "will", "have", "has", "should", "que", "como", "donde", "cuando", "quien", "tiene", "puede", "trae",
];
/// Within so many words of its beginning.
const QUESTION_WORDS_MAX: usize = 3;
/// Whoever says so many words without asking for it again has gone on to something else.
pub(super) const TOPIC_WORDS_MAX: usize = 13;

/// Whether a turn is a question of which this is the `nth` word, from 1.
pub(super) fn asks(folded: &str, nth: usize) -> bool {
    nth <= QUESTION_WORDS_MAX && QUESTIONS.contains(&folded) || nth == 1 && QUESTIONS_AT_ONCE.contains(&folded)
}

/// Whether a word of a question asks for more than the rest of what is being told: "what comes next" does not.
pub(super) fn tells_of_something(token: &Token) -> bool {
    #[rustfmt::skip]
    const OF_THE_REST: &[&str] = &[
        "next", "after", "rest", "else", "more", "say", "says", "come", "comes", "last", "again", "end", "ends", "start", "other", "back", "far", "mas", "sigue", "dice", "falta", "sigues", "queda", "otra", "otros",
    ];
    token.kind == Kind::Plain && !is_function(&token.folded) && !token.is_any(OF_THE_REST)
}

/// The cue that the last of these words ends, if it ends one.
pub(super) fn ended_by<'a>(words: &(impl DoubleEndedIterator<Item = &'a str> + Clone)) -> Option<(Cue, Strength)> {
    let last = words.clone().next_back()?;
    // "expires in", "no se vence hasta".
    if UNTIL.contains(&last) {
        let mut before = words.clone();
        before.next_back();
        if let Some((Cue::Expiry, strength)) = ended_by(&before) {
            return Some((Cue::Expiry, strength));
        }
    }
    // "call my husband at", "que llamen al".
    if matches!(last, "at" | "on" | "al") && words.clone().rev().skip(1).any(|word| CALLS.contains(&word)) {
        return Some((Cue::Phone, Strength::Named));
    }
    let fits = |phrase: &str| {
        let mut said = words.clone().rev();
        phrase.rsplit(' ').all(|word| said.next() == Some(word))
    };
    BY_LAST_WORD
        .get(last)?
        .iter()
        .filter(|(_, _, phrase)| fits(phrase))
        .max_by_key(|(_, _, phrase)| phrase.len())
        .map(|(cue, strength, _)| (*cue, *strength))
}

/// Between what expires and when.
const UNTIL: &[&str] = &["until", "till", "til", "through", "thru", "hasta", "on", "in", "en"];

/// What is done with a telephone.
const CALLS: &[&str] = &[
    "call", "text", "reach", "reached", "ring", "llame", "llameme", "llamen", "llamar", "llamarme", "marque", "marqueme", "marquen",
    "marcar", "marca",
];

type ByLastWord = BTreeMap<&'static str, Vec<(Cue, Strength, &'static str)>>;

/// The phrases, by the word that ends them: most words end none.
static BY_LAST_WORD: LazyLock<ByLastWord> = LazyLock::new(|| {
    let mut by = ByLastWord::new();
    for (cue, phrase) in PHRASES.iter().flat_map(|(cue, phrases)| phrases.iter().map(move |phrase| (*cue, *phrase))) {
        let strength = if MENTIONS.contains(&phrase) { Strength::Mentioned } else { Strength::Named };
        by.entry(phrase.rsplit(' ').next().unwrap_or(phrase)).or_default().push((cue, strength, phrase));
    }
    by
});

/// Those of the phrases that are said of other things as often.
const MENTIONS: &[&str] = &[
    "card",
    "cards",
    "visa",
    "tarjeta",
    "account",
    "accounts",
    "checking",
    "savings",
    "cuenta",
    "the code",
    "codigo",
    "el codigo",
    "code you",
    "phone",
    "cell",
    "mobile",
    "telephone",
    "telefono",
    "celular",
    "movil",
    "text message",
    "expediente",
    "address is",
    "direccion",
    "password",
    "contrasena",
    "pan",
    "clave",
    "name",
    "expires",
    "expire",
    "vence",
    "moved to",
    "staying at",
    "birthday",
    "cumpleanos",
    "cumple",
    "cumplo",
    "buena",
    "code",
    "codes",
    "passcode",
    "firma",
    "strip",
    "franja",
    "it good",
    "good for",
    "is called",
    "signature",
    "de seguridad",
    "el mensaje",
    "good number",
    "numero es",
    "number is",
    "numbers",
    "numeros",
    "digits",
    "seguro",
    "social",
    "paciente numero",
    "born",
    "call back",
    "social security",
    "zip",
    "domicilio",
    "mensaje de texto",
    "texted me",
    "texted you",
    "seguro social",
    "on the back",
    "place is",
    "house is",
    "new place is",
    "mail it to",
    "casa esta en",
    "enviamos",
    "nombre de",
    "and last name",
    "la ruta",
];

/// In folded words. The longest that fits counts.
#[rustfmt::skip]
const PHRASES: &[(Cue, &[&str])] = &[
    (Cue::Card, &["card", "card number", "cards", "visa", "mastercard", "amex", "american express", "long number", "tarjeta", "numero de tarjeta"]),
    (Cue::Cvv, &["back of the card", "back of it", "code on the back", "code back there", "little code", "codiguito", "numeritos", "atras dice", "atras trae", "de seguridad", "signature", "firma", "strip", "franja", "cvv", "cvc", "cvv2", "c v v", "c v c", "cvv code", "cvv number", "security code", "verification value", "verification number",
        "on the back", "card code", "three digits", "three numbers", "little numbers", "numbers on the back", "digits on the back", "tres digitos", "tres numeros", "numeros de atras", "codigo de seguridad", "al reverso", "atras de la tarjeta", "numero de seguridad", "security number"]),
    (Cue::Expiry, &["expiry", "good til", "good-thru", "good thru", "good for until", "buena hasta", "buena", "sirve hasta", "vigencia", "expired on", "expiry date", "expiration", "expiration date", "expires", "expire", "expiring", "exp", "exp date", "valid thru", "valid through",
        "valid until", "run out", "runs out", "good until", "good till", "es valida", "valida hasta", "sea valida", "vale hasta", "vigente hasta", "good through", "vence", "vencimiento", "caducidad", "caduca", "expira", "expiracion", "fecha de vencimiento", "month and year", "mes y ano", "it good", "good for", "cuando vale", "card valid"]),
    (Cue::Figures, &["numbers", "numeros", "digits", "digitos", "number is", "numero es", "full number", "the number"]),
    (Cue::LastFour, &["last four", "last four digits", "last 4", "last 4 digits", "ending in", "ends in", "ultimos cuatro", "ultimos 4", "ultimos cuatro digitos",
        "termina en", "terminada en"]),
    (Cue::Account, &["account", "account number", "accounts", "bank account", "checking", "savings", "checking account", "savings account", "cuenta",
        "numero de cuenta", "cuenta bancaria", "acct"]),
    (Cue::Routing, &["routing", "routing number", "aba", "aba number", "a b a", "transit number", "numero de ruta", "ruta bancaria", "de ruta", "la ruta", "dice ruta", "ruta del banco", "ruta del cheque"]),
    (Cue::Iban, &["iban", "i b a n", "international account"]),
    (Cue::Ssn, &["social", "seguro", "social security", "social security number", "ssn", "s s n", "your social", "my social", "the social", "full social", "social number",
        "seguro social", "numero de seguro", "numero de seguro social", "numero de social", "mi social", "su social"]),
    (Cue::Itin, &["itin", "itin number", "i t i n", "taxpayer", "taxpayer number", "taxpayer id", "taxpayer identification", "tax id", "tax number", "tax identification",
        "numero de contribuyente", "numero del itin"]),
    (Cue::Pin, &["pin", "pin number", "pin code", "p i n", "passcode", "pass code", "security pin", "nip", "access code", "codigo de acceso", "clave", "numero secreto",
        "secret number", "pin es", "secret code", "always use", "siempre uso"]),
    (Cue::OneTimeCode, &["code", "codes", "text says", "message says", "mensaje dice", "el mensaje", "verification code", "one time code", "one-time code", "one time passcode", "one-time passcode", "one time password", "one-time password",
        "otp", "o t p", "code we sent", "code i sent", "code you", "the code", "code is", "texted you", "texted me", "text message", "digit code",
        "authentication code", "confirmation code", "codigo", "el codigo", "codigo de verificacion", "codigo que", "mensaje de texto", "codigo temporal", "login code"]),
    (Cue::Password, &["password", "passphrase", "pass phrase", "contrasena", "password is", "palabra clave"]),
    (Cue::AskedPassword, &["de contrasena", "wifi password", "your password", "the password", "your passphrase", "su contrasena", "la contrasena", "que contrasena", "contrasena le puso", "contrasena puso", "contrasena tiene", "contrasena usa", "account password", "portal password"]),
    (Cue::Birth, &["year were you born", "cumplo", "cumple anos", "cumple", "nacieron", "date of birth", "birth date", "birthdate", "birthday", "dob", "d o b", "born", "fecha de nacimiento", "nacimiento", "naci", "cumpleanos",
        "nacio", "nacida", "nacido", "was born", "birthdate is"]),
    (Cue::Phone, &["good number", "text me", "can text", "reach you", "cel", "phone number", "phone", "cell", "cell number", "cell phone", "cellphone", "mobile", "mobile number", "telephone", "telephone number", "callback number", "call back number", "call back", "area code", "telefono", "numero de telefono", "celular", "numero de celular",
        "my number", "your number", "mi numero", "su numero", "a number for", "contact number", "best number", "home number", "work number", "movil", "landline"]),
    (Cue::Record, &["record medico", "numero de record", "expediente medico", "paciente numero", "medical record", "medical record number", "mrn", "m r n", "chart number", "patient number", "patient id", "record number", "patient record",
        "expediente", "numero de expediente", "historia clinica", "numero de paciente", "member number", "historial medico", "registro medico", "numero de historia"]),
    (Cue::Aadhaar, &["aadhaar", "aadhar", "adhar", "adhaar", "uid number", "aadhaar number", "aadhaar card", "aadhar card"]),
    (Cue::Pan, &["pan card", "pan number", "permanent account number", "pan card number", "p a n", "pan is", "pan"]),
    (Cue::Address, &["the address", "what address", "which address", "i stay at", "stay at", "come to", "pick you up", "la recoge", "que direccion", "quedando en", "quedando", "my address", "your address", "home address", "mailing address", "street address", "address is", "current address", "i live at", "i live on",
        "new place is", "place is", "house is", "mail it to", "casa esta en", "enviamos", "live at", "living at", "moved to", "where you live", "staying at", "mi direccion", "su direccion", "direccion es", "direccion", "vivo en", "domicilio", "donde vive"]),
    (Cue::Zip, &["zip", "zip code", "zipcode", "postal code", "postcode", "codigo postal"]),
    (Cue::Name, &["my name", "name is", "name", "names", "surname", "nombre", "mi nombre", "apellido", "apellidos", "me llamo", "se llama", "is called", "spell that", "spell it", "spelled",
        "deletrear", "mi apellido"]),
    (Cue::AskedName, &["and you are", "whos the", "who is the", "usted es", "quien es", "talking to", "speaking to", "speaking with", "first and last", "what name", "the name of", "name of the", "nombre y apellido", "nombre de quien", "con quien", "nombre de la", "nombre del", "your name", "first name", "last name", "full name", "middle name", "maiden name", "legal name", "your names", "i speaking with", "am i speaking",
        "su nombre", "su apellido", "nombre completo", "se llama usted", "como se llama", "con quien hablo", "caller name", "patient name", "spell your name", "and last name", "nombre de"]),
    (Cue::Harmless, &["reference number", "case number", "confirmation number", "ticket number", "order number", "tracking number", "reference", "numero de referencia",
        "numero de caso", "folio", "numero de confirmacion", "item number", "model number", "form number"]),
];
