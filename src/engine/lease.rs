//! One writer per (job, unit), and a sign of life of the run while it goes on.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::{EngineError, process};
use crate::{clock::Clock, domain::run::Trigger, store::Store};

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

/// The leases of a run; renewed in the background until they are released or dropped.
#[derive(Debug)]
pub(super) struct Lease {
    store: Arc<Store>,
    clock: Clock,
    run: String,
    names: Arc<Mutex<Vec<String>>>,
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
            renewing: stop.clone().drop_guard(),
        };
        let renewal = Renewal {
            store: Arc::clone(store),
            clock: clock.clone(),
            run: lease.run.clone(),
            names: Arc::clone(&lease.names),
        };
        tokio::spawn(renewal.until(stop, lost.clone()));
        lease
    }

    /// Takes all of the leases, or none.
    pub(super) async fn take(&self, names: Vec<String>) -> Result<Taken, EngineError> {
        let (store, run) = (&self.store, &self.run);
        for name in &names {
            while !store
                .acquire_lease(name, run, self.clock.now(), TTL)
                .await?
            {
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
        Ok(Taken::All)
    }

    /// Gives the leases back.
    pub(super) async fn release(self) -> Result<(), EngineError> {
        Ok(self.store.release_leases(&self.run).await?)
    }
}

/// The task that renews leases.
struct Renewal {
    store: Arc<Store>,
    clock: Clock,
    run: String,
    names: Arc<Mutex<Vec<String>>>,
}

impl Renewal {
    async fn until(self, stop: CancellationToken, lost: CancellationToken) {
        let mut every = tokio::time::interval(RENEW);
        let mut held_until = self.clock.now() + TTL;
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let now = self.clock.now();
            if let Err(error) = self.store.heartbeat(&self.run, now).await {
                tracing::warn!(%error, "the run's sign of life could not be recorded");
            }
            let held = self
                .names
                .lock()
                .expect("nobody panics while holding it")
                .len() as u64;
            match self.store.renew_leases(&self.run, now, TTL).await {
                Ok(renewed) if renewed >= held => held_until = now + TTL,
                Ok(_) => return lost.cancel(),
                // A store that is away for longer than the lease holds is a lost lease
                Err(_) if now >= held_until => return lost.cancel(),
                Err(error) => tracing::warn!(%error, "the leases could not be renewed yet"),
            }
        }
    }
}
