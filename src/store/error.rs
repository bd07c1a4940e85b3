//! What can go wrong with the store.

use std::path::PathBuf;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("the state folder `{}` cannot be made: check its permissions", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the run store `{}` cannot be used: check free space and permissions of its folder, or the address and that the server runs", .file.display())]
    Database {
        /// The file, or the server's address.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// It can be read, and not written.
    #[error("the run store `{}` is read-only: make the file and its folder writable for the user that runs this program, or name another store in `store.url`", .file.display())]
    ReadOnly {
        /// The file, or the server's address.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// A newer program wrote it.
    #[error("the run store `{}` has version {found}, this program knows {known}: use the newer program", .file.display())]
    Newer {
        /// The file, or the server's address.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// Another runner has the run now.
    #[error(
        "the run `{run}` has been taken over by another runner: nothing more is recorded from here"
    )]
    TakenOver {
        /// The run's id.
        run: String,
    },
    /// A word in it means nothing to this program.
    #[error("the run store `{}` has the {what} `{found}`, which this program does not know: use the program that wrote it", .file.display())]
    Unknown {
        /// The file, or the server's address.
        file: PathBuf,
        /// What the word stands for.
        what: &'static str,
        /// The word.
        found: String,
    },
}

impl StoreError {
    /// The same, said in other words where it is that nothing can be written.
    pub(super) fn when_opened(self) -> Self {
        match self {
            Self::Database { file, source } if is_read_only(&source) => {
                Self::ReadOnly { file, source }
            }
            other => other,
        }
    }

    /// Whether it is about the way to the database, which may be open again a moment later.
    pub fn is_passing(&self) -> bool {
        let Self::Database { source, .. } = self else {
            return false;
        };
        match source {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::BeginFailed
            | sqlx::Error::InvalidSavePointStatement
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_passing(&code)),
            _ => false,
        }
    }
}

/// `SQLite`: the file, its folder or the file system; Postgres: a standby, or set so.
fn is_read_only(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let is_kind = |code: &str| code.parse::<u32>().is_ok_and(|code| code & 0xff == 8);
    code.is_some_and(|code| code == "25006" || (code.len() < 5 && is_kind(&code)))
}

/// Postgres: connection lost, too many of them, the server goes down; `SQLite`: busy, locked, the disk
/// failed or is full. Sources: `PostgreSQL`, appendix A, classes 08, 53 and 57; sqlite.org/rescode.html
fn is_passing(code: &str) -> bool {
    // Codes of Postgres have five letters; in those of SQLite the low byte is the kind of failure
    if code.len() == 5 {
        return ["08", "53", "57P"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    let kind = code.parse::<u32>().map(|code| code & 0xff);
    matches!(kind, Ok(5 | 6 | 10 | 13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_passes_and_a_broken_file_does_not() {
        // Full, failed while writing, busy with a snapshot; Postgres: disk full, goes down
        for code in ["13", "10", "778", "5", "517", "53100", "57P01"] {
            assert!(is_passing(code), "{code}");
        }
        // Not a database, read-only, a constraint; Postgres: unique, timed out
        for code in ["26", "8", "1555", "23505", "57014"] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
