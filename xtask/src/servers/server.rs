//! A running `postgres`: started on a free port, known to answer, and stopped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, kill_process};

use super::Major;
use super::cluster::Cluster;
use crate::{interrupt, process};

/// How long a server may take to answer; it takes a tenth of a second on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many ports are tried: somebody else may take one between our look and the server's.
const TRIES: usize = 5;

/// A running server. Dropping this stops it.
#[derive(Debug)]
pub(crate) struct Server {
    cluster: Cluster,
    port: u16,
    child: Child,
    tries: usize,
}

impl Server {
    /// Starts the server, without waiting for it.
    pub(crate) fn start(cluster: Cluster) -> Result<Self> {
        let (port, child) = spawn(&cluster)?;
        Ok(Self { cluster, port, child, tries: 1 })
    }

    /// The server's version.
    pub(crate) fn major(&self) -> Major {
        self.cluster.major
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The directory of its Unix socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.cluster.dir
    }

    /// Waits until the server lets somebody in.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.lets_in() {
            interrupt::check()?;
            if let Err(error) = self.check() {
                let taken = self.cluster.last_words().contains("Address already in use");
                if !taken || self.tries == TRIES {
                    return Err(error);
                }
                (self.port, self.child) = spawn(&self.cluster)?;
                self.tries += 1;
            }
            if Instant::now() > deadline {
                bail!(
                    "PostgreSQL {} does not answer; its log ends:\n{}",
                    self.major(),
                    self.cluster.last_words()
                );
            }
            thread::sleep(process::TICK);
        }
        Ok(())
    }

    /// An error when the server has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = self.cluster.last_words();
                bail!("PostgreSQL {} ended ({status}); its log ends:\n{log}", self.major())
            }
        }
    }

    /// Does a start-up for the role `trust` succeed? Asked by the socket, which nobody else can have taken, unlike the port.
    fn lets_in(&self) -> bool {
        let greet = || -> std::io::Result<u8> {
            let mut stream = UnixStream::connect(self.cluster.dir.join(format!(".s.PGSQL.{}", self.port)))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(STARTUP)?;
            let mut tag = [0];
            stream.read_exact(&mut tag)?;
            stream.write_all(TERMINATE)?;
            Ok(tag[0])
        };
        // While it starts it answers too, but with an error.
        matches!(greet(), Ok(b'R'))
    }

    /// Asks the server to stop, so that several can do so at once; dropping this waits.
    pub(crate) fn ask_to_stop(&mut self) {
        if !self.ended() {
            self.signal(Signal::INT);
        }
    }

    /// Has the server ended?
    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Signals the server, which has not [`ended`](Self::ended): from then on its number may be somebody else's.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = process::pid(&self.child) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ended() {
            return;
        }
        for (signal, patience) in STOPPING {
            self.signal(signal);
            let deadline = Instant::now() + patience;
            while Instant::now() < deadline {
                if self.ended() {
                    return;
                }
                thread::sleep(process::TICK);
            }
        }
        eprintln!("xtask: PostgreSQL {} does not stop (process {})", self.major(), self.child.id());
    }
}

/// How a server is stopped, and how long each way may take: fast (sessions are ended), immediate, and by force.
pub(super) const STOPPING: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(5)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// StartupMessage: length, protocol 3.0, `user` and `database`, in a crate that must not depend on the one it tests.
const STARTUP: &[u8] = b"\0\0\0\x26\0\x03\0\0user\0trust\0database\0postgres\0\0";

/// Terminate, so that the server's log has no word of a lost client.
const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// Starts `postgres` on a port that is free right now.
fn spawn(cluster: &Cluster) -> Result<(u16, Child)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let log = File::create(cluster.log())?;
    let mut postgres = cluster.binaries.command("postgres");
    postgres.arg("-D").arg(cluster.data()).args(["-p", &port.to_string()]);
    // A group of its own: Ctrl-C is for us, and we stop the server when we are done with it.
    postgres.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let child = cluster.user.take(&mut postgres).spawn().context("cannot start postgres")?;
    Ok((port, child))
}

#[cfg(test)]
mod tests {
    use super::STARTUP;

    #[test]
    fn the_startup_message_is_as_long_as_it_says() {
        assert_eq!(usize::from(STARTUP[3]), STARTUP.len());
    }
}
