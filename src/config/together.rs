//! What the keys of a job say together: from keys, each right by itself, to a job.

use std::path::Path;

use super::{
    check::{duration, suggest},
    export_keys::ExportKeys,
    finding::Finding,
    job_keys::{DaysKeys, HookKeys, JobKeys, ScheduleKeys},
    key_words::{PresetName, Span, Zone},
    queries::queries,
    query_keys::WebsitesKeys,
    reports::reports,
    spans::At,
};
use crate::{
    domain::{
        destination::{BucketUrl, DestinationUrl},
        hook::{Hook, Hooks},
        job::{Compression, CsvStyle, Export, Format, Job, Per, Retry, WebsiteSelector},
        preset::Preset,
        schedule::{Rules, Schedule},
        window::WindowSpec,
    },
    secret::Secret,
};

/// Findings and warnings on the way to a job.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

impl Notes {
    pub(super) fn wrong(
        &mut self,
        pointer: &str,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        self.findings
            .push(Finding::value(pointer, message, hint.into()));
    }

    /// What anybody could sign with signs nothing.
    pub(super) fn empty_secret(&mut self, pointer: &str) {
        let hint = "set the variable that it comes from, or remove `secret`".to_owned();
        self.wrong(pointer, "the secret is empty", hint);
    }
}

/// Makes the job. `None` only where a value could not be made at all; findings say why.
pub(super) fn to_job(
    keys: JobKeys,
    name: &str,
    path: &Path,
    root: &Path,
    definition_hash: String,
) -> (Option<Job>, Vec<Finding>, Vec<Finding>) {
    let mut notes = Notes::default();
    let job = build(keys, name, path, root, definition_hash, &mut notes);
    (job, notes.findings, notes.warnings)
}

fn build(
    keys: JobKeys,
    name: &str,
    path: &Path,
    root: &Path,
    definition_hash: String,
    notes: &mut Notes,
) -> Option<Job> {
    let zone = |zone: &Zone| zone.0.parse::<chrono_tz::Tz>().ok();
    let schedule = keys.schedule.as_ref().and_then(|s| {
        let zone = s.timezone.as_ref().and_then(zone).unwrap_or_default();
        let parsed = Schedule::parse(&s.cron.0, zone).ok()?;
        Some(parsed.with_rules(rules(s)))
    });
    let window = window_spec("", keys.preset.as_ref(), keys.window.as_ref(), notes);
    if window.is_none() && keys.preset.is_none() && keys.window.is_none() {
        notes.findings.push(Finding::at(
            "",
            At::Head,
            "the file lacks `preset` or `window`: which days does it report on?",
            Some("add `preset: yesterday`".to_owned()),
        ));
    }
    let queries = queries(keys.queries, window, notes);
    let names: Vec<&str> = queries.iter().map(|q| q.name.as_str()).collect();
    let exports: Vec<Export> = keys
        .exports
        .into_iter()
        .enumerate()
        .map(|(place, export)| to_export(place, export, root, &names, notes))
        .collect();
    let reports = reports(keys.reports, &names, notes);
    check_paths(&exports, notes);
    if exports.is_empty() && reports.is_empty() {
        notes.warnings.push(Finding::at(
            "",
            At::Head,
            "the job has neither `exports` nor `reports`: its rows go nowhere",
            None,
        ));
    }
    let own_zone = keys.timezone.as_ref().and_then(zone);
    Some(Job {
        name: name.to_owned(),
        description: keys.description,
        enabled: keys.enabled,
        timezone: own_zone
            .or(schedule.as_ref().map(|s| s.timezone))
            .unwrap_or_default(),
        schedule,
        websites: selector(keys.websites),
        window: window?,
        queries,
        exports,
        reports,
        retry: Retry {
            attempts: keys.retry.attempts,
            backoff: span(&keys.retry.backoff),
            max_backoff: span(&keys.retry.max_backoff),
        },
        timeout: span(&keys.timeout),
        hooks: Hooks {
            ping: keys.ping.map(|url| Secret::new(url.0)),
            on_failure: hooks("on_failure", keys.on_failure, notes),
            on_recovery: hooks("on_recovery", keys.on_recovery, notes),
            on_success: hooks("on_success", keys.on_success, notes),
        },
        runs_on: keys.runs_on.into_iter().map(|label| label.0).collect(),
        lookback: keys.lookback,
        settle: span(&keys.settle),
        api_key: keys.api.key.map(Secret::new),
        definition_hash,
        file: path.to_owned(),
    })
}

fn hooks(key: &str, keys: Vec<HookKeys>, notes: &mut Notes) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (place, keys) in keys.into_iter().enumerate() {
        let has_address = keys.webhook.is_some() || keys.slack.is_some();
        if keys.secret.as_deref().is_some_and(str::is_empty) {
            notes.empty_secret(&format!("/{key}/{place}/secret"));
        }
        if keys.secret.is_some() && keys.webhook.is_none() {
            let hint = "add `webhook: https://…`, or remove it".to_owned();
            let message = "`secret` signs messages to a `webhook`, and there is none";
            notes.wrong(&format!("/{key}/{place}/secret"), message, hint);
        }
        if keys.email.is_none() && keys.event.is_none() && !has_address {
            let hint = "write `{ email: [ops@example.com] }`".to_owned();
            notes.wrong(
                &format!("/{key}/{place}"),
                "nobody is named to be told",
                hint,
            );
        }
        hooks.extend(keys.email.map(|addresses| {
            Hook::Email(addresses.into_iter().map(|address| address.0).collect())
        }));
        hooks.extend(keys.event.map(|event| Hook::Event {
            website: event.website,
            name: event.name,
        }));
        hooks.extend(keys.webhook.map(|url| Hook::Webhook {
            url: Secret::new(url.0),
            secret: keys.secret.map(Secret::new),
        }));
        hooks.extend(keys.slack.map(|url| Hook::Slack(Secret::new(url.0))));
    }
    hooks
}

fn rules(keys: &ScheduleKeys) -> Rules {
    Rules {
        catch_up: keys.catch_up.value(),
        catch_up_limit: keys.catch_up_limit,
        overlap: keys.overlap.value(),
        gap: keys.dst.gap.value(),
        fold: keys.dst.fold.value(),
        jitter: span(&keys.jitter),
    }
}

fn span(text: &Span) -> std::time::Duration {
    duration(&text.0).unwrap_or_default()
}

fn selector(keys: WebsitesKeys) -> WebsiteSelector {
    let texts =
        |list: Vec<super::key_words::WebsitePattern>| list.into_iter().map(|p| p.0).collect();
    let all = || vec!["*".to_owned()];
    match keys {
        WebsitesKeys::All(_) => WebsiteSelector {
            include: all(),
            exclude: Vec::new(),
        },
        WebsitesKeys::List(list) => WebsiteSelector {
            include: texts(list),
            exclude: Vec::new(),
        },
        WebsitesKeys::Lists(lists) => WebsiteSelector {
            include: lists.include.map_or_else(all, texts),
            exclude: texts(lists.exclude),
        },
    }
}

pub(super) fn window_spec(
    pointer: &str,
    preset: Option<&PresetName>,
    window: Option<&DaysKeys>,
    notes: &mut Notes,
) -> Option<WindowSpec> {
    match (preset, window) {
        (Some(_), Some(_)) => {
            let hint = "remove one of the two".to_owned();
            let pointer = format!("{pointer}/window");
            notes.wrong(&pointer, "`preset` and `window` exclude each other", hint);
            None
        }
        (Some(name), None) => Preset::parse(&name.0).map(WindowSpec::Preset),
        (None, Some(days)) if days.end < days.start => {
            let message = format!(
                "the window ends ({}) before it starts ({})",
                days.end, days.start
            );
            notes.wrong(&format!("{pointer}/window/end"), message, None);
            None
        }
        (None, Some(days)) => Some(WindowSpec::Fixed {
            start: days.start,
            end: days.end,
        }),
        (None, None) => None,
    }
}

fn to_export(
    place: usize,
    keys: ExportKeys,
    root: &Path,
    names: &[&str],
    notes: &mut Notes,
) -> Export {
    let pointer = format!("/exports/{place}");
    let queries = keys
        .queries
        .unwrap_or_else(|| names.iter().map(|n| (*n).to_owned()).collect());
    for (at, query) in queries.iter().enumerate() {
        if !names.contains(&query.as_str()) {
            let message = format!("the job has no query `{query}`");
            let hint = suggest(query, names.iter().copied());
            notes.wrong(&format!("{pointer}/queries/{at}"), message, hint);
        }
    }
    let format = keys.format.value();
    let compression = match (
        format,
        keys.compression
            .map(super::key_words::CompressionName::value),
    ) {
        (Format::Parquet | Format::Delta, Some(Compression::Gzip)) => {
            let hint = "write zstd, snappy or none".to_owned();
            notes.wrong(
                &format!("{pointer}/compression"),
                "Parquet files are not packed with gzip",
                hint,
            );
            Compression::Zstd
        }
        (Format::Csv | Format::Jsonl, Some(Compression::Snappy)) => {
            let hint = "write gzip, zstd or none".to_owned();
            notes.wrong(
                &format!("{pointer}/compression"),
                "snappy is for Parquet",
                hint,
            );
            Compression::None
        }
        (Format::Parquet | Format::Delta, given) => given.unwrap_or(Compression::Zstd),
        (Format::Csv | Format::Jsonl, given) => given.unwrap_or(Compression::None),
    };
    if let (Compression::Gzip, Some(level @ 10..)) = (compression, keys.compression_level) {
        notes.wrong(
            &format!("{pointer}/compression_level"),
            format!("gzip has the levels 1 to 9, not {level}"),
            None,
        );
    }
    if format == Format::Delta && keys.path.is_some() {
        notes.wrong(
            &format!("{pointer}/path"),
            "a Delta table lies in a folder called as its query: it has no `path`",
            "remove it; `to` says where the tables lie".to_owned(),
        );
    }
    if format == Format::Delta && !cfg!(feature = "delta") {
        notes.wrong(
            &format!("{pointer}/format"),
            "this program was built without Delta tables",
            "build it with `cargo build --release --features delta`, or write `parquet`".to_owned(),
        );
    }
    if keys.csv.null_text.contains([',', '"', '\n', '\r']) {
        notes.wrong(
            &format!("{pointer}/csv/null_text"),
            "readers would see more than one value, or a text in quotes",
            "write a text without commas, quotes and line breaks, `\\N` for example".to_owned(),
        );
    }
    let export = Export {
        format,
        to: destination(&keys.to.0, root),
        to_label: keys.to.0,
        queries,
        path: keys.path.map(|path| path.0),
        per: keys.per.value(),
        compression,
        level: keys.compression_level,
        csv: CsvStyle {
            null_text: keys.csv.null_text,
            guard_formulas: keys.csv.formulas.value(),
        },
        drift: keys.drift.value(),
        nested: keys.nested.value(),
        pii: keys.pii.value(),
    };
    check_template(&pointer, &export, notes);
    export
}

/// The schema walk has let through either a URL of a bucket or a directory.
fn destination(text: &str, root: &Path) -> DestinationUrl {
    match BucketUrl::parse(text) {
        Ok(url) => DestinationUrl::Bucket(url),
        Err(_) => DestinationUrl::Directory(root.join(text)),
    }
}

/// A template that cannot tell files apart is found before anything runs.
fn check_template(pointer: &str, export: &Export, notes: &mut Notes) {
    let Some(path) = &export.path else { return };
    let has = |name: &str| {
        let squeezed: String = path.split_whitespace().collect();
        squeezed.contains(&format!("{{{{{name}}}}}"))
    };
    let mut lacking = Vec::new();
    if export.queries.len() > 1 && !has("query") {
        lacking.push("{{ query }}");
    }
    if export.per == Per::Day && !has("date") && !has("start") && !has("end") {
        lacking.push("{{ date }}");
    }
    if export.per == Per::Window && !has("date") && !has("start") && !has("end") {
        lacking.push("{{ start }}_{{ end }}");
    }
    if !lacking.is_empty() {
        let message = format!(
            "every file would overwrite the one before: the path lacks {}",
            lacking.join(" and ")
        );
        notes.wrong(&format!("{pointer}/path"), message, None);
    }
}

fn check_paths(exports: &[Export], notes: &mut Notes) {
    for (place, export) in exports.iter().enumerate() {
        for (before, other) in exports[..place].iter().enumerate() {
            if let Some(query) = same_file(export, other) {
                let message = format!(
                    "export {} and this one would both write the files of `{query}`",
                    before + 1
                );
                let hint = "give one of them another `to` or `path`".to_owned();
                notes.wrong(&format!("/exports/{place}/to"), message, hint);
            }
        }
    }
}

/// A query whose files two exports would both write.
fn same_file<'a>(one: &'a Export, other: &Export) -> Option<&'a str> {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    let same = same_place(&one.to, &other.to)
        && one.format == other.format
        && one.path.as_deref().map(squeeze) == other.path.as_deref().map(squeeze);
    let query = one.queries.iter().find(|q| other.queries.contains(q));
    query.filter(|_| same).map(String::as_str)
}

/// For each query of an export what makes its files those that they are: equal where
/// [`same_file`] is.
pub(super) fn file_keys(export: &Export) -> Vec<(String, &str)> {
    let place = match &export.to {
        DestinationUrl::Directory(folder) => format!("{}", clean(folder).display()),
        DestinationUrl::Bucket(url) => url.to_string(),
    };
    let path = export.path.as_deref().unwrap_or_default();
    let path = path.split_whitespace().collect::<String>();
    let format = export.format.name();
    let queries = export.queries.iter();
    let keys = queries.map(|query| {
        (
            format!("{place}\n{format}\n{path}\n{query}"),
            query.as_str(),
        )
    });
    keys.collect()
}

fn same_place(one: &DestinationUrl, other: &DestinationUrl) -> bool {
    match (one, other) {
        (DestinationUrl::Directory(one), DestinationUrl::Directory(other)) => {
            clean(one) == clean(other)
        }
        (one, other) => one == other,
    }
}

/// A path without `.` and `..`, without asking the disk.
fn clean(path: &Path) -> std::path::PathBuf {
    use std::path::Component;
    let mut clean = std::path::PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}
