//! Test bodies for connecting, accepting and cancelling. The test bodies open sessions in each supported way, and cause errors. Some test
//! bodies repeat a call, and drop its future later each time: after 1, 2, 3, … polls.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use pg_auth::connect::Accepted;
use pg_auth::tls::TlsError;
use pg_auth::{
    CancelTarget, Config, ConnectErrorKind, Credentials, Session, StoredPassword, accept::welcome,
};
use pg_wire::{Connection, Error, Limits, MessageCode, PgProtocol, Transport};

use crate::adapters::Adapter;
use crate::calls::dialled;
use crate::polls::{counts, dropped_after};
use crate::reading::{Log, check_works, explain, outcome, rejection, replies};
use crate::ways::{Channel, Way};

/// Returns facts about a session that must be equal for all adapters.
fn facts(session: &Session) -> String {
    let tls = session.tls.is_some();
    format!("{:?} {:?} {} {tls}", session.version, session.auth_method, session.channel_bound)
}

/// Queries facts about the session from the server: whether the session uses TLS, the version of TLS, and whether the session uses a
/// Unix-domain socket.
async fn server_facts<T: Transport>(conn: &mut Connection<T>) -> Log {
    conn.query(
        "select ssl, version, client_addr is null from pg_stat_ssl join pg_stat_activity using (pid) \
         where pid = pg_backend_pid()",
    );
    conn.flush().await.expect("sent");
    replies(conn).await
}

/// Checks that a connection attempt has succeeded, and returns facts about the session. Generic over the stream, because the type of the
/// stream differs between the attempts.
async fn used<T: Transport>(made: Result<(Connection<T>, Session), pg_auth::ConnectError>) -> Log {
    let (mut conn, session) = made.unwrap_or_else(|error| panic!("{error}"));
    let mut log = vec![facts(&session)];
    log.extend(server_facts(&mut conn).await);
    conn.terminate().close().await.expect("closed");
    log.push(outcome(conn.recv().await));
    log
}

/// Opens sessions, some over streams that the adapter opens, and some over streams that the test has opened.
pub(crate) async fn every_way_to_connect<A: Adapter>(way: &Way) -> Log {
    let config = way.config();
    let mut log = used(A::connect(&config).await).await;
    log.extend(used(A::dial(&config, Limits::BACKEND.read_size(4096)).await).await);
    let tcp = || TcpStream::connect(way.server.address).expect("PostgreSQL listens by TCP");
    log.extend(match way.channel {
        Channel::Tcp => used(A::over_tcp(&config, tcp()).await).await,
        Channel::Unix => {
            let path = config.hosts[0].socket_path().expect("a socket has a path");
            let stream = UnixStream::connect(path).expect("PostgreSQL listens by Unix socket");
            used(A::over_unix(&config, stream).await).await
        }
        Channel::Tls => used(A::over_tls(&config, tcp()).await).await,
    });
    // Logs in with each password method. The key derivation for SCRAM runs on a thread of the runtime.
    for (role, password) in [("md5", "md5-secret"), ("scram", "scram-secret"), ("saslprep", "pa ssIX")] {
        let mut config = way.config_for(role, password);
        config.channel_binding = pg_auth::config::BindingMode::Prefer;
        log.extend(used(A::connect(&config).await).await);
    }
    log
}

/// Returns the configuration of `way`, after `change` has changed it.
fn changed(way: &Way, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = way.config();
    change(&mut config);
    config
}

/// Makes connection attempts that must fail.
pub(crate) async fn every_error_of_a_connection_attempt<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    for config in [
        way.config_for("scram", "incorrect"),
        way.config_for("nobody", "incorrect"),
        way.config().database("nowhere"),
        way.config().with_parameter("work_mem", "a lot"),
        changed(way, |config| config.password = None),
        changed(way, |config| config.hosts.clear()),
        changed(way, |config| config.hosts.clear()).socket("/nowhere", 5432),
    ] {
        log.push(rejection(A::connect(&config).await));
    }
    // Connects to a host that never answers, and then to a port on which no process listens.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("the socket is bound").port();
    let config = changed(way, |config| config.hosts.clear());
    let config = config.host(pg_auth::Host::new("127.0.0.1", port));
    let made = A::connect(&config.clone().connect_timeout(Duration::from_millis(20))).await;
    let error = made.map(|(_, session)| session).expect_err("the host is silent");
    assert!(matches!(error.kind(), ConnectErrorKind::Timeout(_)), "{error}");
    log.push(explain(&error).replace(&port.to_string(), "PORT"));
    drop(silent);
    let error = A::connect(&config).await.map(|(_, session)| session).expect_err("no process listens");
    log.push(explain(&error).replace(&port.to_string(), "PORT"));
    if way.channel == Channel::Tls {
        // Only the kind of the error is compared, because each TLS library has its own error text.
        let mut config = way.config();
        let root = std::env::var("PG_TLS_OTHER_ROOT").expect("set by `cargo xtask test`");
        config.tls.root = Some(pg_auth::config::RootCert::File(root.into()));
        let error = A::connect(&config).await.map(|(_, session)| session).expect_err("not trusted");
        let is_handshake = matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_)));
        assert!(is_handshake, "{error}");
    }
    log
}

/// For each number in `counts`: drops a future of `connect` after this number of polls. After some of the drops, a new connection attempt
/// must succeed.
pub(crate) async fn a_dropped_connection_attempt<A: Adapter>(way: &Way) -> Log {
    let config = way.config();
    for polls in counts() {
        let made = dropped_after(polls, A::connect(&config)).await;
        let is_last = made.is_some();
        let made = match made {
            Some(made) => made,
            None if polls % 4 == 1 => A::connect(&config).await,
            None => continue,
        };
        let (mut conn, session) = made.unwrap_or_else(|error| panic!("{error}"));
        check_works(&mut conn, polls).await;
        if is_last {
            return vec![facts(&session)];
        }
    }
    Log::new()
}

/// Sends a statement that takes an hour, and returns as soon as the server executes the statement. A cancel request has no effect before
/// the execution.
async fn asleep<A: Adapter>(way: &Way) -> (Connection<A::Socket>, CancelTarget) {
    let made = A::connect(&way.config()).await;
    let (mut conn, session) = made.unwrap_or_else(|error| panic!("{error}"));
    conn.query("do $$ begin raise info 'asleep'; perform pg_sleep(3600); end $$")
        .flush()
        .await
        .expect("sent");
    assert_eq!(conn.recv().await.expect("a message").code, MessageCode::NOTICE_RESPONSE);
    (conn, session.cancel_target().expect("a key"))
}

/// Cancels statements with `cancel` and with `cancel_over`. Then, for each number in `counts`: drops a future of `cancel` after this number
/// of polls, and cancels again.
pub(crate) async fn a_cancel_request<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    let (mut conn, target) = asleep::<A>(way).await;
    A::cancel(&way.config(), &target).await.expect("sent");
    log.push(outcome(conn.until_ready(|_| Ok::<_, Error>(())).await));
    // `cancel` returns only after the server has handled the request. So the request cannot cancel a later statement.
    check_works(&mut conn, 1).await;
    A::cancel(&way.config(), &target).await.expect("sent");
    check_works(&mut conn, 2).await;

    let (mut conn, target) = asleep::<A>(way).await;
    let stream = TcpStream::connect(way.server.address).expect("PostgreSQL listens by TCP");
    A::cancel_over(stream, &target.key).await.expect("sent");
    log.push(outcome(conn.until_ready(|_| Ok::<_, Error>(())).await));
    check_works(&mut conn, 3).await;

    for polls in counts() {
        let (mut conn, target) = asleep::<A>(way).await;
        let ended = dropped_after(polls, A::cancel(&way.config(), &target)).await;
        let is_last = ended.is_some();
        match ended {
            Some(ended) => ended.expect("sent"),
            None => A::cancel(&way.config(), &target).await.expect("sent"),
        }
        let error = conn.until_ready(|_| Ok::<_, Error>(())).await;
        log.push(outcome(error));
        if is_last {
            check_works(&mut conn, polls).await;
            log.dedup();
            return log;
        }
        // The cancel request of the dropped future may still arrive and cancel one of these two statements. The session must still work.
        for number in 0..2 {
            conn.query("select 1").flush().await.expect("sent");
            if conn.until_ready(|_| Ok::<_, Error>(())).await.is_ok() {
                break;
            }
            assert_eq!(number, 0, "one request has cancelled two statements");
        }
    }
    log
}

/// Returns the credentials of the only user whom the accepting side knows.
fn credentials() -> Credentials {
    Credentials::Cleartext(StoredPassword::Plain("secret".into()))
}

/// For each number in `counts`: accepts a client that uses the adapter `A`, and drops the future of `accept` after this number of polls.
pub(crate) async fn accepted_clients<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    if way.channel != Channel::Tcp {
        // The test `misbehaving` tests the accepting side over Unix-domain sockets and TLS.
        return vec![String::from("only by TCP")];
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("the socket is bound").port();
    let config = Config::new("me").password("secret").host(pg_auth::Host::new("127.0.0.1", port));
    let config = config.sslmode(pg_auth::SslMode::Disable);
    for polls in counts() {
        let address = listener.local_addr().expect("the socket is bound");
        let stream = TcpStream::connect(address).expect("the listener exists");
        let (server, _) = listener.accept().expect("a client");
        let client = {
            let config = config.clone();
            A::spawn(async move {
                match A::over_tcp(&config, stream).await {
                    Err(error) => explain(&error),
                    Ok((mut conn, session)) => {
                        conn.query("select").flush().await.expect("sent");
                        let reply = conn.recv().await.expect("a message").code;
                        format!("{reply:?} {:?}", session.parameters.get("server_version"))
                    }
                }
            })
        };
        let ended = dropped_after(polls, A::accept(server, credentials)).await;
        match ended {
            None => assert!(client.await.starts_with("error"), "the server has closed the connection"),
            Some(ended) => {
                let (mut conn, accepted) = ended.unwrap_or_else(|error| panic!("{error}"));
                assert!(matches!(accepted, Accepted::Login(_)), "{accepted:?}");
                welcome([("server_version", "18.0")], None, conn.outbox_mut());
                conn.flush().await.expect("sent");
                log.push(format!("{:?}", conn.recv().await.expect("a message").code));
                conn.put(&pg_wire::backend::EmptyQueryResponse {}).flush().await.expect("sent");
                log.push(client.await);
                return log;
            }
        }
    }
    log
}

/// Sends notifications from one session to another session, which only waits for messages.
pub(crate) async fn notifications<A: Adapter>(way: &Way) -> Log {
    // The name of the notification channel contains the process id of the server process, so that concurrent tests use different channels.
    let mut conn = dialled::<A>(way).await;
    let mut other = dialled::<A>(way).await;
    conn.query("select pg_backend_pid()").flush().await.expect("sent");
    let pid = replies(&mut conn).await;
    let pid: String = pid[1].chars().filter(char::is_ascii_digit).collect();
    conn.query(&format!("listen channel_{pid}")).flush().await.expect("sent");
    let mut log = replies(&mut conn).await;
    for payload in ["first", "", "third"] {
        let early = dropped_after(1, conn.ready()).await;
        assert!(early.is_none(), "a message that was not sent");
        other.query(&format!("notify channel_{pid}, '{payload}'")).flush().await.expect("sent");
        replies(&mut other).await;
        A::within(Duration::from_secs(10), conn.ready()).await.expect("in time").expect("a message");
        let frame = conn.try_recv().expect("valid").expect("a message");
        log.push(crate::reading::text(frame).replace(&pid, "PID"));
    }
    log
}
