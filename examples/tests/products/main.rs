//! Tests of the clients of both adapters with many products that speak PostgreSQL's protocol: servers, poolers and proxies of this project
//! and of other projects.
//!
//! With each runtime of the adapters, the test sends the same requests to each product. The answers must be the answers of PostgreSQL in
//! [`expected`], or a deviation that is listed there with its reason. The test also fails if a listed deviation does not occur.

#[path = "../conformance/adapters.rs"]
#[allow(dead_code, reason = "shared with the tests of conformance, which use more of it")]
mod adapters;
mod checks;
mod expected;
#[path = "../pooler/lab.rs"]
#[allow(dead_code, reason = "shared with the tests of the pooler, which use other parts of it")]
mod lab;
mod line;
#[path = "../../src/bin/pg-interop/pglite.rs"]
mod pglite;
#[path = "../proxy/process.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which use other parts of it")]
mod process;
mod product;
#[allow(dead_code, reason = "shared by several programs of tests, each of which uses what it needs")]
#[path = "../support/mod.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use adapters::{Adapter, AsyncStd, Smol, Tokio};
use lab::Lab;
use process::Proxy;
use product::{Client, Product, variable};
use support::{Listening, Server};

/// With each runtime, sends all requests to a product, and compares the answers with the expected answers.
fn check(product: &Product) {
    let mut problems = Vec::new();
    for (runtime, found) in [
        (Tokio::NAME, Tokio::run(checks::all::<Tokio>(product))),
        (Smol::NAME, Smol::run(checks::all::<Smol>(product))),
        (AsyncStd::NAME, AsyncStd::run(checks::all::<AsyncStd>(product))),
    ] {
        let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected::ANSWERS.map(|(name, _)| name));
        for (name, found) in found {
            let (expected, reason) = expected::answer(product.name, name);
            if found != expected {
                let found = found.join("\n    ");
                let reason = reason.map(|reason| format!(" (deviates: {reason})")).unwrap_or_default();
                problems.push(format!("{name} with {runtime}{reason}:\n    {found}"));
            }
        }
    }
    assert!(problems.is_empty(), "{} has other answers:\n{}", product.name, problems.join("\n"));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn postgresql() {
    for (server, name) in Server::both().iter().zip(["PostgreSQL 15", "PostgreSQL 18"]) {
        check(&Product::at(name, server.address, "test"));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgbouncer() {
    let address = variable("PGBOUNCER_ADDR").parse().expect("an address");
    check(&Product::at("PgBouncer, session pooling", address, "session"));
    check(&Product::at("PgBouncer, transaction pooling", address, "transaction"));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgpool() {
    check(&Product::new("Pgpool-II", &variable("PGPOOL_URL")));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pglite() {
    check(&Product::new("PGlite", &variable("PGLITE_URL")));
}

/// After COPY FROM STDIN, the socket server of PGlite closes the connection, and does not answer later clients.
#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_copy_from_stdin_stops_pglite() {
    let pglite = pglite::Pglite::start(variable("PGLITE_DIR").as_ref()).expect("PGlite starts");
    let product = Product::new("PGlite", &pglite.url());
    Tokio::run(async {
        let mut client = Client::<Tokio>::open(&product).await;
        let log = checks::copy_in(&product, &mut client).await;
        assert!(log.iter().any(|line| line.starts_with("failed: ")), "{log:#?}");
        assert!(client.conn.read_fault().is_some() || client.conn.write_fault().is_some(), "{log:#?}");
        drop(client);
        let next = Tokio::within(Duration::from_secs(1), Client::<Tokio>::open(&product)).await;
        assert!(next.is_none(), "PGlite answers the next client");
    });
}

#[test]
fn mock_server() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mock_server"));
    let mock = Listening::start(command.args(["--listen", "127.0.0.1:0"]));
    let url = format!("postgres://mock:secret@{}/any?sslmode=disable", mock.address);
    check(&Product::new("mock_server", &url));
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_proxy() {
    for server in Server::both() {
        let proxy = Proxy::with(server.address, &["--check"]);
        check(&Product::at("pg-proxy", proxy.address(), "test"));
        proxy.was_faithful();
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pg_pooler() {
    for lab in Tokio::run(Lab::both(&[])) {
        check(&Product::at("pg-pooler", lab.address, "test"));
    }
}
