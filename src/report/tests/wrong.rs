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
    let template = Template::load(project.path(), "mine").unwrap();
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
    refused("{{ bar_chart(rows=range(end=100000)) }}");
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
    let endless = "{% for a in range(end=100000) %}{% for b in range(end=100000) %}word {% endfor %}{% endfor %}";
    let error = refused(endless);
    for word in ["templates/mine/body.html", "more than 4 MB", "loop"] {
        assert!(error.contains(word), "{word} in {error}");
    }
}
