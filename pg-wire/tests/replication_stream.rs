//! Tests of replication streams with scripted servers, and with a clock that the test advances.

mod support;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pg_wire::backend::{CopyBothResponse, CopyFormat};
use pg_wire::codec::{List, Payload as Bytes};
use pg_wire::error::DecodeErrorKind;
use pg_wire::replication::command::{PgOutput, StartLogical, StartPhysical};
use pg_wire::replication::pgoutput::*;
use pg_wire::replication::*;
use pg_wire::testing::TestClock;
use pg_wire::{Connection, Encode, Error, Limits, MessageCode, SqlState, oid};
use support::{Read, Steps, Write, block_on, frame, poll_once};

const SECOND: Duration = Duration::from_secs(1);
/// The time in all messages of these tests.
const TIME: Timestamp = Timestamp(0);

// ---- Messages of a server -------------------------------------------------------------------------------------------

fn copy_both() -> Vec<u8> {
    let mut out = Vec::new();
    CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY }.encode(&mut out).expect("valid");
    out
}

fn wal(start: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let wal = XLogData { start: Lsn(start), end: Lsn(start), time: TIME, data: Bytes(data) };
    wal.in_copy_data().encode(&mut out).expect("valid");
    out
}

fn change(start: u64, change: impl Enclosed) -> Vec<u8> {
    let mut data = Vec::new();
    change.encode(&mut data).expect("valid");
    wal(start, &data)
}

fn keepalive(end: u64, reply: bool) -> Vec<u8> {
    let mut out = Vec::new();
    PrimaryKeepalive { end: Lsn(end), time: TIME, reply }.in_copy_data().encode(&mut out).expect("valid");
    out
}

fn begin(commit: u64) -> Vec<u8> {
    change(commit - 10, Begin { commit: Lsn(commit), time: TIME, xid: 1 })
}

fn relation() -> Vec<u8> {
    let columns = [RelationColumn { flags: 1, name: "id".into(), type_oid: oid::INT4, type_modifier: -1 }];
    change(
        0,
        Relation {
            xid: None,
            relation: 16_385,
            namespace: "public".into(),
            name: "orders".into(),
            replica_identity: ReplicaIdentity::Default,
            columns: List::from(&columns),
        },
    )
}

fn insert(start: u64, value: &'static str) -> Vec<u8> {
    let values = [TupleValue::Text(value.as_bytes())];
    change(start, Insert { xid: None, relation: 16_385, new: Tuple::from(&values) })
}

fn commit(end: u64) -> Vec<u8> {
    change(end, Commit { flags: 0, commit: Lsn(end - 5), end: Lsn(end), time: TIME })
}

fn copy_done() -> Vec<u8> {
    frame(b'c', b"")
}

fn command_complete() -> Vec<u8> {
    frame(b'C', b"COPY 0\0")
}

fn ready() -> Vec<u8> {
    frame(b'Z', b"I")
}

fn error(severity: &str) -> Vec<u8> {
    frame(b'E', format!("S{severity}\0V{severity}\0C57P01\0Mterminated by the test\0\0").as_bytes())
}

/// Returns the messages of a small transaction, one by one.
fn a_transaction() -> Vec<Vec<u8>> {
    vec![begin(100), relation(), insert(95, "7"), keepalive(96, true), insert(97, "8"), commit(110)]
}

/// Returns the messages with which the server ends the copy and the replication command.
fn an_end() -> Vec<u8> {
    [copy_done(), command_complete(), ready()].concat()
}

// ---- Messages of a client -------------------------------------------------------------------------------------------

/// A message of the client after the Query: a status update, or the code of another message.
#[derive(Debug, PartialEq)]
enum Sent {
    Status { written: Lsn, flushed: Lsn, applied: Lsn },
    Other(char),
}

fn sent(mut bytes: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let [code, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let (body, after) = rest.split_at(length);
        sent.push(match StandbyMessage::decode(body) {
            Ok(StandbyMessage::StandbyStatusUpdate(update)) if *code == b'd' => {
                let StandbyStatusUpdate { written, flushed, applied, time, reply } = update;
                assert_eq!((time, reply), (TIME, false));
                Sent::Status { written, flushed, applied }
            }
            _ => Sent::Other(char::from(*code)),
        });
        bytes = after;
    }
    assert_eq!(bytes, b"", "whole messages");
    assert_eq!(sent.remove(0), Sent::Other('Q'));
    sent
}

fn status(flushed: u64) -> Sent {
    Sent::Status { written: Lsn(flushed), flushed: Lsn(flushed), applied: Lsn::INVALID }
}

const DONE: Sent = Sent::Other('c');

// ---- Streams --------------------------------------------------------------------------------------------------------

type Stream<P = Raw> = ReplicationStream<Steps, TestClock, P>;

/// Starts logical replication with a scripted server. After the start, the reads of the connection return the results in `reads`. All later
/// reads are pending.
fn start(reads: impl IntoIterator<Item = Read>) -> Stream {
    let reads = [Read::Bytes(copy_both())].into_iter().chain(reads);
    let steps = Steps { at_end: Read::Never, ..Steps::reading(reads) };
    let command = StartLogical::new("slot", Lsn(50)).pgoutput(&PgOutput::new(1, &["p"]));
    let stream = block_on(Stream::start(Connection::new(steps, Limits::BACKEND), &command)).expect("started");
    assert_eq!(stream.status().received(), Lsn(50));
    stream
}

fn changes(messages: impl IntoIterator<Item = Vec<u8>>) -> Stream<Changes> {
    start(messages.into_iter().map(Read::Bytes)).changes()
}

fn wrote<P>(stream: &Stream<P>) -> Vec<Sent> {
    sent(&stream.connection().transport().wrote)
}

/// Receives a transaction. Returns the ids of its rows, and the position of its end.
async fn transaction<P>(stream: &mut Stream<P>) -> Result<(Vec<i32>, Lsn), StreamError>
where
    P: for<'s> Payload<Item<'s> = ReceivedChange<'s>> + 'static,
{
    let mut ids = Vec::new();
    loop {
        let received = stream.next().await?.expect("the stream has not ended");
        match received.change {
            Change::Insert(insert) => {
                let table = received.table.expect("described");
                assert_eq!(table.to_string(), "public.orders");
                let (column, value) = table.values(insert.new).next().expect("a value").expect("well-formed");
                ids.push(value.value(column.type_oid).expect("a number"));
            }
            Change::Commit(commit) => return Ok((ids, commit.end)),
            _ => {}
        }
    }
}

/// Receives changes until the replication stream fails, and returns the error.
fn failure(stream: &mut Stream<Changes>) -> StreamError {
    block_on(async {
        loop {
            match stream.next().await {
                Ok(received) => assert!(received.is_some(), "an error"),
                Err(error) => return error,
            }
        }
    })
}

// ---- Tests ------------------------------------------------------------------------------------------------------------

#[test]
fn only_declared_positions_are_confirmed() {
    let mut stream = changes([a_transaction(), vec![keepalive(200, true)]].concat());
    let (ids, end) = block_on(transaction(&mut stream)).expect("whole");
    assert_eq!((ids, end), (vec![7, 8], Lsn(110)));
    assert_eq!(wrote(&stream), [status(0)], "the answer to the keepalive");
    let error = stream.set_flushed(Lsn(111)).expect_err("not received");
    assert_eq!((error.declared, error.received), (Lsn(111), Lsn(110)));
    stream.set_flushed(end).expect("received");
    stream.set_flushed(Lsn(60)).expect("received");
    block_on(stream.report()).expect("sent");
    assert!(poll_once(pin!(stream.next())).is_pending());
    assert_eq!(wrote(&stream), [status(0), status(110), status(110)]);
    assert_eq!(stream.status().server_end(), Lsn(200));

    // The written and the applied position differ from the flushed position only if the caller sets them.
    stream.status_mut().set_applied(Lsn(60)).expect("received");
    stream.status_mut().set_written(Lsn(150)).expect("received");
    block_on(stream.report()).expect("sent");
    let last = wrote(&stream).pop();
    assert_eq!(last, Some(Sent::Status { written: Lsn(150), flushed: Lsn(110), applied: Lsn(60) }));
}

#[test]
fn keepalives_are_confirmed_on_request_only_between_transactions_that_are_flushed() {
    let messages = [
        vec![keepalive(60, true), begin(100), keepalive(200, true), relation(), insert(95, "7"), commit(110)],
        vec![keepalive(210, true), begin(300)],
    ];
    let mut stream = changes(messages.concat()).confirm_keepalives(true);
    let (_, end) = block_on(transaction(&mut stream)).expect("whole");
    assert_eq!(wrote(&stream), [status(60), status(60)], "inside a transaction, no position is confirmed");
    block_on(stream.next()).expect("received");
    assert_eq!(wrote(&stream).pop(), Some(status(60)), "the transaction is not flushed");

    let messages = [a_transaction(), vec![keepalive(210, true), begin(300)]].concat();
    let mut stream = changes(messages).confirm_keepalives(true);
    block_on(transaction(&mut stream)).expect("whole");
    stream.set_flushed(end).expect("received");
    block_on(stream.next()).expect("received");
    assert_eq!(wrote(&stream), [status(0), status(210)]);

    // The data is from another plugin than pgoutput, so the client does not know where a transaction ends. A keepalive that arrives after
    // data may be inside a transaction. So the client does not confirm the position of this keepalive.
    let messages = [keepalive(60, true), wal(100, b"other plugin"), keepalive(200, true), wal(201, b"")];
    let mut stream = start(messages.map(Read::Bytes)).confirm_keepalives(true);
    for expected in [Lsn(60), Lsn(60)] {
        block_on(stream.next()).expect("received");
        assert_eq!(stream.status().flushed(), expected);
    }
}

#[test]
fn a_message_may_be_cut_at_any_byte_and_any_future_may_be_dropped() {
    let bytes = a_transaction().concat();
    for at in 0..=bytes.len() {
        let (first, second) = bytes.split_at(at);
        let mut reads = vec![Read::Wait, Read::Bytes(second.to_vec())];
        if !first.is_empty() {
            reads.insert(0, Read::Bytes(first.to_vec()));
        }
        let mut stream = start(reads).changes();
        assert_eq!(block_on(transaction(&mut stream)).expect("whole").0, [7, 8], "cut at {at}");
        assert_eq!(wrote(&stream), [status(0)]);
    }

    // The server sends byte by byte. Before each byte, the future of `next` is pending and is dropped.
    let reads = bytes.iter().flat_map(|byte| [Read::Wait, Read::Bytes(vec![*byte])]);
    let mut stream = start(reads).changes();
    let mut ids = Vec::new();
    let mut polls = 0;
    loop {
        polls += 1;
        let received = match poll_once(pin!(stream.next())) {
            Poll::Pending => continue,
            Poll::Ready(received) => received.expect("received").expect("the stream has not ended"),
        };
        match received.change {
            Change::Insert(insert) => ids.push(format!("{:?}", insert.new)),
            Change::Commit(_) => break,
            _ => {}
        }
    }
    assert!(polls > bytes.len());
    assert_eq!(ids, ["[\"7\"]", "[\"8\"]"]);
    assert_eq!(wrote(&stream), [status(0)]);
}

#[test]
fn a_connection_that_fails_at_any_byte_is_an_error_with_the_position_and_no_position_is_confirmed() {
    let bytes = a_transaction().concat();
    for at in 0..bytes.len() {
        for (end, mid_message) in [(Read::End, true), (Read::Fail(io::ErrorKind::ConnectionReset), false)] {
            let mut stream =
                start([Read::Bytes(bytes[..at].to_vec()), end.clone()][usize::from(at == 0)..].to_vec())
                    .changes();
            let error = failure(&mut stream);
            assert!((50..=110).contains(&error.at.0), "{error}");
            match (&error.kind, mid_message) {
                (StreamErrorKind::Connection(Error::Closed { .. }), true)
                | (StreamErrorKind::Connection(Error::Io(_)), false) => {}
                _ => panic!("{error}"),
            }
            assert!(matches!(failure(&mut stream).kind, StreamErrorKind::Over));
            assert!(wrote(&stream).iter().all(|sent| *sent == status(0)));
        }
    }
}

#[test]
fn malformed_data_is_an_error_with_its_position_and_ends_the_stream() {
    let mut data = Vec::new();
    let values = [TupleValue::Text(b"7")];
    let valid = Insert { xid: None, relation: 16_385, new: Tuple::from(&values) };
    valid.encode(&mut data).expect("valid");
    // The data is cut at `end`, before the values of the row. A cut inside the values would be no error here, because the stream does not
    // read the values.
    for end in 0..8 {
        let messages = [vec![begin(100), relation(), wal(96, &data[..end])], a_transaction()].concat();
        let mut stream = changes(messages);
        let error = failure(&mut stream);
        assert_eq!(error.at, Lsn(96));
        assert!(
            matches!(&error.kind, StreamErrorKind::Decode(error) if error.kind == DecodeErrorKind::Short),
            "{error}"
        );
        assert!(matches!(failure(&mut stream).kind, StreamErrorKind::Over), "no message is skipped");
        stream.set_flushed(Lsn(100)).expect_err("not received");
    }
    // The header of XLogData is cut at `end`, so the position of the data is unknown.
    for end in 1..25 {
        let mut stream = changes([begin(100), frame(b'd', &wal(0, b"")[5..5 + end])]);
        let error = failure(&mut stream);
        assert_eq!(error.at, Lsn(90), "the last position that was received");
        assert!(matches!(error.kind, StreamErrorKind::Decode(_)), "{error}");
    }
    let mut stream = changes([begin(100), frame(b'd', b"")]);
    assert!(matches!(failure(&mut stream).kind, StreamErrorKind::Decode(_)));
    let mut stream = changes([begin(100), frame(b'd', b"k\0")]);
    assert!(matches!(failure(&mut stream).kind, StreamErrorKind::Decode(_)));
}

#[test]
fn messages_that_are_not_allowed_in_a_stream_are_errors_with_the_position() {
    let mut stream = changes([begin(100), insert(95, "7")]);
    let error = failure(&mut stream);
    let expected =
        "replication stream at 0/5F: a change of the table 16385, which no Relation message has described";
    assert_eq!((error.at, error.to_string().as_str()), (Lsn(95), expected));

    let values = [TupleValue::Null, TupleValue::Null];
    let two = change(96, Insert { xid: None, relation: 16_385, new: Tuple::from(&values) });
    let error = failure(&mut changes([begin(100), relation(), two]));
    let StreamErrorKind::Relation(RelationError::Count { columns, values, .. }) = error.kind else {
        panic!("{error}")
    };
    assert_eq!((error.at, columns, values), (Lsn(96), 1, 2));

    let error = failure(&mut changes([begin(100), frame(b'd', b"zoo")]));
    assert!(matches!(error.kind, StreamErrorKind::UnknownKind(b'z')), "{error}");
    assert_eq!(error.at, Lsn(90));
    for code in [b'D', b'Z', b'W', b'!', b'1'] {
        let body: &[u8] = match code {
            b'Z' => b"I",
            b'1' => b"",
            _ => b"\0\0\0",
        };
        let error = failure(&mut changes([begin(100), frame(code, body)]));
        let StreamErrorKind::Unexpected(found) = error.kind else { panic!("{error}") };
        assert_eq!((error.at, found), (Lsn(90), MessageCode(code)));
    }
    let error = failure(&mut changes([begin(100), command_complete()]));
    assert!(matches!(error.kind, StreamErrorKind::EndedByServer), "{error}");

    // A NoticeResponse or a ParameterStatus in the stream is no error.
    let notice = frame(b'N', b"SNOTICE\0C00000\0Mhello\0\0");
    let parameter = frame(b'S', b"TimeZone\0UTC\0");
    let mut stream = changes([vec![notice, parameter], a_transaction()].concat());
    assert_eq!(block_on(transaction(&mut stream)).expect("whole").0, [7, 8]);
}

#[test]
fn an_error_of_the_server_is_returned_whole_and_finish_returns_the_connection_if_the_error_is_not_fatal() {
    let mut stream = changes([begin(100), error("ERROR"), ready()]);
    let failed = failure(&mut stream);
    let StreamErrorKind::Server(server) = &failed.kind else { panic!("{failed}") };
    assert_eq!((failed.at, server.sqlstate()), (Lsn(90), Some(SqlState::ADMIN_SHUTDOWN)));
    assert_eq!(failed.to_string(), "replication stream at 0/5A: ERROR 57P01: terminated by the test");
    block_on(stream.report()).expect("report sends nothing after the end of the copy");
    let finished = block_on(stream.finish()).expect("the connection is good");
    assert_eq!(sent(&finished.connection.transport().wrote), [], "the copy has ended: no CopyDone");
    assert!(finished.connection.is_quiet());

    let reads = [begin(100), error("FATAL")].map(Read::Bytes).into_iter().chain([Read::End]);
    let mut stream = start(reads).changes();
    assert!(matches!(failure(&mut stream).kind, StreamErrorKind::Server(_)));
    let error = block_on(stream.finish()).expect_err("the connection has ended");
    assert!(matches!(error.kind, StreamErrorKind::Connection(Error::Closed { .. })), "{error}");
}

#[test]
fn finish_returns_the_fatal_error_of_the_server_and_not_the_end_of_the_connection() {
    let reads = [begin(100), error("FATAL")].map(Read::Bytes).into_iter().chain([Read::End]);
    let error = block_on(start(reads).finish()).expect_err("fatal");
    assert!(matches!(error.kind, StreamErrorKind::Server(_)), "{error}");
}

#[test]
fn finish_ends_the_copy_in_both_directions() {
    // The client ends the copy after the first transaction. All data that arrives later is dropped, even data after the CopyDone of the
    // server.
    let messages =
        [a_transaction(), vec![begin(200), copy_done(), insert(195, "9"), command_complete(), ready()]];
    let mut stream = changes(messages.concat());
    let (_, end) = block_on(transaction(&mut stream)).expect("whole");
    stream.set_flushed(end).expect("received");
    let finished = block_on(stream.finish()).expect("clean");
    assert_eq!(sent(&finished.connection.transport().wrote), [status(0), status(110), DONE]);
    assert!(finished.connection.is_quiet());
    assert_eq!(finished.next_timeline, None);
}

#[test]
fn the_server_may_end_the_copy_first_and_name_the_next_timeline() {
    let description = b"\0\x02next_tli\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0next_tli_startpos\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
    let row = b"\0\x02\0\0\0\x012\0\0\0\x090/16B2D50";
    let after = [frame(b'T', description), frame(b'D', row), command_complete(), command_complete(), ready()];
    let after = after.concat();

    let messages = [wal(50, b"four"), copy_done(), after.clone()].map(Read::Bytes);
    let reads = [Read::Bytes(copy_both())].into_iter().chain(messages);
    let conn = Connection::new(Steps::reading(reads), Limits::BACKEND);
    let start = StartPhysical::new(Lsn(50)).timeline(1);
    let mut stream = block_on(Stream::start(conn, &start)).expect("started");
    assert_eq!(block_on(stream.next()).expect("received").expect("data").data.0, b"four");
    for _ in 0..2 {
        assert!(block_on(stream.next()).expect("the end").is_none());
    }
    stream.set_flushed(Lsn(54)).expect("received");
    stream.set_flushed(Lsn(55)).expect_err("not received");
    let finished = block_on(stream.finish()).expect("clean");
    let next = finished.next_timeline.expect("a timeline");
    assert_eq!((next.timeline, next.start), (2, Lsn(0x16b_2d50)));
    assert_eq!(sent(&finished.connection.transport().wrote), [status(54), DONE]);

    // Case: the start position is the end of the timeline. The server replies with the next timeline, and no stream starts.
    let conn = Connection::new(Steps::reading([Read::Bytes(after)]), Limits::BACKEND);
    let failed = block_on(Stream::start(conn, &start)).expect_err("the timeline has ended");
    let StreamErrorKind::TimelineEnds(next) = failed.error.kind else { panic!("{failed}") };
    assert_eq!((failed.error.at, next.timeline), (Lsn(50), 2));
    assert!(failed.connection.is_quiet());
}

#[test]
fn a_gap_in_the_wal_is_an_error() {
    let messages = [copy_both(), wal(50, b"four"), wal(54, b"data"), wal(59, b"later")].map(Read::Bytes);
    let conn = Connection::new(Steps::reading(messages), Limits::BACKEND);
    let mut stream = block_on(Stream::start(conn, &StartPhysical::new(Lsn(50)))).expect("started");
    for _ in 0..2 {
        block_on(stream.next()).expect("received");
    }
    let error = block_on(stream.next()).map(drop).expect_err("a gap");
    let StreamErrorKind::Gap { expected, found } = error.kind else { panic!("{error}") };
    assert_eq!((expected, found), (Lsn(58), Lsn(59)));
    assert_eq!(stream.status().received(), Lsn(58));
}

#[test]
fn a_stream_that_cannot_be_started_returns_the_connection() {
    let conn =
        Connection::new(Steps::reading([Read::Bytes([error("ERROR"), ready()].concat())]), Limits::BACKEND);
    let start = StartLogical::new("slot", Lsn(7));
    let failed = block_on(Stream::start(conn, &start)).expect_err("an error");
    assert!(matches!(failed.error.kind, StreamErrorKind::Server(_)) && failed.error.at == Lsn(7), "{failed}");
    assert!(failed.connection.is_quiet());

    let conn = Connection::new(Steps::reading([Read::Bytes(error("FATAL"))]), Limits::BACKEND);
    let failed = block_on(Stream::start(conn, &start)).expect_err("an error");
    assert!(matches!(failed.error.kind, StreamErrorKind::Server(_)), "{failed}");

    let conn = Connection::new(Steps::reading([Read::Bytes(ready())]), Limits::BACKEND);
    let failed = block_on(Stream::start(conn, &start)).expect_err("no reply");
    assert!(
        matches!(failed.error.kind, StreamErrorKind::Unexpected(MessageCode::READY_FOR_QUERY)),
        "{failed}"
    );

    let conn = Connection::new(Steps::reading([]), Limits::BACKEND);
    let failed = block_on(Stream::start(conn, &StartLogical::new("nul\0", Lsn(7)))).expect_err("not sent");
    assert!(matches!(failed.error.kind, StreamErrorKind::Connection(Error::Encode(_))), "{failed}");
}

#[test]
fn updates_are_sent_at_the_interval_and_each_update_starts_the_interval_again() {
    let clock = TestClock::default();
    let reads = [copy_both(), begin(100)].map(Read::Bytes);
    let steps = Steps { at_end: Read::Never, ..Steps::reading(reads) };
    let conn = Connection::new(steps, Limits::BACKEND);
    let command = StartLogical::new("slot", Lsn::INVALID);
    let stream = block_on(Stream::start_with(conn, &command, clock.clone())).expect("started");
    let mut stream = stream.interval(10 * SECOND).changes();
    block_on(stream.next()).expect("received");
    for second in 1..=35 {
        clock.advance(SECOND);
        assert!(poll_once(pin!(stream.next())).is_pending());
        assert_eq!(wrote(&stream).len(), second / 10, "after {second} seconds");
    }
    block_on(stream.report()).expect("sent");
    for second in 1..=20 {
        clock.advance(SECOND);
        assert!(poll_once(pin!(stream.next())).is_pending());
        assert_eq!(wrote(&stream).len(), 4 + second / 10, "{second} seconds later");
    }
}

#[test]
fn a_waiting_stream_is_woken_when_an_update_is_due() {
    let clock = TestClock::default();
    let steps = Steps { at_end: Read::Never, ..Steps::reading([Read::Bytes(copy_both())]) };
    let conn = Connection::new(steps, Limits::BACKEND);
    let command = StartLogical::new("slot", Lsn::INVALID);
    let mut stream = block_on(Stream::start_with(conn, &command, clock.clone())).expect("started");
    let flag = support::Flag::new();
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(pin!(stream.next()).poll(&mut cx).is_pending());
        clock.advance(9 * SECOND);
        assert!(!flag.take());
        clock.advance(SECOND);
        assert!(flag.take());
    }
}

#[test]
fn keep_alive_while_sends_updates_and_receives_no_messages() {
    let clock = TestClock::default();
    let reads = [copy_both(), begin(100), relation()].map(Read::Bytes);
    let steps = Steps { at_end: Read::Never, ..Steps::reading(reads) };
    let conn = Connection::new(steps, Limits::BACKEND);
    let command = StartLogical::new("slot", Lsn::INVALID);
    let stream = block_on(Stream::start_with(conn, &command, clock.clone())).expect("started");
    let mut stream = stream.changes();
    block_on(stream.next()).expect("received");
    let mut polls = 0;
    let answer = block_on(stream.keep_alive_while(poll_fn(|cx| {
        polls += 1;
        clock.advance(5 * SECOND);
        cx.waker().wake_by_ref();
        if polls < 120 { Poll::Pending } else { Poll::Ready("ten minutes later") }
    })));
    assert_eq!(answer, "ten minutes later");
    assert_eq!(wrote(&stream).len(), 59);
    assert_eq!(stream.connection().transport().reads.len(), 1, "the Relation has not been read");
    assert_eq!(stream.connection().inbox().buffered(), 0);

    // Case: the future is dropped before the work ends.
    clock.advance(10 * SECOND);
    assert!(poll_once(pin!(stream.keep_alive_while(pending::<()>()))).is_pending());
    assert_eq!(wrote(&stream).len(), 60);
    assert!(matches!(
        block_on(stream.next()).expect("received").expect("a change").change,
        Change::Relation(_)
    ));
}

#[test]
fn updates_do_not_accumulate_while_the_server_does_not_read() {
    let clock = TestClock::default();
    let mut steps = Steps { at_end: Read::Never, ..Steps::reading([Read::Bytes(copy_both())]) };
    // The stream accepts the whole Query, but only ten bytes of the first status update.
    steps.writes = [Write::Take(usize::MAX), Write::Take(10), Write::Never].into();
    let conn = Connection::new(steps, Limits::BACKEND);
    let command = StartLogical::new("slot", Lsn::INVALID);
    let mut stream = block_on(Stream::start_with(conn, &command, clock.clone())).expect("started");
    for _ in 0..100 {
        clock.advance(10 * SECOND);
        assert!(poll_once(pin!(stream.next())).is_pending());
        assert!(poll_once(pin!(stream.keep_alive_while(pending::<()>()))).is_pending());
        assert!(poll_once(pin!(stream.report())).is_pending());
    }
    assert_eq!(stream.connection().outbox().pending().len(), 39 - 10);
}

#[test]
fn a_connection_that_cannot_be_written_to_returns_the_last_message_of_the_server() {
    let mut steps =
        Steps::reading([Read::Bytes([copy_both(), keepalive(60, true), error("FATAL")].concat())]);
    steps.writes = [Write::Take(usize::MAX), Write::Fail(io::ErrorKind::BrokenPipe)].into();
    let conn = Connection::new(steps, Limits::BACKEND);
    let stream = block_on(Stream::start(conn, &StartLogical::new("slot", Lsn(50)))).expect("started");
    let mut stream = stream.changes();
    let error = failure(&mut stream);
    assert!(matches!(error.kind, StreamErrorKind::Server(_)) && error.at == Lsn(60), "{error}");
}

#[test]
fn messages_of_the_caller_are_sent_with_the_next_update_and_an_invalid_message_does_not_stop_updates() {
    let mut stream = start([]);
    let feedback =
        HotStandbyFeedback { time: TIME, xmin: 0, xmin_epoch: 0, catalog_xmin: 0, catalog_xmin_epoch: 0 };
    block_on(stream.put(&feedback).report()).expect("sent");
    assert_eq!(wrote(&stream), [Sent::Other('d'), status(0)]);
    let invalid =
        LogicalMessage { xid: None, flags: 0, lsn: Lsn(0), prefix: "a NUL: \0".into(), content: Bytes(b"") };
    block_on(stream.put(&invalid).report()).expect("sent");
    assert_eq!(wrote(&stream), [Sent::Other('d'), status(0), status(0)]);
}

#[test]
fn streamed_transactions_are_returned_at_their_commit_and_a_full_store_is_an_error_with_the_position() {
    let note = |start, xid, content| {
        let (flags, lsn, prefix) = (1, Lsn(start), "note".into());
        change(start, LogicalMessage { xid: Some(xid), flags, lsn, prefix, content: Bytes(content) })
    };
    let block = |xid, first| change(0, StreamStart { xid, first });
    let stop = || change(0, StreamStop {});
    let end = StreamCommit { xid: 7, flags: 0, commit: Lsn(200), end: Lsn(210), time: TIME };
    let messages = [
        vec![block(7, true), note(60, 7, b"kept"), note(61, 8, b"lost"), stop()],
        a_transaction(),
        vec![change(150, StreamAbort { xid: 7, subxid: 8, aborted: None }), change(210, end)],
        vec![keepalive(220, true), block(9, true), note(230, 9, &[b'x'; 1000]), stop()],
    ];
    let reads = messages.concat().into_iter().flat_map(|message| [Read::Wait, Read::Bytes(message)]);
    let mut stream = start(reads).transactions(MemoryStore::new(500));
    assert_eq!(block_on(transaction(&mut stream)).expect("whole").0, [7, 8]);
    let mut seen = Vec::new();
    let error = block_on(async {
        loop {
            match stream.next().await {
                Ok(received) => seen.push(match received.expect("a change").change {
                    Change::Begin(begin) => format!("begin {}", begin.xid),
                    Change::LogicalMessage(message) => message.content.0.escape_ascii().to_string(),
                    Change::Commit(commit) => format!("commit {}", commit.end),
                    other => panic!("{other:?}"),
                }),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(seen, ["begin 7", "kept", "commit 0/D2"]);
    let StreamErrorKind::Store(full) = &error.kind else { panic!("{error}") };
    assert!(error.at == Lsn(230) && full.to_string().contains("limit of 500 bytes"), "{error}");
    assert!(wrote(&stream).iter().all(|sent| *sent == status(0)));
}

#[test]
fn other_tasks_run_while_the_server_sends_only_keepalives() {
    let mut stream = start([Read::Bytes(keepalive(60, false).repeat(1000))]);
    let flag = support::Flag::new();
    let waker = Waker::from(flag.clone());
    let mut polls = 0;
    loop {
        assert!(pin!(stream.next()).poll(&mut Context::from_waker(&waker)).is_pending());
        polls += 1;
        if !flag.take() {
            break;
        }
    }
    assert_eq!((polls, stream.connection().inbox().buffered()), (4, 0));
}

#[test]
fn a_split_stream_sends_updates_while_the_reader_is_busy_and_ends_without_an_error() {
    let clock = TestClock::default();
    let (near, far) = support::pipe(1 << 16);
    let mut server = Connection::new(far, Limits::FRONTEND);
    let conn = Connection::new(near, Limits::BACKEND);
    server.outbox_mut().put_raw(&copy_both());
    assert!(poll_once(pin!(server.flush())).is_ready());
    let command = StartLogical::new("slot", Lsn(50));
    let stream = block_on(ReplicationStream::start_with(conn, &command, clock.clone())).expect("started");
    let (mut reader, sender) = stream.changes().split();
    let status = reader.status();
    let mut updates = Vec::new();
    let ended = RefCell::new(false);
    let serve = async {
        // Receives the Query with the command of the client.
        server.recv().await.expect("received");
        for message in a_transaction() {
            server.outbox_mut().put_raw(&message);
        }
        server.flush().await.expect("sent");
        loop {
            let frame = server.recv().await.expect("received");
            if frame.code != MessageCode::COPY_DATA {
                assert_eq!(frame.code, MessageCode::COPY_DONE);
                break;
            }
            let Ok(StandbyMessage::StandbyStatusUpdate(update)) = StandbyMessage::decode(frame.body) else {
                panic!("{frame:?}")
            };
            updates.push(update.flushed);
        }
        server.outbox_mut().put_raw(&an_end());
        server.flush().await.expect("sent");
    };
    let read = async {
        let mut end = Lsn::INVALID;
        while !end.is_valid() {
            if let Change::Commit(commit) = reader.next().await.expect("received").expect("a change").change {
                end = commit.end;
            }
        }
        // The reader does not call `next` for a minute, because it is busy. The tasks of the server and of the sender run during this
        // minute.
        for second in 0..=60 {
            let mut waits = 5;
            poll_fn(|cx| {
                waits -= 1;
                cx.waker().wake_by_ref();
                if waits > 0 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            clock.advance(if second < 60 { SECOND } else { Duration::ZERO });
        }
        status.set_flushed(end).expect("received");
        assert_eq!(status.get().flushed(), end);
        let finished = reader.finish().await.expect("clean");
        assert_eq!(finished.next_timeline, None);
    };
    let send = async {
        sender.run().await.expect("the connection is good");
        *ended.borrow_mut() = true;
    };
    support::run(vec![Box::pin(serve), Box::pin(read), Box::pin(send)], usize::MAX).expect("each task ends");
    assert!(*ended.borrow());
    let mut expected = vec![Lsn(0); 1 + 6];
    expected.push(Lsn(110));
    assert_eq!(updates, expected, "the answer, the interval, the end");
}

#[test]
fn the_sending_half_ends_when_the_reader_is_dropped_or_the_connection_fails() {
    let (reader, sender) = start([]).split();
    let mut run = pin!(sender.run());
    assert!(poll_once(run.as_mut()).is_pending());
    drop(reader);
    assert!(matches!(poll_once(run.as_mut()), Poll::Ready(Ok(_))));

    let mut steps = Steps { at_end: Read::Never, ..Steps::reading([Read::Bytes(copy_both())]) };
    steps.writes = [Write::Take(usize::MAX), Write::Fail(io::ErrorKind::BrokenPipe)].into();
    let conn = Connection::new(steps, Limits::BACKEND);
    let stream = block_on(Stream::start(conn, &StartLogical::new("slot", Lsn(50)))).expect("started");
    let (reader, sender) = stream.split();
    reader.status().report();
    let error = block_on(sender.run()).expect_err("a broken pipe");
    assert!(
        matches!(error.kind, StreamErrorKind::Connection(Error::Io(_))) && error.at == Lsn(50),
        "{error}"
    );
}
