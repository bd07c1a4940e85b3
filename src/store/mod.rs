//! The run store: runs, leases and the delivery ledger, in `SQLite` through sqlx.

mod backfills;
mod error;
mod lease;
mod ledger;
mod parts;
mod runs;

pub use error::StoreError;
pub use ledger::{Begin, DeliveryKey};
pub use runs::{Found, NewRun, Running};

use std::path::{Path, PathBuf};

use sqlx::{AnyPool, Executor, Row, any::AnyPoolOptions};

/// Applied in order, each once; never changed after a release.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_init.sql"),
    include_str!("migrations/0002_process.sql"),
    include_str!("migrations/0003_backfills.sql"),
];

/// Set on every connection: readers never wait for the writer, and writers wait for each other.
const PRAGMAS: &str =
    "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=15000; PRAGMA synchronous=FULL;";

/// The run store.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    file: PathBuf,
}

impl Store {
    /// Opens the store, making the file and its folder where they are missing.
    ///
    /// # Errors
    /// The file cannot be made or read, or a newer program wrote it.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = file.parent() {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|source| StoreError::Folder {
                folder: folder.to_owned(),
                source,
            })?;
        }
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(PRAGMAS).await.map(|_| ()) })
            });
        let wrap = |source| StoreError::Database {
            file: file.to_owned(),
            source,
        };
        let pool = options.connect(&url).await.map_err(wrap)?;
        let store = Self {
            pool,
            file: file.to_owned(),
        };
        store.migrate().await?;
        Ok(store)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = self
            .pool
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(self.wrap())?;
        let create = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        sqlx::query(create)
            .execute(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let row = sqlx::query("SELECT COALESCE(MAX(version), 0) AS version FROM schema_version")
            .fetch_one(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let found: i64 = row.try_get("version").map_err(self.wrap())?;
        let known = i64::try_from(MIGRATIONS.len()).expect("a handful of migrations");
        if found > known {
            return Err(StoreError::Newer {
                file: self.file.clone(),
                found,
                known,
            });
        }
        for (version, sql) in (1_i64..)
            .zip(MIGRATIONS)
            .filter(|(version, _)| *version > found)
        {
            tx.execute(sql).await.map_err(self.wrap())?;
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        tx.commit().await.map_err(self.wrap())
    }

    fn wrap(&self) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        |source| StoreError::Database {
            file: self.file.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests;
