//! Rows to Arrow: typed columns, and an error where a value does not fit its column.

mod column;
mod content;
mod error;
mod events;
mod instant;
mod known;
mod row;
mod sample;
mod shape;
mod sort;
mod totals;

pub use content::{Content, row_hashes};
pub use error::TableError;
pub use events::SESSION_EVENTS;
pub use known::{Column, Known, known_columns, known_custom_columns};
pub use sample::rarely_repeating;
pub use shape::{Constant, ConstantValue, Shape, ShapedColumn, data_type};
pub use sort::sort_by_date;
pub use totals::Totals;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{Field, Schema},
    record_batch::{RecordBatch, RecordBatchOptions},
};
use serde::de::{DeserializeSeed, SeqAccess};

use crate::domain::query::ColumnType;
use column::{ColumnBuilder, Misfit};

/// Builds tables from pages of rows, one batch a page.
#[derive(Debug)]
pub struct TableBuilder {
    query: String,
    columns: Vec<ColumnBuilder>,
    index: HashMap<String, usize>,
    kinds: BTreeMap<String, ColumnType>,
    /// Rows of the batches that were taken.
    rows: usize,
    /// Rows of the batch in the making.
    batch_rows: usize,
    misfit: Option<(usize, Misfit)>,
    before: Before,
}

/// What was known when the last batch was taken.
#[derive(Debug, Default)]
struct Before {
    columns: usize,
    /// Places of columns of which only nulls were seen.
    untyped: Vec<usize>,
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
            batch_rows: 0,
            misfit: None,
            before: Before::default(),
        };
        for column in known.columns {
            table.add(column);
        }
        table.remember();
        table
    }

    /// From here on rows can be forgotten.
    fn remember(&mut self) {
        self.before = Before {
            columns: self.columns.len(),
            untyped: (0..self.columns.len())
                .filter(|at| self.columns[*at].kind().is_none())
                .collect(),
        };
    }

    /// Reads a page, a JSON array of row objects, as a batch. A column of nulls alone, of which
    /// nothing is known, is left out until its first value says what it is: batches can therefore
    /// have more columns than those before.
    ///
    /// # Errors
    /// The page is no such list, or a value does not fit its column.
    pub fn read_page(&mut self, page: &[u8]) -> Result<RecordBatch, TableError> {
        let mut json = sonic_rs::Deserializer::from_slice(page).utf8_lossy();
        let read = row::PageSeed(self).deserialize(&mut json);
        if let Err(source) = read
            && !self.has_misfit()
        {
            return Err(TableError::NotRows {
                query: self.query.clone(),
                source,
            });
        }
        self.end_page()
    }

    /// Reads the rows of a page while somebody else reads what is around them;
    /// [`end_page`](Self::end_page) makes them a batch.
    ///
    /// # Errors
    /// The JSON's own, or one where a value does not fit, which `end_page` then tells.
    pub fn read_rows<'de, A: SeqAccess<'de>>(&mut self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(row::RowSeed(self))?.is_some() {
            self.batch_rows += 1;
        }
        Ok(())
    }

    /// Whether a value of the page that is being read does not fit its column.
    pub fn has_misfit(&self) -> bool {
        self.misfit.is_some()
    }

    /// The rows that were read as a batch.
    ///
    /// # Errors
    /// A value does not fit its column.
    pub fn end_page(&mut self) -> Result<RecordBatch, TableError> {
        if let Some((at, (expected, found, value))) = self.misfit.take() {
            return Err(TableError::Misfit {
                query: self.query.clone(),
                column: self.columns[at].name.clone(),
                row: self.rows + self.batch_rows + 1,
                value,
                found,
                expected,
            });
        }
        self.take()
    }

    /// Forgets the rows that were read since the last batch, and what columns they brought.
    pub fn forget_page(&mut self) {
        self.misfit = None;
        self.batch_rows = 0;
        for column in self.columns.drain(self.before.columns..) {
            self.index.remove(&column.name);
        }
        for at in 0..self.columns.len() {
            self.columns[at].forget(self.before.untyped.contains(&at));
        }
    }

    /// Columns that at least one row had, be it as null.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        let present = self.columns.iter().filter(|c| c.is_present);
        present.map(|column| column.name.as_str())
    }

    /// The types of its columns; `None` where only nulls of an unknown type were seen.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Option<ColumnType>)> {
        let columns = self.columns.iter();
        columns.map(|column| (column.name.as_str(), column.kind()))
    }

    /// The place of a column, which is made where it is new.
    fn place_of(&mut self, name: &str) -> usize {
        if let Some(at) = self.index.get(name) {
            return *at;
        }
        let kind = self.kinds.get(name).copied();
        self.add(Column {
            name: name.to_owned(),
            kind,
        })
    }

    fn add(&mut self, column: Column) -> usize {
        let at = self.columns.len();
        self.index.insert(column.name.clone(), at);
        self.columns.push(ColumnBuilder::new(column));
        at
    }

    fn take(&mut self) -> Result<RecordBatch, TableError> {
        self.remember();
        let rows = std::mem::take(&mut self.batch_rows);
        self.rows += rows;
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = self
            .columns
            .iter_mut()
            .filter_map(|column| column.take(rows))
            .unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options).map_err(
            |source| TableError::Arrow {
                query: self.query.clone(),
                source,
            },
        )
    }
}

#[cfg(test)]
mod tests;
