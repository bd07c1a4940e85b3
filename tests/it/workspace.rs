//! A project in a temporary folder, and the real binary that works in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// A project of its own; gone when dropped.
pub(crate) struct TestWorkspace(tempfile::TempDir);

#[allow(dead_code, reason = "two test binaries share it, neither uses all")]
impl TestWorkspace {
    /// A project with the example jobs.
    pub(crate) fn with_examples() -> Self {
        let workspace = Self(tempfile::tempdir().unwrap());
        let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
        for entry in fs::read_dir(jobs).unwrap() {
            let entry = entry.unwrap();
            let name = format!("jobs/{}", entry.file_name().to_str().unwrap());
            workspace.write(&name, &fs::read_to_string(entry.path()).unwrap());
        }
        workspace
    }

    /// A project without anything.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The program with nothing but these arguments set.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_databuddy-jobs"));
        command.args(args).env_clear().current_dir(self.path());
        command
    }

    /// Runs the program with nothing but these arguments set.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the program with `--json`; its exit code and document.
    pub(crate) fn json(&self, args: &[&str]) -> (i32, Value) {
        self.json_with(args, &[])
    }

    /// The same with environment variables.
    pub(crate) fn json_with(&self, args: &[&str], env: &[(&str, &str)]) -> (i32, Value) {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let output = self
            .command(&args)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let document =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{errors}"));
        (output.status.code().unwrap(), document)
    }

    /// The bytes of all files below a folder, by path.
    pub(crate) fn contents(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |file: PathBuf| (file.clone(), fs::read(self.path().join(file)).unwrap());
        self.files(folder).into_iter().map(read).collect()
    }

    /// All files below a folder, sorted, relative to the project.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.path().join(folder)];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(self.path()).unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}
