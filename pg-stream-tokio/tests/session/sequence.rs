//! Generators of random sequences of messages.

use pg_stream_tokio::pg_wire::oid::Oid;
use pg_stream_tokio::{PgProtocol, Portal, Statement};
use proptest::prelude::*;

/// One step of a random sequence.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Sends messages as one batch.
    Send(Vec<Message>),
    /// Receives up to this number of messages. Ends earlier if the model of the session expects no message.
    Receive(usize),
    /// Receives messages until the model of the session expects no message.
    ReceiveAll,
    /// Checks that no reply arrives when the model of the session expects none.
    Quiet,
    /// Sends a cancel request over another connection, and waits until the server has handled the request.
    Cancel,
    /// Makes the session idle by the steps that the model of the session proposes.
    Recover,
}

/// A message of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message {
    Query(Sql),
    Parse(u8, Sql),
    Bind {
        portal: u8,
        statement: u8,
    },
    DescribeStatement(u8),
    DescribePortal(u8),
    Execute {
        portal: u8,
        rows: u32,
    },
    CloseStatement(u8),
    ClosePortal(u8),
    Sync,
    Flush,
    CopyData,
    /// CopyData with a status update of a standby.
    StatusUpdate,
    CopyDone,
    CopyFail,
    /// A call of `pg_backend_pid`, or of a function that does not exist.
    FunctionCall {
        exists: bool,
    },
    Terminate,
}

/// SQL text of a Query or Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sql {
    Tag,
    Several,
    Rows,
    Error,
    SecondFails,
    Syntax,
    Empty,
    Semicolons,
    Begin,
    Commit,
    Rollback,
    CopyIn,
    CopyInTwice,
    CopyInThenTag,
    CopyOut,
    CopyOutFails,
    CopyOutAndIn,
    Parameter,
    Notice,
    Notify,
    /// A statement that fails when its transaction is committed.
    FailsAtCommit,
    Sleep,
    EndsTheSession,
    /// A command that starts physical replication.
    Replicate,
}

impl Sql {
    /// Returns the SQL text. `number` is the number of the request; the server's reply contains this number. `place` is a WAL position.
    fn text(self, number: u64, place: &str) -> String {
        match self {
            Self::Tag => format!("select 'q{number}'"),
            Self::Several => format!("select 'q{number}'; select 'q{number}' where false; set x.y = 1"),
            Self::Rows => format!("select 'q{number}' from generate_series(1, 3)"),
            Self::Error => format!("select 'e{number}'::int"),
            Self::SecondFails => format!("select 'q{number}'; select 'e{number}'::int; select 3"),
            Self::Syntax => format!("e{number}"),
            Self::Empty => String::new(),
            Self::Semicolons => ";;".to_owned(),
            Self::Begin => "begin".to_owned(),
            Self::Commit => "commit".to_owned(),
            Self::Rollback => "rollback".to_owned(),
            Self::CopyIn => "copy pg_temp.copied from stdin".to_owned(),
            Self::CopyInTwice => "copy copied from stdin; copy copied from stdin".to_owned(),
            Self::CopyInThenTag => format!("copy copied from stdin; select 'q{number}'"),
            Self::CopyOut => "copy (select 1 from generate_series(1, 3)) to stdout".to_owned(),
            Self::CopyOutFails => {
                "copy (select 1 / (2 - i) from generate_series(1, 3) i) to stdout".to_owned()
            }
            Self::CopyOutAndIn => {
                format!("copy (select 1) to stdout; copy copied from stdin; select 'q{number}'")
            }
            Self::Parameter => format!("set application_name = 'a{number}'"),
            Self::Notice => "do $$ begin raise notice 'a notice'; end $$".to_owned(),
            Self::Notify => "notify news".to_owned(),
            Self::FailsAtCommit => "insert into deferred values (1)".to_owned(),
            Self::Sleep => "select pg_sleep(0.002)".to_owned(),
            Self::EndsTheSession => "select pg_terminate_backend(pg_backend_pid())".to_owned(),
            Self::Replicate => format!("START_REPLICATION PHYSICAL {place}"),
        }
    }
}

/// Data of a CopyData message: a whole line, so that each message is one row.
const LINE: &[u8] = b"a line\n";

/// Oid of `pg_backend_pid()`.
const PG_BACKEND_PID: Oid = 2026;

const NAMES: [&str; 3] = ["", "a", "b"];

impl Message {
    /// Appends the message to `out`. `number` is the number of the request, if the message is a request. `place` is a WAL position.
    pub(crate) fn put(self, number: u64, place: &str, out: &mut Vec<u8>) {
        let statement = |index: u8| Statement(NAMES[usize::from(index)]);
        let portal = |index: u8| Portal(NAMES[usize::from(index)]);
        let put = match self {
            Self::Query(sql) => out.query(sql.text(number, place).as_str()),
            Self::Parse(name, sql) => out.parse(statement(name)).query(&sql.text(number, place)).finish(),
            Self::Bind { portal: to, statement: from } => out.bind(statement(from), portal(to)).finish(()),
            Self::DescribeStatement(name) => out.describe_statement(statement(name)),
            Self::DescribePortal(name) => out.describe_portal(portal(name)),
            Self::Execute { portal: name, rows } => out.execute(portal(name), rows),
            Self::CloseStatement(name) => out.close_statement(statement(name)),
            Self::ClosePortal(name) => out.close_portal(portal(name)),
            Self::Sync => out.sync(),
            Self::Flush => out.flush_msg(),
            Self::CopyData => out.copy_data(LINE),
            Self::StatusUpdate => out.copy_data(&[&b"r"[..], &[0; 33]].concat()),
            Self::CopyDone => out.copy_done(),
            Self::CopyFail => out.copy_fail("abandoned"),
            Self::FunctionCall { exists } => out.fn_call(if exists { PG_BACKEND_PID } else { 1 }).finish(()),
            Self::Terminate => out.terminate(),
        };
        put.expect("a sound message");
    }
}

fn sql() -> impl Strategy<Value = Sql> {
    prop_oneof![
        20 => prop_oneof![Just(Sql::Tag), Just(Sql::Several), Just(Sql::Rows)],
        10 => prop_oneof![Just(Sql::Error), Just(Sql::SecondFails), Just(Sql::Syntax)],
        4 => prop_oneof![Just(Sql::Empty), Just(Sql::Semicolons)],
        8 => prop_oneof![Just(Sql::Begin), Just(Sql::Commit), Just(Sql::Rollback)],
        12 => prop_oneof![Just(Sql::CopyIn), Just(Sql::CopyIn), Just(Sql::CopyInTwice), Just(Sql::CopyInThenTag)],
        6 => prop_oneof![Just(Sql::CopyOut), Just(Sql::CopyOutFails), Just(Sql::CopyOutAndIn)],
        6 => prop_oneof![Just(Sql::Parameter), Just(Sql::Notice), Just(Sql::Notify), Just(Sql::FailsAtCommit), Just(Sql::Sleep)],
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let name = || 0u8..3;
    prop_oneof![
        200 => sql().prop_map(Message::Query),
        120 => (name(), sql()).prop_map(|(name, sql)| Message::Parse(name, sql)),
        120 => (name(), name()).prop_map(|(portal, statement)| Message::Bind { portal, statement }),
        30 => name().prop_map(Message::DescribeStatement),
        30 => name().prop_map(Message::DescribePortal),
        120 => (name(), 0u32..3).prop_map(|(portal, rows)| Message::Execute { portal, rows }),
        15 => name().prop_map(Message::CloseStatement),
        15 => name().prop_map(Message::ClosePortal),
        150 => Just(Message::Sync),
        40 => Just(Message::Flush),
        60 => Just(Message::CopyData),
        60 => Just(Message::CopyDone),
        30 => Just(Message::CopyFail),
        40 => any::<bool>().prop_map(|exists| Message::FunctionCall { exists }),
        1 => Just(Message::Terminate),
        1 => Just(Message::Query(Sql::EndsTheSession)),
    ]
}

/// Generates two kinds of batches: random messages, and messages in the order in which real clients send them.
fn batch() -> impl Strategy<Value = Vec<Message>> {
    let statement = sql().prop_map(|sql| {
        vec![
            Message::Parse(0, sql),
            Message::Bind { portal: 0, statement: 0 },
            Message::DescribePortal(0),
            Message::Execute { portal: 0, rows: 0 },
            Message::Sync,
        ]
    });
    let copy =
        (any::<bool>(), any::<bool>(), any::<bool>(), 0usize..3).prop_map(|(extended, ends, done, lines)| {
            let mut batch = match extended {
                false => vec![Message::Query(Sql::CopyIn)],
                true => vec![
                    Message::Parse(0, Sql::CopyIn),
                    Message::Bind { portal: 0, statement: 0 },
                    Message::Execute { portal: 0, rows: 0 },
                ],
            };
            batch.extend(vec![Message::CopyData; lines]);
            if !ends {
                return batch;
            }
            batch.push(if done { Message::CopyDone } else { Message::CopyFail });
            if extended {
                batch.push(Message::Sync);
            }
            batch
        });
    let pipeline = prop::collection::vec(sql(), 1..8).prop_map(|statements| {
        let each = statements.into_iter().flat_map(|sql| {
            [
                Message::Parse(0, sql),
                Message::Bind { portal: 0, statement: 0 },
                Message::Execute { portal: 0, rows: 0 },
            ]
        });
        each.chain([Message::Sync]).collect()
    });
    prop_oneof![
        10 => prop::collection::vec(message(), 1..8),
        4 => message().prop_map(|message| vec![message]),
        3 => statement,
        2 => copy,
        2 => pipeline,
    ]
}

pub(crate) fn actions() -> impl Strategy<Value = Action> {
    prop_oneof![
        50 => batch().prop_map(Action::Send),
        20 => (1usize..6).prop_map(Action::Receive),
        15 => Just(Action::ReceiveAll),
        6 => Just(Action::Quiet),
        2 => Just(Action::Cancel),
        4 => Just(Action::Recover),
    ]
}

/// Generates actions of a replication session, in which CopyData messages are status updates.
pub(crate) fn replication_actions() -> impl Strategy<Value = Action> {
    let message = prop_oneof![
        30 => Just(Message::Query(Sql::Replicate)),
        20 => Just(Message::CopyDone),
        10 => Just(Message::StatusUpdate),
        5 => Just(Message::Query(Sql::Tag)),
        3 => Just(Message::Query(Sql::Error)),
        3 => Just(Message::Query(Sql::CopyOut)),
        3 => Just(Message::Sync),
        1 => Just(Message::CopyFail),
        1 => Just(Message::Parse(0, Sql::Tag)),
        1 => Just(Message::FunctionCall { exists: true }),
    ];
    prop_oneof![
        10 => prop::collection::vec(message, 1..4).prop_map(Action::Send),
        5 => (1usize..6).prop_map(Action::Receive),
        5 => Just(Action::ReceiveAll),
        2 => Just(Action::Quiet),
        2 => Just(Action::Recover),
    ]
}
