//! Positions in the write-ahead log.

use core::fmt;
use core::str::FromStr;

use crate::basic::enums::FormatCode;
use crate::basic::error::DecodeError;
use crate::basic::oid;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::value::{Column, FromValue, Mismatch};

/// A position in the write-ahead log (WAL): the number of bytes between the beginning of the log and the position.
///
/// Int64 on the wire. The text form is the upper and the lower 32 bits in hexadecimal: `0/16B2D50`. PostgreSQL 19 pads the
/// lower half with zeros; `parse` accepts both forms. A smaller position is earlier in the log.
///
/// ```
/// use pg_wire::replication::Lsn;
///
/// let start: Lsn = "0/16B2D50".parse()?;
/// assert_eq!(start, Lsn(0x16b_2d50));
/// assert_eq!(start.to_string(), "0/16B2D50");
/// let end = start.checked_add(0x1_0000_0000).expect("below the largest position");
/// assert!(start < end);
/// assert_eq!((end.to_string().as_str(), end.bytes_since(start)), ("1/16B2D50", Some(0x1_0000_0000)));
/// # Ok::<_, pg_wire::replication::ParseLsnError>(())
/// ```
///
/// [PostgreSQL manual](https://www.postgresql.org/docs/current/datatype-pg-lsn.html)
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `0/0`, which is not the position of any record. In START_REPLICATION, `0/0` means "start at the position of the slot". In a status
    /// update, `0/0` means "nothing is flushed".
    pub const INVALID: Self = Self(0);
    /// The largest position.
    pub const MAX: Self = Self(u64::MAX);

    /// Whether this position is not [`INVALID`](Self::INVALID).
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// Returns the position that is `bytes` later; `None` if the result would exceed [`MAX`](Self::MAX).
    #[inline]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(position) => Some(Self(position)),
            None => None,
        }
    }

    /// Returns the position that is `bytes` earlier; `None` if the result would be before `0/0`.
    #[inline]
    pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
        match self.0.checked_sub(bytes) {
            Some(position) => Some(Self(position)),
            None => None,
        }
    }

    /// Returns the number of bytes from `earlier` to `self`; `None` if `earlier` is after `self`.
    #[inline]
    pub const fn bytes_since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Error for a text that is not a position. A position is two hexadecimal numbers of one to eight digits, separated by a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseLsnError;

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a position in the WAL: expected two hexadecimal numbers of up to 8 digits, as in 0/16B2D50",
        )
    }
}

impl core::error::Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |digits: &str| match digits.len() {
            // Each digit is checked, because `from_str_radix` also accepts a plus sign.
            1..=8 if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u32::from_str_radix(digits, 16).ok()
            }
            _ => None,
        };
        let halves = text.split_once('/').and_then(|(high, low)| Some((half(high)?, half(low)?)));
        let (high, low) = halves.ok_or(ParseLsnError)?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

impl<'a> Field<'a> for Lsn {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.array().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.bytes(&self.0.to_be_bytes());
    }
}

/// Reads values of the type `pg_lsn` in text and binary format. Also reads the text form of a position from a column of another type,
/// because replication commands return positions as `text`.
impl<'a> FromValue<'a> for Lsn {
    fn from_value(value: Option<&'a [u8]>, column: Column) -> Result<Self, Mismatch> {
        match (column.format, column.type_oid) {
            (FormatCode::Text, _) | (_, oid::TEXT) => {
                <&str>::from_value(value, column)?.parse().map_err(|_| Mismatch::Malformed)
            }
            (_, oid::PG_LSN) => u64::from_value(value, column).map(Self),
            _ => Err(Mismatch::Type { wanted: "a position in the WAL" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn positions_are_parsed_and_printed() {
        for (text, lsn) in [
            ("0/0", 0),
            ("0/16B2D50", 0x16b_2d50),
            ("16/B374D848", 0x16_b374_d848),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
            ("1/0", 1 << 32),
        ] {
            assert_eq!(text.parse(), Ok(Lsn(lsn)));
            assert_eq!(Lsn(lsn).to_string(), text);
        }
        assert_eq!(
            "0/016b2d50".parse(),
            Ok(Lsn(0x16b_2d50)),
            "padded as in PostgreSQL 19, and in lower case"
        );
    }

    #[test]
    fn a_text_that_is_not_a_position_is_rejected() {
        for wrong in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            "+1/0",
            "0/-1",
            "g/0",
            " 0/0",
            "100000000/0",
            "0/123456789",
            "0x1/0",
        ] {
            assert_eq!(wrong.parse::<Lsn>(), Err(ParseLsnError), "{wrong:?}");
        }
    }

    #[test]
    fn arithmetic_does_not_overflow() {
        assert_eq!(Lsn(5).checked_add(3), Some(Lsn(8)));
        assert_eq!(Lsn::MAX.checked_add(1), None);
        assert_eq!(Lsn(5).checked_sub(5), Some(Lsn::INVALID));
        assert_eq!(Lsn(5).checked_sub(6), None);
        assert_eq!(Lsn(8).bytes_since(Lsn(5)), Some(3));
        assert_eq!(Lsn(5).bytes_since(Lsn(8)), None);
        assert!(Lsn(1) > Lsn::INVALID && Lsn(1).is_valid() && !Lsn::INVALID.is_valid());
    }

    #[test]
    fn a_position_is_read_from_columns_of_text_and_of_pg_lsn() {
        let read = |bytes, type_oid, format| Lsn::from_value(Some(bytes), Column { type_oid, format });
        let lsn = Lsn(0x16_b374_d848);
        for type_oid in [oid::TEXT, oid::PG_LSN] {
            assert_eq!(read(b"16/B374D848", type_oid, FormatCode::Text).expect("text"), lsn);
            assert!(matches!(read(b"16", type_oid, FormatCode::Text), Err(Mismatch::Malformed)));
        }
        let binary = lsn.0.to_be_bytes();
        assert_eq!(read(&binary, oid::PG_LSN, FormatCode::Binary).expect("binary"), lsn);
        assert!(matches!(read(&[0; 8], oid::INT8, FormatCode::Binary), Err(Mismatch::Type { .. })));
    }
}
