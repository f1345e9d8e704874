//! Turns TLS off on the spare servers while a test runs.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::servers::{Server, variable};

/// A guard: while a value of this type exists, the spare servers have no TLS.
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

impl Server {
    /// Runs SQL as the superuser, and returns the first column.
    fn admin(&self, sql: &str) -> String {
        let settings = format!("host={} port={} user=admin dbname=test", self.socket_dir, self.port);
        let mut psql = Command::new(variable("PG15_PSQL"));
        psql.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        let output = psql.args(["-XAtw", "-d", &settings, "-c", sql]).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    /// Turns TLS on or off, and waits until new sessions see the change.
    fn set_tls(&self, state: &str) {
        self.admin(&format!("alter system set ssl = {state}"));
        self.admin("select pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.admin("show ssl") != state {
            assert!(Instant::now() < deadline, "the server does not read its settings");
        }
    }
}
