//! A client, which repeats each transaction until its outcome is known.

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

/// Time limit of an operation behind a proxy that injects stalls. Without a fault, an operation takes milliseconds, and an injected delay
/// takes at most 200 ms. So an operation that reaches the limit has met a stall.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time limit of an operation behind a proxy that injects no stalls. Every operation ends long before this limit. So a client that reaches
/// the limit hangs, which is a failure.
const HANG: Duration = Duration::from_secs(60);

/// Pause after a failed attempt to connect.
const PAUSE: Duration = Duration::from_millis(20);

/// Classes of SQLSTATE, and SQLSTATEs, of the errors that the chaos causes. Any other error of a server is a failure.
///
/// - `08`, connection exception: the proxy cannot reach the server.
/// - `57P`, operator intervention: a shutdown, a crash or a terminated session; the server is starting.
/// - `53300`, too many connections: sessions of lost clients have not ended yet.
/// - `22012`, division by zero: the first statement of a transaction whose epoch is old (see [`fence`](crate::fence)).
/// - `25P02`, failed transaction: the statements after that first statement.
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

/// List of the committed transactions of a client: the key and the number of rows of each. The verdict compares this list with the
/// database.
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

/// The name of a client and its current operation, for the report of a hang.
#[derive(Debug)]
pub(crate) struct Place {
    name: String,
    now: Arc<Mutex<&'static str>>,
}

/// Reason for which an operation of a client failed.
enum Trouble {
    /// The connection is lost; the outcome of the operation is unclear.
    Lost,
    /// None of the injected faults, kills and restarts can cause this failure. The string describes the failure.
    Failed(String),
}

impl Place {
    /// Returns a description of the client, if the client has not ended.
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
        // Unless `asynchronous_commit` is set, a commit waits for the disk, so that an acknowledged transaction survives a crash of the
        // server.
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

    /// Executes transactions until the end of the chaos. The last transaction is repeated until its outcome is known.
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
                // The outcome is unclear. The client repeats the look-up of the key until the server answers.
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

/// Returns an error if the operation has failed for a reason that the chaos does not explain. A lost connection is no error.
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
    /// The injected faults change no byte. So an invalid message is a failure of the client or the proxy.
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
