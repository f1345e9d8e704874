//! Address of a server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// PostgreSQL's default port.
pub const DEFAULT_PORT: u16 = 5432;

/// Directories of the Unix-domain socket of a server of this machine, the usual one first. PostgreSQL's own is `/tmp`; every large
/// distribution of Linux builds it with `/var/run/postgresql`, where only the server's user can put a socket.
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
    /// On the network. Made by [`Host::new`] and [`Host::at_address`].
    #[non_exhaustive]
    Tcp {
        /// A name or a numeric address; IPv6 without brackets. May be empty if there is an `address`; a certificate cannot be checked against
        /// it then.
        host: String,
        /// `hostaddr`: the address to connect to, so that the name need not be looked up. The name is still the one that a certificate is
        /// checked against.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// On a Unix-domain socket, in the file `.s.PGSQL.<port>`. Made by [`Host::new`] and [`Host::in_dir`].
    #[non_exhaustive]
    Unix {
        /// The directory of the socket; on Linux `@` and a name stand for one in the abstract namespace.
        dir: PathBuf,
        /// The number in the socket's name.
        port: u16,
    },
}

impl Host {
    /// A host from its name, as in libpq: a name that begins with `/` or `@` is the directory of a Unix-domain socket.
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

    /// A host on the network whose name need not be looked up, or that has none (`""`).
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

    /// The server whose Unix-domain socket is in this directory.
    ///
    /// ```
    /// use pg_auth::config::Host;
    ///
    /// assert_eq!(Host::in_dir("sockets", 5432).to_string(), "sockets/.s.PGSQL.5432");
    /// ```
    pub fn in_dir(dir: impl Into<PathBuf>, port: u16) -> Self {
        Self::Unix { dir: dir.into(), port }
    }

    /// A server of this machine, where it listens by default: the Unix-domain socket in `/var/run/postgresql` on Linux and in `/tmp` on
    /// other Unix systems; TCP on `localhost` where there are no such sockets. A connection string without a host means this one.
    ///
    /// libpq's directory is fixed when it is built, and differs between distributions. [`Surroundings`](super::Surroundings) takes the
    /// second directory if the usual directory does not exist.
    pub fn local(port: u16) -> Self {
        Self::new(SOCKET_DIRS.first().copied().unwrap_or("localhost"), port)
    }

    /// The port, or the number in the socket's name.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } => *port,
        }
    }

    /// The file of a Unix-domain socket.
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

/// `host:port`, with brackets around IPv6 and the address after a name that has one; or the file of the socket.
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
