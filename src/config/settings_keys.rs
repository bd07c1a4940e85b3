//! The keys of `databuddy-jobs.yaml`. Their comments are the descriptions of `docs/settings.md`.

use std::{borrow::Cow, collections::BTreeMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::key_words::{Address, Span, Word};

/// The settings of a project.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Settings of databuddy-jobs")]
pub(super) struct SettingsKeys {
    /// The API.
    pub(super) api: ApiKeys,
    /// The run store.
    pub(super) store: StoreKeys,
    /// How buckets are reached, by the name that `to` gives them: `s3://NAME/prefix`. A bucket without an entry is reached as its cloud usually is.
    pub(super) stores: BTreeMap<String, BucketKeys>,
    /// Where mails go.
    pub(super) mail: MailKeys,
    /// What `serve` runs at once, and which jobs.
    pub(super) runner: RunnerKeys,
    /// Where `serve` answers.
    pub(super) web: WebKeys,
    /// Keys of a job that every job takes unless it has its own.
    pub(super) defaults: serde_json::Value,
}

/// The API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApiKeys {
    /// The API's address.
    #[schemars(extend("x-default" = "`https://api.databuddy.cc`", "x-env" = "DATABUDDY_API_URL"))]
    pub(super) url: Option<HttpUrl>,
    /// The address of the tracking API.
    #[schemars(extend("x-default" = "`https://basket.databuddy.cc`", "x-env" = "DATABUDDY_BASKET_URL"))]
    pub(super) basket_url: Option<HttpUrl>,
    /// The API key; required unless `--sandbox`.
    #[schemars(extend("x-default" = "none", "x-env" = "DATABUDDY_API_KEY"))]
    pub(super) key: Option<String>,
    /// How the key is sent: as the header `x-api-key`, or as `Authorization: Bearer`.
    #[schemars(extend("x-default" = "`x-api-key`"))]
    pub(super) auth: Option<AuthName>,
    /// `utc`: the server counts whole UTC days, as all servers do. `local`: it takes instants with an offset.
    #[schemars(extend("x-default" = "`utc`"))]
    pub(super) days: Option<DaysName>,
    /// Query requests a minute; learned downwards from the server's answers.
    #[schemars(extend("x-default" = "`120`"), range(min = 1, max = 10000))]
    pub(super) requests_per_minute: Option<u32>,
    /// Custom queries a minute; learned downwards too.
    #[schemars(extend("x-default" = "`30`"), range(min = 1, max = 10000))]
    pub(super) custom_requests_per_minute: Option<u32>,
    /// Requests at once.
    #[schemars(extend("x-default" = "`8`"), range(min = 1, max = 20))]
    pub(super) max_in_flight: Option<u32>,
    /// Whether answers may come packed; a server on the same machine costs less time without.
    #[schemars(extend("x-default" = "`true`"))]
    pub(super) gzip: Option<bool>,
}

/// The run store.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreKeys {
    /// A `SQLite` file, `sqlite://PATH`, relative to the project; or `postgres://user:password@host/database`, where several runners share the work.
    #[schemars(extend("x-default" = "`sqlite://.databuddy-jobs/state.db`", "x-env" = "DATABUDDY_JOBS_STORE"))]
    pub(super) url: Option<StoreUrl>,
    /// How long runs are kept in the history, except the newest of each job; `serve` and `vacuum` remove older ones. What was sent to whom is kept for good.
    #[schemars(extend("x-default" = "`400d`"))]
    pub(super) keep_runs: Option<Span>,
}

/// How a bucket is reached.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BucketKeys {
    /// What the bucket or container is really called.
    #[schemars(extend("x-default" = "NAME"))]
    pub(super) bucket: Option<String>,
    /// The server's address, where it is not the cloud's own; `http://` sends without encryption.
    #[schemars(extend("x-default" = "the cloud's"))]
    pub(super) endpoint: Option<HttpUrl>,
    /// S3: the region.
    #[schemars(extend("x-default" = "`AWS_REGION`, else `us-east-1`"))]
    pub(super) region: Option<String>,
    /// S3: `true`: the bucket stands in the path of the address; `false`: before its host.
    #[schemars(extend("x-default" = "`true`"))]
    pub(super) path_style: Option<bool>,
    /// S3: the id of the access key; with it nothing is taken from the environment.
    #[schemars(extend("x-default" = "the environment's"))]
    pub(super) access_key_id: Option<String>,
    /// S3: the access key.
    #[schemars(extend("x-default" = "the environment's"))]
    pub(super) secret_access_key: Option<String>,
    /// S3: the token of temporary keys.
    #[schemars(extend("x-default" = "none"))]
    pub(super) session_token: Option<String>,
    /// Azure: the storage account.
    #[schemars(extend("x-default" = "`AZURE_STORAGE_ACCOUNT_NAME`"))]
    pub(super) account: Option<String>,
    /// Azure: a key of the storage account; with it nothing is taken from the environment.
    #[schemars(extend("x-default" = "the environment's"))]
    pub(super) account_key: Option<String>,
    /// Azure: a shared access signature in place of the key.
    #[schemars(extend("x-default" = "the environment's"))]
    pub(super) sas_token: Option<String>,
    /// Google: the JSON file of a service account, relative to the project.
    #[schemars(extend("x-default" = "the environment's"))]
    pub(super) service_account: Option<String>,
}

/// Where mails go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MailKeys {
    /// `smtp://user:password@host:587?tls=required`, `smtps://…`, or `dir:PATH` for a folder of `.eml` files.
    #[schemars(extend("x-default" = "none", "x-env" = "DATABUDDY_JOBS_MAIL_URL"))]
    pub(super) url: Option<MailUrlText>,
    /// The sender; required to send.
    #[schemars(extend("x-default" = "none", "x-env" = "DATABUDDY_JOBS_MAIL_FROM"))]
    pub(super) from: Option<Address>,
    /// A `mailto:` for the header `List-Unsubscribe`.
    #[schemars(extend("x-default" = "none"))]
    pub(super) unsubscribe: Option<Mailto>,
    /// How long mails are kept as they were sent, for `show --open`, `resend` and `preview --run`; `0s`: not beyond their run.
    #[schemars(extend("x-default" = "`400d`"))]
    pub(super) keep: Option<Span>,
}

/// What `serve` runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunnerKeys {
    /// Labels that jobs ask for by `runs_on`; in the environment separated by commas.
    #[schemars(extend("x-default" = "none", "x-env" = "DATABUDDY_JOBS_RUNNER_LABELS"))]
    pub(super) labels: Option<Vec<Word>>,
    /// Runs at once.
    #[schemars(extend("x-default" = "four for each core"), range(min = 1, max = 1000))]
    pub(super) max_runs: Option<u32>,
    /// How long a runner may be silent before others take its runs over.
    #[schemars(extend("x-default" = "`60s`"))]
    pub(super) lease: Option<Span>,
    /// How long runs under way may go on after a signal; then they are handed back.
    #[schemars(extend("x-default" = "`20s`"))]
    pub(super) grace: Option<Span>,
}

/// Where `serve` answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebKeys {
    /// Address and port; beyond loopback only with a token.
    #[schemars(extend("x-default" = "`127.0.0.1:8080`", "x-env" = "DATABUDDY_JOBS_WEB_LISTEN"))]
    pub(super) listen: Option<Listen>,
    /// Asked for everywhere but at `/healthz` and `/readyz`, as `Authorization: Bearer`.
    #[schemars(extend("x-default" = "none", "x-env" = "DATABUDDY_JOBS_WEB_TOKEN"))]
    pub(super) token: Option<String>,
    /// Its address as people reach it, for links in notifications.
    #[schemars(extend("x-default" = "none"))]
    pub(super) public_url: Option<HttpUrl>,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum AuthName {
    #[serde(rename = "x-api-key")]
    ApiKey,
    #[serde(rename = "bearer")]
    Bearer,
}

/// How the server counts days.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DaysName {
    Utc,
    Local,
}

/// Defines strings that carry a `format`; the schema walk has checked them before serde reads them.
macro_rules! formats {
    ($($name:ident = $format:literal)+) => { $(
        #[derive(Debug, Clone, Deserialize)]
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
    HttpUrl = "http-url"
    StoreUrl = "store-url"
    MailUrlText = "mail-url"
    Mailto = "mailto"
    Listen = "listen-address"
}
