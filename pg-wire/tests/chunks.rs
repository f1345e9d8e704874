//! Tests that cut a stream of frames into pieces of random sizes. The received frames must be the same for all sizes, and the memory of the
//! buffer must stay proportional to the buffered bytes.

mod support;

use pg_wire::{Connection, Error, FrameError, Inbox, Limits, MessageCode, error::FrameErrorKind};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::{self, Debug};
use std::io::ErrorKind;
use support::{Read, Steps, block_on, frame, pair};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Result of one receiving call: a frame, or the error for a frame that is longer than its limit.
type Seen = Result<(MessageCode, Vec<u8>), FrameError>;

#[derive(Clone)]
struct Stream {
    limits: Limits,
    bytes: Vec<u8>,
    expected: Vec<Seen>,
    /// Length in bytes of the longest frame that is not skipped. The header is included.
    largest: usize,
}

impl Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lengths = self.expected.iter().map(|seen| match seen {
            Ok((code, body)) => format!("{code:?} {}", body.len()),
            Err(error) => error.to_string(),
        });
        write!(f, "{:?} {:?}", lengths.collect::<Vec<_>>(), self.limits)
    }
}

/// Generates frames with the codes of bulk messages and control messages, and with an unknown code. All bodies are below the limit for
/// control messages. The limit for bulk messages is random, so a bulk message may be over its limit.
fn stream() -> impl Strategy<Value = Stream> {
    let body = prop_oneof![
        4 => 0usize..3,
        8 => 0usize..100,
        4 => 100usize..3000,
        1 => 3000usize..60_000,
    ];
    let code = prop_oneof![4 => Just(b'D'), 2 => Just(b'd'), 1 => Just(b'E'), 4 => Just(b'Z'), 1 => Just(b'S'), 1 => Just(b'?')];
    let read_size = prop_oneof![1usize..200, 200usize..20_000, Just(65_536)];
    let bulk = prop_oneof![3 => Just(usize::MAX), 2 => 0usize..3000, 1 => 3000usize..60_000];
    (vec((code, body, any::<u8>()), 0..40), read_size, bulk).prop_map(|(frames, read_size, bulk)| {
        let limits = Limits::BACKEND.read_size(read_size).bulk(bulk).control(60_000);
        let (mut bytes, mut expected, mut largest) = (Vec::new(), Vec::new(), 0);
        for (code, length, seed) in frames {
            let body: Vec<u8> = (0u8..=250).cycle().skip(seed.into()).take(length).collect();
            bytes.extend(frame(code, &body));
            let code = MessageCode(code);
            expected.push(if b"DdE".contains(&code.0) && length > bulk {
                Err(FrameError { code, kind: FrameErrorKind::TooLong { length, limit: bulk, skipped: true } })
            } else {
                largest = largest.max(length + 5);
                Ok((code, body))
            });
        }
        Stream { limits, bytes, expected, largest }
    })
}

/// Generates the lengths of the pieces into which a stream is cut. The list is repeated until the stream is cut completely.
fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![1]),
        6 => vec(prop_oneof![1usize..10, 1usize..300, 1usize..9000, 60_000usize..140_000], 1..12),
        1 => Just(vec![usize::MAX]),
    ]
}

fn cut<'s>(mut bytes: &'s [u8], pieces: &'s [usize]) -> impl Iterator<Item = &'s [u8]> {
    pieces.iter().cycle().map_while(move |length| {
        let (now, later) = bytes.split_at(bytes.len().min(*length));
        bytes = later;
        (!now.is_empty()).then_some(now)
    })
}

fn drain(inbox: &mut Inbox, seen: &mut Vec<Seen>) {
    loop {
        match inbox.next() {
            Ok(Some(frame)) => seen.push(Ok(pair(frame))),
            Ok(None) => return,
            Err(error) => seen.push(Err(error)),
        }
        assert!(seen.len() < 1000, "the error of a skipped frame is returned once");
    }
}

/// Creates a stream that returns one piece from each read. Some reads are pending or interrupted.
fn reads(bytes: &[u8], pieces: &[usize]) -> Steps {
    Steps::reading(cut(bytes, pieces).enumerate().flat_map(|(index, piece)| {
        let before = match index % 5 {
            1 => Some(Read::Wait),
            3 => Some(Read::Fail(ErrorKind::Interrupted)),
            _ => None,
        };
        before.into_iter().chain([Read::Bytes(piece.to_vec())])
    }))
}

/// Adds the result of a receiving call to `seen`. Returns false at the end of the stream.
fn note<T>(
    seen: &mut Vec<Seen>,
    answer: Result<T, Error>,
    pair: impl Fn(T) -> (MessageCode, Vec<u8>),
) -> bool {
    match answer {
        Ok(frame) => seen.push(Ok(pair(frame))),
        Err(Error::Frame(error)) => seen.push(Err(error)),
        Err(Error::Closed { mid_message }) => {
            assert!(!mid_message);
            return false;
        }
        Err(error) => unreachable!("{error}"),
    }
    true
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn frames_are_the_same_through_extend_of_an_inbox(stream in stream(), pieces in pieces(), lazy in 1usize..5) {
        let mut inbox = Inbox::new(stream.limits);
        let mut seen = Vec::new();
        let mut most = 0;
        for (index, piece) in cut(&stream.bytes, &pieces).enumerate() {
            inbox.extend(piece);
            most = most.max(inbox.buffered());
            if index % lazy == 0 {
                drain(&mut inbox, &mut seen);
            }
            // `most` is the largest number of bytes that were buffered at one time. The buffer needs room for `most` bytes and for
            // two reads. The capacity may be twice as large as this room, because a full buffer doubles its size.
            prop_assert!(inbox.capacity() <= 2 * (most + 2 * stream.limits.read_size), "{} for {most}", inbox.capacity());
        }
        drain(&mut inbox, &mut seen);
        prop_assert_eq!(&seen, &stream.expected);
        prop_assert!(!inbox.is_mid_frame());
        prop_assert!(inbox.peek().is_empty());
        inbox.space();
        prop_assert!(inbox.capacity() <= 2 * stream.limits.read_size, "{} afterwards", inbox.capacity());
    }

    #[test]
    fn frames_are_the_same_through_space_and_filled_of_an_inbox(stream in stream(), pieces in pieces()) {
        let mut inbox = Inbox::new(stream.limits);
        let mut seen = Vec::new();
        let read_size = stream.limits.read_size;
        let most = (2 * read_size).max(stream.largest + read_size);
        for piece in cut(&stream.bytes, &pieces) {
            let mut piece = piece;
            while !piece.is_empty() {
                let space = inbox.space();
                prop_assert!(!space.is_empty());
                let count = space.len().min(piece.len());
                let (now, later) = piece.split_at(count);
                space[..count].copy_from_slice(now);
                inbox.filled(count);
                piece = later;
                prop_assert!(inbox.capacity() <= most, "{} over {most}", inbox.capacity());
                drain(&mut inbox, &mut seen);
            }
        }
        prop_assert_eq!(&seen, &stream.expected);
        prop_assert!(!inbox.is_mid_frame());
        inbox.space();
        prop_assert!(inbox.capacity() <= 2 * read_size, "{} afterwards", inbox.capacity());
    }

    #[test]
    fn frames_are_the_same_through_recv(stream in stream(), pieces in pieces()) {
        let mut conn = Connection::new(reads(&stream.bytes, &pieces), stream.limits);
        let mut seen = Vec::new();
        let most = (2 * stream.limits.read_size).max(stream.largest + stream.limits.read_size);
        block_on(async {
            while note(&mut seen, conn.recv().await, pair) {
                assert!(conn.inbox().capacity() <= most, "{} over {most}", conn.inbox().capacity());
            }
        });
        prop_assert_eq!(&seen, &stream.expected);
    }

    #[test]
    fn frames_are_the_same_through_try_recv(stream in stream(), pieces in pieces()) {
        let mut conn = Connection::new(reads(&stream.bytes, &pieces), stream.limits);
        let mut seen = Vec::new();
        block_on(async {
            while note(&mut seen, conn.recv().await, pair) {
                loop {
                    match conn.try_recv() {
                        Ok(Some(frame)) => seen.push(Ok(pair(frame))),
                        Ok(None) => break,
                        Err(error) => assert!(note(&mut seen, Err(error), pair)),
                    }
                }
            }
        });
        prop_assert_eq!(&seen, &stream.expected);
    }

    #[test]
    fn frames_are_the_same_through_recv_owned(stream in stream(), pieces in pieces()) {
        let mut conn = Connection::new(reads(&stream.bytes, &pieces), stream.limits);
        // Compares the owned frames after all frames have been received, because a later read must not change an owned frame.
        let mut kept = Vec::new();
        let mut seen = Vec::new();
        block_on(async {
            loop {
                match conn.recv_owned().await {
                    Ok(frame) => kept.push(Ok(frame)),
                    Err(Error::Frame(error)) => kept.push(Err(error)),
                    Err(error) => break assert!(!note(&mut seen, Err(error), pair)),
                }
            }
        });
        let seen: Vec<_> = kept.iter().map(|kept| kept.as_ref().map(|kept| pair(kept.frame())).map_err(|error| *error)).collect();
        prop_assert_eq!(&seen, &stream.expected);
    }

    #[test]
    fn frames_are_the_same_through_a_read_half(stream in stream(), pieces in pieces(), before in 0usize..40) {
        // `before` frames are received before the split, and all later frames after the split.
        let mut conn = Connection::new(reads(&stream.bytes, &pieces), stream.limits);
        let mut seen = Vec::new();
        let mut more = true;
        block_on(async {
            while more && seen.len() < before {
                more = note(&mut seen, conn.recv().await, pair);
            }
            let (mut half, _) = conn.split();
            while more {
                more = note(&mut seen, half.recv().await, pair);
                while let Some(frame) = half.try_recv().transpose() {
                    assert!(note(&mut seen, frame, pair));
                }
                if more {
                    more = note(&mut seen, half.recv_owned().await, |kept| pair(kept.frame()));
                }
            }
        });
        prop_assert_eq!(&seen, &stream.expected);
    }
}

proptest! {
    // The number of cases is small, because each case moves megabytes.
    #![proptest_config(cases(12))]

    #[test]
    fn frames_larger_than_every_buffer_are_received(
        lengths in vec(prop_oneof![0usize..100, 100_000usize..1_500_000], 1..6),
        pieces in vec(prop_oneof![1000usize..70_000, 60_000usize..3_000_000], 1..8),
        limit in prop_oneof![Just(usize::MAX), 200_000usize..1_200_000],
    ) {
        let limits = Limits::BACKEND.bulk(limit);
        let bodies: Vec<_> = lengths.iter().map(|length| (0u8..=250).cycle().take(*length).collect::<Vec<_>>()).collect();
        let bytes = bodies.iter().map(|body| frame(b'd', body)).collect::<Vec<_>>().concat();
        let largest = lengths.iter().filter(|length| **length <= limit).max().map_or(0, |length| length + 5);
        let most = (2 * limits.read_size).max(largest + limits.read_size);
        let check = |owned: bool| {
            let mut conn = Connection::new(reads(&bytes, &pieces), limits);
            let mut seen = Vec::new();
            block_on(async {
                loop {
                    let more = if owned {
                        note(&mut seen, conn.recv_owned().await, |kept| pair(kept.frame()))
                    } else {
                        note(&mut seen, conn.recv().await, pair)
                    };
                    assert!(conn.inbox().capacity() <= most, "{} over {most}", conn.inbox().capacity());
                    if !more {
                        break;
                    }
                }
            });
            assert_eq!(seen.len(), bodies.len());
            for (seen, body) in seen.into_iter().zip(&bodies) {
                match seen {
                    Ok((_, seen)) => assert!(seen == *body && body.len() <= limit),
                    Err(error) => {
                        assert_eq!(error.kind, FrameErrorKind::TooLong { length: body.len(), limit, skipped: true });
                    }
                }
            }
            conn.inbox_mut().space();
            assert!(conn.inbox().capacity() <= 2 * limits.read_size);
        };
        check(false);
        check(true);
    }
}
#[test]
fn memory_for_a_large_frame_is_freed_even_if_the_buffer_is_never_empty() {
    let limits = Limits::BACKEND;
    let mut inbox = Inbox::new(limits);
    let mut take = |bytes: &[u8], seen: &mut usize| {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = inbox.space();
            let count = space.len().min(rest.len()).min(10_000);
            let (now, later) = rest.split_at(count);
            space[..count].copy_from_slice(now);
            inbox.filled(count);
            rest = later;
            while inbox.next().expect("well-formed").is_some() {
                *seen += 1;
            }
        }
        inbox.capacity()
    };
    // A read of 10,000 bytes has the length of exactly 100 rows. So a read that begins at offset 60 of a row also ends at offset 60 of a
    // row.
    let row = frame(b'D', &[7; 95]);
    let mut seen = 0;
    // The bytes of this call end at offset 60 of a row. So each read of the later calls also ends inside a row, and the buffer is never
    // empty.
    take(&[&frame(b'd', &vec![1; 5 << 20])[..], &row, &row[..60]].concat(), &mut seen);
    let mut capacity = 0;
    for _ in 0..3 {
        capacity = take(&[&row[60..], &row.repeat(5000), &row[..60]].concat(), &mut seen);
    }
    assert_eq!(seen, 2 + 3 * 5001);
    assert!(capacity <= 2 * limits.read_size, "{capacity}");
}

#[test]
fn a_whole_frame_that_is_not_taken_is_not_an_unfinished_frame() {
    let whole = [frame(b'D', b"row"), frame(b'Z', b"I")].concat();
    let mut inbox = Inbox::new(Limits::BACKEND.bulk(10));
    for byte in &whole {
        inbox.extend(&[*byte]);
        assert_eq!(inbox.is_mid_frame(), ![8, 14].contains(&inbox.buffered()), "{}", inbox.buffered());
    }
    inbox.extend(&frame(b'D', &[0; 11])[..15]);
    drain(&mut inbox, &mut Vec::new());
    assert_eq!(
        (inbox.buffered(), inbox.is_mid_frame()),
        (0, true),
        "one byte of the frame must still be skipped"
    );
    inbox.extend(&[0]);
    assert!(!inbox.is_mid_frame());
    inbox.extend(b"Z\0\0\0\0");
    assert!(inbox.is_mid_frame(), "an invalid header counts as an unfinished frame");
}

#[test]
fn taking_the_same_frame_twice_causes_no_panic() {
    for length in [0, 3, 300_000] {
        for after in [0, 2, 7, 400_000] {
            for owned in [false, true] {
                let mut inbox = Inbox::new(Limits::BACKEND);
                inbox.extend(&frame(b'd', &vec![1; length]));
                inbox.extend(&vec![2; after]);
                let head = inbox.head().expect("well-formed").expect("whole");
                let stale = inbox.head().expect("well-formed").expect("whole");
                assert_eq!(inbox.take(head).body.len(), length);
                let again =
                    if owned { inbox.take_owned(stale).body.len() } else { inbox.take(stale).body.len() };
                assert!(again <= length, "at most the body of the frame");
                assert!(inbox.buffered() <= after);
                assert!(!inbox.space().is_empty());
            }
        }
    }
}
