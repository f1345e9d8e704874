//! Runs `pg-proxy` as a process: starts the process with a free port, reads its state from `/proc`, and stops it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::wait_for_end;

/// Time limit of every wait. On an idle machine, every wait ends within a few seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The interval between two checks of a condition that a test waits for.
const TICK: Duration = Duration::from_millis(5);

/// A running `pg-proxy`. Dropping this value kills the process.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
    trace: PathBuf,
}

/// The result of a `pg-proxy` that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    /// The exit code of the process; `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    /// Four numbers in the summary of the proxy: connections, decoded messages, messages that changed when they were encoded again, and
    /// connections that were not decoded.
    pub(crate) counts: [u64; 4],
    /// The number of malformed messages in the summary of the proxy.
    pub(crate) malformed: u64,
    /// The number of sessions in which `--check` has found an unexpected message, from the summary of the proxy.
    pub(crate) unexplained: u64,
    /// The lines that the proxy has written to standard error, without the first line (the address) and the last line (the summary).
    pub(crate) said: Vec<String>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, with `--check` and a trace.
    pub(crate) fn start(upstream: impl ToString) -> Self {
        Self::with(upstream, &["--check", "--trace", "TRACE"])
    }

    /// Starts a proxy in front of a scripted server at `upstream`, with a trace. `--check` is not used, because the replies of this server
    /// do not conform to the protocol.
    pub(crate) fn before_script(upstream: impl ToString) -> Self {
        Self::with(upstream, &["--trace", "TRACE"])
    }

    /// Starts a proxy with these command-line arguments. In the arguments, the path of a new file replaces the text `TRACE`.
    pub(crate) fn with(upstream: impl ToString, arguments: &[&str]) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_pg-proxy")), upstream, arguments)
    }

    /// Starts a proxy by `command`, for example by a shell. The arguments of the proxy are appended to the arguments of `command`.
    pub(crate) fn by(mut command: Command, upstream: impl ToString, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let trace = directory.path().join("trace");
        let listen = ["--listen", "127.0.0.1:0", "--upstream"];
        command.args(listen).arg(upstream.to_string());
        for argument in arguments {
            command.arg(argument.replace("TRACE", trace.to_str().expect("a path in UTF-8")));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let first = lines.next().expect("the line with the address").expect("in UTF-8");
        let address = first.strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}"));
        let address = address.parse().expect("an address");
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&said);
        let listener = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                keep.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, address, said, listener: Some(listener), _directory: directory, trace }
    }

    /// Returns the address on which the proxy listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects to the proxy.
    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Returns the trace that the proxy has written so far.
    pub(crate) fn trace(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.trace).unwrap_or_default()).into_owned()
    }

    /// Returns the path of the trace file.
    pub(crate) fn trace_file(&self) -> &Path {
        &self.trace
    }

    /// Returns the lines that the proxy has written to standard error so far, without the first line (the address).
    pub(crate) fn said(&self) -> MutexGuard<'_, Vec<String>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the process id of the proxy.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the resident memory of the proxy, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the program is running");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line with the memory");
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    }

    /// Returns the number of open file descriptors of the proxy.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the program is running").count()
    }

    /// Sends a signal to the proxy.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own process");
    }

    /// Stops the proxy by SIGTERM, and returns the result.
    pub(crate) fn stop(self) -> Stopped {
        self.stop_by(Signal::TERM)
    }

    /// Stops the proxy by this signal, and returns the result.
    pub(crate) fn stop_by(self, signal: Signal) -> Stopped {
        self.signal(signal);
        self.ended()
    }

    /// Waits for the end of the proxy, and returns the result.
    pub(crate) fn ended(mut self) -> Stopped {
        wait_for_end(&self.child);
        let status = self.child.wait().expect("our own child process");
        self.listener.take().expect("the server listens").join().expect("it does not panic");
        let mut said = std::mem::take(&mut *self.said());
        let summary = said.pop().expect("a summary");
        let words: Vec<&str> = summary.split(|c: char| c == ',' || c.is_ascii_digit()).collect();
        let words: Vec<&str> = words.into_iter().map(str::trim).filter(|word| !word.is_empty()).collect();
        let names = [
            "connections",
            "messages decoded",
            "malformed",
            "mismatches",
            "connections not decoded",
            "unexplained sessions",
        ];
        assert_eq!(words, names, "{summary}");
        let mut numbers = summary.split(", ").map(|part| part.split(' ').next().and_then(|n| n.parse().ok()));
        let [connections, decoded, malformed, mismatches, not_decoded, unexplained] =
            std::array::from_fn(|_| numbers.next().flatten().expect("a number"));
        let counts = [connections, decoded, mismatches, not_decoded];
        Stopped { code: status.code(), counts, malformed, unexplained, said }
    }

    /// Stops the proxy. Checks that the proxy has decoded every message, has encoded every message to the same bytes, and has printed no
    /// error. Returns the number of messages.
    #[track_caller]
    pub(crate) fn was_faithful(self) -> u64 {
        let Stopped {
            code,
            counts: [connections, decoded, mismatches, not_decoded],
            malformed,
            unexplained,
            said,
        } = self.stop();
        assert_eq!(
            (code, malformed, mismatches, not_decoded, unexplained, said),
            (Some(0), 0, 0, 0, 0, vec![])
        );
        assert!(connections > 0 && decoded > connections, "{connections} {decoded}");
        decoded
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connects to an address, with timeouts for reading and writing.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("an option");
    stream
}

/// Waits until the condition `so` is true. `what` names the condition in the text of the panic.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(TICK);
    }
}

/// Whether these bytes are in the writable memory of a process.
pub(crate) fn remembers(pid: u32, secret: &[u8]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the program is running");
    let memory = fs::File::open(format!("/proc/{pid}/mem")).expect("our own child process");
    maps.lines().any(|line| {
        let mut fields = line.split(' ');
        let range = fields.next().and_then(|range| range.split_once('-')).expect("a range");
        let writable = fields.next().is_some_and(|mode| mode.starts_with("rw"));
        let [start, end] =
            [range.0, range.1].map(|bound| u64::from_str_radix(bound, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(end - start).expect("a size that fits")];
        writable
            && memory.read_exact_at(&mut bytes, start).is_ok()
            && bytes.windows(secret.len()).any(|window| window == secret)
    })
}
