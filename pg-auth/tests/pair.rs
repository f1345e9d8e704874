//! Client against server in memory: the two machines talk to each other, and no runtime is there.

use pg_auth::accept::welcome;
use pg_auth::scram::{DEFAULT_ITERATIONS, KeyCache, Verifier};
use pg_auth::{
    Accept, AcceptStep, AuthError, AuthenticationMode, CancelKey, Config, Credentials, Handshake, Link,
    Login, Session, SslMode, Step, Stored, md5,
};
use pg_wire::frontend::ProtocolVersion;
use pg_wire::{Inbox, Limits, Outbox};

/// How a pair of machines ended.
struct Outcome {
    /// How many keys the client had to derive.
    derivations: usize,
    client: Result<Session, AuthError>,
    server: Result<Login, AuthError>,
}

/// Hands each side's bytes to the other until both are at an end.
fn pair(config: &Config, link: Link, credentials: impl Fn(&[u8]) -> Credentials) -> Outcome {
    let buffers = |limits: Limits| (Inbox::new(limits), Outbox::new(1024));
    let (mut client_in, mut client_out) = buffers(Limits::BACKEND);
    let (mut server_in, mut server_out) = buffers(Limits::FRONTEND);
    let mut client = match Handshake::new(config, link) {
        Ok(client) => client,
        Err(error) => return Outcome { derivations: 0, client: Err(error), server: Err(AuthError::Denied) },
    };
    let mut accept = Accept::new();
    let (mut client_end, mut server_end) = (None, None);
    let mut derivations = 0;
    for _ in 0..100 {
        if client_end.is_none() {
            match client.step(&mut client_in, &mut client_out) {
                Ok(Step::Read) => {}
                Ok(Step::Derive(job)) => {
                    derivations += 1;
                    client.derived(&job.run(), &mut client_out);
                }
                Ok(Step::Ready(session)) => client_end = Some(Ok(session)),
                Ok(other) => panic!("nobody asked for {other:?}"),
                Err(error) => client_end = Some(Err(error)),
            }
        }
        carry(&mut client_out, &mut server_in);
        if server_end.is_none() {
            match accept.step(&mut server_in, &mut server_out) {
                Ok(AcceptStep::Read) => {}
                Ok(AcceptStep::Authenticate(startup)) => {
                    let credentials = credentials(startup.user().as_bytes());
                    if let Err(error) = accept.authenticate(credentials, &mut server_in, &mut server_out) {
                        server_end = Some(Err(error));
                    }
                }
                Ok(AcceptStep::Derive(job)) => accept.derived(&job.run()),
                Ok(AcceptStep::Accepted(login)) => {
                    let key = CancelKey::new(
                        7,
                        if login.startup.version() == ProtocolVersion::V3_0 { &[1; 4] } else { &[1; 32] },
                    );
                    welcome([("server_version", "18.0")], Some(&key), &mut server_out);
                    server_end = Some(Ok(login));
                }
                Ok(other) => panic!("nobody asked for {other:?}"),
                Err(error) => server_end = Some(Err(error)),
            }
        }
        carry(&mut server_out, &mut client_in);
        if client_end.is_some() && server_end.is_some() {
            break;
        }
    }
    // A side that is not at its end by now has been left by the other.
    Outcome {
        derivations,
        client: client_end.unwrap_or(Err(AuthError::Entropy)),
        server: server_end.unwrap_or(Err(AuthError::Entropy)),
    }
}

fn carry(outbox: &mut Outbox, inbox: &mut Inbox) {
    outbox.commit().expect("everything can be sent");
    inbox.extend(outbox.pending());
    outbox.sent(outbox.pending().len());
}

fn alice() -> Config {
    Config::new("alice").auth(AuthenticationMode::Password("s3cret".into()))
}

fn verifier(password: &str) -> Verifier {
    Verifier::new(&password.into(), b"0123456789abcdef".to_vec(), DEFAULT_ITERATIONS)
}

/// Every way in which a server may know the password.
fn all(password: &str) -> Vec<Credentials> {
    let md5 = || md5::Stored::new(b"alice", &password.into());
    vec![
        Credentials::Cleartext(Stored::Plain(password.into())),
        Credentials::Cleartext(Stored::Md5(md5())),
        Credentials::Cleartext(Stored::Scram(verifier(password))),
        Credentials::Md5(md5()),
        Credentials::Scram(verifier(password)),
    ]
}

#[test]
fn the_right_password_is_let_in_by_every_method() {
    for nth in 0..5 {
        let outcome = pair(&alice(), Link::Unix, |_| all("s3cret").remove(nth));
        let session = outcome.client.expect("it is the right password");
        assert_eq!(session.parameters.get("server_version"), Some("18.0"));
        assert_eq!(session.cancel_key.expect("a key").pid(), 7);
        let login = outcome.server.expect("it is the right password");
        assert_eq!(login.startup.database(), "alice", "the user's name, for want of another");
        assert_eq!(login.keys.is_some(), nth == 4);
    }
}

#[test]
fn the_wrong_password_is_refused_by_every_method_in_the_same_words() {
    for nth in 0..5 {
        let outcome = pair(&alice(), Link::Unix, |_| all("other").remove(nth));
        assert_eq!(outcome.server.expect_err("it is the wrong one"), AuthError::Denied, "{nth}");
        let error = outcome.client.expect_err("it is the wrong one").to_string();
        assert_eq!(error, "FATAL 28P01: password authentication failed for user \"alice\"");
    }
}

#[test]
fn a_user_who_does_not_exist_cannot_be_told_from_one_who_does() {
    let unknown = pair(&alice(), Link::Unix, |user| Credentials::unknown(b"of this server", user));
    let wrong = pair(&alice(), Link::Unix, |_| Credentials::Scram(verifier("other")));
    assert_eq!(unknown.client.err(), wrong.client.err());
}

#[test]
fn trust_and_reject() {
    let trusted = Config::new("alice").auth(AuthenticationMode::Trust);
    assert!(pair(&trusted, Link::Tcp, |_| Credentials::Trust).client.is_ok());
    let error = pair(&trusted, Link::Tcp, |_| Credentials::Reject).client.expect_err("rejected").to_string();
    assert_eq!(error, "FATAL 28000: no pg_hba.conf entry for user \"alice\"");
}

#[test]
fn the_keys_of_a_finished_exchange_log_in_upstream_without_the_password() {
    let scram = |_: &[u8]| Credentials::Scram(verifier("s3cret"));
    let login = pair(&alice(), Link::Tcp, scram).server.expect("it is the right password");
    let pooler = Config::new("alice").auth(AuthenticationMode::ScramKeys(login.keys.expect("after SCRAM")));
    assert!(pair(&pooler, Link::Tcp, scram).client.is_ok());
    let other = |_: &[u8]| {
        Credentials::Scram(Verifier::new(&"s3cret".into(), b"other salt".to_vec(), DEFAULT_ITERATIONS))
    };
    assert!(pair(&pooler, Link::Tcp, other).client.is_err(), "the keys belong to one verifier");
}

#[test]
fn a_cache_spares_the_next_connection_its_derivation() {
    let cache = KeyCache::default();
    let scram = |_: &[u8]| Credentials::Scram(verifier("s3cret"));
    let wrong = alice().password("wrong").scram_cache(&cache);
    assert!(pair(&wrong, Link::Tcp, scram).client.is_err());
    assert!(cache.is_empty(), "keys that the server does not know are of no use");

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
fn a_password_in_clear_is_not_given_over_tcp_unless_asked_for() {
    let clear = |_: &[u8]| Credentials::Cleartext(Stored::Plain("s3cret".into()));
    assert!(matches!(pair(&alice(), Link::Tcp, clear).client, Err(AuthError::Policy(_))));
    assert!(pair(&alice().sslmode(SslMode::Disable), Link::Tcp, clear).client.is_ok());
}
