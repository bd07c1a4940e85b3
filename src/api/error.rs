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
    /// The answer does not fit into memory.
    #[error(
        "the answer of `{path}` is larger than {} MiB: narrow the window, or add a filter or a `limit`", .max_bytes >> 20
    )]
    TooLarge {
        /// Path of the request.
        path: String,
        /// What would have been read.
        max_bytes: usize,
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
            Self::Client(_) | Self::Redirected { .. } | Self::TooLarge { .. } => Kind::Invalid,
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

    /// Whether one part of a packed request may be the cause, so that its halves are worth a try: a
    /// server that is away or refuses the key fails them all alike.
    pub fn may_be_one_part(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 400 | 413 | 422 | 500 | 504),
            // What one part holds may be what the server fails to write down
            Self::Protocol { .. } => true,
            Self::Unreachable { source, .. } if source.is_body() || source.is_decode() => true,
            error => error.is_about_size(),
        }
    }

    /// Whether the request may have asked for too much at once.
    pub fn is_about_size(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 413 | 504),
            Self::TooLarge { .. } => true,
            Self::Unreachable { source, .. } => source.is_timeout() && !source.is_connect(),
            _ => false,
        }
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
        (403, "INSUFFICIENT_SCOPE") => {
            "; give the key the scopes read:data and read:websites (to send events: write:data or track:events)"
        }
        (403, _) => "; the key may not read this website or link, or it does not exist",
        (402, _) => "; the plan of this organisation does not include it",
        (404, "LINK_NOT_FOUND") => "; check `link` in the job",
        (404, _) => "; check the id: `websites` lists what the key may read",
        (429, _) => "; lower `api.requests_per_minute`, or let fewer programs use this key",
        (400, "INVALID_QUERY_TYPE") => "; `types` lists what this server has",
        (400, "INVALID_DATE_RANGE") => "; check `preset` or `window`",
        (400, "MISSING_WEBSITE_ID" | "MISSING_PROJECT_ID") => "; check `websites` in the job",
        (400, "COMPILATION_ERROR" | "QUERY_ERROR") => {
            "; check the table, columns and filters of the query"
        }
        (500.., _) => "; it may pass: run it again later",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_api_says_what_to_do_or_names_the_mistake_itself() {
        // Those without a remedy of ours carry `details` with field and suggestion
        let own_words = ["VALIDATION_ERROR", "SCHEDULE_NOT_FOUND"];
        for (status, codes) in [
            (401, &["AUTH_REQUIRED", "INVALID_API_KEY"][..]),
            (402, &["FEATURE_UNAVAILABLE"]),
            (403, &["ACCESS_DENIED", "INSUFFICIENT_SCOPE"]),
            (
                404,
                &["WEBSITE_NOT_FOUND", "LINK_NOT_FOUND", "SCHEDULE_NOT_FOUND"],
            ),
            (429, &["RATE_LIMITED", "RATE_LIMIT_EXCEEDED"]),
            (500, &["INTERNAL_SERVER_ERROR", "DATABASE_ERROR"]),
            (503, &["SERVICE_UNAVAILABLE"]),
            (504, &["TIMEOUT"]),
            (
                400,
                &[
                    "VALIDATION_ERROR",
                    "INVALID_QUERY_TYPE",
                    "INVALID_DATE_RANGE",
                    "MISSING_PROJECT_ID",
                    "MISSING_WEBSITE_ID",
                    "COMPILATION_ERROR",
                    "QUERY_ERROR",
                ],
            ),
        ] {
            for code in codes.iter().filter(|code| !own_words.contains(code)) {
                assert!(!remedy(status, code).is_empty(), "{status} {code}");
            }
        }
    }
}
