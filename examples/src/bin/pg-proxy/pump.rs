//! One direction of a session.

use std::io;

use pg_stream_tokio::{IntoHalves, Socket};
use pg_wire::{Direction, Inbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};

use crate::failure::{Failure, Party};
use crate::inspector::Inspector;

/// Where the bytes of one side come from.
pub(crate) type Reader = <Socket as IntoHalves>::Read;

/// Where bytes for one side go.
pub(crate) type Writer = <Socket as IntoHalves>::Write;

/// One direction: what comes from the one side and goes to the other.
pub(crate) struct Pump {
    pub(crate) direction: Direction,
    pub(crate) inbox: Inbox,
    pub(crate) from: Reader,
    pub(crate) to: Writer,
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Between two messages.
    Clean,
    /// In the middle of a message.
    MidMessage,
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
    /// Passes on what comes until there is no more. Nothing is read while something waits to be written.
    pub(crate) async fn run(&mut self, passing: Passing<'_>) -> Result<End, Failure> {
        match passing {
            Passing::Decoded(inspector) => self.messages(Some(inspector)).await,
            Passing::Framed => self.messages(None).await,
            Passing::Opaque => self.bytes().await,
        }
    }

    /// Tells the other side that there is no more.
    pub(crate) async fn close(&mut self) {
        // Where that fails the stream is closed already.
        let _ = self.to.shutdown().await;
    }

    async fn messages(&mut self, mut inspector: Option<Inspector<'_>>) -> Result<End, Failure> {
        let (from, to) = (Party::speaking(self.direction), Party::spoken_to(self.direction));
        loop {
            while let Some(run) = self.inbox.run().map_err(|error| Failure::OutOfStep(from, error))? {
                let bytes = run.as_bytes();
                let (good, verdict) = match &mut inspector {
                    Some(inspector) => inspector.run(run),
                    None => (bytes.len(), Ok(())),
                };
                let bytes = bytes.get(..good).unwrap_or_default();
                self.to.write_all(bytes).await.map_err(|_| Failure::Gone(to))?;
                verdict?;
            }
            match self.from.read(self.inbox.space()).await {
                Ok(0) => break,
                Ok(count) => self.inbox.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Failure::Gone(from)),
            }
        }
        // The beginning of a message, whose end will never come.
        let rest = self.inbox.peek();
        self.to.write_all(rest).await.map_err(|_| Failure::Gone(to))?;
        Ok(if rest.is_empty() { End::Clean } else { End::MidMessage })
    }

    async fn bytes(&mut self) -> Result<End, Failure> {
        let copied = async {
            self.to.write_all(self.inbox.peek()).await?;
            copy(&mut self.from, &mut self.to).await
        };
        // Whose fault an error is it does not tell; the other direction will come to its end by itself.
        copied.await.map(|_| End::MidMessage).map_err(|_| Failure::Gone(Party::Server))
    }
}
