//! The values that make a partition, in a path and in the log.

use std::{collections::HashMap, fmt};

use chrono::NaiveDate;

use super::Definition;

/// The values of the partition columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition(pub Vec<PartitionValue>);

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionValue {
    /// Text that is not empty.
    Text(String),
    /// A day.
    Date(NaiveDate),
}

impl fmt::Display for PartitionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Date(day) => write!(f, "{day}"),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&values.join(", "))
    }
}

impl Partition {
    /// The path below the table: `website_id=web_1/day=2026-11-22`.
    pub(super) fn path(&self, definition: &Definition) -> String {
        let names = definition.partition_by.iter().map(|column| &column.name);
        let pairs = names.zip(&self.0);
        let segments = pairs.map(|(name, value)| format!("{name}={}", escape(&value.to_string())));
        segments.collect::<Vec<_>>().join("/")
    }

    /// As the log writes it.
    pub(super) fn values(&self, definition: &Definition) -> HashMap<String, Option<String>> {
        let names = definition.partition_names().into_iter();
        let values = self.0.iter().map(|value| Some(value.to_string()));
        names.zip(values).collect()
    }

    /// As a condition, for people who read the table's history.
    pub(super) fn predicate(&self, definition: &Definition) -> String {
        let names = definition.partition_by.iter().map(|column| &column.name);
        let pairs = names.zip(&self.0);
        let conditions = pairs.map(|(name, value)| {
            let text = value.to_string().replace('\'', "''");
            format!("{name} = '{text}'")
        });
        conditions.collect::<Vec<_>>().join(" AND ")
    }
}

/// Hive's way: what a file system or a URL could misread as `%XX`.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex::encode_upper([byte]));
        }
    }
    escaped
}
