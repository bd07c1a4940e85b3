//! The keys of a job file. Their comments are the descriptions of the JSON Schema and of
//! `docs/jobs.md`; `default` says what happens without the key.

use std::{borrow::Cow, collections::BTreeMap};

use chrono::NaiveDate;
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

/// A job: which queries it asks for, when, and where their rows go.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A job of databuddy-jobs")]
pub(super) struct JobKeys {
    /// One sentence for people.
    #[serde(default)]
    #[schemars(example = &"Yesterday's numbers of every site, to the lake.")]
    pub(super) description: String,
    /// Whether the job has ticks; one that has none still runs by hand.
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    /// When the job is due; without it the job runs only by hand or by an outside cron.
    pub(super) schedule: Option<ScheduleKeys>,
    /// `all`, a list of ids or domains (globs allowed), or a mapping of `include` and `exclude`.
    #[serde(default)]
    #[schemars(example = &["web_123", "*.example.com"])]
    pub(super) websites: WebsitesKeys,
    /// The zone of the days, where `api.days` is `local`.
    #[schemars(extend("x-default" = "`schedule.timezone`"), example = &"Europe/Berlin")]
    pub(super) timezone: Option<Zone>,
    /// The days that the job reports on, resolved at the tick; or `window`.
    #[schemars(example = &"yesterday")]
    pub(super) preset: Option<PresetName>,
    /// Fixed days, both inclusive; or `preset`.
    #[schemars(example = Example(r#"{"start":"2026-01-01","end":"2026-01-31"}"#))]
    pub(super) window: Option<DaysKeys>,
    /// Exports: how many units (days, or windows with `per: window`) before this one are written again, for data that comes late.
    #[serde(default)]
    #[schemars(range(max = 366))]
    pub(super) lookback: u32,
    /// How long after its end a window's data counts as final in the manifest.
    #[serde(default = "no_time")]
    pub(super) settle: Span,
    /// The data sets: the name of a query type, or a mapping. One query is one table.
    #[schemars(length(min = 1), example = &["summary", "pages"])]
    pub(super) queries: Vec<QueryKeys>,
    /// Files that the job writes.
    #[serde(default)]
    pub(super) exports: Vec<ExportKeys>,
    /// Mails that the job sends.
    #[serde(default)]
    pub(super) reports: Vec<ReportKeys>,
    /// Attempts of the run; requests retry by themselves.
    #[serde(default)]
    pub(super) retry: RetryKeys,
    /// After so long the run is cancelled, with nothing half-published.
    #[serde(default = "hour")]
    pub(super) timeout: Span,
    /// Labels of runners that may take it, of `runner.labels`; one of them is enough. Of `serve` alone: `run` runs it anywhere.
    #[serde(default)]
    #[schemars(example = &["inside"])]
    pub(super) runs_on: Vec<Word>,
    /// An address that is asked for after every success: for a dead-man switch, which raises the alarm when nothing comes.
    #[schemars(example = &"https://hc.example/abc")]
    pub(super) ping: Option<PingUrl>,
    /// Told when the job begins to fail, once a day while it does, and of missed ticks that do not run.
    #[serde(default)]
    pub(super) on_failure: Vec<HookKeys>,
    /// Told when it works again.
    #[serde(default)]
    pub(super) on_recovery: Vec<HookKeys>,
    /// Told of every success.
    #[serde(default)]
    pub(super) on_success: Vec<HookKeys>,
    /// A key of the job's own.
    #[serde(default)]
    pub(super) api: JobApiKeys,
}

/// Who is told.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HookKeys {
    /// Addresses, one message each.
    #[schemars(length(min = 1), example = &["ops@example.com"])]
    pub(super) email: Option<Vec<Address>>,
    /// A Databuddy event, through the tracking API.
    pub(super) event: Option<EventKeys>,
    /// An address that takes JSON.
    #[schemars(example = &"https://hooks.example/abc")]
    pub(super) webhook: Option<PingUrl>,
    /// What messages to `webhook` are signed with (HMAC-SHA256).
    #[schemars(example = &"a-shared-secret")]
    pub(super) secret: Option<String>,
    /// An incoming webhook as Slack has them.
    #[schemars(example = &"https://hooks.slack.example/services/T/B/x")]
    pub(super) slack: Option<PingUrl>,
}

/// A Databuddy event.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventKeys {
    /// The website's id.
    #[schemars(example = &"web_123")]
    pub(super) website: String,
    /// The event's name.
    #[schemars(length(min = 1, max = 128), example = &"export_completed")]
    pub(super) name: String,
}

/// When a job is due.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleKeys {
    /// 5 fields, or 6 with seconds first; names (`MON`) and macros (`@daily`) too.
    #[schemars(example = &"0 2 * * *")]
    pub(super) cron: CronText,
    /// The zone in which `cron` is read, an IANA name.
    #[schemars(extend("x-default" = "UTC"), example = &"Europe/Berlin")]
    pub(super) timezone: Option<Zone>,
    /// Ticks missed while nothing ran (no program, a sleeping machine, a disabled or paused job): `none` runs, the `latest`, or `all`.
    #[serde(default = "latest")]
    pub(super) catch_up: CatchUpName,
    /// With `catch_up: all`: the newest so many.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 10000))]
    pub(super) catch_up_limit: u32,
    /// A tick due while the job still runs: `skip` records it as skipped, `queue` lets it wait.
    #[serde(default = "skip")]
    pub(super) overlap: OverlapName,
    /// Times of day that the clocks leave out or show twice; a schedule of every hour follows the clocks as they go.
    #[serde(default)]
    pub(super) dst: DstKeys,
    /// Spreads the start of many jobs over so long; the tick itself stays.
    #[serde(default = "no_time")]
    pub(super) jitter: Span,
}

/// What becomes of times of day where the clocks jump.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DstKeys {
    /// A time that the clocks leave out: `shift` to the first instant after the gap, or `skip`.
    #[serde(default = "shift")]
    pub(super) gap: GapName,
    /// A time that the clocks show twice: the `first`, or `both`.
    #[serde(default = "first")]
    pub(super) fold: FoldName,
}

impl Default for DstKeys {
    fn default() -> Self {
        Self {
            gap: shift(),
            fold: first(),
        }
    }
}

/// Fixed days.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DaysKeys {
    /// The first day.
    #[schemars(example = &"2026-01-01")]
    pub(super) start: NaiveDate,
    /// The last day.
    #[schemars(example = &"2026-01-31")]
    pub(super) end: NaiveDate,
}

/// The key of a job of its own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JobApiKeys {
    /// An API key in place of the project's.
    #[schemars(example = &"${OTHER_KEY}", extend("x-default" = "the project's `api.key`"))]
    pub(super) key: Option<String>,
}

/// Attempts of a run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryKeys {
    /// How often the run is tried in all; a further attempt fetches the failed steps only.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub(super) attempts: u32,
    /// The pause before the second attempt; it doubles each time.
    #[serde(default = "half_minute")]
    pub(super) backoff: Span,
    /// The longest pause.
    #[serde(default = "quarter_hour")]
    pub(super) max_backoff: Span,
}

impl Default for RetryKeys {
    fn default() -> Self {
        Self {
            attempts: three(),
            backoff: half_minute(),
            max_backoff: quarter_hour(),
        }
    }
}

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

/// A mail that a job sends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportKeys {
    /// Its name in history and ledger.
    #[schemars(extend("x-default" = "the template's name"), example = &"weekly")]
    pub(super) name: Option<Word>,
    /// A folder below `templates/`; `weekly` is built in.
    #[schemars(example = &"weekly")]
    pub(super) template: Word,
    /// `website`: one mail a website. `job`: one mail about all of them.
    #[serde(default = "website")]
    pub(super) per: ReportPerName,
    /// Recipients, one message each: mail addresses, and channels (`slack`, `webhook`); or a mapping of websites (ids or domains, globs allowed) to recipients, with `default` for the others.
    #[schemars(example = &["team@example.com"])]
    pub(super) to: ToKeys,
    /// `true`: one message to all of `to`, `cc` and `bcc`.
    #[serde(default)]
    pub(super) together: bool,
    /// With `together`: copies that everybody sees.
    #[serde(default)]
    #[schemars(example = &["boss@example.com"])]
    pub(super) cc: Vec<Address>,
    /// With `together`: copies that nobody else sees.
    #[serde(default)]
    #[schemars(example = &["archive@example.com"])]
    pub(super) bcc: Vec<Address>,
    /// What the window is compared with.
    #[serde(default = "previous_window")]
    pub(super) compare: CompareName,
    /// Rows of queries as files that go with the mail.
    #[serde(default)]
    pub(super) attach: Vec<AttachKeys>,
    /// The most that all files of a mail may have together; of a file beyond it the mail names the exported one instead.
    #[serde(default = "five_megabytes")]
    pub(super) attach_limit: SizeText,
    /// A Tera expression over what the template sees; the mail is sent only where it holds.
    #[schemars(extend("x-default" = "always"), example = &"q.summary.current.visitors > 0")]
    pub(super) when: Option<String>,
    /// The language of words, numbers and dates.
    #[serde(default = "english")]
    pub(super) lang: LangName,
    /// A section whose query failed: `fail` sends no mail, `omit` sends it without the section and says so.
    #[serde(default = "fail")]
    pub(super) on_error: OnErrorName,
}

/// Recipients.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ToKeys {
    /// The same for every website.
    All(#[schemars(length(min = 1))] Vec<RecipientKeys>),
    /// By website.
    ByWebsite(BTreeMap<String, Vec<RecipientKeys>>),
}

/// A recipient.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RecipientKeys {
    /// A mail address.
    Mail(Address),
    /// An address that takes messages over HTTP.
    Channel(ChannelKeys),
}

/// An address that takes messages over HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelKeys {
    /// An incoming webhook as Slack has them: the report as blocks.
    #[schemars(example = &"https://hooks.slack.example/services/T/B/x")]
    pub(super) slack: Option<PingUrl>,
    /// An address that takes JSON: the report with all that templates see.
    #[schemars(example = &"https://hooks.example/abc")]
    pub(super) webhook: Option<PingUrl>,
    /// What messages to `webhook` are signed with (HMAC-SHA256).
    #[schemars(example = &"a-shared-secret")]
    pub(super) secret: Option<String>,
}

/// A file that goes with a mail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AttachKeys {
    /// The name of a query.
    #[schemars(example = &"pages")]
    pub(super) query: Word,
    /// How its rows are written.
    #[serde(default = "csv")]
    pub(super) format: AttachFormatName,
}

/// A filter; all filters of a query must hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterKeys {
    /// The column, as the API spells it.
    #[schemars(example = &"path")]
    pub(super) field: String,
    /// The comparison.
    #[serde(alias = "operator")]
    #[schemars(example = &"starts_with", extend("x-alias" = "operator"))]
    pub(super) op: OperatorName,
    /// Text or a number; a list for `in` and `not_in`.
    #[schemars(with = "FilterValue", example = &"/blog")]
    pub(super) value: serde_json::Value,
}

/// The schema of a filter's value.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "read by schemars alone")]
enum FilterValue {
    Text(String),
    Number(f64),
    List(Vec<FilterScalar>),
}

/// The schema of one value of a filter's list.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "read by schemars alone")]
enum FilterScalar {
    Text(String),
    Number(f64),
}

/// Which websites a job asks for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum WebsitesKeys {
    /// Every website that the key may read.
    All(AllWord),
    /// Ids or domains.
    List(Vec<WebsitePattern>),
    /// Ids or domains, without others.
    Lists(WebsiteLists),
}

impl Default for WebsitesKeys {
    fn default() -> Self {
        Self::All(AllWord::All)
    }
}

impl serde::Serialize for WebsitesKeys {
    /// For the schema's `default` alone.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("all")
    }
}

/// Ids or domains, without others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebsiteLists {
    /// Patterns of ids or domains.
    #[schemars(extend("x-default" = "all"), example = &["*.example.com"])]
    pub(super) include: Option<Vec<WebsitePattern>>,
    /// Patterns taken away again.
    #[serde(default)]
    #[schemars(example = &["staging.example.com"])]
    pub(super) exclude: Vec<WebsitePattern>,
}

/// The word `all`.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AllWord {
    All,
}

/// How many rows.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LimitKeys {
    /// Every page.
    All(AllWord),
    /// The first so many.
    Rows(#[schemars(range(min = 1))] u32),
}

/// A query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum QueryKeys {
    /// The name of a query type.
    Short(Word),
    /// With filters, granularity, limit or a window of its own.
    Long(Box<LongQuery>),
}

/// One query in full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongQuery {
    /// Its name in paths and templates.
    #[schemars(extend("x-default" = "the parameter"), example = &"blog")]
    pub(super) name: Option<Word>,
    /// The query type; the names of the January 2026 API always work. Or `custom`.
    #[schemars(extend("x-default" = "this or `custom` is required"), example = &"pages")]
    pub(super) parameter: Option<Word>,
    /// Aggregates over a table of the API; or `parameter`.
    pub(super) custom: Option<CustomKeys>,
    /// A short link, or a list of them, for types of links (`link_…`); asked once a window.
    #[schemars(example = &"link_123")]
    pub(super) link: Option<LinkKeys>,
    /// All must hold.
    #[serde(default)]
    pub(super) filters: Vec<FilterKeys>,
    /// Rows an hour (at most 30 days) or a day.
    #[schemars(extend("x-default" = "one set for the window"), example = &"daily")]
    pub(super) granularity: Option<GranularityName>,
    /// `all`: every page; or the first so many rows.
    #[schemars(extend("x-default" = "`all`"), example = 100)]
    pub(super) limit: Option<LimitKeys>,
    /// Days of its own; or `window`.
    #[schemars(extend("x-default" = "the job's"), example = &"last_7d")]
    pub(super) preset: Option<PresetName>,
    /// Fixed days of its own; or `preset`.
    #[schemars(example = Example(r#"{"start":"2026-01-01","end":"2026-01-31"}"#))]
    pub(super) window: Option<DaysKeys>,
    /// Pins the types of columns.
    #[serde(default)]
    #[schemars(example = Example(r#"{"pageviews":"int64"}"#))]
    pub(super) columns: BTreeMap<String, ColumnTypeName>,
}

impl LongQuery {
    /// The short form in full.
    pub(super) fn of(parameter: Word) -> Self {
        Self {
            name: None,
            parameter: Some(parameter),
            custom: None,
            link: None,
            filters: Vec::new(),
            granularity: None,
            limit: None,
            preset: None,
            window: None,
            columns: BTreeMap::new(),
        }
    }
}

/// A short link, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LinkKeys {
    /// Its id.
    One(String),
    /// Their ids.
    List(#[schemars(length(min = 1))] Vec<String>),
}

/// A custom query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomKeys {
    /// `events`, `sessions`, `profiles`, `errors` or `performance`; or a table that the server names otherwise.
    #[schemars(example = &"events")]
    pub(super) table: String,
    /// The columns of the answer.
    #[schemars(length(min = 1, max = 10), example = Example(r#"[{"field":"*","aggregate":"count","alias":"views"}]"#))]
    pub(super) selects: Vec<SelectKeys>,
    /// All must hold.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub(super) filters: Vec<CustomFilterKeys>,
    /// One row for each combination of their values.
    #[serde(default, alias = "groupBy")]
    #[schemars(length(max = 5), extend("x-alias" = "groupBy"), example = &["path"])]
    pub(super) group_by: Vec<String>,
}

/// A column of a custom query's answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SelectKeys {
    /// A column of the table, or `*` with `count`.
    #[schemars(example = &"*")]
    pub(super) field: String,
    /// How its values become one.
    #[schemars(example = &"count")]
    pub(super) aggregate: AggregateName,
    /// Its name in the answer; it should not contain the name of a column of `group_by`.
    #[schemars(extend("x-default" = "`AGGREGATE_FIELD`"), example = &"views")]
    pub(super) alias: Option<String>,
}

/// A filter of a custom query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomFilterKeys {
    /// A column of the table.
    #[schemars(example = &"country")]
    pub(super) field: String,
    /// The comparison.
    #[serde(alias = "operator")]
    #[schemars(example = &"gte", extend("x-alias" = "operator"))]
    pub(super) op: CustomOperatorName,
    /// Text or a number; a list for `in` and `not_in`.
    #[schemars(with = "FilterValue", example = 1000)]
    pub(super) value: serde_json::Value,
}

/// An example that is written as JSON.
struct Example(&'static str);

impl serde::Serialize for Example {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value = serde_json::from_str(self.0).expect("a JSON constant");
        value.serialize(serializer)
    }
}

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

fn yes() -> bool {
    true
}

fn span(text: &str) -> Span {
    Span(text.to_owned())
}

fn hour() -> Span {
    span("1h")
}

fn no_time() -> Span {
    span("0s")
}

fn latest() -> CatchUpName {
    CatchUpName::Latest
}

fn hundred() -> u32 {
    100
}

fn skip() -> OverlapName {
    OverlapName::Skip
}

fn shift() -> GapName {
    GapName::Shift
}

fn first() -> FoldName {
    FoldName::First
}

fn three() -> u32 {
    3
}

fn half_minute() -> Span {
    span("30s")
}

fn quarter_hour() -> Span {
    span("15m")
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

fn website() -> ReportPerName {
    ReportPerName::Website
}

fn english() -> LangName {
    LangName::En
}

fn fail() -> OnErrorName {
    OnErrorName::Fail
}

fn csv() -> AttachFormatName {
    AttachFormatName::Csv
}

fn five_megabytes() -> SizeText {
    SizeText("5MB".to_owned())
}

fn previous_window() -> CompareName {
    CompareName::PreviousWindow
}
