//! Comparison of the values that libpq and this library find in a connection string.

use std::net::IpAddr;

use pg_auth::Config;
use pg_auth::config::{AuthMethod, DEFAULT_PORT, Host, ProtocolVersion, RootCert, TlsVersion};
use pg_auth::error::ConfigError;

use super::libpq::Answer;

/// The outcome of comparing the values that libpq and this library find in one string.
pub(crate) enum Differences {
    None,
    /// A deliberate difference from libpq. The string is the reason for the difference.
    Chosen(&'static str),
    /// A difference from libpq that is not deliberate. The string describes the difference.
    Wrong(String),
}

/// The text of a reason for a deliberate difference from libpq, and the function that returns whether the reason applies. If several
/// reasons of [`REASONS`] apply to a string, only the first of them is counted.
type Reason = (&'static str, fn(&ConfigError, &Answer) -> bool);
const REASONS: &[Reason] = &[
    (
        "refused here: the string needs something that is not supported, such as a service or only one key of a pair",
        |error, _| matches!(error, ConfigError::Unsupported(_)),
    ),
    ("refused here: text that is not UTF-8, other than passwords and paths", |error, _| {
        matches!(error, ConfigError::NotUtf8(_))
    }),
    ("refused here: a switch must be 0 or 1; libpq treats other text as one of them", |error, theirs| {
        invalid(error, &["sslsni", "sslcompression", "gssdelegation"], |name| {
            !matches!(theirs.value(name), b"0" | b"1" | b"")
        })
    }),
    ("refused here: an invalid number, which libpq checks only when it uses it", |error, theirs| {
        let names = [
            "connect_timeout",
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
        ];
        invalid(error, &names, |name| number(theirs.value(name)).is_none())
    }),
    ("refused here: an invalid address, which libpq checks only when it tries this host", |error, theirs| {
        let address = |item: &str| item.is_empty() || item.parse::<IpAddr>().is_ok();
        invalid(error, &["hostaddr"], |name| !text(theirs.value(name)).split(',').all(address))
    }),
    ("refused here: base64 whose last bits are not zero", |error, theirs| {
        invalid(error, &["scram_client_key", "scram_server_key"], |name| theirs.value(name).len() == 44)
    }),
];

/// For the comparison with libpq 18. Returns the reason why this library accepts a string that libpq 18 refuses. `None` if there is no such
/// reason.
pub(crate) fn since_18(string: &str, theirs: &Answer) -> Option<&'static str> {
    let Answer::Malformed = theirs else { return None };
    let (_, query) = string.split_once('?').unwrap_or_default();
    let extra = |pair: &str| pair.matches('=').count() > 1;
    if string.starts_with("postgres") && query.split('&').any(extra) {
        return Some("accepted here: an unescaped \"=\" in a value of a URI, which is not ambiguous");
    }
    // libpq 18 does not have these parameters.
    let own = ["servicefile", "scram_iterations_max"];
    own.iter().any(|name| string.contains(name)).then_some("accepted here: a parameter of this library")
}

/// For the comparison with libpq 15. Returns the reason why libpq 15 refuses a string, or reads a string differently from libpq 18. `None`
/// if there is no such reason.
pub(crate) fn before_18(string: &str, theirs: &Answer) -> Option<&'static str> {
    let newer = [
        "scram_",
        "oauth_",
        "sslkeylogfile",
        "_protocol_version",
        "require_auth",
        "sslcertmode",
        "sslnegotiation",
        "load_balance_hosts",
        "gssdelegation",
        "sslrootcert",
    ];
    if newer.iter().any(|name| string.contains(name)) {
        return Some("a parameter or a value that libpq 15 does not have");
    }
    if string.starts_with("postgres") && string.contains(' ') {
        return Some("a space in a URI, which libpq 15 takes as a part of the value");
    }
    since_18(string, theirs)
}

fn invalid(error: &ConfigError, names: &[&'static str], wrong: impl Fn(&str) -> bool) -> bool {
    names.iter().any(|name| *error == ConfigError::InvalidValue(name) && wrong(name))
}

pub(crate) fn compare(ours: &Result<Config, ConfigError>, theirs: &Answer) -> Differences {
    match (ours, theirs) {
        (Err(_), theirs) if !theirs.is_accepted() => Differences::None,
        (Err(error), theirs) => match REASONS.iter().find(|(_, applies)| applies(error, theirs)) {
            Some((reason, _)) => Differences::Chosen(reason),
            None => Differences::Wrong(format!("refused here: {error}")),
        },
        (Ok(_), theirs) if !theirs.is_accepted() => Differences::Wrong("accepted here".into()),
        (Ok(config), theirs) => {
            let pairs = pairs(config, theirs);
            let different = pairs.into_iter().find(|(_, here, there)| here != there);
            different.map_or(Differences::None, |(name, here, there)| {
                Differences::Wrong(format!("{name} is {here:?} here and {there:?} there"))
            })
        }
    }
}

/// Returns the name of each parameter, its value in this library, and its value in libpq.
fn pairs(config: &Config, theirs: &Answer) -> Vec<(&'static str, String, String)> {
    let plain = |name| text(theirs.value(name));
    let or = |name, default: &str| theirs.given(name).map_or(default.into(), text);
    let some = |here: &Option<String>| here.clone().unwrap_or_default();
    let secret =
        |here: &Option<pg_auth::Password>| here.as_ref().map_or(String::new(), |here| text(here.as_bytes()));
    let path = |here: &Option<std::path::PathBuf>| {
        here.as_ref().map_or(String::new(), |here| text(here.as_os_str().as_encoded_bytes()))
    };
    let seconds = |here: Option<std::time::Duration>| here.map_or(0, |here| here.as_secs()).to_string();
    let positive = |name| number(theirs.value(name)).unwrap_or_default().max(0).to_string();
    let limit = match theirs.value("connect_timeout") {
        b"" => "60".into(),
        _ => positive("connect_timeout"),
    };
    let tls_version = |here: Option<TlsVersion>| here.map_or("", TlsVersion::as_str).to_lowercase();
    let tls = &config.tls;

    let system = theirs.value("sslrootcert") == b"system";
    let root = match &tls.root {
        None => String::new(),
        Some(RootCert::System) => "system".into(),
        Some(RootCert::File(file)) => path(&Some(file.clone())),
        Some(other) => format!("{other:?}"),
    };
    let min = or("min_protocol_version", "3.0");
    let max = or("max_protocol_version", &min);
    let encoding = Some(plain("client_encoding")).filter(|word| word != "auto").unwrap_or("UTF8".into());
    let scram = |here: bool| if here { "both" } else { "none" }.to_owned();
    vec![
        ("user", config.user.clone(), plain("user")),
        ("password", secret(&config.password), plain("password")),
        ("dbname", some(&config.database), plain("dbname")),
        ("host", hosts(config), their_hosts(theirs)),
        // `limit` contains 60 seconds if libpq has no value for the parameter: libpq then has no limit, but this library has a default of
        // 60 seconds.
        ("connect_timeout", seconds(config.connect_timeout), limit),
        ("replication", startup(config, "replication"), plain("replication")),
        ("options", startup(config, "options"), plain("options")),
        (
            "application_name",
            startup(config, "application_name"),
            or("application_name", &plain("fallback_application_name")),
        ),
        ("client_encoding", startup(config, "client_encoding"), encoding),
        (
            "keepalives",
            u8::from(config.keepalives.enabled).to_string(),
            u8::from(number(theirs.value("keepalives")) != Some(0) || theirs.value("keepalives").is_empty())
                .to_string(),
        ),
        ("keepalives_idle", seconds(config.keepalives.idle), positive("keepalives_idle")),
        ("keepalives_interval", seconds(config.keepalives.interval), positive("keepalives_interval")),
        (
            "keepalives_count",
            config.keepalives.count.unwrap_or_default().to_string(),
            positive("keepalives_count"),
        ),
        (
            "tcp_user_timeout",
            config.tcp_user_timeout.map_or(0, |limit| limit.as_millis()).to_string(),
            positive("tcp_user_timeout"),
        ),
        ("sslmode", config.sslmode.to_string(), or("sslmode", if system { "verify-full" } else { "prefer" })),
        ("sslnegotiation", config.sslnegotiation.to_string(), or("sslnegotiation", "postgres")),
        ("sslcert", path(&tls.cert), plain("sslcert")),
        ("sslkey", path(&tls.key), plain("sslkey")),
        ("sslpassword", secret(&tls.key_password), plain("sslpassword")),
        ("sslcertmode", tls.cert_mode.to_string(), or("sslcertmode", "allow")),
        ("sslrootcert", root, plain("sslrootcert")),
        ("sslcrl", path(&tls.crl), plain("sslcrl")),
        ("sslcrldir", path(&tls.crl_dir), plain("sslcrldir")),
        ("sslsni", u8::from(tls.sni).to_string(), switch(or("sslsni", "1"))),
        ("sslkeylogfile", path(&tls.key_log), plain("sslkeylogfile")),
        (
            "ssl_min_protocol_version",
            tls_version(tls.min_version),
            or("ssl_min_protocol_version", "TLSv1.2").to_lowercase(),
        ),
        (
            "ssl_max_protocol_version",
            tls_version(tls.max_version),
            plain("ssl_max_protocol_version").to_lowercase(),
        ),
        ("requirepeer", some(&config.requirepeer), plain("requirepeer")),
        ("require_auth", allowed(config), their_allowed(&plain("require_auth"))),
        ("channel_binding", config.channel_binding.to_string(), or("channel_binding", "prefer")),
        ("min_protocol_version", version(config.min_protocol_version), min.replace("latest", "3.2")),
        ("max_protocol_version", version(config.max_protocol_version), max.replace("latest", "3.2")),
        ("gssencmode", preferred(&config.gssencmode.to_string()), preferred(&or("gssencmode", "prefer"))),
        ("krbsrvname", config.krbsrvname.clone(), or("krbsrvname", "postgres")),
        ("gssdelegation", u8::from(config.gssdelegation).to_string(), switch(plain("gssdelegation"))),
        ("target_session_attrs", config.target_session_attrs.to_string(), or("target_session_attrs", "any")),
        ("load_balance_hosts", config.load_balance_hosts.to_string(), or("load_balance_hosts", "disable")),
        (
            "scram_client_key",
            scram(config.scram_keys.is_some()),
            scram(!theirs.value("scram_client_key").is_empty()),
        ),
        (
            "scram_server_key",
            scram(config.scram_keys.is_some()),
            scram(!theirs.value("scram_server_key").is_empty()),
        ),
        ("oauth_issuer", some(&config.oauth.issuer), plain("oauth_issuer")),
        ("oauth_client_id", some(&config.oauth.client_id), plain("oauth_client_id")),
        ("oauth_client_secret", secret(&config.oauth.client_secret), plain("oauth_client_secret")),
        ("oauth_scope", some(&config.oauth.scope), plain("oauth_scope")),
    ]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Parses a number. An empty value is zero.
fn number(value: &[u8]) -> Option<i32> {
    let text = text(value);
    if text.is_empty() {
        Some(0)
    } else {
        text.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']).parse().ok()
    }
}

fn switch(value: String) -> String {
    if value.is_empty() { "0".into() } else { value }
}

/// Treats `prefer` as `disable`: the default of `gssencmode` is `prefer` in some builds of libpq, and `disable` in others.
fn preferred(mode: &str) -> String {
    mode.replace("prefer", "disable")
}

fn version(version: ProtocolVersion) -> String {
    format!("{}.{}", version.major(), version.minor())
}

fn startup(config: &Config, name: &str) -> String {
    config.parameter(name).unwrap_or_default().to_owned()
}

fn hosts(config: &Config) -> String {
    let show = |host: &Host| match host {
        Host::Tcp { host, address, port, .. } => {
            format!("{host} {} {port}", address.map_or(String::new(), |address| address.to_string()))
        }
        Host::Unix { dir, port, .. } => format!("{}  {port}", dir.display()),
        other => panic!("a new kind of host: {other}"),
    };
    config.hosts.iter().map(show).collect::<Vec<_>>().join(", ")
}

fn their_hosts(theirs: &Answer) -> String {
    let [names, addresses, ports] = ["host", "hostaddr", "port"].map(|name| text(theirs.value(name)));
    let list =
        |text: &str| if text.is_empty() { Vec::new() } else { text.split(',').map(String::from).collect() };
    let [names, addresses, ports] = [names, addresses, ports].map(|text| list(&text));
    let default = match Host::local(DEFAULT_PORT) {
        Host::Unix { dir, .. } => dir.display().to_string(),
        _ => "localhost".into(),
    };
    let show = |at: usize| {
        let name = names.get(at).map_or("", String::as_str);
        let address = addresses.get(at).map_or("", String::as_str);
        let port = ports.get(if ports.len() == 1 { 0 } else { at }).map_or("", String::as_str);
        let port = if port.is_empty() {
            i32::from(DEFAULT_PORT)
        } else {
            number(port.as_bytes()).unwrap_or_default()
        };
        match (name, address) {
            ("", "") => format!("{default}  {port}"),
            (name, address) => format!("{name} {address} {port}"),
        }
    };
    (0..names.len().max(addresses.len()).max(1)).map(show).collect::<Vec<_>>().join(", ")
}

fn allowed(config: &Config) -> String {
    let allowed = AuthMethod::ALL.iter().filter(|&&method| config.require_auth.allows(method));
    allowed.map(|method| method.as_str()).collect::<Vec<_>>().join(" ")
}

fn their_allowed(list: &str) -> String {
    let named = |name: &str| list.split(',').any(|item| item.trim_start_matches('!') == name);
    let allows = |name: &str| list.is_empty() || named(name) != list.starts_with('!');
    let allowed = AuthMethod::ALL.iter().map(|method| method.as_str()).filter(|name| allows(name));
    allowed.collect::<Vec<_>>().join(" ")
}
