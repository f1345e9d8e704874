//! PgBouncer, a connection pooler, with PostgreSQL 15 as its server and with TLS for its clients.
//!
//! The environment has these variables:
//!
//! | variable | content |
//! | --- | --- |
//! | `PGBOUNCER_ADDR` | address and port, for TCP without TLS and with TLS; the certificate is `PG_TLS_SERVER_CERT` |
//! | `PGBOUNCER_SOCKET_DIR` | directory of the Unix socket |
//!
//! | database | target |
//! | --- | --- |
//! | `session` | the database `test`, pooled by session |
//! | `transaction` | the database `test`, pooled by transaction |
//! | `as_trust` | the database `test`, pooled by session, always as the role `trust` |
//! | `pgbouncer` | PgBouncer's console, for `admin` |
//!
//! | role | method, over TCP with and without TLS and over a Unix socket |
//! | --- | --- |
//! | `admin`, `trust` | `trust` |
//! | `cleartext` | `password`; only for the database `as_trust`, because PgBouncer does not keep the password for PostgreSQL |
//! | `md5` | `md5` |
//! | `scram`, `saslprep` | SCRAM-SHA-256; PgBouncer logs in to PostgreSQL with the client's SCRAM keys |
//! | `cert` | a client certificate, over TLS only; only for the database `as_trust` |
//! | others | rejected by PgBouncer itself |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::servers::certificates::Certificates;
use crate::servers::cluster::Cluster;
use crate::servers::daemon::{self, Daemon, Kind, Serve};
use crate::servers::debian::Programs;
use crate::servers::user::{User, open_to_all};

/// The content of PgBouncer's `hba.conf`: the authentication method of each role.
const HBA: &str = "\
local all admin trust
local all trust trust
local as_trust cleartext password
local all md5 md5
local all scram scram-sha-256
local all saslprep scram-sha-256
host all admin 127.0.0.1/32 trust
host all trust 127.0.0.1/32 trust
host as_trust cleartext 127.0.0.1/32 password
host all md5 127.0.0.1/32 md5
host all scram 127.0.0.1/32 scram-sha-256
host all saslprep 127.0.0.1/32 scram-sha-256
hostssl as_trust cert 127.0.0.1/32 cert
";

/// The StartupMessage of the role `admin` for the console: length, protocol 3.0, `user` and `database`.
const STARTUP: &[u8] = b"\0\0\0\x27\0\x03\0\0user\0admin\0database\0pgbouncer\0\0";

/// A configured PgBouncer that is not running yet.
#[derive(Debug)]
pub(super) struct Pooler {
    programs: Programs,
    user: User,
    dir: PathBuf,
    /// The content of `pgbouncer.ini` except `listen_port`.
    settings: String,
}

impl Pooler {
    /// Finds or downloads the program `pgbouncer`.
    pub(super) fn programs() -> Result<Programs> {
        Programs::find(&["pgbouncer"], &["pgbouncer"], "pgbouncer").context("PgBouncer is missing")
    }

    /// Writes the configuration of a PgBouncer in front of `server` to a directory in `home`.
    pub(super) fn create(
        programs: Programs,
        server: &Daemon<Cluster>,
        certificates: &Certificates,
        home: &Path,
    ) -> Result<Self> {
        let user = server.of().user;
        let dir = home.join("pgbouncer");
        fs::create_dir(&dir)?;
        open_to_all(&dir)?;
        user.own(&dir)?;
        // PgBouncer logs in as `admin` (`auth_user`) to read the stored passwords of the other roles. `admin` needs no password.
        fs::write(dir.join("users.txt"), "\"admin\" \"\"\n")?;
        fs::write(dir.join("hba.conf"), HBA)?;
        let backend = format!("host={} port={}", server.of().dir.display(), server.address().port());
        let here = dir.display();
        let tls = certificates.pgbouncer();
        let settings = format!(
            "[databases]
session = {backend} dbname=test pool_mode=session
transaction = {backend} dbname=test pool_mode=transaction
as_trust = {backend} dbname=test pool_mode=session user=trust
[pgbouncer]
listen_addr = 127.0.0.1
unix_socket_dir = {here}
pidfile = {here}/{}
auth_type = hba
auth_hba_file = {here}/hba.conf
auth_file = {here}/users.txt
auth_user = admin
auth_query = SELECT usename, passwd FROM pg_shadow WHERE usename = $1
admin_users = admin
ignore_startup_parameters = extra_float_digits
max_client_conn = 200
default_pool_size = 20
{tls}",
            Self::KIND.pid_file()
        );
        Ok(Self { programs, user, dir, settings })
    }
}

impl Serve for Pooler {
    const KIND: Kind = daemon::PGBOUNCER;

    fn name(&self) -> String {
        "PgBouncer".into()
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn command(&self, port: u16) -> Result<Command> {
        let settings = self.dir.join("pgbouncer.ini");
        fs::write(&settings, format!("{}listen_port = {port}\n", self.settings))
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let mut pgbouncer = self.programs.command("pgbouncer");
        pgbouncer.arg(settings);
        self.user.take(&mut pgbouncer);
        Ok(pgbouncer)
    }

    fn answers(&self, port: u16) -> bool {
        daemon::accepts_login(&self.dir, port, STARTUP)
    }
}

impl Daemon<Pooler> {
    /// The environment variables with the address and the socket directory of PgBouncer.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        vec![
            ("PGBOUNCER_ADDR".into(), self.address().to_string()),
            ("PGBOUNCER_SOCKET_DIR".into(), self.of().dir.display().to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::STARTUP;

    #[test]
    fn the_length_in_the_startup_message_is_its_length() {
        assert_eq!(usize::from(STARTUP[3]), STARTUP.len());
    }
}
