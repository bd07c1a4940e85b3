//! Whether a job works or fails, and when somebody was told last: one message for each change, and one
//! a day while it fails, from however many runners.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row};

use super::{
    Store, StoreError,
    notices::{News, Notice},
    plan::instant,
};
use crate::domain::run::DeliveryState;

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

/// How a run ended, as far as somebody may have to be told.
#[derive(Debug, Clone, Copy)]
pub struct RunOutcome<'a> {
    /// The run.
    pub run: &'a str,
    /// Its job.
    pub job: &'a str,
    /// Whether it failed; `None`: it says nothing of whether the job works.
    pub has_failed: Option<bool>,
    /// What is told of it whatever it changes.
    pub also: &'static [News],
}

impl Store {
    /// What that changes is kept as a notice until somebody was told.
    pub(super) async fn insert_outcome(
        &self,
        tx: &mut AnyConnection,
        outcome: RunOutcome<'_>,
        now: DateTime<Utc>,
    ) -> Result<Change, StoreError> {
        let change = match outcome.has_failed {
            Some(has_failed) => self.change_of(tx, outcome.job, has_failed, now).await?,
            None => Change::None,
        };
        // Somebody must hear of each mail of which nobody knows whether it arrived
        let may_be_in_doubt = change == Change::None && outcome.has_failed != Some(false);
        let news = if may_be_in_doubt && self.is_in_doubt(tx, outcome.run).await? {
            News::InDoubt
        } else {
            News::Outcome(change)
        };
        if outcome.has_failed == Some(true) {
            self.drop_pings(tx, outcome.job).await?;
        }
        for news in std::iter::once(news).chain(outcome.also.iter().copied()) {
            let run = outcome.run.to_owned();
            self.insert_notice(tx, outcome.job, &Notice { run, news }, now)
                .await?;
        }
        Ok(change)
    }

    async fn is_in_doubt(&self, tx: &mut AnyConnection, run: &str) -> Result<bool, StoreError> {
        let sql = "SELECT run_id FROM run_deliveries WHERE run_id = $1 AND state = $2 LIMIT 1";
        let row = sqlx::query(sql)
            .bind(run)
            .bind(DeliveryState::Unknown.name())
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(row.is_some())
    }

    async fn change_of(
        &self,
        tx: &mut AnyConnection,
        job: &str,
        has_failed: bool,
        now: DateTime<Utc>,
    ) -> Result<Change, StoreError> {
        let sql = "SELECT failures, since_ms, told_ms FROM outcomes WHERE job = $1";
        let row = sqlx::query(sql)
            .bind(job)
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let Some(row) = row else {
            if has_failed {
                self.set_outcome(tx, job, 1, now, now).await?;
                return Ok(Change::Fails);
            }
            return Ok(Change::None);
        };
        let failures = self.count(&row, "failures")?;
        let since = instant(row.try_get("since_ms").map_err(self.wrap())?);
        let told = instant(row.try_get("told_ms").map_err(self.wrap())?);
        let change = if !has_failed {
            sqlx::query("DELETE FROM outcomes WHERE job = $1")
                .bind(job)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
            Change::Recovered { failures, since }
        } else if now - told >= AGAIN {
            let failures = failures + 1;
            self.set_outcome(tx, job, failures, since, now).await?;
            Change::StillFails { failures, since }
        } else {
            self.set_outcome(tx, job, failures + 1, since, told).await?;
            Change::None
        };
        Ok(change)
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
