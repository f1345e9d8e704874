//! Finds the fields of a row in binary format.

use alloc::vec::Vec;

use super::error::CopyErrorKind;
use super::lines::MOST_FIELDS;
use super::row::{Field, Kind};
use super::writer::SIGNATURE;

/// Length in bytes of the header without its extension: 11 bytes signature, Int32 flags, Int32 length of the extension.
const HEADER: usize = SIGNATURE.len() + 8;

/// Critical flags: bits 16 to 31. A reader must reject data with an unknown critical flag. All critical flags are unknown to this reader.
const CRITICAL: u32 = 0xffff_0000;

/// State of a reader of the binary format.
#[derive(Clone, Debug)]
pub(super) struct Tuples {
    stage: Stage,
    /// Number of bytes of the current row that have been read. Only valid in the stage `Field`.
    position: usize,
    /// Number of fields of the current row that have not been read. Only valid in the stage `Field`.
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Header,
    /// Inside the extension of the header. The number is the remaining length of the extension in bytes.
    Extension(usize),
    /// Before the number of fields of a row.
    Count,
    /// Before a field.
    Field,
    /// After the trailer.
    End,
}

/// Result of a call of [`Tuples::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Reading can continue when at least this number of bytes of the row has been received.
    Need(usize),
    /// The header or the trailer has ended. The number is how many bytes the caller must remove from the input.
    Skip(usize),
    /// The row is complete. The number is the length of the row in bytes.
    Row(usize),
}

impl Tuples {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Header, position: 0, left: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::End
    }

    /// Whether the header has not been read completely.
    pub(super) fn is_before_rows(&self) -> bool {
        matches!(self.stage, Stage::Header | Stage::Extension(_))
    }

    /// Whether the next bytes are the number of fields of a row.
    #[inline(always)]
    pub(super) fn is_before_count(&self) -> bool {
        self.stage == Stage::Count
    }

    /// Whether the header has been read and the trailer has not been read.
    pub(super) fn is_in_rows(&self) -> bool {
        matches!(self.stage, Stage::Count | Stage::Field)
    }

    /// Fast path: reads the row at the beginning of `bytes`. Returns the length of the row. Returns `None` if the row is not complete, does
    /// not have `fields.len()` fields, or is malformed. After `None`, the content of `fields` is undefined, and [`read`](Self::read) must
    /// read the row from its beginning.
    #[inline(always)]
    pub(super) fn read_fast(&self, bytes: &[u8], fields: &mut [Field]) -> Option<usize> {
        let count = bytes.first_chunk()?;
        if self.stage != Stage::Count || usize::from(u16::from_be_bytes(*count)) != fields.len() {
            return None;
        }
        let mut rest = bytes.get(2..)?;
        for field in fields {
            let (length, tail) = rest.split_first_chunk()?;
            let start = (bytes.len() - tail.len()) as u32;
            let length = i32::from_be_bytes(*length);
            if length < 0 {
                if length != -1 {
                    return None;
                }
                *field = Field { start, end: start, kind: Kind::Null };
                rest = tail;
            } else {
                *field = Field { start, end: start.wrapping_add(length as u32), kind: Kind::Value };
                rest = tail.get(length as usize..)?;
            }
        }
        Some(bytes.len() - rest.len())
    }

    /// Continues to read the current row. `row` begins with the first byte of the row, and contains all bytes that have been received.
    #[inline]
    pub(super) fn read(
        &mut self,
        row: &[u8],
        columns: Option<usize>,
        limit: usize,
        fields: &mut Vec<Field>,
    ) -> Result<Read, CopyErrorKind> {
        if self.stage == Stage::Count {
            let Some(count) = row.first_chunk() else { return Ok(Read::Need(2)) };
            let count = i16::from_be_bytes(*count);
            let Ok(count) = usize::try_from(count) else { return self.trailer(count) };
            if let Some(columns) = columns
                && columns != count
            {
                return Err(CopyErrorKind::Count { fields: count, columns });
            }
            (self.stage, self.position, self.left) = (Stage::Field, 2, count);
            fields.reserve(count.min(MOST_FIELDS));
        }
        if self.stage == Stage::Field {
            return self.fields(row, limit, fields);
        }
        self.outside(row)
    }

    #[inline(always)]
    fn fields(&mut self, row: &[u8], limit: usize, fields: &mut Vec<Field>) -> Result<Read, CopyErrorKind> {
        let mut position = self.position;
        while self.left > 0 {
            let start = position + 4;
            let Some(length) = row.get(position..start).and_then(|bytes| bytes.first_chunk()) else {
                self.position = position;
                return Ok(Read::Need(start));
            };
            let length = i32::from_be_bytes(*length);
            let field = match usize::try_from(length) {
                Ok(length) => {
                    // With a `usize` of 32 bits, the sum can overflow. A saturated sum is longer than every slice, so the row is never
                    // complete.
                    let end = start.saturating_add(length);
                    if end > limit {
                        return Err(CopyErrorKind::RowTooLong { limit });
                    }
                    if end > row.len() {
                        self.position = position;
                        return Ok(Read::Need(end));
                    }
                    position = end;
                    Field { start: start as u32, end: end as u32, kind: Kind::Value }
                }
                Err(_) if length == -1 => {
                    position = start;
                    Field { start: start as u32, end: start as u32, kind: Kind::Null }
                }
                Err(_) => return Err(CopyErrorKind::Length(length)),
            };
            fields.push(field);
            self.left -= 1;
        }
        self.stage = Stage::Count;
        Ok(Read::Row(position))
    }

    #[cold]
    fn trailer(&mut self, count: i16) -> Result<Read, CopyErrorKind> {
        if count != -1 {
            return Err(CopyErrorKind::Length(count.into()));
        }
        self.stage = Stage::End;
        Ok(Read::Skip(2))
    }

    /// Reads the header, or the data after the trailer.
    #[cold]
    fn outside(&mut self, bytes: &[u8]) -> Result<Read, CopyErrorKind> {
        match self.stage {
            Stage::Header => {
                let length = bytes.len().min(SIGNATURE.len());
                if bytes.get(..length) != SIGNATURE.get(..length) {
                    return Err(CopyErrorKind::Signature);
                }
                let fields = bytes.get(SIGNATURE.len()..).and_then(|bytes| bytes.first_chunk::<8>());
                let Some([a, b, c, d, length @ ..]) = fields else { return Ok(Read::Need(HEADER)) };
                let flags = u32::from_be_bytes([*a, *b, *c, *d]);
                if flags & CRITICAL != 0 {
                    return Err(CopyErrorKind::Flags(flags));
                }
                let length = i32::from_be_bytes(*length);
                let extension = usize::try_from(length).map_err(|_| CopyErrorKind::Length(length))?;
                self.stage = if extension == 0 { Stage::Count } else { Stage::Extension(extension) };
                Ok(Read::Skip(HEADER))
            }
            Stage::Extension(left) => {
                let skipped = bytes.len().min(left);
                let left = left - skipped;
                self.stage = if left == 0 { Stage::Count } else { Stage::Extension(left) };
                Ok(if skipped == 0 { Read::Need(1) } else { Read::Skip(skipped) })
            }
            Stage::Count | Stage::Field | Stage::End if bytes.is_empty() => Ok(Read::Need(1)),
            Stage::Count | Stage::Field | Stage::End => Err(CopyErrorKind::AfterTrailer),
        }
    }
}
