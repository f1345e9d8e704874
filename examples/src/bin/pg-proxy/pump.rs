//! One direction of a session.

use std::io;

use pg_auth::stream::{close, read, write_all};
use pg_stream_tokio::Socket;
use pg_wire::{Direction, Inbox, Split};

use crate::failure::{Failure, Party};
use crate::inspector::Inspector;

/// Bytes of a session that is not understood, read at a time.
const OPAQUE: usize = 8 * 1024;

/// Where the bytes of one side come from.
pub(crate) type Reader = <Socket as Split>::Source;

/// Where bytes for one side go.
pub(crate) type Writer = <Socket as Split>::Sink;

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
        let _ = close(&mut self.to).await;
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
                write_all(&mut self.to, bytes).await.map_err(|_| Failure::Gone(to))?;
                verdict?;
            }
            match read(&mut self.from, self.inbox.space()).await {
                Ok(0) => break,
                Ok(count) => self.inbox.filled(count),
                Err(_) => return Err(Failure::Gone(from)),
            }
        }
        // The beginning of a message, whose end will never come.
        let rest = self.inbox.peek();
        write_all(&mut self.to, rest).await.map_err(|_| Failure::Gone(to))?;
        Ok(if rest.is_empty() { End::Clean } else { End::MidMessage })
    }

    async fn bytes(&mut self) -> Result<End, Failure> {
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
        // Whose fault an error is it does not tell; the other direction will come to its end by itself.
        copied.await.map(|()| End::MidMessage).map_err(|_| Failure::Gone(Party::Server))
    }
}
