//! Tests of `pg-proxy` with TLS between the proxy and psql, or between the proxy and a real server.

use std::process::Command;

use crate::process::Proxy;
use crate::support::{Ended, Server, finish, run};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// Arguments that make the proxy accept TLS. The proxy uses the certificate of the PostgreSQL servers of the tests.
fn terminating() -> Vec<String> {
    let words = ["--check", "--trace", "TRACE", "--tls", "terminate", "--tls-cert"];
    let mut arguments: Vec<String> = words.map(String::from).into();
    arguments.extend([variable("PG_TLS_SERVER_CERT"), "--tls-key".into(), variable("PG_TLS_SERVER_KEY")]);
    arguments
}

fn start(server: &Server, arguments: &[String]) -> Proxy {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Proxy::with(format!("localhost:{}", server.address.port()), &arguments)
}

/// Runs psql of this version through the proxy, as the role `scram`.
fn psql(version: u8, proxy: &Proxy, settings: &str) -> Ended {
    let port = proxy.address().port();
    let name = format!("host=localhost port={port} user=scram dbname=test {settings}");
    let mut psql = Command::new(variable(&format!("PG{version}_PSQL")));
    psql.args(["-XAtc", "select 6 * 7", "-d", &name]).env("PGPASSWORD", "scram-secret");
    finish(&mut psql)
}

fn answered(ended: Ended) {
    assert_eq!(ended, Ended { code: Some(0), stdout: "42\n".into(), stderr: String::new() });
}

/// Stops the proxy, and returns its trace. Checks that the proxy has encoded every message to the same bytes.
fn stopped(proxy: Proxy) -> String {
    let trace = proxy.trace();
    let stopped = proxy.stop();
    assert_eq!((stopped.code, stopped.counts[2], stopped.counts[3]), (Some(0), 0, 0), "{stopped:?}");
    trace
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn messages_of_a_client_with_tls_are_decoded_and_traced() {
    for server in Server::both() {
        let root = variable("PG_TLS_ROOT");
        let proxy = start(&server, &terminating());
        let verify = format!("sslmode=verify-full sslrootcert={root}");
        answered(psql(15, &proxy, &verify));
        answered(psql(18, &proxy, &format!("{verify} sslnegotiation=direct")));
        answered(psql(18, &proxy, "sslmode=disable"));
        let trace = stopped(proxy);
        assert_eq!(trace.matches("Query\t \"select 6 * 7\"").count(), 3, "{trace}");
        assert_eq!(trace.matches("DataRow\t 1 2 '42'").count(), 3, "{trace}");
        assert!(!trace.contains("scram-secret"), "{trace}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_proxy_verifies_the_server_over_tls_while_clients_use_no_tls() {
    for server in Server::both() {
        let root = variable("PG_TLS_ROOT");
        let upstream = ["--upstream-tls", "verify-full", "--upstream-ca", &root].map(String::from);
        let clear = ["--check", "--trace", "TRACE", "--tls", "refuse"].map(String::from);
        let proxy = start(&server, &[clear.as_slice(), &upstream].concat());
        // psql connects to the proxy without TLS. So the proxy must not offer SCRAM-SHA-256-PLUS to psql, although the server offers it to
        // the proxy.
        answered(psql(15, &proxy, "sslmode=prefer"));
        let trace = stopped(proxy);
        assert!(trace.contains("DataRow\t 1 2 '42'"), "{trace}");

        let both = [terminating().as_slice(), &upstream].concat();
        let proxy = start(&server, &both);
        // The certificate of the proxy is also the certificate of the server. So SCRAM with channel binding succeeds through the proxy.
        answered(psql(
            15,
            &proxy,
            &format!("sslmode=verify-full sslrootcert={root} channel_binding=require"),
        ));
        stopped(proxy);

        let other = variable("PG_TLS_OTHER_ROOT");
        let stranger = ["--tls", "refuse", "--upstream-tls", "verify-full", "--upstream-ca", &other];
        let proxy = start(&server, &stranger.map(String::from));
        let ended = psql(15, &proxy, "sslmode=disable");
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.contains("no trusted authority (sslrootcert) has signed the certificate"),
            "{ended:?}"
        );
        drop(proxy);
    }
}

#[test]
fn contradictory_options_are_wrong_usage() {
    const PROXY: &str = env!("CARGO_BIN_EXE_pg-proxy");
    let ends = ["--listen", "127.0.0.1:0", "--upstream"];
    for (upstream, more, problem) in [
        ("localhost:5432", &["--upstream-tls", "require"][..], "--tls terminate or --tls refuse"),
        ("/tmp/.s.PGSQL.5432", &["--upstream-tls", "require", "--tls", "refuse"], "reached by TCP"),
        ("localhost:5432", &["--tls", "terminate"], "--tls-cert"),
        ("localhost:5432", &["--tls", "terminate", "--tls-cert", "x"], "--tls-key"),
    ] {
        let arguments = [&ends[..], &[upstream], more].concat();
        let ended = run(PROXY, &arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{more:?}");
        assert!(ended.stderr.contains(problem), "{more:?}: {}", ended.stderr);
    }
}
