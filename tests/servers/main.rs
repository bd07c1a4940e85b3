//! Tests against servers and readers of others: a real SMTP server, pyarrow, `DuckDB`. `.ci/setup`
//! installs them; without them these tests are skipped and say so, and with `CI=true` they fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed, as it should; a test that is skipped says so"
)]

mod python;
mod readers;
mod smtp;
#[path = "../it/workspace.rs"]
mod workspace;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Test = fn();

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let tests = smtp::TESTS.iter().chain(readers::TESTS);
    let missing = python::missing();
    let is_ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    let trials = tests.map(|(name, test): &(&str, Test)| {
        let (test, missing) = (*test, missing.clone());
        let skipped = missing.is_some() && !is_ci;
        let trial = Trial::test(*name, move || {
            missing.map_or(Ok(()), |why| Err(Failed::from(why)))?;
            test();
            Ok(())
        });
        trial.with_ignored_flag(skipped)
    });
    let trials: Vec<Trial> = trials.collect();
    if let Some(why) = missing.filter(|_| !is_ci) {
        println!("{} tests are skipped: {why}", trials.len());
    }
    libtest_mimic::run(&args, trials).exit_code()
}
