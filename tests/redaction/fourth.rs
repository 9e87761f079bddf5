//! The fourth part: county services, home care and behavioral health. Written by somebody who had not read the rules.

use super::secrets::Lists;
use callgate::engine::redact::Entity;

pub const PLAIN: &[&str] = &[
    "So the nurse comes out Mondays and Thursdays, that's {few} hours a week total.",
    "I've been on the list for section eight since, gosh, {year}.",
    "They cut my SNAP from {money} down to {money}, I can't feed {few} people on that.",
    "How many people are in the household right now?|Uh, {few}. No, {few}, my nephew's staying with us.",
    "And how old is he?|He'll be {age} in {month}.",
    "What time works for you?|Anything after {time}, I get off at {time}.",
    "Her sugar was {mg} at breakfast and {mg} before bed.",
    "The doctor bumped it up to {mg} milligrams, {times} tablets in the morning.",
    "You need to fill out the SSA-827 and send it back with the 1095-A.",
    "Did you get the W-2 from that job?|I got one of them, there's supposed to be {times}.",
    "If you ever feel like hurting yourself you call 988, day or night.",
    "For rides and food boxes you can also dial 211.",
    "I take the {bus} to the transit center and then the {bus}, it's {minutes} minutes if I don't miss it.",
    "On a scale of one to ten, how bad is the pain?|I'd say a seven, maybe an eight at night.",
    "He scored a {few} on the PHQ-9 last time and {few} this time.",
    "My caseload is {room} families right now so bear with me on callbacks.",
    "We had {big} referrals come through in {year}, it's never been like that.",
    "She weighs {mg} pounds, she was {mg} before the stroke.",
    "They've got me down for {few} visits, I've used {few} of them.",
    "I'm on step {few} of the program and I've got {few} months clean.",
    "The light bill is {price} and they want {price} by {date} or they shut it off.",
    "How much do you make in a month, about?|About {money}, some months {money}.",
    "It's apartment living, there's {room} units and one elevator.",
    "You're in bed {few} tonight and then they move you to {room}.",
    "The board voted {few} to {few} to keep the shelter open.",
    "I was in Desert Storm, ninety one, then I got out in {year}.",
    "Do you have your insurance card with you?|It's in my other purse, I'd have to go upstairs.",
    "Which phone do you have, an iPhone or the free one?|The free one, it's an Android 12 or something.",
    "Type two diabetes, high blood pressure, and stage three kidney disease.",
    "Her A1C went from nine point four to seven point one.",
    "My oxygen's at {minutes} percent when I'm sitting.",
    "The caregiver gets {price} an hour, up to {minutes} hours a month.",
    "Um, I think it was the {ordinal} floor, room {room}, ask for the nurse.",
    "You'd get a letter in seven to ten business days.",
    "I left you {few} messages, I don't know if you got them.",
    "He sleeps maybe three or four hours and then he's up at {time}.",
    "We can do a phone interview {date} between {time} and {time}, they'll call you from a blocked number.",
    "Is there a code to get in the building?|No, just push the button, somebody'll come down.",
    "They're saying I was overpaid by {money} and they'll take {percent} till it's paid.",
    "What's the account you're calling about, gas or electric?|Both, they both came the same day.",
    "There's {few} stairs in the front and {few} in the back.",
    "I quit smoking {few} years ago but I did a pack a day for {minutes} years.",
    "Can you spell your last name for me one more time? Actually never mind, I found you.",
    "The ramp has to be one inch for every twelve, that's the rule.",
    "She's on 20 of Lasix, 40 of Lipitor and a baby aspirin, the 81.",
    "I'll put the packet in the mail today, it's {few} pages, sign on page {few} and page {few}.",
    "My rent's {percent} of my check, that's how they figure it.",
    "The food pantry's at {office}, they open at {time}, get there early.",
    "He's in {ordinal} grade but he reads like a {ordinal} grader.",
    "Okay so I'm showing {few} kids, ages {age}, {age}, and {age}, is that everybody?",
    "I had {few} seizures in {month} and none since.",
    "My password? I never made one, my daughter does all that.",
    "Did somebody give you a PIN for the EBT card?|No, they said it comes separate in the mail.",
    "The respite grant covers {money} a year, some families get {money}.",
    "My birthday's right around Christmas so everybody forgets it.",
    "Is your address the same as last year?|Yeah, same place, haven't moved.",
    "They gave me a cup of pills like ten, twelve pills, I said what is all this.",
    "I went to the ER {times} times in one week, the {ordinal} time they kept me.",
    "We got about {minutes} minutes left, anything else you want to go over?",
    "Highway 99 was backed up so I missed my {time}.",
    "I can't sit for more than fifteen, twenty minutes at a stretch.",
    "It's twenty-four seven, somebody always picks up.",
    "Back in oh eight I lost the house, and then again in twenty ten, same story.",
    "Okay, hang on, my dog's going crazy, hush!",
    "You take care of yourself, hon, we'll talk {date}.",
    "Do you want to do the social this Friday? There's bingo and a lunch, five bucks.",
    "Sorry, you're breaking up, could you say that again?",
    "The waiver has {big} slots statewide and you're number {room} on the list.",
    "Blood pressure's one thirty over eighty-five, that's better than it was.",
    "She's five foot two, and I can't lift her by myself anymore.",
];

pub const PLAIN_ES: &[&str] = &[
    "La enfermera viene los lunes y jueves, son {few_es} horas por semana.",
    "¿Cuántas personas viven con usted?|Somos {few_es}, bueno, {few_es} con mi sobrina.",
    "¿Y qué edad tiene el niño?|Va a cumplir {age_es}.",
    "Me bajaron las estampillas a {money_es} dólares, no me alcanza.",
    "El recibo de la luz llegó de {price_es} y lo quieren antes del {date_es}.",
    "¿A qué hora le queda bien?|Después de las {time_es}, salgo del trabajo a las {time_es}.",
    "Le subieron la dosis a {mg_es} miligramos, dos en la mañana y una en la noche.",
    "El azúcar la tenía en {mg_es} ayer.",
    "Tomo el camión {bus_es} y luego camino como {minutes_es} minutos.",
    "Del uno al diez, ¿qué tanto le duele?|Como un ocho, a veces nueve.",
    "Mire, en la lista va en el lugar {room_es}.",
    "¿Trae su tarjeta del seguro?|La dejé en el carro, ¿la ocupa ahorita?",
    "Ya van {few_es} veces que llamo y nadie contesta.",
    "El cuarto es el {room_es}, en el segundo piso.",
    "Mi mamá pesa {mg_es} libras y yo sola no la puedo cargar.",
    "Si se siente muy mal marque al 988, a cualquier hora.",
    "Son {few_es} hojas, firme en la {few_es} y en la {few_es}.",
    "Llegué a este país en {year_es}, cuando tenía {age_es} años.",
    "Me quitaron el {minutes_es} por ciento del cheque.",
    "Trabajo de {time_es} a {time_es}, seis días a la semana.",
    "No, no tengo clave de nada, mi hija me ayuda con eso.",
    "Ay, disculpe, el perro no se calla.",
    "¿Su dirección sigue siendo la misma?|Sí, ahí mismo, no nos hemos movido.",
    "La despensa está en {oficina}, abren a las {time_es}.",
    "Ándele pues, cuídese mucho y nos hablamos la otra semana.",
    "Me operaron hace {few_es} meses y todavía me duele.",
    "Le cobran {price_es} por hora, máximo {minutes_es} horas al mes.",
    "La presión la traía en ciento cuarenta sobre noventa.",
    "¿Y cuántas veces fue a urgencias este año?|Unas {few_es}, creo.",
];

pub const FIRST: &[&str] =
    &["Thuy", "DeShawn", "Svetlana", "Marisol", "Earl", "Abdi", "Mary Beth", "Refugio", "Gladys", "Tenzin", "Leticia", "Otis"];
pub const LAST: &[&str] = &[
    "Pham",
    "Broussard",
    "Ivanova",
    "Cisneros",
    "McAllister",
    "Warsame",
    "Stubblefield",
    "Arredondo",
    "Lindqvist",
    "Dorje",
    "Oyelaran",
    "Yazzie",
];
pub const STREETS: &[&str] = &[
    "West 7th Street",
    "County Road 12",
    "Peachtree Lane",
    "Airport Boulevard",
    "Hawthorne Place",
    "South Wabash Avenue",
    "Dogwood Trail",
    "Saint Charles Street",
];
pub const CALLES: &[&str] = &[
    "calle Guerrero",
    "avenida de los Maestros",
    "calle Niños Héroes",
    "calle Dieciséis de Septiembre",
    "avenida Lázaro Cárdenas",
    "calle Magnolia",
];
pub const WORDS: &[&str] = &["tomcat", "jellybean", "fireball", "grandma", "cowboys", "biscuit", "corazon", "hallelujah"];
pub const HOSTS: &[&str] = &["aol", "sbcglobal", "mercy home care", "ymail"];
pub const OFFICES: &[&str] = &["Washington Street", "Courthouse Square", "Industrial Parkway", "Dr. King Drive"];
pub const OFICINAS: &[&str] = &["la calle Doce", "la avenida Washington", "la calle del Parque"];

/// English, then Spanish, here and below.
pub const FILLERS: [&[&str]; 2] = [
    &["uhh", "what's that", "I can't hardly read this", "okay um", "let me turn it over"],
    &["ehm", "no le veo bien", "cómo dice", "ahí le va", "deje me pongo los lentes"],
];
pub const SORRY: [&[&str]; 2] = [
    &["nope", "hold on that's wrong", "excuse me", "no that's not right", "strike that"],
    &["no es cierto", "ay perdón", "no no no", "mentira", "me confundí"],
];
pub const OKAY: [&[&str]; 2] =
    [&["mhm", "go on", "got that", "okay what's next", "yes ma'am"], &["ajá sí", "ándele", "lo tengo", "a ver qué más", "bueno"]];
pub const THEN: [&[&str]; 2] = [
    &["next", "and the rest is", "the next part is", "and uh", "then I have"],
    &["luego sigue", "y ya después", "y lo demás es", "le sigue", "y este"],
];
/// Told again from its beginning.
pub const OVER: [&[&str]; 2] = [
    &["no let me start over", "hang on I'll start again", "you know what from the top"],
    &["no espéreme empiezo otra vez", "mejor desde el principio", "a ver otra vez"],
];
/// A clause between two breaths.
pub const BREATH: [&[&str]; 2] = [
    &[
        "hold on the sticker's peeling off here okay",
        "I'm sorry my eyes are bad there's more",
        "just a sec somebody's at the door okay where was I",
    ],
    &["espéreme que está borroso aquí bueno", "perdón es que tengo al niño encargado ya", "ay se me cayó el papel ya sigo"],
];
/// What the one who writes it down says with the part that is read back.
pub const READ_BACK: [&[&str]; 2] =
    [&["{} okay", "so {}", "{} got it keep going", "did you say {}"], &["{} ajá", "entonces {}", "{} y luego", "¿dijo {}?"]];
pub const OPENINGS: [&[&str]; 2] = [
    &["", "okay it's ", "um, hang on, okay, ", "yeah so that'd be ", "oh Lord, I think it's ", "you ready? ", "my what? oh, okay, "],
    &["", "a ver, es ", "ah sí, es el ", "mire, ahí le va, ", "¿mande? ah, ", "déjeme buscarlo, es "],
];
pub const ALONE: [&[&str]; 2] = [
    &["here it is {}", "got a pen? {}", "alright it says here {}", "{} that's what's on the paper"],
    &["aquí está {}", "apúntele {}", "dice aquí {}"],
];
pub const STALLS: [&[&str]; 2] = [
    &[
        "Hold on, it's in my purse.|Take your time.",
        "Do you need that right now?|I do, I'm sorry, it won't let me go on.",
        "Let me get my glasses.|No rush.",
        "Is this being written down?|Just in your file.",
    ],
    &["Espéreme, lo tengo en la bolsa.|Sí, no se apure.", "¿Lo ocupa ahorita?|Sí, por favor.", "Deje agarro mis lentes.|Aquí la espero."],
];
/// Told by the one who has it on file.
pub const ON_FILE: [&[&str]; 2] = [
    &["What I've got here is {} is that still right?", "We have {} in the system, correct?", "I'm seeing {} does that sound right?"],
    &["Aquí me aparece {} ¿es correcto?", "Yo tengo {} ¿sigue siendo el mismo?"],
];
pub const THANKS: [&[&str]; 2] =
    [&["Perfect.", "Okay I've got that down.", "Alrighty, thank you, hon."], &["Perfecto.", "Ya lo anoté.", "Muy amable."]];

#[rustfmt::skip]
pub fn wording(entity: Entity) -> Lists {
    let w = |asks, asks_es, tells, tells_es| Lists { asks, asks_es, tells, tells_es };
    match entity {
        Entity::CardNumber => w(
            &["And how did you want to pay that, is there a card?", "Okay read me what's on the card, left to right.", "What's the number off the front of that Visa?", "Alright, I'm ready for your card whenever you are.", "Could you give me the full card number, not just the last four?"],
            &["¿Con qué tarjeta va a pagar?", "A ver, léame los números de la tarjeta de enfrente.", "Ya estoy lista para la tarjeta.", "¿Me pasa el número completo de la tarjeta?", "¿Qué números trae su Visa?"],
            &["okay my card, it goes {}", "put it on this one, the card is {}", "it's a debit card and the number's {}", "the card says {}", "on the front of the card it's got {} and that's it"],
            &["la tarjeta trae el {}", "es de débito y el número es {}", "cárguelo a mi tarjeta {}", "mi Visa es la {}", "los números de enfrente son {}"]),
        Entity::Cvv => w(
            &["And flip it over, what's the little code back there?", "What's the security code?", "Now I need the three numbers by the signature.", "And the CVV, it's on the back.", "What's that last code on the back of the card?"],
            &["Ahora voltéela, ¿qué numeritos trae atrás?", "¿Y el código de seguridad de la tarjeta?", "¿Los números que están junto a la firma?", "Me falta el CVV.", "¿Cuál es el codiguito de atrás?"],
            &["the code on the back of it's {}", "the little numbers are {}", "back of the card says {}", "security code, okay, {}", "my CVV's {}"],
            &["los numeritos de atrás son {}", "el código de atrás es {}", "de seguridad tiene {}", "atrás dice {}", "el CVV trae {}"]),
        Entity::Expiry => w(
            &["When's it expire?", "And the expiration, month and year?", "What's the good-thru on it?", "What does it say for the exp date?", "And that one expires when?"],
            &["¿Cuándo se vence?", "¿Y la fecha de expiración, mes y año?", "¿Qué fecha de vencimiento trae?", "¿Hasta qué fecha es buena?", "¿Cuándo expira esa tarjeta?"],
            &["it's good till {}", "the card expires {}", "expiration's {}", "it runs out {}", "the date on it, the exp, is {}"],
            &["se vence {}", "expira en {}", "la fecha de vencimiento dice {}", "es buena hasta {}", "el vencimiento es {}"]),
        Entity::BankAccount => w(
            &["And the account number for direct deposit?", "What's your checking account number, it's on the bottom of a check.", "Okay and then the account?  The bank account.", "Go ahead and give me that account number off the statement.", "What account is the check going into?"],
            &["¿Y el número de cuenta para el depósito directo?", "¿Cuál es su cuenta de cheques?", "¿Me da el número de la cuenta del banco?", "Léame la cuenta que viene en el estado de cuenta.", "¿A qué número de cuenta va el cheque?"],
            &["the account's {}", "my checking's {}", "for direct deposit it's account {}", "the bottom of my check, account number, {}", "okay so the account number they gave me was {}"],
            &["la cuenta de cheques es {}", "el número de cuenta dice {}", "mi cuenta del banco es {}", "deposítelo a la cuenta {}", "la cuenta es {}"]),
        Entity::RoutingNumber => w(
            &["Next is the routing number, that's the one on the left.", "What's the routing?", "You see the bank's routing number there at the bottom?", "Do you know your bank's routing number by heart?", "Okay, routing number first."],
            &["Primero el número de ruta, es el de la izquierda.", "¿Cuál es el routing del banco?", "¿Ve el número de ruta ahí abajo?", "¿Se sabe el número de ruta?", "Ahora el de ruta, por favor."],
            &["the routing's {}", "for routing I have {}", "the left one, the routing number, is {}", "it says routing {}", "their routing number is {}"],
            &["la ruta es {}", "el de ruta es {}", "el routing es {}", "el número de ruta dice {}", "de ruta tengo {}"]),
        Entity::Ssn => w(
            &["And your social?", "Go ahead with your full social whenever you're ready.", "What's mom's social security number?", "I need all nine of your social, I'm sorry.", "For the application I have to ask for a social."],
            &["¿Y su seguro social?", "Dígame los nueve números de su seguro.", "¿Cuál es el número de seguro de su mamá?", "Para la solicitud ocupo su seguro social.", "¿Se sabe su número de social?"],
            &["my social's {}", "okay social, {}", "her social security's {}", "it's my husband's social {}", "they told me I'd need the social, it's {}"],
            &["mi seguro es {}", "el seguro social de mi mamá es {}", "el social es {}", "mi número de seguro es {}", "de seguro social tengo {}"]),
        Entity::Itin => w(
            &["If you don't have a social, do you have an ITIN?", "What's the ITIN on your tax return?", "Is there a taxpayer ID? Go ahead.", "Okay, read me your I-T-I-N, the ITIN.", "What ITIN do you use for taxes?"],
            &["Si no tiene seguro, ¿tiene ITIN?", "¿Qué ITIN viene en sus taxes?", "¿Cuál es su número de taxpayer, el ITIN?", "Dígame el ITIN.", "¿Con qué ITIN hace los impuestos?"],
            &["the ITIN's {}", "I do my taxes with an ITIN, {}", "ITIN number, let's see, {}", "my wife's ITIN is {}", "on the tax paper the ITIN says {}"],
            &["el ITIN es {}", "hago los taxes con el ITIN {}", "mi ITIN sería {}", "en los taxes el ITIN dice {}", "el ITIN de mi esposo es {}"]),
        Entity::Pin => w(
            &["And what PIN do you want to use?", "What's the PIN on the account so I can get in?", "Pick a four digit PIN and tell me what it is.", "I need the PIN you set up with us.", "What's your PIN, hon?"],
            &["¿Y qué PIN quiere usar?", "¿Cuál es el PIN de la cuenta?", "Escoja un PIN de cuatro números.", "¿Se acuerda de su PIN?", "¿Qué clave le puso a la tarjeta?"],
            &["let's make the PIN {}", "PIN's {}", "my PIN for the EBT is {}", "I always use {} for my PIN", "the PIN I picked was {}"],
            &["póngale de PIN {}", "el PIN es {}", "mi clave de la tarjeta es {}", "siempre uso {} de PIN", "de clave le puse {}"]),
        Entity::OneTimeCode => w(
            &["You should see a text with a code, what is it?", "I just sent you a code, read it off to me.", "What's the code that came in?", "It'll be a verification code, six numbers.", "Did you get the code? Go ahead."],
            &["Le va a llegar un mensaje con un código, ¿qué dice?", "Léame el código que le mandé.", "¿Ya le llegó el código?", "Es un código de verificación, ¿cuál es?", "¿Qué código le salió en el mensaje?"],
            &["it just came in, the code's {}", "the text says {} is your code", "okay my code is {}", "verification code, {}", "it sent me a code, {}"],
            &["ya llegó, el código es {}", "el mensaje dice código {}", "me mandaron el código {}", "el código que salió es {}", "código de verificación {}"]),
        Entity::Phone => w(
            &["What's a good number for you?", "And your cell?", "In case we get cut off, what's your number?", "What's the phone for your emergency contact?", "Is that a home phone or a cell? What's the number?"],
            &["¿Qué número es bueno para llamarle?", "¿Y su celular?", "Por si se corta, ¿cuál es su número?", "¿Cuál es el teléfono de su contacto de emergencia?", "¿Me da un teléfono donde la encuentre?"],
            &["my daughter's cell is {}", "just call me on {}", "the house phone is {}", "the best number's {}", "you can text {}"],
            &["el celular de mi hija es {}", "me puede marcar al {}", "el teléfono de la casa es {}", "mi cel es {}", "márqueme al {}"]),
        Entity::Aadhaar => w(
            &["Do you have the Aadhaar from back home? What's on it?", "What's the number on his Aadhaar card?", "And the Aadhaar, all twelve.", "Okay, Aadhaar next.", "For ID you said Aadhaar, go ahead and read it."],
            &["¿Cuál es el número del Aadhaar?", "¿Y el Aadhaar, los doce números?", "Ahora el Aadhaar.", "¿Trae el Aadhaar? Léamelo.", "¿Qué número viene en el Aadhaar?"],
            &["the Aadhaar's {}", "my father's Aadhaar is {}", "Aadhaar, it's {}", "his Aadhaar card has {}", "on the Aadhaar it's written {}"],
            &["el Aadhaar es {}", "el Aadhaar de mi papá es {}", "en el Aadhaar dice {}", "mi Aadhaar dice {}", "de Aadhaar tengo {}"]),
        Entity::MedicalRecord => w(
            &["What's the MRN on the top of the discharge papers?", "Can you give me the medical record number?", "Is there a patient number on your bracelet?", "And the chart number?", "What's it say under MRN?"],
            &["¿Cuál es el número de expediente que viene arriba?", "¿Qué número de paciente trae la pulsera?", "¿Me da el número de récord médico?", "¿Y el expediente médico?", "¿Qué dice donde dice MRN?"],
            &["the medical record's {}", "under MRN it's got {}", "patient number on the bracelet is {}", "chart number's {}", "the papers say MRN {}"],
            &["el expediente es {}", "el número de récord médico es {}", "la pulsera dice paciente número {}", "mi expediente médico es el {}", "donde dice MRN es {}"]),
        Entity::Iban => w(
            &["If it's a bank overseas I need the IBAN.", "What's the IBAN on the statement?", "Okay, IBAN, letters and all.", "Do you have your sister's IBAN?", "Give me that IBAN again?"],
            &["Si es un banco de allá necesito el IBAN.", "¿Qué IBAN viene en el papel?", "El IBAN con todo y letras.", "¿Tiene el IBAN de su hermana?", "Dígame el IBAN."],
            &["her IBAN's {}", "the IBAN they gave me is {}", "okay IBAN, {}", "it says IBAN {}", "the bank in Spain, the IBAN is {}"],
            &["el IBAN de mi hermana es {}", "dice IBAN {}", "el IBAN que me dieron es {}", "mi IBAN dice {}", "de IBAN tengo {}"]),
        Entity::Pan => w(
            &["Do you have a PAN card from India? What's on it?", "And what's your PAN number, the tax one?", "Read me the PAN card, letters first.", "What does the PAN card say?", "I'd need the PAN number too."],
            &["¿Tiene el PAN card de la India? ¿Qué dice?", "¿Cuál es el número del PAN card?", "Léame el PAN card, primero las letras.", "¿Qué dice el PAN card?", "También ocupo el número de PAN."],
            &["my PAN number's {}", "the PAN, it's {}", "my husband's PAN card is {}", "PAN card says {}", "for the PAN I have {}"],
            &["el PAN card dice {}", "mi número de PAN es {}", "el PAN de mi esposo es {}", "el PAN card es {}", "de PAN tengo {}"]),
        Entity::Password => w(
            &["What's the password you've been trying?", "And the portal password?", "What do you want your password to be?", "Okay so what's the Wi-Fi password over there?", "Tell me the password and I'll try it from here."],
            &["¿Qué contraseña ha estado poniendo?", "¿Y la contraseña del portal?", "¿Qué contraseña quiere?", "Dígame la contraseña y yo la pruebo.", "¿Cuál es la contraseña del internet?"],
            &["my password's {}", "try the password {}", "I put the password as {}", "it should be password, {}", "the password my son made is {}"],
            &["la contraseña que tengo es {}", "pruebe con la contraseña {}", "mi hijo le puso la contraseña {}", "de contraseña tengo {}", "la contraseña sería {}"]),
        Entity::DateOfBirth => w(
            &["And your birthday?", "What's the baby's date of birth?", "When's your birthday, month, day and year?", "Date of birth?", "And what year were you born? Give me the whole date."],
            &["¿Y su fecha de nacimiento?", "¿Cuándo nació la niña?", "¿Cuándo cumple años, con todo y año?", "¿Fecha de nacimiento?", "¿En qué fecha nació usted?"],
            &["my birthday's {}", "she was born {}", "date of birth is gonna be {}", "I'm {} that's my date of birth", "DOB's {}"],
            &["la niña nació el {}", "mi fecha de nacimiento es el {}", "yo nací {}", "cumplo el {}", "nació {}"]),
        Entity::Email => w(
            &["Do you do e-mail? What is it?", "What's the email we should send the link to?", "And your email address, spell it if it's tricky.", "Can I get an email for the file?", "Where do you want the paperwork sent, what's your e-mail?"],
            &["¿Usa correo electrónico? ¿Cuál es?", "¿A qué correo le mando el link?", "¿Y su email?", "¿Me da un correo para el expediente?", "¿Cuál es el email de su hija?"],
            &["my email's {}", "use my daughter's, it's {}", "you can send that to {}", "my e-mail address is {}", "it's all lowercase, {}"],
            &["mi email es {}", "use el de mi hija, es {}", "me lo puede mandar a {}", "el correo es todo junto, {}", "mi correo sería {}"]),
        Entity::Address => w(
            &["And where are you staying right now?", "What's the street address?", "Where should the driver pick you up?", "Okay and your home address, with the apartment?", "What address is that going to?"],
            &["¿Y dónde se está quedando?", "¿Cuál es la dirección de la casa?", "¿Dónde la recoge el chofer?", "¿Me da su domicilio completo?", "¿A qué dirección va?"],
            &["I stay at {}", "have him come to {}", "we're over at {}", "my house is {}", "send it to my mom's, {}"],
            &["me estoy quedando en {}", "que venga a {}", "la casa está en {}", "mi domicilio sería {}", "mándelo a casa de mi mamá, {}"]),
        Entity::Name => w(
            &["And who am I talking to?", "What's your name, hon?", "Can I get the name of the person you take care of?", "First and last?", "What name is the case under?"],
            &["¿Con quién hablo?", "¿Cómo se llama, señora?", "¿Me da el nombre de la persona que cuida?", "¿Nombre y apellido?", "¿A nombre de quién está el caso?"],
            &["this is {} calling about my food stamps", "my name's {}", "I'm calling for my mother, her name is {}", "it's {}, I called yesterday", "the case is under {}"],
            &["habla {} por lo de las estampillas", "mi nombre es {}", "llamo por mi mamá, se llama {}", "soy {}, llamé ayer", "el caso está a nombre de {}"]),
        Entity::Number => unreachable!("no entity that people tell"),
    }
}
