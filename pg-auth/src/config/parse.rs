//! Connection strings of libpq's, in both forms.
//!
//! What libpq 18 accepts is taken the same way, with two liberties in URIs: a value in the query may hold a bare `=`, and spaces may
//! stand around each host. No error shows a value or a piece of the string: where an `@` in a password was not encoded, the rest of the
//! password looks like a host or a parameter.

use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use super::{Config, DEFAULT_PORT, Host, ProtocolVersion};
use crate::error::ConfigError;
use crate::secret::Password;

/// Parameters that libpq knows and that would change what the caller gets, if they could simply be left out.
const UNSUPPORTED: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "tcp_user_timeout",
];

/// Parameters that may be there with these values, which ask for nothing.
const NEUTRAL: &[(&str, &[&str])] = &[
    ("gssencmode", &["disable", "prefer"]),
    ("load_balance_hosts", &["disable"]),
    ("target_session_attrs", &["any"]),
];

/// Reads a connection string: a URI if it begins with `postgres://` or `postgresql://`, keywords and values otherwise.
///
/// # Errors
/// The string is malformed, names a parameter that is not known or not supported, or gives one a value that it cannot have. Errors name
/// the parameter or the byte, never a value.
impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(string: &str) -> Result<Self, ConfigError> {
        if string.contains('\0') {
            return Err(ConfigError::Nul("connection string"));
        }
        let mut settings = Settings::new();
        let mut cursor = Cursor { rest: string, offset: 0 };
        if cursor.eat("postgres://") || cursor.eat("postgresql://") {
            uri(cursor, &mut settings)?;
        } else {
            keywords(cursor, &mut settings)?;
        }
        settings.finish()
    }
}

/// A value on its way: it may be the password.
type Value = Zeroizing<Vec<u8>>;

/// What a string has said so far. Hosts and ports are matched at the end.
struct Settings {
    config: Config,
    hosts: Vec<String>,
    ports: Vec<String>,
    fallback_application_name: String,
    max_protocol_version: Option<ProtocolVersion>,
}

impl Settings {
    fn new() -> Self {
        Self {
            config: Config::new(""),
            hosts: Vec::new(),
            ports: Vec::new(),
            fallback_application_name: String::new(),
            max_protocol_version: None,
        }
    }

    /// A later setting replaces an earlier one; an empty value is as good as none.
    fn set(&mut self, name: &str, mut value: Value) -> Result<(), ConfigError> {
        let config = &mut self.config;
        match name {
            "user" => config.user = text("user", &value)?,
            "password" => {
                let value = std::mem::take(&mut *value);
                config.password = Some(Password::from(value)).filter(|password| !password.is_empty());
            }
            "dbname" => config.database = Some(text("dbname", &value)?).filter(|name| !name.is_empty()),
            "host" => self.hosts = list(&text("host", &value)?),
            "port" => self.ports = list(&text("port", &value)?),
            "application_name" => self.parameter("application_name", text("application_name", &value)?),
            "fallback_application_name" => {
                self.fallback_application_name = text("fallback_application_name", &value)?
            }
            // What libpq takes from the locale can only be UTF-8 here: strings in Rust are.
            "client_encoding" if value.as_slice() == b"auto" => {
                self.parameter("client_encoding", "UTF8".into())
            }
            "client_encoding" => self.parameter("client_encoding", text("client_encoding", &value)?),
            "options" => self.parameter("options", text("options", &value)?),
            "replication" => self.parameter("replication", text("replication", &value)?),
            "sslmode" => config.sslmode = text("sslmode", &value)?.parse()?,
            "sslnegotiation" => config.sslnegotiation = text("sslnegotiation", &value)?.parse()?,
            "channel_binding" => config.channel_binding = text("channel_binding", &value)?.parse()?,
            "require_auth" => config.require_auth = text("require_auth", &value)?.parse()?,
            "connect_timeout" => config.connect_timeout = seconds(&text("connect_timeout", &value)?)?,
            "min_protocol_version" => config.min_protocol_version = version("min_protocol_version", &value)?,
            "max_protocol_version" => {
                self.max_protocol_version = Some(version("max_protocol_version", &value)?)
            }
            _ => return other(name, &value),
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: String) {
        self.config.put(name.into(), value);
    }

    fn finish(mut self) -> Result<Config, ConfigError> {
        if self.hosts.is_empty() {
            self.hosts.push(String::new());
        }
        let one_port = match self.ports.as_slice() {
            [] => Some(DEFAULT_PORT),
            [port] => Some(self::port(port)?),
            ports if ports.len() == self.hosts.len() => None,
            ports => {
                return Err(ConfigError::PortCount { hosts: self.hosts.len(), ports: ports.len() });
            }
        };
        for (at, host) in self.hosts.iter().enumerate() {
            let port = match (one_port, self.ports.get(at)) {
                (Some(port), _) => port,
                (None, Some(port)) => self::port(port)?,
                (None, None) => DEFAULT_PORT,
            };
            let host = if host.is_empty() { "localhost" } else { host };
            self.config.hosts.push(Host::new(host, port));
        }

        // Who accepts nothing older has to ask for something newer than the default.
        let max = self.max_protocol_version.unwrap_or(self.config.min_protocol_version);
        self.config.max_protocol_version = max;

        self.config.parameters.retain(|(_, value)| !value.is_empty());
        if self.config.parameter("application_name").is_none() && !self.fallback_application_name.is_empty() {
            self.config = self.config.application_name(self.fallback_application_name);
        }
        Ok(self.config)
    }
}

/// The parameters that are not understood, each with the reason.
fn other(name: &str, value: &[u8]) -> Result<(), ConfigError> {
    if let Some((name, values)) = NEUTRAL.iter().find(|(known, _)| *known == name) {
        let neutral = value.is_empty() || values.iter().any(|neutral| neutral.as_bytes() == value);
        return if neutral { Ok(()) } else { Err(ConfigError::UnsupportedParameter(name)) };
    }
    if let Some(name) = UNSUPPORTED.iter().find(|known| **known == name) {
        return Err(ConfigError::UnsupportedParameter(name));
    }
    // The rest of a password that was not encoded is rarely a word.
    let word = name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    Err(ConfigError::UnknownParameter(if word { name } else { "" }.into()))
}

fn text(name: &'static str, value: &Value) -> Result<String, ConfigError> {
    str::from_utf8(value).map(Into::into).map_err(|_| ConfigError::NotUtf8(name))
}

/// The parts between commas; nothing at all gives no part.
fn list(value: &str) -> Vec<String> {
    if value.is_empty() { Vec::new() } else { value.split(',').map(Into::into).collect() }
}

fn port(value: &str) -> Result<u16, ConfigError> {
    if value.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|&port| digits && port != 0).ok_or(ConfigError::InvalidValue("port"))
}

/// "Zero, negative, or not specified means wait indefinitely."
fn seconds(value: &str) -> Result<Option<Duration>, ConfigError> {
    let seconds: i32 =
        value.trim_ascii().parse().map_err(|_| ConfigError::InvalidValue("connect_timeout"))?;
    Ok(u64::try_from(seconds).ok().filter(|&seconds| seconds > 0).map(Duration::from_secs))
}

fn version(name: &'static str, value: &Value) -> Result<ProtocolVersion, ConfigError> {
    match value.as_slice() {
        b"3.0" => Ok(ProtocolVersion::V3_0),
        b"3.2" | b"latest" => Ok(ProtocolVersion::V3_2),
        _ => Err(ConfigError::InvalidValue(name)),
    }
}

/// `[user[:password]@][host[:port],…][/database][?name=value&…]`
fn uri(mut string: Cursor<'_>, settings: &mut Settings) -> Result<(), ConfigError> {
    let mut ahead = string;
    let mut user_info = ahead.until(&['@', '/']);
    if ahead.eat("@") {
        let user = user_info.until(&[':']);
        if !user.rest.is_empty() {
            settings.set("user", user.decode()?)?;
        }
        if user_info.eat(":") {
            settings.set("password", user_info.decode()?)?;
        }
        string = ahead;
    }

    // As in libpq the lists are put together first and taken apart later, so that an encoded comma divides them too.
    let (mut hosts, mut ports) = (Value::default(), Value::default());
    loop {
        let host = if string.eat("[") {
            let address = string.until(&[']']);
            if address.rest.is_empty() {
                return Err(address.fault("an IPv6 address is expected between brackets"));
            }
            if !string.eat("]") {
                return Err(string.fault("the bracket of an IPv6 address is not closed"));
            }
            if !string.rest.is_empty() && !string.rest.starts_with([':', '/', '?', ',']) {
                return Err(string.fault("a port, a path or a comma is expected after an IPv6 address"));
            }
            address
        } else {
            string.until(&[':', '/', '?', ','])
        };
        let port =
            if string.eat(":") { string.until(&['/', '?', ',']) } else { Cursor { rest: "", ..string } };
        hosts.extend_from_slice(&host.decode()?);
        ports.extend_from_slice(&port.decode()?);
        if !string.eat(",") {
            break;
        }
        hosts.push(b',');
        ports.push(b',');
    }
    settings.set("host", hosts)?;
    settings.set("port", ports)?;

    if string.eat("/") {
        settings.set("dbname", string.until(&['?']).decode()?)?;
    }
    if !string.eat("?") {
        return Ok(());
    }
    while !string.rest.is_empty() {
        let mut value = string.until(&['&']);
        string.eat("&");
        let name = value.until(&['=']);
        if !value.eat("=") {
            return Err(name.fault("a parameter has no \"=\""));
        }
        let (name, value) = (name.decode()?, value.decode()?);
        match str::from_utf8(&name).unwrap_or_default() {
            // JDBC's spelling, which libpq takes in URIs.
            "ssl" if value.as_slice() == b"true" => {
                settings.set("sslmode", Zeroizing::new(b"require".to_vec()))?
            }
            name => settings.set(name, value)?,
        }
    }
    Ok(())
}

/// `name = value name='quoted value' …`, where `\` takes the character behind it as it is.
fn keywords(mut string: Cursor<'_>, settings: &mut Settings) -> Result<(), ConfigError> {
    string.skip_spaces();
    while !string.rest.is_empty() {
        let name = string.until(&['=', ' ', '\t', '\n', '\x0b', '\x0c', '\r']);
        string.skip_spaces();
        if !string.eat("=") {
            return Err(name.fault("a parameter has no \"=\""));
        }
        string.skip_spaces();

        let mut value = Zeroizing::new(Vec::with_capacity(string.rest.len()));
        let start = string;
        let quoted = string.eat("'");
        loop {
            let before = string;
            let c = match string.next() {
                None if quoted => return Err(start.fault("a quoted value is not closed")),
                None => break,
                Some('\'') if quoted => break,
                Some(c) if is_space(c) && !quoted => {
                    string = before;
                    break;
                }
                // At the very end a backslash stands for nothing.
                Some('\\') => match string.next() {
                    Some(c) => c,
                    None => continue,
                },
                Some(c) => c,
            };
            value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        settings.set(name.rest, value)?;
        string.skip_spaces();
    }
    Ok(())
}

/// What C's `isspace` takes for a space.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// A piece of the string that is still to be read, and where it begins in the whole.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a str,
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// Takes what stands before the first of these characters, or everything.
    fn until(&mut self, stops: &[char]) -> Self {
        let found = self.rest.find(stops).and_then(|at| self.rest.split_at_checked(at));
        let (piece, rest) = found.unwrap_or((self.rest, ""));
        let taken = Self { rest: piece, offset: self.offset };
        self.move_to(rest);
        taken
    }

    /// Takes these characters if they come next.
    fn eat(&mut self, expected: &str) -> bool {
        let rest = self.rest.strip_prefix(expected);
        rest.inspect(|rest| self.move_to(rest)).is_some()
    }

    fn skip_spaces(&mut self) {
        self.move_to(self.rest.trim_start_matches(is_space));
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next();
        self.move_to(chars.as_str());
        c
    }

    /// `rest` is an end of what is left.
    fn move_to(&mut self, rest: &'a str) {
        self.offset += self.rest.len() - rest.len();
        self.rest = rest;
    }

    fn fault(&self, problem: &'static str) -> ConfigError {
        ConfigError::Syntax { problem, offset: self.offset }
    }

    /// All of it without percent-encoding, and without the spaces around it; refuses spaces within, what is not an escape, and NUL.
    fn decode(self) -> Result<Value, ConfigError> {
        let text = self.rest.trim_start_matches(' ');
        let start = self.offset + self.rest.len() - text.len();
        let text = text.trim_end_matches(' ');
        let bytes = text.as_bytes();
        for (at, c) in text.match_indices(['%', ' ']) {
            let problem = match (c, bytes.get(at + 1..at + 3)) {
                ("%", Some(b"00")) => "a NUL byte is encoded",
                ("%", Some(digits)) if digits.iter().all(u8::is_ascii_hexdigit) => continue,
                ("%", _) => "two hexadecimal digits are expected after \"%\"",
                _ => "a space is not percent-encoded",
            };
            return Err(ConfigError::Syntax { problem, offset: start + at });
        }
        // Long enough from the start, so that no copy of a password is left behind by growing.
        let mut value = Zeroizing::new(Vec::with_capacity(bytes.len()));
        value.extend(percent_decode(bytes));
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthMethod, BindingMode, RequireAuth, SslMode, SslNegotiation};

    #[track_caller]
    fn config(string: &str) -> Config {
        string.parse().expect(string)
    }

    #[track_caller]
    fn refused(string: &str, expected: ConfigError) {
        assert_eq!(string.parse::<Config>(), Err(expected), "{string:?}");
    }

    #[track_caller]
    fn malformed(string: &str, offset: usize) {
        let found = match string.parse::<Config>() {
            Err(ConfigError::Syntax { offset, .. }) => Some(offset),
            _ => None,
        };
        assert_eq!(found, Some(offset), "{string:?}");
    }

    fn hosts(string: &str) -> Vec<String> {
        config(string).hosts.iter().map(Host::to_string).collect()
    }

    #[test]
    fn a_uri_with_everything() {
        let expected =
            Config::new("alice").password("s@cret").host(Host::new("db.example", 6432)).database("shop");
        assert_eq!(config("postgres://alice:s%40cret@db.example:6432/shop"), expected);
        assert_eq!(config("postgresql://alice:s%40cret@db.example:6432/shop"), expected);
        assert_eq!(
            config("postgres://?user=alice&password=s%40cret&host=db.example&port=6432&dbname=shop"),
            expected
        );
        assert_eq!(config("host=db.example port=6432 user=alice password=s@cret dbname=shop"), expected);
    }

    #[test]
    fn parts_of_a_uri_may_be_empty() {
        let nothing = Config::new("").host(Host::new("localhost", 5432));
        for string in
            ["", "  ", "postgres://", "postgres:///", "postgres://:@:/?", "postgres://?host=&port=&password="]
        {
            assert_eq!(config(string), nothing, "{string:?}");
        }
        assert_eq!(config("postgres://alice@"), nothing.clone().user("alice"));
        assert_eq!(config("postgres://:x@"), nothing.clone().password("x"));
        assert_eq!(config("postgres:///shop"), nothing.database("shop"));
        assert_eq!(hosts("postgres://:6432"), ["localhost:6432"]);
    }

    #[test]
    fn hosts_of_a_uri() {
        assert_eq!(hosts("postgres://h1:1,h2:2/db"), ["h1:1", "h2:2"]);
        assert_eq!(hosts("postgres://h1,h2:2,:3,"), ["h1:5432", "h2:2", "localhost:3", "localhost:5432"]);
        assert_eq!(hosts("postgres://h1,h2?port=7"), ["h1:7", "h2:7"]);
        assert_eq!(hosts("postgres://h1%2Ch2"), ["h1:5432", "h2:5432"]);
        assert_eq!(hosts("postgres://?host=h1,/tmp&port=1,2"), ["h1:1", "/tmp/.s.PGSQL.2"]);
        assert_eq!(hosts("postgres://[::1]"), ["[::1]:5432"]);
        assert_eq!(hosts("postgres://u:p@[fe80::1%25eth0]:6432,h2/db"), ["[fe80::1%eth0]:6432", "h2:5432"]);
        assert_eq!(config("postgres://[::1]").hosts, [Host::new("::1", 5432)]);
    }

    #[test]
    fn socket_directories() {
        let socket = [Host::Unix { dir: "/var/run/pg".into(), port: 6432 }];
        assert_eq!(config("postgres://%2Fvar%2Frun%2Fpg:6432/db").hosts, socket);
        assert_eq!(config("postgres://:6432/db?host=/var/run/pg").hosts, socket);
        assert_eq!(config("host=/var/run/pg port=6432").hosts, socket);
        assert_eq!(config("host=@abstract").hosts, [Host::Unix { dir: "@abstract".into(), port: 5432 }]);
    }

    #[test]
    fn everything_in_a_uri_may_be_percent_encoded() {
        let config =
            config("postgres://%61%3Al:p%3A%2F%40%25%FF@%68:%35/d%3Fb?%75ser=x+y&options=-c%20a%3Db");
        assert_eq!(config.user, "x+y");
        assert_eq!(config.password, Some(b"p:/@%\xff".as_slice().into()));
        assert_eq!(config.hosts, [Host::new("h", 5)]);
        assert_eq!(config.database.as_deref(), Some("d?b"));
        assert_eq!(config.parameter("options"), Some("-c a=b"));
    }

    #[test]
    fn spaces_around_a_part_of_a_uri_are_dropped() {
        let expected = Config::new("u").host(Host::new("h", 5)).database("db").sslmode(SslMode::Require);
        assert_eq!(config("postgres:// u @ h : 5 / db ? sslmode = require "), expected);
        malformed("postgres://a b@h", 12);
    }

    #[test]
    fn a_malformed_uri_is_refused_where_it_goes_wrong() {
        malformed("postgres://[::1", 15);
        malformed("postgres://[]", 12);
        malformed("postgres://[::1]x", 16);
        malformed("postgres://h/%", 13);
        malformed("postgres://h/%4", 13);
        malformed("postgres://h/a%4x", 14);
        malformed("postgres://u:%00@h", 13);
        malformed("postgres://h?sslmode", 13);
        malformed("postgres://h?sslmode=require&&user=x", 29);
    }

    #[test]
    fn keywords_with_quotes_and_backslashes() {
        let config =
            config("user = 'a b'  password='it\\'s \\\\'\n\thost=h\\ x dbname='' application_name=it's\\");
        assert_eq!(config.user, "a b");
        assert_eq!(config.password, Some("it's \\".into()));
        assert_eq!(config.hosts, [Host::new("h x", 5432)]);
        assert_eq!(config.database, None);
        assert_eq!(config.parameter("application_name"), Some("it's"));
    }

    #[test]
    fn malformed_keywords_are_refused_where_they_go_wrong() {
        malformed("host", 0);
        malformed("user=x host", 7);
        malformed("password=a b", 11);
        malformed("user='x", 5);
        malformed("user='x\\'", 5);
        refused("= x", ConfigError::UnknownParameter("".into()));
    }

    #[test]
    fn parameters_are_read_into_their_fields() {
        let string = "postgres://u@h?sslmode=verify-full&sslnegotiation=direct&channel_binding=require\
            &require_auth=!password,!none&connect_timeout=10&min_protocol_version=3.0&max_protocol_version=latest\
            &application_name=app&client_encoding=auto&options=-c%20geqo=off&replication=database";
        let expected = Config::new("u")
            .host(Host::new("h", 5432))
            .sslmode(SslMode::VerifyFull)
            .sslnegotiation(SslNegotiation::Direct)
            .channel_binding(BindingMode::Require)
            .require_auth(RequireAuth::except(&[AuthMethod::Password, AuthMethod::None]))
            .connect_timeout(Duration::from_secs(10))
            .protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::V3_2)
            .application_name("app")
            .with_parameter("client_encoding", "UTF8")
            .options("-c geqo=off")
            .replication(crate::config::Replication::Logical);
        assert_eq!(config(string), expected);
        assert_eq!(config(string).check(), Ok(()));
    }

    /// "The default is to use version 3.0 […], unless the connection string specifies a feature that relies on a higher protocol
    /// version, in which case the latest version supported by libpq is used."
    #[test]
    fn a_least_version_above_the_default_asks_for_the_latest() {
        let (old, new) = (ProtocolVersion::V3_0, ProtocolVersion::V3_2);
        for (string, min, max) in [
            ("", old, old),
            ("min_protocol_version=3.0", old, old),
            ("min_protocol_version=3.2", new, new),
            ("min_protocol_version=latest", new, new),
            ("min_protocol_version=3.2 min_protocol_version=3.0", old, old),
            ("max_protocol_version=3.2", old, new),
        ] {
            let config = config(&format!("user=u {string}"));
            assert_eq!((config.min_protocol_version, config.max_protocol_version), (min, max), "{string:?}");
            assert_eq!(config.check(), Ok(()), "{string:?}");
        }
        let contradiction = config("user=u min_protocol_version=3.2 max_protocol_version=3.0");
        assert_eq!(contradiction.check(), Err(ConfigError::InvalidValue("min_protocol_version")));
    }

    #[test]
    fn parameters_that_ask_for_nothing_are_accepted() {
        let plain = config("user=u");
        for string in [
            "connect_timeout=0",
            "connect_timeout=-1",
            "gssencmode=prefer",
            "target_session_attrs=any",
            "load_balance_hosts=disable",
            "application_name='' options=''",
            "application_name=x application_name=",
            "sslmode=require sslmode=prefer",
            "require_auth=''",
        ] {
            assert_eq!(config(&format!("user=u {string}")), plain, "{string:?}");
        }
        assert_eq!(config("postgres://u@?ssl=true").sslmode, SslMode::Require);
        assert_eq!(config("fallback_application_name=psql").parameter("application_name"), Some("psql"));
        assert_eq!(
            config("fallback_application_name=psql application_name=x").parameter("application_name"),
            Some("x")
        );
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named() {
        refused("postgres://h?sslmod=require", ConfigError::UnknownParameter("sslmod".into()));
        refused("postgres://h?ssl=false", ConfigError::UnknownParameter("ssl".into()));
        refused("hots=h", ConfigError::UnknownParameter("hots".into()));
        refused("Host=h", ConfigError::UnknownParameter("Host".into()));
        refused("sslrootcert=/x", ConfigError::UnsupportedParameter("sslrootcert"));
        refused("postgres://h?service=x", ConfigError::UnsupportedParameter("service"));
        refused("gssencmode=require", ConfigError::UnsupportedParameter("gssencmode"));
        refused("target_session_attrs=primary", ConfigError::UnsupportedParameter("target_session_attrs"));
    }

    #[test]
    fn a_value_that_cannot_be_is_refused() {
        for (parameter, values) in [
            ("sslmode", ["", "on", "REQUIRE"].as_slice()),
            ("sslnegotiation", &["", "tls"]),
            ("channel_binding", &["", "yes"]),
            ("require_auth", &["scram", "md5,!gss"]),
            ("connect_timeout", &["", "x", "1s", "99999999999"]),
            ("min_protocol_version", &["", "3.1", "3"]),
            ("max_protocol_version", &["", "4.0"]),
            ("port", &["0", "65536", "-1", "+1", "x", "5432x", "1e3"]),
        ] {
            for value in values {
                refused(&format!("{parameter}='{value}'"), ConfigError::InvalidValue(parameter));
            }
        }
        refused("host=a,b,c port=1,2", ConfigError::PortCount { hosts: 3, ports: 2 });
        refused("port=1,2", ConfigError::PortCount { hosts: 1, ports: 2 });
        refused("postgres://h/%ff", ConfigError::NotUtf8("dbname"));
        refused("user=a\0b", ConfigError::Nul("connection string"));
    }

    #[test]
    fn no_error_and_no_debug_output_shows_a_password() {
        let secret = "hunter2";
        for string in [
            format!("postgres://u:{secret}@h:x/db"),
            format!("postgres://u:{secret}@h?nope=1"),
            format!("postgres://u:{secret}@h?sslmode=nope"),
            format!("postgres://u:{secret}%zz@h"),
            format!("postgres://u:a@{secret}:x"),
            format!("postgres://u:a@h:{secret}"),
            format!("postgres://u:a@h?{secret}@h/db"),
            format!("postgres://u:a@[{secret}"),
            format!("postgres://u:a@h?ssl!{secret}=1"),
            format!("user=u password={secret} nope=1"),
            format!("user=u password='{secret}"),
            format!("user=u password='a {secret}"),
            format!("user=u password=a {secret}"),
            format!("user=u password={secret} sslmode=nope"),
            format!("password={secret}\0"),
        ] {
            let error = string.parse::<Config>().expect_err(&string);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(secret), "{string:?} gives {shown}");
        }
        let config = config(&format!("postgres://u:{secret}@h"));
        assert!(!format!("{config:?} {config:#?}").contains(secret));
    }
}
