//! The kinds of requests.

use crate::basic::code::MessageCode;
use crate::basic::enums::Target;
use crate::codec::frame::Frame;

/// Kind of a request. A request is a message of the client that the server answers, or that ends a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Request {
    /// The startup packet. Its replies end with the session's first ReadyForQuery.
    Startup,
    /// A Query, which may contain several statements. Its replies end with ReadyForQuery.
    Query,
    /// A FunctionCall. Its replies end with ReadyForQuery.
    FunctionCall,
    /// A Sync. Its reply is ReadyForQuery. If the transaction cannot be committed, an ErrorResponse precedes the ReadyForQuery.
    Sync,
    /// A Parse. Its reply is ParseComplete.
    Parse,
    /// A Bind. Its reply is BindComplete.
    Bind,
    /// A Describe of a statement. Its replies are ParameterDescription, then RowDescription or NoData.
    DescribeStatement,
    /// A Describe of a portal. Its reply is RowDescription or NoData.
    DescribePortal,
    /// An Execute. Its replies end with CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute,
    /// A Close. Its reply is CloseComplete, even if the statement or portal does not exist.
    Close,
    /// A Flush with a body, which is invalid. Its reply is an ErrorResponse.
    InvalidFlush,
    /// A CopyDone or a CopyFail. The server does not reply to these messages. If a COPY is in progress, the message ends the COPY, and the
    /// server replies to the request that began the COPY. If no COPY is in progress, the server ignores the message.
    CopyEnd,
}

impl Request {
    /// Returns the kind of the request in a client's frame; `None` if the message is no request, such as CopyData or Terminate. A Flush is
    /// a request only if it has a body, because the server then replies with an error.
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

    /// Whether the request belongs to the extended query protocol. If such a request fails, the server discards every message up to the
    /// next Sync. False for Sync: if a Sync fails, the server still answers with ReadyForQuery, and discards no message.
    pub fn is_extended(self) -> bool {
        !self.ends_with_ready() && self != Self::CopyEnd
    }

    /// Whether EmptyQueryResponse can be a reply to the request.
    pub(super) fn can_be_empty(self) -> bool {
        matches!(self, Self::Query | Self::Execute)
    }

    /// Returns the name of the message in the PostgreSQL manual.
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

    /// Returns the request with the discriminant `index`.
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
