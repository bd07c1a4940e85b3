//! One parameter of a query: its window, its filters, its SQL, its rows.

use axum::http::StatusCode;
use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::{
    filter::{Filter, OPERATORS},
    http::App,
    options::Generation,
    place::Place,
    refusal::Refusal,
    types::{Span, Type},
    window::{Window, bucket, preset},
};

/// What all parameters of a query share.
pub(super) struct Common<'a> {
    pub(super) app: &'a App,
    pub(super) place: Place,
    pub(super) generation: Generation,
    pub(super) item: &'a Value,
    /// The zone of the query string; an error of it is said where it matters.
    pub(super) zone: Result<Tz, String>,
    pub(super) limit: i64,
    pub(super) page: i64,
}

impl Common<'_> {
    pub(super) fn seed(&self) -> bool {
        self.generation == Generation::Seed
    }

    /// The rows of a parameter, or the error of its part.
    pub(super) async fn rows(
        &self,
        parameter: &Value,
        kind: &'static Type,
    ) -> Result<Result<Vec<Value>, String>, Refusal> {
        let of_link = matches!(self.place, Place::Link(_));
        if kind.of_link != of_link && self.seed() {
            return Err(if of_link {
                let message = format!("{} needs website_id", kind.name);
                Refusal::bad("MISSING_WEBSITE_ID", message)
            } else {
                Refusal::invalid("link_id", format!("{} needs link_id", kind.name))
            });
        }
        let window = match self.window(parameter)? {
            Ok(window) => window,
            Err(error) => return Ok(Err(error)),
        };
        let word = parameter["granularity"].as_str();
        let word = word.or(self.item["granularity"].as_str());
        let hourly = word.is_some_and(|word| word.starts_with("hour"));
        if hourly && window.days_long() > 31 {
            let message = "Hourly granularity spans at most 30 days";
            return Err(match self.generation {
                Generation::Seed => Refusal::bad("INVALID_DATE_RANGE", message),
                Generation::Server2026_02 => {
                    Refusal::opaque(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN")
                }
            });
        }
        let filters = match self.filters(kind) {
            Ok(filters) => filters,
            Err(error) if self.seed() => return Err(Refusal::invalid("filters", error)),
            Err(error) => return Ok(Err(error)),
        };
        if kind.measured.is_some_and(|m| m.fails) {
            return Ok(Err(sql_error(self.place, "is_bounce")));
        }
        if kind.sql.is_empty() {
            return Ok(Ok(self.no_data(kind)));
        }
        let zone = match (&self.zone, kind.measured) {
            (Ok(zone), _) if self.seed() => *zone,
            (Ok(zone), Some(measured)) if measured.shifts => *zone,
            (Err(error), Some(measured)) if measured.shifts => return Ok(Err(error.clone())),
            _ => Tz::UTC,
        };
        let dated = match kind.span {
            Span::Dated => true,
            Span::Asked => self.seed() && word.is_some(),
            Span::Today | Span::Now => false,
        };
        let hourly = hourly && (self.seed() || kind.measured.is_some_and(|m| m.hourly));
        let now = self.app.data.now();
        let today = now.date_naive();
        let window = match kind.span {
            Span::Asked | Span::Dated => window,
            Span::Today => Window::days(today, today, Tz::UTC),
            Span::Now => Window {
                from: now - TimeDelta::minutes(5),
                until: now,
                first_day: today,
            },
        };
        let window = window.within(self.app.data.visible());
        self.app
            .data
            .generate(self.place, window.from, window.until)
            .await?;
        let (sql, bound) = self.sql(
            kind,
            window,
            dated.then(|| bucket(window, zone, hourly)),
            &filters,
        );
        let rows = self.app.data.rows(sql, &bound).await?;
        let rows = rows.into_iter();
        Ok(Ok(rows.map(|row| self.row(kind, hourly, row)).collect()))
    }

    /// The window of a parameter, or the error of its part.
    fn window(&self, parameter: &Value) -> Result<Result<Window, String>, Refusal> {
        let (start, end) = (
            parameter["start_date"].as_str(),
            parameter["end_date"].as_str(),
        );
        if !self.seed() {
            let own = [start, end].into_iter().flatten();
            let odd = own
                .filter(|text| text.parse::<NaiveDate>().is_err())
                .count();
            if odd > 0 {
                return Ok(Err(
                    "Cannot parse datetime: Cannot parse DateTime from String".to_owned(),
                ));
            }
        }
        let start = start.or(self.item["startDate"].as_str());
        let end = end.or(self.item["endDate"].as_str());
        let (Some(start), Some(end)) = (start, end) else {
            return self.preset().map(Ok);
        };
        if !self.seed() {
            // Only the first ten characters count, and nonsense has no rows
            let day = |text: &str| text.get(..10).and_then(|day| day.parse().ok());
            let nothing = Window::days(NaiveDate::default(), NaiveDate::default(), Tz::UTC);
            let days = day(start)
                .zip(day(end))
                .filter(|(first, last)| first <= last);
            return Ok(Ok(days.map_or(nothing, |(first, last)| {
                Window::days(first, last, Tz::UTC)
            })));
        }
        if let Err(error) = &self.zone {
            return Err(Refusal::invalid("timezone", error.clone()));
        }
        let range = |message: String| Refusal::bad("INVALID_DATE_RANGE", message);
        let window = Window::parse(start, end)
            .ok_or_else(|| range(format!("Invalid dates: {start} to {end}")))?;
        if window.until <= window.from {
            return Err(range(format!("{end} lies before {start}")));
        }
        Ok(Ok(window))
    }

    fn preset(&self) -> Result<Window, Refusal> {
        let zone = match &self.zone {
            Ok(zone) => *zone,
            Err(error) if self.seed() => return Err(Refusal::invalid("timezone", error.clone())),
            Err(_) => {
                return Err(Refusal::opaque(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "UNKNOWN",
                ));
            }
        };
        let today = self.app.data.now().with_timezone(&zone).date_naive();
        let name = self.item["preset"].as_str().unwrap_or_default();
        let days = preset(name, today);
        let (first, last) = days.ok_or_else(|| Refusal::invalid("preset", "Unknown preset"))?;
        // That server resolves days in the zone, and then counts days of UTC
        let zone = if self.seed() { zone } else { Tz::UTC };
        Ok(Window::days(first, last, zone))
    }

    fn filters(&self, kind: &Type) -> Result<Vec<Filter>, String> {
        let column = |field: &str| {
            let known = kind.fields().find(|(name, _)| *name == field);
            known.map(|(_, column)| match column {
                "{c}" => self.country(),
                column => column,
            })
        };
        let filters = self.item["filters"].as_array().into_iter().flatten();
        let filters = filters.map(|filter| {
            // An empty list matches nothing on that server
            if filter["value"] == json!([]) && self.seed() {
                return Err("A filter needs at least one value".to_owned());
            }
            Filter::parse(filter, &OPERATORS, column)
        });
        let filters: Vec<Filter> = filters.collect::<Result<_, _>>()?;
        let Some(measured) = kind.measured.filter(|_| !self.seed()) else {
            return Ok(filters);
        };
        let general = |filter: &&Filter| {
            filter.field != "path" && !kind.filters.iter().any(|(name, _)| *name == filter.field)
        };
        match (measured.filter, filters.iter().find(general)) {
            ("ignored", _) => Ok(Vec::new()),
            ("ERROR", Some(filter)) => Err(sql_error(self.place, &filter.field)),
            _ => Ok(filters),
        }
    }

    /// The answer where the sandbox has no data.
    fn no_data(&self, kind: &Type) -> Vec<Value> {
        let one_row = kind.measured.is_some_and(|m| m.empty_row) && self.page == 1;
        let columns = kind.columns.split(", ").filter_map(|c| c.split_once(':'));
        let row: Map<String, Value> = columns
            .map(|(name, seen)| {
                let value = if seen == "int" { json!(0) } else { Value::Null };
                (name.to_owned(), value)
            })
            .collect();
        if one_row {
            vec![row.into()]
        } else {
            Vec::new()
        }
    }

    /// A row as that server writes it.
    fn row(&self, kind: &Type, hourly: bool, mut row: Map<String, Value>) -> Value {
        let nested = row.get("events").and_then(Value::as_str);
        if let Some(list) = nested.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
            row.insert("events".to_owned(), list);
        }
        if self.seed() {
            return row.into();
        }
        for value in row.values_mut() {
            if let Some(number) = value.as_f64().filter(|n| n.fract() == 0.0)
                && !value.is_i64()
                && let Ok(whole) = format!("{number:.0}").parse::<i64>()
            {
                *value = json!(whole);
            }
        }
        if kind.of_link
            && hourly
            && let Some(text) = row.get("date").and_then(Value::as_str)
            && let Ok(day) = text[..10].parse::<NaiveDate>()
        {
            let odd = format!("{}:{}:00", &text[..13], day.format("%B"));
            row.insert("date".to_owned(), json!(odd));
        }
        row.into()
    }
}

/// An error of the server's database, with its SQL.
fn sql_error(place: Place, column: &str) -> String {
    let id = place.id();
    let part =
        format!("SELECT COUNT(*) FROM analytics.events WHERE (client_id = '{id}') UNION ALL ");
    let sql = part.repeat(30);
    format!("Unknown expression or function identifier `{column}` in scope {sql}. ")
}
