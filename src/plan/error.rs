//! What keeps a job from being planned: found before anything is asked for or written.

use std::fmt;

/// All reasons at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError(pub Vec<PlanProblem>);

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanProblem {
    /// The server lists no such query type.
    #[error("query `{query}`: the server has no query type `{parameter}`{}", hint(.nearest.as_deref()))]
    UnknownType {
        /// The query's name.
        query: String,
        /// The type it asks for.
        parameter: String,
        /// The nearest name that the server lists.
        nearest: Option<String>,
    },
    /// A pattern of `websites` matches none that the key may read.
    #[error(
        "`websites`: no website that the key may read has the id or domain `{pattern}`; readable: {readable}"
    )]
    UnknownWebsite {
        /// The pattern.
        pattern: String,
        /// What there is.
        readable: String,
    },
    /// The key reads no website, or all are excluded.
    #[error("`websites` selects no website; check the key's access and `exclude`")]
    NoWebsite,
    /// The template needs a query that the job lacks.
    #[error(
        "report `{report}`: its template needs a query named `{query}`: add it under `queries`"
    )]
    MissingQuery {
        /// The report's name.
        report: String,
        /// The query's name.
        query: String,
    },
    /// The recipients of a report name a website that the key may not read.
    #[error(
        "report `{report}`: `to` names `{pattern}`, and no website that the key may read has that id or domain; readable: {readable}"
    )]
    UnknownAddressee {
        /// Index into the job's reports.
        place: usize,
        /// The report's name.
        report: String,
        /// What `to` names.
        pattern: String,
        /// What there is.
        readable: String,
    },
    /// The recipients of a report leave a website out.
    #[error(
        "report `{report}`: `to` names no recipient of `{website}`: add the website, or `default` (`default: []` for no mail)"
    )]
    NoRecipient {
        /// Index into the job's reports.
        place: usize,
        /// The report's name.
        report: String,
        /// The website's id.
        website: String,
    },
    /// Hourly rows beyond what the server takes.
    #[error(
        "query `{query}`: hourly rows are limited to 30 days at once, this window has {days}; use `granularity: daily`, a shorter window or an export `per: day`"
    )]
    HourlyTooLong {
        /// The query's name.
        query: String,
        /// Days of the window.
        days: u64,
    },
    /// Two files would lie at the same place.
    #[error("two files would get the path `{path}`: add what tells them apart to `path`")]
    SamePath {
        /// The path.
        path: String,
    },
    /// The path template has a placeholder that means nothing for this query.
    #[error("query `{query}`: `path` names `{name}`, which it has not; possible: {possible}")]
    UnknownPlaceholder {
        /// The query's name.
        query: String,
        /// What stands between the braces.
        name: String,
        /// What may stand there.
        possible: String,
    },
    /// The server would count everything.
    #[error(
        "query `{query}`: this server ignores the filter on `{field}` of `{parameter}` and would count everything: remove the filter, or use another query type"
    )]
    FilterIgnored {
        /// The query's name.
        query: String,
        /// The filter's field.
        field: String,
        /// The server's name of its type.
        parameter: String,
    },
    /// The server would fail.
    #[error(
        "query `{query}`: this server fails on a filter on `{field}` of `{parameter}`: remove the filter, or use another query type"
    )]
    FilterFails {
        /// The query's name.
        query: String,
        /// The filter's field.
        field: String,
        /// The server's name of its type.
        parameter: String,
    },
    /// The server would give one set for the window.
    #[error(
        "query `{query}`: `{parameter}` of this server has no {granularity} rows, it would give one set for the window: remove `granularity`, or export it `per: day`"
    )]
    NoGranularity {
        /// The query's name.
        query: String,
        /// The server's name of its type.
        parameter: String,
        /// `hourly` or `daily`.
        granularity: &'static str,
    },
    /// A type of links asked of a website, or the other way round: the server answers zeros.
    #[error("query `{query}`: {what}")]
    WrongTarget {
        /// The query's name.
        query: String,
        /// Why, and what to do.
        what: &'static str,
    },
    /// The server has no such table.
    #[error(
        "query `{query}`: this server has no table `{table}`; it has events, error_spans, web_vitals_spans, custom_event_spans and outgoing_links"
    )]
    UnknownTable {
        /// The query's name.
        query: String,
        /// The table.
        table: String,
    },
    /// A column of `group_by` would be missing in the rows.
    #[error(
        "query `{query}`: this server would leave `{column}` out of the rows, because `{select}` contains its name: count `*`, and choose an alias without `{column}`"
    )]
    HiddenColumn {
        /// The query's name.
        query: String,
        /// The column.
        column: String,
        /// The select's field or alias.
        select: String,
    },
    /// It would put people's names into files.
    #[error(
        "query `{query}`: its columns {columns} name people: write `pii: hash` or `pii: allow` in the export, or take the query out of its `queries`"
    )]
    Personal {
        /// The query's name.
        query: String,
        /// The columns.
        columns: String,
    },
    /// A report cannot show it.
    #[error("report `{report}`: the query `{query}` {what}")]
    NotForReports {
        /// The report's name.
        report: String,
        /// The query's name.
        query: String,
        /// Why.
        what: &'static str,
    },
}

impl PlanProblem {
    /// The query that it is about; `None` where it is about the job.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::UnknownType { query, .. }
            | Self::HourlyTooLong { query, .. }
            | Self::UnknownPlaceholder { query, .. }
            | Self::FilterIgnored { query, .. }
            | Self::FilterFails { query, .. }
            | Self::NoGranularity { query, .. }
            | Self::WrongTarget { query, .. }
            | Self::UnknownTable { query, .. }
            | Self::HiddenColumn { query, .. }
            | Self::Personal { query, .. }
            | Self::NotForReports { query, .. } => Some(query),
            Self::UnknownWebsite { .. }
            | Self::NoWebsite
            | Self::UnknownAddressee { .. }
            | Self::NoRecipient { .. }
            | Self::MissingQuery { .. }
            | Self::SamePath { .. } => None,
        }
    }

    /// The key of a job file that it is about, as a JSON pointer; `place` is that of the query.
    pub fn pointer(&self, place: Option<usize>) -> String {
        match (self, place) {
            (Self::UnknownWebsite { .. } | Self::NoWebsite, _) => "/websites".to_owned(),
            (Self::UnknownAddressee { place, pattern, .. }, _) => {
                let key = pattern.replace('~', "~0").replace('/', "~1");
                format!("/reports/{place}/to/{key}")
            }
            (Self::NoRecipient { place, .. }, _) => format!("/reports/{place}/to"),
            (Self::MissingQuery { .. }, _) => "/reports".to_owned(),
            (Self::SamePath { .. }, _) => "/exports".to_owned(),
            (_, Some(place)) => format!("/queries/{place}"),
            (_, None) => "/queries".to_owned(),
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || "; `types` of the API lists what it has".to_owned(),
        |name| format!("; did you mean `{name}`?"),
    )
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}
