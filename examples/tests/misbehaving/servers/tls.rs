//! Servers at the start of TLS: the one-byte answer to the SSLRequest, the handshake, the certificate, ALPN.

use std::sync::Arc;

use pg_auth::config::{BindingMode, RootCert, SslCertMode, SslMode, SslNegotiation, TlsVersion};
use pg_stream_tokio::rustls::tokio_rustls::rustls::version::TLS12;
use pg_stream_tokio::rustls::tokio_rustls::rustls::{ALL_VERSIONS, ServerConfig};
use rcgen::Certificate;

use super::{Row, SESSION, answer, check, good, row, say};
use crate::certificates::made;
use crate::peer::{Act, Script};
use crate::wire::{OK, READY, cleartext, fatal, md5, sasl, welcome};

/// Script that answers the SSLRequest with these bytes.
fn replying(bytes: impl AsRef<[u8]>) -> Script {
    answer(bytes)
}

/// Script that accepts TLS, and presents this certificate.
fn secure(certificate: &Certificate) -> Script {
    upgraded(made().presenting(certificate))
}

fn upgraded(config: Arc<ServerConfig>) -> Script {
    vec![Act::Packet, say(b"S"), Act::Tls(config)]
}

/// Creates a row in which the client uses `sslmode=require`.
fn demanded(name: &str, script: Script, expected: &'static str) -> Row {
    row(name, script, expected).sslmode(SslMode::Require)
}

/// Creates a row in which the client uses `sslmode=prefer`.
fn preferred(name: &str, script: Script, expected: &'static str) -> Row {
    row(name, script, expected).sslmode(SslMode::Prefer)
}

/// Creates a row in which the client verifies the server's certificate.
fn verified(name: &str, certificate: &Certificate, expected: &'static str) -> Row {
    row(name, secure(certificate), expected).verifying()
}

/// Creates a row in which the client uses direct TLS.
fn direct(name: &str, script: Script, expected: &'static str) -> Row {
    row(name, script, expected)
        .verifying()
        .with(|config| config.sslnegotiation(SslNegotiation::Direct))
        .native("sslnegotiation=direct is not supported with native-tls")
}

/// Creates a row with TLS in which the client demands channel binding.
fn bound(name: &str, asked: impl AsRef<[u8]>, expected: &'static str) -> Row {
    let script = [secure(&made().server), answer(asked)].concat();
    row(name, script, expected).verifying().binding()
}

/// Expected error if the server sends bytes that are not a TLS handshake.
const NOT_TLS: &str = "the peer sent bytes that are not TLS";

#[test]
fn an_invalid_answer_to_the_request_for_tls_is_rejected() {
    let ends = |bytes: &[u8]| [replying(bytes), vec![Act::HalfClose]].concat();
    let resets = |bytes: &[u8]| [replying(bytes), vec![Act::Reset]].concat();
    check(&[
        demanded(
            "no answer, and the end",
            ends(b""),
            "closed the connection instead of answering the request for TLS",
        ),
        demanded(
            "no answer, and a reset",
            vec![Act::Packet, Act::Reset],
            "the connection failed before TLS began",
        ),
        demanded("no answer at all", vec![Act::Packet], "no session within the time limit of 0.2 s")
            .impatient(),
        demanded("N", replying(b"N"), "the server does not support TLS, but sslmode demands it"),
        demanded("N and a login after it", replying([b"N", &welcome()[..]].concat()), "does not support TLS"),
        demanded(
            "an ErrorResponse",
            replying(fatal("28000", "call 555-0100")),
            "answered the request for TLS with an error message",
        )
        .hides("555"),
        demanded("E alone", replying(b"E"), "with an error message, which is not shown"),
        demanded("HTTP", replying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "with 'H' instead of S or N"),
        demanded("G", replying(b"G"), "with 'G' instead of S or N"),
        demanded("a lower-case s", replying(b"s"), "with 's' instead of S or N"),
        demanded("a zero byte", replying(b"\0"), "with '\\x00' instead of S or N"),
        demanded("a terminal's escape", replying(b"\x1b[2J"), "with '\\x1b' instead of S or N"),
        demanded("AuthenticationOk", replying(welcome()), "with 'R' instead of S or N"),
        demanded(
            "TLS without an answer",
            replying(b"\x16\x03\x03\0\x02\0\0"),
            "with '\\x16' instead of S or N",
        ),
        demanded(
            "a flood",
            vec![Act::Packet, Act::Flood(vec![b'x'; 4096], 4096)],
            "with 'x' instead of S or N",
        ),
        demanded("S and the end", ends(b"S"), "closed the connection in the middle of the handshake"),
        demanded("S and a reset", resets(b"S"), "the TLS handshake failed"),
        demanded("S and silence", replying(b"S"), "no session within the time limit of 0.2 s").impatient(),
        demanded("S twice", ends(b"SS"), NOT_TLS)
            .native("closed the connection in the middle of the handshake"),
        demanded("S and N", ends(b"SN"), NOT_TLS)
            .native("closed the connection in the middle of the handshake"),
        demanded("S and a login in clear", replying([b"S", &welcome()[..]].concat()), NOT_TLS),
        demanded(
            "S and an error in clear",
            replying([b"S", &fatal("28000", "call 555-0100")[..]].concat()),
            NOT_TLS,
        )
        .hides("555"),
        demanded("S and HTTP", replying(b"SHTTP/1.1 200 OK\r\n\r\n"), NOT_TLS),
        demanded(
            "S and a flood in clear",
            vec![Act::Packet, say(b"S"), Act::Flood(vec![b'R'; 4096], 4096)],
            NOT_TLS,
        ),
        demanded("S and an alert", replying(b"S\x15\x03\x03\0\x02\x02\x28"), "HandshakeFailure")
            .native("handshake failure"),
        demanded("S and a record that is too long", replying(b"S\x16\x03\x03\xff\xff"), NOT_TLS)
            .native("the TLS handshake failed"),
        demanded(
            "S and a flood of empty records",
            vec![Act::Packet, say(b"S"), Act::Flood(b"\x16\x03\x03\0\0".to_vec(), 1 << 20)],
            NOT_TLS,
        )
        .native("the TLS handshake failed"),
        demanded(
            "S and a handshake message of 16 MB",
            ends(b"S\x16\x03\x03\0\x04\x02\xff\xff\xff"),
            "the TLS handshake failed",
        ),
        demanded(
            "S and half a ServerHello",
            ends(b"S\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03"),
            "closed the connection in the middle of the handshake",
        ),
    ]);
}

#[test]
fn a_client_that_prefers_tls_tries_again_in_clear() {
    let silent = || vec![Act::Packet, Act::HalfClose];
    check(&[
        preferred("the end, twice", silent(), "closed the connection during the login").again(silent()),
        preferred("E, then a good login in clear", replying(b"E"), SESSION).again(good()),
        preferred(
            "HTTP, twice",
            replying(b"HTTP/1.1 400 Bad Request\r\n"),
            "its answer begins with \"HTTP/1.1 400 Bad Request\"",
        )
        .again(answer(b"HTTP/1.1 400 Bad Request\r\n")),
        preferred(
            "S and a login in clear, then a good login in clear",
            replying([b"S", &welcome()[..]].concat()),
            SESSION,
        )
        .again(good()),
        preferred("N and a good login", [replying(b"N"), good()].concat(), SESSION),
        // The server declines TLS with `N`. The client accepts the bytes after the `N` as messages of the server, as libpq does. To reject
        // them would not help: without TLS, an attacker can send such bytes at any time.
        preferred("N with a login after it", replying([b"N", &welcome()[..]].concat()), SESSION),
        preferred(
            "N and a request for the password in clear text",
            [replying(b"N"), answer(cleartext())].concat(),
            "clear-text password over TCP without TLS",
        ),
        preferred(
            "N and SCRAM-SHA-256-PLUS",
            [replying(b"N"), answer(sasl(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]))].concat(),
            "the server offers channel binding, but this end of the connection has no TLS",
        ),
        preferred(
            "N to a client that demands channel binding",
            replying(b"N"),
            "channel binding is required",
        )
        .binding(),
        preferred(
            "S and garbage to a client that demands channel binding",
            replying(b"Sgarbage"),
            "channel binding is required",
        )
        .binding()
        .again(vec![]),
        preferred(
            "the password is asked for in clear over TLS that fails, and in clear",
            replying(b"S\0\0\0\0\0"),
            "clear-text password over TCP without TLS",
        )
        .again(answer(cleartext())),
    ]);
}

#[test]
fn invalid_certificates_versions_and_alpn_protocols_are_rejected() {
    let made = made();
    let without_alpn = || made.serving(&made.server, &[], ALL_VERSIONS);
    let other_alpn = || made.serving(&made.server, &[b"h2"], ALL_VERSIONS);
    let old = || made.serving(&made.server, &[b"postgresql"], &[&TLS12]);
    check(&[
        verified("an expired certificate", &made.expired, "the certificate expired")
            .native("the certificate has expired"),
        verified("a certificate that is not valid yet", &made.early, "the certificate is not valid yet"),
        verified(
            "a certificate for another name",
            &made.elsewhere,
            "for \"elsewhere.example\", not for \"localhost\"",
        )
        .native("for another name than \"localhost\""),
        verified(
            "a certificate of a foreign authority",
            &made.stranger,
            "no trusted authority (sslrootcert) has signed the certificate",
        )
        .native("no trusted authority (sslrootcert) has signed the certificate"),
        verified(
            "a certificate that is its own authority",
            &made.self_signed,
            "no trusted authority (sslrootcert) has signed the certificate",
        )
        .native("no trusted authority (sslrootcert) has signed the certificate"),
        row(
            "a foreign authority, for a client that demands TLS and has a root",
            secure(&made.stranger),
            "no trusted authority (sslrootcert)",
        )
        .verifying()
        .sslmode(SslMode::Require)
        .native("no trusted authority (sslrootcert)"),
        row(
            "a foreign authority, for a client that checks no name",
            secure(&made.stranger),
            "no trusted authority (sslrootcert)",
        )
        .verifying()
        .sslmode(SslMode::VerifyCa)
        .native("no trusted authority (sslrootcert)"),
        row("TLS 1.2 where 1.3 is demanded", upgraded(old()), "ProtocolVersion")
            .verifying()
            .with(|mut config| {
                config.tls.min_version = Some(TlsVersion::V1_3);
                config
            })
            .native("protocol version"),
        row("no ALPN after a request", [upgraded(without_alpn()), good()].concat(), SESSION).verifying(),
        row(
            "another protocol by ALPN after a request",
            upgraded(other_alpn()),
            "does not support PostgreSQL over TLS (ALPN)",
        )
        .verifying()
        .native("no application protocol"),
        direct("N to direct TLS", vec![say(b"N"), Act::HalfClose], NOT_TLS),
        direct(
            "an error in clear to direct TLS",
            vec![say(fatal("08P01", "invalid length of startup packet"))],
            NOT_TLS,
        ),
        direct(
            "the end of the connection to direct TLS",
            vec![Act::HalfClose],
            "closed the connection in the middle of the handshake",
        ),
        direct("no ALPN in direct TLS", vec![Act::Tls(without_alpn())], "TLS agreed on no protocol (ALPN)"),
        direct(
            "another protocol by ALPN in direct TLS",
            vec![Act::Tls(other_alpn())],
            "does not support PostgreSQL over TLS (ALPN)",
        ),
        direct(
            "a foreign authority in direct TLS",
            vec![Act::Tls(made.presenting(&made.stranger))],
            "no trusted authority (sslrootcert)",
        ),
        row(
            "no request for a certificate where one is to be sent",
            secure(&made.server),
            "sslcertmode=require: the server has not requested a client certificate",
        )
        .verifying()
        .with(|mut config| {
            config.tls.cert = Some(made.file("client"));
            config.tls.key = Some(made.file("key"));
            config.tls.cert_mode = SslCertMode::Require;
            config
        })
        .native("sslcertmode=require is not supported with native-tls"),
        row(
            "an expired certificate where TLS is only preferred, and a good login in clear",
            secure(&made.expired),
            SESSION,
        )
        .with(|mut config| {
            config.tls.root = Some(RootCert::File(made.file("root")));
            config.sslmode(SslMode::Prefer)
        })
        .again(good()),
    ]);
}

#[test]
fn unusual_logins_through_tls_have_the_expected_outcome() {
    let made = made();
    let inside = |script: Script| [secure(&made.server), script].concat();
    check(&[
        row("a good login", inside(good()), SESSION).verifying(),
        row("byte by byte", inside(vec![Act::Packet, Act::Drip(welcome())]), SESSION).verifying(),
        row(
            "the end of TLS",
            inside(vec![Act::Packet, Act::HalfClose]),
            "closed the connection during the login",
        )
        .verifying(),
        row(
            "the end of the connection without the end of TLS",
            inside(vec![Act::Packet, Act::Cut]),
            "during the login",
        )
        .verifying(),
        row(
            "bytes in clear inside of TLS",
            inside(vec![Act::Packet, Act::Beside(welcome())]),
            "during the login",
        )
        .verifying(),
        row(
            "AuthenticationOk and the end",
            inside(vec![Act::Packet, say(OK), Act::HalfClose]),
            "closed the connection during the login",
        )
        .verifying(),
        row(
            "HTTP inside of TLS",
            inside(answer(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            "its answer begins with \"HTTP/1.1 400",
        )
        .verifying(),
        row(
            "SCRAM-SHA-256-PLUS alone, for a client that wants no binding",
            inside(answer(sasl(&["SCRAM-SHA-256-PLUS"]))),
            "no supported SASL mechanism",
        )
        .verifying()
        .with(|config| config.channel_binding(BindingMode::Disable)),
        bound(
            "SCRAM without PLUS where binding is demanded",
            sasl(&["SCRAM-SHA-256"]),
            "channel binding is required, but the login cannot be bound to a TLS channel",
        ),
        bound(
            "an unknown mechanism where binding is demanded",
            sasl(&["SCRAM-SHA-1-PLUS"]),
            "channel binding is required",
        ),
        bound(
            "a password in clear text where binding is demanded",
            cleartext(),
            "channel binding is required",
        ),
        bound("MD5 where binding is demanded", md5(), "channel binding is required"),
        bound(
            "AuthenticationOk where binding is demanded",
            [OK, READY].concat(),
            "channel binding is required",
        ),
        bound("GSSAPI where binding is demanded", crate::wire::auth(7, b""), "channel binding is required"),
    ]);
}
