//! Which mails a report makes, and whom each goes to.

use globset::GlobBuilder;

use super::{PlanProblem, PlannedDelivery};
use crate::domain::{
    job::{ReportPer, ReportSpec},
    recipients::{Addressees, Recipients},
    website::Website,
};

/// The mails of a report about the given websites; `readable` are all that the key may read, which
/// the report's recipients may name.
pub(super) fn deliveries(
    report: usize,
    spec: &ReportSpec,
    websites: &[Website],
    readable: &[Website],
) -> Result<Vec<PlannedDelivery>, Vec<PlanProblem>> {
    let problems = unknown(report, spec, readable);
    if !problems.is_empty() {
        return Err(problems);
    }
    if spec.per == ReportPer::Job {
        let list: Vec<String> = spec.to.all().map(str::to_owned).collect();
        return Ok(of_list(report, None, spec, &list));
    }
    let (mut planned, mut problems) = (Vec::new(), Vec::new());
    for (place, website) in websites.iter().enumerate() {
        match addresses_of(&spec.to, website) {
            Some(list) => planned.extend(of_list(report, Some(place), spec, list)),
            None => problems.push(PlanProblem::NoRecipient {
                place: report,
                report: spec.name.clone(),
                website: website.id.clone(),
            }),
        }
    }
    if problems.is_empty() {
        Ok(planned)
    } else {
        Err(problems)
    }
}

fn of_list(
    report: usize,
    website: Option<usize>,
    spec: &ReportSpec,
    list: &[String],
) -> Vec<PlannedDelivery> {
    let recipients = match list {
        [] => Vec::new(),
        list if spec.together => vec![Recipients {
            to: list.to_vec(),
            cc: spec.cc.clone(),
            bcc: spec.bcc.clone(),
        }],
        list => list.iter().map(|to| Recipients::one(to)).collect(),
    };
    let deliveries = recipients.into_iter().map(|to| PlannedDelivery {
        report,
        website,
        to,
    });
    deliveries.collect()
}

/// A website that is named itself before one that a glob matches; of several globs the longest.
fn addresses_of<'a>(to: &'a Addressees, website: &Website) -> Option<&'a [String]> {
    let (lists, default) = match to {
        Addressees::All(list) => return Some(list),
        Addressees::ByWebsite { lists, default } => (lists, default),
    };
    let fitting = lists
        .iter()
        .filter(|(pattern, _)| matches(pattern, website));
    let best = fitting.max_by_key(|(pattern, _)| (is_plain(pattern), pattern.len()));
    best.map(|(_, list)| list.as_slice()).or(default.as_deref())
}

/// Patterns without a glob that name no website.
fn unknown(report: usize, spec: &ReportSpec, readable: &[Website]) -> Vec<PlanProblem> {
    let Addressees::ByWebsite { lists, .. } = &spec.to else {
        return Vec::new();
    };
    let patterns = lists.iter().map(|(pattern, _)| pattern);
    let unknown = patterns.filter(|pattern| {
        is_plain(pattern) && !readable.iter().any(|website| matches(pattern, website))
    });
    unknown
        .map(|pattern| PlanProblem::UnknownAddressee {
            place: report,
            report: spec.name.clone(),
            pattern: pattern.clone(),
            readable: readable
                .iter()
                .map(|w| w.id.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })
        .collect()
}

fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', '{'])
}

fn matches(pattern: &str, website: &Website) -> bool {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build();
    glob.is_ok_and(|glob| {
        let glob = glob.compile_matcher();
        glob.is_match(&website.id) || glob.is_match(&website.domain)
    })
}
