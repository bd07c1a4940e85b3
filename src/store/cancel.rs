//! Cancelling: a run that waits ends at once, the runner of another is asked.

use chrono::{DateTime, Utc};
use sqlx::Row as _;

use super::{Store, StoreError};

/// What asking for a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancellation {
    /// The run was waiting: it is cancelled.
    Done,
    /// Its runner is told at the next sign of life.
    Asked,
    /// The run is over.
    Over,
}

impl Store {
    /// Cancels a run that waits, or asks the runner of one that is under way.
    pub async fn cancel(&self, run: &str, now: DateTime<Utc>) -> Result<Cancellation, StoreError> {
        let mut tx = self.begin_write().await?;
        let sql = "UPDATE runs SET state = 'cancelled', error = 'cancelled before it started',
            ended_ms = $1 WHERE id = $2 AND state = 'queued'";
        let done = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .bind(run)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let mut outcome = Cancellation::Done;
        if done.rows_affected() == 0 {
            let sql = "UPDATE runs SET cancel_ms = $1 WHERE id = $2 AND state = 'running'";
            let asked = sqlx::query(sql)
                .bind(now.timestamp_millis())
                .bind(run)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
            outcome = match asked.rows_affected() {
                0 => Cancellation::Over,
                _ => Cancellation::Asked,
            };
        }
        tx.commit().await.map_err(self.wrap())?;
        Ok(outcome)
    }

    /// Whether somebody wants a run cancelled.
    pub async fn is_cancellation_wanted(&self, run: &str) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM runs WHERE id = $1 AND cancel_ms IS NOT NULL";
        let row = sqlx::query(sql)
            .bind(run)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(row.is_some())
    }

    /// Jobs of which runs wait that were due before an instant.
    pub async fn waiting_jobs(&self, before: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT job FROM runs WHERE state = 'queued' AND not_before_ms < $1
            ORDER BY job";
        let rows = sqlx::query(sql)
            .bind(before.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let jobs: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get("job")).collect();
        jobs.map_err(self.wrap())
    }

    /// Cancels what waits of a job that is no more, and was due before an instant; how many runs.
    pub async fn cancel_waiting(
        &self,
        job: &str,
        before: DateTime<Utc>,
        why: &str,
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE runs SET state = 'cancelled', error = $1, ended_ms = $2
            WHERE job = $3 AND state = 'queued' AND not_before_ms < $4";
        let done = sqlx::query(sql)
            .bind(why)
            .bind(now.timestamp_millis())
            .bind(job)
            .bind(before.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected())
    }
}
