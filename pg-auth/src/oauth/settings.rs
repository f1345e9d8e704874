//! Settings of a client's login by a bearer token.

use crate::secret::Password;

/// Settings of a login by a bearer token (OAUTHBEARER), PostgreSQL 18 and later. The settings are passed to the
/// [`TokenSource`](super::TokenSource).
///
/// Every field has a setter of the same name.
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OAUTH-ISSUER)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuthSettings {
    /// `oauth_issuer`: the HTTPS address of the issuer of tokens, or of its discovery document. No other issuer is trusted, even if the
    /// PostgreSQL server names another issuer.
    pub issuer: Option<String>,
    /// `oauth_client_id`: the client's name at the issuer.
    pub client_id: Option<String>,
    /// `oauth_client_secret`: the client's password at the issuer.
    pub client_secret: Option<Password>,
    /// `oauth_scope`: the rights to ask for, with spaces between them. Without this setting, the server's document names the rights; see
    /// [`Discovery`](super::Discovery).
    pub scope: Option<String>,
}

impl OAuthSettings {
    /// Sets the address of the issuer of tokens.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the client's name at the issuer.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets the client's password at the issuer.
    pub fn client_secret(mut self, client_secret: impl Into<Password>) -> Self {
        self.client_secret = Some(client_secret.into());
        self
    }

    /// Sets the rights (`oauth_scope`) that the token has to give.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }
}
