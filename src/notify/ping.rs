//! A dead-man switch: somebody is told of every success, and raises the alarm when nothing comes.

use std::time::Duration;

use crate::secret::Secret;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is tried.
const TRIES: u32 = 3;

/// Asks for an address, as switches of this kind want it.
///
/// # Errors
/// In words, without the address, which is a secret: nobody answered, or with something else than a success.
pub async fn ping(url: &Secret) -> Result<(), String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    let client = client.map_err(|error| error.without_url().to_string())?;
    let mut why = String::new();
    for _ in 0..TRIES {
        match client.get(url.expose()).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => why = format!("it answered {}", answer.status()),
            Err(error) => why = error.without_url().to_string(),
        }
    }
    Err(why)
}
