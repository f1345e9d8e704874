//! A server under test: opens connections and sessions for checks.

use std::io;
use std::time::{Duration, Instant};

use pg_auth::config::AuthMethod;
use pg_auth::runtime::Runtime as _;
use pg_auth::scram::KeyCache;
use pg_auth::{Config, ConnectError, Host, SslMode};
use pg_stream_tokio::{Connection, Socket, Tokio, connect};
use pg_wire::Limits;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::check::{Check, Checked, Feature, Method, Need, Problem, failed};
use crate::client::Client;
use crate::message::{query, sync};

/// Longest wait for the rejection of a second connection by a server that allows only one connection. Such a server closes the second
/// connection at once. On the same machine, the client notices this in less than a millisecond, or later if the machine is busy.
const REJECTION: Duration = Duration::from_millis(20);

/// A feature that a server does not have. The text is a sentence of the server's documentation, which says that the feature is missing.
pub(crate) type Lack = (Feature, &'static str);

/// A server under test.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) config: Config,
    lacks: Vec<Lack>,
    patience: Duration,
    runtime: Runtime,
    /// Whether the server admits the user only with TLS.
    needs_tls: bool,
    auth_method: AuthMethod,
    server_version: String,
}

impl Target {
    /// Logs in once, to read the server's version, and to find out whether the server needs TLS and which authentication it uses.
    pub(crate) fn new(config: Config, lacks: Vec<Lack>, patience: Duration) -> Result<Self, ConnectError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(io_error)?;
        let sslmode = match config.sslmode {
            // Checks can compare the messages of a login only without TLS. So TLS is used only if the server rejects the user without TLS.
            SslMode::Prefer => SslMode::Allow,
            other => other,
        };
        let config = config.sslmode(sslmode).connect_timeout(patience).scram_cache(&KeyCache::default());
        let (conn, session) = runtime.block_on(connect(&config))?;
        drop(conn);
        Ok(Self {
            needs_tls: session.tls.is_some(),
            auth_method: session.auth_method,
            server_version: session.parameters.get("server_version").unwrap_or_default().into(),
            config,
            lacks,
            patience,
            runtime,
        })
    }

    /// Returns the same target with another time limit, for use in another thread.
    pub(crate) fn with_patience(&self, patience: Duration) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let Self { config, lacks, server_version, .. } = self;
        let (config, lacks, server_version) = (config.clone(), lacks.clone(), server_version.clone());
        Ok(Self { config, lacks, server_version, runtime, patience, ..*self })
    }

    /// A text for the heading of the result: version and address.
    pub(crate) fn description(&self) -> String {
        let hosts: Vec<String> = self.config.hosts.iter().map(Host::to_string).collect();
        let tls = if self.needs_tls { ", TLS" } else { "" };
        format!("server_version {} at {}{tls}", self.server_version, hosts.join(", "))
    }

    /// The major version that the server reports; 0 if it reports none.
    pub(crate) fn major(&self) -> u32 {
        let digits = self.server_version.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Runs a check. If a precondition of the check is not met, returns the reason instead.
    pub(crate) fn run(&self, check: &Check) -> Checked {
        check.needs.iter().try_for_each(|need| self.meets(*need))?;
        (check.run)(self)
    }

    fn meets(&self, need: Need) -> Checked {
        let major = self.major();
        let unmet = match need {
            Need::Has(feature) => {
                return match self.lacks.iter().find(|(lacked, _)| *lacked == feature) {
                    Some((_, reason)) => Err(Problem::NotSupported((*reason).into())),
                    None => Ok(()),
                };
            }
            Need::Since(version) if major < version => format!("needs PostgreSQL {version}"),
            Need::Before(version) if major >= version => format!("needs a version before {version}"),
            Need::Clear if self.needs_tls => "needs a user who may log in without TLS".into(),
            Need::Method(Method::Scram) if self.auth_method != AuthMethod::ScramSha256 => {
                "needs a user who authenticates with SCRAM-SHA-256".into()
            }
            Need::Method(Method::Password) if self.auth_method == AuthMethod::None => {
                "needs a user who authenticates with a password".into()
            }
            _ => return Ok(()),
        };
        Err(Problem::NotChecked(unmet))
    }

    /// Runs a future. Returns `None` if the future does not end within the time limit.
    pub(crate) fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        self.runtime.block_on(async { timeout(self.patience, future).await.ok() })
    }

    /// Opens a connection on which nothing has been sent.
    pub(crate) fn connection(&self) -> Checked<Client<'_>> {
        match self.within(self.accepted()).unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
            Ok(conn) => Ok(Client::new(self, conn, None)),
            Err(error) => failed(format!("the server cannot be reached: {error}")),
        }
    }

    /// Opens a connection that the server has accepted. A server that allows one connection rejects the next connection until it has
    /// noticed the end of the previous connection. So this function tries again after a rejection.
    async fn accepted(&self) -> io::Result<Connection<Socket>> {
        loop {
            let mut conn = Connection::new(self.dial().await?, Limits::BACKEND);
            // A server sends nothing before the client's first message. So bytes, or the end of the stream, mean that the server has
            // rejected the connection.
            if self.is_concurrent() || timeout(REJECTION, conn.fill()).await.is_err() {
                return Ok(conn);
            }
        }
    }

    /// Whether the server allows several connections at the same time.
    pub(crate) fn is_concurrent(&self) -> bool {
        !self.lacks.iter().any(|(feature, _)| *feature == Feature::Concurrent)
    }

    /// Resets the session of a server that has one session for all clients, because a check may have left a transaction, settings or
    /// prepared statements.
    ///
    /// Tries again until the server accepts a connection: while the server runs a statement, it does not notice that the previous client
    /// has disconnected.
    pub(crate) fn reset(&self) -> Checked {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.discard() {
                Err(_) if Instant::now() < deadline => std::thread::sleep(REJECTION),
                outcome => return outcome,
            }
        }
    }

    fn discard(&self) -> Checked {
        let mut client = self.session()?;
        for message in [sync(), query("rollback"), query("discard all")] {
            client.send(&message)?;
            while !client.reply()?.is("ReadyForQuery *") {}
        }
        // Waits for the end of the stream: the server has then noticed that this client has disconnected.
        client.half_close()?;
        client.rest().map(drop)
    }

    async fn dial(&self) -> io::Result<Socket> {
        let Some(host) = self.config.hosts.first() else { return Err(io::Error::other("no host is given")) };
        match host {
            Host::Tcp { host: name, address, port, .. } => {
                let address = match address {
                    Some(address) => (*address, *port).into(),
                    None => {
                        let found = Tokio.resolve(name, *port).await?;
                        let first = found.into_iter().next();
                        first.ok_or_else(|| io::Error::other("the name has no address"))?
                    }
                };
                Ok(Socket::Tcp(Tokio.dial_tcp(address, &self.config).await?))
            }
            host => match host.socket_path() {
                Some(path) => Ok(Socket::Unix(Tokio.dial_unix(&path, &self.config).await?)),
                None => Err(io::Error::other("this kind of address is not supported")),
            },
        }
    }

    /// Opens a session.
    pub(crate) fn session(&self) -> Checked<Client<'_>> {
        self.session_with(&self.config)
    }

    /// Opens a session with the settings `config` instead of the settings of the target.
    pub(crate) fn session_with(&self, config: &Config) -> Checked<Client<'_>> {
        if self.needs_tls {
            return match self.within(connect(config)) {
                Some(Ok((conn, session))) => Ok(Client::new(self, conn, Some(session))),
                Some(Err(error)) => failed(error),
                None => failed("the login took longer than the time limit"),
            };
        }
        let client = self.login(config)?;
        client.session()?;
        Ok(client)
    }

    /// Logs in without TLS, and keeps the messages of the server. The server may reject the login.
    pub(crate) fn login(&self, config: &Config) -> Checked<Client<'_>> {
        self.connection()?.log_in(config)
    }

    /// Opens a session, exchanges messages, and ends the session. Each step consists of the bytes to send and the expected lines.
    pub(crate) fn talk<const N: usize>(&self, steps: [(Vec<u8>, &[&str]); N]) -> Checked {
        let mut client = self.session()?;
        for (bytes, expected) in steps {
            client.exchange(&bytes, expected)?;
        }
        client.finish()
    }

    /// Opens a session, and sends bytes after which the server has to close the connection. Compares the messages that the server sends
    /// before the end.
    pub(crate) fn last_words(&self, bytes: &[u8], expected: &[&str]) -> Checked {
        let mut client = self.session()?;
        client.exchange(bytes, expected)?;
        client.expect_end()
    }

    /// Runs a query in the session of `client`. The query returns one row with one column. Returns the value.
    pub(crate) fn value(&self, client: &mut Client<'_>, sql: &str) -> Checked<String> {
        client.exchange(&query(sql), &["RowDescription 1 *"])?;
        let row = client.reply()?;
        client.expect(&["CommandComplete *", "ReadyForQuery *"])?;
        match &row.values()[..] {
            [Some(value)] => Ok(String::from_utf8_lossy(value).into_owned()),
            _ => failed(format!("one value was expected from {sql}; received {}", row.shown())),
        }
    }
}

fn io_error(error: io::Error) -> ConnectError {
    pg_stream_tokio::ConnectErrorKind::Unreachable(error).into()
}
