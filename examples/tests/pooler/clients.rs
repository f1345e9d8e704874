//! Tests in which many clients share a small number of server connections. The clients are programs of other projects, such as pgbench.

use std::process::Command;

use crate::lab::Lab;
use crate::support::finish;

/// Runs a program, which must succeed, and returns its standard output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let ended = finish(command);
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended.stdout
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn pgbench_runs_in_three_modes() {
    for lab in Lab::both(&["--pool-size", "4"]).await {
        lab.table("accounts", "id int primary key, balance int").await;
        lab.table("transfers", "amount int").await;
        let mut admin = lab.admin().await;
        admin.rows("insert into accounts select i, 0 from generate_series(1, 100) i").await;
        let variables = "\\set id random(1, 100)\n\\set amount random(1, 1000)\n";
        let block = "begin;\n\
                     update accounts set balance = balance + :amount where id = :id;\n\
                     select balance from accounts where id = :id;\n\
                     insert into transfers values (:amount);\n\
                     commit;\n";
        // This script must not have a transaction block. A thread of pgbench runs several clients. While the thread waits for the reply to
        // one client's Parse message, it serves no other client. If the other clients held all server connections in open transactions, the
        // reply would never arrive.
        let statement = "with changed as (update accounts set balance = balance + :amount where id = :id) \
                         insert into transfers values (:amount) returning amount;\n\
                         select balance from accounts where id = :id;\n";
        for (number, (mode, sql)) in
            [("simple", block), ("extended", block), ("prepared", statement)].into_iter().enumerate()
        {
            let script = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(script.path(), [variables, sql].concat()).expect("a file");
            let mut pgbench = lab.program("pgbench");
            pgbench.env("PGAPPNAME", "pooler_pgbench");
            pgbench.args(["-n", "-c", "16", "-j", "2", "-t", "50", "-M", mode, "-f"]).arg(script.path());
            let report = done(&mut pgbench);
            assert!(
                report.contains("number of transactions actually processed: 800/800"),
                "{mode}: {report}"
            );
            let transfers = admin.value("select count(*) from transfers").await;
            assert_eq!(transfers, (800 * (number + 1)).to_string(), "{mode}");
            let sums = "select (select sum(balance) from accounts) = (select sum(amount) from transfers)";
            assert_eq!(admin.value(sums).await, "t", "{mode}");
        }
        let servers = "select count(*) from pg_stat_activity where application_name = 'pooler_pgbench'";
        let servers: u32 = admin.value(servers).await.parse().expect("a number");
        assert!((1..=4).contains(&servers), "{servers} server connections");
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn psycopg_and_asyncpg_get_the_expected_results() {
    let python = std::env::var("PSYCOPG_PYTHON").expect("PSYCOPG_PYTHON is not set: run `cargo xtask test`");
    for lab in Lab::both(&["--pool-size", "3"]).await {
        lab.table("items", "n int primary key, b bytea, x text").await;
        for program in ["psycopg_client.py", "asyncpg_client.py"] {
            let path = format!("{}/tests/pooler/{program}", env!("CARGO_MANIFEST_DIR"));
            let port = lab.address.port().to_string();
            let printed = done(Command::new(&python).args([&path, "127.0.0.1", &port]));
            assert_eq!(printed, "ok\n", "{program}");
        }
    }
}

#[tokio::test]
#[ignore = "needs servers: cargo xtask test"]
async fn psql_copies_in_and_out_and_receives_a_complete_long_result() {
    for lab in Lab::both(&["--pool-size", "1"]).await {
        lab.table("lines", "n int, line text").await;
        let directory = tempfile::tempdir().expect("a directory");
        let lines: String = (0..50_000).map(|n| format!("{n}\tline {n} {}\n", "x".repeat(n % 100))).collect();
        std::fs::write(directory.path().join("in"), &lines).expect("a file");
        let psql = |sql: &str| {
            let mut psql = lab.program("psql");
            done(psql.current_dir(directory.path()).args([
                "-XAtq",
                "-F",
                "\t",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ]))
        };
        psql("\\copy lines from 'in'");
        psql("\\copy (select * from lines order by n) to 'out'");
        let out = std::fs::read_to_string(directory.path().join("out")).expect("a file");
        assert!(out == lines, "{} bytes became {}", lines.len(), out.len());
        assert!(psql("select * from lines order by n") == lines);
        assert_eq!(psql("select length(repeat('x', 50000000))"), "50000000\n");
        assert_eq!(psql("select repeat('x', 5000000)").len(), 5_000_001);
    }
}
