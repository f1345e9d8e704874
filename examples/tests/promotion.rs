//! Tests of clients of both adapters, while a standby becomes the new primary.
//!
//! Replication is synchronous (`synchronous_standby_names`): the primary acknowledges an insertion only after the standby has stored the
//! row. So the standby has each acknowledged row.

#[path = "conformance/adapters.rs"]
#[allow(dead_code, reason = "shared with the tests of conformance, which use more of it")]
mod adapters;
#[path = "support/cluster.rs"]
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod cluster;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use adapters::{Adapter, AsyncStd, Smol, Tokio};
use cluster::{Cluster, Programs};
use pg_auth::{Config, Host};
use pg_wire::{Connection, Error, PgProtocol, Portal, Statement, Transport, oid};
use support::until;

/// The number of clients of each runtime.
const CLIENTS: usize = 3;

/// The smallest number of rows that each client must insert before the primary stops. After the promotion, each client must insert at least
/// as many further rows.
const ROWS: usize = 30;

/// The time limit of each call of a client. A call that takes longer fails the test.
const LIMIT: Duration = Duration::from_secs(30);

/// A client that inserts the rows 1, 2, 3, …. If an insertion fails, the client does not repeat it: the server may have inserted the row
/// before the connection was lost.
#[derive(Debug, Default)]
struct Client {
    name: String,
    /// The numbers of the rows whose insertion a server has acknowledged.
    acknowledged: Mutex<Vec<i32>>,
    /// The port of the server of the current or last connection.
    port: AtomicU16,
    /// The number of connections so far.
    connections: AtomicU16,
}

impl Client {
    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }

    /// Inserts rows until `is_done` is true. After an error, connects again.
    async fn work<A: Adapter>(&self, config: &Config, is_done: &AtomicBool) {
        let mut number = 0;
        while !is_done.load(Ordering::Relaxed) {
            let connected = A::within(LIMIT, A::connect(config)).await.expect("`connect` does not hang");
            let Ok((mut conn, session)) = connected else {
                // At this time, no server accepts changes. The client waits and connects again.
                let _ = A::within(Duration::from_millis(10), std::future::pending::<()>()).await;
                continue;
            };
            self.port.store(session.host.as_ref().map_or(0, Host::port), Ordering::Relaxed);
            self.connections.fetch_add(1, Ordering::Relaxed);
            while !is_done.load(Ordering::Relaxed) {
                number += 1;
                match A::within(LIMIT, self.insert(&mut conn, number)).await.expect("an insert does not hang")
                {
                    Ok(()) => self.acknowledged.lock().expect("no panic").push(number),
                    Err(error) => {
                        assert!(error.is_fatal(), "{}: {error}", self.name);
                        break;
                    }
                }
            }
        }
    }

    async fn insert<T: Transport>(&self, conn: &mut Connection<T>, number: i32) -> Result<(), Error> {
        conn.parse(Statement::UNNAMED)
            .query("insert into rows values ($1, $2)")
            .param_types(&[oid::TEXT, oid::INT4])
            .finish();
        conn.bind(Statement::UNNAMED, Portal::UNNAMED).execute_and_sync((self.name.as_str(), number));
        conn.flush().await?;
        conn.until_ready(|_| Ok::<_, Error>(())).await.map(drop)
    }
}

/// Starts the clients of a runtime, each in its own thread.
fn run<'s, A: Adapter>(
    scope: &'s thread::Scope<'s, '_>,
    config: &'s Config,
    clients: &'s [Client],
    is_done: &'s AtomicBool,
) {
    for client in clients {
        scope.spawn(|| A::run(client.work::<A>(config, is_done)));
    }
}

/// Waits until each client has inserted [`ROWS`] further rows.
#[track_caller]
fn wait_for_all(clients: &[Client]) {
    let before: Vec<_> = clients.iter().map(Client::count).collect();
    until("each client has inserted rows", || {
        clients.iter().zip(&before).all(|(client, before)| client.count() >= before + ROWS)
    });
}

/// Counts the rows of the table. The key is the name of the client and the number of the row; the value is the count.
fn stored(server: &Cluster) -> BTreeMap<(String, i32), usize> {
    let mut rows = BTreeMap::new();
    for line in server.sql("select client, number from rows").lines() {
        let (client, number) = line.split_once('|').expect("two columns");
        *rows.entry((client.to_owned(), number.parse().expect("a number"))).or_default() += 1;
    }
    rows
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_acknowledged_row_is_on_the_new_primary_exactly_once() {
    /// Ends the clients when dropped, so that the clients end even if the test panics.
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let [_, programs] = Programs::both();
    let mut primary = Cluster::with(&programs, 16, &[]);
    // The table has no key. So if a client inserts a row twice, the row is stored twice, and the test finds it.
    primary.sql("create table rows (client text, number int)");
    let standby = primary.standby(&[]);
    primary.sql("alter system set synchronous_standby_names = 'standby'");
    primary.sql("select pg_reload_conf()");
    until("replication is synchronous", || {
        primary.sql("select count(*) from pg_stat_replication where sync_state = 'sync'") == "1"
    });

    let url = format!(
        "postgres://admin@127.0.0.1:{},127.0.0.1:{}/postgres?sslmode=disable&target_session_attrs=read-write",
        primary.port, standby.port
    );
    let config: Config = url.parse().expect("a connection string");
    let clients: Vec<_> = [Tokio::NAME, Smol::NAME, AsyncStd::NAME]
        .into_iter()
        .flat_map(|runtime| (0..CLIENTS).map(move |number| format!("{runtime} {number}")))
        .map(|name| Client { name, ..Client::default() })
        .collect();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&is_done);
        let (tokio, others) = clients.split_at(CLIENTS);
        let (smol, async_std) = others.split_at(CLIENTS);
        run::<Tokio>(scope, &config, tokio, &is_done);
        run::<Smol>(scope, &config, smol, &is_done);
        run::<AsyncStd>(scope, &config, async_std, &is_done);
        wait_for_all(&clients);
        assert!(clients.iter().all(|client| client.port.load(Ordering::Relaxed) == primary.port));
        primary.stop_immediately();
        standby.promote();
        wait_for_all(&clients);
    });

    let stored = stored(&standby);
    assert!(stored.values().all(|times| *times == 1), "a row was inserted twice: {stored:?}");
    for client in &clients {
        assert_eq!(client.port.load(Ordering::Relaxed), standby.port, "{}", client.name);
        assert!(client.connections.load(Ordering::Relaxed) >= 2, "{}", client.name);
        let acknowledged = client.acknowledged.lock().expect("no panic");
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|number| !stored.contains_key(&(client.name.clone(), **number)))
            .collect();
        assert!(lost.is_empty(), "{} has lost {lost:?} of {} rows", client.name, acknowledged.len());
        eprintln!("{}: {} rows acknowledged", client.name, acknowledged.len());
    }
}
