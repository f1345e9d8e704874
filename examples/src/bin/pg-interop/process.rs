//! Starts the servers and proxies that are example programs of this package.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Fallible;

/// A running program. Dropping this value ends the program.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The address on which the program listens.
    pub(crate) address: String,
}

impl Process {
    /// Starts a program that is in the same directory as this program, and waits until it listens.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Fallible<Self> {
        let path = sibling(program)?;
        let mut command = Command::new(&path);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot run {}: {error}", path.display()))?;
        let mut process = Self { child, address: String::new() };
        let stderr = process.child.stderr.take().ok_or("standard error is not a pipe")?;
        let mut stderr = BufReader::new(stderr);
        let mut line = String::new();
        stderr.read_line(&mut line)?;
        process.address = match line.trim_end().strip_prefix("listening on ") {
            Some(address) => address.into(),
            None => return Err(format!("{program} does not listen: {line}").into()),
        };
        // The program writes a line for each error of a client. This thread reads and discards the lines: a full pipe would block the
        // program.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors are ignored: the program may have ended already.
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// Returns the path of another program of this package.
fn sibling(program: &str) -> Fallible<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(program))
}
