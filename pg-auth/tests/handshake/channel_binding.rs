//! Tests of SCRAM with channel binding, from the side of the client.

use pg_auth::config::{AuthMethod, BindingMode};
use pg_auth::error::{PeerError, PolicyError};
use pg_auth::scram::OfferedBinding;
use pg_auth::{Config, Handshake, Link};

use crate::support::*;

const BOTH: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
const PLAIN: &[&str] = &["SCRAM-SHA-256"];

fn hash() -> Vec<u8> {
    (0..32).collect()
}

fn over_tls(config: &Config, hash: Option<Vec<u8>>) -> Talk<'_> {
    Talk::with(config, Link::Tls, move |handshake| match hash.clone() {
        Some(hash) => handshake.channel(hash),
        None => handshake,
    })
    .client_bytes(STARTUP)
}

#[test]
fn an_offer_of_channel_binding_is_used_over_tls() {
    for mode in [BindingMode::Prefer, BindingMode::Require] {
        for offer in [BOTH, &["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"], &["SCRAM-SHA-256-PLUS"]] {
            let config = with_password().channel_binding(mode);
            let mut talk = over_tls(&config, Some(hash())).server_bytes(&sasl(offer));
            let sent = talk.sent();
            let expected =
                "p\0\0\0\x4cSCRAM-SHA-256-PLUS\0\0\0\0\x31p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO";
            assert_eq!(sent.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        }
        let config = with_password().channel_binding(mode);
        over_tls(&config, Some(hash()))
            .server_bytes(&sasl(BOTH))
            .server_proves(verifier(), OfferedBinding::TlsServerEndPoint(hash()))
            .lets_in(AuthMethod::ScramSha256);
    }
}

#[test]
fn a_bound_exchange_has_exactly_these_bytes() {
    let config = with_password().channel_binding(BindingMode::Require);
    over_tls(&config, Some(hash()))
        .server_bytes(&sasl(BOTH))
        .client_begins("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO")
        .server(&pg_wire::backend::Authentication::SaslContinue(pg_wire::codec::Secret(
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        )))
        .client_goes_on(
            "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,\
             r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=Q8h71kjaoMzNI7dPksDrhRE/5mTUObF0fUHVIgBOWQg=",
        )
        .server(&pg_wire::backend::Authentication::SaslFinal(pg_wire::codec::Secret(
            b"v=ykwoqH8mLqO5AQCeuwwf6lsj9f8zyJZT/CcvAbN4Ssc=",
        )))
        .lets_in(AuthMethod::ScramSha256);
}

#[test]
fn a_client_that_supports_binding_reports_a_missing_offer() {
    let config = with_password();
    let talk = || {
        over_tls(&config, Some(hash()))
            .server_bytes(&sasl(PLAIN))
            .client_begins("SCRAM-SHA-256", "y,,n=,r=rOprNGfwEbeRWgbNEkqO")
    };
    talk();
    // The client's flag `y` means that the client supports channel binding, but received no offer. A server without channel binding accepts
    // this flag. A server that did send an offer rejects this flag, because an attacker has removed the offer.
    over_tls(&config, Some(hash()))
        .server_bytes(&sasl(PLAIN))
        .server_proves(verifier(), OfferedBinding::NotOffered)
        .lets_in(AuthMethod::ScramSha256);
    let server = pg_auth::scram::ServerFirst::new(verifier(), nonce(SERVER_NONCE), OfferedBinding::Declined);
    let error = server.client_first(b"y,,n=,r=rOprNGfwEbeRWgbNEkqO").expect_err("the offer was cut");
    assert!(error.to_string().contains("did not see that channel binding was offered"));
}

#[test]
fn without_a_hash_or_with_binding_disabled_nothing_is_bound() {
    for (config, hash) in [
        (with_password(), None),
        (with_password().channel_binding(BindingMode::Disable), None),
        (with_password().channel_binding(BindingMode::Disable), Some(hash())),
    ] {
        for (offer, offered) in [(BOTH, OfferedBinding::Declined), (PLAIN, OfferedBinding::NotOffered)] {
            over_tls(&config, hash.clone())
                .server_bytes(&sasl(offer))
                .client_begins("SCRAM-SHA-256", "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
            over_tls(&config, hash.clone())
                .server_bytes(&sasl(offer))
                .server_proves(verifier(), offered)
                .lets_in(AuthMethod::ScramSha256);
        }
        over_tls(&config, hash).server_bytes(&sasl(&["SCRAM-SHA-256-PLUS"])).refused(PeerError::NoMechanism);
    }
}

#[test]
fn a_client_that_requires_binding_binds_or_sends_nothing() {
    let config = with_password().channel_binding(BindingMode::Require);
    for link in [Link::Tcp, Link::Unix] {
        assert_eq!(Handshake::new(&config, link).err(), Some(PolicyError::ChannelBinding.into()));
    }
    for (hash, offer) in [(None, BOTH), (None, PLAIN), (Some(hash()), PLAIN), (Some(hash()), &["OTHER"])] {
        over_tls(&config, hash).server_bytes(&sasl(offer)).refused(PolicyError::ChannelBinding);
    }
}

#[test]
fn a_hash_is_ignored_without_tls() {
    let config = with_password();
    Talk::with(&config, Link::Tcp, |handshake| handshake.channel(hash()))
        .client_bytes(STARTUP)
        .server_bytes(&sasl(PLAIN))
        .client_begins("SCRAM-SHA-256", "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
}

/// A server offers channel binding only over TLS. If a client sees the offer on a connection without TLS, an attacker has removed TLS. Like
/// libpq, the client ends the login.
#[test]
fn an_offer_of_channel_binding_without_tls_means_that_tls_was_stripped() {
    for mode in [BindingMode::Prefer, BindingMode::Disable] {
        let config = with_password().channel_binding(mode);
        for (link, offer) in [(Link::Tcp, BOTH), (Link::Unix, BOTH), (Link::Tcp, &["SCRAM-SHA-256-PLUS"])] {
            Talk::with(&config, link, |handshake| handshake.channel(hash()))
                .client_bytes(STARTUP)
                .server_bytes(&sasl(offer))
                .refused(PeerError::TlsStripped);
        }
    }
}
