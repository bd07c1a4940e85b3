//! The websites and links of the sandbox.

/// A website.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) domain: &'static str,
    pub(super) visitors_a_day: f64,
}

/// The websites of the keys' organisation.
pub(super) const SITES: [Site; 3] = [
    Site {
        id: "web_acme_shop",
        name: "Acme Shop",
        domain: "shop.acme.example",
        visitors_a_day: 420.0,
    },
    Site {
        id: "web_acme_docs",
        name: "Acme Docs",
        domain: "docs.acme.example",
        visitors_a_day: 160.0,
    },
    Site {
        id: "web_acme_tiny",
        name: "Acme Tiny",
        domain: "tiny.acme.example",
        visitors_a_day: 5.0,
    },
];

/// A short link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: &'static str,
    pub(super) clicks_a_day: f64,
}

/// The links of the keys' organisation.
pub(super) const LINKS: [Link; 2] = [
    Link {
        id: "link_launch",
        clicks_a_day: 90.0,
    },
    Link {
        id: "link_newsletter",
        clicks_a_day: 24.0,
    },
];

/// A website and a link that exist, but belong to somebody else.
pub(super) const FOREIGN: [&str; 2] = ["web_other_corp", "link_other_corp"];

/// What a query is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Site(&'static Site),
    Link(&'static Link),
}

impl Place {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Site(site) => site.id,
            Self::Link(link) => link.id,
        }
    }
}

/// The website of that id.
pub(super) fn site(id: &str) -> Option<&'static Site> {
    SITES.iter().find(|site| site.id == id)
}

/// The link of that id.
pub(super) fn link(id: &str) -> Option<&'static Link> {
    LINKS.iter().find(|link| link.id == id)
}
