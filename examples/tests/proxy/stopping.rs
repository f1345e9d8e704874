//! Tests of stopping `pg-proxy`, and of the last messages that its clients receive.

use std::io::Write;

use pg_wire::SqlState;
use rustix::process::Signal;

use crate::process::{Proxy, until};
use crate::support::Server;
use crate::wire::{
    Client, SSL_REQUEST, bytes, polite_server, query, server, startup, startup_with, take_packet, to_the_end,
    welcome,
};

/// Returns the expected outcome of a client that is connected when the proxy shuts down: the proxy sends the client an error.
fn sent_away() -> (String, Option<SqlState>) {
    ("E".into(), Some(SqlState::ADMIN_SHUTDOWN))
}

#[test]
fn each_signal_ends_the_proxy_and_its_clients_get_an_error() {
    for signal in [Signal::INT, Signal::TERM] {
        let proxy = Proxy::start(polite_server());
        let mut idle = [(); 3].map(|()| Client::let_in(proxy.address()));
        let stopped = proxy.stop_by(signal);
        // The proxy has counted three messages per client: StartupMessage, AuthenticationOk, ReadyForQuery.
        assert_eq!((stopped.code, stopped.counts, stopped.said), (Some(0), [3, 9, 0, 0], vec![]));
        idle.iter_mut().for_each(|client| assert_eq!(client.outcome(), sent_away()));
    }
}

#[test]
fn a_client_that_waits_for_an_incomplete_answer_gets_the_error() {
    let upstream = server(|_, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&[&welcome()[..], b"D\0\0\0\x20half a row"].concat());
        drop(to_the_end(&mut stream));
    });
    for options in [&["--check"][..], &["--raw"]] {
        let proxy = Proxy::with(upstream, options);
        let mut waiting = Client::let_in(proxy.address());
        waiting.say(&query("select pg_sleep(600)"));
        assert_eq!(proxy.stop().code, Some(0));
        // The proxy passes on only complete messages. So the client has received no part of the incomplete row, and can read the error that
        // the proxy sends.
        assert_eq!(waiting.outcome(), sent_away());
    }
}

#[test]
fn a_client_in_the_opening_phase_gets_the_error_only_after_its_start_up_message() {
    let upstream = server(|_, mut stream| drop(to_the_end(&mut stream)));
    let proxy = Proxy::start(upstream);
    let mut asked = Client::new(proxy.address());
    asked.say(&startup());
    let mut silent = Client::new(proxy.address());
    let mut encrypting = Client::new(proxy.address());
    encrypting.say(SSL_REQUEST);
    until("both requests are passed on", || proxy.trace().lines().count() == 2);
    assert_eq!(proxy.stop().code, Some(0));
    assert_eq!(asked.outcome(), sent_away());
    assert_eq!(silent.rest(), b"");
    assert_eq!(encrypting.rest(), b"");
}

#[test]
fn a_client_with_encryption_gets_no_error_in_clear() {
    let upstream = server(|_, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(b"S");
        drop(to_the_end(&mut stream));
    });
    let proxy = Proxy::start(upstream);
    let mut client = Client::new(proxy.address());
    client.say(SSL_REQUEST);
    until("it is encrypted", || proxy.trace().contains("SSLResponse"));
    assert_eq!(proxy.stop().code, Some(0));
    assert_eq!(client.rest(), b"S");
}

/// Starts a server that sends data without end, and returns its address.
fn flood() -> std::net::SocketAddr {
    server(|_, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&welcome());
        let row = bytes(&pg_wire::backend::CopyData { data: pg_wire::codec::Payload(&[b'x'; 60_000]) });
        while stream.write_all(&row).is_ok() {}
    })
}

#[test]
fn a_client_that_does_not_read_delays_nothing_and_gets_no_error_inside_a_message() {
    let proxy = Proxy::before_script(flood());
    let mut client = Client::new(proxy.address());
    client.say(&startup());
    let mut memory = 0;
    until("nothing moves any more", || {
        std::mem::replace(&mut memory, proxy.trace().len()) == proxy.trace().len() && memory > 100_000
    });
    assert_eq!(proxy.stop().code, Some(0));
    let heard = client.rest();
    let welcome = welcome().len();
    let mut rest = &heard[welcome..];
    while let Some(body) = rest.strip_prefix(&b"d\0\0\xea\x64"[..]) {
        let data = body.len().min(60_000);
        assert!(body[..data].iter().all(|byte| *byte == b'x'), "other bytes inside a message");
        rest = &body[data..];
    }
    assert!(rest.len() < 5 || rest[0] == b'E', "{rest:?}");
}

#[test]
fn a_second_signal_ends_the_proxy_at_once() {
    let proxy = Proxy::before_script(flood());
    let mut client = Client::new(proxy.address());
    client.say(&startup());
    until("rows are on their way", || proxy.trace().contains("CopyData"));
    proxy.signal(Signal::TERM);
    proxy.signal(Signal::INT);
    assert_eq!(proxy.ended().code, Some(0));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_fatal_error_is_the_same_as_postgresqls() {
    for server in Server::both() {
        let name = format!("to be terminated {}", server.address);
        let parameters = [("user", "admin"), ("database", "test"), ("application_name", &*name)];
        let mut direct = Client::new(server.address);
        direct.say(&startup_with(&parameters));
        direct.until_ready();
        let mut other = Client::new(server.address);
        other.say(&startup_with(&[("user", "admin"), ("database", "test")]));
        other.until_ready();
        other.say(&query(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
        )));
        other.until_ready();
        let theirs = direct.outcome_in_words();

        let proxy = Proxy::start(server.address);
        let mut client = Client::let_in(proxy.address());
        proxy.stop();
        assert_eq!(client.outcome_in_words(), theirs);
        assert_eq!(theirs, ["FATAL 57P01: terminating connection due to administrator command"]);
    }
}
