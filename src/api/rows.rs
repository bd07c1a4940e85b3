//! A further page in one pass: its rows are taken while its envelope is read, which saves finding
//! out first where they end (a seventh of a narrow export, measured).

use std::fmt;

use bytes::Bytes;
use reqwest::Method;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tokio::task::spawn_blocking;

use super::{
    ApiError, Client, PartError,
    limiter::Budget,
    patience::{Patience, Reading},
    query::{MAX_PART_BYTES, parts_of, protocol},
};
use crate::domain::request::{Ask, Request};

/// Who takes the rows of a page.
pub trait TakeRows: Send + 'static {
    /// Takes every row.
    ///
    /// # Errors
    /// The JSON's own, or one by which it refuses a row; then it [`has_refused`](Self::has_refused).
    fn take_rows<'de, A: SeqAccess<'de>>(&mut self, rows: A) -> Result<(), A::Error>;

    /// Whether it refused a row of the last page, whatever the rest of the answer says.
    fn has_refused(&self) -> bool;

    /// Forgets the rows of the last page: its answer is not what it seemed.
    fn forget(&mut self);

    /// The page is complete, or one of its rows was refused: what more there is to do with it, on the
    /// same thread.
    fn end_page(&mut self);
}

impl Client {
    /// Asks for a further page of one part, from 2, and hands its rows to `rows`. Where these refuse
    /// one, the page counts as read.
    ///
    /// # Errors
    /// As [`Client::query`]; `rows` are lost then.
    pub async fn query_rows<R: TakeRows>(
        &self,
        request: &Request,
        part_id: &str,
        page: u32,
        mut rows: R,
    ) -> Result<(R, Result<(), PartError>), ApiError> {
        let lacking = || Err(PartError::passing("a page lacks its part".to_owned()));
        let Some(request) = request.page_of(part_id, page) else {
            return Ok((rows, lacking()));
        };
        let body = request.body();
        let reading = Reading {
            max_bytes: MAX_PART_BYTES,
            is_packed: false,
        };
        let mut patience = Patience::new(reading);
        loop {
            let (budget, path) = (Budget::Standard, &request.path);
            let sent = self.send_once(budget, &Method::POST, path, Some(&body), reading.max_bytes);
            let error = match sent.await {
                Ok(answer) => {
                    let request = request.clone();
                    let read = spawn_blocking(move || {
                        let result = read(&answer, &request, &mut rows);
                        if let Ok(Ok(())) = result {
                            rows.end_page();
                        }
                        (rows, answer, result)
                    });
                    let (back, answer, result) = match read.await {
                        Ok(read) => read,
                        Err(error) if error.is_panic() => {
                            std::panic::resume_unwind(error.into_panic())
                        }
                        Err(_) => return Err(protocol("the program is ending")),
                    };
                    rows = back;
                    self.reuse(answer);
                    match result {
                        Ok(part) => {
                            self.count_query();
                            return Ok((rows, part));
                        }
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.wait_after(error, &mut patience, budget, path).await?;
        }
    }
}

/// Hands the rows of the request's one part over. An answer that is not exactly the expected one is
/// read again as any other.
fn read<R: TakeRows>(
    answer: &Bytes,
    request: &Request,
    rows: &mut R,
) -> Result<Result<(), PartError>, ApiError> {
    let Ask::Items(items) = &request.ask else {
        unreachable!("only parts of items have pages")
    };
    let id = items[0].parts[0].id.as_str();
    if in_one_pass(answer, id, rows) {
        return Ok(Ok(()));
    }
    // Also where a row was refused: what follows it may say that the answer is no good one
    rows.forget();
    let lacking = || Err(PartError::passing("a page lacks its part".to_owned()));
    let part = parts_of(answer, items)?.remove(id).unwrap_or_else(lacking);
    Ok(part.and_then(|page| {
        let mut json = sonic_rs::Deserializer::from_slice(&page.0).utf8_lossy();
        let taken = Rows(rows).deserialize(&mut json);
        let failed = |error: sonic_rs::Error| {
            let error = error.to_string();
            let why = error.lines().next().unwrap_or_default();
            PartError::passing(format!("a page is no list of rows: {why}"))
        };
        taken.or_else(|error| {
            if rows.has_refused() {
                Ok(())
            } else {
                Err(failed(error))
            }
        })
    }))
}

/// Whether the answer is a good one that holds this part alone, whose rows were taken then.
fn in_one_pass<R: TakeRows>(answer: &[u8], id: &str, rows: &mut R) -> bool {
    let Ok(answer) = std::str::from_utf8(answer) else {
        return false;
    };
    // Half a character of UTF-16, which JavaScript leaves where it cuts a text, is read as U+FFFD
    let mut json = sonic_rs::Deserializer::from_str(answer).utf8_lossy();
    let envelope = Envelope { id, rows };
    envelope.deserialize(&mut json).is_ok() && json.end().is_ok()
}

/// `{"success": true, …, "data": [ELEMENT], …}`.
struct Envelope<'a, R> {
    id: &'a str,
    rows: &'a mut R,
}

impl<'de, R: TakeRows> DeserializeSeed<'de> for Envelope<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, R: TakeRows> Visitor<'de> for Envelope<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut is_good, mut is_read) = (false, false);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "success" if !is_good => is_good = map.next_value()?,
                "data" if is_good && !is_read => {
                    map.next_value_seed(Elements {
                        id: self.id,
                        rows: &mut *self.rows,
                    })?;
                    is_read = true;
                }
                "success" | "data" | "results" | "error" => {
                    return Err(A::Error::custom(UNEXPECTED));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        expect(is_read)
    }
}

/// A list of one element.
struct Elements<'a, R> {
    id: &'a str,
    rows: &'a mut R,
}

impl<'de, R: TakeRows> DeserializeSeed<'de> for Elements<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, R: TakeRows> Visitor<'de> for Elements<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of parts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let element = Element {
            id: self.id,
            rows: self.rows,
        };
        let first = list.next_element_seed(element)?;
        expect(first.is_some() && list.next_element::<IgnoredAny>()?.is_none())
    }
}

/// `{"parameter": ID, "success": true, "data": [ROW, …]}`.
struct Element<'a, R> {
    id: &'a str,
    rows: &'a mut R,
}

impl<'de, R: TakeRows> DeserializeSeed<'de> for Element<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, R: TakeRows> Visitor<'de> for Element<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut is_ours, mut is_good, mut is_read) = (false, false, false);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "parameter" if !is_ours => is_ours = map.next_value::<&str>()? == self.id,
                "success" if !is_good => is_good = map.next_value()?,
                "data" if is_ours && is_good && !is_read => {
                    map.next_value_seed(Rows(&mut *self.rows))?;
                    is_read = true;
                }
                "parameter" | "success" | "data" | "error" => {
                    return Err(A::Error::custom(UNEXPECTED));
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        expect(is_read)
    }
}

/// The rows themselves.
struct Rows<'a, R>(&'a mut R);

impl<'de, R: TakeRows> DeserializeSeed<'de> for Rows<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, R: TakeRows> Visitor<'de> for Rows<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        self.0.take_rows(rows)
    }
}

const UNEXPECTED: &str = "not the expected answer";

fn expect<E: Error>(is_so: bool) -> Result<(), E> {
    if is_so {
        Ok(())
    } else {
        Err(E::custom(UNEXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        request::{Item, Part},
        target::Target,
    };

    /// Numbers, of which it refuses those below zero.
    #[derive(Default)]
    struct Numbers {
        taken: Vec<i64>,
        refused: bool,
        forgotten: usize,
    }

    impl TakeRows for Numbers {
        fn take_rows<'de, A: SeqAccess<'de>>(&mut self, mut rows: A) -> Result<(), A::Error> {
            while let Some(number) = rows.next_element()? {
                self.refused = number < 0;
                expect(!self.refused)?;
                self.taken.push(number);
            }
            Ok(())
        }

        fn has_refused(&self) -> bool {
            self.refused
        }

        fn forget(&mut self) {
            self.taken.clear();
            self.refused = false;
            self.forgotten += 1;
        }

        fn end_page(&mut self) {}
    }

    fn request() -> Request {
        let part = Part {
            id: "s0".to_owned(),
            parameter: "top_pages".to_owned(),
            granularity: None,
            days: None,
            honours_page: None,
            wanted: None,
        };
        let item = Item {
            id: "q0".to_owned(),
            start: String::new(),
            end: String::new(),
            filters: Vec::new(),
            limit: 10_000,
            page: 2,
            parts: vec![part],
        };
        Request {
            target: Target::Website("web_1".to_owned()),
            path: String::new(),
            ask: Ask::Items(vec![item]),
        }
    }

    fn asked(answer: &[u8]) -> (Numbers, Result<Result<(), PartError>, ApiError>) {
        let mut rows = Numbers::default();
        let result = read(&Bytes::copy_from_slice(answer), &request(), &mut rows);
        (rows, result)
    }

    #[test]
    fn the_expected_answer_is_read_in_one_pass() {
        let answer = br#"{"success":true,"queryId":"q0","data":[{"parameter":"s0","success":true,
            "data":[1,2,3],"more":{"data":[4]}}],"meta":{"data":[5],"page":2}}"#;
        let (rows, result) = asked(answer);
        assert!(matches!(result, Ok(Ok(()))), "{result:?}");
        assert_eq!((rows.taken, rows.forgotten), (vec![1, 2, 3], 0));
    }

    #[test]
    fn an_answer_of_another_form_is_read_as_any_other() {
        for answer in [
            r#"{"data":[{"data":[1,2],"parameter":"s0","success":true}],"success":true}"#,
            r#"{"success":true,"data":[{"parameter":"s1","success":true,"data":[9]},
                {"parameter":"s0","success":true,"data":[1,2]}]}"#,
            r#"{"success":true,"results":[{"queryId":"q0",
                "data":[{"parameter":"s0","success":true,"data":[1,2]}]}]}"#,
            r#"{"succ\u0065ss":true,"data":[{"parameter":"s\u0030","success":true,"data":[1,2]}]}"#,
        ] {
            let (rows, result) = asked(answer.as_bytes());
            assert!(matches!(result, Ok(Ok(()))), "{answer}: {result:?}");
            assert_eq!((rows.taken, rows.forgotten), (vec![1, 2], 1), "{answer}");
        }
    }

    #[test]
    fn what_follows_the_rows_counts_as_much_as_what_stands_before() {
        let good = r#"{"success":true,"data":[{"parameter":"s0","success":true,"data":[1,2]}"#;
        for rest in ["", "]", "]}x", "],\"success\":false}", ",]}"] {
            let (rows, result) = asked(format!("{good}{rest}").as_bytes());
            assert!(result.is_err(), "{rest}: {result:?}");
            assert_eq!((rows.taken.len(), rows.forgotten), (0, 1), "{rest}");
        }
        let twice = format!("{good},{}", &good[r#"{"success":true,"data":["#.len()..]);
        let (rows, result) = asked(format!("{twice}]}}").as_bytes());
        let error = result.unwrap().unwrap_err();
        assert!(error.message.contains("twice"), "{error:?}");
        assert!(rows.taken.is_empty());
        let (rows, result) = asked(&[good.as_bytes(), b",\"x\":\"\xff\"}]}"].concat());
        assert!(result.is_err() && rows.taken.is_empty(), "{result:?}");
    }

    #[test]
    fn a_part_that_failed_says_why_and_a_refused_row_is_for_the_taker_to_tell() {
        let failed =
            br#"{"success":true,"data":[{"parameter":"s0","success":false,"error":"Invalid x"}]}"#;
        let error = asked(failed).1.unwrap().unwrap_err();
        assert_eq!(
            (error.message.as_str(), error.retryable),
            ("Invalid x", false)
        );
        let odd = br#"{"success":true,"data":[{"parameter":"s0","success":true,"data":[1,-1]}]}"#;
        let (rows, result) = asked(odd);
        assert!(matches!(result, Ok(Ok(()))) && rows.refused);
        let text = br#"{"success":true,"data":[{"parameter":"s0","success":true,"data":[1,"x"]}]}"#;
        let error = asked(text).1.unwrap().unwrap_err();
        assert!(error.message.contains("no list of rows"), "{error:?}");
    }
}
