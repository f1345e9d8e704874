//! The parameters of a connection string: their names, their environment variables, and the settings that they change.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Config, DEFAULT_PORT, GssEncMode, Host, ProtocolVersion, RootCert, SslMode};
use crate::error::{ConfigError, UnsupportedParameter};
use crate::scram::{ClientKey, ScramKeys, ServerKey};
use crate::secret::Password;

/// The value of a parameter, with quotes or percent-encoding removed. Wiped on drop: the value may be a password.
pub(super) type Value = Zeroizing<Vec<u8>>;

/// A parameter of a connection string.
pub(super) struct Parameter {
    /// The parameter's keyword in a connection string.
    pub(super) name: &'static str,
    /// The environment variable that supplies the value if the connection string does not.
    pub(super) variable: Option<&'static str>,
    apply: fn(&mut Draft, Setting) -> Result<(), ConfigError>,
}

const fn parameter(
    name: &'static str,
    variable: Option<&'static str>,
    apply: fn(&mut Draft, Setting) -> Result<(), ConfigError>,
) -> Parameter {
    Parameter { name, variable, apply }
}

/// All parameters of libpq 18, and three more: `servicefile` is from libpq 19; `scram_iterations_min` and `scram_iterations_max` are this
/// library's own. Start-up parameters are sent in the order of this table, which is libpq's order.
#[rustfmt::skip] // one line for each parameter
pub(super) const PARAMETERS: &[Parameter] = &[
    parameter("service", Some("PGSERVICE"), |draft, it| draft.unsupported(it.name, "only `Surroundings` read service files")),
    parameter("servicefile", Some("PGSERVICEFILE"), |draft, it| draft.unsupported(it.name, "only `Surroundings` read service files")),
    parameter("user", Some("PGUSER"), |draft, it| it.text().map(|text| draft.config.user = text)),
    parameter("password", Some("PGPASSWORD"), |draft, it| { draft.config.password = it.password(); Ok(()) }),
    // Only `Surroundings` read the password file. Without `Surroundings` the parameter has no effect: a login that needs a password from
    // the file fails.
    parameter("passfile", Some("PGPASSFILE"), |_, _| Ok(())),
    parameter("dbname", Some("PGDATABASE"), |draft, it| it.filled().map(|name| draft.config.database = name)),
    parameter("host", Some("PGHOST"), |draft, it| it.list().map(|list| draft.hosts = list)),
    parameter("hostaddr", Some("PGHOSTADDR"), |draft, it| it.list().map(|list| draft.addresses = list)),
    parameter("port", Some("PGPORT"), |draft, it| it.list().map(|list| draft.ports = list)),
    parameter("connect_timeout", Some("PGCONNECT_TIMEOUT"), |draft, it| {
        // libpq: "Zero, negative, or not specified means wait indefinitely". Here, zero and negative mean the same as in libpq, but "not
        // specified" means the default limit.
        if it.number()?.is_some() {
            draft.config.connect_timeout = it.positive()?.map(seconds);
        }
        Ok(())
    }),
    parameter("target_session_attrs", Some("PGTARGETSESSIONATTRS"), |draft, it| it.word(&mut draft.config.target_session_attrs)),
    parameter("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), |draft, it| it.word(&mut draft.config.load_balance_hosts)),

    parameter("replication", None, Draft::startup),
    parameter("options", Some("PGOPTIONS"), Draft::startup),
    parameter("application_name", Some("PGAPPNAME"), Draft::startup),
    parameter("fallback_application_name", None, |draft, it| match draft.has_application_name {
        true => Ok(()),
        false => draft.startup(Setting { name: "application_name", ..it }),
    }),
    parameter("client_encoding", Some("PGCLIENTENCODING"), |draft, it| match it.value.as_slice() {
        // libpq takes the encoding from the locale. Here the encoding is always UTF-8, because Rust's strings are UTF-8.
        b"auto" => draft.startup(Setting { value: Zeroizing::new(b"UTF8".to_vec()), ..it }),
        _ => draft.startup(it),
    }),

    parameter("keepalives", None, |draft, it| it.number().map(|on| draft.config.keepalives.enabled = on != Some(0))),
    parameter("keepalives_idle", None, |draft, it| it.positive().map(|idle| draft.config.keepalives.idle = idle.map(seconds))),
    parameter("keepalives_interval", None, |draft, it| it.positive().map(|time| draft.config.keepalives.interval = time.map(seconds))),
    parameter("keepalives_count", None, |draft, it| it.positive().map(|count| draft.config.keepalives.count = count)),
    parameter("tcp_user_timeout", None, |draft, it| {
        it.positive().map(|limit| draft.config.tcp_user_timeout = limit.map(|limit| Duration::from_millis(limit.into())))
    }),
    parameter("requirepeer", Some("PGREQUIREPEER"), |draft, it| it.filled().map(|user| draft.config.requirepeer = user)),

    // `sslrootcert` must precede `sslmode` in this table, because `sslrootcert=system` changes the default of `sslmode`.
    parameter("sslrootcert", Some("PGSSLROOTCERT"), |draft, it| {
        draft.config.tls.root = match it.value.as_slice() {
            b"system" => Some(RootCert::System),
            _ => it.path()?.map(RootCert::File),
        };
        // As in libpq, `sslrootcert=system` implies `sslmode=verify-full`. The system's authorities issue certificates to anyone, so the
        // host name in the certificate must be checked.
        if draft.config.tls.root == Some(RootCert::System) {
            draft.config.sslmode = SslMode::VerifyFull;
        }
        Ok(())
    }),
    parameter("sslmode", Some("PGSSLMODE"), |draft, it| it.word(&mut draft.config.sslmode)),
    parameter("sslnegotiation", Some("PGSSLNEGOTIATION"), |draft, it| it.word(&mut draft.config.sslnegotiation)),
    parameter("sslcompression", Some("PGSSLCOMPRESSION"), |draft, it| match it.switch()? {
        true => draft.unsupported(it.name, "TLS compression is insecure, and PostgreSQL no longer supports TLS compression"),
        false => Ok(()),
    }),
    parameter("sslcert", Some("PGSSLCERT"), |draft, it| it.path().map(|file| draft.config.tls.cert = file)),
    parameter("sslkey", Some("PGSSLKEY"), |draft, it| it.path().map(|file| draft.config.tls.key = file)),
    parameter("sslpassword", None, |draft, it| { draft.config.tls.key_password = it.password(); Ok(()) }),
    parameter("sslcertmode", Some("PGSSLCERTMODE"), |draft, it| it.word(&mut draft.config.tls.cert_mode)),
    parameter("sslcrl", Some("PGSSLCRL"), |draft, it| it.path().map(|file| draft.config.tls.crl = file)),
    parameter("sslcrldir", Some("PGSSLCRLDIR"), |draft, it| it.path().map(|dir| draft.config.tls.crl_dir = dir)),
    parameter("sslsni", Some("PGSSLSNI"), |draft, it| it.switch().map(|sni| draft.config.tls.sni = sni)),
    parameter("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), |draft, it| it.word_or_none(&mut draft.config.tls.min_version)),
    parameter("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), |draft, it| it.word_or_none(&mut draft.config.tls.max_version)),
    parameter("sslkeylogfile", None, |draft, it| it.path().map(|file| draft.config.tls.key_log = file)),

    parameter("channel_binding", Some("PGCHANNELBINDING"), |draft, it| it.word(&mut draft.config.channel_binding)),
    parameter("require_auth", Some("PGREQUIREAUTH"), |draft, it| it.word(&mut draft.config.require_auth)),
    parameter("min_protocol_version", Some("PGMINPROTOCOLVERSION"), |draft, it| it.version().map(|min| draft.config.min_protocol_version = min)),
    parameter("max_protocol_version", Some("PGMAXPROTOCOLVERSION"), |draft, it| it.version().map(|max| draft.max_protocol_version = Some(max))),
    parameter("scram_client_key", None, |draft, it| it.key().map(|key| draft.client_key = Some(key.into()))),
    parameter("scram_server_key", None, |draft, it| it.key().map(|key| draft.server_key = Some(key.into()))),
    parameter("scram_iterations_min", None, |draft, it| it.count(&mut draft.config.scram_iterations.min)),
    parameter("scram_iterations_max", None, |draft, it| it.count(&mut draft.config.scram_iterations.max)),

    parameter("gssencmode", Some("PGGSSENCMODE"), |draft, it| {
        it.word(&mut draft.config.gssencmode)?;
        match draft.config.gssencmode {
            GssEncMode::Require => draft.unsupported("gssencmode", GssEncMode::UNSUPPORTED),
            _ => Ok(()),
        }
    }),
    parameter("krbsrvname", Some("PGKRBSRVNAME"), |draft, it| it.text().map(|name| draft.config.krbsrvname = name)),
    // `gsslib` is ignored. In libpq, the parameter chooses between GSSAPI and SSPI on Windows. Here, the caller supplies the
    // implementation.
    parameter("gsslib", Some("PGGSSLIB"), |_, _| Ok(())),
    parameter("gssdelegation", Some("PGGSSDELEGATION"), |draft, it| it.switch().map(|on| draft.config.gssdelegation = on)),

    parameter("oauth_issuer", None, |draft, it| it.filled().map(|issuer| draft.config.oauth.issuer = issuer)),
    parameter("oauth_client_id", None, |draft, it| it.filled().map(|id| draft.config.oauth.client_id = id)),
    parameter("oauth_client_secret", None, |draft, it| { draft.config.oauth.client_secret = it.password(); Ok(()) }),
    parameter("oauth_scope", None, |draft, it| it.filled().map(|scope| draft.config.oauth.scope = scope)),
];

/// The values of a connection string's parameters: one slot for each row of [`PARAMETERS`].
pub(super) struct Values([Option<Value>; PARAMETERS.len()]);

impl Values {
    pub(super) fn new() -> Self {
        Self([const { None }; PARAMETERS.len()])
    }

    /// Sets a value. An earlier value is replaced.
    ///
    /// # Errors
    /// The parameter is not known.
    pub(super) fn set(&mut self, name: &str, value: Value) -> Result<(), ConfigError> {
        if name == "requiressl" {
            // `requiressl` is the predecessor of `sslmode`; libpq still accepts this name.
            let mode = if value.starts_with(b"1") { SslMode::Require } else { SslMode::Prefer };
            return self.set("sslmode", Zeroizing::new(mode.as_str().into()));
        }
        *self.place(name)? = Some(value);
        Ok(())
    }

    /// Sets a value if the parameter has no value yet.
    ///
    /// # Errors
    /// The parameter is not known.
    pub(super) fn fill(&mut self, name: &str, value: Value) -> Result<(), ConfigError> {
        self.place(name)?.get_or_insert(value);
        Ok(())
    }

    /// Removes and returns the value, if there is one.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.place(name).ok()?.take()
    }

    fn place(&mut self, name: &str) -> Result<&mut Option<Value>, ConfigError> {
        let at = PARAMETERS.iter().position(|known| known.name == name);
        at.and_then(|at| self.0.get_mut(at)).ok_or_else(|| {
            // A name of more than 63 bytes, or with characters that occur in no keyword, may be part of a password that is not
            // percent-encoded. So the error does not show such a name.
            let word = name.len() <= 63
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
            ConfigError::UnknownParameter(if word { name } else { "" }.into())
        })
    }

    /// Makes a configuration from these values. `local` returns the default host for a port; this host is used if
    /// the values contain neither a name nor an address of a host.
    ///
    /// # Errors
    /// A value is invalid, the number of ports or addresses differs from the number of hosts, or a value asks for an unsupported feature.
    pub(super) fn config(self, local: impl Fn(u16) -> Host) -> Result<Config, ConfigError> {
        let has_application_name = self.given("application_name");
        let mut draft = Draft {
            config: Config::new(""),
            hosts: Vec::new(),
            addresses: Vec::new(),
            ports: Vec::new(),
            has_application_name,
            max_protocol_version: None,
            client_key: None,
            server_key: None,
            unsupported: Vec::new(),
        };
        for (Parameter { name, apply, .. }, value) in PARAMETERS.iter().zip(self.0) {
            if let Some(value) = value {
                apply(&mut draft, Setting { name, value })?;
            }
        }
        draft.finish(local)
    }

    fn given(&self, name: &str) -> bool {
        PARAMETERS.iter().zip(&self.0).any(|(known, value)| known.name == name && value.is_some())
    }
}

/// One parameter of a connection string, with its value.
struct Setting {
    name: &'static str,
    value: Value,
}

impl Setting {
    fn invalid(&self) -> ConfigError {
        ConfigError::InvalidValue(self.name)
    }

    fn str(&self) -> Result<&str, ConfigError> {
        str::from_utf8(&self.value).map_err(|_| ConfigError::NotUtf8(self.name))
    }

    fn text(&self) -> Result<String, ConfigError> {
        self.str().map(Into::into)
    }

    /// The value as text, or `None` if the value is empty.
    fn filled(&self) -> Result<Option<String>, ConfigError> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// The parts of the value between commas; an empty value has no parts.
    fn list(&self) -> Result<Vec<String>, ConfigError> {
        let text = self.str()?;
        Ok(if text.is_empty() { Vec::new() } else { text.split(',').map(Into::into).collect() })
    }

    /// The value as a path, or `None` if the value is empty.
    fn path(&self) -> Result<Option<PathBuf>, ConfigError> {
        #[cfg(unix)]
        let path = {
            use std::os::unix::ffi::OsStrExt;
            std::ffi::OsStr::from_bytes(&self.value).into()
        };
        #[cfg(not(unix))]
        let path = PathBuf::from(self.text()?);
        Ok(Some(path).filter(|path: &PathBuf| !path.as_os_str().is_empty()))
    }

    /// Moves the value into a password, without a copy; `None` if the value is empty.
    fn password(mut self) -> Option<Password> {
        Some(Password::from(std::mem::take(&mut *self.value))).filter(|password| !password.is_empty())
    }

    fn word<T: FromStr>(&self, field: &mut T) -> Result<(), ConfigError> {
        *field = self.str()?.parse().map_err(|_| self.invalid())?;
        Ok(())
    }

    fn word_or_none<T: FromStr>(&self, field: &mut Option<T>) -> Result<(), ConfigError> {
        *field = match self.str()? {
            "" => None,
            word => Some(word.parse().map_err(|_| self.invalid())?),
        };
        Ok(())
    }

    fn switch(&self) -> Result<bool, ConfigError> {
        match self.value.as_slice() {
            b"1" => Ok(true),
            b"0" | b"" => Ok(false),
            _ => Err(self.invalid()),
        }
    }

    /// The value as a number, or `None` if the value is empty.
    fn number(&self) -> Result<Option<i32>, ConfigError> {
        match self.str()? {
            "" => Ok(None),
            text => integer(text).map(Some).ok_or_else(|| self.invalid()),
        }
    }

    /// The value as a number; `None` if the value is empty, zero or negative.
    fn positive(&self) -> Result<Option<u32>, ConfigError> {
        Ok(self.number()?.and_then(|number| u32::try_from(number).ok()).filter(|&number| number > 0))
    }

    /// Sets `field` to the value of this parameter, which must be a positive number. An empty value leaves `field` unchanged.
    fn count(&self, field: &mut u32) -> Result<(), ConfigError> {
        match (self.number()?, self.positive()?) {
            (_, Some(count)) => *field = count,
            (None, _) => {}
            (Some(_), None) => return Err(self.invalid()),
        }
        Ok(())
    }

    fn version(&self) -> Result<ProtocolVersion, ConfigError> {
        match self.value.as_slice() {
            b"3.0" => Ok(ProtocolVersion::V3_0),
            b"3.2" | b"latest" => Ok(ProtocolVersion::V3_2),
            _ => Err(self.invalid()),
        }
    }

    /// Decodes the value: 32 bytes in base64.
    fn key(&self) -> Result<[u8; 32], ConfigError> {
        let bytes = STANDARD.decode(&*self.value).map(Zeroizing::new).map_err(|_| self.invalid())?;
        bytes.as_slice().try_into().map_err(|_| self.invalid())
    }
}

/// Parses a decimal number as libpq does: spaces are allowed around the number.
fn integer(text: &str) -> Option<i32> {
    text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']).parse().ok()
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

/// A configuration under construction. `finish` completes the settings that depend on several parameters, for example the hosts.
struct Draft {
    config: Config,
    hosts: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    has_application_name: bool,
    max_protocol_version: Option<ProtocolVersion>,
    client_key: Option<ClientKey>,
    server_key: Option<ServerKey>,
    unsupported: Vec<UnsupportedParameter>,
}

impl Draft {
    /// Records a parameter that asks for an unsupported feature. `finish` returns one error that names all these parameters.
    fn unsupported(&mut self, name: &'static str, reason: &'static str) -> Result<(), ConfigError> {
        self.unsupported.push(UnsupportedParameter { name, reason });
        Ok(())
    }

    /// Adds a start-up parameter, whose value is sent to the server unchanged. Ignores an empty value.
    fn startup(&mut self, setting: Setting) -> Result<(), ConfigError> {
        if let Some(value) = setting.filled()? {
            self.config.parameters.push((setting.name.into(), value));
        }
        Ok(())
    }

    fn finish(mut self, local: impl Fn(u16) -> Host) -> Result<Config, ConfigError> {
        self.config.hosts = self.hosts(local)?;

        // Without `max_protocol_version`, ask for `min_protocol_version`, whose default is 3.0. libpq asks for the latest version if the
        // minimum is above 3.0; both rules have the same result, because 3.2 is the only version above 3.0.
        let max = self.max_protocol_version.unwrap_or(self.config.min_protocol_version);
        self.config.max_protocol_version = max;

        match (self.client_key.take(), self.server_key.take()) {
            (Some(client), Some(server)) => self.config.scram_keys = Some(ScramKeys { client, server }),
            (Some(_), None) => {
                self.unsupported("scram_client_key", "`scram_server_key` is missing: give both keys")?;
            }
            (None, Some(_)) => {
                self.unsupported("scram_server_key", "`scram_client_key` is missing: give both keys")?
            }
            (None, None) => {}
        }
        if !self.unsupported.is_empty() {
            return Err(ConfigError::Unsupported(self.unsupported.into()));
        }
        Ok(self.config)
    }

    /// Pairs each host name or address with its port. As in libpq, a list of ports has "the same length as the host list", or is "a single
    /// port number to be used for all hosts".
    fn hosts(&self, local: impl Fn(u16) -> Host) -> Result<Vec<Host>, ConfigError> {
        let Self { hosts, addresses, ports, .. } = self;
        let count = if addresses.is_empty() { hosts.len().max(1) } else { addresses.len() };
        if !hosts.is_empty() && hosts.len() != count {
            return Err(ConfigError::AddressCount { hosts: hosts.len(), addresses: count });
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(ConfigError::PortCount { hosts: count, ports: ports.len() });
        }
        let item = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
        let host = |at| {
            let port = port(&item(ports, if ports.len() == 1 { 0 } else { at }))?;
            let (name, address) = (item(hosts, at), item(addresses, at));
            Ok(match (name.as_str(), address.as_str()) {
                ("", "") => local(port),
                (_, "") => Host::new(name, port),
                (_, address) => {
                    let address: std::net::IpAddr =
                        address.parse().map_err(|_| ConfigError::InvalidValue("hostaddr"))?;
                    Host::at_address(name, address, port)
                }
            })
        };
        (0..count).map(host).collect()
    }
}

fn port(text: &str) -> Result<u16, ConfigError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let port = integer(text).and_then(|port| u16::try_from(port).ok());
    port.filter(|&port| port != 0).ok_or(ConfigError::InvalidValue("port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_variable_is_in_the_table_twice() {
        for (at, one) in PARAMETERS.iter().enumerate() {
            for other in PARAMETERS.iter().skip(at + 1) {
                assert_ne!(one.name, other.name);
                assert!(one.variable.is_none() || one.variable != other.variable, "{}", one.name);
            }
        }
    }

    #[test]
    fn numbers_are_read_as_libpq_reads_them() {
        for (text, number) in
            [("5432", 5432), ("+1", 1), (" \t-7\r\n", -7), ("007", 7), ("2147483647", i32::MAX)]
        {
            assert_eq!(integer(text), Some(number), "{text:?}");
        }
        for text in ["", " ", "x", "1 2", "1x", "0x10", "1e3", "2147483648", "--1", "1.0"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }
}
