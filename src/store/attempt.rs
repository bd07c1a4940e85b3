//! Attempts of runs: how often each was tried, when, and why not the last time.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError, group::Entry, hold::taken_over};

/// An attempt that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// How many of those that `retry` allows it makes: without such as were interrupted.
    pub spent: u32,
}

impl Attempt {
    /// As the store counts.
    pub(super) fn of(number: i64, interrupted: i64) -> Self {
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            number: count(number),
            spent: count(number - interrupted),
        }
    }
}

impl Store {
    /// Begins an attempt; the first of a run that was claimed has begun with that.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: the run is another's now.
    pub async fn start_attempt(
        &self,
        run: &str,
        now: DateTime<Utc>,
    ) -> Result<Attempt, StoreError> {
        self.enter(AttemptStart { run, now }).await
    }

    /// Ends the attempt that is under way; `error` says why another one is needed.
    pub async fn end_attempt(
        &self,
        run: &str,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.enter(AttemptEnd { run, error, now }).await
    }

    /// How many attempts were under way: one, or none where the run pauses.
    pub(super) async fn close_attempt(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let sql =
            "UPDATE attempts SET ended_ms = $1, error = $2 WHERE run_id = $3 AND ended_ms IS NULL";
        let done = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .bind(error.map(str::to_owned))
            .bind(run)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
    }

    /// Attempts that do not count among those that `retry` allows.
    pub(super) async fn add_interrupted(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        attempts: i64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE runs SET interrupted = interrupted + $1 WHERE id = $2")
            .bind(attempts)
            .bind(run)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}

/// An attempt that begins.
struct AttemptStart<'a> {
    run: &'a str,
    now: DateTime<Utc>,
}

impl Entry for AttemptStart<'_> {
    type Answer = Attempt;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<Attempt, StoreError> {
        let update = "UPDATE runs SET attempts = attempts + 1, alive_until_ms = $1 WHERE id = $2
            AND fence = $3 AND state = 'running' RETURNING attempts, interrupted";
        let insert = "INSERT INTO attempts (run_id, number, started_ms)
            SELECT id, attempts, $4 FROM runs WHERE id = $2 AND fence = $3 AND state = 'running'";
        let rows = store.both(tx, [update.to_owned(), insert.to_owned()], |query| {
            query
                .bind(store.alive_until(self.now))
                .bind(self.run)
                .bind(store.fence_of(self.run))
                .bind(self.now.timestamp_millis())
        });
        let rows = rows.await?;
        let row = rows.first().ok_or_else(|| taken_over(self.run))?;
        let number: i64 = row.try_get("attempts").map_err(store.wrap())?;
        let interrupted: i64 = row.try_get("interrupted").map_err(store.wrap())?;
        Ok(Attempt::of(number, interrupted))
    }
}

/// An attempt that ends, and its run goes on.
struct AttemptEnd<'a> {
    run: &'a str,
    error: Option<&'a str>,
    now: DateTime<Utc>,
}

impl Entry for AttemptEnd<'_> {
    type Answer = ();

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<(), StoreError> {
        store.hold(tx, self.run).await?;
        let closed = store.close_attempt(tx, self.run, self.error, self.now);
        closed.await.map(|_| ())
    }
}
