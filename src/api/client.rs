//! Sending one request: the key, the limiter, retries.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use url::Url;

use super::{
    ApiError, Retry, answer,
    limiter::{Budget, Limiter},
};
use crate::{clock::Clock, secret::Secret};

/// Tries of one request, 429s apart.
const TRIES: u32 = 5;

/// Waits for one request after 429s, before it is given up.
const RATE_LIMIT_WAITS: u32 = 30;

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
    /// Who asks.
    pub user_agent: String,
}

/// The client. Clones share connections and the rate budget.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    options: Arc<ClientOptions>,
    limiter: Arc<Limiter>,
    counters: Arc<Counters>,
    clock: Clock,
    base_delay: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
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
    ///
    /// # Errors
    /// The machine's certificates cannot be read.
    pub fn new(options: ClientOptions, clock: Clock) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder()
            .user_agent(&options.user_agent)
            // A redirect would carry the key to whatever address it names
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(120))
            // The server closes idle connections after 10 s (measured)
            .pool_idle_timeout(Duration::from_secs(8))
            .build()
            .map_err(ApiError::Client)?;
        let limiter = Limiter::of(&options);
        Ok(Self {
            http,
            options: Arc::new(options),
            limiter: Arc::new(limiter),
            counters: Arc::default(),
            clock,
            base_delay: Duration::from_millis(500),
        })
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

    /// The same connections with another key, and so with a rate budget of its own.
    #[must_use]
    pub fn with_key(&self, key: Secret) -> Self {
        let options = ClientOptions {
            key: Some(key),
            ..ClientOptions::clone(&self.options)
        };
        let limiter = Limiter::of(&options);
        Self {
            options: Arc::new(options),
            limiter: Arc::new(limiter),
            ..self.clone()
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
        let (mut tries, mut waits) = (0, 0);
        loop {
            let error = match self.send_once(budget, method.clone(), path, body).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            let is_429 = error.kind() == super::Kind::RateLimited;
            *(if is_429 { &mut waits } else { &mut tries }) += 1;
            let exhausted = tries >= TRIES || waits >= RATE_LIMIT_WAITS;
            let wait = match error.retry_advice() {
                Retry::No => return Err(error),
                _ if exhausted => return Err(error),
                Retry::After(wait) => wait,
                // A stale connection of the pool is tried again at once
                Retry::Backoff
                    if tries == 1
                        && matches!(&error, ApiError::Unreachable { source, .. } if source.is_request() && !source.is_connect()) =>
                {
                    Duration::ZERO
                }
                Retry::Backoff => self.backoff(tries + waits),
            };
            self.counters.retries.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(path, %error, wait_ms = wait.as_millis(), "request is sent again");
            if is_429 {
                self.limiter.pause(budget, wait);
            } else {
                tokio::time::sleep(wait).await;
            }
        }
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
        let answer = self.http.get(&url).send().await;
        let answer = answer.map_err(|source| ApiError::Unreachable {
            url: shown,
            source: source.without_url(),
        })?;
        Ok(answer.headers().clone())
    }

    async fn send_once(
        &self,
        budget: Budget,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, ApiError> {
        let url = format!("{}{path}", self.options.url.as_str().trim_end_matches('/'));
        let mut request = self.http.request(method.clone(), &url);
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
        let _turn = self.limiter.turn(budget).await;
        let response = request.send().await.map_err(unreachable)?;
        self.learn(budget, response.headers());
        let (status, headers) = (response.status(), response.headers().clone());
        let text = read(response).await.map_err(unreachable)?;
        tracing::debug!(%method, path, status = status.as_u16(), "answered");
        self.check(path, status, &headers, text)
    }

    /// Waits for the next window where the headers say that this one is used up. Where they do not
    /// say when it begins, the rate is lowered to the limit, read as one a minute.
    fn learn(&self, budget: Budget, headers: &HeaderMap) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u32>().ok();
        if number("x-ratelimit-remaining") != Some(0) {
            return;
        }
        if let Some(wait) = answer::reset_in(headers, self.clock.now()) {
            tracing::debug!(
                wait_ms = wait.as_millis(),
                "the window of requests is used up"
            );
            self.limiter.pause(budget, wait);
        } else if let Some(limit) = number("x-ratelimit-limit").filter(|limit| *limit > 0) {
            tracing::debug!(limit, "the server allows fewer requests");
            self.limiter.learn(budget, limit);
        }
    }

    fn check(
        &self,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        text: String,
    ) -> Result<String, ApiError> {
        let short = path.split('?').next().unwrap_or(path);
        if status.is_success() && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            return Ok(text);
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
        if status.is_success() {
            return Err(ApiError::Protocol {
                path: short.to_owned(),
                what: "it is not JSON".to_owned(),
            });
        }
        Err(answer::refusal(
            status.as_u16(),
            headers,
            &text,
            self.clock.now(),
        ))
    }
}

async fn read(response: Response) -> Result<String, reqwest::Error> {
    response.text().await
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
