//! Tests of `--fault`. `pg-proxy` injects each kind of fault between a client of this project and a scripted server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use pg_stream_tokio::{Config, ConnectionBuilder, PgProtocol};
use pg_wire::MessageCode;

use crate::process::{PATIENCE, Proxy, until};
use crate::wire::{
    Client, done, polite_server, query, server, startup, take_packet, terminate, to_the_end, welcome,
};

/// The outcome of a client that logs in with the Tokio adapter and sends two queries.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// The codes of all received messages after the login.
    Codes(String),
    /// The text of the first error.
    Error(String),
    /// The client has waited until its own time limit.
    Waited,
}

fn codes(codes: &str) -> Outcome {
    Outcome::Codes(codes.into())
}

/// Runs a client behind a proxy that injects these faults. If the client takes longer than `limit`, the outcome is [`Outcome::Waited`].
fn outcome(fault: &str, limit: Duration) -> Outcome {
    let proxy = Proxy::with(polite_server(), &["--fault", fault]);
    let outcome = ask(proxy.address(), limit);
    let stopped = proxy.stop();
    assert_eq!(stopped.code, Some(0), "{fault}");
    let reported = stopped.said.iter().filter(|line| line.contains("connection 1: fault ")).count();
    assert_eq!(reported, fault.split(',').count(), "{fault}: {:?}", stopped.said);
    outcome
}

fn ask(address: SocketAddr, limit: Duration) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config: Config = format!("postgres://trust@{address}/test?sslmode=disable").parse().expect("valid");
    let session = async {
        let (mut conn, _) = ConnectionBuilder::from(config).dial().await.map_err(|error| text(&error))?;
        let mut codes = String::new();
        for _ in 0..2 {
            conn.query("").flush().await.map_err(|error| text(&error))?;
            loop {
                let code = conn.recv().await.map_err(|error| text(&error))?.code;
                codes.push(char::from(code.0));
                if code == MessageCode::READY_FOR_QUERY {
                    break;
                }
            }
        }
        Ok::<_, String>(codes)
    };
    match runtime.block_on(async { tokio::time::timeout(limit, session).await }) {
        Ok(Ok(codes)) => Outcome::Codes(codes),
        Ok(Err(error)) => Outcome::Error(error),
        Err(_) => Outcome::Waited,
    }
}

/// Returns the text of an error and of its causes.
fn text(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error}; ")).collect()
}

#[test]
fn a_client_gets_along_with_pauses_pieces_and_repeated_messages() {
    for fault in [
        "server:message#*:split 1",
        "client:message#*:split 1",
        "server:byte#3:split 2,client:byte#3:split 2",
        "server:CommandComplete:delay 20ms@3",
        "client:Query:delay 20ms@3",
        "client:byte#0:delay 20ms",
    ] {
        assert_eq!(outcome(fault, PATIENCE), codes("CZCZ"), "{fault}");
    }
    assert_eq!(outcome("server:CommandComplete:duplicate", PATIENCE), codes("CCZCZ"));
    assert_eq!(
        outcome("server:CommandComplete:flood 100000", PATIENCE),
        codes(&format!("{}ZCZ", "C".repeat(100_001)))
    );
    // `swap` exchanges the first CommandComplete with the ReadyForQuery that follows it. The client reports no error, because each message
    // is still well-formed.
    assert_eq!(outcome("server:CommandComplete:swap", PATIENCE), codes("ZCCZ"));
}

#[test]
fn a_client_gets_an_error_when_the_connection_ends_or_bytes_are_wrong() {
    for (fault, error) in [
        ("server:CommandComplete:cut", "closed"),
        ("server:CommandComplete:cut@3", "closed"),
        ("server:AuthenticationOk:cut@3", "closed"),
        ("client:Query#2:cut@3", "closed"),
        ("client:StartupMessage:cut", "closed"),
        ("server:ReadyForQuery#2:half-close", "closed"),
        ("client:Query#2:half-close", "closed"),
        ("server:CommandComplete:reset", "reset"),
        ("client:byte#10:reset", "reset"),
        ("server:ReadyForQuery#2:length 3", "length"),
        ("server:ReadyForQuery#2:length 2147483647", "over the limit"),
        ("server:AuthenticationOk:corrupt", "message"),
    ] {
        match outcome(fault, PATIENCE) {
            Outcome::Error(text) => assert!(text.contains(error), "{fault}: {text}"),
            other => panic!("{fault}: {other:?}"),
        }
    }
}

#[test]
fn a_stall_ends_when_the_waiting_client_closes() {
    let limit = Duration::from_millis(500);
    for fault in ["server:ReadyForQuery#2:stall@1", "client:Query#2:stall@4", "client:byte#0:stall"] {
        // The client waits until its time limit, and then closes the connection. The proxy must then end the session. `outcome` checks
        // this: it stops the proxy, which must exit with code 0.
        assert_eq!(outcome(fault, limit), Outcome::Waited, "{fault}");
    }
}

/// Starts a server that accepts each login. At the end of each connection, the returned channel receives the bytes that the client has sent
/// after the start-up packet. If the connection has failed, the channel receives the kind of the error instead.
fn reporting_server() -> (SocketAddr, mpsc::Receiver<Result<Vec<u8>, ErrorKind>>) {
    let (send, ends) = mpsc::channel();
    let address = server(move |_, mut stream| {
        let received = take_packet(&mut stream).and_then(|_| {
            stream.write_all(&welcome())?;
            let mut received = Vec::new();
            stream.read_to_end(&mut received)?;
            Ok(received)
        });
        let _ = send.send(received.map_err(|error| error.kind()));
    });
    (address, ends)
}

#[test]
fn a_reset_reaches_both_sides_as_a_reset_and_a_cut_as_the_end_of_the_stream() {
    for (action, is_reset) in [("reset", true), ("cut", false)] {
        for place in ["client:Query:", "client:Query:@3"] {
            let (who, at) = place.split_at("client:Query:".len());
            let (address, ends) = reporting_server();
            let proxy = Proxy::with(address, &["--fault", &format!("{who}{action}{at}")]);
            let mut client = Client::let_in(proxy.address());
            client.say(&query("select 1"));
            let mut byte = [0];
            let end = client.stream.read(&mut byte);
            let server_end = ends.recv_timeout(PATIENCE).expect("the connection ends");
            if is_reset {
                assert_eq!(
                    end.map_err(|error| error.kind()),
                    Err(ErrorKind::ConnectionReset),
                    "{action}{at}"
                );
                assert_eq!(server_end, Err(ErrorKind::ConnectionReset), "{action}{at}");
            } else {
                assert_eq!(end.map_err(|error| error.kind()), Ok(0), "{action}{at}");
                let sent = query("select 1");
                assert_eq!(server_end, Ok(sent[..at.trim_start_matches('@').parse().unwrap_or(0)].to_vec()));
            }
            drop(client);
            assert_eq!(proxy.stop().code, Some(0));
        }
    }
}

#[test]
fn a_server_reads_the_faults_of_a_client() {
    let lied = |sql: &str, length: u8| {
        let mut bytes = query(sql);
        bytes[4] = length;
        bytes
    };
    let inverted = |mut bytes: Vec<u8>| {
        bytes[0] = !bytes[0];
        bytes
    };
    let q = || query("q");
    for (action, expected) in [
        ("duplicate", [q(), q(), terminate()].concat()),
        ("flood 2", [q(), q(), q(), terminate()].concat()),
        ("swap", [terminate(), q()].concat()),
        ("corrupt", [inverted(q()), terminate()].concat()),
        ("length +2", [lied("q", 8), terminate()].concat()),
        ("half-close@2", q()[..2].to_vec()),
    ] {
        let (address, ends) = reporting_server();
        let proxy = Proxy::with(address, &["--trace", "TRACE", "--fault", &format!("client:Query:{action}")]);
        let mut client = Client::let_in(proxy.address());
        client.say(&[q(), terminate()].concat());
        client.finish();
        assert_eq!(ends.recv_timeout(PATIENCE).expect("the connection ends"), Ok(expected), "{action}");
        // The trace has the messages as the client has sent them, before the fault.
        until("both messages are traced", || {
            proxy.trace().ends_with("F\t6\tQuery\t \"q\"\nF\t4\tTerminate\n")
        });
        drop(to_the_end(&mut client.stream));
        assert_eq!(proxy.stop().code, Some(0), "{action}");
    }
}

#[test]
fn faults_are_found_after_a_declined_request_for_encryption() {
    for options in [&["--tls", "refuse"][..], &["--tls", "passthrough"]] {
        let upstream = server(|_, mut stream: TcpStream| {
            let mut packet = take_packet(&mut stream).unwrap_or_default();
            if packet.len() == 4 {
                let _ = stream.write_all(b"N");
                packet = take_packet(&mut stream).unwrap_or_default();
            }
            assert!(packet.starts_with(b"\0\x03"));
            let _ = stream.write_all(&[&welcome()[..], &done()].concat());
            drop(to_the_end(&mut stream));
        });
        let fault = ["--fault", "server:ReadyForQuery#2:corrupt@5,client:StartupMessage:split 3"];
        let proxy = Proxy::with(upstream, &[options, &fault].concat());
        let mut client = Client::new(proxy.address());
        client.say(crate::wire::SSL_REQUEST);
        let mut answer = [0];
        client.stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"N");
        client.say(&startup());
        client.until_ready();
        let bodies: Vec<_> = client.until_ready().into_iter().map(|frame| frame.body.to_vec()).collect();
        assert_eq!(bodies, [b"SELECT 0\0".to_vec(), vec![!b'I']]);
        drop(client);
        let stopped = proxy.stop();
        assert_eq!(stopped.said.iter().filter(|line| line.contains(": fault ")).count(), 2, "{options:?}");
    }
}

#[test]
fn the_same_seed_injects_the_same_faults_into_each_connection() {
    let faults = |seed: &str, rate: &str| {
        let proxy =
            Proxy::with(polite_server(), &["--fault-seed", seed, "--fault-rate", rate, "--threads", "2"]);
        for _ in 0..6 {
            // The proxy places each random fault in the first 200 messages or the first 6400 bytes that one side sends. The client sends
            // more than that, so that each fault is reached. Errors are ignored, because a fault may end the connection.
            let mut client = Client::new(proxy.address());
            client.try_to_say(&startup());
            client.try_to_say(&query(&"x".repeat(90)).repeat(210));
            client.try_to_say(&terminate());
            client.finish();
            client.rest();
        }
        let mut said = proxy.stop().said;
        said.retain(|line| line.contains(": fault "));
        said.sort();
        said
    };
    let first = faults("7", "2");
    assert!(first.len() >= 6, "{first:?}");
    assert_ne!(faults("8", "2"), first);
    assert_eq!(faults("7", "0"), Vec::<String>::new());
}

#[test]
fn an_invalid_fault_is_a_usage_error() {
    for (arguments, text) in [
        (&["--fault", "server:DataRow:cot"][..], "there is no action \"cot\""),
        (&["--fault-rate", "x"], "a rate is a number from 0 to 1000"),
        (
            &["--fault", "server:message:cut", "--tls", "refuse", "--upstream-tls", "require"],
            "--fault and --fault-rate need --tls passthrough or --tls refuse, without --upstream-tls",
        ),
    ] {
        let ended = crate::support::run(
            env!("CARGO_BIN_EXE_pg-proxy"),
            &[&["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:1"], arguments].concat(),
        );
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
}
