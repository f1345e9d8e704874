//! Tests of GSSAPI and SSPI between a client and a server. A small test library takes the place of the real GSSAPI library.

use pg_auth::config::{AuthMethod, BindingMode, RequireAuth};
use pg_auth::error::{AuthError, ClientError, ConfigError, PeerError, PolicyError};
use pg_auth::gss::{ContextError, Gss, GssContext, GssLogin, GssOutput, GssTarget};
use pg_auth::{Config, Credentials, Link};

use crate::support::*;

/// A context whose tokens are numbers: each side answers with the next number, until the last number is sent.
struct Counting {
    next: u8,
    last: u8,
    principal: Option<String>,
}

impl GssContext for Counting {
    fn step(&mut self, input: Option<&[u8]>) -> Result<GssOutput, ContextError> {
        match input {
            None if self.next == 0 => {}
            Some([token]) if *token + 1 == self.next => {}
            other => return Err(format!("{other:?} where {} was expected", self.next).into()),
        }
        let token = self.next;
        let peer = self.principal.clone();
        self.next += 2;
        if token > self.last {
            return Ok(done(None, peer));
        }
        if token == self.last {
            Ok(done(Some(vec![token]), peer))
        } else {
            Ok(GssOutput::Continue(vec![token]))
        }
    }
}

fn done(token: Option<Vec<u8>>, peer: Option<String>) -> GssOutput {
    GssOutput::Done { token, peer }
}

fn client(last: u8) -> Gss {
    Gss::new(move |target: &GssTarget| -> Result<Box<dyn GssContext>, ContextError> {
        assert_eq!((target.service.as_str(), target.host.as_str()), ("postgres", "db.example"));
        Ok(Box::new(Counting { next: 0, last, principal: None }))
    })
}

fn server(last: u8, principal: Option<&'static str>) -> impl Fn(&[u8]) -> Credentials {
    move |_| {
        let context = Counting { next: 1, last, principal: principal.map(Into::into) };
        Credentials::Gss(GssLogin::new(Box::new(context), |principal| principal == "alice@EXAMPLE.COM"))
    }
}

const ALICE: Option<&str> = Some("alice@EXAMPLE.COM");

fn run(config: &Config, credentials: impl Fn(&[u8]) -> Credentials) -> Outcome {
    Pair::new(config, Link::Tcp).client(|client| client.host("db.example")).run(credentials)
}

#[test]
fn tokens_are_exchanged_until_both_sides_are_done() {
    for last in 0..12 {
        let config =
            Config::new("alice").gss(client(last)).require_auth(RequireAuth::only(&[AuthMethod::Gss]));
        let outcome = run(&config, server(last, ALICE));
        let session = outcome.client.unwrap_or_else(|error| panic!("{last}: {error:?}"));
        assert_eq!(session.auth_method, AuthMethod::Gss);
        let login = outcome.server.expect("alice logs in");
        assert_eq!(login.principal.as_deref(), ALICE);
        assert_eq!(login.auth_method, AuthMethod::Gss);
    }
}

#[test]
fn another_principal_or_no_principal_is_rejected() {
    let config = Config::new("alice").gss(client(1));
    for principal in [Some("bob@EXAMPLE.COM"), Some("alice@OTHER.COM"), Some("alice"), None] {
        let outcome = run(&config, server(1, principal));
        assert_eq!(*outcome.reason(), AuthError::Denied);
        assert_eq!(outcome.client_error(), "FATAL 28000: GSSAPI authentication failed for user \"alice\"");
    }
}

#[test]
fn the_error_of_the_library_is_reported_on_its_own_side() {
    let failing =
        Gss::new(|_: &GssTarget| -> Result<Box<dyn GssContext>, ContextError> { Err("no ticket".into()) });
    let outcome = run(&Config::new("alice").gss(failing), server(1, ALICE));
    let error = outcome.client.expect_err("there is no ticket");
    assert_eq!(error.to_string(), "the GSSAPI library failed");
    assert_eq!(std::error::Error::source(&error).expect("a cause").to_string(), "no ticket");

    let config = Config::new("alice").gss(client(2));
    let lie = |bytes: Vec<u8>| if bytes.starts_with(b"p") { message(b'p', b"?") } else { bytes };
    let outcome = Pair::new(&config, Link::Tcp)
        .client(|client| client.host("db.example"))
        .towards_server(lie)
        .run(server(2, ALICE));
    assert!(matches!(outcome.reason(), AuthError::Plugin(_)));
    assert_eq!(outcome.client_error(), "FATAL 28000: GSSAPI authentication failed for user \"alice\"");
}

#[test]
fn policy_is_checked_before_the_first_token_is_sent() {
    for (config, error) in [
        (Config::new("alice"), PolicyError::NoGss),
        (
            Config::new("alice").gss(client(1)).require_auth(RequireAuth::except(&[AuthMethod::Gss])),
            PolicyError::Method(AuthMethod::Gss),
        ),
    ] {
        let outcome = run(&config, server(1, ALICE));
        assert_eq!(outcome.client.err(), Some(error.into()));
        assert!(!outcome.sent.contains(&b'p'));
    }
    let config = Config::new("alice").gss(client(1)).channel_binding(BindingMode::Require);
    let outcome = Pair::new(&config, Link::Tls).run(server(1, ALICE));
    assert_eq!(outcome.client.err(), Some(PolicyError::ChannelBinding.into()));
}

#[test]
fn the_library_receives_the_service_the_host_and_the_settings() {
    let gss = Gss::new(|target: &GssTarget| -> Result<Box<dyn GssContext>, ContextError> {
        assert_eq!((target.service.as_str(), target.host.as_str()), ("pg", "db.example"));
        assert!(target.delegation && !target.sspi);
        Ok(Box::new(Counting { next: 0, last: 0, principal: None }))
    });
    let config = Config::new("alice").gss(gss).krbsrvname("pg").gssdelegation(true);
    assert!(run(&config, server(0, ALICE)).client.is_ok());
    // A Kerberos ticket is issued for a host, so the host's name is required.
    let outcome = Pair::new(&config, Link::Tcp).run(server(0, ALICE));
    assert_eq!(outcome.client.err(), Some(ConfigError::Missing("host").into()));
}

#[test]
fn authentication_ok_before_the_context_is_established_is_rejected() {
    let ok = message(b'R', b"\0\0\0\0");
    let config = Config::new("alice").gss(client(4));
    for nth in 1..3 {
        let mut spoken = 0;
        let meddle = |bytes: Vec<u8>| {
            if bytes.is_empty() {
                return bytes;
            }
            spoken += 1;
            if spoken == nth + 1 { ok.clone() } else { bytes }
        };
        let outcome = Pair::new(&config, Link::Tcp)
            .client(|client| client.host("db.example"))
            .towards_client(meddle)
            .run(server(4, ALICE));
        assert_eq!(outcome.client.err(), Some(PeerError::Unproven.into()), "{nth}");
    }
}

#[test]
fn sspi_is_the_same_exchange_with_another_code() {
    let sspi = |bytes: Vec<u8>| replaced(bytes, b"R\0\0\0\x08\0\0\0\x07", b"R\0\0\0\x08\0\0\0\x09");
    let gss = Gss::new(|target: &GssTarget| -> Result<Box<dyn GssContext>, ContextError> {
        assert!(target.sspi);
        Ok(Box::new(Counting { next: 0, last: 2, principal: None }))
    });
    let config = Config::new("alice").gss(gss).require_auth("sspi".parse().expect("the list is valid"));
    let outcome = Pair::new(&config, Link::Tcp)
        .client(|client| client.host("db.example"))
        .towards_client(sspi)
        .run(server(2, ALICE));
    assert_eq!(outcome.client.expect("alice logs in").auth_method, AuthMethod::Sspi);
}

#[test]
fn an_endless_exchange_is_ended() {
    let config = Config::new("alice").gss(client(200));
    let outcome = run(&config, server(200, ALICE));
    let client = outcome.client.expect_err("the exchange does not end");
    // The client or the server may be the first to find that the exchange is too long. The peer then receives an error, or no further
    // message.
    match outcome.server.expect_err("the exchange does not end") {
        AuthError::Client(error) => assert_eq!(error, ClientError::EndlessGss),
        _ => assert_eq!(client, PeerError::EndlessGss.into()),
    }
}
