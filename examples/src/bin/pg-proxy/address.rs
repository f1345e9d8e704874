//! Where to listen, and where the server is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use pg_stream_tokio::{Socket, TokioIo, UnixStream};
use tokio::net::TcpStream;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// Host and port.
    Tcp(String),
    /// The path of a Unix-domain socket.
    Unix(PathBuf),
}

impl Address {
    /// How many descriptors a connection takes at most: on a Unix-domain socket one more, while what is written has to wait.
    pub(crate) fn descriptors(&self) -> u64 {
        match self {
            Self::Tcp(_) => 1,
            Self::Unix(_) => 2,
        }
    }

    /// Connects.
    pub(crate) async fn dial(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(TokioIo(stream)))
            }
            Self::Unix(path) => UnixStream::connect(path).await.map(TokioIo).map(Socket::Unix),
        }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    /// What has a slash in it is a path.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.contains('/') {
            return Ok(Self::Unix(text.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(text.into()))
            }
            _ => Err("neither HOST:PORT nor the path of a socket"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
