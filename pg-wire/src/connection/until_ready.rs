//! Receiving all replies up to ReadyForQuery.

use crate::basic::code::MessageCode;
use crate::basic::enums::TransactionStatus;
use crate::codec::frame::Frame;
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::whole::Connection;
use crate::message::backend::{ErrorResponse, ReadyForQuery};

impl<T: Transport> Connection<T> {
    /// Receives messages up to the next ReadyForQuery. Passes each message before ReadyForQuery to `each`, and returns the
    /// transaction status.
    ///
    /// An ErrorResponse is not passed to `each`. Instead, it is returned as [`Error::Server`] after ReadyForQuery has arrived. After an
    /// error of the server or of `each`, the remaining messages up to ReadyForQuery are received and dropped. Then the first error is
    /// returned, and the connection is ready for the next request.
    ///
    /// If the future is dropped, the next call continues with the next message. An error that the dropped future has already
    /// received is not returned again.
    ///
    /// During a `COPY … FROM STDIN`, ReadyForQuery arrives only after the client has ended the COPY. So queue the data and
    /// [`copy_done`](crate::PgProtocol::copy_done) before this call; otherwise this call waits for ever. A
    /// [`TrackedConnection`](crate::TrackedConnection) returns an error instead of waiting.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, PgProtocol, TransactionStatus, backend::Backend, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::says(b"D\0\0\0\x0b\0\x01\0\0\0\x017C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// conn.query("select 7").flush().await?;
    ///
    /// let mut rows = 0;
    /// let status = conn
    ///     .until_ready(|frame| {
    ///         if let Backend::DataRow(_) = frame.backend()? {
    ///             rows += 1;
    ///         }
    ///         Ok::<_, Error>(())
    ///     })
    ///     .await?;
    /// assert_eq!((rows, status), (1, TransactionStatus::Idle));
    /// # Ok::<_, Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The first error of the server or of `each`. An error of the connection ends the call at once. If an error of the server or
    /// of `each` came before the error of the connection, the earlier error is returned: a server's last error explains why the connection
    /// ended.
    pub async fn until_ready<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<TransactionStatus, E> {
        let mut outcome = Outcome::new();
        loop {
            match self.recv().await {
                Ok(frame) => {
                    if let Some(status) = outcome.take(frame, &mut each)? {
                        return outcome.end(status);
                    }
                }
                Err(error) => return Err(outcome.fail(error)),
            }
        }
    }

    /// Waits until a whole message is buffered, and returns its code. The next call that receives returns the message.
    ///
    /// Use this method in a function that skips messages and then returns a borrowed message. The borrow checker rejects such a
    /// loop around `recv`.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Frame, MessageCode, Transport};
    ///
    /// async fn recv_without_notices<T: Transport>(conn: &mut Connection<T>) -> Result<Frame<'_>, Error> {
    ///     while conn.next_code().await? == MessageCode::NOTICE_RESPONSE {
    ///         conn.recv().await?;
    ///     }
    ///     conn.recv().await
    /// }
    /// ```
    ///
    /// # Errors
    /// The errors of [`recv`](Self::recv).
    pub async fn next_code(&mut self) -> Result<MessageCode, Error> {
        core::future::poll_fn(|cx| self.poll_head(cx)).await.map(|head| head.code())
    }
}

/// Result of a batch so far: the first error is kept while the rest of the batch is received.
pub(super) struct Outcome<E> {
    failure: Option<E>,
}

impl<E: From<Error>> Outcome<E> {
    pub(super) fn new() -> Self {
        Self { failure: None }
    }

    /// Processes a message of the batch. Returns the transaction status if the message is ReadyForQuery, and `None` for any other message.
    #[inline]
    pub(super) fn take(
        &mut self,
        frame: Frame<'_>,
        each: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<Option<TransactionStatus>, E> {
        if matches!(frame.code, MessageCode::READY_FOR_QUERY | MessageCode::ERROR_RESPONSE) {
            return self.end_or_error(frame);
        }
        if self.failure.is_none()
            && let Err(error) = each(frame)
        {
            self.failure = Some(error);
        }
        Ok(None)
    }

    #[cold]
    fn end_or_error(&mut self, frame: Frame<'_>) -> Result<Option<TransactionStatus>, E> {
        if frame.code == MessageCode::READY_FOR_QUERY {
            let ready = frame.decode::<ReadyForQuery>().map_err(|error| self.fail(error.into()))?;
            return Ok(Some(ready.status));
        }
        let error = match frame.decode::<ErrorResponse<'_>>() {
            Ok(error) => Error::Server(error.to_owned()),
            Err(error) => error.into(),
        };
        if self.failure.is_none() {
            self.failure = Some(error.into());
        }
        Ok(None)
    }

    pub(super) fn fail(&mut self, error: Error) -> E {
        self.failure.take().unwrap_or_else(|| error.into())
    }

    pub(super) fn end(self, status: TransactionStatus) -> Result<TransactionStatus, E> {
        self.failure.map_or(Ok(status), Err)
    }
}
