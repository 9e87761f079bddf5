//! What is sensitive, and which of it a policy masks.

/// A kind of thing that people say and that must not be kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Entity {
    /// A payment card's number, whole or in parts.
    CardNumber,
    /// A card's security code.
    Cvv,
    /// A card's expiry date.
    Expiry,
    /// A bank account's number.
    BankAccount,
    /// A bank's ABA routing number.
    RoutingNumber,
    /// An international bank account number.
    Iban,
    /// A US social security number.
    Ssn,
    /// A US individual taxpayer number.
    Itin,
    /// A personal identification number.
    Pin,
    /// A code that is good for once.
    OneTimeCode,
    /// A password.
    Password,
    /// When somebody was born.
    DateOfBirth,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// The number of a patient's file.
    MedicalRecord,
    /// India's identity number.
    Aadhaar,
    /// India's tax number.
    Pan,
    /// A street address, and the ZIP code said with it.
    Address,
    /// A person's name.
    Name,
    /// Three digits or more of whatever meaning (`strict` alone).
    Number,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::CardNumber,
        Self::Cvv,
        Self::Expiry,
        Self::BankAccount,
        Self::RoutingNumber,
        Self::Iban,
        Self::Ssn,
        Self::Itin,
        Self::Pin,
        Self::OneTimeCode,
        Self::Password,
        Self::DateOfBirth,
        Self::Phone,
        Self::Email,
        Self::MedicalRecord,
        Self::Aadhaar,
        Self::Pan,
        Self::Address,
        Self::Name,
        Self::Number,
    ];

    /// Its name in manifests and configuration.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::CardNumber => "CARD_NUMBER",
            Self::Cvv => "CVV",
            Self::Expiry => "EXPIRY",
            Self::BankAccount => "BANK_ACCOUNT",
            Self::RoutingNumber => "ROUTING_NUMBER",
            Self::Iban => "IBAN",
            Self::Ssn => "SSN",
            Self::Itin => "ITIN",
            Self::Pin => "PIN",
            Self::OneTimeCode => "ONE_TIME_CODE",
            Self::Password => "PASSWORD",
            Self::DateOfBirth => "DATE_OF_BIRTH",
            Self::Phone => "PHONE",
            Self::Email => "EMAIL",
            Self::MedicalRecord => "MEDICAL_RECORD",
            Self::Aadhaar => "AADHAAR",
            Self::Pan => "PAN",
            Self::Address => "ADDRESS",
            Self::Name => "NAME",
            Self::Number => "NUMBER",
        }
    }

    /// The entity of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entity| entity.code() == code)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of entities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entities(u32);

impl Entities {
    /// Every one.
    pub const ALL: Self = Self(u32::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    /// With `entity` too.
    #[must_use]
    pub const fn with(self, entity: Entity) -> Self {
        Self(self.0 | entity.bit())
    }

    /// Without `entity`.
    #[must_use]
    pub const fn without(self, entity: Entity) -> Self {
        Self(self.0 & !entity.bit())
    }

    /// Whether `entity` is one of them.
    #[must_use]
    pub const fn has(self, entity: Entity) -> bool {
        self.0 & entity.bit() != 0
    }
}

/// What is masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// These are.
    pub entities: Entities,
    /// So is each run of three or more digits, save times, prices, percentages and ordinals.
    pub strict: bool,
}

impl Default for Policy {
    /// Every entity, and no number that is none.
    fn default() -> Self {
        Self { entities: Entities::ALL, strict: false }
    }
}

impl Policy {
    pub(super) const fn masks(&self, entity: Entity) -> bool {
        match entity {
            Entity::Number => self.strict,
            Entity::CardNumber
            | Entity::Cvv
            | Entity::Expiry
            | Entity::BankAccount
            | Entity::RoutingNumber
            | Entity::Iban
            | Entity::Ssn
            | Entity::Itin
            | Entity::Pin
            | Entity::OneTimeCode
            | Entity::Password
            | Entity::DateOfBirth
            | Entity::Phone
            | Entity::Email
            | Entity::MedicalRecord
            | Entity::Aadhaar
            | Entity::Pan
            | Entity::Address
            | Entity::Name => self.entities.has(entity),
        }
    }
}
