//! Address of a server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// PostgreSQL's default port.
pub const DEFAULT_PORT: u16 = 5432;

/// Directories in which a server on this machine may have its Unix-domain socket, the most usual directory first. PostgreSQL's default is
/// `/tmp`. All large Linux distributions change this directory to `/var/run/postgresql`, in which only the server's user can create a
/// socket.
#[cfg(target_os = "linux")]
pub(super) const SOCKET_DIRS: &[&str] = &["/var/run/postgresql", "/tmp"];
#[cfg(all(unix, not(target_os = "linux")))]
pub(super) const SOCKET_DIRS: &[&str] = &["/tmp", "/var/run/postgresql"];
#[cfg(not(unix))]
pub(super) const SOCKET_DIRS: &[&str] = &[];

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// A server on the network. Made by [`Host::new`] and [`Host::at_address`].
    #[non_exhaustive]
    Tcp {
        /// A host name or a numeric address; an IPv6 address has no brackets. May be empty if `address` is given. With an empty name, the
        /// server's certificate cannot be checked against a name.
        host: String,
        /// `hostaddr`: the address to connect to, without a DNS lookup. The server's certificate is checked against the name in `host`, not
        /// against this address.
        address: Option<IpAddr>,
        /// The server's TCP port.
        port: u16,
    },
    /// A server on a Unix-domain socket, whose file is `.s.PGSQL.<port>`. Made by [`Host::new`] and [`Host::in_dir`].
    #[non_exhaustive]
    Unix {
        /// The directory of the socket. On Linux, a directory that begins with `@` names a socket in the abstract namespace.
        dir: PathBuf,
        /// The number in the socket's name, `.s.PGSQL.<port>`.
        port: u16,
    },
}

impl Host {
    /// Creates a host from its name, as in libpq: a name that begins with `/` or `@` is the directory of a Unix-domain socket.
    ///
    /// ```
    /// use pg_auth::config::Host;
    ///
    /// assert_eq!(Host::new("::1", 5432).to_string(), "[::1]:5432");
    /// assert_eq!(Host::new("/run/postgresql", 5432).to_string(), "/run/postgresql/.s.PGSQL.5432");
    /// ```
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        if host.starts_with(['/', '@']) {
            Self::Unix { dir: host.into(), port }
        } else {
            Self::Tcp { host, address: None, port }
        }
    }

    /// Creates a host on the network with a known address: the name is not looked up, and may be empty (`""`).
    ///
    /// ```
    /// use pg_auth::config::Host;
    ///
    /// let host = Host::at_address("db.example", [192, 0, 2, 1], 5432);
    /// assert_eq!(host.to_string(), "db.example:5432 (192.0.2.1)");
    /// assert_eq!(Host::at_address("", [192, 0, 2, 1], 5432).to_string(), "192.0.2.1:5432");
    /// ```
    pub fn at_address(name: impl Into<String>, address: impl Into<IpAddr>, port: u16) -> Self {
        Self::Tcp { host: name.into(), address: Some(address.into()), port }
    }

    /// Creates the host whose Unix-domain socket is in this directory.
    ///
    /// ```
    /// use pg_auth::config::Host;
    ///
    /// assert_eq!(Host::in_dir("sockets", 5432).to_string(), "sockets/.s.PGSQL.5432");
    /// ```
    pub fn in_dir(dir: impl Into<PathBuf>, port: u16) -> Self {
        Self::Unix { dir: dir.into(), port }
    }

    /// The default host, a server on this machine. A connection string without a host means this host:
    /// - on Linux, the Unix-domain socket in `/var/run/postgresql`;
    /// - on other Unix systems, the Unix-domain socket in `/tmp`;
    /// - on systems without Unix-domain sockets, `localhost` over TCP.
    ///
    /// libpq's default directory is chosen when libpq is built, and differs between distributions. If this host's directory does not exist,
    /// [`Surroundings`](super::Surroundings) use another directory: `/tmp` on Linux, `/var/run/postgresql` on other Unix systems.
    pub fn local(port: u16) -> Self {
        Self::new(SOCKET_DIRS.first().copied().unwrap_or("localhost"), port)
    }

    /// The TCP port, or the number in the name of the Unix-domain socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } => *port,
        }
    }

    /// The path of the Unix-domain socket; `None` for a server on the network.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match self {
            Self::Tcp { .. } => None,
            Self::Unix { dir, port } => Some(dir.join(format!(".s.PGSQL.{port}"))),
        }
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        match self {
            Self::Tcp { host, .. } => host.as_bytes(),
            Self::Unix { dir, .. } => dir.as_os_str().as_encoded_bytes(),
        }
    }
}

/// Shows `host:port`, with an IPv6 address in brackets. If the host has both a name and an `address`, the address follows in parentheses. A
/// Unix-domain socket is shown as its path.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, address: Some(address), port } if host.is_empty() => {
                write!(f, "{}", SocketAddr::new(*address, *port))
            }
            Self::Tcp { host, address, port } => {
                match host.contains(':') {
                    true => write!(f, "[{host}]:{port}")?,
                    false => write!(f, "{host}:{port}")?,
                }
                address.map_or(Ok(()), |address| write!(f, " ({address})"))
            }
            Self::Unix { dir, port } => {
                write!(f, "{}", dir.join(format!(".s.PGSQL.{port}")).display())
            }
        }
    }
}
