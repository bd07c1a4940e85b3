//! A real Postgres of the tests' own: a cluster in a temporary folder, on loopback, run by a user
//! without rights, with one database for each test that asks.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use sqlx::{Connection, Executor};

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

struct Server {
    port: u16,
    /// Ends when its standard input does: also where the tests are killed.
    keeper: Mutex<Child>,
    folder: Mutex<Option<tempfile::TempDir>>,
}

/// What is missing, and how to get it; `None` where nothing is.
pub(crate) fn missing() -> Option<String> {
    binaries()
        .is_none()
        .then(|| "no Postgres: run `bash .ci/setup`".to_owned())
}

/// A database of its own; its address.
pub(crate) fn database() -> String {
    let server = SERVER.get_or_init(start);
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        sqlx::any::install_default_drivers();
        let mut connection = sqlx::AnyConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(sqlx::raw_sql(create)).await.unwrap();
        connection.close().await.unwrap();
    });
    server.url(&name)
}

/// Writes all of a database to a file, while it is used, as `docs/operations.md` says.
pub(crate) fn back_up(url: &str, file: &Path) {
    let args = ["--format=custom", "--file"];
    let mut dump = Command::new(binaries().unwrap().join("pg_dump"));
    let done = dump.args(args).arg(file).arg(url).status();
    assert!(done.unwrap().success());
}

/// Makes a database what it was.
pub(crate) fn restore(url: &str, file: &Path) {
    let args = ["--clean", "--if-exists", "--exit-on-error", "--dbname", url];
    let mut restore = Command::new(binaries().unwrap().join("pg_restore"));
    let done = restore.args(args).arg(file).status();
    assert!(done.unwrap().success());
}

/// Stops the server, where a test has started it.
pub(crate) fn stop() {
    if let Some(server) = SERVER.get() {
        let mut keeper = server.keeper.lock().unwrap();
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
        drop(server.folder.lock().unwrap().take());
    }
}

impl Server {
    fn url(&self, database: &str) -> String {
        format!("postgres://tester@127.0.0.1:{}/{database}", self.port)
    }
}

fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin"))
        .collect();
    versions.sort();
    let on_path = std::env::vars().find(|(name, _)| name == "PATH");
    let on_path = on_path.map_or_else(String::new, |(_, path)| path);
    versions.extend(on_path.split(':').map(PathBuf::from));
    let has_all =
        |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    versions.into_iter().find(has_all)
}

/// The user who runs it: Postgres refuses root.
fn user() -> Option<(u32, u32)> {
    let own = fs::metadata("/proc/self").unwrap();
    if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let of = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    of("postgres").or_else(|| of("nobody"))
}

fn start() -> Server {
    let binaries = binaries().unwrap();
    let folder = tempfile::Builder::new()
        .prefix("pg")
        .tempdir_in("/tmp")
        .unwrap();
    let user = user();
    if let Some((uid, gid)) = user {
        chown(folder.path(), Some(uid), Some(gid)).unwrap();
    }
    let data = folder.path().join("data");
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(folder.path()).stdout(Stdio::null());
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let made = command(&binaries.join("initdb"))
        .args([
            "-A",
            "trust",
            "-U",
            "tester",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(&data)
        .status();
    assert!(made.unwrap().success());
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let serve = format!(
        "'{}' -D '{}' -k '{}' -h 127.0.0.1 -p {port} -F -c max_connections=200 & server=$!; cat; kill -INT $server; wait $server",
        binaries.join("postgres").display(),
        data.display(),
        folder.path().display(),
    );
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut keeper = command(Path::new("/bin/sh"))
        .args(["-c", &serve])
        .stdin(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let is_ready = || {
        let mut asked = command(&binaries.join("pg_isready"));
        asked
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .unwrap()
            .success()
    };
    while !is_ready() {
        assert!(
            keeper.try_wait().unwrap().is_none(),
            "{}",
            fs::read_to_string(folder.path().join("log")).unwrap()
        );
        std::thread::yield_now();
    }
    Server {
        port,
        keeper: Mutex::new(keeper),
        folder: Mutex::new(Some(folder)),
    }
}
