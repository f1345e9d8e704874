//! Tests of the opening phase of a connection, which lasts until the client is authenticated. The tests cover clients that disconnect or
//! are silent, and a server that is down. They also check that passwords are removed from memory, and that memory is limited.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::mpsc;

use pg_wire::SqlState;
use pg_wire::backend::{Authentication, ErrorResponse};
use pg_wire::frontend::PasswordMessage;

use crate::load::raise_descriptor_limit;
use crate::process::{PATIENCE, Proxy, remembers, until};
use crate::support::{Server, finish};
use crate::wire::{
    Client, GSSENC_REQUEST, SSL_REQUEST, bytes, polite_server, ready, server, startup, take_packet,
    to_the_end,
};

/// Returns an address on which no process listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address")
}

/// Starts a server that never answers. When a client has disconnected, the server passes all bytes that the client has sent to the returned
/// channel.
fn silent_server() -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let (send, heard) = mpsc::channel();
    let address = server(move |_, mut stream| drop(send.send(to_the_end(&mut stream))));
    (address, heard)
}

/// Starts a server that requests the password of every client and then waits. Returns its address.
fn asking_server() -> SocketAddr {
    server(|_, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&bytes(&Authentication::CleartextPassword));
        drop(to_the_end(&mut stream));
    })
}

#[test]
fn a_client_that_disconnects_ends_its_connection_even_if_the_server_is_silent() {
    let (upstream, heard) = silent_server();
    // The opening timeout is longer than the test. So the proxy can end the connection only because the client disconnects.
    let proxy = Proxy::with(upstream, &["--opening-timeout", "100000"]);
    for (first, vanishes) in [
        (startup(), true),
        (startup(), false),
        (SSL_REQUEST.to_vec(), true),
        (GSSENC_REQUEST.to_vec(), false),
    ] {
        let mut client = Client::new(proxy.address());
        client.say(&first);
        client.finish();
        if vanishes {
            drop(client);
        }
        assert_eq!(heard.recv_timeout(PATIENCE).expect("the server receives the bytes"), first);
    }
}

#[test]
fn early_bytes_of_a_client_reach_the_server_before_its_end() {
    let (upstream, heard) = silent_server();
    let proxy = Proxy::with(upstream, &["--opening-timeout", "100000"]);
    let all = [&startup()[..], b"p\0\0\0\x0bsecret\0", b"Q\0\0\0\x09hal"].concat();
    let mut client = Client::new(proxy.address());
    client.say(&all);
    drop(client);
    assert_eq!(heard.recv_timeout(PATIENCE).expect("the server receives the bytes"), all);
}

#[test]
fn a_server_that_is_down_is_reported_after_any_first_request() {
    let proxy = Proxy::start(nowhere());
    let refused = ("E".to_string(), Some(SqlState::CONNECTION_FAILURE));
    for requests in [&[][..], &[SSL_REQUEST], &[GSSENC_REQUEST, SSL_REQUEST]] {
        let mut client = Client::new(proxy.address());
        for request in requests {
            let mut answer = [0];
            client.say(request);
            client.stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(answer, *b"N");
        }
        client.say(&startup());
        assert_eq!(client.outcome(), refused, "after {} requests", requests.len());
    }
    // The proxy must not send an error to a client that has sent no start-up message:
    //
    // - A client that sends an SSLRequest and then closes the connection gets only the answer to the SSLRequest.
    // - A client that sends a cancel request, or nothing, gets no answer.
    let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04";
    for (said, answer) in [(SSL_REQUEST, &b"N"[..]), (cancel, b""), (b"", b"")] {
        let mut client = Client::new(proxy.address());
        client.say(said);
        client.finish();
        assert_eq!(client.rest(), answer);
    }
    let stopped = proxy.stop();
    assert_eq!(stopped.said.len(), 5, "{:?}", stopped.said);
    for line in &stopped.said {
        assert!(line.contains(": the server cannot be reached: Connection refused"), "{line}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_shows_why_the_server_cannot_be_reached_in_every_sslmode_that_allows_clear() {
    let proxy = Proxy::with(nowhere(), &[]);
    for server in Server::both() {
        let variable = format!("PG{}_CLIENT_BIN", server.major);
        let bin = std::env::var(&variable)
            .unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
        for sslmode in ["disable", "allow", "prefer"] {
            let conninfo = format!(
                "host=127.0.0.1 port={} user=trust dbname=test sslmode={sslmode}",
                proxy.address().port()
            );
            let mut psql = Command::new(format!("{bin}/psql"));
            psql.env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("LC_ALL", "C")
                .args(["-X", "-c", "select 1", &conninfo]);
            let ended = finish(&mut psql);
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
            let reason = "FATAL:  could not connect to server: Connection refused";
            assert!(ended.stderr.contains(reason), "{} {sslmode}: {}", server.major, ended.stderr);
        }
    }
}

#[test]
fn an_invalid_length_of_the_first_packet_is_reported_in_postgresqls_words() {
    let proxy = Proxy::start(polite_server());
    // The first case is a client whose very first message is Terminate, as node-postgres sends it.
    for said in [&b"X\0\0\0\x04"[..], b"\0\0\0\x03", b"\xff\xff\xff\xff"] {
        let mut client = Client::new(proxy.address());
        client.say(said);
        assert_eq!(client.rest(), b"", "the proxy closes without an error");
    }
    let lengths = ["1476395008", "3", "-1"];
    let lines = [1, 2, 3].map(|n| {
        format!("connection {n}: from the client: invalid length of startup packet: {}", lengths[n - 1])
    });
    assert_eq!(proxy.stop().said, lines);
}

#[test]
fn a_client_gets_the_timeout_error_only_after_its_start_up_message() {
    let (upstream, _heard) = silent_server();
    let proxy = Proxy::with(upstream, &["--opening-timeout", "1"]);
    for said in [&b""[..], b"\0\0\0", SSL_REQUEST] {
        let mut client = Client::new(proxy.address());
        client.say(said);
        assert_eq!(client.rest(), b"");
    }
    let mut client = Client::new(proxy.address());
    client.say(&startup());
    assert_eq!(client.outcome_in_words(), ["FATAL 57014: canceling authentication due to timeout"]);
    let lines = [1, 2, 3, 4]
        .map(|n| format!("connection {n}: the client was not authenticated within --opening-timeout"));
    assert_eq!(proxy.stop().said, lines);
}

#[test]
fn the_opening_timeout_does_not_end_a_session() {
    let proxy = Proxy::with(polite_server(), &["--opening-timeout", "1"]);
    let mut idle = Client::let_in(proxy.address());
    // A second client connects later and sends nothing, so the proxy disconnects the second client at the time limit. If the time limit
    // also applied to the session of the first client, the session of the first client would have ended earlier.
    assert_eq!(Client::new(proxy.address()).rest(), b"");
    idle.is_served();
}

#[test]
fn when_no_place_is_left_the_client_silent_the_longest_is_displaced() {
    let proxy = Proxy::with(asking_server(), &["--opening-limit", "3", "--opening-timeout", "100000"]);
    // Three silent clients: the first has sent nothing, the second only half of a length field, and the third everything except its
    // password.
    let mut silent = [&b""[..], b"\0\0", &startup()].map(|said| {
        let mut client = Client::new(proxy.address());
        client.say(said);
        if said.len() > 2 {
            client.hear();
        }
        client
    });
    let newcomers = [(); 3].map(|()| {
        let mut client = Client::new(proxy.address());
        client.say(&startup());
        assert_eq!(client.hear().expect("the client is served").code.0, b'R');
        client
    });
    let [first, second, third] = &mut silent;
    assert_eq!((first.rest(), second.rest()), (vec![], vec![]));
    let error =
        "FATAL 53300: too many connections are waiting for authentication, and this one waited longest";
    assert_eq!(third.outcome_in_words(), [error]);
    drop(newcomers);
    let line = |n| {
        format!(
            "connection {n}: the client was silent, and another client needed its place (--opening-limit)"
        )
    };
    let stopped = proxy.stop();
    assert_eq!(stopped.said, [1, 2, 3].map(line));
}

#[test]
fn a_client_that_waits_for_the_server_is_never_displaced() {
    let (upstream, _heard) = silent_server();
    let proxy = Proxy::with(upstream, &["--opening-limit", "1", "--opening-timeout", "3"]);
    let mut waiting = Client::new(proxy.address());
    waiting.say(&startup());
    let mut next = Client::new(proxy.address());
    next.say(&startup());
    // The proxy allows one connection in the opening phase. If the first client were silent, the proxy would disconnect it for the second
    // client. But the first client waits for the server, so the proxy keeps it until the timeout. Only then is the second client served.
    for client in [&mut waiting, &mut next] {
        assert_eq!(client.outcome_in_words(), ["FATAL 57014: canceling authentication due to timeout"]);
    }
}

#[test]
fn all_clients_of_a_burst_over_the_limit_are_served() {
    raise_descriptor_limit();
    let proxy = Proxy::with(polite_server(), &["--opening-limit", "2"]);
    let clients: Vec<_> = (0..200)
        .map(|_| {
            let mut client = Client::new(proxy.address());
            client.say(&startup());
            client
        })
        .collect();
    for mut client in clients {
        client.until_ready();
        client.is_served();
    }
    assert_eq!(proxy.stop().said, [""; 0]);
}

/// Whether the system shows a keepalive timer for the socket with these two ports.
fn has_keepalive(local: u16, remote: u16) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let port = |field: &str| field.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
        port(fields.get(1).unwrap_or(&"")) == Some(local)
            && port(fields.get(2).unwrap_or(&"")) == Some(remote)
    });
    // Field 5 has two numbers, which the header of the table names `tr` and `tm->when`. `tr` is the kind of the timer: 01 for a
    // retransmission timer, 02 for a keepalive timer.
    row.is_some_and(|fields| fields[5].starts_with("02:"))
}

#[test]
fn both_sides_have_a_keepalive_timer() {
    for options in [&[][..], &["--keepalive-idle", "30"]] {
        let (send, from) = mpsc::channel();
        let upstream = server(move |_, mut stream| {
            let _ = send.send(stream.peer_addr().expect("the socket is connected").port());
            let _ = take_packet(&mut stream);
            let _ = stream.write_all(&crate::wire::welcome());
            drop(to_the_end(&mut stream));
        });
        let proxy = Proxy::with(upstream, options);
        let client = Client::let_in(proxy.address());
        let ours = client.stream.local_addr().expect("the socket is connected").port();
        let dialled = from.recv_timeout(PATIENCE).expect("the proxy connects");
        // The system shows only one timer of a socket. While the peer has not acknowledged all bytes, this is a retransmission timer. So
        // the test waits until the keepalive timer is shown.
        until("the client's side has one", || has_keepalive(proxy.address().port(), ours));
        until("the server's side has one", || has_keepalive(dialled, upstream.port()));
        assert!(!has_keepalive(ours, proxy.address().port()), "the test's own socket must have none");
    }
}

/// Returns the password with this number. The password is long, so that the same bytes cannot be in the proxy's memory by chance. It is
/// computed at run time, so that no program contains it as a constant.
fn password(number: usize) -> String {
    format!("{}-{number:04}-{}", "correct horse".to_uppercase(), "battery staple".to_uppercase())
}

/// Returns the PasswordMessage with the password of this number.
fn password_message(number: usize) -> Vec<u8> {
    let password = password(number);
    bytes(&PasswordMessage { password: pg_wire::codec::SecretText(password.as_str().into()) })
}

/// Returns the first 13 bytes of every password. With these bytes, the test also finds a password that was cut before its end.
fn beginning() -> Vec<u8> {
    password(0).into_bytes()[..13].to_vec()
}

#[test]
fn no_password_is_left_in_memory_however_the_opening_ended() {
    let whole = password_message(0).len();
    // The server accepts the password of the first of four clients, rejects the second, never answers the third, and disconnects the
    // fourth.
    let upstream = server(move |number, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&bytes(&Authentication::CleartextPassword));
        let mut message = vec![0; whole];
        match number % 4 {
            0 if stream.read_exact(&mut message).is_ok() => {
                let _ = stream.write_all(&[bytes(&Authentication::Ok), ready()].concat());
                drop(to_the_end(&mut stream));
            }
            1 if stream.read_exact(&mut message).is_ok() => {
                let _ = stream.write_all(&bytes(&ErrorResponse { fields: (&[]).into() }));
            }
            2 => drop(to_the_end(&mut stream)),
            _ => {}
        }
    });
    let proxy = Proxy::with(upstream, &["--check", "--trace", "TRACE", "--opening-timeout", "2"]);
    let descriptors = proxy.descriptors();
    let mut staying = Vec::new();
    let mut session = None;
    for number in 0..4 * whole {
        let mut message = password_message(number);
        // The first four clients send the complete PasswordMessage. Each further client sends only the first `number / 4` bytes, so four
        // clients send each possible length.
        message.truncate(if number < 4 { whole } else { number / 4 });
        let mut client = Client::new(proxy.address());
        client.say(&startup());
        client.hear();
        client.try_to_say(&message);
        match number {
            0 => {
                client.until_ready();
                session = Some(client);
            }
            // Every third client stays until the timeout. The other clients disconnect at once.
            _ if number % 3 == 0 => staying.push(client),
            _ => drop(client),
        }
    }
    let mut cut = Client::new(proxy.address());
    cut.say(&startup());
    cut.hear();
    cut.say(&password_message(0)[..whole - 1]);
    until("the search finds half a password", || remembers(proxy.pid(), &beginning()));
    drop(cut);
    for mut client in staying {
        drop(client.rest());
    }
    until("the openings have ended", || proxy.descriptors() == descriptors + 2);
    assert!(!remembers(proxy.pid(), &beginning()));
    drop(session);
}

#[test]
fn the_memory_of_unauthenticated_connections_is_limited() {
    raise_descriptor_limit();
    const COUNT: u64 = 500;
    let flood = [&b"p\0\0\xff\xf0"[..], &[b'x'; 60_000]].concat();
    for (what, said, more, most) in [
        ("has sent nothing", None, &[][..], 10 << 10),
        ("has not sent its password", Some(startup()), &[], 14 << 10),
        ("stops in the middle of a response of 64 KiB", Some(startup()), &flood, 84 << 10),
    ] {
        let proxy =
            Proxy::with(asking_server(), &["--opening-limit", "10000", "--opening-timeout", "100000"]);
        let (memory, descriptors) = (proxy.memory(), proxy.descriptors());
        let clients: Vec<_> = (0..COUNT)
            .map(|_| {
                let mut client = Client::new(proxy.address());
                if let Some(said) = &said {
                    client.say(said);
                    client.hear();
                    client.say(more);
                }
                client
            })
            .collect();
        let each = 1 + usize::from(said.is_some());
        until("all are there", || proxy.descriptors() == descriptors + each * clients.len());
        let mut before = 0;
        until("nothing moves any more", || std::mem::replace(&mut before, proxy.memory()) == proxy.memory());
        let each = proxy.memory().saturating_sub(memory) / COUNT;
        println!("a client that {what} takes {each} bytes");
        assert!(each < most, "a client that {what} takes {each} bytes");
    }
}
