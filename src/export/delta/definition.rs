//! How a table is called and what it is partitioned by.

use deltalake::{
    kernel::{Metadata, MetadataExt, PrimitiveType, StructType, new_metadata},
    table::state::DeltaTableState,
};

use super::{Change, DeltaError, Partition, PartitionValue};

/// Commits between two checkpoints of a new table: a reader reads one checkpoint and no more
/// commits than this. What Spark takes; the crate would take 100.
const CHECKPOINT_INTERVAL: &str = "10";

/// How a table is called and what it is partitioned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name, kept in a table that is new.
    pub name: String,
    /// What it is, kept in a table that is new.
    pub description: String,
    /// Columns whose values stand in the path and not in the files, in the order of the path. The
    /// first columns of a table that is new. Empty: all rows are one partition.
    pub partition_by: Vec<PartitionColumn>,
}

/// A column that a table is partitioned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionColumn {
    /// Its name, made of letters, digits and `_`.
    pub name: String,
    /// Its type.
    pub kind: PartitionKind,
}

/// The type of a column that a table is partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionKind {
    /// Text that is not empty.
    Text,
    /// A day.
    Date,
}

impl PartitionKind {
    pub(super) fn delta_type(self) -> PrimitiveType {
        match self {
            Self::Text => PrimitiveType::String,
            Self::Date => PrimitiveType::Date,
        }
    }

    fn fits(self, value: &PartitionValue) -> bool {
        match (self, value) {
            // Delta reads empty text as null
            (Self::Text, PartitionValue::Text(text)) => !text.is_empty(),
            (Self::Date, PartitionValue::Date(_)) => true,
            (Self::Text, PartitionValue::Date(_)) | (Self::Date, PartitionValue::Text(_)) => false,
        }
    }
}

impl Definition {
    /// Whether the changes name partitions of this table, each once.
    pub(super) fn check(&self, changes: &[Change]) -> Result<(), DeltaError> {
        for (at, change) in changes.iter().enumerate() {
            let partition = change.partition();
            if !self.fits(partition) {
                return Err(DeltaError::Partition {
                    found: partition.to_string(),
                    wanted: self.partition_names().join(", "),
                });
            }
            if changes[..at].iter().any(|c| c.partition() == partition) {
                return Err(DeltaError::Twice {
                    partition: partition.path(self),
                });
            }
        }
        Ok(())
    }

    fn fits(&self, partition: &Partition) -> bool {
        let mut both = self.partition_by.iter().zip(&partition.0);
        partition.0.len() == self.partition_by.len() && both.all(|(c, value)| c.kind.fits(value))
    }

    /// Whether the table that is there is partitioned so.
    pub(super) fn check_table(&self, table: &DeltaTableState) -> Result<(), DeltaError> {
        let schema = table.schema();
        let found = table.metadata().partition_columns();
        let is_typed = |column: &PartitionColumn| {
            let field = schema.field(&column.name);
            field.is_some_and(|f| *f.data_type() == column.kind.delta_type().into())
        };
        if *found == self.partition_names() && self.partition_by.iter().all(is_typed) {
            return Ok(());
        }
        Err(DeltaError::OtherPartitions {
            found: found.join(", "),
            wanted: self.partition_names().join(", "),
        })
    }

    /// What a new table says of itself.
    pub(super) fn metadata(&self, schema: &StructType) -> Result<Metadata, DeltaError> {
        let properties = [("delta.checkpointInterval", CHECKPOINT_INTERVAL)];
        let metadata = new_metadata(schema, self.partition_names(), properties)?
            .with_name(self.name.clone())?
            .with_description(self.description.clone())?;
        Ok(metadata)
    }

    pub(super) fn partition_names(&self) -> Vec<String> {
        self.partition_by.iter().map(|c| c.name.clone()).collect()
    }
}
