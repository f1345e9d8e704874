//! COPY FROM STDIN. The checks copy into a temporary table of a transaction.

use super::COPY;
use crate::check::{Check, Checked, SQL};
use crate::client::Client;
use crate::message::{copy_data, copy_done, copy_fail, flush, parse, query, run, sync};
use crate::target::Target;

const BINARY: &str = "sql-copy.html#SQL-COPY-FILE-FORMATS";

const OPEN: &str = "ReadyForQuery T";
const BROKEN: &str = "ReadyForQuery E";
/// The answer to a COPY of two columns: the rows and both columns have the text format.
const TEXT: &str = r"CopyInResponse \x00 2 0 0";
const TWO: &str = r#"CommandComplete "COPY 2""#;
const COMMAND: &str = "copy t from stdin";

pub(super) const CHECKS: &[Check] = &[
    Check::new("COPY FROM STDIN in text format", COPY, &[SQL], |t| {
        copied(t, COMMAND, TEXT, &[b"1\ta\n", b"2\t\\N\n"], TWO, "1 'a' -1")
    }),
    Check::new("COPY FROM STDIN in CSV format", COPY, &[SQL], |t| {
        copied(t, "copy t from stdin (format csv)", TEXT, &[b"1,\"a\"\n2,\n"], TWO, "1 'a' -1")
    }),
    Check::new("COPY FROM STDIN in binary format", BINARY, &[SQL], |t| {
        let rows = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\
            \0\x02\0\0\0\x04\0\0\0\x01\0\0\0\x01a\0\x02\0\0\0\x04\0\0\0\x02\xff\xff\xff\xff\xff\xff";
        copied(t, "copy t from stdin (format binary)", r"CopyInResponse \x01 2 1 1", &[rows], TWO, "1 'a' -1")
    }),
    Check::new("CopyData may end anywhere in a row", COPY, &[SQL], |t| {
        let pieces: Vec<&[u8]> = b"1\ta\n2\t\\N\n".chunks(1).collect();
        copied(t, COMMAND, TEXT, &pieces, TWO, "1 'a' -1")
    }),
    Check::new("CopyData may be empty", COPY, &[SQL], |t| {
        copied(t, COMMAND, TEXT, &[b"", b"1\ta\n", b"", b"2\t\\N\n", b""], TWO, "1 'a' -1")
    }),
    Check::new("the last row needs no newline", COPY, &[SQL], |t| {
        copied(t, COMMAND, TEXT, &[b"1\ta\n2\t\\N"], TWO, "1 'a' -1")
    }),
    Check::new("the end-of-data marker is accepted", BINARY, &[SQL], |t| {
        copied(t, COMMAND, TEXT, &[b"1\ta\n2\t\\N\n\\.\n"], TWO, "1 'a' -1")
    }),
    Check::new("COPY FROM STDIN without rows", COPY, &[SQL], |t| {
        copied(t, COMMAND, TEXT, &[], r#"CommandComplete "COPY 0""#, "-1 -1")
    }),
    Check::new("COPY FROM STDIN of 16 MB in one CopyData", COPY, &[SQL], |t| {
        let row = [b"1\t", &vec![b'x'; 16 << 20][..], b"\n"].concat();
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(&[copy_data(&row), copy_done()].concat(), &[r#"CommandComplete "COPY 1""#, OPEN])?;
        client.exchange(
            &query("select length(y) from t"),
            &["RowDescription 1 *", "DataRow 1 8 '16777216'", r#"CommandComplete "SELECT 1""#, OPEN],
        )?;
        rolled_back(client)
    }),
    Check::new("Flush and Sync are ignored during COPY FROM STDIN", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(
            &[flush(), sync(), copy_data(b"1\ta\n"), flush(), sync(), copy_done()].concat(),
            &[r#"CommandComplete "COPY 1""#, OPEN],
        )?;
        rolled_back(client)
    }),
    Check::new("CopyFail is answered by an error with SQLSTATE 57014", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.send(&[copy_data(b"1\ta\n"), copy_fail("interop: a reason")].concat())?;
        let error = client.reply()?;
        let message = error.field(b'M').unwrap_or_default();
        let is_right = error.is("ErrorResponse ERROR 57014") && message.contains("interop: a reason");
        crate::check::ensure(is_right, || {
            format!("expected an error with the reason; received {}", error.shown())
        })?;
        client.expect(&[BROKEN])?;
        rolled_back(client)
    }),
    Check::new("an invalid value is answered by an error with SQLSTATE 22P02", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(
            &[copy_data(b"x\ta\n"), copy_done()].concat(),
            &["ErrorResponse ERROR 22P02", BROKEN],
        )?;
        rolled_back(client)
    }),
    Check::new("a row with too few columns is answered by an error with SQLSTATE 22P04", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client
            .exchange(&[copy_data(b"1\n"), copy_done()].concat(), &["ErrorResponse ERROR 22P04", BROKEN])?;
        rolled_back(client)
    }),
    Check::new(
        "a binary COPY with a wrong signature is answered by an error with SQLSTATE 22P04",
        BINARY,
        &[SQL],
        |t| {
            let mut client = begun(t)?;
            client.exchange(&query("copy t from stdin (format binary)"), &[r"CopyInResponse \x01 2 1 1"])?;
            client.exchange(
                &[copy_data(b"PGCOPX\n\xff\r\n\0\0\0\0\0\0\0\0\0"), copy_done()].concat(),
                &["ErrorResponse ERROR 22P04", BROKEN],
            )?;
            rolled_back(client)
        },
    ),
    Check::new("CopyData after the server's error is ignored", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(&copy_data(b"x\ta\n").repeat(100), &["ErrorResponse ERROR 22P02", BROKEN])?;
        client.exchange(
            &[copy_data(b"1\ta\n"), copy_done(), query("rollback")].concat(),
            &[r#"CommandComplete "ROLLBACK""#, "ReadyForQuery I"],
        )?;
        client.finish()
    }),
    Check::new("CopyFail after the server's error is ignored", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(
            &[copy_data(b"x\ta\n"), copy_fail("interop"), query("rollback")].concat(),
            &["ErrorResponse ERROR 22P02", BROKEN, r#"CommandComplete "ROLLBACK""#, "ReadyForQuery I"],
        )?;
        client.finish()
    }),
    Check::new(
        "another message during COPY FROM STDIN ends the COPY with SQLSTATE 08P01",
        COPY,
        &[SQL],
        |t| {
            let mut client = begun(t)?;
            client.exchange(&query(COMMAND), &[TEXT])?;
            client.exchange(&parse("", "select 1"), &["ErrorResponse ERROR 08P01"])?;
            // The manual does not say whether the session continues. So the check accepts ReadyForQuery, and also a second error, which is
            // fatal.
            let next = client.reply()?;
            if next.is("ErrorResponse FATAL 08P01") {
                return client.expect_end();
            }
            crate::check::ensure(next.is(BROKEN), || format!("received {}", next.shown()))?;
            client.exchange(&sync(), &[BROKEN])?;
            rolled_back(client)
        },
    ),
    Check::new("COPY FROM STDIN between other statements of a query", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(
            &query("select 7; copy t from stdin; copy t from stdin; select count(*) from t"),
            &["RowDescription 1 *", "DataRow 1 1 '7'", r#"CommandComplete "SELECT 1""#, TEXT],
        )?;
        client.exchange(
            &[copy_data(b"1\ta\n"), copy_done()].concat(),
            &[r#"CommandComplete "COPY 1""#, TEXT],
        )?;
        client.exchange(
            &[copy_data(b"2\tb\n"), copy_done()].concat(),
            &[
                r#"CommandComplete "COPY 1""#,
                "RowDescription 1 *",
                "DataRow 1 1 '2'",
                r#"CommandComplete "SELECT 1""#,
                OPEN,
            ],
        )?;
        rolled_back(client)
    }),
    Check::new("COPY FROM STDIN in the extended protocol ends with Sync", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&[run(COMMAND), flush()].concat(), &["ParseComplete", "BindComplete", TEXT])?;
        client.exchange(
            &[copy_data(b"1\ta\n"), copy_done(), sync()].concat(),
            &[r#"CommandComplete "COPY 1""#, OPEN],
        )?;
        rolled_back(client)
    }),
    Check::new(
        "Sync before the data of COPY FROM STDIN in the extended protocol is ignored",
        COPY,
        &[SQL],
        |t| {
            let mut client = begun(t)?;
            client.exchange(&[run(COMMAND), sync()].concat(), &["ParseComplete", "BindComplete", TEXT])?;
            client.exchange(
                &[copy_data(b"1\ta\n"), copy_done(), sync()].concat(),
                &[r#"CommandComplete "COPY 1""#, OPEN],
            )?;
            rolled_back(client)
        },
    ),
    Check::new(
        "an error of COPY FROM STDIN in the extended protocol discards messages up to Sync",
        COPY,
        &[SQL],
        |t| {
            let mut client = begun(t)?;
            client.exchange(&[run(COMMAND), flush()].concat(), &["ParseComplete", "BindComplete", TEXT])?;
            client.exchange(
                &[copy_data(b"x\ta\n"), copy_done(), run("select 8"), sync()].concat(),
                &["ErrorResponse ERROR 22P02", BROKEN],
            )?;
            rolled_back(client)
        },
    ),
    Check::new("a transaction without an error continues after COPY FROM STDIN", COPY, &[SQL], |t| {
        let mut client = begun(t)?;
        client.exchange(&query(COMMAND), &[TEXT])?;
        client.exchange(&copy_done(), &[r#"CommandComplete "COPY 0""#, OPEN])?;
        client.exchange(&query("commit"), &[r#"CommandComplete "COMMIT""#, "ReadyForQuery I"])?;
        client.finish()
    }),
];

/// Opens a session, and begins a transaction with the empty table `t`.
fn begun(t: &Target) -> Checked<Client<'_>> {
    let mut client = t.session()?;
    client.exchange(
        &query("begin; create temp table t (x int4, y text) on commit drop"),
        &[r#"CommandComplete "BEGIN""#, r#"CommandComplete "CREATE TABLE""#, OPEN],
    )?;
    Ok(client)
}

fn rolled_back(mut client: Client<'_>) -> Checked {
    client.exchange(&query("rollback"), &[r#"CommandComplete "ROLLBACK""#, "ReadyForQuery I"])?;
    client.finish()
}

/// Copies pieces of data into the table `t` by a simple query, and checks the values that are then in the table. `values` are the expected
/// values of `y` for `x = 1` and `x = 2`, in the notation of a DataRow line.
fn copied(t: &Target, sql: &str, response: &str, pieces: &[&[u8]], tag: &str, values: &str) -> Checked {
    let mut client = begun(t)?;
    client.exchange(&query(sql), &[response])?;
    let mut data: Vec<u8> = pieces.iter().flat_map(|piece| copy_data(piece)).collect();
    data.extend(copy_done());
    client.exchange(&data, &[tag, OPEN])?;
    client.exchange(
        &query("select (select y from t where x = 1), (select y from t where x = 2)"),
        &["RowDescription 2 *", &format!("DataRow 2 {values}"), r#"CommandComplete "SELECT 1""#, OPEN],
    )?;
    rolled_back(client)
}
