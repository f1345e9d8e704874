//! Pgpool-II, a connection pooler that parses SQL, with PostgreSQL 15 as its only server.
//!
//! Pgpool-II runs in its usual mode, `streaming_replication`. When a client's session ends, Pgpool-II keeps the
//! server connection for a later session of the same role and database. The environment has these variables:
//!
//! | variable | content |
//! | --- | --- |
//! | `PGPOOL_ADDR` | IPv4 address and port, for TCP without TLS |
//! | `PGPOOL_SOCKET_DIR` | directory of the Unix socket |
//! | `PGPOOL_URL` | connection string for the role `scram` and the database `test` over TCP |
//!
//! | role | method, over TCP and over a Unix socket |
//! | --- | --- |
//! | `admin`, `trust` | `trust` |
//! | `scram` | SCRAM-SHA-256; Pgpool-II has the password in its configuration, and logs in to PostgreSQL with it |
//! | others | rejected by Pgpool-II itself |
//!
//! At most [`SESSIONS`] sessions are open at a time. A further client waits until a session ends.
//!
//! While Pgpool-II writes to PostgreSQL, it does not read PostgreSQL's replies. If a client sends so many statements in one batch that the
//! buffers in both directions are full, Pgpool-II and PostgreSQL wait for each other without end. The buffers of a Unix socket are full
//! after about 150 small statements. So Pgpool-II connects to PostgreSQL by TCP, whose buffers hold more.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::servers::cluster::{Cluster, STARTUP};
use crate::servers::daemon::{self, Daemon, Kind, Serve};
use crate::servers::debian::Programs;
use crate::servers::user::{User, open_to_all};

/// The number of Pgpool-II's processes, and so the maximum number of open sessions: each process has one session at a time.
const SESSIONS: u8 = 16;

/// The content of `pool_hba.conf`: the authentication method of each role.
const HBA: &str = "\
local all admin trust
local all trust trust
local all scram scram-sha-256
host all admin 127.0.0.1/32 trust
host all trust 127.0.0.1/32 trust
host all scram 127.0.0.1/32 scram-sha-256
";

/// The content of `pool_passwd`: the passwords of the roles. The prefix `TEXT` means that the password is not encrypted.
const PASSWORDS: &str = "scram:TEXTscram-secret\n";

/// A configured Pgpool-II that is not running yet.
#[derive(Debug)]
pub(super) struct Pgpool {
    programs: Programs,
    user: User,
    dir: PathBuf,
    /// The content of `pgpool.conf` except `port`.
    settings: String,
}

impl Pgpool {
    /// Finds or downloads the program `pgpool`.
    pub(super) fn programs() -> Result<Programs> {
        Programs::find(&["pgpool"], &["pgpool2"], "pgpool").context("Pgpool-II is missing")
    }

    /// Writes the configuration of a Pgpool-II in front of `server` to a directory in `home`.
    pub(super) fn create(programs: Programs, server: &Daemon<Cluster>, home: &Path) -> Result<Self> {
        let user = server.of().user;
        let dir = home.join("pgpool");
        fs::create_dir(&dir)?;
        open_to_all(&dir)?;
        user.own(&dir)?;
        fs::write(dir.join("pool_hba.conf"), HBA)?;
        fs::write(dir.join("pool_passwd"), PASSWORDS)?;
        let here = dir.display();
        let settings = format!(
            "backend_clustering_mode = 'streaming_replication'
backend_hostname0 = '{}'
backend_port0 = {}
# The server remains in use, even if a test ends its processes.
backend_flag0 = 'ALWAYS_PRIMARY|DISALLOW_TO_FAILOVER'
failover_on_backend_error = off
sr_check_period = 0
listen_addresses = '127.0.0.1'
socket_dir = '{here}'
pid_file_name = '{here}/{}'
logdir = '{here}'
wd_ipc_socket_dir = '{here}'
enable_pool_hba = on
pool_passwd = '{here}/pool_passwd'
num_init_children = {SESSIONS}
max_pool = 2
# Administration only by a Unix socket. Its name must differ from the name of the clients' socket; no free port is below 1025.
pcp_listen_addresses = ''
pcp_socket_dir = '{here}'
pcp_port = 1024
# The least shared memory; the default is 128 MB.
enable_shared_relcache = off
memqcache_total_size = '1MB'
memqcache_max_num_cache = 100
",
            server.address().ip(),
            server.address().port(),
            Self::KIND.pid_file()
        );
        Ok(Self { programs, user, dir, settings })
    }
}

impl Serve for Pgpool {
    const KIND: Kind = daemon::PGPOOL;

    fn name(&self) -> String {
        "Pgpool-II".into()
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn command(&self, port: u16) -> Result<Command> {
        let settings = self.dir.join("pgpool.conf");
        fs::write(&settings, format!("{}port = {port}\n", self.settings))
            .with_context(|| format!("cannot write {}", settings.display()))?;
        let mut pgpool = self.programs.command("pgpool");
        // `-n`: in the foreground.
        pgpool.args(["-n", "-f"]).arg(settings).arg("-a").arg(self.dir.join("pool_hba.conf"));
        pgpool.arg("-F").arg(self.dir.join("pcp.conf"));
        self.user.take(&mut pgpool);
        Ok(pgpool)
    }

    fn answers(&self, port: u16) -> bool {
        daemon::accepts_login(&self.dir, port, STARTUP)
    }
}

impl Daemon<Pgpool> {
    /// The environment variables with the addresses of Pgpool-II.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let address = self.address();
        vec![
            ("PGPOOL_ADDR".into(), address.to_string()),
            ("PGPOOL_SOCKET_DIR".into(), self.of().dir.display().to_string()),
            ("PGPOOL_URL".into(), format!("postgres://scram:scram-secret@{address}/test?sslmode=disable")),
        ]
    }
}
