//! One writer per (job, window), and a sign of life of the run while it goes on.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{clock::Clock, store::Store};

use super::EngineError;

/// How long a lease holds without being renewed.
const TTL: Duration = Duration::from_secs(60);

/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(20);

/// A held lease; renewed in the background until it is released or dropped.
#[derive(Debug)]
pub(super) struct Lease {
    store: Arc<Store>,
    name: String,
    run: String,
    #[expect(dead_code, reason = "dropping it ends the renewal")]
    renewing: Arc<DropGuard>,
}

impl Lease {
    /// Takes the lease, or `None` where somebody else holds it. `lost` is cancelled when the lease
    /// cannot be renewed: whoever works under it must then stop.
    pub(super) async fn acquire(
        store: &Arc<Store>,
        clock: &Clock,
        name: String,
        run: &str,
        lost: &CancellationToken,
    ) -> Result<Option<Self>, EngineError> {
        if !store.acquire_lease(&name, run, clock.now(), TTL).await? {
            return Ok(None);
        }
        store.heartbeat(run, clock.now()).await?;
        let stop = CancellationToken::new();
        let lease = Self {
            store: Arc::clone(store),
            name,
            run: run.to_owned(),
            renewing: Arc::new(stop.clone().drop_guard()),
        };
        let renewed = Renewal {
            store: Arc::clone(store),
            clock: clock.clone(),
            name: lease.name.clone(),
            run: lease.run.clone(),
        };
        tokio::spawn(renewed.until(stop, lost.clone()));
        Ok(Some(lease))
    }

    /// Gives the lease back.
    pub(super) async fn release(self) -> Result<(), EngineError> {
        Ok(self.store.release_lease(&self.name, &self.run).await?)
    }
}

/// The task that renews a lease.
struct Renewal {
    store: Arc<Store>,
    clock: Clock,
    name: String,
    run: String,
}

impl Renewal {
    async fn until(self, stop: CancellationToken, lost: CancellationToken) {
        let mut every = tokio::time::interval(RENEW);
        every.tick().await;
        let mut held_until = self.clock.now() + TTL;
        while stop.run_until_cancelled(every.tick()).await.is_some() {
            let now = self.clock.now();
            if let Err(error) = self.store.heartbeat(&self.run, now).await {
                tracing::warn!(%error, "the run's sign of life could not be recorded");
            }
            let renewed = self
                .store
                .renew_lease(&self.name, &self.run, now, TTL)
                .await;
            match renewed {
                Ok(true) => held_until = now + TTL,
                Ok(false) => return lost.cancel(),
                // A store that is away for longer than the lease holds is a lost lease
                Err(_) if now >= held_until => return lost.cancel(),
                Err(error) => tracing::warn!(%error, "the lease could not be renewed yet"),
            }
        }
    }
}
