//! Tests of a connection over streams that wait, fail or end at any point. A connection must not deadlock. No bytes may be lost or sent
//! twice, and only unrecoverable errors may be fatal.

mod support;

use pg_wire::backend::{Backend, ErrorResponse, ReadyForQuery};
use pg_wire::testing;
use pg_wire::{
    Connection, Error, Fault, Frame, Limits, MessageCode, PgProtocol, ReadHalf, Sink, Source, Statement,
    WriteHalf, error::FrameErrorKind,
};
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};
use std::thread;
use support::{Pipe, Read, Steps, Stuck, Write, block_on, frame, pair, pipe, poll_once, run};

/// Limit on the number of polls. Each test needs fewer polls; the limit ends a test that would loop endlessly.
const POLLS: usize = 200_000;

fn queries(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("select {number}, 'some more text'")).collect()
}

/// Runs a server that answers each query with a message of twice the length of the query. The server reads no further query until the
/// answer is sent.
async fn echo(pipe: Pipe, received: &Cell<usize>) {
    let (mut from, mut to) = Connection::new(pipe, Limits::FRONTEND).split();
    while let Ok(query) = from.recv().await {
        received.set(received.get() + 1);
        let answer = query.body.repeat(2);
        to.put(&Frame { code: MessageCode::COPY_DATA, body: &answer });
        to.flush().await.expect("the client reads");
    }
}

fn answer(query: &str) -> (MessageCode, Vec<u8>) {
    (MessageCode::COPY_DATA, format!("{query}\0").repeat(2).into_bytes())
}

fn io_kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    match result.expect_err("the stream failed") {
        error @ Error::Io(_) => {
            assert!(error.is_fatal());
            let Error::Io(error) = error else { unreachable!() };
            error.kind()
        }
        other => unreachable!("{other:?}"),
    }
}

// ---- Sending and receiving at the same time --------------------------------------------------------------------------

#[test]
fn a_pipeline_larger_than_both_buffers_is_sent_without_deadlock() {
    for (room, count) in [(1, 20), (7, 50), (100, 500), (4096, 2000)] {
        let (client, server) = pipe(room);
        let (received, seen) = (Cell::new(0), RefCell::new(Vec::new()));
        let queries = queries(count);
        let client_task = async {
            let mut conn = Connection::new(client, Limits::BACKEND);
            for query in &queries {
                conn.query(query.as_str());
            }
            assert!(conn.outbox().batch().len() > 2 * room);
            conn.flush().await.expect("the server reads");
            for _ in 0..count {
                let answer = pair(conn.recv().await.expect("an answer to each query"));
                seen.borrow_mut().push(answer);
            }
        };
        run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS).expect("no deadlock");
        assert_eq!(received.get(), count);
        assert!(seen.into_inner().into_iter().eq(queries.iter().map(|query| answer(query))));
    }
}

#[test]
fn a_task_that_has_both_halves_and_only_writes_deadlocks() {
    let (client, server) = pipe(100);
    let received = Cell::new(0);
    let client_task = async {
        let (mut from, mut to) = Connection::new(client, Limits::BACKEND).split();
        for query in queries(500) {
            to.query(query.as_str());
        }
        // This call never returns. `flush` waits until the server reads more queries. The server waits until the client reads the answers.
        // The client would read the answers only after `flush`. So a single task that owns both halves must not wait in `flush`.
        to.flush().await.expect("never reached");
        while from.recv().await.is_ok() {}
    };
    assert_eq!(run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS), Err(Stuck(2)));
    assert!((1..500).contains(&received.get()));
}

#[test]
fn a_full_inbox_is_an_error_and_no_answer_is_lost() {
    let limits = Limits::BACKEND.read_ahead(1000).read_size(100);
    for flush_again in [false, true] {
        let (client, server) = pipe(64);
        let received = Cell::new(0);
        let queries = queries(300);
        let client_task = async {
            let mut conn = Connection::new(client, limits);
            for query in &queries {
                conn.query(query.as_str());
            }
            let error = conn.flush().await.expect_err("the answers are more than 1000 bytes");
            assert!(matches!(error, Error::InboxFull) && !error.is_fatal(), "{error:?}");
            assert!(
                matches!(conn.flush().await, Err(Error::InboxFull)),
                "the inbox stays full until a message is received"
            );
            assert!((1000..1000 + 3 * limits.read_size).contains(&conn.inbox().buffered()));
            let mut done = false;
            for query in &queries {
                assert_eq!(pair(conn.recv().await.expect("an answer to each query")), answer(query));
                if flush_again && !done {
                    match conn.flush().await {
                        Ok(()) => done = true,
                        Err(error) => assert!(matches!(error, Error::InboxFull)),
                    }
                }
            }
            assert_eq!(done, flush_again);
            assert_eq!(conn.outbox().pending(), b"");
        };
        run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS).expect("no deadlock");
        assert_eq!(received.get(), 300);
    }
}

#[test]
fn recv_continues_a_flush_and_does_not_send_messages_that_were_queued_later() {
    let limits = Limits::BACKEND.read_ahead(200);
    let (client, server) = pipe(64);
    let received = Cell::new(0);
    let queries = queries(100);
    let client_task = async {
        let mut conn = Connection::new(client, limits);
        for query in &queries {
            conn.query(query.as_str());
        }
        assert!(matches!(conn.flush().await, Err(Error::InboxFull)));
        conn.query("select 'queued since'");
        for query in &queries {
            assert_eq!(pair(conn.recv().await.expect("recv continues the flush")), answer(query));
        }
        {
            // Checks that no further message arrives. The last query is queued but not flushed, so the server must not answer this query.
            let mut next = pin!(conn.recv());
            for _ in 0..10 {
                assert!(poll_once(next.as_mut()).is_pending());
            }
        }
        assert_eq!(received.get(), 100);
        assert!(!conn.outbox().batch().is_empty());
        conn.flush().await.expect("the query fits into the pipe");
        assert_eq!(pair(conn.recv().await.expect("the answer arrives now")), answer("select 'queued since'"));
    };
    run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS).expect("no deadlock");
}

#[test]
fn recv_continues_a_dropped_flush() {
    let mut conn = Connection::new(Steps::writing([Write::Take(3), Write::Wait]), Limits::BACKEND);
    conn.query("select 1");
    assert!(poll_once(pin!(conn.flush())).is_pending());
    assert_eq!(conn.transport().wrote, b"Q\0\0");
    conn.query("select 2");
    assert!(poll_once(pin!(conn.recv())).is_pending());
    assert_eq!(conn.transport().wrote, frame(b'Q', b"select 1\0"));
    assert_eq!(conn.transport().flushed, conn.transport().wrote.len());
    assert_eq!(conn.outbox().batch(), frame(b'Q', b"select 2\0"));
}

#[test]
fn flush_does_not_read_while_the_peer_reads() {
    let mut conn = Connection::new(Steps::reading([Read::Bytes(frame(b'Z', b"I"))]), Limits::BACKEND);
    block_on(conn.query("select 1").flush()).expect("the stream accepts everything");
    assert_eq!(conn.inbox().buffered(), 0);
    // Checks that `flush` has not read from the stream: the script still contains the last read.
    assert_eq!(conn.transport().reads.len(), 1);
}

#[test]
fn halves_can_be_used_on_two_threads() {
    let (client, server) = pipe(50);
    let queries = queries(400);
    thread::scope(|scope| {
        scope.spawn(|| testing::block_on(echo(server, &Cell::new(0))));
        let (mut from, mut to) = Connection::new(client, Limits::BACKEND).split();
        let sent = &queries;
        scope.spawn(move || {
            testing::block_on(async {
                for query in sent {
                    to.query(query.as_str()).flush().await.expect("the server reads");
                }
                to.close().await.expect("the stream can be closed");
            });
        });
        testing::block_on(async {
            for query in &queries {
                assert_eq!(pair(from.recv().await.expect("an answer to each query")), answer(query));
            }
            assert!(matches!(from.recv().await, Err(Error::Closed { mid_message: false })));
        });
    });
}

#[test]
fn a_split_loses_no_bytes_in_either_direction() {
    let input = [frame(b'1', b""), frame(b'2', b""), frame(b'Z', b"I")].concat();
    let mut steps = Steps::reading([Read::Bytes(input[..13].to_vec()), Read::Bytes(input[13..].to_vec())]);
    steps.writes = [Write::Take(4), Write::Never].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    block_on(conn.recv()).expect("the first of three");
    assert!(poll_once(pin!(conn.sync().flush())).is_pending());
    conn.query("q");
    let (mut from, mut to) = conn.split();
    assert_eq!(block_on(from.recv()).expect("the second of three").code, MessageCode::BIND_COMPLETE);
    assert_eq!(block_on(from.recv()).expect("the third of three").body, b"I");
    assert!(poll_once(pin!(to.flush())).is_pending());
    assert_eq!(to.outbox_mut().pending(), [&b"\x04"[..], &frame(b'Q', b"q\0")].concat());
}

// ---- Dropped futures -------------------------------------------------------------------------------------------------

/// Creates a future from `$call`, polls the future up to `$polls()` times, and drops the future. Repeats these steps until a future is
/// ready.
macro_rules! repeat_until_ready {
    ($polls:ident, $call:expr, $then:expr) => {
        'done: loop {
            let mut future = pin!($call);
            for _ in 0..$polls() {
                if let Poll::Ready(result) = poll_once(future.as_mut()) {
                    #[allow(clippy::redundant_closure_call)]
                    break 'done $then(result);
                }
            }
        }
    };
}

/// The observable result of a session: the received frames, the written bytes, the number of flushed bytes, and whether the client closed
/// the stream.
#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<(MessageCode, Vec<u8>)>,
    wrote: Vec<u8>,
    flushed: usize,
    closed: bool,
}

/// Runs a session in which every call is pending several times. A future that is not ready after `polls()` polls is dropped, and the call
/// is repeated.
fn session(mut polls: impl FnMut() -> usize) -> Outcome {
    let replies = [
        frame(b'1', b""),
        frame(b'D', &[9; 40]),
        frame(b'C', b"SELECT 1\0"),
        frame(b'Z', b"I"),
        frame(b'A', &[1; 30]),
        frame(b'D', &[8; 50]),
        frame(b'Z', b"T"),
        frame(b'N', b"\0"),
    ];
    let mut steps = Steps::reading(replies.concat().chunks(3).enumerate().flat_map(|(index, piece)| {
        let piece = Read::Bytes(piece.to_vec());
        if index % 2 == 0 {
            vec![Read::Wait, Read::Fail(ErrorKind::Interrupted), Read::Wait, piece]
        } else {
            vec![piece]
        }
    }));
    let pattern = [
        Write::Take(5),
        Write::Wait,
        Write::Take(1),
        Write::Fail(ErrorKind::Interrupted),
        Write::Wait,
        Write::Wait,
    ];
    steps.writes = pattern.repeat(60).into();
    steps.flushes =
        [Write::Wait, Write::Fail(ErrorKind::Interrupted), Write::Wait, Write::Take(0)].repeat(60).into();
    steps.closes = [Write::Wait, Write::Wait, Write::Fail(ErrorKind::Interrupted), Write::Wait].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    let mut seen = Vec::new();

    conn.parse(Statement("s")).query("select $1").finish().sync();
    repeat_until_ready!(polls, conn.flush(), |result: Result<(), Error>| result
        .expect("the stream accepts everything"));
    repeat_until_ready!(polls, conn.recv(), |frame: Result<Frame<'_>, Error>| seen
        .push(pair(frame.expect("a message arrives"))));
    repeat_until_ready!(polls, conn.recv_owned(), |frame: Result<_, Error>| {
        let frame: pg_wire::FrameBuf = frame.expect("a message arrives");
        seen.push(pair(frame.frame()));
    });
    repeat_until_ready!(polls, conn.recv(), |frame: Result<Frame<'_>, Error>| seen
        .push(pair(frame.expect("a message arrives"))));
    conn.query("a query that is rather longer than the others are").query("b");
    repeat_until_ready!(polls, conn.flush(), |result: Result<(), Error>| result
        .expect("the stream accepts everything"));
    repeat_until_ready!(polls, conn.fill(), |result: Result<(), Error>| result.expect("bytes arrive"));
    for _ in 0..4 {
        repeat_until_ready!(polls, conn.recv(), |frame: Result<Frame<'_>, Error>| seen
            .push(pair(frame.expect("a message arrives"))));
    }
    conn.terminate();
    repeat_until_ready!(polls, conn.close(), |result: Result<(), Error>| result
        .expect("the stream accepts everything"));
    repeat_until_ready!(polls, conn.recv(), |frame: Result<Frame<'_>, Error>| seen
        .push(pair(frame.expect("a message arrives"))));
    repeat_until_ready!(polls, conn.recv(), |frame: Result<Frame<'_>, Error>| {
        assert!(matches!(frame, Err(Error::Closed { mid_message: false })), "{frame:?}");
    });
    assert_eq!(seen, replies.map(|reply| (MessageCode(reply[0]), reply[5..].to_vec())));
    let (steps, ..) = conn.into_parts();
    Outcome { seen, wrote: steps.wrote, flushed: steps.flushed, closed: steps.closed }
}

#[test]
fn every_future_can_be_dropped_at_every_point() {
    let whole = session(|| usize::MAX);
    let expected = [
        &frame(b'P', b"s\0select $1\0\0\0")[..],
        &frame(b'S', b""),
        &frame(b'Q', b"a query that is rather longer than the others are\0"),
        &frame(b'Q', b"b\0"),
        &frame(b'X', b""),
    ]
    .concat();
    assert_eq!(whole.wrote.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!((whole.flushed, whole.closed), (expected.len(), true));

    // Every future is dropped after the same number of polls.
    let mut attempts = 0;
    session(|| {
        attempts += 1;
        1
    });
    assert!(attempts > 100, "only {attempts} futures were dropped");
    for patience in 1..20 {
        assert_eq!(session(|| patience), whole, "each future is dropped after {patience} polls");
    }
    // In each round, only one future is dropped, after `patience` polls. If `patience` is 0, the future is never polled.
    let calls = 12;
    for dropped in 0..calls {
        for patience in 0..60 {
            let mut call = 0;
            let polls = || {
                call += 1;
                // `call` counts from 1, `dropped` from 0. Only the future with the index `dropped` has a limit. All other futures are
                // polled until they are ready.
                if call == dropped + 1 { patience } else { usize::MAX }
            };
            assert_eq!(
                session(polls),
                whole,
                "the future of call {dropped} is dropped after {patience} polls"
            );
        }
    }
}

// ---- send_copy_data --------------------------------------------------------------------------------------------------

/// A stream with vectored writes, and the number of its writes.
struct Vectored(Steps, usize);

impl Source for Vectored {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, space)
    }
}

impl Sink for Vectored {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1 += 1;
        self.0.poll_write(cx, bytes)
    }
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &all)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_close(cx)
    }
}

/// Returns data for a COPY. `send_copy_data` copies the first 1,024 bytes to the outbox. This data is longer, so that the rest is written
/// directly from this slice.
fn block() -> Vec<u8> {
    (0..200).map(|row| format!("{row}\tsome text\n")).collect::<String>().into_bytes()
}

#[test]
fn data_is_sent_in_one_write_with_the_messages_queued_before_it() {
    let mut conn = Connection::new(Vectored(Steps::writing([]), 0), Limits::BACKEND);
    conn.query("copy t from stdin");
    block_on(conn.send_copy_data(&block())).expect("the stream accepts everything");
    block_on(conn.send_copy_data(b"")).expect("empty data can be sent");
    let Vectored(steps, writes) = conn.transport();
    let expected = [frame(b'Q', b"copy t from stdin\0"), frame(b'd', &block()), frame(b'd', b"")].concat();
    assert_eq!((&steps.wrote, steps.flushed, *writes), (&expected, expected.len(), 2));
}

#[test]
fn the_next_flush_sends_the_rest_of_data_whose_future_was_dropped() {
    let pattern =
        [Write::Take(70), Write::Wait, Write::Take(2), Write::Fail(ErrorKind::Interrupted), Write::Take(300)];
    let expected =
        [frame(b'Q', b"copy t from stdin\0"), frame(b'd', &block()), frame(b'c', b""), frame(b'S', b"")];
    let expected = expected.concat().escape_ascii().to_string();
    for vectored in [false, true] {
        for patience in 0..40 {
            let mut steps = Steps::writing(pattern.repeat(20));
            steps.flushes = [Write::Wait, Write::Take(0)].repeat(10).into();
            let wrote = if vectored {
                partly_sent(Vectored(steps, 0), patience).0.wrote
            } else {
                partly_sent(steps, patience).wrote
            };
            assert_eq!(wrote.escape_ascii().to_string(), expected, "{patience}");
        }
    }
}

/// Polls the future of `send_copy_data` at most `patience` times, and drops the future. Then sends the remaining data and the end of the
/// COPY.
fn partly_sent<T: Source + Sink>(stream: T, patience: usize) -> T {
    let mut conn = Connection::new(stream, Limits::BACKEND);
    conn.query("copy t from stdin");
    {
        let block = block();
        let mut sending = pin!(conn.send_copy_data(&block));
        for _ in 0..patience {
            if let Poll::Ready(done) = poll_once(sending.as_mut()) {
                done.expect("the stream accepts everything");
                break;
            }
        }
    }
    conn.copy_done().sync();
    block_on(conn.flush()).expect("the stream accepts everything");
    conn.into_parts().0
}

#[test]
fn data_larger_than_both_buffers_is_sent_while_answers_arrive() {
    let (client, server) = pipe(50);
    let received = Cell::new(0);
    let blocks: Vec<Vec<u8>> = (1..30).map(|length| vec![b'x'; 100 * length]).collect();
    let client_task = async {
        let mut conn = Connection::new(client, Limits::BACKEND);
        for block in &blocks {
            conn.send_copy_data(block).await.expect("the server reads");
        }
        for block in &blocks {
            let (_, answer) = pair(conn.recv().await.expect("an answer to each query"));
            assert_eq!(answer, block.repeat(2));
        }
    };
    run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS).expect("no deadlock");
    assert_eq!(received.get(), blocks.len());
}

#[test]
fn data_is_kept_when_the_inbox_is_full() {
    let limits = Limits::BACKEND.read_ahead(100).read_size(50);
    let (client, server) = pipe(64);
    let received = Cell::new(0);
    let (first, second) = (vec![b'x'; 2000], vec![b'y'; 2000]);
    let client_task = async {
        let mut conn = Connection::new(client, limits);
        conn.send_copy_data(&first).await.expect("no answer before the end of the block");
        let error = conn.send_copy_data(&second).await.expect_err("the answer to the first is too long");
        assert!(matches!(error, Error::InboxFull) && !error.is_fatal(), "{error:?}");
        for block in [&first, &second] {
            let (_, answer) = pair(conn.recv().await.expect("a message arrives"));
            assert_eq!(answer, block.repeat(2));
        }
    };
    run(vec![Box::pin(client_task), Box::pin(echo(server, &received))], POLLS).expect("no deadlock");
    assert_eq!(received.get(), 2);
}

#[test]
fn data_after_a_rejected_message_or_after_a_failure_is_not_sent() {
    let block = block();
    let mut conn = Connection::new(Steps::writing([]), Limits::BACKEND);
    conn.query("\0");
    assert!(matches!(block_on(conn.send_copy_data(&block)), Err(Error::Encode(_))));
    assert_eq!(conn.transport().wrote, b"");
    block_on(conn.send_copy_data(&block)).expect("the error has been reported");
    assert_eq!(conn.transport().wrote, frame(b'd', &block));

    let steps = Steps::writing([Write::Take(1200), Write::Fail(ErrorKind::BrokenPipe)]);
    let mut conn = Connection::new(steps, Limits::BACKEND);
    assert_eq!(io_kind(block_on(conn.send_copy_data(&block))), ErrorKind::BrokenPipe);
    for _ in 0..3 {
        assert!(matches!(block_on(conn.send_copy_data(&block)), Err(Error::Poisoned(_))));
        assert_eq!(conn.outbox().pending(), b"", "bytes that cannot be sent are dropped");
    }
}

#[test]
fn after_a_leaked_future_of_data_nothing_can_be_sent() {
    // `polls` is the number of polls before the future is leaked. After 0 polls, no data has been sent. After 1 poll, a part of the data
    // has been sent.
    for polls in [0, 1] {
        let block = block();
        let mut conn = Connection::new(Steps::writing([Write::Take(7), Write::Wait]), Limits::BACKEND);
        let mut leaked = Box::pin(conn.send_copy_data(&block));
        for _ in 0..polls {
            assert!(poll_once(leaked.as_mut()).is_pending());
        }
        std::mem::forget(leaked);
        assert_eq!(conn.write_fault(), Some(Fault::Leaked));
        assert!(!conn.is_quiet());
        let sent = conn.transport().wrote.len();
        for _ in 0..2 {
            // The Query must not be sent: the server would read the Query as the rest of the unfinished CopyData.
            let error = block_on(conn.query("drop table t").flush()).expect_err("the message is cut short");
            assert!(matches!(error, Error::Poisoned(Fault::Leaked)) && error.is_fatal(), "{error:?}");
            let error = block_on(conn.send_copy_data(&block)).expect_err("the message is cut short");
            assert!(matches!(error, Error::Poisoned(Fault::Leaked)), "{error:?}");
            block_on(conn.close()).expect_err("the message is cut short");
            assert!(conn.outbox().is_empty());
        }
        assert_eq!(conn.transport().wrote.len(), sent);
        let (_, mut half) = conn.split();
        assert!(matches!(block_on(half.flush()), Err(Error::Poisoned(Fault::Leaked))));
    }
}

#[test]
fn data_that_is_too_long_drops_its_batch() {
    // These 2 GiB take almost no memory, because the operating system allocates no memory for zeroed pages that are never accessed.
    let data = vec![0; i32::MAX as usize - 3];
    let mut conn = Connection::new(Steps::writing([]), Limits::BACKEND);
    conn.query("copy t from stdin");
    let error = block_on(conn.send_copy_data(&data)).expect_err("longer than a message can be");
    assert!(matches!(error, Error::Encode(_)) && !error.is_fatal(), "{error:?}");
    assert!(conn.outbox().is_empty());
    block_on(conn.sync().flush()).expect("the connection can be used");
    assert_eq!(conn.transport().wrote, frame(b'S', b""));
}

#[test]
fn the_sending_half_sends_data_without_copying() {
    let (block, steps) = (block(), Steps::writing([Write::Take(5000), Write::Wait]));
    let (_, mut to) = Connection::new(steps, Limits::BACKEND).split();
    assert!(poll_once(pin!(to.send_copy_data(&block))).is_pending());
    assert_eq!(to.outbox_mut().pending(), &block[1024..]);
    block_on(to.flush()).expect("the stream accepts everything");
    assert!(to.outbox_mut().is_empty());
}

// ---- Errors --------------------------------------------------------------------------------------

#[test]
fn a_rejected_message_drops_its_batch_and_the_connection_can_still_be_used() {
    let mut conn = Connection::new(Steps::reading([Read::Bytes(frame(b'Z', b"I"))]), Limits::BACKEND);
    block_on(async {
        conn.query("select 1").flush().await.expect("valid");
        let error = conn.query("select 2").query("select '\0'").sync().flush().await.expect_err("a NUL");
        assert!(matches!(error, Error::Encode(_)) && !error.is_fatal());
        assert_eq!(conn.transport().wrote, frame(b'Q', b"select 1\0"));
        assert_eq!((conn.read_fault(), conn.write_fault()), (None, None));
        conn.flush().await.expect("the error is reported once");
        conn.query("select 3").flush().await.expect("valid");
        assert_eq!(conn.transport().wrote, [frame(b'Q', b"select 1\0"), frame(b'Q', b"select 3\0")].concat());
        assert_eq!(conn.recv().await.expect("a message arrives").body, b"I");
    });
}

#[test]
fn a_rejected_message_does_not_stop_the_batch_before_it() {
    let mut conn = Connection::new(Steps::writing([Write::Take(3), Write::Wait]), Limits::BACKEND);
    assert!(poll_once(pin!(conn.query("select 1").flush())).is_pending());
    assert!(matches!(block_on(conn.query("\0").flush()), Err(Error::Encode(_))));
    block_on(conn.flush()).expect("the earlier batch is sent");
    assert_eq!(conn.transport().wrote, frame(b'Q', b"select 1\0"));
}

#[test]
fn after_a_malformed_body_the_next_message_is_received() {
    let input = [frame(b'Z', b""), frame(b'E', b"Mno end"), frame(b'Z', b"IT"), frame(b'Z', b"I")].concat();
    let mut conn = Connection::new(Steps::reading([Read::Bytes(input)]), Limits::BACKEND);
    block_on(async {
        for _ in 0..3 {
            let error = Error::from(conn.recv().await.expect("a frame").backend().expect_err("malformed"));
            assert!(matches!(error, Error::Decode(_)) && !error.is_fatal());
        }
        let ready = conn.recv().await.expect("a frame").backend().expect("well-formed");
        assert!(matches!(ready, Backend::ReadyForQuery(ReadyForQuery { .. })));
        assert_eq!((conn.read_fault(), conn.write_fault()), (None, None));
    });
}

#[test]
fn an_invalid_header_poisons_the_connection() {
    let bad_length = (&b"Z\0\0\0\x03"[..], FrameErrorKind::BadLength { length: 3 });
    let too_long =
        (&b"Z\0\x01\0\x05"[..], FrameErrorKind::TooLong { length: 65_537, limit: 65_536, skipped: false });
    for (header, kind) in [bad_length, too_long] {
        let input = [&frame(b'Z', b"I")[..], header, &frame(b'Z', b"I")].concat();
        let mut conn = Connection::new(Steps::reading([Read::Bytes(input)]), Limits::BACKEND);
        block_on(async {
            conn.recv().await.expect("the first header is valid");
            let error = conn.recv().await.expect_err("the second header is invalid");
            assert!(matches!(error, Error::Frame(error) if error.kind == kind), "{error:?}");
            assert!(error.is_fatal());
            for _ in 0..2 {
                let error = conn.recv().await.expect_err("each later call fails too");
                assert!(
                    matches!(error, Error::Poisoned(Fault::Frame(error)) if error.kind == kind),
                    "{error:?}"
                );
                assert!(error.is_fatal());
                assert!(matches!(conn.try_recv(), Err(Error::Poisoned(Fault::Frame(_)))));
                assert!(matches!(conn.recv_owned().await, Err(Error::Poisoned(Fault::Frame(_)))));
                assert!(matches!(conn.fill().await, Err(Error::Poisoned(Fault::Frame(_)))));
            }
            assert!(matches!(conn.read_fault(), Some(Fault::Frame(error)) if error.kind == kind));
            // The invalid header has ended only the receiving direction. The sending direction can still be used.
            conn.terminate().flush().await.expect("the stream accepts everything");
            assert_eq!(conn.transport().wrote, frame(b'X', b""));
        });
    }
}

#[test]
fn only_the_frame_over_the_limit_is_skipped() {
    let input = [frame(b'D', &[0; 30_001]), frame(b'D', &[0; 40_000]), frame(b'Z', b"I")].concat();
    let reads = input.chunks(700).map(|piece| Read::Bytes(piece.to_vec()));
    let mut conn = Connection::new(Steps::reading(reads), Limits::BACKEND.before_authentication());
    block_on(async {
        for length in [30_001, 40_000] {
            let error = conn.recv().await.expect_err("over the limit");
            let kind = FrameErrorKind::TooLong { length, limit: 30_000, skipped: true };
            assert!(matches!(error, Error::Frame(error) if error.kind == kind), "{error:?}");
            assert!(!error.is_fatal());
            assert_eq!((conn.read_fault(), conn.write_fault()), (None, None));
        }
        assert_eq!(conn.recv().await.expect("a message arrives").body, b"I");
    });
}

#[test]
fn until_ready_receives_all_messages_after_a_message_over_its_limit() {
    let failed = frame(b'E', b"SERROR\0C22012\0Mdivision by zero\0\0");
    let (long, ready) = (frame(b'D', &[0; 30_001]), frame(b'Z', b"I"));
    let conn_of = |input: Vec<u8>| {
        let reads = input.chunks(700).map(|piece| Read::Bytes(piece.to_vec())).collect::<Vec<_>>();
        Connection::new(Steps::reading(reads), Limits::BACKEND.before_authentication())
    };
    let next = frame(b'Z', b"T");
    for (input, is_server) in
        [([&long[..], &ready, &next].concat(), false), ([&failed[..], &long, &ready, &next].concat(), true)]
    {
        let mut conn = conn_of(input);
        let error = block_on(conn.until_ready(|_| Ok::<_, Error>(()))).expect_err("the first error");
        assert_eq!(matches!(error, Error::Server(_)), is_server, "{error:?}");
        // The call above has failed, but has received all messages up to the first ReadyForQuery. So this call receives only the second
        // ReadyForQuery.
        let status = block_on(conn.until_ready(|_| Ok::<_, Error>(()))).expect("no error");
        assert_eq!(status, pg_wire::TransactionStatus::InTransaction);
    }
}

const FATAL: &[u8] = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0";

/// Checks the results of three calls of `recv`: the last message of the server, then the error `Closed`, and then the error `Poisoned`.
fn expect_last_message_and_end(conn: &mut Connection<Steps>) {
    block_on(async {
        let error = conn.recv().await.expect("the last message is buffered").decode::<ErrorResponse<'_>>();
        assert_eq!(error.expect("well-formed").fields.severity(), Some("FATAL".into()));
        let error = conn.recv().await.expect_err("the stream has ended");
        assert!(matches!(error, Error::Closed { mid_message: false }) && error.is_fatal(), "{error:?}");
        let error = conn.recv().await.expect_err("the stream has ended");
        assert!(matches!(error, Error::Poisoned(Fault::Closed)) && error.is_fatal(), "{error:?}");
    });
}

#[test]
fn a_write_error_is_reported_after_the_last_message_of_the_server() {
    let mut steps = Steps::reading([Read::Bytes(frame(b'E', FATAL))]);
    steps.writes = [Write::Take(2), Write::Fail(ErrorKind::BrokenPipe)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    block_on(conn.query("select 1").flush()).expect("a message has to be received first");
    assert_eq!(conn.write_fault(), Some(Fault::Io(ErrorKind::BrokenPipe)));
    block_on(conn.sync().flush()).expect("the message has not been received yet");
    expect_last_message_and_end(&mut conn);
    assert_eq!(io_kind(block_on(conn.flush())), ErrorKind::BrokenPipe);
    let again = block_on(conn.flush()).expect_err("each later call fails too");
    assert!(
        matches!(again, Error::Poisoned(Fault::Io(ErrorKind::BrokenPipe))) && again.is_fatal(),
        "{again:?}"
    );
}

#[test]
fn a_write_error_is_reported_at_once_when_no_message_has_arrived() {
    for input in [&b""[..], b"E\0\0\0\x20half a message"] {
        let mut steps = Steps::reading([Read::Bytes(input.to_vec())]);
        steps.writes = [Write::Fail(ErrorKind::BrokenPipe)].into();
        let mut conn = Connection::new(steps, Limits::BACKEND);
        assert_eq!(io_kind(block_on(conn.query("select 1").flush())), ErrorKind::BrokenPipe);
        let error = block_on(conn.recv()).map(drop).expect_err("the stream has ended");
        assert!(
            matches!(error, Error::Closed { mid_message } if mid_message != input.is_empty()),
            "{error:?}"
        );
    }
}

/// A stream that never ends: each read returns up to 64 KiB. Each write fails.
struct Endless {
    /// First bytes of the stream.
    head: Vec<u8>,
    /// Number of calls of `poll_read`.
    reads: usize,
}

impl Source for Endless {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let head: Vec<u8> = self.head.drain(..self.head.len().min(space.len())).collect();
        space[..head.len()].copy_from_slice(&head);
        self.reads += 1;
        Poll::Ready(Ok(space.len().min(65_536)))
    }
}

impl Sink for Endless {
    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn reading_after_a_write_error_stops_at_the_read_ahead_limit_and_lets_other_tasks_run() {
    // The header announces a message of 1 GiB. Case 1: the message is within the limit, so its bytes are buffered. Case 2: the message is
    // over the limit, so its bytes are skipped.
    for (bulk, skipped) in [(Limits::BACKEND.bulk, false), (1 << 20, true)] {
        let limits = Limits::BACKEND.bulk(bulk).read_ahead(8 << 20);
        let endless = Endless { head: b"d\x3f\xff\xff\xff".to_vec(), reads: 0 };
        let mut conn = Connection::new(endless, limits);
        conn.query("select 1");
        let mut polls = 0;
        let error = {
            let mut flush = Box::pin(conn.flush());
            loop {
                match poll_once(flush.as_mut()) {
                    Poll::Ready(done) => break done.err(),
                    Poll::Pending => polls += 1,
                }
                assert!(polls < POLLS);
            }
        };
        let buffered = conn.inbox().buffered();
        assert!(buffered < limits.read_ahead + limits.read_size, "{buffered}");
        assert!(conn.transport().reads <= polls, "a poll made more than one read");
        if skipped {
            assert!(error.is_none(), "the message over its limit is received first: {error:?}");
            assert!(matches!(block_on(conn.recv()), Err(Error::Frame(_))));
            assert_eq!(conn.write_fault(), Some(Fault::Io(ErrorKind::BrokenPipe)));
        } else {
            assert!(matches!(error, Some(Error::Io(_))), "{error:?}");
        }
    }
}

#[test]
fn messages_for_a_stream_that_has_failed_are_dropped() {
    let mut conn = Connection::new(Steps::writing([Write::Fail(ErrorKind::BrokenPipe)]), Limits::BACKEND);
    let large = "x".repeat(1 << 20);
    for batch in 0..100 {
        let error = block_on(conn.query(large.as_str()).sync().flush()).expect_err("the stream has failed");
        assert_eq!(matches!(error, Error::Io(_)), batch == 0, "{error:?}");
        assert!(conn.outbox().is_empty());
        assert!(conn.outbox().capacity() <= Limits::BACKEND.write_retain, "{}", conn.outbox().capacity());
    }
    conn.query("\0");
    assert!(matches!(block_on(conn.flush()), Err(Error::Encode(_))), "the message is invalid");
    assert!(matches!(block_on(conn.flush()), Err(Error::Poisoned(_))));
}

#[test]
fn an_end_of_the_stream_found_by_flush_is_reported_by_recv_after_the_last_message() {
    let mut steps = Steps::reading([Read::Bytes(frame(b'E', FATAL))]);
    steps.writes = [Write::Wait, Write::Wait, Write::Fail(ErrorKind::BrokenPipe)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    block_on(conn.query("select 1").flush()).expect("a message has to be received first");
    assert!(conn.inbox().buffered() > 0, "flush has read while it waited");
    expect_last_message_and_end(&mut conn);
    assert_eq!(io_kind(block_on(conn.flush())), ErrorKind::BrokenPipe);
}

#[test]
fn a_read_error_found_by_flush_is_reported_by_recv() {
    let mut steps = Steps::reading([Read::Bytes(frame(b'Z', b"I")), Read::Fail(ErrorKind::ConnectionReset)]);
    steps.writes = [Write::Wait, Write::Wait, Write::Wait].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    block_on(conn.query("select 1").flush()).expect("the stream accepts everything in the end");
    block_on(async {
        assert_eq!(conn.recv().await.expect("a message that arrived before the error").body, b"I");
        assert_eq!(io_kind(conn.recv().await), ErrorKind::ConnectionReset);
        let again = conn.recv().await.expect_err("each later call fails too");
        assert!(matches!(again, Error::Poisoned(Fault::Io(ErrorKind::ConnectionReset))), "{again:?}");
    });
}

#[test]
fn a_write_error_found_by_recv_is_reported_by_flush() {
    let mut steps = Steps::reading([Read::Wait, Read::Bytes(frame(b'E', FATAL))]);
    steps.writes = [Write::Wait, Write::Take(3), Write::Fail(ErrorKind::BrokenPipe)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND.read_ahead(0));
    block_on(async {
        assert!(matches!(conn.query("select 1").flush().await, Err(Error::InboxFull)));
        assert_eq!(conn.recv().await.expect("the last message").body, FATAL);
        assert_eq!(conn.transport().wrote, b"Q\0\0");
        assert_eq!(io_kind(conn.flush().await), ErrorKind::BrokenPipe);
        assert!(matches!(conn.flush().await, Err(Error::Poisoned(Fault::Io(ErrorKind::BrokenPipe)))));
        assert!(matches!(conn.close().await, Err(Error::Poisoned(Fault::Io(ErrorKind::BrokenPipe)))));
        assert!(matches!(conn.recv().await, Err(Error::Closed { mid_message: false })));
    });
}

#[test]
fn a_stream_may_end_or_fail_after_every_byte() {
    let frames = [frame(b'1', b""), frame(b'D', b"\0\x01\0\0\0\x01x"), frame(b'Z', b"I")];
    let input = frames.concat();
    let ends = [5, 17, 23];
    for cut in 0..=input.len() {
        for fails in [false, true] {
            let mut steps = Steps::reading([Read::Bytes(input[..cut].to_vec())]);
            if cut == 0 {
                steps.reads.clear();
            }
            if fails {
                steps.at_end = Read::Fail(ErrorKind::ConnectionReset);
            }
            let mut conn = Connection::new(steps, Limits::BACKEND);
            block_on(async {
                for _ in ends.iter().filter(|end| **end <= cut) {
                    conn.recv().await.expect("a whole frame");
                }
                let error = conn.recv().await.expect_err("the stream has ended");
                assert!(error.is_fatal());
                match error {
                    Error::Io(error) => assert!(fails && error.kind() == ErrorKind::ConnectionReset),
                    Error::Closed { mid_message } => {
                        assert!(!fails);
                        assert_eq!(mid_message, cut != 0 && !ends.contains(&cut), "after byte {cut}");
                    }
                    other => unreachable!("{other:?}"),
                }
                assert!(matches!(conn.recv().await, Err(Error::Poisoned(_))));
            });
        }
    }
}

#[test]
fn an_end_inside_a_skipped_frame_counts_as_mid_message() {
    let input = frame(b'D', &[0; 40_000]);
    let steps = Steps::reading([Read::Bytes(input[..40_004].to_vec())]);
    let mut conn = Connection::new(steps, Limits::BACKEND.before_authentication());
    block_on(async {
        assert!(matches!(conn.recv().await, Err(Error::Frame(_))));
        assert!(matches!(conn.recv().await, Err(Error::Closed { mid_message: true })));
    });
}

#[test]
fn an_end_after_a_whole_message_does_not_count_as_mid_message() {
    let mut conn = Connection::new(Steps::reading([Read::Bytes(frame(b'Z', b"I"))]), Limits::BACKEND);
    block_on(async {
        conn.fill().await.expect("bytes arrive");
        assert!(matches!(conn.fill().await, Err(Error::Closed { mid_message: false })));
        assert_eq!(conn.recv().await.expect("the message is buffered").body, b"I");
        assert!(matches!(conn.recv().await, Err(Error::Poisoned(Fault::Closed))));
    });
}

#[test]
fn writing_may_fail_after_every_byte() {
    let message = frame(b'Q', b"select 1\0");
    for cut in 0..message.len() {
        let mut steps = Steps::writing((0..cut).map(|_| Write::Take(1)));
        steps.writes.push_back(Write::Fail(ErrorKind::ConnectionReset));
        let mut conn = Connection::new(steps, Limits::BACKEND);
        assert_eq!(io_kind(block_on(conn.query("select 1").flush())), ErrorKind::ConnectionReset);
        assert_eq!(conn.transport().wrote, message[..cut]);
        assert!(matches!(block_on(conn.sync().flush()), Err(Error::Poisoned(Fault::Io(_)))));
        assert_eq!(conn.transport().wrote, message[..cut], "no bytes are written after the failure");
    }
    // Two cases: flushing the stream fails, and a write accepts 0 bytes.
    let mut steps = Steps::writing([]);
    steps.flushes = [Write::Fail(ErrorKind::ConnectionReset)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    assert_eq!(io_kind(block_on(conn.sync().flush())), ErrorKind::ConnectionReset);
    let mut conn = Connection::new(Steps::writing([Write::Take(0)]), Limits::BACKEND);
    assert_eq!(io_kind(block_on(conn.sync().flush())), ErrorKind::WriteZero);
    // Case: closing the stream fails.
    let mut steps = Steps::writing([]);
    steps.closes = [Write::Fail(ErrorKind::TimedOut)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    assert_eq!(io_kind(block_on(conn.close())), ErrorKind::TimedOut);
    assert_eq!(conn.write_fault(), Some(Fault::Io(ErrorKind::TimedOut)));
}

#[test]
fn closing_is_no_error_if_the_peer_has_closed_first() {
    for kind in [ErrorKind::NotConnected, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset] {
        let mut steps = Steps::writing([]);
        steps.closes = [Write::Fail(kind)].into();
        let mut conn = Connection::new(steps, Limits::BACKEND);
        block_on(conn.terminate().close()).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(conn.transport().wrote, b"X\0\0\0\x04");
        assert_eq!(conn.write_fault(), None);
        // Case: the Terminate cannot be sent. This is an error.
        let mut steps = Steps::writing([Write::Fail(kind)]);
        steps.closes = [Write::Fail(kind)].into();
        let mut conn = Connection::new(steps, Limits::BACKEND);
        assert_eq!(io_kind(block_on(conn.terminate().close())), kind);
    }
}

#[test]
fn an_interruption_is_no_error() {
    let mut steps = Steps::reading([
        Read::Fail(ErrorKind::Interrupted),
        Read::Fail(ErrorKind::Interrupted),
        Read::Bytes(frame(b'Z', b"I")),
    ]);
    steps.writes =
        [Write::Fail(ErrorKind::Interrupted), Write::Take(2), Write::Fail(ErrorKind::Interrupted)].into();
    steps.flushes = [Write::Fail(ErrorKind::Interrupted)].into();
    steps.closes = [Write::Fail(ErrorKind::Interrupted)].into();
    let mut conn = Connection::new(steps, Limits::BACKEND);
    block_on(async {
        conn.sync().flush().await.expect("the stream accepts everything");
        assert_eq!(conn.recv().await.expect("a message arrives").body, b"I");
        conn.close().await.expect("the stream closes");
    });
    assert!(conn.transport().closed);
    assert_eq!(conn.transport().flushed, 5);
}

#[test]
fn raw_frames_are_forwarded_byte_for_byte() {
    let input: Vec<_> = (0..=255u8).flat_map(|code| frame(code, &vec![code; usize::from(code)])).collect();
    let mut from = Connection::new(Steps::reading([Read::Bytes(input.clone())]), Limits::BACKEND);
    let mut to = Connection::new(Steps::writing([]), Limits::FRONTEND);
    block_on(async {
        while let Ok(frame) = from.recv().await {
            to.put(&frame);
        }
        to.flush().await.expect("the stream accepts everything");
    });
    assert!(to.transport().wrote == input);
}

#[test]
fn new_limits_apply_from_the_next_header_on() {
    let input = [frame(b'S', &[0; 200]), frame(b'S', &[0; 200])].concat();
    let tight = Limits::BACKEND.control(100);
    let mut conn = Connection::new(Steps::reading([Read::Bytes(input)]), Limits::BACKEND);
    block_on(async {
        assert_eq!(conn.recv().await.expect("within the new limit").body.len(), 200);
        conn.set_limits(tight);
        assert!(conn.recv().await.is_err_and(|error| error.is_fatal()));
    });
}

// ---- Compile-time checks -----------------------------------------------------------------------------------------

/// Checks at compile time that all futures are `Send`. This function is never called.
#[allow(dead_code)]
fn futures_can_be_moved_between_threads<T: Source + Sink + Send>(
    conn: &mut Connection<T>,
    from: &mut ReadHalf<T>,
    to: &mut WriteHalf<T>,
) {
    fn is_send(_: impl Send) {}
    is_send(conn.flush());
    is_send(conn.recv());
    is_send(conn.recv_owned());
    is_send(conn.fill());
    is_send(conn.close());
    is_send(from.recv());
    is_send(from.recv_owned());
    is_send(to.flush());
    is_send(to.close());
}

#[test]
fn connections_and_errors_are_send_and_sync() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Connection<Pipe>>();
    check::<Error>();
    check::<pg_wire::FrameBuf>();
    check::<pg_wire::backend::ServerError>();
}

#[test]
fn a_stream_that_reports_more_bytes_than_it_was_given_causes_no_panic() {
    struct Boasting;
    impl Source for Boasting {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(usize::MAX))
        }
    }
    impl Sink for Boasting {
        fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(if bytes.len() > 5 { 1 } else { usize::MAX }))
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut conn = Connection::new(Boasting, Limits::BACKEND);
    block_on(conn.query("select 1").flush()).expect("the stream reports success");
    assert_eq!(conn.outbox().pending(), b"");
    assert!(block_on(conn.recv()).is_err(), "a length of 0 is invalid");
}
