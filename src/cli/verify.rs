//! `verify`: the lake against its manifests.

use std::collections::BTreeSet;

use serde_json::json;

use super::{CliError, args::Global, exit::Exit, print, session::project};
use crate::{
    domain::job::{Export, Job},
    engine::EngineError,
    export::{Destinations, Mismatch},
};

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
        if units.is_empty() {
            let path = format!("_manifests/{}", job.name);
            let what =
                "there is no manifest: the job never wrote here, or this is not where it did";
            let what = what.to_owned();
            wrong.push((
                export.to_label.clone(),
                String::new(),
                Mismatch { path, what },
            ));
        }
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
            "{} problems, in {files} files that manifests list; run the job for these days again",
            wrong.len()
        ));
    }
    Ok(exit)
}

/// One export of each destination: they share its manifests.
pub(super) fn destinations(job: &Job) -> Vec<&Export> {
    let mut seen = BTreeSet::new();
    job.exports
        .iter()
        .filter(|export| seen.insert(&export.to))
        .collect()
}
