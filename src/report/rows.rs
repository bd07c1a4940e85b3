//! The rows of an answer as a reader knows them: a name, an amount, and the amount before.

use std::collections::HashMap;

use serde_json::Value;

use super::{lang::Lang, words::say};
use crate::domain::country::country_names;

/// Columns that name a row, the best first.
const NAMES: [&str; 15] = [
    "path",
    "source",
    "referrer",
    "country_name",
    "country",
    "city",
    "device_type",
    "browser_name",
    "os_name",
    "event_name",
    "goal_name",
    "href",
    "domain",
    "message",
    "name",
];

/// Columns that say how much of a row there is, the best first.
pub(super) const AMOUNTS: [&str; 8] = [
    "visitors",
    "unique_visitors",
    "pageviews",
    "clicks",
    "total_clicks",
    "total_events",
    "sessions",
    "count",
];

/// A row, named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub(super) name: String,
    /// `None`: the row is not in this window's answer.
    pub(super) now: Option<f64>,
    /// `None`: the row is not in the answer of the window before.
    pub(super) before: Option<f64>,
}

/// A number, also one that the server sends as text.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.parse().ok().filter(|n: &f64| n.is_finite()),
        value => value.as_f64(),
    }
}

/// The amount of a row: of several columns that could say it, the first that the answer has.
pub(super) fn amount(row: &Value) -> f64 {
    AMOUNTS
        .iter()
        .find_map(|name| number(&row[*name]))
        .unwrap_or_default()
}

/// The names of a list's rows: addresses of sources as their hosts, no source at all as `Direct`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) lang: Lang,
    /// The website's own.
    pub(super) domain: &'a str,
}

impl Names<'_> {
    pub(super) fn of(self, row: &Value) -> String {
        let is_source = |key: &str| key == "source" || key == "referrer";
        let found = NAMES.iter().find_map(|key| {
            let text = row[*key]
                .as_str()
                .filter(|text| !text.is_empty() || is_source(key))?;
            Some((*key, text))
        });
        match found {
            Some((key, text)) if is_source(key) => self.source(text),
            // Some servers send the ISO code where others send the name
            Some(("country", code)) if !country_names(code).is_empty() => {
                country_names(code)[0].to_owned()
            }
            Some((_, text)) if !text.trim().is_empty() => text.to_owned(),
            _ => say(self.lang, "unnamed", &[]),
        }
    }

    /// Whether a row has a column that names it.
    pub(super) fn can_name(row: &Value) -> bool {
        NAMES.iter().any(|key| row[*key].is_string())
    }

    fn source(self, text: &str) -> String {
        let host = text
            .trim()
            .trim_start_matches("https://")
            .trim_start_matches("http://");
        let host = host.trim_end_matches('/');
        let host = host.strip_prefix("www.").unwrap_or(host);
        if host.is_empty() || host.eq_ignore_ascii_case("direct") {
            say(self.lang, "direct", &[])
        } else if self.is_own(host) {
            say(self.lang, "own_pages", &[("domain", host)])
        } else {
            host.to_owned()
        }
    }

    fn is_own(self, host: &str) -> bool {
        !self.domain.is_empty() && host == self.domain.strip_prefix("www.").unwrap_or(self.domain)
    }

    /// Whether a row is the website itself as a source: no news to its owner.
    pub(super) fn is_own_pages(self, name: &str) -> bool {
        let own = self.domain.strip_prefix("www.").unwrap_or(self.domain);
        name == say(self.lang, "own_pages", &[("domain", own)])
    }

    /// The rows of both windows, the largest of this window first; rows of one name are one. Where
    /// the window before has no answer, `before` is `None` everywhere and the second result false.
    pub(super) fn joined(self, query: &Value) -> (Vec<Named>, bool) {
        let now = self.summed(&query["rows"]);
        let has_before = query["previous_rows"]
            .as_array()
            .is_some_and(|rows| !rows.is_empty());
        let mut before: HashMap<String, f64> =
            self.summed(&query["previous_rows"]).into_iter().collect();
        let mut rows: Vec<Named> = now
            .into_iter()
            .map(|(name, value)| {
                let before = before.remove(&name);
                Named {
                    name,
                    now: Some(value),
                    before,
                }
            })
            .collect();
        rows.extend(before.into_iter().map(|(name, value)| Named {
            name,
            now: None,
            before: Some(value),
        }));
        rows.sort_by(|a, b| {
            let by_size = b.now.unwrap_or(-1.0).total_cmp(&a.now.unwrap_or(-1.0));
            by_size.then_with(|| a.name.cmp(&b.name))
        });
        (rows, has_before)
    }

    fn summed(self, rows: &Value) -> Vec<(String, f64)> {
        let mut sums: Vec<(String, f64)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for row in rows.as_array().into_iter().flatten() {
            let (name, value) = (self.of(row), amount(row));
            if let Some(place) = places.get(&name) {
                // Addresses of one host: their visitors may overlap, so the larger stands for both
                sums[*place].1 = sums[*place].1.max(value);
            } else {
                places.insert(name.clone(), sums.len());
                sums.push((name, value));
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAMES_OF_ACME: Names<'_> = Names {
        lang: Lang::En,
        domain: "www.acme.test",
    };

    #[test]
    fn sources_are_hosts_and_none_is_direct() {
        let of = |source: &str| NAMES_OF_ACME.of(&json!({ "source": source }));
        assert_eq!(of("https://www.google.com/"), "google.com");
        assert_eq!(of("https://"), "Direct");
        assert_eq!(of(""), "Direct");
        assert_eq!(of("https://acme.test"), "acme.test (own pages)");
        assert!(NAMES_OF_ACME.is_own_pages("acme.test (own pages)"));
        assert_eq!(NAMES_OF_ACME.of(&json!({ "name": "" })), "(none)");
        assert_eq!(
            NAMES_OF_ACME.of(&json!({ "name": "DE", "country_name": "Germany" })),
            "Germany"
        );
        let code = NAMES_OF_ACME.of(&json!({ "country": "CA", "visitors": 1 }));
        assert_eq!(code, "Canada");
    }

    #[test]
    fn rows_meet_those_of_the_window_before_by_name() {
        let query = json!({
            "rows": [{ "name": "/b", "visitors": "2" }, { "name": "/a", "visitors": 9 }],
            "previous_rows": [{ "name": "/a", "visitors": 4 }, { "name": "/gone", "visitors": 3 }],
        });
        let (rows, has_before) = NAMES_OF_ACME.joined(&query);
        let found: Vec<_> = rows
            .iter()
            .map(|r| (r.name.as_str(), r.now, r.before))
            .collect();
        assert!(has_before);
        assert_eq!(
            found,
            [
                ("/a", Some(9.0), Some(4.0)),
                ("/b", Some(2.0), None),
                ("/gone", None, Some(3.0))
            ]
        );
        assert!(
            !NAMES_OF_ACME
                .joined(&json!({ "rows": [], "previous_rows": null }))
                .1
        );
    }
}
