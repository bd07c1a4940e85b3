//! Claiming: a run that waits goes to one runner, under a fencing token that grows with every claim.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Any, Row, Transaction, any::AnyRow};

use super::{Running, Store, StoreError, outcomes::RunOutcome, plan::instant};
use crate::domain::run::{RunState, StepState, Trigger};

/// When its runner is lost for this time a run is given up: whatever it does, it takes the program down.
const MOST_DEATHS: i64 = 10;

/// What is said of mails that were handed over without a record of how that ended.
pub(super) const DOUBT: &str = "it handed a mail over when it was stopped, which may have been sent: see `show`, ask, then `resend --unknown`";

/// A run that this runner has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its id.
    pub id: String,
    /// The job's name.
    pub job: String,
    /// The instant it is for.
    pub tick: DateTime<Utc>,
    /// Why it exists.
    pub trigger: Trigger,
}

/// What a run hears when it says that it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It may.
    GoesOn,
    /// Somebody wants it cancelled.
    Cancelled,
}

/// Runs that are not over, of all runners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenRuns {
    /// Runs that wait.
    pub queued: u64,
    /// Runs under way.
    pub running: u64,
    /// How long the oldest run that is due has waited; zero where none waits.
    pub oldest_due: TimeDelta,
}

/// What a run that goes back to the queue has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The attempt that is under way: it failed.
    Attempt,
    /// Nothing: it was interrupted.
    Nothing,
}

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
    /// Claims up to `limit` runs that are due, of those that `may_take` allows, one of each job, none of
    /// a job that has a run under way. The most urgent first.
    pub async fn claim(
        &self,
        runner: &str,
        process: Option<&str>,
        labels: &[String],
        limit: usize,
        may_take: impl Fn(&Claimed) -> bool + Send,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut tx = self.begin_write().await?;
        let rows = self.claimable(&mut tx, labels, limit, now).await?;
        let mut claimed: Vec<Claimed> = Vec::new();
        for row in &rows {
            let run = self.read_claimed(row)?;
            let is_free = !claimed.iter().any(|other| other.job == run.job);
            if claimed.len() < limit && is_free && may_take(&run) {
                let fence = self.take(&mut tx, &run.id, runner, process, now).await?;
                self.set_fence(&run.id, Some(fence));
                claimed.push(run);
            }
        }
        tx.commit().await.map_err(self.wrap())?;
        Ok(claimed)
    }

    /// Whether runs wait that are due.
    pub async fn has_due(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM runs WHERE state = 'queued' AND not_before_ms <= $1 LIMIT 1";
        let row = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .fetch_optional(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(row.is_some())
    }

    /// How many runs are not over.
    pub async fn open_runs(&self, now: DateTime<Utc>) -> Result<OpenRuns, StoreError> {
        let sql = "SELECT COALESCE(SUM(CASE WHEN state = 'queued' THEN 1 ELSE 0 END), 0) AS queued,
            COALESCE(SUM(CASE WHEN state = 'running' THEN 1 ELSE 0 END), 0) AS running,
            COALESCE(MIN(CASE WHEN state = 'queued' AND not_before_ms <= $1 THEN not_before_ms
            END), $1) AS oldest FROM runs WHERE state IN ('queued', 'running')";
        let row = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .fetch_one(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(OpenRuns {
            queued: self.count(&row, "queued")?,
            running: self.count(&row, "running")?,
            oldest_due: now - instant(row.try_get("oldest").map_err(self.wrap())?),
        })
    }

    async fn claimable(
        &self,
        tx: &mut Transaction<'static, Any>,
        labels: &[String],
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let likes = (0..labels.len()).map(|n| format!(" OR runs_on LIKE ${}", n + 3));
        let sql = format!(
            "SELECT id, job, tick_ms, trigger_name FROM runs WHERE state = 'queued'
            AND not_before_ms <= $1 AND (runs_on = ''{}) AND NOT EXISTS (SELECT 1 FROM runs AS r
            WHERE r.state = 'running' AND r.job = runs.job AND r.trigger_name <> 'backfill'
            AND r.alive_until_ms >= $1) ORDER BY priority, tick_ms, id LIMIT $2",
            likes.collect::<String>()
        );
        // Several of one job may wait, and jobs that this runner does not know
        let most = i64::try_from(limit.saturating_mul(4).saturating_add(200)).unwrap_or(i64::MAX);
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(now.timestamp_millis())
            .bind(most);
        let query = labels
            .iter()
            .fold(query, |query, label| query.bind(format!("%,{label},%")));
        query.fetch_all(&mut **tx).await.map_err(self.wrap())
    }

    async fn take(
        &self,
        tx: &mut Transaction<'static, Any>,
        run: &str,
        runner: &str,
        process: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<i64, StoreError> {
        let sql = "UPDATE runs SET state = 'running', fence = fence + 1, runner = $1, process = $2,
            alive_until_ms = $3 WHERE id = $4 RETURNING fence";
        let row = sqlx::query(sql)
            .bind(runner)
            .bind(process.map(str::to_owned))
            .bind(self.alive_until(now))
            .bind(run)
            .fetch_one(&mut **tx)
            .await
            .map_err(self.wrap())?;
        row.try_get("fence").map_err(self.wrap())
    }

    fn read_claimed(&self, row: &AnyRow) -> Result<Claimed, StoreError> {
        let trigger: String = row.try_get("trigger_name").map_err(self.wrap())?;
        Ok(Claimed {
            id: row.try_get("id").map_err(self.wrap())?,
            job: row.try_get("job").map_err(self.wrap())?,
            tick: instant(row.try_get("tick_ms").map_err(self.wrap())?),
            trigger: Trigger::parse(&trigger).ok_or_else(|| self.unknown("trigger", &trigger))?,
        })
    }

    /// Gives a claimed run back: it waits again, until `not_before`. Its leases are free. An attempt that
    /// was interrupted keeps its number, and does not count among those that `retry` allows.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's already.
    pub async fn hand_back(
        &self,
        run: &str,
        not_before: DateTime<Utc>,
        spent: Spent,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_held(run).await?;
        let closed = self.close_attempt(&mut tx, run, error, now).await?;
        let interrupted = if spent == Spent::Nothing { closed } else { 0 };
        let sql =
            "UPDATE runs SET state = 'queued', runner = NULL, process = NULL, alive_until_ms = 0,
            not_before_ms = $1, error = $2, interrupted = interrupted + $4 WHERE id = $3";
        sqlx::query(sql)
            .bind(not_before.timestamp_millis())
            .bind(error.map(str::to_owned))
            .bind(run)
            .bind(interrupted)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        sqlx::query("DELETE FROM leases WHERE owner = $1")
            .bind(run)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())?;
        self.set_fence(run, None);
        Ok(())
    }

    /// Takes a run from a runner that is gone, unless it has given a sign of life since it was seen.
    /// A run that was claimed from the queue waits again, for any runner; another is marked as failed, which whoever
    /// meets the job next tells. Its leases are free, and what its runner may still write is fenced off.
    pub async fn abandon(&self, dead: &Running, now: DateTime<Utc>) -> Result<bool, StoreError> {
        // One that was begun by hand in a process of its own has nobody who would take it up
        let was_claimed = dead.runner.is_some();
        let waits = was_claimed && !dead.is_cancelled && dead.deaths + 1 < MOST_DEATHS;
        let (state, error) = match (waits, dead.is_cancelled, was_claimed) {
            (true, _, _) => (RunState::Queued, "its runner was cut off; it runs again"),
            (false, true, _) => (RunState::Cancelled, "cancelled"),
            (false, false, true) => (
                RunState::Failed,
                "each of the runners that took it was cut off: it is given up; see their logs",
            ),
            (false, false, false) => (
                RunState::Failed,
                "the program was stopped before this run ended; run the job again",
            ),
        };
        let mut tx = self.begin_write().await?;
        let sql = "UPDATE runs SET state = $1, error = $2, fence = fence + 1, runner = NULL,
            process = NULL, not_before_ms = $3, ended_ms = $4, deaths = deaths + 1
            WHERE id = $5 AND state = $6 AND fence = $7 AND alive_until_ms = $8";
        let done = sqlx::query(sql)
            .bind(state.name())
            .bind(error)
            .bind(now.timestamp_millis())
            .bind((!waits).then_some(now.timestamp_millis()))
            .bind(&dead.id)
            .bind(RunState::Running.name())
            .bind(dead.fence)
            .bind(dead.alive_until.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let closed = self.close_attempt(&mut tx, &dead.id, Some(error), now);
        let closed = closed.await?;
        sqlx::query("UPDATE runs SET interrupted = interrupted + $1 WHERE id = $2")
            .bind(closed)
            .bind(&dead.id)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        if self.doubt_deliveries(&mut tx, &dead.id).await? > 0 {
            sqlx::query("UPDATE runs SET error = error || $1 WHERE id = $2")
                .bind(format!("; {DOUBT}"))
                .bind(&dead.id)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        if !waits {
            let is_told_of = !dead.is_cancelled && dead.trigger != Some(Trigger::Backfill);
            let outcome = RunOutcome {
                run: &dead.id,
                job: &dead.job,
                has_failed: is_told_of.then_some(true),
            };
            self.insert_outcome(&mut tx, outcome, now).await?;
        }
        sqlx::query("UPDATE steps SET state = $1 WHERE state = $2 AND run_id = $3")
            .bind(StepState::Cancelled.name())
            .bind(StepState::Pending.name())
            .bind(&dead.id)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        sqlx::query("DELETE FROM leases WHERE owner = $1")
            .bind(&dead.id)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(true)
    }

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

    /// Says that the run goes on; hears whether it may.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's now.
    pub async fn heartbeat(&self, run: &str, now: DateTime<Utc>) -> Result<Sign, StoreError> {
        let sql = "UPDATE runs SET alive_until_ms = $1 WHERE id = $2 AND fence = $3
            AND state = 'running' RETURNING CASE WHEN cancel_ms IS NULL THEN 0 ELSE 1 END AS is_cancelled";
        let row = sqlx::query(sql)
            .bind(self.alive_until(now))
            .bind(run)
            .bind(self.fence_of(run))
            .fetch_optional(&self.pool)
            .await
            .map_err(self.wrap())?;
        let row = row.ok_or_else(|| taken_over(run))?;
        let is_cancelled: i64 = row.try_get("is_cancelled").map_err(self.wrap())?;
        Ok(if is_cancelled == 1 {
            Sign::Cancelled
        } else {
            Sign::GoesOn
        })
    }

    /// Begins a transaction in which a run stays this runner's.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's already.
    pub(super) async fn begin_held(
        &self,
        run: &str,
    ) -> Result<Transaction<'static, Any>, StoreError> {
        let mut tx = match self.backend {
            super::open::Backend::Sqlite => self.begin_write().await?,
            // The row's own lock is enough
            super::open::Backend::Postgres => self.pool.begin().await.map_err(self.wrap())?,
        };
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
        Ok(tx)
    }

    /// Makes sure that a run is this runner's. One that this store neither created nor claimed, or that
    /// is over or handed back, is not: a run by hand has its token from [`Store::create_run`].
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is not.
    pub(super) async fn must_hold(
        &self,
        tx: &mut Transaction<'static, Any>,
        run: &str,
    ) -> Result<(), StoreError> {
        let sql = "SELECT id FROM runs WHERE id = $1 AND fence = $2 AND state = 'running'";
        let held = sqlx::query(sql)
            .bind(run)
            .bind(self.fence_of(run))
            .fetch_optional(&mut **tx)
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
