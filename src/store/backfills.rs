//! How far backfills have come, so that one that was stopped goes on where it stood.

use std::collections::BTreeSet;

use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// The units that a backfill has done.
    pub async fn backfilled(&self, backfill: &str) -> Result<BTreeSet<String>, StoreError> {
        let rows = sqlx::query("SELECT unit FROM backfill_units WHERE backfill = $1")
            .bind(backfill)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let units = rows
            .iter()
            .map(|row| row.try_get("unit").map_err(self.wrap()));
        units.collect()
    }

    /// Notes that a backfill has done these units.
    pub async fn note_backfilled(
        &self,
        backfill: &str,
        units: impl Iterator<Item = &String>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_change().await?;
        for unit in units {
            let sql = "INSERT INTO backfill_units (backfill, unit) VALUES ($1, $2)
                ON CONFLICT DO NOTHING";
            sqlx::query(sql)
                .bind(backfill)
                .bind(unit)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        tx.commit().await.map_err(self.wrap())
    }

    /// Forgets a backfill that is over.
    pub async fn forget_backfill(&self, backfill: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM backfill_units WHERE backfill = $1")
            .bind(backfill)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}
