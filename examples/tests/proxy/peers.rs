//! Tests of three subjects: peers that disconnect at any time, requests for encryption, and the trace.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use pg_wire::SqlState;
use pg_wire::backend::BackendKeyData;

use crate::process::{PATIENCE, Proxy, until};
use crate::wire::{
    Client, GSSENC_REQUEST, SSL_REQUEST, bytes, done, polite_server, query, ready, server, startup,
    take_packet, terminate, to_the_end, welcome,
};

#[test]
fn a_client_that_disconnects_at_any_byte_leaves_nothing_behind() {
    let (send, heard) = mpsc::channel();
    let upstream = server(move |_, mut stream| {
        // The server sends its messages at once, without reading first. So each client receives the same messages, whether it disconnects
        // early or late.
        let _ = stream.write_all(&[welcome(), done()].concat());
        let _ = send.send(to_the_end(&mut stream));
    });
    let proxy = Proxy::before_script(upstream);
    let mut good = Client::new(proxy.address());
    good.say(&startup());
    good.until_ready();
    let before = proxy.descriptors();

    let session = [startup(), query("select 1"), query("select 2"), terminate()].concat();
    let packet = startup().len();
    for end in 0..=session.len() {
        let said = &session[..end];
        let mut client = Client::new(proxy.address());
        client.say(said);
        if end % 2 == 0 {
            // The clients with an even `end` half-close the connection, and then read the answer.
            client.finish();
            let heard = client.rest();
            assert_eq!(heard.is_empty(), end < packet, "after {end} bytes");
        }
        drop(client);
        if end >= packet {
            let heard = heard.recv_timeout(PATIENCE).expect("the server receives the bytes");
            // The clients with an odd `end` close without reading, which resets the connection. The reset may discard the last bytes that
            // the client has sent.
            let all = heard == said || end % 2 == 1 && heard.len() >= packet && said.starts_with(&heard);
            assert!(all, "after {end} bytes: {heard:?}");
        }
    }
    until("nothing is left of them", || proxy.descriptors() == before);
    good.say(&query("still here"));
    good.until_ready();
    let said = proxy.stop();
    assert_eq!((said.code, said.counts[2], said.said), (Some(0), 0, vec![]));
}

#[test]
fn all_bytes_of_a_server_that_disconnects_reach_the_client() {
    let key = bytes(&BackendKeyData { pid: 7, key: pg_wire::codec::Secret(b"\0\x01\x02\x03") });
    let said = [bytes(&pg_wire::backend::Authentication::Ok), key, ready(), done()].concat();
    let script = said.clone();
    let upstream = server(move |number, mut stream| {
        let _ = take_packet(&mut stream);
        let _ = stream.write_all(&script[..number]);
    });
    let proxy = Proxy::before_script(upstream);
    for end in 0..=said.len() {
        let mut client = Client::new(proxy.address());
        client.say(&startup());
        assert_eq!(client.rest(), said[..end], "after {end} bytes");
    }
    let stopped = proxy.stop();
    assert_eq!((stopped.code, stopped.counts[2], stopped.said), (Some(0), 0, vec![]));
}

/// Starts a server that answers a request for encryption with this byte, and then echoes all bytes.
fn echo_after(answer: u8) -> std::net::SocketAddr {
    server(move |_, mut stream| {
        let Ok(_) = take_packet(&mut stream) else { return };
        let _ = stream.write_all(&[answer]);
        let mut echo = stream.try_clone().expect("a descriptor");
        let _ = std::io::copy(&mut stream, &mut echo);
        let _ = echo.shutdown(Shutdown::Write);
    })
}

#[test]
fn encrypted_bytes_are_passed_on_unchanged() {
    for (request, yes, line) in
        [(SSL_REQUEST, b'S', "B\t1\tSSLResponse\t S"), (GSSENC_REQUEST, b'G', "B\t1\tGSSENCResponse\t G")]
    {
        let proxy = Proxy::start(echo_after(yes));
        let mut client = Client::new(proxy.address());
        client.say(request);
        let mut answer = [0];
        client.stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, [yes]);
        let secret: Vec<u8> = (0..1_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        let mut writer = client.stream.try_clone().expect("a descriptor");
        let sent = secret.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).expect("the peer reads");
            writer.shutdown(Shutdown::Write).expect("an end");
        });
        assert!(client.rest() == secret, "the echo differs from the sent bytes");
        writing.join().expect("it does not panic");
        assert!(proxy.trace().lines().any(|traced| traced == line), "{}", proxy.trace());
        let stopped = proxy.stop();
        assert_eq!((stopped.counts, stopped.said), ([1, 1, 0, 1], vec![]));
    }
}

#[test]
fn tls_from_the_first_byte_is_passed_on_unchanged() {
    let upstream = server(|_, mut stream| {
        let mut hello = [0; 6];
        let _ = stream.read_exact(&mut hello);
        let _ = stream.write_all(&hello);
    });
    let proxy = Proxy::start(upstream);
    let mut client = Client::new(proxy.address());
    client.say(b"\x16\x03\x01");
    client.say(b"\x01\x02\x03");
    assert_eq!(client.rest(), b"\x16\x03\x01\x01\x02\x03");
    assert_eq!(proxy.stop().counts, [1, 0, 0, 1]);
}

#[test]
fn encryption_is_declined_with_tls_refuse() {
    let proxy = Proxy::with(polite_server(), &["--check", "--tls", "refuse", "--trace", "TRACE"]);
    let mut client = Client::new(proxy.address());
    let mut answer = [0];
    for request in [GSSENC_REQUEST, SSL_REQUEST] {
        client.say(request);
        client.stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, *b"N");
    }
    client.say(&startup());
    client.until_ready();
    client.is_served();
    let trace = proxy.trace();
    for line in ["B\t1\tGSSENCResponse\t N", "B\t1\tSSLResponse\t N", "F\t8\tSSLRequest\t 1234 5679"] {
        assert!(trace.lines().any(|traced| traced == line), "{trace}");
    }

    // Checks that a second request for encryption is rejected as an unsupported protocol version.
    let mut client = Client::new(proxy.address());
    client.say(SSL_REQUEST);
    client.stream.read_exact(&mut answer).expect("an answer");
    client.say(SSL_REQUEST);
    assert_eq!(client.outcome(), ("E".into(), Some(SqlState::FEATURE_NOT_SUPPORTED)));

    let mut client = Client::new(proxy.address());
    client.say(b"\x16\x03\x01\x02\0\x01");
    assert_eq!(client.rest(), b"");
    assert_eq!(proxy.stop().counts[3], 0);
}

#[test]
fn the_answer_to_an_ssl_request_may_be_an_error_or_invalid() {
    let error = bytes(&pg_wire::backend::ErrorResponse {
        fields: (&[pg_wire::backend::ErrorField { code: b'C', value: "53300".into() }]).into(),
    });
    let said = error.clone();
    let upstream = server(move |number, mut stream| {
        let Ok(_) = take_packet(&mut stream) else { return };
        let _ = stream.write_all(if number == 0 { &said } else { b"?" });
    });
    let proxy = Proxy::start(upstream);
    let mut client = Client::new(proxy.address());
    client.say(SSL_REQUEST);
    assert_eq!(client.rest(), error);
    let mut client = Client::new(proxy.address());
    client.say(SSL_REQUEST);
    assert_eq!(client.rest(), b"");
    let stopped = proxy.stop();
    assert_eq!(stopped.said, ["connection 2: from the server: '?' in answer to a request for encryption"]);
}

#[test]
fn a_client_that_has_half_closed_still_receives_the_answers() {
    let proxy = Proxy::before_script(polite_server());
    let mut client = Client::new(proxy.address());
    client.say(&[startup(), query("select 1"), query("select 2")].concat());
    client.finish();
    assert_eq!(client.rest(), [welcome(), done(), done()].concat());
    proxy.was_faithful();
}

#[test]
fn a_cancel_request_is_passed_on_and_closed_when_the_server_closes() {
    let (send, heard) = mpsc::channel();
    let upstream = server(move |_, mut stream| {
        let _ = send.send(take_packet(&mut stream).expect("a packet"));
        let mut rest = [0];
        // The client is still connected. So this read ends only if the proxy closes the connection.
        assert_eq!(stream.read(&mut rest).unwrap_or(0), 0);
    });
    let proxy = Proxy::start(upstream);
    let mut client = Client::new(proxy.address());
    let request = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04";
    client.say(request);
    assert_eq!(heard.recv_timeout(PATIENCE).expect("the request is passed on"), request[4..]);
    assert!(proxy.trace().ends_with("F\t16\tCancelRequest\t 1234 5678 7 'BBBB'\n"), "{}", proxy.trace());
    drop(client);
    assert_eq!(proxy.stop().said, [""; 0]);
}

#[test]
fn each_connection_can_have_its_own_trace() {
    let proxy = Proxy::with(polite_server(), &["--trace", "TRACE.%d"]);
    let mut clients = [(); 3].map(|()| Client::let_in(proxy.address()));
    for (number, client) in clients.iter_mut().enumerate() {
        client.say(&query(&format!("query {number}")));
        client.until_ready();
    }
    let directory = proxy.trace_file().parent().expect("a directory");
    for number in 1..=3 {
        let trace = std::fs::read_to_string(directory.join(format!("trace.{number}"))).expect("a trace");
        let expected = format!(
            "F\t34\tStartupMessage\t 3 0 \"user\" \"trust\" \"database\" \"test\"\nB\t8\tAuthenticationOk\n\
             B\t5\tReadyForQuery\t I\nF\t12\tQuery\t \"query {}\"\nB\t13\tCommandComplete\t \"SELECT 0\"\n\
             B\t5\tReadyForQuery\t I\n",
            number - 1
        );
        assert_eq!(trace, expected);
    }
}

#[test]
fn the_proxy_goes_on_after_the_trace_has_failed() {
    let proxy = Proxy::with(polite_server(), &["--trace", "/dev/full"]);
    Client::let_in(proxy.address()).is_served();
    let stopped = proxy.stop();
    assert_eq!(stopped.code, Some(0));
    assert_eq!(stopped.said.len(), 1, "{:?}", stopped.said);
    assert!(
        stopped.said[0].starts_with("pg-proxy: cannot write the trace, which ends here: "),
        "{:?}",
        stopped.said
    );
}
