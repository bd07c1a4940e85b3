//! The Databuddy API: one concrete client with a limiter, bounded retries and pages.

mod allowance;
mod answer;
mod body;
mod client;
mod custom;
mod depth;
mod error;
mod health;
mod limiter;
mod lists;
mod pace;
mod pages;
mod patience;
mod query;
mod rows;
mod track;
mod window;

pub use client::{Client, ClientOptions, Counts};
pub use error::{ApiError, Kind, Retry};
pub use health::Health;
pub use pace::Rate;
pub use pages::{Complete, Next, Pages};
pub use query::{Page, PartError, PartResult};
pub use rows::TakeRows;
pub use track::{RefusedEvent, Tracking};
