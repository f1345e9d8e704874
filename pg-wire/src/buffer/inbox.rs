//! The buffer for received bytes.

use alloc::vec::Vec;
use bytes::Bytes;
use zeroize::Zeroize;

use crate::basic::code::MessageCode;
use crate::basic::error::{FrameError, FrameErrorKind};
use crate::basic::hint::cold_path;
use crate::buffer::backoff::Backoff;
use crate::buffer::frames::Frames;
use crate::buffer::header::Header;
use crate::buffer::limits::Limits;
use crate::codec::frame::{Frame, FrameBuf};

/// Size of the first read in bytes. The size doubles each time a read fills its space, up to [`Limits::read_size`].
const FIRST_READ: usize = 8 * 1024;

/// Length in bytes of the largest buffer that an idle connection keeps: room for the first two reads (8 KiB and 16 KiB). If all results
/// have less than 16 KiB, no result fills the second read. So the buffer never becomes larger, and the connection keeps the buffer.
const IDLE: usize = 3 * FIRST_READ;

/// Length in bytes of the smallest frame for which [`Inbox::take_owned`] returns the buffer itself instead of a copy of the frame. If the
/// buffer itself is returned, the other buffered bytes have to be copied to a new buffer. So the frame is copied instead if the other bytes
/// are more than half as long as the frame. A smaller frame is always copied: otherwise a small frame could keep a large buffer allocated.
const HAND_OVER: usize = 256 * 1024;

/// The buffer that receives frames and lends them.
///
/// An inbox does no I/O: read into [`space`](Self::space), report the number of bytes to [`filled`](Self::filled), then call
/// [`next`](Self::next) until it returns `None`. One allocation holds all messages. When too little space is left at the end of the buffer,
/// the unfinished message moves to the front. For a large message the buffer grows as the bytes of the message arrive. An empty buffer
/// shrinks to twice [`Limits::read_size`]. A buffer of more than eight times `read_size` also shrinks when neither the buffered bytes nor
/// the first message are longer than `read_size`.
///
/// If a read finds no bytes, call [`waiting`](Self::waiting), which frees a large buffer of an idle connection.
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
    /// Memory for received bytes. New memory is zeroed when the buffer grows, so that the whole buffer can be lent as space to read into.
    buf: Vec<u8>,
    /// Index of the first received byte that has not been taken.
    start: usize,
    /// Index after the last received byte.
    end: usize,
    /// Length of the part of the buffer that may contain bytes of messages. [`scrub`](Self::scrub) wipes only this part.
    used: usize,
    /// Number of bytes of the current frame that are still to be skipped; 0 if no frame is being skipped. A frame is skipped if its body is
    /// longer than the limit.
    skip: usize,
    /// Size of the next read in bytes.
    read: usize,
    /// Number of bytes of the longest read since the last wait that freed the buffer.
    longest: usize,
    /// Value of `longest` at the last wait that freed the buffer. When a read fills its space, the read size grows to at least this value.
    /// So a large result that is received repeatedly needs few reallocations.
    before: usize,
    /// Longest body in bytes that needs no check against `limits`: the stored result of [`Limits::unchecked`].
    unchecked: usize,
    limits: Limits,
    /// Whether memory is wiped before it is freed.
    wiping: bool,
    /// Decides after which waits the buffer is freed.
    waits: Backoff,
    /// Whether the last message before the buffer became empty was ReadyForQuery or Sync. After these messages, a connection can be idle.
    /// The value is computed from the last bytes of the buffer, because storing the code of each message would take time. A row may end
    /// with the same bytes as a ReadyForQuery or a Sync. This case is harmless: the only effect is that the buffer is freed earlier.
    is_boundary: bool,
}

/// Proof that a whole frame is buffered. [`Inbox::head`] returns the proof; pass the proof to [`Inbox::take`] or [`Inbox::take_owned`]
/// before any other call on the inbox.
#[derive(Debug)]
pub struct Head(Header);

impl Head {
    /// Returns the code of the message.
    pub fn code(&self) -> MessageCode {
        self.0.code
    }

    /// Returns the length of the body in bytes.
    pub fn body_len(&self) -> usize {
        self.0.body
    }
}

impl Inbox {
    /// Creates an empty inbox, without allocating memory.
    pub fn new(limits: Limits) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            end: 0,
            used: 0,
            skip: 0,
            read: first_read(&limits),
            longest: 0,
            before: 0,
            unchecked: limits.unchecked(),
            limits,
            wiping: false,
            waits: Backoff::default(),
            is_boundary: false,
        }
    }

    /// Returns the current limits.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sets new limits, which apply from the next header on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.read = self.read.min(limits.read_size.max(1));
        self.unchecked = limits.unchecked();
        self.limits = limits;
    }

    /// Returns the number of bytes that are received and not taken.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// Whether the buffered bytes end inside a frame. Also returns true while a frame is being skipped.
    pub fn is_mid_frame(&self) -> bool {
        let mut rest = self.peek();
        while let Some((header, body)) = Header::parse(rest) {
            match body.get(header.body..) {
                Some(next) => rest = next,
                None => return true,
            }
        }
        !rest.is_empty() || self.skip > 0
    }

    /// Returns the number of bytes of memory that the buffer holds.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Lends space to read into. The space is never empty. Report the number of bytes read to [`filled`](Self::filled).
    pub fn space(&mut self) -> &mut [u8] {
        self.rewind();
        self.shrink();
        let read = self.read;
        if self.start > 0 && self.buf.len() - self.end < read {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // For reads of the full size (`Limits::read_size`), the buffer has room for two reads. So the beginning of an unfinished message is
        // moved less often. For smaller reads, the buffer has room for only one read, to save memory: most connections are idle most of the
        // time.
        let steady = if read < self.limits.read_size { read } else { 2 * read };
        let least = steady.max(self.end + read);
        if self.buf.len() < least {
            // Doubles the buffer, but not beyond the needed length. For an unfinished first frame, the needed length is the length of the
            // whole frame plus the size of one read. In all other cases, the needed length is twice the number of buffered bytes plus the
            // size of one read.
            let needed = match self.announced() {
                wanted if wanted > self.buffered() => self.start.saturating_add(wanted),
                _ => 2 * self.buffered(),
            };
            self.grow((2 * self.buf.len()).min(needed.saturating_add(read)).max(least));
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// Reports that `count` bytes have been read into the beginning of [`space`](Self::space). If `count` is larger than the space, the
    /// whole space counts as read.
    pub fn filled(&mut self, count: usize) {
        let room = self.buf.len() - self.end;
        let count = count.min(room);
        if count == room || count >= self.read {
            self.read = (2 * self.read).max(self.before).min(self.limits.read_size.max(1));
        }
        self.waits.used();
        self.longest = self.longest.max(count);
        self.end += count;
        self.used = self.used.max(self.end);
        drop_skipped(&mut self.start, self.end, &mut self.skip);
    }

    /// Appends received bytes from another buffer.
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

    /// Returns the head of the first frame if the whole frame is buffered. Pass the head to [`take`](Self::take), which lends the frame.
    ///
    /// The borrow checker rejects a loop in which one call both waits for a frame and lends the frame. So call `head` in the loop, and
    /// `take` after the loop.
    ///
    /// # Errors
    /// When the header is invalid or the length is over the limit. A message over the limit [`Limits::bulk`] is skipped as it arrives, and
    /// the next call continues after this message. Any other error is returned again by each later call.
    #[inline]
    pub fn head(&mut self) -> Result<Option<Head>, FrameError> {
        match self.whole_fast() {
            Some(head) => Ok(Some(head)),
            None => self.head_slow(),
        }
    }

    #[cold]
    fn head_slow(&mut self) -> Result<Option<Head>, FrameError> {
        self.whole().inspect_err(|error| skip_frame_of(error, &mut self.start, self.end, &mut self.skip))
    }

    /// Returns the head of the first frame if the whole frame is buffered, or the error of its header.
    #[inline(always)]
    fn whole(&self) -> Result<Option<Head>, FrameError> {
        let Some((header, rest)) = Header::parse(self.peek()) else { return Ok(None) };
        if header.body > self.unchecked {
            self.limits.check(header)?;
        }
        Ok((header.body <= rest.len()).then_some(Head(header)))
    }

    /// Whether [`head`](Self::head) would return a frame or an error. Unlike `head`, does not begin to skip a frame that is over its limit.
    #[cfg(feature = "std")]
    pub(crate) fn has_head(&self) -> bool {
        !matches!(self.whole(), Ok(None))
    }

    /// Lends the frame that [`head`](Self::head) has found, without taking the frame.
    #[cfg(feature = "std")]
    pub(crate) fn look(&self, head: &Head) -> Frame<'_> {
        let Header { code, body } = head.0;
        let rest = self.peek().get(Header::LENGTH..).unwrap_or_else(empty);
        Frame { code, body: rest.get(..body).unwrap_or_else(empty) }
    }

    /// Fast path of [`whole`](Self::whole). Returns `None` if the frame is unfinished, and also for every long frame: the length of a long
    /// frame has to be checked against the limit for its code. If the caller passes the returned head to [`lend`](Self::lend), the
    /// optimiser merges the bounds checks of the two functions: receiving a row of one column takes 88 instructions, instead of 111 with
    /// [`whole`](Self::whole) and [`take`](Self::take).
    #[inline(always)]
    pub(crate) fn whole_fast(&self) -> Option<Head> {
        let Some(filled) = self.buf.get(..self.end) else {
            // Without `cold_path`, the compiler merges this check and the next check into one condition, which takes more instructions than
            // two conditions.
            cold_path();
            return None;
        };
        let (header, rest) = Header::parse(filled.get(self.start..)?)?;
        (header.body <= self.unchecked && header.body <= rest.len()).then_some(Head(header))
    }

    /// Lends the frame that [`whole_fast`](Self::whole_fast) has just found, without taking the frame. The bounds checks are the same as in
    /// `whole_fast`, so the optimiser removes the checks here.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn look_fast(&self, head: &Head) -> Frame<'_> {
        let Header { code, body } = head.0;
        let rest = self.buf.get(..self.end).and_then(|filled| filled.get(self.start..)).unwrap_or_else(empty);
        let rest = rest.split_first_chunk::<{ Header::LENGTH }>().map_or_else(empty, |(_, rest)| rest);
        Frame { code, body: rest.get(..body).unwrap_or_else(empty) }
    }

    /// Lends the frame that [`whole_fast`](Self::whole_fast) has just found. This function has the same bounds checks as `whole_fast`, so
    /// the optimiser removes the checks here.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn lend(&mut self, head: Head) -> Frame<'_> {
        let Head(Header { code, body }) = head;
        let rest = self.buf.get(..self.end).and_then(|filled| filled.get(self.start..)).unwrap_or_else(empty);
        let rest = rest.split_first_chunk::<{ Header::LENGTH }>().map_or_else(empty, |(_, rest)| rest);
        let body = rest.get(..body).unwrap_or_else(empty);
        self.start += Header::LENGTH + body.len();
        Frame { code, body }
    }

    /// Removes from the inbox the frame that [`head`](Self::head) has found. Lends this frame until the next call on the inbox.
    #[inline]
    pub fn take(&mut self, head: Head) -> Frame<'_> {
        let Head(Header { code, body }) = head;
        let start = self.start + Header::LENGTH;
        let end = start + body;
        // If the caller passes a `Head` whose frame was already taken, fewer bytes may be buffered than the `Head` announces. In this case,
        // all buffered bytes are taken, and an empty frame is lent.
        self.start = end;
        if end > self.end {
            self.start = self.end;
            return Frame { code, body: empty() };
        }
        Frame { code, body: self.buf.get(start..end).unwrap_or_else(empty) }
    }

    /// Removes from the inbox the frame that [`head`](Self::head) has found, and returns an owned frame. A small frame is a copy. A large
    /// frame takes over the memory of the buffer, and the other buffered bytes are copied to a new buffer. If many other bytes are
    /// buffered, a large frame is a copy as well.
    pub fn take_owned(&mut self, head: Head) -> FrameBuf {
        let length = Header::LENGTH + head.0.body;
        let beside = self.end.saturating_sub(length);
        if length < HAND_OVER || beside > length / 2 {
            return self.take(head).to_owned();
        }
        let from = self.start + Header::LENGTH;
        let to = (self.start + length).min(self.end);
        let after = self.buf.get(to..self.end).unwrap_or_default().to_vec();
        let mut whole = core::mem::take(&mut self.buf);
        whole.truncate(to);
        (self.start, self.end) = (0, 0);
        // Frees the unused capacity, which would otherwise stay allocated for as long as the frame exists.
        whole.shrink_to_fit();
        let body = Bytes::from(whole);
        let body = body.slice(from.min(body.len())..);
        self.extend(&after);
        FrameBuf { code: head.0.code, body }
    }

    /// Frees a large buffer if the connection may be idle. Call this function when a read has found no bytes, or when no read follows soon.
    /// If no bytes are buffered, a buffer of more than 24 KiB is freed, and the next read is as small as the first read of a new inbox.
    ///
    /// After ReadyForQuery and Sync, a connection can be idle, so every call frees a large buffer. After other messages, not every call
    /// frees the buffer. As long as each following message needs a large buffer again, fewer and fewer calls free the buffer, but at least
    /// every 64th call does. So a steady flow of rows or data allocates rarely.
    pub fn waiting(&mut self) {
        self.rewind();
        if self.start == self.end && self.waits.is_due(self.buf.len() > IDLE, self.is_boundary) {
            self.replace(Vec::new());
            self.used = 0;
            self.read = first_read(&self.limits);
            self.before = core::mem::take(&mut self.longest);
        }
    }

    /// Moves `start` and `end` to the beginning of the buffer if no bytes are buffered.
    fn rewind(&mut self) {
        if self.start == self.end && self.end > 0 {
            let taken = self.buf.get(..self.end).unwrap_or_default();
            self.is_boundary = matches!(taken, [.., b'Z', 0, 0, 0, 5, _] | [.., b'S', 0, 0, 0, 4]);
            (self.start, self.end) = (0, 0);
        }
    }

    /// Lends the next frame, if a whole frame is buffered.
    ///
    /// # Errors
    /// The errors of [`head`](Self::head).
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        // Does the work of `whole_fast` and `lend` in one function: receiving a row of one column takes 80 instructions instead of 105.
        let Some(filled) = self.buf.get(..self.end) else {
            // Without `cold_path`, the compiler merges this check and the next check into one condition, which takes more instructions than
            // two conditions.
            cold_path();
            return Ok(None);
        };
        let Some((header, rest)) = filled.get(self.start..).and_then(Header::parse) else { return Ok(None) };
        if header.body > self.unchecked
            && let Err(error) = self.limits.check(header)
        {
            skip_frame_of(&error, &mut self.start, self.end, &mut self.skip);
            return Err(error);
        }
        match rest.get(..header.body) {
            Some(body) => {
                self.start += Header::LENGTH + body.len();
                Ok(Some(Frame { code: header.code, body }))
            }
            None => Ok(None),
        }
    }

    /// Lends all whole frames that are buffered, as one slice to be forwarded. Reads only the headers of the frames.
    ///
    /// # Errors
    /// The errors of [`head`](Self::head) for the first frame. If the header of a later frame is invalid, the slice ends before that frame,
    /// and the next call returns the error.
    #[inline]
    pub fn frames(&mut self) -> Result<Option<Frames<'_>>, FrameError> {
        let Some(first) = self.head()? else { return Ok(None) };
        let start = self.start;
        self.take(first);
        while let Ok(Some(Head(header))) = self.whole() {
            self.start += header.frame();
        }
        Ok(self.buf.get(start..self.start).map(Frames::new))
    }

    /// Lends the body of the next packet, if the whole packet is buffered. A packet is a message that a client sends before the session
    /// begins, such as StartupMessage. A packet has a length but no code.
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

    /// Returns the bytes that are received and not taken. The bytes may end inside a frame.
    #[inline]
    pub fn peek(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_else(empty)
    }

    /// Wipes the bytes of taken messages that are still in the buffer.
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

    /// Sets whether memory is wiped before it is freed. The buffer frees memory when it grows, shrinks or is dropped. Use this setting
    /// while passwords and keys may arrive, and call [`scrub`](Self::scrub) afterwards.
    pub fn set_wiping(&mut self, wiping: bool) {
        self.wiping = wiping;
    }

    /// Drops and wipes all buffered bytes. Used when a connection ends in the middle of a message that may contain a password.
    pub fn wipe(&mut self) {
        self.skip = 0;
        self.start = self.end;
        self.scrub();
    }

    /// Returns the length of the first frame in bytes, even if the frame is unfinished; 0 until its header has arrived.
    fn announced(&self) -> usize {
        Header::parse(self.peek()).map_or(0, |(header, _)| header.frame())
    }

    fn grow(&mut self, length: usize) {
        // Reserves the exact length: `resize` alone could reserve up to twice as much.
        if self.wiping {
            let mut grown = Vec::with_capacity(length);
            grown.extend_from_slice(&self.buf);
            self.replace(grown);
        } else {
            self.buf.reserve_exact(length - self.buf.len());
        }
        self.buf.resize(length, 0);
    }

    /// Frees an empty buffer of more than twice the read size. Under constant load, each read can end inside a frame, so that the buffer is
    /// never empty. Therefore a buffer of more than eight times the read size is also replaced, if neither the buffered bytes nor the first
    /// frame are longer than the read size.
    fn shrink(&mut self) {
        let read_size = self.limits.read_size.max(1);
        let keep = read_size.saturating_mul(2);
        if self.buf.len() <= keep {
            return;
        }
        if self.start == self.end {
            self.replace(Vec::new());
        } else if self.buf.len() > keep.saturating_mul(4)
            && self.buffered().max(self.announced()) <= read_size
        {
            self.replace(self.peek().to_vec());
            (self.start, self.end) = (0, self.buf.len());
            self.used = self.end;
        }
    }

    /// Replaces the buffer, and wipes the old buffer if wiping is set.
    fn replace(&mut self, buf: Vec<u8>) {
        let mut old = core::mem::replace(&mut self.buf, buf);
        if self.wiping {
            old.zeroize();
        }
    }
}

/// Returns the size in bytes of the first read.
fn first_read(limits: &Limits) -> usize {
    FIRST_READ.min(limits.read_size.max(1))
}

/// Starts to skip the frame that caused `error`, if the error is `TooLong` with `skipped: true`. The parameters are fields of the inbox
/// instead of the inbox itself, because the caller may still borrow the field `buf`.
#[cold]
fn skip_frame_of(error: &FrameError, start: &mut usize, end: usize, skip: &mut usize) {
    if let FrameErrorKind::TooLong { length, skipped: true, .. } = error.kind {
        *skip = Header::LENGTH + length;
        drop_skipped(start, end, skip);
    }
}

fn drop_skipped(start: &mut usize, end: usize, skip: &mut usize) {
    let now = (*skip).min(end - *start);
    *skip -= now;
    *start += now;
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if self.wiping {
            self.buf.zeroize();
        }
    }
}

/// Returns the empty slice, for bounds checks that cannot fail. Out of line, so that the compiler emits a branch that is never taken.
/// If this function were inlined, the compiler would emit a conditional move, and all later loads would wait for the result of the move.
#[cold]
#[inline(never)]
fn empty<'a>() -> &'a [u8] {
    &[]
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

    /// Receives frames of every length up to the size of a few reads, in pieces that can end inside a frame. After each `scrub`, all bytes
    /// of taken frames must be zero.
    #[test]
    fn a_scrub_wipes_all_bytes_of_taken_frames() {
        let limits = Limits::BACKEND.read_size(64);
        for piece in [1, 7, 64, 65, 200] {
            let mut inbox = Inbox::new(limits);
            let stream: Vec<u8> = (0..150).flat_map(|length| frame(b'd', &vec![0xaa; length])).collect();
            for bytes in stream.chunks(piece) {
                inbox.extend(bytes);
                while inbox.next().expect("the frames are valid").is_some() {}
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
            let error = inbox.next().expect_err("the length is invalid");
            assert_eq!(error.kind, FrameErrorKind::BadLength { length });
            assert!(error.is_fatal());
        }
    }

    #[test]
    fn a_length_is_checked_before_memory_is_reserved() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        inbox.extend(b"D\x3f\xff\xff\xff");
        assert_eq!(inbox.next(), Ok(None));
        inbox.space();
        assert!(inbox.capacity() <= 4 * FIRST_READ, "{}", inbox.capacity());
    }

    #[test]
    fn a_row_over_the_limit_is_skipped_and_the_next_message_read() {
        let mut inbox = Inbox::new(Limits::BACKEND.bulk(70_000));
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
    fn wiping_an_inbox_removes_the_bytes_of_an_unfinished_message() {
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
    fn every_kind_of_client_message_has_the_limit_of_postgresql() {
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
        assert!(inbox.next().is_err(), "each call returns the error");
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
    fn a_large_owned_frame_holds_only_its_own_bytes_and_the_next_frame_can_be_read() {
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
    fn frames_end_before_an_unfinished_frame_and_before_an_invalid_header() {
        let limits = Limits::BACKEND.bulk(1000).control(1000);
        let good = [frame(b'1', b""), frame(b'D', &[7; 1000]), frame(b'Z', b"I")].concat();
        let after: [(&[u8], bool); 6] = [
            (b"", true),
            (b"Z", true),
            (b"Z\0\0\0\x05", true),
            (b"Z\0\0\0\x03", false),
            (b"D\0\0\x03\xed", false),
            (b"Z\xff\xff\xff\xff", false),
        ];
        for (rest, valid) in after {
            let mut inbox = Inbox::new(limits);
            inbox.extend(&good);
            inbox.extend(rest);
            let run = inbox.frames().expect("a valid header").expect("a whole frame");
            assert_eq!(run.as_bytes(), good, "{rest:?}");
            let codes: Vec<u8> = run.frames().map(|frame| frame.code.0).collect();
            assert_eq!(codes, b"1DZ", "{rest:?}");
            assert_eq!(inbox.peek(), rest);
            assert_eq!(inbox.frames().is_ok_and(|run| run.is_none()), valid, "{rest:?}");
        }
    }

    #[test]
    fn an_unfinished_frame_is_not_moved_while_the_buffer_has_room() {
        let mut inbox = Inbox::new(Limits::BACKEND.read_size(16));
        inbox.space()[..10].copy_from_slice(b"Z\0\0\0\x05IZ\0\0\0");
        inbox.filled(10);
        inbox.next().expect("well-formed");
        inbox.space();
        assert_eq!(inbox.start, 6, "there was room after the unfinished frame");
    }

    #[test]
    fn short_messages_do_not_grow_the_buffer() {
        let mut inbox = Inbox::new(Limits::BACKEND);
        for _ in 0..100 {
            inbox.extend(b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
            while inbox.next().expect("well-formed").is_some() {}
        }
        assert_eq!(inbox.capacity(), FIRST_READ);
    }
}
