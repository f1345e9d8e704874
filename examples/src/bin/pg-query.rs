//! Runs SQL by the simple protocol, and prints what comes back.
//!
//! `cargo run -p examples --bin pg-query -- postgres://user:secret@localhost/mydb "SELECT 1"`

use std::fmt::Display;
use std::future::pending;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::process::exit;

use clap::{CommandFactory, Parser};
use pg_auth::Surroundings;
use pg_stream_tokio::{CancelTarget, Config, ConnectError, Connection, PgProtocol, cancel, connect};
use pg_wire::backend::{Backend, DataRow, ErrorFields, ServerError};
use pg_wire::{DecodeError, Error, Message, Text};
use tokio::io::AsyncReadExt;
use tokio::signal::ctrl_c;

/// Runs SQL on a PostgreSQL server and prints what comes back
///
/// The URL, or keywords such as "host=db.example user=me", are read as by psql:
/// what they leave open comes from the PG* environment variables, the service
/// file, ~/.pgpass and ~/.postgresql, and then from psql's defaults. TLS is used
/// as sslmode says.
///
/// Rows are printed one a line, values separated by tabs. NULL is \N, and every
/// other value is printed exactly as the server sends it. Where values may hold
/// tabs, newlines or \N themselves, have the server escape them:
/// COPY (SELECT ...) TO STDOUT.
///
/// COPY ... TO STDOUT prints its data as it comes, COPY ... FROM STDIN reads
/// standard input to its end. Notices and errors go to standard error. Ctrl-C
/// asks the server to give up, and pressed again does not wait for it.
#[derive(Debug, Parser)]
#[command(
    name = "pg-query",
    version,
    verbatim_doc_comment,
    after_long_help = "Exit status:
  0  all is done
  1  the server refused the SQL, or the session broke: standard error says why
  2  wrong usage, or no session could be begun"
)]
struct Arguments {
    /// The server and the user: postgres://user:password@host:port/database
    url: String,
    /// One statement, or several with semicolons in between
    #[arg(allow_hyphen_values = true)]
    sql: String,
}

/// Why not all is done.
enum Failure {
    /// The server refused, and says why.
    Server(ServerError),
    /// There is no session.
    Connect(ConnectError),
    /// The session broke.
    Connection(Error),
    /// The server sent a message that has no place in a simple query.
    Misplaced(&'static str),
    /// Standard output takes no more.
    Output(io::Error),
    /// The user does not want to wait.
    Interrupted,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (config, sql) = arguments();
    let code = run(config, &sql).await.map_or_else(Failure::tell, |()| 0);
    // A read of standard input that is under way cannot be called off; this does not wait for it.
    exit(code)
}

/// The command line. Where it asks for help or is wrong, it is answered, and the program ends.
fn arguments() -> (Config, String) {
    let Arguments { url, sql } = Arguments::try_parse().unwrap_or_else(|error| {
        // Clap would show the argument that is one too many, and that may hold a password.
        if error.use_stderr() { refuse(error.kind()) } else { error.exit() }
    });
    let found = Surroundings::of_process().login_name().config(&url).unwrap_or_else(|error| refuse(error));
    for warning in &found.warnings {
        say(format_args!("pg-query: {warning}"));
    }
    let config = found.config;
    config.check().unwrap_or_else(|error| refuse(error));
    match config.parameter("client_encoding") {
        Some(_) => (config, sql),
        None => (config.with_parameter("client_encoding", "UTF8"), sql),
    }
}

fn refuse(problem: impl Display) -> ! {
    let usage = Arguments::command().render_usage();
    say(format_args!("pg-query: {problem}\n\n{usage}\n\nFor more information, try '--help'."));
    exit(2)
}

async fn run(config: Config, sql: &str) -> Result<(), Failure> {
    let (conn, session) = connect(&config).await?;
    for notice in &session.notices {
        report_notice(notice.fields());
    }
    let mut query = Query {
        conn,
        out: BufWriter::with_capacity(BLOCK, io::stdout().lock()),
        copying: false,
        refusal: None,
        cancel: session.cancel_target().map(|target| (config.clone(), target)),
        given_up: false,
    };
    let done = query.run(sql).await;
    if done.is_ok() {
        // A farewell: should the server not hear it any more, nothing is lost.
        let _ = query.conn.terminate().close().await;
    }
    match (done, query.refusal) {
        // A server that ends the session says why, and then closes the connection.
        (Ok(()) | Err(Failure::Connection(_)), Some(refusal)) => Err(Failure::Server(refusal)),
        (done, _) => done,
    }
}

/// How much is read from standard input, and written to standard output, in one go.
const BLOCK: usize = 64 * 1024;

/// A simple query under way.
struct Query<W> {
    conn: Connection,
    out: W,
    /// A COPY … FROM STDIN waits for its data.
    copying: bool,
    /// What the server refused. It goes on to ReadyForQuery before we tell.
    refusal: Option<ServerError>,
    /// Where to send a cancel request and what to quote; gone when it has been sent.
    cancel: Option<(Config, CancelTarget)>,
    /// The user wants no more of it.
    given_up: bool,
}

impl<W: Write> Query<W> {
    /// Runs it to its end.
    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        let mut interrupt = pin!(interruption());
        let mut stdin = tokio::io::stdin();
        let mut block = vec![0; BLOCK];
        self.conn.query(sql);
        loop {
            tokio::select! {
                biased;
                () = &mut interrupt => {
                    interrupt.set(interruption());
                    self.give_up()?;
                }
                moved = self.advance() => {
                    moved?;
                    let last = self.receive()?;
                    self.out.flush()?;
                    if last {
                        return Ok(());
                    }
                }
                read = stdin.read(&mut block), if self.copying && self.conn.outbox().is_empty() => {
                    self.copy(read.map(|count| &block[..count]));
                }
            }
        }
    }

    /// Sends what is to be sent; when all is sent, waits for a message.
    async fn advance(&mut self) -> Result<(), Failure> {
        if !self.conn.outbox().is_empty() {
            match self.conn.flush().await {
                // The server wants us to take its own messages first.
                Ok(()) | Err(Error::InboxFull) => return Ok(()),
                // What it said last may tell why it takes no more.
                Err(Error::Io(_) | Error::Poisoned(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.conn.ready().await?)
    }

    /// Takes the messages that are there, and says whether the last of them was among them.
    fn receive(&mut self) -> Result<bool, Failure> {
        while let Some(frame) = self.conn.try_recv()? {
            match frame.backend()? {
                Backend::DataRow(row) => print_row(&mut self.out, row)?,
                Backend::CopyData(copy) => self.out.write_all(copy.data.0)?,
                Backend::CopyInResponse(_) if self.given_up => self.fail_copy(),
                Backend::CopyInResponse(_) => self.copying = true,
                Backend::NoticeResponse(notice) => {
                    // In the order in which it came.
                    self.out.flush()?;
                    report_notice(notice.fields);
                }
                Backend::ErrorResponse(error) => {
                    self.copying = false;
                    self.refusal.get_or_insert(error.to_owned());
                }
                Backend::ReadyForQuery(_) => return Ok(true),
                // Begins and ends, of which there is nothing to be shown.
                Backend::RowDescription(_)
                | Backend::CopyOutResponse(_)
                | Backend::CopyDone(_)
                | Backend::CommandComplete(_)
                | Backend::EmptyQueryResponse(_) => {}
                // May come between any two messages.
                Backend::ParameterStatus(_) | Backend::NotificationResponse(_) => {}
                message => return Err(Failure::Misplaced(message.name())),
            }
        }
        Ok(false)
    }

    /// Queues what standard input has given for the COPY; nothing is its end.
    fn copy(&mut self, read: io::Result<&[u8]>) {
        self.copying = matches!(read, Ok([_, ..]));
        match read {
            Ok([]) => self.conn.copy_done(),
            Ok(data) => self.conn.copy_data(data),
            Err(error) => self.conn.copy_fail(&format!("cannot read standard input: {error}")),
        };
    }

    /// Asks the server to give up. Whoever asks again does not want to wait for it.
    fn give_up(&mut self) -> Result<(), Failure> {
        let (config, target) = self.cancel.take().ok_or(Failure::Interrupted)?;
        tokio::spawn(async move {
            if let Err(error) = cancel(&config, &target).await {
                say("pg-query: the server could not be asked to give up");
                say_why(&error);
            }
        });
        self.given_up = true;
        if self.copying {
            self.fail_copy();
        }
        Ok(())
    }

    /// Ends a COPY that the user wants no more of: a server that waits for data does not look at cancel requests.
    fn fail_copy(&mut self) {
        self.copying = false;
        self.conn.copy_fail("interrupted by the user");
    }
}

/// Waits for Ctrl-C; where nobody can listen for it, for ever.
async fn interruption() {
    if ctrl_c().await.is_err() {
        pending().await
    }
}

fn print_row(out: &mut impl Write, row: DataRow<'_>) -> Result<(), Failure> {
    let mut separator: &[u8] = b"";
    for value in row.values {
        let value = value?.unwrap_or(b"\\N");
        out.write_all(separator)?;
        out.write_all(value)?;
        separator = b"\t";
    }
    out.write_all(b"\n")?;
    Ok(())
}

impl Failure {
    /// Says it on standard error, and with which code to end.
    fn tell(self) -> i32 {
        match self {
            Self::Server(error) => {
                let fields = error.fields();
                report(fields.get(b'C').unwrap_or_default(), fields, &[("CONTEXT", fields.context())]);
            }
            Self::Connect(error) => {
                say(format_args!("pg-query: {error}"));
                return 2;
            }
            Self::Connection(error) => say_why(&error),
            Self::Misplaced(message) => {
                say(format_args!("pg-query: the server sent a message that has no place here: {message}"));
            }
            // Whoever reads has read enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return 0,
            Self::Output(error) => say(format_args!("pg-query: cannot write to standard output: {error}")),
            Self::Interrupted => say("pg-query: interrupted"),
        }
        1
    }
}

fn report_notice(fields: ErrorFields<'_>) {
    report(format_args!("{}:", fields.severity().unwrap_or("NOTICE".into())), fields, &[]);
}

/// Prints what the server says: its message behind `head`, then more about it, a line each.
fn report(head: impl Display, fields: ErrorFields<'_>, more: &[(&str, Option<Text<'_>>)]) {
    let usual = [("DETAIL", fields.detail()), ("HINT", fields.hint()), ("POSITION", fields.get(b'P'))];
    let mut text = format!("{head} {}", fields.message().unwrap_or_default());
    for (label, value) in usual.iter().chain(more) {
        if let Some(value) = value {
            text += &format!("\n{label}: {value}");
        }
    }
    say(text);
}

/// Prints an error and what has caused it.
fn say_why(error: &dyn std::error::Error) {
    match error.source() {
        None => say(format_args!("pg-query: {error}")),
        Some(cause) => say(format_args!("pg-query: {error}: {cause}")),
    }
}

/// Prints a line on standard error. Where that is closed there is nobody to tell.
fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// An error of the connection's stream comes as one of the connection, so that this one is standard output's.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Connection(error.into())
    }
}
