//! Countries under every name that a server may store them by.

use std::{collections::BTreeMap, sync::LazyLock};

/// English names by ISO code. Source: Unicode CLDR, ISO 3166-1, and names that were usual before.
static NAMES: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    include_str!("country_names.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .map(|(code, names)| (code, names.split('|').collect()))
        .collect()
});

/// The English names of an ISO 3166-1 code of two capital letters; none of anything else.
pub fn country_names(code: &str) -> &'static [&'static str] {
    NAMES.get(code).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_names_and_a_name_has_none() {
        assert_eq!(country_names("DE"), ["Germany"]);
        assert!(country_names("US").contains(&"United States"));
        assert!(country_names("CZ").contains(&"Czech Republic"));
        assert!(country_names("Germany").is_empty() && country_names("de").is_empty());
    }
}
