//! The planner: from a job, a tick and what the server lists to steps, files and mails.

use std::collections::{BTreeSet, HashMap};

use globset::{GlobBuilder, GlobMatcher};

use super::{
    PathValues, Plan, PlanError, PlanInput, PlanProblem, PlannedArtifact, PlannedDelivery, Section,
    SectionNeeds, Step, pack, path,
};
use crate::domain::{
    job::{Compare, Export, Per, WebsiteSelector},
    query::{Granularity, Query},
    website::Website,
    window::{ServerDays, Window},
};

/// The most days of hourly rows that the server takes. Source: `databuddy-api.md`, trap 9.
const MAX_HOURLY_DAYS: u64 = 30;

/// Plans a run. Pure: the same input gives the same plan.
///
/// # Errors
/// Every problem at once: types that the server lacks, websites that nobody has, queries that a
/// template needs, two files of one path.
pub fn build(input: PlanInput<'_>) -> Result<Plan, PlanError> {
    let mut planner = Planner::new(input);
    for website in 0..planner.plan.websites.len() {
        planner.plan_exports(website);
        planner.plan_reports(website);
    }
    planner.check_paths();
    planner.add_notes();
    planner.finish()
}

struct Planner<'a> {
    input: PlanInput<'a>,
    plan: Plan,
    known: HashMap<Step, usize>,
    problems: Vec<PlanProblem>,
}

impl<'a> Planner<'a> {
    fn new(input: PlanInput<'a>) -> Self {
        let window = input
            .job
            .window
            .resolve(input.tick.0, input.days, input.job.timezone);
        let mut problems = Vec::new();
        let websites = select(&input.job.websites, input.websites, &mut problems);
        let previous = input
            .job
            .reports
            .first()
            .and_then(|r| compared(window, r.compare));
        let plan = Plan {
            window,
            previous,
            websites,
            steps: Vec::new(),
            requests: Vec::new(),
            artifacts: Vec::new(),
            deliveries: Vec::new(),
            sections: Vec::new(),
            notes: Vec::new(),
        };
        Self {
            input,
            plan,
            known: HashMap::new(),
            problems,
        }
    }

    fn window_of(&self, query: &Query) -> Window {
        let spec = query.window.unwrap_or(self.input.job.window);
        spec.resolve(self.input.tick.0, self.input.days, self.input.job.timezone)
    }

    fn plan_exports(&mut self, website: usize) {
        let job = self.input.job;
        for (index, export) in job.exports.iter().enumerate() {
            for name in &export.queries {
                let Some(query) = job.queries.iter().find(|q| q.name == *name) else {
                    continue;
                };
                let window = self.window_of(query);
                let units: Vec<Window> = match export.per {
                    Per::Day => window.each_day().collect(),
                    Per::Window => vec![window],
                };
                for unit in units {
                    let step = self.step(website, query, unit, query.granularity);
                    if let Some(step) = step {
                        self.artifact(website, step, index, export, unit);
                    }
                }
            }
        }
    }

    fn artifact(
        &mut self,
        website: usize,
        step: usize,
        index: usize,
        export: &Export,
        unit: Window,
    ) {
        let website = &self.plan.websites[website];
        let (start, end) = (unit.start.to_string(), unit.end.to_string());
        let values = PathValues {
            job: &self.input.job.name,
            query: &self.plan.steps[step].query,
            website_id: &website.id,
            website_domain: &website.domain,
            date: &start,
            start: &start,
            end: &end,
        };
        match path::render(&export.path, &values, export.format.extension()) {
            Ok(path) => self.plan.artifacts.push(PlannedArtifact {
                step,
                export: index,
                path,
            }),
            Err(problem) => self.problem(problem),
        }
    }

    fn plan_reports(&mut self, website: usize) {
        let job = self.input.job;
        for (report, (spec, needs)) in job.reports.iter().zip(self.input.needs).enumerate() {
            for section in &needs.sections {
                match job.queries.iter().find(|q| q.name == section.query) {
                    Some(query) => self.section(website, report, spec.compare, query, section),
                    None => self.problem(PlanProblem::MissingQuery {
                        report: spec.name.clone(),
                        query: section.query.clone(),
                    }),
                }
            }
            self.plan
                .deliveries
                .extend(spec.to.iter().map(|to| PlannedDelivery {
                    report,
                    website,
                    to: to.clone(),
                }));
        }
    }

    fn section(
        &mut self,
        website: usize,
        report: usize,
        compare: Compare,
        query: &Query,
        needs: &SectionNeeds,
    ) {
        let window = self.window_of(query);
        let before = compared(window, compare);
        let daily = Some(Granularity::Daily);
        let Some(current) = self.step(website, query, window, query.granularity) else {
            return;
        };
        let previous = before.filter(|_| needs.previous);
        let section = Section {
            report,
            website,
            query: query.name.clone(),
            current,
            previous: previous.and_then(|w| self.step(website, query, w, query.granularity)),
            daily: needs
                .daily
                .then(|| self.step(website, query, window, daily))
                .flatten(),
            previous_daily: previous
                .filter(|_| needs.daily)
                .and_then(|w| self.step(website, query, w, daily)),
        };
        self.plan.sections.push(section);
    }

    /// The index of the step, new or shared; `None` where the query cannot be asked.
    fn step(
        &mut self,
        website: usize,
        query: &Query,
        window: Window,
        granularity: Option<Granularity>,
    ) -> Option<usize> {
        let Some(parameter) = self
            .input
            .catalog
            .server_type(&query.parameter, granularity)
        else {
            let names = self.input.catalog.types.keys();
            let nearest = names
                .map(|name| (strsim::jaro_winkler(name, &query.parameter), name))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            self.problem(PlanProblem::UnknownType {
                query: query.name.clone(),
                parameter: query.parameter.clone(),
                nearest: nearest.map(|(_, name)| name.clone()),
            });
            return None;
        };
        if granularity == Some(Granularity::Hourly) && window.days() > MAX_HOURLY_DAYS {
            let query = query.name.clone();
            self.problem(PlanProblem::HourlyTooLong {
                query,
                days: window.days(),
            });
            return None;
        }
        if parameter != query.parameter {
            let note = format!(
                "`{}` is called `{parameter}` by this server",
                query.parameter
            );
            if !self.plan.notes.contains(&note) {
                self.plan.notes.push(note);
            }
        }
        let step = Step {
            query: query.name.clone(),
            website_id: self.plan.websites[website].id.clone(),
            window,
            granularity,
            parameter: parameter.to_owned(),
        };
        let next = self.plan.steps.len();
        let index = *self.known.entry(step.clone()).or_insert(next);
        if index == next {
            self.plan.steps.push(step);
        }
        Some(index)
    }

    /// Each problem once, however many websites have it.
    fn problem(&mut self, problem: PlanProblem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn check_paths(&mut self) {
        let mut seen = BTreeSet::new();
        let mut twice = Vec::new();
        for artifact in &self.plan.artifacts {
            let place = (&self.input.job.exports[artifact.export].to, &artifact.path);
            if !seen.insert(place) {
                twice.push(artifact.path.clone());
            }
        }
        for path in twice {
            self.problem(PlanProblem::SamePath { path });
        }
    }

    fn add_notes(&mut self) {
        if !self.plan.window.is_over_at(self.input.tick.0) {
            self.plan.notes.push(
                "the window contains the tick's own day, which is not over: its numbers will still change".to_owned(),
            );
        }
        if self.input.days == ServerDays::Utc && self.input.job.timezone != chrono_tz::Tz::UTC {
            self.plan.notes.push(format!(
                "days are UTC days, because the server counts them so (`api.days: utc`); the schedule is in {}",
                self.input.job.timezone
            ));
        }
    }

    fn finish(mut self) -> Result<Plan, PlanError> {
        if !self.problems.is_empty() {
            return Err(PlanError(self.problems));
        }
        let all: Vec<usize> = (0..self.plan.steps.len()).collect();
        self.plan.requests = pack::requests(self.input.job, &self.plan.steps, &all);
        Ok(self.plan)
    }
}

fn compared(window: Window, compare: Compare) -> Option<Window> {
    match compare {
        Compare::PreviousWindow => Some(window.previous()),
        Compare::SameWindowLastYear => Some(window.same_last_year()),
        Compare::None => None,
    }
}

/// The websites that the patterns select, in the server's order. A pattern without a glob that
/// matches nothing is a problem; so is a selection that is empty.
fn select(
    selector: &WebsiteSelector,
    websites: &[Website],
    problems: &mut Vec<PlanProblem>,
) -> Vec<Website> {
    let matcher = |pattern: &String| -> Option<(String, GlobMatcher)> {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(false)
            .build()
            .ok()?;
        Some((pattern.clone(), glob.compile_matcher()))
    };
    let includes: Vec<_> = selector.include.iter().filter_map(matcher).collect();
    let excludes: Vec<_> = selector.exclude.iter().filter_map(matcher).collect();
    let hit = |(_, glob): &(String, GlobMatcher), site: &Website| {
        glob.is_match(&site.id) || glob.is_match(&site.domain)
    };
    for include in &includes {
        let is_plain = !include.0.contains(['*', '?', '[', '{']);
        if is_plain && !websites.iter().any(|site| hit(include, site)) {
            problems.push(PlanProblem::UnknownWebsite {
                pattern: include.0.clone(),
                readable: websites
                    .iter()
                    .map(|w| w.id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
    }
    let selected: Vec<Website> = websites
        .iter()
        .filter(|site| includes.iter().any(|i| hit(i, site)))
        .filter(|site| !excludes.iter().any(|e| hit(e, site)))
        .cloned()
        .collect();
    if selected.is_empty() && problems.is_empty() {
        problems.push(PlanProblem::NoWebsite);
    }
    selected
}
