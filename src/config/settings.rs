//! `databuddy-jobs.yaml`: flag, environment, file, default, in this order.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_yaml::Value;
use url::Url;

use super::{Environment, Problem, interpolate::interpolate};
use crate::{domain::window::ServerDays, secret::Secret};

/// The settings of a project.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The API's address; default `https://api.databuddy.cc`.
    pub api_url: Url,
    /// The key; `None` where none is set.
    pub api_key: Option<Secret>,
    /// How the key is sent.
    pub api_auth: Auth,
    /// How the server counts days; default UTC.
    pub api_days: ServerDays,
    /// Default 120; learned downwards.
    pub requests_per_minute: u32,
    /// Default 8.
    pub max_in_flight: u32,
    /// The `SQLite` file.
    pub store: PathBuf,
    /// Where mails go; `None`: nowhere.
    pub mail_url: Option<MailUrl>,
    /// The sender.
    pub mail_from: Option<String>,
    /// A `mailto:` for the header List-Unsubscribe.
    pub mail_unsubscribe: Option<String>,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Auth {
    /// As `x-api-key`.
    #[default]
    #[serde(rename = "x-api-key")]
    ApiKey,
    /// As `Authorization: Bearer`.
    #[serde(rename = "bearer")]
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    api: Api,
    store: StoreKeys,
    mail: Mail,
    pub(super) defaults: Value,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Api {
    url: Option<String>,
    key: Option<String>,
    auth: Auth,
    days: Days,
    requests_per_minute: Option<u32>,
    max_in_flight: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Days {
    #[default]
    Utc,
    Local,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StoreKeys {
    url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mail {
    url: Option<String>,
    from: Option<String>,
    unsubscribe: Option<String>,
}

/// Reads the file, where there is one.
pub(super) fn read(root: &Path, env: &Environment, problems: &mut Vec<Problem>) -> File {
    let path = root.join("databuddy-jobs.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return File::default();
    };
    let at = |location: Option<serde_yaml::Location>, message: String| Problem {
        file: path.clone(),
        line: location.as_ref().map_or(0, serde_yaml::Location::line),
        column: location.as_ref().map_or(0, serde_yaml::Location::column),
        message,
        hint: None,
    };
    // Typed first, from the text: its errors know their line
    let typed: Result<Option<File>, _> = serde_yaml::from_str(&text);
    let value: Result<Value, _> = serde_yaml::from_str(&text);
    let (Ok(_), Ok(mut value)) = (&typed, value) else {
        if let Err(error) = typed {
            problems.push(at(error.location(), error.to_string()));
        }
        return File::default();
    };
    // `defaults` are interpolated in the jobs that take them
    let defaults = value.get("defaults").cloned().unwrap_or_default();
    if let Err(message) = interpolate(&mut value, env, root) {
        problems.push(at(None, message));
    }
    let file: Option<File> = serde_yaml::from_value(value).unwrap_or_default();
    File {
        defaults,
        ..file.unwrap_or_default()
    }
}

/// Puts environment, file and defaults together.
pub(super) fn resolve(
    root: &Path,
    file: File,
    env: &Environment,
    sandbox: bool,
    problems: &mut Vec<Problem>,
) -> Option<Settings> {
    let mut wrong = |message: String| {
        let file = root.join("databuddy-jobs.yaml");
        problems.push(Problem {
            file,
            line: 0,
            column: 0,
            message,
            hint: None,
        });
    };
    let pick = |name: &str, own: Option<String>| {
        env.get(name)
            .map(str::to_owned)
            .or(own)
            .filter(|v| !v.is_empty())
    };
    let url = pick("DATABUDDY_API_URL", file.api.url)
        .unwrap_or_else(|| "https://api.databuddy.cc".to_owned());
    let api_url = Url::parse(&url)
        .map_err(|e| wrong(format!("`api.url`: `{url}` is no address: {e}")))
        .ok();
    let state = if sandbox {
        ".databuddy-jobs/sandbox/state.db"
    } else {
        ".databuddy-jobs/state.db"
    };
    let store = match pick("DATABUDDY_JOBS_STORE", file.store.url).filter(|_| !sandbox) {
        None => root.join(state),
        Some(url) => {
            if let Some(path) = url.strip_prefix("sqlite://") {
                root.join(path)
            } else {
                wrong("`store.url`: only sqlite:// is built yet".to_owned());
                root.join(state)
            }
        }
    };
    let mail = pick("DATABUDDY_JOBS_MAIL_URL", file.mail.url);
    let mail_url = match mail {
        None if sandbox => Some(MailUrl::Dir(root.join("out/mail"))),
        None => None,
        Some(url) => match url.strip_prefix("dir:") {
            Some(path) => Some(MailUrl::Dir(root.join(path))),
            None if url.starts_with("smtp://") || url.starts_with("smtps://") => {
                Some(MailUrl::Smtp(Secret::new(url)))
            }
            None => {
                wrong("`mail.url` must start with smtp://, smtps:// or dir:".to_owned());
                None
            }
        },
    };
    let from = pick("DATABUDDY_JOBS_MAIL_FROM", file.mail.from);
    Some(Settings {
        api_url: api_url?,
        api_key: pick("DATABUDDY_API_KEY", file.api.key).map(Secret::new),
        api_auth: file.api.auth,
        api_days: match file.api.days {
            Days::Utc => ServerDays::Utc,
            Days::Local => ServerDays::Local,
        },
        requests_per_minute: file.api.requests_per_minute.unwrap_or(120).max(1),
        max_in_flight: file.api.max_in_flight.unwrap_or(8).max(1),
        store,
        mail_url,
        mail_from: from
            .or_else(|| sandbox.then(|| "Databuddy sandbox <reports@sandbox.example>".to_owned())),
        mail_unsubscribe: pick("", file.mail.unsubscribe),
    })
}
