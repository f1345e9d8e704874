//! Servers that misbehave during the authentication. They request invalid or forbidden methods, accept the login too early, or negotiate
//! invalid protocol versions.

use pg_auth::config::{AuthMethod, ProtocolVersion, RequireAuth, SslMode};
use pg_auth::oauth::{SourceError, Token, TokenReply, TokenRequest, Tokens};

use super::{Row, SESSION, answer, check, row, say, scram};
use crate::peer::{Act, Scram, Script};
use crate::wire::{
    KEY, OK, READY, auth, cleartext, fatal, md5, message, negotiate, notification, parameter, sasl, welcome,
};

/// Creates a row with a server that answers the start-up message with these bytes, and stays connected.
fn says(name: &str, bytes: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, answer(bytes), expected)
}

/// Creates a row with a server that sends the authentication request `first`, reads the client's response, and sends `then`.
fn after(name: &str, first: impl AsRef<[u8]>, then: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, asked(first, then), expected)
}

fn asked(first: impl AsRef<[u8]>, then: impl AsRef<[u8]>) -> Script {
    [answer(first), vec![Act::Message, say(then)]].concat()
}

/// Creates a row with a server that performs the SCRAM exchange, then sends these bytes instead of AuthenticationOk.
fn proven(name: &str, bytes: impl AsRef<[u8]>, expected: &'static str) -> Row {
    row(name, [scram(Scram::HONEST), vec![say(bytes)]].concat(), expected)
}

fn only(methods: &[AuthMethod]) -> RequireAuth {
    RequireAuth::only(methods)
}

const UNPROVEN: &str = "the server sent AuthenticationOk without having proven its identity";

#[test]
fn an_unexpected_authentication_message_is_rejected() {
    let scram_only = || only(&[AuthMethod::ScramSha256]);
    let offer = sasl(&["SCRAM-SHA-256"]);
    check(&[
        says("Ok at once where SCRAM is required", OK, "method \"none\", which require_auth does not allow")
            .with(|config| config.require_auth(scram_only())),
        says(
            "Ok at once where anything but nothing is required",
            welcome(),
            "method \"none\", which require_auth does not allow",
        )
        .with(|config| config.require_auth(RequireAuth::except(&[AuthMethod::None]))),
        after("Ok in place of the challenge", &offer, welcome(), UNPROVEN),
        row(
            "Ok in place of the server's proof",
            [scram(Scram { proves: false, ..Scram::HONEST }), vec![say(welcome())]].concat(),
            UNPROVEN,
        ),
        says("Ok directly after the offer", [&offer[..], OK, READY].concat(), UNPROVEN),
        says(
            "Ok twice",
            [OK, OK].concat(),
            "the server sent AuthenticationOk where ReadyForQuery was expected",
        ),
        says("Ok after the version was refused", [&negotiate(2, 0, 0, "")[..], OK].concat(), "protocol 2.0"),
        says(
            "Ok after a request for GSSAPI",
            [&auth(7, b"")[..], OK].concat(),
            "GSSAPI or SSPI, but the configuration has no library",
        ),
        says(
            "ReadyForQuery without Ok",
            READY,
            "the server sent ReadyForQuery where a request for authentication was expected",
        ),
        says(
            "a key without Ok",
            KEY,
            "the server sent BackendKeyData where a request for authentication was expected",
        ),
        says(
            "a parameter without Ok",
            parameter("a", "b"),
            "the server sent ParameterStatus where a request for authentication was expected",
        ),
        says(
            "a notification without Ok",
            notification("x"),
            "the server sent NotificationResponse where a request for authentication was expected",
        ),
        says(
            "the server's proof without a challenge",
            auth(12, b"v=AAAA"),
            "the server sent AuthenticationSASLFinal where a request for authentication was expected",
        ),
        says(
            "a challenge without an offer",
            auth(11, b"r=x"),
            "the server sent AuthenticationSASLContinue where a request for authentication was expected",
        ),
        says(
            "a token of GSSAPI without a request",
            auth(8, b"token"),
            "the server sent AuthenticationGSSContinue where a request for authentication was expected",
        ),
        after(
            "the server's proof in place of the challenge",
            &offer,
            auth(12, b"v=AAAA"),
            "the server sent AuthenticationSASLFinal where AuthenticationSASLContinue was expected",
        ),
        after(
            "an offer in place of the challenge",
            &offer,
            &offer,
            "the server sent AuthenticationSASL where AuthenticationSASLContinue was expected",
        ),
        after(
            "a request for the password in clear text in place of the challenge",
            &offer,
            cleartext(),
            "the server sent AuthenticationCleartextPassword where AuthenticationSASLContinue was expected",
        ),
        after(
            "ReadyForQuery in place of the challenge",
            &offer,
            READY,
            "the server sent ReadyForQuery where AuthenticationSASLContinue was expected",
        ),
        after(
            "a request for the password in clear text after MD5",
            md5(),
            cleartext(),
            "the server sent AuthenticationCleartextPassword where AuthenticationOk was expected",
        ),
        after(
            "MD5 twice",
            md5(),
            md5(),
            "the server sent AuthenticationMD5Password where AuthenticationOk was expected",
        ),
        after(
            "an offer after MD5",
            md5(),
            &offer,
            "the server sent AuthenticationSASL where AuthenticationOk was expected",
        ),
        after(
            "ReadyForQuery after MD5 without Ok",
            md5(),
            READY,
            "the server sent ReadyForQuery where AuthenticationOk was expected",
        ),
        after(
            "an error after MD5",
            md5(),
            fatal("28P01", "password authentication failed"),
            "FATAL 28P01: password authentication failed",
        ),
        after("a good login by MD5", md5(), welcome(), SESSION),
        proven(
            "ReadyForQuery after SCRAM without Ok",
            READY,
            "the server sent ReadyForQuery where AuthenticationOk was expected",
        ),
        proven(
            "a second offer after SCRAM",
            &offer,
            "the server sent AuthenticationSASL where AuthenticationOk was expected",
        ),
        proven(
            "a request for the password in clear text after SCRAM",
            cleartext(),
            "the server sent AuthenticationCleartextPassword where AuthenticationOk was expected",
        ),
        proven(
            "the server's proof twice",
            auth(12, b"v=AAAA"),
            "the server sent AuthenticationSASLFinal where AuthenticationOk was expected",
        ),
        proven(
            "MD5 after Ok",
            [OK, &md5()].concat(),
            "the server sent AuthenticationMD5Password where ReadyForQuery was expected",
        ),
    ]);
}

#[test]
fn unknown_and_forbidden_methods_are_rejected() {
    let mut rows = Vec::new();
    for kind in [1, 2, 4, 6, 13, 99, u32::MAX] {
        rows.push(row(
            format!("authentication of kind {kind}"),
            answer(auth(kind, b"")),
            "which is not supported",
        ));
    }
    let bare = |config: pg_auth::Config| {
        let mut config = config;
        config.password = None;
        config
    };
    let tokens = |config: pg_auth::Config| {
        let reply = |_: TokenRequest| async { Ok::<TokenReply, SourceError>(Token::new("a.token")?.into()) };
        let mut config = config.tokens(Tokens::new(reply));
        config.password = None;
        config
    };
    let offer = || sasl(&["SCRAM-SHA-256"]);
    let password = "the server asks for a password, but no password is given";
    rows.extend([
        says(
            "GSSAPI without a library",
            auth(7, b""),
            "the server asks for GSSAPI or SSPI, but the configuration has no library for GSSAPI",
        ),
        says(
            "SSPI without a library",
            auth(9, b""),
            "the server asks for GSSAPI or SSPI, but the configuration has no library for GSSAPI",
        ),
        says("an unknown mechanism", sasl(&["SCRAM-SHA-1"]), "no supported SASL mechanism"),
        says("a mechanism in lower case", sasl(&["scram-sha-256"]), "no supported SASL mechanism"),
        says(
            "SCRAM-SHA-256-PLUS without TLS",
            sasl(&["SCRAM-SHA-256-PLUS"]),
            "the server offers channel binding, but this end",
        ),
        says(
            "SCRAM-SHA-256-PLUS beside SCRAM-SHA-256 without TLS",
            sasl(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]),
            "the server offers channel binding, but this end",
        ),
        says(
            "OAUTHBEARER without tokens",
            sasl(&["OAUTHBEARER"]),
            "the configuration has no source of tokens",
        ),
        says(
            "OAUTHBEARER without TLS",
            sasl(&["OAUTHBEARER"]),
            "a bearer token, but the connection has no TLS",
        )
        .with(tokens),
        says("MD5 where there is no password", md5(), password).with(bare),
        says("SCRAM where there is no password", offer(), password).with(bare),
        says("a password in clear text where there is none", cleartext(), password).with(bare),
        says("MD5 where SCRAM is required", md5(), "method \"md5\", which require_auth does not allow")
            .with(|config| config.require_auth(only(&[AuthMethod::ScramSha256]))),
        says(
            "a password in clear text where SCRAM is required",
            cleartext(),
            "method \"password\", which require_auth does not allow",
        )
        .with(|config| config.require_auth(only(&[AuthMethod::ScramSha256]))),
        says(
            "a password in clear text where MD5 is required",
            cleartext(),
            "method \"password\", which require_auth",
        )
        .with(|config| config.require_auth(only(&[AuthMethod::Md5]))),
        says("SCRAM where MD5 is required", offer(), "method \"scram-sha-256\", which require_auth")
            .with(|config| config.require_auth(only(&[AuthMethod::Md5]))),
        says("GSSAPI where SCRAM is required", auth(7, b""), "method \"gss\", which require_auth")
            .with(|config| config.require_auth(only(&[AuthMethod::ScramSha256]))),
        says(
            "OAUTHBEARER where SCRAM is required",
            sasl(&["OAUTHBEARER"]),
            "method \"oauth\", which require_auth",
        )
        .with(tokens)
        .with(|config| config.require_auth(only(&[AuthMethod::ScramSha256]))),
        // These rows use the default, `sslmode=prefer`: the client sends an SSLRequest, which the server declines.
        row(
            "a password in clear text over TCP without TLS",
            [answer(b"N"), answer(cleartext())].concat(),
            "only sslmode=disable allows",
        )
        .sslmode(SslMode::Prefer),
        row(
            "MD5 over TCP without TLS, and an error",
            [answer(b"N"), asked(md5(), fatal("28P01", "no"))].concat(),
            "FATAL 28P01: no",
        )
        .sslmode(SslMode::Prefer),
        after(
            "a password in clear text where the caller allows it, and an error",
            cleartext(),
            fatal("28P01", "no"),
            "FATAL 28P01: no",
        ),
    ]);
    check(&rows);
}

#[test]
fn invalid_versions_and_options_are_rejected() {
    let newer =
        |row: Row| row.with(|config| config.protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::V3_2));
    let newest =
        |row: Row| row.with(|config| config.protocol_versions(ProtocolVersion::V3_2, ProtocolVersion::V3_2));
    let optioned = |row: Row| row.with(|config| config.with_parameter("_pq_.mine", "on"));
    check(&[
        says("3.1, which does not exist", negotiate(3, 1, 0, ""), "protocol 3.1, which does not exist"),
        newer(says(
            "3.1 where 3.2 was asked for",
            negotiate(3, 1, 0, ""),
            "protocol 3.1, which does not exist",
        )),
        says("2.0", negotiate(2, 0, 0, ""), "protocol 2.0, which does not exist"),
        says("0.0", negotiate(0, 0, 0, ""), "protocol 0.0, which does not exist"),
        says("4.0", negotiate(4, 0, 0, ""), "protocol 4.0, which the client did not ask for"),
        says(
            "3.2 where 3.0 was asked for",
            negotiate(3, 2, 0, ""),
            "protocol 3.2, which the client did not ask for",
        ),
        says(
            "3.0 where 3.0 was asked for",
            negotiate(3, 0, 0, ""),
            "protocol 3.0, which the client did not ask for",
        ),
        newer(says("65535.65535", negotiate(0xffff, 0xffff, 0, ""), "which the client did not ask for")),
        newer(says("3.0 where 3.2 was asked for", [negotiate(3, 0, 0, ""), welcome()].concat(), SESSION)),
        newest(says(
            "3.0 where 3.2 is demanded",
            negotiate(3, 0, 0, ""),
            "the server supports protocol 3.0 at most, but min_protocol_version is 3.2",
        )),
        newer(says(
            "twice",
            negotiate(3, 0, 0, "").repeat(2),
            "negotiates the protocol version a second time",
        )),
        newer(says(
            "again after Ok",
            [&negotiate(3, 0, 0, "")[..], OK, &negotiate(3, 0, 0, "")].concat(),
            "negotiates the protocol version a second time",
        )),
        says(
            "after Ok",
            [OK, &negotiate(3, 0, 0, "")[..]].concat(),
            "the server sent NegotiateProtocolVersion where ReadyForQuery was expected",
        ),
        newer(says(
            "an option that was not sent",
            negotiate(3, 0, 1, "_pq_.other\0"),
            "rejects a protocol option that was not sent",
        )),
        optioned(says(
            "an option that was sent, and one that was not",
            negotiate(3, 0, 2, "_pq_.mine\0_pq_.other\0"),
            "rejects a protocol option that was not sent",
        )),
        optioned(says(
            "an option that was sent",
            [negotiate(3, 0, 1, "_pq_.mine\0"), welcome()].concat(),
            SESSION,
        )),
        optioned(says(
            "an option that was sent, 2,000 times",
            [negotiate(3, 0, 2_000, &"_pq_.mine\0".repeat(2_000)), welcome()].concat(),
            SESSION,
        )),
        newer(says(
            "a parameter that is no option",
            negotiate(3, 0, 1, "user\0"),
            "rejects a protocol option that was not sent",
        )),
        says("a message of a client", message(b'Q', b"select 1\0"), "the server sent"),
        says("an unknown message", message(b'x', b""), "the server sent"),
        says("a message with the code 0", message(0, b""), "the server sent"),
    ]);
}
