//! One direction of a session.

use std::io;

use pg_stream_tokio::{IntoHalves, Socket};
use pg_wire::{Direction, Inbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};

use crate::failure::{Failure, Party};
use crate::inspector::Inspector;

/// The reading half of a connection.
pub(crate) type Reader = <Socket as IntoHalves>::Read;

/// The writing half of a connection.
pub(crate) type Writer = <Socket as IntoHalves>::Write;

/// One direction: bytes from one side, on their way to the other.
pub(crate) struct Pump {
    pub(crate) direction: Direction,
    pub(crate) inbox: Inbox,
    pub(crate) from: Reader,
    pub(crate) to: Writer,
    /// Whether the bytes written so far end where a message ends, so that another message may follow.
    pub(crate) between_messages: bool,
}

/// How much is looked at.
pub(crate) enum Passing<'c> {
    /// Every message.
    Decoded(Inspector<'c>),
    /// The headers.
    Framed,
    /// Nothing.
    Opaque,
}

impl Pump {
    /// Passes on what arrives until the sender ends. Nothing is read while a write waits.
    ///
    /// The future may be dropped; `between_messages` is then still true to its name.
    pub(crate) async fn run(&mut self, passing: Passing<'_>) -> Result<(), Failure> {
        match passing {
            Passing::Decoded(inspector) => self.messages(Some(inspector)).await,
            Passing::Framed => self.messages(None).await,
            Passing::Opaque => self.bytes().await,
        }
    }

    /// Ends the stream to the receiver.
    pub(crate) async fn close(&mut self) {
        // An error means that the stream is closed already.
        let _ = self.to.shutdown().await;
    }

    async fn messages(&mut self, mut inspector: Option<Inspector<'_>>) -> Result<(), Failure> {
        let (from, to) = (Party::sender(self.direction), Party::receiver(self.direction));
        loop {
            while let Some(run) = self.inbox.run().map_err(|error| Failure::Header(from, error))? {
                if let Some(inspector) = &mut inspector {
                    inspector.run(run);
                }
                self.between_messages = false;
                self.to.write_all(run.as_bytes()).await.map_err(|_| Failure::Gone(to))?;
                self.between_messages = true;
            }
            match self.from.read(self.inbox.space()).await {
                Ok(0) => break,
                Ok(count) => self.inbox.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Gone(from)),
            }
        }
        // The beginning of a message, whose end will never arrive.
        let rest = self.inbox.peek();
        self.between_messages = rest.is_empty();
        self.to.write_all(rest).await.map_err(|_| Failure::Gone(to))
    }

    async fn bytes(&mut self) -> Result<(), Failure> {
        self.between_messages = false;
        let copied = async {
            self.to.write_all(self.inbox.peek()).await?;
            copy(&mut self.from, &mut self.to).await
        };
        // `copy` does not say which side failed. It makes no difference: the other direction ends by itself.
        copied.await.map(drop).map_err(|_| Failure::Gone(Party::Server))
    }
}
