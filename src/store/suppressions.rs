//! Addresses that get no mail, whatever a job says.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError};

/// An address that gets no mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// In lower case.
    pub address: String,
    /// Why, as somebody wrote it; may be empty.
    pub reason: String,
    /// Since when.
    pub added: DateTime<Utc>,
}

impl Store {
    /// Puts an address on the list; `false`: it was there, and has the new reason.
    pub async fn suppress(
        &self,
        address: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin_write().await?;
        let known = self.suppression(&mut tx, address).await?.is_some();
        let sql = "INSERT INTO suppressions (address, reason, added_ms) VALUES ($1, $2, $3)
            ON CONFLICT (address) DO UPDATE SET reason = excluded.reason";
        sqlx::query(sql)
            .bind(address)
            .bind(reason)
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(!known)
    }

    /// Takes an address off the list; `false`: it was not there.
    pub async fn unsuppress(&self, address: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM suppressions WHERE address = $1")
            .bind(address)
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() > 0)
    }

    /// The list, by address.
    pub async fn suppressions(&self) -> Result<Vec<Suppression>, StoreError> {
        let sql = "SELECT address, reason, added_ms FROM suppressions ORDER BY address";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let read = |row: &sqlx::any::AnyRow| -> Result<Suppression, StoreError> {
            let added: i64 = row.try_get("added_ms").map_err(self.wrap())?;
            Ok(Suppression {
                address: row.try_get("address").map_err(self.wrap())?,
                reason: row.try_get("reason").map_err(self.wrap())?,
                added: DateTime::from_timestamp_millis(added).unwrap_or_default(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Why an address gets no mail; `None`: it does.
    pub(super) async fn suppression(
        &self,
        tx: &mut AnyConnection,
        address: &str,
    ) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT reason FROM suppressions WHERE address = $1")
            .bind(address)
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        row.map(|row| row.try_get("reason").map_err(self.wrap()))
            .transpose()
    }
}
