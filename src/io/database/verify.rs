//! `callgate audit verify`: every chain of a database, entry by entry, and the consent records against the entries
//! that carry them. Reads a stream in constant memory; needs no gateway.

use futures_util::TryStreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Row;

use super::{DatabaseError, open_to_read};
use crate::engine::ledger::{Broken, Hash, Head, Verifier};

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifyReport {
    /// Entries that hold, of all organisations.
    pub entries: u64,
    /// Every organisation's head, sorted by organisation.
    pub heads: Vec<(String, Head)>,
    /// The first link that does not hold.
    pub broken: Option<Broken>,
}

#[derive(Deserialize)]
struct Carrier<'a> {
    #[serde(borrow)]
    detail: Detail<'a>,
}

#[derive(Deserialize)]
struct Detail<'a> {
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

impl VerifyReport {
    /// One hash for all of it: an only chain's head, or the hash of all heads.
    #[must_use]
    pub fn head(&self) -> Hash {
        match self.heads.as_slice() {
            [] => Hash::GENESIS,
            [(_, head)] => head.hash,
            heads => {
                let all: String = heads.iter().map(|(org, head)| format!("{org}\n{}\n{}\n", head.seq, head.hash)).collect();
                Hash::of_entry(all.as_bytes())
            }
        }
    }

    /// Verifies the database at `url`.
    ///
    /// # Errors
    /// [`DatabaseError`] if it cannot be read; a broken chain is a report, not an error.
    pub async fn of(url: &str) -> Result<Self, DatabaseError> {
        let mut connection = open_to_read(url).await?;
        let mut report = Self { entries: 0, heads: Vec::new(), broken: None };
        let mut verifier: Option<Verifier> = None;
        let mut records = 0u64;
        {
            let mut rows = sqlx::query(
                r#"SELECT a."orgId", a."seq", a."hash", a."entry", c."record"
                   FROM "AuditEvent" a LEFT JOIN "ConsentRecord" c ON c."orgId" = a."orgId" AND c."auditSeq" = a."seq"
                   ORDER BY a."orgId", a."seq""#,
            )
            .fetch(&mut connection);
            while let Some(row) = rows.try_next().await? {
                let (org, seq): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
                let (hash, entry): (&str, &str) = (row.try_get(2)?, row.try_get(3)?);
                let record: Option<&str> = row.try_get(4)?;
                let verifier = match &mut verifier {
                    Some(same) if same.org() == org => same,
                    other => {
                        report.heads.extend(other.as_ref().map(|done| (done.org().to_owned(), done.head())));
                        other.insert(Verifier::new(org.to_owned()))
                    }
                };
                let seq = seq.cast_unsigned();
                let held = verifier.check(seq, hash, entry).and_then(|()| {
                    records += u64::from(record.is_some());
                    carries(org, seq, entry, record)
                });
                if let Err(broken) = held {
                    report.broken = Some(broken);
                    return Ok(report);
                }
                report.entries += 1;
            }
        }
        report.heads.extend(verifier.as_ref().map(|done| (done.org().to_owned(), done.head())));
        // A consent record that no entry carries was put in from outside.
        let stored: i64 = sqlx::query(r#"SELECT count(*) FROM "ConsentRecord""#).fetch_one(&mut connection).await?.try_get(0)?;
        if stored.cast_unsigned() != records {
            report.broken = Some(Broken::Record { org: "any organisation".into(), seq: 0 });
        }
        Ok(report)
    }
}

/// Whether an entry of a consent decision and its ConsentRecord say the same, to the byte.
fn carries(org: &str, seq: u64, entry: &str, record: Option<&str>) -> Result<(), Broken> {
    let told: Option<Carrier<'_>> = serde_json::from_str(entry).ok();
    let told = told.and_then(|carrier| carrier.detail.record).map(RawValue::get);
    if told == record { Ok(()) } else { Err(Broken::Record { org: org.to_owned(), seq }) }
}
