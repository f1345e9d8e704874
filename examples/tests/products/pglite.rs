//! A PGlite server for one test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::product::variable;

/// A running PGlite server. Dropping this value kills the process.
#[derive(Debug)]
pub(crate) struct Pglite {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Pglite {
    /// Starts the socket server of PGlite with a copy of the empty database.
    pub(crate) fn start() -> Self {
        let prepared = variable("PGLITE_DIR");
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let copied = Command::new("cp").arg("-R").arg(Path::new(&prepared).join("data")).arg(&data).status();
        assert!(copied.is_ok_and(|status| status.success()), "the empty database cannot be copied");
        let mut node = Command::new("node");
        node.arg(
            Path::new(&prepared).join("node_modules/@electric-sql/pglite-socket/dist/scripts/server.js"),
        );
        node.arg("--port=0").arg("--db").arg(data).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = node.spawn().expect("Node.js starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        // The line with the address is `PGLiteSocketServer listening on {"port":1234,"host":"127.0.0.1"}`.
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("listening on {\"port\":")?;
            rest.split(',').next()?.parse().ok()
        });
        // Reads and discards further lines of the server, so that the pipe does not become full.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port: port.expect("PGlite reports its port"), _directory: directory }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}

impl Drop for Pglite {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}
