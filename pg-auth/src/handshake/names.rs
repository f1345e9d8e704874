//! Names of messages, and detection of servers that do not use the PostgreSQL protocol.

use pg_wire::backend::{Authentication, Backend};

use crate::error::{AuthError, PeerError, Refusal, printable};

/// Returns an error if these bytes are TLS or text instead of an answer to the start-up message.
///
/// Text could be mistaken for a message with a type byte and a length. But if the five bytes of a message header are all printable, the
/// length is more than half a gigabyte. No allowed message is so long, so five printable bytes are the beginning of a text.
pub(super) fn foreign(bytes: &[u8]) -> Option<AuthError> {
    let start = bytes.first_chunk::<5>()?;
    if matches!(start, [0x15 | 0x16, 3, 0..=4, ..]) {
        return Some(PeerError::Tls.into());
    }
    if !start.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return None;
    }
    let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\r' | b'\n')).unwrap_or(bytes.len());
    let line = bytes.get(..end).unwrap_or_default();
    // A server that cannot start a process for this client sends `E` and a line of text, without a length.
    match line.strip_prefix(b"E") {
        Some(text) => Some(Refusal::Text(printable(text, 256)).into()),
        None => Some(PeerError::Foreign(printable(line, 32)).into()),
    }
}

/// The message's name in the manual, which names each kind of Authentication message separately.
pub(super) fn name(message: &Backend<'_>) -> &'static str {
    match message {
        Backend::Authentication(Authentication::Ok) => "AuthenticationOk",
        Backend::Authentication(Authentication::CleartextPassword) => "AuthenticationCleartextPassword",
        Backend::Authentication(Authentication::Md5Password { .. }) => "AuthenticationMD5Password",
        Backend::Authentication(Authentication::Gss) => "AuthenticationGSS",
        Backend::Authentication(Authentication::Sspi) => "AuthenticationSSPI",
        Backend::Authentication(Authentication::GssContinue(_)) => "AuthenticationGSSContinue",
        Backend::Authentication(Authentication::Sasl(_)) => "AuthenticationSASL",
        Backend::Authentication(Authentication::SaslContinue(_)) => "AuthenticationSASLContinue",
        Backend::Authentication(Authentication::SaslFinal(_)) => "AuthenticationSASLFinal",
        other => pg_wire::Message::name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_contains_the_text_of_a_server_that_cannot_fork() {
        let error =
            foreign(b"Ecould not fork new process for connection: \x1b[2J\n\0").expect("not a message");
        let shown = "the server refused the connection: could not fork new process for connection: ?[2J";
        assert_eq!(error.to_string(), shown);
    }

    #[test]
    fn the_error_shows_the_answer_of_another_protocol() {
        for (answer, shown) in [
            (&b"HTTP/1.1 400 Bad Request\r\nServer: x"[..], "\"HTTP/1.1 400 Bad Request\""),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "\"SSH-2.0-OpenSSH_9.2p1\""),
            (b"220 mail.example ESMTP Postfix (Debian/GNU)", "\"220 mail.example ESMTP Postfix (\""),
            (b"-ERR unknown command", "\"-ERR unknown command\""),
        ] {
            let error = foreign(answer).expect("not a message").to_string();
            assert_eq!(
                error,
                format!("the server does not use the PostgreSQL protocol: its answer begins with {shown}")
            );
        }
        let alert = foreign(b"\x15\x03\x03\0\x02\x02\x28").expect("not a message").to_string();
        assert!(alert.starts_with("the server answers with TLS"), "{alert}");
    }

    #[test]
    fn messages_and_incomplete_headers_are_not_taken_for_another_protocol() {
        for answer in
            [&b"R\0\0\0\x08\0\0\0\0"[..], b"E\0\0\0\x05\0", b"v\0\0\0\x0c", b"N\0\0 \0", b"HTTP", b""]
        {
            assert_eq!(foreign(answer), None);
        }
    }
}
