//! Codes, errors, strings and formats, which all other modules use.

pub(crate) mod code;
pub(crate) mod enums;
pub mod error;
pub(crate) mod hint;
pub(crate) mod length;
pub mod oid;
pub(crate) mod short;
pub(crate) mod sqlstate;
pub(crate) mod text;
