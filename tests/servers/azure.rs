//! Azure Blob Storage, as Azurite emulates it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use databuddy_jobs::{
    domain::destination::{AzureSecret, BucketAccess},
    secret::Secret,
};

use crate::{
    Test,
    contract::{Bench, contract, on_runtime},
    python,
    workspace::TestWorkspace,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    (
        "a_container_of_azure_keeps_the_contract",
        a_container_of_azure_keeps_the_contract,
    ),
    (
        "a_job_writes_to_azure_verifies_it_and_writes_nothing_again",
        a_job_writes_to_azure_verifies_it_and_writes_nothing_again,
    ),
];

/// The account that every Azurite has, and its key.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-node/node_modules/.bin/azurite-blob")
}

/// What is missing, and how to get it; `None` where nothing is.
pub(crate) fn missing() -> Option<String> {
    let is_there = program().exists();
    (!is_there).then(|| "no azurite: run `bash .ci/setup`".to_owned())
}

/// A running server with a container called `lake`; stopped when dropped.
struct Azurite {
    process: Child,
    /// With the account, as `stores.NAME.endpoint` wants it.
    endpoint: String,
}

impl Azurite {
    fn start() -> Self {
        let mut process = Command::new(program())
            .args([
                "--blobPort",
                "0",
                "--inMemoryPersistence",
                "--disableTelemetry",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| Some(line.split_once("listens on ")?.1.trim().to_owned()))
            .unwrap();
        // It ends where nobody reads what it says
        thread::spawn(move || lines.for_each(drop));
        let made = Command::new(python::interpreter())
            .arg(python::script("azurite.py"))
            .args([&url, "lake"])
            .status();
        assert!(made.unwrap().success());
        Self {
            process,
            endpoint: format!("{url}/{ACCOUNT}"),
        }
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn a_container_of_azure_keeps_the_contract() {
    let azurite = Azurite::start();
    let access = BucketAccess {
        endpoint: Some(azurite.endpoint.clone()),
        account: Some(ACCOUNT.to_owned()),
        azure: Some(AzureSecret::AccountKey(Secret::new(KEY))),
        ..BucketAccess::default()
    };
    on_runtime(contract(&Bench::of_bucket("az://lake/prod", access)));
}

fn a_job_writes_to_azure_verifies_it_and_writes_nothing_again() {
    let azurite = Azurite::start();
    let workspace = TestWorkspace::empty();
    let settings = |container: &str, key: &str| {
        let text = format!(
            "stores:\n  lake:\n    bucket: {container}\n    endpoint: {}\n    account: {ACCOUNT}\n    account_key: {key}\n",
            azurite.endpoint
        );
        workspace.write("databuddy-jobs.yaml", &text);
    };
    settings("lake", KEY);
    workspace.write(
        "jobs/nightly.yaml",
        "preset: yesterday\nwebsites: [web_acme_tiny]\nqueries: [summary, pages]\nexports: [{ format: parquet, to: 'az://lake/prod' }]\n",
    );
    for written in [true, false] {
        let (code, document) = workspace.json(&["run", "nightly", "--sandbox"]);
        assert_eq!(code, 0, "{document:#}");
        let artifacts = document["runs"][0]["artifacts"].as_array().unwrap();
        assert_eq!(artifacts.len(), 2);
        assert!(
            artifacts.iter().all(|a| a["written"] == written),
            "{document:#}"
        );
    }
    let (code, document) = workspace.json(&["verify", "nightly", "--sandbox"]);
    assert_eq!((code, &document["files"]), (0, &2.into()), "{document:#}");
    let wrong = "d3Jvbmcga2V5IQ==";
    for (container, key, remedy) in [
        ("pond", KEY, Some("make the bucket `lake`")),
        ("lake", wrong, Some("check the keys in `stores.lake`")),
        ("lake", KEY, None),
    ] {
        settings(container, key);
        let (_, document) = workspace.json(&["doctor", "--sandbox"]);
        let findings = document["findings"].as_array().unwrap();
        let part = "destination az://lake/prod";
        let finding = findings.iter().find(|f| f["part"] == part).unwrap();
        assert_eq!(finding["ok"], remedy.is_none(), "{finding:#}");
        let text = finding["remedy"].as_str().unwrap_or_default();
        assert!(text.contains(remedy.unwrap_or_default()), "{finding:#}");
    }
}
