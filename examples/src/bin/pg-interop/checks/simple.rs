//! Simple queries.

use super::{FORMATS, MULTI, SIMPLE};
use crate::check::{Check, DIRECT, SESSION, SQL};
use crate::message::{bind, execute, parse, query, raw, sync};

const ROW: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ROWDESCRIPTION";
const QUERY: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-QUERY";
const TAG: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COMMANDCOMPLETE";

/// The RowDescription of one column with the name `a` and the type `int4`.
const INT4: &str = r#"RowDescription 1 "a" 0 0 23 4 -1 0"#;
const ONE: &str = r#"CommandComplete "SELECT 1""#;
const IDLE: &str = "ReadyForQuery I";
const BEGIN: &str = r#"CommandComplete "BEGIN""#;
const CREATE: &str = r#"CommandComplete "CREATE TABLE""#;

pub(super) const CHECKS: &[Check] = &[
    Check::new("an empty query is answered by EmptyQueryResponse", SIMPLE, &[], |t| {
        t.talk([(query(""), &["EmptyQueryResponse", IDLE])])
    }),
    Check::new("a query of blanks is answered by EmptyQueryResponse", SIMPLE, &[], |t| {
        t.talk([(query(" \t\n"), &["EmptyQueryResponse", IDLE])])
    }),
    Check::new("a query of comments is answered by EmptyQueryResponse", SIMPLE, &[SQL], |t| {
        t.talk([(query("-- nothing\n/* nothing */"), &["EmptyQueryResponse", IDLE])])
    }),
    Check::new("a query of semicolons is answered by one EmptyQueryResponse", SIMPLE, &[], |t| {
        t.talk([(query(";;;"), &["EmptyQueryResponse", IDLE])])
    }),
    Check::new("a row is preceded by RowDescription and followed by CommandComplete", SIMPLE, &[SQL], |t| {
        t.talk([(query("select 7::int4 as a"), &[INT4, "DataRow 1 1 '7'", ONE, IDLE])])
    }),
    Check::new("a query without rows has a RowDescription and no DataRow", SIMPLE, &[SQL], |t| {
        t.talk([(query("select 7::int4 as a where false"), &[INT4, r#"CommandComplete "SELECT 0""#, IDLE])])
    }),
    Check::new("a row without columns is sent", SIMPLE, &[SQL], |t| {
        t.talk([(query("select"), &["RowDescription 0", "DataRow 0", ONE, IDLE])])
    }),
    Check::new("NULL and the empty string differ", SIMPLE, &[SQL], |t| {
        t.talk([(
            query("select null::text as a, ''::text as b"),
            &[
                r#"RowDescription 2 "a" 0 0 25 65535 -1 0 "b" 0 0 25 65535 -1 0"#,
                "DataRow 2 -1 0 ''",
                ONE,
                IDLE,
            ],
        )])
    }),
    Check::new("RowDescription names the table and the number of a column", ROW, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("begin; create temp table t (x int4, y varchar(10)) on commit drop; select y, x from t"),
            &[BEGIN, CREATE],
        )?;
        let row = client.reply()?;
        let table = row.line().split(' ').nth(3).unwrap_or_default().to_owned();
        let expected = format!(r#"RowDescription 2 "y" {table} 2 1043 65535 14 0 "x" {table} 1 23 4 -1 0"#);
        crate::check::ensure(table != "0" && row.is(&expected), || format!("received {}", row.line()))?;
        client.expect(&[r#"CommandComplete "SELECT 0""#, "ReadyForQuery T"])?;
        client.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE])?;
        client.finish()
    }),
    Check::new("two columns may have the same name", ROW, &[SQL], |t| {
        t.talk([(
            query("select 1::int4 as a, 2::int4 as a"),
            &[r#"RowDescription 2 "a" 0 0 23 4 -1 0 "a" 0 0 23 4 -1 0"#, "DataRow 2 1 '1' 1 '2'", ONE, IDLE],
        )])
    }),
    Check::new("each statement of a query has its own reply", MULTI, &[SQL], |t| {
        t.talk([(
            query("select 1::int4 as a; select 2::int4 as a"),
            &[INT4, "DataRow 1 1 '1'", ONE, INT4, "DataRow 1 1 '2'", ONE, IDLE],
        )])
    }),
    Check::new("an empty statement between statements has no reply", MULTI, &[SQL], |t| {
        t.talk([(
            query("select 1::int4 as a;; select 2::int4 as a;"),
            &[INT4, "DataRow 1 1 '1'", ONE, INT4, "DataRow 1 1 '2'", ONE, IDLE],
        )])
    }),
    Check::new("an error ends a query: later statements are not run", MULTI, &[SQL], |t| {
        t.talk([(
            query("select 1::int4 as a; table interop_none; select 2::int4 as a"),
            &[INT4, "DataRow 1 1 '1'", ONE, "ErrorResponse ERROR 42P01", IDLE],
        )])
    }),
    Check::new("a syntax error anywhere in a query prevents all statements", MULTI, &[SQL], |t| {
        t.talk([(query("select 1; selekt 2"), &["ErrorResponse ERROR 42601", IDLE])])
    }),
    Check::new("several queries that are sent at once are answered in order", SIMPLE, &[SQL], |t| {
        t.talk([(
            [query("select 1::int4 as a"), query(""), query("select 2::int4 as a")].concat(),
            &[
                INT4,
                "DataRow 1 1 '1'",
                ONE,
                IDLE,
                "EmptyQueryResponse",
                IDLE,
                INT4,
                "DataRow 1 1 '2'",
                ONE,
                IDLE,
            ],
        )])
    }),
    Check::new(
        "the tags of INSERT, UPDATE, DELETE and others have the form of the manual",
        TAG,
        &[SQL],
        |t| {
            t.talk([
                (query("begin"), &[BEGIN, "ReadyForQuery T"]),
                (query("create temp table t (x int4) on commit drop"), &[CREATE, "ReadyForQuery T"]),
                (
                    query("insert into t values (1), (2), (3)"),
                    &[r#"CommandComplete "INSERT 0 3""#, "ReadyForQuery T"],
                ),
                (
                    query("update t set x = x where x > 1"),
                    &[r#"CommandComplete "UPDATE 2""#, "ReadyForQuery T"],
                ),
                (query("delete from t where x = 1"), &[r#"CommandComplete "DELETE 1""#, "ReadyForQuery T"]),
                (
                    query("create temp table u on commit drop as table t"),
                    &[r#"CommandComplete "SELECT 2""#, "ReadyForQuery T"],
                ),
                (
                    query("declare c cursor for table t"),
                    &[r#"CommandComplete "DECLARE CURSOR""#, "ReadyForQuery T"],
                ),
                (query("move 1 in c"), &[r#"CommandComplete "MOVE 1""#, "ReadyForQuery T"]),
                (
                    query("fetch all in c"),
                    &[
                        r#"RowDescription 1 "x" * 23 4 -1 0"#,
                        "DataRow 1 1 '3'",
                        r#"CommandComplete "FETCH 1""#,
                        "ReadyForQuery T",
                    ],
                ),
                (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
            ])
        },
    ),
    Check::new("INSERT with RETURNING has rows and its own tag", TAG, &[SQL], |t| {
        t.talk([
            (
                query("begin; create temp table t (x int4) on commit drop"),
                &[BEGIN, CREATE, "ReadyForQuery T"],
            ),
            (
                query("insert into t values (5) returning x"),
                &[
                    r#"RowDescription 1 "x" * 23 4 -1 0"#,
                    "DataRow 1 1 '5'",
                    r#"CommandComplete "INSERT 0 1""#,
                    "ReadyForQuery T",
                ],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
    Check::new("a binary cursor returns binary values in a simple query", FORMATS, &[SQL], |t| {
        t.talk([
            (
                query("begin; declare c binary cursor for select 7::int4 as a"),
                &[BEGIN, r#"CommandComplete "DECLARE CURSOR""#, "ReadyForQuery T"],
            ),
            (
                query("fetch c"),
                &[
                    r#"RowDescription 1 "a" 0 0 23 4 -1 1"#,
                    r"DataRow 1 4 '\x00\x00\x00\x07'",
                    r#"CommandComplete "FETCH 1""#,
                    "ReadyForQuery T",
                ],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
    Check::new("a simple query destroys the unnamed statement", SIMPLE, &[SESSION], |t| {
        t.talk([
            ([parse("", "select 1"), sync()].concat(), &["ParseComplete", IDLE]),
            (query(""), &["EmptyQueryResponse", IDLE]),
            ([bind("", "", &[]), sync()].concat(), &["ErrorResponse ERROR 26000", IDLE]),
        ])
    }),
    Check::new("a statement of PREPARE can be used by Bind", SIMPLE, &[SQL, SESSION], |t| {
        t.talk([
            (query("prepare interop as select 7::int4 as a"), &[r#"CommandComplete "PREPARE""#, IDLE]),
            (
                [bind("", "interop", &[]), execute("", 0), sync()].concat(),
                &["BindComplete", "DataRow 1 1 '7'", ONE, IDLE],
            ),
        ])
    }),
    Check::new("a query without NUL is rejected with SQLSTATE 08P01", QUERY, &[SQL, DIRECT], |t| {
        t.talk([(raw(b'Q', b"select 1"), &["ErrorResponse ERROR 08P01", IDLE])])
    }),
    Check::new("a query with bytes after NUL is rejected with SQLSTATE 08P01", QUERY, &[SQL, DIRECT], |t| {
        t.talk([(raw(b'Q', b"select 1\0select 2\0"), &["ErrorResponse ERROR 08P01", IDLE])])
    }),
    Check::new("a query without a body is rejected with SQLSTATE 08P01", QUERY, &[SQL, DIRECT], |t| {
        t.talk([(raw(b'Q', b""), &["ErrorResponse ERROR 08P01", IDLE])])
    }),
];
