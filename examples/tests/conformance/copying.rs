//! Test bodies with COPY in both directions, in the simple and in the extended protocol. The test bodies drop pending futures during the
//! COPY.

use pg_wire::{Connection, Error, MessageCode, PgProtocol, Portal, Statement, Transport};

use crate::adapters::Adapter;
use crate::calls::{dialled, tracked};
use crate::polls::{counts, dropped_after, dropped_each_time};
use crate::reading::{Log, check_idle, check_works, outcome, replies};
use crate::ways::{Channel, Way};

/// Starts a COPY in the simple or in the extended protocol, and receives messages up to the server's CopyInResponse or CopyOutResponse.
async fn started<T: Transport>(conn: &mut Connection<T>, extended: bool, sql: &str) {
    if extended {
        conn.parse(Statement::UNNAMED).query(sql).finish();
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute(()).flush_msg();
    } else {
        conn.query(sql);
    }
    conn.flush().await.expect("sent");
    while !matches!(
        conn.recv().await.expect("a message").code,
        MessageCode::COPY_IN_RESPONSE | MessageCode::COPY_OUT_RESPONSE
    ) {}
}

/// Queues the end of a COPY to the server.
fn end<T: Transport>(conn: &mut Connection<T>, extended: bool) {
    conn.copy_done();
    if extended {
        conn.sync();
    }
}

/// Copies data to the server, once for each number in `counts`. Drops the future of `send_copy_data` after this number of polls. A call of
/// `flush` then sends the rest of the data. No line may be lost or sent twice.
pub(crate) async fn copy_in_with_dropped_futures<A: Adapter>(way: &Way) -> Log {
    // The lines must not fit into the buffers of both sockets, so that the future of `send_copy_data` has to wait.
    let lines = if way.channel == Channel::Unix { 3_000 } else { 30_000 };
    let block = [&[b'x'; 149][..], b"\n"].concat().repeat(lines);
    let mut conn = dialled::<A>(way).await;
    conn.query("create temp table t (line text)").flush().await.expect("sent");
    let mut log = replies(&mut conn).await;
    for extended in [false, true] {
        for polls in counts() {
            started(&mut conn, extended, "copy t from stdin").await;
            let sent = dropped_after(polls, conn.send_copy_data(&block)).await;
            let is_last = sent.is_some();
            // This line is queued behind the rest of the block, and must arrive after it.
            conn.copy_data(b"last\n");
            let flushed = dropped_each_time(&mut conn, async |conn| conn.flush().await).await;
            end(&mut conn, extended);
            conn.flush().await.expect("sent");
            let ended = replies(&mut conn).await;
            assert!(ended.iter().any(|line| line.contains(&format!("COPY {}", lines + 1))), "{ended:#?}");
            conn.query("truncate t").flush().await.expect("sent");
            replies(&mut conn).await;
            if is_last {
                log.push(outcome(flushed));
                log.extend(ended);
                break;
            }
        }
    }

    // The client drops the future of `send_copy_data`, and then aborts the COPY. The connection must send the rest of the interrupted
    // CopyData message before the CopyFail message.
    started(&mut conn, false, "copy t from stdin").await;
    let _ = dropped_after(1, conn.send_copy_data(&block)).await;
    conn.copy_fail("changed its mind").flush().await.expect("sent");
    log.extend(replies(&mut conn).await);

    // The server aborts the COPY, because the data is not in binary format.
    started(&mut conn, true, "copy t from stdin with (format binary)").await;
    log.push(outcome(conn.send_copy_data(&block).await));
    end(&mut conn, true);
    conn.flush().await.expect("sent");
    log.extend(replies(&mut conn).await);

    // Leaks the future of `send_copy_data`, so the rest of the CopyData message is lost. The connection must send nothing after that.
    started(&mut conn, false, "copy t from stdin").await;
    std::mem::forget(conn.send_copy_data(&block));
    log.push(outcome(conn.flush().await));
    log.push(format!("{:?} {:?} {}", conn.write_fault(), conn.read_fault(), conn.is_quiet()));
    log.push(outcome(conn.send_copy_data(&block).await));
    log
}

/// Copies data from the server, in two parts:
///
/// - Receives a whole COPY, and drops the future of `recv` after every poll.
/// - For each number in `counts`: abandons a COPY after this number of polls, and recovers the connection.
pub(crate) async fn copy_out_with_dropped_futures<A: Adapter>(way: &Way) -> Log {
    const COPY: &str = "copy (select repeat('x', 1000) from generate_series(1, 1000)) to stdout";
    let mut log = Log::new();
    let mut conn = dialled::<A>(way).await;
    for extended in [false, true] {
        started(&mut conn, extended, COPY).await;
        if extended {
            conn.sync().flush().await.expect("sent");
        }
        let (mut rows, mut bytes) = (0, 0);
        loop {
            let call = async |conn: &mut Connection<_>| conn.recv().await.map(pg_wire::Frame::to_owned);
            let frame = dropped_each_time(&mut conn, call).await.expect("a message");
            match frame.frame().code {
                MessageCode::COPY_DATA => {
                    rows += 1;
                    bytes += frame.frame().body.len();
                }
                MessageCode::READY_FOR_QUERY => break,
                code => log.push(format!("{code:?}")),
            }
        }
        log.push(format!("{rows} rows, {bytes} bytes"));
        check_works(&mut conn, 1).await;
    }

    let mut conn = tracked::<A>(way).await;
    for polls in counts() {
        conn.parse(Statement::UNNAMED).query(COPY).finish();
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute(());
        conn.flush_msg().flush().await.expect("sent");
        let ended = dropped_after(polls, async {
            while conn.recv().await.expect("a message").code != MessageCode::COPY_DONE {}
        });
        let ended = ended.await;
        conn.recover().await.expect("recovered");
        check_idle(&mut conn, polls).await;
        if ended.is_some() {
            break;
        }
    }
    conn.query(COPY).flush().await.expect("sent");
    log.push(outcome(conn.until_ready(|_| Ok::<_, Error>(())).await));
    log
}
