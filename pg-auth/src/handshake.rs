//! The client's connection phase, from the start-up message to the first ReadyForQuery.

mod names;
mod sasl;
mod settle;
mod setup;
mod tickets;

use std::mem;
use std::num::NonZeroU32;

use pg_wire::backend::{Authentication, Backend};
use pg_wire::frontend::{PasswordMessage, SaslResponse, StartupMessage};
use pg_wire::{
    Inbox, Limits, Outbox, Text,
    codec::{Secret, SecretText, Terminated},
};

use names::{foreign, name};

use crate::certificate::CertificateError;
use crate::config::{AuthMethod, Config};
use crate::error::{AuthError, PeerError, PluginError, PolicyError, Refusal, TokenRefusal};
use crate::gss::{GssContext, GssJob};
use crate::link::Link;
use crate::md5;
use crate::oauth::{self, Discovery, TokenReply, TokenRequest};
use crate::scram::{
    ClientChallenged, ClientFinal, ClientFirst, Derivation, Nonce, Proven, SaltedPassword, ScramKeys,
};
use crate::secret::{Password, wiping_stack};
use crate::session::{Notification, Session};

/// Maximum number of server tokens in one GSSAPI exchange, so that a server cannot prolong an exchange for ever. Kerberos needs one token,
/// NTLM two.
const MOST_GSS_TOKENS: usize = 16;

/// The client's connection phase as a state machine: each step decides the next action, without I/O and without waiting.
///
/// Run the machine in a loop: pass the connection's two buffers to [`step`](Self::step), send the bytes in the outbox, and perform the
/// action that the returned [`Step`] names. [`connect`](crate::connect::connect) contains this loop; write your own loop if your I/O does
/// not use `pg_wire::Connection`.
///
/// The machine does not begin TLS. TLS must begin before the first step, so that bytes received before TLS cannot be mistaken for bytes
/// received through TLS.
///
/// The machine bounds the memory that a server can make it use, and wipes secrets:
/// - It sets the inbox's limits: at most 30,000 bytes for each message before AuthenticationOk, then at most 1 MiB for errors, notices and
///   notifications. When the machine ends, it restores the limits that the inbox had before the first step.
/// - It keeps at most 256 KiB of notices before AuthenticationOk, 4 MiB of notices and notifications in all, and 256 KiB of parameters.
/// - While the machine runs, both buffers wipe the memory that they release. After an error, the buffers also wipe their remaining memory
///   when they are dropped.
///
/// ```text
///             ┌─▶ PasswordSent ───────────────────────────────────────┐
///   Start ─▶ AwaitMethod ──────────────────────────────────────────Ok─┼─▶ In ─▶ Settling ──ReadyForQuery──▶ Ready
///             ├─▶ ScramFirst ─▶ Deriving ─▶ ScramFinal ─▶ Proven ─────┤
///             ├─▶ GssStepping ◀─▶ GssSent     GssStepping ─▶ GssDone ─┤
///             └─▶ TokenWanted ─▶ TokenSent ───────────────────────────┘
///                                    └──▶ TokenRejected ──ErrorResponse──▶ error with the document
/// ```
///
/// AuthenticationOk is accepted in these states only:
/// - `AwaitMethod`, `PasswordSent`, and `TokenSent` after a non-empty token: the configuration must allow the method;
/// - `Proven` after SCRAM: the server's signature has been checked;
/// - `GssDone` after GSSAPI: the library has reported that the context is established.
///
/// [The flow](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP)
#[derive(Debug)]
pub struct Handshake<'c> {
    config: &'c Config,
    link: Link,
    /// The TLS channel to which SCRAM can be bound.
    channel: Channel,
    host: Option<String>,
    loopback: bool,
    discovery: Option<Discovery>,
    nonce: Option<Nonce>,
    state: State,
    /// The limits that the inbox had before the first step; `None` before that step.
    limits: Option<Limits>,
    negotiated: bool,
    /// Derived SCRAM keys, which are put into the key cache when the server has proven that it knows these keys.
    fresh: Option<Derived>,
    gss_tokens: usize,
    /// Memory that the kept notices and notifications take, in bytes. Includes an approximate overhead for each message.
    kept: usize,
    /// Whether AuthenticationOk has been accepted.
    authenticated: bool,
    session: Session,
}

/// The data for channel binding from the server's certificate.
#[derive(Clone, Debug)]
enum Channel {
    Unknown,
    /// The certificate's `tls-server-end-point` hash.
    EndPoint(Vec<u8>),
    /// The certificate's signature algorithm defines no hash for channel binding.
    NoEndPoint,
    Unreadable(CertificateError),
}

/// Keys, with the salt and iteration count from which they were derived.
#[derive(Debug)]
struct Derived {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    keys: ScramKeys,
}

/// The next action of the caller. Send the bytes in the outbox first.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Read more bytes from the stream into the inbox.
    Read,
    /// Run this job where it does not block other tasks: the job takes milliseconds of pure computing. Pass the result to
    /// [`Handshake::derived`].
    Derive(Derivation),
    /// Get a bearer token from [`Config::tokens`](Config#structfield.tokens), and pass the reply to [`Handshake::token`].
    Token(TokenRequest),
    /// Run this job where it does not block other tasks: the job may wait for the disk or the network. Pass the result to
    /// [`Handshake::stepped`].
    Gss(GssJob),
    /// The session is ready for its first query.
    Ready(Session),
}

#[derive(Debug)]
enum State {
    /// The client has sent nothing yet.
    Start,
    /// The start-up message has been sent.
    AwaitMethod,
    /// A password has been sent, in clear text or hashed.
    PasswordSent,
    /// The first SCRAM message has been sent; the server's challenge is expected.
    ScramFirst(ClientFirst),
    /// The challenge has arrived; the keys are being derived.
    Deriving(ClientChallenged),
    /// The client's proof has been sent; the server's signature is expected.
    ScramFinal(ClientFinal),
    /// The server's signature is right; AuthenticationOk is expected.
    Proven(Proven),
    /// The server asks for a bearer token; the token source's reply is expected.
    TokenWanted,
    /// A token has been sent, or an empty token that asks for the document that names the issuer of tokens.
    TokenSent { empty: bool },
    /// The server has rejected the token with this document; the server's ErrorResponse is expected.
    TokenRejected { empty: bool, document: Discovery },
    /// A GSSAPI job that the caller has to run. `None` after `step` has returned the job; the state machine then waits for the result of
    /// the job.
    GssStepping(Option<GssJob>),
    /// A GSSAPI token has been sent; the server's token is expected.
    GssSent(Context),
    /// The GSSAPI context is established; AuthenticationOk is expected.
    GssDone,
    /// AuthenticationOk has just been accepted.
    In,
    /// The server's parameters, its cancel key and ReadyForQuery are expected.
    Settling,
    /// The state machine has ended: it has returned the session or an error.
    Over,
}

struct Context(Box<dyn GssContext>);

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl<'c> Handshake<'c> {
    /// Whether AuthenticationOk has been accepted. An ErrorResponse before AuthenticationOk rejects the login.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The configuration of this connection phase.
    pub fn config(&self) -> &'c Config {
        self.config
    }

    /// Processes the messages in the inbox until the caller has to act.
    ///
    /// # Errors
    /// The connection phase has failed; the error is the reason. The state machine has ended.
    pub fn step(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) -> Result<Step, AuthError> {
        let step = self.advance(inbox, outbox);
        if matches!(step, Err(_) | Ok(Step::Ready(_)))
            && let Some(limits) = self.limits.take()
        {
            inbox.set_limits(limits);
        }
        if matches!(step, Ok(Step::Ready(_))) {
            inbox.scrub();
            inbox.set_wiping(false);
            outbox.scrub();
            outbox.set_wiping(false);
        }
        step
    }

    fn advance(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) -> Result<Step, AuthError> {
        loop {
            self.state = match mem::replace(&mut self.state, State::Over) {
                State::Start => {
                    if inbox.buffered() > 0 {
                        return Err(PeerError::Early.into());
                    }
                    let limits = *self.limits.insert(*inbox.limits());
                    inbox.set_limits(limits.before_authentication());
                    inbox.set_wiping(true);
                    outbox.set_wiping(true);
                    self.start(outbox);
                    State::AwaitMethod
                }
                State::Deriving(challenged) => match self.known_keys(&challenged) {
                    Some(keys) => self.prove(challenged.finish_with_keys(&keys.client, &keys.server), outbox),
                    None => {
                        let job = challenged.derivation(self.password()?);
                        self.state = State::Deriving(challenged);
                        return Ok(Step::Derive(job));
                    }
                },
                State::TokenWanted => {
                    self.state = State::TokenWanted;
                    return Ok(Step::Token(self.token_request()));
                }
                State::GssStepping(job) => {
                    self.state = State::GssStepping(None);
                    return job.map(Step::Gss).ok_or(AuthError::Misuse(
                        "pass the result of the GSSAPI step to Handshake::stepped first",
                    ));
                }
                State::In => {
                    if let Some(limits) = self.limits {
                        inbox.set_limits(limits.while_starting());
                    }
                    State::Settling
                }
                State::AwaitMethod if foreign(inbox.peek()).is_some() => {
                    return Err(foreign(inbox.peek()).unwrap_or(PeerError::Early.into()));
                }
                state => match inbox.next()? {
                    None => {
                        self.state = state;
                        return Ok(Step::Read);
                    }
                    Some(frame) => match (state, frame.backend()?) {
                        (State::TokenRejected { empty, document }, Backend::ErrorResponse(error)) => {
                            let response = error.to_owned();
                            let refusal = TokenRefusal { token_sent: !empty, document, response };
                            return Err(Refusal::Token(refusal.into()).into());
                        }
                        (_, Backend::ErrorResponse(error)) => {
                            return Err(Refusal::Response(error.to_owned()).into());
                        }
                        (state, Backend::NoticeResponse(notice)) => {
                            self.keep(frame.body.len(), &state)?;
                            self.session.notices.push(notice.to_owned());
                            state
                        }
                        (State::Settling, Backend::ReadyForQuery(_)) => {
                            let empty = Session::new(self.session.version);
                            return Ok(Step::Ready(mem::replace(&mut self.session, empty)));
                        }
                        (state, message) => self.transition(state, &message, outbox)?,
                    },
                },
            };
        }
    }

    /// Takes the result of the job in a [`Step::Derive`].
    pub fn derived(&mut self, salted: &SaltedPassword, outbox: &mut Outbox) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Deriving(challenged) => {
                let keys = ScramKeys { client: salted.client_key(), server: salted.server_key() };
                let (salt, iterations) = (challenged.salt().to_vec(), challenged.iterations());
                let last = challenged.finish_with_keys(&keys.client, &keys.server);
                self.fresh = Some(Derived { salt, iterations, keys });
                self.prove(last, outbox)
            }
            // No job is outstanding: the call has no effect.
            state => state,
        };
    }

    /// Takes the token source's reply to a [`Step::Token`].
    ///
    /// # Errors
    /// The source's own error, as [`AuthError::Plugin`]. After an error, the state machine has ended.
    pub fn token(
        &mut self,
        reply: Result<TokenReply, oauth::SourceError>,
        outbox: &mut Outbox,
    ) -> Result<(), AuthError> {
        if !matches!(self.state, State::TokenWanted) {
            return Ok(());
        }
        self.state = State::Over;
        let reply = reply.map_err(|error| PluginError::new("token source", error))?;
        self.state = self.send_token(reply, outbox);
        Ok(())
    }

    fn start(&self, outbox: &mut Outbox) {
        let parameters: Vec<(Text<'_>, Text<'_>)> =
            self.config.startup_parameters().map(|(name, value)| (name.into(), value.into())).collect();
        outbox.put(&StartupMessage {
            version: self.config.max_protocol_version,
            parameters: Terminated::from(&parameters[..]),
        });
    }

    /// Processes a message of the server, except ErrorResponse, NoticeResponse and ReadyForQuery. Returns the next state.
    fn transition(
        &mut self,
        state: State,
        message: &Backend<'_>,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        use Authentication as Auth;
        Ok(match (state, message) {
            (State::AwaitMethod, Backend::NegotiateProtocolVersion(offer)) => {
                self.negotiate(offer)?;
                State::AwaitMethod
            }
            (State::AwaitMethod, Backend::Authentication(Auth::Ok)) => {
                self.allow(AuthMethod::None)?;
                self.settle(None)?
            }
            (State::AwaitMethod, Backend::Authentication(Auth::CleartextPassword)) => {
                self.allow(AuthMethod::Password)?;
                self.config.check_cleartext(self.link)?;
                self.send_password(self.password()?, outbox);
                State::PasswordSent
            }
            (State::AwaitMethod, Backend::Authentication(Auth::Md5Password { salt })) => {
                self.allow(AuthMethod::Md5)?;
                let response = md5::response(self.config.user.as_bytes(), self.password()?, *salt);
                self.send_password(&response, outbox);
                State::PasswordSent
            }
            (State::AwaitMethod, Backend::Authentication(Auth::Sasl(mechanisms))) => {
                self.begin_sasl(*mechanisms, outbox)?
            }
            (State::AwaitMethod, Backend::Authentication(Auth::Gss)) => self.begin_gss(AuthMethod::Gss)?,
            (State::AwaitMethod, Backend::Authentication(Auth::Sspi)) => self.begin_gss(AuthMethod::Sspi)?,
            (
                State::AwaitMethod,
                Backend::Authentication(
                    other @ (Auth::KerberosV5 | Auth::ScmCredential | Auth::Unknown { .. }),
                ),
            ) => return Err(PeerError::UnknownAuthentication(other.kind()).into()),
            (State::PasswordSent | State::GssDone, Backend::Authentication(Auth::Ok)) => self.settle(None)?,
            (State::TokenSent { empty: false }, Backend::Authentication(Auth::Ok)) => self.settle(None)?,
            (State::TokenSent { empty }, Backend::Authentication(Auth::SaslContinue(document))) => {
                let document = Discovery::from_server(document.0).ok_or(PeerError::Document)?;
                outbox.put(&SaslResponse { data: Secret(oauth::ANSWER) });
                State::TokenRejected { empty, document }
            }
            (State::GssSent(Context(context)), Backend::Authentication(Auth::GssContinue(token))) => {
                self.gss_tokens += 1;
                if self.gss_tokens > MOST_GSS_TOKENS {
                    return Err(PeerError::EndlessGss.into());
                }
                State::GssStepping(Some(GssJob::go_on(context, token.0)))
            }
            (State::ScramFirst(first), Backend::Authentication(Auth::SaslContinue(challenge))) => {
                State::Deriving(first.server_first(challenge.0, self.config.scram_iterations)?)
            }
            (State::ScramFinal(last), Backend::Authentication(Auth::SaslFinal(signature))) => {
                let proven = last.server_final(signature.0)?;
                self.remember();
                State::Proven(proven)
            }
            (State::Proven(proven), Backend::Authentication(Auth::Ok)) => self.settle(Some(proven))?,
            (
                State::ScramFirst(_)
                | State::ScramFinal(_)
                | State::GssSent(_)
                | State::TokenSent { empty: true }
                | State::TokenRejected { .. },
                Backend::Authentication(Auth::Ok),
            ) => return Err(PeerError::Unproven.into()),
            (State::Settling, Backend::ParameterStatus(status)) => {
                self.keep_parameter(status)?;
                State::Settling
            }
            (State::Settling, Backend::NotificationResponse(notification)) => {
                let size = notification.channel.as_bytes().len() + notification.payload.as_bytes().len();
                self.keep(size, &State::Settling)?;
                self.session.notifications.push(Notification::new(notification));
                State::Settling
            }
            (State::Settling, Backend::BackendKeyData(data)) => {
                self.keep_key(data)?;
                State::Settling
            }
            // A second NegotiateProtocolVersion is an error in every state.
            (_, Backend::NegotiateProtocolVersion(_)) if self.negotiated => {
                return Err(PeerError::VersionTwice.into());
            }
            (state, message) => {
                return Err(
                    PeerError::Unexpected { message: name(message), expected: state.expects() }.into()
                );
            }
        })
    }

    fn password(&self) -> Result<&'c Password, AuthError> {
        match &self.config.password {
            Some(password) if !password.is_empty() => Ok(password),
            // An empty password counts as missing: PostgreSQL rejects an empty password, and libpq never sends an empty password.
            _ => Err(PolicyError::NoPassword.into()),
        }
    }

    fn send_password(&self, password: &Password, outbox: &mut Outbox) {
        let password = SecretText(Text::from(password.as_bytes()));
        wiping_stack(|| outbox.put(&PasswordMessage { password }));
    }
}

impl State {
    fn expects(&self) -> &'static str {
        match self {
            Self::Start
            | Self::Over
            | Self::Deriving(_)
            | Self::TokenWanted
            | Self::GssStepping(_)
            | Self::In => "nothing",
            Self::AwaitMethod => "a request for authentication",
            Self::PasswordSent | Self::Proven(_) | Self::GssDone => "AuthenticationOk",
            Self::ScramFirst(_) => "AuthenticationSASLContinue",
            Self::ScramFinal(_) => "AuthenticationSASLFinal",
            Self::TokenSent { empty: false } => "AuthenticationOk or AuthenticationSASLContinue",
            Self::TokenSent { empty: true } => "AuthenticationSASLContinue",
            Self::TokenRejected { .. } => "ErrorResponse",
            Self::GssSent(_) => "AuthenticationGSSContinue",
            Self::Settling => "ReadyForQuery",
        }
    }
}
