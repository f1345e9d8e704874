//! Tests of the memory that an idle connection holds, and of the allocations of a connection that waits often but is not idle.

mod support;

use allocation_counter::measure;
use pg_wire::{Connection, Error, Limits, PgProtocol, Sink, Source, TrackedConnection};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use support::{frame, poll_once};

/// A stream that returns the pieces of a list in an endless loop. After each piece, one read is pending. All writes succeed.
struct Pieces {
    pieces: Vec<Vec<u8>>,
    /// Index of the current piece.
    piece: usize,
    /// Number of bytes of the current piece that have been read.
    at: usize,
    waits: usize,
}

impl Pieces {
    fn new(pieces: &[&[u8]]) -> Self {
        Self { pieces: pieces.iter().map(|piece| piece.to_vec()).collect(), piece: 0, at: 0, waits: 0 }
    }
}

impl Source for Pieces {
    fn poll_read(&mut self, _: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        let rest = &self.pieces[self.piece][self.at..];
        if rest.is_empty() {
            (self.piece, self.at) = ((self.piece + 1) % self.pieces.len(), 0);
            self.waits += 1;
            return Poll::Pending;
        }
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Poll::Ready(Ok(count))
    }
}

impl Sink for Pieces {
    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Polls a future until it is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return output;
        }
    }
}

/// Encodes `count` rows of 1000 bytes.
fn rows(count: usize) -> Vec<u8> {
    frame(b'D', &[&b"\0\x01\0\0\x03\xdd"[..], &[b'x'; 989]].concat()).repeat(count)
}

/// Encodes the end of a result.
fn end() -> Vec<u8> {
    [frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")].concat()
}

/// Returns the number of bytes that the buffers of a connection hold.
fn held(conn: &Connection<Pieces>) -> usize {
    conn.inbox().capacity() + conn.outbox().capacity()
}

/// Numbers of rows in a large result. Each row has 1000 bytes. The last read of the result returns fewer bytes than the read size (65,536)
/// for 250 rows, and more bytes than the read size for 300 rows. In both cases, the connection must free the memory.
const LARGE: [usize; 2] = [250, 300];

#[test]
fn a_connection_that_has_received_a_large_result_holds_little_memory() {
    for count in LARGE {
        let stream = Pieces::new(&[&[rows(count), end()].concat()]);
        let mut conn = Connection::new(stream, Limits::BACKEND);
        let mut received = 0;
        block_on(conn.query("select").flush()).expect("the stream accepts everything");
        let each = |_: pg_wire::Frame<'_>| {
            received += 1;
            Ok::<_, Error>(())
        };
        block_on(conn.until_ready(each)).expect("the result is valid");
        assert_eq!(received, count + 1);
        assert!(held(&conn) <= 12 * 1024, "{}", held(&conn));
    }
}

#[test]
fn a_connection_that_waits_after_a_large_result_holds_little_memory() {
    for count in LARGE {
        let stream = Pieces::new(&[&[rows(count), end()].concat()]);
        let mut conn = Connection::new(stream, Limits::BACKEND);
        let mut status = Vec::new();
        while status.is_empty() {
            block_on(conn.ready()).expect("the stream never ends");
            while let Some(frame) = conn.try_recv().expect("well-formed") {
                if frame.code.0 == b'Z' {
                    status.extend_from_slice(frame.body);
                }
            }
        }
        assert_eq!(status, b"I");
        assert!(poll_once(pin!(conn.ready())).is_pending());
        assert!(held(&conn) <= 12 * 1024, "{}", held(&conn));
    }
}

#[test]
fn a_tracked_connection_that_has_received_a_large_result_holds_little_memory() {
    for count in LARGE {
        let stream = Pieces::new(&[&[frame(b'T', b"\0\0"), rows(count), end()].concat()]);
        let conn = Connection::new(stream, Limits::BACKEND);
        let mut conn = TrackedConnection::new(conn);
        conn.query("select");
        block_on(conn.flush()).expect("the stream accepts everything");
        block_on(conn.until_ready(|_| Ok::<_, Error>(()))).expect("the result is valid");
        assert!(held(conn.connection()) <= 12 * 1024, "{}", held(conn.connection()));
    }
}

#[test]
fn a_server_that_waits_after_a_large_message_holds_little_memory() {
    let copy = frame(b'd', &vec![7; 250_000]);
    let mut server = Connection::new(Pieces::new(&[&copy]), Limits::FRONTEND);
    assert_eq!(block_on(server.recv()).expect("valid").body.len(), 250_000);
    assert!(held(&server) > 250_000);
    assert!(poll_once(pin!(server.ready())).is_pending());
    assert!(held(&server) <= 12 * 1024, "{}", held(&server));
    assert_eq!(block_on(server.recv()).expect("valid").body.len(), 250_000);
}

#[test]
fn a_connection_that_waits_after_a_large_batch_holds_little_memory() {
    let mut conn = Connection::new(Pieces::new(&[&end(), &end()]), Limits::BACKEND);
    for sql in ["x".repeat(100_000), String::from("x")] {
        conn.query(&sql);
        block_on(conn.flush()).expect("the stream accepts everything");
        for code in [b'C', b'Z'] {
            assert_eq!(block_on(conn.recv()).expect("valid").code.0, code);
        }
    }
    assert!(held(&conn) <= 12 * 1024, "{}", held(&conn));
}

#[test]
fn a_part_of_a_message_is_kept_while_the_connection_waits() {
    let copy = frame(b'd', &vec![7; 250_000]);
    let (first, second) = copy.split_at(200_000);
    let mut server = Connection::new(Pieces::new(&[first, second]), Limits::FRONTEND);
    assert!(poll_once(pin!(server.ready())).is_pending());
    assert_eq!(server.inbox().buffered(), 200_000);
    let frame = block_on(server.recv()).expect("valid");
    assert!(frame.body.len() == 250_000 && frame.body.iter().all(|byte| *byte == 7));
}

/// Sends `sql` and receives the reply, in `warm` rounds and then in `times` rounds. Returns the number of allocations in the last `times`
/// rounds.
fn allocations(pieces: &[&[u8]], sql: &str, warm: usize, times: usize) -> u64 {
    let mut conn = Connection::new(Pieces::new(pieces), Limits::BACKEND);
    let mut run = |times| {
        for _ in 0..times {
            conn.query(sql);
            block_on(conn.flush()).expect("the stream accepts everything");
            block_on(conn.until_ready(|_| Ok::<_, Error>(()))).expect("the result is valid");
        }
    };
    run(warm);
    let counted = measure(|| run(times)).count_total;
    assert!(conn.transport().waits >= warm + times - 1, "each reply follows a wait");
    counted
}

#[test]
fn small_round_trips_do_not_allocate() {
    assert_eq!(allocations(&[&end()], "select 1", 1, 1000), 0);
    // A reply of 15 kB grows the buffer to at most 24 KiB, which an idle connection keeps.
    assert_eq!(allocations(&[&[rows(15), end()].concat()], "select 1", 1, 1000), 0);
    // After a large result, the buffer is small again and stays small.
    let small: &[u8] = &end();
    let large = [rows(250), end()].concat();
    let mut pieces = vec![small; 1000];
    pieces[0] = &large;
    assert_eq!(allocations(&pieces, "select 1", 2, 997), 0);
}

#[test]
fn waits_within_a_result_do_not_allocate() {
    // The peer sends 60 whole rows, then pauses, and so on. So the buffer is empty whenever the connection waits.
    let few = rows(60);
    let mut pieces = vec![&few[..]; 1000];
    let end = end();
    pieces.push(&end);
    let counted = allocations(&pieces, "select 1", 0, 1);
    assert!(counted <= 100, "{counted} allocations in 1000 waits");
}

#[test]
fn waits_after_large_messages_rarely_allocate() {
    let copy = frame(b'd', &vec![7; 100_000]);
    let mut server = Connection::new(Pieces::new(&[&copy]), Limits::FRONTEND);
    let counted = measure(|| {
        for _ in 0..1000 {
            assert_eq!(block_on(server.recv()).expect("valid").body.len(), 100_000);
        }
    });
    assert!(counted.count_total <= 200, "{counted:?} in 1000 waits");
}

#[test]
fn large_batches_rarely_allocate() {
    let counted = allocations(&[&end()], &"x".repeat(100_000), 0, 1000);
    assert!(counted <= 100, "{counted} allocations for 1000 batches");
}

#[test]
fn a_large_result_allocates_its_buffer_in_few_steps() {
    let counted = allocations(&[&[rows(250), end()].concat()], "select 1", 1, 100);
    assert!(counted <= 200, "{counted} allocations for 100 results");
}
