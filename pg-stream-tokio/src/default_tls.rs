//! The TLS library that connections use by default.

/// Default TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): rustls.
#[cfg(feature = "rustls")]
pub type DefaultTls = crate::rustls::Rustls;

/// Placeholder for the TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial).
/// Connections have no TLS, because the feature `rustls` is off.
#[cfg(not(feature = "rustls"))]
pub type DefaultTls = pg_auth::tls::NoTls;
