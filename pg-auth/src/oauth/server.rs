//! The server's side of OAUTHBEARER: the validation of a token, and the document that rejects a token.

use std::fmt;
use std::pin::Pin;

use super::Token;

/// A server's settings for a login by a bearer token: the issuer of tokens, their scope, and the validator.
pub struct OAuthLogin {
    offer: OAuthOffer,
    validator: Validator,
}

type Validator = Box<dyn FnOnce(Token) -> Verdict + Send>;

/// The future that a validator returns: whether the token is valid.
type Verdict = Pin<Box<dyn Future<Output = bool> + Send>>;

impl OAuthLogin {
    /// Makes the settings of a login by a bearer token. `issuer` is the issuer's address (`https://…`). `scope` is the rights that a token
    /// needs, with spaces between them. In PostgreSQL, the issuer and the scope are options of a line in `pg_hba.conf`.
    ///
    /// `validator` must return whether a token is valid for this scope **and** belongs to somebody who may log in as the user of the
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

/// The pending validation of a client's token. The caller runs the validation, and must not block other tasks meanwhile: the validator may
/// send a request to the issuer and wait for the answer.
pub struct TokenCheck {
    token: Token,
    validator: Validator,
}

impl TokenCheck {
    /// Returns the token, for a caller that does not use the validator.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Runs the validator. Returns whether the token is valid.
    pub async fn run(self) -> bool {
        (self.validator)(self.token).await
    }
}

impl fmt::Debug for TokenCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCheck(***)")
    }
}

/// The contents of the document that rejects a token: the issuer from which clients get a token, and the scope.
#[derive(Debug)]
pub(crate) struct OAuthOffer {
    issuer: String,
    scope: String,
}

impl OAuthOffer {
    /// The document that rejects a token, in JSON.
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

/// Escapes a text for the inside of a JSON string.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_a_failure_document_are_escaped() {
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
}
