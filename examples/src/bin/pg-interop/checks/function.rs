//! FunctionCall.

use pg_wire::Oid;

use super::FUNCTION;
use crate::check::{Check, Checked, SQL};
use crate::message::{Value, function_call, query, raw};
use crate::target::Target;

const CALL: &str = "protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALL";

const IDLE: &str = "ReadyForQuery I";
/// `int4pl(int4, int4)`.
const INT4PL: Oid = 177;
/// `int4div(int4, int4)`.
const INT4DIV: Oid = 154;
/// `textcat(text, text)`.
const TEXTCAT: Oid = 1258;
const SEVEN: Value<'_> = Some(b"\0\0\0\x07");

pub(super) const CHECKS: &[Check] = &[
    Check::new("a call with text arguments and a text result", FUNCTION, &[SQL], |t| {
        called(t, &function_call(INT4PL, &[], &[Some(b"7"), Some(b"35")], 0), "FunctionCallResponse 2 '42'")
    }),
    Check::new("a call with binary arguments and a binary result", FUNCTION, &[SQL], |t| {
        let call = function_call(INT4PL, &[1], &[SEVEN, SEVEN], 1);
        called(t, &call, r"FunctionCallResponse 4 '\x00\x00\x00\x0e'")
    }),
    Check::new("each argument may have its own format code", FUNCTION, &[SQL], |t| {
        let call = function_call(INT4PL, &[0, 1], &[Some(b"35"), SEVEN], 0);
        called(t, &call, "FunctionCallResponse 2 '42'")
    }),
    Check::new("a NULL argument of a strict function gives NULL", FUNCTION, &[SQL], |t| {
        called(t, &function_call(INT4PL, &[], &[None, Some(b"35")], 0), "FunctionCallResponse -1")
    }),
    Check::new("an empty result is not NULL", FUNCTION, &[SQL], |t| {
        called(t, &function_call(TEXTCAT, &[], &[Some(b""), Some(b"")], 0), "FunctionCallResponse 0 ''")
    }),
    Check::new("an error of the function is followed by ReadyForQuery", FUNCTION, &[SQL], |t| {
        called(t, &function_call(INT4DIV, &[], &[Some(b"7"), Some(b"0")], 0), "ErrorResponse ERROR 22012")
    }),
    Check::new("an unknown function is rejected with SQLSTATE 42883", FUNCTION, &[SQL], |t| {
        let call = function_call(4_000_000_000, &[], &[], 0);
        called(t, &call, "ErrorResponse ERROR 42883")
    }),
    Check::new("a wrong number of arguments is rejected with SQLSTATE 08P01", CALL, &[SQL], |t| {
        called(t, &function_call(INT4PL, &[], &[Some(b"7")], 0), "ErrorResponse ERROR 08P01")
    }),
    Check::new("a wrong number of format codes is rejected with SQLSTATE 08P01", CALL, &[SQL], |t| {
        let call = function_call(INT4PL, &[0, 0, 0], &[Some(b"7"), Some(b"7")], 0);
        called(t, &call, "ErrorResponse ERROR 08P01")
    }),
    Check::new("an unknown format code of an argument is rejected with SQLSTATE 22023", CALL, &[SQL], |t| {
        let call = function_call(INT4PL, &[2], &[Some(b"7"), Some(b"7")], 0);
        called(t, &call, "ErrorResponse ERROR 22023")
    }),
    Check::new("an unknown format code of the result is rejected with SQLSTATE 22023", CALL, &[SQL], |t| {
        let call = function_call(INT4PL, &[], &[Some(b"7"), Some(b"7")], 2);
        called(t, &call, "ErrorResponse ERROR 22023")
    }),
    Check::new("an invalid argument is rejected with SQLSTATE 22P02", CALL, &[SQL], |t| {
        called(t, &function_call(INT4PL, &[], &[Some(b"x"), Some(b"7")], 0), "ErrorResponse ERROR 22P02")
    }),
    Check::new(
        "a call without arguments in the message is rejected with SQLSTATE 08P01",
        CALL,
        &[SQL],
        |t| called(t, &raw(b'F', b"\0\0\0\xb1\0\0\0\x02"), "ErrorResponse ERROR 08P01"),
    ),
    Check::new("a call in a transaction has the status T, and E after an error", FUNCTION, &[SQL], |t| {
        t.talk([
            (query("begin"), &[r#"CommandComplete "BEGIN""#, "ReadyForQuery T"]),
            (
                function_call(INT4PL, &[], &[Some(b"7"), Some(b"35")], 0),
                &["FunctionCallResponse 2 '42'", "ReadyForQuery T"],
            ),
            (
                function_call(INT4DIV, &[], &[Some(b"7"), Some(b"0")], 0),
                &["ErrorResponse ERROR 22012", "ReadyForQuery E"],
            ),
            (
                function_call(INT4PL, &[], &[Some(b"7"), Some(b"35")], 0),
                &["ErrorResponse ERROR 25P02", "ReadyForQuery E"],
            ),
            (query("rollback"), &[r#"CommandComplete "ROLLBACK""#, IDLE]),
        ])
    }),
];

/// Calls a function outside of a transaction, and compares the answer.
fn called(t: &Target, call: &[u8], expected: &str) -> Checked {
    t.talk([(call.to_vec(), &[expected, IDLE])])
}
