//! Test that ends clients, server processes and statements at random. At the end, the test compares the number in each row with the
//! reported outcomes of the updates.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pg_stream_tokio::cancel;
use pg_wire::{PgProtocol, Portal, SqlState, Statement};

use crate::lab::{Lab, Peer, config};

/// Number of workers. Each worker is one client. All workers share four server connections.
const WORKERS: u64 = 16;

/// Default duration of the test in seconds. The environment variable `POOLER_KILL_SECONDS` changes the duration.
const SECONDS: u64 = 10;

/// The updates that one worker has sent for its row, counted by outcome.
#[derive(Debug, Default)]
struct Count {
    /// Number of updates whose success was reported.
    done: u64,
    /// Number of updates whose outcome was not reported.
    unknown: u64,
    /// Number of replies that the worker has received.
    replies: u64,
}

/// A generator of random numbers: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn no_query_is_lost_or_executed_twice_when_clients_and_servers_are_killed() {
    tokio::task::LocalSet::new().run_until(kill_at_random()).await;
}

async fn kill_at_random() {
    let seconds =
        std::env::var("POOLER_KILL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    for lab in Lab::both(&["--pool-size", "4"]).await {
        lab.table("counts", "worker int primary key, n int not null").await;
        let mut admin = lab.admin().await;
        admin.rows(&format!("insert into counts select i, 0 from generate_series(0, {WORKERS} - 1) i")).await;
        let (lab, end) = (Arc::new(lab), Instant::now() + Duration::from_secs(seconds));
        let over = Arc::new(AtomicBool::new(false));
        let killer = tokio::task::spawn_local(kill_servers(Arc::clone(&lab), Arc::clone(&over)));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| tokio::task::spawn_local(work(Arc::clone(&lab), worker, end)))
            .collect();
        let mut counts = Vec::new();
        for worker in workers {
            counts.push(worker.await.expect("no assertion of a worker fails"));
        }
        over.store(true, Ordering::Relaxed);
        let killed = killer.await.expect("the killer does not panic");
        // Waits until all server processes that serve the pooler are idle. Then the transactions of all disconnected clients have ended.
        let busy = "select count(*) from pg_stat_activity where application_name = 'pooler_kill' and state <> 'idle'";
        crate::lab::until("all transactions are over", async || admin.value(busy).await == "0").await;
        for (worker, count) in counts.iter().enumerate() {
            let n = admin.value(&format!("select n from counts where worker = {worker}")).await;
            let n: u64 = n.parse().expect("a number");
            let possible = count.done..=count.done + count.unknown;
            assert!(possible.contains(&n), "worker {worker}: {n} updates, and {count:?}");
        }
        let sum = |each: fn(&Count) -> u64| counts.iter().map(each).sum::<u64>();
        let (done, unknown, replies) = (sum(|c| c.done), sum(|c| c.unknown), sum(|c| c.replies));
        println!(
            "{replies} replies, {done} updates, {unknown} with an unknown outcome, {killed} server processes killed"
        );
        assert!(done > 100 * seconds && unknown > 0 && killed > 0, "{done} {unknown} {killed}");
        assert_eq!(lab.client().await.value("select 'alive'").await, "alive");
    }
}

/// Ends server processes that serve the pooler, at random times. Returns the number of ended processes.
async fn kill_servers(lab: Arc<Lab>, over: Arc<AtomicBool>) -> u64 {
    let (mut admin, mut random, mut killed) = (lab.admin().await, Random(0x9e37_79b9_7f4a_7c15), 0);
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50 + random.below(300))).await;
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pooler_kill' \
                   order by random() limit 1";
        killed += admin.rows(sql).await.len() as u64;
    }
    killed
}

/// Updates one row of the table repeatedly, and sometimes disconnects.
async fn work(lab: Arc<Lab>, worker: u64, end: Instant) -> Count {
    let (mut count, mut random) = (Count::default(), Random(worker + 1));
    let cache = pg_auth::scram::KeyCache::default();
    let config =
        config(lab.address, "scram", "scram-secret").application_name("pooler_kill").scram_cache(&cache);
    let mut client: Option<Peer> = None;
    while Instant::now() < end {
        let peer = match &mut client {
            Some(peer) => peer,
            None => match pg_stream_tokio::connect(&config).await {
                Ok((conn, session)) => client.insert(Peer { conn, session }),
                Err(_) => continue,
            },
        };
        let token = random.below(1 << 30);
        match random.below(100) {
            // The worker disconnects during an update.
            0..2 => {
                count.unknown += 1;
                let _ = send_update(peer, worker, token).await;
                tokio::time::sleep(Duration::from_micros(random.below(3000))).await;
                client = None;
            }
            // The worker disconnects in a transaction. The pooler must roll the transaction back.
            2..4 => {
                let sql = format!("begin; update counts set n = n + 1000000 where worker = {worker}");
                let _ = peer.query(&sql).await;
                client = None;
            }
            // The worker sends a cancel request for its update. The update may have ended before the request arrives.
            4..8 => {
                let target = peer.session.cancel_target().expect("the pooler gives a key");
                count.unknown += 1;
                let sent = send_update(peer, worker, token).await;
                let (_, reply) = tokio::join!(cancel(&config, &target), peer.reply());
                settle(&mut count, sent.and(reply), token, &mut client);
            }
            8..50 => {
                count.unknown += 1;
                let sent = send_update(peer, worker, token).await;
                let reply = if sent.is_ok() { peer.reply().await } else { Ok(vec![]) };
                settle(&mut count, sent.and(reply), token, &mut client);
            }
            50..70 => {
                // Updates the row in a transaction. The update counts as unknown until the reply to COMMIT arrives.
                count.unknown += 1;
                let sql = format!(
                    "begin; update counts set n = n + 1 where worker = {worker}; select {token}; commit"
                );
                let reply = peer.query(&sql).await;
                settle(&mut count, reply, token, &mut client);
            }
            _ => {
                let reply = peer.query(&format!("select {token}")).await;
                count.replies += 1;
                match reply {
                    Ok(rows) => assert_eq!(rows, [token.to_string()], "the reply to another query"),
                    Err(error) if is_fatal(&*error) => client = None,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    count
}

/// Sends an update with a prepared statement. The reply contains the token.
async fn send_update(peer: &mut Peer, worker: u64, token: u64) -> Result<(), Box<dyn Error>> {
    let sql = format!("update counts set n = n + 1 where worker = {worker} returning $1::int");
    // Closes the statement first. Otherwise, from the second update on, the Parse message would fail, because the name is in use.
    let name = Statement("update");
    peer.conn.close_statement(name).parse(name).query(&sql).finish();
    peer.conn.bind(name, Portal::UNNAMED).execute_and_sync((i32::try_from(token)?,)).flush().await?;
    Ok(())
}

/// Counts an update according to its reply. Precondition: the update has been counted as unknown.
fn settle(
    count: &mut Count,
    reply: Result<Vec<String>, Box<dyn Error>>,
    token: u64,
    client: &mut Option<Peer>,
) {
    count.replies += 1;
    match reply {
        Ok(rows) => {
            assert_eq!(rows, [token.to_string()], "the reply to another query");
            count.unknown -= 1;
            count.done += 1;
        }
        Err(error) if is_fatal(&*error) => *client = None,
        // The update was cancelled.
        Err(error) => {
            let sqlstate = crate::lab::sqlstate(&*error);
            assert_eq!(sqlstate, SqlState::QUERY_CANCELED, "{error}");
            count.unknown -= 1;
        }
    }
}

/// Whether an error ends the connection.
fn is_fatal(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    text.starts_with("FATAL") || error.downcast_ref::<pg_wire::Error>().is_some_and(pg_wire::Error::is_fatal)
}
