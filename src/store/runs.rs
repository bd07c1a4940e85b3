//! Runs: how they begin and end, and what is read of them.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Store, StoreError,
    give_back::DOUBT,
    group::Entry,
    hold::taken_over,
    outcomes::{Change, RunOutcome},
    plan::instant,
};
use crate::domain::run::{DeliveryState, RunRecord, RunState, Trigger, WindowRecord};

/// A run that is about to start.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// The instant it is for.
    pub tick: DateTime<Utc>,
    /// SHA-256 of the job's definition.
    pub definition_hash: &'a str,
    /// Who runs it, as far as the machine says.
    pub process: Option<&'a str>,
    /// Its record so far.
    pub record: &'a RunRecord,
    /// The present instant.
    pub now: DateTime<Utc>,
}

/// A run that counts as running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// Its job.
    pub job: String,
    /// Why it exists; `None`: a newer program knows.
    pub trigger: Option<Trigger>,
    /// Who runs it, as far as its machine said.
    pub process: Option<String>,
    /// It counts as dead after this, unless it gives a further sign of life.
    pub alive_until: DateTime<Utc>,
    /// The `serve` that claimed it; `None`: it was begun by hand.
    pub runner: Option<String>,
    /// The token of its runner.
    pub fence: i64,
    /// How often it was taken from a runner that was lost.
    pub deaths: i64,
    /// Whether somebody wants it cancelled.
    pub is_cancelled: bool,
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
        let sql = "INSERT INTO runs (id, job, tick_ms, tick, trigger_name, state, window_start,
            window_end, timezone, created_ms, alive_until_ms, definition_hash,
            process, attempts, requests, retries, row_count, duration_ms)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, 0, 0)
            ON CONFLICT DO NOTHING";
        let now = run.now.timestamp_millis();
        let done = sqlx::query(sql)
            .bind(&run.record.id)
            .bind(&run.record.job)
            .bind(run.tick.timestamp_millis())
            .bind(&run.record.tick)
            .bind(run.record.trigger.name())
            .bind(run.record.state.name())
            .bind(&run.record.window.start)
            .bind(&run.record.window.end)
            .bind(&run.record.window.timezone)
            .bind(now)
            .bind(self.alive_until(run.now))
            .bind(run.definition_hash)
            .bind(run.process.map(str::to_owned))
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        let is_new = done.rows_affected() == 1;
        if is_new {
            self.set_fence(&run.record.id, 1);
        }
        Ok(is_new)
    }

    /// Records how the run ended, with all its steps, artifacts and deliveries, and with what it means for
    /// its job: of both or of neither somebody can be told.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: the run is another's now.
    pub async fn end_run(
        &self,
        run: &RunRecord,
        outcome: Option<RunOutcome<'_>>,
        now: DateTime<Utc>,
    ) -> Result<Change, StoreError> {
        let fence = self.fence_of(&run.id);
        let change = self.enter(RunEnd { run, outcome, now }).await?;
        self.drop_fence(&run.id, fence);
        Ok(change)
    }

    /// Runs that count as running.
    pub async fn running(&self) -> Result<Vec<Running>, StoreError> {
        let sql = "SELECT id, job, trigger_name, process, alive_until_ms, runner, fence, cancel_ms,
            deaths FROM runs WHERE state = 'running'";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        rows.iter().map(|row| self.read_running(row)).collect()
    }

    pub(super) fn read_running(&self, row: &AnyRow) -> Result<Running, StoreError> {
        let alive: i64 = row.try_get("alive_until_ms").map_err(self.wrap())?;
        let cancelled: Option<i64> = row.try_get("cancel_ms").map_err(self.wrap())?;
        Ok(Running {
            id: row.try_get("id").map_err(self.wrap())?,
            job: row.try_get("job").map_err(self.wrap())?,
            trigger: Trigger::parse(row.try_get("trigger_name").map_err(self.wrap())?),
            process: row.try_get("process").map_err(self.wrap())?,
            alive_until: instant(alive),
            runner: row.try_get("runner").map_err(self.wrap())?,
            fence: row.try_get("fence").map_err(self.wrap())?,
            deaths: row.try_get("deaths").map_err(self.wrap())?,
            is_cancelled: cancelled.is_some(),
        })
    }

    /// The run whose id starts so, in full.
    pub async fn find_run(&self, prefix: &str) -> Result<Found, StoreError> {
        let sql = "SELECT * FROM runs WHERE substr(id, 1, length($1)) = $1 ORDER BY id";
        let rows = sqlx::query(sql)
            .bind(prefix)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let mut runs = self.in_full(&rows).await?;
        Ok(match runs.len() {
            0 => Found::None,
            1 => Found::One(Box::new(runs.remove(0))),
            _ => Found::Many(runs.into_iter().map(|run| run.id).collect()),
        })
    }

    /// Runs in full, newest first; of one job or of all.
    pub async fn runs(&self, job: Option<&str>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        let sql = "SELECT * FROM runs WHERE $1 = '' OR job = $1
            ORDER BY created_ms DESC, id LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(job.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        self.in_full(&rows).await
    }

    /// The newest run of each job, in full.
    pub async fn last_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let sql = "SELECT * FROM runs AS r WHERE id = (SELECT id FROM runs AS s
            WHERE s.job = r.job ORDER BY created_ms DESC, id LIMIT 1) ORDER BY job";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        self.in_full(&rows).await
    }

    async fn in_full(&self, rows: &[AnyRow]) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs = Vec::new();
        for row in rows {
            let mut run = self.read_run(row)?;
            run.steps = self.steps_of(&run.id).await?;
            run.artifacts = self.artifacts_of(&run.id).await?;
            run.deliveries = self.deliveries_of(&run.id).await?;
            runs.push(run);
        }
        Ok(runs)
    }

    fn read_run(&self, row: &AnyRow) -> Result<RunRecord, StoreError> {
        let text = |name: &str| row.try_get::<String, _>(name).map_err(self.wrap());
        let state = text("state")?;
        let trigger = text("trigger_name")?;
        Ok(RunRecord {
            id: text("id")?,
            job: text("job")?,
            tick: text("tick")?,
            state: RunState::parse(&state).ok_or_else(|| self.unknown("state", &state))?,
            trigger: Trigger::parse(&trigger).ok_or_else(|| self.unknown("trigger", &trigger))?,
            window: WindowRecord {
                start: text("window_start")?,
                end: text("window_end")?,
                timezone: text("timezone")?,
            },
            attempts: u32::try_from(self.count(row, "attempts")?).unwrap_or(u32::MAX),
            requests: self.count(row, "requests")?,
            retries: self.count(row, "retries")?,
            rows: self.count(row, "row_count")?,
            duration_ms: self.count(row, "duration_ms")?,
            steps: Vec::new(),
            artifacts: Vec::new(),
            deliveries: Vec::new(),
            error: row.try_get("error").map_err(self.wrap())?,
        })
    }

    /// A column that is never negative.
    pub(super) fn count(&self, row: &AnyRow, name: &str) -> Result<u64, StoreError> {
        let value: i64 = row.try_get(name).map_err(self.wrap())?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    pub(super) fn unknown(&self, what: &'static str, found: &str) -> StoreError {
        StoreError::Unknown {
            file: self.file.clone(),
            what,
            found: found.to_owned(),
        }
    }
}

/// The end of a run.
struct RunEnd<'a> {
    run: &'a RunRecord,
    outcome: Option<RunOutcome<'a>>,
    now: DateTime<Utc>,
}

impl Entry for RunEnd<'_> {
    type Answer = Change;

    /// The outcome of the job so far.
    const READS_FIRST: bool = true;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<Change, StoreError> {
        let run = self.run;
        let is_doubted = self.close(store, tx).await?;
        // Whatever the ledger still says is being handed over, nobody hands over any more
        if is_doubted {
            let known = store.end_known(tx, &run.id, &run.deliveries, self.now);
            known.await?;
        }
        if is_doubted && store.doubt_deliveries(tx, &run.id).await? > 0 {
            let error = match &run.error {
                Some(error) => format!("{error}; {DOUBT}"),
                None => DOUBT.to_owned(),
            };
            sqlx::query("UPDATE runs SET error = $1 WHERE id = $2")
                .bind(error)
                .bind(&run.id)
                .execute(&mut *tx)
                .await
                .map_err(store.wrap())?;
        }
        let steps = run.steps.iter().enumerate();
        store.insert_steps(tx, &run.id, steps).await?;
        store
            .insert_artifacts(tx, &run.id, 0, &run.artifacts)
            .await?;
        store
            .insert_deliveries(tx, &run.id, 0, &run.deliveries)
            .await?;
        match self.outcome {
            Some(outcome) => store.insert_outcome(tx, outcome, self.now).await,
            None => Ok(Change::None),
        }
    }
}

impl RunEnd<'_> {
    /// Closes the run, which must be this runner's, and its attempt; whether a mail of it is still
    /// being handed over.
    async fn close(&self, store: &Store, tx: &mut AnyConnection) -> Result<bool, StoreError> {
        let run = self.run;
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let update = "UPDATE runs SET state = $1, attempts = $2, requests = $3, retries = $4,
            row_count = $5, duration_ms = $6, error = $7, ended_ms = $8
            WHERE id = $9 AND fence = $10 AND state = 'running'
            RETURNING CASE WHEN EXISTS (SELECT 1 FROM deliveries AS d WHERE d.run_id = runs.id
            AND d.state = $11) THEN 1 ELSE 0 END AS is_doubted";
        let close =
            "UPDATE attempts SET ended_ms = $8, error = $7 WHERE run_id = $9 AND ended_ms IS NULL";
        let rows = store.both(tx, [update.to_owned(), close.to_owned()], |query| {
            query
                .bind(run.state.name())
                .bind(i64::from(run.attempts))
                .bind(whole(run.requests))
                .bind(whole(run.retries))
                .bind(whole(run.rows))
                .bind(whole(run.duration_ms))
                .bind(run.error.clone())
                .bind(self.now.timestamp_millis())
                .bind(&run.id)
                .bind(store.fence_of(&run.id))
                .bind(DeliveryState::Pending.name())
        });
        let rows = rows.await?;
        let row = rows.first().ok_or_else(|| taken_over(&run.id))?;
        let is_doubted: i64 = row.try_get("is_doubted").map_err(store.wrap())?;
        Ok(is_doubted == 1)
    }
}
