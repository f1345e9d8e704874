//! A server's side of OAUTHBEARER: the validation of tokens, and the document that refuses one.

use std::fmt;
use std::pin::Pin;

use super::Token;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
