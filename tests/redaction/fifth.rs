//! The fifth part: hospitals, clinics, schools, housing and veterans. Written by somebody who had not read the rules.

use super::secrets::Lists;
use callgate::engine::redact::Entity;

pub const PLAIN: &[&str] = &[
    "Dialysis is Tuesday, Thursday, Saturday, chair time is {time}.",
    "The surgeon said {few} to {few} weeks before you can lift anything over {minutes} pounds.",
    "We're discharging him on {date} with {few} new prescriptions.",
    "What was his temperature this morning?|A hundred and one point three, and then ninety-nine.",
    "Her IEP meeting is {date} at {time} in room {room}, plan on an hour.",
    "Medicare Part B picks up eighty percent and you owe the other twenty.",
    "How far along are you?|{minutes} weeks, due in {month}.",
    "The voucher's good for {minutes} days and then you ask for an extension, they usually give you sixty.",
    "I'm rated at seventy percent, they turned down the knee, that was {year}.",
    "You can bring up to {few} guests to the family night, it's in the gym at {time}.",
    "So that's {few} cans of formula, {few} boxes of cereal and a dozen eggs on the WIC.",
    "I did {few} tours, came home in {year}, and I've been at this ever since.",
    "The copay for the specialist is {price}, primary care is {price}.",
    "He's on {times} liters at night, and it beeps if it drops under {minutes}.",
    "Our census is {minutes} tonight and I've got {few} aides.",
    "How many hours did you sleep?|Like {few}. I kept waking up.",
    "The Tdap and the MMR he's had, he still needs his second hep A.",
    "The school needs the immunization form, it's the blue one, CH-205.",
    "Your deductible is {money}, you've met {money} of it.",
    "That's twelve units in the morning and eight with dinner, long acting at ten.",
    "What floor did they put her on?|The {ordinal}, I think, it's four something, four twelve.",
    "My ejection fraction went from thirty to forty five, so they're happy.",
    "They inspected it and there was {few} violations, the landlord has {minutes} days.",
    "I can squeeze you in at {time}, or if you'd rather there's {time} on {date}.",
    "The settlement was {money} and the lawyer kept a third.",
    "About one in five of our students has a 504 plan.",
    "She graduated {ordinal} in her class, out of {room}.",
    "Do you happen to have the card in front of you?|Not the new one. I've got the old paper one somewhere.",
    "What's a routing number, is that the same as the account?|It's a different one, don't worry, you won't need it.",
    "I never got the email with the link.|Check your junk folder, it came from us.",
    "The portal locked me out after {few} tries, it wants a new password.",
    "Should I put my social on this form or leave it blank?|Leave it blank.",
    "My phone is about to die, I'm at {few} percent.",
    "We've raised {percent} of the goal, that's {big} dollars so far.",
    "The van seats twelve, {few} wheelchairs and the rest regular.",
    "I gave him {mg} milliliters of the pink stuff around {time}.",
    "He came in at six pounds nine ounces, and he's up to eight even.",
    "Platelets are one fifty, hemoglobin nine point two, white count's normal.",
    "I walked a mile and a half yesterday, like three thousand steps.",
    "Turn left at the light on {ordinal}, it's the brick building across from the Walgreens.",
    "The hospice nurse was there {minutes} minutes, tops.",
    "If you're a caregiver for more than {minutes} hours a week there's a stipend, {money}.",
    "They approved {few} sessions out of the {minutes} we asked for.",
    "Who's your doctor over there?|I don't even remember, it was a new one every time.",
    "My grandson plays ball, he's number {bus}, you should see him.",
    "The last scan was {month} and the one before that was {year}, so it's due.",
    "It's a two bedroom for {money}, utilities run you another {price}.",
    "Twenty-two of us signed the petition and four of us showed up.",
    "I'm gonna put you on a quick hold, two minutes, I promise.",
    "Are you still at the same place?|For now. They're selling the building.",
    "Channel seven did a story on it, back in {month}.",
    "You'll want to be fasting, nothing after midnight, and bring a list of your meds.",
    "The filing fee's {price}, but we have a waiver, it's form 400.",
    "She got a 28 on the ACT, she wants to be a nurse practitioner.",
    "They want three pay stubs and two months of bank statements.",
    "I got the second shingles shot in {month}, knocked me out for {times} days.",
    "We're closed the 24th and 25th, back on the 26th.",
    "Is this your first time calling us?|No, third or fourth, I lost track.",
    "Between the {few} of us we can cover nights, it's the days that's hard.",
    "Eleven people in a two bedroom, that's what it was when I was a kid.",
    "The GI doctor wants the colonoscopy at forty-five now, used to be fifty.",
    "There's a ten dollar charge if you no-show.",
    "Well, God bless you, you've been so patient with me.",
    "My code for what, the gate? It's broken, just pull it.",
    "The {bus} doesn't run Sundays, so I'd need the paratransit.",
    "I dropped from a size twenty to a fourteen since the surgery.",
];

pub const PLAIN_ES: &[&str] = &[
    "La diálisis es martes, jueves y sábado, entra a las {time_es}.",
    "¿Cuántas semanas tiene de embarazo?|Ya casi {minutes_es}.",
    "Le dieron de alta el {date_es} con {few_es} medicinas nuevas.",
    "Traía calentura de treinta y nueve y medio.",
    "La junta de la escuela es el {date_es} a las {time_es} en el salón {room_es}.",
    "El Medicare paga el ochenta por ciento y usted el veinte.",
    "¿Cuánto pesó el bebé?|Tres kilos doscientos.",
    "Son {few_es} latas de fórmula y {few_es} cajas de cereal.",
    "Nos cobran {money_es} de renta más {price_es} de agua.",
    "El vale dura {minutes_es} días y luego se pide una extensión.",
    "Mi señor tiene {age_es} años y ya no maneja.",
    "Tiene que venir en ayunas, nada después de las doce.",
    "Póngale doce unidades en la mañana y ocho en la cena.",
    "Llevamos {few_es} años en la lista y nada.",
    "¿Durmió bien?|Como {few_es} horas, no más.",
    "El formulario azul es para las vacunas, el otro es para la comida.",
    "Caben doce en la camioneta, más {few_es} sillas de ruedas.",
    "No me llegó ningún correo con el enlace.|Revise en los no deseados.",
    "El portal me bloqueó, que quiere otra contraseña.",
    "¿Pongo mi seguro social en la hoja?|Déjelo en blanco.",
    "Se me va a acabar la pila, traigo {few_es} por ciento.",
    "La doctora nos ve cada {few_es} meses.",
    "El elevador no sirve y vivimos en el cuarto piso.",
    "Mi nieto juega fútbol, es el número {bus_es}.",
    "Uy, de eso ya tiene como {minutes_es} años.",
    "Vamos a cerrar el veinticuatro y el veinticinco.",
    "Le dieron {few_es} sesiones de terapia nada más.",
    "Que Dios la bendiga, muy amable.",
];

pub const FIRST: &[&str] =
    &["Nakisha", "Bao", "Wendell", "Araceli", "Oluwaseun", "Patty", "Ana Lucía", "Rubén", "Khadija", "Cletus", "Ximena", "Jean"];
pub const LAST: &[&str] = &[
    "Thibodeaux",
    "Vang",
    "O'Connor",
    "Escamilla",
    "Adeyemi",
    "Kaminski",
    "Peralta",
    "Saldívar",
    "El-Amin",
    "Hollingsworth",
    "Begay",
    "Pierre",
];
pub const STREETS: &[&str] = &[
    "East 42nd Street",
    "Sycamore Grove Lane",
    "Veterans Memorial Highway",
    "Bluff Road",
    "Kingsley Court",
    "Lake Shore Drive",
    "Third Avenue South",
    "Bayou Street",
];
pub const CALLES: &[&str] =
    &["calle Aldama", "avenida Tecnológico", "calle Veinte de Noviembre", "calle Nogal", "avenida Las Américas", "calle Francisco Villa"];
pub const WORDS: &[&str] = &["steelers", "peaches", "midnight", "buttercup", "semperfi", "chocolate", "angelito", "rosebud"];
pub const HOSTS: &[&str] = &["att", "verizon", "saint luke's", "fastmail"];
pub const OFFICES: &[&str] = &["Hospital Drive", "Lincoln Avenue", "Depot Street", "Medical Center Boulevard"];
pub const OFICINAS: &[&str] = &["la calle Lincoln", "la avenida Cuarta", "la calle de la Estación"];

pub const FILLERS: [&[&str]; 2] = [
    &["I believe", "shoot", "give me a sec", "the print is tiny", "okay here we go"],
    &["creo", "híjole", "la letra está chiquita", "ya la vi", "nomás que"],
];
pub const SORRY: [&[&str]; 2] = [
    &["oh no wait a minute", "I read that wrong", "pardon me", "I take that back", "correction"],
    &["ay no ese no", "lo leí mal", "qué diga", "perdone usted", "no así no"],
];
pub const OKAY: [&[&str]; 2] = [
    &["yup", "I'm with you", "okay slower please", "still here", "uh-huh and"],
    &["le escucho", "más despacito", "ya", "sale", "sí y luego"],
];
pub const THEN: [&[&str]; 2] = [
    &["you got that", "then there's", "the last bit is", "moving on", "and after that one"],
    &["¿sí me oye?", "luego trae", "y termina en", "de ahí sigue", "y los últimos"],
];
pub const OVER: [&[&str]; 2] = [
    &["shoot I lost my place okay from the beginning", "let me do that again", "forget that I'll say it all again"],
    &["ya me perdí va de nuevo", "se lo repito todo", "olvídelo le digo otra vez"],
];
pub const BREATH: [&[&str]; 2] = [
    &[
        "honey turn that TV down I'm on the phone so anyway",
        "whew okay I'm out of breath here",
        "did you get that much because there's a whole other line",
    ],
    &["mijo bájale a la tele estoy hablando bueno", "ay perdón me falta el aire ya", "hasta ahí va bien verdad falta otro renglón"],
];
pub const READ_BACK: [&[&str]; 2] =
    [&["I have {} so far", "{} yes", "okay {} and", "was that {}"], &["llevo {}", "{} sí", "okay {} y", "¿fue {}?"]];
pub const OPENINGS: [&[&str]; 2] = [
    &["", "well, ", "that one is ", "I wrote it down, ", "if I remember right, ", "I sure do, it's ", "the whole thing? alright, "],
    &["", "pues es ", "lo tengo apuntado, es ", "si mal no recuerdo, ", "¿completo? bueno, ", "claro que sí, "],
];
pub const ALONE: [&[&str]; 2] = [
    &["I'll just read it to you {}", "here goes {}", "do you have something to write with? {}", "{} I hope that's the right one"],
    &["se lo leo {}", "ahí va {}", "tome nota {}"],
];
pub const STALLS: [&[&str]; 2] = [
    &[
        "Oh boy. Let me pull over first.|Please do, be safe.",
        "Why do y'all need that?|It's just so I can pull up the right person.",
        "Can I have my wife tell you?|Sure, put her on.",
        "It's in the kitchen drawer, one moment.|I'll be here.",
    ],
    &[
        "¿Para qué lo quieren?|Nada más para encontrarlo en el sistema.",
        "Se lo paso a mi esposo.|Sí, está bien.",
        "Lo tengo en el cajón, un segundito.|No hay prisa.",
    ],
];
pub const ON_FILE: [&[&str]; 2] = [
    &[
        "The one that comes up for me is {} do you still use that?",
        "I've got you down with {} unless that changed.",
        "Let me read you what's here, {} right?",
    ],
    &["El que me sale es {} ¿todavía lo usa?", "La tengo registrada con {} a menos que haya cambiado."],
];
pub const THANKS: [&[&str]; 2] =
    [&["Beautiful.", "Great, that matches.", "Okay, that pulled you right up."], &["Muy bien, ya salió.", "Listo.", "Así es, gracias."]];

#[rustfmt::skip]
pub fn wording(entity: Entity) -> Lists {
    let w = |asks, asks_es, tells, tells_es| Lists { asks, asks_es, tells, tells_es };
    match entity {
        Entity::CardNumber => w(
            &["We take Visa, Mastercard, or Discover. What's the number?", "If you'd like to take care of the balance, I can run a card.", "And the digits on the card?", "Start with the first four on the card and go from there.", "Which credit card should I put down for the deposit, and the number please?"],
            &["Aceptamos Visa y Mastercard, ¿cuál es el número?", "Si gusta pagar le cobro a una tarjeta.", "¿Y los dígitos de la tarjeta?", "Empiece con los primeros cuatro de la tarjeta.", "¿Qué tarjeta de crédito le anoto?"],
            &["can you run this card, {}", "the HSA card reads {}", "my Mastercard starts {}", "let's use the credit card, {}", "I've got a card here, it's number {}"],
            &["páselo a esta tarjeta, {}", "mi Mastercard empieza {}", "la tarjeta de crédito es la {}", "traigo una tarjeta, es la {}", "cóbrele a la tarjeta número {}"]),
        Entity::Cvv => w(
            &["And the verification number on the reverse?", "What's the security code, three digits, or four if it's Amex?", "Last thing for the card, the CVC.", "Three digits on the signature strip?", "And its CVV?"],
            &["¿Y el número de verificación al reverso?", "¿El código de seguridad, son tres o cuatro?", "Lo último de la tarjeta, el CVC.", "¿Los tres dígitos de la franja?", "¿Y el CVV cuál es?"],
            &["the three on the strip are {}", "its CVC is {}", "security number on the back reads {}", "code on the back, {}", "CVV would be {}"],
            &["los tres de la franja son {}", "su CVC es {}", "al reverso dice {}", "el código de seguridad sería {}", "de CVV es {}"]),
        Entity::Expiry => w(
            &["Expiration?", "What month and year does the card say?", "How long is the card valid?", "Through what date is it good?", "Exp on the card?"],
            &["¿Expiración?", "¿Qué mes y año dice la tarjeta?", "¿Hasta cuándo vale la tarjeta?", "¿Qué fecha de caducidad tiene?", "¿Cuándo caduca?"],
            &["expiring {}", "valid thru {}", "the expiration month and year are {}", "it doesn't expire until {}", "card's good until {}"],
            &["caduca en {}", "vale hasta {}", "la caducidad es {}", "no se vence hasta {}", "el mes y año son {}"]),
        Entity::BankAccount => w(
            &["Where would the reimbursement go, what's the account?", "Account number? It's the longer one.", "And the savings account you want it in?", "Could you read the account number on the bottom right?", "For the auto-pay I need the bank account number."],
            &["¿A qué cuenta va el reembolso?", "¿Número de cuenta? Es el más largo.", "¿Y la cuenta de ahorros?", "¿Me lee el número de cuenta de abajo a la derecha?", "Para el pago automático ocupo la cuenta bancaria."],
            &["put it in account number {}", "the longer one, the account, is {}", "our joint account is {}", "savings account number {}", "it comes out of checking, account {}"],
            &["póngalo en la cuenta número {}", "la más larga, la cuenta, es {}", "nuestra cuenta es la {}", "la cuenta de ahorros es {}", "sale de la cuenta {}"]),
        Entity::RoutingNumber => w(
            &["What's the bank's nine digit number, the routing?", "And what routing number should I use?", "Bottom left of the check, the routing number?", "Can you look up the routing number in your app?", "ABA or routing number?"],
            &["¿El número de nueve dígitos del banco, el de ruta?", "¿Qué número de ruta pongo?", "Abajo a la izquierda del cheque, ¿el número de ruta?", "¿Puede buscar el número de ruta en su aplicación?", "¿El ABA o número de ruta?"],
            &["the app shows routing number {}", "routing number for the credit union is {}", "the ABA's {}", "the nine digits, the routing, that's {}", "my bank's routing number reads {}"],
            &["la aplicación dice ruta {}", "el número de ruta de la cooperativa es {}", "el ABA es {}", "los nueve dígitos de ruta son {}", "la ruta del banco es {}"]),
        Entity::Ssn => w(
            &["Social?", "The VA uses your social, can I have it?", "What's the child's social security number?", "Would you verify your social security for me?", "I'll need the social on each adult in the home."],
            &["¿Social?", "¿Me da el seguro social del niño?", "¿Me verifica su seguro social?", "Ocupo el social de cada adulto.", "¿Y el número de seguro social de su esposo?"],
            &["his social is {}", "my full social security is {}", "it's under my dad's social, {}", "the baby's social just came, {}", "that's social number {}"],
            &["el seguro social del niño es {}", "su social es {}", "está con el seguro social de mi papá, {}", "apenas llegó el social del bebé, {}", "el número de social es {}"]),
        Entity::Itin => w(
            &["Some parents use an ITIN instead, do you have one?", "What ITIN did the IRS send you?", "And the individual taxpayer number, the ITIN?", "For mom, social or ITIN?", "Could I have the ITIN off that letter?"],
            &["Algunos papás usan ITIN, ¿tiene usted?", "¿Qué ITIN le mandó el IRS?", "¿Y el número de contribuyente, el ITIN?", "Para la mamá, ¿social o ITIN?", "¿Me da el ITIN de esa carta?"],
            &["the IRS gave me ITIN {}", "we use ITIN numbers, mine is {}", "my individual taxpayer number is {}", "ITIN would be {}", "mom's ITIN is {}"],
            &["el IRS me dio el ITIN {}", "usamos ITIN, el mío es {}", "mi número de ITIN sería {}", "el ITIN de la mamá es {}", "de ITIN es {}"]),
        Entity::Pin => w(
            &["Can you confirm the PIN we set up last time?", "Enter a PIN, or just say it.", "What PIN would you like on the new card?", "To release this to you I need the family PIN.", "And do you remember your PIN?"],
            &["¿Me confirma el PIN de la otra vez?", "Marque su PIN o dígamelo.", "¿Qué PIN le gustaría?", "Para darle la información necesito el PIN de la familia.", "¿Se acuerda cuál era su PIN?"],
            &["the family PIN is {}", "I'd like {} for the PIN", "PIN number {}", "we said the PIN would be {}", "my PIN's still {}"],
            &["el PIN de la familia es {}", "me gustaría {} de PIN", "número de PIN {}", "quedamos que el PIN era {}", "mi PIN sigue siendo {}"]),
        Entity::OneTimeCode => w(
            &["You'll get a passcode in a second, tell me when you see it.", "What numbers did the text give you?", "I'm sending a verification code to the phone on file, can you read it?", "The login code, please?", "What's the one-time code?"],
            &["Le va a llegar un código en un segundo, me dice cuál es.", "¿Qué números le dio el mensaje?", "Le mando un código al teléfono registrado, ¿me lo lee?", "¿El código para entrar?", "¿Cuál es el código de un solo uso?"],
            &["ding, there it is, the code reads {}", "my passcode is {}", "the login code says {}", "it wants me to tell you code {}", "new code, {}"],
            &["ahí está, el código dice {}", "mi código es {}", "el código para entrar es {}", "me salió el código {}", "otro código, {}"]),
        Entity::Phone => w(
            &["What phone number should transport call?", "And a number for dad?", "Which number do you want on the chart?", "If the nurse needs to get hold of you, what's the number?", "Cell phone?"],
            &["¿A qué teléfono le llama el transporte?", "¿Y un número del papá?", "¿Qué número ponemos en el expediente?", "Si la enfermera la necesita, ¿a qué número?", "¿Celular?"],
            &["dad's number is {}", "transport can call {}", "have the nurse try my work phone, {}", "my new number is {}", "I can be reached on my cell at {}"],
            &["el número del papá es {}", "que llamen al {}", "al teléfono del trabajo, {}", "mi número nuevo es {}", "me encuentran en el celular {}"]),
        Entity::Aadhaar => w(
            &["Is that his Aadhaar? Please read the number.", "We can use the Aadhaar for now, go ahead.", "What Aadhaar number is on the visa packet?", "Aadhaar number?", "Could grandmother read her Aadhaar to you?"],
            &["¿Es su Aadhaar? Lea el número por favor.", "Podemos usar el Aadhaar, adelante.", "¿Qué número de Aadhaar trae el paquete?", "¿Número de Aadhaar?", "¿Me lee el Aadhaar de la abuelita?"],
            &["grandmother's Aadhaar reads {}", "we have Aadhaar number {}", "the Aadhaar ID is {}", "Aadhaar would be {}", "her Aadhaar number is {}"],
            &["el Aadhaar de la abuela es {}", "tenemos Aadhaar número {}", "su Aadhaar es {}", "el Aadhaar sería {}", "el número del Aadhaar es {}"]),
        Entity::MedicalRecord => w(
            &["Do you know your medical record number with us?", "The MRN's on your wristband, can you see it?", "Which record number is on the referral?", "Patient ID?", "What's your hospital number, the MRN?"],
            &["¿Se sabe su número de expediente con nosotros?", "El MRN está en la pulsera, ¿lo ve?", "¿Qué número de expediente trae la referencia?", "¿Número de paciente?", "¿Cuál es su número de récord del hospital?"],
            &["the wristband's MRN reads {}", "my record number is {}", "patient ID number {}", "the referral has medical record number {}", "hospital's got me as MRN {}"],
            &["el MRN de la pulsera es {}", "mi número de récord es {}", "número de paciente {}", "la referencia trae el expediente {}", "en el hospital mi expediente es {}"]),
        Entity::Iban => w(
            &["Would that be an IBAN? Please read it slowly.", "IBAN?", "What IBAN should the pension go to?", "The foreign account, what's its IBAN?", "And the IBAN for your mother's account?"],
            &["¿Eso sería un IBAN? Léalo despacio.", "¿IBAN?", "¿A qué IBAN va la pensión?", "La cuenta de fuera, ¿qué IBAN tiene?", "¿Y el IBAN de la cuenta de su mamá?"],
            &["the pension's IBAN is {}", "mother's IBAN reads {}", "it's IBAN {}", "our IBAN would be {}", "send it to IBAN {}"],
            &["el IBAN de la pensión es {}", "el IBAN de mi mamá dice {}", "es IBAN {}", "nuestro IBAN es {}", "mándelo al IBAN {}"]),
        Entity::Pan => w(
            &["And a PAN card number, if you have one?", "Which PAN is on the card?", "Spell me the PAN.", "What's dad's PAN card number?", "PAN number, please?"],
            &["¿Y el número de PAN card, si tiene?", "¿Qué PAN viene en la tarjeta?", "Deletréeme el PAN.", "¿Cuál es el PAN card del papá?", "¿El PAN number?"],
            &["dad's PAN card number is {}", "PAN number {}", "our PAN is {}", "PAN card reads {}", "her PAN would be {}"],
            &["el PAN card del papá es {}", "PAN number {}", "nuestro PAN es {}", "el PAN sería {}", "su PAN card es {}"]),
        Entity::Password => w(
            &["Which password did you use to sign up?", "What does your password look like right now?", "Password?", "I can reset it, what would you like the new password to be?", "Do you remember the MyChart password?"],
            &["¿Con qué contraseña se registró?", "¿Contraseña?", "Se la puedo cambiar, ¿qué contraseña nueva quiere?", "¿Se acuerda de la contraseña de MyChart?", "¿Qué contraseña tiene ahorita?"],
            &["I signed up with the password {}", "my MyChart password is {}", "make the new password {}", "the old password was {}", "password is still {}"],
            &["me registré con la contraseña {}", "la contraseña de MyChart es {}", "ponga de contraseña nueva {}", "la contraseña de antes era {}", "mi contraseña sigue siendo {}"]),
        Entity::DateOfBirth => w(
            &["Can I verify the patient's date of birth?", "Birth date?", "And the student's birthday?", "What's the veteran's DOB?", "When was the little one born?"],
            &["¿Me verifica la fecha de nacimiento del paciente?", "¿Fecha de nacimiento por favor?", "¿Y el cumpleaños del alumno?", "¿Cuándo nació el bebé?", "¿La fecha en que nació su esposo?"],
            &["patient's date of birth is {}", "the birth date on file should be {}", "his birthday is {}", "my son was born on {}", "she's got a birth date of {}"],
            &["la fecha de nacimiento del paciente es {}", "su cumpleaños es el {}", "mi hijo nació el {}", "nació en {}", "el bebé nació {}"]),
        Entity::Email => w(
            &["Would you like the summary emailed? To what address?", "Email for the parent portal?", "And is there an email on the account?", "What email did you register with?", "I can e-mail you the lease, what's the address?"],
            &["¿Le mando el resumen por correo? ¿A cuál?", "¿Correo para el portal de padres?", "¿Hay un correo en la cuenta?", "¿Con qué correo se registró?", "Le mando el contrato por email, ¿a qué dirección?"],
            &["I registered with {}", "our family email is {}", "it'd be {}", "email me at {}", "my work email is {}"],
            &["me registré con {}", "el correo de la familia es {}", "sería {}", "escríbame a {}", "mi correo del trabajo es {}"]),
        Entity::Address => w(
            &["What's the address on the lease?", "Where should we ship the supplies?", "And you're living where now?", "Which address does the school bus come to?", "Can you give me your residence, street and number?"],
            &["¿Qué dirección trae el contrato?", "¿A dónde le mandamos los materiales?", "¿Y ahora dónde vive?", "¿A qué dirección llega el autobús de la escuela?", "¿Me da la calle y el número?"],
            &["the lease says {}", "ship it to {}", "we're living at {}", "the bus stops at our house, {}", "my residence is {}"],
            &["el contrato dice {}", "mándelos a {}", "ahora vivimos en {}", "nuestra casa es en {}", "mi dirección nueva es {}"]),
        Entity::Name => w(
            &["And you are?", "Patient's name, please?", "What's the student's full name?", "Could you state your name for me?", "Who's the veteran on the account?"],
            &["¿Y usted es?", "¿Nombre del paciente, por favor?", "¿Cómo se llama el alumno?", "¿Me dice su nombre?", "¿Quién es el veterano?"],
            &["good morning, my name is {} and I'm a patient there", "patient's name is {}", "the student is called {}", "I'm {}, I'm his sister", "it should be under the name {}"],
            &["buenos días, me llamo {} y soy paciente", "el nombre del paciente es {}", "el alumno se llama {}", "soy {}, la hermana", "debe estar bajo el nombre {}"]),
        Entity::Number => unreachable!("no entity that people tell"),
    }
}
