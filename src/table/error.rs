//! Values that do not fit.

use crate::domain::query::ColumnType;

/// Why rows are no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A value does not fit its column.
    #[error(
        "query `{query}`, row {row}: `{value}` in column `{column}` is {found}, the column is {}; pin another type with `columns: {{ {column}: … }}`",
        .expected.name()
    )]
    Misfit {
        /// The query's name.
        query: String,
        /// The column.
        column: String,
        /// From 1.
        row: usize,
        /// As it came, cut to 80 characters.
        value: String,
        /// What it is.
        found: &'static str,
        /// What the column is.
        expected: ColumnType,
    },
    /// The page is no list of objects.
    #[error("query `{query}`: the answer is no list of rows")]
    NotRows {
        /// The query's name.
        query: String,
        /// Why.
        source: sonic_rs::Error,
    },
    /// A column came after its file had begun.
    #[error("the column `{column}` came after its file had begun: run it again")]
    Unshaped {
        /// The column.
        column: String,
    },
    /// Events of a shape that was never seen.
    #[error(
        "column `{column}`: {what}, so it makes no list of events: write `nested: json` to keep it as JSON text"
    )]
    NoEvents {
        /// The column.
        column: String,
        /// What it is instead.
        what: String,
    },
    /// Arrow refused the columns.
    #[error("query `{query}`: the columns make no table")]
    Arrow {
        /// The query's name.
        query: String,
        /// Why.
        source: arrow::error::ArrowError,
    },
}
