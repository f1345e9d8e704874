//! The directory that a run's servers live in, and its end: by its owner, its watcher, or a later run.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process;
use crate::servers::daemon;
use crate::servers::user::open_to_all;

/// What the name of every such directory begins with. Then follow its [`Owner`] and a random part.
const PREFIX: &str = "pg-xtask-";

/// The temporary directory for servers when the path in `TMPDIR` is too long for Unix sockets.
const SHORT: &str = "/tmp";

/// How long removal is tried again: a program of a killed run may still be writing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest path of a socket below such a directory.
const LONGEST_SOCKET: &str = "/pgbouncer/.s.PGSQL.65535";

/// Maximum length of a Unix socket's path: `sun_path` in `unix(7)` has 108 bytes, and the last is zero.
const MAX_SOCKET_PATH: usize = 107;

/// A directory of ours in a temporary directory. Dropping this removes it.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    watcher: Child,
}

impl Home {
    /// Makes the directory, and starts the watcher that clears it should we be killed.
    pub(super) fn new() -> Result<Self> {
        let owner = Owner::ourselves()?;
        let prefix = format!("{PREFIX}{}-{}-", owner.pid, owner.started);
        let mut dir = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        if !has_room_for_sockets(dir.path()) {
            dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(SHORT)?;
        }
        open_to_all(dir.path())?;
        // Not by path: `cargo test` may have built another xtask in our place.
        let mut watcher = Command::new("/proc/self/exe");
        watcher.arg("watch").arg(dir.path()).current_dir("/");
        // Its end of the pipe closes when we end, however that happens. A group of its own, so that Ctrl-C is for us alone.
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let watcher = watcher.spawn().context("cannot start the watcher")?;
        Ok(Self { path: dir.keep(), watcher })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            eprintln!("xtask: {error:#}");
        }
        // Closes its standard input: it finds nothing left to do, and ends.
        let _ = self.watcher.wait();
    }
}

/// Does the path of every socket below this directory fit into an address?
fn has_room_for_sockets(dir: &Path) -> bool {
    dir.as_os_str().len() + LONGEST_SOCKET.len() <= MAX_SOCKET_PATH
}

/// Clears the directories whose owner has ended without clearing them.
pub(super) fn sweep() {
    sweep_in(&std::env::temp_dir());
    sweep_in(Path::new(SHORT));
}

/// Clears the abandoned directories in a temporary directory.
fn sweep_in(temporary: &Path) {
    let ourselves = rustix::process::getuid().as_raw();
    let Ok(entries) = fs::read_dir(temporary) else {
        return;
    };
    for entry in entries.flatten() {
        // Anybody may make a directory of this name there, or a link; only what is ours is cleared.
        let ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == ourselves);
        let abandoned = entry.file_name().to_str().and_then(Owner::of).is_some_and(|owner| !owner.lives());
        if ours
            && abandoned
            && let Err(error) = clear(&entry.path())
        {
            eprintln!("xtask: left by an earlier run: {error:#}");
        }
    }
}

/// Stops the daemons that still run below a directory, and removes it.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            daemon::stop_in(&entry.path());
        }
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if Instant::now() < deadline => thread::sleep(process::TICK),
            removed => return removed.with_context(|| format!("cannot remove {}", dir.display())),
        }
    }
}

/// The process that a directory belongs to. Numbers are used again, so the time it started counts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    /// In clock ticks since the machine started.
    started: u64,
}

impl Owner {
    /// This process.
    fn ourselves() -> Result<Self> {
        let pid = std::process::id();
        Ok(Self { pid, started: started(pid).context("/proc does not tell when we started")? })
    }

    /// The owner that a directory's name tells; none when it is not a directory of ours.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
        let owner = Self { pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? };
        parts.next().map(|_| owner)
    }

    /// Is it still running?
    fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// When the process of this number started.
fn started(pid: u32) -> Option<u64> {
    started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The 22nd field of `/proc/PID/stat`. The second, the program's name in brackets, may hold spaces and brackets.
fn started_in(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Owner, PREFIX, clear, has_room_for_sockets, started, started_in};
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_owner_is_read_from_the_name() {
        assert_eq!(Owner::of("pg-xtask-12-345-aBc-9"), Some(Owner { pid: 12, started: 345 }));
        for strange in
            ["pg-xtask-12-345", "pg-xtask-12-x-abc", "pg-xtask-", "other-12-345-abc", "pg-xtask--12-345-a"]
        {
            assert_eq!(Owner::of(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_directory_is_rejected_when_a_socket_path_would_be_longer_than_an_address() {
        // 82 + 25 = 107 bytes.
        let dir = format!("/{}", "d".repeat(81));
        assert!(has_room_for_sockets(Path::new(&dir)));
        assert!(!has_room_for_sockets(Path::new(&format!("{dir}d"))));
    }

    #[test]
    fn we_live_and_an_earlier_process_of_our_number_does_not() {
        let ourselves = Owner::ourselves().expect("/proc");
        assert!(ourselves.lives());
        assert!(!Owner { started: ourselves.started - 1, ..ourselves }.lives());
        assert!(!Owner { pid: u32::MAX, ..ourselves }.lives());
    }

    #[test]
    fn a_program_with_brackets_in_its_name_is_no_trouble() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(started_in(&format!("7 (a) S 1) {}", fields.join(" "))), Some(22));
        assert_eq!(started_in("7 (a) S 1"), None);
    }

    #[test]
    fn clearing_kills_nobody_who_is_not_the_server() {
        let dir = tempfile::Builder::new().prefix("xtask-test-").tempdir().expect("a directory");
        let data = dir.path().join("15/data");
        fs::create_dir_all(&data).expect("a data directory");
        // Our own number: were it believed, this test would end here.
        fs::write(data.join("postmaster.pid"), format!("{}\n", std::process::id())).expect("a file");
        clear(dir.path()).expect("cleared");
        assert!(!dir.path().exists());
        assert!(started(std::process::id()).is_some());
        assert!(!PREFIX.is_empty());
    }
}
