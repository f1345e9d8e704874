//! Tests of `pg-proxy` under load: many connections at once, and much data for a client that does not read.

use std::process::Command;
use std::thread;

use pg_wire::backend::{Backend, CommandComplete};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::process::{Proxy, until};
use crate::support::Server;
use crate::wire::{Client, polite_server, query, startup_with};

/// Raises the limit on open files to its maximum. This process needs two sockets for each connection: one for the client, one for the
/// scripted server.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit may be raised to the maximum");
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    raise_descriptor_limit();
    let proxy = Proxy::with(polite_server(), &["--check"]);
    let (descriptors, memory) = (proxy.descriptors(), proxy.memory());
    let address = proxy.address();
    let opening: Vec<_> = (0..8)
        .map(|_| thread::spawn(move || (0..125).map(|_| Client::let_in(address)).collect::<Vec<_>>()))
        .collect();
    let mut clients: Vec<_> =
        opening.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect();
    assert_eq!(clients.len(), 1000);
    assert!(proxy.descriptors() >= descriptors + 2000);
    let each = (proxy.memory() - memory) / 1000;
    println!("an idle connection takes {each} bytes");
    assert!(each < 16 << 10, "{each} bytes");
    for client in &mut clients {
        client.is_served();
    }
    drop(clients);
    until("all are gone", || proxy.descriptors() == descriptors);
    // Six messages per client: StartupMessage, AuthenticationOk, ReadyForQuery, Query, CommandComplete, ReadyForQuery.
    assert_eq!(proxy.stop().counts, [1000, 6000, 0, 0]);
}

#[test]
fn clients_over_the_limit_wait_until_others_disconnect() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_pg-proxy")]);
    let proxy = Proxy::by(command, polite_server(), &[]);
    let full = || {
        proxy.said().iter().any(|line| line.starts_with("pg-proxy: the limit of 16 connections is reached"))
    };
    let mut clients: Vec<_> = (0..16).map(|_| Client::let_in(proxy.address())).collect();
    until("it says so", full);
    let mut waiting = [(); 10].map(|()| Client::new(proxy.address()));
    waiting.iter_mut().for_each(|client| client.say(&crate::wire::startup()));
    clients.iter_mut().for_each(Client::is_served);
    // When a client disconnects, the proxy must serve a waiting client, and must keep the sessions of the connected clients.
    for client in &mut waiting {
        clients.remove(0);
        client.until_ready();
    }
    clients.iter_mut().chain(&mut waiting).for_each(Client::is_served);
}

/// An SQL query whose result has 200 MB, in rows of 8 KB.
const MUCH: &str = "select repeat('x', 8000) from generate_series(1, 25000)";

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn for_a_client_that_does_not_read_the_proxy_holds_no_more_than_its_buffers() {
    for server in Server::both() {
        for options in [&["--check"][..], &["--raw"]] {
            let proxy = Proxy::with(server.address, options);
            let name = format!("slow reader of {}", proxy.address());
            let parameters = [("user", "trust"), ("database", "test"), ("application_name", &name)];
            let mut client = Client::new(proxy.address());
            client.say(&startup_with(&parameters));
            client.until_ready();
            let before = proxy.memory();
            client.say(&query(MUCH));
            // Waits until all buffers between the server and the client are full. The view `pg_stat_activity` then shows that the client's
            // server process waits for the event `ClientWrite`.
            let mut other = Client::let_in(server.address);
            let blocked = format!(
                "select 1 from pg_stat_activity where application_name = '{name}' and wait_event = 'ClientWrite'"
            );
            until("the server is stopped", || {
                // Reads the wait event twice, with a pause. A single read is not enough, because the server may wait for a short time
                // before the buffers are full.
                let stopped = [(); 2].map(|()| {
                    other.say(&query(&blocked));
                    let waiting = other.until_ready().iter().any(|frame| frame.code.0 == b'D');
                    other.say(&query("select pg_sleep(0.05)"));
                    other.until_ready();
                    waiting
                });
                stopped == [true; 2]
            });
            let held = proxy.memory().saturating_sub(before);
            println!("with {options:?}, {held} bytes are held for a client that does not read");
            assert!(held < 2 << 20, "{held} bytes");
            let (mut rows, mut complete) = (0, None);
            for frame in client.until_ready() {
                match frame.backend().expect("well-formed") {
                    Backend::DataRow(row) => {
                        rows += row.values.get(0).ok().flatten().flatten().map_or(0, <[u8]>::len)
                    }
                    Backend::CommandComplete(CommandComplete { tag }) => complete = Some(tag.to_string()),
                    _ => {}
                }
            }
            assert_eq!((rows, complete.as_deref()), (200_000_000, Some("SELECT 25000")));
            let held = proxy.memory().saturating_sub(before);
            assert!(held < 2 << 20, "{held} bytes after it");
            assert_eq!(proxy.stop().code, Some(0));
        }
    }
}
