//! Tests of the negotiation of the protocol's version and options.

use pg_auth::config::ProtocolVersion;
use pg_auth::error::{PeerError, PolicyError};
use pg_auth::{Config, Link, Session};
use pg_wire::backend::{Authentication as Auth, NegotiateProtocolVersion};
use pg_wire::{Text, codec::List};

use crate::support::*;

const V3_0: ProtocolVersion = ProtocolVersion::V3_0;
const V3_2: ProtocolVersion = ProtocolVersion::V3_2;
const GREASE: ProtocolVersion = ProtocolVersion::new(3, 9999);

fn asking(min: ProtocolVersion, max: ProtocolVersion) -> Config {
    user().protocol_versions(min, max)
}

fn talk(config: &Config) -> Talk<'_> {
    let mut talk = Talk::new(config, Link::Tcp);
    let sent = talk.sent();
    assert_eq!(sent[4..8], config.max_protocol_version.0.to_be_bytes());
    talk
}

fn answer(version: ProtocolVersion, unrecognized: &[&'static str]) -> Vec<u8> {
    let unrecognized: Vec<Text<'_>> = unrecognized.iter().map(|&name| name.into()).collect();
    encoded(&NegotiateProtocolVersion { version, unrecognized: List::from(&unrecognized[..]) })
}

fn session(talk: Talk<'_>) -> Session {
    talk.server(&Auth::Ok).server(&KEY).server(&READY).session()
}

#[test]
fn without_negotiation_the_requested_version_is_used() {
    for max in [V3_0, V3_2] {
        assert_eq!(session(talk(&asking(V3_0, max))).version, max);
    }
}

#[test]
fn an_older_version_is_used_if_the_server_offers_it() {
    // PostgreSQL 15 answers with the major and the minor version. The manual describes only the minor version.
    let config = asking(V3_0, V3_2);
    let session_of = |config, bytes: &[u8]| session(talk(config).server_bytes(bytes));
    assert_eq!(session_of(&config, b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0").version, V3_0);
    // The answers of PostgreSQL 15 and 18 to a version that will never exist.
    let config = asking(V3_0, GREASE);
    assert_eq!(session_of(&config, b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0").version, V3_0);
    assert_eq!(session_of(&config, b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0").version, V3_2);
}

#[test]
fn a_version_older_than_the_minimum_is_refused() {
    for max in [V3_2, GREASE] {
        talk(&asking(V3_2, max))
            .server_bytes(&answer(V3_0, &[]))
            .refused(PolicyError::Version { server: V3_0, min: V3_2 });
    }
    assert_eq!(session(talk(&asking(V3_2, GREASE)).server_bytes(&answer(V3_2, &[]))).version, V3_2);
}

#[test]
fn a_version_that_was_not_requested_or_does_not_exist_is_rejected() {
    for (max, offered) in [
        (V3_0, V3_2),
        (V3_2, ProtocolVersion::new(3, 3)),
        (V3_2, GREASE),
        (V3_2, ProtocolVersion::new(3, 1)),
        (GREASE, ProtocolVersion::new(3, 1)),
        (V3_2, ProtocolVersion::new(2, 0)),
        (V3_2, ProtocolVersion::new(4, 0)),
        (V3_2, ProtocolVersion::new(0, 0)),
        // The following answers contain only a minor version, as the manual describes NegotiateProtocolVersion. No server sends such an
        // answer: servers send the whole version.
        (V3_2, ProtocolVersion(0)),
        (V3_2, ProtocolVersion(2)),
        (V3_2, ProtocolVersion(u32::MAX)),
    ] {
        for options in [&[][..], &["_pq_.x"]] {
            let config = asking(V3_0, max).with_parameter("_pq_.x", "");
            let exists = offered.major() >= 3 && offered != ProtocolVersion::new(3, 1);
            let error = if exists { PeerError::Version(offered) } else { PeerError::NoSuchVersion(offered) };
            talk(&config).server_bytes(&answer(offered, options)).refused(error);
        }
    }
}

#[test]
fn a_negotiation_without_a_change_is_rejected() {
    for max in [V3_0, V3_2] {
        talk(&asking(V3_0, max)).server_bytes(&answer(max, &[])).refused(PeerError::Version(max));
    }
}

#[test]
fn options_that_the_server_does_not_know_are_reported() {
    let config = asking(V3_0, V3_2).with_parameter("_pq_.x", "").with_parameter("_pq_.y", "1");
    for (version, unknown) in [
        (V3_2, &["_pq_.x"][..]),
        (V3_2, &["_pq_.y", "_pq_.x"]),
        (V3_0, &["_pq_.x", "_pq_.x", "_pq_.x"]),
        (V3_0, &[]),
    ] {
        let session = session(talk(&config).server_bytes(&answer(version, unknown)));
        let mut expected = unknown.to_vec();
        expected.dedup();
        assert_eq!(session.unrecognized_options, expected);
        assert_eq!(session.version, version);
    }
}

#[test]
fn unrecognized_options_that_were_not_sent_are_rejected() {
    let config = asking(V3_0, V3_2).with_parameter("_pq_.x", "").with_parameter("search_path", "shop");
    for unknown in ["_pq_.y", "_pq_.", "_pq_.x ", "_PQ_.x", "user", "search_path", ""] {
        for version in [V3_0, V3_2] {
            talk(&config)
                .server_bytes(&answer(version, &["_pq_.x", unknown]))
                .refused(PeerError::UnknownOption);
        }
    }
}

#[test]
fn a_second_negotiation_is_rejected() {
    let config = asking(V3_0, GREASE);
    for second in [V3_0, V3_2] {
        talk(&config)
            .server_bytes(&answer(V3_2, &[]))
            .server_bytes(&answer(second, &[]))
            .refused(PeerError::VersionTwice);
    }
}

#[test]
fn a_negotiation_after_the_start_of_authentication_is_rejected() {
    let config = asking(V3_0, V3_2).password(PASSWORD);
    let late = answer(V3_0, &[]);
    let refused = |talk: Talk<'_>, expected| {
        talk.server_bytes(&late).refused(unexpected("NegotiateProtocolVersion", expected));
    };
    refused(talk(&config).server(&Auth::Ok), "ReadyForQuery");
    let mut asked = talk(&config).server(&Auth::Md5Password { salt: [0; 4] });
    asked.sent();
    refused(asked, "AuthenticationOk");
    let mut asked = talk(&config).server_bytes(&sasl(&["SCRAM-SHA-256"]));
    asked.sent();
    refused(asked, "AuthenticationSASLContinue");
}

#[test]
fn a_negotiation_with_a_wrong_count_is_rejected() {
    let config = asking(V3_0, V3_2);
    for body in [
        &b"v\0\0\0\x0c\0\x03\0\0\0\0\0\x01"[..],
        b"v\0\0\0\x0c\0\x03\0\0\xff\xff\xff\xff",
        b"v\0\0\0\x0c\0\x03\0\0\x7f\xff\xff\xff",
        b"v\0\0\0\x0f\0\x03\0\0\0\0\0\x01_pq",
        b"v\0\0\0\x0e\0\x03\0\0\0\0\0\0x\0",
        b"v\0\0\0\x0b\0\x03\0\0\0\0\0",
        b"v\0\0\0\x04",
    ] {
        talk(&config).server_bytes(body).refused_as_malformed("NegotiateProtocolVersion");
    }
}
