//! Makes a data directory with `initdb`, and adds the settings, roles and authentication rules that the tests need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process;
use crate::servers::binaries::{Binaries, Major};
use crate::servers::certificates::Certificates;
use crate::servers::daemon::{self, Kind, Serve};
use crate::servers::hba::{self, ADMIN};
use crate::servers::user::{User, open_to_all};

/// A data directory for one server.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The major version of the server's PostgreSQL.
    pub(crate) major: Major,
    /// The programs of the server's PostgreSQL version.
    pub(crate) binaries: Binaries,
    /// The user that runs the server's programs.
    pub(crate) user: User,
    /// The directory that contains the Unix socket, the log and the data directory.
    pub(crate) dir: PathBuf,
    /// Environment variables for this server only.
    environment: Vec<(&'static str, String)>,
}

/// An authentication method that PostgreSQL supports only in one of the two tested versions, with the server's settings for this method.
#[derive(Debug)]
pub(super) struct Special {
    /// The name of the method in `pg_hba.conf`.
    pub(super) method: &'static str,
    /// Lines that are added to `postgresql.conf`.
    pub(super) settings: String,
    /// Environment variables that the server gets.
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Cluster {
    /// Makes the data directory in `home`.
    pub(super) fn create(
        major: Major,
        binaries: Binaries,
        user: &User,
        home: &Path,
        special: Option<Special>,
    ) -> Result<Self> {
        let dir = home.join(major.to_string());
        fs::create_dir(&dir)?;
        open_to_all(&dir)?;
        user.own(&dir)?;
        let method = special.as_ref().map(|special| special.method);
        let (added, environment) =
            special.map(|special| (special.settings, special.environment)).unwrap_or_default();
        let cluster = Self { major, binaries, user: *user, dir, environment };
        cluster.initdb()?;
        let settings = cluster.data().join("postgresql.conf");
        let defaults = fs::read_to_string(&settings)?;
        // `initdb` has made these files. They are overwritten, not replaced, so that the servers' user still owns them.
        let tls = Certificates::below(home).configuration();
        fs::write(&settings, defaults + CONFIGURATION + &tls + &added)?;
        fs::write(cluster.data().join("pg_hba.conf"), hba::hba(method))?;
        let ourselves = process::read(Command::new("id").arg("-un"))?;
        fs::write(cluster.data().join("pg_ident.conf"), hba::ident(ourselves.trim()))?;
        cluster.make_roles()?;
        Ok(cluster)
    }

    /// Copies the directory for a second server. Precondition: no server has been started in this directory.
    pub(super) fn spare(&self) -> Result<Self> {
        let mut name = self.dir.file_name().unwrap_or_default().to_owned();
        name.push("-spare");
        let dir = self.dir.with_file_name(name);
        process::succeed(
            Command::new("cp").args(["-R", "--preserve=mode,ownership"]).arg(&self.dir).arg(&dir),
        )?;
        Ok(Self {
            major: self.major,
            binaries: self.binaries.clone(),
            user: self.user,
            dir,
            environment: self.environment.clone(),
        })
    }

    /// The path of the data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn initdb(&self) -> Result<()> {
        let mut initdb = self.binaries.command("initdb");
        initdb.args(["--username", ADMIN, "--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync"]);
        initdb.args(["--no-instructions", "--pgdata"]).arg(self.data());
        process::read(self.user.take(&mut initdb)).map(drop)
    }

    /// Makes the roles by `postgres --single`, which needs no client program and no running server.
    fn make_roles(&self) -> Result<()> {
        let mut single = self.binaries.command("postgres");
        single.arg("--single").arg("-D").arg(self.data()).arg("template1");
        let output = process::capture(self.user.take(&mut single), &hba::statements())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed: {}\n{stderr}", process::shown(&single), output.status);
        // Single-user mode continues after a failed statement and exits with success, so errors are found in its output.
        match stderr.lines().find(|line| line.contains("ERROR:")) {
            Some(error) => bail!("cannot make the roles: {error}"),
            None => Ok(()),
        }
    }
}

impl Serve for Cluster {
    const KIND: Kind = daemon::POSTGRES;

    fn name(&self) -> String {
        format!("PostgreSQL {}", self.dir.file_name().unwrap_or_default().display())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn command(&self, port: u16) -> Result<Command> {
        let mut postgres = self.binaries.command("postgres");
        postgres.arg("-D").arg(self.data()).args(["-p", &port.to_string(), "-k"]).arg(&self.dir);
        self.user.take(&mut postgres).envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(postgres)
    }

    fn answers(&self, port: u16) -> bool {
        daemon::accepts_login(&self.dir, port, STARTUP)
    }
}

/// The StartupMessage with which the role `trust` logs in: length, protocol 3.0, `user` and `database`. Written by hand, because xtask must
/// not depend on the crates that it tests.
pub(super) const STARTUP: &[u8] = b"\0\0\0\x26\0\x03\0\0user\0trust\0database\0postgres\0\0";

/// Settings that are added to the `postgresql.conf` that `initdb` makes.
///
/// The port and the socket directory are not settings but arguments of `postgres`, because both can change. If the port is in use, xtask
/// chooses a new port. A copy of the data directory gets its own socket directory.
const CONFIGURATION: &str = "
# Connections from this machine only.
listen_addresses = '127.0.0.1'
# The data is deleted after the run, so writes need not be durable.
fsync = off
synchronous_commit = off
full_page_writes = off
# Many tests run at the same time, each with its own connections.
max_connections = 200
shared_buffers = 32MB
# Physical and logical replication.
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 20
";

#[cfg(test)]
mod tests {
    use super::STARTUP;

    #[test]
    fn the_length_in_the_startup_message_is_its_length() {
        assert_eq!(usize::from(STARTUP[3]), STARTUP.len());
    }
}
