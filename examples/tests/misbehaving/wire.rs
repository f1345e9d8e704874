//! Bytes of valid and invalid messages.

/// The bytes of an SSLRequest.
pub(crate) const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
/// The bytes of a GSSENCRequest.
pub(crate) const GSSENC_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
/// AuthenticationOk.
pub(crate) const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
/// ReadyForQuery outside of a transaction.
pub(crate) const READY: &[u8] = b"Z\0\0\0\x05I";
/// BackendKeyData with a key of four bytes.
pub(crate) const KEY: &[u8] = b"K\0\0\0\x0c\0\0\x12\x67\xc0\xff\xee\x99";

/// Encodes a message with the correct value in its length field.
pub(crate) fn message(code: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    announced(code, i32::try_from(body.len() + 4).expect("a short message"), body)
}

/// Encodes a message with `length` in its length field. `length` may differ from the real length.
pub(crate) fn announced(code: u8, length: i32, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&[code][..], &length.to_be_bytes(), body.as_ref()].concat()
}

/// Encodes a packet without a code, as at the start of a connection.
pub(crate) fn packet(body: impl AsRef<[u8]>) -> Vec<u8> {
    message(0, body).split_off(1)
}

/// Encodes a start-up message of protocol 3.0 with these parameters, written as `name\0value\0…`.
pub(crate) fn startup(parameters: &str) -> Vec<u8> {
    packet([b"\0\x03\0\0", parameters.as_bytes(), b"\0"].concat())
}

/// Encodes an authentication request of this kind.
pub(crate) fn auth(kind: u32, rest: impl AsRef<[u8]>) -> Vec<u8> {
    message(b'R', [&kind.to_be_bytes()[..], rest.as_ref()].concat())
}

/// Encodes the authentication request for the password in clear text.
pub(crate) fn cleartext() -> Vec<u8> {
    auth(3, b"")
}

/// Encodes the authentication request for an MD5 response.
pub(crate) fn md5() -> Vec<u8> {
    auth(5, b"salt")
}

/// Encodes the authentication request that offers these SASL mechanisms.
pub(crate) fn sasl(mechanisms: &[&str]) -> Vec<u8> {
    let names: String = mechanisms.iter().map(|name| format!("{name}\0")).collect();
    auth(10, names + "\0")
}

/// Encodes a NegotiateProtocolVersion. `count` is the value of the field that counts the unsupported options. `count` may differ from the
/// number of `names`.
pub(crate) fn negotiate(major: u16, minor: u16, count: i32, names: &str) -> Vec<u8> {
    let version = [major.to_be_bytes(), minor.to_be_bytes()].concat();
    message(b'v', [&version, &count.to_be_bytes()[..], names.as_bytes()].concat())
}

/// Encodes an ErrorResponse (code `E`) or a NoticeResponse (code `N`).
pub(crate) fn report(code: u8, severity: &str, state: &str, text: &str) -> Vec<u8> {
    message(code, format!("S{severity}\0V{severity}\0C{state}\0M{text}\0\0"))
}

/// Encodes a fatal ErrorResponse.
pub(crate) fn fatal(state: &str, text: &str) -> Vec<u8> {
    report(b'E', "FATAL", state, text)
}

/// Encodes a NoticeResponse.
pub(crate) fn notice(text: &str) -> Vec<u8> {
    report(b'N', "WARNING", "01000", text)
}

/// Encodes a ParameterStatus.
pub(crate) fn parameter(name: &str, value: &str) -> Vec<u8> {
    message(b'S', format!("{name}\0{value}\0"))
}

/// Encodes a NotificationResponse.
pub(crate) fn notification(payload: &str) -> Vec<u8> {
    message(b'A', [&7_i32.to_be_bytes()[..], format!("channel\0{payload}\0").as_bytes()].concat())
}

/// Encodes AuthenticationOk and the messages after it in a valid login, up to ReadyForQuery.
pub(crate) fn welcome() -> Vec<u8> {
    [OK, &parameter("server_version", "18.0"), KEY, READY].concat()
}
