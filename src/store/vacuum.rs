//! Forgetting: runs that are long over, with all that belongs to them. The ledger of mails is kept as
//! long as the store lives: what was sent once is not sent again.

use chrono::{DateTime, Utc};
use sqlx::{Executor, Row};

use super::{Store, StoreError, open::Backend};

/// Runs that are removed in one transaction: others may write in between.
const TOGETHER: i64 = 500;

impl Store {
    /// Removes runs that were created before an instant and are over, except the newest of each job;
    /// how many. Space of `SQLite` is given back.
    pub async fn vacuum(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let some = self.remove_some(before).await?;
            if some == 0 {
                break;
            }
            removed += some;
        }
        // Of jobs that are no more nobody else removes them
        sqlx::query("DELETE FROM notices WHERE added_ms < $1")
            .bind(before.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        if self.backend == Backend::Sqlite {
            self.pool.execute("VACUUM").await.map_err(self.wrap())?;
        }
        Ok(removed)
    }

    async fn remove_some(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let mut tx = self.begin_write().await?;
        let sql = "SELECT id FROM runs WHERE created_ms < $1 AND state NOT IN ('queued', 'running')
            AND EXISTS (SELECT 1 FROM runs AS newer WHERE newer.job = runs.job
            AND newer.created_ms > runs.created_ms) LIMIT $2";
        let rows = sqlx::query(sql)
            .bind(before.timestamp_millis())
            .bind(TOGETHER)
            .fetch_all(&mut *tx)
            .await
            .map_err(self.wrap())?;
        for row in &rows {
            let id: String = row.try_get("id").map_err(self.wrap())?;
            for sql in [
                "DELETE FROM steps WHERE run_id = $1",
                "DELETE FROM artifacts WHERE run_id = $1",
                "DELETE FROM run_deliveries WHERE run_id = $1",
                "DELETE FROM attempts WHERE run_id = $1",
                "DELETE FROM leases WHERE owner = $1",
                "DELETE FROM runs WHERE id = $1",
            ] {
                let done = sqlx::query(sql).bind(&id).execute(&mut *tx).await;
                done.map_err(self.wrap())?;
            }
        }
        tx.commit().await.map_err(self.wrap())?;
        Ok(rows.len() as u64)
    }
}
