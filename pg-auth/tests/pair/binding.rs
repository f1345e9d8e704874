//! Tests of SCRAM-SHA-256-PLUS between a client and a server, with an attacker between them.

use pg_auth::config::{AuthMethod, BindingMode};
use pg_auth::error::{AuthError, ClientError, PeerError, PolicyError, Refusal, ScramFault};
use pg_auth::{Credentials, Link};

use crate::support::*;

fn scram(_: &[u8]) -> Credentials {
    Credentials::Scram(verifier("s3cret"))
}

fn server_refusal(outcome: &Outcome) -> String {
    match &outcome.client {
        Err(AuthError::Server(Refusal::Response(error))) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(outcome: &Outcome, fault: ScramFault, client_error: &str) {
    let AuthError::Peer(PeerError::Scram { fault: found, .. }) = outcome.reason() else {
        panic!("{:?}", outcome.server);
    };
    assert_eq!(*found, fault);
    assert_eq!(server_refusal(outcome), client_error);
}

#[test]
fn both_sides_bind_to_a_certificate_with_any_signature_algorithm() {
    let names =
        ["rsa-md5", "rsa-sha256", "rsa-sha512", "pss-sha1", "pss-sha384", "ecdsa-sha224", "ecdsa-sha384"];
    for name in names {
        for mode in [BindingMode::Prefer, BindingMode::Require] {
            let config = alice().channel_binding(mode);
            let certificate = certificate(name);
            let outcome = Pair::new(&config, Link::Tls)
                .client(|client| client.server_certificate(&certificate))
                .server(|server| server.server_certificate(&certificate))
                .run(scram);
            let session = outcome.client.expect("both sides have the same certificate");
            assert!(session.channel_bound, "{name}");
            assert_eq!(session.auth_method, AuthMethod::ScramSha256);
            let login = outcome.server.expect("both sides have the same certificate");
            assert!(login.channel_bound);
            assert_eq!(login.auth_method, AuthMethod::ScramSha256);
        }
    }
}

#[test]
fn the_server_detects_that_the_client_saw_another_certificate() {
    let config = alice();
    let outcome = Pair::new(&config, Link::Tls)
        .client(|client| client.server_certificate(&certificate("rsa-sha384")))
        .server(|server| server.server_certificate(&certificate("rsa-sha256")))
        .run(scram);
    refused(&outcome, ScramFault::OtherChannel, "FATAL 28000: SCRAM channel binding check failed");
}

/// The flag `y` means that the client supports channel binding, but was offered none. If the server did offer channel binding, an attacker
/// has removed the offer.
#[test]
fn the_server_detects_that_its_offer_was_removed() {
    let config = alice();
    let cut = |bytes: Vec<u8>| match bytes.windows(19).any(|window| window == b"SCRAM-SHA-256-PLUS\0") {
        true => message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"),
        false => bytes,
    };
    let pair = || {
        Pair::new(&config, Link::Tls)
            .client(|client| client.server_certificate(&certificate("rsa-sha256")))
            .server(|server| server.server_certificate(&certificate("rsa-sha256")))
            .towards_client(cut)
    };
    let outcome = pair().run(scram);
    refused(&outcome, ScramFault::Downgrade, "FATAL 08P01: SCRAM channel binding negotiation error");

    // An attacker who removes the offer and also changes the flag is detected, because the client's proof includes the flag.
    let mut changed = false;
    let outcome = pair()
        .towards_server(|bytes| {
            let bytes = replaced(bytes, b"y,,n=", b"n,,n=");
            changed = changed || bytes.windows(5).any(|window| window == b"n,,n=");
            bytes
        })
        .run(scram);
    refused(&outcome, ScramFault::OtherChannel, "FATAL 28000: SCRAM channel binding check failed");
    assert!(changed);
}

#[test]
fn a_server_without_channel_binding_accepts_a_client_that_supports_it() {
    for mode in [BindingMode::Disable, BindingMode::Prefer] {
        let config = alice().channel_binding(mode);
        let outcome = Pair::new(&config, Link::Tls)
            .client(|client| client.server_certificate(&certificate("rsa-sha256")))
            .run(scram);
        assert!(!outcome.client.expect("binding is not required").channel_bound);
        let flag: &[u8] = if mode == BindingMode::Prefer { b"y,,n=" } else { b"n,,n=" };
        assert!(outcome.sent.windows(5).any(|window| window == flag));
    }
    let config = alice().channel_binding(BindingMode::Require);
    let outcome = Pair::new(&config, Link::Tls)
        .client(|client| client.server_certificate(&certificate("rsa-sha256")))
        .run(scram);
    assert_eq!(outcome.client.err(), Some(PolicyError::ChannelBinding.into()));
    assert!(!outcome.sent.contains(&b'p'), "the client sent no SASL message");
}

#[test]
fn a_client_logs_in_without_binding_if_it_is_disabled_or_the_certificate_unknown() {
    for (mode, knows) in
        [(BindingMode::Disable, true), (BindingMode::Disable, false), (BindingMode::Prefer, false)]
    {
        let config = alice().channel_binding(mode);
        let outcome = Pair::new(&config, Link::Tls)
            .client(
                |client| if knows { client.server_certificate(&certificate("rsa-sha256")) } else { client },
            )
            .server(|server| server.server_certificate(&certificate("rsa-sha256")))
            .run(scram);
        assert!(!outcome.client.expect("binding is not required").channel_bound);
        assert!(!outcome.server.expect("binding is not required").channel_bound);
        assert!(outcome.sent.windows(5).any(|window| window == b"n,,n="));
    }
}

#[test]
fn a_certificate_without_a_hash_is_an_error_only_if_binding_is_required() {
    for name in ["ed25519", "ed448"] {
        for (mode, error) in
            [(BindingMode::Prefer, None), (BindingMode::Require, Some(PolicyError::NoEndPoint))]
        {
            let config = alice().channel_binding(mode);
            let outcome = Pair::new(&config, Link::Tls)
                .client(|client| client.server_certificate(&certificate(name)))
                .server(|server| server.server_certificate(&certificate(name)))
                .run(scram);
            assert_eq!(outcome.client.err(), error.map(AuthError::from));
        }
    }
    let config = alice().channel_binding(BindingMode::Require);
    let outcome = Pair::new(&config, Link::Tls).client(|client| client.server_certificate(b"PEM")).run(scram);
    assert!(outcome.client_error().contains("not X.509 in DER"), "{}", outcome.client_error());
}

/// The server's errors for each invalid flag for channel binding. This project's client sends only valid flags, so the test replaces the
/// client's message on its way to the server.
#[test]
fn a_flag_that_does_not_match_the_mechanism_is_rejected() {
    let malformed = "FATAL 08P01: malformed SCRAM message";
    let config = alice();
    let bound = || {
        Pair::new(&config, Link::Tls)
            .client(|client| client.server_certificate(&certificate("rsa-sha256")))
            .server(|server| server.server_certificate(&certificate("rsa-sha256")))
    };
    let first = |mechanism: &str, data: &str| {
        let length = u32::try_from(data.len()).expect("the length fits into 32 bits").to_be_bytes();
        message(b'p', &[mechanism.as_bytes(), b"\0", &length, data.as_bytes()].concat())
    };
    for (mechanism, data, fault, client_error) in [
        ("SCRAM-SHA-256-PLUS", "n,,n=,r=abc", ScramFault::Binding, malformed),
        ("SCRAM-SHA-256-PLUS", "y,,n=,r=abc", ScramFault::Binding, malformed),
        (
            "SCRAM-SHA-256-PLUS",
            "p=tls-unique,,n=,r=abc",
            ScramFault::BindingType,
            "FATAL 08P01: unsupported SCRAM channel-binding type",
        ),
        ("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", ScramFault::Binding, malformed),
        (
            "SCRAM-SHA-256",
            "y,,n=,r=abc",
            ScramFault::Downgrade,
            "FATAL 08P01: SCRAM channel binding negotiation error",
        ),
        ("SCRAM-SHA-256", "q,,n=,r=abc", ScramFault::Syntax, malformed),
        (
            "SCRAM-SHA-256",
            "n,a=bob,n=,r=abc",
            ScramFault::AuthorizationIdentity,
            "FATAL 0A000: client uses authorization identity, but it is not supported",
        ),
        (
            "SCRAM-SHA-256",
            "n,,m=x,n=,r=abc",
            ScramFault::Extension,
            "FATAL 0A000: client requires an unsupported SCRAM extension",
        ),
        (
            "SCRAM-SHA-256",
            "n,,n=,r=",
            ScramFault::Nonce,
            "FATAL 08P01: non-printable characters in SCRAM nonce",
        ),
    ] {
        let lie = |bytes: Vec<u8>| if bytes.starts_with(b"p") { first(mechanism, data) } else { bytes };
        refused(&bound().towards_server(lie).run(scram), fault, client_error);
    }
    for mechanism in ["SCRAM-SHA-1", "scram-sha-256", "", "OAUTHBEARER"] {
        let lie =
            |bytes: Vec<u8>| if bytes.starts_with(b"p") { first(mechanism, "n,,n=,r=abc") } else { bytes };
        let outcome = bound().towards_server(lie).run(scram);
        assert_eq!(*outcome.reason(), ClientError::NoMechanism.into());
        assert_eq!(
            server_refusal(&outcome),
            "FATAL 08P01: client selected an invalid SASL authentication mechanism"
        );
    }
    // The client chooses SCRAM-SHA-256-PLUS, although a server without a certificate does not offer this mechanism.
    let lie = |bytes: Vec<u8>| {
        if bytes.starts_with(b"p") {
            first("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc")
        } else {
            bytes
        }
    };
    let outcome = Pair::new(&config, Link::Tls).towards_server(lie).run(scram);
    assert_eq!(*outcome.reason(), ClientError::NoMechanism.into());
}
