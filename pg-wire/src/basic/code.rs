//! The byte in front of a message.

use core::fmt;

/// The code in front of a message, which the manual calls its message-type byte.
///
/// The two directions use some bytes twice (`S` is Sync from a frontend and ParameterStatus from a backend), so the
/// constants tell their names and the value alone does not. Codes that this crate does not know are as good as
/// others: frames that carry them can be forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MessageCode(pub u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $byte:literal;)*) => {
        impl MessageCode {
            $($(#[$doc])* pub const $name: MessageCode = MessageCode($byte);)*
        }
    };
}

codes! {
    /// Frontend: Bind.
    BIND = b'B';
    /// Frontend: Close.
    CLOSE = b'C';
    /// Both: CopyData.
    COPY_DATA = b'd';
    /// Both: CopyDone.
    COPY_DONE = b'c';
    /// Frontend: CopyFail.
    COPY_FAIL = b'f';
    /// Frontend: Describe.
    DESCRIBE = b'D';
    /// Frontend: Execute.
    EXECUTE = b'E';
    /// Frontend: Flush.
    FLUSH = b'H';
    /// Frontend: FunctionCall.
    FUNCTION_CALL = b'F';
    /// Frontend: Parse.
    PARSE = b'P';
    /// Frontend: PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse; what was asked for decides.
    AUTHENTICATION_RESPONSE = b'p';
    /// Frontend: Query.
    QUERY = b'Q';
    /// Frontend: Sync.
    SYNC = b'S';
    /// Frontend: Terminate.
    TERMINATE = b'X';

    /// Backend: Authentication, of every kind.
    AUTHENTICATION = b'R';
    /// Backend: BackendKeyData.
    BACKEND_KEY_DATA = b'K';
    /// Backend: BindComplete.
    BIND_COMPLETE = b'2';
    /// Backend: CloseComplete.
    CLOSE_COMPLETE = b'3';
    /// Backend: CommandComplete.
    COMMAND_COMPLETE = b'C';
    /// Backend: CopyInResponse.
    COPY_IN_RESPONSE = b'G';
    /// Backend: CopyOutResponse.
    COPY_OUT_RESPONSE = b'H';
    /// Backend: CopyBothResponse.
    COPY_BOTH_RESPONSE = b'W';
    /// Backend: DataRow.
    DATA_ROW = b'D';
    /// Backend: EmptyQueryResponse.
    EMPTY_QUERY_RESPONSE = b'I';
    /// Backend: ErrorResponse.
    ERROR_RESPONSE = b'E';
    /// Backend: FunctionCallResponse.
    FUNCTION_CALL_RESPONSE = b'V';
    /// Backend: NegotiateProtocolVersion.
    NEGOTIATE_PROTOCOL_VERSION = b'v';
    /// Backend: NoData.
    NO_DATA = b'n';
    /// Backend: NoticeResponse.
    NOTICE_RESPONSE = b'N';
    /// Backend: NotificationResponse.
    NOTIFICATION_RESPONSE = b'A';
    /// Backend: ParameterDescription.
    PARAMETER_DESCRIPTION = b't';
    /// Backend: ParameterStatus.
    PARAMETER_STATUS = b'S';
    /// Backend: ParseComplete.
    PARSE_COMPLETE = b'1';
    /// Backend: PortalSuspended.
    PORTAL_SUSPENDED = b's';
    /// Backend: ReadyForQuery.
    READY_FOR_QUERY = b'Z';
    /// Backend: RowDescription.
    ROW_DESCRIPTION = b'T';
}

impl fmt::Debug for MessageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.escape_ascii())
    }
}
