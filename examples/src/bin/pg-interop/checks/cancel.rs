//! Cancel requests.

use pg_wire::frontend::ProtocolVersion;

use super::CANCEL;
use crate::check::Need::Since;
use crate::check::{CONCURRENT, Check, Checked, SQL, failed};
use crate::client::Client;
use crate::message::{cancel_request, parse, query, run, sync};
use crate::target::Target;

const REQUEST: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CANCELREQUEST";

/// A statement that runs until it is cancelled. The server sends the notice when the statement has begun.
const SLEEP: &str = "do $$ begin raise notice 'begun'; perform pg_sleep(300); end $$";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "a cancel request with the right key cancels the statement",
        CANCEL,
        &[SQL, CONCURRENT],
        |t| {
            let mut client = asleep(t, "")?;
            cancelled(t, &mut client, "ReadyForQuery I")?;
            client.finish()
        },
    ),
    Check::new(
        "a cancel request in a transaction makes the transaction fail",
        CANCEL,
        &[SQL, CONCURRENT],
        |t| {
            let mut client = asleep(t, "begin")?;
            cancelled(t, &mut client, "ReadyForQuery E")?;
            client.exchange(&query("rollback"), &["CommandComplete \"ROLLBACK\"", "ReadyForQuery I"])?;
            client.finish()
        },
    ),
    Check::new(
        "a cancel request in the extended protocol discards messages up to Sync",
        CANCEL,
        &[SQL, CONCURRENT],
        |t| {
            let mut client = t.session()?;
            client.send(&[run(SLEEP), run("select 1"), sync()].concat())?;
            client.expect(&["ParseComplete", "BindComplete", "NoticeResponse NOTICE *"])?;
            cancelled(t, &mut client, "ReadyForQuery I")?;
            client.finish()
        },
    ),
    Check::new("a cancel request with a wrong key has no effect", CANCEL, &[SQL, CONCURRENT], |t| {
        ignored(t, |pid, key| {
            let mut wrong = key.to_vec();
            wrong[0] ^= 1;
            cancel_request(pid, &wrong)
        })
    }),
    Check::new("a cancel request with a wrong process id has no effect", CANCEL, &[SQL, CONCURRENT], |t| {
        ignored(t, |pid, key| cancel_request(pid ^ 0x4000_0000, key))
    }),
    Check::new(
        "a cancel request with a part of the key has no effect",
        REQUEST,
        &[SQL, CONCURRENT, Since(18)],
        |t| {
            let mut client = asleep_with(t, ProtocolVersion::V3_2, "")?;
            let (pid, key) = client.cancel_key()?;
            if key.len() <= 4 {
                return failed(format!("the key has {} bytes", key.len()));
            }
            request(t, &cancel_request(pid, &key[..4]))?;
            cancelled(t, &mut client, "ReadyForQuery I")?;
            client.finish()
        },
    ),
    Check::new(
        "a cancel request with a long key cancels the statement",
        REQUEST,
        &[SQL, CONCURRENT, Since(18)],
        |t| {
            let mut client = asleep_with(t, ProtocolVersion::V3_2, "")?;
            cancelled(t, &mut client, "ReadyForQuery I")?;
            client.finish()
        },
    ),
    Check::new("a cancel request without a key has no effect", REQUEST, &[SQL, CONCURRENT], |t| {
        ignored(t, |pid, _| cancel_request(pid, b""))
    }),
    Check::new("a cancel request with a key of 300 bytes has no effect", REQUEST, &[SQL, CONCURRENT], |t| {
        ignored(t, |pid, _| cancel_request(pid, &[7; 300]))
    }),
    Check::new("a cancel request for an idle session has no effect", CANCEL, &[CONCURRENT], |t| {
        let client = t.session()?;
        let (pid, key) = client.cancel_key()?;
        request(t, &cancel_request(pid, &key))?;
        client.finish()
    }),
    Check::new(
        "a cancel request for an idle session does not cancel the next statement",
        CANCEL,
        &[SQL, CONCURRENT],
        |t| {
            let mut client = t.session()?;
            let (pid, key) = client.cancel_key()?;
            request(t, &cancel_request(pid, &key))?;
            client
                .exchange(&[parse("", "select 1"), sync()].concat(), &["ParseComplete", "ReadyForQuery I"])?;
            client.exchange(
                &query("select 7 as a"),
                &["RowDescription 1 *", "DataRow 1 1 '7'", "CommandComplete *", "ReadyForQuery I"],
            )?;
            client.finish()
        },
    ),
];

/// Sends a cancel request over a new connection, and waits until the server closes this connection. An answer is a failure, because the
/// server must not answer a cancel request.
fn request(t: &Target, packet: &[u8]) -> Checked {
    let mut client = t.connection()?;
    client.send(packet)?;
    client.expect_end()
}

/// Opens a session, runs `before`, and starts a statement that runs until it is cancelled.
fn asleep<'t>(t: &'t Target, before: &str) -> Checked<Client<'t>> {
    asleep_with(t, ProtocolVersion::V3_0, before)
}

fn asleep_with<'t>(t: &'t Target, version: ProtocolVersion, before: &str) -> Checked<Client<'t>> {
    let mut client = t.session_with(&t.config.clone().protocol_versions(ProtocolVersion::V3_0, version))?;
    if !before.is_empty() {
        client.exchange(&query(before), &["CommandComplete *", "ReadyForQuery T"])?;
    }
    client.exchange(&query(SLEEP), &["NoticeResponse NOTICE 00000"])?;
    Ok(client)
}

/// Cancels the running statement of a session. Checks that the session receives the error 57014 and then the line `ready`.
fn cancelled(t: &Target, client: &mut Client<'_>, ready: &str) -> Checked {
    let (pid, key) = client.cancel_key()?;
    request(t, &cancel_request(pid, &key))?;
    client.expect(&["ErrorResponse ERROR 57014", ready])
}

/// Sends a cancel request that the server has to ignore, and checks that the running statement completes.
fn ignored(t: &Target, packet: impl Fn(i32, &[u8]) -> Vec<u8>) -> Checked {
    let mut client = t.session()?;
    let (pid, key) = client.cancel_key()?;
    let sql = "do $$ begin raise notice 'begun'; perform pg_sleep(0.2); end $$";
    client.exchange(&query(sql), &["NoticeResponse NOTICE 00000"])?;
    request(t, &packet(pid, &key))?;
    client.expect(&["CommandComplete \"DO\"", "ReadyForQuery I"])?;
    client.finish()
}
