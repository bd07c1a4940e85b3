//! Runs that go back to the queue: handed back by their runner, or taken from one that is gone.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;

use super::{Running, Store, StoreError, group::Entry, hold::taken_over, outcomes::RunOutcome};
use crate::domain::run::{RunState, StepState, Trigger};

/// When its runner is lost for this time a run is given up: whatever it does, it takes the program down.
const MOST_DEATHS: i64 = 10;

/// What is said of mails that were handed over without a record of how that ended.
pub(super) const DOUBT: &str = "it handed a mail over when it was stopped, which may have been sent: see `show`, ask, then `resend --unknown`";

/// What a run that goes back to the queue has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// The attempt that is under way: it failed.
    Attempt,
    /// Nothing: it was interrupted.
    Nothing,
}

impl Store {
    /// Gives a claimed run back: it waits again, until `not_before`. Its leases are free. An attempt that
    /// was interrupted keeps its number, and does not count among those that `retry` allows.
    ///
    /// # Errors
    /// [`StoreError::TakenOver`]: it is another's already.
    pub async fn hand_back(
        &self,
        run: &str,
        not_before: DateTime<Utc>,
        spent: Spent,
        error: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let back = HandBack {
            run,
            not_before,
            spent,
            error,
            now,
        };
        let fence = self.fence_of(run);
        self.enter(back).await?;
        self.drop_fence(run, fence);
        Ok(())
    }

    /// Takes a run from a runner that is gone, unless it has given a sign of life since it was seen.
    /// A run that was claimed from the queue waits again, for any runner; another is marked as failed, which whoever
    /// meets the job next tells. Its leases are free, and what its runner may still write is fenced off.
    pub async fn abandon(&self, dead: &Running, now: DateTime<Utc>) -> Result<bool, StoreError> {
        // One that was begun by hand in a process of its own has nobody who would take it up
        let was_claimed = dead.runner.is_some();
        let waits = was_claimed && !dead.is_cancelled && dead.deaths + 1 < MOST_DEATHS;
        let (state, error) = match (waits, dead.is_cancelled, was_claimed) {
            (true, _, _) => (RunState::Queued, "its runner was cut off; it runs again"),
            (false, true, _) => (RunState::Cancelled, "cancelled"),
            (false, false, true) => (
                RunState::Failed,
                "each of the runners that took it was cut off: it is given up; see their logs",
            ),
            (false, false, false) => (
                RunState::Failed,
                "the program was stopped before this run ended; run the job again",
            ),
        };
        let mut tx = self.begin_write().await?;
        let sql = "UPDATE runs SET state = $1, error = $2, fence = fence + 1, runner = NULL,
            process = NULL, not_before_ms = $3, ended_ms = $4, deaths = deaths + 1
            WHERE id = $5 AND state = $6 AND fence = $7 AND alive_until_ms = $8";
        let done = sqlx::query(sql)
            .bind(state.name())
            .bind(error)
            .bind(now.timestamp_millis())
            .bind((!waits).then_some(now.timestamp_millis()))
            .bind(&dead.id)
            .bind(RunState::Running.name())
            .bind(dead.fence)
            .bind(dead.alive_until.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let closed = self.close_attempt(&mut tx, &dead.id, Some(error), now);
        let closed = closed.await?;
        self.add_interrupted(&mut tx, &dead.id, closed).await?;
        if self.doubt_deliveries(&mut tx, &dead.id).await? > 0 {
            sqlx::query("UPDATE runs SET error = error || $1 WHERE id = $2")
                .bind(format!("; {DOUBT}"))
                .bind(&dead.id)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        if !waits {
            let is_told_of = !dead.is_cancelled && dead.trigger != Some(Trigger::Backfill);
            let outcome = RunOutcome {
                run: &dead.id,
                job: &dead.job,
                has_failed: is_told_of.then_some(true),
                also: &[],
            };
            self.insert_outcome(&mut tx, outcome, now).await?;
        }
        sqlx::query("UPDATE steps SET state = $1 WHERE state = $2 AND run_id = $3")
            .bind(StepState::Cancelled.name())
            .bind(StepState::Pending.name())
            .bind(&dead.id)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        sqlx::query("DELETE FROM leases WHERE owner = $1")
            .bind(&dead.id)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())?;
        Ok(true)
    }
}

/// A run that goes back to the queue.
struct HandBack<'a> {
    run: &'a str,
    not_before: DateTime<Utc>,
    spent: Spent,
    error: Option<&'a str>,
    now: DateTime<Utc>,
}

impl Entry for HandBack<'_> {
    type Answer = ();

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<(), StoreError> {
        let sql =
            "UPDATE runs SET state = CASE WHEN cancel_ms IS NULL THEN 'queued' ELSE 'cancelled' END,
            ended_ms = CASE WHEN cancel_ms IS NULL THEN NULL ELSE CAST($5 AS BIGINT) END,
            error = CASE WHEN cancel_ms IS NULL THEN $2 ELSE 'cancelled' END, runner = NULL,
            process = NULL, alive_until_ms = 0, not_before_ms = $1
            WHERE id = $3 AND fence = $4 AND state = 'running'";
        let done = sqlx::query(sql)
            .bind(self.not_before.timestamp_millis())
            .bind(self.error.map(str::to_owned))
            .bind(self.run)
            .bind(store.fence_of(self.run))
            .bind(self.now.timestamp_millis())
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        if done.rows_affected() == 0 {
            return Err(taken_over(self.run));
        }
        let closed = store.close_attempt(tx, self.run, self.error, self.now);
        let closed = closed.await?;
        if self.spent == Spent::Nothing {
            store.add_interrupted(tx, self.run, closed).await?;
        }
        sqlx::query("DELETE FROM leases WHERE owner = $1")
            .bind(self.run)
            .execute(&mut *tx)
            .await
            .map_err(store.wrap())?;
        Ok(())
    }
}
