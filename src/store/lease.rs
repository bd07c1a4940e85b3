//! Leases: one holder of a name at a time, until it gives it back or stops renewing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Running, Store, StoreError};

impl Store {
    /// Takes the lease `name` until `now + ttl`; `false` where somebody else holds it.
    pub async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO leases (name, owner, until_ms, fence) VALUES ($1, $2, $3, $5)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms,
            fence = excluded.fence
            WHERE leases.until_ms <= $4 OR (leases.owner = $2 AND leases.fence <= $5)";
        let done = sqlx::query(sql)
            .bind(name)
            .bind(owner)
            .bind(until(now, ttl))
            .bind(now.timestamp_millis())
            .bind(self.fence_of(owner))
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
    }

    /// The run that holds a lease; `None` where nobody does.
    pub async fn lease_holder(&self, name: &str) -> Result<Option<Running>, StoreError> {
        let sql =
            "SELECT r.id, r.job, r.trigger_name, r.process, r.alive_until_ms, r.runner, r.fence,
            r.cancel_ms, r.deaths FROM leases AS l JOIN runs AS r ON r.id = l.owner WHERE l.name = $1";
        let row = sqlx::query(sql)
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.wrap())?;
        row.map(|row| self.read_running(&row)).transpose()
    }

    /// Prolongs all leases of an owner; how many it still holds.
    pub async fn renew_leases(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE leases SET until_ms = $1 WHERE owner = $2 AND fence = $3")
            .bind(until(now, ttl))
            .bind(owner)
            .bind(self.fence_of(owner))
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected())
    }

    /// Gives all leases of an owner back.
    pub async fn release_leases(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM leases WHERE owner = $1 AND fence = $2")
            .bind(owner)
            .bind(self.fence_of(owner))
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
