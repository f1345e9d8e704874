//! A tour of one connection: the settings of the session, a query with typed rows, a query with a million rows, and the messages before and
//! after an error.
//!
//! `cargo xtask demo` starts a server and runs this program. With an existing server:
//!
//! `cargo run --release -p examples --bin demo -- postgres://user:secret@localhost/mydb`

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Instant;

use chrono::NaiveDate;
use examples::{Answer, until_ready};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use pg_stream_tokio::{Config, Connection, FormatCode, PgProtocol, Portal, Session, Socket, Statement, oid};
use pg_wire::backend::Backend;
use pg_wire::value::Sql;
use pg_wire::{Columns, Direction, Inbox, Limits, Message};

/// Number of bytes before the body of a message: 1 for the code, 4 for the length field.
const HEADER: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let Err(error) = tour(&mut out).await else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // A broken pipe is no error: the reader of standard output has closed the pipe, as `head` does.
        return ExitCode::SUCCESS;
    }
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    // Prints the buffered output before the error text. A failed write is ignored, because it cannot be reported anywhere.
    let _ = out.flush();
    let _ = writeln!(io::stderr(), "demo: {error}{cause}");
    ExitCode::FAILURE
}

async fn tour(out: &mut impl Write) -> Result<()> {
    let config = examples::config()?;
    let (mut conn, session) = pg_stream_tokio::connect(&config).await?;
    the_session(out, &config, &session)?;
    typed_rows(out, &mut conn).await?;
    a_million_rows(out, &mut conn).await?;
    an_error_on_the_wire(out, &mut conn).await?;
    out.flush()?;
    conn.terminate().close().await?;
    Ok(())
}

fn the_session(out: &mut impl Write, config: &Config, session: &Session) -> Result<()> {
    heading(out, "The session")?;
    let version = session.parameters.get("server_version").unwrap_or("of unknown version");
    writeln!(out, "  server          PostgreSQL {version}")?;
    writeln!(out, "  protocol        {}", session.version)?;
    writeln!(out, "  user            {}", config.user)?;
    writeln!(out, "  authentication  {}", session.auth_method)?;
    Ok(())
}

const PLANETS: &str = "SELECT name, diameter, day, discovered
  FROM (VALUES ('Mercury', 4879, 4222.6::float8, NULL::date), ('Venus', 12104, 2802, NULL),
               ('Earth', 12756, 24, NULL), ('Mars', 6792, 24.7, NULL), ('Jupiter', 142984, 9.9, NULL),
               ('Saturn', 120536, 10.7, NULL), ('Uranus', 51118, 17.2, '1781-03-13'),
               ('Neptune', 49528, 16.1, '1846-09-23')) AS planet (name, diameter, day, discovered)
  WHERE diameter > $1 AND day < $2 ORDER BY diameter";

async fn typed_rows(out: &mut impl Write, conn: &mut Connection<Socket>) -> Result<()> {
    conn.parse(Statement("planets")).query(PLANETS).param_types(&[oid::INT4, oid::FLOAT8]).finish();
    conn.bind(Statement("planets"), Portal::UNNAMED)
        .result_formats(&[FormatCode::Binary])
        .finish((10_000, 100.0));
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;

    heading(out, "A prepared query: planets wider than 10,000 km with days under 100 h")?;
    writeln!(out, "  {:<8}  {:>13}  {:>9}  discovered", "planet", "diameter (km)", "day (h)")?;
    let mut columns = Columns::default();
    until_ready(conn, |message| {
        match message {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => {
                let (name, diameter, day, discovered): (&str, i32, f64, Option<Sql<NaiveDate>>) =
                    columns.decode(&row)?;
                let discovered = discovered.map_or("-".into(), |Sql(date)| date.to_string());
                writeln!(out, "  {name:<8}  {diameter:>13}  {day:>9.1}  {discovered}")?;
            }
            _ => {}
        }
        Ok(())
    })
    .await
}

const ROWS: i32 = 1_000_000;

async fn a_million_rows(out: &mut impl Write, conn: &mut Connection<Socket>) -> Result<()> {
    heading(out, "A million rows, every value decoded")?;
    // The progress bar appears on standard error, if standard error is a terminal.
    let style = ProgressStyle::with_template("  {bar:50} {human_pos} rows")?;
    let bar = ProgressBar::new(ROWS.unsigned_abs().into()).with_style(style);

    let sql = "SELECT id, id::int8 * id, 'row ' || id FROM (SELECT generate_series(1, $1) AS id) AS series";
    let begun = Instant::now();
    conn.parse(Statement::UNNAMED).query(sql).param_types(&[oid::INT4]).finish();
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).result_formats(&[FormatCode::Binary]).finish((ROWS,));
    conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0).sync().flush().await?;
    let mut columns = Columns::default();
    let mut answer = Answer::default();
    let (mut rows, mut bytes) = (0, 0);
    loop {
        let frame = conn.recv().await?;
        bytes += HEADER + frame.body.len();
        let message = frame.backend()?;
        answer.note(&message)?;
        match message {
            Backend::RowDescription(description) => columns = Columns::of_portal(&description),
            Backend::DataRow(row) => {
                let (_id, _square, _text): (i32, i64, &str) = columns.decode(&row)?;
                rows += 1;
                if rows % 10_000 == 0 {
                    bar.set_position(rows);
                }
            }
            Backend::ErrorResponse(error) => return Err(error.to_owned().into()),
            Backend::ReadyForQuery(_) => break,
            _ => {}
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();

    let per_second = HumanCount((rows as f64 / seconds) as u64);
    let megabytes = bytes as f64 / 1e6;
    writeln!(out, "  rows    {:>10}   {per_second:>10} a second", HumanCount(rows))?;
    writeln!(out, "  MB      {megabytes:>10.1}   {:>10.1} a second", megabytes / seconds)?;
    writeln!(out, "  s       {seconds:>10.2}")?;
    Ok(())
}

/// Executes a statement twice in one batch, with a Sync after each execution. The first execution fails with a division by zero. The server
/// then skips the messages up to the next Sync, and executes the messages after that Sync.
async fn an_error_on_the_wire(out: &mut impl Write, conn: &mut Connection<Socket>) -> Result<()> {
    heading(out, "On the wire: an error, and how the session goes on")?;
    conn.parse(Statement::UNNAMED)
        .query("SELECT 60 / (n - $1) FROM generate_series(1, 3) AS n")
        .param_types(&[oid::INT4])
        .finish();
    for zero_at in [2, 0] {
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((zero_at,));
    }

    // The batch is not sent yet. It is decoded here in the same way as the server will decode it.
    let mut sent = Inbox::new(Limits::FRONTEND);
    sent.extend(conn.outbox().batch());
    while let Some(frame) = sent.next()? {
        writeln!(out, "{}", frame.frontend()?.trace(Direction::Frontend))?;
    }
    conn.flush().await?;
    let mut answer = Answer::default();
    let mut syncs = 2;
    while syncs > 0 {
        let message = conn.recv().await?.backend()?;
        answer.note(&message)?;
        writeln!(out, "{}", message.trace(Direction::Backend))?;
        if matches!(message, Backend::ReadyForQuery(_)) {
            syncs -= 1;
        }
    }
    Ok(())
}

/// Prints a heading, and flushes the output.
fn heading(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "\n{text}\n{}\n", "-".repeat(text.len()))?;
    out.flush()
}
