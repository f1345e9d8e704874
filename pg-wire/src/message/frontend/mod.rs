//! The messages of the client.

mod auth;
mod extended;
mod function;
mod initial;
mod query;

pub use crate::basic::code::MessageCode;
pub use crate::basic::enums::Target;
use crate::codec::params::EncodedParams;
pub use crate::message::copy::{CopyData, CopyDone};
pub use auth::{AuthenticationResponse, GssResponse, PasswordMessage, SaslInitialResponse, SaslResponse};
pub use extended::{Bind, Close, Describe, Execute, Flush, Parse, Sync};
pub use function::FunctionCall;
pub use initial::{CancelRequest, GssEncRequest, Initial, ProtocolVersion, SslRequest, StartupMessage};
pub use query::{CopyFail, Query, Terminate};

crate::message::table::direction! {
    /// A message of the client, as [`Frame::frontend`](crate::Frame::frontend) decodes it.
    pub enum Frontend, decoded by frontend {
        COPY_DATA also b'd' => CopyData<'a>, Hot, Bulk;
        SYNC = b'S' => Sync, Hot, Control;
        BIND = b'B' => Bind<'a>, Cold, Bulk;
        EXECUTE = b'E' => Execute<'a>, Cold, Control;
        QUERY = b'Q' => Query<'a>, Cold, Bulk;
        PARSE = b'P' => Parse<'a>, Cold, Bulk;
        DESCRIBE = b'D' => Describe<'a>, Cold, Control;
        CLOSE = b'C' => Close<'a>, Cold, Control;
        COPY_DONE also b'c' => CopyDone, Cold, Control;
        COPY_FAIL = b'f' => CopyFail<'a>, Cold, Control;
        FLUSH = b'H' => Flush, Cold, Control;
        FUNCTION_CALL = b'F' => FunctionCall of EncodedParams<'a>, Cold, Bulk;
        AUTHENTICATION_RESPONSE = b'p' => AuthenticationResponse<'a>, Cold, Authentication;
        TERMINATE = b'X' => Terminate, Cold, Control;
    }
}
