//! Servers that misbehave after the login. With each server, all runtimes must return the same errors, at the first call and at later
//! calls.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use pg_auth::{AuthenticationMode, Config, Host, SslMode};
use pg_wire::{Error, Limits, PgProtocol, TrackedConnection};

use crate::adapters::Adapter;
use crate::polls::dropped_each_time;
use crate::reading::{Log, outcome, text};

/// Selects the way in which a server ends the connection after its script.
#[derive(Clone, Copy)]
enum End {
    /// The server closes the connection.
    Close,
    /// The server resets the connection.
    Reset,
}

/// The servers. Each entry has the name, the bytes that the server sends after a query, and the way in which the server ends the
/// connection. The last field is a part of the first message or error that `Connection::recv` must return.
const SERVERS: [(&str, &[u8], End, &str); 12] = [
    ("closes", b"", End::Close, "true error: the peer closed the connection"),
    ("resets", b"", End::Reset, "Connection reset by peer"),
    ("closes in a header", b"D\0\0", End::Close, "in the middle of a message"),
    ("closes in a body", b"D\0\0\0\x0b\0\x01\0\0", End::Close, "in the middle of a message"),
    ("resets in a body", b"D\0\0\0\x0b\0\x01\0\0", End::Reset, "Connection reset by peer"),
    ("a length below 4", b"D\0\0\0\x03", End::Close, "invalid length 3"),
    ("a negative length", b"D\xff\xff\xff\xff", End::Close, "invalid length -1"),
    ("a length over the limit", b"Z\0\xff\xff\xff\0", End::Close, "over the limit of 65536"),
    ("an unknown code", b"\0\0\0\0\x04Z\0\0\0\x05I", End::Close, "Unknown("),
    ("a malformed body", b"D\0\0\0\x06\0\x05Z\0\0\0\x05I", End::Close, "kind: Short"),
    ("a reply to nothing", b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05IZ\0\0\0\x05I", End::Close, "CommandComplete"),
    ("a fatal error", b"E\0\0\0\x1aSFATAL\0C57P01\0Mended\0\0", End::Close, "57P01"),
];

/// Plays the server for one client: accepts the login, reads the client's query, sends `bytes`, and then closes or resets the connection.
fn play(mut stream: TcpStream, bytes: &[u8], end: End) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut body).expect("a startup packet");
    stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").expect("sent");
    let mut query = [0; 14];
    stream.read_exact(&mut query).expect("a query");
    stream.write_all(bytes).expect("sent");
    if let End::Reset = end {
        // Gives the client time to receive the bytes, because a reset discards bytes that have not been received.
        thread::sleep(std::time::Duration::from_millis(5));
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("an option");
    }
}

/// Connects a `Connection` and a `TrackedConnection` to each server. Returns the errors of their calls, which must be equal for all
/// runtimes.
pub(crate) async fn servers_that_misbehave_after_the_login<A: Adapter>() -> Log {
    let mut log = Log::new();
    for (name, bytes, end, expected) in SERVERS {
        for tracked in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("the socket is bound").port();
            let server = thread::spawn(move || play(listener.accept().expect("a client").0, bytes, end));
            let config = Config::new("me").host(Host::new("127.0.0.1", port)).sslmode(SslMode::Disable);
            let config = config.auth(AuthenticationMode::Trust);
            let made = A::dial(&config, Limits::BACKEND).await;
            let (mut conn, _) = made.unwrap_or_else(|error| panic!("{name}: {error}"));
            log.push(format!("{name}, tracked: {tracked}"));
            if tracked {
                let mut conn = TrackedConnection::new(conn);
                conn.query("select 1").flush().await.expect("sent");
                server.join().expect("the server does not panic");
                log.push(outcome(
                    conn.until_ready(|frame| frame.backend().map(drop).map_err(Error::from)).await,
                ));
                for _ in 0..2 {
                    log.push(outcome(conn.recover().await));
                }
                log.push(format!("{:?}", conn.check_idle()));
                continue;
            }
            conn.query("select 1").flush().await.expect("sent");
            server.join().expect("the server does not panic");
            let first = log.len();
            // Later calls must return the same error. The test drops each future of `recv` after every poll.
            for _ in 0..4 {
                let call =
                    async |conn: &mut pg_wire::Connection<_>| conn.recv().await.map(|frame| frame.to_owned());
                match dropped_each_time(&mut conn, call).await {
                    Ok(frame) if frame.frame().backend().is_ok() => log.push(text(frame.frame())),
                    Ok(frame) => log.push(outcome(frame.frame().backend().map(drop))),
                    Err(error) => log.push(format!("{} {}", error.is_fatal(), outcome::<(), _>(Err(error)))),
                }
            }
            assert!(log[first].contains(expected), "{name}: {}", log[first]);
            log.push(format!("{:?} {}", conn.read_fault(), conn.is_quiet()));
        }
    }
    log
}
