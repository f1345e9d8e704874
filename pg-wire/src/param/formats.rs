//! Format codes of the parameters of one message.

use crate::basic::enums::FormatCode;

/// The formats that occur among parameters: none, text, binary, or both. A NULL has no format.
///
/// One bit stands for text and one for binary, so that the formats of two parameters combine with one OR. A struct of two `bool`s would be
/// slower, because the compiler would emit a jump table for each test of a format.
#[derive(Clone, Copy, Default)]
pub(crate) struct Formats(pub(crate) u32);

const TEXT: u32 = 1;
/// Bit that stands for the binary format. [`Formats::code`] returns the upper two bytes of this number in little-endian order: 0 and 1.
/// These are the bytes of the binary format code on the wire.
const BINARY: u32 = 1 << 24;

impl Formats {
    /// Returns the format of one parameter. `None` means NULL.
    #[inline(always)]
    pub(crate) fn of(format: Option<FormatCode>) -> Self {
        Self(match format {
            None => 0,
            Some(FormatCode::Text) => TEXT,
            Some(_) => BINARY,
        })
    }

    /// Adds the formats of further parameters.
    #[inline(always)]
    pub(crate) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// Returns the format code of one parameter, as on the wire; for NULL, the code of text.
    #[inline(always)]
    pub(crate) fn code(self) -> [u8; 2] {
        ((self.0 >> 16) as u16).to_le_bytes()
    }

    /// Returns the format that all parameters have in common. NULLs are not considered. Returns `Binary` if all parameters are binary: the
    /// message needs this code once. Returns `None` if all parameters are text: the message needs no format code.
    ///
    /// # Errors
    /// [`Mixed`] when each parameter needs its own code.
    #[inline(always)]
    pub(crate) fn in_common(self) -> Result<Option<FormatCode>, Mixed> {
        match self.0 {
            BINARY => Ok(Some(FormatCode::Binary)),
            0 | TEXT => Ok(None),
            _ => Err(Mixed),
        }
    }
}

/// Error: some parameters are in text format and others in binary format, so the message needs one format code for each parameter.
pub(crate) struct Mixed;
