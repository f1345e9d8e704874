//! Measurements over TLS.

use std::rc::Rc;

use anyhow::Result;

use super::contenders::{connect, connect_to, everybody, line};
use super::front::RESUMED;
use super::place::{At, Place};
use crate::line::{Clock, Line, Target, Who};
use crate::micro::decode::runtime;

/// The number of connections in a round.
const CONNECTS: u64 = 20;

/// The number of connections in a round if TLS sessions are resumed and derived SCRAM keys are reused. With more connections, the server
/// would forget tickets that a client has not used yet: rustls keeps 256 sessions, and stores several for each connection.
const RESUMED_CONNECTS: u64 = 50;

/// Measurements of reading rows and of connecting. The PostgreSQL servers are `servers`; `resuming` is a server that resumes TLS sessions.
pub(super) fn lines<'s>(
    servers: impl Iterator<Item = (u8, &'s At)>,
    resuming: &At,
    part: u64,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let count = 1_000_000 / part;
    for (index, (major, at)) in servers.enumerate() {
        let place = Place::new(at.clone()).encrypted()?;
        let sql = format!("SELECT * FROM bench_rows LIMIT {count}");
        rows(&mut lines, &format!("tls: server {major}"), &place, count, &sql);
        if index == 0 {
            let name = format!("tls: server {major}, connect, SCRAM-PLUS");
            let line = Line::new(name, "connection", CONNECTS, Target::new(1.1, 1.0)).clock(Clock::Process);
            lines.push(connect_to(line, &place.scram(), CONNECTS, |_| true));
        }
    }
    let place = Place::new(resuming.clone()).encrypted()?;
    rows(&mut lines, "tls: replay", &place, count, &format!("replay {count}"));
    lines.push(resumed(&place.scram().keeping()));
    Ok(lines)
}

/// Two measurements of reading rows: in text and in binary format.
fn rows(lines: &mut Vec<Line>, name: &str, place: &Place, count: u64, sql: &str) {
    // A statement for the replay server contains the format. A statement for PostgreSQL does not.
    let with_format =
        |format| if sql.starts_with("replay") { format!("{sql} {format}") } else { sql.to_owned() };
    let target = Target::new(1.15, 1.0);
    let (text, binary) = (with_format("text"), with_format("binary"));
    let of_text = Line::new(format!("{name}, rows, text"), "row", count, target);
    lines.push(line(of_text, place, &[], move |client| client.read_text(&text)));
    let of_binary = Line::new(format!("{name}, rows, binary"), "row", count, target);
    lines.push(line(of_binary, place, &[], move |client| client.read_binary(&binary)));
}

/// Measurement of connecting, where the client resumes a TLS session and reuses a derived SCRAM key.
///
/// Only the CPU time of the client's thread is measured, because the replay server is another thread of this process. With a kept key, the
/// client does no work on other threads. Peers are left out: they derive a key for each connection.
fn resumed(place: &Place) -> Line {
    let line = Line::new(
        "tls: replay, connect, SCRAM-PLUS, session resumed, keys kept",
        "connection",
        RESUMED_CONNECTS,
        Target::limit(1.1),
    );
    let able = everybody(place).into_iter().filter(|(who, _)| !matches!(who, Who::Peer(_)));
    able.fold(line.clock(Clock::Thread).long(), |line, (who, client)| {
        let place = place.clone();
        line.prepared(who, move || {
            let runtime = Rc::new(runtime()?);
            // The first connection gets a session ticket from the server, and derives the SCRAM key. The server rejects a later connection
            // that does not use the ticket.
            client(&place, runtime.clone())?;
            let place = Place { user: RESUMED, ..place };
            Ok(Box::new(move || connect(client, &place, &runtime, RESUMED_CONNECTS)))
        })
    })
}
