//! The servers that the program knows: their addresses, and the features that a server lacks according to its own documentation.

use std::env;
use std::path::Path;

use pg_stream_tokio::{Config, connect};
use pg_wire::PgProtocol;
use pg_wire::backend::Backend;

use crate::Fallible;
use crate::check::Feature;
use crate::pglite::Pglite;
use crate::process::Process;
use crate::target::Lack;

/// A server and its name.
#[derive(Debug)]
pub(crate) struct Server {
    /// The name in the list of deviations.
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) lacks: &'static [Lack],
    /// The program that was started for this server.
    _process: Option<Process>,
    /// A temporary file that the started program reads.
    _file: Option<tempfile::NamedTempFile>,
    _pglite: Option<Pglite>,
}

/// The feature that every pooler lacks, with the reason.
const POOLED: Lack = (
    Feature::Direct,
    "a pooler: the connection of a client and the session of the server do not end together",
);

const TRANSACTION: &[Lack] = &[
    (
        Feature::Session,
        "pooling by transaction: the state of a session does not last longer than a transaction",
    ),
    POOLED,
];

const TRANSACTION_UNPREPARED: &[Lack] = &[
    (Feature::Prepared, "PgBouncer before 1.21 has no prepared statements in pooling by transaction"),
    TRANSACTION[0],
    POOLED,
];

const MOCK: &[Lack] = &[
    (Feature::Sql, "a test double without a database: every SELECT returns the same rows"),
    (Feature::Session, "a test double without a database"),
];

const PGLITE: &[Lack] =
    &[(Feature::Concurrent, "PGlite has one session, and its socket server allows one connection")];

impl Server {
    fn new(name: &'static str, url: String, lacks: &'static [Lack]) -> Self {
        Self { name, url, lacks, _process: None, _file: None, _pglite: None }
    }

    /// Returns the servers in the environment variables, and starts the servers that are programs of this package.
    pub(crate) fn all() -> Fallible<Vec<Self>> {
        let (old, new) = (variable("PG15_ADDR")?, variable("PG18_ADDR")?);
        let (bouncer, pgpool) = (variable("PGBOUNCER_ADDR")?, variable("PGPOOL_ADDR")?);
        let scram = |address: &str, database: &str| {
            format!("postgres://scram:scram-secret@{address}/{database}?sslmode=disable")
        };
        let mock = Process::start("mock_server", &[])?;
        let proxy = Process::start("pg-proxy", &["--upstream", &new])?;
        let users = users(&new)?;
        let path = users.path().to_str().ok_or("the path of the file of users is not UTF-8")?;
        let pooler = Process::start("pg-pooler", &["--upstream", &new, "--users", path])?;
        let pglite = Pglite::start(Path::new(&variable("PGLITE_DIR")?))?;
        let mock_url = format!("postgres://mock:secret@{}/mock?sslmode=disable", mock.address);
        let (proxy_url, pooler_url) = (scram(&proxy.address, "test"), scram(&pooler.address, "test"));
        let pglite_url = pglite.url();
        Ok(vec![
            Self::new("PostgreSQL 15", scram(&old, "test"), &[]),
            Self::new("PostgreSQL 18", scram(&new, "test"), &[]),
            Self::new("PgBouncer by session", scram(&bouncer, "session"), &[POOLED]),
            Self::new("Pgpool-II", scram(&pgpool, "test"), &[POOLED]),
            Self::new("PgBouncer by transaction", scram(&bouncer, "transaction"), TRANSACTION_UNPREPARED),
            Self { _process: Some(mock), ..Self::new("mock_server", mock_url, MOCK) },
            Self { _process: Some(proxy), ..Self::new("pg-proxy", proxy_url, &[]) },
            Self {
                _process: Some(pooler),
                _file: Some(users),
                ..Self::new("pg-pooler", pooler_url, TRANSACTION)
            },
            Self { _pglite: Some(pglite), ..Self::new("PGlite", pglite_url, PGLITE) },
        ])
    }
}

fn variable(name: &str) -> Fallible<String> {
    env::var(name).map_err(|_| format!("{name} is not set: run `cargo xtask interop`, or give a URL").into())
}

/// Writes the file of users for `pg-pooler`: the verifier of the role `scram`.
fn users(address: &str) -> Fallible<tempfile::NamedTempFile> {
    let config: Config = format!("postgres://admin@{address}/test?sslmode=disable").parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(async {
        let (mut conn, _) = connect(&config).await?;
        conn.query("select rolname || ':' || rolpassword from pg_authid where rolname = 'scram'");
        conn.flush().await?;
        let mut lines = String::new();
        examples::until_ready(&mut conn, |message| {
            if let Backend::DataRow(row) = message {
                lines += str::from_utf8(row.values.get(0)?.flatten().unwrap_or_default())?;
            }
            Ok(())
        })
        .await
        .map_err(|error| error.to_string())?;
        Fallible::Ok(lines)
    })?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), lines + "\n")?;
    Ok(file)
}
