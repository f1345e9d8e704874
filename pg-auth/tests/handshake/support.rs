//! Conversations with the machine, without a runtime.

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

/// A user without a password.
pub(crate) fn user() -> Config {
    Config::new("user")
}

/// A user with [`PASSWORD`].
pub(crate) fn with_password() -> Config {
    user().password(PASSWORD)
}

/// A verifier of [`PASSWORD`] that costs nothing to derive.
pub(crate) fn verifier() -> Verifier {
    let stored = Verifier::new(&PASSWORD.into(), b"sixteen bytes...".to_vec(), std::num::NonZeroU32::MIN);
    stored.to_string().parse().expect("it was just written")
}

pub(crate) fn nonce(text: &str) -> Nonce {
    text.parse().expect("it is printable")
}

pub(crate) fn parameter(name: &'static str, value: &'static str) -> ParameterStatus<'static> {
    ParameterStatus { name: name.into(), value: value.into() }
}

pub(crate) fn encoded(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("it can be sent");
    bytes
}

/// AuthenticationSASL with these mechanisms.
pub(crate) fn sasl(mechanisms: &[&'static str]) -> Vec<u8> {
    let mechanisms: Vec<Text<'_>> = mechanisms.iter().map(|&name| name.into()).collect();
    encoded(&Authentication::Sasl(Terminated::from(&mechanisms[..])))
}

pub(crate) fn unexpected(message: &'static str, expected: &'static str) -> PeerError {
    PeerError::Unexpected { message, expected }
}

/// One machine with its buffers.
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

    /// Takes in what the server says, so many bytes at a time.
    pub(crate) fn hear(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece) {
            if self.outcome.is_none() {
                self.inbox.extend(piece);
                self.turn();
            }
        }
    }

    /// Goes as far as it goes. It never takes many steps: it waits, or is at its end.
    fn turn(&mut self) {
        for _ in 0..4 {
            match self.handshake.step(&mut self.inbox, &mut self.outbox) {
                Ok(Step::Read) => return,
                Ok(Step::Derive(job)) => {
                    self.derivations += 1;
                    self.handshake.derived(&job.run(), &mut self.outbox);
                }
                Ok(Step::Ready(session)) => return self.outcome = Some(Ok(session)),
                Ok(other) => unreachable!("nobody asked for {other:?}"),
                Err(error) => return self.outcome = Some(Err(error)),
            }
        }
        unreachable!("{self:?} goes round in circles");
    }

    /// What it has said since it was last asked.
    pub(crate) fn said(&mut self) -> Vec<u8> {
        self.outbox.commit().expect("it can be sent");
        let said = self.outbox.pending().to_vec();
        self.outbox.sent(said.len());
        said
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.outcome, Some(Ok(_)))
    }
}

/// A conversation, to be read from top to bottom: `client(…)` is what the machine must have said to the last byte, `server(…)`
/// what it is told. It is held twice, with messages that arrive whole and with bytes that arrive one by one, and both times it
/// must be the same; and at no point may the machine print a secret of what was said.
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

    /// With a machine that is set up further.
    pub(crate) fn with(
        config: &'c Config,
        link: Link,
        set_up: impl Fn(Handshake<'c>) -> Handshake<'c>,
    ) -> Self {
        let handshake = Handshake::new(config, link).expect("nothing speaks against it");
        let handshake = set_up(handshake.nonce(nonce(CLIENT_NONCE)));
        let again = Handshake::new(config, link).expect("nothing speaks against it");
        let again = set_up(again.nonce(nonce(CLIENT_NONCE)));
        let password = config.password.iter().map(|password| password.as_bytes().to_vec());
        Self {
            whole: Machine::new(handshake),
            bytewise: Machine::new(again),
            secrets: password.filter(|password| !password.is_empty()).collect(),
            lines: Vec::new(),
        }
    }

    /// What the client has said since it was last asked.
    #[track_caller]
    pub(crate) fn said(&mut self) -> Vec<u8> {
        let said = self.whole.said();
        assert_eq!(self.bytewise.said(), said, "bytes that come one by one are answered otherwise");
        said
    }

    #[track_caller]
    pub(crate) fn client_bytes(mut self, expected: &[u8]) -> Self {
        let said = self.said();
        assert_eq!(said.escape_ascii().to_string(), expected.escape_ascii().to_string());
        self.check();
        self
    }

    #[track_caller]
    pub(crate) fn client(mut self, message: &impl Message) -> Self {
        self.lines.push(message.trace(Direction::Frontend).to_string());
        self.client_bytes(&encoded(message))
    }

    /// SASLInitialResponse.
    #[track_caller]
    pub(crate) fn client_begins(mut self, mechanism: &str, data: &str) -> Self {
        self.secrets.push(data.as_bytes().to_vec());
        self.secrets.extend(data.split_once("n=").map(|(_, bare)| bare.as_bytes().to_vec()));
        self.client(&SaslInitialResponse { mechanism: mechanism.into(), data: Some(Secret(data.as_bytes())) })
    }

    /// SASLResponse.
    #[track_caller]
    pub(crate) fn client_goes_on(mut self, data: &str) -> Self {
        self.secrets.push(data.as_bytes().to_vec());
        self.client(&SaslResponse { data: Secret(data.as_bytes()) })
    }

    /// PasswordMessage.
    #[track_caller]
    pub(crate) fn client_password(mut self, password: &str) -> Self {
        self.secrets.push(password.as_bytes().to_vec());
        self.client(&PasswordMessage { password: SecretText(password.into()) })
    }

    #[track_caller]
    pub(crate) fn server_bytes(mut self, bytes: &[u8]) -> Self {
        assert!(self.whole.outcome.is_none(), "it is over: {:?}", self.whole.outcome);
        self.whole.hear(bytes, usize::MAX);
        self.bytewise.hear(bytes, 1);
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

    /// The SCRAM exchange with a server that knows this verifier, up to and without AuthenticationOk.
    #[track_caller]
    pub(crate) fn server_proves(mut self, verifier: Verifier, offered: OfferedBinding) -> Self {
        let body = self.said();
        let first =
            SaslInitialResponse::decode(&body[5..]).expect("the client begins").data.expect("with data");
        let server = ServerFirst::new(verifier, nonce(SERVER_NONCE), offered);
        let challenge = server.client_first(first.0).expect("the client speaks SCRAM");
        self = self.server(&Authentication::SaslContinue(Secret(challenge.message())));
        let body = self.said();
        let accepted = challenge.client_final(&body[5..]).expect("the client knows the password");
        self.server(&Authentication::SaslFinal(Secret(accepted.message())))
    }

    /// Both machines are where they should be, and print nothing that they should not.
    #[track_caller]
    fn check(&self) {
        let same = |machine: &Machine<'_>| format!("{:?} {:?}", machine.handshake, machine.outcome);
        assert_eq!(same(&self.whole), same(&self.bytewise), "bytes that come one by one lead elsewhere");
        assert_eq!(self.whole.derivations, self.bytewise.derivations);
        let mut shown = format!("{:?}", self.whole);
        if let Some(Err(error)) = &self.whole.outcome {
            shown.push_str(&error.to_string());
        }
        for secret in &self.secrets {
            assert!(!shows(&shown, secret), "{:?} is shown in {shown}", secret.escape_ascii().to_string());
        }
    }

    /// The session that it led to. The machine has nothing more to say.
    #[track_caller]
    pub(crate) fn session(mut self) -> Session {
        assert_eq!(self.said(), b"");
        self.whole.outcome.expect("it is over").expect("all went well")
    }

    /// The session, authenticated in this way, after AuthenticationOk and what comes behind it.
    #[track_caller]
    pub(crate) fn lets_in(self, method: AuthMethod) -> Session {
        let session = self.server(&Authentication::Ok).server(&KEY).server(&READY).session();
        assert_eq!(session.auth_method, method);
        session
    }

    /// It ends with this error, and nothing was said in answer to what caused it.
    #[track_caller]
    pub(crate) fn refused(mut self, expected: impl Into<AuthError>) {
        assert_eq!(self.said().escape_ascii().to_string(), "");
        let outcome = self.whole.outcome.map(|outcome| outcome.map(|_| "a session"));
        assert_eq!(outcome, Some(Err(expected.into())));
    }

    /// It ends with an error that reads like this.
    #[track_caller]
    pub(crate) fn fails(mut self, expected: &str) {
        assert_eq!(self.said().escape_ascii().to_string(), "");
        let error = self.whole.outcome.expect("it is over").expect_err("all went well");
        assert_eq!(error.to_string(), expected);
    }

    /// How much memory the inbox of the machine that hears whole messages has taken.
    pub(crate) fn inbox_capacity(&self) -> usize {
        self.whole.inbox.capacity()
    }

    pub(crate) fn derivations(&self) -> usize {
        self.whole.derivations
    }

    /// All of it as lines of a trace; bytes given as bytes are not in it.
    pub(crate) fn trace(&self) -> String {
        self.lines.join("\n")
    }
}

/// What must not be printed of a message of the server.
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

/// Whether a text shows these bytes: as they are, escaped, in decimal or in hexadecimal digits.
pub(crate) fn shows(text: &str, secret: &[u8]) -> bool {
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    [String::from_utf8_lossy(secret).into_owned(), secret.escape_ascii().to_string(), decimal.join(", "), hex]
        .iter()
        .any(|form| text.contains(form.as_str()))
}

impl Talk<'_> {
    /// The error that it ended with.
    #[track_caller]
    pub(crate) fn error(self) -> AuthError {
        self.whole.outcome.expect("it is over").expect_err("all went well")
    }

    /// It ends because this message is malformed.
    #[track_caller]
    pub(crate) fn refused_as_malformed(self, message: &str) {
        match self.error() {
            AuthError::Wire(WireError::Decode(error)) => assert_eq!(error.message, message),
            error => assert_eq!(error.to_string(), format!("malformed {message}")),
        }
    }
}
