//! Leases: one holder of a name at a time, until it gives it back or stops renewing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Store, StoreError};

impl Store {
    /// Takes the lease `name` until `now + ttl`; `false` where somebody else holds it.
    pub async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO leases (name, owner, until_ms) VALUES ($1, $2, $3)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms
            WHERE leases.until_ms <= $4 OR leases.owner = $2";
        let done = sqlx::query(sql)
            .bind(name)
            .bind(owner)
            .bind(until(now, ttl))
            .bind(now.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    /// Prolongs a lease; `false` where somebody else has taken it.
    pub async fn renew_lease(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE leases SET until_ms = $1 WHERE name = $2 AND owner = $3")
            .bind(until(now, ttl))
            .bind(name)
            .bind(owner)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a lease back; nothing happens where somebody else holds it.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM leases WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(owner)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}

fn until(now: DateTime<Utc>, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    now.timestamp_millis().saturating_add(ttl)
}
