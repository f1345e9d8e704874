//! What can be wrong with bytes, in and out.

use core::fmt;

/// A body that is not what its code promises.
///
/// Recoverable: the frame it came in has been consumed whole, so the stream is still in step and the next
/// message can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The message, by its name in the manual.
    pub message: &'static str,
    /// Where in the body it went wrong, in bytes from the first one after the length.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The body ends before the field does.
    Short,
    /// Bytes are left over after the last field.
    Trailing,
    /// A string has no terminating NUL.
    Unterminated,
    /// A length below -1.
    NegativeLength,
    /// A count or length that contradicts another field.
    Inconsistent,
    /// The frame's code is not the one of this message.
    WrongCode,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::Short => "the body ends inside a field",
            DecodeErrorKind::Trailing => "bytes are left over after the last field",
            DecodeErrorKind::Unterminated => "a string has no terminating NUL",
            DecodeErrorKind::NegativeLength => "a length is negative",
            DecodeErrorKind::Inconsistent => "a count or length contradicts another field",
            DecodeErrorKind::WrongCode => "the frame carries another message",
        };
        write!(f, "malformed {}: {what} (at byte {})", self.message, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// A message that cannot be put on the wire; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// The message, by its name in the manual.
    pub message: &'static str,
    /// Why it was refused.
    pub kind: EncodeErrorKind,
}

/// Why a message cannot be put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A string with a NUL inside; the protocol ends strings with one.
    Nul,
    /// More items than the count field can hold.
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// A value longer than a length field can hold: 2,147,483,647 bytes.
    ValueTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A message longer than a length field can hold: 2,147,483,647 bytes, its four length bytes included.
    MessageTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// A number that the field reads as something else (a row limit over 2,147,483,647 would mean "all").
    OutOfRange,
    /// A field that must not be empty is: it would end the list it stands in.
    Empty,
    /// The buffer has a fixed end, and the message does not fit before it.
    NoRoom {
        /// Bytes the message needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A [`Bindable`](crate::Bindable) gave one value when it was measured and another when it was written, or
    /// [`Params`](crate::Params) showed more or fewer than they said.
    Unstable,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot send {}: ", self.message)?;
        match self.kind {
            EncodeErrorKind::Nul => f.write_str("a string contains a NUL byte"),
            EncodeErrorKind::TooMany { what, given, most } => {
                write!(f, "{given} {what}, where {most} is the most")
            }
            EncodeErrorKind::ValueTooLong { length } => {
                write!(f, "a value of {length} bytes, where 2147483647 is the most")
            }
            EncodeErrorKind::MessageTooLong { length } => {
                write!(f, "a message of {length} bytes, where 2147483647 is the most")
            }
            EncodeErrorKind::OutOfRange => f.write_str("a number is out of its field's range"),
            EncodeErrorKind::Empty => f.write_str("a name in a list is empty"),
            EncodeErrorKind::NoRoom { needed, left } => {
                write!(f, "it takes {needed} bytes and the buffer has {left} left")
            }
            EncodeErrorKind::Unstable => f.write_str("a parameter changed while it was being written"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// A frame header that cannot be believed or is over a limit.
///
/// [`TooLong`](FrameErrorKind::TooLong) of a bulk message is recoverable: the frame is skipped as it arrives. Everything else
/// means that the two sides no longer agree where messages begin, and poisons the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The code in the header; 0 for a packet without one.
    pub code: crate::MessageCode,
    /// What is wrong.
    pub kind: FrameErrorKind,
}

/// What is wrong with a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameErrorKind {
    /// A length below 4: it does not even cover itself.
    BadLength {
        /// The length field as it came.
        length: i32,
    },
    /// Over the limit for messages of this code.
    TooLong {
        /// Length of the body in bytes.
        length: usize,
        /// The limit it is over, in bytes.
        limit: usize,
        /// Whether the frame is being skipped, so that reading can go on after it.
        skipped: bool,
    },
}

impl FrameError {
    /// Whether the stream can no longer be read after this error.
    pub fn is_fatal(&self) -> bool {
        !matches!(self.kind, FrameErrorKind::TooLong { skipped: true, .. })
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FrameErrorKind::BadLength { length } => {
                write!(f, "message {:?} announces an impossible length of {length}", self.code)
            }
            FrameErrorKind::TooLong { length, limit, .. } => {
                write!(f, "message {:?} of {length} bytes is over the limit of {limit}", self.code)
            }
        }
    }
}

impl core::error::Error for FrameError {}
