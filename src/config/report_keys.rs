//! The keys of a report; see [`super::job_keys`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::key_words::{
    Address, AttachFormatName, CompareName, LangName, OnErrorName, PingUrl, ReportPerName,
    SizeText, Word,
};

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
