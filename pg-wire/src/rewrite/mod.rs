//! For proxies and poolers: replaces names or values in a frame, and forwards all other bytes of the frame unchanged.
//!
//! [`Rewrite`] finds the names and values of a frame, and writes the frame with other names or values. All other bytes are copied, even
//! bytes that this crate could not decode. Nothing is allocated.
//!
//! | Message | Names, in wire order | Values |
//! | --- | --- | --- |
//! | [`Parse`](crate::frontend::Parse) | statement | |
//! | [`Bind`](crate::frontend::Bind) | portal, statement | parameters |
//! | [`Describe`](crate::frontend::Describe), [`Close`](crate::frontend::Close) | statement or portal, by the target | |
//! | [`Execute`](crate::frontend::Execute) | portal | |
//! | [`FunctionCall`](crate::frontend::FunctionCall) | | arguments |
//! | [`DataRow`](crate::backend::DataRow) | | columns |
//!
//! Replies contain no names, but a request and its replies have the same number. For a request,
//! [`SessionState::sent`](crate::session::SessionState::sent) returns the number. For a reply,
//! [`SessionState::received`](crate::session::SessionState::received) returns the number.
//!
//! `Rewrite` does not find names inside SQL text, such as `EXECUTE s` or `FETCH FROM p`, or names inside the texts of errors.
//!
//! ```
//! use pg_wire::{Frame, MessageCode, Outbox, rewrite::Rewrite};
//!
//! let mut outbox = Outbox::new(1024);
//! // Sent to the server: the statement `s` of this client has the name `c7_s` on the server.
//! let describe = Rewrite::frontend(Frame { code: MessageCode::DESCRIBE, body: b"Ss\0" })?;
//! assert_eq!(describe.statement(), Some("s".into()));
//! outbox.put(&describe.with_statement("c7_s".into()));
//! // Sent to the client: a row with NULL instead of the value of its second column.
//! let row = Rewrite::backend(Frame { code: MessageCode::DATA_ROW, body: b"\0\x02\0\0\0\x01a\0\0\0\x01b" });
//! outbox.put(&row.with_values(&[(1, None)])?);
//! outbox.commit()?;
//! assert_eq!(outbox.pending(), b"D\0\0\0\x0aSc7_s\0D\0\0\0\x0f\0\x02\0\0\0\x01a\xff\xff\xff\xff");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::enums::Target;
use crate::basic::error::DecodeError;
use crate::basic::text::Text;
use crate::codec::frame::Frame;
use crate::codec::message::Message;
use crate::codec::reader::Reader;
use crate::codec::values::Values;
use crate::codec::writer::Writer;

/// A frame whose names and values can be replaced. A `Rewrite` is itself a [`Message`]: add the `Rewrite` to an [`Outbox`](crate::Outbox),
/// or [encode](crate::Encode::encode) the `Rewrite`.
///
/// If no name or value is replaced, the frame is written unchanged.
#[derive(Clone, Copy)]
pub struct Rewrite<'a> {
    frame: Frame<'a>,
    kind: Kind,
    /// Target of a Describe or Close: a statement or a portal.
    target: Option<Target>,
    portal: Option<Text<'a>>,
    statement: Option<Text<'a>>,
    /// Part of the body after the names.
    rest: &'a [u8],
    replaced: Option<Replaced<'a>>,
}

/// Kind of a message, by the names and values that it contains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parse,
    Bind,
    Describe,
    Close,
    Execute,
    FunctionCall,
    DataRow,
    Other,
}

/// The new values for a frame, and the three parts into which [`Rewrite::rest`] is split.
#[derive(Clone, Copy)]
struct Replaced<'a> {
    parts: Parts<'a>,
    /// New values, in ascending order of their indexes.
    values: &'a [(usize, Option<&'a [u8]>)],
}

/// The part of a body after the names, split into three: before, in and after the list of values.
#[derive(Clone, Copy)]
struct Parts<'a> {
    before: &'a [u8],
    /// The list of values, beginning with the number of values.
    values: &'a [u8],
    after: &'a [u8],
}

impl<'a> Rewrite<'a> {
    /// Finds the names in a frame that a client has sent.
    ///
    /// Only the names are checked. The other bytes of the body are forwarded unchanged and without a check.
    ///
    /// # Errors
    /// When a name is malformed.
    #[inline]
    pub fn frontend(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let kind = match frame.code {
            MessageCode::PARSE => Kind::Parse,
            MessageCode::BIND => Kind::Bind,
            MessageCode::DESCRIBE => Kind::Describe,
            MessageCode::CLOSE => Kind::Close,
            MessageCode::EXECUTE => Kind::Execute,
            MessageCode::FUNCTION_CALL => Kind::FunctionCall,
            _ => Kind::Other,
        };
        let mut rewrite = Self::unchanged(frame, kind);
        let mut body = Reader::new(kind.name(), frame.body);
        match kind {
            Kind::Parse => rewrite.statement = Some(body.text()?),
            Kind::Execute => rewrite.portal = Some(body.text()?),
            Kind::Bind => {
                rewrite.portal = Some(body.text()?);
                rewrite.statement = Some(body.text()?);
            }
            Kind::Describe | Kind::Close => {
                let target = Target::from(body.u8()?);
                rewrite.target = Some(target);
                match target {
                    Target::Statement => rewrite.statement = Some(body.text()?),
                    Target::Portal => rewrite.portal = Some(body.text()?),
                    Target::Other(_) => {}
                }
            }
            Kind::FunctionCall | Kind::DataRow | Kind::Other => {}
        }
        rewrite.rest = body.rest();
        Ok(rewrite)
    }

    /// Creates a `Rewrite` for a frame that a server has sent. Only a DataRow has values to replace, and no message of a server has names.
    #[inline]
    pub fn backend(frame: Frame<'a>) -> Self {
        let kind = if frame.code == MessageCode::DATA_ROW { Kind::DataRow } else { Kind::Other };
        Self::unchanged(frame, kind)
    }

    fn unchanged(frame: Frame<'a>, kind: Kind) -> Self {
        Self { frame, kind, target: None, portal: None, statement: None, rest: frame.body, replaced: None }
    }

    /// Returns the name of the statement in the message; empty for the unnamed statement. Returns `None` if the message names no statement.
    #[inline]
    pub fn statement(&self) -> Option<Text<'a>> {
        self.statement
    }

    /// Returns the name of the portal in the message; empty for the unnamed portal. Returns `None` if the message names no portal.
    #[inline]
    pub fn portal(&self) -> Option<Text<'a>> {
        self.portal
    }

    /// Returns the values of the frame: the columns of a DataRow, the parameters of a Bind or the arguments of a FunctionCall. Returns
    /// `None` if the message has no values. After [`with_values`](Self::with_values), still returns the original values.
    ///
    /// # Errors
    /// When a value of a Bind or FunctionCall is malformed. The values of a DataRow are checked one by one as they are read.
    pub fn values(&self) -> Result<Option<Values<'a>>, DecodeError> {
        self.parts()?.map(|parts| Values::read_last(&mut Reader::new(self.name(), parts.values))).transpose()
    }

    /// Replaces the name of the statement. Has no effect if the message names no statement.
    #[inline]
    #[must_use]
    pub fn with_statement(self, name: Text<'a>) -> Self {
        Self { statement: self.statement.map(|_| name), ..self }
    }

    /// Replaces the name of the portal. Has no effect if the message names no portal.
    #[inline]
    #[must_use]
    pub fn with_portal(self, name: Text<'a>) -> Self {
        Self { portal: self.portal.map(|_| name), ..self }
    }

    /// Replaces values. Each new value has an index, counted from 0; the indexes must be in ascending order. `None` is NULL. The format
    /// codes of the message are not changed, so a new value must have the same format as the value that it replaces. A second call discards
    /// the new values of the first call.
    ///
    /// # Errors
    /// When the values of the frame are malformed, when the frame has no value for one of the indexes, or when the indexes are not
    /// ascending. After an error, a proxy that hides a value must not forward the frame, because the frame still contains the value.
    pub fn with_values(self, values: &'a [(usize, Option<&'a [u8]>)]) -> Result<Self, RewriteError> {
        let mut count = 0;
        let mut parts = Parts { before: self.rest, values: &[], after: &[] };
        if let Some(found) = self.parts()? {
            let list = Values::read_last(&mut Reader::new(self.name(), found.values))?;
            list.validate()?;
            count = list.len();
            parts = found;
        }
        let mut next = 0;
        for &(index, _) in values {
            if index >= count {
                return Err(RewriteError::NoSuchValue { index, count });
            }
            if index < next {
                return Err(RewriteError::NotAscending { index });
            }
            next = index + 1;
        }
        let replaced = (!values.is_empty()).then_some(Replaced { parts, values });
        Ok(Self { replaced, ..self })
    }

    /// Splits the part of the body after the names. Returns `None` if the message has no values.
    fn parts(&self) -> Result<Option<Parts<'a>>, DecodeError> {
        let mut body = Reader::new(self.name(), self.frame.body);
        // The reader begins at the whole body and skips the names, so that the offset in an error counts from the beginning of the body.
        body.bytes(self.frame.body.len() - self.rest.len())?;
        let start = body;
        match self.kind {
            Kind::DataRow => return Ok(Some(Parts { before: &[], values: self.rest, after: &[] })),
            Kind::Bind => {}
            Kind::FunctionCall => {
                body.u32()?;
            }
            _ => return Ok(None),
        }
        let formats = body.u16()?;
        body.bytes(2 * usize::from(formats))?;
        let list = body;
        for _ in 0..body.u16()? {
            body.value()?;
        }
        Ok(Some(Parts { before: start.until(&list), values: list.until(&body), after: body.rest() }))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Parse => "Parse",
            Self::Bind => "Bind",
            Self::Describe => "Describe",
            Self::Close => "Close",
            Self::Execute => "Execute",
            Self::FunctionCall => "FunctionCall",
            Self::DataRow => "DataRow",
            Self::Other => "Unknown message",
        }
    }
}

impl Replaced<'_> {
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        let Self { parts, values } = *self;
        out.unprinted(parts.before);
        // No read below fails, because `with_values` has checked the list. So the results are ignored.
        let mut list = Reader::new("", parts.values);
        let mut unchanged = list;
        let _ = list.u16();
        let mut next = 0;
        for &(index, value) in values {
            for _ in next..index {
                let _ = list.value();
            }
            out.unprinted(unchanged.until(&list));
            out.value(value);
            let _ = list.value();
            unchanged = list;
            next = index + 1;
        }
        out.unprinted(unchanged.rest());
        out.unprinted(parts.after);
    }
}

impl Message for Rewrite<'_> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Some(self.frame.code)
    }

    #[inline]
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// A trace of a `Rewrite` shows the names, and the values that were passed to [`with_values`](Rewrite::with_values). The trace does not
    /// show the copied bytes.
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        if self.kind == Kind::Other {
            return self.frame.write(out);
        }
        if let Some(target) = self.target {
            out.byte1(target.byte());
        }
        if let Some(portal) = self.portal {
            out.text(portal);
        }
        if let Some(statement) = self.statement {
            out.text(statement);
        }
        match &self.replaced {
            None => out.unprinted(self.rest),
            Some(replaced) => replaced.write(out),
        }
    }
}

impl fmt::Debug for Rewrite<'_> {
    /// Prints the names, but no values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite")
            .field("frame", &self.frame)
            .field("portal", &self.portal)
            .field("statement", &self.statement)
            .field("replaced_values", &self.replaced.map_or(0, |replaced| replaced.values.len()))
            .finish()
    }
}

/// Error of [`Rewrite::with_values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewriteError {
    /// The values of the frame are malformed.
    Malformed(DecodeError),
    /// The frame has no value with this index.
    NoSuchValue {
        /// Index of the new value.
        index: usize,
        /// Number of values in the frame.
        count: usize,
    },
    /// The index of a new value is not higher than the index of the previous new value.
    NotAscending {
        /// Index of the new value, which is not higher than the previous index.
        index: usize,
    },
}

impl fmt::Display for RewriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::NoSuchValue { index, count } => {
                write!(f, "cannot replace the value with index {index}: the message has {count} values")
            }
            Self::NotAscending { index } => {
                write!(
                    f,
                    "cannot replace the value with index {index} after a value with the same or a higher index"
                )
            }
        }
    }
}

impl core::error::Error for RewriteError {}

impl From<DecodeError> for RewriteError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}
