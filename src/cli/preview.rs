//! `preview`: renders a job's reports to files without sending them and outside the ledger.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    CliError,
    args::{Global, PreviewArgs},
    exit::Exit,
    print,
    session::{Session, planned_project},
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
    let project = planned_project(global, &args.plan)?;
    if let Some(job) = project.jobs.iter().find(|job| job.reports.is_empty()) {
        return Err(CliError::Argument(format!(
            "`{}` has no report to preview",
            job.name
        )));
    }
    let session = Session::start(global, &project, clock, Events::new(|_| {})).await?;
    let folder = project.root.join(&args.out);
    let mut files = Vec::new();
    for job in &project.jobs {
        let tick = resolve_at(args.plan.at, job, clock.now()).map_err(CliError::Argument)?;
        let engine = session.engine.for_job(job);
        for page in engine.preview(job, tick).await? {
            files.extend(write(&folder, job, &page, global.json)?);
            if let Some(to) = &args.send_to {
                engine.send_test(job, &page, to).await?;
                say(global.json, format!("  sent as a test to {to}"));
            }
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

/// HTML first, then text, and the files that go with the mail.
fn files_of(folder: &Path, job: &Job, page: &Page) -> Vec<File> {
    let website = page.website_id.as_deref().unwrap_or("all");
    let stem = format!("{}-{}-{website}", job.name, page.report);
    let file = |name: &str, bytes: &[u8]| File {
        path: folder.join(name),
        bytes: bytes.to_vec(),
    };
    let mut files = vec![
        file(&format!("{stem}.html"), page.rendered.html.as_bytes()),
        file(&format!("{stem}.txt"), page.rendered.text.as_bytes()),
    ];
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
