//! Tests of the rows of a COPY with real servers: both directions, all formats, and failures of the server.

#[allow(dead_code, reason = "shared by several test programs, each of which uses only a part")]
mod support;

use pg_stream_tokio::pg_wire::backend::ServerError;
use pg_stream_tokio::pg_wire::copy::{
    CopyError, CopyErrorKind, CopyOptions, CopyReader, CopyWriter, ForceColumns, Header, LogVerbosity,
    OnError, OrDefault, RowFormat,
};
use pg_stream_tokio::pg_wire::session::NotIdle;
use pg_stream_tokio::pg_wire::{MessageCode, SqlState, TrackedConnection, TransactionStatus};
use pg_stream_tokio::{Columns, Connection, Error, PgProtocol, Socket};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use support::{Server, get_in, on_both, query, rows};

/// A row of the table of the tests.
type Row = (i32, Option<String>, Option<f64>, Option<Vec<u8>>, Option<bool>);

const NAMES: [&str; 5] = ["id", "note", "size", "bytes", "is\"set"];

async fn log_in(server: &Server) -> Connection<Socket> {
    get_in(&server.config("scram", "scram-secret")).await.0
}

async fn run(conn: &mut Connection<Socket>, sql: &str) -> Vec<String> {
    query(conn, sql).await.expect(sql)
}

/// Checks that the connection can be used.
async fn is_ready(conn: &mut Connection<Socket>) {
    assert_eq!(run(conn, "select 'ready'").await, ["ready"]);
}

/// Returns options for each COPY format. The special characters in the options also occur in the rows of the tests.
fn all_options() -> Vec<CopyOptions> {
    let (text, csv) = (CopyOptions::text, CopyOptions::csv);
    vec![
        text(),
        text().delimiter(b'|').null("NULL"),
        text().delimiter(b'-').header(Header::Present),
        text().delimiter(b'\'').null("\\0").header(Header::Match),
        text().delimiter(1).null("nothing"),
        csv(),
        csv().delimiter(b';').null("NULL").header(Header::Present),
        csv().delimiter(b'\t').quote(b'\'').header(Header::Match),
        csv().escape(b'\\').null("\\N"),
        csv().delimiter(b'1').quote(b'a').escape(b'e'),
        csv().force_quote(ForceColumns::All),
        csv().force_quote(ForceColumns::Columns(vec!["id".into(), "is\"set".into()])).header(Header::Present),
        CopyOptions::binary(),
    ]
}

fn test_rows() -> Vec<Row> {
    let notes = [
        "",
        "a",
        "tab\t",
        "line\nline",
        "return\r",
        "a\r\nb",
        "back\\slash",
        "\\.",
        "\\N",
        "\\0",
        "\"quoted\"",
        "it's",
        "a,b;c|d-e",
        "é €",
        " space ",
        "\x08\x0c\x0b\x01\x7f",
        "1",
        "-1",
        "''",
        "\"",
        "\\",
        "\\\\.",
        "nothing ",
        "NULL ",
    ];
    let sizes = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1e14,
        1e15,
        123456789012345680.0,
        1e-4,
        9.9e-5,
        1e300,
        5e-324,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1.0 / 3.0,
        2.5e-10,
        99999999999999.9,
        1e22,
        123.456,
    ];
    let mut rows = vec![(0, None, None, None, None)];
    for (at, note) in notes.into_iter().enumerate() {
        let id = rows.len() as i32 * if at % 2 == 0 { -1_000_003 } else { 1 };
        let bytes = (0..at as u8).map(|byte| byte.wrapping_mul(31)).collect();
        rows.push((id, Some(note.into()), sizes.get(at).copied(), Some(bytes), Some(at % 3 == 0)));
    }
    rows.push((i32::MAX, Some("x".repeat(100_000)), None, Some(vec![0xfe; 70_000]), None));
    rows.push((i32::MIN, Some("\n".repeat(1000)), Some(-2.5e-7), None, Some(false)));
    rows
}

/// Returns a new writer, the data of the COPY, and the rows in this data. A second writer with the same options has written the data.
fn with_suitable_rows(options: &CopyOptions) -> (CopyWriter, Vec<u8>, Vec<Row>) {
    let mut writer = CopyWriter::with_names(options, &NAMES).expect("the options are valid");
    let rows = test_rows();
    for row in &rows {
        writer.row(row).expect("written");
    }
    writer.finish().expect("finished");
    let data = writer.data().to_vec();
    (CopyWriter::with_names(options, &NAMES).expect("the options are valid"), data, rows)
}

async fn create(conn: &mut Connection<Socket>) {
    let sql = "create temp table rows (id int4, note text, size float8, bytes bytea, \"is\"\"set\" bool, \
               at int generated always as identity)";
    conn.query(sql).flush().await.expect("sent");
    conn.until_ready(|_| Ok::<_, Error>(())).await.expect("created");
}

/// Reads the rows of the table with SELECT.
async fn select(conn: &mut Connection<Socket>) -> Vec<Row> {
    conn.query("select id, note, size, bytes, \"is\"\"set\" from rows order by at")
        .flush()
        .await
        .expect("sent");
    let (mut columns, mut rows) = (Columns::default(), Vec::new());
    let done = conn.until_ready(|frame| {
        let message = frame.backend()?;
        columns.follow(&message).expect("described");
        if let pg_stream_tokio::backend::Backend::DataRow(row) = message {
            rows.push(columns.decode::<Row>(&row).expect("decoded"));
        }
        Ok::<_, Error>(())
    });
    done.await.expect("selected");
    rows
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn rows_are_copied_in_and_out_in_every_format() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        create(&mut conn).await;
        for options in all_options() {
            let (writer, data, rows) = with_suitable_rows(&options);
            run(&mut conn, "truncate rows").await;
            let columns = "(id, note, size, bytes, \"is\"\"set\")";
            let sql = format!("copy rows {columns} from stdin ({})", options.copy_from());
            let mut copy = conn.copy_in(&sql, writer).await.expect(&sql);
            for row in &rows {
                copy.row(row).await.expect("written");
            }
            let end = copy.finish().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!((end.rows, end.status), (rows.len() as u64, TransactionStatus::Idle), "{sql}");
            assert_eq!(select(&mut conn).await, rows, "{sql}");

            let query = "select id, note, size, bytes, \"is\"\"set\" from rows order by at";
            let sql = format!("copy ({query}) to stdout ({})", options.copy_to());
            let mut sent = Vec::new();
            conn.query(&sql).flush().await.expect("sent");
            let done = conn.until_ready(|frame| {
                if frame.code == MessageCode::COPY_DATA {
                    sent.extend_from_slice(frame.body);
                }
                Ok::<_, Error>(())
            });
            done.await.expect(&sql);
            let differs = sent.iter().zip(&data).position(|(sent, data)| sent != data);
            assert!(
                sent == data,
                "{sql}: the server sent other bytes at {differs:?}: {}",
                sent[differs.unwrap_or_default().saturating_sub(20)..]
                    .escape_ascii()
                    .to_string()
                    .split_at(100)
                    .0
            );

            let reader = || CopyReader::with_names(&options, &NAMES).expect("the options are valid");
            let mut received = Vec::new();
            let copy = conn.copy_out(&sql, reader()).await.expect(&sql);
            let end = copy
                .for_each(|row| {
                    received.push(row.decode::<Row>()?);
                    Ok::<_, Error>(())
                })
                .await
                .expect(&sql);
            assert_eq!(end.rows, rows.len() as u64, "{sql}");
            assert_eq!(received, rows, "{sql}");

            let mut copy = conn.copy_out(&sql, reader()).await.expect(&sql);
            let mut received = Vec::new();
            while let Some(row) = copy.row().await.expect(&sql) {
                received.push(row.decode::<Row>().expect("decoded"));
            }
            assert!(copy.row().await.expect("ended").is_none());
            assert_eq!(received, rows, "{sql}");

            let mut copy = conn.copy_out(&sql, reader()).await.expect(&sql);
            let mut received = Vec::new();
            while let Some(row) = copy.decode::<Row>().await.expect(&sql) {
                received.push(row);
            }
            assert_eq!(received, rows, "{sql}");
            is_ready(&mut conn).await;
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_value_like_the_null_string_or_the_end_marker_is_copied_as_the_value() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        let values = ["NULL", "\\.", "\\t", "\t", "", "\\N", "\\", "after"];
        for options in [
            CopyOptions::text().null("NULL"),
            CopyOptions::text().null("\\t"),
            CopyOptions::text().null("\\\\"),
            CopyOptions::text().null("\\N"),
            CopyOptions::csv(),
            CopyOptions::csv().null("NULL"),
            CopyOptions::csv().null("\\N").escape(b'\\'),
        ] {
            let options = match options.format() {
                RowFormat::Text => options.delimiter(b'|'),
                _ => options,
            };
            run(&mut conn, "drop table if exists notes").await;
            run(&mut conn, "create temp table notes (note text)").await;
            let sql = format!("copy notes from stdin ({})", options.copy_from());
            let mut copy = conn.copy_in(&sql, CopyWriter::new(&options).expect("valid")).await.expect(&sql);
            for value in values {
                copy.row(&(value,)).await.expect("written");
            }
            assert_eq!(copy.finish().await.expect(&sql).rows, values.len() as u64, "{sql}");
            assert_eq!(run(&mut conn, "select note from notes order by ctid").await, values, "{sql}");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_server_rejects_the_options_that_the_check_rejects() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        let (text, csv, binary) = (CopyOptions::text, CopyOptions::csv, CopyOptions::binary);
        for options in [
            text(),
            csv(),
            binary(),
            binary().delimiter(b','),
            binary().null(""),
            binary().header(Header::Present),
            binary().quote(b'"'),
            text().quote(b'"'),
            text().escape(b'"'),
            text().force_quote(ForceColumns::All),
            text().delimiter(b'a'),
            text().delimiter(b'A'),
            text().delimiter(b'0'),
            text().delimiter(b'.'),
            text().delimiter(b'\\'),
            text().delimiter(b'\n'),
            text().delimiter(b'N'),
            text().null("a\nb"),
            text().null("a\tb"),
            text().null("").header(Header::Present),
            csv().delimiter(b'a'),
            csv().delimiter(b'"'),
            csv().quote(b','),
            csv().null("a\"b"),
            csv().null("a,b"),
            csv().null("\r"),
            csv().escape(b'\\').quote(b'\''),
        ] {
            let sql = format!("copy (select 1) to stdout ({})", options.copy_to());
            let accepted = query(&mut conn, &sql).await;
            assert_eq!(accepted.is_ok(), options.check().is_ok(), "{sql}: {accepted:?}");
        }
    });
}

/// Runs `COPY … FROM STDIN` with these options and this data. Returns the server's error.
async fn load(
    conn: &mut Connection<Socket>,
    table: &str,
    options: &CopyOptions,
    data: &[u8],
) -> Result<(), ServerError> {
    let sql = format!("copy {table} from stdin ({})", options.copy_from());
    conn.query(&sql).copy_data(data).copy_done().flush().await.expect("sent");
    rows(conn).await.map(drop)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_server_rejects_the_options_of_copy_from_that_the_check_rejects() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table two (a text, b text default 'x')").await;
        let (text, csv, binary) = (CopyOptions::text, CopyOptions::csv, CopyOptions::binary);
        let one = || ForceColumns::Columns(vec!["b".into()]);
        // Each number is the oldest major version of PostgreSQL that knows the option.
        for (since, options) in [
            (15, csv().force_null(one())),
            (15, csv().force_not_null(one()).force_null(one())),
            (15, text().force_null(one())),
            (15, binary().force_not_null(one())),
            (17, csv().force_null(ForceColumns::All).force_not_null(ForceColumns::All)),
            (15, csv().force_quote(one())),
            (15, text().encoding("LATIN1")),
            (15, csv().encoding("utf-8").freeze(false)),
            (16, text().default_string("\\D")),
            (16, text().default_string("")),
            (16, text().default_string("it's")),
            (16, csv().default_string("\\D")),
            (16, csv().null("x").default_string("")),
            (16, csv().default_string("")),
            (16, text().default_string("\\N")),
            (16, text().default_string("a\tb")),
            (16, text().default_string("a\nb")),
            (16, csv().default_string("a\"b")),
            (16, csv().default_string("a,b")),
            (16, binary().default_string("x")),
            (17, text().on_error(OnError::Ignore)),
            (17, binary().on_error(OnError::Ignore)),
            (17, csv().on_error(OnError::Ignore).log_verbosity(LogVerbosity::Verbose)),
            (17, text().log_verbosity(LogVerbosity::Verbose)),
            (18, text().log_verbosity(LogVerbosity::Silent)),
            (18, text().on_error(OnError::Ignore).reject_limit(1)),
            (18, text().on_error(OnError::Ignore).reject_limit(i64::MAX as u64)),
            (18, text().on_error(OnError::Ignore).reject_limit(u64::MAX)),
            (18, text().on_error(OnError::Ignore).reject_limit(0)),
            (18, text().reject_limit(1)),
        ] {
            if server.major < since {
                continue;
            }
            // Text and CSV data may be empty. Binary data must have at least a header and a trailer.
            let data = if options.format() == RowFormat::Binary { &EMPTY_BINARY[..] } else { b"" };
            let loaded = load(&mut conn, "two", &options, data).await;
            assert_eq!(loaded.is_ok(), options.check().is_ok(), "{}: {loaded:?}", options.copy_from());
        }
        // COPY FREEZE is allowed here, because the same transaction has created the table.
        run(&mut conn, "begin; create table frozen (a text, b text)").await;
        let frozen = CopyOptions::text().freeze(true);
        load(&mut conn, "frozen", &frozen, b"a\tb\n").await.expect("loaded");
        run(&mut conn, "rollback").await;
        let error = load(&mut conn, "two", &frozen, b"a\tb\n").await.unwrap_err();
        assert!(error.to_string().contains("COPY FREEZE"), "{error}");
    });
}

/// Data in binary format without rows.
const EMPTY_BINARY: [u8; 21] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff";

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_reader_finds_null_and_defaults_as_the_server_does() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table two (a text, b text default 'the default')").await;
        let (text, csv) = (CopyOptions::text, CopyOptions::csv);
        let one = || ForceColumns::Columns(vec!["b".into()]);
        let data = "x,x\n,\n\"\",\"\"\n\"x\",\"x\"\nN,N\n\"N\",\"N\"\n\"x\"\"x\",x\"\"\n";
        for (since, options, data) in [
            (15, csv(), data),
            (15, csv().force_null(one()), data),
            (15, csv().force_not_null(one()), data),
            (15, csv().force_null(one()).force_not_null(one()), data),
            (15, csv().null("N").force_null(one()).force_not_null(one()), data),
            (15, csv().null("xx").escape(b'x').force_null(one()), "\"xxxx\",\"xxxx\"\n"),
            (17, csv().force_null(ForceColumns::All), data),
            (17, csv().null("x").force_not_null(ForceColumns::All), data),
            (16, csv().null("N").default_string("D"), "x,D\nD x,\"D\"\nN,\"N\"\nx,D \n"),
            (16, csv().null("N").default_string(""), "x,\nx,\"\"\n"),
            (
                16,
                csv().default_string("D").force_null(one()).force_not_null(one()),
                "x,D\nx,\"D\"\nx,\nx,\"\"\n",
            ),
            (16, text().default_string("\\D"), "x\t\\D\nx\t\\\\D\nx\tD\nx\t\\N\n\\N\t\\D\n"),
            (16, text().default_string("D"), "x\tD\nx\t\\D\nx\t\\104\nx\t\\N\n"),
            (16, text().default_string(""), "x\t\nx\t\\N\nx\ty\n"),
        ] {
            if server.major < since {
                continue;
            }
            run(&mut conn, "truncate two").await;
            let sql = options.copy_from().to_string();
            load(&mut conn, "two", &options, data.as_bytes())
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            let select =
                "select coalesce(a, '(null)') || '|' || coalesce(b, '(null)') from two order by ctid";
            let stored = run(&mut conn, select).await;

            let mut reader = CopyReader::with_names(&options, &["a", "b"]).expect("the options are valid");
            let (mut rest, mut read) = (data.as_bytes(), Vec::new());
            while let Some(row) = reader.row(&mut rest).expect("well-formed") {
                let field = |index| match row.bytes(index) {
                    _ if row.is_default(index) => "the default".into(),
                    bytes => String::from_utf8(bytes.unwrap_or(b"(null)").to_vec()).expect("UTF-8"),
                };
                read.push(format!("{}|{}", field(0), field(1)));
            }
            assert_eq!(read, stored, "{sql}");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_default_string_skipped_rows_and_another_encoding_are_supported() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table two (a int4, b text default 'x')").await;
        if server.major >= 16 {
            for options in [CopyOptions::text().default_string("D"), CopyOptions::csv().default_string("D")] {
                run(&mut conn, "truncate two").await;
                let sql = format!("copy two from stdin ({})", options.copy_from());
                let mut copy = conn.copy_in(&sql, writer(&options)).await.expect(&sql);
                copy.row(&(1, OrDefault::<&str>::Default)).await.expect("written");
                copy.row(&(2, OrDefault::Value("D"))).await.expect("written");
                copy.row(&(3, None::<&str>)).await.expect("written");
                assert_eq!(copy.finish().await.expect("copied").rows, 3);
                let stored = run(&mut conn, "select coalesce(b, 'null') from two order by a").await;
                assert_eq!(stored, ["x", "D", "null"], "{sql}");
            }
        }
        if server.major >= 18 {
            let options = CopyOptions::text().on_error(OnError::Ignore).reject_limit(1);
            for (invalid, is_accepted) in [(1, true), (2, false)] {
                let sql = format!("copy two from stdin ({})", options.copy_from());
                let mut copy = conn.copy_in(&sql, writer(&options)).await.expect(&sql);
                copy.row(&("4", "a")).await.expect("written");
                for _ in 0..invalid {
                    copy.row(&("four", "a")).await.expect("written");
                }
                let end = copy.finish().await;
                assert_eq!(end.as_ref().is_ok_and(|end| end.rows == 1), is_accepted, "{end:?}");
            }
        }

        let options = CopyOptions::text().encoding("LATIN1");
        let sql = format!("copy (select 7, 'é'::text) to stdout ({})", options.copy_to());
        let mut copy = conn.copy_out(&sql, reader(&options)).await.expect(&sql);
        let row = copy.row().await.expect("received").expect("a row");
        assert_eq!((row.get::<i32>(0).expect("ASCII"), row.bytes(1)), (7, Some(&b"\xe9"[..])));
        assert!(matches!(row.get::<&str>(1).unwrap_err().kind(), CopyErrorKind::ValueEncoding(_)));
        assert!(copy.row().await.expect("ended").is_none());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_failure_of_the_server_ends_the_copy_early() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table keys (id int4 primary key, note text)").await;
        for (options, state) in [
            (CopyOptions::binary(), SqlState::UNIQUE_VIOLATION),
            (CopyOptions::text(), SqlState::UNIQUE_VIOLATION),
            (CopyOptions::csv(), SqlState::UNIQUE_VIOLATION),
        ] {
            let sql = format!("copy keys from stdin ({})", options.copy_from());
            let mut copy = conn.copy_in(&sql, CopyWriter::new(&options).expect("valid")).await.expect(&sql);
            let total = 5_000_000;
            let mut failure = None;
            for id in 0..total {
                // Row 10,000 repeats the key 0, so the server rejects the COPY.
                let id = if id == 10_000 { 0 } else { id };
                if let Err(error) = copy.row(&(id, "a note of some length")).await {
                    failure = Some(error);
                    break;
                }
            }
            let Some(Error::Server(error)) = failure else { panic!("{failure:?}") };
            assert_eq!(error.sqlstate(), Some(state), "{error}");
            assert!(copy.rows() < total as u64 / 2, "{} rows were written before the error", copy.rows());
            let again = copy.row(&(1, "x")).await.unwrap_err();
            assert_eq!(again.to_string(), "COPY: the data has already ended");
            assert!(!again.is_fatal());
            drop(copy);
            assert_eq!(run(&mut conn, "select count(*) from keys").await, ["0"]);
        }

        // The text "one" is no number, so the server rejects the second row. `finish` sends this row, and returns the server's error.
        let text = CopyOptions::text();
        let mut copy = conn.copy_in("copy keys from stdin", writer(&text)).await.expect("begun");
        copy.row(&("1", "a")).await.expect("written");
        copy.row(&("one", "a")).await.expect("written");
        let Err(Error::Server(error)) = copy.finish().await else {
            panic!("the server accepts a number only")
        };
        assert_eq!(error.sqlstate(), Some(SqlState::INVALID_TEXT_REPRESENTATION));
        is_ready(&mut conn).await;

        // The server rejects the row. The client sends no further row, so `flush` returns the server's error.
        let mut copy = conn.copy_in("copy keys from stdin", writer(&text)).await.expect("begun");
        copy.row(&("one", "a")).await.expect("written");
        let error = loop {
            if let Err(error) = copy.flush().await {
                break error;
            }
            tokio::task::yield_now().await;
        };
        assert!(matches!(error, Error::Server(_)), "{error}");
        assert!(matches!(copy.finish().await, Err(Error::Copy(_))));
        is_ready(&mut conn).await;
    });
}

fn writer(options: &CopyOptions) -> CopyWriter {
    CopyWriter::new(options).expect("the options are valid")
}

fn reader(options: &CopyOptions) -> CopyReader {
    CopyReader::new(options).expect("the options are valid")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_copy_that_the_caller_fails_leaves_the_connection_ready() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table keys (id int4 primary key, note text)").await;
        let text = CopyOptions::text();

        let mut copy = conn.copy_in("copy keys from stdin", writer(&text)).await.expect("begun");
        copy.row(&(1, "a")).await.expect("written");
        copy.fail("no more").await.expect("the server confirms");
        assert_eq!(run(&mut conn, "select count(*) from keys").await, ["0"]);

        // A row that cannot be written is not sent, and the COPY continues.
        let mut copy = conn.copy_in("copy keys from stdin", writer(&text)).await.expect("begun");
        copy.row(&(1, "a")).await.expect("written");
        let error = copy.row(&(2, "a\0b")).await.unwrap_err();
        assert!(error.to_string().starts_with("COPY row 2, column 1: "), "{error}");
        let error = copy.row(&(2,)).await.unwrap_err();
        assert_eq!(error.to_string(), "COPY row 2: expected 2 fields, found 1");
        copy.row(&(3, "c")).await.expect("written");
        assert_eq!(copy.finish().await.expect("copied").rows, 2);

        // Dropping a CopyIn cancels the COPY. The next call on the connection returns the server's error.
        let mut copy = conn.copy_in("copy keys from stdin", writer(&text)).await.expect("begun");
        copy.row(&(4, "d")).await.expect("written");
        drop(copy);
        conn.flush().await.expect("sent");
        let Err(Error::Server(error)) = conn.until_ready(|_| Ok::<_, Error>(())).await else {
            panic!("an error")
        };
        assert_eq!(error.sqlstate(), Some(SqlState::QUERY_CANCELED));
        assert_eq!(run(&mut conn, "select count(*) from keys").await, ["2"]);

        // `copy_in` rejects each of these statements: no COPY, a COPY in the other direction, an empty statement, and a COPY in another
        // format.
        for (sql, message) in [
            ("select 1", "COPY: the server did not send CopyInResponse, the reply to COPY FROM STDIN"),
            (
                "copy keys to stdout",
                "COPY: the server did not send CopyInResponse, the reply to COPY FROM STDIN",
            ),
            ("", "COPY: the server did not send CopyInResponse, the reply to COPY FROM STDIN"),
            (
                "copy keys from stdin (format binary)",
                "COPY: the format of the statement differs from the format of the options",
            ),
        ] {
            let error = conn.copy_in(sql, writer(&text)).await.map(drop).unwrap_err();
            assert_eq!(error.to_string(), message, "{sql}");
            is_ready(&mut conn).await;
        }
        let error =
            conn.copy_in("copy keys from stdin", writer(&text).columns(3)).await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "COPY: expected 2 fields, found 3");
        is_ready(&mut conn).await;
        let error = conn.copy_in("copy nothing from stdin", writer(&text)).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::Server(_)), "{error}");
        is_ready(&mut conn).await;
        let copy =
            conn.copy_in("copy keys from stdin; copy keys from stdin", writer(&text)).await.expect("begun");
        assert!(copy.finish().await.is_err());
        is_ready(&mut conn).await;
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_copy_out_that_fails_leaves_the_connection_ready() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        let text = CopyOptions::text();
        for (sql, message) in [
            ("select 1", "COPY: the server did not send CopyOutResponse, the reply to COPY TO STDOUT"),
            (
                "create temp table keys (id int4); copy keys from stdin",
                "COPY: the server did not send CopyOutResponse, the reply to COPY TO STDOUT",
            ),
            (
                "copy (select 1) to stdout (format binary)",
                "COPY: the format of the statement differs from the format of the options",
            ),
        ] {
            let error = conn.copy_out(sql, reader(&text)).await.map(drop).unwrap_err();
            let expected = matches!(&error, Error::Server(_)) || error.to_string() == message;
            assert!(expected, "{sql}: {error}");
            is_ready(&mut conn).await;
        }

        // The server divides by zero in row 50,000, after it has sent 49,999 rows.
        let sql = "copy (select 100 / (50000 - n) from generate_series(1, 100000) n) to stdout";
        let copy = conn.copy_out(sql, reader(&text)).await.expect("begun");
        let mut rows = 0;
        let end = copy.for_each(|_| {
            rows += 1;
            Ok::<_, Error>(())
        });
        let Err(Error::Server(error)) = end.await else { panic!("the server divides by zero") };
        assert_eq!((error.sqlstate(), rows), (Some(SqlState::DIVISION_BY_ZERO), 49_999));
        let mut copy = conn.copy_out(sql, reader(&text)).await.expect("begun");
        let mut rows = 0;
        let error = loop {
            match copy.row().await {
                Ok(Some(_)) => rows += 1,
                Ok(None) => panic!("the server divides by zero"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Server(_)), "{error}");
        assert_eq!(rows, 49_999);
        is_ready(&mut conn).await;

        // In row 7, the caller's function returns an error: "x" is no number.
        let sql = "copy (select n, 'x' from generate_series(1, 100000) n) to stdout";
        let copy = conn.copy_out(sql, reader(&text)).await.expect("begun");
        let end = copy.for_each(|row| {
            if row.number() == 7 { Ok::<_, Error>(row.get::<i32>(1).map(drop)?) } else { Ok(()) }
        });
        let Err(Error::Copy(error)) = end.await else { panic!("x is no number") };
        assert_eq!((error.row(), error.column()), (Some(7), Some(1)), "{error}");
        is_ready(&mut conn).await;

        // The options of the reader differ from the options of the statement.
        let wrong = reader(&CopyOptions::text().delimiter(b'|')).columns(2);
        let mut copy = conn.copy_out(sql, wrong).await.expect("begun");
        let Err(Error::Copy(error)) = copy.row().await.map(|row| row.is_some()) else { panic!("one field") };
        assert!(matches!(error.kind(), CopyErrorKind::Count { fields: 1, columns: 2 }), "{error}");
        let again: Result<bool, Error> = copy.row().await.map(|row| row.is_some());
        assert!(again.is_err());
        is_ready(&mut conn).await;

        // `copy_out` accepts one COPY statement only, so two COPY statements in one string are an error.
        let twice = "copy (select 1) to stdout; copy (select 2) to stdout";
        let copy = conn.copy_out(twice, reader(&text)).await.expect("begun");
        assert!(matches!(copy.for_each(|_| Ok::<_, Error>(())).await, Err(Error::Copy(_))));
        is_ready(&mut conn).await;

        // The CopyOut is dropped after one row.
        let mut copy = conn.copy_out(sql, reader(&text)).await.expect("begun");
        assert!(copy.row().await.expect("a row").is_some());
        drop(copy);
        conn.until_ready(|_| Ok::<_, Error>(())).await.expect("the rest is dropped");
        is_ready(&mut conn).await;

        let unnamed: Result<CopyReader, CopyError> = CopyReader::new(&text.header(Header::Match));
        assert!(unnamed.is_err());
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_second_command_a_long_reason_and_a_long_row_are_accepted() {
    on_both(async |server| {
        let mut conn = log_in(server).await;
        run(&mut conn, "create temp table notes (note text)").await;
        let text = CopyOptions::text();

        let sql = "copy notes from stdin; begin";
        let mut copy = conn.copy_in(sql, writer(&text)).await.expect("begun");
        copy.row(&("a",)).await.expect("written");
        let end = copy.finish().await.expect("copied");
        assert_eq!((end.rows, end.status), (1, TransactionStatus::InTransaction));
        run(&mut conn, "commit").await;
        let sql = "copy notes to stdout; insert into notes values ('b'), ('c')";
        let copy = conn.copy_out(sql, reader(&text)).await.expect("begun");
        assert_eq!(copy.for_each(|_| Ok::<_, Error>(())).await.expect("copied").rows, 1);

        for reason in ["é".repeat(6000), "no\0more".into()] {
            let mut copy = conn.copy_in("copy notes from stdin", writer(&text)).await.expect("begun");
            copy.row(&("d",)).await.expect("written");
            copy.fail(&reason).await.expect("the server confirms");
            is_ready(&mut conn).await;
        }

        let note = "é".repeat(2_000_000);
        let mut copy = conn.copy_in("copy notes from stdin", writer(&text)).await.expect("begun");
        copy.row(&(&note[..],)).await.expect("written");
        assert_eq!(copy.finish().await.expect("copied").rows, 1);
        let sql = "select count(*) from notes where note = repeat('é', 2000000)";
        assert_eq!(run(&mut conn, sql).await, ["1"]);

        // After the future of `copy_in` is dropped, the caller must send a CopyFail, because the COPY may have begun. After a statement
        // other than COPY FROM STDIN, the server ignores the CopyFail.
        for sql in ["copy notes from stdin", "copy notes to stdout", "select 1"] {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            if let Poll::Ready(Err(_)) = pin!(conn.copy_in(sql, writer(&text))).poll(&mut cx) {
                // The server rejected the statement before the end of the first poll, so the connection is ready.
                continue;
            }
            conn.copy_fail("abandoned").flush().await.expect("sent");
            match conn.until_ready(|_| Ok::<_, Error>(())).await {
                Err(Error::Server(error)) => assert_eq!(error.sqlstate(), Some(SqlState::QUERY_CANCELED)),
                ended => assert!(ended.is_ok() && sql != "copy notes from stdin", "{sql}: {ended:?}"),
            }
            is_ready(&mut conn).await;
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_tracked_connection_is_idle_after_every_end_of_a_copy() {
    on_both(async |server| {
        let mut conn = TrackedConnection::new(log_in(server).await);
        execute(&mut conn, "create temp table keys (id int4 primary key, note text)").await;
        let (text, note) = (CopyOptions::text(), "x".repeat(1000));
        let (into, out) = ("copy keys from stdin", "copy keys to stdout");

        let mut copy = conn.copy_in(into, writer(&text)).await.expect("begun");
        for id in 0..5_000 {
            copy.row(&(id, &note[..])).await.expect("written");
        }
        assert_eq!(copy.finish().await.expect("copied").rows, 5_000);
        assert_eq!(conn.check_idle(), Ok(()));
        let copy = conn.copy_out(out, reader(&text)).await.expect("begun");
        assert_eq!(copy.for_each(|_| Ok::<_, Error>(())).await.expect("copied").rows, 5_000);
        assert_eq!(conn.check_idle(), Ok(()));

        execute(&mut conn, "begin").await;
        let mut copy = conn.copy_in(into, writer(&text)).await.expect("begun");
        copy.row(&(0, "a")).await.expect("written");
        let error = copy.finish().await.unwrap_err();
        assert!(matches!(error, Error::Server(_)), "{error}");
        assert_eq!(conn.check_idle(), Err(NotIdle::Transaction(TransactionStatus::Failed)));
        conn.recover().await.expect("recovered");
        assert_eq!(conn.check_idle(), Ok(()));

        let mut copy = conn.copy_in(into, writer(&text)).await.expect("begun");
        copy.row(&(-1, "a")).await.expect("written");
        copy.fail("no more").await.expect("the server confirms");
        assert_eq!(conn.check_idle(), Ok(()));

        // Each attempt drops its futures after one more poll than the previous attempt, until a COPY succeeds. The column `id` has no
        // unique index: if an attempt is dropped after the CopyDone, the server keeps the rows of this attempt, and the next attempt
        // inserts rows with the same ids.
        execute(&mut conn, "create temp table notes (id int4, note text)").await;
        for polls in 0.. {
            let mut all = Box::pin(async {
                let mut copy = conn.copy_in("copy notes from stdin", writer(&text)).await?;
                for id in 0..2_000 {
                    copy.row(&(id, &note[..])).await?;
                }
                copy.finish().await
            });
            let ended = polled(polls, &mut all).await;
            drop(all);
            conn.recover().await.expect("recovered");
            assert_eq!(conn.check_idle(), Ok(()), "after {polls} polls");
            if let Some(end) = ended {
                assert_eq!(end.expect("copied").rows, 2_000);
                break;
            }
        }
        for polls in 0..20 {
            let mut all = Box::pin(async {
                let mut copy = conn.copy_out(out, reader(&text)).await?;
                while copy.row().await?.is_some() {}
                Ok::<_, Error>(())
            });
            let _ = polled(polls, &mut all).await;
            drop(all);
            conn.recover().await.expect("recovered");
            assert_eq!(conn.check_idle(), Ok(()), "after {polls} polls");
        }
        let copy = conn.copy_out(out, reader(&text)).await.expect("begun");
        assert_eq!(copy.for_each(|_| Ok::<_, Error>(())).await.expect("copied").rows, 5_000);
        assert_eq!(conn.check_idle(), Ok(()));
    });
}

/// Runs a statement on a tracked connection.
async fn execute(conn: &mut TrackedConnection<Socket>, sql: &str) {
    conn.query(sql).flush().await.expect("sent");
    conn.until_ready(|_| Ok::<_, Error>(())).await.expect(sql);
}

/// Polls a future until the future is ready or has been polled `polls` times. The bound `Send` checks that a task on any thread can run the
/// future.
async fn polled<F: Future + Send + Unpin>(polls: u32, future: &mut F) -> Option<F::Output> {
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        Pin::new(&mut *future).poll(cx).map(Some)
    })
    .await
}
