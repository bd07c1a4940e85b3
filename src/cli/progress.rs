//! Progress bars on a terminal, log lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Global, LogFormat};
use crate::{
    api::Client,
    engine::{Event, Events},
};

/// A bar where a person watches, else log lines.
pub(super) fn events(global: &Global) -> Events {
    if !is_watched(global) {
        return log_events();
    }
    let bar: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Events::new(move |event| {
        let mut bar = bar.lock().expect("no listener panics while it draws");
        match event {
            Event::RunStarted { job, window, .. } => {
                let style = ProgressStyle::with_template(
                    "{spinner} {prefix} {bar:24} {pos}/{len} {wide_msg}",
                );
                let new = ProgressBar::new(0).with_prefix(format!("{job}, {window}"));
                new.set_style(style.expect("the template is a constant"));
                new.enable_steady_tick(Duration::from_millis(120));
                *bar = Some(new);
            }
            Event::RunFinished(_) => {
                if let Some(bar) = bar.take() {
                    bar.finish_and_clear();
                }
            }
            event => {
                if let Some(bar) = bar.as_ref() {
                    update(bar, event);
                }
            }
        }
    })
}

fn is_watched(global: &Global) -> bool {
    std::io::stderr().is_terminal()
        && !global.no_progress
        && !global.quiet
        && global.log_format == LogFormat::Text
}

fn update(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::AttemptStarted { steps, number } => {
            bar.set_length(*steps as u64);
            bar.set_position(0);
            if *number > 1 {
                bar.set_message(format!("attempt {number}"));
            }
        }
        Event::StepDone { query, target, .. } => {
            bar.inc(1);
            bar.set_message(format!("{query} of {target}"));
        }
        Event::Retrying { seconds, why, .. } => {
            bar.set_message(format!("again in {seconds} s: {why}"));
        }
        Event::ArtifactDone(artifact) => bar.set_message(artifact.path.clone()),
        Event::Revised {
            query,
            target,
            change,
        } => bar.suspend(|| tracing::warn!(query, of = target, "restated: {change}")),
        Event::DeliveryDone(delivery) => bar.set_message(format!("report to {}", delivery.to)),
        _ => {}
    }
}

/// The bar of a backfill: days or windows, rows, requests, the rate budget and the time that is left.
#[derive(Clone)]
pub(super) struct Backfill {
    /// `None`: nobody watches.
    bar: Option<ProgressBar>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    rows: u64,
    before: u64,
    client: Option<Client>,
}

impl Backfill {
    pub(super) fn new(global: &Global) -> Self {
        let bar = is_watched(global).then(|| {
            let style = ProgressStyle::with_template(
                "{spinner} {bar:24} {pos}/{len} windows, {eta} left {wide_msg}",
            );
            let bar = ProgressBar::new(0);
            bar.set_style(style.expect("the template is a constant"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            counts: Arc::default(),
        }
    }

    /// Shows the requests and the rate budget of this client.
    pub(super) fn watch(&self, client: &Client) {
        self.counts
            .lock()
            .expect("nobody panics while it counts")
            .client = Some(client.clone());
    }

    pub(super) fn events(&self) -> Events {
        let Some(bar) = self.bar.clone() else {
            return log_events();
        };
        let counts = Arc::clone(&self.counts);
        Events::new(move |event| {
            let mut counts = counts.lock().expect("nobody panics while it counts");
            match event {
                Event::Backfilling { units_done, units } => {
                    bar.set_length(*units as u64);
                    bar.set_position(*units_done as u64);
                }
                Event::StepDone {
                    outcome: Ok(rows), ..
                } => counts.rows += rows,
                Event::Retrying { seconds, why, .. } => {
                    bar.set_message(format!("again in {seconds} s: {why}"));
                    return;
                }
                Event::RunFinished(run) => counts.before += run.requests,
                Event::Revised {
                    query,
                    target,
                    change,
                } => {
                    bar.suspend(|| tracing::warn!(query, of = target, "restated: {change}"));
                }
                _ => {}
            }
            let rate = counts.client.as_ref().map(Client::rate);
            let rate = rate.map_or_else(String::new, |rate| {
                let seconds = rate.window.as_secs();
                format!(", {} of {} in {seconds} s used", rate.used, rate.allowed)
            });
            bar.set_message(format!(
                "{} rows, {} requests{rate}",
                counts.rows, counts.before
            ));
        })
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A log line at each arrow of the flow; shown with `-v`.
pub(super) fn log_events() -> Events {
    Events::new(|event| match event {
        Event::RunStarted { run, job, window } => tracing::info!(run, job, %window, "run started"),
        Event::AttemptStarted { number, steps } => {
            tracing::info!(attempt = number, steps, "attempt started");
        }
        Event::StepDone {
            query,
            target,
            outcome: Ok(rows),
        } => tracing::debug!(query, of = target, rows, "step done"),
        Event::StepDone {
            query,
            target,
            outcome: Err(error),
        } => tracing::warn!(query, of = target, error, "step failed"),
        Event::Retrying {
            steps,
            seconds,
            why,
        } => tracing::warn!(
            steps,
            pause_secs = seconds,
            why,
            "what failed will be tried again"
        ),
        Event::ArtifactDone(a) => {
            tracing::info!(path = %a.path, rows = a.rows, bytes = a.bytes, written = a.written, "file in place");
        }
        Event::Backfilling { units_done, units } => {
            tracing::info!(units_done, units, "backfill");
        }
        Event::Revised {
            query,
            target,
            change,
        } => tracing::warn!(query, of = target, "restated: {change}"),
        Event::DeliveryDone(d) => {
            tracing::info!(report = %d.report, to = %d.to, state = d.state.name(), "mail");
        }
        Event::RunFinished(r) => {
            tracing::info!(run = %r.id, job = %r.job, state = r.state.name(), duration_ms = r.duration_ms, "run finished");
        }
    })
}
