use pg_wire::error::FrameErrorKind;
use pg_wire::{FrameError, Inbox, Limits, MessageCode};

use crate::input::Input;

/// The result of receiving one message.
type Received = Result<(MessageCode, Vec<u8>), FrameError>;

/// Cuts arbitrary bytes into pieces, and passes the pieces to an [`Inbox`]. Checks that the frames and errors are the same as without cuts.
/// Also checks that the memory of the inbox is proportional to the buffered bytes.
pub fn frames(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let limits = if settings & 1 == 0 { Limits::BACKEND } else { Limits::FRONTEND };
    let limits = limits.read_size(usize::from(input.byte()) + 1);
    let limits = match settings & 2 {
        0 => limits,
        _ => limits
            .bulk(input.number().into())
            .control(input.byte().into())
            .authentication(input.byte().into()),
    };
    let pieces = [input.byte(), input.byte(), input.byte()].map(|length| usize::from(length) + 1);
    let stream = input.rest();

    let mut whole = Inbox::new(limits);
    whole.extend(stream);
    let mut expected = Vec::new();
    receive(&mut whole, 0, &mut expected);

    let mut extended = Inbox::new(limits);
    let mut filled = Inbox::new(limits);
    let (mut seen, mut seen_filled) = (Vec::new(), Vec::new());
    let mut largest = 0;
    for piece in cut(stream, &pieces) {
        extended.extend(piece);
        largest = largest.max(extended.buffered());
        receive(&mut extended, settings >> 2, &mut seen);
        let mut rest = piece;
        while !rest.is_empty() {
            let space = filled.space();
            let count = space.len().min(rest.len());
            assert!(count > 0, "there is space for the next read");
            space[..count].copy_from_slice(&rest[..count]);
            filled.filled(count);
            rest = &rest[count..];
            largest = largest.max(filled.buffered());
            receive(&mut filled, settings >> 4, &mut seen_filled);
        }
        for inbox in [&extended, &filled] {
            let most = 2 * (largest + 2 * limits.read_size);
            assert!(inbox.capacity() <= most, "{} over {most}", inbox.capacity());
        }
        if [&seen, &seen_filled].iter().any(|seen| seen.last().is_some_and(is_final)) {
            break;
        }
    }
    for (seen, inbox) in [(&seen, &extended), (&seen_filled, &filled)] {
        assert_eq!(seen, &expected);
        if !expected.last().is_some_and(is_final) {
            assert_eq!(inbox.buffered(), whole.buffered());
            assert_eq!(inbox.is_mid_frame(), whole.is_mid_frame());
            assert_eq!(inbox.peek(), whole.peek());
        }
    }
}

/// Whether the result is an error that every later call returns again.
fn is_final(received: &Received) -> bool {
    matches!(received, Err(error) if !matches!(error.kind, FrameErrorKind::TooLong { skipped: true, .. }))
}

/// Receives all messages in the inbox, up to a final error. `by` selects the method of the inbox that is called.
fn receive(inbox: &mut Inbox, by: u8, seen: &mut Vec<Received>) {
    while !seen.last().is_some_and(is_final) {
        match by & 3 {
            0 => match inbox.next() {
                Ok(Some(frame)) => seen.push(Ok((frame.code, frame.body.to_vec()))),
                Ok(None) => break,
                Err(error) => seen.push(Err(error)),
            },
            1 => match inbox.frames() {
                Ok(Some(frames)) => {
                    let before = seen.len();
                    seen.extend(frames.frames().map(|frame| Ok((frame.code, frame.body.to_vec()))));
                    assert!(seen.len() > before, "a batch has at least one message");
                }
                Ok(None) => break,
                Err(error) => seen.push(Err(error)),
            },
            by => match inbox.head() {
                Ok(Some(head)) => {
                    let (code, length) = (head.code(), head.body_len());
                    let body = if by == 2 {
                        inbox.take(head).body.to_vec()
                    } else {
                        inbox.take_owned(head).body.to_vec()
                    };
                    assert_eq!(body.len(), length);
                    seen.push(Ok((code, body)));
                }
                Ok(None) => break,
                Err(error) => seen.push(Err(error)),
            },
        }
    }
}

/// Cuts the bytes into pieces with the given lengths. After the last length, the list of lengths starts again.
fn cut<'s>(mut bytes: &'s [u8], lengths: &'s [usize]) -> impl Iterator<Item = &'s [u8]> {
    lengths.iter().cycle().map_while(move |length| {
        let (now, later) = bytes.split_at(bytes.len().min(*length));
        bytes = later;
        (!now.is_empty()).then_some(now)
    })
}
