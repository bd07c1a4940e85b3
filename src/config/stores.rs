//! `stores.NAME`: what the keys of an entry say together, and whether the destinations of the jobs
//! and the entries fit each other.

use std::{collections::BTreeSet, path::Path};

use super::{
    Environment, JobSource, Problem, Settings,
    check::nearest,
    finding::Finding,
    settings_keys::BucketKeys,
    source::Source,
    spans::{At, escape},
};
use crate::{
    domain::{
        destination::{AzureSecret, BucketAccess, BucketUrl, Cloud, DestinationUrl, S3Keys},
        job::Job,
    },
    secret::Secret,
};

/// An entry as values.
pub(super) fn access(keys: BucketKeys, root: &Path) -> BucketAccess {
    let secret = |text: Option<String>| text.map(Secret::new);
    let s3 = secret(keys.access_key_id).zip(secret(keys.secret_access_key));
    let session_token = secret(keys.session_token);
    let account_key = keys
        .account_key
        .map(|key| AzureSecret::AccountKey(Secret::new(key)));
    let sas_token = keys
        .sas_token
        .map(|token| AzureSecret::SasToken(Secret::new(token)));
    BucketAccess {
        bucket: keys.bucket,
        endpoint: keys.endpoint.map(|url| url.0),
        region: keys.region,
        path_style: keys.path_style,
        keys: s3.map(|(access_key_id, secret_access_key)| S3Keys {
            access_key_id,
            secret_access_key,
            session_token,
        }),
        account: keys.account,
        azure: account_key.or(sas_token),
        service_account: keys.service_account.map(|path| root.join(path)),
    }
}

/// Keys of an entry that lack or exclude each other.
pub(super) fn contradictions(name: &str, keys: &BucketKeys) -> Vec<Finding> {
    let at = |key: &str| format!("/stores/{}/{key}", escape(name));
    let mut found = Vec::new();
    let mut needs = |key: &str, has: bool, other: &str, has_other: bool| {
        if has && !has_other {
            let message = format!("`{key}` lacks its `{other}`");
            let hint = format!("add `{other}`, or remove `{key}`");
            found.push(Finding::at(&at(key), At::Key, message, Some(hint)));
        }
    };
    let (id, key) = (
        keys.access_key_id.is_some(),
        keys.secret_access_key.is_some(),
    );
    needs("access_key_id", id, "secret_access_key", key);
    needs("secret_access_key", key, "access_key_id", id);
    let token = keys.session_token.is_some();
    needs("session_token", token, "access_key_id", id);
    let account = keys.account.is_some();
    let account_key = keys.account_key.is_some();
    needs("account_key", account_key, "account", account);
    needs("sas_token", keys.sas_token.is_some(), "account", account);
    if account_key && keys.sas_token.is_some() {
        let message = "`account_key` and `sas_token` exclude each other";
        let hint = Some("remove one of the two".to_owned());
        found.push(Finding::at(&at("sas_token"), At::Key, message, hint));
    }
    found
}

/// Settings and jobs, to be compared.
pub(super) struct Survey<'a> {
    pub(super) settings: &'a Settings,
    /// The settings' file.
    pub(super) file: &'a Source,
    pub(super) env: &'a Environment,
    pub(super) jobs: &'a [Job],
    /// Where the keys of each job stand.
    pub(super) sources: &'a [JobSource],
}

impl Survey<'_> {
    /// Destinations that lack something, and keys of entries that their destinations do not read.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut told = BTreeSet::new();
        for (source, place, url) in self.buckets() {
            let entry = self.settings.stores.get(&url.name);
            let has_account = entry.is_some_and(|entry| entry.account.is_some());
            if url.cloud == Cloud::Azure
                && !has_account
                && self.env.get("AZURE_STORAGE_ACCOUNT_NAME").is_none()
            {
                let message = format!("`{url}` lacks its storage account");
                let hint = format!(
                    "set `stores.{}.account` in databuddy-jobs.yaml, or AZURE_STORAGE_ACCOUNT_NAME",
                    url.name
                );
                let pointer = format!("/exports/{place}/to");
                problems.push(source.problem_at(&pointer, message, Some(hint)));
            }
            let foreign = entry.into_iter().flat_map(|e| foreign_keys(e, url.cloud));
            for (key, cloud) in foreign.filter(|(key, _)| told.insert((&url.name, *key))) {
                let pointer = format!("/stores/{}/{key}", escape(&url.name));
                let message = format!(
                    "`{key}` is of {}, and `{url}` is {}",
                    cloud.label(),
                    url.cloud.label()
                );
                let hint = Some("remove it, or give the entry another name".to_owned());
                problems.push(self.problem(&Finding::at(&pointer, At::Key, message, hint)));
            }
        }
        problems
    }

    /// Entries that no destination names.
    pub(super) fn warnings(&self) -> Vec<Problem> {
        let used: BTreeSet<&str> = self
            .buckets()
            .map(|(_, _, url)| url.name.as_str())
            .collect();
        let names = self.settings.stores.keys();
        let unused = names.filter(|name| !used.contains(name.as_str()));
        unused
            .map(|name| {
                let hint = nearest(name, used.iter().copied())
                    .map(|meant| format!("did you mean `{meant}`?"));
                let message = format!("no job writes to the bucket `{name}`");
                let pointer = format!("/stores/{}", escape(name));
                self.problem(&Finding::at(&pointer, At::Key, message, hint))
            })
            .collect()
    }

    fn buckets(&self) -> impl Iterator<Item = (&JobSource, usize, &BucketUrl)> {
        let jobs = self.jobs.iter().zip(self.sources);
        jobs.flat_map(|(job, source)| {
            let exports = job.exports.iter().enumerate();
            exports.filter_map(move |(place, export)| match &export.to {
                DestinationUrl::Bucket(url) => Some((source, place, url)),
                DestinationUrl::Directory(_) => None,
            })
        })
    }

    fn problem(&self, finding: &Finding) -> Problem {
        let place = self.file.place(finding, false).unwrap_or(0..0);
        self.file.problem(finding, place)
    }
}

/// The keys of an entry that only another cloud reads.
fn foreign_keys(
    entry: &BucketAccess,
    cloud: Cloud,
) -> impl Iterator<Item = (&'static str, Cloud)> + use<> {
    let azure = |wanted: fn(&AzureSecret) -> bool| entry.azure.as_ref().is_some_and(wanted);
    let keys = [
        ("region", Cloud::S3, entry.region.is_some()),
        ("path_style", Cloud::S3, entry.path_style.is_some()),
        ("access_key_id", Cloud::S3, entry.keys.is_some()),
        ("account", Cloud::Azure, entry.account.is_some()),
        (
            "account_key",
            Cloud::Azure,
            azure(|secret| matches!(secret, AzureSecret::AccountKey(_))),
        ),
        (
            "sas_token",
            Cloud::Azure,
            azure(|secret| matches!(secret, AzureSecret::SasToken(_))),
        ),
        (
            "service_account",
            Cloud::Google,
            entry.service_account.is_some(),
        ),
    ];
    keys.into_iter()
        .filter(move |(_, of, is_set)| *is_set && *of != cloud)
        .map(|(key, of, _)| (key, of))
}
