//! Sending of COPY data without copying the data into the outbox.

use core::pin::Pin;
use core::task::{Context, Poll};

use crate::basic::code::MessageCode;
use crate::basic::error::{EncodeError, EncodeErrorKind};
use crate::basic::length::MAX_LENGTH;
use crate::connection::error::{Error, Fault};
use crate::connection::sending::Outgoing;
use crate::connection::stream::Transport;
use crate::connection::whole::Connection;

/// Number of bytes of the data that are copied into the outbox after the header. Without this copy, a stream without vectored
/// writes would send the header in a separate packet.
const COPIED: usize = 1024;

/// The future of [`Connection::send_copy_data`]. The whole data must be sent even if the caller drops this future, because the header with
/// the length may already be sent. But the future only borrows the data. So the drop copies the unsent part of the data into the outbox,
/// and the next flush sends this part.
struct SendCopyData<'c, 'd, T: Transport> {
    conn: &'c mut Connection<T>,
    /// The part of the data that is neither sent nor in the outbox.
    data: &'d [u8],
    /// The error of the batch, if the batch was rejected. No part of a rejected batch is sent.
    refused: Option<EncodeError>,
}

impl<T: Transport> Connection<T> {
    /// Sends data of a COPY after all queued messages. Unlike [`copy_data`](crate::PgProtocol::copy_data), this method copies only the
    /// first 1,024 bytes of the data into the outbox. Use this method for blocks of 64 KiB and more. Queue smaller pieces with `copy_data`,
    /// and flush when they add up to 64 KiB.
    ///
    /// Awaiting the future sends the data. The future may be dropped at any point: the drop copies the unsent part of the data into the
    /// outbox, and the next [`flush`](Self::flush) sends this part. So never repeat the call for the same data. (Leaking the future with
    /// `mem::forget` loses the rest of the message, and ends the sending direction with [`Fault::Leaked`].)
    ///
    /// ```
    /// use pg_wire::{Connection, Limits, PgProtocol, testing::Script};
    ///
    /// # pg_wire::testing::block_on(async {
    /// let mut conn = Connection::new(Script::sends(b""), Limits::BACKEND);
    /// conn.send_copy_data(b"1\tAda\n").await?;
    /// conn.copy_done().flush().await?;
    /// assert_eq!(conn.transport().received(), b"d\0\0\0\x0a1\tAda\nc\0\0\0\x04");
    /// # Ok::<_, pg_wire::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The errors of [`flush`](Self::flush). After [`InboxFull`](Error::InboxFull), call `flush`. Data of more than 2,147,483,643
    /// bytes, the longest body of a message, is rejected together with its batch. A PostgreSQL server accepts at most 1,073,741,818
    /// bytes in a CopyData, and ends the connection otherwise. Data may be cut into messages at any byte.
    pub fn send_copy_data(&mut self, data: &[u8]) -> impl Future<Output = Result<(), Error>> {
        let (data, refused) = match begin(&mut self.outgoing, data) {
            Ok(data) => (data, None),
            Err(error) => (&[][..], Some(error)),
        };
        SendCopyData { conn: self, data, refused }
    }
}

/// Writes the header and the first bytes of the data into the outbox, and returns the rest of the data.
fn begin<'d>(outgoing: &mut Outgoing, data: &'d [u8]) -> Result<&'d [u8], EncodeError> {
    if outgoing.fault.is_some() {
        // The sending direction has ended, so no data is written. Polling the future returns the error.
        return Ok(&[]);
    }
    let outbox = &mut outgoing.outbox;
    let length = data.len().saturating_add(4);
    if length > MAX_LENGTH {
        // This call rejects the whole batch, including the bytes that are added below.
        outbox.refuse(EncodeError { message: "CopyData", kind: EncodeErrorKind::MessageTooLong { length } });
    }
    let [a, b, c, d] = (length as u32).to_be_bytes();
    let (copied, rest) = data.split_at(data.len().min(COPIED));
    outbox.put_raw(&[MessageCode::COPY_DATA.0, a, b, c, d]);
    outbox.put_raw(copied);
    outbox.commit()?;
    arm(outgoing, rest);
    Ok(rest)
}

/// Sets the fault `Leaked` while a future still has to send `data`. The future borrows the connection and clears the fault when
/// it is dropped. So a later call finds the fault only if the future was leaked.
fn arm(outgoing: &mut Outgoing, data: &[u8]) {
    if !data.is_empty() && outgoing.fault.is_none() {
        outgoing.fault = Some(Fault::Leaked);
    }
}

impl<T: Transport> SendCopyData<'_, '_, T> {
    /// Clears the fault that [`arm`] has set. If the direction had already ended, this future has no data, and the fault is kept.
    fn disarm(&mut self) {
        let outgoing = &mut self.conn.outgoing;
        if !self.data.is_empty() && outgoing.fault == Some(Fault::Leaked) {
            outgoing.fault = None;
        }
    }
}

impl<T: Transport> Future for SendCopyData<'_, '_, T> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Err(error.into()));
        }
        this.disarm();
        let done = this.conn.poll_flush_with(cx, &mut this.data);
        arm(&mut this.conn.outgoing, this.data);
        done
    }
}

impl<T: Transport> Drop for SendCopyData<'_, '_, T> {
    fn drop(&mut self) {
        self.disarm();
        let outgoing = &mut self.conn.outgoing;
        if !self.data.is_empty() && outgoing.fault.is_none() {
            outgoing.outbox.put_raw(self.data);
            // `commit` cannot fail: raw bytes are always valid.
            let _ = outgoing.outbox.commit();
        }
    }
}
