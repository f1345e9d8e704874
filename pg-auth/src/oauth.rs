//! OAUTHBEARER: bearer tokens, the source a client gets them from, and the messages that carry them.
//!
//! PostgreSQL 18 speaks [RFC 7628](https://www.rfc-editor.org/rfc/rfc7628): the client sends a token, the server has it validated, and
//! one that refuses the token says in a JSON document where to get another. How a token is got is no part of the protocol: that is the
//! business of a [`TokenSource`], which [`Config::tokens`](crate::Config::tokens) takes.
//!
//! [PostgreSQL manual](https://www.postgresql.org/docs/current/sasl-authentication.html#SASL-OAUTHBEARER)

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secret::Password;

/// The mechanism's name.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// What stands between key-value pairs, and the whole of a client's answer to a failure.
const SEPARATOR: u8 = 0x01;

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

/// The client's first message: `n,,` and the token, or no token, which asks for the server's document.
pub(crate) fn client_first(token: Option<&Token>) -> Zeroizing<Vec<u8>> {
    let (scheme, token) = token.map_or((&b""[..], &b""[..]), |token| (b"Bearer ", token.as_bytes()));
    Zeroizing::new([b"n,,\x01auth=", scheme, token, b"\x01\x01"].concat())
}

/// The client's answer to a failure document.
pub(crate) const ANSWER: &[u8] = &[SEPARATOR];

/// How a server lets a client in by a bearer token: where clients get one, and whether a token is good.
pub struct OAuthLogin {
    offer: OAuthOffer,
    validator: Validator,
}

type Validator = Box<dyn FnOnce(Token) -> Verdict + Send>;

/// The future of a validation.
type Verdict = Pin<Box<dyn Future<Output = bool> + Send>>;

impl OAuthLogin {
    /// With the issuer's address, `https://…`, and the rights that a token needs, with spaces between them: PostgreSQL's `issuer` and
    /// `scope` of a line in `pg_hba.conf`.
    ///
    /// `validator` says whether a token is valid, for this scope, **and** belongs to somebody who may log in as the user of the
    /// start-up message.
    pub fn new<Fut>(
        issuer: impl Into<String>,
        scope: impl Into<String>,
        validator: impl FnOnce(Token) -> Fut + Send + 'static,
    ) -> Self
    where
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self {
            offer: OAuthOffer { issuer: issuer.into(), scope: scope.into() },
            validator: Box::new(|token| Box::pin(validator(token))),
        }
    }

    pub(crate) fn into_parts(self, token: Option<Token>) -> (OAuthOffer, Option<TokenCheck>) {
        (self.offer, token.map(|token| TokenCheck { token, validator: self.validator }))
    }
}

impl fmt::Debug for OAuthLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthLogin").field("offer", &self.offer).finish_non_exhaustive()
    }
}

/// The validation of a client's token, as a value to be run where there is time: the issuer may have to be asked.
pub struct TokenCheck {
    token: Token,
    validator: Validator,
}

impl TokenCheck {
    /// The token, for one who validates it otherwise.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Asks the validator whether the token is good.
    pub async fn run(self) -> bool {
        (self.validator)(self.token).await
    }
}

impl fmt::Debug for TokenCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCheck(***)")
    }
}

/// What a server says when it refuses a token: where its clients get one.
#[derive(Debug)]
pub(crate) struct OAuthOffer {
    issuer: String,
    scope: String,
}

impl OAuthOffer {
    /// The failure document.
    pub(crate) fn document(&self) -> String {
        const WELL_KNOWN: &str = "/.well-known/";
        let path = if self.issuer.contains(WELL_KNOWN) { "" } else { "/.well-known/openid-configuration" };
        let address = format!("{}{path}", self.issuer);
        format!(
            "{{ \"status\": \"invalid_token\", \"openid-configuration\": \"{}\", \"scope\": \"{}\" }}",
            escaped(&address),
            escaped(&self.scope)
        )
    }
}

/// The inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// What is wrong with a client's OAUTHBEARER message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthFault {
    /// The message does not follow the grammar of RFC 7628, section 3.1.
    Syntax,
    /// The client wants to bind a channel, which OAUTHBEARER cannot do.
    Binding,
    /// The client wants to act as somebody else (`a=`), which PostgreSQL does not support.
    AuthorizationIdentity,
    /// There is no `auth` value, or more than one.
    Auth,
    /// The `auth` value is no bearer token.
    Token,
    /// The client has answered the failure document with something else than the byte 1.
    Answer,
}

impl fmt::Display for OAuthFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "malformed",
            Self::Binding => "channel binding is not possible with this mechanism",
            Self::AuthorizationIdentity => "authorization identities are not supported",
            Self::Auth => "expected one auth value",
            Self::Token => "the auth value is not a bearer token",
            Self::Answer => "expected the single byte 0x01 after the failure document",
        })
    }
}

/// Reads a client's first message: the token, or `None` where the client asks for the failure document.
pub(crate) fn read_client_first(message: &[u8]) -> Result<Option<Token>, OAuthFault> {
    let rest = match message {
        [b'n' | b'y', b',', rest @ ..] => rest,
        [b'p', ..] => return Err(OAuthFault::Binding),
        _ => return Err(OAuthFault::Syntax),
    };
    let pairs = match rest {
        [b',', SEPARATOR, pairs @ ..] => pairs,
        [b'a', b'=', ..] => return Err(OAuthFault::AuthorizationIdentity),
        _ => return Err(OAuthFault::Syntax),
    };
    // kvpairs = *(key "=" value kvsep) kvsep
    let pairs = match pairs {
        [SEPARATOR] => return Err(OAuthFault::Auth),
        [pairs @ .., SEPARATOR, SEPARATOR] => pairs,
        _ => return Err(OAuthFault::Syntax),
    };
    let mut auth = None;
    for pair in pairs.split(|&byte| byte == SEPARATOR) {
        let at = pair.iter().position(|&byte| byte == b'=').ok_or(OAuthFault::Syntax)?;
        let (key, value) = (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default());
        let is_value = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) || !value.iter().all(is_value) {
            return Err(OAuthFault::Syntax);
        }
        if key == b"auth" && auth.replace(value).is_some() {
            return Err(OAuthFault::Auth);
        }
    }
    let auth = auth.ok_or(OAuthFault::Auth)?;
    if auth.is_empty() {
        return Ok(None);
    }
    // RFC 7235: the name of the scheme in any case, then one blank or more.
    let (scheme, token) = auth.split_at_checked(7).ok_or(OAuthFault::Token)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(OAuthFault::Token);
    }
    Token::new(token.trim_ascii_start()).map(Some).map_err(|_| OAuthFault::Token)
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
    fn the_first_message_reads_as_it_was_written() {
        let token = Token::new("mF_9.B5f-4.1JqM").expect("a token");
        assert_eq!(*client_first(Some(&token)), b"n,,\x01auth=Bearer mF_9.B5f-4.1JqM\x01\x01");
        assert_eq!(*client_first(None), b"n,,\x01auth=\x01\x01");
        assert_eq!(read_client_first(&client_first(Some(&token))), Ok(Some(token)));
        assert_eq!(read_client_first(&client_first(None)), Ok(None));
    }

    #[test]
    fn a_first_message_may_have_more_than_a_token() {
        let token = || Ok(Some(Token::new("x").expect("a token")));
        for good in [
            &b"y,,\x01auth=Bearer x\x01\x01"[..],
            b"n,,\x01auth=bearer   x\x01\x01",
            b"n,,\x01host=db.example\x01port=5432\x01auth=BEARER x\x01\x01",
            b"n,,\x01auth=Bearer x\x01extra=\x01\x01",
        ] {
            assert_eq!(read_client_first(good), token(), "{}", good.escape_ascii());
        }
    }

    #[test]
    fn a_malformed_first_message_is_refused() {
        for (bad, fault) in [
            (&b""[..], OAuthFault::Syntax),
            (b"n", OAuthFault::Syntax),
            (b"n,,", OAuthFault::Syntax),
            (b"x,,\x01auth=Bearer x\x01\x01", OAuthFault::Syntax),
            (b"p=tls-server-end-point,,\x01auth=Bearer x\x01\x01", OAuthFault::Binding),
            (b"n,a=bob,\x01auth=Bearer x\x01\x01", OAuthFault::AuthorizationIdentity),
            (b"n,bob,\x01auth=Bearer x\x01\x01", OAuthFault::Syntax),
            (b"n,,auth=Bearer x\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01", OAuthFault::Syntax),
            (b"n,,\x01\x01", OAuthFault::Auth),
            (b"n,,\x01auth=Bearer x\x01", OAuthFault::Syntax),
            (b"n,,\x01auth=Bearer x", OAuthFault::Syntax),
            (b"n,,\x01auth=Bearer x\x01\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01auth=Bearer x\x01\x01more", OAuthFault::Syntax),
            (b"n,,\x01auth\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01=Bearer x\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01au th=Bearer x\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01auth=Bearer \xff\x01\x01", OAuthFault::Syntax),
            (b"n,,\x01host=x\x01\x01", OAuthFault::Auth),
            (b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", OAuthFault::Auth),
            (b"n,,\x01auth=Bearer\x01\x01", OAuthFault::Token),
            (b"n,,\x01auth=Bearer \x01\x01", OAuthFault::Token),
            (b"n,,\x01auth=Basic eDp5\x01\x01", OAuthFault::Token),
            (b"n,,\x01auth=Bearer x y\x01\x01", OAuthFault::Token),
        ] {
            assert_eq!(read_client_first(bad), Err(fault), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_failure_document_is_json_whatever_the_settings_hold() {
        let document =
            |issuer: &str, scope: &str| OAuthOffer { issuer: issuer.into(), scope: scope.into() }.document();
        assert_eq!(
            document("https://issuer.example", "openid email"),
            "{ \"status\": \"invalid_token\", \"openid-configuration\": \
             \"https://issuer.example/.well-known/openid-configuration\", \"scope\": \"openid email\" }"
        );
        let odd = document("https://x/.well-known/y", "a\"b\\c\n");
        assert!(odd.contains("\"https://x/.well-known/y\""), "{odd}");
        assert!(odd.contains(r#""a\"b\\c\u000a""#), "{odd}");
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
