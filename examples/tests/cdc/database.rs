//! A database for each test, and blocking SQL sessions.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use pg_stream_tokio::{Config, Connection, PgProtocol, connect};
use pg_wire::backend::{Backend, ServerError};
use tokio::runtime::{Builder, Runtime};

/// A PostgreSQL server: its major version and its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) major: u8,
    pub(crate) address: SocketAddr,
}

impl Server {
    fn at(prefix: &str, major: u8) -> Self {
        let name = format!("PG{major}{prefix}_ADDR");
        let address =
            std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"));
        Self { major, address: address.parse().expect("an address and a port") }
    }

    /// Returns the spare server of the same version, which a test may crash.
    pub(crate) fn spare(self) -> Self {
        Self::at("_SPARE", self.major)
    }
}

/// Runs a test against PostgreSQL 15 and 18 at the same time. Only one such test runs at a time, for two reasons: a server has only ten
/// replication slots, and the creation of a slot waits for the end of all running transactions.
pub(crate) fn on_both(test: impl Fn(Server) + Sync) {
    let _alone = alone();
    thread::scope(|scope| {
        let test = &test;
        for major in [15, 18] {
            scope.spawn(move || test(Server::at("", major)));
        }
    });
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database for one test. Dropping this value drops the database and its replication slots.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: Server,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn create(server: Server, name: &str) -> Self {
        Self::create_with(server, name, "")
    }

    /// Creates a database with options of CREATE DATABASE.
    pub(crate) fn create_with(server: Server, name: &str, options: &str) -> Self {
        let name = format!("cdc_{name}_{}", std::process::id());
        let mut session = Session::open(server, "postgres");
        session.run(&format!("DROP DATABASE IF EXISTS {name}"));
        session.run(&format!("CREATE DATABASE {name} TEMPLATE template0 {options}"));
        Self { server, name }
    }

    pub(crate) fn session(&self) -> Session {
        Session::open(self.server, &self.name)
    }

    /// Returns the connection string for `pg-cdc`. The string sets a small `logical_decoding_work_mem`, so that with `--streaming` the
    /// server streams even small transactions.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://admin@{}/{}?sslmode=disable&options=-c%20logical_decoding_work_mem%3D64kB",
            self.server.address, self.name
        )
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Catches a panic of the clean-up. If the test has already panicked, a second panic would abort the process and hide the cause.
        let _ = std::panic::catch_unwind(|| {
            // Rolls back the prepared transactions that this test has neither committed nor rolled back. They would block the next test,
            // because the creation of a slot waits for the end of all transactions.
            let mut here = self.session();
            let gids = here.run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
            for gid in gids.iter().filter_map(|row| row.first()?.as_ref()) {
                let _ = here.query(&format!("ROLLBACK PREPARED '{gid}'"));
            }
            drop(here);
            let mut session = Session::open(self.server, "postgres");
            let sql = format!(
                "SELECT pg_terminate_backend(active_pid, 60000) FROM pg_replication_slots \
                 WHERE database = '{0}' AND active_pid IS NOT NULL; \
                 SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{0}'; ",
                self.name
            );
            let _ = session.query(&sql);
            let _ = session.query(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        });
    }
}

/// Rows of a result, with their values as text; `None` stands for NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// A session of the superuser. Its methods block the thread.
#[derive(Debug)]
pub(crate) struct Session {
    runtime: Runtime,
    conn: Connection,
}

impl Session {
    pub(crate) fn open(server: Server, database: &str) -> Self {
        Self::try_open(server, database).expect("the superuser gets in")
    }

    pub(crate) fn try_open(server: Server, database: &str) -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("postgres://admin@{}/{database}?sslmode=disable", server.address);
        let config: Config = url.parse().expect("a connection string");
        let (conn, _) = runtime.block_on(connect(&config)).ok()?;
        Some(Self { runtime, conn })
    }

    /// Runs statements. Returns the rows or the error of the server; `None` if the session has ended.
    pub(crate) fn try_query(&mut self, sql: &str) -> Option<Result<Rows, ServerError>> {
        let Self { runtime, conn } = self;
        runtime.block_on(async {
            conn.query(sql).flush().await.ok()?;
            let (mut rows, mut failure) = (Vec::new(), None);
            loop {
                match conn.recv().await.ok()?.backend().expect("well-formed") {
                    Backend::DataRow(row) => {
                        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("UTF-8");
                        let values = row.values.into_iter().map(|value| value.expect("whole").map(text));
                        rows.push(values.collect());
                    }
                    Backend::ErrorResponse(error) => failure = Some(error.to_owned()),
                    Backend::ReadyForQuery(_) => return Some(failure.map_or(Ok(rows), Err)),
                    _ => {}
                }
            }
        })
    }

    pub(crate) fn query(&mut self, sql: &str) -> Result<Rows, ServerError> {
        self.try_query(sql).expect("the session lives")
    }

    /// Runs statements and returns the rows. Panics if a statement fails.
    #[track_caller]
    pub(crate) fn run(&mut self, sql: &str) -> Rows {
        match self.query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{error}: {}", sql.chars().take(2000).collect::<String>()),
        }
    }

    /// Runs a statement and returns the first value of its only row.
    #[track_caller]
    pub(crate) fn value(&mut self, sql: &str) -> String {
        let rows = self.run(sql);
        let [row] = rows.as_slice() else { panic!("{sql}: {rows:?}") };
        row.first().cloned().flatten().expect("a value")
    }
}
