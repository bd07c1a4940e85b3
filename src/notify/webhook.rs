//! Webhooks: JSON to an address of somebody else's, signed where a secret is shared.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, StatusCode};
use ring::hmac;
use serde_json::Value;

use crate::secret::Secret;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a message is tried.
const TRIES: u32 = 3;

/// Before the second try; doubles then.
const PAUSE: Duration = Duration::from_millis(500);

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

impl Webhook<'_> {
    /// Posts a body, with `X-Databuddy-Jobs-Id`, `-Timestamp` (Unix seconds) and, with a secret, `-Signature`:
    /// `sha256=` and the HMAC-SHA256 (hex) of timestamp, a point and the body.
    ///
    /// # Errors
    /// In words, without the address: nobody answered, or with something else than a success. What the
    /// receiver declines (4xx but 429) is not tried again.
    pub async fn post(&self, body: &Value) -> Result<(), String> {
        let client = Client::builder()
            .timeout(PATIENCE)
            // The address is a secret: it is not told to whomever it points to
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client = client.map_err(|error| error.without_url().to_string())?;
        let body = body.to_string();
        let mut tries = 0;
        loop {
            tries += 1;
            let (why, may_pass) = match self.send(&client, &body).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) => {
                    let may_pass =
                        status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                    (format!("it answered {status}"), may_pass)
                }
                Err(error) => (error.without_url().to_string(), true),
            };
            if !may_pass || tries == TRIES {
                return Err(why);
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(tries - 1)).await;
        }
    }

    async fn send(&self, client: &Client, body: &str) -> Result<StatusCode, reqwest::Error> {
        let timestamp = self.at.timestamp();
        let mut request = client
            .post(self.url.expose())
            .header("content-type", "application/json")
            .header("x-databuddy-jobs-id", self.id)
            .header("x-databuddy-jobs-timestamp", timestamp);
        if let Some(secret) = self.secret {
            let signature = sign(secret, timestamp, body);
            request = request.header("x-databuddy-jobs-signature", signature);
        }
        Ok(request.body(body.to_owned()).send().await?.status())
    }
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
