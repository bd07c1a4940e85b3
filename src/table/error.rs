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
        source: serde_json::Error,
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
