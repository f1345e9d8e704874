//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Flush, Sync.

use crate::basic::code::MessageCode;
use crate::basic::enums::{FormatCode, Target};
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::list::List;
use crate::codec::message::{Decode, Message};
use crate::codec::params::{EncodedParams, ParamList};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::message::table::message;

message! {
    /// Creates a prepared statement. The server answers with [`ParseComplete`](crate::backend::ParseComplete).
    ///
    /// `P`, length, String statement, String sql, Int16 n, Int32\[n\] types.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARSE)
    PARSE => pub struct Parse<'a> {
        /// Name of the statement; empty for the unnamed statement.
        pub statement: Text<'a>,
        /// SQL text of one statement.
        pub sql: Text<'a>,
        /// Types of the first parameters. The server chooses the type of each parameter whose type is 0, and of each parameter after the
        /// end of the list.
        pub types: List<'a, Oid>,
    }
}

/// Creates a portal from a prepared statement and parameter values. The server answers with [`BindComplete`](crate::backend::BindComplete).
///
/// `B`, length, String portal, String statement, Int16 n, Int16\[n\] formats, Int16 m, m times: Int32 length or -1
/// for NULL, bytes; Int16 r, Int16\[r\] result_formats.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BIND)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bind<'a, P = EncodedParams<'a>> {
    /// Name of the portal to create; empty for the unnamed portal.
    pub portal: Text<'a>,
    /// Name of the statement to bind; empty for the unnamed statement.
    pub statement: Text<'a>,
    /// Parameters of the statement: Rust values such as `(1i32, "x")` when sending, [`EncodedParams`] after decoding.
    pub parameters: P,
    /// Formats of the result columns: an empty list for text, one code for all columns, or one code for each column.
    pub result_formats: List<'a, FormatCode>,
}

impl<P: ParamList> Message for Bind<'_, P> {
    const MEASURED: bool = P::MEASURED;
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Bind::CODE
    }
    #[inline]
    fn name(&self) -> &'static str {
        Bind::NAME
    }
    #[inline(always)]
    fn write<W: Writer + ?Sized>(&self, out: &mut W) {
        let Self { portal, statement, parameters, result_formats } = self;
        portal.write(out);
        statement.write(out);
        parameters.write(out);
        result_formats.write(out);
    }
}

impl<'a> Decode<'a> for Bind<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::BIND);
    const NAME: &'static str = "Bind";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            portal: Field::read(body)?,
            statement: Field::read(body)?,
            parameters: Field::read(body)?,
            result_formats: Field::read(body)?,
        })
    }
}

message! {
    /// Requests a description of a statement or a portal. The server answers with [`RowDescription`](crate::backend::RowDescription) or
    /// [`NoData`](crate::backend::NoData). For a statement, the server first sends
    /// [`ParameterDescription`](crate::backend::ParameterDescription).
    ///
    /// `D`, length, Byte1 target, String name.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DESCRIBE)
    DESCRIBE => pub struct Describe<'a> {
        /// Kind of the object that `name` denotes.
        pub target: Target,
        /// Name of the statement or portal; empty for the unnamed statement or portal.
        pub name: Text<'a>,
    }
}

message! {
    /// Runs a portal. The server answers with rows, and then with [`CommandComplete`](crate::backend::CommandComplete),
    /// [`EmptyQueryResponse`](crate::backend::EmptyQueryResponse) or [`PortalSuspended`](crate::backend::PortalSuspended).
    ///
    /// `E`, length, String portal, Int32 max_rows.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-EXECUTE)
    EXECUTE => pub struct Execute<'a> {
        /// Name of the portal; empty for the unnamed portal.
        pub portal: Text<'a>,
        /// Maximum number of rows to return; 0 for all rows. (The server reads a negative number as 0.)
        pub max_rows: i32,
    }
}

message! {
    /// Deletes a statement or a portal. It is no error if the statement or portal does not exist. The server answers with
    /// [`CloseComplete`](crate::backend::CloseComplete).
    ///
    /// `C`, length, Byte1 target, String name.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CLOSE)
    CLOSE => pub struct Close<'a> {
        /// Kind of the object that `name` denotes.
        pub target: Target,
        /// Name of the statement or portal; empty for the unnamed statement or portal.
        pub name: Text<'a>,
    }
}

message! {
    /// Requests that the server sends all buffered replies. Unlike a Sync, a Flush does not end the implicit transaction.
    ///
    /// `H`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FLUSH)
    FLUSH => pub struct Flush {}
}

message! {
    /// Ends a batch of messages and its implicit transaction. After an error, the server discards all messages up to the Sync. The server
    /// answers the Sync with [`ReadyForQuery`](crate::backend::ReadyForQuery).
    ///
    /// `S`, length.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SYNC)
    SYNC => pub struct Sync {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::error::{DecodeErrorKind, EncodeErrorKind};
    use crate::basic::oid;
    use crate::codec::values::Values;
    use crate::encode::messages::Encode;
    use crate::testing::golden_frontend;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn every_message_is_encoded_and_decoded() {
        golden_frontend(
            Parse { statement: "s".into(), sql: "select $1".into(), types: List::from(&[oid::INT4]) },
            b"P\0\0\0\x16s\0select $1\0\0\x01\0\0\0\x17",
            "F\t22\tParse\t \"s\" \"select $1\" 1 23",
        );
        golden_frontend(
            Bind {
                portal: "p".into(),
                statement: "s".into(),
                parameters: EncodedParams {
                    formats: List::from(&[FormatCode::Binary, FormatCode::Text]),
                    values: Values::from(&[Some(&b"\0\0\0\x05"[..]), None]),
                },
                result_formats: List::from(&[FormatCode::Binary]),
            },
            b"B\0\0\0\x20p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\0\x01\0\x01",
            "F\t32\tBind\t \"p\" \"s\" 2 1 0 2 4 '\\x00\\x00\\x00\\x05' -1 1 1",
        );
        golden_frontend(
            Describe { target: Target::Statement, name: "s".into() },
            b"D\0\0\0\x07Ss\0",
            "F\t7\tDescribe\t S \"s\"",
        );
        golden_frontend(
            Execute { portal: "p".into(), max_rows: 100 },
            b"E\0\0\0\x0ap\0\0\0\0\x64",
            "F\t10\tExecute\t \"p\" 100",
        );
        golden_frontend(
            Close { target: Target::Portal, name: "p".into() },
            b"C\0\0\0\x07Pp\0",
            "F\t7\tClose\t P \"p\"",
        );
        golden_frontend(Flush {}, b"H\0\0\0\x04", "F\t4\tFlush");
        golden_frontend(Sync {}, b"S\0\0\0\x04", "F\t4\tSync");
    }

    #[test]
    fn more_than_65535_items_are_rejected_and_65535_are_accepted() {
        let bind = |values| Bind {
            portal: "".into(),
            statement: "".into(),
            parameters: EncodedParams { formats: List::EMPTY, values },
            result_formats: List::EMPTY,
        };
        let values = vec![None; 65_536];
        let mut out = Vec::new();
        let error = bind(Values::from(&values[..])).encode(&mut out).expect_err("the count would wrap to 0");
        assert_eq!(error.kind, EncodeErrorKind::TooMany { what: "values", given: 65_536, most: 65_535 });
        assert_eq!(out, b"");
        bind(Values::from(&values[1..])).encode(&mut out).expect("the count fits");
        let back = Bind::decode(&out[5..]).expect("well-formed");
        assert_eq!(back.parameters.values.len(), 65_535);

        let types = vec![oid::INT4; 65_536];
        let error = Parse { statement: "".into(), sql: "".into(), types: List::from(&types[..]) }
            .encode(&mut out)
            .expect_err("the count would wrap to 0");
        assert!(matches!(error.kind, EncodeErrorKind::TooMany { given: 65_536, .. }));
    }

    #[test]
    fn a_count_that_does_not_match_the_body_is_an_error() {
        let error = Parse::decode(b"\0\0\xff\xff\0\0\0\x17").expect_err("65,535 types in 4 bytes");
        assert_eq!(error.kind, DecodeErrorKind::Short);
        let error = Parse::decode(b"\0\0\0\0\0\0\0\x17").expect_err("a count of no types, and one type");
        assert_eq!(error.kind, DecodeErrorKind::Trailing);
    }

    #[test]
    fn a_name_cannot_inject_another_field() {
        let parse =
            Parse { statement: "s\0select evil()".into(), sql: "select 1".into(), types: List::EMPTY };
        let mut out = Vec::new();
        assert_eq!(parse.encode(&mut out).expect_err("a NUL in the name").kind, EncodeErrorKind::Nul);
        assert_eq!(out, b"");
    }
}
