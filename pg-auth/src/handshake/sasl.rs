//! The client's two exchanges by SASL: SCRAM and OAUTHBEARER.

use pg_wire::frontend::{SaslInitialResponse, SaslResponse};
use pg_wire::{
    Outbox, Text,
    codec::{Secret, Terminated},
};

use super::{Channel, Derived, Handshake, State};
use crate::config::{AuthMethod, BindingMode, Config};
use crate::error::{AuthError, PeerError, PolicyError};
use crate::link::Link;
use crate::oauth::{OAUTHBEARER, TokenReply, TokenRequest, client_first};
use crate::scram::{
    ChannelBinding, ClientChallenged, ClientFinal, ClientFirst, Nonce, SCRAM_SHA_256, SCRAM_SHA_256_PLUS,
    ScramKeys,
};
use crate::secret::wiping_stack;

impl Handshake<'_> {
    /// Chooses the SASL mechanism: SCRAM if there is a password or there are SCRAM keys, else OAUTHBEARER if there is a source of tokens.
    pub(super) fn begin_sasl(
        &mut self,
        mechanisms: Terminated<'_, Text<'_>>,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism == name);
        // A server offers SCRAM-SHA-256-PLUS only over TLS. If the client sees the offer without TLS, an attacker may have removed TLS.
        if self.link != Link::Tls && offers(SCRAM_SHA_256_PLUS) {
            return Err(PeerError::TlsStripped.into());
        }
        let Config { require_auth, scram_keys, tokens, .. } = self.config;
        let scram = offers(SCRAM_SHA_256) || offers(SCRAM_SHA_256_PLUS);
        let proof = scram_keys.is_some() || self.password().is_ok();
        let token = offers(OAUTHBEARER) && require_auth.allows(AuthMethod::OAuth) && tokens.is_some();
        if scram && !(token && (!proof || !require_auth.allows(AuthMethod::ScramSha256))) {
            self.allow(AuthMethod::ScramSha256)?;
            if scram_keys.is_none() {
                self.password()?;
            }
            return Ok(State::ScramFirst(self.begin_scram(offers, outbox)?));
        }
        if offers(OAUTHBEARER) {
            self.allow(AuthMethod::OAuth)?;
            let tokens = tokens.as_ref().ok_or(PolicyError::NoTokens)?;
            let local = self.link == Link::Unix || self.loopback;
            if self.link != Link::Tls && !(local && tokens.allows_plain_local()) {
                return Err(PolicyError::TokenInClear.into());
            }
            return Ok(State::TokenWanted);
        }
        match self.config.channel_binding {
            BindingMode::Require => Err(PolicyError::ChannelBinding.into()),
            _ => Err(PeerError::NoMechanism.into()),
        }
    }

    fn begin_scram(
        &mut self,
        offers: impl Fn(&str) -> bool,
        outbox: &mut Outbox,
    ) -> Result<ClientFirst, AuthError> {
        let mode = self.config.channel_binding;
        let wanted = mode != BindingMode::Disable && self.link == Link::Tls;
        let (mechanism, binding) = match &self.channel {
            Channel::EndPoint(hash) if wanted && offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::TlsServerEndPoint(hash.clone()))
            }
            Channel::NoEndPoint if mode == BindingMode::Require => return Err(PolicyError::NoEndPoint.into()),
            Channel::Unreadable(error) if mode == BindingMode::Require => return Err((*error).into()),
            _ if mode == BindingMode::Require => return Err(PolicyError::ChannelBinding.into()),
            _ if !offers(SCRAM_SHA_256) => return Err(PeerError::NoMechanism.into()),
            // The flag `y` means that no offer of SCRAM-SHA-256-PLUS has arrived. If the server has sent this offer, the server learns from
            // the flag that an attacker has removed the offer.
            Channel::EndPoint(_) if wanted => (SCRAM_SHA_256, ChannelBinding::NotOffered),
            _ => (SCRAM_SHA_256, ChannelBinding::Unsupported),
        };
        let first = ClientFirst::new(self.take_nonce()?, binding);
        let data = first.message();
        outbox.put(&SaslInitialResponse { mechanism: mechanism.into(), data: Some(Secret(&data)) });
        Ok(first)
    }

    /// Keys that need no derivation: from the configuration, or cached by an earlier connection.
    pub(super) fn known_keys(&self, challenged: &ClientChallenged) -> Option<ScramKeys> {
        let Config { scram_keys, scram_cache, password, .. } = self.config;
        let cached =
            || scram_cache.as_ref()?.get(password.as_ref()?, challenged.salt(), challenged.iterations());
        scram_keys.clone().or_else(cached)
    }

    /// Puts the derived keys into the cache, for the next connection. Precondition: the server has proven that it knows these keys.
    pub(super) fn remember(&mut self) {
        if let Some(Derived { salt, iterations, keys }) = self.fresh.take()
            && let (Some(cache), Some(password)) = (&self.config.scram_cache, &self.config.password)
        {
            cache.insert(password, &salt, iterations, keys);
        }
    }

    pub(super) fn token_request(&self) -> TokenRequest {
        TokenRequest {
            user: self.config.user.clone(),
            host: self.host.clone(),
            settings: self.config.oauth.clone(),
            discovery: self.discovery.clone(),
        }
    }

    fn take_nonce(&mut self) -> Result<Nonce, AuthError> {
        match self.nonce.take() {
            Some(nonce) => Ok(nonce),
            None => Nonce::fresh(),
        }
    }

    pub(super) fn prove(&self, last: ClientFinal, outbox: &mut Outbox) -> State {
        wiping_stack(|| outbox.put(&SaslResponse { data: Secret(last.message()) }));
        State::ScramFinal(last)
    }

    pub(super) fn send_token(&self, reply: TokenReply, outbox: &mut Outbox) -> State {
        let token = match &reply {
            TokenReply::Token(token) => Some(token),
            TokenReply::Discover => None,
        };
        let data = client_first(token);
        let response = SaslInitialResponse { mechanism: OAUTHBEARER.into(), data: Some(Secret(&data)) };
        wiping_stack(|| outbox.put(&response));
        State::TokenSent { empty: token.is_none() }
    }
}
