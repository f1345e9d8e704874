//! Explanations for errors of rustls.

use std::error::Error;
use std::fmt;
use std::io;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError};

/// Error of a failed handshake. The text is a sentence with the cause and the remedy; `source()` returns the error of rustls.
#[derive(Debug)]
struct Explained {
    sentence: String,
    error: rustls::Error,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Explains a handshake error in a sentence, if the error is from rustls or is an unexpected end of the stream. Other errors are returned
/// unchanged.
pub(super) fn explained(error: io::Error) -> io::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::UnexpectedEof {
        return io::Error::new(kind, "the peer closed the connection in the middle of the handshake");
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => io::Error::new(kind, Explained { sentence: sentence(inner), error: inner.clone() }),
        None => error,
    }
}

fn sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::AlertReceived(alert) => alert_sentence(*alert),
        rustls::Error::InvalidMessage(_) => {
            format!("the peer sent bytes that are not TLS: {error}")
        }
        rustls::Error::PeerIncompatible(_) => {
            format!("the peer has no version or cipher in common with this side: {error}")
        }
        rustls::Error::NoApplicationProtocol => {
            "the peer offers only other protocols than PostgreSQL's (ALPN)".into()
        }
        other => other.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the certificate has expired".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            let over = time.as_secs().saturating_sub(not_after.as_secs());
            format!("the certificate expired {} ago", duration(over))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet; the clock of this machine may be wrong".into()
        }
        CertificateError::Revoked => "the certificate has been revoked (sslcrl)".into(),
        CertificateError::UnknownRevocationStatus => {
            "sslcrl contains no revocation list of the certificate's issuer".into()
        }
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list (sslcrl) has expired".into()
        }
        CertificateError::UnknownIssuer => {
            "no trusted authority (sslrootcert) has signed the certificate".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().map(|name| readable(name)).collect();
            let names = if names.is_empty() { String::from("no name") } else { names.join(", ") };
            format!("the certificate is for {names}, not for \"{}\"", expected.to_str())
        }
        CertificateError::NotValidForName => "the certificate is for another name".into(),
        other if crate::rustls::verify::is_authority(other) => {
            "the certificate belongs to an authority and is not in sslrootcert".into()
        }
        other => format!("the certificate is not accepted: {other:?}"),
    }
}

/// Removes rustls's type name around a name: `DnsName("localhost")` becomes `localhost`.
fn readable(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).to_string()
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds / 60),
        7200..=172_799 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn alert_sentence(alert: AlertDescription) -> String {
    let hint = match alert {
        AlertDescription::CertificateRequired => ": the server demands a client certificate (sslcert)",
        AlertDescription::UnknownCA => ": the peer does not trust this side's certificate",
        AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown => ": the peer rejects this side's certificate",
        AlertDescription::ProtocolVersion => ": the peer supports none of the offered versions of TLS",
        AlertDescription::NoApplicationProtocol => ": the peer does not support PostgreSQL over TLS (ALPN)",
        AlertDescription::HandshakeFailure => ": the peer has no cipher in common with this side",
        _ => "",
    };
    format!("the peer ended TLS with the alert {alert:?}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};

    #[test]
    fn usual_failures_are_explained_in_sentences() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let name = ServerName::try_from("db.example").expect("a name");
        for (error, expected) in [
            (
                CertificateError::ExpiredContext { time: at(200_000), not_after: at(20_000) },
                "the certificate expired 2 days ago",
            ),
            (
                CertificateError::UnknownIssuer,
                "no trusted authority (sslrootcert) has signed the certificate",
            ),
            (
                CertificateError::NotValidForNameContext {
                    expected: name,
                    presented: vec![r#"DnsName("localhost")"#.into(), "IpAddress(127.0.0.1)".into()],
                },
                "the certificate is for \"localhost\", 127.0.0.1, not for \"db.example\"",
            ),
        ] {
            let error = io::Error::other(rustls::Error::InvalidCertificate(error));
            let explained = explained(error);
            assert_eq!(explained.to_string(), expected);
        }
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(
            explained(io::Error::other(alert)).to_string(),
            "the peer ended TLS with the alert CertificateRequired: the server demands a client certificate (sslcert)"
        );
    }
}
