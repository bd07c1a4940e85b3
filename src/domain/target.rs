//! What a step asks about: a website, or a short link.

/// What a step asks about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A website, by id.
    Website(String),
    /// A short link, by id.
    Link(String),
}

impl Target {
    /// The website's id, or `None` of a link.
    pub fn website_id(&self) -> Option<&str> {
        match self {
            Self::Website(id) => Some(id),
            Self::Link(_) => None,
        }
    }

    /// The link's id, or `None` of a website.
    pub fn link_id(&self) -> Option<&str> {
        match self {
            Self::Website(_) => None,
            Self::Link(id) => Some(id),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Website(id) | Self::Link(id) => id,
        }
    }

    /// The name of its id in the API: `website_id` or `link_id`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Website(_) => "website_id",
            Self::Link(_) => "link_id",
        }
    }
}
