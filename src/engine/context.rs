//! What a template sees of one website.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::{Engine, fetch::Fetched};
use crate::{
    domain::{
        job::{Job, ReportSpec},
        website::Website,
        window::Window,
    },
    plan::{Plan, Section},
    report::{daily, metrics},
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

impl Origin<'_> {
    /// The sections of a report of one website.
    pub(super) fn sections(&self, report: usize, website: usize) -> Vec<&Section> {
        let is_ours = |s: &&Section| s.report == report && s.website == website;
        self.plan.sections.iter().filter(is_ours).collect()
    }

    /// Whether every section has its rows.
    pub(super) fn is_complete(&self, sections: &[&Section]) -> bool {
        let mut steps = sections.iter().flat_map(|section| section.steps());
        steps.all(|step| self.fetched[step].is_ok())
    }

    fn rows(&self, step: usize) -> &[Value] {
        self.fetched[step].as_ref().map_or(&[], |data| &data.rows)
    }
}

impl Engine {
    /// The context of the contract.
    pub(super) fn context(
        &self,
        origin: Origin<'_>,
        spec: &ReportSpec,
        website: &Website,
        sections: &[&Section],
    ) -> Value {
        let Origin { job, plan, run, .. } = origin;
        let q: Map<String, Value> = sections
            .iter()
            .map(|section| (section.query.clone(), data_of(origin, section)))
            .collect();
        json!({
            "q": q,
            "job": { "name": job.name, "description": job.description },
            "report": { "name": spec.name },
            "run": { "id": run, "made_at": self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true) },
            "website": { "id": website.id, "name": website.display_name(), "domain": website.domain },
            "window": in_words(&plan.window),
            "previous": plan.previous.as_ref().map(in_words),
        })
    }
}

fn data_of(origin: Origin<'_>, section: &Section) -> Value {
    let days = origin.plan.steps[section.current].window;
    let previous = section.previous.map(|step| metrics(origin.rows(step)));
    let by_day = section
        .daily
        .map(|step| daily(origin.rows(step), days.start, days.end));
    json!({
        "rows": origin.rows(section.current),
        "current": metrics(origin.rows(section.current)),
        "previous": previous.unwrap_or_default(),
        "daily": by_day.unwrap_or_default(),
    })
}

fn in_words(window: &Window) -> Value {
    json!({
        "start": window.start, "end": window.end, "days": window.days(),
        "timezone": window.timezone.name(), "label": window.label(),
    })
}
