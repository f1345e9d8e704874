//! Test set-up: a server, a `pg-pooler` in front of it, and sessions through the pooler.

use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use pg_auth::SslMode;
use pg_stream_tokio::{Config, ConnectError, Connection, Host, Session, connect};
use pg_wire::backend::{Backend, ServerError};
use pg_wire::{PgProtocol, SqlState, TransactionStatus};

use crate::support::{Listening, PATIENCE, Server};

/// A server and a pooler in front of it. Dropping the value kills the pooler.
pub(crate) struct Lab {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pooler: Listening,
    _users: tempfile::NamedTempFile,
}

impl Lab {
    /// Starts two poolers with these command-line arguments: one in front of PostgreSQL 15, one in front of PostgreSQL 18.
    pub(crate) async fn both(arguments: &[&str]) -> [Self; 2] {
        let [old, new] = Server::both();
        [Self::start(old, arguments).await, Self::start(new, arguments).await]
    }

    async fn start(server: Server, arguments: &[&str]) -> Self {
        let mut admin = Peer::connect(server.address, "admin", "").await.expect("admin needs no password");
        let sql =
            "select rolname || ':' || rolpassword from pg_authid where rolname in ('scram', 'clear_only')";
        let verifiers = admin.rows(sql).await;
        let users = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(users.path(), verifiers.join("\n")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg-pooler"));
        command.args(["--listen", "127.0.0.1:0", "--upstream", &server.address.to_string()]).arg("--users");
        let pooler = Listening::start(command.arg(users.path()).args(arguments));
        Self { server, address: pooler.address, pooler, _users: users }
    }

    /// Opens a session through the pooler.
    pub(crate) async fn client(&self) -> Peer {
        Peer::connect(self.address, "scram", "scram-secret").await.expect("the pooler accepts the password")
    }

    /// Opens a session without the pooler, as a superuser.
    pub(crate) async fn admin(&self) -> Peer {
        Peer::connect(self.server.address, "admin", "").await.expect("admin needs no password")
    }

    /// Creates a table for a test. All users may change it.
    pub(crate) async fn table(&self, name: &str, columns: &str) {
        let mut admin = self.admin().await;
        for sql in [
            format!("drop table if exists {name}"),
            format!("create table {name} ({columns})"),
            format!("grant all on {name} to public"),
        ] {
            admin.query(&sql).await.expect("an administrator can make a table");
        }
    }

    /// Returns the resident memory of the pooler in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pooler.child.id()))
            .expect("the pooler runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the pooler has memory");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }

    /// Returns a command that runs a client program of PostgreSQL, in the version of the server. The program connects to the pooler.
    pub(crate) fn program(&self, program: &str) -> Command {
        let variable = format!("PG{}_CLIENT_BIN", self.server.major);
        let bin = std::env::var(&variable);
        let bin = bin.unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
        let mut command = Command::new(format!("{bin}/{program}"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("PGHOST", "127.0.0.1");
        command.env("PGPORT", self.address.port().to_string()).env("PGSSLMODE", "disable");
        command.env("PGUSER", "scram").env("PGPASSWORD", "scram-secret").env("PGDATABASE", "test");
        command
    }
}

/// A client's session with a server or a pooler.
pub(crate) struct Peer {
    pub(crate) conn: Connection,
    pub(crate) session: Session,
}

pub(crate) fn config(address: SocketAddr, user: &str, password: &str) -> Config {
    let config = Config::new(user).database("test").sslmode(SslMode::Disable);
    config.password(password).host(Host::new(address.ip().to_string(), address.port()))
}

impl Peer {
    pub(crate) async fn connect(
        address: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Self, ConnectError> {
        let (conn, session) = connect(&config(address, user, password)).await?;
        Ok(Self { conn, session })
    }

    /// Runs a query. Returns the first column of the rows, or the error.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<String>, Box<dyn Error>> {
        self.conn.query(sql).flush().await?;
        self.reply().await
    }

    /// Receives messages up to ReadyForQuery. Returns the first column of the rows, or the error.
    pub(crate) async fn reply(&mut self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut rows = Vec::new();
        examples::until_ready(&mut self.conn, |message| {
            if let Backend::DataRow(row) = message {
                let value = row.values.get(0)?.flatten().unwrap_or(b"NULL");
                rows.push(String::from_utf8_lossy(value).into_owned());
            }
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Runs a query, which must succeed. Returns the first column of its rows.
    #[track_caller]
    pub(crate) fn rows(&mut self, sql: &str) -> impl Future<Output = Vec<String>> {
        let caller = std::panic::Location::caller();
        async move { self.query(sql).await.unwrap_or_else(|error| panic!("{caller}: {sql}: {error}")) }
    }

    /// Runs a query, which must succeed. Returns its only value.
    #[track_caller]
    pub(crate) fn value(&mut self, sql: &str) -> impl Future<Output = String> {
        let rows = self.rows(sql);
        async move { rows.await.pop().expect("a row") }
    }

    /// Runs a query, which must fail. Returns the SQLSTATE of its error.
    pub(crate) async fn sqlstate(&mut self, sql: &str) -> SqlState {
        sqlstate(&*self.query(sql).await.expect_err(sql))
    }

    /// Runs an empty query. Returns the transaction status after the query.
    pub(crate) async fn status(&mut self) -> TransactionStatus {
        self.conn.query("").flush().await.expect("the connection is open");
        loop {
            if let Backend::ReadyForQuery(ready) =
                self.conn.recv().await.expect("a reply").backend().expect("well-formed")
            {
                return ready.status;
            }
        }
    }
}

/// Returns the SQLSTATE of an error, which must be an error of a server.
pub(crate) fn sqlstate(error: &(dyn Error + 'static)) -> SqlState {
    let server = error.downcast_ref::<ServerError>();
    server
        .and_then(|error| error.fields().sqlstate())
        .unwrap_or_else(|| panic!("no error of a server: {error}"))
}

/// Waits until a condition is true. `what` names the condition in the text of the panic.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "the condition is still false: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
