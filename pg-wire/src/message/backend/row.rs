//! The messages DataRow, RowDescription and ParameterDescription.

use crate::basic::code::MessageCode;
use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;
use crate::basic::text::Text;
use crate::codec::field::Field;
use crate::codec::list::List;
use crate::codec::message::{Decode, Message};
use crate::codec::reader::Reader;
use crate::codec::values::Values;
use crate::codec::writer::Writer;
use crate::message::table::message;

/// Contains one row of a result.
///
/// `D`, length, Int16 n, n times: Int32 length or -1 for NULL, bytes.
///
/// DataRow is the most frequent message, so decoding reads only the count. Iterating over `values` reads the columns.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DATAROW)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataRow<'a> {
    /// Values of the columns, in order.
    pub values: Values<'a>,
}

impl Message for DataRow<'_> {
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        Self::CODE
    }
    #[inline]
    fn name(&self) -> &'static str {
        Self::NAME
    }
    #[inline(always)]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        self.values.write(out);
    }
}

impl<'a> Decode<'a> for DataRow<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::DATA_ROW);
    const NAME: &'static str = "DataRow";

    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Values::read_last(body).map(|values| Self { values })
    }
}

message! {
    /// Describes the columns of a result.
    ///
    /// `T`, length, Int16 n, n times a [`FieldDescription`].
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ROWDESCRIPTION)
    ROW_DESCRIPTION => pub struct RowDescription<'a> {
        /// Descriptions of the columns, in order.
        pub fields: List<'a, FieldDescription<'a>>,
    }
}

/// One column of a [`RowDescription`].
///
/// String name, Int32 table, Int16 attribute, Int32 type_oid, Int16 type_len, Int32 type_modifier, Int16 format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldDescription<'a> {
    /// Name of the column in the result.
    pub name: Text<'a>,
    /// Oid of the table that the column belongs to; 0 if the column belongs to no table.
    pub table: Oid,
    /// Number of the column in `table`, counted from 1; 0 if the column belongs to no table.
    pub attribute: i16,
    /// Oid of the column's type; see [`oid`](mod@crate::oid).
    pub type_oid: Oid,
    /// Length of the column's type in bytes; -1 for a variable length, -2 for a C string.
    pub type_len: i16,
    /// Modifier of the column's type, such as the length of a `varchar`; -1 for none.
    pub type_modifier: i32,
    /// Format of the column's values. A description of a statement always contains the text format, because only a Bind determines the
    /// format.
    pub format: FormatCode,
}

impl<'a> Field<'a> for FieldDescription<'a> {
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: Field::read(body)?,
            table: Field::read(body)?,
            attribute: Field::read(body)?,
            type_oid: Field::read(body)?,
            type_len: Field::read(body)?,
            type_modifier: Field::read(body)?,
            format: Field::read(body)?,
        })
    }
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        let Self { name, table, attribute, type_oid, type_len, type_modifier, format } = self;
        name.write(out);
        table.write(out);
        attribute.write(out);
        type_oid.write(out);
        type_len.write(out);
        type_modifier.write(out);
        format.write(out);
    }
}

message! {
    /// Contains the types of a prepared statement's parameters.
    ///
    /// `t`, length, Int16 n, Int32\[n\] types.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARAMETERDESCRIPTION)
    PARAMETER_DESCRIPTION => pub struct ParameterDescription<'a> {
        /// Oids of the types, in the order of the parameters.
        pub types: List<'a, Oid>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basic::error::DecodeErrorKind;
    use crate::basic::oid;
    use crate::testing::golden;

    #[test]
    fn a_row_with_a_null_is_encoded_and_decoded() {
        golden(
            DataRow { values: Values::from(&[Some(&b"hi"[..]), None]) },
            b"D\0\0\0\x10\0\x02\0\0\0\x02hi\xff\xff\xff\xff",
            "B\t16\tDataRow\t 2 2 'hi' -1",
        );
    }

    #[test]
    fn a_row_without_columns_is_encoded_and_decoded() {
        golden(DataRow { values: Values::EMPTY }, b"D\0\0\0\x06\0\0", "B\t6\tDataRow\t 0");
    }

    #[test]
    fn a_truncated_column_is_an_error_and_not_null() {
        let row = DataRow::decode(b"\0\x02\0\0\0\x05hi").expect("decoding does not read the columns");
        let error = row.values.iter().next().expect("the count is two").expect_err("the first column is cut");
        assert_eq!((error.kind, error.offset), (DecodeErrorKind::Short, 6));
        assert_eq!(row.values.iter().count(), 1, "iteration ends after the error");
        assert!(row.values.validate().is_err());
    }

    #[test]
    fn a_negative_column_length_is_rejected() {
        let row = DataRow::decode(b"\0\x01\xff\xff\xff\xfe").expect("decoding does not read the columns");
        let error = row.values.validate().expect_err("-2 is not a length");
        assert_eq!(error.kind, DecodeErrorKind::NegativeLength);
    }

    #[test]
    fn bytes_after_the_last_column_are_an_error() {
        let row = DataRow::decode(b"\0\x01\0\0\0\x01x!").expect("decoding does not read the columns");
        let error = row.values.iter().last().expect("one column").expect_err("one byte is left over");
        assert_eq!(error.kind, DecodeErrorKind::Trailing);
    }

    #[test]
    fn a_row_can_have_65535_columns() {
        let mut body = alloc::vec![0xff, 0xff];
        body.extend(core::iter::repeat_n([0xff; 4], 65_535).flatten());
        let row = DataRow::decode(&body).expect("65,535 columns of NULL");
        assert_eq!(row.values.len(), 65_535);
        assert_eq!(row.values.iter().filter(|value| *value == Ok(None)).count(), 65_535);
    }

    #[test]
    fn a_description_of_two_columns_is_encoded_and_decoded() {
        golden(
            RowDescription {
                fields: List::from(&[
                    FieldDescription {
                        name: "id".into(),
                        table: 16_384,
                        attribute: 1,
                        type_oid: oid::INT4,
                        type_len: 4,
                        type_modifier: -1,
                        format: FormatCode::Binary,
                    },
                    FieldDescription {
                        name: "t".into(),
                        type_oid: oid::TEXT,
                        type_len: -1,
                        ..Default::default()
                    },
                ]),
            },
            b"T\0\0\0\x2f\0\x02\
              id\0\0\0\x40\0\0\x01\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01\
              t\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\0\0\0",
            "B\t47\tRowDescription\t 2 \"id\" 16384 1 23 4 -1 1 \"t\" 0 0 25 65535 0 0",
        );
    }

    #[test]
    fn a_description_of_parameters_is_encoded_and_decoded() {
        golden(
            ParameterDescription { types: List::from(&[oid::INT4, oid::TEXT]) },
            b"t\0\0\0\x0e\0\x02\0\0\0\x17\0\0\0\x19",
            "B\t14\tParameterDescription\t 2 23 25",
        );
    }
}
