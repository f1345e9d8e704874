//! The messages of the server.

mod auth;
mod completion;
mod copy;
mod function;
mod notice;
mod notification;
mod row;
mod startup;

pub use crate::basic::code::MessageCode;
pub use crate::basic::enums::CopyFormat;
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

crate::message::table::direction! {
    /// A message of the server, as [`Frame::backend`](crate::Frame::backend) decodes it.
    pub enum Backend, decoded by backend {
        DATA_ROW = b'D' => DataRow<'a>, Hot, Bulk;
        COPY_DATA = b'd' => CopyData<'a>, Hot, Bulk;
        AUTHENTICATION = b'R' => Authentication<'a>, Cold, Control;
        BACKEND_KEY_DATA = b'K' => BackendKeyData<'a>, Cold, Control;
        BIND_COMPLETE = b'2' => BindComplete, Cold, Control;
        CLOSE_COMPLETE = b'3' => CloseComplete, Cold, Control;
        COMMAND_COMPLETE = b'C' => CommandComplete<'a>, Cold, Control;
        COPY_BOTH_RESPONSE = b'W' => CopyBothResponse<'a>, Cold, Control;
        COPY_DONE = b'c' => CopyDone, Cold, Control;
        COPY_IN_RESPONSE = b'G' => CopyInResponse<'a>, Cold, Control;
        COPY_OUT_RESPONSE = b'H' => CopyOutResponse<'a>, Cold, Control;
        EMPTY_QUERY_RESPONSE = b'I' => EmptyQueryResponse, Cold, Control;
        ERROR_RESPONSE = b'E' => ErrorResponse<'a>, Cold, Bulk;
        FUNCTION_CALL_RESPONSE = b'V' => FunctionCallResponse<'a>, Cold, Bulk;
        NEGOTIATE_PROTOCOL_VERSION = b'v' => NegotiateProtocolVersion<'a>, Cold, Control;
        NO_DATA = b'n' => NoData, Cold, Control;
        NOTICE_RESPONSE = b'N' => NoticeResponse<'a>, Cold, Bulk;
        NOTIFICATION_RESPONSE = b'A' => NotificationResponse<'a>, Cold, Bulk;
        PARAMETER_DESCRIPTION = b't' => ParameterDescription<'a>, Cold, Bulk;
        PARAMETER_STATUS = b'S' => ParameterStatus<'a>, Cold, Control;
        PARSE_COMPLETE = b'1' => ParseComplete, Cold, Control;
        PORTAL_SUSPENDED = b's' => PortalSuspended, Cold, Control;
        READY_FOR_QUERY = b'Z' => ReadyForQuery, Cold, Control;
        ROW_DESCRIPTION = b'T' => RowDescription<'a>, Cold, Bulk;
    }
}
