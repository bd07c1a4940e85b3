//! One job file: from its text to a job, with every problem on the way.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use schemars::SchemaGenerator;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Environment, Problem,
    finding::Finding,
    interpolate::{interpolate, redact},
    job_keys::JobKeys,
    merge,
    source::Source,
    together,
    walk::walk,
};
use crate::domain::job::Job;

/// What is taken into every job file.
pub(super) struct Surroundings<'a> {
    /// The project's folder.
    pub(super) root: &'a Path,
    /// The environment.
    pub(super) env: &'a Environment,
    /// The settings, for their `defaults`.
    pub(super) settings: &'a Arc<Source>,
    /// Whether the embedded API is used, which has a key of its own.
    pub(super) sandbox: bool,
    /// `--set`: dotted paths with their values.
    pub(super) set: &'a [(String, String)],
}

/// A job file that was read; where its keys stand.
#[derive(Debug)]
pub struct JobSource {
    /// The job's name.
    pub name: String,
    file: PathBuf,
    /// Of a file without problems it is forgotten, and read again when a place in it is asked for:
    /// thousands of texts are not kept for that.
    source: OnceLock<Source>,
    defaults: Option<Arc<Source>>,
    set: Vec<(String, String)>,
    hidden: Vec<String>,
}

/// What became of a job file.
#[derive(Debug)]
pub(super) struct ReadJob {
    pub(super) source: JobSource,
    /// `None` where there are problems.
    pub(super) job: Option<Job>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// The JSON Schema of a job file.
pub fn job_schema() -> Value {
    SchemaGenerator::default()
        .into_root_schema_for::<JobKeys>()
        .to_value()
}

/// Reads one job file.
pub(super) fn read(path: &Path, schema: &Value, around: &Surroundings<'_>) -> ReadJob {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let (source, mut findings) = Source::read(path.to_owned());
    let mut value = source.value.clone();
    let mut source = JobSource {
        name: name.clone().into_owned(),
        file: path.to_owned(),
        source: OnceLock::from(source),
        defaults: around
            .settings
            .value
            .get("defaults")
            .map(|_| Arc::clone(around.settings)),
        set: around.set.to_vec(),
        hidden: Vec::new(),
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if !name.chars().all(is_name) {
        let message = format!("`{name}`: a job's name is made of a-z, 0-9, - and _");
        let hint = Some("rename the file".to_owned());
        let problem = Problem::of_file(path, message, hint);
        return source.failed(vec![problem]);
    }
    if !findings.is_empty() && value.is_null() {
        let problems = source.problems(&findings);
        return source.failed(problems);
    }
    if value.is_null() {
        value = Value::Object(serde_json::Map::new());
    }
    let mut problems = Vec::new();
    if value.is_object() {
        add_defaults(&mut value, around.settings.value.get("defaults"));
        for (key, text) in around.set {
            if let Err(message) = put(&mut value, key, text) {
                problems.push(Problem::of_file(
                    format!("--set {key}={text}"),
                    message,
                    None,
                ));
            }
        }
    }
    // The definition is what people wrote: secrets are put in afterwards
    let definition_hash = hex::encode(Sha256::digest(value.to_string()));
    if around.sandbox
        && let Some(Value::Object(api)) = value.get_mut("api")
    {
        api.shift_remove("key");
    }
    let interpolated = interpolate(&mut value, around.env, around.root);
    source.hidden = interpolated.hidden;
    findings.extend(interpolated.findings);
    findings.extend(walk(schema, &value));
    if !findings.is_empty() || !problems.is_empty() {
        problems.extend(source.problems(&findings));
        return source.failed(problems);
    }
    let keys: JobKeys = match serde_path_to_error::deserialize(value) {
        Ok(keys) => keys,
        // Whatever the schema let through, serde still finds
        Err(error) => {
            let pointer = pointer_of(error.path());
            let finding = Finding::value(&pointer, error.inner().to_string(), None);
            let problems = source.problems(&[finding]);
            return source.failed(problems);
        }
    };
    let (job, findings, warnings) =
        together::to_job(keys, &name, path, around.root, definition_hash);
    let problems = source.problems(&findings);
    let warnings = source.problems(&warnings);
    if problems.is_empty() {
        source.source = OnceLock::new();
    }
    ReadJob {
        warnings,
        job: job.filter(|_| problems.is_empty()),
        problems,
        source,
    }
}

impl JobSource {
    /// A problem of one of the job's keys, by JSON pointer.
    pub fn problem_at(
        &self,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        self.problem(&Finding::value(pointer, message, hint))
    }

    /// A problem of a part (in bytes) of one of the job's texts.
    pub fn problem_in(
        &self,
        pointer: &str,
        part: std::ops::Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        let whole = self.source().value.pointer(pointer);
        let text = whole.and_then(Value::as_str).unwrap_or_default().to_owned();
        self.problem(&Finding {
            part: Some((text, part)),
            ..Finding::value(pointer, message, hint)
        })
    }

    fn source(&self) -> &Source {
        self.source
            .get_or_init(|| Source::read(self.file.clone()).0)
    }

    fn problems(&self, findings: &[Finding]) -> Vec<Problem> {
        findings.iter().map(|f| self.problem(f)).collect()
    }

    /// Finds out where the key came from: the command line, the file, or the settings' `defaults`.
    fn problem(&self, finding: &Finding) -> Problem {
        let mut finding = finding.clone();
        finding.message = redact(&finding.message, &self.hidden);
        finding.hint = finding.hint.map(|hint| redact(&hint, &self.hidden));
        let is_below = |path: &str| {
            let pointer = format!("/{}", path.replace('.', "/"));
            finding.pointer == pointer || finding.pointer.starts_with(&format!("{pointer}/"))
        };
        if finding.place.is_none()
            && let Some((path, value)) = self.set.iter().find(|(path, _)| is_below(path))
        {
            let shown = format!("--set {path}={value}");
            return Problem::of_file(redact(&shown, &self.hidden), finding.message, finding.hint);
        }
        if let Some(place) = self.source().place(&finding, true) {
            return self.source().problem(&finding, place);
        }
        let in_defaults = Finding {
            pointer: format!("/defaults{}", finding.pointer),
            ..finding.clone()
        };
        if !finding.pointer.is_empty()
            && let Some(defaults) = &self.defaults
            && let Some(place) = defaults.place(&in_defaults, true)
        {
            return defaults.problem(&finding, place);
        }
        let place = self.source().place(&finding, false).unwrap_or(0..0);
        self.source().problem(&finding, place)
    }

    fn failed(self, problems: Vec<Problem>) -> ReadJob {
        ReadJob {
            source: self,
            job: None,
            problems,
            warnings: Vec::new(),
        }
    }
}

/// Puts the settings' `defaults` under the job's own keys. A job without a schedule keeps none: of
/// the default one it takes the zone alone.
fn add_defaults(value: &mut Value, defaults: Option<&Value>) {
    let Some(defaults) = defaults else { return };
    let has_schedule = value.get("schedule").is_some_and(|s| !s.is_null());
    merge(value, defaults);
    if has_schedule || value.pointer("/schedule/cron").is_some() {
        return;
    }
    let Some(map) = value.as_object_mut() else {
        return;
    };
    if let Some(schedule) = map.remove("schedule")
        && let Some(zone) = schedule.get("timezone")
    {
        map.entry("timezone").or_insert_with(|| zone.clone());
    }
}

/// Sets a dotted path to a YAML value.
fn put(value: &mut Value, path: &str, text: &str) -> Result<(), String> {
    let new: Value = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    let mut at = value;
    for key in path.split('.') {
        if at.is_null() {
            *at = Value::Object(serde_json::Map::new());
        }
        at = match at {
            Value::Object(map) => map.entry(key).or_insert(Value::Null),
            Value::Array(list) => {
                let place = key.parse::<usize>().ok().and_then(|n| list.get_mut(n));
                place.ok_or_else(|| format!("the list has no place `{key}`"))?
            }
            _ => return Err(format!("`{key}` lies below a single value")),
        };
    }
    *at = new;
    Ok(())
}

/// The JSON pointer of a path of serde.
pub(super) fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", super::spans::escape(key)),
        Segment::Enum { .. } | Segment::Unknown => String::new(),
    };
    path.iter().map(part).collect()
}
