//! Tests of `masking_proxy`, which hides a column. Clients of other projects, such as psql, connect through this proxy to PostgreSQL 15 and
//! 18.

#[allow(dead_code, reason = "shared by several test programs; each of them uses only a part")]
mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::{Listening, Server, finish};

/// Starts a proxy that hides the column `secret`.
fn proxy(server: &Server) -> Listening {
    let mut command = Command::new(env!("CARGO_BIN_EXE_masking_proxy"));
    Listening::start(command.args(["127.0.0.1:0", &server.address.to_string(), "secret"]))
}

/// Returns a command that runs a client program of the server's version.
fn client(server: &Server, program: &str, address: SocketAddr) -> Command {
    let variable = format!("PG{}_CLIENT_BIN", server.major);
    let bin =
        std::env::var(&variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
    let mut command = Command::new(format!("{bin}/{program}"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("PGHOST", "127.0.0.1").env("PGPORT", address.port().to_string()).env("PGSSLMODE", "disable");
    command.env("PGUSER", "scram").env("PGPASSWORD", "scram-secret").env("PGDATABASE", "test");
    command
}

/// Runs a program, which must succeed, and returns its standard output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended.stdout
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn psql_psycopg_asyncpg_and_pgbench_see_everything_but_the_hidden_column() {
    let python = std::env::var("PSYCOPG_PYTHON").expect("PSYCOPG_PYTHON is not set: run `cargo xtask test`");
    for server in Server::both() {
        let sql = "drop table if exists masked; create table masked (n int, secret text, code int); \
                   insert into masked select i, 'secret ' || i, i from generate_series(0, 4) i; \
                   grant all on masked to public";
        done(client(&server, "psql", server.address).env("PGUSER", "admin").args(["-Xqc", sql]));
        let proxy = proxy(&server);
        let psql = |sql: &str| done(client(&server, "psql", proxy.address).args(["-XAtqc", sql]));
        assert_eq!(psql("select * from masked where n = 3"), "3|***|3\n");
        assert_eq!(psql("select 1; select secret, n from masked where n = 3; select 2"), "1\n***|3\n2\n");
        // The proxy recognises the column by its name in the result. So a query that renames the column reveals the values.
        assert_eq!(psql("select secret as shown from masked where n = 3"), "secret 3\n");
        let copied = finish(client(&server, "psql", proxy.address).args(["-Xqc", "copy masked to stdout"]));
        assert_eq!((copied.code, copied.stdout.as_str()), (Some(2), ""), "{}", copied.stderr);

        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/masking.py");
        let port = proxy.address.port().to_string();
        assert_eq!(done(Command::new(&python).args([program, "127.0.0.1", &port])), "masked\n");

        let script = tempfile::NamedTempFile::new().expect("a file");
        // In this script, a value that is not hidden causes a division by zero, and pgbench fails.
        let text = "\\set n random(0, 4)\n\
                    select length(secret) as hidden from masked where n = :n \\gset\n\
                    select n, secret from masked where n = :n \\gset\n\
                    select 1 / (case when :secret = '***' and :hidden = 8 then 1 else 0 end);\n";
        std::fs::write(script.path(), text).expect("a file");
        let mut pgbench = client(&server, "pgbench", proxy.address);
        pgbench.args(["-n", "-M", "prepared", "-c", "8", "-t", "200", "-f"]).arg(script.path());
        let report = done(&mut pgbench);
        assert!(report.contains("transactions actually processed: 1600/1600"), "{report}");
    }
}
