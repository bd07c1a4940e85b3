//! The environment: the one place that reads it.

use std::collections::BTreeMap;

/// Environment variables, or a stand-in of them.
#[derive(Clone)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are no UTF-8 are left out.
    pub fn system() -> Self {
        let vars = std::env::vars_os();
        Self(
            vars.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// These variables alone.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    /// The variable, or `None` where it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets
        f.debug_list().entries(self.0.keys()).finish()
    }
}
