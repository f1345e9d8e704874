//! The state of a session: which request a reply answers, which replies are outstanding, and whether the session is idle.
//!
//! [`SessionState`] follows a session from its messages, for a client, a pooler, a proxy or a test. `SessionState` does no I/O: it does not
//! send, receive or wait. A [`Connection`](crate::Connection) does not contain a `SessionState`, so programs that need no state have no
//! cost. A [`TrackedConnection`](crate::TrackedConnection) contains a connection and its state.
//!
//! The tests compare the rules below with PostgreSQL 15 and 18, using random sequences of messages.
//!
//! | Question | Answer |
//! | --- | --- |
//! | Which request does this reply belong to, and is it the last? | [`received`](SessionState::received) |
//! | Which request will receive the next reply? | [`oldest`](SessionState::oldest) |
//! | How many ReadyForQuery are outstanding? | [`outstanding_ready`](SessionState::outstanding_ready) |
//! | Will a reply arrive, or was a Sync forgotten? | [`waiting`](SessionState::waiting) |
//! | Does the server discard the messages that it reads? | [`is_skipping`](SessionState::is_skipping) |
//! | Is a COPY active, and in which direction? | [`copy`](SessionState::copy) |
//! | What is the transaction status? | [`transaction_status`](SessionState::transaction_status) |
//! | What are the current values of the parameters? | [`parameters`](SessionState::parameters) |
//! | Can the session be given to another user? If not, why? | [`check_idle`](SessionState::check_idle) |
//! | Which step leads to an idle session? | [`next_step`](SessionState::next_step) |
//!
//! # The rules
//!
//! The server follows these rules in the order in which it reads messages.
//!
//! | Request | Replies, in order; an ErrorResponse can take the place of any reply |
//! | --- | --- |
//! | [Query](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY) | for each statement RowDescription, DataRow …, CommandComplete, or a COPY; or once EmptyQueryResponse; then ReadyForQuery |
//! | [FunctionCall](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-FUNCTION-CALL) | FunctionCallResponse, ReadyForQuery |
//! | [Parse](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY), Bind, Close | ParseComplete, BindComplete, CloseComplete |
//! | Describe of a statement | ParameterDescription, then RowDescription or NoData |
//! | Describe of a portal | RowDescription or NoData |
//! | Execute | DataRow …, then CommandComplete or PortalSuspended; or EmptyQueryResponse; or a COPY |
//! | Sync | ReadyForQuery |
//! | Flush, CopyData, Terminate | none |
//! | CopyDone, CopyFail | none; CopyDone and CopyFail end a COPY |
//!
//! - **Any time**: NoticeResponse, ParameterStatus and NotificationResponse arrive between any two messages and belong to no request. An
//!   ErrorResponse of severity FATAL may also arrive at any time, and ends the session.
//! - **Errors in Query, FunctionCall and Sync** are followed by ReadyForQuery; the rest of a Query is not executed. Sync fails when the
//!   transaction cannot be committed, and FunctionCall can fail for the same reason after its FunctionCallResponse.
//! - **Errors in other requests** make the server discard every message up to the next Sync. This includes Flush, Query and FunctionCall:
//!   no ReadyForQuery arrives for a discarded Query or FunctionCall.
//! - **Replies are sent** when the server reads Flush, Sync, Query or FunctionCall, when its buffer is full, and with every error and
//!   notice.
//! - **COPY from the client** begins with CopyInResponse. The server then reads CopyData up to the first CopyDone or CopyFail, and ignores
//!   each Sync and Flush before the CopyDone or CopyFail. The server ends the session if it reads any other message. After CopyDone, the
//!   server sends CommandComplete. If an Execute started the COPY, the client must send a Sync after CopyDone, because an earlier Sync was
//!   ignored. A client may send CopyData, CopyDone and CopyFail before it receives CopyInResponse.
//! - **A failed COPY from the client**: the server ignores later CopyData, CopyDone and CopyFail, as always outside a COPY. If a Sync was
//!   sent before the CopyDone, the server may have ignored this Sync: this depends on how far the server had read when the COPY failed. No
//!   message reveals this position; see [`is_certain`](SessionState::is_certain).
//! - **COPY to the client**: the server sends CopyOutResponse, CopyData …, CopyDone, CommandComplete. The server reads nothing meanwhile.
//! - **Replication**: the server sends CopyBothResponse. Then both sides send CopyData and, in any order, CopyDone. Last, the server sends
//!   the results of the command. A server that reads the client's CopyDone in the middle of a transaction sends its own CopyDone at once,
//!   and then the rest of the transaction.
//! - **Query after requests of the extended query protocol, without Sync**: the Query is executed, and ends the transaction of the earlier
//!   requests, as a Sync would.
//!
//! # Memory
//!
//! If a pattern of up to 16 requests is repeated, the queue stores the pattern and a count instead of each request. [`Bounds`] limits the
//! memory of the queue and of the parameters.

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
