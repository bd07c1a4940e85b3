//! `completions`: what a shell needs to complete commands and options.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{args::Cli, exit::Exit, print};

pub(super) fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "databuddy-jobs", &mut script);
    print::line(String::from_utf8_lossy(&script).trim_end());
    Exit::Done
}
