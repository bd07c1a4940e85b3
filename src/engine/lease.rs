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

/// A lease is renewed so many times in its term, which is the store's.
const RENEWALS: u32 = 3;

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
    ttl: Duration,
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
        let (stop, ttl) = (CancellationToken::new(), store.ttl());
        let lease = Self {
            store: Arc::clone(store),
            clock: clock.clone(),
            run: run.to_owned(),
            names: Arc::default(),
            ttl,
            held_until: Arc::new(Mutex::new(clock.now() + ttl)),
            renewing: stop.clone().drop_guard(),
        };
        let renewal = Renewal {
            store: Arc::clone(store),
            run: lease.run.clone(),
            names: Arc::clone(&lease.names),
            ttl,
        };
        let held_until = Arc::clone(&lease.held_until);
        let kept = keep(lease.clock.clone(), ttl, held_until, lost.clone(), renewal);
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
                if store.acquire_lease(name, run, now, self.ttl).await? {
                    held_until.get_or_insert(now + self.ttl);
                    break;
                }
                let holder = store.lease_holder(name).await?;
                match holder {
                    // It was given back just now, or belongs to a run that nobody knows
                    None => tokio::time::sleep(AGAIN).await,
                    // A run whose program is gone need not be waited for
                    Some(dead) if dead.process.as_deref().is_some_and(process::is_gone) => {
                        let is_free = store.abandon(&dead, self.clock.now()).await?
                            || store.clear_lease(name, &dead).await?;
                        if !is_free {
                            tokio::time::sleep(AGAIN).await;
                        }
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
async fn keep(
    clock: Clock,
    ttl: Duration,
    held_until: HeldUntil,
    lost: CancellationToken,
    renewal: impl Renew,
) {
    let mut every = tokio::time::interval(ttl / RENEWALS);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let left = *lock(&held_until) - clock.now();
        let renewed = tokio::time::timeout(left.to_std().unwrap_or_default(), async {
            every.tick().await;
            let now = clock.now();
            let renewed = renewal.renew(now).await;
            if let Ok(true) = renewed {
                *lock(&held_until) = now + ttl;
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
    /// Says that the run lives, and prolongs its leases from `now` on; whether it is still this
    /// runner's and all are held. Others take a run over by its sign of life: without it leases are
    /// worth nothing.
    fn renew(&self, now: DateTime<Utc>) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// The leases of a run in the store.
struct Renewal {
    store: Arc<Store>,
    run: String,
    names: Arc<Mutex<Vec<String>>>,
    ttl: Duration,
}

impl Renew for Renewal {
    async fn renew(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let held = self
            .names
            .lock()
            .expect("nobody panics while holding it")
            .len() as u64;
        match self.store.heartbeat(&self.run, now).await {
            Err(StoreError::TakenOver { .. }) => return Ok(false),
            other => other?,
        };
        Ok(self.store.renew_leases(&self.run, now, self.ttl).await? >= held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    /// A store that answers so often, and then hangs.
    struct Hanging {
        answers: Mutex<u32>,
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
    }

    /// When leases count as lost that are renewed so, in seconds; and whether they are held then.
    async fn lost_after(answers: u32) -> (u64, bool) {
        let (begun, start) = (tokio::time::Instant::now(), DateTime::UNIX_EPOCH);
        let clock = Clock::of(move || start + begun.elapsed());
        let held_until = Arc::new(Mutex::new(clock.now() + TTL));
        let lost = CancellationToken::new();
        let store = Hanging {
            answers: Mutex::new(answers),
        };
        let kept = keep(
            clock.clone(),
            TTL,
            Arc::clone(&held_until),
            lost.clone(),
            store,
        );
        let kept = tokio::time::timeout(Duration::from_secs(3600), kept);
        kept.await.unwrap();
        assert!(lost.is_cancelled());
        (begun.elapsed().as_secs(), is_held(&clock, &held_until))
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_lost_when_a_store_that_hangs_has_not_renewed_them_in_their_term() {
        assert_eq!(lost_after(0).await, (60, false));
        // Renewed at 0 and 20 seconds
        assert_eq!(lost_after(3).await, (80, false));
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
