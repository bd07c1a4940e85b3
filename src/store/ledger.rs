//! The delivery ledger: a mail goes out once per job, report, website, window and recipient.

use chrono::{DateTime, Utc};
use sqlx::Row;

use super::{Store, StoreError};
use crate::domain::run::{DeliveryState, RunState};

/// What makes a delivery one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryKey {
    /// The job's name.
    pub job: String,
    /// The report's name.
    pub report: String,
    /// The website's id.
    pub website_id: String,
    /// The window's first day.
    pub window_start: String,
    /// The window's last day.
    pub window_end: String,
    /// The zone of its days.
    pub timezone: String,
    /// The recipient's address, in lower case.
    pub recipient: String,
}

impl DeliveryKey {
    /// Its parts, in the order that Message-IDs derive from.
    pub fn parts(&self) -> [&str; 7] {
        [
            &self.job,
            &self.report,
            &self.website_id,
            &self.window_start,
            &self.window_end,
            &self.timezone,
            &self.recipient,
        ]
    }
}

/// Whether a mail may be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It may: it is recorded as pending under this number of the sending, from 1.
    Send(u32),
    /// It went out before.
    AlreadySent {
        /// As it was sent.
        subject: String,
        /// As it was sent.
        message_id: String,
    },
    /// It may have gone out before: the program died, or the connection, before that was known.
    Unknown {
        /// As it was handed over.
        subject: String,
        /// As it was handed over.
        message_id: String,
    },
    /// A run that is alive is sending it now.
    InFlight,
}

const KEY: &str = "job = $1 AND report = $2 AND website_id = $3 AND window_start = $4
    AND window_end = $5 AND timezone = $6 AND recipient = $7";

/// Binds the seven columns of a key.
macro_rules! keyed {
    ($sql:expr, $key:expr) => {
        sqlx::query(sqlx::AssertSqlSafe($sql))
            .bind(&$key.job)
            .bind(&$key.report)
            .bind(&$key.website_id)
            .bind(&$key.window_start)
            .bind(&$key.window_end)
            .bind(&$key.timezone)
            .bind(&$key.recipient)
    };
}

impl Store {
    /// Asks whether the mail may be handed over, and records it as pending if so; of several that
    /// ask at once, one gets [`Begin::Send`]. `message_id` makes the id of a number of the sending.
    pub async fn begin_delivery(
        &self,
        key: &DeliveryKey,
        run: &str,
        subject: &str,
        message_id: impl Fn(u32) -> String + Send,
        force: bool,
        now: DateTime<Utc>,
    ) -> Result<Begin, StoreError> {
        let mut tx = self.begin_write().await?;
        self.must_hold(&mut tx, run).await?;
        let sql = format!(
            "SELECT d.number, d.state, d.subject, d.message_id,
             CASE WHEN r.state = '{}' AND r.alive_until_ms >= $8
             AND r.fence = d.fence THEN 1 ELSE 0 END AS alive
             FROM deliveries AS d LEFT JOIN runs AS r ON r.id = d.run_id
             WHERE d.{} ORDER BY d.number DESC LIMIT 1",
            RunState::Running.name(),
            KEY.replace(" AND ", " AND d."),
        );
        let last = keyed!(sql, key)
            .bind(now.timestamp_millis())
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let mut number = 1;
        if let Some(row) = last {
            let state: String = row.try_get("state").map_err(self.wrap())?;
            let alive: i64 = row.try_get("alive").map_err(self.wrap())?;
            let before: i64 = row.try_get("number").map_err(self.wrap())?;
            let subject = row.try_get("subject").map_err(self.wrap())?;
            let message_id = row.try_get("message_id").map_err(self.wrap())?;
            number = u32::try_from(before).unwrap_or(u32::MAX - 1) + 1;
            match DeliveryState::parse(&state) {
                Some(DeliveryState::Pending) if alive == 1 => return Ok(Begin::InFlight),
                Some(DeliveryState::Refused) => {}
                _ if force => {}
                Some(DeliveryState::Sent) => {
                    return Ok(Begin::AlreadySent {
                        subject,
                        message_id,
                    });
                }
                _ => {
                    let sql =
                        format!("UPDATE deliveries SET state = $8 WHERE {KEY} AND number = $9");
                    keyed!(sql, key)
                        .bind(DeliveryState::Unknown.name())
                        .bind(before)
                        .execute(&mut *tx)
                        .await
                        .map_err(self.wrap())?;
                    tx.commit().await.map_err(self.wrap())?;
                    return Ok(Begin::Unknown {
                        subject,
                        message_id,
                    });
                }
            }
        }
        let sql = "INSERT INTO deliveries (job, report, website_id, window_start, window_end,
            timezone, recipient, number, state, run_id, subject, message_id, error, changed_ms, fence)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, $13,
            COALESCE((SELECT fence FROM runs WHERE id = $10), 1))";
        keyed!(sql.to_owned(), key)
            .bind(i64::from(number))
            .bind(DeliveryState::Pending.name())
            .bind(run)
            .bind(subject)
            .bind(message_id(number))
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(Begin::Send(number))
    }

    /// Records how a sending ended. `Pending` takes it back: it surely was not handed over.
    pub async fn finish_delivery(
        &self,
        key: &DeliveryKey,
        number: u32,
        state: DeliveryState,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let query = if state == DeliveryState::Pending {
            let sql = format!("DELETE FROM deliveries WHERE {KEY} AND number = $8");
            keyed!(sql, key).bind(i64::from(number))
        } else {
            let sql = format!(
                "UPDATE deliveries SET state = $9, error = $10, changed_ms = $11
                 WHERE {KEY} AND number = $8"
            );
            keyed!(sql, key)
                .bind(i64::from(number))
                .bind(state.name())
                .bind(error.map(str::to_owned))
                .bind(now.timestamp_millis())
        };
        query.execute(&self.pool).await.map_err(self.wrap())?;
        Ok(())
    }
}
