//! Tests of the two example programs that do not use Tokio: `smol_client` and `blocking_client`. They connect to PostgreSQL 15 and 18, with
//! and without TLS.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use support::{Ended, PATIENCE, Server, run};

const SMOL: &str = env!("CARGO_BIN_EXE_smol_client");
const BLOCKING: &str = env!("CARGO_BIN_EXE_blocking_client");

/// Returns the path of a certificate file. The environment variable contains the path; each `/` is percent-encoded for a connection string.
fn file(variable: &str) -> String {
    let path = std::env::var(variable);
    path.unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`")).replace('/', "%2F")
}

/// Returns a connection string with this role, the host `localhost`, and these settings.
fn at_localhost(server: &Server, role: &str, settings: &str) -> String {
    format!("postgres://{role}:{role}-secret@localhost:{}/test?{settings}", server.address.port())
}

/// Runs a program, which must succeed. The first line of its output must be `logged in`, followed by `channel`. Returns the other lines.
#[track_caller]
fn logged_in(program: &str, url: &str, channel: &str) -> String {
    let ended = run(program, &[url]);
    assert_eq!((ended.stderr.as_str(), ended.code), ("", Some(0)), "{url} (patience {PATIENCE:?})");
    let (first, rest) = ended.stdout.split_once('\n').expect("a line");
    assert_eq!(first, format!("logged in {channel}"), "{url}");
    rest.to_owned()
}

/// Returns connection strings for PostgreSQL 15 and 18. The second value of each pair describes the connection, such as `in clear`. The
/// program must print this description.
fn ways() -> Vec<(String, &'static str)> {
    let mut ways = Vec::new();
    let verified = format!("sslmode=verify-full&sslrootcert={}", file("PG_TLS_ROOT"));
    for server in Server::both() {
        ways.push((server.by_socket(), "in clear"));
        ways.push((server.by_tcp(), "over TLSv1.3, bound to the login"));
        ways.push((at_localhost(&server, "scram", "sslmode=disable"), "in clear"));
        ways.push((at_localhost(&server, "clear_only", "sslmode=prefer"), "in clear"));
        let bound = format!("{verified}&channel_binding=require");
        ways.push((at_localhost(&server, "scram", &bound), "over TLSv1.3, bound to the login"));
        let older = format!("{bound}&ssl_max_protocol_version=TLSv1.2");
        ways.push((at_localhost(&server, "scram", &older), "over TLSv1.2, bound to the login"));
        let (cert, key) = (file("PG_CLIENT_CERT"), file("PG_CLIENT_KEY"));
        let with = format!("{verified}&sslcert={cert}&sslkey={key}");
        ways.push((at_localhost(&server, "cert", &with), "over TLSv1.3"));
        if server.major >= 17 {
            let direct = format!("{bound}&sslnegotiation=direct");
            ways.push((at_localhost(&server, "scram", &direct), "over TLSv1.3, bound to the login"));
        }
    }
    ways
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_client_on_smol_adds_two_numbers_on_every_channel() {
    for (url, channel) in ways() {
        assert_eq!(logged_in(SMOL, &url, channel), "40 + 2 = 42\n", "{url}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn the_client_without_an_executor_runs_a_long_pipeline() {
    for (url, channel) in ways() {
        let expected = "2 * 21 = 42\n300000 rows, sum 90000300000\n";
        assert_eq!(logged_in(BLOCKING, &url, channel), expected, "{url}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn both_clients_reject_a_certificate_of_another_authority_or_name() {
    for server in Server::both() {
        let other = format!("sslmode=verify-full&sslrootcert={}", file("PG_TLS_OTHER_ROOT"));
        let other = at_localhost(&server, "scram", &other);
        let elsewhere = format!("sslmode=verify-full&hostaddr=127.0.0.1&sslrootcert={}", file("PG_TLS_ROOT"));
        let elsewhere =
            at_localhost(&server, "scram", &elsewhere).replace("@localhost", "@elsewhere.example");
        let asked = format!("sslmode=require&sslcertmode=require&sslrootcert={}", file("PG_TLS_ROOT"));
        let asked = at_localhost(&server, "scram", &asked);
        for program in [SMOL, BLOCKING] {
            for (url, problem) in
                [(&other, "Issuer"), (&elsewhere, "elsewhere.example"), (&asked, "sslcertmode=require")]
            {
                let Ended { code, stdout, stderr } = run(program, &[url]);
                assert_eq!((code, stdout.as_str()), (Some(1), ""), "{url}: {stderr}");
                assert!(stderr.contains(problem), "{url}: {stderr}");
            }
        }
    }
}

#[test]
fn a_silent_server_causes_a_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("the socket is bound");
    for program in [SMOL, BLOCKING] {
        let ended = run(program, &[&format!("postgres://me@{address}/test?connect_timeout=2")]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("Timeout"), "{}", ended.stderr);
    }
}
