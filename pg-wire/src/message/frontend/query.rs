//! The messages Query, CopyFail and Terminate.

use crate::basic::text::Text;
use crate::message::table::message;

message! {
    /// Runs one or more statements with the simple query protocol. The server sends the rows in text format. After the last statement, the
    /// server sends one ReadyForQuery.
    ///
    /// `Q`, length, String sql.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-QUERY)
    QUERY => pub struct Query<'a> {
        /// SQL text: one or more statements, separated by semicolons.
        pub sql: Text<'a>,
    }
}

message! {
    /// Aborts a COPY: the statement fails, and the server's error message contains the `reason`.
    ///
    /// `f`, length, String reason.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYFAIL)
    COPY_FAIL => pub struct CopyFail<'a> {
        /// Text for the server's error message.
        pub reason: Text<'a>,
    }
}

message! {
    /// Ends the session.
    ///
    /// `X`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-TERMINATE)
    TERMINATE => pub struct Terminate {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::error::EncodeErrorKind;
    use crate::encode::messages::Encode;
    use crate::testing::golden_frontend;
    use alloc::vec::Vec;

    #[test]
    fn every_message_is_encoded_and_decoded() {
        golden_frontend(
            Query { sql: "select 1".into() },
            b"Q\0\0\0\x0dselect 1\0",
            "F\t13\tQuery\t \"select 1\"",
        );
        golden_frontend(CopyFail { reason: "no".into() }, b"f\0\0\0\x07no\0", "F\t7\tCopyFail\t \"no\"");
        golden_frontend(Terminate {}, b"X\0\0\0\x04", "F\t4\tTerminate");
    }

    #[test]
    fn a_nul_is_rejected_and_the_buffer_is_unchanged() {
        let mut out = b"before".to_vec();
        let error = Query { sql: "select 1\0; drop table x".into() }.encode(&mut out).expect_err("a NUL");
        assert_eq!(error.kind, EncodeErrorKind::Nul);
        assert_eq!(out, b"before");
    }

    #[test]
    fn a_buffer_with_a_fixed_end_is_not_overrun() {
        let mut room = [0; 8];
        let error =
            Query { sql: "select 1".into() }.encode(&mut &mut room[..]).expect_err("14 bytes do not fit");
        assert_eq!(error.kind, EncodeErrorKind::NoRoom { needed: 14, left: 8 });
        assert_eq!(room, [0; 8]);
    }

    #[test]
    fn a_long_message_has_the_same_layout() {
        let sql = "x".repeat(1000);
        let mut out = Vec::new();
        Query { sql: sql.as_str().into() }.encode(&mut out).expect("the query is valid");
        assert_eq!(out.len(), 1006);
        assert_eq!(&out[..6], b"Q\0\0\x03\xedx");
        assert_eq!(out.last(), Some(&0));
    }
}
