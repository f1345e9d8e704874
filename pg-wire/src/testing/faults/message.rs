//! Finds messages, their names and their counts in the bytes of one direction.

use alloc::string::String;
use core::ops::Range;

use crate::basic::code::MessageCode;
use crate::codec::message::Direction;
use crate::message::frontend::Initial;
use crate::testing::faults::fault::Which;
use crate::testing::transcript::Decoder;

/// The first byte of a TLS handshake. No packet begins with this byte: the length of such a packet would be at least 369 MB, and PostgreSQL
/// rejects packets of more than 10,000 bytes.
const TLS_HANDSHAKE: u8 = 0x16;

/// The kind of the bytes at the beginning of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// At least this many bytes are needed to decide.
    Need(usize),
    /// The one-byte answer of a server to a request for encryption.
    Answer(u8),
    /// A message or packet with this number of bytes. A packet has no code.
    Message(Option<MessageCode>, usize),
    /// These bytes and all later bytes are no messages: they are encrypted, or follow an invalid header.
    Opaque,
}

/// Finds the message, packet or one-byte answer at the beginning of `bytes`. `first` is true until the first message with a code. Packets
/// and one-byte answers are possible only before this message.
///
/// The first message of a server is neither a NoticeResponse nor a ParameterStatus. So before the first message, the bytes `N` and `S`,
/// which are the codes of these two messages, are one-byte answers.
pub(super) fn next_unit(sender: Direction, bytes: &[u8], first: bool) -> Unit {
    let code = match (bytes.first(), sender) {
        (None, _) => return Unit::Need(1),
        (Some(&TLS_HANDSHAKE), Direction::Frontend) if first => return Unit::Opaque,
        (Some(0), Direction::Frontend) if first => None,
        (Some(&answer @ (b'N' | b'S' | b'G')), Direction::Backend) if first => return Unit::Answer(answer),
        (Some(&code), _) => Some(MessageCode(code)),
    };
    let start = usize::from(code.is_some());
    let Some(length) = bytes.get(start..).and_then(<[u8]>::first_chunk) else {
        return Unit::Need(start + 4);
    };
    let length = i32::from_be_bytes(*length);
    let most = if code.is_some() { i32::MAX as usize } else { Initial::MAX_LENGTH };
    match usize::try_from(length) {
        Ok(length) if length >= 4 && length <= most => Unit::Message(code, start + length),
        _ => Unit::Opaque,
    }
}

/// Returns the name of a message or packet if the name depends on the body. Returns `None` if the name is known from the code.
pub(super) fn name_in_body(sender: Direction, code: Option<MessageCode>, body: &[u8]) -> Option<String> {
    let decoder = match code {
        None => Decoder::Packet,
        Some(MessageCode::AUTHENTICATION) if sender == Direction::Backend => {
            Decoder::Frame(sender, MessageCode::AUTHENTICATION)
        }
        Some(_) => return None,
    };
    decoder.decode(body).ok().map(|decoded| decoded.name)
}

/// Whether the name of a message with this code depends on its body.
pub(super) fn is_named_by_body(sender: Direction, code: Option<MessageCode>) -> bool {
    code.is_none() || sender == Direction::Backend && code == Some(MessageCode::AUTHENTICATION)
}

/// Returns the messages with this name; `None` if no message of this side has the name.
pub(super) fn named(sender: Direction, name: &str) -> Option<Which> {
    let code = Decoder::named(sender, name)?.code();
    // `Decoder::named` accepts every name that begins with "Authentication". `is_authentication` decodes each kind, and so detects a name
    // that no kind has.
    if code == Some(MessageCode::AUTHENTICATION) && sender == Direction::Backend && !is_authentication(name) {
        return None;
    }
    Some(Which::Named(name.into(), code))
}

/// Whether a kind of Authentication has this name. Each kind is decoded with bodies of different lengths, because the kinds have different
/// fields.
fn is_authentication(name: &str) -> bool {
    const BODIES: [&[u8]; 3] = [b"", b"\0\0\0\0", b"a\0\0"];
    let decoder = Decoder::Frame(Direction::Backend, MessageCode::AUTHENTICATION);
    (0..=u8::MAX).any(|kind| {
        BODIES.iter().any(|rest| {
            let body = [&[0, 0, 0, kind], *rest].concat();
            decoder.decode(&body).is_ok_and(|decoded| decoded.name == name)
        })
    })
}

/// Returns the place of the count of columns, parameters or formats in the body of a message. Returns `None` if the message has no count of
/// 2 bytes, or ends before its count.
pub(super) fn count_in(sender: Direction, code: MessageCode, body: &[u8]) -> Option<Range<usize>> {
    let start = match (sender, code) {
        (
            Direction::Backend,
            MessageCode::ROW_DESCRIPTION | MessageCode::DATA_ROW | MessageCode::PARAMETER_DESCRIPTION,
        ) => 0,
        // The count is after one byte with the format.
        (
            Direction::Backend,
            MessageCode::COPY_IN_RESPONSE | MessageCode::COPY_OUT_RESPONSE | MessageCode::COPY_BOTH_RESPONSE,
        ) => 1,
        // The count is after two strings.
        (Direction::Frontend, MessageCode::PARSE | MessageCode::BIND) => {
            let (first, _) = body.iter().enumerate().filter(|(_, byte)| **byte == 0).nth(1)?;
            first + 1
        }
        // The count is after an object id.
        (Direction::Frontend, MessageCode::FUNCTION_CALL) => 4,
        _ => return None,
    };
    (start + 2 <= body.len()).then_some(start..start + 2)
}

/// Whether messages with this code have a count of 2 bytes.
pub(super) fn has_count(sender: Direction, code: MessageCode) -> bool {
    count_in(sender, code, &[0; 6]).is_some()
}
