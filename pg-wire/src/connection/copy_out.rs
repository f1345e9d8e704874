//! Receives rows with `COPY … TO STDOUT`.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use crate::basic::code::MessageCode;
use crate::basic::enums::{FormatCode, TransactionStatus};
use crate::buffer::inbox::Head;
use crate::connection::channel::Channel;
use crate::connection::copy_end::{CopyComplete, End};
use crate::connection::error::Error;
use crate::connection::stream::Transport;
use crate::connection::tracked::TrackedConnection;
use crate::connection::whole::Connection;
use crate::copy::{CopyError, CopyErrorKind, CopyReader, CopyRow, FromCopyRow};
use crate::message::backend::ReadyForQuery;
use crate::session::Observer;

/// A running `COPY … TO STDOUT`. [`Connection::copy_out`] and [`TrackedConnection::copy_out`] return this type.
///
/// If this value is dropped before the last row, call [`until_ready`](Connection::until_ready), which receives and drops the remaining
/// rows. On a `TrackedConnection`, [`recover`](TrackedConnection::recover) also makes the connection ready.
#[derive(Debug)]
pub struct CopyOut<'c, T: Transport, O: Observer = ()> {
    channel: Channel<'c, T, O>,
    reader: CopyReader,
    /// The data of the last received CopyData message.
    data: Vec<u8>,
    /// Number of bytes of `data` that have been read.
    read: usize,
    /// Whether CopyDone has been received.
    is_done: bool,
    phase: Phase,
    /// Progress of receiving the end of the COPY.
    end: End<Error>,
    /// The error of a row or of a message. Stored until ReadyForQuery has been received, and then returned.
    error: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// The COPY has failed. ReadyForQuery has not been received.
    Failing,
    /// The COPY has failed. ReadyForQuery has been received.
    Failed,
    /// The COPY has succeeded. ReadyForQuery has been received with this status.
    Ended(TransactionStatus),
}

impl<T: Transport> Connection<T> {
    /// Sends a `COPY … TO STDOUT` statement, and waits for the beginning of the rows. Precondition: no reply to an earlier request is
    /// outstanding.
    ///
    /// The options of `reader` must be equal to the options of the statement. The method
    /// [`CopyOptions::copy_to`](crate::copy::CopyOptions::copy_to) prints these options. The options FORCE_NULL, FORCE_NOT_NULL and
    /// DEFAULT, which exist only for `COPY … FROM`, are ignored. During the COPY, notices and notifications are received and dropped.
    ///
    /// If the future is dropped after it was polled, the statement is sent and its replies are outstanding. In this case, queue
    /// [`copy_fail`](crate::PgProtocol::copy_fail), call [`flush`](Self::flush), and receive the replies with
    /// [`until_ready`](Self::until_ready). The CopyFail is needed only if the statement is by mistake a `COPY … FROM STDIN`: without the
    /// CopyFail, the server would wait for data for ever. After any other statement, the server ignores the CopyFail. If the future was
    /// never polled, nothing is sent.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, copy::{CopyOptions, CopyReader}, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::sends(
    ///     b"H\0\0\0\x0b\0\0\x02\0\0\0\0d\0\0\0\x0cEarth\t1\nc\0\0\0\x04C\0\0\0\x0bCOPY 1\0Z\0\0\0\x05I",
    /// );
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// let options = CopyOptions::text();
    /// let sql = format!("COPY planets TO STDOUT ({})", options.copy_to());
    /// let copy = conn.copy_out(&sql, CopyReader::new(&options)?).await?;
    /// let end = copy
    ///     .for_each(|row| {
    ///         assert_eq!(row.decode::<(&str, i32)>()?, ("Earth", 1));
    ///         Ok::<_, Error>(())
    ///     })
    ///     .await?;
    /// assert_eq!(end.rows, 1);
    /// # Ok::<_, Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// - [`Server`](Error::Server) when the server rejects the statement.
    /// - [`Copy`](Error::Copy) when the statement is no `COPY … TO STDOUT`, or when the format or the number of columns of the COPY differs
    ///   from the format or the number of columns of `reader`.
    /// - The errors of [`recv`](Self::recv) and [`flush`](Self::flush).
    ///
    /// After an error that is not fatal, the connection is ready for the next request.
    pub async fn copy_out(&mut self, sql: &str, reader: CopyReader) -> Result<CopyOut<'_, T>, Error> {
        CopyOut::begin(Channel::plain(self), sql, reader).await
    }
}

impl<T: Transport, O: Observer> TrackedConnection<T, O> {
    /// Sends a `COPY … TO STDOUT` statement, and waits for the beginning of the rows. See [`Connection::copy_out`].
    ///
    /// Every message of the COPY is passed to the state of the session and to the observer. So [`check_idle`](Self::check_idle) and
    /// [`recover`](Self::recover) can be called after every error and after every dropped future.
    ///
    /// # Errors
    /// - The errors of `Connection::copy_out`.
    /// - [`QueueFull`](Error::QueueFull) as in [`flush`](Self::flush). The statement is dropped; messages that were queued before this call
    ///   stay queued.
    /// - [`Unexpected`](Error::Unexpected) when a message is not a reply to a sent request.
    pub async fn copy_out(&mut self, sql: &str, reader: CopyReader) -> Result<CopyOut<'_, T, O>, Error> {
        CopyOut::begin(self.channel(), sql, reader).await
    }
}

impl<'c, T: Transport, O: Observer> CopyOut<'c, T, O> {
    async fn begin(mut channel: Channel<'c, T, O>, sql: &str, mut reader: CopyReader) -> Result<Self, Error> {
        reader.ignore_copy_from_options();
        let announced = channel.begin_copy(sql, MessageCode::COPY_OUT_RESPONSE).await?;
        let format = if announced.is_binary { FormatCode::Binary } else { FormatCode::Text };
        if let Err(kind) = reader.expect(announced.columns, format) {
            channel.end_copy(&mut End::<Error>::new(), |_| Ok(())).await?;
            return Err(CopyError::new(kind).into());
        }
        Ok(Self {
            channel,
            reader,
            data: Vec::new(),
            read: 0,
            is_done: false,
            phase: Phase::Copying,
            end: End::new(),
            error: None,
        })
    }

    /// Passes all remaining rows to `each`, and waits for the end of the COPY. The fields are lent from the receive buffer. If
    /// [`row`](Self::row) or [`decode`](Self::decode) has already returned the last row, returns the result of the COPY.
    ///
    /// # Errors
    /// The first error of the server, of a row ([`Copy`](Error::Copy)) or of `each`. The remaining rows are then received and dropped, and
    /// the connection is ready for the next request. After a fatal error of [`recv`](Connection::recv), the call returns at once, and the
    /// remaining rows are not received.
    pub async fn for_each<E: From<Error>>(
        mut self,
        mut each: impl FnMut(CopyRow<'_>) -> Result<(), E>,
    ) -> Result<CopyComplete, E> {
        if matches!(self.phase, Phase::Failing | Phase::Failed) {
            return Err(self.failed().await.into());
        }
        let Self { channel, reader, data, read, is_done, phase, end, .. } = &mut self;
        let mut failure = None;
        let mut rest = data.get(*read..).unwrap_or_default();
        loop {
            match reader.row(&mut rest) {
                Ok(Some(row)) => match each(row) {
                    Ok(()) => continue,
                    Err(error) => failure = Some(error),
                },
                Ok(None) => {}
                Err(error) => failure = Some(Error::from(error).into()),
            }
            break;
        }
        if *is_done && failure.is_none() {
            // A dropped future of the method `row` may have received CopyDone without returning the last row. So this row is read here.
            failure = match reader.finish() {
                Ok(Some(row)) => each(row).err(),
                Ok(None) => None,
                Err(error) => Some(Error::from(error).into()),
            };
        }
        if let Phase::Ended(status) = *phase {
            return match failure {
                Some(failure) => Err(failure),
                None => Ok(end.rows.complete(status)?),
            };
        }
        // A dropped future of `row` may have received CommandComplete.
        let mut progress = End::after(end.rows);
        let end = channel.end_copy(&mut progress, |frame| {
            if failure.is_some() {
                return Ok(());
            }
            match frame.code {
                MessageCode::COPY_DATA => {
                    let mut piece = frame.body;
                    while let Some(row) = reader.row(&mut piece).map_err(Error::from)? {
                        each(row)?;
                    }
                }
                MessageCode::COPY_DONE => {
                    *is_done = true;
                    if let Some(row) = reader.finish().map_err(Error::from)? {
                        each(row)?;
                    }
                }
                MessageCode::COMMAND_COMPLETE if !*is_done => return Err(Error::from(unexpected()).into()),
                MessageCode::COPY_OUT_RESPONSE => return Err(Error::from(unexpected()).into()),
                _ => {}
            }
            Ok(())
        });
        let end = end.await;
        match failure {
            Some(failure) => Err(failure),
            None => end,
        }
    }

    /// Returns the next row. Returns `None` after the last row: then the connection is ready for the next request.
    ///
    /// This method copies the data of each CopyData message once. [`for_each`](Self::for_each) copies only rows that lie in several
    /// messages, and fields with escapes or quotes. [`decode`](Self::decode) lends a row without a copy if the format is binary and the
    /// message contains only this row; otherwise `decode` copies the data as `row` does.
    ///
    /// The future may be dropped at any point; no row and no error is lost.
    ///
    /// # Errors
    /// - [`Copy`](Error::Copy) when the data is malformed. The remaining rows have been received and dropped.
    /// - [`Server`](Error::Server) when the server has sent an error.
    /// - The errors of [`recv`](Connection::recv).
    ///
    /// After an error that is not fatal, the connection is ready for the next request.
    pub async fn row(&mut self) -> Result<Option<CopyRow<'_>>, Error> {
        let row = self.find_row().await?;
        self.lend(row)
    }

    /// Returns the next row as a tuple. The result is the same as from [`row`](Self::row) and then [`CopyRow::decode`]. In binary format,
    /// this method is faster than those two calls: no list of the fields is made, and a row that is alone in its message is lent from the
    /// receive buffer.
    ///
    /// The future may be dropped at any point; no row and no error is lost.
    ///
    /// ```
    /// use pg_wire::{Connection, Error, Limits, copy::{CopyOptions, CopyReader}, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let socket = Script::sends(
    ///     b"H\0\0\0\x0b\0\0\x02\0\0\0\0d\0\0\0\x0cEarth\t1\nc\0\0\0\x04C\0\0\0\x0bCOPY 1\0Z\0\0\0\x05I",
    /// );
    /// let mut conn = Connection::new(socket, Limits::BACKEND);
    /// let reader = CopyReader::new(&CopyOptions::text())?;
    /// let mut copy = conn.copy_out("COPY planets TO STDOUT", reader).await?;
    /// while let Some((name, moons)) = copy.decode::<(&str, i32)>().await? {
    ///     assert_eq!((name, moons), ("Earth", 1));
    /// }
    /// assert_eq!(copy.rows(), 1);
    /// # Ok::<_, Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The errors of `row`, and the errors of `CopyRow::decode`. After an error of `CopyRow::decode`, the next call returns the next row.
    #[inline]
    pub fn decode<'r, R: FromCopyRow<'r>>(&'r mut self) -> impl Future<Output = Result<Option<R>, Error>> {
        Decode { copy: Some(self), row: PhantomData }
    }

    /// Returns the place of the next row if the format is binary and the whole row has been received. A row that is still in the inbox must
    /// be alone in its message; otherwise this method returns `None`.
    #[inline(always)]
    fn whole_tuple<'r, R: FromCopyRow<'r>>(&self) -> Option<Place> {
        if self.phase != Phase::Copying {
            return None;
        }
        if self.read < self.data.len() {
            return self.reader.whole_tuple::<R>(self.data.get(self.read..)?).map(Place::Stored);
        }
        let inbox = &self.channel.conn.incoming.inbox;
        let head = inbox.whole_fast()?;
        if head.code() != MessageCode::COPY_DATA {
            return None;
        }
        let body = inbox.look_fast(&head).body;
        (self.reader.whole_tuple::<R>(body)? == body.len()).then_some(Place::Message(head))
    }

    /// Reads the row that [`whole_tuple`](Self::whole_tuple) has found.
    #[inline(always)]
    fn decode_tuple<'r, R: FromCopyRow<'r>>(&'r mut self, place: Place) -> Result<Option<R>, Error> {
        let row = match place {
            Place::Message(head) => self.channel.lend(head)?.body,
            Place::Stored(length) => {
                let start = self.read;
                self.read += length;
                self.data.get(start..self.read).unwrap_or_default()
            }
        };
        Ok(self.reader.decode_whole(row)?)
    }

    /// Receives data up to the end of the next row. Returns the range of this row in `data`. Returns `None` after ReadyForQuery.
    async fn find_row(&mut self) -> Result<Option<Range<usize>>, Error> {
        loop {
            let mut rest = self.data.get(self.read..).unwrap_or_default();
            match self.reader.take_row(&mut rest) {
                Ok(Some(row)) => {
                    let end = self.data.len() - rest.len();
                    self.read = end;
                    return Ok(Some(end - row.len()..end));
                }
                Ok(None) => self.read = self.data.len(),
                Err(error) => self.begin_failing(Some(error.into())),
            }
            match self.phase {
                Phase::Copying => {}
                Phase::Failing | Phase::Failed => return Err(self.failed().await),
                Phase::Ended(_) => return Ok(None),
            }
            let code = match self.channel.next_code().await {
                Ok(code) => code,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.begin_failing(Some(error));
                    continue;
                }
            };
            match code {
                MessageCode::COPY_DATA => {
                    let frame = self.channel.recv().await?;
                    self.data.clear();
                    self.data.extend_from_slice(frame.body);
                    self.read = 0;
                }
                MessageCode::COPY_DONE => {
                    self.channel.recv().await?;
                    self.is_done = true;
                }
                MessageCode::COMMAND_COMPLETE if self.is_done => {
                    let frame = self.channel.recv().await?;
                    if let Err(error) = self.end.rows.record(frame) {
                        self.begin_failing(Some(error.into()));
                    }
                }
                MessageCode::READY_FOR_QUERY if self.is_done => {
                    let ready = self.channel.recv().await?.decode::<ReadyForQuery>();
                    self.phase = ready.as_ref().map_or(Phase::Failed, |ready| Phase::Ended(ready.status));
                    ready?;
                }
                MessageCode::ERROR_RESPONSE
                | MessageCode::COMMAND_COMPLETE
                | MessageCode::READY_FOR_QUERY
                | MessageCode::COPY_IN_RESPONSE
                | MessageCode::COPY_OUT_RESPONSE
                | MessageCode::COPY_BOTH_RESPONSE => {
                    self.begin_failing(None);
                }
                _ => {
                    self.channel.recv().await?;
                }
            }
        }
    }

    /// Creates a future of [`find_row`](Self::find_row), polls the future once, and drops the future. Nothing is lost, because all progress
    /// is stored in `self`.
    #[inline(never)]
    fn poll_row(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Range<usize>>, Error>> {
        pin!(self.find_row()).poll(cx)
    }

    #[inline(never)]
    fn decode_row<'r, R: FromCopyRow<'r>>(
        &'r mut self,
        row: Option<Range<usize>>,
    ) -> Result<Option<R>, Error> {
        Ok(self.lend(row)?.map(|row| row.decode()).transpose()?)
    }

    /// Lends the row that [`find_row`](Self::find_row) has found. After ReadyForQuery, lends the last row if the row has no line end.
    fn lend(&mut self, row: Option<Range<usize>>) -> Result<Option<CopyRow<'_>>, Error> {
        match row {
            Some(row) => Ok(Some(self.reader.lend(self.data.get(row).unwrap_or_default()))),
            None => Ok(self.reader.finish()?),
        }
    }

    /// Returns the number of rows that have been read.
    pub fn rows(&self) -> u64 {
        self.reader.rows()
    }

    /// Begins to drop the remaining rows. First drops the data that was received and not read, so that `row` returns no further row.
    /// `error` is the error that [`failed`](Self::failed) returns later, unless a fatal error follows. If `error` is `None`, `failed`
    /// returns the error of the server, or [`unexpected`] if the server sends no error.
    #[cold]
    fn begin_failing(&mut self, error: Option<Error>) {
        self.error = error;
        self.phase = Phase::Failing;
        self.data = Vec::new();
        self.read = 0;
    }

    /// Receives and drops the remaining rows after an error, and returns the error. If the future is dropped, the next call continues.
    #[cold]
    #[inline(never)]
    async fn failed(&mut self) -> Error {
        if self.phase == Phase::Failed {
            return CopyError::new(CopyErrorKind::AfterError).into();
        }
        let end = self.channel.end_copy(&mut self.end, |_| Ok(())).await;
        self.phase = Phase::Failed;
        match (end, self.error.take()) {
            (Err(fatal), _) if fatal.is_fatal() => fatal,
            (_, Some(error)) => error,
            (Ok(_) | Err(Error::Copy(_)), None) => unexpected().into(),
            (Err(error), None) => error,
        }
    }
}

/// Place of a whole row in binary format.
enum Place {
    /// The data of the next message, which is a CopyData with this head.
    Message(Head),
    /// In `data`, after the bytes that have been read. The number is the length of the row in bytes.
    Stored(usize),
}

/// The future of [`CopyOut::decode`]. A hand-written `poll` instead of an `async` block, as in [`Connection::recv`].
struct Decode<'r, 'c, T: Transport, O: Observer, R> {
    copy: Option<&'r mut CopyOut<'c, T, O>>,
    row: PhantomData<fn() -> R>,
}

impl<'r, T: Transport, O: Observer, R: FromCopyRow<'r>> Future for Decode<'r, '_, T, O, R> {
    type Output = Result<Option<R>, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A poll after completion is always pending.
        let Some(copy) = self.copy.take() else { return Poll::Pending };
        if let Some(place) = copy.whole_tuple::<R>() {
            return Poll::Ready(copy.decode_tuple(place));
        }
        match copy.poll_row(cx) {
            Poll::Ready(Ok(row)) => Poll::Ready(copy.decode_row(row)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.copy = Some(copy);
                Poll::Pending
            }
        }
    }
}

/// Returns the error for a query with several COPY statements, or for a COPY whose end was not received.
fn unexpected() -> CopyError {
    CopyError::new(CopyErrorKind::Unexpected("the end of a single COPY"))
}
