//! LISTEN and NOTIFY.

use super::ASYNC;
use crate::check::{CONCURRENT, Check, Checked, SESSION, SQL};
use crate::client::Client;
use crate::message::{query, run, sync};
use crate::target::Target;

const NOTIFICATION: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTIFICATIONRESPONSE";

const IDLE: &str = "ReadyForQuery I";
const KIND: &str = "NotificationResponse";
const NOTIFY: &str = r#"CommandComplete "NOTIFY""#;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "a notification of the own session arrives before ReadyForQuery",
        ASYNC,
        &[SQL, SESSION],
        |t| {
            let (mut client, channel) = listening(t)?;
            client.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
            client.put_aside(KIND, &[&hello(&channel)])?;
            client.finish()
        },
    ),
    Check::new("a notification has the process id of the sender", NOTIFICATION, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        let pid = t.value(&mut client, "select pg_backend_pid()")?;
        client.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
        client.put_aside(KIND, &[&format!(r#"NotificationResponse {pid} "{channel}" "hello""#)])?;
        client.finish()
    }),
    Check::new("a notification without payload has an empty payload", NOTIFICATION, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(&query(&format!("notify {channel}")), &[NOTIFY, IDLE])?;
        client.put_aside(KIND, &[&format!(r#"NotificationResponse * "{channel}" """#)])?;
        client.finish()
    }),
    Check::new("a notification arrives at an idle session", ASYNC, &[SQL, SESSION, CONCURRENT], |t| {
        let (mut client, channel) = listening(t)?;
        let mut other = t.session()?;
        other.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
        client.expect(&[&hello(&channel)])?;
        other.finish()?;
        client.finish()
    }),
    Check::new("a notification is delivered at the end of a transaction", ASYNC, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(
            &query(&format!("begin; notify {channel}, 'hello'")),
            &[r#"CommandComplete "BEGIN""#, NOTIFY, "ReadyForQuery T"],
        )?;
        client.put_aside(KIND, &[])?;
        client.exchange(&query("commit"), &[r#"CommandComplete "COMMIT""#, IDLE])?;
        client.put_aside(KIND, &[&hello(&channel)])?;
        client.finish()
    }),
    Check::new("a session in a transaction gets no notification", ASYNC, &[SQL, SESSION, CONCURRENT], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(&query("begin"), &[r#"CommandComplete "BEGIN""#, "ReadyForQuery T"])?;
        let mut other = t.session()?;
        other.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
        other.finish()?;
        client.exchange(&query(""), &["EmptyQueryResponse", "ReadyForQuery T"])?;
        client.put_aside(KIND, &[])?;
        client.exchange(&query("commit"), &[r#"CommandComplete "COMMIT""#, IDLE])?;
        client.put_aside(KIND, &[&hello(&channel)])?;
        client.finish()
    }),
    Check::new("a notification that is rolled back is not delivered", ASYNC, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(
            &query(&format!("begin; notify {channel}, 'lost'; rollback")),
            &[r#"CommandComplete "BEGIN""#, NOTIFY, r#"CommandComplete "ROLLBACK""#, IDLE],
        )?;
        client.put_aside(KIND, &[])?;
        client.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
        client.put_aside(KIND, &[&hello(&channel)])?;
        client.finish()
    }),
    Check::new(
        "notifications are delivered in order, and duplicates in a transaction once",
        ASYNC,
        &[SQL, SESSION],
        |t| {
            let (mut client, channel) = listening(t)?;
            client.exchange(
                &query(&format!("notify {channel}, '1'; notify {channel}, '2'; notify {channel}, '1'; notify {channel}, '3'")),
                &[NOTIFY, NOTIFY, NOTIFY, NOTIFY, IDLE],
            )?;
            let lines =
                ["1", "2", "3"].map(|payload| format!(r#"NotificationResponse * "{channel}" "{payload}""#));
            client.put_aside(KIND, &lines.each_ref().map(String::as_str))?;
            client.finish()
        },
    ),
    Check::new("a notification arrives in the extended protocol", ASYNC, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(
            &[run(&format!("notify {channel}, 'hello'")), sync()].concat(),
            &["ParseComplete", "BindComplete", NOTIFY, IDLE],
        )?;
        // The manual allows the notification before and after ReadyForQuery, so the check accepts either order.
        if client.put_aside(KIND, &[&hello(&channel)]).is_err() {
            client.put_aside(KIND, &[])?;
            client.expect(&[&hello(&channel)])?;
        }
        client.finish()
    }),
    Check::new("after UNLISTEN no notification arrives", ASYNC, &[SQL, SESSION], |t| {
        let (mut client, channel) = listening(t)?;
        client.exchange(&query(&format!("unlisten {channel}")), &[r#"CommandComplete "UNLISTEN""#, IDLE])?;
        client.exchange(&query(&format!("notify {channel}, 'hello'")), &[NOTIFY, IDLE])?;
        client.put_aside(KIND, &[])?;
        client.finish()
    }),
    Check::new("a payload of 8,000 bytes is rejected with SQLSTATE 22023", ASYNC, &[SQL], |t| {
        let sql = format!("notify interop, '{}'", "x".repeat(8000));
        t.talk([(query(&sql), &["ErrorResponse ERROR 22023", IDLE])])
    }),
];

/// Opens a session that listens to a channel. The name of the channel contains the process id of the session, so no other session uses this
/// channel. Returns the session and the name.
fn listening(t: &Target) -> Checked<(Client<'_>, String)> {
    let mut client = t.session()?;
    let (pid, _) = client.cancel_key()?;
    let channel = format!("interop_{pid:x}");
    client.exchange(&query(&format!("listen {channel}")), &[r#"CommandComplete "LISTEN""#, IDLE])?;
    Ok((client, channel))
}

/// The expected line of a notification with the payload `hello`.
fn hello(channel: &str) -> String {
    format!(r#"NotificationResponse * "{channel}" "hello""#)
}
