//! OAUTHBEARER, the login by a bearer token. Contains the tokens, the source from which a client gets tokens, and the messages.
//!
//! PostgreSQL 18 implements [RFC 7628](https://www.rfc-editor.org/rfc/rfc7628): the client sends a token, and the server passes the token
//! to a validator. A server that rejects the token answers with a JSON document that names the issuer of tokens. The protocol does not
//! define how a client gets a token: the caller supplies a [`TokenSource`] by [`Config::tokens`](crate::Config::tokens).
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-OAUTHBEARER)

mod message;
mod server;
mod settings;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use message::OAuthFault;
pub(crate) use message::{ANSWER, client_first, read_client_first};
pub(crate) use server::OAuthOffer;
pub use server::{OAuthLogin, TokenCheck};
pub use settings::OAuthSettings;

use crate::secret::Password;

/// The name of the SASL mechanism for bearer tokens.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// Maximum length of the document by which a server rejects a token, in bytes. PostgreSQL's document contains little more than two URLs.
const LONGEST_DOCUMENT: usize = 16 * 1024;

/// A bearer token in the syntax of [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1): letters, digits, `-._~+/`, and `=` at
/// the end. Wiped from memory when dropped, never printed.
///
/// ```
/// use pg_auth::oauth::Token;
///
/// let token = Token::new("mF_9.B5f-4.1JqM")?;
/// assert_eq!(format!("{token:?}"), "Token(***)");
/// assert!(Token::new("two words").is_err());
/// # Ok::<(), pg_auth::oauth::InvalidToken>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Password);

impl Token {
    /// Makes a token. A `String` or `Vec` is moved, not copied.
    ///
    /// # Errors
    /// The text is not a bearer token: it is empty or has an invalid character.
    pub fn new(text: impl Into<Password>) -> Result<Self, InvalidToken> {
        let text = text.into();
        let bytes = text.as_bytes();
        let end = bytes.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
        let may_stand = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        match bytes.get(..end) {
            Some(start @ [_, ..]) if start.iter().all(may_stand) => Ok(Self(text)),
            _ => Err(InvalidToken),
        }
    }

    /// The token's text. Only for code that sends or validates the token.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The error for a text that is not a bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a bearer token: expected letters, digits, \"-._~+/\", and \"=\" at the end only")
    }
}

impl Error for InvalidToken {}

/// The JSON document by which a server rejects a token, unchanged. It is an object with three members:
/// - `status`, such as `invalid_token`;
/// - `openid-configuration`: the address of the issuer's discovery document;
/// - `scope`: the rights that a token needs.
///
/// The document does not prove who the server is; only TLS does. A token source must check that the issuer is trusted, before the source
/// sends credentials to the issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct Discovery(Box<str>);

impl Discovery {
    /// Checks the document by which a server rejects a token. A valid document has 1 to 16,384 bytes of UTF-8, and no control characters
    /// except JSON's white space. Returns `None` for any other bytes.
    pub(crate) fn from_server(document: &[u8]) -> Option<Self> {
        let text =
            str::from_utf8(document).ok().filter(|text| (1..=LONGEST_DOCUMENT).contains(&text.len()))?;
        let fits = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
        text.chars().all(fits).then(|| Self(text.into()))
    }

    /// The document's text, for a JSON parser.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request for a token, passed to a [`TokenSource`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The name of the PostgreSQL role to log in as.
    pub user: String,
    /// The name of the server's host, if the caller of the state machine has set it ([`Handshake::host`](crate::Handshake::host)).
    pub host: Option<String>,
    /// The configuration's settings: issuer, client and scope. If an issuer is set, the token source must trust this issuer only, even if
    /// the server's document names another issuer.
    pub settings: OAuthSettings,
    /// The server's document, if the server has rejected an earlier attempt. The document names the issuer to get a token from.
    pub discovery: Option<Discovery>,
}

/// The answer of a [`TokenSource`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenReply {
    /// A token for this login.
    Token(Token),
    /// The source has no token, and needs the server's document that names the issuer of tokens. The client then ends this attempt with an
    /// error that contains the document. A further attempt passes the document in [`TokenRequest::discovery`].
    Discover,
}

impl From<Token> for TokenReply {
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

/// The error of a plug-in that the caller supplies, such as a [`TokenSource`].
pub type SourceError = Box<dyn Error + Send + Sync>;

/// The future that a [`TokenSource`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<TokenReply, SourceError>> + Send + 'a>>;

/// A source of bearer tokens for a client: a cache, a device flow, a cloud's metadata service.
///
/// The client asks the source for a token at every attempt to connect, and the server waits meanwhile. PostgreSQL ends a login that takes
/// longer than 60 seconds (`authentication_timeout`). A closure that returns a future is a `TokenSource`.
///
/// ```
/// use pg_auth::{Config, oauth::{Token, TokenRequest, Tokens}};
///
/// let tokens = Tokens::new(|request: TokenRequest| async move {
///     // A real source asks the issuer for a token of `request.user`.
///     Ok(Token::new("mF_9.B5f-4.1JqM")?.into())
/// });
/// let config = Config::new("alice").tokens(tokens);
/// # let _ = config;
/// ```
pub trait TokenSource: Send + Sync {
    /// Gets a bearer token for a login.
    fn token(&self, request: TokenRequest) -> TokenFuture<'_>;
}

impl<F, Fut> TokenSource for F
where
    F: Fn(TokenRequest) -> Fut + Send + Sync,
    Fut: Future<Output = Result<TokenReply, SourceError>> + Send + 'static,
{
    fn token(&self, request: TokenRequest) -> TokenFuture<'_> {
        Box::pin(self(request))
    }
}

/// A [`TokenSource`] as part of a configuration. Clones share the source. Two values are equal if they share the source and
/// [`allow_plain_local`](Self::allow_plain_local) was called for both or for neither.
#[derive(Clone)]
pub struct Tokens {
    source: Arc<dyn TokenSource>,
    plain_local: bool,
}

impl Tokens {
    /// Wraps a source of tokens, for use in a configuration. Its tokens are sent over TLS only.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self { source: Arc::new(source), plain_local: false }
    }

    /// Permits sending tokens without TLS to a server on this machine, over a Unix-domain socket or a loopback address. For tests on a
    /// machine whose other users are trusted.
    pub fn allow_plain_local(self) -> Self {
        Self { plain_local: true, ..self }
    }

    /// Gets a token from the source.
    pub fn token(&self, request: TokenRequest) -> TokenFuture<'_> {
        self.source.token(request)
    }

    pub(crate) fn allows_plain_local(&self) -> bool {
        self.plain_local
    }
}

impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source) && self.plain_local == other.plain_local
    }
}

impl Eq for Tokens {}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("plain_local", &self.plain_local).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_only_characters_of_rfc_6750() {
        for good in ["a", "mF_9.B5f-4.1JqM", "a+/~", "YQ==", "a="] {
            assert!(Token::new(good).is_ok(), "{good}");
        }
        for bad in ["", "=", "==", "a=b", "a b", "a,b", "a\u{1}", "a\0", "a\n", "\u{e9}", " a", "a "] {
            assert_eq!(Token::new(bad), Err(InvalidToken), "{bad:?}");
        }
    }

    #[test]
    fn a_document_that_is_too_long_or_not_printable_is_rejected() {
        assert!(Discovery::from_server(b"{ \"status\": \"invalid_token\" }").is_some());
        assert!(Discovery::from_server(&[b' '; LONGEST_DOCUMENT]).is_some());
        for bad in [&b""[..], b"\x1b[2J", b"\xff", b"a\0", &[b' '; LONGEST_DOCUMENT + 1]] {
            assert_eq!(Discovery::from_server(bad), None);
        }
    }
}
