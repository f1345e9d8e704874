//! Settings of a `Handshake` before its first step.

use super::{Channel, Handshake, State};
use crate::certificate::server_end_point;
use crate::config::{BindingMode, Config, SslMode};
use crate::error::{AuthError, PolicyError};
use crate::link::{Link, TlsInfo};
use crate::oauth::Discovery;
use crate::scram::Nonce;
use crate::session::Session;

impl<'c> Handshake<'c> {
    /// Creates the client's state machine for a new connection phase over a stream of the kind `link`.
    ///
    /// # Errors
    /// The configuration contradicts itself, or demands a property that a stream of this kind lacks.
    pub fn new(config: &'c Config, link: Link) -> Result<Self, AuthError> {
        config.check()?;
        let wants_tls = matches!(config.sslmode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
        if wants_tls && link == Link::Tcp {
            return Err(PolicyError::TlsRequired.into());
        }
        if config.channel_binding == BindingMode::Require && link != Link::Tls {
            return Err(PolicyError::ChannelBinding.into());
        }
        Ok(Self {
            config,
            link,
            channel: Channel::Unknown,
            host: None,
            loopback: false,
            discovery: None,
            nonce: None,
            state: State::Start,
            limits: None,
            negotiated: false,
            fresh: None,
            gss_tokens: 0,
            kept: 0,
            authenticated: false,
            session: Session::new(config.max_protocol_version),
        })
    }

    /// Sets the TLS layer's report, which becomes a part of the session. Binds SCRAM to the certificate in this report, as
    /// [`server_certificate`](Self::server_certificate) does.
    pub fn tls(mut self, tls: TlsInfo) -> Self {
        if let Some(certificate) = &tls.certificate {
            self.channel = channel(certificate);
        }
        self.session.tls = Some(tls);
        self
    }

    /// Binds SCRAM to the TLS channel, by the certificate that the server presented, in DER.
    ///
    /// Some certificates have no hash for channel binding, for example certificates that are signed with Ed25519. Such a certificate is an
    /// error only if the configuration requires channel binding and the server asks for SCRAM. The same applies to a certificate that
    /// cannot be read.
    pub fn server_certificate(self, certificate: &[u8]) -> Self {
        Self { channel: channel(certificate), ..self }
    }

    /// Binds SCRAM to the TLS channel, by the `tls-server-end-point` hash of the server's certificate: for a TLS layer that supplies the
    /// hash instead of the certificate.
    pub fn channel(self, certificate_hash: Vec<u8>) -> Self {
        Self { channel: Channel::EndPoint(certificate_hash), ..self }
    }

    /// Sets the name of the connected host: GSSAPI authenticates to a service on this host, and a token source receives the name.
    pub fn host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// Declares that the server's address is a loopback address. Bearer tokens may then be sent without TLS if
    /// [`Tokens::allow_plain_local`](crate::oauth::Tokens::allow_plain_local) was called.
    pub fn loopback(self) -> Self {
        Self { loopback: true, ..self }
    }

    /// Sets the document that the server sent in an earlier attempt ([`AuthError::discovery`]). The state machine passes the document to
    /// the token source.
    pub fn discovery(self, document: Discovery) -> Self {
        Self { discovery: Some(document), ..self }
    }

    /// Uses this nonce instead of random bytes from the operating system. A nonce must never be used twice.
    pub fn nonce(self, nonce: Nonce) -> Self {
        Self { nonce: Some(nonce), ..self }
    }
}

fn channel(certificate: &[u8]) -> Channel {
    match server_end_point(certificate) {
        Ok(Some(hash)) => Channel::EndPoint(hash),
        Ok(None) => Channel::NoEndPoint,
        Err(error) => Channel::Unreadable(error),
    }
}
