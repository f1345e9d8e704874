mod client;

use std::num::NonZeroU32;

use pg_auth::accept::{Accept, AcceptStep, CertificateUser, Credentials, Login, StoredPassword};
use pg_auth::config::AuthMethod;
use pg_auth::gss::{ContextError, GssContext, GssLogin, GssOutput};
use pg_auth::link::TlsInfo;
use pg_auth::md5;
use pg_auth::oauth::{OAuthLogin, Token};
use pg_auth::scram::Verifier;
use pg_wire::testing::block_on;
use pg_wire::{Inbox, Limits, Outbox};

use crate::input::Input;
use crate::secrets::{PASSWORD, TOKEN, assert_hidden, contains, is_known};
use client::Client;

/// Maximum number of steps that the state machine takes between two portions of the client's bytes. The machine takes fewer steps if it
/// waits for the client or has ended.
const MOST_STEPS: usize = 8;

/// The salt of MD5 passwords.
const SALT: [u8; 4] = *b"salt";

/// The name of the user who can log in.
const USER: &str = "alice";

/// Accepts an arbitrary client with an arbitrary method of authentication. Checks that a login succeeds only if the client has proven that
/// it knows the secret, and that the server sends well-formed messages without secrets.
pub fn server_machine(data: &[u8]) {
    if is_known(data) || contains(data, client::TICKET) {
        return;
    }
    let mut input = Input::new(data);
    let settings = input.byte();
    let method = input.byte();
    let accept = Accept::new().salt(SALT).nonce("3rfcNHYJY1ZVvWVs7j".parse().expect("a nonce"));
    let accept = if settings & 1 == 0 { accept } else { accept.tls(TlsInfo::default()) };
    let accept = if settings & 2 == 0 { accept } else { accept.gss_declined() };
    let mut server = Server {
        accept,
        inbox: Inbox::new(Limits::FRONTEND),
        outbox: Outbox::new(1024),
        said: Vec::new(),
        method,
    };
    let mut client = Client::default();
    let mut received = 0;
    let mut outcome = server.turn();
    while outcome.is_none() && !input.is_empty() {
        let bytes = client.send(&server.said, &mut input);
        received += bytes.len();
        server.inbox.extend(&bytes);
        outcome = server.turn();
        assert!(server.inbox.capacity() <= 2 * (received + 2 * Limits::FRONTEND.read_size));
        assert!(!contains(&server.said, PASSWORD.as_bytes()) && !contains(&server.said, TOKEN.as_bytes()));
        assert_hidden(&format!("{:?} {:?} {:?}", server.accept, server.inbox, server.outbox));
    }
    match outcome {
        None | Some(Outcome::Cancel) => {}
        Some(Outcome::Error(error)) => assert_hidden(&error),
        Some(Outcome::Login(login)) => check_login(&login, method, &client),
    }
    check_said(&server.said);
}

/// Checks a successful login: its method, and that the client has sent the proof that this method demands.
fn check_login(login: &Login, method: u8, client: &Client) {
    let expected = match method % 9 {
        0 => AuthMethod::None,
        1 | 2 | 7 => AuthMethod::Password,
        3 => AuthMethod::Md5,
        4 => AuthMethod::ScramSha256,
        5 => AuthMethod::OAuth,
        6 => AuthMethod::Gss,
        method => panic!("method {method} accepts nobody"),
    };
    assert_eq!(login.auth_method, expected);
    assert!(expected == AuthMethod::None || client.has_proven(expected), "{expected:?} without a proof");
    assert_hidden(&format!("{login:?}"));
    assert_eq!(login.keys.is_some(), expected == AuthMethod::ScramSha256);
}

/// Checks that the server has sent at most two answers `N` to requests for encryption, and then only well-formed messages.
fn check_said(said: &[u8]) {
    let start = said.iter().take_while(|byte| **byte == b'N').count().min(2);
    // An `N` at the start is an answer to a request for encryption: the first message is never a NoticeResponse, which also begins with
    // `N`.
    let mut inbox = Inbox::new(Limits::BACKEND);
    inbox.extend(&said[start..]);
    while let Some(frame) = inbox.next().expect("well-formed messages") {
        let _ = frame.backend().expect("well-formed messages");
    }
    assert_eq!(inbox.buffered(), 0, "whole messages");
}

enum Outcome {
    Login(Login),
    Cancel,
    Error(String),
}

/// The server's state machine and its buffers.
struct Server {
    accept: Accept,
    inbox: Inbox,
    outbox: Outbox,
    /// All bytes that the server has sent.
    said: Vec<u8>,
    method: u8,
}

impl Server {
    /// Takes steps until the machine waits for the client or has ended, but at most [`MOST_STEPS`].
    fn turn(&mut self) -> Option<Outcome> {
        let mut outcome = None;
        for _ in 0..MOST_STEPS {
            let (is_asked, job) = match self.accept.step(&mut self.inbox, &mut self.outbox) {
                Ok(AcceptStep::Read) => break,
                Ok(AcceptStep::Authenticate(_)) => (true, None),
                Ok(AcceptStep::Derive(job)) => (false, Some(Job::Derive(job))),
                Ok(AcceptStep::Token(check)) => (false, Some(Job::Token(check))),
                Ok(AcceptStep::Gss(job)) => (false, Some(Job::Gss(job))),
                Ok(AcceptStep::Login(login)) => {
                    outcome = Some(Outcome::Login(login));
                    break;
                }
                Ok(AcceptStep::Cancel(key)) => {
                    assert!(self.outbox.is_empty(), "a cancel request has no answer: {key:?}");
                    outcome = Some(Outcome::Cancel);
                    break;
                }
                Ok(step) => panic!("unexpected step {step:?}"),
                Err(error) => {
                    outcome = Some(Outcome::Error(format!("{error} {error:?}")));
                    break;
                }
            };
            match job {
                None => {}
                Some(Job::Derive(job)) => self.accept.derived(&job.run()),
                Some(Job::Token(check)) => self.accept.token_checked(block_on(check.run())),
                Some(Job::Gss(job)) => self.accept.stepped(job.run()),
            }
            if is_asked {
                let credentials = credentials(self.method);
                if let Err(error) = self.accept.authenticate(credentials, &mut self.inbox, &mut self.outbox) {
                    outcome = Some(Outcome::Error(format!("{error} {error:?}")));
                    break;
                }
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

/// Work that the machine gives to its caller.
enum Job {
    Derive(pg_auth::scram::Derivation),
    Token(pg_auth::oauth::TokenCheck),
    Gss(pg_auth::gss::GssJob),
}

/// Returns the verifier that the server stores for the user.
fn verifier() -> Verifier {
    Verifier::new(&PASSWORD.into(), b"salt".to_vec(), NonZeroU32::MIN)
}

fn credentials(method: u8) -> Credentials {
    let md5 = || md5::Verifier::new(USER.as_bytes(), &PASSWORD.into());
    match method % 9 {
        0 => Credentials::Trust,
        1 => Credentials::Cleartext(StoredPassword::Plain(PASSWORD.into())),
        2 => Credentials::Cleartext(StoredPassword::Scram(verifier())),
        3 => Credentials::Md5(md5()),
        4 => Credentials::Scram(verifier()),
        5 => Credentials::OAuth(OAuthLogin::new(
            "https://issuer.example",
            "openid",
            |token: Token| async move { token.as_bytes() == TOKEN.as_bytes() },
        )),
        6 => Credentials::Gss(GssLogin::new(Box::new(Ticket(0)), |principal| principal == USER)),
        7 => Credentials::Cleartext(StoredPassword::Md5(md5())),
        _ => Credentials::Certificate(CertificateUser::Same),
    }
}

/// A GSSAPI context that is established by the second token. If the second token is [`client::TICKET`], it authenticates [`USER`];
/// otherwise it authenticates another user.
struct Ticket(u8);

impl GssContext for Ticket {
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError> {
        self.0 += 1;
        match (self.0, input) {
            (1, Some(_)) => Ok(GssOutput::Continue(b"more".to_vec())),
            (2, Some(token)) if token == client::TICKET => {
                Ok(GssOutput::Done { token: None, peer: Some(USER.into()) })
            }
            (2, Some(_)) => Ok(GssOutput::Done { token: Some(b"x".to_vec()), peer: Some("mallory".into()) }),
            _ => Err("the token is invalid".into()),
        }
    }
}
