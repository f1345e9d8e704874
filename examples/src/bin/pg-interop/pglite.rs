//! Runs PGlite (PostgreSQL compiled to WebAssembly) with its socket server.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Time limit for PGlite to start. PGlite starts in a few seconds.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running PGlite server. Dropping this value kills the process.
#[derive(Debug)]
pub(crate) struct Pglite {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Pglite {
    /// Starts the socket server with a copy of the empty database. `prepared` is the value of the environment variable `PGLITE_DIR`.
    pub(crate) fn start(prepared: &Path) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let data = directory.path().join("data");
        let copied = Command::new("cp").arg("-R").arg(prepared.join("data")).arg(&data).status()?;
        if !copied.success() {
            return Err(io::Error::other(format!(
                "cannot copy the empty database in {}",
                prepared.display()
            )));
        }
        let mut node = Command::new("node");
        node.arg(prepared.join("node_modules/@electric-sql/pglite-socket/dist/scripts/server.js"));
        node.arg("--port=0").arg("--db").arg(data);
        node.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = node.spawn().map_err(|error| io::Error::other(format!("cannot run node: {error}")))?;
        let mut pglite = Self { child, port: 0, _directory: directory };
        let stdout = pglite.child.stdout.take();
        let stdout = stdout.ok_or_else(|| io::Error::other("standard output is not a pipe"))?;
        let (found, port) = mpsc::channel();
        // Reads all lines of the server, also after the line with the port, so that the pipe does not become full.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = port_in(&line).map(|port| found.send(port));
            }
        });
        let port = port.recv_timeout(START_LIMIT);
        pglite.port =
            port.map_err(|error| io::Error::other(format!("PGlite has not reported its port: {error}")))?;
        Ok(pglite)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

/// Returns the port in the line `PGLiteSocketServer listening on {"port":1234,"host":"127.0.0.1"}`.
fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on {\"port\":")?;
    rest.split(',').next()?.parse().ok()
}

impl Drop for Pglite {
    fn drop(&mut self) {
        // Errors are ignored: the process may have ended already.
        let _ = (self.child.kill(), self.child.wait());
    }
}
