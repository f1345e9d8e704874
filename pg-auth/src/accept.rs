//! The server's connection phase, from the first packet to the first ReadyForQuery.

use std::mem;

use pg_wire::backend::{
    Authentication, BackendKeyData, ErrorField, ErrorResponse, NegotiateProtocolVersion, ParameterStatus,
    ReadyForQuery,
};
use pg_wire::frontend::{
    AuthenticationResponse, Initial, PasswordMessage, ProtocolVersion, SaslInitialResponse, SaslResponse,
    StartupMessage,
};
use pg_wire::{
    Decode, Frame, Inbox, List, Message, MessageCode, Outbox, Secret, SqlState, Terminated, Text,
    TransactionStatus,
};

use crate::error::{AuthError, PeerError};
use crate::md5;
use crate::scram::{
    self, Derivation, Nonce, OfferedBinding, SCRAM_SHA_256, SaltedPassword, ScramKeys, ServerChallenge,
    ServerFirst, Verifier,
};
use crate::secret::Password;
use crate::session::CancelKey;

/// Longest first packet in bytes, its length field included, as PostgreSQL has it (`MAX_STARTUP_PACKET_LENGTH`).
const LONGEST_PACKET: usize = 10_000;

/// The newest version that is spoken; a client that asks for a newer one is told so.
const NEWEST: ProtocolVersion = ProtocolVersion::V3_2;

/// The first byte of a TLS ClientHello: a record of type "handshake". As the first byte of a length it would announce
/// 369 MB, so nothing else begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The server's connection phase as a machine: it decides, and never waits.
///
/// Hand it the two buffers of a connection with each [`step`](Self::step), send what it has put into the one, and do what it
/// asks for. When it fails, what it has put there is the answer that PostgreSQL would give, if any: send it, then close.
/// [`accept`](crate::connect::accept) is that loop.
///
/// It answers as PostgreSQL 18 does: SSLRequest and GSSENCRequest are declined, each once (TLS has its place here and is not
/// in yet); a version newer than 3.2 and unknown `_pq_.` options are negotiated. Until the user is in, nothing longer than
/// 10,000 bytes is taken. How long all of it may take is the caller's to say.
///
/// ```text
///   FirstPacket ─▶ Asked ──authenticate──▶ AwaitPassword ─▶ (Checking) ─▶ In
///        │                       └───────▶ ScramFirst ─▶ ScramFinal ────▶ In
///        └──▶ Cancel
/// ```
///
/// [The flow](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP)
#[derive(Debug)]
pub struct Accept {
    state: State,
    ssl_declined: bool,
    gss_declined: bool,
    nonce: Option<Nonce>,
    startup: Option<Startup>,
    keys: Option<ScramKeys>,
}

/// What has to be done before the next step. What the last one put into the outbox has to be sent first.
#[derive(Debug)]
pub enum AcceptStep<'a> {
    /// Read more into the inbox.
    Read,
    /// Say, with [`Accept::authenticate`], how the user of this start-up message is to be authenticated.
    Authenticate(&'a Startup),
    /// Run this, which takes milliseconds of pure computing, and hand the result to [`Accept::derived`].
    Derive(Derivation),
    /// The user is in: AuthenticationOk is on its way. Tell the rest with [`welcome`].
    Accepted(Login),
    /// The client wants another session's statement given up. There is no answer: do it, or not, and close.
    Cancel(CancelKey),
}

/// How a user is authenticated.
#[derive(Debug)]
pub enum Credentials {
    /// Not at all.
    Trust,
    /// By the password in clear, checked against what is stored. Refuse this where others may listen.
    Cleartext(Stored),
    /// By the password, hashed with MD5.
    Md5(md5::Stored),
    /// By SCRAM-SHA-256.
    Scram(Verifier),
    /// Not at all, with the words of PostgreSQL for a user whom no line of `pg_hba.conf` lets in.
    Reject,
}

impl Credentials {
    /// For a user who does not exist: a SCRAM exchange that is like any other and fails at its end.
    ///
    /// `secret` is random, made once and kept: the same user then has the same salt each time.
    pub fn unknown(secret: &[u8], user: &[u8]) -> Self {
        Self::Scram(Verifier::mock(secret, user, scram::DEFAULT_ITERATIONS))
    }
}

/// A password as a server may store it.
#[derive(Debug)]
pub enum Stored {
    /// As it is.
    Plain(Password),
    /// Hashed with MD5.
    Md5(md5::Stored),
    /// As a SCRAM verifier. To check a password against it takes a derivation.
    Scram(Verifier),
}

/// A start-up message, kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Startup {
    body: Vec<u8>,
    version: ProtocolVersion,
}

/// A user who is in.
#[derive(Debug)]
pub struct Login {
    /// What the client began with.
    pub startup: Startup,
    /// After SCRAM: what it takes to log in as this user at any server that stores the same verifier.
    pub keys: Option<ScramKeys>,
}

#[derive(Debug)]
enum State {
    FirstPacket,
    /// The start-up message is there; how to authenticate is not.
    Asked,
    /// A password was asked for.
    AwaitPassword(PasswordCheck),
    /// A password in clear came, and what it comes to is being derived.
    Checking(Verifier, Password),
    /// It was derived, and is right or wrong.
    Checked(bool),
    /// The mechanisms are out; the client's choice comes next.
    ScramFirst(ServerFirst, Choice),
    /// The challenge is out; the client's proof comes next.
    ScramFinal(ServerChallenge),
    /// AuthenticationOk is out.
    In,
    /// Over: the login has been handed out, or an error has.
    Over,
}

#[derive(Debug)]
enum PasswordCheck {
    Clear(Stored),
    Md5(md5::Stored, [u8; 4]),
}

/// Whether the client has named its mechanism.
#[derive(Debug)]
enum Choice {
    Open,
    /// Made, without a first message: that comes by itself.
    Made,
}

impl Startup {
    /// The message. Its version is the one asked for.
    pub fn message(&self) -> StartupMessage<'_> {
        // The body has been decoded once.
        StartupMessage::decode(&self.body)
            .unwrap_or(StartupMessage { version: self.version, parameters: Terminated::EMPTY })
    }

    /// The version that is spoken, after negotiation.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The role to log in as; never empty.
    pub fn user(&self) -> Text<'_> {
        self.message().get("user").unwrap_or_default()
    }

    /// The database; the one of the user's name unless another is given.
    pub fn database(&self) -> Text<'_> {
        self.message().get("database").filter(|name| !name.is_empty()).unwrap_or(self.user())
    }
}

impl std::fmt::Debug for Startup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message().fmt(f)
    }
}

impl Default for Accept {
    fn default() -> Self {
        Self::new()
    }
}

impl Accept {
    /// A connection phase that has not begun.
    pub fn new() -> Self {
        Self {
            state: State::FirstPacket,
            ssl_declined: false,
            gss_declined: false,
            nonce: None,
            startup: None,
            keys: None,
        }
    }

    /// A connection phase over TLS, in which no request for encryption is taken any more.
    pub fn over_tls(_: crate::link::TlsInfo, _: Option<Vec<u8>>) -> Self {
        Self { ssl_declined: true, gss_declined: true, ..Self::new() }
    }

    /// Uses this nonce, and for MD5 a salt from its beginning, instead of asking the operating system. It may never be used
    /// again.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }

    /// What the client began with, once it has.
    pub fn startup(&self) -> Option<&Startup> {
        self.startup.as_ref()
    }

    /// Goes on as far as what is in the inbox allows.
    ///
    /// # Errors
    /// Why there will be no session. The answer to the client, if there is one, is in the outbox.
    pub fn step(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) -> Result<AcceptStep<'_>, AuthError> {
        loop {
            self.state = match mem::replace(&mut self.state, State::Over) {
                State::FirstPacket => {
                    if inbox.peek().first() == Some(&TLS_HANDSHAKE) {
                        return Err(PeerError::DirectTls.into());
                    }
                    let Some(body) = inbox.next_packet(LONGEST_PACKET)? else {
                        self.state = State::FirstPacket;
                        return Ok(AcceptStep::Read);
                    };
                    match self.first_packet(body, outbox)? {
                        Some(cancel) => return Ok(AcceptStep::Cancel(cancel)),
                        None if self.startup.is_some() => State::Asked,
                        None => State::FirstPacket,
                    }
                }
                State::Asked => {
                    self.state = State::Asked;
                    // It is there since the first packet.
                    return self.startup.as_ref().map(AcceptStep::Authenticate).ok_or(AuthError::Denied);
                }
                State::Checking(verifier, password) => {
                    let job = verifier.derivation(&password);
                    self.state = State::Checking(verifier, password);
                    return Ok(AcceptStep::Derive(job));
                }
                State::Checked(true) => self.let_in(outbox),
                State::Checked(false) => {
                    self.refuse(&AuthError::Denied, outbox);
                    return Err(AuthError::Denied);
                }
                State::In => {
                    let Some(startup) = self.startup.take() else { return Err(AuthError::Denied) };
                    return Ok(AcceptStep::Accepted(Login { startup, keys: self.keys.take() }));
                }
                state => match inbox.next()? {
                    None => {
                        self.state = state;
                        return Ok(AcceptStep::Read);
                    }
                    Some(frame) => match self.answer(state, frame, outbox) {
                        Ok(next) => next,
                        Err(error) => {
                            self.refuse(&error, outbox);
                            return Err(error);
                        }
                    },
                },
            };
        }
    }

    /// Says how the user of the start-up message is to be authenticated, and asks the client for it.
    ///
    /// # Errors
    /// When the user is rejected, or the operating system gives no random bytes. The answer to the client is in the outbox.
    pub fn authenticate(
        &mut self,
        credentials: Credentials,
        inbox: &mut Inbox,
        outbox: &mut Outbox,
    ) -> Result<(), AuthError> {
        if !matches!(self.state, State::Asked) {
            return Ok(());
        }
        inbox.set_limits(inbox.limits().before_authentication());
        self.state = State::Over;
        self.state = match credentials {
            Credentials::Trust => self.let_in(outbox),
            Credentials::Cleartext(stored) => {
                outbox.put(&Authentication::CleartextPassword);
                State::AwaitPassword(PasswordCheck::Clear(stored))
            }
            Credentials::Md5(stored) => {
                let salt = *self.take_nonce()?.as_str().as_bytes().first_chunk().ok_or(AuthError::Entropy)?;
                outbox.put(&Authentication::Md5Password { salt });
                State::AwaitPassword(PasswordCheck::Md5(stored, salt))
            }
            Credentials::Scram(verifier) => {
                outbox.put(&Authentication::Sasl(Terminated::from(&[SCRAM_SHA_256.into()])));
                let first = ServerFirst::new(verifier, self.take_nonce()?, OfferedBinding::NotOffered);
                State::ScramFirst(first, Choice::Open)
            }
            Credentials::Reject => {
                let user = self.user_lossy();
                let message = format!("no pg_hba.conf entry for user \"{user}\"");
                fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, &message, outbox);
                return Err(AuthError::Denied);
            }
        };
        Ok(())
    }

    /// Takes the result of the job that an [`AcceptStep::Derive`] has handed out. What it comes to is told by the next step.
    pub fn derived(&mut self, salted: &SaltedPassword) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Checking(verifier, _) => State::Checked(verifier.matches(salted)),
            // Nobody has asked for it.
            state => state,
        };
    }

    /// Reads a packet of the time before there are codes: a start-up message is kept, a request for encryption declined.
    fn first_packet(&mut self, body: &[u8], outbox: &mut Outbox) -> Result<Option<CancelKey>, AuthError> {
        let version = body.first_chunk().map(|code| ProtocolVersion(u32::from_be_bytes(*code)));
        // A second request of a kind is no request, but a version that nobody speaks.
        let (ssl, gss) = (!self.ssl_declined, !self.gss_declined);
        match Initial::decode(body) {
            Ok(Initial::Ssl(_)) if ssl => {
                self.ssl_declined = true;
                outbox.put_raw(b"N");
                return Ok(None);
            }
            Ok(Initial::GssEnc(_)) if gss => {
                self.gss_declined = true;
                outbox.put_raw(b"N");
                return Ok(None);
            }
            Ok(Initial::Cancel(cancel)) => return Ok(Some(CancelKey::new(cancel.pid, cancel.key.0))),
            Ok(Initial::Startup(startup)) if startup.version.major() == NEWEST.major() => {
                self.begin(startup, body, outbox)?;
                return Ok(None);
            }
            Err(error) if version.is_some_and(|version| version.major() == NEWEST.major()) => {
                let message = "invalid startup packet layout: expected terminator as last byte";
                fatal(SqlState::PROTOCOL_VIOLATION, message, outbox);
                return Err(error.into());
            }
            // Not even a version, or a malformed request: PostgreSQL closes without a word.
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let version = version.unwrap_or(NEWEST);
        let message = format!("unsupported frontend protocol {version}: server supports 3.0 to {NEWEST}");
        fatal(SqlState::FEATURE_NOT_SUPPORTED, &message, outbox);
        Err(PeerError::UnsupportedVersion(version).into())
    }

    /// Keeps the start-up message, and negotiates what in it is too new.
    fn begin(
        &mut self,
        startup: StartupMessage<'_>,
        body: &[u8],
        outbox: &mut Outbox,
    ) -> Result<(), AuthError> {
        let version = startup.version.min(NEWEST);
        let unknown: Vec<Text<'_>> = startup
            .parameters
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.as_bytes().starts_with(b"_pq_."))
            .collect();
        if version < startup.version || !unknown.is_empty() {
            outbox.put(&NegotiateProtocolVersion { version, unrecognized: List::from(&unknown[..]) });
        }
        let startup = Startup { body: body.to_vec(), version };
        if startup.user().is_empty() {
            let message = "no PostgreSQL user name specified in startup packet";
            fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message, outbox);
            return Err(PeerError::NoUser.into());
        }
        self.startup = Some(startup);
        Ok(())
    }

    /// Every way from one state to another that a message of the client opens.
    fn answer(&mut self, state: State, frame: Frame<'_>, outbox: &mut Outbox) -> Result<State, AuthError> {
        if frame.code != MessageCode::AUTHENTICATION_RESPONSE {
            let message = frame.frontend().map_or("a malformed message", |message| message.name());
            return Err(PeerError::Unexpected {
                message,
                expected: "an answer to the request for authentication",
            }
            .into());
        }
        let response = frame.decode::<AuthenticationResponse<'_>>()?;
        Ok(match state {
            State::AwaitPassword(check) => {
                let password = response.decode_as::<PasswordMessage<'_>>()?.password.0.as_bytes();
                let user = self.startup.as_ref().map_or(&b""[..], |startup| startup.user().as_bytes());
                let right = match check {
                    PasswordCheck::Clear(Stored::Plain(stored)) => !stored.is_empty() && stored == *password,
                    PasswordCheck::Clear(Stored::Md5(stored)) => {
                        stored.matches(user, &Password::from(password))
                    }
                    PasswordCheck::Clear(Stored::Scram(verifier)) => {
                        return Ok(State::Checking(verifier, Password::from(password)));
                    }
                    PasswordCheck::Md5(stored, salt) => stored.accepts(password, salt),
                };
                if right { self.let_in(outbox) } else { return Err(AuthError::Denied) }
            }
            State::ScramFirst(first, Choice::Open) => {
                let response = response.decode_as::<SaslInitialResponse<'_>>()?;
                if response.mechanism != SCRAM_SHA_256 {
                    return Err(PeerError::NoMechanism.into());
                }
                match response.data {
                    Some(data) => challenge(first, data, outbox)?,
                    None => {
                        outbox.put(&Authentication::SaslContinue(Secret(b"")));
                        State::ScramFirst(first, Choice::Made)
                    }
                }
            }
            State::ScramFirst(first, Choice::Made) => {
                challenge(first, response.decode_as::<SaslResponse<'_>>()?.data, outbox)?
            }
            State::ScramFinal(challenge) => {
                let proof = response.decode_as::<SaslResponse<'_>>()?.data;
                let accepted = challenge.client_final(proof.0)?;
                outbox.put(&Authentication::SaslFinal(Secret(accepted.message())));
                self.keys = Some(accepted.keys());
                self.let_in(outbox)
            }
            state => state,
        })
    }

    fn let_in(&self, outbox: &mut Outbox) -> State {
        outbox.put(&Authentication::Ok);
        State::In
    }

    /// Tells the client why, in PostgreSQL's words.
    fn refuse(&self, error: &AuthError, outbox: &mut Outbox) {
        let user = self.user_lossy();
        match error {
            AuthError::Denied => {
                let message = format!("password authentication failed for user \"{user}\"");
                fatal(SqlState::INVALID_PASSWORD, &message, outbox);
            }
            AuthError::Peer(PeerError::Unexpected { .. }) => {
                fatal(SqlState::PROTOCOL_VIOLATION, "expected password response", outbox);
            }
            AuthError::Peer(PeerError::NoMechanism) => {
                let message = "client selected an invalid SASL authentication mechanism";
                fatal(SqlState::PROTOCOL_VIOLATION, message, outbox);
            }
            AuthError::Peer(_) => fatal(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message", outbox),
            _ => fatal(SqlState::PROTOCOL_VIOLATION, "invalid message format", outbox),
        }
    }

    fn user_lossy(&self) -> String {
        self.startup.as_ref().map(|startup| startup.user().to_string()).unwrap_or_default()
    }

    fn take_nonce(&mut self) -> Result<Nonce, AuthError> {
        match self.nonce.take() {
            Some(nonce) => Ok(nonce),
            None => Nonce::fresh(),
        }
    }
}

fn challenge(first: ServerFirst, data: Secret<'_>, outbox: &mut Outbox) -> Result<State, AuthError> {
    let challenge = first.client_first(data.0)?;
    outbox.put(&Authentication::SaslContinue(Secret(challenge.message())));
    Ok(State::ScramFinal(challenge))
}

/// Tells a client what a session begins with: parameters, the key for cancel requests if there is one, and ReadyForQuery.
/// Flush afterwards.
///
/// Clients expect `server_version`, `client_encoding`, `DateStyle`, `standard_conforming_strings` and some others.
pub fn welcome<'p>(
    parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    cancel_key: Option<&CancelKey>,
    outbox: &mut Outbox,
) {
    for (name, value) in parameters {
        outbox.put(&ParameterStatus { name: name.into(), value: value.into() });
    }
    if let Some(key) = cancel_key {
        let request = key.request();
        outbox.put(&BackendKeyData { pid: request.pid, key: request.key });
    }
    outbox.put(&ReadyForQuery { status: TransactionStatus::Idle });
}

/// Puts an ErrorResponse of severity FATAL. Flush and close afterwards.
pub fn fatal(state: SqlState, message: &str, outbox: &mut Outbox) {
    let field = |code, value| ErrorField { code, value: Text::from(value) };
    // A user name may hold whatever a client likes, but no NUL: it came as a string.
    let fields =
        [field(b'S', "FATAL"), field(b'V', "FATAL"), field(b'C', state.as_str()), field(b'M', message)];
    outbox.put(&ErrorResponse { fields: (&fields).into() });
}
