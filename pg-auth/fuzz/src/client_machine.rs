mod server;

use std::num::NonZeroU32;

use pg_auth::config::{AuthMethod, BindingMode, ProtocolVersion, RequireAuth, SslMode};
use pg_auth::gss::{ContextError, Gss, GssContext, GssOutput, GssTarget};
use pg_auth::oauth::{OAUTHBEARER, Token, TokenReply, TokenRequest, Tokens};
use pg_auth::scram::{Iterations, SCRAM_SHA_256_PLUS, Verifier};
use pg_auth::{Config, Handshake, Link, Session, Step};
use pg_wire::frontend::{Frontend, SaslInitialResponse};
use pg_wire::testing::block_on;
use pg_wire::{Inbox, Limits, Outbox};

use crate::input::Input;
use crate::secrets::{PASSWORD, TOKEN, assert_hidden, contains, is_known};
use server::Server;

/// Maximum number of steps that the state machine takes between two portions of the server's bytes. The machine takes fewer steps if it
/// waits for the server or has ended.
const MOST_STEPS: usize = 8;

/// Logs in with an arbitrary configuration at an arbitrary server. Checks that the client sends secrets only as the configuration allows.
/// Checks that the client accepts a login only by an allowed method. In SCRAM, the server must also have proven that it knows the verifier.
pub fn client_machine(data: &[u8]) {
    if is_known(data) {
        return;
    }
    let mut input = Input::new(data);
    let policy = Policy::new(&mut input);
    let config = policy.config();
    let Ok(handshake) = Handshake::new(&config, policy.link) else { return };
    let handshake = handshake.nonce("rOprNGfwEbeRWgbNEkqO".parse().expect("a nonce"));
    let handshake = if policy.settings & 1 == 0 { handshake } else { handshake.channel(vec![7; 32]) };
    let handshake = if policy.settings & 2 == 0 { handshake } else { handshake.host("db.example") };
    let handshake = if policy.settings & 4 == 0 { handshake } else { handshake.loopback() };
    let mut client =
        Client { handshake, inbox: Inbox::new(Limits::BACKEND), outbox: Outbox::new(1024), said: Vec::new() };
    let mut server = Server::new();
    let mut received = 0;
    let mut outcome = client.turn();
    while outcome.is_none() && !input.is_empty() {
        let bytes = server.send(&client.said, &mut input);
        received += bytes.len();
        client.inbox.extend(&bytes);
        outcome = client.turn();
        assert!(client.inbox.capacity() <= 2 * (received + 2 * Limits::BACKEND.read_size));
        policy.check_said(&client.said);
        assert_hidden(&format!("{:?} {:?} {:?}", client.handshake, client.inbox, client.outbox));
    }
    match outcome {
        None => {}
        Some(Err(error)) => assert_hidden(&error),
        Some(Ok(session)) => policy.check_session(&session, &server),
    }
}

/// The client's state machine and its buffers.
struct Client<'c> {
    handshake: Handshake<'c>,
    inbox: Inbox,
    outbox: Outbox,
    /// All bytes that the client has sent.
    said: Vec<u8>,
}

impl Client<'_> {
    /// Takes steps until the machine waits for the server or has ended, but at most [`MOST_STEPS`]. Returns the session or the text of the
    /// error if the machine has ended.
    fn turn(&mut self) -> Option<Result<Session, String>> {
        let mut outcome = None;
        for _ in 0..MOST_STEPS {
            let step = self.handshake.step(&mut self.inbox, &mut self.outbox);
            let done = match step {
                Ok(Step::Read) => break,
                Ok(Step::Derive(job)) => {
                    self.handshake.derived(&job.run(), &mut self.outbox);
                    Ok(())
                }
                Ok(Step::Token(request)) => {
                    let tokens =
                        self.handshake.config().tokens.as_ref().expect("the configuration has tokens");
                    let reply = block_on(tokens.token(request));
                    self.handshake.token(reply, &mut self.outbox)
                }
                Ok(Step::Gss(job)) => self.handshake.stepped(job.run(), &mut self.outbox),
                Ok(Step::Ready(session)) => {
                    outcome = Some(Ok(session));
                    break;
                }
                Ok(step) => panic!("unexpected step {step:?}"),
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                outcome = Some(Err(format!("{error} {error:?}")));
                break;
            }
        }
        self.outbox.commit().expect("the messages can be sent");
        let pending = self.outbox.pending();
        self.said.extend_from_slice(pending);
        let sent = pending.len();
        self.outbox.sent(sent);
        outcome
    }
}

/// The settings that decide which messages the client may send.
struct Policy {
    settings: u8,
    link: Link,
    methods: Vec<AuthMethod>,
    sslmode: SslMode,
    binding: BindingMode,
    has_password: bool,
    has_tokens: bool,
    plain_tokens: bool,
    versions: u8,
}

impl Policy {
    fn new(input: &mut Input<'_>) -> Self {
        let settings = input.byte();
        let (links, methods, modes, secrets) = (input.byte(), input.byte(), input.byte(), input.byte());
        let methods = AuthMethod::ALL.iter().enumerate().filter(|(at, _)| methods >> at & 1 == 0);
        let sslmodes = [SslMode::Disable, SslMode::Allow, SslMode::Prefer, SslMode::Require];
        let bindings = [BindingMode::Disable, BindingMode::Prefer, BindingMode::Require, BindingMode::Prefer];
        Self {
            settings,
            link: [Link::Unix, Link::Tcp, Link::Tls, Link::Tcp][usize::from(links & 3)],
            methods: methods.map(|(_, method)| *method).collect(),
            sslmode: sslmodes[usize::from(modes & 3)],
            binding: bindings[usize::from(modes >> 2 & 3)],
            has_password: secrets & 1 == 0,
            has_tokens: secrets & 2 != 0,
            plain_tokens: secrets & 4 != 0,
            versions: secrets >> 3,
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new("alice")
            .database("shop")
            .require_auth(RequireAuth::only(&self.methods))
            .sslmode(self.sslmode)
            .channel_binding(self.binding)
            // The derivation of keys takes most of the time of an input, so the number of iterations is small.
            .scram_iterations(Iterations { min: 1, max: 2 });
        if self.has_password {
            config = config.password(PASSWORD);
        }
        if self.has_tokens {
            let discover = self.versions & 4 != 0;
            let tokens = Tokens::new(move |_: TokenRequest| async move {
                Ok(if discover { TokenReply::Discover } else { Token::new(TOKEN)?.into() })
            });
            config = config.tokens(if self.plain_tokens { tokens.allow_plain_local() } else { tokens });
        }
        if self.settings & 8 != 0 {
            config = config.gss(Gss::new(|_: &GssTarget| Ok(Box::new(Echo(0)) as Box<dyn GssContext>)));
        }
        if self.versions & 1 != 0 {
            config = config.protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::V3_2);
        }
        if self.versions & 2 != 0 {
            config = config.with_parameter("_pq_.unknown", "on");
        }
        config
    }

    /// Returns the verifier that the server stores for the user.
    fn verifier() -> Verifier {
        Verifier::new(&PASSWORD.into(), b"salt".to_vec(), NonZeroU32::MIN)
    }

    fn allows(&self, method: AuthMethod) -> bool {
        self.methods.contains(&method)
    }

    fn may_send_password(&self) -> bool {
        let is_private = matches!(self.link, Link::Tls | Link::Unix) || self.sslmode == SslMode::Disable;
        self.has_password
            && self.allows(AuthMethod::Password)
            && self.binding != BindingMode::Require
            && is_private
    }

    fn may_send_token(&self) -> bool {
        let is_local = self.link == Link::Unix || self.settings & 4 != 0;
        let is_private = self.link == Link::Tls || is_local && self.plain_tokens;
        self.has_tokens
            && self.allows(AuthMethod::OAuth)
            && self.binding != BindingMode::Require
            && is_private
    }

    /// Checks every message that the client has sent.
    fn check_said(&self, said: &[u8]) {
        assert!(
            self.may_send_password() || !contains(said, PASSWORD.as_bytes()),
            "the password is sent in clear"
        );
        assert!(self.may_send_token() || !contains(said, TOKEN.as_bytes()), "the token is sent in clear");
        let mut inbox = Inbox::new(Limits::FRONTEND);
        inbox.extend(said);
        inbox.next_packet(10_000).expect("a start-up message").expect("the whole message");
        let mut is_scram = false;
        while let Some(frame) = inbox.next().expect("well-formed messages") {
            let message = frame.frontend().expect("well-formed messages");
            let Frontend::AuthenticationResponse(response) = message else { panic!("{message:?}") };
            let body = frame.body;
            if body.starts_with(TICKET) {
                let is_gss = self.allows(AuthMethod::Gss) || self.allows(AuthMethod::Sspi);
                assert!(is_gss && self.settings & 8 != 0 && self.binding != BindingMode::Require);
            } else if body == [PASSWORD.as_bytes(), b"\0"].concat() {
                assert!(self.may_send_password());
            } else if body.len() == 36 && body.starts_with(b"md5") {
                assert!(
                    self.allows(AuthMethod::Md5) && self.has_password && self.binding != BindingMode::Require
                );
            } else if let Some(first) =
                response.decode_as::<SaslInitialResponse<'_>>().ok().filter(|first| first.data.is_some())
            {
                let mechanism = first.mechanism.to_string();
                if mechanism == OAUTHBEARER {
                    assert!(self.may_send_token());
                } else {
                    is_scram = true;
                    assert!(self.allows(AuthMethod::ScramSha256) && self.has_password);
                    let is_bound = mechanism == SCRAM_SHA_256_PLUS;
                    assert!(!is_bound || self.link == Link::Tls && self.binding != BindingMode::Disable);
                    assert!(is_bound || self.binding != BindingMode::Require);
                }
            } else if body.starts_with(b"c=") {
                assert!(is_scram, "a proof is sent only after the client has chosen SCRAM");
            } else {
                assert!(
                    body == b"\x01" && self.may_send_token(),
                    "not the answer to a rejected token: {body:?}"
                );
            }
        }
    }

    /// Checks the session of a successful login.
    fn check_session(&self, session: &Session, server: &Server) {
        assert!(self.allows(session.auth_method), "{:?}", session.auth_method);
        assert!(self.binding != BindingMode::Require || session.channel_bound);
        assert!(!session.channel_bound || self.link == Link::Tls);
        if session.auth_method == AuthMethod::ScramSha256 {
            assert!(server.has_proven, "only a server that knows the password can have a session by SCRAM");
        }
        assert_hidden(&format!("{session:?}"));
    }
}

/// The first bytes of each token of GSSAPI. No other message of the client begins with these bytes.
const TICKET: &[u8] = b"gss:";

/// A GSSAPI context that answers with [`TICKET`] and the received token, and is established after three tokens.
struct Echo(u8);

impl GssContext for Echo {
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError> {
        self.0 += 1;
        let token = [TICKET, input.unwrap_or_default()].concat();
        match self.0 {
            1..3 => Ok(GssOutput::Continue(token)),
            3 => Ok(GssOutput::Done { token: Some(token), peer: None }),
            _ => Err("the context is established".into()),
        }
    }
}
