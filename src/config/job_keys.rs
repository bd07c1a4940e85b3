//! The keys of a job file. Their comments are the descriptions of the JSON Schema and of
//! `docs/jobs.md`; `default` says what happens without the key.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    export_keys::ExportKeys,
    key_words::{
        Address, CatchUpName, CronText, Example, FoldName, GapName, OverlapName, PingUrl,
        PresetName, Span, Word, Zone,
    },
    query_keys::{QueryKeys, WebsitesKeys},
    report_keys::ReportKeys,
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
