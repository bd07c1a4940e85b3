//! The planner: from a job, a tick and what the server lists to steps, files and mails.

use std::collections::{BTreeSet, HashMap};

use super::{
    Packing, PathValues, Plan, PlanError, PlanInput, PlanProblem, PlannedArtifact, Section,
    SectionNeeds, Step, guard, pack, path, recipients, select::select, unit_name,
};
use crate::domain::{
    channel::ChannelKind,
    job::{Export, Format, Per, Pii, ReportSpec},
    query::{Granularity, Query, Source},
    schedule::Tick,
    target::Target,
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
    planner.plan_deliveries();
    planner.plan_link_exports();
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
        let windows = input.ticks.iter().map(|tick| {
            input
                .job
                .window
                .resolve(tick.0, input.days, input.job.timezone)
        });
        let window = Window::span(windows).expect("a plan has at least one tick");
        let mut problems = Vec::new();
        let needs_websites =
            !input.job.reports.is_empty() || input.job.queries.iter().any(|q| q.links.is_empty());
        let websites = if needs_websites {
            select(&input.job.websites, input.websites, &mut problems)
        } else {
            Vec::new()
        };
        let plan = Plan {
            window,
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

    fn last_tick(&self) -> Tick {
        let ticks = self.input.ticks;
        *ticks.last().expect("a plan has at least one tick")
    }

    fn window_of(&self, query: &Query, tick: Tick) -> Window {
        let spec = query.window.unwrap_or(self.input.job.window);
        spec.resolve(tick.0, self.input.days, self.input.job.timezone)
    }

    /// What the files of a query are made of, each once.
    fn units_of(&self, query: &Query, per: Per) -> Vec<Window> {
        let mut seen = BTreeSet::new();
        let ticks = self.input.ticks.iter();
        let all =
            ticks.flat_map(|tick| units(self.window_of(query, *tick), per, self.input.lookback));
        all.filter(|unit| {
            let name = unit_name(per, unit);
            let is_wanted = self.input.only.is_none_or(|only| only.contains(&name));
            is_wanted && seen.insert(name)
        })
        .collect()
    }

    fn plan_exports(&mut self, website: usize) {
        let site = self.plan.websites[website].clone();
        let target = Target::Website(site.id.clone());
        self.plan_files(&target, Some(&site), |query| query.links.is_empty());
    }

    /// Links are asked once a window, not once a website.
    fn plan_link_exports(&mut self) {
        let queries = self.input.job.queries.iter();
        let links: Vec<&String> = queries.flat_map(|q| &q.links).collect();
        let mut done = BTreeSet::new();
        for link in links {
            if done.insert(link) {
                let target = Target::Link(link.clone());
                self.plan_files(&target, None, |query| query.links.contains(link));
            }
        }
    }

    /// The files of one website or link, of the queries that are about it.
    fn plan_files(
        &mut self,
        target: &Target,
        website: Option<&Website>,
        is_about_it: impl Fn(&Query) -> bool,
    ) {
        let job = self.input.job;
        for (index, export) in job.exports.iter().enumerate() {
            let queries = export.queries.iter();
            let queries = queries.filter_map(|name| job.queries.iter().find(|q| q.name == *name));
            for query in queries.filter(|query| is_about_it(query)) {
                for unit in self.units_of(query, export.per) {
                    let step = self.step(target, query, unit, query.granularity);
                    if let Some(step) = step {
                        self.check_personal(query, step, export);
                        self.artifact(website, step, index, export, unit);
                    }
                }
            }
        }
    }

    fn check_personal(&mut self, query: &Query, step: usize, export: &Export) {
        if export.pii != Pii::Refuse {
            return;
        }
        let parameter = self.plan.steps[step].parameter.clone();
        if let Some(problem) = guard::check_personal(query, &parameter, self.input.catalog) {
            self.problem(problem);
        }
    }

    fn artifact(
        &mut self,
        website: Option<&Website>,
        step: usize,
        index: usize,
        export: &Export,
        unit: Window,
    ) {
        let (start, end) = (unit.start.to_string(), unit.end.to_string());
        let of = &self.plan.steps[step];
        let values = PathValues {
            job: &self.input.job.name,
            query: &of.query,
            website_id: of.target.website_id(),
            website_domain: website.map(|w| w.domain.as_str()),
            link_id: of.target.link_id(),
            date: &start,
            start: &start,
            end: &end,
        };
        let rendered = if export.format == Format::Delta {
            path::render_partition(export.per, &values)
        } else {
            let template = export.path_template(&of.target);
            path::render(template, &values, &export.extension())
        };
        match rendered {
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
                    Some(query) => self.section(website, report, spec, query, section),
                    None => self.problem(PlanProblem::MissingQuery {
                        report: spec.name.clone(),
                        query: section.query.clone(),
                    }),
                }
            }
        }
    }

    /// Report by report; a job whose reports are not wanted has no needs.
    fn plan_deliveries(&mut self) {
        let wanted = self.input.job.reports.iter().zip(self.input.needs);
        for (report, (spec, _)) in wanted.enumerate() {
            let websites = &self.plan.websites;
            match recipients::deliveries(report, spec, websites, self.input.websites) {
                Ok(planned) => self.plan.deliveries.extend(planned),
                Err(problems) => problems.into_iter().for_each(|p| self.problem(p)),
            }
        }
    }

    fn section(
        &mut self,
        website: usize,
        report: usize,
        spec: &ReportSpec,
        query: &Query,
        needs: &SectionNeeds,
    ) {
        let unfit = |what| PlanProblem::NotForReports {
            report: spec.name.clone(),
            query: query.name.clone(),
            what,
        };
        let target = match query.links.as_slice() {
            [] => Target::Website(self.plan.websites[website].id.clone()),
            [link] => Target::Link(link.clone()),
            _ => return self.problem(unfit("names several links, and a report shows one")),
        };
        if needs.daily && matches!(query.source, Source::Custom(_)) {
            return self.problem(unfit("is a custom query, which has no daily rows"));
        }
        let window = self.window_of(query, self.last_tick());
        let before = spec.compare.window(window);
        let daily = Some(Granularity::Daily);
        let Some(current) = self.step(&target, query, window, query.granularity) else {
            return;
        };
        let mut channels = spec.channels.iter();
        let goes_to_webhook = channels.any(|channel| channel.kind == ChannelKind::Webhook);
        if needs.attached || goes_to_webhook {
            let parameter = &self.plan.steps[current].parameter;
            if guard::check_personal(query, parameter, self.input.catalog).is_some() {
                self.problem(unfit(if needs.attached {
                    "has columns that name people, which are not attached to mails; take it out of `attach`"
                } else {
                    "has columns that name people, which are not sent to webhooks; take the `webhook` out of `to`, or the query out of the template"
                }));
            }
        }
        let previous = before.filter(|_| needs.previous);
        let section = Section {
            report,
            website,
            query: query.name.clone(),
            current,
            previous: previous.and_then(|w| self.step(&target, query, w, query.granularity)),
            daily: needs
                .daily
                .then(|| self.step(&target, query, window, daily))
                .flatten(),
            previous_daily: previous
                .filter(|_| needs.daily)
                .and_then(|w| self.step(&target, query, w, daily)),
        };
        self.plan.sections.push(section);
    }

    /// The index of the step, new or shared; `None` where the query cannot be asked.
    fn step(
        &mut self,
        target: &Target,
        query: &Query,
        window: Window,
        granularity: Option<Granularity>,
    ) -> Option<usize> {
        let parameter = match &query.source {
            Source::Parameter(name) => self.server_type(query, name, granularity, window)?,
            Source::Custom(custom) => {
                match guard::check_custom(query, custom, self.input.catalog) {
                    Ok(table) => table,
                    Err(problem) => {
                        self.problem(problem);
                        return None;
                    }
                }
            }
        };
        if parameter != query.source_name() {
            let called = query.source_name();
            let note = format!("`{called}` is called `{parameter}` by this server");
            if !self.plan.notes.contains(&note) {
                self.plan.notes.push(note);
            }
        }
        let step = Step {
            query: query.name.clone(),
            target: target.clone(),
            window,
            granularity,
            parameter,
        };
        let next = self.plan.steps.len();
        let index = *self.known.entry(step.clone()).or_insert(next);
        if index == next {
            self.plan.steps.push(step);
        }
        Some(index)
    }

    /// The server's name of a query type, where it can be asked so; else `None` and problems.
    fn server_type(
        &mut self,
        query: &Query,
        name: &str,
        granularity: Option<Granularity>,
        window: Window,
    ) -> Option<String> {
        let catalog = self.input.catalog;
        let Some(parameter) = catalog.server_type(name, granularity) else {
            let nearest = catalog
                .types
                .keys()
                .map(|known| (strsim::jaro_winkler(known, name), known))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            self.problem(PlanProblem::UnknownType {
                query: query.name.clone(),
                parameter: name.to_owned(),
                nearest: nearest.map(|(_, known)| known.clone()),
            });
            return None;
        };
        let mut problems = guard::check_type(query, parameter, granularity, catalog);
        problems.extend(guard::check_target(query, parameter));
        if granularity == Some(Granularity::Hourly) && window.days() > MAX_HOURLY_DAYS {
            problems.push(PlanProblem::HourlyTooLong {
                query: query.name.clone(),
                days: window.days(),
            });
        }
        if problems.is_empty() {
            return Some(parameter.to_owned());
        }
        for problem in problems {
            self.problem(problem);
        }
        None
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
        if !self.plan.window.is_over_at(self.last_tick().0) {
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
        self.plan.requests = pack::requests(
            self.input.job,
            self.input.catalog,
            &self.plan.steps,
            &all,
            &Packing::ALL,
        );
        Ok(self.plan)
    }
}

/// What files are made of: days or the window, with so many of them before it again.
fn units(window: Window, per: Per, lookback: u32) -> Vec<Window> {
    let mut units: Vec<Window> = match per {
        Per::Day => window.each_day().collect(),
        Per::Window => vec![window],
    };
    for _ in 0..lookback {
        let first = units.first().copied().expect("a window has at least a day");
        units.insert(0, first.previous());
    }
    units
}
