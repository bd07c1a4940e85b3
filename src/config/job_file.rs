//! One job file: its keys, and how they become a job.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_yaml::Value;
use sha2::{Digest, Sha256};

use super::{Environment, Problem, interpolate::interpolate, merge, problem::nearest};
use crate::domain::{
    job::{
        Compare, Compression, DEFAULT_PATH, Export, Format, Job, Per, ReportSpec, Retry,
        WebsiteSelector,
    },
    preset::Preset,
    query::{ColumnType, Filter, Granularity, Limit, Operator, Query},
    schedule::Schedule,
    window::WindowSpec,
};

/// Keys of the contract that a later version builds.
const NOT_BUILT_YET: [&str; 23] = [
    "api",
    "catch_up",
    "overlap",
    "dst",
    "jitter",
    "lookback",
    "settle",
    "custom",
    "link",
    "drift",
    "nested",
    "pii",
    "together",
    "attach",
    "when",
    "on_error",
    "runs_on",
    "ping",
    "on_failure",
    "on_recovery",
    "on_success",
    "cc",
    "bcc",
];

/// The keys of a job file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobKeys {
    #[serde(default)]
    description: String,
    #[serde(default = "yes")]
    enabled: bool,
    schedule: Option<ScheduleKeys>,
    #[serde(default)]
    websites: Websites,
    timezone: Option<chrono_tz::Tz>,
    preset: Option<PresetName>,
    window: Option<Days>,
    queries: Vec<QueryKeys>,
    #[serde(default)]
    exports: Vec<ExportKeys>,
    #[serde(default)]
    reports: Vec<ReportKeys>,
    #[serde(default)]
    retry: RetryKeys,
    timeout: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleKeys {
    cron: String,
    #[serde(default)]
    timezone: Option<chrono_tz::Tz>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Days {
    start: chrono::NaiveDate,
    end: chrono::NaiveDate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetryKeys {
    attempts: Option<u32>,
    backoff: Option<Span>,
    max_backoff: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportKeys {
    format: FormatName,
    to: String,
    queries: Option<Vec<String>>,
    path: Option<String>,
    #[serde(default)]
    per: PerName,
    compression: Option<CompressionName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportKeys {
    name: Option<String>,
    template: String,
    #[serde(default, rename = "per")]
    _per: ReportPer,
    to: Vec<String>,
    #[serde(default)]
    compare: CompareName,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterKeys {
    field: String,
    #[serde(alias = "operator")]
    op: OperatorName,
    value: serde_json::Value,
}

macro_rules! words {
    ($name:ident => $of:ty { $($variant:ident = $value:expr),+ $(,)? } $(default $default:ident)?) => {
        #[derive(Debug, Clone, Copy, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum $name { $($variant),+ }
        impl $name { fn value(self) -> $of { match self { $(Self::$variant => $value),+ } } }
        $(impl Default for $name { fn default() -> Self { Self::$default } })?
    };
}

words!(FormatName => Format { Parquet = Format::Parquet, Csv = Format::Csv });
words!(PerName => Per { Day = Per::Day, Window = Per::Window } default Day);
words!(CompressionName => Compression { Zstd = Compression::Zstd, Snappy = Compression::Snappy, None = Compression::None });
words!(CompareName => Compare {
    PreviousWindow = Compare::PreviousWindow, SameWindowLastYear = Compare::SameWindowLastYear, None = Compare::None,
} default PreviousWindow);
words!(OperatorName => Operator {
    Eq = Operator::Eq, Ne = Operator::Ne, Contains = Operator::Contains, NotContains = Operator::NotContains,
    StartsWith = Operator::StartsWith, In = Operator::In, NotIn = Operator::NotIn,
});
words!(GranularityName => Granularity { Hourly = Granularity::Hourly, Daily = Granularity::Daily });

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReportPer {
    #[default]
    Website,
}

/// A preset, by name.
#[derive(Debug, Clone, Copy)]
struct PresetName(Preset);

impl<'de> Deserialize<'de> for PresetName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Preset::parse(&name).map(Self).ok_or_else(|| {
            let names = Preset::ALL.map(|(_, name)| format!("`{name}`")).join(", ");
            D::Error::custom(format!("unknown preset `{name}`, expected one of {names}"))
        })
    }
}

/// A duration such as `30s`, `15m`, `1h`, `2d`.
#[derive(Debug, Clone, Copy)]
struct Span(Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => 0,
        };
        let number = text
            .get(..text.len().saturating_sub(1))
            .and_then(|n| n.parse::<u64>().ok());
        match number
            .filter(|_| unit > 0)
            .and_then(|n| n.checked_mul(unit))
        {
            Some(seconds) => Ok(Self(Duration::from_secs(seconds))),
            None => Err(D::Error::custom(format!(
                "`{text}` is no duration; write 30s, 15m, 1h or 2d"
            ))),
        }
    }
}

/// `all`, a list, or `{include, exclude}`.
#[derive(Debug)]
struct Websites(WebsiteSelector);

impl Default for Websites {
    fn default() -> Self {
        Self(WebsiteSelector {
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
        })
    }
}

impl<'de> Deserialize<'de> for Websites {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Lists {
            #[serde(default)]
            include: Option<Vec<String>>,
            #[serde(default)]
            exclude: Vec<String>,
        }
        let all = || vec!["*".to_owned()];
        let list = |value| serde_yaml::from_value::<Vec<String>>(value).map_err(D::Error::custom);
        let selector = match Value::deserialize(deserializer)? {
            Value::String(word) if word == "all" => WebsiteSelector {
                include: all(),
                exclude: Vec::new(),
            },
            value @ Value::Sequence(_) => WebsiteSelector {
                include: list(value)?,
                exclude: Vec::new(),
            },
            value @ Value::Mapping(_) => {
                let lists: Lists = serde_yaml::from_value(value).map_err(D::Error::custom)?;
                WebsiteSelector {
                    include: lists.include.unwrap_or_else(all),
                    exclude: lists.exclude,
                }
            }
            _ => {
                return Err(D::Error::custom(
                    "`websites` is `all`, a list of ids or domains, or {include: […], exclude: […]}",
                ));
            }
        };
        Ok(Self(selector))
    }
}

/// A query: a name alone, or a mapping.
#[derive(Debug)]
struct QueryKeys(Query);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongQuery {
    name: Option<String>,
    parameter: String,
    #[serde(default)]
    filters: Vec<FilterKeys>,
    granularity: Option<GranularityName>,
    limit: Option<Value>,
    preset: Option<PresetName>,
    window: Option<Days>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for QueryKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let long: LongQuery = match value {
            Value::String(parameter) => LongQuery {
                name: None,
                parameter,
                filters: Vec::new(),
                granularity: None,
                limit: None,
                preset: None,
                window: None,
                columns: BTreeMap::new(),
            },
            value => serde_yaml::from_value(value).map_err(D::Error::custom)?,
        };
        to_query(long).map(Self).map_err(D::Error::custom)
    }
}

fn to_query(keys: LongQuery) -> Result<Query, String> {
    let limit = match keys.limit {
        None => Limit::All,
        Some(Value::String(word)) if word == "all" => Limit::All,
        Some(value) => match value
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| *n > 0)
        {
            Some(rows) => Limit::Rows(rows),
            None => return Err("`limit` is `all` or a whole number from 1".to_owned()),
        },
    };
    let mut columns = BTreeMap::new();
    for (column, kind) in keys.columns {
        let Some(parsed) = ColumnType::parse(&kind) else {
            let names = ColumnType::ALL.map(|(_, n)| n).join(", ");
            return Err(format!(
                "column `{column}`: unknown type `{kind}`; possible: {names}"
            ));
        };
        columns.insert(column, parsed);
    }
    let filters = keys.filters.into_iter().map(|f| Filter {
        field: f.field,
        op: f.op.value(),
        value: f.value,
    });
    Ok(Query {
        name: keys.name.unwrap_or_else(|| keys.parameter.clone()),
        parameter: keys.parameter,
        filters: filters.collect(),
        granularity: keys.granularity.map(GranularityName::value),
        limit,
        window: window_spec(keys.preset, keys.window)?,
        columns,
    })
}

fn window_spec(
    preset: Option<PresetName>,
    window: Option<Days>,
) -> Result<Option<WindowSpec>, String> {
    match (preset, window) {
        (Some(_), Some(_)) => Err("`preset` and `window` exclude each other".to_owned()),
        (Some(PresetName(preset)), None) => Ok(Some(WindowSpec::Preset(preset))),
        (None, Some(days)) if days.end < days.start => Err(format!(
            "the window ends ({}) before it starts ({})",
            days.end, days.start
        )),
        (None, Some(Days { start, end })) => Ok(Some(WindowSpec::Fixed { start, end })),
        (None, None) => Ok(None),
    }
}

fn yes() -> bool {
    true
}

/// Reads one job file.
pub(super) fn read(
    path: &Path,
    name: &str,
    root: &Path,
    env: &Environment,
    defaults: &Value,
    set: &[(String, String)],
) -> Result<Job, Problem> {
    let problem = |location: Option<serde_yaml::Location>, message: String| {
        let quoted = message.split('`').nth(1).unwrap_or_default().to_owned();
        let hint = if NOT_BUILT_YET.contains(&quoted.as_str()) {
            Some(format!("`{quoted}` is not built yet: remove it"))
        } else {
            let choices: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            nearest(&quoted, choices.into_iter())
        };
        Problem {
            file: path.to_owned(),
            line: location.as_ref().map_or(0, serde_yaml::Location::line),
            column: location.as_ref().map_or(0, serde_yaml::Location::column),
            message,
            hint,
        }
    };
    let text =
        std::fs::read_to_string(path).map_err(|e| problem(None, format!("cannot be read: {e}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut value: Value =
        serde_yaml::from_str(text).map_err(|e| problem(e.location(), e.to_string()))?;
    // Typed from the text first, where nothing is put in from elsewhere: its errors know their line
    if set.is_empty() && defaults.is_null() && !text.contains("${") {
        serde_yaml::from_str::<JobKeys>(text).map_err(|e| problem(e.location(), e.to_string()))?;
    }
    merge(&mut value, defaults);
    for (key, text) in set {
        put(&mut value, key, text).map_err(|message| problem(None, message))?;
    }
    let definition = serde_json::to_vec(&value).map_err(|e| problem(None, e.to_string()))?;
    let definition_hash = hex::encode(Sha256::digest(&definition));
    interpolate(&mut value, env, root).map_err(|message| problem(None, message))?;
    let keys: JobKeys = serde_yaml::from_value(value).map_err(|e| problem(None, e.to_string()))?;
    to_job(keys, name, path, root, definition_hash).map_err(|message| problem(None, message))
}

/// Sets a dotted path to a YAML value.
fn put(value: &mut Value, path: &str, text: &str) -> Result<(), String> {
    let new: Value = serde_yaml::from_str(text).map_err(|e| format!("--set {path}: {e}"))?;
    let mut at = value;
    for key in path.split('.') {
        if at.is_null() {
            *at = Value::Mapping(serde_yaml::Mapping::new());
        }
        at = match at {
            Value::Mapping(map) => map
                .entry(Value::String(key.to_owned()))
                .or_insert(Value::Null),
            Value::Sequence(list) => {
                let place = key.parse::<usize>().ok().and_then(|n| list.get_mut(n));
                place.ok_or_else(|| format!("--set {path}: the list has no place `{key}`"))?
            }
            _ => return Err(format!("--set {path}: `{key}` lies below a single value")),
        };
    }
    *at = new;
    Ok(())
}

fn to_job(
    keys: JobKeys,
    name: &str,
    path: &Path,
    root: &Path,
    definition_hash: String,
) -> Result<Job, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!(
            "`{name}`: a job's name is made of a-z, 0-9, - and _; rename the file"
        ));
    }
    let schedule = match keys.schedule {
        None => None,
        Some(s) => Some(
            Schedule::parse(&s.cron, s.timezone.unwrap_or(chrono_tz::Tz::UTC))
                .map_err(|e| format!("`schedule.cron`: {e}"))?,
        ),
    };
    let window = window_spec(keys.preset, keys.window)?
        .ok_or("the job lacks `preset` or `window`: say which days it reports on")?;
    let queries: Vec<Query> = keys.queries.into_iter().map(|q| q.0).collect();
    if queries.is_empty() {
        return Err("`queries` is empty: name at least one".to_owned());
    }
    for (at, query) in queries.iter().enumerate() {
        if queries[..at].iter().any(|other| other.name == query.name) {
            return Err(format!(
                "two queries are called `{}`: give one another `name`",
                query.name
            ));
        }
    }
    let all: Vec<String> = queries.iter().map(|q| q.name.clone()).collect();
    let exports = keys
        .exports
        .into_iter()
        .map(|e| to_export(e, root, &all))
        .collect::<Result<_, _>>()?;
    let reports = keys
        .reports
        .into_iter()
        .map(to_report)
        .collect::<Result<_, _>>()?;
    Ok(Job {
        name: name.to_owned(),
        description: keys.description,
        enabled: keys.enabled,
        timezone: keys
            .timezone
            .or(schedule.as_ref().map(|s| s.timezone))
            .unwrap_or(chrono_tz::Tz::UTC),
        schedule,
        websites: keys.websites.0,
        window,
        queries,
        exports,
        reports,
        retry: Retry {
            attempts: keys.retry.attempts.unwrap_or(3).max(1),
            backoff: keys.retry.backoff.map_or(Duration::from_secs(30), |s| s.0),
            max_backoff: keys
                .retry
                .max_backoff
                .map_or(Duration::from_secs(900), |s| s.0),
        },
        timeout: keys.timeout.map_or(Duration::from_secs(3600), |s| s.0),
        definition_hash,
        file: path.to_owned(),
    })
}

fn to_export(keys: ExportKeys, root: &Path, all: &[String]) -> Result<Export, String> {
    if keys.to.contains("://") {
        return Err(format!(
            "`to: {}`: only local directories are built yet",
            keys.to
        ));
    }
    let queries = keys.queries.unwrap_or_else(|| all.to_vec());
    if let Some(unknown) = queries.iter().find(|q| !all.contains(q)) {
        let hint = nearest(unknown, all.iter().map(String::as_str)).unwrap_or_default();
        return Err(format!(
            "an export names the query `{unknown}`, which the job lacks; {hint}"
        ));
    }
    let path = keys.path.unwrap_or_else(|| DEFAULT_PATH.to_owned());
    if path.split('/').any(|segment| segment.trim() == "..") {
        return Err(format!("`path: {path}` leaves the destination"));
    }
    let format = keys.format.value();
    let compression = match (format, keys.compression.map(CompressionName::value)) {
        (Format::Parquet, given) => given.unwrap_or(Compression::Zstd),
        (Format::Csv, None | Some(Compression::None)) => Compression::None,
        (Format::Csv, Some(_)) => {
            return Err("`compression` of csv is not built yet: remove it".to_owned());
        }
    };
    Ok(Export {
        format,
        to: root.join(&keys.to),
        to_label: keys.to,
        queries,
        path,
        per: keys.per.value(),
        compression,
    })
}

fn to_report(keys: ReportKeys) -> Result<ReportSpec, String> {
    if keys.to.is_empty() {
        return Err(format!("the report `{}` has nobody in `to`", keys.template));
    }
    for address in &keys.to {
        if address.parse::<lettre::message::Mailbox>().is_err() || address.contains(['\r', '\n']) {
            return Err(format!(
                "`{address}` is no mail address; write ann@example.org or Ann <ann@example.org>"
            ));
        }
    }
    Ok(ReportSpec {
        name: keys.name.unwrap_or_else(|| keys.template.clone()),
        template: keys.template,
        to: keys.to,
        compare: keys.compare.value(),
    })
}
