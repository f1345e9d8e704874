//! Setters of a configuration.

use std::path::PathBuf;
use std::time::Duration;

use super::{
    AuthenticationMode, BindingMode, Config, GssEncMode, Host, Keepalives, LoadBalanceHosts, OAuthSettings,
    ProtocolVersion, Replication, RequireAuth, SslMode, SslNegotiation, TargetSessionAttrs, TlsSettings,
};
use crate::gss::Gss;
use crate::oauth::Tokens;
use crate::scram::{Iterations, KeyCache};
use crate::secret::Password;

impl Config {
    /// Sets the name of the PostgreSQL role to log in as.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the password.
    pub fn password(mut self, password: impl Into<Password>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the proof of the user's identity: a password, SCRAM keys, or none.
    pub fn auth(mut self, mode: AuthenticationMode) -> Self {
        (self.password, self.scram_keys) = match mode {
            AuthenticationMode::Trust => (None, None),
            AuthenticationMode::Password(password) => (Some(password), None),
            AuthenticationMode::ScramKeys(keys) => (None, Some(keys)),
        };
        self
    }

    /// Sets the cache for SCRAM keys: a later connection with the same password does not derive the keys again.
    pub fn scram_cache(mut self, cache: &KeyCache) -> Self {
        self.scram_cache = Some(cache.clone());
        self
    }

    /// Sets the source of bearer tokens.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Sets the implementation of GSSAPI or SSPI.
    pub fn gss(mut self, gss: Gss) -> Self {
        self.gss = Some(gss);
        self
    }

    /// Sets the database to connect to.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Appends a host to the list of hosts to try.
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    /// Appends the host whose Unix-domain socket is in this directory.
    pub fn socket(self, dir: impl Into<PathBuf>, port: u16) -> Self {
        self.host(Host::Unix { dir: dir.into(), port })
    }

    /// Sets a start-up parameter, such as `client_encoding` or `search_path`. A parameter that is already set keeps its position and gets
    /// the new value.
    ///
    /// Each call searches all parameters that are set. This is cheap: a server accepts at most 10,000 bytes of start-up parameters.
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.put(name.into(), value.into());
        self
    }

    /// Sets `application_name`, the program's name in the view `pg_stat_activity`.
    pub fn application_name(self, name: impl Into<String>) -> Self {
        self.with_parameter("application_name", name)
    }

    /// Sets command-line options for the server process, such as `-c geqo=off`.
    pub fn options(self, options: impl Into<String>) -> Self {
        self.with_parameter("options", options)
    }

    /// Asks for a replication connection.
    pub fn replication(self, replication: Replication) -> Self {
        self.with_parameter("replication", replication.as_str())
    }

    /// Sets the oldest protocol version to accept and the version to ask for.
    pub fn protocol_versions(mut self, min: ProtocolVersion, max: ProtocolVersion) -> Self {
        (self.min_protocol_version, self.max_protocol_version) = (min, max);
        self
    }

    /// Selects whether to use TLS, and what to check of the server's certificate.
    pub fn sslmode(mut self, mode: SslMode) -> Self {
        self.sslmode = mode;
        self
    }

    /// Sets the way to begin TLS.
    pub fn sslnegotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.sslnegotiation = negotiation;
        self
    }

    /// Selects whether to bind SCRAM to the TLS channel.
    pub fn channel_binding(mut self, mode: BindingMode) -> Self {
        self.channel_binding = mode;
        self
    }

    /// Sets the methods by which the server may authenticate the user.
    pub fn require_auth(mut self, methods: RequireAuth) -> Self {
        self.require_auth = methods;
        self
    }

    /// Sets the time limit for connecting to one address; `None` means no limit.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.connect_timeout = timeout.into();
        self
    }

    /// Sets the range of SCRAM iteration counts that a server may ask for.
    pub fn scram_iterations(mut self, iterations: Iterations) -> Self {
        self.scram_iterations = iterations;
        self
    }

    /// Sets certificates, keys and versions of TLS.
    pub fn tls(mut self, tls: TlsSettings) -> Self {
        self.tls = tls;
        self
    }

    /// Adds a password for this host only.
    pub fn host_password(mut self, host: Host, password: impl Into<Password>) -> Self {
        self.host_passwords.push((host, password.into()));
        self
    }

    /// Sets the kind of server to look for among the hosts.
    pub fn target_session_attrs(mut self, attrs: TargetSessionAttrs) -> Self {
        self.target_session_attrs = attrs;
        self
    }

    /// Sets the order in which to try hosts and their addresses.
    pub fn load_balance_hosts(mut self, order: LoadBalanceHosts) -> Self {
        self.load_balance_hosts = order;
        self
    }

    /// Sets TCP keepalive: the probes on an idle connection.
    pub fn keepalives(mut self, keepalives: Keepalives) -> Self {
        self.keepalives = keepalives;
        self
    }

    /// Sets the time that sent data may stay unacknowledged before TCP closes the connection.
    pub fn tcp_user_timeout(mut self, timeout: Duration) -> Self {
        self.tcp_user_timeout = Some(timeout);
        self
    }

    /// Sets the operating-system user that the server process at the other end of a Unix-domain socket must run as.
    pub fn requirepeer(mut self, user: impl Into<String>) -> Self {
        self.requirepeer = Some(user.into());
        self
    }

    /// Selects whether to encrypt by GSSAPI.
    pub fn gssencmode(mut self, mode: GssEncMode) -> Self {
        self.gssencmode = mode;
        self
    }

    /// Sets the name of the service in the server's Kerberos principal.
    pub fn krbsrvname(mut self, name: impl Into<String>) -> Self {
        self.krbsrvname = name.into();
        self
    }

    /// Sets whether to delegate the user's GSSAPI credentials to the server.
    pub fn gssdelegation(mut self, delegation: bool) -> Self {
        self.gssdelegation = delegation;
        self
    }

    /// Sets the settings of a login by a bearer token.
    pub fn oauth(mut self, oauth: OAuthSettings) -> Self {
        self.oauth = oauth;
        self
    }
}
