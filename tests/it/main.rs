//! The integration tests, in one binary: they drive the real program against the sandbox.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, as it should"
)]

mod api;
mod campaign;
mod commands;
mod config;
mod failures;
mod lake;
mod replay;
mod run;
mod sandbox;
mod serve;
mod server;
mod traps;
mod workspace;
