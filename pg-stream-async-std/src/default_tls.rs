//! The TLS library that connections use by default.

/// Default TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): the library of
/// the platform.
#[cfg(feature = "native-tls")]
pub type DefaultTls = crate::native_tls::NativeTls;

/// Placeholder for the TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial).
/// Connections have no TLS, because the feature `native-tls` is off.
#[cfg(not(feature = "native-tls"))]
pub type DefaultTls = pg_auth::tls::NoTls;
