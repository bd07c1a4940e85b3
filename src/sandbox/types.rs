//! The query types that the sandbox answers, under the seed's names and under those of the server
//! of February 2026. Others of the seed are not built yet, and are unknown to it.

/// What a type groups its rows by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One row of totals; with a granularity one a bucket.
    Summary {
        visitors: &'static str,
        duration: &'static str,
    },
    /// One row a bucket, always.
    Series,
    /// One row a value of `column`, called `label` in the answer.
    Top {
        column: &'static str,
        label: &'static str,
    },
}

/// A query type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

const fn top(name: &'static str, column: &'static str, label: &'static str) -> Type {
    Type {
        name,
        shape: Shape::Top { column, label },
    }
}

/// All types.
pub(super) const TYPES: [Type; 12] = [
    Type {
        name: "summary",
        shape: Shape::Summary {
            visitors: "visitors",
            duration: "session_duration",
        },
    },
    Type {
        name: "summary_metrics",
        shape: Shape::Summary {
            visitors: "unique_visitors",
            duration: "median_session_duration",
        },
    },
    Type {
        name: "events_by_date",
        shape: Shape::Series,
    },
    top("pages", "path", "path"),
    top("top_pages", "path", "name"),
    top("traffic", "referrer", "source"),
    top("traffic_sources", "referrer", "source"),
    top("countries", "country", "country"),
    top("country", "country", "name"),
    top("browser_name", "browser_name", "name"),
    top("os_name", "os_name", "name"),
    top("device_types", "device_type", "name"),
];

/// Fields that filters may name; each is a column.
pub(super) const FILTERS: [&str; 6] = [
    "path",
    "referrer",
    "country",
    "device_type",
    "browser_name",
    "os_name",
];

/// The type of that name.
pub(super) fn find(name: &str) -> Option<Type> {
    TYPES.iter().find(|t| t.name == name).copied()
}
