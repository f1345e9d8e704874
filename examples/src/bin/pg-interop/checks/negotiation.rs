//! Protocol versions and options.

use pg_wire::MessageCode;
use pg_wire::frontend::ProtocolVersion;

use super::START_UP;
use crate::check::Need::{Before, Clear, Since};
use crate::check::{Check, Checked, ensure, failed};
use crate::message::{packet, startup};
use crate::target::Target;

const NEGOTIATE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NEGOTIATEPROTOCOLVERSION";
const KEY: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BACKENDKEYDATA";

pub(super) const CHECKS: &[Check] = &[
    Check::new("version 3.0 is accepted without negotiation", START_UP, &[Clear], |t| {
        negotiated(t, ProtocolVersion::V3_0, &[], None)
    }),
    Check::new("version 3.2 is accepted without negotiation", START_UP, &[Clear, Since(18)], |t| {
        negotiated(t, ProtocolVersion::V3_2, &[], None)
    }),
    Check::new("version 3.2 is negotiated down to 3.0", NEGOTIATE, &[Clear, Before(18)], |t| {
        negotiated(t, ProtocolVersion::V3_2, &[], Some("NegotiateProtocolVersion 196608 0"))
    }),
    Check::new(
        "version 3.9999 is negotiated down to the server's newest version",
        NEGOTIATE,
        &[Clear],
        |t| {
            let newest = if t.major() >= 18 { "196610" } else { "196608" };
            let line = format!("NegotiateProtocolVersion {newest} 0");
            negotiated(t, ProtocolVersion::new(3, 9999), &[], Some(&line))
        },
    ),
    Check::new("an unknown protocol option is listed, and the session continues", NEGOTIATE, &[Clear], |t| {
        let line = r#"NegotiateProtocolVersion 196608 1 "_pq_.interop""#;
        negotiated(t, ProtocolVersion::V3_0, &["_pq_.interop"], Some(line))
    }),
    Check::new("all unknown protocol options are listed", NEGOTIATE, &[Clear], |t| {
        let line = r#"NegotiateProtocolVersion 196608 2 "_pq_.interop_1" "_pq_.interop_2""#;
        negotiated(t, ProtocolVersion::V3_0, &["_pq_.interop_1", "_pq_.interop_2"], Some(line))
    }),
    Check::new(
        "an unknown version and an unknown option are answered by one message",
        NEGOTIATE,
        &[Clear],
        |t| {
            let newest = if t.major() >= 18 { "196610" } else { "196608" };
            let line = format!(r#"NegotiateProtocolVersion {newest} 1 "_pq_.interop""#);
            negotiated(t, ProtocolVersion::new(3, 9999), &["_pq_.interop"], Some(&line))
        },
    ),
    Check::new("version 2.0 is rejected", START_UP, &[], |t| {
        let mut client = t.connection()?;
        client.send(&packet(b"\0\x02\0\0user\0x\0\0"))?;
        // The manual describes no error for version 2.0. PostgreSQL sends an error in the format of version 2.0, which also begins with
        // `E`. So the check accepts an error, and also the end of the connection without an answer.
        let bytes = client.rest()?;
        ensure(bytes.first().is_none_or(|byte| *byte == b'E'), || {
            format!("expected an error or nothing, received {:?}", bytes.escape_ascii().to_string())
        })
    }),
    Check::new("version 4.0 is rejected with a FATAL error", START_UP, &[], |t| {
        let mut client = t.connection()?;
        let parameters = [("user", t.config.user.as_str())];
        client.exchange(&startup(ProtocolVersion::new(4, 0), &parameters), &["ErrorResponse FATAL *"])?;
        client.expect_end()
    }),
    Check::new("the cancel key has 4 bytes in version 3.0", KEY, &[Clear], |t| {
        key_length(t, ProtocolVersion::V3_0, 4, 4)
    }),
    Check::new("the cancel key has up to 256 bytes in version 3.2", KEY, &[Clear, Since(18)], |t| {
        key_length(t, ProtocolVersion::V3_2, 4, 256)
    }),
];

/// Logs in with this version and these options. If `expected` is a line, checks that it is the first message of the server. If `expected`
/// is `None`, checks that the server sends no NegotiateProtocolVersion.
fn negotiated(t: &Target, version: ProtocolVersion, options: &[&str], expected: Option<&str>) -> Checked {
    let mut config = t.config.clone().protocol_versions(ProtocolVersion::V3_0, version);
    for option in options {
        config = config.with_parameter(*option, "on");
    }
    let client = t.session_with(&config)?;
    let count = client.count(MessageCode::NEGOTIATE_PROTOCOL_VERSION);
    match expected {
        None => ensure(count == 0, || format!("expected no negotiation, received {}", client.opened()))?,
        Some(line) => {
            let is_first = client.opening.first().is_some_and(|received| received.is(line));
            ensure(is_first && count == 1, || {
                format!("expected first {line}; received {}", client.opened())
            })?;
        }
    }
    client.finish()
}

fn key_length(t: &Target, version: ProtocolVersion, least: usize, most: usize) -> Checked {
    let client = t.session_with(&t.config.clone().protocol_versions(ProtocolVersion::V3_0, version))?;
    let (_, key) = client.cancel_key()?;
    if !(least..=most).contains(&key.len()) {
        return failed(format!("expected {least} to {most} bytes, received {}", key.len()));
    }
    client.finish()
}
