//! Test bodies that call every public function of `Connection`, of its two halves and of `TrackedConnection`, and send every kind of
//! request.

use std::future::poll_fn;
use std::time::Duration;

use pg_wire::backend::Backend;
use pg_wire::frontend::Sync;
use pg_wire::session::{NotIdle, Waiting};
use pg_wire::{
    Connection, Error, FormatCode, Limits, MessageCode, PgProtocol, Portal, Statement, TrackedConnection, oid,
};

use crate::adapters::Adapter;
use crate::reading::{Log, check_idle, check_works, outcome, replies, text};
use crate::ways::Way;

/// Opens a connection to the server of `way`, as the role `scram`.
pub(crate) async fn dialled<A: Adapter>(way: &Way) -> Connection<A::Socket> {
    A::connect(&way.config()).await.unwrap_or_else(|error| panic!("{way:?}: {error}")).0
}

/// Opens a connection as [`dialled`] does, and tracks the state of its session.
pub(crate) async fn tracked<A: Adapter>(way: &Way) -> TrackedConnection<A::Socket> {
    TrackedConnection::new(dialled::<A>(way).await)
}

/// Sends each kind of request of the simple and the extended protocol, and returns all replies.
pub(crate) async fn every_request<A: Adapter>(way: &Way) -> Log {
    let mut conn = dialled::<A>(way).await;
    let mut log = Log::new();

    for sql in ["", "select 1; select 'two' as t, null; select", "select 1/0", "no statement"] {
        conn.query(sql).flush().await.expect("sent");
        log.extend(replies(&mut conn).await);
    }
    // The replies contain a ParameterStatus (of the SET) and a NoticeResponse (of the RAISE).
    conn.query("set application_name = 'suite'; do $$ begin raise warning 'noted'; end $$");
    conn.flush().await.expect("sent");
    log.extend(replies(&mut conn).await);

    let statement = Statement("series");
    conn.parse(statement)
        .query("select n, n::text from generate_series(1, $1) n")
        .param_types(&[oid::INT4])
        .finish();
    conn.describe_statement(statement);
    conn.bind(statement, Portal("page"))
        .result_formats(&[FormatCode::Binary, FormatCode::Text])
        .finish((3i32,));
    conn.describe_portal(Portal("page")).execute(Portal("page"), 2).execute(Portal("page"), 2);
    conn.close_portal(Portal("page")).execute(Portal("page"), 0).sync();
    conn.flush().await.expect("sent");
    log.extend(replies(&mut conn).await);

    // The client sends a Flush message and no Sync. So the server sends the replies without ReadyForQuery.
    conn.bind(statement, Portal::UNNAMED).execute((1i32,));
    conn.close_statement(statement).flush_msg().flush().await.expect("sent");
    for _ in 0..4 {
        log.push(text(conn.recv().await.expect("a message")));
    }
    conn.bind(statement, Portal::UNNAMED).execute_and_sync((1i32,)).flush().await.expect("sent");
    log.extend(replies(&mut conn).await);

    // Calls int4pl(int4, int4), and then a function that does not exist.
    for function in [177, 1] {
        conn.fn_call(function)
            .result_format(FormatCode::Text)
            .finish(("40", "2"))
            .flush()
            .await
            .expect("sent");
        log.extend(replies(&mut conn).await);
    }

    // If one message of a batch cannot be encoded, no message of the batch is sent. Here the second statement cannot be encoded, because it
    // contains a zero byte.
    conn.query("select 1").query("select '\0'");
    log.push(outcome(conn.flush().await));
    check_works(&mut conn, 1).await;

    conn.terminate().close().await.expect("closed");
    log.push(outcome(conn.recv().await));
    log
}

/// Calls each function of `Connection`.
pub(crate) async fn every_call_of_a_connection<A: Adapter>(way: &Way) -> Log {
    let (mut conn, session) = A::dial(&way.config(), Limits::BACKEND.bulk(100)).await.expect("a session");
    let mut log = Log::new();
    log.push(format!("{:?} {:?}", session.version, session.auth_method));
    // The version of TLS is left out, because native-tls does not report the version.
    log.push(format!("{} {}", session.channel_bound, session.tls.is_some()));
    let parameter = |name| format!("{:?}", session.parameters.get(name));
    log.extend(["server_version", "client_encoding", "session_authorization"].map(parameter));
    assert!(conn.is_quiet());

    // Queues a message, commits the batch, and sends the batch, each by a separate call.
    conn.put(&Sync {});
    log.push(format!("{:?} {:?}", conn.outbox().batch(), conn.outbox().pending()));
    assert!(!conn.is_quiet());
    conn.outbox_mut().commit().expect("encoded");
    poll_fn(|cx| conn.poll_flush(cx)).await.expect("sent");
    // `try_recv` takes only a whole buffered message, so the loop calls `fill` until the message is complete.
    while conn.try_recv().expect("valid").is_none() {
        conn.fill().await.expect("read");
    }
    conn.sync().flush().await.expect("sent");
    poll_fn(|cx| conn.poll_fill(cx)).await.expect("read");
    assert!(conn.inbox().buffered() > 0);
    let (inbox, outbox) = conn.buffers_mut();
    assert!(outbox.is_empty());
    log.push(text(inbox.next().expect("valid").expect("a message")));

    // Receives messages by each function that can receive.
    conn.query("select 'a'; select 'b'").flush().await.expect("sent");
    conn.ready().await.expect("a message");
    log.push(text(conn.try_recv().expect("valid").expect("a message")));
    poll_fn(|cx| conn.poll_ready(cx)).await.expect("a message");
    log.push(format!("{:?}", conn.next_code().await.expect("a message")));
    log.push(text(conn.recv_owned().await.expect("a message").frame()));
    log.push(text(conn.recv().await.expect("a message")));
    log.push(text(conn.inbox_mut().next().expect("valid").expect("a message")));
    let mut seen = Log::new();
    let status = conn
        .until_ready(|frame| {
            seen.push(text(frame));
            Ok::<_, Error>(())
        })
        .await;
    log.extend(seen);
    log.push(outcome(status));

    // The first row is longer than the connection's limit, so `recv` skips the row and returns an error. The test then raises the limit,
    // and `recv` returns a row of the same length.
    conn.query("select repeat('x', 200)").flush().await.expect("sent");
    assert_eq!(conn.recv().await.expect("a message").code, MessageCode::ROW_DESCRIPTION);
    log.push(outcome(conn.recv().await));
    log.extend(replies(&mut conn).await);
    conn.set_limits(Limits::BACKEND);
    conn.query("begin; select repeat('x', 200)").flush().await.expect("sent");
    log.extend(replies(&mut conn).await);
    conn.query("select 1/0").flush().await.expect("sent");
    log.push(outcome(conn.until_ready(|_| Ok::<_, Error>(())).await));
    conn.query("rollback").flush().await.expect("sent");
    log.push(outcome(conn.until_ready(|_| Ok::<_, Error>(())).await));

    conn.scrub();
    assert!(conn.is_quiet());
    log.push(format!("{:?} {:?}", conn.read_fault(), conn.write_fault()));
    let stream: *const _ = conn.transport();
    assert!(std::ptr::eq(stream, conn.transport_mut()));

    // Takes the connection apart, and makes a new connection from its transport.
    let (transport, inbox, outbox) = conn.into_parts();
    assert!(inbox.buffered() == 0 && outbox.is_empty());
    let mut conn = Connection::new(transport, Limits::BACKEND);
    check_works(&mut conn, 2).await;

    conn.terminate().close().await.expect("closed");
    for _ in 0..2 {
        log.push(outcome(conn.recv().await));
    }
    log.push(format!("{:?} {:?}", conn.read_fault(), conn.is_quiet()));
    log
}

/// Calls each function of `ReadHalf` and `WriteHalf`, in two tasks.
pub(crate) async fn every_call_of_the_halves<A: Adapter>(way: &Way) -> Log {
    const QUERIES: usize = 500;
    let mut conn = dialled::<A>(way).await;
    conn.query("create temp table t (line text)").flush().await.expect("sent");
    replies(&mut conn).await;
    // This message is queued before the split. The write half must send it.
    conn.query("select 'queued'");
    let (mut reader, mut writer) = conn.split();
    let sending = A::spawn(async move {
        for _ in 0..QUERIES {
            writer.query("select repeat('x', 1000)").flush().await.expect("sent");
        }
        writer.query("copy t from stdin").flush().await.expect("sent");
        for _ in 0..20 {
            writer.send_copy_data(&b"a line\n".repeat(10_000)).await.expect("sent");
        }
        writer.copy_done().put(&Sync {}).flush().await.expect("sent");
        assert!(writer.outbox_mut().is_empty() && writer.outbox().is_empty());
        let fault = format!("{:?}", writer.fault());
        writer.terminate().close().await.expect("closed");
        fault
    });
    let receiving = A::spawn(async move {
        let mut log = Log::new();
        log.push(text(reader.recv().await.expect("a message")));
        log.push(text(reader.recv_owned().await.expect("a message").frame()));
        reader.ready().await.expect("a message");
        log.push(text(reader.try_recv().expect("valid").expect("a message")));
        poll_fn(|cx| reader.poll_ready(cx)).await.expect("a message");
        log.push(text(reader.inbox_mut().next().expect("valid").expect("a message")));
        let (mut ready, mut bytes) = (0, 0);
        let ended = loop {
            match reader.recv().await {
                Ok(frame) => match frame.code {
                    MessageCode::READY_FOR_QUERY => ready += 1,
                    MessageCode::COMMAND_COMPLETE if ready == QUERIES => log.push(text(frame)),
                    _ => bytes += frame.body.len(),
                },
                Err(error) => break error,
            }
        };
        log.push(format!("{ready} {bytes} {ended} {:?} {}", reader.fault(), reader.inbox().buffered()));
        log
    });
    let fault = sending.await;
    let mut log = receiving.await;
    log.push(fault);
    log
}

/// Calls each function of `TrackedConnection`.
pub(crate) async fn every_call_of_a_tracked_connection<A: Adapter>(way: &Way) -> Log {
    let mut conn = tracked::<A>(way).await;
    let mut log = Log::new();

    // The client calls `recv` although the server has no reason to send a message. `recv` must return an error instead of waiting forever.
    log.push(outcome(conn.recv().await));
    conn.put(&Sync {});
    log.push(outcome(conn.check_idle().map_err(Reason)));
    conn.discard_batch();
    conn.parse(Statement::UNNAMED).query("select 1").finish().flush().await.expect("sent");
    log.push(outcome(conn.recv().await));
    log.push(outcome(conn.check_idle().map_err(Reason)));
    conn.flush_msg().flush().await.expect("sent");
    log.push(format!("{:?}", conn.next_code().await.expect("a message")));
    log.push(text(conn.recv().await.expect("a message")));
    log.push(outcome(conn.recv().await));
    conn.sync().flush().await.expect("sent");
    log.push(text(conn.recv_owned().await.expect("a message").frame()));
    check_idle(&mut conn, 1).await;

    // `recv_reply` must return each reply together with the request that it answers.
    conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync(()).query("select 1/0");
    conn.flush().await.expect("sent");
    while conn.state().waiting() == Waiting::Reply {
        let (reply, frame) = conn.recv_reply().await.expect("a message");
        let reply = reply.map(|reply| (reply.number, reply.request, reply.last));
        log.push(format!("{reply:?} {}", text(frame)));
    }

    // Starts several kinds of work, one after the other. Each kind of work leaves the connection busy, and `recover` must make the
    // connection idle again.
    for sql in [
        "begin",
        "begin; select 1/0",
        "copy (select generate_series(1, 1000)) to stdout",
        "create temp table if not exists t (line text); copy t from stdin",
        "select generate_series(1, 1000); select 1/0; select 1",
    ] {
        conn.query(sql).flush().await.expect("sent");
        conn.recv().await.expect("a message");
        if sql.starts_with("begin") {
            let _ = conn.until_ready(|_| Ok::<_, Error>(())).await;
            log.push(outcome(conn.check_idle().map_err(Reason)));
        }
        conn.query("select 'never sent'");
        A::within(Duration::from_secs(10), conn.recover()).await.expect("no hang").expect("recovered");
        check_idle(&mut conn, 2).await;
    }

    // Receives a notification that another session has sent.
    conn.query("listen news").flush().await.expect("sent");
    conn.until_ready(|_| Ok::<_, Error>(())).await.expect("listening");
    let mut other = tracked::<A>(way).await;
    other.query("select pg_notify('news', 'extra')").flush().await.expect("sent");
    other.until_ready(|_| Ok::<_, Error>(())).await.expect("notified");
    loop {
        // Skips the notifications of other tests: they use the same channel, but a different payload.
        let frame = conn.recv_unasked().await.expect("a message");
        if let Ok(Backend::NotificationResponse(note)) = frame.backend()
            && note.payload == "extra"
        {
            log.push(text(frame));
            break;
        }
    }

    // Takes the connection apart during a COPY, and makes a new `TrackedConnection` from the parts.
    conn.query("copy t from stdin").flush().await.expect("sent");
    let (conn, state) = conn.into_parts();
    log.push(format!("{:?}", state.waiting()));
    let mut conn = TrackedConnection::with_state(conn, state);
    conn.recv().await.expect("a message");
    log.push(outcome(conn.recv().await));
    conn.copy_data(b"a line\n").copy_done().flush().await.expect("sent");
    let mut seen = Log::new();
    let ended = conn
        .until_ready(|frame| {
            seen.push(text(frame));
            Ok::<_, Error>(())
        })
        .await;
    log.extend(seen);
    log.push(outcome(ended));
    assert!(conn.connection().is_quiet());

    // Ends the session, and makes calls after its end.
    conn.terminate().flush().await.expect("sent");
    log.push(outcome(conn.recv_unasked().await));
    log.push(outcome(conn.check_idle().map_err(Reason)));
    log.push(outcome(conn.recover().await));
    log
}

/// Reason why a connection is not idle. This wrapper implements `Error`, which `outcome` needs.
#[derive(Debug)]
struct Reason(NotIdle);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Reason {}
