//! Data of a COPY that goes out from where it lies.

use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Connection, Error, Outgoing, Sink, Transport, WriteHalf};
use crate::code::MessageCode;
use crate::error::{EncodeError, EncodeErrorKind};
use crate::message::LONGEST;

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

/// Sends a CopyData whose bytes it borrows. What has not gone when it is dropped is copied into the outbox, because its
/// beginning cannot be taken back.
struct SendCopyData<'c, 'd, C: Sending> {
    conn: &'c mut C,
    /// What has not gone.
    data: &'d [u8],
    /// Whether its header is in the outbox, or further.
    begun: bool,
}

impl<C: Sending> SendCopyData<'_, '_, C> {
    fn begin(&mut self) -> Result<(), Error> {
        let outbox = &mut self.conn.outgoing().outbox;
        outbox.commit()?;
        let length = self.data.len().saturating_add(4);
        let Some(field) = u32::try_from(length).ok().filter(|_| length <= LONGEST) else {
            let kind = EncodeErrorKind::MessageTooLong { length };
            return Err(EncodeError { message: "CopyData", kind }.into());
        };
        let [a, b, c, d] = field.to_be_bytes();
        outbox.put_raw(&[MessageCode::COPY_DATA.0, a, b, c, d]);
        self.begun = true;
        Ok(outbox.commit()?)
    }
}

impl<C: Sending> Future for SendCopyData<'_, '_, C> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.begun {
            this.begin()?;
        }
        this.conn.poll_send(cx, &mut this.data)
    }
}

impl<C: Sending> Drop for SendCopyData<'_, '_, C> {
    fn drop(&mut self) {
        let outgoing = self.conn.outgoing();
        if self.begun && !self.data.is_empty() && outgoing.fault.is_none() {
            outgoing.outbox.put_raw(self.data);
            // Raw bytes cannot be refused.
            let _ = outgoing.outbox.commit();
        }
    }
}

impl<T: Transport> Connection<T> {
    /// Sends data of a COPY from where it lies, behind everything that has been queued: for blocks of 64 KiB and more, which
    /// [`copy_data`](crate::PgProtocol::copy_data) would copy. Header and data leave together, where the stream can write from
    /// several places at once. Smaller pieces are better queued, and flushed once they are 64 KiB.
    ///
    /// May be dropped at any point: what has not left by then is copied after all, and leaves with the next
    /// [`flush`](Self::flush).
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
    /// As [`flush`](Self::flush). After [`InboxFull`](Error::InboxFull) what has not left has been copied, as above; when it is
    /// longer than a message can be, 2,147,483,643 bytes, nothing of it has left.
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        SendCopyData { conn: self, data, begun: false }
    }
}

impl<W: Sink> WriteHalf<W> {
    /// As [`Connection::send_copy_data`], but it only writes: the receiving half has to go on receiving.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        SendCopyData { conn: self, data, begun: false }
    }
}
