//! Settings of the socket.

use std::time::Duration;

/// Probes that TCP sends on an idle connection, so that a server that is gone is noticed. They have no effect on a Unix-domain socket.
///
/// Every field has a setter of the same name.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-KEEPALIVES)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalives {
    /// `keepalives`: whether to send any. Default `true`.
    pub enabled: bool,
    /// `keepalives_idle`: time without traffic before the first probe; whole seconds. Default the system's.
    pub idle: Option<Duration>,
    /// `keepalives_interval`: time between probes that are not answered; whole seconds. Default the system's.
    pub interval: Option<Duration>,
    /// `keepalives_count`: number of unanswered probes after which the connection is dead. Default the system's.
    pub count: Option<u32>,
}

impl Default for Keepalives {
    fn default() -> Self {
        Self { enabled: true, idle: None, interval: None, count: None }
    }
}

impl Keepalives {
    /// Sets whether to send any.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Sets the time without traffic before the first probe.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Sets the time between probes.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets the number of unanswered probes after which the connection is dead.
    pub fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }
}
