//! Explanations for errors of `native-tls`.

use std::error::Error;
use std::fmt;
use std::io;

/// Error of a failed handshake. The text is a sentence with the cause and, if known, the remedy; `source()` returns the error of
/// `native-tls`.
#[derive(Debug)]
struct Explained {
    sentence: String,
    error: native_tls::Error,
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

/// Explains the error of a handshake in a sentence. `name` is the name that the peer's certificate must contain, or `None` if any name is
/// accepted.
pub(super) fn explained(error: native_tls::Error, name: Option<&str>) -> io::Error {
    let sentence = sentence(&error.to_string(), name);
    io::Error::other(Explained { sentence, error })
}

/// Returns a sentence with the cause of a failed handshake. `text` is the error message of `native-tls`, and `name` is the name that the
/// peer's certificate must contain. This function looks for known phrases of OpenSSL in the message, because `native-tls` has no other
/// report of the cause. A message without a known phrase is returned unchanged.
fn sentence(text: &str, name: Option<&str>) -> String {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    // Look for an alert of the peer first. `native-tls` adds the result of the certificate check to every error. So the phrases below also
    // occur in an error that an alert caused.
    if let Some(alert) = alert(text) {
        let hint = match alert {
            "unknown ca" => ": the peer does not trust this side's certificate",
            _ if alert.contains("certificate") => ": the peer rejects this side's certificate",
            _ => "",
        };
        return format!("the peer ended TLS with the alert {alert}{hint}");
    }
    if has(&["certificate has expired"]) {
        return "the certificate has expired".into();
    }
    if has(&["certificate is not yet valid"]) {
        return "the certificate is not valid yet; the clock of this machine may be wrong".into();
    }
    if has(&[
        "self-signed certificate",
        "self signed certificate",
        "local issuer certificate",
        "first certificate",
    ]) {
        return "no trusted authority (sslrootcert) has signed the certificate".into();
    }
    if has(&["unexpected eof", "unexpected EOF"]) {
        return "the peer closed the connection in the middle of the handshake".into();
    }
    if has(&["wrong version number", "http request"]) {
        return format!("the peer sent bytes that are not TLS: {text}");
    }
    match name {
        Some(name) if has(&["ostname mismatch", "address mismatch"]) => {
            format!("the certificate is for another name than \"{name}\"")
        }
        // The text is not from OpenSSL, but from the TLS library of macOS or Windows. The word "name" in the text suggests that the
        // certificate is for a different host.
        Some(name) if has(&["name"]) => format!("{text}; the certificate has to be for \"{name}\""),
        _ => text.to_owned(),
    }
}

/// Returns the peer's alert in an error text of OpenSSL. For `tlsv1 alert unknown ca:../ssl/record/rec_layer_s3.c`, returns `unknown ca`.
fn alert(text: &str) -> Option<&str> {
    let (_, rest) = text
        .split_once("tlsv1 alert ")
        .or_else(|| text.split_once("tlsv13 alert "))
        .or_else(|| text.split_once("sslv3 alert "))?;
    rest.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_failures_are_explained_in_a_sentence() {
        let verify = |reason| {
            format!(
                "error:0A000086:SSL routines:tls_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889: ({reason})"
            )
        };
        for (text, expected) in [
            (verify("certificate has expired"), "the certificate has expired"),
            (
                verify("unable to get local issuer certificate"),
                "no trusted authority (sslrootcert) has signed the certificate",
            ),
            (
                verify("self-signed certificate in certificate chain"),
                "no trusted authority (sslrootcert) has signed the certificate",
            ),
            (verify("hostname mismatch"), "the certificate is for another name than \"db.example\""),
            (verify("IP address mismatch"), "the certificate is for another name than \"db.example\""),
        ] {
            assert_eq!(sentence(&text, Some("db.example")), expected, "{text}");
        }
        for (text, expected) in [
            (
                "error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../ssl/record/rec_layer_s3.c:1601:SSL alert number 48 (unable to get local issuer certificate)",
                "the peer ended TLS with the alert unknown ca: the peer does not trust this side's certificate",
            ),
            (
                "error:0A000414:SSL routines:ssl3_read_bytes:sslv3 alert certificate revoked:../ssl/record/rec_layer_s3.c:1601:SSL alert number 44 (self-signed certificate in certificate chain)",
                "the peer ended TLS with the alert certificate revoked: the peer rejects this side's certificate",
            ),
            (
                "error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure",
                "the peer ended TLS with the alert handshake failure",
            ),
        ] {
            assert_eq!(sentence(text, Some("db.example")), expected, "{text}");
        }
        let other = "error:0A0000C1:SSL routines:tls_post_process_client_hello:no shared cipher";
        assert_eq!(sentence(other, Some("db.example")), other);
    }
}
