//! The message FunctionCall.

use crate::basic::code::MessageCode;
use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid::Oid;
use crate::codec::field::Field;
use crate::codec::message::{Decode, Message};
use crate::codec::params::{EncodedParams, ParamList};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// Calls a function by its object id, without SQL and in one round trip. The PostgreSQL manual recommends a prepared statement instead of a
/// FunctionCall.
///
/// `F`, length, Int32 function, Int16 n, Int16\[n\] formats, Int16 m, m times: Int32 length or -1 for NULL, bytes; Int16 result_format.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALL)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionCall<P> {
    /// Object id of the function.
    pub function: Oid,
    /// Arguments of the function: Rust values such as `(1i32, "x")` when sending, [`EncodedParams`] after decoding.
    pub arguments: P,
    /// Format in which the server shall send the result.
    pub result_format: FormatCode,
}

impl<P: ParamList> Message for FunctionCall<P> {
    const MEASURED: bool = P::MEASURED;
    #[inline]
    fn code(&self) -> Option<MessageCode> {
        FunctionCall::CODE
    }
    #[inline]
    fn name(&self) -> &'static str {
        FunctionCall::NAME
    }
    #[inline(always)]
    fn write<W: Writer + ?Sized>(&self, out: &mut W) {
        let Self { function, arguments, result_format } = self;
        function.write(out);
        arguments.write(out);
        result_format.write(out);
    }
}

impl<'a> Decode<'a> for FunctionCall<EncodedParams<'a>> {
    const CODE: Option<MessageCode> = Some(MessageCode::FUNCTION_CALL);
    const NAME: &'static str = "FunctionCall";

    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            function: Field::read(body)?,
            arguments: Field::read(body)?,
            result_format: Field::read(body)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::list::List;
    use crate::codec::values::Values;
    use crate::testing::golden_frontend;

    #[test]
    fn a_call_with_one_argument_is_encoded_and_decoded() {
        golden_frontend(
            FunctionCall {
                function: 1344,
                arguments: EncodedParams {
                    formats: List::from(&[FormatCode::Text]),
                    values: Values::from(&[Some(&b"9"[..])]),
                },
                result_format: FormatCode::Text,
            },
            b"F\0\0\0\x15\0\0\x05\x40\0\x01\0\0\0\x01\0\0\0\x019\0\0",
            "F\t21\tFunctionCall\t 1344 1 0 1 1 '9' 0",
        );
    }
}
