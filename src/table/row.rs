//! A page of rows straight from JSON into columns: no document in between.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use sonic_rs::LazyValue;

use super::{TableBuilder, column::Cell};

/// A JSON array of row objects; its rows are appended.
pub(super) struct PageSeed<'t>(pub(super) &'t mut TableBuilder);

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        self.0.read_rows(rows)
    }
}

pub(super) struct RowSeed<'t>(pub(super) &'t mut TableBuilder);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let mut expected = 0;
        while let Some(at) = row.next_key_seed(KeySeed {
            table: self.0,
            expected,
        })? {
            expected = at + 1;
            row.next_value_seed(CellSeed { table: self.0, at })?;
        }
        Ok(())
    }
}

/// A key's column: the one after the last, in most rows.
struct KeySeed<'t> {
    table: &'t mut TableBuilder,
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let columns = &self.table.columns;
        if columns.get(self.expected).is_some_and(|c| c.name == name) {
            return Ok(self.expected);
        }
        Ok(self.table.place_of(name))
    }
}

struct CellSeed<'t> {
    table: &'t mut TableBuilder,
    at: usize,
}

impl CellSeed<'_> {
    fn push<E: Error>(self, cell: Cell<'_>) -> Result<(), E> {
        let row = self.table.batch_rows;
        let column = &mut self.table.columns[self.at];
        if column.is_filled(row) {
            return Err(E::custom(format!("a row has `{}` twice", column.name)));
        }
        column.push(row, cell).map_err(|misfit| {
            self.table.misfit = Some((self.at, misfit));
            E::custom("a value does not fit its column")
        })
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.table.columns[self.at].kind() {
            Some(kind) if !kind.is_nested() => from.deserialize_any(self),
            // Nested values are kept as they came; they also decide what a new column is
            kind => {
                let value = serde::Deserialize::deserialize(from)?;
                self.raw(&value, kind.is_some())
            }
        }
    }
}

impl CellSeed<'_> {
    fn raw<E: Error>(self, value: &LazyValue<'_>, is_nested: bool) -> Result<(), E> {
        let raw = value.as_raw_str();
        match raw.as_bytes().first() {
            Some(b'n') => self.push(Cell::Null),
            Some(b'[' | b'{') => self.push(Cell::Nested(raw)),
            _ if is_nested => self.push(Cell::Nested(raw)),
            _ => {
                let mut scalar = sonic_rs::Deserializer::from_str(raw);
                scalar.deserialize_any(self).map_err(E::custom)
            }
        }
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.push(Cell::Null)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.push(Cell::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Cell::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Cell::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(i64::try_from(value).map_or(Cell::Large(value), Cell::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Cell::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.push(Cell::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.push(Cell::Nested("[…]"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.push(Cell::Nested("{…}"))
    }
}
