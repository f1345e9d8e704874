//! Transactions, and the status in ReadyForQuery.

use super::{EXTENDED, MULTI, PIPELINING};
use crate::check::{Check, PREPARED, SESSION, SQL};
use crate::message::{bind, execute, parse, query, run, sync};

const STATUS: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-READYFORQUERY";

const BEGIN: &str = r#"CommandComplete "BEGIN""#;
const ROLLBACK: &str = r#"CommandComplete "ROLLBACK""#;
const ABORTED: &str = "ErrorResponse ERROR 25P02";
const IDLE: &str = "ReadyForQuery I";
const OPEN: &str = "ReadyForQuery T";
const BROKEN: &str = "ReadyForQuery E";

pub(super) const CHECKS: &[Check] = &[
    Check::new("the status is T in a transaction and I after its end", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            (
                query("select 1"),
                &["RowDescription 1 *", "DataRow 1 1 '1'", r#"CommandComplete "SELECT 1""#, OPEN],
            ),
            (query(""), &["EmptyQueryResponse", OPEN]),
            (query("commit"), &[r#"CommandComplete "COMMIT""#, IDLE]),
        ])
    }),
    Check::new("the status is E after an error in a transaction", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("a failed transaction rejects statements with SQLSTATE 25P02", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin; table interop_none"), &[BEGIN, "ErrorResponse ERROR 42P01", BROKEN]),
            (query("select 1"), &[ABORTED, BROKEN]),
            (query("begin"), &[ABORTED, BROKEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("a failed transaction answers an empty query", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin; selekt"), &["ErrorResponse ERROR 42601", IDLE]),
            (query("begin"), &[BEGIN, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            (query(""), &["EmptyQueryResponse", BROKEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("COMMIT of a failed transaction has the tag ROLLBACK", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            (query("commit"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("ROLLBACK TO SAVEPOINT repairs a failed transaction", STATUS, &[SQL], |t| {
        t.talk([
            (query("begin; savepoint s"), &[BEGIN, r#"CommandComplete "SAVEPOINT""#, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            (query("rollback to s"), &[ROLLBACK, OPEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("the statements of a query are one transaction", MULTI, &[SQL, SESSION], |t| {
        t.talk([
            (
                query("create temp table t (x int4); table interop_none"),
                &[r#"CommandComplete "CREATE TABLE""#, "ErrorResponse ERROR 42P01", IDLE],
            ),
            (query("table t"), &["ErrorResponse ERROR 42P01", IDLE]),
        ])
    }),
    Check::new("COMMIT in a query divides the query into transactions", MULTI, &[SQL, SESSION], |t| {
        t.talk([
            (
                query("begin; create temp table t (x int4); commit; table interop_none"),
                &[
                    BEGIN,
                    r#"CommandComplete "CREATE TABLE""#,
                    r#"CommandComplete "COMMIT""#,
                    "ErrorResponse ERROR 42P01",
                    IDLE,
                ],
            ),
            (query("table t"), &["RowDescription 1 *", r#"CommandComplete "SELECT 0""#, IDLE]),
        ])
    }),
    Check::new(
        "BEGIN after statements of the same query includes these statements",
        MULTI,
        &[SQL, SESSION],
        |t| {
            t.talk([
                (
                    query("create temp table t (x int4); begin"),
                    &[r#"CommandComplete "CREATE TABLE""#, BEGIN, OPEN],
                ),
                (query("rollback"), &[ROLLBACK, IDLE]),
                (query("table t"), &["ErrorResponse ERROR 42P01", IDLE]),
            ])
        },
    ),
    Check::new("the status after Sync is T in a transaction", EXTENDED, &[SQL], |t| {
        t.talk([
            ([run("begin"), sync()].concat(), &["ParseComplete", "BindComplete", BEGIN, OPEN]),
            (sync(), &[OPEN]),
            ([run("rollback"), sync()].concat(), &["ParseComplete", "BindComplete", ROLLBACK, IDLE]),
        ])
    }),
    Check::new("the status after Sync is E after an error in a transaction", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            ([parse("", "selekt"), sync()].concat(), &["ErrorResponse ERROR 42601", BROKEN]),
            (sync(), &[BROKEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("a failed transaction rejects Parse, except of ROLLBACK", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            ([parse("", "select 1"), sync()].concat(), &[ABORTED, BROKEN]),
            ([run("rollback"), sync()].concat(), &["ParseComplete", "BindComplete", ROLLBACK, IDLE]),
        ])
    }),
    Check::new(
        "a failed transaction rejects Bind of a prepared statement",
        EXTENDED,
        &[SQL, PREPARED],
        |t| {
            t.talk([
                (query("begin"), &[BEGIN, OPEN]),
                ([parse("interop", "select 1"), sync()].concat(), &["ParseComplete", OPEN]),
                (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
                ([bind("", "interop", &[]), execute("", 0), sync()].concat(), &[ABORTED, BROKEN]),
                (query("rollback"), &[ROLLBACK, IDLE]),
            ])
        },
    ),
    Check::new("the statements up to Sync are one transaction", PIPELINING, &[SQL, SESSION], |t| {
        t.talk([
            (
                [run("create temp table t (x int4)"), parse("", "selekt"), sync()].concat(),
                &[
                    "ParseComplete",
                    "BindComplete",
                    r#"CommandComplete "CREATE TABLE""#,
                    "ErrorResponse ERROR 42601",
                    IDLE,
                ],
            ),
            (query("table t"), &["ErrorResponse ERROR 42P01", IDLE]),
        ])
    }),
    Check::new("Sync commits the statements before it", PIPELINING, &[SQL, SESSION], |t| {
        t.talk([
            (
                [run("create temp table t (x int4)"), sync(), parse("", "selekt"), sync()].concat(),
                &[
                    "ParseComplete",
                    "BindComplete",
                    r#"CommandComplete "CREATE TABLE""#,
                    IDLE,
                    "ErrorResponse ERROR 42601",
                    IDLE,
                ],
            ),
            (query("table t"), &["RowDescription 1 *", r#"CommandComplete "SELECT 0""#, IDLE]),
        ])
    }),
    Check::new("Sync does not end a transaction that BEGIN has begun", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            ([sync(), sync()].concat(), &[OPEN, OPEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
];
