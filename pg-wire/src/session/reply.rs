//! The types of the results of [`SessionState`](super::SessionState).

use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::enums::TransactionStatus;
use crate::basic::error::DecodeError;

use super::request::Request;

/// Describes the request to which a message of the server belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// Number of the request, as [`sent`](super::SessionState::sent) returned it.
    pub number: u64,
    /// Kind of the request.
    pub request: Request,
    /// Whether this message is the last reply to the request.
    pub last: bool,
    /// Whether the message certainly belongs to this request. After a COPY has failed, the client may not know whether the server ignored a
    /// Sync, so several states of the server are possible. If the message answers different requests in these states, `certain` is false;
    /// see [`SessionState::is_certain`](super::SessionState::is_certain).
    pub certain: bool,
}

/// Direction of the data in an active COPY.
///
/// [Manual](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// The client sends data. The COPY ends with a CopyDone or CopyFail of the client, or with an error.
    In,
    /// The server sends data. The COPY ends with the server's CopyDone, or with an error.
    Out,
    /// Both sides send data: streaming replication. The COPY ends when both sides have sent CopyDone, or with an error.
    Both,
}

/// What a client can expect if it sends nothing and waits for the server's next message.
///
/// In every case, notices, notifications and parameters can arrive at any time, and the session can end at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// A reply will arrive, or the server will end the session.
    Reply,
    /// No reply will arrive, because every request has received all of its replies.
    Nothing,
    /// Replies are outstanding, but the server keeps these replies in its buffer until the client sends Flush, Sync, Query or FunctionCall.
    ///
    /// Three events make the server send its buffer earlier: an error or a notice, the start of a COPY FROM STDIN, and a full buffer (8
    /// kB). A client cannot predict these events.
    Flush,
    /// No reply will arrive before the server reads Sync.
    Sync,
    /// The server waits for CopyData, CopyDone or CopyFail.
    CopyData,
    /// Replication is active: the server sends data whenever new data is available.
    Replication,
    /// It is unknown whether a reply will arrive; see [`SessionState::is_certain`](super::SessionState::is_certain).
    Unknown,
    /// The session is over.
    Over,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply => "a reply is outstanding",
            Self::Nothing => "no reply is outstanding: was a request or a flush forgotten?",
            Self::Flush => "the server keeps its replies until it reads Sync or Flush: was a Sync or a Flush forgotten?",
            Self::Sync => "the server sends no reply before it reads Sync: was a Sync forgotten?",
            Self::CopyData => "the server waits for CopyData, CopyDone or CopyFail",
            Self::Replication => "replication is active",
            Self::Unknown => "a Sync was sent into a failed COPY, and it is unknown whether the server will reply to the Sync",
            Self::Over => "the session is over",
        })
    }
}

/// Next step on the way to an idle session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Send [`CopyFail`](crate::frontend::CopyFail).
    CopyFail,
    /// Send [`CopyDone`](crate::frontend::CopyDone), which ends replication.
    CopyDone,
    /// Send [`Sync`](crate::frontend::Sync).
    Sync,
    /// Send [`Query`](crate::frontend::Query) with this SQL. `ROLLBACK` ends an open transaction. An empty text is for a state that is not
    /// [certain](super::SessionState::is_certain): the replies show which of the possible states is the real one.
    Query(&'static str),
    /// Send [`Close`](crate::frontend::Close) of the unnamed portal. This step replaces the empty Query if EmptyQueryResponse can also be a
    /// reply to an earlier request.
    ClosePortal,
    /// Receive a message.
    Receive,
}

/// Reason why a session is not idle, and so cannot be passed to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotIdle {
    /// The session is over.
    Over(Over),
    /// A COPY is active.
    Copy(CopyDirection),
    /// Replies are outstanding.
    Outstanding {
        /// Number of outstanding ReadyForQuery, if no request fails.
        ready: u64,
    },
    /// After an error, the server discards every message up to the next Sync.
    Skipping,
    /// Requests of the extended query protocol have received their replies, but no Sync has ended their transaction.
    Unsynced,
    /// It is unknown whether a ReadyForQuery is outstanding; see [`SessionState::is_certain`](super::SessionState::is_certain).
    Uncertain,
    /// Messages are queued or partly sent. Only a `TrackedConnection` returns `Unsent`, `Unread` and `Closed`.
    Unsent,
    /// The connection has buffered messages that the caller has not received, such as notifications.
    Unread,
    /// The connection cannot receive or cannot send any more: the connection has failed, or the server has closed the connection.
    Closed,
    /// A transaction block is open, or has failed and is not yet ended.
    Transaction(TransactionStatus),
}

impl fmt::Display for NotIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(over) => over.fmt(f),
            Self::Copy(CopyDirection::In) => f.write_str("a COPY from the client is active"),
            Self::Copy(CopyDirection::Out) => f.write_str("a COPY to the client is active"),
            Self::Copy(CopyDirection::Both) => f.write_str("replication is active"),
            Self::Outstanding { ready } => write!(f, "replies are outstanding, including {ready} ReadyForQuery"),
            Self::Skipping => {
                f.write_str("after an error, the server discards every message up to the next Sync")
            }
            Self::Unsynced => f.write_str("no Sync followed the last request of the extended query protocol"),
            Self::Uncertain => {
                f.write_str("a Sync was sent into a failed COPY, and it is unknown whether the server will reply to the Sync")
            }
            Self::Unsent => f.write_str("messages are queued or partly sent"),
            Self::Unread => f.write_str("messages are buffered that the caller has not received"),
            Self::Closed => f.write_str("the connection has ended"),
            Self::Transaction(TransactionStatus::Failed) => f.write_str("a failed transaction block is open"),
            Self::Transaction(_) => f.write_str("a transaction block is open"),
        }
    }
}

impl core::error::Error for NotIdle {}

/// Reason why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Over {
    /// The client has sent Terminate. The server sends the replies to earlier requests, and closes the connection.
    Terminated,
    /// The server has sent an error of severity FATAL or PANIC, and closes the connection.
    Fatal,
    /// The server has sent a message that does not fit the state of the session. After that, it is unknown to which requests the messages
    /// belong.
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

/// Error for a message of the server that does not fit the state of the session. The session is [over](Over::Lost): close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unexpected {
    /// Code of the unexpected message.
    pub code: MessageCode,
    /// Reason why the message does not fit the state.
    pub kind: UnexpectedKind,
}

/// Kind of an [`Unexpected`] message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnexpectedKind {
    /// No reply was outstanding.
    Unasked,
    /// A reply to the oldest request was outstanding, but this message is not a reply to that request.
    NotAReply {
        /// Number of the oldest request.
        number: u64,
        /// Kind of the oldest request.
        request: Request,
    },
    /// The session was already over.
    Over(Over),
    /// The message is malformed.
    Malformed(DecodeError),
    /// More than 8 states of the server are possible, because the client sent too many Syncs during a COPY that failed.
    TooUncertain,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected message {:?}: ", self.code)?;
        match self.kind {
            UnexpectedKind::Unasked => f.write_str("no reply was outstanding"),
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

/// Error for a request while the queue of requests is full. The request is not added. Receive replies, then pass the request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many requests wait for replies: receive replies before sending more requests")
    }
}

impl core::error::Error for QueueFull {}
