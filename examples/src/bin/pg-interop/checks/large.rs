//! Large messages, and messages with many parts.

use super::{CONCEPTS, EXTENDED, SIMPLE};
use crate::check::{Check, SQL, ensure};
use crate::message::{Value, bind, bind_with, describe_portal, execute, parse, parse_typed, query, sync};

const BIND: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BIND";

const IDLE: &str = "ReadyForQuery I";
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const LARGE: usize = 16 << 20;

pub(super) const CHECKS: &[Check] = &[
    Check::new("a parameter of 16 MB arrives", CONCEPTS, &[SQL], |t| {
        let mut client = t.session()?;
        let value = vec![b'x'; LARGE];
        client.exchange(
            &[
                parse("", "select length($1::text), md5($1::text) = md5(repeat('x', 16777216))"),
                bind("", "", &[Some(&value)]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            &["ParseComplete", "BindComplete", "DataRow 2 8 '16777216' 1 't'", ONE, IDLE],
        )?;
        client.finish()
    }),
    Check::new("a value of 16 MB is sent", CONCEPTS, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(&query("select repeat('x', 16777216)"), &["RowDescription 1 *"])?;
        let row = client.reply()?;
        let is_right =
            row.frame.body.len() == 6 + LARGE && row.frame.body[6..].iter().all(|byte| *byte == b'x');
        ensure(is_right, || format!("received {}", row.shown()))?;
        client.expect(&[ONE, IDLE])?;
        client.finish()
    }),
    Check::new("a query of 16 MB is run", SIMPLE, &[SQL], |t| {
        let sql = format!("select 7 /* {} */", "x".repeat(LARGE));
        t.talk([(query(&sql), &["RowDescription 1 *", "DataRow 1 1 '7'", ONE, IDLE])])
    }),
    Check::new("a statement may have 65,535 parameters", BIND, &[SQL], |t| {
        let mut client = t.session()?;
        let values: Vec<Value<'_>> = vec![Some(b"7"); 65_535];
        let sql = "select $1::int4 + $65535::int4";
        client.exchange(
            &[parse_typed("", sql, &vec![23; 65_535]), bind("", "", &values), execute("", 0), sync()]
                .concat(),
            &["ParseComplete", "BindComplete", "DataRow 1 2 '14'", ONE, IDLE],
        )?;
        client.finish()
    }),
    Check::new("Bind may have 65,535 format codes", BIND, &[SQL], |t| {
        let mut client = t.session()?;
        let values: Vec<Value<'_>> = vec![Some(b"\0\0\0\x07"); 65_535];
        let sql = "select $1::int4 + $65535::int4";
        client.exchange(
            &[
                parse_typed("", sql, &vec![23; 65_535]),
                bind_with("", "", &vec![1; 65_535], &values, &[]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            &["ParseComplete", "BindComplete", "DataRow 1 2 '14'", ONE, IDLE],
        )?;
        client.finish()
    }),
    Check::new("a row may have 1,600 columns", EXTENDED, &[SQL], |t| {
        let columns: Vec<String> = (0..1600).map(|number| format!("{number}::int4 as c{number}")).collect();
        let mut client = t.session()?;
        let sql = format!("select {}", columns.join(", "));
        client.exchange(
            &[parse("", &sql), bind("", "", &[]), describe_portal(""), execute("", 0), sync()].concat(),
            &[
                "ParseComplete",
                "BindComplete",
                r#"RowDescription 1600 "c0" 0 0 23 4 -1 0 * "c1599" 0 0 23 4 -1 0"#,
            ],
        )?;
        let row = client.reply()?;
        let expected: Vec<_> = (0..1600).map(|number| Some(number.to_string().into_bytes())).collect();
        ensure(row.values() == expected, || format!("received {}", row.shown()))?;
        client.expect(&[ONE, IDLE])?;
        client.finish()
    }),
    Check::new("100,000 rows arrive in order", SIMPLE, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(&query("select i from generate_series(1, 100000) i"), &["RowDescription 1 *"])?;
        for number in 1..=100_000_u32 {
            let row = client.reply()?;
            let value = number.to_string();
            ensure(row.frame.body.get(6..) == Some(value.as_bytes()), || {
                format!("expected {value}, received {}", row.shown())
            })?;
        }
        client.expect(&[r#"CommandComplete "SELECT 100000""#, IDLE])?;
        client.finish()
    }),
];
