//! One writer per (job, unit), and a sign of life of the run while it goes on.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{EngineError, process};
use crate::{
    clock::Clock,
    domain::run::Trigger,
    store::{Store, StoreError},
};

/// How long a lease holds without being renewed.
const TTL: Duration = Duration::from_secs(60);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(20);

/// The pause before a lease is tried again that nobody seems to hold.
const AGAIN: Duration = Duration::from_millis(200);

/// What came of taking leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// They are held.
    All,
    /// A run that lives holds one of them: why it exists. None is held.
    HeldBy(Option<Trigger>),
}

/// Until when leases are held for certain, by this machine's clock: their term counts from before the
/// request that took or renewed them.
type HeldUntil = Arc<Mutex<DateTime<Utc>>>;

/// The leases of a run; renewed in the background until they are released or dropped.
#[derive(Debug)]
pub(super) struct Lease {
    store: Arc<Store>,
    clock: Clock,
    run: String,
    names: Arc<Mutex<Vec<String>>>,
    held_until: HeldUntil,
    #[expect(dead_code, reason = "dropping it ends the renewal")]
    renewing: DropGuard,
}

impl Lease {
    /// Begins the run's signs of life. `lost` is cancelled when a lease cannot be renewed: whoever
    /// works under it must then stop.
    pub(super) fn start(
        store: &Arc<Store>,
        clock: &Clock,
        run: &str,
        lost: &CancellationToken,
    ) -> Self {
        let stop = CancellationToken::new();
        let lease = Self {
            store: Arc::clone(store),
            clock: clock.clone(),
            run: run.to_owned(),
            names: Arc::default(),
            held_until: Arc::new(Mutex::new(clock.now() + TTL)),
            renewing: stop.clone().drop_guard(),
        };
        let renewal = Renewal {
            store: Arc::clone(store),
            run: lease.run.clone(),
            names: Arc::clone(&lease.names),
        };
        let held_until = Arc::clone(&lease.held_until);
        let kept = keep(lease.clock.clone(), held_until, lost.clone(), renewal);
        tokio::spawn(async move { stop.run_until_cancelled(kept).await });
        lease
    }

    /// Whether the leases are held for certain. A program that was stopped for a while, or whose
    /// store hangs, finds out here before anything tells it.
    pub(super) fn is_held(&self) -> bool {
        is_held(&self.clock, &self.held_until)
    }

    /// Takes all of the leases, or none.
    pub(super) async fn take(&self, names: Vec<String>) -> Result<Taken, EngineError> {
        let (store, run) = (&self.store, &self.run);
        let mut held_until = None;
        for name in &names {
            loop {
                let now = self.clock.now();
                if store.acquire_lease(name, run, now, TTL).await? {
                    held_until.get_or_insert(now + TTL);
                    break;
                }
                let holder = store.lease_holder(name).await?;
                match holder {
                    // It was given back just now, or belongs to a run that nobody knows
                    None => tokio::time::sleep(AGAIN).await,
                    // A run whose program is gone need not be waited for
                    Some(dead) if dead.process.as_deref().is_some_and(process::is_gone) => {
                        store.abandon(&dead, self.clock.now()).await?;
                    }
                    Some(holder) => {
                        store.release_leases(run).await?;
                        return Ok(Taken::HeldBy(holder.trigger));
                    }
                }
            }
        }
        self.names
            .lock()
            .expect("nobody panics while holding it")
            .extend(names);
        if let Some(first) = held_until {
            let mut held_until = lock(&self.held_until);
            *held_until = first.min(*held_until);
        }
        Ok(Taken::All)
    }

    /// Gives the leases back.
    pub(super) async fn release(self) -> Result<(), EngineError> {
        Ok(self.store.release_leases(&self.run).await?)
    }
}

fn lock(held_until: &HeldUntil) -> MutexGuard<'_, DateTime<Utc>> {
    held_until.lock().expect("nobody panics while holding it")
}

fn is_held(clock: &Clock, held_until: &HeldUntil) -> bool {
    clock.now() < *lock(held_until)
}

/// Renews leases for ever, or until they are lost: `renewal` says so, or has not said the contrary
/// when they end by the clock, be it that the store refuses or that it does not answer.
async fn keep(clock: Clock, held_until: HeldUntil, lost: CancellationToken, renewal: impl Renew) {
    let mut every = tokio::time::interval(RENEW);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let left = *lock(&held_until) - clock.now();
        let renewed = tokio::time::timeout(left.to_std().unwrap_or_default(), async {
            every.tick().await;
            let now = clock.now();
            let renewed = renewal.renew(now).await;
            if let Ok(true) = renewed {
                *lock(&held_until) = now + TTL;
                let shown = renewal.show_life(now);
                if tokio::time::timeout(RENEW, shown).await.is_err() {
                    tracing::warn!("the run's sign of life was not recorded: the store hangs");
                }
            }
            renewed
        });
        match renewed.await {
            Ok(Ok(false)) => break,
            Ok(Err(error)) => tracing::warn!(%error, "the leases could not be renewed yet"),
            Ok(Ok(true)) | Err(_) => {}
        }
        if !is_held(&clock, &held_until) {
            break;
        }
    }
    lost.cancel();
}

/// How leases are renewed: the store does it, and tests where it hangs.
trait Renew: Send + Sync {
    /// Prolongs them from `now` on; whether all are still held.
    fn renew(&self, now: DateTime<Utc>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Records that the run lives; a failure is told.
    fn show_life(&self, now: DateTime<Utc>) -> impl Future<Output = ()> + Send;
}

/// The leases of a run in the store.
struct Renewal {
    store: Arc<Store>,
    run: String,
    names: Arc<Mutex<Vec<String>>>,
}

impl Renew for Renewal {
    async fn renew(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let held = self
            .names
            .lock()
            .expect("nobody panics while holding it")
            .len() as u64;
        Ok(self.store.renew_leases(&self.run, now, TTL).await? >= held)
    }

    async fn show_life(&self, now: DateTime<Utc>) {
        if let Err(error) = self.store.heartbeat(&self.run, now).await {
            tracing::warn!(%error, "the run's sign of life could not be recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that answers so often, and then hangs.
    struct Hanging {
        answers: Mutex<u32>,
        shows_life: bool,
    }

    impl Renew for Hanging {
        async fn renew(&self, _: DateTime<Utc>) -> Result<bool, StoreError> {
            let is_left = {
                let mut answers = self.answers.lock().unwrap();
                *answers = answers.saturating_sub(1);
                *answers > 0
            };
            if !is_left {
                std::future::pending::<()>().await;
            }
            Ok(true)
        }

        async fn show_life(&self, _: DateTime<Utc>) {
            if !self.shows_life {
                std::future::pending::<()>().await;
            }
        }
    }

    /// When leases count as lost that are renewed so, in seconds; and whether they are held then.
    async fn lost_after(answers: u32, shows_life: bool) -> (u64, bool) {
        let (begun, start) = (tokio::time::Instant::now(), DateTime::UNIX_EPOCH);
        let clock = Clock::of(move || start + begun.elapsed());
        let held_until = Arc::new(Mutex::new(clock.now() + TTL));
        let lost = CancellationToken::new();
        let store = Hanging {
            answers: Mutex::new(answers),
            shows_life,
        };
        let kept = keep(clock.clone(), Arc::clone(&held_until), lost.clone(), store);
        let kept = tokio::time::timeout(Duration::from_secs(3600), kept);
        kept.await.unwrap();
        assert!(lost.is_cancelled());
        (begun.elapsed().as_secs(), is_held(&clock, &held_until))
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_lost_when_a_store_that_hangs_has_not_renewed_them_in_their_term() {
        assert_eq!(lost_after(0, true).await, (60, false));
        // Renewed at 0 and 20 seconds
        assert_eq!(lost_after(3, true).await, (80, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_that_hangs_does_not_count_against_leases_that_are_renewed() {
        assert_eq!(lost_after(3, false).await, (80, false));
    }

    #[test]
    fn leases_are_not_held_once_their_term_is_over_by_the_clock() {
        let start = DateTime::UNIX_EPOCH;
        let held_until = Arc::new(Mutex::new(start + TTL));
        let at = |seconds| Clock::fixed(start + Duration::from_secs(seconds));
        assert!(is_held(&at(59), &held_until));
        assert!(!is_held(&at(60), &held_until));
    }
}
