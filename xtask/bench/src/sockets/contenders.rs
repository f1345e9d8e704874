//! The clients that the benchmark compares, and measurements in which all clients do the same work.

use std::rc::Rc;

use anyhow::{Context, Result};
use pg_stream_tokio::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;

use super::clients::Client;
use super::clients::hand::Hand;
use super::clients::libpq::Libpq;
use super::clients::ours::Ours;
use super::clients::pg_stream::PgStream;
use super::clients::sqlx::Sqlx;
use super::clients::tokio_postgres::TokioPostgres;
use super::clients::xitca::Xitca;
use super::place::{At, Place};
use crate::line::{Line, Who};
use crate::micro::decode::runtime;

/// A function that makes a connection.
pub(super) type Connect = fn(&Place, Rc<Runtime>) -> Result<Box<dyn Client>>;

type Work = Rc<dyn Fn(&mut dyn Client) -> Result<u64>>;

/// Returns a closure that opens connections of the client `who`. All connections use one runtime.
pub(super) fn connections(at: &At, who: &str) -> Result<impl FnMut() -> Result<Box<dyn Client>> + use<>> {
    let place = Place::new(at.clone());
    let mut able = everybody(&place).into_iter();
    let found = able.find(|(one, _)| one.name() == who);
    let (_, connect) = found.with_context(|| format!("the contender {who} does not exist"))?;
    let runtime = Rc::new(runtime()?);
    Ok(move || connect(&place, runtime.clone()))
}

/// The clients that can connect to a server, each with the function that connects.
pub(super) fn everybody(place: &Place) -> Vec<(Who, Connect)> {
    let mut able: Vec<(Who, Connect)> = match (&place.at, &place.tls) {
        // pg_stream and xitca-postgres are left out, because they are built without TLS here.
        (At::Tcp(_), Some(_)) => vec![
            (Who::Limit, |place, runtime| {
                Ok(Box::new(Hand::<TlsStream<TcpStream>>::connect(place, runtime)?))
            }),
            (Who::Ours, |place, runtime| Ok(Box::new(Ours::dial(place, runtime)?))),
        ],
        (At::Tcp(_), None) => vec![
            (Who::Limit, |place, runtime| Ok(Box::new(Hand::<TcpStream>::connect(place, runtime)?))),
            (Who::Ours, |place, runtime| Ok(Box::new(Ours::<TokioIo<TcpStream>>::connect(place, runtime)?))),
            (Who::Peer("pg_stream"), |place, runtime| {
                Ok(Box::new(PgStream::<TcpStream>::connect(place, runtime)?))
            }),
            XITCA,
        ],
        (At::Unix(..), _) => vec![
            (Who::Limit, |place, runtime| Ok(Box::new(Hand::<UnixStream>::connect(place, runtime)?))),
            (Who::Ours, ours_over_its_unix_stream),
            (Who::Peer("pg_stream"), |place, runtime| {
                Ok(Box::new(PgStream::<UnixStream>::connect(place, runtime)?))
            }),
            XITCA,
        ],
    };
    able.extend::<[(Who, Connect); 3]>([
        (Who::Peer("tokio-postgres"), |place, runtime| Ok(Box::new(TokioPostgres::connect(place, runtime)?))),
        (Who::Peer("sqlx"), |place, runtime| Ok(Box::new(Sqlx::connect(place, runtime)?))),
        (Who::Peer("libpq"), |place, _| Ok(Box::new(Libpq::connect(place)?))),
    ]);
    able
}

const XITCA: (Who, Connect) =
    (Who::Peer("xitca-postgres"), |place, runtime| Ok(Box::new(Xitca::connect(place, runtime)?)));

fn ours_over_its_unix_stream(place: &Place, runtime: Rc<Runtime>) -> Result<Box<dyn Client>> {
    Ok(Box::new(Ours::<TokioIo<pg_stream_tokio::UnixStream>>::connect(place, runtime)?))
}

/// Two variants of our client, to compare Unix-domain streams: `Limit` uses Tokio's stream, `Ours` the stream of pg-stream-tokio.
pub(super) fn unix_streams() -> Vec<(Who, Connect)> {
    vec![
        (Who::Limit, |place, runtime| Ok(Box::new(Ours::<TokioIo<UnixStream>>::connect(place, runtime)?))),
        (Who::Ours, ours_over_its_unix_stream),
    ]
}

/// Adds all clients to a measurement, except the clients whose names are in `without`. Each client does the work on its own connection.
pub(super) fn line(
    line: Line,
    place: &Place,
    without: &'static [&'static str],
    work: impl Fn(&mut dyn Client) -> Result<u64> + 'static,
) -> Line {
    let mut able = everybody(place);
    able.retain(|(who, _)| !without.contains(&who.name()));
    line_of(line, place, able, work)
}

/// Adds the clients `able` to a measurement. Each client does the work on its own connection.
pub(super) fn line_of(
    line: Line,
    place: &Place,
    able: Vec<(Who, Connect)>,
    work: impl Fn(&mut dyn Client) -> Result<u64> + 'static,
) -> Line {
    let work: Work = Rc::new(work);
    able.into_iter().fold(line.long(), |line, (who, connect)| {
        let (place, work) = (place.clone(), work.clone());
        line.prepared(who, move || {
            let mut client = connect(&place, Rc::new(runtime()?))?;
            Ok(Box::new(move || work(&mut *client)))
        })
    })
}

/// Adds clients to a measurement of connecting; `who` selects the clients. Each round makes `count` connections.
pub(super) fn connect_to(line: Line, place: &Place, count: u64, who: impl Fn(Who) -> bool) -> Line {
    let able = everybody(place).into_iter().filter(|(one, _)| who(*one));
    able.fold(line.long(), |line, (who, client)| {
        let place = place.clone();
        line.prepared(who, move || {
            let runtime = Rc::new(runtime()?);
            Ok(Box::new(move || connect(client, &place, &runtime, count)))
        })
    })
}

/// Makes `count` connections, one after the other.
pub(super) fn connect(client: Connect, place: &Place, runtime: &Rc<Runtime>, count: u64) -> Result<u64> {
    for _ in 0..count {
        client(place, runtime.clone())?;
    }
    Ok(0)
}
