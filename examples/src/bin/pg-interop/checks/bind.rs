//! Bind: parameters and format codes.

use super::{EXTENDED, FORMATS};
use crate::check::{Check, Checked, PREPARED, SQL};
use crate::message::{Value, bind, bind_with, execute, parse, raw, sync};
use crate::target::Target;

const BIND: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BIND";

const IDLE: &str = "ReadyForQuery I";
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const VIOLATION: &str = "ErrorResponse ERROR 08P01";
/// The number 7 as an `int4` in binary format.
const SEVEN: Value<'_> = Some(b"\0\0\0\x07");

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "Bind of a statement that does not exist is rejected with SQLSTATE 26000",
        EXTENDED,
        &[],
        |t| {
            t.talk([([bind("", "interop_none", &[]), sync()].concat(), &["ErrorResponse ERROR 26000", IDLE])])
        },
    ),
    Check::new(
        "Bind without an unnamed statement is rejected with SQLSTATE 26000",
        EXTENDED,
        &[PREPARED],
        |t| t.talk([([bind("", "", &[]), sync()].concat(), &["ErrorResponse ERROR 26000", IDLE])]),
    ),
    Check::new("a parameter and a value may have the text format", FORMATS, &[SQL], |t| {
        row(t, "select $1::int4", &[], &[Some(b" 7 ")], &[], "DataRow 1 1 '7'")
    }),
    Check::new("a parameter and a value may have the binary format", FORMATS, &[SQL], |t| {
        row(t, "select $1::int4", &[1], &[SEVEN], &[1], r"DataRow 1 4 '\x00\x00\x00\x07'")
    }),
    Check::new("one format code applies to all parameters", FORMATS, &[SQL], |t| {
        row(t, "select $1::int4 + $2::int4", &[1], &[SEVEN, SEVEN], &[], "DataRow 1 2 '14'")
    }),
    Check::new("each parameter may have its own format code", FORMATS, &[SQL], |t| {
        row(t, "select $1::int4 + $2::int4", &[0, 1], &[Some(b"1"), SEVEN], &[], "DataRow 1 1 '8'")
    }),
    Check::new("one format code applies to all columns", FORMATS, &[SQL], |t| {
        row(t, "select 1::int2, true", &[], &[], &[1], r"DataRow 2 2 '\x00\x01' 1 '\x01'")
    }),
    Check::new("each column may have its own format code", FORMATS, &[SQL], |t| {
        row(t, "select 1::int2, 2::int2", &[], &[], &[0, 1], r"DataRow 2 1 '1' 2 '\x00\x02'")
    }),
    Check::new("the binary format of bool, int8, float8, text, bytea and uuid", FORMATS, &[SQL], |t| {
        let sql = "select true, (-2)::int8, 1.5::float8, 'é'::text, '\\x00ff'::bytea, \
                   '00010203-0405-0607-0809-0a0b0c0d0e0f'::uuid";
        let expected = [
            r"DataRow 6 1 '\x01' 8 '\xff\xff\xff\xff\xff\xff\xff\xfe' 8 '?\xf8\x00\x00\x00\x00\x00\x00'",
            r"2 '\xc3\xa9' 2 '\x00\xff' 16 '\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f'",
        ];
        row(t, sql, &[], &[], &[1], &expected.join(" "))
    }),
    Check::new("the binary format of date, timestamp and numeric", FORMATS, &[SQL], |t| {
        let sql = "select '2000-01-02'::date, '2000-01-01 00:00:01'::timestamp, 12.5::numeric(4, 1)";
        let expected = [
            r"DataRow 3 4 '\x00\x00\x00\x01' 8 '\x00\x00\x00\x00\x00\x0fB@'",
            r"12 '\x00\x02\x00\x00\x00\x00\x00\x01\x00\x0c\x13\x88'",
        ];
        row(t, sql, &[], &[], &[1], &expected.join(" "))
    }),
    Check::new("a parameter may be NULL", BIND, &[SQL], |t| {
        row(t, "select $1::int4, $2::text is null", &[], &[None, None], &[], "DataRow 2 -1 1 't'")
    }),
    Check::new("a parameter may be empty, which is not NULL", BIND, &[SQL], |t| {
        row(t, "select $1::text, $1::text is null", &[], &[Some(b"")], &[], "DataRow 2 0 '' 1 'f'")
    }),
    Check::new("a statement may have no parameters and one format code for them", BIND, &[SQL], |t| {
        row(t, "select 7", &[1], &[], &[], "DataRow 1 1 '7'")
    }),
    Check::new("too few parameters are rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(t, &bind("", "", &[Some(b"1")]), VIOLATION)
    }),
    Check::new("too many parameters are rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(t, &bind("", "", &[Some(b"1"), Some(b"1"), Some(b"1")]), VIOLATION)
    }),
    Check::new("three format codes for two parameters are rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(t, &bind_with("", "", &[0, 0, 0], &[Some(b"1"), Some(b"1")], &[]), VIOLATION)
    }),
    Check::new("two format codes for one column are rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(
            t,
            &[bind_with("", "", &[], &[Some(b"1"), Some(b"1")], &[0, 0]), execute("", 0)].concat(),
            VIOLATION,
        )
    }),
    Check::new(
        "an unknown format code of a parameter is rejected with SQLSTATE 22023",
        FORMATS,
        &[SQL],
        |t| fails(t, &bind_with("", "", &[2], &[Some(b"1"), Some(b"1")], &[]), "ErrorResponse ERROR 22023"),
    ),
    Check::new("an invalid text value is rejected with SQLSTATE 22P02", BIND, &[SQL], |t| {
        fails(t, &bind("", "", &[Some(b"x"), Some(b"1")]), "ErrorResponse ERROR 22P02")
    }),
    Check::new("a binary value that is too short is rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        let message = bind_with("", "", &[1], &[Some(b"\0\0"), SEVEN], &[]);
        fails(t, &message, VIOLATION)
    }),
    Check::new("a binary value that is too long is rejected with SQLSTATE 22P03", BIND, &[SQL], |t| {
        let message = bind_with("", "", &[1], &[Some(b"\0\0\0\0\x07"), SEVEN], &[]);
        fails(t, &message, "ErrorResponse ERROR 22P03")
    }),
    Check::new(
        "a value that is longer than the message is rejected with SQLSTATE 08P01",
        BIND,
        &[SQL],
        |t| fails(t, &raw(b'B', b"\0\0\0\0\0\x02\0\0\0\x01\x31\0\0\x03\xe8\x31\0\0"), VIOLATION),
    ),
    Check::new("a value of length -2 is rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(t, &raw(b'B', b"\0\0\0\0\0\x02\0\0\0\x01\x31\xff\xff\xff\xfe\0\0"), VIOLATION)
    }),
    Check::new("bytes after the format codes are rejected with SQLSTATE 08P01", BIND, &[SQL], |t| {
        fails(t, &raw(b'B', b"\0\0\0\0\0\x02\0\0\0\x01\x31\0\0\0\x01\x31\0\0\0"), VIOLATION)
    }),
    Check::new("a text value with a NUL byte is rejected with SQLSTATE 22021", BIND, &[SQL], |t| {
        t.talk([(
            [parse("", "select $1::text"), bind("", "", &[Some(b"a\0b")]), sync()].concat(),
            &["ParseComplete", "ErrorResponse ERROR 22021 | ErrorResponse ERROR 22P05", IDLE],
        )])
    }),
    Check::new(
        "a value that is not in the client encoding is rejected with SQLSTATE 22021",
        BIND,
        &[SQL],
        |t| {
            t.talk([(
                [parse("", "select $1::text"), bind("", "", &[Some(b"\xff")]), sync()].concat(),
                &["ParseComplete", "ErrorResponse ERROR 22021", IDLE],
            )])
        },
    ),
];

/// Runs a statement with these parameters and formats, and compares its only row.
fn row(
    t: &Target,
    sql: &str,
    formats: &[u16],
    values: &[Value<'_>],
    results: &[u16],
    expected: &str,
) -> Checked {
    let messages = [parse("", sql), bind_with("", "", formats, values, results), execute("", 0), sync()];
    t.talk([(messages.concat(), &["ParseComplete", "BindComplete", expected, ONE, IDLE])])
}

/// Prepares a statement with two parameters of the type `int4`, and sends a Bind that the server has to reject with `expected`.
fn fails(t: &Target, bind: &[u8], expected: &str) -> Checked {
    let parse = parse("", "select $1::int4 + $2::int4");
    t.talk([([&parse, bind, &sync()].concat(), &["ParseComplete", expected, IDLE])])
}
