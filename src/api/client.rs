//! Sending one request: the key, the limiter, retries.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use url::{Host, Url};

use super::{
    ApiError, Rate, Retry,
    allowance::Allowance,
    answer,
    body::Bodies,
    depth::{MOST_DEPTH, is_too_deep},
    limiter::{Budget, Limiter, Turn},
    patience::{Patience, Reading},
};
use crate::{clock::Clock, secret::Secret};

/// The largest answer that is read of lists and the like.
const MAX_BYTES: usize = 64 << 20;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The API's address, without `/v1`.
    pub url: Url,
    /// The key.
    pub key: Option<Secret>,
    /// Send it as `Authorization: Bearer` instead of `x-api-key`.
    pub bearer: bool,
    /// The budget; lowered where the server allows less.
    pub requests_per_minute: u32,
    /// The budget of custom queries.
    pub custom_per_minute: u32,
    /// The most requests at once.
    pub max_in_flight: u32,
    /// Whether answers may come packed.
    pub gzip: bool,
    /// Who asks.
    pub user_agent: String,
}

/// The client. Clones share connections and the rate budget.
#[derive(Clone)]
pub struct Client {
    /// Made when it is first needed: reading the machine's certificates takes half of a small run.
    http: Arc<OnceLock<reqwest::Client>>,
    options: Arc<ClientOptions>,
    limiter: Arc<Limiter>,
    /// Of other keys.
    budgets: Arc<Mutex<HashMap<String, Arc<Limiter>>>>,
    counters: Arc<Counters>,
    clock: Clock,
    base_delay: Duration,
}

/// Whether an address leads in the clear to this machine, where no proxy and no redirect asks for TLS.
fn is_on_this_machine(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && is_loopback
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    bodies: Bodies,
}

/// What a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Query requests answered, pages included.
    pub requests: u64,
    /// Requests that had to be sent again.
    pub retries: u64,
}

impl Client {
    /// A client.
    pub fn new(options: ClientOptions, clock: Clock) -> Self {
        let limiter = Limiter::of(&options);
        Self {
            http: Arc::default(),
            options: Arc::new(options),
            limiter: Arc::new(limiter),
            budgets: Arc::default(),
            counters: Arc::default(),
            clock,
            base_delay: Duration::from_millis(500),
        }
    }

    /// What keeps the connections.
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    fn http(&self) -> Result<&reqwest::Client, ApiError> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let options = &self.options;
        let http = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            .gzip(options.gzip)
            .tls_built_in_root_certs(!is_on_this_machine(&options.url))
            // A redirect would carry the key to whatever address it names
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(120))
            // The server closes idle connections after 10 s (measured)
            .pool_idle_timeout(Duration::from_secs(8))
            .build()
            .map_err(ApiError::Client)?;
        // Of two that are made at once one stays
        Ok(self.http.get_or_init(|| http))
    }

    /// The same client with another first delay between tries.
    #[must_use]
    pub fn with_backoff(self, base_delay: Duration) -> Self {
        Self { base_delay, ..self }
    }

    /// The same client with counts of its own.
    #[must_use]
    pub fn for_run(&self) -> Self {
        Self {
            counters: Arc::default(),
            ..self.clone()
        }
    }

    /// The same connections with another key, and so with another rate budget: one for each key, however
    /// often it is asked for.
    ///
    /// # Panics
    /// Never: nobody panics while holding the budgets.
    #[must_use]
    pub fn with_key(&self, key: Secret) -> Self {
        let own = self.options.key.as_ref();
        if own.is_some_and(|own| own.expose() == key.expose()) {
            return self.clone();
        }
        let mut budgets = self.budgets.lock().expect("nobody panics while holding it");
        let limiter = budgets
            .entry(key.expose().to_owned())
            .or_insert_with(|| Arc::new(Limiter::of(&self.options)));
        let limiter = Arc::clone(limiter);
        drop(budgets);
        let options = ClientOptions {
            key: Some(key),
            ..ClientOptions::clone(&self.options)
        };
        Self {
            options: Arc::new(options),
            limiter,
            ..self.clone()
        }
    }

    /// So many programs use the same keys: each keeps to its part of every budget that this client and
    /// its clones know.
    ///
    /// # Panics
    /// Never: nobody panics while holding the budgets.
    pub fn share(&self, sharers: usize) {
        self.limiter.share(sharers);
        let budgets = self.budgets.lock().expect("nobody panics while holding it");
        for limiter in budgets.values() {
            limiter.share(sharers);
        }
    }

    /// Whether it has a key.
    pub fn has_key(&self) -> bool {
        self.options.key.is_some()
    }

    /// What it has sent.
    pub fn counts(&self) -> Counts {
        Counts {
            requests: self.counters.requests.load(Ordering::Relaxed),
            retries: self.counters.retries.load(Ordering::Relaxed),
        }
    }

    /// How much of the rate budget of queries is used, by all clones of this client.
    pub fn rate(&self) -> Rate {
        self.limiter.rate(Budget::Standard)
    }

    /// Keeps the memory of an answer for the next one.
    pub(super) fn reuse(&self, answer: Bytes) {
        self.counters.bodies.reuse(answer);
    }

    pub(super) fn count_query(&self) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends until there is an answer that is JSON and no error, or no try is left.
    pub(super) async fn send(
        &self,
        budget: Budget,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, ApiError> {
        let not_json = || ApiError::Protocol {
            path: path.split('?').next().unwrap_or(path).to_owned(),
            what: "it is not JSON".to_owned(),
        };
        let text = |answer: &Bytes| {
            let text = std::str::from_utf8(answer).map_err(|_| not_json())?;
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| not_json())?;
            Ok(text.to_owned())
        };
        let reading = Reading {
            max_bytes: MAX_BYTES,
            is_packed: false,
        };
        self.send_and_read(budget, method, path, body, reading, text)
            .await
    }

    /// Sends until there is an answer that can be read and is no error, or no try is left.
    pub(super) async fn send_and_read<T>(
        &self,
        budget: Budget,
        method: Method,
        path: &str,
        body: Option<&Value>,
        reading: Reading,
        read: impl Fn(&Bytes) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut patience = Patience::new(reading);
        loop {
            let sent = self.send_once(budget, &method, path, body, reading.max_bytes);
            match sent.await.and_then(|answer| read(&answer)) {
                Ok(answer) => return Ok(answer),
                Err(error) => self.wait_after(error, &mut patience, budget, path).await?,
            }
        }
    }

    /// Waits until the request may be sent again.
    ///
    /// # Errors
    /// It would fail again, or no try is left.
    pub(super) async fn wait_after(
        &self,
        error: ApiError,
        patience: &mut Patience,
        budget: Budget,
        path: &str,
    ) -> Result<(), ApiError> {
        let is_exhausted = patience.is_exhausted_by(&error);
        let wait = match error.retry_advice() {
            Retry::No => return Err(error),
            _ if is_exhausted => return Err(error),
            Retry::After(wait) => wait,
            // A stale connection of the pool is tried again at once
            Retry::Backoff
                if patience.is_first()
                    && matches!(&error, ApiError::Unreachable { source, .. } if source.is_request() && !source.is_connect()) =>
            {
                Duration::ZERO
            }
            Retry::Backoff => self.backoff(patience.failures()),
        };
        self.counters.retries.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(path, %error, wait_ms = wait.as_millis(), "request is sent again");
        if error.kind() == super::Kind::RateLimited {
            self.limiter.pause(budget, wait);
        } else {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Exponential, with full jitter.
    fn backoff(&self, tries: u32) -> Duration {
        let longest = self
            .base_delay
            .saturating_mul(2_u32.saturating_pow(tries.min(6)));
        longest.mul_f64(fastrand::f64())
    }

    /// The headers of an answer, whatever it says.
    pub(super) async fn head(&self, path: &str) -> Result<HeaderMap, ApiError> {
        let url = format!("{}{path}", self.options.url.as_str().trim_end_matches('/'));
        let shown = self.options.url.to_string();
        let answer = self.http()?.get(&url).send().await;
        let answer = answer.map_err(|source| ApiError::Unreachable {
            url: shown,
            source: source.without_url(),
        })?;
        Ok(answer.headers().clone())
    }

    pub(super) async fn send_once(
        &self,
        budget: Budget,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        max_bytes: usize,
    ) -> Result<Bytes, ApiError> {
        let url = format!("{}{path}", self.options.url.as_str().trim_end_matches('/'));
        let mut request = self.http()?.request(method.clone(), &url);
        if let Some(key) = &self.options.key {
            request = if self.options.bearer {
                request.bearer_auth(key.expose())
            } else {
                request.header("x-api-key", key.expose())
            };
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let shown = self.options.url.to_string();
        let unreachable = |source: reqwest::Error| ApiError::Unreachable {
            url: shown.clone(),
            source: source.without_url(),
        };
        let mut turn = self.limiter.turn(budget).await;
        let response = request.send().await.map_err(unreachable)?;
        self.learn(&mut turn, budget, method, response.headers());
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = self.counters.bodies.read(response, max_bytes).await;
        let answer = answer.map_err(unreachable)?;
        tracing::debug!(%method, path, status = status.as_u16(), "answered");
        let answer = answer.ok_or_else(|| ApiError::TooLarge {
            path: path.split('?').next().unwrap_or(path).to_owned(),
            max_bytes,
        })?;
        let answer = self.check(status, &headers, answer)?;
        if is_too_deep(&answer) {
            return Err(ApiError::Protocol {
                path: path.split('?').next().unwrap_or(path).to_owned(),
                what: format!("it is nested deeper than {MOST_DEPTH} levels"),
            });
        }
        Ok(answer)
    }

    /// Tells the limiter what the server says of its window. Where it says no more than that nothing
    /// is left, everybody waits for the reset, or the rate is lowered to the limit, read as one a minute.
    fn learn(&self, turn: &mut Turn<'_>, budget: Budget, method: &Method, headers: &HeaderMap) {
        let said = Allowance::read(headers, self.clock.now());
        // A list that says nothing leaves open what queries will say
        if said.is_some() || *method == Method::POST {
            turn.answered(said.as_ref());
        }
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u32>().ok();
        if said.is_some() || number("x-ratelimit-remaining") != Some(0) {
            return;
        }
        if let Some(wait) = answer::wait_in(headers, self.clock.now()) {
            tracing::debug!(
                wait_ms = wait.as_millis(),
                "the window of requests is used up"
            );
            self.limiter.pause(budget, wait);
        } else if let Some(limit) = number("x-ratelimit-limit").filter(|limit| *limit > 0) {
            tracing::debug!(limit, "the server allows fewer requests");
            self.limiter.lower(budget, limit);
        }
    }

    fn check(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        answer: Bytes,
    ) -> Result<Bytes, ApiError> {
        if status.is_success() {
            return Ok(answer);
        }
        if status.is_redirection() {
            let target = headers
                .get("location")
                .and_then(|value| value.to_str().ok());
            return Err(ApiError::Redirected {
                url: self.options.url.to_string(),
                target: target.unwrap_or("another address").to_owned(),
            });
        }
        let (status, text) = (status.as_u16(), String::from_utf8_lossy(&answer));
        Err(answer::refusal(status, headers, &text, self.clock.now()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
