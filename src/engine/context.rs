//! What a template sees of one website, or of all websites of a job.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::{Engine, columns::query_of, fetch::Fetched};
use crate::{
    domain::{
        job::{Job, ReportPer, ReportSpec},
        query::Limit,
        website::Website,
        window::Window,
    },
    plan::{Plan, Section},
    report::{daily, is_empty, metrics},
};

/// Where the data of a report comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) job: &'a Job,
    pub(super) plan: &'a Plan,
    pub(super) fetched: &'a [Fetched],
    /// The run's id, or `preview`.
    pub(super) run: &'a str,
}

/// Which report, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    /// Index into the job's reports.
    pub(super) report: usize,
    /// Index into the plan's websites; `None`: all of them.
    pub(super) website: Option<usize>,
}

impl<'a> Origin<'a> {
    pub(super) fn spec(&self, about: About) -> &'a ReportSpec {
        &self.job.reports[about.report]
    }

    pub(super) fn website(&self, about: About) -> Option<&'a Website> {
        about.website.map(|website| &self.plan.websites[website])
    }

    /// The website's name for messages.
    pub(super) fn name(&self, about: About) -> &'a str {
        self.website(about).map_or("all websites", |site| &site.id)
    }

    /// The sections of a report.
    pub(super) fn sections(&self, about: About) -> Vec<&'a Section> {
        let is_ours = |s: &&Section| {
            s.report == about.report && about.website.is_none_or(|website| website == s.website)
        };
        self.plan.sections.iter().filter(is_ours).collect()
    }

    /// The sections that lack something, each with the reason.
    pub(super) fn failed(&self, sections: &[&'a Section]) -> Vec<(&'a Section, &'a str)> {
        let why = |section: &&'a Section| {
            let mut steps = section.steps();
            let error = steps.find_map(|step| self.fetched[step].as_ref().err())?;
            Some((*section, error.message.as_str()))
        };
        sections.iter().filter_map(why).collect()
    }

    pub(super) fn rows(&self, step: usize) -> &'a [Value] {
        self.fetched[step].as_ref().map_or(&[], |data| &data.rows)
    }

    fn is_ok(&self, step: usize) -> bool {
        self.fetched[step].is_ok()
    }

    /// The metrics of a step. Of the first so many rows they are not known.
    fn metrics(&self, step: usize) -> Map<String, Value> {
        let rows = self.rows(step);
        match query_of(self.job, &self.plan.steps[step]).limit {
            Limit::Rows(most) if rows.len() >= most as usize => Map::new(),
            _ => metrics(rows),
        }
    }
}

impl Engine {
    /// The context of the contract. `files` are what is said of attachments.
    pub(super) fn context(&self, origin: Origin<'_>, about: About, files: &[Value]) -> Value {
        let Origin { job, plan, run, .. } = origin;
        let spec = origin.spec(about);
        let mut context = json!({
            "job": { "name": job.name, "description": job.description },
            "report": report(origin, about),
            "run": { "id": run, "made_at": self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true) },
            "window": in_words(&plan.window),
            "previous": spec.compare.window(plan.window).as_ref().map(in_words),
            "attachments": files,
        });
        if let Some(website) = origin.website(about) {
            context["website"] = site(website);
            context["q"] = queries(origin, about);
        } else {
            let places = 0..plan.websites.len();
            context["websites"] = places
                .map(|place| of_website(origin, about, place))
                .collect();
        }
        context
    }
}

/// What a template knows of the report itself.
fn report(origin: Origin<'_>, about: About) -> Value {
    let spec = origin.spec(about);
    let sections = origin.sections(about);
    let failed: Vec<Value> = origin
        .failed(&sections)
        .into_iter()
        .map(|(section, why)| {
            let website = &origin.plan.websites[section.website].id;
            json!({ "website_id": website, "query": section.query, "error": why })
        })
        .collect();
    json!({
        "name": spec.name,
        "per": match spec.per { ReportPer::Website => "website", ReportPer::Job => "job" },
        "compare": spec.compare.name(),
        "lang": spec.lang,
        "incomplete": !failed.is_empty(),
        "failed": failed,
        "first_window": is_first(origin, &sections),
    })
}

/// One website of a bundle.
fn of_website(origin: Origin<'_>, bundle: About, place: usize) -> Value {
    let about = About {
        website: Some(place),
        ..bundle
    };
    let sections = origin.sections(about);
    json!({
        "website": site(&origin.plan.websites[place]),
        "q": queries(origin, about),
        "incomplete": !origin.failed(&sections).is_empty(),
        "first_window": is_first(origin, &sections),
    })
}

fn queries(origin: Origin<'_>, about: About) -> Value {
    let sections = origin.sections(about);
    sections
        .into_iter()
        .map(|section| (section.query.clone(), data_of(origin, section)))
        .collect()
}

fn site(website: &Website) -> Value {
    json!({
        "id": website.id, "name": website.display_name(), "domain": website.domain,
        "created": website.created,
    })
}

/// Whether nobody came in the window that it is compared with: there is nothing to compare.
fn is_first(origin: Origin<'_>, sections: &[&Section]) -> bool {
    let before: Vec<usize> = sections.iter().filter_map(|s| s.previous).collect();
    let nobody = |step: &usize| origin.is_ok(*step) && is_empty(origin.rows(*step));
    !before.is_empty() && before.iter().all(nobody)
}

fn data_of(origin: Origin<'_>, section: &Section) -> Value {
    let by_day = |step: usize| {
        let days = origin.plan.steps[step].window;
        if origin.is_ok(step) {
            daily(origin.rows(step), days.start, days.end)
        } else {
            Vec::new()
        }
    };
    let of_window = [Some(section.current), section.daily];
    let failed = of_window.into_iter().flatten().find_map(|step| {
        let error = origin.fetched[step].as_ref().err()?;
        Some(error.message.as_str())
    });
    let current = if origin.is_ok(section.current) {
        origin.metrics(section.current)
    } else {
        Map::new()
    };
    json!({
        "rows": origin.rows(section.current),
        "current": current,
        "previous": previous(origin, section),
        "previous_rows": section.previous.map(|step| origin.rows(step)),
        "daily": section.daily.map(by_day).unwrap_or_default(),
        "previous_daily": section.previous_daily.map(by_day).unwrap_or_default(),
        "failed": failed,
    })
}

/// The metrics of the window before. `None` where nothing was compared, where they failed, and where
/// nobody came because the website was added later: there is no number to compare with then.
fn previous(origin: Origin<'_>, section: &Section) -> Option<Map<String, Value>> {
    let step = section.previous.filter(|step| origin.is_ok(*step))?;
    let website = &origin.plan.websites[section.website];
    let is_older = |created| created <= origin.plan.steps[step].window.end;
    let was_there = website.created.is_none_or(is_older);
    (was_there || !is_empty(origin.rows(step))).then(|| origin.metrics(step))
}

fn in_words(window: &Window) -> Value {
    json!({
        "start": window.start, "end": window.end, "days": window.days(),
        "timezone": window.timezone.name(), "label": window.label(),
    })
}
