//! Codes, errors, strings and formats: the vocabulary of every other layer.

pub(crate) mod code;
pub(crate) mod enums;
pub mod error;
pub(crate) mod hint;
pub(crate) mod length;
pub mod oid;
pub(crate) mod short;
pub(crate) mod sqlstate;
pub(crate) mod text;
