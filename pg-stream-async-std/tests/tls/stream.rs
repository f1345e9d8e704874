//! Tests of the TLS stream: both directions at the same time, dropped futures, and the end of the stream.

use std::pin::Pin;
use std::task::Poll;

use async_net::{TcpListener, TcpStream};
use async_std::task::spawn;
use futures_lite::future::{poll_fn, zip};
use futures_lite::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use pg_stream_async_std::native_tls::{NativeTls, TlsStream};
use pg_stream_async_std::pg_auth::tls::{TlsConnect, TlsRequest};
use pg_stream_async_std::{Config, FuturesIo, Host, IntoHalves, SslMode};

use crate::certificates::Certificates;
use crate::run;

/// Returns both ends of a TLS connection: the client and the server.
async fn pair() -> [TlsStream<TcpStream>; 2] {
    let made = Certificates::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the socket is bound");
    let acceptor = made.acceptor("server");
    let (config, host) =
        (Config::new("me").sslmode(SslMode::Require), Host::new("localhost", address.port()));
    let client = async {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let request = TlsRequest::new(&config, &host);
        NativeTls.upgrade(FuturesIo(stream), &request).await.expect("a handshake").stream.0
    };
    let server = async {
        let (stream, _) = listener.accept().await.expect("a client");
        acceptor.accept(stream).await.expect("a handshake").stream
    };
    let (client, server) = zip(client, server).await;
    [client, server]
}

/// Returns test data in which each group of four bytes occurs only once. So the test would notice a lost or a repeated record.
fn pattern(count: usize) -> Vec<u8> {
    (0..count as u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(count).collect()
}

#[test]
fn halves_send_and_receive_in_two_tasks() {
    run(async {
        let [client, server] = pair().await;
        const MUCH: usize = 8 << 20;
        let mut tasks = Vec::new();
        for stream in [client, server] {
            let (mut reader, mut writer) = stream.into_halves();
            tasks.push(spawn(async move {
                writer.write_all(&pattern(MUCH)).await.expect("sent");
                writer.flush().await.expect("sent");
            }));
            tasks.push(spawn(async move {
                let mut received = vec![0; MUCH];
                reader.read_exact(&mut received).await.expect("received");
                assert!(received == pattern(MUCH));
            }));
        }
        for task in tasks {
            task.await;
        }
    });
}

#[test]
fn accepted_bytes_arrive_once_even_if_the_future_is_dropped() {
    run(async {
        let [mut client, mut server] = pair().await;
        // The server does not read, so the writes fill the buffers of the sockets. The loop ends when a write is pending. The writes have
        // different lengths. All bytes of a write are equal, and differ from the bytes of the next write.
        let mut taken: Vec<u8> = Vec::new();
        let mut next = 0_u8;
        poll_fn(|cx| {
            loop {
                next = next.wrapping_add(1);
                let bytes = vec![next; 1 + usize::from(next) * 321];
                match Pin::new(&mut client).poll_write(cx, &bytes) {
                    Poll::Ready(count) => taken.extend(&bytes[..count.expect("taken")]),
                    // The stream did not accept the bytes of this write. The future of the write is dropped, so these bytes are not sent.
                    Poll::Pending => return Poll::Ready(()),
                }
            }
        })
        .await;
        let sending = async {
            // This write is shorter than the pending record, and its bytes differ from the bytes of that record.
            client.write_all(b"last").await.expect("sent");
            client.flush().await.expect("sent");
        };
        taken.extend(b"last");
        let mut received = vec![0; taken.len()];
        let (_, read) = zip(sending, server.read_exact(&mut received)).await;
        read.expect("received");
        assert!(received == taken, "{} bytes", taken.len());
    });
}

#[test]
fn the_peer_of_a_closed_stream_reads_its_end() {
    run(async {
        let [mut client, mut server] = pair().await;
        client.write_all(b"bye").await.expect("sent");
        client.close().await.expect("closed");
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.expect("an end");
        assert_eq!(received, b"bye");
        // When the client closes the TLS stream, the client's socket is also closed for writing. So the server reads the end of the stream
        // from its socket.
        let mut socket = server.get_ref().get_ref().clone();
        assert_eq!(socket.read(&mut [0; 1]).await.expect("an end"), 0);
        // The other direction is open: the server can send bytes to the client.
        server.write_all(b"too").await.expect("sent");
        server.close().await.expect("closed");
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.expect("an end");
        assert_eq!(received, b"too");
    });
}

#[test]
fn a_close_without_close_notify_is_an_end_of_the_stream() {
    run(async {
        let [mut client, server] = pair().await;
        // Closes the socket without close_notify, as a PostgreSQL server process does when it exits.
        drop(server);
        assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
    });
}
