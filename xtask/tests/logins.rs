//! Tests of the authentication rules of the test servers. psql, with libpq 15 and with libpq 18, logs in as each role over each kind of
//! link: a Unix socket, TCP without TLS, TLS. The test expects a success if the role may log in over this kind of link, and an error if
//! not.

use std::collections::HashMap;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The major versions of PostgreSQL. Each version is tested as the version of the server and as the version of libpq.
const MAJORS: [u8; 2] = [15, 18];

/// One kind of link to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Clear,
    Tls12,
    Tls13,
    /// Direct TLS, without SSLRequest. Client and server need version 18.
    Direct,
    Unix,
}

impl Link {
    const ALL: [Self; 5] = [Self::Clear, Self::Tls12, Self::Tls13, Self::Direct, Self::Unix];

    /// The settings of libpq for this kind of link.
    fn settings(self, server: &Place) -> String {
        let verified = format!("host=localhost sslmode=verify-full sslrootcert={}", variable("PG_TLS_ROOT"));
        match self {
            Self::Clear => "host=127.0.0.1 sslmode=disable".into(),
            Self::Tls12 => format!("{verified} ssl_max_protocol_version=TLSv1.2"),
            Self::Tls13 => format!("{verified} ssl_min_protocol_version=TLSv1.3"),
            Self::Direct => format!("{verified} sslnegotiation=direct"),
            Self::Unix => format!("host={}", server.socket_dir),
        }
    }

    /// The TLS version that `pg_stat_ssl` must have for this kind of link. Empty without TLS.
    fn version(self) -> &'static str {
        match self {
            Self::Clear | Self::Unix => "",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 | Self::Direct => "TLSv1.3",
        }
    }

    fn is_tls(self) -> bool {
        !self.version().is_empty()
    }
}

/// A server to which psql connects: a PostgreSQL server or PgBouncer.
#[derive(Debug, Clone)]
struct Place {
    port: u16,
    socket_dir: String,
}

impl Place {
    fn of(prefix: &str) -> Self {
        let address = variable(&format!("{prefix}_ADDR"));
        let port =
            address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address and a port");
        Self { port, socket_dir: variable(&format!("{prefix}_SOCKET_DIR")) }
    }
}

/// psql with one version of libpq, for one server.
#[derive(Debug, Clone)]
struct Psql {
    libpq: u8,
    place: Place,
    environment: HashMap<&'static str, String>,
}

impl Psql {
    fn new(libpq: u8, place: &Place) -> Self {
        Self { libpq, place: place.clone(), environment: HashMap::new() }
    }

    /// Sets the Kerberos realm, and the file with the client's tickets (the credential cache).
    fn with_tickets(mut self, cache: &str) -> Self {
        self.environment.insert("KRB5_CONFIG", variable("PG_KRB5_CONFIG"));
        self.environment.insert("KRB5CCNAME", cache.into());
        self
    }

    /// Logs in. Returns the role and the TLS version that the server reports, or the error text of psql.
    fn log_in(&self, settings: &str) -> Result<String, String> {
        self.ask(
            settings,
            "select current_user, (select version from pg_stat_ssl where pid = pg_backend_pid())",
        )
    }

    /// Runs a query. Returns its result, or the error text.
    fn ask(&self, settings: &str, query: &str) -> Result<String, String> {
        let conninfo = format!("dbname=test port={} {settings}", self.place.port);
        let mut psql = Command::new(variable(&format!("PG{}_PSQL", self.libpq)));
        psql.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("HOME", "/nonexistent");
        psql.envs(&self.environment).args(["-XAtw", "-d", &conninfo, "-c", query]);
        outcome(psql.output().expect("psql runs"))
    }

    /// Checks that the login succeeds and that [`Self::log_in`] returns this text.
    #[track_caller]
    fn is_accepted(&self, settings: &str, expected: &str) {
        assert_eq!(self.log_in(settings).as_deref(), Ok(expected), "libpq {}: {settings}", self.libpq);
    }

    /// Checks that the login fails and that its error contains this text.
    #[track_caller]
    fn is_rejected(&self, settings: &str, expected: &str) {
        let error = self.log_in(settings).expect_err(settings);
        assert!(error.contains(expected), "libpq {}: {settings}: {error}", self.libpq);
    }
}

/// Returns the standard output of a program that has succeeded, or the standard error of a program that has failed.
fn outcome(output: Output) -> Result<String, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim_end().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The value of an environment variable that `cargo xtask test` sets.
#[track_caller]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// Runs the test with PostgreSQL 15 and with PostgreSQL 18, at the same time.
fn with_both(test: impl Fn(u8, &Place) + Sync) {
    thread::scope(|scope| {
        for major in MAJORS {
            let test = &test;
            scope.spawn(move || test(major, &Place::of(&format!("PG{major}"))));
        }
    });
}

/// A role, the settings of libpq with the role's password or certificate, and three flags. The flags are true if the role may log in over a
/// Unix socket, over TLS, and over TCP without TLS.
type Row = (&'static str, String, [bool; 3]);

fn roles() -> Vec<Row> {
    let everywhere = [true; 3];
    let certificate = |name: &str| {
        format!("sslcert={} sslkey={}", variable(&format!("PG_CLIENT_{name}")), variable("PG_CLIENT_KEY"))
    };
    vec![
        ("admin", String::new(), everywhere),
        ("trust", String::new(), everywhere),
        ("cleartext", "password=cleartext-secret".into(), everywhere),
        ("md5", "password=md5-secret".into(), everywhere),
        ("scram", "password=scram-secret".into(), everywhere),
        // This is the password in the server's CREATE ROLE statement, before SASLprep; libpq applies SASLprep.
        ("saslprep", "password='pa\u{a0}ss\u{2168}'".into(), everywhere),
        ("tls_only", "password=tls_only-secret".into(), [false, true, false]),
        ("clear_only", "password=clear_only-secret".into(), [false, false, true]),
        ("cert", certificate("CERT"), [false, true, false]),
        (
            "certscram",
            format!("password=certscram-secret {}", certificate("CERTSCRAM_CERT")),
            [false, true, false],
        ),
        ("peer", String::new(), [true, false, false]),
        ("postgres", String::new(), [false; 3]),
    ]
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_role_can_log_in_over_its_links_and_over_no_other_link() {
    with_both(|major, place| {
        for (role, proof, [socket, tls, clear]) in roles() {
            for libpq in MAJORS {
                for link in Link::ALL {
                    if link == Link::Direct && libpq == 15 {
                        // libpq 15 does not know the parameter `sslnegotiation`.
                        continue;
                    }
                    let settings = format!("{} user={role} {proof}", link.settings(place));
                    let psql = Psql::new(libpq, place);
                    let open = match link {
                        Link::Unix => socket,
                        Link::Clear => clear,
                        Link::Direct => tls && major == 18,
                        Link::Tls12 | Link::Tls13 => tls,
                    };
                    if open {
                        psql.is_accepted(&settings, &format!("{role}|{}", link.version()));
                    } else if link == Link::Direct && major == 15 {
                        psql.is_rejected(&settings, "SSL error: unexpected eof");
                    } else {
                        psql.is_rejected(&settings, "pg_hba.conf");
                    }
                }
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_wrong_or_missing_password_or_certificate_is_rejected() {
    with_both(|_, place| {
        let psql = Psql::new(18, place);
        for (role, proof, [socket, tls, clear]) in roles() {
            if !proof.contains("password=") {
                continue;
            }
            for (link, open) in [(Link::Unix, socket), (Link::Tls13, tls), (Link::Clear, clear)] {
                if open {
                    let settings = format!("{} user={role} {proof}", link.settings(place));
                    psql.is_rejected(
                        &format!("{settings} password=hunter2"),
                        "password authentication failed",
                    );
                    psql.is_rejected(&format!("{settings} password=''"), "no password supplied");
                }
            }
        }
        for role in ["cert", "certscram"] {
            let tls = format!("{} user={role} password=certscram-secret", Link::Tls13.settings(place));
            psql.is_rejected(&tls, "connection requires a valid client certificate");
        }
        let other = format!("{} sslkey={}", Link::Tls13.settings(place), variable("PG_CLIENT_KEY"));
        let other = |name: &str| format!("{other} sslcert={}", variable(&format!("PG_CLIENT_{name}")));
        // The methods of `cert` and of `certscram` both check that the common name in the certificate is the name of the role.
        psql.is_rejected(
            &format!("{} user=cert", other("CERTSCRAM_CERT")),
            "certificate authentication failed",
        );
        let certscram = format!("{} user=certscram password=certscram-secret", other("CERT"));
        psql.is_rejected(&certscram, "authentication failed for user \"certscram\"");
        for (name, alert) in [
            ("REVOKED_CERT", "alert certificate revoked"),
            ("EXPIRED_CERT", "alert certificate expired"),
            ("OTHER_CERT", "alert unknown ca"),
        ] {
            psql.is_rejected(&format!("{} user=cert", other(name)), alert);
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_reads_a_key_in_every_file_format() {
    with_both(|_, place| {
        let password = variable("PG_CLIENT_KEY_PASSWORD");
        for (certificate, key) in [
            ("CERT", "KEY"),
            ("CERT", "KEY_DER"),
            ("CERT", "KEY_SEC1"),
            ("CERT", "KEY_ENCRYPTED"),
            ("CERT", "KEY_SEC1_ENCRYPTED"),
            ("RSA_CERT", "RSA_KEY"),
            ("RSA_CERT", "RSA_KEY_PKCS1"),
        ] {
            for libpq in MAJORS {
                let psql = Psql::new(libpq, place);
                let [certificate, file] =
                    [certificate, key].map(|name| variable(&format!("PG_CLIENT_{name}")));
                let tls = Link::Tls13.settings(place);
                let settings = format!("{tls} user=cert sslcert={certificate} sslkey={file}");
                psql.is_accepted(&format!("{settings} sslpassword={password}"), "cert|TLSv1.3");
                if key.ends_with("ENCRYPTED") {
                    psql.is_rejected(
                        &format!("{settings} sslpassword=hunter2"),
                        "could not load private key file",
                    );
                }
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn sslmode_allow_and_prefer_try_the_other_kind_of_link_after_a_rejection() {
    with_both(|_, place| {
        for libpq in MAJORS {
            let psql = Psql::new(libpq, place);
            for (role, sslmode, expected) in [
                ("tls_only", "disable", None),
                ("tls_only", "allow", Some("tls_only|TLSv1.3")),
                ("tls_only", "prefer", Some("tls_only|TLSv1.3")),
                ("tls_only", "require", Some("tls_only|TLSv1.3")),
                ("clear_only", "disable", Some("clear_only|")),
                ("clear_only", "allow", Some("clear_only|")),
                ("clear_only", "prefer", Some("clear_only|")),
                ("clear_only", "require", None),
            ] {
                let settings = format!("host=127.0.0.1 user={role} password={role}-secret sslmode={sslmode}");
                match expected {
                    Some(expected) => psql.is_accepted(&settings, expected),
                    None => psql.is_rejected(&settings, "pg_hba.conf rejects connection"),
                }
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn libpq_verifies_the_certificate_of_the_server() {
    with_both(|_, place| {
        for libpq in MAJORS {
            let psql = Psql::new(libpq, place);
            let user = "user=scram password=scram-secret channel_binding=require";
            let [root, other, list] = ["PG_TLS_ROOT", "PG_TLS_OTHER_ROOT", "PG_TLS_CRL"].map(variable);
            for host in ["localhost", "127.0.0.1"] {
                let known =
                    format!("{user} host={host} sslmode=verify-full sslrootcert={root} sslcrl={list}");
                psql.is_accepted(&known, "scram|TLSv1.3");
            }
            let elsewhere = "host=elsewhere.example hostaddr=127.0.0.1 sslmode=verify-full";
            psql.is_rejected(&format!("{user} {elsewhere} sslrootcert={root}"), "does not match host name");
            let unknown = format!("{user} host=localhost sslmode=verify-ca sslrootcert={other}");
            psql.is_rejected(&unknown, "certificate verify failed");
            let clear = format!("{user} host=localhost sslmode=disable");
            psql.is_rejected(&clear, "channel binding");
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn channel_binding_works_with_each_kind_of_signature_that_has_a_hash() {
    let _alone = spare();
    let directory = variable("PG_TLS_SIGNATURES");
    thread::scope(|scope| {
        for major in MAJORS {
            let directory = &directory;
            scope.spawn(move || {
                let place = Place::of(&format!("PG{major}_SPARE"));
                let admin = Psql::new(18, &place);
                let by_socket = format!("host={} user=admin", place.socket_dir);
                // Sets the server's certificate, and opens new sessions until a session shows the new setting. The server has then loaded
                // the certificate.
                let certificate = |path: &str| {
                    let set = format!("alter system set ssl_cert_file = '{path}'");
                    for sql in [set.as_str(), "select pg_reload_conf()"] {
                        admin.ask(&by_socket, sql).expect(sql);
                    }
                    let deadline = Instant::now() + Duration::from_secs(60);
                    while admin.ask(&by_socket, "show ssl_cert_file").as_deref() != Ok(path) {
                        assert!(Instant::now() < deadline, "the server has not loaded {path} within 60 seconds");
                    }
                };
                let settings = format!(
                    "user=scram password=scram-secret host=localhost sslmode=verify-full sslrootcert={directory}/roots.crt"
                );
                for name in [
                    "rsa-sha224", "rsa-sha256", "rsa-sha384", "rsa-sha512", "pss-sha256", "pss-sha384",
                    "pss-sha512", "p256-sha256", "p256-sha512", "p384-sha384", "p384-sha256", "p521-sha512",
                    "ed25519",
                ] {
                    certificate(&format!("{directory}/{name}.crt"));
                    for libpq in MAJORS {
                        let psql = Psql::new(libpq, &place);
                        psql.is_accepted(&format!("{settings} channel_binding=disable"), "scram|TLSv1.3");
                        // With `prefer` and with `require`, libpq computes the hash of the certificate if the server supports channel
                        // binding. With `disable`, libpq computes no hash.
                        for binding in ["prefer", "require"] {
                            let bound = format!("{settings} channel_binding={binding}");
                            if name == "ed25519" {
                                psql.is_rejected(&bound, "could not find digest for NID UNDEF");
                            } else {
                                psql.is_accepted(&bound, "scram|TLSv1.3");
                            }
                        }
                    }
                }
                certificate(&variable("PG_TLS_SERVER_CERT"));
            });
        }
    });
}

/// Reserves the spare servers, so that only one test at a time changes their settings.
fn spare() -> MutexGuard<'static, ()> {
    static SPARE: Mutex<()> = Mutex::new(());
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_ticket_logs_in_to_the_server_with_gssapi_and_not_to_the_server_without() {
    let place = Place::of("PG15");
    for libpq in MAJORS {
        let without = Psql::new(libpq, &place);
        let with = |variable_name: &str| without.clone().with_tickets(&variable(variable_name));
        let (gss, somebody) = (with("PG_KRB5_CCACHE"), with("PG_KRB5_CCACHE_SOMEBODY"));
        for (settings, tls) in [
            ("host=localhost user=gss sslmode=disable gssencmode=disable", ""),
            ("host=localhost user=gss sslmode=require gssencmode=disable", "TLSv1.3"),
            ("host=localhost user=gss sslmode=disable gssencmode=require", ""),
        ] {
            gss.is_accepted(settings, &format!("gss|{tls}"));
            let encrypted = "select encrypted from pg_stat_gssapi where pid = pg_backend_pid()";
            let expected = if settings.ends_with("require") { "t" } else { "f" };
            assert_eq!(gss.ask(settings, encrypted).as_deref(), Ok(expected), "{settings}");
            somebody.is_rejected(settings, "GSSAPI authentication failed for user \"gss\"");
            let message = without.log_in(settings).expect_err("no tickets");
            assert!(message.contains("GSSAPI") || message.contains("gss"), "{message}");
        }
        gss.is_rejected(&format!("host={} user=gss", place.socket_dir), "pg_hba.conf rejects");
        // The test server of PostgreSQL 18 is built without GSSAPI.
        let newer = Psql::new(libpq, &Place::of("PG18")).with_tickets(&variable("PG_KRB5_CCACHE"));
        newer.is_rejected("host=localhost user=gss gssencmode=disable", "pg_hba.conf rejects");
        newer.is_rejected(
            "host=localhost user=trust gssencmode=require",
            "server doesn't support GSSAPI encryption",
        );
        newer.is_accepted("host=localhost user=trust gssencmode=prefer sslmode=disable", "trust|");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_bearer_token_logs_in_its_role_and_no_other_role() {
    let place = Place::of("PG18");
    let (issuer, token) = (variable("PG_OAUTH_ISSUER"), variable("PG_OAUTH_TOKEN"));
    let log_in = |link: Link, role: &str, token: &str| {
        let conninfo = format!(
            "dbname=test port={} {} user={role} oauth_issuer={issuer} oauth_client_id=test require_auth=oauth",
            place.port,
            link.settings(&place)
        );
        let mut python = Command::new(variable("PSYCOPG_PYTHON"));
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oauth.py"));
        outcome(python.args([&variable("PG18_LIBPQ"), &conninfo, token]).output().expect("python runs"))
    };
    for link in Link::ALL {
        assert_eq!(log_in(link, "oauth", &token).as_deref(), Ok("oauth"), "{link:?}");
        for (token, expected) in [
            // The server must reject three tokens: a token for another identity, an unknown token, and a token for which the validator
            // reports an internal error.
            ("scram-token", "OAuth bearer authentication failed"),
            ("nonsense", "OAuth bearer authentication failed"),
            ("broken", "OAuth bearer authentication failed"),
        ] {
            let error = log_in(link, "oauth", token).expect_err(token);
            assert!(error.contains(expected), "{link:?}, {token}: {error}");
        }
        let error = log_in(link, "scram", &token).expect_err("a role with another method");
        assert!(error.contains("method requirement \"oauth\" failed"), "{link:?}: {error}");
    }
    let older = Psql::new(18, &Place::of("PG15"));
    older.is_rejected("host=localhost user=oauth", "pg_hba.conf rejects");
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgbouncer_accepts_and_rejects_logins_by_its_own_rules() {
    let place = Place::of("PGBOUNCER");
    let certificate = format!("sslcert={} sslkey={}", variable("PG_CLIENT_CERT"), variable("PG_CLIENT_KEY"));
    for libpq in MAJORS {
        let psql = Psql::new(libpq, &place);
        let ask = |settings: &str| psql.ask(settings, "select current_user");
        for link in [Link::Clear, Link::Tls12, Link::Tls13, Link::Unix] {
            let link_settings = link.settings(&place);
            for database in ["session", "transaction"] {
                let settings = format!("{link_settings} dbname={database}");
                for role in ["trust", "md5", "scram"] {
                    let right = format!("{settings} user={role} password={role}-secret");
                    assert_eq!(ask(&right).as_deref(), Ok(role), "libpq {libpq}: {right}");
                }
                for (user, expected) in [
                    ("user=saslprep password='pa\u{a0}ss\u{2168}'", Ok("saslprep")),
                    ("user=scram password=hunter2", Err("FATAL:  SASL authentication failed")),
                    ("user=md5 password=hunter2", Err("FATAL:  password authentication failed")),
                    ("user=nobody password=hunter2", Err("FATAL:  no such user")),
                    ("user=cleartext password=cleartext-secret", Err("FATAL:  login rejected")),
                ] {
                    let found = ask(&format!("{settings} {user}"));
                    match expected {
                        Ok(role) => {
                            assert_eq!(found.as_deref(), Ok(role), "libpq {libpq}: {settings} {user}")
                        }
                        Err(text) => {
                            let error = found.expect_err(user);
                            assert!(error.contains(text), "libpq {libpq}: {settings} {user}: {error}");
                        }
                    }
                }
            }
            let cleartext =
                format!("{link_settings} dbname=as_trust user=cleartext password=cleartext-secret");
            assert_eq!(ask(&cleartext).as_deref(), Ok("trust"), "libpq {libpq}: {cleartext}");
            let missing = ask(&format!("{link_settings} dbname=missing user=trust"));
            let missing = missing.expect_err("no such database");
            assert!(missing.contains("FATAL:  \"trust\" authentication failed"), "{missing}");
            let found = ask(&format!("{link_settings} dbname=as_trust user=cert {certificate}"));
            assert_eq!(found.is_ok(), link.is_tls(), "libpq {libpq}, {link:?}: {found:?}");
        }
        let console = psql.ask("host=127.0.0.1 dbname=pgbouncer user=admin", "show version");
        assert!(console.as_ref().is_ok_and(|version| version.starts_with("PgBouncer ")), "{console:?}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn each_libpq_has_the_version_in_the_name_of_its_variable() {
    for major in MAJORS {
        let mut python = Command::new(variable("PSYCOPG_PYTHON"));
        let program = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).PQlibVersion() // 10000)";
        let found = outcome(
            python.args(["-c", program, &variable(&format!("PG{major}_LIBPQ"))]).output().expect("runs"),
        );
        assert_eq!(found, Ok(major.to_string()));
    }
}
