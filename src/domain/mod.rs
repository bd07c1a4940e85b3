//! The nouns of the house. No async, no I/O, no arrow, no tokio: values and pure functions.

pub mod catalog;
pub mod channel;
pub mod country;
pub mod course;
pub mod custom;
pub mod destination;
pub mod due;
pub mod event;
mod expression;
pub mod hook;
pub mod job;
pub mod personal;
pub mod preset;
pub mod query;
pub mod recipients;
pub mod request;
pub mod run;
pub mod schedule;
pub mod target;
pub mod website;
pub mod window;
