//! Messages with an unknown code, a wrong length, or at a point where the protocol does not allow them.

use super::CONCEPTS;
use crate::check::{Check, Checked, SQL};
use crate::message::{SSL_REQUEST, query, raw, with_length};
use crate::target::Target;

const FORMATS: &str = "protocol-message-formats.html";

pub(super) const CHECKS: &[Check] = &[
    Check::new("a message with an unknown code ends the session with SQLSTATE 08P01", CONCEPTS, &[], |t| {
        t.last_words(&raw(b'z', b""), &["ErrorResponse FATAL 08P01"])
    }),
    Check::new("a message with the code NUL ends the session with SQLSTATE 08P01", CONCEPTS, &[], |t| {
        t.last_words(&raw(0, b""), &["ErrorResponse FATAL 08P01"])
    }),
    Check::new("a message of the server ends the session with SQLSTATE 08P01", FORMATS, &[], |t| {
        t.last_words(&raw(b'Z', b"I"), &["ErrorResponse FATAL 08P01"])
    }),
    Check::new("a password message in the session ends the session with SQLSTATE 08P01", FORMATS, &[], |t| {
        t.last_words(&raw(b'p', b"x\0"), &["ErrorResponse FATAL 08P01"])
    }),
    Check::new("SSLRequest in the session ends the session", FORMATS, &[], |t| {
        let mut client = t.session()?;
        client.send(SSL_REQUEST)?;
        // A server that decodes the SSLRequest as a message finds a length that is larger than the SSLRequest, and waits for more bytes.
        // The half-close shows that no more bytes follow.
        client.half_close()?;
        client.expect_rejection()
    }),
    Check::new("a length of 0 ends the session", CONCEPTS, &[], |t| ended(t, &with_length(b'Q', 0, b""))),
    Check::new("a length of 3 ends the session", CONCEPTS, &[], |t| ended(t, &with_length(b'Q', 3, b""))),
    Check::new("a negative length ends the session", CONCEPTS, &[], |t| {
        ended(t, &with_length(b'Q', -1, b"select"))
    }),
    Check::new("the smallest length ends the session", CONCEPTS, &[], |t| {
        ended(t, &with_length(b'Q', i32::MIN, b"select"))
    }),
    Check::new("a Query of 2 GB ends the session at its header", CONCEPTS, &[], |t| {
        ended(t, &with_length(b'Q', i32::MAX, b"select"))
    }),
    Check::new("a Sync of 1 MB ends the session at its header", CONCEPTS, &[], |t| {
        ended(t, &with_length(b'S', 1 << 20, b""))
    }),
    Check::new("an Execute of 1 MB ends the session at its header", CONCEPTS, &[], |t| {
        ended(t, &with_length(b'E', 1 << 20, b""))
    }),
    Check::new("a Sync with a body is rejected with SQLSTATE 08P01", FORMATS, &[SQL], |t| {
        t.talk([(raw(b'S', b"x"), &["ErrorResponse ERROR 08P01", "ReadyForQuery I"])])
    }),
    Check::new("an incomplete message gets no reply", CONCEPTS, &[], |t| {
        let mut client = t.session()?;
        client.send(&query("select 1")[..7])?;
        client.half_close()?;
        client.expect_end()
    }),
    Check::new("an incomplete header gets no reply", CONCEPTS, &[], |t| {
        let mut client = t.session()?;
        client.send(b"Q\0\0")?;
        client.half_close()?;
        client.expect_end()
    }),
    Check::new("messages before an incomplete message are answered", CONCEPTS, &[], |t| {
        let mut client = t.session()?;
        client.send(&[&query(""), &query("select 1")[..7]].concat())?;
        client.expect(&["EmptyQueryResponse", "ReadyForQuery I"])?;
        client.half_close()?;
        client.expect_end()
    }),
    Check::new("a query in pieces of one byte is answered", CONCEPTS, &[], |t| {
        let mut client = t.session()?;
        for byte in query("") {
            client.send(&[byte])?;
        }
        client.expect(&["EmptyQueryResponse", "ReadyForQuery I"])?;
        client.finish()
    }),
    Check::new("messages before an invalid header are answered", CONCEPTS, &[], |t| {
        let mut client = t.session()?;
        client.send(&[query(""), raw(b'z', b"")].concat())?;
        client.expect(&["EmptyQueryResponse", "ReadyForQuery I", "ErrorResponse FATAL 08P01"])?;
        client.expect_end()
    }),
];

/// Sends bytes after which the server has to end the session. The server may send an error first.
fn ended(t: &Target, bytes: &[u8]) -> Checked {
    let mut client = t.session()?;
    client.send(bytes)?;
    client.expect_rejection()
}
