//! Helpers for the tests of programs: the addresses of the servers, and functions that run a program to its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Time limit of a program. A program that takes longer is killed. On an idle machine, the slowest program takes a second.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A PostgreSQL server for tests: its version and its addresses.
#[derive(Debug)]
pub(crate) struct Server {
    /// Major version of PostgreSQL.
    pub(crate) major: u8,
    /// TCP address of the server.
    pub(crate) address: SocketAddr,
    /// Directory of the server's Unix-domain socket.
    pub(crate) socket_dir: String,
}

impl Server {
    /// Returns PostgreSQL 15 and 18. Panics if the environment does not contain their addresses, so that no test is skipped silently.
    pub(crate) fn both() -> [Self; 2] {
        [15, 18].map(|major| {
            let variable = |name: &str| {
                let name = format!("PG{major}_{name}");
                std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
            };
            let address = variable("ADDR").parse().expect("an address and a port");
            Self { major, address, socket_dir: variable("SOCKET_DIR") }
        })
    }

    /// Returns a connection string for TCP and the role `scram`, which authenticates with SCRAM.
    pub(crate) fn by_tcp(&self) -> String {
        format!("postgres://scram:scram-secret@{}/test", self.address)
    }

    /// Returns a connection string for the Unix-domain socket and the role `scram`.
    pub(crate) fn by_socket(&self) -> String {
        let (dir, port) = (self.socket_dir.replace('/', "%2F"), self.address.port());
        format!("postgres://scram:scram-secret@{dir}:{port}/test")
    }
}

/// A running program that listens on a free port. Dropping this value kills the program.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) child: Child,
    /// The address that the program listens on.
    pub(crate) address: SocketAddr,
    /// Lines that the program has written to standard error after the line with the address.
    said: Mutex<mpsc::Receiver<String>>,
}

impl Listening {
    /// Starts the program, and waits for its line `listening on ADDRESS` on standard error.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let line = lines.next().expect("the line with the address").expect("the program writes UTF-8");
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        let (send, said) = mpsc::channel();
        // A thread reads all lines, because a full pipe would stop the program.
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, address: address.parse().expect("an address"), said: said.into() }
    }

    /// Waits for the next line that the program writes to standard error.
    #[track_caller]
    pub(crate) fn next_line(&self) -> String {
        self.said.lock().expect("no panic").recv_timeout(PATIENCE).expect("a line on standard error")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code and the output of a program that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal killed the program.
    pub(crate) code: Option<i32>,
    /// Text that the program has written to standard output.
    pub(crate) stdout: String,
    /// Text that the program has written to standard error.
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("programs write UTF-8");
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// Runs a program with these arguments, without the environment variable `DATABASE_URL`.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Ended {
    finish(Command::new(program).args(arguments).env_remove("DATABASE_URL"))
}

/// Runs a program to its end. A program that hangs is killed, and the test fails.
pub(crate) fn finish(command: &mut Command) -> Ended {
    output(command).into()
}

/// Does the same as [`finish`], but returns the output as bytes, which need not be UTF-8.
pub(crate) fn output(command: &mut Command) -> Output {
    let begun = Instant::now();
    output_unless(command, || {
        (begun.elapsed() > PATIENCE).then(|| format!("the program did not end within {PATIENCE:?}"))
    })
}

/// Runs a program to its end and returns its output. Calls `failure` once per second. If `failure` returns a reason, this function kills
/// the program and panics with the reason.
pub(crate) fn output_unless(command: &mut Command, mut failure: impl FnMut() -> Option<String>) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let pid = child.id();
    let (send, ended) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    loop {
        if let Ok(output) = ended.recv_timeout(Duration::from_secs(1)) {
            return output.expect("a program of ours can be waited for");
        }
        if let Some(reason) = failure() {
            let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            panic!("{reason} (kill: {killed:?}): {command:?}");
        }
    }
}

/// Waits for the end of a process. The caller must still call `Child::wait`, because this function does not read the exit status.
#[track_caller]
pub(crate) fn wait_for_end(child: &Child) {
    // The process descriptor (pidfd) becomes readable when the process ends.
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("our own child process");
    assert!(is_readable(&process), "the process does not end");
}

/// Waits until a descriptor is readable, or until the other end of its pipe or socket is closed. Returns false if [`PATIENCE`] has passed.
pub(crate) fn is_readable(descriptor: &impl AsFd) -> bool {
    let limit = Timespec::try_from(PATIENCE).expect("a short time");
    let ready = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit)).expect("a descriptor");
    ready == 1
}

/// Waits until the condition `so` is true. `what` describes the condition in the text of the panic.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "the condition did not become true: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
