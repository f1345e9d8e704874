//! What is to be sent and has not gone yet.

use alloc::vec::Vec;
use zeroize::Zeroize;

use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::hint::cold_path;
use crate::encode::frames::{self, Messages};

/// Least that the buffer grows by, so that the packets of a connection phase never make it move: what it held before would
/// stay behind unwiped.
const LEAST: usize = 1024;

/// Most that any buffer can hold.
const MOST: usize = isize::MAX as usize;

/// Most that is zeroed ahead of what is written.
const AHEAD: usize = 64 * 1024;

/// The buffer that messages are written into and sent from.
///
/// It does no I/O. Messages are [`put`](Self::put), a batch is [`commit`](Self::commit)ted whole, and the
/// [`pending`](Self::pending) bytes leave in as many pieces as the transport likes, each told to [`sent`](Self::sent).
///
/// `put` never fails: the first message that cannot be encoded is remembered, and `commit` then reports it and drops
/// the batch, so that half a pipeline never leaves.
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
    /// Zeroed where it grows and never again: a field is a store, and not a call that makes room for it.
    buf: Vec<u8>,
    /// First byte that has not been sent.
    sent: usize,
    /// First byte that may not be sent yet.
    committed: usize,
    /// First byte that has not been written; beyond every buffer where there is an error, so that nothing else has to be asked.
    end: usize,
    error: Option<EncodeError>,
    /// Capacity kept while empty.
    retain: usize,
    /// Whether memory is wiped before it is given up.
    wiping: bool,
}

impl Outbox {
    /// An empty one, which takes no memory yet and, when it is empty again, keeps up to `retain` bytes.
    pub fn new(retain: usize) -> Self {
        Self { buf: Vec::new(), sent: 0, committed: 0, end: 0, error: None, retain, wiping: false }
    }

    /// Adds a message to the batch, or a tuple of them, which is less work than one after the other.
    #[inline(always)]
    pub fn put<M: Messages + ?Sized>(&mut self, messages: &M) {
        if self.fill(messages).is_some() {
            return;
        }
        cold_path();
        if self.error.is_some() {
            return;
        }
        match frames::measure(messages).map(|lengths| lengths.sum()) {
            Ok(needed) if needed > MOST - self.end => {
                let kind = EncodeErrorKind::NoRoom { needed, left: MOST - self.end };
                self.refuse(frames::error(messages, kind));
            }
            Ok(needed) => {
                // The buffer by itself: a call that saw `self` would make the compiler look up after every byte written
                // whether `self` is still what it was.
                self.buf = grown(core::mem::take(&mut self.buf), self.end, needed, self.wiping);
                if self.fill(messages).is_none() {
                    self.refuse(frames::error(messages, EncodeErrorKind::Unstable));
                }
            }
            Err(error) => self.refuse(error),
        }
    }

    /// Puts messages into the room that there is.
    #[inline(always)]
    fn fill<M: Messages + ?Sized>(&mut self, messages: &M) -> Option<()> {
        let Some(room) = self.buf.get_mut(self.end..) else {
            // Said here too, so that it does not become one condition with the next, which takes longer than two.
            cold_path();
            return None;
        };
        self.end += frames::fill(messages, room)?;
        Some(())
    }

    /// Gives the batch up: what is put until it is committed is dropped with it.
    #[cold]
    pub(crate) fn refuse(&mut self, error: EncodeError) {
        self.error = Some(error);
        self.end = usize::MAX;
    }

    /// Adds bytes that are no message: the one byte that answers an SSLRequest.
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

    /// Ends the batch: all of it may leave.
    ///
    /// # Errors
    /// The first message of the batch that could not be encoded; the whole batch has been dropped.
    #[inline]
    pub fn commit(&mut self) -> Result<(), EncodeError> {
        if let Some(error) = self.error.take() {
            self.end = self.committed;
            self.tidy();
            return Err(error);
        }
        // Under constant load the buffer may never be empty: what has left makes room once it is the half.
        if self.sent > self.retain && self.sent > self.end / 2 {
            self.compact();
        }
        self.committed = self.end;
        Ok(())
    }

    /// The bytes that may leave and have not, in order.
    #[inline]
    pub fn pending(&self) -> &[u8] {
        self.buf.get(self.sent..self.committed).unwrap_or_default()
    }

    /// The bytes of the batch that has not been committed.
    pub fn batch(&self) -> &[u8] {
        self.buf.get(self.committed..self.end).unwrap_or_default()
    }

    /// Whether there is nothing, neither to be sent nor in the batch.
    pub fn is_empty(&self) -> bool {
        self.sent == self.end && self.error.is_none()
    }

    /// The first `count` bytes of [`pending`](Self::pending) have left. More than there are counts as all of them.
    #[inline]
    pub fn sent(&mut self, count: usize) {
        self.sent = self.sent.saturating_add(count).min(self.committed);
        self.tidy();
    }

    /// Wipes what the buffer still holds of messages that have been sent.
    pub fn scrub(&mut self) {
        self.compact();
        self.buf.resize(self.buf.capacity(), 0);
        let end = self.written();
        if let Some(spare) = self.buf.get_mut(end..) {
            spare.zeroize();
        }
    }

    /// Sets whether memory is wiped before it is given up, when the buffer grows, shrinks or is dropped. For as long as passwords and
    /// keys are put; [`scrub`](Self::scrub) afterwards.
    pub fn set_wiping(&mut self, wiping: bool) {
        self.wiping = wiping;
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    #[cfg(feature = "std")]
    pub(crate) fn set_retain(&mut self, retain: usize) {
        self.retain = retain;
    }

    /// First byte that is of no use: what has been written of a batch with an error never leaves.
    fn written(&self) -> usize {
        if self.error.is_some() { self.committed } else { self.end }
    }

    /// Moves what has not been sent to the beginning.
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
            if self.buf.capacity() > self.retain {
                let mut old = core::mem::take(&mut self.buf);
                if self.wiping {
                    old.zeroize();
                }
            }
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

/// The buffer with room for `length` bytes behind `end`.
#[cold]
#[inline(never)]
fn grown(mut buf: Vec<u8>, end: usize, length: usize, wiping: bool) -> Vec<u8> {
    if buf.len() - end < length {
        if wiping && buf.capacity() - end < length.max(LEAST) {
            let mut grown = Vec::with_capacity((end + length).max(2 * buf.capacity()).max(LEAST));
            grown.extend_from_slice(buf.get(..end).unwrap_or_default());
            buf.zeroize();
            buf = grown;
        }
        buf.truncate(end);
        buf.reserve(length.max(LEAST));
        buf.resize(buf.capacity().min(end + length.max(AHEAD)), 0);
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
    fn a_refused_message_takes_its_batch_with_it_and_no_more() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Sync {});
        outbox.commit().expect("nothing is wrong with Sync");
        outbox.put(&Sync {});
        outbox.put(&Query { sql: "\0".into() });
        outbox.put(&Sync {});
        outbox.commit().expect_err("the query has a NUL");
        assert_eq!(outbox.pending(), b"S\0\0\0\x04");
        outbox.put(&Sync {});
        outbox.commit().expect("the error is told once");
        assert_eq!(outbox.pending().len(), 10);
    }

    #[test]
    fn an_error_can_wait_while_what_was_committed_leaves() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Query { sql: "select 1".into() });
        outbox.commit().expect("nothing is wrong with it");
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
        outbox.commit().expect("the error is told once");
        assert_eq!(outbox.pending(), b"S\0\0\0\x04");
    }

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow_for_ever() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Sync {});
        for _ in 0..100_000 {
            outbox.put(&Sync {});
            outbox.commit().expect("nothing is wrong with Sync");
            outbox.sent(5);
            assert_eq!(outbox.pending(), b"S\0\0\0\x04");
        }
        assert!(outbox.capacity() < 16 * 1024, "{}", outbox.capacity());
    }

    #[test]
    fn memory_beyond_the_bound_is_given_back_once_all_is_sent() {
        let mut outbox = Outbox::new(1024);
        outbox.put(&Query { sql: "x".repeat(1 << 20).as_str().into() });
        outbox.commit().expect("a long query is fine");
        let all = outbox.pending().len();
        outbox.sent(all - 1);
        assert_eq!(outbox.pending().len(), 1);
        outbox.sent(1);
        assert_eq!(outbox.capacity(), 0);
    }
}
