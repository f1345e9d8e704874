//! The default TLS library of the adapter.

/// The TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): rustls.
#[cfg(feature = "rustls")]
pub type DefaultTls = crate::rustls::Rustls;

/// The TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): none, without the
/// feature `rustls`.
#[cfg(not(feature = "rustls"))]
pub type DefaultTls = pg_auth::tls::NoTls;
