//! Tests of the client's state machine with real servers, over blocking sockets. `cargo xtask test` starts the servers.

use std::io::{Read, Write};
use std::net::TcpStream;

use pg_auth::config::AuthMethod;
use pg_auth::error::{AuthError, PolicyError, Refusal};
use pg_auth::oauth::{Discovery, Token, TokenReply, TokenRequest, Tokens};
use pg_auth::{Config, Handshake, Link, Session, Step};
use pg_wire::testing::block_on;
use pg_wire::{Inbox, Limits, Outbox};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by `cargo xtask test`"))
}

/// Logs in over TCP without TLS. `server` is the environment variable that contains the server's address.
fn login(config: &Config, server: &str, discovery: Option<Discovery>) -> Result<Session, AuthError> {
    let mut stream = TcpStream::connect(variable(server)).expect("the server listens");
    let (mut inbox, mut outbox) = (Inbox::new(Limits::BACKEND), Outbox::new(1024));
    let mut handshake = Handshake::new(config, Link::Tcp)?.loopback();
    if let Some(document) = discovery {
        handshake = handshake.discovery(document);
    }
    loop {
        let step = handshake.step(&mut inbox, &mut outbox)?;
        outbox.commit().expect("the message can be encoded");
        stream.write_all(outbox.pending()).expect("the server reads");
        outbox.sent(usize::MAX);
        match step {
            Step::Read => {
                let count = stream.read(inbox.space()).expect("the server writes");
                assert!(count > 0, "the server says why it closes");
                inbox.filled(count);
            }
            Step::Derive(job) => handshake.derived(&job.run(), &mut outbox),
            Step::Token(request) => {
                let reply = block_on(config.tokens.as_ref().expect("there is a source").token(request));
                handshake.token(reply, &mut outbox)?;
            }
            Step::Ready(session) => return Ok(session),
            other => panic!("{other:?}"),
        }
    }
}

fn oauth_user(token: &str) -> Config {
    let token = token.to_owned();
    let tokens = Tokens::new(move |_: TokenRequest| {
        let token = Token::new(token.as_str());
        async move { Ok(token?.into()) }
    });
    Config::new("oauth").database("test").tokens(tokens.allow_plain_local())
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_bearer_token_logs_in() {
    let session = login(&oauth_user(&variable("PG_OAUTH_TOKEN")), "PG18_ADDR", None).expect("a valid token");
    assert_eq!(session.auth_method, AuthMethod::OAuth);
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_invalid_token_is_rejected_with_the_servers_document() {
    let error = login(&oauth_user("nobodys"), "PG18_ADDR", None).expect_err("an invalid token");
    let AuthError::Server(Refusal::Token(refusal)) = &error else { panic!("{error:?}") };
    assert!(refusal.token_sent);
    let document = refusal.document.as_str();
    for part in [variable("PG_OAUTH_ISSUER"), variable("PG_OAUTH_SCOPE"), "invalid_token".into()] {
        assert!(document.contains(&part), "{document}");
    }
    assert_eq!(
        error.server_error().map(ToString::to_string).as_deref(),
        Some("FATAL 28000: OAuth bearer authentication failed for user \"oauth\"")
    );
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_client_without_a_token_receives_the_discovery_document() {
    let good = variable("PG_OAUTH_TOKEN");
    let tokens = Tokens::new(move |request: TokenRequest| {
        let token = Token::new(good.as_str());
        async move { Ok(if request.discovery.is_some() { token?.into() } else { TokenReply::Discover }) }
    });
    let config = Config::new("oauth").database("test").tokens(tokens.allow_plain_local());
    let error = login(&config, "PG18_ADDR", None).expect_err("there is no token yet");
    let document = error.discovery().expect("the server sends the document").clone();
    assert!(document.as_str().contains(&variable("PG_OAUTH_ISSUER")));
    assert!(login(&config, "PG18_ADDR", Some(document)).is_ok());
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn no_token_is_sent_in_clear() {
    let config = Config::new("oauth")
        .tokens(Tokens::new(|_: TokenRequest| async { unreachable!("the source must not be asked") }));
    assert_eq!(login(&config, "PG18_ADDR", None).err(), Some(PolicyError::TokenInClear.into()));
    assert_eq!(login(&Config::new("oauth"), "PG18_ADDR", None).err(), Some(PolicyError::NoTokens.into()));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_request_for_gssapi_is_rejected_without_a_gssapi_library() {
    assert_eq!(login(&Config::new("gss"), "PG15_ADDR", None).err(), Some(PolicyError::NoGss.into()));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn right_passwords_log_in_and_wrong_passwords_do_not() {
    for server in ["PG15_ADDR", "PG18_ADDR"] {
        for (user, method) in [("md5", AuthMethod::Md5), ("scram", AuthMethod::ScramSha256)] {
            let config = |password: String| Config::new(user).database("test").password(password);
            let session = login(&config(format!("{user}-secret")), server, None).expect("the right password");
            assert_eq!(session.auth_method, method);
            let error = login(&config("wrong".into()), server, None).expect_err("wrong credentials");
            let expected = format!("FATAL 28P01: password authentication failed for user \"{user}\"");
            assert_eq!(error.to_string(), expected, "{server}");
        }
    }
}
