//! The answers of a session's state.

use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::enums::TransactionStatus;
use crate::basic::error::DecodeError;

use super::request::Request;

/// The request to which a message of the server belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Number of the request, as [`sent`](super::SessionState::sent) returned it.
    pub number: u64,
    /// The request.
    pub request: Request,
    /// Whether the request has no further replies.
    pub last: bool,
    /// Whether the request is certain. If not, a Sync that was sent into a failed COPY was ignored by the server or not, and this
    /// reply fits both; see [`SessionState::is_certain`](super::SessionState::is_certain).
    pub certain: bool,
}

/// Direction of the data in a COPY that is going on.
///
/// [Manual](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// From the client. Ends with a CopyDone or CopyFail of the client, or with an error.
    In,
    /// To the client. Ends with the server's CopyDone, or with an error.
    Out,
    /// Both ways: streaming replication. Ends when both sides have sent CopyDone, or with an error.
    Both,
}

/// The result of a wait for the server's next message, if the client sends nothing more.
///
/// Notices, notifications, parameters and the end of the session can arrive at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// A reply will arrive, or the server ends the session.
    Reply,
    /// No reply will arrive: every request has been replied to.
    Nothing,
    /// Replies are outstanding, but the server keeps them in its buffer until it reads Flush, Sync, Query or FunctionCall.
    Flush,
    /// No reply will arrive before the server reads Sync.
    Sync,
    /// The server waits for CopyData, CopyDone or CopyFail.
    CopyData,
    /// Replication is going on: the server sends data when there is any.
    Replication,
    /// Unknown whether a reply will arrive: see [`SessionState::is_certain`](super::SessionState::is_certain).
    Unknown,
    /// The session is over.
    Over,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply => "a reply is owed",
            Self::Nothing => "nothing is owed: was a request or a flush forgotten?",
            Self::Flush => "the server keeps its replies until it reads Sync or Flush: was one forgotten?",
            Self::Sync => "nothing is owed before a Sync: was a Sync forgotten?",
            Self::CopyData => "the server waits for CopyData, CopyDone or CopyFail",
            Self::Replication => "replication is going on",
            Self::Unknown => "a Sync was sent into a failed COPY, and whether its reply is owed is unknown",
            Self::Over => "the session is over",
        })
    }
}

/// The next step on the way to an idle session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Send [`CopyFail`](crate::frontend::CopyFail).
    CopyFail,
    /// Send [`CopyDone`](crate::frontend::CopyDone): it ends replication.
    CopyDone,
    /// Send [`Sync`](crate::frontend::Sync).
    Sync,
    /// Send [`Query`](crate::frontend::Query) with this SQL: an empty text, to recognise its EmptyQueryResponse, or `ROLLBACK`.
    Query(&'static str),
    /// Send [`Close`](crate::frontend::Close) of the unnamed portal, to recognise its CloseComplete.
    ClosePortal,
    /// Receive a message.
    Receive,
}

/// The reason why a session is not idle: why it cannot be handed on to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotIdle {
    /// The session is over.
    Over(Over),
    /// A COPY is going on.
    Copy(CopyDirection),
    /// Replies are owed; so many of these are ReadyForQuery, if no request fails.
    Owed {
        /// Number of ReadyForQuery.
        ready: u64,
    },
    /// After an error the server discards everything up to the next Sync.
    Skipping,
    /// Requests of the extended query protocol have been replied to, and no Sync has ended their transaction.
    Unsynced,
    /// Unknown whether a ReadyForQuery is owed: see [`SessionState::is_certain`](super::SessionState::is_certain).
    Uncertain,
    /// Messages are queued or half sent. Only of a `TrackedConnection`, like the next two.
    Unsent,
    /// Messages are received and not read, such as notifications.
    Unread,
    /// The connection has ended.
    Closed,
    /// A transaction block is open, or has failed.
    Transaction(TransactionStatus),
}

impl fmt::Display for NotIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(over) => over.fmt(f),
            Self::Copy(CopyDirection::In) => f.write_str("a COPY from the client is going on"),
            Self::Copy(CopyDirection::Out) => f.write_str("a COPY to the client is going on"),
            Self::Copy(CopyDirection::Both) => f.write_str("replication is going on"),
            Self::Owed { ready } => write!(f, "replies are owed, {ready} ReadyForQuery among them"),
            Self::Skipping => {
                f.write_str("after an error the server discards everything up to the next Sync")
            }
            Self::Unsynced => f.write_str("no Sync followed the last request of the extended query protocol"),
            Self::Uncertain => {
                f.write_str("a Sync was sent into a failed COPY, and whether its reply is owed is unknown")
            }
            Self::Unsent => f.write_str("messages are queued or half sent"),
            Self::Unread => f.write_str("messages are received and not read"),
            Self::Closed => f.write_str("the connection has ended"),
            Self::Transaction(TransactionStatus::Failed) => f.write_str("a failed transaction block is open"),
            Self::Transaction(_) => f.write_str("a transaction block is open"),
        }
    }
}

impl core::error::Error for NotIdle {}

/// The reason why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// The client has sent Terminate. The server replies to what was sent before, and closes the connection.
    Terminated,
    /// The server has sent an error of severity FATAL or PANIC, and closes the connection.
    Fatal,
    /// A message arrived that this state does not explain, so that the place of later messages is unknown.
    Lost,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminated => "the client has ended the session",
            Self::Fatal => "the server has ended the session with a fatal error",
            Self::Lost => "the state of the session is unknown after an unexpected message",
        })
    }
}

impl core::error::Error for Over {}

/// A message of the server that its session's state does not explain. The session is [over](Over::Lost): close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// Code of the message.
    pub code: MessageCode,
    /// The reason.
    pub kind: UnexpectedKind,
}

/// The kind of an [`Unexpected`] message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnexpectedKind {
    /// Nothing was owed.
    Unasked,
    /// A reply to the oldest request was owed, and this message is none.
    NotAReply {
        /// Number of the oldest request.
        number: u64,
        /// The oldest request.
        request: Request,
    },
    /// The session was over.
    Over(Over),
    /// The message is malformed.
    Malformed(DecodeError),
    /// More than 8 states of the server are possible: as many Syncs were sent into a COPY that failed.
    TooUncertain,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected message {:?}: ", self.code)?;
        match self.kind {
            UnexpectedKind::Unasked => f.write_str("nothing was owed"),
            UnexpectedKind::NotAReply { number, request } => {
                write!(f, "not a reply to {}, which is request {number}", request.name())
            }
            UnexpectedKind::Over(over) => over.fmt(f),
            UnexpectedKind::Malformed(error) => error.fmt(f),
            UnexpectedKind::TooUncertain => f.write_str("too many Syncs were sent into a COPY that failed"),
        }
    }
}

impl core::error::Error for Unexpected {}

/// The queue of requests is full. The request has not been counted: do not send it before replies have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many unlike requests without a reply: receive replies before sending more")
    }
}

impl core::error::Error for QueueFull {}
