//! What an accepting machine is given before it begins.

use super::{Accept, Method, State};
use crate::certificate::server_end_point;
use crate::link::TlsInfo;
use crate::scram::Nonce;

impl Accept {
    /// A connection phase that has not begun.
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

    /// Says that TLS has begun on this connection, and what its layer reports of the client. Requests for encryption are refused then,
    /// as PostgreSQL does within TLS.
    pub fn tls(self, tls: TlsInfo) -> Self {
        Self { tls: Some(tls), ssl_declined: true, gss_declined: true, ..self }
    }

    /// Says that a GSSENCRequest of this client has been declined before the machine began. A second one is refused.
    pub fn gss_declined(self) -> Self {
        Self { gss_declined: true, ..self }
    }

    /// Names the certificate that this server presented over TLS, in DER: SCRAM-SHA-256-PLUS is offered then. One that cannot be bound
    /// to, as one signed with Ed25519, changes nothing.
    pub fn server_certificate(self, certificate: &[u8]) -> Self {
        Self { end_point: server_end_point(certificate).ok().flatten(), ..self }
    }

    /// Uses this nonce instead of asking the operating system. It may never be used again.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }

    /// Uses this salt for MD5 instead of asking the operating system: four random bytes.
    pub fn salt(self, salt: [u8; 4]) -> Self {
        Self { salt: Some(salt), ..self }
    }
}
