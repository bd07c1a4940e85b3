//! The tracking API ("basket"): events sent one at a time or in batches, each item's result read.

use reqwest::Method;
use serde_json::Value;

use super::{ApiError, Client, answer::cut, limiter::Budget};
use crate::domain::event::TrackedEvent;

/// Which addresses a tracking server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// The seed's: `/` and `/batch` with `type: custom`.
    Seed,
    /// Later ones: `/track`, without a type.
    Track,
}

/// An event that the server did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// Its place among those that were sent.
    pub place: usize,
    /// Why, in the server's words.
    pub reason: String,
}

impl Client {
    /// Sends events, at most [`crate::domain::event::MAX_BATCH`]; those that were refused.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses them for a reason that is not about an event.
    pub async fn track(
        &self,
        website_id: &str,
        events: &[TrackedEvent],
        tracking: Tracking,
    ) -> Result<Vec<RefusedEvent>, ApiError> {
        match (tracking, events) {
            (_, []) => Ok(Vec::new()),
            (Tracking::Seed, [event]) => {
                let path = format!("/?client_id={}", percent(website_id));
                self.post_one(&path, &event.body(true)).await
            }
            (Tracking::Seed, events) => self.post_batch(website_id, events).await,
            (Tracking::Track, events) => self.post_track(website_id, events).await,
        }
    }

    async fn post_one(&self, path: &str, body: &Value) -> Result<Vec<RefusedEvent>, ApiError> {
        let answer = match self.post(path, body).await {
            Ok(answer) => answer,
            Err(error) => return about_the_event(error).map(|reason| vec![first(reason)]),
        };
        Ok(refusal_of(&answer).map(first).into_iter().collect())
    }

    /// A batch is answered item by item, inside a 200 that says success (measured).
    async fn post_batch(
        &self,
        website_id: &str,
        events: &[TrackedEvent],
    ) -> Result<Vec<RefusedEvent>, ApiError> {
        let path = format!("/batch?client_id={}", percent(website_id));
        let body: Value = events.iter().map(|event| event.body(true)).collect();
        let answer = self.post(&path, &body).await?;
        let results = answer["results"]
            .as_array()
            .filter(|r| r.len() == events.len());
        let results = results.ok_or_else(|| ApiError::Protocol {
            path: "/batch".to_owned(),
            what: format!("`results` must have {} entries, one an event", events.len()),
        })?;
        let refused = results.iter().enumerate();
        Ok(refused
            .filter_map(|(place, result)| {
                Some(RefusedEvent {
                    place,
                    reason: refusal_of(result)?,
                })
            })
            .collect())
    }

    /// One bad event makes `/track` refuse the whole array: halves find which it is.
    async fn post_track(
        &self,
        website_id: &str,
        events: &[TrackedEvent],
    ) -> Result<Vec<RefusedEvent>, ApiError> {
        let path = format!("/track?website_id={}", percent(website_id));
        let mut refused = Vec::new();
        let mut open = Vec::new();
        open.push(0..events.len());
        while let Some(range) = open.pop() {
            let body: Value = match &events[range.clone()] {
                [event] => event.body(false),
                several => several.iter().map(|event| event.body(false)).collect(),
            };
            let reason = match self.post(&path, &body).await {
                Ok(answer) => refusal_of(&answer),
                Err(error) => Some(about_the_event(error)?),
            };
            match reason {
                None => {}
                Some(reason) if range.len() == 1 => refused.push(RefusedEvent {
                    place: range.start,
                    reason,
                }),
                Some(_) => {
                    let middle = range.start + range.len() / 2;
                    open.push(middle..range.end);
                    open.push(range.start..middle);
                }
            }
        }
        Ok(refused)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let text = self
            .send(Budget::Standard, Method::POST, path, Some(body))
            .await?;
        self.count_query();
        serde_json::from_str(&text).map_err(|e| ApiError::Protocol {
            path: path.split('?').next().unwrap_or(path).to_owned(),
            what: e.to_string(),
        })
    }
}

fn first(reason: String) -> RefusedEvent {
    RefusedEvent { place: 0, reason }
}

/// A 400 or 422 is about the events; every other refusal is about all of them.
fn about_the_event(error: ApiError) -> Result<String, ApiError> {
    match error {
        ApiError::Refused {
            status: 400 | 422,
            message,
            ..
        } => Ok(message),
        error => Err(error),
    }
}

/// Why an item was not taken; `None` where it was. `ignored` is what a server says that takes the
/// sender for a robot (measured).
fn refusal_of(answer: &Value) -> Option<String> {
    let status = answer["status"].as_str();
    let ok = status.map_or_else(|| answer["success"] == true, |status| status == "success");
    if ok {
        return None;
    }
    let said = answer["message"]
        .as_str()
        .or(answer["error"].as_str())
        .or(status);
    Some(cut(said.unwrap_or_default()))
}

fn percent(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
