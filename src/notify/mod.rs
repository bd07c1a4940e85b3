//! Telling services of others that something happened.

mod ping;
mod webhook;

pub use ping::ping;
pub use webhook::{Failure, Webhook};
