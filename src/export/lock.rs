//! The schema lock of a query: the columns that its files have, the same every night.

use serde::{Deserialize, Serialize};

use super::ExportError;
use crate::domain::query::ColumnType;

/// The format that this program writes, and the newest that it reads.
const LOCK_VERSION: u32 = 1;

/// The columns of a query's files in one destination, in order. They grow, and never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaLock {
    /// Of the format; 1.
    pub lock_version: u32,
    /// Of the columns, from 1; 0 before the first.
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The query's name.
    pub query: String,
    /// In the order of the files.
    pub columns: Vec<LockedColumn>,
}

/// A column under the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedColumn {
    /// Its name.
    pub name: String,
    /// Its type, as `columns` of a job names it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of the lock that it came with.
    pub since: u32,
    /// Whether an answer ever had it: one that never came is not missed.
    pub seen: bool,
}

/// A column that a query has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether the answer had it, be it as null.
    pub seen: bool,
}

impl SchemaLock {
    /// A lock without columns.
    pub fn new(job: &str, query: &str) -> Self {
        Self {
            lock_version: LOCK_VERSION,
            version: 0,
            job: job.to_owned(),
            query: query.to_owned(),
            columns: Vec::new(),
        }
    }

    /// The type of a column, where the lock has it.
    pub fn kind_of(&self, name: &str) -> Option<ColumnType> {
        let column = self.columns.iter().find(|column| column.name == name)?;
        ColumnType::parse(&column.kind)
    }

    /// Takes columns in; the names of those that are new.
    ///
    /// # Errors
    /// A column has another type under the lock.
    pub fn add(&mut self, found: &[FoundColumn]) -> Result<Vec<String>, ExportError> {
        let mut new = Vec::new();
        let since = self.version + 1;
        for column in found {
            let known = self.columns.iter_mut().find(|c| c.name == column.name);
            let Some(known) = known else {
                new.push(column.name.clone());
                self.columns.push(LockedColumn {
                    name: column.name.clone(),
                    kind: column.kind.name().to_owned(),
                    since,
                    seen: column.seen,
                });
                continue;
            };
            known.seen |= column.seen;
            if known.kind != column.kind.name() {
                return Err(ExportError::Locked {
                    job: self.job.clone(),
                    query: self.query.clone(),
                    column: column.name.clone(),
                    locked: known.kind.clone(),
                    wanted: column.kind.name(),
                });
            }
        }
        if !new.is_empty() {
            self.version = since;
        }
        Ok(new)
    }

    /// The place of a column; the largest number where the lock has it not.
    pub fn place_of(&self, name: &str) -> usize {
        let mut columns = self.columns.iter();
        let place = columns.position(|column| column.name == name);
        place.unwrap_or(usize::MAX)
    }

    /// Puts what one run has added into an order that does not depend on which answer came first: the
    /// columns of `before`, those that are known in their order, the others by name; all of one version.
    pub fn settle(&mut self, before: &Self, known: &[String]) {
        self.columns.sort_by_key(|column| {
            let known = known.iter().position(|name| *name == column.name);
            let at = before.place_of(&column.name);
            (at, known.unwrap_or(usize::MAX), column.name.clone())
        });
        for column in &mut self.columns {
            if column.since > before.version {
                column.since = before.version + 1;
                self.version = before.version + 1;
            }
        }
    }

    /// Gives a column another type, as somebody demanded; earlier files keep the old one.
    pub fn change(&mut self, name: &str, kind: ColumnType) {
        if let Some(column) = self.columns.iter_mut().find(|column| column.name == name) {
            kind.name().clone_into(&mut column.kind);
            self.version += 1;
            column.since = self.version;
        }
    }

    /// Columns that answers had and this one lacks.
    pub fn vanished<'a>(&'a self, present: &'a [&str]) -> impl Iterator<Item = &'a LockedColumn> {
        let seen = self.columns.iter().filter(|column| column.seen);
        seen.filter(|column| !present.contains(&column.name.as_str()))
    }

    pub(super) fn parse(text: &[u8], path: &str) -> Result<Self, ExportError> {
        let lock: Self = serde_json::from_slice(text).map_err(|source| ExportError::Lock {
            path: path.to_owned(),
            source,
        })?;
        if lock.lock_version > LOCK_VERSION {
            return Err(ExportError::Newer {
                what: "schema lock",
                found: lock.lock_version,
                known: LOCK_VERSION,
            });
        }
        Ok(lock)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a lock has string keys only");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(columns: &[(&str, ColumnType)]) -> Vec<FoundColumn> {
        let column = |(name, kind): &(&str, ColumnType)| FoundColumn {
            name: (*name).to_owned(),
            kind: *kind,
            seen: true,
        };
        columns.iter().map(column).collect()
    }

    #[test]
    fn columns_grow_and_never_change() {
        let mut lock = SchemaLock::new("nightly", "pages");
        let first = found(&[("name", ColumnType::String), ("n", ColumnType::Int64)]);
        assert_eq!(lock.add(&first).unwrap(), ["name", "n"]);
        assert!(lock.add(&first).unwrap().is_empty());
        let more = found(&[("m", ColumnType::Float64)]);
        assert_eq!(lock.add(&more).unwrap(), ["m"]);
        assert_eq!((lock.version, lock.columns[2].since), (2, 2));
        let other = found(&[("n", ColumnType::Float64)]);
        let text = lock.add(&other).unwrap_err().to_string();
        for part in [
            "`n`",
            "int64",
            "float64",
            "_schemas/nightly/pages.json",
            "--force",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let gone: Vec<_> = lock.vanished(&["name", "n"]).map(|c| &c.name).collect();
        assert_eq!(gone, ["m"]);
    }

    #[test]
    fn a_newer_lock_is_declined_and_an_older_one_reads_back() {
        let mut lock = SchemaLock::new("nightly", "pages");
        lock.add(&found(&[("n", ColumnType::Int64)])).unwrap();
        let text = lock.to_text();
        let path = "_schemas/nightly/pages.json";
        assert_eq!(SchemaLock::parse(text.as_bytes(), path).unwrap(), lock);
        let newer = text.replacen("\"lock_version\": 1", "\"lock_version\": 9", 1);
        let error = SchemaLock::parse(newer.as_bytes(), path).unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
