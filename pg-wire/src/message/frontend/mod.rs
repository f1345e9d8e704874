//! What a client says.

mod auth;
mod extended;
mod function;
mod initial;
mod query;

pub use crate::basic::code::MessageCode;
pub use crate::message::copy::{CopyData, CopyDone};
pub use auth::{AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse};
pub use extended::{Bind, Close, Describe, Execute, Flush, Parse, Sync};
pub use function::FunctionCall;
pub use initial::{CancelRequest, GssEncRequest, Initial, ProtocolVersion, SslRequest, StartupMessage};
pub use query::{CopyFail, Query, Terminate};

crate::message::macros::direction! {
    /// A message of the client, as [`Frame::frontend`](crate::Frame::frontend) reads it.
    pub enum Frontend, read by frontend {
        COPY_DATA => CopyData<'a>, SYNC => Sync;
        BIND => Bind<'a>,
        EXECUTE => Execute<'a>,
        QUERY => Query<'a>,
        PARSE => Parse<'a>,
        DESCRIBE => Describe<'a>,
        CLOSE => Close<'a>,
        COPY_DONE => CopyDone,
        COPY_FAIL => CopyFail<'a>,
        FLUSH => Flush,
        FUNCTION_CALL => FunctionCall<'a>,
        AUTHENTICATION_RESPONSE => AuthenticationResponse<'a>,
        TERMINATE => Terminate,
    }
}
