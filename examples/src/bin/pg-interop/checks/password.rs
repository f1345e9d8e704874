//! Authentication by a password.

use pg_wire::frontend::ProtocolVersion;

use super::{SASL, START_UP};
use crate::check::Need::{Clear, Method};
use crate::check::{Check, Checked, Method::Password, Method::Scram};
use crate::client::Client;
use crate::message::{query, raw, startup};
use crate::target::Target;

const PASSWORD: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PASSWORDMESSAGE";

const AUTHENTICATION: &str =
    "AuthenticationSASL* | AuthenticationCleartextPassword | AuthenticationMD5Password*";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "a wrong password is rejected with SQLSTATE 28P01",
        START_UP,
        &[Clear, Method(Password)],
        |t| {
            let client = t.login(&t.config.clone().password("interop: a wrong password"))?;
            client.was_rejected("ErrorResponse FATAL 28P01")
        },
    ),
    Check::new(
        "a query in place of the password ends the connection",
        PASSWORD,
        &[Clear, Method(Password)],
        |t| {
            let mut client = asked(t, AUTHENTICATION)?;
            client.send(&query("select 1"))?;
            client.expect_rejection()
        },
    ),
    Check::new(
        "a password message without NUL ends the connection",
        PASSWORD,
        &[Clear, Method(Password)],
        |t| {
            let mut client = asked(t, AUTHENTICATION)?;
            client.send(&raw(b'p', b"x"))?;
            // The server may wait for the NUL that ends the text. The half-close shows that no more bytes follow.
            client.half_close()?;
            client.expect_rejection()
        },
    ),
    Check::new("a password message of 1 GB ends the connection", PASSWORD, &[Clear, Method(Password)], |t| {
        let mut client = asked(t, AUTHENTICATION)?;
        client.send(b"p\x40\0\0\0x")?;
        client.half_close()?;
        client.expect_rejection()
    }),
    Check::new(
        "a client that leaves instead of a password gets no error",
        PASSWORD,
        &[Clear, Method(Password)],
        |t| {
            let mut client = asked(t, AUTHENTICATION)?;
            client.half_close()?;
            client.expect_end()
        },
    ),
    Check::new("SCRAM-SHA-256 is offered", SASL, &[Clear, Method(Scram)], |t| {
        asked(t, "AuthenticationSASL *\"SCRAM-SHA-256\" *").map(drop)
    }),
    Check::new(
        "an unknown SASL mechanism is rejected with SQLSTATE 08P01",
        SASL,
        &[Clear, Method(Scram)],
        |t| sasl(t, &[b"INTEROP\0\0\0\0\x04n,,x"], &["ErrorResponse FATAL 08P01"]),
    ),
    Check::new(
        "SCRAM without the attribute r is rejected with SQLSTATE 08P01",
        SASL,
        &[Clear, Method(Scram)],
        |t| sasl(t, &[b"SCRAM-SHA-256\0\0\0\0\x07n,,n=x,"], &["ErrorResponse FATAL 08P01"]),
    ),
    Check::new(
        "a SASL message with a wrong length ends the connection",
        SASL,
        &[Clear, Method(Scram)],
        |t| {
            let mut client = asked(t, "AuthenticationSASL *")?;
            client.send(&raw(b'p', b"SCRAM-SHA-256\0\0\0\0\xffn,,n=,r=abc"))?;
            // The server may wait for the rest of the SASL message. The half-close shows that no more bytes follow.
            client.half_close()?;
            client.expect_rejection()
        },
    ),
    Check::new("an unknown mandatory extension of SCRAM is rejected", SASL, &[Clear, Method(Scram)], |t| {
        sasl(t, &[b"SCRAM-SHA-256\0\0\0\0\x10n,,m=x,n=,r=abcd"], &["ErrorResponse FATAL *"])
    }),
    Check::new("a SCRAM proof for another nonce is rejected", SASL, &[Clear, Method(Scram)], |t| {
        let last = b"c=biws,r=another,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let first = b"SCRAM-SHA-256\0\0\0\0\x0cn,,n=,r=abcd";
        sasl(t, &[first, last], &["AuthenticationSASLContinue *", "ErrorResponse FATAL *"])
    }),
];

/// Sends the start-up message. Checks that the server requests authentication with the message `expected`.
fn asked<'t>(t: &'t Target, expected: &str) -> Checked<Client<'t>> {
    let mut client = t.connection()?;
    let database = t.config.database.as_deref().unwrap_or(&t.config.user);
    let parameters = [("user", t.config.user.as_str()), ("database", database)];
    client.exchange(&startup(ProtocolVersion::V3_0, &parameters), &[expected])?;
    Ok(client)
}

/// Sends SASL messages. After each message, the server has to send the expected line with the same index. After the last line, it has to
/// close the connection.
fn sasl(t: &Target, bodies: &[&[u8]], expected: &[&str]) -> Checked {
    let mut client = asked(t, "AuthenticationSASL *")?;
    for (body, line) in bodies.iter().zip(expected) {
        client.exchange(&raw(b'p', body), &[*line])?;
    }
    client.expect_end()
}
