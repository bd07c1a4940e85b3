//! What a person checks first when something is wrong: server, key, clock, store, destinations, mail.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use super::{Engine, EngineError, run::one_line};
use crate::{
    domain::{
        catalog::Catalog,
        channel::is_channel,
        job::Job,
        preset::Preset,
        request::{Ask, Item, Part, Request},
        target::Target,
        website::Website,
        window::{ServerDays, WindowSpec},
    },
    export::{ExportError, Probe},
};

/// A clock that is further off than this shifts presets near midnight.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// What was found out about one part of the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The part: `server`, `types`, `key`, `query`, `clock`, `store`, `destination …`, `mail`.
    pub part: String,
    /// Whether it works; `None`: it is not used, or could not be told.
    pub is_fine: Option<bool>,
    /// What was found, in one line.
    pub found: String,
    /// What to do, where something is wrong.
    pub remedy: Option<String>,
}

impl Finding {
    fn fine(part: &str, found: impl Into<String>) -> Self {
        Self {
            part: part.to_owned(),
            is_fine: Some(true),
            found: found.into(),
            remedy: None,
        }
    }

    fn wrong(part: &str, found: impl Into<String>, remedy: &str) -> Self {
        Self {
            part: part.to_owned(),
            is_fine: Some(false),
            found: found.into(),
            remedy: Some(remedy.to_owned()),
        }
    }

    fn unknown(part: &str, found: impl Into<String>, remedy: &str) -> Self {
        Self {
            is_fine: None,
            ..Self::wrong(part, found, remedy)
        }
    }
}

impl Engine {
    /// Checks everything that runs need. Sends no mail and leaves no file behind.
    pub async fn doctor(&self, jobs: &[Job]) -> Vec<Finding> {
        let mut findings = vec![self.check_server().await];
        let (types, catalog) = self.check_types().await;
        findings.push(types);
        let (key, websites) = self.check_key().await;
        findings.push(key);
        if let (Some(website), Some(catalog)) = (websites.first(), &catalog) {
            findings.push(self.check_query(website, catalog).await);
        }
        findings.push(self.check_clock().await);
        findings.push(self.check_store().await);
        findings.extend(self.check_destinations(jobs).await);
        findings.push(self.check_mail(jobs).await);
        findings
    }

    async fn check_server(&self) -> Finding {
        let remedy = "check `api.url` (DATABUDDY_API_URL) and the network";
        match self.client.health().await {
            Err(error) => Finding::wrong("server", one_line(&error), remedy),
            Ok(health) if health.is_healthy => {
                let version = health
                    .version
                    .map(|v| format!(", version {v}"))
                    .unwrap_or_default();
                let note = if health.parts.is_empty() {
                    "; it names no parts, so its databases may be down all the same"
                } else {
                    ""
                };
                Finding::fine(
                    "server",
                    format!("it says that it is healthy{version}{note}"),
                )
            }
            Ok(health) => {
                let down: Vec<&str> = health
                    .parts
                    .iter()
                    .filter(|(_, up)| !up)
                    .map(|(n, _)| n.as_str())
                    .collect();
                Finding::wrong(
                    "server",
                    format!("it is up, but not {}", down.join(", ")),
                    "wait, or ask Databuddy",
                )
            }
        }
    }

    async fn check_types(&self) -> (Finding, Option<Catalog>) {
        match self.client.catalog().await {
            Err(error) => {
                let remedy = "is `api.url` the address of the query API?";
                (Finding::wrong("types", one_line(&error), remedy), None)
            }
            Ok(catalog) => {
                let generation = if catalog.is_seed() {
                    "the names of January 2026 (`summary`, `pages`, …)"
                } else {
                    "the names of February 2026 and later (`summary_metrics`, …); jobs may keep the older ones"
                };
                let found = format!("{} query types, under {generation}", catalog.types.len());
                (Finding::fine("types", found), Some(catalog))
            }
        }
    }

    async fn check_key(&self) -> (Finding, Vec<Website>) {
        if !self.client.has_key() {
            let remedy = "set DATABUDDY_API_KEY or `api.key`, or use --sandbox";
            return (Finding::wrong("key", "there is none", remedy), Vec::new());
        }
        match self.client.websites().await {
            Err(error) => {
                let remedy = "make a key with the scopes read:data and read:websites, and set DATABUDDY_API_KEY";
                (Finding::wrong("key", one_line(&error), remedy), Vec::new())
            }
            Ok(websites) if websites.is_empty() => {
                let remedy = "give the key access to a website";
                (
                    Finding::wrong("key", "it is taken, but may read no website", remedy),
                    websites,
                )
            }
            Ok(websites) => {
                let found = format!("it may list {} websites", websites.len());
                (Finding::fine("key", found), websites)
            }
        }
    }

    /// One row of yesterday: the only proof that the key may query.
    async fn check_query(&self, website: &Website, catalog: &Catalog) -> Finding {
        let Some(parameter) = catalog.server_type("summary", None) else {
            return Finding::unknown(
                "query",
                "the server lists no summary to try",
                "run `plan` on a job",
            );
        };
        let yesterday = WindowSpec::Preset(Preset::Yesterday);
        let day = yesterday
            .resolve(self.clock.now(), ServerDays::Utc, chrono_tz::Tz::UTC)
            .start
            .to_string();
        let part = Part {
            id: "doctor".to_owned(),
            parameter: parameter.to_owned(),
            granularity: None,
            days: None,
            honours_page: None,
            wanted: Some(1),
        };
        let item = Item {
            id: "q0".to_owned(),
            start: day.clone(),
            end: day,
            filters: Vec::new(),
            limit: 1,
            page: 1,
            parts: vec![part],
        };
        let request = Request {
            target: Target::Website(website.id.clone()),
            path: format!("/v1/query?website_id={}", website.id),
            ask: Ask::Items(vec![item]),
        };
        match self.client.query(&request).await {
            Err(error) => Finding::wrong(
                "query",
                one_line(&error),
                "give the key the scope read:data",
            ),
            Ok(parts) => match parts.into_iter().find_map(|(_, rows)| rows.err()) {
                Some(error) => Finding::wrong(
                    "query",
                    error.message,
                    "the server's database may be down: wait, or ask Databuddy",
                ),
                None => Finding::fine("query", format!("`{parameter}` of {} answers", website.id)),
            },
        }
    }

    async fn check_clock(&self) -> Finding {
        match self.client.server_time().await {
            Ok(Some(there)) => {
                let off = (self.clock.now() - there).abs();
                if off > CLOCK_TOLERANCE {
                    let found = format!("it is {} s off the server's", off.num_seconds());
                    Finding::wrong(
                        "clock",
                        found,
                        "set this machine's clock (timedatectl, chrony)",
                    )
                } else {
                    Finding::fine("clock", "it agrees with the server's")
                }
            }
            Ok(None) | Err(_) => Finding::unknown(
                "clock",
                "the server did not say what time it is",
                "compare it yourself",
            ),
        }
    }

    async fn check_store(&self) -> Finding {
        match self.store.runs(None, 1).await {
            Ok(_) => Finding::fine("store", self.store.label()),
            Err(error) => Finding::wrong(
                "store",
                one_line(&error),
                "check the folder's permissions and free space, or that the server runs",
            ),
        }
    }

    async fn check_destinations(&self, jobs: &[Job]) -> Vec<Finding> {
        let mut seen = BTreeSet::new();
        let exports = jobs
            .iter()
            .flat_map(|job| job.exports.iter().map(move |export| (job, export)));
        let mut findings = Vec::new();
        for (job, export) in exports.filter(|(_, export)| seen.insert(&export.to)) {
            let part = format!("destination {}", export.to_label);
            let tried = self.destinations.probe(&export.to, &job.name).await;
            findings.push(match tried {
                Ok(Probe {
                    is_conditional: true,
                }) => Finding::fine(&part, "it can be written"),
                Ok(Probe {
                    is_conditional: false,
                }) => Finding::wrong(
                    &part,
                    "it can be written, but it takes writes on condition as any other",
                    "use a store that keeps to `If-None-Match`: two runners could overwrite each other's manifests",
                ),
                Err(error) => {
                    let found = match &error {
                        ExportError::Store { what, source, .. } => {
                            format!("it cannot be {what}: {source}")
                        }
                        other => one_line(other),
                    };
                    Finding::wrong(&part, found, &error.remedy())
                }
            });
        }
        findings
    }

    async fn check_mail(&self, jobs: &[Job]) -> Finding {
        let mut reports = jobs.iter().flat_map(|job| &job.reports);
        let is_used = reports.any(|report| report.to.all().any(|to| !is_channel(to)));
        let Some(transport) = &self.transport else {
            let found = if is_used {
                "no `mail.url` is set, and jobs have reports"
            } else {
                "no `mail.url` is set"
            };
            let remedy = "set `mail.url`, or DATABUDDY_JOBS_MAIL_URL, to send reports";
            return Finding {
                is_fine: is_used.then_some(false),
                ..Finding::wrong("mail", found, remedy)
            };
        };
        if is_used && self.settings.mail_from.is_none() {
            let missing = EngineError::MailNotConfigured {
                report: jobs
                    .iter()
                    .flat_map(|j| &j.reports)
                    .next()
                    .map(|r| r.name.clone())
                    .unwrap_or_default(),
                setting: "mail.from",
            };
            return Finding::wrong(
                "mail",
                missing.to_string(),
                "set `mail.from` to the sender's address",
            );
        }
        match transport.probe().await {
            Ok(()) => Finding::fine("mail", "it takes connections; nothing was sent"),
            Err(why) => Finding::wrong("mail", why, "check `mail.url`"),
        }
    }
}
