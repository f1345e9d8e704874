//! Encodes lines of a transcript, and compares received messages with lines.
//!
//! This module has no list of messages. The decoder and [`Message::write`] of a message provide the name of the message, the
//! number of its fields and the widths of its fields.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::basic::code::MessageCode;
use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::text::Text;
use crate::codec::frame::Frame;
use crate::codec::message::{Decode, Direction, Message};
use crate::codec::writer::Writer;
use crate::message::backend::Backend;
use crate::message::frontend::{
    CancelRequest, Frontend, GssEncRequest, GssResponse, Initial, PasswordMessage, SaslInitialResponse,
    SaslResponse, SslRequest, StartupMessage,
};
use crate::testing::transcript::text::{ANY_NUMBER, Token, letter};

/// Selects the decoder for the body of a message.
#[derive(Clone, Copy)]
pub(in crate::testing) enum Decoder {
    /// A message with a code.
    Frame(Direction, MessageCode),
    /// One of the four messages that share the code of AuthenticationResponse. The name of the message selects the function.
    Response(fn(&[u8]) -> Result<Decoded, DecodeError>),
    /// A packet without a code. The first number in the body selects the decoder.
    Packet,
}

impl Decoder {
    /// Returns the decoder of the message that has this name in a trace.
    pub(in crate::testing) fn named(sender: Direction, name: &str) -> Option<Self> {
        fn response<'a, M: Decode<'a>>(body: &'a [u8]) -> Result<Decoded, DecodeError> {
            M::decode(body).map(|message| Decoded::new(Direction::Frontend, &message))
        }
        const PACKETS: [&str; 4] =
            [StartupMessage::NAME, SslRequest::NAME, GssEncRequest::NAME, CancelRequest::NAME];
        match (sender, name) {
            (Direction::Frontend, PasswordMessage::NAME) => {
                Some(Self::Response(|body| response::<PasswordMessage<'_>>(body)))
            }
            (Direction::Frontend, SaslInitialResponse::NAME) => {
                Some(Self::Response(|body| response::<SaslInitialResponse<'_>>(body)))
            }
            (Direction::Frontend, SaslResponse::NAME) => {
                Some(Self::Response(|body| response::<SaslResponse<'_>>(body)))
            }
            (Direction::Frontend, GssResponse::NAME) => {
                Some(Self::Response(|body| response::<GssResponse<'_>>(body)))
            }
            (Direction::Frontend, name) if PACKETS.contains(&name) => Some(Self::Packet),
            (Direction::Backend, name) if name.starts_with("Authentication") => {
                Some(Self::Frame(sender, MessageCode::AUTHENTICATION))
            }
            _ => Self::frame_named(sender, name),
        }
    }

    /// Finds the code whose message has this name. To get the name for a code, decodes an empty body with this code: the result is a
    /// message or an error, and both contain the name.
    fn frame_named(sender: Direction, name: &str) -> Option<Self> {
        let (codes, name_of): (_, fn(Frame<'_>) -> &'static str) = match sender {
            Direction::Frontend => (Frontend::CODES, |frame| {
                frame.frontend().map_or_else(|error| error.message, |message| message.name())
            }),
            Direction::Backend => (Backend::CODES, |frame| {
                frame.backend().map_or_else(|error| error.message, |message| message.name())
            }),
        };
        let code = codes.iter().copied().find(|&code| name_of(Frame { code, body: b"" }) == name)?;
        Some(Self::Frame(sender, code))
    }

    /// Returns the code of the message; `None` for a packet.
    pub(in crate::testing) fn code(self) -> Option<MessageCode> {
        match self {
            Self::Frame(_, code) => Some(code),
            Self::Response(_) => Some(MessageCode::AUTHENTICATION_RESPONSE),
            Self::Packet => None,
        }
    }

    /// Decodes the body of a message.
    pub(in crate::testing) fn decode(self, body: &[u8]) -> Result<Decoded, DecodeError> {
        match self {
            Self::Response(decode) => decode(body),
            Self::Packet => Initial::decode(body).map(|packet| Decoded::new(Direction::Frontend, &packet)),
            Self::Frame(Direction::Frontend, code) => {
                Frame { code, body }.frontend().map(|message| Decoded::new(Direction::Frontend, &message))
            }
            Self::Frame(Direction::Backend, code) => {
                let message = Frame { code, body }.backend()?;
                if let Backend::DataRow(row) = &message {
                    // `backend` does not read the values of a row, so `validate` checks them here.
                    row.values
                        .validate()
                        .map_err(|error| DecodeError { message: message.name(), ..error })?;
                }
                Ok(Decoded::new(Direction::Backend, &message))
            }
        }
    }

    /// Returns the trace of a body, or the text of the decoding error.
    pub(super) fn trace(self, body: &[u8]) -> String {
        self.decode(body).map_or_else(|error| error.to_string(), |decoded| decoded.trace)
    }

    /// Encodes the body of the message with the name `name` and the fields `fields`.
    pub(super) fn body(self, name: &str, fields: &[Token]) -> Result<Vec<u8>, String> {
        if self.code() != Some(MessageCode::AUTHENTICATION) {
            return self.body_after(Vec::new(), name, fields);
        }
        // The first field is the kind of Authentication, which a trace does not print. Try all kinds until the message has this name.
        (0..=u32::from(u8::MAX))
            .find_map(|kind| self.body_after(kind.to_be_bytes().to_vec(), name, fields).ok())
            .ok_or_else(|| format!("no kind of Authentication has the name {name} and these fields"))
    }

    /// Appends the fields to `body`, and then checks that the result is decoded as a message with the given name and fields.
    fn body_after(self, mut body: Vec<u8>, name: &str, fields: &[Token]) -> Result<Vec<u8>, String> {
        for (at, field) in fields.iter().enumerate() {
            self.append(&mut body, at + 1, field)?;
        }
        let error = match self.decode(&body) {
            Ok(decoded) if decoded.matches(name, fields) => return Ok(body),
            Ok(decoded) => format!("these fields form another message: {}", decoded.trace),
            Err(error) => error.to_string(),
        };
        // A trace does not print the terminator of a list or the salt of MD5. Try one to four zero bytes at the end of the
        // body.
        for length in body.len() + 1..body.len() + 5 {
            body.resize(length, 0);
            if self.decode(&body).is_ok_and(|decoded| decoded.matches(name, fields)) {
                return Ok(body);
            }
        }
        Err(error)
    }

    /// Appends one field. `number` is the position of the field, for error texts.
    fn append(self, body: &mut Vec<u8>, number: usize, field: &Token) -> Result<(), String> {
        let word = match field {
            Token::Word(word) => word,
            Token::Quoted { bytes, text } => {
                let start = body.len();
                body.extend(bytes);
                if *text || self.decode(body).is_err_and(|error| is_unterminated_at(&error, start)) {
                    body.push(0);
                }
                return Ok(());
            }
        };
        if word == "*" {
            return Err("the wildcard * cannot be sent".to_owned());
        }
        if word == ANY_NUMBER {
            return Err("NNNN matches any number and cannot be sent".to_owned());
        }
        match (word.parse::<i64>(), self.width(body), letter(word)) {
            (Ok(value), Some(width @ (2 | 4)), _) => {
                let limit = 1 << (8 * width);
                if value < -limit / 2 || value >= limit {
                    return Err(format!("{value} does not fit into {width} bytes"));
                }
                body.extend(value.to_be_bytes().iter().skip(8 - width));
                Ok(())
            }
            // A single digit can be a number or a character. If the field has one byte, the digit is a Byte1.
            (Err(_), _, Some(byte)) | (Ok(_), Some(1), Some(byte)) => {
                body.push(byte);
                Ok(())
            }
            (Err(_), ..) => Err(format!("field {number} must be a number: {word}")),
            (Ok(_), ..) => Err(format!("field {number} must not be a number: {word}")),
        }
    }

    /// Returns the width in bytes of the number that follows `body`. To find the width, appends zeros one by one, and decodes the bytes
    /// after each zero. Until the number is complete, the decoder returns an error at the offset of the number.
    fn width(self, body: &[u8]) -> Option<usize> {
        let start = body.len();
        if matches!(self, Self::Packet) && start < 4 {
            // A trace prints the request code as two numbers of 2 bytes.
            return Some(2);
        }
        let mut longer = body.to_vec();
        (1..=4).find(|width| {
            longer.resize(start + width, 0);
            self.decode(&longer).map_or_else(|error| error.offset > start, |_| true)
        })
    }
}

/// Whether `error` reports that the string at `offset` has no terminating NUL.
fn is_unterminated_at(error: &DecodeError, offset: usize) -> bool {
    error.kind == DecodeErrorKind::Unterminated && error.offset == offset
}

/// A decoded message: its name, and its fields. Secrets in `fields` are not masked.
pub(in crate::testing) struct Decoded {
    pub(in crate::testing) name: String,
    fields: Vec<Field>,
    /// Trace of the message, with secrets masked.
    pub(super) trace: String,
    /// Value of the length field.
    pub(super) length: usize,
}

/// A field of a decoded message.
enum Field {
    Byte1(u8),
    Int16(u16),
    Int32(u32),
    /// A string or bytes, and the mask. A line may contain the mask in place of the string. The mask is empty for a field that is not
    /// secret.
    Bytes(Vec<u8>, &'static [u8]),
}

impl Decoded {
    fn new(sender: Direction, message: &impl Message) -> Self {
        let mut decoded = Self {
            name: message.name().to_owned(),
            fields: Vec::new(),
            trace: message.trace(sender).to_string(),
            length: 4,
        };
        message.write(&mut decoded);
        decoded
    }

    /// Whether a line with this name and these fields matches the message.
    pub(super) fn matches(&self, name: &str, tokens: &[Token]) -> bool {
        let (tokens, open) = match tokens {
            [tokens @ .., Token::Word(star)] if star == "*" => (tokens, true),
            tokens => (tokens, false),
        };
        let count = self.fields.len();
        self.name == name
            && (tokens.len() == count || open && tokens.len() < count)
            && tokens
                .iter()
                .zip(&self.fields)
                .all(|(token, field)| field.matches(token) || self.varies(token))
    }

    /// Whether the token is a placeholder of libpq's regression mode for a value that differs from run to run: `'BBBB'` for
    /// data of a COPY, `"SSSS"` for a field of an error or notice.
    fn varies(&self, token: &Token) -> bool {
        let Token::Quoted { bytes, text } = token else { return false };
        match self.name.as_str() {
            "CopyData" => !text && bytes == b"BBBB",
            "ErrorResponse" | "NoticeResponse" => *text && bytes == b"SSSS",
            _ => false,
        }
    }

    fn push(&mut self, length: usize, field: Field) {
        self.length += length;
        self.fields.push(field);
    }
}

impl Field {
    fn matches(&self, token: &Token) -> bool {
        match (self, token) {
            (_, Token::Word(word)) if word == "*" => true,
            (Self::Int16(_) | Self::Int32(_), Token::Word(word)) if word == ANY_NUMBER => true,
            // libpq before 18 prints a cancel key as a number. So the placeholder for numbers must match the key.
            (Self::Bytes(_, mask), Token::Word(word)) if word == ANY_NUMBER => !mask.is_empty(),
            (Self::Byte1(byte), Token::Word(word)) => letter(word) == Some(*byte),
            (Self::Int16(number), Token::Word(word)) => {
                word.parse() == Ok(*number) || word.parse() == Ok(number.cast_signed())
            }
            (Self::Int32(number), Token::Word(word)) => {
                word.parse() == Ok(*number) || word.parse() == Ok(number.cast_signed())
            }
            (Self::Bytes(bytes, mask), Token::Quoted { bytes: given, .. }) => {
                given == bytes || !mask.is_empty() && given == mask
            }
            _ => false,
        }
    }
}

/// Collects the fields that [`Message::write`] writes.
impl Writer for Decoded {
    fn byte1(&mut self, value: u8) {
        self.push(1, Field::Byte1(value));
    }
    fn int16(&mut self, value: u16) {
        self.push(2, Field::Int16(value));
    }
    fn int32(&mut self, value: u32) {
        self.push(4, Field::Int32(value));
    }
    fn text(&mut self, value: Text<'_>) {
        self.push(value.len() + 1, Field::Bytes(value.as_bytes().to_vec(), b""));
    }
    fn bytes(&mut self, value: &[u8]) {
        self.push(value.len(), Field::Bytes(value.to_vec(), b""));
    }
    fn secret_text(&mut self, value: Text<'_>) {
        self.push(value.len() + 1, Field::Bytes(value.as_bytes().to_vec(), b"SSSS"));
    }
    fn secret_bytes(&mut self, value: &[u8]) {
        self.push(value.len(), Field::Bytes(value.to_vec(), b"BBBB"));
    }
    fn unprinted(&mut self, value: &[u8]) {
        self.length += value.len();
    }
    fn wants_fields(&self) -> bool {
        true
    }
    fn rename(&mut self, name: fmt::Arguments<'_>) {
        self.name = name.to_string();
    }
}
