//! The SQL of a parameter: the words of its type replaced, limit and offset added.

use super::{
    data::{Bound, bounds},
    filter::Filter,
    options::{FaultKind, Generation},
    part::Common,
    types::Type,
    window::Window,
};

impl Common<'_> {
    /// The column of countries: ISO codes, or what that server stored.
    pub(super) fn country(&self) -> &'static str {
        match self.generation {
            Generation::Seed => "country",
            Generation::Server2026_02 => "country_stored",
        }
    }

    /// The statement of a type over a window, and what is bound in it.
    pub(super) fn sql(
        &self,
        kind: &Type,
        window: Window,
        bucket: Option<String>,
        filters: &[Filter],
    ) -> (String, Vec<Bound>) {
        let mut bound = vec![Bound::Text(self.place.id().to_owned())];
        bound.extend(bounds(window.from, window.until));
        let owner = if kind.of_link {
            "link_id"
        } else {
            "website_id"
        };
        let range = format!("{owner} = ?1 AND at >= ?2 AND at < ?3");
        let conditions: Vec<String> = filters.iter().map(|f| f.condition(&mut bound)).collect();
        let all = format!("{range}{}", conditions.concat());
        let sql = match (self.generation, &kind.server_sql, &kind.dated) {
            (Generation::Server2026_02, Some(sql), _) => sql,
            (_, _, Some(sql)) if bucket.is_some() => sql,
            _ => &kind.sql,
        };
        let (date, bucket) = match bucket {
            Some(bucket) => ("bucket AS date,", bucket),
            None => ("", "''".to_owned()),
        };
        let sql = self
            .paged(kind, sql)
            .replace("{date}", date)
            .replace("{b}", &bucket)
            .replace("{v}", "{w} AND kind = 'view'")
            .replace("{w}", &all)
            .replace("{range}", &range)
            .replace("{first}", &window.first_day.to_string())
            .replace("{c}", self.country());
        (sql, bound)
    }

    /// The SQL with limit and offset, as far as the type heeds them.
    fn paged(&self, kind: &Type, sql: &str) -> String {
        let repeats = self.page > 1
            && self
                .app
                .faults
                .happens(&self.app.data.options, FaultKind::RepeatPage);
        let measured = kind.measured.filter(|_| !self.seed());
        let ignored = measured.is_some_and(|m| m.page == "ignored");
        let page = if repeats || ignored { 1 } else { self.page };
        let offset = self.limit.saturating_mul(page - 1);
        // The limit of profiles counts visitors
        let limited = measured.is_none_or(|m| m.limit || m.page.starts_with("ok"));
        let limit = if limited { self.limit } else { -1 };
        let Some((before, after)) = sql.rsplit_once("{p}") else {
            return format!("SELECT * FROM ({sql}) LIMIT {limit} OFFSET {offset}");
        };
        // That server leaves the order of ties to chance
        let ordered = before.rsplit_once("ORDER BY").map(|(start, order)| {
            let first = order.split(',').next().unwrap_or(order).trim();
            (start, first, first.ends_with("DESC"))
        });
        let before = match ordered {
            Some((start, first, true)) if measured.is_some() => {
                format!("{start}ORDER BY {first}, random()")
            }
            _ => before.to_owned(),
        };
        format!("{before} LIMIT {limit} OFFSET {offset}{after}")
    }
}
