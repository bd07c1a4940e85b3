//! A stand-in of the Databuddy API on a real socket: an independent reading of the seed document
//! that shares no type with the client. Its answers are aggregated by SQL from generated rows.

mod data;
mod http;
mod query;
mod types;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The one key that it takes.
const KEY: &str = "dbdy_sandbox_full";

/// What a sandbox is made of.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of its database.
    pub state_dir: PathBuf,
    /// Decides its rows, with the day.
    pub seed: u64,
    /// The present instant: later events do not show.
    pub now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// How many days before now it has rows for.
    pub days: u16,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    url: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
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
        let served = axum::serve(listener, http::router(Arc::new(data)));
        if let Err(error) = served.with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the sandbox stopped");
        }
    });
    Ok(Sandbox { url, stop, server })
}

impl Sandbox {
    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A key that may do everything.
    pub fn key(&self) -> &str {
        KEY
    }

    /// Stops it without waiting for idle connections.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.abort();
        let _ = self.server.await;
    }
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
