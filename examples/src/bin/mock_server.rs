//! A server without a database, for tests of clients. After the login, every SELECT returns the same rows.
//!
//! `cargo run -p examples --bin mock_server`, then `psql "host=127.0.0.1 port=5433 user=mock password=secret"`
//!
//! With `--replay FILE`, the server plays a recording of `pg-proxy --record` after the login.

use std::error::Error;
use std::fmt;
use std::fs;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::{Parser, ValueEnum};
use pg_auth::accept::{fatal, welcome};
use pg_auth::connect::Accepted;
use pg_auth::scram::{DEFAULT_ITERATIONS, Nonce, Verifier};
use pg_auth::{Credentials, Password, Startup, StoredPassword, md5};
use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_stream_tokio::{Acceptor, CancelKey, Connection};
use pg_wire::backend::{
    CommandComplete, DataRow, EmptyQueryResponse, ErrorField, ErrorResponse, FieldDescription,
    NoticeResponse, ReadyForQuery, RowDescription,
};
use pg_wire::frontend::{Frontend, ProtocolVersion};
use pg_wire::testing::{Transcript, TranscriptError};
use pg_wire::{
    Direction, SqlState, TransactionStatus, Transport,
    client::PutMessage,
    codec::{List, Values},
    oid,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The rows that every SELECT returns.
const PLANETS: [(&str, Option<&str>); 3] = [("Earth", Some("1")), ("Mars", Some("2")), ("Planet Nine", None)];

/// Returns the same few rows to every PostgreSQL client that logs in with the password
#[derive(Debug, Parser)]
#[command(name = "mock_server", version)]
struct Arguments {
    /// Address to listen on; with port 0 the system picks a free port
    #[arg(long, default_value = "127.0.0.1:5433")]
    listen: SocketAddr,
    /// Method by which users authenticate
    #[arg(long, value_enum, default_value_t = Method::Scram)]
    auth: Method,
    /// Name of the only user who can log in
    #[arg(long, default_value = "mock")]
    user: String,
    /// The user's password
    #[arg(long, default_value = "secret")]
    password: String,
    /// Offer TLS with the certificate in this PEM file; the file may also contain the intermediate certificates
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File with the private key of the certificate, in PEM; other users must not be able to read the file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// After the login, play the server's side of this transcript, such as a recording of pg-proxy --record. The login of the transcript is
    /// not played: the server performs its own login, and reports the recorded parameters to the client
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// No authentication
    Trust,
    /// Password in clear text
    Cleartext,
    /// MD5 hash of the password
    Md5,
    /// SCRAM-SHA-256
    Scram,
}

/// State that all sessions share.
struct Mock {
    tls: Option<RustlsAcceptor>,
    method: Method,
    user: String,
    password: Password,
    verifier: Verifier,
    /// Secret from which the salts for unknown users are derived. So an unknown user gets the same salt at each login, like the known user,
    /// and a client cannot find out which user exists.
    secret: Nonce,
    next_pid: AtomicI32,
    /// The recording that every session plays, or `None`.
    replay: Option<Replay>,
    sessions: Mutex<Vec<Running>>,
}

/// The messages of the server in a recorded session, and the parameters that the server reported.
struct Replay {
    parameters: Vec<(String, String)>,
    session: Transcript,
}

impl Replay {
    fn read(file: &Path) -> Result<Self, Box<dyn Error>> {
        let in_file = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| in_file(&error))?;
        let transcript: Transcript = text.parse().map_err(|error| in_file(&error))?;
        let (login, session) = transcript.split_login();
        session.bytes(Direction::Backend).map_err(|error| in_file(&error))?;
        Ok(Self { parameters: login.parameters(), session })
    }

    /// Plays the recorded session. If the client's messages differ from the recording, sends the client an error that describes the
    /// difference.
    async fn play(&self, conn: &mut Connection<impl Transport>) -> Result<(), TranscriptError> {
        let played = self.session.play(Direction::Backend, conn).await;
        if let Err(error) = &played {
            fatal(SqlState::PROTOCOL_VIOLATION, &error.to_string(), conn.outbox_mut());
            // A failure of `close` is ignored, because the client may have disconnected already. The caller receives only the error of
            // `play`.
            let _ = conn.close().await;
        }
        played
    }
}

/// A running session. A cancel request with the session's key cancels the session's statement.
struct Running {
    key: CancelKey,
    /// Cancels the statement that the session is running. Has no effect on statements that begin later.
    cancelled: Arc<Notify>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { listen, auth, user, password, tls_cert, tls_key, replay } = Arguments::parse();
    let listener = TcpListener::bind(listen).await?;
    let password = Password::from(password.as_str());
    let tls = match tls_cert.zip(tls_key) {
        None => None,
        Some((cert, key)) => Some(RustlsAcceptor::from_pem_files(cert, key, None)?),
    };
    let mock = Arc::new(Mock {
        tls,
        method: auth,
        user,
        verifier: Verifier::random(&password, DEFAULT_ITERATIONS)?,
        password,
        secret: Nonce::random()?,
        next_pid: AtomicI32::new(1),
        replay: replay.as_deref().map(Replay::read).transpose()?,
        sessions: Mutex::default(),
    });
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            if let Err(error) = mock.serve(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

impl Mock {
    /// Serves one connection, from the login until the connection is closed.
    async fn serve(&self, stream: TcpStream) -> Result<(), Box<dyn Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let lookup = |startup: Startup| {
            let credentials = self.credentials(&startup);
            async { credentials }
        };
        match &self.tls {
            None => {
                let (conn, accepted) = Acceptor::new().accept(stream, lookup).await?;
                self.session(conn, accepted).await
            }
            Some(tls) => {
                let upgrade = async |stream| tls.accept(stream).await;
                let (conn, accepted) = Acceptor::new().accept_with_tls(stream, upgrade, lookup).await?;
                self.session(conn, accepted).await
            }
        }
    }

    /// Serves a client after its connection phase: runs its session, or handles its cancel request.
    async fn session<T: Transport>(
        &self,
        mut conn: Connection<T>,
        accepted: Accepted,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let login = match accepted {
            Accepted::Login(login) => login,
            Accepted::Cancel(key) => {
                let known = self.cancel(&key);
                eprintln!(
                    "cancel request for {}{}",
                    key.pid(),
                    if known { "" } else { ", but no session has this key" }
                );
                return Ok(());
            }
        };

        let session = Registered { mock: self, key: self.fresh_key(login.startup.version())? };
        let cancelled = Arc::new(Notify::new());
        self.sessions().push(Running { key: session.key.clone(), cancelled: Arc::clone(&cancelled) });
        let application_name = login.startup.message().get("application_name").unwrap_or_default();
        let application_name = application_name.to_string_lossy();
        let parameters = [
            ("server_version", "18.0"),
            ("server_encoding", "UTF8"),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
            ("integer_datetimes", "on"),
            ("DateStyle", "ISO, MDY"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("application_name", &application_name),
        ];
        if let Some(replay) = &self.replay {
            let parameters = replay.parameters.iter().map(|(name, value)| (&**name, &**value));
            welcome(parameters, Some(&session.key), conn.outbox_mut());
            return replay.play(&mut conn).await.map_err(Into::into);
        }
        welcome(parameters, Some(&session.key), conn.outbox_mut());
        conn.flush().await?;
        converse(&mut conn, &cancelled).await.map_err(Into::into)
    }

    /// Returns the credentials for the user of a startup packet. For an unknown user, the server exchanges the same messages as for the
    /// known user, and then rejects every password. So a client cannot find out which user exists.
    fn credentials(&self, startup: &Startup) -> Credentials {
        let name = startup.user().as_bytes();
        let exists = name == self.user.as_bytes();
        let verifier = || match Credentials::unknown(self.secret.as_str().as_bytes(), name) {
            Credentials::Scram(mock) if !exists => mock,
            _ => self.verifier.clone(),
        };
        match self.method {
            Method::Trust => Credentials::Trust,
            Method::Cleartext => Credentials::Cleartext(StoredPassword::Scram(verifier())),
            Method::Md5 if exists => Credentials::Md5(md5::Verifier::new(name, &self.password)),
            Method::Md5 => Credentials::Md5(md5::Verifier::new(name, &self.secret.as_str().into())),
            Method::Scram => Credentials::Scram(verifier()),
        }
    }

    /// Makes a cancel key for a new session.
    fn fresh_key(&self, version: ProtocolVersion) -> Result<CancelKey, pg_auth::AuthError> {
        CancelKey::random(self.next_pid.fetch_add(1, Ordering::Relaxed), version)
    }

    /// Cancels the statement of the session that has this key. Returns false if no session has the key.
    fn cancel(&self, key: &CancelKey) -> bool {
        let sessions = self.sessions();
        let session = sessions.iter().find(|session| session.key == *key);
        session.inspect(|session| session.cancelled.notify_waiters()).is_some()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Running>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Entry of a session in the list of sessions. The entry is removed when this value is dropped, so an error or a panic removes it too.
struct Registered<'m> {
    mock: &'m Mock,
    key: CancelKey,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.mock.sessions().retain(|session| session.key != self.key);
    }
}

/// Answers an authenticated client until the client disconnects.
async fn converse(conn: &mut Connection<impl Transport>, cancelled: &Notify) -> Result<(), pg_wire::Error> {
    // After an error in the extended protocol, the server ignores all messages up to the next Sync.
    let mut skipping = false;
    loop {
        let frame = match conn.recv().await {
            Err(pg_wire::Error::Closed { mid_message: false }) => return Ok(()),
            received => received?,
        };
        match frame.frontend() {
            Ok(Frontend::Terminate(_)) => return Ok(()),
            Ok(Frontend::Query(query)) => {
                let sql = query.sql.to_string_lossy().into_owned();
                answer(conn, &sql, cancelled).await?;
                ready(conn);
            }
            Ok(Frontend::Sync(_)) => {
                skipping = false;
                ready(conn);
            }
            Ok(Frontend::FunctionCall(_)) => {
                refuse(conn, SqlState::FEATURE_NOT_SUPPORTED, "this server has no functions");
                ready(conn);
            }
            Ok(
                Frontend::Parse(_)
                | Frontend::Bind(_)
                | Frontend::Describe(_)
                | Frontend::Execute(_)
                | Frontend::Close(_),
            ) => {
                if !skipping {
                    refuse(conn, SqlState::FEATURE_NOT_SUPPORTED, "this server answers only simple queries");
                }
                skipping = true;
            }
            // The server rejects every COPY with an error. The client may send Flush, CopyData, CopyDone or CopyFail before it receives
            // this error. The server ignores these messages, as PostgreSQL does.
            Ok(
                Frontend::Flush(_) | Frontend::CopyData(_) | Frontend::CopyDone(_) | Frontend::CopyFail(_),
            ) => {}
            Ok(_) | Err(_) => {
                fatal(SqlState::PROTOCOL_VIOLATION, "invalid frontend message", conn.outbox_mut());
                return conn.close().await;
            }
        }
        conn.flush().await?;
    }
}

/// Answers the statements of a query. The server does not parse SQL: every semicolon ends a statement, even in a string or a comment.
async fn answer(
    conn: &mut Connection<impl Transport>,
    sql: &str,
    cancelled: &Notify,
) -> Result<(), pg_wire::Error> {
    let statements: Vec<&str> =
        sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    if statements.is_empty() {
        conn.put_message(&EmptyQueryResponse {});
    }
    for statement in statements {
        let command = statement.split_whitespace().next().unwrap_or_default();
        if !command.eq_ignore_ascii_case("select") {
            let message = format!("only SELECT is answered here, and not {command}");
            refuse(conn, SqlState::FEATURE_NOT_SUPPORTED, &message);
            break;
        }
        if statement.contains("pg_sleep") {
            sleep(conn, cancelled).await?;
            refuse(conn, SqlState::QUERY_CANCELED, "canceling statement due to user request");
            break;
        }
        select(conn);
    }
    Ok(())
}

/// Sends the answer to a SELECT.
fn select(conn: &mut Connection<impl Transport>) {
    let column = |name: &'static str, type_oid, type_len| FieldDescription {
        name: name.into(),
        type_oid,
        type_len,
        type_modifier: -1,
        ..Default::default()
    };
    let columns = [column("name", oid::TEXT, -1), column("moons", oid::INT4, 4)];
    conn.put_message(&RowDescription { fields: List::from(&columns) });
    for (name, moons) in PLANETS {
        let values = [Some(name.as_bytes()), moons.map(str::as_bytes)];
        conn.put_message(&DataRow { values: Values::from(&values) });
    }
    conn.put_message(&CommandComplete { tag: format!("SELECT {}", PLANETS.len()).as_str().into() });
}

/// Sends a notice, then waits until the statement is cancelled.
async fn sleep(conn: &mut Connection<impl Transport>, cancelled: &Notify) -> Result<(), pg_wire::Error> {
    // From this line on, a cancel request wakes this statement. The notice is sent later, so a client that has received the notice can
    // cancel the statement.
    let mut cancelled = pin!(cancelled.notified());
    let fields = ErrorField::four(
        "NOTICE",
        &SqlState::SUCCESSFUL_COMPLETION,
        "asleep until the statement is cancelled",
    );
    conn.put_message(&NoticeResponse { fields: (&fields).into() });
    conn.flush().await?;
    tokio::select! {
        () = &mut cancelled => return Ok(()),
        // An error means that the client has disconnected. `Ok` means that another message has arrived: the wait for the cancel request
        // goes on below.
        ready = poll_fn(|cx| conn.poll_ready(cx)) => ready?,
    }
    cancelled.await;
    Ok(())
}

fn ready(conn: &mut Connection<impl Transport>) {
    conn.put_message(&ReadyForQuery { status: TransactionStatus::Idle });
}

fn refuse(conn: &mut Connection<impl Transport>, state: SqlState, message: &str) {
    conn.put_message(&ErrorResponse { fields: (&ErrorField::four("ERROR", &state, message)).into() });
}
