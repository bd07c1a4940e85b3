//! `gaps`: days and files that are missing in the lake.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use serde_json::json;

use super::{CliError, args::Global, exit::Exit, print, session::project, verify::destinations};
use crate::{
    clock::Clock,
    domain::window::ServerDays,
    engine::EngineError,
    export::{Destinations, ExportError, Manifest, ManifestFile},
};

type Units = Vec<(String, Result<Manifest, ExportError>)>;

pub(super) async fn gaps(job: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[job.to_owned()], &[])?;
    let job = &project.jobs[0];
    let zone = match project.settings.api_days {
        ServerDays::Utc => chrono_tz::Tz::UTC,
        ServerDays::Local => job.timezone,
    };
    let today = clock.now().with_timezone(&zone).date_naive();
    // A website that a pattern found yesterday need not have been there before
    let patterns = &job.websites.include;
    let is_listed = patterns
        .iter()
        .all(|name| !name.contains(['*', '?', '[', '{']));
    let mut found = Vec::new();
    let lake = Destinations::new(project.settings.stores.clone());
    for export in destinations(job) {
        let destination = lake.open(&export.to, &job.name);
        let destination = destination.map_err(EngineError::from)?;
        let units = destination.manifests().await.map_err(EngineError::from)?;
        if units.is_empty() {
            let why = "there is no manifest: the job never wrote here, or this is not where it did";
            found.push((export.to_label.clone(), "*".to_owned(), why.to_owned()));
        }
        let listed = destination.list("").await.map_err(EngineError::from)?;
        let there = listed.into_iter().map(|file| file.path).collect();
        for (day, why) in missing(&units, &there, today, is_listed) {
            found.push((export.to_label.clone(), day, why));
        }
    }
    let exit = if found.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    };
    if global.json {
        let list = found
            .iter()
            .map(|(to, unit, why)| json!({ "destination": to, "unit": unit, "why": why }));
        print::json(&json!({ "job": job.name, "gaps": list.collect::<Vec<_>>() }));
        return Ok(exit);
    }
    for (to, unit, why) in &found {
        print::line(format!("{to}: {unit}: {why}"));
    }
    if found.is_empty() {
        print::line("no gaps");
    } else {
        print::note(format!(
            "fill them in with: databuddy-jobs backfill {} --from DAY --to DAY",
            job.name
        ));
    }
    Ok(exit)
}

/// Days between the first one that is there and yesterday that have no manifest, and units of which
/// something is not there. Whether the job lists its websites one by one decides if one of them can be.
fn missing(
    units: &Units,
    there: &BTreeSet<String>,
    today: NaiveDate,
    is_listed: bool,
) -> BTreeMap<String, String> {
    let mut gaps = BTreeMap::new();
    let mut covered = BTreeSet::new();
    let expected = expected(units);
    for (unit, manifest) in units {
        let why = match manifest {
            Ok(manifest) => {
                let days = days_of(manifest);
                covered.extend(days.iter().copied());
                let is_over = days.last().is_some_and(|day| *day < today);
                let expected = &expected[&kind_of(unit, manifest)];
                why_incomplete(manifest, there, is_over)
                    .or_else(|| why_behind(manifest, expected, is_listed))
            }
            Err(error) => Some(format!(
                "its manifest cannot be read: {}",
                error.root_cause()
            )),
        };
        if let Some(why) = why {
            gaps.insert(unit.clone(), why);
        }
    }
    let first = covered.first().copied();
    let days = first
        .into_iter()
        .flat_map(|first| (0..).map(move |n| first + Days::new(n)));
    for day in days.take_while(|day| *day < today) {
        if !covered.contains(&day) {
            let gap = gaps.entry(day.to_string());
            gap.or_insert_with(|| "it was never written".to_owned());
        }
    }
    gaps
}

/// The days of a manifest's window; none where it does not say which.
fn days_of(manifest: &Manifest) -> Vec<NaiveDate> {
    let day = |text: &str| text.parse::<NaiveDate>().ok();
    let window = &manifest.window;
    let (Some(start), Some(end)) = (day(&window.start), day(&window.end)) else {
        return Vec::new();
    };
    let days = (0..).map(|n| start + Days::new(n));
    days.take_while(|day| *day <= end).collect()
}

/// Units of one kind hold the same queries: those of days, or those of windows of so many days.
type Kind = (bool, usize);

fn kind_of(unit: &str, manifest: &Manifest) -> Kind {
    (unit == manifest.window.start, days_of(manifest).len())
}

/// What the job as it is now writes, by kind: all that units have which the definition of the newest one
/// wrote last.
fn expected(units: &Units) -> BTreeMap<Kind, BTreeSet<(&str, &str)>> {
    let mut newest: BTreeMap<Kind, &Manifest> = BTreeMap::new();
    let good = || {
        units
            .iter()
            .filter_map(|(unit, m)| Some((unit, m.as_ref().ok()?)))
    };
    for (unit, manifest) in good() {
        let newest = newest.entry(kind_of(unit, manifest)).or_insert(manifest);
        if manifest.window.start > newest.window.start {
            *newest = manifest;
        }
    }
    let mut expected: BTreeMap<Kind, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for (unit, manifest) in good() {
        let kind = kind_of(unit, manifest);
        let all = expected.entry(kind).or_default();
        if manifest.definition_hash == newest[&kind].definition_hash {
            all.extend(pairs(manifest));
        }
    }
    expected
}

/// What is not there of a unit: what its manifest lists as missing, files that are gone, days that were
/// not over.
fn why_incomplete(manifest: &Manifest, there: &BTreeSet<String>, is_over: bool) -> Option<String> {
    // Those of Delta tables are the tables' own
    let is_gone = |file: &&ManifestFile| file.format != "delta" && !there.contains(&file.path);
    if let Some(lacking) = manifest.missing.first() {
        let of = lacking
            .website_id
            .as_deref()
            .or(lacking.link_id.as_deref())
            .unwrap_or_default();
        return Some(format!(
            "{} missing, the first `{}` of {of}: {}",
            manifest.missing.len(),
            lacking.query,
            lacking.error
        ));
    }
    if let Some(gone) = manifest.files.iter().find(is_gone) {
        let count = manifest.files.iter().filter(is_gone).count();
        return Some(format!(
            "{count} files are not there, the first `{}`",
            gone.path
        ));
    }
    (!manifest.is_final && is_over).then(|| "it was written before its days were over".to_owned())
}

/// What others of its kind have and this one lacks.
fn why_behind(
    manifest: &Manifest,
    expected: &BTreeSet<(&str, &str)>,
    is_listed: bool,
) -> Option<String> {
    let has = pairs(manifest);
    let is_expected =
        |(_, website): &&(&str, &str)| is_listed || has.iter().any(|(_, known)| known == website);
    let mut later = expected.difference(&has).filter(is_expected);
    let (query, website) = later.next()?;
    Some(format!(
        "it lacks {} files that others have, the first `{query}` of {website}: they came into the job later, or a run was of some websites",
        later.count() + 1,
    ))
}

/// The queries of each website. Links come and go by the day, and are not among them.
fn pairs(manifest: &Manifest) -> BTreeSet<(&str, &str)> {
    let of_files = manifest.files.iter().map(|f| (&f.query, &f.website_id));
    let of_missing = manifest.missing.iter().map(|m| (&m.query, &m.website_id));
    of_files
        .chain(of_missing)
        .filter_map(|(query, website)| Some((query.as_str(), website.as_deref()?)))
        .collect()
}
