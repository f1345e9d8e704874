//! Times in replication messages.

use crate::basic::error::DecodeError;
use crate::codec::field::Field;
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;

/// Microseconds from the Unix epoch (1970-01-01 UTC) to the PostgreSQL epoch (2000-01-01 UTC).
const EPOCH: i64 = 946_684_800 * 1_000_000;

/// A time in microseconds since 2000-01-01 00:00:00 UTC. Int64 on the wire, like the binary format of `timestamptz`.
///
/// This type reads no clock: the caller provides the current time.
///
/// ```
/// use pg_wire::replication::Timestamp;
///
/// let time = Timestamp::from_unix_micros(1_700_000_000_000_000).expect("within the range");
/// assert_eq!(time, Timestamp(753_315_200_000_000));
/// assert_eq!(time.unix_micros(), Some(1_700_000_000_000_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Creates the time that is `micros` microseconds after 1970-01-01 00:00:00 UTC. Returns `None` on overflow.
    pub const fn from_unix_micros(micros: i64) -> Option<Self> {
        match micros.checked_sub(EPOCH) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// Returns the number of microseconds from 1970-01-01 00:00:00 UTC to this time; `None` on overflow.
    pub const fn unix_micros(self) -> Option<i64> {
        self.0.checked_add(EPOCH)
    }
}

/// Converts the time with microsecond precision. A time outside the range of [`Timestamp`] becomes the smallest or the largest
/// `Timestamp`.
#[cfg(feature = "std")]
impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        let micros = match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
        };
        Self(micros.saturating_sub(EPOCH))
    }
}

impl<'a> Field<'a> for Timestamp {
    #[inline]
    fn read(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        body.array().map(|bytes| Self(i64::from_be_bytes(bytes)))
    }
    #[inline]
    fn write<P: Writer + ?Sized>(&self, out: &mut P) {
        out.bytes(&self.0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_converted_to_unix_times_and_back() {
        assert_eq!(Timestamp(0).unix_micros(), Some(946_684_800_000_000));
        assert_eq!(Timestamp::from_unix_micros(0), Some(Timestamp(-946_684_800_000_000)));
        assert_eq!(Timestamp(i64::MAX).unix_micros(), None);
        assert_eq!(Timestamp::from_unix_micros(i64::MIN), None);
    }

    #[test]
    fn a_system_time_is_converted() {
        use std::time::{Duration, UNIX_EPOCH};
        let time = UNIX_EPOCH + Duration::from_micros(946_684_800_000_007);
        assert_eq!(Timestamp::from(time), Timestamp(7));
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)), Timestamp(-EPOCH - 1_000_000));
    }
}
