//! Channels of a report beside mail: addresses that take a message over HTTP.

use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// How many letters of the hash a label has: enough to tell the addresses of one host apart, too few
/// to be worth anything to whoever reads them.
const SHOWN: usize = 12;

/// An address that takes reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What it understands.
    pub kind: ChannelKind,
    /// Where to; it often holds a key.
    pub url: Secret,
    /// What messages are signed with.
    pub secret: Option<Secret>,
}

/// What a channel understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelKind {
    /// Blocks, as an incoming webhook of Slack has them.
    Slack,
    /// JSON.
    Webhook,
}

impl ChannelKind {
    /// As the job file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Webhook => "webhook",
        }
    }
}

impl Channel {
    /// What the ledger, plans and people call it, always the same for the same address:
    /// `slack:hooks.slack.com#1f0c9be2a7d4`. It holds nothing of the address but its host.
    pub fn label(&self) -> String {
        let url = url::Url::parse(self.url.expose()).ok();
        let host = url.as_ref().and_then(url::Url::host_str);
        let port = url.as_ref().and_then(url::Url::port);
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let whole = url.as_ref().map_or(self.url.expose(), url::Url::as_str);
        let hash = hex::encode(Sha256::digest(whole));
        let (kind, host) = (self.kind.name(), host.unwrap_or_default());
        format!("{kind}:{host}{port}#{}", &hash[..SHOWN])
    }
}

/// Whether a recipient is a channel's label. No mail address is one: it has an `@`, and no host has.
pub fn is_channel(recipient: &str) -> bool {
    let kinds = [ChannelKind::Slack, ChannelKind::Webhook];
    let is_of = |kind: ChannelKind| {
        let rest = recipient.strip_prefix(kind.name());
        rest.is_some_and(|rest| rest.starts_with(':'))
    };
    !recipient.contains('@') && kinds.into_iter().any(is_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack(url: &str) -> String {
        let channel = Channel {
            kind: ChannelKind::Slack,
            url: Secret::new(url),
            secret: None,
        };
        channel.label()
    }

    #[test]
    fn a_label_names_the_host_and_nothing_of_the_key() {
        let label = slack("https://hooks.slack.com/services/T0/B0/s3cret");
        assert_eq!(
            label,
            slack("https://HOOKS.slack.com/services/T0/B0/s3cret")
        );
        assert_ne!(label, slack("https://hooks.slack.com/services/T0/B0/other"));
        assert!(label.starts_with("slack:hooks.slack.com#"), "{label}");
        assert!(
            !label.contains("s3cret") && !label.contains("T0"),
            "{label}"
        );
        assert!(slack("http://u:p@h.example:81/x").starts_with("slack:h.example:81#"));
    }

    #[test]
    fn labels_and_addresses_are_told_apart() {
        assert!(is_channel(&slack("https://h.example/x")) && is_channel("webhook:h#1"));
        for address in ["ann@example.org", "Ann <a@b.c>", "\"slack:x\"@b.c", "slack"] {
            assert!(!is_channel(address), "{address}");
        }
    }
}
