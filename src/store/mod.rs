//! The run store: runs, leases and the delivery ledger, in `SQLite` or Postgres through sqlx, with the
//! same statements for both. `tests/servers/store.rs` holds what both must keep.

mod archive;
mod attempt;
mod backfills;
mod cancel;
mod claim;
mod error;
mod give_back;
mod group;
mod hold;
mod lease;
mod ledger;
mod mails;
mod notices;
mod open;
mod outcomes;
mod parts;
mod plan;
mod runners;
mod runs;
mod suppressions;
mod vacuum;

pub use archive::Archive;
pub use attempt::Attempt;
pub use cancel::Cancellation;
pub use claim::{Claimed, OpenRuns};
pub use error::StoreError;
pub use give_back::Spent;
pub use hold::Sign;
pub use ledger::{Again, Begin, DeliveryKey, Ended, Handing, Next};
pub use notices::{News, Notice, Occasion, Receivers};
pub use outcomes::{Change, RunOutcome};
pub use plan::{Marks, Planned, Queued, Watermark};
pub use runners::Runner;
pub use runs::{Found, NewRun, Running};
pub use suppressions::Suppression;

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex, time::Duration};

use sqlx::AnyPool;

/// How long a run counts as alive after its last sign of life, unless the settings say otherwise.
const ALIVE: Duration = Duration::from_secs(60);

/// The run store.
///
/// It knows the fencing token of every run that was created or claimed through it, and writes about
/// such a run only while that token is the run's: what a runner writes that was cut off, and whose run
/// another has taken over, fails with [`StoreError::TakenOver`].
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    file: PathBuf,
    backend: open::Backend,
    ttl: Duration,
    fences: Mutex<BTreeMap<String, i64>>,
    turns: group::Turns,
}

impl Store {
    fn wrap(&self) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        |source| StoreError::Database {
            file: self.file.clone(),
            source,
        }
    }

    /// The token under which this store writes about a run; 0 where it has none.
    pub fn fence_of(&self, run: &str) -> i64 {
        let fences = self.fences.lock().expect("nothing panics while it is held");
        fences.get(run).copied().unwrap_or(0)
    }

    fn set_fence(&self, run: &str, fence: i64) {
        let mut fences = self.fences.lock().expect("nothing panics while it is held");
        fences.insert(run.to_owned(), fence);
    }

    /// Forgets the token of a run that is over here, unless it was claimed again meanwhile.
    fn drop_fence(&self, run: &str, fence: i64) {
        let mut fences = self.fences.lock().expect("nothing panics while it is held");
        if fences.get(run) == Some(&fence) {
            fences.remove(run);
        }
    }
}

#[cfg(test)]
mod tests;
