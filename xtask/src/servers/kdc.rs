//! A Kerberos realm of one run: MIT's `krb5kdc`, its database, and the keys and tickets that tests need.
//!
//! The principals are `gss`, which is a role of PostgreSQL too, `somebody`, which is none, and the service
//! `postgres/localhost`. Every name below is a variable of the environment.
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_KRB5_KDC_ADDR` | where the KDC listens, TCP |
//! | `PG_KRB5_CONFIG` | the realm's configuration, to be `KRB5_CONFIG` of a client |
//! | `PG_KRB5_CCACHE` | credential cache of `gss`, to be `KRB5CCNAME` of a client |
//! | `PG_KRB5_CCACHE_SOMEBODY` | credential cache of `somebody` |
//! | `PG_KRB5_SERVER_KEYTAB` | key table of `postgres/localhost`, which only the servers' user may read |
//!
//! `KRB5_CONFIG` and `KRB5CCNAME` themselves are not set: with both, libpq asks every server on TCP for GSSAPI encryption.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::servers::daemon::{self, Daemon, Kind, Serve};
use crate::servers::debian::Programs;
use crate::servers::user::{User, open_to_all};

/// The realm. `.test` is reserved for tests (RFC 6761).
pub(super) const REALM: &str = "XTASK.TEST";

/// The password of `gss` and `somebody`.
const PASSWORD: &str = "gss-secret";

/// A realm: its files, without a running KDC.
#[derive(Debug)]
pub(super) struct Kdc {
    programs: Programs,
    user: User,
    /// The directory of the database and the key table; it belongs to the servers' user.
    dir: PathBuf,
    /// The directory of the files for clients; it belongs to us.
    clients: PathBuf,
}

impl Kdc {
    /// Finds or downloads the programs.
    pub(super) fn programs() -> Result<Programs> {
        Programs::find(
            &["krb5kdc", "kdb5_util", "kadmin.local", "kinit"],
            &["krb5-kdc", "krb5-admin-server", "krb5-user"],
            "kerberos",
        )
        .context("the programs of a Kerberos KDC are missing")
    }

    /// Makes the realm below `home`.
    pub(super) fn create(programs: Programs, user: &User, home: &Path) -> Result<Self> {
        let (dir, clients) = (home.join("kdc"), home.join("kerberos"));
        for dir in [&dir, &clients] {
            fs::create_dir(dir)?;
            open_to_all(dir)?;
        }
        user.own(&dir)?;
        let kdc = Self { programs, user: *user, dir, clients };
        kdc.configure(0)?;
        let mut create = kdc.program("kdb5_util");
        process::read(create.args(["create", "-s", "-r", REALM, "-P", PASSWORD]))?;
        kdc.add_principals()?;
        Ok(kdc)
    }

    /// Adds the principals, and writes the service's key table.
    fn add_principals(&self) -> Result<()> {
        let keytab = keytab(&self.dir);
        let requests = format!(
            "addprinc -pw {PASSWORD} gss\naddprinc -pw {PASSWORD} somebody\n\
             addprinc -randkey postgres/localhost\nktadd -k {} postgres/localhost\n",
            keytab.display()
        );
        let mut kadmin = self.program("kadmin.local");
        let output = process::capture(kadmin.args(["-r", REALM]), &requests)?;
        // kadmin.local ends with success even when a request fails.
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && keytab.exists(), "cannot make the principals: {said}");
        Ok(())
    }

    /// Writes the configuration of clients and server for this port.
    fn configure(&self, port: u16) -> Result<()> {
        let modules = match self.programs.libraries() {
            Some(libraries) => {
                format!("[dbmodules]\ndb_module_dir = {}/krb5/plugins/kdb\n", libraries.display())
            }
            None => String::new(),
        };
        let dir = self.dir.display();
        let client = format!(
            "[libdefaults]
default_realm = {REALM}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
# TCP for everything: a datagram that is lost is waited for by the clock.
udp_preference_limit = 1
[realms]
{REALM} = {{
  kdc = 127.0.0.1:{port}
}}
[domain_realm]
localhost = {REALM}
"
        );
        let server = format!(
            "[kdcdefaults]
kdc_listen = \"\"
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{REALM} = {{
  database_name = {dir}/principal
  key_stash_file = {dir}/stash
  acl_file = {dir}/acl
}}
[logging]
kdc = STDERR
{modules}"
        );
        let write = |path: &Path, text: &str| {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        write(&self.clients.join("krb5.conf"), &client)?;
        write(&self.dir.join("kdc.conf"), &server)
    }

    /// The command for one of the programs, run as the servers' user.
    fn program(&self, name: &str) -> Command {
        let mut command = self.programs.command(name);
        command.env("KRB5_CONFIG", self.clients.join("krb5.conf"));
        command.env("KRB5_KDC_PROFILE", self.dir.join("kdc.conf"));
        self.user.take(&mut command);
        command
    }
}

/// The key table of `postgres/localhost` in the KDC's directory.
fn keytab(dir: &Path) -> PathBuf {
    dir.join("postgres.keytab")
}

/// The settings of a server with GSSAPI, as lines of `postgresql.conf`.
pub(super) fn configuration(home: &Path) -> String {
    format!("\nkrb_server_keyfile = 'FILE:{}'\n", keytab(&home.join("kdc")).display())
}

/// The environment of a server with GSSAPI. It replaces the system's realm, and keeps the replay cache in the run's directory.
pub(super) fn server_environment(home: &Path) -> [(&'static str, String); 2] {
    [
        ("KRB5_CONFIG", home.join("kerberos/krb5.conf").display().to_string()),
        ("KRB5RCACHENAME", format!("file2:{}", home.join("kdc/replays").display())),
    ]
}

impl Serve for Kdc {
    const KIND: Kind = daemon::KDC;

    fn name(&self) -> String {
        "the KDC".into()
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn command(&self, port: u16) -> Result<Command> {
        self.configure(port)?;
        let mut krb5kdc = self.program("krb5kdc");
        krb5kdc.args(["-n", "-r", REALM, "-P"]).arg(self.dir.join(Self::KIND.pid_file()));
        Ok(krb5kdc)
    }

    fn answers(&self, port: u16) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    }
}

impl Daemon<Kdc> {
    /// Gets the tickets of clients. Precondition: the KDC serves.
    pub(super) fn get_tickets(&self) -> Result<()> {
        for (principal, cache) in [("gss", "gss.ccache"), ("somebody", "somebody.ccache")] {
            // Run as ourselves, so that the credential cache belongs to us.
            let mut kinit = self.of().programs.command("kinit");
            kinit.env("KRB5_CONFIG", self.of().clients.join("krb5.conf"));
            kinit.arg("-c").arg(self.of().clients.join(cache)).arg(principal);
            let output = process::capture(&mut kinit, &format!("{PASSWORD}\n"))?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "`{}` failed: {}\n{said}",
                process::shown(&kinit),
                output.status
            );
        }
        Ok(())
    }

    /// The environment that names the files for clients.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let clients = &self.of().clients;
        [
            ("PG_KRB5_KDC_ADDR", self.address().to_string()),
            ("PG_KRB5_CONFIG", clients.join("krb5.conf").display().to_string()),
            ("PG_KRB5_CCACHE", clients.join("gss.ccache").display().to_string()),
            ("PG_KRB5_CCACHE_SOMEBODY", clients.join("somebody.ccache").display().to_string()),
            ("PG_KRB5_SERVER_KEYTAB", keytab(&self.of().dir).display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
