//! The function call.

use crate::basic::enums::FormatCode;
use crate::basic::oid::Oid;
use crate::codec::list::List;
use crate::codec::values::Values;
use crate::message::macros::message;

message! {
    /// Calls a function by its object id. An old way, kept for what it is good at: one round trip and no SQL.
    ///
    /// `F`, length, Int32 function, Int16 n, Int16\[n\] argument formats, Int16 m, m times: Int32 length or -1 for NULL,
    /// bytes; Int16 result format.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALL)
    FUNCTION_CALL => pub struct FunctionCall<'a> {
        /// The function.
        pub function: Oid,
        /// None when all are text, one for all, or one each.
        pub argument_formats: List<'a, FormatCode>,
        /// The arguments.
        pub arguments: Values<'a>,
        /// The format wanted for the result.
        pub result_format: FormatCode,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden_frontend;

    #[test]
    fn a_call_with_one_argument() {
        golden_frontend(
            FunctionCall {
                function: 1344,
                argument_formats: List::from(&[FormatCode::Text]),
                arguments: Values::from(&[Some(&b"9"[..])]),
                result_format: FormatCode::Text,
            },
            b"F\0\0\0\x15\0\0\x05\x40\0\x01\0\0\0\x01\0\0\0\x019\0\0",
            "F\t21\tFunctionCall\t 1344 1 0 1 1 '9' 0",
        );
    }
}
