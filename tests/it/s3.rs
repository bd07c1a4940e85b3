//! A real S3 server on loopback in the test's own process (s3s with its file system), which can be
//! told to refuse, or to keep somebody waiting.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use databuddy_jobs::{
    domain::destination::{BucketAccess, S3Keys},
    secret::Secret,
};
use hyper::{Request, body::Incoming, header::AUTHORIZATION, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::SimpleAuth,
    s3_error,
    service::S3ServiceBuilder,
};
use tokio::net::TcpListener;

/// The only keys it takes.
pub(crate) const KEYS: (&str, &str) = ("AKIDEXAMPLE", "test-secret-access-key");

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// 500.
    Break,
    /// The error of this code.
    Refuse(S3ErrorCode),
    /// No answer ever.
    Hang,
}

/// Decides by the operation (`PutObject`), and by how many of its kind came before.
type Judge = Box<dyn Fn(&str, usize) -> Fate + Send + Sync>;

/// The server with a bucket called `lake`; it ends with the test.
pub(crate) struct S3 {
    pub(crate) url: String,
    root: tempfile::TempDir,
    gate: Arc<Gate>,
}

struct Gate {
    /// Whether requests without a signature are answered too.
    is_open: bool,
    judge: Mutex<Judge>,
    counts: Mutex<BTreeMap<String, usize>>,
    told: Mutex<Option<mpsc::Sender<String>>>,
}

impl S3 {
    pub(crate) fn start() -> Self {
        Self::start_for(false)
    }

    /// One that answers everybody, for clients that sign in another way.
    pub(crate) fn start_open() -> Self {
        Self::start_for(true)
    }

    fn start_for(is_open: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("lake")).unwrap();
        let gate = Arc::new(Gate {
            is_open,
            judge: Mutex::new(Box::new(|_, _| Fate::Answer)),
            counts: Mutex::default(),
            told: Mutex::default(),
        });
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
        service.set_access(Access(Arc::clone(&gate)));
        let service = service.build();
        let answer = move |mut request: Request<Incoming>| {
            if is_open {
                request.headers_mut().remove(AUTHORIZATION);
            }
            let service = service.clone();
            async move { service.call(request.map(s3s::Body::from)).await }
        };
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let service = service_fn(answer.clone());
                    tokio::spawn(async move {
                        let http = Builder::new(TokioExecutor::new());
                        let socket = TokioIo::new(socket);
                        // The client may be gone: that is its business
                        let _ = http.serve_connection(socket, service).await;
                    });
                }
            });
        });
        Self {
            url: format!("http://{}", receive.recv().unwrap()),
            root,
            gate,
        }
    }

    /// From now on this decides; the counts start again.
    pub(crate) fn judge(&self, judge: impl Fn(&str, usize) -> Fate + Send + Sync + 'static) {
        self.gate.counts.lock().unwrap().clear();
        *self.gate.judge.lock().unwrap() = Box::new(judge);
    }

    /// Hears of every operation from now on, when it begins.
    pub(crate) fn listen(&self) -> mpsc::Receiver<String> {
        let (send, receive) = mpsc::channel();
        *self.gate.told.lock().unwrap() = Some(send);
        receive
    }

    /// How many operations of a kind came since [`Self::judge`].
    pub(crate) fn count(&self, operation: &str) -> usize {
        let counts = self.gate.counts.lock().unwrap();
        counts.get(operation).copied().unwrap_or(0)
    }

    /// The file of an object in the bucket `lake`.
    pub(crate) fn file(&self, key: &str) -> PathBuf {
        self.root.path().join("lake").join(key)
    }

    /// What is left of uploads that neither ended nor were aborted.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        let names = fs::read_dir(self.root.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".upload")).collect()
    }

    /// How it is reached.
    pub(crate) fn access(&self) -> BucketAccess {
        BucketAccess {
            endpoint: Some(self.url.clone()),
            keys: Some(S3Keys {
                access_key_id: Secret::new(KEYS.0),
                secret_access_key: Secret::new(KEYS.1),
                session_token: None,
            }),
            ..BucketAccess::default()
        }
    }

    /// The entry of `stores` for it.
    pub(crate) fn settings(&self) -> String {
        settings(&self.url, KEYS)
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }
}

/// An entry of `stores` called `lake`.
pub(crate) fn settings(url: &str, keys: (&str, &str)) -> String {
    format!(
        "stores:\n  lake:\n    endpoint: {url}\n    path_style: true\n    region: eu-central-1\n    access_key_id: {}\n    secret_access_key: {}\n",
        keys.0, keys.1
    )
}

struct Access(Arc<Gate>);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if !self.0.is_open && cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "a signature is required"));
        }
        let operation = cx.s3_op().name();
        let before = {
            let mut counts = self.0.counts.lock().unwrap();
            let count = counts.entry(operation.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let fate = (self.0.judge.lock().unwrap())(operation, before);
        if let Some(told) = &*self.0.told.lock().unwrap() {
            // The test may have stopped listening
            let _ = told.send(operation.to_owned());
        }
        match fate {
            Fate::Answer => Ok(()),
            Fate::Break => Err(s3_error!(InternalError, "broken on purpose")),
            Fate::Refuse(code) => Err(S3Error::with_message(code, "refused on purpose")),
            Fate::Hang => std::future::pending().await,
        }
    }
}
