//! The measurements over sockets, and the servers that they use.

use std::rc::Rc;

use anyhow::{Context, Result};

use super::apart::{self, Side};
use super::clients::tokio_postgres::TokioPostgres;
use super::clients::{Client, Pieces, Pipeline};
use super::contenders::{connect_to, connections, line, line_of, unix_streams};
use super::place::{At, Place};
use super::replay::Replay;
use super::{poolers, proxies, replication, tls_lines, typed};
use crate::line::{Clock, Contender, Line, Target, Who};
use crate::micro::decode::runtime;
use crate::micro::source::away;

/// The servers that the clients connect to.
#[derive(Debug)]
pub(crate) struct Ends {
    tcp: At,
    unix: At,
    /// The TCP address of the replay server's TLS port.
    tls: At,
    servers: Vec<Server>,
    _replay: Option<Replay>,
}

/// A PostgreSQL server: its major version and its addresses.
#[derive(Clone, Debug)]
struct Server {
    major: u8,
    tcp: At,
    unix: At,
}

impl Ends {
    /// Finds the PostgreSQL servers by environment variables. In the parent process, also fills the tables of these servers and starts the
    /// replay server. In a child process, environment variables also contain the addresses of the replay server.
    pub(crate) fn find() -> Result<Self> {
        let mut servers = Vec::new();
        for major in [18, 15] {
            if let Some((tcp, unix)) = named(&format!("PG{major}"))? {
                servers.push(Server { major, tcp, unix });
            }
        }
        if let Some((tcp, unix)) = named(REPLAY)? {
            let tls = At::Tcp(std::env::var(format!("{REPLAY}_TLS_ADDR"))?.parse()?);
            return Ok(Self { tcp, unix, tls, servers, _replay: None });
        }
        anyhow::ensure!(!servers.is_empty(), "no PG18_ADDR or PG15_ADDR is set: run `cargo xtask bench`");
        for Server { major, tcp, .. } in &servers {
            make_tables(tcp).with_context(|| format!("PostgreSQL {major}"))?;
        }
        if let Some(server) = servers.first() {
            proxies::make_tables(&server.tcp)?;
        }
        for server in &servers {
            server.put(Side::Server)?;
        }
        let replay = Replay::start()?;
        apart::put_ourselves(Side::Client);
        let Replay { tcp, unix, tls, .. } = &replay;
        let (tcp, unix, tls) = (tcp.clone(), unix.clone(), tls.clone());
        Ok(Self { tcp, unix, tls, servers, _replay: Some(replay) })
    }

    /// The environment variables with the addresses of the replay server, for a child process.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let (At::Tcp(address), At::Unix(dir, _), At::Tcp(tls)) = (&self.tcp, &self.unix, &self.tls) else {
            return Vec::new();
        };
        vec![
            (format!("{REPLAY}_ADDR"), address.to_string()),
            (format!("{REPLAY}_TLS_ADDR"), tls.to_string()),
            (format!("{REPLAY}_SOCKET_DIR"), dir.display().to_string()),
        ]
    }

    /// Opens a connection of the client `who` to the replay server.
    pub(crate) fn replay_client(&self, who: Who) -> Result<Box<dyn Client>> {
        self.replay_clients(who.name())?()
    }

    /// Returns a closure that opens connections of the client `who` to the replay server. All connections use one runtime.
    pub(crate) fn replay_clients(&self, who: &str) -> Result<impl FnMut() -> Result<Box<dyn Client>>> {
        connections(&self.unix, who)
    }

    /// Opens a connection of the client `who` to the first PostgreSQL server.
    pub(crate) fn server_client(&self, who: Who) -> Result<Box<dyn Client>> {
        let server = self.servers.first().context("no PostgreSQL server was found")?;
        let connect = connections(&server.tcp, who.name())?;
        server.while_near(connect)
    }

    /// Prints the peak memory of `pg-cdc`. The number of changed rows is divided by `part`.
    pub(crate) fn print_memory_of_pg_cdc(&self, part: u64) -> Result<()> {
        let server = self.servers.first().context("no PostgreSQL server was found")?;
        replication::print_memory(&server.tcp, part)
    }
}

impl Server {
    /// Moves the server to the CPU of `side`. Sessions that start later run on this CPU.
    fn put(&self, side: Side) -> Result<()> {
        match &self.unix {
            At::Unix(dir, port) => apart::put_server(dir, *port, side),
            At::Tcp(_) => Ok(()),
        }
    }

    /// Calls `connect`. The sessions that `connect` starts run on the CPU of the clients.
    fn while_near<T>(&self, connect: impl FnOnce() -> Result<T>) -> Result<T> {
        self.put(Side::Client)?;
        let connected = connect();
        self.put(Side::Server)?;
        connected
    }

    /// Changes a measurement so that client and server share one CPU. This is for work in which client and server always wait for each
    /// other. The name of the measurement then ends with `, one CPU`.
    fn near(&self, line: Line) -> Line {
        let near = |Contender { who, prepare }| {
            let server = self.clone();
            Contender { who, prepare: Box::new(move || server.while_near(prepare)) }
        };
        Line {
            name: format!("{}, one CPU", line.name),
            contenders: line.contenders.into_iter().map(near).collect(),
            ..line
        }
    }
}

/// The prefix of the environment variables with the addresses of the replay server.
const REPLAY: &str = "BENCH_REPLAY";

/// Reads the TCP address and the Unix socket of a server from environment variables. Returns `None` if the variables are not set.
fn named(prefix: &str) -> Result<Option<(At, At)>> {
    let Ok(address) = std::env::var(format!("{prefix}_ADDR")) else { return Ok(None) };
    let address: std::net::SocketAddr = address.parse()?;
    let dir = std::env::var(format!("{prefix}_SOCKET_DIR"))?;
    // In PostgreSQL, the name of the Unix socket contains the TCP port. The name of the replay server's socket always contains 5432.
    let port = if prefix == REPLAY { 5432 } else { address.port() };
    Ok(Some((At::Tcp(address), At::Unix(dir.into(), port))))
}

/// The number of round trips in one round of a measurement, without `--quick`.
pub(crate) const ROUND_TRIPS: u64 = 20_000;

/// The number of connections in a round.
const CONNECTS: u64 = 20;

/// All measurements over sockets. The number of operations of a full run is divided by `part`.
pub(crate) fn plans(ends: &Ends, part: u64) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    rows(ends, part, &mut lines);
    for server in &ends.servers {
        lines.extend(typed::lines(server.major, &server.tcp, part));
    }
    copies(ends, part, &mut lines);
    statements(ends, part, &mut lines);
    connects(ends, &mut lines);
    let servers = ends.servers.iter().map(|server| (server.major, &server.tcp));
    lines.extend(tls_lines::lines(servers, &ends.tls, part)?);
    if let Some(server) = ends.servers.first() {
        lines.extend(proxies::lines(&ends.tcp, &server.tcp, part));
        lines.extend(poolers::lines(&server.tcp, part));
        lines.extend(replication::lines(&server.tcp, part)?);
    }
    Ok(lines)
}

fn rows(ends: &Ends, part: u64, lines: &mut Vec<Line>) {
    let count = 1_000_000 / part;
    let target = Target::new(1.15, 3.5);
    for (socket, at) in [("TCP", &ends.tcp), ("Unix", &ends.unix)] {
        let place = Place::new(at.clone());
        let text = Line::new(format!("replay: rows, text, {socket}"), "row", count, target);
        let sql = format!("replay {count} text");
        lines.push(line(text, &place, &[], move |client| client.read_text(&sql)));
        let binary = Line::new(format!("replay: rows, binary, {socket}"), "row", count, target);
        let sql = format!("replay {count} binary");
        lines.push(line(binary, &place, &[], move |client| client.read_binary(&sql)));
    }
    let target = Target::new(1.15, 1.0);
    for server in &ends.servers {
        let (major, place) = (server.major, Place::new(server.tcp.clone()));
        let text = Line::new(format!("server {major}: rows, text"), "row", count, target);
        let sql = format!("SELECT * FROM bench_rows LIMIT {count}");
        let same = sql.clone();
        lines.push(line(text, &place, &[], move |client| client.read_text(&sql)));
        let binary = Line::new(format!("server {major}: rows, binary"), "row", count, target);
        lines.push(line(binary, &place, &[], move |client| client.read_binary(&same)));
    }
}

fn make_tables(at: &At) -> Result<()> {
    let mut admin = TokioPostgres::connect(&Place::new(at.clone()), Rc::new(runtime()?))?;
    for sql in [
        // With synchronized scans, a query would start where the previous scan ended, and clients would read different rows.
        "ALTER ROLE trust SET synchronize_seqscans = off",
        "SET client_min_messages = warning",
        "DROP TABLE IF EXISTS bench_rows",
        "CREATE UNLOGGED TABLE bench_rows AS SELECT n::int8 AS a, 'name of number ' || n AS b, (n % 100)::int4 AS c,
            timestamptz '2024-01-01 10:20:30.123456+00' + n * interval '1 second' AS d, n % 2 = 0 AS e,
            CASE WHEN n % 4 <> 0 THEN n / 100.0::float8 END AS f, repeat('x', n % 30) AS g, n::int8 * 4000 AS h
            FROM generate_series(1, 1000000) AS n",
        "DROP TABLE IF EXISTS bench_in",
        "CREATE UNLOGGED TABLE bench_in (a int8, b text, c text)",
        "VACUUM ANALYZE bench_rows",
    ] {
        admin.read_text(sql)?;
    }
    Ok(())
}

fn copies(ends: &Ends, part: u64, lines: &mut Vec<Line>) {
    let count = 2_000_000 / part;
    for server in &ends.servers {
        let (major, place) = (server.major, Place::new(server.tcp.clone()));
        let out = Line::new(format!("server {major}: COPY OUT"), "row", count, Target::new(1.15, 1.0));
        let half = count / 2;
        let sql = format!(
            "COPY (SELECT a, b, g FROM (SELECT * FROM bench_rows LIMIT {half}) AS one
             UNION ALL SELECT a, b, g FROM (SELECT * FROM bench_rows LIMIT {half}) AS two) TO STDOUT"
        );
        lines.push(line(out, &place, &[], move |client| client.copy_out(&sql)));
    }
    // With the condition `a < 0` PostgreSQL parses every row but stores none. The replay server ignores the data.
    const SQL: &str = "COPY bench_in FROM STDIN WHERE a < 0";
    const ROW: &[u8] = b"4711\tAda Lovelace, Countess\tthe quick brown fox jumps over all.\n";
    let in_block = 65_536 / ROW.len();
    let in_blocks = Pieces { piece: away(&ROW.repeat(in_block)), times: count / in_block as u64 };
    let server = ends.servers.first().map(|server| (format!("server {}", server.major), &server.tcp));
    for (end, at) in [(String::from("replay"), &ends.tcp)].into_iter().chain(server) {
        let place = Place::new(at.clone());
        let each = Line::new(format!("{end}: COPY IN, a call a row"), "row", count, Target::new(1.2, 1.0));
        let pieces = Pieces { piece: ROW, times: count };
        lines.push(line(each, &place, &[], move |client| client.copy_in(SQL, pieces)));
        let rows = in_blocks.times * in_block as u64;
        let blocks = Line::new(format!("{end}: COPY IN, 64 KB blocks"), "row", rows, Target::new(1.05, 1.0));
        lines.push(line(blocks, &place, &[], move |client| client.copy_in(SQL, in_blocks)));
    }
}

fn statements(ends: &Ends, part: u64, lines: &mut Vec<Line>) {
    let Some(server) = ends.servers.first() else { return };
    let (major, count) = (server.major, 200_000 / part);
    let place = Place::new(server.tcp.clone());
    let batches = count / 100;
    let target = Target::new(1.2, 2.0).rival("libpq");
    let once = Line::new(format!("server {major}: pipeline of 100, one Sync"), "statement", count, target);
    let pipeline = Pipeline { depth: 100, batches, sync_each: false };
    // Three clients are left out: tokio-postgres and xitca-postgres send a Sync after every statement, and sqlx has no pipeline.
    let without = &["tokio-postgres", "sqlx", "xitca-postgres"];
    lines.push(server.near(line(once, &place, without, move |client| client.pipeline(pipeline))));
    let each = Line::new(format!("server {major}: pipeline of 100, a Sync each"), "statement", count, target);
    let pipeline = Pipeline { sync_each: true, ..pipeline };
    lines.push(line(each, &place, &["sqlx"], move |client| client.pipeline(pipeline)));
    let trips = ROUND_TRIPS / part;
    for (socket, at) in [("TCP", &server.tcp), ("Unix", &server.unix)] {
        let name = format!("server {major}: round trips, {socket}");
        let of_trips = Line::new(name, "round trip", trips, Target::new(1.05, 1.0));
        lines.push(
            server
                .near(line(of_trips, &Place::new(at.clone()), &[], move |client| client.round_trips(trips))),
        );
    }
    // Compares two implementations of a Unix-domain stream: Tokio's stream and the stream of pg-stream-tokio. Our client uses both streams.
    // In the report, Tokio's stream takes the place of the hand-written loop (the limit).
    let name = format!("server {major}: round trips, our Unix stream beside Tokio's");
    let streams = Line::new(name, "round trip", trips, Target::limit(0.95));
    let place = Place::new(server.unix.clone());
    let streams = line_of(streams, &place, unix_streams(), move |client| client.round_trips(trips));
    lines.push(server.near(streams));
}

fn connects(ends: &Ends, lines: &mut Vec<Line>) {
    let Some(server) = ends.servers.first() else { return };
    let major = server.major;
    let place = Place::new(server.tcp.clone()).scram();
    let name = format!("server {major}: connect, SCRAM");
    // Measures the CPU time of the whole process, because some clients derive the SCRAM keys on another thread.
    let line = Line::new(name, "connection", CONNECTS, Target::new(1.1, 1.0)).clock(Clock::Process);
    lines.push(connect_to(line, &place, CONNECTS, |_| true));
    // Peers are left out, because no peer keeps derived SCRAM keys for the next connection.
    let name = format!("server {major}: connect, SCRAM, keys kept");
    let is_no_peer = |who| !matches!(who, Who::Peer(_));
    let line = Line::new(name, "connection", CONNECTS, Target::limit(1.1)).clock(Clock::Process);
    lines.push(connect_to(line, &place.keeping(), CONNECTS, is_no_peer));
}
