//! Manifests: the list that makes a set of files complete.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use super::ExportError;
use crate::domain::query::ColumnType;

/// The version that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The files of one unit (a day, or a window) of one job. Holds no time and no run, so that the
/// same answers give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub manifest_version: u32,
    /// The job's name.
    pub job: String,
    /// The days.
    pub window: ManifestWindow,
    /// Whether the days were over at the tick.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The API's URL, or `sandbox`.
    pub source: String,
    /// SHA-256 of the job's definition.
    pub definition_hash: String,
    /// The program that wrote it.
    pub program_version: String,
    /// By path.
    pub files: Vec<ManifestFile>,
    /// What the last run could not write.
    pub missing: Vec<Missing>,
}

/// Days, both inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestWindow {
    /// The first.
    pub start: String,
    /// The last.
    pub end: String,
    /// The zone whose days they are.
    pub timezone: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Below the destination.
    pub path: String,
    /// The query's name.
    pub query: String,
    /// The server's name of its type.
    pub parameter: String,
    /// The website.
    pub website_id: Option<String>,
    /// The link.
    pub link_id: Option<String>,
    /// `parquet` or `csv`.
    pub format: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
    /// SHA-256 of the definition that it was written by; `None` in manifests of older programs.
    #[serde(default)]
    pub definition_hash: Option<String>,
    /// A hash of what its rows say, whatever their order; `None` in manifests of older programs.
    #[serde(default)]
    pub content: Option<String>,
    /// In order.
    pub columns: Vec<ManifestColumn>,
    /// `proven`, or `unproven` where a second page was needed.
    pub complete: String,
    /// What its rows come to, by column: of one row every number, of several the sums of those that
    /// add up; uniques never do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub totals: BTreeMap<String, f64>,
    /// What later answers changed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
}

/// A later answer that said something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// From 1.
    pub number: u32,
    /// The tick of the run that wrote it.
    pub tick: String,
    /// Of the file before.
    pub sha256_before: String,
    /// The numbers that differ; empty where other values changed.
    pub changed: Vec<Change>,
}

impl Revision {
    /// How many a manifest keeps of one file.
    pub const KEPT: usize = 20;
}

/// A number before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The column, or `rows`.
    pub column: String,
    /// `None`: there was none.
    pub before: Option<f64>,
    /// `None`: there is none.
    pub after: Option<f64>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// Its name.
    pub name: String,
    /// `int64`, `float64`, `string`, `boolean`, `date`, `timestamp` or `session_events`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A file that a run could not write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The query's name.
    pub query: String,
    /// The website.
    pub website_id: Option<String>,
    /// The link.
    #[serde(default)]
    pub link_id: Option<String>,
    /// Why.
    pub error: String,
}

impl ManifestColumn {
    /// The column of an Arrow field.
    pub fn of(field: &Field) -> Self {
        let kind = match field.data_type() {
            DataType::Int64 => "int64",
            DataType::Float64 => "float64",
            DataType::Boolean => "boolean",
            DataType::Date32 => "date",
            DataType::Timestamp(..) => "timestamp",
            DataType::List(_) => "session_events",
            _ => "string",
        };
        Self {
            name: field.name().clone(),
            kind: kind.to_owned(),
        }
    }

    /// What a column of that type is called here: JSON is text in a file.
    pub fn kind_of(kind: ColumnType) -> &'static str {
        match kind {
            ColumnType::Json => ColumnType::String.name(),
            kind => kind.name(),
        }
    }
}

impl ManifestFile {
    /// Whether both hold the rows of one query of one website or link, under whatever name.
    pub fn is_of_the_data_of(&self, other: &Self) -> bool {
        self.query == other.query
            && self.website_id == other.website_id
            && self.link_id == other.link_id
    }

    /// Whether its path leads to a file of a lake, and not out of it or to what keeps it together.
    pub fn is_below_its_destination(&self) -> bool {
        let mut segments = self.path.split('/');
        let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
        segments.all(is_plain)
            && !self.path.contains('\\')
            && !self.path.starts_with("_manifests/")
            && !self.path.starts_with("_schemas/")
    }

    /// Whether it stands where the other stood: at its path, or in its partition of a Delta table,
    /// where every write has a new path.
    fn replaces(&self, other: &Self) -> bool {
        let identity = |file: &Self| {
            let delta = file.format == "delta";
            delta.then(|| {
                (
                    file.query.clone(),
                    file.website_id.clone(),
                    file.link_id.clone(),
                )
            })
        };
        self.path == other.path || (identity(self).is_some() && identity(self) == identity(other))
    }
}

impl Manifest {
    /// A manifest without files yet.
    pub fn new(
        job: &str,
        window: ManifestWindow,
        is_final: bool,
        source: &str,
        definition_hash: &str,
    ) -> Self {
        Self {
            manifest_version: VERSION,
            job: job.to_owned(),
            window,
            is_final,
            source: source.to_owned(),
            definition_hash: definition_hash.to_owned(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            files: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// What a run of some websites adds to what is there: new entries replace those of their path,
    /// a file that could not be written keeps its old entry, all others stay.
    ///
    /// # Errors
    /// What is there comes from another source.
    pub fn merge(old: Option<Self>, mut new: Self) -> Result<Self, ExportError> {
        if let Some(old) = old {
            if old.source != new.source {
                return Err(ExportError::OtherSource {
                    old: old.source,
                    new: new.source,
                });
            }
            let kept = old
                .files
                .into_iter()
                .filter(|f| new.files.iter().all(|n| !n.replaces(f)));
            let kept: Vec<_> = kept.collect();
            let answered = |m: &Missing| {
                let is = |query: &str, website: &Option<String>, link: &Option<String>| {
                    m.query == query && m.website_id == *website && m.link_id == *link
                };
                let mut files = new.files.iter();
                files.any(|f| is(&f.query, &f.website_id, &f.link_id))
                    || new
                        .missing
                        .iter()
                        .any(|n| is(&n.query, &n.website_id, &n.link_id))
            };
            let still: Vec<_> = old.missing.into_iter().filter(|m| !answered(m)).collect();
            new.files.extend(kept);
            new.missing.extend(still);
        }
        new.files.sort_by(|a, b| a.path.cmp(&b.path));
        new.missing.sort_by(|a, b| {
            (&a.query, &a.website_id, &a.link_id).cmp(&(&b.query, &b.website_id, &b.link_id))
        });
        Ok(new)
    }

    pub(super) fn parse(text: &[u8], path: &str) -> Result<Self, ExportError> {
        #[derive(Deserialize)]
        struct Version {
            manifest_version: u32,
        }
        let wrong = |source| ExportError::Manifest {
            path: path.to_owned(),
            source,
        };
        let version: Version = serde_json::from_slice(text).map_err(wrong)?;
        if version.manifest_version > VERSION {
            return Err(ExportError::Newer {
                what: "manifest",
                found: version.manifest_version,
                known: VERSION,
            });
        }
        serde_json::from_slice(text).map_err(wrong)
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a manifest has string keys only");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(source: &str, files: &[(&str, &str)]) -> Manifest {
        let day = "2026-11-22".to_owned();
        let window = ManifestWindow {
            start: day.clone(),
            end: day,
            timezone: "UTC".to_owned(),
        };
        let mut manifest = Manifest::new("nightly", window, true, source, "h");
        manifest.files = files
            .iter()
            .map(|(path, sha256)| ManifestFile {
                path: (*path).to_owned(),
                query: "pages".to_owned(),
                parameter: "top_pages".to_owned(),
                website_id: Some((*path).to_owned()),
                link_id: None,
                format: "csv".to_owned(),
                rows: 1,
                bytes: 1,
                sha256: (*sha256).to_owned(),
                definition_hash: None,
                content: None,
                columns: Vec::new(),
                complete: "proven".to_owned(),
                totals: BTreeMap::new(),
                revisions: Vec::new(),
            })
            .collect();
        manifest
    }

    #[test]
    fn a_run_of_some_websites_merges_into_what_is_there() {
        let old = manifest("s", &[("a", "1"), ("b", "1")]);
        let merged = Manifest::merge(Some(old), manifest("s", &[("b", "2")])).unwrap();
        let files: Vec<_> = merged
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.sha256.as_str()))
            .collect();
        assert_eq!(files, [("a", "1"), ("b", "2")]);
    }

    #[test]
    fn another_source_is_refused() {
        let error = Manifest::merge(Some(manifest("sandbox", &[])), manifest("https://x", &[]));
        assert!(error.unwrap_err().to_string().contains("`sandbox`"));
    }

    #[test]
    fn a_newer_manifest_is_declined() {
        let text = manifest("s", &[]).to_text().replacen(": 1,", ": 9,", 1);
        let error = Manifest::parse(text.as_bytes(), "m.json").unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
