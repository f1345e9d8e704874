//! Data of a COPY that goes out from where it lies.

use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Connection, Error, Outgoing, Sink, Transport, WriteHalf};
use crate::basic::code::MessageCode;
use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::length::LONGEST;

/// Whatever sends: a connection, and the half of one.
trait Sending {
    fn outgoing(&mut self) -> &mut Outgoing;

    /// Sends what has been committed and then `behind`, which gets shorter with every write.
    fn poll_send(&mut self, cx: &mut Context<'_>, behind: &mut &[u8]) -> Poll<Result<(), Error>>;
}

impl<T: Transport> Sending for Connection<T> {
    fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, behind: &mut &[u8]) -> Poll<Result<(), Error>> {
        self.poll_flush_with(cx, behind)
    }
}

impl<W: Sink> Sending for WriteHalf<W> {
    fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, behind: &mut &[u8]) -> Poll<Result<(), Error>> {
        self.outgoing.poll_send(&mut self.sink, cx, behind)
    }
}

/// This many bytes are copied behind the header, so that it does not leave by itself where a stream cannot write from several
/// places at once.
const COPIED: usize = 1024;

/// Sends a CopyData whose bytes it borrows. What has not gone when it is dropped is copied into the outbox: it counts as queued
/// from the call on.
struct SendCopyData<'c, 'd, C: Sending> {
    conn: &'c mut C,
    /// What has not gone and is not in the outbox.
    data: &'d [u8],
    /// Why nothing of the batch leaves.
    refused: Option<EncodeError>,
}

impl<'c, 'd, C: Sending> SendCopyData<'c, 'd, C> {
    fn new(conn: &'c mut C, data: &'d [u8]) -> Self {
        match begin(conn.outgoing(), data) {
            Ok(data) => Self { conn, data, refused: None },
            Err(error) => Self { conn, data: &[], refused: Some(error) },
        }
    }
}

/// Puts the header and the first bytes into the outbox, and returns the rest.
fn begin<'d>(outgoing: &mut Outgoing, data: &'d [u8]) -> Result<&'d [u8], EncodeError> {
    if outgoing.fault.is_some() {
        // Nothing leaves any more, which polling tells.
        return Ok(&[]);
    }
    let outbox = &mut outgoing.outbox;
    let length = data.len().saturating_add(4);
    if length > LONGEST {
        // With its batch, and with what is put below.
        outbox.refuse(EncodeError { message: "CopyData", kind: EncodeErrorKind::MessageTooLong { length } });
    }
    let [a, b, c, d] = (length as u32).to_be_bytes();
    let (copied, rest) = data.split_at(data.len().min(COPIED));
    outbox.put_raw(&[MessageCode::COPY_DATA.0, a, b, c, d]);
    outbox.put_raw(copied);
    outbox.commit()?;
    Ok(rest)
}

impl<C: Sending> Future for SendCopyData<'_, '_, C> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Err(error.into()));
        }
        this.conn.poll_send(cx, &mut this.data)
    }
}

impl<C: Sending> Drop for SendCopyData<'_, '_, C> {
    fn drop(&mut self) {
        let outgoing = self.conn.outgoing();
        if !self.data.is_empty() && outgoing.fault.is_none() {
            outgoing.outbox.put_raw(self.data);
            // Raw bytes cannot be refused.
            let _ = outgoing.outbox.commit();
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Sends data of a COPY from where it lies, behind everything that has been queued: for blocks of 64 KiB and more, which
    /// [`copy_data`](crate::PgProtocol::copy_data) would copy. All but the first 1,024 bytes are never copied, where the stream
    /// takes them. Smaller pieces are better queued, and flushed once they are 64 KiB.
    ///
    /// The call itself queues the data, and what is awaited sends it: dropped at any point, what has not left is copied after all and
    /// leaves with the next [`flush`](Self::flush). So it is never to be called again for the same data. (Who leaks the future
    /// half sent, leaks the rest of a message.)
    ///
    /// ```
    /// use pg_wire::{Connection, Limits, PgProtocol, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let mut conn = Connection::new(Script::says(b""), Limits::BACKEND);
    /// conn.send_copy_data(b"1\tAda\n").await?;
    /// conn.copy_done().flush().await?;
    /// assert_eq!(conn.transport().heard(), b"d\0\0\0\x0a1\tAda\nc\0\0\0\x04");
    /// # Ok::<_, pg_wire::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`flush`](Self::flush), which is what to call after [`InboxFull`](Error::InboxFull). Data longer than a message can be,
    /// 2,147,483,643 bytes, is refused with its batch.
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        SendCopyData::new(self, data)
    }
}

impl<W: Sink> WriteHalf<W> {
    /// As [`Connection::send_copy_data`], but it only writes: the receiving half has to go on receiving.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        SendCopyData::new(self, data)
    }
}
