//! The data of a COPY: the two messages that both sides send.

use crate::codec::field::Payload;
use crate::message::table::message;

message! {
    /// Contains a piece of the data of a COPY. The boundaries of the pieces have no meaning, except in replication, where each piece is
    /// exactly one replication message.
    ///
    /// `d`, length, bytes data.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYDATA)
    COPY_DATA => pub struct CopyData<'a> {
        /// Bytes of the piece.
        pub data: Payload<'a>,
    }
}

message! {
    /// Ends the data of a COPY.
    ///
    /// `c`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYDONE)
    COPY_DONE => pub struct CopyDone {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{golden, golden_frontend};

    #[test]
    fn copy_data_is_encoded_and_decoded() {
        let data = CopyData { data: Payload(b"1\tx\n") };
        golden(data, b"d\0\0\0\x081\tx\n", "B\t8\tCopyData\t '1\\x09x\\x0a'");
        golden_frontend(data, b"d\0\0\0\x081\tx\n", "F\t8\tCopyData\t '1\\x09x\\x0a'");
    }

    #[test]
    fn copy_done_is_encoded_and_decoded() {
        golden(CopyDone {}, b"c\0\0\0\x04", "B\t4\tCopyDone");
        golden_frontend(CopyDone {}, b"c\0\0\0\x04", "F\t4\tCopyDone");
    }
}
