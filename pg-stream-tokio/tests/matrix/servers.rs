//! The servers of `cargo xtask test`.

use std::process::Command;
use std::time::{Duration, Instant};

/// Of our environment, by `cargo xtask test`.
#[track_caller]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// The place of a server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) ip: String,
    pub(crate) port: u16,
    pub(crate) socket_dir: String,
}

impl Server {
    pub(crate) fn at(prefix: &str) -> Self {
        let address = variable(&format!("{prefix}_ADDR"));
        let (ip, port) = address.rsplit_once(':').expect("an address and a port");
        let port = port.parse().expect("a port");
        Self { ip: ip.into(), port, socket_dir: variable(&format!("{prefix}_SOCKET_DIR")) }
    }

    /// The server of this version.
    pub(crate) fn find(major: u8) -> Self {
        Self::at(&format!("PG{major}"))
    }

    /// The server of this version whose settings a test may change. Without TLS while there is a [`WithoutTls`].
    pub(crate) fn without_tls(major: u8) -> Self {
        Self::at(&format!("PG{major}_SPARE"))
    }

    /// The first column of the result of some SQL, as the superuser.
    fn admin(&self, sql: &str) -> String {
        let settings = format!("host={} port={} user=admin dbname=test", self.socket_dir, self.port);
        let mut psql = Command::new(variable("PG15_PSQL"));
        psql.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        let output = psql.args(["-XAtw", "-d", &settings, "-c", sql]).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    /// Switches TLS, and waits until new sessions see that.
    fn set_tls(&self, state: &str) {
        self.admin(&format!("alter system set ssl = {state}"));
        self.admin("select pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.admin("show ssl") != state {
            assert!(Instant::now() < deadline, "the server does not read its settings");
        }
    }
}

/// While this exists, the spare servers have no TLS.
pub(crate) struct WithoutTls;

impl WithoutTls {
    pub(crate) fn begin() -> Self {
        let begun = Self;
        Self::set("off");
        begun
    }

    fn set(state: &str) {
        for major in [15, 18] {
            Server::without_tls(major).set_tls(state);
        }
    }
}

impl Drop for WithoutTls {
    fn drop(&mut self) {
        Self::set("on");
    }
}
