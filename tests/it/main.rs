//! The integration tests, in one binary: they drive the real program against the sandbox.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod answers;
mod api;
mod backfill;
mod buckets;
mod campaign;
mod channels;
mod columns;
mod commands;
mod config;
mod contract;
mod failures;
mod generate;
mod lake;
mod mail;
mod outcome;
mod pages;
mod replay;
mod reports;
mod run;
mod s3;
mod sandbox;
mod serve;
mod server;
mod smtp_sink;
mod traps;
mod workspace;
