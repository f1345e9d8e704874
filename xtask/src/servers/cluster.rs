//! A data directory: made by `initdb`, with the settings, roles and ways to log in that tests count on.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use super::Major;
use super::binaries::Binaries;
use super::user::User;
use crate::process;

/// A data directory that a server can be started in.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The server's version.
    pub(crate) major: Major,
    /// The server's programs.
    pub(crate) binaries: Binaries,
    /// Whom they run as.
    pub(crate) user: User,
    /// The directory for the socket, the log and [`Self::data`].
    pub(crate) dir: PathBuf,
}

/// One way to log in.
#[derive(Debug)]
struct Role {
    name: &'static str,
    /// Its method in `pg_hba.conf`.
    method: &'static str,
    /// How the server keeps the password, and the password as an SQL string.
    password: Option<(&'static str, &'static str)>,
}

/// The bootstrap superuser, which `initdb` makes.
const ADMIN: &str = "admin";

/// Every other role. A role that is not listed is rejected.
const ROLES: [Role; 5] = [
    Role { name: "trust", method: "trust", password: None },
    Role { name: "cleartext", method: "password", password: Some(("scram-sha-256", "'cleartext-secret'")) },
    Role { name: "md5", method: "md5", password: Some(("md5", "'md5-secret'")) },
    Role { name: "scram", method: "scram-sha-256", password: Some(("scram-sha-256", "'scram-secret'")) },
    // A no-break space and a Roman numeral nine, which SASLprep turns into a space and "IX".
    Role {
        name: "saslprep",
        method: "scram-sha-256",
        password: Some(("scram-sha-256", r"U&'pa\00A0ss\2168'")),
    },
];

impl Cluster {
    /// Makes the data directory below `home`.
    pub(crate) fn create(major: Major, binaries: Binaries, user: &User, home: &Path) -> Result<Self> {
        let dir = home.join(major.to_string());
        fs::create_dir(&dir)?;
        super::open_to_all(&dir)?;
        user.own(&dir)?;
        let cluster = Self { major, binaries, user: *user, dir };
        cluster.initdb()?;
        let settings = cluster.data().join("postgresql.conf");
        let defaults = fs::read_to_string(&settings)?;
        // Written over rather than anew: the files keep their owner.
        fs::write(&settings, defaults + &configuration(&cluster.dir))?;
        fs::write(cluster.data().join("pg_hba.conf"), hba())?;
        cluster.make_roles()?;
        Ok(cluster)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        data_in(&self.dir)
    }

    fn initdb(&self) -> Result<()> {
        let mut initdb = self.binaries.command("initdb");
        initdb.args(["--username", ADMIN, "--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync"]);
        initdb.args(["--no-instructions", "--pgdata"]).arg(self.data());
        process::read(self.user.take(&mut initdb)).map(drop)
    }

    /// Runs the statements through `postgres --single`, which needs no client program and no running server.
    fn make_roles(&self) -> Result<()> {
        let mut single = self.binaries.command("postgres");
        single.arg("--single").arg("-D").arg(self.data()).arg("template1");
        let output = process::capture(self.user.take(&mut single), &statements())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` failed: {}\n{said}", process::shown(&single), output.status);
        // It goes on after a failed statement, and ends with success.
        match said.lines().find(|line| line.contains("ERROR:")) {
            Some(error) => bail!("cannot make the roles: {error}"),
            None => Ok(()),
        }
    }

    /// The end of the server's log, for an error.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

/// The data directory below a server's directory.
pub(super) fn data_in(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// What is added to the settings of `initdb`. The port comes by command line: it may turn out to be taken.
fn configuration(dir: &Path) -> String {
    format!(
        "
# Reached from this machine only.
listen_addresses = '127.0.0.1'
unix_socket_directories = '{}'
# Nothing here outlives the run, so nothing is made durable.
fsync = off
synchronous_commit = off
full_page_writes = off
# Tests run side by side, each with connections of its own.
max_connections = 200
shared_buffers = 32MB
# Replication, logical too.
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
",
        dir.display()
    )
}

/// Who may come, and how they prove who they are: the same by socket and by TCP.
fn hba() -> String {
    let mut text = String::from("# A role that is not listed is rejected.\n");
    let mut rule = |database: &str, role: &str, method: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "local {database} {role} {method}");
        let _ = writeln!(text, "host {database} {role} 127.0.0.1/32 {method}");
    };
    rule("all", ADMIN, "trust");
    rule("replication", ADMIN, "trust");
    for role in &ROLES {
        rule("all", role.name, role.method);
    }
    text
}

/// Makes the roles and the database `test`, in which they may make what they like. One statement a line, as single-user
/// mode wants it.
fn statements() -> String {
    let mut sql = String::new();
    for Role { name, password, .. } in &ROLES {
        let _ = match password {
            None => writeln!(sql, "CREATE ROLE \"{name}\" LOGIN;"),
            Some((kept, secret)) => {
                writeln!(
                    sql,
                    "SET password_encryption = '{kept}';\nCREATE ROLE \"{name}\" LOGIN PASSWORD {secret};"
                )
            }
        };
    }
    let names: Vec<String> = ROLES.iter().map(|role| format!("\"{}\"", role.name)).collect();
    let names = names.join(", ");
    // Said in the template, and so copied into the new database: single-user mode sees one database only.
    let _ = writeln!(sql, "GRANT ALL ON SCHEMA public TO {names};");
    let _ = writeln!(sql, "CREATE DATABASE test;");
    let _ = writeln!(sql, "GRANT CREATE ON DATABASE test TO {names};");
    sql
}

#[cfg(test)]
mod tests {
    use super::{configuration, hba, statements};
    use std::path::Path;

    #[test]
    fn every_role_has_one_rule_by_socket_and_one_by_tcp() {
        let hba = hba();
        for rule in [
            "local all scram scram-sha-256",
            "host all scram 127.0.0.1/32 scram-sha-256",
            "host all cleartext 127.0.0.1/32 password",
            "host all md5 127.0.0.1/32 md5",
            "host replication admin 127.0.0.1/32 trust",
        ] {
            assert_eq!(hba.lines().filter(|line| *line == rule).count(), 1, "{rule}");
        }
    }

    #[test]
    fn no_rule_lets_everybody_in() {
        let roles = hba()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split(' ').nth(2) == Some("all"))
            .collect::<Vec<_>>();
        assert_eq!(roles, [false; 14]);
    }

    #[test]
    fn a_password_is_kept_the_way_its_role_is_for() {
        let sql = statements();
        assert!(sql.contains(
            "SET password_encryption = 'md5';\nCREATE ROLE \"md5\" LOGIN PASSWORD 'md5-secret';\n"
        ));
        assert!(sql.contains("SET password_encryption = 'scram-sha-256';\nCREATE ROLE \"scram\" LOGIN PASSWORD 'scram-secret';\n"));
    }

    #[test]
    fn every_statement_stands_on_a_line_of_its_own() {
        assert!(statements().lines().all(|line| line.ends_with(';') && line.matches(';').count() == 1));
    }

    #[test]
    fn the_socket_is_in_the_directory_given() {
        assert!(configuration(Path::new("/tmp/x/15")).contains("\nunix_socket_directories = '/tmp/x/15'\n"));
    }
}
