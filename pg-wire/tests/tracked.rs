//! Tests of `TrackedConnection`. A wait for a reply that cannot arrive must be an error. `recover` must lead to an idle session.

mod support;

use std::pin::pin;

use pg_wire::backend::{Backend, NotificationResponse};
use pg_wire::session::{
    Bounds, CopyDirection, NotIdle, Observer, Over, Reply, Request, SessionState, Waiting,
};
use pg_wire::testing::{self, Script};
use pg_wire::{
    Connection, Error, Frame, Limits, MessageCode, PgProtocol, Portal, SqlState, Statement,
    TrackedConnection, TransactionStatus,
};
use support::{block_on, poll_once};

const READY: &[u8] = b"Z\0\0\0\x05I";
const IN_TRANSACTION: &[u8] = b"Z\0\0\0\x05T";
const DONE: &[u8] = b"C\0\0\0\x0dSELECT 1\0";
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x017";
const DESCRIPTION: &[u8] = b"T\0\0\0\x06\0\0";
const ERROR: &[u8] = b"E\0\0\0\x13SERROR\0C42P01\0\0";
const FATAL: &[u8] = b"E\0\0\0\x13SFATAL\0C57P01\0\0";
const COPY_IN: &[u8] = b"G\0\0\0\x07\0\0\0";
const NOTIFICATION: &[u8] = b"A\0\0\0\x0e\0\0\0\x01news\0\0";
const PARSED: &[u8] = b"1\0\0\0\x04";

/// Creates a client whose server sends these messages.
fn client(server: &[&[u8]]) -> TrackedConnection<Script> {
    TrackedConnection::new(Connection::new(Script::sends(&server.concat()), Limits::BACKEND))
}

fn sent_text(conn: &TrackedConnection<Script>) -> String {
    String::from_utf8_lossy(conn.connection().transport().received()).into_owned()
}

async fn reason(conn: &mut TrackedConnection<Script>) -> Waiting {
    match conn.recv().await {
        Err(error @ Error::NoReply(waiting)) => {
            assert!(!error.is_fatal());
            waiting
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wait_for_a_reply_that_will_not_arrive_is_an_error_with_the_reason() {
    block_on(async {
        let mut conn = client(&[PARSED, READY, COPY_IN, DONE, READY]);
        // The query is queued but not flushed.
        conn.query("select 1");
        assert_eq!(
            Waiting::Nothing.to_string(),
            "no reply is outstanding: was a request or a flush forgotten?"
        );
        // No reply is outstanding, because the query was not sent. So `recv` returns an error and does not read from the stream. The
        // messages of the script stay in the stream.
        assert_eq!(reason(&mut conn).await, Waiting::Nothing);
        conn.discard_batch();
        // Without a Flush or a Sync, the server keeps its reply. After a Flush, the server sends ParseComplete. Only a Sync leads to a
        // further reply.
        conn.parse(Statement::UNNAMED).query("select 1").finish().flush().await.unwrap();
        assert_eq!(reason(&mut conn).await, Waiting::Flush);
        conn.flush_msg().flush().await.unwrap();
        assert_eq!(conn.recv().await.unwrap().code, MessageCode::PARSE_COMPLETE);
        let mut idle = conn;
        // One read has buffered all messages of the script, even the ReadyForQuery, although no Sync was sent. The session state does not
        // depend on the buffered messages, so it reports that a Sync is missing.
        assert_eq!(idle.state().waiting(), Waiting::Sync);
        idle.sync().flush().await.unwrap();
        assert_eq!(idle.recv().await.unwrap().code, MessageCode::READY_FOR_QUERY);
        // The server waits for data of a COPY.
        idle.query("copy t from stdin").flush().await.unwrap();
        assert_eq!(idle.recv().await.unwrap().code, MessageCode::COPY_IN_RESPONSE);
        assert_eq!(idle.state().waiting(), Waiting::CopyData);
        let error = idle.check_idle().unwrap_err();
        assert_eq!(error, NotIdle::Copy(CopyDirection::In));
        idle.copy_done().flush().await.unwrap();
        assert_eq!(idle.until_ready(|_| Ok::<_, Error>(())).await.unwrap(), TransactionStatus::Idle);
        assert_eq!(idle.check_idle(), Ok(()));
    });
}

#[test]
fn each_message_has_its_request() {
    block_on(async {
        let mut conn = client(&[NOTIFICATION, DESCRIPTION, ROW, ROW, DONE, READY, ERROR, READY]);
        conn.query("select 7")
            .parse(Statement::UNNAMED)
            .query("select")
            .finish()
            .sync()
            .flush()
            .await
            .unwrap();
        let mut replies = Vec::new();
        while conn.state().waiting() == Waiting::Reply {
            let (reply, frame) = conn.recv_reply().await.unwrap();
            replies.push((frame.code.0, reply.map(|reply| (reply.number, reply.request, reply.last))));
        }
        assert_eq!(
            replies,
            [
                (b'A', None),
                (b'T', Some((0, Request::Query, false))),
                (b'D', Some((0, Request::Query, false))),
                (b'D', Some((0, Request::Query, false))),
                (b'C', Some((0, Request::Query, false))),
                (b'Z', Some((0, Request::Query, true))),
                (b'E', Some((1, Request::Parse, true))),
                (b'Z', Some((2, Request::Sync, true))),
            ]
        );
        assert_eq!(conn.check_idle(), Ok(()));
    });
}

#[test]
fn notifications_can_be_waited_for() {
    let (near, far) = testing::duplex();
    let mut conn = TrackedConnection::new(Connection::new(near, Limits::BACKEND));
    let mut server = Connection::new(far, Limits::FRONTEND);
    block_on(async {
        assert!(matches!(conn.recv().await, Err(Error::NoReply(Waiting::Nothing))));
        {
            let mut wait = pin!(conn.recv_unasked());
            assert!(poll_once(wait.as_mut()).is_pending());
            server.put(&NotificationResponse { pid: 1, channel: "news".into(), payload: "".into() });
            server.flush().await.unwrap();
            assert!(matches!(wait.await.unwrap().backend(), Ok(Backend::NotificationResponse(_))));
        }
        // `recv` returns a buffered notification even if no reply is expected. While a notification is buffered, the connection is not
        // idle.
        server.put(&NotificationResponse { pid: 1, channel: "news".into(), payload: "".into() });
        server.put(&NotificationResponse { pid: 2, channel: "news".into(), payload: "".into() });
        server.flush().await.unwrap();
        conn.recv_unasked().await.unwrap();
        assert_eq!(conn.check_idle(), Err(NotIdle::Unread));
        assert_eq!(conn.next_code().await.unwrap(), MessageCode::NOTIFICATION_RESPONSE);
        assert_eq!(conn.recv().await.unwrap().code, MessageCode::NOTIFICATION_RESPONSE);
        assert_eq!(conn.check_idle(), Ok(()));
    });
}

#[test]
fn until_ready_returns_the_first_error_after_all_messages_were_received() {
    block_on(async {
        for tracked in [false, true] {
            let script = [DESCRIPTION, ROW, ERROR, READY, ROW, DONE, READY, FATAL].concat();
            let mut plain = Connection::new(Script::sends(&script), Limits::BACKEND);
            let mut seen = Vec::new();
            let mut each = |frame: pg_wire::Frame<'_>| {
                seen.push(frame.code.0);
                Ok::<_, Error>(())
            };
            // Case: the server reports an error.
            plain.query("select").query("select").query("select").flush().await.unwrap();
            let error = match tracked {
                false => plain.until_ready(&mut each).await,
                true => {
                    let mut conn = client(&[DESCRIPTION, ROW, ERROR, READY]);
                    conn.query("select").flush().await.unwrap();
                    conn.until_ready(&mut each).await
                }
            };
            let Err(error @ Error::Server(_)) = error else { panic!("{error:?}") };
            assert!(!error.is_fatal());
            let Error::Server(error) = error else { unreachable!() };
            assert_eq!((error.sqlstate(), &seen[..]), (Some(SqlState::UNDEFINED_TABLE), &b"TD"[..]));
            if tracked {
                continue;
            }
            // Case: the closure returns an error. The closure must not be called again.
            let mut calls = 0;
            let error = plain
                .until_ready(|_| {
                    calls += 1;
                    Err::<(), Error>(Error::InboxFull)
                })
                .await;
            assert!(matches!((error, calls), (Err(Error::InboxFull), 1)));
            // Checks that the call returns the last error of the server, and not the end of the stream after this error.
            let error = plain.until_ready(|_| Ok::<_, Error>(())).await.unwrap_err();
            assert!(matches!(&error, Error::Server(_)) && error.is_fatal());
            assert!(plain.recv().await.unwrap_err().is_fatal());
        }
    });
}

#[test]
fn a_discarded_batch_does_not_change_the_state() {
    block_on(async {
        let mut conn = client(&[DONE, READY]);
        conn.query("delete from t").sync();
        assert_eq!(conn.check_idle(), Err(NotIdle::Unsent));
        conn.discard_batch();
        assert_eq!(conn.check_idle(), Ok(()));
        conn.query("select 1").flush().await.unwrap();
        assert_eq!(sent_text(&conn), "Q\0\0\0\rselect 1\0");
        conn.until_ready(|_| Ok::<_, Error>(())).await.unwrap();
        // A batch that cannot be encoded leaves the state unchanged.
        conn.query("select '\0'");
        assert!(matches!(conn.flush().await, Err(Error::Encode(_))));
        assert_eq!(conn.check_idle(), Ok(()));
    });
}

#[test]
fn recovery_ends_a_copy_and_a_transaction_and_drops_rows() {
    block_on(async {
        // Case: the session is in a COPY of the simple protocol, inside a transaction.
        let mut conn = client(&[COPY_IN, ERROR, b"Z\0\0\0\x05E", b"C\0\0\0\x0dROLLBACK\0", READY]);
        conn.query("copy t from stdin").flush().await.unwrap();
        assert_eq!(conn.recv().await.unwrap().code, MessageCode::COPY_IN_RESPONSE);
        conn.copy_data(b"half a line");
        conn.recover().await.unwrap();
        assert_eq!(conn.check_idle(), Ok(()));
        assert_eq!(
            sent_text(&conn),
            "Q\0\0\0\x16copy t from stdin\0f\0\0\0\x1cabandoned by the client\0Q\0\0\0\rROLLBACK\0"
        );

        // Case: the rows are longer than their limit, and the client has sent no Sync.
        let bind_complete = b"2\0\0\0\x04";
        let limits = Limits::BACKEND.bulk(3);
        let script = [&bind_complete[..], ROW, ROW, DONE, READY].concat();
        let mut conn = TrackedConnection::new(Connection::new(Script::sends(&script), limits));
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute(()).flush().await.unwrap();
        conn.recover().await.unwrap();
        assert_eq!(conn.check_idle(), Ok(()));

        // Case: the server has ended the session.
        let mut conn = client(&[IN_TRANSACTION, FATAL]);
        conn.sync().flush().await.unwrap();
        assert!(matches!(conn.recover().await, Err(Error::Over(Over::Fatal))));
        assert_eq!(conn.check_idle(), Err(NotIdle::Over(Over::Fatal)));
    });
}

/// Messages that the observer has seen: direction, code, and number of the request.
#[derive(Default)]
struct Seen(Vec<(char, u8, Option<u64>)>);

impl Observer for Seen {
    fn sent(&mut self, frame: Frame<'_>, request: Option<u64>) {
        self.0.push(('>', frame.code.0, request));
    }

    fn received(&mut self, frame: Frame<'_>, reply: Option<Reply>) {
        self.0.push(('<', frame.code.0, reply.map(|reply| reply.number)));
    }
}

#[test]
fn an_observer_receives_each_message_with_its_request() {
    block_on(async {
        let script = [NOTIFICATION, COPY_IN, DONE, READY];
        let mut conn = client(&script).observe(Seen::default());
        conn.query("a dropped batch");
        conn.discard_batch();
        conn.query("copy t from stdin").send_copy_data(b"a line").await.unwrap();
        conn.copy_done().flush().await.unwrap();
        conn.until_ready(|_| Ok::<_, Error>(())).await.unwrap();
        let Seen(seen) = conn.observer();
        let expected = [
            ('>', b'Q', Some(0)),
            ('>', b'd', None),
            ('>', b'c', Some(1)),
            ('<', b'A', None),
            ('<', b'G', Some(0)),
            ('<', b'C', Some(0)),
            ('<', b'Z', Some(0)),
        ];
        assert_eq!(seen[..], expected);
    });
}

#[test]
fn a_message_without_a_request_ends_the_session() {
    block_on(async {
        let mut conn = client(&[READY, READY]);
        conn.sync().flush().await.unwrap();
        conn.recv().await.unwrap();
        let error = conn.recv().await.unwrap_err();
        assert!(matches!(error, Error::Unexpected(_)) && error.is_fatal());
        assert_eq!(error.to_string(), "unexpected message 'Z': no reply was outstanding");
        assert!(matches!(conn.recover().await, Err(Error::Over(Over::Lost))));
    });
}

#[test]
fn a_batch_that_does_not_fit_into_the_queue_stays_queued() {
    block_on(async {
        let mut state = SessionState::new();
        state.set_bounds(Bounds { runs: 1, ..Bounds::default() });
        let script = Script::sends(&[PARSED.repeat(17), READY.to_vec()].concat());
        let mut conn = TrackedConnection::with_state(Connection::new(script, Limits::BACKEND), state);
        // The queue has room for one run: a pattern of up to 16 requests, which is repeated. The 17 Parse messages form one run, because
        // they repeat a pattern of one request. The Sync below does not fit into this run, and the queue has no room for a second run.
        for _ in 0..17 {
            conn.parse(Statement::UNNAMED).query("select 1").finish();
        }
        conn.flush_msg().flush().await.unwrap();
        conn.parse(Statement::UNNAMED).query("select 2").finish().sync();
        let Err(error @ Error::QueueFull(_)) = conn.flush().await else { panic!("the queue must be full") };
        assert!(!error.is_fatal());
        // Checks that no part of the rejected batch has changed the state.
        assert_eq!((conn.state().outstanding_ready(), conn.state().next_number()), (0..=0, 17));
        while conn.state().waiting() == Waiting::Reply {
            conn.recv().await.unwrap();
        }
        conn.flush().await.unwrap();
        assert_eq!((conn.state().outstanding_ready(), conn.state().next_number()), (1..=1, 19));
    });
}
