//! The expected answers of the products.

use crate::checks::NOT_SENT;

/// The answers of PostgreSQL: the name of each check, and the lines that the check must return.
pub(crate) const ANSWERS: [(&str, &[&str]); 15] = [
    ("login", &["authenticated by scram-sha-256", "encoding UTF8", "standard strings on", "cancel key true"]),
    (
        "simple_query",
        &[
            "columns answer:23 nothing:25",
            "row 42|NULL",
            "complete SELECT 1",
            "ready",
            "EmptyQueryResponse",
            "ready",
        ],
    ),
    (
        "several_statements",
        &[
            "columns one:23",
            "row 1",
            "complete SELECT 1",
            "columns two:25",
            "row two",
            "complete SELECT 1",
            "ready",
        ],
    ),
    (
        "prepared_statement",
        &[
            "ParseComplete",
            "parameters 23 25",
            "columns next:23 loud:25",
            "BindComplete",
            r"row \x00\x00\x00*|a!",
            "complete SELECT 1",
            "BindComplete",
            "row 42|b!",
            "complete SELECT 1",
            "CloseComplete",
            "ready",
        ],
    ),
    (
        "pipeline",
        &[
            "500 rows, sum 250500",
            "ParseComplete",
            "ready",
            "ParseComplete",
            "BindComplete",
            "row 10",
            "complete SELECT 1",
            "ready",
            "ParseComplete",
            "error 22012 division by zero",
            "ready",
            "ParseComplete",
            "BindComplete",
            "row 5",
            "complete SELECT 1",
            "ready",
        ],
    ),
    (
        "large_value",
        &["ParseComplete", "BindComplete", "row 1048576|1048576 bytes", "complete SELECT 1", "ready"],
    ),
    (
        "copy_in",
        &[
            "complete BEGIN",
            "complete CREATE TABLE",
            "ready, transaction InTransaction",
            "2000 rows copied",
            "columns count:20 sum:20 max:25",
            r"row 2000|2001000|line\t9\\",
            "complete SELECT 1",
            "ready, transaction InTransaction",
            "complete COMMIT",
            "ready",
        ],
    ),
    ("copy_out", &["2000 rows copied"]),
    (
        "failed_copy",
        &[
            "complete CREATE TABLE",
            "CopyInResponse",
            "error 57014 COPY from stdin failed: no more rows",
            "ready",
            "complete CREATE TABLE",
            "CopyInResponse",
            "error 22P02 invalid input syntax for type integer: \"no number\"",
            "ready",
        ],
    ),
    (
        "errors",
        &[
            "columns ?column?:23",
            "row 1",
            "complete SELECT 1",
            "error 22012 division by zero",
            "ready",
            "ParseComplete",
            "BindComplete",
            "row first",
            "complete SELECT 1",
            "error 42601 syntax error at or near \"selec\"",
            "ready",
            "columns ?column?:25",
            "row recovered",
            "complete SELECT 1",
            "ready",
        ],
    ),
    (
        "transaction",
        &[
            "complete BEGIN",
            "ready, transaction InTransaction",
            "complete CREATE TABLE",
            "ready, transaction InTransaction",
            "error 22012 division by zero",
            "ready, transaction Failed",
            "error 25P02 current transaction is aborted, commands ignored until end of transaction block",
            "ready, transaction Failed",
            "complete ROLLBACK",
            "ready",
            "columns to_regclass:2205",
            "row NULL",
            "complete SELECT 1",
            "ready",
        ],
    ),
    (
        "cancel",
        &[
            "notice 00000 asleep",
            "error 57014 canceling statement due to user request",
            "ready",
            "columns ?column?:25",
            "row recovered",
            "complete SELECT 1",
            "ready",
        ],
    ),
    ("notice", &["notice 00000 noted", "complete DO", "ready"]),
    (
        "another_client",
        &[
            "ParseComplete",
            "ParseComplete",
            "BindComplete",
            "complete SELECT 1",
            "ready",
            "BindComplete",
            "row kept",
            "complete SELECT 1",
            "CloseComplete",
            "ready",
        ],
    ),
    ("end", &["the peer closed the connection"]),
];

/// Placeholder in an expected answer. The lines of [`PLANETS`] replace the placeholder.
const ROWS: &str = "the rows of mock_server";

/// The answer of `mock_server` to every SELECT.
const PLANETS: [&str; 5] =
    ["columns name:25 moons:23", "row Earth|1", "row Mars|2", "row Planet Nine|NULL", "complete SELECT 3"];

/// The answer of `mock_server` to every batch of the extended protocol.
const NOT_EXTENDED: &str = "error 0A000 this server answers only simple queries";

const ONE_ANSWER: &str = "a test double: every SELECT of the simple protocol has the same answer";
const NO_OTHER: &str = "a test double: it rejects every statement except SELECT";
const NO_EXTENDED: &str = "a test double: it rejects the extended protocol";

/// A deviation from PostgreSQL's answer: the names of the product and of the check, the lines of the product's answer, and the reason.
type Deviation = (&'static str, &'static str, &'static [&'static str], &'static str);

/// All deviations of the products from PostgreSQL's answers.
const DEVIATIONS: [Deviation; 20] = [
    (
        "PgBouncer, transaction pooling",
        "another_client",
        &[
            "ParseComplete",
            "ParseComplete",
            "BindComplete",
            "complete SELECT 1",
            "ready",
            "error 26000 prepared statement \"kept\" does not exist",
            "ready",
        ],
        "PgBouncer 1.18 does not prepare the statement on the server connection of the next transaction",
    ),
    (
        "PGlite",
        "login",
        &["authenticated by none", "encoding UTF8", "standard strings on", "cancel key true"],
        "PGlite has no passwords",
    ),
    ("PGlite", "copy_in", &[NOT_SENT], "the socket server of PGlite does not answer after COPY FROM STDIN"),
    (
        "PGlite",
        "failed_copy",
        &[NOT_SENT],
        "the socket server of PGlite does not answer after COPY FROM STDIN",
    ),
    (
        "PGlite",
        "cancel",
        &[
            "notice 00000 asleep",
            "complete DO",
            "ready",
            "columns ?column?:25",
            "row recovered",
            "complete SELECT 1",
            "ready",
        ],
        "PGlite has one thread, and the connection of a cancel request would be its second connection",
    ),
    (
        "PGlite",
        "another_client",
        &[
            "ParseComplete",
            "ParseComplete",
            "BindComplete",
            "complete SELECT 1",
            "ready",
            "a second connection is rejected",
            "BindComplete",
            "row kept",
            "complete SELECT 1",
            "CloseComplete",
            "ready",
        ],
        "PGlite has one connection at a time",
    ),
    (
        "PGlite",
        "end",
        &["the peer waits until the client closes the connection"],
        "the socket server of PGlite ignores Terminate",
    ),
    ("mock_server", "simple_query", &[ROWS, "ready", "EmptyQueryResponse", "ready"], ONE_ANSWER),
    ("mock_server", "several_statements", &[ROWS, ROWS, "ready"], ONE_ANSWER),
    ("mock_server", "prepared_statement", &[NOT_EXTENDED, "ready"], NO_EXTENDED),
    (
        "mock_server",
        "pipeline",
        &[
            "0 rows, sum 0",
            NOT_EXTENDED,
            "ready",
            NOT_EXTENDED,
            "ready",
            NOT_EXTENDED,
            "ready",
            NOT_EXTENDED,
            "ready",
        ],
        NO_EXTENDED,
    ),
    ("mock_server", "large_value", &[NOT_EXTENDED, "ready"], NO_EXTENDED),
    (
        "mock_server",
        "copy_in",
        &[
            "error 0A000 only SELECT is answered here, and not begin",
            "ready",
            "failed: ERROR 0A000: only SELECT is answered here, and not copy",
            ROWS,
            "ready",
            "error 0A000 only SELECT is answered here, and not commit",
            "ready",
        ],
        NO_OTHER,
    ),
    (
        "mock_server",
        "copy_out",
        &["failed: ERROR 0A000: only SELECT is answered here, and not copy"],
        NO_OTHER,
    ),
    (
        "mock_server",
        "failed_copy",
        &["error 0A000 only SELECT is answered here, and not create", "ready"],
        NO_OTHER,
    ),
    ("mock_server", "errors", &[ROWS, ROWS, ROWS, "ready", NOT_EXTENDED, "ready", ROWS, "ready"], ONE_ANSWER),
    (
        "mock_server",
        "transaction",
        &[
            "error 0A000 only SELECT is answered here, and not begin",
            "ready",
            "error 0A000 only SELECT is answered here, and not create",
            "ready",
            ROWS,
            "ready",
            ROWS,
            "ready",
            "error 0A000 only SELECT is answered here, and not rollback",
            "ready",
            ROWS,
            "ready",
        ],
        NO_OTHER,
    ),
    (
        "mock_server",
        "cancel",
        &[
            "notice 00000 asleep until the statement is cancelled",
            "error 57014 canceling statement due to user request",
            "ready",
            ROWS,
            "ready",
        ],
        ONE_ANSWER,
    ),
    ("mock_server", "notice", &["error 0A000 only SELECT is answered here, and not do", "ready"], NO_OTHER),
    ("mock_server", "another_client", &[NOT_EXTENDED, "ready", NOT_EXTENDED, "ready"], NO_EXTENDED),
];

/// Returns the expected lines of a check. If these lines differ from PostgreSQL's lines, also returns the reason.
pub(crate) fn answer(product: &str, check: &str) -> (Vec<&'static str>, Option<&'static str>) {
    let deviation = DEVIATIONS.iter().find(|(of, name, ..)| (*of, *name) == (product, check));
    let (lines, reason) = match deviation {
        Some((_, _, lines, reason)) => (*lines, Some(*reason)),
        None => (postgresql(check), None),
    };
    let lines = lines.iter().flat_map(|line| match *line {
        ROWS => PLANETS.to_vec(),
        line => vec![line],
    });
    (lines.collect(), reason)
}

fn postgresql(check: &str) -> &'static [&'static str] {
    ANSWERS.iter().find(|(name, _)| *name == check).expect("the name of a check").1
}

#[test]
fn each_deviation_differs_from_postgresql_and_is_listed_once() {
    for (number, (product, check, lines, _)) in DEVIATIONS.iter().enumerate() {
        assert_ne!(*lines, postgresql(check), "{product}, {check}");
        let mut earlier = DEVIATIONS[..number].iter();
        assert!(!earlier.any(|(of, name, ..)| (of, name) == (product, check)), "{product}, {check}");
    }
}
