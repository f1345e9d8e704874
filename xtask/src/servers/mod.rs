//! Throwaway PostgreSQL servers: found or fetched, set up, started, and gone when we are, whatever ends us.
//!
//! | what ends us | what stops the servers and removes their files |
//! | --- | --- |
//! | success, an error, a panic | [`Servers`] is dropped |
//! | Ctrl-C, SIGTERM, SIGHUP | [`crate::interrupt`] turns them into an error |
//! | SIGKILL, or anything else | the watcher ([`watch`]), whose standard input ends with us |
//! | the machine | nothing, so the next start clears what a dead owner left ([`home`]) |

mod binaries;
mod certificates;
mod cluster;
mod fetch;
mod hba;
mod home;
mod server;
mod user;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, bail};

use binaries::Binaries;
pub(crate) use binaries::install;
use certificates::Certificates;
use cluster::Cluster;
use home::Home;
use server::Server;
use user::User;

/// PostgreSQL's major version.
pub(crate) type Major = u8;

/// The oldest server the tests run against.
pub(crate) const V15: Major = 15;

/// The newest one: protocol 3.2, direct TLS.
pub(crate) const V18: Major = 18;

/// Running servers. Dropping this stops them and removes their files.
#[derive(Debug)]
pub(crate) struct Servers {
    // Dropped in this order: a server is stopped before its directory goes.
    servers: Vec<Server>,
    certificates: Certificates,
    _home: Home,
}

impl Servers {
    /// Starts every version that the tests need.
    pub(crate) fn start_both() -> Result<Self> {
        Self::start(&[V15, V18])
    }

    /// Starts a server of each of these versions, side by side.
    pub(crate) fn start(majors: &[Major]) -> Result<Self> {
        if !cfg!(target_os = "linux") {
            bail!(
                "servers are started on Linux only: elsewhere nobody has tried, and /proc tells whose process is whose"
            );
        }
        home::sweep();
        let home = Home::new()?;
        let user = User::find()?;
        // Neither apt-get nor a user's patience likes two installations at once, and usually there is none.
        let mut found = Vec::new();
        for &major in majors {
            let binaries = Binaries::find(major)
                .and_then(|binaries| binaries.within_reach(&user, home.path()))
                .with_context(|| format!("PostgreSQL {major} is missing"))?;
            found.push((major, binaries));
        }
        Certificates::prepare()?;
        let certificates = Certificates::below(home.path());
        let (clusters, made) = thread::scope(|scope| {
            let (home, user, certificates) = (home.path(), &user, &certificates);
            let made = scope.spawn(move || certificates.create(user).context("cannot make the certificates"));
            let create = |(major, binaries): (Major, Binaries)| {
                eprintln!(
                    "xtask: setting up PostgreSQL {major} in {}",
                    home.join(major.to_string()).display()
                );
                scope.spawn(move || {
                    Cluster::create(major, binaries, user, home)
                        .with_context(|| format!("cannot set up PostgreSQL {major}"))
                })
            };
            // Collected in between, or each would be waited for before the next one is begun.
            let threads: Vec<_> = found.into_iter().map(create).collect();
            let joined =
                |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            let clusters: Vec<_> = threads.into_iter().map(joined).collect();
            (clusters, made.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        made?;
        let mut servers = Self { servers: Vec::new(), certificates, _home: home };
        for cluster in clusters {
            servers.servers.push(Server::start(cluster?)?);
        }
        for server in &mut servers.servers {
            server.wait_until_ready()?;
            eprintln!("xtask: PostgreSQL {} is ready on {}", server.major(), server.address());
        }
        Ok(servers)
    }

    /// What tells a test where the servers are.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = |server: &Server| {
            let prefix = format!("PG{}", server.major());
            [
                (format!("{prefix}_ADDR"), server.address().to_string()),
                (format!("{prefix}_SOCKET_DIR"), server.socket_dir().display().to_string()),
                (format!("{prefix}_URL"), format!("postgres://scram:scram-secret@{}/test", server.address())),
            ]
        };
        let servers = self.servers.iter().flat_map(variables);
        // In front: who waits for the last variable of the last server then has all.
        self.certificates.environment().into_iter().chain(servers).collect()
    }

    /// The first of the versions asked for.
    pub(crate) fn first(&self) -> Result<&Server> {
        self.servers.first().context("no server was asked for")
    }

    /// An error when a server has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.servers.iter_mut().try_for_each(Server::check)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // All are asked before one is waited for.
        self.servers.iter_mut().for_each(Server::ask_to_stop);
    }
}

/// Waits until standard input ends, which is when the process that started this one has ended, then clears its directory.
pub(crate) fn watch(dir: &Path) -> Result<ExitCode> {
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    home::clear(dir)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets everybody, so also the servers' user, into a directory.
fn open_to_all(dir: &Path) -> Result<()> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot open {}", dir.display()))
}
