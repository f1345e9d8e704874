//! The limit on the length of a message.

/// Largest length of a message in bytes, without the code. The length field is a signed Int32 and counts its own four bytes, so this is the
/// largest value of the field.
pub(crate) const MAX_LENGTH: usize = i32::MAX as usize;
