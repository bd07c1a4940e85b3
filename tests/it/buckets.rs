//! Destinations: one contract for directories and buckets, and what goes wrong with buckets alone.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use databuddy_jobs::{
    domain::destination::BucketAccess,
    export::{ExportError, Version},
};
use s3s::S3ErrorCode;

use crate::{
    contract::{Bench, MIB, contract, hash, noise, on_runtime},
    s3::{self, Fate, S3},
    server,
    workspace::TestWorkspace,
};

fn bench(s3: &S3) -> Bench {
    Bench::of_bucket("s3://lake/prod", s3.access())
}

#[test]
fn a_directory_keeps_the_contract() {
    on_runtime(contract(&Bench::of_directory()));
}

#[test]
fn of_many_that_replace_the_same_version_at_once_one_wins() {
    let bench = Bench::of_directory();
    let there = bench.open();
    let won = on_runtime(async {
        let none = Version::absent();
        let version = there.put("a.json", b"0".to_vec(), &none).await.unwrap();
        let writers = (1..=16).map(|n| {
            let (there, version) = (there.clone(), version.clone());
            tokio::spawn(async move { there.put("a.json", vec![n; 1000], &version).await })
        });
        let mut won = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, ExportError::Conflict { .. })),
            }
        }
        won
    });
    assert_eq!(won, 1);
}

#[test]
fn a_bucket_keeps_the_contract() {
    let s3 = S3::start();
    on_runtime(contract(&bench(&s3)));
    assert!(s3.root().join("lake/prod/z").exists());
    assert_eq!(s3.open_uploads(), Vec::<String>::new());
}

#[test]
fn two_hundred_megabytes_arrive_whole_and_are_invisible_until_they_are_complete() {
    let s3 = S3::start();
    let bench = bench(&s3);
    let content = noise(200 * 1000 * 1000);
    let staged = bench.stage(&content);
    let (file, staging) = (s3.file("prod/big"), bench.staging.clone());
    let seen = Arc::new(Mutex::new(Vec::new()));
    s3.judge({
        let seen = Arc::clone(&seen);
        move |operation, before| {
            if operation == "UploadPart" && before == 20 || operation == "CompleteMultipartUpload" {
                let records = fs::read_dir(&staging).unwrap().count() - 1;
                seen.lock().unwrap().push((file.exists(), records));
            }
            Fate::Answer
        }
    });
    on_runtime(async {
        bench.open().publish(staged, "big").await.unwrap();
        let measured = bench.open().measure("big").await.unwrap().unwrap();
        assert_eq!(measured, (content.len() as u64, hash(&content)));
    });
    // Before the last part: no object, and one record of the upload
    assert_eq!(*seen.lock().unwrap(), [(false, 1), (false, 1)]);
    assert_eq!(s3.count("UploadPart"), content.len().div_ceil(8 * MIB));
    assert!(fs::read(s3.file("prod/big")).unwrap() == content);
    assert_eq!((bench.staged(), s3.open_uploads().len()), (0, 0));
}

/// An upload that fails in the middle leaves the old object and nothing else.
fn fails_in_the_middle(fate: &Fate, what: &str) {
    let s3 = S3::start();
    let bench = bench(&s3);
    on_runtime(bench.open().publish(bench.stage(b"old"), "data")).unwrap();
    let (fate, what) = (fate.clone(), what.to_owned());
    s3.judge(move |operation, before| {
        let is_third = operation == what && (operation != "UploadPart" || before == 2);
        if is_third { fate.clone() } else { Fate::Answer }
    });
    let staged = bench.stage(&noise(50 * MIB));
    let error = on_runtime(bench.open().publish(staged, "data")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`s3://lake/prod/data` cannot be written"),
        "{text}"
    );
    assert_eq!(fs::read(s3.file("prod/data")).unwrap(), b"old");
    assert_eq!(s3.count("AbortMultipartUpload"), 1);
    assert_eq!((bench.staged(), s3.open_uploads()), (0, Vec::new()));
}

#[test]
fn an_upload_that_breaks_in_the_middle_leaves_the_old_object_and_nothing_else() {
    fails_in_the_middle(&Fate::Break, "UploadPart");
    fails_in_the_middle(&Fate::Refuse(S3ErrorCode::AccessDenied), "UploadPart");
    fails_in_the_middle(&Fate::Break, "CompleteMultipartUpload");
}

#[test]
fn an_upload_that_is_given_up_is_aborted() {
    let s3 = S3::start();
    let bench = bench(&s3);
    s3.judge(|operation, before| match (operation, before) {
        ("UploadPart", 2..) => Fate::Hang,
        _ => Fate::Answer,
    });
    let heard = s3.listen();
    on_runtime(async {
        let there = bench.open();
        let upload = tokio::spawn({
            let staged = bench.stage(&noise(50 * MIB));
            async move { there.publish(staged, "data").await }
        });
        let heard = tokio::task::spawn_blocking(move || {
            assert!(heard.iter().filter(|o| o == "UploadPart").nth(2).is_some());
            heard
        });
        let heard = heard.await.unwrap();
        upload.abort();
        let heard_abort =
            tokio::task::spawn_blocking(move || heard.iter().any(|o| o == "AbortMultipartUpload"));
        assert!(heard_abort.await.unwrap());
        // The record goes after the answer: the runtime waits for no task, so this one does
        while bench.staged() > 0 {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(s3.open_uploads(), Vec::<String>::new());
    assert!(!s3.file("prod/data").exists());
}

#[test]
fn the_uploads_of_a_dead_run_are_aborted_and_a_store_that_is_away_keeps_its_record() {
    let s3 = S3::start();
    let bench = bench(&s3);
    s3.judge(|operation, before| match (operation, before) {
        ("UploadPart", 2..) => Fate::Hang,
        _ => Fate::Answer,
    });
    let heard = s3.listen();
    let staged = bench.stage(&noise(50 * MIB));
    // The runtime ends in the middle of the upload, as with a program that is killed
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let there = bench.open();
    runtime.spawn(async move { there.publish(staged, "data").await });
    assert!(heard.iter().filter(|o| o == "UploadPart").nth(2).is_some());
    runtime.shutdown_background();
    assert_ne!(s3.open_uploads(), Vec::<String>::new());
    let staging = bench.staging.parent().unwrap().to_owned();
    let records = || {
        let names = fs::read_dir(&bench.staging).into_iter().flatten();
        names.map(|e| e.unwrap().file_name()).collect::<Vec<_>>()
    };
    fs::write(bench.staging.join("half.parquet"), "half").unwrap();
    fs::create_dir(staging.join("alive")).unwrap();

    // Alive: nothing is touched
    on_runtime(bench.lake.sweep(&staging, |_| true));
    assert!(records().len() >= 2);

    // Away: the files go, the record stays
    s3.judge(|_, _| Fate::Break);
    on_runtime(bench.lake.sweep(&staging, |run| run == "alive"));
    let left = records();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].to_str().unwrap().starts_with("upload-"), "{left:?}");

    // Back again
    s3.judge(|_, _| Fate::Answer);
    on_runtime(bench.lake.sweep(&staging, |run| run == "alive"));
    assert_eq!(s3.open_uploads(), Vec::<String>::new());
    assert!(!bench.staging.exists());
    assert!(staging.join("alive").exists());
}

/// No emulator keeps to generations, which is all that is Google's own here: this one does that alone.
#[test]
fn google_is_told_which_generation_a_write_replaces() {
    let stored: Mutex<Option<(u64, serde_json::Value)>> = Mutex::default();
    let url = server::serve(move |request| {
        assert_eq!(request.path, "/lake/prod%2Fa%2Ejson");
        let mut stored = stored.lock().unwrap();
        let there = stored.as_ref().map_or(0, |(generation, _)| *generation);
        if request.method == "PUT" {
            let wanted = request
                .headers
                .iter()
                .find(|(name, _)| name == "x-goog-if-generation-match");
            let (_, wanted) = wanted.unwrap();
            if wanted.parse() != Ok(there) {
                return server::json(412, &serde_json::Value::Null);
            }
            *stored = Some((there + 1, request.body.clone()));
        }
        let Some((generation, value)) = &*stored else {
            return server::json(404, &serde_json::Value::Null);
        };
        let headers = format!(
            "x-goog-generation: {generation}\r\netag: \"x\"\r\nlast-modified: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
        );
        Some((200, headers, value.to_string()))
    });
    let folder = tempfile::tempdir().unwrap();
    let access = google_access(folder.path(), url);
    let bench = Bench::of_bucket("gs://lake/prod", access);
    on_runtime(async {
        let there = bench.open();
        let put = |content: u8, over| {
            let there = &there;
            async move { there.put("a.json", vec![content], &over).await }
        };
        let first = put(b'1', Version::absent()).await.unwrap();
        let (content, read) = there.read("a.json").await.unwrap();
        assert_eq!((&content.unwrap()[..], &read), (&b"1"[..], &first));
        let again = put(b'2', Version::absent()).await.unwrap_err();
        assert!(matches!(again, ExportError::Conflict { .. }), "{again:?}");
        put(b'3', first.clone()).await.unwrap();
        let stale = put(b'4', first).await.unwrap_err();
        assert!(matches!(stale, ExportError::Conflict { .. }), "{stale:?}");
    });
}

fn google_access(folder: &Path, endpoint: String) -> BucketAccess {
    let file = folder.join("account.json");
    // How object_store is told to ask nobody for a token
    let account =
        r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;
    fs::write(&file, account).unwrap();
    BucketAccess {
        endpoint: Some(endpoint),
        service_account: Some(file),
        ..BucketAccess::default()
    }
}

/// Google's multipart uploads are those of S3, by its own documentation ("XML API multipart uploads"), so
/// a server for S3 takes them.
#[test]
fn google_takes_a_file_in_parts_and_one_that_breaks_leaves_nothing() {
    let server = S3::start_open();
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::of_bucket(
        "gs://lake/prod",
        google_access(folder.path(), server.url.clone()),
    );
    let content = noise(50 * MIB);
    on_runtime(async {
        let there = bench.open();
        there.publish(bench.stage(&content), "big").await.unwrap();
        let measured = there.measure("big").await.unwrap().unwrap();
        assert_eq!(measured, (content.len() as u64, hash(&content)));
    });
    assert_eq!(server.count("UploadPart"), content.len().div_ceil(8 * MIB));
    server.judge(|operation, before| match (operation, before) {
        ("UploadPart", 2..) => Fate::Break,
        _ => Fate::Answer,
    });
    let other = bench.stage(&noise(40 * MIB));
    on_runtime(bench.open().publish(other, "big")).unwrap_err();
    assert!(fs::read(server.file("prod/big")).unwrap() == content);
    assert_eq!(server.count("AbortMultipartUpload"), 1);
    assert_eq!((bench.staged(), server.open_uploads()), (0, Vec::new()));
}

fn workspace(settings: &str, more: &str) -> TestWorkspace {
    let workspace = TestWorkspace::empty();
    workspace.write("databuddy-jobs.yaml", settings);
    let job = format!(
        "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [summary, pages]\nexports: [{{ format: parquet, to: 's3://lake/prod'{more} }}]\n"
    );
    workspace.write("jobs/nightly.yaml", &job);
    workspace
}

#[test]
fn a_job_writes_to_a_bucket_verifies_it_and_writes_nothing_again() {
    let s3 = S3::start();
    let workspace = workspace(&s3.settings(), "");
    let run = || workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-20"]);
    let (code, document) = run();
    assert_eq!(code, 0, "{document:#}");
    let artifacts = document["runs"][0]["artifacts"].as_array().unwrap();
    assert_eq!(artifacts.len(), 2);
    for artifact in artifacts {
        assert_eq!(artifact["written"], true);
        let key = artifact["path"].as_str().unwrap();
        let key = key.strip_prefix("s3://lake/").unwrap();
        let content = fs::read(s3.file(key)).unwrap();
        assert_eq!(artifact["sha256"], hash(&content));
    }
    let manifest = s3.file("prod/_manifests/nightly/2026-11-19.json");
    assert!(manifest.exists());
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!((code, &document["files"]), (0, &2.into()), "{document:#}");

    s3.judge(|_, _| Fate::Answer);
    let (code, document) = run();
    assert_eq!(code, 0, "{document:#}");
    for artifact in document["runs"][0]["artifacts"].as_array().unwrap() {
        assert_eq!(artifact["written"], false);
    }
    assert_eq!(s3.count("PutObject"), 0);
    // The manifest and the schema locks alone are read: objects tell their hash
    assert_eq!((s3.count("GetObject"), s3.count("HeadObject")), (3, 2));

    // Verify does read them
    let path = artifacts_path(&document);
    let mut bytes = fs::read(s3.file(&path)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(s3.file(&path), bytes).unwrap();
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!(code, 1, "{document:#}");
    let problem = document["problems"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("SHA-256"), "{document:#}");
    let (code, gaps) = workspace.json(&["gaps", "nightly", "--sandbox"]);
    assert_eq!(gaps["gaps"][0]["unit"], "2026-11-20", "{code} {gaps:#}");
}

#[test]
fn files_whose_manifest_never_came_go_when_the_job_does_not_write_them_any_more() {
    let s3 = S3::start();
    let there = workspace(&s3.settings(), "");
    let run = || there.json(&["run", "nightly", "--sandbox", "--at", "2026-11-20"]);
    assert_eq!(run().0, 0);
    let before = files_under(&s3.file("prod"));
    let job = fs::read_to_string(there.path().join("jobs/nightly.yaml")).unwrap();
    let other = job.replace(" }]", ", path: 'other/{{ query }}/{{ date }}' }]");
    there.write("jobs/nightly.yaml", &other);
    // What is to be put, and two files; then nothing more
    s3.judge(|operation, before| match (operation, before) {
        ("PutObject", 3..) => Fate::Refuse(S3ErrorCode::AccessDenied),
        _ => Fate::Answer,
    });
    let (code, document) = run();
    assert_ne!(code, 0, "{document:#}");
    assert_eq!(files_under(&s3.file("prod/other")).len(), 2);
    s3.judge(|_, _| Fate::Answer);
    there.write("jobs/nightly.yaml", &job);
    assert_eq!(run().0, 0);
    assert_eq!(files_under(&s3.file("prod")), before);
}

/// The paths of all files below a folder.
fn files_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_manifest_that_another_runner_wrote_meanwhile_is_not_overwritten() {
    let s3 = S3::start();
    let workspace = workspace(&s3.settings(), "");
    let manifest = s3.file("prod/_manifests/nightly/2026-11-19.json");
    let other = manifest.clone();
    // Two schema locks are written first, then the files, and last the manifest, which was not there
    // when it was read
    s3.judge(move |operation, before| {
        if (operation, before) == ("PutObject", 2) {
            fs::create_dir_all(other.parent().unwrap()).unwrap();
            fs::write(&other, "of another runner").unwrap();
        }
        Fate::Answer
    });
    let (code, document) = workspace.json(&["run", "nightly", "--sandbox", "--at", "2026-11-20"]);
    let error = document["runs"][0]["error"].as_str().unwrap();
    let expected =
        "another runner has written `s3://lake/prod/_manifests/nightly/2026-11-19.json` meanwhile";
    assert!(code != 0 && error.contains(expected), "{code}: {error}");
    assert_eq!(fs::read(manifest).unwrap(), b"of another runner");
}

fn artifacts_path(document: &serde_json::Value) -> String {
    let path = document["runs"][0]["artifacts"][0]["path"].as_str();
    path.unwrap().strip_prefix("s3://lake/").unwrap().to_owned()
}

#[test]
fn doctor_and_check_try_a_write_and_name_the_remedy() {
    let s3 = S3::start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let wrong_keys = s3::settings(&s3.url, (s3::KEYS.0, "wrong"));
    let refuse = |code| Fate::Refuse(code);
    for (settings, fate, remedy) in [
        (s3.settings(), Fate::Answer, None),
        (
            s3.settings(),
            refuse(S3ErrorCode::NoSuchBucket),
            Some("make the bucket `lake`"),
        ),
        (
            s3.settings(),
            refuse(S3ErrorCode::AccessDenied),
            Some("let the key read, write"),
        ),
        (
            s3.settings(),
            refuse(S3ErrorCode::AuthorizationHeaderMalformed),
            Some("set `stores.lake.region`"),
        ),
        (
            s3.settings(),
            refuse(S3ErrorCode::NotImplemented),
            Some("knows no conditional writes"),
        ),
        (s3.settings(), Fate::Break, Some("try again later")),
        (
            wrong_keys,
            Fate::Answer,
            Some("check the keys in `stores.lake`"),
        ),
        (
            s3::settings(&nowhere, s3::KEYS),
            Fate::Answer,
            Some("check `stores.lake.endpoint`"),
        ),
    ] {
        s3.judge(move |_, _| fate.clone());
        let workspace = workspace(&settings, "");
        let (code, document) = workspace.json(&["doctor", "--sandbox"]);
        let findings = document["findings"].as_array().unwrap();
        let part = "destination s3://lake/prod";
        let finding = findings.iter().find(|f| f["part"] == part).unwrap();
        let ok = remedy.is_none();
        assert_eq!((code == 0, &finding["ok"]), (ok, &ok.into()), "{finding:#}");
        let text = finding["remedy"].as_str().unwrap_or_default();
        assert!(text.contains(remedy.unwrap_or_default()), "{finding:#}");
        assert!(!document.to_string().contains(s3::KEYS.1), "{document:#}");
        let (code, document) = workspace.json(&["check", "--online", "--sandbox"]);
        assert_eq!(code, if ok { 0 } else { 2 }, "{document:#}");
    }
    assert!(!s3.file("prod").exists() || files_below(&s3.file("prod")) == 0);
}

fn files_below(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
