//! The server's connection phase, from the first packet to the first ReadyForQuery.

mod ask;
mod conversations;
mod credentials;
mod first;
mod reject;
mod setup;
mod startup;
mod words;

use std::mem;

use pg_wire::backend::Authentication;
use pg_wire::frontend::{
    AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse,
};
use pg_wire::{Frame, Inbox, Limits, Message, MessageCode, Outbox, codec::Secret};

pub use credentials::{CertificateUser, Credentials, StoredPassword};
pub use startup::Startup;
pub use words::{fatal, unsupported, welcome};

use crate::config::AuthMethod;
use crate::error::{AuthError, ClientError};
use crate::gss::{GssContext, GssJob, GssStepped, Principals};
use crate::link::TlsInfo;
use crate::md5;
use crate::oauth::{self, OAUTHBEARER, OAuthFault, OAuthLogin, OAuthOffer, TokenCheck};
use crate::scram::{
    Derivation, Nonce, OfferedBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, SaltedPassword, ScramKeys,
    ServerChallenge, Verifier,
};
use crate::secret::{Password, wiping_stack};
use crate::session::CancelKey;

/// Maximum number of client tokens in one GSSAPI exchange, so that a client cannot prolong an exchange for ever. Kerberos needs one token,
/// NTLM two.
const MOST_GSS_TOKENS: usize = 16;

/// The first byte of a TLS ClientHello: a record of type "handshake". Without TLS, the first byte of a connection is the highest byte of a
/// packet's length. A length that begins with 0x16 is at least 369 MB, which is invalid. So the two cases cannot be confused.
const TLS_HANDSHAKE: u8 = 0x16;

/// The server's connection phase as a state machine: each step decides the next action, without I/O and without waiting.
///
/// Run the machine in a loop: pass the connection's two buffers to [`step`](Self::step), send the bytes in the outbox, and perform the
/// action that the returned [`AcceptStep`] names. If a step fails, the outbox may contain an error message for the client: send this
/// message, then close the connection. [`accept`](crate::connect::accept) contains this loop.
///
/// The machine answers as PostgreSQL 18 does. Without TLS, it declines the first SSLRequest and the first GSSENCRequest, and rejects a
/// second request of the same kind. Over TLS, it rejects every SSLRequest and every GSSENCRequest. If a client asks for a version newer
/// than 3.2 or for unknown `_pq_.` options, the machine sends NegotiateProtocolVersion.
///
/// The machine bounds the memory that a client can make it use, and wipes secrets:
/// - It limits the length of received messages: 10,004 bytes for the first packet. The body of a later message may have 30,000 bytes
///   (password), 1,020 bytes (SCRAM) or 65,531 bytes (bearer token or GSSAPI token). When the machine ends, it restores the limits that the
///   inbox had before the first step.
/// - While the machine runs, both buffers wipe the memory that they release. After an error or a cancel request, the buffers also wipe
///   their remaining memory when they are dropped.
///
/// The machine has no time limit: the caller must set a time limit.
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
    /// The `tls-server-end-point` hash of this server's certificate.
    end_point: Option<Vec<u8>>,
    tls: Option<TlsInfo>,
    /// The limits that the inbox had before the first step; `None` before that step.
    limits: Option<Limits>,
    gss_tokens: usize,
    startup: Option<Startup>,
    method: Method,
    channel_bound: bool,
    keys: Option<ScramKeys>,
    principal: Option<String>,
}

/// The next action of the caller. Send the bytes in the outbox first.
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptStep<'a> {
    /// Read more bytes from the stream into the inbox.
    Read,
    /// Decide how to authenticate the user of this start-up message, and call [`Accept::authenticate`].
    Authenticate(&'a Startup),
    /// Run this job, which takes milliseconds of pure computing, and pass the result to [`Accept::derived`].
    Derive(Derivation),
    /// Check whether this bearer token is valid, and pass the answer to [`Accept::token_checked`].
    Token(TokenCheck),
    /// Run this job where it does not block other tasks: the job may wait for the disk or the network. Pass the result to
    /// [`Accept::stepped`].
    Gss(GssJob),
    /// The user is authenticated, and AuthenticationOk is in the outbox. To begin the session, send the messages up to ReadyForQuery with
    /// [`welcome`].
    Login(Login),
    /// The client asks to cancel a statement of another session. Cancel the statement if the key is right. In every case send no answer,
    /// and close the connection.
    Cancel(CancelKey),
}

/// The result of a login: an authenticated user.
#[derive(Debug)]
#[non_exhaustive]
pub struct Login {
    /// The client's start-up message.
    pub startup: Startup,
    /// The method by which the user was authenticated; [`AuthMethod::None`] for trust and for a certificate.
    pub auth_method: AuthMethod,
    /// Whether the authentication was bound to the TLS channel (SCRAM-SHA-256-PLUS).
    pub channel_bound: bool,
    /// Keys of a SCRAM login; `None` after any other method. With these keys, a pooler can log in as this user at any server that stores
    /// the same verifier as this server.
    pub keys: Option<ScramKeys>,
    /// Principal of the client after a login by GSSAPI; `None` after any other method.
    pub principal: Option<String>,
}

/// The kind of authentication, which determines the error text for a rejected user.
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
    /// The start-up message has arrived; the caller decides how to authenticate.
    Asked,
    /// The password was requested; the client's PasswordMessage is expected.
    AwaitPassword(PasswordCheck),
    /// A password in clear text has arrived, and the SCRAM key is being derived from this password.
    Checking(Verifier, Password),
    /// The key has been derived. The `bool` is true if the password is right.
    Checked(bool),
    /// The list of SASL mechanisms has been sent; the client's choice is expected. `chosen` is set if the client has chosen a mechanism in
    /// a message without SCRAM data: the next message must contain these data.
    ScramFirst {
        verifier: Verifier,
        nonce: Nonce,
        chosen: Option<OfferedBinding>,
    },
    /// The SCRAM challenge has been sent; the client's proof is expected. The `bool` is true if the exchange is bound to the TLS channel.
    ScramFinal(ServerChallenge, bool),
    /// OAUTHBEARER was offered; the client's token is expected. `chosen` is true if the client has chosen OAUTHBEARER in a message without
    /// a token: the next message must contain the token.
    OAuthFirst {
        login: OAuthLogin,
        chosen: bool,
    },
    /// A token that the caller has to check. `None` after `step` has returned the token; the state machine then waits for the caller's
    /// answer.
    TokenChecking(Option<TokenCheck>, OAuthOffer),
    /// The caller has checked the token. The `bool` is true if the token is valid.
    TokenChecked(bool, OAuthOffer),
    /// The document that rejects the token has been sent; the client's acknowledgement is expected.
    OAuthFailing,
    /// The server has requested GSSAPI, or has sent a token; the client's next token is expected.
    GssAwait(Context, Principals),
    /// A GSSAPI job that the caller has to run. `None` after `step` has returned the job; the state machine then waits for the result of
    /// the job.
    GssStepping(Option<GssJob>, Principals),
    /// The caller has run the GSSAPI job. The next `step` processes the result of the job.
    GssStepped(GssStepped, Principals),
    /// AuthenticationOk has been sent.
    In,
    /// The state machine has ended: it has returned the login or an error.
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
    Clear(StoredPassword),
    Md5(md5::Verifier, [u8; 4]),
}

impl Default for Accept {
    fn default() -> Self {
        Self::new()
    }
}

impl Accept {
    /// The client's start-up message. `None` before the message has arrived, and after the state machine has returned the message in a
    /// [`Login`].
    pub fn startup(&self) -> Option<&Startup> {
        self.startup.as_ref()
    }

    /// Processes the messages in the inbox until the caller has to act.
    ///
    /// # Errors
    /// The connection phase has failed; the error is the reason. The answer to the client, if there is one, is in the outbox.
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
            Ok(Next::Login(login)) => {
                inbox.set_limits(before);
                inbox.scrub();
                inbox.set_wiping(false);
                outbox.scrub();
                outbox.set_wiping(false);
                Ok(AcceptStep::Login(login))
            }
            Ok(Next::Cancel(key)) => {
                inbox.set_limits(before);
                Ok(AcceptStep::Cancel(key))
            }
            Err(error) => {
                inbox.set_limits(before);
                self.reject(&error, outbox);
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
                    let body = self.next_packet(inbox)?;
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
                        "pass the result of the token's check to Accept::token_checked first",
                    ));
                }
                State::TokenChecked(true, _) => self.let_in(outbox),
                State::TokenChecked(false, offer) => self.fail_token(&offer, outbox),
                State::GssStepping(job, principals) => {
                    self.state = State::GssStepping(None, principals);
                    return job.map(Next::Gss).ok_or(AuthError::Misuse(
                        "pass the result of the GSSAPI step to Accept::stepped first",
                    ));
                }
                State::GssStepped(stepped, principals) => self.after_gss(stepped, principals, outbox)?,
                State::In => {
                    let Some(startup) = self.startup.take() else { return Err(AuthError::Denied) };
                    return Ok(Next::Login(Login {
                        startup,
                        auth_method: self.method.auth_method(),
                        channel_bound: self.channel_bound,
                        keys: self.keys.take(),
                        principal: self.principal.take(),
                    }));
                }
                state => match inbox.next()? {
                    None => {
                        self.state = state;
                        return Ok(Next::Read);
                    }
                    Some(frame) => wiping_stack(|| self.answer(state, frame, outbox))?,
                },
            };
        }
    }

    /// Sets the method by which to authenticate the user of the start-up message, and puts the request for authentication into the outbox.
    ///
    /// # Errors
    /// The user is rejected, or the operating system returns no random bytes. The answer to the client is in the outbox.
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
                self.reject(&error, outbox);
                Err(error)
            }
        }
    }

    /// Takes the result of the job in an [`AcceptStep::Derive`]. The next [`step`](Self::step) continues the login.
    pub fn derived(&mut self, salted: &SaltedPassword) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Checking(verifier, _) => State::Checked(verifier.matches(salted)),
            // No job is outstanding: the call has no effect.
            state => state,
        };
    }

    /// Takes the answer to an [`AcceptStep::Token`]. The next [`step`](Self::step) continues the login.
    pub fn token_checked(&mut self, is_good: bool) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::TokenChecking(None, offer) => State::TokenChecked(is_good, offer),
            // No token is being checked: the call has no effect.
            state => state,
        };
    }

    /// Takes the result of the job in an [`AcceptStep::Gss`]. The next [`step`](Self::step) continues the login.
    pub fn stepped(&mut self, stepped: GssStepped) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::GssStepping(None, principals) => State::GssStepped(stepped, principals),
            // No job is outstanding: the call has no effect.
            state => state,
        };
    }

    /// Processes a message of the client, and returns the next state.
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
                    PasswordCheck::Clear(StoredPassword::Plain(stored)) => stored == *password,
                    PasswordCheck::Clear(StoredPassword::Md5(stored)) => {
                        stored.matches(user, &Password::from(password))
                    }
                    PasswordCheck::Clear(StoredPassword::Scram(verifier)) => {
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
                    Some(data) => self.challenge(verifier, nonce, binding, data, outbox)?,
                    None => {
                        outbox.put(&Authentication::SaslContinue(Secret(b"")));
                        State::ScramFirst { verifier, nonce, chosen: Some(binding) }
                    }
                }
            }
            State::ScramFirst { verifier, nonce, chosen: Some(binding) } => {
                let data = response.decode_as::<SaslResponse<'_>>()?.data;
                self.challenge(verifier, nonce, binding, data, outbox)?
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
                    Some(data) => self.first_token(login, data, outbox)?,
                    None => {
                        outbox.put(&Authentication::SaslContinue(Secret(b"")));
                        State::OAuthFirst { login, chosen: true }
                    }
                }
            }
            State::OAuthFirst { login, chosen: true } => {
                self.first_token(login, response.decode_as::<SaslResponse<'_>>()?.data, outbox)?
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

    fn let_in(&self, outbox: &mut Outbox) -> State {
        outbox.put(&Authentication::Ok);
        State::In
    }
}

/// The variants of [`AcceptStep`] without a borrow of the `Accept`. So `step` can change the `Accept` before it returns the `AcceptStep`.
enum Next {
    Read,
    Authenticate,
    Derive(Derivation),
    Token(TokenCheck),
    Gss(GssJob),
    Login(Login),
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
