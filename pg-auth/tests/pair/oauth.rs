//! Tests of OAUTHBEARER between a client and a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pg_auth::config::{AuthMethod, BindingMode, OAuthSettings, RequireAuth};
use pg_auth::error::{AuthError, ClientError, PeerError, PolicyError};
use pg_auth::oauth::{Discovery, OAuthFault, OAuthLogin, Token, TokenReply, TokenRequest, Tokens};
use pg_auth::{Config, Credentials, Handshake, Link};

use crate::support::*;

const ISSUER: &str = "https://issuer.example";

/// A source of tokens that returns this token only after the server has sent its discovery document.
fn after_discovery(token: &'static str) -> Tokens {
    Tokens::new(move |request: TokenRequest| async move {
        match request.discovery {
            Some(document) if document.as_str().contains(ISSUER) => Ok(Token::new(token)?.into()),
            Some(_) => Err("another issuer".into()),
            None => Ok(TokenReply::Discover),
        }
    })
}

/// A source of tokens that returns this token at once.
fn at_once(token: &'static str) -> Tokens {
    Tokens::new(move |_: TokenRequest| async move { Ok(Token::new(token)?.into()) })
}

fn wants(token: &'static str) -> impl Fn(&[u8]) -> Credentials {
    move |_| {
        let check = move |given: Token| async move { given.as_bytes() == token.as_bytes() };
        Credentials::OAuth(OAuthLogin::new(ISSUER, "openid email", check))
    }
}

fn alice_with(tokens: Tokens) -> Config {
    Config::new("alice").tokens(tokens)
}

#[test]
fn a_valid_token_logs_in() {
    let config = alice_with(at_once("good"));
    let outcome = Pair::new(&config, Link::Tls).run(wants("good"));
    assert_eq!(outcome.client.expect("a valid token").auth_method, AuthMethod::OAuth);
    assert_eq!(outcome.server.expect("a valid token").auth_method, AuthMethod::OAuth);
}

#[test]
fn an_invalid_token_is_rejected_with_the_document_and_the_servers_error() {
    let config = alice_with(at_once("bad"));
    let outcome = Pair::new(&config, Link::Tls).run(wants("good"));
    assert_eq!(*outcome.reason(), AuthError::Denied);
    let error = outcome.client.expect_err("an invalid token");
    assert_eq!(error.discovery(), None, "another attempt would be useless");
    assert_eq!(
        error.server_error().map(ToString::to_string).as_deref(),
        Some("FATAL 28000: OAuth bearer authentication failed for user \"alice\"")
    );
    let AuthError::Server(pg_auth::error::Refusal::Token(refusal)) = &error else { panic!("{error:?}") };
    assert!(refusal.token_sent);
    assert_eq!(
        refusal.document.as_str(),
        "{ \"status\": \"invalid_token\", \"openid-configuration\": \
         \"https://issuer.example/.well-known/openid-configuration\", \"scope\": \"openid email\" }"
    );
    assert!(!format!("{error:?}{error}").contains("Bearer bad"));
}

#[test]
fn a_client_without_a_token_asks_for_the_document_and_tries_again() {
    let config = alice_with(after_discovery("good"));
    let first = Pair::new(&config, Link::Tls).run(wants("good"));
    assert!(first.sent.windows(8).any(|window| window == b"\x01auth=\x01\x01"));
    assert!(!first.sent.windows(4).any(|window| window == b"good"));
    let document: Discovery =
        first.client.expect_err("no token was sent").discovery().cloned().expect("a document");
    let second = Pair::new(&config, Link::Tls).client(|client| client.discovery(document)).run(wants("good"));
    assert!(second.client.is_ok());
}

#[test]
fn a_token_source_receives_user_host_and_settings_at_each_attempt() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let config = alice_with(Tokens::new(move |request: TokenRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!((request.user.as_str(), request.host.as_deref()), ("alice", Some("db.example")));
        assert_eq!(request.settings.issuer.as_deref(), Some(ISSUER));
        async { Ok(Token::new("good")?.into()) }
    }))
    .oauth(OAuthSettings::default().issuer(ISSUER));
    for attempt in 1..=3 {
        let pair = Pair::new(&config, Link::Tls).client(|client| client.host("db.example"));
        assert!(pair.run(wants("good")).client.is_ok());
        assert_eq!(asked.load(Ordering::Relaxed), attempt);
    }
}

#[test]
fn the_error_of_a_token_source_is_reported_and_nothing_is_sent() {
    let config = alice_with(Tokens::new(|_: TokenRequest| async { Err("the issuer is down".into()) }));
    let outcome = Pair::new(&config, Link::Tls).run(wants("good"));
    let error = outcome.client.expect_err("there is no token");
    assert_eq!(error.to_string(), "the token source failed");
    assert_eq!(std::error::Error::source(&error).expect("a cause").to_string(), "the issuer is down");
    assert!(!outcome.sent.contains(&b'p'));
}

#[test]
fn a_token_is_sent_over_tls_or_locally_if_the_caller_allows_it() {
    let local = |link, loopback: bool, allowed: bool| {
        let tokens = at_once("good");
        let config = alice_with(if allowed { tokens.allow_plain_local() } else { tokens });
        let pair =
            Pair::new(&config, link).client(|client| if loopback { client.loopback() } else { client });
        let outcome = pair.run(wants("good"));
        assert_eq!(outcome.client.is_ok(), outcome.sent.windows(4).any(|window| window == b"good"));
        outcome.client.err()
    };
    let refused = Some(PolicyError::TokenInClear.into());
    assert_eq!(local(Link::Tcp, false, false), refused);
    assert_eq!(local(Link::Tcp, false, true), refused);
    assert_eq!(local(Link::Tcp, true, false), refused);
    assert_eq!(local(Link::Unix, false, false), refused);
    assert_eq!(local(Link::Tcp, true, true), None);
    assert_eq!(local(Link::Unix, false, true), None);
    assert_eq!(local(Link::Tls, false, false), None);
}

#[test]
fn policy_is_checked_before_a_token_is_sent() {
    for (config, error) in [
        (Config::new("alice"), PolicyError::NoTokens),
        (
            alice_with(at_once("good")).require_auth(RequireAuth::except(&[AuthMethod::OAuth])),
            PolicyError::Method(AuthMethod::OAuth),
        ),
        (alice_with(at_once("good")).channel_binding(BindingMode::Require), PolicyError::ChannelBinding),
    ] {
        let outcome = Pair::new(&config, Link::Tls).run(wants("good"));
        assert_eq!(outcome.client.err(), Some(error.into()));
        assert!(!outcome.sent.contains(&b'p'));
    }
}

/// If a server offers OAUTHBEARER and SCRAM, and the client has a password, the client chooses SCRAM. In SCRAM, unlike in OAUTHBEARER, the
/// server also proves its identity.
#[test]
fn scram_is_preferred_if_there_is_a_password() {
    let both = message(b'R', b"\0\0\0\x0aOAUTHBEARER\0SCRAM-SHA-256\0\0");
    let chosen = |config: &Config| {
        let handshake = |bytes: &[u8]| {
            let mut client = Handshake::new(config, Link::Tls).expect("a valid configuration");
            let mut inbox = pg_wire::Inbox::new(pg_wire::Limits::BACKEND);
            let mut outbox = pg_wire::Outbox::new(1024);
            client.step(&mut inbox, &mut outbox).expect("the first step succeeds");
            inbox.extend(bytes);
            matches!(client.step(&mut inbox, &mut outbox), Ok(pg_auth::Step::Token(_)))
        };
        handshake(&both)
    };
    assert!(chosen(&alice_with(at_once("x"))));
    assert!(!chosen(&alice_with(at_once("x")).password("s3cret")));
    assert!(!chosen(&alice()));
    let only = RequireAuth::only(&[AuthMethod::OAuth]);
    assert!(chosen(&alice_with(at_once("x")).password("s3cret").require_auth(only)));
}

#[test]
fn authentication_ok_is_rejected_before_a_token_and_after_a_rejected_token() {
    let ok = message(b'R', b"\0\0\0\0");
    // The attacker replaces one message of the server by AuthenticationOk: the discovery document if `nth` is 1, the ErrorResponse if `nth`
    // is 2.
    for nth in [1, 2] {
        let config = alice_with(after_discovery("good"));
        let mut spoken = 0;
        let meddle = |bytes: Vec<u8>| {
            if bytes.is_empty() {
                return bytes;
            }
            spoken += 1;
            if spoken == nth + 1 { ok.clone() } else { bytes }
        };
        let outcome = Pair::new(&config, Link::Tls).towards_client(meddle).run(wants("good"));
        assert_eq!(outcome.client.err(), Some(PeerError::Unproven.into()), "{nth}");
    }
}

#[test]
fn an_unreadable_document_is_an_error() {
    let config = alice_with(at_once("bad"));
    for document in [&b""[..], b"\x1b[2J", b"\xff", &[b' '; 16_385]] {
        let meddle = |bytes: Vec<u8>| match bytes.starts_with(b"R") && bytes[8] == 11 {
            true => message(b'R', &[b"\0\0\0\x0b", document].concat()),
            false => bytes,
        };
        let outcome = Pair::new(&config, Link::Tls).towards_client(meddle).run(wants("good"));
        assert_eq!(outcome.client.err(), Some(PeerError::Document.into()));
    }
}

#[test]
fn malformed_messages_of_the_mechanism_are_rejected() {
    let config = alice_with(at_once("good"));
    let first = |data: &[u8]| {
        let length = u32::try_from(data.len()).expect("the length fits into 32 bits").to_be_bytes();
        message(b'p', &[b"OAUTHBEARER\0", &length[..], data].concat())
    };
    for (data, fault) in [
        (&b"n,,\x01auth=Basic eDp5\x01\x01"[..], OAuthFault::Token),
        (b"n,,\x01\x01", OAuthFault::Auth),
        (b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01", OAuthFault::Binding),
        (b"", OAuthFault::Syntax),
    ] {
        let lie = |bytes: Vec<u8>| if bytes.starts_with(b"p") { first(data) } else { bytes };
        let outcome = Pair::new(&config, Link::Tls).towards_server(lie).run(wants("good"));
        assert_eq!(*outcome.reason(), ClientError::OAuth(fault).into());
        assert_eq!(outcome.client_error(), "FATAL 08P01: malformed OAUTHBEARER message");
    }
    // After a failure, the client must send a message of one byte. The test replaces this message by a message of two bytes, which the
    // server rejects.
    let config = alice_with(at_once("bad"));
    let mut spoken = 0;
    let lie = |bytes: Vec<u8>| {
        spoken += usize::from(bytes.starts_with(b"p"));
        if spoken == 2 && bytes.starts_with(b"p") { message(b'p', b"\x01\x01") } else { bytes }
    };
    let outcome = Pair::new(&config, Link::Tls).towards_server(lie).run(wants("good"));
    assert_eq!(*outcome.reason(), ClientError::OAuth(OAuthFault::Answer).into());
}

#[test]
fn a_configuration_with_a_source_equals_its_clones_and_prints_no_secret() {
    let config = alice_with(at_once("good"));
    assert_eq!(config, config.clone());
    assert_ne!(config, alice_with(at_once("good")));
    assert!(!format!("{config:?}").contains("good"));
}
