//! Known differences between the servers and PostgreSQL's manual, each with its reason.

/// A list of checks that some servers do not pass, all for one reason.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// The names of the servers in `servers.rs`.
    pub(crate) servers: &'static [&'static str],
    pub(crate) reason: &'static str,
    pub(crate) kind: Kind,
    /// The names of the checks.
    pub(crate) checks: &'static [&'static str],
}

/// How often a known deviation is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The check fails in every run.
    Always,
    /// The check fails in some runs. The outcome depends on timing, for example on the number of packets in which bytes arrive.
    ByTiming,
    /// The checks are not run, because they would take a part of the server out of service.
    NotRun,
}

/// Returns the known deviation of a server for a check.
pub(crate) fn find(server: &str, check: &str) -> Option<&'static Deviation> {
    DEVIATIONS.iter().find(|known| known.servers.contains(&server) && known.checks.contains(&check))
}

/// Returns the reason why a check may fail only because other checks run at the same time. Returns `None` for most servers, because a
/// session must not affect another session.
pub(crate) fn disturbance(server: &str) -> Option<&'static str> {
    PGBOUNCER.contains(&server).then_some(
        "passes alone; observed: errors of one PgBouncer client arrive at another client of the same pool",
    )
}

const PGBOUNCER: &[&str] = &["PgBouncer by session", "PgBouncer by transaction"];
const BY_SESSION: &[&str] = &["PgBouncer by session"];
const BY_TRANSACTION: &[&str] = &["PgBouncer by transaction"];
const PGPOOL: &[&str] = &["Pgpool-II"];
const PGLITE: &[&str] = &["PGlite"];
const MOCK: &[&str] = &["mock_server"];
const POOLER: &[&str] = &["pg-pooler"];
/// PostgreSQL 18, the programs in front of PostgreSQL 18, and PGlite, which is compiled from PostgreSQL 18.
const POSTGRES_18: &[&str] = &["PostgreSQL 18", "pg-proxy", "pg-pooler", "PGlite"];

const PGBOUNCER_VERSION: &str = "PgBouncer 1.18 rejects every version but 3.0, and every protocol option";
const PGBOUNCER_SQLSTATE: &str = "PgBouncer sends its own errors with SQLSTATE 08P01";
const PGBOUNCER_SECOND_ERROR: &str =
    "PgBouncer sends a second FATAL error (\"server conn crashed?\") after the server's FATAL error";
const PGBOUNCER_AT_ONCE: &str = "PgBouncer ends the session as soon as it reads the last message, and drops the replies to earlier messages";

const PGBOUNCER_STALLS: &str =
    "observed on a busy machine: PgBouncer stopped in the middle of a message of 16 MB for at least a minute";
const PGBOUNCER_PIECES: &str =
    "PgBouncer rejects a first packet if only a part of its header is there when PgBouncer reads";
const PGPOOL_SECOND_ERROR: &str = "Pgpool-II sends a second error with SQLSTATE XX000 after the FATAL error";
const PGPOOL_WAITS: &str = "Pgpool-II waits for a reply of the server that does not arrive, and its process stays occupied after the client has disconnected";
const PGPOOL_COPY: &str = "Pgpool-II does not know COPY in the extended protocol: it closes the connection, or its process stays occupied after the client has disconnected";
const PGLITE_FATAL: &str =
    "PGlite has one session: after a FATAL error of this session PGlite answers no client";
const POOLER_FATAL: &str =
    "pg-pooler decodes Parse, and ends the session of a client that sends a malformed Parse";

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        servers: &[
            "PostgreSQL 15",
            "PostgreSQL 18",
            "PgBouncer by session",
            "Pgpool-II",
            "pg-proxy",
            "pg-pooler",
            "PGlite",
        ],
        reason: "PostgreSQL keeps the portals of a closed statement, against its manual",
        kind: Kind::Always,
        checks: &["Close of a statement closes its portals"],
    },
    Deviation {
        servers: POSTGRES_18,
        reason: "PostgreSQL 18 answers the next query by an error with SQLSTATE XX000 (unexpected state STARTED)",
        kind: Kind::Always,
        checks: &["a Query without Sync before it is answered in order"],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_VERSION,
        kind: Kind::Always,
        checks: &[
            "version 3.2 is negotiated down to 3.0",
            "version 3.9999 is negotiated down to the server's newest version",
            "an unknown protocol option is listed, and the session continues",
            "all unknown protocol options are listed",
            "an unknown version and an unknown option are answered by one message",
        ],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_PIECES,
        kind: Kind::ByTiming,
        checks: &[
            "a start-up message in pieces of one byte is accepted",
            "the first packet may arrive in pieces of one byte",
        ],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_SQLSTATE,
        kind: Kind::Always,
        checks: &[
            "an unknown parameter is rejected after the login",
            "a database that does not exist is rejected",
            "a wrong password is rejected with SQLSTATE 28P01",
        ],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: "PgBouncer sets the parameter before the first query, and not during the login",
        kind: Kind::Always,
        checks: &["an invalid value of a parameter is rejected after the login"],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_SECOND_ERROR,
        kind: Kind::Always,
        checks: &[
            "another message during COPY FROM STDIN ends the COPY with SQLSTATE 08P01",
            "pg_terminate_backend of the own session ends the session with SQLSTATE 57P01",
            "pg_terminate_backend of a session in a pipeline ends the session with SQLSTATE 57P01",
            "idle_in_transaction_session_timeout ends the session with SQLSTATE 25P03",
        ],
    },
    Deviation {
        servers: BY_SESSION,
        reason: "PgBouncer sets the parameters of the start-up message by SET, so RESET restores the server's value",
        kind: Kind::Always,
        checks: &["RESET reports the value of the start-up message"],
    },
    Deviation {
        servers: BY_SESSION,
        reason: "PgBouncer sets the parameters of the start-up message by SET, so DISCARD ALL restores the server's value",
        kind: Kind::Always,
        checks: &["DISCARD ALL resets parameters and prepared statements"],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: "PgBouncer takes the message for a packet without a code, and waits for its end",
        kind: Kind::Always,
        checks: &["a message with the code NUL ends the session with SQLSTATE 08P01"],
    },
    Deviation {
        servers: BY_TRANSACTION,
        reason: "PgBouncer does not continue to read a message whose header arrives in pieces, if no transaction is open",
        kind: Kind::ByTiming,
        checks: &["a query in pieces of one byte is answered"],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_AT_ONCE,
        kind: Kind::ByTiming,
        checks: &[
            "messages before an invalid header are answered",
            "messages before Terminate are answered",
            "Terminate is accepted after an error before Sync",
            "a query before a half-close is answered",
        ],
    },
    Deviation {
        servers: BY_SESSION,
        reason: PGBOUNCER_SECOND_ERROR,
        kind: Kind::Always,
        checks: &["pg_terminate_backend of an idle session ends the session with SQLSTATE 57P01"],
    },
    Deviation {
        servers: MOCK,
        reason: "a test double accepts every parameter",
        kind: Kind::Always,
        checks: &["an unknown parameter is rejected after the login"],
    },
    Deviation {
        servers: POOLER,
        reason: POOLER_FATAL,
        kind: Kind::Always,
        checks: &[
            "Parse with a count larger than the list is rejected with SQLSTATE 08P01",
            "Parse with bytes after the list is rejected with SQLSTATE 08P01",
            "Parse without the NUL of the query is rejected with SQLSTATE 08P01",
        ],
    },
    Deviation {
        servers: POOLER,
        reason: "pg-pooler ends the session as soon as it reads the header, and drops the replies to earlier messages",
        kind: Kind::ByTiming,
        checks: &["messages before an invalid header are answered"],
    },
    Deviation {
        servers: POOLER,
        reason: "pg-pooler takes a half-close for a client that has disconnected",
        kind: Kind::ByTiming,
        checks: &["a query before a half-close is answered"],
    },
    Deviation {
        servers: PGBOUNCER,
        reason: PGBOUNCER_STALLS,
        kind: Kind::ByTiming,
        checks: &[
            "a parameter of 16 MB arrives",
            "a value of 16 MB is sent",
            "a query of 16 MB is run",
            "COPY FROM STDIN of 16 MB in one CopyData",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II passes the start-up message on, but cannot take the NegotiateProtocolVersion of the server",
        kind: Kind::Always,
        checks: &[
            "version 3.2 is negotiated down to 3.0",
            "version 3.9999 is negotiated down to the server's newest version",
            "an unknown protocol option is listed, and the session continues",
            "all unknown protocol options are listed",
            "an unknown version and an unknown option are answered by one message",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II closes the connection without an error",
        kind: Kind::Always,
        checks: &[
            "version 4.0 is rejected with a FATAL error",
            "a start-up message without the terminator is rejected",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II sends its own errors with SQLSTATE XX000, and some of them with the severity ERROR although the session ends",
        kind: Kind::Always,
        checks: &[
            "a start-up message with a name without a value is rejected",
            "a wrong password is rejected with SQLSTATE 28P01",
            "a query in place of the password ends the connection",
            "a password message without NUL ends the connection",
            "a password message of 1 GB ends the connection",
            "an unknown SASL mechanism is rejected with SQLSTATE 08P01",
            "SCRAM without the attribute r is rejected with SQLSTATE 08P01",
            "a SASL message with a wrong length ends the connection",
            "an unknown mandatory extension of SCRAM is rejected",
            "a SCRAM proof for another nonce is rejected",
            "a message with an unknown code ends the session with SQLSTATE 08P01",
            "a message with the code NUL ends the session with SQLSTATE 08P01",
            "a message of the server ends the session with SQLSTATE 08P01",
            "a password message in the session ends the session with SQLSTATE 08P01",
            "a length of 0 ends the session",
            "a length of 3 ends the session",
            "a negative length ends the session",
            "messages before an invalid header are answered",
            "pg_terminate_backend of an idle session ends the session with SQLSTATE 57P01",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: PGPOOL_SECOND_ERROR,
        kind: Kind::ByTiming,
        checks: &["a first packet of length 7 ends the connection"],
    },
    Deviation {
        servers: PGPOOL,
        reason: PGPOOL_SECOND_ERROR,
        kind: Kind::Always,
        checks: &[
            "a start-up message without a user is rejected",
            "an unknown parameter is rejected after the login",
            "an invalid value of a parameter is rejected after the login",
            "a database that does not exist is rejected",
            "another message during COPY FROM STDIN ends the COPY with SQLSTATE 08P01",
            "pg_terminate_backend of the own session ends the session with SQLSTATE 57P01",
            "pg_terminate_backend of a session in a pipeline ends the session with SQLSTATE 57P01",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II looks up statements and portals itself, and ends the session with SQLSTATE XX000 if it does not know the name",
        kind: Kind::Always,
        checks: &[
            "Close of a statement is answered by CloseComplete, and destroys the statement",
            "Close of the unnamed statement destroys the statement",
            "Close of neither a statement nor a portal is rejected with SQLSTATE 08P01",
            "Bind of a statement that does not exist is rejected with SQLSTATE 26000",
            "Bind without an unnamed statement is rejected with SQLSTATE 26000",
            "Describe of a statement that does not exist is rejected with SQLSTATE 26000",
            "Describe of a portal that does not exist is rejected with SQLSTATE 34000",
            "Describe of neither a statement nor a portal is rejected with SQLSTATE 08P01",
            "Execute of a portal that does not exist is rejected with SQLSTATE 34000",
            "Close of a portal destroys the portal",
            "a cursor of DECLARE can be executed as a portal",
            "after an error all messages up to Sync are discarded",
            "DISCARD ALL resets parameters and prepared statements",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II itself answers a query in a transaction that it takes for failed",
        kind: Kind::Always,
        checks: &[
            "a failed transaction answers an empty query",
            "COMMIT in a query divides the query into transactions",
            "COMMIT between Bind and Execute destroys the portal",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: PGPOOL_WAITS,
        kind: Kind::NotRun,
        checks: &[
            "Flush makes the server send its replies before Sync",
            "after an error a Query before Sync is discarded",
            "after an error a FunctionCall before Sync is discarded",
            "Terminate is accepted after an error before Sync",
            "a Sync with a body is rejected with SQLSTATE 08P01",
            "Flush and Sync are ignored during COPY FROM STDIN",
            "CopyData after the server's error is ignored",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: PGPOOL_COPY,
        kind: Kind::NotRun,
        checks: &[
            "COPY TO STDOUT in the extended protocol",
            "COPY FROM STDIN in the extended protocol ends with Sync",
            "Sync before the data of COPY FROM STDIN in the extended protocol is ignored",
        ],
    },
    Deviation {
        servers: PGPOOL,
        reason: "Pgpool-II waits for the whole message",
        kind: Kind::Always,
        checks: &[
            "a Sync of 1 MB ends the session at its header",
            "an Execute of 1 MB ends the session at its header",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite waits for more bytes of a start-up message whose version is not 3.0",
        kind: Kind::Always,
        checks: &[
            "version 3.2 is accepted without negotiation",
            "version 3.9999 is negotiated down to the server's newest version",
            "an unknown version and an unknown option are answered by one message",
            "version 2.0 is rejected",
            "version 4.0 is rejected with a FATAL error",
            "the cancel key has up to 256 bytes in version 3.2",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite rejects a connection until it has noticed the end of the previous connection",
        kind: Kind::ByTiming,
        checks: &["an end of the connection without Terminate rolls an open transaction back"],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite does not answer GSSENCRequest",
        kind: Kind::Always,
        checks: &[
            "GSSENCRequest is answered by one byte, G or N",
            "a login in clear is possible after N to GSSENCRequest",
            "SSLRequest is answered after N to GSSENCRequest",
            "GSSENCRequest is answered after N to SSLRequest",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite answers SSLRequest in a session too",
        kind: Kind::Always,
        checks: &["SSLRequest in the session ends the session"],
    },
    Deviation {
        servers: PGLITE,
        reason: "PGlite ignores the user, the database and the parameters of the start-up message",
        kind: Kind::Always,
        checks: &[
            "a start-up message without a user is rejected",
            "an unknown parameter is rejected after the login",
            "an invalid value of a parameter is rejected after the login",
            "a database that does not exist is rejected",
            "a parameter of the start-up message is set and reported",
            "application_name is set and reported",
            "SET of the same value is not reported",
            "RESET reports the value of the start-up message",
            "DISCARD ALL resets parameters and prepared statements",
            "client_encoding of the start-up message is used and reported",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite ignores Terminate",
        kind: Kind::Always,
        checks: &[
            "Terminate closes the connection without a reply",
            "messages after Terminate are not answered",
            "messages before Terminate are answered",
            "Terminate with a body closes the connection",
            "Terminate is accepted after an error before Sync",
            "Terminate rolls an open transaction back",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "the socket server of PGlite waits for the whole message, also if its length is invalid",
        kind: Kind::Always,
        checks: &[
            "a negative length ends the session",
            "a Query of 2 GB ends the session at its header",
            "a Sync of 1 MB ends the session at its header",
            "an Execute of 1 MB ends the session at its header",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "PGlite has no timers",
        kind: Kind::Always,
        checks: &["idle_session_timeout ends the session with SQLSTATE 57P05"],
    },
    Deviation {
        servers: PGLITE,
        reason: "PGlite has no timers: the statement runs on, or PGlite answers no client any more",
        kind: Kind::NotRun,
        checks: &[
            "statement_timeout ends a statement with SQLSTATE 57014",
            "statement_timeout ends a statement of the extended protocol",
            "idle_in_transaction_session_timeout ends the session with SQLSTATE 25P03",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: PGLITE_FATAL,
        kind: Kind::NotRun,
        checks: &[
            "a first packet with a negative length ends the connection",
            "a first packet of 16 MB ends the connection",
            "a start-up message without the terminator is rejected",
            "a start-up message with a name without a value is rejected",
            "a message with an unknown code ends the session with SQLSTATE 08P01",
            "a message with the code NUL ends the session with SQLSTATE 08P01",
            "a message of the server ends the session with SQLSTATE 08P01",
            "a password message in the session ends the session with SQLSTATE 08P01",
            "messages before an invalid header are answered",
            "pg_terminate_backend of the own session ends the session with SQLSTATE 57P01",
            "pg_terminate_backend of a session in a pipeline ends the session with SQLSTATE 57P01",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "PGlite answers no client after a message with this length",
        kind: Kind::NotRun,
        checks: &[
            "a length of 0 ends the session",
            "a length of 3 ends the session",
            "the smallest length ends the session",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "observed: PGlite answers no client after a statement that needs the conversion of a character to or from LATIN1",
        kind: Kind::NotRun,
        checks: &[
            "values are sent in the client encoding",
            "queries, names and parameters are read in the client encoding",
            "a character that the client encoding lacks is an error with SQLSTATE 22P05",
        ],
    },
    Deviation {
        servers: PGLITE,
        reason: "PGlite answers no client after COPY FROM STDIN",
        kind: Kind::NotRun,
        checks: &[
            "COPY FROM STDIN in text format",
            "COPY FROM STDIN in CSV format",
            "COPY FROM STDIN in binary format",
            "CopyData may end anywhere in a row",
            "CopyData may be empty",
            "the last row needs no newline",
            "the end-of-data marker is accepted",
            "COPY FROM STDIN without rows",
            "COPY FROM STDIN of 16 MB in one CopyData",
            "Flush and Sync are ignored during COPY FROM STDIN",
            "CopyFail is answered by an error with SQLSTATE 57014",
            "an invalid value is answered by an error with SQLSTATE 22P02",
            "a row with too few columns is answered by an error with SQLSTATE 22P04",
            "a binary COPY with a wrong signature is answered by an error with SQLSTATE 22P04",
            "CopyData after the server's error is ignored",
            "CopyFail after the server's error is ignored",
            "another message during COPY FROM STDIN ends the COPY with SQLSTATE 08P01",
            "COPY FROM STDIN between other statements of a query",
            "COPY FROM STDIN in the extended protocol ends with Sync",
            "Sync before the data of COPY FROM STDIN in the extended protocol is ignored",
            "an error of COPY FROM STDIN in the extended protocol discards messages up to Sync",
            "a transaction without an error continues after COPY FROM STDIN",
            "Terminate during COPY FROM STDIN closes the connection",
        ],
    },
];
