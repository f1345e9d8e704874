//! Tests of logins by password, with every form in which a server may store a password.

use pg_auth::error::{ClientError, PolicyError};
use pg_auth::scram::{DEFAULT_ITERATIONS, KeyCache, Verifier};
use pg_auth::{AuthError, AuthenticationMode, Config, Credentials, Link, SslMode, StoredPassword, md5};
use pg_wire::frontend::ProtocolVersion;

use crate::support::*;

/// Returns every form in which a server may store the password.
fn all(password: &str) -> Vec<Credentials> {
    let md5 = || md5::Verifier::new(b"alice", &password.into());
    vec![
        Credentials::Cleartext(StoredPassword::Plain(password.into())),
        Credentials::Cleartext(StoredPassword::Md5(md5())),
        Credentials::Cleartext(StoredPassword::Scram(verifier(password))),
        Credentials::Md5(md5()),
        Credentials::Scram(verifier(password)),
    ]
}

#[test]
fn the_right_password_logs_in_by_every_method() {
    for nth in 0..5 {
        let outcome = pair(&alice(), Link::Unix, |_| all("s3cret").remove(nth));
        let session = outcome.client.expect("the password is right");
        assert_eq!(session.parameters.get("server_version"), Some("18.0"));
        assert_eq!(session.cancel_key.expect("a key").pid(), 7);
        let login = outcome.server.expect("the password is right");
        assert_eq!(login.startup.database(), "alice", "the default is the user's name");
        assert_eq!(login.keys.is_some(), nth == 4);
    }
}

#[test]
fn a_wrong_password_is_rejected_by_every_method_with_the_same_error() {
    for nth in 0..5 {
        let outcome = pair(&alice(), Link::Unix, |_| all("other").remove(nth));
        assert_eq!(outcome.server.expect_err("a wrong password"), AuthError::Denied, "{nth}");
        let error = outcome.client.expect_err("a wrong password").to_string();
        assert_eq!(error, "FATAL 28P01: password authentication failed for user \"alice\"");
    }
}

#[test]
fn an_unknown_user_gets_the_same_error_as_a_wrong_password() {
    let unknown = pair(&alice(), Link::Unix, |user| Credentials::unknown(b"of this server", user));
    let wrong = pair(&alice(), Link::Unix, |_| Credentials::Scram(verifier("other")));
    assert_eq!(unknown.client.err(), wrong.client.err());
}

#[test]
fn trust_accepts_and_reject_rejects_every_user() {
    let trusted = Config::new("alice").auth(AuthenticationMode::Trust);
    assert!(pair(&trusted, Link::Tcp, |_| Credentials::Trust).client.is_ok());
    let error = pair(&trusted, Link::Tcp, |_| Credentials::Reject).client.expect_err("rejected").to_string();
    assert_eq!(error, "FATAL 28000: no pg_hba.conf entry for user \"alice\"");
}

#[test]
fn the_keys_of_a_finished_exchange_log_in_without_the_password() {
    let scram = |_: &[u8]| Credentials::Scram(verifier("s3cret"));
    let login = pair(&alice(), Link::Tcp, scram).server.expect("the password is right");
    let pooler = Config::new("alice").auth(AuthenticationMode::ScramKeys(login.keys.expect("after SCRAM")));
    assert!(pair(&pooler, Link::Tcp, scram).client.is_ok());
    let other = |_: &[u8]| {
        Credentials::Scram(Verifier::new(&"s3cret".into(), b"other salt".to_vec(), DEFAULT_ITERATIONS))
    };
    assert!(pair(&pooler, Link::Tcp, other).client.is_err(), "the keys belong to one verifier");
}

#[test]
fn with_a_cache_only_the_first_connection_derives_keys() {
    let cache = KeyCache::default();
    let scram = |_: &[u8]| Credentials::Scram(verifier("s3cret"));
    let wrong = alice().password("wrong").scram_cache(&cache);
    assert!(pair(&wrong, Link::Tcp, scram).client.is_err());
    assert!(cache.is_empty(), "keys that the server rejects are not cached");

    let config = alice().scram_cache(&cache);
    for (connection, derivations) in [(1, 1), (2, 0), (3, 0)] {
        let outcome = pair(&config, Link::Tcp, scram);
        assert!(outcome.client.is_ok(), "{connection}");
        assert_eq!(outcome.derivations, derivations, "{connection}");
    }
    assert_eq!(cache.len(), 1);
    let other = |_: &[u8]| {
        Credentials::Scram(Verifier::new(&"s3cret".into(), b"other salt".to_vec(), DEFAULT_ITERATIONS))
    };
    assert_eq!(pair(&config, Link::Tcp, other).derivations, 1, "another server, another salt");
}

#[test]
fn a_newer_version_and_unknown_options_are_negotiated_as_postgresql_18_does() {
    let newer = ProtocolVersion::new(3, 9999);
    for (asked, spoken) in [
        (ProtocolVersion::V3_0, ProtocolVersion::V3_0),
        (ProtocolVersion::V3_2, ProtocolVersion::V3_2),
        (newer, ProtocolVersion::V3_2),
    ] {
        for options in [&[][..], &["_pq_.grease"]] {
            let config = alice().protocol_versions(ProtocolVersion::V3_0, asked);
            let config = options.iter().fold(config, |config, option| config.with_parameter(*option, "x"));
            let outcome = pair(&config, Link::Unix, |_| Credentials::Scram(verifier("s3cret")));
            let session = outcome.client.expect("a session");
            assert_eq!(session.version, spoken);
            assert_eq!(session.unrecognized_options, options);
            assert_eq!(outcome.server.expect("a session").startup.version(), spoken);
        }
    }
}

#[test]
fn a_clear_text_password_is_sent_over_tcp_only_with_sslmode_disable() {
    let clear = |_: &[u8]| Credentials::Cleartext(StoredPassword::Plain("s3cret".into()));
    assert!(matches!(pair(&alice(), Link::Tcp, clear).client, Err(AuthError::Policy(_))));
    assert!(pair(&alice().sslmode(SslMode::Disable), Link::Tcp, clear).client.is_ok());
}

#[test]
fn an_empty_password_is_rejected_before_it_is_checked() {
    // The client refuses to send an empty password, so the test replaces the client's message on its way to the server.
    let empty = |bytes: Vec<u8>| if bytes.first() == Some(&b'p') { message(b'p', b"\0") } else { bytes };
    for nth in 0..4 {
        let config = alice();
        let outcome = Pair::new(&config, Link::Unix).towards_server(empty).run(|_| all("").remove(nth));
        assert_eq!(*outcome.reason(), ClientError::EmptyPassword.into(), "{nth}");
        assert_eq!(outcome.client_error(), "FATAL 28P01: empty password returned by client");
    }
}

#[test]
fn a_password_may_have_at_most_29_999_bytes() {
    for (length, fits) in [(29_999, true), (30_000, false)] {
        let long = "x".repeat(length);
        let config = Config::new("alice").password(long.as_str());
        let stored = || Credentials::Cleartext(StoredPassword::Plain(long.as_str().into()));
        assert_eq!(pair(&config, Link::Unix, |_| stored()).server.is_ok(), fits, "{length}");
    }
}

#[test]
fn salts_for_md5_are_random_bytes() {
    let config = alice();
    let mut salts = std::collections::HashSet::new();
    let mut seen = [false; 256];
    for _ in 0..200 {
        let stored = md5::Verifier::new(b"alice", &"s3cret".into());
        let note = |bytes: Vec<u8>| {
            if let [b'R', 0, 0, 0, 12, 0, 0, 0, 5, a, b, c, d, ..] = bytes[..] {
                salts.insert([a, b, c, d]);
                for byte in [a, b, c, d] {
                    seen[usize::from(byte)] = true;
                }
            }
            bytes
        };
        let outcome =
            Pair::new(&config, Link::Unix).towards_client(note).run(|_| Credentials::Md5(stored.clone()));
        assert!(outcome.client.is_ok());
    }
    assert_eq!(salts.len(), 200, "no salt occurs twice");
    // Checks that the salts are random bytes and not base64 text: 800 random bytes contain about 245 different values, base64 text contains
    // at most 64.
    assert!(seen.iter().filter(|seen| **seen).count() > 200);
}

#[test]
fn a_mock_challenge_is_as_long_as_the_challenge_of_a_real_user() {
    let config = alice();
    let iterations = std::num::NonZeroU32::new(100).expect("the number is not zero");
    for length in [8, 16, 24, 32] {
        let mut challenges = Vec::new();
        for known in [true, false] {
            let note = |bytes: Vec<u8>| {
                challenges.extend(bytes.starts_with(b"R").then_some(bytes.len()));
                bytes
            };
            let credentials = |user: &[u8]| match known {
                true => Credentials::Scram(Verifier::new(&"other".into(), vec![7; length], iterations)),
                false => Credentials::unknown_like(b"of this server", user, length, iterations),
            };
            let outcome = Pair::new(&config, Link::Tcp).towards_client(note).run(credentials);
            assert_eq!(*outcome.reason(), AuthError::Denied);
        }
        let half = challenges.len() / 2;
        assert_eq!(challenges[..half], challenges[half..], "{length}");
    }
}

#[test]
fn a_request_for_a_forbidden_method_is_not_answered() {
    let negative = alice().require_auth("!password,!md5".parse().expect("the list is valid"));
    for nth in 0..5 {
        let outcome = pair(&negative, Link::Unix, |_| all("s3cret").remove(nth));
        if nth == 4 {
            assert!(outcome.client.is_ok());
            continue;
        }
        assert!(matches!(outcome.client, Err(AuthError::Policy(PolicyError::Method(_)))), "{nth}");
        assert!(!outcome.sent.contains(&b'p'), "only the start-up message was sent");
    }
}
