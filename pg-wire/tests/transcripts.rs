//! Tests of whole conversations. Each test runs a client or a server against a peer that follows a transcript.

use std::thread;

use pg_wire::backend::{Backend, CommandComplete, EmptyQueryResponse, ReadyForQuery};
use pg_wire::frontend::Frontend;
use pg_wire::testing::{End, Transcript, block_on, duplex};
use pg_wire::{
    Connection, Direction, Error, FormatCode, Limits, MessageCode, PgProtocol, Portal, Statement,
    TransactionStatus, client::PutMessage,
};

/// Runs a client or a server (`ours`) against a peer that follows the transcript. Panics with the error of the peer, or with the error of
/// `ours` if the peer has no error.
#[track_caller]
fn converse(
    transcript: &str,
    peer: Direction,
    ours: impl AsyncFnOnce(&mut Connection<End>) -> Result<(), Error>,
) {
    let transcript: Transcript = transcript.parse().unwrap_or_else(|error| panic!("{error}"));
    let (theirs, near) = match peer {
        Direction::Frontend => (Limits::BACKEND, Limits::FRONTEND),
        Direction::Backend => (Limits::FRONTEND, Limits::BACKEND),
    };
    let (end, far) = duplex();
    let playing = thread::spawn(move || block_on(transcript.play(peer, &mut Connection::new(far, theirs))));
    let mut conn = Connection::new(end, near);
    let held = block_on(ours(&mut conn));
    drop(conn);
    playing.join().expect("no panic").unwrap_or_else(|error| panic!("{error}"));
    held.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the traces of all messages up to and including the next ReadyForQuery.
async fn until_ready(conn: &mut Connection<End>) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    loop {
        let frame = conn.recv().await?;
        lines.push(pg_wire::Message::trace(&frame.backend()?, Direction::Backend).to_string());
        if frame.code == MessageCode::READY_FOR_QUERY {
            return Ok(lines);
        }
    }
}

#[test]
fn a_simple_query_can_have_several_statements() {
    let transcript = r#"
        F Query "select 1 as one; select null, 'two
lines'; "
        B RowDescription 1 "one" 0 0 23 4 -1 0
        B DataRow 1 1 '1'
        B CommandComplete "SELECT 1"
        B RowDescription 2 "?column?" 0 0 25 -1 -1 0 "?column?" 0 0 25 -1 -1 0
        B DataRow 2 -1 9 'two\x0alines'
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
        F Query ""
        B EmptyQueryResponse
        B ReadyForQuery I
        F Terminate
        F close
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        conn.query("select 1 as one; select null, 'two\nlines'; ").flush().await?;
        let mut values = Vec::new();
        loop {
            match conn.recv().await?.backend()? {
                Backend::DataRow(row) => {
                    for value in row.values {
                        values.push(value?.map(|value| String::from_utf8_lossy(value).into_owned()));
                    }
                }
                Backend::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        assert_eq!(values, [Some("1".into()), None, Some("two\nlines".into())]);
        conn.query("").flush().await?;
        let lines = until_ready(conn).await?;
        assert_eq!(lines, ["B\t4\tEmptyQueryResponse", "B\t5\tReadyForQuery\t I"]);
        conn.terminate().close().await
    });
}

#[test]
fn after_an_error_in_a_pipeline_the_server_skips_to_the_next_sync() {
    let transcript = r#"
        # The client sends all of these messages before the first answer.
        F Parse "div" "select $1 / $2" 2 23 23
        F Bind "" "div" 1 1 2 4 '\x00\x00\x00\x06' 4 '\x00\x00\x00\x03' 1 1
        F Describe P ""
        F Execute "" 0
        F Bind "" "div" 1 1 2 4 '\x00\x00\x00\x01' 4 '\x00\x00\x00\x00' 1 1
        F Execute "" 0
        F Bind "" "div" 1 1 2 4 '\x00\x00\x00\x08' 4 '\x00\x00\x00\x02' 1 1
        F Execute "" 0
        F Sync
        F Bind "" "div" 1 1 2 4 '\x00\x00\x00\x09' 4 '\x00\x00\x00\x03' 1 1
        F Execute "" 0
        F Sync

        B ParseComplete
        B BindComplete
        B RowDescription 1 "?column?" 0 0 23 4 -1 1
        B DataRow 1 4 '\x00\x00\x00\x02'
        B CommandComplete "SELECT 1"
        B BindComplete
        B flush
        B ErrorResponse S "ERROR" V "ERROR" C "22012" M "division by zero" F "int.c" L "841" R "int4div" \x00
        # The server sends no answer to the messages between the error and the first Sync.
        B ReadyForQuery I
        B BindComplete
        B DataRow 1 4 '\x00\x00\x00\x03'
        B CommandComplete "SELECT 1"
        B ReadyForQuery I
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        let div = Statement("div");
        conn.parse(Statement("div")).param_types(&[23, 23]).query("select $1 / $2").finish();
        let binary = &[FormatCode::Binary];
        conn.bind(div, Portal::UNNAMED).result_formats(binary).finish((6i32, 3i32));
        conn.describe_portal(Portal::UNNAMED).execute(Portal::UNNAMED, 0);
        for (dividend, divisor) in [(1, 0), (8, 2)] {
            conn.bind(div, Portal::UNNAMED).result_formats(binary).execute((dividend, divisor));
        }
        conn.sync()
            .bind(div, Portal::UNNAMED)
            .result_formats(binary)
            .execute_and_sync((9, 3))
            .flush()
            .await?;
        let first = until_ready(conn).await?;
        assert_eq!(first.iter().filter(|line| line.contains("DataRow")).count(), 1, "{first:#?}");
        assert!(first.iter().any(|line| line.contains("division by zero")), "{first:#?}");
        let second = until_ready(conn).await?;
        assert_eq!(second[1], "B\t14\tDataRow\t 1 4 '\\x00\\x00\\x00\\x03'");
        Ok(())
    });
}

#[test]
fn data_of_a_copy_is_sent_and_received() {
    let transcript = r#"
        F Query "copy t from stdin"
        B CopyInResponse \x00 2 0 0
        F CopyData '1\x09one\x0a2\x09'
        F CopyData 'two\x0a'
        F CopyDone
        B CommandComplete "COPY 2"
        B ReadyForQuery I

        F Query "copy t from stdin"
        B CopyInResponse \x00 2 0 0
        F CopyData '3\x09'
        F CopyFail "changed my mind"
        B ErrorResponse S "ERROR" V "ERROR" C "57014" M "COPY from stdin failed: changed my mind" \x00
        B ReadyForQuery I

        F Query "copy t to stdout (format binary)"
        B CopyOutResponse \x01 2 1 1
        B CopyData 'PGCOPY\x0a\xff\x0d\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00'
        B CopyData '\x00\x02\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x03one'
        B CopyData '\xff\xff'
        B CopyDone
        B CommandComplete "COPY 1"
        B ReadyForQuery I
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        conn.query("copy t from stdin").flush().await?;
        assert_eq!(conn.recv().await?.code, MessageCode::COPY_IN_RESPONSE);
        conn.copy_data(b"1\tone\n2\t").copy_data(b"two\n").copy_done().flush().await?;
        assert_eq!(until_ready(conn).await?[0], "B\t11\tCommandComplete\t \"COPY 2\"");

        conn.query("copy t from stdin").flush().await?;
        assert_eq!(conn.recv().await?.code, MessageCode::COPY_IN_RESPONSE);
        conn.copy_data(b"3\t").copy_fail("changed my mind").flush().await?;
        assert!(until_ready(conn).await?[0].contains("C \"57014\""));

        conn.query("copy t to stdout (format binary)").flush().await?;
        let mut data = Vec::new();
        loop {
            match conn.recv().await?.backend()? {
                Backend::CopyData(piece) => data.extend_from_slice(piece.data.0),
                Backend::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        assert_eq!(data.len(), 19 + 17 + 2);
        assert!(data.starts_with(b"PGCOPY\n\xff\r\n\0") && data.ends_with(b"one\xff\xff"));
        Ok(())
    });
}

#[test]
fn asynchronous_messages_may_arrive_between_two_rows() {
    let transcript = r#"
        F Query "select g from generate_series(1, 2) g"
        B RowDescription 1 "g" 0 0 23 4 -1 0
        B DataRow 1 1 '1'
        B flush
        B NotificationResponse 4711 "jobs" ""
        B NoticeResponse S "WARNING" V "WARNING" C "01000" M "it is late" \x00
        B ParameterStatus "TimeZone" "Europe/Vienna"
        B flush
        B DataRow 1 1 '2'
        B CommandComplete "SELECT 2"
        B ReadyForQuery I
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        conn.query("select g from generate_series(1, 2) g").flush().await?;
        let (mut rows, mut others) = (0, Vec::new());
        loop {
            match conn.recv().await?.backend()? {
                Backend::DataRow(_) => rows += 1,
                Backend::NotificationResponse(notification) => others.push(notification.channel.to_string()),
                Backend::NoticeResponse(notice) => others.push(notice.to_string()),
                Backend::ParameterStatus(parameter) => others.push(parameter.value.to_string()),
                Backend::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        assert_eq!((rows, others.join(", ")), (2, "jobs, WARNING 01000: it is late, Europe/Vienna".into()));
        Ok(())
    });
}

#[test]
fn the_last_message_of_a_server_that_closes_is_received() {
    let transcript = r#"
        F Query "select pg_sleep(3600)"
        B ErrorResponse S "FATAL" V "FATAL" C "57P01" M "terminating connection due to administrator command" \x00
        B close
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        conn.query("select pg_sleep(3600)").flush().await?;
        let Backend::ErrorResponse(error) = conn.recv().await?.backend()? else {
            panic!("an ErrorResponse is expected")
        };
        assert_eq!(error.fields.severity(), Some("FATAL".into()));
        let end = conn.recv().await.expect_err("the server has closed");
        assert!(matches!(end, Error::Closed { mid_message: false }), "{end}");
        assert!(end.is_fatal());
        Ok(())
    });
}

#[test]
fn a_close_in_the_middle_of_a_message_is_reported() {
    let transcript = r#"
        F Query "select 1"
        B raw 'D\x00\x00\x00\x0b\x00\x01'
        B close
    "#;
    converse(transcript, Direction::Backend, async |conn| {
        conn.query("select 1").flush().await?;
        let end = conn.recv().await.expect_err("the row is never complete");
        assert!(matches!(end, Error::Closed { mid_message: true }), "{end}");
        Ok(())
    });
}

#[test]
fn a_server_can_be_tested_with_a_transcript_of_its_client() {
    let transcript = r#"
        F Query "listen jobs"
        B CommandComplete "LISTEN"
        B ReadyForQuery *
        # Two queries in one batch: the answers arrive in the order of the queries.
        F Query ""
        F Query "notify jobs"
        B EmptyQueryResponse
        B ReadyForQuery *
        B CommandComplete *
        B ReadyForQuery I
        F Terminate
        F close
        B close
    "#;
    converse(transcript, Direction::Frontend, async |conn| {
        let ready = ReadyForQuery { status: TransactionStatus::Idle };
        loop {
            let answer = match conn.recv().await?.frontend()? {
                Frontend::Query(query) if query.sql.is_empty() => None,
                Frontend::Query(query) => {
                    query.sql.to_string().split_whitespace().next().map(str::to_uppercase)
                }
                _ => return conn.close().await,
            };
            match answer {
                None => conn.put_message(&EmptyQueryResponse {}),
                Some(tag) => conn.put_message(&CommandComplete { tag: tag.as_str().into() }),
            };
            conn.put_message(&ready).flush().await?;
        }
    });
}
