//! What the API refuses, in words that say what to do next.

use std::time::Duration;

/// What can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The client could not be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    /// The server was not reached, or the connection broke.
    #[error("`{url}` cannot be reached: check the address (`api.url`) and the network")]
    Unreachable {
        /// The address, without query.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server wants the request elsewhere; the key is not sent there.
    #[error(
        "`{url}` redirects to `{target}`: set `api.url` to the right address; the key was not sent there"
    )]
    Redirected {
        /// The address of the settings.
        url: String,
        /// Where it points.
        target: String,
    },
    /// The server answered with an error.
    #[error("the server answered {status} {code}: {message}{}", remedy(*.status, .code))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code as it came; empty where there was none.
        code: String,
        /// The message, its details and the request id.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not what the API promises.
    #[error("the answer of `{path}` cannot be understood: {what}")]
    Protocol {
        /// Path of the request.
        path: String,
        /// What is wrong.
        what: String,
    },
}

/// Whether to ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again.
    No,
    /// After this long.
    After(Duration),
    /// After a pause that grows.
    Backoff,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name")]
pub enum Kind {
    Auth,
    Forbidden,
    NotFound,
    Invalid,
    RateLimited,
    Unavailable,
    Protocol,
}

impl ApiError {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Client(_) | Self::Redirected { .. } => Kind::Invalid,
            Self::Unreachable { .. } => Kind::Unavailable,
            Self::Protocol { .. } => Kind::Protocol,
            Self::Refused { status, .. } => match status {
                401 => Kind::Auth,
                402 | 403 => Kind::Forbidden,
                404 => Kind::NotFound,
                429 => Kind::RateLimited,
                500.. => Kind::Unavailable,
                _ => Kind::Invalid,
            },
        }
    }

    /// Whether a further attempt of the run may help, beyond what the client tries by itself. A
    /// custom query against a database that is down is refused with 400 (measured).
    pub fn is_worth_an_attempt(&self) -> bool {
        let asks_for_it = matches!(self, Self::Refused { code, message, .. }
            if code == "QUERY_ERROR" && message.contains("try again"));
        asks_for_it || self.retry_advice() != Retry::No
    }

    /// Whether to ask again.
    pub fn retry_advice(&self) -> Retry {
        match (self.kind(), self) {
            (
                _,
                Self::Refused {
                    retry_after: Some(wait),
                    ..
                },
            ) if matches!(self.kind(), Kind::RateLimited | Kind::Unavailable) => {
                Retry::After(*wait)
            }
            (Kind::RateLimited | Kind::Unavailable | Kind::Protocol, _) => Retry::Backoff,
            _ => Retry::No,
        }
    }
}

/// What to do next, by status and code. Source: `databuddy-api.md`, Errors.
fn remedy(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (401, _) => "; check DATABUDDY_API_KEY: a key without the scope read:data looks the same",
        (403, "INSUFFICIENT_SCOPE") => "; give the key the scope read:data",
        (403, _) => "; the key may not read this website, or it does not exist",
        (402, _) => "; the plan of this organisation does not include it",
        (404, _) => "; check the id: `websites` in the job selects what is asked for",
        _ => "",
    }
}
