//! The client against a server that answers as the API really does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use databuddy_jobs::{
    api::{ApiError, Client, ClientOptions, Complete, Kind},
    clock::Clock,
    domain::{
        request::{Ask, Item, Part, Request},
        target::Target,
    },
    secret::Secret,
};

use crate::pages::read;

/// A server that gives one answer after the other: status, further header lines, body.
fn scripted(answers: Vec<(u16, &'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (status, headers, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            let size = body.len();
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {size}\r\n{headers}\r\n{body}").unwrap();
        }
    });
    url
}

fn client(url: &str) -> Client {
    let options = ClientOptions {
        url: url.parse().unwrap(),
        key: Some(Secret::new("dbdy_secret")),
        bearer: false,
        requests_per_minute: 6000,
        custom_per_minute: 6000,
        max_in_flight: 8,
        gzip: true,
        user_agent: "test".to_owned(),
    };
    let clock = Clock::fixed("2026-11-23T07:04:36Z".parse().unwrap());
    Client::new(options, clock).with_backoff(Duration::from_millis(1))
}

fn request(parts: &[(&str, &str)], limit: u32) -> Request {
    let part = |(id, parameter): &(&str, &str)| Part {
        id: (*id).to_owned(),
        parameter: (*parameter).to_owned(),
        granularity: None,
        days: None,
        honours_page: None,
        wanted: None,
    };
    let item = Item {
        id: "q0".to_owned(),
        start: "2026-11-16".to_owned(),
        end: "2026-11-22".to_owned(),
        filters: Vec::new(),
        limit,
        page: 1,
        parts: parts.iter().map(part).collect(),
    };
    Request {
        target: Target::Website("w".to_owned()),
        path: "/v1/query?website_id=w".to_owned(),
        ask: Ask::Items(vec![item]),
    }
}

fn rows(first: usize, count: usize) -> String {
    let rows: Vec<String> = (first..first + count)
        .map(|n| format!(r#"{{"n":{n}}}"#))
        .collect();
    format!(
        r#"{{"success":true,"data":[{{"parameter":"s0","success":true,"data":[{}]}}]}}"#,
        rows.join(",")
    )
}

#[tokio::test]
async fn parts_are_matched_by_id_and_a_failed_part_in_a_200_is_an_error() {
    let body = r#"{"success":true,"data":[
        {"parameter":"s1","success":true,"data":[{"a":1},{"a":2}]},
        {"parameter":"s0","success":false,"data":[],"error":"ECONNREFUSED"}]}"#;
    let client = client(&scripted(vec![(200, "", body.to_owned())]));
    let parts = read(
        &client,
        &request(&[("s0", "pages"), ("s1", "country"), ("s2", "city")], 100),
    )
    .await
    .unwrap();
    let ids: Vec<&str> = parts.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["s0", "s1", "s2"]);
    let down = parts[0].1.as_ref().unwrap_err();
    assert!(down.retryable && down.message == "ECONNREFUSED", "{down:?}");
    assert_eq!(parts[1].1.as_ref().unwrap().count, 2);
    assert!(
        parts[2]
            .1
            .as_ref()
            .unwrap_err()
            .message
            .contains("lacks the part")
    );
}

#[tokio::test]
async fn two_parts_of_one_id_are_an_error() {
    let body = r#"{"success":true,"data":[
        {"parameter":"s0","success":true,"data":[]},{"parameter":"s0","success":true,"data":[{"a":1}]}]}"#;
    let client = client(&scripted(vec![(200, "", body.to_owned())]));
    let parts = read(&client, &request(&[("s0", "pages")], 100))
        .await
        .unwrap();
    assert!(parts[0].1.as_ref().unwrap_err().message.contains("twice"));
}

#[tokio::test]
async fn a_second_page_is_followed_and_leaves_completeness_unproven() {
    let client = client(&scripted(vec![
        (200, "", rows(0, 10_000)),
        (200, "", rows(10_000, 7)),
    ]));
    let parts = read(&client, &request(&[("s0", "pages")], 10_000))
        .await
        .unwrap();
    let rows = parts[0].1.as_ref().unwrap();
    assert_eq!((rows.count, rows.complete), (10_007, Complete::Unproven));
    assert_eq!(client.counts().requests, 2);
}

#[tokio::test]
async fn pages_that_repeat_or_overlap_are_errors() {
    for (second, expected) in [
        (rows(0, 10_000), "exactly at the limit"),
        (rows(9_990, 500), "overlap"),
    ] {
        let client = client(&scripted(vec![
            (200, "", rows(0, 10_000)),
            (200, "", second),
        ]));
        let parts = read(&client, &request(&[("s0", "pages")], 10_000))
            .await
            .unwrap();
        let error = parts[0].1.as_ref().unwrap_err();
        assert!(
            error.message.contains(expected) && !error.retryable,
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_429_a_503_and_a_body_that_is_no_json_are_tried_again() {
    let answers = vec![
        (
            429,
            "retry-after: 0\r\n",
            r#"{"success":false,"code":"RATE_LIMITED"}"#.to_owned(),
        ),
        (503, "", "{}".to_owned()),
        (200, "", "<html>".to_owned()),
        (200, "", rows(0, 3)),
    ];
    let client = client(&scripted(answers));
    let parts = read(&client, &request(&[("s0", "pages")], 100))
        .await
        .unwrap();
    assert_eq!(parts[0].1.as_ref().unwrap().count, 3);
    assert_eq!((client.counts().requests, client.counts().retries), (1, 3));
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again_and_never_printed() {
    let body = r#"{"success":false,"error":"Authentication required","code":"AUTH_REQUIRED","requestId":"req_1"}"#;
    let client = client(&scripted(vec![(401, "", body.to_owned())]));
    let error: ApiError = client
        .query(&request(&[("s0", "pages")], 100))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Auth);
    let text = error.to_string();
    assert!(
        text.contains("DATABUDDY_API_KEY") && text.contains("req_1"),
        "{text}"
    );
    assert!(!format!("{client:?}{error:?}").contains("dbdy_secret"));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_the_key_does_not_follow_it() {
    let (tell, told) = std::sync::mpsc::channel();
    let elsewhere = crate::server::serve(move |_| {
        tell.send(()).unwrap();
        None
    });
    let headers = format!("location: {elsewhere}/v1/query/websites\r\n");
    let url = crate::server::serve(move |_| Some((307, headers.clone(), String::new())));
    let error = client(&url).websites().await.unwrap_err().to_string();
    assert!(
        error.contains("redirects to") && error.contains("`api.url`"),
        "{error}"
    );
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn errors_as_objects_and_items_without_data_fail_their_parts_alone() {
    let body = r#"{"success":true,"data":[
        {"parameter":"s0","success":false,"data":null,"error":{"message":"it broke"}},
        {"parameter":"s1","success":true,"data":[{"a":1}]}]}"#;
    let client = client(&scripted(vec![(200, "", body.to_owned())]));
    let parts = read(
        &client,
        &request(&[("s0", "pages"), ("s1", "country")], 100),
    )
    .await
    .unwrap();
    assert_eq!(parts[0].1.as_ref().unwrap_err().message, "it broke");
    assert_eq!(parts[1].1.as_ref().unwrap().count, 1);
}
