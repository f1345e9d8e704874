//! Writes the lines of the output. A line is a JSON object, or a position and a kind followed by fields of the form `name=value`.

use std::fmt::{Display, Write as _};

use pg_wire::replication::{Lsn, Timestamp};

/// The form of the lines of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line
    #[default]
    Json,
    /// The position and the kind, then fields of the form name=value, with each value in JSON
    Text,
}

/// A line of the output while its fields are being appended to a buffer.
#[derive(Debug)]
pub(crate) struct Line<'o> {
    out: &'o mut Vec<u8>,
    format: Format,
}

impl<'o> Line<'o> {
    /// Begins a line with its kind and its position. Both are at the beginning, so that a scan of the output recognises the kind from the
    /// first bytes of a line.
    pub(crate) fn start(out: &'o mut Vec<u8>, format: Format, kind: &str, lsn: Lsn) -> Self {
        match format {
            Format::Json => put(out, format_args!("{{\"kind\":\"{kind}\",\"lsn\":\"{lsn}\"")),
            Format::Text => put(out, format_args!("{lsn} {kind}")),
        }
        Self { out, format }
    }

    /// Appends the name of a field. The caller appends the value, in JSON, to the returned buffer.
    pub(crate) fn field(&mut self, name: &str) -> &mut Vec<u8> {
        match self.format {
            Format::Json => put(self.out, format_args!(",\"{name}\":")),
            Format::Text => put(self.out, format_args!(" {name}=")),
        }
        self.out
    }

    /// Appends a field. Precondition: `value` prints as a JSON number, `true`, `false` or `null`.
    pub(crate) fn plain(mut self, name: &str, value: impl Display) -> Self {
        put(self.field(name), format_args!("{value}"));
        self
    }

    /// Appends a field whose value is a string.
    pub(crate) fn string(mut self, name: &str, value: &str) -> Self {
        string(self.field(name), value);
        self
    }

    /// Appends a field whose value is a position.
    pub(crate) fn lsn(mut self, name: &str, lsn: Lsn) -> Self {
        put(self.field(name), format_args!("\"{lsn}\""));
        self
    }

    /// Appends a field whose value is a time.
    pub(crate) fn time(mut self, name: &str, time: Timestamp) -> Self {
        put(self.field(name), format_args!("\"{}\"", Time(time)));
        self
    }

    /// Ends the line.
    pub(crate) fn end(self) {
        self.out.extend_from_slice(match self.format {
            Format::Json => b"}\n",
            Format::Text => b"\n",
        });
    }
}

/// Appends text to the buffer as a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    // The result is ignored: a vector accepts every write, and JSON can represent every string.
    let _ = serde_json::to_writer(out, text);
}

/// Appends formatted text. The result is ignored, because writing to a vector does not fail.
pub(crate) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = std::io::Write::write_fmt(out, text);
}

/// A time, which is printed in the form `2026-11-27T02:03:04.000005Z`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const DAY: i64 = 86_400_000_000;
        let (day, micros) = (self.0.0.div_euclid(DAY), self.0.0.rem_euclid(DAY));
        let (year, month, day) = civil(day);
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

/// Converts a number of days since 2000-01-01 to year, month and day of the Gregorian calendar. Year 0 is 1 BC.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    // Converts to days since 0000-03-01, because a year that begins in March has its leap day at the end.
    let days = days + 730_425;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + later, month, day)
}

/// Prints bytes in the form `\x00ff`, which is the server's text form of `bytea`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format) -> String {
        let mut out = Vec::new();
        Line::start(&mut out, format, "insert", Lsn(0x16b_2d50))
            .plain("xid", 7)
            .time("time", Timestamp(1))
            .string("schema", "public")
            .string("table", "a\"b\n")
            .end();
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_line_is_written_as_json_or_as_text() {
        assert_eq!(
            line(Format::Json),
            "{\"kind\":\"insert\",\"lsn\":\"0/16B2D50\",\"xid\":7,\"time\":\"2000-01-01T00:00:00.000001Z\",\
             \"schema\":\"public\",\"table\":\"a\\\"b\\n\"}\n"
        );
        assert_eq!(
            line(Format::Text),
            "0/16B2D50 insert xid=7 time=\"2000-01-01T00:00:00.000001Z\" schema=\"public\" table=\"a\\\"b\\n\"\n"
        );
    }

    #[test]
    fn days_are_converted_to_dates() {
        for (days, date) in [
            (0, (2000, 1, 1)),
            (59, (2000, 2, 29)),
            (60, (2000, 3, 1)),
            (-1, (1999, 12, 31)),
            (9827, (2026, 11, 27)),
            (-730_119, (1, 1, 1)),
            (-730_120, (0, 12, 31)),
            // The smallest and the largest date of PostgreSQL.
            (-2_451_545, (-4713, 11, 24)),
            (2_145_031_948, (5_874_897, 12, 31)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
    }

    #[test]
    fn bytes_are_printed_as_bytea() {
        assert_eq!(hex(b"\0\xff"), "\\x00ff");
        assert_eq!(hex(b""), "\\x");
    }
}
