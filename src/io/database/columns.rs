//! What a column holds: times and words, each in the type that its backend has for it.
//!
//! A time is RFC 3339 in UTC with milliseconds as TEXT on SQLite and TIMESTAMPTZ(3) on PostgreSQL; a word of one of our
//! enums is TEXT on SQLite and an enum type on PostgreSQL, so that Prisma reads DateTime and enum.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

use crate::engine::time::WallTime;

/// Milliseconds from 1970 to PostgreSQL's own beginning of time, 2000-01-01.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;

impl Type<Sqlite> for WallTime {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for WallTime {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.to_string(), buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for WallTime {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<Sqlite>>::decode(value)?;
        Self::parse(text).ok_or_else(|| "a column of time holds something else".into())
    }
}

impl Type<Postgres> for WallTime {
    fn type_info() -> PgTypeInfo {
        TIMESTAMPTZ
    }
}

impl Encode<'_, Postgres> for WallTime {
    /// Microseconds since 2000 (postgresql.org/docs: the binary format of `timestamptz`).
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = self.0.checked_sub(POSTGRES_EPOCH_MS).and_then(|ms| ms.checked_mul(1_000));
        Encode::<Postgres>::encode(micros.ok_or("a time that no calendar holds")?, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for WallTime {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<Postgres>>::decode(value)?;
        Ok(Self(micros.div_euclid(1_000) + POSTGRES_EPOCH_MS))
    }
}

/// A time as JSON has it, for a column.
pub(super) fn time(text: &str) -> Result<WallTime, sqlx::Error> {
    WallTime::parse(text).ok_or_else(|| sqlx::Error::Encode("a column of time takes RFC 3339".into()))
}

/// The same, if there is one.
pub(super) fn time_if_any(text: Option<&str>) -> Result<Option<WallTime>, sqlx::Error> {
    text.map(time).transpose()
}

/// A word of one of our enums.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Word(pub String);

impl Word {
    /// The word that stands for a value in JSON, in a column as well.
    pub(super) fn of<T: serde::Serialize>(value: &T) -> Result<Self, sqlx::Error> {
        let value = serde_json::to_value(value).map_err(|why| sqlx::Error::Encode(Box::new(why)))?;
        value.as_str().map(|word| Self(word.to_owned())).ok_or_else(|| sqlx::Error::Encode("a column takes a word".into()))
    }

    /// A word that is one already.
    pub(super) fn from_text(word: &str) -> Self {
        Self(word.to_owned())
    }

    /// The value that it stands for.
    pub(super) fn meant<T: serde::de::DeserializeOwned>(self) -> Result<T, sqlx::Error> {
        serde_json::from_value(serde_json::Value::String(self.0)).map_err(|why| sqlx::Error::Decode(Box::new(why)))
    }
}

impl Type<Sqlite> for Word {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Word {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Word {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        <String as Decode<Sqlite>>::decode(value).map(Self)
    }
}

impl Type<Postgres> for Word {
    /// Unknown, as a quoted literal is: PostgreSQL takes it for what the column is.
    fn type_info() -> PgTypeInfo {
        UNKNOWN
    }

    fn compatible(_: &PgTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Postgres> for Word {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Word {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        <String as Decode<Postgres>>::decode(value).map(Self)
    }
}

/// `pg_type.dat`: what a literal is before it is known what it is for.
const UNKNOWN: PgTypeInfo = PgTypeInfo::with_oid(Oid(705));
/// `pg_type.dat`.
const TIMESTAMPTZ: PgTypeInfo = PgTypeInfo::with_oid(Oid(1184));
