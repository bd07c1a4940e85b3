//! The rows behind the answers: page views, generated a day at a time when first asked for.
//! A day's rows depend on the seed number, the website and the day alone.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use fastrand::Rng;
use sqlx::{AnyPool, Executor, Row, any::AnyPoolOptions};

use super::SandboxOptions;

/// A website of the sandbox.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) domain: &'static str,
    visitors_a_day: f64,
}

/// The websites.
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

const SCHEMA: &str = "PRAGMA journal_mode=WAL; PRAGMA busy_timeout=15000; PRAGMA synchronous=OFF;
    CREATE TABLE IF NOT EXISTS views (website_id TEXT NOT NULL, at TEXT NOT NULL, visitor TEXT NOT NULL,
        session TEXT NOT NULL, seconds BIGINT NOT NULL, path TEXT NOT NULL, referrer TEXT NOT NULL,
        country TEXT NOT NULL, device_type TEXT NOT NULL, browser_name TEXT NOT NULL, os_name TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS views_day ON views (website_id, at);
    CREATE TABLE IF NOT EXISTS generated_days (seed BIGINT NOT NULL, website_id TEXT NOT NULL,
        day TEXT NOT NULL, PRIMARY KEY (seed, website_id, day));";

const PATHS: [&str; 14] = [
    "/",
    "/pricing",
    "/products",
    "/blog",
    "/blog/launch",
    "/blog/how-we-count",
    "/docs",
    "/docs/install",
    "/docs/api",
    "/about",
    "/contact",
    "/cart",
    "/checkout",
    "/blog/a-year-in-numbers",
];
const REFERRERS: [&str; 6] = [
    "direct",
    "google.com",
    "news.ycombinator.com",
    "github.com",
    "duckduckgo.com",
    "linkedin.com",
];
const COUNTRIES: [&str; 8] = ["US", "DE", "GB", "FR", "IN", "NL", "BR", "JP"];
const DEVICES: [&str; 3] = ["desktop", "mobile", "tablet"];
const BROWSERS: [&str; 4] = ["Chrome", "Safari", "Firefox", "Edge"];
const SYSTEMS: [&str; 5] = ["Windows", "macOS", "iOS", "Android", "Linux"];

/// The database.
pub(super) struct Data {
    pub(super) pool: AnyPool,
    options: SandboxOptions,
}

impl Data {
    pub(super) async fn open(options: &SandboxOptions) -> Result<Self, sqlx::Error> {
        sqlx::any::install_default_drivers();
        let file = options.state_dir.join(format!("api-{}.db", options.seed));
        let url = format!("sqlite://{}?mode=rwc", file.display());
        let pool = AnyPoolOptions::new()
            .max_connections(4)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(SCHEMA).await.map(|_| ()) })
            })
            .connect(&url)
            .await?;
        Ok(Self {
            pool,
            options: options.clone(),
        })
    }

    /// The instants between which rows show: so many days before now, until now.
    pub(super) fn visible(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let now = (self.options.now)();
        let first = now.date_naive() - Days::new(u64::from(self.options.days));
        (first.and_time(chrono::NaiveTime::MIN).and_utc(), now)
    }

    /// Makes sure that the rows of these days are there.
    pub(super) async fn generate(
        &self,
        site: &Site,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<(), sqlx::Error> {
        let (first, now) = self.visible();
        let mut day = from.max(first.date_naive());
        while day <= to.min(now.date_naive()) {
            self.generate_day(site, day).await?;
            day = day + Days::new(1);
        }
        Ok(())
    }

    async fn generate_day(&self, site: &Site, day: NaiveDate) -> Result<(), sqlx::Error> {
        let seed = i64::try_from(self.options.seed).unwrap_or(i64::MAX);
        let key = "SELECT COUNT(*) AS n FROM generated_days WHERE seed = $1 AND website_id = $2 AND day = $3";
        let known = |row: sqlx::any::AnyRow| row.try_get::<i64, _>("n").map(|n| n > 0);
        let text = day.to_string();
        if known(
            sqlx::query(key)
                .bind(seed)
                .bind(site.id)
                .bind(&text)
                .fetch_one(&self.pool)
                .await?,
        )? {
            return Ok(());
        }
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        // Another process may have been faster
        if known(
            sqlx::query(key)
                .bind(seed)
                .bind(site.id)
                .bind(&text)
                .fetch_one(&mut *tx)
                .await?,
        )? {
            return Ok(());
        }
        for view in views(site, day, self.options.seed) {
            let sql = "INSERT INTO views VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
            sqlx::query(sql)
                .bind(site.id)
                .bind(view.at)
                .bind(view.visitor)
                .bind(view.session)
                .bind(view.seconds)
                .bind(view.path)
                .bind(view.referrer)
                .bind(view.country)
                .bind(view.device)
                .bind(view.browser)
                .bind(view.system)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query("INSERT INTO generated_days VALUES ($1, $2, $3)")
            .bind(seed)
            .bind(site.id)
            .bind(text)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }
}

struct View {
    at: String,
    visitor: String,
    session: String,
    seconds: i64,
    path: &'static str,
    referrer: &'static str,
    country: &'static str,
    device: &'static str,
    browser: &'static str,
    system: &'static str,
}

/// The first words are likelier than the last.
fn pick<T: Copy>(rng: &mut Rng, words: &[T]) -> T {
    words[rng.usize(..words.len()).min(rng.usize(..words.len()))]
}

fn views(site: &Site, day: NaiveDate, seed: u64) -> Vec<View> {
    let number = u64::try_from(day.num_days_from_ce()).unwrap_or(0);
    let place = site.id.bytes().fold(seed, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let mut rng = Rng::with_seed(place.wrapping_mul(1_000_003).wrapping_add(number));
    let weekend = if day.weekday().number_from_monday() > 5 {
        0.6
    } else {
        1.0
    };
    let count = site.visitors_a_day * weekend * (0.85 + 0.3 * rng.f64());
    let mut views = Vec::new();
    let mut visitor_number = 0.0;
    while visitor_number < count {
        visitor_number += 1.0;
        // Some come back on other days: visitors come from a pool twenty days wide
        let visitor = format!(
            "anon_{:05}",
            rng.usize(
                ..(site.visitors_a_day * 20.0)
                    .round()
                    .max(20.0)
                    .to_string()
                    .parse()
                    .unwrap_or(20)
            )
        );
        let session = format!("sess_{number}_{visitor_number}");
        let (referrer, country) = (pick(&mut rng, &REFERRERS), pick(&mut rng, &COUNTRIES));
        let (device, browser, system) = (
            pick(&mut rng, &DEVICES),
            pick(&mut rng, &BROWSERS),
            pick(&mut rng, &SYSTEMS),
        );
        let pages = 1 + rng.usize(..4).min(rng.usize(..6));
        let seconds = if pages == 1 { 0 } else { rng.i64(20..400) };
        let start = day.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(rng.i64(0..85_000));
        for page in 0..pages {
            let at = start + TimeDelta::seconds(i64::try_from(page).unwrap_or(0) * 30);
            views.push(View {
                at: at.format("%Y-%m-%d %H:%M:%S").to_string(),
                visitor: visitor.clone(),
                session: session.clone(),
                seconds,
                path: pick(&mut rng, &PATHS),
                referrer,
                country,
                device,
                browser,
                system,
            });
        }
    }
    views
}
