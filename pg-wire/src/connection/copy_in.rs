//! Sends rows with `COPY … FROM STDIN`.

use alloc::boxed::Box;
use alloc::string::String;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::basic::code::MessageCode;
use crate::basic::sqlstate::SqlState;
use crate::client::protocol::PgProtocol;
use crate::connection::channel::Channel;
use crate::connection::copy_end::{CopyComplete, End};
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::tracked::TrackedConnection;
use crate::connection::whole::Connection;
use crate::copy::{CopyError, CopyErrorKind, CopyValues, CopyWriter};
use crate::session::Observer;

/// Size in bytes at which the buffer with the written rows is sent. Larger messages do not make the COPY faster.
const BLOCK: usize = 64 * 1024;

/// Largest number of bytes of data in one message. A longer buffer is sent in several messages. 1 MiB is far below the limit of the server,
/// which rejects a message of more than about 1 GiB.
const LARGEST: usize = 1024 * 1024;

/// Largest number of bytes of the reason in a CopyFail. The server accepts at most 10,000 bytes, including the Int32 length and the NUL.
const LONGEST_REASON: usize = 10_000 - 4 - 1;

/// A running `COPY … FROM STDIN`. [`Connection::copy_in`] and [`TrackedConnection::copy_in`] return this type.
///
/// If this value is dropped before [`finish`](Self::finish) or [`fail`](Self::fail), a CopyFail is queued. To use the connection again,
/// call [`flush`](Connection::flush), and then [`until_ready`](Connection::until_ready), which returns the server's error 57014. On a
/// `TrackedConnection`, [`recover`](TrackedConnection::recover) also makes the connection ready.
#[derive(Debug)]
pub struct CopyIn<'c, T: Transport, O: Observer = ()> {
    channel: Channel<'c, T, O>,
    writer: CopyWriter,
    /// Number of bytes at the beginning of the buffer of `writer` that have been passed to [`Connection::send_copy_data`].
    queued: usize,
    phase: Phase,
    /// Progress of receiving the end of the COPY.
    end: End<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// The server has sent an error, or the end of the data is queued. ReadyForQuery has not been received.
    Ending,
    /// ReadyForQuery has been received.
    Ended,
}

impl<T: Transport> Connection<T> {
    /// Sends a `COPY … FROM STDIN` statement, and waits until the server is ready for the rows. Precondition: no reply to an earlier
    /// request is outstanding.
    ///
    /// The options of `writer` must be equal to the options of the statement. The method
    /// [`CopyOptions::copy_from`](crate::copy::CopyOptions::copy_from) prints these options. During the COPY, notices and notifications are
    /// received and dropped.
    ///
    /// If the future is dropped after it was polled, the statement is sent and its replies are outstanding. In this case, queue
    /// [`copy_fail`](crate::PgProtocol::copy_fail), call [`flush`](Self::flush), and receive the replies with
    /// [`until_ready`](Self::until_ready). If the COPY had begun, the result is the error 57014; otherwise the server ignores the CopyFail.
    /// If the future was never polled, nothing is sent.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, copy::{CopyOptions, CopyWriter}, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::sends(b"G\0\0\0\x0b\0\0\x02\0\0\0\0C\0\0\0\x0bCOPY 2\0Z\0\0\0\x05I");
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// let options = CopyOptions::text();
    /// let sql = format!("COPY planets FROM STDIN ({})", options.copy_from());
    /// let mut copy = conn.copy_in(&sql, CopyWriter::new(&options)?).await?;
    /// for (name, moons) in [("Earth", 1i32), ("Mars", 2)] {
    ///     copy.row(&(name, moons)).await?;
    /// }
    /// assert_eq!(copy.finish().await?.rows, 2);
    /// # Ok::<_, Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// - [`Server`](Error::Server) when the server rejects the statement.
    /// - [`Copy`](Error::Copy) when the statement is no `COPY … FROM STDIN`, or when the format or the number of columns of the COPY
    ///   differs from the format or the number of columns of `writer`.
    /// - The errors of [`recv`](Self::recv) and [`flush`](Self::flush).
    ///
    /// After an error that is not fatal, the connection is ready for the next request.
    pub async fn copy_in(&mut self, sql: &str, writer: CopyWriter) -> Result<CopyIn<'_, T>, Error> {
        CopyIn::begin(Channel::plain(self), sql, writer).await
    }
}

impl<T: Transport, O: Observer> TrackedConnection<T, O> {
    /// Sends a `COPY … FROM STDIN` statement, and waits until the server is ready for the rows. See [`Connection::copy_in`].
    ///
    /// Every message of the COPY is passed to the state of the session and to the observer. So [`check_idle`](Self::check_idle) and
    /// [`recover`](Self::recover) can be called after every error and after every dropped future.
    ///
    /// # Errors
    /// - The errors of `Connection::copy_in`.
    /// - [`QueueFull`](Error::QueueFull) as in [`flush`](Self::flush). The statement is dropped; messages that were queued before this call
    ///   stay queued.
    /// - [`Unexpected`](Error::Unexpected) when a message is not a reply to a sent request.
    pub async fn copy_in(&mut self, sql: &str, writer: CopyWriter) -> Result<CopyIn<'_, T, O>, Error> {
        CopyIn::begin(self.channel(), sql, writer).await
    }
}

impl<'c, T: Transport, O: Observer> CopyIn<'c, T, O> {
    async fn begin(mut channel: Channel<'c, T, O>, sql: &str, writer: CopyWriter) -> Result<Self, Error> {
        let announced = channel.begin_copy(sql, MessageCode::COPY_IN_RESPONSE).await?;
        let mut copy = Self { channel, writer, queued: 0, phase: Phase::Copying, end: End::new() };
        match copy.writer.expect(announced.columns, announced.is_binary) {
            Ok(()) => Ok(copy),
            Err(kind) => {
                copy.fail("the client expects other rows").await?;
                Err(CopyError::new(kind).into())
            }
        }
    }

    /// Writes a row into a buffer. When the buffer has 64 KiB, sends the buffer, waits until the stream has accepted the bytes, and checks
    /// whether the server has sent an error. A buffer of more than 1 MiB is sent in messages of 1 MiB.
    ///
    /// If the future is dropped after its first poll, the row stays in the buffer and is sent later.
    ///
    /// # Errors
    /// - [`Copy`](Error::Copy) when the row cannot be written. The row is not sent, and further rows can be written.
    /// - [`Server`](Error::Server) when the server has sent an error, for example because of an earlier row. The COPY has ended, all rows
    ///   are dropped, and the connection is ready for the next request.
    /// - [`Frame`](Error::Frame) when the server has sent a message over the limit [`bulk`](crate::Limits::bulk). The message is skipped,
    ///   and no row is lost. Further rows can be written, unless the message was an error of the server.
    /// - The errors of [`recv`](Connection::recv) and [`flush`](Connection::flush).
    #[inline]
    pub async fn row<R: CopyValues + ?Sized>(&mut self, row: &R) -> Result<(), Error> {
        if self.phase == Phase::Copying {
            self.writer.row(row)?;
            if self.writer.data().len() < BLOCK {
                return Ok(());
            }
        }
        // The future of `flush` is in a box, and a function that is not inlined polls it. Otherwise the state of `flush` would be a part of
        // this future. The compiler would then not inline this future into the caller's loop, and a row would take 1.8 times as long. One
        // box for each block of 64 KiB takes no measurable time.
        let mut sending = Box::pin(self.flush());
        poll_fn(|cx| poll_out_of_line(sending.as_mut(), cx)).await
    }

    /// Writes rows, and sends the buffer as [`row`](Self::row) does. For a row of three columns, this method takes about two thirds of
    /// the time of `row`, because a future is polled only for each full buffer.
    ///
    /// If the future is dropped, the rows that were taken from the iterator stay in the buffer and are sent later.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, copy::{CopyOptions, CopyWriter}, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::sends(b"G\0\0\0\x0b\0\0\x02\0\0\0\0C\0\0\0\x0bCOPY 2\0Z\0\0\0\x05I");
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// let writer = CopyWriter::new(&CopyOptions::text())?;
    /// let planets = [("Earth", 1i32), ("Mars", 2)];
    /// let mut copy = conn.copy_in("COPY planets FROM STDIN", writer).await?;
    /// copy.extend(&planets).await?;
    /// assert_eq!(copy.finish().await?.rows, 2);
    /// # Ok::<_, Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The errors of `row`. The rows before the error are written, and no further row is taken from the iterator.
    pub async fn extend<I: IntoIterator<Item: CopyValues>>(&mut self, rows: I) -> Result<(), Error> {
        let mut rows = rows.into_iter();
        while self.fill(&mut rows)? {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes rows until the buffer has 64 KiB or the iterator has ended. Returns whether the caller must flush, and then call this method
    /// again.
    #[inline(always)]
    fn fill(&mut self, rows: &mut impl Iterator<Item: CopyValues>) -> Result<bool, Error> {
        if self.phase != Phase::Copying {
            return Ok(true);
        }
        for row in rows {
            self.writer.row(&row)?;
            if self.writer.data().len() >= BLOCK {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the number of rows that have been written.
    pub fn rows(&self) -> u64 {
        self.writer.rows()
    }

    /// Sends all written rows, and checks whether the server has sent an error. Use this method when a long time may pass before the next
    /// row.
    ///
    /// # Errors
    /// The errors of [`row`](Self::row).
    pub async fn flush(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Copying {
            return self.ended().await;
        }
        self.send().await
    }

    /// Sends the remaining rows and the end of the data, and waits until the server has finished the COPY.
    ///
    /// After an error that is not fatal, the connection is ready for the next request.
    ///
    /// If the future is dropped, the end of the COPY is queued: CopyDone if all rows had been sent, otherwise CopyFail. Call
    /// [`flush`](Connection::flush) and [`until_ready`](Connection::until_ready), which returns whether the COPY has succeeded.
    ///
    /// # Errors
    /// The errors of [`row`](Self::row).
    pub async fn finish(mut self) -> Result<CopyComplete, Error> {
        if self.phase != Phase::Copying {
            self.ended().await?;
        }
        if let Err(error) = self.writer.finish() {
            self.fail("the client cannot write the data").await?;
            return Err(error.into());
        }
        if let Err(error) = self.send_data().await {
            return Err(self.abandon(error).await);
        }
        self.channel.copy_done();
        self.end().await
    }

    /// Ends the COPY with an error: the server drops all rows of the COPY. The server's error contains the first 9,995 bytes of `reason`,
    /// with a space in place of each NUL character.
    ///
    /// If the future is dropped, a CopyFail is queued: call [`flush`](Connection::flush) and [`until_ready`](Connection::until_ready), as
    /// after dropping a `CopyIn`.
    ///
    /// # Errors
    /// [`Server`](Error::Server) when the COPY had already failed on the server, and the errors of [`recv`](Connection::recv) and
    /// [`flush`](Connection::flush).
    pub async fn fail(mut self, reason: &str) -> Result<(), Error> {
        match self.phase {
            Phase::Copying => {
                self.channel.copy_fail(&valid_reason(reason));
            }
            Phase::Ending => {}
            Phase::Ended => return Err(CopyError::new(CopyErrorKind::Ended).into()),
        }
        match self.end().await {
            Err(Error::Server(error)) if error.sqlstate() == Some(SqlState::QUERY_CANCELED) => Ok(()),
            ended => ended.map(drop),
        }
    }

    /// Ends the COPY after an error, and returns the error. If the connection fails meanwhile, returns the fatal error of the connection
    /// instead.
    async fn abandon(&mut self, error: Error) -> Error {
        if error.is_fatal() || self.phase != Phase::Copying {
            return error;
        }
        self.channel.copy_fail("the client cannot receive a message");
        match self.end().await {
            Err(fatal) if fatal.is_fatal() => fatal,
            _ => error,
        }
    }

    /// Sends the buffer, then checks whether the server has sent an error.
    #[inline(never)]
    async fn send(&mut self) -> Result<(), Error> {
        self.send_data().await?;
        self.check().await
    }

    /// Sends the buffer and all queued messages.
    async fn send_data(&mut self) -> Result<(), Error> {
        while let Some(data) = self.writer.data().get(self.queued..)
            && !data.is_empty()
        {
            let data = data.get(..LARGEST).unwrap_or(data);
            // Adds the length before the `await`, because `send_copy_data` sends the whole data even if this future is dropped.
            self.queued += data.len();
            match self.channel.by_ref().send_copy_data(data).await {
                Ok(()) => {}
                Err(Error::InboxFull) => self.flush_queued().await?,
                Err(error) => return Err(error),
            }
        }
        self.writer.clear();
        self.queued = 0;
        // If an earlier future was dropped before all queued bytes were sent, this call sends the remaining bytes.
        if self.channel.conn.is_sending() { self.flush_queued().await } else { Ok(()) }
    }

    /// Sends all queued messages. If messages of the server fill the inbox meanwhile, receives these messages.
    async fn flush_queued(&mut self) -> Result<(), Error> {
        loop {
            match self.channel.flush().await {
                Err(Error::InboxFull) => {}
                flushed => return flushed,
            }
            // Waits until a whole message is buffered or all bytes are sent.
            let arrived = poll_fn(|cx| match self.channel.poll_head(cx) {
                Poll::Pending if !self.channel.conn.is_sending() => Poll::Ready(None),
                head => head.map(|head| Some(head.map(|head| head.code()))),
            });
            if let Some(code) = arrived.await.transpose()? {
                self.take(code).await?;
            }
        }
    }

    /// Receives the messages that have arrived, without waiting. If one of the messages is an ErrorResponse, ends the COPY and returns the
    /// error.
    async fn check(&mut self) -> Result<(), Error> {
        loop {
            let arrived = poll_fn(|cx| {
                Poll::Ready(match self.channel.poll_head(cx) {
                    Poll::Ready(head) => Some(head.map(|head| head.code())),
                    Poll::Pending => None,
                })
            });
            match arrived.await.transpose()? {
                None => return Ok(()),
                Some(code) => self.take(code).await?,
            }
        }
    }

    /// Receives a buffered message. If this message ends the COPY, calls [`ended`](Self::ended), which receives the messages up to
    /// ReadyForQuery and returns an error.
    async fn take(&mut self, code: MessageCode) -> Result<(), Error> {
        if matches!(code, MessageCode::ERROR_RESPONSE | MessageCode::READY_FOR_QUERY) {
            self.phase = Phase::Ending;
            return self.ended().await;
        }
        self.channel.recv().await.map(drop)
    }

    /// Sends the queued CopyDone or CopyFail, and receives messages up to ReadyForQuery.
    async fn end(&mut self) -> Result<CopyComplete, Error> {
        self.phase = Phase::Ending;
        self.writer.clear();
        match self.channel.flush().await {
            // After `InboxFull`, `end_copy` receives messages and continues to send.
            Ok(()) | Err(Error::InboxFull) => {}
            Err(error) => return Err(error),
        }
        let ended = self.channel.end_copy(&mut self.end, |_| Ok(())).await;
        self.phase = Phase::Ended;
        ended
    }

    /// Receives messages up to ReadyForQuery, if ReadyForQuery has not been received. Always returns an error: the error of the server, or
    /// [`CopyErrorKind::Ended`] if the server has sent no error.
    #[cold]
    #[inline(never)]
    async fn ended(&mut self) -> Result<(), Error> {
        if self.phase == Phase::Ending {
            self.writer.clear();
            let ended = self.channel.end_copy(&mut self.end, |_| Ok(())).await;
            self.phase = Phase::Ended;
            ended?;
        }
        Err(CopyError::new(CopyErrorKind::Ended).into())
    }
}

#[inline(never)]
fn poll_out_of_line<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(cx)
}

/// Cuts the reason for a CopyFail to the length that the server accepts, and replaces each NUL character by a space.
fn valid_reason(reason: &str) -> String {
    let mut end = reason.len().min(LONGEST_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default().replace('\0', " ")
}

impl<T: Transport, O: Observer> Drop for CopyIn<'_, T, O> {
    fn drop(&mut self) {
        if self.phase == Phase::Copying {
            self.channel.copy_fail("abandoned by the client");
            // Every earlier message has been committed, and this message is valid. So `commit` can only fail on a tracked connection whose
            // queue of requests is full. Then the message stays queued, and the next flush reports the error.
            let _ = self.channel.commit();
        }
    }
}
