//! Starts a server process on a free port, waits until it is ready, and stops it.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{interrupt, process};

/// Time limit for a daemon to become ready. On an idle machine, a daemon is ready after a tenth of a second; the limit is for a machine
/// under load.
const PATIENCE: Duration = Duration::from_secs(60);

/// The maximum number of ports that are tried for one daemon. Another process may take a port after xtask has chosen the port and before
/// the daemon calls `bind`.
const TRIES: usize = 5;

/// The time limit for a daemon to end after a signal. If the daemon takes longer, the next signal is sent.
const GRACE: Duration = Duration::from_secs(5);

/// Properties of a kind of daemon. A process needs these properties to find and stop a daemon that another process has started.
#[derive(Debug)]
pub(super) struct Kind {
    /// The path of the pid file, relative to the daemon's directory. The first line of the file is the process id.
    pid_file: &'static str,
    /// A path on the daemon's command line, which identifies the daemon's process among all processes. The path is in the daemon's
    /// directory, and this field is relative to that directory.
    argument: &'static str,
    /// The signal that makes the daemon close its connections and end at once.
    signal: Signal,
}

/// PostgreSQL's server program `postgres`. SIGINT is its fast shutdown: the program ends all sessions, writes a checkpoint and exits.
pub(super) const POSTGRES: Kind =
    Kind { pid_file: "data/postmaster.pid", argument: "data", signal: Signal::INT };

/// The program `krb5kdc`, which is the key distribution centre (KDC) of Kerberos.
pub(super) const KDC: Kind = Kind { pid_file: "krb5kdc.pid", argument: "krb5kdc.pid", signal: Signal::TERM };

/// The pooler `pgbouncer`. SIGINT is not used: after SIGINT, PgBouncer waits until its clients disconnect.
pub(super) const PGBOUNCER: Kind =
    Kind { pid_file: "pgbouncer.pid", argument: "pgbouncer.ini", signal: Signal::TERM };

/// The pooler `pgpool`. SIGINT is its fast shutdown. SIGTERM is not used: after SIGTERM, `pgpool` waits until its
/// clients disconnect.
pub(super) const PGPOOL: Kind = Kind { pid_file: "pgpool.pid", argument: "pgpool.conf", signal: Signal::INT };

/// Node.js with the socket server of PGlite. At SIGTERM, the socket server closes its connections and its database.
pub(super) const PGLITE: Kind = Kind {
    pid_file: "pglite.pid",
    argument: "node_modules/@electric-sql/pglite-socket/dist/scripts/server.js",
    signal: Signal::TERM,
};

const KINDS: [Kind; 5] = [POSTGRES, KDC, PGBOUNCER, PGPOOL, PGLITE];

impl Kind {
    /// The path of the pid file, relative to the daemon's directory.
    pub(super) fn pid_file(&self) -> &'static str {
        self.pid_file
    }

    /// The path, relative to the daemon's directory, that must be an argument of the daemon's command line.
    pub(super) fn argument(&self) -> &'static str {
        self.argument
    }

    /// The signals that stop a daemon of this kind, in order. The next signal is sent if the daemon has not ended after [`GRACE`].
    fn signals(&self) -> [Signal; 3] {
        [self.signal, Signal::QUIT, Signal::KILL]
    }
}

/// A program that can be started as a [`Daemon`]. Precondition: the program's directory exists and contains the program's files.
pub(super) trait Serve: Debug {
    /// The kind of daemon to which the program belongs.
    const KIND: Kind;

    /// The program's name for messages.
    fn name(&self) -> String;

    /// The path of the file for the program's standard output and standard error.
    fn log(&self) -> PathBuf;

    /// The command that starts the program on this port, in the foreground.
    fn command(&self, port: u16) -> Result<Command>;

    /// Whether the program answers on this port.
    fn answers(&self, port: u16) -> bool;
}

/// A running daemon. Dropping this value stops the daemon.
#[derive(Debug)]
pub(super) struct Daemon<S: Serve> {
    of: S,
    port: u16,
    child: Child,
    tries: usize,
}

impl<S: Serve> Daemon<S> {
    /// Starts the program. Does not wait until the program is ready.
    pub(super) fn start(of: S) -> Result<Self> {
        let (port, child) = spawn(&of)?;
        Ok(Self { of, port, child, tries: 1 })
    }

    /// The program that was started.
    pub(super) fn of(&self) -> &S {
        &self.of
    }

    /// The address and port that the daemon listens on.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Waits until the daemon is ready.
    pub(super) fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.of.answers(self.port) {
            interrupt::check()?;
            if let Err(error) = self.check() {
                // PostgreSQL and Node.js write this text with different capital letters, so the case is ignored.
                let taken = self.last_words().to_ascii_lowercase().contains("address already in use");
                if !taken || self.tries == TRIES {
                    return Err(error);
                }
                (self.port, self.child) = spawn(&self.of)?;
                self.tries += 1;
            }
            if Instant::now() > deadline {
                bail!("{} does not answer; its log ends:\n{}", self.of.name(), self.last_words());
            }
            thread::sleep(process::TICK);
        }
        eprintln!("xtask: {} is ready on {}", self.of.name(), self.address());
        Ok(())
    }

    /// Stops the program with this signal, and starts it again on the same port. Waits until the program is ready.
    pub(super) fn restart(&mut self, signal: Signal) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        if !self.ended() {
            self.signal(signal);
        }
        // A new process can fail at first: another process may have the port, or child processes of the stopped server may still run. So
        // the start is repeated until the deadline.
        loop {
            if self.ended() {
                self.child = spawn_on(&self.of, self.port)?;
            }
            while !self.ended() {
                interrupt::check()?;
                if Instant::now() > deadline {
                    bail!("{} does not restart; its log ends:\n{}", self.of.name(), self.last_words());
                }
                thread::sleep(process::TICK);
                if self.of.answers(self.port) {
                    return Ok(());
                }
            }
        }
    }

    /// Returns an error if the daemon has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended ({status}); its log ends:\n{}", self.of.name(), self.last_words())
            }
        }
    }

    /// Sends the first stop signal to the daemon without waiting, so that several daemons stop at the same time. `drop` waits for the
    /// daemon's end.
    pub(super) fn ask_to_stop(&mut self) {
        if !self.ended() {
            self.signal(S::KIND.signal);
        }
    }

    /// The last lines of the daemon's log, for an error text.
    fn last_words(&self) -> String {
        let log = fs::read(self.of.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Whether the daemon has ended.
    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the daemon. Precondition: the daemon has not [`ended`](Self::ended); after the daemon's end, the system may give
    /// the process id to another process.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = process::pid(&self.child) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl<S: Serve> Drop for Daemon<S> {
    fn drop(&mut self) {
        if self.ended() {
            return;
        }
        for signal in S::KIND.signals() {
            self.signal(signal);
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline {
                if self.ended() {
                    return;
                }
                thread::sleep(process::TICK);
            }
        }
        eprintln!("xtask: {} (process {}) does not stop after SIGKILL", self.of.name(), self.child.id());
    }
}

/// Starts the program on a free port.
fn spawn(of: &impl Serve) -> Result<(u16, Child)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    Ok((port, spawn_on(of, port)?))
}

/// Starts the program on this port.
fn spawn_on(of: &impl Serve, port: u16) -> Result<Child> {
    let log = File::create(of.log())?;
    let mut command = of.command(port)?;
    // The daemon gets its own process group, so that Ctrl-C reaches only xtask. xtask then stops the daemon.
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    command.spawn().with_context(|| format!("cannot start {}", of.name()))
}

/// Whether a server accepts a login. `startup` is a complete StartupMessage of a role that needs no password.
///
/// Connects to the Unix socket in `socket_dir`, because only this server has a socket there. The TCP port may belong to another process.
pub(super) fn accepts_login(socket_dir: &Path, port: u16, startup: &[u8]) -> bool {
    let connect = || -> io::Result<u8> {
        let mut stream = UnixStream::connect(socket_dir.join(format!(".s.PGSQL.{port}")))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(startup)?;
        let mut tag = [0];
        stream.read_exact(&mut tag)?;
        stream.write_all(TERMINATE)?;
        Ok(tag[0])
    };
    // `R` is the code of AuthenticationOk. A server that is still starting sends an ErrorResponse.
    matches!(connect(), Ok(b'R'))
}

/// The message Terminate. If a connection ends without Terminate, the server writes an error to its log.
const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// Stops every daemon whose directory is `dir`, including daemons that another process has started.
pub(super) fn stop_in(dir: &Path) {
    for kind in KINDS {
        let argument = dir.join(kind.argument);
        let pid_file = fs::read_to_string(dir.join(kind.pid_file)).unwrap_or_default();
        let Some(pid) = first_number(&pid_file) else { continue };
        for signal in kind.signals() {
            // This check is repeated before each signal: after the daemon's end, another process may get the daemon's process id.
            if !runs_with(pid, &argument) {
                break;
            }
            let _ = kill_process(pid, signal);
            let deadline = Instant::now() + GRACE;
            while runs_with(pid, &argument) && Instant::now() < deadline {
                thread::sleep(process::TICK);
            }
        }
    }
}

/// The process id in the first line of a pid file.
fn first_number(text: &str) -> Option<Pid> {
    // In single-user mode, `postgres` writes its process id with a minus sign.
    // Pgpool-II writes a zero byte after the number.
    let line = text.lines().next()?.trim_end_matches('\0');
    let number: i32 = line.trim().parse().ok()?;
    Pid::from_raw(number.checked_abs()?)
}

/// Whether a process with this process id and this command line argument is running.
fn runs_with(pid: Pid, argument: &Path) -> bool {
    let line = fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|word| word == argument.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::{KINDS, first_number, stop_in};
    use std::fs;
    use std::process::{Command, Stdio};

    #[test]
    fn the_process_id_is_read_from_the_first_line_of_a_pid_file() {
        let number = |text| first_number(text).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(number("41\n/tmp/data\n"), Some(41));
        assert_eq!(number("-41\n"), Some(41));
        assert_eq!(number("41\0"), Some(41));
        assert_eq!(number("0\n"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn each_kind_of_daemon_is_found_by_its_pid_file_and_argument_and_stopped() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("data")).expect("a directory");
        for kind in KINDS {
            // Starts a shell in place of the daemon. The shell has the argument on its command line and waits for input.
            let mut shell = Command::new("sh");
            shell.args(["-c", "read line"]).arg(dir.path().join(kind.argument)).stdin(Stdio::piped());
            let mut child = shell.spawn().expect("a shell");
            fs::write(dir.path().join(kind.pid_file), format!("{}\n", child.id())).expect("a file");
            let waiting = std::thread::spawn(move || child.wait());
            stop_in(dir.path());
            let status = waiting.join().expect("no panic").expect("our child");
            assert!(!status.success(), "{kind:?}");
            fs::remove_file(dir.path().join(kind.pid_file)).expect("removed");
        }
    }

    #[test]
    fn a_process_without_the_argument_is_not_stopped() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("data")).expect("a directory");
        for kind in KINDS {
            // The pid file contains the process id of this test program. If `stop_in` sent a signal, the signal would end the test.
            fs::write(dir.path().join(kind.pid_file), format!("{}\n", std::process::id())).expect("a file");
        }
        stop_in(dir.path());
    }
}
