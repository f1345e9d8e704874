//! Several requests that are sent at once, Flush, and the messages that are discarded after an error.

use super::{EXTENDED, PIPELINING};
use crate::check::{Check, PREPARED, SQL};
use crate::message::{
    bind, close_statement, describe_statement, execute, flush, function_call, parse, query, run, sync,
};

const IDLE: &str = "ReadyForQuery I";
const PARSED: &str = "ParseComplete";
const BOUND: &str = "BindComplete";
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const ROW: &str = "DataRow 1 1 '7'";
const SYNTAX: &str = "ErrorResponse ERROR 42601";

pub(super) const CHECKS: &[Check] = &[
    Check::new("Sync alone is answered by ReadyForQuery", EXTENDED, &[], |t| {
        t.talk([(sync(), &[IDLE]), ([sync(), sync(), sync()].concat(), &[IDLE, IDLE, IDLE])])
    }),
    Check::new("Flush has no reply of its own", EXTENDED, &[], |t| {
        t.talk([([flush(), flush(), sync()].concat(), &[IDLE])])
    }),
    Check::new("Flush makes the server send its replies before Sync", EXTENDED, &[SQL], |t| {
        t.talk([
            ([parse("", "select 7"), flush()].concat(), &[PARSED]),
            ([bind("", "", &[]), flush()].concat(), &[BOUND]),
            ([execute("", 0), flush()].concat(), &[ROW, ONE]),
            (sync(), &[IDLE]),
        ])
    }),
    Check::new("an error is sent before Sync", EXTENDED, &[SQL], |t| {
        t.talk([(parse("", "selekt"), &[SYNTAX]), (sync(), &[IDLE])])
    }),
    Check::new("after an error all messages up to Sync are discarded", EXTENDED, &[SQL], |t| {
        t.talk([(
            [
                parse("", "selekt"),
                parse("", "selekt again"),
                bind("none", "none", &[]),
                describe_statement("none"),
                execute("none", 0),
                close_statement("none"),
                flush(),
                sync(),
            ]
            .concat(),
            &[SYNTAX, IDLE],
        )])
    }),
    Check::new("after an error a Query before Sync is discarded", EXTENDED, &[SQL], |t| {
        t.talk([([parse("", "selekt"), query("select 7"), sync()].concat(), &[SYNTAX, IDLE])])
    }),
    Check::new("after an error a FunctionCall before Sync is discarded", EXTENDED, &[SQL], |t| {
        t.talk([([parse("", "selekt"), function_call(0, &[], &[], 0), sync()].concat(), &[SYNTAX, IDLE])])
    }),
    Check::new("after Sync the next request is answered", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "selekt"), sync(), run("select 7"), sync()].concat(),
            &[SYNTAX, IDLE, PARSED, BOUND, ROW, ONE, IDLE],
        )])
    }),
    Check::new("an error affects the requests up to its own Sync only", PIPELINING, &[SQL], |t| {
        t.talk([(
            [
                run("select 7"),
                sync(),
                run("select 7"),
                parse("", "selekt"),
                run("select 8"),
                sync(),
                run("select 7"),
                sync(),
            ]
            .concat(),
            &[
                PARSED, BOUND, ROW, ONE, IDLE, PARSED, BOUND, ROW, ONE, SYNTAX, IDLE, PARSED, BOUND, ROW,
                ONE, IDLE,
            ],
        )])
    }),
    Check::new("a Query in a pipeline is answered in order", PIPELINING, &[SQL], |t| {
        t.talk([(
            [run("select 7"), sync(), query("select 7"), run("select 7"), sync()].concat(),
            &[
                PARSED,
                BOUND,
                ROW,
                ONE,
                IDLE,
                "RowDescription 1 *",
                ROW,
                ONE,
                IDLE,
                PARSED,
                BOUND,
                ROW,
                ONE,
                IDLE,
            ],
        )])
    }),
    Check::new("a Query without Sync before it is answered in order", EXTENDED, &[SQL], |t| {
        // The manual does not say whether a Query ends the implicit transaction of the requests before it, as Sync does. All requests are
        // sent together, so that a pooler sends them to the same session of the server.
        t.talk([(
            [run("select 7"), query("select 7"), sync(), query("")].concat(),
            &[
                PARSED,
                BOUND,
                ROW,
                ONE,
                "RowDescription 1 *",
                ROW,
                ONE,
                "ReadyForQuery I | ReadyForQuery T",
                IDLE,
                "EmptyQueryResponse",
                IDLE,
            ],
        )])
    }),
    Check::new("the messages of a request may arrive in pieces of one byte", EXTENDED, &[SQL], |t| {
        let mut client = t.session()?;
        for byte in [run("select 7"), sync()].concat() {
            client.send(&[byte])?;
        }
        client.expect(&[PARSED, BOUND, ROW, ONE, IDLE])?;
        client.finish()
    }),
    Check::new(
        "10,000 requests are answered while the client still sends",
        PIPELINING,
        &[SQL, PREPARED],
        |t| {
            let mut client = t.session()?;
            let one = [bind("", "interop", &[]), execute("", 0), sync()].concat();
            let sql = "select repeat('x', 300)";
            client.exchange(&[parse("interop", sql), sync()].concat(), &[PARSED, IDLE])?;
            client.send(&one.repeat(10_000))?;
            let row = format!("DataRow 1 300 '{}'", "x".repeat(300));
            for _ in 0..10_000 {
                client.expect(&[BOUND, &row, ONE, IDLE])?;
            }
            client.finish()
        },
    ),
];
