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
    /// What `self` masks and what `other` does.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { entities: Entities(self.entities.0 | other.entities.0), strict: self.strict || other.strict }
    }

    /// What may stand in configuration.
    pub const ALLOWED: &'static str =
        "all or none; or names like CARD_NUMBER with commas; -NAME takes one out of all; strict masks every number";

    /// Reads `all`, `all,-NAME,strict`, `CARD_NUMBER,CVV`, `none`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        let chosen = |word: &&&str| **word == "none" || Entity::from_code(word).is_some();
        let from = if words.iter().find(chosen).is_some() { Entities::NONE } else { Entities::ALL };
        let mut policy = Self { entities: from, strict: false };
        for word in words {
            policy = match (word, word.strip_prefix('-')) {
                ("strict", _) => Self { strict: true, ..policy },
                ("all", _) => Self { entities: Entities::ALL, ..policy },
                ("none", _) => policy,
                (_, Some(code)) => Self { entities: policy.entities.without(Entity::from_code(code)?), ..policy },
                (code, None) => Self { entities: policy.entities.with(Entity::from_code(code)?), ..policy },
            };
        }
        Some(policy)
    }

    /// As it would be written.
    #[must_use]
    pub fn shown(self) -> String {
        let is_one = |entity: &Entity| *entity != Entity::Number;
        let left_out: Vec<String> = Entity::ALL
            .into_iter()
            .filter(is_one)
            .filter(|entity| !self.entities.has(*entity))
            .map(|entity| format!("-{}", entity.code()))
            .collect();
        let words = std::iter::once("all".to_owned()).chain(left_out).chain(self.strict.then(|| "strict".to_owned()));
        words.collect::<Vec<_>>().join(",")
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_is_written() {
        for (text, shown) in
            [("all", "all"), ("strict", "all,strict"), ("all, -NAME, -ADDRESS", "all,-ADDRESS,-NAME"), ("-NAME,strict", "all,-NAME,strict")]
        {
            let policy = Policy::parse(text).unwrap();
            assert_eq!(policy.shown(), shown);
            assert_eq!(Policy::parse(&policy.shown()), Some(policy));
        }
        let cards = Policy::parse("CARD_NUMBER,CVV").unwrap();
        assert!(cards.masks(Entity::Cvv) && !cards.masks(Entity::Name) && !cards.masks(Entity::Number));
        assert!(!Policy::parse("none").unwrap().masks(Entity::CardNumber));
        for wrong in ["", "card_number", "all,-EVERYTHING", "all;strict"] {
            assert_eq!(Policy::parse(wrong), None, "{wrong}");
        }
    }
}
