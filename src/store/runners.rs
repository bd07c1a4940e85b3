//! Who shares the work: runners that have given a sign of life lately.

use chrono::{DateTime, Utc};
use sqlx::{Row, any::AnyRow};

use super::{
    Store, StoreError,
    plan::{instant, labels},
};

/// A runner: a `serve` that takes runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Unique for each start.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// Which jobs of `runs_on` it may take.
    pub labels: Vec<String>,
    /// When it started.
    pub started: DateTime<Utc>,
}

impl Store {
    /// Says that a runner is there; how many are, with it.
    pub async fn sign_in(&self, runner: &Runner, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "INSERT INTO runners (id, name, labels, started_ms, alive_until_ms)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET alive_until_ms = excluded.alive_until_ms";
        sqlx::query(sql)
            .bind(&runner.id)
            .bind(&runner.name)
            .bind(labels(&runner.labels))
            .bind(runner.started.timestamp_millis())
            .bind(self.alive_until(now))
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(self.runners(now).await?.len() as u64)
    }

    /// Says that a runner goes; those that died are forgotten too.
    pub async fn sign_out(&self, runner: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM runners WHERE id = $1 OR alive_until_ms < $2")
            .bind(runner)
            .bind(now.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// The runners that are there, oldest first.
    pub async fn runners(&self, now: DateTime<Utc>) -> Result<Vec<Runner>, StoreError> {
        let sql = "SELECT id, name, labels, started_ms FROM runners WHERE alive_until_ms >= $1
            ORDER BY started_ms, id";
        let rows = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let read = |row: &AnyRow| {
            let labels: String = row.try_get("labels")?;
            let words = labels.split(',').filter(|label| !label.is_empty());
            Ok(Runner {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                labels: words.map(str::to_owned).collect(),
                started: instant(row.try_get("started_ms")?),
            })
        };
        let runners: Result<_, sqlx::Error> = rows.iter().map(read).collect();
        runners.map_err(self.wrap())
    }
}
