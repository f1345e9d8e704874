//! What has come and has not been taken.

use alloc::vec::Vec;
use bytes::Bytes;
use zeroize::Zeroize;

use crate::basic::code::MessageCode;
use crate::basic::error::{FrameError, FrameErrorKind};
use crate::basic::hint::cold_path;
use crate::buffer::limits::Limits;
use crate::buffer::run::Run;
use crate::codec::frame::{Frame, FrameBuf};

/// Length of a header: the code and the length field.
const HEAD: usize = 5;

/// First read, in bytes. It doubles each time a read comes in full, up to [`Limits::read_size`].
const FIRST_READ: usize = 8 * 1024;

/// A frame kept by [`Inbox::take_owned`] is copied out of the buffer, so that it does not pin what lies beside it. From
/// this size on, if it is the most of the buffer, that is handed over instead and the little beside it is copied.
const HAND_OVER: usize = 256 * 1024;

/// The buffer that frames arrive in and are lent from.
///
/// It does no I/O: fill [`space`](Self::space), say how much came with [`filled`](Self::filled), then take
/// [`next`](Self::next) until there is none. One allocation serves all messages; the tail of an unfinished one moves to
/// the front when room runs out, never sooner. The buffer grows for a message that is larger than it, as its bytes
/// arrive, and goes back to twice the read size once it has been drained, or nearly so if it has grown much.
///
/// ```
/// use pg_wire::{Inbox, Limits, MessageCode};
///
/// let mut inbox = Inbox::new(Limits::BACKEND);
/// inbox.extend(b"1\0\0\0\x04Z\0\0\0\x05");
/// assert_eq!(inbox.next()?.map(|frame| frame.code), Some(MessageCode::PARSE_COMPLETE));
/// assert_eq!(inbox.next()?, None);
/// inbox.extend(b"I");
/// assert_eq!(inbox.next()?.map(|frame| frame.body), Some(&b"I"[..]));
/// # Ok::<_, pg_wire::FrameError>(())
/// ```
pub struct Inbox {
    /// Zeroed where it grows and never again, so that all of it may be lent out to be read into.
    buf: Vec<u8>,
    /// First byte not taken.
    start: usize,
    /// First byte not filled.
    end: usize,
    /// First byte never filled since the buffer was last wiped.
    used: usize,
    /// Bytes still to come, and to be dropped, of a frame over its limit.
    skip: usize,
    /// What the next read will ask for.
    read: usize,
    /// Longest body that no limit has anything against.
    small: usize,
    limits: Limits,
    /// Whether memory is wiped before it is given up.
    wiping: bool,
}

/// Says that a whole frame is buffered. From [`Inbox::head`], for [`Inbox::take`] or [`Inbox::take_owned`] before any other call.
#[derive(Debug)]
pub struct Head {
    code: MessageCode,
    /// Length of the body.
    body: usize,
}

impl Inbox {
    /// An empty one, which takes no memory yet.
    pub fn new(limits: Limits) -> Self {
        let read = FIRST_READ.min(limits.read_size.max(1));
        let small = smallest(&limits);
        Self { buf: Vec::new(), start: 0, end: 0, used: 0, skip: 0, read, small, limits, wiping: false }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Puts other limits in force, from the next header on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.read = self.read.min(limits.read_size.max(1));
        self.small = smallest(&limits);
        self.limits = limits;
    }

    /// How many bytes are there and have not been taken.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Whether bytes of an unfinished frame are there, or of one that is being skipped.
    pub fn is_mid_frame(&self) -> bool {
        let mut rest = self.peek();
        while let Some(whole) = announced(rest) {
            match rest.split_at_checked(whole) {
                Some((_, behind)) if whole >= HEAD => rest = behind,
                _ => return true,
            }
        }
        !rest.is_empty() || self.skip > 0
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Room to read into; never empty. What was read has to be told to [`filled`](Self::filled).
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        self.shrink();
        let read = self.read;
        if self.start > 0 && self.buf.len() - self.end < read {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // Twice a full read, so that a tail can wait for a whole one behind it without moving. Before reads have come in
        // full, no more than is asked for: most connections idle most of the time.
        let steady = if read < self.limits.read_size { read } else { 2 * read };
        let least = steady.max(self.end + read);
        if self.buf.len() < least {
            // Doubling, but no further than an unfinished frame needs; room for frames that wait doubles with them.
            let needed = match announced(self.peek()).unwrap_or(0) {
                wanted if wanted > self.buffered() => self.start.saturating_add(wanted),
                _ => 2 * self.buffered(),
            };
            let length = (2 * self.buf.len()).min(needed.saturating_add(read)).max(least);
            // Exactly, because a `Vec` left to itself may take up to twice as much.
            if self.wiping {
                let mut grown = Vec::with_capacity(length);
                grown.extend_from_slice(&self.buf);
                self.replace(grown);
            } else {
                self.buf.reserve_exact(length - self.buf.len());
            }
            self.buf.resize(length, 0);
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes have been read into the beginning of [`space`](Self::space). More than it had room for counts as
    /// that much.
    pub fn filled(&mut self, count: usize) {
        let room = self.buf.len() - self.end;
        let count = count.min(room);
        if count == room || count >= self.read {
            self.read = (2 * self.read).min(self.limits.read_size.max(1));
        }
        self.end += count;
        self.used = self.used.max(self.end);
        self.drop_skipped();
    }

    /// Takes in bytes that are somewhere else.
    pub fn extend(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.space();
            let count = space.len().min(rest.len());
            let (now, later) = rest.split_at(count);
            let (space, _) = space.split_at_mut(count);
            space.copy_from_slice(now);
            self.filled(count);
            rest = later;
        }
    }

    /// Looks whether a whole frame is there; [`take`](Self::take) then lends it.
    ///
    /// Two calls, because a loop that waits for the first and lends from the second is one that the borrow checker
    /// understands.
    ///
    /// # Errors
    /// When the header is not to be believed or its length is over the limit. A bulk message over its limit is
    /// skipped as it arrives, and the next call goes on behind it; any other error comes again with each call.
    #[inline]
    pub fn head(&mut self) -> Result<Option<Head>, FrameError> {
        match self.whole() {
            Some(head) => Ok(Some(head)),
            None => self.seldom(),
        }
    }

    /// As [`head`](Self::head), where nothing is to be said about the length.
    #[inline(always)]
    pub(crate) fn whole(&self) -> Option<Head> {
        let Some(filled) = self.buf.get(..self.end) else {
            // A branch of its own, so that it does not become one condition with the next, which takes longer than two.
            cold_path();
            return None;
        };
        let (&[code, a, b, c, d], behind) = filled.get(self.start..)?.split_first_chunk::<HEAD>()?;
        let body = body_length([a, b, c, d]);
        (body <= self.small && body <= behind.len()).then_some(Head { code: MessageCode(code), body })
    }

    /// Lends the frame that [`whole`](Self::whole) has just found: with the same questions, whose answers are known.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn lend(&mut self, head: Head) -> Frame<'_> {
        let Head { code, body } = head;
        let rest =
            self.buf.get(..self.end).and_then(|filled| filled.get(self.start..)).unwrap_or_else(nothing);
        let behind = rest.split_first_chunk::<HEAD>().map_or_else(nothing, |(_, behind)| behind);
        let body = behind.get(..body).unwrap_or_else(nothing);
        self.start += HEAD + body.len();
        Frame { code, body }
    }

    /// As [`head`](Self::head), for a frame that is not whole or is longer than every limit lets pass unasked.
    #[cold]
    fn seldom(&mut self) -> Result<Option<Head>, FrameError> {
        let Some((&[code, a, b, c, d], behind)) = self.peek().split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let (code, body) = (MessageCode(code), body_length([a, b, c, d]));
        let whole = body <= behind.len();
        judge(&self.limits, code, body)
            .inspect_err(|error| skip_if(error, &mut self.start, self.end, &mut self.skip))?;
        Ok(whole.then_some(Head { code, body }))
    }

    /// Lends the frame that [`head`](Self::head) has found.
    #[inline]
    pub fn take(&mut self, head: Head) -> Frame<'_> {
        let Head { code, body } = head;
        let start = self.start + HEAD;
        let end = start + body;
        // A head from before another `take` may not fit any more: then all is taken and nothing lent.
        self.start = end;
        if end > self.end {
            self.start = self.end;
            return Frame { code, body: nothing() };
        }
        Frame { code, body: self.buf.get(start..end).unwrap_or_else(nothing) }
    }

    /// Takes the frame that [`head`](Self::head) has found, to be kept. Costs a copy of the frame, or for a large one
    /// of what lies beside it.
    pub fn take_owned(&mut self, head: Head) -> FrameBuf {
        let length = HEAD + head.body;
        let beside = self.end.saturating_sub(length);
        if length < HAND_OVER || beside > length / 2 {
            return self.take(head).to_owned();
        }
        let from = self.start + HEAD;
        let to = (self.start + length).min(self.end);
        let behind = self.buf.get(to..self.end).unwrap_or_default().to_vec();
        let mut whole = core::mem::take(&mut self.buf);
        whole.truncate(to);
        (self.start, self.end) = (0, 0);
        // Room beyond the frame would stay with it for as long as it is kept.
        whole.shrink_to_fit();
        let body = Bytes::from(whole);
        let body = body.slice(from.min(body.len())..);
        self.extend(&behind);
        FrameBuf { code: head.code, body }
    }

    /// The next frame, lent, if a whole one is there.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        // As `head` and `take`, but looking at the buffer once: 88 instructions instead of 111 for a row of one column.
        let Some(filled) = self.buf.get(..self.end) else {
            // A branch of its own, as in `whole`.
            cold_path();
            return Ok(None);
        };
        let Some((&[code, a, b, c, d], behind)) =
            filled.get(self.start..).and_then(<[u8]>::split_first_chunk)
        else {
            return Ok(None);
        };
        let code = MessageCode(code);
        let body = body_length([a, b, c, d]);
        if body > self.small
            && let Err(error) = judge(&self.limits, code, body)
        {
            // Not a method: `self.buf` is lent.
            skip_if(&error, &mut self.start, self.end, &mut self.skip);
            return Err(error);
        }
        match behind.get(..body) {
            Some(body) => {
                self.start += HEAD + body.len();
                Ok(Some(Frame { code, body }))
            }
            None => Ok(None),
        }
    }

    /// Every whole frame that is there, lent in one piece: what is passed on and not looked into. Only headers are read.
    ///
    /// # Errors
    /// As [`head`](Self::head), for the first frame. What is wrong with a later one is told once it is the first.
    #[inline]
    pub fn run(&mut self) -> Result<Option<Run<'_>>, FrameError> {
        let Some(first) = self.head()? else { return Ok(None) };
        let start = self.start;
        self.take(first);
        while let Some(length) = self.believed() {
            self.start += length;
        }
        Ok(self.buf.get(start..self.start).map(Run::new))
    }

    /// The length of the next frame, if it is whole and nothing is wrong with its header.
    #[inline]
    fn believed(&self) -> Option<usize> {
        let rest = self.peek();
        let length = announced(rest)?;
        let body = length.checked_sub(HEAD)?;
        let within = body <= self.small || judge(&self.limits, MessageCode(*rest.first()?), body).is_ok();
        (within && rest.len() >= length).then_some(length)
    }

    /// The body of the next packet of the time before the session, which has a length and no code, lent, if a whole one is
    /// there.
    ///
    /// # Errors
    /// When the length, which counts its own four bytes, is below 4 or over `limit`.
    pub fn next_packet(&mut self, limit: usize) -> Result<Option<&[u8]>, FrameError> {
        let Some(&field) = self.peek().first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(field);
        let code = MessageCode::default();
        let whole = match usize::try_from(length) {
            Ok(whole) if (4..=limit).contains(&whole) => whole,
            Ok(length @ 4..) => {
                return Err(FrameError {
                    code,
                    kind: FrameErrorKind::TooLong { length, limit, skipped: false },
                });
            }
            _ => return Err(FrameError { code, kind: FrameErrorKind::BadLength { length } }),
        };
        if self.buffered() < whole {
            return Ok(None);
        }
        let start = self.start;
        self.start += whole;
        Ok(self.buf.get(start + 4..self.start))
    }

    /// The bytes that are there and have not been taken, whole frames or not.
    #[inline]
    pub fn peek(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_else(nothing)
    }

    /// Wipes what the buffer still holds of messages that have been taken.
    pub fn scrub(&mut self) {
        let used = self.buf.len().min(self.used);
        if let Some(taken) = self.buf.get_mut(..self.start) {
            taken.zeroize();
        }
        if let Some(spare) = self.buf.get_mut(self.end..used) {
            spare.zeroize();
        }
        self.used = self.end;
    }

    /// Sets whether memory is wiped before it is given up, when the buffer grows, shrinks or is dropped. For as long as passwords and
    /// keys may arrive; [`scrub`](Self::scrub) afterwards.
    pub fn set_wiping(&mut self, wiping: bool) {
        self.wiping = wiping;
    }

    /// Takes another buffer in place of the old one.
    fn replace(&mut self, buf: Vec<u8>) {
        let mut old = core::mem::replace(&mut self.buf, buf);
        if self.wiping {
            old.zeroize();
        }
    }

    /// Drops everything that is buffered, and wipes it: for a connection that ends in the middle of a message, such as a password.
    pub fn wipe(&mut self) {
        self.skip = 0;
        self.start = self.end;
        self.scrub();
    }

    /// Gives up memory beyond twice the read size, when it is empty. When it never is, because reads do not end where
    /// frames do, then from four times as much on and once little is left.
    fn shrink(&mut self) {
        let read_size = self.limits.read_size.max(1);
        let keep = read_size.saturating_mul(2);
        if self.buf.len() <= keep {
            return;
        }
        if self.start == self.end {
            self.replace(Vec::new());
        } else if self.buf.len() > keep.saturating_mul(4)
            && self.buffered().max(announced(self.peek()).unwrap_or(0)) <= read_size
        {
            self.replace(self.peek().to_vec());
            (self.start, self.end) = (0, self.buf.len());
            self.used = self.end;
        }
    }

    fn drop_skipped(&mut self) {
        drop_skipped(&mut self.start, self.end, &mut self.skip);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.wiping {
            self.buf.zeroize();
        }
    }
}

/// The longest body that needs no second look: within every limit, and within what a length field can tell.
fn smallest(limits: &Limits) -> usize {
    limits.control.min(limits.authentication).min(limits.bulk).min(i32::MAX as usize - 4)
}

/// Length of the body by the length field, which counts itself: below 4 it wraps to more than any limit.
#[inline]
fn body_length(field: [u8; 4]) -> usize {
    u32::from_be_bytes(field).wrapping_sub(4) as usize
}

/// What is to be said about a body that is longer than every limit lets pass unasked.
#[cold]
fn judge(limits: &Limits, code: MessageCode, body: usize) -> Result<(), FrameError> {
    const LONGEST: usize = i32::MAX as usize - 4;
    if body > LONGEST {
        let length = (body as u32).wrapping_add(4).cast_signed();
        return Err(FrameError { code, kind: FrameErrorKind::BadLength { length } });
    }
    let (limit, skipped) = limits.of(code);
    if body <= limit {
        return Ok(());
    }
    Err(FrameError { code, kind: FrameErrorKind::TooLong { length: body, limit, skipped } })
}

/// Begins to skip the frame that this error is about, if it is one that is skipped.
#[cold]
fn skip_if(error: &FrameError, start: &mut usize, end: usize, skip: &mut usize) {
    if let FrameErrorKind::TooLong { length, skipped: true, .. } = error.kind {
        *skip = HEAD + length;
        drop_skipped(start, end, skip);
    }
}

fn drop_skipped(start: &mut usize, end: usize, skip: &mut usize) {
    let now = (*skip).min(end - *start);
    *skip -= now;
    *start += now;
}

/// A call, so that bounds which always hold are a branch not taken: a choice between two pointers is one that all behind it
/// has to wait for.
#[cold]
#[inline(never)]
fn nothing<'a>() -> &'a [u8] {
    &[]
}

/// How many bytes the first frame has in all, by its header, if that is there.
fn announced(bytes: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d] = bytes.first_chunk::<HEAD>()?;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?.checked_add(1)
}

impl core::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Inbox")
            .field("buffered", &self.buffered())
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn frame(code: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![code];
        frame.extend(u32::try_from(body.len() + 4).expect("a test's frame is small").to_be_bytes());
        frame.extend(body);
        frame
    }

    /// Frames of every length up to a few reads, taken as they come in pieces that end anywhere.
    #[test]
    fn a_scrub_leaves_nothing_but_what_waits() {
        let limits = Limits { read_size: 64, ..Limits::BACKEND };
        for piece in [1, 7, 64, 65, 200] {
            let mut inbox = Inbox::new(limits);
            let stream: Vec<u8> = (0..150).flat_map(|length| frame(b'd', &vec![0xaa; length])).collect();
            for bytes in stream.chunks(piece) {
                inbox.extend(bytes);
                while inbox.next().expect("nothing is wrong with them").is_some() {}
                inbox.scrub();
                let (start, end) = (inbox.start, inbox.end);
                for (at, byte) in inbox.buf.iter().enumerate() {
                    assert!(*byte == 0 || (start..end).contains(&at), "{at} with {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_length_below_four_is_fatal() {
        for length in [3, 0, -1, i32::MIN] {
            let mut inbox = Inbox::new(Limits::BACKEND);
            inbox.extend(b"D");
            inbox.extend(&length.to_be_bytes());
            let error = inbox.next().expect_err("it cannot be believed");
            assert_eq!(error.kind, FrameErrorKind::BadLength { length });
            assert!(error.is_fatal());
        }
    }

    #[test]
    fn a_length_is_judged_from_the_header_before_memory_is_taken() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        inbox.extend(b"D\x3f\xff\xff\xff");
        assert_eq!(inbox.next(), Ok(None));
        inbox.space();
        assert!(inbox.capacity() <= 4 * FIRST_READ, "{}", inbox.capacity());
    }

    #[test]
    fn a_row_over_the_limit_is_skipped_and_the_next_message_read() {
        let mut inbox = Inbox::new(Limits { bulk: 70_000, ..Limits::BACKEND });
        let mut stream = frame(b'D', &vec![7; 70_001]);
        stream.extend(frame(b'Z', b"I"));
        let mut errors = 0;
        let mut seen = Vec::new();
        for piece in stream.chunks(1000) {
            inbox.extend(piece);
            loop {
                match inbox.next() {
                    Ok(Some(frame)) => seen.push(frame.to_owned()),
                    Ok(None) => break,
                    Err(error) => {
                        assert!(!error.is_fatal());
                        errors += 1;
                    }
                }
            }
            assert!(inbox.capacity() <= 4 * FIRST_READ);
        }
        assert_eq!((errors, seen.len()), (1, 1));
        assert_eq!(seen[0].frame(), Frame { code: MessageCode::READY_FOR_QUERY, body: b"I" });
    }

    #[test]
    fn a_wiped_inbox_holds_nothing_of_a_message_cut_short() {
        let mut inbox = Inbox::new(Limits::FRONTEND);
        inbox.extend(&frame(b'p', b"first\0"));
        inbox.next().expect("well-formed");
        inbox.extend(b"p\0\0\0\x63half a password");
        inbox.wipe();
        assert_eq!((inbox.buffered(), inbox.buf.iter().find(|byte| **byte != 0)), (0, None));
        inbox.extend(&frame(b'S', b""));
        assert_eq!(inbox.next(), Ok(Some(Frame { code: MessageCode::SYNC, body: b"" })));
    }

    #[test]
    fn every_kind_of_client_message_has_postgresqls_limit() {
        for (codes, limit) in [(&b"SHCDEcfX"[..], 9_996), (b"p", 65_531), (b"QPBFd", 0x3fff_fffa)] {
            for code in codes {
                let header = |body: usize| {
                    let length = u32::try_from(body + 4).expect("it fits").to_be_bytes();
                    [&[*code][..], &length].concat()
                };
                let mut inbox = Inbox::new(Limits::FRONTEND);
                inbox.extend(&header(limit));
                assert_eq!(inbox.next(), Ok(None), "{}", char::from(*code));
                let mut inbox = Inbox::new(Limits::FRONTEND);
                inbox.extend(&header(limit + 1));
                assert!(inbox.next().is_err(), "{}", char::from(*code));
            }
        }
    }

    #[test]
    fn a_control_message_over_the_limit_is_fatal() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        inbox.extend(b"Z\0\x01\0\x05");
        assert!(inbox.next().is_err_and(|error| error.is_fatal()));
        assert!(inbox.next().is_err(), "and stays so");
    }

    #[test]
    fn the_buffer_grows_for_a_large_message_and_shrinks_after_it() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        let large = frame(b'd', &vec![1; 8 << 20]);
        inbox.extend(&large);
        assert_eq!(inbox.next().map(|frame| frame.map(|frame| frame.body.len())), Ok(Some(8 << 20)));
        inbox.space();
        assert!(inbox.capacity() <= 2 * inbox.limits().read_size, "{}", inbox.capacity());
    }

    #[test]
    fn a_large_frame_that_is_kept_holds_no_more_than_itself_and_the_stream_goes_on() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        let mut stream = frame(b'Z', b"T");
        stream.extend(frame(b'd', &vec![1; 1 << 20]));
        stream.extend(frame(b'Z', b"I"));
        inbox.extend(&stream);
        inbox.next().expect("well-formed");
        let head = inbox.head().expect("well-formed").expect("whole");
        let kept = inbox.take_owned(head);
        assert_eq!(kept.body.len(), 1 << 20);
        assert!(kept.body.iter().all(|byte| *byte == 1));
        assert_eq!(inbox.next(), Ok(Some(Frame { code: MessageCode::READY_FOR_QUERY, body: b"I" })));
    }

    #[test]
    fn a_run_is_every_whole_frame_and_ends_before_one_that_is_not_believed() {
        let limits = Limits { bulk: 1000, control: 1000, ..Limits::BACKEND };
        let good = [frame(b'1', b""), frame(b'D', &[7; 1000]), frame(b'Z', b"I")].concat();
        let behind: [(&[u8], bool); 6] = [
            (b"", true),
            (b"Z", true),
            (b"Z\0\0\0\x05", true),
            (b"Z\0\0\0\x03", false),
            (b"D\0\0\x03\xed", false),
            (b"Z\xff\xff\xff\xff", false),
        ];
        for (rest, believed) in behind {
            let mut inbox = Inbox::new(limits);
            inbox.extend(&good);
            inbox.extend(rest);
            let run = inbox.run().expect("the first is good").expect("and whole");
            assert_eq!(run.as_bytes(), good, "{rest:?}");
            let codes: Vec<u8> = run.frames().map(|frame| frame.code.0).collect();
            assert_eq!(codes, b"1DZ", "{rest:?}");
            assert_eq!(inbox.peek(), rest);
            assert_eq!(inbox.run().is_ok_and(|run| run.is_none()), believed, "{rest:?}");
        }
    }

    #[test]
    fn a_tail_is_moved_only_when_room_runs_out() {
        let mut inbox = Inbox::new(Limits { read_size: 16, ..Limits::BACKEND });
        inbox.space()[..10].copy_from_slice(b"Z\0\0\0\x05IZ\0\0\0");
        inbox.filled(10);
        inbox.next().expect("well-formed");
        inbox.space();
        assert_eq!(inbox.start, 6, "there was room behind the tail");
    }

    #[test]
    fn a_connection_that_says_little_takes_little() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        for _ in 0..100 {
            inbox.extend(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
            while inbox.next().expect("well-formed").is_some() {}
        }
        assert_eq!(inbox.capacity(), FIRST_READ);
    }
}
