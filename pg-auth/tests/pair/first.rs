//! Tests of the packets before the start-up message, and of invalid first packets.

use pg_auth::error::{AuthError, ClientError};
use pg_auth::{Accept, AcceptStep, TlsInfo};
use pg_wire::frontend::ProtocolVersion;
use pg_wire::{Inbox, Limits, Outbox};

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const STARTUP: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0user\0\0";

/// The server's answer to these packets, and whether the server then begins the authentication.
fn received(accept: Accept, packets: &[&[u8]]) -> (Vec<u8>, Result<bool, AuthError>) {
    let (mut inbox, mut outbox) = (Inbox::new(Limits::FRONTEND), Outbox::new(1024));
    inbox.extend(&packets.concat());
    let mut accept = accept;
    let step = accept.step(&mut inbox, &mut outbox).map(|step| matches!(step, AcceptStep::Authenticate(_)));
    outbox.commit().expect("the message can be encoded");
    (outbox.pending().to_vec(), step)
}

#[test]
fn each_kind_of_encryption_is_declined_once_in_any_order() {
    for (packets, sent) in [
        (&[STARTUP][..], &b""[..]),
        (&[SSL, STARTUP], b"N"),
        (&[GSS, STARTUP], b"N"),
        (&[SSL, GSS, STARTUP], b"NN"),
        (&[GSS, SSL, STARTUP], b"NN"),
    ] {
        assert_eq!(received(Accept::new(), packets), (sent.to_vec(), Ok(true)));
    }
}

#[test]
fn a_repeated_request_for_encryption_is_an_unsupported_version() {
    for (packets, version) in [
        (&[SSL, SSL][..], 0x04d2_162f),
        (&[GSS, GSS], 0x04d2_1630),
        (&[SSL, GSS, SSL], 0x04d2_162f),
        (&[GSS, SSL, GSS], 0x04d2_1630),
    ] {
        let (sent, error) = received(Accept::new(), packets);
        assert_eq!(error, Err(ClientError::UnsupportedVersion(ProtocolVersion(version)).into()));
        let words = b"unsupported frontend protocol 1234.";
        assert!(sent.windows(words.len()).any(|window| window == words));
    }
    // Over TLS, even the first request for encryption counts as a start-up message with an unsupported version.
    for request in [SSL, GSS] {
        let (_, error) = received(Accept::new().tls(TlsInfo::default()), &[request]);
        assert!(matches!(error, Err(AuthError::Client(ClientError::UnsupportedVersion(_)))));
    }
}

#[test]
fn a_first_packet_has_the_same_longest_length_as_in_postgresql() {
    let startup = |length: usize| {
        let value = "x".repeat(length - b"\0\0\0\0\0\x03\0\0user\0user\0options\0\0\0".len());
        let length = u32::try_from(length).expect("the length fits into 32 bits");
        [&length.to_be_bytes()[..], b"\0\x03\0\0user\0user\0options\0", value.as_bytes(), b"\0\0"].concat()
    };
    assert_eq!(received(Accept::new(), &[&startup(10_004)]), (Vec::new(), Ok(true)));
    assert_eq!(
        received(Accept::new(), &[&startup(10_005)]),
        (Vec::new(), Err(ClientError::PacketLength(10_005).into()))
    );
}

#[test]
fn the_error_for_an_invalid_first_packet_names_its_length() {
    // The client sends Terminate as its first packet. The server reads the code of Terminate as the first byte of a length.
    let (sent, error) = received(Accept::new(), &[b"X\0\0\0\x04"]);
    assert_eq!(sent, b"", "PostgreSQL closes without an answer");
    assert_eq!(
        error.expect_err("an invalid packet").to_string(),
        "the client's first packet claims 1476395008 bytes: the client does not use the PostgreSQL protocol"
    );
    for claimed in [0, 3, -1, i32::MIN, i32::MAX] {
        let (sent, error) = received(Accept::new(), &[&claimed.to_be_bytes()]);
        assert_eq!((sent, error), (Vec::new(), Err(ClientError::PacketLength(claimed).into())));
    }
    let (sent, error) = received(Accept::new(), &[b"\x16\x03\x01\x02\0\x01"]);
    assert_eq!((sent, error), (Vec::new(), Err(ClientError::DirectTls.into())));
}

#[test]
fn a_query_before_the_end_of_authentication_is_an_error() {
    let (mut inbox, mut outbox) = (Inbox::new(Limits::FRONTEND), Outbox::new(1024));
    let mut accept = Accept::new();
    inbox.extend(&[STARTUP, b"Q\0\0\0\x0dselect 1\0"].concat());
    assert!(matches!(accept.step(&mut inbox, &mut outbox), Ok(AcceptStep::Authenticate(_))));
    let credentials = pg_auth::Credentials::Cleartext(pg_auth::StoredPassword::Plain("x".into()));
    accept.authenticate(credentials, &mut inbox, &mut outbox).expect("the request can be sent");
    let error = accept.step(&mut inbox, &mut outbox).expect_err("Query is no answer");
    assert_eq!(
        error.to_string(),
        "the client sent Query where an answer to the request for authentication was expected"
    );
}
