//! The temporary directory of the servers of one run of xtask. The run removes the directory at its end. If the run is killed, the watcher
//! (a child process of xtask) or a later run removes the directory.

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

/// The prefix of the name of each directory of servers. The name continues with the process id and the start time of the directory's
/// [`Owner`], and a random part.
const PREFIX: &str = "pg-xtask-";

/// The parent of the servers' directory if the path in `TMPDIR` is too long for Unix sockets.
const SHORT: &str = "/tmp";

/// The time limit for removing a directory. A failed removal is repeated, because a program of a killed run may still be writing files.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest path of a Unix socket of the servers, relative to the directory of the servers.
const LONGEST_SOCKET: &str = "/pgbouncer/.s.PGSQL.65535";

/// Maximum length of a Unix socket's path: `sun_path` in `unix(7)` has 108 bytes, and the last byte is a zero.
const MAX_SOCKET_PATH: usize = 107;

/// The directory of this run's servers. Dropping this value removes the directory.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    watcher: Child,
}

impl Home {
    /// Makes the directory of the servers, and starts the watcher. The watcher removes the directory if xtask is killed.
    pub(super) fn new() -> Result<Self> {
        let owner = Owner::ourselves()?;
        let prefix = format!("{PREFIX}{}-{}-", owner.pid, owner.started);
        let mut dir = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        if !has_room_for_sockets(dir.path()) {
            dir = tempfile::Builder::new().prefix(&prefix).tempdir_in(SHORT)?;
        }
        open_to_all(dir.path())?;
        // `/proc/self/exe` is the file of this program, even if another build of xtask has replaced the file at its path.
        let mut watcher = Command::new("/proc/self/exe");
        watcher.arg("watch").arg(dir.path()).current_dir("/");
        // The watcher's standard input is a pipe from xtask. The system closes the pipe when xtask ends for any reason. The watcher has its
        // own process group, so that it does not receive Ctrl-C.
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let watcher = watcher.spawn().context("cannot start the watcher")?;
        Ok(Self { path: dir.keep(), watcher })
    }

    /// The path of the servers' directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            eprintln!("xtask: {error:#}");
        }
        // `wait` closes the watcher's standard input. The watcher then ends at once, because the directory no longer exists.
        let _ = self.watcher.wait();
    }
}

/// Whether the paths of all sockets in `dir` fit into a socket address.
fn has_room_for_sockets(dir: &Path) -> bool {
    dir.as_os_str().len() + LONGEST_SOCKET.len() <= MAX_SOCKET_PATH
}

/// Removes the directories that killed runs of xtask have left.
pub(super) fn sweep() {
    sweep_in(&std::env::temp_dir());
    sweep_in(Path::new(SHORT));
}

/// Removes from `temporary` each directory of servers whose owner has ended. The owner is the run of xtask that made the directory.
fn sweep_in(temporary: &Path) {
    let ourselves = rustix::process::getuid().as_raw();
    let Ok(entries) = fs::read_dir(temporary) else {
        return;
    };
    for entry in entries.flatten() {
        // Any user may make a directory or a symbolic link whose name looks like a directory of servers. So only directories that belong to
        // this user are removed.
        let ours = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == ourselves);
        let abandoned = entry.file_name().to_str().and_then(Owner::of).is_some_and(|owner| !owner.lives());
        if ours
            && abandoned
            && let Err(error) = clear(&entry.path())
        {
            eprintln!("xtask: cannot clear the directory of an earlier run: {error:#}");
        }
    }
}

/// Stops the daemons that still run in a directory, and removes the directory.
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

/// The process that owns a directory of servers. The process's start time is part of the identity, because the system reuses process ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    pid: u32,
    /// The time when the process started, in clock ticks since the machine started.
    started: u64,
}

impl Owner {
    /// The [`Owner`] of directories that this process makes.
    fn ourselves() -> Result<Self> {
        let pid = std::process::id();
        Ok(Self { pid, started: started(pid).context("/proc does not have the start time of this process")? })
    }

    /// Parses the owner from the name of a directory. Returns `None` if the directory is not a directory of servers.
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
        let owner = Self { pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? };
        parts.next().map(|_| owner)
    }

    /// Whether the owner is still running.
    fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// Reads the start time of the process with this process id. Returns `None` if the process has ended.
fn started(pid: u32) -> Option<u64> {
    started_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The start time in the text of `/proc/PID/stat`: field 22. Field 2, the program's name in brackets, may contain spaces and brackets.
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
    fn the_owner_is_read_from_the_name_of_a_directory() {
        assert_eq!(Owner::of("pg-xtask-12-345-aBc-9"), Some(Owner { pid: 12, started: 345 }));
        for strange in
            ["pg-xtask-12-345", "pg-xtask-12-x-abc", "pg-xtask-", "other-12-345-abc", "pg-xtask--12-345-a"]
        {
            assert_eq!(Owner::of(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_directory_is_rejected_when_a_socket_path_would_be_too_long_for_an_address() {
        // The longest path of a directory that fits: 82 bytes. Together with the 25 bytes of the longest socket, these are 107 bytes.
        let dir = format!("/{}", "d".repeat(81));
        assert!(has_room_for_sockets(Path::new(&dir)));
        assert!(!has_room_for_sockets(Path::new(&format!("{dir}d"))));
    }

    #[test]
    fn this_process_is_running_and_an_earlier_process_with_its_id_is_not() {
        let ourselves = Owner::ourselves().expect("/proc");
        assert!(ourselves.lives());
        assert!(!Owner { started: ourselves.started - 1, ..ourselves }.lives());
        assert!(!Owner { pid: u32::MAX, ..ourselves }.lives());
    }

    #[test]
    fn the_start_time_of_a_program_with_brackets_in_its_name_is_found() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(started_in(&format!("7 (a) S 1) {}", fields.join(" "))), Some(22));
        assert_eq!(started_in("7 (a) S 1"), None);
    }

    #[test]
    fn clearing_a_directory_stops_no_process_that_is_not_its_server() {
        let dir = tempfile::Builder::new().prefix("xtask-test-").tempdir().expect("a directory");
        let data = dir.path().join("15/data");
        fs::create_dir_all(&data).expect("a data directory");
        // The pid file contains the process id of this test program. If `clear` sent a signal, the signal would end the test.
        fs::write(data.join("postmaster.pid"), format!("{}\n", std::process::id())).expect("a file");
        clear(dir.path()).expect("cleared");
        assert!(!dir.path().exists());
        assert!(started(std::process::id()).is_some());
        assert!(!PREFIX.is_empty());
    }
}
