//! PGlite, which is PostgreSQL compiled to WebAssembly, behind its socket server. Both are npm packages, which run on Node.js.
//!
//! | variable | content |
//! | --- | --- |
//! | `PGLITE_ADDR` | IPv4 address and port, for TCP without TLS |
//! | `PGLITE_URL` | connection string for the role `postgres`, which needs no password, and the database `postgres` |
//! | `PGLITE_DIR` | directory with `node_modules` and an empty database, `data`; a program that starts its own PGlite copies `data` |
//!
//! PGlite has one session, which all clients use one after the other: prepared statements, temporary tables and settings of a client exist
//! until another client removes them, for example with `DISCARD ALL`. The socket server accepts one connection at a time, and closes a
//! second connection at once. For a moment after the first client has disconnected, new connections are still closed. So a client has to
//! try again. Test programs that use PGlite are in the group `pglite` of `xtask/nextest.toml`, which runs one test at a time. In each of
//! these test programs, only one test uses PGlite.
//!
//! After `COPY … FROM STDIN`, the socket server never answers again. So a test may send this statement only to a PGlite that the test has
//! started for itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::servers::daemon::{self, Daemon, Kind, Serve};
use crate::servers::debian::install;
use crate::servers::npm::Package;
use crate::{paths, process};

/// The packages, each with the name of its directory. The version of PGlite must be the version that the socket server requires in its
/// `peerDependencies`. The packages have no other dependencies.
const PACKAGES: [(&str, Package); 2] = [
    (
        "pglite",
        Package {
            version: "@electric-sql/pglite@0.5.14",
            integrity: "sha512-aAQe7iArcFB2w1xtx91l3l9trxhMzD6aZf+WnosSHNhwgp70EJz80Igw/bHnW14fUEFYWPBoQ1sGom8Xc0Jttg==",
        },
    ),
    (
        "pglite-socket",
        Package {
            version: "@electric-sql/pglite-socket@0.2.17",
            integrity: "sha512-ok5iCCWgKYSUStQXhumjTaXBM5/RKuoHFtQ1So+Voc3JqqLg/LJQjq5Vqfkrn7iTIDeX76mS7YUf/Z7tmyRDMQ==",
        },
    ),
];

/// The directory of the unpacked packages. The name has the versions, so a new version gets a new directory.
const DIRECTORY: &str = "pglite-0.5.14-socket-0.2.17";

/// A program for Node.js. It makes a database in the directory that is the program's argument.
const INITDB: &str = "const { PGlite } = await import('@electric-sql/pglite');
await (await PGlite.create(process.argv[1])).close();";

/// A shell script that writes its process id to a file and then executes Node.js in the same process, because the socket server writes no
/// pid file. The first argument is the file, the other arguments are the command.
const WITH_PID_FILE: &str = "echo $$ > \"$0\" && exec \"$@\"";

/// A PGlite that is not running yet. It runs as the user that runs xtask.
#[derive(Debug)]
pub(super) struct Pglite {
    dir: PathBuf,
    /// The directory of the packages and the empty database.
    prepared: PathBuf,
}

impl Pglite {
    /// Finds or downloads the packages, and makes an empty database.
    ///
    /// Making the database takes five seconds of CPU time. So the database is kept in the cache directory, and each run copies it.
    pub(super) fn prepare() -> Result<PathBuf> {
        if process::read(Command::new("node").arg("--version")).is_err() {
            install("nodejs").context("Node.js (`node`), which runs PGlite, is missing")?;
        }
        paths::cached(DIRECTORY, |temporary| {
            let packages = temporary.join("packages");
            for (name, package) in &PACKAGES {
                eprintln!("xtask: downloading PGlite ({})", package.version);
                package.unpack(&packages.join("node_modules/@electric-sql").join(name))?;
            }
            let mut initdb = node();
            initdb.args(["--input-type=module", "--eval", INITDB]).arg(packages.join("data"));
            process::read(initdb.current_dir(&packages))
                .context("PGlite cannot make a database; it is known to work with Node.js 20")?;
            Ok(packages)
        })
        .context("PGlite is missing")
    }

    /// Copies the empty database to a directory in `home`. `prepared` is the result of [`Self::prepare`].
    pub(super) fn create(prepared: PathBuf, home: &Path) -> Result<Self> {
        let dir = home.join("pglite");
        fs::create_dir(&dir)?;
        process::succeed(Command::new("cp").arg("-R").arg(prepared.join("data")).arg(dir.join("data")))?;
        symlink(prepared.join("node_modules"), dir.join("node_modules"))?;
        Ok(Self { dir, prepared })
    }
}

impl Serve for Pglite {
    const KIND: Kind = daemon::PGLITE;

    fn name(&self) -> String {
        "PGlite".into()
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn command(&self, port: u16) -> Result<Command> {
        let node = node();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WITH_PID_FILE]).arg(self.dir.join(Self::KIND.pid_file()));
        command.arg(node.get_program()).arg(self.dir.join(Self::KIND.argument()));
        command.arg(format!("--port={port}")).arg("--db").arg(self.dir.join("data"));
        command.env_clear().envs(node.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir("/");
        Ok(command)
    }

    fn answers(&self, _: u16) -> bool {
        // The log is read instead of connecting to the port, because another process could listen on the port.
        fs::read_to_string(self.log()).is_ok_and(|log| log.contains("PGLiteSocketServer listening on"))
    }
}

impl Daemon<Pglite> {
    /// The environment variables with the address of PGlite.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let address = self.address();
        vec![
            ("PGLITE_ADDR".into(), address.to_string()),
            ("PGLITE_DIR".into(), self.of().prepared.display().to_string()),
            ("PGLITE_URL".into(), format!("postgres://postgres@{address}/postgres?sslmode=disable")),
        ]
    }
}

/// The command for Node.js. It gets no environment variable of xtask except PATH, which is needed to find `node`.
fn node() -> Command {
    let mut node = Command::new("node");
    node.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    node
}
