//! Tests of TLS with native-tls and PostgreSQL servers: every sslmode, and every kind of credentials.

use std::env;

use async_std::task::block_on;
use pg_stream_async_std::pg_auth::config::{BindingMode, RootCert, SslCertMode, SslNegotiation, TlsVersion};
use pg_stream_async_std::pg_auth::tls::TlsError;
use pg_stream_async_std::pg_wire::{SqlState, backend::Backend};
use pg_stream_async_std::{
    Config, ConnectError, ConnectErrorKind, Connection, Host, Link, MessageCode, PgProtocol, Session, Socket,
    SslMode, cancel, connect,
};

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`"))
}

/// Returns the port of each server.
fn ports() -> [u16; 2] {
    ["PG15_ADDR", "PG18_ADDR"].map(|name| {
        let address = variable(name);
        address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("an address and a port")
    })
}

/// Returns a configuration for this role at "localhost", with its password.
fn config(role: &str, port: u16) -> Config {
    let password = format!("{role}-secret");
    Config::new(role).password(password).database("test").host(Host::new("localhost", port))
}

/// Returns a configuration for this role, with this sslmode and with the root certificate of the servers.
fn verified(role: &str, port: u16, mode: SslMode) -> Config {
    let mut config = config(role, port).sslmode(mode);
    config.tls.root = Some(root("PG_TLS_ROOT"));
    config
}

fn root(name: &str) -> RootCert {
    RootCert::File(variable(name).into())
}

fn connected(config: &Config) -> (Connection<Socket>, Session) {
    block_on(connect(config)).unwrap_or_else(|error| panic!("{}: {error}", config.user))
}

fn rejection(config: &Config) -> ConnectError {
    block_on(connect(config)).map(|(_, session)| session).expect_err("the connection must not be made")
}

/// Runs a query that returns one value, and returns the value as text.
async fn value(conn: &mut Connection<Socket>, query: &str) -> String {
    conn.query(query).flush().await.expect("sent");
    let mut value = String::new();
    loop {
        match conn.recv().await.expect("a message").backend().expect("well-formed") {
            Backend::DataRow(row) => {
                let bytes = row.values.iter().next().expect("a column").expect("well-formed");
                value = String::from_utf8(bytes.expect("not NULL").to_vec()).expect("text");
            }
            Backend::ErrorResponse(error) => panic!("{error}"),
            Backend::ReadyForQuery(_) => return value,
            _ => {}
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn every_sslmode_uses_tls_or_clear_text_as_the_mode_allows() {
    use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
    for port in ports() {
        for (mode, tls_only, clear_only, both) in [
            (Disable, None, Some(false), Some(false)),
            (Allow, Some(true), Some(false), Some(false)),
            (Prefer, Some(true), Some(false), Some(true)),
            (Require, Some(true), None, Some(true)),
            (VerifyCa, Some(true), None, Some(true)),
            (VerifyFull, Some(true), None, Some(true)),
        ] {
            for (role, secured) in [("tls_only", tls_only), ("clear_only", clear_only), ("scram", both)] {
                let mut config = config(role, port).sslmode(mode);
                if matches!(mode, VerifyCa | VerifyFull) {
                    config.tls.root = Some(root("PG_TLS_ROOT"));
                }
                match secured {
                    None => {
                        let error = rejection(&config);
                        let state = error.server_error().and_then(|error| error.sqlstate());
                        assert_eq!(state, Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION), "{error}");
                    }
                    Some(secured) => {
                        let (mut conn, session) = connected(&config);
                        assert_eq!(session.tls.is_some(), secured, "{role} {mode}");
                        let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
                        let seen = block_on(value(&mut conn, query));
                        assert_eq!(seen, if secured { "t" } else { "f" }, "{role} {mode}");
                    }
                }
            }
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn scram_is_bound_to_the_channel_in_each_version_of_tls() {
    for port in ports() {
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut config =
                verified("scram", port, SslMode::VerifyFull).channel_binding(BindingMode::Require);
            config.tls.min_version = Some(version);
            config.tls.max_version = Some(version);
            let (mut conn, session) = connected(&config);
            assert!(session.channel_bound);
            let query = "select version from pg_stat_ssl where pid = pg_backend_pid()";
            assert_eq!(block_on(value(&mut conn, query)), version.to_string());
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_certificate_of_another_authority_or_for_another_name_is_rejected() {
    for port in ports() {
        for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
            let mut config = verified("scram", port, mode);
            config.tls.root = Some(root("PG_TLS_OTHER_ROOT"));
            let error = rejection(&config);
            assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_))), "{error}");
            assert!(error.to_string().contains("no trusted authority"), "{error}");

            let mut config = verified("scram", port, mode);
            config.hosts = vec![Host::at_address("elsewhere.example", [127, 0, 0, 1], port)];
            match mode {
                SslMode::VerifyFull => {
                    let error = rejection(&config).to_string();
                    assert!(error.contains("another name than \"elsewhere.example\""), "{error}");
                }
                _ => drop(connected(&config)),
            }
        }
        // The server's certificate is also valid for the address 127.0.0.1.
        let mut config = verified("scram", port, SslMode::VerifyFull);
        config.hosts = vec![Host::new("127.0.0.1", port)];
        connected(&config);
        // The system's trusted certificates do not include the authority that signed the server's certificate.
        config.tls.root = Some(RootCert::System);
        assert!(rejection(&config).to_string().contains("no trusted authority"));
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_connection_is_made_with_and_without_sni() {
    for port in ports() {
        for sni in [true, false] {
            let mut config = verified("scram", port, SslMode::VerifyFull);
            config.tls.sni = sni;
            connected(&config);
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_client_certificate_logs_in_with_each_form_of_its_key() {
    for port in ports() {
        for (cert, key, password) in [
            ("PG_CLIENT_CERT", "PG_CLIENT_KEY", None),
            ("PG_CLIENT_CERT", "PG_CLIENT_KEY_DER", None),
            ("PG_CLIENT_CERT", "PG_CLIENT_KEY_SEC1", None),
            ("PG_CLIENT_CERT", "PG_CLIENT_KEY_ENCRYPTED", Some("PG_CLIENT_KEY_PASSWORD")),
            ("PG_CLIENT_RSA_CERT", "PG_CLIENT_RSA_KEY", None),
            ("PG_CLIENT_RSA_CERT", "PG_CLIENT_RSA_KEY_PKCS1", None),
        ] {
            for mode in [SslMode::Require, SslMode::VerifyFull] {
                let mut config = verified("cert", port, mode);
                config.tls.cert = Some(variable(cert).into());
                config.tls.key = Some(variable(key).into());
                config.tls.key_password = password.map(|name| variable(name).into());
                let (mut conn, _) = connected(&config);
                let query = "select client_dn from pg_stat_ssl where pid = pg_backend_pid()";
                assert!(block_on(value(&mut conn, query)).contains("cert"), "{key}");
                // Without the client's certificate, the same login is rejected.
                config.tls.cert_mode = SslCertMode::Disable;
                rejection(&config);
            }
        }
        let mut both = verified("certscram", port, SslMode::VerifyFull);
        both.tls.cert = Some(variable("PG_CLIENT_CERTSCRAM_CERT").into());
        both.tls.key = Some(variable("PG_CLIENT_KEY").into());
        assert!(connected(&both).1.channel_bound);
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn an_invalid_client_certificate_is_rejected() {
    for port in ports() {
        for cert in ["PG_CLIENT_REVOKED_CERT", "PG_CLIENT_EXPIRED_CERT", "PG_CLIENT_OTHER_CERT"] {
            // With TLS 1.2, the server rejects the client's certificate during the handshake. With TLS 1.3, the server rejects the
            // certificate after the handshake.
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let mut config = verified("cert", port, SslMode::VerifyFull);
                config.tls.cert = Some(variable(cert).into());
                config.tls.key = Some(variable("PG_CLIENT_KEY").into());
                config.tls.max_version = Some(version);
                let error = rejection(&config);
                assert!(error.server_error().is_none(), "{cert} {version}: {error}");
                // With TLS 1.3, the server's alert can be lost, because the server closes the connection while the client sends the
                // start-up message.
                let text = error.to_string();
                let lost =
                    version == TlsVersion::V1_3 && text.contains("the connection failed during the login");
                assert!(text.contains("alert") || lost, "{cert} {version}: {error}");
            }
        }
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn direct_tls_is_rejected_with_an_explanation() {
    for port in ports() {
        let mut config = verified("scram", port, SslMode::VerifyFull);
        config.sslnegotiation = SslNegotiation::Direct;
        let error = rejection(&config).to_string();
        assert!(error.contains("sslnegotiation=direct is not supported with native-tls"), "{error}");
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_statement_is_cancelled_over_tls() {
    for port in ports() {
        let config = verified("tls_only", port, SslMode::VerifyFull);
        let (mut conn, session) = connected(&config);
        block_on(async {
            // Wait for the notice, which shows that the statement is running. A cancel request before the notice would have no effect.
            conn.query("do $$ begin raise notice 'begun'; perform pg_sleep(600); end $$");
            conn.flush().await.expect("sent");
            assert_eq!(conn.recv().await.expect("a message").code, MessageCode::NOTICE_RESPONSE);
            let target = session.cancel_target().expect("a key");
            assert_eq!(target.link, Link::Tls);
            cancel(&config, &target).await.unwrap_or_else(|error| panic!("{error}"));
            let frame = conn.recv().await.expect("a message");
            let Ok(Backend::ErrorResponse(error)) = frame.backend() else { panic!("{frame:?}") };
            assert_eq!(error.fields.sqlstate(), Some(SqlState::QUERY_CANCELED));
        });
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn halves_can_be_used_in_two_tasks_over_tls() {
    for port in ports() {
        let (conn, _) = connected(&verified("scram", port, SslMode::VerifyFull));
        let (mut reader, mut writer) = conn.split();
        const QUERIES: usize = 2000;
        block_on(async {
            let sending = async_std::task::spawn(async move {
                for _ in 0..QUERIES {
                    writer.query("select repeat('x', 1000)").flush().await.expect("sent");
                }
                writer
            });
            let mut ready = 0;
            while ready < QUERIES {
                let code = reader.recv().await.expect("a message").code;
                ready += usize::from(code == MessageCode::READY_FOR_QUERY);
            }
            sending.await.terminate().close().await.expect("closed");
            assert!(reader.recv().await.expect_err("the server has closed").is_fatal());
        });
    }
}

#[test]
#[ignore = "needs servers: cargo xtask test"]
fn a_pipeline_larger_than_every_buffer_does_not_stall() {
    for port in ports() {
        let (mut conn, _) = connected(&verified("scram", port, SslMode::VerifyFull));
        block_on(async {
            let kilobyte = "x".repeat(1000);
            const STATEMENTS: usize = 10_000;
            conn.parse(pg_stream_async_std::Statement("echo")).query("SELECT $1::text").finish();
            for _ in 0..STATEMENTS {
                conn.bind(pg_stream_async_std::Statement("echo"), pg_stream_async_std::Portal::UNNAMED)
                    .execute((&kilobyte,));
            }
            conn.sync().flush().await.expect("sent");
            let mut rows = 0;
            loop {
                match conn.recv().await.expect("a message").backend().expect("well-formed") {
                    Backend::DataRow(_) => rows += 1,
                    Backend::ErrorResponse(error) => panic!("{error}"),
                    Backend::ReadyForQuery(_) => break,
                    _ => {}
                }
            }
            assert_eq!(rows, STATEMENTS);
            conn.terminate().close().await.expect("closed");
        });
    }
}
