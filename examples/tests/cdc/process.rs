//! Runs `pg-cdc` in tests, and reads its output.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::database::Database;
use crate::progress::Progress;
use crate::support::{Ended, is_readable, output_unless, until, wait_for_end};

/// Time between two checks of a condition that a test waits for.
const TICK: Duration = Duration::from_millis(20);

const PROGRAM: &str = env!("CARGO_BIN_EXE_pg-cdc");

/// Returns a command that runs the program without the settings in the environment: variables such as PGHOST are removed, and HOME names no
/// directory.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG") && !name.contains('_')) {
            command.env_remove(name);
        }
    }
    command.env("HOME", "/nonexistent").args(arguments);
    command
}

/// Set-up of a test: a database whose changes the program follows, and the files of the program.
#[derive(Debug)]
pub(crate) struct Cdc {
    // The database is dropped together with this value. The test must drop the running program earlier, because the program uses the
    // database.
    pub(crate) database: Database,
    dir: TempDir,
    slot: String,
    with_state: bool,
}

impl Cdc {
    /// Creates the set-up. The slot and the publication have the name of the database.
    pub(crate) fn new(database: Database, with_state: bool) -> Self {
        let slot = database.name.clone();
        Self { database, dir: tempfile::tempdir().expect("a directory"), slot, with_state }
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    /// Returns the length of the output file in bytes; 0 if the file does not exist.
    pub(crate) fn length(&self) -> u64 {
        std::fs::metadata(self.out()).map_or(0, |file| file.len())
    }

    fn path(path: &Path) -> String {
        path.to_str().expect("UTF-8").into()
    }

    /// Returns a command that runs the program with a file as output.
    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = self.without_out(more);
        command.args(["--out", &Self::path(&self.out())]);
        if self.with_state {
            command.args(["--state", &Self::path(&self.state())]);
        }
        command
    }

    /// Returns a command that runs the program with standard output as output.
    pub(crate) fn without_out(&self, more: &[&str]) -> Command {
        let url = self.database.url();
        let mut command = command(&[&url, "--publication", &self.database.name, "--slot", &self.slot]);
        command.args(more);
        command
    }

    /// Runs the program up to the current end of the WAL. Returns all lines of the file, including lines of earlier runs.
    #[track_caller]
    pub(crate) fn until_now(&self, more: &[&str]) -> Vec<Value> {
        self.run_until_now(more);
        self.lines()
    }

    /// Runs the program up to the current end of the WAL. The total time is not limited, because it depends on the amount of WAL. The
    /// program must make progress within the time limit of [`Progress`].
    #[track_caller]
    pub(crate) fn run_until_now(&self, more: &[&str]) {
        let mut progress = Progress::new(self);
        let mut command = self.command(&["--until", "now", "--quiet"]);
        let ended = output_unless(command.args(more), || progress.stalled());
        let Ended { code, stdout, stderr } = ended.into();
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{stderr}");
        // Error 55006 is accepted: it says that the slot is in use. After the test has killed the program, the server process that uses the
        // slot may end late. No other error is accepted.
        assert!(stderr.lines().all(|line| line.contains("55006")), "{stderr}");
    }

    /// Reads and parses the lines of the output file.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out()).expect("the file is UTF-8");
        parse(&text)
    }

    /// Starts the program with a file as output.
    pub(crate) fn start(&self, more: &[&str]) -> Running {
        self.start_loudly(&[&["--quiet"], more].concat())
    }

    /// Starts the program with a file as output, but without `--quiet`, so that the program reports its progress.
    pub(crate) fn start_loudly(&self, more: &[&str]) -> Running {
        Running::start(&mut self.command(more))
    }

    /// Waits until the first or the last 4000 bytes of the output file contain this text. Panics if the program makes no progress within
    /// the time limit of [`Progress`].
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let mut progress = Progress::new(self);
        while !is_in(&self.out(), text) {
            if let Some(reason) = progress.stalled() {
                panic!("waited in vain for {text}: {reason}");
            }
            thread::sleep(TICK);
        }
    }
}

/// Waits until a file contains this text in its first or its last 4000 bytes.
#[track_caller]
pub(crate) fn wait_until_in(file: &Path, text: &str) {
    until(text, || is_in(file, text));
}

fn is_in(file: &Path, text: &str) -> bool {
    File::open(file).is_ok_and(|file| has(file, text).expect("a file"))
}

/// Whether the first or the last 4000 bytes of a file contain this text. A search through a whole long file would be slow, and the search
/// is repeated until it succeeds.
fn has(mut file: File, text: &str) -> io::Result<bool> {
    const END: u64 = 4000;
    let length = file.seek(SeekFrom::End(0))?;
    for from in [0, length.saturating_sub(END)] {
        let mut part = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        (&file).take(END).read_to_end(&mut part)?;
        if String::from_utf8_lossy(&part).contains(text) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Parses the text of an output: one JSON object per line.
#[track_caller]
pub(crate) fn parse(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// A running `pg-cdc`. Dropping this value kills the process.
#[derive(Debug)]
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("the program starts")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().expect("it runs").id()
    }

    /// Whether the program still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_none())
    }

    /// Waits until the program writes a line to standard error, and returns the line. Precondition: the program writes only one line during
    /// this call.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let stderr = self.0.as_mut().expect("it runs").stderr.as_mut().expect("a pipe");
        assert!(is_readable(stderr), "the program writes nothing to standard error");
        // The program writes each line with a single system call, so a single read returns the whole line.
        let mut text = [0; 4096];
        let length = stderr.read(&mut text).expect("a pipe");
        String::from_utf8(text[..length].to_vec()).expect("UTF-8")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let killed = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the program runs");
    }

    /// Kills the program with SIGKILL, and waits for its end.
    pub(crate) fn kill(mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().expect("it runs");
            child.wait().expect("a child");
        }
    }

    /// Waits for the end of the program, and returns its exit status and the text of standard error.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        wait_for_end(self.0.as_ref().expect("it runs"));
        let output = self.0.take().expect("it ran").wait_with_output().expect("a child");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
