//! Tests against servers and readers of others: a real SMTP server, Azurite, Postgres, pyarrow, `DuckDB`. `.ci/setup`
//! installs them; without them these tests are skipped and say so, and with `CI=true` they fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed, as it should; a test that is skipped says so"
)]

mod azure;
#[path = "../it/contract.rs"]
mod contract;
#[cfg(feature = "delta")]
mod delta;
mod postgres;
mod python;
mod readers;
#[path = "../it/replay.rs"]
#[allow(dead_code, reason = "two test binaries share it, neither uses all")]
mod replay;
#[path = "../it/server.rs"]
mod server;
mod smtp;
mod store;
#[path = "../it/workspace.rs"]
mod workspace;

use std::{collections::BTreeMap, process::ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn();

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let by_python = smtp::TESTS.iter().chain(readers::TESTS);
    #[cfg(feature = "delta")]
    let by_python = by_python.chain(delta::TESTS);
    let by_python = by_python.zip(std::iter::repeat(python::missing()));
    let by_node = azure::TESTS.iter();
    let by_node = by_node.zip(std::iter::repeat(python::missing().or_else(azure::missing)));
    let by_postgres = store::TESTS
        .iter()
        .zip(std::iter::repeat(postgres::missing()));
    let is_ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let trials = by_python.chain(by_node).chain(by_postgres).map(
        |((name, test), missing): (&(&str, Test), _)| {
            if let Some(why) = missing.as_ref().filter(|_| !is_ci) {
                *skipped.entry(why.clone()).or_default() += 1;
            }
            let (test, is_skipped) = (*test, missing.is_some() && !is_ci);
            let trial = Trial::test(*name, move || {
                missing.map_or(Ok(()), |why| Err(Failed::from(why)))?;
                test();
                Ok(())
            });
            trial.with_ignored_flag(is_skipped)
        },
    );
    let trials: Vec<Trial> = trials.collect();
    for (why, tests) in skipped {
        println!("{tests} tests are skipped: {why}");
    }
    let conclusion = libtest_mimic::run(&args, trials);
    postgres::stop();
    conclusion.exit_code()
}
