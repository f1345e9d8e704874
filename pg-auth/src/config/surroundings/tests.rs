use std::fs;
use std::io;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::{DEFAULT_PORT, TargetSessionAttrs, TlsVerification};

/// A directory for the files of a test.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory can be made"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that only its owner can read.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("the path has a parent")).expect("a directory can be made");
        fs::write(&path, text).expect("a file can be written");
        self.permit(name, 0o600);
        path
    }

    #[cfg(unix)]
    fn permit(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(mode))
            .expect("the file is ours");
    }

    #[cfg(not(unix))]
    fn permit(&self, _: &str, _: u32) {}
}

#[track_caller]
fn config(surroundings: &Surroundings, string: &str) -> Config {
    let found = surroundings.config(string).expect(string);
    assert_eq!(found.warnings, []);
    found.config
}

#[track_caller]
fn rejected(surroundings: &Surroundings, string: &str, expected: ServiceError) {
    let error = surroundings.config(string).expect_err(string);
    assert_eq!(error, ConfigError::Service(Box::new(expected)), "{error}");
}

#[test]
fn every_variable_sets_its_parameter() {
    let values: &[(&str, &str)] = &[
        ("connect_timeout", "7"),
        ("hostaddr", "127.0.0.1"),
        ("port", "7"),
        ("target_session_attrs", "standby"),
        ("load_balance_hosts", "random"),
        ("client_encoding", "LATIN1"),
        ("sslmode", "require"),
        ("sslnegotiation", "direct"),
        ("sslcompression", "0"),
        ("sslcertmode", "require"),
        ("sslsni", "0"),
        ("ssl_min_protocol_version", "TLSv1.3"),
        ("ssl_max_protocol_version", "TLSv1.2"),
        ("channel_binding", "disable"),
        ("require_auth", "gss"),
        ("min_protocol_version", "3.2"),
        ("max_protocol_version", "3.2"),
        ("gssencmode", "disable"),
        ("gssdelegation", "1"),
    ];
    let mut read = 0;
    for parameter in PARAMETERS.iter().filter(|parameter| !parameter.name.starts_with("service")) {
        let Some(variable) = parameter.variable else { continue };
        let value =
            values.iter().find(|(name, _)| *name == parameter.name).map_or("text", |(_, value)| value);
        let by_variable = config(&Surroundings::empty().variable(variable, value), "");
        let by_string: Config = format!("{}={value}", parameter.name).parse().expect(variable);
        assert_eq!(by_variable, by_string, "{variable}");
        let neutral = ["passfile", "sslcompression", "gsslib"].contains(&parameter.name);
        assert_eq!(by_variable == config(&Surroundings::empty(), ""), neutral, "{variable}");
        read += 1;
    }
    assert_eq!(read, 34, "libpq 18 has these variables, and PGSERVICE");
}

#[test]
fn the_string_overrides_the_service_and_the_service_overrides_the_environment() {
    let dir = Dir::new();
    let file = dir.file("services", "[db]\nuser=service\nport=2\nconnect_timeout=2\n");
    let surroundings = Surroundings::empty()
        .variable("PGSERVICEFILE", &file)
        .variable("PGUSER", "environment")
        .variable("PGPORT", "3")
        .variable("PGDATABASE", "environment")
        .variable("PGCONNECT_TIMEOUT", "3")
        .variable("PGSERVICE", "db");
    let made = config(&surroundings, "host=h user=string");
    assert_eq!(made.user, "string");
    assert_eq!(made.hosts, [Host::new("h", 2)]);
    assert_eq!(made.connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(made.database.as_deref(), Some("environment"));
    let by_name = surroundings.without_variable("PGSERVICE");
    assert_eq!(config(&by_name, "service=db host=h user=string"), made);
    assert_eq!(config(&by_name, "postgres://string@h?service=db"), made);
    assert_eq!(config(&by_name, "host=h").hosts, [Host::new("h", 3)]);
}

/// In a URI, an empty user, host or database is the same as an absent one. Among keywords, and in the query of a URI, an empty value counts
/// as a value.
#[test]
fn an_empty_value_hides_the_environment_and_an_absent_value_does_not() {
    let surroundings = Surroundings::empty().variable("PGHOST", "h").variable("PGUSER", "u").user("me");
    assert_eq!(config(&surroundings, "postgres:///db").hosts, [Host::new("h", DEFAULT_PORT)]);
    assert_eq!(config(&surroundings, "postgres://?host=").hosts, [Host::local(DEFAULT_PORT)]);
    assert_eq!(config(&surroundings, "host=''").hosts, [Host::local(DEFAULT_PORT)]);
    assert_eq!(config(&surroundings, "").user, "u");
    assert_eq!(config(&surroundings, "user=''").user, "me");
    assert_eq!(config(&surroundings.variable("PGUSER", ""), "").user, "me");
}

#[test]
fn the_environment_is_read_only_through_surroundings() {
    let surroundings = Surroundings::empty().variable("PGUSER", "bob").variable("PGPASSWORD", "hunter2");
    assert!(!format!("{surroundings:?}").contains("hunter2"));
    assert_eq!(config(&surroundings, "").password, Some("hunter2".into()));
    assert_eq!("".parse::<Config>().expect("the string is well-formed").user, "");
    let found = Surroundings::empty().config("").expect("the string is well-formed");
    assert_eq!(found.config.check(), Err(ConfigError::Missing("user")));
}

#[test]
fn variables_without_a_parameter_have_their_effect() {
    let surroundings = Surroundings::empty()
        .variable("PGDATESTYLE", "ISO, DMY")
        .variable("PGTZ", "Europe/Berlin")
        .variable("PGGEQO", "DEFAULT")
        .variable("PGREQUIRESSL", "1");
    let made = config(&surroundings, "application_name=x");
    let expected = [("application_name", "x"), ("datestyle", "ISO, DMY"), ("timezone", "Europe/Berlin")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(made.parameters, expected);
    assert_eq!(made.sslmode, SslMode::Require);
    assert_eq!(config(&surroundings.clone().variable("PGSSLMODE", "allow"), "").sslmode, SslMode::Allow);
    assert_eq!(config(&surroundings.variable("PGREQUIRESSL", "0"), "").sslmode, SslMode::Prefer);
}

#[test]
fn an_invalid_value_in_the_environment_is_rejected() {
    let error =
        |variable, value: &str| Surroundings::empty().variable(variable, value).config("").expect_err(value);
    assert_eq!(error("PGSSLMODE", "on"), ConfigError::InvalidValue("sslmode"));
    assert_eq!(error("PGSSLMODE", ""), ConfigError::InvalidValue("sslmode"));
    assert_eq!(error("PGPORT", "x"), ConfigError::InvalidValue("port"));
    assert!(matches!(error("PGGSSENCMODE", "require"), ConfigError::Unsupported(_)));
}

#[test]
fn a_service_is_read_as_libpq_reads_it() {
    let dir = Dir::new();
    let text = "# a comment\n[other]\nuser=nobody\nnonsense\n\n[db]  after\n  \t host=h \r\n#port=1\nport=2\nport=3\n\
                password= a b =c \noptions=-c geqo=off\n[db]\nuser=again\n";
    let surroundings = Surroundings::empty().variable("PGSERVICEFILE", dir.file("services", text));
    let made = config(&surroundings, "service=db");
    assert_eq!(made.hosts, [Host::new("h", 2)], "the first value counts");
    assert_eq!(made.password, Some(" a b =c".into()), "spaces at the end of a line are dropped");
    assert_eq!(made.parameter("options"), Some("-c geqo=off"));
    assert_eq!(made.user, "", "a section ends at the next section");
    rejected(&surroundings, "service=d", ServiceError::Undefined { service: "d".into() });
}

#[test]
fn a_service_file_is_looked_for_in_several_places() {
    let dir = Dir::new();
    let home = dir.path().join("home");
    dir.file("home/.pg_service.conf", "[mine]\nuser=mine\n[both]\nuser=mine\n");
    dir.file("system/pg_service.conf", "[both]\nuser=system\n[system]\nuser=system\n");
    let named = dir.file("named", "[named]\nuser=named\n");
    let surroundings = Surroundings::empty().home(home).variable("PGSYSCONFDIR", dir.path().join("system"));
    for (service, user) in [("mine", "mine"), ("both", "mine"), ("system", "system")] {
        assert_eq!(config(&surroundings, &format!("service={service}")).user, user);
    }
    let with = surroundings.variable("PGSERVICEFILE", &named);
    assert_eq!(config(&with, "service=named").user, "named");
    assert_eq!(config(&with, "service=system").user, "system");
    rejected(&with, "service=mine", ServiceError::Undefined { service: "mine".into() });

    let missing = dir.path().join("missing");
    let file = missing.display();
    let unreadable = ServiceError::Unreadable { file: missing.clone(), error: io::ErrorKind::NotFound };
    rejected(&with, &format!("service=system servicefile='{file}'"), unreadable);
    let by_string = config(&with, &format!("service=named servicefile='{}'", named.display()));
    assert_eq!(by_string.user, "named");
    assert_eq!(config(&with, "").user, "", "a service file without a service has no effect");
}

#[test]
fn an_invalid_line_of_a_service_file_is_reported_by_its_number() {
    let dir = Dir::new();
    for (line, problem) in [
        ("service=x", "a service cannot refer to another service"),
        ("servicefile=x", "a service cannot refer to another service"),
        ("host", "a parameter has no \"=\""),
        ("hots=x", "the parameter is not known"),
        ("host =x", "the parameter is not known"),
        ("requiressl=1", "the parameter is not known"),
        ("ldap://h/dc=x", "services in LDAP are not supported"),
    ] {
        let file = dir.file("services", &format!("[db]\n{line}\n"));
        let surroundings = Surroundings::empty().variable("PGSERVICEFILE", &file);
        rejected(&surroundings, "service=db", ServiceError::Line { file, line: 2, problem });
    }
}

#[test]
fn a_password_is_looked_up_in_the_password_file() {
    let dir = Dir::new();
    let text = "# h:5432:db:u:comment\nh:5432:db:u:exact\r\nh:*:db:u:port\n*:5432:other:u:any\\:host\\\\:rest\n\
                localhost:5432:*:*:socket\n/elsewhere:*:*:*:dir\n192.0.2.1:*:*:*:address\n::1:1:*:*:six\n\
                a\\:b:*:*:*:escaped\nshort\n";
    let file = dir.file("pass", text);
    let surroundings = Surroundings::empty().variable("PGPASSFILE", &file).user("u");
    for (string, password) in [
        ("host=h dbname=db", Some("exact")),
        ("host=h port=1 dbname=db", Some("port")),
        ("host=i dbname=other", Some("any:host\\")),
        ("host=i dbname=db", None),
        ("host=h dbname=db user=v", None),
        ("host=localhost", Some("socket")),
        ("host=/elsewhere port=9", Some("dir")),
        ("hostaddr=192.0.2.1", Some("address")),
        ("host=h hostaddr=192.0.2.1 dbname=db", Some("exact")),
        ("host=::1 port=1", Some("six")),
        ("host=a:b", Some("escaped")),
        ("host=h dbname=db password=own", Some("own")),
        ("host=h dbname=db password=''", Some("exact")),
        ("host=short", None),
    ] {
        assert_eq!(config(&surroundings, string).password, password.map(Into::into), "{string}");
    }
    #[cfg(unix)]
    assert_eq!(
        config(&surroundings, "").password,
        Some("socket".into()),
        "the usual directory counts as localhost"
    );
    // If no database is given, the name of the database is the user's name.
    let own = dir.file("own", "h:*:u:u:same\n");
    let by_string = format!("host=h passfile='{}'", own.display());
    assert_eq!(config(&surroundings, &by_string).password, Some("same".into()));
}

#[test]
fn each_host_has_its_own_password() {
    let dir = Dir::new();
    dir.file("home/.pgpass", "one:1:*:*:first\ntwo:*:*:*:second\n");
    let surroundings = Surroundings::empty().home(dir.path().join("home"));
    let made = config(&surroundings, "postgres://u@one:1,two:2,three/db");
    let passwords: Vec<_> = made.hosts.iter().map(|host| made.for_host(host).password.clone()).collect();
    assert_eq!(passwords, [Some("first".into()), Some("second".into()), None]);
    assert!(!format!("{made:?}").contains("first"));
}

#[cfg(unix)]
#[test]
fn a_password_file_that_others_can_read_is_ignored() {
    let dir = Dir::new();
    let file = dir.file(".pgpass", "*:*:*:*:secret\n");
    let surroundings = Surroundings::empty().home(dir.path()).user("u");
    for mode in [0o640, 0o602, 0o610, 0o777] {
        dir.permit(".pgpass", mode);
        let found = surroundings.config("").expect("the string is well-formed");
        assert_eq!(found.config.password, None, "{mode:o}");
        assert_eq!(found.warnings, [Warning::PasswordFileAccess(file.clone())], "{mode:o}");
    }
    dir.permit(".pgpass", 0o400);
    assert_eq!(config(&surroundings, "").password, Some("secret".into()));

    let found = surroundings
        .config(&format!("passfile='{}'", dir.path().display()))
        .expect("the string is well-formed");
    assert_eq!(found.warnings, [Warning::PasswordFileKind(dir.path().into())]);
    assert!(found.warnings.iter().all(|warning| warning.to_string().contains("is ignored: it is not")));
    // There is no warning in two cases: the file does not exist, or the connection string contains a password, so that the file is not
    // read. The helper `config` checks that there is no warning.
    config(&surroundings, "passfile=/nonexistent/file");
    dir.permit(".pgpass", 0o666);
    config(&surroundings, "password=x");
}

#[test]
fn certificates_in_the_home_directory_are_the_default() {
    let dir = Dir::new();
    let surroundings = Surroundings::empty().home(dir.path()).user("u");
    assert_eq!(config(&surroundings, "sslmode=require").tls, Config::new("").tls);

    let [root, crl, cert, key] = ["root.crt", "root.crl", "postgresql.crt", "postgresql.key"]
        .map(|name| dir.file(&format!(".postgresql/{name}"), ""));
    let made = config(&surroundings, "sslmode=require");
    assert_eq!(made.tls_verification(), Ok(TlsVerification::Chain(&RootCert::File(root))));
    assert_eq!((&made.tls.crl, &made.tls.cert, &made.tls.key), (&Some(crl), &Some(cert), &Some(key.clone())));

    let own = config(&surroundings, "sslmode=verify-full sslrootcert=system sslcert=/c sslcrldir=/d");
    assert_eq!(own.tls.root, Some(RootCert::System));
    assert_eq!((own.tls.cert, own.tls.crl), (Some("/c".into()), None));
    assert_eq!(own.tls.key, Some(key));
}

#[test]
fn several_hosts_may_come_from_the_environment() {
    let surroundings = Surroundings::empty()
        .variable("PGHOST", "a,b")
        .variable("PGPORT", "1,2")
        .variable("PGTARGETSESSIONATTRS", "primary");
    let made = config(&surroundings, "");
    assert_eq!(made.hosts, [Host::new("a", 1), Host::new("b", 2)]);
    assert_eq!(made.target_session_attrs, TargetSessionAttrs::Primary);
    let error = surroundings.config("host=a").expect_err("two ports for a host");
    assert_eq!(error, ConfigError::PortCount { hosts: 1, ports: 2 });
}

#[cfg(feature = "login-name")]
#[test]
fn the_operating_systems_user_is_the_default_user() {
    let surroundings = Surroundings::of_process().without_variable("PGUSER").login_name();
    let found = surroundings.config("host=h").expect("the string is well-formed");
    assert_eq!(found.config.user, whoami::username().expect("the user has a name"));
}
