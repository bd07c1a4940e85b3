//! A stand-in of the Databuddy API on a real socket: an independent reading of the seed document
//! that shares no type with the client. Its answers are aggregated by SQL from generated rows and
//! from the events that were sent to it.
//!
//! Days count in UTC; a preset counts in the zone of the query string. A day's rows depend on the
//! seed number, the website or link and the day alone; those later than now do not show.

mod catalog;
mod check;
mod custom;
mod custom_tables;
mod data;
mod faults;
mod filter;
mod http;
mod keys;
mod limits;
mod options;
mod part;
mod place;
mod query;
mod refusal;
mod rows;
mod schema;
mod statement;
mod track;
mod types;
mod window;
mod words;

use std::{net::SocketAddr, path::PathBuf};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use options::{FAULT_KINDS, Fault, FaultKind, Generation, SandboxOptions};

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// The keys of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxKeys {
    /// Every scope.
    pub full: &'static str,
    /// `read:data` alone.
    pub query_only: &'static str,
    /// `write:data` and `track:events` alone.
    pub events_only: &'static str,
    /// Every scope, restricted to the website `web_acme_shop`.
    pub one_site: &'static str,
    /// Refused.
    pub revoked: &'static str,
}

/// It cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The address is taken, or not ours.
    #[error("`{0}` cannot be listened on")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Its database cannot be opened.
    #[error("the sandbox's database in `{}` cannot be opened", .0.display())]
    Database(PathBuf, #[source] sqlx::Error),
    /// Its folder cannot be made.
    #[error("the folder `{}` cannot be made", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
}

/// Starts a sandbox.
///
/// # Errors
/// It cannot listen, or its database cannot be opened.
pub async fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
    let folder = options.state_dir.clone();
    std::fs::create_dir_all(&folder).map_err(|e| SandboxError::Folder(folder.clone(), e))?;
    let data = data::Data::open(&options)
        .await
        .map_err(|e| SandboxError::Database(folder, e))?;
    let listen = |e| SandboxError::Listen(options.listen, e);
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let url = format!("http://{}", listener.local_addr().map_err(listen)?);
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let server = tokio::spawn(async move {
        let served = axum::serve(listener, http::router(data));
        if let Err(error) = served.with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the sandbox stopped");
        }
    });
    Ok(Sandbox { url, stop, server })
}

impl Sandbox {
    /// The address of the query API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of event tracking: the same.
    pub fn basket_url(&self) -> &str {
        &self.url
    }

    /// A key that may do everything.
    pub fn key(&self) -> &str {
        keys::FULL
    }

    /// All keys.
    pub fn keys(&self) -> SandboxKeys {
        let [full, query_only, events_only, one_site, revoked] = keys::KEYS.map(|key| key.text);
        SandboxKeys {
            full,
            query_only,
            events_only,
            one_site,
            revoked,
        }
    }

    /// The ids of its websites.
    pub fn websites(&self) -> impl Iterator<Item = &'static str> {
        place::SITES.iter().map(|site| site.id)
    }

    /// The ids of its links.
    pub fn links(&self) -> impl Iterator<Item = &'static str> {
        place::LINKS.iter().map(|link| link.id)
    }

    /// Stops it without waiting for idle connections.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.abort();
        let _ = self.server.await;
    }
}
