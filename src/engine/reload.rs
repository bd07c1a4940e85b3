//! Job files that change while the service runs.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::clash::Held;
use crate::{
    config::{Clash, Environment, Options, load},
    domain::job::Job,
};

/// Files that are looked at in one go. The folder itself says when a file was added, removed or
/// replaced; one that is written in place says so alone. Ten thousand files at once every few seconds
/// are more work than all else that an idle service does.
const AT_ONCE: usize = 1_000;

/// A file system may give two changes that follow each other the same time.
const SAME_TIME: Duration = Duration::from_secs(2);

/// The job files of a project, as they were seen last.
#[derive(Debug)]
pub struct JobFiles {
    root: PathBuf,
    env: Environment,
    options: Options,
    seen: BTreeMap<String, Seen>,
    settings: Stamp,
    /// When the folder was changed last; `None`: it is looked through again.
    folder: Option<SystemTime>,
    /// Up to where files were looked at last.
    looked_at: String,
    /// Why the file of a job cannot be used, by the job's name.
    pub(super) broken: BTreeMap<String, String>,
    /// Jobs that would write the files of another one, by name.
    pub(super) held: BTreeMap<String, Held>,
}

type Stamp = Option<(SystemTime, u64)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    extension: &'static str,
    stamp: Stamp,
    /// Whether there is another file of that name, with the other ending.
    is_twice: bool,
}

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Jobs that are new, or have another definition.
    pub(super) put: Vec<Job>,
    /// Jobs whose file is gone.
    pub(super) removed: Vec<String>,
    /// Whether other files are broken than before, or in another way.
    pub(super) broken_changed: bool,
}

impl JobFiles {
    /// Notes the files of a project. To be called before they are read: what changes in between is
    /// read once more.
    pub fn note(root: &Path, env: Environment, options: Options) -> Self {
        let mut files = Self {
            root: root.to_owned(),
            env,
            options,
            seen: BTreeMap::new(),
            settings: None,
            folder: None,
            looked_at: String::new(),
            broken: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        files.settings = stamp(&files.root.join(SETTINGS));
        files.seen = files.all();
        files
    }

    /// What is wrong with files, by the job's name.
    pub(super) fn broken(&self) -> &BTreeMap<String, String> {
        &self.broken
    }

    /// Whether there is a file of that job now, be it broken.
    pub(super) fn has(&self, name: &str) -> bool {
        let jobs = self.root.join("jobs");
        let is_there = |end: &str| jobs.join(format!("{name}.{end}")).exists();
        is_there("yaml") || is_there("yml")
    }

    /// Looks for changes, and reads the files that have changed: those of the folder, and of those that
    /// were written in place a thousand at a time.
    pub(super) fn changes(&mut self, now: SystemTime) -> Changes {
        let mut changes = Changes::default();
        let settings = stamp(&self.root.join(SETTINGS));
        let folder = stamp(&self.root.join("jobs")).map(|(changed, _)| changed);
        let found = if settings != self.settings || folder.is_none() || folder != self.folder {
            let found = self.all();
            if found.is_empty() && !self.seen.is_empty() {
                // Not there for a moment, more likely than all removed on purpose
                self.folder = None;
                return changes;
            }
            self.remove_all_but(&found, &mut changes);
            found
        } else {
            self.next()
        };
        // `defaults` of the settings are part of every job
        let all = settings != self.settings;
        let is_changed = |(name, found): &(String, Seen)| all || self.seen.get(name) != Some(found);
        let changed: Vec<(String, Seen)> = found.into_iter().filter(is_changed).collect();
        self.read_together(changed.iter().map(|(name, _)| name), &mut changes);
        self.seen.extend(changed);
        self.settings = settings;
        let is_old = |changed: &SystemTime| {
            now.duration_since(*changed)
                .is_ok_and(|age| age > SAME_TIME)
        };
        self.folder = folder.filter(is_old);
        changes
    }

    fn remove_all_but(&mut self, found: &BTreeMap<String, Seen>, changes: &mut Changes) {
        let gone: Vec<String> = self
            .seen
            .keys()
            .filter(|name| !found.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            self.seen.remove(&name);
            changes.broken_changed |= self.broken.remove(&name).is_some();
            changes.removed.push(name);
        }
    }

    /// Thousands that all changed are read in one pass, as at the start, unless one of them is broken.
    fn read_together<'a>(
        &mut self,
        names: impl Iterator<Item = &'a String> + Clone,
        changes: &mut Changes,
    ) {
        let options = Options {
            only: names.clone().cloned().collect(),
            ..self.options.clone()
        };
        if options.only.len() > 1
            && let Ok(mut project) = load(&self.root, &self.env, &options)
        {
            for name in names {
                changes.broken_changed |= self.broken.remove(name).is_some();
            }
            changes.put.append(&mut project.jobs);
            return;
        }
        for name in names {
            self.read(name, changes);
        }
    }

    fn read(&mut self, name: &str, changes: &mut Changes) {
        let options = Options {
            only: vec![name.to_owned()],
            ..self.options.clone()
        };
        match load(&self.root, &self.env, &options) {
            Ok(mut project) => {
                changes.broken_changed |= self.broken.remove(name).is_some();
                changes.put.append(&mut project.jobs);
            }
            Err(problems) => {
                let why = problems.to_string();
                tracing::error!(job = name, %why, "its file is broken: its last good version is used");
                self.broken.insert(name.to_owned(), why);
                changes.broken_changed = true;
            }
        }
    }

    /// In words, with its line, why a job would write the files of another.
    pub(super) fn reason(&self, job: &Job, clash: &Clash) -> String {
        let options = Options {
            only: vec![job.name.clone()],
            ..self.options.clone()
        };
        let project = load(&self.root, &self.env, &options).ok();
        let source = project.as_ref().and_then(|project| project.sources.first());
        source.map_or_else(
            || format!("the job `{}` would write the same files", clash.other),
            |source| clash.problem(source).to_string(),
        )
    }

    /// The files that are there.
    fn all(&self) -> BTreeMap<String, Seen> {
        let folder = fs::read_dir(self.root.join("jobs"));
        let paths = folder
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.path()));
        let mut all = BTreeMap::new();
        for path in paths {
            let extension = path.extension();
            let extension = EXTENSIONS
                .into_iter()
                .find(|e| extension == Some(e.as_ref()));
            let name = path.file_stem().and_then(OsStr::to_str);
            let (Some(extension), Some(name)) = (extension, name) else {
                continue;
            };
            let mut seen = Seen {
                extension,
                stamp: stamp(&path),
                is_twice: false,
            };
            // The folder lists them in any order
            if let Some(other) = all.remove(name) {
                seen = if extension == EXTENSIONS[0] {
                    seen
                } else {
                    other
                };
                seen.is_twice = true;
            }
            all.insert(name.to_owned(), seen);
        }
        all
    }

    /// Of the files that were there the next few are looked at: those that have changed.
    fn next(&mut self) -> BTreeMap<String, Seen> {
        let after = (Bound::Excluded(self.looked_at.as_str()), Bound::Unbounded);
        let next = self.seen.range::<str, _>(after).take(AT_ONCE);
        let (mut path, mut file) = (self.root.join("jobs/x"), String::new());
        let (mut changed, mut last, mut count) = (BTreeMap::new(), "", 0);
        for (name, seen) in next {
            file.clear();
            for part in [name.as_str(), ".", seen.extension] {
                file.push_str(part);
            }
            path.set_file_name(&file);
            let stamp = stamp(&path);
            if stamp != seen.stamp {
                changed.insert(name.clone(), Seen { stamp, ..*seen });
            }
            (last, count) = (name.as_str(), count + 1);
        }
        self.looked_at = if count == AT_ONCE { last } else { "" }.to_owned();
        changed
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// What job files end in.
const EXTENSIONS: [&str; 2] = ["yaml", "yml"];

const SETTINGS: &str = "databuddy-jobs.yaml";

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str =
        "preset: yesterday\nqueries: [summary]\nexports: [{ format: csv, to: out }]\n";

    fn project(jobs: usize) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("jobs")).unwrap();
        for n in 0..jobs {
            write(&folder, n, &format!("{JOB}description: job {n}\n"));
        }
        fs::write(folder.path().join(SETTINGS), "api: { key: k }\n").unwrap();
        folder
    }

    fn path(folder: &tempfile::TempDir, n: usize) -> PathBuf {
        folder.path().join(format!("jobs/job{n:05}.yaml"))
    }

    fn write(folder: &tempfile::TempDir, n: usize, text: &str) {
        fs::write(
            path(folder, n),
            text.replace("to: out", &format!("to: out/{n}")),
        )
        .unwrap();
    }

    /// The files as they are noted, and a time at which all of them are old.
    fn note(folder: &tempfile::TempDir) -> (JobFiles, SystemTime) {
        let env = Environment::from_pairs([]);
        let files = JobFiles::note(folder.path(), env, Options::default());
        let changed = fs::metadata(folder.path().join("jobs")).unwrap().modified();
        (files, changed.unwrap() + Duration::from_secs(60))
    }

    fn names(changes: &Changes) -> Vec<&str> {
        changes.put.iter().map(|job| job.name.as_str()).collect()
    }

    #[test]
    fn a_file_that_is_written_in_place_is_found_among_thousands() {
        let folder = project(2 * AT_ONCE + 50);
        let (mut files, now) = note(&folder);
        assert_eq!(names(&files.changes(now)), Vec::<&str>::new());
        for n in [3, AT_ONCE + 3, 2 * AT_ONCE + 3] {
            write(&folder, n, &format!("{JOB}description: changed\n"));
            let mut found = Vec::new();
            for _ in 0..3 {
                let changes = files.changes(now);
                found.extend(names(&changes).into_iter().map(str::to_owned));
                assert_eq!(changes.removed, Vec::<String>::new());
            }
            assert_eq!(found, [format!("job{n:05}")]);
        }
    }

    #[test]
    fn a_folder_that_is_away_for_a_moment_removes_nothing() {
        let folder = project(3);
        let (mut files, now) = note(&folder);
        let (jobs, away) = (folder.path().join("jobs"), folder.path().join("away"));
        fs::rename(&jobs, &away).unwrap();
        for empty in [false, true] {
            if empty {
                fs::create_dir(&jobs).unwrap();
            }
            assert_eq!(files.changes(now).removed, Vec::<String>::new());
        }
        fs::remove_dir(&jobs).unwrap();
        fs::rename(&away, &jobs).unwrap();
        fs::remove_file(path(&folder, 1)).unwrap();
        let changes = files.changes(now);
        assert_eq!(changes.removed, ["job00001"]);
        assert_eq!(names(&changes), Vec::<&str>::new());
    }

    #[test]
    fn files_that_come_go_or_are_replaced_are_found_at_the_next_look() {
        let folder = project(2 * AT_ONCE + 50);
        let (mut files, now) = note(&folder);
        files.changes(now);
        files.changes(now);
        let (new, gone, other) = (2 * AT_ONCE + 50, 2 * AT_ONCE + 20, 2 * AT_ONCE + 10);
        write(&folder, new, JOB);
        fs::remove_file(path(&folder, gone)).unwrap();
        let beside = folder.path().join("jobs/beside");
        fs::write(&beside, format!("{JOB}description: replaced\n")).unwrap();
        fs::rename(&beside, path(&folder, other)).unwrap();
        let changes = files.changes(now);
        let wanted = [other, new].map(|n| format!("job{n:05}"));
        assert_eq!(names(&changes), wanted);
        assert_eq!(changes.removed, [format!("job{gone:05}")]);
        assert_eq!(names(&files.changes(now)), Vec::<&str>::new());
    }

    #[test]
    fn of_many_that_change_at_once_a_broken_one_keeps_none_back() {
        let folder = project(5);
        let (mut files, now) = note(&folder);
        write(&folder, 1, &format!("{JOB}description: changed\n"));
        write(&folder, 2, "preset: never\n");
        write(&folder, 3, &format!("{JOB}description: changed\n"));
        let changes = files.changes(now);
        assert_eq!(names(&changes), ["job00001", "job00003"]);
        assert_eq!(files.broken().keys().collect::<Vec<_>>(), ["job00002"]);
        // All of them once more when the settings change, which are part of every job
        write(&folder, 2, &format!("{JOB}description: whole\n"));
        let settings = "api: { key: k }\ndefaults: { timeout: 2h }\n";
        fs::write(folder.path().join(SETTINGS), settings).unwrap();
        let changes = files.changes(now);
        assert_eq!(changes.put.len(), 5);
        assert!(changes.broken_changed && files.broken().is_empty());
    }

    #[test]
    fn two_files_of_one_job_are_named_and_keep_the_last_good_version_until_one_goes() {
        let folder = project(3);
        let (mut files, now) = note(&folder);
        let (one, other) = (path(&folder, 1), path(&folder, 1).with_extension("yml"));
        for gone in [&other, &one] {
            fs::copy(&one, &other).unwrap();
            let beside = format!("{JOB}description: while {} is there\n", gone.display());
            write(&folder, 2, &beside);
            let changes = files.changes(now);
            assert_eq!(names(&changes), ["job00002"]);
            assert_eq!(changes.removed, Vec::<String>::new());
            let why = &files.broken()["job00001"];
            assert!(why.contains("`job00001.yaml` and `job00001.yml`"), "{why}");
            fs::remove_file(gone).unwrap();
            let changes = files.changes(now);
            assert_eq!(names(&changes), ["job00001"]);
            assert!(files.broken().is_empty());
        }
    }
}
