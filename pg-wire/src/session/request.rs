//! The kinds of requests.

use crate::basic::code::MessageCode;
use crate::basic::enums::Target;
use crate::codec::frame::Frame;

/// A message of a client that has its place in the order of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Request {
    /// The startup packet. Replies end with the session's first ReadyForQuery.
    Startup,
    /// Query: any number of statements. Replies end with ReadyForQuery.
    Query,
    /// FunctionCall. Replies end with ReadyForQuery.
    FunctionCall,
    /// Sync. Replied to with ReadyForQuery; with an ErrorResponse in front when the transaction cannot be committed.
    Sync,
    /// Parse. Replied to with ParseComplete.
    Parse,
    /// Bind. Replied to with BindComplete.
    Bind,
    /// Describe of a statement. Replied to with ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// Describe of a portal. Replied to with RowDescription or NoData.
    DescribePortal,
    /// Execute. Replies end with CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// Close. Replied to with CloseComplete, also when the statement or portal does not exist.
    Close,
    /// Flush with a body, which is invalid. Replied to with an ErrorResponse.
    InvalidFlush,
    /// CopyDone or CopyFail of a client. Has no reply of its own: it ends a COPY, or the server ignores it.
    CopyEnd,
}

impl Request {
    /// The request in a frame of a client. `None` for CopyData, Flush, Terminate and messages that are not requests.
    pub(super) fn of(frame: Frame<'_>) -> Option<Self> {
        Some(match frame.code {
            MessageCode::QUERY => Self::Query,
            MessageCode::FUNCTION_CALL => Self::FunctionCall,
            MessageCode::SYNC => Self::Sync,
            MessageCode::PARSE => Self::Parse,
            MessageCode::BIND => Self::Bind,
            MessageCode::DESCRIBE if frame.body.first() == Some(&Target::Statement.byte()) => {
                Self::DescribeStatement
            }
            MessageCode::DESCRIBE => Self::DescribePortal,
            MessageCode::EXECUTE => Self::Execute,
            MessageCode::CLOSE => Self::Close,
            MessageCode::FLUSH if !frame.body.is_empty() => Self::InvalidFlush,
            MessageCode::COPY_DONE | MessageCode::COPY_FAIL => Self::CopyEnd,
            _ => return None,
        })
    }

    /// Whether the last reply to the request is ReadyForQuery.
    pub fn ends_with_ready(self) -> bool {
        matches!(self, Self::Startup | Self::Query | Self::FunctionCall | Self::Sync)
    }

    /// Whether the request is of the extended query protocol: after an error in it the server discards everything up to the next
    /// Sync. Sync itself is not such a request.
    pub fn is_extended(self) -> bool {
        !self.ends_with_ready() && self != Self::CopyEnd
    }

    /// Whether EmptyQueryResponse can be a reply to the request.
    pub(super) fn can_be_empty(self) -> bool {
        matches!(self, Self::Query | Self::Execute)
    }

    /// Name of the message in the manual.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "StartupMessage",
            Self::Query => "Query",
            Self::FunctionCall => "FunctionCall",
            Self::Sync => "Sync",
            Self::Parse => "Parse",
            Self::Bind => "Bind",
            Self::DescribeStatement | Self::DescribePortal => "Describe",
            Self::Execute => "Execute",
            Self::Close => "Close",
            Self::InvalidFlush => "Flush",
            Self::CopyEnd => "CopyDone or CopyFail",
        }
    }

    /// The request with this number among the variants.
    pub(super) fn from_index(index: u8) -> Self {
        match index {
            0 => Self::Startup,
            1 => Self::Query,
            2 => Self::FunctionCall,
            3 => Self::Sync,
            4 => Self::Parse,
            5 => Self::Bind,
            6 => Self::DescribeStatement,
            7 => Self::DescribePortal,
            8 => Self::Execute,
            9 => Self::Close,
            10 => Self::InvalidFlush,
            _ => Self::CopyEnd,
        }
    }
}
