//! The client's connection phase, from the start-up message to the first ReadyForQuery.

use std::mem;
use std::num::NonZeroU32;

use pg_wire::backend::{Authentication, Backend, NegotiateProtocolVersion};
use pg_wire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse, StartupMessage};
use pg_wire::{Inbox, Outbox, Secret, SecretText, Terminated, Text};

use crate::config::{AuthMethod, BindingMode, Config, ProtocolVersion, SslMode};
use crate::error::{AuthError, PeerError, PolicyError, Refusal, printable};
use crate::link::Link;
use crate::md5;
use crate::scram::{
    ChannelBinding, ClientChallenged, ClientFinal, ClientFirst, Derivation, Nonce, Proven, SCRAM_SHA_256,
    SCRAM_SHA_256_PLUS, SaltedPassword, ScramKeys,
};
use crate::secret::Password;
use crate::session::{CancelKey, Session};

/// Most bytes of parameters and notices to be kept. Servers send some fifteen parameters and hardly ever a notice: less than
/// a kilobyte.
const MOST_KEPT: usize = 256 * 1024;

/// What it costs to keep a message beside its bytes, about. Without it a server could make us keep, and search, a hundred thousand
/// empty ones.
const COST_OF_KEEPING: usize = 64;

/// The client's connection phase as a machine: it decides, and never waits.
///
/// Hand it the two buffers of a connection with each [`step`](Self::step), send what it has put into the one, and do what
/// it asks for. [`connect`](crate::connect::connect) is that loop; write another if yours has to look different.
///
/// TLS comes before it and apart, so that nothing which arrived in clear can be taken for something that came through TLS.
///
/// ```text
///             ┌─────────▶ PasswordSent ───────────────────┐
///   Start ─▶ AwaitMethod ──────────────────────Ok─────────┼──▶ Settling ──ReadyForQuery──▶ Ready
///             └─▶ ScramFirst ─▶ Deriving ─▶ ScramFinal ─▶ Proven
/// ```
///
/// AuthenticationOk is believed where a password went out or none was asked for, if the configuration allows either; and
/// after SCRAM only in `Proven`, which only a checked server signature leads to.
///
/// [The flow](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP)
#[derive(Debug)]
pub struct Handshake<'c> {
    config: &'c Config,
    link: Link,
    /// The hash of the server's certificate, if there is TLS and it has one.
    channel: Option<Vec<u8>>,
    nonce: Option<Nonce>,
    state: State,
    negotiated: bool,
    /// Keys that were derived and have not been shown to be right.
    fresh: Option<Derived>,
    /// Bytes of messages that the session has kept something of, and what it costs to keep them.
    kept: usize,
    /// AuthenticationOk has been accepted.
    authenticated: bool,
    session: Session,
}

/// Keys, and what they were derived by beside the password.
#[derive(Debug)]
struct Derived {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    keys: ScramKeys,
}

/// What has to be done before the next step. What the last one put into the outbox has to be sent first.
#[derive(Debug)]
pub enum Step {
    /// Read more into the inbox.
    Read,
    /// Run this, which takes milliseconds of pure computing, wherever there is time for it, and hand the result to
    /// [`Handshake::derived`].
    Derive(Derivation),
    /// The session is ready for its first query.
    Ready(Session),
}

#[derive(Debug)]
enum State {
    /// Nothing has been sent.
    Start,
    /// The start-up message is out.
    AwaitMethod,
    /// A password, in clear or hashed, is out.
    PasswordSent,
    /// The first SCRAM message is out; the server's challenge comes next.
    ScramFirst(ClientFirst),
    /// The challenge is there; the keys are not.
    Deriving(ClientChallenged),
    /// The proof is out; the server's own comes next.
    ScramFinal(ClientFinal),
    /// The server has proven itself; its Ok comes next.
    Proven(Proven),
    /// The user is in; parameters and the key come next.
    Settling,
    /// Over: the session has been handed out, or an error has.
    Over,
}

impl<'c> Handshake<'c> {
    /// A connection phase that has not begun, over a stream of this kind.
    ///
    /// # Errors
    /// When the configuration contradicts itself, or demands what this stream does not have.
    pub fn new(config: &'c Config, link: Link) -> Result<Self, AuthError> {
        config.check()?;
        let wants_tls = matches!(config.sslmode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        if wants_tls && link == Link::Tcp {
            return Err(PolicyError::TlsRequired.into());
        }
        if config.channel_binding == BindingMode::Require && link != Link::Tls {
            return Err(PolicyError::ChannelBinding.into());
        }
        Ok(Self {
            config,
            link,
            channel: None,
            nonce: None,
            state: State::Start,
            negotiated: false,
            fresh: None,
            kept: 0,
            authenticated: false,
            session: Session::new(config.max_protocol_version),
        })
    }

    /// Binds SCRAM to the TLS channel, by the `tls-server-end-point` hash of the server's certificate.
    pub fn channel(self, certificate_hash: Vec<u8>) -> Self {
        Self { channel: Some(certificate_hash), ..self }
    }

    /// Uses this nonce instead of asking the operating system for one. It may never be used again.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }

    /// Whether AuthenticationOk has been accepted. An error that a server sends before is its answer to the login.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Goes on as far as what is in the inbox allows.
    ///
    /// # Errors
    /// Why there will be no session. The machine is at its end then.
    pub fn step(&mut self, inbox: &mut Inbox, outbox: &mut Outbox) -> Result<Step, AuthError> {
        loop {
            self.state = match mem::replace(&mut self.state, State::Over) {
                State::Start => {
                    if inbox.buffered() > 0 {
                        return Err(PeerError::Early.into());
                    }
                    self.start(outbox);
                    State::AwaitMethod
                }
                State::Deriving(challenged) => match self.known_keys(&challenged) {
                    Some(keys) => prove(challenged.finish_with_keys(&keys.client, &keys.server), outbox),
                    None => {
                        let job = challenged.derivation(self.password()?);
                        self.state = State::Deriving(challenged);
                        return Ok(Step::Derive(job));
                    }
                },
                State::AwaitMethod if let_down(inbox.peek()).is_some() => {
                    let text = let_down(inbox.peek()).unwrap_or_default();
                    return Err(Refusal::Text(printable(text, 256)).into());
                }
                state => match inbox.next()? {
                    None => {
                        self.state = state;
                        return Ok(Step::Read);
                    }
                    Some(frame) => match (state, frame.backend()?) {
                        (_, Backend::ErrorResponse(error)) => {
                            return Err(Refusal::Response(error.to_owned()).into());
                        }
                        (state, Backend::NoticeResponse(notice)) => {
                            self.keep(frame.body.len())?;
                            self.session.notices.push(notice.to_owned());
                            state
                        }
                        (State::Settling, Backend::ParameterStatus(status)) => {
                            self.keep(frame.body.len())?;
                            self.session.parameters.set(status.name, status.value);
                            State::Settling
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

    /// Takes the result of the job that a [`Step::Derive`] has handed out.
    pub fn derived(&mut self, salted: &SaltedPassword, outbox: &mut Outbox) {
        self.state = match mem::replace(&mut self.state, State::Over) {
            State::Deriving(challenged) => {
                let keys = ScramKeys { client: salted.client_key(), server: salted.server_key() };
                let (salt, iterations) = (challenged.salt().to_vec(), challenged.iterations());
                let last = challenged.finish_with_keys(&keys.client, &keys.server);
                self.fresh = Some(Derived { salt, iterations, keys });
                prove(last, outbox)
            }
            // Nobody has asked for it.
            state => state,
        };
    }

    fn start(&self, outbox: &mut Outbox) {
        let parameters: Vec<(Text<'_>, Text<'_>)> =
            self.config.startup_parameters().map(|(name, value)| (name.into(), value.into())).collect();
        outbox.put(&StartupMessage {
            version: self.config.max_protocol_version,
            parameters: Terminated::from(&parameters[..]),
        });
    }

    /// Every way from one state to another that a message of the server opens, but for those that only tell something.
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
                self.allow(AuthMethod::ScramSha256)?;
                if self.config.scram_keys.is_none() {
                    self.password()?;
                }
                State::ScramFirst(self.begin_scram(*mechanisms, outbox)?)
            }
            (
                State::AwaitMethod,
                Backend::Authentication(
                    other @ (Auth::KerberosV5
                    | Auth::ScmCredential
                    | Auth::Gss
                    | Auth::Sspi
                    | Auth::Unknown { .. }),
                ),
            ) => return Err(PeerError::UnknownAuthentication(other.kind()).into()),
            (State::PasswordSent, Backend::Authentication(Auth::Ok)) => self.settle(None)?,
            (State::ScramFirst(first), Backend::Authentication(Auth::SaslContinue(challenge))) => {
                State::Deriving(first.server_first(challenge.0, self.config.scram_iterations)?)
            }
            (State::ScramFinal(last), Backend::Authentication(Auth::SaslFinal(signature))) => {
                let proven = last.server_final(signature.0)?;
                self.remember();
                State::Proven(proven)
            }
            (State::Proven(proven), Backend::Authentication(Auth::Ok)) => self.settle(Some(proven))?,
            (State::ScramFirst(_) | State::ScramFinal(_), Backend::Authentication(Auth::Ok)) => {
                return Err(PeerError::Unproven.into());
            }
            (State::Settling, Backend::BackendKeyData(data)) => {
                let length = data.key.0.len();
                self.keep(length)?;
                let right = match self.session.version {
                    ProtocolVersion::V3_0 => length == 4,
                    _ => (4..=256).contains(&length),
                };
                if !right {
                    return Err(PeerError::KeyLength(length).into());
                }
                self.session.cancel_key = Some(CancelKey::new(data.pid, data.key.0));
                State::Settling
            }
            (state, message) => {
                return Err(
                    PeerError::Unexpected { message: name(message), expected: state.expects() }.into()
                );
            }
        })
    }

    /// Counts what the server makes us keep.
    fn keep(&mut self, bytes: usize) -> Result<(), PeerError> {
        self.kept += bytes + COST_OF_KEEPING;
        if self.kept > MOST_KEPT { Err(PeerError::Flood) } else { Ok(()) }
    }

    /// The server wants an older version, or does not know an option.
    fn negotiate(&mut self, offer: &NegotiateProtocolVersion<'_>) -> Result<(), AuthError> {
        let NegotiateProtocolVersion { version, unrecognized } = *offer;
        let Config { min_protocol_version: min, max_protocol_version: max, parameters, .. } = self.config;
        // 3.1 was never spoken. To name the version that was asked for only makes sense to refuse an option.
        let exists = version.major() == max.major() && version != ProtocolVersion::new(3, 1);
        let older = version < *max || version == *max && !unrecognized.is_empty();
        if self.negotiated || !exists || !older {
            return Err(PeerError::Version(version).into());
        }
        if version < *min {
            return Err(PolicyError::Version { server: version, min: *min }.into());
        }
        for option in unrecognized {
            let sent = |(name, _): &(String, String)| name.starts_with("_pq_.") && option == name.as_str();
            let Some((name, _)) = parameters.iter().find(|parameter| sent(parameter)) else {
                return Err(PeerError::UnknownOption.into());
            };
            if !self.session.unrecognized_options.contains(name) {
                self.session.unrecognized_options.push(name.clone());
            }
        }
        self.negotiated = true;
        self.session.version = version;
        Ok(())
    }

    /// The server authenticates by this method, if it may.
    fn allow(&mut self, method: AuthMethod) -> Result<(), AuthError> {
        if !self.config.require_auth.allows(method) {
            return Err(PolicyError::Method(method).into());
        }
        // A password that cannot be bound to the channel is not to be sent where binding is demanded.
        if self.config.channel_binding == BindingMode::Require && method != AuthMethod::ScramSha256 {
            return Err(PolicyError::ChannelBinding.into());
        }
        self.session.auth_method = method;
        Ok(())
    }

    /// The server says that the user is in. What was demanded of it is looked at once more, here at the door.
    fn settle(&mut self, proven: Option<Proven>) -> Result<State, AuthError> {
        let bound = proven.is_some_and(|proven| proven.is_bound());
        if self.config.channel_binding == BindingMode::Require && !bound {
            return Err(PolicyError::ChannelBinding.into());
        }
        if !self.config.require_auth.allows(self.session.auth_method) {
            return Err(PolicyError::Method(self.session.auth_method).into());
        }
        self.session.channel_bound = bound;
        self.authenticated = true;
        Ok(State::Settling)
    }

    fn begin_scram(
        &mut self,
        mechanisms: Terminated<'_, Text<'_>>,
        outbox: &mut Outbox,
    ) -> Result<ClientFirst, AuthError> {
        let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
        // A server offers it over TLS alone.
        if self.link != Link::Tls && offers(SCRAM_SHA_256_PLUS) {
            return Err(PeerError::TlsStripped.into());
        }
        let wanted = self.config.channel_binding != BindingMode::Disable;
        let channel = self.channel.clone().filter(|_| wanted && self.link == Link::Tls);
        let (mechanism, binding) = match channel {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::TlsServerEndPoint(hash))
            }
            _ if self.config.channel_binding == BindingMode::Require => {
                return Err(PolicyError::ChannelBinding.into());
            }
            _ if !offers(SCRAM_SHA_256) => return Err(PeerError::NoMechanism.into()),
            // Should the server have offered it after all, it will see that somebody cut its offer.
            Some(_) => (SCRAM_SHA_256, ChannelBinding::NotOffered),
            None => (SCRAM_SHA_256, ChannelBinding::Unsupported),
        };
        let first = ClientFirst::new(self.take_nonce()?, binding);
        let data = first.message();
        outbox.put(&SaslInitialResponse { mechanism: mechanism.into(), data: Some(Secret(&data)) });
        Ok(first)
    }

    /// The keys that spare us a derivation: given in place of a password, or derived for an earlier connection.
    fn known_keys(&self, challenged: &ClientChallenged) -> Option<ScramKeys> {
        let Config { scram_keys, scram_cache, password, .. } = self.config;
        let cached =
            || scram_cache.as_ref()?.get(password.as_ref()?, challenged.salt(), challenged.iterations());
        scram_keys.clone().or_else(cached)
    }

    /// Keeps what was derived for the next connection, now that the server has shown that it is right.
    fn remember(&mut self) {
        if let Some(Derived { salt, iterations, keys }) = self.fresh.take()
            && let (Some(cache), Some(password)) = (&self.config.scram_cache, &self.config.password)
        {
            cache.insert(password, &salt, iterations, keys);
        }
    }

    fn take_nonce(&mut self) -> Result<Nonce, AuthError> {
        match self.nonce.take() {
            Some(nonce) => Ok(nonce),
            None => Nonce::fresh(),
        }
    }

    fn password(&self) -> Result<&'c Password, AuthError> {
        match &self.config.password {
            Some(password) if !password.is_empty() => Ok(password),
            // PostgreSQL takes no empty password, and libpq sends none.
            _ => Err(PolicyError::NoPassword.into()),
        }
    }

    fn send_password(&self, password: &Password, outbox: &mut Outbox) {
        outbox.put(&PasswordMessage { password: SecretText(Text::from(password.as_bytes())) });
    }
}

/// The text of a server that has no process to speak the protocol with: `E` and a line, without a length. What would be
/// the length is then four letters: more than half a gigabyte, which nothing is that a stranger may send.
fn let_down(bytes: &[u8]) -> Option<&[u8]> {
    let text = bytes.strip_prefix(b"E")?;
    let letters = text.first_chunk::<4>()?.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let end = text.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(text.len());
    letters.then(|| text.get(..end)).flatten()
}

fn prove(last: ClientFinal, outbox: &mut Outbox) -> State {
    outbox.put(&SaslResponse { data: Secret(last.message()) });
    State::ScramFinal(last)
}

/// The message by its name in the manual, where Authentication goes by as many names as it has kinds.
fn name(message: &Backend<'_>) -> &'static str {
    match message {
        Backend::Authentication(Authentication::Ok) => "AuthenticationOk",
        Backend::Authentication(Authentication::CleartextPassword) => "AuthenticationCleartextPassword",
        Backend::Authentication(Authentication::Md5Password { .. }) => "AuthenticationMD5Password",
        Backend::Authentication(Authentication::GssContinue(_)) => "AuthenticationGSSContinue",
        Backend::Authentication(Authentication::Sasl(_)) => "AuthenticationSASL",
        Backend::Authentication(Authentication::SaslContinue(_)) => "AuthenticationSASLContinue",
        Backend::Authentication(Authentication::SaslFinal(_)) => "AuthenticationSASLFinal",
        other => pg_wire::Message::name(other),
    }
}

impl State {
    fn expects(&self) -> &'static str {
        match self {
            Self::Start | Self::Over | Self::Deriving(_) => "nothing",
            Self::AwaitMethod => "a request for authentication",
            Self::PasswordSent | Self::Proven(_) => "AuthenticationOk",
            Self::ScramFirst(_) => "AuthenticationSASLContinue",
            Self::ScramFinal(_) => "AuthenticationSASLFinal",
            Self::Settling => "ReadyForQuery",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pg_wire::Limits;

    #[test]
    fn a_server_that_cannot_fork_is_quoted() {
        let config = Config::new("me");
        let mut handshake = Handshake::new(&config, Link::Tcp).expect("nothing is wrong with it");
        let (mut inbox, mut outbox) = (Inbox::new(Limits::BACKEND.before_authentication()), Outbox::new(0));
        assert!(matches!(handshake.step(&mut inbox, &mut outbox), Ok(Step::Read)));
        inbox.extend(b"Ecould not fork new process for connection: \x1b[2J\n\0");
        let error = handshake.step(&mut inbox, &mut outbox).expect_err("there will be no session");
        let told = "the server refused the connection: could not fork new process for connection: ?[2J";
        assert_eq!(error.to_string(), told);
    }
}
