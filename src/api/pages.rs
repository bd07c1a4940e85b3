//! Following the pages of one part to the end, and noticing where the server repeats or cuts them.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
};

use super::PartError;
use crate::domain::{
    catalog::is_folded,
    request::{Ask, MAX_LIMIT, Part, Request},
};

/// The most pages of one part: 10 million rows.
const MAX_PAGES: u32 = 1000;

/// Pages whose rows are remembered at least, and twice as many at most. The server repeats rows of
/// one rank on neighbouring pages; a rank of more than 120 000 rows was not met.
const REMEMBERED: u32 = 12;

/// Whether rows are known to be all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complete {
    /// One page held them.
    Proven,
    /// A second page was needed: the server's order is not total, so ties may be lost.
    Unproven,
}

/// What follows a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it was the last.
    Done(Complete),
    /// The page of this number, from 2.
    Page(u32),
}

/// The pages of one part so far.
#[derive(Debug)]
pub struct Pages {
    parameter: String,
    /// Rows a page.
    limit: u64,
    honours_page: Option<bool>,
    wanted: Option<u64>,
    /// Custom queries have no pages.
    is_paged: bool,
    /// Rows so far.
    count: u64,
    /// The last page, from 1; 0 before the first.
    page: u32,
    /// Rows of the last pages, by hash.
    seen: RowSet,
    /// Those of the pages before.
    seen_before: RowSet,
}

type RowSet = HashSet<u64, BuildHasherDefault<AsItIs>>;

impl Pages {
    /// Before the first page of a part of the request.
    pub fn of(request: &Request, part_id: &str) -> Self {
        let found = match &request.ask {
            Ask::Items(items) => items.iter().find_map(|item| {
                let part = item.parts.iter().find(|part| part.id == part_id)?;
                Some((item.limit, part))
            }),
            Ask::Custom(_) => None,
        };
        let new = |limit: u32, part: Option<&Part>| Self {
            parameter: part.map(|p| p.parameter.clone()).unwrap_or_default(),
            limit: u64::from(limit),
            honours_page: part.and_then(|p| p.honours_page),
            wanted: part.and_then(|p| p.wanted).map(u64::from),
            is_paged: part.is_some(),
            count: 0,
            page: 0,
            seen: RowSet::default(),
            seen_before: RowSet::default(),
        };
        found.map_or_else(
            || new(MAX_LIMIT, None),
            |(limit, part)| new(limit, Some(part)),
        )
    }

    /// Rows of all pages so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes note of a page, by a hash of each of its rows; what follows it.
    ///
    /// # Errors
    /// The page repeats one before it, or rows of one; the rows end exactly at a limit that cannot
    /// be paged; there are more pages than any data set has.
    pub fn take(&mut self, rows: &[u64]) -> Result<Next, PartError> {
        self.page += 1;
        self.count += rows.len() as u64;
        // Rows that are folded after the limit are fewer than were found
        let full = if is_folded(&self.parameter) {
            self.limit / 2
        } else {
            self.limit
        };
        let is_short = (rows.len() as u64) < full;
        let has_enough = self.wanted.is_some_and(|wanted| self.count >= wanted);
        if self.page == 1 {
            // More rows than were asked for: the type ignores limits, so this is all
            let is_all = rows.len() as u64 > self.limit || self.limit < u64::from(MAX_LIMIT);
            if is_short || has_enough || is_all || !self.is_paged {
                return Ok(Next::Done(Complete::Proven));
            }
            if self.honours_page == Some(false) {
                if rows.len() as u64 == self.limit {
                    return Err(self.unpaged());
                }
                return Ok(Next::Done(Complete::Unproven));
            }
        } else {
            self.refuse_repeated(rows)?;
        }
        if self.page > 1 && (is_short || has_enough) {
            return Ok(Next::Done(Complete::Unproven));
        }
        if self.page == MAX_PAGES {
            let parameter = &self.parameter;
            let message = format!("`{parameter}` has more than {MAX_PAGES} pages");
            return Err(PartError::last(message));
        }
        self.remember(rows);
        Ok(Next::Page(self.page + 1))
    }

    fn refuse_repeated(&self, rows: &[u64]) -> Result<(), PartError> {
        let is_seen = |row: &&u64| self.seen.contains(row) || self.seen_before.contains(row);
        let repeated = rows.iter().filter(is_seen).count();
        if repeated == 0 {
            return Ok(());
        }
        if repeated == rows.len() {
            return Err(self.unpaged());
        }
        Err(PartError::last(format!(
            "pages of `{}` overlap ({repeated} rows of page {} stand on one before it), so others are missing: narrow the window until one page holds all rows",
            self.parameter, self.page,
        )))
    }

    fn remember(&mut self, rows: &[u64]) {
        if self.page.is_multiple_of(REMEMBERED) {
            self.seen_before = std::mem::take(&mut self.seen);
            self.seen.reserve(self.seen_before.len());
        }
        self.seen.extend(rows);
    }

    fn unpaged(&self) -> PartError {
        PartError::last(format!(
            "`{}` ends exactly at the limit of {MAX_LIMIT} rows and has no further pages: narrow the window or add a filter",
            self.parameter
        ))
    }
}

/// Hashes are not hashed again.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{request::Item, target::Target};

    fn pages(limit: u32, honours_page: Option<bool>, wanted: Option<u32>) -> Pages {
        let part = Part {
            id: "s0".to_owned(),
            parameter: "top_pages".to_owned(),
            granularity: None,
            days: None,
            honours_page,
            wanted,
        };
        let item = Item {
            id: "q0".to_owned(),
            start: String::new(),
            end: String::new(),
            filters: Vec::new(),
            limit,
            page: 1,
            parts: vec![part],
        };
        let request = Request {
            target: Target::Website("web_1".to_owned()),
            path: String::new(),
            ask: Ask::Items(vec![item]),
        };
        Pages::of(&request, "s0")
    }

    fn rows(from: u64, count: u64) -> Vec<u64> {
        (from..from + count).collect()
    }

    const FULL: u64 = 10_000;

    #[test]
    fn a_short_page_is_the_last_and_a_full_one_is_not() {
        let done = |complete| Ok(Next::Done(complete));
        assert_eq!(
            pages(10_000, None, None).take(&rows(0, 9)),
            done(Complete::Proven)
        );
        let mut two = pages(10_000, Some(true), None);
        assert_eq!(two.take(&rows(0, FULL)), Ok(Next::Page(2)));
        assert_eq!(two.take(&rows(FULL, 3)), done(Complete::Unproven));
        assert_eq!(two.count(), FULL + 3);
        let mut exact = pages(10_000, Some(true), None);
        assert_eq!(exact.take(&rows(0, FULL)), Ok(Next::Page(2)));
        assert_eq!(exact.take(&[]), done(Complete::Unproven));
    }

    #[test]
    fn more_rows_than_the_limit_are_all_and_as_many_as_wanted_are_enough() {
        let done = Ok(Next::Done(Complete::Proven));
        assert_eq!(
            pages(10_000, Some(false), None).take(&rows(0, FULL + 1)),
            done
        );
        assert_eq!(
            pages(10_000, Some(false), Some(10_000)).take(&rows(0, FULL)),
            done
        );
        assert_eq!(pages(5, Some(true), Some(5)).take(&rows(0, 5)), done);
    }

    #[test]
    fn rows_that_were_folded_may_not_be_all() {
        let mut cities = pages(10_000, Some(true), None);
        "city".clone_into(&mut cities.parameter);
        assert_eq!(cities.take(&rows(0, 9_990)), Ok(Next::Page(2)));
        assert_eq!(cities.take(&rows(FULL, 9_000)), Ok(Next::Page(3)));
        let done = Ok(Next::Done(Complete::Unproven));
        assert_eq!(cities.take(&rows(2 * FULL, 4_000)), done);
        let mut few = pages(10_000, Some(true), None);
        "city".clone_into(&mut few.parameter);
        let done = Ok(Next::Done(Complete::Proven));
        assert_eq!(few.take(&rows(0, 4_000)), done);
    }

    #[test]
    fn a_type_without_pages_that_ends_at_the_limit_is_an_error() {
        let error = pages(10_000, Some(false), None).take(&rows(0, FULL));
        assert!(error.unwrap_err().message.contains("no further pages"));
    }

    #[test]
    fn a_repeated_page_and_repeated_rows_are_errors_also_some_pages_later() {
        for (page, word) in [
            (rows(0, FULL), "no further pages"),
            (rows(5, FULL), "overlap"),
        ] {
            let mut all = pages(10_000, None, None);
            for n in 0..5 {
                let fresh = rows(n * FULL, FULL);
                assert!(matches!(all.take(&fresh), Ok(Next::Page(_))));
            }
            let mut late = page;
            late.truncate(9_000);
            if word == "overlap" {
                late.push(u64::MAX);
            }
            let error = all.take(&late).unwrap_err();
            assert!(
                error.message.contains(word) && !error.retryable,
                "{error:?}"
            );
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut all = pages(10_000, Some(true), None);
        for n in 0..100 {
            all.take(&rows(n * FULL, FULL)).unwrap();
        }
        let most = 2 * u64::from(REMEMBERED) * FULL;
        assert!((all.seen.len() + all.seen_before.len()) as u64 <= most);
    }
}
