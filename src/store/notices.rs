//! Notices: what somebody is to be told of a run, kept until somebody was.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{
    Store, StoreError,
    outcomes::Change,
    plan::{instant, query},
};

/// How long a notice may take to be sent; after that it counts as not sent.
const SENDING: TimeDelta = TimeDelta::minutes(5);

/// The pause before a notice is tried again by itself; it doubles each time.
const PAUSE: TimeDelta = TimeDelta::minutes(1);

/// The longest of these pauses.
const LONGEST: TimeDelta = TimeDelta::hours(6);

/// After this nobody is told any more.
const STALE: TimeDelta = TimeDelta::days(7);

/// So often a notice is tried at outcomes of its job, however soon they come; then only when it is time.
const EAGER: u64 = 5;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// A change of the job's outcome, other than none.
    Outcome(Change),
    /// Nobody knows whether a mail arrived.
    InDoubt,
    /// Ticks should have run, and did not.
    Missed,
    /// The run has done its work.
    Succeeded,
    /// The same, for a dead-man switch.
    Ping,
}

/// Who is told. What the same ones are told they are told in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receivers {
    /// Those of `on_failure`.
    OnFailure,
    /// Those of `on_recovery`.
    OnRecovery,
    /// Those of `on_success`.
    OnSuccess,
    /// The dead-man switch.
    Ping,
}

/// Why it is looked what is to be told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Something was added: what failed before is tried with it, the first few times.
    News,
    /// Time has passed.
    Time,
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
            Self::Succeeded => "succeeded",
            Self::Ping => "ping",
        }
    }

    /// Who is told.
    pub fn receivers(self) -> Receivers {
        match self {
            Self::Outcome(Change::Recovered { .. }) => Receivers::OnRecovery,
            Self::Outcome(_) | Self::InDoubt | Self::Missed => Receivers::OnFailure,
            Self::Succeeded => Receivers::OnSuccess,
            Self::Ping => Receivers::Ping,
        }
    }

    fn parse(kind: &str, failures: u64, since: DateTime<Utc>) -> Option<Self> {
        Some(match kind {
            "fails" => Self::Outcome(Change::Fails),
            "still_fails" => Self::Outcome(Change::StillFails { failures, since }),
            "recovered" => Self::Outcome(Change::Recovered { failures, since }),
            "in_doubt" => Self::InDoubt,
            "missed" => Self::Missed,
            "succeeded" => Self::Succeeded,
            "ping" => Self::Ping,
            _ => return None,
        })
    }
}

impl Store {
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
            News::Outcome(Change::Recovered { .. }) => {
                // The failure is for others to hear
                "kind = 'recovered' AND run_id <> $2"
            }
            News::Missed => "kind = 'missed' AND run_id <> $2",
            News::Ping => "kind = 'ping' AND run_id <> $2",
            // Each is told, as long as they are not too many
            News::Succeeded => {
                "kind = 'succeeded' AND run_id <> $2 AND run_id NOT IN (SELECT run_id FROM notices
                WHERE job = $1 AND kind = 'succeeded' ORDER BY added_ms DESC, run_id LIMIT 99)"
            }
        };
        let sql = format!("DELETE FROM notices WHERE job = $1 AND {outdated}");
        query(sql)
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

    /// Takes the signs of life back that a dead-man switch was not given yet: the job has failed since.
    pub(super) async fn drop_pings(
        &self,
        tx: &mut AnyConnection,
        job: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM notices WHERE job = $1 AND kind = 'ping'")
            .bind(job)
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

    /// What is to be told of a job next, the oldest of each receiver's, but for those that have `failed`
    /// just now. What nobody could be told before waits for its time, or for news. Whoever takes it says how
    /// that ended.
    pub async fn take_notice(
        &self,
        job: &str,
        occasion: Occasion,
        failed: &BTreeSet<Receivers>,
        now: DateTime<Utc>,
    ) -> Result<Option<Notice>, StoreError> {
        let sql =
            "SELECT run_id, kind, failures, since_ms, added_ms, due_ms, sending_until_ms, tries
            FROM notices WHERE job = $1 ORDER BY added_ms, kind, run_id";
        let rows = sqlx::query(sql)
            .bind(job)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())?;
        let mut behind = failed.clone();
        for row in &rows {
            let time = |name: &str| row.try_get(name).map(instant).map_err(self.wrap());
            // A newer program may know more kinds, and tells them itself
            let Some(notice) = self.read_notice(row)? else {
                continue;
            };
            if time("added_ms")? < now - STALE {
                self.end_notice(&notice, true).await?;
                continue;
            }
            let is_first = behind.insert(notice.news.receivers());
            let is_eager = occasion == Occasion::News && self.count(row, "tries")? < EAGER;
            let may = time("sending_until_ms")? <= now && (is_eager || time("due_ms")? <= now);
            if is_first && may && self.note_telling(&notice, row, now).await? {
                return Ok(Some(notice));
            }
        }
        Ok(None)
    }

    /// `false`: somebody else was faster.
    async fn note_telling(
        &self,
        notice: &Notice,
        row: &AnyRow,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let tries: i64 = row.try_get("tries").map_err(self.wrap())?;
        let doubled = u32::try_from(tries).unwrap_or(0).min(16);
        let pause = (PAUSE * 2_i32.pow(doubled)).min(LONGEST);
        let sql = "UPDATE notices SET sending_until_ms = $1, due_ms = $2, tries = tries + 1
            WHERE run_id = $3 AND kind = $4 AND tries = $5 AND sending_until_ms <= $6";
        let done = sqlx::query(sql)
            .bind((now + SENDING).timestamp_millis())
            .bind((now + pause).timestamp_millis())
            .bind(&notice.run)
            .bind(notice.news.kind())
            .bind(tries)
            .bind(now.timestamp_millis())
            .execute(&self.pool)
            .await
            .map_err(self.wrap())?;
        Ok(done.rows_affected() == 1)
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
