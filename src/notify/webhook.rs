//! Webhooks: JSON to an address of somebody else's, signed where a secret is shared.

use std::{error::Error, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use ring::hmac;
use serde_json::Value;

use crate::secret::Secret;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take: shorter, so that a message that was surely not sent is known as such.
const CONNECTING: Duration = Duration::from_secs(5);

/// How often a message is tried that may arrive twice.
const TRIES: u32 = 3;

/// Before the second try; doubles then.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest that a receiver may ask for; Slack takes one message a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A message for a webhook.
#[derive(Debug)]
pub struct Webhook<'a> {
    /// Where to; it often holds a key.
    pub url: &'a Secret,
    /// What it is signed with; `None`: it is not.
    pub secret: Option<&'a Secret>,
    /// The same for every try of the same message: whoever receives it twice can tell.
    pub id: &'a str,
    /// When it was made.
    pub at: DateTime<Utc>,
}

/// How a failed message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The receiver will not take this message.
    Refused,
    /// It was not taken; it may work a little later.
    NotYet,
    /// The connection was lost after the message was handed over: it may have been taken.
    Unknown,
}

/// A try that failed.
#[derive(Debug)]
pub struct Failed {
    /// How it stands.
    pub failure: Failure,
    /// Why, in words without the address.
    pub why: String,
    /// How long the receiver wants to be left alone, within reason.
    pub pause: Option<Duration>,
    /// Whether it took the message and did not answer in time.
    pub is_silent: bool,
}

impl Webhook<'_> {
    /// Posts a body, with `X-Databuddy-Jobs-Id` (and the same as `Idempotency-Key`), `-Timestamp` (Unix
    /// seconds) and, with a secret, `-Signature`: `sha256=` and the HMAC-SHA256 (hex) of timestamp, a
    /// point and the body. It is tried three times, also where it may have arrived.
    ///
    /// # Errors
    /// In words, without the address: nobody answered, or with something else than a success. What the
    /// receiver declines (4xx but 408 and 429) is not tried again.
    pub async fn post(&self, body: &Value) -> Result<(), String> {
        let mut tries = 0;
        loop {
            tries += 1;
            let Err(failed) = self.post_once(body).await else {
                return Ok(());
            };
            if failed.failure == Failure::Refused || tries == TRIES {
                return Err(failed.why);
            }
            let pause = PAUSE * 2_u32.pow(tries - 1);
            tokio::time::sleep(failed.pause.unwrap_or(pause)).await;
        }
    }

    /// The same with a single try: whoever keeps account of it can wait, stop or be killed between two.
    ///
    /// # Errors
    /// How the failed message stands.
    pub async fn post_once(&self, body: &Value) -> Result<(), Failed> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECTING)
            // The address is a secret: it is not told to whomever it points to
            .redirect(reqwest::redirect::Policy::none())
            .build();
        self.send(&client.map_err(lost)?, &body.to_string()).await
    }

    async fn send(&self, client: &Client, body: &str) -> Result<(), Failed> {
        let timestamp = self.at.timestamp();
        let mut request = client
            .post(self.url.expose())
            .header("content-type", "application/json")
            .header("idempotency-key", self.id)
            .header("x-databuddy-jobs-id", self.id)
            .header("x-databuddy-jobs-timestamp", timestamp);
        if let Some(secret) = self.secret {
            let signature = sign(secret, timestamp, body);
            request = request.header("x-databuddy-jobs-signature", signature);
        }
        match request.body(body.to_owned()).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(self.declined(answer).await),
            Err(error) => Err(lost(error)),
        }
    }

    /// What an answer says that is no success.
    async fn declined(&self, answer: Response) -> Failed {
        let status = answer.status();
        let passes = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        let seconds = answer.headers().get(RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let pause = seconds.map(Duration::from_secs);
        let reason = answer.text().await.unwrap_or_default();
        let reason = match reason.trim() {
            word if is_code(word) && !self.url.expose().contains(word) => format!(" ({word})"),
            // It may repeat the address
            _ => String::new(),
        };
        Failed {
            failure: if passes {
                Failure::NotYet
            } else {
                Failure::Refused
            },
            why: format!("it answered {status}{reason}"),
            pause: pause.map(|pause| pause.min(LONGEST_PAUSE)),
            is_silent: false,
        }
    }
}

/// A reason as Slack gives it: `no_service`, `channel_is_archived`.
fn is_code(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    (3..=60).contains(&word.len()) && word.chars().all(plain)
}

/// What nobody answered.
fn lost(error: reqwest::Error) -> Failed {
    let failure = if error.is_connect() || error.is_builder() {
        Failure::NotYet
    } else {
        Failure::Unknown
    };
    let is_silent = failure == Failure::Unknown && error.is_timeout();
    let why = match failure {
        Failure::Unknown => "the connection was lost after the message was handed over: ",
        _ => "",
    };
    Failed {
        failure,
        why: format!("{why}{}", in_words(error)),
        pause: None,
        is_silent,
    }
}

/// An error with its causes, without the address.
fn in_words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    words.dedup();
    words.join(": ")
}

fn sign(secret: &Secret, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}.{body}").as_bytes());
    format!("sha256={}", hex::encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_any_other_implementation() {
        // printf '1795417560.{"a":1}' | openssl dgst -sha256 -hmac s3cret
        let signature = sign(&Secret::new("s3cret"), 1_795_417_560, r#"{"a":1}"#);
        assert_eq!(
            signature,
            "sha256=80c4c11ca180d06d829da37962aa0d3c99d42e6529684c0c5e8161c1d7e3bf60"
        );
    }
}
