//! Test bodies that drop pending futures of a connection. Most test bodies repeat a call, and drop its future later each time: after 1, 2,
//! 3, … polls. After each drop, the connection must work again, and no bytes may be lost.

use std::time::Duration;

use pg_wire::{
    Connection, Error, Frame, Limits, MessageCode, PgProtocol, Portal, SqlState, Statement,
    TrackedConnection, Transport,
};

use crate::adapters::Adapter;
use crate::calls::{dialled, tracked};
use crate::polls::{counts, dropped_after, dropped_each_time};
use crate::reading::{Log, check_idle, check_works, explain, outcome, replies, text, totals};
use crate::relay::Relay;
use crate::ways::{Channel, Way};

/// Time limit for making a connection idle again.
const SOON: Duration = Duration::from_secs(20);

/// Maximum number of received bytes that `flush` may buffer while it sends. The replies to [`echo`] are larger than this limit, so `flush`
/// may return `InboxFull`.
const READ_AHEAD: usize = 1 << 20;

/// Makes the connection idle with `recover`, which must succeed within [`SOON`].
async fn recovered<A: Adapter>(conn: &mut TrackedConnection<A::Socket>, call: &str) {
    match A::within(SOON, conn.recover()).await {
        Some(Ok(())) => {}
        Some(Err(error)) => panic!("{call}: {}", explain(&error)),
        None => panic!("{call}: the recovery did not end within {SOON:?}"),
    }
}

/// Queues many executions of a statement, and a Sync. These messages do not fit into the buffers of both sockets, so `flush` has to wait.
/// Each reply repeats the bytes of the parameter.
fn echo<P: PgProtocol>(way: &Way, out: &mut P) {
    let times = if way.channel == Channel::Unix { 20 } else { 80 };
    let value = "x".repeat(60_000);
    out.parse(Statement::UNNAMED).query("select $1::text").finish();
    for _ in 0..times {
        out.bind(Statement::UNNAMED, Portal::UNNAMED).execute((&value,));
    }
    out.sync();
}

/// Queues a pipeline, and drops the future of `flush` after a part of the pipeline is sent. The relay does not read during this time, so
/// `flush` cannot finish.
async fn partly_sent<C: PgProtocol>(
    way: &Way,
    relay: &Relay,
    conn: &mut C,
    flush: impl AsyncFn(&mut C) -> Result<(), Error>,
) {
    relay.hold(true);
    echo(way, conn);
    let sent = dropped_after(1, flush(conn)).await;
    assert!(sent.is_none(), "the pipeline fits into the buffers of two sockets");
    relay.hold(false);
}

/// For each number in `counts`: makes `call`, and drops its future after this number of polls. Ends when a future is ready earlier. After
/// each drop, checks that the connection can be recovered. The future of `prepare`, which runs before each call, is not dropped.
async fn each_poll<A: Adapter>(
    way: &Way,
    name: &str,
    prepare: impl AsyncFn(&mut TrackedConnection<A::Socket>),
    call: impl AsyncFn(&mut TrackedConnection<A::Socket>) -> String,
) -> String {
    let mut conn = tracked::<A>(way).await;
    for polls in counts() {
        prepare(&mut conn).await;
        let ended = dropped_after(polls, call(&mut conn)).await;
        recovered::<A>(&mut conn, &format!("{name}, after {polls} polls")).await;
        check_idle(&mut conn, polls).await;
        if let Some(ended) = ended {
            return format!("{name}: {ended}");
        }
    }
    unreachable!("the numbers of polls do not end")
}

/// Sends a statement.
async fn send<T: Transport>(conn: &mut TrackedConnection<T>, sql: &str) {
    conn.query(sql).flush().await.expect("sent");
}

/// SQL whose reply arrives in several parts: a row, a pause, a long row, and an error.
const SLOW: &str = "select 1; select pg_sleep(0.003); select repeat('x', 300000); select 1/0";

/// Makes each call of a `TrackedConnection` repeatedly. [`each_poll`] drops the futures of the call.
pub(crate) async fn each_future_of_a_tracked_connection<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    log.push(
        each_poll::<A>(
            way,
            "flush",
            async |_| (),
            async |conn| outcome(conn.query("select 1; select pg_sleep(0.003); select 2").flush().await),
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "flush of a long pipeline",
            async |_| (),
            async |conn| {
                echo(way, conn);
                outcome(conn.flush().await)
            },
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "recv",
            async |conn| send(conn, SLOW).await,
            async |conn| {
                let mut bytes = 0;
                loop {
                    let frame = conn.recv().await.expect("a message");
                    bytes += frame.body.len();
                    if frame.code == MessageCode::ERROR_RESPONSE {
                        return format!("{bytes} {}", text(frame));
                    }
                }
            },
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "recv_owned",
            async |conn| send(conn, SLOW).await,
            async |conn| {
                let mut bytes = 0;
                loop {
                    let frame = conn.recv_owned().await.expect("a message");
                    bytes += frame.frame().body.len();
                    if frame.frame().code == MessageCode::READY_FOR_QUERY {
                        return bytes.to_string();
                    }
                }
            },
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "recv_reply",
            async |conn| send(conn, SLOW).await,
            async |conn| loop {
                let (reply, frame) = conn.recv_reply().await.expect("a message");
                if frame.code == MessageCode::READY_FOR_QUERY {
                    return format!("{:?} {}", reply.map(|reply| reply.last), text(frame));
                }
            },
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "next_code",
            async |conn| send(conn, SLOW).await,
            async |conn| loop {
                let code = conn.next_code().await.expect("a message");
                conn.recv().await.expect("a message");
                if code == MessageCode::ERROR_RESPONSE {
                    return format!("{code:?}");
                }
            },
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "until_ready",
            async |conn| send(conn, SLOW).await,
            async |conn| outcome(conn.until_ready(|_| Ok::<_, Error>(())).await),
        )
        .await,
    );
    log.push(
        each_poll::<A>(
            way,
            "recv_unasked",
            async |conn| {
                send(conn, "listen own").await;
                conn.until_ready(|_| Ok::<_, Error>(())).await.expect("listening");
                send(conn, "select pg_sleep(0.003); notify own, 'a'").await;
                // The reply stays unread. The notification may arrive before the ReadyForQuery of the reply, and `recv_unasked` must
                // receive the notification.
            },
            async |conn| loop {
                let frame = conn.recv_unasked().await.expect("a message");
                if frame.code == MessageCode::NOTIFICATION_RESPONSE {
                    return text(frame);
                }
            },
        )
        .await,
    );
    log
}

/// Calls `recover` while the connection is busy with each kind of work. [`each_poll`] drops the futures of `recover`.
pub(crate) async fn a_recovery<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    for sql in [
        "begin; select pg_sleep(0.003)",
        "select 1; copy (select repeat('x', 100) from generate_series(1, 5000)) to stdout",
        "create temp table if not exists t (line text); copy t from stdin",
        SLOW,
    ] {
        let unfinished = async |conn: &mut TrackedConnection<_>| {
            send(conn, sql).await;
            // Also sends a Parse, so that more work is unfinished. During a COPY to the server, no Parse is sent, because a Parse would end
            // the session.
            if !sql.ends_with("stdin") {
                conn.parse(Statement::UNNAMED).query("select 1").finish().flush().await.expect("sent");
            }
        };
        log.push(
            each_poll::<A>(way, "recover", unfinished, async |conn| outcome(conn.recover().await)).await,
        );
    }
    // Recovers a connection whose pipeline is partly sent. Drops the future of `recover` after every poll.
    let relay = Relay::start(way);
    let (conn, _) = A::connect(&relay.config).await.unwrap_or_else(|error| panic!("{error}"));
    let mut conn = TrackedConnection::new(conn);
    partly_sent(way, &relay, &mut conn, async |conn| conn.flush().await).await;
    let call = dropped_each_time(&mut conn, async |conn| conn.recover().await);
    log.push(outcome(A::within(SOON, call).await.expect("the recovery ends")));
    check_idle(&mut conn, 1).await;
    log
}

/// Drops the future of each call of a `Connection` after every poll, and repeats the call until a future is ready.
pub(crate) async fn each_call_of_a_connection<A: Adapter>(way: &Way) -> Log {
    let mut conn = dialled::<A>(way).await;
    let mut log = Log::new();

    conn.query(SLOW);
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.flush().await).await));
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.ready().await).await));
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.next_code().await).await));
    let mut bytes = 0;
    loop {
        let call = async |conn: &mut Connection<_>| conn.recv().await.map(Frame::to_owned);
        let frame = dropped_each_time(&mut conn, call).await.expect("a message");
        bytes += frame.frame().body.len();
        if frame.frame().code == MessageCode::READY_FOR_QUERY {
            break;
        }
    }
    log.push(bytes.to_string());

    conn.query(SLOW).flush().await.expect("sent");
    loop {
        let call = async |conn: &mut Connection<_>| conn.recv_owned().await;
        let frame = dropped_each_time(&mut conn, call).await.expect("a message");
        bytes += frame.frame().body.len();
        if frame.frame().code == MessageCode::ERROR_RESPONSE {
            break;
        }
    }
    log.push(bytes.to_string());
    log.extend(replies(&mut conn).await);

    conn.query(SLOW).flush().await.expect("sent");
    loop {
        match conn.try_recv().expect("valid") {
            Some(frame) if frame.code == MessageCode::READY_FOR_QUERY => break,
            Some(_) => {}
            None => dropped_each_time(&mut conn, async |conn| conn.fill().await).await.expect("read"),
        }
    }

    // A future of `until_ready` may be dropped after it has passed some messages to the closure. The next future must continue with the
    // message that follows.
    conn.query(SLOW).flush().await.expect("sent");
    let mut rows = 0;
    let status = dropped_each_time(&mut conn, async |conn| {
        let each = |frame: Frame<'_>| {
            rows += usize::from(frame.code == MessageCode::DATA_ROW);
            Ok::<_, Error>(())
        };
        conn.until_ready(each).await
    });
    let status = match status.await {
        Ok(status) => status,
        Err(Error::Server(error)) => {
            assert_eq!(error.sqlstate(), Some(SqlState::DIVISION_BY_ZERO));
            pg_wire::TransactionStatus::Idle
        }
        Err(error) => panic!("{error}"),
    };
    log.push(format!("{rows} rows, {status:?}"));

    // The pipeline and its replies do not fit into the socket buffers, so `flush` must receive replies while it sends.
    echo(way, &mut conn);
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.flush().await).await));
    log.push(totals(&mut conn).await);
    // With this low limit for buffered replies, `flush` may return `InboxFull` before it has sent all bytes. Later calls of `recv` send the
    // rest.
    conn.set_limits(Limits::BACKEND.read_ahead(READ_AHEAD));
    echo(way, &mut conn);
    let flushed = dropped_each_time(&mut conn, async |conn| conn.flush().await).await;
    assert!(matches!(flushed, Ok(()) | Err(Error::InboxFull)), "{flushed:?}");
    log.push(totals(&mut conn).await);
    check_works(&mut conn, 1).await;

    conn.terminate();
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.close().await).await));
    log.push(outcome(conn.recv().await));
    log
}

/// Drops the future of `flush` after a part of a pipeline is sent. The next call that waits, such as `recv`, must send the rest.
pub(crate) async fn a_partly_sent_pipeline<A: Adapter>(way: &Way) -> Log {
    let relay = Relay::start(way);
    let (mut conn, _) = A::connect(&relay.config).await.unwrap_or_else(|error| panic!("{error}"));
    let mut log = Log::new();
    partly_sent(way, &relay, &mut conn, async |conn| conn.flush().await).await;
    log.push(totals(&mut conn).await);
    partly_sent(way, &relay, &mut conn, async |conn| conn.flush().await).await;
    conn.query("select 'after the flush'");
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.flush().await).await));
    log.push(totals(&mut conn).await);
    log.extend(replies(&mut conn).await);
    partly_sent(way, &relay, &mut conn, async |conn| conn.flush().await).await;
    log.push(outcome(dropped_each_time(&mut conn, async |conn| conn.ready().await).await));
    log.push(totals(&mut conn).await);
    check_works(&mut conn, 1).await;
    log
}

/// For each number in `counts`: drops a future of `close` after this number of polls. The queued messages must be sent before the stream is
/// closed.
pub(crate) async fn a_close<A: Adapter>(way: &Way) -> Log {
    let mut log = Log::new();
    for polls in counts() {
        let mut conn = dialled::<A>(way).await;
        // Queues more bytes than the socket buffers can hold, so that `close` has to wait.
        for _ in 0..if way.channel == Channel::Unix { 8 } else { 40 } {
            conn.query(&format!("/* {} */", "x".repeat(60_000)));
        }
        conn.terminate();
        let ended = dropped_after(polls, conn.close()).await;
        let is_last = ended.is_some();
        let ended = match ended {
            Some(ended) => ended,
            None => conn.close().await,
        };
        let mut replies = 0;
        while let Ok(frame) = conn.recv().await {
            replies += usize::from(frame.code == MessageCode::READY_FOR_QUERY);
        }
        if is_last {
            log.push(outcome(ended));
            // Over TLS, replies can be lost and are not counted: the server process exits without reading the client's close_notify alert,
            // so the kernel resets the connection.
            log.push(if way.channel == Channel::Tls { 0 } else { replies }.to_string());
            break;
        }
    }
    log
}
