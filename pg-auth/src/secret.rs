//! Passwords, and whatever else must not be printed or left in memory.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, as bytes: wiped from memory when dropped, never printed, compared in constant time.
///
/// PostgreSQL does not know in which encoding a password is, so it need not be UTF-8. It may not hold a NUL, which no message can
/// carry; the encoders refuse one.
///
/// ```
/// use pg_auth::secret::Password;
///
/// let password = Password::from("tr0ub4dor");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password, Password::from(b"tr0ub4dor".to_vec()));
/// ```
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// The bytes themselves, for the one place that sends or hashes them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it. PostgreSQL accepts no empty password, by any method.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Password {
    fn from(password: &str) -> Self {
        Self::from(password.as_bytes())
    }
}

impl From<&[u8]> for Password {
    fn from(password: &[u8]) -> Self {
        Self::from(password.to_vec())
    }
}

/// Takes the string over without a copy, so that no second one stays behind.
impl From<String> for Password {
    fn from(password: String) -> Self {
        Self::from(password.into_bytes())
    }
}

/// Takes the bytes over without a copy, so that no second one stays behind.
impl From<Vec<u8>> for Password {
    fn from(password: Vec<u8>) -> Self {
        Self(Zeroizing::new(password))
    }
}

/// Takes time that depends on the lengths only.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        *self == *other.as_bytes()
    }
}

/// Compares with what a peer sent; takes time that depends on the lengths only.
impl PartialEq<[u8]> for Password {
    fn eq(&self, other: &[u8]) -> bool {
        self.as_bytes().ct_eq(other).into()
    }
}

impl Eq for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Runs `work`, then overwrites the part of the stack that it has used: hash functions copy keys there and leave them, and so does
/// unoptimised code that copies short strings.
pub(crate) fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn overwrite() {
        // More than the deepest of these calls takes, 16 KiB. Whoever could look at it keeps the compiler from leaving it out.
        std::hint::black_box(&mut [0_u8; 16 * 1024]);
    }

    /// Not inlined: its frame, and those below, then lie where `overwrite` has its own.
    #[inline(never)]
    fn call<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    let result = call(work);
    overwrite();
    result
}

/// Fills with random bytes of the operating system. `None` where it has none to give, or may not be asked (without feature
/// `getrandom`).
pub(crate) fn fill_random(bytes: &mut [u8]) -> Option<()> {
    #[cfg(feature = "getrandom")]
    return getrandom::fill(bytes).ok();
    #[cfg(not(feature = "getrandom"))]
    {
        let _ = bytes;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_print() {
        assert_eq!(format!("{:?}", Password::from("secret")), "***");
        assert_eq!(format!("{:#?}", Some(Password::from("secret"))), "Some(\n    ***,\n)");
    }

    #[test]
    fn passwords_are_equal_when_their_bytes_are() {
        assert_eq!(Password::from("a\u{e9}"), Password::from(vec![b'a', 0xc3, 0xa9]));
        assert_ne!(Password::from("secret"), Password::from("secreT"));
        assert_ne!(Password::from("secret"), Password::from("secre"));
        assert_ne!(Password::from(""), Password::from("x"));
    }
}
