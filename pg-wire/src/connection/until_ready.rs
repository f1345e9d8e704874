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
    /// An ErrorResponse is not passed to `each`, but is returned as [`Error::Server`]. After an error of the server or of `each`, the
    /// remaining messages up to ReadyForQuery are received and dropped. Then the first error is returned, and the connection is ready for
    /// the next request.
    ///
    /// If the future is dropped, the next call continues with the next message. An error that the dropped future had received is lost.
    ///
    /// During a `COPY … FROM STDIN`, ReadyForQuery arrives only after the client has ended the COPY. So queue the data and
    /// [`copy_done`](crate::PgProtocol::copy_done) before this call; otherwise this call waits for ever. A
    /// [`TrackedConnection`](crate::TrackedConnection) returns an error instead of waiting.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, PgProtocol, TransactionStatus, backend::Backend, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::sends(b"D\0\0\0\x0b\0\x01\0\0\0\x017C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I");
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
    /// The first error of the server or of `each`. A message over the limit [`bulk`](crate::Limits::bulk) also counts as an error: the
    /// message is skipped, and the remaining messages are received. A fatal error of the connection ends the call at once. If the server or
    /// `each` had returned an error before, this earlier error is returned, because an error of the server usually explains why the
    /// connection ended.
    pub async fn until_ready<E: From<Error>>(
        &mut self,
        mut each: impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Result<TransactionStatus, E> {
        let mut outcome = Outcome::new();
        loop {
            if let Some(end) = outcome.take(self.recv().await, &mut each) {
                self.batch_ended();
                return end;
            }
        }
    }

    /// Waits until a whole message is buffered, and returns its code. The next call that receives returns the message.
    ///
    /// Use this method in a function that skips messages and then returns a borrowed message. If the loop of such a function called only
    /// `recv`, the borrow checker would reject the function.
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

/// Result of a batch so far. Stores the first error while the rest of the batch is received.
pub(super) struct Outcome<E> {
    failure: Option<E>,
}

impl<E: From<Error>> Outcome<E> {
    pub(super) fn new() -> Self {
        Self { failure: None }
    }

    /// Processes a message of the batch, or an error of the connection. After ReadyForQuery or a fatal error, returns the result of the
    /// batch. Otherwise returns `None`: more messages of the batch follow.
    // Always inlined: receiving a row of one column then takes 65 instructions, and 78 with `#[inline]`.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        received: Result<Frame<'_>, Error>,
        each: &mut impl FnMut(Frame<'_>) -> Result<(), E>,
    ) -> Option<Result<TransactionStatus, E>> {
        match received {
            Ok(frame)
                if !matches!(frame.code, MessageCode::READY_FOR_QUERY | MessageCode::ERROR_RESPONSE) =>
            {
                if self.failure.is_none()
                    && let Err(error) = each(frame)
                {
                    self.failure = Some(error);
                }
                None
            }
            received => self.end_or_error(received),
        }
    }

    #[cold]
    fn end_or_error(&mut self, received: Result<Frame<'_>, Error>) -> Option<Result<TransactionStatus, E>> {
        let outcome = match received {
            Ok(frame) if frame.code == MessageCode::READY_FOR_QUERY => {
                frame.decode::<ReadyForQuery>().map(|ready| ready.status).map_err(Error::from)
            }
            Ok(frame) => {
                let error = frame.decode::<ErrorResponse<'_>>();
                let error = error.map_or_else(Error::from, |error| Error::Server(error.to_owned()));
                self.failure.get_or_insert_with(|| error.into());
                return None;
            }
            // A message over the limit `bulk` is skipped, and the next message can be received.
            Err(error @ Error::Frame(_)) if !error.is_fatal() => {
                self.failure.get_or_insert_with(|| error.into());
                return None;
            }
            Err(error) => Err(error),
        };
        Some(match (self.failure.take(), outcome) {
            (Some(first), _) => Err(first),
            (None, outcome) => outcome.map_err(E::from),
        })
    }
}
