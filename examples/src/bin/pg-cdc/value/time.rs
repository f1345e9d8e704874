//! Text form of dates and times, with the settings DateStyle ISO, IntervalStyle postgres and TimeZone UTC.

use super::ValueError;
use super::binary::Bytes;
use super::number::put;
use crate::line::civil;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Appends the date that is this number of days after 2000-01-01.
pub(super) fn put_date(out: &mut String, days: i32) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        days => {
            let bc = put_day(out, days.into());
            out.push_str(bc);
        }
    }
}

/// Appends year, month and day. Returns ` BC` or an empty text, which the caller has to append at the end.
fn put_day(out: &mut String, days: i64) -> &'static str {
    let (year, month, day) = civil(days);
    // `civil` counts 1 BC as year 0, and 2 BC as year -1.
    let (year, bc) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    put(out, format_args!("{year:04}-{month:02}-{day:02}"));
    bc
}

/// Appends the time of day that is this number of microseconds after midnight.
pub(super) fn put_time(out: &mut String, micros: i64) {
    let seconds = micros / SECOND;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    put_fraction(out, micros % SECOND);
}

/// Appends a fraction of a second, without zeros at its end. Appends nothing if it is 0.
fn put_fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let digits = format!("{:06}", micros.unsigned_abs());
        put(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

/// Appends a time zone. `west` is the offset from UTC in seconds; positive offsets are west of UTC.
pub(super) fn put_zone(out: &mut String, west: i32) {
    let sign = if west > 0 { '-' } else { '+' };
    let east = west.unsigned_abs();
    let (hours, minutes, seconds) = (east / 3600, east / 60 % 60, east % 60);
    put(out, format_args!("{sign}{hours:02}"));
    if minutes != 0 || seconds != 0 {
        put(out, format_args!(":{minutes:02}"));
    }
    if seconds != 0 {
        put(out, format_args!(":{seconds:02}"));
    }
}

/// Appends the timestamp that is this number of microseconds after 2000-01-01, with the text `zone` as time zone.
pub(super) fn put_timestamp(out: &mut String, micros: i64, zone: &str) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        micros => {
            let bc = put_day(out, micros.div_euclid(DAY));
            out.push(' ');
            put_time(out, micros.rem_euclid(DAY));
            out.push_str(zone);
            out.push_str(bc);
        }
    }
}

/// Appends an `interval`. Its binary form: Int64 microseconds, Int32 days, Int32 months.
pub(super) fn put_interval(out: &mut String, bytes: &mut Bytes<'_>) -> Result<(), ValueError> {
    let (micros, days, months) = (bytes.i64()?, bytes.i32()?, bytes.i32()?);
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => {
            out.push_str("infinity");
            return Ok(());
        }
        (i64::MIN, i32::MIN, i32::MIN) => {
            out.push_str("-infinity");
            return Ok(());
        }
        _ => {}
    }
    let start = out.len();
    // The server prints a plus sign before a positive part that follows a negative part.
    let mut after_negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let space = if out.len() == start { "" } else { " " };
            let sign = if after_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            put(out, format_args!("{space}{sign}{count} {unit}{plural}"));
            after_negative = count < 0;
        }
    }
    if micros != 0 || out.len() == start {
        let space = if out.len() == start { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if after_negative {
            "+"
        } else {
            ""
        };
        let absolute = micros.unsigned_abs();
        let seconds = absolute / SECOND.unsigned_abs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        put(out, format_args!("{space}{sign}{hours:02}:{minutes:02}:{seconds:02}"));
        put_fraction(out, micros % SECOND);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn dates_and_times_have_the_text_form_of_the_server() {
        assert_eq!(shown(|out| put_date(out, 9827)), "2026-11-27");
        assert_eq!(shown(|out| put_date(out, -730_120)), "0001-12-31 BC");
        assert_eq!(shown(|out| put_date(out, i32::MAX)), "infinity");
        assert_eq!(shown(|out| put_time(out, DAY)), "24:00:00");
        assert_eq!(shown(|out| put_time(out, 1_500_000)), "00:00:01.5");
        assert_eq!(shown(|out| put_zone(out, -19_800)), "+05:30");
        assert_eq!(shown(|out| put_zone(out, 3600)), "-01");
        assert_eq!(shown(|out| put_timestamp(out, -1, "+00")), "1999-12-31 23:59:59.999999+00");
        assert_eq!(shown(|out| put_timestamp(out, i64::MIN, "")), "-infinity");
    }

    #[test]
    fn intervals_have_the_text_form_of_the_server() {
        let interval = |micros: i64, days: i32, months: i32| {
            let bytes = [&micros.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat();
            shown(|out| put_interval(out, &mut Bytes(&bytes)).expect("well-formed"))
        };
        assert_eq!(interval(0, 0, 0), "00:00:00");
        assert_eq!(interval(3_600 * SECOND, 1, 14), "1 year 2 mons 1 day 01:00:00");
        assert_eq!(interval(-1_500_000, 0, 0), "-00:00:01.5");
        assert_eq!(interval(SECOND, -1, 0), "-1 days +00:00:01");
        assert_eq!(interval(0, 3, -13), "-1 years -1 mons +3 days");
        assert_eq!(interval(i64::MAX, i32::MAX, i32::MAX), "infinity");
    }
}
