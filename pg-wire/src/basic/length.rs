//! The limit on the length of a message.

/// Longest message in bytes, without its code: the largest value of the length field. The field is a signed Int32 and counts
/// its own four bytes.
pub(crate) const MAX_LENGTH: usize = i32::MAX as usize;
