//! What a function knows beside its arguments: the language, the website, the windows.

use chrono::{Datelike, NaiveDate, Weekday};
use serde_json::Value;
use tera::{State, TeraResult};

use super::{filters::day, lang::Lang, rows::Names, words::say};

/// How the two windows lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scene {
    pub(super) lang: Lang,
    /// The website's, or nothing.
    pub(super) domain: String,
    /// First and last day.
    pub(super) window: Option<(NaiveDate, NaiveDate)>,
    /// Of the window that it is compared with.
    pub(super) previous: Option<NaiveDate>,
    /// The sections that failed, by name.
    pub(super) incomplete: Vec<String>,
}

impl Scene {
    /// Out of the variables of a template.
    pub(super) fn of(state: &State<'_>) -> TeraResult<Self> {
        let variable = |name: &str| -> TeraResult<Value> {
            let value: Option<tera::Value> = state.get(name)?;
            Ok(value.map_or(Value::Null, |value| {
                serde_json::to_value(value).unwrap_or_default()
            }))
        };
        let scene = Self::new(
            lang_of(state)?,
            &variable("website")?,
            &variable("window")?,
            &variable("previous")?,
        );
        let incomplete = incomplete(scene.lang, &variable("report")?, &variable("website")?);
        Ok(Self {
            incomplete,
            ..scene
        })
    }

    pub(super) fn new(lang: Lang, website: &Value, window: &Value, previous: &Value) -> Self {
        let date = |value: &Value| value.as_str().and_then(|text| day(text).ok());
        Self {
            lang,
            domain: website["domain"].as_str().unwrap_or_default().to_owned(),
            window: date(&window["start"]).zip(date(&window["end"])),
            previous: date(&previous["start"]),
            incomplete: Vec::new(),
        }
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names {
            lang: self.lang,
            domain: &self.domain,
        }
    }

    /// How many days the window has.
    pub(super) fn days(&self) -> i64 {
        self.window
            .map_or(0, |(start, end)| (end - start).num_days() + 1)
    }

    /// What the window is called: `day`, `week`, `month` or `days`.
    pub(super) fn unit(&self) -> &'static str {
        let Some((start, end)) = self.window else {
            return "days";
        };
        let is_month = start.day() == 1
            && start.month() == end.month()
            && end.succ_opt().is_some_and(|next| next.day() == 1);
        match self.days() {
            1 => "day",
            7 => "week",
            _ if is_month => "month",
            _ => "days",
        }
    }

    /// Whether the window is a calendar's week, from Monday or from Sunday on.
    pub(super) fn is_week(&self) -> bool {
        let first = self.window.map(|(start, _)| start.weekday());
        self.days() == 7 && matches!(first, Some(Weekday::Mon | Weekday::Sun))
    }

    /// What the window before is called: as this one, or `year`.
    pub(super) fn unit_before(&self) -> &'static str {
        match (self.window, self.previous) {
            (Some((start, _)), Some(previous))
                if (start - previous).num_days() > self.days().max(200) =>
            {
                "year"
            }
            _ => self.unit(),
        }
    }

    /// The window before, as it stands in a sentence.
    pub(super) fn before(&self) -> String {
        let key = format!("before_{}", self.unit_before());
        say(self.lang, &key, &[("n", &self.days().to_string())])
    }

    /// Legends of bars and line.
    pub(super) fn legend(&self) -> (String, String) {
        let key = |side: &str, unit: &str| say(self.lang, &format!("{side}_{unit}"), &[]);
        (key("now", self.unit()), key("then", self.unit_before()))
    }

    /// The window's days in words.
    pub(super) fn span(&self) -> String {
        self.window
            .map(|(start, end)| self.lang.span(start, end))
            .unwrap_or_default()
    }
}

/// More names than these are counted.
const MOST_NAMED: usize = 10;

/// The sections that failed, by name, out of `report.failed`: those of the website, or of all of a
/// bundle, each with its website.
pub(super) fn incomplete(lang: Lang, report: &Value, website: &Value) -> Vec<String> {
    let failed = report["failed"].as_array().into_iter().flatten();
    let name = |section: &Value| {
        let (query, of) = (section["query"].as_str()?, section["website_id"].as_str());
        match (website["id"].as_str(), of) {
            (Some(ours), Some(of)) => (ours == of).then(|| query.to_owned()),
            (None, Some(of)) => Some(format!("{query} ({of})")),
            (_, None) => Some(query.to_owned()),
        }
    };
    let mut names: Vec<String> = failed.filter_map(name).collect();
    if names.len() > MOST_NAMED {
        let more = (names.len() - MOST_NAMED).to_string();
        names.truncate(MOST_NAMED);
        names.push(say(lang, "and_more", &[("n", &more)]));
    }
    names
}

/// The language of `report.lang`; English without one.
pub(super) fn lang_of(state: &State<'_>) -> TeraResult<Lang> {
    let report: Option<tera::Value> = state.get("report")?;
    let tag = report
        .as_ref()
        .and_then(|report| report.get_from_path("lang")?.as_str());
    tag.map_or(Ok(Lang::En), Lang::of)
        .map_err(tera::Error::message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scene(start: &str, end: &str, previous: &str) -> Scene {
        let window = json!({ "start": start, "end": end });
        Scene::new(
            Lang::En,
            &Value::Null,
            &window,
            &json!({ "start": previous }),
        )
    }

    #[test]
    fn windows_are_called_what_people_call_them() {
        assert_eq!(
            scene("2026-11-16", "2026-11-22", "2026-11-09").before(),
            "the week before"
        );
        assert_eq!(
            scene("2026-11-16", "2026-11-16", "2026-11-15").before(),
            "the day before"
        );
        assert_eq!(
            scene("2026-02-01", "2026-02-28", "2026-01-04").before(),
            "the month before"
        );
        assert_eq!(
            scene("2026-11-01", "2026-11-28", "2026-10-04").before(),
            "the 28 days before"
        );
        let year = scene("2026-11-16", "2026-11-22", "2025-11-17");
        assert_eq!(
            (year.before().as_str(), year.legend().1.as_str()),
            ("the same days last year", "Last year")
        );
    }
}
