//! A validated job: queries, schedule, outputs.

use std::{path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::{query::Query, schedule::Schedule, window::WindowSpec};
use crate::secret::Secret;

/// A validated definition of `jobs/NAME.yaml`.
#[derive(Debug, Clone)]
pub struct Job {
    /// The file's stem.
    pub name: String,
    /// One sentence for people; empty where the job has none.
    pub description: String,
    /// A disabled job has no ticks; it still runs by hand.
    pub enabled: bool,
    /// `None`: the job runs only by hand or by an outside cron.
    pub schedule: Option<Schedule>,
    /// Which websites it asks for.
    pub websites: WebsiteSelector,
    /// The zone of its days where `api.days` is `local`.
    pub timezone: Tz,
    /// The days it reports on.
    pub window: WindowSpec,
    /// How many units before the window its exports write again; default 0.
    pub lookback: u32,
    /// How long after its end a window's data counts as final; default 0.
    pub settle: Duration,
    /// At least one; names are unique.
    pub queries: Vec<Query>,
    /// Files it writes.
    pub exports: Vec<Export>,
    /// Mails it sends; names are unique.
    pub reports: Vec<ReportSpec>,
    /// Attempts of a run.
    pub retry: Retry,
    /// After this long a run is cancelled; default 1 h.
    pub timeout: Duration,
    /// A key of the job's own; `None`: the project's.
    pub api_key: Option<Secret>,
    /// SHA-256 (hex) of the definition before secrets are put in.
    pub definition_hash: String,
    /// The file it was read from.
    pub file: PathBuf,
}

/// Which websites a job asks for, by id or domain; globs allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsiteSelector {
    /// Patterns; `*` for all.
    pub include: Vec<String>,
    /// Patterns taken away again.
    pub exclude: Vec<String>,
}

/// Attempts of a run; requests retry by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// At least 1; default 3.
    pub attempts: u32,
    /// Before the second attempt; doubles each time; default 30 s.
    pub backoff: Duration,
    /// The longest wait; default 15 min.
    pub max_backoff: Duration,
}

/// Files that a job writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file format.
    pub format: Format,
    /// A local directory, absolute.
    pub to: PathBuf,
    /// As the job spells it, for messages.
    pub to_label: String,
    /// Names of queries, at least one.
    pub queries: Vec<String>,
    /// The path template below `to`, without extension; `None`: [`DEFAULT_PATH`], or
    /// [`DEFAULT_LINK_PATH`] for queries about links.
    pub path: Option<String>,
    /// One file a day or one a window.
    pub per: Per,
    /// Inside Parquet, or of the whole file.
    pub compression: Compression,
}

impl Export {
    /// The extension of its files, without a dot: `parquet`, `csv`, `jsonl.gz`.
    pub fn extension(&self) -> String {
        let packed = match (self.format, self.compression) {
            (Format::Parquet, _) | (_, Compression::None | Compression::Snappy) => "",
            (_, Compression::Gzip) => ".gz",
            (_, Compression::Zstd) => ".zst",
        };
        format!("{}{packed}", self.format.extension())
    }
}

/// The path template of an export that names none.
pub const DEFAULT_PATH: &str = "{{ query }}/website_id={{ website.id }}/day={{ date }}/data";

/// The same for queries about links.
pub const DEFAULT_LINK_PATH: &str = "{{ query }}/link_id={{ link.id }}/day={{ date }}/data";

/// File formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its name")]
pub enum Format {
    Parquet,
    Csv,
    Jsonl,
}

impl Format {
    /// The extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

/// What one file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Per {
    /// One day; the default.
    Day,
    /// The whole window.
    Window,
}

/// Compression inside Parquet (zstd, snappy), or of a whole file (gzip, zstd).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its name")]
pub enum Compression {
    Zstd,
    Snappy,
    Gzip,
    None,
}

/// A mail that a job sends, one a website.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSpec {
    /// Default: the template's name.
    pub name: String,
    /// A folder below `templates/`.
    pub template: String,
    /// Mail addresses, at least one; one message each.
    pub to: Vec<String>,
    /// What the window is compared with.
    pub compare: Compare,
}

/// What a report compares its window with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// The window of the same length before; the default.
    PreviousWindow,
    /// The same days of the year before.
    SameWindowLastYear,
    /// Nothing.
    None,
}
