//! Requests for encryption before the start-up message.

use pg_wire::frontend::ProtocolVersion;

use super::{GSSAPI, SSL, START_UP};
use crate::check::Need::Clear;
use crate::check::{Check, Checked, Problem, ensure, failed};
use crate::client::Client;
use crate::message::{GSSENC_REQUEST, SSL_REQUEST, startup};
use crate::target::Target;

pub(super) const CHECKS: &[Check] = &[
    Check::new("SSLRequest is answered by one byte, S or N", SSL, &[], |t| {
        requested(t.connection()?, SSL_REQUEST, b"SN").map(drop)
    }),
    Check::new("GSSENCRequest is answered by one byte, G or N", GSSAPI, &[], |t| {
        requested(t.connection()?, GSSENC_REQUEST, b"GN").map(drop)
    }),
    Check::new("a login in clear is possible after N to SSLRequest", SSL, &[Clear], |t| {
        let client = declined(t.connection()?, SSL_REQUEST, b"SN")?;
        logged_in(t, client)
    }),
    Check::new("a login in clear is possible after N to GSSENCRequest", GSSAPI, &[Clear], |t| {
        let client = declined(t.connection()?, GSSENC_REQUEST, b"GN")?;
        logged_in(t, client)
    }),
    Check::new("SSLRequest is answered after N to GSSENCRequest", GSSAPI, &[], |t| {
        let client = declined(t.connection()?, GSSENC_REQUEST, b"GN")?;
        requested(client, SSL_REQUEST, b"SN").map(drop)
    }),
    Check::new("GSSENCRequest is answered after N to SSLRequest", SSL, &[], |t| {
        let client = declined(t.connection()?, SSL_REQUEST, b"SN")?;
        requested(client, GSSENC_REQUEST, b"GN").map(drop)
    }),
    Check::new("after S the server reads no message in clear", SSL, &[], |t| {
        let mut client = t.connection()?;
        // The start-up message is sent together with the SSLRequest, before the server has answered. An attacker could inject a start-up
        // message in this way.
        let parameters = [("user", t.config.user.as_str())];
        client.send(&[SSL_REQUEST, &startup(ProtocolVersion::V3_0, &parameters)].concat())?;
        client.half_close()?;
        let bytes = client.rest()?;
        match bytes.split_first() {
            Some((b'S', rest)) => ensure(!rest.starts_with(b"R"), || {
                "the server has read the start-up message that was sent in clear".into()
            }),
            Some((b'N', _)) => Err(Problem::NotChecked("needs a server with TLS".into())),
            // The server has rejected the bytes after the SSLRequest with an ErrorResponse.
            Some((b'E', _)) => Ok(()),
            _ => failed(format!("expected S or N, received {:?}", bytes.escape_ascii().to_string())),
        }
    }),
    Check::new("the first packet may arrive in pieces of one byte", START_UP, &[], |t| {
        let mut client = t.connection()?;
        for byte in SSL_REQUEST {
            client.send(&[*byte])?;
        }
        client.one_byte().map(drop)
    }),
];

/// Sends a request, and checks that the answer is one of these bytes.
fn requested<'t>(mut client: Client<'t>, request: &[u8], answers: &[u8]) -> Checked<(u8, Client<'t>)> {
    client.send(request)?;
    let (byte, client) = client.one_byte()?;
    ensure(answers.contains(&byte), || format!("received the byte {:?}", char::from(byte)))?;
    Ok((byte, client))
}

/// Sends a request that a server without this encryption has to decline. If the server accepts the request, the check cannot be run.
fn declined<'t>(client: Client<'t>, request: &[u8], answers: &[u8]) -> Checked<Client<'t>> {
    let (byte, client) = requested(client, request, answers)?;
    if byte == b'N' { Ok(client) } else { Err(Problem::NotChecked("the server accepts the request".into())) }
}

fn logged_in(t: &Target, client: Client<'_>) -> Checked {
    let client = client.log_in(&t.config)?;
    client.session()?;
    client.finish()
}
