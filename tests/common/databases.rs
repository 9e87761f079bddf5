//! Databases for stories that are to hold on both backends: a file of one's own, or a database of one's own on a private
//! PostgreSQL server, which listens on a socket alone and dies with the process that started it.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tokio::sync::OnceCell;

/// A new cluster may take so long to answer on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(60);

/// Where a story takes place.
pub struct Place {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite://{}/callgate.db", folder.path().display()), _folder: Some(folder) }
    }

    pub async fn postgres() -> Self {
        Self { url: fresh().await, _folder: None }
    }

    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres:")
    }

    /// A connection that knows nothing of callgate.
    pub async fn raw(&self) -> Raw {
        raw(&self.url).await
    }
}

/// A connection that knows nothing of callgate.
pub async fn raw(url: &str) -> Raw {
    if url.starts_with("postgres:") {
        return Raw::Postgres(connect(url).await);
    }
    Raw::Sqlite(url.parse::<SqliteConnectOptions>().unwrap().connect().await.unwrap())
}

/// Somebody else's connection.
pub enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    /// Runs statements; tells how many rows they changed.
    pub async fn execute(&mut self, text: impl Into<String>) -> Result<u64, sqlx::Error> {
        let text = AssertSqlSafe(text.into());
        match self {
            Self::Sqlite(connection) => connection.execute(text).await.map(|done| done.rows_affected()),
            Self::Postgres(connection) => connection.execute(text).await.map(|done| done.rows_affected()),
        }
    }

    /// Rows of texts; what is not there is an empty one.
    pub async fn texts<const N: usize>(&mut self, text: impl Into<String>) -> Vec<[String; N]> {
        let text = AssertSqlSafe(text.into());
        macro_rules! all {
            ($connection:expr) => {
                sqlx::query(text)
                    .fetch_all($connection)
                    .await
                    .unwrap()
                    .iter()
                    .map(|row| std::array::from_fn(|n| row.get::<Option<String>, _>(n).unwrap_or_default()))
                    .collect()
            };
        }
        match self {
            Self::Sqlite(connection) => all!(connection),
            Self::Postgres(connection) => all!(connection),
        }
    }

    /// The one number that a question asks for.
    pub async fn number(&mut self, text: &'static str) -> i64 {
        match self {
            Self::Sqlite(connection) => sqlx::query_scalar(text).fetch_one(connection).await.unwrap(),
            Self::Postgres(connection) => sqlx::query_scalar(text).fetch_one(connection).await.unwrap(),
        }
    }
}

/// Makes a test of each story for each backend.
#[allow(unused_macros, reason = "not every test binary has stories for both")]
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(&super::Place::sqlite()).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(&super::Place::postgres().await).await;
            })+
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use on_both;

/// The database of one test, with callgate's tables in it, on the one server of this process.
pub async fn fresh() -> String {
    static SERVER: OnceCell<Cluster> = OnceCell::const_new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER
        .get_or_init(|| async {
            let server = Cluster::start(&["fsync=off", "full_page_writes=off"]).await;
            server.execute("CREATE DATABASE template").await;
            let mut template = server.connect("template").await;
            sqlx::migrate!("migrations/postgres").run(&mut template).await.unwrap();
            template.close().await.unwrap();
            server
        })
        .await;
    let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.execute(&format!("CREATE DATABASE {name} TEMPLATE template")).await;
    server.url(&name)
}

/// A connection of a test's own.
pub async fn connect(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().disable_statement_logging().connect().await.unwrap()
}

/// A server, its files, and whoever ends it when this process is no more.
pub struct Cluster {
    folder: PathBuf,
    settings: Vec<String>,
    keeper: Option<Child>,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    pub async fn start(settings: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("callgate-pg-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        if let Some((user, group)) = other_user(&folder) {
            chown(&folder, Some(user), Some(group)).unwrap();
        }
        let mut initdb = Command::new(binary("initdb"));
        initdb.args(["--auth=trust", "--username=callgate", "--encoding=UTF8", "--no-locale", "--no-sync", "-D"]).arg(folder.join("data"));
        let made = as_other_user(&mut initdb, &folder).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Self { folder, settings: settings.iter().map(|text| (*text).to_owned()).collect(), keeper: None };
        cluster.run().await;
        cluster
    }

    /// Starts the server; waits until it answers.
    pub async fn run(&mut self) {
        assert!(self.keeper.is_none(), "it runs already");
        // The keeper waits for its input to end: by our hand, or because we are no more.
        let script = r#"folder=$1; shift; "$@" >"$folder/log" 2>&1 & server=$!; read -r how; kill -s "${how:-QUIT}" $server; wait $server
                        [ -n "$how" ] || rm -rf "$folder""#;
        let mut command = Command::new("sh");
        command.args(["-c", script, "keeper"]).arg(&self.folder).arg(binary("postgres")).arg("-D").arg(self.folder.join("data"));
        command.args(["-c", "listen_addresses=", "-c", "max_connections=1000", "-c"]);
        command.arg(format!("unix_socket_directories={}", self.folder.display()));
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).process_group(0);
        self.keeper = Some(as_other_user(&mut command, &self.folder).spawn().unwrap());
        let began = Instant::now();
        let options: PgConnectOptions = self.url("postgres").parse().unwrap();
        loop {
            match options.connect().await {
                Ok(connection) => return connection.close().await.unwrap(),
                Err(why) => assert!(began.elapsed() < START_WITHIN, "{why}: {}", self.log()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the server by a signal: `INT` ends every session properly, `QUIT` at once, as a crash does.
    pub fn stop(&mut self, signal: &str) {
        let mut keeper = self.keeper.take().unwrap();
        writeln!(keeper.stdin.take().unwrap(), "{signal}").unwrap();
        keeper.wait().unwrap();
    }

    /// Stops every process of the server where it stands: what it is asked it neither answers nor refuses.
    pub fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
    }

    fn signal_all(&self, signal: &str) {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(server) = file.lines().next() else { return };
        let is_its = |stat: &str| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.split_whitespace().nth(1) == Some(server));
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let children = all.filter(|entry| std::fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| is_its(&stat)));
        let children = children.map(|entry| entry.file_name().into_string().unwrap());
        let ids: Vec<String> = std::iter::once(server.to_owned()).chain(children).collect();
        let _ = Command::new("kill").arg(signal).args(ids).status();
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://callgate@localhost/{database}?host={}", self.folder.display())
    }

    /// Runs a statement beside all databases.
    pub async fn execute(&self, text: &str) {
        let mut connection = self.connect("postgres").await;
        connection.execute(AssertSqlSafe(text.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn connect(&self, database: &str) -> PgConnection {
        connect(&self.url(database)).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
        // Its input ends; the keeper does the rest.
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether this machine has PostgreSQL.
pub fn is_here() -> bool {
    look_for("initdb").is_some()
}

/// The newest PostgreSQL of this machine.
fn binary(name: &str) -> PathBuf {
    look_for(name).unwrap_or_else(|| panic!("these tests need PostgreSQL's {name}: run `scripts/prepare --tests`, which installs it"))
}

fn look_for(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path().join("bin")).collect();
    let version = |folder: &PathBuf| -> Option<u32> { folder.parent()?.file_name()?.to_str()?.parse().ok() };
    folders.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// PostgreSQL does not run as root: whom it runs as instead.
fn other_user(folder: &Path) -> Option<(u32, u32)> {
    if std::fs::metadata(folder).unwrap().uid() != 0 && !is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let postgres = users.lines().find_map(|line| line.strip_prefix("postgres:")).expect("as root the tests need the user postgres");
    let ids: Vec<u32> = postgres.split(':').skip(1).take(2).map(|id| id.parse().unwrap()).collect();
    Some((ids[0], ids[1]))
}

fn as_other_user<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    if is_root() {
        let owner = std::fs::metadata(folder).unwrap();
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.current_dir(folder)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}
