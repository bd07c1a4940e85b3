//! Checks of single values, by the `format` that the schema gives them, and the nearest valid word.

use std::{ops::Range, time::Duration};

use crate::{
    domain::{destination::BucketUrl, preset::Preset, schedule::Schedule},
    plan::{PLACEHOLDERS, check_path_template},
};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The part of the value that is meant, in bytes.
    pub(super) part: Option<Range<usize>>,
}

fn bad(message: impl Into<String>, hint: impl Into<Option<String>>) -> Result<(), Bad> {
    Err(Bad {
        message: message.into(),
        hint: hint.into(),
        part: None,
    })
}

/// Checks a string by the `format` of its schema; an unknown format allows everything.
pub(super) fn format(name: &str, text: &str) -> Result<(), Bad> {
    match name {
        "cron" => cron(text),
        "time-zone" => zone(text),
        "preset" => preset(text),
        "duration" => duration(text).map(|_| ()),
        "size" => size(text).map(|_| ()),
        "date" => date(text),
        "mail-address" => mail_address(text),
        "mailto" => mailto(text),
        "path-template" => path_template(text),
        "destination" => destination(text),
        "name" => word(text),
        "website-pattern" => website_pattern(text),
        "http-url" => http_url(text),
        "ping-url" => ping_url(text),
        "store-url" => store_url(text),
        "mail-url" => mail_url(text),
        "listen-address" => listen_address(text),
        _ => Ok(()),
    }
}

/// Fields of a cron expression, seconds first.
const FIELDS: [&str; 6] = [
    "second (0-59)",
    "minute (0-59)",
    "hour (0-23)",
    "day of the month (1-31)",
    "month (1-12)",
    "day of the week (0-7, MON)",
];

fn cron(text: &str) -> Result<(), Bad> {
    let Err(why) = Schedule::parse(text, chrono_tz::Tz::UTC) else {
        return Ok(());
    };
    let hint =
        "minute hour day-of-month month day-of-week, such as `0 6 * * MON`; seconds may come first";
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if text.starts_with('@') {
        let known = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];
        return bad(
            format!("unknown macro `{text}`"),
            suggest(text, known.into_iter()),
        );
    }
    if !matches!(words.len(), 5 | 6) {
        return bad(
            format!(
                "a cron expression has 5 or 6 fields, this has {}",
                words.len()
            ),
            hint.to_owned(),
        );
    }
    // The field that is wrong is the one that is wrong alone
    for (place, word) in words.iter().enumerate() {
        let mut alone = vec!["*"; words.len()];
        alone[place] = word;
        if Schedule::parse(&alone.join(" "), chrono_tz::Tz::UTC).is_err() {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            return Err(Bad {
                message: format!("`{word}` is no {}", FIELDS[place + 6 - words.len()]),
                hint: Some(hint.to_owned()),
                part: Some(start..start + word.len()),
            });
        }
    }
    bad(why, hint.to_owned())
}

fn zone(text: &str) -> Result<(), Bad> {
    if text.parse::<chrono_tz::Tz>().is_ok() {
        return Ok(());
    }
    let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
    bad(
        format!("unknown time zone `{text}`"),
        nearest(text, names).map_or_else(
            || "write an IANA name, such as Europe/Berlin".to_owned(),
            |name| format!("did you mean `{name}`?"),
        ),
    )
}

fn preset(text: &str) -> Result<(), Bad> {
    if Preset::parse(text).is_some() {
        return Ok(());
    }
    let names = Preset::ALL.iter().map(|(_, name)| *name);
    bad(format!("unknown preset `{text}`"), suggest(text, names))
}

/// Reads `30s`, `15m`, `1h`, `2d`.
pub(super) fn duration(text: &str) -> Result<Duration, Bad> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => 0,
    };
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|n| n.parse::<u64>().ok())
        .filter(|_| unit > 0);
    number
        .and_then(|n| n.checked_mul(unit))
        .map(Duration::from_secs)
        .ok_or_else(|| Bad {
            message: format!("`{text}` is no duration"),
            hint: Some("write 30s, 15m, 1h or 2d".to_owned()),
            part: None,
        })
}

/// Reads `500kB`, `5MB` and `1GB`, of 1000 each, as bytes.
pub(super) fn size(text: &str) -> Result<u64, Bad> {
    let units = [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let found = units.into_iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        number.checked_mul(bytes)
    });
    found.ok_or_else(|| Bad {
        message: format!("`{text}` is no size"),
        hint: Some("write 500kB, 5MB or 1GB".to_owned()),
        part: None,
    })
}

fn date(text: &str) -> Result<(), Bad> {
    match text.parse::<chrono::NaiveDate>() {
        Ok(_) => Ok(()),
        Err(_) => bad(
            format!("`{text}` is no date"),
            "write 2026-01-31".to_owned(),
        ),
    }
}

fn mail_address(text: &str) -> Result<(), Bad> {
    match text.parse::<lettre::message::Mailbox>() {
        Ok(_) if !text.contains(['\r', '\n']) => Ok(()),
        _ => bad(
            format!("`{}` is no mail address", text.escape_debug()),
            "write ann@example.org or Ann <ann@example.org>".to_owned(),
        ),
    }
}

fn mailto(text: &str) -> Result<(), Bad> {
    match text.strip_prefix("mailto:") {
        Some(address)
            if address.contains('@') && !address.contains(['\r', '\n', '<', '>', ' ']) =>
        {
            Ok(())
        }
        _ => bad(
            format!("`{}` is no mailto: address", text.escape_debug()),
            "write mailto:stop@example.org".to_owned(),
        ),
    }
}

fn path_template(text: &str) -> Result<(), Bad> {
    if text
        .split('/')
        .any(|segment| matches!(segment.trim(), ".." | "."))
    {
        return bad(
            format!("`{text}` could leave the destination"),
            "a path has no `.` and `..`".to_owned(),
        );
    }
    let mut segments = text.split('/').map(str::trim);
    let is_ours = |segment: &str| segment.starts_with(".databuddy-jobs.");
    let first = segments.clone().find(|segment| !segment.is_empty());
    if matches!(first, Some("_manifests" | "_schemas")) || segments.any(is_ours) {
        return bad(
            format!("`{text}` lies where the program keeps what it needs itself"),
            "`_manifests`, `_schemas` and names with `.databuddy-jobs.` in front are taken"
                .to_owned(),
        );
    }
    check_path_template(text).map_err(|(part, message)| Bad {
        hint: Some(suggest(&text[part.clone()], PLACEHOLDERS.into_iter())),
        message,
        part: Some(part),
    })
}

fn destination(text: &str) -> Result<(), Bad> {
    if text.contains("://") {
        return match BucketUrl::parse(text) {
            Ok(_) => Ok(()),
            Err(why) => bad(why.message, why.hint),
        };
    }
    let scheme = text.split_once(":/").map(|(scheme, _)| scheme);
    if let Some(scheme @ ("s3" | "gs" | "az")) = scheme {
        return bad(
            format!(
                "`{}` is neither a directory nor a bucket",
                text.escape_debug()
            ),
            format!("write {scheme}://bucket/prefix"),
        );
    }
    if text.trim().is_empty() || text.contains('\0') {
        return bad(
            "an empty destination",
            "write a directory, such as ./out/lake".to_owned(),
        );
    }
    Ok(())
}

fn word(text: &str) -> Result<(), Bad> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    if !text.is_empty() && text.chars().all(is_word) {
        return Ok(());
    }
    bad(
        format!("`{}` is no name", text.escape_debug()),
        "a name is made of letters, digits, `-` and `_`".to_owned(),
    )
}

pub(super) fn website_pattern(text: &str) -> Result<(), Bad> {
    match globset::Glob::new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(()),
        Ok(_) => bad("an empty website", "write an id or a domain".to_owned()),
        Err(error) => bad(format!("`{text}` is no pattern: {}", error.kind()), None),
    }
}

fn http_url(text: &str) -> Result<(), Bad> {
    let hint = || "write https://host, without a path".to_owned();
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if url.username().is_empty() && url.query().is_none() {
                Ok(())
            } else {
                bad("the address must not carry a user or a query", hint())
            }
        }
        Ok(_) => bad(format!("`{text}` is no http address"), hint()),
        Err(error) => bad(format!("`{text}` is no address: {error}"), hint()),
    }
}

fn ping_url(text: &str) -> Result<(), Bad> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(()),
        // The address is a secret: it is not repeated
        _ => bad(
            "this is no http address",
            "write https://host/path".to_owned(),
        ),
    }
}

fn store_url(text: &str) -> Result<(), Bad> {
    let is_file = text
        .strip_prefix("sqlite://")
        .is_some_and(|p| !p.is_empty());
    let is_server = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_file || (is_server && url::Url::parse(text).is_ok_and(|url| url.has_host())) {
        return Ok(());
    }
    let hint = "write sqlite://PATH or postgres://user:password@host/database".to_owned();
    bad("this is no store", hint)
}

fn listen_address(text: &str) -> Result<(), Bad> {
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Ok(());
    }
    let hint = "write 127.0.0.1:8080, or 0.0.0.0:8080 for all addresses".to_owned();
    bad(format!("`{text}` is no address with a port"), hint)
}

fn mail_url(text: &str) -> Result<(), Bad> {
    let known = ["smtp://", "smtps://", "dir:"];
    if known
        .iter()
        .any(|k| text.len() > k.len() && text.starts_with(k))
    {
        return Ok(());
    }
    bad(
        "mail goes to smtp://, smtps:// or dir:",
        "write smtp://user:password@host:587, smtps://user:password@host or dir:out/mail"
            .to_owned(),
    )
}

/// The likest of `words`, or `None` where none is like it.
pub(super) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    words
        .map(|w| (strsim::jaro_winkler(&w.to_lowercase(), &word), w))
        .filter(|(likeness, _)| *likeness > 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, w)| w)
}

/// "did you mean …", and the other choices.
pub(super) fn suggest<'a>(word: &str, words: impl Iterator<Item = &'a str> + Clone) -> String {
    let all = words.clone().collect::<Vec<_>>().join(", ");
    match nearest(word, words) {
        Some(likest) => format!("did you mean `{likest}`? (possible: {all})"),
        None => format!("possible: {all}"),
    }
}
