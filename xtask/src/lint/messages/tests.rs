//! Tests of the rules for messages. Each test checks a table and one file with messages.

use super::check;
use crate::lint::source::Source;

/// A source file with the table of the server's messages. `rows` is the text of the table's rows.
fn table(rows: &str) -> Source {
    let text = format!(
        "crate::message::table::direction! {{\n    /// Docs.\n    pub enum Backend, decoded by backend {{ {rows} }}\n}}\n"
    );
    Source::parse("message/backend/mod.rs", &text).expect("a table")
}

/// Runs the rules on a table and a file of messages. Returns the findings in the form `line: text`.
fn findings(rows: &str, text: &str) -> Vec<String> {
    let file = Source::parse("message/backend/file.rs", text).expect("valid Rust");
    let findings = check(&[&table(rows), &file]).expect("readable");
    findings.into_iter().map(|finding| format!("{}: {}", finding.line, finding.wrong)).collect()
}

const ROW: &str = "STATUS = b'S' => Status<'a>, Cold, Control;";

const GOOD: &str = r##"
message! {
    /// A parameter.
    ///
    /// `S`, length, Int32 pid, String name, Int16 n, Int32\[n\] types. At most ten.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STATUS)
    STATUS => pub struct Status<'a> {
        /// The process.
        pub pid: i32,
        /// The name.
        pub name: Text<'a>,
        /// The types.
        pub types: List<'a, Oid>,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_status() {
        golden(Status { pid: 1, name: "a".into(), types: List::EMPTY }, b"S\0\0\0", "B\t4\tStatus");
    }
}
"##;

#[test]
fn a_message_with_layout_link_and_golden_bytes_passes() {
    assert_eq!(findings(ROW, GOOD), [""; 0]);
}

#[test]
fn a_message_without_golden_bytes_fails() {
    let missing = ["1: Status has no golden bytes"].map(|wrong| wrong.replace('1', "8"));
    assert_eq!(
        findings(ROW, &GOOD.replace("golden(Status", "golden(Other")),
        missing,
        "golden bytes of another message"
    );
    assert_eq!(
        findings(ROW, &GOOD.replace("golden(Status", "golden_frontend(Status")),
        missing,
        "golden bytes of the other direction"
    );
    assert_eq!(findings(ROW, &GOOD.replace("b\"S\\0\\0\\0\"", "&bytes")), missing, "computed bytes");
    let named =
        GOOD.replace("golden(Status {", "let status = Status {").replace("}, b\"S", "}; golden(status, b\"S");
    assert_eq!(findings(ROW, &named), [""; 0], "a message in a variable");
}

#[test]
fn a_link_to_another_message_and_a_missing_link_fail() {
    let found = findings(ROW, &GOOD.replace("FORMATS-STATUS", "FORMATS-QUERY"));
    assert_eq!(found, ["7: the documentation of Status links the paragraph of another message: QUERY"]);
    let found = findings(ROW, &GOOD.replace("https://www.postgresql.org/docs", "https://example.org"));
    assert_eq!(found, ["8: the documentation of Status has no link to its paragraph of the manual"]);
}

#[test]
fn a_layout_that_differs_from_the_fields_fails() {
    let given = "`S`, length, Int32 pid, String name, Int16 n, Int32\\[n\\] types";
    for (right, wrong) in [
        ("`S`, length", "`T`, length"),
        ("Int32 pid", "Int16 pid"),
        ("Int32 pid, String name", "String name, Int32 pid"),
        ("String name, ", ""),
        ("String name", "String title"),
        ("Int16 n, Int32", "Int32 n, Int32"),
    ] {
        let changed = given.replacen(right, wrong, 1);
        let found = findings(ROW, &GOOD.replace(given, &changed));
        assert_eq!(found, [format!("5: the layout of Status differs from its fields: `{changed}`")]);
    }
    let found = findings(ROW, &GOOD.replace(&format!("/// {given}. At most ten."), "/// No layout."));
    assert_eq!(found, ["8: the documentation of Status has no layout"]);
}

#[test]
fn the_remedy_contains_the_right_layout() {
    let text = GOOD.replace("Int32 pid, ", "");
    let file = Source::parse("message/backend/file.rs", &text).expect("valid Rust");
    let found = check(&[&table(ROW), &file]).expect("readable");
    let remedy = "`/// `S`, length, Int32 pid, String name, Int16 n, Int32\\[n\\] types.`";
    assert!(found[0].remedy.ends_with(remedy), "{}", found[0].remedy);
}

#[test]
fn a_field_of_an_unknown_type_fails() {
    let found = findings(ROW, &GOOD.replace("Text<'a>", "Strange"));
    assert_eq!(found, ["8: Status: lint does not know the layout of `name: Strange`"]);
}

#[test]
fn a_row_without_a_declaration_and_a_declaration_without_a_row_fail() {
    let found = findings("STATE = b'S' => State<'a>, Cold, Control;", GOOD);
    assert_eq!(
        found,
        [
            "3: State is not declared in the folder pg-wire/src/message",
            "8: no table has the code STATUS of Status"
        ]
    );
}

/// A message that is declared by hand, with parts.
const BY_HAND: &str = r##"
/// A list.
///
/// `S`, length, Int16 n, n times: Int32 length or -1 for NULL, bytes; Int32 length of rest or -1 for none, bytes, Int16 m, m times a
/// [`Part`], (Byte1 code, String value) for each of parts, Byte1 0.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STATUSRESPONSE)
pub struct Status<'a> {
    pub values: Values<'a>,
    pub rest: Option<Secret<'a>>,
    pub items: List<'a, Part<'a>>,
    pub parts: Parts<'a>,
}
pub struct Parts<'a>(Terminated<'a, Part<'a>>);
impl<'a> Field<'a> for Parts<'a> {}
/// A part.
///
/// Byte1 code, String value.
pub struct Part<'a> { pub code: u8, pub value: Text<'a> }
impl<'a> Field<'a> for Part<'a> {}
impl<'a> Decode<'a> for Status<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::STATUS);
    const NAME: &'static str = "StatusResponse";
}
#[cfg(test)]
mod tests {
    fn a() { golden(Status { values }, b"S", "B"); }
}
"##;

#[test]
fn declarations_by_hand_are_checked_with_their_parts() {
    assert_eq!(findings(ROW, BY_HAND), [""; 0]);
    let found =
        findings(ROW, &BY_HAND.replace("/// Byte1 code, String value.", "/// String value, Byte1 code."));
    assert_eq!(found, ["18: the layout of Part differs from its fields: `String value, Byte1 code`"]);
    let found = findings(ROW, &BY_HAND.replace("bytes; Int32", "bytes, Int32"));
    assert_eq!(found.len(), 1, "{found:?}");
}

const KINDS: &str = r##"
/// Kinds.
///
/// `S`, length, Int32 kind, then the fields of the kind.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STATUSOK)
pub enum Status<'a> {
    /// 0: good.
    Ok,
    /// 5: with data.
    Data(Secret<'a>),
}
impl Status<'_> {
    pub fn kind(&self) -> u32 { match self { Self::Ok => 0, Self::Data(_) => 5 } }
}
impl<'a> Decode<'a> for Status<'a> {
    const CODE: Option<MessageCode> = Some(MessageCode::STATUS);
    const NAME: &'static str = "Status";
}
#[cfg(test)]
mod tests {
    fn a() { golden(Status::Ok, b"S", "B"); golden(Status::Data(Secret(b"")), b"S", "B"); }
}
"##;

#[test]
fn each_kind_must_have_its_number_and_golden_bytes() {
    assert_eq!(findings(ROW, KINDS), [""; 0]);
    let found = findings(ROW, &KINDS.replace("/// 5: with", "/// 6: with"));
    assert_eq!(found, ["11: the documentation of Status::Data does not begin with its kind"]);
    assert_eq!(
        findings(ROW, &KINDS.replace("golden(Status::Ok,", "golden(Status::Data,")),
        ["9: Status::Ok has no golden bytes"]
    );
}

/// The source of a packet that is sent before the session. The packet's request code is a constant.
const PACKET: &str = r##"
/// A request.
///
/// Length, Int32 80877103, Int32 pid.
///
/// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST)
pub struct SslRequest { pub pid: i32 }
impl SslRequest { pub const REQUEST: ProtocolVersion = ProtocolVersion::new(1234, 5679); }
impl<'a> Decode<'a> for SslRequest {
    const CODE: Option<MessageCode> = None;
    const NAME: &'static str = "SSLRequest";
}
#[cfg(test)]
mod tests {
    fn a() { golden_frontend(SslRequest { pid: 1 }, b"S", "F"); }
}
"##;

#[test]
fn the_layout_of_a_packet_must_have_its_request_code() {
    assert_eq!(findings("", PACKET), [""; 0]);
    let found = findings("", &PACKET.replace("80877103", "80877104"));
    assert_eq!(
        found,
        ["4: the layout of SslRequest differs from its fields: `Length, Int32 80877104, Int32 pid`"]
    );
}

const REQUEST: &str = r##"
request! {
    /// A request.
    ///
    /// Length, Int32 80877103.
    ///
    /// [Format](https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST)
    SslRequest "SSLRequest" 5679
}
#[cfg(test)]
mod tests {
    fn a() { golden_frontend(SslRequest {}, b"\0\0\0\x08", "F"); }
}
"##;

#[test]
fn a_declaration_by_the_request_macro_is_checked_like_a_message() {
    assert_eq!(findings("", REQUEST), [""; 0]);
    let found = findings("", &REQUEST.replace("80877103", "99"));
    assert_eq!(found, ["5: the layout of SslRequest differs from its fields: `Length, Int32 99`"]);
    let found = findings("", &REQUEST.replace("golden_frontend(SslRequest", "golden_frontend(Other"));
    assert_eq!(found, ["8: SslRequest has no golden bytes"]);
}

#[test]
fn another_macro_that_implements_decode_fails() {
    let other = "macro_rules! opaque {\n    ($name:ident) => { impl<'a> Decode<'a> for $name<'a> {} };\n}\n";
    assert_eq!(findings("", other), ["1: the macro opaque declares messages that lint does not find"]);
    assert_eq!(findings("", &other.replace("Decode", "Other")), [""; 0]);
}
