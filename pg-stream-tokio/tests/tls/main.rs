//! Tests of TLS with rustls. Client and server run in one process.

mod certificates;

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use pg_stream_tokio::pg_auth::config::{BindingMode, RootCert, SslCertMode, SslNegotiation, TlsVersion};
use pg_stream_tokio::pg_auth::error::PolicyError;
use pg_stream_tokio::pg_auth::scram::Verifier;
use pg_stream_tokio::pg_auth::tls::TlsError;
use pg_stream_tokio::pg_auth::{AuthError, StoredPassword};
use pg_stream_tokio::rustls::RustlsAcceptor;
use pg_stream_tokio::{
    Accepted, Acceptor, Config, ConnectError, ConnectErrorKind, ConnectionBuilder, Credentials, Host, Link,
    Session, SslMode, Startup, Upgraded, cancel, connect, welcome,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use certificates::Certificates;

/// Time limit of a test. A test that hangs fails at this limit.
const PATIENCE: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, test).await.expect("the test ends within its time limit")
    });
}

/// A server that accepts every user with the password "secret".
struct Server {
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(tls: Option<RustlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone()));
            }
        });
        Self { port, task }
    }

    fn config(&self) -> Config {
        Config::new("me").password("secret").host(Host::new("localhost", self.port))
    }
}

async fn serve(stream: TcpStream, tls: Option<RustlsAcceptor>) -> Result<(), ConnectError> {
    let lookup = async |startup: Startup| {
        if startup.user() == "cleartext" {
            return Credentials::Cleartext(StoredPassword::Plain("secret".into()));
        }
        let salt = b"a salt of 16 byt".to_vec();
        Credentials::Scram(Verifier::new(&"secret".into(), salt, NonZeroU32::MIN))
    };
    let acceptor = Acceptor::new();
    match tls {
        None => {
            let (mut conn, _) = acceptor.accept(stream, lookup).await?;
            welcome([("server_version", "18.0")], None, conn.outbox_mut());
            conn.flush().await?;
            let _ = conn.recv().await;
        }
        Some(tls) => {
            let upgrade = async |stream| tls.accept(stream).await;
            let (mut conn, accepted) = acceptor.accept_with_tls(stream, upgrade, lookup).await?;
            if let Accepted::Login(_) = accepted {
                let key = pg_stream_tokio::CancelKey::new(7, b"key!");
                welcome([("server_version", "18.0")], Some(&key), conn.outbox_mut());
                conn.flush().await?;
                let _ = conn.recv().await;
            }
        }
    }
    Ok(())
}

/// Connects, and returns the session. Fails if connecting fails.
async fn session(config: &Config) -> Session {
    match connect(config).await {
        Ok((_, session)) => session,
        Err(error) => panic!("{error}"),
    }
}

/// Connects, and returns the error. Fails if connecting succeeds.
async fn refusal(config: &Config) -> ConnectError {
    connect(config).await.map(|(_, session)| session).expect_err("the connection must not be made")
}

#[test]
fn every_sslmode_uses_tls_or_not_as_in_libpq() {
    run(async {
        let made = Certificates::new();
        let with = Server::start(Some(made.acceptor())).await;
        let without = Server::start(None).await;
        for mode in [
            SslMode::Disable,
            SslMode::Allow,
            SslMode::Prefer,
            SslMode::Require,
            SslMode::VerifyCa,
            SslMode::VerifyFull,
        ] {
            let demands = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
            let config = |server: &Server| {
                let mut config = server.config().sslmode(mode);
                config.tls.root = demands.then(|| RootCert::File(made.root()));
                config
            };
            let secured = session(&config(&with)).await.tls.is_some();
            assert_eq!(secured, demands || mode == SslMode::Prefer, "{mode}");
            if demands {
                let error = refusal(&config(&without)).await;
                assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Refused)), "{mode}: {error}");
            } else {
                assert_eq!(session(&config(&without)).await.tls, None, "{mode}");
            }
        }
    });
}

#[test]
fn scram_is_bound_to_the_channel_in_both_negotiations_and_versions() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor())).await;
        for negotiation in [SslNegotiation::Postgres, SslNegotiation::Direct] {
            for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
                let mut config = server
                    .config()
                    .sslmode(SslMode::VerifyFull)
                    .sslnegotiation(negotiation)
                    .channel_binding(BindingMode::Require);
                config.tls.root = Some(RootCert::File(made.root()));
                config.tls.min_version = Some(version);
                config.tls.max_version = Some(version);
                let session = session(&config).await;
                assert!(session.channel_bound, "{negotiation} {version}");
                let tls = session.tls.expect("the session uses TLS");
                assert_eq!((tls.version, tls.alpn.as_deref()), (Some(version), Some(&b"postgresql"[..])));
                assert_eq!(tls.certificate.as_deref(), Some(made.server_der()));
            }
        }
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_rejected_with_its_reason() {
    run(async {
        let made = Certificates::new();
        let cases: [(RustlsAcceptor, &str, SslMode, Option<&str>); 8] = [
            (made.acceptor(), "localhost", SslMode::VerifyFull, None),
            (
                made.acceptor(),
                "127.0.0.1",
                SslMode::VerifyFull,
                Some("for \"localhost\", not for \"127.0.0.1\""),
            ),
            (made.acceptor(), "127.0.0.1", SslMode::VerifyCa, None),
            (made.stranger(), "localhost", SslMode::VerifyCa, Some("no trusted authority")),
            (made.stranger(), "localhost", SslMode::Require, Some("no trusted authority")),
            (made.expired(), "localhost", SslMode::VerifyFull, Some("expired")),
            (made.self_signed(), "localhost", SslMode::VerifyFull, Some("belongs to an authority")),
            (made.revoked(), "localhost", SslMode::VerifyFull, Some("revoked")),
        ];
        for (at, (acceptor, host, mode, problem)) in cases.into_iter().enumerate() {
            let server = Server::start(Some(acceptor)).await;
            let mut config = server.config().sslmode(mode);
            config.hosts = vec![Host::new(host, server.port)];
            config.tls.root = Some(RootCert::File(made.root()));
            config.tls.crl = Some(made.crl());
            match problem {
                None => drop(session(&config).await),
                Some(problem) => {
                    let error = refusal(&config).await.to_string();
                    assert!(error.contains(problem) && error.contains(host), "case {at}: {error}");
                }
            }
        }
    });
}

#[test]
fn a_self_signed_certificate_is_trusted_if_it_is_in_sslrootcert() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.self_signed())).await;
        let mut config = server.config().sslmode(SslMode::VerifyFull);
        config.tls.root = Some(RootCert::File(made.self_signed_file()));
        session(&config).await;
        config.hosts = vec![Host::new("127.0.0.1", server.port)];
        let error = refusal(&config).await.to_string();
        assert!(error.contains("127.0.0.1"), "{error}");
    });
}

#[test]
fn without_a_root_certificate_require_accepts_any_certificate() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.stranger())).await;
        let session = session(&server.config().sslmode(SslMode::Require)).await;
        assert!(session.channel_bound, "SCRAM binds to the certificate, trusted or not");
    });
}

#[test]
fn every_form_of_client_key_is_read() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor_for_clients())).await;
        for (key, password, problem) in [
            ("pkcs8", None, None),
            ("sec1", None, None),
            ("encrypted", Some("letmein"), None),
            ("encrypted", None, Some("sslpassword")),
            ("encrypted", Some("wrong"), Some("cannot be decrypted")),
            ("legacy", Some("letmein"), Some("openssl pkcs8 -topk8")),
            ("open", None, Some("0600")),
            ("missing", None, Some("cannot be read")),
            ("certificate", None, Some("holds no key")),
        ] {
            let mut config = server.config().sslmode(SslMode::Require);
            config.tls.cert = Some(made.client());
            config.tls.key = Some(made.client_key(key));
            config.tls.key_password = password.map(Into::into);
            config.tls.cert_mode = SslCertMode::Require;
            match problem {
                None => drop(session(&config).await),
                Some(problem) => {
                    let error = refusal(&config).await.to_string();
                    assert!(error.contains(problem), "{key}: {error}");
                    assert!(!error.contains("letmein"), "{error}");
                }
            }
        }
    });
}

#[test]
fn sslcertmode_require_rejects_a_server_that_requests_no_client_certificate() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor())).await;
        let mut config = server.config().sslmode(SslMode::Require);
        config.tls.cert = Some(made.client());
        config.tls.key = Some(made.client_key("pkcs8"));
        session(&config).await;
        config.tls.cert_mode = SslCertMode::Require;
        let error = refusal(&config).await.to_string();
        assert!(error.contains("sslcertmode=require"), "{error}");
    });
}

#[test]
fn a_version_that_rustls_does_not_support_is_an_error() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor())).await;
        let mut config = server.config().sslmode(SslMode::Require);
        config.tls.min_version = Some(TlsVersion::V1_0);
        config.tls.max_version = Some(TlsVersion::V1_1);
        let error = refusal(&config).await.to_string();
        assert!(error.contains("TLSv1 to TLSv1.1"), "{error}");
    });
}

#[test]
fn an_unusable_tls_setting_is_an_error_and_not_a_session_in_clear() {
    run(async {
        let made = Certificates::new();
        for server in [Server::start(Some(made.acceptor())).await, Server::start(None).await] {
            let prefer = || server.config().sslmode(SslMode::Prefer);
            let demands_tls = session(&prefer()).await.tls.is_some();
            let mut no_file = prefer();
            no_file.tls.root = Some(RootCert::File("/nonexistent/root.crt".into()));
            let mut no_key = prefer();
            no_key.tls.cert = Some(made.client());
            let mut directory = prefer();
            directory.tls.root = Some(RootCert::File(std::env::temp_dir()));
            let mut too_old = prefer();
            too_old.tls.min_version = Some(TlsVersion::V1_0);
            too_old.tls.max_version = Some(TlsVersion::V1_1);
            for config in [no_file, no_key, directory, too_old] {
                // If the server has no TLS, the client does not use the TLS settings, and logs in without TLS.
                if demands_tls {
                    let error = refusal(&config).await;
                    assert!(matches!(error.kind(), ConnectErrorKind::Tls(_)), "{error}");
                    assert!(error.earlier().is_empty(), "{error}");
                } else {
                    session(&config).await;
                }
            }
        }
    });
}

#[test]
fn a_clear_text_password_is_sent_through_tls_instead_of_in_clear() {
    run(async {
        let made = Certificates::new();
        let config = |server: &Server| {
            let config = Config::new("cleartext").password("secret").sslmode(SslMode::Allow);
            config.host(Host::new("localhost", server.port))
        };
        let with = Server::start(Some(made.acceptor())).await;
        assert!(session(&config(&with)).await.tls.is_some());

        let without = Server::start(None).await;
        let error = refusal(&config(&without)).await;
        assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Refused)), "{error}");
        let first = error.earlier().first().and_then(ConnectError::auth_error);
        let policy = AuthError::Policy(PolicyError::CleartextPassword);
        assert!(first == Some(&policy), "{error:?}");
    });
}

#[test]
fn the_callers_own_stream_can_be_upgraded_by_a_closure() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor())).await;
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("the server listens");
        let config = server.config().channel_binding(BindingMode::Require);
        let connector = made.connector();
        let builder = ConnectionBuilder::from(config);
        let connected = builder.connect_with_tls(stream, async |stream| {
            let name = "localhost".try_into().expect("a name");
            let stream = connector.connect(name, stream).await?;
            let certificate = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
            Ok(Upgraded::new(stream).certificate(certificate.unwrap_or_default()))
        });
        let (mut conn, session) = connected.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(session.channel_bound);
        conn.close().await.expect("the server is there");
        let (_reader, _writer) = conn.split();

        let plain = Server::start(None).await;
        let stream = TcpStream::connect(("127.0.0.1", plain.port)).await.expect("the server listens");
        let refused = builder.connect_with_tls(stream, async |stream| Ok(Upgraded::new(stream))).await;
        let error = refused.map(|_| ()).expect_err("the server has no TLS");
        assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Refused)), "{error}");
    });
}

#[test]
fn a_cancel_request_is_sent_through_tls_to_the_same_address() {
    run(async {
        let made = Certificates::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let acceptor = made.acceptor();
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let session = tokio::spawn(serve(stream, Some(acceptor.clone())));
            let (stream, _) = listener.accept().await.expect("a cancel request");
            let upgrade = async |stream| acceptor.accept(stream).await;
            let lookup = async |_: Startup| Credentials::Reject;
            let accepted = Acceptor::new().accept_with_tls(stream, upgrade, lookup).await;
            session.abort();
            let (conn, accepted) = accepted.unwrap_or_else(|error| panic!("{error}"));
            (conn.transport().link(), accepted)
        });
        let mut config = Config::new("me").password("secret").sslmode(SslMode::VerifyFull);
        config.hosts = vec![Host::new("localhost", port)];
        config.tls.root = Some(RootCert::File(made.root()));
        let (_conn, session) = connect(&config).await.unwrap_or_else(|error| panic!("{error}"));
        let target = session.cancel_target().expect("the server gave a key");
        assert_eq!(target.link, Link::Tls);
        cancel(&config, &target).await.unwrap_or_else(|error| panic!("{error}"));
        let (link, accepted) = served.await.expect("no panic");
        assert_eq!(link, Link::Tls);
        assert!(matches!(accepted, Accepted::Cancel(key) if key == target.key));
    });
}
