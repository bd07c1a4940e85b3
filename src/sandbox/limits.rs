//! Rate limits: so many requests of a key in a minute of the clock.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use axum::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{
    options::{Generation, SandboxOptions},
    refusal::Refusal,
};

/// What is counted on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Budget {
    Standard,
    Custom,
}

/// Requests of the current minute, with its number.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<Spender, (i64, u32)>>);

type Spender = (&'static str, Budget);

/// What is left of a minute's budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    /// The instant at which the next minute begins.
    pub(super) reset: i64,
}

impl Limits {
    /// Counts a request; `None` where there is no limit.
    pub(super) fn take(
        &self,
        options: &SandboxOptions,
        key: &'static str,
        budget: Budget,
        now: DateTime<Utc>,
    ) -> Result<Option<Left>, Refusal> {
        let limit = match budget {
            Budget::Standard => options.requests_per_minute,
            Budget::Custom => options.custom_requests_per_minute,
        };
        if limit == 0 {
            return Ok(None);
        }
        let minute = now.timestamp().div_euclid(60);
        let reset = (minute + 1) * 60;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry((key, budget)).or_insert((minute, 0));
        if count.0 != minute {
            *count = (minute, 0);
        }
        if count.1 >= limit {
            let wait = reset - now.timestamp();
            return Err(refusal(options.generation, limit, reset, wait));
        }
        count.1 += 1;
        Ok(Some(Left {
            limit,
            remaining: limit - count.1,
            reset,
        }))
    }
}

/// The 429 of a generation.
pub(super) fn refusal(generation: Generation, limit: u32, reset: i64, wait: i64) -> Refusal {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let instant = DateTime::from_timestamp(reset, 0).unwrap_or_default();
    let instant = instant.to_rfc3339_opts(SecondsFormat::Millis, true);
    let refusal = match generation {
        Generation::Seed => Refusal::new(status, "RATE_LIMITED", "Too many requests")
            .header("retry-after", wait.to_string())
            .extra(json!({ "retryAfter": wait })),
        Generation::Server2026_02 => {
            let message = "Rate limit exceeded. Please try again later.";
            let extra =
                json!({ "limit": limit, "remaining": 0, "reset": instant, "retryAfter": wait });
            Refusal::new(status, "RATE_LIMIT_EXCEEDED", message)
                .without_id()
                .extra(extra)
        }
    };
    refusal
        .header("x-ratelimit-limit", limit.to_string())
        .header("x-ratelimit-remaining", "0")
        .header("x-ratelimit-reset", reset.to_string())
}
