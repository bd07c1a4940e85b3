//! Exports from a server that allows only so many requests: how long they take, and how often they are refused.

use std::{collections::HashMap, path::Path, time::Duration};

use clap::Args;

use super::{
    Result, machine,
    pieces::{BLOCK, Rows},
    project::Project,
    rate::{Counting, Rate},
    rows::Shape,
    server::Server,
};

/// The requests and their limit.
#[derive(Debug, Args)]
pub(crate) struct LimiterArgs {
    /// Requests that are made
    #[arg(long, default_value_t = 201, value_parser = clap::value_parser!(u16).range(1..))]
    requests: u16,
    /// Requests that the server allows in a window
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    /// Length of the window in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// How the server counts; each way where none is named
    #[arg(long, value_delimiter = ',')]
    counting: Vec<Counting>,
}

/// Runs each case and prints a table.
pub(crate) fn run(args: &LimiterArgs, binary: &Path) -> Result<()> {
    let all = [Counting::Fixed, Counting::Sliding, Counting::Log];
    let countings = if args.counting.is_empty() {
        &all[..]
    } else {
        &args.counting
    };
    let (requests, limit, window) = (args.requests, args.limit, args.window);
    let least = f64::from((requests - 1) / limit * window);
    println!("{}\n", machine::remark());
    println!(
        "{requests} requests where {limit} are allowed in {window} s: at least {least} s, goal at most {:.1} s and no 429.\n",
        goal(least)
    );
    println!("| the server counts by | requests | s | answered | refused (429) |");
    println!("|---|---|---|---|---|");
    for &counting in countings {
        for is_one in [true, false] {
            let websites = websites(usize::from(requests), is_one);
            let rate = Rate::new(
                counting,
                usize::from(limit),
                Duration::from_secs(window.into()),
            );
            let server = Server::start(Rows::of(Shape::Pages), websites, Some(rate))?;
            server.prepare(
                if is_one {
                    usize::from(requests) * BLOCK
                } else {
                    1
                },
                false,
            );
            let job = "preset: yesterday\nwebsites: all\nqueries: [pages]\nexports: [{ format: parquet, to: lake }]\n";
            let project = Project::new(binary, job)?.with_server(server.address, false)?;
            let (cost, _) = project.run(&["run", "job"])?;
            let (answered, refused) = server.counts();
            let asked = if is_one {
                "pages of one website"
            } else {
                "one a website"
            };
            println!(
                "| {} | {asked} | {:.1} | {answered} | {refused} |",
                counting.name(),
                cost.wall_secs
            );
        }
    }
    Ok(())
}

/// Websites that need so many requests: one of many pages, the last of them empty, or many of one page.
fn websites(requests: usize, is_one: bool) -> HashMap<String, usize> {
    if is_one {
        return HashMap::from([("web_1".to_owned(), (requests - 1) * BLOCK)]);
    }
    (1..=requests).map(|n| (format!("web_{n}"), 100)).collect()
}

/// Five in a hundred and a second above the least.
fn goal(least: f64) -> f64 {
    least * 1.05 + 1.0
}
