//! Execute, with and without a limit on the number of rows.

use super::EXTENDED;
use crate::check::{Check, PREPARED, SQL, ensure};
use crate::message::{bind, execute, parse, query, raw, run, sync};

const EXECUTE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-EXECUTE";

const IDLE: &str = "ReadyForQuery I";
const PARSED: &str = "ParseComplete";
const BOUND: &str = "BindComplete";
const THREE_ROWS: &str = "select * from (values (1), (2), (3)) as v";

pub(super) const CHECKS: &[Check] = &[
    Check::new("Execute returns rows without RowDescription", EXTENDED, &[SQL], |t| {
        t.talk([(
            [run("select 7"), sync()].concat(),
            &[PARSED, BOUND, "DataRow 1 1 '7'", r#"CommandComplete "SELECT 1""#, IDLE],
        )])
    }),
    Check::new("Execute of an empty query is answered by EmptyQueryResponse", EXTENDED, &[SQL], |t| {
        t.talk([([run(""), sync()].concat(), &[PARSED, BOUND, "EmptyQueryResponse", IDLE])])
    }),
    Check::new("Execute with a row limit is answered by PortalSuspended", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", THREE_ROWS), bind("", "", &[]), execute("", 2), sync()].concat(),
            &[PARSED, BOUND, "DataRow 1 1 '1'", "DataRow 1 1 '2'", "PortalSuspended", IDLE],
        )])
    }),
    Check::new("Execute continues a suspended portal", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", THREE_ROWS), bind("", "", &[]), execute("", 2), execute("", 2), sync()].concat(),
            &[
                PARSED,
                BOUND,
                "DataRow 1 1 '1'",
                "DataRow 1 1 '2'",
                "PortalSuspended",
                "DataRow 1 1 '3'",
                r#"CommandComplete "SELECT 1""#,
                IDLE,
            ],
        )])
    }),
    Check::new("Execute without a limit returns the rest of a suspended portal", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", THREE_ROWS), bind("", "", &[]), execute("", 1), execute("", 0), sync()].concat(),
            &[
                PARSED,
                BOUND,
                "DataRow 1 1 '1'",
                "PortalSuspended",
                "DataRow 1 1 '2'",
                "DataRow 1 1 '3'",
                r#"CommandComplete "SELECT 2""#,
                IDLE,
            ],
        )])
    }),
    Check::new("Execute with a limit over the number of rows completes", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", THREE_ROWS), bind("", "", &[]), execute("", 4), sync()].concat(),
            &[
                PARSED,
                BOUND,
                "DataRow 1 1 '1'",
                "DataRow 1 1 '2'",
                "DataRow 1 1 '3'",
                r#"CommandComplete "SELECT 3""#,
                IDLE,
            ],
        )])
    }),
    Check::new("a suspended portal can be continued after Sync in a transaction", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[r#"CommandComplete "BEGIN""#, "ReadyForQuery T"]),
            (
                [parse("", THREE_ROWS), bind("p", "", &[]), execute("p", 2), sync()].concat(),
                &[PARSED, BOUND, "DataRow 1 1 '1'", "DataRow 1 1 '2'", "PortalSuspended", "ReadyForQuery T"],
            ),
            (
                [execute("p", 2), sync()].concat(),
                &["DataRow 1 1 '3'", r#"CommandComplete "SELECT 1""#, "ReadyForQuery T"],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
    Check::new("a completed SELECT returns no further rows", EXTENDED, &[SQL], |t| {
        t.talk([(
            [run("select 7"), execute("", 0), sync()].concat(),
            &[
                PARSED,
                BOUND,
                "DataRow 1 1 '7'",
                r#"CommandComplete "SELECT 1""#,
                r#"CommandComplete "SELECT 0""#,
                IDLE,
            ],
        )])
    }),
    Check::new("a completed statement without rows cannot be executed again", EXTENDED, &[SQL], |t| {
        t.talk([(
            [run("set local work_mem = '1MB'"), execute("", 0), sync()].concat(),
            &[PARSED, BOUND, r#"CommandComplete "SET""#, "ErrorResponse ERROR 55000", IDLE],
        )])
    }),
    Check::new(
        "Execute of a portal that does not exist is rejected with SQLSTATE 34000",
        EXTENDED,
        &[],
        |t| t.talk([([execute("interop_none", 0), sync()].concat(), &["ErrorResponse ERROR 34000", IDLE])]),
    ),
    Check::new("Execute without the row limit is rejected with SQLSTATE 08P01", EXECUTE, &[SQL], |t| {
        t.talk([(
            [parse("", "select 7"), bind("", "", &[]), raw(b'E', b"\0"), sync()].concat(),
            &[PARSED, BOUND, "ErrorResponse ERROR 08P01", IDLE],
        )])
    }),
    Check::new("an error after some rows ends the rows", EXTENDED, &[SQL], |t| {
        t.talk([(
            [run("select 6 / (3 - i) from generate_series(1, 5) i"), sync()].concat(),
            &[PARSED, BOUND, "DataRow 1 1 '3'", "DataRow 1 1 '6'", "ErrorResponse ERROR 22012", IDLE],
        )])
    }),
    Check::new("1,000 executions of 3 rows are answered in order", EXTENDED, &[SQL, PREPARED], |t| {
        let mut client = t.session()?;
        let mut messages = parse("interop", "select $1::int4 + i from generate_series(1, 3) i");
        for number in 0..1000 {
            messages.extend(bind("", "interop", &[Some(format!("{number}").as_bytes())]));
            messages.extend(execute("", 0));
        }
        messages.extend(sync());
        client.exchange(&messages, &[PARSED])?;
        for number in 0..1000 {
            client.expect(&[BOUND])?;
            for row in 1..=3 {
                let received = client.reply()?;
                let value = (number + row).to_string();
                ensure(received.values() == [Some(value.clone().into_bytes())], || {
                    format!("expected the value {value}; received {}", received.shown())
                })?;
            }
            client.expect(&[r#"CommandComplete "SELECT 3""#])?;
        }
        client.expect(&[IDLE])?;
        client.finish()
    }),
];
