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
    _renewing: DropGuard,
}

impl Lease {
    /// Takes the lease, or `None` where somebody else holds it. `lost` is cancelled when the lease
    /// cannot be renewed: whoever works under it must then stop.
    pub(super) async fn acquire(
        store: &Arc<Store>,
        clock: &Clock,
        name: String,
        run: &str,
        lost: CancellationToken,
    ) -> Result<Option<Self>, EngineError> {
        if !store.acquire_lease(&name, run, clock.now(), TTL).await? {
            return Ok(None);
        }
        store.heartbeat(run, clock.now()).await?;
        let stop = CancellationToken::new();
        let (s, c, n, r, st) = (
            Arc::clone(store),
            clock.clone(),
            name.clone(),
            run.to_owned(),
            stop.clone(),
        );
        tokio::spawn(async move {
            let mut every = tokio::time::interval(RENEW);
            every.tick().await;
            while st.run_until_cancelled(every.tick()).await.is_some() {
                let renewed = s.renew_lease(&n, &r, c.now(), TTL).await;
                let alive = s.heartbeat(&r, c.now()).await;
                if let Err(error) = &alive {
                    tracing::warn!(%error, "the run's sign of life could not be recorded");
                }
                if matches!(renewed, Ok(false)) {
                    tracing::error!(run = %r, "another run has taken over: stopping");
                    lost.cancel();
                    break;
                }
            }
        });
        Ok(Some(Self {
            store: Arc::clone(store),
            name,
            run: run.to_owned(),
            _renewing: stop.drop_guard(),
        }))
    }

    /// Gives the lease back.
    pub(super) async fn release(self) -> Result<(), EngineError> {
        Ok(self.store.release_lease(&self.name, &self.run).await?)
    }
}
