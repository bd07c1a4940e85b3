//! Metrics in the text format of Prometheus.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::{engine::Status, store::OpenRuns};

/// The page of `/metrics`. Without `open`, because the store does not answer, its figures are left out.
pub(super) fn render(status: &Status, open: Option<&OpenRuns>) -> String {
    let mut page = Page(String::new());
    page.head("info", "gauge", "The version of the program.");
    let version = format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    page.line("info", &version, 1);
    gauges(&mut page, status);
    counters(&mut page, status);
    if let Some(open) = open {
        queue(&mut page, open);
    }
    page.0
}

fn gauges(page: &mut Page, status: &Status) {
    let of = |number: &AtomicUsize| number.load(Relaxed) as f64;
    let worst = status.worst_lateness_ms.load(Relaxed) as f64 / 1000.0;
    for (name, help, value) in [
        ("jobs", "Jobs with ticks.", of(&status.jobs)),
        (
            "jobs_broken",
            "Job files that are broken; their last good version is used.",
            status.broken().len() as f64,
        ),
        (
            "runners",
            "Runners that share the work, this one included.",
            status.runners.load(Relaxed) as f64,
        ),
        (
            "runs_under_way",
            "Runs under way in this runner.",
            of(&status.running),
        ),
        (
            "worst_lateness_seconds",
            "The longest time from a tick to the start of its run.",
            worst,
        ),
    ] {
        page.one(name, "gauge", help, value);
    }
}

fn counters(page: &mut Page, status: &Status) {
    for (name, help, counter) in [
        (
            "ticks_queued_total",
            "Ticks whose runs this runner queued.",
            &status.ticks_queued,
        ),
        (
            "ticks_skipped_total",
            "Ticks that this runner recorded as skipped.",
            &status.ticks_skipped,
        ),
        (
            "runs_taken_over_total",
            "Runs taken over from runners that were cut off.",
            &status.taken_over,
        ),
        (
            "runs_handed_back_total",
            "Runs that went back to the queue.",
            &status.handed_back,
        ),
        (
            "requests_total",
            "Query requests of runs that ended here.",
            &status.requests,
        ),
        ("rows_total", "Rows of runs that ended here.", &status.rows),
        (
            "store_errors_total",
            "Requests to the store that failed.",
            &status.store_errors,
        ),
    ] {
        page.one(name, "counter", help, counter.load(Relaxed) as f64);
    }
    page.head(
        "runs_ended_total",
        "counter",
        "Runs that ended here, by state.",
    );
    for (state, count) in status.ended_by_state() {
        let label = format!("{{state=\"{state}\"}}");
        page.line("runs_ended_total", &label, count);
    }
}

fn queue(page: &mut Page, open: &OpenRuns) {
    let oldest = open.oldest_due.num_milliseconds() as f64 / 1000.0;
    for (name, help, value) in [
        (
            "queue_waiting",
            "Runs that wait, of all runners.",
            open.queued as f64,
        ),
        (
            "queue_running",
            "Runs under way, of all runners.",
            open.running as f64,
        ),
        (
            "queue_oldest_due_seconds",
            "How long the oldest run that is due has waited.",
            oldest,
        ),
    ] {
        page.one(name, "gauge", help, value);
    }
}

struct Page(String);

impl Page {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let written = writeln!(
            self.0,
            "# HELP databuddy_jobs_{name} {help}\n# TYPE databuddy_jobs_{name} {kind}"
        );
        written.expect("writing to a string cannot fail");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let written = writeln!(self.0, "databuddy_jobs_{name}{labels} {value}");
        written.expect("writing to a string cannot fail");
    }
}
