//! The embedded reports as they come out, compared with tests/golden. `GOLDEN=write cargo test
//! --lib report::tests` writes them anew; look at what changed before it is committed.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{Digest, Rendered, Template, slack};

mod names;
mod wrong;

const DAYS: [&str; 7] = [
    "2026-11-16",
    "2026-11-17",
    "2026-11-18",
    "2026-11-19",
    "2026-11-20",
    "2026-11-21",
    "2026-11-22",
];

fn rows(key: &str, rows: &[(&str, u64)]) -> Value {
    rows.iter()
        .map(|(name, n)| json!({ (key): name, "visitors": n, "pageviews": n * 2 }))
        .collect()
}

fn list(key: &str, now: &[(&str, u64)], before: &[(&str, u64)]) -> Value {
    json!({ "rows": rows(key, now), "current": {}, "previous": {}, "daily": [], "previous_rows": rows(key, before) })
}

fn daily(values: [u64; 7]) -> Value {
    DAYS.iter()
        .zip(values)
        .map(|(date, n)| json!({ "date": date, "visitors": n, "pageviews": n * 3 }))
        .collect()
}

/// A week like many.
fn normal() -> Value {
    let metrics = |visitors: u64, views: u64, bounce: f64, seconds: u64| json!({ "visitors": visitors, "pageviews": views, "bounce_rate": bounce, "session_duration": seconds });
    json!({
        "job": { "name": "weekly-report", "description": null },
        "report": { "name": "weekly" },
        "run": { "id": "01JDX", "made_at": "2026-11-23T07:00:04Z" },
        "website": { "id": "web_1", "name": "Acme Shop", "domain": "acme.test" },
        "window": { "start": "2026-11-16", "end": "2026-11-22", "days": 7, "timezone": "UTC", "label": "Mon 16 – Sun 22 Nov 2026" },
        "previous": { "start": "2026-11-09", "end": "2026-11-15", "days": 7, "timezone": "UTC", "label": "Mon 9 – Sun 15 Nov 2026" },
        "q": {
            "summary": {
                "rows": [{ "unique_visitors": 1219, "median_session_duration": 131 }],
                "current": metrics(1219, 3480, 41.2, 131), "previous": metrics(1069, 3201, 39.1, 118),
                "daily": daily([180, 260, 214, 205, 190, 92, 78]), "previous_daily": daily([150, 170, 190, 178, 181, 110, 90]),
            },
            "pages": list("name", &[("/", 702), ("/pricing", 311), ("/blog/a-launch-on-hacker-news", 188), ("/docs/install", 120), ("/about", 44)],
                &[("/", 690), ("/pricing", 240), ("/docs/install", 126), ("/changelog", 61), ("/about", 40)]),
            "traffic": list("source", &[("https://", 522), ("https://google.com", 301), ("https://news.ycombinator.com", 160), ("https://github.com", 80), ("https://acme.test", 70)],
                &[("https://", 510), ("https://google.com", 340), ("https://github.com", 77), ("https://acme.test", 66)]),
            "countries": list("country_name", &[("United States", 480), ("Germany", 251), ("France", 120), ("United Kingdom", 99), ("Brazil", 41)],
                &[("United States", 390), ("Germany", 248), ("France", 118), ("United Kingdom", 97), ("Brazil", 12)]),
            "device_types": list("device_type", &[("desktop", 740), ("mobile", 430), ("tablet", 49)], &[("desktop", 660), ("mobile", 370), ("tablet", 39)]),
            "events": list("name", &[("signup", 42), ("add_to_cart", 149)], &[("signup", 30), ("add_to_cart", 150)]),
            "errors": { "rows": [{ "totalErrors": 276 }], "previous_rows": [{ "totalErrors": 120 }] },
            "vitals": { "rows": [{ "metric_name": "LCP", "p75": 2810.5 }, { "metric_name": "INP", "p75": 120 }] },
        },
    })
}

fn render(name: &str, context: &Value) -> Rendered {
    let template =
        Template::load(&PathBuf::from("no-such-folder"), name).unwrap_or_else(|e| panic!("{e}"));
    template.render(context).unwrap_or_else(|e| panic!("{e}"))
}

/// What holds for every mail, and then the golden files.
fn check(case: &str, template: &str, context: &Value) -> Rendered {
    let mail = render(template, context);
    assert!(
        !mail.subject.contains(['\r', '\n']) && !mail.subject.is_empty(),
        "{:?}",
        mail.subject
    );
    assert!(mail.html.len() < 100_000, "{} bytes", mail.html.len());
    assert!(
        !mail.html.contains("<script")
            && !mail.html.contains("<svg")
            && !mail.html.contains("src=\"data:")
    );
    assert!(mail.html.matches("<table").count() == mail.html.matches("</table>").count());
    let named = mail.html.matches("src=\"cid:").count();
    assert!(named >= mail.images.len(), "each picture is shown");
    for image in &mail.images {
        assert!(
            mail.html.contains(&format!("src=\"cid:{}\"", image.cid))
                && image.png.len() < 20_000
                && !image.alt.is_empty()
        );
    }
    assert_eq!(
        mail,
        render(template, context),
        "the same data make the same bytes"
    );
    golden(&format!("{case}.html"), mail.html.as_bytes());
    golden(
        &format!("{case}.txt"),
        format!(
            "Subject: {}\nPreheader: {}\n\n{}",
            mail.subject, mail.preheader, mail.text
        )
        .as_bytes(),
    );
    if let (Some(chart), "normal" | "zero" | "huge") = (mail.images.first(), case) {
        golden(&format!("{case}.png"), &chart.png);
    }
    check_channels(case, context, &mail.subject);
    mail
}

/// What holds for every message of a channel, and then the golden files.
fn check_channels(case: &str, context: &Value, subject: &str) {
    let digest = Digest::of(context);
    let message = slack(&digest, subject);
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{} blocks", blocks.len());
    for block in blocks {
        let texts = ["fields", "elements"].map(|key| block[key].as_array());
        let texts = texts.into_iter().flatten().flatten();
        for text in texts.chain(block.get("text")) {
            let most = if block["type"] == "header" { 150 } else { 3000 };
            let words = text["text"].as_str().unwrap();
            assert!((1..=most).contains(&words.chars().count()), "{words}");
            let is_markup = text["type"] == "mrkdwn";
            assert!(!is_markup || !words.contains(['<', '>']), "{words}");
        }
    }
    assert!(!message["text"].as_str().unwrap().contains(['<', '>']));
    golden(
        &format!("{case}.slack.json"),
        format!("{message:#}\n").as_bytes(),
    );
    if ["normal", "zero", "script", "markup", "names", "failed"].contains(&case) {
        let digest = serde_json::to_value(&digest).unwrap();
        golden(
            &format!("{case}.digest.json"),
            format!("{digest:#}\n").as_bytes(),
        );
    }
}

fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    #[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
    if std::env::var("GOLDEN").is_ok_and(|word| word == "write") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let kept = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(
        kept == bytes,
        "{} differs; GOLDEN=write writes it anew",
        path.display()
    );
}

#[test]
fn a_normal_week() {
    let mail = check("normal", "weekly", &normal());
    // The bench renders it too
    golden("normal.json", format!("{:#}\n", normal()).as_bytes());
    assert_eq!(mail.subject, "Acme Shop: 1,219 visitors last week (+14%)");
    assert_eq!(
        mail.preheader,
        "1,219 visitors, up 150 (+14%) on the week before; most of it from news.ycombinator.com. Mon 16 – Sun 22 Nov 2026"
    );
    assert!(
        mail.images[0]
            .alt
            .starts_with("Visitors a day: Mon 16 180 (150), Tue 17 260 (170)")
    );
    for number in [
        "1,219",
        "3,480",
        "41.2%",
        "2 m 11 s",
        "news.ycombinator.com",
        "signup",
        "276",
    ] {
        assert!(
            mail.html.contains(number) && mail.text.contains(number),
            "{number} stands in both parts"
        );
    }
    assert!(mail.html.contains("worse") && mail.html.contains("Median session"));
}

#[test]
fn it_speaks_german_and_french() {
    let mut context = normal();
    context["report"]["lang"] = json!("de");
    let mail = check("german", "weekly", &context);
    assert_eq!(
        mail.subject,
        "Acme Shop: 1.219 Besucher letzte Woche (+14\u{a0}%)"
    );
    assert!(mail.html.contains("lang=\"de\"") && mail.html.contains("Mo 16. – So 22. Nov. 2026"));
    context["report"]["lang"] = json!("fr");
    let mail = check("french", "weekly", &context);
    assert!(
        mail.text.contains("1\u{a0}219 visiteurs, en hausse de 150"),
        "{}",
        mail.text
    );
}

#[test]
fn a_week_without_anybody() {
    let mut context = normal();
    let nobody = json!({ "visitors": 0, "pageviews": 0, "sessions": 0 });
    let q = &mut context["q"];
    q["summary"] = json!({ "rows": [], "current": nobody, "previous": nobody, "daily": daily([0; 7]), "previous_daily": daily([0; 7]) });
    for name in ["pages", "traffic", "countries", "device_types", "events"] {
        q[name] = list("name", &[], &[]);
    }
    q["errors"] = json!({ "rows": [] });
    q["vitals"] = json!({ "rows": [] });
    let mail = check("zero", "weekly", &context);
    assert_eq!(mail.subject, "Acme Shop: quiet week (0 visitors)");
    assert_eq!(mail.images.len(), 1, "a week of zeros is a chart");
    assert!(!mail.html.contains("Top pages") && !mail.html.contains("What moved"));
}

#[test]
fn the_first_week_has_nothing_to_compare() {
    let mut context = normal();
    for (_, query) in context["q"].as_object_mut().unwrap() {
        query["previous"] = json!({});
        query["previous_rows"] = Value::Null;
        query.as_object_mut().unwrap().remove("previous_daily");
    }
    let mail = check("first", "weekly", &context);
    assert_eq!(mail.subject, "Acme Shop: 1,219 visitors last week");
    assert!(mail.html.contains("with nothing to compare them with yet"));
    assert!(
        !mail.html.contains("What moved")
            && !mail.html.contains('▲')
            && !mail.html.contains("Week before")
    );
}

#[test]
fn a_week_with_a_change_of_clocks_ends_an_hour_later_in_utc() {
    let mut context = normal();
    context["window"] = json!({ "start": "2026-10-19", "end": "2026-10-25", "days": 7, "timezone": "Europe/Berlin" });
    context["previous"] = json!({ "start": "2026-10-12", "end": "2026-10-18", "days": 7, "timezone": "Europe/Berlin" });
    let mail = check("dst", "weekly", &context);
    assert!(
        mail.text
            .contains("in UTC: 2026-10-18 22:00 to 2026-10-25 23:00"),
        "{}",
        mail.text
    );
}

#[test]
fn numbers_of_any_size_have_their_place() {
    let mut context = normal();
    let q = &mut context["q"];
    q["summary"]["current"] = json!({ "visitors": 4_294_967_296_u64, "pageviews": 9_007_199_254_740_u64, "bounce_rate": 100.0, "session_duration": 86_399 });
    q["summary"]["daily"] = daily([
        4_294_967_296,
        1,
        1_000_000_000_000,
        12_345_678,
        0,
        999_999,
        10_000,
    ]);
    q["pages"] = list(
        "name",
        &[("/", 987_654_321_012), ("/b", 1)],
        &[("/", 1), ("/b", 1)],
    );
    let mail = check("huge", "weekly", &context);
    assert!(mail.text.contains("9,007,199,254,740") && mail.html.contains("23 h 59 m"));
    assert!(mail.html.contains(">9tn<") && mail.html.contains("(+&gt;999%)"));
}

#[test]
fn a_file_that_is_too_large_is_named_with_its_place() {
    let mut context = normal();
    let file = |name: &str, links: Value| json!({ "name": name, "rows": 120_000, "attached": links == json!([]), "links": links });
    let places = json!([
        "file:///srv/lake/pages/day=2026-11-16/data.csv",
        "s3://lake/<b>.csv"
    ]);
    context["attachments"] = json!([file("small.csv", json!([])), file("pages.csv", places)]);
    let mail = check("files", "weekly", &context);
    let message = slack(&Digest::of(&context), &mail.subject).to_string();
    for part in [&mail.html, &mail.text, &message] {
        assert!(part.contains("pages.csv is too large for a mail (120,000 rows)."));
        assert!(part.contains("file:///srv/lake/pages/day=2026-11-16/data.csv"));
        assert!(!part.contains("small.csv"), "it goes with the mail");
    }
    assert!(mail.html.contains("s3://lake/&lt;b&gt;.csv"));
}

#[test]
fn a_section_that_failed_says_so_in_its_place_and_in_the_subject() {
    let mut context = normal();
    let failed = |query| json!({ "website_id": "web_1", "query": query, "error": "the server answers <500>" });
    context["report"]["incomplete"] = json!(true);
    context["report"]["failed"] = json!([failed("pages"), failed("errors")]);
    context["q"]["pages"] = json!({ "rows": [], "current": {}, "previous": {}, "daily": [], "previous_rows": [], "failed": "the server answers <500>" });
    context["q"]["errors"] = json!({ "rows": [], "failed": "the server answers <500>" });
    let mail = check("failed", "weekly", &context);
    assert_eq!(
        mail.subject,
        "[incomplete] Acme Shop: 1,219 visitors last week (+14%)"
    );
    assert!(
        mail.html
            .contains("could not be fetched: the server answers &lt;500&gt;")
    );
    assert!(mail.html.contains("what is missing: pages, errors"));
    assert!(
        mail.text
            .contains("could not be fetched: the server answers <500>")
    );
    context["q"]["summary"] =
        json!({ "rows": [], "current": {}, "previous": {}, "daily": [], "failed": "timeout" });
    let mail = render("weekly", &context);
    assert!(
        mail.subject.contains("no numbers") && mail.images.is_empty(),
        "no chart of nothing"
    );
}

/// A bundle of 65 websites.
fn bundle() -> Value {
    let mut context = normal();
    let site = |n: u64| {
        let mut site = json!({ "website": { "id": n, "name": format!("Site {n}"), "domain": format!("s{n}.test") }, "q": normal()["q"] });
        site["q"]["summary"]["current"]["visitors"] = json!(n * 1000);
        site["q"]["traffic"] = list("source", &[("https://acme.test", 999)], &[]);
        if n == 5 {
            site["website"]["domain"] = json!("acme.test");
        }
        site
    };
    let small = (1..=60).map(|n| {
        let mut small = site(1);
        small["website"]["name"] = json!(format!("Small site {n}"));
        small["q"]["summary"]["current"]["visitors"] = json!(n);
        small
    });
    let sites: Vec<Value> = [2, 5, 1, 4, 3].into_iter().map(site).chain(small).collect();
    context["websites"] = json!(sites);
    context.as_object_mut().unwrap().remove("website");
    context.as_object_mut().unwrap().remove("q");
    context["report"]["per"] = json!("job");
    context
}

#[test]
fn a_bundle_names_what_failed_of_which_website() {
    let mut context = bundle();
    let failed = |id: u64, query: &str| json!({ "website_id": format!("web_{id}"), "query": query, "error": "timeout" });
    for site in context["websites"].as_array_mut().unwrap() {
        let id = site["website"]["id"].as_u64().unwrap();
        site["website"]["id"] = json!(format!("web_{id}"));
        let nothing = json!({ "rows": [], "current": {}, "previous": {}, "daily": [], "previous_rows": [], "failed": "timeout" });
        let is_small = site["website"]["name"] == "Small site 7";
        if id == 5 || is_small {
            site["incomplete"] = json!(true);
            site["q"][if is_small { "summary" } else { "pages" }] = nothing;
        }
    }
    context["report"]["incomplete"] = json!(true);
    context["report"]["failed"] = json!([failed(5, "pages"), failed(7, "summary")]);
    let mail = check("bundle_failed", "bundle", &context);
    assert_eq!(
        mail.subject,
        "[incomplete] 65 websites: Mon 16 – Sun 22 Nov 2026"
    );
    for part in [&mail.html, &mail.text] {
        assert!(part.contains("what is missing: pages (web_5), summary (web_7)."));
        assert!(part.contains("what is missing: pages."), "in its section");
        assert!(part.contains("could not be fetched: timeout"));
    }
    assert!(mail.text.contains("Small site 7: no numbers"));
    let message = slack(&Digest::of(&context), &mail.subject).to_string();
    assert!(message.contains("what is missing: pages (web_5), summary (web_7)."));
}

#[test]
fn a_bundle_of_a_week_with_a_change_of_clocks_says_both_ends_in_utc() {
    let mut context = bundle();
    context["window"] = json!({ "start": "2026-10-19", "end": "2026-10-25", "days": 7, "timezone": "Europe/Berlin" });
    context["previous"] = json!({ "start": "2026-10-12", "end": "2026-10-18", "days": 7, "timezone": "Europe/Berlin" });
    let mail = check("bundle_dst", "bundle", &context);
    let span = "in UTC: 2026-10-18 22:00 to 2026-10-25 23:00";
    assert!(mail.html.contains(span) && mail.text.contains(span));
    let digest = Digest::of(&context);
    assert!(digest.notes[0].contains(span), "{:?}", digest.notes);
    assert_eq!((digest.websites.len(), digest.others.len()), (3, 62));
}

#[test]
fn more_websites_than_blocks_hold_are_counted() {
    let mut context = bundle();
    let site = context["websites"][0].clone();
    let sites = context["websites"].as_array_mut().unwrap();
    let more = (0..900).map(|n| {
        let mut site = site.clone();
        site["website"]["name"] = json!(format!("One of many websites with a long name {n}"));
        site
    });
    sites.extend(more);
    let message = slack(&Digest::of(&context), "965 websites");
    let texts: Vec<&str> = message["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|block| block["text"]["text"].as_str())
        .collect();
    let shown = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.contains("up 931"))
        .count();
    let more = format!("and {} more", 962 - shown);
    assert!(
        shown > 50 && texts.last().unwrap().ends_with(&more),
        "{shown} {texts:?}"
    );
    assert!(texts.iter().all(|text| text.chars().count() <= 3000));
    assert!(message["blocks"].as_array().unwrap().len() <= 50);
}

#[test]
fn a_bundle_has_three_websites_in_full_and_a_line_of_each_other() {
    let context = bundle();
    let mail = check("bundle", "bundle", &context);
    assert_eq!(mail.subject, "65 websites: Mon 16 – Sun 22 Nov 2026");
    assert_eq!(mail.html.matches("Top pages").count(), 3);
    assert_eq!(
        mail.html.matches("acme.test (own pages)").count(),
        1,
        "each section knows its own website"
    );
    assert!(mail.html.contains("Site 1: 1,000 visitors, down 69 (−6%)"));
    assert!(mail.html.find("Site 5").unwrap() < mail.html.find("Site 4").unwrap());
}

#[test]
fn a_template_of_the_project_may_override_one_block() {
    let project = tempfile::tempdir().unwrap();
    let own = project.path().join("weekly");
    fs::create_dir(&own).unwrap();
    fs::write(
        own.join("body.html"),
        "{% extends \"weekly/body.html\" %}\n{% block moved %}<tr><td>Ours</td></tr>{% endblock %}",
    )
    .unwrap();
    let mail = Template::load(project.path(), "weekly")
        .unwrap()
        .render(&normal())
        .unwrap();
    assert!(
        mail.html.contains("Ours")
            && !mail.html.contains("What moved")
            && mail.html.contains("Top pages")
    );
    assert!(
        mail.text.contains("What moved"),
        "files that it lacks are the embedded ones"
    );
}

#[test]
fn a_wrong_template_says_where_and_what_there_is() {
    let project = tempfile::tempdir().unwrap();
    let own = project.path().join("mine");
    fs::create_dir(&own).unwrap();
    for (file, text) in [
        ("report.yaml", "queries: {}"),
        ("subject.txt", "x"),
        ("body.txt", "x"),
        ("body.html", "<p>\n{{ website.nmae }}</p>"),
    ] {
        fs::write(own.join(file), text).unwrap();
    }
    let of = |text: &str| {
        fs::write(own.join("body.html"), text).unwrap();
        Template::load(project.path(), "mine")
            .unwrap()
            .render(&normal())
            .unwrap_err()
            .to_string()
    };
    let error = of("<p>\n{{ website.nmae }}</p>");
    for word in ["templates/mine/body.html", "2:", "nmae", "domain"] {
        assert!(error.contains(word), "{word} in {error}");
    }
    let error = of("{{ line_chart(days=[]) }}");
    assert!(
        error.contains("line_chart(…): the chart has no values"),
        "{error}"
    );
    let error = of("{{ words(key='he' ~ 'lo') }}");
    assert!(error.contains("no words `helo`"), "{error}");
    fs::remove_file(own.join("body.txt")).unwrap();
    assert!(
        Template::load(project.path(), "mine")
            .unwrap_err()
            .to_string()
            .contains("body.txt")
    );
    assert!(
        Template::load(project.path(), "nix")
            .unwrap_err()
            .to_string()
            .contains("`nix`")
    );
}
