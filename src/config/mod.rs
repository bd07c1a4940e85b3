//! Settings and job files: YAML in, validated values out, problems with file and line.

mod environment;
mod interpolate;
mod job_file;
mod problem;
mod settings;

pub use environment::Environment;
pub use problem::{Problem, Problems};
pub use settings::{Auth, MailUrl, Settings};

use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::domain::job::Job;
use problem::nearest;

/// A project's settings and jobs.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's folder, absolute.
    pub root: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its jobs, by name.
    pub jobs: Vec<Job>,
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
    let file = settings::read(&root, env, &mut problems);
    let mut jobs = Vec::new();
    let paths = job_paths(&root, &mut problems);
    for path in &paths {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !options.only.is_empty() && !options.only.contains(&name) {
            continue;
        }
        match job_file::read(path, &name, &root, env, &file.defaults, &options.set) {
            Ok(job) => jobs.push(job),
            Err(problem) => problems.push(problem),
        }
    }
    let names: Vec<String> = paths
        .iter()
        .filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    for wanted in options.only.iter().filter(|wanted| !names.contains(wanted)) {
        problems.push(Problem {
            file: root.join("jobs"),
            line: 0,
            column: 0,
            message: format!("there is no job `{wanted}`"),
            hint: nearest(wanted, names.iter().map(String::as_str)),
        });
    }
    let settings = settings::resolve(&root, file, env, options.sandbox, &mut problems);
    match settings {
        Some(settings) if problems.is_empty() => Ok(Project {
            root,
            settings,
            jobs,
        }),
        _ => Err(Problems(problems)),
    }
}

/// The job files of the project, by name.
fn job_paths(root: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let folder = root.join("jobs");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        problems.push(Problem {
            file: folder,
            line: 0,
            column: 0,
            message: "there is no folder `jobs` here".to_owned(),
            hint: Some("start in the project's folder, name it with --project, or write one with `databuddy-jobs init`".to_owned()),
        });
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    paths.sort();
    paths
}

/// Puts the keys of `under` that `over` lacks into it, mapping by mapping.
fn merge(over: &mut Value, under: &Value) {
    if let (Value::Mapping(over), Value::Mapping(under)) = (over, under) {
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
