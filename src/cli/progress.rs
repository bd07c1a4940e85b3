//! Progress bars on a terminal, log lines elsewhere.

use std::{io::IsTerminal, sync::Mutex, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Global, LogFormat};
use crate::engine::{Event, Events};

/// A bar where a person watches, else log lines.
pub(super) fn events(global: &Global) -> Events {
    let watched = std::io::stderr().is_terminal()
        && !global.no_progress
        && !global.quiet
        && global.log_format == LogFormat::Text;
    if !watched {
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
        Event::DeliveryDone(delivery) => bar.set_message(format!("mail to {}", delivery.to)),
        _ => {}
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
        Event::DeliveryDone(d) => {
            tracing::info!(report = %d.report, to = %d.to, state = d.state.name(), "mail");
        }
        Event::RunFinished(r) => {
            tracing::info!(run = %r.id, job = %r.job, state = r.state.name(), duration_ms = r.duration_ms, "run finished");
        }
    })
}
