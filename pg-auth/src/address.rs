//! The place where a socket was found.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One address of a host: a name of the network can have several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// The file of a Unix-domain socket; on Linux `@` and a name stand for a socket in the abstract namespace.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
