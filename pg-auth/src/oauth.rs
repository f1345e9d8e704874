//! OAUTHBEARER: bearer tokens, the source a client gets them from, and the messages that carry them.
//!
//! PostgreSQL 18 speaks [RFC 7628](https://www.rfc-editor.org/rfc/rfc7628): the client sends a token, the server has it validated, and
//! one that refuses the token says in a JSON document where to get another. How a token is got is no part of the protocol: that is the
//! business of a [`TokenSource`], which [`Config::tokens`](crate::Config::tokens) takes.
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

/// The mechanism's name.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// Longest failure document that is kept, in bytes. PostgreSQL's has the length of two URLs.
const LONGEST_DOCUMENT: usize = 16 * 1024;

/// A bearer token, as text of [RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1): letters, digits, `-._~+/`, and `=` at
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
    /// Takes the text over without a copy.
    ///
    /// # Errors
    /// When it is no bearer token: empty, or with a character that a token cannot have.
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

    /// The text, for the one place that sends or validates it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A text is no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken;

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a bearer token: expected letters, digits, \"-._~+/\", and \"=\" at the end only")
    }
}

impl Error for InvalidToken {}

/// The JSON document with which a server refuses a token, whole as it came: an object with `status` (such as `invalid_token`),
/// `openid-configuration` (the address of the issuer's discovery document) and `scope` (the rights that a token needs).
///
/// The server that sent it has proven nothing beyond what TLS has. A token source must check that the issuer is one it trusts before it
/// sends anybody's credentials there.
#[derive(Clone, PartialEq, Eq)]
pub struct Discovery(Box<str>);

impl Discovery {
    /// Keeps a document of 1 to 16,384 bytes of UTF-8 without control characters other than JSON's white space.
    pub(crate) fn from_server(document: &[u8]) -> Option<Self> {
        let text =
            str::from_utf8(document).ok().filter(|text| (1..=LONGEST_DOCUMENT).contains(&text.len()))?;
        let fits = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
        text.chars().all(fits).then(|| Self(text.into()))
    }

    /// The text, for a JSON parser.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a [`TokenSource`] is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The role to log in as.
    pub user: String,
    /// The host connected to, where the driver has said so.
    pub host: Option<String>,
    /// The configuration's settings: issuer, client and scope. An issuer that is set is the only one to be trusted, whatever the
    /// server's document says.
    pub settings: OAuthSettings,
    /// Where the server has refused an earlier attempt: its document, which says where to get a token.
    pub discovery: Option<Discovery>,
}

/// What a [`TokenSource`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenReply {
    /// The token.
    Token(Token),
    /// None yet: ask the server where to get one. The attempt ends with the server's document in its error, and the next one carries
    /// that document in [`TokenRequest::discovery`].
    Discover,
}

impl From<Token> for TokenReply {
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

/// An error of code that is plugged in.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// The future that a [`TokenSource`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<TokenReply, SourceError>> + Send + 'a>>;

/// The place a client gets bearer tokens from: a cache, a device flow, a cloud's metadata service.
///
/// It is asked anew at each attempt to connect, while the server waits: PostgreSQL gives a client 60 seconds. A closure that returns
/// a future is one.
///
/// ```
/// use pg_auth::{Config, oauth::{Token, TokenRequest, Tokens}};
///
/// let tokens = Tokens::new(|request: TokenRequest| async move {
///     // In earnest: ask the issuer, for `request.user`.
///     Ok(Token::new("mF_9.B5f-4.1JqM")?.into())
/// });
/// let config = Config::new("alice").tokens(tokens);
/// # let _ = config;
/// ```
pub trait TokenSource: Send + Sync {
    /// Gets a token.
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

/// A [`TokenSource`] as a configuration holds it. Clones share the source, and two are equal when they do.
#[derive(Clone)]
pub struct Tokens {
    source: Arc<dyn TokenSource>,
    plain_local: bool,
}

impl Tokens {
    /// Wraps a source. Its tokens go over TLS only.
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self { source: Arc::new(source), plain_local: false }
    }

    /// Lets tokens go without TLS to a server on this machine: over a Unix-domain socket or a loopback address. For tests, where the
    /// machine's other users are trusted.
    pub fn allow_plain_local(self) -> Self {
        Self { plain_local: true, ..self }
    }

    /// Gets a token.
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
    fn a_token_is_of_the_alphabet_of_rfc_6750() {
        for good in ["a", "mF_9.B5f-4.1JqM", "a+/~", "YQ==", "a="] {
            assert!(Token::new(good).is_ok(), "{good}");
        }
        for bad in ["", "=", "==", "a=b", "a b", "a,b", "a\u{1}", "a\0", "a\n", "\u{e9}", " a", "a "] {
            assert_eq!(Token::new(bad), Err(InvalidToken), "{bad:?}");
        }
    }

    #[test]
    fn a_document_is_bounded_and_printable() {
        assert!(Discovery::from_server(b"{ \"status\": \"invalid_token\" }").is_some());
        assert!(Discovery::from_server(&[b' '; LONGEST_DOCUMENT]).is_some());
        for bad in [&b""[..], b"\x1b[2J", b"\xff", b"a\0", &[b' '; LONGEST_DOCUMENT + 1]] {
            assert_eq!(Discovery::from_server(bad), None);
        }
    }
}
