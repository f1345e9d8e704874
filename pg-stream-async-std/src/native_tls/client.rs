//! Converts the TLS settings of a connection to a connector of `native-tls`.

use std::io;
use std::path::PathBuf;

use native_tls::{Certificate, Protocol, TlsConnector, TlsConnectorBuilder};
use pg_auth::config::{RootCert, SslCertMode, TlsSettings, TlsVerification, TlsVersion};
use pg_auth::pem::{self, bad_file};
use pg_auth::tls::{ALPN, TlsRequest};
use pg_auth::{Config, Host};

use crate::native_tls::identity;

/// Settings of one handshake. Owned, because another thread prepares the connector from these settings.
#[derive(Debug)]
pub(super) struct Wanted {
    settings: TlsSettings,
    verification: Verification,
    /// Host name or address of the server, for SNI and for the check of the certificate. SNI is sent only for a host name.
    pub(super) name: String,
}

/// Owned form of [`TlsVerification`], which borrows from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verification {
    None,
    Chain(RootCert),
    Full(RootCert),
}

impl Wanted {
    /// Takes the settings of a handshake from a request.
    ///
    /// # Errors
    /// The configuration requires a feature that `native-tls` does not have.
    pub(super) fn new(request: &TlsRequest<'_>) -> io::Result<Self> {
        let config: &Config = request.config;
        let verification = match config.tls_verification().map_err(io::Error::other)? {
            TlsVerification::None => Verification::None,
            TlsVerification::Chain(root) => Verification::Chain(root.clone()),
            TlsVerification::Full(root) => Verification::Full(root.clone()),
        };
        let settings = config.tls.clone();
        if request.direct {
            return Err(unsupported(
                "sslnegotiation=direct",
                "it does not report the protocol that ALPN has selected, which direct TLS requires",
            ));
        }
        check(&settings, verification != Verification::None)?;
        let name = name(request.host, matches!(verification, Verification::Full(_)))?;
        Ok(Self { settings, verification, name })
    }

    /// Whether the server's certificate must be issued for `name`.
    pub(super) fn checks_name(&self) -> bool {
        matches!(self.verification, Verification::Full(_))
    }

    /// Whether a trusted authority must have signed the server's certificate.
    pub(super) fn verifies(&self) -> bool {
        self.verification != Verification::None
    }

    /// Prepares a connector. Call this method on a thread for blocking work, because it reads files.
    pub(super) fn connector(&self) -> io::Result<TlsConnectorBuilder> {
        let settings = &self.settings;
        let mut builder = TlsConnector::builder();
        match &self.verification {
            // The two calls below disable the checks of the certificate and of the host name. The handshake nevertheless proves that the
            // server has the private key of its certificate.
            Verification::None => {
                builder.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
            }
            Verification::Chain(root) => {
                trust(&mut builder, root)?;
                builder.danger_accept_invalid_hostnames(true);
            }
            Verification::Full(root) => trust(&mut builder, root)?,
        }
        if let Some((cert, key)) = client_certificate(settings)? {
            let password = settings.key_password.as_ref();
            builder.identity(identity::read("client certificate", cert, key, password)?.0);
        }
        builder.min_protocol_version(settings.min_version.map(protocol).transpose()?);
        builder.max_protocol_version(settings.max_version.map(protocol).transpose()?);
        builder.use_sni(settings.sni);
        builder.request_alpns(&[std::str::from_utf8(ALPN).map_err(io::Error::other)?]);
        Ok(builder)
    }
}

/// Creates the error for a setting that `native-tls` does not support.
fn unsupported(setting: &str, reason: &str) -> io::Error {
    let message = format!("{setting} is not supported with native-tls: {reason}");
    io::Error::new(io::ErrorKind::Unsupported, message)
}

/// Rejects settings that the library does not support. Revocation lists are rejected only if `verified` is true: without verification of
/// the certificate, a list has no effect.
fn check(settings: &TlsSettings, verified: bool) -> io::Result<()> {
    const NO_LISTS: &str = "it cannot check revocation lists";
    if settings.crl.is_some() && verified {
        return Err(unsupported("sslcrl", NO_LISTS));
    }
    if settings.crl_dir.is_some() && verified {
        return Err(unsupported("sslcrldir", NO_LISTS));
    }
    if settings.key_log.is_some() {
        return Err(unsupported("sslkeylogfile", "it does not export the secrets of a connection"));
    }
    if settings.cert_mode == SslCertMode::Require {
        let reason = "it does not report whether the server requested a certificate";
        return Err(unsupported("sslcertmode=require", reason));
    }
    Ok(())
}

/// Returns the host name or the address of the server, for SNI and for the check of the certificate.
fn name(host: &Host, checked: bool) -> io::Result<String> {
    let (name, address) = match host {
        Host::Tcp { host, address, .. } => (host.as_str(), *address),
        _ => ("", None),
    };
    match (name, address) {
        ("", Some(address)) => Ok(address.to_string()),
        ("", None) if checked => {
            let message = "the connection has no host name, so the name in the certificate cannot be checked";
            Err(io::Error::new(io::ErrorKind::InvalidInput, message))
        }
        // A placeholder, because `native-tls` needs a name. A Unix-domain socket, for example, has neither a name nor an address.
        // The server does not see the placeholder, because an address is never sent as SNI.
        ("", None) => Ok(String::from("0.0.0.0")),
        (name, _) => Ok(name.to_owned()),
    }
}

/// Makes the connector trust only the certificates of `root`.
fn trust(builder: &mut TlsConnectorBuilder, root: &RootCert) -> io::Result<()> {
    match root {
        // A new builder already trusts the authorities of the system.
        RootCert::System => {}
        RootCert::File(file) => {
            const WHAT: &str = "root certificate";
            builder.disable_built_in_roots(true);
            for certificate in pem::certificates(WHAT, file)? {
                let certificate = Certificate::from_der(&certificate)
                    .map_err(|error| bad_file(WHAT, file, format_args!("holds no certificate: {error}")))?;
                builder.add_root_certificate(certificate);
            }
        }
        other => return Err(unsupported("sslrootcert", &format!("the value {other:?} is unknown"))),
    }
    Ok(())
}

/// Returns the files of the client's certificate and its key, or `None` if no certificate shall be sent.
fn client_certificate(settings: &TlsSettings) -> io::Result<Option<(&PathBuf, &PathBuf)>> {
    match (&settings.cert, &settings.key) {
        _ if settings.cert_mode == SslCertMode::Disable => Ok(None),
        (None, _) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some((cert, key))),
        (Some(_), None) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "sslcert is set, but its key is missing: set sslkey",
        )),
    }
}

fn protocol(version: TlsVersion) -> io::Result<Protocol> {
    match version {
        TlsVersion::V1_0 => Ok(Protocol::Tlsv10),
        TlsVersion::V1_1 => Ok(Protocol::Tlsv11),
        TlsVersion::V1_2 => Ok(Protocol::Tlsv12),
        TlsVersion::V1_3 => Ok(Protocol::Tlsv13),
        other => Err(unsupported(
            "ssl_min_protocol_version and ssl_max_protocol_version",
            &format!("the version {other} is unknown"),
        )),
    }
}
