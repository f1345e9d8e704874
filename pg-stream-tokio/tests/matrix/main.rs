//! The matrix of logins: each method over each link in each `sslmode`. Each login is made twice, by the real `psql` and by this crate, with
//! the same connection string and the same server. psql and this crate must have the same outcome: both log in over the same kind of link,
//! or both fail after the same number of attempts. If the server rejects an attempt, the error texts must be equal. If a client ends an
//! attempt itself, the reasons must be equal. [`exceptions`] lists the deliberate differences, each with its reason.

mod cells;
mod compare;
mod exceptions;
mod ours;
mod outcome;
mod pgbouncer;
mod psql;
mod servers;
mod without_tls;

use pg_stream_tokio::connect;
use tokio::runtime::{Builder, Runtime};

use without_tls::WithoutTls;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_login_has_the_same_outcome_as_with_psql() {
    let _without_tls = WithoutTls::begin();
    compare::with_psql(cells::all(), exceptions::EXCEPTIONS.iter().collect(), runtime, |runtime, cell| {
        runtime.block_on(ours::log_in(cell, async |config| connect(config).await))
    });
}
