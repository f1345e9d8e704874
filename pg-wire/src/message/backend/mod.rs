//! What a server says.

mod auth;
mod completion;
mod copy;
mod function;
mod notice;
mod notification;
mod row;
mod startup;

pub use crate::basic::code::MessageCode;
pub use crate::message::copy::{CopyData, CopyDone};
pub use auth::Authentication;
pub use completion::{
    BindComplete, CloseComplete, CommandComplete, EmptyQueryResponse, NoData, ParseComplete, PortalSuspended,
    ReadyForQuery,
};
pub use copy::{CopyBothResponse, CopyInResponse, CopyOutResponse};
pub use function::FunctionCallResponse;
pub use notice::{ErrorField, ErrorFields, ErrorResponse, NoticeResponse, ServerError};
pub use notification::NotificationResponse;
pub use row::{DataRow, FieldDescription, ParameterDescription, RowDescription};
pub use startup::{BackendKeyData, NegotiateProtocolVersion, ParameterStatus};

crate::message::macros::direction! {
    /// A message of the server, as [`Frame::backend`](crate::Frame::backend) reads it.
    pub enum Backend, read by backend {
        DATA_ROW => DataRow<'a>, COPY_DATA => CopyData<'a>;
        AUTHENTICATION => Authentication<'a>,
        BACKEND_KEY_DATA => BackendKeyData<'a>,
        BIND_COMPLETE => BindComplete,
        CLOSE_COMPLETE => CloseComplete,
        COMMAND_COMPLETE => CommandComplete<'a>,
        COPY_BOTH_RESPONSE => CopyBothResponse<'a>,
        COPY_DONE => CopyDone,
        COPY_IN_RESPONSE => CopyInResponse<'a>,
        COPY_OUT_RESPONSE => CopyOutResponse<'a>,
        EMPTY_QUERY_RESPONSE => EmptyQueryResponse,
        ERROR_RESPONSE => ErrorResponse<'a>,
        FUNCTION_CALL_RESPONSE => FunctionCallResponse<'a>,
        NEGOTIATE_PROTOCOL_VERSION => NegotiateProtocolVersion<'a>,
        NO_DATA => NoData,
        NOTICE_RESPONSE => NoticeResponse<'a>,
        NOTIFICATION_RESPONSE => NotificationResponse<'a>,
        PARAMETER_DESCRIPTION => ParameterDescription<'a>,
        PARAMETER_STATUS => ParameterStatus<'a>,
        PARSE_COMPLETE => ParseComplete,
        PORTAL_SUSPENDED => PortalSuspended,
        READY_FOR_QUERY => ReadyForQuery,
        ROW_DESCRIPTION => RowDescription<'a>,
    }
}
