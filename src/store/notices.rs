//! Notices: what somebody is to be told of a run, kept until somebody was.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Store, StoreError, outcomes::Change, plan::instant};

/// How long a notice may take to be sent; after that it counts as not sent.
const SENDING: TimeDelta = TimeDelta::minutes(5);

/// The pause before a notice is tried again by itself; it doubles each time.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

/// The longest of these pauses.
const LONGEST: TimeDelta = TimeDelta::hours(6);

/// After this nobody is told any more.
const STALE: TimeDelta = TimeDelta::days(7);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A change of the job's outcome, other than none.
    Outcome(Change),
    /// Nobody knows whether a mail arrived.
    InDoubt,
    /// Ticks should have run, and did not.
    Missed,
}

/// What somebody is to be told of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The run.
    pub run: String,
    /// What is told of it.
    pub news: News,
}

impl News {
    fn kind(self) -> &'static str {
        match self {
            Self::Outcome(Change::None) => "none",
            Self::Outcome(Change::Fails) => "fails",
            Self::Outcome(Change::StillFails { .. }) => "still_fails",
            Self::Outcome(Change::Recovered { .. }) => "recovered",
            Self::InDoubt => "in_doubt",
            Self::Missed => "missed",
        }
    }

    fn parse(kind: &str, failures: u64, since: DateTime<Utc>) -> Option<Self> {
        Some(match kind {
            "fails" => Self::Outcome(Change::Fails),
            "still_fails" => Self::Outcome(Change::StillFails { failures, since }),
            "recovered" => Self::Outcome(Change::Recovered { failures, since }),
            "in_doubt" => Self::InDoubt,
            "missed" => Self::Missed,
            _ => return None,
        })
    }
}

impl Store {
    /// Keeps a notice of a job's run until somebody was told.
    pub async fn add_notice(
        &self,
        job: &str,
        notice: &Notice,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        self.insert_notice(&mut tx, job, notice, now).await?;
        tx.commit().await.map_err(self.wrap())
    }

    /// Notices that nobody was told yet and that say less than this one are forgotten: whoever was
    /// away for long hears of each thing once.
    pub(super) async fn insert_notice(
        &self,
        tx: &mut AnyConnection,
        job: &str,
        notice: &Notice,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let outdated = match notice.news {
            News::Outcome(Change::None) => return Ok(()),
            News::Outcome(Change::Fails | Change::StillFails { .. }) => {
                "kind IN ('fails', 'still_fails') AND run_id <> $2"
            }
            News::InDoubt => {
                "kind = 'in_doubt' AND run_id IN (SELECT r.id FROM runs AS r JOIN runs AS n
                ON n.id = $2 AND n.job = r.job AND n.window_start = r.window_start
                AND n.window_end = r.window_end AND n.timezone = r.timezone)"
            }
            News::Outcome(Change::Recovered { .. }) | News::Missed => "run_id = $2 AND 1 = 0",
        };
        let sql = format!("DELETE FROM notices WHERE job = $1 AND {outdated}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(job)
            .bind(&notice.run)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let (failures, since) = match notice.news {
            News::Outcome(
                Change::StillFails { failures, since } | Change::Recovered { failures, since },
            ) => (failures, since),
            _ => (1, now),
        };
        let sql = "INSERT INTO notices (run_id, kind, job, failures, since_ms, added_ms, due_ms,
            sending_until_ms, tries) VALUES ($1, $2, $3, $4, $5, $6, $6, 0, 0)
            ON CONFLICT DO NOTHING";
        sqlx::query(sql)
            .bind(&notice.run)
            .bind(notice.news.kind())
            .bind(job)
            .bind(i64::try_from(failures).unwrap_or(i64::MAX))
            .bind(since.timestamp_millis())
            .bind(now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    /// Jobs of which somebody is to be told something that it is time to try again.
    pub async fn jobs_to_tell(&self, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT job FROM notices WHERE due_ms <= $1 AND sending_until_ms <= $1
            ORDER BY job";
        let rows = sqlx::query(sql)
            .bind(now.timestamp_millis())
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let jobs: Result<_, sqlx::Error> = rows.iter().map(|row| row.try_get("job")).collect();
        jobs.map_err(self.wrap())
    }

    /// What is to be told of a job and nobody else is telling now, oldest first, whether or not it is time
    /// to try again. Whoever takes it says how that ended.
    pub async fn take_notices(
        &self,
        job: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<Notice>, StoreError> {
        let is_some = sqlx::query("SELECT job FROM notices WHERE job = $1 LIMIT 1")
            .bind(job)
            .fetch_optional(&self.pool)
            .await
            .map_err(self.wrap())?;
        if is_some.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.begin_write().await?;
        sqlx::query("DELETE FROM notices WHERE added_ms < $1")
            .bind((now - STALE).timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let sql = "SELECT run_id, kind, failures, since_ms, tries FROM notices WHERE job = $1
            AND sending_until_ms <= $2 ORDER BY added_ms, kind";
        let rows = sqlx::query(sql)
            .bind(job)
            .bind(now.timestamp_millis())
            .fetch_all(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let mut notices = Vec::new();
        for row in &rows {
            // A newer program may know more kinds, and tells them itself
            if let Some(notice) = self.read_notice(row)? {
                self.take_notice(&mut tx, row, now).await?;
                notices.push(notice);
            }
        }
        tx.commit().await.map_err(self.wrap())?;
        Ok(notices)
    }

    async fn take_notice(
        &self,
        tx: &mut AnyConnection,
        row: &AnyRow,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let run: String = row.try_get("run_id").map_err(self.wrap())?;
        let kind: String = row.try_get("kind").map_err(self.wrap())?;
        let tries = i32::try_from(self.count(row, "tries")?).unwrap_or(i32::MAX);
        let pause = (PAUSE * 2_i32.pow(tries.unsigned_abs().min(16))).min(LONGEST);
        let sql = "UPDATE notices SET sending_until_ms = $1, due_ms = $2, tries = tries + 1
            WHERE run_id = $3 AND kind = $4";
        sqlx::query(sql)
            .bind((now + SENDING).timestamp_millis())
            .bind((now + pause).timestamp_millis())
            .bind(run)
            .bind(kind)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }

    fn read_notice(&self, row: &AnyRow) -> Result<Option<Notice>, StoreError> {
        let kind: String = row.try_get("kind").map_err(self.wrap())?;
        let since = instant(row.try_get("since_ms").map_err(self.wrap())?);
        let news = News::parse(&kind, self.count(row, "failures")?, since);
        let run = row.try_get("run_id").map_err(self.wrap())?;
        Ok(news.map(|news| Notice { run, news }))
    }

    /// Says how telling ended: a notice that somebody was told is forgotten, another is tried again.
    pub async fn end_notice(&self, notice: &Notice, is_told: bool) -> Result<(), StoreError> {
        let sql = if is_told {
            "DELETE FROM notices WHERE run_id = $1 AND kind = $2"
        } else {
            "UPDATE notices SET sending_until_ms = 0 WHERE run_id = $1 AND kind = $2"
        };
        sqlx::query(sql)
            .bind(&notice.run)
            .bind(notice.news.kind())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(())
    }
}
