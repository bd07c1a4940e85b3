//! The rows of a day: of a website, or of a link. They depend on the seed number, the place and
//! the day alone.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::{Value, json};

use super::{
    place::{Link, Site},
    words::{
        BROWSERS, CAMPAIGNS, DEVICES, ERRORS, EVENTS, HOMES, Home, OUTBOUND, PATHS, PLANS,
        REFERRERS, SYSTEMS, pick,
    },
};

/// Rows of a website's day, each a list in the order of its table's columns.
#[derive(Debug, Default)]
pub(super) struct SiteDay {
    pub(super) events: Vec<Value>,
    pub(super) errors: Vec<Value>,
    pub(super) vitals: Vec<Value>,
    pub(super) outbound: Vec<Value>,
}

/// An instant as the tables hold it: UTC, with milliseconds.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A number that these words and no others give.
fn hash(seed: u64, text: &str) -> u64 {
    text.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

fn day_rng(seed: u64, place: &str, day: NaiveDate) -> (Rng, f64) {
    let mut rng = Rng::with_seed(hash(seed, &format!("{place} {day}")));
    let weekend = if day.weekday().number_from_monday() > 5 {
        0.6
    } else {
        1.0
    };
    let factor = weekend * (0.85 + 0.3 * rng.f64());
    (rng, factor)
}

/// How many of something that happens `rate` times a day.
fn count(rate: f64) -> u32 {
    let mut count = 0;
    while f64::from(count) < rate {
        count += 1;
    }
    count
}

/// Who visits; the same on each of their days.
struct Visitor {
    id: String,
    home: Home,
    stored: &'static str,
    device: (&'static str, &'static str),
    browser: (&'static str, &'static str),
    system: (&'static str, &'static str),
}

impl Visitor {
    fn new(seed: u64, place: &str, number: u32) -> Self {
        let id = format!("anon_{number:05}");
        let mut rng = Rng::with_seed(hash(seed, &format!("{place} {id}")));
        let home = pick(&mut rng, &HOMES);
        Self {
            id,
            home,
            // Where the geo database had no answer, the proxy's code was stored
            stored: if rng.u8(..12) == 0 { home.0 } else { home.1 },
            device: pick(&mut rng, &DEVICES),
            browser: pick(&mut rng, &BROWSERS),
            system: pick(&mut rng, &SYSTEMS),
        }
    }
}

/// A session in the making.
struct Visit<'a> {
    site: &'a Site,
    visitor: &'a Visitor,
    session: String,
    referrer: &'static str,
    campaign: Option<(&'static str, &'static str, &'static str)>,
}

impl Visit<'_> {
    /// A row: the columns of every table, then its own.
    fn row(&self, at: DateTime<Utc>, path: &str, own: Value) -> Value {
        let (visitor, campaign) = (self.visitor, self.campaign);
        let (country, country_name, region, city, language, zone) = visitor.home;
        let row = json!([
            self.site.id,
            instant(at),
            visitor.id,
            self.session,
            path,
            self.referrer,
            country,
            country_name,
            visitor.stored,
            region,
            city,
            language,
            zone,
            visitor.device.0,
            visitor.device.1,
            visitor.browser.0,
            visitor.browser.1,
            visitor.system.0,
            visitor.system.1,
            campaign.map(|c| c.0),
            campaign.map(|c| c.1),
            campaign.map(|c| c.2),
        ]);
        match (row, own) {
            (Value::Array(mut row), Value::Array(own)) => {
                row.extend(own);
                Value::Array(row)
            }
            (row, _) => row,
        }
    }
}

/// The rows of a website's day.
pub(super) fn site_day(site: &Site, day: NaiveDate, seed: u64) -> SiteDay {
    let (mut rng, factor) = day_rng(seed, site.id, day);
    let pool = count(site.visitors_a_day * 20.0);
    let mut rows = SiteDay::default();
    for number in 0..count(site.visitors_a_day * factor) {
        // Some come back on other days: visitors come from a pool twenty days wide
        let visitor = Visitor::new(seed, site.id, rng.u32(..pool));
        let visit = Visit {
            site,
            visitor: &visitor,
            session: format!("sess_{}_{number}", day.format("%Y%m%d")),
            referrer: pick(&mut rng, &REFERRERS),
            campaign: (rng.u8(..7) == 0).then(|| pick(&mut rng, &CAMPAIGNS)),
        };
        add_visit(&mut rows, &visit, day, &mut rng);
    }
    rows
}

fn add_visit(rows: &mut SiteDay, visit: &Visit<'_>, day: NaiveDate, rng: &mut Rng) {
    let pages = 1 + rng.u32(..4).min(rng.u32(..6));
    let seconds = if pages == 1 { 0 } else { rng.u32(20..400) };
    // Sessions end before the day does
    let start =
        day.and_time(NaiveTime::MIN).and_utc() + TimeDelta::milliseconds(rng.i64(0..85_000_000));
    let step = seconds / pages;
    let mut last = (start, PATHS[0]);
    for page in 0..pages {
        let at = start
            + TimeDelta::seconds(i64::from(step * page))
            + TimeDelta::milliseconds(rng.i64(0..999));
        let path = pick(rng, &PATHS);
        let load = 300 + rng.u32(..2_400).min(rng.u32(..2_400));
        let own = json!([
            format!("evt_{}_{page}", visit.session.trim_start_matches("sess_")),
            "view",
            "screen_view",
            seconds,
            load,
            load / 4,
            load * 4 / 5,
            load / 3,
            if pages == 1 { rng.u32(1..40) } else { step },
            rng.u32(5..=100),
            rng.u32(..12).min(rng.u32(..12)),
            Value::Null,
        ]);
        rows.events.push(visit.row(at, path, own));
        last = (at, path);
    }
    let (at, path) = last;
    let mut later = |most: i64| at + TimeDelta::milliseconds(rng.i64(500..most));
    let (custom_at, error_at, click_at) = (later(9_000), later(5_000), later(19_000));
    if rng.u8(..100) < 14 {
        let name = pick(rng, &EVENTS);
        let plan = pick(rng, &PLANS);
        let value = f64::from(rng.u32(100..20_000)) / 100.0;
        let properties = json!({ "plan": plan, "value": value, "currency": "USD" });
        let id = format!("evt_{}_c", visit.session.trim_start_matches("sess_"));
        let nulls = [(); 7].map(|()| Value::Null);
        let mut own = vec![json!(id), json!("custom"), json!(name), json!(seconds)];
        own.extend(nulls);
        own.push(json!(properties.to_string()));
        rows.events
            .push(visit.row(custom_at, path, Value::Array(own)));
    }
    if rng.u8(..100) < 6 {
        let (kind, message, file) = pick(rng, &ERRORS);
        let known = !file.is_empty();
        let (line, column) = (rng.u32(1..900), rng.u32(1..120));
        let own = json!([
            message,
            kind,
            known.then_some(file),
            known.then_some(line),
            known.then_some(column),
            known.then(|| format!("at f ({file}:{line}:{column})\n at g")),
        ]);
        rows.errors.push(visit.row(error_at, path, own));
    }
    if rng.u8(..100) < 35 {
        let metrics = [
            ("FCP", 900.0, 1.0),
            ("LCP", 1_800.0, 1.0),
            ("TTFB", 260.0, 1.0),
            ("INP", 120.0, 1.0),
            ("CLS", 0.05, 10_000.0),
            ("FPS", 55.0, 1.0),
        ];
        for (metric, typical, precision) in metrics {
            let value = typical * (0.5 + rng.f64() + rng.f64() * rng.f64()) * precision;
            let own = json!([metric, value.round() / precision]);
            rows.vitals.push(visit.row(at, path, own));
        }
    }
    if rng.u8(..100) < 9 {
        let (href, text) = pick(rng, &OUTBOUND);
        rows.outbound
            .push(visit.row(click_at, path, json!([href, text])));
    }
}

/// The clicks of a link's day.
pub(super) fn link_day(link: &Link, day: NaiveDate, seed: u64) -> Vec<Value> {
    let (mut rng, factor) = day_rng(seed, link.id, day);
    let pool = count(link.clicks_a_day * 20.0);
    let clicks = 0..count(link.clicks_a_day * factor);
    clicks
        .map(|_| {
            let visitor = Visitor::new(seed, link.id, rng.u32(..pool));
            let (country, country_name, region, city, _, _) = visitor.home;
            let at = day.and_time(NaiveTime::MIN).and_utc()
                + TimeDelta::milliseconds(rng.i64(0..86_400_000));
            json!([
                link.id,
                instant(at),
                visitor.id,
                pick(&mut rng, &REFERRERS),
                country,
                country_name,
                visitor.stored,
                region,
                city,
                visitor.device.0,
                visitor.browser.0,
            ])
        })
        .collect()
}
