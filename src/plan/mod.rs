//! What a run will do, as a value: `(Job, Tick, Catalog) -> Plan`, pure and printable.
//!
//! A step is one data set of one website for some days. Exports and reports that need the same data
//! share a step; steps of a website share requests.

mod build;
mod error;
mod guard;
mod pack;
mod path;
mod range;
mod recipients;
mod select;

pub use build::build;
pub use error::{PlanError, PlanProblem};
pub use pack::Packing;
pub use path::{PLACEHOLDERS, PathValues, check_path_template};
pub use range::ticks_of_range;

use std::collections::BTreeSet;

use crate::domain::{
    catalog::Catalog,
    job::{Job, Per},
    query::Granularity,
    recipients::Recipients,
    request::Request,
    schedule::Tick,
    target::Target,
    website::Website,
    window::{ServerDays, Window},
};

/// Everything that a plan depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// The job.
    pub job: &'a Job,
    /// The instants it is planned for, at least one; several where windows are filled in afterwards.
    pub ticks: &'a [Tick],
    /// How many units before each window are written again; those of the job, unless windows are
    /// filled in.
    pub lookback: u32,
    /// The units (days, or `START_END`) that files are made of; `None`: all.
    pub only: Option<&'a BTreeSet<String>>,
    /// How the server counts days.
    pub days: ServerDays,
    /// What the server lists.
    pub catalog: &'a Catalog,
    /// All websites that the key may read, in the server's order.
    pub websites: &'a [Website],
    /// What the templates of the job's reports need, in the order of the job's reports.
    pub needs: &'a [ReportNeeds],
}

/// The name of a unit: the day, or both ends of a window.
pub fn unit_name(per: Per, window: &Window) -> String {
    match per {
        Per::Day => window.start.to_string(),
        Per::Window => format!("{}_{}", window.start, window.end),
    }
}

/// What the template of one report needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportNeeds {
    /// One entry a query.
    pub sections: Vec<SectionNeeds>,
}

/// What a template needs of one query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SectionNeeds {
    /// The query's name.
    pub query: String,
    /// The window before, or that of last year.
    pub previous: bool,
    /// One row a day.
    pub daily: bool,
    /// Its rows go out as a file.
    pub attached: bool,
}

/// What a run will do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The job's window; of several ticks from the first to the last day.
    pub window: Window,
    /// The websites asked for, in the server's order.
    pub websites: Vec<Website>,
    /// What is asked for, by website, query and days.
    pub steps: Vec<Step>,
    /// The requests that carry the steps; more follow only where an answer has a second page.
    pub requests: Vec<Request>,
    /// The files that will be written.
    pub artifacts: Vec<PlannedArtifact>,
    /// The mails that will be sent.
    pub deliveries: Vec<PlannedDelivery>,
    /// Which steps fill the sections of the reports.
    pub sections: Vec<Section>,
    /// What a person should know: translated names, windows that are not over.
    pub notes: Vec<String>,
}

/// One data set of one website for some days.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// The query's name.
    pub query: String,
    /// The website or link.
    pub target: Target,
    /// The days asked for.
    pub window: Window,
    /// Rows a day or an hour, or one set.
    pub granularity: Option<Granularity>,
    /// The server's name of the query type.
    pub parameter: String,
}

/// A file that will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedArtifact {
    /// Index into the plan's steps.
    pub step: usize,
    /// Index into the job's exports.
    pub export: usize,
    /// Below the export's destination.
    pub path: String,
}

/// A mail that will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDelivery {
    /// Index into the job's reports.
    pub report: usize,
    /// Index into the plan's websites; `None`: it is about all of them.
    pub website: Option<usize>,
    /// Whom it goes to.
    pub to: Recipients,
}

/// Where one section of one report of one website finds its data: indices into the plan's steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Index into the job's reports.
    pub report: usize,
    /// Index into the plan's websites.
    pub website: usize,
    /// The query's name.
    pub query: String,
    /// The window.
    pub current: usize,
    /// The window that it is compared with.
    pub previous: Option<usize>,
    /// One row a day of the window.
    pub daily: Option<usize>,
    /// One row a day of the window that it is compared with.
    pub previous_daily: Option<usize>,
}

impl Section {
    /// The steps that this section cannot do without.
    pub fn steps(&self) -> impl Iterator<Item = usize> + '_ {
        [
            Some(self.current),
            self.previous,
            self.daily,
            self.previous_daily,
        ]
        .into_iter()
        .flatten()
    }
}

impl Plan {
    /// The unit of an artifact: what its manifest is called by.
    pub fn unit_of(&self, artifact: &PlannedArtifact, per: Per) -> String {
        unit_name(per, &self.steps[artifact.step].window)
    }

    /// The unit of its reports, which is the window's.
    pub fn report_unit(&self) -> String {
        format!("reports {}", unit_name(Per::Window, &self.window))
    }

    /// Whether a unit is one of reports.
    pub fn is_report_unit(&self, unit: &str) -> bool {
        unit.starts_with("reports ")
    }

    /// The part id of a step, unique in the whole plan.
    pub fn part_id(step: usize) -> String {
        format!("s{step}")
    }

    /// The step of a part id, or `None` for an id that no plan gave.
    pub fn step_of(part_id: &str) -> Option<usize> {
        part_id.strip_prefix('s')?.parse().ok()
    }

    /// The least time that its requests take, in seconds: those of query types and custom ones
    /// have a budget each, and are asked for side by side.
    pub fn seconds_at_rate_limit(&self, requests_per_minute: u32, custom_per_minute: u32) -> f64 {
        let custom = self.requests.iter().filter(|r| r.is_custom()).count();
        let seconds = |count: usize, rate: u32| count as f64 * 60.0 / f64::from(rate.max(1));
        let standard = seconds(self.requests.len() - custom, requests_per_minute);
        standard.max(seconds(custom, custom_per_minute))
    }

    /// The same plan with only the requests that the given steps need, for a further attempt.
    pub fn requests_for(
        &self,
        job: &Job,
        catalog: &Catalog,
        steps: &[usize],
        packing: &Packing<'_>,
    ) -> Vec<Request> {
        pack::requests(job, catalog, &self.steps, steps, packing)
    }
}

#[cfg(test)]
mod tests;
