//! Tests of the start of `pg-proxy`: its addresses and files, and errors that prevent the start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Proxy, until};
use crate::support::run;
use crate::wire::{Client, polite_server};

/// A `pg-proxy` that listens on a Unix-domain socket. Dropping this value kills the process.
struct OnSocket(Child);

impl OnSocket {
    fn start(listen: &Path, upstream: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pg-proxy"));
        command.arg("--listen").arg(listen).args(["--upstream", upstream]).args(more);
        Self(command.stderr(Stdio::null()).spawn().expect("the program starts"))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("our own process");
    }

    fn stop(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.0.wait().expect("the program can be waited for").code()
    }
}

impl Drop for OnSocket {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

/// Returns the names of the files in a directory.
fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[test]
fn a_unix_socket_is_served_and_removed_at_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(".s.PGSQL.6432");
    let inner = Proxy::start(polite_server());
    let mut outer = OnSocket::start(&path, &inner.address().to_string(), &[]);
    until("it listens", || answers(&path));
    assert_eq!(mode(&path), 0o777, "independent of the umask, as with PostgreSQL");
    let front = Proxy::start(path.display());
    Client::let_in(front.address()).is_served();
    assert_eq!(outer.stop(Signal::TERM), Some(0));
    assert_eq!(files(directory.path()), [""; 0]);
}

#[test]
fn the_mode_of_a_unix_socket_can_be_set() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let _proxy = OnSocket::start(&path, "127.0.0.1:1", &["--listen-mode", "0700"]);
    until("it listens", || answers(&path));
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn the_socket_of_a_killed_process_is_replaced_and_a_socket_in_use_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(".s.PGSQL.6432");
    let upstream = polite_server().to_string();
    let mut killed = OnSocket::start(&path, &upstream, &[]);
    until("it listens", || answers(&path));
    assert_eq!(killed.stop(Signal::KILL), None);
    assert!(fs::symlink_metadata(&path).expect("the socket file still exists").file_type().is_socket());

    let mut second = OnSocket::start(&path, &upstream, &[]);
    until("the second proxy listens", || answers(&path));
    let front = Proxy::start(path.display());
    Client::let_in(front.address()).is_served();

    let third = run(
        env!("CARGO_BIN_EXE_pg-proxy"),
        &["--listen", path.to_str().expect("UTF-8"), "--upstream", &upstream],
    );
    assert_eq!(third.code, Some(1));
    assert!(third.stderr.ends_with("another process listens on this path\n"), "{}", third.stderr);
    Client::let_in(front.address()).is_served();
    assert_eq!(second.stop(Signal::INT), Some(0));
    assert_eq!(files(directory.path()), [""; 0]);
}

#[test]
fn sockets_of_other_programs_and_other_files_are_not_replaced() {
    let directory = tempfile::tempdir().expect("a directory");
    let (socket, file) = (directory.path().join("socket"), directory.path().join("file"));
    let _listener = UnixListener::bind(&socket).expect("a socket");
    fs::write(&file, "precious").expect("a file");
    for (path, words) in
        [(&socket, "another process listens on this path"), (&file, "the file at this path is no socket")]
    {
        let ended = run(
            env!("CARGO_BIN_EXE_pg-proxy"),
            &["--listen", path.to_str().expect("UTF-8"), "--upstream", "127.0.0.1:1"],
        );
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert!(answers(&socket));
    assert_eq!(fs::read_to_string(&file).expect("the file exists"), "precious");
    let mut left = files(directory.path());
    left.sort();
    assert_eq!(left, ["file", "socket"]);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_sockets_work_on_both_sides() {
    let name = format!("@pg-proxy-test-{}/.s.PGSQL.6432", std::process::id());
    let mut outer = OnSocket::start(Path::new(&name), &polite_server().to_string(), &[]);
    let front = Proxy::start(&name);
    until("it listens", || {
        let mut client = Client::new(front.address());
        client.say(&crate::wire::startup());
        client.hear().is_some_and(|frame| frame.code.0 == b'R')
    });
    Client::let_in(front.address()).is_served();
    assert_eq!(outer.stop(Signal::TERM), Some(0));
    assert!(!Path::new(&name).exists(), "it is no file");
}

#[test]
fn wrong_usage_a_port_in_use_and_an_unwritable_trace_are_errors_at_start() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let rest = ["--listen", "localhost:0", "--upstream", "localhost:1"];
    let with = |more: &[&'static str]| [&rest[..], more].concat();
    for (arguments, code, said) in [
        (vec!["--listen", "nowhere", "--upstream", "localhost:1"], 2, "expected HOST:PORT or"),
        (vec!["--listen", "localhost:0"], 2, "--upstream <ADDR>"),
        (vec!["--listen", "[::1]:0", "--upstream", "/tmp/x", "--raw", "--check"], 2, "cannot be used with"),
        (vec!["--listen", &taken, "--upstream", "localhost:1"], 1, "cannot listen on 127.0.0.1:"),
        (with(&["--listen-mode", "0778"]), 2, "an octal number up to 0777"),
        (with(&["--opening-limit", "0"]), 2, "0 is not in"),
        (with(&["--trace", "/nonexistent/trace"]), 1, "cannot write /nonexistent/trace: No such file"),
        (with(&["--trace", "/nonexistent/x%d"]), 1, "cannot write /nonexistent/x%d: No such file"),
        (with(&["--trace", "/dev/null/x%d"]), 1, "cannot write /dev/null/x%d: "),
    ] {
        let ended = run(env!("CARGO_BIN_EXE_pg-proxy"), &arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn only_the_owner_can_read_a_trace_even_if_the_file_existed() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = directory.path().join("whole");
    fs::write(&whole, "an old trace, longer than the new one").expect("a file");
    fs::set_permissions(&whole, fs::Permissions::from_mode(0o644)).expect("our own file");
    let proxy = Proxy::with(polite_server(), &["--trace", whole.to_str().expect("UTF-8")]);
    let each = directory.path().join("each%d");
    let second = Proxy::with(polite_server(), &["--trace", each.to_str().expect("UTF-8")]);
    for proxy in [&proxy, &second] {
        Client::let_in(proxy.address()).is_served();
    }
    for path in [whole, directory.path().join("each1")] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let trace = fs::read_to_string(&path).expect("the file exists");
        assert!(trace.starts_with("F\t34\tStartupMessage\t"), "{trace}");
    }
}
