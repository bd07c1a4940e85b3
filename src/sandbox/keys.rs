//! The API keys of the sandbox and what each may do.

/// A key that may do everything.
pub(super) const FULL: &str = "dbdy_sandbox_full";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    ReadData,
    WriteData,
    ReadWebsites,
    ManageWebsites,
    TrackEvents,
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ReadData => "read:data",
            Self::WriteData => "write:data",
            Self::ReadWebsites => "read:websites",
            Self::ManageWebsites => "manage:websites",
            Self::TrackEvents => "track:events",
        }
    }
}

/// An API key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: &'static str,
    pub(super) scopes: &'static [Scope],
    /// The websites that it is restricted to; empty: all of them.
    sites: &'static [&'static str],
    pub(super) revoked: bool,
}

impl Key {
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may see that website or link.
    pub(super) fn sees(&self, id: &str) -> bool {
        self.sites.is_empty() || self.sites.contains(&id)
    }
}

const ALL: [Scope; 5] = [
    Scope::ReadData,
    Scope::WriteData,
    Scope::ReadWebsites,
    Scope::ManageWebsites,
    Scope::TrackEvents,
];

/// All keys.
pub(super) const KEYS: [Key; 5] = [
    Key {
        text: FULL,
        scopes: &ALL,
        sites: &[],
        revoked: false,
    },
    Key {
        text: "dbdy_sandbox_query_only",
        scopes: &[Scope::ReadData],
        sites: &[],
        revoked: false,
    },
    Key {
        text: "dbdy_sandbox_events_only",
        scopes: &[Scope::WriteData, Scope::TrackEvents],
        sites: &[],
        revoked: false,
    },
    Key {
        text: "dbdy_sandbox_one_site",
        scopes: &ALL,
        sites: &["web_acme_shop"],
        revoked: false,
    },
    Key {
        text: "dbdy_sandbox_revoked",
        scopes: &ALL,
        sites: &[],
        revoked: true,
    },
];

/// The key of that text.
pub(super) fn find(text: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.text == text)
}
