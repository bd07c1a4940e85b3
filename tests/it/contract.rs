//! What holds of every destination, and a place to try it at.

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf};

use databuddy_jobs::{
    domain::destination::{BucketAccess, BucketUrl, DestinationUrl},
    export::{Destination, Destinations, ExportError, Staged, Version},
};
use sha2::{Digest, Sha256};

pub(crate) const MIB: usize = 1024 * 1024;

/// Work on a runtime of its own.
pub(crate) fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// A place to write to, and where staged files lie.
pub(crate) struct Bench {
    pub(crate) to: DestinationUrl,
    pub(crate) lake: Destinations,
    pub(crate) staging: PathBuf,
    _folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "two test binaries share it, neither uses all")]
impl Bench {
    pub(crate) fn of_directory() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = DestinationUrl::Directory(folder.path().join("lake"));
        Self::new(to, BTreeMap::new(), folder)
    }

    /// A bucket called `lake`.
    pub(crate) fn of_bucket(url: &str, access: BucketAccess) -> Self {
        let to = DestinationUrl::Bucket(BucketUrl::parse(url).unwrap());
        let access = BTreeMap::from([("lake".to_owned(), access)]);
        Self::new(to, access, tempfile::tempdir().unwrap())
    }

    fn new(
        to: DestinationUrl,
        access: BTreeMap<String, BucketAccess>,
        folder: tempfile::TempDir,
    ) -> Self {
        let staging = folder.path().join("staging/run1");
        fs::create_dir_all(&staging).unwrap();
        Self {
            to,
            lake: Destinations::new(access).with_retries(0),
            staging,
            _folder: folder,
        }
    }

    pub(crate) fn open(&self) -> Destination {
        self.lake.open(&self.to, "nightly").unwrap()
    }

    pub(crate) fn stage(&self, content: &[u8]) -> Staged {
        let mut file = tempfile::NamedTempFile::new_in(&self.staging).unwrap();
        file.write_all(content).unwrap();
        Staged {
            path: file.into_temp_path(),
            rows: 1,
            bytes: content.len() as u64,
            sha256: hash(content),
        }
    }

    /// What lies in the staging folder.
    pub(crate) fn staged(&self) -> usize {
        fs::read_dir(&self.staging).unwrap().count()
    }
}

pub(crate) fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Bytes that repeat nowhere, so that a part in the wrong place shows.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u64(..).to_le_bytes())
        .flatten()
        .take(bytes)
        .collect()
}

/// What holds of every destination.
pub(crate) async fn contract(bench: &Bench) {
    let there = bench.open();

    // Nothing is there: no error
    let (content, absent) = there.read("a/b.json").await.unwrap();
    assert_eq!((content, &absent), (None, &Version::absent()));
    assert_eq!(there.measure("a/b.json").await.unwrap(), None);
    assert_eq!(there.list("").await.unwrap(), []);
    assert!(there.manifests().await.unwrap().is_empty());
    there.remove("a/b.json").await.unwrap();

    // Made once: the second one that makes it is told so
    let first = there.put("a/b.json", b"1".to_vec(), &absent).await.unwrap();
    let error = there.put("a/b.json", b"2".to_vec(), &absent).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ExportError::Conflict { .. }), "{error:?}");
    assert!(error.is_temporary());
    let shown = error.to_string();
    assert!(shown.contains("/a/b.json` meanwhile"), "{shown}");
    let (content, read) = there.read("a/b.json").await.unwrap();
    assert_eq!((&content.unwrap()[..], &read), (&b"1"[..], &first));

    // Two that have read the same: one wins, the other is told so
    let second = there.put("a/b.json", b"2".to_vec(), &read).await.unwrap();
    let other = bench.lake.open(&bench.to, "other").unwrap();
    let stale = other.put("a/b.json", b"3".to_vec(), &read).await;
    assert!(matches!(stale, Err(ExportError::Conflict { .. })));
    assert_eq!(&there.read("a/b.json").await.unwrap().0.unwrap()[..], b"2");

    // Who says the same has nothing to lose
    let same = there.put("a/b.json", b"2".to_vec(), &read).await.unwrap();
    assert_eq!(same, second);

    // What was removed is not replaced
    there.remove("a/b.json").await.unwrap();
    let gone = there.put("a/b.json", b"4".to_vec(), &second).await;
    assert!(
        matches!(gone, Err(ExportError::Conflict { .. })),
        "{gone:?}"
    );

    // Files are replaced whatever lies there, names are kept as they are
    let path = "q ü/website_id=w%2F1/day=2026-11-22/data.csv";
    for content in [&b"one"[..], b"another", b""] {
        there.publish(bench.stage(content), path).await.unwrap();
        let measured = there.measure(path).await.unwrap().unwrap();
        assert_eq!(measured, (content.len() as u64, hash(content)));
    }
    there
        .publish(bench.stage(b"0123456789"), "z")
        .await
        .unwrap();
    assert_eq!(&there.tail("z", 3).await.unwrap()[..], b"789");
    assert_eq!(&there.tail("z", 30).await.unwrap()[..], b"0123456789");
    let listed = there.list("").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|l| (l.path.as_str(), l.bytes)).collect();
    assert_eq!(listed, [(path, 0), ("z", 10)]);
    let listed = there.list("q ü").await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        there.list("q").await.unwrap(),
        [],
        "a folder is no prefix of letters"
    );

    // Parts arrive in their order
    let large = noise(20 * MIB + 7);
    there.publish(bench.stage(&large), "large").await.unwrap();
    let measured = there.measure("large").await.unwrap().unwrap();
    assert_eq!(measured, (large.len() as u64, hash(&large)));
    there.remove("large").await.unwrap();

    // A write is tried, and leaves nothing
    let probe = bench.lake.probe(&bench.to, "nightly").await.unwrap();
    assert!(probe.is_conditional);
    assert_eq!(there.list("").await.unwrap().len(), 2);
    assert_eq!(bench.staged(), 0);
}
