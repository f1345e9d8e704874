//! Bytes of the messages that checks send. Some of the messages are invalid.

use pg_wire::codec::{EncodedParams, List, Payload, Terminated, Values};
use pg_wire::frontend::{
    Bind, CopyData, CopyDone, CopyFail, Execute, Flush, FunctionCall, Parse, ProtocolVersion, Query,
    StartupMessage, Sync, Terminate,
};
use pg_wire::{Encode, FormatCode, Message, Oid};

/// SSLRequest.
pub(crate) const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
/// GSSENCRequest.
pub(crate) const GSSENC_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

/// A value of a parameter; `None` is NULL.
pub(crate) type Value<'a> = Option<&'a [u8]>;

/// Encodes a valid message.
fn legal(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("the checks use only texts without NUL and legal counts here");
    bytes
}

/// A message with any code and any body. The length field is correct.
pub(crate) fn raw(code: u8, body: &[u8]) -> Vec<u8> {
    with_length(code, i32::try_from(body.len() + 4).expect("the checks send no bodies over 2 GiB"), body)
}

/// A message with any code, length and body.
pub(crate) fn with_length(code: u8, length: i32, body: &[u8]) -> Vec<u8> {
    [&[code], &length.to_be_bytes()[..], body].concat()
}

/// A packet without a code, as at the start of a connection. The length field is correct.
pub(crate) fn packet(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("the checks send no bodies over 4 GiB");
    [&length.to_be_bytes()[..], body].concat()
}

pub(crate) fn startup(version: ProtocolVersion, parameters: &[(&str, &str)]) -> Vec<u8> {
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    legal(&StartupMessage { version, parameters: Terminated::from(&parameters[..]) })
}

/// A CancelRequest with a key of any length.
pub(crate) fn cancel_request(pid: i32, key: &[u8]) -> Vec<u8> {
    packet(&[b"\x04\xd2\x16\x2e", &pid.to_be_bytes()[..], key].concat())
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    legal(&Query { sql: sql.into() })
}

pub(crate) fn parse(statement: &str, sql: &str) -> Vec<u8> {
    parse_typed(statement, sql, &[])
}

pub(crate) fn parse_typed(statement: &str, sql: &str, types: &[Oid]) -> Vec<u8> {
    legal(&Parse { statement: statement.into(), sql: sql.into(), types: List::from(types) })
}

/// Bind with text parameters and text results.
pub(crate) fn bind(portal: &str, statement: &str, values: &[Value<'_>]) -> Vec<u8> {
    bind_with(portal, statement, &[], values, &[])
}

/// Bind with any format codes, for example with the code 2, which the protocol does not define.
pub(crate) fn bind_with(
    portal: &str,
    statement: &str,
    formats: &[u16],
    values: &[Value<'_>],
    results: &[u16],
) -> Vec<u8> {
    let (formats, results) = (codes(formats), codes(results));
    legal(&Bind {
        portal: portal.into(),
        statement: statement.into(),
        parameters: EncodedParams { formats: List::from(&formats[..]), values: Values::from(values) },
        result_formats: List::from(&results[..]),
    })
}

fn codes(numbers: &[u16]) -> Vec<FormatCode> {
    numbers.iter().copied().map(FormatCode::from).collect()
}

pub(crate) fn describe_statement(name: &str) -> Vec<u8> {
    raw(b'D', &named(b'S', name))
}

pub(crate) fn describe_portal(name: &str) -> Vec<u8> {
    raw(b'D', &named(b'P', name))
}

pub(crate) fn close_statement(name: &str) -> Vec<u8> {
    raw(b'C', &named(b'S', name))
}

pub(crate) fn close_portal(name: &str) -> Vec<u8> {
    raw(b'C', &named(b'P', name))
}

/// The body of a Describe or Close. `target` is `S` for a statement or `P` for a portal.
pub(crate) fn named(target: u8, name: &str) -> Vec<u8> {
    [&[target], name.as_bytes(), &[0]].concat()
}

/// Execute of a portal. If `rows` is 0, the number of rows has no limit.
pub(crate) fn execute(portal: &str, rows: i32) -> Vec<u8> {
    legal(&Execute { portal: portal.into(), max_rows: rows })
}

/// Parse, Bind and Execute of the unnamed statement and portal, without Sync.
pub(crate) fn run(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", &[]), execute("", 0)].concat()
}

pub(crate) fn sync() -> Vec<u8> {
    legal(&Sync {})
}

pub(crate) fn flush() -> Vec<u8> {
    legal(&Flush {})
}

pub(crate) fn terminate() -> Vec<u8> {
    legal(&Terminate {})
}

pub(crate) fn copy_data(data: &[u8]) -> Vec<u8> {
    legal(&CopyData { data: Payload(data) })
}

pub(crate) fn copy_done() -> Vec<u8> {
    legal(&CopyDone {})
}

pub(crate) fn copy_fail(reason: &str) -> Vec<u8> {
    legal(&CopyFail { reason: reason.into() })
}

pub(crate) fn function_call(
    function: Oid,
    formats: &[u16],
    arguments: &[Value<'_>],
    result_format: u16,
) -> Vec<u8> {
    let formats = codes(formats);
    legal(&FunctionCall {
        function,
        arguments: EncodedParams { formats: List::from(&formats[..]), values: Values::from(arguments) },
        result_format: FormatCode::from(result_format),
    })
}
