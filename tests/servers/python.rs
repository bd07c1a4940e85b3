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
    let (packages, setup) = if cfg!(feature = "delta") {
        let packages = "aiosmtpd, trustme, pyarrow, duckdb, deltalake, duckdb_extension_delta";
        (packages, "bash .ci/setup delta")
    } else {
        ("aiosmtpd, trustme, pyarrow, duckdb", "bash .ci/setup")
    };
    let done = Command::new(interpreter())
        .args(["-c", &format!("import {packages}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => None,
        _ => Some(format!("no python3 with {packages}: run `{setup}`")),
    }
}

/// A script beside this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/servers")
        .join(name)
}
