//! Where a server is, and who connects.

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
    /// TLS, if it is used: then always, and with channel binding if there is a password.
    pub(crate) tls: Option<Tls>,
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
    /// The password of roles that have one.
    pub(crate) const SECRET: &str = "scram-secret";

    /// For a role without a password.
    pub(crate) fn new(at: At) -> Self {
        Self { at, user: "trust", password: None, database: "test", kept: None, tls: None }
    }

    /// The same for the role that proves itself by SCRAM.
    pub(crate) fn scram(self) -> Self {
        Self { user: "scram", password: Some(Self::SECRET), ..self }
    }

    /// The same, and keys are kept.
    pub(crate) fn keeping(self) -> Self {
        Self { kept: Some(Kept::default()), ..self }
    }

    /// The same over TLS.
    pub(crate) fn encrypted(self) -> Result<Self> {
        Ok(Self { tls: Some(Tls::new()?), ..self })
    }

    /// Whether the login is bound to the TLS channel.
    pub(crate) fn is_bound(&self) -> bool {
        self.tls.is_some() && self.password.is_some()
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
        let sslmode = if self.tls.is_some() { "require" } else { "disable" };
        let binding = if self.is_bound() { " channel_binding=require" } else { "" };
        format!(
            "host={host} port={port} user={user} dbname={database} gssencmode=disable sslmode={sslmode}{binding}{password}"
        )
    }
}

/// A stream that can be opened to a place.
pub(crate) trait Dial: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    /// Opens it.
    async fn dial(place: &Place) -> Result<Self>;

    /// What SCRAM is bound to, if the stream is encrypted: the hash of the server's certificate (`tls-server-end-point`).
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

/// TLS by hand: an SSLRequest, one byte of answer, the handshake.
impl Dial for TlsStream<TcpStream> {
    async fn dial(place: &Place) -> Result<Self> {
        let tls = place.tls.as_ref().context("TLS was not asked for")?;
        let mut stream = TcpStream::dial(place).await?;
        stream.write_all(b"\0\0\0\x08\x04\xd2\x16\x2f").await?;
        ensure!(stream.read_u8().await? == b'S', "the server declines TLS");
        let (host, _) = place.host_and_port();
        let stream = TlsConnector::from(tls.config.clone()).connect(host.try_into()?, stream).await?;
        ensure!(stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3), "not TLS 1.3");
        Ok(stream)
    }

    fn end_point(&self) -> Result<Option<[u8; 32]>> {
        let certificates = self.get_ref().1.peer_certificates().unwrap_or_default();
        let first = certificates.first().context("the server has no certificate")?;
        // Those of a run are signed by ECDSA with SHA-256.
        Ok(Some(Sha256::digest(first).into()))
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
