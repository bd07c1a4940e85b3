//! Settings and job files: YAML in, validated values out, every problem with file and line.

mod channels;
mod check;
mod environment;
mod export_keys;
mod finding;
mod interpolate;
mod job_file;
mod job_keys;
mod key_words;
mod problem;
mod queries;
mod query_keys;
mod reference;
mod report_keys;
mod reports;
mod settings;
mod settings_keys;
mod source;
mod spans;
mod stores;
mod together;
mod walk;

pub use environment::Environment;
pub use job_file::{JobSource, job_schema};
pub use problem::{Problem, Problems};
pub use reference::{job_reference, settings_reference, type_reference};
pub use settings::{Auth, MailUrl, RunnerSettings, Settings, WebSettings};

use std::{
    collections::{HashMap, HashSet},
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread::ScopedJoinHandle,
};

use serde_json::Value;

use crate::domain::job::Job;
use check::nearest;
use job_file::{ReadJob, Surroundings};

/// A project's settings and jobs.
#[derive(Debug)]
pub struct Project {
    /// The project's folder, absolute.
    pub root: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its jobs, by name.
    pub jobs: Vec<Job>,
    /// Where the keys of each job stand, in the order of `jobs`.
    pub sources: Vec<JobSource>,
    /// What only a server knows, or what looks like a slip.
    pub warnings: Vec<Problem>,
}

/// What the command line says about the project.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Use the embedded API.
    pub sandbox: bool,
    /// `--set`: dotted paths of a job with their values.
    pub set: Vec<(String, String)>,
    /// The jobs asked for; empty: all.
    pub only: Vec<String>,
}

/// Reads a project.
///
/// # Errors
/// The problems of all files.
pub fn load(root: &Path, env: &Environment, options: &Options) -> Result<Project, Problems> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut problems = Vec::new();
    let schema = job_schema();
    let (source, settings) = settings::read(&root, env, options.sandbox, &schema, &mut problems);
    let source = Arc::new(source);
    let around = Surroundings {
        root: &root,
        env,
        settings: &source,
        sandbox: options.sandbox,
        set: &options.set,
    };
    let mut jobs = Vec::new();
    let mut sources = Vec::new();
    let mut warnings = Vec::new();
    let paths = job_paths(&root, &mut problems);
    let names: Vec<&str> = paths.iter().map(|p| stem(p)).collect();
    let only: HashSet<&str> = options.only.iter().map(String::as_str).collect();
    let is_wanted = |path: &&PathBuf| only.is_empty() || only.contains(stem(path));
    let mut wanted: Vec<&PathBuf> = paths.iter().filter(is_wanted).collect();
    problems.extend(wanted.windows(2).filter_map(|pair| twice(pair[0], pair[1])));
    wanted.dedup_by_key(|path| stem(path));
    for read in read_jobs(&wanted, &schema, &around) {
        problems.extend(read.problems);
        warnings.extend(read.warnings);
        if let Some(job) = read.job {
            jobs.push(job);
            sources.push(read.source);
        }
    }
    let known: HashSet<&str> = names.iter().copied().collect();
    let is_unknown = |wanted: &&String| !known.contains(wanted.as_str());
    for wanted in options.only.iter().filter(is_unknown) {
        let hint = match nearest(wanted, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", names.join(", ")),
        };
        let message = format!("there is no job `{wanted}`");
        problems.push(Problem::of_file(root.join("jobs"), message, Some(hint)));
    }
    let clashes = clashes(&jobs.iter().collect::<Vec<_>>());
    problems.extend(
        clashes
            .iter()
            .map(|clash| clash.problem(&sources[clash.job])),
    );
    if let Some(settings) = &settings {
        let surveyed = stores::Survey {
            settings,
            file: &source,
            env,
            jobs: &jobs,
            sources: &sources,
        };
        problems.extend(surveyed.problems());
        // Of some jobs alone nobody can tell what the others need
        if options.only.is_empty() {
            warnings.extend(surveyed.warnings());
        }
    }
    match (settings, Problems::of(problems)) {
        (Some(settings), None) => Ok(Project {
            root,
            settings,
            jobs,
            sources,
            warnings,
        }),
        (_, Some(problems)) => Err(problems),
        (None, None) => unreachable!("settings are missing only where there are problems"),
    }
}

/// Files that are worth a thread of their own.
const WORTH_A_THREAD: usize = 250;

/// Reads job files, on all cores where they are many; in their order.
fn read_jobs(paths: &[&PathBuf], schema: &Value, around: &Surroundings<'_>) -> Vec<ReadJob> {
    let read = |paths: &[&PathBuf]| -> Vec<ReadJob> {
        let each = paths.iter();
        each.map(|path| job_file::read(path, schema, around))
            .collect()
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(paths.len() / WORTH_A_THREAD);
    if threads < 2 {
        return read(paths);
    }
    std::thread::scope(|scope| {
        let parts = paths.chunks(paths.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || read(part))).collect();
        let read = running.into_iter().map(ScopedJoinHandle::join);
        read.flat_map(|jobs| jobs.expect("reading a file does not panic"))
            .collect()
    })
}

/// Reads the settings of a project alone: its jobs may be missing or broken.
///
/// # Errors
/// The problems of the settings.
pub fn load_settings(
    root: &Path,
    env: &Environment,
    sandbox: bool,
) -> Result<(PathBuf, Settings), Problems> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut problems = Vec::new();
    let (_, settings) = settings::read(&root, env, sandbox, &job_schema(), &mut problems);
    match (settings, Problems::of(problems)) {
        (Some(settings), None) => Ok((root, settings)),
        (_, Some(problems)) => Err(problems),
        (None, None) => unreachable!("settings are missing only where there are problems"),
    }
}

/// Two jobs that would write the same files.
#[derive(Debug)]
pub struct Clash {
    /// The place of the later one.
    pub job: usize,
    /// The place of its export.
    pub export: usize,
    /// The name of the other.
    pub other: String,
    /// The query whose files these are.
    pub query: String,
}

impl Clash {
    /// The problem, in the file of the later one.
    pub fn problem(&self, source: &JobSource) -> Problem {
        source.problem_at(
            &format!("/exports/{}/to", self.export),
            format!(
                "the job `{}` would write the same files of `{}`",
                self.other, self.query
            ),
            Some("give one of them another `to` or `path`".to_owned()),
        )
    }
}

/// Jobs that would write the files of one before them.
pub fn clashes(jobs: &[&Job]) -> Vec<Clash> {
    // By what tells files apart: with thousands of jobs, comparing each with each takes minutes
    let mut writers: HashMap<String, &str> = HashMap::new();
    let mut clashes = Vec::new();
    for (place, job) in jobs.iter().enumerate() {
        let mut own = Vec::new();
        for (export, to) in job.exports.iter().enumerate() {
            let path = to.path.as_ref();
            if path.is_some_and(|path| path.contains("job")) {
                continue;
            }
            let keys = together::file_keys(to);
            let taken = keys
                .iter()
                .find_map(|(key, query)| Some((*writers.get(key)?, *query)));
            clashes.extend(taken.map(|(other, query)| Clash {
                job: place,
                export,
                other: other.to_owned(),
                query: query.to_owned(),
            }));
            own.extend(keys.into_iter().map(|(key, _)| key));
        }
        for key in own {
            writers.entry(key).or_insert(&job.name);
        }
    }
    clashes
}

fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|s| s.to_str())
        .unwrap_or_default()
}

/// The job files of the project, by name.
fn job_paths(root: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let folder = root.join("jobs");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        let hint = "start in the project's folder, name it with --project, or write one with `databuddy-jobs init`";
        problems.push(Problem::of_file(
            folder,
            "there is no such folder",
            Some(hint.to_owned()),
        ));
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    paths.sort_by(|one, other| (stem(one), one).cmp(&(stem(other), other)));
    paths
}

/// The problem of two files that follow each other and are of one job.
fn twice(one: &Path, other: &Path) -> Option<Problem> {
    if stem(one) != stem(other) {
        return None;
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    let message = format!(
        "two files define the job `{}`: `{}` and `{}`",
        stem(one),
        name(one),
        name(other)
    );
    let hint = "remove one of the two".to_owned();
    Some(Problem::of_file(other, message, Some(hint)))
}

/// Puts the keys of `under` that `over` lacks into it, mapping by mapping.
fn merge(over: &mut Value, under: &Value) {
    if let (Value::Object(over), Value::Object(under)) = (over, under) {
        for (key, value) in under {
            match over.get_mut(key) {
                Some(own) => merge(own, value),
                None => {
                    over.insert(key.clone(), value.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
