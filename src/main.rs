//! Arguments, telemetry, exit code. Nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    databuddy_jobs::cli::main()
}
