//! What a line of a transcript is on the wire, and the other way round. Nothing of the messages is listed here: names, widths and order
//! are had from what reads and writes them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::basic::error::{DecodeError, DecodeErrorKind};
use crate::basic::text::Text;
use crate::codec::message::Direction;
use crate::codec::message::{Decode, Message};
use crate::codec::put::Put;
use crate::message::backend::Backend;
use crate::message::frontend::{
    CancelRequest, GssEncRequest, GssResponse, Initial, PasswordMessage, SaslInitialResponse, SaslResponse,
    SslRequest, StartupMessage,
};
use crate::testing::transcript::text::{Token, letter};
use crate::{Frame, MessageCode};

type See = fn(&[u8]) -> Result<Seen, DecodeError>;

/// How the body of a message is read.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// By its code.
    Frame(Direction, MessageCode),
    /// One of the four that share a code, so that the name decides.
    Answer(See),
    /// A packet of the time before the session.
    Packet,
}

impl Shape {
    /// By the name that a trace has for it. Nothing is listed: what reads a code's messages is asked for their name.
    pub(super) fn named(speaker: Direction, name: &str) -> Option<Self> {
        const PACKETS: [&str; 4] =
            [StartupMessage::NAME, SslRequest::NAME, GssEncRequest::NAME, CancelRequest::NAME];
        if speaker == Direction::Frontend {
            let answer: Option<See> = match name {
                PasswordMessage::NAME => {
                    Some(|body| Ok(Seen::of(Direction::Frontend, &PasswordMessage::decode(body)?)))
                }
                SaslInitialResponse::NAME => {
                    Some(|body| Ok(Seen::of(Direction::Frontend, &SaslInitialResponse::decode(body)?)))
                }
                SaslResponse::NAME => {
                    Some(|body| Ok(Seen::of(Direction::Frontend, &SaslResponse::decode(body)?)))
                }
                GssResponse::NAME => {
                    Some(|body| Ok(Seen::of(Direction::Frontend, &GssResponse::decode(body)?)))
                }
                name if PACKETS.contains(&name) => return Some(Self::Packet),
                _ => None,
            };
            if let Some(answer) = answer {
                return Some(Self::Answer(answer));
            }
        } else if name.starts_with("Authentication") {
            return Some(Self::Frame(speaker, MessageCode::AUTHENTICATION));
        }
        (0..=u8::MAX).map(MessageCode).find_map(|code| {
            let frame = Frame { code, body: b"" };
            let called = match speaker {
                Direction::Frontend => {
                    frame.frontend().map_or_else(|error| error.message, |message| message.name())
                }
                Direction::Backend => {
                    frame.backend().map_or_else(|error| error.message, |message| message.name())
                }
            };
            (called == name).then_some(Self::Frame(speaker, code))
        })
    }

    pub(super) fn code(self) -> Option<MessageCode> {
        match self {
            Self::Frame(_, code) => Some(code),
            Self::Answer(_) => Some(MessageCode::AUTHENTICATION_RESPONSE),
            Self::Packet => None,
        }
    }

    /// Reads a body.
    pub(super) fn see(self, body: &[u8]) -> Result<Seen, DecodeError> {
        match self {
            Self::Answer(see) => see(body),
            Self::Packet => Initial::decode(body).map(|packet| Seen::of(Direction::Frontend, &packet)),
            Self::Frame(Direction::Frontend, code) => {
                Frame { code, body }.frontend().map(|message| Seen::of(Direction::Frontend, &message))
            }
            Self::Frame(Direction::Backend, code) => {
                let message = Frame { code, body }.backend()?;
                if let Backend::DataRow(row) = &message {
                    // Reading a row does not walk its columns.
                    let named = |error| DecodeError { message: message.name(), ..error };
                    row.values.validate().map_err(named)?;
                }
                Ok(Seen::of(Direction::Backend, &message))
            }
        }
    }

    pub(super) fn show(self, body: &[u8]) -> String {
        self.see(body).map_or_else(|error| error.to_string(), |seen| seen.trace)
    }

    /// Makes the body of the message with this name and these fields.
    pub(super) fn body(self, name: &str, fields: &[Token]) -> Result<Vec<u8>, String> {
        if self.code() != Some(MessageCode::AUTHENTICATION) {
            return self.body_behind(Vec::new(), name, fields);
        }
        // The name stands for a number in front, which a trace does not show.
        let attempt = |kind: u32| self.body_behind(kind.to_be_bytes().to_vec(), name, fields).ok();
        (0..=u32::from(u8::MAX)).find_map(attempt).ok_or_else(|| format!("no {name} is made of these fields"))
    }

    /// Makes it field by field, behind what is there.
    fn body_behind(self, mut body: Vec<u8>, name: &str, fields: &[Token]) -> Result<Vec<u8>, String> {
        for (at, field) in fields.iter().enumerate() {
            let start = body.len();
            match field {
                Token::Quoted { bytes, text } => {
                    body.extend(bytes);
                    let unterminated = |error: DecodeError| {
                        error.kind == DecodeErrorKind::Unterminated && error.offset == start
                    };
                    if *text || self.see(&body).is_err_and(unterminated) {
                        body.push(0);
                    }
                }
                Token::Word(word) if word == "*" => return Err("a wildcard cannot be sent".to_owned()),
                Token::Word(word) => match (word.parse::<i64>(), self.width(&body), letter(word)) {
                    (Ok(number), Some(width @ (2 | 4)), _) => {
                        let limit = 1 << (8 * width);
                        if number < -limit / 2 || number >= limit {
                            return Err(format!("{number} does not fit into {width} bytes"));
                        }
                        body.extend(number.to_be_bytes().iter().skip(8 - width));
                    }
                    // A digit may be a letter, too.
                    (Err(_), _, Some(byte)) | (Ok(_), Some(1), Some(byte)) => body.push(byte),
                    (Err(_), ..) => return Err(format!("field {} cannot be read: {word}", at + 1)),
                    (Ok(_), ..) => return Err(format!("field {} does not belong there: {word}", at + 1)),
                },
            }
        }
        let wrong = match self.see(&body) {
            Ok(seen) if seen.is(name, fields) => return Ok(body),
            Ok(seen) => format!("with these fields it would be {}", seen.trace),
            Err(error) => error.to_string(),
        };
        // Some messages end in zeros that a trace does not show.
        for length in body.len() + 1..body.len() + 5 {
            body.resize(length, 0);
            if self.see(&body).is_ok_and(|seen| seen.is(name, fields)) {
                return Ok(body);
            }
        }
        Err(wrong)
    }

    /// How wide the number is that comes next. The message's own reader tells: it says at which byte it misses something, and once it
    /// has enough for a field, that is another byte.
    fn width(self, body: &[u8]) -> Option<usize> {
        let start = body.len();
        if matches!(self, Self::Packet) && start < 4 {
            // The code, of which a trace makes two numbers.
            return Some(2);
        }
        let mut longer = body.to_vec();
        (1..=4).find(|width| {
            longer.resize(start + width, 0);
            self.see(&longer).map_or_else(|error| error.offset > start, |_| true)
        })
    }
}

/// A message that was read: its name and what a trace shows of it, without the masks.
pub(super) struct Seen {
    name: String,
    fields: Vec<Shown>,
    /// Its line, masked.
    pub(super) trace: String,
    /// What its length field says.
    pub(super) length: usize,
}

enum Shown {
    Letter(u8),
    Int16(u16),
    Int32(u32),
    Quoted { bytes: Vec<u8>, mask: &'static [u8] },
}

impl Seen {
    fn of(speaker: Direction, message: &impl Message) -> Self {
        let mut seen = Self {
            name: message.name().to_owned(),
            fields: Vec::new(),
            trace: message.trace(speaker).to_string(),
            length: 4,
        };
        message.write(&mut seen);
        seen
    }

    /// Whether these are its name and its fields.
    pub(super) fn is(&self, name: &str, fields: &[Token]) -> bool {
        let (fields, rest) = match fields {
            [fields @ .., Token::Word(star)] if star == "*" => (fields, true),
            fields => (fields, false),
        };
        let count = self.fields.len();
        self.name == name
            && (fields.len() == count || rest && fields.len() < count)
            && fields.iter().zip(&self.fields).all(|(token, shown)| shown.is(token))
    }

    fn push(&mut self, length: usize, shown: Shown) {
        self.length += length;
        self.fields.push(shown);
    }
}

impl Shown {
    fn is(&self, token: &Token) -> bool {
        match (self, token) {
            (_, Token::Word(word)) if word == "*" => true,
            (Self::Letter(byte), Token::Word(word)) => letter(word) == Some(*byte),
            (Self::Int16(number), Token::Word(word)) => {
                word.parse() == Ok(*number) || word.parse() == Ok(number.cast_signed())
            }
            (Self::Int32(number), Token::Word(word)) => {
                word.parse() == Ok(*number) || word.parse() == Ok(number.cast_signed())
            }
            (Self::Quoted { bytes: shown, mask }, Token::Quoted { bytes, .. }) => {
                shown == bytes || !mask.is_empty() && bytes == mask
            }
            _ => false,
        }
    }
}

impl Put for Seen {
    fn byte1(&mut self, value: u8) {
        self.push(1, Shown::Letter(value));
    }
    fn int16(&mut self, value: u16) {
        self.push(2, Shown::Int16(value));
    }
    fn int32(&mut self, value: u32) {
        self.push(4, Shown::Int32(value));
    }
    fn text(&mut self, value: Text<'_>) {
        self.push(value.len() + 1, Shown::Quoted { bytes: value.as_bytes().to_vec(), mask: b"" });
    }
    fn bytes(&mut self, value: &[u8]) {
        self.push(value.len(), Shown::Quoted { bytes: value.to_vec(), mask: b"" });
    }
    fn secret_text(&mut self, value: Text<'_>) {
        self.push(value.len() + 1, Shown::Quoted { bytes: value.as_bytes().to_vec(), mask: b"SSSS" });
    }
    fn secret_bytes(&mut self, value: &[u8]) {
        self.push(value.len(), Shown::Quoted { bytes: value.to_vec(), mask: b"BBBB" });
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
