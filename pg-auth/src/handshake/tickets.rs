//! The client's side of an authentication by GSSAPI or SSPI.

use pg_wire::Outbox;
use pg_wire::codec::Secret;
use pg_wire::frontend::GssResponse;

use super::{Context, Handshake, State};
use crate::config::AuthMethod;
use crate::error::{AuthError, ConfigError, PluginError, PolicyError};
use crate::gss::{GssJob, GssOutput, GssStepped, GssTarget};

impl Handshake<'_> {
    /// Takes the result of the job in a [`Step::Gss`](super::Step::Gss).
    ///
    /// # Errors
    /// The library's own error, as [`AuthError::Plugin`]. After an error, the state machine has ended.
    pub fn stepped(&mut self, stepped: GssStepped, outbox: &mut Outbox) -> Result<(), AuthError> {
        if !matches!(self.state, State::GssStepping(None)) {
            return Ok(());
        }
        self.state = State::Over;
        let (context, output) = stepped.0.map_err(|error| PluginError::new("GSSAPI library", error))?;
        let mut send = |token: &[u8]| {
            if !token.is_empty() {
                outbox.put(&GssResponse { data: Secret(token) });
            }
        };
        self.state = match output {
            GssOutput::Continue(token) => {
                send(&token);
                State::GssSent(Context(context))
            }
            GssOutput::Done { token, .. } => {
                send(&token.unwrap_or_default());
                State::GssDone
            }
        };
        Ok(())
    }

    pub(super) fn begin_gss(&mut self, method: AuthMethod) -> Result<State, AuthError> {
        self.allow(method)?;
        let gss = self.config.gss.clone().ok_or(PolicyError::NoGss)?;
        let target = GssTarget {
            service: self.config.krbsrvname.clone(),
            // A Kerberos ticket is for a service on a host, so the name of the host is required.
            host: self.host.clone().ok_or(ConfigError::Missing("host"))?,
            delegation: self.config.gssdelegation,
            sspi: method == AuthMethod::Sspi,
        };
        Ok(State::GssStepping(Some(GssJob::begin(gss, target))))
    }
}
