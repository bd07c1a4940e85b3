//! What goes wrong ends with one clear message, the right exit code, nothing half-written, and the
//! state in `runs`.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, mpsc},
};

use serde_json::{Value, json};

use crate::{
    server::{self, Answer, Request},
    workspace::TestWorkspace,
};

/// A server with one website and one type, whose queries are answered by `query`.
pub(crate) fn api(query: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    server::serve(
        move |request| match request.path.split('?').next().unwrap() {
            "/v1/query/types" => server::json(
                200,
                &json!({ "success": true, "types": ["top_pages"], "configs": {} }),
            ),
            "/v1/query/websites" => server::json(
                200,
                &json!({ "success": true, "websites": [{ "id": "web_1", "name": "One", "domain": "one.example" }] }),
            ),
            _ => query(request),
        },
    )
}

/// The rows of every part that is asked for.
pub(crate) fn rows(request: &Request) -> Answer {
    let parts = request.body["parameters"].as_array().unwrap().iter();
    let data = parts.map(|p| json!({ "parameter": p["id"], "success": true, "data": [{ "name": "/", "pageviews": 3 }] }));
    server::json(
        200,
        &json!({ "success": true, "data": data.collect::<Vec<_>>() }),
    )
}

fn workspace(url: &str) -> TestWorkspace {
    let workspace = TestWorkspace::with_examples();
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("api: {{ url: '{url}', key: dbdy_x }}\n"),
    );
    let job = "preset: yesterday\nqueries: [top_pages]\nretry: { attempts: 2, backoff: 0s }\nexports: [{ format: csv, to: out/lake }]\n";
    workspace.write("jobs/export.yaml", job);
    workspace
}

/// The run's record, after checks that hold for every failure: `runs` shows the same state, and no
/// file is there that is not whole.
fn failed(workspace: &TestWorkspace, args: &[&str], code: i32, parts: &[&str]) -> Value {
    let (found, mut document) = workspace.json(args);
    assert_eq!(found, code, "{document:#}");
    let run = document["runs"][0].take();
    let error = run["error"].as_str().unwrap();
    for part in parts {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert!(!error.contains('\n') && !error.contains("dbdy_"), "{error}");
    let sandbox: &[&str] = if args.contains(&"--sandbox") {
        &["--sandbox"]
    } else {
        &[]
    };
    let (_, runs) = workspace.json(&[&["runs"], sandbox].concat());
    assert_eq!(runs["runs"][0], run);
    let leftovers: Vec<PathBuf> = workspace
        .files("out")
        .into_iter()
        .filter(|f| f.file_name().unwrap().to_str().unwrap().starts_with('.'))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    assert!(workspace.files(".databuddy-jobs/staging").is_empty());
    run
}

#[test]
fn a_wrong_key_fails_and_says_where_to_set_it() {
    let refused = |_: &Request| {
        server::json(
            401,
            &json!({ "success": false, "error": "Authentication required", "code": "AUTH_REQUIRED", "requestId": "req_7" }),
        )
    };
    let workspace = workspace(&api(refused));
    let run = failed(
        &workspace,
        &["run", "export"],
        1,
        &["AUTH_REQUIRED", "DATABUDDY_API_KEY", "req_7"],
    );
    assert_eq!(
        (&run["state"], &run["attempts"]),
        (&json!("failed"), &json!(1))
    );
    assert!(
        workspace
            .files("out/lake")
            .iter()
            .all(|f| f.starts_with("out/lake/_manifests"))
    );
}

#[test]
fn a_missing_scope_fails_and_names_the_scope() {
    let refused = |_: &Request| {
        server::json(
            403,
            &json!({ "success": false, "error": "no", "code": "INSUFFICIENT_SCOPE" }),
        )
    };
    let workspace = workspace(&api(refused));
    failed(
        &workspace,
        &["run", "export"],
        1,
        &["INSUFFICIENT_SCOPE", "read:data"],
    );
}

#[test]
fn a_key_that_is_refused_at_the_first_list_fails_before_anything_else() {
    let url = server::serve(|_| {
        server::json(
            401,
            &json!({ "success": false, "code": "INVALID_API_KEY", "error": "revoked" }),
        )
    });
    let workspace = workspace(&url);
    failed(
        &workspace,
        &["run", "export"],
        1,
        &["INVALID_API_KEY", "DATABUDDY_API_KEY"],
    );
    assert!(workspace.files("out").is_empty());
}

#[test]
fn a_missing_template_is_wrong_input() {
    let workspace = TestWorkspace::with_examples();
    workspace.write("jobs/mail.yaml", "preset: yesterday\nqueries: [summary]\nreports: [{ template: monthly, to: [a@example.org] }]\n");
    failed(
        &workspace,
        &["run", "mail", "--sandbox"],
        2,
        &["no template `monthly`", "templates/monthly"],
    );
    assert!(workspace.files("out").is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_fails_the_files_and_names_the_path() {
    let workspace = workspace(&api(rows));
    workspace.write("out/lake", "a file where the directory should be");
    failed(
        &workspace,
        &["run", "export"],
        1,
        &["out/lake", "permissions"],
    );
    assert_eq!(workspace.files("out").len(), 1);
}

#[test]
fn a_store_that_cannot_be_written_is_said_before_anything_begins() {
    let workspace = workspace(&api(rows));
    assert_eq!(workspace.json(&["runs"]).0, 0);
    let folder = workspace.path().join(".databuddy-jobs");
    let file = folder.join("state.db");
    // Nothing is read-only for root
    let nobody = (fs::metadata("/proc/self").unwrap().uid() == 0).then_some(65_534);
    for path in [workspace.path(), &folder, &file] {
        set_mode(path, 0o755);
        chown(path, nobody, nobody).unwrap();
    }
    for (path, mode) in [(&file, 0o444), (&folder, 0o555)] {
        set_mode(path, mode);
        for args in [&["serve"][..], &["run", "export"], &["runs"]] {
            let mut command = workspace.command(args);
            if let Some(nobody) = nobody {
                command.uid(nobody).gid(nobody);
            }
            let output = command.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            let wanted = format!("the run store `{}` is read-only", file.display());
            assert!(
                said.contains(&wanted) && said.contains("writable"),
                "{said}"
            );
            assert!(!said.contains("listening"), "{said}");
        }
        set_mode(path, 0o755);
    }
    assert_eq!(workspace.json(&["runs"]).0, 0);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What is preloaded to make disks full: a C compiler is there, as the program itself needs one.
pub(crate) fn full_disk(workspace: &TestWorkspace) -> PathBuf {
    let shim = workspace.path().join("full_disk.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/full_disk.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&shim)
        .arg(source)
        .args(["-ldl"])
        .status();
    assert!(built.unwrap().success());
    shim
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_half_written() {
    let workspace = workspace(&api(rows));
    let (code, first) = workspace.json(&["run", "export"]);
    assert_eq!(code, 0, "{first:#}");
    let before = workspace.contents("out/lake");
    let shim = full_disk(&workspace);
    let env = [
        ("LD_PRELOAD", shim.to_str().unwrap()),
        // Not the store, in which it is recorded
        ("FULL_DISK", "/out/:/staging/"),
    ];
    let (code, document) = workspace.json_with(&["run", "export", "--force"], &env);
    assert_eq!(code, 1, "{document:#}");
    let error = document["runs"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("No space left on device") && error.contains("free space"),
        "{error}"
    );
    assert_eq!(workspace.contents("out/lake"), before);
    let (_, runs) = workspace.json(&["runs"]);
    assert_eq!(runs["runs"][0]["state"], "failed");
}

#[test]
fn an_unreachable_mail_server_leaves_the_mail_to_be_sent_and_is_temporary() {
    let workspace = TestWorkspace::with_examples();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    workspace.write(
        "databuddy-jobs.yaml",
        &format!("mail: {{ url: 'smtp://127.0.0.1:{port}', from: 'a@example.org' }}\n"),
    );
    let args = [
        "run",
        "weekly-report",
        "--sandbox",
        "--website",
        "web_acme_tiny",
        "--set",
        "retry={attempts: 2, backoff: 0s}",
    ];
    let run = failed(
        &workspace,
        &args,
        75,
        &["cannot be reached", &port.to_string()],
    );
    assert_eq!(
        (&run["deliveries"][0]["state"], &run["attempts"]),
        (&json!("pending"), &json!(2))
    );
    // The same window goes out once the server is there
    workspace.write(
        "databuddy-jobs.yaml",
        "mail: { url: 'dir:out/mail', from: 'a@example.org' }\n",
    );
    let (code, document) = workspace.json(&args);
    assert_eq!(
        (code, &document["runs"][0]["deliveries"][0]["state"]),
        (0, &json!("sent"))
    );
}

#[test]
fn a_report_without_a_mail_setting_is_wrong_input_that_names_the_setting() {
    let workspace = workspace(&api(rows));
    workspace.write("templates/own/report.yaml", "queries: { top_pages: {} }\n");
    for file in ["subject.txt", "body.html", "body.txt"] {
        workspace.write(&format!("templates/own/{file}"), "{{ website.name }}");
    }
    workspace.write("jobs/mail.yaml", "preset: yesterday\nqueries: [top_pages]\nreports: [{ template: own, to: [a@example.org] }]\n");
    failed(&workspace, &["run", "mail"], 2, &["`mail.url` is not set"]);
}

#[test]
fn a_part_that_fails_for_a_passing_reason_is_asked_for_again_and_no_other() {
    let asked = Mutex::new(Vec::new());
    let (tell, told) = mpsc::channel();
    let url = api(move |request| {
        let ids: Vec<String> = request.body["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["id"].to_string())
            .collect();
        let mut asked = asked.lock().unwrap();
        asked.push(ids.len());
        tell.send(ids.len()).unwrap();
        if asked.len() > 1 {
            return rows(request);
        }
        let data = [
            json!({ "parameter": "s0", "success": true, "data": [{ "name": "/", "pageviews": 3 }] }),
            json!({ "parameter": "s1", "success": false, "data": [], "error": "ECONNREFUSED" }),
        ];
        server::json(200, &json!({ "success": true, "data": data }))
    });
    let workspace = workspace(&url);
    let job = "preset: yesterday\nqueries: [top_pages, { name: again, parameter: top_pages }]\nretry: { attempts: 2, backoff: 0s }\nexports: [{ format: csv, to: out/lake }]\n";
    workspace.write("jobs/export.yaml", job);
    let (code, document) = workspace.json(&["run", "export"]);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["runs"][0]["attempts"], 2);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_step_that_fails_for_good_is_partly_done_and_the_rest_is_published() {
    let url = api(|_| {
        let data = [
            json!({ "parameter": "s0", "success": true, "data": [{ "name": "/", "pageviews": 3 }] }),
            json!({ "parameter": "s1", "success": false, "data": [], "error": "Unknown identifier `x` in scope SELECT secret" }),
        ];
        server::json(200, &json!({ "success": true, "data": data }))
    });
    let workspace = workspace(&url);
    let job = "preset: yesterday\nqueries: [top_pages, { name: broken, parameter: top_pages }]\nexports: [{ format: csv, to: out/lake }]\n";
    workspace.write("jobs/export.yaml", job);
    let run = failed(
        &workspace,
        &["run", "export"],
        3,
        &["1 of 2 steps failed", "`broken`"],
    );
    assert!(!run.to_string().contains("SELECT"));
    assert_eq!(run["artifacts"].as_array().unwrap().len(), 1);
    let manifest = workspace.files("out/lake/_manifests/export").remove(0);
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(workspace.path().join(manifest)).unwrap())
            .unwrap();
    assert_eq!(
        (
            &manifest["missing"][0]["query"],
            manifest["files"].as_array().unwrap().len()
        ),
        (&json!("broken"), 1)
    );
}

#[test]
fn a_run_that_takes_too_long_is_cancelled_with_nothing_published() {
    let workspace = workspace(&api(|_| None));
    let run = failed(
        &workspace,
        &["run", "export", "--set", "timeout=1s"],
        1,
        &["`timeout` (1 s)"],
    );
    assert_eq!(
        (&run["state"], &run["steps"][0]["state"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    assert!(workspace.files("out").is_empty());
}

/// Starts a run, waits until its query has reached the server, and sends the signal.
fn interrupted(signal: &str) -> (TestWorkspace, Option<i32>, String) {
    let (tell, told) = mpsc::channel();
    let url = api(move |_| {
        let _ = tell.send(());
        None
    });
    let workspace = workspace(&url);
    let mut child = workspace
        .command(&["run", "export", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    told.recv().unwrap();
    let kill = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    (workspace, status.code(), text)
}

#[test]
fn ctrl_c_and_sigterm_end_a_run_as_interrupted_with_nothing_published() {
    for signal in ["-INT", "-TERM"] {
        let (workspace, code, text) = interrupted(signal);
        assert_eq!(code, Some(130), "{text}");
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["runs"][0]["state"], "cancelled");
        let (_, runs) = workspace.json(&["runs"]);
        assert_eq!(runs["runs"][0], document["runs"][0]);
        assert!(workspace.files("out").is_empty());
        // The lease is given back: the next run may start at once
        let (code, _) = workspace.json(&["run", "export", "--set", "timeout=1s"]);
        assert_eq!(code, 1);
    }
}

#[test]
fn a_run_keeps_others_from_its_days_while_it_lives_and_no_longer() {
    let (tell, told) = mpsc::channel();
    let url = api(move |_| {
        let _ = tell.send(());
        None
    });
    let workspace = workspace(&url);
    let mut first = workspace
        .command(&["run", "export"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    told.recv().unwrap();
    let (code, second) = workspace.json(&["run", "export"]);
    assert_eq!(code, 75, "{second:#}");
    let why = second["runs"][0]["error"].as_str().unwrap();
    assert!(why.contains("under way"), "{why}");
    first.kill().unwrap();
    first.wait().unwrap();
    // Its program is gone: it shows how far it came, and nobody waits for its lease to end
    let (_, runs) = workspace.json(&["runs"]);
    let killed = &runs["runs"][1];
    assert_eq!(
        (&killed["state"], &killed["steps"][0]["state"]),
        (&json!("failed"), &json!("cancelled"))
    );
    let (code, third) = workspace.json(&["run", "export", "--set", "timeout=1s"]);
    assert_eq!(code, 1, "{third:#}");
    let why = third["runs"][0]["error"].as_str().unwrap();
    assert!(why.contains("`timeout`"), "{why}");
}

#[test]
fn rows_that_do_not_parse_are_asked_for_again_and_no_others() {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let url = api(move |request| {
        let (status, headers, body) = rows(request)?;
        // The envelope is whole, a value is not
        let is_first = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        let body = if is_first {
            body.replace(":3}", ":3x}")
        } else {
            body
        };
        Some((status, headers, body))
    });
    let workspace = workspace(&url);
    let (code, document) = workspace.json(&["run", "export"]);
    assert_eq!(code, 0, "{document:#}");
}
