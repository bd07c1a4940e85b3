//! Whether a job works or fails, and when somebody was told last: one message for each change, and one
//! a day while it fails, from however many runners.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError, group::Entry, plan::instant};

/// How often it is said that a job still fails.
const AGAIN: TimeDelta = TimeDelta::hours(24);

/// What a run's outcome changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that somebody must be told.
    None,
    /// The job worked, or had no runs, and fails now.
    Fails,
    /// It has failed so often since then, and nobody was told for a day.
    StillFails {
        /// Failures, this one included.
        failures: u64,
        /// The first.
        since: DateTime<Utc>,
    },
    /// It works again.
    Recovered {
        /// Failures there were.
        failures: u64,
        /// The first.
        since: DateTime<Utc>,
    },
}

impl Store {
    /// Notes the outcome of a run of a job; who is to be told.
    pub async fn note_outcome(
        &self,
        job: &str,
        has_failed: bool,
        now: DateTime<Utc>,
    ) -> Result<Change, StoreError> {
        let outcome = Outcome {
            job,
            has_failed,
            now,
        };
        self.enter(outcome).await
    }

    async fn set_outcome(
        &self,
        tx: &mut AnyConnection,
        job: &str,
        failures: u64,
        since: DateTime<Utc>,
        told: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO outcomes (job, failures, since_ms, told_ms) VALUES ($1, $2, $3, $4)
            ON CONFLICT (job) DO UPDATE SET failures = excluded.failures,
            since_ms = excluded.since_ms, told_ms = excluded.told_ms";
        sqlx::query(sql)
            .bind(job)
            .bind(i64::try_from(failures).unwrap_or(i64::MAX))
            .bind(since.timestamp_millis())
            .bind(told.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}

/// How a run of a job ended.
struct Outcome<'a> {
    job: &'a str,
    has_failed: bool,
    now: DateTime<Utc>,
}

impl Entry for Outcome<'_> {
    type Answer = Change;

    const READS_FIRST: bool = true;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<Change, StoreError> {
        let Self {
            job,
            has_failed,
            now,
        } = *self;
        let sql = "SELECT failures, since_ms, told_ms FROM outcomes WHERE job = $1";
        let row = sqlx::query(sql)
            .bind(job)
            .fetch_optional(&mut *tx)
            .await
            .map_err(store.wrap())?;
        let Some(row) = row else {
            if has_failed {
                store.set_outcome(tx, job, 1, now, now).await?;
                return Ok(Change::Fails);
            }
            return Ok(Change::None);
        };
        let failures = store.count(&row, "failures")?;
        let since = instant(row.try_get("since_ms").map_err(store.wrap())?);
        let told = instant(row.try_get("told_ms").map_err(store.wrap())?);
        if !has_failed {
            sqlx::query("DELETE FROM outcomes WHERE job = $1")
                .bind(job)
                .execute(&mut *tx)
                .await
                .map_err(store.wrap())?;
            return Ok(Change::Recovered { failures, since });
        }
        let failures = failures + 1;
        if now - told >= AGAIN {
            store.set_outcome(tx, job, failures, since, now).await?;
            return Ok(Change::StillFails { failures, since });
        }
        store.set_outcome(tx, job, failures, since, told).await?;
        Ok(Change::None)
    }
}
