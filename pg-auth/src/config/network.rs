//! Settings of a connection's TCP socket.

use std::time::Duration;

/// TCP keepalive: probes that TCP sends on an idle connection to detect a lost connection. No effect on a Unix-domain socket.
///
/// Every field has a setter of the same name.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalives {
    /// `keepalives`: whether to send probes. Default `true`.
    pub enabled: bool,
    /// `keepalives_idle`: time without traffic before the first probe, in whole seconds. Default: the operating system's time.
    pub idle: Option<Duration>,
    /// `keepalives_interval`: time between unanswered probes, in whole seconds. Default: the operating system's time.
    pub interval: Option<Duration>,
    /// `keepalives_count`: number of unanswered probes after which TCP closes the connection. Default: the operating system's number.
    pub count: Option<u32>,
}

impl Default for Keepalives {
    fn default() -> Self {
        Self { enabled: true, idle: None, interval: None, count: None }
    }
}

impl Keepalives {
    /// Sets whether to send keepalive probes.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Sets the time without traffic before the first probe.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Sets the time between unanswered probes.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets the number of unanswered probes after which TCP closes the connection.
    pub fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }
}
