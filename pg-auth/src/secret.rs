//! Passwords and other secrets: data that must not be printed or left in memory.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, as bytes: wiped from memory when dropped, never printed, compared in constant time.
///
/// A password need not be UTF-8: PostgreSQL does not know the encoding of a password. A password must not contain a NUL byte, because no
/// message can carry a NUL byte; the encoders reject such a password.
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
    /// The password's bytes. Only for code that sends or hashes the password.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the password is empty. PostgreSQL accepts no empty password, by any method.
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

/// Moves the string into the password: no second copy is left in memory.
impl From<String> for Password {
    fn from(password: String) -> Self {
        Self::from(password.into_bytes())
    }
}

/// Moves the bytes into the password: no second copy is left in memory.
impl From<Vec<u8>> for Password {
    fn from(password: Vec<u8>) -> Self {
        Self(Zeroizing::new(password))
    }
}

/// Compares in constant time: the time depends on the lengths only.
impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        *self == *other.as_bytes()
    }
}

/// Compares with bytes from a peer, in constant time: the time depends on the lengths only.
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

/// Runs `work`, then overwrites the part of the stack that `work` has used. Hash functions leave copies of keys on the stack, and so does
/// unoptimised code that copies short strings.
pub(crate) fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    #[inline(never)]
    fn overwrite() {
        // 16 KiB is more stack than any `work` in this crate uses. `black_box` prevents the compiler from removing the write.
        std::hint::black_box(&mut [0_u8; 16 * 1024]);
    }

    /// Calls `work`. Not inlined, so that the stack frames of `call` and `work` are at the same place as the stack frame of `overwrite`.
    #[inline(never)]
    fn call<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    let result = call(work);
    overwrite();
    result
}

/// Fills the slice with random bytes from the operating system. Returns `None` if the operating system returns no random bytes, or if the
/// feature `getrandom` is off.
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
    fn debug_output_hides_a_password() {
        assert_eq!(format!("{:?}", Password::from("secret")), "***");
        assert_eq!(format!("{:#?}", Some(Password::from("secret"))), "Some(\n    ***,\n)");
    }

    #[test]
    fn passwords_are_equal_if_their_bytes_are_equal() {
        assert_eq!(Password::from("a\u{e9}"), Password::from(vec![b'a', 0xc3, 0xa9]));
        assert_ne!(Password::from("secret"), Password::from("secreT"));
        assert_ne!(Password::from("secret"), Password::from("secre"));
        assert_ne!(Password::from(""), Password::from("x"));
    }
}
