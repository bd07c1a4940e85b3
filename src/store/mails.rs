//! Which archived mail each delivery of a run sent.

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{Handing, Store, StoreError};

impl Store {
    /// Says which archived mail a run's deliveries send, each by its place.
    pub async fn set_mails(
        &self,
        run: &str,
        mails: impl IntoIterator<Item = (usize, &str)> + Send,
    ) -> Result<(), StoreError> {
        let mails: Vec<_> = mails.into_iter().collect();
        let mut tx = self.begin_write().await?;
        self.must_hold(&mut tx, run).await?;
        for (place, mail) in mails {
            sqlx::query("UPDATE run_deliveries SET mail = $1 WHERE run_id = $2 AND place = $3")
                .bind(mail)
                .bind(run)
                .bind(i64::try_from(place).unwrap_or(i64::MAX))
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        tx.commit().await.map_err(self.wrap())
    }

    /// The archived mail of each delivery of a run, in order; `None`: none is kept any more.
    pub async fn mails_of(&self, run: &str) -> Result<Vec<Option<String>>, StoreError> {
        let rows = sqlx::query("SELECT mail FROM run_deliveries WHERE run_id = $1 ORDER BY place")
            .bind(run)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let read = |row: &sqlx::any::AnyRow| row.try_get("mail").map_err(self.wrap());
        rows.iter().map(read).collect()
    }

    /// Forgets the mails of runs that began before `since`; how many deliveries had one.
    pub async fn forget_mails(&self, since: DateTime<Utc>) -> Result<u64, StoreError> {
        let sql = "UPDATE run_deliveries SET mail = NULL WHERE mail IS NOT NULL
            AND run_id IN (SELECT id FROM runs WHERE created_ms < $1)";
        let done = sqlx::query(sql)
            .bind(since.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected())
    }

    /// Every archived mail that a delivery names.
    pub async fn kept_mails(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT mail FROM run_deliveries WHERE mail IS NOT NULL";
        let rows = sqlx::query(sql)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let read = |row: &sqlx::any::AnyRow| row.try_get("mail").map_err(self.wrap());
        rows.iter().map(read).collect()
    }

    /// Under which Message-ID a delivery is about to be handed over.
    pub(super) async fn name_message(
        &self,
        tx: &mut AnyConnection,
        handing: Handing<'_>,
        message_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE run_deliveries SET message_id = $1 WHERE run_id = $2 AND place = $3")
            .bind(message_id)
            .bind(handing.run)
            .bind(i64::try_from(handing.place).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}
