//! The keys of an export; see [`super::job_keys`].

use schemars::JsonSchema;
use serde::Deserialize;

use super::key_words::{
    CompressionName, DestinationText, DriftName, FormatName, FormulasName, NestedName, PathText,
    PerName, PiiName,
};

/// Files that a job writes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportKeys {
    /// The file format.
    #[schemars(example = &"parquet")]
    pub(super) format: FormatName,
    /// A directory, relative to the project; or `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    #[schemars(example = &"./out/lake")]
    pub(super) to: DestinationText,
    /// Names of queries.
    #[schemars(extend("x-default" = "all"), example = &["summary"])]
    pub(super) queries: Option<Vec<String>>,
    /// The path below `to`; the extension is added. It may name `query`, `website.id`, `website.domain`, `link.id`, `date`, `start`, `end` and `job` in double braces.
    #[schemars(extend("x-default" = "`{{ query }}/website_id={{ website.id }}/day={{ date }}/data`, of links `{{ query }}/link_id={{ link.id }}/day={{ date }}/data`"), example = &"{{ query }}/{{ website.id }}/{{ start }}_{{ end }}")]
    pub(super) path: Option<PathText>,
    /// `day`: one file a day. `window`: one file.
    #[serde(default = "day")]
    pub(super) per: PerName,
    /// Inside Parquet `zstd`, `snappy` or `none`; of CSV and JSON lines `gzip`, `zstd` or `none`.
    #[schemars(extend("x-default" = "`zstd` for Parquet, else `none`"), example = &"zstd")]
    pub(super) compression: Option<CompressionName>,
    /// How hard it packs: of zstd 1 (fast) to 22 (small), of gzip 1 to 9.
    #[schemars(range(min = 1, max = 22), extend("x-default" = "`3` for zstd, `6` for gzip"), example = 9)]
    pub(super) compression_level: Option<u32>,
    /// What CSV does beyond RFC 4180.
    #[serde(default)]
    pub(super) csv: CsvKeys,
    /// What a column does that the schema lock does not have: `evolve` adds it, `freeze` fails the step.
    #[serde(default = "evolve")]
    pub(super) drift: DriftName,
    /// Nested values of known shape (`events` of sessions): `json` text, or `struct` for lists and structs in Parquet and JSON lines. Others are always JSON text.
    #[serde(default = "json_text")]
    pub(super) nested: NestedName,
    /// Columns that name people (`email`, `ip`, `user_agent` and alike): `refuse` the query, `hash` them with SHA-256, or `allow` them.
    #[serde(default = "refuse")]
    pub(super) pii: PiiName,
}

impl Default for CsvKeys {
    fn default() -> Self {
        Self {
            null_text: String::new(),
            formulas: keep(),
        }
    }
}

/// What CSV does beyond RFC 4180.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CsvKeys {
    /// What stands for null, so that it is told from an empty text.
    #[serde(default)]
    #[schemars(extend("x-default" = "nothing"), example = &"\\N")]
    pub(super) null_text: String,
    /// `guard` puts an apostrophe before texts that a spreadsheet would run as a formula.
    #[serde(default = "keep")]
    pub(super) formulas: FormulasName,
}

fn keep() -> FormulasName {
    FormulasName::Keep
}

fn evolve() -> DriftName {
    DriftName::Evolve
}

fn json_text() -> NestedName {
    NestedName::Json
}

fn refuse() -> PiiName {
    PiiName::Refuse
}

fn day() -> PerName {
    PerName::Day
}
