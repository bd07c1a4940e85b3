//! Opening the store: `SQLite` for one machine, Postgres for many, the same tables and statements in both.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use sqlx::{Any, AnyConnection, Connection, Executor, Row, Transaction, any::AnyPoolOptions};
use url::Url;

use super::{
    Store, StoreError,
    group::{Turns, Writing, surely},
};
use crate::secret::Secret;

/// Applied in order, each once; never changed after a release. Numbers below 1000 only add: programs
/// of different versions may use the store at once. What an older program could not live with gets
/// the next thousand, and the older program declines it.
const MIGRATIONS: [(i64, &str); 9] = [
    (1, include_str!("migrations/0001_init.sql")),
    (2, include_str!("migrations/0002_process.sql")),
    (3, include_str!("migrations/0003_backfills.sql")),
    (4, include_str!("migrations/0004_mail.sql")),
    (10, include_str!("migrations/0010_queue.sql")),
    (11, include_str!("migrations/0011_outcomes.sql")),
    (12, include_str!("migrations/0012_interrupted.sql")),
    (13, include_str!("migrations/0013_notices.sql")),
    (20, include_str!("migrations/0020_queue_order.sql")),
];

/// Versions from here on are none that only add.
const NEXT_MAJOR: i64 = 1000;

/// Set on every connection to `SQLite`: readers never wait for the writer, and writers wait for each other.
const PRAGMAS: &str =
    "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=15000; PRAGMA synchronous=FULL;";

/// Set on every connection to Postgres: a runner that is stopped in the middle of a statement or a
/// transaction must not keep the others waiting.
const LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '15s';
    SET idle_in_transaction_session_timeout = '10s'; SET client_min_messages = 'warning';";

/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(15);

/// One writer that reads first at a time, as `BEGIN IMMEDIATE` does it in `SQLite`; let go at the
/// end of the transaction. The number is any that nobody else uses.
const WRITE_LOCK: &str = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(7108243321); END $$";

/// The database behind a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens a store in a `SQLite` file, making it and its folder where they are missing.
    ///
    /// # Errors
    /// The file cannot be made or read, or a program that is too new wrote it.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = file.parent() {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|source| StoreError::Folder {
                folder: folder.to_owned(),
                source,
            })?;
        }
        let url = format!("sqlite://{}?mode=rwc", file.display());
        // A file does not hang up
        let options = AnyPoolOptions::new()
            .max_connections(4)
            .test_before_acquire(false);
        Self::connect(options, &url, file.to_owned(), Backend::Sqlite).await
    }

    /// Opens a store in a Postgres database, `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// The server cannot be reached, or a program that is too new wrote the tables.
    pub async fn open_postgres(url: &Secret) -> Result<Self, StoreError> {
        let options = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(CONNECT);
        let shown = PathBuf::from(without_password(url.expose()));
        Self::connect(options, url.expose(), shown, Backend::Postgres).await
    }

    /// The same with another time after which a silent run counts as dead.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// How long a run counts as alive after its last sign of life.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether runners on several machines may share it.
    pub fn is_shared(&self) -> bool {
        self.backend == Backend::Postgres
    }

    async fn connect(
        options: AnyPoolOptions,
        url: &str,
        file: PathBuf,
        backend: Backend,
    ) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let set = match backend {
            Backend::Sqlite => PRAGMAS,
            Backend::Postgres => LIMITS,
        };
        let options = options
            .after_connect(move |connection: &mut AnyConnection, _| {
                Box::pin(async move { connection.execute(set).await.map(|_| ()) })
            })
            .after_release(|connection, _| Box::pin(is_clean(connection)));
        let failed = |source| StoreError::Database {
            file: file.clone(),
            source,
        };
        if backend == Backend::Sqlite {
            match try_file(url).await.map_err(failed) {
                // The pool waits for what passes, and hides all else behind that it waited
                Err(error) if !error.is_passing() => return Err(error.when_opened()),
                _ => {}
            }
        }
        let pool = options.connect(url).await.map_err(failed)?;
        let store = Self {
            pool,
            file,
            backend,
            ttl: super::ALIVE,
            fences: Mutex::new(BTreeMap::new()),
            turns: Turns::default(),
        };
        store.migrate().await.map_err(StoreError::when_opened)?;
        Ok(store)
    }

    /// The file, or the server's address without its password.
    pub fn label(&self) -> String {
        self.file.display().to_string()
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that reads before it writes: of several, one after the other.
    pub(super) async fn begin_write(&self) -> Result<Writing, StoreError> {
        let mut tx = self.begin_change().await?;
        if self.backend == Backend::Postgres {
            tx.execute(WRITE_LOCK).await.map_err(self.wrap())?;
        }
        Ok(tx)
    }

    /// Begins a transaction that begins with a change, which in Postgres locks the row that it is about.
    pub(super) async fn begin_change(&self) -> Result<Writing, StoreError> {
        let turn = self.turn().await;
        Ok(Writing::new(self.begin().await?, turn))
    }

    /// A new transaction. Its `BEGIN` is waited for even when the caller goes away: in Postgres sqlx
    /// rolls back only what it knows to be begun, and the next to use the connection would be in it.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        let begun = match self.backend {
            Backend::Sqlite => self.pool.begin_with("BEGIN IMMEDIATE").await,
            Backend::Postgres => {
                let pool = self.pool.clone();
                surely(async move { pool.begin().await }).await
            }
        };
        begun.map_err(self.wrap())
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut tx = self.begin_write().await?;
        let create = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)";
        tx.execute(create).await.map_err(self.wrap())?;
        // Changes nothing, and is refused where nothing can be changed: `SQLite` begins all the same
        let touch = "UPDATE schema_version SET version = version WHERE version < 0";
        tx.execute(touch).await.map_err(self.wrap())?;
        let rows = sqlx::query("SELECT version FROM schema_version")
            .fetch_all(&mut *tx)
            .await
            .map_err(self.wrap())?;
        let versions = rows.iter().map(|row| row.try_get("version"));
        let done: Vec<i64> = versions.collect::<Result<_, _>>().map_err(self.wrap())?;
        let known = MIGRATIONS[MIGRATIONS.len() - 1].0;
        if let Some(found) = done.iter().copied().find(|found| *found >= NEXT_MAJOR) {
            return Err(StoreError::Newer {
                file: self.file.clone(),
                found,
                known,
            });
        }
        for (version, sql) in MIGRATIONS {
            if done.contains(&version) {
                continue;
            }
            tx.execute(sql).await.map_err(self.wrap())?;
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *tx)
                .await
                .map_err(self.wrap())?;
        }
        tx.commit().await.map_err(self.wrap())
    }
}

/// Whether a connection may be used again. `SQLite` rolls back by itself when the disk is full or
/// fails; sqlx does not hear of it, has a `ROLLBACK` refused, and would never begin anything again.
async fn is_clean(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be under way
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Whether a file is a database that can be used, by a connection outside of the pool.
async fn try_file(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(url).await?;
    connection.execute(PRAGMAS).await?;
    connection.close().await
}

/// An address as it may be shown.
fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut url) => {
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "postgres://***".to_owned(),
    }
}

/// A pool for what the store's own tests look at.
#[cfg(test)]
impl Store {
    pub(super) fn pool(&self) -> &sqlx::AnyPool {
        &self.pool
    }
}
