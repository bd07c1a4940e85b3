//! Telling services of others that something happened.

mod ping;

pub use ping::ping;
