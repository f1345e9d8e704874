//! The Kerberos realm of one run of xtask: MIT's `krb5kdc`, its database, and the keys and tickets that tests need.
//!
//! The realm has three principals: `gss`, which is also a role of PostgreSQL; `somebody`, which is not a role; and the service
//! `postgres/localhost`. The environment has these variables:
//!
//! | variable | content |
//! | --- | --- |
//! | `PG_KRB5_KDC_ADDR` | TCP address and port of the KDC |
//! | `PG_KRB5_CONFIG` | the realm's configuration, for the variable `KRB5_CONFIG` of a client |
//! | `PG_KRB5_CCACHE` | credential cache of `gss`, for the variable `KRB5CCNAME` of a client |
//! | `PG_KRB5_CCACHE_SOMEBODY` | credential cache of `somebody` |
//! | `PG_KRB5_SERVER_KEYTAB` | key table of `postgres/localhost`, which only the servers' user may read |
//!
//! `KRB5_CONFIG` and `KRB5CCNAME` themselves are not set. If both were set, libpq would ask every server on TCP for GSSAPI encryption.

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

/// The files of a Kerberos realm. The KDC, the server of the realm, need not be running.
#[derive(Debug)]
pub(super) struct Kdc {
    programs: Programs,
    user: User,
    /// The directory that contains the database and the key table. The servers' user owns this directory.
    dir: PathBuf,
    /// The directory that contains the files for clients. The user that runs xtask owns this directory.
    clients: PathBuf,
}

impl Kdc {
    /// Finds or downloads the Kerberos programs.
    pub(super) fn programs() -> Result<Programs> {
        Programs::find(
            &["krb5kdc", "kdb5_util", "kadmin.local", "kinit"],
            &["krb5-kdc", "krb5-admin-server", "krb5-user"],
            "kerberos",
        )
        .context("the programs of a Kerberos KDC are missing")
    }

    /// Makes the realm in `home`.
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
        // kadmin.local exits with success even if a request has failed. So the test is whether the key table exists: the last request
        // writes the key table, and fails if the principal of the service was not added.
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && keytab.exists(), "cannot make the principals: {stderr}");
        Ok(())
    }

    /// Writes the configuration files of the clients and of the KDC. `port` is the port of the KDC.
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
# Always TCP: after a lost datagram, a client would wait for a timeout.
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

    /// The command that runs one of the Kerberos programs as the servers' user.
    fn program(&self, name: &str) -> Command {
        let mut command = self.programs.command(name);
        command.env("KRB5_CONFIG", self.clients.join("krb5.conf"));
        command.env("KRB5_KDC_PROFILE", self.dir.join("kdc.conf"));
        self.user.take(&mut command);
        command
    }
}

/// The path of the key table of `postgres/localhost` in the KDC's directory.
fn keytab(dir: &Path) -> PathBuf {
    dir.join("postgres.keytab")
}

/// The settings of a server with GSSAPI, as lines of `postgresql.conf`.
pub(super) fn configuration(home: &Path) -> String {
    format!("\nkrb_server_keyfile = 'FILE:{}'\n", keytab(&home.join("kdc")).display())
}

/// The environment of a server with GSSAPI: the configuration of this realm, and the file of Kerberos' replay cache.
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
    /// Gets the tickets of the clients. Precondition: the KDC is ready.
    pub(super) fn get_tickets(&self) -> Result<()> {
        for (principal, cache) in [("gss", "gss.ccache"), ("somebody", "somebody.ccache")] {
            // `kinit` does not run as the servers' user, because the owner of the credential cache must be the user that runs xtask.
            let mut kinit = self.of().programs.command("kinit");
            kinit.env("KRB5_CONFIG", self.of().clients.join("krb5.conf"));
            kinit.arg("-c").arg(self.of().clients.join(cache)).arg(principal);
            let output = process::capture(&mut kinit, &format!("{PASSWORD}\n"))?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success(),
                "`{}` failed: {}\n{stderr}",
                process::shown(&kinit),
                output.status
            );
        }
        Ok(())
    }

    /// The environment variables with the paths of the files for clients.
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
