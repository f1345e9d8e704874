//! The messages of OAUTHBEARER: [RFC 7628, section 3](https://www.rfc-editor.org/rfc/rfc7628#section-3).

use std::fmt;

use zeroize::Zeroizing;

use super::Token;

/// The byte that separates key-value pairs. This byte alone is also the client's answer to the document that rejects the client's token.
const SEPARATOR: u8 = 0x01;

/// The client's first message: `n,,` and the token. Without a token, the message asks for the server's document, which names the issuer of
/// tokens.
pub(crate) fn client_first(token: Option<&Token>) -> Zeroizing<Vec<u8>> {
    let (scheme, token) = token.map_or((&b""[..], &b""[..]), |token| (b"Bearer ", token.as_bytes()));
    Zeroizing::new([b"n,,\x01auth=", scheme, token, b"\x01\x01"].concat())
}

/// The client's answer to the document that rejects the client's token.
pub(crate) const ANSWER: &[u8] = &[SEPARATOR];

/// A fault in a client's OAUTHBEARER message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthFault {
    /// The message does not follow the grammar of RFC 7628, section 3.1.
    Syntax,
    /// The client asks for channel binding, which OAUTHBEARER cannot do.
    Binding,
    /// The client asks to act as another user (`a=`), which PostgreSQL does not support.
    AuthorizationIdentity,
    /// The message has no `auth` value, or more than one `auth` value.
    Auth,
    /// The `auth` value is not a bearer token.
    Token,
    /// The client's answer to the document that rejects the token is not the single byte 0x01.
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

/// Reads a client's first message. Returns the token, or `None` if the client asks for the document that names the issuer of tokens.
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
    // RFC 7628: kvpairs = *(key "=" value kvsep) kvsep
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
    // RFC 7235 allows the name of the scheme in upper or lower case, followed by one or more spaces.
    let (scheme, token) = auth.split_at_checked(7).ok_or(OAuthFault::Token)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") {
        return Err(OAuthFault::Token);
    }
    Token::new(token.trim_ascii_start()).map(Some).map_err(|_| OAuthFault::Token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::Token;

    #[test]
    fn a_first_message_is_read_as_it_was_written() {
        let token = Token::new("mF_9.B5f-4.1JqM").expect("a token");
        assert_eq!(*client_first(Some(&token)), b"n,,\x01auth=Bearer mF_9.B5f-4.1JqM\x01\x01");
        assert_eq!(*client_first(None), b"n,,\x01auth=\x01\x01");
        assert_eq!(read_client_first(&client_first(Some(&token))), Ok(Some(token)));
        assert_eq!(read_client_first(&client_first(None)), Ok(None));
    }

    #[test]
    fn a_first_message_may_have_other_values_beside_the_token() {
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
    fn a_malformed_first_message_is_rejected() {
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
}
