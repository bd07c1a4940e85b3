//! Paths of artifacts: a template whose values cannot leave the destination.

use std::{fmt::Write as _, ops::Range};

use super::PlanProblem;
use crate::domain::job::Per;

/// What a path template may name.
#[derive(Debug, Clone, Copy)]
pub struct PathValues<'a> {
    /// The job's name.
    pub job: &'a str,
    /// The query's name.
    pub query: &'a str,
    /// The website's id; `None` of a link.
    pub website_id: Option<&'a str>,
    /// The website's domain; `None` of a link.
    pub website_domain: Option<&'a str>,
    /// The link's id; `None` of a website.
    pub link_id: Option<&'a str>,
    /// The first day; the same as `start`.
    pub date: &'a str,
    /// The first day.
    pub start: &'a str,
    /// The last day.
    pub end: &'a str,
}

/// What may stand between the braces.
pub const PLACEHOLDERS: [&str; 8] = [
    "query",
    "website.id",
    "website.domain",
    "link.id",
    "date",
    "start",
    "end",
    "job",
];

/// Checks a template: every placeholder is closed and known.
///
/// # Errors
/// The part of the template that is wrong, in bytes, and why.
pub fn check_path_template(template: &str) -> Result<(), (Range<usize>, String)> {
    let mut from = 0;
    while let Some(open) = template[from..].find("{{") {
        let inside = from + open + 2;
        let Some(length) = template[inside..].find("}}") else {
            let message = "this placeholder is not closed: `}}` is missing".to_owned();
            return Err((inside - 2..template.len(), message));
        };
        let text = &template[inside..inside + length];
        let name = text.trim();
        if !PLACEHOLDERS.contains(&name) {
            let start = inside + text.len() - text.trim_start().len();
            let message = format!("unknown placeholder `{name}`");
            return Err((start..start + name.len(), message));
        }
        from = inside + length + 2;
    }
    Ok(())
}

impl PathValues<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "job" => self.job,
            "query" => self.query,
            "website.id" => self.website_id?,
            "website.domain" => self.website_domain?,
            "link.id" => self.link_id?,
            "date" => self.date,
            "start" => self.start,
            "end" => self.end,
            _ => return None,
        })
    }
}

/// The folder of a partition of a Delta table.
pub(super) fn render_partition(per: Per, values: &PathValues<'_>) -> Result<String, PlanProblem> {
    let of = if values.website_id.is_some() {
        "website_id={{ website.id }}"
    } else {
        "link_id={{ link.id }}"
    };
    let days = match per {
        Per::Day => "day={{ date }}",
        Per::Window => "window_start={{ start }}/window_end={{ end }}",
    };
    let path = render(&format!("{{{{ query }}}}/{of}/{days}"), values, "")?;
    Ok(path.trim_end_matches('.').to_owned())
}

/// Fills a template and adds the extension.
pub(super) fn render(
    template: &str,
    values: &PathValues<'_>,
    extension: &str,
) -> Result<String, PlanProblem> {
    let mut path = String::new();
    let mut rest = template.trim_matches('/');
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let name = name.trim();
        let Some(value) = values.get(name) else {
            let possible = PLACEHOLDERS.iter().filter(|p| values.get(p).is_some());
            return Err(PlanProblem::UnknownPlaceholder {
                query: values.query.to_owned(),
                name: name.to_owned(),
                possible: possible.copied().collect::<Vec<_>>().join(", "),
            });
        };
        path.push_str(before);
        path.push_str(&encode_segment(value));
        rest = after;
    }
    path.push_str(rest);
    path.push('.');
    path.push_str(extension);
    Ok(path)
}

/// A value as one path segment: anything but letters, digits and `-_.~` is percent-encoded, and a
/// value of dots alone cannot climb.
fn encode_segment(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let only_dots = value.chars().all(|c| c == '.');
    // What the program keeps beside the files
    let is_taken =
        matches!(value, "_manifests" | "_schemas") || value.starts_with(".databuddy-jobs.");
    for (place, c) in value.chars().enumerate() {
        let is_plain =
            c.is_alphanumeric() || matches!(c, '-' | '_' | '~') || (c == '.' && !only_dots);
        if is_plain && !(is_taken && place == 0) {
            text.push(c);
        } else {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                write!(text, "%{byte:02X}").expect("writing to a string cannot fail");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(website_id: &str) -> PathValues<'_> {
        PathValues {
            job: "nightly",
            query: "pages",
            website_id: Some(website_id),
            website_domain: Some("acme.example"),
            link_id: None,
            date: "2026-11-22",
            start: "2026-11-22",
            end: "2026-11-22",
        }
    }

    #[test]
    fn the_default_path_names_query_website_and_day() {
        let path = render(
            crate::domain::job::DEFAULT_PATH,
            &values("web_1"),
            "parquet",
        )
        .unwrap();
        assert_eq!(path, "pages/website_id=web_1/day=2026-11-22/data.parquet");
    }

    #[test]
    fn values_cannot_leave_the_destination() {
        for id in [
            "../../etc",
            "..",
            "a/b",
            "a\\b",
            "a\0b",
            "_schemas",
            "_manifests",
        ] {
            let path = render("{{website.id}}/x", &values(id), "csv").unwrap();
            assert_eq!(path.matches('/').count(), 1, "{path}");
            assert!(path.split('/').all(|s| s != ".." && s != "."), "{path}");
            assert!(
                !path.contains(['\\', '\0']) && !path.starts_with('_'),
                "{path}"
            );
        }
    }

    #[test]
    fn an_unknown_placeholder_is_an_error() {
        let error = render("{{ site }}", &values("w"), "csv").unwrap_err();
        assert!(error.to_string().contains("`site`"), "{error}");
    }
}
