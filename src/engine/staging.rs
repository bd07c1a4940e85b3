//! Where files of a run lie until they are published, and what killed runs left there.

use std::path::{Path, PathBuf};

use super::{Engine, EngineError, process};
use crate::{
    clock::Clock,
    export::{Destinations, clear_staging},
    store::Store,
};

impl Engine {
    /// The staging folder of a run.
    pub(super) fn staging_of(&self, run: &str) -> PathBuf {
        staging(&self.settings.store).join(run)
    }

    /// Removes what a run that is over has left in its staging folder.
    pub(super) fn clear_staging(&self, run: &str) {
        let folder = self.staging_of(run);
        if let Err(error) = clear_staging(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "a staging folder could not be removed");
        }
    }
}

/// Marks runs whose program is gone as failed, and sweeps what they left behind; how many there were.
///
/// # Errors
/// The store cannot be used.
pub async fn abandon_dead_runs(
    store_file: &Path,
    store: &Store,
    destinations: &Destinations,
    clock: &Clock,
) -> Result<usize, EngineError> {
    let now = clock.now();
    // Listed first: a run that begins meanwhile is none of those that may be swept
    let folders = std::fs::read_dir(staging(store_file));
    let folders: Vec<std::ffi::OsString> = folders
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    let mut alive = Vec::new();
    let mut dead = 0;
    for run in store.running().await? {
        let is_gone = run.process.as_deref().is_some_and(process::is_gone);
        if is_gone || run.alive_until < now {
            dead += usize::from(store.abandon(&run, now).await?);
        } else {
            alive.push(run.id);
        }
    }
    let is_alive = |run: &str| {
        let is_new = folders.iter().all(|folder| folder != run);
        is_new || alive.iter().any(|id| id == run)
    };
    destinations.sweep(&staging(store_file), is_alive).await;
    Ok(dead)
}

/// Beside the store that knows the runs: of the sandbox's runs another knows nothing.
fn staging(store_file: &Path) -> PathBuf {
    store_file.with_file_name("staging")
}
