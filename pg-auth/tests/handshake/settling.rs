//! Tests of the messages between AuthenticationOk and ReadyForQuery, and of the limits on the data that the client keeps from these
//! messages.

use pg_auth::config::ProtocolVersion;
use pg_auth::error::{AuthError, PeerError, Refusal, WireError};
use pg_auth::{Link, Session};
use pg_wire::backend::{
    Authentication as Auth, BackendKeyData, ErrorField, ErrorFields, ErrorResponse, NoticeResponse,
    NotificationResponse, ParameterStatus,
};
use pg_wire::{Limits, MessageCode, SqlState, codec::Secret, error::FrameErrorKind};

use crate::support::*;

fn in_already(config: &pg_auth::Config) -> Talk<'_> {
    let mut talk = Talk::new(config, Link::Tcp);
    talk.sent();
    talk.server(&Auth::Ok)
}

fn key(bytes: &[u8]) -> BackendKeyData<'_> {
    BackendKeyData { pid: -7, key: Secret(bytes) }
}

#[test]
fn a_key_has_the_length_of_its_protocol_version() {
    let bytes: Vec<u8> = (0..=255).chain(0..=255).map(|byte| byte ^ 0x5a).collect();
    for (version, good, bad) in [
        (ProtocolVersion::V3_0, &[4][..], &[0, 1, 3, 5, 8, 32, 256, 257, 512][..]),
        (ProtocolVersion::V3_2, &[4, 5, 32, 255, 256], &[0, 1, 3, 257, 512]),
    ] {
        let config = user().protocol_versions(ProtocolVersion::V3_0, version);
        for &length in good {
            let session = in_already(&config).server(&key(&bytes[..length])).server(&READY).session();
            let key = session.cancel_key.expect("a cancel key");
            assert_eq!((key.pid(), key.request().key.0), (-7, &bytes[..length]));
        }
        for &length in bad {
            in_already(&config).server(&key(&bytes[..length])).refused(PeerError::KeyLength(length));
        }
    }
}

#[test]
fn the_negotiated_version_decides_the_length_of_the_key() {
    let config = user().protocol_versions(ProtocolVersion::V3_0, ProtocolVersion::V3_2);
    let talk = || {
        let mut talk = Talk::new(&config, Link::Tcp);
        talk.sent();
        talk.server_bytes(b"v\0\0\0\x0c\0\x03\0\0\0\0\0\0").server(&Auth::Ok)
    };
    talk().server(&key(&[1; 32])).refused(PeerError::KeyLength(32));
    assert!(talk().server(&KEY).server(&READY).session().cancel_key.is_some());
}

#[test]
fn a_server_may_send_no_key() {
    assert_eq!(in_already(&user()).server(&READY).session().cancel_key, None);
}

#[test]
fn a_key_is_not_printed() {
    let session = in_already(&user()).server(&KEY).server(&READY).session();
    assert!(format!("{session:?}").contains("CancelKey { pid: 4711, .. }"));
    assert!(!shows(&format!("{session:?} {session:#?}"), KEY.key.0));
}

#[test]
fn parameters_are_kept_in_order_with_their_last_value() {
    let session = in_already(&user())
        .server(&parameter("server_version", "18.0"))
        .server(&parameter("TimeZone", "UTC"))
        .server(&parameter("odd one", ""))
        .server(&KEY)
        .server(&parameter("server_version", "18.1"))
        .server_bytes(b"S\0\0\0\x0cna\xefve\0\xff\0")
        .server(&READY)
        .session();
    assert!(session.parameters.iter().eq([
        ("server_version", "18.1"),
        ("TimeZone", "UTC"),
        ("odd one", ""),
        ("na\u{fffd}ve", "\u{fffd}"),
    ]));
    assert_eq!(session.parameters.len(), 4);
    assert_eq!(session.parameters.get("timezone"), None);
}

fn notice(message: &str) -> Vec<u8> {
    let fields = [ErrorField { code: b'M', value: message.into() }];
    encoded(&NoticeResponse { fields: ErrorFields::from(&fields) })
}

#[test]
fn notices_may_arrive_at_any_time_and_are_kept_in_order() {
    let config = with_password();
    let mut talk = Talk::new(&config, Link::Tcp).client_bytes(STARTUP).server_bytes(&notice("one"));
    talk = talk.server_bytes(&sasl(&["SCRAM-SHA-256"]));
    talk.sent();
    talk = talk.server_bytes(&notice("two"));
    talk = talk.server(&Auth::SaslContinue(Secret(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    )));
    talk.sent();
    let session = talk
        .server_bytes(&notice("three"))
        .server(&Auth::SaslFinal(Secret(b"v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg=")))
        .server_bytes(&notice("four"))
        .server(&Auth::Ok)
        .server_bytes(&notice("five"))
        .server(&READY)
        .session();
    let texts: Vec<String> = session.notices.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["one", "two", "three", "four", "five"]);
}

/// Sends messages to a client after AuthenticationOk, until the client fails. Returns the number of messages, and the error.
fn flood(message: impl Fn(u32) -> Vec<u8>) -> (u32, AuthError) {
    let config = user();
    let mut machine =
        Machine::new(pg_auth::Handshake::new(&config, Link::Tcp).expect("a valid configuration"));
    machine.sent();
    machine.receive(&encoded(&Auth::Ok), usize::MAX);
    for count in 0..1_000_000 {
        machine.receive(&message(count), usize::MAX);
        if let Some(outcome) = machine.outcome {
            return (count, outcome.expect_err("ReadyForQuery was not sent"));
        }
    }
    unreachable!("the client accepts any number of messages")
}

#[test]
fn the_data_that_the_client_keeps_is_limited() {
    let long = "x".repeat(20_000);
    let (count, error) = flood(|_| notice(&long));
    assert_eq!(error, PeerError::Flood.into());
    assert!((200..210).contains(&count), "{count}");
    let (count, error) = flood(|count| {
        let (name, value) = (count.to_string(), long.as_str());
        encoded(&ParameterStatus { name: (&name).into(), value: value.into() })
    });
    assert_eq!(error, PeerError::Flood.into());
    assert!((10..14).contains(&count), "{count}");
}

/// Checks that the limits also apply to small messages. In memory, a small message takes more bytes than on the wire. Repeated cancel keys
/// take no memory, but they take time to read, so they must reach a limit as well.
#[test]
fn an_endless_series_of_small_messages_is_a_flood() {
    let name = |count: u32| format!("{count:x}");
    for (count, error) in [
        flood(|_| b"N\0\0\0\x05\0".to_vec()),
        flood(|count| encoded(&ParameterStatus { name: (&name(count)).into(), value: "".into() })),
        flood(|_| encoded(&KEY)),
    ] {
        assert_eq!(error, PeerError::Flood.into());
        assert!((1000..70_000).contains(&count), "{count}");
    }
}

/// The limit for parameters is on the data that the client keeps, not on the bytes that the client receives.
#[test]
fn a_parameter_may_be_reported_any_number_of_times() {
    let config = user();
    let mut machine =
        Machine::new(pg_auth::Handshake::new(&config, Link::Tcp).expect("a valid configuration"));
    machine.sent();
    machine.receive(&encoded(&Auth::Ok), usize::MAX);
    let batch = encoded(&parameter("search_path", "public")).repeat(1000);
    for _ in 0..300 {
        machine.receive(&batch, usize::MAX);
    }
    machine.receive(&encoded(&READY), usize::MAX);
    let session = machine.outcome.expect("the conversation has ended").expect("a session");
    assert_eq!(session.parameters.len(), 1);
}

#[test]
fn a_notification_after_authentication_is_kept() {
    let notification = NotificationResponse { pid: 7, channel: "ch".into(), payload: "pl".into() };
    let session = in_already(&user()).server(&notification).server(&READY).session();
    let kept = session.notifications.first().expect("a notification");
    assert_eq!((kept.pid, kept.channel.as_str(), kept.payload.as_str()), (7, "ch", "pl"));
    Talk::new(&user(), Link::Tcp)
        .client_bytes(STARTUP)
        .server(&notification)
        .refused(unexpected("NotificationResponse", "a request for authentication"));
}

#[test]
fn a_notice_of_a_login_trigger_may_be_long() {
    let long = notice(&"n".repeat(40_000));
    let session = in_already(&user()).server_bytes(&long).server(&KEY).server(&READY).session();
    assert_eq!(session.notices.len(), 1);
    // Before authentication, a notice of more than 30,000 bytes is rejected. A parameter of more than 30,000 bytes is always rejected.
    let error = Talk::new(&user(), Link::Tcp).client_bytes(STARTUP).server_bytes(&long[..5]).error();
    assert!(error.to_string().contains("30000"), "{error}");
    let parameter = encoded(&ParameterStatus { name: "p".into(), value: "x".repeat(39_611).as_str().into() });
    let error = in_already(&user()).server_bytes(&parameter[..5]).error();
    assert!(error.to_string().contains("30000"), "{error}");
}

/// Checks that the state machine lowers the limits of the inbox at its start, and restores them at its end, after success and after
/// failure.
#[test]
fn limits_are_lowered_and_restored() {
    let config = user();
    for (words, ends_well) in [
        ([encoded(&Auth::Ok), encoded(&READY)].concat(), true),
        (b"E\0\0\0\x05\0".to_vec(), false),
        (b"E\x0c\0\0\0".to_vec(), false),
        (b"R\0\0\0\x04".to_vec(), false),
    ] {
        let (mut inbox, mut outbox) = (pg_wire::Inbox::new(Limits::BACKEND), pg_wire::Outbox::new(1024));
        let mut handshake = pg_auth::Handshake::new(&config, Link::Tcp).expect("a valid configuration");
        assert!(matches!(handshake.step(&mut inbox, &mut outbox), Ok(pg_auth::Step::Read)));
        assert_eq!((inbox.limits().bulk, inbox.limits().control), (30_000, 30_000));
        inbox.extend(&words);
        let end = handshake.step(&mut inbox, &mut outbox);
        assert_eq!(end.is_ok(), ends_well, "{end:?}");
        assert_eq!(*inbox.limits(), Limits::BACKEND);
    }
}

#[test]
fn many_notices_and_parameters_are_accepted() {
    let config = user();
    let mut talk = in_already(&config);
    for _ in 0..50 {
        talk = talk
            .server_bytes(&notice("a long notice, as one about a collation version mismatch, in some words"))
            .server(&parameter("search_path", "\"$user\", public"));
    }
    assert_eq!(talk.server(&READY).session().notices.len(), 50);
}

#[test]
fn an_error_response_ends_every_state_and_keeps_all_fields() {
    // An error whose text is not UTF-8. The error lacks the field `V`, like the errors of servers before PostgreSQL 9.6.
    let body = b"SFATAL\0C28P01\0MPa\xdfwort-Authentifizierung fehlgeschlagen\0Zunknown\0\0";
    let response = pg_wire::Frame { code: MessageCode::ERROR_RESPONSE, body };
    let config = with_password();
    for steps in 0..5 {
        let mut talk = Talk::new(&config, Link::Tcp).client_bytes(STARTUP);
        for step in 0..steps {
            talk = match step {
                0 => talk.server_bytes(&sasl(&["SCRAM-SHA-256"])),
                1 => talk.server(&Auth::SaslContinue(Secret(
                    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                ))),
                2 => talk.server(&Auth::SaslFinal(Secret(b"v=3HO6Qt1M4MKJrmlKaoOqLAI0/0TV0HZe7J9H3MBtSOg="))),
                3 => talk.server(&Auth::Ok),
                _ => talk,
            };
            talk.sent();
        }
        let error = talk.server(&response).error();
        let AuthError::Server(Refusal::Response(response)) = &error else { panic!("{error:?}") };
        assert_eq!(response.fields().severity(), Some("FATAL".into()));
        assert_eq!(response.sqlstate(), Some(SqlState::INVALID_PASSWORD));
        assert_eq!(response.fields().get(b'Z'), Some("unknown".into()));
        assert_eq!(error.to_string(), "FATAL 28P01: Pa\u{fffd}wort-Authentifizierung fehlgeschlagen");
    }
}

#[test]
fn an_error_after_authentication_ok_ends_the_login() {
    let fields = [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "53300"), (b'M', "too many connections")];
    let fields = fields.map(|(code, value)| ErrorField { code, value: value.into() });
    in_already(&user())
        .server(&parameter("server_version", "18.0"))
        .server(&ErrorResponse { fields: ErrorFields::from(&fields) })
        .fails("FATAL 53300: too many connections");
}

#[test]
fn an_empty_error_response_is_accepted_and_a_malformed_one_is_not() {
    in_already(&user()).server_bytes(b"E\0\0\0\x05\0").fails("no error message available");
    for body in [&b"E\0\0\0\x04"[..], b"E\0\0\0\x05M", b"E\0\0\0\x07Mx\0", b"E\0\0\0\x06\0\0"] {
        in_already(&user()).server_bytes(body).refused_as_malformed("ErrorResponse");
    }
}

#[test]
fn an_oversized_frame_is_rejected_before_memory_is_allocated() {
    let config = user();
    for code in 0..=u8::MAX {
        for length in [30_005i32, 65_536, 0x3fff_ffff, i32::MAX] {
            let header = [&[code][..], &length.to_be_bytes()].concat();
            let talk = Talk::new(&config, Link::Tcp).client_bytes(STARTUP).server_bytes(&header);
            assert!(talk.inbox_capacity() <= 16 * 1024);
            let error = talk.error();
            let AuthError::Wire(WireError::Frame(error)) = error else { panic!("{error:?}") };
            assert!(matches!(error.kind, FrameErrorKind::TooLong { limit: 30_000, .. }));
        }
        for length in [3i32, 0, -1, i32::MIN] {
            let header = [&[code][..], &length.to_be_bytes()].concat();
            let error = Talk::new(&user(), Link::Tcp).client_bytes(STARTUP).server_bytes(&header).error();
            let AuthError::Wire(WireError::Frame(error)) = error else { panic!("{error:?}") };
            assert_eq!(error.kind, FrameErrorKind::BadLength { length });
        }
    }
}

#[test]
fn the_longest_allowed_frame_is_read() {
    let session = in_already(&user()).server_bytes(&notice(&"x".repeat(29_997))).server(&READY).session();
    assert_eq!(session.notices.len(), 1);
}

#[test]
fn bytes_after_ready_for_query_stay_in_the_inbox() {
    let config = user();
    let mut machine =
        Machine::new(pg_auth::Handshake::new(&config, Link::Tcp).expect("a valid configuration"));
    machine.sent();
    let stream = [encoded(&Auth::Ok), encoded(&READY), b"A\0\0\0".to_vec()].concat();
    machine.receive(&stream, usize::MAX);
    assert!(machine.is_ready());
    assert_eq!(machine.inbox.peek(), b"A\0\0\0");
}

#[test]
fn a_cloned_session_is_the_same() {
    let session: Session = in_already(&user()).server(&KEY).server(&READY).session();
    let again = session.clone();
    assert_eq!(again.cancel_key, session.cancel_key);
}
