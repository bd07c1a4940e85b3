//! The words and texts that values of keys are: each word stands for a value of the domain, each text has
//! a form that the schema walk checks.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::domain::{
    custom::Aggregate,
    job::{
        AttachFormat, Compare, Compression, Drift, Format, Nested, OnError, Per, Pii, ReportPer,
    },
    query::{ColumnType, Granularity, Operator},
    schedule::{CatchUp, Fold, Gap, Overlap},
};

/// Defines enums of words that stand for values of the domain.
macro_rules! words {
    ($($name:ident => $of:ty { $($variant:ident = $word:literal => $value:expr),+ $(,)? })+) => { $(
        #[derive(Debug, Clone, Copy, Deserialize, serde::Serialize, JsonSchema)]
        pub(super) enum $name { $(#[serde(rename = $word)] $variant),+ }
        impl $name {
            pub(super) fn value(self) -> $of { match self { $(Self::$variant => $value),+ } }
        }
    )+ };
}

words! {
    FormatName => Format {
        Parquet = "parquet" => Format::Parquet,
        Csv = "csv" => Format::Csv,
        Jsonl = "jsonl" => Format::Jsonl,
        Delta = "delta" => Format::Delta,
    }
    PerName => Per { Day = "day" => Per::Day, Window = "window" => Per::Window }
    CompressionName => Compression {
        Zstd = "zstd" => Compression::Zstd,
        Snappy = "snappy" => Compression::Snappy,
        Gzip = "gzip" => Compression::Gzip,
        None = "none" => Compression::None,
    }
    DriftName => Drift { Evolve = "evolve" => Drift::Evolve, Freeze = "freeze" => Drift::Freeze }
    NestedName => Nested { Json = "json" => Nested::Json, Struct = "struct" => Nested::Struct }
    PiiName => Pii {
        Refuse = "refuse" => Pii::Refuse,
        Hash = "hash" => Pii::Hash,
        Allow = "allow" => Pii::Allow,
    }
    FormulasName => bool { Keep = "keep" => false, Guard = "guard" => true }
    CatchUpName => CatchUp {
        None = "none" => CatchUp::None,
        Latest = "latest" => CatchUp::Latest,
        All = "all" => CatchUp::All,
    }
    OverlapName => Overlap { Skip = "skip" => Overlap::Skip, Queue = "queue" => Overlap::Queue }
    GapName => Gap { Shift = "shift" => Gap::Shift, Skip = "skip" => Gap::Skip }
    FoldName => Fold { First = "first" => Fold::First, Both = "both" => Fold::Both }
    CompareName => Compare {
        PreviousWindow = "previous_window" => Compare::PreviousWindow,
        SameWindowLastYear = "same_window_last_year" => Compare::SameWindowLastYear,
        None = "none" => Compare::None,
    }
    OperatorName => Operator {
        Eq = "eq" => Operator::Eq,
        Ne = "ne" => Operator::Ne,
        Contains = "contains" => Operator::Contains,
        NotContains = "not_contains" => Operator::NotContains,
        StartsWith = "starts_with" => Operator::StartsWith,
        In = "in" => Operator::In,
        NotIn = "not_in" => Operator::NotIn,
    }
    GranularityName => Granularity {
        Hourly = "hourly" => Granularity::Hourly,
        Daily = "daily" => Granularity::Daily,
    }
    ColumnTypeName => ColumnType {
        Int64 = "int64" => ColumnType::Int64,
        Float64 = "float64" => ColumnType::Float64,
        String = "string" => ColumnType::String,
        Boolean = "boolean" => ColumnType::Boolean,
        Date = "date" => ColumnType::Date,
        Timestamp = "timestamp" => ColumnType::Timestamp,
        Json = "json" => ColumnType::Json,
        SessionEvents = "session_events" => ColumnType::SessionEvents,
    }
    AggregateName => Aggregate {
        Count = "count" => Aggregate::Count,
        Uniq = "uniq" => Aggregate::Uniq,
        Sum = "sum" => Aggregate::Sum,
        Avg = "avg" => Aggregate::Avg,
        Max = "max" => Aggregate::Max,
        Min = "min" => Aggregate::Min,
    }
    CustomOperatorName => &'static str {
        Eq = "eq" => "eq",
        Ne = "ne" => "ne",
        Contains = "contains" => "contains",
        NotContains = "not_contains" => "not_contains",
        StartsWith = "starts_with" => "starts_with",
        In = "in" => "in",
        NotIn = "not_in" => "not_in",
        Gt = "gt" => "gt",
        Lt = "lt" => "lt",
        Gte = "gte" => "gte",
        Lte = "lte" => "lte",
    }
    ReportPerName => ReportPer {
        Website = "website" => ReportPer::Website,
        Job = "job" => ReportPer::Job,
    }
    LangName => &'static str { En = "en" => "en", De = "de" => "de", Fr = "fr" => "fr" }
    OnErrorName => OnError { Fail = "fail" => OnError::Fail, Omit = "omit" => OnError::Omit }
    AttachFormatName => AttachFormat {
        Csv = "csv" => AttachFormat::Csv,
        Xlsx = "xlsx" => AttachFormat::Xlsx,
    }
}

/// Defines strings that carry a `format`: the schema walk has checked them before serde reads them.
macro_rules! formats {
    ($($name:ident = $format:literal)+) => { $(
        #[derive(Debug, Clone, Deserialize, serde::Serialize)]
        #[serde(transparent)]
        pub(super) struct $name(pub(super) String);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> { stringify!($name).into() }
            fn inline_schema() -> bool { true }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )+ };
}

formats! {
    CronText = "cron"
    Zone = "time-zone"
    PresetName = "preset"
    Span = "duration"
    SizeText = "size"
    Address = "mail-address"
    PathText = "path-template"
    DestinationText = "destination"
    Word = "name"
    PingUrl = "ping-url"
    WebsitePattern = "website-pattern"
}

/// An example that is written as JSON.
pub(super) struct Example(pub(super) &'static str);

impl serde::Serialize for Example {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(self.0).expect("a JSON constant");
        value.serialize(serializer)
    }
}
