//! Settings that change while the service runs: what it can take up, and what needs a restart.

use std::sync::Arc;

use super::Engine;
use crate::{
    config::{MailUrl, RunnerSettings, Settings, WebSettings},
    export::Destinations,
    mail::{MailError, Transport},
};

impl Engine {
    /// This engine with settings that were read again, as far as they can change now; and the names of
    /// those that have changed and need a restart. Runs under way go on with what they began with.
    pub(super) fn with_settings(
        &self,
        read: Settings,
    ) -> Result<(Self, Vec<&'static str>), MailError> {
        let fixed = fixed(&self.settings, &read);
        let settings = changed(&self.settings, read);
        let transport = match &settings.mail_url {
            Some(MailUrl::Dir(folder)) => Some(Transport::dir(folder.clone())),
            Some(MailUrl::Smtp(url)) => Some(Transport::smtp(url)?),
            None => None,
        };
        let mut engine = Self {
            transport: transport.map(Arc::new),
            destinations: Arc::new(Destinations::new(settings.stores.clone())),
            server: Arc::default(),
            ..self.clone()
        };
        let has_changed = settings.api_key != self.settings.api_key;
        if let Some(key) = settings.api_key.as_ref().filter(|_| has_changed) {
            engine.client = self.client.with_key(key.clone());
            engine.basket = self.basket.with_key(key.clone());
        }
        engine.settings = Arc::new(settings);
        Ok((engine, fixed))
    }
}

/// What was read, except for what other parts of the program hold on to.
fn changed(old: &Settings, read: Settings) -> Settings {
    Settings {
        api_url: old.api_url.clone(),
        basket_url: old.basket_url.clone(),
        api_key: read.api_key.or_else(|| old.api_key.clone()),
        api_auth: old.api_auth,
        api_days: old.api_days,
        requests_per_minute: old.requests_per_minute,
        custom_per_minute: old.custom_per_minute,
        max_in_flight: old.max_in_flight,
        gzip: old.gzip,
        store: old.store.clone(),
        postgres: old.postgres.clone(),
        runner: RunnerSettings {
            labels: old.runner.labels.clone(),
            lease: old.runner.lease,
            ..read.runner
        },
        web: WebSettings {
            listen: old.web.listen,
            token: old.web.token.clone(),
            ..read.web
        },
        ..read
    }
}

/// What has changed of that.
fn fixed(old: &Settings, read: &Settings) -> Vec<&'static str> {
    let is_gone = read.api_key.is_none() && old.api_key.is_some();
    let changes = [
        ("api.url", old.api_url != read.api_url),
        ("api.basket_url", old.basket_url != read.basket_url),
        ("api.key", is_gone),
        ("api.auth", old.api_auth != read.api_auth),
        ("api.days", old.api_days != read.api_days),
        (
            "api.requests_per_minute",
            old.requests_per_minute != read.requests_per_minute,
        ),
        (
            "api.custom_requests_per_minute",
            old.custom_per_minute != read.custom_per_minute,
        ),
        ("api.max_in_flight", old.max_in_flight != read.max_in_flight),
        ("api.gzip", old.gzip != read.gzip),
        (
            "store.url",
            old.store != read.store || old.postgres != read.postgres,
        ),
        ("runner.labels", old.runner.labels != read.runner.labels),
        ("runner.lease", old.runner.lease != read.runner.lease),
        ("web.listen", old.web.listen != read.web.listen),
        ("web.token", old.web.token != read.web.token),
    ];
    let names = changes.into_iter().filter(|(_, is_changed)| *is_changed);
    names.map(|(name, _)| name).collect()
}
