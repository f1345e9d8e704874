//! The messages that begin a COPY.

use crate::basic::enums::{CopyFormat, FormatCode};
use crate::codec::list::List;
use crate::message::table::message;

message! {
    /// Reports that the server is ready for the data of `COPY … FROM STDIN`. The client sends
    /// [`CopyData`](crate::backend::CopyData) messages, then [`CopyDone`](crate::backend::CopyDone) or
    /// [`CopyFail`](crate::frontend::CopyFail). Before CopyDone or CopyFail, the server ignores Flush and Sync.
    ///
    /// `G`, length, Int8 format, Int16 n, Int16\[n\] columns.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYINRESPONSE)
    COPY_IN_RESPONSE => pub struct CopyInResponse<'a> {
        /// Format of the COPY.
        pub format: CopyFormat,
        /// Format of each column. Every column is text if the format of the COPY is text.
        pub columns: List<'a, FormatCode>,
    }
}

message! {
    /// Begins the data of `COPY … TO STDOUT`: the server sends one [`CopyData`](crate::backend::CopyData) for each row, then
    /// [`CopyDone`](crate::backend::CopyDone).
    ///
    /// `H`, length, Int8 format, Int16 n, Int16\[n\] columns.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYOUTRESPONSE)
    COPY_OUT_RESPONSE => pub struct CopyOutResponse<'a> {
        /// Format of the COPY.
        pub format: CopyFormat,
        /// Format of each column. Every column is text if the format of the COPY is text.
        pub columns: List<'a, FormatCode>,
    }
}

message! {
    /// Begins streaming replication: from this message on, the server and the client send CopyData.
    ///
    /// `W`, length, Int8 format, Int16 n, Int16\[n\] columns.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYBOTHRESPONSE)
    COPY_BOTH_RESPONSE => pub struct CopyBothResponse<'a> {
        /// Format of the COPY.
        pub format: CopyFormat,
        /// Format of each column.
        pub columns: List<'a, FormatCode>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn a_text_copy_in_is_encoded_and_decoded() {
        golden(
            CopyInResponse {
                format: CopyFormat::Text,
                columns: List::from(&[FormatCode::Text, FormatCode::Text]),
            },
            b"G\0\0\0\x0b\0\0\x02\0\0\0\0",
            "B\t11\tCopyInResponse\t \\x00 2 0 0",
        );
    }

    #[test]
    fn a_binary_copy_out_is_encoded_and_decoded() {
        golden(
            CopyOutResponse { format: CopyFormat::Binary, columns: List::from(&[FormatCode::Binary]) },
            b"H\0\0\0\x09\x01\0\x01\0\x01",
            "B\t9\tCopyOutResponse\t \\x01 1 1",
        );
    }

    #[test]
    fn a_copy_both_has_no_columns() {
        golden(
            CopyBothResponse { format: CopyFormat::Text, columns: List::EMPTY },
            b"W\0\0\0\x07\0\0\0",
            "B\t7\tCopyBothResponse\t \\x00 0",
        );
    }
}
