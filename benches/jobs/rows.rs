//! Rows as the API answers them, made from their number alone: every clone measures the same bytes.

use std::fmt::Write as _;

use fastrand::Rng;

/// A query type that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// Narrow: a path and three numbers, about 90 bytes.
    Pages,
    /// Wide: 13 columns, one of them a list of lists, about 740 bytes.
    SessionList,
    /// Texts, one of them JSON in JSON, about 370 bytes.
    CustomEventsRecent,
}

impl Shape {
    pub(crate) const ALL: [Self; 3] = [Self::Pages, Self::SessionList, Self::CustomEventsRecent];

    /// Its name in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::SessionList => "session_list",
            Self::CustomEventsRecent => "custom_events_recent",
        }
    }

    /// Writes the row of this number, as `JSON.stringify` does.
    pub(crate) fn write(self, number: usize, out: &mut String) {
        // Spread over all bits: small seeds give numbers that resemble each other, and pack better than real ones
        let seed = ((number as u64) << 2 | self as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = Rng::with_seed(seed);
        let written = match self {
            Self::Pages => page(number, &mut random, out),
            Self::SessionList => session(number, &mut random, out),
            Self::CustomEventsRecent => event(number, &mut random, out),
        };
        written.expect("writing to a string cannot fail");
    }
}

const SECTIONS: [&str; 8] = [
    "blog",
    "docs",
    "product",
    "category",
    "help",
    "pricing",
    "changelog",
    "compare",
];
const WORDS: [&str; 12] = [
    "getting-started",
    "privacy",
    "analytics",
    "dashboard",
    "tracking",
    "events",
    "funnels",
    "retention",
    "vitals",
    "café",
    "billing",
    "migration",
];
const COUNTRIES: [(&str, &str); 8] = [
    ("US", "United States"),
    ("DE", "Germany"),
    ("IN", "India"),
    ("FR", "France"),
    ("BR", "Brazil"),
    ("JP", "Japan"),
    ("GB", "United Kingdom"),
    ("TR", "Türkiye"),
];
const REFERRERS: [&str; 5] = [
    "https://www.google.com/",
    "https://duckduckgo.com/",
    "https://t.co/a1B2c3D4e5",
    "https://news.ycombinator.com/item?id=41234567",
    "https://www.reddit.com/r/selfhosted/",
];
const DEVICES: [&str; 4] = ["desktop", "desktop", "mobile", "tablet"];
const BROWSERS: [&str; 6] = [
    "Chrome",
    "Chrome",
    "Mobile Safari",
    "Safari",
    "Firefox",
    "Edge",
];
const SYSTEMS: [&str; 5] = ["Windows", "Mac OS", "iOS", "Android", "Linux"];
const ACTIONS: [&str; 6] = [
    "screen_view",
    "screen_view",
    "page_exit",
    "web_vitals",
    "signup_clicked",
    "purchase",
];
const EVENTS: [&str; 6] = [
    "purchase",
    "signup",
    "plan_upgraded",
    "invite_sent",
    "search",
    "checkout_started",
];
const PLANS: [&str; 4] = ["free", "hobby", "pro", "scale"];

fn page(number: usize, random: &mut Rng, out: &mut String) -> std::fmt::Result {
    let views = 1 + 3_000_000 / (number + 7) + random.usize(..900);
    let visitors = views - random.usize(..views);
    let percentage = (random.f64().powi(8) * 10_000.0).round() / 100.0;
    let (section, first, second) = (
        pick(random, &SECTIONS),
        pick(random, &WORDS),
        pick(random, &WORDS),
    );
    write!(
        out,
        r#"{{"name":"/{section}/{first}-{second}-{number}","pageviews":{views},"visitors":{visitors},"percentage":{percentage}}}"#
    )
}

fn session(number: usize, random: &mut Rng, out: &mut String) -> std::fmt::Result {
    let first = START_MS + (1_000_000 - number as u64 % 1_000_000) * STEP_MS;
    let (mut last, mut views) = (first, 0);
    let mut events = String::with_capacity(1024);
    for index in 0..1 + random.u8(..3) + random.u8(..3) * random.u8(..2) {
        let action = if index == 0 {
            ACTIONS[0]
        } else {
            pick(random, &ACTIONS)
        };
        if index > 0 {
            events.push(',');
            last += random.u64(..90_000);
        }
        views += u32::from(action == ACTIONS[0]);
        write!(
            events,
            r#"["{}","{}","{action}","{}","#,
            uuid(random),
            time(last),
            path(random)
        )?;
        match action {
            "purchase" | "signup_clicked" => write!(events, r#""{}"]"#, properties(random))?,
            _ => events.push_str("null]"),
        }
    }
    write!(
        out,
        r#"{{"session_id":"{}","first_visit":"{}","last_visit":"{}","page_views":{views},"visitor_id":"anon_{}","#,
        uuid(random),
        time(first),
        time(last),
        uuid(random)
    )?;
    let (code, country) = pick(random, &COUNTRIES);
    write!(out, r#""country":"{country}","referrer":"#)?;
    match random.u8(..3) {
        0 => out.push_str("null"),
        _ => write!(out, r#""{}""#, pick(random, &REFERRERS))?,
    }
    let (device, browser, system) = (
        pick(random, &DEVICES),
        pick(random, &BROWSERS),
        pick(random, &SYSTEMS),
    );
    write!(
        out,
        r#","device_type":"{device}","browser_name":"{browser}","os_name":"{system}","events":[{events}],"country_code":"{code}","country_name":"{country}"}}"#
    )
}

fn event(number: usize, random: &mut Rng, out: &mut String) -> std::fmt::Result {
    let at = START_MS + (1_000_000 - number as u64 % 1_000_000) * STEP_MS;
    write!(
        out,
        r#"{{"event_name":"{}","namespace":"#,
        pick(random, &EVENTS)
    )?;
    out.push_str(pick(random, &["null", r#""shop""#]));
    out.push_str(r#","path":"#);
    match random.u8(..4) {
        0 => out.push_str("null"),
        _ => write!(out, r#""{}""#, path(random))?,
    }
    write!(
        out,
        r#","source":"{}","properties":"{}","anonymous_id":"anon_{}","session_id":"{}","timestamp":"{}"}}"#,
        pick(random, &["browser", "server"]),
        properties(random),
        uuid(random),
        uuid(random),
        time(at)
    )
}

/// Of January 2026: the first instant of a row.
const START_MS: u64 = 86_400_000;
/// Between two rows: a million of them lie within the month.
const STEP_MS: u64 = 2_500;

/// An instant of January 2026 as the server's database writes it.
fn time(ms: u64) -> String {
    let (day, rest) = (1 + ms / 86_400_000, ms % 86_400_000);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!(
        "2026-01-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}",
        rest % 1000
    )
}

fn uuid(random: &mut Rng) -> String {
    let (high, low) = (random.u64(..), random.u64(..));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

fn path(random: &mut Rng) -> String {
    let (section, first, second) = (
        pick(random, &SECTIONS),
        pick(random, &WORDS),
        pick(random, &WORDS),
    );
    format!("/{section}/{first}-{second}-{}", random.u32(..40_000))
}

/// The server keeps properties as text: JSON inside of a JSON string.
fn properties(random: &mut Rng) -> String {
    let (plan, word) = (pick(random, &PLANS), pick(random, &WORDS));
    let (whole, cents) = (random.u32(..500), random.u32(..100));
    let (items, coupon) = (random.u32(1..10), random.u32(10..100));
    let discount = match random.u8(..2) {
        0 => String::new(),
        _ => format!(r#",\"coupon\":\"SAVE{coupon}\",\"first\":true"#),
    };
    let search = match random.u8(..3) {
        0 => format!(r#",\"query\":\"{word}\",\"tags\":[\"{word}\",\"{plan}\"]"#),
        _ => String::new(),
    };
    format!(
        r#"{{\"plan\":\"{plan}\",\"amount\":{whole}.{cents:02},\"currency\":\"EUR\",\"items\":{items}{discount}{search}}}"#
    )
}

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}
