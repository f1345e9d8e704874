//! The buffer for bytes to be sent.

use alloc::vec::Vec;
use zeroize::Zeroize;

use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::hint::cold_path;
use crate::buffer::backoff::Backoff;
use crate::encode::messages::{self, Messages};

/// Smallest growth of the buffer in bytes: enough for all messages of a login. A reallocation during the login would leave a copy of
/// passwords and keys in freed memory.
const SMALLEST_GROWTH: usize = 1024;

/// Capacity in bytes of the largest buffer that an idle connection keeps. [`Outbox::waiting`] frees a larger buffer.
const IDLE: usize = 16 * 1024;

/// Largest size in bytes that Rust allows for a buffer.
const LARGEST_BUFFER: usize = isize::MAX as usize;

/// Maximum number of bytes that are zeroed when the buffer grows, unless the next message is longer. The rest of the new capacity is zeroed
/// only when it is needed, so that no time is spent on unused memory.
const MOST_ZEROED: usize = 64 * 1024;

/// The buffer into which messages are written and from which they are sent.
///
/// An outbox does no I/O. [`put`](Self::put) adds a message to the current batch, and [`commit`](Self::commit) ends the batch. The
/// transport sends the [`pending`](Self::pending) bytes in any number of pieces, and reports the length of each piece to
/// [`sent`](Self::sent).
///
/// `put` never fails. If a message cannot be encoded, `put` stores the first error of the batch. `commit` returns this error and drops the
/// whole batch, so that a pipeline is sent either completely or not at all.
///
/// ```
/// use pg_wire::{Outbox, frontend::{Query, Sync}};
///
/// let mut outbox = Outbox::new(1024);
/// outbox.put(&Sync {});
/// outbox.put(&Query { sql: "select '\0'".into() });
/// assert!(outbox.commit().is_err());
/// assert_eq!(outbox.pending(), b"", "nothing of the batch is left");
/// ```
pub struct Outbox {
    /// Memory for messages. New memory is zeroed when the buffer grows. So the room after the written bytes is initialised, and a field is
    /// stored directly into this room, without a call of `Vec::extend`.
    buf: Vec<u8>,
    /// Index of the first byte that is not sent.
    sent: usize,
    /// Index of the first byte that is not committed.
    committed: usize,
    /// Index of the first byte that is not written. After an error the index is `usize::MAX`, so that the bounds check of the fast path
    /// fails. The fast path then needs no separate check for the error.
    end: usize,
    error: Option<EncodeError>,
    /// Largest capacity in bytes that an empty buffer keeps.
    retain: usize,
    /// Whether memory is wiped before it is freed.
    wiping: bool,
    /// Decides after which waits the buffer is freed.
    waits: Backoff,
}

impl Outbox {
    /// Creates an empty outbox, without allocating memory. When all bytes have been sent or dropped, the outbox keeps a capacity of at most
    /// `retain` bytes.
    pub fn new(retain: usize) -> Self {
        Self {
            buf: Vec::new(),
            sent: 0,
            committed: 0,
            end: 0,
            error: None,
            retain,
            wiping: false,
            waits: Backoff::default(),
        }
    }

    /// Adds a message or a tuple of messages to the current batch, which the next [`commit`](Self::commit) ends. A tuple takes less time
    /// than a call for each message, because all messages of the tuple share one check of the capacity.
    #[inline(always)]
    pub fn put<M: Messages + ?Sized>(&mut self, messages: &M) {
        if self.fill(messages).is_some() {
            return;
        }
        cold_path();
        if self.error.is_some() {
            return;
        }
        match messages::measure(messages).map(|lengths| lengths.sum()) {
            Ok(needed) if needed > LARGEST_BUFFER - self.end => {
                let kind = EncodeErrorKind::NoRoom { needed, left: LARGEST_BUFFER - self.end };
                self.refuse(messages::error(messages, kind));
            }
            Ok(needed) => {
                // `grown` takes the buffer instead of `&mut self`: with a reference to `self`, the compiler would reload the fields of
                // `self` for each byte written.
                self.buf = grown(core::mem::take(&mut self.buf), self.end, needed, self.wiping);
                if self.fill(messages).is_none() {
                    self.refuse(messages::error(messages, EncodeErrorKind::Unstable));
                }
            }
            Err(error) => self.refuse(error),
        }
    }

    /// Fast path: writes messages into the buffer without enlarging the buffer.
    #[inline(always)]
    fn fill<M: Messages + ?Sized>(&mut self, messages: &M) -> Option<()> {
        let Some(room) = self.buf.get_mut(self.end..) else {
            // Without `cold_path`, the compiler merges this check and the next check into one condition, which takes more instructions than
            // two conditions.
            cold_path();
            return None;
        };
        self.end += messages::fill(messages, room)?;
        Some(())
    }

    /// Rejects the whole current batch: the messages so far, and all messages that are added before the next `commit`.
    #[cold]
    pub(crate) fn refuse(&mut self, error: EncodeError) {
        self.error = Some(error);
        self.end = usize::MAX;
    }

    /// Adds raw bytes, such as the one-byte answer to an SSLRequest, or frames to be forwarded.
    pub fn put_raw(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            let end = self.end + bytes.len();
            self.buf = grown(core::mem::take(&mut self.buf), self.end, bytes.len(), self.wiping);
            if let Some(room) = self.buf.get_mut(self.end..end) {
                room.copy_from_slice(bytes);
                self.end = end;
            }
        }
    }

    /// Ends the batch: the messages since the last `commit`. Adds the bytes of the batch to the [`pending`](Self::pending) bytes.
    ///
    /// # Errors
    /// The error of the first message of the batch that cannot be encoded; the whole batch is dropped.
    #[inline]
    pub fn commit(&mut self) -> Result<(), EncodeError> {
        if let Some(error) = self.error.take() {
            self.end = self.committed;
            self.tidy();
            return Err(error);
        }
        // Under constant load, the buffer may never become empty. So when more than half of the written bytes have been sent, the remaining
        // bytes are moved to the beginning of the buffer.
        if self.sent > self.retain && self.sent > self.end / 2 {
            self.compact();
        }
        self.committed = self.end;
        Ok(())
    }

    /// Returns the bytes that are committed and not sent.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        self.buf.get(self.sent..self.committed).unwrap_or_default()
    }

    /// Returns the bytes of the current batch: the messages since the last `commit`.
    pub fn batch(&self) -> &[u8] {
        self.buf.get(self.committed..self.end).unwrap_or_default()
    }

    /// Whether no bytes are pending and the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.sent == self.end && self.error.is_none()
    }

    /// Reports that the first `count` bytes of [`pending`](Self::pending) have been sent. If `count` is larger than the number of pending
    /// bytes, all pending bytes count as sent.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.committed);
        self.tidy();
    }

    /// Frees a buffer of more than 16 KiB if the outbox is empty. Call this function when the connection waits for the peer, because the
    /// connection may then be idle for a long time.
    ///
    /// If each batch needs a large buffer again, not every call frees the buffer. Fewer and fewer calls then free the buffer, but at least
    /// every 64th call does.
    pub fn waiting(&mut self) {
        if self.sent == self.end && self.waits.is_due(self.buf.capacity() > IDLE, false) {
            self.free();
        }
    }

    /// Wipes the bytes of sent messages that are still in the buffer.
    pub fn scrub(&mut self) {
        self.compact();
        self.buf.resize(self.buf.capacity(), 0);
        let end = self.written();
        if let Some(spare) = self.buf.get_mut(end..) {
            spare.zeroize();
        }
    }

    /// Sets whether memory is wiped before it is freed. The buffer frees memory when it grows, shrinks or is dropped. Use this setting
    /// while messages with passwords and keys are written. Then call [`scrub`](Self::scrub), which wipes sent bytes that are still in the
    /// buffer.
    pub fn set_wiping(&mut self, wiping: bool) {
        self.wiping = wiping;
    }

    /// Returns the number of bytes of memory that the buffer holds.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Drops the current batch (the messages since the last `commit`), and the error of this batch.
    pub fn discard_batch(&mut self) {
        self.error = None;
        self.end = self.committed;
        self.tidy();
    }

    /// Drops the bytes of the current batch after the first `length` bytes. Does nothing if the batch has an error.
    #[cfg(feature = "std")]
    pub(crate) fn truncate_batch(&mut self, length: usize) {
        if self.error.is_none() {
            self.end = self.end.min(self.committed.saturating_add(length));
            self.tidy();
        }
    }

    /// Drops all bytes that are not sent, and the error of the batch. Used when the sending direction has ended.
    #[cfg(feature = "std")]
    pub(crate) fn clear(&mut self) {
        self.error = None;
        self.sent = self.end;
        self.tidy();
    }

    #[cfg(feature = "std")]
    pub(crate) fn set_retain(&mut self, retain: usize) {
        self.retain = retain;
    }

    /// Returns the index after the last byte that can be sent. A batch with an error is not counted, because it is never sent.
    fn written(&self) -> usize {
        if self.error.is_some() { self.committed } else { self.end }
    }

    /// Moves the bytes that are not sent to the beginning of the buffer.
    fn compact(&mut self) {
        let written = self.written();
        self.buf.copy_within(self.sent..written, 0);
        if self.error.is_none() {
            self.end -= self.sent;
        }
        self.committed -= self.sent;
        self.sent = 0;
    }

    #[inline]
    fn tidy(&mut self) {
        if self.sent == self.end {
            (self.sent, self.committed, self.end) = (0, 0, 0);
            self.waits.used();
            if self.buf.capacity() > self.retain {
                self.free();
            }
        }
    }

    /// Frees the buffer, and wipes the buffer first if wiping is set. Precondition: the outbox is empty.
    fn free(&mut self) {
        let mut old = core::mem::take(&mut self.buf);
        if self.wiping {
            old.zeroize();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.wiping {
            self.buf.zeroize();
        }
    }
}

/// Grows the buffer if necessary, and returns the buffer with room for `length` bytes after `end`.
#[cold]
#[inline(never)]
fn grown(mut buf: Vec<u8>, end: usize, length: usize, wiping: bool) -> Vec<u8> {
    if buf.len() - end < length {
        if wiping && buf.capacity() - end < length.max(SMALLEST_GROWTH) {
            let mut grown = Vec::with_capacity((end + length).max(2 * buf.capacity()).max(SMALLEST_GROWTH));
            grown.extend_from_slice(buf.get(..end).unwrap_or_default());
            buf.zeroize();
            buf = grown;
        }
        buf.truncate(end);
        buf.reserve(length.max(SMALLEST_GROWTH));
        buf.resize(buf.capacity().min(end + length.max(MOST_ZEROED)), 0);
    }
    buf
}

impl core::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Outbox")
            .field("pending", &self.pending().len())
            .field("batch", &self.batch().len())
            .field("error", &self.error)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::frontend::{Query, Sync};

    #[test]
    fn a_rejected_message_drops_only_its_own_batch() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Sync {});
        outbox.commit().expect("Sync is valid");
        outbox.put(&Sync {});
        outbox.put(&Query { sql: "\0".into() });
        outbox.put(&Sync {});
        outbox.commit().expect_err("the query has a NUL");
        assert_eq!(outbox.pending(), b"S\0\0\0\x04");
        outbox.put(&Sync {});
        outbox.commit().expect("the error is reported once");
        assert_eq!(outbox.pending().len(), 10);
    }

    #[test]
    fn committed_bytes_can_be_sent_before_the_error_of_the_next_batch_is_reported() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Query { sql: "select 1".into() });
        outbox.commit().expect("the query is valid");
        outbox.put(&Sync {});
        outbox.put(&Query { sql: "\0".into() });
        outbox.put(&Sync {});
        outbox.put_raw(b"S");
        assert_eq!((outbox.batch(), outbox.is_empty()), (&b""[..], false));
        outbox.sent(4);
        outbox.scrub();
        assert_eq!(outbox.pending(), b"\x0dselect 1\0");
        outbox.sent(10);
        assert_eq!((outbox.pending(), outbox.is_empty()), (&b""[..], false));
        outbox.scrub();
        outbox.commit().expect_err("the query has a NUL");
        assert!(outbox.is_empty());
        outbox.put(&Sync {});
        outbox.commit().expect("the error is reported once");
        assert_eq!(outbox.pending(), b"S\0\0\0\x04");
    }

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow_without_limit() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Sync {});
        for _ in 0..100_000 {
            outbox.put(&Sync {});
            outbox.commit().expect("Sync is valid");
            outbox.sent(5);
            assert_eq!(outbox.pending(), b"S\0\0\0\x04");
        }
        assert!(outbox.capacity() < 16 * 1024, "{}", outbox.capacity());
    }

    #[test]
    fn capacity_over_the_limit_is_freed_when_everything_is_sent() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Query { sql: "x".repeat(1 << 20).as_str().into() });
        outbox.commit().expect("a long query is valid");
        let all = outbox.pending().len();
        outbox.sent(all - 1);
        assert_eq!(outbox.pending().len(), 1);
        outbox.sent(1);
        assert_eq!(outbox.capacity(), 0);
    }
}
