//! Tests with PgBouncer between the client and PostgreSQL 15. The connection from the client to PgBouncer can use TLS. The tests compare
//! logins with psql, and check PgBouncer's own errors, pooling and cancel requests.

use std::time::Duration;

use pg_stream_tokio::backend::{Backend, ServerError};
use pg_stream_tokio::pg_auth::config::RootCert;
use pg_stream_tokio::{
    Config, ConnectError, Connection, Host, Link, MessageCode, PgProtocol, Session, SqlState, SslMode,
    cancel, connect,
};

use crate::ours::ask;
use crate::outcome::Outcome;
use crate::psql::command;
use crate::runtime;
use crate::servers::{Server, variable};

/// Name of a role, settings with its right credentials, settings with wrong credentials, and the databases to connect to; see
/// `xtask/src/servers/pooler.rs`.
type Role = (&'static str, String, Option<String>, &'static [&'static str]);

fn roles() -> Vec<Role> {
    let pools = &["session", "transaction"][..];
    let password = |role: &str| (format!("password={role}-secret"), Some("password=hunter2".into()));
    let certificate = |name: &str| {
        format!("sslcert={} sslkey={}", variable(&format!("PG_CLIENT_{name}")), variable("PG_CLIENT_KEY"))
    };
    let mut roles = vec![
        ("trust", String::new(), None, pools),
        ("cert", certificate("CERT"), Some(certificate("CERTSCRAM_CERT")), &["as_trust"]),
        ("nobody", "password=hunter2".into(), None, pools),
    ];
    for (role, databases) in [("cleartext", &["as_trust"][..]), ("md5", pools), ("scram", pools)] {
        let (right, wrong) = password(role);
        roles.push((role, right, wrong, databases));
    }
    roles.push(("trust", String::new(), None, &["missing"]));
    roles
}

/// Returns connection strings: each role with right credentials, with wrong credentials and without credentials, over each kind of
/// connection in each `sslmode`.
fn logins() -> Vec<String> {
    let place = Server::at("PGBOUNCER");
    let by_tcp = format!("host=localhost hostaddr={} sslrootcert={}", place.ip, variable("PG_TLS_ROOT"));
    let links = [
        format!("{by_tcp} ssl_max_protocol_version=TLSv1.2"),
        format!("{by_tcp} ssl_min_protocol_version=TLSv1.3"),
        format!("host={}", place.socket_dir),
    ];
    let mut logins = Vec::new();
    for (role, right, wrong, databases) in roles() {
        for database in databases {
            let mut proofs = vec![right.clone()];
            // Wrong and missing credentials are tested in one pool mode only, because PgBouncer rejects the client before the pool mode has
            // an effect.
            if *database != "transaction" && !right.is_empty() {
                proofs.extend(wrong.iter().cloned().chain([String::new()]));
            }
            for proof in proofs {
                for link in &links {
                    for sslmode in crate::cells::SSLMODES {
                        logins.push(format!(
                            "user={role} dbname={database} port={} gssencmode=disable sslmode={sslmode} {link} {proof}",
                            place.port
                        ));
                    }
                }
            }
        }
    }
    for more in ["channel_binding=require", "channel_binding=disable"] {
        let scram =
            format!("user=scram password=scram-secret dbname=session port={} sslmode=require", place.port);
        logins.push(format!("{scram} gssencmode=disable {by_tcp} {more}"));
    }
    logins
}

/// Logs in by psql. Returns the role and the version of TLS, or the error.
fn by_psql(settings: &str) -> Outcome {
    let mut psql = command("PG15_PSQL");
    psql.args(["-XAtw", "-d", settings, "-c", "select current_user", "-c", "\\conninfo"]);
    let output = psql.output().expect("psql runs");
    let success = output.status.success();
    let text = String::from_utf8(if success { output.stdout } else { output.stderr }).expect("UTF-8");
    if !success {
        return Outcome::of_psql(false, &text);
    }
    let role = text.lines().next().unwrap_or_default();
    let protocol = text.split_once("SSL connection (protocol: ");
    Outcome::LoggedIn(match protocol {
        Some((_, rest)) => format!("{role}|{}", rest.split(',').next().unwrap_or_default()),
        None => role.into(),
    })
}

/// Logs in with this crate. Returns the role and the version of TLS, or the error.
async fn by_ours(settings: &str) -> Outcome {
    let config: Config = settings.parse().expect("a connection string");
    match connect(&config).await {
        Ok((mut conn, session)) => {
            let role = ask(&mut conn, "select current_user").await.expect("the query is fine");
            let version = session.tls.and_then(|tls| tls.version);
            Outcome::LoggedIn(version.map_or(role.clone(), |version| format!("{role}|{version}")))
        }
        Err(error) => {
            has_no_field_v(&error);
            Outcome::of_ours(&error)
        }
    }
}

/// Checks that PgBouncer's own errors lack the field V (the untranslated severity), and that `severity` nevertheless returns a value: the
/// field S.
fn has_no_field_v(error: &ConnectError) {
    for error in error.earlier().iter().chain([error]).filter_map(ConnectError::server_error) {
        assert_eq!(error.fields().get(b'V'), None, "{error}");
        assert_eq!(error.fields().severity(), Some("FATAL".into()), "{error}");
    }
}

/// Pairs of outcomes, the first of psql and the second of this crate. These pairs differ because this crate refuses to send a clear-text
/// password over TCP without TLS. See the same exception in [`crate::exceptions`].
const CLEARTEXT: [(&str, &str); 4] = [
    ("logged in", "logged in by TLS"),
    ("server, then server", "client (clear-text password), then server"),
    ("server, then server", "server, then client (clear-text password)"),
    ("client (no password)", "client (clear-text password), then client (no password)"),
];

/// Returns the index of these two outcomes in [`CLEARTEXT`], if their difference is deliberate.
fn exception(settings: &str, psql: &Outcome, ours: &Outcome) -> Option<usize> {
    let applies = settings.contains("user=cleartext") && settings.contains("hostaddr=");
    let (psql, ours) = (psql.brief(), ours.brief());
    CLEARTEXT.iter().position(|pair| applies && *pair == (psql.as_str(), ours.as_str()))
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_login_at_pgbouncer_has_the_same_outcome_as_with_psql() {
    let logins = logins();
    let half = logins.len() / 2;
    let compare = |logins: &[String]| {
        let runtime = runtime();
        let mut differences = Vec::new();
        let mut excepted = Vec::new();
        for settings in logins {
            let (psql, ours) = (by_psql(settings), runtime.block_on(by_ours(settings)));
            if let Some(pair) = exception(settings, &psql, &ours) {
                excepted.push(pair);
            } else if psql != ours {
                differences.push(format!("{settings}\n    psql: {psql}\n    ours: {ours}"));
            }
        }
        (differences, excepted)
    };
    let ((mut differences, here), (others, there)) = std::thread::scope(|scope| {
        let other = scope.spawn(|| compare(&logins[half..]));
        (compare(&logins[..half]), other.join().expect("no login panics"))
    });
    differences.extend(others);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    let excepted: Vec<usize> = here.into_iter().chain(there).collect();
    for (place, pair) in CLEARTEXT.iter().enumerate() {
        assert!(excepted.contains(&place), "{pair:?} no longer occurs");
    }
    eprintln!("{} logins, {} of them by an exception", logins.len(), excepted.len());
}

/// Returns a configuration with verified TLS. Only these tests use the role of this configuration, so no other test uses the role's pool.
fn pooled(database: &str) -> Config {
    let place = Server::at("PGBOUNCER");
    let config = Config::new("saslprep").password("pa\u{a0}ss\u{2168}").database(database);
    let mut config = config.host(Host::new("localhost", place.port)).sslmode(SslMode::VerifyFull);
    config.tls.root = Some(RootCert::File(variable("PG_TLS_ROOT").into()));
    config.connect_timeout = Some(Duration::from_secs(60));
    config
}

async fn get_in(config: &Config) -> (Connection, Session) {
    let (conn, session) = connect(config).await.expect("the role logs in");
    assert!(session.tls.is_some());
    (conn, session)
}

async fn pid(conn: &mut Connection) -> String {
    ask(conn, "select pg_backend_pid()").await.expect("the query is fine")
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_transaction_pool_shares_its_server_and_a_session_pool_does_not() {
    runtime().block_on(async {
        let config = pooled("transaction");
        let ((mut one, _), (mut two, _)) = (get_in(&config).await, get_in(&config).await);
        let shared = pid(&mut one).await;
        assert_eq!(pid(&mut two).await, shared, "between transactions the server is free");
        ask(&mut one, "begin").await.expect("begun");
        let held = pid(&mut one).await;
        assert_ne!(pid(&mut two).await, held, "within a transaction the server is not free");
        ask(&mut one, "commit").await.expect("committed");

        let config = pooled("session");
        let ((mut one, _), (mut two, _)) = (get_in(&config).await, get_in(&config).await);
        let own = pid(&mut one).await;
        assert_ne!(pid(&mut two).await, own);
        assert_eq!(pid(&mut one).await, own);
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_cancel_request_over_tls_passes_through_pgbouncer() {
    runtime().block_on(async {
        for database in ["session", "transaction"] {
            let config = pooled(database);
            let (mut conn, session) = get_in(&config).await;
            let target = session.cancel_target().expect("PgBouncer gives a key");
            assert_eq!(target.link, Link::Tls);
            let endless = "DO $$ BEGIN RAISE INFO 'asleep'; PERFORM pg_sleep(3600); END $$";
            for _ in 0..3 {
                conn.query(endless).flush().await.expect("sent");
                // The notice shows that the statement is running. A cancel request before the notice would have no effect.
                let frame = conn.recv().await.expect("received");
                assert_eq!(frame.code, MessageCode::NOTICE_RESPONSE);
                cancel(&config, &target).await.expect("the request is accepted");
                let mut state = None;
                loop {
                    match conn.recv().await.expect("received").backend().expect("well-formed") {
                        Backend::ErrorResponse(error) => state = error.fields.sqlstate(),
                        Backend::ReadyForQuery(_) => break,
                        _ => {}
                    }
                }
                assert_eq!(state, Some(SqlState::QUERY_CANCELED), "{database}");
                assert_eq!(ask(&mut conn, "select 'well'").await.as_deref(), Ok("well"), "{database}");
            }
        }
    });
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn pgbouncer_uses_version_3_0_even_if_a_newer_version_is_requested() {
    use pg_stream_tokio::frontend::ProtocolVersion as Version;
    runtime().block_on(async {
        let (_, session) = get_in(&pooled("session")).await;
        assert_eq!(session.version, Version::V3_0);
        let config = pooled("session").protocol_versions(Version::V3_0, Version::V3_2);
        match connect(&config).await {
            Ok((_, session)) => assert_eq!(session.version, Version::V3_0),
            // PgBouncer 1.18 does not offer an older protocol version, but rejects the client.
            Err(error) => {
                has_no_field_v(&error);
                let state = error.server_error().and_then(ServerError::sqlstate);
                assert_eq!(state, Some(SqlState::PROTOCOL_VIOLATION), "{error}");
            }
        }
    });
}
