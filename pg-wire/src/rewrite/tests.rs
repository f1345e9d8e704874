//! Tests of [`Rewrite`]. The written bytes are compared with expected bytes. Shortened and damaged bodies are also tested.

use alloc::vec::Vec;

use super::*;
use crate::basic::enums::FormatCode;
use crate::basic::error::{DecodeErrorKind, EncodeErrorKind};
use crate::basic::oid::{self, Oid};
use crate::buffer::outbox::Outbox;
use crate::codec::list::List;
use crate::codec::params::EncodedParams;
use crate::encode::messages::Encode;
use crate::message::backend::DataRow;
use crate::message::frontend::{Bind, Close, Describe, Execute, Frontend, FunctionCall, Parse, Query};

const PARSE: &[u8] = b"P\0\0\0\x16s\0select $1\0\0\x01\0\0\0\x17";
const BIND: &[u8] =
    b"B\0\0\0\x20p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\0\x01\0\x01";
const DESCRIBE_STATEMENT: &[u8] = b"D\0\0\0\x07Ss\0";
const DESCRIBE_PORTAL: &[u8] = b"D\0\0\0\x07Pp\0";
const CLOSE_STATEMENT: &[u8] = b"C\0\0\0\x07Ss\0";
const CLOSE_PORTAL: &[u8] = b"C\0\0\0\x07Pp\0";
const EXECUTE: &[u8] = b"E\0\0\0\x0ap\0\0\0\0\x64";
const FUNCTION_CALL: &[u8] = b"F\0\0\0\x19\0\0\0\x07\0\x01\0\x01\0\x02\0\0\0\x01a\xff\xff\xff\xff\0\x01";
const QUERY: &[u8] = b"Q\0\0\0\x0dselect 1\0";
const ROW: &[u8] = b"D\0\0\0\x17\0\x03\0\0\0\x02hi\xff\xff\xff\xff\0\0\0\x03you";

const FRONTEND: [&[u8]; 9] = [
    PARSE,
    BIND,
    DESCRIBE_STATEMENT,
    DESCRIBE_PORTAL,
    CLOSE_STATEMENT,
    CLOSE_PORTAL,
    EXECUTE,
    FUNCTION_CALL,
    QUERY,
];

fn frame(bytes: &[u8]) -> Frame<'_> {
    let length = u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes"));
    assert_eq!(length as usize, bytes.len() - 1, "the length field of {bytes:?}");
    Frame { code: MessageCode(bytes[0]), body: &bytes[5..] }
}

fn frontend(bytes: &[u8]) -> Rewrite<'_> {
    Rewrite::frontend(frame(bytes)).expect("well-formed")
}

/// Writes the frame into an outbox and into a `Vec`. Checks that both receive the same bytes, and returns these bytes.
#[track_caller]
fn written(rewrite: Rewrite<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    rewrite.encode(&mut out).expect("it can be sent");
    let mut outbox = Outbox::new(0);
    outbox.put(&rewrite);
    assert_eq!(outbox.batch(), out);
    out
}

/// Writes the frame with the statement name `other` and the unnamed portal.
fn renamed(rewrite: Rewrite<'_>) -> Vec<u8> {
    written(rewrite.with_statement("other".into()).with_portal("".into()))
}

#[test]
fn each_name_is_found_and_replaced_in_its_place() {
    let text = |name: Option<&'static str>| name.map(Text::from);
    for (bytes, portal, statement, expected) in [
        (PARSE, None, Some("s"), &b"P\0\0\0\x1aother\0select $1\0\0\x01\0\0\0\x17"[..]),
        (
            BIND,
            Some("p"),
            Some("s"),
            b"B\0\0\0\x23\0other\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\0\x01\0\x01",
        ),
        (DESCRIBE_STATEMENT, None, Some("s"), b"D\0\0\0\x0bSother\0"),
        (DESCRIBE_PORTAL, Some("p"), None, b"D\0\0\0\x06P\0"),
        (CLOSE_STATEMENT, None, Some("s"), b"C\0\0\0\x0bSother\0"),
        (CLOSE_PORTAL, Some("p"), None, b"C\0\0\0\x06P\0"),
        (EXECUTE, Some("p"), None, b"E\0\0\0\x09\0\0\0\0\x64"),
        (FUNCTION_CALL, None, None, FUNCTION_CALL),
        (QUERY, None, None, QUERY),
    ] {
        let rewrite = frontend(bytes);
        assert_eq!((rewrite.portal(), rewrite.statement()), (text(portal), text(statement)), "{bytes:?}");
        assert_eq!(written(rewrite), bytes);
        assert_eq!(renamed(rewrite), expected);
    }
}

#[test]
fn a_bind_has_its_portal_before_its_statement() {
    let bind = frontend(BIND);
    assert_eq!(
        written(bind.with_portal("P".into())),
        b"B\0\0\0\x20P\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\0\x01\0\x01"
    );
    assert_eq!(
        written(bind.with_statement("S".into())),
        b"B\0\0\0\x20p\0S\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\xff\xff\xff\xff\0\x01\0\x01"
    );
}

#[test]
fn unnamed_statements_and_portals_are_names_too() {
    let bind = frontend(b"B\0\0\0\x0c\0\0\0\0\0\0\0\0");
    assert_eq!((bind.portal(), bind.statement()), (Some("".into()), Some("".into())));
    assert_eq!(written(bind.with_statement("x".into())), b"B\0\0\0\x0d\0x\0\0\0\0\0\0\0");
}

#[test]
fn a_name_with_a_nul_is_rejected_and_leaves_the_buffer_unchanged() {
    let mut out = Vec::new();
    let parse = frontend(PARSE).with_statement("x\0select evil()".into());
    let error = parse.encode(&mut out).expect_err("a NUL in a name");
    assert_eq!((error.message, error.kind, out), ("Parse", EncodeErrorKind::Nul, Vec::new()));
}

#[test]
fn columns_of_a_row_are_replaced() {
    let row = Rewrite::backend(frame(ROW));
    assert_eq!(row.values().expect("not read yet").map(|values| values.len()), Some(3));
    let with = |values: &[(usize, Option<&[u8]>)]| written(row.with_values(values).expect("three columns"));
    assert_eq!(with(&[]), ROW);
    assert_eq!(with(&[(0, None)]), b"D\0\0\0\x15\0\x03\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x03you");
    assert_eq!(with(&[(1, Some(b"!"))]), b"D\0\0\0\x18\0\x03\0\0\0\x02hi\0\0\0\x01!\0\0\0\x03you");
    assert_eq!(with(&[(2, Some(b""))]), b"D\0\0\0\x14\0\x03\0\0\0\x02hi\xff\xff\xff\xff\0\0\0\0");
    assert_eq!(
        with(&[(0, Some(b"a")), (2, Some(b"c"))]),
        b"D\0\0\0\x14\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x01c"
    );
    assert_eq!(
        with(&[(0, Some(b"a")), (1, Some(b"b")), (2, Some(b"c"))]),
        b"D\0\0\0\x15\0\x03\0\0\0\x01a\0\0\0\x01b\0\0\0\x01c"
    );
}

#[test]
fn parameters_and_arguments_are_replaced_and_their_formats_stay() {
    let bind = frontend(BIND).with_statement("S".into());
    let values = bind.values().expect("well-formed").expect("a Bind has values");
    assert_eq!(
        values.iter().map(Result::ok).collect::<Vec<_>>(),
        [Some(Some(&b"\0\0\0\x05"[..])), Some(None)]
    );
    assert_eq!(
        written(bind.with_values(&[(1, Some(b"x"))]).expect("two parameters")),
        b"B\0\0\0\x21p\0S\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x05\0\0\0\x01x\0\x01\0\x01"
    );
    let call = frontend(FUNCTION_CALL);
    assert_eq!(
        written(call.with_values(&[(0, None)]).expect("two arguments")),
        b"F\0\0\0\x18\0\0\0\x07\0\x01\0\x01\0\x02\xff\xff\xff\xff\xff\xff\xff\xff\0\x01"
    );
}

#[test]
fn a_value_that_the_frame_does_not_have_is_an_error() {
    let row = Rewrite::backend(frame(ROW));
    let error = |values| row.with_values(values).expect_err("not these");
    assert_eq!(error(&[(3, None)]), RewriteError::NoSuchValue { index: 3, count: 3 });
    assert_eq!(error(&[(1, None), (1, None)]), RewriteError::NotAscending { index: 1 });
    assert_eq!(error(&[(1, None), (0, None)]), RewriteError::NotAscending { index: 0 });
    assert_eq!(error(&[(usize::MAX, None)]), RewriteError::NoSuchValue { index: usize::MAX, count: 3 });
    for bytes in [PARSE, EXECUTE, QUERY] {
        let error = frontend(bytes).with_values(&[(0, None)]).expect_err("no values");
        assert_eq!(error, RewriteError::NoSuchValue { index: 0, count: 0 });
    }
    let malformed = Rewrite::backend(Frame { code: MessageCode::DATA_ROW, body: b"\0\x02\0\0\0\x01a" });
    let error = malformed.with_values(&[(0, None)]).expect_err("the second column is missing");
    assert!(
        matches!(error, RewriteError::Malformed(error) if error.kind == DecodeErrorKind::Short),
        "{error}"
    );
}

#[test]
fn a_code_means_another_message_in_the_other_direction() {
    // The client and the server use these codes for different messages: `D` is Describe or DataRow, `C` is Close or CommandComplete, `E` is
    // Execute or ErrorResponse. `Rewrite::backend` must find no names in the messages of the server.
    for bytes in [&b"C\0\0\0\x0dSELECT 1\0"[..], b"E\0\0\0\x0cSERROR\0\0"] {
        let rewrite = Rewrite::backend(frame(bytes));
        assert_eq!((rewrite.portal(), rewrite.statement(), renamed(rewrite)), (None, None, bytes.to_vec()));
    }
    assert_eq!(frontend(DESCRIBE_STATEMENT).values(), Ok(None));
}

#[test]
fn an_unknown_target_is_forwarded_unchanged() {
    let bytes = b"C\0\0\0\x07Xs\0";
    assert_eq!(renamed(frontend(bytes)), bytes);
}

#[test]
fn a_malformed_name_is_an_error_with_its_message_and_offset() {
    for (code, body, message, offset) in [
        (MessageCode::PARSE, &b"s"[..], "Parse", 0),
        (MessageCode::BIND, b"p\0s", "Bind", 2),
        (MessageCode::DESCRIBE, b"", "Describe", 0),
        (MessageCode::CLOSE, b"Sname", "Close", 1),
        (MessageCode::EXECUTE, b"", "Execute", 0),
    ] {
        let error = Rewrite::frontend(Frame { code, body }).expect_err("no terminator");
        assert_eq!((error.message, error.offset), (message, offset));
    }
    // The offset in the error must count from the beginning of the body, although the values begin after the names.
    let bind =
        Rewrite::frontend(Frame { code: MessageCode::BIND, body: b"p\0s\0\0\0\0\x01\xff\xff\xff\xfe\0\0" });
    let error = bind.expect("the names are well-formed").values().expect_err("a length of -2");
    assert_eq!((error.message, error.offset, error.kind), ("Bind", 12, DecodeErrorKind::NegativeLength));
}

/// Checks `Rewrite` with one body. If the body decodes, `Rewrite` must find the same names as the decoder. If no name is replaced,
/// `Rewrite` must write the bytes of the original frame. If names are replaced, the written message must decode to the same fields with the
/// new names.
fn check(code: MessageCode, body: &[u8]) {
    let frame = Frame { code, body };
    let decoded = frame.frontend();
    let Ok(rewrite) = Rewrite::frontend(frame) else {
        assert!(decoded.is_err(), "{frame:?} has a malformed name, and decodes");
        return;
    };
    let mut unchanged = Vec::new();
    frame.encode(&mut unchanged).expect("any frame can be sent");
    assert_eq!(written(rewrite), unchanged);
    let bytes = renamed(rewrite);
    let again = Frame { code, body: &bytes[5..] }.frontend();
    assert_eq!(bytes.len() - 1, u32::from_be_bytes(bytes[1..5].try_into().expect("four bytes")) as usize);
    let target_name = |target, name| match target {
        Target::Statement => "other".into(),
        Target::Portal => "".into(),
        Target::Other(_) => name,
    };
    let Ok(decoded) = decoded else {
        assert!(again.is_err(), "{frame:?} became well-formed");
        return;
    };
    let expected = match decoded {
        Frontend::Parse(parse) => Frontend::Parse(Parse { statement: "other".into(), ..parse }),
        Frontend::Bind(bind) => Frontend::Bind(Bind { statement: "other".into(), portal: "".into(), ..bind }),
        Frontend::Describe(Describe { target, name }) => {
            Frontend::Describe(Describe { target, name: target_name(target, name) })
        }
        Frontend::Close(Close { target, name }) => {
            Frontend::Close(Close { target, name: target_name(target, name) })
        }
        Frontend::Execute(execute) => Frontend::Execute(Execute { portal: "".into(), ..execute }),
        other => other,
    };
    assert_eq!(again, Ok(expected));
    // All parameters except the first must be unchanged.
    if let Frontend::Bind(bind) = decoded
        && !bind.parameters.values.is_empty()
    {
        let bytes = written(rewrite.with_values(&[(0, Some(b"new"))]).expect("there is a first"));
        let again: Bind<'_> = Frame { code, body: &bytes[5..] }.decode().expect("well-formed");
        assert_eq!(again.parameters.values.get(0), Ok(Some(Some(&b"new"[..]))));
        assert!(again.parameters.values.iter().skip(1).eq(bind.parameters.values.iter().skip(1)));
        assert_eq!(
            (again.result_formats, again.parameters.formats),
            (bind.result_formats, bind.parameters.formats)
        );
    }
}

/// Checks `Rewrite` with the body of a DataRow, as `check` does with the bodies of messages of a client.
fn check_row(body: &[u8]) {
    let frame = Frame { code: MessageCode::DATA_ROW, body };
    let rewrite = Rewrite::backend(frame);
    let sound = frame.decode::<DataRow<'_>>().ok().filter(|row| row.values.validate().is_ok());
    for index in 0..4 {
        let values = [(index, Some(&b"new"[..]))];
        let replaced = rewrite.with_values(&values);
        let Some(row) = sound.filter(|row| index < row.values.len()) else {
            assert!(replaced.is_err(), "value {index} of {body:?}");
            continue;
        };
        let bytes = written(replaced.expect("the row is well-formed"));
        let again: DataRow<'_> = Frame { code: frame.code, body: &bytes[5..] }.decode().expect("a row");
        assert!(again.values.validate().is_ok());
        for (place, (new, old)) in again.values.iter().zip(row.values).enumerate() {
            assert_eq!(new, if place == index { Ok(values[0].1) } else { old });
        }
    }
}

/// Passes to `each` every prefix of the body. Then changes one byte at a time, and passes each changed body to `each`.
fn damaged(body: &[u8], mut each: impl FnMut(&[u8])) {
    for end in 0..=body.len() {
        each(&body[..end]);
    }
    let mut corrupted = body.to_vec();
    for place in 0..body.len() {
        for byte in [0, 1, b'P', b'S', 0x7f, 0x80, 0xfe, 0xff, body[place] ^ 1, body[place] ^ 0x20] {
            corrupted[place] = byte;
            each(&corrupted);
        }
        corrupted[place] = body[place];
    }
}

#[test]
fn a_truncated_or_corrupted_message_is_an_error_or_forwarded_as_it_decodes() {
    for bytes in FRONTEND {
        let Frame { code, body } = frame(bytes);
        damaged(body, |body| check(code, body));
    }
    damaged(frame(ROW).body, check_row);
}

#[test]
fn the_expected_bytes_are_the_bytes_of_the_messages() {
    let encoded = |message: &Frontend<'_>| {
        let mut out = Vec::new();
        message.encode(&mut out).expect("valid");
        out
    };
    let types: List<'_, Oid> = List::from(&[oid::INT4]);
    let parse = Parse { statement: "s".into(), sql: "select $1".into(), types };
    assert_eq!(encoded(&Frontend::Parse(parse)), PARSE);
    let values = [Some(&b"\0\0\0\x05"[..]), None];
    let formats = List::from(&[FormatCode::Binary, FormatCode::Text]);
    let parameters = EncodedParams { formats, values: Values::from(&values) };
    let result_formats = List::from(&[FormatCode::Binary]);
    let bind = Bind { portal: "p".into(), statement: "s".into(), parameters, result_formats };
    assert_eq!(encoded(&Frontend::Bind(bind)), BIND);
    let call: FunctionCall<EncodedParams<'_>> = frame(FUNCTION_CALL).decode().expect("well-formed");
    assert_eq!(call.arguments.values.len(), 2);
    let query: Query<'_> = frame(QUERY).decode().expect("well-formed");
    assert_eq!(encoded(&Frontend::Query(query)), QUERY);
}

#[test]
fn debug_prints_names_and_no_values() {
    let text = alloc::format!("{:?}", Rewrite::backend(frame(ROW)));
    assert!(text.contains("portal: None") && !text.contains("hi"), "{text}");
}
