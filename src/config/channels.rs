//! Channels of a report: recipients that are told over HTTP.

use super::{report_keys::ChannelKeys, together::Notes};
use crate::{
    domain::channel::{Channel, ChannelKind},
    secret::Secret,
};

/// The channels of a report, as its recipients name them.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) found: Vec<Channel>,
    is_together: bool,
}

impl Channels {
    pub(super) fn new(is_together: bool) -> Self {
        Self {
            found: Vec::new(),
            is_together,
        }
    }

    /// Its label; empty where it has no address.
    pub(super) fn take(&mut self, at: &str, keys: ChannelKeys, notes: &mut Notes) -> String {
        if self.is_together {
            let message = "with `together` one mail goes to all, and this is no mail address";
            let hint = "remove `together`, or make a second report of the channels".to_owned();
            notes.wrong(at, message, hint);
        }
        if keys.secret.is_some() && keys.webhook.is_none() {
            let hint = "add `webhook: https://…`, or remove it".to_owned();
            let message = "`secret` signs messages to a `webhook`, and there is none";
            notes.wrong(&format!("{at}/secret"), message, hint);
        }
        if keys.secret.as_deref().is_some_and(str::is_empty) {
            notes.empty_secret(&format!("{at}/secret"));
        }
        let (kind, url) = match (keys.slack, keys.webhook) {
            (Some(url), None) => (ChannelKind::Slack, url),
            (None, Some(url)) => (ChannelKind::Webhook, url),
            (found, _) => {
                let message = match found {
                    Some(_) => "one recipient has one address, and this has two",
                    None => "the channel has no address",
                };
                let hint = "write `{ slack: https://… }` or `{ webhook: https://… }`".to_owned();
                notes.wrong(at, message, hint);
                return String::new();
            }
        };
        let channel = Channel {
            kind,
            url: Secret::new(url.0),
            secret: keys.secret.map(Secret::new),
        };
        let label = channel.label();
        match self.found.iter().find(|other| other.label() == label) {
            Some(other) if other.secret != channel.secret => {
                let message = format!("`{label}` is named with another `secret` before");
                let hint = "write the same at both places".to_owned();
                notes.wrong(at, message, hint);
            }
            Some(_) => {}
            None => self.found.push(channel),
        }
        label
    }
}
