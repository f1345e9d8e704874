//! Measuring whole frames, and writing them into a buffer.

use bytes::BufMut;

use crate::basic::code::MessageCode;
use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::length::MAX_LENGTH;
use crate::codec::frame::Frame;
use crate::codec::message::Message;
use crate::codec::writer::Writer;
use crate::encode::append::Append;
use crate::encode::fill::Fill;
use crate::encode::measure::{Extent, Measure};

/// Frames of up to this number of bytes are first written to the stack, and then passed to a [`BufMut`] in one `put_slice`: a
/// call for each field takes several times as long as writing the field.
const STAGED: usize = 256;

/// Frames of up to this number of bytes use a space on the stack of only this size. The space is zeroed before each use, so a short frame
/// must not use a large space.
const SHORT: usize = 64;

/// Space on the stack for frames of up to `N` bytes. Aligned to a cache line, because a copy from an unaligned address takes up to twice
/// as long as from an aligned address.
#[repr(align(64))]
struct Stage<const N: usize>([u8; N]);

/// Largest number of messages in a tuple that implements [`Messages`].
const MOST_MESSAGES: usize = 6;

/// A message, or a tuple of up to six messages. A tuple is written completely, or no part of the tuple is written. One check decides
/// whether all messages fit.
///
/// ```
/// use pg_wire::{Outbox, frontend::{Execute, Sync}};
///
/// let mut outbox = Outbox::new(1024);
/// outbox.put(&(Execute { portal: "".into(), max_rows: 0 }, Sync {}));
/// outbox.commit()?;
/// assert_eq!(outbox.pending(), b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
/// # Ok::<_, pg_wire::EncodeError>(())
/// ```
pub trait Messages: Sealed {
    /// Whether [`Message::MEASURED`] is true for each of the messages.
    #[doc(hidden)]
    const KNOWN: bool;

    /// Passes each message to `visit`, in order. This method is called more than once for each write, and must visit the same messages each
    /// time.
    fn each(&self, visit: &mut impl VisitMessage);
}

/// A visitor of messages, for [`Messages::each`].
pub trait VisitMessage {
    /// Visits the next message.
    fn visit<M: Message + ?Sized>(&mut self, message: &M);

    /// Visits frames whose encoded bytes are known at compile time.
    #[doc(hidden)]
    #[inline(always)]
    fn visit_constant<const N: usize>(&mut self, frames: &'static [u8; N]) {
        let mut rest = &frames[..];
        while let Some((&[code, a, b, c, d], after)) = rest.split_first_chunk() {
            let length = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
            let (body, after) = after.split_at_checked(length).unwrap_or_default();
            self.visit(&Frame { code: MessageCode(code), body });
            rest = after;
        }
    }
}

/// Appends whole messages to any [`BufMut`].
pub trait Encode: Messages {
    /// Appends the whole message, or all messages of the tuple, to `out`.
    ///
    /// ```
    /// use pg_wire::{Encode, frontend::Query};
    ///
    /// let mut out = Vec::new();
    /// Query { sql: "select 1".into() }.encode(&mut out)?;
    /// assert_eq!(out, b"Q\0\0\0\x0dselect 1\0");
    /// # Ok::<_, pg_wire::EncodeError>(())
    /// ```
    ///
    /// # Errors
    /// When the message cannot be sent: a string contains a NUL, a count or a length is too large for its field, or `out` has a fixed size
    /// and too little room. After an error, `out` is unchanged, with one exception: after [`Unstable`](EncodeErrorKind::Unstable), the last
    /// frame in `out` may be filled up with zeros.
    #[inline]
    fn encode<B: BufMut + ?Sized>(&self, out: &mut B) -> Result<(), EncodeError> {
        encode(self, out)
    }
}

impl<M: Messages + ?Sized> Encode for M {}

/// Seals [`Messages`], because [`Lengths`] has room for only [`MOST_MESSAGES`] lengths.
pub trait Sealed {}

impl<M: Message + ?Sized> Sealed for M {}

impl<M: Message + ?Sized> Messages for M {
    const KNOWN: bool = M::MEASURED;

    #[inline(always)]
    fn each(&self, visit: &mut impl VisitMessage) {
        visit.visit(self);
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(impl<$($name: Message),*> Sealed for ($($name,)*) {}

        impl<$($name: Message),*> Messages for ($($name,)*) {
            const KNOWN: bool = $($name::MEASURED &&)* true;

            #[inline(always)]
            #[allow(non_snake_case)]
            fn each(&self, visit: &mut impl VisitMessage) {
                let ($($name,)*) = self;
                $(visit.visit($name);)*
            }
        })*
    };
}

tuples! { (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) }

/// Fast path: writes the frames to the beginning of `room`, and returns the number of bytes. Returns `None` if the frames do not fit or
/// cannot be sent; [`measure`] distinguishes these two cases. `room` may then hold a part of the frames.
#[inline(always)]
pub(crate) fn fill<M: Messages + ?Sized>(messages: &M, room: &mut [u8]) -> Option<usize> {
    // Computes the length first. For most messages the length is a constant. After the comparison of the length with the room,
    // the optimiser removes the bounds checks of the fields.
    let mut extent = Extent::default();
    messages.each(&mut extent);
    let length = extent.within(room.len())?;
    let room = if M::KNOWN { room.get_mut(..length)? } else { room };
    let all = room.len();
    let mut frames = FillFrames(Some(room));
    messages.each(&mut frames);
    let length = all - frames.0?.len();
    extent.is_sendable().then_some(length)
}

impl VisitMessage for Extent {
    #[inline(always)]
    fn visit<M: Message + ?Sized>(&mut self, message: &M) {
        if message.code().is_some() {
            self.byte1(0);
        }
        self.int32(0);
        message.write(self);
    }

    #[inline(always)]
    fn visit_constant<const N: usize>(&mut self, _: &'static [u8; N]) {
        self.add(N);
    }
}

/// Writes frames one after another. Holds the unused part of the room; `None` after a frame that did not fit or cannot be sent.
struct FillFrames<'a>(Option<&'a mut [u8]>);

impl VisitMessage for FillFrames<'_> {
    #[inline(always)]
    fn visit<M: Message + ?Sized>(&mut self, message: &M) {
        if let Some(room) = self.0.take()
            && let Some(mut fill) = Fill::frame(message.code(), room)
        {
            message.write(&mut fill);
            self.0 = fill.finish();
        }
    }

    #[inline(always)]
    fn visit_constant<const N: usize>(&mut self, frames: &'static [u8; N]) {
        if let Some((place, room)) = self.0.take().and_then(<[u8]>::split_first_chunk_mut) {
            *place = *frames;
            self.0 = Some(room);
        }
    }
}

/// Returns the lengths of the frames, or the first error. Inlined: a call would take a reference to the messages, and so force
/// the compiler to keep all messages in memory.
#[inline(always)]
pub(crate) fn measure<M: Messages + ?Sized>(messages: &M) -> Result<Lengths, EncodeError> {
    let mut lengths = Lengths { of: [0; MOST_MESSAGES], count: 0, error: None };
    messages.each(&mut lengths);
    match lengths.error {
        None => Ok(lengths),
        Some(error) => Err(error),
    }
}

/// Length of each frame in bytes, or the first error.
pub(crate) struct Lengths {
    of: [usize; MOST_MESSAGES],
    count: usize,
    error: Option<EncodeError>,
}

impl Lengths {
    /// Returns the sum of the lengths. The addition saturates, because the sum may exceed `usize::MAX`.
    pub(crate) fn sum(&self) -> usize {
        self.of.iter().fold(0, |sum, length| sum.saturating_add(*length))
    }
}

impl VisitMessage for Lengths {
    #[inline(always)]
    fn visit<M: Message + ?Sized>(&mut self, message: &M) {
        let mut measure = Measure::default();
        message.write(&mut measure);
        if measure.refusal.is_some() || measure.length > MAX_LENGTH - 4 {
            self.error.get_or_insert(EncodeError { message: message.name(), kind: measure.kind() });
        } else if let Some(length) = self.of.get_mut(self.count) {
            *length = measure.length + if message.code().is_some() { 5 } else { 4 };
            self.count += 1;
        }
    }
}

/// Creates an error of this kind. The error contains the name of the first message.
#[cold]
pub(crate) fn error<M: Messages + ?Sized>(messages: &M, kind: EncodeErrorKind) -> EncodeError {
    struct First(&'static str);
    impl VisitMessage for First {
        fn visit<M: Message + ?Sized>(&mut self, message: &M) {
            if self.0.is_empty() {
                self.0 = message.name();
            }
        }
    }
    let mut first = First("");
    messages.each(&mut first);
    EncodeError { message: first.0, kind }
}

/// Appends all frames to `out`, or no frame if there is an error.
#[inline]
pub(crate) fn encode<M: Messages + ?Sized, B: BufMut + ?Sized>(
    messages: &M,
    out: &mut B,
) -> Result<(), EncodeError> {
    let mut extent = Extent::default();
    messages.each(&mut extent);
    let staged = if M::KNOWN && extent.within(SHORT).is_some() {
        put_staged::<SHORT, M, B>(messages, out)
    } else {
        put_staged::<STAGED, M, B>(messages, out)
    };
    match staged {
        Some(()) => Ok(()),
        None => append(messages, out),
    }
}

/// Fast path of [`encode`]: writes the frames to the stack, and passes them to `out`. Returns `None` if the frames do not fit or cannot be
/// sent.
#[inline(always)]
fn put_staged<const N: usize, M: Messages + ?Sized, B: BufMut + ?Sized>(
    messages: &M,
    out: &mut B,
) -> Option<()> {
    let mut stage = Stage([0; N]);
    let length = fill(messages, &mut stage.0)?;
    if length > out.remaining_mut() {
        return None;
    }
    out.put_slice(stage.0.get(..length)?);
    Some(())
}

/// Slow path of [`encode`]: appends the frames field by field, or returns the error.
#[cold]
#[inline(never)]
fn append<M: Messages + ?Sized, B: BufMut + ?Sized>(messages: &M, out: &mut B) -> Result<(), EncodeError> {
    let lengths = measure(messages)?;
    let (needed, left) = (lengths.sum(), out.remaining_mut());
    if left < needed {
        return Err(error(messages, EncodeErrorKind::NoRoom { needed, left }));
    }
    let mut appends = AppendFrames { out, lengths: lengths.of.iter(), result: Ok(()) };
    messages.each(&mut appends);
    appends.result
}

/// Appends each frame, with the length that was measured before.
struct AppendFrames<'a, B: ?Sized> {
    out: &'a mut B,
    lengths: core::slice::Iter<'a, usize>,
    result: Result<(), EncodeError>,
}

impl<B: BufMut + ?Sized> VisitMessage for AppendFrames<'_, B> {
    fn visit<M: Message + ?Sized>(&mut self, message: &M) {
        let (Some(&needed), Ok(())) = (self.lengths.next(), &self.result) else { return };
        let mut append = Append::new(&mut *self.out, needed);
        let mut length = needed;
        if let Some(code) = message.code() {
            append.byte1(code.0);
            length -= 1;
        }
        // `measure` has checked that the length fits.
        append.int32(u32::try_from(length).unwrap_or(u32::MAX));
        message.write(&mut append);
        if !append.finish() {
            self.result = Err(error(message, EncodeErrorKind::Unstable));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::outbox::Outbox;
    use crate::message::frontend::{Execute, Query, Sync};
    use alloc::string::String;
    use alloc::vec::Vec;
    use core::cell::Cell;

    fn query(sql: &str) -> Query<'_> {
        Query { sql: sql.into() }
    }

    #[test]
    fn a_tuple_is_written_as_its_messages_one_after_another() {
        for length in [0, 1, 100, 300, 5000] {
            let long = "x".repeat(length);
            let messages = (query("a"), Sync {}, query(&long), Execute { portal: "p".into(), max_rows: 7 });
            let mut each = Vec::new();
            messages.0.encode(&mut each).expect("valid");
            messages.1.encode(&mut each).expect("valid");
            messages.2.encode(&mut each).expect("valid");
            messages.3.encode(&mut each).expect("valid");
            let mut out = Vec::new();
            encode(&messages, &mut out).expect("valid");
            assert_eq!(out, each);
            let mut outbox = Outbox::new(1024);
            outbox.put(&messages);
            outbox.put(&messages);
            assert_eq!(outbox.batch(), [&each[..], &each].concat());
        }
    }

    #[test]
    fn a_tuple_is_written_as_a_whole_or_not_at_all() {
        let messages = (Sync {}, query("\0"), Execute { portal: "\0".into(), max_rows: 0 });
        let mut out = Vec::new();
        let error = encode(&messages, &mut out).expect_err("a NUL");
        assert_eq!((error.message, error.kind), ("Query", EncodeErrorKind::Nul), "the first invalid message");
        assert_eq!(out, b"");
        for left in 0..19 {
            let mut room = [0; 20];
            let mut rest = &mut room[..left];
            let error = encode(&(Sync {}, query("123456789")), &mut rest).expect_err("twenty bytes");
            assert_eq!((error.message, error.kind), ("Sync", EncodeErrorKind::NoRoom { needed: 20, left }));
            assert_eq!((rest.len(), room), (left, [0; 20]));
        }
    }

    #[test]
    fn a_message_that_changes_its_length_cannot_corrupt_other_frames() {
        /// A message that has a different length each time it is written.
        struct Unsteady(Cell<i32>, i32);
        impl Message for Unsteady {
            fn code(&self) -> Option<crate::MessageCode> {
                Some(crate::MessageCode::QUERY)
            }
            fn name(&self) -> &'static str {
                "Unsteady"
            }
            fn write<P: Writer + ?Sized>(&self, out: &mut P) {
                self.0.set(self.0.get() + self.1);
                out.bytes(&[b'x'; 1000][..self.0.get() as usize]);
            }
        }
        for (first, step) in [(400, 1), (800, -1), (10, 1)] {
            let mut out = Vec::new();
            let messages = (query("a"), Unsteady(Cell::new(first), step), query("b"));
            let error = encode(&messages, &mut out).expect_err("the message changes its length");
            assert_eq!((error.message, error.kind), ("Unsteady", EncodeErrorKind::Unstable));
            let mut rest = &out[..];
            let mut codes = String::new();
            while let [code, a, b, c, d, ..] = rest {
                codes.push(char::from(*code));
                rest = &rest[1 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
            }
            assert_eq!((rest, codes.as_str()), (&[][..], "QQ"));
            if step > 0 {
                let mut outbox = Outbox::new(1024);
                outbox.put(&messages);
                let error = outbox.commit().expect_err("the message is longer than measured");
                assert_eq!((error.kind, outbox.pending()), (EncodeErrorKind::Unstable, &b""[..]));
            }
        }
    }
}
