//! The Databuddy API: one concrete client with a limiter, bounded retries and pages.

mod answer;
mod client;
mod custom;
mod error;
mod health;
mod limiter;
mod lists;
mod query;
mod track;

pub use client::{Client, ClientOptions, Counts};
pub use error::{ApiError, Kind, Retry};
pub use health::Health;
pub use query::{Complete, PartError, Rows};
pub use track::{RefusedEvent, Tracking};
