//! libpq's connection strings, in both forms: URIs and keywords.
//!
//! Reads the same values from a string as libpq 18. The tests in `tests/libpq` list the differences: some strings that libpq accepts are
//! errors, for example strings that ask for an unsupported feature. Unlike libpq, this parser accepts an unencoded `=` in a value in the
//! query of a URI. No error shows a value or a piece of the string. Every piece may be a part of a password: if an `@` in a password is not
//! encoded, the text after the `@` is read as a host or a parameter.

mod cursor;
mod keywords;
mod uri;

use std::str::FromStr;

use super::parameters::Values;
use super::{Config, Host};
use crate::error::ConfigError;
use cursor::Cursor;

/// Reads a connection string: a URI if it begins with `postgres://` or `postgresql://`, keywords and values otherwise.
///
/// # Errors
/// The string is malformed, names an unknown or unsupported parameter, or has an invalid value. Errors contain the name of the parameter or
/// the offset of the fault, never a value.
impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(string: &str) -> Result<Self, ConfigError> {
        values(string)?.config(Host::local)
    }
}

/// Reads the values of a connection string.
pub(super) fn values(string: &str) -> Result<Values, ConfigError> {
    if string.contains('\0') {
        return Err(ConfigError::Nul("connection string"));
    }
    let mut values = Values::new();
    let mut cursor = Cursor::new(string);
    if cursor.eat("postgres://") || cursor.eat("postgresql://") {
        uri::read(cursor, &mut values)?;
    } else {
        keywords::read(cursor, &mut values)?;
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{
        AuthMethod, BindingMode, GssEncMode, Keepalives, LoadBalanceHosts, OAuthSettings, ProtocolVersion,
        RequireAuth, RootCert, SslCertMode, SslMode, SslNegotiation, TargetSessionAttrs, TlsSettings,
        TlsVersion,
    };
    use crate::scram::ScramKeys;

    #[track_caller]
    fn config(string: &str) -> Config {
        string.parse().expect(string)
    }

    #[track_caller]
    fn rejected(string: &str, expected: ConfigError) {
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
    fn all_parts_of_a_uri_are_read() {
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
        let nothing = Config::new("").host(Host::local(5432));
        for string in
            ["", "  ", "postgres://", "postgres:///", "postgres://:@:/?", "postgres://?host=&port=&password="]
        {
            assert_eq!(config(string), nothing, "{string:?}");
        }
        assert_eq!(config("postgres://alice@"), nothing.clone().user("alice"));
        assert_eq!(config("postgres://:x@"), nothing.clone().password("x"));
        assert_eq!(config("postgres:///shop"), nothing.database("shop"));
        assert_eq!(hosts("postgres://:6432"), [Host::local(6432).to_string()]);
    }

    #[test]
    fn a_uri_may_have_several_hosts() {
        assert_eq!(hosts("postgres://h1:1,h2:2/db"), ["h1:1", "h2:2"]);
        let local = [3, 5432].map(|port| Host::local(port).to_string());
        assert_eq!(hosts("postgres://h1,h2:2,:3,"), ["h1:5432", "h2:2", &local[0], &local[1]]);
        assert_eq!(hosts("postgres://h1,h2?port=7"), ["h1:7", "h2:7"]);
        assert_eq!(hosts("postgres://h1%2Ch2"), ["h1:5432", "h2:5432"]);
        assert_eq!(hosts("postgres://?host=h1,/tmp&port=1,2"), ["h1:1", "/tmp/.s.PGSQL.2"]);
        assert_eq!(hosts("postgres://[::1]"), ["[::1]:5432"]);
        assert_eq!(hosts("postgres://u:p@[fe80::1%25eth0]:6432,h2/db"), ["[fe80::1%eth0]:6432", "h2:5432"]);
        assert_eq!(config("postgres://[::1]").hosts, [Host::new("::1", 5432)]);
    }

    #[test]
    fn a_host_that_begins_with_a_slash_or_an_at_sign_is_a_socket_directory() {
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
        malformed("postgres://h1 ,h2", 13);
        assert_eq!(hosts("postgres:// h1,h2 "), ["h1:5432", "h2:5432"]);
    }

    #[test]
    fn a_malformed_uri_is_rejected_with_the_offset_of_the_fault() {
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
    fn quotes_and_backslashes_of_keywords_are_removed() {
        let config =
            config("user = 'a b'  password='it\\'s \\\\'\n\thost=h\\ x dbname='' application_name=it's\\");
        assert_eq!(config.user, "a b");
        assert_eq!(config.password, Some("it's \\".into()));
        assert_eq!(config.hosts, [Host::new("h x", 5432)]);
        assert_eq!(config.database, None);
        assert_eq!(config.parameter("application_name"), Some("it's"));
    }

    #[test]
    fn malformed_keywords_are_rejected_with_the_offset_of_the_fault() {
        malformed("host", 0);
        malformed("user=x host", 7);
        malformed("password=a b", 11);
        malformed("user='x", 5);
        malformed("user='x\\'", 5);
        rejected("= x", ConfigError::UnknownParameter("".into()));
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
            .replication(crate::config::Replication::Logical)
            .options("-c geqo=off")
            .application_name("app")
            .with_parameter("client_encoding", "UTF8");
        assert_eq!(config(string), expected);
        assert_eq!(config(string).check(), Ok(()));
    }

    /// libpq's manual: "The default is to use version 3.0 […], unless the connection string specifies a feature that relies on a higher
    /// protocol version, in which case the latest version supported by libpq is used."
    #[test]
    fn a_minimum_version_above_the_default_asks_for_the_latest_version() {
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
    fn empty_and_default_values_change_nothing() {
        let plain = config("user=u");
        for string in [
            "connect_timeout=''",
            "gssencmode=prefer",
            "target_session_attrs=any",
            "load_balance_hosts=disable",
            "application_name='' options=''",
            "application_name=x application_name=",
            "sslmode=require sslmode=prefer",
            "require_auth=''",
            "requiressl=0 sslcompression=0 sslsni=1 gsslib=sspi gssdelegation=0",
            "passfile=/nonexistent krbsrvname=postgres keepalives=1 keepalives_idle=0 tcp_user_timeout=-5",
            "ssl_min_protocol_version=TLSv1.2 ssl_max_protocol_version='' sslcertmode=allow gssencmode=prefer",
            "sslrootcert='' sslcert='' sslkey='' sslpassword='' sslcrl='' sslcrldir='' sslkeylogfile=''",
            "oauth_issuer='' oauth_client_id='' oauth_client_secret='' oauth_scope='' requirepeer=''",
            "hostaddr='' scram_iterations_min='' scram_iterations_max=''",
            "sslmode=nonsense sslmode=prefer",
        ] {
            assert_eq!(config(&format!("user=u {string}")), plain, "{string:?}");
        }
        for string in ["connect_timeout=0", "connect_timeout=-1"] {
            let unlimited = plain.clone().connect_timeout(None);
            assert_eq!(config(&format!("user=u {string}")), unlimited, "{string:?}");
        }
        assert_eq!(config("postgres://u@?ssl=true").sslmode, SslMode::Require);
        assert_eq!(
            config("fallback_application_name=psql application_name=''").parameter("application_name"),
            None
        );
        assert_eq!(config("fallback_application_name=psql").parameter("application_name"), Some("psql"));
        assert_eq!(
            config("fallback_application_name=psql application_name=x").parameter("application_name"),
            Some("x")
        );
    }

    #[test]
    fn the_error_names_an_unknown_parameter() {
        rejected("postgres://h?sslmod=require", ConfigError::UnknownParameter("sslmod".into()));
        rejected("postgres://h?ssl=false", ConfigError::UnknownParameter("ssl".into()));
        rejected("hots=h", ConfigError::UnknownParameter("hots".into()));
        rejected("Host=h", ConfigError::UnknownParameter("Host".into()));
    }

    #[test]
    fn parameters_without_effect_on_this_connection_are_accepted() {
        for string in [
            "host=/tmp keepalives=0 tcp_user_timeout=1000",
            "sslmode=disable sslrootcert=x sslcert=y sslkey=z sslcrl=q",
            "sslmode=disable ssl_min_protocol_version=TLSv1.3 krbsrvname=pg",
        ] {
            assert_eq!(config(&format!("user=u {string}")).check(), Ok(()), "{string:?}");
        }
    }

    #[test]
    fn one_error_names_all_unsupported_parameters() {
        let string = "user=u gssencmode=require sslcompression=1 service=x scram_client_key=\
            AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let error = string.parse::<Config>().expect_err("the string is rejected");
        let ConfigError::Unsupported(parameters) = &error else { panic!("{error:?}") };
        let names: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
        assert_eq!(names, ["service", "sslcompression", "gssencmode", "scram_client_key"]);
        let shown = error.to_string();
        assert!(names.iter().all(|name| shown.contains(&format!("\"{name}\" ("))), "{shown}");
    }

    #[test]
    fn the_parameters_of_tls_are_read() {
        let string = "user=u sslmode=verify-ca sslrootcert=/ca sslcert=/c sslkey=/k sslpassword=p sslcertmode=require \
            sslcrl=/r sslcrldir=/d sslsni=0 ssl_min_protocol_version=tlsV1 ssl_max_protocol_version=TLSv1.3 sslkeylogfile=/l";
        let expected = TlsSettings::default()
            .root(RootCert::File("/ca".into()))
            .cert("/c")
            .key("/k")
            .key_password("p")
            .cert_mode(SslCertMode::Require)
            .crl("/r")
            .crl_dir("/d")
            .sni(false)
            .min_version(TlsVersion::V1_0)
            .max_version(TlsVersion::V1_3)
            .key_log("/l");
        assert_eq!(config(string).tls, expected);
        assert_eq!(config("ssl_min_protocol_version=''").tls, TlsSettings::default().min_version(None));
    }

    #[test]
    fn the_systems_authorities_require_verify_full() {
        let system = config("user=u sslrootcert=system");
        assert_eq!((&system.tls.root, system.sslmode), (&Some(RootCert::System), SslMode::VerifyFull));
        assert_eq!(system.check(), Ok(()));
        let weak = config("user=u sslmode=require sslrootcert=system");
        assert!(matches!(weak.check(), Err(ConfigError::WeakSslMode { .. })));
        assert_eq!(config("sslrootcert=System").tls.root, Some(RootCert::File("System".into())));
    }

    #[test]
    fn the_parameters_of_hosts_sockets_and_authentication_are_read() {
        let string = "user=u host=a target_session_attrs=prefer-standby load_balance_hosts=random keepalives=0 keepalives_idle=1 \
            keepalives_interval=2 keepalives_count=3 tcp_user_timeout=4 requirepeer=postgres gssencmode=disable krbsrvname=pg \
            gssdelegation=1 oauth_issuer=i oauth_client_id=c oauth_client_secret=s oauth_scope='a b' \
            scram_iterations_min=4096 scram_iterations_max=10000000 scram_client_key=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= \
            scram_server_key=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
        let mut expected = Config::new("u")
            .host(Host::new("a", 5432))
            .target_session_attrs(TargetSessionAttrs::PreferStandby)
            .load_balance_hosts(LoadBalanceHosts::Random)
            .keepalives(
                Keepalives::default()
                    .enabled(false)
                    .idle(Duration::from_secs(1))
                    .interval(Duration::from_secs(2))
                    .count(3),
            )
            .tcp_user_timeout(Duration::from_millis(4))
            .requirepeer("postgres")
            .gssencmode(GssEncMode::Disable)
            .krbsrvname("pg")
            .gssdelegation(true)
            .oauth(OAuthSettings::default().issuer("i").client_id("c").client_secret("s").scope("a b"))
            .scram_iterations(crate::scram::Iterations { min: 4096, max: 10_000_000 });
        expected.scram_keys = Some(ScramKeys { client: [1; 32].into(), server: [2; 32].into() });
        assert_eq!(config(string), expected);
    }

    #[test]
    fn an_address_replaces_the_lookup_of_a_name() {
        let address = |name, address: [u8; 4]| Host::at_address(name, address, 5432);
        assert_eq!(config("hostaddr=127.0.0.1").hosts, [address("", [127, 0, 0, 1])]);
        assert_eq!(
            config("host=a,,c hostaddr=127.0.0.1,,").hosts,
            [address("a", [127, 0, 0, 1]), Host::local(5432), Host::new("c", 5432)]
        );
        assert_eq!(
            config("hostaddr=::1,127.0.0.2 port=1,2").hosts,
            [Host::at_address("", std::net::Ipv6Addr::LOCALHOST, 1), Host::at_address("", [127, 0, 0, 2], 2)]
        );
        rejected("host=a,b hostaddr=127.0.0.1", ConfigError::AddressCount { hosts: 2, addresses: 1 });
        rejected("host=a hostaddr=127.0.0.1,127.0.0.2", ConfigError::AddressCount { hosts: 1, addresses: 2 });
        rejected("hostaddr=localhost", ConfigError::InvalidValue("hostaddr"));
    }

    #[test]
    fn an_invalid_value_is_rejected() {
        for (parameter, values) in [
            ("sslmode", ["", "on", "REQUIRE"].as_slice()),
            ("sslnegotiation", &["", "tls"]),
            ("channel_binding", &["", "yes"]),
            ("require_auth", &["scram", "md5,!gss"]),
            ("connect_timeout", &["x", "1s", "99999999999"]),
            ("keepalives", &["on", "1x"]),
            ("keepalives_idle", &["1.5"]),
            ("tcp_user_timeout", &["1ms"]),
            ("sslsni", &["on", "2"]),
            ("sslcertmode", &["", "prefer"]),
            ("ssl_min_protocol_version", &["TLSv1.4", "SSLv3", "1.2"]),
            ("target_session_attrs", &["", "master"]),
            ("load_balance_hosts", &["", "yes"]),
            ("gssencmode", &["", "allow"]),
            ("scram_iterations_max", &["0", "-1", "x"]),
            ("scram_client_key", &["", "AAAA", "x", "!"]),
            ("min_protocol_version", &["", "3.1", "3"]),
            ("max_protocol_version", &["", "4.0"]),
            ("port", &["0", "65536", "-1", "x", "5432x", "1e3", "4294967297"]),
        ] {
            for value in values {
                rejected(&format!("{parameter}='{value}'"), ConfigError::InvalidValue(parameter));
            }
        }
        rejected("host=a,b,c port=1,2", ConfigError::PortCount { hosts: 3, ports: 2 });
        rejected("port=1,2", ConfigError::PortCount { hosts: 1, ports: 2 });
        rejected("postgres://h/%ff", ConfigError::NotUtf8("dbname"));
        rejected("user=a\0b", ConfigError::Nul("connection string"));
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
