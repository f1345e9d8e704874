//! The simple query, and the small words around it.

use crate::basic::text::Text;
use crate::message::table::message;

message! {
    /// One or more statements, run at once by the simple protocol: rows come as text, and one ReadyForQuery at the end.
    ///
    /// `Q`, length, String sql.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-QUERY)
    QUERY => pub struct Query<'a> {
        /// The statements, separated by semicolons.
        pub sql: Text<'a>,
    }
}

message! {
    /// The data of a COPY will not be complete; the server fails the COPY with this reason.
    ///
    /// `f`, length, String reason.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYFAIL)
    COPY_FAIL => pub struct CopyFail<'a> {
        /// The reason, which comes back in the server's error.
        pub reason: Text<'a>,
    }
}

message! {
    /// The session ends.
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
    use crate::encode::frames::Encode;
    use crate::testing::golden_frontend;
    use alloc::vec::Vec;

    #[test]
    fn all_of_them() {
        golden_frontend(
            Query { sql: "select 1".into() },
            b"Q\0\0\0\x0dselect 1\0",
            "F\t13\tQuery\t \"select 1\"",
        );
        golden_frontend(CopyFail { reason: "no".into() }, b"f\0\0\0\x07no\0", "F\t7\tCopyFail\t \"no\"");
        golden_frontend(Terminate {}, b"X\0\0\0\x04", "F\t4\tTerminate");
    }

    #[test]
    fn a_nul_is_refused_and_the_buffer_left_as_it_was() {
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
    fn a_message_larger_than_the_stage_is_the_same() {
        let sql = "x".repeat(1000);
        let mut out = Vec::new();
        Query { sql: sql.as_str().into() }.encode(&mut out).expect("nothing is wrong with it");
        assert_eq!(out.len(), 1006);
        assert_eq!(&out[..6], b"Q\0\0\x03\xedx");
        assert_eq!(out.last(), Some(&0));
    }
}
