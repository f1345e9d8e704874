//! Passes on the bytes of one direction of a session.

use std::io;

use pg_auth::stream::{close, read, write_all};
use pg_wire::{Direction, Inbox, Split};

use crate::address::Socket;
use crate::failure::{Failure, Party};
use crate::inspector::Inspector;

/// Size of one read, in bytes, in a session that is not decoded.
const OPAQUE: usize = 8 * 1024;

/// The reading half of a connection to the client or to the server.
pub(crate) type Reader = <Socket as Split>::Source;

/// The writing half of a connection to the client or to the server.
pub(crate) type Writer = <Socket as Split>::Sink;

/// One direction of a session: passes bytes on from the sender to the receiver.
pub(crate) struct Pump {
    pub(crate) direction: Direction,
    pub(crate) inbox: Inbox,
    pub(crate) from: Reader,
    pub(crate) to: Writer,
    /// Whether the last message to the receiver is complete. While a message is incomplete, the proxy must not send an error to the
    /// receiver: the error would become a part of the incomplete message.
    pub(crate) between_messages: bool,
}

/// Selects how much of the traffic the proxy decodes.
pub(crate) enum Passing<'c> {
    /// Every message is decoded.
    Decoded(Inspector<'c>),
    /// Only the headers are decoded.
    Framed,
    /// Nothing is decoded.
    Opaque,
}

impl Pump {
    /// Passes bytes on until the sender closes its stream. While a write waits, the pump does not read (backpressure).
    ///
    /// The future may be dropped at any time. After the drop, `between_messages` shows whether the last message was written completely.
    pub(crate) async fn run(&mut self, passing: Passing<'_>) -> Result<(), Failure> {
        match passing {
            Passing::Decoded(inspector) => self.messages(Some(inspector)).await,
            Passing::Framed => self.messages(None).await,
            Passing::Opaque => self.bytes().await,
        }
    }

    /// Half-closes the connection to the receiver.
    pub(crate) async fn close(&mut self) {
        // An error is ignored: it means that the connection is closed already.
        let _ = close(&mut self.to).await;
    }

    async fn messages(&mut self, mut inspector: Option<Inspector<'_>>) -> Result<(), Failure> {
        let (from, to) = (Party::sender(self.direction), Party::receiver(self.direction));
        loop {
            while let Some(run) = self.inbox.frames().map_err(|error| Failure::Header(from, error))? {
                if let Some(inspector) = &mut inspector {
                    inspector.run(run);
                }
                self.between_messages = false;
                write_all(&mut self.to, run.as_bytes()).await.map_err(|_| Failure::Gone(to))?;
                self.between_messages = true;
            }
            match read(&mut self.from, self.inbox.space()).await {
                Ok(0) => break,
                Ok(count) => self.inbox.filled(count),
                Err(_) => return Err(Failure::Gone(from)),
            }
        }
        if let Some(inspector) = &inspector {
            inspector.closed();
        }
        // The sender has closed its stream, perhaps in the middle of a message. The part that has arrived is passed on.
        let rest = self.inbox.peek();
        self.between_messages = rest.is_empty();
        write_all(&mut self.to, rest).await.map_err(|_| Failure::Gone(to))
    }

    async fn bytes(&mut self) -> Result<(), Failure> {
        self.between_messages = false;
        let copied = async {
            write_all(&mut self.to, self.inbox.peek()).await?;
            let mut space = vec![0; OPAQUE];
            loop {
                match read(&mut self.from, &mut space).await? {
                    0 => return io::Result::Ok(()),
                    count => write_all(&mut self.to, space.get(..count).unwrap_or_default()).await?,
                }
            }
        };
        // The error does not show whether the client or the server has failed. `Gone(Party::Client)` from the pump of the client's bytes
        // would end the session at once, and the client could lose answers. After `Gone(Party::Server)`, the session first waits for the
        // end of the other direction.
        copied.await.map_err(|_| Failure::Gone(Party::Server))
    }
}
