//! A span of `tracing` for each request. The fields of a span are the message, the SQL, the number of rows, the SQLSTATE and the duration.
//!
//! `cargo run -p examples --bin spans -- postgres://postgres@localhost/postgres`
//!
//! To use spans in your program, copy [`Spans`], and change the fields that it records.

use std::collections::VecDeque;
use std::error::Error;

use pg_stream_tokio::{Config, MessageCode, PgProtocol, Portal, Statement, connect};
use pg_wire::frontend::Frontend;
use pg_wire::session::{Observer, Reply};
use pg_wire::{Frame, Message, TrackedConnection};
use tracing::{Span, field, info, info_span};
use tracing_subscriber::fmt::format::FmtSpan;

/// Opens a span when a request is sent, and closes the span when the last reply to the request arrives.
#[derive(Default)]
struct Spans(VecDeque<Request>);

/// A request whose last reply has not arrived yet, with its open span.
struct Request {
    number: u64,
    span: Span,
    rows: u64,
}

impl Observer for Spans {
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>) {
        // CopyDone and CopyFail belong to the request that started the COPY, and have no reply of their own. So they open no span.
        let (Some(number), Ok(message)) = (request, frame.frontend()) else { return };
        let sql = match message {
            Frontend::CopyDone(_) | Frontend::CopyFail(_) => return,
            Frontend::Query(query) => Some(query.sql),
            Frontend::Parse(parse) => Some(parse.sql),
            _ => None,
        };
        let span = info_span!(
            "request",
            kind = message.name(),
            sql = sql.map(|sql| sql.to_string()),
            rows = field::Empty,
            sqlstate = field::Empty,
            discarded = field::Empty,
        );
        self.0.push_back(Request { number, span, rows: 0 });
    }

    fn received(&mut self, frame: Frame<'_>, reply: Option<Reply>) {
        let Some(reply) = reply else {
            info!(code = ?frame.code, "a message without a request");
            return;
        };
        // After an error, the server discards requests up to the next Sync. No reply to these requests will arrive, so their spans end
        // here.
        while self.0.front().is_some_and(|request| request.number < reply.number)
            && let Some(request) = self.0.pop_front()
        {
            request.span.record("discarded", true);
        }
        let Some(request) = self.0.front_mut() else { return };
        match frame.code {
            MessageCode::DATA_ROW => request.rows += 1,
            MessageCode::ERROR_RESPONSE => {
                let state = frame.decode::<pg_wire::backend::ErrorResponse<'_>>();
                let state = state.ok().and_then(|error| error.fields.sqlstate());
                request.span.record("sqlstate", state.map(|state| state.to_string()));
            }
            _ => {}
        }
        if reply.last {
            request.span.record("rows", request.rows);
            self.0.pop_front();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Writes a line to standard output when a span ends.
    tracing_subscriber::fmt().with_span_events(FmtSpan::CLOSE).without_time().with_ansi(false).init();

    let url = std::env::args().nth(1).or_else(|| std::env::var("DATABASE_URL").ok());
    let config: Config = url.ok_or("no connection string: give one, or set DATABASE_URL")?.parse()?;
    let (conn, _) = connect(&config).await?;
    let mut conn = TrackedConnection::new(conn).observe(Spans::default());

    conn.query("select generate_series(1, 3)");
    conn.parse(Statement::UNNAMED).query("select 1 / 0").finish();
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync(());
    conn.flush().await?;
    conn.until_ready(|_| Ok::<_, pg_wire::Error>(())).await?;
    if let Err(error) = conn.until_ready(|_| Ok::<_, pg_wire::Error>(())).await {
        println!("{error}");
    }
    Ok(())
}
