//! Dates, times and intervals, as a server writes them with the DateStyle ISO and the IntervalStyle postgres.
//!
//! With other settings, a server writes other forms. Some of these forms are ambiguous: `02/03/2024` can be in February or in March, and
//! the abbreviation of a time zone has no known offset. A text in another form is an error, unless the text has the same meaning with all
//! settings, such as the interval `10:05:06`.

use alloc::vec::Vec;
use core::ops::Range;

use crate::value::Mismatch;
use crate::value::convert::cursor::{Cursor, parse};
use crate::value::convert::out::append;
use crate::value::sound::DAY;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Days from 0001-01-01 to 2000-01-01, the epoch of PostgreSQL.
const EPOCH: i64 = 730_119;

/// The dates that a server can send, in days after PostgreSQL's epoch (2000-01-01): from 4714-11-24 BC to 5874897-12-31.
const DATES: Range<i64> = -2_451_545..2_145_031_949;

/// The timestamps that a server can send, in microseconds after the epoch: from 4714-11-24 BC to the end of the year 294276.
const TIMESTAMPS: Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// Days before each month of a year that is not a leap year.
const DAYS_BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Reads `infinity` or `-infinity`, and returns its value. Returns `None` if the text continues with another word.
fn infinity<T>(text: &mut Cursor<'_>, positive: T, negative: T) -> Option<T> {
    if text.skip(b"infinity") {
        Some(positive)
    } else if text.skip(b"-infinity") {
        Some(negative)
    } else {
        None
    }
}

/// A year, a month and a day, before the era (` BC`) is read.
struct Date {
    year: i64,
    month: usize,
    day: i64,
}

impl Date {
    /// Reads a date: `2024-02-29`. A year has at least four digits; a server sends at most seven.
    fn read(text: &mut Cursor<'_>) -> Result<Self, Mismatch> {
        let year = text.digits();
        if !(4..=7).contains(&year.len()) {
            return Err(Mismatch::Malformed);
        }
        text.expect(b"-")?;
        let month = text.two_digits()?.into();
        text.expect(b"-")?;
        Ok(Self { year: parse(year)?, month, day: text.two_digits()?.into() })
    }

    /// Reads the era at the end of the text, which is ` BC` or nothing. Returns the date as a number of days after the epoch, 2000-01-01.
    fn days(self, text: &mut Cursor<'_>) -> Result<i64, Mismatch> {
        let Self { year, month, day } = self;
        if year == 0 {
            return Err(Mismatch::Malformed);
        }
        // The year 1 BC is directly before the year 1, so 1 BC counts as the year 0.
        let year = if text.skip(b" BC") { 1 - year } else { year };
        let is_leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
        let leap_days = |index: usize| i64::from(is_leap && index >= 2);
        let before = |index: usize| DAYS_BEFORE.get(index).map(|days| days + leap_days(index));
        let (Some(start), Some(end)) = (month.checked_sub(1).and_then(before), before(month)) else {
            return Err(Mismatch::Malformed);
        };
        if !(1..=end - start).contains(&day) {
            return Err(Mismatch::Malformed);
        }
        let years = year - 1;
        let leap_years = years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
        Ok(365 * years + leap_years + start + day - 1 - EPOCH)
    }
}

/// Converts a `date`: `2024-02-29`, `4714-11-24 BC`, `infinity`.
pub(super) fn date(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let days = match infinity(text, i32::MAX, i32::MIN) {
        Some(infinity) => infinity,
        None => {
            let days = Date::read(text)?.days(text)?;
            let days = DATES.contains(&days).then_some(days).ok_or(Mismatch::Malformed)?;
            i32::try_from(days).map_err(|_| Mismatch::Malformed)?
        }
    };
    append(out, days.to_be_bytes())
}

/// Converts a `timestamp`: `2024-02-29 12:00:00.5`, `infinity`.
pub(super) fn timestamp(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    moment(text, |_| Ok(0), out)
}

/// Converts a `timestamptz`: `2024-02-29 12:00:00.5+05:30`.
pub(super) fn timestamptz(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    moment(text, offset, out)
}

/// Converts a timestamp. `zone` reads the text after the time, and returns the offset in seconds east of UTC.
fn moment(
    text: &mut Cursor<'_>,
    zone: fn(&mut Cursor<'_>) -> Result<i32, Mismatch>,
    out: &mut Vec<u8>,
) -> Result<(), Mismatch> {
    if let Some(infinity) = infinity(text, i64::MAX, i64::MIN) {
        return append(out, infinity.to_be_bytes());
    }
    let date = Date::read(text)?;
    text.expect(b" ")?;
    let time = time_of_day(text)?;
    let zone = i64::from(zone(text)?);
    let midnight = date.days(text)?.checked_mul(DAY);
    let microseconds = midnight.and_then(|midnight| midnight.checked_add(time - zone * SECOND));
    let in_range = microseconds.filter(|microseconds| TIMESTAMPS.contains(microseconds));
    append(out, in_range.ok_or(Mismatch::Malformed)?.to_be_bytes())
}

/// Converts a `time`: `10:20:30.000001`, `24:00:00`.
pub(super) fn time(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    append(out, time_of_day(text)?.to_be_bytes())
}

/// Converts a `timetz`: `10:20:30-08`. In binary form, the offset is a number of seconds, and is positive west of UTC.
pub(super) fn timetz(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    time(text, out)?;
    append(out, (-offset(text)?).to_be_bytes())
}

/// Reads a time of day, and returns the number of microseconds after midnight.
fn time_of_day(text: &mut Cursor<'_>) -> Result<i64, Mismatch> {
    let hours = text.two_digits()?;
    let time = i64::from(hours) * 3600 * SECOND + within_hour(text)?;
    if time <= DAY { Ok(time) } else { Err(Mismatch::Malformed) }
}

/// Reads the minutes and seconds of a time: `:20:30.5`. Returns the number of microseconds.
fn within_hour(text: &mut Cursor<'_>) -> Result<i64, Mismatch> {
    let minutes = sixtieths(text)?;
    let seconds = sixtieths(text)?;
    let fraction = if text.skip(b".") { text.digits() } else { b"0" };
    if !(1..=6).contains(&fraction.len()) {
        return Err(Mismatch::Malformed);
    }
    let microseconds = (0..6).fold(0, |value, index| {
        let digit = fraction.get(index).map_or(0, |digit| digit - b'0');
        10 * value + i64::from(digit)
    });
    Ok((i64::from(minutes) * 60 + i64::from(seconds)) * SECOND + microseconds)
}

/// Reads a colon and two digits, which are minutes or seconds.
fn sixtieths(text: &mut Cursor<'_>) -> Result<u8, Mismatch> {
    text.expect(b":")?;
    let number = text.two_digits()?;
    if number < 60 { Ok(number) } else { Err(Mismatch::Malformed) }
}

/// Reads the offset of a time zone, in seconds east of UTC: `+05:30`, `-08`, `+00:19:32`.
fn offset(text: &mut Cursor<'_>) -> Result<i32, Mismatch> {
    /// Largest number of hours in an offset: `MAX_TZDISP_HOUR` in PostgreSQL's sources.
    const MOST_HOURS: u8 = 15;
    let is_east = text.either(b'+', b'-')?;
    let hours = text.two_digits()?;
    if hours > MOST_HOURS {
        return Err(Mismatch::Malformed);
    }
    let mut seconds = i32::from(hours) * 3600;
    for unit in [60, 1] {
        if text.peek() == Some(b':') {
            seconds += i32::from(sixtieths(text)?) * unit;
        }
    }
    Ok(if is_east { seconds } else { -seconds })
}

/// Converts an `interval`: `1 year 2 mons -3 days +04:05:06.789`, `infinity`. Each part has its own sign.
pub(super) fn interval(text: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let infinite = infinity(text, (i64::MAX, i32::MAX, i32::MAX), (i64::MIN, i32::MIN, i32::MIN));
    let (time, days, months) = match infinite {
        Some(infinite) => infinite,
        None => {
            let length = text.0.len();
            let months = 12 * units(text, b"year")? + units(text, b"mon")?;
            let days = units(text, b"day")?;
            let is_over = text.0.is_empty() && length > 0;
            let time = if is_over { 0 } else { hours(text)? };
            let [days, months] = [days, months].map(i32::try_from);
            let (Ok(days), Ok(months)) = (days, months) else { return Err(Mismatch::Malformed) };
            (time, days, months)
        }
    };
    out.extend(time.to_be_bytes());
    append(out, [days, months].map(i32::to_be_bytes).as_flattened())
}

/// Reads a number with its unit, in the singular or the plural, and the space before the next part: `-2 mons `. Returns 0 if the text does
/// not continue with this unit.
fn units(text: &mut Cursor<'_>, unit: &[u8]) -> Result<i64, Mismatch> {
    let mut ahead = *text;
    let sign = sign(&mut ahead);
    let digits = ahead.digits();
    if !(ahead.skip(b" ") && ahead.skip(unit)) {
        return Ok(0);
    }
    ahead.skip(b"s");
    let has_space = ahead.skip(b" ");
    let has_next = !ahead.0.is_empty();
    if has_space != has_next {
        return Err(Mismatch::Malformed);
    }
    *text = ahead;
    Ok(sign * i64::from(parse::<u32>(digits)?))
}

/// Reads the time of an interval in microseconds. The hours have at least two digits.
fn hours(text: &mut Cursor<'_>) -> Result<i64, Mismatch> {
    let sign = sign(text);
    let digits = text.digits();
    if digits.len() < 2 {
        return Err(Mismatch::Malformed);
    }
    let hours = sign * i64::from(parse::<u32>(digits)?);
    let rest = sign * within_hour(text)?;
    let time = hours.checked_mul(3600 * SECOND).and_then(|time| time.checked_add(rest));
    time.ok_or(Mismatch::Malformed)
}

/// Reads a sign. A part without a sign is positive.
fn sign(text: &mut Cursor<'_>) -> i64 {
    let is_negative = text.skip(b"-");
    if is_negative {
        return -1;
    }
    text.skip(b"+");
    1
}
