//! The messages of the server in a replication stream.

use core::task::{Context, Poll, ready};

use crate::basic::code::MessageCode;
use crate::buffer::inbox::Head;
use crate::connection::{Connection, Transport};
use crate::message::backend::{Backend, CopyData};
use crate::replication::live::error::StreamErrorKind;
use crate::replication::stream::{PrimaryKeepalive, PrimaryMessage};

/// A received message of a replication stream.
pub(super) enum Received {
    /// XLogData. The caller takes the data from the buffer of the connection.
    Data(Head),
    Keepalive(PrimaryKeepalive),
    /// The server has sent CopyDone.
    Done,
}

/// Receives the next message. Notices and changed parameters are skipped.
pub(super) fn poll_received<T: Transport>(
    conn: &mut Connection<T>,
    cx: &mut Context<'_>,
) -> Poll<Result<Received, StreamErrorKind>> {
    loop {
        let head = ready!(conn.poll_head(cx))?;
        let frame = conn.inbox().look(&head);
        if frame.code == MessageCode::COPY_DATA && frame.body.first() == Some(&b'w') {
            return Poll::Ready(Ok(Received::Data(head)));
        }
        let code = frame.code;
        return Poll::Ready(match conn.inbox_mut().take(head).backend()? {
            Backend::CopyData(CopyData { data }) => match PrimaryMessage::decode(data.0)? {
                PrimaryMessage::PrimaryKeepalive(keepalive) => Ok(Received::Keepalive(keepalive)),
                PrimaryMessage::Unknown(unknown) => Err(StreamErrorKind::UnknownKind(unknown.kind)),
                // This message answers a request that the caller has sent, such as a PrimaryStatusRequest. The answer contains no data of
                // the stream, so the answer is skipped.
                _ => continue,
            },
            Backend::CopyDone(_) => Ok(Received::Done),
            Backend::NoticeResponse(_) | Backend::ParameterStatus(_) | Backend::NotificationResponse(_) => {
                continue;
            }
            Backend::ErrorResponse(error) => Err(StreamErrorKind::Server(error.to_owned())),
            // The server ends the command although the copy has not ended.
            Backend::CommandComplete(_) => Err(StreamErrorKind::EndedByServer),
            _ => Err(StreamErrorKind::Unexpected(code)),
        });
    }
}
