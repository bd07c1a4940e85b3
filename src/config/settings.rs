//! `databuddy-jobs.yaml`: flag, environment, file, default, in this order.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::TimeDelta;
use schemars::SchemaGenerator;
use serde_json::Value;
use url::Url;

use super::{
    Environment, Problem, check,
    finding::Finding,
    interpolate::{interpolate, redact},
    job_file::pointer_of,
    key_words::Span,
    settings_keys::{AuthName, DaysName, RunnerKeys, SettingsKeys},
    source::Source,
    stores,
    walk::walk,
};
use crate::{
    domain::{destination::BucketAccess, window::ServerDays},
    secret::Secret,
};

/// The settings of a project.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API's address; default `https://api.databuddy.cc`.
    pub api_url: Url,
    /// The tracking API's address; default `https://basket.databuddy.cc`.
    pub basket_url: Url,
    /// The key; `None` where none is set.
    pub api_key: Option<Secret>,
    /// How the key is sent.
    pub api_auth: Auth,
    /// How the server counts days; default UTC.
    pub api_days: ServerDays,
    /// Default 120; learned downwards.
    pub requests_per_minute: u32,
    /// Custom queries; default 30; learned downwards.
    pub custom_per_minute: u32,
    /// Default 8.
    pub max_in_flight: u32,
    /// Whether answers may come packed; default true.
    pub gzip: bool,
    /// The `SQLite` file; what runs stage lies beside it, whatever the store.
    pub store: PathBuf,
    /// The Postgres database in place of the file.
    pub postgres: Option<Secret>,
    /// How long runs are kept in the history; default 400 days.
    pub keep_runs: Duration,
    /// What `serve` runs.
    pub runner: RunnerSettings,
    /// Where `serve` answers.
    pub web: WebSettings,
    /// How buckets are reached, by the name that destinations give them.
    pub stores: BTreeMap<String, BucketAccess>,
    /// Where mails go; `None`: nowhere.
    pub mail_url: Option<MailUrl>,
    /// The sender.
    pub mail_from: Option<String>,
    /// A `mailto:` for the header List-Unsubscribe.
    pub mail_unsubscribe: Option<String>,
    /// How long mails are kept.
    pub mail_keep: TimeDelta,
}

/// What `serve` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSettings {
    /// Labels that jobs ask for.
    pub labels: Vec<String>,
    /// Runs at once; `None`: as the machine's cores allow.
    pub max_runs: Option<usize>,
    /// How long a runner may be silent; default 60 s, at least 3 s.
    pub lease: Duration,
    /// How long runs may go on after a signal; default 20 s.
    pub grace: Duration,
}

/// Where `serve` answers.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// `None`: `127.0.0.1:8080`, if it is free.
    pub listen: Option<SocketAddr>,
    /// Asked for, where there is one.
    pub token: Option<Secret>,
    /// As people reach it.
    pub public_url: Option<String>,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// As `x-api-key`.
    #[default]
    ApiKey,
    /// As `Authorization: Bearer`.
    Bearer,
}

/// Where mails go.
#[derive(Debug, Clone)]
pub enum MailUrl {
    /// A folder, absolute.
    Dir(PathBuf),
    /// `smtp://…` or `smtps://…`.
    Smtp(Secret),
}

/// More than a year, so that a month can be compared with that of the year before.
const KEEP_RUNS: Duration = Duration::from_secs(400 * 86_400);

/// The JSON Schema of the settings, without that of `defaults`.
pub(super) fn schema() -> Value {
    SchemaGenerator::default()
        .into_root_schema_for::<SettingsKeys>()
        .to_value()
}

/// Reads the settings, where there are any. The source carries the `defaults` of jobs.
pub(super) fn read(
    root: &Path,
    env: &Environment,
    sandbox: bool,
    job_schema: &Value,
    problems: &mut Vec<Problem>,
) -> (Source, Option<Settings>) {
    let path = root.join("databuddy-jobs.yaml");
    let (source, mut findings) = if path.exists() {
        Source::read(path)
    } else {
        (Source::empty(path), Vec::new())
    };
    let mut value = source.value.clone();
    let mut hidden = Vec::new();
    if let Value::Object(map) = &mut value {
        // They are read again with each job, which may have what they lack
        if let Some(defaults) = map.get("defaults") {
            let wrong = walk(job_schema, defaults);
            findings.extend(wrong.into_iter().filter_map(|f| of_defaults(f, defaults)));
        }
        map.shift_remove("defaults");
        // The sandbox has a key of its own: nobody needs one to try it
        if sandbox && let Some(Value::Object(api)) = map.get_mut("api") {
            api.shift_remove("key");
        }
        let interpolated = interpolate(&mut value, env, root);
        hidden = interpolated.hidden;
        findings.extend(interpolated.findings);
    }
    let missing_file = value.is_null();
    if !missing_file {
        findings.extend(walk(&schema(), &value));
    }
    let keys: Option<SettingsKeys> = if missing_file || !findings.is_empty() {
        Some(SettingsKeys::default())
    } else {
        serde_path_to_error::deserialize(value)
            .map_err(|error| {
                let pointer = pointer_of(error.path());
                findings.push(Finding::value(&pointer, error.inner().to_string(), None));
            })
            .ok()
    };
    let stores = keys.iter().flat_map(|keys| &keys.stores);
    findings.extend(stores.flat_map(|(name, keys)| stores::contradictions(name, keys)));
    problems.extend(findings.into_iter().map(|finding| {
        let place = source.place(&finding, false).unwrap_or(0..0);
        let finding = Finding {
            message: redact(&finding.message, &hidden),
            hint: finding.hint.as_ref().map(|hint| redact(hint, &hidden)),
            ..finding
        };
        source.problem(&finding, place)
    }));
    let settings = keys.and_then(|keys| resolve(root, keys, env, sandbox, problems));
    (source, settings)
}

/// A finding of `defaults`, which may lack keys and whose values may still be interpolated.
fn of_defaults(finding: Finding, defaults: &Value) -> Option<Finding> {
    let value = defaults.pointer(&finding.pointer);
    let is_open = value
        .and_then(Value::as_str)
        .is_some_and(|text| text.contains("${"));
    (!finding.is_missing_key && !is_open).then(|| Finding {
        pointer: format!("/defaults{}", finding.pointer),
        ..finding
    })
}

/// Puts environment, file and defaults together.
fn resolve(
    root: &Path,
    keys: SettingsKeys,
    env: &Environment,
    sandbox: bool,
    problems: &mut Vec<Problem>,
) -> Option<Settings> {
    let mut pick = |name: &str, format: &str, own: Option<String>| {
        let Some(value) = env.get(name) else {
            return own;
        };
        if let Err(bad) = check::format(format, value) {
            // Addresses may carry passwords: the value is not repeated
            let message = bad.message.replace(value, "***");
            problems.push(Problem::of_file(format!("${name}"), message, bad.hint));
        }
        Some(value.to_owned())
    };
    let url = pick("DATABUDDY_API_URL", "http-url", keys.api.url.map(|u| u.0))
        .unwrap_or_else(|| "https://api.databuddy.cc".to_owned());
    let basket_url = pick(
        "DATABUDDY_BASKET_URL",
        "http-url",
        keys.api.basket_url.map(|u| u.0),
    )
    .unwrap_or_else(|| "https://basket.databuddy.cc".to_owned());
    let keep_runs = keys.store.keep_runs.as_ref();
    let keep_runs = keep_runs.and_then(|span| check::duration(&span.0).ok());
    let store = pick(
        "DATABUDDY_JOBS_STORE",
        "store-url",
        keys.store.url.map(|u| u.0),
    )
    .filter(|_| !sandbox);
    let file = store
        .as_ref()
        .and_then(|url| url.strip_prefix("sqlite://").map(|path| root.join(path)));
    let postgres = store
        .filter(|url| url.starts_with("postgres"))
        .map(Secret::new);
    let state = if sandbox {
        ".databuddy-jobs/sandbox/state.db"
    } else {
        ".databuddy-jobs/state.db"
    };
    let mail = pick(
        "DATABUDDY_JOBS_MAIL_URL",
        "mail-url",
        keys.mail.url.map(|u| u.0),
    );
    let mail_url = match mail {
        None => sandbox.then(|| MailUrl::Dir(root.join("out/mail"))),
        Some(url) => Some(match url.strip_prefix("dir:") {
            Some(path) => MailUrl::Dir(root.join(path)),
            None => MailUrl::Smtp(Secret::new(url)),
        }),
    };
    let from = pick(
        "DATABUDDY_JOBS_MAIL_FROM",
        "mail-address",
        keys.mail.from.map(|a| a.0),
    )
    .or_else(|| sandbox.then(|| "Databuddy sandbox <reports@sandbox.example>".to_owned()));
    let api_key = pick("DATABUDDY_API_KEY", "", keys.api.key)
        .filter(|key| !key.is_empty())
        .map(Secret::new);
    let labels = pick("DATABUDDY_JOBS_RUNNER_LABELS", "", None);
    let listen = pick(
        "DATABUDDY_JOBS_WEB_LISTEN",
        "listen-address",
        keys.web.listen.map(|listen| listen.0),
    );
    let token = pick("DATABUDDY_JOBS_WEB_TOKEN", "", keys.web.token);
    let web = web(listen, token, keys.web.public_url.map(|url| url.0));
    Some(Settings {
        api_url: Url::parse(&url).ok()?,
        basket_url: Url::parse(&basket_url).ok()?,
        api_key,
        api_auth: match keys.api.auth {
            Some(AuthName::Bearer) => Auth::Bearer,
            Some(AuthName::ApiKey) | None => Auth::ApiKey,
        },
        api_days: match keys.api.days {
            Some(DaysName::Local) => ServerDays::Local,
            Some(DaysName::Utc) | None => ServerDays::Utc,
        },
        requests_per_minute: keys.api.requests_per_minute.unwrap_or(120),
        custom_per_minute: keys.api.custom_requests_per_minute.unwrap_or(30),
        max_in_flight: keys.api.max_in_flight.unwrap_or(8),
        gzip: keys.api.gzip.unwrap_or(true),
        store: file.unwrap_or_else(|| root.join(state)),
        postgres,
        keep_runs: keep_runs.unwrap_or(KEEP_RUNS),
        runner: runner(keys.runner, labels),
        web,
        stores: keys
            .stores
            .into_iter()
            .map(|(name, keys)| (name, stores::access(keys, root)))
            .collect(),
        mail_url,
        mail_from: from,
        mail_unsubscribe: keys.mail.unsubscribe.map(|m| m.0),
        mail_keep: mail_keep(keys.mail.keep.as_ref()),
    })
}

fn web(listen: Option<String>, token: Option<String>, public_url: Option<String>) -> WebSettings {
    WebSettings {
        listen: listen.and_then(|listen| listen.parse().ok()),
        token: token.filter(|token| !token.is_empty()).map(Secret::new),
        public_url,
    }
}

fn mail_keep(keep: Option<&Span>) -> TimeDelta {
    keep.and_then(|span| check::duration(&span.0).ok())
        .and_then(|span| TimeDelta::from_std(span).ok())
        .unwrap_or(TimeDelta::days(400))
}

fn runner(keys: RunnerKeys, labels: Option<String>) -> RunnerSettings {
    let span = |text: Option<Span>| text.and_then(|text| check::duration(&text.0).ok());
    let own = keys.labels.into_iter().flatten().map(|label| label.0);
    let labels = match labels {
        Some(labels) => labels
            .split(',')
            .map(|label| label.trim().to_owned())
            .filter(|label| !label.is_empty())
            .collect(),
        None => own.collect(),
    };
    RunnerSettings {
        labels,
        max_runs: keys.max_runs.map(|n| n as usize),
        lease: span(keys.lease).map_or(Duration::from_secs(60), |lease| {
            lease.max(Duration::from_secs(3))
        }),
        grace: span(keys.grace).unwrap_or(Duration::from_secs(20)),
    }
}
