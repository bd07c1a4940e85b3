//! A year's backfill from the embedded API. It says how many requests that takes, not how fast it is:
//! making the rows costs more than reading them.

use std::path::Path;

use chrono::TimeDelta;
use clap::Args;
use databuddy_jobs::clock::Clock;
use serde_json::Value;

use super::{Result, machine, project::Project};

/// The days.
#[derive(Debug, Args)]
pub(crate) struct BackfillArgs {
    /// How many days, up to the day before yesterday: yesterday's own run is not due before noon
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
}

/// What a website's dashboard shows.
const QUERIES: [&str; 15] = [
    "summary",
    "pages",
    "traffic",
    "countries",
    "device_types",
    "browser_name",
    "os_name",
    "entry_pages",
    "exit_pages",
    "region",
    "city",
    "utm_sources",
    "utm_mediums",
    "utm_campaigns",
    "language",
];

/// Fills the days in and prints a table.
pub(crate) fn run(args: &BackfillArgs, binary: &Path) -> Result<()> {
    let queries = QUERIES.join(", ");
    let job = format!(
        "preset: yesterday\nwebsites: all\nqueries: [{queries}]\nexports: [{{ format: parquet, to: lake }}]\n"
    );
    let project = Project::new(binary, &job)?;
    let today = Clock::system().now().date_naive();
    let before = |days: u16| (today - TimeDelta::days(days.into())).to_string();
    let (from, to) = (before(args.days.saturating_add(1)), before(2));
    let (_, said) = project.run(&["backfill", "job", "--from", &from, "--to", &to, "--sandbox"])?;
    let runs = said["runs"].as_array().ok_or("the program told no runs")?;
    let sum = |key: &str| -> u64 { runs.iter().filter_map(|run| run[key].as_u64()).sum() };
    let lists = |key: &str| -> usize {
        runs.iter()
            .filter_map(|run| Some(run[key].as_array()?.len()))
            .sum()
    };
    println!("{}\n", machine::remark());
    println!(
        "| days | queries × websites | data sets, one request each for a simple client | requests | sent again (429s and others) | files | rows |"
    );
    println!("|---|---|---|---|---|---|---|");
    let steps = lists("steps");
    let days = said["units"].as_u64().unwrap_or(0);
    println!(
        "| {days} | {} × {} | {steps} | {} | {} | {} | {} |",
        QUERIES.len(),
        websites(runs),
        said["requests"],
        sum("retries"),
        lists("artifacts"),
        said["rows"],
    );
    Ok(())
}

fn websites(runs: &[Value]) -> usize {
    let steps = runs
        .iter()
        .filter_map(|run| run["steps"].as_array())
        .flatten();
    let mut ids: Vec<&str> = steps
        .filter_map(|step| step["website_id"].as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}
