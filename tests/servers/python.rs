//! The Python that has what the tests need.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The environment that `.ci/setup` makes, else the machine's.
pub(crate) fn interpreter() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python");
    if own.exists() {
        own
    } else {
        PathBuf::from("python3")
    }
}

/// What is missing, and how to get it; `None` where nothing is.
pub(crate) fn missing() -> Option<String> {
    let code = "import aiosmtpd, trustme, pyarrow, duckdb";
    let done = Command::new(interpreter())
        .args(["-c", code])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => None,
        _ => Some(
            "no python3 with aiosmtpd, trustme, pyarrow and duckdb: run `bash .ci/setup`"
                .to_owned(),
        ),
    }
}

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/servers")
        .join(name)
}
