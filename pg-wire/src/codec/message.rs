//! What every message can do.

use crate::basic::code::MessageCode;
use crate::basic::error::DecodeError;
use crate::codec::put::Put;
use crate::codec::reader::Reader;

/// A message, or a packet of the time before there are messages, that can be put on the wire.
///
/// The wire has `Byte1 code` (but for the packets before the session), `Int32 length` (of itself and the body), body.
pub trait Message {
    /// Whether the length is to be had without a call for each value, so that it pays to ask for it before writing.
    #[doc(hidden)]
    const MEASURED: bool = true;

    /// The code in front; `None` for the packets before the session, which have none.
    fn code(&self) -> Option<MessageCode>;

    /// The name in the manual.
    fn name(&self) -> &'static str;

    /// Hands the fields of the body to `out`, in wire order.
    fn write<P: Put + ?Sized>(&self, out: &mut P);

    /// As one line of text, as libpq's `PQtrace` prints it.
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

/// Who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    Frontend,
    /// The server.
    Backend,
}

/// A message as one line, made by [`Message::trace`]; without a newline at its end.
///
/// `F` or `B`, tab, the length field, tab, the name; then, if there are fields, a tab and a space before each: numbers in
/// decimal, strings in double quotes, bytes in single quotes with what is not printable as `\xNN`. This is what libpq 18
/// prints with `PQTRACE_SUPPRESS_TIMESTAMPS`, but for
///
/// - secrets, which appear as libpq's own regression mode masks them: `"SSSS"` and `'BBBB'`;
/// - AuthenticationOk, for which libpq has a name and prints nothing, and the salt of MD5, over which it prints a
///   complaint about itself;
/// - strings that are not UTF-8: a trace is text, and shows U+FFFD for what is not.
///
/// As in libpq, strings are printed as they are: a newline or a quote in a query is one in the trace.
///
/// [`PQtrace`](https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE)
#[derive(Debug)]
pub struct Trace<'m, M: ?Sized> {
    pub(crate) direction: Direction,
    pub(crate) message: &'m M,
}

/// A message that can be read from the body of its frame.
pub trait Decode<'a>: Message + Sized {
    /// The code of its frames; `None` for the packets before the session, which have none.
    const CODE: Option<MessageCode>;

    /// The name in the manual.
    const NAME: &'static str;

    /// Takes the fields from `body`, in wire order.
    ///
    /// # Errors
    /// When a field is malformed.
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Reads `body`, all of it: what comes after the length field.
    ///
    /// ```
    /// use pg_wire::{Decode, frontend::Query};
    ///
    /// assert_eq!(Query::decode(b"select 1\0")?.sql, "select 1");
    /// # Ok::<_, pg_wire::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// When a field is malformed or something is left over.
    #[inline]
    fn decode(body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = Reader::new(Self::NAME, body);
        let message = Self::read(&mut body)?;
        body.finish()?;
        Ok(message)
    }
}
