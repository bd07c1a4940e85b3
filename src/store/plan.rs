//! Planning: the watermark of a job moves, and the runs of the ticks that it passes are recorded, in
//! one transaction. However many runners plan, one of them moves it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError};
use crate::domain::run::{RunRecord, RunState, Trigger};

/// How many jobs are planned in one transaction: a slow disk is waited for once, and others may write
/// in between.
const TOGETHER: usize = 500;

/// Up to where the ticks of a job are accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The last instant that is.
    pub at: DateTime<Utc>,
    /// The schedule whose ticks these were.
    pub fingerprint: String,
    /// Whether somebody has paused the job.
    pub is_paused: bool,
}

/// A run that waits for a runner, or is recorded as skipped.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Its record so far.
    pub record: RunRecord,
    /// The instant it is for.
    pub tick: DateTime<Utc>,
    /// It starts no earlier.
    pub not_before: DateTime<Utc>,
    /// Lower ones go first.
    pub priority: i64,
    /// Labels of runners that may take it; empty: all.
    pub runs_on: Vec<String>,
    /// SHA-256 (hex) of the job's definition.
    pub definition_hash: String,
}

/// A job whose watermark is to move.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The job's name.
    pub job: String,
    /// Where its watermark was seen; `None`: it has none yet.
    pub seen: Option<DateTime<Utc>>,
    /// Where it moves to.
    pub watermark: DateTime<Utc>,
    /// What makes its ticks.
    pub fingerprint: String,
    /// The runs of the ticks in between.
    pub runs: Vec<Queued>,
}

impl Store {
    /// The watermarks of all jobs that were ever planned.
    pub async fn watermarks(&self) -> Result<BTreeMap<String, Watermark>, StoreError> {
        let rows = sqlx::query("SELECT job, watermark_ms, fingerprint, paused_ms FROM schedules")
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let read = |row: &sqlx::any::AnyRow| {
            let paused: Option<i64> = row.try_get("paused_ms")?;
            let watermark = Watermark {
                at: instant(row.try_get("watermark_ms")?),
                fingerprint: row.try_get("fingerprint")?,
                is_paused: paused.is_some(),
            };
            Ok((row.try_get("job")?, watermark))
        };
        let all: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        all.map_err(self.wrap())
    }

    /// Moves watermarks and records the runs. `false` where somebody else moved the watermark first,
    /// or the job is paused: nothing is recorded of such a job.
    pub async fn plan(
        &self,
        planned: &[Planned],
        now: DateTime<Utc>,
    ) -> Result<Vec<bool>, StoreError> {
        let mut moved = Vec::with_capacity(planned.len());
        for some in planned.chunks(TOGETHER) {
            let mut tx = self.begin_write().await?;
            for job in some {
                let is_moved = self.move_watermark(&mut tx, job).await?;
                for run in job.runs.iter().filter(|_| is_moved) {
                    self.insert_queued(&mut tx, run, now).await?;
                }
                moved.push(is_moved);
            }
            tx.commit().await.map_err(self.wrap())?;
        }
        Ok(moved)
    }

    /// Records a run that a runner is to take. `false`: a scheduled run of that job and tick exists.
    pub async fn enqueue(&self, run: &Queued, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let is_new = self.insert_queued(&mut tx, run, now).await?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(is_new)
    }

    /// Jobs that have runs waiting or under way, other than backfills.
    pub async fn busy_jobs(&self) -> Result<BTreeSet<String>, StoreError> {
        let sql = "SELECT DISTINCT job FROM runs WHERE state IN ('queued', 'running')
            AND trigger_name <> $1";
        let rows = sqlx::query(sql)
            .bind(Trigger::Backfill.name())
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let jobs: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get("job")).collect();
        jobs.map_err(self.wrap())
    }

    /// Pauses a job: it has no ticks until it is resumed. The watermark stays where it is; a job that
    /// has none gets one at `now`.
    pub async fn pause(&self, job: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let sql = "INSERT INTO schedules (job, watermark_ms, fingerprint, paused_ms)
            VALUES ($1, $2, '', $2)
            ON CONFLICT (job) DO UPDATE SET paused_ms = excluded.paused_ms";
        sqlx::query(sql)
            .bind(job)
            .bind(now.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// Resumes a job. `false`: it was not paused.
    pub async fn resume(&self, job: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE schedules SET paused_ms = NULL WHERE job = $1 AND paused_ms IS NOT NULL";
        let done = sqlx::query(sql)
            .bind(job)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    async fn move_watermark(
        &self,
        tx: &mut AnyConnection,
        job: &Planned,
    ) -> Result<bool, StoreError> {
        let to = job.watermark.timestamp_millis();
        let query = match job.seen {
            None => sqlx::query(
                "INSERT INTO schedules (job, watermark_ms, fingerprint) VALUES ($1, $2, $3)
                ON CONFLICT DO NOTHING",
            )
            .bind(&job.job)
            .bind(to)
            .bind(&job.fingerprint),
            Some(seen) => sqlx::query(
                "UPDATE schedules SET watermark_ms = $2, fingerprint = $3
                WHERE job = $1 AND watermark_ms = $4 AND paused_ms IS NULL",
            )
            .bind(&job.job)
            .bind(to)
            .bind(&job.fingerprint)
            .bind(seen.timestamp_millis()),
        };
        let done = query.execute(&mut *tx).await.map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    async fn insert_queued(
        &self,
        tx: &mut AnyConnection,
        run: &Queued,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO runs (id, job, tick_ms, tick, trigger_name, state, window_start,
            window_end, timezone, created_ms, alive_until_ms, definition_hash, attempts, requests,
            retries, row_count, duration_ms, error, not_before_ms, priority, runs_on, fence, ended_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, 0, 0, 0, 0, 0, $12, $13, $14,
            $15, 0, $16) ON CONFLICT DO NOTHING";
        let record = &run.record;
        let is_over = record.state != RunState::Queued;
        let done = sqlx::query(sql)
            .bind(&record.id)
            .bind(&record.job)
            .bind(run.tick.timestamp_millis())
            .bind(&record.tick)
            .bind(record.trigger.name())
            .bind(record.state.name())
            .bind(&record.window.start)
            .bind(&record.window.end)
            .bind(&record.window.timezone)
            .bind(now.timestamp_millis())
            .bind(&run.definition_hash)
            .bind(record.error.clone())
            .bind(run.not_before.timestamp_millis())
            .bind(run.priority)
            .bind(labels(&run.runs_on))
            .bind(is_over.then_some(now.timestamp_millis()))
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }
}

/// Labels as the store keeps them, so that one is found by `LIKE`: `,inside,gpu,`.
pub(super) fn labels(labels: &[String]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    format!(",{},", labels.join(","))
}

pub(super) fn instant(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}
