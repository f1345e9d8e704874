//! Tests of logins with a client certificate.

use pg_auth::config::{AuthMethod, RequireAuth};
use pg_auth::error::{AuthError, ClientError};
use pg_auth::{CertificateUser, Config, Credentials, Link, TlsInfo};

use crate::support::*;

fn tls(certificate: Option<Vec<u8>>, verified: bool) -> TlsInfo {
    let mut tls = TlsInfo::default();
    (tls.certificate, tls.verified) = (certificate, verified);
    tls
}

fn login(user: &str, reported: Option<TlsInfo>, whose: &CertificateUser) -> Outcome {
    let config = Config::new(user).require_auth(RequireAuth::only(&[AuthMethod::None]));
    Pair::new(&config, Link::Tls)
        .server(|server| match reported {
            Some(tls) => server.tls(tls),
            None => server,
        })
        .run(|_| Credentials::Certificate(whose.clone()))
}

#[test]
fn the_owner_of_a_verified_certificate_logs_in() {
    let verified = || Some(tls(Some(certificate("two-names")), true));
    for (user, whose) in [
        ("alice", CertificateUser::Same),
        ("bob", CertificateUser::CommonName("alice".into())),
        ("bob", CertificateUser::Any),
    ] {
        let outcome = login(user, verified(), &whose);
        assert_eq!(outcome.client.expect("alice logs in").auth_method, AuthMethod::None);
        let login = outcome.server.expect("alice logs in");
        assert_eq!(login.startup.tls(), verified().as_ref());
    }
}

#[test]
fn other_users_are_rejected_with_postgresqls_errors() {
    let whose = [CertificateUser::Same, CertificateUser::CommonName("alice".into()), CertificateUser::Any];
    for whose in whose {
        for reported in [
            None,
            Some(tls(None, true)),
            Some(tls(None, false)),
            Some(tls(Some(certificate("two-names")), false)),
        ] {
            let outcome = login("alice", reported, &whose);
            assert_eq!(*outcome.reason(), ClientError::NoCertificate.into());
            assert_eq!(outcome.client_error(), "FATAL 28000: connection requires a valid client certificate");
        }
    }
    for (user, name, whose) in [
        ("bob", "two-names", CertificateUser::Same),
        ("second", "two-names", CertificateUser::Same),
        ("ali", "nul-in-name", CertificateUser::Same),
        ("alice", "nameless", CertificateUser::Same),
        ("alice", "two-names", CertificateUser::CommonName("bob".into())),
        ("alice", "nameless", CertificateUser::CommonName(String::new())),
    ] {
        let outcome = login(user, Some(tls(Some(certificate(name)), true)), &whose);
        assert!(matches!(outcome.reason(), AuthError::Denied | AuthError::Certificate(_)));
        assert_eq!(
            outcome.client_error(),
            format!("FATAL 28000: certificate authentication failed for user \"{user}\"")
        );
    }
}

#[test]
fn the_session_contains_the_facts_of_tls() {
    let config = Config::new("alice");
    let reported = tls(Some(certificate("ecdsa-sha256")), true);
    let outcome = Pair::new(&config, Link::Tls)
        .client(|client| client.tls(reported.clone()))
        .run(|_| Credentials::Trust);
    assert_eq!(outcome.client.expect("everybody is let in").tls, Some(reported));
}

#[test]
fn sslcertmode_require_demands_that_a_certificate_was_sent() {
    use pg_auth::config::{SslCertMode, TlsSettings};
    use pg_auth::error::PolicyError;
    use pg_auth::link::ClientCertificate::{NotRequested, NotSent, Sent};
    for (mode, fate, error) in [
        (SslCertMode::Require, Some(NotRequested), Some(PolicyError::ClientCertificate(NotRequested))),
        (SslCertMode::Require, Some(NotSent), Some(PolicyError::ClientCertificate(NotSent))),
        (SslCertMode::Require, Some(Sent), None),
        // If `fate` is `None`, the TLS layer does not know whether a certificate was sent. The login succeeds, because such a TLS layer
        // must itself enforce `SslCertMode::Require`.
        (SslCertMode::Require, None, None),
        (SslCertMode::Allow, Some(NotRequested), None),
        (SslCertMode::Disable, Some(NotSent), None),
    ] {
        let config = Config::new("alice").tls(TlsSettings::default().cert_mode(mode));
        let mut reported = TlsInfo::default();
        reported.client_certificate = fate;
        let outcome =
            Pair::new(&config, Link::Tls).client(|client| client.tls(reported)).run(|_| Credentials::Trust);
        assert_eq!(outcome.client.err(), error.map(AuthError::from));
    }
}
