//! The words that generated rows are made of.

use fastrand::Rng;

/// A place that visitors come from: ISO code, English name, region, city, language, time zone.
pub(super) type Home = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

pub(super) const PATHS: [&str; 14] = [
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
pub(super) const REFERRERS: [&str; 6] = [
    "direct",
    "google.com",
    "news.ycombinator.com",
    "github.com",
    "duckduckgo.com",
    "linkedin.com",
];
pub(super) const HOMES: [Home; 11] = [
    (
        "US",
        "United States",
        "New York",
        "New York",
        "en-US",
        "America/New_York",
    ),
    (
        "DE",
        "Germany",
        "Berlin",
        "Berlin",
        "de-DE",
        "Europe/Berlin",
    ),
    (
        "GB",
        "United Kingdom",
        "England",
        "London",
        "en-GB",
        "Europe/London",
    ),
    (
        "FR",
        "France",
        "Île-de-France",
        "Paris",
        "fr-FR",
        "Europe/Paris",
    ),
    (
        "US",
        "United States",
        "California",
        "San Francisco",
        "en-US",
        "America/Los_Angeles",
    ),
    (
        "IN",
        "India",
        "Karnataka",
        "Bengaluru",
        "en-IN",
        "Asia/Kolkata",
    ),
    (
        "NL",
        "Netherlands",
        "North Holland",
        "Amsterdam",
        "nl-NL",
        "Europe/Amsterdam",
    ),
    (
        "DE",
        "Germany",
        "Bavaria",
        "Munich",
        "de-DE",
        "Europe/Berlin",
    ),
    (
        "BR",
        "Brazil",
        "São Paulo",
        "São Paulo",
        "pt-BR",
        "America/Sao_Paulo",
    ),
    (
        "CA",
        "Canada",
        "Ontario",
        "Toronto",
        "en-CA",
        "America/Toronto",
    ),
    ("JP", "Japan", "Tokyo", "Tokyo", "ja-JP", "Asia/Tokyo"),
];
pub(super) const DEVICES: [(&str, &str); 4] = [
    ("desktop", "1920x1080"),
    ("mobile", "390x844"),
    ("desktop", "1440x900"),
    ("tablet", "820x1180"),
];
pub(super) const BROWSERS: [(&str, &str); 4] = [
    ("Chrome", "131.0.0"),
    ("Safari", "18.1"),
    ("Firefox", "132.0"),
    ("Edge", "131.0.0"),
];
pub(super) const SYSTEMS: [(&str, &str); 5] = [
    ("Windows", "11"),
    ("macOS", "15.1"),
    ("iOS", "18.1"),
    ("Android", "15"),
    ("Linux", "6.11"),
];
pub(super) const CAMPAIGNS: [(&str, &str, &str); 4] = [
    ("newsletter", "email", "november"),
    ("google", "cpc", "brand"),
    ("linkedin", "social", "launch"),
    ("partner", "referral", "launch"),
];
/// Custom events: their name and the words of their property `plan`.
pub(super) const EVENTS: [&str; 6] = [
    "add_to_cart",
    "search",
    "newsletter_signup",
    "purchase",
    "video_play",
    "contact_form",
];
pub(super) const PLANS: [&str; 3] = ["free", "pro", "team"];
/// Errors: type, message, file.
pub(super) const ERRORS: [(&str, &str, &str); 5] = [
    (
        "TypeError",
        "Cannot read properties of undefined (reading 'x')",
        "app.js",
    ),
    (
        "ChunkLoadError",
        "Loading chunk 42 failed.\n(timeout)",
        "vendor.js",
    ),
    ("ReferenceError", "cart is not defined", "cart.js"),
    ("NetworkError", "Failed to fetch", "app.js"),
    ("Error", "Script error.", ""),
];
/// Outbound links: address and text.
pub(super) const OUTBOUND: [(&str, &str); 6] = [
    ("https://github.com/acme", "GitHub"),
    ("https://stripe.com/docs?x=1", "Docs, \"more\""),
    ("https://github.com/acme/shop/issues", "Report a bug"),
    ("https://twitter.com/acme", "Twitter"),
    ("https://status.acme.example/", "Status"),
    ("https://www.linkedin.com/company/acme", "LinkedIn"),
];

/// The first words are likelier than the last.
pub(super) fn pick<T: Copy>(rng: &mut Rng, words: &[T]) -> T {
    words[rng.usize(..words.len()).min(rng.usize(..words.len()))]
}
