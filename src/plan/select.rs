//! Which websites a job asks for.

use globset::{GlobBuilder, GlobMatcher};

use super::PlanProblem;
use crate::domain::{job::WebsiteSelector, website::Website};

/// The websites that the patterns select, in the server's order. A pattern without a glob that
/// matches nothing is a problem; so is a selection that is empty.
pub(super) fn select(
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
