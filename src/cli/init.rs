//! `init`: writes a starter project that runs in the sandbox as it is.

use std::{fs, io, path::Path};

use super::{CliError, exit::Exit, print};

/// The files of a starter project: the example jobs and the report of this repository.
const FILES: [(&str, &str); 9] = [
    (
        "databuddy-jobs.yaml",
        include_str!("init/databuddy-jobs.yaml"),
    ),
    (
        "jobs/nightly-export.yaml",
        include_str!("../../jobs/nightly-export.yaml"),
    ),
    (
        "jobs/weekly-report.yaml",
        include_str!("../../jobs/weekly-report.yaml"),
    ),
    ("jobs/one-off.yaml", include_str!("../../jobs/one-off.yaml")),
    (
        "templates/weekly/report.yaml",
        include_str!("../../templates/weekly/report.yaml"),
    ),
    (
        "templates/weekly/subject.txt",
        include_str!("../../templates/weekly/subject.txt"),
    ),
    (
        "templates/weekly/preheader.txt",
        include_str!("../../templates/weekly/preheader.txt"),
    ),
    (
        "templates/weekly/body.html",
        include_str!("../../templates/weekly/body.html"),
    ),
    (
        "templates/weekly/body.txt",
        include_str!("../../templates/weekly/body.txt"),
    ),
];

/// Writes each file that is not there yet; never overwrites one.
pub(super) fn init(folder: &Path) -> Result<Exit, CliError> {
    for (name, text) in FILES {
        let path = folder.join(name);
        let written = write_new(&path, text);
        let written = written.map_err(|e| {
            CliError::machine(format!("cannot write `{}`", path.display()))(e.into())
        })?;
        print::line(format!(
            "{} {}",
            if written { "wrote" } else { "kept " },
            path.display()
        ));
    }
    print::note("next: databuddy-jobs check, then databuddy-jobs run nightly-export --sandbox");
    Ok(Exit::Done)
}

fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::File::create_new(path) {
        Ok(mut file) => io::Write::write_all(&mut file, text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
