//! Errors of decoding, encoding and framing.

use core::fmt;

/// Error for a malformed body: its bytes do not form the fields that the message requires.
///
/// Recoverable: the whole frame has been consumed, so the next message can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Name of the message in the PostgreSQL manual.
    pub message: &'static str,
    /// Offset of the error in the body, in bytes after the length field.
    pub offset: usize,
    /// Kind of the error.
    pub kind: DecodeErrorKind,
}

/// The kind of a [`DecodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The body ends inside a field.
    Short,
    /// Bytes are left over after the last field.
    Trailing,
    /// A string has no terminating NUL.
    Unterminated,
    /// A length is negative. (For a value that may be NULL, the length -1 is no error, and means NULL.)
    NegativeLength,
    /// A count or a length contradicts another field.
    Inconsistent,
    /// The code of the frame is not the code of the message that the caller decodes.
    WrongCode,
    /// A byte has a value without a meaning. The byte must be a Boolean, or must select one of the known forms of a field.
    UnknownForm {
        /// Value of the byte. No known form has this value.
        found: u8,
    },
    /// The message is well-formed, but not valid at this point of the stream. For example, a replication stream ends a block that has not
    /// begun.
    Misplaced,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            DecodeErrorKind::UnknownForm { found } => {
                let Self { message, offset, .. } = self;
                return write!(
                    f,
                    "malformed {message}: the byte {found:#04x} is not a valid value of its field (at byte {offset})"
                );
            }
            DecodeErrorKind::Misplaced => "the message is not allowed after the messages before it",
            DecodeErrorKind::Short => "the body ends inside a field",
            DecodeErrorKind::Trailing => "bytes are left over after the last field",
            DecodeErrorKind::Unterminated => "a string has no terminating NUL",
            DecodeErrorKind::NegativeLength => "a length is negative",
            DecodeErrorKind::Inconsistent => "a count or length contradicts another field",
            DecodeErrorKind::WrongCode => "the frame has the code of another message",
        };
        write!(f, "malformed {}: {what} (at byte {})", self.message, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// Error for a message that cannot be sent. No part of the message has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeError {
    /// Name of the message in the PostgreSQL manual.
    pub message: &'static str,
    /// Reason why the message cannot be sent.
    pub kind: EncodeErrorKind,
}

/// The kind of an [`EncodeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// A string contains a NUL. The protocol ends strings with a NUL.
    Nul,
    /// A list has more items than its count field can hold.
    TooMany {
        /// Name of the counted items.
        what: &'static str,
        /// Number of items.
        given: usize,
        /// Largest number of items that the count field can hold.
        most: usize,
    },
    /// A value is longer than 2,147,483,647 bytes, which is the largest length that a length field can hold.
    ValueTooLong {
        /// Length of the value in bytes.
        length: usize,
    },
    /// A message is longer than 2,147,483,647 bytes, which is the largest value of its length field. The field counts its own four bytes
    /// too.
    MessageTooLong {
        /// Length of the message in bytes.
        length: usize,
    },
    /// A number or a length is outside the range of its field. For example, a cancel key must have 4 to 256 bytes. A row limit must be at
    /// most 2,147,483,647: the server would read a larger number as a negative number, which means "all rows".
    OutOfRange,
    /// A list contains an empty item. The peer would read the item as the end of the list.
    Empty,
    /// A buffer of fixed size has too little room for the message.
    NoRoom {
        /// Number of bytes that the message needs.
        needed: usize,
        /// Number of bytes left in the buffer.
        left: usize,
    },
    /// A [`Bindable`](crate::Bindable) returned different values in two calls for the same message, or [`Params`](crate::Params) visited
    /// more or fewer values than its count.
    Unstable,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot send {}: ", self.message)?;
        match self.kind {
            EncodeErrorKind::Nul => f.write_str("a string contains a NUL byte"),
            EncodeErrorKind::TooMany { what, given, most } => {
                write!(f, "the message has {given} {what}, but at most {most} are allowed")
            }
            EncodeErrorKind::ValueTooLong { length } => {
                write!(f, "a value has {length} bytes, but at most 2147483647 bytes are allowed")
            }
            EncodeErrorKind::MessageTooLong { length } => {
                write!(f, "the message has {length} bytes, but at most 2147483647 bytes are allowed")
            }
            EncodeErrorKind::OutOfRange => {
                f.write_str("a number or a length is outside the range that its field allows")
            }
            EncodeErrorKind::Empty => f.write_str("a name in a list is empty"),
            EncodeErrorKind::NoRoom { needed, left } => {
                write!(f, "the message needs {needed} bytes, but the buffer has room for only {left}")
            }
            EncodeErrorKind::Unstable => {
                f.write_str("a Bindable or a Params returned different values in two calls for one message")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

/// Error for an invalid frame header, or for a body over its limit.
///
/// The error [`TooLong`](FrameErrorKind::TooLong) for a bulk message is recoverable: the receiver drops the bytes of the frame, and the
/// next message can be read. After any other error, the position of the next message is unknown, and the connection is poisoned: each later
/// call that receives returns an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError {
    /// The code in the header; 0 for a packet without a code.
    pub code: crate::MessageCode,
    /// The kind of the error.
    pub kind: FrameErrorKind,
}

/// The kind of a [`FrameError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameErrorKind {
    /// The length field is below 4. The field counts its own four bytes.
    BadLength {
        /// Value of the length field.
        length: i32,
    },
    /// The body is over the limit for messages with this code.
    TooLong {
        /// Length of the body in bytes.
        length: usize,
        /// Limit for the length of the body in bytes.
        limit: usize,
        /// Whether the frame is being skipped. After a skipped frame, the next message can be read.
        skipped: bool,
    },
}

impl FrameError {
    /// Whether the error is fatal: no more messages can be read from the stream.
    pub fn is_fatal(&self) -> bool {
        !matches!(self.kind, FrameErrorKind::TooLong { skipped: true, .. })
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FrameErrorKind::BadLength { length } => {
                write!(f, "message {:?} has the invalid length {length}: expected at least 4", self.code)
            }
            FrameErrorKind::TooLong { length, limit, .. } => {
                write!(f, "message {:?} of {length} bytes is over the limit of {limit} bytes", self.code)
            }
        }
    }
}

impl core::error::Error for FrameError {}
