//! The kind of stream that a connection uses, and the data about its TLS channel.

use std::fmt;

/// The kind of stream that a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Link {
    /// A Unix-domain socket: the bytes stay on the machine.
    Unix,
    /// TCP, or any other stream that others may read.
    Tcp,
    /// TLS, over any stream.
    Tls,
}

/// The report of the TLS layer about a connection's TLS channel.
///
/// Later versions may add fields: begin with [`TlsInfo::default`], and set the fields that the TLS library supplies.
///
/// ```
/// use pg_auth::link::{TlsInfo, TlsVersion};
///
/// let mut tls = TlsInfo::default();
/// tls.version = Some(TlsVersion::V1_3);
/// tls.alpn = Some(b"postgresql".to_vec());
/// assert_eq!(tls.version.map(|version| version.to_string()).as_deref(), Some("TLSv1.3"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The certificate that the peer presented, in DER.
    pub certificate: Option<Vec<u8>>,
    /// The protocol agreed on by ALPN, such as `postgresql`.
    pub alpn: Option<Vec<u8>>,
    /// The TLS version of the connection.
    pub version: Option<TlsVersion>,
    /// Whether the TLS layer has verified that a trusted authority has signed the peer's certificate. A server must not accept an
    /// unverified certificate as a login.
    pub verified: bool,
    /// As a client: whether the server asked for a certificate, and whether the client sent a certificate. `None` if the TLS layer does not
    /// report this.
    pub client_certificate: Option<ClientCertificate>,
}

/// Whether a TLS server asked for a client certificate, and whether the client sent a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The server asked for no certificate.
    NotRequested,
    /// The server asked for a certificate, and the client had no suitable certificate.
    NotSent,
    /// The client sent a certificate.
    Sent,
}

/// A version of TLS. The order of the variants is the order of the versions.
///
/// Which versions are supported depends on the TLS library: most support 1.2 and 1.3 only. If the configured range contains no supported
/// version, the TLS handshake fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.0, `TLSv1`.
    V1_0,
    /// TLS 1.1, `TLSv1.1`.
    V1_1,
    /// TLS 1.2, `TLSv1.2`.
    V1_2,
    /// TLS 1.3, `TLSv1.3`.
    V1_3,
}

impl TlsVersion {
    /// Returns the TLS version with this number on the wire, such as 0x0304 for TLS 1.3.
    pub fn from_wire(number: u16) -> Option<Self> {
        match number {
            0x0301 => Some(Self::V1_0),
            0x0302 => Some(Self::V1_1),
            0x0303 => Some(Self::V1_2),
            0x0304 => Some(Self::V1_3),
            _ => None,
        }
    }

    /// All versions of TLS, the oldest first.
    pub const ALL: &[Self] = &[Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3];

    /// The name of the version in libpq and PostgreSQL: `TLSv1.3`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "TLSv1",
            Self::V1_1 => "TLSv1.1",
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shows only the length of the certificate: its bytes are useless in a log.
impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificate = self.certificate.as_ref().map(|der| format!("{} bytes of DER", der.len()));
        let alpn = self.alpn.as_ref().map(|name| name.escape_ascii().to_string());
        f.debug_struct("TlsInfo")
            .field("certificate", &certificate)
            .field("alpn", &alpn)
            .field("version", &self.version.map(|version| version.to_string()))
            .field("verified", &self.verified)
            .field("client_certificate", &self.client_certificate)
            .finish()
    }
}
