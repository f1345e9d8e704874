//! Tests with several hosts and several addresses: which host is used, the errors of the hosts that failed before a host was used, and the
//! destination of a cancel request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pg_stream_tokio::pg_auth::config::TargetSessionAttrs;
use pg_stream_tokio::pg_auth::connect;
use pg_stream_tokio::pg_auth::runtime::{Offload, Runtime};
use pg_stream_tokio::pg_auth::tls::NoTls;
use pg_stream_tokio::{
    Accepted, CancelKey, Config, ConnectError, ConnectErrorKind, Credentials, Host, Limits, SqlState, Tokio,
    accept, connect, welcome,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Time limit of a test. A test that hangs fails at this limit.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends within its time limit")
    });
}

/// Parameters that a primary reports.
const PRIMARY: &[(&str, &str)] = &[("in_hot_standby", "off"), ("default_transaction_read_only", "off")];
/// Parameters that a standby reports.
const STANDBY: &[(&str, &str)] = &[("in_hot_standby", "on"), ("default_transaction_read_only", "off")];

async fn listen() -> (TcpListener, Host) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("the socket is bound").port();
    (listener, Host::new("127.0.0.1", port))
}

/// Runs a server that accepts every login and reports these parameters. The server sends the key of each cancel request to the channel
/// `cancelled`.
async fn serve(
    listener: TcpListener,
    parameters: &'static [(&'static str, &'static str)],
    cancelled: mpsc::UnboundedSender<CancelKey>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let cancelled = cancelled.clone();
        tokio::spawn(async move {
            let lookup = async |_| Credentials::Trust;
            match accept(stream, Limits::FRONTEND, lookup).await? {
                (mut conn, Accepted::Login(_)) => {
                    welcome(parameters.iter().copied(), Some(&CancelKey::new(7, b"key!")), conn.outbox_mut());
                    conn.flush().await?;
                    let _ = conn.recv().await;
                }
                (_, Accepted::Cancel(key)) => drop(cancelled.send(key)),
            }
            Ok::<_, ConnectError>(())
        });
    }
}

/// Starts [`serve`] in a task, and returns the host of the server.
async fn server(parameters: &'static [(&'static str, &'static str)]) -> Host {
    let (listener, host) = listen().await;
    tokio::spawn(serve(listener, parameters, mpsc::unbounded_channel().0));
    host
}

/// Starts a server that answers every StartupMessage with this error.
async fn refuses(severity: &str, sqlstate: &str, message: &str) -> Host {
    let (listener, host) = listen().await;
    let body = format!("S{severity}\0V{severity}\0C{sqlstate}\0M{message}\0\0");
    let length = u32::try_from(4 + body.len()).expect("a short message").to_be_bytes();
    let answer = [b"E", &length[..], body.as_bytes()].concat();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut startup = [0; 1024];
            if let Ok(1..) = stream.read(&mut startup).await {
                let _ = stream.write_all(&answer).await;
            }
        }
    });
    host
}

fn config(hosts: &[&Host]) -> Config {
    let config = Config::new("me").sslmode(pg_stream_tokio::SslMode::Disable);
    hosts.iter().fold(config, |config, host| config.host((*host).clone()))
}

#[test]
fn a_host_that_is_starting_up_is_skipped() {
    run(async {
        let starting = refuses("FATAL", "57P03", "the database system is starting up").await;
        let well = server(PRIMARY).await;
        let (_, session) = connect(&config(&[&starting, &well])).await.expect("the second host is used");
        assert_eq!(session.host, Some(well.clone()));

        // After each of these errors, no further host is tried.
        for sqlstate in ["28P01", "3D000", "53300", "57P01"] {
            let refusing = refuses("FATAL", sqlstate, "go away").await;
            let error = connect(&config(&[&refusing, &well]))
                .await
                .map(|_| ())
                .expect_err("no further host is tried");
            let found = error.server_error().and_then(|error| error.sqlstate());
            assert_eq!(found, SqlState::from_bytes(sqlstate.as_bytes()), "{error}");
        }
    });
}

#[test]
fn the_error_names_every_host_with_its_reason() {
    run(async {
        let (listener, nobody) = listen().await;
        drop(listener);
        let starting = refuses("FATAL", "57P03", "the database system is starting up").await;
        let refusing = refuses("FATAL", "53300", "sorry, too many clients already").await;
        let hosts = [&nobody, &starting, &refusing];
        let error = connect(&config(&hosts)).await.map(|_| ()).expect_err("all hosts fail");
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        let reasons =
            ["cannot connect", "the database system is starting up", "sorry, too many clients already"];
        assert_eq!(lines.len(), hosts.len(), "{text}");
        for ((line, host), reason) in lines.iter().zip(hosts).zip(reasons) {
            assert!(line.starts_with(&host.to_string()) && line.contains(reason), "{line}");
        }
        assert_eq!(error.earlier().len(), 2, "{error:?}");
        let places: Vec<_> = error.earlier().iter().chain([&error]).map(|error| error.place()).collect();
        assert!(places.iter().zip(hosts).all(|(place, host)| place.is_some_and(|place| place.host == *host)));
    });
}

#[test]
fn the_first_host_of_the_requested_kind_is_used() {
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    run(async {
        let (primary, standby) = (server(PRIMARY).await, server(STANDBY).await);
        for (hosts, wanted, expected) in [
            ([&primary, &standby], Any, Some(&primary)),
            ([&standby, &primary], Any, Some(&standby)),
            ([&standby, &primary], ReadWrite, Some(&primary)),
            ([&standby, &primary], Primary, Some(&primary)),
            ([&primary, &standby], ReadOnly, Some(&standby)),
            ([&primary, &standby], Standby, Some(&standby)),
            ([&primary, &standby], PreferStandby, Some(&standby)),
            ([&primary, &primary], PreferStandby, Some(&primary)),
            ([&primary, &primary], Standby, None),
            ([&standby, &standby], ReadWrite, None),
        ] {
            match (connect(&config(&hosts).target_session_attrs(wanted)).await, expected) {
                (Ok((_, session)), Some(host)) => assert_eq!(session.host.as_ref(), Some(host), "{wanted}"),
                (Err(error), None) => {
                    assert!(matches!(error.kind(), ConnectErrorKind::Target(_)), "{wanted}: {error}");
                    assert_eq!(error.earlier().len(), 1, "{wanted}: {error}");
                }
                (found, _) => panic!("{wanted}: {:?}", found.map(|(_, session)| session.host)),
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_real_primary_matches_the_right_target_session_attrs() {
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    run(async {
        for variable in ["PG15_URL", "PG18_URL"] {
            let url = std::env::var(variable).expect("run `cargo xtask test`");
            let primary: Config = url.parse().expect("a connection string");
            // The configuration `read_only` is for the same server as `primary`, but makes the session read-only.
            let read_only = primary.clone().with_parameter("default_transaction_read_only", "on");
            for (wanted, as_primary, as_read_only) in [
                (Any, true, true),
                (ReadWrite, true, false),
                (ReadOnly, false, true),
                (Primary, true, true),
                (Standby, false, false),
                (PreferStandby, true, true),
            ] {
                for (config, expected) in [(&primary, as_primary), (&read_only, as_read_only)] {
                    let outcome = connect(&config.clone().target_session_attrs(wanted)).await;
                    let error = outcome.err();
                    assert_eq!(error.is_none(), expected, "{variable}, {wanted}: {error:?}");
                }
            }
        }
    });
}

/// The runtime Tokio, except that every name has two addresses.
#[derive(Clone, Default)]
struct TwoAddresses(Tokio);

/// Two local addresses. On Linux, every address in 127.0.0.0/8 is local.
const ADDRESSES: [[u8; 4]; 2] = [[127, 0, 0, 1], [127, 0, 0, 2]];

impl Offload for TwoAddresses {
    async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        self.0.offload(job).await
    }
}

impl Runtime for TwoAddresses {
    type Tcp = <Tokio as Runtime>::Tcp;
    type Unix = <Tokio as Runtime>::Unix;
    type Tls = NoTls;

    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(ADDRESSES.map(|address| (address, port).into()).into())
    }

    async fn dial_tcp(&self, address: SocketAddr, config: &Config) -> io::Result<Self::Tcp> {
        self.0.dial_tcp(address, config).await
    }

    async fn dial_unix(&self, path: &Path, config: &Config) -> io::Result<Self::Unix> {
        self.0.dial_unix(path, config).await
    }

    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        self.0.within(limit, future).await
    }
}

#[test]
fn a_cancel_request_is_sent_to_the_address_of_the_session() {
    run(async {
        let [first, second] = ADDRESSES;
        let listener = TcpListener::bind(SocketAddr::from((second, 0))).await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let (sender, mut cancelled) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, PRIMARY, sender));

        // No server listens at the first address during this login.
        let builder = connect::ConnectionBuilder::<TwoAddresses, NoTls>::from(config(&[&Host::new(
            "db.example",
            port,
        )]));
        let (_conn, session) = builder.dial().await.expect("the second address is tried");
        let target = session.cancel_target().expect("the server gives a key");

        let stranger = TcpListener::bind(SocketAddr::from((first, port))).await.expect("a free port");
        builder.cancel(&target).await.expect("the request is accepted");
        assert_eq!(cancelled.recv().await, Some(target.key));

        // Checks that the cancel request was not sent to `stranger`, which listens at the first address. The test itself connects to
        // `stranger`. This connection must be the first that `stranger` accepts.
        let own = TcpStream::connect((std::net::Ipv4Addr::from(first), port))
            .await
            .expect("the first address accepts");
        let (_, peer) = stranger.accept().await.expect("a connection");
        assert_eq!(Some(peer), own.local_addr().ok());
    });
}
