//! Templates that people get wrong: what they are told.

use std::fs;

use serde_json::Value;

use super::{super::Template, normal};

/// What a template whose HTML is this is refused with; what it renders to, where it is not.
fn rendered(html: &str, context: &Value) -> Result<String, String> {
    let project = tempfile::tempdir().unwrap();
    let own = project.path().join("mine");
    fs::create_dir(&own).unwrap();
    let files = [
        ("report.yaml", "queries: {}"),
        ("subject.txt", "x"),
        ("body.txt", "x"),
        ("body.html", html),
    ];
    for (file, text) in files {
        fs::write(own.join(file), text).unwrap();
    }
    let template = Template::load(project.path(), "mine").map_err(|e| e.to_string())?;
    let mail = template.render(context).map_err(|e| e.to_string())?;
    Ok(mail.html)
}

fn refused(html: &str) -> String {
    match rendered(html, &normal()) {
        Err(error) => error,
        Ok(html) => panic!("renders to {html}"),
    }
}

#[test]
fn odd_arguments_are_refused_and_nothing_panics() {
    let error = refused("<p>\n{{ 1.5 | num(decimals=100000) }}");
    for word in ["templates/mine/body.html:2", "decimals=100000", "0 to 9"] {
        assert!(error.contains(word), "{word} in {error}");
    }
    assert!(refused("{{ 1.5 | percent(decimals=10) }}").contains("decimals=10"));
    refused("{{ 1.5 | num(decimals=-1) }}");
    refused("{{ line_chart(days=[{\"value\": 1}], width=99999999999) }}");
    refused("{{ sparkline(values=[1, -2]) }}");
    refused("{{ bar_chart(rows=range(end=10000)) }}");
    assert_eq!(
        rendered("{{ 1.5 | num(decimals=9) }}", &normal()).unwrap(),
        "1.500000000"
    );
}

#[test]
fn the_largest_numbers_are_drawn() {
    let mut context = normal();
    context["days"] =
        serde_json::json!([{ "short": "Mon", "name": "a", "value": f64::MAX, "before": f64::MAX }]);
    for call in [
        "line_chart(days=days)",
        "bar_chart(rows=days)",
        "sparkline(days=days)",
    ] {
        let html = rendered(&format!("{{{{ {call} }}}}"), &context).unwrap();
        assert!(html.contains("<img"), "{call}: {html}");
    }
    let numbers = "{{ days[0].value | num }} {{ days[0].value | duration }} {{ days[0].value | compact }} {{ days[0].value | percent }}";
    rendered(numbers, &context).unwrap();
}

#[test]
fn a_template_that_writes_without_end_ends() {
    let endless = "{% for a in range(end=10000) %}{% for b in range(end=90) %}{{ website.name }} {% endfor %}{% endfor %}";
    let error = refused(endless);
    for word in ["templates/mine/body.html", "more than 4 MB", "loop"] {
        assert!(error.contains(word), "{word} in {error}");
    }
}

#[test]
fn a_query_that_is_not_there_is_no_empty_section() {
    for call in [
        "top(query=q.typo)",
        "days(query=q.typo)",
        "kpis(query=q.typo)",
        "events(query=q.typo)",
        "failed(query=q.typo)",
        "daily_metric(query=q.typo)",
        "headline(query=q.summary, sources=q.typo)",
        "subject(site=website.name, query=q.typo)",
        "moved(pages=q.typo, sources=q.traffic)",
        "health(errors=q.typo)",
    ] {
        let error = refused(&format!("<p>\n{{{{ {call} }}}}"));
        let (name, _) = call.split_once('(').unwrap();
        let place = "templates/mine/body.html:2";
        for word in [
            place,
            &format!("{name}(…): `"),
            "` is not there",
            "q` has summary, pages",
        ] {
            assert!(error.contains(word), "{word} in {error}");
        }
    }
    let mut context = normal();
    context["previous"] = Value::Null;
    context["q"]["pages"] = Value::Null;
    let error = |call: &str| rendered(&format!("{{{{ {call} }}}}"), &context).unwrap_err();
    assert!(error("top(query=q.pages)").contains("`query` is null"));
    assert!(error("span_of(window=previous)").contains("`previous` where it is not null"));
    let whole = error("top(query=q.summary.current)");
    assert!(
        whole.contains("`query` is something with visitors"),
        "{whole}"
    );
    assert!(error("line_chart(days=q.summary)").contains("give a list"));
    assert!(error("words(key=\"and_more\", n=q.summary.typo)").contains("`n` is not there"));
}

#[test]
fn arguments_that_only_the_data_show_are_refused_too() {
    let mut context = normal();
    context["bad"] = "vistors".into();
    let error = |call: &str| rendered(&format!("{{{{ {call} }}}}"), &context).unwrap_err();
    let by = error("days(query=q.summary, by=bad)");
    assert!(
        by.contains("`by` is `\"vistors\"`: use one of visitors, pageviews"),
        "{by}"
    );
    assert!(error("top(query=q.pages, count=bad)").contains("give a whole number"));
    assert!(error("top(query=q.pages, of=bad)").contains("give a number"));
    assert!(error("top(query=q.pages, count=-1)").contains("`count` is `-1`"));
    assert!(error("top(query=q.pages, count=2.5)").contains("a whole number from 0"));
    assert!(error("subject(site=5, query=q.summary)").contains("`site` is `5`: give a text"));
    assert!(error("days(query=q.pages)").contains("`daily: true` in report.yaml"));
    assert!(error("1 | percent(decimals=bad)").contains("percent(…): `decimals` is"));
}

#[test]
fn what_an_answer_does_not_hold_is_no_mistake() {
    let mut context = normal();
    context["q"]["summary"]["current"] = serde_json::json!({ "pageviews": 5 });
    let of = |call: &str| rendered(&format!("{{{{ {call} }}}}"), &context);
    let change = "change(now=q.summary.current.visitors, before=q.summary.previous?.visitors)";
    let html = format!("{{% set found = {change} %}}{{{{ found.direction }}}}");
    assert_eq!(rendered(&html, &context).unwrap(), "unknown");
    let top = "top(query=q.pages, of=q.summary.current?.visitors, count=1) | length";
    assert_eq!(of(top).unwrap(), "1");
    assert_eq!(of("health(errors={}) | length").unwrap(), "0");
    let days = of("days(query=q.summary, by=\"sessions\") | length");
    assert_eq!(days.unwrap(), "0", "no zeros are guessed");
}

#[test]
fn a_template_that_counts_without_end_and_writes_nothing_ends() {
    let error = refused("<p>\n{% for i in range(end=100000000000) %}{% endfor %}");
    for word in [
        "templates/mine/body.html:2",
        "range(…): 100000000000 numbers",
        "10000",
    ] {
        assert!(error.contains(word), "{word} in {error}");
    }
    let within =
        "{% for a in range(end=10000) %}{% for b in range(end=10000) %}{% endfor %}{% endfor %}";
    assert!(refused(within).contains("further than 1000000: look for a loop within a loop"));
    // What one rendering has counted is no other's
    let much =
        "{% for a in range(end=60) %}{% for b in range(end=10000) %}{% endfor %}{% endfor %}";
    for _ in 0..2 {
        rendered(much, &normal()).unwrap();
    }
    assert!(refused("{% for i in range(ende=5) %}{% endfor %}").contains("did you mean `end`?"));
}
