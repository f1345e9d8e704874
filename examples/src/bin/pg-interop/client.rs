//! A connection of a check: sends any bytes, also invalid messages, and compares the received messages with expected lines.

use pg_auth::{AuthError, Config, Handshake, Link, Session, Step};
use pg_stream_tokio::{Connection, Socket};
use pg_wire::{Encode, Error, Inbox, Limits, MessageCode, Outbox};

use crate::check::{Checked, Problem, ensure, failed};
use crate::message::{query, terminate};
use crate::received::Received;
use crate::target::Target;

/// A connection to the server. Each wait has a time limit.
#[derive(Debug)]
pub(crate) struct Client<'t> {
    target: &'t Target,
    conn: Connection<Socket>,
    session: Option<Session>,
    /// The server's messages during the login. Empty if the connection uses TLS.
    pub(crate) opening: Vec<Received>,
    /// Notices, parameter reports and notifications that [`expect`](Self::expect) or [`reply`](Self::reply) has put aside. Each call of
    /// `expect` empties the list first.
    asides: Vec<Received>,
}

impl<'t> Client<'t> {
    pub(crate) fn new(target: &'t Target, conn: Connection<Socket>, session: Option<Session>) -> Self {
        Self { target, conn, session, opening: Vec::new(), asides: Vec::new() }
    }

    /// The data of the session. Precondition: the login has succeeded.
    pub(crate) fn session(&self) -> Checked<&Session> {
        self.session.as_ref().ok_or_else(|| Problem::Failed(format!("the login failed: {}", self.opened())))
    }

    /// The process id and the secret of the session's cancel key.
    pub(crate) fn cancel_key(&self) -> Checked<(i32, Vec<u8>)> {
        match &self.session()?.cancel_key {
            Some(key) => Ok((key.pid(), key.request().key.0.to_vec())),
            None => failed("no BackendKeyData was received"),
        }
    }

    /// Sends bytes. If the server has already closed the connection, this is no error: the next receive reports the end.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Checked {
        self.conn.outbox_mut().put_raw(bytes);
        match self.target.within(self.conn.flush()) {
            Some(_) => Ok(()),
            None => failed("the server does not read"),
        }
    }

    /// Sends bytes, and compares the messages that arrive.
    pub(crate) fn exchange(&mut self, bytes: &[u8], expected: &[&str]) -> Checked {
        self.send(bytes)?;
        self.expect(expected)
    }

    /// Receives the next message; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Checked<Option<Received>> {
        let frame = match self.target.within(self.conn.recv_owned()) {
            None => return failed("no message and no end of the connection within the time limit"),
            Some(Ok(frame)) => frame,
            Some(Err(Error::Closed { mid_message: false } | Error::Io(_))) => return Ok(None),
            Some(Err(error)) => return failed(error),
        };
        Received::new(frame).map(Some)
    }

    /// Receives messages, and compares them with the expected lines.
    ///
    /// Notices, parameter reports and notifications may arrive between any two messages. Such a message is put aside if the next expected
    /// line does not name it.
    pub(crate) fn expect(&mut self, expected: &[&str]) -> Checked {
        self.asides.clear();
        for line in expected {
            loop {
                match self.next()? {
                    Some(received) if received.is(line) => break,
                    Some(received) if received.is_aside() => self.asides.push(received),
                    received => return Err(mismatch(line, received.as_ref())),
                }
            }
        }
        Ok(())
    }

    /// Receives the next message that is not put aside.
    pub(crate) fn reply(&mut self) -> Checked<Received> {
        loop {
            match self.next()? {
                Some(received) if received.is_aside() => self.asides.push(received),
                Some(received) => return Ok(received),
                None => return failed("the server closed the connection; a message was expected"),
            }
        }
    }

    /// Takes the messages with the name `kind` that the last [`expect`](Self::expect) has put aside. Compares their lines with `expected`,
    /// in the order of arrival.
    pub(crate) fn put_aside(&mut self, kind: &str, expected: &[&str]) -> Checked {
        let lines: Vec<&str> =
            self.asides.iter().map(Received::line).filter(|line| line.starts_with(kind)).collect();
        let same = lines.len() == expected.len()
            && self
                .asides
                .iter()
                .filter(|received| received.line().starts_with(kind))
                .zip(expected)
                .all(|(received, line)| received.is(line));
        ensure(same, || format!("expected {expected:?} between the other messages, received {lines:?}"))
    }

    /// Returns the line of the last message with the name `kind` that the last [`expect`](Self::expect) has put aside.
    pub(crate) fn last_aside(&self, kind: &str) -> Option<String> {
        let lines = self.asides.iter().map(Received::line);
        lines.filter(|line| line.starts_with(kind)).last().map(str::to_owned)
    }

    /// Receives all bytes up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Checked<Vec<u8>> {
        loop {
            match self.target.within(self.conn.fill()) {
                Some(Ok(())) => {}
                Some(Err(_)) => return Ok(self.conn.inbox().peek().to_vec()),
                None => return failed("the server does not close the connection"),
            }
        }
    }

    /// Waits until the server closes the connection. A message before the end is a failure.
    pub(crate) fn expect_end(&mut self) -> Checked {
        loop {
            match self.next()? {
                None => return Ok(()),
                Some(received) if received.is_aside() => {}
                Some(received) => return Err(mismatch("the end of the connection", Some(&received))),
            }
        }
    }

    /// Waits until the server closes the connection. The server may send a FATAL error first.
    pub(crate) fn expect_rejection(&mut self) -> Checked {
        match self.next()? {
            None => Ok(()),
            Some(received) if received.is("ErrorResponse FATAL *") => self.expect_end(),
            Some(received) => Err(mismatch("the end of the connection", Some(&received))),
        }
    }

    /// Checks that the session is idle and still works. Then ends the session, and checks that no further message has arrived.
    pub(crate) fn finish(mut self) -> Checked {
        self.exchange(&query(""), &["EmptyQueryResponse", "ReadyForQuery I"])?;
        self.send(&terminate())?;
        // The client closes its side at once, as the manual says. So a server that ignores Terminate still ends the connection here, and
        // fails only the checks of Terminate.
        self.half_close()?;
        self.expect_end()
    }

    /// Closes the connection for writing. The server can still send.
    pub(crate) fn half_close(&mut self) -> Checked {
        match self.target.within(self.conn.close()) {
            Some(_) => Ok(()),
            None => failed("the connection cannot be closed for writing"),
        }
    }

    /// Receives a single byte, such as the answer to an SSLRequest, and checks that no further byte has arrived with it.
    pub(crate) fn one_byte(mut self) -> Checked<(u8, Self)> {
        if self.conn.inbox().buffered() == 0 {
            match self.target.within(self.conn.fill()) {
                Some(Ok(())) => {}
                Some(Err(error)) => return failed(format!("one byte was expected: {error}")),
                None => return failed("one byte was expected, and none arrived within the time limit"),
            }
        }
        let bytes = self.conn.inbox().peek().to_vec();
        let [byte] = bytes[..] else {
            return failed(format!("expected one byte, received {:?}", bytes.escape_ascii().to_string()));
        };
        let (transport, ..) = self.conn.into_parts();
        Ok((byte, Self { conn: Connection::new(transport, Limits::BACKEND), ..self }))
    }

    /// Logs in, and keeps the messages of the server. Precondition: nothing has been sent on the connection.
    ///
    /// If the server rejects the login, the last message in `opening` is the ErrorResponse.
    pub(crate) fn log_in(mut self, config: &Config) -> Checked<Self> {
        let broken = |error: AuthError| Problem::Failed(format!("the login failed: {error}"));
        let mut handshake = Handshake::new(config, self.link()).map_err(broken)?;
        let (mut inbox, mut outbox) = (Inbox::new(Limits::BACKEND), Outbox::new(0));
        loop {
            let step = handshake.step(&mut inbox, &mut outbox);
            outbox.commit().map_err(|error| Problem::Failed(error.to_string()))?;
            let unsent = outbox.pending().to_vec();
            outbox.sent(unsent.len());
            self.send(&unsent)?;
            match step {
                Ok(Step::Read) => {
                    let Some(received) = self.next()? else {
                        return failed(format!(
                            "the server closed the connection during the login, after: {}",
                            self.opened()
                        ));
                    };
                    let mut bytes = Vec::new();
                    received.frame.frame().encode(&mut bytes).map_err(|e| Problem::Failed(e.to_string()))?;
                    inbox.extend(&bytes);
                    self.opening.push(received);
                }
                Ok(Step::Derive(job)) => handshake.derived(&job.run(), &mut outbox),
                Ok(Step::Ready(session)) => {
                    self.session = Some(session);
                    return Ok(self);
                }
                Ok(_) => {
                    return Err(Problem::NotChecked(
                        "the user's authentication method is not supported".into(),
                    ));
                }
                Err(AuthError::Server(_)) => return Ok(self),
                Err(error) => return Err(broken(error)),
            }
        }
    }

    fn link(&self) -> Link {
        self.conn.transport().link()
    }

    /// The messages of the login as lines, in one text.
    pub(crate) fn opened(&self) -> String {
        self.opening.iter().map(Received::shown).collect::<Vec<_>>().join(", ")
    }

    /// Checks that the server has rejected the login with the error `expected`, and has closed the connection.
    pub(crate) fn was_rejected(mut self, expected: &str) -> Checked {
        match self.opening.last() {
            Some(received) if received.is(expected) => self.expect_end(),
            received => Err(mismatch(expected, received)),
        }
    }

    /// Number of messages of the login with this code.
    pub(crate) fn count(&self, code: MessageCode) -> usize {
        self.opening.iter().filter(|received| received.code() == code).count()
    }
}

/// Returns the problem of a message that differs from its expected line. If the message is an error with the SQLSTATE
/// `feature_not_supported`, the problem is `NotSupported` instead of `Failed`.
fn mismatch(expected: &str, received: Option<&Received>) -> Problem {
    match received {
        Some(received) if received.names_a_missing_feature() => {
            Problem::NotSupported(received.field(b'M').unwrap_or_default())
        }
        Some(received) => Problem::Failed(format!("expected {expected}; received {}", received.shown())),
        None => Problem::Failed(format!("expected {expected}; the server closed the connection")),
    }
}
