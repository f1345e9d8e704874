//! Starts temporary PostgreSQL servers, and stops them when xtask ends for any reason.
//!
//! | xtask is ended by | the servers are stopped and their files removed by |
//! | --- | --- |
//! | success, an error, a panic | the `drop` of [`Servers`] |
//! | Ctrl-C, SIGTERM, SIGHUP | the `drop` of [`Servers`], because [`crate::interrupt`] turns the signal into an error |
//! | SIGKILL or a crash | the watcher ([`watch`]), whose standard input ends when xtask ends |
//! | a crash of the machine | the next run, which clears the directories of ended processes ([`home`]) |
//!
//! Tests find the servers by environment variables. There is a `PG18_…` for each `PG15_…`:
//!
//! | variable | content |
//! | --- | --- |
//! | `PG15_ADDR` | IPv4 address and port, for TCP without TLS and with TLS 1.2 and 1.3 |
//! | `PG15_SOCKET_DIR` | directory of the Unix socket; the port is part of the socket's name |
//! | `PG15_URL` | connection string for the role `scram` and the database `test` over TCP |
//! | `PG15_SERVER_BIN` | directory of `postgres` and `initdb`; they need `../lib`, and must run as the owner of the socket directory |
//! | `PG15_SPARE_ADDR`, `PG15_SPARE_SOCKET_DIR` | a second server with the same settings, which one test at a time may change |
//! | `PG_TLS_…`, `PG_CLIENT_…` | [`certificates`] |
//! | `PG_KRB5_…` | [`kdc`] |
//! | `PG_OAUTH_…` | [`oauth`] |
//! | `PGBOUNCER_…` | [`pooler`] |
//! | `PGPOOL_…` | [`pgpool`] |
//! | `PGLITE_…` | [`pglite`] |
//!
//! [`crate::clients`] has the client programs. [`hba`] has the roles and their authentication methods on each kind of link.

mod binaries;
mod certificates;
mod cluster;
mod daemon;
mod debian;
mod fetch;
mod hba;
mod home;
mod kdc;
mod npm;
mod oauth;
mod pglite;
mod pgpool;
mod pooler;
mod user;

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use binaries::Binaries;
pub(crate) use binaries::{Major, V15, V18};
use certificates::Certificates;
use cluster::{Cluster, Special};
use daemon::Daemon;
use debian::Programs;
pub(crate) use debian::install;
pub(crate) use hba::ADMIN;
use home::Home;
use kdc::Kdc;
use pglite::Pglite;
use pgpool::Pgpool;
use pooler::Pooler;
use user::User;

/// The kind of a shutdown, as in `pg_ctl stop -m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Ends all sessions and writes a checkpoint.
    Fast,
    /// Ends all processes at once, as in a crash.
    Immediate,
}

/// Running servers. Dropping this value stops the servers and removes their files.
#[derive(Debug)]
pub(crate) struct Servers {
    // Fields are dropped in this order: first each daemon that connects to another daemon, then the other daemons, at last the directory.
    pooler: Option<Daemon<Pooler>>,
    pgpool: Option<Daemon<Pgpool>>,
    pglite: Option<Daemon<Pglite>>,
    servers: Vec<Daemon<Cluster>>,
    spares: Vec<Daemon<Cluster>>,
    kdc: Option<Daemon<Kdc>>,
    certificates: Certificates,
    _home: Home,
}

impl Servers {
    /// Starts two servers: PostgreSQL 15 and 18.
    pub(crate) fn start_both() -> Result<Self> {
        Self::launch(&[V15, V18], None)
    }

    /// Starts one server of each version in `majors`.
    pub(crate) fn start(majors: &[Major]) -> Result<Self> {
        Self::launch(majors, None)
    }

    /// Starts everything that tests need: PostgreSQL 15 with a KDC, PostgreSQL 18 with an OAuth validator, PgBouncer and Pgpool-II in front
    /// of PostgreSQL 15, and PGlite.
    ///
    /// `headers` is the directory of the server headers of PostgreSQL 18.
    pub(crate) fn start_for_tests(headers: &Path) -> Result<Self> {
        Self::launch(&[V15, V18], Some(headers))
    }

    fn launch(majors: &[Major], for_tests: Option<&Path>) -> Result<Self> {
        if !cfg!(target_os = "linux") {
            bail!(
                "servers can be started on Linux only: xtask reads /proc to find the processes of earlier runs"
            );
        }
        home::sweep();
        let home = Home::new()?;
        let user = User::find()?;
        // The programs are found one after the other, because apt-get allows only one installation at a time. Usually nothing has to be
        // installed.
        let mut found = Vec::new();
        for &major in majors {
            let binaries = Binaries::find(major)
                .and_then(|binaries| binaries.within_reach(&user, home.path()))
                .with_context(|| format!("PostgreSQL {major} is missing"))?;
            found.push((major, binaries));
        }
        Certificates::prepare()?;
        let reachable = |programs: Programs| programs.within_reach(&user, home.path());
        let kerberos = for_tests.map(|_| reachable(Kdc::programs()?)).transpose()?;
        let pgbouncer = for_tests.map(|_| reachable(Pooler::programs()?)).transpose()?;
        let pgpool = for_tests.map(|_| reachable(Pgpool::programs()?)).transpose()?;
        let pglite = for_tests.map(|_| Pglite::prepare()).transpose()?;

        let certificates = Certificates::below(home.path());
        let (made, kdc, pglite, clusters) = thread::scope(|scope| {
            let (home, user, certificates) = (home.path(), &user, &certificates);
            // All threads are started before the first `join`, so that they run at the same time.
            let made = scope.spawn(move || certificates.create(user).context("cannot make the certificates"));
            let kdc = kerberos.map(|programs| {
                scope.spawn(move || {
                    Kdc::create(programs, user, home).context("cannot make the Kerberos realm")
                })
            });
            // PGlite needs no other server. It starts while the other servers are set up.
            let pglite = pglite.map(|prepared| {
                scope.spawn(move || {
                    Daemon::start(Pglite::create(prepared, home).context("cannot set up PGlite")?)
                })
            });
            let create = |(major, binaries): (Major, Binaries)| {
                eprintln!(
                    "xtask: setting up PostgreSQL {major} in {}",
                    home.join(major.to_string()).display()
                );
                scope.spawn(move || {
                    let special = for_tests.and_then(|headers| special(major, headers, home).transpose());
                    let cluster = Cluster::create(major, binaries, user, home, special.transpose()?);
                    let cluster = cluster.with_context(|| format!("cannot set up PostgreSQL {major}"))?;
                    let spare = for_tests.map(|_| cluster.spare()).transpose()?;
                    anyhow::Ok((cluster, spare))
                })
            };
            let clusters: Vec<_> = found.into_iter().map(create).collect();
            (
                joined(made),
                kdc.map(joined),
                pglite.map(joined),
                clusters.into_iter().map(joined).collect::<Vec<_>>(),
            )
        });
        made?;

        let mut servers = Self {
            pooler: None,
            pgpool: None,
            pglite: pglite.transpose()?,
            servers: Vec::new(),
            spares: Vec::new(),
            kdc: None,
            certificates,
            _home: home,
        };
        for clusters in clusters {
            let (cluster, spare) = clusters?;
            servers.servers.push(Daemon::start(cluster)?);
            servers.spares.extend(spare.map(Daemon::start).transpose()?);
        }
        if let Some(kdc) = kdc.transpose()? {
            let kdc = servers.kdc.insert(Daemon::start(kdc)?);
            kdc.wait_until_ready()?;
            kdc.get_tickets()?;
        }
        servers.servers.iter_mut().chain(&mut servers.spares).try_for_each(Daemon::wait_until_ready)?;
        let home = servers._home.path();
        if let (Some(pgbouncer), Some(pgpool), Some(server)) = (pgbouncer, pgpool, servers.servers.first()) {
            let pooler = Pooler::create(pgbouncer, server, &servers.certificates, home)?;
            let pooler = servers.pooler.insert(Daemon::start(pooler)?);
            let pgpool = servers.pgpool.insert(Daemon::start(Pgpool::create(pgpool, server, home)?)?);
            pooler.wait_until_ready()?;
            pgpool.wait_until_ready()?;
        }
        servers.pglite.iter_mut().try_for_each(Daemon::wait_until_ready)?;
        Ok(servers)
    }

    /// The environment variables for tests. The documentation of this module lists the variables.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let place = |prefix: String, server: &Daemon<Cluster>| {
            [
                (format!("{prefix}_ADDR"), server.address().to_string()),
                (format!("{prefix}_SOCKET_DIR"), server.of().dir.display().to_string()),
            ]
        };
        let mut all = self.certificates.environment();
        all.extend(self.kdc.iter().flat_map(Daemon::<Kdc>::environment));
        all.extend(self.pooler.iter().flat_map(Daemon::<Pooler>::environment));
        all.extend(self.pgpool.iter().flat_map(Daemon::<Pgpool>::environment));
        all.extend(self.pglite.iter().flat_map(Daemon::<Pglite>::environment));
        if self.kdc.is_some() {
            all.extend(oauth::environment());
        }
        for spare in &self.spares {
            all.extend(place(format!("PG{}_SPARE", spare.of().major), spare));
        }
        // The variables of the PostgreSQL servers are the last in this list. So a program that reads the output of `xtask serve` up to
        // `PG18_URL` has read the variables of all servers.
        for server in &self.servers {
            let prefix = format!("PG{}", server.of().major);
            all.extend(place(prefix.clone(), server));
            let programs = server.of().binaries.directory();
            all.push((format!("{prefix}_SERVER_BIN"), programs.display().to_string()));
            all.push((
                format!("{prefix}_URL"),
                format!("postgres://scram:scram-secret@{}/test", server.address()),
            ));
        }
        all
    }

    /// The address and port of the first server.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.servers.first().context("no server was started")?.address())
    }

    /// The addresses of all servers, in the order of their versions.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers.iter().map(Daemon::address)
    }

    /// Stops the server with this number (counted from 0), and starts the server again on the same port.
    pub(crate) fn restart(&mut self, server: usize, how: Shutdown) -> Result<()> {
        let server = self.servers.get_mut(server).context("there is no server with this number")?;
        server.restart(match how {
            Shutdown::Fast => Signal::INT,
            Shutdown::Immediate => Signal::QUIT,
        })
    }

    /// Returns an error if one of the daemons has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.servers.iter_mut().chain(&mut self.spares).try_for_each(Daemon::check)?;
        self.kdc.iter_mut().try_for_each(Daemon::check)?;
        self.pooler.iter_mut().try_for_each(Daemon::check)?;
        self.pgpool.iter_mut().try_for_each(Daemon::check)?;
        self.pglite.iter_mut().try_for_each(Daemon::check)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // All daemons receive the stop signal here, so that they stop at the same time. Later, the `drop` of each field waits for the end
        // of its daemon.
        self.pooler.iter_mut().for_each(Daemon::ask_to_stop);
        self.pgpool.iter_mut().for_each(Daemon::ask_to_stop);
        self.pglite.iter_mut().for_each(Daemon::ask_to_stop);
        self.servers.iter_mut().chain(&mut self.spares).for_each(Daemon::ask_to_stop);
        self.kdc.iter_mut().for_each(Daemon::ask_to_stop);
    }
}

/// The authentication method that only the version `major` supports, with its settings.
fn special(major: Major, headers: &Path, home: &Path) -> Result<Option<Special>> {
    Ok(match major {
        V15 => Some(Special {
            method: "gss",
            settings: kdc::configuration(home),
            environment: kdc::server_environment(home).into(),
        }),
        // This build of PostgreSQL 18 has no GSSAPI.
        V18 => Some(Special {
            method: "oauth",
            settings: oauth::validator(headers, home)?,
            environment: Vec::new(),
        }),
        _ => None,
    })
}

/// Waits for a thread. Returns its value, or continues its panic.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Waits until standard input ends, which means that the parent process has ended. Then clears `dir`, the directory of the parent's
/// servers.
pub(crate) fn watch(dir: &Path) -> Result<ExitCode> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    home::clear(dir)?;
    Ok(ExitCode::SUCCESS)
}
