//! The sixth part: meals, rides, benefits, recovery and resettlement. Written by somebody who had not read the rules.

use super::secrets::Lists;
use callgate::engine::redact::Entity;

pub const PLAIN: &[&str] = &[
    "Meals come Monday through Friday, somewhere between {time} and {time}.",
    "How many in the home are over sixty?|Just the {few} of us, me and my brother's {age}.",
    "The driver said he'd be there in {minutes}, that was {minutes} minutes ago.",
    "Chemo's every {few} weeks, this is number {few} out of twelve.",
    "I'm on my third sponsor, and I've got {minutes} days on {date}.",
    "They gave us {money} when we landed and that was supposed to last {few} months.",
    "What's the furthest you can walk?|Half a block, maybe a block and a half on a good day.",
    "You're allowed two bags, fifty pounds each, and the walker doesn't count.",
    "Her pulse was a hundred and four and then it came down to eighty-eight.",
    "The furnace is from {year}, it's older than my kids.",
    "They quoted me {money} for the roof, I about fell over.",
    "Bus {bus} to the end of the line, cross over, and it's the second gray building.",
    "The dentist wants {price} before he'll touch it.",
    "We've got a bed opening {date}, it's a six to nine month program.",
    "He's got court on {date} at {time}, department {few}.",
    "I've been through this {times} times with {times} different workers.",
    "How much insulin are you taking?|Thirty-two at night and a sliding scale with meals.",
    "They put her in 2B, by the window, she's got a roommate.",
    "My hours went from forty to {minutes} and now I don't get the insurance.",
    "The subsidy pays {percent} and your part's {price} a week.",
    "Call between eight thirty and four fifteen, we're at lunch from noon to one.",
    "She takes the white one twice and the pink one at bedtime, ten milligrams.",
    "There's {few} slots left in the parenting class, it runs for {few} Wednesdays.",
    "I drove {room} miles one way to see that specialist.",
    "Did you bring the card with you today?|Which one, the insurance card? Yeah, I've got it.",
    "What's your income this year?|Like {money}, maybe a little under.",
    "Okay, what account is it, the water or the sewer?|It's all one bill, honey.",
    "Who set up the password?|My niece did, she's in Denver, I'd have to ask her.",
    "Do they text you a code every time?|Every single time, it drives me nuts.",
    "I don't give my social over the phone, I'm sorry, I just don't.",
    "I changed my PIN last week because I thought somebody saw it.",
    "Same address?|Same address, same everything.",
    "When's your birthday?|Oh, I quit counting those.",
    "We'll mail you a form, it's the 2350, sign it and send it right back.",
    "He was born premature, at twenty-nine weeks, two pounds eleven.",
    "I've got {few} grandbabies and one more on the way in {month}.",
    "The appeal took {minutes} days and they still only gave me half.",
    "Last I checked we were number {minutes} on the list, then we were number {room}.",
    "I get {price} in food stamps, it's gone by the {ordinal}.",
    "You can have up to {money} in the bank and still qualify.",
    "Take exit {bus}, go about two miles, and you'll see the water tower.",
    "Her potassium was three point one, so they gave her {times} bags.",
    "That prescription has {few} refills, you've got till {month}.",
    "I lift with my left now, the right one's only good for about five pounds.",
    "He smokes a half a pack, used to be two and a half.",
    "Is the pain constant or does it come and go?|Comes and goes, every fifteen, twenty minutes.",
    "We lost power at {time} and it was out till the next morning.",
    "It's on the corner of Ninth and Alder, you can't miss it.",
    "The rent's due the first, late on the fifth, and it's {price} a day after that.",
    "My daughter made the honor roll, four A's and two B's.",
    "There's {big} of us came from the same camp, all over the country now.",
    "You'd work {few} days on and {few} off, twelves, nights.",
    "The interpreter was on the line {minutes} minutes before anybody else.",
    "On the anxiety scale you got a fourteen, and it was a nineteen in {month}.",
    "Your case closes in {minutes} days unless you turn in the last {few} pay stubs.",
    "Put down that I have one cat, does that matter?|Not unless there's more than two.",
    "I've been clean since {year}, give or take a bad weekend.",
    "The bus pass is {price}, half that if you're over sixty-five.",
    "Eighty, a hundred people in line and two of us handing out boxes.",
    "I had {few} teeth pulled in one sitting, never again.",
    "My chair weighs {mg} pounds without me in it.",
    "All right, sweetheart, you have a blessed day, and stay out of that heat.",
    "They said form I-94, and then something called a 1099, I don't have either.",
    "She can count to a hundred and she's not even {few}.",
    "We did the walk-through on unit {room}, everything passed but the smoke alarm.",
    "You said the twelfth? I've got the tenth written on the fridge.",
];

pub const PLAIN_ES: &[&str] = &[
    "La comida llega de lunes a viernes, entre {time_es} y {time_es}.",
    "¿Cuántos son en la casa?|Con el bebé ya somos {few_es}.",
    "La quimio es cada {few_es} semanas y me faltan cuatro.",
    "El chofer dijo que en {minutes_es} minutos, y ya pasó una hora.",
    "El camión {bus_es} la deja en la mera esquina.",
    "Tiene corte el {date_es}, a las {time_es}.",
    "Yo gano a {price_es} la hora, a veces menos.",
    "¿Qué tan lejos puede caminar?|Una cuadra, cuadra y media.",
    "Le pusieron {mg_es} miligramos y le cayó mal.",
    "Me quedan {few_es} días de vacaciones y los voy a ocupar.",
    "El bebé nació de siete meses, pesó dos kilos cien.",
    "¿Quién le puso la contraseña?|Mi sobrino, él sabe de eso.",
    "Cada vez que entro me mandan un código, ya me cansé.",
    "Fíjese que cambié mi PIN porque me lo vieron.",
    "La renta se paga el día primero, el cinco ya es tarde.",
    "Ya llevo {few_es} meses sin tomar, gracias a Dios.",
    "Son como {room_es} familias las que vienen los sábados.",
    "Aquí estamos desde {year_es}, mis hijos ya son de aquí.",
    "¿Cuándo es su cumpleaños?|Uy, ya ni los cuento.",
    "Me dieron {money_es} dólares y con eso me las arreglé.",
    "Está en el cuarto {room_es}, al fondo, del lado izquierdo.",
    "Le quitaron {few_es} muelas de un jalón.",
    "Mi mamá tiene {age_es} y mi papá iba a cumplir ochenta y uno.",
    "El pulso lo traía en ciento diez y le bajó a noventa.",
    "Hable entre ocho y media y cuatro, a mediodía cerramos.",
    "No doy mi seguro por teléfono, discúlpeme.",
    "El {percent_es} lo paga el programa y usted lo demás.",
    "Ándele, muchas gracias, que descanse.",
];

pub const FIRST: &[&str] =
    &["Renee", "Tomás", "Hyun-ji", "Delroy", "Beatriz", "Marge", "Ngozi", "Luis Ángel", "Ruthann", "Faisal", "Chayton", "Inés"];
pub const LAST: &[&str] = &[
    "Boudreaux",
    "Nwosu",
    "Tsosie",
    "Kirkpatrick",
    "Montoya",
    "Farouk",
    "Velásquez",
    "O'Malley",
    "Sandoval",
    "Choi",
    "Haugen",
    "Campbell-Reid",
];
pub const STREETS: &[&str] = &[
    "North 19th Avenue",
    "Persimmon Lane",
    "Old Ferry Road",
    "Saint Mary's Street",
    "Coyote Trail",
    "Rosa Parks Boulevard",
    "Twelfth Street Southeast",
    "Highland Terrace",
];
pub const CALLES: &[&str] =
    &["calle Matamoros", "avenida de la Paz", "calle Primero de Mayo", "calle Los Pinos", "avenida Vicente Guerrero", "calle Jacarandas"];
pub const WORDS: &[&str] = &["firefly", "raiders", "pancake", "blessed", "maverick", "princesa", "tulips", "gorilla"];
pub const HOSTS: &[&str] = &["cox", "earthlink", "hope community", "zoho"];
pub const OFFICES: &[&str] = &["Garfield Street", "Union Avenue", "Meridian Road", "Fairgrounds Drive"];
pub const OFICINAS: &[&str] = &["la calle Garfield", "la avenida Séptima", "la calle de la Iglesia"];

pub const FILLERS: [&[&str]; 2] = [
    &["sorry I'm squinting", "what comes next", "lemme think", "er hang on", "is that a, yeah"],
    &["mmm a ver", "qué sigue", "deje pienso", "es que está bien chiquito", "digamos"],
];
pub const SORRY: [&[&str]; 2] = [
    &["shoot no", "I skipped one", "that's not it", "back up a second", "I'm sorry make that"],
    &["ay me brinqué uno", "ese no era", "espérese no", "no no perdóneme", "más bien"],
];
pub const OKAY: [&[&str]; 2] = [
    &["yeah", "keep going I'm typing", "okay so far so good", "go right ahead", "I'm here"],
    &["sí sí", "aquí sigo", "voy anotando", "prosiga", "está bien"],
];
pub const THEN: [&[&str]; 2] = [
    &["okay and the next ones", "after the space it's", "second part", "rest of it is", "ready for more"],
    &["los que siguen", "después del espacio", "segunda parte", "el resto es", "¿le sigo?"],
];
pub const OVER: [&[&str]; 2] = [
    &["okay I messed that up one more time", "no let me read the whole thing over", "scratch all that here it is again"],
    &["ya la regué ahí va de nuez", "mejor se lo leo todo otra vez", "borre eso le repito"],
];
pub const BREATH: [&[&str]; 2] = [
    &[
        "oh that's the doorbell they can wait okay so",
        "my phone keeps going dark on me there we go",
        "I wrote the rest on the other side bear with me",
    ],
    &["ay están tocando ahorita voy bueno le sigo", "se me apaga la pantalla ya ya prendió", "lo demás lo apunté atrás deje le doy vuelta"],
];
pub const READ_BACK: [&[&str]; 2] = [
    &["that's {} right", "alright {} keep going", "{} did I get that", "let me repeat that {}"],
    &["a ver {}", "{} ¿verdad?", "ya tengo {} siga", "le repito {}"],
];
pub const OPENINGS: [&[&str]; 2] = [
    &["", "yeah, um, ", "okay, so that's ", "let me find it, here, ", "it should be ", "sure thing, ", "oh, that? it's "],
    &["", "a ver, sí, ", "ah, ese es ", "aquí lo traigo, es ", "debe ser ", "cómo no, "],
];
pub const ALONE: [&[&str]; 2] = [
    &["okay you ready for it? {}", "so it says {}", "I've got it right here, {}", "you can write this down, {}"],
    &["¿lista? {}", "aquí dice {}", "lo traigo aquí, {}"],
];
pub const STALLS: [&[&str]; 2] = [
    &[
        "Is this line recorded?|It is, but only for training.",
        "Let me go out to the car, it's in the glove box.|Okay, I can wait.",
        "I just gave that to the last lady.|I know, I'm sorry, I can't see it from here.",
        "Ugh, my hands are full, one minute.|You're fine.",
    ],
    &[
        "¿Están grabando esto?|Sí, pero nada más para capacitación.",
        "Se lo acabo de dar a la otra señorita.|Ya sé, disculpe, es que yo no lo veo.",
        "Deje voy al carro por él.|Aquí la espero.",
    ],
];
pub const ON_FILE: [&[&str]; 2] = [
    &[
        "It says here {} can you confirm that for me?",
        "From last time I have {} is that current?",
        "Okay, on my screen there's {} is that you?",
    ],
    &["Aquí en la pantalla dice {} ¿me lo confirma?", "De la última vez tengo {} ¿está bien?"],
];
pub const THANKS: [&[&str]; 2] = [
    &["Awesome, found you.", "Mm-hmm, it took it.", "Thank you, I know that's a lot."],
    &["Ya quedó.", "Muchas gracias.", "Sí lo aceptó."],
];

#[rustfmt::skip]
pub fn wording(entity: Entity) -> Lists {
    let w = |asks, asks_es, tells, tells_es| Lists { asks, asks_es, tells, tells_es };
    match entity {
        Entity::CardNumber => w(
            &["Which card did you want on file, and can you read it to me?", "Okay, the long number on the card, please.", "Is it debit or credit, and what's the number?", "I can take your card now if you have it out.", "Tell me the card number, nice and slow."],
            &["¿Qué tarjeta quiere dejar registrada?", "El número largo de la tarjeta, por favor.", "¿Es de débito o de crédito, y qué número tiene?", "Si trae la tarjeta a la mano, dígame.", "Dígame la tarjeta despacito."],
            &["it's my husband's card, {}", "the debit card's number is {}", "take it off my Visa, {}", "the card I got in the mail says {}", "use my credit card, that's {}"],
            &["es la tarjeta de mi esposo, {}", "el número de la de débito es {}", "quítelo de mi Visa, {}", "la tarjeta que me llegó dice {}", "use mi tarjeta de crédito, es {}"]),
        Entity::Cvv => w(
            &["Can you read the code on the back of the card to me?", "And the CVV, please and thank you.", "What are the last three digits by the signature box?", "I still need the security code.", "There's a CVC back there, what is it?"],
            &["¿Me lee el código de atrás de la tarjeta?", "¿Y el CVV, por favor?", "¿Cuáles son los tres dígitos junto a la firma?", "Todavía me falta el código de seguridad.", "Atrás trae un CVC, ¿cuál es?"],
            &["security code {}", "by the signature it says {}", "the CVV on it's {}", "those last three digits are {}", "the card's CVC, {}"],
            &["código de seguridad {}", "junto a la firma dice {}", "el CVV de esa es {}", "los tres dígitos son {}", "el CVC de la tarjeta, {}"]),
        Entity::Expiry => w(
            &["And the date it expires?", "What's printed under valid thru?", "Is that card still good, what's the expiration?", "When's that one expire, month and year?", "Expiration date for me?"],
            &["¿Y la fecha en que vence?", "¿Qué dice donde dice válida hasta?", "¿Todavía está vigente, cuándo expira?", "¿Cuándo se le vence, mes y año?", "¿Me da la expiración?"],
            &["it expires on {}", "the card's valid till {}", "exp date {}", "expiration date, that's {}", "it says good through {}"],
            &["se me vence en {}", "válida hasta {}", "fecha de expiración {}", "la fecha que trae de vencimiento es {}", "dice que expira {}"]),
        Entity::BankAccount => w(
            &["Okay, and your bank account number?", "Which account should the stipend land in?", "What's the number for your checking?", "Now the account number, that comes after the routing.", "Do you have the account number for the savings?"],
            &["¿Y su número de cuenta bancaria?", "¿En qué cuenta le depositamos el apoyo?", "¿Qué número tiene su cuenta de cheques?", "Ahora el número de cuenta, el que va después.", "¿Tiene el número de la cuenta de ahorro?"],
            &["my bank account number's {}", "my checking account is number {}", "deposit it to {} that's my account", "the account at the credit union is {}", "account, {}"],
            &["mi número de cuenta bancaria es {}", "mi cuenta de cheques es la {}", "deposítenlo en la cuenta {}", "la cuenta de la cooperativa es {}", "cuenta número {}"]),
        Entity::RoutingNumber => w(
            &["Routing number?", "And what's your bank's routing number?", "I'll take the routing number whenever you find it.", "The first nine on the check, that's the routing, what is it?", "Can you get me the ABA routing number?"],
            &["¿Número de ruta?", "¿Y el número de ruta de su banco?", "Cuando lo encuentre me da el número de ruta.", "Los primeros nueve del cheque son la ruta, ¿cuáles son?", "¿Me consigue el número ABA?"],
            &["routing, {}", "my routing number is {}", "they told me the routing number was {}", "the check says routing number {}", "the bank's ABA number is {}"],
            &["ruta, {}", "mi número de ruta es {}", "me dijeron que la ruta era {}", "el cheque dice número de ruta {}", "el número ABA del banco es {}"]),
        Entity::Ssn => w(
            &["Could I get your social?", "Do you know your husband's social security number?", "And the full nine digits of the social?", "I have to verify the social security number before I go on.", "Okay, social for the youngest?"],
            &["¿Me puede dar su social?", "¿Se sabe el seguro social de su esposo?", "¿Los nueve dígitos del social?", "Tengo que verificar el número de seguro social.", "¿El social del más chiquito?"],
            &["social security number {}", "my husband's social is {}", "her social would be {}", "yeah, my social, it's {}", "the social on the card is {}"],
            &["seguro social número {}", "el social de mi esposo es {}", "el social de ella sería {}", "mi seguro, sí, es {}", "el social que trae la tarjeta es {}"]),
        Entity::Itin => w(
            &["Could I get the ITIN for your wife?", "Do you pay taxes with an ITIN? Read it to me.", "Your ITIN, please.", "What's the taxpayer number, the ITIN, on the letter?", "Instead of a social I'll take the ITIN."],
            &["¿Me da el ITIN de su esposa?", "¿Paga impuestos con ITIN? Léamelo.", "Su ITIN, por favor.", "¿Cuál es el número de contribuyente de la carta?", "En lugar del social le tomo el ITIN."],
            &["my wife has an ITIN, {}", "the ITIN number's {}", "our ITIN is {}", "on the letter my ITIN's {}", "taxpayer number {}"],
            &["mi esposa tiene ITIN, {}", "el número de ITIN es {}", "nuestro ITIN es {}", "en la carta mi ITIN es {}", "número de contribuyente {}"]),
        Entity::Pin => w(
            &["Go ahead and tell me your PIN.", "What's the PIN you use for the phone line?", "To make changes I need the account PIN.", "And the four digit PIN?", "Do you want to keep the same PIN? What is it?"],
            &["Ándele, dígame su PIN.", "¿Cuál es el PIN que usa?", "Para hacer cambios necesito el PIN de la cuenta.", "¿Y el PIN de cuatro dígitos?", "¿Quiere dejar el mismo PIN? ¿Cuál es?"],
            &["the account PIN is {}", "make my PIN {}", "I want my PIN to be {}", "the PIN should be {}", "it's {} that's the PIN"],
            &["el PIN de la cuenta es {}", "póngame el PIN {}", "quiero que el PIN sea {}", "el PIN debe ser {}", "de PIN tengo {}"]),
        Entity::OneTimeCode => w(
            &["It just sent you a six digit code, what's it say?", "What's the code on your phone?", "Once the code comes in just read it to me.", "Can you give me the verification code from the text?", "Okay, code?"],
            &["Le acaba de mandar un código de seis números, ¿qué dice?", "¿Qué código le salió en el teléfono?", "Cuando le llegue el código me lo lee.", "¿Me da el código de verificación del mensaje?", "A ver, ¿el código?"],
            &["the text message code is {}", "okay it says code {}", "the verification code's {}", "I got a text, the code is {}", "here's the code, {}"],
            &["el código del mensaje es {}", "dice código {}", "el código de verificación es {}", "me llegó un mensaje, el código es {}", "aquí está el código, {}"]),
        Entity::Phone => w(
            &["What number should the driver call when he's outside?", "Can I get a call back number in case we drop?", "And your sister's phone?", "What's the number where you're staying?", "Which number do you pick up on?"],
            &["¿A qué número le marca el chofer cuando llegue?", "¿Me da un número por si se corta la llamada?", "¿Y el teléfono de su hermana?", "¿Qué teléfono hay donde se está quedando?", "¿En qué número contesta?"],
            &["my sister's phone is {}", "the driver can text {}", "call me back at {}", "I pick up on {}", "home phone's {}"],
            &["el teléfono de mi hermana es {}", "el chofer me puede marcar al {}", "regréseme la llamada al {}", "contesto en el {}", "el número de la casa es {}"]),
        Entity::Aadhaar => w(
            &["You have an Aadhaar? Please tell me the number.", "What is the Aadhaar for your mother?", "Any ID from India, the Aadhaar?", "And your husband's Aadhaar number?", "Read the Aadhaar digits for me, please."],
            &["¿Tiene Aadhaar? Dígame el número.", "¿Cuál es el Aadhaar de su mamá?", "¿Alguna identificación de la India, el Aadhaar?", "¿Y el número de Aadhaar de su esposo?", "Léame los dígitos del Aadhaar."],
            &["my mother's Aadhaar number is {}", "Aadhaar card, {}", "my Aadhaar ID number is {}", "for Aadhaar I have {}", "his Aadhaar, that's {}"],
            &["el número de Aadhaar de mi mamá es {}", "tarjeta Aadhaar, {}", "mi Aadhaar es el {}", "como Aadhaar tengo {}", "el Aadhaar de él es {}"]),
        Entity::MedicalRecord => w(
            &["Do you have your MRN handy?", "There's a medical record number on the bill, can you read it?", "What's your patient number with the clinic?", "And the chart number, if they gave you one?", "Could I have her medical record number?"],
            &["¿Tiene a la mano su MRN?", "En el recibo viene un número de expediente, ¿me lo lee?", "¿Cuál es su número de paciente en la clínica?", "¿Y el número de expediente, si se lo dieron?", "¿Me da el número de historia clínica de ella?"],
            &["her medical record number's {}", "MRN {}", "my patient number is {}", "the bill has my record number as {}", "the chart number is {}"],
            &["su número de historia clínica es {}", "MRN {}", "mi número de paciente es {}", "en el recibo mi expediente es {}", "expediente número {}"]),
        Entity::Iban => w(
            &["What's the IBAN of the account back home?", "Let me have the IBAN, letter by letter.", "Your brother's IBAN?", "For the transfer they want an IBAN.", "Did they give you an IBAN? What is it?"],
            &["¿Cuál es el IBAN de la cuenta de allá?", "Deme el IBAN, letra por letra.", "¿El IBAN de su hermano?", "Para la transferencia piden el IBAN.", "¿Le dieron un IBAN? ¿Cuál es?"],
            &["my brother's IBAN is {}", "the IBAN on the paper is {}", "the IBAN, that's {}", "IBAN number {}", "the account back home is IBAN {}"],
            &["el IBAN de mi hermano es {}", "el IBAN del papel es {}", "el IBAN, es {}", "número de IBAN {}", "la cuenta de allá es IBAN {}"]),
        Entity::Pan => w(
            &["Can you tell me what your PAN is?", "Do you still have the PAN card? Read it.", "I need the PAN, letters and numbers.", "Wife's PAN number?", "What's printed on the PAN card?"],
            &["¿Me dice cuál es su PAN?", "¿Todavía tiene el PAN card? Léamelo.", "Necesito el PAN, letras y números.", "¿El PAN de su esposa?", "¿Qué viene en el PAN card?"],
            &["my wife's PAN is {}", "on the PAN card it's {}", "my PAN card is {}", "the PAN number would be {}", "PAN, {}"],
            &["el PAN de mi esposa es {}", "en el PAN card es {}", "mi PAN card tiene {}", "el número de PAN es {}", "PAN, {}"]),
        Entity::Password => w(
            &["What password did you pick?", "And what's the password for the app?", "Okay, tell me your password and I'll log you in.", "What was your last password?", "The password on the account, please?"],
            &["¿Qué contraseña escogió?", "¿Y la contraseña de la aplicación?", "Dígame su contraseña y la meto.", "¿Cuál era su última contraseña?", "La contraseña de la cuenta, por favor."],
            &["the app password is {}", "I picked the password {}", "my last password was {}", "my password should be {}", "it's password {}"],
            &["la contraseña de la aplicación es {}", "escogí la contraseña {}", "mi última contraseña era {}", "mi contraseña debe ser {}", "puse la contraseña {}"]),
        Entity::DateOfBirth => w(
            &["And your date of birth for me?", "Your mother's date of birth, please?", "What's the birthday on the account?", "When was she born?", "DOB on the little girl?"],
            &["¿Me da su fecha de nacimiento?", "¿La fecha de nacimiento de su mamá?", "¿Qué cumpleaños tengo que poner?", "¿Cuándo nació ella?", "¿La fecha de nacimiento de la niña?"],
            &["her date of birth is {}", "my mother was born {}", "I was born on {}", "date of birth {}", "her birthday's {}"],
            &["la fecha de nacimiento de ella es {}", "mi mamá nació el {}", "yo nací el {}", "fecha de nacimiento {}", "su cumpleaños es {}"]),
        Entity::Email => w(
            &["What's the best email for you?", "Is there an email I can send the voucher to?", "And the email for your caseworker?", "What email do you use?", "Would you spell your email for me?"],
            &["¿Cuál es el mejor correo?", "¿Hay un correo a donde le mande el vale?", "¿Y el correo de su trabajadora?", "¿Qué correo usa?", "¿Me deletrea su email?"],
            &["the caseworker's email is {}", "I use {}", "you can email {}", "shoot it over to {}", "email's {}"],
            &["el correo de la trabajadora es {}", "uso {}", "me puede escribir a {}", "mándemelo al correo {}", "mi correo electrónico sería {}"]),
        Entity::Address => w(
            &["Where do the meals get delivered?", "What's your current address?", "And the address where you're staying?", "Where's the pick up, what's the address?", "Okay, house number and street?"],
            &["¿A dónde le llevamos la comida?", "¿Cuál es su dirección actual?", "¿Y la dirección donde se está quedando?", "¿Dónde la recogemos, cuál es la dirección?", "¿Número de casa y calle?"],
            &["bring it to {}", "my current address is {}", "I'm living with my sister at {}", "pick me up at {}", "I just moved, it's {}"],
            &["tráigalo a {}", "mi dirección actual es {}", "vivo con mi hermana en {}", "recójame en {}", "me acabo de cambiar, es {}"]),
        Entity::Name => w(
            &["Can I start with your name?", "And the name of your caregiver?", "What name should I put on the order?", "Who am I speaking to today?", "Spell your first and last name for me, please."],
            &["¿Empezamos con su nombre?", "¿Y el nombre de quien la cuida?", "¿A qué nombre pongo el pedido?", "¿Con quién tengo el gusto?", "¿Me da su nombre y apellido?"],
            &["hi, my name is {} and I was told to call you", "my caregiver's name is {}", "put it under {}", "this is {}, returning your call", "my daughter's name is {}"],
            &["hola, mi nombre es {} y me dijeron que llamara", "la que me cuida se llama {}", "póngalo a nombre de {}", "habla {}, le regreso la llamada", "mi hija se llama {}"]),
        Entity::Number => unreachable!("no entity that people tell"),
    }
}
