//! Where a server is, and who connects.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result};
use pg_auth::scram::KeyCache;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A server, and a role there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Where it listens.
    pub(crate) at: At,
    /// The role.
    pub(crate) user: &'static str,
    /// Its password.
    pub(crate) password: Option<&'static str>,
    /// The database.
    pub(crate) database: &'static str,
    /// Where what PBKDF2 has made of the password is kept for the next connection.
    pub(crate) kept: Option<Kept>,
}

/// Derived keys: ours, and the hand-written one's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// As pg-auth keeps them.
    pub(crate) cache: KeyCache,
    /// As they can be kept by hand.
    pub(crate) salted: Rc<Cell<Option<[u8; 32]>>>,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// On loopback.
    Tcp(SocketAddr),
    /// On the socket of this number in a directory.
    Unix(PathBuf, u16),
}

impl Place {
    /// For a role without a password.
    pub(crate) fn new(at: At) -> Self {
        Self { at, user: "trust", password: None, database: "test", kept: None }
    }

    /// The same for the role that proves itself by SCRAM.
    pub(crate) fn scram(self) -> Self {
        Self { user: "scram", password: Some("scram-secret"), ..self }
    }

    /// The same, and keys are kept.
    pub(crate) fn keeping(self) -> Self {
        Self { kept: Some(Kept::default()), ..self }
    }

    /// Where the socket is, if it is one of the file system.
    fn path(&self) -> Result<PathBuf> {
        let At::Unix(dir, port) = &self.at else { anyhow::bail!("{self:?} is not a Unix socket") };
        Ok(dir.join(format!(".s.PGSQL.{port}")))
    }

    /// `host` and `port` as libpq and its like want them.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        match &self.at {
            At::Tcp(address) => (address.ip().to_string(), address.port()),
            At::Unix(dir, port) => (dir.display().to_string(), *port),
        }
    }

    /// A connection string as libpq understands it.
    pub(crate) fn words(&self) -> String {
        let (host, port) = self.host_and_port();
        let Self { user, password, database, .. } = self;
        let password = password.map_or(String::new(), |password| format!(" password={password}"));
        format!("host={host} port={port} user={user} dbname={database} sslmode=disable{password}")
    }
}

/// A stream that can be opened to a place.
pub(crate) trait Dial: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    /// Opens it.
    async fn dial(place: &Place) -> Result<Self>;
}

impl Dial for TcpStream {
    async fn dial(place: &Place) -> Result<Self> {
        let At::Tcp(address) = &place.at else { anyhow::bail!("{place:?} is not on TCP") };
        let stream = Self::connect(address).await.context("the server does not answer")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Dial for UnixStream {
    async fn dial(place: &Place) -> Result<Self> {
        Self::connect(place.path()?).await.context("the server does not answer")
    }
}

/// Ours: for pg-stream-tokio, whose users dial with it.
impl Dial for pg_stream_tokio::UnixStream {
    async fn dial(place: &Place) -> Result<Self> {
        Self::connect(place.path()?).await.context("the server does not answer")
    }
}
