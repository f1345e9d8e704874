//! The trait of targets, to which messages can be appended.

use bytes::BufMut;

use crate::basic::error::EncodeError;
use crate::buffer::outbox::Outbox;
use crate::encode::messages::{self, Messages};

/// A target to which [`PgProtocol`](crate::PgProtocol) appends messages: any [`BufMut`], an [`Outbox`], a connection or its `WriteHalf`.
#[diagnostic::on_unimplemented(
    message = "messages cannot be appended to `{Self}`",
    note = "is `.finish(…)` missing at the end of a builder?"
)]
pub trait PutMessage {
    /// Type that each method of [`PgProtocol`](crate::PgProtocol) returns. For a buffer: a `Result` with the buffer. For a connection: the
    /// connection itself, which keeps the first error until the next flush. In both cases, the next call can be chained to the result.
    type Chained<'c>
    where
        Self: 'c;

    /// Appends a message, or a tuple of messages.
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> Self::Chained<'c>;
}

impl<B: BufMut> PutMessage for B {
    type Chained<'c>
        = Result<&'c mut B, EncodeError>
    where
        B: 'c;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> Self::Chained<'c> {
        messages::encode(message, self)?;
        Ok(self)
    }
}

impl PutMessage for Outbox {
    type Chained<'c> = &'c mut Self;

    #[inline(always)]
    fn put_message<'c, M: Messages + ?Sized>(&'c mut self, message: &M) -> &'c mut Self {
        Outbox::put(self, message);
        self
    }
}
