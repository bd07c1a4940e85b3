//! Settings and jobs from real files.

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn load_with(files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Project, Problems> {
    let folder = project(files);
    load(
        folder.path(),
        &Environment::from_pairs(env.iter().copied()),
        &Options::default(),
    )
}

#[test]
fn defaults_and_environment_reach_the_job_and_secrets_do_not_print() {
    let files = [
        (
            "databuddy-jobs.yaml",
            "api: { key: '${KEY}' }\ndefaults: { schedule: { timezone: Europe/Berlin } }",
        ),
        (
            "jobs/a.yaml",
            "schedule: { cron: '0 2 * * *' }\npreset: yesterday\nqueries: [summary]",
        ),
    ];
    let project = load_with(&files, &[("KEY", "dbdy_secret")]).unwrap();
    assert_eq!(project.jobs[0].timezone, chrono_tz::Tz::Europe__Berlin);
    assert_eq!(
        project.settings.api_key.as_ref().unwrap().expose(),
        "dbdy_secret"
    );
    assert!(!format!("{project:?}").contains("dbdy_secret"));
}

#[test]
fn a_value_cannot_change_the_structure() {
    let files = [(
        "jobs/a.yaml",
        "description: '${D}'\npreset: yesterday\nqueries: [summary]",
    )];
    let project = load_with(&files, &[("D", "x\nenabled: false")]).unwrap();
    assert!(project.jobs[0].enabled);
    assert_eq!(project.jobs[0].description, "x\nenabled: false");
}

#[test]
fn each_broken_file_is_reported_with_its_line() {
    let files = [
        ("jobs/a.yaml", "preset: yesterday\nqueris: [summary]\n"),
        ("jobs/b.yaml", "preset: last_7_days\nqueries: [summary]\n"),
        (
            "jobs/c.yaml",
            "preset: yesterday\nlookback: 3\nqueries: [summary]\n",
        ),
    ];
    let problems = load_with(&files, &[]).unwrap_err();
    let lines: Vec<usize> = problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 1, 2], "{problems}");
    let text = problems.to_string();
    for part in [
        "did you mean `queries`",
        "did you mean `last_7_full_days`",
        "`lookback` is not built yet",
        "3 problems",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

#[test]
fn a_missing_variable_an_unknown_job_and_a_wrong_address_are_problems() {
    let job = "preset: yesterday\nqueries: [summary]\nreports: [{ template: weekly, to: [bob at example] }]";
    assert!(
        load_with(&[("jobs/a.yaml", job)], &[])
            .unwrap_err()
            .to_string()
            .contains("mail address")
    );
    let job = "description: ${NOPE}\npreset: yesterday\nqueries: [summary]";
    assert!(
        load_with(&[("jobs/a.yaml", job)], &[])
            .unwrap_err()
            .to_string()
            .contains("`NOPE`")
    );
    let folder = project(&[("jobs/nightly.yaml", "preset: yesterday\nqueries: [summary]")]);
    let options = Options {
        only: vec!["nigthly".to_owned()],
        ..Options::default()
    };
    let problems = load(folder.path(), &Environment::from_pairs([]), &options).unwrap_err();
    assert!(
        problems.to_string().contains("did you mean `nightly`"),
        "{problems}"
    );
}
