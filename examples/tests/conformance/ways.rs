//! The ways to connect: to PostgreSQL 15 and 18, each over TCP, over a Unix-domain socket and over TLS.

use pg_auth::config::{BindingMode, RootCert};
use pg_auth::{Config, Host, SslMode};

use crate::support::Server;

/// The kind of a stream to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Tcp,
    Unix,
    Tls,
}

/// A server, and the kind of stream over which a test connects to the server.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) server: Server,
    pub(crate) channel: Channel,
}

impl Way {
    /// Returns each server with each kind of stream.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Channel::Tcp, Channel::Unix, Channel::Tls]
            .into_iter()
            .flat_map(|channel| Server::both().map(|server| Self { server, channel }))
    }

    /// Returns a configuration for the role `scram`.
    pub(crate) fn config(&self) -> Config {
        self.config_for("scram", "scram-secret")
    }

    /// Returns a configuration for this role and password.
    pub(crate) fn config_for(&self, role: &str, password: &str) -> Config {
        let (server, config) = (&self.server, Config::new(role).password(password).database("test"));
        let port = server.address.port();
        match self.channel {
            Channel::Tcp => config.host(Host::new("127.0.0.1", port)).sslmode(SslMode::Disable),
            Channel::Unix => config.socket(&server.socket_dir, port),
            Channel::Tls => {
                let config = config.host(Host::new("localhost", port)).sslmode(SslMode::VerifyFull);
                let mut config = config.channel_binding(BindingMode::Require);
                let root = std::env::var("PG_TLS_ROOT");
                let root = root.expect("PG_TLS_ROOT is not set: run `cargo xtask test`");
                config.tls.root = Some(RootCert::File(root.into()));
                config
            }
        }
    }
}
