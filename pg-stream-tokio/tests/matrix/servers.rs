//! Addresses of the servers that `cargo xtask test` starts.

/// Reads an environment variable that `cargo xtask test` sets.
#[track_caller]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// Addresses of a server.
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

    /// Returns the server with this major version.
    pub(crate) fn find(major: u8) -> Self {
        Self::at(&format!("PG{major}"))
    }

    /// Returns the spare server of this version, whose settings a test may change. The spare server has no TLS while a `WithoutTls` exists.
    pub(crate) fn without_tls(major: u8) -> Self {
        Self::at(&format!("PG{major}_SPARE"))
    }
}
