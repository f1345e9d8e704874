//! Reads the attribute lists of SCRAM messages: `a=value,b=value`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::error::{AuthError, PeerError, Refusal, ScramFault, printable};
use crate::scram::keys::{Bytes, filled};

/// Maximum length of a server's error reason, in bytes. The longest reason in RFC 5802 has 34 bytes.
const MAX_REASON: usize = 64;

/// A cursor over the attributes of one message.
pub(super) struct Attributes<'a> {
    message: &'static str,
    /// The part of the message that is still to be read; `None` after the last attribute. After a trailing comma, the part is empty but
    /// `Some`: another attribute is expected.
    rest: Option<&'a [u8]>,
    offset: usize,
}

/// An attribute, with its offset in the message.
#[derive(Clone, Copy)]
pub(super) struct Attribute<'a> {
    message: &'static str,
    pub(super) offset: usize,
    pub(super) name: u8,
    pub(super) value: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// A cursor over `bytes`, which begin at `offset` in the message.
    pub(super) fn new(message: &'static str, bytes: &'a [u8], offset: usize) -> Self {
        Self { message, rest: Some(bytes), offset }
    }

    /// The next attribute, or `None` at the end of the message.
    pub(super) fn next(&mut self) -> Result<Option<Attribute<'a>>, AuthError> {
        let Some(rest) = self.rest else {
            return Ok(None);
        };
        let offset = self.offset;
        let (attribute, rest) =
            match rest.iter().position(|&byte| byte == b',').and_then(|at| rest.split_at_checked(at)) {
                Some((attribute, rest)) => (attribute, rest.get(1..)),
                None => (rest, None),
            };
        self.rest = rest;
        self.offset += attribute.len() + 1;

        // RFC 5802: attr-val = ALPHA "=" value. A value contains no NUL byte.
        match attribute {
            // RFC 5802, about `m=`: "In this version of SCRAM, its presence in a client or a server message MUST cause authentication
            // failure".
            [b'm', b'=', ..] => Err(fault(self.message, offset, ScramFault::Extension)),
            [name, b'=', value @ ..] if name.is_ascii_alphabetic() && !value.contains(&0) => {
                Ok(Some(Attribute { message: self.message, offset, name: *name, value }))
            }
            _ => Err(fault(self.message, offset, ScramFault::Syntax)),
        }
    }

    /// The next attribute, which must have this name.
    pub(super) fn expect(&mut self, name: u8) -> Result<Attribute<'a>, AuthError> {
        let offset = self.offset;
        match self.next()? {
            Some(attribute) if attribute.name == name => Ok(attribute),
            _ => Err(fault(self.message, offset, ScramFault::Syntax)),
        }
    }

    /// Like `expect`, for a server's message. The server may send `e=` with an error reason in place of the attribute; the result is then
    /// an error with this reason.
    pub(super) fn expect_from_server(&mut self, name: u8) -> Result<Attribute<'a>, AuthError> {
        let offset = self.offset;
        match self.next()? {
            Some(attribute) if attribute.name == name => Ok(attribute),
            Some(Attribute { name: b'e', value, .. }) => {
                Err(Refusal::Scram(printable(value, MAX_REASON)).into())
            }
            _ => Err(fault(self.message, offset, ScramFault::Syntax)),
        }
    }

    /// Skips the remaining attributes. RFC 5802: unknown optional extensions "MUST be ignored".
    pub(super) fn skip_extensions(&mut self) -> Result<(), AuthError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

impl Attribute<'_> {
    /// The error for a fault in this attribute's value.
    pub(super) fn fault(&self, what: ScramFault) -> AuthError {
        fault(self.message, self.offset + 2, what)
    }

    /// Decodes the value as base64. The encoding must be canonical, with its padding.
    pub(super) fn base64(&self) -> Result<Vec<u8>, AuthError> {
        STANDARD.decode(self.value).map_err(|_| self.fault(ScramFault::Base64))
    }

    /// Decodes the value as base64 of 32 bytes, a proof or a signature. The bytes are wiped when dropped.
    pub(super) fn base64_32(&self) -> Result<Bytes, AuthError> {
        let bytes = Zeroizing::new(self.base64()?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| self.fault(ScramFault::Base64))?;
        Ok(filled(|out| out.copy_from_slice(bytes)))
    }
}

/// The error for a fault at this offset of the named message.
pub(super) fn fault(message: &'static str, offset: usize, fault: ScramFault) -> AuthError {
    PeerError::Scram { message, offset, fault }.into()
}

/// Whether the bytes are a nonce: at least one character, and only characters of `printable = %x21-2B / %x2D-7E` (RFC 5802).
pub(super) fn is_nonce(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',')
}
