//! Rows to Arrow: typed columns, and an error where a value does not fit its column.

mod column;
mod content;
mod error;
mod known;

pub use content::content_hash;
pub use error::TableError;
pub use known::{Column, Known, known_columns, known_custom_columns};

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{Field, Schema},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use serde_json::{Map, Value};

use crate::domain::query::ColumnType;
use column::ColumnBuilder;

/// Builds a table from pages of rows.
#[derive(Debug)]
pub struct TableBuilder {
    query: String,
    columns: Vec<ColumnBuilder>,
    index: HashMap<String, usize>,
    kinds: BTreeMap<String, ColumnType>,
    rows: usize,
}

impl TableBuilder {
    /// A table of the known columns; others are appended as they appear.
    pub fn new(query: &str, known: Known) -> Self {
        let mut table = Self {
            query: query.to_owned(),
            columns: Vec::new(),
            index: HashMap::new(),
            kinds: known.kinds,
            rows: 0,
        };
        for column in known.columns {
            table.add(column);
        }
        table
    }

    /// Appends a page: a JSON array of row objects.
    ///
    /// # Errors
    /// The page is no such list, or a value does not fit its column.
    pub fn push_page(&mut self, page: &[u8]) -> Result<(), TableError> {
        let rows: Vec<Map<String, Value>> =
            serde_json::from_slice(page).map_err(|source| TableError::NotRows {
                query: self.query.clone(),
                source,
            })?;
        rows.into_iter().try_for_each(|row| self.push_row(row))
    }

    fn push_row(&mut self, row: Map<String, Value>) -> Result<(), TableError> {
        for (name, value) in row {
            let at = if let Some(at) = self.index.get(&name) {
                *at
            } else {
                let kind = self.kinds.get(&name).copied();
                self.add(Column { name, kind })
            };
            let column = &mut self.columns[at];
            column
                .push(self.rows, &value)
                .map_err(|(expected, found)| TableError::Misfit {
                    query: self.query.clone(),
                    column: column.name.clone(),
                    row: self.rows + 1,
                    value: value.to_string().chars().take(80).collect(),
                    found,
                    expected,
                })?;
        }
        self.rows += 1;
        Ok(())
    }

    fn add(&mut self, column: Column) -> usize {
        let at = self.columns.len();
        self.index.insert(column.name.clone(), at);
        self.columns.push(ColumnBuilder::new(column));
        at
    }

    /// The table. A column of nulls alone, of which nothing is known, is text.
    ///
    /// # Errors
    /// Arrow refuses the columns, which would be a fault of this program.
    pub fn finish(self) -> Result<RecordBatch, TableError> {
        let rows = self.rows;
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = self
            .columns
            .into_iter()
            .map(|column| column.finish(rows))
            .unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(
            |source| TableError::Arrow {
                query: self.query,
                source,
            },
        )
    }
}

#[cfg(test)]
mod tests;
