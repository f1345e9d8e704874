//! Converts received messages to text, so that the results of the adapters can be compared.

use pg_auth::ConnectError;
use pg_wire::backend::Backend;
use pg_wire::{Connection, Error, Frame, MessageCode, PgProtocol, TrackedConnection, Transport};

/// The result of a test body: the replies, errors and states that the body has seen. The result must be equal for all adapters.
pub(crate) type Log = Vec<String>;

/// Returns a message as text. Process ids are left out, because they differ between sessions.
pub(crate) fn text(frame: Frame<'_>) -> String {
    match frame.backend().expect("well-formed") {
        Backend::NotificationResponse(note) => format!("notification {:?} {:?}", note.channel, note.payload),
        Backend::DataRow(row) => format!("row {:?}", row.values),
        other => format!("{other:?}"),
    }
}

/// Receives messages up to ReadyForQuery, and returns them as text.
pub(crate) async fn replies<T: Transport>(conn: &mut Connection<T>) -> Log {
    let mut log = Log::new();
    loop {
        let frame = conn.recv().await.expect("a message");
        log.push(text(frame));
        if frame.code == MessageCode::READY_FOR_QUERY {
            return log;
        }
    }
}

/// Receives messages up to ReadyForQuery. Returns the number of rows, the number of their bytes, and the server's error.
pub(crate) async fn totals<T: Transport>(conn: &mut Connection<T>) -> String {
    let (mut rows, mut bytes) = (0, 0);
    let ended = conn
        .until_ready(|frame| {
            if frame.code == MessageCode::DATA_ROW {
                rows += 1;
                bytes += frame.body.len();
            }
            Ok::<_, Error>(())
        })
        .await;
    format!("{rows} rows, {bytes} bytes, {}", outcome(ended))
}

/// Checks that the connection works: a statement must get its own reply, not a reply to an earlier statement.
pub(crate) async fn check_works<T: Transport>(conn: &mut Connection<T>, number: usize) {
    conn.query(&format!("select {number}")).flush().await.expect("sent");
    let log = replies(conn).await;
    assert!(log.iter().any(|line| *line == row(number)), "{number}: {log:#?}");
}

/// Checks that a `TrackedConnection` works. The connection must be idle before and after the statement.
pub(crate) async fn check_idle<T: Transport>(conn: &mut TrackedConnection<T>, number: usize) {
    assert_eq!(conn.check_idle(), Ok(()));
    conn.query(&format!("select {number}")).flush().await.expect("sent");
    let mut log = Log::new();
    let ended = conn
        .until_ready(|frame| {
            log.push(text(frame));
            Ok::<_, Error>(())
        })
        .await;
    ended.unwrap_or_else(|error| panic!("{number}: {error}"));
    assert!(log.contains(&row(number)), "{number}: {log:#?}");
    assert_eq!(conn.check_idle(), Ok(()));
}

fn row(number: usize) -> String {
    let digits = number.to_string();
    format!("row {:?}", pg_wire::codec::Values::from(&[Some(digits.as_bytes())]))
}

/// Returns a result as text: the value, or the text of the error and its sources.
pub(crate) fn outcome<T: std::fmt::Debug, E: std::error::Error>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => explain(&error),
    }
}

/// Returns the text of an error and its sources.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

/// Returns the error of a connection attempt, which must fail.
pub(crate) fn rejection<T, S>(made: Result<(T, S), ConnectError>) -> String {
    match made {
        Ok(_) => panic!("the connection must not be made"),
        Err(error) => explain(&error),
    }
}
