//! The delivery ledger: a mail goes out once per job, report, website, window and recipient.

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::{AnyConnection, Row};

use super::{Store, StoreError};
use crate::domain::{
    recipients::identity,
    run::{DeliveryRecord, DeliveryState, RunState},
};

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

/// How a sending ended. `Pending` takes it back: it surely was not handed over.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The delivery.
    pub key: &'a DeliveryKey,
    /// Which sending of it, from 1.
    pub number: u32,
    /// Of which run.
    pub handing: Handing<'a>,
    /// How.
    pub record: &'a DeliveryRecord,
}

/// A mail that is about to be handed over.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    /// The delivery.
    pub key: &'a DeliveryKey,
    /// Of which run.
    pub handing: Handing<'a>,
    /// Makes the id of a number of the sending.
    pub message_id: &'a (dyn Fn(u32) -> String + Send + Sync),
}

/// Which sending of a run asks.
#[derive(Debug, Clone, Copy)]
pub struct Handing<'a> {
    /// The run.
    pub run: &'a str,
    /// Its place among the run's deliveries.
    pub place: usize,
    /// What it will be sent as.
    pub subject: &'a str,
    /// Whether an earlier sending counts.
    pub again: Again,
}

/// Whether a mail is sent that was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Never by itself.
    No,
    /// If it is unknown whether it arrived.
    WhereUnknown,
    /// In any case.
    Always,
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
    /// The recipient is on the suppression list.
    Suppressed {
        /// Why, as somebody wrote it.
        reason: String,
    },
}

/// The last sending of a mail.
struct Last {
    number: i64,
    state: Option<DeliveryState>,
    subject: String,
    message_id: String,
    is_alive: bool,
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

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Next");
        shown
            .field("key", &self.key)
            .field("handing", &self.handing);
        shown.finish_non_exhaustive()
    }
}

impl Store {
    /// Asks whether a mail may be handed over, and records it as pending if so.
    ///
    /// # Errors
    /// The store cannot be reached, or somebody else has taken the run over.
    pub async fn begin_delivery(
        &self,
        key: &DeliveryKey,
        handing: Handing<'_>,
        message_id: impl Fn(u32) -> String + Send + Sync,
        now: DateTime<Utc>,
    ) -> Result<Begin, StoreError> {
        let next = Next {
            key,
            handing,
            message_id: &message_id,
        };
        let mut begun = self.turn_over(&[], &[next], now).await?;
        Ok(begun.remove(0))
    }

    /// Records how sendings ended.
    ///
    /// # Errors
    /// The store cannot be reached.
    pub async fn finish_deliveries(
        &self,
        ended: &[Ended<'_>],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.try_to_turn_over(ended, &[], now).await.map(drop)
    }

    /// Records how sendings ended, then asks of each mail that is next whether it may be handed over, and
    /// records it as pending if so; of several that ask at once, one gets [`Begin::Send`]. The disk is
    /// waited for once. Ends are recorded also where nothing may begin: they are true.
    ///
    /// # Errors
    /// The store cannot be reached, or somebody else has taken the run over.
    pub async fn turn_over(
        &self,
        ended: &[Ended<'_>],
        next: &[Next<'_>],
        now: DateTime<Utc>,
    ) -> Result<Vec<Begin>, StoreError> {
        let turned = self.try_to_turn_over(ended, next, now).await;
        if let (Err(_), false, false) = (&turned, ended.is_empty(), next.is_empty()) {
            // What was begun is taken back; how others ended is not
            if let Err(error) = self.finish_deliveries(ended, now).await {
                tracing::warn!(%error, "how mails ended could not be recorded");
            }
        }
        turned
    }

    async fn try_to_turn_over(
        &self,
        ended: &[Ended<'_>],
        next: &[Next<'_>],
        now: DateTime<Utc>,
    ) -> Result<Vec<Begin>, StoreError> {
        let mut tx = self.begin_write().await?;
        for ended in ended {
            self.end_one(&mut tx, ended, now).await?;
        }
        let mut begun = Vec::with_capacity(next.len());
        for next in next {
            begun.push(self.begin_one(&mut tx, next, now).await?);
        }
        tx.commit().await.map_err(self.wrap())?;
        Ok(begun)
    }

    async fn begin_one(
        &self,
        tx: &mut AnyConnection,
        next: &Next<'_>,
        now: DateTime<Utc>,
    ) -> Result<Begin, StoreError> {
        let (key, handing) = (next.key, next.handing);
        self.must_hold(tx, handing.run).await?;
        let last = self.last_sending(tx, key, now).await?;
        if let Some(earlier) = last.as_ref().and_then(|last| last.forbids(handing.again)) {
            if let Begin::Unknown { .. } = earlier {
                self.doubt(tx, key).await?;
            }
            return Ok(earlier);
        }
        let reason = self.suppression(tx, &key.recipient).await?;
        let number = last.map_or(1, |last| last.number + 1);
        let shown = u32::try_from(number).unwrap_or(u32::MAX);
        let state = match reason {
            None => DeliveryState::Pending,
            // It is on the list as long as it is; one entry in the ledger is enough
            Some(reason) if number > 1 => return Ok(Begin::Suppressed { reason }),
            Some(_) => DeliveryState::Refused,
        };
        let sql = "INSERT INTO deliveries (job, report, website_id, window_start, window_end,
            timezone, recipient, number, state, run_id, subject, message_id, error, changed_ms, fence)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
            COALESCE((SELECT fence FROM runs WHERE id = $10), 1))";
        let id = (next.message_id)(shown);
        keyed!(sql.to_owned(), key)
            .bind(number)
            .bind(state.name())
            .bind(handing.run)
            .bind(handing.subject)
            .bind(&id)
            .bind(reason.clone())
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        if reason.is_none() {
            self.name_message(tx, handing, &id).await?;
        }
        Ok(match reason {
            None => Begin::Send(shown),
            Some(reason) => Begin::Suppressed { reason },
        })
    }

    /// What the ledger says against handing a mail over; `None`: nothing. Records nothing.
    pub async fn delivery_so_far(
        &self,
        key: &DeliveryKey,
        again: Again,
        now: DateTime<Utc>,
    ) -> Result<Option<Begin>, StoreError> {
        let mut tx = self.pool.begin().await.map_err(self.wrap())?;
        let last = self.last_sending(&mut tx, key, now).await?;
        Ok(last.and_then(|last| last.forbids(again)))
    }

    async fn last_sending(
        &self,
        tx: &mut AnyConnection,
        key: &DeliveryKey,
        now: DateTime<Utc>,
    ) -> Result<Option<Last>, StoreError> {
        let sql = format!(
            "SELECT d.number, d.state, d.subject, d.message_id,
             CASE WHEN r.state = '{}' AND r.alive_until_ms >= $8
             AND r.fence = d.fence THEN 1 ELSE 0 END AS alive
             FROM deliveries AS d LEFT JOIN runs AS r ON r.id = d.run_id
             WHERE d.{} ORDER BY d.number DESC LIMIT 1",
            RunState::Running.name(),
            KEY.replace(" AND ", " AND d."),
        );
        let row = keyed!(sql, key)
            .bind(now.timestamp_millis())
            .fetch_optional(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let Some(row) = row else { return Ok(None) };
        let state: String = row.try_get("state").map_err(self.wrap())?;
        let alive: i64 = row.try_get("alive").map_err(self.wrap())?;
        Ok(Some(Last {
            number: row.try_get("number").map_err(self.wrap())?,
            state: DeliveryState::parse(&state),
            subject: row.try_get("subject").map_err(self.wrap())?,
            message_id: row.try_get("message_id").map_err(self.wrap())?,
            is_alive: alive == 1,
        }))
    }

    /// A sending that nobody will finish.
    async fn doubt(&self, tx: &mut AnyConnection, key: &DeliveryKey) -> Result<(), StoreError> {
        let sql = format!("UPDATE deliveries SET state = $8 WHERE {KEY} AND state = $9");
        keyed!(sql, key)
            .bind(DeliveryState::Unknown.name())
            .bind(DeliveryState::Pending.name())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// What a run was about to hand over when it died may have been sent: how many mails.
    pub(super) async fn doubt_deliveries(
        &self,
        tx: &mut AnyConnection,
        run: &str,
    ) -> Result<u64, StoreError> {
        let (pending, unknown) = (DeliveryState::Pending.name(), DeliveryState::Unknown.name());
        let sql =
            "UPDATE run_deliveries SET state = $1, error = $2 WHERE run_id = $3 AND state = $4
            AND message_id IN (SELECT message_id FROM deliveries WHERE run_id = $3 AND state = $4)";
        sqlx::query(sql)
            .bind(unknown)
            .bind("the program was stopped while it handed the mail over")
            .bind(run)
            .bind(pending)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let done = sqlx::query("UPDATE deliveries SET state = $1 WHERE run_id = $2 AND state = $3")
            .bind(unknown)
            .bind(run)
            .bind(pending)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected())
    }

    /// What a run knows of its mails as it ends, of those that the ledger still has as being handed over: it
    /// could not be told before.
    pub(super) async fn end_known(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        known: &[DeliveryRecord],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE deliveries SET state = $1, error = $2, changed_ms = $3
            WHERE run_id = $4 AND state = $5 AND message_id = $6 AND recipient = $7";
        let is_over = |d: &&DeliveryRecord| {
            matches!(
                d.state,
                DeliveryState::Sent | DeliveryState::Refused | DeliveryState::Unknown
            )
        };
        for record in known.iter().filter(is_over) {
            sqlx::query(sql)
                .bind(record.state.name())
                .bind(record.error.clone())
                .bind(now.timestamp_millis())
                .bind(run)
                .bind(DeliveryState::Pending.name())
                .bind(&record.message_id)
                .bind(identity(&record.to))
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        Ok(())
    }

    /// What is true is recorded, whoever has taken the run over since.
    async fn end_one(
        &self,
        tx: &mut AnyConnection,
        ended: &Ended<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (key, end) = (ended.key, ended.record);
        let query = if end.state == DeliveryState::Pending {
            // Another runner may have begun it again since
            let sql = format!(
                "DELETE FROM deliveries WHERE {KEY} AND number = $8 AND state = $9 AND run_id = $10
                 AND fence = $11"
            );
            keyed!(sql, key)
                .bind(i64::from(ended.number))
                .bind(DeliveryState::Pending.name())
                .bind(ended.handing.run)
                .bind(self.fence_of(ended.handing.run))
        } else {
            let sql = format!(
                "UPDATE deliveries SET state = $9, error = $10, changed_ms = $11, message_id = $12
                 WHERE {KEY} AND number = $8"
            );
            keyed!(sql, key)
                .bind(i64::from(ended.number))
                .bind(end.state.name())
                .bind(end.error.clone())
                .bind(now.timestamp_millis())
                .bind(&end.message_id)
        };
        query.execute(&mut *tx).await.map_err(self.wrap())?;
        let records = std::slice::from_ref(end);
        self.insert_deliveries(tx, ended.handing.run, ended.handing.place, records)
            .await
    }

    /// The state of the last sending of a mail; `None`: it was never handed over.
    pub async fn delivery_state(
        &self,
        key: &DeliveryKey,
        now: DateTime<Utc>,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let mut tx = self.pool.begin().await.map_err(self.wrap())?;
        let last = self.last_sending(&mut tx, key, now).await?;
        Ok(last.and_then(|last| last.state))
    }
}

impl Last {
    /// Why the mail may not be sent now; `None`: it may.
    fn forbids(&self, again: Again) -> Option<Begin> {
        let (subject, message_id) = (self.subject.clone(), self.message_id.clone());
        match (self.state, again) {
            (Some(DeliveryState::Pending), _) if self.is_alive => Some(Begin::InFlight),
            (Some(DeliveryState::Refused), _) | (_, Again::Always) => None,
            (Some(DeliveryState::Sent), _) => Some(Begin::AlreadySent {
                subject,
                message_id,
            }),
            (_, Again::WhereUnknown) => None,
            (_, Again::No) => Some(Begin::Unknown {
                subject,
                message_id,
            }),
        }
    }
}
