//! `callgate audit verify`: every chain of a database, entry by entry, and every consent record against the entry that
//! carries it, column by column: what is read is what was written. A stream in constant memory; needs no gateway, and
//! is undisturbed by one: it sees one moment of the database.
//!
//! It cannot see by itself a chain cut off at its end together with its records, nor one written anew from somewhere on:
//! checkpoints that were copied out can ([`VerifyReport::against`]).

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};

use super::DatabaseError;
use super::backend::{Address, Backend, on};
use super::columns::Word;
use super::url::shown;
use crate::engine::ledger::{Broken, Checkpoint, DecisionTold, EventKind, Hash, Head, Link, Merkle, Verifier};
use crate::engine::time::WallTime;

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

/// Entries with the records that stand on them, chain by chain.
const CHAINS: &str = r#"
  SELECT a."orgId", a."seq", a."hash", a."entry", a."kind", a."clientId", a."callId", a."at",
         c."record", c."salt", c."id", c."orgId", c."clientId", c."callId", c."version", c."status", c."method", c."languageCode",
         c."promptVersion", c."at"
  FROM "AuditEvent" a LEFT JOIN "ConsentRecord" c ON c."orgId" = a."orgId" AND c."auditSeq" = a."seq"
  ORDER BY a."orgId", a."seq""#;

/// Records without an entry.
const ORPHANS: &str = r#"
  SELECT c."orgId", c."auditSeq" FROM "ConsentRecord" c
  WHERE NOT EXISTS (SELECT 1 FROM "AuditEvent" a WHERE a."orgId" = c."orgId" AND a."seq" = c."auditSeq")
  ORDER BY c."orgId", c."auditSeq" LIMIT 1"#;

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
        Self::against(url, &[]).await
    }

    /// The same, and every chain against checkpoints of it: organisation and what was signed.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub async fn against(url: &str, checkpoints: &[(String, Checkpoint)]) -> Result<Self, DatabaseError> {
        let mut connection = Address::parse(url)?.verifier().await.map_err(|source| DatabaseError::Open { url: shown(url), source })?;
        // One moment of the database: a gateway that writes meanwhile is not taken for a forger.
        let begin = match connection {
            Backend::Sqlite(_) => "BEGIN",
            Backend::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let mut report = Self { entries: 0, heads: Vec::new(), broken: None };
        let mut verifier: Option<Verifier> = None;
        let mut signed = Signed::new(checkpoints);
        on!(&mut connection, connection => {
            let mut moment = connection.begin_with(begin).await?;
            {
                let mut rows = sqlx::query(CHAINS).fetch(&mut *moment);
                while let Some(row) = rows.try_next().await? {
                    let held = report.check(&mut verifier, &row);
                    if let Err(broken) = held.and_then(|()| verifier.as_ref().map_or(Ok(()), |verifier| signed.check(verifier))) {
                        report.broken = Some(broken);
                        return Ok(report);
                    }
                }
            }
            report.heads.extend(verifier.as_ref().map(|done| (done.org().to_owned(), done.head())));
            if let Some(orphan) = sqlx::query(ORPHANS).fetch_optional(&mut *moment).await? {
                let org = String::from_utf8_lossy(orphan.text(0).unwrap_or_default()).into_owned();
                report.broken = Some(Broken::Removed { org, seq: orphan.number(1) });
            } else {
                report.broken = signed.left();
            }
        });
        Ok(report)
    }

    fn check(&mut self, verifier: &mut Option<Verifier>, row: &impl Stored) -> Result<(), Broken> {
        let org = row.text(0).unwrap_or_default();
        let verifier = match verifier {
            Some(same) if same.org().as_bytes() == org => same,
            other => {
                self.heads.extend(other.as_ref().map(|done| (done.org().to_owned(), done.head())));
                other.insert(Verifier::new(String::from_utf8_lossy(org).into_owned()))
            }
        };
        check(verifier, row)?;
        self.entries += 1;
        Ok(())
    }
}

/// Checkpoints that the chains must agree with.
struct Signed<'a> {
    open: Vec<&'a (String, Checkpoint)>,
    tree: Merkle,
    /// Lengths of the chains that have one.
    lengths: BTreeMap<String, u64>,
}

impl<'a> Signed<'a> {
    fn new(checkpoints: &'a [(String, Checkpoint)]) -> Self {
        Self { open: checkpoints.iter().collect(), tree: Merkle::default(), lengths: BTreeMap::new() }
    }

    /// Takes in the entry that was just verified.
    fn check(&mut self, verifier: &Verifier) -> Result<(), Broken> {
        let (org, head) = (verifier.org(), verifier.head());
        if head.seq == 1 {
            self.tree = Merkle::default();
        }
        if !self.open.iter().any(|(of, _)| of == org) {
            return Ok(());
        }
        self.tree.push(head.hash);
        self.lengths.insert(org.to_owned(), head.seq);
        let wrong = self.open.iter().find(|(of, signed)| of == org && signed.size == head.seq && signed.root != self.tree.root());
        wrong.map_or(Ok(()), |_| Err(Broken::Rewritten { org: org.to_owned(), size: head.seq }))
    }

    /// The first checkpoint that reaches past its chain's end, or is of nothing and says it is something.
    fn left(&self) -> Option<Broken> {
        self.open.iter().find_map(|(org, signed)| {
            let entries = self.lengths.get(org).copied().unwrap_or(0);
            if signed.size > entries {
                return Some(Broken::Cut { org: org.clone(), size: signed.size, entries });
            }
            (signed.size == 0 && signed.root != Merkle::default().root()).then(|| Broken::Rewritten { org: org.clone(), size: 0 })
        })
    }
}

fn check(verifier: &mut Verifier, row: &impl Stored) -> Result<(), Broken> {
    let seq = row.number(1);
    let link = verifier.check(seq, row.text(2).unwrap_or_default(), row.text(3).unwrap_or_default())?;
    let org = || verifier.org().to_owned();
    let labels = [(4, Some(&*link.kind)), (5, link.client_id.as_deref()), (6, link.call_id.as_deref())];
    if !labels.into_iter().all(|(column, told)| row.text(column) == told.map(str::as_bytes)) || !row.is_time(7, &link.at) {
        return Err(Broken::Mislabelled { org: org(), seq });
    }
    if carries(&link, verifier.org(), row) { Ok(()) } else { Err(Broken::Record { org: org(), seq }) }
}

/// Whether an entry has the record that it was written with, every column of it, and none if it is no decision.
fn carries(link: &Link<'_>, org: &str, row: &impl Stored) -> bool {
    if ![EventKind::ConsentGranted, EventKind::ConsentRevoked, EventKind::ConsentAnnulled].iter().any(|kind| link.kind == kind.word()) {
        return row.text(8).is_none();
    }
    let (Some(told), Some(stored), Some(salt)) = (DecisionTold::read(link.detail.get()), row.text(8), row.text(9)) else {
        return false;
    };
    let Some(record) = told.record(stored, salt) else { return false };
    let (Ok(status), Ok(method)) = (Word::of(&record.status), Word::of(&record.method)) else { return false };
    let columns = [
        (10, Some(record.id.as_str())),
        (11, Some(org)),
        (12, Some(record.client_id.as_str())),
        (13, record.call_id.as_deref()),
        (15, Some(status.0.as_str())),
        (16, Some(method.0.as_str())),
        (17, Some(record.language_code.as_str())),
        (18, Some(record.prompt_version.as_str())),
    ];
    record.org_id == org
        && row.number(14) == told.version()
        && row.is_time(19, &record.at.to_string())
        && columns.into_iter().all(|(column, told)| row.text(column) == told.map(str::as_bytes))
}

/// What stands in a row, whatever a forger has made of it.
trait Stored {
    /// A column's bytes; `None` for NULL.
    fn text(&self, column: usize) -> Option<&[u8]>;
    /// A column's number, or 0, which no entry has.
    fn number(&self, column: usize) -> u64;
    /// Whether a column holds this time.
    fn is_time(&self, column: usize, told: &str) -> bool;
}

impl Stored for SqliteRow {
    fn text(&self, column: usize) -> Option<&[u8]> {
        self.try_get_unchecked::<Option<&[u8]>, _>(column).ok().flatten()
    }

    fn number(&self, column: usize) -> u64 {
        self.try_get_unchecked::<i64, _>(column).map_or(0, i64::cast_unsigned)
    }

    /// To the letter: a text that is read as the same time is another text.
    fn is_time(&self, column: usize, told: &str) -> bool {
        self.text(column) == Some(told.as_bytes())
    }
}

impl Stored for PgRow {
    fn text(&self, column: usize) -> Option<&[u8]> {
        self.try_get_unchecked::<Option<&[u8]>, _>(column).ok().flatten()
    }

    fn number(&self, column: usize) -> u64 {
        self.try_get_unchecked::<i64, _>(column).map_or(0, i64::cast_unsigned)
    }

    fn is_time(&self, column: usize, told: &str) -> bool {
        self.try_get::<Option<WallTime>, _>(column).ok().flatten().is_some_and(|at| at.to_string() == told)
    }
}
