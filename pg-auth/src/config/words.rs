//! Enums for the parameters that have a fixed list of values.

/// Defines an enum with one variant for each word that a parameter of libpq accepts. The error for any other word shows the parameter's
/// name.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $parameter:literal: $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)*) => {
        $(#[$doc])*
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All variants of this enum.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The value's word in a connection string.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::error::ConfigError;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == word);
                found.ok_or(crate::error::ConfigError::InvalidValue($parameter))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    /// Selects whether to use TLS, and what to check of the server's certificate.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    SslMode, "sslmode":
        /// The connection never uses TLS.
        Disable = "disable",
        /// The connection uses TLS only if the server rejects connections without TLS.
        Allow = "allow",
        /// The connection uses TLS if the server supports TLS. This does not protect against an attacker who can alter the traffic.
        #[default]
        Prefer = "prefer",
        /// The connection must use TLS. The server may present any certificate.
        Require = "require",
        /// The connection must use TLS, and a trusted authority must have issued the server's certificate.
        VerifyCa = "verify-ca",
        /// The connection must use TLS, and a trusted authority must have issued the server's certificate for the name of the host.
        VerifyFull = "verify-full",
}

words! {
    /// The way in which TLS begins.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-SSLNEGOTIATION)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    SslNegotiation, "sslnegotiation":
        /// The client asks with an SSLRequest, and the server answers with one byte.
        #[default]
        Postgres = "postgres",
        /// The client begins TLS with its first byte, without an SSLRequest. This saves one round trip. PostgreSQL supports this from
        /// version 17 on.
        Direct = "direct",
}

words! {
    /// Selects whether to bind SCRAM to the TLS channel.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-CHANNEL-BINDING)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    BindingMode, "channel_binding":
        /// Never bind SCRAM to the channel.
        Disable = "disable",
        /// Bind SCRAM to the channel if the server offers channel binding.
        #[default]
        Prefer = "prefer",
        /// Bind SCRAM to the channel, or make no connection.
        Require = "require",
}

words! {
    /// The part of a server that a replication connection replicates.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/protocol-replication.html)
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    Replication, "replication":
        /// The whole cluster: the server accepts only replication commands.
        Physical = "true",
        /// One database: the server accepts replication commands and SQL.
        Logical = "database",
}

words! {
    /// The kind of server to look for among several hosts.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    TargetSessionAttrs, "target_session_attrs":
        /// Any server.
        #[default]
        Any = "any",
        /// A server whose sessions can write by default: neither in hot standby nor with `default_transaction_read_only`.
        ReadWrite = "read-write",
        /// A server whose sessions cannot write by default.
        ReadOnly = "read-only",
        /// A server that is not in hot standby.
        Primary = "primary",
        /// A server in hot standby.
        Standby = "standby",
        /// A server in hot standby, or any server if no host is in hot standby.
        PreferStandby = "prefer-standby",
}

words! {
    /// The order in which to try several hosts, and several addresses of one name.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-LOAD-BALANCE-HOSTS)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    LoadBalanceHosts, "load_balance_hosts":
        /// The order in which the hosts and addresses are given.
        #[default]
        Disable = "disable",
        /// A random order, drawn again for each connection.
        Random = "random",
}

words! {
    /// Selects whether to encrypt with GSSAPI, but this library cannot encrypt with GSSAPI.
    ///
    /// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-GSSENCMODE)
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    GssEncMode, "gssencmode":
        /// No encryption with GSSAPI.
        Disable = "disable",
        /// Encryption by GSSAPI if possible. In this library the same as `Disable`.
        #[default]
        Prefer = "prefer",
        /// Encryption by GSSAPI or no connection: [`Config::check`](super::Config::check) rejects this mode.
        Require = "require",
}

impl GssEncMode {
    /// The reason why `gssencmode=require` is rejected, and the remedy.
    pub(super) const UNSUPPORTED: &str = "encryption by GSSAPI is not supported; use TLS instead";
}
