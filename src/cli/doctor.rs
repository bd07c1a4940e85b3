//! `doctor`: server, key, clock, store, destinations and mail, each with a remedy.

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{Session, project},
};
use crate::{clock::Clock, engine::Events};

pub(super) async fn doctor(global: &Global, clock: &Clock) -> Result<Exit, CliError> {
    let project = project(global, &[], &[])?;
    let session = Session::without_key(global, &project, clock, Events::new(|_| {})).await?;
    let findings = session.engine.doctor(&project.jobs).await;
    session.stop().await;
    let is_fine = findings.iter().all(|f| f.is_fine != Some(false));
    let exit = if is_fine { Exit::Done } else { Exit::Failed };
    if global.json {
        let list = findings.iter().map(
            |f| json!({ "part": f.part, "ok": f.is_fine, "found": f.found, "remedy": f.remedy }),
        );
        print::json(&json!({ "ok": is_fine, "findings": list.collect::<Vec<_>>() }));
        return Ok(exit);
    }
    let width = findings
        .iter()
        .map(|f| f.part.chars().count())
        .max()
        .unwrap_or(0);
    for finding in &findings {
        let mark = match finding.is_fine {
            Some(true) => print::paint(print::GOOD, "ok   "),
            Some(false) => print::paint(print::BAD, "wrong"),
            None => "?    ".to_owned(),
        };
        print::line(format!(
            "{mark}  {:<width$}  {}",
            finding.part, finding.found
        ));
        if let Some(remedy) = &finding.remedy {
            print::line(format!("       {:<width$}  {remedy}", ""));
        }
    }
    Ok(exit)
}
