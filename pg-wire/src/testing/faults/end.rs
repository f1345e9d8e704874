//! An end of a stream in memory that sends with faults.

use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;

use crate::connection::{Sink, Source};
use crate::replication::Clock;
use crate::testing::faults::injector::{FaultInjector, FaultStep};
use crate::testing::{End, TestClock};

/// An end of a [`duplex`](crate::testing::duplex) stream. Adds the faults of a [`FaultTable`](crate::testing::FaultTable) to the bytes that
/// this end sends.
///
/// To test with a peer that misbehaves, play a [`Transcript`](crate::testing::Transcript) over this stream. A [`TestClock`] determines when
/// a pause ends.
///
/// ```
/// use pg_wire::testing::{FaultTable, FaultyEnd, TestClock, Transcript, block_on, duplex};
/// use pg_wire::{Connection, Direction, Limits};
///
/// let table: FaultTable = "server:ReadyForQuery:cut@2".parse()?;
/// let (near, far) = duplex();
/// let far = FaultyEnd::new(far, table.injector(Direction::Backend), TestClock::default());
/// block_on(async {
///     let transcript: Transcript = "B CommandComplete \"SELECT 1\"\nB ReadyForQuery I".parse()?;
///     // The transcript ends with an error, because the stream is cut.
///     let played = transcript.play(Direction::Backend, &mut Connection::new(far, Limits::FRONTEND)).await;
///     assert!(played.is_err());
///     let mut client = Connection::new(near, Limits::BACKEND);
///     assert_eq!(client.recv().await?.body, b"SELECT 1\0");
///     assert!(matches!(client.recv().await, Err(pg_wire::Error::Closed { mid_message: true })));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FaultyEnd {
    end: End,
    injector: FaultInjector,
    clock: TestClock,
    /// Bytes of the injector's last step that have not been sent.
    sending: Vec<u8>,
    /// Time at which the current pause ends.
    pause: Option<Duration>,
    /// The error that all later operations return, after the stream was cut or reset.
    lost: Option<io::ErrorKind>,
}

impl FaultyEnd {
    /// Creates an end that sends the bytes that the injector returns.
    pub fn new(end: End, injector: FaultInjector, clock: TestClock) -> Self {
        Self { end, injector, clock, sending: Vec::new(), pause: None, lost: None }
    }

    /// Performs all steps that the injector returns.
    fn poll_steps(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(deadline) = self.pause {
                ready!(self.clock.poll_until(cx, deadline));
                self.pause = None;
            }
            while !self.sending.is_empty() {
                let written = ready!(self.end.poll_write(cx, &self.sending))?;
                self.sending.drain(..written);
            }
            match self.injector.next_step() {
                None => return Poll::Ready(self.lost.map_or(Ok(()), |kind| Err(kind.into()))),
                Some(FaultStep::Send(bytes)) => self.sending = bytes,
                Some(FaultStep::Pause(time)) => self.pause = Some(self.clock.now().saturating_add(time)),
                Some(FaultStep::HalfClose) => ready!(self.end.poll_close(cx))?,
                Some(FaultStep::Stall) => {}
                Some(FaultStep::Close) => {
                    ready!(self.end.poll_close(cx))?;
                    self.lost = Some(io::ErrorKind::BrokenPipe);
                }
                Some(FaultStep::Reset) => {
                    self.end.reset();
                    self.lost = Some(io::ErrorKind::ConnectionReset);
                }
            }
        }
    }
}

impl Source for FaultyEnd {
    fn poll_read(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.lost {
            Some(io::ErrorKind::BrokenPipe) => Poll::Ready(Ok(0)),
            Some(kind) => Poll::Ready(Err(kind.into())),
            None => self.end.poll_read(cx, space),
        }
    }
}

impl Sink for FaultyEnd {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_steps(cx))?;
        self.injector.push(bytes);
        if let Poll::Ready(Err(error)) = self.poll_steps(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_steps(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.injector.finish();
        ready!(self.poll_steps(cx))?;
        // After a stall, the stream must stay open. After a cut, a reset or a half-close, the stream has already been closed or reset.
        if self.injector.has_ended() { Poll::Ready(Ok(())) } else { self.end.poll_close(cx) }
    }
}

#[cfg(test)]
mod tests {
    use core::future::poll_fn;
    use core::pin::pin;
    use std::thread;

    use super::*;
    use crate::connection::{Connection, Error};
    use crate::testing::{FaultTable, Transcript, block_on, duplex};
    use crate::{Direction, Limits, PgProtocol};

    /// The conversation of one query.
    const QUERY: &str = "F Query \"select 1\"\nB CommandComplete \"SELECT 1\"\nB ReadyForQuery I";

    /// Sends one query to a server that plays `QUERY` with these faults. Returns the codes of the received messages, and the last error.
    fn ask(faults: &str) -> (String, Option<String>) {
        let table: FaultTable = faults.parse().expect("valid");
        let transcript: Transcript = QUERY.parse().expect("valid");
        let (near, far) = duplex();
        let clock = TestClock::default();
        let far = FaultyEnd::new(far, table.injector(Direction::Backend), clock.clone());
        let near = FaultyEnd::new(near, table.injector(Direction::Frontend), clock.clone());
        let server = thread::spawn(move || {
            let _ =
                block_on(transcript.play(Direction::Backend, &mut Connection::new(far, Limits::FRONTEND)));
        });
        let mut client = Connection::new(near, Limits::BACKEND);
        let answer = block_on(async {
            let mut codes = String::new();
            if let Err(error) = client.query("select 1").flush().await {
                return (codes, Some(error.to_string()));
            }
            loop {
                match client.recv().await {
                    Ok(frame) => codes.push(char::from(frame.code.0)),
                    Err(error) => return (codes, Some(error.to_string())),
                }
            }
        });
        drop(client);
        server.join().expect("no panic");
        answer
    }

    #[test]
    fn a_client_reads_the_faults_of_a_server_that_plays_a_transcript() {
        let closed = || Some(Error::Closed { mid_message: false }.to_string());
        let torn = || Some(Error::Closed { mid_message: true }.to_string());
        let reset = || Some(Error::Io(io::ErrorKind::ConnectionReset.into()).to_string());
        assert_eq!(ask("server:message#*:split 1"), ("CZ".into(), closed()));
        assert_eq!(ask("server:ReadyForQuery:cut"), ("C".into(), closed()));
        assert_eq!(ask("server:ReadyForQuery:cut@3"), ("C".into(), torn()));
        assert_eq!(ask("server:message#2:half-close"), ("C".into(), closed()));
        assert_eq!(ask("server:CommandComplete:swap"), ("ZC".into(), closed()));
        assert_eq!(ask("server:ReadyForQuery:duplicate"), ("CZZ".into(), closed()));
        assert_eq!(ask("server:message#1:reset"), (String::new(), reset()));
        assert_eq!(ask("client:Query:reset@2"), (String::new(), reset()));
        // The server receives no query, so the client receives no message before the end of the stream.
        assert_eq!(ask("client:Query:half-close").0, "");
        assert!(ask("client:byte#5:cut").1.is_some());
    }

    #[test]
    fn a_pause_ends_when_the_clock_has_advanced() {
        let table: FaultTable = "client:message:delay 2s@1".parse().expect("valid");
        let (near, far) = duplex();
        let clock = TestClock::default();
        let near = FaultyEnd::new(near, table.injector(Direction::Frontend), clock.clone());
        let (mut client, mut server) =
            (Connection::new(near, Limits::BACKEND), Connection::new(far, Limits::FRONTEND));
        block_on(async {
            client.query("x");
            let mut flush = pin!(client.flush());
            let first = poll_fn(|cx| Poll::Ready(flush.as_mut().poll(cx).is_ready())).await;
            assert!(!first, "the flush waits");
            server.fill().await.expect("one byte arrives before the pause");
            assert_eq!(server.inbox().peek(), b"Q");
            clock.advance(Duration::from_secs(2));
            flush.await.expect("the pause is over");
            assert_eq!(server.recv().await.expect("the rest arrives").body, b"x\0");
        });
    }
}
