//! Tests over loopback TCP, with a server that sends fixed bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use async_std::task::block_on;
use pg_stream_async_std::{
    AuthenticationMode, ConnectErrorKind, ConnectionBuilder, Host, MessageCode, PgProtocol,
};

/// Starts a server that answers one start-up message and then one query. `answers` contains the bytes of the two answers. Returns its
/// thread and its port.
fn server(answers: [&'static [u8]; 2]) -> (thread::JoinHandle<()>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let body = |stream: &mut TcpStream| {
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("a length");
            let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
            stream.read_exact(&mut body).expect("a body");
        };
        body(&mut stream);
        stream.write_all(answers[0]).expect("sent");
        let mut code = [0];
        stream.read_exact(&mut code).expect("a code");
        body(&mut stream);
        stream.write_all(answers[1]).expect("sent");
    });
    (serving, port)
}

#[test]
fn a_session_runs_over_the_callers_own_stream() {
    let (serving, port) = server([b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", b"I\0\0\0\x04Z\0\0\0\x05I"]);
    block_on(async {
        let stream =
            async_std::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let builder = ConnectionBuilder::new("me").auth(AuthenticationMode::Trust);
        let (mut conn, _) = builder.connect(stream).await.expect("a session");
        conn.query("").flush().await.expect("sent");
        assert_eq!(conn.recv().await.expect("a message").code, MessageCode::EMPTY_QUERY_RESPONSE);
        assert_eq!(conn.recv().await.expect("a message").code, MessageCode::READY_FOR_QUERY);
        assert!(conn.recv().await.expect_err("the server is gone").is_fatal());
    });
    serving.join().expect("the server has not panicked");
}

#[test]
fn an_unreachable_host_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let config = pg_stream_async_std::Config::new("me").host(Host::new("127.0.0.1", free.port()));
    let error = block_on(pg_stream_async_std::connect(&config)).expect_err("no server listens on the port");
    assert!(matches!(error.kind(), ConnectErrorKind::Unreachable(_)), "{error}");
}

#[test]
fn connecting_to_a_silent_host_ends_with_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let config = pg_stream_async_std::Config::new("me")
        .host(Host::new("127.0.0.1", port))
        .connect_timeout(std::time::Duration::from_millis(20));
    let error = block_on(pg_stream_async_std::connect(&config)).expect_err("the server sends nothing");
    assert!(matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{error}");
}
