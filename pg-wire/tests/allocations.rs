//! Tests that count allocations. After the buffers have been allocated, sending or receiving a message must not allocate. An owned frame
//! must use little more memory than the bytes of the frame.

mod support;

use allocation_counter::{AllocationInfo, measure};
use pg_wire::backend::{Backend, CommandComplete, CopyBothResponse, CopyFormat, DataRow};
use pg_wire::frontend::{Frontend, Query};
use pg_wire::replication::command::StartLogical;
use pg_wire::replication::pgoutput::*;
use pg_wire::replication::{
    Enclosed, Lsn, PrimaryKeepalive, PrimaryMessage, ReplicationStream, StandbyStatusUpdate, Timestamp,
    XLogData,
};
use pg_wire::testing::TestClock;
use pg_wire::{
    Bindable, Connection, Encode, FormatCode, Frame, Inbox, Limits, Message, MessageCode, Outbox, PgProtocol,
    Portal, Sink, Source, Statement,
    codec::{List, Payload, Values},
    params,
    rewrite::Rewrite,
};
use std::io;
use std::task::{Context, Poll};
use support::frame;

/// A stream that endlessly repeats the same bytes and accepts all writes. A read may end at any byte of a frame.
struct Repeating {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
    taken: usize,
    flushed: usize,
}

impl Repeating {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0, piece: 1000, taken: 0, flushed: 0 }
    }
}

impl Source for Repeating {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let from = &self.bytes[self.at..];
        let count = from.len().min(space.len()).min(self.piece).max(1);
        space[..count].copy_from_slice(&from[..count]);
        self.at = (self.at + count) % self.bytes.len();
        // The next read returns at most `piece` bytes. This number changes, so that the reads have many different lengths.
        self.piece = (self.piece * 7 + 3) % 100_000;
        Poll::Ready(Ok(count))
    }
}

impl Sink for Repeating {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(700);
        self.taken += count;
        Poll::Ready(Ok(count))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed += 1;
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Encodes 300 rows of four columns, and then ParameterStatus, ErrorResponse, CommandComplete and ReadyForQuery.
fn rows() -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..300usize {
        let number = number.to_string();
        let text = "x".repeat(number.len() * 37);
        let columns = [Some(number.as_bytes()), None, Some(text.as_bytes()), Some(b"")];
        DataRow { values: Values::from(&columns) }.encode(&mut out).expect("a row");
    }
    out.extend(frame(b'S', b"TimeZone\0UTC\0"));
    out.extend(frame(b'E', b"SERROR\0VERROR\0C22012\0Mdivision by zero\0\0"));
    CommandComplete { tag: "SELECT 300".into() }.encode(&mut out).expect("valid");
    out.extend(frame(b'Z', b"I"));
    out
}

/// Runs `run` twice, and counts the allocations of the second run. The first run allocates the buffers.
fn once_warm(mut run: impl FnMut()) -> AllocationInfo {
    run();
    measure(run)
}

#[test]
fn rows_are_received_and_decoded_without_an_allocation() {
    let mut conn = Connection::new(Repeating::new(rows()), Limits::BACKEND);
    let (mut rows, mut bytes) = (0u64, 0usize);
    let info = once_warm(|| {
        block_on_nothing(async {
            for _ in 0..20_000 {
                match conn.recv().await.expect("the stream never ends").backend().expect("well-formed") {
                    Backend::DataRow(row) => {
                        rows += 1;
                        for value in row.values {
                            bytes += value.expect("a whole row").map_or(0, <[u8]>::len);
                        }
                        assert_eq!(row.values.get(1), Ok(Some(None)));
                    }
                    Backend::ErrorResponse(error) => {
                        assert_eq!(error.fields.message(), Some("division by zero".into()))
                    }
                    Backend::CommandComplete(complete) => assert_eq!(complete.rows(), Some(300)),
                    _ => {}
                }
            }
        });
    });
    assert!(rows > 39_000 && bytes > 1_000_000, "{rows} {bytes}");
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn buffered_messages_are_lent_without_an_allocation() {
    let mut conn = Connection::new(Repeating::new(rows()), Limits::BACKEND);
    let info = once_warm(|| {
        block_on_nothing(async {
            for _ in 0..200 {
                conn.recv().await.expect("the stream never ends");
                while let Some(frame) = conn.try_recv().expect("well-formed") {
                    assert!(!frame.body.is_empty());
                }
            }
        });
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn binds_of_tuples_and_of_dynamic_parameters_are_sent_without_an_allocation() {
    let mut conn = Connection::new(Repeating::new(rows()), Limits::BACKEND);
    let name = String::from("Ada, Countess of Lovelace");
    let long = vec![7u8; 300];
    let dynamic: &[&dyn Bindable] = &[&1i32, &name, &None::<i64>, &2.5f64, &long, &true];
    let info = once_warm(|| {
        block_on_nothing(async {
            for number in 0..100i32 {
                for _ in 0..100 {
                    conn.bind(Statement("s"), Portal::UNNAMED)
                        .result_formats(&[FormatCode::Binary])
                        .finish((number, name.as_str(), None::<i64>, 2.5f64, &long[..], true))
                        .execute(Portal::UNNAMED, 0)
                        .bind(Statement("s"), Portal::UNNAMED)
                        .execute(dynamic)
                        .bind(Statement("s"), Portal::UNNAMED)
                        .finish(params![number, name])
                        .describe_portal(Portal::UNNAMED)
                        .execute(Portal::UNNAMED, 1);
                }
                conn.sync().flush().await.expect("the stream accepts everything");
            }
        });
    });
    assert!(conn.transport().taken > 2 * 100 * 100 * 700, "{}", conn.transport().taken);
    assert_eq!(conn.transport().flushed, 200);
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn frames_are_forwarded_without_an_allocation() {
    let mut server = Connection::new(Repeating::new(rows()), Limits::BACKEND);
    let mut client = Connection::new(Repeating::new(frame(b'Q', b"select 1\0")), Limits::FRONTEND);
    let info = once_warm(|| {
        block_on_nothing(async {
            for _ in 0..200 {
                let query = client.recv().await.expect("the stream never ends");
                assert!(matches!(query.frontend(), Ok(Frontend::Query(Query { .. }))));
                server.put(&query).flush().await.expect("the stream accepts everything");
                loop {
                    let frame = server.recv().await.expect("the stream never ends");
                    client.put(&frame);
                    if frame.code == MessageCode::READY_FOR_QUERY {
                        break;
                    }
                }
                client.flush().await.expect("the stream accepts everything");
            }
        });
    });
    assert_eq!(client.transport().taken, 400 * rows().len());
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn names_and_columns_are_rewritten_without_an_allocation() {
    let mut outbox = Outbox::new(64 * 1024);
    let bind = frame(b'B', b"p\0s\0\0\0\0\x01\0\0\0\x011\0\0");
    let mut row = Vec::new();
    DataRow { values: Values::from(&[Some(&b"x"[..]), None]) }.encode(&mut row).expect("a row");
    let info = once_warm(|| {
        for _ in 0..1000 {
            let bind = Frame { code: MessageCode::BIND, body: &bind[5..] };
            let bind = Rewrite::frontend(bind).expect("well-formed").with_statement("c7_s".into());
            outbox.put(&bind.with_values(&[(0, Some(b"2"))]).expect("a parameter"));
            let row = Rewrite::backend(Frame { code: MessageCode::DATA_ROW, body: &row[5..] });
            outbox.put(&row.with_values(&[(1, Some(b"masked"))]).expect("a column"));
        }
        outbox.commit().expect("all can be sent");
        let pending = outbox.pending().len();
        assert_eq!(pending, 1000 * (bind.len() + 3 + row.len() + 6));
        outbox.sent(pending);
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn a_trace_allocates_only_the_string_that_it_is_written_to() {
    let columns = [Some(&b"1"[..]), None];
    let row = DataRow { values: Values::from(&columns) };
    let mut line = String::with_capacity(200);
    let info = measure(|| {
        use std::fmt::Write;
        write!(line, "{}", row.trace(pg_wire::Direction::Backend)).expect("writing to a String cannot fail");
    });
    assert_eq!((line.as_str(), info.count_total), ("B\t15\tDataRow\t 2 1 '1' -1", 0));
}

#[test]
fn a_large_length_or_count_reserves_no_memory() {
    for code in [b'D', b'd', b'T', b'E'] {
        let info = measure(|| {
            let mut inbox = Inbox::new(Limits::BACKEND);
            inbox.extend(&[code, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
            assert_eq!(inbox.next(), Ok(None));
            assert!(!inbox.space().is_empty());
        });
        assert!(info.bytes_max < 100_000, "{info:?}");
    }
    // Each body contains a large count but no items. Decoding must not reserve memory for the announced items.
    let info = measure(|| {
        for (code, body) in [
            (b'T', &b"\xff\xff"[..]),
            (b't', b"\xff\xff"),
            (b'v', b"\0\x03\0\0\x7f\xff\xff\xff"),
            (b'D', b"\xff\xff"),
        ] {
            let frame = pg_wire::Frame { code: MessageCode(code), body };
            assert_eq!(frame.backend().is_err(), code != b'D');
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn the_buffer_grows_for_a_large_frame_by_doubling() {
    for length in [1 << 20, 9_000_000] {
        let large = frame(b'd', &vec![1; length]);
        let info = measure(|| {
            let mut inbox = Inbox::new(Limits::BACKEND);
            for piece in large.chunks(20_000) {
                assert_eq!(inbox.next(), Ok(None));
                inbox.extend(piece);
            }
            assert!(matches!(inbox.next(), Ok(Some(frame)) if frame.body.len() == length));
        });
        let length = u64::try_from(large.len()).expect("small");
        assert!(info.bytes_total < 3 * length + 200_000, "{info:?} for {length}");
        // While the buffer grows, the old and the new memory exist at the same time.
        assert!(info.bytes_max < 2 * length + 200_000, "{info:?} for {length}");
    }
}

/// Takes one owned frame from a buffer with several frames, and drops the buffer. `which` is the index of the owned frame. Returns the
/// number of bytes that the owned frame uses.
fn held_by_one_kept(bodies: &[usize], which: usize) -> i64 {
    let stream = bodies.iter().map(|length| frame(b'd', &vec![1; *length])).collect::<Vec<_>>().concat();
    let mut kept = None;
    let info = measure(|| {
        let mut inbox = Inbox::new(Limits::BACKEND);
        inbox.extend(&stream);
        for _ in 0..which {
            inbox.next().expect("well-formed").expect("whole");
        }
        let head = inbox.head().expect("well-formed").expect("whole");
        kept = Some(inbox.take_owned(head));
    });
    assert_eq!(kept.map(|kept| kept.body.len()), Some(bodies[which]));
    info.bytes_current
}

#[test]
fn an_owned_frame_does_not_hold_the_other_frames_of_its_buffer() {
    for (bodies, which) in [
        (&[100, 100][..], 1),
        (&[200_000, 300_000], 0),
        (&[1_000_000], 0),
        (&[10, 1_000_000, 10], 1),
        // In these cases, the buffer contains up to 5,000,000 bytes before or after the owned frame.
        (&[5_000_000, 300_000], 1),
        (&[300_000, 5_000_000], 0),
        (&[5_000_000, 300_000, 5_000_000], 1),
    ] {
        let held = held_by_one_kept(bodies, which);
        let length = i64::try_from(bodies[which]).expect("small");
        assert!(held <= length + length / 2 + 200, "{held} bytes for one of {length} in {bodies:?}");
    }
}

#[test]
fn taking_a_large_owned_frame_does_not_copy_all_other_buffered_frames() {
    let one = frame(b'd', &vec![1; 300_000]);
    let stream = one.repeat(50);
    let mut inbox = Inbox::new(Limits::BACKEND);
    inbox.extend(&stream);
    let info = measure(|| {
        while let Some(head) = inbox.head().expect("well-formed") {
            assert_eq!(inbox.take_owned(head).body.len(), 300_000);
        }
    });
    let whole = u64::try_from(stream.len()).expect("small");
    assert!(info.bytes_total <= 3 * whole, "{} for {whole}", info.bytes_total);
}

/// Polls a future once. The future must be ready. Unlike `support::block_on`, this function does not allocate a waker.
fn block_on_nothing<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match support::poll_once(future.as_mut()) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("these streams never wait"),
    }
}

/// Encodes a transaction with 300 inserts, updates and deletes, and then a keepalive. If `described` is true, the transaction contains the
/// description of its table.
fn changes(described: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |change: Change<'_>| {
        let mut data = Vec::new();
        change.encode(&mut data).expect("valid");
        let wal = XLogData { start: Lsn(1), end: Lsn(1), time: Timestamp(0), data: Payload(&data) };
        wal.in_copy_data().encode(&mut out).expect("valid");
    };
    add(Begin { commit: Lsn(7), time: Timestamp(0), xid: 1 }.into());
    let columns = [RelationColumn { name: "a".into(), ..RelationColumn::default() }; 3];
    if described {
        add(Change::from(Relation {
            xid: None,
            relation: 5,
            namespace: "public".into(),
            name: "t".into(),
            replica_identity: ReplicaIdentity::Full,
            columns: List::from(&columns),
        }));
    }
    let values = [TupleValue::Text(b"some text"), TupleValue::Null, TupleValue::Binary(b"\0\x01")];
    let row = Tuple::from(&values);
    for _ in 0..100 {
        add(Insert { xid: None, relation: 5, new: row }.into());
        add(Update { xid: None, relation: 5, old: Some(OldRow::Full(row)), new: row }.into());
        add(Delete { xid: None, relation: 5, old: OldRow::Full(row) }.into());
    }
    add(Commit { flags: 0, commit: Lsn(7), end: Lsn(9), time: Timestamp(0) }.into());
    let keepalive = PrimaryKeepalive { end: Lsn(9), time: Timestamp(0), reply: true };
    keepalive.in_copy_data().encode(&mut out).expect("valid");
    out
}

#[test]
fn changes_are_decoded_and_progress_is_reported_without_an_allocation() {
    let bytes = changes(true);
    let mut inbox = Inbox::new(Limits::BACKEND);
    let mut out = Vec::with_capacity(64);
    let mut decoder = Decoder::default();
    let (mut values, mut runs) = (0, 0);
    let counted = once_warm(|| {
        inbox.extend(&bytes);
        while let Some(frame) = inbox.next().expect("whole frames") {
            let Backend::CopyData(copy) = frame.backend().expect("well-formed") else { panic!("{frame:?}") };
            match PrimaryMessage::decode(copy.data.0).expect("well-formed") {
                PrimaryMessage::XLogData(wal) => match decoder.decode(wal.data.0).expect("well-formed") {
                    Change::Insert(insert) => values += insert.new.iter().filter(Result::is_ok).count(),
                    Change::Update(update) => values += update.new.iter().filter(Result::is_ok).count(),
                    Change::Delete(delete) => {
                        values += delete.old.tuple().iter().filter(Result::is_ok).count()
                    }
                    Change::Relation(relation) => assert_eq!(relation.columns.iter().count(), 3),
                    _ => {}
                },
                PrimaryMessage::PrimaryKeepalive(keepalive) => {
                    let status = StandbyStatusUpdate::durable(keepalive.end, Timestamp(1));
                    out.clear();
                    status.in_copy_data().encode(&mut out).expect("valid");
                }
                other => panic!("{other:?}"),
            }
        }
        runs += 1;
    });
    assert_eq!((values, out.len()), (runs * 900, 39));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_stream_lends_changes_with_their_tables_and_answers_keepalives_without_an_allocation() {
    // The server sends the start of the stream and the description of the table once, and then the same transaction repeatedly.
    let mut begin = Vec::new();
    CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY }.encode(&mut begin).expect("valid");
    begin.extend_from_slice(&changes(true));
    let mut conn = Connection::new(Repeating::new(changes(false)), Limits::BACKEND);
    conn.inbox_mut().extend(&begin);
    let command = StartLogical::new("slot", Lsn::INVALID);
    let stream = block_on_nothing(ReplicationStream::<_, TestClock>::start(conn, &command)).expect("started");
    let mut stream = stream.changes();
    let (mut rows, mut commits) = (0, 0);
    let counted = once_warm(|| {
        let end = commits + 10;
        while commits < end {
            let received = block_on_nothing(stream.next()).expect("received").expect("a change");
            match received.change {
                Change::Insert(_) | Change::Update(_) | Change::Delete(_) => {
                    assert_eq!(received.table.map(|table| table.name.as_str()), Some("t"));
                    rows += 1;
                }
                Change::Commit(commit) => {
                    stream.set_flushed(commit.end).expect("received");
                    commits += 1;
                }
                _ => {}
            }
        }
    });
    assert_eq!(rows, commits * 300);
    assert!(stream.connection().transport().taken > 19 * 39, "each keepalive is answered");
    assert_eq!(counted.count_total, 0);
}
