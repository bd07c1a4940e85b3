//! `preview`: renders a job's reports to files without sending them and outside the ledger.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    CliError,
    args::{Global, PlanArgs, PreviewArgs},
    exit::Exit,
    print,
    runs::find,
    session::{Session, planned_project, project},
};
use crate::{
    clock::Clock,
    domain::job::Job,
    engine::{Events, Page, resolve_at},
};

/// One file of a page.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
}

pub(super) async fn preview(
    args: &PreviewArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (session, rendered) = match &args.run {
        Some(run) => again(run, global, clock).await?,
        None => anew(args, global, clock).await?,
    };
    let folder = session.engine.root.join(&args.out);
    let mut files = Vec::new();
    for (job, page) in &rendered {
        files.extend(write(&folder, job, page, global.json)?);
        if let Some(to) = &args.send_to {
            session.engine.send_test(job, page, to).await?;
            say(global.json, format!("  sent as a test to {to}"));
        }
    }
    session.stop().await;
    if args.open {
        open(&files)?;
    }
    if global.json {
        print::json(&json!({ "files": files, "sent_to": args.send_to }));
    }
    Ok(Exit::Done)
}

/// The reports as a run would send them now.
async fn anew(
    args: &PreviewArgs,
    global: &Global,
    clock: &Clock,
) -> Result<(Session, Vec<(Job, Page)>), CliError> {
    let plan = PlanArgs {
        jobs: args.jobs.clone(),
        at: args.at,
        website: args.website.clone(),
        set: args.set.clone(),
    };
    let project = planned_project(global, &plan)?;
    if let Some(job) = project.jobs.iter().find(|job| job.reports.is_empty()) {
        return Err(CliError::Argument(format!(
            "`{}` has no report to preview",
            job.name
        )));
    }
    let session = Session::start(global, &project, clock, Events::new(|_| {})).await?;
    let mut rendered = Vec::new();
    for job in &project.jobs {
        let tick = resolve_at(args.at, job, clock.now()).map_err(CliError::Argument)?;
        let pages = session.engine.for_job(job).preview(job, tick).await?;
        rendered.extend(pages.into_iter().map(|page| (job.clone(), page)));
    }
    Ok((session, rendered))
}

/// The reports of a run, from the data that was kept of them.
async fn again(
    run: &str,
    global: &Global,
    clock: &Clock,
) -> Result<(Session, Vec<(Job, Page)>), CliError> {
    let all = project(global, &[], &[])?;
    let session = Session::without_key(global, &all, clock, Events::new(|_| {})).await?;
    let run = find(&session.engine.store, run).await?;
    let job = all.jobs.iter().find(|job| job.name == run.job);
    let job = job.ok_or_else(|| {
        CliError::Argument(format!(
            "the job `{}` of this run is there no more",
            run.job
        ))
    })?;
    let pages = session.engine.preview_again(job, &run).await?;
    let rendered = pages.into_iter().map(|page| (job.clone(), page)).collect();
    Ok((session, rendered))
}

/// Writes the files of a page; what `--json` says of each.
fn write(folder: &Path, job: &Job, page: &Page, is_json: bool) -> Result<Vec<Value>, CliError> {
    let mut told = Vec::new();
    for file in files_of(folder, job, page) {
        let written =
            std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file.path, &file.bytes));
        written.map_err(|e| {
            CliError::machine(format!("cannot write `{}`", file.path.display()))(e.into())
        })?;
        say(
            is_json,
            format!("{}  {}", file.path.display(), page.rendered.subject),
        );
        told.push(json!({
            "report": page.report, "website_id": page.website_id, "subject": page.rendered.subject,
            "path": file.path, "held": page.held,
        }));
    }
    if let Some(why) = &page.held {
        say(is_json, format!("  a run would not send it: {why}"));
    }
    Ok(told)
}

/// HTML first, then text, what channels are sent, and the files that go with the mail.
fn files_of(folder: &Path, job: &Job, page: &Page) -> Vec<File> {
    let website = page.website_id.as_deref().unwrap_or("all");
    let stem = format!("{}-{}-{website}", job.name, page.report);
    let file = |name: &str, bytes: &[u8]| File {
        path: folder.join(name),
        bytes: bytes.to_vec(),
    };
    let rendered = &page.rendered;
    let mut html = rendered.html.clone();
    let mut pictures = Vec::new();
    for (place, image) in rendered.images.iter().enumerate() {
        let name = format!("{stem}-{}.png", place + 1);
        html = html.replace(&format!("cid:{}", image.cid), &name);
        pictures.push(file(&name, &image.png));
    }
    let mut files = vec![
        file(&format!("{stem}.html"), html.as_bytes()),
        file(&format!("{stem}.txt"), rendered.text.as_bytes()),
    ];
    files.extend(pictures);
    for (kind, body) in &page.channels {
        let text = format!("{body:#}\n");
        files.push(file(&format!("{stem}.{kind}.json"), text.as_bytes()));
    }
    let attached = page.attachments.iter();
    files.extend(attached.map(|a| file(&format!("{stem}-{}", a.name), &a.bytes)));
    files
}

fn say(is_json: bool, line: String) {
    if !is_json {
        print::line(line);
    }
}

/// Opens the first page with what the desktop uses for HTML.
fn open(files: &[Value]) -> Result<(), CliError> {
    let Some(path) = files.first().and_then(|file| file["path"].as_str()) else {
        return Ok(());
    };
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    let command = command.arg(path);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = quiet.stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(CliError::Argument(format!(
            "`{program}` could not open `{path}`: open it yourself"
        ))),
    }
}
