//! One parameter of a query as SQL over the rows. Words of the user are bound, never written in.

use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Row, any::AnyRow};

use super::{
    data::{Data, Site},
    types::{FILTERS, Shape, Type},
};

/// One parameter, ready to be answered.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) kind: Type,
    /// UTC, `YYYY-MM-DD HH:MM:SS`, inclusive.
    pub(super) from: String,
    /// UTC, inclusive.
    pub(super) to: String,
    /// How many characters of an instant make its bucket: 10 a day, 13 an hour; 0: none.
    pub(super) bucket: usize,
    pub(super) filters: Vec<(&'static str, &'static str, Vec<String>)>,
    pub(super) limit: i64,
    pub(super) offset: i64,
}

const METRICS: &str = "COUNT(*) AS pageviews, COUNT(DISTINCT visitor) AS visitors, COUNT(DISTINCT session) AS sessions";

/// A filter of the request as column, operator and values.
pub(super) fn filter(value: &Value) -> Result<(&'static str, &'static str, Vec<String>), String> {
    let field = value["field"].as_str().unwrap_or_default();
    let column = FILTERS.iter().find(|f| **f == field);
    let column = column.ok_or_else(|| {
        format!(
            "Filter on field '{field}' is not allowed; allowed: {}",
            FILTERS.join(", ")
        )
    })?;
    let word = value["op"].as_str().unwrap_or_default();
    let ops = [
        "eq",
        "ne",
        "contains",
        "not_contains",
        "starts_with",
        "in",
        "not_in",
    ];
    let op = ops
        .iter()
        .find(|o| **o == word)
        .ok_or_else(|| format!("Unknown operator '{word}'"))?;
    let values = match &value["value"] {
        Value::Array(list) => list.iter().map(plain).collect(),
        one => vec![plain(one)],
    };
    if values.is_empty() {
        return Err(format!("Filter on field '{field}' has no value"));
    }
    Ok((column, op, values))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

impl Ask {
    /// The rows of the answer.
    pub(super) async fn rows(&self, data: &Data, site: &Site) -> Result<Vec<Value>, sqlx::Error> {
        let sql = self.sql();
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(site.id)
            .bind(&self.from)
            .bind(&self.to);
        for value in self.filters.iter().flat_map(|(_, _, values)| values) {
            query = query.bind(value);
        }
        let rows = query.fetch_all(&data.pool).await?;
        rows.iter().map(|row| self.row(row)).collect()
    }

    fn sql(&self) -> String {
        let mut place = 3;
        let mut wheres = "website_id = $1 AND at >= $2 AND at <= $3".to_owned();
        for (column, op, values) in &self.filters {
            let places: Vec<String> = values
                .iter()
                .map(|_| {
                    place += 1;
                    format!("${place}")
                })
                .collect();
            let first = &places[0];
            let clause = match *op {
                "ne" => format!(" AND {column} <> {first}"),
                "contains" => format!(" AND instr({column}, {first}) > 0"),
                "not_contains" => format!(" AND instr({column}, {first}) = 0"),
                "starts_with" => format!(" AND substr({column}, 1, length({first})) = {first}"),
                "in" => format!(" AND {column} IN ({})", places.join(", ")),
                "not_in" => format!(" AND {column} NOT IN ({})", places.join(", ")),
                _ => format!(" AND {column} = {first}"),
            };
            wheres.push_str(&clause);
        }
        let page = format!("LIMIT {} OFFSET {}", self.limit, self.offset);
        match self.kind.shape {
            Shape::Top { column, .. } => format!(
                "SELECT {column} AS label, {METRICS} FROM views WHERE {wheres} GROUP BY {column} ORDER BY pageviews DESC, label {page}"
            ),
            Shape::Summary { .. } | Shape::Series => {
                let bucket = if self.bucket == 0 {
                    "''".to_owned()
                } else {
                    format!("substr(at, 1, {})", self.bucket)
                };
                format!(
                    "SELECT bucket AS label, SUM(views) AS pageviews, COUNT(DISTINCT visitor) AS visitors, COUNT(*) AS sessions,
                     AVG(CASE WHEN views = 1 THEN 100.0 ELSE 0.0 END) AS bounce_rate, AVG(seconds * 1.0) AS seconds
                     FROM (SELECT {bucket} AS bucket, session, visitor, seconds, COUNT(*) AS views FROM views
                     WHERE {wheres} GROUP BY bucket, session, visitor, seconds) AS s GROUP BY bucket ORDER BY bucket {page}"
                )
            }
        }
    }

    fn row(&self, row: &AnyRow) -> Result<Value, sqlx::Error> {
        let whole = |name: &str| row.try_get::<i64, _>(name);
        let mut out = Map::new();
        let label: String = row.try_get("label")?;
        let (views, visitors) = (whole("pageviews")?, whole("visitors")?);
        let sessions = whole("sessions")?;
        let (visitors_name, duration_name) = match self.kind.shape {
            Shape::Top { label: name, .. } => {
                out.insert(name.to_owned(), json!(label));
                out.insert("pageviews".to_owned(), json!(views));
                out.insert("visitors".to_owned(), json!(visitors));
                return Ok(Value::Object(out));
            }
            Shape::Summary { visitors, duration } => (visitors, duration),
            Shape::Series => ("visitors", "median_session_duration"),
        };
        if self.bucket > 0 {
            let date = if self.bucket == 13 {
                format!("{label}:00:00")
            } else {
                label
            };
            out.insert("date".to_owned(), json!(date));
        } else if self.kind.name == "summary" {
            out.insert("date".to_owned(), json!(self.from[..10]));
        }
        out.insert("pageviews".to_owned(), json!(views));
        out.insert(visitors_name.to_owned(), json!(visitors));
        out.insert("sessions".to_owned(), json!(sessions));
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        out.insert(
            "bounce_rate".to_owned(),
            json!(rounded(row.try_get("bounce_rate")?)),
        );
        out.insert(
            duration_name.to_owned(),
            json!(rounded(row.try_get("seconds")?)),
        );
        Ok(Value::Object(out))
    }
}
