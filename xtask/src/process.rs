//! Running other programs, and ending them when we are asked to end.

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

/// Interval between two checks of a wait. Shorter than any event that is waited for, longer than the check takes.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a program without standard input, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let mut child = Running::start(command.stdin(Stdio::null()), Group::Own)?;
    child.wait()
}

/// Like [`run`], and anything but success is an error.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = run(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a program that reads `input`, keeping both of its outputs.
pub(crate) fn capture(command: &mut Command, input: &str) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running::start(command, Group::Own)?;
    let (stdin, stdout, stderr) =
        (child.child.stdin.take(), child.child.stdout.take(), child.child.stderr.take());
    thread::scope(|scope| {
        // A program that ends without reading its input says why in its exit status.
        scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = child.wait();
        let joined = |reader: thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        Ok(Output { stdout: joined(stdout), stderr: joined(stderr), status: status? })
    })
}

/// What a program printed on standard output; failing, what it printed on the other is the error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = capture(command, "")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}\n{}", shown(command), output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of `{}`", shown(command)))
}

/// Runs a program without standard input, passing its standard output on as it comes and showing every piece to `see`.
pub(crate) fn echo(command: &mut Command, mut see: impl FnMut(&[u8]) + Send) -> Result<ExitStatus> {
    let mut child = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), Group::Own)?;
    let stdout = child.child.stdout.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            let Some(mut pipe) = stdout else { return };
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                // Nobody reading our output is no reason to stop counting.
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(&buffer[..length]).and_then(|()| out.flush());
                see(&buffer[..length]);
            }
        });
        child.wait()
    })
}

/// Runs a program in our place: it has the terminal, and its exit code is ours.
pub(crate) fn hand_over(command: &mut Command) -> Result<ExitCode> {
    // A program with a terminal must be in the terminal's foreground group, which is ours.
    let group = if std::io::stdin().is_terminal() { Group::Ours } else { Group::Own };
    let status = Running::start(command, group)?.wait()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A command as one would type it, its program by name alone.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Which process group a program runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// One of its own, which can be ended with everything the program started.
    Own,
    /// Ours, where the terminal's Ctrl-C reaches the program without us.
    Ours,
}

/// A program that ends with this value, whatever happens.
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

    /// Waits for the end. A signal to us ends the program first, and is the error.
    fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if let Some(interrupted) = interrupt::arrived() {
                // With a terminal, Ctrl-C has reached the program too, and what it means is the program's choice.
                if self.group == Group::Own || !interrupted.is_sigint() {
                    self.end();
                    return Err(interrupted.into());
                }
            }
            thread::sleep(TICK);
        }
    }

    /// Asks the program to end, and makes it when it does not.
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

    /// Signals the program, with its group when it has one. It is our child and not yet waited for, so the number is its own.
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

/// A child's process number.
pub(crate) fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Everything a pipe brings.
fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}
