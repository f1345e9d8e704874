//! The first packet, and the messages from the login to the first ReadyForQuery.

use pg_wire::MessageCode;
use pg_wire::frontend::ProtocolVersion;

use super::{ASYNC, START_UP};
use crate::check::Need::{Clear, Since};
use crate::check::{CONCURRENT, Check, Checked, SQL, ensure, failed};
use crate::message::{packet, query, startup};
use crate::target::Target;

const STARTUP_MESSAGE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE";

pub(super) const CHECKS: &[Check] = &[
    Check::new("a first packet of length 0 ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\0\0\0\0")
    }),
    Check::new("a first packet of length 3 ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\0\0\0\x03")
    }),
    Check::new("a first packet of length 4 ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\0\0\0\x04")
    }),
    Check::new("a first packet of length 7 ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\0\0\0\x07\0\x03\0")
    }),
    Check::new("a first packet with a negative length ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\xff\xff\xff\xff\0\x03\0\0")
    }),
    Check::new("a first packet of 16 MB ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"\x01\0\0\0\0\x03\0\0")
    }),
    Check::new("a request of HTTP ends the connection", STARTUP_MESSAGE, &[], |t| {
        rejected(t, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }),
    Check::new("a half-close in the first packet ends the connection", STARTUP_MESSAGE, &[], |t| {
        let mut client = t.connection()?;
        client.send(b"\0\0\0\x20\0\x03\0\0user\0")?;
        client.half_close()?;
        client.expect_rejection()
    }),
    Check::new("a start-up message without the terminator is rejected", STARTUP_MESSAGE, &[], |t| {
        fatal(t, &packet(b"\0\x03\0\0user\0interop"), "ErrorResponse FATAL 08P01")
    }),
    Check::new("a start-up message with a name without a value is rejected", STARTUP_MESSAGE, &[], |t| {
        fatal(t, &packet(b"\0\x03\0\0user\0interop\0database\0"), "ErrorResponse FATAL 08P01")
    }),
    Check::new("a start-up message without a user is rejected", STARTUP_MESSAGE, &[], |t| {
        let database = t.config.database.as_deref().unwrap_or("postgres");
        let packet = startup(ProtocolVersion::V3_0, &[("database", database)]);
        fatal(t, &packet, "ErrorResponse FATAL 28000 | ErrorResponse FATAL 08P01")
    }),
    Check::new("a start-up message in pieces of one byte is accepted", STARTUP_MESSAGE, &[Clear], |t| {
        let mut client = t.connection()?;
        let database = t.config.database.as_deref().unwrap_or(&t.config.user);
        let parameters = [("user", t.config.user.as_str()), ("database", database)];
        for byte in startup(ProtocolVersion::V3_0, &parameters) {
            client.send(&[byte])?;
        }
        client.expect(&["Authentication*"])
    }),
    Check::new("an unknown parameter is rejected after the login", START_UP, &[Clear], |t| {
        let client = t.login(&t.config.clone().with_parameter("interop_no_such_parameter", "1"))?;
        client.was_rejected("ErrorResponse FATAL 42704")
    }),
    Check::new("an invalid value of a parameter is rejected after the login", START_UP, &[Clear, SQL], |t| {
        let client = t.login(&t.config.clone().with_parameter("DateStyle", "nonsense"))?;
        client.was_rejected("ErrorResponse FATAL 22023")
    }),
    Check::new("a database that does not exist is rejected", START_UP, &[Clear, SQL], |t| {
        let client = t.login(&t.config.clone().database("interop_no_such_database"))?;
        client.was_rejected("ErrorResponse FATAL 3D000")
    }),
    Check::new("a parameter of the start-up message is set and reported", START_UP, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "Asia/Tokyo"))?;
        let reported = client.session()?.parameters.get("TimeZone").map(str::to_owned);
        ensure(reported.as_deref() == Some("Asia/Tokyo"), || {
            format!("TimeZone was reported as {reported:?}")
        })?;
        let set = t.value(&mut client, "show timezone")?;
        ensure(set == "Asia/Tokyo", || format!("TimeZone is {set}"))?;
        client.finish()
    }),
    Check::new("application_name is set and reported", START_UP, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().application_name("interop"))?;
        let reported = client.session()?.parameters.get("application_name").map(str::to_owned);
        ensure(reported.as_deref() == Some("interop"), || format!("it was reported as {reported:?}"))?;
        let set = t.value(&mut client, "show application_name")?;
        ensure(set == "interop", || format!("it is {set}"))?;
        client.finish()
    }),
    Check::new("the parameters of the manual's list are reported", ASYNC, &[], |t| {
        let listed = ["server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone"];
        let more = ["integer_datetimes", "standard_conforming_strings", "IntervalStyle", "application_name"];
        reports(t, &[&listed[..], &more].concat())
    }),
    Check::new("the parameters for the rights of the user are reported", ASYNC, &[SQL], |t| {
        reports(t, &["is_superuser", "session_authorization"])
    }),
    Check::new("the parameters for hot standby are reported", ASYNC, &[SQL, Since(14)], |t| {
        reports(t, &["in_hot_standby", "default_transaction_read_only"])
    }),
    Check::new("scram_iterations is reported", ASYNC, &[SQL, Since(16)], |t| {
        reports(t, &["scram_iterations"])
    }),
    Check::new("search_path is reported", ASYNC, &[SQL, Since(18)], |t| reports(t, &["search_path"])),
    Check::new("the messages of the start-up have the order of the manual", START_UP, &[Clear], order),
    Check::new("each session has its own cancel key", START_UP, &[CONCURRENT], |t| {
        let (one, two) = (t.session()?, t.session()?);
        ensure(one.cancel_key()? != two.cancel_key()?, || "two sessions have the same key".into())?;
        one.finish()?;
        two.finish()
    }),
    Check::new(
        "the process id in the cancel key is that of the server process",
        START_UP,
        &[SQL, crate::check::DIRECT],
        |t| {
            let mut client = t.session()?;
            let (pid, _) = client.cancel_key()?;
            client.exchange(
                &query("select pg_backend_pid()::text"),
                &[
                    "RowDescription 1 *",
                    &format!("DataRow 1 * '{pid}'"),
                    "CommandComplete *",
                    "ReadyForQuery I",
                ],
            )?;
            client.finish()
        },
    ),
];

/// Sends a first packet after which the server has to end the connection. The server may send an error first.
fn rejected(t: &Target, packet: &[u8]) -> Checked {
    let mut client = t.connection()?;
    client.send(packet)?;
    // If the length in the packet is too large, the server may wait for more bytes. The half-close shows that no more bytes follow.
    client.half_close()?;
    client.expect_rejection()
}

/// Sends a first packet that the server has to reject with the FATAL error `expected`.
fn fatal(t: &Target, packet: &[u8], expected: &str) -> Checked {
    let mut client = t.connection()?;
    client.exchange(packet, &[expected])?;
    client.expect_end()
}

/// Checks that the server reports these parameters before the first ReadyForQuery.
fn reports(t: &Target, names: &[&str]) -> Checked {
    let client = t.session()?;
    let parameters = &client.session()?.parameters;
    let missing: Vec<_> = names.iter().filter(|name| parameters.get(name).is_none()).collect();
    ensure(missing.is_empty(), || format!("these parameters were not reported: {missing:?}"))?;
    client.finish()
}

/// Checks the order of the server's messages: requests for authentication, AuthenticationOk, parameters and one cancel key, ReadyForQuery.
fn order(t: &Target) -> Checked {
    let client = t.session()?;
    let mut is_authenticated = false;
    for received in &client.opening {
        let is_right = match received.code() {
            MessageCode::AUTHENTICATION => {
                !std::mem::replace(&mut is_authenticated, received.is("AuthenticationOk"))
            }
            MessageCode::PARAMETER_STATUS | MessageCode::BACKEND_KEY_DATA => is_authenticated,
            MessageCode::NOTICE_RESPONSE => true,
            MessageCode::READY_FOR_QUERY => is_authenticated && received.is("ReadyForQuery I"),
            _ => false,
        };
        if !is_right {
            return failed(format!("{} is not expected here: {}", received.line(), client.opened()));
        }
    }
    for code in [MessageCode::BACKEND_KEY_DATA, MessageCode::READY_FOR_QUERY] {
        let count = client.count(code);
        ensure(count == 1, || format!("expected one {code:?}, received {count}: {}", client.opened()))?;
    }
    client.finish()
}
