//! Conversations with the client's state machine, without a runtime.

use pg_auth::config::{AuthMethod, Config};
use pg_auth::error::{AuthError, PeerError, WireError};
use pg_auth::scram::{Nonce, OfferedBinding, ServerFirst, Verifier};
use pg_auth::{Handshake, Link, Session, Step};
use pg_wire::backend::{
    Authentication, Backend, BackendKeyData, MessageCode, ParameterStatus, ReadyForQuery,
};
use pg_wire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse};
use pg_wire::{
    Decode, Direction, Encode, Frame, Inbox, Limits, Message, Outbox, Text, TransactionStatus,
    codec::{Secret, SecretText, Terminated},
};

pub(crate) const PASSWORD: &str = "pencil";
pub(crate) const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
pub(crate) const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
pub(crate) const KEY: BackendKeyData<'_> = BackendKeyData { pid: 4711, key: Secret(b"\xc0\xff\xee\x99") };
pub(crate) const READY: ReadyForQuery = ReadyForQuery { status: TransactionStatus::Idle };

/// The start-up message of [`user`].
pub(crate) const STARTUP: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0user\0\0";

/// The configuration of a user without a password.
pub(crate) fn user() -> Config {
    Config::new("user")
}

/// The configuration of a user with [`PASSWORD`].
pub(crate) fn with_password() -> Config {
    user().password(PASSWORD)
}

/// A verifier of [`PASSWORD`] with one iteration, so that the derivation is fast.
pub(crate) fn verifier() -> Verifier {
    let stored = Verifier::new(&PASSWORD.into(), b"sixteen bytes...".to_vec(), std::num::NonZeroU32::MIN);
    stored.to_string().parse().expect("a string that was just written")
}

pub(crate) fn nonce(text: &str) -> Nonce {
    text.parse().expect("the nonce is printable")
}

pub(crate) fn parameter(name: &'static str, value: &'static str) -> ParameterStatus<'static> {
    ParameterStatus { name: name.into(), value: value.into() }
}

pub(crate) fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("the message can be encoded");
    bytes
}

/// Encodes the message AuthenticationSASL with these mechanisms.
pub(crate) fn sasl(mechanisms: &[&'static str]) -> Vec<u8> {
    let mechanisms: Vec<Text<'_>> = mechanisms.iter().map(|&name| name.into()).collect();
    encoded(&Authentication::Sasl(Terminated::from(&mechanisms[..])))
}

pub(crate) fn unexpected(message: &'static str, expected: &'static str) -> PeerError {
    PeerError::Unexpected { message, expected }
}

/// The client's state machine with its buffers.
#[derive(Debug)]
pub(crate) struct Machine<'c> {
    handshake: Handshake<'c>,
    pub(crate) inbox: Inbox,
    outbox: Outbox,
    derivations: usize,
    pub(crate) outcome: Option<Result<Session, AuthError>>,
}

impl<'c> Machine<'c> {
    pub(crate) fn new(handshake: Handshake<'c>) -> Self {
        let (inbox, outbox) = (Inbox::new(Limits::BACKEND), Outbox::new(1024));
        let mut machine = Self { handshake, inbox, outbox, derivations: 0, outcome: None };
        machine.turn();
        machine
    }

    /// Receives the server's bytes, in pieces of `piece` bytes.
    pub(crate) fn receive(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece) {
            if self.outcome.is_none() {
                self.inbox.extend(piece);
                self.turn();
            }
        }
    }

    /// Takes steps until the state machine waits for bytes or has ended. Fails if more than four steps are necessary.
    fn turn(&mut self) {
        for _ in 0..4 {
            match self.handshake.step(&mut self.inbox, &mut self.outbox) {
                Ok(Step::Read) => return,
                Ok(Step::Derive(job)) => {
                    self.derivations += 1;
                    self.handshake.derived(&job.run(), &mut self.outbox);
                }
                Ok(Step::Ready(session)) => return self.outcome = Some(Ok(session)),
                Ok(other) => unreachable!("unexpected step: {other:?}"),
                Err(error) => return self.outcome = Some(Err(error)),
            }
        }
        unreachable!("{self:?} neither waits nor ends");
    }

    /// Returns the bytes that the client has sent since the last call of this method.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        self.outbox.commit().expect("the message can be encoded");
        let sent = self.outbox.pending().to_vec();
        self.outbox.sent(sent.len());
        sent
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }
}

/// A conversation, written as a chain of calls: `client(…)` checks the exact bytes that the client has sent, `server(…)` sends a message to
/// the client. Two state machines run the conversation: the first receives whole messages, the second single bytes. Both machines must
/// behave in the same way, and must not print a secret.
pub(crate) struct Talk<'c> {
    whole: Machine<'c>,
    bytewise: Machine<'c>,
    secrets: Vec<Vec<u8>>,
    lines: Vec<String>,
}

impl<'c> Talk<'c> {
    pub(crate) fn new(config: &'c Config, link: Link) -> Self {
        Self::with(config, link, |handshake| handshake)
    }

    /// Creates a conversation as [`new`](Self::new) does, and calls `set_up` on the state machines before their first step.
    pub(crate) fn with(
        config: &'c Config,
        link: Link,
        set_up: impl Fn(Handshake<'c>) -> Handshake<'c>,
    ) -> Self {
        let handshake = Handshake::new(config, link).expect("a valid configuration");
        let handshake = set_up(handshake.nonce(nonce(CLIENT_NONCE)));
        let again = Handshake::new(config, link).expect("a valid configuration");
        let again = set_up(again.nonce(nonce(CLIENT_NONCE)));
        let password = config.password.iter().map(|password| password.as_bytes().to_vec());
        Self {
            whole: Machine::new(handshake),
            bytewise: Machine::new(again),
            secrets: password.filter(|password| !password.is_empty()).collect(),
            lines: Vec::new(),
        }
    }

    /// Returns the bytes that the client has sent since the last call of this method.
    #[track_caller]
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        let sent = self.whole.sent();
        assert_eq!(self.bytewise.sent(), sent, "single bytes lead to another answer");
        sent
    }

    #[track_caller]
    pub(crate) fn client_bytes(mut self, expected: &[u8]) -> Self {
        let sent = self.sent();
        assert_eq!(sent.escape_ascii().to_string(), expected.escape_ascii().to_string());
        self.check();
        self
    }

    #[track_caller]
    pub(crate) fn client(mut self, message: &impl Message) -> Self {
        self.lines.push(message.trace(Direction::Frontend).to_string());
        self.client_bytes(&encoded(message))
    }

    /// Checks that the client has sent this SASLInitialResponse.
    #[track_caller]
    pub(crate) fn client_begins(mut self, mechanism: &str, data: &str) -> Self {
        self.secrets.push(data.as_bytes().to_vec());
        self.secrets.extend(data.split_once("n=").map(|(_, bare)| bare.as_bytes().to_vec()));
        self.client(&SaslInitialResponse { mechanism: mechanism.into(), data: Some(Secret(data.as_bytes())) })
    }

    /// Checks that the client has sent this SASLResponse.
    #[track_caller]
    pub(crate) fn client_goes_on(mut self, data: &str) -> Self {
        self.secrets.push(data.as_bytes().to_vec());
        self.client(&SaslResponse { data: Secret(data.as_bytes()) })
    }

    /// Checks that the client has sent this PasswordMessage.
    #[track_caller]
    pub(crate) fn client_password(mut self, password: &str) -> Self {
        self.secrets.push(password.as_bytes().to_vec());
        self.client(&PasswordMessage { password: SecretText(password.into()) })
    }

    #[track_caller]
    pub(crate) fn server_bytes(mut self, bytes: &[u8]) -> Self {
        assert!(self.whole.outcome.is_none(), "it is over: {:?}", self.whole.outcome);
        self.whole.receive(bytes, usize::MAX);
        self.bytewise.receive(bytes, 1);
        self.check();
        self
    }

    #[track_caller]
    pub(crate) fn server(mut self, message: &impl Message) -> Self {
        let bytes = encoded(message);
        self.lines.push(message.trace(Direction::Backend).to_string());
        self.secrets.extend(secret(&bytes));
        self.server_bytes(&bytes)
    }

    /// Runs the SCRAM exchange with a server that has this verifier, up to the server's last message (AuthenticationSASLFinal).
    #[track_caller]
    pub(crate) fn server_proves(mut self, verifier: Verifier, offered: OfferedBinding) -> Self {
        let body = self.sent();
        let first =
            SaslInitialResponse::decode(&body[5..]).expect("the client begins").data.expect("with data");
        let server = ServerFirst::new(verifier, nonce(SERVER_NONCE), offered);
        let challenge = server.client_first(first.0).expect("a valid client-first-message");
        self = self.server(&Authentication::SaslContinue(Secret(challenge.message())));
        let body = self.sent();
        let accepted = challenge.client_final(&body[5..]).expect("the client knows the password");
        self.server(&Authentication::SaslFinal(Secret(accepted.message())))
    }

    /// Checks that both state machines are in the same state and print no secret.
    #[track_caller]
    fn check(&self) {
        let same = |machine: &Machine<'_>| format!("{:?} {:?}", machine.handshake, machine.outcome);
        assert_eq!(same(&self.whole), same(&self.bytewise), "single bytes lead to another state");
        assert_eq!(self.whole.derivations, self.bytewise.derivations);
        let mut shown = format!("{:?}", self.whole);
        if let Some(Err(error)) = &self.whole.outcome {
            shown.push_str(&error.to_string());
        }
        for secret in &self.secrets {
            assert!(!shows(&shown, secret), "{:?} is shown in {shown}", secret.escape_ascii().to_string());
        }
    }

    /// Returns the session. Checks that the client has sent nothing since the last check.
    #[track_caller]
    pub(crate) fn session(mut self) -> Session {
        assert_eq!(self.sent(), b"");
        self.whole.outcome.expect("the conversation has ended").expect("a session")
    }

    /// Sends AuthenticationOk and the messages up to ReadyForQuery. Checks the method of the session, and returns the session.
    #[track_caller]
    pub(crate) fn lets_in(self, method: AuthMethod) -> Session {
        let session = self.server(&Authentication::Ok).server(&KEY).server(&READY).session();
        assert_eq!(session.auth_method, method);
        session
    }

    /// Checks that the conversation ends with this error, and that the client has sent nothing after the message that caused the error.
    #[track_caller]
    pub(crate) fn refused(mut self, expected: impl Into<AuthError>) {
        assert_eq!(self.sent().escape_ascii().to_string(), "");
        let outcome = self.whole.outcome.map(|outcome| outcome.map(|_| "a session"));
        assert_eq!(outcome, Some(Err(expected.into())));
    }

    /// Checks that the conversation ends with an error with this text.
    #[track_caller]
    pub(crate) fn fails(mut self, expected: &str) {
        assert_eq!(self.sent().escape_ascii().to_string(), "");
        let error = self.whole.outcome.expect("the conversation has ended").expect_err("an error");
        assert_eq!(error.to_string(), expected);
    }

    /// Returns the capacity of the inbox of `whole`, the state machine that receives whole messages.
    pub(crate) fn inbox_capacity(&self) -> usize {
        self.whole.inbox.capacity()
    }

    pub(crate) fn derivations(&self) -> usize {
        self.whole.derivations
    }

    /// The conversation as trace lines. Leaves out the messages that the test passed as bytes.
    pub(crate) fn trace(&self) -> String {
        self.lines.join("\n")
    }
}

/// Returns the secret in a message of the server, if the message contains a secret.
fn secret(message: &[u8]) -> Option<Vec<u8>> {
    let frame = Frame { code: MessageCode(message[0]), body: &message[5..] };
    match frame.backend() {
        Ok(Backend::Authentication(Authentication::SaslContinue(data) | Authentication::SaslFinal(data))) => {
            Some(data.0.to_vec())
        }
        Ok(Backend::BackendKeyData(data)) => Some(data.key.0.to_vec()),
        _ => None,
    }
    .filter(|secret| !secret.is_empty())
}

/// Whether a text contains these bytes: unchanged, escaped, or as decimal or hexadecimal digits.
pub(crate) fn shows(text: &str, secret: &[u8]) -> bool {
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    [String::from_utf8_lossy(secret).into_owned(), secret.escape_ascii().to_string(), decimal.join(", "), hex]
        .iter()
        .any(|form| text.contains(form.as_str()))
}

impl Talk<'_> {
    /// The error with which the conversation ended.
    #[track_caller]
    pub(crate) fn error(self) -> AuthError {
        self.whole.outcome.expect("the conversation has ended").expect_err("an error")
    }

    /// Checks that the conversation ends because this message is malformed.
    #[track_caller]
    pub(crate) fn refused_as_malformed(self, message: &str) {
        match self.error() {
            AuthError::Wire(WireError::Decode(error)) => assert_eq!(error.message, message),
            error => assert_eq!(error.to_string(), format!("malformed {message}")),
        }
    }
}
