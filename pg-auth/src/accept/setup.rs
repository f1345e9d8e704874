//! Settings of an `Accept` before its first step.

use super::{Accept, Method, State};
use crate::certificate::server_end_point;
use crate::link::TlsInfo;
use crate::scram::Nonce;

impl Accept {
    /// Creates the server's state machine for a connection on which no packet has been read.
    pub fn new() -> Self {
        Self {
            state: State::FirstPacket,
            ssl_declined: false,
            gss_declined: false,
            nonce: None,
            salt: None,
            end_point: None,
            tls: None,
            limits: None,
            gss_tokens: 0,
            startup: None,
            method: Method::Trust,
            channel_bound: false,
            keys: None,
            principal: None,
        }
    }

    /// Declares that TLS has begun on this connection, and sets the TLS layer's report about the client. The state machine then rejects
    /// requests for encryption, as PostgreSQL does over TLS.
    pub fn tls(self, tls: TlsInfo) -> Self {
        Self { tls: Some(tls), ssl_declined: true, gss_declined: true, ..self }
    }

    /// Declares that a GSSENCRequest of this client was declined before the state machine began. A second GSSENCRequest is rejected.
    pub fn gss_declined(self) -> Self {
        Self { gss_declined: true, ..self }
    }

    /// Sets the certificate that this server has presented over TLS, in DER. The state machine then offers SCRAM-SHA-256-PLUS. A
    /// certificate without a hash for channel binding, such as a certificate signed with Ed25519, has no effect.
    pub fn server_certificate(self, certificate: &[u8]) -> Self {
        Self { end_point: server_end_point(certificate).ok().flatten(), ..self }
    }

    /// Uses this nonce instead of random bytes from the operating system. A nonce must never be used twice.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }

    /// Uses this salt for MD5 instead of random bytes from the operating system. The four bytes must be random.
    pub fn salt(self, salt: [u8; 4]) -> Self {
        Self { salt: Some(salt), ..self }
    }
}
