//! The client's and the server's state machine, and the transport of bytes between the two.

use pg_auth::accept::welcome;
use pg_auth::scram::{DEFAULT_ITERATIONS, Verifier};
use pg_auth::{
    Accept, AcceptStep, AuthError, AuthenticationMode, CancelKey, Config, Credentials, Handshake, Link,
    Login, Session, Step,
};
use pg_wire::testing::block_on;
use pg_wire::{Inbox, Limits, Outbox};

/// The outcomes of one login for the client and for the server.
pub(crate) struct Outcome {
    /// The number of times that the client had to derive keys.
    pub(crate) derivations: usize,
    pub(crate) client: Result<Session, AuthError>,
    pub(crate) server: Result<Login, AuthError>,
    /// All bytes that the client has sent.
    pub(crate) sent: Vec<u8>,
}

impl Outcome {
    /// The text of the client's error. Fails if the client has logged in.
    #[track_caller]
    pub(crate) fn client_error(&self) -> String {
        self.client.as_ref().expect_err("the client is in").to_string()
    }

    /// The server's error. Fails if the client has logged in.
    #[track_caller]
    pub(crate) fn reason(&self) -> &AuthError {
        self.server.as_ref().expect_err("the client is in")
    }
}

type Meddle<'c> = Box<dyn FnMut(Vec<u8>) -> Vec<u8> + 'c>;

/// The state machines of a client and of a server, before a login.
pub(crate) struct Pair<'c> {
    client: Handshake<'c>,
    accept: Accept,
    to_server: Meddle<'c>,
    to_client: Meddle<'c>,
}

impl<'c> Pair<'c> {
    pub(crate) fn new(config: &'c Config, link: Link) -> Self {
        Self {
            client: Handshake::new(config, link).expect("a valid configuration"),
            accept: Accept::new(),
            to_server: Box::new(|bytes| bytes),
            to_client: Box::new(|bytes| bytes),
        }
    }

    pub(crate) fn client(self, set_up: impl FnOnce(Handshake<'c>) -> Handshake<'c>) -> Self {
        Self { client: set_up(self.client), ..self }
    }

    pub(crate) fn server(self, set_up: impl FnOnce(Accept) -> Accept) -> Self {
        Self { accept: set_up(self.accept), ..self }
    }

    /// Adds an attacker, who changes the client's bytes on their way to the server.
    pub(crate) fn towards_server(self, meddle: impl FnMut(Vec<u8>) -> Vec<u8> + 'c) -> Self {
        Self { to_server: Box::new(meddle), ..self }
    }

    /// Adds an attacker, who changes the server's bytes on their way to the client.
    pub(crate) fn towards_client(self, meddle: impl FnMut(Vec<u8>) -> Vec<u8> + 'c) -> Self {
        Self { to_client: Box::new(meddle), ..self }
    }

    /// Runs the login: passes the client's bytes to the server and the server's bytes to the client, until both state machines have ended.
    pub(crate) fn run(self, credentials: impl Fn(&[u8]) -> Credentials) -> Outcome {
        let Self { mut client, mut accept, mut to_server, mut to_client } = self;
        let buffers = |limits: Limits| (Inbox::new(limits), Outbox::new(1024));
        let (mut client_in, mut client_out) = buffers(Limits::BACKEND);
        let (mut server_in, mut server_out) = buffers(Limits::FRONTEND);
        let (mut client_end, mut server_end) = (None, None);
        let (mut derivations, mut sent) = (0, Vec::new());
        for _ in 0..100 {
            if client_end.is_none() {
                match client.step(&mut client_in, &mut client_out) {
                    Ok(Step::Read) => {}
                    Ok(Step::Derive(job)) => {
                        derivations += 1;
                        client.derived(&job.run(), &mut client_out);
                    }
                    Ok(Step::Token(request)) => {
                        let tokens = client.config().tokens.as_ref().expect("the configuration has tokens");
                        let reply = block_on(tokens.token(request));
                        client_end = client.token(reply, &mut client_out).err().map(Err);
                    }
                    Ok(Step::Gss(job)) => {
                        client_end = client.stepped(job.run(), &mut client_out).err().map(Err);
                    }
                    Ok(Step::Ready(session)) => client_end = Some(Ok(session)),
                    Ok(other) => panic!("unexpected step: {other:?}"),
                    Err(error) => client_end = Some(Err(error)),
                }
            }
            let bytes = taken(&mut client_out);
            sent.extend_from_slice(&bytes);
            server_in.extend(&to_server(bytes));
            if server_end.is_none() {
                match accept.step(&mut server_in, &mut server_out) {
                    Ok(AcceptStep::Read) => {}
                    Ok(AcceptStep::Authenticate(startup)) => {
                        let credentials = credentials(startup.user().as_bytes());
                        server_end =
                            accept.authenticate(credentials, &mut server_in, &mut server_out).err().map(Err);
                    }
                    Ok(AcceptStep::Derive(job)) => accept.derived(&job.run()),
                    Ok(AcceptStep::Token(check)) => {
                        let is_good = block_on(check.run());
                        accept.token_checked(is_good);
                    }
                    Ok(AcceptStep::Gss(job)) => accept.stepped(job.run()),
                    Ok(AcceptStep::Login(login)) => {
                        let key = CancelKey::random(7, login.startup.version())
                            .expect("the system has random bytes");
                        welcome([("server_version", "18.0")], Some(&key), &mut server_out);
                        server_end = Some(Ok(login));
                    }
                    Ok(other) => panic!("unexpected step: {other:?}"),
                    Err(error) => server_end = Some(Err(error)),
                }
            }
            client_in.extend(&to_client(taken(&mut server_out)));
            if client_end.is_some() && server_end.is_some() {
                break;
            }
        }
        if matches!(client_end, Some(Ok(_))) {
            assert_eq!(*client_in.limits(), Limits::BACKEND, "the client's limits are back in force");
        }
        if server_end.is_some() {
            assert_eq!(*server_in.limits(), Limits::FRONTEND, "the server's limits are back in force");
        }
        // A side that has not ended still waits for the side that has ended. The result of the waiting side is a placeholder error.
        Outcome {
            derivations,
            client: client_end.unwrap_or(Err(AuthError::Entropy)),
            server: server_end.unwrap_or(Err(AuthError::Entropy)),
            sent,
        }
    }
}

fn taken(outbox: &mut Outbox) -> Vec<u8> {
    outbox.commit().expect("everything can be sent");
    let bytes = outbox.pending().to_vec();
    outbox.sent(bytes.len());
    bytes
}

/// Runs a login of a client with this configuration, at a server with these credentials. If the client cannot start, its error is the
/// outcome.
pub(crate) fn pair(config: &Config, link: Link, credentials: impl Fn(&[u8]) -> Credentials) -> Outcome {
    match Handshake::new(config, link) {
        Ok(_) => Pair::new(config, link).run(credentials),
        Err(error) => {
            Outcome { derivations: 0, client: Err(error), server: Err(AuthError::Denied), sent: Vec::new() }
        }
    }
}

pub(crate) fn alice() -> Config {
    Config::new("alice").auth(AuthenticationMode::Password("s3cret".into()))
}

pub(crate) fn verifier(password: &str) -> Verifier {
    Verifier::new(&password.into(), b"0123456789abcdef".to_vec(), DEFAULT_ITERATIONS)
}

pub(crate) fn certificate(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/certificates/{name}.der", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("the file is checked in")
}

/// Replaces the first occurrence of `old` by `new`, which has the same length, so that the length field of the message stays right.
pub(crate) fn replaced(bytes: Vec<u8>, old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    match bytes.windows(old.len()).position(|window| window == old) {
        Some(at) => [&bytes[..at], new, &bytes[at + old.len()..]].concat(),
        None => bytes,
    }
}

/// Encodes a message with this code and this body.
pub(crate) fn message(code: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("the length fits into 32 bits");
    [&[code][..], &length.to_be_bytes(), body].concat()
}
