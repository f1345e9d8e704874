//! Runs other programs, and ends them when xtask receives a signal to end.

use std::ffi::OsStr;
use std::io::{IsTerminal, Read, Write};
use std::iter;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::interrupt;

/// The interval between two checks in a loop that waits, for example for the end of a program. A shorter interval would cost CPU time
/// without a benefit, because most awaited events take longer than 20 ms.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// The time limit for a program to end after SIGTERM. A program that takes longer is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a program with empty standard input. The program writes to the standard output and the standard error of xtask.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let mut child = Running::start(command.stdin(Stdio::null()), Group::Own)?;
    child.wait()
}

/// Like [`run`], but an exit status other than success is an error.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = run(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a program with `input` as its standard input, and returns its standard output and standard error.
pub(crate) fn capture(command: &mut Command, input: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command, Group::Own)?;
    let (stdin, stdout, stderr) =
        (child.child.stdin.take(), child.child.stdout.take(), child.child.stderr.take());
    thread::scope(|scope| {
        // A write error is ignored: if the program ends without reading its input, the program's exit status shows the reason.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = child.wait();
        let joined = |reader: thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        Ok(Output { stdout: joined(stdout), stderr: joined(stderr), status: status? })
    })
}

/// Runs a program and returns its standard output. If the program fails, the error contains its standard error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = capture(command, "")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, stderr.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", shown(command)))
}

/// Runs a program with empty standard input. Each piece of its standard output is printed at once and passed to `see`.
pub(crate) fn echo(command: &mut Command, mut see: impl FnMut(&[u8]) + Send) -> Result<ExitStatus> {
    let mut child = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), Group::Own)?;
    let stdout = child.child.stdout.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            let Some(mut pipe) = stdout else { return };
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                // A failed write is ignored. The reader of xtask's output may have closed the pipe, but `see` must still receive all
                // pieces.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(&buffer[..length]).and_then(|()| out.flush());
                see(&buffer[..length]);
            }
        });
        child.wait()
    })
}

/// Runs a program that may use the terminal, and returns the program's exit code as the exit code of xtask.
pub(crate) fn hand_over(command: &mut Command) -> Result<ExitCode> {
    // Only processes of the terminal's foreground group may read from the terminal. This group is the process group of xtask.
    let group = if std::io::stdin().is_terminal() { Group::Ours } else { Group::Own };
    let status = Running::start(command, group)?.wait()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A command line for the messages that xtask prints: the program's name without its directory, and the arguments.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The process group of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// A new group: one signal to the group reaches the program and all processes that it has started.
    Own,
    /// The group of xtask: the terminal sends Ctrl-C to the program directly.
    Ours,
}

/// A running program. Dropping this value ends the program.
#[derive(Debug)]
struct Running {
    child: Child,
    group: Group,
}

impl Running {
    fn start(command: &mut Command, group: Group) -> Result<Self> {
        interrupt::check()?;
        if group == Group::Own {
            command.process_group(0);
        }
        let child = command.spawn().with_context(|| format!("cannot run `{}`", shown(command)))?;
        Ok(Self { child, group })
    }

    /// Waits for the end of the program. If a signal to xtask arrives first, ends the program and returns the signal as an error.
    fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if let Some(interrupted) = interrupt::arrived() {
                // In the process group of xtask, the program has also received Ctrl-C, and decides itself whether to end.
                if self.group == Group::Own || !interrupted.is_sigint() {
                    self.end();
                    return Err(interrupted.into());
                }
            }
            thread::sleep(TICK);
        }
    }

    /// Sends SIGTERM to the program. If the program is still running after `GRACE`, sends SIGKILL.
    fn end(&mut self) {
        let deadline = Instant::now() + GRACE;
        self.signal(Signal::TERM);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                self.signal(Signal::KILL);
                let _ = self.child.wait();
                return;
            }
            thread::sleep(TICK);
        }
    }

    /// Sends a signal to the program; with [`Group::Own`], to the program's whole process group.
    ///
    /// The process id cannot belong to another process: the system does not reuse the id of a child until its parent has waited for the
    /// child.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = pid(&self.child) {
            let _ = match self.group {
                Group::Own => kill_process_group(pid, signal),
                Group::Ours => kill_process(pid, signal),
            };
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.end();
        }
    }
}

/// The process id of a child.
pub(crate) fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads a pipe to its end.
fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}
