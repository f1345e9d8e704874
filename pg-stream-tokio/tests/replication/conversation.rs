//! Helpers for replication: connections, commands, and slots that are dropped even if the test fails.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use pg_stream_tokio::pg_auth::config::{Replication, SslMode};
use pg_stream_tokio::pg_wire::FrameBuf;
use pg_stream_tokio::pg_wire::backend::{Backend, DataRow, ServerError};
use pg_stream_tokio::pg_wire::replication::command::DropReplicationSlot;
use pg_stream_tokio::pg_wire::replication::reply::FromReply;
use pg_stream_tokio::pg_wire::value::Columns;
use pg_stream_tokio::{Config, Connection, MessageCode, PgProtocol, Socket};

use crate::support::{Server, get_in, on_both, query};

pub(crate) type Conn = Connection<Socket>;

/// Runs a test against both servers. The test creates a new database: a replication connection receives messages
/// and empty transactions of every session in its database, and another test must not send any.
///
/// Only one test of this program runs at a time, for three reasons. The servers have few replication connections. The creation of a slot
/// waits until all transactions of other tests have ended. A base backup copies files that another test creates and removes. nextest starts
/// a process for each test; `xtask/nextest.toml` has the same limit for nextest.
pub(crate) fn alone_on_both(test: impl AsyncFn(&Server)) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    on_both(async |server| {
        let name = database();
        let (mut admin, _) = get_in(&superuser(server).database("test")).await;
        let drop = format!("drop database if exists {name} with (force)");
        // A failed test leaves its database.
        for sql in [&drop, &format!("create database {name} template template0")] {
            query(&mut admin, sql).await.expect("executed");
        }
        test(server).await;
        query(&mut admin, &drop).await.expect("dropped");
    });
}

/// The name of the database of the running test.
pub(crate) fn database() -> String {
    own_name("replication")
}

/// The configuration of the superuser for the database of the running test.
pub(crate) fn superuser(server: &Server) -> Config {
    server.config("admin", "").sslmode(SslMode::Disable).database(database())
}

/// Opens an ordinary session of the superuser.
pub(crate) async fn session(server: &Server) -> Conn {
    get_in(&superuser(server)).await.0
}

/// Opens a replication connection of the superuser. The small `logical_decoding_work_mem` has an effect if a stream is started with the
/// option `streaming`: the server then sends large transactions in blocks before their end.
pub(crate) async fn walsender(server: &Server, replication: Replication) -> Conn {
    let config = superuser(server).replication(replication).options("-c logical_decoding_work_mem=64kB");
    get_in(&config).await.0
}

/// Rows of a reply, each with the description of its columns.
#[derive(Debug)]
pub(crate) struct Reply(Vec<(Columns, FrameBuf)>);

impl Reply {
    /// Decodes the row of the reply at `index`.
    pub(crate) fn row<'a, T: FromReply<'a>>(&'a self, index: usize) -> T {
        let (columns, row) = &self.0[index];
        let row = row.frame().decode::<DataRow<'_>>().expect("well-formed");
        T::from_reply(columns, &row).expect("the columns of the reply")
    }

    /// Returns the value of a reply that has one row with one column.
    pub(crate) fn value(&self) -> String {
        let [(columns, row)] = &self.0[..] else { panic!("{self:?}") };
        let row = row.frame().decode::<DataRow<'_>>().expect("well-formed");
        let (value,) = columns.decode(&row).expect("one string");
        value
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Sends a command, and reads messages up to ReadyForQuery or the start of a copy.
pub(crate) async fn run(conn: &mut Conn, command: &impl Display) -> Result<Reply, ServerError> {
    conn.query(command.to_string().as_str()).flush().await.expect("sent");
    reply(conn).await
}

/// Reads messages up to ReadyForQuery or the start of a copy.
pub(crate) async fn reply(conn: &mut Conn) -> Result<Reply, ServerError> {
    let (mut rows, mut columns, mut failure) = (Vec::new(), Columns::default(), None);
    loop {
        let frame = conn.recv().await.expect("received");
        let message = frame.backend().expect("well-formed");
        columns.follow(&message).expect("rows are described");
        match message {
            Backend::DataRow(_) => rows.push((columns.clone(), frame.to_owned())),
            Backend::ErrorResponse(error) => failure = Some(error.to_owned()),
            Backend::ReadyForQuery(_)
            | Backend::CopyBothResponse(_)
            | Backend::CopyOutResponse(_)
            | Backend::CopyInResponse(_) => return failure.map_or(Ok(Reply(rows)), Err),
            _ => {}
        }
    }
}

/// Returns the data of the next CopyData; `None` after CopyDone.
pub(crate) async fn copied(conn: &mut Conn) -> Option<FrameBuf> {
    loop {
        let frame = conn.recv_owned().await.expect("received");
        match frame.code {
            MessageCode::COPY_DATA => return Some(frame),
            MessageCode::COPY_DONE => return None,
            MessageCode::PARAMETER_STATUS | MessageCode::NOTICE_RESPONSE => {}
            _ => panic!("in a copy: {:?}", frame.backend()),
        }
    }
}

/// Ends the copy in both directions, and returns the reply.
pub(crate) async fn end_copy(conn: &mut Conn) -> Reply {
    conn.copy_done().flush().await.expect("sent");
    while copied(conn).await.is_some() {}
    reply(conn).await.expect("the copy ends without an error")
}

/// Returns a name that contains the id of this process. All databases of a server share the names of slots, so the names must be unique.
pub(crate) fn own_name(name: &str) -> String {
    format!("wire_{name}_{}", std::process::id())
}

/// Drops a slot at the end of the test, even if the test fails. Declare the `Slot` before the connection that uses the slot: Rust drops the
/// later variable first, and the connection must be closed first.
pub(crate) struct Slot<'s> {
    pub(crate) name: String,
    pub(crate) server: &'s Server,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let drop = DropReplicationSlot { slot: &self.name, wait: true };
        std::thread::scope(|scope| {
            // Another thread drops the slot, because `block_on` is not allowed inside of a runtime.
            let dropped = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let mut conn = walsender(self.server, Replication::Physical).await;
                    // Errors are ignored: if the test failed early, the slot does not exist.
                    let _ = run(&mut conn, &drop).await;
                });
            });
            let _ = dropped.join();
        });
    }
}
