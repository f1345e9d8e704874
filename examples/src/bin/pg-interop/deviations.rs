//! Known differences between the servers and PostgreSQL's manual, each with its reason.

/// A check that some servers do not pass.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// The names of the servers in `servers.rs`.
    pub(crate) servers: &'static [&'static str],
    /// The name of the check.
    pub(crate) check: &'static str,
    pub(crate) reason: &'static str,
    /// Whether the outcome depends on timing, for example on the number of packets in which bytes arrive. Then the check may pass.
    pub(crate) by_timing: bool,
}

impl Deviation {
    const fn new(servers: &'static [&'static str], check: &'static str, reason: &'static str) -> Self {
        Self { servers, check, reason, by_timing: false }
    }

    /// A deviation that is not observed in every run.
    const fn by_timing(self) -> Self {
        Self { by_timing: true, ..self }
    }
}

/// The known deviation of a server from a check.
pub(crate) fn find(server: &str, check: &str) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|known| known.check == check && known.servers.contains(&server))
}

const PGBOUNCER: &[&str] = &["PgBouncer by session", "PgBouncer by transaction"];
const BY_SESSION: &[&str] = &["PgBouncer by session"];
const BY_TRANSACTION: &[&str] = &["PgBouncer by transaction"];
const MOCK: &[&str] = &["mock_server"];
const POOLER: &[&str] = &["pg-pooler"];
/// PostgreSQL 18, and the programs in front of it.
const POSTGRES_18: &[&str] = &["PostgreSQL 18", "pg-proxy", "pg-pooler"];

const PGBOUNCER_VERSION: &str =
    "PgBouncer before 1.24 rejects every version but 3.0, and every protocol option";
const PGBOUNCER_SQLSTATE: &str = "PgBouncer sends its own errors with SQLSTATE 08P01";
const PGBOUNCER_SECOND_ERROR: &str =
    "PgBouncer sends a second FATAL error (\"server conn crashed?\") after the server's FATAL error";
const PGBOUNCER_AT_ONCE: &str = "PgBouncer ends the session as soon as it reads the last message, and drops the replies to earlier messages";

const PGBOUNCER_STALLS: &str =
    "observed on a busy machine: PgBouncer stopped in the middle of a message of 16 MB for at least a minute";
const PGBOUNCER_PIECES: &str =
    "PgBouncer rejects a first packet if only a part of its header is there when PgBouncer reads";
const POOLER_FATAL: &str =
    "pg-pooler decodes Parse, and ends the session of a client that sends a malformed Parse";

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation::new(&["PostgreSQL 15", "PostgreSQL 18", "PgBouncer by session", "pg-proxy", "pg-pooler"], "Close of a statement closes its portals", "PostgreSQL keeps the portals of a closed statement, against its manual"),
    Deviation::new(POSTGRES_18, "a Query without Sync before it is answered in order", "PostgreSQL 18 answers the next query by an error with SQLSTATE XX000 (unexpected state STARTED)"),
    Deviation::new(PGBOUNCER, "version 3.2 is negotiated down to 3.0", PGBOUNCER_VERSION),
    Deviation::new(PGBOUNCER, "version 3.9999 is negotiated down to the server's newest version", PGBOUNCER_VERSION),
    Deviation::new(PGBOUNCER, "an unknown protocol option is listed, and the session continues", PGBOUNCER_VERSION),
    Deviation::new(PGBOUNCER, "all unknown protocol options are listed", PGBOUNCER_VERSION),
    Deviation::new(PGBOUNCER, "an unknown version and an unknown option are answered by one message", PGBOUNCER_VERSION),
    Deviation::new(PGBOUNCER, "a start-up message in pieces of one byte is accepted", PGBOUNCER_PIECES).by_timing(),
    Deviation::new(PGBOUNCER, "the first packet may arrive in pieces of one byte", PGBOUNCER_PIECES).by_timing(),
    Deviation::new(PGBOUNCER, "an unknown parameter is rejected after the login", PGBOUNCER_SQLSTATE),
    Deviation::new(PGBOUNCER, "a database that does not exist is rejected", PGBOUNCER_SQLSTATE),
    Deviation::new(PGBOUNCER, "a wrong password is rejected with SQLSTATE 28P01", PGBOUNCER_SQLSTATE),
    Deviation::new(PGBOUNCER, "an invalid value of a parameter is rejected after the login", "PgBouncer sets the parameter before the first query, and not during the login"),
    Deviation::new(PGBOUNCER, "another message during COPY FROM STDIN ends the COPY with SQLSTATE 08P01", PGBOUNCER_SECOND_ERROR),
    Deviation::new(BY_SESSION, "RESET reports the value of the start-up message", "PgBouncer sets the parameters of the start-up message by SET, so RESET restores the server's value"),
    Deviation::new(BY_SESSION, "DISCARD ALL resets parameters and prepared statements", "PgBouncer sets the parameters of the start-up message by SET, so DISCARD ALL restores the server's value"),
    Deviation::new(PGBOUNCER, "a message with the code NUL ends the session with SQLSTATE 08P01", "PgBouncer takes the message for a packet without a code, and waits for its end"),
    Deviation::new(BY_TRANSACTION, "a query in pieces of one byte is answered", "PgBouncer does not continue to read a message whose header arrives in pieces, if no transaction is open").by_timing(),
    Deviation::new(PGBOUNCER, "messages before an invalid header are answered", PGBOUNCER_AT_ONCE),
    Deviation::new(PGBOUNCER, "messages before Terminate are answered", PGBOUNCER_AT_ONCE),
    Deviation::new(PGBOUNCER, "Terminate is accepted after an error before Sync", PGBOUNCER_AT_ONCE),
    Deviation::new(PGBOUNCER, "a query before a half-close is answered", PGBOUNCER_AT_ONCE),
    Deviation::new(PGBOUNCER, "pg_terminate_backend of the own session ends the session with SQLSTATE 57P01", PGBOUNCER_SECOND_ERROR),
    Deviation::new(BY_SESSION, "pg_terminate_backend of an idle session ends the session with SQLSTATE 57P01", PGBOUNCER_SECOND_ERROR),
    Deviation::new(PGBOUNCER, "pg_terminate_backend of a session in a pipeline ends the session with SQLSTATE 57P01", PGBOUNCER_SECOND_ERROR),
    Deviation::new(PGBOUNCER, "idle_in_transaction_session_timeout ends the session with SQLSTATE 25P03", PGBOUNCER_SECOND_ERROR),
    Deviation::new(MOCK, "an unknown parameter is rejected after the login", "a test double accepts every parameter"),
    Deviation::new(POOLER, "Parse with a count larger than the list is rejected with SQLSTATE 08P01", POOLER_FATAL),
    Deviation::new(POOLER, "Parse with bytes after the list is rejected with SQLSTATE 08P01", POOLER_FATAL),
    Deviation::new(POOLER, "Parse without the NUL of the query is rejected with SQLSTATE 08P01", POOLER_FATAL),
    Deviation::new(POOLER, "messages before an invalid header are answered", "pg-pooler ends the session as soon as it reads the header, and drops the replies to earlier messages"),
    Deviation::new(POOLER, "a query before a half-close is answered", "pg-pooler takes a half-close for a client that has disconnected"),
    Deviation::new(PGBOUNCER, "a parameter of 16 MB arrives", PGBOUNCER_STALLS).by_timing(),
    Deviation::new(PGBOUNCER, "a value of 16 MB is sent", PGBOUNCER_STALLS).by_timing(),
    Deviation::new(PGBOUNCER, "a query of 16 MB is run", PGBOUNCER_STALLS).by_timing(),
    Deviation::new(PGBOUNCER, "COPY FROM STDIN of 16 MB in one CopyData", PGBOUNCER_STALLS).by_timing(),
];
