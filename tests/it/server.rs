//! A small HTTP server on loopback whose answers the test decides.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use serde_json::Value;

/// A request as the server sees it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Null where there is none.
    pub(crate) body: Value,
    /// The body's bytes, as they are signed.
    #[allow(dead_code, reason = "two test binaries share it, neither uses all")]
    pub(crate) text: String,
}

/// What it answers: status, further header lines, body. `None` never answers.
pub(crate) type Answer = Option<(u16, String, String)>;

/// A status that is no answer: the connection ends after the request.
pub(crate) const HANG_UP: u16 = 0;

/// An answer without further headers.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is one of the answers that a closure gives"
)]
pub(crate) fn json(status: u16, body: &Value) -> Answer {
    Some((status, String::new(), body.to_string()))
}

/// Starts a server; its address. It ends with the test.
pub(crate) fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || one(stream.unwrap(), &*answer));
        }
    });
    url
}

fn one(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Answer) {
    let Some(request) = read(&stream) else { return };
    match answer(&request) {
        Some((HANG_UP, ..)) => {}
        Some((status, headers, body)) => {
            let size = body.len();
            // The client may be gone: that is its business
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {size}\r\n{headers}\r\n{body}"
            );
        }
        None => {
            // Until the client gives up
            let _ = stream.read(&mut [0; 1]);
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        text: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// The answer of a query: the rows of each part, by its name and first day. Bodies of one object and
/// of several are answered alike.
#[allow(dead_code, reason = "two test binaries share it, neither uses all")]
pub(crate) fn data(request: &Request, rows: impl Fn(&str, &str) -> Value) -> Answer {
    let parts = |item: &Value| -> Value {
        let parts = item["parameters"].as_array().unwrap().iter();
        let start = item["startDate"].as_str().unwrap();
        let part = |part: &Value| {
            let name = part["name"].as_str().unwrap();
            serde_json::json!({ "parameter": part["id"], "success": true, "data": rows(name, start) })
        };
        parts.map(part).collect()
    };
    let body = match &request.body {
        Value::Array(items) => {
            let results = items.iter().map(
                |item| serde_json::json!({ "queryId": item["id"], "data": parts(item), "meta": {} }),
            );
            serde_json::json!({ "success": true, "batch": true, "results": results.collect::<Vec<_>>() })
        }
        item => serde_json::json!({ "success": true, "data": parts(item) }),
    };
    json(200, &body)
}
