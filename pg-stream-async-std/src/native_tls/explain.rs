//! Errors of `native-tls` in sentences.

use std::error::Error;
use std::fmt;
use std::io;

/// A failed handshake: a sentence that says what is wrong and what to do, and the library's error as its source.
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

/// Explains the error of a handshake. `name` is the name that the peer's certificate has to have, if it is checked.
pub(super) fn explained(error: native_tls::Error, name: Option<&str>) -> io::Error {
    let sentence = sentence(&error.to_string(), name);
    io::Error::other(Explained { sentence, error })
}

/// Finds the cause in the text of the library, which has no other way to tell it. The phrases are those of OpenSSL; a text without one
/// of them is passed on.
fn sentence(text: &str, name: Option<&str>) -> String {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
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
        // The text of another platform may be about the name as well.
        Some(name) if has(&["name"]) => format!("{text}; the certificate has to be for \"{name}\""),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_failures_are_sentences() {
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
        let other = "error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure";
        assert_eq!(sentence(other, Some("db.example")), other);
    }
}
