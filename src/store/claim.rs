//! Claiming: a run that waits goes to one runner, under a fencing token that grows with every claim.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Attempt, Store, StoreError,
    group::Entry,
    plan::{instant, together},
};
use crate::domain::run::Trigger;

/// How often more runs are looked at where those before were nothing for this runner.
const LOOKS: usize = 16;

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
    /// The attempt that begins with it.
    pub attempt: Attempt,
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

impl Store {
    /// Claims up to `limit` runs that are due, of those that `may_take` allows, one of each job, none of
    /// a job that has a run under way. The most urgent first. An attempt of each begins with that: to begin it
    /// by itself would be one more wait for the disk.
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
            "SELECT id, job, tick_ms, trigger_name, attempts, interrupted FROM runs WHERE state = 'queued'
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
        let attempts: i64 = row.try_get("attempts").map_err(self.wrap())?;
        let interrupted: i64 = row.try_get("interrupted").map_err(self.wrap())?;
        Ok(Claimed {
            attempt: Attempt::of(attempts + 1, interrupted),
            id: row.try_get("id").map_err(self.wrap())?,
            job: row.try_get("job").map_err(self.wrap())?,
            tick: instant(row.try_get("tick_ms").map_err(self.wrap())?),
            trigger: Trigger::parse(&trigger).ok_or_else(|| self.unknown("trigger", &trigger))?,
        })
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
        let places: Vec<String> = (0..runs.len()).map(|n| format!("${}", n + 5)).collect();
        let places = places.join(", ");
        let update = format!(
            "UPDATE runs SET state = 'running', fence = fence + 1, attempts = attempts + 1,
            runner = $1, process = $2, alive_until_ms = $3 WHERE state = 'queued'
            AND id IN ({places}) RETURNING id, fence"
        );
        let insert = format!(
            "INSERT INTO attempts (run_id, number, started_ms) SELECT id, attempts, $4 FROM runs
            WHERE state = 'running' AND runner = $1 AND id IN ({places})"
        );
        let rows = store.both(tx, [update, insert], |query| {
            let query = query
                .bind(self.runner)
                .bind(self.process.map(str::to_owned))
                .bind(store.alive_until(self.now))
                .bind(self.now.timestamp_millis());
            runs.iter().fold(query, |query, run| query.bind(&run.id))
        });
        for row in rows.await? {
            let id = row.try_get("id").map_err(store.wrap())?;
            fences.insert(id, row.try_get("fence").map_err(store.wrap())?);
        }
        Ok(())
    }
}
