//! Runs. The row carries what is searched for; the document is the run as `--json` prints it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{Row, any::AnyRow};

use super::{Store, StoreError};
use crate::domain::run::{RunRecord, RunState};

/// How long a run counts as alive after its last sign of life, in milliseconds.
const ALIVE_MS: i64 = 60_000;

/// A run that is about to start.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// The instant it is for.
    pub tick: DateTime<Utc>,
    /// SHA-256 of the job's definition.
    pub definition_hash: &'a str,
    /// Its record so far.
    pub record: &'a RunRecord,
    /// The present instant.
    pub now: DateTime<Utc>,
}

/// What a beginning of a run's id finds.
#[derive(Debug)]
pub enum Found {
    /// The run.
    One(Box<RunRecord>),
    /// Nothing.
    None,
    /// Several runs: their ids.
    Many(Vec<String>),
}

impl Store {
    /// Records a run as running. `false`: a scheduled run of that job and tick exists already.
    pub async fn create_run(&self, run: NewRun<'_>) -> Result<bool, StoreError> {
        let sql = "INSERT INTO runs (id, job, tick_ms, trigger_name, state, created_ms,
            alive_until_ms, attempts, definition_hash, document)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9) ON CONFLICT DO NOTHING";
        let now = run.now.timestamp_millis();
        let done = sqlx::query(sql)
            .bind(&run.record.id)
            .bind(&run.record.job)
            .bind(run.tick.timestamp_millis())
            .bind(run.record.trigger.name())
            .bind(RunState::Running.name())
            .bind(now)
            .bind(now + ALIVE_MS)
            .bind(run.definition_hash)
            .bind(to_document(run.record))
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    /// Begins an attempt; its number, from 1.
    pub async fn start_attempt(&self, run: &str, now: DateTime<Utc>) -> Result<u32, StoreError> {
        let sql = "UPDATE runs SET attempts = attempts + 1, alive_until_ms = $1 WHERE id = $2
            RETURNING attempts";
        let row = sqlx::query(sql)
            .bind(now.timestamp_millis() + ALIVE_MS)
            .bind(run)
            .fetch_one(&self.pool)
            .await
            .map_err(self.wrap())?;
        let attempts: i64 = row.try_get("attempts").map_err(self.wrap())?;
        Ok(u32::try_from(attempts).unwrap_or(u32::MAX))
    }

    /// Says that the run goes on.
    pub async fn heartbeat(&self, run: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query("UPDATE runs SET alive_until_ms = $1 WHERE id = $2")
            .bind(now.timestamp_millis() + ALIVE_MS)
            .bind(run)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// Records the run as it stands: while it goes on, and when it ends.
    pub async fn save_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        sqlx::query("UPDATE runs SET state = $1, document = $2 WHERE id = $3")
            .bind(run.state.name())
            .bind(to_document(run))
            .bind(&run.id)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// Marks runs that stopped giving a sign of life as failed; how many there were.
    pub async fn abandon_dead_runs(&self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        let sql = "SELECT id, document FROM runs WHERE state = $1 AND alive_until_ms < $2";
        let rows = sqlx::query(sql)
            .bind(RunState::Running.name())
            .bind(now.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        for row in &rows {
            let mut run = self.read_row(row)?;
            run.state = RunState::Failed;
            run.error = Some("the program was stopped before this run ended".to_owned());
            self.save_run(&run).await?;
        }
        Ok(rows.len())
    }

    /// The run whose id starts so.
    pub async fn find_run(&self, prefix: &str) -> Result<Found, StoreError> {
        let rows = sqlx::query(
            "SELECT id, document FROM runs WHERE substr(id, 1, length($1)) = $1 ORDER BY id",
        )
        .bind(prefix)
        .fetch_all(&self.pool)
        .await
        .map_err(self.wrap())?;
        Ok(match rows.as_slice() {
            [] => Found::None,
            [one] => Found::One(Box::new(self.read_row(one)?)),
            many => {
                let ids = many.iter().map(|row| Ok(self.read_row(row)?.id));
                Found::Many(ids.collect::<Result<_, StoreError>>()?)
            }
        })
    }

    /// Runs, newest first; of one job or of all.
    pub async fn runs(&self, job: Option<&str>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let sql = "SELECT id, document FROM runs WHERE $1 = '' OR job = $1
            ORDER BY created_ms DESC, id LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(job.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        rows.iter().map(|row| self.read_row(row)).collect()
    }

    /// The newest run of each job.
    pub async fn last_runs(&self) -> Result<BTreeMap<String, RunRecord>, StoreError> {
        let sql = "SELECT id, document FROM runs AS r WHERE created_ms =
            (SELECT MAX(created_ms) FROM runs AS s WHERE s.job = r.job)";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let runs = rows
            .iter()
            .map(|row| self.read_row(row).map(|run| (run.job.clone(), run)));
        runs.collect()
    }

    fn read_row(&self, row: &AnyRow) -> Result<RunRecord, StoreError> {
        let id: String = row.try_get("id").map_err(self.wrap())?;
        let document: String = row.try_get("document").map_err(self.wrap())?;
        serde_json::from_str(&document).map_err(|source| StoreError::Document {
            file: self.file.clone(),
            id,
            source,
        })
    }
}

fn to_document(run: &RunRecord) -> String {
    serde_json::to_string(run).expect("a record has string keys only")
}
