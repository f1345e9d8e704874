//! Settings of a connection, and connection strings.

pub(crate) mod error;
mod host;
mod network;
mod parameters;
mod parse;
pub(crate) mod require_auth;
mod setters;
mod surroundings;
mod tls;
pub(crate) mod words;

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

pub use crate::oauth::OAuthSettings;
pub use host::{DEFAULT_PORT, Host};
pub use network::Keepalives;
pub use pg_wire::frontend::ProtocolVersion;
pub use require_auth::{AuthMethod, RequireAuth};
pub use surroundings::{Found, Surroundings, Warning};
pub use tls::{RootCert, SslCertMode, TlsSettings, TlsVerification};

pub use crate::link::TlsVersion;
pub use words::{
    BindingMode, GssEncMode, LoadBalanceHosts, Replication, SslMode, SslNegotiation, TargetSessionAttrs,
};

use crate::cleartext;
use crate::error::{ConfigError, PolicyError, UnsupportedParameter};
use crate::gss::Gss;
use crate::link::Link;
use crate::oauth::Tokens;
use crate::scram::{Iterations, KeyCache, ScramKeys};
use crate::secret::Password;

/// Default of `connect_timeout`: 60 seconds, as long as PostgreSQL's own limit for a login (`authentication_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Default name of PostgreSQL's service in Kerberos.
const DEFAULT_KRBSRVNAME: &str = "postgres";

/// The client's proof of the user's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthenticationMode {
    /// No proof: the server is expected to accept the user, as with `trust`, `peer` or a certificate. If the server asks for a
    /// password, the connection fails.
    Trust,
    /// A password. The server chooses the method: SCRAM-SHA-256, MD5, or clear text if [`Config::check_cleartext`] allows clear text.
    Password(Password),
    /// The keys of a SCRAM exchange, instead of a password. Example: as a server, a pooler has finished a SCRAM exchange with a client.
    /// With the keys from this exchange, the pooler logs in to the upstream server as the same user, without a password. The upstream
    /// server must store the same verifier as the pooler.
    ScramKeys(ScramKeys),
}

/// Settings of a connection: hosts, user, credentials, TLS, time limits and policy.
///
/// Most fields have a setter of the same name; setters can be chained. The methods `host`, `socket`, `with_parameter`, `auth` and
/// `protocol_versions` set the other fields.
///
/// [`str::parse`] reads both forms of libpq's connection strings
/// ([PostgreSQL manual](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING)):
/// - URIs, `postgres://user:password@host:port/database?parameter=value`. Several hosts, IPv6 in brackets, a socket directory as host, and
///   percent-encoding are allowed.
/// - Keywords with values, `host=… user='a b'`.
///
/// `str::parse` reads no environment variables, service files or password files. Only [`Surroundings`] read these sources.
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
    /// The name of the PostgreSQL role to log in as. If a connection string names no user, this field is empty, and connecting fails.
    pub user: String,
    /// The password, if there is one.
    pub password: Option<Password>,
    /// SCRAM keys to log in with instead of a password, for example the keys of a user who has logged in to this program. Used for SCRAM
    /// only.
    pub scram_keys: Option<ScramKeys>,
    /// Cache that keeps SCRAM keys from one connection to the next. Default none.
    pub scram_cache: Option<KeyCache>,
    /// The source of bearer tokens, for servers that ask for a token. Default none.
    pub tokens: Option<Tokens>,
    /// The implementation of GSSAPI or SSPI, for servers that ask for one of these methods. Default none.
    pub gss: Option<Gss>,
    /// The database. Default none: the server then takes the database that has the user's name.
    pub database: Option<String>,
    /// Servers to connect to, in the order in which to try them. Ignored if the caller supplies the stream. Dialling fails if the list is
    /// empty. [`Config::new`] leaves the list empty; a connection string without a host adds [`Host::local`].
    pub hosts: Vec<Host>,
    /// Start-up parameters other than user and database, in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
    /// The oldest protocol version to accept. Default 3.0.
    pub min_protocol_version: ProtocolVersion,
    /// The protocol version to ask for. Default 3.0, as in libpq: some poolers reject a newer version instead of offering 3.0.
    pub max_protocol_version: ProtocolVersion,
    /// Selects whether to use TLS, and what to check of the server's certificate. Default [`SslMode::Prefer`].
    pub sslmode: SslMode,
    /// The way to begin TLS. Default [`SslNegotiation::Postgres`].
    pub sslnegotiation: SslNegotiation,
    /// Selects whether to bind SCRAM to the TLS channel. Default [`BindingMode::Prefer`].
    pub channel_binding: BindingMode,
    /// The methods by which the server may authenticate the user. Default: any method.
    pub require_auth: RequireAuth,
    /// Time limit for one address: opening the socket, TLS and the login together. Default 60 seconds (libpq: no limit). `None`, or
    /// `connect_timeout=0` in a connection string, means no limit. If the caller supplies the stream, the limit covers TLS and the login.
    pub connect_timeout: Option<Duration>,
    /// `scram_iterations_min` and `scram_iterations_max`: the range of iteration counts that a server may ask for. Default 1 to
    /// 1,000,000. Both parameters are this library's own; libpq has no limit.
    pub scram_iterations: Iterations,
    /// Settings of TLS: certificates, keys and versions.
    pub tls: TlsSettings,
    /// Passwords for single hosts, for example from a password file. See [`password_for`](Self::password_for).
    pub host_passwords: Vec<(Host, Password)>,
    /// The kind of server to look for among the hosts. Default [`TargetSessionAttrs::Any`].
    pub target_session_attrs: TargetSessionAttrs,
    /// The order in which to try hosts and their addresses. Default [`LoadBalanceHosts::Disable`]: in the order given.
    pub load_balance_hosts: LoadBalanceHosts,
    /// TCP keepalive: probes on an idle connection.
    pub keepalives: Keepalives,
    /// Time that sent data may stay unacknowledged before TCP closes the connection, in whole milliseconds. Default: the operating system's
    /// limit. Not every operating system has this setting. No effect on a Unix-domain socket.
    pub tcp_user_timeout: Option<Duration>,
    /// The operating-system user that the server process at the other end of a Unix-domain socket must run as. Default: any user.
    pub requirepeer: Option<String>,
    /// Selects whether to encrypt by GSSAPI. Default [`GssEncMode::Prefer`], which this library treats like `Disable`.
    pub gssencmode: GssEncMode,
    /// The name of the service in the server's Kerberos principal. Default `postgres`.
    pub krbsrvname: String,
    /// Whether to delegate the user's GSSAPI credentials to the server. Default `false`.
    pub gssdelegation: bool,
    /// Settings of a login by a bearer token.
    pub oauth: OAuthSettings,
}

impl Config {
    /// Creates a configuration with this user; all other fields have their defaults.
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
            connect_timeout: Some(CONNECT_TIMEOUT),
            scram_iterations: Iterations::default(),
            tls: TlsSettings::default(),
            host_passwords: Vec::new(),
            target_session_attrs: TargetSessionAttrs::default(),
            load_balance_hosts: LoadBalanceHosts::default(),
            keepalives: Keepalives::default(),
            tcp_user_timeout: None,
            requirepeer: None,
            gssencmode: GssEncMode::default(),
            krbsrvname: DEFAULT_KRBSRVNAME.into(),
            gssdelegation: false,
            oauth: OAuthSettings::default(),
        }
    }

    /// The value of a start-up parameter other than user and database.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All start-up parameters in the order in which they are sent: user, database, then [`parameters`](Self::parameters).
    pub fn startup_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let user = std::iter::once(("user", self.user.as_str()));
        let database = self.database.iter().map(|database| ("database", database.as_str()));
        let others = self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        user.chain(database).chain(others)
    }

    /// The password for this host: the entry for this host in [`host_passwords`](Self::host_passwords). If there is no such entry,
    /// [`password`](Self::password).
    pub fn password_for(&self, host: &Host) -> Option<&Password> {
        let own = self.host_passwords.iter().find(|(known, _)| known == host);
        own.map(|(_, password)| password).or(self.password.as_ref())
    }

    /// The configuration for a login at this host: `password` is the password for this host. If no host has its own password, the result is
    /// `self`, borrowed.
    pub fn for_host(&self, host: &Host) -> Cow<'_, Self> {
        if self.host_passwords.is_empty() {
            return Cow::Borrowed(self);
        }
        let password = self.password_for(host).cloned();
        Cow::Owned(Self { password, hosts: vec![host.clone()], host_passwords: Vec::new(), ..self.clone() })
    }

    /// Returns how to verify the server's certificate when TLS is used. `sslmode` sets the minimum of verification. If a root certificate
    /// is configured, the chain of the server's certificate is always verified: `require`, `prefer` and `allow` verify in the same way as
    /// `verify-ca`, as in libpq.
    ///
    /// Two rules differ from libpq:
    /// - If the file of the root certificate does not exist, TLS fails in every mode. In libpq, TLS fails only in `verify-ca` and
    ///   `verify-full`; the other modes skip the verification.
    /// - `verify-full` without a root certificate trusts [`RootCert::System`]. libpq refuses to connect.
    ///
    /// # Errors
    /// `sslmode` is `verify-ca` and no root certificate is configured. The operating system's authorities are no substitute: they issue
    /// certificates to anyone, and `verify-ca` does not check the host name.
    pub fn tls_verification(&self) -> Result<TlsVerification<'_>, ConfigError> {
        Ok(match (self.sslmode, &self.tls.root) {
            (SslMode::VerifyFull, root) => TlsVerification::Full(root.as_ref().unwrap_or(&RootCert::System)),
            (_, Some(root)) => TlsVerification::Chain(root),
            (SslMode::VerifyCa, None) => return Err(ConfigError::Missing("sslrootcert")),
            (_, None) => TlsVerification::None,
        })
    }

    /// Checks whether the password may be sent in clear text over this kind of connection; see [`cleartext::check`].
    ///
    /// # Errors
    /// [`PolicyError::CleartextPassword`] if the password may not be sent.
    pub fn check_cleartext(&self, link: Link) -> Result<(), PolicyError> {
        cleartext::check(link, self.sslmode)
    }

    /// Checks that a connection can be made from this configuration. Every function that connects calls this first.
    ///
    /// # Errors
    /// - The user is missing.
    /// - A value contains a NUL byte.
    /// - A start-up parameter has no name, is named `user` or `database`, or occurs twice.
    /// - `max_protocol_version` is not a version of protocol 3.
    /// - A minimum is above its maximum: protocol versions, SCRAM iterations or TLS versions.
    /// - `sslnegotiation=direct`, but `sslmode` permits a connection without TLS.
    /// - `sslrootcert=system`, but `sslmode` is not `verify-full`.
    /// - `gssencmode=require`, which is not supported.
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
        let mut names = HashSet::new();
        for (name, _) in &self.parameters {
            if !names.insert(name) || matches!(name.as_str(), "" | "user" | "database") {
                return Err(ConfigError::ReservedParameter(name.as_str().into()));
            }
        }
        // Version 3.1 never existed. Major numbers other than 3 belong to different protocols, or to requests such as CancelRequest
        // (1234.5678).
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
            return Err(ConfigError::WeakSslMode {
                with: "sslnegotiation=direct",
                least: SslMode::Require.as_str(),
            });
        }
        if self.tls.root == Some(RootCert::System) && self.sslmode != SslMode::VerifyFull {
            return Err(ConfigError::WeakSslMode {
                with: "sslrootcert=system",
                least: SslMode::VerifyFull.as_str(),
            });
        }
        if let (Some(min), Some(max)) = (self.tls.min_version, self.tls.max_version)
            && min > max
        {
            return Err(ConfigError::InvalidValue("ssl_max_protocol_version"));
        }
        if self.gssencmode == GssEncMode::Require {
            let unsupported = UnsupportedParameter { name: "gssencmode", reason: GssEncMode::UNSUPPORTED };
            return Err(ConfigError::Unsupported([unsupported].into()));
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
    fn startup_parameters_are_sent_in_the_order_given() {
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
    fn a_nul_byte_in_any_value_is_rejected() {
        let rejected =
            |config: Config, name| assert_eq!(config.check(), Err(ConfigError::Nul(name)), "{config:?}");
        assert_eq!(alice().check(), Ok(()));
        rejected(Config::new("alice\0"), "user");
        rejected(alice().password("x\0"), "password");
        rejected(alice().database("\0shop"), "database");
        rejected(alice().application_name("x\0user\0admin"), "parameter");
        rejected(alice().with_parameter("a\0b", "c"), "parameter");
        rejected(alice().host(Host::new("h\0", 5432)), "host");
        rejected(alice().socket("/tmp\0", 5432), "host");
    }

    #[test]
    fn contradictory_settings_are_rejected() {
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
        // 3.1 never existed, 2.0 and 4.0 are different protocols, and 1234.5678 is the code of a CancelRequest.
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
        let weak =
            ConfigError::WeakSslMode { with: "sslnegotiation=direct", least: SslMode::Require.as_str() };
        assert_eq!(direct.check(), Err(weak));
        assert_eq!(direct.sslmode(SslMode::Require).check(), Ok(()));
    }

    #[test]
    fn a_contradictory_tls_policy_is_rejected() {
        let system = alice().tls(TlsSettings::default().root(RootCert::System));
        for mode in SslMode::ALL {
            let expected = match mode {
                SslMode::VerifyFull => Ok(()),
                _ => Err(ConfigError::WeakSslMode {
                    with: "sslrootcert=system",
                    least: SslMode::VerifyFull.as_str(),
                }),
            };
            assert_eq!(system.clone().sslmode(*mode).check(), expected, "{mode}");
        }
        let range = |min, max| alice().tls(TlsSettings::default().min_version(min).max_version(max)).check();
        assert_eq!(range(TlsVersion::V1_2, TlsVersion::V1_2), Ok(()));
        assert_eq!(
            range(TlsVersion::V1_3, TlsVersion::V1_2),
            Err(ConfigError::InvalidValue("ssl_max_protocol_version"))
        );
        let gss = alice().gssencmode(GssEncMode::Require).check();
        assert!(matches!(gss, Err(ConfigError::Unsupported(_))));
    }

    #[test]
    fn every_sslmode_verifies_the_chain_if_there_is_a_root_certificate() {
        let root = RootCert::File("ca.pem".into());
        let with = |mode, root: Option<&RootCert>| {
            let mut config = alice().sslmode(mode);
            config.tls.root = root.cloned();
            config
        };
        for mode in SslMode::ALL {
            let expected = match mode {
                SslMode::VerifyFull => TlsVerification::Full(&root),
                _ => TlsVerification::Chain(&root),
            };
            assert_eq!(with(*mode, Some(&root)).tls_verification(), Ok(expected), "{mode}");
        }
        for mode in [SslMode::Allow, SslMode::Prefer, SslMode::Require] {
            assert_eq!(with(mode, None).tls_verification(), Ok(TlsVerification::None), "{mode}");
        }
        let verify_ca = with(SslMode::VerifyCa, None);
        assert_eq!(verify_ca.tls_verification(), Err(ConfigError::Missing("sslrootcert")));
        let system = TlsVerification::Full(&RootCert::System);
        assert_eq!(with(SslMode::VerifyFull, None).tls_verification(), Ok(system));
    }

    #[test]
    fn a_host_may_have_a_password_of_its_own() {
        let [one, two] = ["one", "two"].map(|name| Host::new(name, 5432));
        let config =
            alice().password("all").host(one.clone()).host(two.clone()).host_password(two.clone(), "own");
        assert_eq!(config.for_host(&one).password, Some("all".into()));
        assert_eq!(config.for_host(&two).password, Some("own".into()));
        assert_eq!(config.for_host(&Host::new("two", 5433)).password, Some("all".into()));
        assert_eq!(*alice().for_host(&one), alice());
    }

    #[test]
    fn debug_output_hides_the_password() {
        let config = alice().password("hunter2");
        assert!(format!("{config:?}").contains("password: Some(***)"));
    }

    #[test]
    fn a_cleartext_password_over_plain_tcp_is_allowed_only_with_sslmode_disable() {
        assert_eq!(alice().check_cleartext(Link::Tcp), Err(PolicyError::CleartextPassword));
        assert_eq!(alice().sslmode(SslMode::Disable).check_cleartext(Link::Tcp), Ok(()));
        assert_eq!(alice().check_cleartext(Link::Unix), Ok(()));
    }
}
