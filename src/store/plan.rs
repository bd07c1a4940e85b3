//! Planning: the watermark of a job moves, and the runs of the ticks that it passes are recorded, in
//! one transaction. However many runners plan, one of them moves it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{
    Any, AnyConnection, Row,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{
    Store, StoreError,
    notices::{News, Notice},
};
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

/// What tells without reading them all whether watermarks have moved or jobs were paused. Two moves
/// that cancel each other out go unnoticed; who acts on a watermark that is not as it was seen is
/// refused all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    jobs: i64,
    sum_ms: i64,
    paused: i64,
    paused_sum_ms: i64,
}

/// Of milliseconds the highest digits are left out of sums: those of millions of jobs fit.
const SUMMED_MS: i64 = 1_000_000_000_000;

impl Marks {
    /// What they are once this job's watermark has moved, if nobody else moves one.
    pub fn moved(&mut self, planned: &Planned) {
        let of = |at: DateTime<Utc>| at.timestamp_millis() % SUMMED_MS;
        self.jobs += i64::from(planned.seen.is_none());
        self.sum_ms += of(planned.watermark) - planned.seen.map_or(0, of);
    }
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

impl Queued {
    /// Whether it stands for ticks that should have run, and did not.
    pub fn is_missed(&self) -> bool {
        self.record.state == RunState::Skipped && self.record.trigger == Trigger::CatchUp
    }
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

    /// What changes when a watermark moves.
    pub async fn marks(&self) -> Result<Marks, StoreError> {
        let sql = format!(
            "SELECT COUNT(*) AS jobs, COUNT(paused_ms) AS paused,
            CAST(COALESCE(SUM(watermark_ms % {SUMMED_MS}), 0) AS BIGINT) AS sum_ms,
            CAST(COALESCE(SUM(paused_ms % {SUMMED_MS}), 0) AS BIGINT) AS paused_sum_ms
            FROM schedules"
        );
        let row = query(sql)
            .fetch_one(&self.pool)
            .await
            .map_err(self.wrap())?;
        let number = |name: &str| row.try_get(name).map_err(self.wrap());
        Ok(Marks {
            jobs: number("jobs")?,
            sum_ms: number("sum_ms")?,
            paused: number("paused")?,
            paused_sum_ms: number("paused_sum_ms")?,
        })
    }

    /// Moves watermarks and records the runs, and with them that somebody is to be told of ticks that were
    /// missed and do not run. `false` where somebody else moved the watermark first,
    /// or the job is paused: nothing is recorded of such a job.
    pub async fn plan(
        &self,
        planned: &[Planned],
        now: DateTime<Utc>,
    ) -> Result<Vec<bool>, StoreError> {
        let mut moved = Vec::with_capacity(planned.len());
        for some in pieces(planned) {
            let mut tx = self.begin_write().await?;
            let jobs = self.move_watermarks(&mut tx, some).await?;
            let is_moved = |job: &&Planned| jobs.contains(&job.job);
            let runs = some.iter().filter(is_moved).flat_map(|job| &job.runs);
            let runs: Vec<&Queued> = runs.collect();
            self.insert_queued(&mut tx, &runs, now).await?;
            for run in runs.iter().filter(|run| run.is_missed()) {
                let (id, news) = (run.record.id.clone(), News::Missed);
                let notice = Notice { run: id, news };
                let noted = self.insert_notice(&mut tx, &run.record.job, &notice, now);
                noted.await?;
            }
            tx.commit().await.map_err(self.wrap())?;
            moved.extend(some.iter().map(|job| jobs.contains(&job.job)));
        }
        Ok(moved)
    }

    /// Records a run that a runner is to take. `false`: a scheduled run of that job and tick exists.
    pub async fn enqueue(&self, run: &Queued, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let inserted = self.insert_queued(&mut tx, &[run], now).await?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(inserted == 1)
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

    /// Moves watermarks that are where they were seen; whose these are.
    async fn move_watermarks(
        &self,
        tx: &mut AnyConnection,
        planned: &[Planned],
    ) -> Result<BTreeSet<String>, StoreError> {
        let (new, known): (Vec<&Planned>, Vec<&Planned>) =
            planned.iter().partition(|job| job.seen.is_none());
        let mut moved = BTreeSet::new();
        for jobs in together(&new) {
            let values = rows(jobs.len(), &["TEXT", "BIGINT", "TEXT"]);
            let sql = format!(
                "INSERT INTO schedules (job, watermark_ms, fingerprint) VALUES {values}
                ON CONFLICT DO NOTHING RETURNING job"
            );
            let query = jobs.iter().fold(query(sql), |query, job| {
                query
                    .bind(&job.job)
                    .bind(job.watermark.timestamp_millis())
                    .bind(&job.fingerprint)
            });
            moved.extend(self.jobs_of(query.fetch_all(&mut *tx).await)?);
        }
        for jobs in together(&known) {
            let values = rows(jobs.len(), &["TEXT", "BIGINT", "TEXT", "BIGINT"]);
            let sql = format!(
                "UPDATE schedules SET watermark_ms = v.column2, fingerprint = v.column3
                FROM (VALUES {values}) AS v WHERE job = v.column1 AND watermark_ms = v.column4
                AND paused_ms IS NULL RETURNING job"
            );
            let query = jobs.iter().fold(query(sql), |query, job| {
                query
                    .bind(&job.job)
                    .bind(job.watermark.timestamp_millis())
                    .bind(&job.fingerprint)
                    .bind(job.seen.map(|seen| seen.timestamp_millis()))
            });
            moved.extend(self.jobs_of(query.fetch_all(&mut *tx).await)?);
        }
        Ok(moved)
    }

    fn jobs_of(&self, rows: sqlx::Result<Vec<AnyRow>>) -> Result<Vec<String>, StoreError> {
        let rows = rows.map_err(self.wrap())?;
        let jobs = rows.iter().map(|row| row.try_get("job"));
        jobs.collect::<Result<_, _>>().map_err(self.wrap())
    }

    /// Records runs, but for those whose tick has one; how many.
    async fn insert_queued(
        &self,
        tx: &mut AnyConnection,
        runs: &[&Queued],
        now: DateTime<Utc>,
    ) -> Result<u64, StoreError> {
        let mut inserted = 0;
        for runs in together(runs) {
            let values = rows(runs.len(), &QUEUED.map(|(_, kind)| kind));
            let names = QUEUED.map(|(name, _)| name).join(", ");
            let sql = format!(
                "INSERT INTO runs ({names}, alive_until_ms, attempts, requests, retries, row_count,
                duration_ms, fence) SELECT v.*, 0, 0, 0, 0, 0, 0, 0 FROM (VALUES {values}) AS v
                WHERE 1 = 1 ON CONFLICT DO NOTHING"
            );
            let query = runs.iter().fold(query(sql), |query, run| {
                let record = &run.record;
                let is_over = record.state != RunState::Queued;
                query
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
            });
            let done = query.execute(&mut *tx).await.map_err(self.wrap())?;
            inserted += done.rows_affected();
        }
        Ok(inserted)
    }
}

/// What is planned in one transaction: some jobs, each once.
fn pieces(planned: &[Planned]) -> Vec<&[Planned]> {
    let (mut pieces, mut start, mut jobs) = (Vec::new(), 0, BTreeSet::new());
    for (n, job) in planned.iter().enumerate() {
        if n - start == TOGETHER || jobs.contains(job.job.as_str()) {
            pieces.push(&planned[start..n]);
            start = n;
            jobs.clear();
        }
        jobs.insert(job.job.as_str());
    }
    pieces.extend(Some(&planned[start..]).filter(|last| !last.is_empty()));
    pieces
}

/// Columns of a run that waits, in the order in which they are bound.
const QUEUED: [(&str, &str); 16] = [
    ("id", "TEXT"),
    ("job", "TEXT"),
    ("tick_ms", "BIGINT"),
    ("tick", "TEXT"),
    ("trigger_name", "TEXT"),
    ("state", "TEXT"),
    ("window_start", "TEXT"),
    ("window_end", "TEXT"),
    ("timezone", "TEXT"),
    ("created_ms", "BIGINT"),
    ("definition_hash", "TEXT"),
    ("error", "TEXT"),
    ("not_before_ms", "BIGINT"),
    ("priority", "BIGINT"),
    ("runs_on", "TEXT"),
    ("ended_ms", "BIGINT"),
];

/// So many rows go into one statement: few enough different statements to be kept prepared, and few
/// enough values, each of which sqlx looks up among all of them.
const ROWS: [usize; 3] = [16, 4, 1];

/// The same entries in pieces of [`ROWS`], in order.
pub(super) fn together<T>(all: &[T]) -> impl Iterator<Item = &[T]> {
    let mut left = all;
    std::iter::from_fn(move || {
        let most = ROWS.into_iter().find(|most| *most <= left.len())?;
        let (some, rest) = left.split_at(most);
        left = rest;
        Some(some)
    })
}

/// Rows of places for values: `(CAST($1 AS TEXT)), (CAST($2 AS TEXT))`.
fn rows(count: usize, kinds: &[&str]) -> String {
    let row = |row: usize| {
        let places = kinds.iter().enumerate();
        let places =
            places.map(|(n, kind)| format!("CAST(${} AS {kind})", row * kinds.len() + n + 1));
        format!("({})", places.collect::<Vec<_>>().join(", "))
    };
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// A statement that is made of fixed texts alone; values are bound.
pub(super) fn query<'q>(sql: String) -> Query<'q, Any, AnyArguments> {
    sqlx::query(sqlx::AssertSqlSafe(sql))
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
