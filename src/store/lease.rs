//! Leases: one holder of a name at a time, until it gives it back or stops renewing.

use std::time::Duration;

use chrono::{DateTime, Utc};

use sqlx::AnyConnection;

use super::{Running, Store, StoreError, group::Entry};
use crate::domain::run::RunState;

impl Store {
    /// Takes the lease `name` until `now + ttl`; `false` where somebody else holds it.
    pub async fn acquire_lease(
        &self,
        name: &str,
        owner: &str,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let take = LeaseTake {
            name,
            owner,
            now,
            ttl,
        };
        self.enter(take).await
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
        self.enter(LeaseRenewal { owner, now, ttl }).await
    }

    /// Takes a lease from a run that is over, and whose process is gone without giving it back;
    /// whether it did.
    pub async fn clear_lease(&self, name: &str, gone: &Running) -> Result<bool, StoreError> {
        self.enter(LeaseClearing { name, gone }).await
    }

    /// Gives all leases of an owner back.
    pub async fn release_leases(&self, owner: &str) -> Result<(), StoreError> {
        self.enter(LeaseRelease { owner }).await
    }
}

/// A lease that somebody wants.
struct LeaseTake<'a> {
    name: &'a str,
    owner: &'a str,
    now: DateTime<Utc>,
    ttl: Duration,
}

impl Entry for LeaseTake<'_> {
    /// Whether he has it.
    type Answer = bool;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<bool, StoreError> {
        let sql = "INSERT INTO leases (name, owner, until_ms, fence) VALUES ($1, $2, $3, $5)
            ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until_ms = excluded.until_ms,
            fence = excluded.fence
            WHERE leases.until_ms <= $4 OR (leases.owner = $2 AND leases.fence <= $5)";
        let done = sqlx::query(sql)
            .bind(self.name)
            .bind(self.owner)
            .bind(until(self.now, self.ttl))
            .bind(self.now.timestamp_millis())
            .bind(store.fence_of(self.owner))
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(done.rows_affected() == 1)
    }
}

/// Leases that are prolonged.
struct LeaseRenewal<'a> {
    owner: &'a str,
    now: DateTime<Utc>,
    ttl: Duration,
}

impl Entry for LeaseRenewal<'_> {
    /// How many.
    type Answer = u64;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE leases SET until_ms = $1 WHERE owner = $2 AND fence = $3")
            .bind(until(self.now, self.ttl))
            .bind(self.owner)
            .bind(store.fence_of(self.owner))
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(done.rows_affected())
    }
}

/// Leases that are given back.
struct LeaseRelease<'a> {
    owner: &'a str,
}

impl Entry for LeaseRelease<'_> {
    type Answer = ();

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM leases WHERE owner = $1 AND fence = $2")
            .bind(self.owner)
            .bind(store.fence_of(self.owner))
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(())
    }
}

/// A lease that nobody is there to give back.
struct LeaseClearing<'a> {
    name: &'a str,
    gone: &'a Running,
}

impl Entry for LeaseClearing<'_> {
    /// Whether it was still there.
    type Answer = bool;

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<bool, StoreError> {
        // Whoever takes the run up meanwhile has a higher fence
        let sql = "DELETE FROM leases WHERE name = $1 AND owner = $2 AND fence <= $3
            AND NOT EXISTS (SELECT 1 FROM runs WHERE id = $2 AND state = $4)";
        let done = sqlx::query(sql)
            .bind(self.name)
            .bind(&self.gone.id)
            .bind(self.gone.fence)
            .bind(RunState::Running.name())
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(done.rows_affected() == 1)
    }
}

fn until(now: DateTime<Utc>, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    now.timestamp_millis().saturating_add(ttl)
}
