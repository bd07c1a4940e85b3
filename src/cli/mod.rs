//! The command line: arguments in, results on standard output, everything else on standard error.

mod args;
mod backfill;
mod check;
mod completions;
mod control;
mod doctor;
mod exit;
mod gaps;
mod generate;
mod health;
mod init;
mod list;
mod note;
mod plan;
mod preview;
mod print;
mod progress;
mod resend;
mod run;
mod runs;
mod sandbox;
mod schema;
mod serve;
mod session;
mod suppress;
mod track;
mod types;
mod vacuum;
mod verify;
mod websites;

use std::{process::ExitCode, time::Duration};

use clap::Parser;

use args::{Cli, Command, Global, LogFormat};
use exit::Exit;

use crate::{clock::Clock, config::Problems, engine::EngineError};

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Settings or jobs are wrong.
    #[error("{0}")]
    Problems(Problems),
    /// The engine could not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An argument is wrong.
    #[error("{0}")]
    Argument(String),
    /// Something of the machine failed.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CliError {
    /// Wraps an error of the machine with what was tried.
    fn machine(
        what: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Problems(_) | Self::Argument(_) => Exit::WrongInput,
            Self::Engine(error) => Exit::of_error(error),
            Self::Machine { .. } => Exit::Failed,
        }
    }
}

/// How long threads that nobody waits for any more have for their last write. A template that loops
/// for hours is not waited for.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli.global);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("the machine gives threads and sockets to a new process");
    let result = runtime.block_on(dispatch(cli.command, &cli.global, &Clock::system()));
    runtime.shutdown_timeout(LAST_WRITES);
    let exit = match result {
        Ok(exit) => exit,
        Err(error) => {
            print::error(&error);
            error.exit()
        }
    };
    ExitCode::from(exit.code())
}

async fn dispatch(command: Command, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    match command {
        Command::Run(args) => run::run(&args, global, clock).await,
        Command::Plan(args) => plan::plan(&args, global, clock).await,
        Command::Check { jobs, online } => check::check(&jobs, online, global, clock).await,
        Command::Backfill(args) => backfill::backfill(&args, global, clock).await,
        Command::Serve => serve::serve(global, clock).await,
        Command::List => list::list(global, clock).await,
        Command::Next { job, count } => list::next(job.as_deref(), count, global, clock),
        Command::Runs { job, limit } => runs::runs(job.as_deref(), limit, global, clock).await,
        Command::Pause { job } => control::pause(&job, global, clock).await,
        Command::Resume { job } => control::resume(&job, global, clock).await,
        Command::Cancel { run } => control::cancel(&run, global, clock).await,
        Command::Show { run, open } => runs::show(&run, open, global, clock).await,
        Command::Resend(args) => resend::resend(&args, global, clock).await,
        Command::Suppress { action } => suppress::suppress(action, global, clock).await,
        Command::Preview(args) => preview::preview(&args, global, clock).await,
        Command::Gaps { job } => gaps::gaps(&job, global, clock).await,
        Command::Verify { job } => verify::verify(&job, global).await,
        Command::Websites => websites::websites(global, clock).await,
        Command::Types { name } => types::types(name.as_deref(), global, clock).await,
        Command::Health => health::health(global, clock).await,
        Command::Doctor => doctor::doctor(global, clock).await,
        Command::Track(args) => track::track(&args, global, clock).await,
        Command::Sandbox(args) => sandbox::sandbox(&args, global, clock).await,
        Command::Schema { markdown } => Ok(schema::schema(markdown)),
        Command::Vacuum => vacuum::vacuum(global, clock).await,
        Command::Generate(args) => generate::generate(&args, global),
        Command::Completions { shell } => Ok(completions::completions(shell)),
        Command::Init { folder } => init::init(&folder),
        Command::Other(words) => Err(unknown_command(&words)),
    }
}

fn unknown_command(words: &[String]) -> CliError {
    let name = words.first().map_or("", String::as_str);
    CliError::Argument(format!(
        "unknown command `{name}`; `databuddy-jobs --help` lists all"
    ))
}

fn start_log(global: &Global) {
    use tracing_subscriber::{EnvFilter, fmt};
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "databuddy_jobs=info,warn",
        (false, _) => "databuddy_jobs=debug,info",
    };
    let builder = fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::new(level))
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    match global.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}
