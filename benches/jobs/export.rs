//! Exports of all pages of one query type to one file.

use std::{collections::HashMap, path::Path};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    Result, child::Cost, machine, pieces::Rows, project::Project, rows::Shape, server::Server,
};

/// What is exported, and how often.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Numbers of rows, like 100k,1m,5m
    #[arg(long, value_delimiter = ',', default_value = "100k,1m,5m", value_parser = count)]
    rows: Vec<usize>,
    /// Query types; all where none is named
    #[arg(long, value_delimiter = ',')]
    shape: Vec<Shape>,
    /// Formats of the file
    #[arg(long, value_delimiter = ',', default_value = "parquet,csv")]
    format: Vec<Format>,
    /// How answers come
    #[arg(long, value_delimiter = ',', default_value = "identity,gzip")]
    encoding: Vec<Encoding>,
    /// Runs of each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Parquet,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Encoding {
    Identity,
    Gzip,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Case {
    shape: Shape,
    rows: usize,
    format: Format,
    encoding: Encoding,
}

/// Measures every case and prints a table.
pub(crate) fn run(args: &ExportArgs, binary: &Path) -> Result<()> {
    let shapes = if args.shape.is_empty() {
        &Shape::ALL[..]
    } else {
        &args.shape
    };
    println!("{}\n", machine::remark());
    println!(
        "| query type | answers | format | rows | CPU s, least (median) | goal | wall s, least | peak MiB, least – most | goal | MB written |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for &shape in shapes {
        let websites = args
            .rows
            .iter()
            .map(|rows| (id(*rows), *rows))
            .collect::<HashMap<_, _>>();
        let server = Server::start(Rows::of(shape), websites, None)?;
        for &encoding in &args.encoding {
            for &format in &args.format {
                for &rows in &args.rows {
                    let case = Case {
                        shape,
                        rows,
                        format,
                        encoding,
                    };
                    let runs = measure(case, &server, binary, args.runs)?;
                    println!("{}", line(case, &runs));
                }
            }
        }
    }
    Ok(())
}

fn id(rows: usize) -> String {
    format!("web_{rows}")
}

/// A cost, and the bytes of the file.
type Measured = (Cost, u64);

fn measure(case: Case, server: &Server, binary: &Path, runs: u16) -> Result<Vec<Measured>> {
    let Case {
        shape,
        rows,
        format,
        encoding,
    } = case;
    let gzip = encoding == Encoding::Gzip;
    server.prepare(rows, gzip);
    let (shape, website) = (shape.name(), id(rows));
    let format = match format {
        Format::Parquet => "format: parquet, compression: zstd",
        Format::Csv => "format: csv",
    };
    let job = format!(
        "preset: yesterday\nwebsites: [{website}]\nqueries: [{shape}]\nexports: [{{ {format}, to: lake, pii: allow }}]\n"
    );
    let project = Project::new(binary, &job)?.with_server(server.address, gzip)?;
    (0..runs)
        .map(|_| {
            let (cost, said) = project.run(&["run", "job"])?;
            let record = &said["runs"][0];
            if record["rows"].as_u64() != u64::try_from(rows).ok() {
                return Err(format!("{rows} rows were asked for, {} came", record["rows"]).into());
            }
            Ok((cost, written(record)))
        })
        .collect()
}

fn written(record: &Value) -> u64 {
    let files = record["artifacts"].as_array().into_iter().flatten();
    files.filter_map(|file| file["bytes"].as_u64()).sum()
}

fn line(case: Case, runs: &[Measured]) -> String {
    let sorted = |of: fn(&Cost) -> f64| {
        let mut all: Vec<f64> = runs.iter().map(|(cost, _)| of(cost)).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let cpu = sorted(|cost| cost.cpu_secs);
    let wall = sorted(|cost| cost.wall_secs);
    let peak = sorted(|cost| cost.peak_mib);
    let last = runs.len() - 1;
    let (cpu_goal, peak_goal) = goals(case);
    format!(
        "| `{}` | {} | {} | {} | {:.2} ({:.2}) | {cpu_goal} | {:.2} | {:.0} – {:.0} | {peak_goal} | {:.1} |",
        case.shape.name(),
        word(&case.encoding),
        word(&case.format),
        short(case.rows),
        cpu[0],
        cpu[runs.len() / 2],
        wall[0],
        peak[0],
        peak[last],
        runs[last].1 as f64 / 1e6,
    )
}

fn word<T: ValueEnum>(value: &T) -> String {
    let value = value.to_possible_value();
    value
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// The most CPU seconds and MiB that the project wants to need; memory the same for any number of rows.
fn goals(case: Case) -> (String, String) {
    let (parquet, csv, gzip, peak) = match case.shape {
        Shape::Pages => (0.60, 0.40, 0.80, 64),
        Shape::SessionList => (5.9, 4.0, 8.3, 128),
        Shape::CustomEventsRecent => (2.8, 1.5, 3.9, 96),
    };
    let cpu = match (case.rows, case.format, case.encoding) {
        (1_000_000, Format::Parquet, Encoding::Identity) => Some(parquet),
        (1_000_000, Format::Csv, Encoding::Identity) => Some(csv),
        (1_000_000, Format::Parquet, Encoding::Gzip) => Some(gzip),
        (100_000, Format::Parquet, Encoding::Identity) if case.shape == Shape::Pages => Some(0.10),
        _ => None,
    };
    let cpu = cpu.map_or_else(String::new, |goal| format!("{goal:.2}"));
    (cpu, peak.to_string())
}

/// `100k`, `1m`, or a plain number.
fn count(text: &str) -> std::result::Result<usize, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'm') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number = digits.parse::<usize>().ok().filter(|n| *n > 0);
    let rows = number.and_then(|n| n.checked_mul(factor));
    rows.ok_or_else(|| format!("`{text}` is no number of rows: write 100k, 1m or 250000"))
}

fn short(rows: usize) -> String {
    match rows {
        n if n % 1_000_000 == 0 => format!("{}m", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}k", n / 1_000),
        n => n.to_string(),
    }
}
