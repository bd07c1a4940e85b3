//! A validated job: queries, schedule, outputs.

use std::{path::PathBuf, time::Duration};

use chrono_tz::Tz;

use super::{
    channel::Channel,
    destination::DestinationUrl,
    hook::Hooks,
    query::Query,
    recipients::Addressees,
    schedule::Schedule,
    target::Target,
    window::{Window, WindowSpec},
};
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
    /// Labels of runners that may take it, one is enough; empty: all may.
    pub runs_on: Vec<String>,
    /// Who is told of its runs.
    pub hooks: Hooks,
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

impl Retry {
    /// The pause after so many attempts.
    pub fn pause_after(&self, attempts: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
        self.backoff.saturating_mul(factor).min(self.max_backoff)
    }
}

/// Files that a job writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The file format.
    pub format: Format,
    /// A local directory, or a place in a bucket.
    pub to: DestinationUrl,
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
    /// 1 (fast) to 22 (small) for zstd, 1 to 9 for gzip; `None`: 3 and 6.
    pub level: Option<u32>,
    /// How CSV is written.
    pub csv: CsvStyle,
    /// What a column that the schema lock does not have does.
    pub drift: Drift,
    /// How nested values of known shape are written.
    pub nested: Nested,
    /// What happens to columns that name people.
    pub pii: Pii,
}

/// How CSV is written, beyond RFC 4180.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsvStyle {
    /// What stands for null; empty by default, as an empty text is.
    pub null_text: String,
    /// Whether texts that a spreadsheet would run as formulas start with an apostrophe.
    pub guard_formulas: bool,
}

/// What a column that the schema lock does not have does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Drift {
    /// It is added; earlier files read as null there. The default.
    Evolve,
    /// Its step fails.
    Freeze,
}

/// How nested values of known shape (the events of sessions) are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nested {
    /// As JSON text; the default.
    Json,
    /// As lists and structs.
    Struct,
}

/// What happens to columns that name people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pii {
    /// The query is not exported; the default.
    Refuse,
    /// Their values are replaced by a hash.
    Hash,
    /// They are written as they are.
    Allow,
}

impl Export {
    /// The path template of its files about a website or a link.
    pub fn path_template(&self, target: &Target) -> &str {
        let default = match target {
            Target::Website(_) => DEFAULT_PATH,
            Target::Link(_) => DEFAULT_LINK_PATH,
        };
        self.path.as_deref().unwrap_or(default)
    }

    /// The extension of its files, without a dot: `parquet`, `csv`, `jsonl.gz`.
    pub fn extension(&self) -> String {
        let packed = match (self.format, self.compression) {
            (Format::Parquet | Format::Delta, _) | (_, Compression::None | Compression::Snappy) => {
                ""
            }
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
#[allow(missing_docs, reason = "each is its name")]
pub enum Format {
    Parquet,
    Csv,
    Jsonl,
    /// Parquet files of a Delta Lake table.
    Delta,
}

impl Format {
    /// Its name in YAML and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Delta => "delta",
        }
    }

    /// The extension, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet | Self::Delta => "parquet",
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

/// A mail that a job sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSpec {
    /// Default: the template's name.
    pub name: String,
    /// A folder below `templates/`.
    pub template: String,
    /// One mail a website, or one about all of them.
    pub per: ReportPer,
    /// Mail addresses and labels of `channels`; one message each, unless `together`.
    pub to: Addressees,
    /// The channels that `to` names, each once.
    pub channels: Vec<Channel>,
    /// Whether one message goes to all of `to`, `cc` and `bcc`.
    pub together: bool,
    /// With `together`: copies that everybody sees.
    pub cc: Vec<String>,
    /// With `together`: copies that nobody else sees.
    pub bcc: Vec<String>,
    /// What the window is compared with.
    pub compare: Compare,
    /// Files that go with the mail.
    pub attach: Vec<Attach>,
    /// The most bytes of all of them together; default 5 MB.
    pub attach_limit: u64,
    /// A Tera expression: the mail is sent only where it holds.
    pub when: Option<String>,
    /// What a failed section does.
    pub on_error: OnError,
    /// The language of words and numbers; default `en`.
    pub lang: String,
}

/// What one mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportPer {
    /// One website; the default.
    Website,
    /// All websites of the job.
    Job,
}

/// What a failed section of a report does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// The mail is not sent; the default.
    Fail,
    /// The mail goes out without the section, and says so.
    Omit,
}

/// A file that goes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The name of the query whose rows it holds.
    pub query: String,
    /// How they are written.
    pub format: AttachFormat,
}

/// Formats of attachments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its name")]
pub enum AttachFormat {
    Csv,
    Xlsx,
}

impl AttachFormat {
    /// Its name in YAML, and the extension of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Xlsx => "xlsx",
        }
    }
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

impl Compare {
    /// The window that `window` is compared with.
    pub fn window(self, window: Window) -> Option<Window> {
        match self {
            Self::PreviousWindow => Some(window.previous()),
            Self::SameWindowLastYear => Some(window.same_last_year()),
            Self::None => None,
        }
    }

    /// Its name in YAML and in templates.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreviousWindow => "previous_window",
            Self::SameWindowLastYear => "same_window_last_year",
            Self::None => "none",
        }
    }
}
