//! The server's connection phase, from the first packet to the first ReadyForQuery.

mod credentials;
mod first;
mod refuse;

use std::mem;

use pg_wire::backend::{Authentication, BackendKeyData, ParameterStatus, ReadyForQuery};
use pg_wire::frontend::{
    AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse,
};
use pg_wire::{
    Frame, Inbox, Limits, Message, MessageCode, Outbox, Secret, Terminated, Text, TransactionStatus,
};

pub use credentials::{CertificateUser, Credentials, Stored};
pub use first::Startup;
pub use refuse::fatal;

use crate::certificate::server_end_point;
use crate::config::AuthMethod;
use crate::error::{AuthError, ClientError, PluginError};
use crate::gss::{GssContext, GssJob, GssOutput, GssStepped, Principals};
use crate::link::TlsInfo;
use crate::md5;
use crate::oauth::{self, OAUTHBEARER, OAuthFault, OAuthLogin, OAuthOffer, TokenCheck};
use crate::scram::{
    Derivation, Nonce, OfferedBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, SaltedPassword, ScramKeys,
    ServerChallenge, ServerFirst, Verifier,
};
use crate::secret::Password;
use crate::session::CancelKey;

/// Longest message of a client that answers with a password, in bytes.
const LONGEST_PASSWORD: usize = 30_000;

/// Longest SCRAM message, in bytes, as PostgreSQL has it.
const LONGEST_SCRAM: usize = 1024;

/// Longest message with a bearer token or one of GSSAPI, in bytes, as PostgreSQL has it.
const LONGEST_TOKEN: usize = 65_535;

/// Most tokens of a client in one GSSAPI exchange. Kerberos takes one, NTLM two.
const MOST_GSS_TOKENS: usize = 16;

/// The first byte of a TLS ClientHello: a record of type "handshake". As the first byte of a length it would announce
/// 369 MB, so nothing else begins with it.
const TLS_HANDSHAKE: u8 = 0x16;

/// The server's connection phase as a machine: it decides, and never waits.
///
/// Hand the machine the two buffers of a connection with each [`step`](Self::step), send what it has put into the outbox, and do what it
/// asks for. When it fails, what it has put there is the answer that PostgreSQL would give, if any: send it, then close.
/// [`accept`](crate::connect::accept) is that loop.
///
/// The machine answers as PostgreSQL 18 does: SSLRequest and GSSENCRequest are declined, each once, and over TLS refused; a version newer
/// than 3.2 and unknown `_pq_.` options are negotiated. From its first step to its end it sets the inbox's limits. A first packet
/// may have 10,004 bytes, an answer with a password 30,000, a message of SCRAM 1,024, one with a bearer token or of GSSAPI 65,535. At
/// the end the limits that it found are back in force. Both buffers wipe what they give up meanwhile; what they still hold after an
/// error is wiped when they are dropped. How long all of it may take is the caller's to say.
///
/// ```text
///   FirstPacket ─▶ Asked ──authenticate──▶ AwaitPassword ─▶ (Checking) ─────────────▶ In
///        │                       ├───────▶ ScramFirst ─▶ ScramFinal ───────────────▶ In
///        │                       ├───────▶ OAuthFirst ─▶ TokenChecking ────────────▶ In
///        │                       │               └─▶ OAuthFailing ◀─┘ ─▶ error
///        │                       └───────▶ GssAwait ◀─▶ GssStepping ───────────────▶ In
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
    salt: Option<[u8; 4]>,
    /// The `tls-server-end-point` hash of the certificate that this server presented.
    end_point: Option<Vec<u8>>,
    tls: Option<TlsInfo>,
    /// The limits of the inbox before the first step, until they are back in force.
    limits: Option<Limits>,
    gss_tokens: usize,
    startup: Option<Startup>,
    method: Method,
    channel_bound: bool,
    keys: Option<ScramKeys>,
    principal: Option<String>,
}

/// What has to be done before the next step. What the last one put into the outbox has to be sent first.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptStep<'a> {
    /// Read more into the inbox.
    Read,
    /// Say, with [`Accept::authenticate`], how the user of this start-up message is to be authenticated.
    Authenticate(&'a Startup),
    /// Run this, which takes milliseconds of pure computing, and hand the result to [`Accept::derived`].
    Derive(Derivation),
    /// Find out whether this bearer token is good, and hand the answer to [`Accept::token_checked`].
    Token(TokenCheck),
    /// Run this, which may wait for the disk or the network, where it keeps nobody else from working, and hand the result to
    /// [`Accept::stepped`].
    Gss(GssJob),
    /// The user is in: AuthenticationOk is on its way. Tell the rest with [`welcome`].
    Accepted(Login),
    /// The client wants another session's statement given up. There is no answer: do it, or not, and close.
    Cancel(CancelKey),
}

/// A user who is in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Login {
    /// What the client began with.
    pub startup: Startup,
    /// How the user was authenticated; [`AuthMethod::None`] by trust and by certificate.
    pub auth_method: AuthMethod,
    /// Whether the authentication was bound to the TLS channel (SCRAM-SHA-256-PLUS).
    pub channel_bound: bool,
    /// After SCRAM: what it takes to log in as this user at any server that stores the same verifier.
    pub keys: Option<ScramKeys>,
    /// After GSSAPI: the client's principal.
    pub principal: Option<String>,
    /// What the TLS layer reported, if there is TLS.
    pub tls: Option<TlsInfo>,
}

/// How the user is authenticated, as far as the words of a refusal depend on it.
#[derive(Clone, Copy, Debug)]
enum Method {
    Trust,
    Certificate,
    Password(AuthMethod),
    Gss,
    OAuth,
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
    /// The mechanisms are out; the client's choice comes next, or after a choice without data its first message.
    ScramFirst {
        verifier: Verifier,
        nonce: Nonce,
        chosen: Option<OfferedBinding>,
    },
    /// The challenge is out; the client's proof comes next.
    ScramFinal(ServerChallenge, bool),
    /// OAUTHBEARER was offered; the client's token comes next, or after a choice without data its first message.
    OAuthFirst {
        login: OAuthLogin,
        chosen: bool,
    },
    /// A token is to be handed out, or has been.
    TokenChecking(Option<TokenCheck>, OAuthOffer),
    /// The token is good or not.
    TokenChecked(bool, OAuthOffer),
    /// The failure document is out; the client's acknowledgement comes next.
    OAuthFailing,
    /// GSSAPI was asked for, or a token of ours is out; the client's comes next.
    GssAwait(Context, Principals),
    /// A step is to be handed out, or has been.
    GssStepping(Option<GssJob>, Principals),
    /// The step has been done.
    GssStepped(GssStepped, Principals),
    /// AuthenticationOk is out.
    In,
    /// Over: the login has been handed out, or an error has.
    Over,
}

struct Context(Box<dyn GssContext>);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

#[derive(Debug)]
enum PasswordCheck {
    Clear(Stored),
    Md5(md5::Stored, [u8; 4]),
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
            salt: None,
            end_point: None,
            tls: None,
            limits: None,
            gss_tokens: 0,
            startup: None,
            method: Method::Trust,
            channel_bound: false,
            keys: None,
            principal: None,
        }
    }

    /// Says that TLS has begun on this connection, and what its layer reports of the client. Requests for encryption are refused then,
    /// as PostgreSQL does within TLS.
    pub fn tls(self, tls: TlsInfo) -> Self {
        Self { tls: Some(tls), ssl_declined: true, gss_declined: true, ..self }
    }

    /// Names the certificate that this server presented over TLS, in DER: SCRAM-SHA-256-PLUS is offered then. One that cannot be bound
    /// to, as one signed with Ed25519, changes nothing.
    pub fn server_certificate(self, certificate: &[u8]) -> Self {
        Self { end_point: server_end_point(certificate).ok().flatten(), ..self }
    }

    /// Uses this nonce instead of asking the operating system. It may never be used again.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }

    /// Uses this salt for MD5 instead of asking the operating system: four random bytes.
    pub fn salt(self, salt: [u8; 4]) -> Self {
        Self { salt: Some(salt), ..self }
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
        let before = *self.limits.get_or_insert_with(|| {
            let limits = *inbox.limits();
            inbox.set_limits(limits.before_authentication());
            inbox.set_wiping(true);
            outbox.set_wiping(true);
            limits
        });
        match self.advance(inbox, outbox) {
            Ok(Next::Read) => Ok(AcceptStep::Read),
            Ok(Next::Authenticate) => {
                self.startup.as_ref().map(AcceptStep::Authenticate).ok_or(AuthError::Denied)
            }
            Ok(Next::Derive(job)) => Ok(AcceptStep::Derive(job)),
            Ok(Next::Token(check)) => Ok(AcceptStep::Token(check)),
            Ok(Next::Gss(job)) => Ok(AcceptStep::Gss(job)),
            Ok(Next::Accepted(login)) => {
                inbox.set_limits(before);
                inbox.scrub();
                inbox.set_wiping(false);
                outbox.scrub();
                outbox.set_wiping(false);
                Ok(AcceptStep::Accepted(login))
            }
            Ok(Next::Cancel(key)) => {
                inbox.set_limits(before);
                Ok(AcceptStep::Cancel(key))
            }
            Err(error) => {
                inbox.set_limits(before);
                self.refuse(&error, outbox);
                Err(error)
            }
        }
    }

    fn advance(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) -> Result<Next, AuthError> {
        loop {
            self.state = match mem::replace(&mut self.state, State::Over) {
                State::FirstPacket => {
                    if inbox.peek().first() == Some(&TLS_HANDSHAKE) {
                        return Err(ClientError::DirectTls.into());
                    }
                    let claimed = inbox.peek().first_chunk().map_or(0, |field| i32::from_be_bytes(*field));
                    let body = inbox
                        .next_packet(first::LONGEST_PACKET)
                        .map_err(|_| ClientError::PacketLength(claimed))?;
                    let Some(body) = body else {
                        self.state = State::FirstPacket;
                        return Ok(Next::Read);
                    };
                    match self.first_packet(body, outbox)? {
                        Some(cancel) => return Ok(Next::Cancel(cancel)),
                        None if self.startup.is_some() => State::Asked,
                        None => State::FirstPacket,
                    }
                }
                State::Asked => {
                    self.state = State::Asked;
                    return Ok(Next::Authenticate);
                }
                State::Checking(verifier, password) => {
                    let job = verifier.derivation(&password);
                    self.state = State::Checking(verifier, password);
                    return Ok(Next::Derive(job));
                }
                State::Checked(true) => self.let_in(outbox),
                State::Checked(false) => return Err(AuthError::Denied),
                State::TokenChecking(check, offer) => {
                    self.state = State::TokenChecking(None, offer);
                    return check.map(Next::Token).ok_or(AuthError::Misuse(
                        "the result of a token's check has to be handed to Accept::token_checked",
                    ));
                }
                State::TokenChecked(true, _) => self.let_in(outbox),
                State::TokenChecked(false, offer) => fail_token(&offer, outbox),
                State::GssStepping(job, principals) => {
                    self.state = State::GssStepping(None, principals);
                    return job.map(Next::Gss).ok_or(AuthError::Misuse(
                        "the result of a GSSAPI step has to be handed to Accept::stepped",
                    ));
                }
                State::GssStepped(stepped, principals) => self.after_gss(stepped, principals, outbox)?,
                State::In => {
                    let Some(startup) = self.startup.take() else { return Err(AuthError::Denied) };
                    return Ok(Next::Accepted(Login {
                        startup,
                        auth_method: self.method.auth_method(),
                        channel_bound: self.channel_bound,
                        keys: self.keys.take(),
                        principal: self.principal.take(),
                        tls: self.tls.take(),
                    }));
                }
                state => match inbox.next()? {
                    None => {
                        self.state = state;
                        return Ok(Next::Read);
                    }
                    Some(frame) => self.answer(state, frame, outbox)?,
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
        self.state = State::Over;
        let asked = self.ask(credentials, inbox, outbox);
        match asked {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(error) => {
                if let Some(limits) = self.limits {
                    inbox.set_limits(limits);
                }
                self.refuse(&error, outbox);
                Err(error)
            }
        }
    }

    fn ask(
        &mut self,
        credentials: Credentials,
        inbox: &mut Inbox,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let mut bound = |bytes: usize| {
            let limits = inbox.limits().before_authentication();
            inbox.set_limits(Limits { control: bytes, bulk: bytes, ..limits });
        };
        Ok(match credentials {
            Credentials::Trust => self.let_in(outbox),
            Credentials::Certificate(user) => {
                self.method = Method::Certificate;
                self.check_certificate(&user)?;
                self.let_in(outbox)
            }
            Credentials::Cleartext(stored) => {
                self.method = Method::Password(AuthMethod::Password);
                bound(LONGEST_PASSWORD);
                outbox.put(&Authentication::CleartextPassword);
                State::AwaitPassword(PasswordCheck::Clear(stored))
            }
            Credentials::Md5(stored) => {
                self.method = Method::Password(AuthMethod::Md5);
                bound(LONGEST_PASSWORD);
                let salt = self.salt.take().map_or_else(md5::fresh_salt, Ok)?;
                outbox.put(&Authentication::Md5Password { salt });
                State::AwaitPassword(PasswordCheck::Md5(stored, salt))
            }
            Credentials::Scram(verifier) => {
                self.method = Method::Password(AuthMethod::ScramSha256);
                bound(LONGEST_SCRAM);
                let nonce = self.nonce.take().map_or_else(Nonce::fresh, Ok)?;
                let mechanisms: &[Text<'_>] = match &self.end_point {
                    Some(_) => &[SCRAM_SHA_256_PLUS.into(), SCRAM_SHA_256.into()],
                    None => &[SCRAM_SHA_256.into()],
                };
                outbox.put(&Authentication::Sasl(Terminated::from(mechanisms)));
                State::ScramFirst { verifier, nonce, chosen: None }
            }
            Credentials::OAuth(login) => {
                self.method = Method::OAuth;
                bound(LONGEST_TOKEN);
                outbox.put(&Authentication::Sasl(Terminated::from(&[OAUTHBEARER.into()])));
                State::OAuthFirst { login, chosen: false }
            }
            Credentials::Gss(login) => {
                self.method = Method::Gss;
                bound(LONGEST_TOKEN);
                outbox.put(&Authentication::Gss);
                let (context, principals) = login.into_parts();
                State::GssAwait(Context(context), principals)
            }
            Credentials::Reject => return Err(ClientError::Rejected.into()),
        })
    }

    /// Takes the result of the job that an [`AcceptStep::Derive`] has handed out. The next step says what it comes to.
    pub fn derived(&mut self, salted: &SaltedPassword) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Checking(verifier, _) => State::Checked(verifier.matches(salted)),
            // Nobody has asked for it.
            state => state,
        };
    }

    /// Takes the answer to the question that an [`AcceptStep::Token`] has asked. The next step says what it comes to.
    pub fn token_checked(&mut self, is_good: bool) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::TokenChecking(None, offer) => State::TokenChecked(is_good, offer),
            // Nobody has asked for it.
            state => state,
        };
    }

    /// Takes the result of the job that an [`AcceptStep::Gss`] has handed out. The next step says what it comes to.
    pub fn stepped(&mut self, stepped: GssStepped) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::GssStepping(None, principals) => State::GssStepped(stepped, principals),
            // Nobody has asked for it.
            state => state,
        };
    }

    /// Every way from one state to another that a message of the client opens.
    fn answer(&mut self, state: State, frame: Frame<'_>, outbox: &mut Outbox) -> Result<State, AuthError> {
        if frame.code != MessageCode::AUTHENTICATION_RESPONSE {
            let message = frame.frontend().map_or("a malformed message", |message| message.name());
            let expected = "an answer to the request for authentication";
            return Err(ClientError::Unexpected { message, expected }.into());
        }
        let response = frame.decode::<AuthenticationResponse<'_>>()?;
        Ok(match state {
            State::AwaitPassword(check) => {
                let password = response.decode_as::<PasswordMessage<'_>>()?.password.0.as_bytes();
                if password.is_empty() {
                    return Err(ClientError::EmptyPassword.into());
                }
                let user = self.startup.as_ref().map_or(&b""[..], |startup| startup.user().as_bytes());
                let right = match check {
                    PasswordCheck::Clear(Stored::Plain(stored)) => stored == *password,
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
            State::ScramFirst { verifier, nonce, chosen: None } => {
                let response = response.decode_as::<SaslInitialResponse<'_>>()?;
                let binding = match &self.end_point {
                    Some(hash) if response.mechanism == SCRAM_SHA_256_PLUS => {
                        OfferedBinding::TlsServerEndPoint(hash.clone())
                    }
                    Some(_) if response.mechanism == SCRAM_SHA_256 => OfferedBinding::Declined,
                    None if response.mechanism == SCRAM_SHA_256 => OfferedBinding::NotOffered,
                    _ => return Err(ClientError::NoMechanism.into()),
                };
                match response.data {
                    Some(data) => challenge(verifier, nonce, binding, data, outbox)?,
                    None => {
                        outbox.put(&Authentication::SaslContinue(Secret(b"")));
                        State::ScramFirst { verifier, nonce, chosen: Some(binding) }
                    }
                }
            }
            State::ScramFirst { verifier, nonce, chosen: Some(binding) } => {
                let data = response.decode_as::<SaslResponse<'_>>()?.data;
                challenge(verifier, nonce, binding, data, outbox)?
            }
            State::ScramFinal(challenge, bound) => {
                let proof = response.decode_as::<SaslResponse<'_>>()?.data;
                let accepted = challenge.client_final(proof.0)?;
                outbox.put(&Authentication::SaslFinal(Secret(accepted.message())));
                self.keys = Some(accepted.keys());
                self.channel_bound = bound;
                self.let_in(outbox)
            }
            State::OAuthFirst { login, chosen: false } => {
                let response = response.decode_as::<SaslInitialResponse<'_>>()?;
                if response.mechanism != OAUTHBEARER {
                    return Err(ClientError::NoMechanism.into());
                }
                match response.data {
                    Some(data) => first_token(login, data, outbox)?,
                    None => {
                        outbox.put(&Authentication::SaslContinue(Secret(b"")));
                        State::OAuthFirst { login, chosen: true }
                    }
                }
            }
            State::OAuthFirst { login, chosen: true } => {
                first_token(login, response.decode_as::<SaslResponse<'_>>()?.data, outbox)?
            }
            State::OAuthFailing => {
                let answer = response.decode_as::<SaslResponse<'_>>()?.data;
                if answer.0 != oauth::ANSWER {
                    return Err(ClientError::OAuth(OAuthFault::Answer).into());
                }
                return Err(AuthError::Denied);
            }
            State::GssAwait(Context(context), principals) => {
                self.gss_tokens += 1;
                if self.gss_tokens > MOST_GSS_TOKENS {
                    return Err(ClientError::EndlessGss.into());
                }
                let token = response.decode_as::<GssResponse<'_>>()?.data;
                State::GssStepping(Some(GssJob::go_on(context, token.0)), principals)
            }
            state => state,
        })
    }

    fn after_gss(
        &mut self,
        stepped: GssStepped,
        principals: Principals,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let (context, output) = stepped.0.map_err(|error| PluginError::new("GSSAPI library", error))?;
        let (token, peer) = match output {
            GssOutput::Continue(token) => {
                outbox.put(&Authentication::GssContinue(Secret(&token)));
                return Ok(State::GssAwait(Context(context), principals));
            }
            GssOutput::Done { token, peer } => (token, peer),
        };
        // A context that names nobody lets nobody in.
        let peer = peer.filter(|peer| principals.allow(peer)).ok_or(AuthError::Denied)?;
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            outbox.put(&Authentication::GssContinue(Secret(&token)));
        }
        self.principal = Some(peer);
        Ok(self.let_in(outbox))
    }

    fn let_in(&self, outbox: &mut Outbox) -> State {
        outbox.put(&Authentication::Ok);
        State::In
    }
}

/// As [`AcceptStep`], which borrows the machine.
enum Next {
    Read,
    Authenticate,
    Derive(Derivation),
    Token(TokenCheck),
    Gss(GssJob),
    Accepted(Login),
    Cancel(CancelKey),
}

impl Method {
    fn auth_method(self) -> AuthMethod {
        match self {
            Self::Trust | Self::Certificate => AuthMethod::None,
            Self::Password(method) => method,
            Self::Gss => AuthMethod::Gss,
            Self::OAuth => AuthMethod::OAuth,
        }
    }
}

fn challenge(
    verifier: Verifier,
    nonce: Nonce,
    binding: OfferedBinding,
    data: Secret<'_>,
    outbox: &mut Outbox,
) -> Result<State, AuthError> {
    let bound = matches!(binding, OfferedBinding::TlsServerEndPoint(_));
    let challenge = ServerFirst::new(verifier, nonce, binding).client_first(data.0)?;
    outbox.put(&Authentication::SaslContinue(Secret(challenge.message())));
    Ok(State::ScramFinal(challenge, bound))
}

fn first_token(login: OAuthLogin, data: Secret<'_>, outbox: &mut Outbox) -> Result<State, AuthError> {
    let token = oauth::read_client_first(data.0).map_err(ClientError::OAuth)?;
    let (offer, check) = login.into_parts(token);
    Ok(match check {
        Some(check) => State::TokenChecking(Some(check), offer),
        None => fail_token(&offer, outbox),
    })
}

fn fail_token(offer: &OAuthOffer, outbox: &mut Outbox) -> State {
    outbox.put(&Authentication::SaslContinue(Secret(offer.document().as_bytes())));
    State::OAuthFailing
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
