//! The words that the rules know, English and Spanish together: people mix them in one sentence.

use super::token::Kind;

/// What a word is among numbers, if anything.
#[rustfmt::skip]
pub(super) fn kind(folded: &str) -> Option<Kind> {
    Some(match folded {
        "zero" | "nought" | "naught" | "aught" | "cero" | "zeros" | "ceros" => Kind::Unit(0),
        "one" | "uno" | "won" | "ones" => Kind::Unit(1),
        "two" | "dos" | "twos" => Kind::Unit(2),
        "three" | "tres" | "threes" => Kind::Unit(3),
        "four" | "cuatro" | "fours" => Kind::Unit(4),
        "five" | "cinco" | "fives" | "fife" => Kind::Unit(5),
        "six" | "seis" | "sixes" => Kind::Unit(6),
        "seven" | "siete" | "sevens" => Kind::Unit(7),
        "eight" | "ocho" | "ate" | "eights" => Kind::Unit(8),
        "nine" | "nueve" | "niner" | "nines" => Kind::Unit(9),
        "ten" | "diez" => Kind::Teen(10),
        "eleven" => Kind::Teen(11),
        "twelve" | "doce" => Kind::Teen(12),
        "thirteen" | "trece" => Kind::Teen(13),
        "fourteen" | "catorce" => Kind::Teen(14),
        "fifteen" | "quince" => Kind::Teen(15),
        "sixteen" | "dieciseis" => Kind::Teen(16),
        "seventeen" | "diecisiete" => Kind::Teen(17),
        "eighteen" | "dieciocho" => Kind::Teen(18),
        "nineteen" | "diecinueve" => Kind::Teen(19),
        "veintiuno" | "veintiun" | "veintiuna" => Kind::Teen(21),
        "veintidos" => Kind::Teen(22),
        "veintitres" => Kind::Teen(23),
        "veinticuatro" => Kind::Teen(24),
        "veinticinco" => Kind::Teen(25),
        "veintiseis" => Kind::Teen(26),
        "veintisiete" => Kind::Teen(27),
        "veintiocho" => Kind::Teen(28),
        "veintinueve" => Kind::Teen(29),
        "twenty" | "veinte" => Kind::Tens(20),
        "thirty" | "treinta" => Kind::Tens(30),
        "forty" | "fourty" | "cuarenta" => Kind::Tens(40),
        "fifty" | "cincuenta" => Kind::Tens(50),
        "sixty" | "sesenta" => Kind::Tens(60),
        "seventy" | "setenta" => Kind::Tens(70),
        "eighty" | "ochenta" => Kind::Tens(80),
        "ninety" | "noventa" => Kind::Tens(90),
        "hundred" => Kind::Hundred,
        "cien" | "ciento" => Kind::Hundreds(100),
        "doscientos" | "doscientas" => Kind::Hundreds(200),
        "trescientos" | "trescientas" => Kind::Hundreds(300),
        "cuatrocientos" | "cuatrocientas" => Kind::Hundreds(400),
        "quinientos" | "quinientas" => Kind::Hundreds(500),
        "seiscientos" | "seiscientas" => Kind::Hundreds(600),
        "setecientos" | "setecientas" => Kind::Hundreds(700),
        "ochocientos" | "ochocientas" => Kind::Hundreds(800),
        "novecientos" | "novecientas" => Kind::Hundreds(900),
        "thousand" | "mil" => Kind::Thousand,
        "million" | "millions" | "millon" | "millones" => Kind::Million,
        "oh" | "o" => Kind::Oh,
        "once" => Kind::Once,
        "double" | "doble" => Kind::Repeat(2),
        "triple" | "treble" => Kind::Repeat(3),
        "january" | "jan" | "enero" => Kind::Month(1),
        "february" | "feb" | "febrero" => Kind::Month(2),
        "march" | "marzo" => Kind::Month(3),
        "april" | "apr" | "abril" => Kind::Month(4),
        "may" | "mayo" => Kind::Month(5),
        "june" | "jun" | "junio" => Kind::Month(6),
        "july" | "jul" | "julio" => Kind::Month(7),
        "august" | "aug" | "agosto" => Kind::Month(8),
        "september" | "sept" | "sep" | "septiembre" | "setiembre" => Kind::Month(9),
        "october" | "oct" | "octubre" => Kind::Month(10),
        "november" | "nov" | "noviembre" => Kind::Month(11),
        "december" | "dec" | "diciembre" => Kind::Month(12),
        "first" | "primero" => Kind::Ordinal(1),
        "second" | "segundo" => Kind::Ordinal(2),
        "third" | "tercero" => Kind::Ordinal(3),
        "fourth" => Kind::Ordinal(4),
        "fifth" => Kind::Ordinal(5),
        "sixth" => Kind::Ordinal(6),
        "seventh" => Kind::Ordinal(7),
        "eighth" => Kind::Ordinal(8),
        "ninth" => Kind::Ordinal(9),
        "tenth" => Kind::Ordinal(10),
        "eleventh" => Kind::Ordinal(11),
        "twelfth" => Kind::Ordinal(12),
        "thirteenth" => Kind::Ordinal(13),
        "fourteenth" => Kind::Ordinal(14),
        "fifteenth" => Kind::Ordinal(15),
        "sixteenth" => Kind::Ordinal(16),
        "seventeenth" => Kind::Ordinal(17),
        "eighteenth" => Kind::Ordinal(18),
        "nineteenth" => Kind::Ordinal(19),
        "twentieth" => Kind::Ordinal(20),
        "twenty-first" => Kind::Ordinal(21),
        "twenty-second" => Kind::Ordinal(22),
        "twenty-third" => Kind::Ordinal(23),
        "twenty-fourth" => Kind::Ordinal(24),
        "twenty-fifth" => Kind::Ordinal(25),
        "twenty-sixth" => Kind::Ordinal(26),
        "twenty-seventh" => Kind::Ordinal(27),
        "twenty-eighth" => Kind::Ordinal(28),
        "twenty-ninth" => Kind::Ordinal(29),
        "thirtieth" => Kind::Ordinal(30),
        "thirty-first" => Kind::Ordinal(31),
        "dash" | "hyphen" | "minus" | "guion" | "raya" | "slash" | "diagonal" | "barra" | "space" | "espacio" | "dot" | "point" | "punto"
        | "comma" | "coma" | "underscore" | "pound" | "hash" | "plus" | "mas" => Kind::Separator,
        word if BRIDGES.contains(&word) => Kind::Bridge,
        _ => return None,
    })
}

/// Fillers, acknowledgements, corrections and joints: whoever reads out a number says them and reads on.
#[rustfmt::skip]
const BRIDGES: &[&str] = &[
    "uh", "um", "er", "erm", "ah", "eh", "em", "hm", "hmm", "mm", "mhm", "uh-huh", "mm-hmm", "mmhmm", "uhm", "umm", "huh",
    "okay", "ok", "yes", "yeah", "yep", "yup", "right", "sure", "got", "go", "ahead", "alright", "correct", "thanks", "perfect", "great",
    "and", "then", "next", "so", "well", "like", "let", "me", "see", "hold", "on", "wait", "sorry", "no", "i", "mean", "actually",
    "correction", "scratch", "that", "its", "thats", "is", "please", "now", "oops", "excuse", "pardon", "continue", "again", "followed",
    "by", "know", "you", "it", "a",
    "este", "pues", "bueno", "ver", "si", "vale", "claro", "entonces", "luego", "y", "perdon", "digo", "espere", "espera", "perdona",
    "momento", "un", "mande", "aja", "siga", "adelante", "correcto", "sigue", "es", "son", "seguido", "de", "despues", "ay", "ahora",
    "perdone", "disculpe", "quiero", "decir", "listo", "muy", "bien", "anotado", "va", "dale", "oiga", "mira", "mire", "sea", "ya",
];

/// After one of these comes how many, how much or how long; not whose.
#[rustfmt::skip]
pub(super) const UNITS: &[&str] = &[
    "dollars", "dollar", "bucks", "cents", "cent", "percent", "oclock", "am", "pm", "a.m", "p.m", "minutes", "minute", "hours", "hour", "seconds",
    "days", "day", "weeks", "week", "months", "month", "years", "year", "people", "persons", "times", "miles", "mile", "feet", "foot",
    "inch", "inches", "unidades", "pounds", "lbs", "kilos", "grams", "milligrams", "mg", "ml", "units", "pills", "tablets", "kids", "children", "degrees",
    "meals", "visits", "appointments", "questions", "pages", "members", "bedroom", "bedrooms", "items", "boxes", "calories",
    "steps", "thousandths", "grand", "numbers", "numeros", "miligramos", "mililitros", "milliliters", "liters", "litros", "euros", "pesos", "rupees",
    "dolares", "dolar", "centavos", "minutos", "minuto", "horas", "hora", "segundos", "dias", "dia", "semanas", "semana", "meses",
    "mes", "anos", "ano", "personas", "veces", "millas", "pies", "libras", "hijos", "ninos", "nos", "citas", "preguntas",
    "pastillas", "grados", "familias", "families", "clients", "clientes", "patients", "pacientes", "students", "copies", "digit", "digits", "digitos", "bus", "blocks", "cuadras", "rides",
];

/// Between two numbers that are one measure: a decimal, a blood pressure.
pub(super) const RATIOS: &[&str] = &["point", "punto", "over", "sobre"];

/// Before a number that names a place, a time or a year.
#[rustfmt::skip]
pub(super) const LEADS: &[&str] = &[
    "at", "around", "about", "ages", "age", "aged", "every", "size", "until", "till", "before", "after", "between", "from", "since", "during", "year", "room", "suite", "floor",
    "extension", "page", "step", "version", "highway", "route", "bus", "option", "press", "channel", "gate", "chapter",
    "building", "level", "las", "hasta", "antes", "desde", "entre", "ano", "sala", "piso", "oficina", "pagina", "ruta",
    "opcion", "oprima", "presione", "autobus", "form", "formulario", "ventanilla", "only", "costs", "cost", "cuesta", "cuestan", "paid", "pay", "over", "under", "sobre", "nearly", "almost", "casi", "unos", "unas",
];

/// What ends a street's name.
#[rustfmt::skip]
pub(super) const STREETS: &[&str] = &[
    "street", "st", "avenue", "ave", "road", "rd", "boulevard", "blvd", "drive", "lane", "ln", "court", "ct", "circle", "place",
    "terrace", "parkway", "pkwy", "highway", "hwy", "trail", "way", "square", "loop", "alley", "crescent", "dr", "pl", "cir",
];

/// What begins a street's name in Spanish.
pub(super) const CALLES: &[&str] =
    &["calle", "avenida", "av", "bulevar", "camino", "carretera", "calzada", "privada", "paseo", "avda", "callejon"];

/// What comes after a street.
pub(super) const DOORS: &[&str] = &[
    "apartment",
    "apt",
    "unit",
    "suite",
    "number",
    "departamento",
    "apartamento",
    "depto",
    "piso",
    "interior",
    "puerta",
    "lot",
    "trailer",
    "space",
    "numero",
];

/// An address that anybody may know.
#[rustfmt::skip]
pub(super) const OFFICES: &[&str] = &[
    "us",
    "office", "offices", "clinic", "hospital", "located", "location", "building", "store", "pharmacy", "branch", "center", "centre", "our", "were",
    "headquarters", "shelter", "library", "courthouse", "bank", "church", "school", "oficina", "oficinas", "clinica", "ubicada", "ubicado",
    "ubicados", "edificio", "tienda", "farmacia", "sucursal", "centro", "nuestra", "nuestro", "estamos", "biblioteca", "iglesia", "escuela", "banco", "albergue", "directions", "bus", "stop", "parada",
];

/// The ends of host names, as said.
pub(super) const HOST_ENDS: &[&str] =
    &["com", "net", "org", "edu", "gov", "mx", "es", "in", "co", "us", "info", "io", "uk", "ar", "biz", "me", "app", "ca", "health"];

/// Mail hosts that are said without an ending.
pub(super) const HOSTS: &[&str] = &["gmail", "hotmail", "yahoo", "outlook", "icloud", "aol", "protonmail"];

/// Titles before a surname.
pub(super) const TITLES: &[&str] = &["mr", "mrs", "ms", "miss", "mister", "missus", "senor", "senora", "senorita", "dona"];

/// Whether a word is too common to be a name or part of an address.
pub(super) fn is_common(folded: &str) -> bool {
    COMMON.binary_search(&folded).is_ok()
}

/// In the order of their letters.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "a", "abajo", "able", "about", "above", "abre", "abrimos", "absolutely", "abuela", "abuelo", "account", "acerca", "act",
    "actually", "add", "address", "adios", "afraid", "after", "afternoon", "again", "against", "age", "agent", "ago", "agua",
    "ahead", "ahi", "ahora", "ahorita", "air", "al", "alergica", "alergico", "algo", "alguien", "algun", "alguna", "all",
    "alli", "allow", "almost", "alone", "already", "alright", "also", "always", "am", "among", "an", "and", "animal", "ano",
    "anos", "another", "answer", "antes", "any", "anybody", "anymore", "anyone", "anything", "anyway", "apellido", "appear",
    "apply", "applying", "appointment", "appreciate", "approved", "aqui", "are", "area", "aren", "arent", "around", "arroba",
    "as", "asi", "ask", "at", "atras", "aun", "aunque", "available", "away", "awesome", "ayer", "ayuda", "ayudar", "back",
    "bad", "balance", "bank", "base", "be", "beauty", "because", "bed", "been", "before", "began", "begin", "behind", "being",
    "believe", "benefit", "benefits", "best", "better", "between", "bien", "big", "bill", "bird", "birth", "black", "blue",
    "boat", "body", "book", "born", "both", "box", "boy", "bring", "brother", "brought", "buen", "buena", "buenas", "bueno",
    "buenos", "build", "buscando", "business", "busy", "but", "by", "bye", "cada", "call", "calle", "called", "caller",
    "calling", "calls", "cambiar", "cambio", "came", "can", "cannot", "cansada", "cansado", "cant", "capital", "car", "card",
    "care", "carry", "casa", "casada", "casado", "case", "casi", "caso", "cause", "cell", "center", "certain", "certainly",
    "change", "charge", "check", "checking", "cheque", "child", "children", "cierra", "cita", "citas", "city", "claro", "class",
    "clave", "clear", "clearly", "client", "cliente", "clinic", "clinica", "close", "closes", "code", "codigo", "cold", "color",
    "come", "comedor", "comes", "coming", "common", "community", "como", "complete", "completely", "completo", "comprendo",
    "con", "concerned", "confirm", "conmigo", "contain", "contrasena", "cool", "coordinator", "copy", "correct", "correcto",
    "correo", "cosa", "cosas", "cost", "could", "couldnt", "country", "county", "couple", "course", "cover", "credit", "creo",
    "cross", "cry", "cual", "cualquier", "cuando", "cuanto", "cuenta", "cuidado", "customer", "cut", "da", "dar", "dark",
    "date", "daughter", "day", "de", "dead", "deal", "dear", "deber", "debo", "decide", "decir", "deep", "deja", "del", "dele",
    "deletrea", "deletreado", "deme", "dentro", "departamento", "department", "depends", "deposito", "descuentan", "desde",
    "desk", "despues", "develop", "dia", "diabetico", "dias", "dice", "dicen", "did", "didnt", "differ", "different", "digame",
    "digo", "dijeron", "dijo", "direccion", "direct", "disabled", "discharge", "disculpe", "do", "doctor", "doctora",
    "doctores", "does", "doesnt", "dog", "doing", "donde", "done", "dont", "door", "dos", "down", "downstairs", "dr", "draw",
    "drive", "dry", "during", "each", "early", "earth", "ease", "east", "easy", "eat", "either", "el", "eligible", "ella",
    "ellas", "ellos", "else", "email", "emergency", "en", "encantado", "end", "ends", "enferma", "enfermera", "enfermo",
    "english", "enough", "enroll", "entering", "entiendo", "entire", "entonces", "entre", "enviar", "envielo", "enviemelo",
    "er", "era", "eres", "es", "esa", "escribame", "escribir", "escuela", "ese", "eso", "esperando", "esperar", "espere",
    "espereme", "espero", "esposa", "esposo", "esta", "estaba", "estaban", "estado", "estamos", "estan", "estar", "estas",
    "este", "esto", "estoy", "estuve", "even", "evening", "ever", "every", "everybody", "everyone", "everything", "exactly",
    "example", "excellent", "excuse", "expired", "eye", "face", "fact", "fall", "family", "fantastic", "far", "farm", "fast",
    "father", "favor", "fecha", "feel", "feeling", "feet", "feliz", "few", "field", "figure", "file", "fill", "fin", "final",
    "finally", "find", "fine", "finished", "fire", "first", "fish", "five", "fix", "fluent", "fly", "follow", "food", "foot",
    "for", "force", "forget", "forgot", "form", "forward", "forwarded", "found", "four", "free", "friend", "from", "front",
    "frustrated", "fue", "fui", "fuimos", "full", "fun", "funny", "game", "gano", "gave", "gerente", "get", "getting", "girl",
    "give", "given", "gives", "glad", "go", "goes", "going", "gold", "gone", "gonna", "good", "goodbye", "got", "gotta",
    "gotten", "govern", "gracias", "grateful", "great", "green", "ground", "group", "grow", "guess", "gusta", "ha", "haber",
    "habia", "habla", "hablar", "hace", "hacer", "had", "haga", "hago", "half", "hand", "happen", "happening", "happy", "hard",
    "has", "hasta", "have", "havent", "having", "hay", "he", "head", "health", "healthy", "hear", "heard", "heat", "hecho",
    "hello", "help", "helps", "her", "here", "hermana", "hermano", "hers", "hey", "hi", "high", "hija", "hijo", "him", "his",
    "hola", "hold", "holding", "home", "hope", "hoping", "hora", "horas", "horse", "hospital", "hot", "hour", "house",
    "housing", "how", "however", "hoy", "hubo", "hundred", "hungry", "hurt", "husband", "hyphen", "i", "iba", "ibamos", "id",
    "idea", "if", "igual", "ill", "im", "important", "in", "inch", "informacion", "information", "initial", "inside", "instead",
    "insurance", "intake", "interesada", "interesado", "interest", "interested", "interpreter", "into", "ir", "is", "island",
    "isnt", "issue", "it", "its", "ive", "job", "joking", "just", "keep", "keeps", "kid", "kidding", "kids", "kind", "king",
    "knew", "know", "la", "lady", "land", "language", "large", "largo", "las", "last", "late", "later", "laugh", "lawyer",
    "lay", "le", "lead", "learn", "learning", "least", "leave", "left", "legal", "lejos", "les", "less", "let", "letra", "lets",
    "letter", "letters", "life", "light", "like", "line", "list", "lista", "listen", "listo", "little", "live", "lives",
    "living", "ll", "llama", "llamada", "llaman", "llamando", "llamar", "llamaron", "llame", "llamo", "llegamos", "llegar", "llevar",
    "lo", "login", "long", "look", "looking", "los", "lost", "lot", "love", "low", "lowercase", "lucky", "luego", "lunch",
    "luz", "maam", "machine", "mad", "made", "madre", "madrina", "maiden", "mail", "main", "make", "making", "mal", "mam",
    "mama", "man", "manager", "manana", "mandan", "mandar", "mandarlo", "mandaron", "mande", "mandelo", "mandeme", "mandemelo",
    "many", "map", "marido", "mark", "married", "mas", "matter", "may", "maybe", "me", "mean", "meant", "measure", "medical",
    "medicine", "meeting", "mejor", "men", "menos", "mental", "mes", "message", "mexicana", "mexicano", "mi", "middle",
    "mientras", "might", "mile", "mind", "mine", "minute", "minuto", "mio", "mis", "misma", "mismo", "miss", "mobile", "mom",
    "moment", "momento", "money", "month", "moon", "more", "morning", "most", "mother", "mountain", "move", "moved", "moving",
    "much", "muchas", "mucho", "mujer", "music", "must", "muy", "my", "myself", "nacimiento", "nada", "nadie", "name", "names",
    "near", "necesita", "necesito", "necessary", "need", "needed", "needs", "neighbor", "nervous", "never", "new", "next", "ni",
    "nice", "nickname", "night", "nina", "ningun", "nino", "no", "nobody", "noche", "nombre", "none", "nope", "north", "nos",
    "nosotros", "not", "note", "nothing", "notice", "noun", "now", "nuera", "nuestra", "nuestro", "nueva", "nuevo", "number",
    "numbers", "numeral", "numero", "nunca", "nurse", "o", "object", "of", "off", "office", "oficina", "often", "oh", "ok",
    "okay", "old", "on", "once", "one", "online", "only", "open", "opens", "or", "order", "other", "otra", "otro", "our",
    "ours", "out", "outside", "over", "own", "paciente", "padre", "padrino", "pagamos", "pagar", "page", "paid", "papa",
    "paper", "paperwork", "para", "pardon", "parece", "parent", "parents", "part", "pasa", "pasan", "paso", "pass", "password",
    "past", "pastillas", "pattern", "pay", "pending", "people", "per", "perdi", "perdimos", "perdon", "perdone", "perfect",
    "perhaps", "pero", "person", "persona", "personal", "pharmacy", "phone", "pick", "picture", "piden", "piece", "pin",
    "place", "plain", "plan", "plane", "plant", "play", "please", "poco", "podemos", "poder", "podria", "point", "poner", "por",
    "porque", "port", "pose", "positive", "possible", "pound", "power", "prefer", "preferred", "pregunta", "preocupada",
    "preocupado", "present", "press", "pretty", "prima", "primera", "primero", "primo", "probably", "problem", "problema",
    "produce", "product", "program", "pronounced", "provider", "puede", "pueden", "puedo", "pues", "pull", "pulling", "punto",
    "put", "qualified", "que", "queda", "quedamos", "quedo", "question", "questions", "quick", "quien", "quiere", "quiero",
    "quisiera", "quite", "rain", "raining", "raised", "ran", "reach", "read", "ready", "real", "really", "reason", "received",
    "recibido", "record", "recording", "red", "refer", "referral", "regarding", "related", "remember", "renewal", "rent",
    "renta", "repeat", "repita", "repite", "representante", "representative", "rest", "retired", "ride", "right", "river",
    "road", "rock", "room", "rose", "round", "rule", "run", "running", "sabe", "saber", "safe", "said", "same", "saw", "say",
    "saying", "says", "schedule", "scheduled", "school", "science", "se", "sea", "second", "section", "security", "see", "seem", "seen",
    "segun", "segundo", "seguridad", "seguro", "self", "send", "senor", "senora", "senorita", "sent", "ser", "seria", "serious",
    "serve", "service", "servicio", "set", "several", "shape", "she", "ship", "short", "should", "show", "si", "sick", "side",
    "siempre", "sign", "simple", "sin", "since", "sing", "single", "sino", "sir", "sister", "sit", "six", "size", "sleep",
    "slow", "small", "snow", "so", "sobre", "social", "solo", "soltera", "soltero", "some", "somebody", "someone", "something",
    "sometimes", "somos", "son", "song", "soon", "sorry", "sort", "sound", "sounds", "south", "soy", "spanish", "speak",
    "speaking", "speaks", "special", "spell", "spelled", "spelling", "spells", "stand", "star", "start", "started", "starts",
    "state", "stay", "step", "still", "stood", "stop", "story", "street", "stressed", "strong", "stuck", "study", "su", "such",
    "suegra", "suegro", "sun", "supervisor", "supposed", "sure", "surface", "surgery", "surprised", "sus", "system", "table",
    "tail", "take", "taken", "takes", "taking", "tal", "talk", "talking", "tambien", "tampoco", "tan", "tanto", "tarde",
    "tarjeta", "tax", "te", "teach", "telefono", "tell", "ten", "tenemos", "tener", "tengo", "teniamos", "test", "text", "than",
    "thank", "thanks", "that", "thats", "the", "their", "them", "then", "there", "theres", "these", "they", "theyre", "thing",
    "things", "think", "this", "those", "though", "thought", "thousand", "three", "through", "tia", "tiempo", "tiene", "till",
    "time", "tio", "tired", "to", "toca", "toda", "todas", "today", "todo", "todos", "together", "told", "tomorrow", "tonight",
    "too", "took", "top", "total", "toward", "town", "trabajador", "trabajadora", "trabajar", "trabajo", "transfer",
    "transportation", "travel", "tree", "trouble", "true", "try", "trying", "tu", "turn", "twice", "two", "typing", "uh", "um",
    "un", "una", "unable", "under", "understand", "unemployed", "unfortunately", "unit", "uno", "unos", "until", "up",
    "updating", "upon", "uppercase", "upset", "upstairs", "urgent", "us", "use", "used", "user", "username", "usted", "ustedes",
    "usual", "usually", "va", "vale", "vamos", "van", "vecina", "vecino", "vence", "ver", "verifying", "very", "vet", "veteran",
    "vez", "vida", "visit", "viuda", "viudo", "vive", "vivimos", "vivo", "voice", "voicemail", "volunteer", "vowel", "voy",
    "wait", "waiting", "walk", "wanna", "want", "wanted", "wants", "war", "warm", "was", "wasnt", "watch", "water", "way", "we",
    "week", "weekend", "weight", "welcome", "well", "went", "were", "west", "weve", "what", "whats", "wheel", "when", "where",
    "which", "while", "white", "who", "whole", "whom", "whos", "whose", "why", "widowed", "wife", "will", "willing", "wind",
    "winter", "wish", "with", "without", "woman", "wonder", "wonderful", "wondering", "wont", "wood", "word", "work", "worker",
    "working", "works", "world", "worried", "worse", "worst", "would", "wouldnt", "write", "wrong", "y", "ya", "yeah", "year",
    "years", "yep", "yerno", "yes", "yesterday", "yet", "yo", "you", "youd", "youll", "young", "your", "youre", "yours",
    "yourself", "youve", "zip"
];

/// Whether a word only joins others: it can be no part of a password.
pub(super) fn is_function(folded: &str) -> bool {
    FUNCTION.binary_search(&folded).is_ok()
}

/// In the order of their letters.
#[rustfmt::skip]
const FUNCTION: &[&str] = &[
    "a", "about", "abrimos", "after", "al", "algo", "all", "also", "always", "am", "an", "and", "any", "are", "arent", "as", "at",
    "be", "because", "been", "before", "being", "believe", "but", "by", "can", "cant", "como", "con", "could", "couldnt", "creo",
    "cual", "cuando", "de", "del", "desde", "did", "didnt", "do", "does", "doesnt", "doing", "donde", "dont", "el", "ella", "en",
    "entonces", "era", "es", "esa", "ese", "eso", "esta", "estamos", "estan", "este", "esto", "estoy", "for", "from", "fue", "get",
    "go", "going", "gonna", "gracias", "ha", "had", "has", "hasta", "have", "havent", "hay", "he", "hed", "her", "here", "heres",
    "hes", "him", "his", "how", "hows", "i", "id", "if", "ill", "im", "in", "into", "is", "isnt", "it", "itd", "itll", "its",
    "ive", "just", "la", "las", "le", "let", "lets", "like", "lo", "los", "mas", "me", "menos", "mi", "muy", "my", "necesito",
    "need", "ni", "no", "nos", "not", "now", "nuestra", "o", "of", "off", "ok", "okay", "on", "or", "our", "out", "para", "pero",
    "please", "por", "porque", "puede", "puedo", "pues", "que", "quiero", "recuerdo", "remember", "se", "seria", "she", "shed",
    "shes", "should", "si", "siendo", "sigue", "sin", "since", "so", "some", "somos", "son", "soy", "still", "su", "sus", "tarda",
    "tengo", "than", "thank", "thanks", "that", "thatd", "thatll", "thats", "the", "their", "them", "then", "there", "theres",
    "these", "they", "theyd", "theyll", "theyre", "theyve", "think", "this", "those", "tiene", "to", "todavia", "todo", "tomo",
    "too", "trabaja", "trabajo", "tu", "uh", "um", "un", "una", "unless", "up", "us", "usted", "va", "vamos", "vive", "vivo",
    "voy", "wanna", "want", "was", "wasnt", "we", "wed", "were", "weve", "what", "whats", "when", "where", "wheres", "which",
    "while", "who", "whos", "why", "will", "with", "wont", "would", "wouldnt", "y", "ya", "yes", "yo", "you", "youd", "youll",
    "your", "youre", "youve",
];

#[cfg(test)]
mod tests {
    #[test]
    fn common_words_stand_in_order() {
        assert!(super::COMMON.is_sorted());
        assert!(super::FUNCTION.is_sorted());
    }
}
