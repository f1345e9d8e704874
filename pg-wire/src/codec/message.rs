//! The traits of messages.

use crate::basic::code::MessageCode;
use crate::basic::error::DecodeError;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// A message that can be sent, or a packet: a message that a client sends before the session begins, such as StartupMessage.
///
/// The layout is `Byte1 code` (only in a message, not in a packet), `Int32 length` (of the length field and the body), body.
pub trait Message {
    /// Whether the compiler can inline the computation of the whole length. If `true`, the writer computes the length before it writes.
    /// If `false`, the writer checks for each parameter whether the buffer has room. For example, a Bind with a slice of parameters has
    /// `false`, because the length of each parameter is known only after a call of `Bindable::bound`.
    #[doc(hidden)]
    const MEASURED: bool = true;

    /// Returns the code; `None` for a packet that is sent before the session, because such a packet has no code.
    fn code(&self) -> Option<MessageCode>;

    /// Returns the name of the message in the PostgreSQL manual.
    fn name(&self) -> &'static str;

    /// Passes the fields of the body to `out`, in wire order.
    fn write<P: Writer + ?Sized>(&self, out: &mut P);

    /// Returns the message as one line of text, in the format of libpq's `PQtrace`.
    ///
    /// ```
    /// use pg_wire::{Direction, Message, frontend::Execute};
    ///
    /// let execute = Execute { portal: "".into(), max_rows: 0 };
    /// assert_eq!(execute.trace(Direction::Frontend).to_string(), "F\t9\tExecute\t \"\" 0");
    /// ```
    fn trace(&self, direction: Direction) -> Trace<'_, Self> {
        Trace { direction, message: self }
    }
}

/// The sender of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client is the sender.
    Frontend,
    /// The server is the sender.
    Backend,
}

/// A message as one line of text, without a newline at the end. [`Message::trace`] returns this type.
///
/// The line consists of `F` or `B`, a tab, the length field, a tab, and the name of the message. If the message has fields, a tab follows,
/// and then each field after a space. Numbers are decimal, strings are in double quotes, and bytes are in single quotes, with `\xNN` for
/// bytes that are not printable. libpq 18 prints the same line if `PQTRACE_SUPPRESS_TIMESTAMPS` is set, with these exceptions:
///
/// - secrets: this trace prints a mask instead, `"SSSS"` or `'BBBB'`, as libpq does in its regression mode;
/// - AuthenticationOk: libpq does not print the name of this message;
/// - AuthenticationMD5Password: libpq does not read the salt, and prints an error about the length of the message; this trace prints no
///   error;
/// - strings that are not UTF-8: the trace has U+FFFD for invalid bytes.
///
/// As in libpq, strings are not escaped: a newline or a quote in a query appears unchanged in the trace.
///
/// [`PQtrace`](https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE)
#[derive(Debug)]
pub struct Trace<'m, M: ?Sized> {
    pub(crate) direction: Direction,
    pub(crate) message: &'m M,
}

/// A message that can be decoded from the body of its frame.
pub trait Decode<'a>: Message + Sized {
    /// Code of the message; `None` for a packet that is sent before the session, because such a packet has no code.
    const CODE: Option<MessageCode>;

    /// Name of the message in the PostgreSQL manual.
    const NAME: &'static str;

    /// Reads the fields from `body`, in wire order.
    ///
    /// # Errors
    /// When a field is malformed.
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Decodes a whole body: the bytes after the length field.
    ///
    /// ```
    /// use pg_wire::{Decode, frontend::Query};
    ///
    /// assert_eq!(Query::decode(b"select 1\0")?.sql, "select 1");
    /// # Ok::<_, pg_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// When a field is malformed, or bytes are left over after the last field.
    #[inline]
    fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::NAME, body);
        let message = Self::read(&mut body)?;
        body.finish()?;
        Ok(message)
    }
}
