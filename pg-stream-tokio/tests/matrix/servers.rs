//! The servers of `cargo xtask test`.

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
}
