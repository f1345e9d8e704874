//! Tests of TLS with native-tls. Client and server run in one process.

mod certificates;
mod stream;

use std::future::Future;
use std::num::NonZeroU32;
use std::time::Duration;

use async_net::{TcpListener, TcpStream};
use async_std::task::{JoinHandle, block_on, spawn};
use futures_lite::future::or;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use pg_stream_async_std::native_tls::NativeTlsAcceptor;
use pg_stream_async_std::pg_auth::config::{BindingMode, RootCert, SslCertMode, SslNegotiation, TlsVersion};
use pg_stream_async_std::pg_auth::scram::Verifier;
use pg_stream_async_std::pg_auth::tls::TlsError;
use pg_stream_async_std::{
    Accepted, Acceptor, Config, ConnectError, ConnectErrorKind, ConnectionBuilder, Credentials, Host, Link,
    Session, SslMode, Startup, Upgraded, cancel, connect, welcome,
};

use certificates::Certificates;

/// Time limit of a test. A test that never ends fails at this limit.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(test: impl Future<Output = ()>) {
    let late = async {
        async_io::Timer::after(PATIENCE).await;
        panic!("the test has exceeded its time limit");
    };
    block_on(or(test, late));
}

/// A server that accepts every user with the password "secret". Dropping the `Server` stops the server.
struct Server {
    port: u16,
    task: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            block_on(task.cancel());
        }
    }
}

impl Server {
    async fn start(tls: Option<NativeTlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let task = spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(serve(stream, tls.clone()));
            }
        });
        Self { port, task: Some(task) }
    }

    fn config(&self) -> Config {
        Config::new("me").password("secret").host(Host::new("localhost", self.port))
    }
}

async fn serve(stream: TcpStream, tls: Option<NativeTlsAcceptor>) -> Result<(), ConnectError> {
    let lookup = async |_: Startup| {
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
                let key = pg_stream_async_std::CancelKey::new(7, b"key!");
                welcome([("server_version", "18.0")], Some(&key), conn.outbox_mut());
                conn.flush().await?;
                let _ = conn.recv().await;
            }
        }
    }
    Ok(())
}

/// Connects, and returns the session. Panics if the connection fails. Also checks that the future of `connect` is `Send`.
async fn session(config: &Config) -> Session {
    fn is_send<F: Future + Send>(future: F) -> F {
        future
    }
    match is_send(connect(config)).await {
        Ok((_, session)) => session,
        Err(error) => panic!("{error}"),
    }
}

/// Connects, and returns the error. Panics if the connection succeeds.
async fn rejection(config: &Config) -> ConnectError {
    connect(config).await.map(|(_, session)| session).expect_err("the connection must not succeed")
}

#[test]
fn every_sslmode_uses_tls_if_the_mode_allows() {
    run(async {
        let made = Certificates::new();
        let with = Server::start(Some(made.acceptor("server"))).await;
        let without = Server::start(None).await;
        for mode in SslMode::ALL.iter().copied() {
            let demands = matches!(mode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull);
            let config = |server: &Server| {
                let mut config = server.config().sslmode(mode);
                config.tls.root = demands.then(|| RootCert::File(made.file("root")));
                config
            };
            let secured = session(&config(&with)).await.tls.is_some();
            assert_eq!(secured, demands || mode == SslMode::Prefer, "{mode}");
            if demands {
                let error = rejection(&config(&without)).await;
                assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Refused)), "{mode}: {error}");
            } else {
                assert_eq!(session(&config(&without)).await.tls, None, "{mode}");
            }
        }
    });
}

#[test]
fn scram_is_bound_to_the_channel() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        let mut config = server.config().sslmode(SslMode::VerifyFull).channel_binding(BindingMode::Require);
        config.tls.root = Some(RootCert::File(made.file("root")));
        config.tls.min_version = Some(TlsVersion::V1_2);
        config.tls.max_version = Some(TlsVersion::V1_2);
        let session = session(&config).await;
        assert!(session.channel_bound);
        let tls = session.tls.expect("the session uses TLS");
        assert_eq!(tls.certificate.as_deref(), Some(made.server_der()));
        assert!(tls.verified);
    });
}

#[test]
fn a_certificate_that_is_not_trusted_is_rejected_with_its_reason() {
    run(async {
        let made = Certificates::new();
        for (certificate, host, mode, problem) in [
            ("server", "localhost", SslMode::VerifyFull, None),
            ("server", "127.0.0.1", SslMode::VerifyFull, Some("another name than \"127.0.0.1\"")),
            ("server", "127.0.0.1", SslMode::VerifyCa, None),
            ("server", "127.0.0.1", SslMode::Require, None),
            ("stranger", "localhost", SslMode::VerifyFull, Some("no trusted authority")),
            ("stranger", "localhost", SslMode::VerifyCa, Some("no trusted authority")),
            ("stranger", "localhost", SslMode::Require, Some("no trusted authority")),
            ("expired", "localhost", SslMode::VerifyFull, Some("expired")),
            ("expired", "localhost", SslMode::VerifyCa, Some("expired")),
            ("self-signed", "localhost", SslMode::VerifyFull, Some("no trusted authority")),
        ] {
            let server = Server::start(Some(made.acceptor(certificate))).await;
            let mut config = server.config().sslmode(mode);
            config.hosts = vec![Host::new(host, server.port)];
            config.tls.root = Some(RootCert::File(made.file("root")));
            match problem {
                None => drop(session(&config).await),
                Some(problem) => {
                    let error = rejection(&config).await.to_string();
                    assert!(error.contains(problem) && error.contains(host), "{certificate} {mode}: {error}");
                }
            }
        }
    });
}

#[test]
fn a_self_signed_certificate_is_trusted_if_it_is_the_root_certificate() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("self-signed"))).await;
        let mut config = server.config().sslmode(SslMode::VerifyFull);
        config.tls.root = Some(RootCert::File(made.file("self-signed")));
        session(&config).await;
        config.hosts = vec![Host::new("127.0.0.1", server.port)];
        let error = rejection(&config).await.to_string();
        assert!(error.contains("127.0.0.1"), "{error}");
    });
}

/// Environment variable with the port of the server, for the second process of the next test.
const PORT: &str = "PG_STREAM_TEST_PORT";

#[test]
fn certificates_of_the_system_are_trusted_only_without_a_root_file() {
    if let Ok(port) = std::env::var(PORT) {
        return run(trusting_system(port.parse().expect("a number")));
    }
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        for (root, succeeds) in [("root", true), ("self-signed", false)] {
            // The test starts a second process, because OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` only once in a process. These
            // variables name the certificates that count as the system's trusted certificates.
            let mut second = std::process::Command::new(std::env::current_exe().expect("this program"));
            second.args(["--exact", "certificates_of_the_system_are_trusted_only_without_a_root_file"]);
            second.env("SSL_CERT_FILE", made.file(root)).env("SSL_CERT_DIR", made.file("none"));
            second.env(PORT, server.port.to_string()).env("ROOT_FILE", made.file("self-signed"));
            second.env("SUCCEEDS", succeeds.to_string());
            let output = blocking::unblock(move || second.output()).await.expect("this program runs");
            assert!(output.status.success(), "{root}: {}", String::from_utf8_lossy(&output.stdout));
        }
    });
}

/// Runs in the second process. Connects, and checks that the connection succeeds or fails as the first process expects. `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name the certificates that count as the system's trusted certificates.
async fn trusting_system(port: u16) {
    let succeeds = std::env::var("SUCCEEDS").expect("set by the first process") == "true";
    let config = Config::new("me").password("secret").host(Host::new("localhost", port));
    let mut config = config.sslmode(SslMode::VerifyFull);
    for root in [None, Some(RootCert::System)] {
        config.tls.root = root;
        match succeeds {
            true => drop(session(&config).await),
            false => {
                let error = rejection(&config).await.to_string();
                assert!(error.contains("no trusted authority"), "{error}");
            }
        }
    }
    config.tls.root =
        Some(RootCert::File(std::env::var("ROOT_FILE").expect("set by the first process").into()));
    let error = rejection(&config).await.to_string();
    assert!(error.contains("no trusted authority"), "{error}");
}

#[test]
fn sslmode_require_accepts_any_certificate_without_a_root_certificate() {
    run(async {
        let made = Certificates::new();
        for certificate in ["stranger", "expired", "self-signed"] {
            let server = Server::start(Some(made.acceptor(certificate))).await;
            let session = session(&server.config().sslmode(SslMode::Require)).await;
            assert!(session.channel_bound, "the channel is bound with the certificate, trusted or not");
            assert!(!session.tls.expect("the session uses TLS").verified);
        }
    });
}

#[test]
fn every_form_of_client_key_is_read() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        for (key, password, problem) in [
            ("pkcs8", None, None),
            ("sec1", None, None),
            ("encrypted", Some("letmein"), None),
            ("encrypted", None, Some("sslpassword")),
            ("encrypted", Some("wrong"), Some("cannot be decrypted")),
            ("legacy", Some("letmein"), Some("openssl pkcs8 -topk8")),
            ("open", None, Some("0600")),
            ("missing", None, Some("cannot be read")),
            ("client", None, Some("holds no key")),
            ("other-key", None, Some("key values mismatch")),
        ] {
            let mut config = server.config().sslmode(SslMode::Require);
            config.tls.cert = Some(made.file("client"));
            config.tls.key = Some(made.file(key));
            config.tls.key_password = password.map(Into::into);
            match problem {
                None => drop(session(&config).await),
                Some(problem) => {
                    let error = rejection(&config).await.to_string();
                    assert!(error.contains(problem), "{key}: {error}");
                    assert!(!error.contains("letmein"), "{error}");
                    // With `SslCertMode::Disable`, the client sends no certificate and reads no certificate file.
                    config.tls.cert_mode = SslCertMode::Disable;
                    session(&config).await;
                }
            }
        }
        let mut config = server.config().sslmode(SslMode::Require);
        config.tls.cert = Some(made.file("client"));
        let error = rejection(&config).await.to_string();
        assert!(error.contains("sslkey"), "{error}");
    });
}

#[test]
fn a_root_file_that_cannot_be_used_is_an_error_in_every_mode() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        for (file, problem) in [
            ("missing", "cannot be read"),
            ("nonsense", "holds no certificate"),
            ("pkcs8", "contains no item"),
        ] {
            for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
                let mut config = server.config().sslmode(mode);
                config.tls.root = Some(RootCert::File(made.file(file)));
                let error = rejection(&config).await.to_string();
                assert!(error.contains(problem), "{file} {mode}: {error}");
            }
        }
    });
}

#[test]
fn an_unsupported_setting_is_an_error_that_names_the_setting() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        let verified = || {
            let mut config = server.config().sslmode(SslMode::VerifyFull);
            config.tls.root = Some(RootCert::File(made.file("root")));
            config
        };
        let mut direct = verified();
        direct.sslnegotiation = SslNegotiation::Direct;
        let mut list = verified();
        list.tls.crl = Some(made.file("crl"));
        let mut lists = verified();
        lists.tls.crl_dir = Some(made.file("crls"));
        let mut log = verified();
        log.tls.key_log = Some(made.file("log"));
        let mut asked = verified();
        asked.tls.cert_mode = SslCertMode::Require;
        for (config, setting) in [
            (direct, "sslnegotiation=direct"),
            (list, "sslcrl"),
            (lists, "sslcrldir"),
            (log, "sslkeylogfile"),
            (asked, "sslcertmode=require"),
        ] {
            let error = rejection(&config).await.to_string();
            assert!(error.contains(&format!("{setting} is not supported with native-tls")), "{error}");
        }
        assert!(!made.file("log").exists());
        // Without verification of the certificate, the revocation list has no effect, so the setting is no error. libpq also ignores the
        // list in this case.
        let mut unverified = server.config().sslmode(SslMode::Require);
        unverified.tls.crl = Some(made.file("crl"));
        session(&unverified).await;
    });
}

#[test]
fn the_handshake_fails_without_a_common_tls_version() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        let mut config = server.config().sslmode(SslMode::Require);
        config.tls.min_version = Some(TlsVersion::V1_0);
        config.tls.max_version = Some(TlsVersion::V1_1);
        let error = rejection(&config).await;
        assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_))), "{error}");
    });
}

#[test]
fn a_client_that_begins_with_tls_directly_is_rejected() {
    run(async {
        let made = Certificates::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the socket is bound");
        let served = spawn({
            let acceptor = made.acceptor("server");
            async move { serve(listener.accept().await.expect("a client").0, Some(acceptor)).await }
        });
        let stream = TcpStream::connect(address).await.expect("the server listens");
        let connector = async_native_tls::TlsConnector::new()
            .danger_accept_invalid_certs(true)
            .request_alpns(&["postgresql"]);
        let mut stream = connector.connect("localhost", stream).await.expect("a handshake");
        let error = served.await.expect_err("the library does not report the protocol of ALPN");
        assert!(matches!(error.kind(), ConnectErrorKind::Tls(TlsError::Alpn(None))), "{error}");
        let read = stream.read(&mut [0; 1]).await;
        assert!(!matches!(read, Ok(1..)), "{read:?}");
    });
}

#[test]
fn a_closure_can_upgrade_the_callers_own_stream_to_tls() {
    run(async {
        let made = Certificates::new();
        let server = Server::start(Some(made.acceptor("server"))).await;
        let stream = TcpStream::connect(("127.0.0.1", server.port)).await.expect("the server listens");
        let builder = ConnectionBuilder::from(server.config().channel_binding(BindingMode::Require));
        let connected = builder.connect_with_tls(stream, async |stream| {
            let connector = async_native_tls::TlsConnector::new().danger_accept_invalid_certs(true);
            let stream = connector.connect("localhost", stream).await.map_err(std::io::Error::other)?;
            let certificate = stream
                .peer_certificate()
                .map_err(std::io::Error::other)?
                .expect("the server has a certificate");
            let certificate = certificate.to_der().map_err(std::io::Error::other)?;
            Ok(Upgraded::new(stream).certificate(certificate))
        });
        let (mut conn, session) = connected.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(session.channel_bound);
        conn.close().await.expect("the server accepts the close");
    });
}

#[test]
fn a_cancel_request_is_sent_over_tls_to_the_same_address() {
    run(async {
        let made = Certificates::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("the socket is bound").port();
        let acceptor = made.acceptor("server");
        let served = spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let session = spawn(serve(stream, Some(acceptor.clone())));
            let (stream, _) = listener.accept().await.expect("a cancel request");
            let upgrade = async |stream| acceptor.accept(stream).await;
            let lookup = async |_: Startup| Credentials::Reject;
            let accepted = Acceptor::new().accept_with_tls(stream, upgrade, lookup).await;
            session.cancel().await;
            let (conn, accepted) = accepted.unwrap_or_else(|error| panic!("{error}"));
            (conn.transport().link(), accepted)
        });
        let mut config = Config::new("me").password("secret").sslmode(SslMode::VerifyFull);
        config.hosts = vec![Host::new("localhost", port)];
        config.tls.root = Some(RootCert::File(made.file("root")));
        let (_conn, session) = connect(&config).await.unwrap_or_else(|error| panic!("{error}"));
        let target = session.cancel_target().expect("the server gave a key");
        assert_eq!(target.link, Link::Tls);
        cancel(&config, &target).await.unwrap_or_else(|error| panic!("{error}"));
        let (link, accepted) = served.await;
        assert_eq!(link, Link::Tls);
        assert!(matches!(accepted, Accepted::Cancel(key) if key == target.key));
    });
}

/// Returns the error of a client whose server answers the SSLRequest with `answer`. If `closes` is true, the server then closes the
/// connection. Otherwise the server waits until the client closes the connection.
async fn misbehaving(answer: &'static [u8], closes: bool, timeout: Option<Duration>) -> ConnectError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("the socket is bound").port();
    let served = spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.expect("an SSLRequest");
        stream.write_all(answer).await.expect("sent");
        let mut rest = Vec::new();
        if !closes {
            // Wait until the client closes or resets the connection.
            let _ = stream.read_to_end(&mut rest).await;
        }
    });
    let mut config = Config::new("me").host(Host::new("127.0.0.1", port)).sslmode(SslMode::Require);
    config.connect_timeout = timeout;
    let error = rejection(&config).await;
    served.await;
    error
}

#[test]
fn a_server_that_accepts_tls_but_sends_other_bytes_is_an_error() {
    run(async {
        let http = misbehaving(b"SHTTP/1.1 400 Bad Request\r\n\r\n", false, None).await;
        assert!(matches!(http.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_))), "{http}");
        assert!(http.to_string().contains("not TLS"), "{http}");
        let injected = misbehaving(b"SZ\0\0\0\x05I", false, None).await;
        assert!(matches!(injected.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_))), "{injected}");
        let closed = misbehaving(b"S", true, None).await;
        assert!(matches!(closed.kind(), ConnectErrorKind::Tls(TlsError::Handshake(_))), "{closed}");
        let silent = misbehaving(b"S", false, Some(Duration::from_millis(50))).await;
        assert!(matches!(silent.kind(), ConnectErrorKind::Timeout(_)), "{silent}");
    });
}
