//! A run stays its runner's: under its fencing token, and with signs of life.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{
    Store, StoreError,
    group::{Entry, Writing},
};

/// What a run hears when it says that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It may.
    GoesOn,
    /// Somebody wants it cancelled.
    Cancelled,
}

impl Store {
    /// Says that the run goes on; hears whether it may.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's now.
    pub async fn heartbeat(&self, run: &str, now: DateTime<Utc>) -> Result<Sign, StoreError> {
        self.enter(Heartbeat { run, now }).await
    }

    /// Begins a transaction in which a run stays this runner's.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's already.
    pub(super) async fn begin_held(&self, run: &str) -> Result<Writing, StoreError> {
        let mut tx = self.begin_change().await?;
        self.hold(&mut tx, run).await?;
        Ok(tx)
    }

    /// Makes sure that a run is this runner's, and that it stays so until the transaction ends.
    pub(super) async fn hold(&self, tx: &mut AnyConnection, run: &str) -> Result<(), StoreError> {
        let sql =
            "UPDATE runs SET fence = fence WHERE id = $1 AND fence = $2 AND state = 'running'";
        let held = sqlx::query(sql)
            .bind(run)
            .bind(self.fence_of(run))
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        if held.rows_affected() == 0 {
            return Err(taken_over(run));
        }
        Ok(())
    }

    /// Makes sure that a run is this runner's. One that this store neither created nor claimed, or that
    /// is over or handed back, is not: a run by hand has its token from [`Store::create_run`].
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is not.
    pub(super) async fn must_hold(
        &self,
        tx: &mut AnyConnection,
        run: &str,
    ) -> Result<(), StoreError> {
        let sql = "SELECT id FROM runs WHERE id = $1 AND fence = $2 AND state = 'running'";
        let held = sqlx::query(sql)
            .bind(run)
            .bind(self.fence_of(run))
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        held.map(|_| ()).ok_or_else(|| taken_over(run))
    }

    pub(super) fn alive_until(&self, now: DateTime<Utc>) -> i64 {
        let ttl = i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX);
        now.timestamp_millis().saturating_add(ttl)
    }
}

pub(super) fn taken_over(run: &str) -> StoreError {
    StoreError::TakenOver {
        run: run.to_owned(),
    }
}

/// A sign of life of a run.
struct Heartbeat<'a> {
    run: &'a str,
    now: DateTime<Utc>,
}

impl Entry for Heartbeat<'_> {
    type Answer = Sign;

    const IS_ONE_STATEMENT: bool = true;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<Sign, StoreError> {
        let sql = "UPDATE runs SET alive_until_ms = $1 WHERE id = $2 AND fence = $3
            AND state = 'running' RETURNING CASE WHEN cancel_ms IS NULL THEN 0 ELSE 1 END AS is_cancelled";
        let row = sqlx::query(sql)
            .bind(store.alive_until(self.now))
            .bind(self.run)
            .bind(store.fence_of(self.run))
            .fetch_optional(&mut *tx)
            .await
            .map_err(store.wrap())?;
        let row = row.ok_or_else(|| taken_over(self.run))?;
        let is_cancelled: i64 = row.try_get("is_cancelled").map_err(store.wrap())?;
        Ok(if is_cancelled == 1 {
            Sign::Cancelled
        } else {
            Sign::GoesOn
        })
    }
}
