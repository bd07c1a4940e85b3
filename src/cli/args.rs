//! The command line, as clap reads it.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    domain::recipients::address_of,
    engine::At,
    sandbox::{Fault, Generation},
};

/// Scheduled exports and emailed reports for the Databuddy web-analytics API.
#[derive(Debug, Parser)]
#[command(
    name = "databuddy-jobs",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(super) struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// The project's folder, with `jobs/` and `templates/`
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub project: PathBuf,
    /// Use the embedded API instead of Databuddy's: no key, no account, no network
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more (-vv: every request)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// How log lines are written to standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// No progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A page of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Page {
    /// Keys of a job file: docs/jobs.md.
    Jobs,
    /// The table of docs/settings.md.
    Settings,
    /// What is known of query types: docs/query-types.md.
    Types,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run jobs now, once
    Run(RunArgs),
    /// Print what `run` would do: window, requests, files, recipients
    Plan(PlanArgs),
    /// Validate settings, jobs and templates
    Check {
        /// Jobs to check; all where none is named
        jobs: Vec<String>,
        /// Also against the server, the destinations and the mail server
        #[arg(long)]
        online: bool,
    },
    /// Fill a range of windows in, resumable and never in the way of other runs
    Backfill(BackfillArgs),
    /// Run every enabled job when it is due, until stopped
    Serve,
    /// The jobs with their schedule and last run
    List,
    /// The coming ticks in local time and UTC
    Next {
        /// The job; all where none is named
        job: Option<String>,
        /// Ticks of each job
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
    /// The history of runs, newest first
    Runs {
        /// The job; all where none is named
        job: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// One run in full
    Show {
        /// The run's id, or a unique beginning of it
        run: String,
        /// Write its mails to out/mails/RUN as they were sent, and open the first one
        #[arg(long)]
        open: bool,
    },
    /// Send the stored mails of a run again, without asking the API
    Resend(ResendArgs),
    /// Addresses that get no mail, whatever a job says
    Suppress {
        /// What to do with the list
        #[command(subcommand)]
        action: SuppressAction,
    },
    /// Stop a job's ticks, in every `serve`, until it is resumed
    Pause {
        /// The job
        job: String,
    },
    /// Let a paused job have its ticks again
    Resume {
        /// The job
        job: String,
    },
    /// Cancel a run that waits or is under way, wherever it runs
    Cancel {
        /// The run's id, or a unique beginning of it
        run: String,
    },
    /// Render a job's reports to files without sending them
    Preview(PreviewArgs),
    /// Windows that are missing in the lake
    Gaps {
        /// The job
        job: String,
    },
    /// The lake against its manifests: hash, rows, columns
    Verify {
        /// The job
        job: String,
    },
    /// The websites that the key may read
    Websites,
    /// The query types of the server, or what is known of one
    Types {
        /// A query type, under the name of any generation
        name: Option<String>,
    },
    /// What the server says of itself
    Health,
    /// Diagnose server, key, clock, store, destinations and mail
    Doctor,
    /// Send one event, or a file of JSON lines
    Track(TrackArgs),
    /// Serve the embedded Databuddy-compatible API until stopped
    Sandbox(SandboxArgs),
    /// The JSON Schema of a job file
    Schema {
        /// Print a page of the reference instead, as Markdown
        #[arg(long, value_name = "PAGE")]
        markdown: Option<Page>,
    },
    /// Remove runs that are older than `store.keep_runs`
    Vacuum,
    /// Print the files that run the jobs under systemd, on Kubernetes, or by cron
    Generate(GenerateArgs),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write a starter project
    Init {
        /// The folder; made where it is missing
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// A command of the contract that is not built yet
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Which jobs, and when.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// The jobs' names
    #[arg(required = true, value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The tick to run for: a date (its first scheduled tick) or an instant with an offset
    #[arg(long, value_name = "DATE|INSTANT")]
    pub at: Option<At>,
    /// Only this website
    #[arg(long, value_name = "ID")]
    pub website: Option<String>,
    /// Override a key of the job
    #[arg(long, value_name = "PATH=VALUE", value_parser = set_value)]
    pub set: Vec<(String, String)>,
}

/// What `preview` takes.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// The jobs' names
    #[arg(required_unless_present = "run", value_name = "JOB")]
    pub jobs: Vec<String>,
    /// Instead: the reports of a run again, from the data that was kept of them
    #[arg(long, value_name = "RUN", conflicts_with_all = ["jobs", "at", "website", "set"])]
    pub run: Option<String>,
    /// The tick to render for: a date (its first scheduled tick) or an instant with an offset
    #[arg(long, value_name = "DATE|INSTANT")]
    pub at: Option<At>,
    /// Only this website
    #[arg(long, value_name = "ID")]
    pub website: Option<String>,
    /// Override a key of the job
    #[arg(long, value_name = "PATH=VALUE", value_parser = set_value)]
    pub set: Vec<(String, String)>,
    /// The folder for the files, relative to the project
    #[arg(long, value_name = "DIR", default_value = "out/preview")]
    pub out: PathBuf,
    /// Open the first one in the browser
    #[arg(long)]
    pub open: bool,
    /// Send each report as a test to this address too, outside the ledger
    #[arg(long, value_name = "ADDRESS", value_parser = mail_address)]
    pub send_to: Option<String>,
}

/// What `run` takes.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Which jobs, and when.
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Write and send even what is there already
    #[arg(long)]
    pub force: bool,
    /// Leave it to a running `serve`, and do not wait for it
    #[arg(long, conflicts_with_all = ["force", "website", "set"])]
    pub queue: bool,
}

/// What `resend` takes.
#[derive(Debug, Args)]
pub(super) struct ResendArgs {
    /// The run's id, or a unique beginning of it
    pub run: String,
    /// Only what was refused or not handed over
    #[arg(long)]
    pub failed: bool,
    /// Only what may have been sent, or not; ask first
    #[arg(long)]
    pub unknown: bool,
}

/// What `suppress` does.
#[derive(Debug, Subcommand)]
pub(super) enum SuppressAction {
    /// Put addresses on the list
    Add {
        /// The addresses
        #[arg(required = true, value_name = "ADDRESS", value_parser = address)]
        addresses: Vec<String>,
        /// Why; it stands in the record of every run that leaves them out
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Take addresses off the list
    Remove {
        /// The addresses
        #[arg(required = true, value_name = "ADDRESS", value_parser = address)]
        addresses: Vec<String>,
    },
    /// Print the list
    List,
}

/// What `backfill` takes.
#[derive(Debug, Args)]
pub(super) struct BackfillArgs {
    /// The job
    pub job: String,
    /// The first day
    #[arg(long, value_name = "DATE")]
    pub from: NaiveDate,
    /// The last day
    #[arg(long, value_name = "DATE")]
    pub to: NaiveDate,
    /// Which windows: those that lack files, those that failed, or all
    #[arg(long, value_enum, default_value = "missing")]
    pub only: OnlyWord,
    /// Which windows come first
    #[arg(long, value_enum, default_value = "oldest")]
    pub order: OrderWord,
    /// Send the reports of the windows too
    #[arg(long)]
    pub reports: bool,
    /// Only this website
    #[arg(long, value_name = "ID")]
    pub website: Option<String>,
    /// Override a key of the job
    #[arg(long, value_name = "PATH=VALUE", value_parser = set_value)]
    pub set: Vec<(String, String)>,
    /// Write and send even what is there already, and take new column types
    #[arg(long)]
    pub force: bool,
}

/// Which windows a backfill fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnlyWord {
    /// Those that lack a manifest or a file
    Missing,
    /// Those whose manifest lists a failed step
    Failed,
    /// All
    All,
}

/// Which windows come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderWord {
    /// The oldest
    Oldest,
    /// The newest
    Newest,
}

/// What `generate` takes.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Where the jobs are to run
    pub target: Target,
    /// systemd, crontab: the program's path; default this one
    #[arg(long, value_name = "PATH")]
    pub program: Option<PathBuf>,
    /// Kubernetes: the image
    #[arg(long, value_name = "IMAGE", default_value = concat!("databuddy-jobs:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// Kubernetes: a `CronJob` for each job, or runners that share the work through Postgres
    #[arg(long, value_enum, default_value = "cronjobs")]
    pub shape: Shape,
}

/// Where the jobs are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// A hardened unit for `serve`
    Systemd,
    /// Manifests
    Kubernetes,
    /// Lines that call `run`
    Crontab,
}

/// How the jobs run on Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// A `CronJob` for each job, which calls `run`
    Cronjobs,
    /// A Deployment of `serve`
    Runners,
}

/// What `track` takes.
#[derive(Debug, Args)]
pub(super) struct TrackArgs {
    /// A file with one event a line: {"name":…, "properties":{…}, "anonymousId":…, "timestamp":…}
    #[arg(conflicts_with_all = ["name", "property", "anonymous_id", "session_id", "timestamp", "event_id"])]
    pub file: Option<PathBuf>,
    /// The website that the events belong to
    #[arg(long, value_name = "ID")]
    pub website: String,
    /// The event's name, 1 to 128 characters
    #[arg(long)]
    pub name: Option<String>,
    /// A property; numbers and true or false are sent as such
    #[arg(long, value_name = "KEY=VALUE", value_parser = set_value)]
    pub property: Vec<(String, String)>,
    /// The visitor
    #[arg(long, value_name = "ID")]
    pub anonymous_id: Option<String>,
    /// The visitor's session
    #[arg(long, value_name = "ID")]
    pub session_id: Option<String>,
    /// Milliseconds since 1970; default now
    #[arg(long, value_name = "MS")]
    pub timestamp: Option<i64>,
    /// What makes a repeat no duplicate; default a new one
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
}

/// What `sandbox` takes.
#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Where it listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    pub listen: std::net::SocketAddr,
    /// The server that it is like: seed, 2026-02
    #[arg(long, value_name = "NAME", default_value = "seed")]
    pub generation: Generation,
    /// Decides its rows
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Requests that a key may make in a minute; 0: any number
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub requests_per_minute: u32,
    /// Custom queries that a key may make in a minute; 0: any number
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub custom_requests_per_minute: u32,
    /// Something that goes wrong on purpose, always or with a probability: rate-limit, part-failure,
    /// reorder, truncate, slow, repeat-page, drop-connection, database-down
    #[arg(long, value_name = "KIND[=PROBABILITY]")]
    pub fault: Vec<Fault>,
    /// Decides when faults happen
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub fault_seed: u64,
}

fn mail_address(text: &str) -> Result<String, String> {
    match text.parse::<lettre::message::Mailbox>() {
        Ok(_) if !text.contains(['\r', '\n']) => Ok(text.to_owned()),
        _ => Err(format!(
            "`{}` is no mail address, like ann@example.org",
            text.escape_debug()
        )),
    }
}

fn set_value(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(path, value)| (path.trim().to_owned(), value.to_owned()))
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| format!("`{text}` is not of the form KEY=VALUE, like retry.attempts=1"))
}

/// An address as the ledger knows it: alone, in lower case.
fn address(text: &str) -> Result<String, String> {
    address_of(text).ok_or_else(|| format!("`{text}` is no mail address; write ann@example.org"))
}
