//! Settings of TLS: certificates, keys, versions.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::words::words;
use crate::error::ConfigError;
use crate::link::TlsVersion;
use crate::secret::Password;

words! {
    /// Selects whether to send the client's certificate.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLCERTMODE)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    SslCertMode, "sslcertmode":
        /// Never send a certificate, even if one is configured.
        Disable = "disable",
        /// Send the configured certificate, if there is one and the server asks for a certificate.
        #[default]
        Allow = "allow",
        /// Send the configured certificate. The connection fails if no certificate is sent, for example because the server asks for none.
        Require = "require",
}

/// Reads a version such as `TLSv1.2`. Upper and lower case are equal, as in libpq.
impl FromStr for TlsVersion {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        let found = Self::ALL.iter().copied().find(|version| version.as_str().eq_ignore_ascii_case(word));
        found.ok_or(ConfigError::InvalidValue("ssl_min_protocol_version or ssl_max_protocol_version"))
    }
}

/// The certificate authorities that may have signed a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootCert {
    /// The authorities in this file, in PEM.
    File(PathBuf),
    /// The authorities that the operating system trusts; the word `system` in a connection string. These authorities issue certificates to
    /// anyone, so the host name in the certificate must be checked: `System` requires [`SslMode::VerifyFull`](super::SslMode::VerifyFull).
    System,
}

/// Settings of TLS other than [`SslMode`](super::SslMode) and [`SslNegotiation`](super::SslNegotiation): trusted authorities, the client's
/// certificate, versions. No effect on a connection without TLS.
///
/// Every field has a setter of the same name. Files are not opened before TLS begins.
///
/// ```
/// use pg_auth::config::{Config, RootCert, SslMode, TlsSettings, TlsVerification, TlsVersion};
///
/// let ca = RootCert::File("/etc/db/ca.pem".into());
/// let tls = TlsSettings::default().root(ca.clone()).min_version(TlsVersion::V1_3);
/// let config = Config::new("alice").sslmode(SslMode::Require).tls(tls);
/// assert_eq!(config.tls_verification(), Ok(TlsVerification::Chain(&ca)));
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-ssl.html)
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// `sslrootcert`: the authorities to trust. If set, the server's certificate is verified in every mode, as in libpq; see
    /// [`Config::tls_verification`](super::Config::tls_verification). Default none.
    pub root: Option<RootCert>,
    /// `sslcert`: a file with the client's certificate and the intermediate certificates, in PEM. Default none.
    pub cert: Option<PathBuf>,
    /// `sslkey`: a file with the private key of the client's certificate, in PEM. Default none.
    pub key: Option<PathBuf>,
    /// `sslpassword`: the password that decrypts the private key. Default none.
    pub key_password: Option<Password>,
    /// `sslcertmode`: selects whether to send the client's certificate. Default [`SslCertMode::Allow`].
    pub cert_mode: SslCertMode,
    /// `sslcrl`: a file with certificate revocation lists, in PEM. Default none.
    pub crl: Option<PathBuf>,
    /// `sslcrldir`: a directory of files with certificate revocation lists. Default none.
    pub crl_dir: Option<PathBuf>,
    /// `sslsni`: whether to send the server's name unencrypted (SNI), for example for a proxy that routes by this name. Default `true`. A
    /// numeric address is never sent.
    pub sni: bool,
    /// `ssl_min_protocol_version`: the oldest TLS version to accept. Default TLS 1.2; `None` leaves the choice to the TLS library.
    pub min_version: Option<TlsVersion>,
    /// `ssl_max_protocol_version`: the newest TLS version to accept. Default none: the newest version that the TLS library supports.
    pub max_version: Option<TlsVersion>,
    /// `sslkeylogfile`: a file to which the secrets of the connection are appended, in the key log format of NSS. Everyone who has this
    /// file can decrypt the connection: for debugging only. Default none.
    pub key_log: Option<PathBuf>,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            root: None,
            cert: None,
            key: None,
            key_password: None,
            cert_mode: SslCertMode::default(),
            crl: None,
            crl_dir: None,
            sni: true,
            min_version: Some(TlsVersion::V1_2),
            max_version: None,
            key_log: None,
        }
    }
}

impl TlsSettings {
    /// Sets the authorities to trust.
    pub fn root(mut self, root: RootCert) -> Self {
        self.root = Some(root);
        self
    }

    /// Sets the file of the client's certificate.
    pub fn cert(mut self, file: impl Into<PathBuf>) -> Self {
        self.cert = Some(file.into());
        self
    }

    /// Sets the file of the client's private key.
    pub fn key(mut self, file: impl Into<PathBuf>) -> Self {
        self.key = Some(file.into());
        self
    }

    /// Sets the password of the client's private key.
    pub fn key_password(mut self, password: impl Into<Password>) -> Self {
        self.key_password = Some(password.into());
        self
    }

    /// Selects whether to send the client's certificate.
    pub fn cert_mode(mut self, mode: SslCertMode) -> Self {
        self.cert_mode = mode;
        self
    }

    /// Sets the file of certificate revocation lists.
    pub fn crl(mut self, file: impl Into<PathBuf>) -> Self {
        self.crl = Some(file.into());
        self
    }

    /// Sets the directory of files with certificate revocation lists.
    pub fn crl_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.crl_dir = Some(dir.into());
        self
    }

    /// Sets whether to send the server's name unencrypted.
    pub fn sni(mut self, sni: bool) -> Self {
        self.sni = sni;
        self
    }

    /// Sets the oldest TLS version to accept.
    pub fn min_version(mut self, version: impl Into<Option<TlsVersion>>) -> Self {
        self.min_version = version.into();
        self
    }

    /// Sets the newest TLS version to accept.
    pub fn max_version(mut self, version: impl Into<Option<TlsVersion>>) -> Self {
        self.max_version = version.into();
        self
    }

    /// Sets the file to which the secrets of the connection are appended.
    pub fn key_log(mut self, file: impl Into<PathBuf>) -> Self {
        self.key_log = Some(file.into());
        self
    }
}

/// The verification of a server's certificate, chosen by [`Config::tls_verification`](super::Config::tls_verification).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVerification<'a> {
    /// No check: any certificate is accepted.
    None,
    /// One of the authorities in the `RootCert` must have signed the certificate, directly or through intermediate certificates, and the
    /// certificate must be valid at this time.
    Chain(&'a RootCert),
    /// Like `Chain`; in addition, the certificate must be issued for the name of the host.
    Full(&'a RootCert),
}
