//! Plans: what is asked for, what is refused before it is asked for.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::*;
use crate::domain::{
    catalog::QueryType,
    custom::{Aggregate, Custom, Select},
    destination::DestinationUrl,
    job::{
        Compression, CsvStyle, Drift, Export, Format, Job, Nested, Per, Pii, Retry, WebsiteSelector,
    },
    preset::Preset,
    query::{Filter, Limit, Operator, Query, Source},
    window::WindowSpec,
};

fn query(parameter: &str) -> Query {
    Query {
        name: parameter.to_owned(),
        source: Source::Parameter(parameter.to_owned()),
        links: Vec::new(),
        filters: Vec::new(),
        granularity: None,
        limit: Limit::All,
        window: None,
        columns: BTreeMap::new(),
    }
}

fn custom(alias: &str) -> Query {
    let select = Select {
        field: "*".to_owned(),
        aggregate: Aggregate::Count,
        alias: alias.to_owned(),
    };
    let source = Source::Custom(Custom {
        table: "errors".to_owned(),
        selects: vec![select],
        filters: Vec::new(),
        group_by: vec!["path".to_owned()],
    });
    Query {
        source,
        ..query("custom")
    }
}

fn filtered(parameter: &str, field: &str, op: Operator, value: serde_json::Value) -> Query {
    let filter = Filter {
        field: field.to_owned(),
        op,
        value,
    };
    Query {
        filters: vec![filter],
        ..query(parameter)
    }
}

fn job(preset: Preset, queries: Vec<Query>, per: Per) -> Job {
    let names = queries.iter().map(|q| q.name.clone()).collect();
    Job {
        name: "nightly".to_owned(),
        description: String::new(),
        enabled: true,
        schedule: None,
        websites: WebsiteSelector {
            include: vec!["*".to_owned()],
            exclude: Vec::new(),
        },
        timezone: chrono_tz::Tz::UTC,
        window: WindowSpec::Preset(preset),
        lookback: 0,
        settle: Duration::ZERO,
        queries,
        exports: vec![Export {
            format: Format::Parquet,
            to: DestinationUrl::Directory(PathBuf::from("/lake")),
            to_label: "lake".to_owned(),
            queries: names,
            path: None,
            per,
            compression: Compression::Zstd,
            level: None,
            csv: CsvStyle::default(),
            drift: Drift::Evolve,
            nested: Nested::Json,
            pii: Pii::Refuse,
        }],
        reports: Vec::new(),
        retry: Retry {
            attempts: 1,
            backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
        },
        timeout: Duration::from_secs(1),
        runs_on: Vec::new(),
        hooks: crate::domain::hook::Hooks::default(),
        api_key: None,
        definition_hash: String::new(),
        file: PathBuf::new(),
    }
}

fn catalog(names: &[&str]) -> Catalog {
    let types = names
        .iter()
        .map(|n| ((*n).to_owned(), QueryType::default()));
    Catalog {
        types: types.collect(),
    }
}

/// The names of a February 2026 server.
const SERVER: [&str; 8] = [
    "summary_metrics",
    "events_by_date",
    "top_pages",
    "country",
    "today_metrics",
    "recent_errors",
    "link_clicks_by_day",
    "performance_overview",
];

fn planned(job: &Job, names: &[&str], websites: usize) -> Result<Plan, PlanError> {
    let website = |n| Website {
        id: format!("web_{n}"),
        name: None,
        domain: format!("{n}.example"),
        created: None,
    };
    let websites: Vec<Website> = (1..=websites).map(website).collect();
    build(PlanInput {
        job,
        ticks: &[Tick("2026-11-23T02:00:00Z".parse().unwrap())],
        lookback: job.lookback,
        only: None,
        days: ServerDays::Utc,
        catalog: &catalog(names),
        websites: &websites,
        needs: &[],
    })
}

fn refused(query: Query) -> String {
    let job = job(Preset::Yesterday, vec![query], Per::Day);
    planned(&job, &SERVER, 1).unwrap_err().to_string()
}

#[test]
fn a_month_of_days_of_many_queries_is_one_request_a_website() {
    let queries = vec![query("summary"), query("pages"), query("countries")];
    let job = job(Preset::Last30FullDays, queries, Per::Day);
    let plan = planned(&job, &SERVER, 2).unwrap();
    assert_eq!(plan.steps.len(), 2 * 30 * 3);
    assert_eq!(plan.requests.len(), 2);
    let body = plan.requests[0].body();
    assert_eq!(body.as_array().unwrap().len(), 30);
    assert_eq!(body[0]["startDate"], body[0]["endDate"]);
    assert_eq!(body[0]["limit"], 10_000);
    assert_eq!(body[0]["parameters"][0]["name"], "summary_metrics");
    assert!(plan.seconds_at_rate_limit(120, 30) < 1.1);
}

#[test]
fn lookback_writes_the_units_before_again() {
    for (per, days) in [(Per::Day, 7 + 3), (Per::Window, 1 + 3)] {
        let mut job = job(Preset::Last7FullDays, vec![query("summary")], per);
        job.lookback = 3;
        let plan = planned(&job, &SERVER, 1).unwrap();
        assert_eq!((plan.artifacts.len(), plan.requests.len()), (days, 1));
        let first = plan.steps[0].window;
        let expected = if per == Per::Day {
            "2026-11-13"
        } else {
            "2026-10-26"
        };
        assert_eq!(first.start.to_string(), expected);
    }
}

#[test]
fn a_link_is_asked_once_a_window_and_has_a_path_of_its_own() {
    let links = Query {
        links: vec!["l1".to_owned(), "l2".to_owned()],
        ..query("link_clicks_by_day")
    };
    let job = job(Preset::Yesterday, vec![query("pages"), links], Per::Day);
    let plan = planned(&job, &SERVER, 3).unwrap();
    let paths: Vec<&str> = plan.requests.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(paths[3..], ["/v1/query?link_id=l1", "/v1/query?link_id=l2"]);
    let file = &plan.artifacts[3].path;
    assert_eq!(
        file,
        "link_clicks_by_day/link_id=l1/day=2026-11-22/data.parquet"
    );
}

#[test]
fn a_job_of_links_alone_needs_no_website() {
    let links = Query {
        links: vec!["l1".to_owned()],
        ..query("link_clicks_by_day")
    };
    let job = job(Preset::Yesterday, vec![links], Per::Day);
    assert_eq!(planned(&job, &SERVER, 0).unwrap().requests.len(), 1);
}

#[test]
fn a_custom_query_is_asked_a_day_at_a_time_and_keeps_its_last_day() {
    let job = job(Preset::Last7FullDays, vec![custom("n")], Per::Day);
    let plan = planned(&job, &SERVER, 1).unwrap();
    assert_eq!(plan.requests.len(), 7);
    let body = plan.requests[6].body();
    assert_eq!(
        (&body["startDate"], &body["endDate"]),
        (&"2026-11-22".into(), &"2026-11-22 23:59:59".into())
    );
    assert_eq!(body["query"]["table"], "error_spans");
    // Seven of thirty a minute
    assert!((13.9..14.1).contains(&plan.seconds_at_rate_limit(120, 30)));
    // A server of the seed's generation takes plain days, and calls the table as the seed does
    let body = planned(&job, &["summary"], 1).unwrap().requests[6].body();
    assert_eq!(
        (&body["endDate"], &body["query"]["table"]),
        (&"2026-11-22".into(), &"errors".into())
    );
}

#[test]
fn an_iso_code_is_asked_for_with_every_name_of_the_country() {
    for (op, value, expected) in [
        (
            Operator::Eq,
            "DE".into(),
            r#"{"field":"country","op":"in","value":["DE","Germany"]}"#,
        ),
        (
            Operator::Ne,
            "DE".into(),
            r#"{"field":"country","op":"not_in","value":["DE","Germany"]}"#,
        ),
        (
            Operator::In,
            vec!["FR", "Spain"].into(),
            r#"{"field":"country","op":"in","value":["FR","France","Spain"]}"#,
        ),
        (
            Operator::Eq,
            "Germany".into(),
            r#"{"field":"country","op":"eq","value":"Germany"}"#,
        ),
        (
            Operator::StartsWith,
            "DE".into(),
            r#"{"field":"country","op":"starts_with","value":"DE"}"#,
        ),
    ] {
        let job = job(
            Preset::Yesterday,
            vec![filtered("pages", "country", op, value)],
            Per::Day,
        );
        let body = planned(&job, &SERVER, 1).unwrap().requests[0].body();
        assert_eq!(body["filters"][0].to_string(), expected);
    }
}

#[test]
fn what_the_server_would_get_wrong_in_silence_is_refused_before_it_is_asked() {
    let ignored = filtered("today_metrics", "country", Operator::Eq, "DE".into());
    assert!(refused(ignored).contains("ignores the filter on `country`"));
    let ignored = filtered("performance", "path", Operator::Eq, "/".into());
    assert!(refused(ignored).contains("would count everything"));
    let fails = filtered("errors", "country", Operator::Eq, "DE".into());
    assert!(refused(fails).contains("fails on a filter on `country`"));
    let hourly = Query {
        granularity: Some(Granularity::Hourly),
        ..query("pages")
    };
    assert!(refused(hourly).contains("no hourly rows"));
    let daily = Query {
        granularity: Some(Granularity::Daily),
        ..query("pages")
    };
    assert!(refused(daily).contains("no daily rows"));
    assert!(refused(query("link_clicks_by_day")).contains("needs `link`"));
    let link = Query {
        links: vec!["l1".to_owned()],
        ..query("pages")
    };
    assert!(refused(link).contains("only types of links"));
    assert!(refused(custom("path_views")).contains("would leave `path` out of the rows"));
    let sessions = Query {
        source: Source::Custom(Custom {
            table: "sessions".to_owned(),
            ..match custom("n").source {
                Source::Custom(custom) => custom,
                Source::Parameter(_) => unreachable!(),
            }
        }),
        ..query("s")
    };
    assert!(refused(sessions).contains("no table `sessions`"));
    assert!(refused(query("pagez")).contains("no query type `pagez`"));
}

#[test]
fn a_field_outside_the_servers_lists_is_refused_for_that_type() {
    let mut lists = catalog(&["custom_events", "summary_metrics"]);
    let listed = vec!["event_name".to_owned()];
    lists
        .types
        .get_mut("custom_events")
        .unwrap()
        .allowed_filters = Some(listed);
    let query = filtered("custom_events", "namespace", Operator::Eq, "x".into());
    let problems = guard::check_type(&query, "custom_events", None, &lists);
    assert!(
        matches!(problems[..], [PlanProblem::FilterIgnored { .. }]),
        "{problems:?}"
    );
    let query = filtered("custom_events", "event_name", Operator::Eq, "x".into());
    assert!(guard::check_type(&query, "custom_events", None, &lists).is_empty());
}

#[test]
fn hourly_rows_beyond_thirty_days_are_refused_unless_asked_day_by_day() {
    let hourly = Query {
        granularity: Some(Granularity::Hourly),
        ..query("events_by_date")
    };
    let long = job(Preset::Last90d, vec![hourly.clone()], Per::Window);
    let error = planned(&long, &SERVER, 1).unwrap_err().to_string();
    assert!(error.contains("limited to 30 days"), "{error}");
    let by_day = job(Preset::Last90d, vec![hourly], Per::Day);
    assert_eq!(planned(&by_day, &SERVER, 1).unwrap().steps.len(), 90);
}

#[test]
fn a_range_has_each_window_once_and_none_that_it_cuts() {
    let day = |text: &str| text.parse::<chrono::NaiveDate>().unwrap();
    let now = "2026-11-23T02:00:00Z".parse().unwrap();
    let starts = |job: &Job, from: &str, to: &str| -> Vec<String> {
        let ticks = ticks_of_range(job, ServerDays::Utc, day(from), day(to), now);
        let window = |tick: &Tick| job.window.resolve(tick.0, ServerDays::Utc, job.timezone);
        ticks
            .iter()
            .map(|tick| window(tick).start.to_string())
            .collect()
    };
    let of = |preset| job(preset, vec![query("top_pages")], Per::Window);
    let days = starts(&of(Preset::Yesterday), "2026-02-27", "2026-03-02");
    assert_eq!(
        days,
        ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    );
    // Weeks from Monday; the first and the last are cut by the range
    let weeks = starts(&of(Preset::LastIsoWeek), "2026-10-01", "2026-10-27");
    assert_eq!(weeks, ["2026-10-05", "2026-10-12", "2026-10-19"]);
    let months = starts(&of(Preset::LastMonth), "2026-01-01", "2026-03-31");
    assert_eq!(months, ["2026-01-01", "2026-02-01", "2026-03-01"]);
    // Rolling windows: those that a schedule would have had, else one a day
    let rolling = of(Preset::Last7FullDays);
    assert_eq!(starts(&rolling, "2026-10-01", "2026-10-09").len(), 3);
    let mondays = Job {
        schedule: Some(
            crate::domain::schedule::Schedule::parse("0 6 * * MON", chrono_tz::Tz::UTC).unwrap(),
        ),
        ..rolling
    };
    let weeks = starts(&mondays, "2026-10-01", "2026-10-25");
    assert_eq!(weeks, ["2026-10-05", "2026-10-12", "2026-10-19"]);
    // Nothing after now, and nothing where the range ends before it starts
    let last = starts(&of(Preset::Yesterday), "2026-11-21", "2026-12-31");
    assert_eq!(last, ["2026-11-21", "2026-11-22"]);
    assert!(starts(&of(Preset::Yesterday), "2026-03-02", "2026-03-01").is_empty());
}
