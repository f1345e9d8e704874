//! The address of a server, and the settings of a login.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use pg_auth::scram::KeyCache;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ProtocolVersion;

use super::tls::Tls;

/// The settings with which a client connects: a server, a role, and options of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The address of the server.
    pub(crate) at: At,
    /// The role to log in as.
    pub(crate) user: &'static str,
    /// The password of the role.
    pub(crate) password: Option<&'static str>,
    /// The database to connect to.
    pub(crate) database: &'static str,
    /// The cache of derived SCRAM keys. `None` if each connection derives its keys.
    pub(crate) kept: Option<Kept>,
    /// The TLS settings. With these settings the client requires TLS. A client with a password then also requires channel binding, if its
    /// library supports channel binding.
    pub(crate) tls: Option<Tls>,
}

/// Caches of derived SCRAM keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The cache of SCRAM keys that pg-auth uses.
    pub(crate) cache: KeyCache,
    /// The salted password that the hand-written client keeps for later connections.
    pub(crate) salted: Rc<Cell<Option<[u8; 32]>>>,
}

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// A TCP address on loopback.
    Tcp(SocketAddr),
    /// A Unix socket: its directory, and the port in its name.
    Unix(PathBuf, u16),
}

impl Place {
    /// The password of every role that has a password.
    pub(crate) const SECRET: &str = "scram-secret";

    /// Settings for the role `trust`, which has no password.
    pub(crate) fn new(at: At) -> Self {
        Self { at, user: "trust", password: None, database: "test", kept: None, tls: None }
    }

    /// Changes the role to `scram`, which logs in by SCRAM.
    pub(crate) fn scram(self) -> Self {
        Self { user: "scram", password: Some(Self::SECRET), ..self }
    }

    /// Adds a cache of derived SCRAM keys, so that later connections reuse them.
    pub(crate) fn keeping(self) -> Self {
        Self { kept: Some(Kept::default()), ..self }
    }

    /// Changes the settings so that the client requires TLS.
    pub(crate) fn encrypted(self) -> Result<Self> {
        Ok(Self { tls: Some(Tls::new()?), ..self })
    }

    /// Whether the login uses channel binding.
    pub(crate) fn is_bound(&self) -> bool {
        self.tls.is_some() && self.password.is_some()
    }

    /// The path of the Unix socket.
    fn path(&self) -> Result<PathBuf> {
        let At::Unix(dir, port) = &self.at else { anyhow::bail!("{self:?} is not a Unix socket") };
        Ok(dir.join(format!(".s.PGSQL.{port}")))
    }

    /// The parameters `host` and `port`, as libpq and other libraries expect them.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        match &self.at {
            At::Tcp(address) => (address.ip().to_string(), address.port()),
            At::Unix(dir, port) => (dir.display().to_string(), *port),
        }
    }

    /// A connection string for libpq.
    pub(crate) fn words(&self) -> String {
        let (host, port) = self.host_and_port();
        let Self { user, password, database, .. } = self;
        let password = password.map_or(String::new(), |password| format!(" password={password}"));
        let sslmode = if self.tls.is_some() { "require" } else { "disable" };
        let binding = if self.is_bound() { " channel_binding=require" } else { "" };
        format!(
            "host={host} port={port} user={user} dbname={database} gssencmode=disable sslmode={sslmode}{binding}{password}"
        )
    }
}

/// A type of stream with which a client connects to a server.
pub(crate) trait Dial: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    /// Opens a stream to the server.
    async fn dial(place: &Place) -> Result<Self>;

    /// The channel binding data `tls-server-end-point`: the hash of the server's certificate. `None` without TLS.
    fn end_point(&self) -> Result<Option<[u8; 32]>> {
        Ok(None)
    }
}

impl Dial for TcpStream {
    async fn dial(place: &Place) -> Result<Self> {
        let At::Tcp(address) = &place.at else { anyhow::bail!("{place:?} is not on TCP") };
        let stream = Self::connect(address).await.context("the server does not answer")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The TLS stream of the hand-written client: `dial` sends an SSLRequest, reads one byte, and does the TLS handshake.
impl Dial for TlsStream<TcpStream> {
    async fn dial(place: &Place) -> Result<Self> {
        let tls = place.tls.as_ref().context("there are no TLS settings")?;
        let mut stream = TcpStream::dial(place).await?;
        stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await?;
        ensure!(stream.read_u8().await? == b'S', "the server declines TLS");
        let (host, _) = place.host_and_port();
        let stream = TlsConnector::from(tls.config.clone()).connect(host.try_into()?, stream).await?;
        let version = stream.get_ref().1.protocol_version();
        ensure!(
            version == Some(ProtocolVersion::TLSv1_3),
            "the TLS version is {version:?}, expected TLS 1.3"
        );
        Ok(stream)
    }

    fn end_point(&self) -> Result<Option<[u8; 32]>> {
        let certificates = self.get_ref().1.peer_certificates().unwrap_or_default();
        let first = certificates.first().context("the server has no certificate")?;
        // The binding hash is SHA-256, because the certificates of the test servers are signed by ECDSA with SHA-256.
        Ok(Some(Sha256::digest(first).into()))
    }
}

impl Dial for UnixStream {
    async fn dial(place: &Place) -> Result<Self> {
        Self::connect(place.path()?).await.context("the server does not answer")
    }
}

/// The Unix-domain stream of pg-stream-tokio.
impl Dial for pg_stream_tokio::UnixStream {
    async fn dial(place: &Place) -> Result<Self> {
        Self::connect(place.path()?).await.context("the server does not answer")
    }
}
