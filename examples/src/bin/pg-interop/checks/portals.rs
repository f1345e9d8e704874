//! The lifetime of portals.

use super::EXTENDED;
use crate::check::{Check, PREPARED, SQL};
use crate::message::{bind, close_portal, close_statement, execute, parse, query, run, sync};

const IDLE: &str = "ReadyForQuery I";
const OPEN: &str = "ReadyForQuery T";
const BROKEN: &str = "ReadyForQuery E";
const PARSED: &str = "ParseComplete";
const BOUND: &str = "BindComplete";
const BEGIN: &str = r#"CommandComplete "BEGIN""#;
const ROLLBACK: &str = r#"CommandComplete "ROLLBACK""#;
const ROW: &str = "DataRow 1 1 '7'";
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const NONE: &str = "ErrorResponse ERROR 34000";

pub(super) const CHECKS: &[Check] = &[
    Check::new("Sync outside of a transaction destroys a named portal", EXTENDED, &[SQL], |t| {
        t.talk([
            ([parse("", "select 7"), bind("p", "", &[]), sync()].concat(), &[PARSED, BOUND, IDLE]),
            ([execute("p", 0), sync()].concat(), &[NONE, IDLE]),
        ])
    }),
    Check::new("Sync outside of a transaction destroys the unnamed portal", EXTENDED, &[SQL], |t| {
        t.talk([
            ([parse("", "select 7"), bind("", "", &[]), sync()].concat(), &[PARSED, BOUND, IDLE]),
            ([execute("", 0), sync()].concat(), &[NONE, IDLE]),
        ])
    }),
    Check::new("a portal lasts until the end of the transaction", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            ([parse("", "select 7"), bind("p", "", &[]), sync()].concat(), &[PARSED, BOUND, OPEN]),
            ([execute("p", 0), sync()].concat(), &[ROW, ONE, OPEN]),
            (query("commit"), &[r#"CommandComplete "COMMIT""#, IDLE]),
            ([execute("p", 0), sync()].concat(), &[NONE, IDLE]),
        ])
    }),
    Check::new("several portals can be open at once", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([(
            [
                parse("interop", "select * from generate_series($1::int4, 9) i"),
                bind("p", "interop", &[Some(b"1")]),
                bind("q", "interop", &[Some(b"5")]),
                execute("p", 1),
                execute("q", 1),
                execute("p", 1),
                execute("q", 1),
                sync(),
            ]
            .concat(),
            &[
                PARSED,
                BOUND,
                BOUND,
                "DataRow 1 1 '1'",
                "PortalSuspended",
                "DataRow 1 1 '5'",
                "PortalSuspended",
                "DataRow 1 1 '2'",
                "PortalSuspended",
                "DataRow 1 1 '6'",
                "PortalSuspended",
                IDLE,
            ],
        )])
    }),
    Check::new("Bind of a named portal that exists is rejected with SQLSTATE 42P03", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "select 7"), bind("p", "", &[]), bind("p", "", &[]), sync()].concat(),
            &[PARSED, BOUND, "ErrorResponse ERROR 42P03", IDLE],
        )])
    }),
    Check::new("Bind of the unnamed portal replaces the portal", EXTENDED, &[SQL], |t| {
        t.talk([(
            [
                parse("", "select $1::int4"),
                bind("", "", &[Some(b"1")]),
                bind("", "", &[Some(b"7")]),
                execute("", 0),
                sync(),
            ]
            .concat(),
            &[PARSED, BOUND, BOUND, ROW, ONE, IDLE],
        )])
    }),
    Check::new("Close of a portal destroys the portal", EXTENDED, &[SQL], |t| {
        t.talk([(
            [parse("", "select 7"), bind("p", "", &[]), close_portal("p"), execute("p", 0), sync()].concat(),
            &[PARSED, BOUND, "CloseComplete", NONE, IDLE],
        )])
    }),
    Check::new("Close of a suspended portal allows a new portal of the same name", EXTENDED, &[SQL], |t| {
        t.talk([(
            [
                parse("", "select 7 from generate_series(1, 3)"),
                bind("p", "", &[]),
                execute("p", 1),
                close_portal("p"),
                bind("p", "", &[]),
                execute("p", 1),
                sync(),
            ]
            .concat(),
            &[PARSED, BOUND, ROW, "PortalSuspended", "CloseComplete", BOUND, ROW, "PortalSuspended", IDLE],
        )])
    }),
    Check::new("Close of a statement closes its portals", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([(
            [
                parse("interop", "select 7"),
                bind("p", "interop", &[]),
                close_statement("interop"),
                execute("p", 0),
                sync(),
            ]
            .concat(),
            &[PARSED, BOUND, "CloseComplete", NONE, IDLE],
        )])
    }),
    Check::new("a cursor of DECLARE can be executed as a portal", EXTENDED, &[SQL], |t| {
        t.talk([
            (
                query("begin; declare c cursor for select 7"),
                &[BEGIN, r#"CommandComplete "DECLARE CURSOR""#, OPEN],
            ),
            ([execute("c", 0), sync()].concat(), &[ROW, "CommandComplete *", OPEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("a portal can be read by FETCH", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            ([parse("", "select 7"), bind("p", "", &[]), sync()].concat(), &[PARSED, BOUND, OPEN]),
            (query("fetch p"), &["RowDescription 1 *", ROW, r#"CommandComplete "FETCH 1""#, OPEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("a portal of a failed transaction cannot be executed", EXTENDED, &[SQL], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            ([parse("", "select 7"), bind("p", "", &[]), sync()].concat(), &[PARSED, BOUND, OPEN]),
            (query("selekt"), &["ErrorResponse ERROR 42601", BROKEN]),
            ([execute("p", 0), sync()].concat(), &["ErrorResponse ERROR 25P02", BROKEN]),
            (query("rollback"), &[ROLLBACK, IDLE]),
        ])
    }),
    Check::new("COMMIT between Bind and Execute destroys the portal", EXTENDED, &[SQL, PREPARED], |t| {
        t.talk([
            (query("begin"), &[BEGIN, OPEN]),
            (
                [
                    parse("interop", "select 7"),
                    bind("p", "interop", &[]),
                    run("commit"),
                    execute("p", 0),
                    sync(),
                ]
                .concat(),
                &[PARSED, BOUND, PARSED, BOUND, r#"CommandComplete "COMMIT""#, NONE, IDLE],
            ),
        ])
    }),
];
