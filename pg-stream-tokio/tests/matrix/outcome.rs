//! Outcome of a login, in the same words for psql and for this crate.

use std::fmt;

use pg_auth::connect::{ConnectError, ConnectErrorKind};
use pg_auth::error::{AuthError, ConfigError, PeerError, PolicyError, Refusal};
use pg_auth::tls::TlsError;

/// A query for the server's facts about the session: user, TLS version, certificate, GSSAPI principal and encryption.
pub(crate) const WHOAMI: &str = "select concat_ws('|', current_user, version, client_dn, principal, \
     case when encrypted then 'GSSAPI encryption' end) from pg_stat_ssl join pg_stat_gssapi using (pid) where pid = pg_backend_pid()";

/// Outcome of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The login succeeded, with this answer to [`WHOAMI`].
    LoggedIn(String),
    /// The login was rejected, with one refusal for each attempt, in order.
    Refused(Vec<Refused>),
}

/// Reason why an attempt to log in was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The server rejected the login with this error message.
    Server(String),
    /// The client ended the login for this reason, or the connection failed.
    Client(Reason),
}

/// Reason why a client ended the login: a short name, or the client's own text if the reason has no short name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason(String);

impl Outcome {
    /// Reads the outcome from the output of psql.
    pub(crate) fn of_psql(success: bool, text: &str) -> Self {
        if success {
            return Self::LoggedIn(text.trim_end().into());
        }
        let text = text.trim_end();
        let text = text.strip_prefix("psql: error: ").unwrap_or(text);
        let mut attempts = Vec::new();
        for line in text.lines() {
            match line.strip_prefix("connection to server ") {
                // This line is no error. libpq has received the address of the token issuer, and connects again.
                Some(attempt) if attempt.ends_with("retrying connection with new bearer token") => {}
                Some(attempt) => attempts.push(attempt.split_once(" failed: ").map_or(attempt, |it| it.1)),
                // If no attempt precedes the line, the line is an error that psql found before it connected. Otherwise the line continues
                // the error of the last attempt.
                None if attempts.is_empty() => attempts.push(line),
                None => {}
            }
        }
        Self::Refused(attempts.into_iter().map(Refused::of_psql).collect())
    }

    /// Reads the outcome from an error of this project.
    pub(crate) fn of_ours(error: &ConnectError) -> Self {
        let attempts = error.earlier().iter().chain([error]);
        Self::Refused(attempts.map(Refused::of_ours).collect())
    }

    /// Returns the outcome without names and messages, such as `logged in by TLS` or `server, then client (no password)`.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::LoggedIn(whoami) if whoami.contains("TLS") => "logged in by TLS".into(),
            Self::LoggedIn(whoami) if whoami.contains("GSSAPI encryption") => {
                "logged in by GSSAPI encryption".into()
            }
            Self::LoggedIn(_) => "logged in".into(),
            Self::Refused(attempts) => {
                let brief = |attempt: &Refused| match attempt {
                    Refused::Server(_) => "server".into(),
                    Refused::Client(reason) => format!("client ({})", reason.0),
                };
                attempts.iter().map(brief).collect::<Vec<_>>().join(", then ")
            }
        }
    }
}

impl Refused {
    fn of_psql(attempt: &str) -> Self {
        match attempt.strip_prefix("FATAL:  ") {
            Some(message) => Self::Server(message.into()),
            None => Self::Client(Reason::named(PSQL, attempt)),
        }
    }

    fn of_ours(error: &ConnectError) -> Self {
        if let Some(error) = error.auth_error().and_then(AuthError::server_error) {
            assert!(error.sqlstate().is_some(), "every server gives a SQLSTATE: {error}");
            let message = error.fields().message().map(|text| text.to_string_lossy().into_owned());
            return Self::Server(message.unwrap_or_default());
        }
        let name = match error.kind() {
            ConnectErrorKind::Tls(TlsError::Refused) => "no TLS",
            ConnectErrorKind::Auth(AuthError::Policy(policy)) => match policy {
                PolicyError::NoPassword => "no password",
                PolicyError::NoTokens => "no token",
                PolicyError::ChannelBinding => "no channel binding",
                PolicyError::Method(_) => "method not allowed",
                PolicyError::CleartextPassword => "clear-text password",
                PolicyError::TokenInClear => "token in clear",
                _ => "",
            },
            ConnectErrorKind::Auth(AuthError::Config(ConfigError::WeakSslMode { .. })) => "weak sslmode",
            ConnectErrorKind::Auth(AuthError::Peer(PeerError::TlsStripped)) => "TLS stripped",
            ConnectErrorKind::Auth(AuthError::Server(Refusal::Scram(_))) => "SCRAM error",
            _ => "",
        };
        if !name.is_empty() {
            return Self::Client(Reason(name.into()));
        }
        let mut text = error.kind().to_string();
        let mut source = error.auth_error().and_then(std::error::Error::source);
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        Self::Client(Reason::named(OURS, &text))
    }
}

/// Texts in the errors of libpq, each with the name of the reason.
const PSQL: &[(&str, &str)] = &[
    ("no password supplied", "no password"),
    ("no OAuth flows are available", "no token"),
    ("server does not support SSL", "no TLS"),
    ("certificate verify failed", "certificate not trusted"),
    ("does not match host name", "certificate of another name"),
    ("root certificate file", "no root certificate"),
    ("weak sslmode", "weak sslmode"),
    ("channel binding required", "no channel binding"),
    ("did not offer an authentication method that supports channel binding", "no channel binding"),
    ("method requirement", "method not allowed"),
    ("alert unknown ca", "alert unknown CA"),
    ("alert certificate expired", "alert certificate expired"),
    ("alert certificate revoked", "alert certificate revoked"),
    ("No Kerberos credentials available", "no ticket"),
    ("unexpected eof while reading", "connection closed"),
    ("server closed the connection unexpectedly", "connection closed"),
];

/// Texts in the errors of this project, each with the name of the reason.
const OURS: &[(&str, &str)] = &[
    ("no trusted authority (sslrootcert) has signed the certificate", "certificate not trusted"),
    ("no trusted authority (sslrootcert) has signed the certificate", "certificate not trusted"),
    ("the certificate is for", "certificate of another name"),
    ("the root certificate /nonexistent/root.crt cannot be read", "no root certificate"),
    ("no \"sslrootcert\" is given", "no root certificate"),
    // TLS alerts from the server. With TLS 1.2, such an alert arrives during the handshake; with TLS 1.3, it arrives after the handshake.
    ("UnknownCA", "alert unknown CA"),
    ("CertificateExpired", "alert certificate expired"),
    ("CertificateRevoked", "alert certificate revoked"),
    // The same alerts, as OpenSSL writes them.
    ("alert unknown ca", "alert unknown CA"),
    ("alert certificate expired", "alert certificate expired"),
    ("alert certificate revoked", "alert certificate revoked"),
    ("No Kerberos credentials available", "no ticket"),
    ("the peer closed the connection", "connection closed"),
];

impl Reason {
    fn named(names: &[(&str, &str)], text: &str) -> Self {
        let found = names.iter().find(|(words, _)| text.contains(words));
        Self(found.map_or(text, |(_, name)| name).into())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedIn(whoami) => write!(f, "logged in as {whoami}"),
            Self::Refused(attempts) => {
                let shown = attempts.iter().map(|attempt| match attempt {
                    Refused::Server(message) => format!("server: {message}"),
                    Refused::Client(reason) => format!("client: {}", reason.0),
                });
                f.write_str(&shown.collect::<Vec<_>>().join("; then "))
            }
        }
    }
}
