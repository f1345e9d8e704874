//! The end of a session, by the client and by the server.

use super::TERMINATION;
use crate::check::{CONCURRENT, Check, DIRECT, SESSION, SQL, ensure};
use crate::message::{parse, query, raw, run, sync, terminate};

const TIMEOUT: &str = "runtime-config-client.html#GUC-IDLE-IN-TRANSACTION-SESSION-TIMEOUT";

const IDLE: &str = "ReadyForQuery I";
const BEGIN: &str = r#"CommandComplete "BEGIN""#;
/// A statement that ends its own session.
const END_ITSELF: &str =
    "do $$ begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(60); end $$";
const SHUTDOWN: &str = "ErrorResponse FATAL 57P01";

pub(super) const CHECKS: &[Check] = &[
    Check::new("Terminate closes the connection without a reply", TERMINATION, &[], |t| {
        t.last_words(&terminate(), &[])
    }),
    Check::new("messages after Terminate are not answered", TERMINATION, &[], |t| {
        t.last_words(&[terminate(), query("")].concat(), &[])
    }),
    Check::new("messages before Terminate are answered", TERMINATION, &[], |t| {
        t.last_words(&[query(""), terminate()].concat(), &["EmptyQueryResponse", IDLE])
    }),
    Check::new("Terminate with a body closes the connection", TERMINATION, &[], |t| {
        let mut client = t.session()?;
        client.send(&raw(b'X', b"bye"))?;
        client.expect_rejection()
    }),
    Check::new("Terminate is accepted after an error before Sync", TERMINATION, &[SQL], |t| {
        t.last_words(&[parse("", "selekt"), terminate()].concat(), &["ErrorResponse ERROR 42601"])
    }),
    Check::new("Terminate during COPY FROM STDIN closes the connection", TERMINATION, &[SQL], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("begin; create temp table t (x int4) on commit drop; copy t from stdin"),
            &[BEGIN, r#"CommandComplete "CREATE TABLE""#, "CopyInResponse *"],
        )?;
        client.send(&terminate())?;
        // The client may not send Terminate during a COPY. The server may report this error before it closes the connection, so the check
        // accepts an ErrorResponse.
        loop {
            match client.next()? {
                None => return Ok(()),
                Some(received) if received.is("ErrorResponse *") => {}
                Some(received) => return crate::check::failed(format!("received {}", received.shown())),
            }
        }
    }),
    Check::new("Terminate rolls an open transaction back", TERMINATION, &[SQL, SESSION], |t| {
        let mut client = t.session()?;
        client.exchange(
            &query("begin; select pg_advisory_xact_lock(7306)"),
            &[BEGIN, "RowDescription 1 *", "DataRow *", "CommandComplete *", "ReadyForQuery T"],
        )?;
        client.send(&terminate())?;
        client.expect_end()?;
        let mut other = t.session()?;
        other.exchange(
            &query("begin; select pg_advisory_xact_lock(7306); rollback"),
            &[
                BEGIN,
                "RowDescription 1 *",
                "DataRow *",
                "CommandComplete *",
                r#"CommandComplete "ROLLBACK""#,
                IDLE,
            ],
        )?;
        other.finish()
    }),
    Check::new(
        "an end of the connection without Terminate rolls an open transaction back",
        TERMINATION,
        &[SQL, SESSION],
        |t| {
            let mut client = t.session()?;
            client.exchange(
                &query("begin; select pg_advisory_xact_lock(7307)"),
                &[BEGIN, "RowDescription 1 *", "DataRow *", "CommandComplete *", "ReadyForQuery T"],
            )?;
            drop(client);
            let mut other = t.session()?;
            other.exchange(
                &query("begin; select pg_advisory_xact_lock(7307); rollback"),
                &[
                    BEGIN,
                    "RowDescription 1 *",
                    "DataRow *",
                    "CommandComplete *",
                    r#"CommandComplete "ROLLBACK""#,
                    IDLE,
                ],
            )?;
            other.finish()
        },
    ),
    Check::new("an idle session ends when the client half-closes the connection", TERMINATION, &[], |t| {
        let mut client = t.session()?;
        client.half_close()?;
        client.expect_end()
    }),
    Check::new("a query before a half-close is answered", TERMINATION, &[], |t| {
        let mut client = t.session()?;
        client.send(&query(""))?;
        client.half_close()?;
        client.expect(&["EmptyQueryResponse", IDLE])?;
        client.expect_end()
    }),
    Check::new(
        "pg_terminate_backend of the own session ends the session with SQLSTATE 57P01",
        TERMINATION,
        &[SQL],
        |t| t.last_words(&query(END_ITSELF), &[SHUTDOWN]),
    ),
    Check::new(
        "pg_terminate_backend of an idle session ends the session with SQLSTATE 57P01",
        TERMINATION,
        &[SQL, SESSION, CONCURRENT],
        |t| {
            let (mut client, mut other) = (t.session()?, t.session()?);
            let pid = t.value(&mut client, "select pg_backend_pid()")?;
            let done = t.value(&mut other, &format!("select pg_terminate_backend({pid})"))?;
            ensure(done == "t", || format!("pg_terminate_backend returned {done}"))?;
            client.expect(&[SHUTDOWN])?;
            client.expect_end()?;
            other.finish()
        },
    ),
    Check::new(
        "pg_terminate_backend of a session in a pipeline ends the session with SQLSTATE 57P01",
        TERMINATION,
        &[SQL],
        |t| t.last_words(&[run(END_ITSELF), sync()].concat(), &["ParseComplete", "BindComplete", SHUTDOWN]),
    ),
    Check::new(
        "idle_in_transaction_session_timeout ends the session with SQLSTATE 25P03",
        TIMEOUT,
        &[SQL],
        |t| {
            t.last_words(
                &query("begin; set local idle_in_transaction_session_timeout = '50ms'"),
                &[BEGIN, r#"CommandComplete "SET""#, "ReadyForQuery T", "ErrorResponse FATAL 25P03"],
            )
        },
    ),
    Check::new(
        "idle_session_timeout ends the session with SQLSTATE 57P05",
        TIMEOUT,
        &[SQL, SESSION, DIRECT, crate::check::Need::Since(14)],
        |t| {
            t.last_words(
                &query("set idle_session_timeout = '50ms'"),
                &[r#"CommandComplete "SET""#, IDLE, "ErrorResponse FATAL 57P05"],
            )
        },
    ),
];
