//! A project in a temporary folder, as a person would write it.

use std::{ffi::OsString, fs, net::SocketAddr, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    Result,
    child::{self, Cost},
};

/// Settings and one job.
#[derive(Debug)]
pub(crate) struct Project {
    folder: TempDir,
    binary: PathBuf,
}

impl Project {
    /// A project whose one job is `job`.
    pub(crate) fn new(binary: &std::path::Path, job: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("jobs"))?;
        fs::write(folder.path().join("jobs/job.yaml"), job)?;
        Ok(Self {
            folder,
            binary: binary.canonicalize()?,
        })
    }

    /// Where the API is, and whether answers may come packed.
    pub(crate) fn with_server(self, server: SocketAddr, gzip: bool) -> Result<Self> {
        let settings = format!(
            "api: {{ url: \"http://{server}\", key: dbdy_bench, requests_per_minute: 10000, gzip: {gzip} }}\n"
        );
        fs::write(self.folder.path().join("databuddy-jobs.yaml"), settings)?;
        Ok(self)
    }

    /// A file of the project.
    pub(crate) fn with_file(self, name: &str, text: &str) -> Result<Self> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
        fs::write(path, text)?;
        Ok(self)
    }

    /// Forgets what earlier runs wrote, runs the program, and reads what it says.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(Cost, Value)> {
        for name in ["lake", ".databuddy-jobs"] {
            let path = self.folder.path().join(name);
            if path.exists() {
                fs::remove_dir_all(path)?;
            }
        }
        let mut command = vec![OsString::from(&self.binary)];
        command.extend(arguments.iter().map(OsString::from));
        command.extend(["--json", "--quiet", "--no-progress"].map(OsString::from));
        let (cost, printed) = child::run(self.folder.path(), &command)?;
        Ok((cost, serde_json::from_slice(&printed)?))
    }
}
