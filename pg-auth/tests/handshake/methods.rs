//! Tests of each authentication method, from the first message to the session. Also tests the cases in which a method must not be used.

use pg_auth::config::{AuthMethod, BindingMode, RequireAuth, SslMode};
use pg_auth::error::{PeerError, PolicyError};
use pg_auth::scram::OfferedBinding;
use pg_auth::{Handshake, Link, Password};
use pg_wire::backend::Authentication as Auth;
use pg_wire::frontend::ProtocolVersion;
use pg_wire::{MessageCode, codec::Secret};

use crate::support::*;

/// The MD5 response for the user `user`, [`PASSWORD`] and the salt 1 2 3 4, computed by Python's `hashlib`.
const MD5: &str = "md54376eb6913b38f9aaff38dc7cf19ca76";
const MD5_REQUEST: Auth<'_> = Auth::Md5Password { salt: [1, 2, 3, 4] };

#[test]
fn the_start_up_message_contains_the_parameters_of_the_configuration() {
    let config = user().database("shop").application_name("till").with_parameter("_pq_.x", "");
    Talk::new(&config, Link::Tcp).client_bytes(
        b"\0\0\0\x3f\0\x03\0\0user\0user\0database\0shop\0application_name\0till\0_pq_.x\0\0\0",
    );
}

#[test]
fn a_server_with_trust_requests_no_credentials() {
    for config in [user(), with_password()] {
        let talk = Talk::new(&config, Link::Tcp)
            .client_bytes(STARTUP)
            .server(&Auth::Ok)
            .server(&parameter("server_version", "18.0"))
            .server(&KEY)
            .server(&READY);
        assert_eq!(
            talk.trace(),
            "B\t8\tAuthenticationOk\n\
             B\t24\tParameterStatus\t \"server_version\" \"18.0\"\n\
             B\t12\tBackendKeyData\t 4711 'BBBB'\n\
             B\t5\tReadyForQuery\t I"
        );
        let session = talk.session();
        assert_eq!(session.auth_method, AuthMethod::None);
        assert_eq!(session.version, ProtocolVersion::V3_0);
        assert_eq!(session.parameters.get("server_version"), Some("18.0"));
        let request = encoded(&session.cancel_key.expect("a cancel key").request());
        assert_eq!(request, b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\x12\x67\xc0\xff\xee\x99");
    }
}

#[test]
fn a_clear_text_password_is_sent_over_safe_links_or_with_sslmode_disable() {
    for (link, sslmode) in [
        (Link::Unix, SslMode::Prefer),
        (Link::Unix, SslMode::VerifyFull),
        (Link::Tls, SslMode::Prefer),
        (Link::Tls, SslMode::Require),
        (Link::Tcp, SslMode::Disable),
    ] {
        let config = with_password().sslmode(sslmode);
        Talk::new(&config, link)
            .client_bytes(STARTUP)
            .server(&Auth::CleartextPassword)
            .client_bytes(b"p\0\0\0\x0bpencil\0")
            .lets_in(AuthMethod::Password);
    }
}

#[test]
fn a_clear_text_password_is_not_sent_over_tcp_at_the_servers_request() {
    for sslmode in [SslMode::Prefer, SslMode::Allow] {
        let config = with_password().sslmode(sslmode);
        Talk::new(&config, Link::Tcp)
            .client_bytes(STARTUP)
            .server(&Auth::CleartextPassword)
            .refused(PolicyError::CleartextPassword);
    }
}

#[test]
fn a_configuration_that_demands_tls_is_an_error_over_plain_tcp() {
    for sslmode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        let config = with_password().sslmode(sslmode);
        assert_eq!(Handshake::new(&config, Link::Tcp).err(), Some(PolicyError::TlsRequired.into()));
        // As in libpq, sslmode is ignored for Unix-domain sockets.
        assert!(Handshake::new(&config, Link::Unix).is_ok());
    }
}

#[test]
fn an_md5_response_is_computed_from_password_user_and_salt() {
    let config = with_password();
    let talk = Talk::new(&config, Link::Tcp).client_bytes(STARTUP).server(&MD5_REQUEST).client_password(MD5);
    assert_eq!(talk.trace(), "B\t12\tAuthenticationMD5Password\nF\t40\tPasswordMessage\t \"SSSS\"");
    talk.lets_in(AuthMethod::Md5);
}

#[test]
fn a_password_need_not_be_utf_8() {
    let config = user().password(Password::from(&b"p\xe4ss"[..]));
    Talk::new(&config, Link::Unix)
        .client_bytes(STARTUP)
        .server(&Auth::CleartextPassword)
        .client_bytes(b"p\0\0\0\x09p\xe4ss\0")
        .lets_in(AuthMethod::Password);
}

#[test]
fn without_a_password_or_with_an_empty_password_nothing_is_sent() {
    for config in [user(), user().password("")] {
        let talk = || Talk::new(&config, Link::Unix).client_bytes(STARTUP);
        talk().server(&Auth::CleartextPassword).refused(PolicyError::NoPassword);
        talk().server(&MD5_REQUEST).refused(PolicyError::NoPassword);
        talk().server_bytes(&sasl(&["SCRAM-SHA-256"])).refused(PolicyError::NoPassword);
    }
}

#[test]
fn the_error_for_an_unknown_request_contains_its_number() {
    let config = with_password();
    for (kind, request) in [
        (2, Auth::KerberosV5),
        (6, Auth::ScmCredential),
        (1, Auth::Unknown { kind: 1, data: Secret(b"") }),
        (4, Auth::Unknown { kind: 4, data: Secret(b"salt") }),
        (13, Auth::Unknown { kind: 13, data: Secret(b"?") }),
        (u32::MAX, Auth::Unknown { kind: u32::MAX, data: Secret(b"") }),
    ] {
        Talk::new(&config, Link::Tls)
            .client_bytes(STARTUP)
            .server(&request)
            .refused(PeerError::UnknownAuthentication(kind));
    }
}

#[test]
fn only_known_mechanisms_are_chosen() {
    let config = with_password();
    for mechanisms in [&[][..], &["SCRAM-SHA-1", "scram-sha-256", "SCRAM-SHA-256 "], &["SCRAM-SHA-256-PLUS"]]
    {
        Talk::new(&config, Link::Tls)
            .client_bytes(STARTUP)
            .server_bytes(&sasl(mechanisms))
            .refused(PeerError::NoMechanism);
    }
    Talk::new(&config, Link::Tls)
        .client_bytes(STARTUP)
        .server_bytes(&sasl(&["OAUTHBEARER", "SCRAM-SHA-512", "SCRAM-SHA-256"]))
        .server_proves(verifier(), OfferedBinding::NotOffered)
        .lets_in(AuthMethod::ScramSha256);
}

/// Sends the client the message with which a server begins to authenticate the user by this method.
fn asks(talk: Talk<'_>, method: AuthMethod) -> Talk<'_> {
    match method {
        AuthMethod::None => talk.server(&Auth::Ok),
        AuthMethod::Password => talk.server(&Auth::CleartextPassword),
        AuthMethod::Md5 => talk.server(&MD5_REQUEST),
        _ => talk.server_bytes(&sasl(&["SCRAM-SHA-256"])),
    }
}

#[test]
fn a_forbidden_method_is_refused_before_anything_is_sent() {
    const METHODS: [AuthMethod; 4] =
        [AuthMethod::None, AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256];
    for used in METHODS {
        for named in METHODS {
            let only = with_password().require_auth(RequireAuth::only(&[named]));
            let except = with_password().require_auth(RequireAuth::except(&[named]));
            for (config, allowed) in [(only, used == named), (except, used != named)] {
                let talk = asks(Talk::new(&config, Link::Unix).client_bytes(STARTUP), used);
                if !allowed {
                    talk.refused(PolicyError::Method(used));
                    continue;
                }
                let session = match used {
                    AuthMethod::None => talk.server(&KEY).server(&READY).session(),
                    AuthMethod::Password => talk.client_password(PASSWORD).lets_in(used),
                    AuthMethod::Md5 => talk.client_password(MD5).lets_in(used),
                    _ => talk.server_proves(verifier(), OfferedBinding::NotOffered).lets_in(used),
                };
                assert_eq!(session.auth_method, used);
            }
        }
    }
}

#[test]
fn with_binding_required_no_method_without_binding_is_used() {
    let config = with_password().channel_binding(BindingMode::Require);
    for method in [AuthMethod::None, AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256] {
        let talk = Talk::with(&config, Link::Tls, |handshake| handshake.channel(vec![7; 32]));
        asks(talk.client_bytes(STARTUP), method).refused(PolicyError::ChannelBinding);
    }
}

#[test]
fn an_unknown_message_code_is_rejected() {
    let config = with_password();
    for code in [0, b'?', b'R' | 0x80] {
        let frame = pg_wire::Frame { code: MessageCode(code), body: b"" };
        Talk::new(&config, Link::Tls)
            .client_bytes(STARTUP)
            .server(&frame)
            .refused(unexpected("Unknown message", "a request for authentication"));
    }
}

/// Each kind of Authentication message, with its name in the manual.
fn kinds() -> [(&'static str, Auth<'static>); 7] {
    [
        ("AuthenticationOk", Auth::Ok),
        ("AuthenticationCleartextPassword", Auth::CleartextPassword),
        ("AuthenticationMD5Password", MD5_REQUEST),
        ("AuthenticationGSSContinue", Auth::GssContinue(Secret(b"token"))),
        ("AuthenticationSASL", Auth::Sasl(pg_wire::codec::Terminated::EMPTY)),
        ("AuthenticationSASLContinue", Auth::SaslContinue(Secret(b"r=x"))),
        ("AuthenticationSASLFinal", Auth::SaslFinal(Secret(b"v=x"))),
    ]
}

#[test]
fn the_error_for_an_unexpected_message_names_it_and_the_expected_message() {
    let config = with_password();
    for (name, message) in kinds() {
        let talk = || Talk::new(&config, Link::Unix).client_bytes(STARTUP);
        if matches!(message, Auth::GssContinue(_) | Auth::SaslContinue(_) | Auth::SaslFinal(_)) {
            talk().server(&message).refused(unexpected(name, "a request for authentication"));
        }
        if !matches!(message, Auth::Ok) {
            let mut asked = talk().server(&Auth::CleartextPassword);
            asked.sent();
            asked.server(&message).refused(unexpected(name, "AuthenticationOk"));
            let proven = talk().server_bytes(&sasl(&["SCRAM-SHA-256"]));
            let proven = proven.server_proves(verifier(), OfferedBinding::NotOffered);
            proven.server(&message).refused(unexpected(name, "AuthenticationOk"));
        }
        if !matches!(message, Auth::Ok | Auth::SaslContinue(_)) {
            let mut begun = talk().server_bytes(&sasl(&["SCRAM-SHA-256"]));
            begun.sent();
            begun.server(&message).refused(unexpected(name, "AuthenticationSASLContinue"));
        }
        talk().server(&Auth::Ok).server(&message).refused(unexpected(name, "ReadyForQuery"));
    }
    let talk = Talk::new(&config, Link::Unix).client_bytes(STARTUP);
    talk.server(&Auth::SaslFinal(Secret(b"v=x")))
        .fails("the server sent AuthenticationSASLFinal where a request for authentication was expected");
}

/// Bytes that are buffered before the client has sent anything may have been injected before TLS began (CVE-2021-23222).
#[test]
fn bytes_before_the_clients_first_message_are_rejected() {
    let config = user();
    for early in [encoded(&Auth::Ok), b"R".to_vec(), encoded(&READY)] {
        let mut inbox = pg_wire::Inbox::new(pg_wire::Limits::BACKEND);
        let mut outbox = pg_wire::Outbox::new(1024);
        inbox.extend(&early);
        let mut handshake = Handshake::new(&config, Link::Tls).expect("a valid configuration");
        let error = handshake.step(&mut inbox, &mut outbox).expect_err("nothing was asked yet");
        assert_eq!(error, PeerError::Early.into());
        assert_eq!(outbox.batch(), b"");
    }
}
