//! Compares logins by this crate, over the platform's TLS library, with logins by `psql` on the same server. The logins are a
//! selection from the list in `pg-stream-tokio/tests/matrix/cells.rs`. Each expected difference is an exception with its reason.

#[path = "../../pg-stream-tokio/tests/matrix/cells.rs"]
mod cells;
#[path = "../../pg-stream-tokio/tests/matrix/compare.rs"]
mod compare;
#[path = "../../pg-stream-tokio/tests/matrix/exceptions.rs"]
mod exceptions;
#[path = "../../pg-stream-tokio/tests/matrix/ours.rs"]
mod ours;
#[path = "../../pg-stream-tokio/tests/matrix/outcome.rs"]
mod outcome;
#[path = "../../pg-stream-tokio/tests/matrix/psql.rs"]
mod psql;
#[path = "../../pg-stream-tokio/tests/matrix/servers.rs"]
mod servers;

use async_std::task::block_on;
use pg_stream_async_std::connect;

use cells::{Cell, Link, Method};
use exceptions::EXCEPTIONS;

/// Selects logins on PostgreSQL 18: SCRAM with and without channel binding, and client certificates, over TLS and over Unix-domain sockets.
/// Direct TLS is left out, because `native-tls` does not support it.
fn is_ours(cell: &Cell) -> bool {
    let methods = [Method::Scram, Method::Cert].contains(&cell.method);
    let links = [Link::Tls12, Link::Tls13, Link::Unix].contains(&cell.link);
    cell.major == 18 && methods && links && !cell.more.starts_with("require_auth")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn logins_with_the_platforms_tls_library_have_the_same_outcome_as_with_psql() {
    let cells: Vec<Cell> = cells::all().into_iter().filter(is_ours).collect();
    // Only the exceptions about `sslrootcert` apply to these logins. All other exceptions are about logins that `is_ours` leaves out.
    let exceptions = EXCEPTIONS.iter().filter(|exception| exception.reason.contains("sslrootcert"));
    let no_runtime = || ();
    compare::with_psql(cells, exceptions.collect(), no_runtime, |(), cell| {
        block_on(ours::log_in(cell, async |config| connect(config).await))
    });
}
