//! What belongs to a run: its steps, artifacts and deliveries, saved as it goes on.

use sqlx::{AnyConnection, Row, any::AnyRow};

use super::{Store, StoreError, group::Entry};
use crate::domain::run::{ArtifactRecord, DeliveryRecord, DeliveryState, StepRecord, StepState};

/// A place in a list as the database keeps it.
fn place(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What is saved of a run.
enum Parts<'a> {
    /// Each with its place.
    Steps(Vec<(usize, &'a StepRecord)>),
    /// From a place on.
    Artifacts(usize, &'a [ArtifactRecord]),
    /// From a place on.
    Deliveries(usize, &'a [DeliveryRecord]),
}

/// Parts of a run that is this runner's.
struct Saved<'a> {
    run: &'a str,
    parts: Parts<'a>,
}

impl Entry for Saved<'_> {
    type Answer = ();

    async fn write(&self, store: &Store, tx: &mut AnyConnection) -> Result<(), StoreError> {
        let run = self.run;
        store.hold(tx, run).await?;
        match &self.parts {
            Parts::Steps(steps) => store.insert_steps(tx, run, steps.iter().copied()).await,
            Parts::Artifacts(first, list) => store.insert_artifacts(tx, run, *first, list).await,
            Parts::Deliveries(first, list) => store.insert_deliveries(tx, run, *first, list).await,
        }
    }
}

impl Store {
    /// Saves steps of a run, each with its place in the plan.
    pub async fn save_steps(
        &self,
        run: &str,
        steps: impl IntoIterator<Item = (usize, &StepRecord)> + Send,
    ) -> Result<(), StoreError> {
        let steps = Parts::Steps(steps.into_iter().collect());
        self.enter(Saved { run, parts: steps }).await
    }

    pub(super) async fn insert_steps(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        steps: impl IntoIterator<Item = (usize, &StepRecord)> + Send,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO steps (run_id, place, query, website_id, link_id, start_day, end_day,
            state, row_count, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (run_id, place) DO UPDATE SET query = excluded.query,
            website_id = excluded.website_id, link_id = excluded.link_id,
            start_day = excluded.start_day, end_day = excluded.end_day, state = excluded.state,
            row_count = excluded.row_count, error = excluded.error";
        let steps: Vec<_> = steps.into_iter().collect();
        for (number, step) in steps {
            sqlx::query(sql)
                .bind(run)
                .bind(place(number))
                .bind(&step.query)
                .bind(step.website_id.clone())
                .bind(step.link_id.clone())
                .bind(&step.start)
                .bind(&step.end)
                .bind(step.state.name())
                .bind(whole(step.rows))
                .bind(step.error.clone())
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        Ok(())
    }

    /// Saves artifacts of a run, from the place `first` on.
    pub async fn save_artifacts(
        &self,
        run: &str,
        first: usize,
        artifacts: &[ArtifactRecord],
    ) -> Result<(), StoreError> {
        let parts = Parts::Artifacts(first, artifacts);
        self.enter(Saved { run, parts }).await
    }

    pub(super) async fn insert_artifacts(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        first: usize,
        artifacts: &[ArtifactRecord],
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO artifacts (run_id, place, query, website_id, link_id, path, row_count,
            bytes, sha256, written) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (run_id, place) DO UPDATE SET query = excluded.query,
            website_id = excluded.website_id, link_id = excluded.link_id, path = excluded.path,
            row_count = excluded.row_count, bytes = excluded.bytes, sha256 = excluded.sha256,
            written = CASE WHEN artifacts.path = excluded.path AND artifacts.sha256 = excluded.sha256
            AND artifacts.written = 1 THEN 1 ELSE excluded.written END";
        for (number, artifact) in artifacts.iter().enumerate() {
            sqlx::query(sql)
                .bind(run)
                .bind(place(first + number))
                .bind(&artifact.query)
                .bind(artifact.website_id.clone())
                .bind(artifact.link_id.clone())
                .bind(&artifact.path)
                .bind(whole(artifact.rows))
                .bind(whole(artifact.bytes))
                .bind(&artifact.sha256)
                .bind(i64::from(artifact.written))
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        Ok(())
    }

    /// Saves deliveries of a run, from the place `first` on.
    pub async fn save_deliveries(
        &self,
        run: &str,
        first: usize,
        deliveries: &[DeliveryRecord],
    ) -> Result<(), StoreError> {
        let parts = Parts::Deliveries(first, deliveries);
        self.enter(Saved { run, parts }).await
    }

    /// Forgets deliveries of a run from the place `count` on: a run that goes on may have fewer.
    pub async fn trim_deliveries(&self, run: &str, count: usize) -> Result<(), StoreError> {
        let mut tx = self.begin_held(run).await?;
        sqlx::query("DELETE FROM run_deliveries WHERE run_id = $1 AND place >= $2")
            .bind(run)
            .bind(place(count))
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        tx.commit().await.map_err(self.wrap())
    }

    pub(super) async fn insert_deliveries(
        &self,
        tx: &mut AnyConnection,
        run: &str,
        first: usize,
        deliveries: &[DeliveryRecord],
    ) -> Result<(), StoreError> {
        // A run that goes on may have other mails at the same places. A doubt stays one until more is known
        let same = "run_deliveries.recipient = excluded.recipient
            AND run_deliveries.report = excluded.report
            AND COALESCE(run_deliveries.website_id, '') = COALESCE(excluded.website_id, '')";
        let doubted = format!(
            "run_deliveries.state = '{}' AND excluded.state = '{}' AND {same}",
            DeliveryState::Unknown.name(),
            DeliveryState::Pending.name(),
        );
        let sql = format!(
            "INSERT INTO run_deliveries (run_id, place, report, website_id, recipient, subject,
            state, message_id, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (run_id, place) DO UPDATE SET report = excluded.report,
            website_id = excluded.website_id, recipient = excluded.recipient,
            subject = excluded.subject,
            mail = CASE WHEN {same} THEN run_deliveries.mail ELSE NULL END,
            state = CASE WHEN {doubted} THEN run_deliveries.state ELSE excluded.state END,
            error = CASE WHEN {doubted} THEN run_deliveries.error ELSE excluded.error END,
            message_id = CASE WHEN {doubted} THEN run_deliveries.message_id
            ELSE excluded.message_id END"
        );
        for (number, delivery) in deliveries.iter().enumerate() {
            sqlx::query(sqlx::AssertSqlSafe(sql.as_str()))
                .bind(run)
                .bind(place(first + number))
                .bind(&delivery.report)
                .bind(delivery.website_id.clone())
                .bind(&delivery.to)
                .bind(&delivery.subject)
                .bind(delivery.state.name())
                .bind(&delivery.message_id)
                .bind(delivery.error.clone())
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        Ok(())
    }

    pub(super) async fn steps_of(&self, run: &str) -> Result<Vec<StepRecord>, StoreError> {
        let rows = self.rows_of("steps", run).await?;
        let read = |row: &AnyRow| -> Result<StepRecord, StoreError> {
            let state: String = row.try_get("state").map_err(self.wrap())?;
            Ok(StepRecord {
                query: row.try_get("query").map_err(self.wrap())?,
                website_id: row.try_get("website_id").map_err(self.wrap())?,
                link_id: row.try_get("link_id").map_err(self.wrap())?,
                start: row.try_get("start_day").map_err(self.wrap())?,
                end: row.try_get("end_day").map_err(self.wrap())?,
                state: StepState::parse(&state).ok_or_else(|| self.unknown("state", &state))?,
                rows: self.count(row, "row_count")?,
                error: row.try_get("error").map_err(self.wrap())?,
            })
        };
        rows.iter().map(read).collect()
    }

    pub(super) async fn artifacts_of(&self, run: &str) -> Result<Vec<ArtifactRecord>, StoreError> {
        let rows = self.rows_of("artifacts", run).await?;
        let read = |row: &AnyRow| -> Result<ArtifactRecord, StoreError> {
            Ok(ArtifactRecord {
                query: row.try_get("query").map_err(self.wrap())?,
                website_id: row.try_get("website_id").map_err(self.wrap())?,
                link_id: row.try_get("link_id").map_err(self.wrap())?,
                path: row.try_get("path").map_err(self.wrap())?,
                rows: self.count(row, "row_count")?,
                bytes: self.count(row, "bytes")?,
                sha256: row.try_get("sha256").map_err(self.wrap())?,
                written: self.count(row, "written")? == 1,
            })
        };
        rows.iter().map(read).collect()
    }

    pub(super) async fn deliveries_of(&self, run: &str) -> Result<Vec<DeliveryRecord>, StoreError> {
        let rows = self.rows_of("run_deliveries", run).await?;
        let read = |row: &AnyRow| -> Result<DeliveryRecord, StoreError> {
            let state: String = row.try_get("state").map_err(self.wrap())?;
            Ok(DeliveryRecord {
                report: row.try_get("report").map_err(self.wrap())?,
                website_id: row.try_get("website_id").map_err(self.wrap())?,
                to: row.try_get("recipient").map_err(self.wrap())?,
                subject: row.try_get("subject").map_err(self.wrap())?,
                state: DeliveryState::parse(&state).ok_or_else(|| self.unknown("state", &state))?,
                message_id: row.try_get("message_id").map_err(self.wrap())?,
                error: row.try_get("error").map_err(self.wrap())?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn rows_of(&self, table: &'static str, run: &str) -> Result<Vec<AnyRow>, StoreError> {
        let sql = format!("SELECT * FROM {table} WHERE run_id = $1 ORDER BY place");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(run)
            .fetch_all(&self.pool)
            .await
            .map_err(self.wrap())
    }
}
