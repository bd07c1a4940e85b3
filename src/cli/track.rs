//! `track`: sends one event, or a file of JSON lines as batches, through the tracking API.
//!
//! What was taken is noted beside the file after each batch, so that an interrupted file goes on
//! where it stopped; events that are refused go to a file beside it, with the reason.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    CliError,
    args::{Global, TrackArgs},
    exit::Exit,
    print,
    session::{Api, settings},
};
use crate::{
    api::Tracking,
    clock::Clock,
    domain::event::{MAX_BATCH, TrackedEvent, line_id},
    engine::EngineError,
};

/// What came of all events.
#[derive(Debug, Default)]
struct Tally {
    sent: usize,
    refused: usize,
    /// Sent by an earlier run of the same file.
    before: usize,
}

pub(super) async fn track(
    args: &TrackArgs,
    global: &Global,
    clock: &Clock,
) -> Result<Exit, CliError> {
    let (root, settings) = settings(global)?;
    let single = args
        .file
        .is_none()
        .then(|| one_event(args, clock))
        .transpose()?;
    let api = Api::start(global, &root, &settings, clock).await?;
    let done = send(args, single, &api, global).await;
    api.stop().await;
    let (tally, refusals) = done?;
    if global.json {
        print::json(&json!({
            "sent": tally.sent, "refused": tally.refused, "sent_before": tally.before,
            "refused_file": refusals.as_ref().filter(|_| tally.refused > 0),
        }));
    } else {
        let before = if tally.before > 0 {
            format!(", {} lines were done before", tally.before)
        } else {
            String::new()
        };
        print::line(format!(
            "{} sent, {} refused{before}",
            tally.sent, tally.refused
        ));
        if let Some(file) = refusals.filter(|_| tally.refused > 0) {
            print::line(format!(
                "refused events, each with its reason: {}",
                file.display()
            ));
        }
    }
    Ok(match (tally.refused, tally.sent + tally.before) {
        (0, _) => Exit::Done,
        (_, 0) => Exit::Failed,
        _ => Exit::Partly,
    })
}

/// The event of the flags.
fn one_event(args: &TrackArgs, clock: &Clock) -> Result<TrackedEvent, CliError> {
    let name = args.name.clone().ok_or_else(|| {
        CliError::Argument("say what to send: a file of JSON lines, or --name NAME".to_owned())
    })?;
    let now = clock.now();
    let mut properties = Map::new();
    for (key, text) in &args.property {
        // A number or a boolean where it is one, else text
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        properties.insert(key.clone(), value);
    }
    let event = TrackedEvent {
        event_id: args.event_id.clone().unwrap_or_else(|| {
            line_id(
                &args.website,
                &format!("{name} {now} {}", fastrand::u64(..)),
                0,
            )
        }),
        name,
        anonymous_id: args.anonymous_id.clone(),
        session_id: args.session_id.clone(),
        timestamp_ms: Some(args.timestamp.unwrap_or_else(|| now.timestamp_millis())),
        properties,
    };
    event.check().map_err(CliError::Argument)?;
    Ok(event)
}

async fn send(
    args: &TrackArgs,
    single: Option<TrackedEvent>,
    api: &Api,
    global: &Global,
) -> Result<(Tally, Option<PathBuf>), CliError> {
    let tracking = match api.client.catalog().await {
        Ok(catalog) if catalog.is_seed() => Tracking::Seed,
        Ok(_) => Tracking::Track,
        Err(error) => return Err(EngineError::from(error).into()),
    };
    if let Some(event) = single {
        let refused = api
            .basket
            .track(&args.website, &[event], tracking)
            .await
            .map_err(EngineError::from)?;
        for event in &refused {
            print::note(format!("refused: {}", event.reason));
        }
        let tally = Tally {
            sent: 1 - refused.len(),
            refused: refused.len(),
            before: 0,
        };
        return Ok((tally, None));
    }
    let path = args
        .file
        .as_ref()
        .expect("without a file there is a single event");
    let file = EventFile::open(path, &args.website)?;
    let tally = file.send(api, &args.website, tracking, global).await?;
    Ok((tally, Some(file.refusals())))
}

/// A file of JSON lines.
struct EventFile {
    path: PathBuf,
    lines: Vec<String>,
    /// Lines that an earlier run has done.
    done: usize,
}

impl EventFile {
    fn open(path: &Path, website: &str) -> Result<Self, CliError> {
        let text = fs::read_to_string(path)
            .map_err(|e| CliError::Argument(format!("`{}` cannot be read: {e}", path.display())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut file = Self {
            path: path.to_owned(),
            lines,
            done: 0,
        };
        let noted: Value = fs::read_to_string(file.progress())
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let count = noted["lines"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0);
        // Only where the file still begins with what was sent, and to the same website
        if count <= file.lines.len()
            && noted["sha256"] == file.hash(count)
            && noted["website_id"] == website
        {
            file.done = count;
        }
        Ok(file)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    }

    fn progress(&self) -> PathBuf {
        self.beside(".progress.json")
    }

    fn refusals(&self) -> PathBuf {
        self.beside(".refused.jsonl")
    }

    /// SHA-256 of the first lines.
    fn hash(&self, lines: usize) -> String {
        let mut hasher = Sha256::new();
        for line in &self.lines[..lines] {
            hasher.update(line);
            hasher.update("\n");
        }
        hex::encode(hasher.finalize())
    }

    async fn send(
        &self,
        api: &Api,
        website: &str,
        tracking: Tracking,
        global: &Global,
    ) -> Result<Tally, CliError> {
        let mut tally = Tally {
            before: self.done,
            ..Tally::default()
        };
        let bar = bar(self.lines.len() - self.done, global);
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for line in &self.lines[..self.done] {
            *seen.entry(line).or_default() += 1;
        }
        let mut at = self.done;
        while at < self.lines.len() {
            let end = (at + MAX_BATCH).min(self.lines.len());
            let mut events = Vec::new();
            let mut places = Vec::new();
            let mut refused = Vec::new();
            for (offset, line) in self.lines[at..end].iter().enumerate() {
                let occurrence = seen.entry(line).or_default();
                let id = line_id(website, line, *occurrence);
                *occurrence += 1;
                if line.trim().is_empty() {
                    continue;
                }
                match TrackedEvent::from_json(line, &id) {
                    Ok(event) => {
                        events.push(event);
                        places.push(at + offset);
                    }
                    Err(reason) => refused.push((at + offset, reason)),
                }
            }
            let by_server = api
                .basket
                .track(website, &events, tracking)
                .await
                .map_err(EngineError::from)?;
            tally.sent += events.len() - by_server.len();
            refused.extend(
                by_server
                    .into_iter()
                    .map(|event| (places[event.place], event.reason)),
            );
            refused.sort();
            tally.refused += refused.len();
            self.note(end, website, &refused).map_err(|e| {
                CliError::machine(format!(
                    "what was sent cannot be noted beside `{}`",
                    self.path.display()
                ))(e.into())
            })?;
            bar.inc((end - at) as u64);
            at = end;
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    /// Refused lines first, then how far the file is done: a kill between them repeats a note, and
    /// loses nothing.
    fn note(&self, done: usize, website: &str, refused: &[(usize, String)]) -> io::Result<()> {
        if !refused.is_empty() {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.refusals())?;
            for (place, reason) in refused {
                let line = &self.lines[*place];
                writeln!(
                    file,
                    "{}",
                    json!({ "line": place + 1, "reason": reason, "event": line })
                )?;
            }
            file.sync_all()?;
        }
        let noted = json!({ "lines": done, "sha256": self.hash(done), "website_id": website });
        let folder = self
            .path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut temp = tempfile::NamedTempFile::new_in(folder)?;
        temp.write_all(noted.to_string().as_bytes())?;
        temp.as_file().sync_all()?;
        temp.persist(self.progress()).map_err(|e| e.error)?;
        Ok(())
    }
}

fn bar(lines: usize, global: &Global) -> ProgressBar {
    if global.no_progress || global.quiet || global.json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(lines as u64);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} events, {eta} left");
    bar.set_style(style.expect("the template is a constant"));
    bar
}
