//! The state of a session: which request a reply answers, which replies are owed, and whether the session is idle.
//!
//! [`SessionState`] follows a session from its messages, for a client, a pooler, a proxy or a test. It does no I/O, sends nothing and
//! waits for nothing. A [`Connection`](crate::Connection) does not contain a `SessionState`, so programs that do not need one pay
//! nothing; a [`TrackedConnection`](crate::TrackedConnection) joins the two.
//!
//! The tests compare the rules below with PostgreSQL 15 and 18 by random sequences of messages.
//!
//! | Question | Answer |
//! | --- | --- |
//! | Which request does this reply belong to, and is it the last? | [`received`](SessionState::received) |
//! | Which request is next? | [`oldest`](SessionState::oldest) |
//! | How many ReadyForQuery are owed? | [`ready_owed`](SessionState::ready_owed) |
//! | Will a reply arrive, or was a Sync forgotten? | [`waiting`](SessionState::waiting) |
//! | Does the server discard what it reads? | [`is_skipping`](SessionState::is_skipping) |
//! | Is a COPY going on, and what ends it? | [`copy`](SessionState::copy) |
//! | The transaction status? | [`transaction_status`](SessionState::transaction_status) |
//! | The current parameters? | [`parameters`](SessionState::parameters) |
//! | Can another user have the session, and if not, why? | [`check_idle`](SessionState::check_idle) |
//! | What makes it idle? | [`next_step`](SessionState::next_step) |
//!
//! # The rules
//!
//! Those of the server, in the order in which it reads messages.
//!
//! | Request | Replies, in order; an ErrorResponse can take the place of each |
//! | --- | --- |
//! | [Query](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY) | for each statement RowDescription, DataRow …, CommandComplete, or a COPY; or once EmptyQueryResponse; then ReadyForQuery |
//! | [FunctionCall](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-FUNCTION-CALL) | FunctionCallResponse, ReadyForQuery |
//! | [Parse](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY), Bind, Close | ParseComplete, BindComplete, CloseComplete |
//! | Describe of a statement | ParameterDescription, then RowDescription or NoData |
//! | Describe of a portal | RowDescription or NoData |
//! | Execute | DataRow …, then CommandComplete or PortalSuspended; or EmptyQueryResponse; or a COPY |
//! | Sync | ReadyForQuery |
//! | Flush, CopyData, Terminate | none |
//! | CopyDone, CopyFail | none of their own |
//!
//! - **Any time**: NoticeResponse, ParameterStatus and NotificationResponse arrive between any two messages and belong to no request. So
//!   may an ErrorResponse of severity FATAL, after which the session is over.
//! - **Errors in Query, FunctionCall and Sync** are followed by ReadyForQuery; the rest of a Query is not executed. Sync fails when
//!   the transaction cannot be committed, and FunctionCall can do so after its FunctionCallResponse.
//! - **Errors in other requests** make the server discard every message up to the next Sync: Flush, Query and FunctionCall too, for which
//!   no ReadyForQuery arrives.
//! - **Replies are sent** when the server reads Flush, Sync, Query or FunctionCall, when its buffer is full, and with every error
//!   and notice.
//! - **COPY from the client** begins with CopyInResponse. The server then reads CopyData up to the first CopyDone or CopyFail,
//!   and ignores Sync and Flush on the way. It ends the session if it reads anything else. After CopyDone follows CommandComplete; in Execute,
//!   the client owes a Sync after CopyDone, because the earlier one was ignored. A client need not wait for CopyInResponse.
//! - **A failed COPY from the client**: CopyData, CopyDone and CopyFail that follow are ignored, like all that arrive outside a
//!   COPY. Whether a Sync in front of the CopyDone was ignored depends on how far the server had read, which no message reveals:
//!   [`is_certain`](SessionState::is_certain).
//! - **COPY to the client**: CopyOutResponse, CopyData …, CopyDone, CommandComplete. The server reads nothing meanwhile.
//! - **Replication**: CopyBothResponse, CopyData of both sides, CopyDone of both in any order, then the results of the command.
//!   A server that is sending a transaction sends CopyDone as soon as it has read the client's CopyDone, and the rest of the transaction after it.
//! - **Query after requests of the extended query protocol, without Sync**: executed, and its ReadyForQuery ends their transaction.
//!
//! # Memory
//!
//! Requests without replies are counted, not listed, where a pattern of up to 16 repeats itself. Both the queue and the parameters
//! have [`Bounds`].

mod observer;
mod parameters;
mod queue;
mod reply;
mod request;
mod state;
mod track;

#[cfg(test)]
mod tests;

pub use observer::Observer;
pub use parameters::Parameters;
pub use reply::{CopyDirection, NotIdle, Over, QueueFull, Reply, Step, Unexpected, UnexpectedKind, Waiting};
pub use request::Request;
pub use state::{Bounds, SessionState};
