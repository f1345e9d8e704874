//! Codes, errors, strings and formats: the vocabulary of every other layer.

pub(crate) mod code;
pub(crate) mod error;
pub mod oid;
pub(crate) mod short;
pub(crate) mod sqlstate;
pub(crate) mod text;
