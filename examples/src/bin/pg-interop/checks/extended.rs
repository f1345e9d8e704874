//! Parse and Close of prepared statements.

use super::EXTENDED;
use crate::check::{Check, Checked, PREPARED, SESSION, SQL};
use crate::message::{
    bind, close_portal, close_statement, describe_statement, execute, named, parse, parse_typed, query, raw,
    sync,
};
use crate::target::Target;

const PARSE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARSE";
const CLOSE: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CLOSE";

const IDLE: &str = "ReadyForQuery I";
const ONE: &str = r#"CommandComplete "SELECT 1""#;

pub(super) const CHECKS: &[Check] = &[
    Check::new("Parse is answered by ParseComplete", EXTENDED, &[], |t| {
        t.talk([([parse("", "select 1"), sync()].concat(), &["ParseComplete", IDLE])])
    }),
    Check::new("Parse of an empty query is answered by ParseComplete", EXTENDED, &[], |t| {
        t.talk([([parse("", ""), sync()].concat(), &["ParseComplete", IDLE])])
    }),
    Check::new("Parse with a syntax error is rejected with SQLSTATE 42601", EXTENDED, &[SQL], |t| {
        parse_fails(t, &parse("", "selekt"), "ErrorResponse ERROR 42601")
    }),
    Check::new("Parse of two statements is rejected with SQLSTATE 42601", EXTENDED, &[SQL], |t| {
        parse_fails(t, &parse("", "select 1; select 2"), "ErrorResponse ERROR 42601")
    }),
    Check::new(
        "Parse of a table that does not exist is rejected with SQLSTATE 42P01",
        EXTENDED,
        &[SQL],
        |t| parse_fails(t, &parse("", "table interop_no_such_table"), "ErrorResponse ERROR 42P01"),
    ),
    Check::new(
        "Parse of a named statement that exists is rejected with SQLSTATE 42P05",
        EXTENDED,
        &[PREPARED],
        |t| {
            t.talk([
                ([parse("interop", "select 1"), sync()].concat(), &["ParseComplete", IDLE]),
                ([parse("interop", "select 2"), sync()].concat(), &["ErrorResponse ERROR 42P05", IDLE]),
            ])
        },
    ),
    Check::new("Parse of the unnamed statement replaces the statement", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "select 1"), parse("", "select 2"), bind("", "", &[]), execute("", 0), sync()]
                .concat(),
            &["ParseComplete", "ParseComplete", "BindComplete", "DataRow 1 1 '2'", ONE, IDLE],
        )])
    }),
    Check::new("a named statement is available after Sync", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            ([parse("interop", "select 7"), sync()].concat(), &["ParseComplete", IDLE]),
            (
                [bind("", "interop", &[]), execute("", 0), sync()].concat(),
                &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
            ),
            (
                [bind("", "interop", &[]), execute("", 0), sync()].concat(),
                &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
            ),
        ])
    }),
    Check::new("a named statement is available after a rollback", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            (query("begin"), &[r#"CommandComplete "BEGIN""#, "ReadyForQuery T"]),
            ([parse("interop", "select 7"), sync()].concat(), &["ParseComplete", "ReadyForQuery T"]),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
            (
                [bind("", "interop", &[]), execute("", 0), sync()].concat(),
                &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
            ),
        ])
    }),
    Check::new("the unnamed statement is available after Sync", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            ([parse("", "select 7"), sync()].concat(), &["ParseComplete", IDLE]),
            (
                [bind("", "", &[]), execute("", 0), sync()].concat(),
                &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
            ),
        ])
    }),
    Check::new("a failed Parse leaves no unnamed statement", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            ([parse("", "select 7"), sync()].concat(), &["ParseComplete", IDLE]),
            ([parse("", "selekt"), sync()].concat(), &["ErrorResponse ERROR 42601", IDLE]),
            ([bind("", "", &[]), sync()].concat(), &["ErrorResponse ERROR 26000", IDLE]),
        ])
    }),
    Check::new(
        "the statement name may have 1,000 bytes of any characters",
        PARSE,
        &[SQL, SESSION, PREPARED],
        |t| {
            let name = "é \"'; ".repeat(140);
            t.talk([
                ([parse(&name, "select 7"), sync()].concat(), &["ParseComplete", IDLE]),
                (
                    [bind("", &name, &[]), execute("", 0), sync()].concat(),
                    &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
                ),
            ])
        },
    ),
    Check::new(
        "Parse may leave types to the server: fewer types than parameters, and type 0",
        PARSE,
        &[SQL],
        |t| {
            t.talk([(
                [parse_typed("", "select $1::int8, $2::text", &[0]), describe_statement(""), sync()].concat(),
                &["ParseComplete", "ParameterDescription 2 20 25", "RowDescription 2 *", IDLE],
            )])
        },
    ),
    Check::new("Parse may name the types of parameters", PARSE, &[SQL], |t| {
        t.talk([(
            [parse_typed("", "select $1", &[1700]), describe_statement(""), sync()].concat(),
            &[
                "ParseComplete",
                "ParameterDescription 1 1700",
                r#"RowDescription 1 "?column?" 0 0 1700 65535 -1 0"#,
                IDLE,
            ],
        )])
    }),
    Check::new("Parse with an unknown type oid is rejected", PARSE, &[SQL], |t| {
        // Servers report an unknown type by different SQLSTATEs: 42704 (undefined_object), XX000 (a failed cache lookup in PostgreSQL) or
        // 42P18 (indeterminate_datatype).
        let expected = "ErrorResponse ERROR 42704 | ErrorResponse ERROR XX000 | ErrorResponse ERROR 42P18";
        parse_fails(t, &parse_typed("", "select $1", &[4_000_000_000]), expected)
    }),
    Check::new("a parameter without a type is rejected with SQLSTATE 42P18", PARSE, &[SQL], |t| {
        parse_fails(t, &parse("", "select $1 is null"), "ErrorResponse ERROR 42P18")
    }),
    Check::new(
        "Parse with a count larger than the list is rejected with SQLSTATE 08P01",
        PARSE,
        &[SQL],
        |t| parse_fails(t, &raw(b'P', b"\0select 1\0\0\x03\0\0\0\x17"), "ErrorResponse ERROR 08P01"),
    ),
    Check::new("Parse with bytes after the list is rejected with SQLSTATE 08P01", PARSE, &[SQL], |t| {
        parse_fails(t, &raw(b'P', b"\0select 1\0\0\0\0\0\0\x17"), "ErrorResponse ERROR 08P01")
    }),
    Check::new("Parse without the NUL of the query is rejected with SQLSTATE 08P01", PARSE, &[SQL], |t| {
        parse_fails(t, &raw(b'P', b"\0select 1"), "ErrorResponse ERROR 08P01")
    }),
    Check::new(
        "Close of a statement is answered by CloseComplete, and destroys the statement",
        CLOSE,
        &[SQL, PREPARED],
        |t| {
            t.talk([
                ([parse("interop", "select 1"), sync()].concat(), &["ParseComplete", IDLE]),
                ([close_statement("interop"), sync()].concat(), &["CloseComplete", IDLE]),
                ([bind("", "interop", &[]), sync()].concat(), &["ErrorResponse ERROR 26000", IDLE]),
                ([parse("interop", "select 2"), sync()].concat(), &["ParseComplete", IDLE]),
            ])
        },
    ),
    Check::new("Close of the unnamed statement destroys the statement", CLOSE, &[SQL], |t| {
        t.talk([(
            [parse("", "select 1"), close_statement(""), bind("", "", &[]), sync()].concat(),
            &["ParseComplete", "CloseComplete", "ErrorResponse ERROR 26000", IDLE],
        )])
    }),
    Check::new("Close of a statement that does not exist is no error", CLOSE, &[], |t| {
        t.talk([([close_statement("interop_none"), sync()].concat(), &["CloseComplete", IDLE])])
    }),
    Check::new("Close of a portal that does not exist is no error", CLOSE, &[], |t| {
        t.talk([([close_portal("interop_none"), sync()].concat(), &["CloseComplete", IDLE])])
    }),
    Check::new(
        "Close of neither a statement nor a portal is rejected with SQLSTATE 08P01",
        CLOSE,
        &[SQL],
        |t| parse_fails(t, &raw(b'C', &named(b'X', "")), "ErrorResponse ERROR 08P01"),
    ),
    Check::new(
        "a statement whose result type has changed is rejected with SQLSTATE 0A000",
        EXTENDED,
        &[SQL, PREPARED],
        |t| {
            t.talk([
                (
                    query("begin; create temp table t (x int4) on commit drop"),
                    &[r#"CommandComplete "BEGIN""#, r#"CommandComplete "CREATE TABLE""#, "ReadyForQuery T"],
                ),
                (
                    [parse("interop", "select * from t"), sync()].concat(),
                    &["ParseComplete", "ReadyForQuery T"],
                ),
                (query("alter table t add y int4"), &[r#"CommandComplete "ALTER TABLE""#, "ReadyForQuery T"]),
                (
                    [bind("", "interop", &[]), sync()].concat(),
                    &["ErrorResponse ERROR 0A000", "ReadyForQuery E"],
                ),
                (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
            ])
        },
    ),
];

/// Sends a message that the server has to reject, and Sync. Checks that the error is `expected`.
fn parse_fails(t: &Target, message: &[u8], expected: &str) -> Checked {
    t.talk([([message, &sync()].concat(), &[expected, IDLE])])
}
