//! Where files of a run lie until they are published, and what killed runs left there.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};

use super::{Engine, EngineError, process};
use crate::{
    clock::Clock,
    export::{Destinations, clear_staging},
    store::Store,
};

impl Engine {
    /// The staging folder of a run that this runner holds. Each claim has its own: nobody who sweeps
    /// up after an earlier one, or who ends it late, touches what this one stages.
    pub(super) fn staging_of(&self, run: &str) -> PathBuf {
        let name = name_of(run, self.store.fence_of(run));
        staging(&self.settings.store).join(name)
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
    let staging = staging(store_file);
    let (dead, leftovers) = abandon(&staging, store, clock.now()).await?;
    let is_alive = |folder: &str| !leftovers.contains(folder);
    destinations.sweep(&staging, is_alive).await;
    Ok(dead)
}

/// How many runs were abandoned, and the staging folders that no claim fills any more: a claim that is
/// over never comes back, its run is claimed under another number.
async fn abandon(
    staging: &Path,
    store: &Store,
    now: DateTime<Utc>,
) -> Result<(usize, BTreeSet<String>), EngineError> {
    // Listed first: what is claimed meanwhile is none of those that may be swept
    let folders = std::fs::read_dir(staging).into_iter().flatten().flatten();
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let mut leftovers: BTreeSet<String> = names.collect();
    let mut dead = 0;
    for run in store.running().await? {
        let is_gone = run.process.as_deref().is_some_and(process::is_gone);
        // It may have given a sign of life since
        if (is_gone || run.alive_until < now) && store.abandon(&run, now).await? {
            dead += 1;
        } else {
            leftovers.remove(&name_of(&run.id, run.fence));
        }
    }
    Ok((dead, leftovers))
}

/// Beside the store that knows the runs: of the sandbox's runs another knows nothing.
fn staging(store_file: &Path) -> PathBuf {
    store_file.with_file_name("staging")
}

fn name_of(run: &str, fence: i64) -> String {
    format!("{run}.{fence}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::run::{RunRecord, RunState, Trigger, WindowRecord},
        store::Queued,
    };

    fn queued(id: &str, now: DateTime<Utc>) -> Queued {
        Queued {
            record: RunRecord {
                id: id.to_owned(),
                job: id.to_owned(),
                tick: now.to_rfc3339(),
                state: RunState::Queued,
                trigger: Trigger::Schedule,
                window: WindowRecord {
                    start: "2026-11-22".to_owned(),
                    end: "2026-11-22".to_owned(),
                    timezone: "UTC".to_owned(),
                },
                attempts: 0,
                requests: 0,
                retries: 0,
                rows: 0,
                duration_ms: 0,
                steps: Vec::new(),
                artifacts: Vec::new(),
                deliveries: Vec::new(),
                error: None,
            },
            tick: now,
            not_before: now,
            priority: 0,
            runs_on: Vec::new(),
            definition_hash: "h".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_a_later_claim_of_a_killed_run_stages_is_not_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (file, staging) = (folder.path().join("s.db"), folder.path().join("staging"));
        let store = Store::open(&file).await.unwrap();
        let now = DateTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        store.enqueue(&queued("a", now), now).await.unwrap();
        let stage = async |at: DateTime<Utc>| {
            let claimed = store.claim("r", None, &[], 1, |_| true, at).await.unwrap();
            assert_eq!(claimed[0].id, "a");
            let claim = staging.join(name_of("a", store.fence_of("a")));
            std::fs::create_dir_all(&claim).unwrap();
            std::fs::write(claim.join("half"), "half").unwrap();
            claim
        };
        let first = stage(now).await;
        let (dead, leftovers) = abandon(&staging, &store, now).await.unwrap();
        assert_eq!((dead, leftovers.len()), (0, 0), "it lives");
        let late = now + Duration::from_secs(3600);
        let (dead, leftovers) = abandon(&staging, &store, late).await.unwrap();
        assert_eq!((dead, leftovers.len()), (1, 1));
        // Claimed again after it was looked, and before it is swept
        let second = stage(late).await;
        let is_alive = |folder: &str| !leftovers.contains(folder);
        Destinations::default().sweep(&staging, is_alive).await;
        assert!(!first.exists());
        assert!(second.join("half").exists());
        let (dead, leftovers) = abandon(&staging, &store, late).await.unwrap();
        assert_eq!((dead, leftovers.len()), (0, 0));
    }
}
