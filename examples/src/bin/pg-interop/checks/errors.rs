//! Errors and notices: their fields, and their place between other messages.

use super::{ASYNC, FIELDS};
use crate::check::{CONCURRENT, Check, Checked, SESSION, SQL, ensure};
use crate::message::{parse, query, run, sync};
use crate::target::Target;

const TIMEOUTS: &str = "runtime-config-client.html#GUC-STATEMENT-TIMEOUT";

const IDLE: &str = "ReadyForQuery I";
const BEGIN: &str = r#"CommandComplete "BEGIN""#;
const KIND: &str = "NoticeResponse";
const DO: &str = r#"CommandComplete "DO""#;

pub(super) const CHECKS: &[Check] = &[
    Check::new("an error has the fields S, V, C and M", FIELDS, &[], |t| {
        // `interop_no_such_command` is not a command of any server, so every server rejects it.
        fields(t, "interop_no_such_command", &[(b'V', "ERROR"), (b'S', "*"), (b'C', "*"), (b'M', "*")])
    }),
    Check::new("an error has the place in the server's source: F, L and R", FIELDS, &[SQL], |t| {
        fields(t, "selekt", &[(b'F', "*.*"), (b'L', "*"), (b'R', "*")])
    }),
    Check::new("a syntax error has the position in characters", FIELDS, &[SQL], |t| {
        fields(t, "select 'é', nonsense", &[(b'C', "42703"), (b'P', "13")])
    }),
    Check::new("a syntax error in Parse has the position", FIELDS, &[SQL], |t| {
        let mut client = t.session()?;
        client.send(&[parse("", "select nonsense"), sync()].concat())?;
        let error = client.reply()?;
        let position = error.field(b'P');
        ensure(position.as_deref() == Some("8"), || format!("expected P 8, received {position:?}"))?;
        client.expect(&[IDLE])?;
        client.finish()
    }),
    Check::new("an error may have the fields D and H", FIELDS, &[SQL], |t| {
        let sql = "do $$ begin raise exception 'why' using detail = 'a detail', hint = 'a hint', errcode = 'IN001'; end $$";
        fields(t, sql, &[(b'M', "why"), (b'D', "a detail"), (b'H', "a hint"), (b'C', "IN001")])
    }),
    Check::new("an error in a function has the call stack", FIELDS, &[SQL], |t| {
        fields(t, "do $$ begin perform 1 / 0; end $$", &[(b'C', "22012"), (b'W', "*PL/pgSQL*")])
    }),
    Check::new(
        "an error in a query of a function has the query and the position there",
        FIELDS,
        &[SQL],
        |t| {
            let sql = "do $$ begin execute 'select nonsense'; end $$";
            fields(t, sql, &[(b'C', "42703"), (b'q', "select nonsense"), (b'p', "8")])
        },
    ),
    Check::new("a violated constraint has the schema, the table and the constraint", FIELDS, &[SQL], |t| {
        let sql = "begin; create temp table t (x int4 constraint positive check (x > 0)) on commit drop; insert into t values (0)";
        failed_transaction(t, sql, &[(b'C', "23514"), (b's', "pg_temp*"), (b't', "t"), (b'n', "positive")])
    }),
    Check::new("a violated NOT NULL has the column", FIELDS, &[SQL], |t| {
        let sql = "begin; create temp table t (x int4 not null) on commit drop; insert into t values (null)";
        failed_transaction(t, sql, &[(b'C', "23502"), (b's', "pg_temp*"), (b't', "t"), (b'c', "x")])
    }),
    Check::new("a violated domain has the data type", FIELDS, &[SQL], |t| {
        let sql = "begin; create domain pg_temp.interop as int4 check (value > 0); select 0::pg_temp.interop";
        failed_transaction(
            t,
            sql,
            &[(b'C', "23514"), (b's', "pg_temp*"), (b'd', "interop"), (b'n', "interop_check")],
        )
    }),
    Check::new("a notice arrives before CommandComplete, with its severity", ASYNC, &[SQL], |t| {
        let sql = "do $$ begin raise notice 'one'; raise warning 'two'; raise info 'three'; end $$";
        t.talk([(
            query(sql),
            &[
                "NoticeResponse NOTICE 00000",
                "NoticeResponse WARNING 01000",
                "NoticeResponse INFO 00000",
                DO,
                IDLE,
            ],
        )])
    }),
    Check::new("a notice has the fields S, V, C and M", FIELDS, &[SQL], |t| {
        let mut client = t.session()?;
        client.send(&query(
            "do $$ begin raise notice 'one' using detail = 'a detail', hint = 'a hint'; end $$",
        ))?;
        let notice = loop {
            match client.next()? {
                Some(received) if received.line().starts_with(KIND) => break received,
                Some(received) if received.is_aside() => {}
                _ => return crate::check::failed("no notice was received"),
            }
        };
        has(
            &notice,
            &[
                (b'V', "NOTICE"),
                (b'S', "*"),
                (b'C', "00000"),
                (b'M', "one"),
                (b'D', "a detail"),
                (b'H', "a hint"),
            ],
        )?;
        client.expect(&[DO, IDLE])?;
        client.finish()
    }),
    Check::new("a warning is a notice, not an error", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        // The server accepts ROLLBACK without a transaction, but sends a warning.
        client.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE])?;
        client.put_aside(KIND, &["NoticeResponse WARNING 25P01"])?;
        client.finish()
    }),
    Check::new("a notice arrives in the extended protocol", ASYNC, &[SQL], |t| {
        t.talk([(
            [run("do $$ begin raise notice 'one'; end $$"), sync()].concat(),
            &["ParseComplete", "BindComplete", "NoticeResponse NOTICE 00000", DO, IDLE],
        )])
    }),
    Check::new("client_min_messages suppresses notices", ASYNC, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("begin; set local client_min_messages = error; do $$ begin raise notice 'one'; end $$; rollback"),
            &[BEGIN, r#"CommandComplete "SET""#, DO, r#"CommandComplete "ROLLBACK""#, IDLE],
        )?;
        client.put_aside(KIND, &[])?;
        client.finish()
    }),
    Check::new("statement_timeout ends a statement with SQLSTATE 57014", TIMEOUTS, &[SQL], |t| {
        t.talk([
            (
                query("begin; set local statement_timeout = '50ms'"),
                &[BEGIN, r#"CommandComplete "SET""#, "ReadyForQuery T"],
            ),
            (
                query("select pg_sleep(60)"),
                &["RowDescription 1 *", "ErrorResponse ERROR 57014", "ReadyForQuery E"],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
    Check::new("statement_timeout ends a statement of the extended protocol", TIMEOUTS, &[SQL], |t| {
        t.talk([
            (
                query("begin; set local statement_timeout = '50ms'"),
                &[BEGIN, r#"CommandComplete "SET""#, "ReadyForQuery T"],
            ),
            (
                [run("select pg_sleep(60)"), run("select 8"), sync()].concat(),
                &["ParseComplete", "BindComplete", "ErrorResponse ERROR 57014", "ReadyForQuery E"],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
    Check::new(
        "lock_timeout ends a statement with SQLSTATE 55P03",
        TIMEOUTS,
        &[SQL, SESSION, CONCURRENT],
        |t| {
            let mut holder = t.session()?;
            holder.exchange(
                &query("begin; select pg_advisory_xact_lock(7305)"),
                &[BEGIN, "RowDescription 1 *", "DataRow *", "CommandComplete *", "ReadyForQuery T"],
            )?;
            let mut client = t.session()?;
            client.exchange(
                &query("begin; set local lock_timeout = '50ms'; select pg_advisory_xact_lock(7305)"),
                &[
                    BEGIN,
                    r#"CommandComplete "SET""#,
                    "RowDescription 1 *",
                    "ErrorResponse ERROR 55P03",
                    "ReadyForQuery E",
                ],
            )?;
            client.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE])?;
            client.finish()?;
            holder.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE])?;
            holder.finish()
        },
    ),
];

/// Compares fields of an error or notice with expected texts. The expected text `*` stands for any text.
fn has(received: &crate::received::Received, expected: &[(u8, &str)]) -> Checked {
    for (code, text) in expected {
        let field = received.field(*code);
        let is_right = field.as_deref().is_some_and(|field| crate::received::fits(field, text));
        ensure(is_right, || {
            format!(
                "expected the field {} with {text}; received {field:?} in {}",
                char::from(*code),
                received.shown()
            )
        })?;
    }
    Ok(())
}

/// Runs a query that the server has to reject, and checks fields of the error.
fn fields(t: &Target, sql: &str, expected: &[(u8, &str)]) -> Checked {
    let mut client = t.session()?;
    client.send(&query(sql))?;
    let error = client.reply()?;
    ensure(error.is("ErrorResponse ERROR *"), || format!("expected an error; received {}", error.shown()))?;
    has(&error, expected)?;
    client.expect(&[IDLE])?;
    client.finish()
}

/// Like [`fields`], for a query that begins a transaction and whose last statement fails.
fn failed_transaction(t: &Target, sql: &str, expected: &[(u8, &str)]) -> Checked {
    let mut client = t.session()?;
    client.exchange(&query(sql), &[BEGIN, "CommandComplete *"])?;
    let mut error = client.reply()?;
    if error.is("RowDescription *") {
        error = client.reply()?;
    }
    ensure(error.is("ErrorResponse ERROR *"), || format!("expected an error; received {}", error.shown()))?;
    has(&error, expected)?;
    client.expect(&["ReadyForQuery E"])?;
    client.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE])?;
    client.finish()
}
