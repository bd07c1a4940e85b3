//! A store whose next commit goes as the test says.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use deltalake::{
    ObjectStore, ObjectStoreError,
    logstore::object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
    },
};
use futures::stream::BoxStream;
use tokio::sync::Notify;

/// What becomes of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It waits until the test lets it go.
    Waits,
    /// It is not written.
    Fails,
    /// It is written, and the store says that it failed.
    LosesTheAnswer,
}

#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    is_used: AtomicBool,
    pub(super) has_arrived: Notify,
    pub(super) may_go: Notify,
}

impl Faulty {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault,
            is_used: AtomicBool::new(false),
            has_arrived: Notify::new(),
            may_go: Notify::new(),
        })
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a faulty store")
    }
}

fn failure() -> ObjectStoreError {
    ObjectStoreError::Generic {
        store: "faulty",
        source: "the line went dead".into(),
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, how: PutOptions) -> Result<PutResult> {
        let is_commit = at.extension() == Some("json");
        if is_commit && !self.is_used.swap(true, Ordering::SeqCst) {
            match self.fault {
                Fault::Waits => {
                    self.has_arrived.notify_one();
                    self.may_go.notified().await;
                }
                Fault::Fails => return Err(failure()),
                Fault::LosesTheAnswer => {
                    self.inner.put_opts(at, payload, how).await?;
                    return Err(failure());
                }
            }
        }
        self.inner.put_opts(at, payload, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, how).await
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, below: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(below)
    }

    async fn list_with_delimiter(&self, below: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(below).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}
