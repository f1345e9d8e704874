//! The writer of trace lines, in the format of libpq's `PQtrace`.

use core::fmt;

use crate::basic::text::Text;
use crate::codec::message::{Direction, Message, Trace};
use crate::codec::writer::Writer;
use crate::encode::measure::Measure;

impl<M: Message + ?Sized> fmt::Display for Trace<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut measure = Measure::default();
        self.message.write(&mut measure);
        let direction = match self.direction {
            Direction::Frontend => 'F',
            Direction::Backend => 'B',
        };
        write!(f, "{direction}\t{}\t", measure.length.saturating_add(4))?;
        let mut line = Line { name: Some(self.message.name()), bare: true, out: f, result: Ok(()) };
        self.message.write(&mut line);
        line.finish()
    }
}

/// Prints the fields of a message. The methods of [`Writer`] return no errors, so `finish` returns the first error.
struct Line<'l, 'f> {
    /// Name of the message; `None` after the name has been printed.
    name: Option<&'static str>,
    /// Whether no field has been printed yet.
    bare: bool,
    out: &'l mut fmt::Formatter<'f>,
    result: fmt::Result,
}

impl Line<'_, '_> {
    fn print(&mut self, text: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.out.write_fmt(text);
        }
    }

    fn name(&mut self) {
        if let Some(name) = self.name.take() {
            self.print(format_args!("{name}"));
        }
    }

    fn field(&mut self, text: fmt::Arguments<'_>) {
        self.name();
        if core::mem::take(&mut self.bare) {
            self.print(format_args!("\t"));
        }
        self.print(format_args!(" {text}"));
    }

    fn finish(mut self) -> fmt::Result {
        self.name();
        self.result
    }
}

impl Writer for Line<'_, '_> {
    fn byte1(&mut self, value: u8) {
        self.field(format_args!("{}", Printable(&[value])));
    }
    fn int16(&mut self, value: u16) {
        self.field(format_args!("{value}"));
    }
    fn int32(&mut self, value: u32) {
        self.field(format_args!("{}", value.cast_signed()));
    }
    fn text(&mut self, value: Text<'_>) {
        self.field(format_args!("\"{value}\""));
    }
    fn bytes(&mut self, value: &[u8]) {
        self.field(format_args!("'{}'", Printable(value)));
    }
    fn secret_text(&mut self, _: Text<'_>) {
        self.field(format_args!("\"SSSS\""));
    }
    fn secret_bytes(&mut self, _: &[u8]) {
        self.field(format_args!("'BBBB'"));
    }
    fn unprinted(&mut self, _: &[u8]) {}
    fn wants_fields(&self) -> bool {
        true
    }
    fn rename(&mut self, name: fmt::Arguments<'_>) {
        self.name = None;
        self.print(name);
    }
}

/// Prints bytes, with `\xNN` for each byte that is not printable ASCII.
struct Printable<'a>(&'a [u8]);

/// Number of bytes of a value that are written to the formatter in one call. One call for each byte would take many times as long.
const PIECE: usize = 64;

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.chunks(PIECE) {
            if piece.iter().copied().all(is_printable) {
                f.write_str(core::str::from_utf8(piece).map_err(|_| fmt::Error)?)?;
                continue;
            }
            let mut text = [0; 4 * PIECE];
            let mut room = text.iter_mut();
            for &byte in piece {
                let escaped = [b'\\', b'x', hexadecimal(byte >> 4), hexadecimal(byte & 0xf)];
                let shown = if is_printable(byte) { core::slice::from_ref(&byte) } else { &escaped };
                shown.iter().zip(&mut room).for_each(|(byte, place)| *place = *byte);
            }
            let left = room.len();
            let text = text.get(..text.len() - left).unwrap_or_default();
            f.write_str(core::str::from_utf8(text).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

fn hexadecimal(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}

fn is_printable(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::message::Decode;
    use crate::message::backend::DataRow;
    use crate::message::frontend::Query;
    use crate::{Frame, MessageCode};
    use alloc::string::ToString;

    #[test]
    fn bytes_are_escaped_as_in_libpq() {
        assert_eq!(Printable(b"a\0b\xff\x7f ~'\\").to_string(), "a\\x00b\\xff\\x7f ~'\\");
        assert_eq!(Printable(b"").to_string(), "");
        let all: alloc::vec::Vec<u8> = (0..=255).collect();
        let each: alloc::string::String = all.iter().map(|byte| Printable(&[*byte]).to_string()).collect();
        assert_eq!(Printable(&all).to_string(), each, "longer than a piece");
        assert_eq!(each.len(), 256 * 4 - 95 * 3);
    }

    #[test]
    fn strings_are_not_escaped() {
        let line = |sql: &[u8]| Query { sql: sql.into() }.trace(Direction::Frontend).to_string();
        assert_eq!(line(b"select \"a\"\n\t\\"), "F\t18\tQuery\t \"select \"a\"\n\t\\\"");
        assert_eq!(line("caf\u{e9}".as_bytes()), "F\t10\tQuery\t \"caf\u{e9}\"");
        assert_eq!(line(b"caf\xe9"), "F\t9\tQuery\t \"caf\u{fffd}\"");
    }

    #[test]
    fn the_values_of_a_received_row_are_printed() {
        let row = DataRow::decode(b"\0\x02\0\0\0\x02hi\xff\xff\xff\xff").expect("well-formed");
        assert_eq!(row.trace(Direction::Backend).to_string(), "B\t16\tDataRow\t 2 2 'hi' -1");
    }

    #[test]
    fn an_unknown_message_is_printed_with_its_code() {
        let frame = Frame { code: MessageCode(b'z'), body: b"?" };
        assert_eq!(frame.trace(Direction::Backend).to_string(), "B\t5\tUnknown message: 7a");
    }
}
