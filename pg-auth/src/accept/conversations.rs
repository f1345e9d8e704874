//! The exchanges in which a client sends several messages: SCRAM, OAUTHBEARER and GSSAPI.

use pg_wire::backend::Authentication;
use pg_wire::{Outbox, codec::Secret};

use super::{Accept, Context, State};
use crate::error::{AuthError, ClientError, PluginError};
use crate::gss::{GssOutput, GssStepped, Principals};
use crate::oauth::{OAuthLogin, OAuthOffer, read_client_first};
use crate::scram::{Nonce, OfferedBinding, ServerFirst, Verifier};

impl Accept {
    pub(super) fn after_gss(
        &mut self,
        stepped: GssStepped,
        principals: Principals,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let (context, output) = stepped.0.map_err(|error| PluginError::new("GSSAPI library", error))?;
        let (token, peer) = match output {
            GssOutput::Continue(token) => {
                outbox.put(&Authentication::GssContinue(Secret(&token)));
                return Ok(State::GssAwait(Context(context), principals));
            }
            GssOutput::Done { token, peer } => (token, peer),
        };
        // If GSSAPI reports no principal, the client is not authenticated.
        let peer = peer.filter(|peer| principals.allow(peer)).ok_or(AuthError::Denied)?;
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            outbox.put(&Authentication::GssContinue(Secret(&token)));
        }
        self.principal = Some(peer);
        Ok(self.let_in(outbox))
    }

    pub(super) fn challenge(
        &self,
        verifier: Verifier,
        nonce: Nonce,
        binding: OfferedBinding,
        data: Secret<'_>,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let bound = matches!(binding, OfferedBinding::TlsServerEndPoint(_));
        let challenge = ServerFirst::new(verifier, nonce, binding).client_first(data.0)?;
        outbox.put(&Authentication::SaslContinue(Secret(challenge.message())));
        Ok(State::ScramFinal(challenge, bound))
    }

    pub(super) fn first_token(
        &self,
        login: OAuthLogin,
        data: Secret<'_>,
        outbox: &mut Outbox,
    ) -> Result<State, AuthError> {
        let token = read_client_first(data.0).map_err(ClientError::OAuth)?;
        let (offer, check) = login.into_parts(token);
        Ok(match check {
            Some(check) => State::TokenChecking(Some(check), offer),
            None => self.fail_token(&offer, outbox),
        })
    }

    pub(super) fn fail_token(&self, offer: &OAuthOffer, outbox: &mut Outbox) -> State {
        outbox.put(&Authentication::SaslContinue(Secret(offer.document().as_bytes())));
        State::OAuthFailing
    }
}
