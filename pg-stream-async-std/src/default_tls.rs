//! The TLS library that an adapter uses unless told otherwise.

/// The TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): the platform's.
#[cfg(feature = "native-tls")]
pub type DefaultTls = crate::native_tls::NativeTls;

/// The TLS library of [`connect()`](crate::connect()) and [`ConnectionBuilder::dial`](crate::ConnectionBuilder::dial): none, without the feature `native-tls`.
#[cfg(not(feature = "native-tls"))]
pub type DefaultTls = pg_auth::tls::NoTls;
