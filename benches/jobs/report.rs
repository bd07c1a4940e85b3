//! What a report costs once its data are there: template, charts and styles, as the engine renders it.

use std::{path::Path, time::Instant};

use databuddy_jobs::report::Template;
use nix::sys::resource::{UsageWho, getrusage};

use super::{Result, machine};

/// The goal of the project for one report with charts.
const GOAL_MS: f64 = 30.0;

/// The numbers of a week like many, as the golden tests have them.
const WEEK: &str = include_str!("../../tests/golden/normal.json");

#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// How many are rendered
    #[arg(long, default_value_t = 200)]
    reports: u32,
}

pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let context = serde_json::from_str(WEEK)?;
    let template = Template::load(Path::new("no-such-folder"), "weekly")?;
    // The first parses the font
    let mail = template.render(&context)?;
    let pictures: usize = mail.images.iter().map(|image| image.png.len()).sum();
    let (cpu, wall) = (cpu_ms()?, Instant::now());
    for _ in 0..args.reports {
        std::hint::black_box(template.render(&context)?);
    }
    let each = |total: f64| total / f64::from(args.reports);
    let (cpu, wall) = (
        each(cpu_ms()? - cpu),
        each(wall.elapsed().as_secs_f64() * 1000.0),
    );
    println!("{}\n", machine::remark());
    println!("| what | figure |\n|---|---|");
    println!(
        "| reports rendered, one after the other | {} |",
        args.reports
    );
    println!("| CPU a report with its chart | {cpu:.1} ms (goal: at most {GOAL_MS:.0} ms) |");
    println!("| wall | {wall:.1} ms |");
    println!(
        "| HTML, text, pictures | {}, {pictures} bytes |",
        [mail.html.len(), mail.text.len()]
            .map(|n| n.to_string())
            .join(", ")
    );
    Ok(())
}

fn cpu_ms() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Ok((micros(usage.user_time()) + micros(usage.system_time())) as f64 / 1000.0)
}
