//! Manifests for Kubernetes: `CronJobs` that call `run`, or a Deployment of runners that share a Postgres.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};

use super::{beyond_cron, scheduled};
use crate::{
    cli::{
        CliError,
        args::{GenerateArgs, Shape},
    },
    config::Project,
    domain::{job::Job, schedule::Schedule},
};

const NAME: &str = "databuddy-jobs";

/// Where the project lies in the container.
const PROJECT: &str = "/project";

/// How many seconds after its time a `CronJob` still starts.
const DEADLINE: u32 = 3600;

/// What the metrics and health checks are served on.
const PORT: u16 = 8080;

pub(super) fn manifests(project: &Project, args: &GenerateArgs) -> Result<String, CliError> {
    let files = files(&project.root)?;
    let mut documents = vec![config_map(&files)];
    let mut notes = vec![
        "# By `databuddy-jobs generate kubernetes`. It needs a Secret with what must not be read:".to_owned(),
        format!("#   kubectl create secret generic {NAME} --from-literal=DATABUDDY_API_KEY=… \\"),
        "#     --from-literal=DATABUDDY_JOBS_STORE=postgres://… --from-literal=DATABUDDY_JOBS_WEB_TOKEN=…".to_owned(),
        "# Files go to buckets: what a container writes into its own folders is gone with it.".to_owned(),
    ];
    match args.shape {
        Shape::Cronjobs => {
            for job in scheduled(project) {
                let Some(schedule) = &job.schedule else {
                    continue;
                };
                match beyond_cron(&schedule.cron) {
                    None => documents.push(cron_job(project, job, schedule, args, &files)),
                    Some(why) => notes.push(format!(
                        "# `{}` of {} is not for a CronJob: {why}; use --shape runners",
                        schedule.cron, job.name
                    )),
                }
            }
        }
        Shape::Runners => {
            documents.extend([deployment(project, args, &files), service(), budget()]);
        }
    }
    let mut text = notes.join("\n");
    for document in documents {
        let yaml = serde_yaml::to_string(&document);
        text.push_str("\n---\n");
        text.push_str(yaml.expect("JSON is YAML").trim_end());
    }
    Ok(text)
}

/// The files of the project: paths below it, and texts.
fn files(root: &Path) -> Result<Vec<(String, String)>, CliError> {
    let mut files = Vec::new();
    let mut open = vec![
        root.join("jobs"),
        root.join("templates"),
        root.join("databuddy-jobs.yaml"),
    ];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            open.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
        } else if path.exists() {
            let text = fs::read_to_string(&path).map_err(|e| {
                CliError::machine(format!("`{}` is no text", path.display()))(e.into())
            })?;
            let short = path.strip_prefix(root).unwrap_or(&path);
            files.push((short.display().to_string(), text));
        }
    }
    files.sort();
    Ok(files)
}

/// A key of a `ConfigMap` has no slashes.
fn key(path: &str) -> String {
    path.replace('/', "__")
}

fn config_map(files: &[(String, String)]) -> Value {
    let data: Map<String, Value> = files
        .iter()
        .map(|(path, text)| (key(path), Value::from(text.as_str())))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": NAME, "labels": labels() },
        "data": data,
    })
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/name": NAME })
}

fn cron_job(
    project: &Project,
    job: &Job,
    schedule: &Schedule,
    args: &GenerateArgs,
    files: &[(String, String)],
) -> Value {
    let mut pod = pod(project, args, files, &["run", &job.name]);
    pod["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": { "name": format!("{NAME}-{}", job.name.replace('_', "-")), "labels": labels() },
        "spec": {
            "schedule": schedule.cron,
            "timeZone": schedule.timezone.name(),
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": DEADLINE,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": { "spec": {
                "backoffLimit": 3,
                "activeDeadlineSeconds": job.timeout.as_secs() + 300,
                // 75 alone is worth another try: 1 to 3 have tried, or will not get better
                "podFailurePolicy": { "rules": [{
                    "action": "FailJob",
                    "onExitCodes": { "containerName": NAME, "operator": "In", "values": [1, 2, 3] },
                }] },
                "template": { "metadata": { "labels": labels() }, "spec": pod },
            } },
        },
    })
}

fn deployment(project: &Project, args: &GenerateArgs, files: &[(String, String)]) -> Value {
    let mut pod = pod(project, args, files, &["serve"]);
    let grace = project.settings.runner.grace.as_secs() + 15;
    pod["terminationGracePeriodSeconds"] = json!(grace);
    let container = &mut pod["containers"][0];
    container["ports"] = json!([{ "name": "http", "containerPort": PORT }]);
    let listen = json!({ "name": "DATABUDDY_JOBS_WEB_LISTEN", "value": format!("0.0.0.0:{PORT}") });
    container["env"]
        .as_array_mut()
        .expect("a list")
        .push(listen);
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 10, "failureThreshold": 3 });
    container["livenessProbe"] = probe("/healthz");
    container["readinessProbe"] = probe("/readyz");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": NAME, "labels": labels() },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels() },
            "template": { "metadata": { "labels": labels() }, "spec": pod },
        },
    })
}

fn pod(project: &Project, args: &GenerateArgs, files: &[(String, String)], call: &[&str]) -> Value {
    let items = files
        .iter()
        .map(|(path, _)| json!({ "key": key(path), "path": path }));
    let items: Vec<Value> = items.collect();
    let mut words = vec![
        "--project",
        PROJECT,
        "--log-format",
        "json",
        "--no-progress",
        "-v",
    ];
    words.extend(call);
    let labels = project.settings.runner.labels.join(",");
    let mut env = vec![json!({ "name": "SSL_CERT_DIR", "value": "/etc/ssl/certs" })];
    if !labels.is_empty() {
        env.push(json!({ "name": "DATABUDDY_JOBS_RUNNER_LABELS", "value": labels }));
    }
    json!({
        "automountServiceAccountToken": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": NAME,
            "image": args.image,
            "args": words,
            "env": env,
            "envFrom": [{ "secretRef": { "name": NAME } }],
            "resources": {
                "requests": { "cpu": "100m", "memory": "128Mi" },
                "limits": { "memory": "512Mi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [
                { "name": "project", "mountPath": PROJECT },
                { "name": "state", "mountPath": format!("{PROJECT}/.databuddy-jobs") },
                { "name": "tmp", "mountPath": "/tmp" },
            ],
        }],
        "volumes": [
            { "name": "project", "configMap": { "name": NAME, "items": items } },
            { "name": "state", "emptyDir": {} },
            { "name": "tmp", "emptyDir": {} },
        ],
    })
}

fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": NAME, "labels": labels() },
        "spec": { "selector": labels(), "ports": [{ "name": "http", "port": PORT, "targetPort": "http" }] },
    })
}

/// One runner stays while nodes are drained.
fn budget() -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": NAME, "labels": labels() },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": labels() } },
    })
}
