//! Claiming: a run that waits goes to one runner, under a fencing token that grows with every claim.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Running, Store, StoreError,
    group::{Entry, Writing},
    outcomes::RunOutcome,
    plan::{instant, query, together},
};
use crate::domain::run::{RunState, StepState, Trigger};

/// When its runner is lost for this time a run is given up: whatever it does, it takes the program down.
const MOST_DEATHS: i64 = 10;

/// How often more runs are looked at where those before were nothing for this runner.
const LOOKS: usize = 16;

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

impl Store {
    /// Claims up to `limit` runs that are due, of those that `may_take` allows, one of each job, none of
    /// a job that has a run under way. The most urgent first.
    pub async fn claim(
        &self,
        runner: &str,
        process: Option<&str>,
        labels: &[String],
        limit: usize,
        may_take: impl Fn(&Claimed) -> bool + Send + Sync,
        now: DateTime<Utc>,
    ) -> Result<Vec<Claimed>, StoreError> {
        let claim = Claim {
            runner,
            process,
            labels,
            limit,
            may_take,
            now,
        };
        let taken = self.enter(claim).await?;
        for (run, fence) in &taken {
            self.set_fence(&run.id, *fence);
        }
        Ok(taken.into_iter().map(|(run, _)| run).collect())
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
        tx: &mut AnyConnection,
        labels: &[String],
        most: usize,
        but: &BTreeSet<String>,
        now: DateTime<Utc>,
    ) -> Result<Vec<AnyRow>, StoreError> {
        let likes = (0..labels.len()).map(|n| format!(" OR runs_on LIKE ${}", n + 3));
        let others: Vec<String> = (0..but.len())
            .map(|n| format!("${}", n + 3 + labels.len()))
            .collect();
        let others = match others.as_slice() {
            [] => String::new(),
            others => format!(" AND job NOT IN ({})", others.join(", ")),
        };
        let sql = format!(
            "SELECT id, job, tick_ms, trigger_name FROM runs WHERE state = 'queued'
            AND not_before_ms <= $1 AND (runs_on = ''{}){} AND NOT EXISTS (SELECT 1 FROM runs AS r
            WHERE r.state = 'running' AND r.job = runs.job AND r.trigger_name <> 'backfill'
            AND r.alive_until_ms >= $1) ORDER BY priority, tick_ms, id LIMIT $2",
            likes.collect::<String>(),
            others,
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(now.timestamp_millis())
            .bind(i64::try_from(most).unwrap_or(i64::MAX));
        let query = labels
            .iter()
            .fold(query, |query, label| query.bind(format!("%,{label},%")));
        let query = but.iter().fold(query, sqlx::query::Query::bind);
        query.fetch_all(&mut *tx).await.map_err(self.wrap())
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
        let back = HandBack {
            run,
            not_before,
            spent,
            error,
            now,
        };
        let fence = self.fence_of(run);
        self.enter(back).await?;
        self.drop_fence(run, fence);
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
        self.add_interrupted(&mut tx, &dead.id, closed).await?;
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
                also: &[],
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

/// Runs that one runner takes.
struct Claim<'a, May> {
    runner: &'a str,
    process: Option<&'a str>,
    labels: &'a [String],
    limit: usize,
    may_take: May,
    now: DateTime<Utc>,
}

impl<May: Fn(&Claimed) -> bool + Send + Sync> Entry for Claim<'_, May> {
    /// With the fencing token of each.
    type Answer = Vec<(Claimed, i64)>;

    const READS_FIRST: bool = true;

    async fn write(
        &self,
        store: &Store,
        tx: &mut AnyConnection,
    ) -> Result<Self::Answer, StoreError> {
        let runs = self.choose(store, tx).await?;
        let mut fences = BTreeMap::new();
        for some in together(&runs) {
            self.take(store, tx, some, &mut fences).await?;
        }
        let with_fence = |run: Claimed| fences.remove(&run.id).map(|fence| (run, fence));
        Ok(runs.into_iter().filter_map(with_fence).collect())
    }
}

impl<May: Fn(&Claimed) -> bool + Send + Sync> Claim<'_, May> {
    /// The most urgent that it may take. Several of one job may wait, and jobs that this runner does
    /// not know: where the first few are not enough, more are looked at, of other jobs.
    async fn choose(
        &self,
        store: &Store,
        tx: &mut AnyConnection,
    ) -> Result<Vec<Claimed>, StoreError> {
        let more = self.limit.saturating_mul(4).saturating_add(200);
        let mut runs = Vec::new();
        let mut jobs = BTreeSet::new();
        for turn in 0..LOOKS {
            let most = if turn == 0 { self.limit } else { more };
            let rows = store.claimable(tx, self.labels, most, &jobs, self.now);
            let rows = rows.await?;
            for row in &rows {
                let run = store.read_claimed(row)?;
                let is_first = jobs.insert(run.job.clone());
                if is_first && runs.len() < self.limit && (self.may_take)(&run) {
                    runs.push(run);
                }
            }
            if runs.len() == self.limit || rows.len() < most {
                break;
            }
        }
        Ok(runs)
    }

    async fn take(
        &self,
        store: &Store,
        tx: &mut AnyConnection,
        runs: &[Claimed],
        fences: &mut BTreeMap<String, i64>,
    ) -> Result<(), StoreError> {
        let places: Vec<String> = (0..runs.len()).map(|n| format!("${}", n + 4)).collect();
        let sql = format!(
            "UPDATE runs SET state = 'running', fence = fence + 1, runner = $1, process = $2,
            alive_until_ms = $3 WHERE state = 'queued' AND id IN ({}) RETURNING id, fence",
            places.join(", ")
        );
        let query = query(sql)
            .bind(self.runner)
            .bind(self.process.map(str::to_owned))
            .bind(store.alive_until(self.now));
        let query = runs.iter().fold(query, |query, run| query.bind(&run.id));
        for row in query.fetch_all(&mut *tx).await.map_err(store.wrap())? {
            let id = row.try_get("id").map_err(store.wrap())?;
            fences.insert(id, row.try_get("fence").map_err(store.wrap())?);
        }
        Ok(())
    }
}

/// A run that goes back to the queue.
struct HandBack<'a> {
    run: &'a str,
    not_before: DateTime<Utc>,
    spent: Spent,
    error: Option<&'a str>,
    now: DateTime<Utc>,
}

impl Entry for HandBack<'_> {
    type Answer = ();

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<(), StoreError> {
        let sql =
            "UPDATE runs SET state = CASE WHEN cancel_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
            ended_ms = CASE WHEN cancel_ms IS NULL THEN NULL ELSE CAST($5 AS BIGINT) END,
            error = CASE WHEN cancel_ms IS NULL THEN $2 ELSE 'cancelled' END, runner = NULL,
            process = NULL, alive_until_ms = 0, not_before_ms = $1
            WHERE id = $3 AND fence = $4 AND state = 'running'";
        let done = sqlx::query(sql)
            .bind(self.not_before.timestamp_millis())
            .bind(self.error.map(str::to_owned))
            .bind(self.run)
            .bind(store.fence_of(self.run))
            .bind(self.now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        if done.rows_affected() == 0 {
            return Err(taken_over(self.run));
        }
        let closed = store.close_attempt(tx, self.run, self.error, self.now);
        let closed = closed.await?;
        if self.spent == Spent::Nothing {
            store.add_interrupted(tx, self.run, closed).await?;
        }
        sqlx::query("DELETE FROM leases WHERE owner = $1")
            .bind(self.run)
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(())
    }
}

/// A sign of life of a run.
struct Heartbeat<'a> {
    run: &'a str,
    now: DateTime<Utc>,
}

impl Entry for Heartbeat<'_> {
    type Answer = Sign;

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
