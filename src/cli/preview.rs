//! `preview`: renders a job's reports to files without sending them and outside the ledger.

use serde_json::json;

use super::{
    CliError,
    args::{Global, PlanArgs},
    exit::Exit,
    print,
    session::{Session, planned_project},
};
use crate::{
    clock::Clock,
    engine::{Events, resolve_at},
};

pub(super) async fn preview(
    args: &PlanArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let project = planned_project(global, args)?;
    let session = Session::start(global, &project, clock, Events::new(|_| {})).await?;
    let folder = project.root.join("out/preview");
    let mut files = Vec::new();
    for job in &project.jobs {
        if job.reports.is_empty() {
            return Err(CliError::Argument(format!(
                "`{}` has no report to preview",
                job.name
            )));
        }
        let tick = resolve_at(args.at, job, clock.now()).map_err(CliError::Argument)?;
        for page in session.engine.for_job(job).preview(job, tick).await? {
            let stem = format!("{}-{}-{}", job.name, page.report, page.website_id);
            for (extension, text) in [("html", &page.rendered.html), ("txt", &page.rendered.text)] {
                let file = folder.join(format!("{stem}.{extension}"));
                let written =
                    std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text));
                written.map_err(|e| {
                    CliError::machine(format!("cannot write `{}`", file.display()))(e.into())
                })?;
                files.push(json!({ "subject": page.rendered.subject, "path": file }));
                if !global.json {
                    print::line(format!("{}  {}", file.display(), page.rendered.subject));
                }
            }
        }
    }
    session.stop().await;
    if global.json {
        print::json(&json!({ "files": files }));
    }
    Ok(Exit::Done)
}
