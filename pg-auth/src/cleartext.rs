//! The rule that decides whether a password may be sent in clear text.
//!
//! A client that answers AuthenticationCleartextPassword shows its password to everyone who can read the traffic. A man in the middle can
//! send AuthenticationCleartextPassword in the server's name.
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/auth-password.html)

use crate::config::words::SslMode;
use crate::error::PolicyError;
use crate::link::Link;

/// Checks whether a clear-text password may be sent. A clear-text password may be sent in three cases:
/// - over TLS;
/// - over a Unix-domain socket;
/// - over TCP without TLS, if the caller has asked for a connection without TLS (`sslmode=disable`).
///
/// The server's refusal of TLS is not a sufficient reason to send the password, because a man in the middle can send this refusal.
///
/// # Errors
/// [`PolicyError::CleartextPassword`] if the password may not be sent.
pub fn check(link: Link, sslmode: SslMode) -> Result<(), PolicyError> {
    match (link, sslmode) {
        (Link::Tls | Link::Unix, _) | (Link::Tcp, SslMode::Disable) => Ok(()),
        (Link::Tcp, _) => Err(PolicyError::CleartextPassword),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [SslMode; 6] = [
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];

    #[test]
    fn over_tcp_a_cleartext_password_needs_sslmode_disable() {
        for mode in MODES {
            assert_eq!(check(Link::Tcp, mode).is_ok(), mode == SslMode::Disable, "{mode:?}");
        }
    }

    #[test]
    fn over_tls_and_unix_sockets_a_cleartext_password_is_allowed() {
        for mode in MODES {
            assert_eq!(check(Link::Tls, mode), Ok(()));
            assert_eq!(check(Link::Unix, mode), Ok(()));
        }
    }
}
