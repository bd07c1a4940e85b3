//! A website that a key may read.

use chrono::NaiveDate;

/// A website, as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Website {
    /// The id that requests carry.
    pub id: String,
    /// What people call it; servers send null for some.
    pub name: Option<String>,
    /// Its domain.
    pub domain: String,
    /// The day (UTC) that it was added to the server; `None` where the server does not say.
    pub created: Option<NaiveDate>,
}

impl Website {
    /// What to call it in a mail: its name, else its domain.
    pub fn display_name(&self) -> &str {
        match self.name.as_deref() {
            Some(name) if !name.trim().is_empty() => name,
            _ => &self.domain,
        }
    }
}
