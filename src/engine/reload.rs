//! Job files that change while the service runs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::clash::Held;
use crate::{
    config::{Clash, Environment, Options, load},
    domain::job::Job,
};

/// The job files of a project, as they were seen last.
#[derive(Debug)]
pub struct JobFiles {
    root: PathBuf,
    env: Environment,
    options: Options,
    seen: BTreeMap<String, Stamp>,
    /// Why the file of a job cannot be used, by the job's name.
    pub(super) broken: BTreeMap<String, String>,
    /// Jobs that would write the files of another one, by name.
    pub(super) held: BTreeMap<String, Held>,
}

type Stamp = Option<(SystemTime, u64)>;

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Jobs that are new, or have another definition.
    pub(super) put: Vec<Job>,
    /// Jobs whose file is gone.
    pub(super) removed: Vec<String>,
    /// Whether other files are broken than before, or in another way.
    pub(super) broken_changed: bool,
}

impl JobFiles {
    /// Notes the files of a project. To be called before they are read: what changes in between is
    /// read once more.
    pub fn note(root: &Path, env: Environment, options: Options) -> Self {
        let mut files = Self {
            root: root.to_owned(),
            env,
            options,
            seen: BTreeMap::new(),
            broken: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        files.seen = files.stamps();
        files
    }

    /// What is wrong with files, by the job's name.
    pub(super) fn broken(&self) -> &BTreeMap<String, String> {
        &self.broken
    }

    /// Whether there is a file of that job now, be it broken.
    pub(super) fn has(&self, name: &str) -> bool {
        let jobs = self.root.join("jobs");
        let is_there = |end: &str| jobs.join(format!("{name}.{end}")).exists();
        is_there("yaml") || is_there("yml")
    }

    /// Looks for changes, and reads the files that have changed.
    pub(super) fn changes(&mut self) -> Changes {
        let now = self.stamps();
        let mut changes = Changes::default();
        if now == self.seen {
            return changes;
        }
        // `defaults` of the settings are part of every job
        let all = now.get(SETTINGS) != self.seen.get(SETTINGS);
        for (name, stamp) in now.iter().filter(|(name, _)| *name != SETTINGS) {
            if all || self.seen.get(name) != Some(stamp) {
                self.read(name, &mut changes);
            }
        }
        for name in self.seen.keys().filter(|name| !now.contains_key(*name)) {
            changes.removed.push(name.clone());
            changes.broken_changed |= self.broken.remove(name).is_some();
        }
        self.seen = now;
        changes
    }

    fn read(&mut self, name: &str, changes: &mut Changes) {
        let options = Options {
            only: vec![name.to_owned()],
            ..self.options.clone()
        };
        match load(&self.root, &self.env, &options) {
            Ok(mut project) => {
                changes.broken_changed |= self.broken.remove(name).is_some();
                changes.put.append(&mut project.jobs);
            }
            Err(problems) => {
                let why = problems.to_string();
                tracing::error!(job = name, %why, "its file is broken: its last good version is used");
                self.broken.insert(name.to_owned(), why);
                changes.broken_changed = true;
            }
        }
    }

    /// In words, with its line, why a job would write the files of another.
    pub(super) fn reason(&self, job: &Job, clash: &Clash) -> String {
        let options = Options {
            only: vec![job.name.clone()],
            ..self.options.clone()
        };
        let project = load(&self.root, &self.env, &options).ok();
        let source = project.as_ref().and_then(|project| project.sources.first());
        source.map_or_else(
            || format!("the job `{}` would write the same files", clash.other),
            |source| clash.problem(source).to_string(),
        )
    }

    fn stamps(&self) -> BTreeMap<String, Stamp> {
        let stamp = |path: &Path| -> Stamp {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let folder = fs::read_dir(self.root.join("jobs"));
        let paths = folder
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.path()));
        let jobs = paths.filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"));
        let named = jobs.filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            Some((name, stamp(&path)))
        });
        let settings = stamp(&self.root.join(SETTINGS));
        named.chain([(SETTINGS.to_owned(), settings)]).collect()
    }
}

/// Beside the names of jobs, none of which has a dot.
const SETTINGS: &str = "databuddy-jobs.yaml";
