//! The kind of a connection's stream, and the report on its TLS.

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

/// What the TLS layer of a connection reports about its channel.
///
/// The type will grow: begin with [`TlsInfo::default`] and set the fields that the TLS library gives.
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
    /// The version of TLS.
    pub version: Option<TlsVersion>,
    /// Whether the TLS layer has checked that an authority which is trusted here has signed the peer's certificate. A server lets a
    /// certificate be the login only then.
    pub verified: bool,
    /// As a client: whether a certificate of ours was asked for and sent, where the TLS layer tells.
    pub client_certificate: Option<ClientCertificate>,
}

/// The fate of the client's certificate in a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// The server asked for no certificate.
    NotRequested,
    /// The server asked for a certificate, and the client had no suitable one.
    NotSent,
    /// The client sent a certificate.
    Sent,
}

/// A version of TLS. The order of the variants is the order of the versions.
///
/// Which of them can be spoken depends on the TLS library. Most speak 1.2 and 1.3 only; a range without one of theirs is an error when
/// TLS begins.
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
    /// The version with this number on the wire, such as 0x0304 for TLS 1.3.
    pub fn from_wire(number: u16) -> Option<Self> {
        match number {
            0x0301 => Some(Self::V1_0),
            0x0302 => Some(Self::V1_1),
            0x0303 => Some(Self::V1_2),
            0x0304 => Some(Self::V1_3),
            _ => None,
        }
    }

    /// All versions, the oldest first.
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

/// Shows only the length of the certificate: a thousand numbers in a log are useless.
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
