//! The real program against servers and data made here: `cargo bench --bench jobs -- help`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the tables are what this is for"
)]

mod backfill;
mod child;
mod export;
mod limiter;
mod machine;
mod mail;
mod pieces;
mod project;
mod rate;
mod report;
mod rows;
mod scheduler;
mod server;

use std::{error::Error, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures databuddy-jobs. Tables of Markdown go to standard output.
#[derive(Debug, Parser)]
#[command(
    bin_name = "cargo bench --bench jobs --",
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    bench: Option<Bench>,
    /// What is measured where no bench is named.
    #[command(flatten)]
    export: export::ExportArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The program; the one just built where none is named
    #[arg(long, global = true, value_name = "PATH", default_value = env!("CARGO_BIN_EXE_databuddy-jobs"), hide_default_value = true)]
    binary: PathBuf,
    /// Cargo says so
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU, time and memory of exports of many rows; what is measured where no bench is named
    Export(export::ExportArgs),
    /// Time and refusals where the server limits requests
    Limiter(limiter::LimiterArgs),
    /// Requests of a year's backfill
    Backfill(backfill::BackfillArgs),
    /// The service with many jobs: readiness, memory, idle CPU, lateness, runs that do nothing
    Scheduler(scheduler::SchedulerArgs),
    /// What a message to one more recipient costs
    Mail(mail::MailArgs),
    /// CPU of a report with its chart, once the data are there
    Report(report::ReportArgs),
    /// The parent of one measured run
    #[command(hide = true)]
    Child {
        costs: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let binary = &arguments.common.binary;
    let done = match &arguments.bench {
        None => export::run(&arguments.export, binary),
        Some(Bench::Export(args)) => export::run(args, binary),
        Some(Bench::Limiter(args)) => limiter::run(args, binary),
        Some(Bench::Backfill(args)) => backfill::run(args, binary),
        Some(Bench::Scheduler(args)) => scheduler::run(args, binary),
        Some(Bench::Mail(args)) => mail::run(args, binary),
        Some(Bench::Report(args)) => report::run(args),
        Some(Bench::Child { costs, command }) => child::parent(costs, command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
