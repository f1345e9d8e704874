//! Policy checks at AuthenticationOk, the protocol version, and the limits of the data that the session keeps.

use pg_wire::backend::{BackendKeyData, NegotiateProtocolVersion, ParameterStatus};

use super::{Handshake, State};
use crate::config::{AuthMethod, BindingMode, Config, ProtocolVersion, SslCertMode};
use crate::error::{AuthError, PeerError, PolicyError};
use crate::link::ClientCertificate;
use crate::scram::Proven;
use crate::session::CancelKey;

/// Maximum number of bytes of the notices that the client keeps before AuthenticationOk. Servers rarely send notices before
/// AuthenticationOk.
const MOST_KEPT: usize = 256 * 1024;

/// Maximum number of bytes of the notices and notifications that the client keeps until ReadyForQuery. Larger than `MOST_KEPT`, because a
/// login trigger may send any number of notices.
const MOST_KEPT_INSIDE: usize = 4 * 1024 * 1024;

/// Maximum number of bytes of the parameters that the client keeps. Servers send about fifteen parameters, less than a kilobyte. Each
/// parameter is compared with all kept names, so this limit also bounds the time of the comparisons.
const MOST_PARAMETERS: usize = 256 * 1024;

/// Approximate memory overhead of a kept notice, notification or parameter, in bytes. Without this overhead in the sums, empty messages
/// would cost nothing, and a server could make the client keep any number of them.
const COST_OF_KEEPING: usize = 64;

impl Handshake<'_> {
    /// Adds `bytes` to the memory that the server makes the client use. Returns an error if the sum is above the limit for this state.
    pub(super) fn keep(&mut self, bytes: usize, state: &State) -> Result<(), PeerError> {
        let most = if matches!(state, State::Settling) { MOST_KEPT_INSIDE } else { MOST_KEPT };
        self.kept += bytes + COST_OF_KEEPING;
        if self.kept > most { Err(PeerError::Flood) } else { Ok(()) }
    }

    /// Keeps a parameter. A parameter that is reported again replaces its earlier value, and the earlier value no longer counts towards the
    /// limit.
    pub(super) fn keep_parameter(&mut self, status: &ParameterStatus<'_>) -> Result<(), PeerError> {
        let parameters = &mut self.session.parameters;
        parameters.set(status.name, status.value);
        let kept = parameters.bytes() + parameters.len() * COST_OF_KEEPING;
        if kept > MOST_PARAMETERS { Err(PeerError::Flood) } else { Ok(()) }
    }

    /// Processes the server's NegotiateProtocolVersion. This message names an older version, or options that the server does not know.
    pub(super) fn negotiate(&mut self, offer: &NegotiateProtocolVersion<'_>) -> Result<(), AuthError> {
        let NegotiateProtocolVersion { version, unrecognized } = *offer;
        let Config { min_protocol_version: min, max_protocol_version: max, parameters, .. } = self.config;
        if self.negotiated {
            return Err(PeerError::VersionTwice.into());
        }
        // Rejects versions before 3, and version 3.1, which never existed.
        if version.major() < 3 || version == ProtocolVersion::new(3, 1) {
            return Err(PeerError::NoSuchVersion(version).into());
        }
        // The server must name an older version than the client has asked for. The version may be equal only if the server reports an
        // unknown option.
        let older = version < *max || version == *max && !unrecognized.is_empty();
        if version.major() != max.major() || !older {
            return Err(PeerError::Version(version).into());
        }
        if version < *min {
            return Err(PolicyError::Version { server: version, min: *min }.into());
        }
        for option in unrecognized {
            let sent = |(name, _): &(String, String)| name.starts_with("_pq_.") && option == name.as_str();
            let Some((name, _)) = parameters.iter().find(|parameter| sent(parameter)) else {
                return Err(PeerError::UnknownOption.into());
            };
            if !self.session.unrecognized_options.contains(name) {
                self.session.unrecognized_options.push(name.clone());
            }
        }
        self.negotiated = true;
        self.session.version = version;
        Ok(())
    }

    /// Accepts the server's authentication method, if the configuration allows this method.
    pub(super) fn allow(&mut self, method: AuthMethod) -> Result<(), AuthError> {
        if !self.config.require_auth.allows(method) {
            return Err(PolicyError::Method(method).into());
        }
        // If channel binding is required, do not send a password by a method that cannot bind to the channel.
        if self.config.channel_binding == BindingMode::Require && method != AuthMethod::ScramSha256 {
            return Err(PolicyError::ChannelBinding.into());
        }
        self.session.auth_method = method;
        Ok(())
    }

    /// Processes AuthenticationOk. Repeats the check of `require_auth`, so that no state of the machine can accept a login without this
    /// check. Also checks two settings that `allow` cannot check yet: `channel_binding` (was SCRAM bound to the channel?) and `sslcertmode`
    /// (was the client's certificate sent?).
    pub(super) fn settle(&mut self, proven: Option<Proven>) -> Result<State, AuthError> {
        let bound = proven.is_some_and(|proven| proven.is_bound());
        if self.config.channel_binding == BindingMode::Require && !bound {
            return Err(PolicyError::ChannelBinding.into());
        }
        if !self.config.require_auth.allows(self.session.auth_method) {
            return Err(PolicyError::Method(self.session.auth_method).into());
        }
        let sent = self.session.tls.as_ref().and_then(|tls| tls.client_certificate);
        if self.config.tls.cert_mode == SslCertMode::Require
            && let Some(fate @ (ClientCertificate::NotRequested | ClientCertificate::NotSent)) = sent
        {
            return Err(PolicyError::ClientCertificate(fate).into());
        }
        self.session.channel_bound = bound;
        self.authenticated = true;
        Ok(State::In)
    }

    /// Keeps the cancel key; a later key replaces an earlier one.
    pub(super) fn keep_key(&mut self, data: &BackendKeyData<'_>) -> Result<(), PeerError> {
        let length = data.key.0.len();
        self.keep(length, &State::Settling)?;
        let right = match self.session.version {
            ProtocolVersion::V3_0 => length == 4,
            _ => (4..=256).contains(&length),
        };
        if !right {
            return Err(PeerError::KeyLength(length));
        }
        self.session.cancel_key = Some(CancelKey::new(data.pid, data.key.0));
        Ok(())
    }
}
