//! The result of a function call.

use crate::message::table::message;

message! {
    /// Contains the result of a [`FunctionCall`](crate::frontend::FunctionCall), in the requested format.
    ///
    /// `V`, length, Int32 length of value or -1 for NULL, bytes.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALLRESPONSE)
    FUNCTION_CALL_RESPONSE => pub struct FunctionCallResponse<'a> {
        /// Value that the function returned; `None` is NULL.
        pub value: Option<&'a [u8]>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn a_value_and_a_null_are_encoded_and_decoded() {
        golden(
            FunctionCallResponse { value: Some(b"3") },
            b"V\0\0\0\x09\0\0\0\x013",
            "B\t9\tFunctionCallResponse\t 1 '3'",
        );
        golden(
            FunctionCallResponse { value: None },
            b"V\0\0\0\x08\xff\xff\xff\xff",
            "B\t8\tFunctionCallResponse\t -1",
        );
    }
}
