//! Tests of the functions `connect` and `accept`, which drive the state machines. The streams of these tests fail, or deliver bytes late.

use std::cell::Cell;
use std::future::ready;
use std::io;
use std::num::NonZeroU32;

use pg_auth::Accept;
use pg_auth::config::AuthMethod;
use pg_auth::connect::{Accepted, ConnectError, ConnectErrorKind, accept, connect};
use pg_auth::error::AuthError;
use pg_auth::runtime::{Inline, Offload};
use pg_auth::scram::Verifier;
use pg_auth::{Config, Credentials, Link, Password, Session, Startup, StoredPassword, md5};
use pg_wire::{Connection, Error, Limits};
use proptest::prelude::*;

use crate::support::*;
use crate::wire::{Conditions, DENIED, Method, Wire, polled};

fn methods() -> [(Method, AuthMethod); 4] {
    let stored = md5::Verifier::new(b"user", &PASSWORD.into());
    [
        (Method::Trust, AuthMethod::None),
        (Method::Cleartext(PASSWORD.into()), AuthMethod::Password),
        (Method::Md5(stored), AuthMethod::Md5),
        (Method::Scram(verifier(), nonce(SERVER_NONCE)), AuthMethod::ScramSha256),
    ]
}

/// Runs jobs immediately, and counts them.
#[derive(Default)]
struct Counting(Cell<usize>);

impl Offload for Counting {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        self.0.set(self.0.get() + 1);
        Ok(job())
    }
}

/// A runtime that is shutting down: every job given to this runtime fails.
struct NoThread;

impl Offload for NoThread {
    async fn offload<T: Send + 'static>(&self, _: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Err(io::Error::other("no thread"))
    }
}

/// Connects with at most `polls` polls. Returns the outcome (`None` if the login has not ended by then), and the number of keys that were
/// derived.
fn connected(
    conn: &mut Connection<Wire>,
    config: &Config,
    polls: usize,
) -> (Option<Result<Session, ConnectError>>, usize) {
    let jobs = Counting::default();
    let outcome = polled(connect(conn, config, Link::Unix, &jobs), polls);
    (outcome, jobs.0.get())
}

/// Returns combinations of the ways in which a stream can behave: slow, in small pieces, and so on. A login must succeed with each
/// combination.
fn behaviours() -> Vec<Conditions> {
    let mut behaviours = Vec::new();
    for piece in [1, 7, usize::MAX] {
        for is_slow in [false, true] {
            for (flush_waits, write_waits) in [(false, false), (true, false), (false, true)] {
                behaviours.push(Conditions { piece, is_slow, flush_waits, write_waits, ..Conditions::GOOD });
            }
        }
    }
    behaviours
}

#[test]
fn a_login_succeeds_over_every_stream_and_derives_a_key_only_for_scram() {
    let config = with_password();
    for (method, name) in methods() {
        for conditions in behaviours() {
            let shown = format!("{method:?} {conditions:?}");
            let mut conn = Connection::new(Wire::new(method.clone(), conditions), Limits::BACKEND);
            let (outcome, derived) = connected(&mut conn, &config, 10_000);
            let session = outcome.expect(&shown).expect(&shown);
            assert_eq!(session.auth_method, name);
            assert_eq!(session.parameters.get("server_version"), Some("18.0"));
            assert_eq!(derived, usize::from(name == AuthMethod::ScramSha256), "{shown}");
            assert_eq!(conn.inbox().buffered(), 0);
        }
    }
}

#[test]
fn a_wrong_password_returns_the_servers_error() {
    let config = user().password("penciL");
    for (method, name) in methods().into_iter().skip(1) {
        for conditions in behaviours() {
            let mut conn = Connection::new(Wire::new(method.clone(), conditions), Limits::BACKEND);
            let (outcome, _) = connected(&mut conn, &config, 10_000);
            let error = outcome.expect("the login ends").expect_err("the password is wrong");
            assert_eq!(
                error.server_error().map(ToString::to_string).as_deref(),
                Some("FATAL 28P01: go away, user")
            );
            assert_eq!(error.to_string(), "FATAL 28P01: go away, user", "{name}");
        }
    }
}

#[test]
fn a_server_that_closes_at_any_byte_is_detected() {
    let config = with_password();
    for (method, _) in methods() {
        for conditions in behaviours().into_iter().filter(|conditions| conditions.piece == usize::MAX) {
            for readable in 0..1000 {
                let wire = Wire::new(method.clone(), Conditions { readable, ..conditions });
                let mut conn = Connection::new(wire, Limits::BACKEND);
                match connected(&mut conn, &config, 10_000).0.expect("the login ends") {
                    Ok(_) => {
                        assert!(readable > 50, "a login takes more than {readable} bytes");
                        break;
                    }
                    Err(error)
                        if matches!(error.kind(), ConnectErrorKind::Connection(Error::Closed { .. })) => {}
                    Err(error) => panic!("after {readable} bytes: {error:?}"),
                }
            }
        }
    }
}

#[test]
fn a_stream_that_fails_while_writing_is_an_error() {
    let config = with_password();
    for (method, _) in methods() {
        for is_slow in [false, true] {
            for writable in 0..1000 {
                let mut conn = Connection::new(
                    Wire::new(method.clone(), Conditions { writable, is_slow, ..Conditions::GOOD }),
                    Limits::BACKEND,
                );
                match connected(&mut conn, &config, 10_000).0.expect("the login ends") {
                    Ok(_) => {
                        assert!(writable >= STARTUP.len());
                        break;
                    }
                    Err(error) => match error.kind() {
                        ConnectErrorKind::Connection(Error::Io(error)) => {
                            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
                        }
                        _ => panic!("after {writable} bytes: {error:?}"),
                    },
                }
            }
        }
    }
}

#[test]
fn the_servers_last_message_is_received_even_if_writing_fails() {
    let config = with_password();
    for (method, _) in methods() {
        for is_slow in [false, true] {
            for writable in 0..1000 {
                let wire = Wire::new(
                    method.clone(),
                    Conditions { writable, is_slow, last_bytes: DENIED, ..Conditions::GOOD },
                );
                let mut conn = Connection::new(wire, Limits::BACKEND);
                match connected(&mut conn, &config, 10_000).0.expect("the login ends") {
                    Ok(_) => break,
                    Err(error) => {
                        assert!(error.server_error().is_some(), "after {writable} bytes: {error:?}")
                    }
                }
            }
        }
    }
}

/// A server that is too busy sends an error and closes, without reading. The client's write waits because the server does not read. So the
/// client must read the error while its write waits, and must return the error even if the write fails afterwards.
#[test]
fn the_servers_last_message_is_received_while_a_write_waits() {
    let config = with_password();
    for piece in [1, 7, usize::MAX] {
        let wire = Wire::new(
            Method::Trust,
            Conditions { writable: 0, write_waits: true, piece, ..Conditions::GOOD },
        )
        .says(DENIED);
        let mut conn = Connection::new(wire, Limits::BACKEND);
        let error = connected(&mut conn, &config, 10_000)
            .0
            .expect("the login ends")
            .expect_err("the login was denied");
        assert!(error.server_error().is_some(), "{error:?}");
    }
}

#[test]
fn a_session_in_which_writing_has_failed_is_an_error() {
    let wire = Wire::new(Method::Trust, Conditions { writable: 3, write_waits: true, ..Conditions::GOOD })
        .says(&[encoded(&pg_wire::backend::Authentication::Ok), encoded(&READY)].concat());
    let mut conn = Connection::new(wire, Limits::BACKEND);
    let error = connected(&mut conn, &user(), 10_000).0.expect("the login ends").expect_err("writing failed");
    assert!(matches!(error.kind(), ConnectErrorKind::Connection(Error::Io(_))), "{error:?}");
}

#[test]
fn the_limits_are_lowered_only_until_authentication() {
    let limits = Limits::BACKEND.bulk(123_456).control(54_321);
    let config = with_password();
    for (method, _) in methods() {
        let mut conn = Connection::new(Wire::new(method, Conditions::GOOD), limits);
        connected(&mut conn, &config, 10_000).0.expect("the login ends").expect("the password is right");
        assert_eq!(*conn.inbox().limits(), limits);
    }
    let wire =
        Wire::new(Method::Trust, Conditions { write_waits: true, ..Conditions::GOOD }).says(b"N\0\0\x75\x35");
    let mut conn = Connection::new(wire, limits);
    let error = connected(&mut conn, &config, 10_000)
        .0
        .expect("the login ends")
        .expect_err("the message is too long");
    assert_eq!(error.to_string(), "message 'N' of 30001 bytes is over the limit of 30000 bytes");
}

#[test]
fn a_key_that_cannot_be_derived_is_an_error_with_its_reason() {
    let config = with_password();
    let mut conn =
        Connection::new(Wire::new(Method::Scram(verifier(), nonce("x")), Conditions::GOOD), Limits::BACKEND);
    let error = polled(connect(&mut conn, &config, Link::Tcp, &NoThread), 100).expect("the login ends");
    let error = error.expect_err("there is no key");
    assert_eq!(error.to_string(), "a job could not be run outside the executor: no thread");
}

#[test]
fn nothing_is_sent_with_an_invalid_configuration() {
    let mut conn = Connection::new(Wire::new(Method::Trust, Conditions::GOOD), Limits::BACKEND);
    let error =
        connected(&mut conn, &Config::new(""), 1).0.expect("the login ends").expect_err("there is no user");
    assert!(matches!(error.auth_error(), Some(AuthError::Config(_))));
    assert_eq!(conn.transport().received, b"");
}

#[test]
fn a_client_that_answers_while_the_server_still_writes_logs_in() {
    for is_slow in [false, true] {
        let words = Method::Canned([b"p\0\0\0\x0bpencil\0".to_vec()].into());
        let conditions = Conditions { is_slow, flush_waits: true, ..Conditions::GOOD };
        let mut conn = Connection::new(Wire::new(words, conditions).says(STARTUP), Limits::FRONTEND);
        let lookup = |_: Startup| ready(Credentials::Cleartext(StoredPassword::Plain(PASSWORD.into())));
        let accepted = polled(accept(&mut conn, Accept::new(), lookup, &Inline), 1000);
        let accepted = accepted.expect("the login ends").expect("the password is right");
        assert!(matches!(accepted, Accepted::Login(login) if login.startup.user() == "user"), "{is_slow}");
    }
}

#[test]
fn the_future_of_connect_is_send() {
    fn assert_send<T: Send>(_: &T) {}
    let config = with_password();
    let mut conn = Connection::new(Wire::new(Method::Trust, Conditions::GOOD), Limits::BACKEND);
    assert_send(&connect(&mut conn, &config, Link::Tcp, &Inline));
}

/// Checks that the connection's buffers hold no bytes of the connection phase, which has ended.
fn assert_nothing_is_left(conn: &mut Connection<Wire>, context: &str) {
    assert_eq!(conn.outbox().pending(), b"", "{context}");
    assert_eq!(conn.outbox().batch(), b"", "{context}");
    // `space` returns memory that held received messages. The messages must have been wiped.
    let left: Vec<u8> = conn.inbox_mut().space().iter().copied().filter(|byte| *byte != 0).collect();
    assert_eq!(left.escape_ascii().to_string(), "", "{context}");
}

#[test]
fn neither_sent_nor_received_bytes_stay_in_memory() {
    for (method, name) in methods() {
        for config in [with_password(), user(), user().password("penciL")] {
            for polls in 0..10_000 {
                let wire = Wire::new(method.clone(), Conditions { is_slow: true, ..Conditions::GOOD });
                let limits = Limits::BACKEND.bulk(123_456);
                let mut conn = Connection::new(wire, limits);
                let (outcome, _) = connected(&mut conn, &config, polls);
                let context = format!("{name}, after {polls} polls: {outcome:?}");
                if polls > 0 {
                    assert_nothing_is_left(&mut conn, &context);
                    assert_eq!(*conn.inbox().limits(), limits, "{context}");
                }
                if outcome.is_some() {
                    break;
                }
            }
        }
    }
}

#[test]
fn the_future_of_connect_may_be_dropped_at_every_await() {
    let config = with_password();
    for (method, _) in methods() {
        for polls in 0..10_000 {
            let wire = Wire::new(method.clone(), Conditions { piece: 5, is_slow: true, ..Conditions::GOOD });
            let mut conn = Connection::new(wire, Limits::BACKEND);
            if let Some(outcome) = connected(&mut conn, &config, polls).0 {
                outcome.expect("the password is right");
                assert!(polls > 10);
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_a_client_with_the_password_logs_in(
        password in "[^\0]{1,20}",
        guess in "[^\0]{1,20}",
        iterations in 1u32..4,
        piece in 1usize..20,
        is_slow: bool,
        number in 0usize..3,
    ) {
        let password = Password::from(password);
        let iterations = NonZeroU32::new(iterations).expect("the number is not zero");
        let method = match number {
            0 => Method::Cleartext(password.as_bytes().to_vec()),
            1 => Method::Md5(md5::Verifier::new(b"user", &password)),
            _ => Method::Scram(Verifier::new(&password, vec![7; 16], iterations), nonce(SERVER_NONCE)),
        };
        let login = |password: &Password| {
            let wire = Wire::new(method.clone(), Conditions { piece, is_slow, ..Conditions::GOOD });
            let config = user().password(password.clone());
            let mut conn = Connection::new(wire, Limits::BACKEND);
            connected(&mut conn, &config, 10_000).0.expect("the login ends")
        };
        prop_assert!(login(&password).is_ok());
        let guess = Password::from(guess);
        let prepared = pg_auth::saslprep::saslprep;
        if prepared(&guess) != prepared(&password) {
            prop_assert!(login(&guess).is_err_and(|error| error.server_error().is_some()));
        }
    }
}
