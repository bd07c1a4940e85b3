//! databuddy-jobs: scheduled exports and emailed reports for the Databuddy web-analytics API.
//!
//! The map of the house, lowest floor first. A module imports from lower floors and from itself;
//! `tests/architecture.rs` fails on an import that goes up or sideways.

// L0: the only door to the time of day; a value that prints as ***
pub mod clock;
pub mod secret;
// L1: the nouns. No async, no I/O, no arrow, no tokio
pub mod domain;
// L2: what an attempt will do, and rows as tables: pure values
pub mod plan;
pub mod table;
// L3: one boundary to the outside each; neighbours never import each other
pub mod api;
pub mod config;
pub mod export;
pub mod mail;
pub mod notify;
pub mod report;
pub mod store;
// L4: the only floor that sees all of L3
pub mod engine;
// L5: an independent stand-in of the Databuddy API on a real socket; what `serve` answers
pub mod sandbox;
pub mod web;
// L6: one file a subcommand; args, exit codes, the only place that prints
pub mod cli;
