//! A client that repeats each transaction until the outcome of the transaction is known.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pg_auth::connect::ConnectionBuilder;
use pg_auth::runtime::Runtime;
use pg_auth::{Config, ConnectError, ConnectErrorKind};
use pg_wire::Error;
use pg_wire::backend::ServerError;

use crate::arguments::Arguments;
use crate::proxies::Proxy;
use crate::tally::Tally;
use crate::work::{Transaction, look_up};
use crate::{Result, direct};

/// Time limit of an operation behind a proxy that injects stalls. Without a stall, an operation ends earlier: it takes milliseconds, and an
/// injected delay adds at most 200 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time limit of an operation behind a proxy that injects no stalls. Every operation should end long before this limit, so a client that
/// reaches the limit is reported as a failure.
const HANG: Duration = Duration::from_secs(60);

/// Pause after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// SQLSTATEs, and classes of SQLSTATEs, that faults, kills and restarts can cause. Any other error of a server is a failure.
///
/// - `08`, connection exception: the proxy cannot reach the server.
/// - `57P`, operator intervention: a shutdown, a crash or a terminated session; the server is starting.
/// - `53300`, too many connections: sessions of lost clients have not ended yet.
/// - `22012`, division by zero: the first statement of a transaction whose epoch is old (see [`fence`](crate::fence)).
/// - `25P02`, failed transaction: the statements after a statement that failed with `22012`.
const EXPECTED: [&str; 5] = ["08", "57P", "53300", "22012", "25P02"];

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    id: i32,
    address: SocketAddr,
    config: Config,
    stalls: bool,
    end: Instant,
    tally: Arc<Tally>,
    now: Arc<Mutex<&'static str>>,
}

/// List of the committed transactions of a client: the key and the number of rows of each transaction. The program compares this list with
/// the database at the end.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) client: i32,
    pub(crate) keys: Vec<(i64, i32)>,
}

impl Ledger {
    /// Returns the memory of the list, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        (self.keys.capacity() * size_of::<(i64, i32)>()) as u64
    }
}

/// The name of a client and its current operation. If the client hangs, both are printed.
#[derive(Debug)]
pub(crate) struct Place {
    name: String,
    now: Arc<Mutex<&'static str>>,
}

/// Reason for which an operation of a client failed.
enum Trouble {
    /// The connection is lost, or the server reported an error that a fault can cause. The outcome of the operation is unclear.
    Lost,
    /// A failure that no injected fault, kill or restart can cause. The string describes the failure.
    Failed(String),
}

impl Place {
    /// Returns the name of the client and its current operation, or `None` if the client has ended.
    pub(crate) fn hanging(&self) -> Option<String> {
        let now = *self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now != ENDED).then(|| format!("{} in the step \"{now}\"", self.name))
    }
}

const ENDED: &str = "ended";

impl Client {
    pub(crate) fn new(
        id: i32,
        proxy: &Proxy,
        arguments: &Arguments,
        end: Instant,
        tally: &Arc<Tally>,
    ) -> Self {
        // Unless `asynchronous_commit` is set, the server acknowledges a commit only when the commit is on disk. So an acknowledged
        // transaction survives a crash of the server.
        let commit = if arguments.asynchronous_commit { "off" } else { "on" };
        let config = direct::config(proxy.address(), &arguments.user)
            .with_parameter("application_name", "pg-chaos")
            .with_parameter("synchronous_commit", commit);
        let (tally, now) = (Arc::clone(tally), Arc::new(Mutex::new("start")));
        Self { id, address: proxy.address(), config, stalls: proxy.stalls, end, tally, now }
    }

    /// Returns the name of the client, and its current operation.
    pub(crate) fn place(&self, server: usize) -> Place {
        let name = format!("client {} of server {server} through {}", self.id, self.address);
        Place { name, now: Arc::clone(&self.now) }
    }

    /// Executes transactions until the time `end`. Repeats the last transaction until its outcome is known.
    pub(crate) async fn run<R: Runtime>(self, runtime: R) -> Result<Ledger> {
        let mut keys = Vec::new();
        let ran = self.transactions(&runtime, &mut keys).await;
        self.step(ENDED);
        match ran {
            Ok(()) => Ok(Ledger { client: self.id, keys }),
            Err(error) => Err(format!("client {} through {}: {error}", self.id, self.address).into()),
        }
    }

    async fn transactions<R: Runtime>(&self, runtime: &R, keys: &mut Vec<(i64, i32)>) -> Result<()> {
        let builder = ConnectionBuilder::<R, R::Tls>::from(self.config.clone());
        let (mut connection, mut epoch) = (None, 0);
        let mut key = 0;
        while Instant::now() < self.end {
            key += 1;
            loop {
                let transaction = Transaction { client: self.id, key, epoch };
                let mut acknowledged = false;
                let executed = async {
                    let conn = match &mut connection {
                        Some(conn) => conn,
                        none => none.insert(self.within(runtime, "connect", builder.dial()).await?.0),
                    };
                    self.within(runtime, "transaction", transaction.execute(conn, &mut acknowledged)).await
                };
                let executed = executed.await;
                if executed.is_err() {
                    connection = None;
                }
                if acknowledged {
                    self.tally.acknowledged.add();
                    keys.push((key, transaction.rows()));
                    explained(executed)?;
                    break;
                }
                match executed {
                    Ok(()) => {
                        return Err(
                            format!("key {key}: the transaction was answered but not committed").into()
                        );
                    }
                    executed => explained(executed)?,
                }
                // The outcome is unclear. The client counts the rows of the key, and tries again until the server answers.
                let count = loop {
                    let looked = async {
                        let conn = match &mut connection {
                            Some(conn) => conn,
                            none => none.insert(self.within(runtime, "connect", builder.dial()).await?.0),
                        };
                        self.within(runtime, "look-up", look_up(conn, self.id, key)).await
                    };
                    match looked.await {
                        Ok((now, count)) => {
                            epoch = now;
                            break count;
                        }
                        Err(trouble) => {
                            connection = None;
                            explained(Err(trouble))?;
                            let _: Option<()> = runtime.within(PAUSE, std::future::pending()).await;
                        }
                    }
                };
                if count == i64::from(transaction.rows()) {
                    self.tally.found.add();
                    keys.push((key, transaction.rows()));
                    break;
                }
                if count != 0 {
                    return Err(format!("key {key} has {count} of {} rows", transaction.rows()).into());
                }
                self.tally.missing.add();
            }
        }
        Ok(())
    }

    /// Runs an operation with the time limit of this client.
    async fn within<R: Runtime, O, E: Into<Trouble>>(
        &self,
        runtime: &R,
        step: &'static str,
        operation: impl Future<Output = Result<O, E>>,
    ) -> Result<O, Trouble> {
        self.step(step);
        if step == "connect" {
            self.tally.connections.add();
        }
        let limit = if self.stalls { PATIENCE } else { HANG };
        match runtime.within(limit, operation).await {
            Some(done) => done.map_err(Into::into),
            None if self.stalls => {
                self.tally.timeouts.add();
                Err(Trouble::Lost)
            }
            None => Err(Trouble::Failed(format!("the step \"{step}\" hangs: no end within {HANG:?}"))),
        }
    }

    fn step(&self, step: &'static str) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }
}

/// Returns an error if no injected fault, kill or restart can have caused the failure of an operation. A lost connection is no error.
fn explained(done: Result<(), Trouble>) -> Result<()> {
    match done {
        Ok(()) | Err(Trouble::Lost) => Ok(()),
        Err(Trouble::Failed(error)) => Err(error.into()),
    }
}

/// Whether a kill, a restart or an injected fault can cause this error of a server.
fn is_expected(error: &ServerError) -> bool {
    let state = error.fields().sqlstate().map(|state| state.to_string()).unwrap_or_default();
    EXPECTED.iter().any(|expected| state.starts_with(expected))
}

impl From<Error> for Trouble {
    /// Converts an error of the connection. An invalid message is a failure of the client or the proxy, because the injected faults change
    /// no byte.
    fn from(error: Error) -> Self {
        match error {
            Error::Io(_) | Error::Closed { .. } | Error::Poisoned(_) => Self::Lost,
            Error::Server(error) if is_expected(&error) => Self::Lost,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<ConnectError> for Trouble {
    fn from(error: ConnectError) -> Self {
        match error.kind() {
            ConnectErrorKind::Unreachable(_)
            | ConnectErrorKind::Connection(Error::Io(_) | Error::Closed { .. }) => Self::Lost,
            _ if error.server_error().is_some_and(is_expected) => Self::Lost,
            _ => Self::Failed(format!("connect: {error}")),
        }
    }
}
