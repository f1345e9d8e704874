//! Tests that decoding the bytes of a message returns the message, and that encoding a decoded message returns the original bytes.

use bytes::{BufMut, BytesMut};
use pg_wire::backend::*;
use pg_wire::frontend::*;
use pg_wire::{
    Decode, Direction, Encode, FormatCode, Frame, Message, Outbox, Text, TransactionStatus,
    backend::CopyFormat,
    client::PutMessage,
    codec::{EncodedParams, List, Payload, Secret, SecretText, Terminated, Values},
    error::{DecodeErrorKind, EncodeErrorKind},
    frontend::Target,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::fmt::Debug;

type Bytes = Vec<u8>;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Generates the bytes of a string: any bytes except NUL. Some strings are longer than the stack buffer (256 bytes) to which the encoder
/// first writes a short message.
fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![9 => vec(1u8..=255, 0..24), 1 => vec(1u8..=255, 200..600)]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![9 => vec(any::<u8>(), 0..24), 1 => vec(any::<u8>(), 200..600)]
}

fn values() -> impl Strategy<Value = Vec<Option<Bytes>>> {
    vec(option::of(bytes()), 0..12)
}

fn formats() -> impl Strategy<Value = Vec<FormatCode>> {
    vec(prop_oneof![0u16..3, any::<u16>()].prop_map(FormatCode::from), 0..6)
}

fn error_fields() -> impl Strategy<Value = Vec<(u8, Bytes)>> {
    vec((prop_oneof![Just(b'M'), 1u8..=255], text()), 0..8)
}

fn lent(values: &[Option<Bytes>]) -> Vec<Option<&[u8]>> {
    values.iter().map(Option::as_deref).collect()
}

fn texts(texts: &[Bytes]) -> Vec<Text<'_>> {
    texts.iter().map(|text| Text::from(&text[..])).collect()
}

fn fields_of(fields: &[(u8, Bytes)]) -> Vec<ErrorField<'_>> {
    fields.iter().map(|(code, value)| ErrorField { code: *code, value: value[..].into() }).collect()
}

/// Encodes a message in every way, checks that all ways write the same bytes, and returns the bytes.
#[track_caller]
fn encoded(message: &impl Message) -> Bytes {
    let mut whole = Vec::new();
    message.encode(&mut whole).expect("a valid message can be sent");

    let head = if let Some(code) = message.code() {
        assert_eq!(whole[0], code.0);
        1
    } else {
        0
    };
    let length = u32::from_be_bytes(whole[head..head + 4].try_into().expect("four bytes"));
    assert_eq!(
        usize::try_from(length).ok(),
        Some(whole.len() - head),
        "the length field counts its own bytes and the body"
    );

    let mut after = b"before".to_vec();
    // Appends the message twice with `PutMessage`, the trait through which `PgProtocol` appends messages.
    let chained = PutMessage::put_message(&mut after, message).expect("valid");
    PutMessage::put_message(chained, message).expect("valid");
    assert_eq!(after, [b"before", &whole[..], &whole[..]].concat());

    let mut out = BytesMut::new();
    message.encode(&mut out).expect("valid");
    assert_eq!(out, whole);

    let mut room = vec![0xaa; whole.len() + 3];
    let mut rest = &mut room[..];
    message.encode(&mut rest).expect("it fits");
    assert_eq!(rest, [0xaa; 3], "the rest of the room is unchanged");
    assert_eq!(room[..whole.len()], whole);

    let mut short = vec![0xaa; whole.len() - 1];
    let mut rest = &mut short[..];
    let error = message.encode(&mut rest).expect_err("one byte is missing");
    assert_eq!(error.kind, EncodeErrorKind::NoRoom { needed: whole.len(), left: whole.len() - 1 });
    assert!(short.iter().all(|byte| *byte == 0xaa));

    // Encodes the message into a buffer of two parts. The boundary between the parts is inside the message.
    let (mut front, mut back) = (vec![0; whole.len() / 2], vec![0; whole.len() - whole.len() / 2]);
    message.encode(&mut (&mut front[..]).chain_mut(&mut back[..])).expect("it fits");
    assert_eq!([front, back].concat(), whole);

    let mut outbox = Outbox::new(1024);
    outbox.put(message);
    assert_eq!(outbox.batch(), whole);
    outbox.commit().expect("valid");
    assert_eq!(outbox.pending(), whole);
    whole
}

/// Prints a message with `Debug` and as traces, and checks the length in each trace. Returns all printed texts.
#[track_caller]
fn printed(message: &(impl Message + Debug), whole: &[u8]) -> String {
    let mut all = format!("{message:?} {message:#?}");
    for (direction, letter) in [(Direction::Frontend, 'F'), (Direction::Backend, 'B')] {
        let line = message.trace(direction).to_string();
        let length = whole.len() - usize::from(message.code().is_some());
        assert!(line.starts_with(&format!("{letter}\t{length}\t")), "{line}");
        all.push_str(&line);
    }
    all
}

fn frame(whole: &[u8]) -> Frame<'_> {
    Frame { code: MessageCode(whole[0]), body: &whole[5..] }
}

/// Checks a message with a code. Encodes the message, decodes the bytes as `$type` and as any message of the direction, and forwards the
/// bytes as a frame. Returns the bytes.
macro_rules! same {
    ($direction:ident, $type:ident, $message:expr) => {{
        let message = $message;
        let whole = encoded(&message);
        assert_eq!($type::decode(&whole[5..]), Ok(message));
        assert_eq!(frame(&whole).decode::<$type<'_>>(), Ok(message));
        let any = frame(&whole).$direction().expect("a message of its direction");
        assert_eq!(encoded(&any), whole);
        assert_eq!(encoded(&frame(&whole)), whole, "forwarded without decoding");
        assert_eq!(encoded(&frame(&whole).to_owned().frame()), whole, "owned, then forwarded");
        printed(&message, &whole);
        printed(&any, &whole);
        printed(&frame(&whole), &whole);
        whole
    }};
}

/// The type to which the bytes of a FunctionCall are decoded.
type Call<'a> = FunctionCall<EncodedParams<'a>>;

/// Checks a packet, which has no code: encodes the packet, and decodes the bytes as `$type` and as any packet. Returns the bytes.
macro_rules! same_packet {
    ($type:ident, $message:expr) => {{
        let message = $message;
        let whole = encoded(&message);
        assert_eq!($type::decode(&whole[4..]), Ok(message));
        let any = Initial::decode(&whole[4..]).expect("a packet");
        assert_eq!(encoded(&any), whole);
        printed(&message, &whole);
        printed(&any, &whole);
        whole
    }};
}

/// Runs the checks of `same` for each of these messages, which have no fields.
macro_rules! same_plain {
    ($direction:ident, $($message:ident)*) => {
        $({
            let message = $message {};
            let whole = encoded(&message);
            assert_eq!(whole.len(), 5);
            assert_eq!($message::decode(b""), Ok(message));
            let any = frame(&whole).$direction().expect("a message of its direction");
            assert_eq!(encoded(&any), whole);
            printed(&any, &whole);
        })*
    };
}

#[test]
fn messages_without_fields_keep_their_bytes() {
    same_plain!(frontend, Flush Sync CopyDone Terminate);
    same_plain!(backend, BindComplete CloseComplete CopyDone EmptyQueryResponse NoData ParseComplete PortalSuspended);
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn messages_with_statements_and_portals_keep_their_fields(a in text(), b in text(), types in vec(any::<u32>(), 0..10), code in any::<u8>(), number in any::<i32>()) {
        let (a, b) = (Text::from(&a[..]), Text::from(&b[..]));
        same!(frontend, Query, Query { sql: a });
        same!(frontend, CopyFail, CopyFail { reason: a });
        same!(frontend, Parse, Parse { statement: a, sql: b, types: List::from(&types[..]) });
        same!(frontend, Describe, Describe { target: Target::from(code), name: a });
        same!(frontend, Close, Close { target: Target::from(code), name: a });
        same!(frontend, Execute, Execute { portal: a, max_rows: number });
    }

    #[test]
    fn messages_with_parameters_keep_their_fields(
        portal in text(), statement in text(), values in values(), given in formats(), wanted in formats(), function in any::<u32>(),
    ) {
        let values = lent(&values);
        same!(frontend, Bind, Bind {
            portal: portal[..].into(),
            statement: statement[..].into(),
            parameters: EncodedParams { formats: List::from(&given[..]), values: Values::from(&values[..]) },
            result_formats: List::from(&wanted[..]),
        });
        same!(frontend, Call, FunctionCall {
            function,
            arguments: EncodedParams { formats: List::from(&given[..]), values: Values::from(&values[..]) },
            result_format: wanted.first().copied().unwrap_or_default(),
        });
    }

    #[test]
    fn rows_and_descriptions_keep_their_fields(
        values in values(),
        names in vec((text(), any::<(u32, i16, u32, i16, i32, u16)>()), 0..6),
        types in vec(any::<u32>(), 0..10),
    ) {
        let lent = lent(&values);
        let whole = same!(backend, DataRow, DataRow { values: Values::from(&lent[..]) });
        let row: DataRow<'_> = frame(&whole).decode().expect("a row");
        row.values.validate().expect("a whole row");
        prop_assert_eq!(row.values.len(), values.len());
        for (index, value) in values.iter().enumerate() {
            prop_assert_eq!(row.values.get(index), Ok(Some(value.as_deref())));
        }
        prop_assert_eq!(row.values.get(values.len()), Ok(None));
        // If a row has one byte more or less, reading its values is an error.
        let more = [&whole[5..], &[0]].concat();
        let error = DataRow::decode(&more).expect("decoding does not read the columns").values.validate().expect_err("a byte is left");
        prop_assert_eq!((error.kind, error.offset), (DecodeErrorKind::Trailing, whole.len() - 5));
        if !values.is_empty() {
            let less = DataRow::decode(&whole[5..whole.len() - 1]).expect("decoding does not read the columns");
            prop_assert_eq!(less.values.validate().expect_err("a byte is missing").kind, DecodeErrorKind::Short);
        }
        let one = values.first().cloned().flatten();
        same!(backend, FunctionCallResponse, FunctionCallResponse { value: one.as_deref() });

        let fields: Vec<_> = names.iter().map(|(name, (table, attribute, type_oid, type_len, type_modifier, format))| {
            FieldDescription {
                name: name[..].into(),
                table: *table,
                attribute: *attribute,
                type_oid: *type_oid,
                type_len: *type_len,
                type_modifier: *type_modifier,
                format: (*format).into(),
            }
        }).collect();
        same!(backend, RowDescription, RowDescription { fields: List::from(&fields[..]) });
        same!(backend, ParameterDescription, ParameterDescription { types: List::from(&types[..]) });
    }

    #[test]
    fn messages_of_a_copy_keep_their_fields(data in bytes(), form in any::<u8>(), columns in formats()) {
        same!(frontend, CopyData, CopyData { data: Payload(&data) });
        same!(backend, CopyData, CopyData { data: Payload(&data) });
        let (format, columns) = (CopyFormat::from(form), List::from(&columns[..]));
        same!(backend, CopyInResponse, CopyInResponse { format, columns });
        same!(backend, CopyOutResponse, CopyOutResponse { format, columns });
        same!(backend, CopyBothResponse, CopyBothResponse { format, columns });
    }

    #[test]
    fn errors_and_notices_keep_every_field(fields in error_fields()) {
        let given = fields_of(&fields);
        let error = ErrorResponse { fields: ErrorFields::from(&given[..]) };
        let notice = NoticeResponse { fields: ErrorFields::from(&given[..]) };
        let whole = same!(backend, ErrorResponse, error);
        same!(backend, NoticeResponse, notice);

        let back = ErrorResponse::decode(&whole[5..]).expect("well-formed");
        prop_assert!(back.fields.iter().eq(given.iter().copied()));
        // Checks that an owned copy has the same fields.
        let kept = back.to_owned();
        prop_assert_eq!(encoded(&ErrorResponse { fields: kept.fields() }), &whole[..]);
        let _ = format!("{back} {kept} {kept:?} {:?} {:?}", kept.sqlstate(), kept.fields().position());
    }

    #[test]
    fn other_messages_of_the_server_keep_their_fields(a in text(), b in text(), pid in any::<i32>(), status in any::<u8>(), version in any::<u32>(), names in vec(text(), 0..6)) {
        let (a, b) = (Text::from(&a[..]), Text::from(&b[..]));
        let complete = CommandComplete { tag: a };
        same!(backend, CommandComplete, complete);
        let _ = (complete.rows(), complete.command());
        same!(backend, ParameterStatus, ParameterStatus { name: a, value: b });
        same!(backend, NotificationResponse, NotificationResponse { pid, channel: a, payload: b });
        let ready = ReadyForQuery { status: TransactionStatus::from(status) };
        let whole = encoded(&ready);
        prop_assert_eq!(ReadyForQuery::decode(&whole[5..]), Ok(ready));
        prop_assert_eq!(frame(&whole).backend(), Ok(Backend::from(ready)));
        let names = texts(&names);
        same!(backend, NegotiateProtocolVersion, NegotiateProtocolVersion {
            version: ProtocolVersion(version),
            unrecognized: List::from(&names[..]),
        });
    }

    #[test]
    fn messages_of_authentication_keep_their_fields(data in bytes(), salt in any::<[u8; 4]>(), kind in any::<u32>(), names in vec(vec(1u8..=255, 1..24), 0..5), mechanism in text()) {
        use Authentication as A;
        let names = texts(&names);
        let secret = Secret(&data);
        let mut all = vec![
            A::Ok, A::KerberosV5, A::CleartextPassword, A::Md5Password { salt }, A::ScmCredential, A::Gss,
            A::GssContinue(secret), A::Sspi, A::Sasl(Terminated::from(&names[..])), A::SaslContinue(secret),
            A::SaslFinal(secret),
        ];
        if !(0..=12).contains(&kind) {
            all.push(A::Unknown { kind, data: secret });
        }
        for kind in [1, 4, 13, u32::MAX] {
            all.push(A::Unknown { kind, data: secret });
        }
        for authentication in all {
            let whole = same!(backend, Authentication, authentication);
            prop_assert_eq!(&whole[5..9], authentication.kind().to_be_bytes());
        }

        same!(backend, BackendKeyData, BackendKeyData { pid: kind.cast_signed(), key: secret });
        let whole = same!(frontend, SaslResponse, SaslResponse { data: secret });
        prop_assert_eq!(same!(frontend, GssResponse, GssResponse { data: secret }), whole.clone());
        prop_assert_eq!(same!(frontend, AuthenticationResponse, AuthenticationResponse { body: secret }), whole);
        for data in [None, Some(secret)] {
            same!(frontend, SaslInitialResponse, SaslInitialResponse { mechanism: mechanism[..].into(), data });
        }
        let password = PasswordMessage { password: SecretText(mechanism[..].into()) };
        let whole = same!(frontend, PasswordMessage, password);
        let any = AuthenticationResponse::decode(&whole[5..]).expect("any body is valid");
        prop_assert_eq!(any.decode_as(), Ok(password));
    }

    #[test]
    fn packets_without_a_code_keep_their_fields(
        version in any::<u32>(),
        parameters in vec((vec(1u8..=255, 1..24), text()), 0..6),
        pid in any::<i32>(),
        key in vec(any::<u8>(), 4..=256),
    ) {
        // 1234.5678, 1234.5679 and 1234.5680 are request codes, not versions.
        let version = ProtocolVersion(version);
        prop_assume!(version.major() != 1234);
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| (Text::from(&name[..]), Text::from(&value[..]))).collect();
        same_packet!(StartupMessage, StartupMessage { version, parameters: Terminated::from(&parameters[..]) });
        same_packet!(CancelRequest, CancelRequest { pid, key: Secret(&key) });
        same_packet!(SslRequest, SslRequest {});
        same_packet!(GssEncRequest, GssEncRequest {});
    }

    #[test]
    fn an_unknown_code_is_preserved(code in any::<u8>(), body in bytes()) {
        let given = Frame { code: MessageCode(code), body: &body };
        let whole = encoded(&given);
        prop_assert_eq!(frame(&whole), given);
        match given.backend() {
            Ok(Backend::Unknown(same)) => {
                prop_assert_eq!(same, given);
                prop_assert!(!Backend::CODES.contains(&given.code));
            }
            _ => prop_assert!(Backend::CODES.contains(&given.code)),
        }
        match given.frontend() {
            Ok(Frontend::Unknown(same)) => {
                prop_assert_eq!(same, given);
                prop_assert!(!Frontend::CODES.contains(&given.code));
            }
            _ => prop_assert!(Frontend::CODES.contains(&given.code)),
        }
    }
}

/// Generates bodies that a hostile peer may send. In most bodies, the lengths and counts do not match the actual bytes.
fn hostile() -> impl Strategy<Value = Bytes> {
    let byte = prop_oneof![4 => Just(0u8), 2 => 1u8..5, 1 => Just(0xff), 1 => Just(0x7f), 1 => any::<u8>(), 1 => 32u8..127];
    prop_oneof![vec(byte, 0..40), vec(any::<u8>(), 0..12), damaged()]
}

/// Generates damaged bodies: in a well-formed body, a piece is removed, replaced or inserted.
fn damaged() -> impl Strategy<Value = Bytes> {
    let whole = prop_oneof![
        (text(), text(), values(), formats(), formats()).prop_map(
            |(portal, statement, values, given, wanted)| {
                let values = lent(&values);
                encoded(&Bind {
                    portal: portal[..].into(),
                    statement: statement[..].into(),
                    parameters: EncodedParams {
                        formats: List::from(&given[..]),
                        values: Values::from(&values[..]),
                    },
                    result_formats: List::from(&wanted[..]),
                })
            }
        ),
        values().prop_map(|values| encoded(&DataRow { values: Values::from(&lent(&values)[..]) })),
        error_fields().prop_map(|fields| encoded(&ErrorResponse {
            fields: ErrorFields::from(&fields_of(&fields)[..])
        })),
        (text(), text(), vec(any::<u32>(), 0..10)).prop_map(|(a, b, types)| {
            encoded(&Parse { statement: a[..].into(), sql: b[..].into(), types: List::from(&types[..]) })
        }),
        (text(), any::<(u32, i16, u32)>()).prop_map(|(name, (table, attribute, type_oid))| {
            let field =
                FieldDescription { name: name[..].into(), table, attribute, type_oid, ..Default::default() };
            encoded(&RowDescription { fields: List::from(&[field, field]) })
        }),
        vec(text(), 0..6).prop_map(|names| {
            encoded(&NegotiateProtocolVersion {
                version: ProtocolVersion::V3_2,
                unrecognized: List::from(&texts(&names)[..]),
            })
        }),
    ];
    (whole, any::<prop::sample::Index>(), 0usize..4, bytes()).prop_map(|(whole, at, cut, put)| {
        let mut body = whole[5..].to_vec();
        let at = at.index(body.len() + 1);
        let to = (at + cut).min(body.len());
        body.splice(at..to, put.into_iter().take(cut));
        body
    })
}

/// Checks that a decoded message can be printed, and that encoding the message returns its body.
#[track_caller]
fn encodes_to_its_body(message: &(impl Message + Debug), body: &[u8]) {
    let mut whole = Vec::new();
    message.encode(&mut whole).expect("a decoded message can be encoded");
    let head = if message.code().is_some() { 5 } else { 4 };
    assert_eq!(whole[head..].escape_ascii().to_string(), body.escape_ascii().to_string(), "{message:?}");
    printed(message, &whole);
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn random_bodies_with_every_code_are_an_error_or_keep_their_bytes(body in hostile()) {
        for code in 0..=255 {
            let frame = Frame { code: MessageCode(code), body: &body };
            if let Ok(message) = frame.backend() {
                encodes_to_its_body(&message, &body);
            }
            if let Ok(message) = frame.frontend() {
                encodes_to_its_body(&message, &body);
            }
        }
        if let Ok(message) = SaslInitialResponse::decode(&body) {
            encodes_to_its_body(&message, &body);
        }
        if let Ok(message) = PasswordMessage::decode(&body) {
            encodes_to_its_body(&message, &body);
        }
        // Decoding a row does not read its columns. The only possible error is a missing count.
        prop_assert_eq!(DataRow::decode(&body).is_ok(), body.len() >= 2);
        if let Ok(row) = DataRow::decode(&body) {
            let mut values = row.values.iter();
            let seen = values.by_ref().take(70_000).count();
            prop_assert!(seen <= usize::from(u16::MAX) + 1);
            prop_assert!(values.next().is_none());
            prop_assert_eq!(row.values.validate().is_ok(), row.values.iter().all(|value| value.is_ok()));
            for error in row.values.iter().filter_map(Result::err) {
                prop_assert!((2..=body.len()).contains(&error.offset), "{error} in {}", body.len());
            }
        }
    }

    #[test]
    fn random_first_packets_are_an_error_or_keep_their_bytes(code in prop_oneof![Just(80_877_102u32), Just(80_877_103), Just(80_877_104), Just(196_608), any::<u32>()], rest in hostile()) {
        let body = [&code.to_be_bytes()[..], &rest].concat();
        for body in [&body[..], &rest] {
            if let Ok(packet) = Initial::decode(body) {
                encodes_to_its_body(&packet, body);
            }
        }
    }

    #[test]
    fn the_offset_of_an_error_is_within_the_body(body in hostile(), code in any::<u8>()) {
        let frame = Frame { code: MessageCode(code), body: &body };
        for error in [frame.backend().err(), frame.frontend().err()].into_iter().flatten() {
            prop_assert!(error.offset <= body.len(), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed(before in vec(any::<u8>(), 0..20), after in vec(any::<u8>(), 0..20), pid in any::<i32>()) {
        const MARK: &str = "hunter2hunter2";
        let secret = [&before[..], MARK.as_bytes(), &after].concat();
        let password: Bytes = secret.iter().copied().filter(|byte| *byte != 0).collect();
        let numbers = format!("{:?}", MARK.as_bytes());
        let lines = format!("{:#?}", MARK.as_bytes());
        let hide = |message: &dyn Fn(&mut String)| {
            let mut text = String::new();
            message(&mut text);
            assert!(!text.is_empty());
            for mark in [MARK, numbers.trim_matches(['[', ']']), lines.trim_matches(['[', ']', '\n', ' '])] {
                assert!(!text.contains(mark), "{text}");
            }
        };
        fn show(text: &mut String, message: &(impl Message + Debug)) {
            let mut whole = Vec::new();
            message.encode(&mut whole).expect("valid");
            text.push_str(&printed(message, &whole));
            if message.code().is_some() {
                let frame = frame(&whole);
                text.push_str(&printed(&frame, &whole));
                text.push_str(&format!("{:?}", frame.to_owned()));
                text.push_str(&printed(&frame.backend().expect("a message"), &whole));
                text.push_str(&printed(&frame.frontend().expect("a message"), &whole));
            } else {
                text.push_str(&printed(&Initial::decode(&whole[4..]).expect("a packet"), &whole));
            }
            let mut outbox = Outbox::new(1024);
            outbox.put(message);
            let mut inbox = pg_wire::Inbox::new(pg_wire::Limits::BACKEND);
            inbox.extend(&whole);
            text.push_str(&format!("{outbox:?} {inbox:#?} {:?}", inbox.head()));
        }
        let secret = Secret(&secret);
        hide(&|text| show(text, &PasswordMessage { password: SecretText(password[..].into()) }));
        hide(&|text| show(text, &SaslInitialResponse { mechanism: "PLAIN".into(), data: Some(secret) }));
        hide(&|text| show(text, &SaslResponse { data: secret }));
        hide(&|text| show(text, &GssResponse { data: secret }));
        hide(&|text| show(text, &AuthenticationResponse { body: secret }));
        hide(&|text| show(text, &BackendKeyData { pid, key: secret }));
        hide(&|text| show(text, &CancelRequest { pid, key: secret }));
        hide(&|text| show(text, &Authentication::GssContinue(secret)));
        hide(&|text| show(text, &Authentication::SaslContinue(secret)));
        hide(&|text| show(text, &Authentication::SaslFinal(secret)));
        hide(&|text| show(text, &Authentication::Unknown { kind: 99, data: secret }));
    }
}

#[test]
fn counts_up_to_65535_are_accepted() {
    let values = vec![Some(&b""[..]); 65_536];
    let formats = vec![FormatCode::Other(7); 65_536];
    let types = vec![0; 65_536];
    let mut out = Vec::new();
    for (count, good) in [(65_535, true), (65_536, false)] {
        let row = DataRow { values: Values::from(&values[..count]) };
        let columns = CopyInResponse { format: CopyFormat::Binary, columns: List::from(&formats[..count]) };
        let description = ParameterDescription { types: List::from(&types[..count]) };
        assert_eq!(row.encode(&mut out).is_ok(), good);
        assert_eq!(columns.encode(&mut out).is_ok(), good);
        assert_eq!(description.encode(&mut out).is_ok(), good);
        if good {
            let whole = out.split_off(0);
            let mut inbox = pg_wire::Inbox::new(pg_wire::Limits::BACKEND.control(1 << 20));
            inbox.extend(&whole);
            let mut again = Vec::new();
            while let Some(frame) = inbox.next().expect("within the limits") {
                frame.backend().expect("well-formed").encode(&mut again).expect("valid");
            }
            assert_eq!(again, whole);
        } else {
            assert_eq!(out, b"", "a rejected message leaves no bytes");
        }
    }
}
