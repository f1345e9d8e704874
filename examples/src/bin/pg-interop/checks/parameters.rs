//! Parameters of the session: reports of changes, and client encodings.

use super::ASYNC;
use crate::check::Need::Since;
use crate::check::{Check, Checked, PREPARED, SESSION, SQL, ensure};
use crate::client::Client;
use crate::message::{bind, execute, parse, query, run, sync};
use crate::target::Target;

const ENCODING: &str = "multibyte.html#MULTIBYTE-CONVERSION-SUPPORTED";
const DISCARD: &str = "sql-discard.html";

const IDLE: &str = "ReadyForQuery I";
const KIND: &str = "ParameterStatus";
const SET: &str = r#"CommandComplete "SET""#;
const BEGIN: &str = r#"CommandComplete "BEGIN""#;
const ROLLBACK: &str = r#"CommandComplete "ROLLBACK""#;
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const TOKYO: &str = r#"ParameterStatus "TimeZone" "Asia/Tokyo""#;

pub(super) const CHECKS: &[Check] = &[
    Check::new("SET of a reported parameter is reported before ReadyForQuery", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(&query("set timezone = 'Asia/Tokyo'"), &[SET, IDLE])?;
        client.put_aside(KIND, &[TOKYO])?;
        client.finish()
    }),
    Check::new("SET in the extended protocol is reported", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &[run("set timezone = 'Asia/Tokyo'"), sync()].concat(),
            &["ParseComplete", "BindComplete", SET, IDLE],
        )?;
        client.put_aside(KIND, &[TOKYO])?;
        client.finish()
    }),
    Check::new("the end value of several changes is reported", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(&query("set timezone = 'UTC'; set timezone = 'Asia/Tokyo'"), &[SET, SET, IDLE])?;
        // The query sets the parameter twice. The manual does not say whether the server reports the first value too, so the check compares
        // only the last report.
        let last = client.last_aside(KIND);
        ensure(last.as_deref() == Some(TOKYO), || format!("the last report was {last:?}"))?;
        client.finish()
    }),
    Check::new("a rollback restores a parameter, and reports the old value", ASYNC, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "UTC"))?;
        client.exchange(&query("begin; set timezone = 'Asia/Tokyo'"), &[BEGIN, SET, "ReadyForQuery T"])?;
        client.put_aside(KIND, &[TOKYO])?;
        client.exchange(&query("rollback"), &[ROLLBACK, IDLE])?;
        client.put_aside(KIND, &[r#"ParameterStatus "TimeZone" "UTC""#])?;
        client.finish()
    }),
    Check::new("an error restores a parameter, and the old value is reported", ASYNC, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "UTC"))?;
        client.exchange(&query("begin; set timezone = 'Asia/Tokyo'"), &[BEGIN, SET, "ReadyForQuery T"])?;
        client.exchange(&query("selekt"), &["ErrorResponse ERROR 42601", "ReadyForQuery E"])?;
        client.put_aside(KIND, &[r#"ParameterStatus "TimeZone" "UTC""#])?;
        client.exchange(&query("rollback"), &[ROLLBACK, IDLE])?;
        client.finish()
    }),
    Check::new("SET LOCAL is reported, and the end of the transaction too", ASYNC, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "UTC"))?;
        client
            .exchange(&query("begin; set local timezone = 'Asia/Tokyo'"), &[BEGIN, SET, "ReadyForQuery T"])?;
        client.put_aside(KIND, &[TOKYO])?;
        client.exchange(&query("commit"), &[r#"CommandComplete "COMMIT""#, IDLE])?;
        client.put_aside(KIND, &[r#"ParameterStatus "TimeZone" "UTC""#])?;
        client.finish()
    }),
    Check::new("set_config of a reported parameter is reported", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("select set_config('TimeZone', 'Asia/Tokyo', false)"),
            &["RowDescription 1 *", "DataRow 1 10 'Asia/Tokyo'", ONE, IDLE],
        )?;
        client.put_aside(KIND, &[TOKYO])?;
        client.finish()
    }),
    Check::new("SET of the same value is not reported", ASYNC, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "Asia/Tokyo"))?;
        client.exchange(&query("set timezone = 'Asia/Tokyo'"), &[SET, IDLE])?;
        client.put_aside(KIND, &[])?;
        client.finish()
    }),
    Check::new("SET of a parameter that is not reported has no ParameterStatus", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client
            .exchange(&query("begin; set local work_mem = '1MB'; rollback"), &[BEGIN, SET, ROLLBACK, IDLE])?;
        client.put_aside(KIND, &[])?;
        client.finish()
    }),
    Check::new("SET search_path is reported", ASYNC, &[SQL, SESSION, Since(18)], |t| {
        let mut client = t.session()?;
        client.exchange(&query("set search_path = interop"), &[SET, IDLE])?;
        client.put_aside(KIND, &[r#"ParameterStatus "search_path" "interop""#])?;
        client.finish()
    }),
    Check::new("SET of an unknown parameter is rejected with SQLSTATE 42704", ASYNC, &[SQL], |t| {
        t.talk([(query("set interop_no_such_parameter = 1"), &["ErrorResponse ERROR 42704", IDLE])])
    }),
    Check::new("RESET reports the value of the start-up message", ASYNC, &[SQL, SESSION], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "Europe/Paris"))?;
        client.exchange(&query("set timezone = 'Asia/Tokyo'"), &[SET, IDLE])?;
        client.exchange(&query("reset timezone"), &[r#"CommandComplete "RESET""#, IDLE])?;
        client.put_aside(KIND, &[r#"ParameterStatus "TimeZone" "Europe/Paris""#])?;
        client.finish()
    }),
    Check::new(
        "DISCARD ALL resets parameters and prepared statements",
        DISCARD,
        &[SQL, SESSION, PREPARED],
        |t| {
            let mut client = t.session_with(&t.config.clone().with_parameter("TimeZone", "Europe/Paris"))?;
            client.exchange(&query("set timezone = 'Asia/Tokyo'"), &[SET, IDLE])?;
            client.exchange(&[parse("interop", "select 7"), sync()].concat(), &["ParseComplete", IDLE])?;
            client.exchange(&query("discard all"), &[r#"CommandComplete "DISCARD ALL""#, IDLE])?;
            client.put_aside(KIND, &[r#"ParameterStatus "TimeZone" "Europe/Paris""#])?;
            client.exchange(
                &[bind("", "interop", &[]), sync()].concat(),
                &["ErrorResponse ERROR 26000", IDLE],
            )?;
            client.finish()
        },
    ),
    Check::new(
        "DISCARD ALL in a transaction is rejected with SQLSTATE 25001",
        DISCARD,
        &[SQL, SESSION],
        |t| {
            t.talk([
                (query("begin"), &[BEGIN, "ReadyForQuery T"]),
                (query("discard all"), &["ErrorResponse ERROR 25001", "ReadyForQuery E"]),
                (query("rollback"), &[ROLLBACK, IDLE]),
            ])
        },
    ),
    Check::new("SET client_encoding is reported", ENCODING, &[SQL], |t| {
        let mut client = latin1(t)?;
        client.put_aside(KIND, &[r#"ParameterStatus "client_encoding" "LATIN1""#])?;
        client.finish()
    }),
    Check::new("client_encoding of the start-up message is used and reported", ENCODING, &[SQL], |t| {
        let mut client = t.session_with(&t.config.clone().with_parameter("client_encoding", "LATIN1"))?;
        let reported = client.session()?.parameters.get("client_encoding").map(str::to_owned);
        ensure(reported.as_deref() == Some("LATIN1"), || format!("it was reported as {reported:?}"))?;
        client
            .exchange(&query("select chr(233)"), &["RowDescription 1 *", r"DataRow 1 1 '\xe9'", ONE, IDLE])?;
        client.finish()
    }),
    Check::new("values are sent in the client encoding", ENCODING, &[SQL], |t| {
        let mut client = latin1(t)?;
        client
            .exchange(&query("select chr(233)"), &["RowDescription 1 *", r"DataRow 1 1 '\xe9'", ONE, IDLE])?;
        client.finish()
    }),
    Check::new("queries, names and parameters are read in the client encoding", ENCODING, &[SQL], |t| {
        let mut client = latin1(t)?;
        client.send(&crate::message::raw(b'Q', b"select ascii('\xe9') as \"\xe9\"\0"))?;
        let description = client.reply()?;
        ensure(description.frame.body.get(2..4) == Some(b"\xe9\0"), || {
            format!("received {}", description.shown())
        })?;
        client.expect(&["DataRow 1 3 '233'", ONE, IDLE])?;
        client.exchange(
            &[parse("", "select ascii($1)"), bind("", "", &[Some(b"\xe9")]), execute("", 0), sync()].concat(),
            &["ParseComplete", "BindComplete", "DataRow 1 3 '233'", ONE, IDLE],
        )?;
        client.finish()
    }),
    Check::new("a binary value is not changed by the client encoding", ENCODING, &[SQL], |t| {
        let mut client = latin1(t)?;
        client.exchange(
            &[
                parse("", "select $1::bytea"),
                crate::message::bind_with("", "", &[1], &[Some(b"\xe9\0")], &[1]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            &["ParseComplete", "BindComplete", r"DataRow 1 2 '\xe9\x00'", ONE, IDLE],
        )?;
        client.finish()
    }),
    Check::new(
        "a character that the client encoding lacks is an error with SQLSTATE 22P05",
        ENCODING,
        &[SQL],
        |t| {
            let mut client = latin1(t)?;
            client.exchange(
                &query("select chr(8364)"),
                &["RowDescription 1 *", "ErrorResponse ERROR 22P05", IDLE],
            )?;
            client.finish()
        },
    ),
    Check::new(
        "a query that is not in the client encoding is rejected with SQLSTATE 22021",
        ENCODING,
        &[SQL],
        |t| t.talk([(crate::message::raw(b'Q', b"select '\xff'\0"), &["ErrorResponse ERROR 22021", IDLE])]),
    ),
    Check::new(
        "a statement that is not in the client encoding is rejected with SQLSTATE 22021",
        ENCODING,
        &[SQL],
        |t| {
            let parse = crate::message::raw(b'P', b"\0select '\xff'\0\0\0");
            t.talk([([parse, sync()].concat(), &["ErrorResponse ERROR 22021", IDLE])])
        },
    ),
    Check::new("an unknown client encoding is rejected with SQLSTATE 22023", ENCODING, &[SQL], |t| {
        t.talk([(query("set client_encoding = 'interop'"), &["ErrorResponse ERROR 22023", IDLE])])
    }),
    Check::new("names that are not ASCII are returned unchanged", ENCODING, &[SQL], |t| {
        t.talk([(
            query("select 7::int4 as \"naïve 名前\""),
            &["RowDescription 1 \"naïve 名前\" 0 0 23 4 -1 0", "DataRow 1 1 '7'", ONE, IDLE],
        )])
    }),
];

/// Opens a session with the client encoding LATIN1.
fn latin1(t: &Target) -> Checked<Client<'_>> {
    let mut client = t.session_with(&t.config.clone().with_parameter("client_encoding", "UTF8"))?;
    client.exchange(&query("set client_encoding = 'LATIN1'"), &[SET, IDLE])?;
    Ok(client)
}
