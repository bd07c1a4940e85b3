//! `runs` and `show`: the history, and one run in full.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::json;

use super::{
    CliError,
    args::Global,
    exit::Exit,
    print,
    session::{open_store, settings},
};
use crate::{
    clock::Clock,
    domain::run::RunRecord,
    engine::{EngineError, StoredMail, archived},
    store::{Found, Store},
};

pub(super) async fn runs(
    job: Option<&str>,
    limit: u32,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (_, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let runs = store.runs(job, limit).await.map_err(EngineError::from)?;
    store.close().await;
    if global.json {
        return Ok(print::json(&json!({ "runs": runs })));
    }
    if runs.is_empty() {
        print::note("no runs yet");
        return Ok(Exit::Done);
    }
    let rows = runs.iter().map(|run| {
        vec![
            run.id.clone(),
            run.job.clone(),
            run.tick.clone(),
            format!("{} to {}", run.window.start, run.window.end),
            run.state.name().replace('_', " "),
            run.rows.to_string(),
            run.error.clone().unwrap_or_default(),
        ]
    });
    print::table(
        &["run", "job", "tick", "window", "state", "rows", "error"],
        rows,
    );
    Ok(Exit::Done)
}

pub(super) async fn show(
    id: &str,
    open: bool,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (root, settings) = settings(global)?;
    let store = open_store(&settings, clock).await?;
    let run = find(&store, id).await?;
    let letters = archived(&store, &settings.store, &run).await?;
    store.close().await;
    if global.json && !open {
        return Ok(print::json(&json!({ "runs": [run] })));
    }
    if !open {
        details(&run);
        let kept = letters.iter().flatten().count();
        if kept > 0 {
            print::line(format!(
                "\nthe mails are kept as they were sent: `show {} --open` writes them out",
                run.id
            ));
        }
        return Ok(Exit::Done);
    }
    let folder = root.join("out/mails").join(&run.id);
    let files = write_out(&folder, &run, &letters)?;
    if global.json {
        return Ok(print::json(&json!({ "files": files })));
    }
    for file in &files {
        print::line(file.display().to_string());
    }
    match files
        .iter()
        .find(|f| f.extension().is_some_and(|e| e == "html"))
    {
        Some(first) => open_file(first),
        None => print::note("no mail of this run is kept"),
    }
    Ok(Exit::Done)
}

/// The one run whose id begins so.
pub(super) async fn find(store: &Store, id: &str) -> Result<RunRecord, CliError> {
    match store.find_run(id).await.map_err(EngineError::from)? {
        Found::One(run) => Ok(*run),
        Found::None => Err(CliError::Argument(format!(
            "no run `{id}`; `runs` lists them"
        ))),
        Found::Many(ids) => Err(CliError::Argument(format!(
            "`{id}` is the beginning of several runs: {}",
            ids.join(", ")
        ))),
    }
}

/// Writes what each mail was, once for those that say the same; images lie beside the HTML that
/// shows them.
fn write_out(
    folder: &Path,
    run: &RunRecord,
    letters: &[Option<Arc<StoredMail>>],
) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    let mut last: Option<&Arc<StoredMail>> = None;
    for letter in letters.iter().flatten() {
        if last.is_some_and(|last| Arc::ptr_eq(last, letter)) {
            continue;
        }
        last = Some(letter);
        let site = letter.website_id.as_deref().unwrap_or("all");
        let stem = format!("{}-{}-{site}", run.job, letter.report);
        let mut html = letter.content.html.clone();
        for image in &letter.content.images {
            let name = format!("{stem}-{}", plain(&image.name));
            html = html.replace(&format!("cid:{}", image.cid), &name);
            files.push(write(folder, &name, &image.bytes)?);
        }
        for file in &letter.content.attachments {
            let name = format!("{stem}-{}", plain(&file.name));
            files.push(write(folder, &name, &file.bytes)?);
        }
        files.push(write(
            folder,
            &format!("{stem}.txt"),
            letter.content.text.as_bytes(),
        )?);
        files.push(write(
            folder,
            &format!("{stem}.json"),
            letter.context.as_bytes(),
        )?);
        files.push(write(folder, &format!("{stem}.html"), html.as_bytes())?);
    }
    Ok(files)
}

/// A name that stays in its folder.
fn plain(name: &str) -> String {
    name.replace(['/', '\\', '\0'], "-")
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, CliError> {
    let path = folder.join(plain(name));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, bytes))
        .map_err(|e| CliError::machine(format!("cannot write `{}`", path.display()))(e.into()))?;
    Ok(path)
}

/// By the program that the desktop has for it, where there is a desktop.
fn open_file(path: &Path) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let started = std::process::Command::new(program)
        .arg(path)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if started.is_err() {
        print::note(format!("open {} in a browser", path.display()));
    }
}

fn details(run: &RunRecord) {
    print::line(format!("run       {}", run.id));
    print::line(format!("job       {}", run.job));
    print::line(format!("state     {}", run.state.name().replace('_', " ")));
    print::line(format!("tick      {} ({})", run.tick, run.trigger.name()));
    print::line(format!(
        "window    {} to {} ({})",
        run.window.start, run.window.end, run.window.timezone
    ));
    print::line(format!(
        "attempts  {}, {} requests, {} retries, {} ms",
        run.attempts, run.requests, run.retries, run.duration_ms
    ));
    if let Some(error) = &run.error {
        print::line(format!("error     {error}"));
    }
    print::line("");
    print::table(
        &["query", "of", "start", "end", "state", "rows", "error"],
        run.steps.iter().map(|s| {
            vec![
                s.query.clone(),
                s.website_id
                    .clone()
                    .or(s.link_id.clone())
                    .unwrap_or_default(),
                s.start.clone(),
                s.end.clone(),
                s.state.name().to_owned(),
                s.rows.to_string(),
                s.error.clone().unwrap_or_default(),
            ]
        }),
    );
    if !run.artifacts.is_empty() {
        print::line("");
        print::table(
            &["file", "rows", "bytes", "written"],
            run.artifacts.iter().map(|a| {
                vec![
                    a.path.clone(),
                    a.rows.to_string(),
                    a.bytes.to_string(),
                    if a.written { "yes" } else { "unchanged" }.to_owned(),
                ]
            }),
        );
    }
    if !run.deliveries.is_empty() {
        print::line("");
        print::table(
            &["mail to", "subject", "state", "error"],
            run.deliveries.iter().map(|d| {
                vec![
                    d.to.clone(),
                    d.subject.clone(),
                    d.state.name().replace('_', " "),
                    d.error.clone().unwrap_or_default(),
                ]
            }),
        );
    }
}
