//! databuddy-jobs: scheduled exports and emailed reports for the Databuddy web-analytics API.
//!
//! The map of the house, lowest floor first. A module imports from lower floors and from itself;
//! `tests/architecture.rs` fails on an import that goes up or sideways.

// L0: the only door to the time of day; a value that prints as ***
pub mod clock;
pub mod secret;
// L1: the nouns. No async, no I/O, no arrow, no tokio
pub mod domain;
// L2: what an attempt will do, as a pure value
pub mod plan;
