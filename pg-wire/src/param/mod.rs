//! Values sent to the server: parameters of a Bind, arguments of a function call.

pub(crate) mod params;
