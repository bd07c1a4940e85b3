//! Job files that change while the service runs, and would write the files of another job: they are
//! taken up once they do not.

use std::{collections::BTreeMap, sync::Arc};

use super::reload::{Changes, JobFiles};
use crate::{
    config::{Clash, clashes},
    domain::job::Job,
};

/// A job whose file is right by itself.
#[derive(Debug)]
pub(super) struct Held {
    job: Job,
    /// What is said of it.
    why: String,
}

impl JobFiles {
    /// Whether changes may write the files of other jobs, or make room for such as would.
    pub(super) fn may_clash(&self, changes: &Changes) -> bool {
        !changes.put.is_empty() || !(self.held.is_empty() || changes.removed.is_empty())
    }

    /// Keeps back what would write the files of a job in use, or of another that is taken up now; it is
    /// looked at again with the next change.
    pub(super) fn keep_clashes_back(&mut self, changes: &mut Changes, in_use: &[Arc<Job>]) {
        // Another text, or none, means that the file was read again
        let held = std::mem::take(&mut self.held).into_iter();
        let held = held.filter(|(name, held)| self.broken.get(name) == Some(&held.why));
        let mut waiting: BTreeMap<String, Job> =
            held.map(|(name, held)| (name, held.job)).collect();
        let again = waiting.keys().cloned().collect::<Vec<_>>();
        let put = std::mem::take(&mut changes.put).into_iter();
        waiting.extend(put.map(|job| (job.name.clone(), job)));
        let in_use = in_use.iter().map(AsRef::as_ref);
        let in_use = in_use.filter(|job| !changes.removed.contains(&job.name));
        let refused = refuse(&in_use.collect::<Vec<&Job>>(), &mut waiting);
        for (job, clash) in refused {
            let why = self.reason(&job, &clash);
            if self.broken.get(&job.name) != Some(&why) {
                tracing::error!(job = %job.name, %why, "its file is broken: its last good version is used");
                changes.broken_changed = true;
            }
            self.broken.insert(job.name.clone(), why.clone());
            self.held.insert(job.name.clone(), Held { job, why });
        }
        for name in again.iter().filter(|name| waiting.contains_key(*name)) {
            self.broken.remove(name);
            changes.broken_changed = true;
        }
        changes.put.extend(waiting.into_values());
    }
}

/// Takes out of `waiting` what clashes. A job that is refused stays in use as it was, which may
/// clash with others that wait.
fn refuse(in_use: &[&Job], waiting: &mut BTreeMap<String, Job>) -> Vec<(Job, Clash)> {
    let mut refused = Vec::new();
    loop {
        let unchanged = in_use.iter().filter(|job| !waiting.contains_key(&job.name));
        let mut jobs: Vec<&Job> = unchanged.copied().collect();
        let first = jobs.len();
        jobs.extend(waiting.values());
        let mut found = clashes(&jobs);
        found.retain(|clash| clash.job >= first);
        // Whoever clashes only with one that waits has a chance once that one is refused
        if found.iter().any(|c| !waiting.contains_key(&c.other)) {
            found.retain(|clash| !waiting.contains_key(&clash.other));
        }
        if found.is_empty() {
            return refused;
        }
        let names: Vec<String> = found.iter().map(|c| jobs[c.job].name.clone()).collect();
        for (name, clash) in names.iter().zip(found) {
            refused.extend(waiting.remove(name).map(|job| (job, clash)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Options, load};

    /// Jobs, each with the folder that it writes to, as their files would make them.
    fn jobs(places: &[(&str, &str)]) -> Vec<Job> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("jobs")).unwrap();
        let read = |(name, to): &(&str, &str)| {
            let file = folder.path().join(format!("jobs/{name}.yaml"));
            let text = format!(
                "preset: yesterday\nqueries: [pages]\nexports: [{{ format: csv, to: /lake/{to} }}]\n"
            );
            std::fs::write(file, text).unwrap();
            let options = Options {
                only: vec![(*name).to_owned()],
                ..Options::default()
            };
            let project = load(folder.path(), &Environment::from_pairs([]), &options);
            project.unwrap().jobs.remove(0)
        };
        places.iter().map(read).collect()
    }

    /// What is taken up and what is refused of changed files, by name.
    fn settled(in_use: &[(&str, &str)], changed: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let in_use = jobs(in_use);
        let named = jobs(changed).into_iter().map(|job| (job.name.clone(), job));
        let mut waiting = named.collect();
        let refused = refuse(&in_use.iter().collect::<Vec<_>>(), &mut waiting);
        let refused = refused.into_iter().map(|(job, _)| job.name).collect();
        (waiting.into_keys().collect(), refused)
    }

    #[test]
    fn what_would_write_the_files_of_another_job_is_refused() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let in_use = [("a", "1"), ("b", "2"), ("c", "3")];
        let expect = |changed: &[(&str, &str)], taken: &[&str], refused: &[&str]| {
            let expected = (names(taken), names(refused));
            assert_eq!(settled(&in_use, changed), expected, "{changed:?}");
        };
        expect(&[("a", "4"), ("d", "5")], &["a", "d"], &[]);
        expect(&[("a", "2")], &[], &["a"]);
        expect(&[("d", "4"), ("e", "4")], &["d"], &["e"]);
        // Two that change places
        expect(&[("a", "2"), ("b", "1")], &["a", "b"], &[]);
        // `b` makes no room for `a`, because its new place is taken
        expect(&[("a", "2"), ("b", "3")], &[], &["b", "a"]);
        // `e` need not go because of `d`, which goes because of `a`
        expect(&[("d", "1"), ("e", "1"), ("f", "9")], &["f"], &["d", "e"]);
    }
}
