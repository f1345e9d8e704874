//! COPY TO STDOUT.

use pg_wire::MessageCode;

use super::COPY;
use crate::check::{Check, SQL, ensure};
use crate::message::{copy_data, copy_done, copy_fail, query, run, sync};

const RESPONSE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYOUTRESPONSE";

const IDLE: &str = "ReadyForQuery I";
/// The answer to a COPY of two columns: the rows and both columns have the text format.
const TEXT: &str = r"CopyOutResponse \x00 2 0 0";
const TWO: &str = r#"CommandComplete "COPY 2""#;
const ROWS: &str = "(values (1, 'a'), (2, null)) v";

pub(super) const CHECKS: &[Check] = &[
    Check::new("COPY TO STDOUT in text format", COPY, &[SQL], |t| {
        t.talk([(
            query(&format!("copy (select * from {ROWS}) to stdout")),
            &[
                TEXT,
                r"CopyData '1\x09a\x0a'",
                r"CopyData '2\x09\\N\x0a' | CopyData '2\x09\N\x0a'",
                "CopyDone",
                TWO,
                IDLE,
            ],
        )])
    }),
    Check::new("COPY TO STDOUT in CSV format with a header", COPY, &[SQL], |t| {
        t.talk([(
            query(&format!(
                "copy (select column1 as x, column2 as y from {ROWS}) to stdout (format csv, header)"
            )),
            &[
                TEXT,
                r"CopyData 'x,y\x0a'",
                r"CopyData '1,a\x0a'",
                r"CopyData '2,\x0a'",
                "CopyDone",
                TWO,
                IDLE,
            ],
        )])
    }),
    Check::new("COPY TO STDOUT in binary format", COPY, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("copy (select 7::int4) to stdout (format binary)"),
            &[r"CopyOutResponse \x01 1 1"],
        )?;
        // The server may divide the header, the row and the trailer into messages in any way. So the check joins the data of all messages.
        let mut data = Vec::new();
        let mut received = client.reply()?;
        while received.code() == MessageCode::COPY_DATA {
            data.extend_from_slice(&received.frame.body);
            received = client.reply()?;
        }
        let expected = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\x07\xff\xff";
        ensure(data == expected, || format!("received {}", data.escape_ascii()))?;
        ensure(received.is("CopyDone"), || format!("expected CopyDone; received {}", received.shown()))?;
        client.expect(&[r#"CommandComplete "COPY 1""#, IDLE])?;
        client.finish()
    }),
    Check::new("COPY TO STDOUT without rows", COPY, &[SQL], |t| {
        t.talk([(
            query("copy (select 1, 2 where false) to stdout"),
            &[TEXT, "CopyDone", r#"CommandComplete "COPY 0""#, IDLE],
        )])
    }),
    Check::new("COPY TO STDOUT without columns", RESPONSE, &[SQL], |t| {
        t.talk([(
            query("copy (select) to stdout"),
            &[r"CopyOutResponse \x00 0", r"CopyData '\x0a'", "CopyDone", r#"CommandComplete "COPY 1""#, IDLE],
        )])
    }),
    Check::new("an error ends COPY TO STDOUT without CopyDone", COPY, &[SQL], |t| {
        t.talk([(
            query("copy (select 6 / (3 - i) from generate_series(1, 5) i) to stdout"),
            &[
                r"CopyOutResponse \x00 1 0",
                r"CopyData '3\x0a'",
                r"CopyData '6\x0a'",
                "ErrorResponse ERROR 22012",
                IDLE,
            ],
        )])
    }),
    Check::new("COPY TO STDOUT in the extended protocol", COPY, &[SQL], |t| {
        t.talk([(
            [run("copy (select 7) to stdout"), sync()].concat(),
            &[
                "ParseComplete",
                "BindComplete",
                r"CopyOutResponse \x00 1 0",
                r"CopyData '7\x0a'",
                "CopyDone",
                r#"CommandComplete "COPY 1""#,
                IDLE,
            ],
        )])
    }),
    Check::new(
        "an error of COPY TO STDOUT in the extended protocol discards messages up to Sync",
        COPY,
        &[SQL],
        |t| {
            t.talk([(
                [
                    run("copy (select 1 / (2 - i) from generate_series(1, 5) i) to stdout"),
                    run("select 8"),
                    sync(),
                ]
                .concat(),
                &[
                    "ParseComplete",
                    "BindComplete",
                    r"CopyOutResponse \x00 1 0",
                    r"CopyData '1\x0a'",
                    "ErrorResponse ERROR 22012",
                    IDLE,
                ],
            )])
        },
    ),
    Check::new("COPY TO STDOUT between other statements of a query", COPY, &[SQL], |t| {
        t.talk([(
            query("select 7; copy (select 7) to stdout; copy (select 8) to stdout; select 7"),
            &[
                "RowDescription 1 *",
                "DataRow 1 1 '7'",
                r#"CommandComplete "SELECT 1""#,
                r"CopyOutResponse \x00 1 0",
                r"CopyData '7\x0a'",
                "CopyDone",
                r#"CommandComplete "COPY 1""#,
                r"CopyOutResponse \x00 1 0",
                r"CopyData '8\x0a'",
                "CopyDone",
                r#"CommandComplete "COPY 1""#,
                "RowDescription 1 *",
                "DataRow 1 1 '7'",
                r#"CommandComplete "SELECT 1""#,
                IDLE,
            ],
        )])
    }),
    Check::new("COPY TO STDOUT of 10,000 rows", COPY, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("copy (select i from generate_series(1, 10000) i) to stdout"),
            &[r"CopyOutResponse \x00 1 0"],
        )?;
        for number in 1..=10_000 {
            client.expect(&[&format!(r"CopyData '{number}\x0a'")])?;
        }
        client.expect(&["CopyDone", r#"CommandComplete "COPY 10000""#, IDLE])?;
        client.finish()
    }),
    Check::new("CopyData, CopyDone and CopyFail without a COPY are ignored", COPY, &[SQL], |t| {
        t.talk([
            ([copy_data(b"1\n"), copy_done(), query("")].concat(), &["EmptyQueryResponse", IDLE]),
            ([copy_fail("interop"), sync()].concat(), &[IDLE]),
        ])
    }),
];
