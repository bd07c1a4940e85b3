//! The health of the API, in both shapes, and what time it is there.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::Value;

use super::{ApiError, Client, limiter::Budget};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it says that all is well. The February 2026 server always does, also when its
    /// databases are down (measured).
    pub is_healthy: bool,
    /// Its parts: `clickhouse`, `database`, `redis`; none where it names none.
    pub parts: Vec<(String, bool)>,
    /// Its version, where it says one.
    pub version: Option<String>,
}

impl Client {
    /// Asks for the server's health. Needs no key.
    ///
    /// # Errors
    /// The server cannot be reached, or answers something else.
    pub async fn health(&self) -> Result<Health, ApiError> {
        let path = "/health";
        let text = self.send(Budget::Standard, Method::GET, path, None).await?;
        let body: Value = serde_json::from_str(&text).map_err(|e| ApiError::Protocol {
            path: path.to_owned(),
            what: e.to_string(),
        })?;
        let parts: Vec<(String, bool)> = ["clickhouse", "database", "redis"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), body[name].as_bool()?)))
            .collect();
        let says = body["success"]
            .as_bool()
            .or_else(|| Some(body["status"].as_str()? == "ok"));
        let Some(says) = says else {
            return Err(ApiError::Protocol {
                path: path.to_owned(),
                what: "it has neither `success` nor `status`".to_owned(),
            });
        };
        Ok(Health {
            is_healthy: says && parts.iter().all(|(_, is_up)| *is_up),
            parts,
            version: body["version"].as_str().map(str::to_owned),
        })
    }

    /// The server's present instant, to the second, from the `Date` of its answer; `None` where it
    /// sends none.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn server_time(&self) -> Result<Option<DateTime<Utc>>, ApiError> {
        let headers = self.head("/health").await?;
        let date = headers.get("date").and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        Ok(date.map(|at| at.with_timezone(&Utc)))
    }
}
