//! Helpers for the test servers: their addresses, and functions to query them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use pg_stream_tokio::pg_wire::Transport;
use pg_stream_tokio::pg_wire::backend::{Backend, DataRow, ServerError};
use pg_stream_tokio::{Config, Connection, Host, PgProtocol, Session, Socket, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Time limit of a test against one server. The slowest test takes seconds; a test that hangs fails at this limit.
const PATIENCE: Duration = Duration::from_secs(120);

/// Version and addresses of a server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) major: u8,
    pub(crate) address: SocketAddr,
    pub(crate) socket_dir: PathBuf,
}

/// Returns the servers with the oldest and the newest tested version of PostgreSQL.
pub(crate) fn both() -> [Server; 2] {
    [15, 18].map(Server::find)
}

/// Runs a test against the oldest and the newest tested version of PostgreSQL. The test fails if no server is running.
pub(crate) fn on_both(test: impl AsyncFn(&Server)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for server in both() {
        eprintln!("against PostgreSQL {}", server.major);
        runtime.block_on(async {
            tokio::time::timeout(PATIENCE, test(&server)).await.expect("the test must not hang");
        });
    }
}

impl Server {
    fn find(major: u8) -> Self {
        let variable = |name: &str| {
            let name = format!("PG{major}_{name}");
            std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
        };
        let address = variable("ADDR").parse().expect("an address and a port");
        Self { major, address, socket_dir: variable("SOCKET_DIR").into() }
    }

    pub(crate) fn tcp(&self) -> Host {
        Host::new(self.address.ip().to_string(), self.address.port())
    }

    pub(crate) fn socket(&self) -> Host {
        Host::in_dir(&self.socket_dir, self.address.port())
    }

    /// Returns a configuration for the database `test` by TCP.
    pub(crate) fn config(&self, role: &str, password: &str) -> Config {
        Config::new(role).password(password).database("test").host(self.tcp())
    }

    /// Connects to the server through a relay, a task that passes bytes in small pieces. Returns the client's stream, which is in memory,
    /// and the task. The result of the task is all bytes that the client has sent.
    pub(crate) async fn relay(&self) -> (DuplexStream, JoinHandle<Vec<u8>>) {
        let (ours, theirs) = tokio::io::duplex(16);
        let socket = TcpStream::connect(self.address).await.expect("PostgreSQL listens by TCP");
        let (mut from_us, mut to_us) = tokio::io::split(theirs);
        let (mut from_server, mut to_server) = socket.into_split();
        tokio::spawn(async move {
            // Errors are ignored, because the client or the server may have closed its stream.
            let _ = tokio::io::copy(&mut from_server, &mut to_us).await;
            let _ = to_us.shutdown().await;
        });
        let heard = tokio::spawn(async move {
            let mut heard = Vec::new();
            let mut piece = [0; 16];
            while let Ok(count @ 1..) = from_us.read(&mut piece).await {
                heard.extend_from_slice(&piece[..count]);
                if to_server.write_all(&piece[..count]).await.is_err() {
                    break;
                }
            }
            heard
        });
        (ours, heard)
    }
}

pub(crate) async fn get_in(config: &Config) -> (Connection<Socket>, Session) {
    connect(config).await.expect("the user logs in")
}

/// Runs a statement. Returns the first column of each row, or the server's error.
pub(crate) async fn query<T: Transport>(
    conn: &mut Connection<T>,
    sql: &str,
) -> Result<Vec<String>, ServerError> {
    conn.query(sql).flush().await.expect("sent");
    rows(conn).await
}

/// Receives messages up to ReadyForQuery. Returns the first column of each row, or the server's error.
pub(crate) async fn rows<T: Transport>(conn: &mut Connection<T>) -> Result<Vec<String>, ServerError> {
    let (mut rows, mut failure) = (Vec::new(), None);
    loop {
        match conn.recv().await.expect("received").backend().expect("well-formed") {
            Backend::DataRow(row) => rows.push(String::from_utf8(value(&row).to_vec()).expect("UTF-8")),
            Backend::ErrorResponse(error) => failure = Some(error.to_owned()),
            Backend::ReadyForQuery(_) => return failure.map_or(Ok(rows), Err),
            _ => {}
        }
    }
}

/// Returns the value in the first column, which must not be NULL.
pub(crate) fn value<'a>(row: &DataRow<'a>) -> &'a [u8] {
    row.values.get(0).expect("whole").flatten().expect("not NULL")
}
