//! What `serve` answers on `web.listen`: whether it is well, and its metrics. The console and its API
//! will stand beside them.

mod access;
mod metrics;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    engine::{Engine, Status},
    secret::Secret,
};

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Site {
    /// The engine, for its store.
    pub engine: Engine,
    /// What the service says of itself.
    pub status: Arc<Status>,
    /// Asked for everywhere but at `/healthz` and `/readyz`.
    pub token: Option<Secret>,
}

/// A server at work.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// Why a server may not listen there: beyond this machine it needs a token.
pub fn refusal(listen: SocketAddr, token: Option<&Secret>) -> Option<String> {
    (token.is_none() && !listen.ip().is_loopback()).then(|| {
        format!(
            "`web.listen` is `{listen}`, beyond this machine, without a token: set `web.token` or DATABUDDY_JOBS_WEB_TOKEN, or listen on 127.0.0.1"
        )
    })
}

/// Starts to answer.
///
/// # Errors
/// The address is taken, or not this machine's.
pub async fn start(listen: SocketAddr, site: Site) -> std::io::Result<Web> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let server = tokio::spawn(async move {
        let served = axum::serve(listener, router(site));
        if let Err(error) = served.with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the web server stopped");
        }
    });
    Ok(Web {
        address,
        stop,
        server,
    })
}

impl Web {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it without waiting for idle connections.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.abort();
        let _ = self.server.await;
    }
}

fn router(site: Site) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .layer(middleware::from_fn_with_state(site.clone(), access::check));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .with_state(site)
}

/// The process lives, and its loop goes round; a store that is away is no reason to start it anew.
async fn healthz(State(site): State<Site>) -> impl IntoResponse {
    well(site.status.is_alive(now(&site.engine.clock)))
}

/// It may be given work: the store answers.
async fn readyz(State(site): State<Site>) -> impl IntoResponse {
    well(site.status.is_ready(now(&site.engine.clock)))
}

fn now(clock: &Clock) -> chrono::DateTime<chrono::Utc> {
    clock.now()
}

fn well(result: Result<(), String>) -> (StatusCode, String) {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(site): State<Site>) -> impl IntoResponse {
    let open = site.engine.store.open_runs(site.engine.clock.now()).await;
    let text = metrics::render(&site.status, open.as_ref().ok());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text)
}
