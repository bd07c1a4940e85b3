//! `verify` and `gaps`: the lake against its manifests, and windows that are missing in it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use serde_json::json;

use super::{CliError, args::Global, exit::Exit, print, session::project};
use crate::{
    clock::Clock,
    domain::job::{Export, Job},
    engine::EngineError,
    export::{Destinations, ExportError, Manifest, ManifestFile, Mismatch},
};

type Units = Vec<(String, Result<Manifest, ExportError>)>;

pub(super) async fn verify(job: &str, global: &Global) -> Result<Exit, CliError> {
    let project = project(global, &[job.to_owned()], &[])?;
    let job = &project.jobs[0];
    let (mut files, mut wrong) = (0, Vec::new());
    let lake = Destinations::new(project.settings.stores.clone());
    for export in destinations(job) {
        let destination = lake.open(&export.to, &job.name);
        let destination = destination.map_err(EngineError::from)?;
        let locks = destination.locks().await.map_err(EngineError::from)?;
        let units = destination.manifests().await.map_err(EngineError::from)?;
        for (unit, manifest) in units {
            let manifest = match manifest {
                Ok(manifest) => manifest,
                Err(error) => {
                    let path = format!("_manifests/{}/{unit}.json", job.name);
                    let what = format!("it cannot be read: {}", error.root_cause());
                    wrong.push((export.to_label.clone(), unit, Mismatch { path, what }));
                    continue;
                }
            };
            files += manifest.files.len();
            for mismatch in destination.verify(&manifest, &locks).await {
                wrong.push((export.to_label.clone(), unit.clone(), mismatch));
            }
        }
    }
    let exit = if wrong.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    };
    if global.json {
        let list = wrong.iter().map(|(to, unit, m)| json!({ "destination": to, "unit": unit, "path": m.path, "problem": m.what }));
        print::json(
            &json!({ "job": job.name, "files": files, "problems": list.collect::<Vec<_>>() }),
        );
        return Ok(exit);
    }
    for (to, _, mismatch) in &wrong {
        print::line(format!(
            "{}/{}: {}",
            to.trim_end_matches('/'),
            mismatch.path,
            mismatch.what
        ));
    }
    if wrong.is_empty() {
        print::line(format!("{files} files are what their manifests say"));
    } else {
        print::line(format!(
            "{} of {files} files are not what their manifests say; run the job for these days again",
            wrong.len()
        ));
    }
    Ok(exit)
}

pub(super) async fn gaps(job: &str, global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[job.to_owned()], &[])?;
    let job = &project.jobs[0];
    let zone = match project.settings.api_days {
        crate::domain::window::ServerDays::Utc => chrono_tz::Tz::UTC,
        crate::domain::window::ServerDays::Local => job.timezone,
    };
    let today = clock.now().with_timezone(&zone).date_naive();
    let mut found = Vec::new();
    let lake = Destinations::new(project.settings.stores.clone());
    for export in destinations(job) {
        let destination = lake.open(&export.to, &job.name);
        let destination = destination.map_err(EngineError::from)?;
        let units = destination.manifests().await.map_err(EngineError::from)?;
        let listed = destination.list("").await.map_err(EngineError::from)?;
        let there = listed.into_iter().map(|file| file.path).collect();
        for (day, why) in missing(&units, &there, today) {
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

/// One export of each destination: they share its manifests.
fn destinations(job: &Job) -> Vec<&Export> {
    let mut seen = BTreeSet::new();
    job.exports
        .iter()
        .filter(|export| seen.insert(&export.to))
        .collect()
}

/// Days between the first one that is there and yesterday that have no manifest, and units whose
/// manifest cannot be read, lists something missing or a file that is not there, or was written before
/// the days were over.
fn missing(units: &Units, there: &BTreeSet<String>, today: NaiveDate) -> BTreeMap<String, String> {
    let mut gaps = BTreeMap::new();
    let mut covered = BTreeSet::new();
    let mut first = None;
    for (unit, manifest) in units {
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(error) => {
                let why = format!("its manifest cannot be read: {}", error.root_cause());
                gaps.insert(unit.clone(), why);
                continue;
            }
        };
        // Those of Delta tables are the tables' own
        let is_gone = |file: &&ManifestFile| file.format != "delta" && !there.contains(&file.path);
        let day = |text: &str| text.parse::<NaiveDate>().ok();
        let (Some(start), Some(end)) = (day(&manifest.window.start), day(&manifest.window.end))
        else {
            continue;
        };
        let days = (0..)
            .map(|n| start + Days::new(n))
            .take_while(|day| *day <= end);
        covered.extend(days);
        first = Some(first.map_or(start, |first: NaiveDate| first.min(start)));
        if let Some(lacking) = manifest.missing.first() {
            let of = lacking
                .website_id
                .as_deref()
                .or(lacking.link_id.as_deref())
                .unwrap_or_default();
            gaps.insert(
                unit.clone(),
                format!(
                    "{} missing, the first `{}` of {of}: {}",
                    manifest.missing.len(),
                    lacking.query,
                    lacking.error
                ),
            );
        } else if let Some(gone) = manifest.files.iter().find(is_gone) {
            let count = manifest.files.iter().filter(is_gone).count();
            let why = format!("{count} files are not there, the first `{}`", gone.path);
            gaps.insert(unit.clone(), why);
        } else if !manifest.is_final && end < today {
            gaps.insert(
                unit.clone(),
                "it was written before its days were over".to_owned(),
            );
        }
    }
    let days = first
        .into_iter()
        .flat_map(|first| (0..).map(move |n| first + Days::new(n)));
    for day in days
        .take_while(|day| *day < today)
        .filter(|day| !covered.contains(day) && !gaps.contains_key(&day.to_string()))
        .collect::<Vec<_>>()
    {
        gaps.insert(day.to_string(), "it was never written".to_owned());
    }
    gaps
}
