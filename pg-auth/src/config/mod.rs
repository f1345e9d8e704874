//! What a connection is to be, and connection strings.

mod host;
mod parse;
mod require_auth;
mod words;

use std::path::PathBuf;
use std::time::Duration;

pub use host::{DEFAULT_PORT, Host};
pub use pg_wire::frontend::ProtocolVersion;
pub use require_auth::{AuthMethod, RequireAuth};
pub use words::{BindingMode, Replication, SslMode, SslNegotiation};

use crate::cleartext;
use crate::error::{ConfigError, PolicyError};
use crate::gss::Gss;
use crate::link::Link;
use crate::oauth::Tokens;
use crate::scram::{Iterations, KeyCache, ScramKeys};
use crate::secret::Password;

/// How the client proves who its user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthenticationMode {
    /// Not at all: the server is expected to let the user in, as with `trust`, `peer` or a certificate. One that asks for a
    /// password gets none, and the connection fails.
    Trust,
    /// By a password: with SCRAM-SHA-256 or MD5, or in clear text where that is allowed; whichever the server asks for.
    Password(Password),
    /// By the keys of a SCRAM exchange that this program has finished as a server: so a pooler logs in upstream as its client,
    /// without the password. The server there has to store the same verifier.
    ScramKeys(ScramKeys),
}

/// What a connection is to be: where, as whom, and under which conditions.
///
/// Most fields have a setter of the same name, to be chained; `host`, `socket`, `with_parameter`, `auth` and
/// `protocol_versions` set the others. A connection string of libpq's, in either form, is read with [`str::parse`]:
/// a URI (`postgres://user:password@host:port/database?parameter=value`, with several hosts, IPv6 in brackets, a socket directory as
/// host, and percent-encoding everywhere) or keywords (`host=… user='a b'`). See the
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING). Nothing is taken from the
/// environment, from a service file or from a password file.
///
/// ```
/// use pg_auth::config::{Config, Host, SslMode};
///
/// let config: Config = "postgres://alice:s%40crets@db.example:5433/shop?sslmode=require&application_name=till".parse()?;
/// assert_eq!(config.hosts, [Host::new("db.example", 5433)]);
/// assert_eq!(config.parameter("application_name"), Some("till"));
///
/// let same = Config::new("alice")
///     .password("s@crets")
///     .host(Host::new("db.example", 5433))
///     .database("shop")
///     .sslmode(SslMode::Require)
///     .application_name("till");
/// assert_eq!(config, same);
/// assert!(!format!("{config:?}").contains("crets"));
/// # Ok::<(), pg_auth::error::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The role to log in as. A connection string may leave it out, which leaves this empty; a connection cannot be made then.
    pub user: String,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// In place of a password, for SCRAM alone: the keys of a user who has logged in to us.
    pub scram_keys: Option<ScramKeys>,
    /// Where SCRAM keys are kept from one connection to the next. Default nowhere.
    pub scram_cache: Option<KeyCache>,
    /// Where bearer tokens come from, for servers that ask for one. Default nowhere.
    pub tokens: Option<Tokens>,
    /// GSSAPI or SSPI, for servers that ask for it. Default none.
    pub gss: Option<Gss>,
    /// The database; the server takes one of the user's name if there is none.
    pub database: Option<String>,
    /// Where to connect to, in the order in which to try. Ignored over a stream of the caller's own. Empty: dialling fails, there is no default host.
    pub hosts: Vec<Host>,
    /// Start-up parameters beside user and database, in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
    /// The oldest protocol version to accept. Default 3.0.
    pub min_protocol_version: ProtocolVersion,
    /// The version to ask for. Default 3.0, as in libpq: some poolers refuse a newer one instead of offering an older.
    pub max_protocol_version: ProtocolVersion,
    /// Whether to use TLS. Default [`SslMode::Prefer`]. The adapters do not begin TLS themselves yet: `allow` and `prefer` connect in
    /// clear, and `require` and stricter are refused unless the caller brings a TLS stream and says so ([`Link::Tls`]).
    pub sslmode: SslMode,
    /// How to begin TLS. Default [`SslNegotiation::Postgres`].
    pub sslnegotiation: SslNegotiation,
    /// Whether to bind SCRAM to the TLS channel. Default [`BindingMode::Prefer`].
    pub channel_binding: BindingMode,
    /// By which methods the server may authenticate the user. Default any.
    pub require_auth: RequireAuth,
    /// Time limit for one host: its name, the socket and the login together. Default none. The adapters apply it when they dial,
    /// not over a stream of the caller's own.
    pub connect_timeout: Option<Duration>,
    /// How often a server may ask to have the password hashed. Default 1 to 100,000.
    pub scram_iterations: Iterations,
}

impl Config {
    /// A configuration with this user and nothing else.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: None,
            scram_keys: None,
            scram_cache: None,
            tokens: None,
            gss: None,
            database: None,
            hosts: Vec::new(),
            parameters: Vec::new(),
            min_protocol_version: ProtocolVersion::V3_0,
            max_protocol_version: ProtocolVersion::V3_0,
            sslmode: SslMode::default(),
            sslnegotiation: SslNegotiation::default(),
            channel_binding: BindingMode::default(),
            require_auth: RequireAuth::default(),
            connect_timeout: None,
            scram_iterations: Iterations::default(),
        }
    }

    /// Sets the role to log in as.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the password.
    pub fn password(mut self, password: impl Into<Password>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets how to prove who the user is.
    pub fn auth(mut self, mode: AuthenticationMode) -> Self {
        (self.password, self.scram_keys) = match mode {
            AuthenticationMode::Trust => (None, None),
            AuthenticationMode::Password(password) => (Some(password), None),
            AuthenticationMode::ScramKeys(keys) => (None, Some(keys)),
        };
        self
    }

    /// Keeps SCRAM keys in this cache, so that a later connection with the same password need not derive them again.
    pub fn scram_cache(mut self, cache: &KeyCache) -> Self {
        self.scram_cache = Some(cache.clone());
        self
    }

    /// Sets where bearer tokens come from.
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Sets what GSSAPI or SSPI is done with.
    pub fn gss(mut self, gss: Gss) -> Self {
        self.gss = Some(gss);
        self
    }

    /// Sets the database.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// Adds a host behind those that are there.
    pub fn host(mut self, host: Host) -> Self {
        self.hosts.push(host);
        self
    }

    /// Adds the Unix-domain socket in this directory behind the hosts that are there.
    pub fn socket(self, dir: impl Into<PathBuf>, port: u16) -> Self {
        self.host(Host::Unix { dir: dir.into(), port })
    }

    /// Sets a start-up parameter, such as `client_encoding` or `search_path`; one of that name keeps its place.
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.put(name.into(), value.into());
        self
    }

    /// Sets the name that `pg_stat_activity` shows.
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

    /// Sets whether to use TLS.
    pub fn sslmode(mut self, mode: SslMode) -> Self {
        self.sslmode = mode;
        self
    }

    /// Sets how to begin TLS.
    pub fn sslnegotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.sslnegotiation = negotiation;
        self
    }

    /// Sets whether to bind SCRAM to the TLS channel.
    pub fn channel_binding(mut self, mode: BindingMode) -> Self {
        self.channel_binding = mode;
        self
    }

    /// Sets by which methods the server may authenticate the user.
    pub fn require_auth(mut self, methods: RequireAuth) -> Self {
        self.require_auth = methods;
        self
    }

    /// Sets how long to wait for a connection to one host.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Sets how often a server may ask to have the password hashed.
    pub fn scram_iterations(mut self, iterations: Iterations) -> Self {
        self.scram_iterations = iterations;
        self
    }

    /// The value of a start-up parameter other than user and database.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All start-up parameters in the order in which they are sent: user, database, and the others as they were given.
    pub fn startup_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let user = std::iter::once(("user", self.user.as_str()));
        let database = self.database.iter().map(|database| ("database", database.as_str()));
        let others = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        user.chain(database).chain(others)
    }

    /// Whether the password may be sent in clear text through such a connection; see [`cleartext::check`].
    ///
    /// # Errors
    /// [`PolicyError::CleartextPassword`] where it may not.
    pub fn check_cleartext(&self, link: Link) -> Result<(), PolicyError> {
        cleartext::check(link, self.sslmode)
    }

    /// Whether a connection can be made from it. Everything that connects calls this first.
    ///
    /// # Errors
    /// The user is missing; a NUL byte stands somewhere; a start-up parameter has no name, the name of a field, or is there twice; the
    /// version to ask for is not one of protocol 3; the least of something is above its most; or TLS is to begin without negotiation
    /// but may be left out, which cannot be.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.user.is_empty() {
            return Err(ConfigError::Missing("user"));
        }
        let password = self.password.as_ref().map_or(&b""[..], Password::as_bytes);
        let texts = [
            ("user", self.user.as_bytes()),
            ("password", password),
            ("database", self.database.as_deref().unwrap_or_default().as_bytes()),
        ];
        let parameters = self.parameters.iter().flat_map(|(name, value)| [name, value]);
        let parameters = parameters.map(|text| ("parameter", text.as_bytes()));
        let hosts = self.hosts.iter().map(|host| ("host", host.name_bytes()));
        if let Some((name, _)) =
            texts.into_iter().chain(parameters).chain(hosts).find(|(_, bytes)| bytes.contains(&0))
        {
            return Err(ConfigError::Nul(name));
        }
        for (at, (name, _)) in self.parameters.iter().enumerate() {
            let twice = self.parameters.iter().take(at).any(|(earlier, _)| earlier == name);
            if twice || matches!(name.as_str(), "" | "user" | "database") {
                return Err(ConfigError::ReservedParameter(name.as_str().into()));
            }
        }
        // 3.1 was never spoken, and other majors are other protocols, or requests instead of a session.
        let max = self.max_protocol_version;
        if max.major() != 3 || max == ProtocolVersion::new(3, 1) {
            return Err(ConfigError::InvalidValue("max_protocol_version"));
        }
        if self.min_protocol_version > max {
            return Err(ConfigError::InvalidValue("min_protocol_version"));
        }
        if self.scram_iterations.min > self.scram_iterations.max {
            return Err(ConfigError::InvalidValue("scram_iterations"));
        }
        let optional = matches!(self.sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if self.sslnegotiation == SslNegotiation::Direct && optional {
            return Err(ConfigError::InvalidValue("sslnegotiation"));
        }
        Ok(())
    }

    fn put(&mut self, name: String, value: String) {
        match self.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.parameters.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Config {
        Config::new("alice")
    }

    #[test]
    fn startup_parameters_come_in_the_order_given() {
        let config = alice()
            .options("-c geqo=off")
            .application_name("one")
            .with_parameter("search_path", "shop")
            .database("shop")
            .application_name("two");
        let expected = [
            ("user", "alice"),
            ("database", "shop"),
            ("options", "-c geqo=off"),
            ("application_name", "two"),
            ("search_path", "shop"),
        ];
        assert!(config.startup_parameters().eq(expected));
        assert!(alice().startup_parameters().eq([("user", "alice")]));
    }

    #[test]
    fn a_nul_is_refused_wherever_it_stands() {
        let refused =
            |config: Config, what| assert_eq!(config.check(), Err(ConfigError::Nul(what)), "{config:?}");
        assert_eq!(alice().check(), Ok(()));
        refused(Config::new("alice\0"), "user");
        refused(alice().password("x\0"), "password");
        refused(alice().database("\0shop"), "database");
        refused(alice().application_name("x\0user\0admin"), "parameter");
        refused(alice().with_parameter("a\0b", "c"), "parameter");
        refused(alice().host(Host::new("h\0", 5432)), "host");
        refused(alice().socket("/tmp\0", 5432), "host");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(Config::new("").check(), Err(ConfigError::Missing("user")));
        for name in ["", "user", "database"] {
            let config = alice().with_parameter(name, "x");
            assert_eq!(config.check(), Err(ConfigError::ReservedParameter(name.into())));
        }
        let mut twice = alice();
        twice.parameters = vec![("a".into(), "1".into()), ("b".into(), "2".into()), ("a".into(), "3".into())];
        assert_eq!(twice.check(), Err(ConfigError::ReservedParameter("a".into())));

        let versions = alice().protocol_versions(ProtocolVersion::V3_2, ProtocolVersion::V3_0);
        assert_eq!(versions.check(), Err(ConfigError::InvalidValue("min_protocol_version")));
        // Not spoken, not the protocol of this library, and not a session's version but a CancelRequest.
        for max in
            [(3, 1), (2, 0), (4, 0), (1234, 5678)].map(|(major, minor)| ProtocolVersion::new(major, minor))
        {
            let versions = alice().protocol_versions(ProtocolVersion::new(0, 0), max);
            assert_eq!(versions.check(), Err(ConfigError::InvalidValue("max_protocol_version")), "{max}");
        }
        let greased = alice().protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::new(3, 9999));
        assert_eq!(greased.check(), Ok(()));
        let iterations = alice().scram_iterations(Iterations { min: 2, max: 1 });
        assert_eq!(iterations.check(), Err(ConfigError::InvalidValue("scram_iterations")));
        let direct = alice().sslnegotiation(SslNegotiation::Direct);
        assert_eq!(direct.check(), Err(ConfigError::InvalidValue("sslnegotiation")));
        assert_eq!(direct.sslmode(SslMode::Require).check(), Ok(()));
    }

    #[test]
    fn a_password_does_not_print() {
        let config = alice().password("hunter2");
        assert!(format!("{config:?}").contains("password: Some(***)"));
    }

    #[test]
    fn a_password_goes_over_plain_tcp_only_if_the_caller_asked_for_plain_tcp() {
        assert_eq!(alice().check_cleartext(Link::Tcp), Err(PolicyError::CleartextPassword));
        assert_eq!(alice().sslmode(SslMode::Disable).check_cleartext(Link::Tcp), Ok(()));
        assert_eq!(alice().check_cleartext(Link::Unix), Ok(()));
    }
}
